/* SPDX-License-Identifier: MIT */
/* Orders and filters of lists, and the tensors of a model: what every front end shows. */
#ifndef TARE_OPS_VIEW_H
#define TARE_OPS_VIEW_H

#include "ops/ops.h"

enum view_sort {
    VIEW_NAME,
    VIEW_SIZE,
    VIEW_DISK,
    VIEW_FREES,
    VIEW_READ,
    VIEW_MODIFIED,
    VIEW_SORTS
};

const char *view_sort_name(enum view_sort sort);
bool view_sort_parse(const char *name, enum view_sort *ret);

/*
 * Indices of the models whose name, source or flags hold the filter's words (NULL: all; case
 * does not matter), largest or newest first, names in natural order. Free the result.
 */
int *view_order(const struct library *library, enum view_sort sort, bool reverse,
                const char *filter, size_t *ret_count);

struct view_tensor {
    const struct tensor *tensor;
    struct hash128 id; /* zero: unknown */
    const char *file;  /* name within the model */
};
/* Calls found for each tensor, file by file; a result other than 0 ends it and is returned. */
int view_tensors(struct ops *ops, const struct library *library, const struct lib_model *model,
                 int (*found)(void *context, const struct view_tensor *tensor), void *context,
                 struct err *err);

#endif
