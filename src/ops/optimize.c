/* SPDX-License-Identifier: MIT */
/*
 * Optimize. Families are planned as if nothing of them were stored (ops/bases.h); where that is
 * better than what is there, models are moved one by one: first those that are to stand alone, then
 * those that are to be stored against them, at last those that stood alone before and need not any
 * more.
 */
#include "ops/optimize.h"

#include "base/file.h"
#include "base/text.h"
#include "catalog/catalog.h"
#include "ops/bases.h"
#include "ops/queue.h"
#include "ops/scan.h"
#include "ops/stored.h"

#include <string.h>
#include <sys/stat.h>

enum {
    ROUNDS = 4,
    TOGETHER = 2 /* from this round on */
};
#define WORTH 0.99  /* of what a family takes: only below that it is touched */
#define BETTER 0.98 /* the same for a model that could stay as it is */

struct look {
    struct ops *ops;
    const struct library *library;
    const int *models;
    size_t count;
    bool *chosen; /* of each model of the library */
    bool *pinned; /* the same: what will not move is a difference from it */
    struct stored stored;
    struct map bases; /* of a base's id and a family to the model that has it */
};

static void ignore_problem(void *context, const char *path, const char *reason)
{
    (void)context;
    (void)path;
    (void)reason;
}

/* ---- how a model is stored now ---- */

/* What most bytes of a model are a difference from; zero where most of it stands alone. */
static struct hash128 main_base(const struct look *look, int model)
{
    size_t count;
    const struct stored_view *views =
        stored_views(&look->stored, look->library->models[model].id, &count);
    struct hash128 base = {0};
    uint64_t most = 0, deltas = 0, alone = 0;
    for (size_t v = 0; v < count; v++) {
        const struct manifest *m = &views[v].file->manifest;
        for (size_t i = 0; i < m->range_count; i++) {
            const struct manifest_range *range = &m->ranges[i];
            bool delta = range->base_count > 0;
            deltas += delta ? range->bytes : 0;
            alone += delta ? 0 : range->bytes;
            if (delta && range->bytes > most) {
                most = range->bytes;
                base = range->bases[0];
            }
        }
    }
    return deltas >= alone ? base : (struct hash128){0};
}

static struct hash128 place_key(const struct hash128 *id, int family)
{
    struct {
        struct hash128 id;
        int family;
    } place;
    memset(&place, 0, sizeof place);
    place.id = *id;
    place.family = family;
    return hash128_of(&place, sizeof place);
}

/* A tensor of any model: whether some model of its family is a difference from it. */
static void take_tensor(void *context, int64_t row, const struct hash128 *id, uint64_t bytes)
{
    struct look *look = context;
    int model = library_of_row(look->library, row);
    (void)bytes;
    if (model == NO_MODEL)
        return;
    struct hash128 key = place_key(id, look->library->models[model].family);
    if (map_has(&look->bases, &key))
        map_put(&look->bases, &key, (uint64_t)model);
}

/* Where the bases of all models are: one pass over all tensors. */
static int find_bases(struct look *look, struct err *err)
{
    for (size_t i = 0; i < look->library->model_count; i++) {
        struct hash128 id = main_base(look, (int)i);
        struct hash128 key = place_key(&id, look->library->models[i].family);
        if (!hash128_is_zero(&id))
            map_put(&look->bases, &key, UINT64_MAX);
    }
    return look->bases.count ? catalog_each_tensor(look->ops->catalog, take_tensor, look, err) : 0;
}

/* The model of its family that a stored one is a difference from; NO_MODEL: it stands alone. */
static int base_now(const struct look *look, int model)
{
    struct hash128 id = main_base(look, model);
    struct hash128 key = place_key(&id, look->library->models[model].family);
    uint64_t at;
    bool known = !hash128_is_zero(&id) && map_get(&look->bases, &key, &at) && at != UINT64_MAX &&
                 (int)at != model;
    return known ? (int)at : NO_MODEL;
}

/* ---- what would be better ---- */

/* What is stored beside the chosen ones serves where it stands alone; what lies on disk, by a link.
 */
