/* SPDX-License-Identifier: MIT */
/* What the stores hold, by path and by model: read once, looked up by the scan. For src/ops only.
 */
#ifndef TARE_OPS_STORED_H
#define TARE_OPS_STORED_H

#include "ops/ops.h"
#include "base/map.h"
#include "store/manifest.h"

struct stored_file {
    struct manifest manifest;
    const char *store;
    enum file_state state;
};

/* One model's claim on a stored file. */
struct stored_view {
    const struct manifest_view *view;
    struct stored_file *file;
};

struct stored {
    struct stored_file *files; /* by path */
    size_t file_count, file_cap;
    struct stored_view *views; /* by model id */
    size_t view_count, view_cap;
    struct path_list stores;
    struct map lacking; /* hash of a model's id: of its companions some are not in their places */
};

/* Reads all manifests of all known stores. What cannot be read is told to problem. */
void stored_read(struct ops *ops, struct stored *ret,
                 void (*problem)(void *context, const char *path, const char *reason),
                 void *context);
void stored_release(struct stored *stored);

/* The stored file that lay at this path, or NULL. */
struct stored_file *stored_at(const struct stored *stored, const char *path);

/* Whether files that belong to the model beside its weights are gone. */
bool stored_lacks(const struct stored *stored, const char *model_id);

/* The views of one model: the first, and how many. */
const struct stored_view *stored_views(const struct stored *stored, const char *model_id,
                                       size_t *ret_count);

#endif
