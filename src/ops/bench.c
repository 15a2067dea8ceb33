/* SPDX-License-Identifier: MIT */
/* Bench: what each codec makes of a file, and how fast, in memory. */
#include "ops/bench.h"

#include "base/file.h"
#include "bits/simd.h"
#include "formats/formats.h"
#include "jobs/pool.h"
#include "ops/choose.h"
#include "store/object.h"

#include <fcntl.h>
#include <string.h>

enum { PASSES = 3 };

struct loaded {
    struct buf bytes;
    struct layout layout;
};

/* A run of elements that is encoded on its own. */
struct piece {
    struct codec_chunk chunk;
    enum codec codec;
    uint8_t *out;
    size_t len;
    int result;
};

/* A run of bytes of the file, and the elements of the base for it, seen as its dtype. */
struct span {
    struct codec_chunk chunk;
    bool tensor;
    uint8_t *converted; /* owned; NULL where the base is of this dtype */
};

struct bench {
    struct pool *pool;
    struct codec_work **works;
    struct span *spans;
    struct piece *pieces;
    size_t span_count, count, cap;
    uint8_t *decoded; /* as long as the file */
    const uint8_t *start;
};

static int load(const char *path, struct loaded *ret, struct err *err)
{
    int r = file_read_all(AT_FDCWD, path, (size_t)1 << 40, &ret->bytes, err);
    if (r < 0)
        return r;
    struct reader reader = reader_memory(ret->bytes.data, ret->bytes.len);
    r = format_parse(path, &reader, &ret->layout, err);
    return r < 0 ? err_prefix(err, path) : 0;
}

static void loaded_release(struct loaded *loaded)
{
    layout_release(&loaded->layout);
    buf_release(&loaded->bytes);
}

/* The tensor of the base for one of the file. */
static const struct tensor *match(const struct loaded *base, const struct tensor *want)
{
    for (size_t i = 0; i < base->layout.count; i++)
        if (choose_suits(&base->layout.tensors[i], want))
            return &base->layout.tensors[i];
    return NULL;
}

static void give_base(struct span *span, const struct loaded *base, const struct tensor *t)
{
    const struct tensor *mate = match(base, t);
    if (!mate)
        return;
    const uint8_t *bytes = (const uint8_t *)base->bytes.data + mate->offset;
    size_t count = mate->bytes / dtype_width(mate->dtype);
    if (mate->dtype != t->dtype) {
        span->converted = mem_alloc(count * dtype_width(t->dtype));
        codec_convert(mate->dtype, t->dtype, bytes, count, span->converted);
        bytes = span->converted;
    }
    span->chunk.base = bytes;
    span->chunk.base_n = MIN(count * dtype_width(t->dtype), span->chunk.n);
}

static void find_spans(struct bench *bench, const struct loaded *file, const struct loaded *base)
{
    AUTO_FREE struct range *ranges = layout_ranges(&file->layout, &bench->span_count);
    bench->spans = mem_zalloc(bench->span_count * sizeof *bench->spans);
    for (size_t i = 0; i < bench->span_count; i++) {
        const struct tensor *t = ranges[i].tensor;
        struct span *span = &bench->spans[i];
        span->tensor = t != NULL;
        span->chunk =
            (struct codec_chunk){.dtype = t ? t->dtype : DTYPE_BYTES,
                                 .raw = (const uint8_t *)file->bytes.data + ranges[i].offset,
                                 .n = ranges[i].bytes};
        if (t)
            give_base(span, base, t);
    }
}

static void measure_bounds(const struct bench *bench, struct bound *ret)
{
    for (size_t i = 0; i < bench->span_count; i++) {
        const struct codec_chunk *chunk = &bench->spans[i].chunk;
        if (bench->spans[i].tensor && codec_handles(CODEC_DELTA, chunk->dtype) && chunk->n)
            bound_add(ret, chunk->dtype, chunk->raw, chunk->base_n == chunk->n ? chunk->base : NULL,
                      chunk->n / dtype_width(chunk->dtype));
    }
}

/* Cuts a run of bytes into pieces. bitx in the paper's way: a tensor in one piece. */
static void add_pieces(struct bench *bench, enum codec codec, const struct codec_chunk *whole)
{
    size_t each = object_chunk_bytes(OBJECT_VERSION, whole->dtype);
    if (codec == CODEC_BITX && whole->n <= (size_t)1 << 31)
        each = whole->n;
    for (size_t at = 0; at < whole->n; at += each) {
        struct piece *piece = ARRAY_ADD(bench->pieces, bench->count, bench->cap);
        bool based = at < whole->base_n;
        piece->codec = codec_needs_base(codec) && !based ? CODEC_PLANES : codec;
        piece->chunk.dtype = whole->dtype;
        piece->chunk.raw = whole->raw + at;
        piece->chunk.n = MIN(each, whole->n - at);
        piece->chunk.base = based ? whole->base + at : NULL;
        piece->chunk.base_n = based ? MIN(piece->chunk.n, whole->base_n - at) : 0;
        piece->out = mem_alloc(codec_bound(piece->chunk.n));
    }
}

