/* SPDX-License-Identifier: MIT */
/*
 * The plan. Each tensor of each file is decided on by samples: a reference where its bytes are
 * known, a delta where a base is at hand and gains, else the best standalone codec. A base is at
 * hand if the store has it, if its file can be held where it lies, or if it is compressed in the
 * same plan and standalone itself (depth is 1); else a copy may be made, where that pays.
 */
#include "ops/plan.h"

#include "base/file.h"
#include "catalog/catalog.h"
#include "delta/sketch.h"
#include "ops/bases.h"
#include "ops/choose.h"
#include "ops/config.h"
#include "ops/guard.h"
#include "ops/audience.h"
#include "ops/scan.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    ANCESTORS = 8,
    MANIFEST_COST = 6000,
    RANGE_COST = 540,
    TRIED = 3,
    LIKES_MOST = 4000000 /* pairs */
};
#define ALIKE 4.2 /* bits: of 32 elements of unrelated tensors hardly ever so few differ */
#define NEARLY                                                                                     \
    1.15 /* bases that are predicted to be so much worse than the best are tried, too              \
          */

/* A file of the library as the planner uses it: its tensors, and how it can serve as a base. */
struct source_file {
    bool loaded, listed, planned; /* listed: in the plan; planned: and not skipped */
    bool touched;
    bool asked, can_hold; /* asked: can_hold is known */
    bool open;            /* fd is, for samples */
    int fd;
    struct catalog_tensors tensors;
    struct map names;    /* of the tensors, by what a base is found by: their index */
    bool sketched;       /* tried: sketches may be empty still */
    struct buf sketches; /* SKETCH_TENSOR for each tensor */
};

struct planner {
    struct ops *ops;
    const struct library *library;
    const struct plan_request *request;
    struct plan *plan;
    struct source_file *files; /* one for each of the library's */
    struct model_bases *bases; /* one for each of the plan's models */
    struct chooser *chooser;
    struct readers *readers, *own_readers;
    uint32_t *touched;
    size_t touched_count, touched_cap;
    uint32_t *open; /* files that are open: of one file and its bases at a time */
    size_t open_count, open_cap;
    struct map seen;     /* ids that the plan stores: 1 standalone, 2 delta */
    struct map demanded; /* ids that are to stand alone: others are differences from them */
    double seconds;
    uint64_t likes; /* pairs of tensors of different names that were compared */
};

const char *base_how_name(enum base_how how)
{
    static const char *const names[] = {"none", "stored", "held", "included", "copied"};
    return names[how];
}

const struct plan_model *plan_model_of(const struct plan *plan, int model)
{
    uint32_t place = plan->places[model];
    return place ? &plan->models[place - 1] : NULL;
}

void plan_free(struct plan *plan)
{
    if (!plan)
        return;
    for (size_t i = 0; i < plan->file_count; i++) {
        free(plan->files[i].ranges);
        free(plan->files[i].store);
        free(plan->files[i].skip);
    }
    free(plan->models);
    free(plan->places);
    free(plan->files);
    path_list_release(&plan->notes);
    arena_release(&plan->arena);
    free(plan);
}

static const struct lib_file *lib_file(const struct planner *p, uint32_t file)
{
    return &p->library->files[file];
}

static bool on_disk(const struct lib_file *file)
{
    return file->state == FILE_PLAIN || file->state == FILE_KEPT;
}

struct readers {
    struct path_list paths;
    struct store **stores; /* NULL where there is none yet */
};

struct readers *readers_new(void)
{
    return mem_zalloc(sizeof(struct readers));
}

void readers_free(struct readers *readers)
{
    for (size_t i = 0; readers && i < readers->paths.count; i++)
        store_close(readers->stores[i]);
    if (readers)
        path_list_release(&readers->paths);
    if (readers)
        free(readers->stores);
    free(readers);
}

/* The store that belongs to this path, open for reading; NULL where there is none yet. */
static struct store *store_at(struct planner *p, const char *path)
{
    struct readers *readers = p->readers;
    for (size_t i = 0; i < readers->paths.count; i++)
        if (strcmp(readers->paths.paths[i], path) == 0)
            return readers->stores[i];
    path_list_push(&readers->paths, path);
    readers->stores = mem_realloc(readers->stores, readers->paths.count * sizeof *readers->stores);
    struct store **store = &readers->stores[readers->paths.count - 1];
    *store = NULL;
    if (store_open(path, STORE_READ, NULL, NULL, store, NULL, NULL) < 0)
        *store = NULL;
    return *store;
}

/* What the store will still have once its next writer has removed what nothing needs. */
static enum content_kind will_have(const struct store *store, const struct hash128 *id)
{
    enum content_kind kind = store ? store_has(store, id) : CONTENT_NONE;
    return kind == CONTENT_HELD || (kind && store_is_needed(store, id)) ? kind : CONTENT_NONE;
}

/* Notes that the file has something to release. */
static void touch(struct planner *p, uint32_t file)
{
    if (!p->files[file].touched)
        *ARRAY_ADD(p->touched, p->touched_count, p->touched_cap) = file;
    p->files[file].touched = true;
}

static int load_file(struct planner *p, uint32_t file, struct err *err)
{
    struct source_file *source = &p->files[file];
    if (source->loaded)
        return 0;
    touch(p, file);
    int r = catalog_tensors(p->ops->catalog, lib_file(p, file)->row, &source->tensors, err);
    source->loaded = r == 0;
    for (size_t i = source->tensors.layout.count; i-- > 0 && r == 0;) {
        struct hash128 key = choose_key(&source->tensors.layout.tensors[i]);
        map_put(&source->names, &key, i);
    }
    return r;
}

