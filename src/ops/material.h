/* SPDX-License-Identifier: MIT */
/* The float tensors of a model with their sketches, as the catalog has them. For src/ops only. */
#ifndef TARE_OPS_MATERIAL_H
#define TARE_OPS_MATERIAL_H

#include "catalog/catalog.h"
#include "delta/profile.h"
#include "ops/ops.h"

struct material {
    struct catalog_tensors *files;
    struct buf *sketches;
    size_t file_count;
    struct profile_tensor *tensors;
    size_t count, cap;
};

/* ERR_NOTFOUND where a file was not sketched. Released in any case. */
int material_read(struct catalog *catalog, const struct library *library,
                  const struct lib_model *model, struct material *ret, struct err *err);
void material_release(struct material *material);

/* By what the same tensor of another model is found: its name without wrappers, and its shape. */
struct hash128 tensor_key(const struct tensor *tensor);

#endif
