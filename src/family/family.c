/* SPDX-License-Identifier: MIT */
/* The forest, out of what family_compare found. */
#include "family/family.h"

#include "base/mem.h"
#include "delta/profile.h"

#include <string.h>

enum { NEAREST = 6 }; /* among so many the parents of a merge are looked for */
#define KEPT 0.9      /* a descendant keeps at least so much of what its parent changed */
#define MUCH_NEARER 0.75
#define ALONG_LEAST 0.85
#define ALONG_MOST 1.25
#define COSINE 0.6
#define ALIKE 1.0    /* bits: so near, distances from others do not tell which is the base */
#define ON_LINE 0.05 /* of a merge, rounding leaves about 0.01; of a straight run, 0.1 */

struct forest {
    const struct family_member *members;
    const struct family_relations *relations;
    struct family_edge *edges;
    int *told; /* the parent by path or claim, where the bits do not deny it; -1 */
    size_t count;
};

/* How well a member would do as a root: who made it, and what others say of it. */
struct standing {
    size_t at, claims, relatives;
    int made; /* 0: may be the beginning; a first checkpoint, a merge, a later one */
    double sum;
    int64_t age;
};

/* The two that a merge was made of. */
struct merge {
    int a, b;
};

/* The members of one architecture, and what the growing tree knows of them. */
struct group {
    const struct forest *forest;
    const int *members;
    size_t count;
    size_t *place;   /* in the group, of each member of the forest */
    double *near;    /* to the tree so far */
    int *neighbour;  /* in the tree, of near; -1 */
    uint8_t *coarse; /* PROFILE_COARSE for each member */
    bool *joined;
    size_t *line;         /* who joins at once */
    struct merge *merges; /* a -1: it is none */
    /* Who has whom among its nearest: of place i, listeners[first[i]] up to first[i + 1]. */
    size_t *first;
    struct listener {
        size_t at;
        float distance;
    } * listeners;
};

static double distance(const struct forest *f, int a, int b)
{
    const struct family_member *x = &f->members[a], *y = &f->members[b];
    if (hash128_is_zero(&x->architecture) || !hash128_equal(&x->architecture, &y->architecture))
        return -1;
    return profile_distance(x->profile, y->profile);
}

static int by_standing(const void *a, const void *b)
{
    const struct standing *x = a, *y = b;
    if (x->made != y->made)
        return x->made < y->made ? -1 : 1;
    if (x->claims != y->claims)
        return x->claims > y->claims ? -1 : 1;
    if (x->relatives != y->relatives)
        return x->relatives > y->relatives ? -1 : 1;
    if (x->sum != y->sum)
        return x->sum < y->sum ? -1 : 1;
    return x->age != y->age ? (x->age < y->age ? -1 : 1) : (x->at > y->at) - (x->at < y->at);
}

/* The sum of the distances from all relatives, from the nearest ones by whole profiles. */
static double sum_of(const struct family_relations *r)
{
    double sum = r->sum;
    for (uint32_t n = 0; n < r->count; n++)
        sum += (double)(r->near[n].full - r->near[n].coarse);
    return sum;
}

/* How each member of a group stands: free it. */
static struct standing *take_standings(const struct group *g)
{
    struct standing *standings = mem_zalloc(g->count * sizeof *standings);
    const struct forest *f = g->forest;
    for (size_t i = 0; i < g->count; i++) {
        const struct family_member *m = &f->members[g->members[i]];
        standings[i].at = i;
        standings[i].made = m->before >= 0 ? 3 : g->merges[i].a >= 0 ? 2 : m->step ? 1 : 0;
        standings[i].relatives = f->relations[g->members[i]].relatives;
        standings[i].sum = sum_of(&f->relations[g->members[i]]);
        standings[i].age = m->age;
        double d = m->claim >= 0 && g->merges[i].a < 0 ? distance(f, m->claim, g->members[i]) : -1;
        if (d >= 0 && d < FAMILY_CUT)
            standings[g->place[m->claim]].claims++;
    }
    return standings;
}

