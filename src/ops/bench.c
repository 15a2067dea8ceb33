/* SPDX-License-Identifier: MIT */
/* Bench: what each codec makes of a file, and how fast, in memory. */
#include "ops/bench.h"

#include "base/file.h"
#include "formats/formats.h"
#include "jobs/pool.h"
#include "store/object.h"

#include <fcntl.h>
#include <string.h>

enum { PASSES = 3, CHUNK_COST = 32 };

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

struct bench {
    struct pool *pool;
    struct codec_work **works;
    struct piece *pieces;
    size_t count, cap;
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

static const uint8_t *match(const struct loaded *base, const struct tensor *want)
{
    for (size_t i = 0; i < base->layout.count; i++) {
        const struct tensor *t = &base->layout.tensors[i];
        if (t->dtype == want->dtype && t->bytes == want->bytes && t->name_len == want->name_len &&
            t->dims == want->dims && memcmp(t->name, want->name, t->name_len) == 0 &&
            (!t->dims || memcmp(t->shape, want->shape, t->dims * sizeof *t->shape) == 0))
            return (const uint8_t *)base->bytes.data + t->offset;
    }
    return NULL;
}

/* Cuts a run of bytes into pieces. bitx in the paper's way: a tensor in one piece. */
static void add_pieces(struct bench *bench, enum codec codec, const struct codec_chunk *whole)
{
    size_t each = object_chunk_bytes(whole->dtype);
    if (codec == CODEC_BITX && whole->n <= (size_t)1 << 31)
        each = whole->n;
    for (size_t at = 0; at < whole->n; at += each) {
        struct piece *piece = ARRAY_ADD(bench->pieces, bench->count, bench->cap);
        piece->codec = codec;
        piece->chunk = *whole;
        piece->chunk.raw += at;
        piece->chunk.base += whole->base ? at : 0;
        piece->chunk.n = MIN(each, whole->n - at);
        piece->out = mem_alloc(codec_bound(piece->chunk.n));
    }
}

static void cut(struct bench *bench, enum codec codec, const struct loaded *file,
                const struct loaded *base)
{
    size_t count;
    AUTO_FREE struct range *ranges = layout_ranges(&file->layout, &count);
    for (size_t i = 0; i < count; i++) {
        const struct tensor *t = ranges[i].tensor;
        struct codec_chunk chunk = {t ? t->dtype : DTYPE_BYTES,
                                    (const uint8_t *)file->bytes.data + ranges[i].offset, NULL,
                                    ranges[i].bytes};
        enum codec used = codec;
        if (codec_needs_base(codec)) {
            chunk.base = t && dtype_is_float(t->dtype) ? match(base, t) : NULL;
            used = chunk.base ? codec : CODEC_PLANES;
        }
        if (!t && codec != CODEC_RAW)
            used = CODEC_ZSTD;
        add_pieces(bench, used, &chunk);
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
    p->result =
        codec_decode(bench->works[worker], p->len ? p->codec : CODEC_RAW, p->chunk.dtype, p->out,
                     p->len ? p->len : p->chunk.n, p->chunk.base, to, p->chunk.n, NULL);
}

/* One pass over all pieces; the seconds that it took. */
static double pass(struct bench *bench, bool decode)
{
    AUTO_FREE struct turn *turns = mem_zalloc((bench->count + 1) * sizeof *turns);
    double start = ops_now();
    for (size_t i = 0; i < bench->count; i++) {
        turns[i] = (struct turn){.bench = bench, .index = i, .decode = decode};
        turns[i].task = (struct task){.run = run_piece, .context = &turns[i]};
        pool_submit(bench->pool, &turns[i].task);
    }
    for (size_t i = 0; i < bench->count; i++)
        pool_wait(bench->pool, &turns[i].task);
    return ops_now() - start;
}

static int run_codec(struct bench *bench, const struct loaded *file, struct bench_result *ret,
                     struct progress *progress, struct err *err)
{
    double encode = 1e9, decode = 1e9;
    int r = 0;
    for (int i = 0; i < PASSES && r == 0; i++) {
        double e = pass(bench, false), d = pass(bench, true);
        encode = MIN(encode, e);
        decode = MIN(decode, d);
        r = progress_check(progress, err);
    }
    ret->raw = file->bytes.len;
    ret->stored = 0;
    for (size_t i = 0; i < bench->count && r == 0; i++) {
        const struct piece *p = &bench->pieces[i];
        ret->stored += (p->len ? p->len : p->chunk.n) + CHUNK_COST;
        r = p->result;
    }
    if (ret->codec == CODEC_RAW)
        ret->stored = ret->raw;
    if (r == 0 && memcmp(bench->decoded, file->bytes.data, file->bytes.len) != 0)
        r = err_set(err, ERR_DAMAGED, "%s does not give the bytes back", codec_name(ret->codec));
    ret->encode_gbps = (double)ret->raw / encode / 1e9;
    ret->decode_gbps = (double)ret->raw / decode / 1e9;
    return r;
}

int ops_bench(struct ops *ops, const char *file, const char *base, int codec,
              struct progress *progress, struct bench_report *ret, struct err *err)
{
    struct loaded loaded = {0}, other = {0};
    struct bench bench = {.pool = ops_pool(ops)};
    unsigned threads = pool_threads(bench.pool);
    *ret = (struct bench_report){0};
    bench.works = mem_zalloc(threads * sizeof *bench.works);
    for (unsigned i = 0; i < threads; i++)
        bench.works[i] = codec_work_new();
    int r = load(file, &loaded, err);
    if (r == 0 && base)
        r = load(base, &other, err);
    bench.decoded = mem_alloc(loaded.bytes.len);
    bench.start = (const uint8_t *)loaded.bytes.data;
    for (int c = 0; c < CODEC_COUNT && r == 0; c++) {
        if ((codec >= 0 && c != codec) || (codec_needs_base((enum codec)c) && !base))
            continue;
        struct bench_result *result = &ret->results[ret->count++];
        *result = (struct bench_result){.codec = (enum codec)c, .threads = threads};
        cut(&bench, (enum codec)c, &loaded, &other);
        r = run_codec(&bench, &loaded, result, progress, err);
        for (size_t i = 0; i < bench.count; i++)
            free(bench.pieces[i].out);
        bench.count = 0;
    }
    for (unsigned i = 0; i < threads; i++)
        codec_work_free(bench.works[i]);
    free(bench.works);
    free(bench.pieces);
    free(bench.decoded);
    loaded_release(&loaded);
    loaded_release(&other);
    return r;
}
