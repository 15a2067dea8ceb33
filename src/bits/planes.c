/* SPDX-License-Identifier: MIT */
/* Elements to planes and back. The loops for 16 and 32 bits are written for the vectoriser. */
#include "bits/planes.h"

#include "bits/floats.h"

#include <string.h>

unsigned planes_count(enum dtype dtype, unsigned *ret_exponents)
{
    struct float_fields f = float_fields(dtype);
    *ret_exponents = (f.exponent + 7) / 8;
    return f.width ? *ret_exponents + (f.mantissa + 8) / 8 : dtype_width(dtype);
}

static uint16_t load16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static uint32_t load32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void split_bf16(const uint8_t *src, const uint8_t *base, size_t n, uint8_t *restrict e,
                       uint8_t *restrict rest)
{
    for (size_t i = 0; i < n; i++) {
        uint16_t u = load16(src + 2 * i);
        if (base)
            u ^= load16(base + 2 * i);
        e[i] = (uint8_t)(u >> 7);
        rest[i] = (uint8_t)((u >> 8 & 0x80) | (u & 0x7f));
    }
}

static void merge_bf16(const uint8_t *restrict e, const uint8_t *restrict rest, const uint8_t *base,
                       size_t n, uint8_t *dst)
{
    for (size_t i = 0; i < n; i++) {
        uint16_t u = (uint16_t)((rest[i] & 0x80) << 8 | e[i] << 7 | (rest[i] & 0x7f));
        if (base)
            u ^= load16(base + 2 * i);
        dst[2 * i] = (uint8_t)u;
        dst[2 * i + 1] = (uint8_t)(u >> 8);
    }
}

static void split_f32(const uint8_t *src, const uint8_t *base, size_t n, uint8_t *restrict dst)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t u = load32(src + 4 * i);
        if (base)
            u ^= load32(base + 4 * i);
        dst[i] = (uint8_t)(u >> 23);
        dst[n + i] = (uint8_t)u;
        dst[2 * n + i] = (uint8_t)(u >> 8);
        dst[3 * n + i] = (uint8_t)((u >> 24 & 0x80) | (u >> 16 & 0x7f));
    }
}

static void merge_f32(const uint8_t *restrict p, const uint8_t *base, size_t n, uint8_t *dst)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t high = p[3 * n + i];
        uint32_t u = (high & 0x80) << 24 | (uint32_t)p[i] << 23 | (high & 0x7f) << 16 |
                     (uint32_t)p[2 * n + i] << 8 | p[n + i];
        if (base)
            u ^= load32(base + 4 * i);
        for (unsigned b = 0; b < 4; b++)
            dst[4 * i + b] = (uint8_t)(u >> (8 * b));
    }
}

/* Any float by its fields: the exponent's bytes, then mantissa with the sign above it. */
static void split_float(struct float_fields f, const uint8_t *src, const uint8_t *base, size_t n,
                        uint8_t *dst)
{
    unsigned exponents = (f.exponent + 7) / 8, rests = (f.mantissa + 8) / 8;
    uint64_t exponent_mask = ((uint64_t)1 << f.exponent) - 1;
    uint64_t mantissa_mask = ((uint64_t)1 << f.mantissa) - 1;
    for (size_t i = 0; i < n; i++) {
        uint64_t u = bits_load(src + f.width * i, f.width);
        if (base)
            u ^= bits_load(base + f.width * i, f.width);
        uint64_t e = u >> f.mantissa & exponent_mask;
        uint64_t rest = (u & mantissa_mask) | u >> (8 * f.width - 1) << f.mantissa;
        for (unsigned b = 0; b < exponents; b++)
            dst[b * n + i] = (uint8_t)(e >> (8 * b));
        for (unsigned b = 0; b < rests; b++)
            dst[(exponents + b) * n + i] = (uint8_t)(rest >> (8 * b));
    }
}

static void merge_float(struct float_fields f, const uint8_t *planes, const uint8_t *base, size_t n,
                        uint8_t *dst)
{
    unsigned exponents = (f.exponent + 7) / 8, rests = (f.mantissa + 8) / 8;
    uint64_t exponent_mask = ((uint64_t)1 << f.exponent) - 1;
    uint64_t mantissa_mask = ((uint64_t)1 << f.mantissa) - 1;
    for (size_t i = 0; i < n; i++) {
        uint64_t e = 0, rest = 0;
        for (unsigned b = 0; b < exponents; b++)
            e |= (uint64_t)planes[b * n + i] << (8 * b);
        for (unsigned b = 0; b < rests; b++)
            rest |= (uint64_t)planes[(exponents + b) * n + i] << (8 * b);
        uint64_t u = (rest & mantissa_mask) | (e & exponent_mask) << f.mantissa |
                     (rest >> f.mantissa & 1) << (8 * f.width - 1);
        if (base)
            u ^= bits_load(base + f.width * i, f.width);
        bits_store(dst + f.width * i, f.width, u);
    }
}

void planes_split(enum dtype dtype, const uint8_t *src, const uint8_t *base, size_t count,
                  uint8_t *dst)
{
    struct float_fields f = float_fields(dtype);
    unsigned width = dtype_width(dtype);
    if (dtype == DTYPE_BF16)
        split_bf16(src, base, count, dst, dst + count);
    else if (dtype == DTYPE_F32)
        split_f32(src, base, count, dst);
    else if (f.width)
        split_float(f, src, base, count, dst);
    else
        for (unsigned b = 0; b < width; b++)
            for (size_t i = 0; i < count; i++)
                dst[b * count + i] =
                    (uint8_t)(src[i * width + b] ^ (base ? base[i * width + b] : 0));
}

void planes_merge(enum dtype dtype, const uint8_t *planes, const uint8_t *base, size_t count,
                  uint8_t *dst)
{
    struct float_fields f = float_fields(dtype);
    unsigned width = dtype_width(dtype);
    if (dtype == DTYPE_BF16)
        merge_bf16(planes, planes + count, base, count, dst);
    else if (dtype == DTYPE_F32)
        merge_f32(planes, base, count, dst);
    else if (f.width)
        merge_float(f, planes, base, count, dst);
    else
        for (unsigned b = 0; b < width; b++)
            for (size_t i = 0; i < count; i++)
                dst[i * width + b] =
                    (uint8_t)(planes[b * count + i] ^ (base ? base[i * width + b] : 0));
}
