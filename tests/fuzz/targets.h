/* SPDX-License-Identifier: MIT */
/* Fuzz targets: one function for each parser and decoder. Any bytes must be taken calmly. */
#ifndef TARE_TESTS_TARGETS_H
#define TARE_TESTS_TARGETS_H

#include "base/mem.h"

struct fuzz_target {
    const char *name;
    void (*run)(const uint8_t *data, size_t n);
    void (*seed)(int i, struct buf *out); /* seeds 0 … 3 */
};

extern const struct fuzz_target fuzz_targets[];
extern const size_t fuzz_target_count;

#endif