/* What the codec cannot do is done by planes; what is no tensor, by zstd. */
static void cut(struct bench *bench, enum codec codec)
{
    for (size_t i = 0; i < bench->span_count; i++) {
        const struct codec_chunk *chunk = &bench->spans[i].chunk;
        bool able = codec_handles(codec, chunk->dtype) &&
                    (codec != CODEC_BITX || chunk->base_n == chunk->n);
        enum codec used = codec == CODEC_RAW        ? CODEC_RAW
                          : !bench->spans[i].tensor ? CODEC_ZSTD
                          : able                    ? codec
                                                    : CODEC_PLANES;
        add_pieces(bench, used, chunk);
    }
}

struct turn {
    struct bench *bench;
    struct task task;
    size_t index;
    bool decode;
};

static void run_piece(void *context, unsigned worker)
{
    struct turn *turn = context;
    struct bench *bench = turn->bench;
    struct piece *p = &bench->pieces[turn->index];
    if (!turn->decode) {
        p->len = codec_encode(bench->works[worker], p->codec, &p->chunk, p->out);
        if (!p->len)
            memcpy(p->out, p->chunk.raw, p->chunk.n);
        return;
    }
    uint8_t *to = bench->decoded + (p->chunk.raw - bench->start);
    p->result = codec_decode(bench->works[worker], p->len ? p->codec : CODEC_RAW, p->chunk.dtype,
                             p->out, p->len ? p->len : p->chunk.n, p->chunk.base, p->chunk.base_n,
                             to, p->chunk.n, NULL);
}

/* One pass over all pieces, in this thread or on the pool; the seconds that it took. */
static double pass(struct bench *bench, bool decode, bool pool)
{
    AUTO_FREE struct turn *turns = mem_zalloc((bench->count + 1) * sizeof *turns);
    double start = ops_now();
    for (size_t i = 0; i < bench->count; i++) {
        turns[i] = (struct turn){.bench = bench, .index = i, .decode = decode};
        turns[i].task = (struct task){.run = run_piece, .context = &turns[i]};
        if (pool)
            pool_submit(bench->pool, &turns[i].task);
        else
            run_piece(&turns[i], 0);
    }
    for (size_t i = 0; i < bench->count && pool; i++)
        pool_wait(bench->pool, &turns[i].task);
    return ops_now() - start;
}

/* The best of some passes, in GB/s. */
static struct bench_speed measure(struct bench *bench, uint64_t bytes, bool pool)
{
    struct bench_speed best = {0};
    for (int i = 0; i < PASSES; i++) {
        double encode = (double)bytes / pass(bench, false, pool) / 1e9;
        double decode = (double)bytes / pass(bench, true, pool) / 1e9;
        best.encode = MAX(best.encode, encode);
        best.decode = MAX(best.decode, decode);
    }
    return best;
}

static int run_codec(struct bench *bench, const struct loaded *file, struct bench_result *ret,
                     struct progress *progress, struct err *err)
{
    ret->raw = file->bytes.len;
    ret->one = ret->all = measure(bench, ret->raw, false);
    int r = progress_check(progress, err);
    if (r == 0 && ret->threads > 1)
        ret->all = measure(bench, ret->raw, true);
    for (size_t i = 0; i < bench->count && r == 0; i++) {
        const struct piece *p = &bench->pieces[i];
        ret->stored += (p->len ? p->len : p->chunk.n) + OBJECT_CHUNK_COST;
        r = p->result;
    }
    if (ret->codec == CODEC_RAW)
        ret->stored = ret->raw;
    if (r == 0 && memcmp(bench->decoded, file->bytes.data, file->bytes.len) != 0)
        r = err_set(err, ERR_DAMAGED, "%s does not give the bytes back", codec_name(ret->codec));
    return r;
}

static void bench_release(struct bench *bench, unsigned threads)
{
    for (unsigned i = 0; i < threads; i++)
        codec_work_free(bench->works[i]);
    for (size_t i = 0; i < bench->span_count; i++)
        free(bench->spans[i].converted);
    free(bench->works);
    free(bench->spans);
    free(bench->pieces);
    free(bench->decoded);
}

int ops_bench(struct ops *ops, const char *file, const char *base, int codec,
              struct progress *progress, struct bench_report *ret, struct err *err)
{
    struct loaded loaded = {0}, other = {0};
    struct bench bench = {.pool = ops_pool(ops)};
    unsigned threads = pool_threads(bench.pool);
    *ret = (struct bench_report){.simd = simd_name(simd_level())};
    bench.works = mem_zalloc(threads * sizeof *bench.works);
    for (unsigned i = 0; i < threads; i++)
        bench.works[i] = codec_work_new();
    int r = load(file, &loaded, err);
    if (r == 0 && base)
        r = load(base, &other, err);
    if (r == 0) {
        bench.decoded = mem_alloc(loaded.bytes.len);
        bench.start = (const uint8_t *)loaded.bytes.data;
        find_spans(&bench, &loaded, &other);
        measure_bounds(&bench, &ret->bound);
    }
    for (int c = 0; c < CODEC_COUNT && r == 0; c++) {
        if ((codec >= 0 && c != codec) || c == CODEC_PLANES_1 ||
            (codec_needs_base((enum codec)c) && !base))
            continue;
        struct bench_result *result = &ret->results[ret->count++];
        *result = (struct bench_result){.codec = (enum codec)c, .threads = threads};
        cut(&bench, (enum codec)c);
        r = run_codec(&bench, &loaded, result, progress, err);
        for (size_t i = 0; i < bench.count; i++)
            free(bench.pieces[i].out);
        bench.count = 0;
    }
    bench_release(&bench, threads);
    loaded_release(&loaded);
    loaded_release(&other);
    return r;
}
