/* SPDX-License-Identifier: MIT */
/* The forest. Groups of one architecture are small: all pairs of a group are compared. */
#include "family/family.h"

#include "base/mem.h"
#include "delta/profile.h"

#include <string.h>

enum {
    GROUP_MOST = 8192, /* a larger group is compared in parts */
    NEAREST = 6,       /* among so many the parents of a merge are looked for */
};
#define KEPT 0.9 /* a descendant keeps at least so much of what its parent changed */
#define MUCH_NEARER 0.75
#define ON_LINE 0.05 /* of a merge, rounding leaves about 0.01; of a straight run, 0.1 */

struct forest {
    const struct family_member *members;
    struct family_edge *edges;
    size_t count;
};

struct standing {
    size_t member, claims, relatives;
    bool made;  /* a checkpoint, or a merge: not the beginning */
    double sum; /* of the distances from its relatives */
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
    double *near;   /* to the tree so far */
    int *neighbour; /* in the tree, of near; -1 */
    bool *joined;
    struct standing *standings;
    struct merge *merges; /* a -1: it is none */
};

static double distance(const struct forest *f, int a, int b)
{
    const struct family_member *x = &f->members[a], *y = &f->members[b];
    if (hash128_is_zero(&x->architecture) || !hash128_equal(&x->architecture, &y->architecture))
        return -1;
    return profile_distance(x->profile, y->profile);
}

/* What others of the group say of a member, and how near they are: the better root. */
static void take_standings(struct group *g)
{
    for (size_t i = 0; i < g->count; i++) {
        g->standings[i].member = i;
        g->standings[i].age = g->forest->members[g->members[i]].age;
        g->standings[i].made = g->forest->members[g->members[i]].step || g->merges[i].a >= 0;
        for (size_t k = 0; k < i; k++) {
            double d = distance(g->forest, g->members[i], g->members[k]);
            if (d >= FAMILY_CUT)
                continue;
            g->standings[i].relatives++;
            g->standings[k].relatives++;
            g->standings[i].sum += d;
            g->standings[k].sum += d;
            g->standings[i].claims += g->forest->members[g->members[k]].claim == g->members[i];
            g->standings[k].claims += g->forest->members[g->members[i]].claim == g->members[k];
        }
    }
}

static int by_standing(const void *a, const void *b)
{
    const struct standing *x = a, *y = b;
    if (x->made != y->made)
        return x->made ? 1 : -1;
    if (x->claims != y->claims)
        return x->claims > y->claims ? -1 : 1;
    if (x->relatives != y->relatives)
        return x->relatives > y->relatives ? -1 : 1;
    if (x->sum != y->sum)
        return x->sum < y->sum ? -1 : 1;
    return x->age != y->age ? (x->age < y->age ? -1 : 1)
                            : (x->member > y->member) - (x->member < y->member);
}

/* Whether a model can descend from one that is in the tree: from the root, or with its changes. */
static bool may_descend(const struct forest *f, int parent, int child, double d)
{
    const struct family_member *m = f->members;
    int root = parent;
    while (f->edges[root].parent >= 0)
        root = f->edges[root].parent;
    return root == parent || d < MUCH_NEARER * distance(f, root, child) ||
           profile_kept(m[root].profile, m[parent].profile, m[child].profile) >= KEPT;
}

static void join(struct group *g, size_t at)
{
    g->joined[at] = true;
    for (size_t i = 0; i < g->count; i++) {
        if (g->joined[i])
            continue;
        double d = distance(g->forest, g->members[at], g->members[i]);
        if (d < g->near[i] && may_descend(g->forest, g->members[at], g->members[i], d)) {
            g->near[i] = d;
            g->neighbour[i] = g->members[at];
        }
    }
}

