/* SPDX-License-Identifier: MIT */
/* The pipeline. */
#include "ops/transfer.h"

#include "base/file.h"
#include "jobs/pool.h"

#include <string.h>

enum { LANES_MOST = 18, WORKERS_MOST = 64 };

/* One chunk in flight. Between submit and collect it belongs to a worker. */
struct lane {
    struct task task;
    struct transfer *transfer;
    void (*work)(struct lane *lane, struct content_work *work);
    bool flying;
    int result;
    struct err err;
    const struct content *content; /* what is decoded, or the base */
    uint64_t at;                   /* in the content */
    int fd;                        /* compared with */
    uint64_t offset;               /* in fd, or in the target */
    enum dtype dtype, base_dtype;
    enum codec codec;
    uint32_t n, stored;
    uint64_t sum;
    uint8_t *raw, *other, *out;
};

struct transfer {
    struct pool *pool;
    struct progress *progress;
    unsigned lane_count;
    struct lane lanes[LANES_MOST];
    struct content_work *works[WORKERS_MOST], *own;
    unsigned next;
    /* Where collected chunks go. */
    int (*collect)(struct transfer *transfer, struct lane *lane, struct err *err);
    struct object_writer *writer;
    int target;
    const struct transfer_sums *sums;
};

struct transfer *transfer_new(struct ops *ops, struct progress *progress)
{
    struct transfer *transfer = mem_zalloc(sizeof *transfer);
    transfer->pool = ops_pool(ops);
    transfer->progress = progress;
    transfer->lane_count = MIN(pool_threads(transfer->pool) + 2, (unsigned)LANES_MOST);
    for (unsigned i = 0; i < MIN(pool_threads(transfer->pool), (unsigned)WORKERS_MOST); i++)
        transfer->works[i] = content_work_new();
    transfer->own = content_work_new();
    for (unsigned i = 0; i < transfer->lane_count; i++) {
        struct lane *lane = &transfer->lanes[i];
        lane->transfer = transfer;
        lane->raw = mem_alloc(CODEC_CHUNK_BYTES);
        lane->other = mem_alloc(CODEC_CHUNK_BYTES);
        lane->out = mem_alloc(codec_bound(CODEC_CHUNK_BYTES));
    }
    return transfer;
}

void transfer_free(struct transfer *transfer)
{
    if (!transfer)
        return;
    for (unsigned i = 0; i < transfer->lane_count; i++) {
        free(transfer->lanes[i].raw);
        free(transfer->lanes[i].other);
        free(transfer->lanes[i].out);
    }
    for (unsigned i = 0; i < WORKERS_MOST; i++)
        content_work_free(transfer->works[i]);
    content_work_free(transfer->own);
    free(transfer);
}

struct content_work *transfer_work(struct transfer *transfer)
{
    return transfer->own;
}

static void add_sums(const struct transfer_sums *sums, const void *data, size_t n)
{
    if (!sums)
        return;
    if (sums->range)
        hasher_update(sums->range, data, n);
    if (sums->whole)
        hasher_update(sums->whole, data, n);
    if (sums->digest)
        digest_update(sums->digest, data, n);
}

static void run_lane(void *context, unsigned worker)
{
    struct lane *lane = context;
    lane->work(lane, lane->transfer->works[worker]);
}

/* Waits for a lane's chunk and hands it on. */
static int collect(struct transfer *transfer, struct lane *lane, struct err *err)
{
    if (!lane->flying)
        return 0;
    pool_wait(transfer->pool, &lane->task);
    lane->flying = false;
    if (lane->result < 0) {
        if (err)
            *err = lane->err;
        return lane->result;
    }
    progress_add(transfer->progress, lane->n);
    return transfer->collect(transfer, lane, err);
}

/* The lane whose turn it is, emptied. Lanes are used round robin, so chunks stay in order. */
static int next_lane(struct transfer *transfer, struct lane **ret, struct err *err)
{
    struct lane *lane = &transfer->lanes[transfer->next];
    transfer->next = (transfer->next + 1) % transfer->lane_count;
    int r = progress_check(transfer->progress, err);
    if (r == 0)
        r = collect(transfer, lane, err);
    if (r == 0)
        lane->result = 0;
    *ret = lane;
    return r;
}

