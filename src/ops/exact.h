/* SPDX-License-Identifier: MIT */
/* The bit distance of two models over all their elements, where a profile is not enough. */
#ifndef TARE_OPS_EXACT_H
#define TARE_OPS_EXACT_H

#include "ops/ops.h"

struct exact_distance {
    double bits;       /* of 16, per element */
    uint64_t elements; /* compared: of tensors that have the same name and shape in both */
};

/*
 * Reads both models, from where they lie or from their stores. Elements are rounded to BF16.
 * ERR_NOTFOUND where they have no tensor of floats in common.
 */
int ops_exact(struct ops *ops, const struct library *library, int model, int other,
              struct progress *progress, struct exact_distance *ret, struct err *err);

#endif
