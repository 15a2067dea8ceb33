/* SPDX-License-Identifier: MIT */
/* The verb bench: what each codec makes of a file, and how fast, in memory. */
#ifndef TARE_OPS_BENCH_H
#define TARE_OPS_BENCH_H

#include "codec/codec.h"
#include "delta/bound.h"
#include "ops/ops.h"

/* Raw bytes of the file, 10^9 per second. */
struct bench_speed {
    double encode, decode;
};

struct bench_result {
    enum codec codec;
    uint64_t raw, stored; /* the whole file, headers, tables and unmatched tensors included */
    struct bench_speed one, all; /* with one thread, and with so many: */
    unsigned threads;
};

struct bench_report {
    struct bench_result results[CODEC_COUNT];
    size_t count;
    struct bound bound; /* of the tensors of BF16, F16 and F32 */
    const char *simd;   /* which vector path was used */
};

/*
 * Reads both files into memory and runs every codec (or only one: codec ≥ 0) over the chunks of
 * all tensors, at least three times; the best pass counts. bitx works on whole tensors, as in
 * the paper. Codecs that need a base are left out without one. Each result is decoded and
 * compared: ERR_DAMAGED would be a defect.
 */
int ops_bench(struct ops *ops, const char *file, const char *base, int codec,
              struct progress *progress, struct bench_report *ret, struct err *err);

#endif
