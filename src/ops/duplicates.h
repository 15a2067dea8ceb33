/* SPDX-License-Identifier: MIT */
/* The verb duplicates: contents that are on disk more than once, and what that wastes. */
#ifndef TARE_OPS_DUPLICATES_H
#define TARE_OPS_DUPLICATES_H

#include "ops/ops.h"

/* FORMATS: files of one model, by all signs the same weights in two formats. */
enum duplicate_kind { DUPLICATE_TENSORS, DUPLICATE_FILES, DUPLICATE_FORMATS };

/* One place of a content: a file, or a tensor in it. */
struct duplicate_place {
    uint32_t file; /* of the library */
    int model;     /* the first one that names the file */
    const char *tensor;
    size_t tensor_len; /* 0 for a file */
};

struct duplicate_group {
    enum duplicate_kind kind;
    uint64_t bytes;  /* of one copy */
    size_t clones;   /* files that share their blocks with another one: they waste nothing */
    uint64_t wasted; /* that would be free if it were kept once */
    enum dtype dtype;
    const uint64_t *shape;
    size_t dims;
    bool across; /* in places of different sources, or below different roots */
    struct duplicate_place *places;
    size_t count;
};

struct duplicates {
    struct duplicate_group *groups; /* by wasted bytes */
    size_t count, cap;
    uint64_t wasted; /* of all, also of those that are not listed */
    struct arena arena;
};

enum { DUPLICATES_MOST = 20000 /* groups that are listed */, DUPLICATE_LEAST = 4096 /* bytes */ };

/*
 * Looks at everything on disk that is hashed. A file that several names or models share counts
 * once, and so do clones where the file system tells; tensors of files that are duplicates as a
 * whole are not listed again.
 */
int ops_duplicates(struct ops *ops, const struct library *library, struct progress *progress,
                   struct duplicates *ret, struct err *err);
void duplicates_release(struct duplicates *duplicates);

const char *duplicate_kind_name(enum duplicate_kind kind);
/* What can be done about it. */
const char *duplicate_advice(const struct duplicate_group *group);

#endif
