/* SPDX-License-Identifier: MIT */
/*
 * What differs between a tensor and its base: one pass over both, at the speed of memory. No I/O.
 */
#ifndef TARE_DELTA_COMPARE_H
#define TARE_DELTA_COMPARE_H

#include "model/dtype.h"

enum { COMPARE_BITS = 32 };

/* Sums over elements; zero-initialised, and parts add up. */
struct comparison {
    uint64_t elements, unchanged; /* unchanged: bit for bit */
    uint64_t bits;                /* that differ of 16, F32 rounded to BF16 */
    uint64_t flips[COMPARE_BITS]; /* of each bit of the type, the least significant first */
    double moved, base, own, dot; /* squares of differences, of base and model, and their product */
};

/* Types that can be compared: BF16, F16, F32. */
bool compare_handles(enum dtype dtype);

/* Adds n elements; own and base of the same type. */
void compare_add(struct comparison *sum, enum dtype dtype, const uint8_t *own, const uint8_t *base,
                 size_t n);
/* Adds another sum. */
void compare_join(struct comparison *sum, const struct comparison *other);

/* As if all elements, this many, looked like those that were added. */
void compare_scale(struct comparison *sum, uint64_t elements);

/* Shares and measures; 0 where there are no elements, or the base is zero. */
double compare_unchanged(const struct comparison *sum);
double compare_bit_distance(const struct comparison *sum);    /* bits of 16 */
double compare_relative_change(const struct comparison *sum); /* |own - base| / |base| */
double compare_cosine(const struct comparison *sum);          /* of own and base */

#endif
