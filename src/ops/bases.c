/* SPDX-License-Identifier: MIT */
/*
 * Bases. Within a family, what each model would take alone or as a difference from another is
 * predicted from their profiles; which of the planned ones stand alone is chosen so that the sum
 * is small (family/stand.h). Of models that are not planned, ancestors may be held or copied;
 * others serve where the store has or holds them already.
 */
#include "ops/bases.h"

#include "family/stand.h"
#include "ops/families.h"

#include <string.h>

enum {
    ANCESTORS = 8,
    OUTSIDERS = 32, /* of a family */
    CANDIDATES = 48 /* planned members that may stand */
};

/* One model of a family: planned, or a base that is there. */
struct node {
    int model;
    int planned; /* index of the request, -1 */
    bool stored_only;
    enum base_offer offer;
    struct hash128 architecture; /* zero: no profile */
    uint8_t *profile;
    size_t children; /* planned models that have it as their base */
};

struct family {
    struct ops *ops;
    const struct library *library;
    const struct bases_request *request;
    struct node *nodes;
    size_t count, cap;
};

static size_t ancestors(const struct library *library, int first, int self, int out[ANCESTORS])
{
    size_t n = 0;
    for (int at = first; at != NO_MODEL && at != self && n < ANCESTORS;
         at = library->models[at].base)
        out[n++] = at;
    return n;
}

static int planned_index(const struct bases_request *request, int model)
{
    for (size_t i = 0; i < request->count; i++)
        if (request->models[i] == model)
            return (int)i;
    return -1;
}

/*
 * Ancestors stand behind what was found: they may be of another architecture, or need a copy, and
 * only the planner's samples tell whether that pays.
 */
static void add_ancestors(const struct library *library, const struct bases_request *request,
                          int model, struct model_bases *ret)
{
    int chain[ANCESTORS];
    int first = request->base != NO_MODEL ? request->base : library->models[model].base;
    size_t n = ancestors(library, first, model, chain);
    for (size_t i = 0; i < n && ret->count < BASES_MOST; i++) {
        bool there = false;
        for (size_t k = 0; k < ret->count; k++)
            there |= ret->options[k].model == chain[i];
        if (!there)
            ret->options[ret->count++] = (struct base_option){.model = chain[i]};
    }
}

/* ---- the nodes of a family ---- */

static struct node *add_node(struct family *f, int model, bool stored_only)
{
    for (size_t i = 0; i < f->count; i++)
        if (f->nodes[i].model == model) {
            f->nodes[i].stored_only &= stored_only;
            return &f->nodes[i];
        }
    struct node *node = ARRAY_ADD(f->nodes, f->count, f->cap);
    *node = (struct node){
        .model = model, .planned = planned_index(f->request, model), .stored_only = stored_only};
    return node;
}

/* Whether the store may have it, or hold it by a link of its own. */
static bool may_be_stored(const struct library *library, const struct lib_model *model)
{
    bool linked = false;
    for (size_t i = 0; i < model->file_count; i++)
        linked |= library->files[model->files[i]].links > 1;
    return model->state != MODEL_PLAIN || linked;
}

static void add_outsiders(struct family *f, int root, const int *roots)
{
    size_t members = f->count, others = 0;
    int chain[ANCESTORS];
    for (size_t i = 0; i < members; i++) {
        int self = f->nodes[i].model;
        size_t n = ancestors(f->library, f->library->models[self].base, self, chain);
        for (size_t k = 0; k < n; k++)
            add_node(f, chain[k], false);
    }
    for (size_t i = 0; i < f->library->model_count && others < OUTSIDERS; i++) {
        if (roots[i] != root || planned_index(f->request, (int)i) >= 0 ||
            !may_be_stored(f->library, &f->library->models[i]))
            continue;
        add_node(f, (int)i, true);
        others++;
    }
}

static void look_at(struct family *f)
{
    for (size_t i = 0; i < f->count; i++) {
        struct node *node = &f->nodes[i];
        node->profile = mem_alloc(PROFILE_BYTES);
        if (families_profile(f->ops, f->library, node->model, node->profile, &node->architecture,
                             NULL) < 0)
            node->architecture = (struct hash128){0};
        bool planned = node->planned >= 0;
        node->offer =
            f->request->offer(f->request->context, node->model, planned || node->stored_only);
        if (planned && node->offer == OFFER_NONE && f->request->can_stand[node->planned])
            node->offer = OFFER_COPY;
        int base = f->library->models[node->model].base;
        for (size_t k = 0; k < f->count; k++)
            f->nodes[k].children += f->nodes[k].model == base && node->planned >= 0;
    }
}

/* ---- what each would take ---- */

/* Bits of an element that a profile, which is BF16, does not show. */
static double hidden_bits(const struct lib_model *model)
{
    enum dtype dtype = model_dtype(model);
    return dtype == DTYPE_F16 ? 3 : 8.0 * dtype_width(dtype) - 16;
}

static double bytes_of(const struct lib_model *model, double bits)
{
    return (double)model->parameters * (bits + MAX(hidden_bits(model), 0.0)) / 8;
}

static double delta_of(const struct family *f, const struct node *node, const struct node *base)
{
    if (node == base || hash128_is_zero(&node->architecture) ||
        !hash128_equal(&node->architecture, &base->architecture))
        return -1;
    return bytes_of(&f->library->models[node->model],
                    profile_delta_bits(node->profile, base->profile));
}

