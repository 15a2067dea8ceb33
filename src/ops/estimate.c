/* SPDX-License-Identifier: MIT */
/* What compressing each model alone, and each family as one, would free: kept in the catalog. */
#include "ops/plan.h"

#include "catalog/catalog.h"

#include <string.h>

enum { DEPTH = 8 /* ancestors that an estimate depends on */ };

static void add_state(const struct library *library, int model, struct buf *text)
{
    const struct lib_model *m = &library->models[model];
    for (size_t i = 0; i < m->file_count; i++) {
        const struct lib_file *file = &library->files[m->files[i]];
        buf_add(text, &file->content, sizeof file->content);
        buf_printf(text, "%d %u %s\n", file->state, file->links, file->path);
    }
}

/* What the estimate of a model depends on: contents and states of it and of its ancestors. */
static struct hash128 estimate_key(const struct library *library, int model)
{
    AUTO_BUF struct buf text = {0};
    for (int depth = 0; model != NO_MODEL && depth < DEPTH; depth++) {
        add_state(library, model, &text);
        model = library->models[model].base;
    }
    return hash128_of(text.data, text.len);
}

/* The same of models that are planned together. */
static struct hash128 group_key(const struct library *library, const int *models, size_t count)
{
    AUTO_BUF struct buf text = {0};
    for (size_t i = 0; i < count; i++)
        add_state(library, models[i], &text);
    return hash128_of(text.data, text.len);
}

struct estimator {
    struct ops *ops;
    const struct library *library;
    struct readers *readers;
    struct progress *progress;
};

/* Whether any file of a model lies where it could be compressed. */
static bool is_plain(const struct library *library, int model)
{
    const struct lib_model *m = &library->models[model];
    bool plain = false;
    for (size_t i = 0; i < m->file_count; i++)
        plain |= library->files[m->files[i]].state == FILE_PLAIN;
    return plain;
}

/* What compressing these models would free; INT64_MIN: they cannot be. */
static int plan_quickly(const struct estimator *e, const int *models, size_t count, int64_t *ret,
                        struct err *err)
{
    const struct plan_request request = {.models = models,
                                         .count = count,
                                         .base = NO_MODEL,
                                         .readers = e->readers,
                                         .quick = true,
                                         .live = true};
    struct plan *plan;
    bool can = false, plain = false;
    *ret = INT64_MIN;
    for (size_t i = 0; i < count; i++)
        plain |= is_plain(e->library, models[i]);
    int r = progress_check(e->progress, err);
    if (r < 0 || !plain)
        return r;
    r = ops_plan(e->ops, e->library, &request, e->progress, &plan, err);
    if (r < 0)
        return r;
    for (size_t f = 0; f < plan->file_count; f++)
        can |= !plan->files[f].skip;
    *ret = can ? plan->frees : INT64_MIN;
    plan_free(plan);
    return 0;
}

/* Plans models, unless it is known for this key what that gives, and keeps it with the owner. */
static int estimate(const struct estimator *e, const int *models, size_t count, int owner,
                    bool family, const struct hash128 *key, struct err *err)
{
    const char *id = e->library->models[owner].id;
    struct hash128 before;
    int64_t frees;
    if (catalog_estimate_key(e->ops->catalog, id, family, &before, NULL) == 0 &&
        hash128_equal(&before, key))
        return 0;
    int r = plan_quickly(e, models, count, &frees, err);
    return r < 0 ? r : catalog_put_estimate(e->ops->catalog, id, family, frees, key, err);
}

static int by_family(const void *a, const void *b, void *context)
{
    const struct library *library = context;
    int x = *(const int *)a, y = *(const int *)b;
    int m = library->models[x].family, n = library->models[y].family;
    return m != n ? m - n : x - y;
}

/*
 * The members of a family that lie on disk, planned as one; what was estimated when there were more
 * goes.
 */
static int estimate_family(const struct estimator *e, const int *models, size_t count,
                           struct err *err)
{
    AUTO_FREE int *plain = mem_alloc((count + 1) * sizeof *plain);
    int root = e->library->models[models[0]].family;
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        const struct lib_model *m = &e->library->models[models[i]];
        if (m->hashed && m->state == MODEL_PLAIN)
            plain[n++] = models[i];
    }
    struct hash128 key = group_key(e->library, plain, n);
    if (n > 1)
        return estimate(e, plain, n, root, true, &key, err);
    return e->library->models[root].family_known
               ? catalog_put_estimate(e->ops->catalog, e->library->models[root].id, true, INT64_MIN,
                                      &key, err)
               : 0;
}

static int estimate_families(const struct estimator *e, struct err *err)
{
    size_t count = e->library->model_count;
    AUTO_FREE int *order = mem_alloc((count + 1) * sizeof *order);
    int r = 0;
    for (size_t i = 0; i < count; i++)
        order[i] = (int)i;
    if (count)
        qsort_r(order, count, sizeof *order, by_family, (void *)e->library);
    for (size_t at = 0, end; at < count && r == 0; at = end) {
        int family = e->library->models[order[at]].family;
        for (end = at + 1; end < count && e->library->models[order[end]].family == family; end++)
            ;
        r = estimate_family(e, order + at, end - at, err);
    }
    return r;
}

int ops_estimate(struct ops *ops, struct progress *progress, struct err *err)
{
    struct library *library;
    int r = ops_library(ops, &library, err);
    if (r < 0)
        return r;
    const struct estimator e = {ops, library, readers_new(), progress};
    progress_phase(progress, "estimating");
    for (size_t i = 0; i < library->model_count && r == 0; i++) {
        struct hash128 key = estimate_key(library, (int)i);
        int model = (int)i;
        if (library->models[i].hashed)
            r = estimate(&e, &model, 1, model, false, &key, err);
    }
    if (r == 0)
        r = estimate_families(&e, err);
    readers_free(e.readers);
    library_unref(library);
    return r;
}
