/* SPDX-License-Identifier: MIT */
/* Profiles. */
#include "delta/profile.h"

#include "base/mem.h"
#include "bits/differ.h"
#include "delta/bound.h"
#include "bits/simd.h"

#include <endian.h>
#include <math.h>
#include <string.h>

enum { RUN = 2 * SKETCH_RUN, RUNS = PROFILE_BYTES / RUN, TENSOR_RUNS = SKETCH_TENSOR / RUN };

static int by_name(const void *a, const void *b)
{
    const struct profile_tensor *x = a, *y = b;
    return tensor_compare_names(x->tensor, y->tensor);
}

static uint64_t elements_of(const struct profile_tensor *t)
{
    return t->tensor->bytes / dtype_width(t->tensor->dtype);
}

static void hash_tensor(struct hasher *hasher, const struct tensor *t)
{
    hasher_update(hasher, &t->name_len, sizeof t->name_len);
    hasher_update(hasher, t->name, t->name_len);
    hasher_update(hasher, &t->dims, sizeof t->dims);
    if (t->dims)
        hasher_update(hasher, t->shape, t->dims * sizeof *t->shape);
}

void profile_build(struct profile_tensor *tensors, size_t count, uint8_t profile[PROFILE_BYTES],
                   struct hash128 *architecture)
{
    struct hasher *hasher = hasher_new(0);
    uint64_t total = 0, before = 0;
    memset(profile, 0, PROFILE_BYTES);
    *architecture = (struct hash128){0};
    if (count)
        qsort(tensors, count, sizeof *tensors, by_name);
    for (size_t i = 0; i < count; i++) {
        hash_tensor(hasher, tensors[i].tensor);
        total += elements_of(&tensors[i]);
    }
    if (total)
        *architecture = hasher_digest(hasher);
    hasher_free(hasher);
    /* Slots fall onto tensors by their elements; within one its runs take turns. */
    unsigned turn = 0;
    for (size_t slot = 0, at = 0; slot < RUNS && total; slot++) {
        uint64_t want = (uint64_t)((unsigned __int128)total * (2 * slot + 1) / (2 * RUNS));
        while (want >= before + elements_of(&tensors[at])) {
            before += elements_of(&tensors[at++]);
            turn = 0;
        }
        memcpy(profile + slot * RUN, tensors[at].sketch + (size_t)(turn++ % TENSOR_RUNS) * RUN,
               RUN);
    }
}

double profile_distance(const uint8_t a[PROFILE_BYTES], const uint8_t b[PROFILE_BYTES])
{
    return (double)bits_differ(a, b, PROFILE_BYTES) / (PROFILE_BYTES / 2);
}

void profile_coarse(const uint8_t profile[PROFILE_BYTES], uint8_t coarse[PROFILE_COARSE])
{
    enum { EACH = PROFILE_BYTES / PROFILE_COARSE };
    for (size_t run = 0; run < RUNS / EACH; run++)
        memcpy(coarse + run * RUN, profile + (run * EACH + EACH / 2) * RUN, RUN);
}

double profile_coarse_distance(const uint8_t a[PROFILE_COARSE], const uint8_t b[PROFILE_COARSE])
{
    return (double)bits_differ(a, b, PROFILE_COARSE) / (PROFILE_COARSE / 2);
}

enum { ELEMENTS = PROFILE_BYTES / 2, STEPS = 3, FEW = 12, LANES = 16 };

SIMD_BODY int load(const uint8_t *profile, size_t i)
{
    uint16_t u;
    memcpy(&u, profile + 2 * i, sizeof u);
    return le16toh(u);
}

/* An element as an integer in the order of floats. */
SIMD_BODY int order_of(const uint8_t *profile, size_t i)
{
    int u = load(profile, i);
    return u & 0x8000 ? -(u & 0x7fff) - 1 : u;
}

/* An element as a float; infinities and NaN tell nothing. */
SIMD_BODY float value_of(const uint8_t *profile, size_t i)
{
    uint32_t u = (uint32_t)load(profile, i) << 16;
    float f;
    u = (u & 0x7f800000) == 0x7f800000 ? 0 : u;
    memcpy(&f, &u, sizeof f);
    return f;
}

