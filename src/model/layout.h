/* SPDX-License-Identifier: MIT */
/*
 * What a weight file holds: its tensors in the order of their bytes, and its key/values.
 * Made by src/formats; independent of where the bytes came from.
 */
#ifndef TARE_MODEL_LAYOUT_H
#define TARE_MODEL_LAYOUT_H

#include "base/mem.h"
#include "model/dtype.h"

/* Numbers are written into catalogs. */
enum format {
    FORMAT_OPAQUE = 0,
    FORMAT_SAFETENSORS = 1,
};

/* Name and shape live in the layout's arena. Names are bytes with a length. */
struct tensor {
    const char *name;
    const uint64_t *shape;
    uint64_t offset; /* in the file */
    uint64_t bytes;
    uint32_t name_len;
    uint32_t dims;
    uint32_t order; /* in which the header names it */
    enum dtype dtype;
};

struct layout_pair {
    const char *key, *value;
    size_t key_len, value_len;
};

struct layout {
    enum format format;
    uint64_t header; /* bytes before the first tensor */
    uint64_t size;   /* of the file */
    bool trailing;   /* bytes behind the last tensor: not what the format allows */
    bool unaligned;  /* a tensor starts at no multiple of its element */
    struct tensor *tensors;
    size_t count, cap;
    struct layout_pair *pairs;
    size_t pair_count, pair_cap;
    struct arena arena;
};

/* A run of a file's bytes: one tensor, or what lies before, between or behind tensors. */
struct range {
    uint64_t offset, bytes;
    const struct tensor *tensor; /* NULL: header, gap or tail */
};

/* All bytes of the file, in order, without empty ranges; free the result. */
struct range *layout_ranges(const struct layout *layout, size_t *ret_count);

void layout_release(struct layout *layout);

/* Orders tensors by the bytes of their names; a shorter one comes before what it begins. */
int tensor_compare_names(const struct tensor *a, const struct tensor *b);
/*
 * The part of a tensor's name behind the wrappers that libraries put in front ("model.",
 * "transformer.", "module.", …): what stays when a model is saved by another class.
 */
const char *tensor_core_name(const struct tensor *tensor, size_t *ret_len);
/* Elements of a tensor: the product of its shape (1 for a scalar). */
uint64_t tensor_elements(const struct tensor *tensor);

const char *format_name(enum format format);

#endif
