/* SPDX-License-Identifier: MIT */
/* Kinship beyond one architecture. */
#include "ops/kinship.h"

#include "catalog/catalog.h"
#include "ops/material.h"

#include <string.h>

enum {
    COMPARED_MOST = 20000, /* pairs of roots */
    COMMON_MOST = 50,      /* roots that have a tensor: with more it tells nothing */
    READ_MOST = 4096       /* models whose tensors are kept while they are compared */
};
#define SHARED_LEAST 0.05 /* of its bytes, for a model to be a relative by equal tensors */
#define COMMON_LEAST 0.5  /* of the elements, for two architectures to be compared */

/* A tensor that a model without parents has, or is stored as a difference from. */
struct wanted {
    struct hash128 id;
    int model;
    bool base;
    int seen; /* the last model that was found to share it: it counts once */
};

/* Bytes that a model shares with another one. */
struct tally {
    int model, other;
    bool base; /* it is stored as a difference from the other */
    uint64_t bytes;
};

struct search {
    struct ops *ops;
    struct progress *progress;
    struct anatomy *read; /* of each model; those that were read */
    const struct library *library;
    const struct family_member *members;
    struct family_edge *edges;
    struct wanted *wanted;
    size_t wanted_count, wanted_cap;
    struct tally *tallies;
    size_t tally_count, tally_cap;
    struct map places; /* of tallies, by their pair */
};

static bool descends(const struct search *s, int a, int b)
{
    for (size_t steps = 0; a >= 0 && steps <= s->library->model_count; steps++) {
        if (a == b)
            return true;
        a = s->edges[a].parent;
    }
    return false;
}

/*
 * Whether a root is rather the child of the other than the other way round: what is contained in a
 * larger one came first; of equals the elder.
 */
static bool is_child(const struct search *s, int root, int other)
{
    const struct lib_model *a = &s->library->models[root], *b = &s->library->models[other];
    if (s->edges[other].parent >= 0)
        return true; /* it has a place in a tree already */
    if (a->size != b->size)
        return a->size > b->size;
    if (a->modified != b->modified)
        return a->modified > b->modified;
    /* "model-copy" comes after "model". */
    size_t m = strlen(a->name), n = strlen(b->name);
    return m != n ? m > n : root > other;
}

static void put_parent(const struct search *s, int child, int parent, double distance)
{
    if (descends(s, parent, child))
        return;
    s->edges[child].parent = parent;
    s->edges[child].second = -1;
    s->edges[child].distance = distance;
}

/* ---- equal tensors ---- */

static int by_id(const void *a, const void *b)
{
    const struct wanted *x = a, *y = b;
    int order = memcmp(&x->id, &y->id, sizeof x->id);
    return order ? order : x->model - y->model;
}

static void want(struct search *s, const struct hash128 *id, int model, bool base)
{
    if (!hash128_is_zero(id))
        *ARRAY_ADD(s->wanted, s->wanted_count, s->wanted_cap) =
            (struct wanted){*id, model, base, NO_MODEL};
}

static int want_tensors(struct search *s, int model, struct err *err)
{
    const struct lib_model *m = &s->library->models[model];
    for (size_t i = 0; i < m->file_count; i++) {
        struct catalog_tensors tensors;
        int r = catalog_tensors(s->ops->catalog, s->library->files[m->files[i]].row, &tensors, err);
        for (size_t t = 0; t < tensors.layout.count && r == 0; t++)
            if (tensors.layout.tensors[t].bytes >= CATALOG_TENSOR_LEAST)
                want(s, &tensors.ids[t], model, false);
        catalog_tensors_release(&tensors);
        if (r < 0)
            return r;
    }
    return 0;
}

static void want_bases(struct search *s, const struct stored *stored, int model)
{
    size_t count;
    const struct stored_view *views = stored_views(stored, s->library->models[model].id, &count);
    for (size_t v = 0; v < count; v++) {
        const struct manifest *m = &views[v].file->manifest;
        for (size_t i = 0; i < m->range_count; i++)
            if (m->ranges[i].bytes >= CATALOG_TENSOR_LEAST)
                if (m->ranges[i].base_count)
                    want(s, &m->ranges[i].bases[0], model, true);
    }
}

static void count_shared(struct search *s, const struct wanted *wanted, int other, uint64_t bytes)
{
    const int pair[2] = {wanted->model, other};
    struct hash128 key = hash128_of(pair, sizeof pair);
    uint64_t at;
    if (!map_get(&s->places, &key, &at)) {
        at = s->tally_count;
        *ARRAY_ADD(s->tallies, s->tally_count, s->tally_cap) =
            (struct tally){.model = wanted->model, .other = other};
        map_put(&s->places, &key, at);
    }
    s->tallies[at].bytes += bytes;
    s->tallies[at].base |= wanted->base;
}

