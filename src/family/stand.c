/* SPDX-License-Identifier: MIT */
/* Facility location, by local search. */
#include "family/stand.h"

#include "base/mem.h"

#include <string.h>

enum { EXCHANGES_BELOW = 500 /* members: exchanging looks at all pairs that may stand */ };

double stand_cost(const struct stand_member *members, size_t count, const double *delta,
                  size_t columns, const bool *stands)
{
    AUTO_FREE size_t *open = mem_alloc((columns + 1) * sizeof *open);
    size_t n = 0;
    double sum = 0;
    for (size_t i = 0; i < count; i++) {
        if (!stands[i])
            continue;
        open[n++] = members[i].column;
        sum += members[i].alone;
    }
    for (size_t i = 0; i < count; i++) {
        double best = members[i].alone;
        if (stands[i] || !members[i].stored)
            continue;
        for (size_t k = 0; k < n; k++) {
            double d = delta[i * columns + open[k]];
            best = d >= 0 && d < best ? d : best;
        }
        sum += best;
    }
    return sum;
}

struct search {
    const struct stand_member *members;
    const double *delta;
    bool *stands;
    size_t count, columns;
    double cost;
};

static void flip(struct search *s, size_t i)
{
    s->stands[i] = !s->stands[i];
}

/* Keeps the change of i and k (count: of i alone) if it is the best so far. */
static void try_change(struct search *s, size_t i, size_t k, double *best, size_t out[2])
{
    flip(s, i);
    if (k < s->count)
        flip(s, k);
    double cost = stand_cost(s->members, s->count, s->delta, s->columns, s->stands);
    flip(s, i);
    if (k < s->count)
        flip(s, k);
    if (cost >= *best)
        return;
    *best = cost;
    out[0] = i;
    out[1] = k;
}

static bool may_flip(const struct search *s, size_t i)
{
    return s->stands[i] ? !s->members[i].must_stand : s->members[i].may_stand;
}

/* The best change of one member or, exchanging, of two; false where none helps. */
static bool improve(struct search *s, bool exchange)
{
    double best = s->cost * (1 - 1e-9);
    size_t change[2] = {s->count, s->count};
    for (size_t i = 0; i < s->count; i++) {
        if (!may_flip(s, i))
            continue;
        if (!exchange)
            try_change(s, i, s->count, &best, change);
        for (size_t k = 0; k < s->count && exchange && s->stands[i]; k++)
            if (!s->stands[k] && may_flip(s, k))
                try_change(s, i, k, &best, change);
    }
    if (change[0] == s->count)
        return false;
    flip(s, change[0]);
    if (change[1] < s->count)
        flip(s, change[1]);
    s->cost = best;
    return true;
}

/* From none, or from all that may stand, to where no change helps. */
static void descend(struct search *s, bool all)
{
    for (size_t i = 0; i < s->count; i++)
        s->stands[i] = s->members[i].must_stand || (all && s->members[i].may_stand);
    s->cost = stand_cost(s->members, s->count, s->delta, s->columns, s->stands);
    while (improve(s, false) || (s->count < EXCHANGES_BELOW && improve(s, true)))
        ;
}

double stand_choose(const struct stand_member *members, size_t count, const double *delta,
                    size_t columns, bool *stands)
{
    AUTO_FREE bool *others = mem_alloc(count + 1);
    struct search up = {members, delta, stands, count, columns, 0};
    struct search down = {members, delta, others, count, columns, 0};
    descend(&up, false);
    descend(&down, true);
    if (down.cost >= up.cost)
        return up.cost;
    memcpy(stands, others, count * sizeof *stands);
    return down.cost;
}
