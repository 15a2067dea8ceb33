/* SPDX-License-Identifier: MIT */
/*
 * Comparing. Elements are taken in blocks; within a block the loops are plain, so that the compiler
 * makes vectors of them for each kind of CPU.
 */
#include "delta/compare.h"

#include "base/mem.h"
#include "bits/differ.h"
#include "bits/simd.h"

#include <math.h>
#include <string.h>

enum { BLOCK = 4096, LANES = 32 };

#define SMALL 1e-24 /* sums of squares below lose digits in floats */

/* A block of both, as the bits of the type and as floats. */
struct block {
    uint16_t own16[BLOCK], base16[BLOCK], flipped[2 * BLOCK];
    union {
        uint32_t own32[BLOCK];
        uint16_t own_halves[2 * BLOCK];
    };
    union {
        uint32_t base32[BLOCK];
        uint16_t base_halves[2 * BLOCK];
    };
    float own[BLOCK], base[BLOCK];
};

bool compare_handles(enum dtype dtype)
{
    return dtype == DTYPE_BF16 || dtype == DTYPE_F16 || dtype == DTYPE_F32;
}

/*
 * How often a bit of words is set; words of F32 come in pairs, the low half first: halves is 2
 * then. bit is a constant wherever this is put.
 */
SIMD_BODY void count_bit(const uint16_t *flipped, size_t words, size_t halves, unsigned bit,
                         uint64_t *flips)
{
    uint16_t lanes[LANES] = {0};
    for (size_t i = 0; i < words; i += LANES)
        for (size_t k = 0; k < LANES; k++)
            lanes[k] = (uint16_t)(lanes[k] + (uint16_t)((uint16_t)(flipped[i + k] >> bit) & 1));
    for (size_t k = 0; k < LANES; k++)
        flips[bit + k % halves * 16] += lanes[k];
}

SIMD_BODY void count_flips(const uint16_t *flipped, size_t words, size_t halves, uint64_t *flips)
{
#pragma GCC unroll 16
    for (unsigned bit = 0; bit < 16; bit++)
        count_bit(flipped, words, halves, bit, flips);
}

SIMD_BODY uint64_t count_same16(const uint16_t *flipped, size_t n)
{
    uint16_t lanes[LANES] = {0};
    uint64_t same = 0;
    for (size_t i = 0; i < n; i += LANES)
        for (size_t k = 0; k < LANES; k++)
            lanes[k] = (uint16_t)(lanes[k] + (flipped[i + k] == 0));
    for (size_t k = 0; k < LANES; k++)
        same += lanes[k];
    return same;
}

SIMD_BODY uint64_t count_same32(const uint32_t *own, const uint32_t *base, size_t n)
{
    uint32_t lanes[LANES] = {0};
    uint64_t same = 0;
    for (size_t i = 0; i < n; i += LANES)
        for (size_t k = 0; k < LANES; k++)
            lanes[k] += own[i + k] == base[i + k];
    for (size_t k = 0; k < LANES; k++)
        same += lanes[k];
    return same;
}

SIMD_BODY void widen_f16(const uint16_t *src, size_t n, float *dst)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t u = (uint32_t)(src[i] & 0x7fff) << 13, sign = (uint32_t)(src[i] & 0x8000) << 16;
        uint32_t special = (src[i] & 0x7c00) == 0x7c00 ? 0x7f800000 : 0; /* infinite, or NaN */
        float f;
        memcpy(&f, &u, sizeof f);
        f *= 0x1p112f; /* from the exponent of halves to that of floats, subnormals too */
        memcpy(&u, &f, sizeof u);
        u |= sign | special;
        memcpy(&dst[i], &u, sizeof u);
    }
}

SIMD_BODY void widen_bf16(const uint16_t *src, size_t n, float *dst)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t u = (uint32_t)src[i] << 16;
        memcpy(&dst[i], &u, sizeof u);
    }
}

/* Infinities and NaN count as nothing. */
SIMD_BODY float tame(float f)
{
    return f - f == 0 ? f : 0;
}

