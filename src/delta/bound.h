/* SPDX-License-Identifier: MIT */
/*
 * How small a tensor could get: entropies of order 0, for comparing codecs with what their
 * models allow. Tables are not counted, and no coder beats its own model.
 */
#ifndef TARE_DELTA_BOUND_H
#define TARE_DELTA_BOUND_H

#include "model/dtype.h"

/* Bytes. Zero-initialised; tensors add up. */
struct bound {
    uint64_t raw, with_base;       /* of the tensors that were added; of those with a base */
    double solo;                   /* exponents, and the rest as it is */
    double delta, bitx;            /* of those with a base */
    uint64_t elements, same, bits; /* with a base: equal elements; bits that differ */
};

/*
 * Adds n elements of BF16, F16 or F32; base: n elements of the same type, or NULL.
 *   solo   entropy of the exponent; sign and mantissa raw
 *   bitx   entropies of the XOR: of its exponent, and of the rest byte by byte
 *   delta  entropy of the folded ordered difference (bits/ordered.h) as one token, values below 16
 *          exact and two tokens an octave above, in contexts by the exponent of the base; raw bits
 */
void bound_add(struct bound *bound, enum dtype dtype, const uint8_t *src, const uint8_t *base,
               size_t n);

#endif
