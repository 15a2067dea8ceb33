/* SPDX-License-Identifier: MIT */
/* What differs between two models. */
#include "ops/delta.h"

#include "ops/material.h"
#include "ops/side.h"

#include <string.h>

enum {
    BLOCK = 1024 * 1024, /* bytes that are read at once */
    SAMPLE = 64 * 1024,  /* bytes of a sampled block */
    SAMPLES = 4,         /* of each tensor */
    KEPT_VERSION = 2,    /* of what the catalog remembers */
};

/* What the catalog remembers of two contents; the same program wrote it. */
struct kept {
    uint64_t rows, untouched, estimated;
    struct comparison sum;
};

struct work {
    struct found {
        struct hash128 key;
        struct kept kept;
    } * found;
    size_t found_count, found_cap;
    struct ops *ops;
    struct chooser *chooser;
    bool sampled;
    struct side own, base;
    struct progress *progress;
    struct delta_report *report;
    struct content_work *content;
    uint8_t *raw, *other, *converted; /* BLOCK bytes each */
};

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

/* Blocks from everywhere in it. */
static int sample_tensor(struct work *work, const struct source *own, const struct source *base,
                         struct delta_tensor *tensor, struct err *err)
{
    unsigned width = MAX(dtype_width(own->tensor->dtype), dtype_width(base->tensor->dtype));
    uint64_t count = own->tensor->bytes / dtype_width(own->tensor->dtype), n = SAMPLE / width;
    int r = 0;
    for (uint64_t i = 0; i < SAMPLES && r == 0; i++)
        r = compare_block(work, own, base, (count - n) / (SAMPLES - 1) * i, (size_t)n, 0, tensor,
                          err);
    compare_scale(&tensor->sum, count); /* so that each tensor weighs what it has */
    return r;
}

/* Blocks are whole rows where these are short enough. */
static int compare_tensor(struct work *work, const struct source *own, const struct source *base,
                          struct delta_tensor *tensor, struct err *err)
{
    const struct tensor *t = own->tensor;
    unsigned width = MAX(dtype_width(t->dtype), dtype_width(base->tensor->dtype));
    uint64_t count = t->bytes / dtype_width(t->dtype);
    uint64_t columns = t->dims == 2 ? t->shape[1] : 0, most = BLOCK / width;
    bool rows = columns && columns <= most && !work->sampled;
    uint64_t each = rows ? most / columns * columns : most;
    int r = 0;
    if (work->sampled && count > SAMPLES * SAMPLE / width)
        return sample_tensor(work, own, base, tensor, err);
    tensor->rows = rows ? t->shape[0] : 0;
    for (uint64_t at = 0; at < count && r == 0; at += each)
        r = compare_block(work, own, base, at, (size_t)MIN(count - at, each),
                          rows ? (size_t)columns * dtype_width(t->dtype) : 0, tensor, err);
    return r;
}

/* What the tensor would take in a store: nothing where it is the base's. */
static int estimate(struct work *work, const struct source *own, const struct source *base,
                    struct delta_tensor *tensor, struct err *err)
{
    const struct base_at from = {base->at, base->tensor->bytes, base->tensor->dtype};
    struct choice choice;
    if (work->sampled || tensor->sum.unchanged == tensor->sum.elements)
        return 0;
    int r = choose(work->chooser, own->tensor->dtype, own->tensor->bytes, &own->at, &from, &choice,
                   err);
    if (r == 0)
        tensor->estimated = MIN(choice.alone_bytes, choice.delta_bytes);
    return r;
}

/* ---- what was found before ---- */

/* By what it is remembered; false where a content is not known. */
static bool kept_key(const struct side_file *own, size_t t, const struct side_file *base, size_t k,
                     struct hash128 *ret)
{
    const struct tensor *a = &own->tensors.layout.tensors[t], *b = &base->tensors.layout.tensors[k];
    const struct {
        struct hash128 own, base;
        uint64_t columns, dtypes[2], version, size;
    } key = {own->tensors.ids[t],  base->tensors.ids[k], a->dims == 2 ? a->shape[1] : 0,
             {a->dtype, b->dtype}, KEPT_VERSION,         sizeof(struct kept)};
    *ret = hash128_of(&key, sizeof key);
    return !hash128_is_zero(&key.own) && !hash128_is_zero(&key.base);
}

