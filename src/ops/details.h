/* SPDX-License-Identifier: MIT */
/* What can be said of one model, or of one tensor, beyond what lists show. */
#ifndef TARE_OPS_DETAILS_H
#define TARE_OPS_DETAILS_H

#include "bits/exponents.h"
#include "ops/ops.h"

struct detail_tensor {
    const char *name; /* foreign bytes, with a NUL behind */
    size_t name_len;
    const uint64_t *shape;
    uint32_t dims;
    enum dtype dtype;
    uint64_t bytes;
    struct hash128 id; /* zero: not known */
    const char *file;  /* its name within the model */
};

struct details {
    struct detail_tensor *tensors; /* by name, in natural order */
    size_t count, cap;
    struct path_list history; /* lines of the stores' logs that name the model, escaped */
    struct arena arena;
};

/* Reads the catalog and the logs, no weights. */
int ops_details(struct ops *ops, const struct library *library, int model,
                struct progress *progress, struct details *ret, struct err *err);
void details_release(struct details *details);

/* Appends "1024x128", or "scalar". */
void details_shape(const uint64_t *shape, uint32_t dims, struct buf *out);

/* One tensor, looked at. */
struct tensor_place {
    int model; /* the first one that names the file */
    uint32_t file;
    const char *name; /* of the tensor there */
    size_t name_len;
};
struct tensor_look {
    struct detail_tensor tensor;
    struct exponents spread;     /* of floats */
    uint64_t all;                /* elements; of many, spread is over samples */
    struct tensor_place *places; /* other places with the same content */
    size_t place_count, place_cap;
    struct arena arena;
};

/*
 * Reads a tensor, from where it lies or from its store, at most some 64 MB of it. ERR_NOTFOUND
 * where the model has none of this name.
 */
int ops_tensor(struct ops *ops, const struct library *library, int model, const char *name,
               size_t name_len, struct progress *progress, struct tensor_look *ret,
               struct err *err);
void tensor_look_release(struct tensor_look *look);
/* Appends it as lines of escaped text: facts, histogram, places. */
void tensor_look_text(const struct library *library, const struct tensor_look *look,
                      struct buf *out);

/*
 * Appends a line of a store's log (ops_log) as text, escaped: when, what, how much, of which
 * models. False where it is not about the model of this name (NULL: about any).
 */
bool log_describe(const char *line, size_t n, const char *model, struct buf *out);

#endif