static enum base_offer offer_of(void *context, int model, bool stored_only)
{
    const struct look *look = context;
    const struct lib_model *m = &look->library->models[model];
    struct stat here, there;
    if (look->chosen[model])
        return look->pinned[model] ? OFFER_FREE : OFFER_NONE;
    if (!m->file_count)
        return OFFER_NONE;
    if (m->state == MODEL_COMPRESSED)
        return base_now(look, model) == NO_MODEL ? OFFER_FREE : OFFER_NONE;
    const struct lib_file *file = &look->library->files[m->files[0]];
    const char *store = look->stored.stores.count ? look->stored.stores.paths[0] : NULL;
    bool held = store && stat(file->path, &here) == 0 && stat(store, &there) == 0 &&
                here.st_dev == there.st_dev && (file->digest || store_can_clone(store, file->path));
    return held && !stored_only ? OFFER_FREE : OFFER_NONE;
}

/* What is a difference from a model, and cannot be predicted or was not chosen, stays so. */
static void pin_bases(struct look *look)
{
    for (size_t i = 0; i < look->library->model_count; i++) {
        int base = base_now(look, (int)i);
        if (base != NO_MODEL &&
            (!look->chosen[i] || bases_predict(look->ops, look->library, (int)i, base) < 0))
            look->pinned[base] = true;
    }
}

/* Steps of models whose base will not stand any more come first to be seen: they must move. */
static bool must_move(const struct optimize_step *step, const struct optimize_step *all,
                      size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (all[i].model == step->base_now && all[i].base != NO_MODEL)
            return step->base != step->base_now;
    return false;
}

/* Stands first, then what is stored against them, then what stood before. */
static int turn_of(const struct optimize_step *step)
{
    return step->base == NO_MODEL ? 0 : step->base_now != NO_MODEL ? 1 : 2;
}

static int by_turn(const void *a, const void *b)
{
    const struct optimize_step *x = a, *y = b;
    return turn_of(x) != turn_of(y) ? turn_of(x) - turn_of(y) : x->model - y->model;
}

/* The steps of one family, which stand together in all. */
static void take_family(struct optimize_plan *plan, const struct optimize_step *all, size_t count)
{
    double now = 0, then = 0;
    for (size_t i = 0; i < count; i++) {
        now += all[i].now;
        then += all[i].then;
    }
    plan->now += now;
    plan->then += then < now * WORTH ? then : now;
    for (size_t i = 0; i < count && then < now * WORTH; i++) {
        bool other = all[i].base != all[i].base_now;
        bool stands = all[i].base == NO_MODEL;
        if (other &&
            (stands || all[i].then < all[i].now * BETTER || must_move(&all[i], all, count)))
            *ARRAY_ADD(plan->steps, plan->count, plan->cap) = all[i];
    }
}

static int root_of(const struct look *look, const struct optimize_step *step)
{
    return look->library->models[step->model].family;
}

static int by_root(const void *a, const void *b, void *context)
{
    const struct optimize_step *x = a, *y = b;
    int first = root_of(context, x), second = root_of(context, y);
    return first != second ? first - second : x->model - y->model;
}

/* What cannot be predicted, for want of profiles or across architectures, stays as it is. */
static struct optimize_step step_of(const struct look *look, int model,
                                    const struct model_bases *bases)
{
    struct optimize_step step = {.model = model, .base_now = base_now(look, model)};
    bool against = !bases->stands && bases->count && bases->options[0].cost >= 0;
    double alone = bases_predict(look->ops, look->library, model, NO_MODEL);
    step.base = against ? bases->options[0].model : bases->stands ? NO_MODEL : step.base_now;
    step.now = bases_predict(look->ops, look->library, model, step.base_now);
    step.then = bases_predict(look->ops, look->library, model, step.base);
    if (step.now < 0 || step.then < 0) {
        step.base = step.base_now;
        step.now = step.then = MAX(alone, 0.0);
    }
    return step;
}