static bool find_kept(struct work *work, const struct hash128 *key, struct delta_tensor *tensor)
{
    struct kept kept;
    if (catalog_find_comparison(work->ops->catalog, key, &kept, sizeof kept, NULL) < 0)
        return false;
    tensor->rows = kept.rows;
    tensor->untouched = kept.untouched;
    tensor->estimated = work->sampled ? 0 : kept.estimated;
    tensor->sum = kept.sum;
    return true;
}

static void keep(struct work *work, const struct hash128 *key, const struct delta_tensor *tensor)
{
    *ARRAY_ADD(work->found, work->found_count, work->found_cap) =
        (struct found){*key, {tensor->rows, tensor->untouched, tensor->estimated, tensor->sum}};
}

/* In one go, when all is read: others write to the catalog, too. Also of what was cut short. */
static void keep_all(struct work *work)
{
    struct catalog *catalog = work->ops->catalog;
    int r = work->found_count ? catalog_begin(catalog, NULL) : -1;
    if (r < 0)
        return;
    for (size_t i = 0; i < work->found_count && r == 0; i++)
        r = catalog_put_comparison(catalog, &work->found[i].key, &work->found[i].kept,
                                   sizeof work->found[i].kept, NULL);
    (void)catalog_end(catalog, r, NULL);
}

static struct delta_tensor *add_tensor(struct delta_report *report, const struct tensor *t,
                                       bool matched)
{
    struct delta_tensor *added =
        matched ? ARRAY_ADD(report->tensors, report->count, report->cap)
                : ARRAY_ADD(report->unmatched, report->unmatched_count, report->unmatched_cap);
    *added = (struct delta_tensor){.name = arena_strndup(&report->arena, t->name, t->name_len),
                                   .name_len = t->name_len,
                                   .dtype = t->dtype,
                                   .bytes = t->bytes};
    module_of(t->name, t->name_len, &added->module);
    return added;
}

static int take_tensor(struct work *work, size_t file, size_t index, struct err *err)
{
    const struct tensor *t = &work->own.files[file].tensors.layout.tensors[index];
    struct hash128 key = tensor_key(t);
    struct source own = {0}, base = {0};
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
    struct delta_tensor *tensor = add_tensor(work->report, t, true);
    struct hash128 kept;
    bool known = kept_key(&work->own.files[file], index, other, k, &kept);
    int r = 0;
    if (known && find_kept(work, &kept, tensor)) {
        progress_add(work->progress, t->bytes);
    } else {
        r = source_open(&work->own.files[file], index, &own, err);
        if (r == 0)
            r = source_open(other, k, &base, err);
        if (r == 0)
            r = compare_tensor(work, &own, &base, tensor, err);
        if (r == 0)
            r = estimate(work, &own, &base, tensor, err);
        if (r == 0)
            r = side_check(&work->own.files[file], err);
        if (r == 0)
            r = side_check(other, err);
        if (r == 0 && known && !work->sampled)
            keep(work, &kept, tensor);
        source_close(&own);
        source_close(&base);
    }
    compare_join(&work->report->total, &tensor->sum);
    work->report->bytes += tensor->bytes;
    work->report->estimated += tensor->estimated;
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

static int compare(struct ops *ops, const struct library *library, int model, int base,
                   bool sampled, struct progress *progress, struct delta_report *ret,
                   struct err *err)
{
    struct work work = {.ops = ops, .sampled = sampled, .progress = progress, .report = ret};
    *ret = (struct delta_report){.sampled = sampled};
    int r = side_open(ops, library, model, &work.own, err);
    if (r == 0)
        r = side_open(ops, library, base, &work.base, err);
    work.content = content_work_new();
    work.chooser = chooser_new();
    work.raw = mem_alloc(BLOCK);
    work.other = mem_alloc(BLOCK);
    work.converted = mem_alloc(BLOCK);
    if (r == 0)
        r = take_all(&work, err);
    keep_all(&work);
    free(work.found);
    free(work.raw);
    free(work.other);
    free(work.converted);
    content_work_free(work.content);
    chooser_free(work.chooser);
    side_close(&work.own);
    side_close(&work.base);
    if (r < 0)
        delta_report_release(ret);
    return r;
}

int ops_delta(struct ops *ops, const struct library *library, int model, int base,
              struct progress *progress, struct delta_report *ret, struct err *err)
{
    return compare(ops, library, model, base, false, progress, ret, err);
}

int ops_delta_sampled(struct ops *ops, const struct library *library, int model, int base,
                      struct progress *progress, struct delta_report *ret, struct err *err)
{
    return compare(ops, library, model, base, true, progress, ret, err);
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
