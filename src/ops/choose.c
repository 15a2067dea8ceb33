/* SPDX-License-Identifier: MIT */
/* Which codec suits a tensor: by encoding samples of it. */
#include "ops/choose.h"

#include "base/file.h"
#include "ops/ops.h"

#include <string.h>

enum {
    WINDOWS = 4,
    WINDOW_LEAST = 1280, /* elements of a float tensor */
    WINDOW_MOST = 32 * 1024,
    WINDOW_SHARE = 2048,         /* of the elements, for each window */
    WINDOW_OTHERS = 1024 * 1024, /* bytes of everything else */
    ENTRY_COST = 112,
    TABLES_FROM = 64 * 1024,  /* elements: smaller tensors are not worth the time */
    ENOUGH = 4096,            /* encoded bytes of a sample that tell what a sparse delta takes */
    CLOSER_MOST = 256 * 1024, /* elements of a window for that */
    CLOSER_LEAST = 8192,
    CLOSER_FROM = 256 * 1024, /* elements of a tensor that has windows of at least so many */
    CLOSER_SHARE = 64,
};

struct chooser {
    struct content_work *work;
    uint8_t *raw, *base, *other, *out;
};

struct chooser *chooser_new(void)
{
    struct chooser *chooser = mem_zalloc(sizeof *chooser);
    size_t most = WINDOWS * WINDOW_OTHERS;
    chooser->work = content_work_new();
    chooser->raw = mem_alloc(most);
    chooser->base = mem_alloc(most);
    chooser->other = mem_alloc(most);
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
    free(chooser->other);
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

struct hash128 choose_key(const struct tensor *t)
{
    AUTO_BUF struct buf text = {0};
    size_t n;
    const char *name = tensor_core_name(t, &n);
    buf_add(&text, name, n);
    buf_add(&text, &t->dims, sizeof t->dims);
    if (t->dims > 1)
        buf_add(&text, t->shape + 1, (t->dims - 1) * sizeof *t->shape);
    return hash128_of(text.data, text.len);
}

bool choose_same_shape(const struct tensor *base, const struct tensor *t)
{
    return base->dims == t->dims && base->bytes && codec_base_suits(base->dtype, t->dtype) &&
           (!t->dims || memcmp(base->shape, t->shape, t->dims * sizeof *t->shape) == 0);
}

bool choose_suits(const struct tensor *base, const struct tensor *t)
{
    size_t n, base_n;
    const char *name = tensor_core_name(t, &n), *base_name = tensor_core_name(base, &base_n);
    if (n != base_n || memcmp(name, base_name, n) != 0 || base->dims != t->dims || !base->bytes ||
        !codec_base_suits(base->dtype, t->dtype))
        return false;
    for (size_t i = 0; i < t->dims; i++)
        if (base->shape[i] != t->shape[i] && (i > 0 || !codec_handles(CODEC_DELTA, t->dtype)))
            return false;
    return true;
}

/* What the windows of a tensor came to, for each codec. */
struct tally {
    size_t fixed[CODEC_COUNT]; /* of encoded: what a chunk takes whatever its length */
    size_t raw, encoded[CODEC_COUNT];
    double seconds[CODEC_COUNT];
};

static bool is_candidate(enum codec codec, const struct codec_chunk *chunk)
{
    /* zstd is for what is not floats: on floats planes are always ahead. */
    return codec_handles(codec, chunk->dtype) && (chunk->base || !codec_needs_base(codec)) &&
           !(codec == CODEC_ZSTD && dtype_is_float(chunk->dtype));
}

static void tally_codec(struct chooser *chooser, enum codec codec, const struct codec_chunk *chunk,
                        struct tally *tally)
{
    double start = ops_now();
    size_t len = is_candidate(codec, chunk)
                     ? codec_encode(content_codec(chooser->work), codec, chunk, chooser->out)
                     : 0;
    tally->seconds[codec] = ops_now() - start;
    tally->encoded[codec] = len ? len : chunk->n;
}

/*
 * XOR is only tried where delta does not halve what planes make of it: it is ahead where the low
 * bits repeat, which delta keeps as they are, and then it is not that far ahead.
 */
static void tally_windows(struct chooser *chooser, const struct codec_chunk *chunk,
                          struct tally *tally)
{
    tally->raw = chunk->n;
    for (int c = CODEC_COUNT - 1; c >= 0; c--) {
        bool beaten =
            c == CODEC_BITX && tally->encoded[CODEC_DELTA] * 2 < tally->encoded[CODEC_PLANES];
        tally->encoded[c] = chunk->n;
        if (!beaten)
            tally_codec(chooser, (enum codec)c, chunk, tally);
    }
}

/* In a sample tables weigh more than in a chunk: what both halves of it take more than the whole.
 */
static void measure_tables(struct chooser *chooser, enum codec codec,
                           const struct codec_chunk *chunk, uint64_t elements, struct tally *tally)
{
    size_t half = chunk->n / 2 / dtype_width(chunk->dtype) * dtype_width(chunk->dtype), sum = 0;
    if (!half || elements < TABLES_FROM)
        return;
    for (size_t at = 0; at < chunk->n; at += half) {
        size_t n = MIN(half, chunk->n - at);
        const struct codec_chunk part = {.dtype = chunk->dtype,
                                         .raw = chunk->raw + at,
                                         .base = chunk->base ? chunk->base + at : NULL,
                                         .n = n,
                                         .base_n = chunk->base ? n : 0};
        size_t len = codec_encode(content_codec(chooser->work), codec, &part, chooser->out);
        sum += len ? len : n;
    }
    size_t whole = tally->encoded[codec];
    tally->fixed[codec] = sum > whole ? MIN(sum - whole, whole) : 0;
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

static uint64_t scaled(const struct tally *tally, enum codec codec, uint64_t bytes, uint64_t chunks)
{
    size_t fixed = MIN(tally->fixed[codec], tally->encoded[codec]);
    return chunks * fixed +
           (uint64_t)((double)bytes * (double)(tally->encoded[codec] - fixed) / (double)tally->raw);
}

/* Reads a window of the base, as elements of dtype. */
static int read_base(struct chooser *chooser, const struct base_at *base, enum dtype dtype,
                     uint64_t at, size_t count, uint8_t *dst, struct err *err)
{
    unsigned width = dtype_width(base->dtype);
    if (base->dtype == dtype)
        return bytes_read(&base->at, at * width, dst, count * width, chooser->work, err);
    int r = bytes_read(&base->at, at * width, chooser->other, count * width, chooser->work, err);
    if (r == 0)
        codec_convert(base->dtype, dtype, chooser->other, count, dst);
    return r;
}

/*
 * Reads windows of the elements that have a base (of all, without one), one behind the other, so
 * that a table counts once.
 */
static int read_windows(struct chooser *chooser, const struct bytes_at *raw, uint64_t elements,
                        uint64_t most, const struct base_at *base, struct codec_chunk *chunk,
                        struct err *err)
{
    unsigned width = dtype_width(chunk->dtype);
    unsigned windows = elements <= WINDOWS * most ? 1 : WINDOWS;
    uint64_t each = windows == 1 ? elements : most;
    int r = 0;
    for (unsigned i = 0; i < windows && r == 0; i++) {
        uint64_t at = windows == 1 ? 0 : (elements - each) / (windows - 1) * i;
        r = bytes_read(raw, at * width, chooser->raw + chunk->n, each * width, chooser->work, err);
        if (r == 0 && base)
            r = read_base(chooser, base, chunk->dtype, at, each, chooser->base + chunk->n, err);
        chunk->n += each * width;
    }
    chunk->raw = chooser->raw;
    chunk->base = base ? chooser->base : NULL;
    chunk->base_n = base ? chunk->n : 0;
    return r;
}

/* Elements of a window. Weights look alike everywhere in a tensor; bytes of unknown files do not.
 */
static uint64_t window_of(enum dtype dtype, uint64_t elements)
{
    uint64_t share = MAX(elements / WINDOW_SHARE, (uint64_t)WINDOW_LEAST);
    return dtype_is_float(dtype) ? MIN(share, (uint64_t)WINDOW_MOST)
                                 : WINDOW_OTHERS / dtype_width(dtype);
}

/*
 * What hardly differs takes so little in a sample of the usual size that tables and chance decide:
 * a larger one, for this codec alone.
 */
static int look_closer(struct chooser *chooser, const struct bytes_at *raw, uint64_t elements,
                       const struct base_at *base, enum dtype dtype, enum codec codec,
                       struct tally *tally, struct err *err)
{
    struct codec_chunk chunk = {.dtype = dtype};
    unsigned width = MAX(dtype_width(dtype), dtype_width(base->dtype));
    uint64_t window = window_of(dtype, elements), encoded = MAX(tally->encoded[codec], 16u);
    uint64_t most = MAX(elements / CLOSER_SHARE, elements < CLOSER_FROM ? 0u : CLOSER_LEAST);
    most = MIN(most, MIN(CLOSER_MOST, WINDOW_OTHERS / width));
    most = MIN(most, window * ENOUGH / encoded);
    if (encoded >= ENOUGH / 2 || most <= window)
        return 0;
    int r = read_windows(chooser, raw, elements, most, base, &chunk, err);
    if (r < 0)
        return r;
    *tally = (struct tally){.raw = chunk.n};
    tally_codec(chooser, codec, &chunk, tally);
    measure_tables(chooser, codec, &chunk, elements, tally);
    return 0;
}

int choose(struct chooser *chooser, enum dtype dtype, uint64_t bytes, const struct bytes_at *raw,
           const struct base_at *base, struct choice *ret, struct err *err)
{
    struct tally tally = {0};
    struct codec_chunk chunk = {.dtype = dtype};
    uint64_t elements = bytes / dtype_width(dtype);
    uint64_t common = base ? MIN(base->bytes / dtype_width(base->dtype), elements) : elements;
    int r = read_windows(chooser, raw, common, window_of(dtype, common), base, &chunk, err);
    if (r < 0)
        return r;
    tally_windows(chooser, &chunk, &tally);
    uint64_t with_base = common * dtype_width(dtype);
    uint32_t each = object_chunk_bytes(OBJECT_VERSION, dtype);
    uint64_t chunks = bytes / each + (bytes % each != 0);
    uint64_t tables = ENTRY_COST + chunks * OBJECT_CHUNK_COST;
    ret->alone = best_of(&tally, false);
    ret->alone_bytes = scaled(&tally, ret->alone, bytes, chunks) + tables;
    ret->delta = base ? best_of(&tally, true) : CODEC_RAW;
    struct tally delta = tally;
    if (base)
        measure_tables(chooser, ret->delta, &chunk, common, &delta);
    if (base && (r = look_closer(chooser, raw, common, base, dtype, ret->delta, &delta, err)) < 0)
        return r;
    ret->delta_bytes = base ? scaled(&delta, ret->delta, with_base, chunks) +
                                  scaled(&tally, ret->alone, bytes - with_base, 0) + tables
                            : UINT64_MAX;
    enum codec used = ret->delta_bytes < ret->alone_bytes ? ret->delta : ret->alone;
    ret->seconds = tally.seconds[used] * (double)bytes / (double)MAX(tally.raw, (size_t)1);
    return 0;
}