static void submit(struct transfer *transfer, struct lane *lane,
                   void (*work)(struct lane *lane, struct content_work *work))
{
    lane->work = work;
    lane->task = (struct task){.run = run_lane, .context = lane};
    lane->flying = true;
    pool_submit(transfer->pool, &lane->task);
}

/* Collects what is in flight; after an error only waits for it. */
static int drain(struct transfer *transfer, int r, struct err *err)
{
    for (unsigned i = 0; i < transfer->lane_count; i++) {
        struct lane *lane = &transfer->lanes[(transfer->next + i) % transfer->lane_count];
        if (r == 0) {
            r = collect(transfer, lane, err);
        } else if (lane->flying) {
            pool_wait(transfer->pool, &lane->task);
            lane->flying = false;
        }
    }
    return r;
}

int transfer_hash(struct transfer *transfer, int fd, uint64_t offset, uint64_t bytes,
                  const struct transfer_sums *sums, struct err *err)
{
    uint8_t *block = transfer->lanes[0].raw;
    int r = 0;
    for (uint64_t at = 0; at < bytes && r == 0;) {
        size_t n = (size_t)MIN(bytes - at, (uint64_t)(256 * 1024));
        r = progress_check(transfer->progress, err);
        if (r == 0)
            r = file_pread(fd, block, n, offset + at, err);
        if (r == 0) {
            add_sums(sums, block, n);
            progress_add(transfer->progress, n);
        }
        at += n;
    }
    return r;
}

static void encode_lane(struct lane *lane, struct content_work *work)
{
    struct codec_chunk chunk = {lane->dtype, lane->raw, lane->other, lane->n, 0};
    if (lane->content && codec_needs_base(lane->codec)) {
        lane->result = content_read_base(lane->content, lane->base_dtype, lane->dtype, lane->at,
                                         lane->other, lane->n, &chunk.base_n, work, &lane->err);
        if (lane->result < 0)
            return;
        if (!chunk.base_n)
            lane->codec = CODEC_PLANES; /* rows that the base does not have */
    }
    size_t len = codec_encode(content_codec(work), lane->codec, &chunk, lane->out);
    if (!len)
        lane->codec = CODEC_RAW;
    lane->stored = len ? (uint32_t)len : lane->n;
    lane->sum = hash64_of(lane->raw, lane->n);
}

static int collect_encoded(struct transfer *transfer, struct lane *lane, struct err *err)
{
    const uint8_t *data = lane->codec == CODEC_RAW ? lane->raw : lane->out;
    return object_writer_add(transfer->writer, lane->codec, data, lane->stored, lane->sum, err);
}

int transfer_encode(struct transfer *transfer, const struct transfer_source *source,
                    struct object_writer *writer, const struct transfer_sums *sums, struct err *err)
{
    int r = 0;
    uint32_t each = object_chunk_bytes(OBJECT_VERSION, source->dtype);
    transfer->collect = collect_encoded;
    transfer->writer = writer;
    for (uint64_t at = 0; at < source->bytes && r == 0; at += each) {
        struct lane *lane;
        uint32_t n = (uint32_t)MIN(source->bytes - at, (uint64_t)each);
        r = next_lane(transfer, &lane, err);
        if (r == 0)
            r = file_pread(source->fd, lane->raw, n, source->offset + at, err);
        if (r < 0)
            break;
        add_sums(sums, lane->raw, n);
        lane->content = source->base;
        lane->at = at;
        lane->dtype = source->dtype;
        lane->base_dtype = source->base_dtype;
        lane->codec = source->codec;
        lane->n = n;
        submit(transfer, lane, encode_lane);
    }
    return drain(transfer, r, err);
}

