/* SPDX-License-Identifier: MIT */
/*
 * Which members of a family stand alone, so that the others can be stored as differences from
 * them: a facility location. No I/O.
 */
#ifndef TARE_FAMILY_STAND_H
#define TARE_FAMILY_STAND_H

#include <stdbool.h>
#include <stddef.h>

/* A model that is to be stored, or one that may serve as a base without that. */
struct stand_member {
    double alone;   /* bytes; of a model that is not to be stored: what its use costs, may be 0 */
    bool stored;    /* it is to be stored, alone or as a difference */
    bool may_stand; /* it can be a base */
    bool must_stand;
    size_t column; /* of delta, where it may stand */
};

/*
 * Sets stands[i] so that the sum is small: of alone for those that stand, and for every other
 * stored one of the smallest of its alone and its delta from one that stands. delta[i * columns
 * + members[k].column]: bytes of i as a difference from k; < 0: impossible. Greedy, from none and
 * from all that may stand: adding, dropping and exchanging until nothing helps. Returns the sum.
 */
double stand_choose(const struct stand_member *members, size_t count, const double *delta,
                    size_t columns, bool *stands);

/* The sum for given stands. */
double stand_cost(const struct stand_member *members, size_t count, const double *delta,
                  size_t columns, const bool *stands);

#endif