static void close_files(struct planner *p)
{
    while (p->open_count) {
        struct source_file *source = &p->files[p->open[--p->open_count]];
        source->open = false;
        cleanup_fd(&source->fd);
    }
}

static int open_file(struct planner *p, uint32_t file, struct err *err)
{
    struct source_file *source = &p->files[file];
    if (source->open)
        return 0;
    source->fd = file_open_regular(AT_FDCWD, lib_file(p, file)->path, NULL, err);
    source->open = source->fd >= 0;
    if (source->open)
        *ARRAY_ADD(p->open, p->open_count, p->open_cap) = file;
    return MIN(source->fd, 0);
}

/* The ancestors of a model, nearest first: as declared, or what the user named and its own. */
static size_t ancestors(const struct planner *p, int model, int out[ANCESTORS])
{
    size_t n = 0;
    int at = p->request->base != NO_MODEL ? p->request->base : p->library->models[model].base;
    while (at != NO_MODEL && at != model && n < ANCESTORS) {
        for (size_t i = 0; i < n; i++)
            if (out[i] == at)
                return n;
        out[n++] = at;
        at = p->library->models[at].base;
    }
    return n;
}

static void add_model(struct planner *p, int model, bool asked)
{
    if (plan_model_of(p->plan, model))
        return;
    *ARRAY_ADD(p->plan->models, p->plan->model_count, p->plan->model_cap) =
        (struct plan_model){.model = model, .base = NO_MODEL, .asked = asked};
    p->plan->places[model] = (uint32_t)p->plan->model_count;
}

/* Ancestors come before their descendants: what is a base is planned before what needs it. */
static void add_models(struct planner *p)
{
    const struct plan_request *request = p->request;
    int chain[ANCESTORS];
    for (size_t i = 0; i < request->count; i++) {
        size_t n = ancestors(p, request->models[i], chain);
        while (n-- > 0) {
            bool asked = false;
            for (size_t k = 0; k < request->count; k++)
                asked |= request->models[k] == chain[n];
            if (asked || (request->include_base && n == 0))
                add_model(p, chain[n], asked);
        }
        add_model(p, request->models[i], true);
    }
}

/*
 * A file that others read would be taken from them, unless they can read the store, too. NULL: it
 * is not, or that was asked for.
 */
static char *taken_from_others(struct planner *p, const struct lib_model *model,
                               const struct lib_file *file)
{
    struct stat st;
    AUTO_FREE char *path = ops_store_for(p->ops, model, file->path);
    struct store *store = store_at(p, path);
    bool shared =
        store ? fstat(store_dir(store), &st) == 0 && st.st_mode & 0055 : p->ops->options.shared;
    if (shared)
        return NULL;
    AUTO_FREE char *who = audience_of(file->path);
    if (who && store && p->ops->options.shared)
        return mem_printf("%s can read it now, and the store %s is yours alone: let them read it "
                          "(chmod -R go+rX), or name another one with --store",
                          who, path);
    return who ? mem_printf("%s can read it now, and could not any more: --shared makes a store "
                            "that they can read",
                            who)
               : NULL;
}

static void note_network(struct planner *p, const struct lib_file *file)
{
    AUTO_FD int fd = file_open_regular(AT_FDCWD, file->path, NULL, NULL);
    unsigned hours = p->ops->config->aside;
    if (fd < 0 || p->ops->options.now || !hours || !file_on_network(fd))
        return;
    AUTO_FREE char *note =
        mem_printf("on a network file system another machine may have a file open: originals are "
                   "set aside, and freed after %u hours (--now does not wait)",
                   hours);
    path_list_add(&p->plan->notes, note);
}

static char *reason_against(struct planner *p, const struct lib_model *model,
                            const struct lib_file *file)
{
    struct err err = {0};
    if (file->state == FILE_STORED || file->state == FILE_GONE)
        return mem_strdup("it is compressed already");
    if (file->error)
        return mem_strdup(file->error);
    if (!on_disk(file))
        return mem_printf("it is %s", file_state_name(file->state));
    if (!file->size)
        return mem_strdup("it is empty");
    if (file->flags & FILE_SPARSE)
        return mem_strdup("it is sparse: its holes would have to be filled");
    if (p->request->quick)
        return file->links > 2 ? mem_strdup("it has other hard links") : NULL;
    struct stat st;
    struct guard guard = {.live = p->request->live};
    if (stat(file->path, &st) == 0 && st.st_nlink > 1) {
        AUTO_FREE char *path = ops_store_for(p->ops, model, file->path);
        struct store *store = store_at(p, path);
        guard.links = store && store_holds(store, st.st_dev, st.st_ino);
    }
    int r = guard_file(model, file, &guard, &err);
    guard_note(&guard, &p->plan->notes);
    if (r == 0)
        note_network(p, file);
    return r < 0 ? mem_strdup(err.text) : taken_from_others(p, model, file);
}

