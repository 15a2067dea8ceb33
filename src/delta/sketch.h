/* SPDX-License-Identifier: MIT */
/*
 * Sketches: a small sample of a tensor or a model, at positions that depend on the number of
 * elements alone, elements rounded to BF16, so that two models of one architecture can be
 * compared later without reading them again, whatever their dtypes.
 */
#ifndef TARE_DELTA_SKETCH_H
#define TARE_DELTA_SKETCH_H

#include "base/reader.h"
#include "model/layout.h"

enum {
    SKETCH_RUN = 8,      /* neighbouring elements are read together */
    SKETCH_TENSOR = 64,  /* bytes: 4 runs of 8 elements of 2 bytes */
    SKETCH_MODEL = 8192, /* bytes: 512 runs */
};

/*
 * Samples runs × 8 elements of one tensor into sketch (runs × 16 bytes). Floats of 16 bits and
 * more as BF16, other types folded to 16 bits. Short tensors repeat.
 */
int sketch_tensor(const struct reader *reader, const struct tensor *tensor, unsigned runs,
                  uint8_t *sketch, struct err *err);

/*
 * Samples a file's float tensors as one long row, in the order of their names, into
 * SKETCH_MODEL bytes; zero where there are none.
 */
int sketch_model(const struct reader *reader, const struct layout *layout, uint8_t *sketch,
                 struct err *err);

/* Bit distance of two sketches of SKETCH_TENSOR bytes: bits of 16. */
double sketch_distance(const uint8_t *a, const uint8_t *b);

#endif