/* Squares of what is very large or very small need the range of doubles. */
SIMD_BODY void add_doubles(const float *own, const float *base, size_t n, struct comparison *sum)
{
    double moved[LANES] = {0}, bases[LANES] = {0}, owns[LANES] = {0}, dots[LANES] = {0};
    for (size_t i = 0; i < n; i += LANES)
        for (size_t k = 0; k < LANES; k++) {
            double a = (double)tame(own[i + k]), b = (double)tame(base[i + k]), d = a - b;
            moved[k] += d * d;
            bases[k] += b * b;
            owns[k] += a * a;
            dots[k] += a * b;
        }
    for (size_t k = 0; k < LANES; k++) {
        sum->moved += moved[k];
        sum->base += bases[k];
        sum->own += owns[k];
        sum->dot += dots[k];
    }
}

SIMD_BODY void add_floats(const float *own, const float *base, size_t n, struct comparison *sum)
{
    float moved[LANES] = {0}, bases[LANES] = {0}, owns[LANES] = {0}, dots[LANES] = {0};
    for (size_t i = 0; i < n; i += LANES)
        for (size_t k = 0; k < LANES; k++) {
            float a = tame(own[i + k]), b = tame(base[i + k]), d = a - b;
            moved[k] += d * d;
            bases[k] += b * b;
            owns[k] += a * a;
            dots[k] += a * b;
        }
    struct comparison part = {0};
    for (size_t k = 0; k < LANES; k++) {
        part.moved += (double)moved[k];
        part.base += (double)bases[k];
        part.own += (double)owns[k];
        part.dot += (double)dots[k];
    }
    double all = part.moved + part.base + part.own + part.dot;
    if (all - all != 0 || part.base < SMALL || part.own < SMALL) {
        add_doubles(own, base, n, sum);
        return;
    }
    sum->moved += part.moved;
    sum->base += part.base;
    sum->own += part.own;
    sum->dot += part.dot;
}

SIMD_BODY void flip16(const uint16_t *own, const uint16_t *base, size_t n, uint16_t *dst)
{
    for (size_t i = 0; i < n; i++)
        dst[i] = own[i] ^ base[i];
}

/* A block, filled up to whole lanes with zeros in both. */
SIMD_BODY void add_block16(struct block *block, size_t n, bool bf16, struct comparison *sum)
{
    flip16(block->own16, block->base16, n, block->flipped);
    sum->unchanged += count_same16(block->flipped, n);
    count_flips(block->flipped, n, 1, sum->flips);
    if (bf16) {
        widen_bf16(block->own16, n, block->own);
        widen_bf16(block->base16, n, block->base);
    } else {
        widen_f16(block->own16, n, block->own);
        widen_f16(block->base16, n, block->base);
    }
    add_floats(block->own, block->base, n, sum);
}

SIMD_BODY void round_block(const uint32_t *src, size_t n, uint16_t *dst)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t u = src[i];
        bool nan = (u & 0x7fffffff) > 0x7f800000;
        dst[i] = (uint16_t)((nan ? u | 0x400000 : u + 0x7fff + (u >> 16 & 1)) >> 16);
    }
}

/* Both, rounded to BF16. */
SIMD_BODY void round_both(struct block *block, size_t n)
{
    round_block(block->own32, n, block->own16);
    round_block(block->base32, n, block->base16);
}

SIMD_BODY void add_block32(struct block *block, size_t n, struct comparison *sum)
{
    sum->unchanged += count_same32(block->own32, block->base32, n);
    flip16(block->own_halves, block->base_halves, 2 * n, block->flipped);
    count_flips(block->flipped, 2 * n, 2, sum->flips);
    memcpy(block->own, block->own32, n * 4);
    memcpy(block->base, block->base32, n * 4);
    add_floats(block->own, block->base, n, sum);
    round_both(block, n);
}

SIMD_BODY void add_block(struct block *block, enum dtype dtype, size_t n, struct comparison *sum)
{
    if (dtype == DTYPE_F32)
        add_block32(block, n, sum);
    else
        add_block16(block, n, dtype == DTYPE_BF16, sum);
    if (dtype == DTYPE_F16) {
        memcpy(block->own32, block->own, n * 4);
        memcpy(block->base32, block->base, n * 4);
        round_both(block, n);
    }
}

#ifdef SIMD_X86
SIMD_TARGET_AVX2 static void add_block_avx2(struct block *block, enum dtype dtype, size_t n,
                                            struct comparison *sum)
{
    add_block(block, dtype, n, sum);
}

