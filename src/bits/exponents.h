/* SPDX-License-Identifier: MIT */
/* How the values of a tensor are spread: a count for each exponent, and what is no number. */
#ifndef TARE_BITS_EXPONENTS_H
#define TARE_BITS_EXPONENTS_H

#include "model/dtype.h"

enum { EXPONENTS = 2048 };

/* Sums over elements; zero-initialised. */
struct exponents {
    uint64_t elements, zeros, infinities, nans;
    /* Finite numbers other than zero, by the bits of the exponent; [0]: subnormal ones. */
    uint64_t counts[EXPONENTS];
};

/* Adds n little-endian elements of a type that is one of dtype_is_float. */
void exponents_add(struct exponents *sum, enum dtype dtype, const uint8_t *data, size_t n);
/* The power of two that an index of counts stands for: 1.x times 2 to that. */
int exponents_power(enum dtype dtype, unsigned index);

#endif
