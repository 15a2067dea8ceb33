/* SPDX-License-Identifier: MIT */
/* The pipeline. */
#include "ops/transfer.h"

#include "base/file.h"
#include "jobs/pool.h"
#include "ops/guard.h"

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
    struct sha256 leaf; /* of raw, where a tree is wanted */
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
    const struct transfer_sums *sums;
    struct hash_tree *tree; /* of sums */
    int watched;            /* a descriptor with a lease, -1 */
};

struct transfer *transfer_new(struct ops *ops, struct progress *progress)
{
    struct transfer *transfer = mem_zalloc(sizeof *transfer);
    transfer->pool = ops_pool(ops);
    transfer->watched = -1;
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

void transfer_watch(struct transfer *transfer, int fd)
{
    transfer->watched = fd;
}

static void run_lane(void *context, unsigned worker)
{
    struct lane *lane = context;
    lane->work(lane, lane->transfer->works[worker]);
    if (lane->transfer->tree && lane->result == 0)
        lane->leaf = hash_tree_leaf(lane->raw, lane->n);
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
    if (transfer->tree)
        hash_tree_add(transfer->tree, &lane->leaf);
    return transfer->collect(transfer, lane, err);
}

/* The lane whose turn it is, emptied. Lanes are used round robin, so chunks stay in order. */
static int next_lane(struct transfer *transfer, struct lane **ret, struct err *err)
{
    struct lane *lane = &transfer->lanes[transfer->next];
    transfer->next = (transfer->next + 1) % transfer->lane_count;
    int r = progress_check(transfer->progress, err);
    if (r == 0 && transfer->watched >= 0)
        r = guard_lease_check(transfer->watched, err);
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

static int collect_nothing(struct transfer *transfer, struct lane *lane, struct err *err)
{
    (void)transfer;
    (void)lane;
    (void)err;
    return 0;
}

static void no_work(struct lane *lane, struct content_work *work)
{
    (void)lane;
    (void)work;
}

/* Begins an operation: its chunks are collected so, and their sums go there. */
static void begin(struct transfer *transfer, const struct transfer_sums *sums,
                  int (*how)(struct transfer *transfer, struct lane *lane, struct err *err))
{
    transfer->collect = how;
    transfer->sums = sums;
    transfer->tree = sums ? sums->tree : NULL;
}

/* Ends it: what was begun for it does not count for the next one. */
static int end(struct transfer *transfer, int r, struct err *err)
{
    r = drain(transfer, r, err);
    transfer->tree = NULL;
    return r;
}

int transfer_hash(struct transfer *transfer, int fd, uint64_t offset, uint64_t bytes,
                  const struct transfer_sums *sums, struct err *err)
{
    int r = 0;
    begin(transfer, sums, collect_nothing);
    for (uint64_t at = 0; at < bytes && r == 0; at += CODEC_CHUNK_BYTES) {
        struct lane *lane;
        uint32_t n = (uint32_t)MIN(bytes - at, (uint64_t)CODEC_CHUNK_BYTES);
        r = next_lane(transfer, &lane, err);
        if (r == 0)
            r = file_pread(fd, lane->raw, n, offset + at, err);
        if (r < 0)
            break;
        add_sums(sums, lane->raw, n);
        lane->n = n;
        if (transfer->tree)
            submit(transfer, lane, no_work);
        else
            progress_add(transfer->progress, n);
    }
    return end(transfer, r, err);
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
    begin(transfer, sums, collect_encoded);
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
    return end(transfer, r, err);
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

static int collect_compared(struct transfer *transfer, struct lane *lane, struct err *err)
{
    (void)err;
    add_sums(transfer->sums, lane->raw, lane->n);
    return 0;
}

static void decode_lane(struct lane *lane, struct content_work *work)
{
    lane->result = content_read(lane->content, lane->at, lane->raw, lane->n, work, &lane->err);
}

static int collect_decoded(struct transfer *transfer, struct lane *lane, struct err *err)
{
    add_sums(transfer->sums, lane->raw, lane->n);
    if (lane->fd < 0)
        return 0;
    return file_pwrite(lane->fd, lane->raw, lane->n, lane->offset, err);
}

/* Sends all bytes of a part through the lanes, in chunks of the tree. */
static int run_part(struct transfer *transfer, const struct transfer_part *part,
                    void (*work)(struct lane *lane, struct content_work *work), struct err *err)
{
    int r = 0;
    for (uint64_t at = 0; at < part->bytes && r == 0; at += TREE_CHUNK) {
        struct lane *lane;
        r = next_lane(transfer, &lane, err);
        if (r < 0)
            break;
        lane->content = part->content;
        lane->at = part->at + at;
        lane->fd = part->fd;
        lane->offset = part->offset + at;
        lane->n = (uint32_t)MIN(part->bytes - at, (uint64_t)TREE_CHUNK);
        submit(transfer, lane, work);
    }
    return end(transfer, r, err);
}

int transfer_part_of(const struct content *content, const struct manifest_range *range, int fd,
                     struct transfer_part *ret, struct err *err)
{
    *ret = (struct transfer_part){content, range->at, range->bytes, fd, range->offset};
    uint64_t bytes = content_bytes(content);
    return range->at <= bytes && range->bytes <= bytes - range->at
               ? 0
               : err_set(err, ERR_DAMAGED, "an object has another length than the tensor");
}

int transfer_compare(struct transfer *transfer, const struct transfer_part *part,
                     const struct transfer_sums *sums, struct err *err)
{
    begin(transfer, sums, collect_compared);
    return run_part(transfer, part, compare_lane, err);
}

int transfer_decode(struct transfer *transfer, const struct transfer_part *part,
                    const struct transfer_sums *sums, struct err *err)
{
    begin(transfer, sums, collect_decoded);
    return run_part(transfer, part, decode_lane, err);
}

int transfer_check(struct transfer *transfer, const struct content *content, struct err *err)
{
    const struct transfer_part all = {content, 0, content_bytes(content), -1, 0};
    return transfer_decode(transfer, &all, NULL, err);
}

/* One range of a stored file. */
static int decode_range(struct transfer *transfer, struct store *store,
                        const struct manifest_range *range, int fd, struct sha256 *sha,
                        struct transfer_sums *sums, struct err *err)
{
    struct content *content;
    struct transfer_part part;
    struct hash_tree tree = {0};
    int r = content_open(store, &range->id, &content, err);
    if (r < 0)
        return r;
    sums->tree = sha ? &tree : NULL;
    r = transfer_part_of(content, range, fd, &part, err);
    if (r == 0)
        r = transfer_decode(transfer, &part, sums, err);
    struct sha256 seen = hash_tree_end(&tree, TREE_RANGE, range->bytes);
    if (sha)
        *sha = seen;
    if (r == 0 && sha && !sha256_is_zero(&range->sha) && !sha256_equal(&seen, &range->sha))
        r = err_set(err, ERR_DAMAGED, "what the store gives back has another SHA-256");
    content_free(content);
    return r;
}

int transfer_decode_file(struct transfer *transfer, struct store *store, const struct manifest *m,
                         int fd, struct sha256 *shas, struct err *err)
{
    struct hasher *whole = hasher_new(0);
    struct digest *digest = m->digest ? digest_new(digest_of_name(m->digest), m->size) : NULL;
    struct transfer_sums sums = {.whole = whole, .digest = digest};
    char hex[DIGEST_HEX];
    int r = 0;
    for (size_t i = 0; i < m->range_count && r == 0; i++)
        r = decode_range(transfer, store, &m->ranges[i], fd, shas ? &shas[i] : NULL, &sums, err);
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
