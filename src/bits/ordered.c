/* SPDX-License-Identifier: MIT */
/* Ordered differences. The loops are plain C for the vectoriser, compiled for each path. */
#include "bits/ordered.h"

#include "bits/floats.h"
#include "bits/simd.h"

#include <endian.h>
#include <string.h>

bool ordered_handles(enum dtype dtype)
{
    return float_fields(dtype).width == 2 || float_fields(dtype).width == 4;
}

SIMD_BODY uint16_t load16(const uint8_t *p)
{
    uint16_t u;
    memcpy(&u, p, sizeof u);
    return le16toh(u);
}

SIMD_BODY uint32_t load32(const uint8_t *p)
{
    uint32_t u;
    memcpy(&u, p, sizeof u);
    return le32toh(u);
}

SIMD_BODY void store16(uint8_t *p, uint16_t u)
{
    u = htole16(u);
    memcpy(p, &u, sizeof u);
}

SIMD_BODY void store32(uint8_t *p, uint32_t u)
{
    u = htole32(u);
    memcpy(p, &u, sizeof u);
}

/* Pattern to ordered integer, and back: it is its own inverse. */
SIMD_BODY uint16_t order16(uint16_t u)
{
    return (uint16_t)(u ^ ((uint16_t)((int16_t)u >> 15) & 0x7fff));
}

SIMD_BODY uint32_t order32(uint32_t u)
{
    return u ^ ((uint32_t)((int32_t)u >> 31) & 0x7fffffff);
}

SIMD_BODY void split16(const uint8_t *src, const uint8_t *base, size_t n, unsigned mantissa,
                       uint32_t *restrict values, uint8_t *restrict exponents)
{
    unsigned mask = (1u << (15 - mantissa)) - 1;
    for (size_t i = 0; i < n; i++) {
        uint16_t b = load16(base + 2 * i);
        uint16_t d = (uint16_t)(order16(load16(src + 2 * i)) - order16(b));
        values[i] = (uint16_t)((uint16_t)(d << 1) ^ (uint16_t)((int16_t)d >> 15));
        exponents[i] = (uint8_t)(b >> mantissa & mask);
    }
}

SIMD_BODY void split32(const uint8_t *src, const uint8_t *base, size_t n, uint32_t *restrict values,
                       uint8_t *restrict exponents)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t b = load32(base + 4 * i);
        uint32_t d = order32(load32(src + 4 * i)) - order32(b);
        values[i] = (d << 1) ^ (uint32_t)((int32_t)d >> 31);
        exponents[i] = (uint8_t)(b >> 23);
    }
}

SIMD_BODY void merge16(const uint32_t *restrict values, const uint8_t *base, size_t n, uint8_t *dst)
{
    for (size_t i = 0; i < n; i++) {
        uint16_t v = (uint16_t)values[i];
        uint16_t d = (uint16_t)((uint16_t)(v >> 1) ^ (uint16_t) - (v & 1));
        store16(dst + 2 * i, order16((uint16_t)(order16(load16(base + 2 * i)) + d)));
    }
}

SIMD_BODY void merge32(const uint32_t *restrict values, const uint8_t *base, size_t n, uint8_t *dst)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t d = values[i] >> 1 ^ -(values[i] & 1);
        store32(dst + 4 * i, order32(order32(load32(base + 4 * i)) + d));
    }
}

SIMD_BODY void exponents16(const uint8_t *base, size_t n, unsigned mantissa,
                           uint8_t *restrict exponents)
{
    unsigned mask = (1u << (15 - mantissa)) - 1;
    for (size_t i = 0; i < n; i++)
        exponents[i] = (uint8_t)(load16(base + 2 * i) >> mantissa & mask);
}

SIMD_BODY void exponents32(const uint8_t *base, size_t n, uint8_t *restrict exponents)
{
    for (size_t i = 0; i < n; i++)
        exponents[i] = (uint8_t)(load32(base + 4 * i) >> 23);
}

SIMD_BODY void split(enum dtype dtype, const uint8_t *src, const uint8_t *base, size_t n,
                     uint32_t *values, uint8_t *exponents)
{
    if (dtype == DTYPE_BF16)
        split16(src, base, n, 7, values, exponents);
    else if (dtype == DTYPE_F16)
        split16(src, base, n, 10, values, exponents);
    else
        split32(src, base, n, values, exponents);
}

SIMD_BODY void merge(enum dtype dtype, const uint32_t *values, const uint8_t *base, size_t n,
                     uint8_t *dst)
{
    if (dtype == DTYPE_F32)
        merge32(values, base, n, dst);
    else
        merge16(values, base, n, dst);
}

SIMD_BODY void exponents_of(enum dtype dtype, const uint8_t *base, size_t n, uint8_t *exponents)
{
    if (dtype == DTYPE_BF16)
        exponents16(base, n, 7, exponents);
    else if (dtype == DTYPE_F16)
        exponents16(base, n, 10, exponents);
    else
        exponents32(base, n, exponents);
}

#ifdef SIMD_X86
SIMD_TARGET_AVX2 static void split_avx2(enum dtype dtype, const uint8_t *src, const uint8_t *base,
                                        size_t n, uint32_t *values, uint8_t *exponents)
{
    split(dtype, src, base, n, values, exponents);
}

SIMD_TARGET_AVX2 static void merge_avx2(enum dtype dtype, const uint32_t *values,
                                        const uint8_t *base, size_t n, uint8_t *dst)
{
    merge(dtype, values, base, n, dst);
}

SIMD_TARGET_AVX2 static void exponents_avx2(enum dtype dtype, const uint8_t *base, size_t n,
                                            uint8_t *exponents)
{
    exponents_of(dtype, base, n, exponents);
}
#endif

void ordered_split(enum dtype dtype, const uint8_t *src, const uint8_t *base, size_t n,
                   uint32_t *values, uint8_t *exponents)
{
#ifdef SIMD_X86
    if (simd_level() >= SIMD_AVX2) {
        split_avx2(dtype, src, base, n, values, exponents);
        return;
    }
#endif
    split(dtype, src, base, n, values, exponents);
}

void ordered_merge(enum dtype dtype, const uint32_t *values, const uint8_t *base, size_t n,
                   uint8_t *dst)
{
#ifdef SIMD_X86
    if (simd_level() >= SIMD_AVX2) {
        merge_avx2(dtype, values, base, n, dst);
        return;
    }
#endif
    merge(dtype, values, base, n, dst);
}

void ordered_exponents(enum dtype dtype, const uint8_t *base, size_t n, uint8_t *exponents)
{
#ifdef SIMD_X86
    if (simd_level() >= SIMD_AVX2) {
        exponents_avx2(dtype, base, n, exponents);
        return;
    }
#endif
    exponents_of(dtype, base, n, exponents);
}
