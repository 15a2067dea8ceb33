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
    bool candidate;  /* it may stand */
    size_t column;   /* of the costs, where it may */
};

struct family {
    struct ops *ops;
    const struct library *library;
    const struct bases_request *request;
    struct node *nodes;
    size_t count, cap;
    size_t *places;     /* of each model of the library: its node and one, 0: none */
    const int *planned; /* of each model: its place in the request, NO_MODEL */
};

static size_t ancestors(const struct library *library, int first, int self, int out[ANCESTORS])
{
    size_t n = 0;
    for (int at = first; at != NO_MODEL && at != self && n < ANCESTORS;
         at = library->models[at].base)
        out[n++] = at;
    return n;
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
            ret->options[ret->count++] = (struct base_option){.model = chain[i], .cost = -1};
    }
}

/* ---- the nodes of a family ---- */

static struct node *add_node(struct family *f, int model, bool stored_only)
{
    if (f->places[model]) {
        struct node *there = &f->nodes[f->places[model] - 1];
        there->stored_only &= stored_only;
        return there;
    }
    struct node *node = ARRAY_ADD(f->nodes, f->count, f->cap);
    *node = (struct node){.model = model, .planned = f->planned[model], .stored_only = stored_only};
    f->places[model] = f->count;
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

static void add_outsiders(struct family *f, int root)
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
        if (f->library->models[i].family != root || f->planned[i] >= 0 ||
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
        if (base != NO_MODEL && node->planned >= 0 && f->places[base])
            f->nodes[f->places[base] - 1].children++;
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

/*
 * With many members only some may stand: those that have most children, and of those that have as
 * many as the last one some from all over the tree.
 */
static void take_candidates(struct family *f)
{
    size_t least = 0, above = 0, equal = 0, seen = 0;
    for (;; least++) {
        above = equal = 0;
        for (size_t i = 0; i < f->count; i++) {
            above += f->nodes[i].planned >= 0 && f->nodes[i].children > least;
            equal += f->nodes[i].planned >= 0 && f->nodes[i].children == least;
        }
        if (above <= CANDIDATES)
            break;
    }
    size_t room = CANDIDATES - above;
    for (size_t i = 0; i < f->count; i++) {
        struct node *node = &f->nodes[i];
        node->candidate = node->planned < 0 || node->children > least;
        if (node->planned < 0 || node->children != least)
            continue;
        node->candidate = equal <= room || (seen + 1) * room / equal > seen * room / equal;
        seen++;
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

/* delta: of this one from each that may stand, by their columns. */
static void take_options(const struct family *f, size_t at, const struct stand_member *members,
                         const double *delta, const bool *stands, struct model_bases *ret)
{
    AUTO_FREE struct base_option *all = mem_alloc((f->count + 1) * sizeof *all);
    size_t n = 0;
    for (size_t k = 0; k < f->count; k++) {
        /* What stands may itself be a difference from what is there, or stands before it. */
        bool before = f->nodes[k].planned < 0 || !stands[at] || k < at;
        double cost = stands[k] ? delta[members[k].column] : -1;
        if (cost >= 0 && before)
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
static void settle(struct family *f, size_t planned, struct model_bases *ret)
{
    AUTO_FREE struct stand_member *members = mem_zalloc(f->count * sizeof *members);
    AUTO_FREE bool *stands = mem_alloc(f->count * sizeof *stands);
    size_t columns = 0;
    take_candidates(f);
    for (size_t i = 0; i < f->count; i++) {
        const struct node *node = &f->nodes[i];
        bool profile = !hash128_is_zero(&node->architecture);
        bool may = profile && node->offer != OFFER_NONE && node->candidate;
        members[i] = (struct stand_member){.alone = alone_of(f, node),
                                           .stored = node->planned >= 0 && profile,
                                           .may_stand = may,
                                           .must_stand = may && node->offer == OFFER_FREE,
                                           .column = may ? columns++ : 0};
    }
    AUTO_FREE double *delta = mem_alloc((f->count * columns + 1) * sizeof *delta);
    for (size_t i = 0; i < f->count; i++)
        for (size_t k = 0; k < f->count; k++)
            if (members[k].may_stand)
                delta[i * columns + members[k].column] =
                    members[i].stored ? delta_of(f, &f->nodes[i], &f->nodes[k]) : -1;
    (void)stand_choose(members, f->count, delta, columns, stands);
    for (size_t i = 0; i < planned; i++) {
        struct model_bases *own = &ret[f->nodes[i].planned];
        if (members[i].stored)
            take_options(f, i, members, delta + i * columns, stands, own);
        else
            add_ancestors(f->library, f->request, f->nodes[i].model, own);
    }
}

static void choose_family(struct ops *ops, const struct library *library,
                          const struct bases_request *request, int root, const int *planned,
                          struct model_bases *ret)
{
    struct family f = {.ops = ops,
                       .library = library,
                       .request = request,
                       .places = mem_zalloc((library->model_count + 1) * sizeof *f.places),
                       .planned = planned};
    for (size_t i = 0; i < request->count; i++)
        if (library->models[request->models[i]].family == root)
            add_node(&f, request->models[i], false);
    size_t own = f.count;
    add_outsiders(&f, root);
    look_at(&f);
    settle(&f, own, ret);
    for (size_t i = 0; i < f.count; i++)
        free(f.nodes[i].profile);
    free(f.nodes);
    free(f.places);
}

void bases_choose(struct ops *ops, const struct library *library,
                  const struct bases_request *request, struct model_bases *ret)
{
    AUTO_FREE bool *done = mem_zalloc(library->model_count + 1); /* families */
    AUTO_FREE int *planned = mem_alloc((library->model_count + 1) * sizeof *planned);
    for (size_t i = 0; i < library->model_count; i++)
        planned[i] = NO_MODEL;
    for (size_t i = 0; i < request->count; i++)
        planned[request->models[i]] = (int)i;
    for (size_t i = 0; i < request->count && !request->alone; i++) {
        int family = library->models[request->models[i]].family;
        if (request->base != NO_MODEL)
            add_ancestors(library, request, request->models[i], &ret[i]);
        else if (!done[family])
            choose_family(ops, library, request, family, planned, ret);
        done[family] = true;
    }
}

double bases_predict(struct ops *ops, const struct library *library, int model, int base)
{
    const struct lib_model *m = &library->models[model];
    uint8_t own[PROFILE_BYTES], other[PROFILE_BYTES];
    struct hash128 a = {0}, b = {0};
    if (families_profile(ops, library, model, own, &a, NULL) < 0 || hash128_is_zero(&a))
        return -1;
    if (base == NO_MODEL)
        return bytes_of(m, profile_alone_bits(own));
    return families_profile(ops, library, base, other, &b, NULL) == 0 && hash128_equal(&a, &b)
               ? bytes_of(m, profile_delta_bits(own, other))
               : -1;
}
