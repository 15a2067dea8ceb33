/* SPDX-License-Identifier: MIT */
/* Counting bits that differ: one loop, compiled for each way in which processors count bits. */
#include "bits/differ.h"

#include "bits/simd.h"

#include <string.h>

SIMD_BODY uint64_t count(const uint8_t *a, const uint8_t *b, size_t n)
{
    uint64_t bits = 0;
    for (size_t i = 0; i < n; i += 8) {
        uint64_t x, y;
        memcpy(&x, a + i, 8);
        memcpy(&y, b + i, 8);
        bits += (unsigned)__builtin_popcountll(x ^ y);
    }
    return bits;
}

#ifdef SIMD_X86
SIMD_TARGET_AVX2 static uint64_t count_avx2(const uint8_t *a, const uint8_t *b, size_t n)
{
    return count(a, b, n);
}

__attribute__((target("avx2,popcnt,avx512f,avx512vpopcntdq"))) static uint64_t
count_avx512(const uint8_t *a, const uint8_t *b, size_t n)
{
    return count(a, b, n);
}
#endif

uint64_t bits_differ(const uint8_t *a, const uint8_t *b, size_t n)
{
#ifdef SIMD_X86
    enum simd level = simd_level();
    if (level == SIMD_AVX512 && __builtin_cpu_supports("avx512vpopcntdq"))
        return count_avx512(a, b, n);
    if (level >= SIMD_AVX2)
        return count_avx2(a, b, n);
#endif
    return count(a, b, n);
}