static int add_files(struct planner *p, struct err *err)
{
    struct plan *plan = p->plan;
    for (size_t m = 0; m < plan->model_count; m++) {
        const struct lib_model *model = &p->library->models[plan->models[m].model];
        for (size_t i = 0; i < model->file_count; i++) {
            if (p->files[model->files[i]].listed)
                continue;
            p->files[model->files[i]].listed = true;
            const struct lib_file *file = lib_file(p, model->files[i]);
            struct plan_file *added = ARRAY_ADD(plan->files, plan->file_count, plan->file_cap);
            added->file = model->files[i];
            added->model = plan->models[m].model;
            added->store = ops_store_for(p->ops, model, file->path);
            added->skip = reason_against(p, model, file);
            plan->models[m].size += file->size;
            p->files[added->file].planned = !added->skip;
            int r = added->skip ? 0 : load_file(p, added->file, err);
            if (r < 0)
                return r;
        }
    }
    return 0;
}

/* Names the models that are not planned but name a file that is. */
static void note_sharers(struct planner *p)
{
    for (size_t m = 0; m < p->library->model_count; m++) {
        const struct lib_model *model = &p->library->models[m];
        bool names = false;
        for (size_t i = 0; i < model->file_count; i++)
            names |= p->files[model->files[i]].planned;
        if (!names || plan_model_of(p->plan, (int)m))
            continue;
        AUTO_FREE char *note = mem_printf(
            "%s names the same file: it goes with it, and comes back with it", model->name);
        path_list_add(&p->plan->notes, note);
    }
}

/* Hashes what the plan needs to know the contents of: its files and those of their bases. */
static int hash_needed(struct planner *p, struct progress *progress, struct err *err)
{
    int r = 0, chain[ANCESTORS];
    const struct plan *plan = p->plan;
    for (size_t i = 0; i < plan->model_count && r == 0; i++) {
        size_t n = ancestors(p, plan->models[i].model, chain);
        /* What cannot be hashed is skipped later, with the reason. */
        r = ops_hash_models(p->ops, p->library, &plan->models[i].model, 1, progress, err);
        if (r == 0 || r != ERR_CANCELLED)
            r = ops_hash_models(p->ops, p->library, chain, n, progress, err);
        r = r == ERR_CANCELLED ? r : 0;
    }
    return r;
}

/* ---- finding a base for a tensor ---- */

/* A tensor that could serve as base: where it is, and what using it would mean. */
struct candidate {
    int model;
    uint32_t file;
    size_t tensor;
    struct hash128 id;
    enum base_how how;
};

/* The sketch of a tensor, or NULL. */
static const uint8_t *sketch_of(struct planner *p, uint32_t file, size_t tensor)
{
    struct source_file *source = &p->files[file];
    touch(p, file);
    if (!source->sketched && catalog_tensor_sketches(p->ops->catalog, lib_file(p, file)->row,
                                                     SKETCH_TENSOR, &source->sketches, NULL) < 0)
        source->sketches.len = 0;
    source->sketched = true;
    return source->sketches.len ? (const uint8_t *)source->sketches.data + tensor * SKETCH_TENSOR
                                : NULL;
}

/* A tensor that is wanted a base for: of a file, at a place in it. */
struct wanted {
    const struct tensor *tensor;
    uint32_t file;
    size_t index;
};

/* By name and shape. */
static bool find_named(struct planner *p, int model, const struct wanted *want,
                       struct candidate *ret)
{
    const struct lib_model *m = &p->library->models[model];
    struct hash128 key = choose_key(want->tensor);
    for (size_t i = 0; i < m->file_count; i++) {
        const struct source_file *source = &p->files[m->files[i]];
        uint64_t at;
        if (load_file(p, m->files[i], NULL) < 0 || !map_get(&source->names, &key, &at) ||
            !choose_suits(&source->tensors.layout.tensors[at], want->tensor))
            continue;
        *ret =
            (struct candidate){model, m->files[i], (size_t)at, source->tensors.ids[at], BASE_NONE};
        return true;
    }
    return false;
}

/* By shape and sketch, under whatever name: the nearest, where it is near enough to be related. */
static bool find_like(struct planner *p, int model, const struct wanted *want,
                      struct candidate *ret)
{
    const struct lib_model *m = &p->library->models[model];
    const uint8_t *own = sketch_of(p, want->file, want->index), *other;
    double nearest = ALIKE;
    for (size_t i = 0; i < m->file_count && own; i++) {
        const struct catalog_tensors *tensors = &p->files[m->files[i]].tensors;
        size_t count = p->files[m->files[i]].loaded ? tensors->layout.count : 0;
        for (size_t k = 0; k < count && p->likes < LIKES_MOST; k++) {
            const struct tensor *t = &tensors->layout.tensors[k];
            p->likes++;
            if (!choose_same_shape(t, want->tensor) || !(other = sketch_of(p, m->files[i], k)) ||
                sketch_distance(own, other) >= nearest)
                continue;
            nearest = sketch_distance(own, other);
            *ret = (struct candidate){model, m->files[i], k, tensors->ids[k], BASE_NONE};
        }
    }
    return nearest < ALIKE;
}

/* The tensor of a model that can be a base of the wanted one. */
static bool find_tensor(struct planner *p, int model, const struct wanted *want,
                        struct candidate *ret)
{
    return find_named(p, model, want, ret) || find_like(p, model, want, ret);
}

