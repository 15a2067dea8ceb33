/* SPDX-License-Identifier: MIT */
/*
 * The codecs.
 *
 * zstd: one frame, level 3.
 * bitx (ZipLLM, NSDI '26): XOR with the base, split into planes (bits/planes.h), each plane one
 *   zstd frame of level 3, preceded by its length (4 bytes, little-endian).
 * planes: the planes of the elements themselves, each preceded by a mode (1 byte) and a length
 *   (4 bytes): 0 the bytes, 1 one byte that all are, 2 rANS (codec/rans.h), 3 a zstd frame.
 */
#include "codec/codec.h"

#include "base/mem.h"
#include "bits/planes.h"
#include "codec/rans.h"

#include <string.h>
#include <zstd.h>

enum { LEVEL = 3, LENGTH = 4, PLANE_HEAD = 5 };
enum plane_mode { PLANE_RAW, PLANE_CONSTANT, PLANE_RANS, PLANE_ZSTD };

struct codec_work {
    ZSTD_CCtx *compress;
    ZSTD_DCtx *decompress;
    uint8_t *planes;
    size_t planes_cap;
};

struct codec_work *codec_work_new(void)
{
    struct codec_work *work = mem_zalloc(sizeof *work);
    work->compress = ZSTD_createCCtx();
    work->decompress = ZSTD_createDCtx();
    if (!work->compress || !work->decompress)
        abort();
    ZSTD_CCtx_setParameter(work->compress, ZSTD_c_compressionLevel, LEVEL);
    return work;
}

void codec_work_free(struct codec_work *work)
{
    if (!work)
        return;
    ZSTD_freeCCtx(work->compress);
    ZSTD_freeDCtx(work->decompress);
    free(work->planes);
    free(work);
}

static uint8_t *planes_of(struct codec_work *work, size_t need)
{
    if (work->planes_cap < need) {
        work->planes = mem_realloc(work->planes, need);
        work->planes_cap = need;
    }
    return work->planes;
}

size_t codec_bound(size_t n)
{
    return ZSTD_compressBound(n) + n / 2 + 4096;
}

static void put_length(uint8_t *dst, size_t n)
{
    for (int i = 0; i < LENGTH; i++)
        dst[i] = (uint8_t)(n >> (8 * i));
}

static size_t get_length(const uint8_t *src)
{
    return (size_t)src[0] | (size_t)src[1] << 8 | (size_t)src[2] << 16 | (size_t)src[3] << 24;
}

static int damaged(struct err *err, const char *what)
{
    return err_set(err, ERR_DAMAGED, "%s", what);
}

/* A zstd frame; 0 where it does not fit into cap. */
static size_t zstd_frame(struct codec_work *work, const uint8_t *src, size_t n, uint8_t *dst,
                         size_t cap)
{
    size_t len = ZSTD_compress2(work->compress, dst, cap, src, n);
    return ZSTD_isError(len) ? 0 : len;
}

static int zstd_open(struct codec_work *work, const uint8_t *src, size_t len, uint8_t *dst,
                     size_t n, struct err *err)
{
    size_t got = ZSTD_decompressDCtx(work->decompress, dst, n, src, len);
    return got == n ? 0 : damaged(err, "zstd: the frame is damaged");
}

static size_t encode_zstd(struct codec_work *work, const struct codec_chunk *chunk, uint8_t *dst)
{
    return zstd_frame(work, chunk->raw, chunk->n, dst, codec_bound(chunk->n));
}

static int decode_zstd(struct codec_work *work, enum dtype dtype, const uint8_t *src, size_t len,
                       const uint8_t *base, uint8_t *dst, size_t n, struct err *err)
{
    (void)dtype;
    (void)base;
    return zstd_open(work, src, len, dst, n, err);
}

static size_t encode_bitx(struct codec_work *work, const struct codec_chunk *chunk, uint8_t *dst)
{
    unsigned exponents, planes = planes_count(chunk->dtype, &exponents);
    size_t count = chunk->n / dtype_width(chunk->dtype), at = 0, cap = codec_bound(chunk->n);
    uint8_t *split = planes_of(work, planes * count);
    planes_split(chunk->dtype, chunk->raw, chunk->base, count, split);
    for (unsigned i = 0; i < planes; i++) {
        if (cap - at < LENGTH)
            return 0;
        size_t len =
            zstd_frame(work, split + i * count, count, dst + at + LENGTH, cap - at - LENGTH);
        if (!len)
            return 0;
        put_length(dst + at, len);
        at += LENGTH + len;
    }
    return at;
}

