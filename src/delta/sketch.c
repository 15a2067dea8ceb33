/* SPDX-License-Identifier: MIT */
/* Sketches. */
#include "delta/sketch.h"

#include "bits/differ.h"
#include "bits/floats.h"

#include <string.h>

/* One run of 8 elements from element first on (wrapping at count), as 16 bytes. */
static int take_run(const struct reader *reader, const struct tensor *t, uint64_t count,
                    uint64_t first, uint8_t out[2 * SKETCH_RUN], struct err *err)
{
    uint8_t raw[SKETCH_RUN * 8];
    unsigned width = dtype_width(t->dtype);
    uint64_t have = MIN(count, (uint64_t)SKETCH_RUN);
    first = MIN(first, count - have);
    int r = reader_read(reader, t->offset + first * width, raw, have * width, err);
    if (r < 0)
        return r;
    for (unsigned i = 0; i < SKETCH_RUN; i++) {
        const uint8_t *p = raw + i % have * width;
        uint64_t u = dtype_is_float(t->dtype) ? float_to_bf16(t->dtype, p) : bits_load(p, width);
        u ^= u >> 32;
        bits_store(out + 2 * i, 2, dtype_is_float(t->dtype) ? u : (u ^ u >> 16));
    }
    return 0;
}

int sketch_tensor(const struct reader *reader, const struct tensor *tensor, unsigned runs,
                  uint8_t *sketch, struct err *err)
{
    uint64_t count = tensor->bytes / dtype_width(tensor->dtype);
    memset(sketch, 0, (size_t)runs * 2 * SKETCH_RUN);
    for (unsigned i = 0; i < runs && count; i++) {
        uint64_t first = (uint64_t)((unsigned __int128)count * (2 * i + 1) / (2 * runs));
        int r = take_run(reader, tensor, count, first, sketch + (size_t)i * 2 * SKETCH_RUN, err);
        if (r < 0)
            return r;
    }
    return 0;
}

static int by_name(const void *a, const void *b)
{
    return tensor_compare_names(*(const struct tensor *const *)a, *(const struct tensor *const *)b);
}

int sketch_model(const struct reader *reader, const struct layout *layout, uint8_t *sketch,
                 struct err *err)
{
    enum { RUNS = SKETCH_MODEL / (2 * SKETCH_RUN) };
    AUTO_FREE const struct tensor **row = mem_alloc(layout->count * sizeof *row);
    size_t n = 0;
    uint64_t total = 0;
    memset(sketch, 0, SKETCH_MODEL);
    for (size_t i = 0; i < layout->count; i++)
        if (dtype_is_float(layout->tensors[i].dtype) && layout->tensors[i].bytes)
            row[n++] = &layout->tensors[i];
    if (n)
        qsort(row, n, sizeof *row, by_name);
    for (size_t i = 0; i < n; i++)
        total += row[i]->bytes / dtype_width(row[i]->dtype);
    uint64_t before = 0;
    for (size_t i = 0, at = 0; i < RUNS && n; i++) {
        uint64_t want = (uint64_t)((unsigned __int128)total * (2 * i + 1) / (2 * RUNS));
        uint64_t count;
        while (count = row[at]->bytes / dtype_width(row[at]->dtype), want >= before + count)
            before += count, at++;
        int r = take_run(reader, row[at], count, want - before, sketch + i * 2 * SKETCH_RUN, err);
        if (r < 0)
            return r;
    }
    return 0;
}

double sketch_distance(const uint8_t *a, const uint8_t *b)
{
    return (double)bits_differ(a, b, SKETCH_TENSOR) / (SKETCH_TENSOR / 2);
}
