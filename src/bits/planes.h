/* SPDX-License-Identifier: MIT */
/*
 * Elements to planes and back. A float becomes planes of exponent bytes and planes of the rest
 * (mantissa, with the sign on top); anything else becomes its byte planes, lowest byte first.
 *
 *   BF16  exponent | sign, 7 mantissa bits
 *   F16   exponent (5 bits) | 8 low mantissa bits | sign, 2 high mantissa bits
 *   F32   exponent | 8 low | 8 middle | sign, 7 high mantissa bits
 *   F64   8 low exponent bits | 3 high | six bytes of mantissa | sign, 4 high mantissa bits
 */
#ifndef TARE_BITS_PLANES_H
#define TARE_BITS_PLANES_H

#include "model/dtype.h"

enum { PLANES_MOST = 9 };

/* How many planes elements of this type have; the first *ret_exponents hold exponents. */
unsigned planes_count(enum dtype dtype, unsigned *ret_exponents);

/*
 * Splits count elements into planes of count bytes each, one behind the other in dst. Where
 * base is not NULL, the XOR of src and base is split.
 */
void planes_split(enum dtype dtype, const uint8_t *src, const uint8_t *base, size_t count,
                  uint8_t *dst);

/* The inverse of planes_split. */
void planes_merge(enum dtype dtype, const uint8_t *planes, const uint8_t *base, size_t count,
                  uint8_t *dst);

#endif