static void compare_lane(struct lane *lane, struct content_work *work)
{
    lane->result = content_read(lane->content, lane->at, lane->raw, lane->n, work, &lane->err);
    if (lane->result == 0)
        lane->result = file_pread(lane->fd, lane->other, lane->n, lane->offset, &lane->err);
    if (lane->result == 0 && memcmp(lane->raw, lane->other, lane->n) != 0)
        lane->result =
            err_set(&lane->err, ERR_DAMAGED, "what the store gives back differs from the file");
}

static int collect_nothing(struct transfer *transfer, struct lane *lane, struct err *err)
{
    (void)transfer;
    (void)lane;
    (void)err;
    return 0;
}

static void decode_lane(struct lane *lane, struct content_work *work)
{
    lane->result = content_read(lane->content, lane->at, lane->raw, lane->n, work, &lane->err);
}

static int collect_decoded(struct transfer *transfer, struct lane *lane, struct err *err)
{
    add_sums(transfer->sums, lane->raw, lane->n);
    if (transfer->target < 0)
        return 0;
    return file_pwrite(transfer->target, lane->raw, lane->n, lane->offset, err);
}

/* Sends all chunks of a content through the lanes. */
static int run_content(struct transfer *transfer, const struct content *content, int fd,
                       uint64_t offset, void (*work)(struct lane *lane, struct content_work *work),
                       struct err *err)
{
    int r = 0;
    uint64_t bytes = content_bytes(content);
    uint32_t each = content_chunk_bytes(content);
    for (uint64_t at = 0; at < bytes && r == 0; at += each) {
        struct lane *lane;
        r = next_lane(transfer, &lane, err);
        if (r < 0)
            break;
        lane->content = content;
        lane->at = at;
        lane->fd = fd;
        lane->offset = offset + at;
        lane->n = (uint32_t)MIN(bytes - at, (uint64_t)each);
        submit(transfer, lane, work);
    }
    return drain(transfer, r, err);
}

int transfer_compare(struct transfer *transfer, const struct content *content, int fd,
                     uint64_t offset, struct err *err)
{
    transfer->collect = collect_nothing;
    return run_content(transfer, content, fd, offset, compare_lane, err);
}

int transfer_decode(struct transfer *transfer, const struct content *content, int fd,
                    uint64_t offset, const struct transfer_sums *sums, struct err *err)
{
    transfer->collect = collect_decoded;
    transfer->target = fd;
    transfer->sums = sums;
    return run_content(transfer, content, fd, offset, decode_lane, err);
}

int transfer_decode_file(struct transfer *transfer, struct store *store, const struct manifest *m,
                         int fd, struct err *err)
{
    struct hasher *whole = hasher_new(0);
    struct digest *digest = m->digest ? digest_new(digest_of_name(m->digest), m->size) : NULL;
    const struct transfer_sums sums = {.whole = whole, .digest = digest};
    char hex[DIGEST_HEX];
    int r = 0;
    for (size_t i = 0; i < m->range_count && r == 0; i++) {
        struct content *content;
        r = content_open(store, &m->ranges[i].id, &content, err);
        if (r < 0)
            break;
        r = content_bytes(content) == m->ranges[i].bytes
                ? transfer_decode(transfer, content, fd, m->ranges[i].offset, &sums, err)
                : err_set(err, ERR_DAMAGED, "an object has another length than the tensor");
        content_free(content);
    }
    struct hash128 hash = hasher_digest(whole);
    if (r == 0 && !hash128_equal(&hash, &m->hash))
        r = err_set(err, ERR_DAMAGED, "what the store gives back is not the file");
    if (r == 0 && digest) {
        digest_hex(digest, hex);
        if (strcmp(hex, m->digest) != 0)
            r = err_set(err, ERR_DAMAGED, "what the store gives back has another digest");
    }
    hasher_free(whole);
    digest_free(digest);
    return r;
}

size_t transfer_encode_small(struct transfer *transfer, const struct codec_chunk *chunk,
                             enum codec wanted, uint8_t *dst, enum codec *ret_codec)
{
    size_t len = codec_encode(content_codec(transfer->own), wanted, chunk, dst);
    *ret_codec = len ? wanted : CODEC_RAW;
    if (!len)
        memcpy(dst, chunk->raw, chunk->n);
    return len ? len : chunk->n;
}