/* How much more the nearest relatives of a root lean towards another one. */
static double lean_to(const struct group *g, size_t root, size_t other)
{
    const struct family_member *m = g->forest->members;
    const struct family_relations *r = &g->forest->relations[g->members[root]];
    double lean = 0;
    for (uint32_t n = 0; n < r->count; n++)
        if (g->place[r->near[n].member] != other)
            lean += profile_lean(m[r->near[n].member].profile, m[g->members[root]].profile,
                                 m[g->members[other]].profile);
    return lean;
}

/*
 * Distances do not tell a base from a model that hardly differs from it; their relatives do.
 * standings: by place in the group.
 */
static size_t elect(const struct group *g, const struct standing *standings, size_t root)
{
    const struct family_relations *r = &g->forest->relations[g->members[root]];
    size_t best = root;
    for (uint32_t n = 0; n < r->count; n++) {
        size_t other = g->place[r->near[n].member];
        if (r->near[n].full < ALIKE && !g->joined[other] &&
            standings[other].made == standings[root].made &&
            standings[other].claims == standings[root].claims && lean_to(g, best, other) > 0)
            best = other;
    }
    return best;
}

/*
 * Whether the way from the base to a model is the way to an elder one and another on top that has
 * nothing to do with it.
 */
static bool goes_on(const uint8_t *base, const uint8_t *elder, const uint8_t *own)
{
    double ee = profile_dot(base, elder, elder), eo = profile_dot(base, elder, own);
    double oo = profile_dot(base, own, own);
    return eo > ALONG_LEAST * ee && eo < ALONG_MOST * ee && eo * eo > COSINE * COSINE * ee * oo;
}

/* Whether a model can descend from one that is in the tree: from the root, or with its changes. */
static bool may_descend(const struct group *g, int parent, int child, double d)
{
    const struct forest *f = g->forest;
    const struct family_member *m = f->members;
    int root = parent;
    while (f->edges[root].parent >= 0)
        root = f->edges[root].parent;
    if (root == parent || d < MUCH_NEARER * distance(f, root, child))
        return true;
    const uint8_t *base = m[root].profile, *elder = m[parent].profile, *own = m[child].profile;
    bool merged = g->merges[g->place[parent]].a >= 0; /* its halves look as if they went on */
    return profile_kept(base, elder, own) >= KEPT || (!merged && goes_on(base, elder, own));
}

/* Whether a descends from b by what is told. */
static bool told_to_descend(const struct forest *f, int a, int b)
{
    for (size_t steps = 0; a >= 0 && steps <= f->count; steps++, a = f->told[a])
        if (a == b)
            return true;
    return false;
}

static void offer(struct group *g, size_t at, size_t to, double d)
{
    if (g->joined[to] || d >= g->near[to] || d >= FAMILY_CUT ||
        told_to_descend(g->forest, g->members[at], g->members[to]) ||
        !may_descend(g, g->members[at], g->members[to], d))
        return;
    g->near[to] = d;
    g->neighbour[to] = g->members[at];
}

/* Offers a new member of the tree to those that it is near to, or that are near to it. */
static void offer_to_all(struct group *g, size_t at)
{
    const struct family_relations *r = &g->forest->relations[g->members[at]];
    for (uint32_t n = 0; n < r->count; n++)
        offer(g, at, g->place[r->near[n].member], (double)r->near[n].full);
    for (size_t n = g->first[at]; n < g->first[at + 1]; n++)
        offer(g, at, g->listeners[n].at, (double)g->listeners[n].distance);
}

/* Joins a member to the tree; who is told to come from it comes along. */
static void join(struct group *g, size_t at)
{
    const struct forest *f = g->forest;
    size_t count = 0;
    g->joined[at] = true;
    g->line[count++] = at;
    for (size_t k = 0; k < count; k++) {
        int parent = g->members[g->line[k]];
        for (size_t i = 0; i < g->count; i++) {
            int child = g->members[i];
            if (g->joined[i] || f->told[child] != parent)
                continue;
            f->edges[child] = (struct family_edge){
                .parent = parent, .second = -1, .distance = distance(f, parent, child)};
            g->joined[i] = true;
            g->line[count++] = i;
        }
    }
    for (size_t k = 0; k < count; k++)
        offer_to_all(g, g->line[k]);
}