static void check_holding(struct planner *p, uint32_t file, const char *store)
{
    const struct lib_file *f = lib_file(p, file);
    struct stat here, there;
    if (p->files[file].asked)
        return;
    p->files[file].asked = true;
    AUTO_FREE char *parent = file_dir(store);
    while (stat(parent, &there) < 0 && strrchr(parent, '/') > parent)
        *strrchr(parent, '/') = '\0';
    bool linkable = f->digest && on_disk(f) && lstat(f->path, &here) == 0 &&
                    stat(parent, &there) == 0 && here.st_dev == there.st_dev;
    p->files[file].can_hold =
        linkable || (on_disk(f) && !p->request->quick && !p->ops->options.readonly &&
                     store_can_clone(parent, f->path));
}

/* How the candidate could be used; BASE_NONE: not at all. */
static enum base_how usable(struct planner *p, const struct plan_file *file,
                            const struct candidate *c, bool stored_only)
{
    struct store *store = store_at(p, file->store);
    uint64_t planned;
    if (hash128_is_zero(&c->id))
        return BASE_NONE;
    if (map_get(&p->seen, &c->id, &planned))
        return planned == 1 ? BASE_INCLUDED : BASE_NONE;
    enum content_kind kind = will_have(store, &c->id);
    if (kind != CONTENT_NONE)
        return store_is_delta(store, &c->id) ? BASE_NONE
               : kind == CONTENT_HELD        ? BASE_HELD
                                             : BASE_STORED;
    if (stored_only || p->files[c->file].planned || !on_disk(lib_file(p, c->file)))
        return BASE_NONE; /* planned, but not standalone: no base */
    return p->files[c->file].can_hold ? BASE_HELD : BASE_COPIED;
}

static const struct model_bases *bases_of(const struct planner *p, int model)
{
    return &p->bases[plan_model_of(p->plan, model) - p->plan->models];
}

/*
 * The bases to try, the best one first. One of equal bytes is found alone: nothing is better.
 */
static size_t find_bases(struct planner *p, const struct plan_file *file,
                         const struct tensor *tensor, const struct plan_range *range,
                         struct candidate out[TRIED])
{
    const struct model_bases *bases = bases_of(p, file->model);
    const struct wanted want = {tensor, file->file, (size_t)range->tensor};
    double best = -1;
    size_t n = 0;
    for (size_t i = 0; i < bases->count; i++) {
        const struct base_option *option = &bases->options[i];
        struct candidate c;
        if (!find_tensor(p, option->model, &want, &c))
            continue;
        c.how = usable(p, file, &c, option->stored_only);
        if (c.how != BASE_NONE && hash128_equal(&c.id, &range->id)) {
            out[0] = c;
            return 1;
        }
        bool nearly = n == 0 || (n < TRIED && option->cost >= 0 && option->cost < NEARLY * best);
        if (c.how == BASE_NONE || !nearly)
            continue;
        best = n ? best : option->cost;
        out[n++] = c;
    }
    return n;
}

/* ---- deciding on ranges ---- */

/* Where the bytes of a candidate can be read for samples. content is the caller's to free. */
static int candidate_bytes(struct planner *p, const struct plan_file *file,
                           const struct candidate *c, struct base_at *ret, struct content **content,
                           struct err *err)
{
    struct store *store = store_at(p, file->store);
    const struct tensor *t = &p->files[c->file].tensors.layout.tensors[c->tensor];
    *content = NULL;
    *ret = (struct base_at){.bytes = t->bytes, .dtype = t->dtype};
    if (on_disk(lib_file(p, c->file))) {
        int r = open_file(p, c->file, err);
        ret->at = (struct bytes_at){.fd = p->files[c->file].fd, .offset = t->offset};
        return r;
    }
    int r = store ? content_open(store, &c->id, content, err)
                  : err_set(err, ERR_NOTFOUND, "the base is not there");
    ret->at = (struct bytes_at){.fd = -1, .content = *content};
    return r;
}

/* Whether the bytes are stored, or planned to be, so that a reference is enough. */
static bool is_known(struct planner *p, const struct plan_file *file, const struct hash128 *id)
{
    const struct store *store = store_at(p, file->store);
    struct stat st;
    if (map_has(&p->seen, id) || !store)
        return map_has(&p->seen, id);
    enum content_kind kind = will_have(store, id);
    return kind == CONTENT_OBJECT || kind == CONTENT_PACK ||
           (kind == CONTENT_HELD && fstat(p->files[file->file].fd, &st) == 0 &&
            store_held_elsewhere(store, id, lib_file(p, file->file)->path, &st));
}

static void plan_reference(struct planner *p, struct plan_range *range,
                           const struct candidate *base)
{
    range->reference = true;
    range->base_file = (int)base->file;
    map_put(&p->seen, &range->id, 1);
}

/* Encodes samples with one base, or without any, and takes it where it is the smallest so far. */
static int try_base(struct planner *p, const struct plan_file *file, struct plan_range *range,
                    const struct candidate *base, double *seconds, struct err *err)
{
    const struct bytes_at raw = {.fd = p->files[file->file].fd, .offset = range->offset};
    struct choice choice;
    struct content *content = NULL;
    struct base_at at;
    /* A base that cannot be read is none. */
    bool has = base && candidate_bytes(p, file, base, &at, &content, NULL) == 0;
    int r = base && !has ? 0
                         : choose(p->chooser, range->dtype, range->bytes, &raw, has ? &at : NULL,
                                  &choice, err);
    content_free(content);
    if (r < 0 || (base && !has))
        return r;
    uint64_t bytes = has ? choice.delta_bytes : choice.alone_bytes;
    if (!range->alone || !has) {
        range->alone = choice.alone_bytes;
        range->alone_codec = choice.alone;
    }
    if (range->estimated && bytes >= range->estimated)
        return 0;
    range->estimated = bytes;
    range->codec = has ? choice.delta : choice.alone;
    range->base = has ? base->id : (struct hash128){0};
    range->base_dtype = has ? at.dtype : DTYPE_BYTES;
    range->base_file =
        has && (base->how == BASE_HELD || base->how == BASE_COPIED) ? (int)base->file : -1;
    *seconds = choice.seconds;
    return 0;
}