static int decode_bitx(struct codec_work *work, enum dtype dtype, const uint8_t *src, size_t len,
                       const uint8_t *base, uint8_t *dst, size_t n, struct err *err)
{
    unsigned exponents, planes = planes_count(dtype, &exponents);
    size_t count = n / dtype_width(dtype), at = 0;
    uint8_t *split = planes_of(work, planes * count);
    for (unsigned i = 0; i < planes; i++) {
        if (len - at < LENGTH || get_length(src + at) > len - at - LENGTH)
            return damaged(err, "bitx: a plane is cut off");
        size_t part = get_length(src + at);
        int r = zstd_open(work, src + at + LENGTH, part, split + i * count, count, err);
        if (r < 0)
            return r;
        at += LENGTH + part;
    }
    if (at != len)
        return damaged(err, "bitx: bytes behind the last plane");
    planes_merge(dtype, split, base, count, dst);
    return 0;
}

static void count_bytes(const uint8_t *p, size_t n, uint32_t counts[256])
{
    uint32_t part[4][256] = {0};
    size_t i = 0;
    for (; i + 4 <= n; i += 4)
        for (int k = 0; k < 4; k++)
            part[k][p[i + (size_t)k]]++;
    for (; i < n; i++)
        part[0][p[i]]++;
    for (int s = 0; s < 256; s++)
        counts[s] = part[0][s] + part[1][s] + part[2][s] + part[3][s];
}

/* Floats gain by entropy coding alone; bytes of integers may repeat, which zstd finds. */
static size_t encode_plane(struct codec_work *work, bool integers, const uint8_t *plane, size_t n,
                           uint8_t *dst, size_t cap)
{
    uint32_t counts[256];
    size_t len = 0;
    uint8_t *body = dst + PLANE_HEAD;
    if (cap < PLANE_HEAD + n)
        return 0;
    count_bytes(plane, n, counts);
    if (counts[plane[0]] == n) {
        dst[0] = PLANE_CONSTANT;
        body[0] = plane[0];
        len = 1;
    } else if (rans_entropy_bits(counts, n) / 8 < (double)n * 0.99 - 800) {
        dst[0] = PLANE_RANS;
        len = rans_encode(plane, n, counts, body, n);
    }
    if (integers && dst[0] != PLANE_CONSTANT) {
        AUTO_FREE uint8_t *other = mem_alloc(ZSTD_compressBound(n));
        size_t other_len = zstd_frame(work, plane, n, other, ZSTD_compressBound(n));
        if (other_len && other_len < (len ? len : n)) {
            dst[0] = PLANE_ZSTD;
            memcpy(body, other, other_len);
            len = other_len;
        }
    }
    if (!len || len >= n) {
        dst[0] = PLANE_RAW;
        memcpy(body, plane, n);
        len = n;
    }
    put_length(dst + 1, len);
    return PLANE_HEAD + len;
}

static size_t encode_planes(struct codec_work *work, const struct codec_chunk *chunk, uint8_t *dst)
{
    unsigned exponents, planes = planes_count(chunk->dtype, &exponents);
    size_t count = chunk->n / dtype_width(chunk->dtype), at = 0, cap = codec_bound(chunk->n);
    uint8_t *split = planes_of(work, planes * count);
    planes_split(chunk->dtype, chunk->raw, NULL, count, split);
    for (unsigned i = 0; i < planes; i++) {
        dst[at] = PLANE_RAW;
        size_t len = encode_plane(work, !exponents, split + i * count, count, dst + at, cap - at);
        if (!len)
            return 0;
        at += len;
    }
    return at;
}

static int decode_plane(struct codec_work *work, enum plane_mode mode, const uint8_t *src,
                        size_t len, uint8_t *dst, size_t n, struct err *err)
{
    switch (mode) {
    case PLANE_RAW:
        if (len != n)
            return damaged(err, "planes: a raw plane has another length");
        memcpy(dst, src, n);
        return 0;
    case PLANE_CONSTANT:
        if (len != 1)
            return damaged(err, "planes: a constant has another length");
        memset(dst, src[0], n);
        return 0;
    case PLANE_RANS:
        return rans_decode(src, len, dst, n) == 0
                   ? 0
                   : damaged(err, "planes: a coded plane is damaged");
    case PLANE_ZSTD:
        return zstd_open(work, src, len, dst, n, err);
    }
    return damaged(err, "planes: an unknown mode");
}

