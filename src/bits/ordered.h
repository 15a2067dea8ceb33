/* SPDX-License-Identifier: MIT */
/*
 * Floats as integers in the order of their values, and the differences of two tensors in it.
 *
 * The pattern of a float that is not negative is its integer; of a negative one all bits but the
 * sign are inverted. As two's complement these integers are ordered as the floats are, and what
 * rounding moves by one step moves by one. A difference is taken modulo the width and folded
 * (zigzag): 0, -1, 1, -2, … become 0, 1, 2, 3, …
 */
#ifndef TARE_BITS_ORDERED_H
#define TARE_BITS_ORDERED_H

#include "model/dtype.h"

/* Whether elements of this type have ordered differences: BF16, F16, F32. */
bool ordered_handles(enum dtype dtype);

/*
 * For n elements: the folded differences of src from base, and the exponent fields of base.
 * values and exponents have room for n.
 */
void ordered_split(enum dtype dtype, const uint8_t *src, const uint8_t *base, size_t n,
                   uint32_t *values, uint8_t *exponents);
/* The exponent fields alone. */
void ordered_exponents(enum dtype dtype, const uint8_t *base, size_t n, uint8_t *exponents);
/* The inverse of ordered_split: dst from values and base. dst and base may be the same. */
void ordered_merge(enum dtype dtype, const uint32_t *values, const uint8_t *base, size_t n,
                   uint8_t *dst);

#endif