/* Prefers standing alone where that is as small. */
static void settle_range(struct planner *p, struct plan_range *range, double seconds)
{
    bool delta = !hash128_is_zero(&range->base) && range->estimated < range->alone;
    if (!delta) {
        range->base = (struct hash128){0};
        range->base_file = -1;
        range->codec = range->alone_codec;
        range->estimated = range->alone;
    }
    map_put(&p->seen, &range->id, delta ? 2 : 1);
    p->seconds += seconds;
}

static int decide(struct planner *p, struct plan_file *file, struct plan_range *range,
                  const struct tensor *tensor, struct err *err)
{
    struct store *store = store_at(p, file->store);
    struct candidate bases[TRIED];
    double seconds = 0;
    size_t n = 0, tried = 0;
    int r = 0;
    range->base_file = -1;
    range->reference = is_known(p, file, &range->id);
    if (range->reference)
        return 0;
    if (tensor && dtype_is_float(tensor->dtype))
        n = find_bases(p, file, tensor, range, bases);
    if (n && hash128_equal(&bases[0].id, &range->id)) {
        plan_reference(p, range, &bases[0]);
        return 0;
    }
    bool must_stand =
        map_has(&p->demanded, &range->id) || (store && store_is_base(store, &range->id));
    for (size_t i = 0; i < n && r == 0 && !must_stand; i++) {
        if (store && !store_may_be_delta(store, &range->id, &bases[i].id))
            continue;
        r = try_base(p, file, range, &bases[i], &seconds, err);
        tried += range->alone > 0;
    }
    if (r == 0 && !tried)
        r = try_base(p, file, range, NULL, &seconds, err);
    if (r == 0)
        settle_range(p, range, seconds);
    return r;
}

/* The id of bytes that are no tensor. */
static int hash_between(int fd, const struct range *range, struct hash128 *ret, struct err *err)
{
    enum { BLOCK = 1 << 16 };
    AUTO_FREE char *block = mem_alloc(BLOCK);
    struct hasher *hasher = hasher_new(0);
    int r = 0;
    for (uint64_t at = 0; at < range->bytes && r == 0;) {
        size_t n = (size_t)MIN(range->bytes - at, (uint64_t)BLOCK);
        r = file_pread(fd, block, n, range->offset + at, err);
        if (r == 0)
            hasher_update(hasher, block, n);
        at += n;
    }
    *ret = hasher_digest(hasher);
    hasher_free(hasher);
    return r;
}

/* What a clone in the store holds of a file goes with it. */
static bool is_held(struct planner *p, const struct plan_file *file)
{
    struct store *store = store_at(p, file->store);
    bool held = false;
    for (size_t i = 0; store && i < store_held_count(store) && !held; i++)
        held = strcmp(store_held(store, i)->path, lib_file(p, file->file)->path) == 0;
    return held;
}

/* Bytes that removing the file frees. */
static uint64_t freed_by(struct planner *p, const struct plan_file *file)
{
    struct stat st;
    int fd = p->files[file->file].fd;
    uint64_t disk = lib_file(p, file->file)->disk;
    uint64_t own = fstat(fd, &st) == 0 ? file_exclusive(fd, &st) : disk;
    return own < disk && is_held(p, file) ? disk : own;
}

static int plan_one_file(struct planner *p, struct plan_file *file, struct err *err)
{
    struct source_file *source = &p->files[file->file];
    const struct layout *layout = &source->tensors.layout;
    size_t count;
    int r = open_file(p, file->file, err);
    file->disk = r < 0 ? 0 : freed_by(p, file);
    AUTO_FREE struct range *ranges = layout_ranges(layout, &count);
    file->ranges = mem_zalloc(count * sizeof *file->ranges);
    file->range_count = count;
    for (size_t i = 0; i < count && r == 0; i++) {
        struct plan_range *range = &file->ranges[i];
        const struct tensor *t = ranges[i].tensor;
        *range = (struct plan_range){.offset = ranges[i].offset,
                                     .bytes = ranges[i].bytes,
                                     .dtype = t ? t->dtype : DTYPE_BYTES,
                                     .tensor = t ? t - layout->tensors : -1};
        if (t && hash128_is_zero(&source->tensors.ids[range->tensor]))
            r = err_set(err, ERR_CHANGED, "it changed since it was indexed; scan again");
        else if (t)
            range->id = source->tensors.ids[range->tensor];
        else
            r = hash_between(source->fd, &ranges[i], &range->id, err);
        if (r == 0)
            r = decide(p, file, range, t, err);
    }
    cleanup_fd(&source->fd);
    source->fd = -1;
    return r;
}

/* ---- copies of bases: only where they pay ---- */

