/* SPDX-License-Identifier: MIT */
/*
 * Which vector instructions are used. Every path gives the same bytes; the scalar one defines
 * them. Safe from several threads; simd_use is for start-up and tests.
 */
#ifndef TARE_BITS_SIMD_H
#define TARE_BITS_SIMD_H

#include <stdbool.h>

enum simd {
    SIMD_SCALAR,
    SIMD_AVX2,
    SIMD_AVX512, /* F, BW, DQ, VL */
    SIMD_COUNT
};

#if defined(__x86_64__) && defined(__GNUC__)
#define SIMD_X86 1
#define SIMD_TARGET_AVX2 __attribute__((target("avx2,popcnt")))
#define SIMD_TARGET_AVX512 __attribute__((target("avx2,popcnt,avx512f,avx512bw,avx512dq,avx512vl")))
#endif
/* The body of a kernel, compiled anew into each path that calls it. */
#define SIMD_BODY static inline __attribute__((always_inline))

const char *simd_name(enum simd level);
bool simd_parse(const char *name, enum simd *ret);

/* The widest that this CPU has. */
enum simd simd_best(void);
/* What is used: simd_best() until simd_use says less. */
enum simd simd_level(void);
/* Uses level, or the best below it that the CPU has. */
void simd_use(enum simd level);

#endif
