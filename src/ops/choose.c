/* SPDX-License-Identifier: MIT */
/* Which codec suits a tensor: by encoding samples of it. */
#include "ops/choose.h"

#include "base/file.h"
#include "ops/ops.h"

#include <string.h>

enum {
    SAMPLES = 4,
    SAMPLE_FLOATS = 32 * 1024,
    SAMPLE_OTHERS = CODEC_CHUNK,
    CHUNK_COST = 32,
    ENTRY_COST = 104
};

struct chooser {
    struct content_work *work;
    uint8_t *raw, *base, *out;
};

struct chooser *chooser_new(void)
{
    struct chooser *chooser = mem_zalloc(sizeof *chooser);
    size_t most = SAMPLE_OTHERS * 8;
    chooser->work = content_work_new();
    chooser->raw = mem_alloc(most);
    chooser->base = mem_alloc(most);
    chooser->out = mem_alloc(codec_bound(most));
    return chooser;
}

void chooser_free(struct chooser *chooser)
{
    if (!chooser)
        return;
    content_work_free(chooser->work);
    free(chooser->raw);
    free(chooser->base);
    free(chooser->out);
    free(chooser);
}

int bytes_read(const struct bytes_at *at, uint64_t offset, uint8_t *dst, size_t n,
               struct content_work *work, struct err *err)
{
    if (at->fd >= 0)
        return file_pread(at->fd, dst, n, at->offset + offset, err);
    return content_read(at->content, offset, dst, n, work, err);
}

/* What the samples of a tensor came to, for each codec. */
struct tally {
    uint64_t raw, encoded[CODEC_COUNT];
    double seconds[CODEC_COUNT];
};

static void tally_sample(struct chooser *chooser, const struct codec_chunk *chunk,
                         struct tally *tally)
{
    tally->raw += chunk->n;
    for (int c = 0; c < CODEC_COUNT; c++) {
        bool usable = codec_handles((enum codec)c, chunk->dtype) &&
                      (chunk->base || !codec_needs_base((enum codec)c));
        /* zstd is for what is not floats: on floats planes are always ahead. */
        if (c == CODEC_ZSTD && dtype_is_float(chunk->dtype))
            usable = false;
        double start = ops_now();
        size_t len =
            usable ? codec_encode(content_codec(chooser->work), (enum codec)c, chunk, chooser->out)
                   : 0;
        tally->seconds[c] += ops_now() - start;
        tally->encoded[c] += len ? len : chunk->n;
    }
}

/* The smallest; of equals the first, which decodes faster. */
static enum codec best_of(const struct tally *tally, bool with_base)
{
    enum codec best = CODEC_RAW;
    for (int c = 0; c < CODEC_COUNT; c++)
        if (codec_needs_base((enum codec)c) == with_base &&
            (tally->encoded[c] < tally->encoded[best] || codec_needs_base(best) != with_base))
            best = (enum codec)c;
    return best;
}

static uint64_t scaled(const struct tally *tally, enum codec codec, uint64_t bytes)
{
    return (uint64_t)((double)bytes * (double)tally->encoded[codec] / (double)tally->raw);
}

int choose(struct chooser *chooser, enum dtype dtype, uint64_t bytes, const struct bytes_at *raw,
           const struct bytes_at *base, struct choice *ret, struct err *err)
{
    unsigned width = dtype_width(dtype);
    uint64_t elements = bytes / width;
    /* Weights look alike everywhere in a tensor; bytes of unknown files do not. */
    uint64_t window = dtype_is_float(dtype) ? SAMPLE_FLOATS : SAMPLE_OTHERS;
    uint64_t each = MIN(elements, window);
    unsigned samples = (unsigned)MIN((elements + window - 1) / window, (uint64_t)SAMPLES);
    struct tally tally = {0};
    for (unsigned i = 0; i < samples; i++) {
        uint64_t room = elements - each;
        uint64_t at = samples == 1 ? 0 : room / (samples - 1) * i;
        size_t n = (size_t)(each * width);
        int r = bytes_read(raw, at * width, chooser->raw, n, chooser->work, err);
        if (r == 0 && base)
            r = bytes_read(base, at * width, chooser->base, n, chooser->work, err);
        if (r < 0)
            return r;
        struct codec_chunk chunk = {dtype, chooser->raw, base ? chooser->base : NULL, n};
        tally_sample(chooser, &chunk, &tally);
    }
    uint64_t tables = ENTRY_COST + (uint64_t)object_chunk_count(dtype, bytes) * CHUNK_COST;
    ret->alone = best_of(&tally, false);
    ret->alone_bytes = scaled(&tally, ret->alone, bytes) + tables;
    ret->delta = base ? best_of(&tally, true) : CODEC_RAW;
    ret->delta_bytes = base ? scaled(&tally, ret->delta, bytes) + tables : UINT64_MAX;
    enum codec used = ret->delta_bytes < ret->alone_bytes ? ret->delta : ret->alone;
    ret->seconds = tally.seconds[used] * (double)bytes / (double)MAX(tally.raw, 1u);
    return 0;
}