/* Estimated cost of standalone copies of what the plan uses of this base file, and their gain. */
static void weigh_copy(const struct planner *p, int base, uint64_t *cost, uint64_t *gain)
{
    struct map counted = {0};
    *cost = *gain = 0;
    for (size_t f = 0; f < p->plan->file_count; f++) {
        const struct plan_file *file = &p->plan->files[f];
        for (size_t i = 0; i < file->range_count; i++) {
            const struct plan_range *range = &file->ranges[i];
            if (range->base_file != base)
                continue;
            const struct hash128 *id = range->reference ? &range->id : &range->base;
            /* A base compresses about as its fine-tune does. */
            uint64_t alone = range->reference ? range->bytes * 2 / 3 : range->alone;
            if (!map_has(&counted, id))
                *cost += alone;
            map_put(&counted, id, 1);
            *gain += range->reference ? alone : range->alone - range->estimated;
        }
    }
    map_release(&counted);
}

static void give_up_base(struct planner *p, int base)
{
    for (size_t f = 0; f < p->plan->file_count; f++) {
        struct plan_file *file = &p->plan->files[f];
        for (size_t i = 0; i < file->range_count; i++) {
            struct plan_range *range = &file->ranges[i];
            if (range->base_file != base)
                continue;
            if (range->reference) {
                range->alone_codec = CODEC_PLANES;
                range->alone = range->bytes * 2 / 3;
            }
            range->reference = false;
            range->base = (struct hash128){0};
            range->base_file = -1;
            range->codec = range->alone_codec;
            range->estimated = range->alone;
        }
    }
}

/* How many files of the plan need this base. */
static size_t count_users(const struct planner *p, int base)
{
    size_t users = 0;
    for (size_t f = 0; f < p->plan->file_count; f++) {
        bool uses = false;
        for (size_t i = 0; i < p->plan->files[f].range_count && !uses; i++)
            uses = p->plan->files[f].ranges[i].base_file == base;
        users += uses;
    }
    return users;
}

/* Decides on a base that would have to be copied: a copy, or none. */
static void settle_copy(struct planner *p, int file)
{
    uint64_t cost, gain;
    weigh_copy(p, file, &cost, &gain);
    if (gain > cost) {
        p->plan->base_bytes += cost;
        return;
    }
    size_t users = count_users(p, file);
    uint64_t each = gain / MAX(users, 1u);
    give_up_base(p, file);
    AUTO_FREE char *note = mem_printf(
        "the base %s can be neither linked nor cloned: a copy of it would pay from about %llu "
        "members of its family on, compressed at once; or include it (--include-base)",
        file_base(lib_file(p, (uint32_t)file)->path),
        (unsigned long long)(each ? cost / each + 1 : cost));
    path_list_add(&p->plan->notes, note);
}

static void settle_copies(struct planner *p)
{
    AUTO_FREE bool *used = mem_zalloc(p->library->file_count + 1);
    for (size_t f = 0; f < p->plan->file_count; f++)
        for (size_t i = 0; i < p->plan->files[f].range_count; i++)
            if (p->plan->files[f].ranges[i].base_file >= 0)
                used[p->plan->files[f].ranges[i].base_file] = true;
    for (size_t file = 0; file < p->library->file_count; file++)
        if (used[file] && !p->files[file].can_hold && !p->files[file].planned)
            settle_copy(p, (int)file);
}

/* ---- sums ---- */

static struct plan_model *model_of(struct plan *plan, int model)
{
    return (struct plan_model *)plan_model_of(plan, model);
}

/* Which model of the library a base file belongs to, among the bases of a model. */
static int owner_of(const struct planner *p, int model, uint32_t file)
{
    const struct model_bases *bases = bases_of(p, model);
    for (size_t i = 0; i < bases->count; i++) {
        const struct lib_model *m = &p->library->models[bases->options[i].model];
        for (size_t f = 0; f < m->file_count; f++)
            if (m->files[f] == file)
                return bases->options[i].model;
    }
    return bases->count ? bases->options[0].model : NO_MODEL;
}

static void note_base(struct planner *p, const struct plan_file *file)
{
    struct plan_model *model = model_of(p->plan, file->model);
    struct store *store = store_at(p, file->store);
    const struct model_bases *bases = bases_of(p, file->model);
    for (size_t i = 0; i < file->range_count && model->how == BASE_NONE; i++) {
        const struct plan_range *range = &file->ranges[i];
        if (range->base_file >= 0) {
            model->base = owner_of(p, file->model, (uint32_t)range->base_file);
            model->how = p->files[range->base_file].planned    ? BASE_INCLUDED
                         : p->files[range->base_file].can_hold ? BASE_HELD
                                                               : BASE_COPIED;
        } else if (!hash128_is_zero(&range->base)) {
            struct candidate c;
            const struct wanted want = {&p->files[file->file].tensors.layout.tensors[range->tensor],
                                        file->file, (size_t)range->tensor};
            model->how =
                will_have(store, &range->base) != CONTENT_NONE ? BASE_STORED : BASE_INCLUDED;
            for (size_t a = 0; a < bases->count && model->base == NO_MODEL; a++)
                if (find_tensor(p, bases->options[a].model, &want, &c) &&
                    hash128_equal(&c.id, &range->base))
                    model->base = bases->options[a].model;
        }
    }
}

/* Ids that some file of the plan needs, but does not write itself. */
static void mark_needed(const struct planner *p, struct map *needed)
{
    for (size_t f = 0; f < p->plan->file_count; f++) {
        for (size_t i = 0; i < p->plan->files[f].range_count; i++) {
            const struct plan_range *range = &p->plan->files[f].ranges[i];
            map_put(needed, range->reference ? &range->id : &range->base, 1);
        }
    }
}