SIMD_BODY double kept(const uint8_t *base, const uint8_t *elder, const uint8_t *younger)
{
    int changed = 0, same = 0;
    for (size_t i = 0; i < ELEMENTS; i++) {
        int b = order_of(base, i), e = order_of(elder, i), y = order_of(younger, i);
        int moved = abs(e - b) >= STEPS;
        changed += moved;
        same += moved & (abs(y - e) < abs(y - b));
    }
    return changed < FEW ? 0 : (double)same / (double)changed;
}

SIMD_BODY double lean(const uint8_t *model, const uint8_t *a, const uint8_t *b)
{
    int to_a = 0, to_b = 0;
    for (size_t i = 0; i < ELEMENTS; i++) {
        float m = value_of(model, i);
        float from_a = fabsf(m - value_of(a, i)), from_b = fabsf(m - value_of(b, i));
        to_a += from_a < from_b;
        to_b += from_b < from_a;
    }
    double z = to_a + to_b ? (to_b - to_a) / sqrt(to_a + to_b) : 0;
    return z > 3 ? 3 : z < -3 ? -3 : z;
}

/* The sum of (a - from)(b - from), in lanes that a vector holds. */
SIMD_BODY double dot(const uint8_t *from, const uint8_t *a, const uint8_t *b)
{
    float lanes[LANES] = {0}, sum = 0;
    for (size_t i = 0; i < ELEMENTS; i += LANES)
        for (size_t k = 0; k < LANES; k++) {
            float f = value_of(from, i + k);
            lanes[k] += (value_of(a, i + k) - f) * (value_of(b, i + k) - f);
        }
    for (size_t k = 0; k < LANES; k++)
        sum += lanes[k];
    return (double)sum;
}

#ifdef SIMD_X86
SIMD_TARGET_AVX2 static double kept_avx2(const uint8_t *base, const uint8_t *elder,
                                         const uint8_t *younger)
{
    return kept(base, elder, younger);
}

SIMD_TARGET_AVX2 static double lean_avx2(const uint8_t *model, const uint8_t *a, const uint8_t *b)
{
    return lean(model, a, b);
}

SIMD_TARGET_AVX2 static double dot_avx2(const uint8_t *from, const uint8_t *a, const uint8_t *b)
{
    return dot(from, a, b);
}
#endif

double profile_kept(const uint8_t base[PROFILE_BYTES], const uint8_t elder[PROFILE_BYTES],
                    const uint8_t younger[PROFILE_BYTES])
{
#ifdef SIMD_X86
    if (simd_level() >= SIMD_AVX2)
        return kept_avx2(base, elder, younger);
#endif
    return kept(base, elder, younger);
}

double profile_lean(const uint8_t model[PROFILE_BYTES], const uint8_t a[PROFILE_BYTES],
                    const uint8_t b[PROFILE_BYTES])
{
#ifdef SIMD_X86
    if (simd_level() >= SIMD_AVX2)
        return lean_avx2(model, a, b);
#endif
    return lean(model, a, b);
}

double profile_dot(const uint8_t from[PROFILE_BYTES], const uint8_t a[PROFILE_BYTES],
                   const uint8_t b[PROFILE_BYTES])
{
#ifdef SIMD_X86
    if (simd_level() >= SIMD_AVX2)
        return dot_avx2(from, a, b);
#endif
    return dot(from, a, b);
}

double profile_off_line(double aa, double ab, double bb)
{
    /* From a: the model lies at -a, and b at b - a. */
    double along = aa + bb - 2 * ab, share = along > 0 ? (aa - ab) / along : 0;
    if (share < 0.05 || share > 0.95 || aa <= 0)
        return 1;
    return (aa - share * (aa - ab)) / aa;
}

double profile_alone_bits(const uint8_t model[PROFILE_BYTES])
{
    struct bound bound = {0};
    bound_add(&bound, DTYPE_BF16, model, NULL, ELEMENTS);
    return bound.solo * 8 / ELEMENTS;
}

double profile_delta_bits(const uint8_t model[PROFILE_BYTES], const uint8_t base[PROFILE_BYTES])
{
    uint8_t changed[PROFILE_BYTES], from[PROFILE_BYTES];
    struct bound bound = {0};
    size_t n = 0;
    for (size_t at = 0; at < PROFILE_BYTES; at += RUN) {
        if (memcmp(model + at, base + at, RUN) == 0)
            continue;
        memcpy(changed + n, model + at, RUN);
        memcpy(from + n, base + at, RUN);
        n += RUN;
    }
    if (n)
        bound_add(&bound, DTYPE_BF16, changed, from, n / 2);
    return bound.delta * 8 / ELEMENTS;
}
