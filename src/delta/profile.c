/* SPDX-License-Identifier: MIT */
/* Profiles. */
#include "delta/profile.h"

#include "base/mem.h"
#include "bits/floats.h"

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
    uint64_t bits = 0;
    for (size_t i = 0; i < PROFILE_BYTES; i += 8) {
        uint64_t x, y;
        memcpy(&x, a + i, 8);
        memcpy(&y, b + i, 8);
        bits += (unsigned)__builtin_popcountll(x ^ y);
    }
    return (double)bits / (PROFILE_BYTES / 2);
}

enum { ELEMENTS = PROFILE_BYTES / 2, STEPS = 3, FEW = 32 };

/* An element of a profile as an integer in the order of floats, and as a float. */
static int order_of(const uint8_t *profile, size_t i)
{
    int u = (int)bits_load(profile + 2 * i, 2);
    return u & 0x8000 ? -(u & 0x7fff) - 1 : u;
}

static double value_of(const uint8_t *profile, size_t i)
{
    uint32_t u = (uint32_t)bits_load(profile + 2 * i, 2) << 16;
    float f;
    memcpy(&f, &u, sizeof f);
    return f - f == 0 ? (double)f : 0; /* infinities and NaN tell nothing */
}

double profile_kept(const uint8_t base[PROFILE_BYTES], const uint8_t elder[PROFILE_BYTES],
                    const uint8_t younger[PROFILE_BYTES])
{
    size_t changed = 0, kept = 0;
    for (size_t i = 0; i < ELEMENTS; i++) {
        int b = order_of(base, i), e = order_of(elder, i), y = order_of(younger, i);
        if (abs(e - b) < STEPS)
            continue;
        changed++;
        kept += abs(y - e) < abs(y - b);
    }
    return changed < FEW ? 0 : (double)kept / (double)changed;
}

double profile_off_line(const uint8_t model[PROFILE_BYTES], const uint8_t a[PROFILE_BYTES],
                        const uint8_t b[PROFILE_BYTES])
{
    double across = 0, along = 0, whole = 0;
    for (size_t i = 0; i < ELEMENTS; i++) {
        double m = value_of(model, i) - value_of(a, i), c = value_of(b, i) - value_of(a, i);
        across += m * c;
        along += c * c;
        whole += m * m;
    }
    double share = along > 0 ? across / along : 0;
    if (share < 0.05 || share > 0.95 || whole <= 0)
        return 1;
    return (whole - share * across) / whole;
}
