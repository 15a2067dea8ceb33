/* SPDX-License-Identifier: MIT */
/* The tensors of a model, ready to be read, wherever they are. For src/ops only. */
#ifndef TARE_OPS_SIDE_H
#define TARE_OPS_SIDE_H

#include "base/map.h"
#include "catalog/catalog.h"
#include "ops/choose.h"
#include "ops/ops.h"

/* A file of a model, open where it lies or in its store. */
struct side_file {
    const struct lib_file *file;
    struct catalog_tensors tensors;
    struct store *store;
    int fd;
};

struct side {
    struct side_file *files;
    size_t count;
    struct map tensors; /* by name and shape: file << 32 | index */
};

/* One tensor of a side, ready to be read. */
struct source {
    const struct tensor *tensor;
    struct bytes_at at;
    struct content *content;
};

/*
 * Opens the files of a model, or their stores; ERR_CHANGED where one is not as it was indexed. The
 * library outlives the side. side_close in any case.
 */
int side_open(struct ops *ops, const struct library *library, int model, struct side *ret,
              struct err *err);
void side_close(struct side *side);
/* The tensor of this index in a file; the file stays open as long. source_close in any case. */
int source_open(const struct side_file *file, size_t t, struct source *ret, struct err *err);
/* Whether what was read of the file is what the catalog knows: 0, or ERR_CHANGED. */
int side_check(const struct side_file *file, struct err *err);
void source_close(struct source *source);

#endif
