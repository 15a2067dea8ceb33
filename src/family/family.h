/* SPDX-License-Identifier: MIT */
/*
 * Families: who descends from whom, from what is declared and from the bits. No I/O.
 *
 * Models of one architecture are compared by their profiles (delta/profile.h). Fine-tunes differ
 * from their base in 0.2 to 4.7 of 16 bits, models of unrelated training in about 5.7; the cut lies
 * between (docs/families.md). Related models form a tree: its root is what most of the others name
 * as their base, else the one that is nearest to all of them; checkpoints of a run and merges come
 * last. From there each model joins the one that it is nearest to, the root or one whose changes it
 * has kept. A model between two others is their merge. A declared base counts before what was
 * found, unless the bits deny it.
 */
#ifndef TARE_FAMILY_FAMILY_H
#define TARE_FAMILY_FAMILY_H

#include "base/hash.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FAMILY_CUT 4.9

struct family_member {
    struct hash128 architecture; /* zero: not known */
    const uint8_t *profile;      /* PROFILE_BYTES, where the architecture is known */
    int claim;                   /* index of the declared base, -1 */
    bool step;                   /* a checkpoint of a run: it had a base to begin with */
    int64_t age;                 /* of equals, the smaller one is the elder */
};

struct family_edge {
    int parent;        /* -1: a root, or alone */
    int second;        /* of a merge, the other parent; -1 */
    double distance;   /* from the parent, of 16 bits; < 0: not comparable */
    bool claimed;      /* the parent is the declared one */
    bool contradicted; /* the declared base is not related by its bits */
};

/* edges has room for count. */
void family_forest(const struct family_member *members, size_t count, struct family_edge *edges);

#endif
