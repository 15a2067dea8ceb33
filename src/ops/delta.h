/* SPDX-License-Identifier: MIT */
/* The verb delta: what differs between a model and its base, tensor by tensor. */
#ifndef TARE_OPS_DELTA_H
#define TARE_OPS_DELTA_H

#include "delta/compare.h"
#include "model/modules.h"
#include "ops/ops.h"

/* A tensor that both have: the name without wrappers and the shape are the same. */
struct delta_tensor {
    const char *name;
    size_t name_len;
    struct module module;
    enum dtype dtype;         /* of the model; the base is converted to it */
    uint64_t rows, untouched; /* of two dimensions: all rows, and those that are equal; else 0 */
    struct comparison sum;
    uint64_t bytes, estimated; /* of the tensor; that it would take as a difference from the base */
};

struct delta_report {
    struct delta_tensor *tensors; /* in the order of the model's files */
    size_t count, cap;
    struct delta_tensor *unmatched; /* floats that have no counterpart: the names alone */
    size_t unmatched_count, unmatched_cap;
    struct comparison total;
    uint64_t bytes, estimated; /* of all that are matched */
    bool sampled;              /* shares are of some blocks of each tensor */
    struct arena arena;
};

/*
 * Reads both models, from where they lie or from their stores; what the catalog remembers of the
 * same contents is not read again. ERR_NOTFOUND where they have no tensor of BF16, F16 or F32 in
 * common.
 */
int ops_delta(struct ops *ops, const struct library *library, int model, int base,
              struct progress *progress, struct delta_report *ret, struct err *err);
/* The same in a moment, from a few blocks of each tensor; estimated is 0, rows are not counted. */
int ops_delta_sampled(struct ops *ops, const struct library *library, int model, int base,
                      struct progress *progress, struct delta_report *ret, struct err *err);
void delta_report_release(struct delta_report *report);

/* The tensors by layer, and within it by module in the order in which they come: free it. */
size_t *delta_order(const struct delta_report *report);

#endif
