/* SPDX-License-Identifier: MIT */
/* Exact bit distances. */
#include "ops/exact.h"

#include "base/file.h"
#include "bits/differ.h"
#include "bits/floats.h"
#include "catalog/catalog.h"
#include "ops/choose.h"
#include "ops/material.h"

#include <fcntl.h>
#include <string.h>

enum { BLOCK = 64 * 1024 /* elements */ };

/* A file of a model, open where it lies or in its store. */
struct side_file {
    struct catalog_tensors tensors;
    struct store *store;
    int fd;
};

struct side {
    struct side_file *files;
    size_t count;
    struct map tensors; /* by name and shape: file << 32 | index */
};

struct buffers {
    struct content_work *work;
    uint8_t raw[BLOCK * 4];
    uint8_t own[BLOCK * 2], other[BLOCK * 2];
};

static void side_release(struct side *side)
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
    int r = catalog_tensors(ops->catalog, file->row, &ret->tensors, err);
    if (r == 0 && here)
        r = MIN(ret->fd = file_open_regular(AT_FDCWD, file->path, NULL, err), 0);
    else if (r == 0 && file->store)
        r = store_open(file->store, STORE_READ, NULL, &ret->store, NULL, err);
    else if (r == 0)
        r = err_set(err, ERR_NOTFOUND, "%s: it is neither on disk nor in a store", file->path);
    return r;
}

static int side_open(struct ops *ops, const struct library *library, int model, struct side *ret,
                     struct err *err)
{
    const struct lib_model *m = &library->models[model];
    *ret = (struct side){.files = mem_zalloc((m->file_count + 1) * sizeof *ret->files)};
    int r = 0;
    for (size_t i = 0; i < m->file_count && r == 0; i++) {
        struct side_file *file = &ret->files[ret->count++];
        file->fd = -1;
        r = open_file(ops, &library->files[m->files[i]], file, err);
        for (size_t t = 0; t < file->tensors.layout.count && r == 0; t++) {
            struct hash128 key = tensor_key(&file->tensors.layout.tensors[t]);
            map_put(&ret->tensors, &key, (uint64_t)i << 32 | t);
        }
    }
    return r;
}

static bool compares(const struct tensor *t)
{
    return t->dtype == DTYPE_BF16 || t->dtype == DTYPE_F16 || t->dtype == DTYPE_F32;
}

static int place_of(const struct side_file *file, size_t t, struct bytes_at *ret,
                    struct content **content, struct err *err)
{
    *content = NULL;
    *ret = (struct bytes_at){.fd = file->fd, .offset = file->tensors.layout.tensors[t].offset};
    int r = file->fd < 0 ? content_open(file->store, &file->tensors.ids[t], content, err) : 0;
    ret->content = *content;
    return r;
}

static int read_block(const struct bytes_at *at, enum dtype dtype, uint64_t first, size_t n,
                      struct buffers *buffers, uint8_t *dst, struct err *err)
{
    unsigned width = dtype_width(dtype);
    int r = bytes_read(at, first * width, buffers->raw, n * width, buffers->work, err);
    if (r == 0 && dtype == DTYPE_BF16)
        memcpy(dst, buffers->raw, n * 2);
    else if (r == 0)
        float_convert(dtype, DTYPE_BF16, buffers->raw, n, dst);
    /* bits_differ counts in steps of four elements. */
    if (r == 0)
        memset(dst + n * 2, 0, (4 - n % 4) % 4 * 2);
    return r;
}

static int compare_tensor(const struct side_file *a, size_t ta, const struct side_file *b,
                          size_t tb, struct buffers *buffers, struct progress *progress,
                          uint64_t *bits, struct err *err)
{
    const struct tensor *t = &a->tensors.layout.tensors[ta];
    enum dtype other = b->tensors.layout.tensors[tb].dtype;
    struct content *ca, *cb = NULL;
    struct bytes_at at_a, at_b;
    uint64_t count = t->bytes / dtype_width(t->dtype);
    int r = place_of(a, ta, &at_a, &ca, err);
    if (r == 0)
        r = place_of(b, tb, &at_b, &cb, err);
    for (uint64_t at = 0; at < count && r == 0; at += BLOCK) {
        size_t n = (size_t)MIN(count - at, (uint64_t)BLOCK);
        r = progress_check(progress, err);
        if (r == 0)
            r = read_block(&at_a, t->dtype, at, n, buffers, buffers->own, err);
        if (r == 0)
            r = read_block(&at_b, other, at, n, buffers, buffers->other, err);
        if (r == 0)
            *bits += bits_differ(buffers->own, buffers->other, (n + 3) / 4 * 8);
    }
    content_free(ca);
    content_free(cb);
    return r;
}

/* All tensors of a that b has, too. */
static int compare_sides(const struct side *a, const struct side *b, struct progress *progress,
                         uint64_t *bits, uint64_t *elements, struct err *err)
{
    struct buffers *buffers = mem_zalloc(sizeof *buffers);
    int r = 0;
    buffers->work = content_work_new();
    for (size_t f = 0; f < a->count && r == 0; f++) {
        const struct layout *layout = &a->files[f].tensors.layout;
        for (size_t t = 0; t < layout->count && r == 0; t++) {
            struct hash128 key = tensor_key(&layout->tensors[t]);
            uint64_t at;
            if (!compares(&layout->tensors[t]) || !map_get(&b->tensors, &key, &at))
                continue;
            const struct side_file *file = &b->files[at >> 32];
            size_t other = (size_t)(at & UINT32_MAX);
            if (!compares(&file->tensors.layout.tensors[other]))
                continue;
            r = compare_tensor(&a->files[f], t, file, other, buffers, progress, bits, err);
            *elements += tensor_elements(&layout->tensors[t]);
        }
    }
    content_work_free(buffers->work);
    free(buffers);
    return r;
}

int ops_exact(struct ops *ops, const struct library *library, int model, int other,
              struct progress *progress, struct exact_distance *ret, struct err *err)
{
    struct side a, b = {0};
    uint64_t bits = 0, elements = 0;
    int r = side_open(ops, library, model, &a, err);
    if (r == 0)
        r = side_open(ops, library, other, &b, err);
    if (r == 0)
        r = compare_sides(&a, &b, progress, &bits, &elements, err);
    side_release(&a);
    side_release(&b);
    if (r == 0 && !elements)
        r = err_set(err, ERR_NOTFOUND, "the two have no tensor of floats in common");
    *ret = (struct exact_distance){elements ? (double)bits / (double)elements : 0, elements};
    return r;
}
