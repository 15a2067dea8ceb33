/* SPDX-License-Identifier: MIT */
/*
 * Families: who descends from whom, from what is declared and from the bits. No I/O.
 *
 * Models of one architecture are compared by their profiles (delta/profile.h). Fine-tunes differ
 * from their base in 0.2 to 4.7 of 16 bits, models of unrelated training in about 5.7; the cut lies
 * between (docs/families.md). Related models form a tree: its root is what most of the others name
 * as their base, else the one that is nearest to all of them; checkpoints of a run and merges come
 * last. From there each model joins the one that it is nearest to, the root or one whose changes it
 * has kept. A model between two others is their merge. A checkpoint follows the one before it in
 * its run. A declared base counts before what was found, unless the bits deny it.
 */
#ifndef TARE_FAMILY_FAMILY_H
#define TARE_FAMILY_FAMILY_H

#include "base/hash.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FAMILY_CUT 4.9
/* An eighth of two profiles tells their distance with a standard deviation of about 0.09. */
#define FAMILY_DOUBT 0.4

struct family_member {
    struct hash128 architecture; /* zero: not known */
    const uint8_t *profile;      /* PROFILE_BYTES, where the architecture is known */
    int claim;                   /* index of the declared base, -1 */
    int before;                  /* index of the checkpoint before it in its run, -1 */
    bool step;                   /* a checkpoint of a run: it had a base to begin with */
    int64_t age;                 /* of equals, the smaller one is the elder */
};

/* What one member has come to know of the others of its architecture. */
enum { FAMILY_NEAR = 24 };
struct family_relations {
    bool known;         /* compared with every other known one */
    uint32_t relatives; /* how many are nearer than the cut */
    uint32_t count;     /* of near */
    double sum;         /* of the relatives' distances */
    struct {
        int member;
        float coarse, full; /* distances: by an eighth of the profile, by all of it */
    } near[FAMILY_NEAR];    /* the nearest relatives, the coarse distances in order */
};

struct family_edge {
    int parent;        /* -1: a root, or alone */
    int second;        /* of a merge, the other parent; -1 */
    double distance;   /* from the parent, of 16 bits; < 0: not comparable */
    bool claimed;      /* the parent is the declared one */
    bool path;         /* the parent is the checkpoint before it */
    bool contradicted; /* the declared base is not related by its bits */
};

/*
 * Compares every member that is not known with all others of its architecture, which then know of
 * it, too. Where all are known but one, that is one pass over its group.
 */
void family_compare(const struct family_member *members, size_t count,
                    struct family_relations *relations);

/* edges has room for count. Every relation is known. */
void family_forest(const struct family_member *members, size_t count,
                   const struct family_relations *relations, struct family_edge *edges);

/*
 * The members in groups of one architecture: indices, those of unknown architecture first. Free it.
 */
int *family_groups(const struct family_member *members, size_t count);
/* The end of the group that begins at order[at]. */
size_t family_group_end(const struct family_member *members, const int *order, size_t count,
                        size_t at);

#endif
