/* SPDX-License-Identifier: MIT */
/*
 * planes: the planes of the elements themselves (bits/planes.h), each as small as it gets: one
 * value, coded symbols, a zstd frame, or its bytes. Byte by byte: docs/codec-planes.md.
 */
#include "codec/private.h"

#include "base/mem.h"
#include "bits/planes.h"
#include "codec/bitstream.h"

#include <string.h>

enum plane_mode { PLANE_RAW, PLANE_CONSTANT, PLANE_CODED, PLANE_ZSTD };
enum { HEAD = 1 + VARINT_MOST, SAMPLE_RUN = 2048, SAMPLE_STEP = 32768, SAMPLED_FROM = 65536 };

/* Counts the bytes of runs that begin every step bytes. */
static void count_runs(const uint8_t *p, size_t n, size_t step, uint32_t counts[ANS_SYMBOLS])
{
    memset(counts, 0, ANS_SYMBOLS * sizeof *counts);
    for (size_t at = 0; at < n; at += step)
        ans_count(p + at, MIN(n - at, (size_t)SAMPLE_RUN), counts);
}

/* Whether coding n bytes that are spread like these is worth the time: a hundredth. */
static bool gains(const uint32_t counts[ANS_SYMBOLS], size_t n)
{
    uint64_t sampled = 0;
    for (int s = 0; s < ANS_SYMBOLS; s++)
        sampled += counts[s];
    double bytes = (double)ans_entropy(counts) / 65536 / 8 / (double)sampled * (double)n;
    return bytes + 32 < (double)n * 0.99;
}

static bool is_constant(const uint8_t *p, size_t n)
{
    return p[0] == p[n - 1] && memcmp(p, p + 1, n - 1) == 0;
}

/* Symbols as a model, states and words; 0 where they do not become fewer. */
static size_t code(struct codec_work *work, const uint8_t *plane, size_t n, uint8_t *dst,
                   size_t cap)
{
    struct ans *ans = &work->ans;
    uint32_t *counts = work->counts[0];
    count_runs(plane, n, n > SAMPLED_FROM ? SAMPLE_STEP : SAMPLE_RUN, counts);
    if (!gains(counts, n))
        return 0;
    if (n > SAMPLED_FROM)
        count_runs(plane, n, SAMPLE_RUN, counts);
    ans_model_fit(&ans->model, 1, work->counts);
    size_t head = ans_model_write(&ans->model, dst);
    ans_encode_begin(ans, n, dst + head, cap - head);
    for (size_t end = n; end > 0;) {
        size_t part = end % ANS_TILE ? end % ANS_TILE : ANS_TILE;
        end -= part;
        if (!ans_encode(ans, plane + end, NULL, NULL, part))
            return 0;
    }
    const uint8_t *words = ans_encode_end(ans);
    size_t len = (size_t)(dst + cap - words);
    memmove(dst + head, words, len);
    return head + len < n ? head + len : 0;
}

/* Floats gain by entropy coding alone; bytes of integers may repeat, which zstd finds. */
static size_t encode_plane(struct codec_work *work, bool integers, const uint8_t *plane, size_t n,
                           uint8_t *dst, size_t cap)
{
    uint8_t *body = dst + HEAD;
    if (cap < HEAD + n + ANS_MODEL_MOST + ANS_TILE * ANS_ELEMENT_MOST)
        return 0;
    if (is_constant(plane, n)) {
        dst[0] = PLANE_CONSTANT;
        dst[1] = plane[0];
        return 2;
    }
    enum plane_mode mode = PLANE_CODED;
    size_t len = code(work, plane, n, body, cap - HEAD);
    if (integers) {
        uint8_t *other = codec_scratch(&work->lists, &work->lists_cap, n);
        size_t other_len = codec_zstd(work, plane, n, other, n - 1);
        if (other_len && (!len || other_len < len)) {
            mode = PLANE_ZSTD;
            memcpy(body, other, other_len);
            len = other_len;
        }
    }
    if (!len) {
        dst[0] = PLANE_RAW;
        memcpy(dst + 1, plane, n);
        return 1 + n;
    }
    dst[0] = (uint8_t)mode;
    size_t head = 1 + varint_put(dst + 1, (uint32_t)len);
    memmove(dst + head, body, len);
    return head + len;
}

size_t planes_encode(struct codec_work *work, const struct codec_chunk *chunk, uint8_t *dst,
                     size_t cap)
{
    unsigned exponents, planes = planes_count(chunk->dtype, &exponents);
    size_t count = chunk->n / dtype_width(chunk->dtype), at = 0;
    uint8_t *split = codec_scratch(&work->planes, &work->planes_cap, planes * count);
    planes_split(chunk->dtype, chunk->raw, NULL, count, split);
    for (unsigned i = 0; i < planes; i++) {
        size_t len = encode_plane(work, !exponents, split + i * count, count, dst + at, cap - at);
        if (!len)
            return 0;
        at += len;
    }
    return at;
}

static int decode_coded(struct codec_work *work, const uint8_t *src, size_t len, uint8_t *dst,
                        size_t n, struct err *err)
{
    struct ans *ans = &work->ans;
    ans->model.classes = 1;
    size_t head = ans_model_read(&ans->model, ANS_SYMBOLS, src, len);
    if (!head || ans_decode_begin(ans, n, src + head, len - head) < 0)
        return codec_damaged(err, "planes: a table is damaged");
    ans_decode_symbols(ans, dst, n);
    return ans_decode_end(ans) == 0 ? 0 : codec_damaged(err, "planes: a coded plane is damaged");
}

/* One plane from the front of src; ret: the bytes that it took. */
static int decode_plane(struct codec_work *work, const uint8_t *src, size_t len, uint8_t *dst,
                        size_t n, size_t *ret, struct err *err)
{
    uint32_t part;
    if (len > n && src[0] == PLANE_RAW) {
        memcpy(dst, src + 1, n);
        *ret = 1 + n;
        return 0;
    }
    if (len > 1 && src[0] == PLANE_CONSTANT) {
        memset(dst, src[1], n);
        *ret = 2;
        return 0;
    }
    size_t head = len > 1 ? varint_get(src + 1, len - 1, &part) : 0;
    if (!head || part > len - 1 - head)
        return codec_damaged(err, "planes: a plane is cut off");
    *ret = 1 + head + part;
    if (src[0] == PLANE_CODED)
        return decode_coded(work, src + 1 + head, part, dst, n, err);
    return src[0] == PLANE_ZSTD ? codec_unzstd(work, src + 1 + head, part, dst, n, err)
                                : codec_damaged(err, "planes: an unknown mode");
}

int planes_decode(struct codec_work *work, const uint8_t *src, size_t len,
                  const struct codec_target *target, struct err *err)
{
    unsigned exponents, planes = planes_count(target->dtype, &exponents);
    size_t count = target->n / dtype_width(target->dtype), at = 0, part = 0;
    uint8_t *split = codec_scratch(&work->planes, &work->planes_cap, planes * count);
    for (unsigned i = 0; i < planes; i++, at += part) {
        int r = decode_plane(work, src + at, len - at, split + i * count, count, &part, err);
        if (r < 0)
            return r;
    }
    if (at != len)
        return codec_damaged(err, "planes: bytes behind the last plane");
    planes_merge(target->dtype, split, NULL, count, target->dst);
    return 0;
}
