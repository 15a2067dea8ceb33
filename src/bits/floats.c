/* SPDX-License-Identifier: MIT */
/* Fields of floats. */
#include "bits/floats.h"

#include <string.h>

struct float_fields float_fields(enum dtype dtype)
{
    switch (dtype) {
    case DTYPE_BF16:
        return (struct float_fields){2, 8, 7};
    case DTYPE_F16:
        return (struct float_fields){2, 5, 10};
    case DTYPE_F32:
        return (struct float_fields){4, 8, 23};
    case DTYPE_F64:
        return (struct float_fields){8, 11, 52};
    default:
        return (struct float_fields){0, 0, 0};
    }
}

uint64_t bits_load(const uint8_t *p, unsigned width)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < width; i++)
        value |= (uint64_t)p[i] << (8 * i);
    return value;
}

void bits_store(uint8_t *p, unsigned width, uint64_t value)
{
    for (unsigned i = 0; i < width; i++)
        p[i] = (uint8_t)(value >> (8 * i));
}

static uint16_t round_f32(uint32_t u)
{
    if ((u & 0x7fffffff) > 0x7f800000)
        return (uint16_t)(u >> 16 | 0x40); /* a NaN stays one */
    return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

static uint32_t widen_f16(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = h >> 10 & 31, mantissa = h & 1023;
    if (exponent == 31)
        return sign | 0x7f800000 | mantissa << 13;
    if (exponent)
        return sign | (exponent + 112) << 23 | mantissa << 13;
    float tiny = (float)mantissa * 0x1p-24f;
    uint32_t u;
    memcpy(&u, &tiny, sizeof u);
    return sign | u;
}

uint16_t float_to_bf16(enum dtype dtype, const uint8_t *p)
{
    uint64_t u = bits_load(p, dtype_width(dtype));
    if (dtype == DTYPE_BF16)
        return (uint16_t)u;
    if (dtype == DTYPE_F16)
        return round_f32(widen_f16((uint16_t)u));
    if (dtype == DTYPE_F32)
        return round_f32((uint32_t)u);
    double d;
    memcpy(&d, &u, sizeof d);
    float f = (float)d;
    uint32_t v;
    memcpy(&v, &f, sizeof v);
    return round_f32(v);
}
