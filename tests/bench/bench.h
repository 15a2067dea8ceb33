/* SPDX-License-Identifier: MIT */
/* The benchmarks: what bench.c runs. */
#ifndef TARE_TESTS_BENCH_H
#define TARE_TESTS_BENCH_H

#include "tests/unit/helpers.h"

/*
 * Writes DIR/base.safetensors, BF16 weights as training leaves them (normal, with a spread of its
 * own in each row, tensors of 32 MiB), and DIR/NAME.safetensors for each pairs_name: fine-tunes of
 * it that were moved by normal steps and rounded once. bits-N: so many bits differ per weight;
 * same-N: so many percent stayed the same. The width of the steps is found by halving.
 */
void pairs_write(const char *dir, unsigned megabytes);
size_t pairs_count(void);
const char *pairs_name(size_t i);

/* Prints the tables of the codecs. samples: a folder with demo, tiny and real in it, or NULL. */
void bench_codecs(const char *samples);

/* Prints what comparing models costs, and how well it finds who descends from whom. */
void bench_families(void);

/* Prints what each of 100, 1,000 and 10,000 small models takes. */
void bench_many(void);

/* Runs the program on a line of words, with catalog and store below dir; the seconds it took. */
double run_tare(const char *dir, const char *line, double *ret_rss);

/* One line of the last table. */
void bench_row(const char *what, const char *format, double value, const char *goal);

/* Prints how the explorer does on 10,000 models. */
void bench_explorer(void);

#endif
