/* SPDX-License-Identifier: MIT */
/*
 * delta: ordered differences from the base (bits/ordered.h), each one symbol with raw bits
 * behind it, in classes by the exponent of the base. Where few elements differ, the places of
 * those that do, and their differences alone. Byte by byte: docs/codec-delta.md.
 */
#include "codec/numbers.h"

#include "base/mem.h"
#include "bits/floats.h"
#include "bits/ordered.h"
#include "codec/bitstream.h"

#include <string.h>

enum kind { SAME, DENSE, SPARSE, ALONE };
enum view { VIEW_OWN, VIEW_BF16, VIEW_F16 };
enum {
    KIND_MASK = 3,
    VIEW_SHIFT = 2,
    VIEW_MASK = 3,
    SHORT_BASE = 16,
    HEAD_MASK = 31,
    CENSUS_BITS = 200, /* about what the counts of the sparse form take */
};

static enum dtype viewed(enum dtype dtype, enum view view)
{
    return view == VIEW_BF16 ? DTYPE_BF16 : view == VIEW_F16 ? DTYPE_F16 : dtype;
}

/* ---- dense ---- */

static int decode_dense(struct codec_work *work, const struct pairs *p, const uint8_t *src,
                        size_t len, uint8_t *dst, struct err *err)
{
    size_t width = dtype_width(p->dtype);
    struct window window;
    uint32_t values[ANS_TILE];
    uint8_t exponents[ANS_TILE], classes[ANS_TILE];
    int r = numbers_open(work, p->n, src, len, &window, err);
    if (r < 0)
        return r;
    for (size_t at = 0; at < p->n; at += ANS_TILE) {
        size_t n = MIN(p->n - at, (size_t)ANS_TILE);
        ordered_exponents(p->dtype, p->base + at * width, n, exponents);
        classes_of(exponents, n, window, classes);
        ans_decode_values(&work->ans, classes, values, n);
        ordered_merge(p->dtype, values, p->base + at * width, n, dst + at * width);
    }
    return ans_decode_end(&work->ans) == 0 ? 0 : codec_damaged(err, "delta: the words are damaged");
}

/* ---- a chunk ---- */

/* Whether the places of the changes and their differences are clearly smaller, by the counts. */
static bool is_sparse(struct codec_work *work, double dense, size_t n, size_t same)
{
    double bits = 0;
    if (n - same > n / SPARSE_SHARE)
        return false;
    for (unsigned c = 0; c < work->ans.model.classes; c++) {
        uint32_t places[ANS_SYMBOLS] = {work->counts[c][0]}, changes[ANS_SYMBOLS];
        memcpy(changes, work->counts[c], sizeof changes);
        changes[0] = 0;
        for (unsigned s = 1; s < ANS_SYMBOLS; s++) {
            places[1] += changes[s];
            bits += (double)changes[s] * ans_symbol_width(s);
        }
        bits += (double)(ans_entropy(places) + ans_entropy(changes)) / 65536;
    }
    /* It decodes in more steps: a tie is not enough. */
    return bits + CENSUS_BITS < 0.98 * dense;
}

/* About the bits that the elements take without a base: sampled exponents, the rest as it is. */
static double alone_cost(const struct pairs *p)
{
    uint32_t counts[EXPONENTS];
    size_t sampled = numbers_sample(p, p->raw, counts);
    double each = (double)ans_entropy(counts) / 65536 / (double)sampled;
    return (double)p->n * (each + float_fields(p->dtype).mantissa + 1);
}

/* Elements with a base each. *ret_kind: how they are stored. 0: nothing is, or may not fit. */
static size_t encode_pairs(struct codec_work *work, const struct pairs *p, uint8_t *dst, size_t cap,
                           enum kind *ret_kind)
{
    size_t same = 0;
    struct window window = numbers_fit(work, p);
    double cost = numbers_cost(work, p->n);
    for (unsigned c = 0; c < window.classes; c++)
        same += work->counts[c][0];
    *ret_kind = same == p->n                        ? SAME
                : is_sparse(work, cost, p->n, same) ? SPARSE
                : cost > alone_cost(p)              ? ALONE
                                                    : DENSE;
    switch (*ret_kind) {
    case SPARSE:
        return sparse_encode(work, p, p->n - same, dst, cap);
    case DENSE:
        return numbers_put(work, p, window, dst, cap);
    default:
        return 0;
    }
}

/* The narrowest type that holds all of these elements exactly. */
static enum view view_of(enum dtype dtype, const uint8_t *raw, size_t n)
{
    if (dtype != DTYPE_BF16 && float_fits(dtype, DTYPE_BF16, raw, n))
        return VIEW_BF16;
    return dtype == DTYPE_F32 && float_fits(dtype, DTYPE_F16, raw, n) ? VIEW_F16 : VIEW_OWN;
}