int ops_optimize_plan(struct ops *ops, const struct library *library, const int *models,
                      size_t count, struct optimize_plan *ret, struct err *err)
{
    AUTO_FREE int *stored = mem_alloc((count + 1) * sizeof *stored);
    struct look look = {.ops = ops, .library = library, .models = stored};
    *ret = (struct optimize_plan){0};
    for (size_t i = 0; i < count; i++)
        if (library->models[models[i]].state == MODEL_COMPRESSED)
            stored[look.count++] = models[i];
    AUTO_FREE bool *can_stand = mem_alloc(look.count + 1);
    AUTO_FREE struct model_bases *bases = mem_zalloc((look.count + 1) * sizeof *bases);
    AUTO_FREE struct optimize_step *all = mem_zalloc((look.count + 1) * sizeof *all);
    memset(can_stand, 1, look.count + 1);
    AUTO_FREE bool *chosen = mem_zalloc(library->model_count + 1);
    for (size_t i = 0; i < look.count; i++)
        chosen[stored[i]] = true;
    AUTO_FREE bool *pinned = mem_zalloc(library->model_count + 1);
    look.chosen = chosen;
    look.pinned = pinned;
    stored_read(ops, &look.stored, ignore_problem, NULL);
    int r = find_bases(&look, err);
    pin_bases(&look);
    const struct bases_request request = {.models = stored,
                                          .count = look.count,
                                          .can_stand = can_stand,
                                          .base = NO_MODEL,
                                          .offer = offer_of,
                                          .context = &look};
    bases_choose(ops, library, &request, bases);
    for (size_t i = 0; i < look.count; i++)
        all[i] = step_of(&look, stored[i], &bases[i]);
    if (look.count)
        qsort_r(all, look.count, sizeof *all, by_root, &look);
    for (size_t at = 0, end; at < look.count; at = end) {
        for (end = at + 1; end < look.count; end++)
            if (root_of(&look, &all[end]) != root_of(&look, &all[at]))
                break;
        take_family(ret, all + at, end - at);
    }
    if (ret->count)
        qsort(ret->steps, ret->count, sizeof *ret->steps, by_turn);
    stored_release(&look.stored);
    map_release(&look.bases);
    return r;
}

void optimize_plan_release(struct optimize_plan *plan)
{
    free(plan->steps);
    *plan = (struct optimize_plan){0};
}

static const char *name_of(const struct library *library, int model)
{
    return model == NO_MODEL ? "nothing: standalone" : library->models[model].name;
}

void optimize_text(const struct library *library, const struct optimize_plan *plan, struct buf *out)
{
    char saved[16];
    if (!plan->count) {
        buf_str(out, "Nothing would become smaller\n");
        return;
    }
    text_size(saved, (uint64_t)(plan->now - plan->then));
    buf_printf(out, "Optimize %zu model%s\n", plan->count, plan->count == 1 ? "" : "s");
    for (size_t i = 0; i < plan->count; i++) {
        const struct optimize_step *step = &plan->steps[i];
        AUTO_FREE char *name = text_safe(library->models[step->model].name);
        AUTO_FREE char *base = text_safe(name_of(library, step->base));
        AUTO_FREE char *before = text_safe(name_of(library, step->base_now));
        buf_printf(out, "  %s: against %s (now %s), about %+.0f%%\n", name, base, before,
                   (step->then / step->now - 1) * 100);
    }
    buf_printf(out, "  frees about %s; each model is given back and compressed again\n", saved);
}

/* ---- carrying it out ---- */

/* The library as it is now, and where the models of a step stand in it. */
static int load_step(struct ops *ops, const struct library *before,
                     const struct optimize_step *step, struct library **ret, int *ret_model,
                     int *ret_base, struct err *err)
{
    const char *base = step->base == NO_MODEL ? NULL : before->models[step->base].id;
    int r = ops_library(ops, ret, err);
    if (r < 0)
        return r;
    *ret_model = library_find_id(*ret, before->models[step->model].id);
    *ret_base = base ? library_find_id(*ret, base) : NO_MODEL;
    if (*ret_model != NO_MODEL && (!base || *ret_base != NO_MODEL))
        return 0;
    library_unref(*ret);
    return err_set(err, ERR_CHANGED, "%s: the collection has changed meanwhile",
                   before->models[step->model].name);
}

static int give_back(struct ops *ops, const struct library *library, int model,
                     struct progress *progress, struct err *err)
{
    struct done_report report;
    int r = ops_decompress(ops, library, &model, 1, NULL, progress, &report, err);
    done_report_release(&report);
    ops_refresh(ops);
    return r;
}

/* A model that was moved twice counts as it is now. */
static void take_done(struct done_report *ret, struct done_model *done)
{
    struct done_model *before = NULL;
    for (size_t i = 0; i < ret->count; i++)
        if (strcmp(ret->models[i].id, done->id) == 0)
            before = &ret->models[i];
    if (!before)
        before = ARRAY_ADD(ret->models, ret->count, ret->cap);
    free(before->name);
    free(before->error);
    *before = *done;
    *done = (struct done_model){0};
}

