/* SPDX-License-Identifier: MIT */
/* Fields of floats: where sign, exponent and mantissa lie, and rounding to BF16. */
#ifndef TARE_BITS_FLOATS_H
#define TARE_BITS_FLOATS_H

#include "model/dtype.h"

/* A float of width bytes: 1 sign bit, exponent bits, mantissa bits. */
struct float_fields {
    unsigned width, exponent, mantissa;
};

/* The fields of a float of 16 bits and more; width 0 for every other type. */
struct float_fields float_fields(enum dtype dtype);

/* The little-endian element at p as BF16, rounded to nearest even. For floats of 16 to 64 bits. */
uint16_t float_to_bf16(enum dtype dtype, const uint8_t *p);

/* Converts n elements between BF16, F16 and F32; what does not fit is rounded to nearest even. */
void float_convert(enum dtype from, enum dtype to, const uint8_t *src, size_t n, uint8_t *dst);
/* Whether n elements come back to the bit when they are converted to the other type and back. */
bool float_fits(enum dtype from, enum dtype to, const uint8_t *src, size_t n);

/* The little-endian unsigned integer of width bytes (1 to 8) at p, and back. */
uint64_t bits_load(const uint8_t *p, unsigned width);
void bits_store(uint8_t *p, unsigned width, uint64_t value);

#endif