/* Grows one tree from a root until nothing related is left. */
static void grow(struct group *g, size_t root)
{
    for (size_t i = 0; i < g->count; i++) {
        g->near[i] = FAMILY_CUT;
        g->neighbour[i] = -1;
    }
    g->forest->edges[g->members[root]] =
        (struct family_edge){.parent = -1, .second = -1, .distance = -1};
    join(g, root);
    for (;;) {
        size_t next = SIZE_MAX;
        for (size_t i = 0; i < g->count; i++)
            if (!g->joined[i] && g->neighbour[i] >= 0 &&
                (next == SIZE_MAX || g->near[i] < g->near[next]))
                next = i;
        if (next == SIZE_MAX)
            return;
        g->forest->edges[g->members[next]] = (struct family_edge){
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

/* The nearest relatives of a member, nearest first: places in the group. */
static size_t nearest(const struct group *g, size_t at, size_t out[NEAREST])
{
    double distances[NEAREST];
    size_t n = 0;
    for (size_t i = 0; i < g->count; i++) {
        double d = i == at ? FAMILY_CUT : distance(g->forest, g->members[at], g->members[i]);
        if (d >= FAMILY_CUT || (n == NEAREST && d >= distances[n - 1]))
            continue;
        size_t k = n < NEAREST ? n++ : n - 1;
        for (; k > 0 && distances[k - 1] > d; k--) {
            distances[k] = distances[k - 1];
            out[k] = out[k - 1];
        }
        distances[k] = d;
        out[k] = i;
    }
    return n;
}

/* A model that lies on the line between two of its nearest is their merge: *ret. */
static bool find_merge(const struct group *g, size_t at, struct merge *ret)
{
    const struct family_member *members = g->forest->members;
    size_t near[NEAREST], n = members[g->members[at]].step ? 0 : nearest(g, at, near);
    double least = ON_LINE;
    for (size_t i = 0; i < n; i++) {
        for (size_t k = i + 1; k < n; k++) {
            int a = g->members[near[i]], b = g->members[near[k]];
            double off = profile_off_line(members[g->members[at]].profile, members[a].profile,
                                          members[b].profile);
            if (off >= least)
                continue;
            least = off;
            *ret = (struct merge){a, b};
        }
    }
    return least < ON_LINE;
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

static void solve_group(const struct forest *forest, const int *members, size_t count)
{
    AUTO_FREE double *near = mem_alloc(count * sizeof *near);
    AUTO_FREE int *neighbour = mem_alloc(count * sizeof *neighbour);
    AUTO_FREE bool *joined = mem_zalloc(count * sizeof *joined);
    AUTO_FREE struct standing *standings = mem_zalloc(count * sizeof *standings);
    AUTO_FREE struct merge *merges = mem_alloc(count * sizeof *merges);
    struct group g = {forest, members, count, near, neighbour, joined, standings, merges};
    for (size_t i = 0; i < count; i++)
        if (!find_merge(&g, i, &merges[i]))
            merges[i].a = -1;
    take_standings(&g);
    qsort(standings, count, sizeof *standings, by_standing);
    for (size_t i = 0; i < count; i++)
        if (!joined[standings[i].member])
            grow(&g, standings[i].member);
    for (size_t i = 0; i < count; i++)
        take_merge(&g, i);
}

/* What is declared counts where the bits do not deny it and no circle comes of it. */
static void take_claim(const struct forest *f, int at)
{
    struct family_edge *edge = &f->edges[at];
    int claim = f->members[at].claim;
    if (claim < 0 || claim == at)
        return;
    double d = distance(f, claim, at);
    edge->contradicted = d >= FAMILY_CUT;
    if (edge->contradicted || descends(f, claim, at))
        return;
    edge->second = edge->parent == claim || edge->second == claim ? edge->second : -1;
    if (edge->second == claim)
        edge->second = edge->parent;
    edge->parent = claim;
    edge->distance = d;
    edge->claimed = true;
}

static int by_architecture(const void *a, const void *b, void *context)
{
    const struct family_member *members = context;
    const struct family_member *x = &members[*(const int *)a], *y = &members[*(const int *)b];
    int order = memcmp(&x->architecture, &y->architecture, sizeof x->architecture);
    return order ? order : *(const int *)a - *(const int *)b;
}

void family_forest(const struct family_member *members, size_t count, struct family_edge *edges)
{
    const struct forest forest = {members, edges, count};
    AUTO_FREE int *order = mem_alloc((count + 1) * sizeof *order);
    for (size_t i = 0; i < count; i++) {
        order[i] = (int)i;
        edges[i] = (struct family_edge){.parent = -1, .second = -1, .distance = -1};
    }
    qsort_r(order, count, sizeof *order, by_architecture, (void *)members);
    for (size_t at = 0, end; at < count; at = end) {
        const struct hash128 *architecture = &members[order[at]].architecture;
        for (end = at + 1; end < count && end - at < GROUP_MOST; end++)
            if (!hash128_equal(&members[order[end]].architecture, architecture))
                break;
        if (!hash128_is_zero(architecture))
            solve_group(&forest, order + at, end - at);
    }
    for (size_t i = 0; i < count; i++)
        take_claim(&forest, (int)i);
}
