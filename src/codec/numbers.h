/* SPDX-License-Identifier: MIT */
/*
 * Ordered differences as symbols in classes: what the two forms of delta share. For src/codec
 * only. Bytes: docs/codec-delta.md.
 */
#ifndef TARE_CODEC_NUMBERS_H
#define TARE_CODEC_NUMBERS_H

#include "codec/private.h"

enum { EXPONENTS = 256 };

/* Elements and their base; or, with values, differences and exponents as they are. */
struct pairs {
    enum dtype dtype;
    const uint8_t *raw, *base;
    size_t n;
    const uint32_t *values;
    const uint8_t *exponents;
};

/* The exponents that have a class of their own; lower and higher ones join the outermost. */
struct window {
    unsigned low, classes;
};

/* Classes of n ≤ ANS_TILE elements by their exponents. */
void classes_of(const uint8_t *exponents, size_t n, struct window window, uint8_t *classes);

/* Counts the exponents of a sample of elements: p->raw or p->base. How many it took. */
size_t numbers_sample(const struct pairs *p, const uint8_t *elements, uint32_t counts[EXPONENTS]);

/* Counts the symbols of the pairs into work->counts, by class, and fits work->ans.model. */
struct window numbers_fit(struct codec_work *work, const struct pairs *p);
/* What n counted numbers take with the model that was fitted to them: bits, with the states. */
double numbers_cost(const struct codec_work *work, size_t n);
/* Encodes what was fitted: window, model, states, words. 0: it may not fit. */
size_t numbers_put(struct codec_work *work, const struct pairs *p, struct window window,
                   uint8_t *dst, size_t cap);
/* Starts decoding exactly len bytes: ans_decode_values follows, and ans_decode_end. */
int numbers_open(struct codec_work *work, size_t n, const uint8_t *src, size_t len,
                 struct window *window, struct err *err);

enum { SPARSE_SHARE = 4 }; /* the sparse form is for pairs of which at most every fourth changed */

/*
 * The sparse form: where the changed elements are, and their differences alone. changes: how
 * many there are. Returns the length, 0: it may not fit.
 */
size_t sparse_encode(struct codec_work *work, const struct pairs *p, size_t changes, uint8_t *dst,
                     size_t cap);
int sparse_decode(struct codec_work *work, const struct pairs *p, const uint8_t *src, size_t len,
                  uint8_t *dst, struct err *err);

#endif
