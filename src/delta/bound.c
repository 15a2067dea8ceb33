/* SPDX-License-Identifier: MIT */
/* Entropies of a tensor and of its difference from a base. */
#include "delta/bound.h"

#include "base/mem.h"
#include "bits/floats.h"
#include "bits/ordered.h"
#include "bits/planes.h"

#include <math.h>
#include <string.h>

enum { BLOCK = 4096, EXACT = 16, TOKENS = EXACT + 2 * 28, EXPONENTS = 256, PLANES = 4 };

struct counts {
    uint64_t tokens[EXPONENTS][TOKENS];
    uint64_t solo[EXPONENTS], bitx[PLANES][256];
};

static double entropy_bits(const uint64_t *counts, size_t n)
{
    double total = 0, sum = 0;
    for (size_t i = 0; i < n; i++) {
        if (!counts[i])
            continue;
        total += (double)counts[i];
        sum += (double)counts[i] * log2((double)counts[i]);
    }
    return total > 0 ? total * log2(total) - sum : 0;
}

static void count_exponents(enum dtype dtype, const uint8_t *src, size_t n,
                            uint64_t counts[EXPONENTS])
{
    uint8_t exponents[BLOCK];
    ordered_exponents(dtype, src, n, exponents);
    for (size_t i = 0; i < n; i++)
        counts[exponents[i]]++;
}

static void count_planes(enum dtype dtype, const uint8_t *src, const uint8_t *base, size_t n,
                         unsigned planes, uint64_t counts[PLANES][256])
{
    uint8_t split[PLANES * BLOCK];
    planes_split(dtype, src, base, n, split);
    for (unsigned p = 0; p < planes; p++)
        for (size_t i = 0; i < n; i++)
            counts[p][split[p * n + i]]++;
}

/* The raw bits of the tokens that it counts. */
static uint64_t count_tokens(enum dtype dtype, const uint8_t *src, const uint8_t *base, size_t n,
                             struct counts *counts)
{
    uint32_t values[BLOCK];
    uint8_t exponents[BLOCK];
    uint64_t raw = 0;
    ordered_split(dtype, src, base, n, values, exponents);
    for (size_t i = 0; i < n; i++) {
        uint32_t v = values[i];
        unsigned log = v < EXACT ? 0 : 31 - (unsigned)__builtin_clz(v);
        unsigned token = v < EXACT ? v : EXACT + 2 * (log - 4) + (v >> (log - 1) & 1);
        counts->tokens[exponents[i]][token]++;
        raw += v < EXACT ? 0 : log - 1;
    }
    return raw;
}

static void count_bits(struct bound *bound, const uint8_t *src, const uint8_t *base, size_t n,
                       unsigned width)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t x = bits_load(src + i * width, width) ^ bits_load(base + i * width, width);
        bound->same += x == 0;
        bound->bits += (unsigned)__builtin_popcountll(x);
    }
}

void bound_add(struct bound *bound, enum dtype dtype, const uint8_t *src, const uint8_t *base,
               size_t n)
{
    struct float_fields fields = float_fields(dtype);
    unsigned exponent_planes, planes = planes_count(dtype, &exponent_planes);
    struct counts *counts = mem_zalloc(sizeof *counts);
    double delta = 0, bitx = 0;
    for (size_t at = 0; at < n; at += BLOCK) {
        size_t part = MIN(n - at, (size_t)BLOCK), skip = at * fields.width;
        count_exponents(dtype, src + skip, part, counts->solo);
        if (!base)
            continue;
        count_planes(dtype, src + skip, base + skip, part, planes, counts->bitx);
        delta += (double)count_tokens(dtype, src + skip, base + skip, part, counts);
        count_bits(bound, src + skip, base + skip, part, fields.width);
    }
    for (int e = 0; e < EXPONENTS; e++)
        delta += entropy_bits(counts->tokens[e], TOKENS);
    for (unsigned p = 0; p < planes; p++)
        bitx += entropy_bits(counts->bitx[p], 256);
    bound->raw += n * fields.width;
    bound->solo += (entropy_bits(counts->solo, EXPONENTS) + (double)n * (fields.mantissa + 1)) / 8;
    if (base) {
        bound->with_base += n * fields.width;
        bound->elements += n;
        bound->delta += delta / 8;
        bound->bitx += bitx / 8;
    }
    free(counts);
}