SIMD_TARGET_AVX512 static void add_block_avx512(struct block *block, enum dtype dtype, size_t n,
                                                struct comparison *sum)
{
    add_block(block, dtype, n, sum);
}
#endif

static void dispatch(struct block *block, enum dtype dtype, size_t n, struct comparison *sum)
{
#ifdef SIMD_X86
    switch (simd_level()) {
    case SIMD_AVX512:
        add_block_avx512(block, dtype, n, sum);
        return;
    case SIMD_AVX2:
        add_block_avx2(block, dtype, n, sum);
        return;
    default:
        break;
    }
#endif
    add_block(block, dtype, n, sum);
}

/* The block's elements, and zeros up to whole lanes; returns how many zeros. */
static size_t fill(struct block *block, enum dtype dtype, const uint8_t *own, const uint8_t *base,
                   size_t n)
{
    size_t pad = (LANES - n % LANES) % LANES;
    if (dtype == DTYPE_F32) {
        memcpy(block->own32, own, n * 4);
        memcpy(block->base32, base, n * 4);
        memset(block->own32 + n, 0, pad * 4);
        memset(block->base32 + n, 0, pad * 4);
        return pad;
    }
    memcpy(block->own16, own, n * 2);
    memcpy(block->base16, base, n * 2);
    memset(block->own16 + n, 0, pad * 2);
    memset(block->base16 + n, 0, pad * 2);
    return pad;
}

static uint64_t all_flips(const struct comparison *sum)
{
    uint64_t all = 0;
    for (int bit = 0; bit < COMPARE_BITS; bit++)
        all += sum->flips[bit];
    return all;
}

void compare_add(struct comparison *sum, enum dtype dtype, const uint8_t *own, const uint8_t *base,
                 size_t n)
{
    struct block block;
    unsigned width = dtype_width(dtype);
    uint64_t before = all_flips(sum);
    for (size_t at = 0; at < n; at += BLOCK) {
        size_t part = MIN(n - at, (size_t)BLOCK);
        size_t pad = fill(&block, dtype, own + at * width, base + at * width, part);
        dispatch(&block, dtype, part + pad, sum);
        if (dtype != DTYPE_BF16) /* rounded to it */
            sum->bits += bits_differ((const uint8_t *)block.own16, (const uint8_t *)block.base16,
                                     (part + pad) * 2);
        sum->unchanged -= pad;
        sum->elements += part;
    }
    if (dtype == DTYPE_BF16)
        sum->bits += all_flips(sum) - before;
}

void compare_join(struct comparison *sum, const struct comparison *other)
{
    sum->elements += other->elements;
    sum->unchanged += other->unchanged;
    sum->bits += other->bits;
    for (int bit = 0; bit < COMPARE_BITS; bit++)
        sum->flips[bit] += other->flips[bit];
    sum->moved += other->moved;
    sum->base += other->base;
    sum->own += other->own;
    sum->dot += other->dot;
}

static uint64_t scaled(uint64_t part, uint64_t of, uint64_t elements)
{
    return part == of ? elements : (uint64_t)((double)part / (double)of * (double)elements + 0.5);
}

void compare_scale(struct comparison *sum, uint64_t elements)
{
    uint64_t of = sum->elements;
    if (!of)
        return;
    double by = (double)elements / (double)of;
    sum->unchanged = scaled(sum->unchanged, of, elements);
    sum->bits = scaled(sum->bits, of, elements);
    for (int bit = 0; bit < COMPARE_BITS; bit++)
        sum->flips[bit] = scaled(sum->flips[bit], of, elements);
    sum->moved *= by;
    sum->base *= by;
    sum->own *= by;
    sum->dot *= by;
    sum->elements = elements;
}

double compare_unchanged(const struct comparison *sum)
{
    return sum->elements ? (double)sum->unchanged / (double)sum->elements : 0;
}

double compare_bit_distance(const struct comparison *sum)
{
    return sum->elements ? (double)sum->bits / (double)sum->elements : 0;
}

double compare_relative_change(const struct comparison *sum)
{
    return sum->base > 0 ? sqrt(sum->moved / sum->base) : 0;
}

double compare_cosine(const struct comparison *sum)
{
    double norms = sqrt(sum->base) * sqrt(sum->own);
    return norms > 0 ? MIN(sum->dot / norms, 1.0) : 0;
}