/* Files that would not become smaller stay as they are, unless others need what they hold. */
static void leave_incompressible(struct planner *p)
{
    struct map needed = {0};
    mark_needed(p, &needed);
    for (size_t f = 0; f < p->plan->file_count; f++) {
        struct plan_file *file = &p->plan->files[f];
        uint64_t estimated = MANIFEST_COST;
        bool wanted = false;
        for (size_t i = 0; i < file->range_count; i++) {
            estimated += file->ranges[i].estimated + RANGE_COST;
            wanted |= map_has(&needed, &file->ranges[i].id);
        }
        if (file->skip || wanted || estimated < file->disk)
            continue;
        bool shares = estimated < lib_file(p, file->file)->disk;
        file->skip =
            mem_strdup(shares ? "its blocks are shared with a clone, a snapshot or a lower "
                                "layer: storing it would take more than removing it frees"
                              : "it would not become smaller");
        file->range_count = 0;
    }
    map_release(&needed);
}

/* What the plan comes to. Files are worked on one by one: space is needed for one at a time. */
static void sum_up(struct planner *p)
{
    struct plan *plan = p->plan;
    int64_t balance = -(int64_t)plan->base_bytes, lowest = balance;
    for (size_t f = 0; f < plan->file_count; f++) {
        struct plan_file *file = &plan->files[f];
        if (file->skip)
            continue;
        file->estimated = MANIFEST_COST;
        for (size_t i = 0; i < file->range_count; i++)
            file->estimated += file->ranges[i].estimated + RANGE_COST;
        note_base(p, file);
        model_of(plan, file->model)->estimated += file->estimated;
        balance -= (int64_t)file->estimated;
        lowest = MIN(lowest, balance);
        if (!p->request->keep)
            balance += (int64_t)file->disk;
        plan->before += p->request->keep ? 0 : file->disk;
        plan->after += file->estimated;
        p->seconds += (double)lib_file(p, file->file)->size / 1.5e9;
    }
    plan->frees = (int64_t)plan->before - (int64_t)plan->after - (int64_t)plan->base_bytes;
    plan->needed = (uint64_t)(-lowest) + (uint64_t)(-lowest) / 20 + (1 << 20);
    plan->seconds = p->seconds / p->ops->options.threads;
    for (size_t f = 0; f < plan->file_count; f++)
        if (!plan->files[f].skip) {
            (void)file_free_space(plan->files[f].store, &plan->free, NULL);
            break;
        }
}

/* ---- which model is whose base ---- */

/* The store that the first planned file goes to; NULL where there is none yet. */
static struct store *main_store(struct planner *p, const char **ret_path)
{
    for (size_t f = 0; f < p->plan->file_count; f++) {
        *ret_path = p->plan->files[f].store;
        if (!p->plan->files[f].skip)
            break;
    }
    return p->plan->file_count ? store_at(p, *ret_path) : NULL;
}

/* The tensor by which a model is judged: its largest. */
static const struct hash128 *largest_tensor(struct planner *p, int model, uint32_t *ret_file)
{
    const struct lib_model *m = &p->library->models[model];
    const struct hash128 *id = NULL;
    uint64_t most = 0;
    for (size_t i = 0; i < m->file_count; i++) {
        if (load_file(p, m->files[i], NULL) < 0)
            continue;
        const struct catalog_tensors *tensors = &p->files[m->files[i]].tensors;
        for (size_t t = 0; t < tensors->layout.count; t++) {
            if (tensors->layout.tensors[t].bytes <= most || hash128_is_zero(&tensors->ids[t]))
                continue;
            most = tensors->layout.tensors[t].bytes;
            id = &tensors->ids[t];
            *ret_file = m->files[i];
        }
    }
    return id;
}

static enum base_offer offer_of(void *context, int model, bool stored_only)
{
    struct planner *p = context;
    const char *path = NULL;
    uint32_t file = 0;
    const struct store *store = main_store(p, &path);
    const struct hash128 *id = path ? largest_tensor(p, model, &file) : NULL;
    if (!id)
        return OFFER_NONE;
    if (will_have(store, id) != CONTENT_NONE)
        return store_is_delta(store, id) ? OFFER_NONE : OFFER_FREE;
    if (stored_only || !on_disk(lib_file(p, file)))
        return OFFER_NONE;
    check_holding(p, file, path);
    return p->files[file].can_hold ? OFFER_FREE : OFFER_COPY;
}

/* Models that others are stored against come first, and so do their files. */
static void put_stands_first(struct planner *p)
{
    struct plan *plan = p->plan;
    AUTO_FREE struct plan_model *models = mem_alloc((plan->model_count + 1) * sizeof *models);
    AUTO_FREE struct plan_file *files = mem_alloc((plan->file_count + 1) * sizeof *files);
    struct model_bases *bases = mem_alloc((plan->model_count + 1) * sizeof *bases);
    size_t n = 0, at = 0;
    for (int stands = 1; stands >= 0; stands--)
        for (size_t f = 0; f < plan->file_count; f++)
            if (bases_of(p, plan->files[f].model)->stands == stands)
                files[at++] = plan->files[f];
    for (int stands = 1; stands >= 0; stands--)
        for (size_t i = 0; i < plan->model_count; i++)
            if (p->bases[i].stands == stands) {
                bases[n] = p->bases[i];
                models[n++] = plan->models[i];
            }
    if (n)
        memcpy(plan->models, models, n * sizeof *models);
    if (at)
        memcpy(plan->files, files, at * sizeof *files);
    for (size_t i = 0; i < n; i++)
        plan->places[plan->models[i].model] = (uint32_t)i + 1;
    free(p->bases);
    p->bases = bases;
}

