/* SPDX-License-Identifier: MIT */
/* Fields of floats. */
#include "bits/floats.h"

#include "base/mem.h"

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
    if ((u & 0x7fffffff) > 0x7f800000) /* a NaN stays one, and itself if it fits */
        return (uint16_t)(u >> 16 | (u & 0x7f0000 ? 0 : 0x40));
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

/* Mantissas of 24 bits lose what a smaller one does not hold; ties go to even. */
static uint16_t narrow_f16(uint32_t u)
{
    uint16_t sign = (uint16_t)(u >> 16 & 0x8000);
    uint32_t magnitude = u & 0x7fffffff;
    if (magnitude > 0x7f800000) /* a NaN stays one */
        return (uint16_t)(sign | 0x7c00 | MAX(magnitude >> 13 & 0x3ff, 1u));
    if (magnitude >= 0x477ff000) /* halfway between the largest and what would be the next */
        return sign | 0x7c00;
    unsigned exponent = magnitude >> 23;
    if (exponent < 102)
        return sign;
    uint32_t mantissa = (magnitude & 0x7fffff) | 0x800000;
    unsigned drop = exponent < 113 ? 126 - exponent : 13;
    uint32_t kept = mantissa >> drop, rest = mantissa & ((1u << drop) - 1);
    uint32_t half = 1u << (drop - 1);
    kept += rest > half || (rest == half && (kept & 1));
    /* The first bit of a normal mantissa counts as one step of the exponent. */
    return (uint16_t)(sign | ((exponent < 113 ? 0 : (exponent - 113) << 10) + kept));
}

static uint32_t widen(enum dtype from, const uint8_t *p)
{
    return from == DTYPE_BF16  ? (uint32_t)bits_load(p, 2) << 16
           : from == DTYPE_F16 ? widen_f16((uint16_t)bits_load(p, 2))
                               : (uint32_t)bits_load(p, 4);
}

static uint32_t narrow(enum dtype to, uint32_t u)
{
    return to == DTYPE_F32 ? u : to == DTYPE_BF16 ? round_f32(u) : narrow_f16(u);
}

void float_convert(enum dtype from, enum dtype to, const uint8_t *src, size_t n, uint8_t *dst)
{
    unsigned width = dtype_width(from), into = dtype_width(to);
    for (size_t i = 0; i < n; i++)
        bits_store(dst + i * into, into, narrow(to, widen(from, src + i * width)));
}

bool float_fits(enum dtype from, enum dtype to, const uint8_t *src, size_t n)
{
    unsigned width = dtype_width(from), into = dtype_width(to);
    for (size_t i = 0; i < n; i++) {
        uint8_t there[4], back[4];
        bits_store(there, into, narrow(to, widen(from, src + i * width)));
        bits_store(back, width, narrow(from, widen(to, there)));
        if (memcmp(back, src + i * width, width) != 0)
            return false;
    }
    return true;
}
