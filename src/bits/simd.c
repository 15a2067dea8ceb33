/* SPDX-License-Identifier: MIT */
/* Which vector instructions are used. */
#include "bits/simd.h"

#include <stdatomic.h>
#include <string.h>

static const char *const names[SIMD_COUNT] = {"scalar", "avx2", "avx512"};
static atomic_int limit = SIMD_COUNT - 1;

const char *simd_name(enum simd level)
{
    return names[level];
}

bool simd_parse(const char *name, enum simd *ret)
{
    for (int i = 0; i < SIMD_COUNT; i++) {
        if (strcmp(name, names[i]) == 0) {
            *ret = (enum simd)i;
            return true;
        }
    }
    return false;
}

enum simd simd_best(void)
{
#ifdef SIMD_X86
    bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("popcnt");
    bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    return avx2 && avx512 ? SIMD_AVX512 : avx2 ? SIMD_AVX2 : SIMD_SCALAR;
#else
    return SIMD_SCALAR;
#endif
}

enum simd simd_level(void)
{
    enum simd best = simd_best(), most = (enum simd)atomic_load(&limit);
    return best < most ? best : most;
}

void simd_use(enum simd level)
{
    atomic_store(&limit, (int)level);
}
