/* SPDX-License-Identifier: MIT */
/* What differs between two models. */
#include "ops/delta.h"

#include "base/file.h"
#include "catalog/catalog.h"
#include "ops/choose.h"
#include "ops/material.h"

#include <fcntl.h>
#include <string.h>

enum { BLOCK = 1024 * 1024 /* bytes that are read at once */ };

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

/* One tensor of a side, ready to be read. */
struct source {
    const struct tensor *tensor;
    struct bytes_at at;
    struct content *content;
};

struct work {
    struct side own, base;
    struct progress *progress;
    struct delta_report *report;
    struct content_work *content;
    uint8_t *raw, *other, *converted; /* BLOCK bytes each */
};

/* ---- the two sides ---- */

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
    int r = 0;
    ret->files = mem_zalloc((m->file_count + 1) * sizeof *ret->files);
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

static int source_open(const struct side_file *file, size_t t, struct source *ret, struct err *err)
{
    *ret = (struct source){.tensor = &file->tensors.layout.tensors[t]};
    ret->at = (struct bytes_at){.fd = file->fd, .offset = ret->tensor->offset};
    int r = file->fd < 0 ? content_open(file->store, &file->tensors.ids[t], &ret->content, err) : 0;
    ret->at.content = ret->content;
    return r;
}

/* ---- one tensor ---- */

/* Rows that lie whole in a block and are equal. */
static void count_untouched(struct delta_tensor *tensor, const uint8_t *own, const uint8_t *base,
                            size_t bytes, size_t row)
{
    for (size_t at = 0; row && at + row <= bytes; at += row)
        tensor->untouched += memcmp(own + at, base + at, row) == 0;
}

static int compare_block(struct work *work, const struct source *own, const struct source *base,
                         uint64_t at, size_t n, size_t row, struct delta_tensor *tensor,
                         struct err *err)
{
    enum dtype dtype = own->tensor->dtype, other = base->tensor->dtype;
    unsigned width = dtype_width(dtype), base_width = dtype_width(other);
    int r = progress_check(work->progress, err);
    if (r == 0)
        r = bytes_read(&own->at, at * width, work->raw, n * width, work->content, err);
    if (r == 0)
        r = bytes_read(&base->at, at * base_width, work->other, n * base_width, work->content, err);
    if (r < 0)
        return r;
    const uint8_t *from = work->other;
    if (other != dtype) {
        codec_convert(other, dtype, work->other, n, work->converted);
        from = work->converted;
    }
    compare_add(&tensor->sum, dtype, work->raw, from, n);
    count_untouched(tensor, work->raw, from, n * width, row);
    progress_add(work->progress, n * width);
    return 0;
}

/* Blocks are whole rows where these are short enough. */
static int compare_tensor(struct work *work, const struct source *own, const struct source *base,
                          struct delta_tensor *tensor, struct err *err)
{
    const struct tensor *t = own->tensor;
    unsigned width = MAX(dtype_width(t->dtype), dtype_width(base->tensor->dtype));
    uint64_t count = t->bytes / dtype_width(t->dtype);
    uint64_t columns = t->dims == 2 ? t->shape[1] : 0, most = BLOCK / width;
    bool rows = columns && columns <= most;
    uint64_t each = rows ? most / columns * columns : most;
    int r = 0;
    tensor->rows = rows ? t->shape[0] : 0;
    for (uint64_t at = 0; at < count && r == 0; at += each)
        r = compare_block(work, own, base, at, (size_t)MIN(count - at, each),
                          rows ? (size_t)columns * dtype_width(t->dtype) : 0, tensor, err);
    return r;
}

static struct delta_tensor *add_tensor(struct delta_report *report, const struct tensor *t,
                                       bool matched)
{
    struct delta_tensor *added =
        matched ? ARRAY_ADD(report->tensors, report->count, report->cap)
                : ARRAY_ADD(report->unmatched, report->unmatched_count, report->unmatched_cap);
    *added = (struct delta_tensor){.name = arena_strndup(&report->arena, t->name, t->name_len),
                                   .name_len = t->name_len,
                                   .dtype = t->dtype};
    module_of(t->name, t->name_len, &added->module);
    return added;
}

static int take_tensor(struct work *work, size_t file, size_t index, struct err *err)
{
    const struct tensor *t = &work->own.files[file].tensors.layout.tensors[index];
    struct hash128 key = tensor_key(t);
    struct source own, base = {0};
    uint64_t at;
    if (!dtype_is_float(t->dtype) || !t->bytes)
        return 0;
    bool matched = compare_handles(t->dtype) && map_get(&work->base.tensors, &key, &at);
    const struct side_file *other = matched ? &work->base.files[at >> 32] : NULL;
    size_t k = (size_t)(at & UINT32_MAX);
    if (!matched || !codec_base_suits(other->tensors.layout.tensors[k].dtype, t->dtype)) {
        add_tensor(work->report, t, false);
        return 0;
    }
    int r = source_open(&work->own.files[file], index, &own, err);
    if (r == 0)
        r = source_open(other, k, &base, err);
    if (r == 0) {
        struct delta_tensor *tensor = add_tensor(work->report, t, true);
        r = compare_tensor(work, &own, &base, tensor, err);
        compare_join(&work->report->total, &tensor->sum);
    }
    content_free(own.content);
    content_free(base.content);
    return r;
}

static int take_all(struct work *work, struct err *err)
{
    int r = 0;
    progress_phase(work->progress, "comparing");
    for (size_t f = 0; f < work->own.count && work->progress; f++)
        atomic_fetch_add(&work->progress->total, work->own.files[f].tensors.layout.size);
    for (size_t f = 0; f < work->own.count && r == 0; f++)
        for (size_t t = 0; t < work->own.files[f].tensors.layout.count && r == 0; t++)
            r = take_tensor(work, f, t, err);
    if (r == 0 && !work->report->count)
        r = err_set(err, ERR_NOTFOUND,
                    "the two have no tensor of floats with the same name and shape");
    return r;
}

int ops_delta(struct ops *ops, const struct library *library, int model, int base,
              struct progress *progress, struct delta_report *ret, struct err *err)
{
    struct work work = {.progress = progress, .report = ret};
    *ret = (struct delta_report){0};
    int r = side_open(ops, library, model, &work.own, err);
    if (r == 0)
        r = side_open(ops, library, base, &work.base, err);
    work.content = content_work_new();
    work.raw = mem_alloc(BLOCK);
    work.other = mem_alloc(BLOCK);
    work.converted = mem_alloc(BLOCK);
    if (r == 0)
        r = take_all(&work, err);
    free(work.raw);
    free(work.other);
    free(work.converted);
    content_work_free(work.content);
    side_release(&work.own);
    side_release(&work.base);
    if (r < 0)
        delta_report_release(ret);
    return r;
}

void delta_report_release(struct delta_report *report)
{
    free(report->tensors);
    free(report->unmatched);
    arena_release(&report->arena);
    *report = (struct delta_report){0};
}

/* ---- order ---- */

static int by_layer(const void *a, const void *b, void *context)
{
    const struct delta_report *report = context;
    size_t i = *(const size_t *)a, k = *(const size_t *)b;
    int x = report->tensors[i].module.layer, y = report->tensors[k].module.layer;
    return x != y ? (x < y ? -1 : 1) : (i > k) - (i < k);
}

size_t *delta_order(const struct delta_report *report)
{
    size_t *order = mem_alloc((report->count + 1) * sizeof *order);
    for (size_t i = 0; i < report->count; i++)
        order[i] = i;
    if (report->count)
        qsort_r(order, report->count, sizeof *order, by_layer, (void *)report);
    return order;
}
