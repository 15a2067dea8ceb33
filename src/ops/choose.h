/* SPDX-License-Identifier: MIT */
/* Which codec suits a tensor: by encoding samples of it. For src/ops only. */
#ifndef TARE_OPS_CHOOSE_H
#define TARE_OPS_CHOOSE_H

#include "model/layout.h"
#include "store/store.h"

/* Bytes of a tensor, in a file that lies on disk or in a store. */
struct bytes_at {
    int fd;          /* -1: content */
    uint64_t offset; /* in the file */
    const struct content *content;
};

int bytes_read(const struct bytes_at *at, uint64_t offset, uint8_t *dst, size_t n,
               struct content_work *work, struct err *err);

/* A tensor that may serve as a base. */
struct base_at {
    struct bytes_at at;
    uint64_t bytes;
    enum dtype dtype;
};

struct choice {
    enum codec alone, delta; /* the best without, and with a base */
    uint64_t alone_bytes;    /* estimated, tables included */
    uint64_t delta_bytes;    /* UINT64_MAX without a base */
    double seconds;          /* that the chosen codecs took, scaled to the whole tensor */
};

/*
 * Whether base can be one of t: the name is the same but for wrappers, and so is the shape but for
 * the number of rows, and the elements can be converted. XOR alone, for wider types, wants the
 * same.
 */
bool choose_suits(const struct tensor *base, const struct tensor *t);

/* By what a base of a tensor is found: what choose_suits wants to be the same. */
struct hash128 choose_key(const struct tensor *t);

/* Whether base has the shape of t, whatever its name, and the elements can be converted. */
bool choose_same_shape(const struct tensor *base, const struct tensor *t);

/* Scratch for choosing. */
struct chooser;
struct chooser *chooser_new(void);
void chooser_free(struct chooser *chooser); /* accepts NULL */

/* base may be NULL. The positions of the samples depend on the length alone. */
int choose(struct chooser *chooser, enum dtype dtype, uint64_t bytes, const struct bytes_at *raw,
           const struct base_at *base, struct choice *ret, struct err *err);

#endif