/* The nearest joins first; who is told to come from a model that is not in the tree yet, last. */
static bool waits_less(const struct group *g, size_t a, size_t b)
{
    bool told_a = g->forest->told[g->members[a]] >= 0, told_b = g->forest->told[g->members[b]] >= 0;
    return told_a != told_b ? told_b : g->near[a] < g->near[b];
}

/* By an eighth of the profiles: most members of a large group are no relatives. */
static bool may_be_near(const struct group *g, size_t a, size_t b)
{
    return profile_coarse_distance(g->coarse + a * PROFILE_COARSE, g->coarse + b * PROFILE_COARSE) <
           FAMILY_CUT + FAMILY_DOUBT;
}

/* Grows one tree from a root until nothing related is left. */
static void grow(struct group *g, size_t root)
{
    const struct forest *f = g->forest;
    for (size_t i = 0; i < g->count; i++) {
        g->near[i] = FAMILY_CUT;
        g->neighbour[i] = -1;
    }
    join(g, root);
    if (!f->relations[g->members[root]].relatives)
        return;
    for (size_t i = 0; i < g->count; i++)
        if (!g->joined[i] && f->relations[g->members[i]].relatives && may_be_near(g, root, i))
            offer(g, root, i, distance(f, g->members[root], g->members[i]));
    for (;;) {
        size_t next = SIZE_MAX;
        for (size_t i = 0; i < g->count; i++)
            if (!g->joined[i] && g->neighbour[i] >= 0 &&
                (next == SIZE_MAX || waits_less(g, i, next)))
                next = i;
        if (next == SIZE_MAX)
            return;
        f->edges[g->members[next]] = (struct family_edge){
            .parent = g->neighbour[next], .second = -1, .distance = g->near[next]};
        join(g, next);
    }
}

/* Whether going up from a leads through b. */
static bool descends(const struct forest *f, int a, int b)
{
    for (size_t steps = 0; a >= 0 && steps <= f->count; steps++, a = f->edges[a].parent)
        if (a == b)
            return true;
    return false;
}

/* A model that lies on the line between two of its nearest is their merge. */
static struct merge find_merge(const struct forest *f, int self)
{
    const struct family_relations *r = &f->relations[self];
    const struct family_member *m = f->members;
    size_t n = m[self].step ? 0 : MIN(r->count, (uint32_t)NEAREST);
    double squares[NEAREST], least = ON_LINE;
    struct merge merge = {-1, -1};
    for (size_t i = 0; i < n; i++) {
        const uint8_t *a = m[r->near[i].member].profile;
        squares[i] = profile_dot(m[self].profile, a, a);
        for (size_t k = 0; k < i; k++) {
            const uint8_t *b = m[r->near[k].member].profile;
            double across = profile_dot(m[self].profile, a, b);
            double off = profile_off_line(squares[k], across, squares[i]);
            if (off >= least)
                continue;
            least = off;
            merge = (struct merge){r->near[k].member, r->near[i].member};
        }
    }
    return merge;
}

/* Gives a merge its parents, unless one of them descends from it. */
static void take_merge(const struct group *g, size_t at)
{
    const struct forest *f = g->forest;
    const struct merge *merge = &g->merges[at];
    int self = g->members[at];
    if (merge->a < 0 || descends(f, merge->a, self) || descends(f, merge->b, self))
        return;
    f->edges[self] = (struct family_edge){
        .parent = merge->a, .second = merge->b, .distance = distance(f, merge->a, self)};
}

static void take_listeners(struct group *g)
{
    const struct family_relations *relations = g->forest->relations;
    for (size_t i = 0; i < g->count; i++)
        for (uint32_t n = 0; n < relations[g->members[i]].count; n++)
            g->first[g->place[relations[g->members[i]].near[n].member] + 1]++;
    for (size_t i = 0; i < g->count; i++)
        g->first[i + 1] += g->first[i];
    g->listeners = mem_alloc((g->first[g->count] + 1) * sizeof *g->listeners);
    AUTO_FREE size_t *fill = mem_alloc((g->count + 1) * sizeof *fill);
    memcpy(fill, g->first, (g->count + 1) * sizeof *fill);
    for (size_t i = 0; i < g->count; i++) {
        const struct family_relations *r = &relations[g->members[i]];
        for (uint32_t n = 0; n < r->count; n++)
            g->listeners[fill[g->place[r->near[n].member]]++] =
                (struct listener){i, r->near[n].full};
    }
}

