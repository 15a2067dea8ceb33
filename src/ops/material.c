/* SPDX-License-Identifier: MIT */
/* The float tensors of a model with their sketches. */
#include "ops/material.h"

int material_read(struct catalog *catalog, const struct library *library,
                  const struct lib_model *model, struct material *ret, struct err *err)
{
    *ret =
        (struct material){.files = mem_zalloc((model->file_count + 1) * sizeof *ret->files),
                          .sketches = mem_zalloc((model->file_count + 1) * sizeof *ret->sketches),
                          .file_count = model->file_count};
    for (size_t i = 0; i < model->file_count; i++) {
        int64_t row = library->files[model->files[i]].row;
        int r = catalog_tensors(catalog, row, &ret->files[i], err);
        if (r == 0)
            r = catalog_tensor_sketches(catalog, row, SKETCH_TENSOR, &ret->sketches[i], err);
        if (r < 0)
            return r;
        const struct layout *layout = &ret->files[i].layout;
        for (size_t t = 0; t < layout->count; t++)
            if (dtype_is_float(layout->tensors[t].dtype) && layout->tensors[t].bytes)
                *ARRAY_ADD(ret->tensors, ret->count, ret->cap) = (struct profile_tensor){
                    &layout->tensors[t],
                    (const uint8_t *)ret->sketches[i].data + t * SKETCH_TENSOR};
    }
    return 0;
}

void material_release(struct material *material)
{
    for (size_t i = 0; i < material->file_count; i++) {
        catalog_tensors_release(&material->files[i]);
        buf_release(&material->sketches[i]);
    }
    free(material->files);
    free(material->sketches);
    free(material->tensors);
    *material = (struct material){0};
}

struct hash128 tensor_key(const struct tensor *t)
{
    AUTO_BUF struct buf text = {0};
    size_t n;
    const char *name = tensor_core_name(t, &n);
    buf_add(&text, name, n);
    buf_add(&text, "", 1);
    buf_add(&text, t->shape, t->dims * sizeof *t->shape);
    return hash128_of(text.data, text.len);
}