/* A tensor of any model: whoever wants it shares it. */
static void take_tensor(void *context, int64_t row, const struct hash128 *id, uint64_t bytes)
{
    struct search *s = context;
    size_t low = 0, high = s->wanted_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (memcmp(&s->wanted[middle].id, id, sizeof *id) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    int other = low < s->wanted_count && hash128_equal(&s->wanted[low].id, id)
                    ? library_of_row(s->library, row)
                    : NO_MODEL;
    for (; other != NO_MODEL && low < s->wanted_count && hash128_equal(&s->wanted[low].id, id);
         low++) {
        if (s->wanted[low].model == other || s->wanted[low].seen == other)
            continue;
        s->wanted[low].seen = other;
        count_shared(s, &s->wanted[low], other, bytes);
    }
}

/* What shares most comes first. */
static int by_bytes(const void *a, const void *b)
{
    const struct tally *x = a, *y = b;
    if (x->bytes != y->bytes)
        return x->bytes > y->bytes ? -1 : 1;
    return x->model != y->model ? x->model - y->model : x->other - y->other;
}

/*
 * Each id once for each model; none of what very many have: zeros, masks, tables of positions tell
 * nothing of ancestry.
 */
static void drop_common(struct search *s)
{
    size_t kept = 0;
    if (s->wanted_count)
        qsort(s->wanted, s->wanted_count, sizeof *s->wanted, by_id);
    for (size_t i = 0, end; i < s->wanted_count; i = end) {
        size_t first = kept;
        for (end = i; end < s->wanted_count && hash128_equal(&s->wanted[end].id, &s->wanted[i].id);
             end++)
            if (end == i || s->wanted[end].model != s->wanted[end - 1].model ||
                s->wanted[end].base != s->wanted[end - 1].base)
                s->wanted[kept++] = s->wanted[end];
        if (kept - first > COMMON_MOST)
            kept = first;
    }
    s->wanted_count = kept;
}

static int find_equal(struct search *s, const struct stored *stored, struct err *err)
{
    int r = 0;
    for (size_t i = 0; i < s->library->model_count && r == 0; i++) {
        if (s->edges[i].parent >= 0)
            continue;
        r = want_tensors(s, (int)i, err);
        if (stored && hash128_is_zero(&s->members[i].architecture))
            want_bases(s, stored, (int)i);
    }
    drop_common(s);
    if (r == 0 && s->wanted_count)
        r = catalog_each_tensor(s->ops->catalog, take_tensor, s, err);
    if (s->tally_count)
        qsort(s->tallies, s->tally_count, sizeof *s->tallies, by_bytes);
    for (size_t i = 0; i < s->tally_count && r == 0; i++) {
        const struct tally *t = &s->tallies[i];
        double share = (double)t->bytes / (double)MAX(s->library->models[t->model].size, 1u);
        if (s->edges[t->model].parent < 0 && share >= SHARED_LEAST &&
            (t->base || is_child(s, t->model, t->other)))
            put_parent(s, t->model, t->other, -1);
    }
    return r;
}

/* ---- the same tensors in another architecture ---- */

/* The float tensors of a model, by their names without wrappers and their shapes. */
struct anatomy {
    struct material material;
    struct map tensors; /* to their index in the material */
    uint64_t elements;
    bool known;
};

/* Empty where the model was not sketched. */
static int read_anatomy(struct search *s, int model, struct anatomy *ret, struct err *err)
{
    struct err why = {0};
    *ret = (struct anatomy){0};
    int r = material_read(s->ops->catalog, s->library, &s->library->models[model], &ret->material,
                          &why);
    if (r < 0) {
        material_release(&ret->material);
        return r == ERR_NOTFOUND ? 0 : err_set(err, r, "%s", why.text);
    }
    for (size_t i = 0; i < ret->material.count; i++) {
        struct hash128 key = tensor_key(ret->material.tensors[i].tensor);
        map_put(&ret->tensors, &key, i);
        ret->elements += tensor_elements(ret->material.tensors[i].tensor);
    }
    return 0;
}

static void anatomy_release(struct anatomy *anatomy)
{
    material_release(&anatomy->material);
    map_release(&anatomy->tensors);
}

/*
 * The bit distance over the tensors that both have, by their sketches; < 0: they have too little
 * in common.
 */
static double compare(const struct anatomy *a, const struct anatomy *b)
{
    double bits = 0, elements = 0;
    for (size_t i = 0; i < a->material.count; i++) {
        const struct profile_tensor *t = &a->material.tensors[i];
        struct hash128 key = tensor_key(t->tensor);
        uint64_t at;
        if (!map_get(&b->tensors, &key, &at))
            continue;
        double own = (double)tensor_elements(t->tensor);
        bits += own * sketch_distance(t->sketch, b->material.tensors[at].sketch);
        elements += own;
    }
    return elements < COMMON_LEAST * (double)MIN(a->elements, b->elements) || elements <= 0
               ? -1
               : bits / elements;
}

/* The anatomy of a model, read once; NULL after an error. */
static const struct anatomy *anatomy_of(struct search *s, int model, struct err *err)
{
    struct anatomy *anatomy = &s->read[model];
    if (!anatomy->known && read_anatomy(s, model, anatomy, err) < 0)
        return NULL;
    anatomy->known = true;
    return anatomy;
}

/* Compares a model with those of other architectures that have no parent either. */
static int compare_root(struct search *s, int root, const int *roots, size_t count, size_t *pairs,
                        struct err *err)
{
    double nearest = FAMILY_CUT;
    int best = NO_MODEL, r = progress_check(s->progress, err);
    for (size_t i = 0; i < count && r == 0 && *pairs < COMPARED_MOST; i++) {
        int other = roots[i];
        bool foreign =
            !hash128_equal(&s->members[other].architecture, &s->members[root].architecture);
        if (other == root || !foreign || s->edges[other].parent >= 0 || !is_child(s, root, other))
            continue;
        ++*pairs;
        const struct anatomy *a = anatomy_of(s, root, err);
        const struct anatomy *b = a ? anatomy_of(s, other, err) : NULL;
        if (!b)
            return ERR_IO;
        double d = compare(a, b);
        if (d >= 0 && d < nearest) {
            nearest = d;
            best = other;
        }
    }
    if (best != NO_MODEL)
        put_parent(s, root, best, nearest);
    return r;
}

/* Only where there are several architectures of floats is there anything to compare. */
static int find_related(struct search *s, struct err *err)
{
    AUTO_FREE int *roots = mem_alloc((s->library->model_count + 1) * sizeof *roots);
    size_t count = 0, pairs = 0;
    int r = 0;
    for (size_t i = 0; i < s->library->model_count; i++)
        if (s->edges[i].parent < 0 && !hash128_is_zero(&s->members[i].architecture) &&
            count < READ_MOST)
            roots[count++] = (int)i;
    for (size_t i = 0; i < count && r == 0; i++)
        if (s->edges[roots[i]].parent < 0)
            r = compare_root(s, roots[i], roots, count, &pairs, err);
    return r;
}

/* A claim between two architectures, by what they have in common. */
static int check_claim(struct search *s, int model, struct err *err)
{
    struct family_edge *edge = &s->edges[model];
    struct anatomy own, claimed = {0};
    int r = read_anatomy(s, model, &own, err);
    if (r == 0)
        r = read_anatomy(s, edge->parent, &claimed, err);
    double d = r == 0 ? compare(&own, &claimed) : -1;
    anatomy_release(&own);
    anatomy_release(&claimed);
    edge->distance = d;
    if (d < FAMILY_CUT)
        return r;
    edge->contradicted = true;
    edge->claimed = false;
    edge->parent = -1;
    edge->distance = -1;
    return r;
}

static int check_claims(struct search *s, struct err *err)
{
    int r = 0;
    for (size_t i = 0; i < s->library->model_count && r == 0; i++) {
        const struct family_edge *edge = &s->edges[i];
        if (edge->claimed && edge->distance < 0 && !hash128_is_zero(&s->members[i].architecture) &&
            !hash128_is_zero(&s->members[edge->parent].architecture))
            r = check_claim(s, (int)i, err);
    }
    return r;
}

int kinship_find(struct ops *ops, const struct library *library,
                 const struct family_member *members, const struct stored *stored,
                 struct family_edge *edges, struct progress *progress, struct err *err)
{
    struct search s = {.ops = ops,
                       .progress = progress,
                       .read = mem_zalloc((library->model_count + 1) * sizeof *s.read),
                       .library = library,
                       .members = members,
                       .edges = edges};
    int r = check_claims(&s, err);
    if (r == 0)
        r = find_equal(&s, stored, err);
    if (r == 0)
        r = find_related(&s, err);
    for (size_t i = 0; i < library->model_count; i++)
        anatomy_release(&s.read[i]);
    free(s.read);
    free(s.wanted);
    free(s.tallies);
    map_release(&s.places);
    return r;
}
