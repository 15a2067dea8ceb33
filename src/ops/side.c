/* SPDX-License-Identifier: MIT */
/* The tensors of a model, ready to be read. */
#include "ops/side.h"

#include "base/file.h"
#include "ops/index.h"
#include "ops/material.h"

void side_close(struct side *side)
{
    for (size_t i = 0; i < side->count; i++) {
        catalog_tensors_release(&side->files[i].tensors);
        store_close(side->files[i].store);
        cleanup_fd(&side->files[i].fd);
    }
    free(side->files);
    map_release(&side->tensors);
}

static int open_file(struct ops *ops, const struct lib_file *file, struct side_file *ret,
                     struct err *err)
{
    bool here = file->state == FILE_PLAIN || file->state == FILE_KEPT;
    *ret = (struct side_file){.file = file, .fd = -1};
    int r = catalog_tensors(ops->catalog, file->row, &ret->tensors, err);
    if (r == 0 && here) {
        ret->fd = index_open(file, err);
        r = MIN(ret->fd, 0);
    } else if (r == 0 && file->store)
        r = store_open(file->store, STORE_READ, NULL, NULL, &ret->store, NULL, err);
    else if (r == 0)
        r = err_set(err, ERR_NOTFOUND, "%s: it is neither on disk nor in a store", file->path);
    return r;
}

int side_open(struct ops *ops, const struct library *library, int model, struct side *ret,
              struct err *err)
{
    const struct lib_model *m = &library->models[model];
    int r = 0;
    ret->files = mem_zalloc((m->file_count + 1) * sizeof *ret->files);
    for (size_t i = 0; i < m->file_count && r == 0; i++) {
        struct side_file *file = &ret->files[ret->count++];
        r = open_file(ops, &library->files[m->files[i]], file, err);
        for (size_t t = 0; t < file->tensors.layout.count && r == 0; t++) {
            struct hash128 key = tensor_key(&file->tensors.layout.tensors[t]);
            map_put(&ret->tensors, &key, (uint64_t)i << 32 | t);
        }
    }
    return r;
}

int source_open(const struct side_file *file, size_t t, struct source *ret, struct err *err)
{
    *ret = (struct source){.tensor = &file->tensors.layout.tensors[t]};
    ret->at = (struct bytes_at){.fd = file->fd, .offset = ret->tensor->offset};
    int r = file->fd < 0 ? content_open(file->store, &file->tensors.ids[t], &ret->content, err) : 0;
    ret->at.content = ret->content;
    return r;
}

int side_check(const struct side_file *file, struct err *err)
{
    return file->fd < 0 ? 0 : index_check(file->file, file->fd, err);
}

void source_close(struct source *source)
{
    content_free(source->content);
}
