/* SPDX-License-Identifier: MIT */
/*
 * Comparing the members of each architecture. All pairs with a new member are compared by an
 * eighth of their profiles; whole profiles only where that is too near to the cut to tell, and
 * for the nearest relatives of each.
 */
#include "family/family.h"

#include "base/mem.h"
#include "delta/profile.h"

#include <string.h>

enum { BLOCK = 16 }; /* profiles that stay in the cache while others pass */

static int by_architecture(const void *a, const void *b, void *context)
{
    const struct family_member *members = context;
    const struct family_member *x = &members[*(const int *)a], *y = &members[*(const int *)b];
    int order = memcmp(&x->architecture, &y->architecture, sizeof x->architecture);
    return order ? order : *(const int *)a - *(const int *)b;
}

int *family_groups(const struct family_member *members, size_t count)
{
    int *order = mem_alloc((count + 1) * sizeof *order);
    for (size_t i = 0; i < count; i++)
        order[i] = (int)i;
    qsort_r(order, count, sizeof *order, by_architecture, (void *)members);
    return order;
}

size_t family_group_end(const struct family_member *members, const int *order, size_t count,
                        size_t at)
{
    size_t end = at + 1;
    while (end < count &&
           hash128_equal(&members[order[end]].architecture, &members[order[at]].architecture))
        end++;
    return end;
}

struct group {
    const struct family_member *members;
    struct family_relations *relations;
    const int *order; /* the new ones first */
    uint8_t *coarse;  /* PROFILE_COARSE for each of order */
    size_t count;
};

/* Keeps the nearest; of equals the one that is listed first. */
static void insert(struct family_relations *r, int member, float distance)
{
    uint32_t at = r->count;
    while (at > 0 && (r->near[at - 1].coarse > distance ||
                      (r->near[at - 1].coarse == distance && r->near[at - 1].member > member)))
        at--;
    if (at == FAMILY_NEAR)
        return;
    if (r->count < FAMILY_NEAR)
        r->count++;
    for (uint32_t n = r->count - 1; n > at; n--)
        r->near[n] = r->near[n - 1];
    r->near[at].member = member;
    r->near[at].coarse = distance;
    r->near[at].full = -1;
}

static void compare_pair(const struct group *g, size_t i, size_t k)
{
    int a = g->order[i], b = g->order[k];
    double d =
        profile_coarse_distance(g->coarse + i * PROFILE_COARSE, g->coarse + k * PROFILE_COARSE);
    if (d >= FAMILY_CUT + FAMILY_DOUBT)
        return;
    if (d > FAMILY_CUT - FAMILY_DOUBT &&
        profile_distance(g->members[a].profile, g->members[b].profile) >= FAMILY_CUT)
        return;
    g->relations[a].relatives++;
    g->relations[b].relatives++;
    g->relations[a].sum += d;
    g->relations[b].sum += d;
    insert(&g->relations[a], b, (float)d);
    insert(&g->relations[b], a, (float)d);
}

/* Each new member with those behind it: no pair twice. */
static void compare_new(const struct group *g, size_t fresh)
{
    for (size_t block = 0; block < fresh; block += BLOCK)
        for (size_t k = block + 1; k < g->count; k++)
            for (size_t i = block; i < MIN(MIN(block + BLOCK, fresh), k); i++)
                compare_pair(g, i, k);
}

static void refine(const struct group *g)
{
    for (size_t i = 0; i < g->count; i++) {
        struct family_relations *r = &g->relations[g->order[i]];
        r->known = true;
        for (uint32_t n = 0; n < r->count; n++)
            if (r->near[n].full < 0)
                r->near[n].full = (float)profile_distance(g->members[g->order[i]].profile,
                                                          g->members[r->near[n].member].profile);
    }
}

static void compare_group(struct group *g, int *order)
{
    size_t fresh = 0;
    AUTO_FREE uint8_t *coarse = mem_alloc(g->count * PROFILE_COARSE);
    for (size_t i = 0; i < g->count; i++) {
        int member = order[i];
        if (g->relations[member].known)
            continue;
        g->relations[member] = (struct family_relations){0};
        order[i] = order[fresh];
        order[fresh++] = member;
    }
    for (size_t i = 0; i < g->count && fresh; i++)
        profile_coarse(g->members[order[i]].profile, coarse + i * PROFILE_COARSE);
    g->order = order;
    g->coarse = coarse;
    compare_new(g, fresh);
    refine(g);
}

void family_compare(const struct family_member *members, size_t count,
                    struct family_relations *relations)
{
    AUTO_FREE int *order = family_groups(members, count);
    for (size_t at = 0, end; at < count; at = end) {
        struct group g = {.members = members, .relations = relations};
        end = family_group_end(members, order, count, at);
        g.count = end - at;
        if (!hash128_is_zero(&members[order[at]].architecture))
            compare_group(&g, order + at);
    }
}