static int compress_again(struct ops *ops, const struct library *library, int model, int base,
                          struct progress *progress, struct done_report *ret, struct err *err)
{
    const struct plan_request request = {
        .models = &model, .count = 1, .base = base, .alone = base == NO_MODEL, .live = true};
    struct plan *plan;
    struct done_report report = {0};
    int r = ops_plan(ops, library, &request, progress, &plan, err);
    if (r < 0)
        return r;
    r = ops_compress(ops, library, plan, false, progress, &report, err);
    for (size_t i = 0; i < report.count; i++)
        take_done(ret, &report.models[i]);
    buf_add(&ret->notes, report.notes.data ? report.notes.data : "", report.notes.len);
    done_report_release(&report);
    plan_free(plan);
    ops_refresh(ops);
    return r;
}

/* Gives the models of some steps back, and compresses each of them as it is to be. */
static int take_steps(struct ops *ops, const struct library *before,
                      const struct optimize_step *steps, size_t count, struct progress *progress,
                      struct done_report *ret, struct err *err)
{
    struct library *library;
    AUTO_FREE struct queue_job *jobs = mem_zalloc((count + 1) * sizeof *jobs);
    size_t begun = 0;
    int model, base, r = 0;
    for (; begun < count && r == 0; begun++) {
        r = load_step(ops, before, &steps[begun], &library, &model, &base, err);
        if (r < 0)
            break;
        /* From here on it is on the queue: what interrupts it, its compression goes on later. */
        const struct plan_request request = {.base = base, .live = true};
        jobs[begun] = queue_job_for(QUEUE_COMPRESS, library, &model, 1, &request);
        queue_add(ops, &jobs[begun]);
        r = give_back(ops, library, model, progress, err);
        library_unref(library);
    }
    for (size_t i = 0; i < begun; i++) {
        if (r == 0)
            r = load_step(ops, before, &steps[i], &library, &model, &base, err);
        if (r == 0) {
            r = compress_again(ops, library, model, base, progress, ret, err);
            library_unref(library);
        }
        if (!queue_keeps(r))
            queue_drop(ops, jobs[i].id);
        queue_job_release(&jobs[i]);
    }
    return r;
}

/* All steps of a plan, one by one; together: what they share can only be moved at once. */
static int take_plan(struct ops *ops, const struct library *library,
                     const struct optimize_plan *plan, bool together, struct progress *progress,
                     struct done_report *ret, struct err *err)
{
    int r = 0;
    if (together)
        return take_steps(ops, library, plan->steps, plan->count, progress, ret, err);
    for (size_t i = 0; i < plan->count && r == 0; i++) {
        progress_item(progress, (uint32_t)i + 1, (uint32_t)plan->count);
        r = take_steps(ops, library, &plan->steps[i], 1, progress, ret, err);
    }
    return r;
}

/* The same models, planned anew: what others were stored against could not move before them. */
static int next_round(struct ops *ops, const struct library *before, const int *models,
                      size_t count, bool together, struct progress *progress,
                      struct done_report *ret, size_t *ret_steps, struct err *err)
{
    struct library *library;
    struct optimize_plan plan = {0};
    AUTO_FREE int *now = mem_alloc((count + 1) * sizeof *now);
    size_t n = 0;
    int r = ops_library(ops, &library, err);
    if (r < 0)
        return r;
    for (size_t i = 0; i < count; i++)
        n += (now[n] = library_find_id(library, before->models[models[i]].id)) != NO_MODEL;
    r = ops_optimize_plan(ops, library, now, n, &plan, err);
    if (r == 0)
        r = take_plan(ops, library, &plan, together, progress, ret, err);
    *ret_steps = plan.count;
    optimize_plan_release(&plan);
    library_unref(library);
    return r;
}

int ops_optimize(struct ops *ops, const struct library *library, const int *models, size_t count,
                 const struct optimize_plan *plan, struct progress *progress,
                 struct done_report *ret, struct err *err)
{
    size_t steps = plan->count;
    *ret = (struct done_report){0};
    int r = ops_may_write(ops, err);
    if (r == 0)
        r = take_plan(ops, library, plan, false, progress, ret, err);
    for (int round = 1; round < ROUNDS && steps && r == 0; round++)
        r = next_round(ops, library, models, count, round >= TOGETHER, progress, ret, &steps, err);
    return r;
}
