/* SPDX-License-Identifier: MIT */
/* The codecs by their ids, and the two that need no file of their own: raw, and a zstd frame. */
#include "codec/codec.h"

#include "base/mem.h"
#include "bits/floats.h"
#include "bits/ordered.h"
#include "codec/private.h"

#include <string.h>
#include <zstd.h>

enum { LEVEL = 3 };

struct codec_work *codec_work_new(void)
{
    struct codec_work *work = mem_zalloc(sizeof *work);
    work->compress = ZSTD_createCCtx();
    work->decompress = ZSTD_createDCtx();
    if (!work->compress || !work->decompress)
        mem_none();
    ZSTD_CCtx_setParameter(work->compress, ZSTD_c_compressionLevel, LEVEL);
    ans_init(&work->ans);
    return work;
}

void codec_work_free(struct codec_work *work)
{
    if (!work)
        return;
    ZSTD_freeCCtx(work->compress);
    ZSTD_freeDCtx(work->decompress);
    free(work->planes);
    free(work->lists);
    free(work);
}

uint8_t *codec_scratch(uint8_t **memory, size_t *cap, size_t need)
{
    if (*cap < need) {
        free(*memory);
        *memory = mem_alloc(need);
        *cap = need;
    }
    return *memory;
}

size_t codec_bound(size_t n)
{
    return ZSTD_compressBound(n) + n / 2 + ANS_MODEL_MOST + ANS_TILE * ANS_ELEMENT_MOST + 4096;
}

int codec_damaged(struct err *err, const char *what)
{
    return err_set(err, ERR_DAMAGED, "%s", what);
}

size_t codec_zstd(struct codec_work *work, const uint8_t *src, size_t n, uint8_t *dst, size_t cap)
{
    size_t len = ZSTD_compress2(work->compress, dst, cap, src, n);
    return ZSTD_isError(len) ? 0 : len;
}

int codec_unzstd(struct codec_work *work, const uint8_t *src, size_t len, uint8_t *dst, size_t n,
                 struct err *err)
{
    size_t got = ZSTD_decompressDCtx(work->decompress, dst, n, src, len);
    return got == n ? 0 : codec_damaged(err, "zstd: the frame is damaged");
}

static size_t zstd_encode(struct codec_work *work, const struct codec_chunk *chunk, uint8_t *dst,
                          size_t cap)
{
    return codec_zstd(work, chunk->raw, chunk->n, dst, cap);
}

static int zstd_decode(struct codec_work *work, const uint8_t *src, size_t len,
                       const struct codec_target *target, struct err *err)
{
    return codec_unzstd(work, src, len, target->dst, target->n, err);
}

static int raw_decode(struct codec_work *work, const uint8_t *src, size_t len,
                      const struct codec_target *target, struct err *err)
{
    (void)work;
    if (len != target->n)
        return codec_damaged(err, "raw: another length");
    memcpy(target->dst, src, len);
    return 0;
}

static const struct {
    const char *name;
    enum { ALONE, SAME_LENGTH, ANY_LENGTH } base;
    size_t (*encode)(struct codec_work *work, const struct codec_chunk *chunk, uint8_t *dst,
                     size_t cap);
    int (*decode)(struct codec_work *work, const uint8_t *src, size_t len,
                  const struct codec_target *target, struct err *err);
} codecs[CODEC_COUNT] = {
    [CODEC_RAW] = {"raw", ALONE, NULL, raw_decode},
    [CODEC_ZSTD] = {"zstd", ALONE, zstd_encode, zstd_decode},
    [CODEC_BITX] = {"bitx", SAME_LENGTH, bitx_encode, bitx_decode},
    [CODEC_PLANES_1] = {"planes-1", ALONE, NULL, planes1_decode},
    [CODEC_DELTA] = {"delta", ANY_LENGTH, delta_encode, delta_decode},
    [CODEC_PLANES] = {"planes", ALONE, planes_encode, planes_decode},
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
    return (unsigned)codec < CODEC_COUNT && codecs[codec].base != ALONE;
}

bool codec_handles(enum codec codec, enum dtype dtype)
{
    return codec == CODEC_RAW ||
           (codecs[codec].encode && (codec != CODEC_DELTA || ordered_handles(dtype)) &&
            (codec != CODEC_BITX || dtype_is_float(dtype)));
}

bool codec_base_suits(enum dtype base, enum dtype dtype)
{
    return base == dtype ? dtype_is_float(dtype) : ordered_handles(base) && ordered_handles(dtype);
}

void codec_convert(enum dtype from, enum dtype to, const uint8_t *src, size_t n, uint8_t *dst)
{
    float_convert(from, to, src, n, dst);
}

/* Whether the base is as long as the codec asks for, and of a type that it knows. */
static bool base_suits(enum codec codec, enum dtype dtype, const uint8_t *base, size_t base_n,
                       size_t n)
{
    switch (codecs[codec].base) {
    case ALONE:
        return true;
    case SAME_LENGTH:
        return base && base_n == n;
    default:
        return base && base_n && base_n <= n && base_n % dtype_width(dtype) == 0 &&
               ordered_handles(dtype);
    }
}

size_t codec_encode(struct codec_work *work, enum codec codec, const struct codec_chunk *chunk,
                    uint8_t *dst)
{
    if (!codecs[codec].encode || !chunk->n || chunk->n > UINT32_MAX ||
        !codec_handles(codec, chunk->dtype) ||
        !base_suits(codec, chunk->dtype, chunk->base, chunk->base_n, chunk->n))
        return 0;
    size_t len = codecs[codec].encode(work, chunk, dst, codec_bound(chunk->n));
    return len < chunk->n ? len : 0;
}

int codec_decode(struct codec_work *work, enum codec codec, enum dtype dtype, const uint8_t *src,
                 size_t len, const uint8_t *base, size_t base_n, uint8_t *dst, size_t n,
                 struct err *err)
{
    const struct codec_target target = {dtype, base, base_n, dst, n};
    if ((unsigned)codec >= CODEC_COUNT)
        return err_set(err, ERR_UNSUPPORTED, "codec %d is not known to this tare", (int)codec);
    if (codecs[codec].base != ALONE && !base)
        return codec_damaged(err, "a delta without its base");
    if (n == 0 || n % dtype_width(dtype) || n > UINT32_MAX)
        return codec_damaged(err, "a chunk of an impossible length");
    if (!base_suits(codec, dtype, base, base_n, n))
        return codec_damaged(err, "a delta whose base has another length or type");
    return codecs[codec].decode(work, src, len, &target, err);
}