static void solve_group(const struct forest *forest, const int *members, size_t count,
                        size_t *place)
{
    AUTO_FREE double *near = mem_alloc(count * sizeof *near);
    AUTO_FREE int *neighbour = mem_alloc(count * sizeof *neighbour);
    AUTO_FREE bool *joined = mem_zalloc(count * sizeof *joined);
    AUTO_FREE uint8_t *coarse = mem_alloc(count * PROFILE_COARSE);
    AUTO_FREE size_t *line = mem_alloc(count * sizeof *line);
    AUTO_FREE struct merge *merges = mem_alloc(count * sizeof *merges);
    AUTO_FREE size_t *first = mem_zalloc((count + 1) * sizeof *first);
    struct group g = {.forest = forest,
                      .members = members,
                      .count = count,
                      .place = place,
                      .near = near,
                      .neighbour = neighbour,
                      .coarse = coarse,
                      .joined = joined,
                      .line = line,
                      .merges = merges,
                      .first = first};
    for (size_t i = 0; i < count; i++) {
        place[members[i]] = i;
        profile_coarse(forest->members[members[i]].profile, coarse + i * PROFILE_COARSE);
        merges[i] = find_merge(forest, members[i]);
    }
    take_listeners(&g);
    AUTO_FREE struct standing *standings = take_standings(&g);
    AUTO_FREE struct standing *order = mem_alloc(count * sizeof *order);
    memcpy(order, standings, count * sizeof *order);
    qsort(order, count, sizeof *order, by_standing);
    for (size_t i = 0; i < count; i++)
        while (!joined[order[i].at])
            grow(&g, elect(&g, standings, order[i].at));
    for (size_t i = 0; i < count; i++)
        take_merge(&g, i);
    free(g.listeners);
}

/*
 * What is told of a member: the checkpoint before it in its run, else what it declares, unless the
 * bits deny it or it would go round in a circle.
 */
static void take_told(const struct forest *f, int at)
{
    const struct family_member *m = &f->members[at];
    const int sources[] = {m->before, m->claim};
    for (size_t i = 0; i < COUNT_OF(sources) && f->told[at] < 0; i++)
        if (sources[i] >= 0 && distance(f, sources[i], at) < FAMILY_CUT &&
            !told_to_descend(f, sources[i], at))
            f->told[at] = sources[i];
}

/* What is told comes before what was found. */
static void settle(const struct forest *f, int at)
{
    const struct family_member *m = &f->members[at];
    struct family_edge *edge = &f->edges[at];
    int told = f->told[at];
    edge->contradicted = m->claim >= 0 && distance(f, m->claim, at) >= FAMILY_CUT;
    if (told < 0 || descends(f, told, at))
        return;
    if (edge->second == told)
        edge->second = edge->parent;
    else if (edge->parent != told)
        edge->second = -1;
    edge->parent = told;
    edge->distance = distance(f, told, at);
    edge->path = told == m->before;
    edge->claimed = told == m->claim;
}

void family_forest(const struct family_member *members, size_t count,
                   const struct family_relations *relations, struct family_edge *edges)
{
    AUTO_FREE int *told = mem_alloc((count + 1) * sizeof *told);
    const struct forest forest = {members, relations, edges, told, count};
    AUTO_FREE int *order = family_groups(members, count);
    AUTO_FREE size_t *place = mem_zalloc((count + 1) * sizeof *place);
    for (size_t i = 0; i < count; i++) {
        edges[i] = (struct family_edge){.parent = -1, .second = -1, .distance = -1};
        told[i] = -1;
    }
    for (size_t i = 0; i < count; i++)
        take_told(&forest, (int)i);
    for (size_t at = 0, end; at < count; at = end) {
        end = family_group_end(members, order, count, at);
        if (!hash128_is_zero(&members[order[at]].architecture))
            solve_group(&forest, order + at, end - at, place);
    }
    for (size_t i = 0; i < count; i++)
        settle(&forest, (int)i);
}