/* What stands alone for others: the tensors that are their first choice. */
static void demand_bases(struct planner *p, const struct plan_file *file)
{
    const struct model_bases *bases = bases_of(p, file->model);
    const struct catalog_tensors *tensors = &p->files[file->file].tensors;
    for (size_t t = 0; t < tensors->layout.count && !bases->stands; t++) {
        const struct wanted want = {&tensors->layout.tensors[t], file->file, t};
        struct candidate c;
        bool found = !dtype_is_float(want.tensor->dtype);
        for (size_t i = 0; i < bases->count && !found; i++) {
            found = find_tensor(p, bases->options[i].model, &want, &c);
            if (found && !hash128_equal(&c.id, &tensors->ids[t]) &&
                plan_model_of(p->plan, c.model) && bases_of(p, c.model)->stands)
                map_put(&p->demanded, &c.id, 1);
        }
    }
}

static int choose_bases(struct planner *p, struct progress *progress, struct err *err)
{
    const struct plan *plan = p->plan;
    AUTO_FREE int *models = mem_alloc((plan->model_count + 1) * sizeof *models);
    AUTO_FREE bool *can_stand = mem_zalloc(plan->model_count + 1);
    for (size_t i = 0; i < plan->model_count; i++)
        models[i] = plan->models[i].model;
    for (size_t f = 0; f < plan->file_count; f++)
        can_stand[plan->places[plan->files[f].model] - 1] |= !plan->files[f].skip;
    const struct bases_request request = {.models = models,
                                          .count = plan->model_count,
                                          .can_stand = can_stand,
                                          .base = p->request->base,
                                          .alone = p->request->alone,
                                          .offer = offer_of,
                                          .context = p};
    p->bases = mem_zalloc((plan->model_count + 1) * sizeof *p->bases);
    bases_choose(p->ops, p->library, &request, p->bases);
    put_stands_first(p);
    int r = 0;
    for (size_t f = 0; f < plan->file_count && r == 0; f++) {
        r = progress_check(progress, err);
        if (r == 0 && !plan->files[f].skip)
            demand_bases(p, &plan->files[f]);
    }
    return r;
}

static void check_bases(struct planner *p, const struct plan_file *file)
{
    const struct model_bases *bases = bases_of(p, file->model);
    for (size_t i = 0; i < bases->count; i++) {
        const struct lib_model *m = &p->library->models[bases->options[i].model];
        for (size_t f = 0; f < m->file_count && !bases->options[i].stored_only; f++)
            check_holding(p, m->files[f], file->store);
    }
}

static int plan_files(struct planner *p, struct progress *progress, struct err *err)
{
    progress_phase(progress, "planning");
    int r = choose_bases(p, progress, err);
    for (size_t f = 0; f < p->plan->file_count && r == 0; f++)
        if (!p->plan->files[f].skip)
            check_bases(p, &p->plan->files[f]);
    for (size_t f = 0; f < p->plan->file_count && r == 0; f++) {
        struct plan_file *file = &p->plan->files[f];
        struct err why = {0};
        r = progress_check(progress, err);
        if (file->skip || r < 0)
            continue;
        close_files(p);
        if (plan_one_file(p, file, &why) < 0) {
            file->skip = mem_strdup(why.text);
            file->range_count = 0;
            p->files[file->file].planned = false;
        }
    }
    return r;
}

static void planner_release(struct planner *p)
{
    close_files(p);
    free(p->open);
    while (p->touched_count) {
        struct source_file *source = &p->files[p->touched[--p->touched_count]];
        buf_release(&source->sketches);
        if (source->loaded)
            catalog_tensors_release(&source->tensors);
        map_release(&source->names);
    }
    free(p->touched);
    readers_free(p->own_readers);
    map_release(&p->seen);
    map_release(&p->demanded);
    free(p->bases);
    chooser_free(p->chooser);
    free(p->files);
}

int ops_plan(struct ops *ops, const struct library *library, const struct plan_request *request,
             struct progress *progress, struct plan **ret, struct err *err)
{
    struct planner p = {.ops = ops, .library = library, .request = request};
    p.plan = mem_zalloc(sizeof *p.plan);
    p.plan->live = request->live;
    p.plan->places = mem_zalloc((library->model_count + 1) * sizeof *p.plan->places);
    p.files = mem_zalloc((library->file_count + 1) * sizeof *p.files);
    p.chooser = chooser_new();
    p.own_readers = request->readers ? NULL : readers_new();
    p.readers = request->readers ? request->readers : p.own_readers;
    add_models(&p);
    int r = hash_needed(&p, progress, err);
    if (r == 0)
        r = add_files(&p, err);
    if (r == 0)
        r = plan_files(&p, progress, err);
    if (r == 0) {
        settle_copies(&p);
        note_sharers(&p);
        if (!request->keep)
            leave_incompressible(&p);
        sum_up(&p);
        *ret = p.plan;
    } else {
        plan_free(p.plan);
    }
    planner_release(&p);
    return r;
}