static double alone_of(const struct family *f, const struct node *node)
{
    if (node->planned < 0 && node->offer == OFFER_FREE)
        return 0;
    if (hash128_is_zero(&node->architecture))
        return (double)f->library->models[node->model].size;
    return bytes_of(&f->library->models[node->model], profile_alone_bits(node->profile));
}

/* With many members only those stand that have most children: first of all, the tree's own. */
static size_t children_needed(const struct family *f)
{
    for (size_t least = 0;; least++) {
        size_t candidates = 0;
        for (size_t i = 0; i < f->count; i++)
            candidates += f->nodes[i].planned >= 0 && f->nodes[i].children >= least;
        if (candidates <= CANDIDATES)
            return least;
    }
}

/* ---- options ---- */

static int by_cost(const void *a, const void *b)
{
    const struct base_option *x = a, *y = b;
    if (x->cost != y->cost)
        return x->cost < y->cost ? -1 : 1;
    return x->model - y->model;
}

static void take_options(const struct family *f, size_t at, const double *delta, const bool *stands,
                         struct model_bases *ret)
{
    AUTO_FREE struct base_option *all = mem_alloc((f->count + 1) * sizeof *all);
    size_t n = 0;
    for (size_t k = 0; k < f->count; k++) {
        /* What stands may itself be a difference from what is there, or stands before it. */
        bool before = f->nodes[k].planned < 0 || !stands[at] || k < at;
        double cost = delta[at * f->count + k];
        if (stands[k] && cost >= 0 && before)
            all[n++] = (struct base_option){f->nodes[k].model, f->nodes[k].stored_only, cost};
    }
    if (n)
        qsort(all, n, sizeof *all, by_cost);
    *ret = (struct model_bases){.count = MIN(n, (size_t)BASES_MOST), .stands = stands[at]};
    if (n)
        memcpy(ret->options, all, ret->count * sizeof *all);
    add_ancestors(f->library, f->request, f->nodes[at].model, ret);
}

/* Chooses for the planned models of a family, which are its first nodes. */
static void settle(const struct family *f, size_t planned, struct model_bases *ret)
{
    AUTO_FREE struct stand_member *members = mem_zalloc(f->count * sizeof *members);
    AUTO_FREE double *delta = mem_alloc(f->count * f->count * sizeof *delta);
    AUTO_FREE bool *stands = mem_alloc(f->count * sizeof *stands);
    size_t least = children_needed(f);
    for (size_t i = 0; i < f->count; i++) {
        const struct node *node = &f->nodes[i];
        bool profile = !hash128_is_zero(&node->architecture);
        members[i] =
            (struct stand_member){.alone = alone_of(f, node),
                                  .stored = node->planned >= 0 && profile,
                                  .may_stand = profile && node->offer != OFFER_NONE &&
                                               (node->planned < 0 || node->children >= least),
                                  .must_stand = profile && node->offer == OFFER_FREE};
    }
    for (size_t i = 0; i < f->count; i++)
        for (size_t k = 0; k < f->count; k++)
            delta[i * f->count + k] = members[i].stored && members[k].may_stand
                                          ? delta_of(f, &f->nodes[i], &f->nodes[k])
                                          : -1;
    (void)stand_choose(members, f->count, delta, stands);
    for (size_t i = 0; i < planned; i++) {
        struct model_bases *own = &ret[f->nodes[i].planned];
        if (members[i].stored)
            take_options(f, i, delta, stands, own);
        else
            add_ancestors(f->library, f->request, f->nodes[i].model, own);
    }
}

static void choose_family(struct ops *ops, const struct library *library,
                          const struct bases_request *request, int root, const int *roots,
                          struct model_bases *ret)
{
    struct family f = {.ops = ops, .library = library, .request = request};
    for (size_t i = 0; i < request->count; i++)
        if (roots[request->models[i]] == root)
            add_node(&f, request->models[i], false);
    size_t planned = f.count;
    add_outsiders(&f, root, roots);
    look_at(&f);
    settle(&f, planned, ret);
    for (size_t i = 0; i < f.count; i++)
        free(f.nodes[i].profile);
    free(f.nodes);
}

void bases_choose(struct ops *ops, const struct library *library,
                  const struct bases_request *request, struct model_bases *ret)
{
    AUTO_FREE int *roots = mem_alloc((library->model_count + 1) * sizeof *roots);
    AUTO_FREE bool *done = mem_zalloc(request->count + 1);
    for (size_t i = 0; i < library->model_count; i++)
        roots[i] = library_root(library, (int)i);
    for (size_t i = 0; i < request->count && !request->alone; i++) {
        if (request->base != NO_MODEL)
            add_ancestors(library, request, request->models[i], &ret[i]);
        else if (!done[i])
            choose_family(ops, library, request, roots[request->models[i]], roots, ret);
        for (size_t k = i; k < request->count; k++)
            done[k] |= roots[request->models[k]] == roots[request->models[i]];
    }
}

double bases_predict(struct ops *ops, const struct library *library, int model, int base)
{
    const struct lib_model *m = &library->models[model];
    uint8_t own[PROFILE_BYTES], other[PROFILE_BYTES];
    struct hash128 a = {0}, b = {0};
    if (families_profile(ops, library, model, own, &a, NULL) < 0 || hash128_is_zero(&a))
        return (double)m->size;
    bool comparable = base != NO_MODEL &&
                      families_profile(ops, library, base, other, &b, NULL) == 0 &&
                      hash128_equal(&a, &b);
    return bytes_of(m, comparable ? profile_delta_bits(own, other) : profile_alone_bits(own));
}
