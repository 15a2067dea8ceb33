/* SPDX-License-Identifier: MIT */
/*
 * bitx (ZipLLM, NSDI '26): XOR with the base, split into planes (bits/planes.h), each plane one
 * zstd frame of level 3, preceded by its length (4 bytes, little-endian).
 */
#include "codec/private.h"

#include "bits/floats.h"
#include "bits/planes.h"

enum { LENGTH = 4 };

size_t bitx_encode(struct codec_work *work, const struct codec_chunk *chunk, uint8_t *dst,
                   size_t cap)
{
    unsigned exponents, planes = planes_count(chunk->dtype, &exponents);
    size_t count = chunk->n / dtype_width(chunk->dtype), at = 0;
    uint8_t *split = codec_scratch(&work->planes, &work->planes_cap, planes * count);
    planes_split(chunk->dtype, chunk->raw, chunk->base, count, split);
    for (unsigned i = 0; i < planes; i++) {
        if (cap - at < LENGTH)
            return 0;
        size_t len =
            codec_zstd(work, split + i * count, count, dst + at + LENGTH, cap - at - LENGTH);
        if (!len)
            return 0;
        bits_store(dst + at, LENGTH, len);
        at += LENGTH + len;
    }
    return at;
}

int bitx_decode(struct codec_work *work, const uint8_t *src, size_t len,
                const struct codec_target *target, struct err *err)
{
    unsigned exponents, planes = planes_count(target->dtype, &exponents);
    size_t count = target->n / dtype_width(target->dtype), at = 0;
    uint8_t *split = codec_scratch(&work->planes, &work->planes_cap, planes * count);
    for (unsigned i = 0; i < planes; i++) {
        if (len - at < LENGTH || bits_load(src + at, LENGTH) > len - at - LENGTH)
            return codec_damaged(err, "bitx: a plane is cut off");
        size_t part = bits_load(src + at, LENGTH);
        int r = codec_unzstd(work, src + at + LENGTH, part, split + i * count, count, err);
        if (r < 0)
            return r;
        at += LENGTH + part;
    }
    if (at != len)
        return codec_damaged(err, "bitx: bytes behind the last plane");
    planes_merge(target->dtype, split, target->base, count, target->dst);
    return 0;
}