static int decode_planes(struct codec_work *work, enum dtype dtype, const uint8_t *src, size_t len,
                         const uint8_t *base, uint8_t *dst, size_t n, struct err *err)
{
    unsigned exponents, planes = planes_count(dtype, &exponents);
    size_t count = n / dtype_width(dtype), at = 0;
    uint8_t *split = planes_of(work, planes * count);
    (void)base;
    for (unsigned i = 0; i < planes; i++) {
        if (len - at < PLANE_HEAD || get_length(src + at + 1) > len - at - PLANE_HEAD)
            return damaged(err, "planes: a plane is cut off");
        size_t part = get_length(src + at + 1);
        int r = decode_plane(work, (enum plane_mode)src[at], src + at + PLANE_HEAD, part,
                             split + i * count, count, err);
        if (r < 0)
            return r;
        at += PLANE_HEAD + part;
    }
    if (at != len)
        return damaged(err, "planes: bytes behind the last plane");
    planes_merge(dtype, split, NULL, count, dst);
    return 0;
}

static int decode_raw(struct codec_work *work, enum dtype dtype, const uint8_t *src, size_t len,
                      const uint8_t *base, uint8_t *dst, size_t n, struct err *err)
{
    (void)work;
    (void)dtype;
    (void)base;
    if (len != n)
        return damaged(err, "raw: another length");
    memcpy(dst, src, n);
    return 0;
}

static const struct {
    const char *name;
    bool needs_base;
    size_t (*encode)(struct codec_work *work, const struct codec_chunk *chunk, uint8_t *dst);
    int (*decode)(struct codec_work *work, enum dtype dtype, const uint8_t *src, size_t len,
                  const uint8_t *base, uint8_t *dst, size_t n, struct err *err);
} codecs[CODEC_COUNT] = {
    [CODEC_RAW] = {"raw", false, NULL, decode_raw},
    [CODEC_ZSTD] = {"zstd", false, encode_zstd, decode_zstd},
    [CODEC_BITX] = {"bitx", true, encode_bitx, decode_bitx},
    [CODEC_PLANES] = {"planes", false, encode_planes, decode_planes},
};

const char *codec_name(enum codec codec)
{
    return (unsigned)codec < CODEC_COUNT ? codecs[codec].name : "?";
}

bool codec_parse(const char *name, enum codec *ret)
{
    for (int i = 0; i < CODEC_COUNT; i++) {
        if (strcmp(codecs[i].name, name) == 0) {
            *ret = (enum codec)i;
            return true;
        }
    }
    return false;
}

bool codec_needs_base(enum codec codec)
{
    return (unsigned)codec < CODEC_COUNT && codecs[codec].needs_base;
}

bool codec_handles(enum codec codec, enum dtype dtype)
{
    return !codecs[codec].needs_base || dtype_is_float(dtype);
}

size_t codec_encode(struct codec_work *work, enum codec codec, const struct codec_chunk *chunk,
                    uint8_t *dst)
{
    if (!codecs[codec].encode || !chunk->n || (codecs[codec].needs_base && !chunk->base))
        return 0;
    size_t len = codecs[codec].encode(work, chunk, dst);
    return len < chunk->n ? len : 0;
}

int codec_decode(struct codec_work *work, enum codec codec, enum dtype dtype, const uint8_t *src,
                 size_t len, const uint8_t *base, uint8_t *dst, size_t n, struct err *err)
{
    if ((unsigned)codec >= CODEC_COUNT)
        return err_set(err, ERR_UNSUPPORTED, "codec %d is not known to this tare", (int)codec);
    if (codecs[codec].needs_base && !base)
        return err_set(err, ERR_DAMAGED, "a delta without its base");
    if (n == 0 || n % dtype_width(dtype) || n > UINT32_MAX)
        return damaged(err, "a chunk of an impossible length");
    return codecs[codec].decode(work, dtype, src, len, base, dst, n, err);
}