/* The pairs as the view has them, in memory of work. */
static struct pairs look(struct codec_work *work, enum view view, const struct pairs *p)
{
    if (view == VIEW_OWN)
        return *p;
    enum dtype dtype = viewed(p->dtype, view);
    uint8_t *memory = codec_scratch(&work->planes, &work->planes_cap, 4 * p->n);
    float_convert(p->dtype, dtype, p->base, p->n, memory);
    if (p->raw)
        float_convert(p->dtype, dtype, p->raw, p->n, memory + 2 * p->n);
    return (struct pairs){.dtype = dtype, .raw = memory + 2 * p->n, .base = memory, .n = p->n};
}

/* The planes of bytes [at, at + n) of the chunk, behind what dst holds already. 0: no room. */
static size_t put_planes(struct codec_work *work, const struct codec_chunk *chunk, size_t at,
                         size_t n, uint8_t *dst, size_t cap)
{
    const struct codec_chunk part = {.dtype = chunk->dtype, .raw = chunk->raw + at, .n = n};
    return planes_encode(work, &part, dst, cap);
}

size_t delta_encode(struct codec_work *work, const struct codec_chunk *chunk, uint8_t *dst,
                    size_t cap)
{
    size_t width = dtype_width(chunk->dtype);
    struct pairs own = {
        .dtype = chunk->dtype, .raw = chunk->raw, .base = chunk->base, .n = chunk->base_n / width};
    bool cut = chunk->base_n < chunk->n;
    enum view view = view_of(chunk->dtype, own.raw, own.n);
    struct pairs seen = look(work, view, &own);
    enum kind kind;
    /* Behind the first byte, and the length of the first part where another one follows. */
    size_t at = 1, room = cut ? VARINT_MOST : 0;
    size_t len = encode_pairs(work, &seen, dst + at + room, cap - at - room, &kind);
    if (kind == ALONE) {
        view = VIEW_OWN;
        len = put_planes(work, chunk, 0, chunk->base_n, dst + at + room, cap - at - room);
    }
    if (!len && kind != SAME)
        return 0;
    dst[0] = (uint8_t)(kind | view << VIEW_SHIFT | (cut ? SHORT_BASE : 0));
    if (!cut)
        return at + len;
    at += varint_put(dst + at, (uint32_t)len);
    memmove(dst + at, dst + 1 + room, len);
    at += len;
    size_t more =
        put_planes(work, chunk, chunk->base_n, chunk->n - chunk->base_n, dst + at, cap - at);
    return more ? at + more : 0;
}

/* The part that has a base. */
static int decode_part(struct codec_work *work, unsigned head, const uint8_t *src, size_t len,
                       const struct codec_target *target, struct err *err)
{
    enum kind kind = (enum kind)(head & KIND_MASK);
    enum view view = (enum view)(head >> VIEW_SHIFT & VIEW_MASK);
    struct pairs own = {.dtype = target->dtype,
                        .base = target->base,
                        .n = target->base_n / dtype_width(target->dtype)};
    if (view > VIEW_F16 || (view != VIEW_OWN && viewed(target->dtype, view) == target->dtype))
        return codec_damaged(err, "delta: an unknown view");
    if (kind == ALONE) {
        const struct codec_target part = {
            .dtype = target->dtype, .dst = target->dst, .n = target->base_n};
        return planes_decode(work, src, len, &part, err);
    }
    if (kind == SAME && len)
        return codec_damaged(err, "delta: bytes where there is no difference");
    struct pairs seen = look(work, view, &own);
    uint8_t *to = view == VIEW_OWN ? target->dst : work->planes + 2 * own.n;
    int r = 0;
    if (kind == SAME)
        memcpy(to, seen.base, seen.n * dtype_width(seen.dtype));
    else
        r = kind == DENSE ? decode_dense(work, &seen, src, len, to, err)
                          : sparse_decode(work, &seen, src, len, to, err);
    if (r == 0 && view != VIEW_OWN)
        float_convert(seen.dtype, target->dtype, to, own.n, target->dst);
    return r;
}

int delta_decode(struct codec_work *work, const uint8_t *src, size_t len,
                 const struct codec_target *target, struct err *err)
{
    bool cut = target->base_n < target->n;
    uint32_t part = (uint32_t)(len - 1);
    size_t at = 1;
    if (!len || src[0] > HEAD_MASK || cut != !!(src[0] & SHORT_BASE))
        return codec_damaged(err, "delta: it begins with an unknown byte, or its base is another");
    if (cut) {
        size_t head = varint_get(src + 1, len - 1, &part);
        at += head;
        if (!head || part > len - at)
            return codec_damaged(err, "delta: its first part is cut off");
    }
    int r = decode_part(work, src[0], src + at, part, target, err);
    if (r < 0 || !cut)
        return r;
    const struct codec_target rest = {.dtype = target->dtype,
                                      .dst = target->dst + target->base_n,
                                      .n = target->n - target->base_n};
    return planes_decode(work, src + at + part, len - at - part, &rest, err);
}
