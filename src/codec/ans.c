/* SPDX-License-Identifier: MIT */
/*
 * The scalar path, which defines the bytes: element i belongs to lane i mod lanes. A block, one
 * element of each lane, is decoded in rounds over its lanes: first each symbol with up to 4 raw
 * bits, then up to 16 more, then what is left. In each round a lane whose state has fallen below
 * 2^16 takes a word. The encoder does all of that backwards.
 */
#include "codec/ans.h"

#include "base/mem.h"

#include <endian.h>
#include <string.h>

void ans_init(struct ans *ans)
{
    for (unsigned mask = 0; mask < 256; mask++) {
        unsigned rank = 0, next = 8u - (unsigned)__builtin_popcount(mask);
        memset(ans->shuffles.compress[mask], 0, 16);
        for (unsigned lane = 0; lane < 8; lane++) {
            ans->shuffles.expand[mask][lane] = (uint8_t)rank;
            if (!(mask >> lane & 1))
                continue;
            rank++;
            ans->shuffles.compress[mask][2 * next] = (uint8_t)(2 * lane);
            ans->shuffles.compress[mask][2 * next + 1] = (uint8_t)(2 * lane + 1);
            next++;
        }
    }
}

/* Few states for few elements: each costs two bytes that hold nothing. */
unsigned ans_lanes(size_t n)
{
    return n >= 32768 ? ANS_LANES : n >= 4096 ? 8 : 1;
}

SIMD_BODY void symbols_of(const uint32_t *values, size_t n, uint8_t *restrict symbols)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t v = values[i], small = -(uint32_t)(v < 8), u;
        /* Without the cleared bits it could be rounded up; without the shift, be negative. */
        float f = (float)(int32_t)((v & ~(v >> 4)) >> 1);
        memcpy(&u, &f, sizeof u);
        symbols[i] = (uint8_t)((v & small) | (((u >> 21) - 508) & ~small));
    }
}

#ifdef SIMD_X86
SIMD_TARGET_AVX2 static void symbols_avx2(const uint32_t *values, size_t n, uint8_t *symbols)
{
    symbols_of(values, n, symbols);
}
#endif

void ans_symbols(const uint32_t *values, size_t n, uint8_t *symbols)
{
#ifdef SIMD_X86
    if (simd_level() >= SIMD_AVX2) {
        symbols_avx2(values, n, symbols);
        return;
    }
#endif
    symbols_of(values, n, symbols);
}

/* ---- encoding ---- */

void ans_encode_begin(struct ans *ans, size_t n, uint8_t *dst, size_t cap)
{
    struct ans_encoder *e = &ans->encoder;
    const struct ans_model *model = &ans->model;
    e->lanes = ans_lanes(n);
    e->raw = ans_model_raw(model);
    e->shuffles = &ans->shuffles;
    e->floor = dst;
    e->at = dst + cap;
    for (unsigned c = 0; c < model->classes; c++) {
        uint32_t start = 0;
        for (unsigned s = 0; s < ANS_SYMBOLS; s++) {
            uint32_t f = model->freq[c][s];
            if (!f)
                continue;
            /* Rounded down: a quotient by it is right, or one too small. */
            uint64_t reciprocal = f > 1 ? ((uint64_t)1 << 32) / f : UINT32_MAX;
            e->table[c * ANS_SYMBOLS + s] = reciprocal << 32 | start << 13 | f;
            start += f;
        }
    }
    for (unsigned i = 0; i < e->lanes; i++)
        e->state[i] = ANS_LOW;
}

static void put_word(struct ans_encoder *e, uint32_t x)
{
    e->at -= 2;
    e->at[0] = (uint8_t)x;
    e->at[1] = (uint8_t)(x >> 8);
}

/* Raw bits that come before a round, and those that belong to it. */
static unsigned skipped(unsigned round)
{
    return round ? ANS_RAW_FIRST + (round - 1) * ANS_RAW_ROUND : 0;
}

static unsigned part_of(unsigned width, unsigned round)
{
    unsigned skip = skipped(round), most = round ? ANS_RAW_ROUND : ANS_RAW_FIRST;
    return width <= skip ? 0 : MIN(width - skip, most);
}

/* The state, shifted by a word if it is full. Without a branch: the word is written anyway. */
static uint32_t make_room(struct ans_encoder *e, uint32_t x, bool full)
{
    e->at[-2] = (uint8_t)x;
    e->at[-1] = (uint8_t)(x >> 8);
    e->at -= 2 * full;
    return x >> (16 * full);
}

static uint32_t push_raw(uint32_t x, uint32_t bits, unsigned width)
{
    return x << width | (bits & (((uint32_t)1 << width) - 1));
}

static uint32_t push_symbol(uint32_t x, uint64_t entry)
{
    uint32_t f = (uint32_t)entry & 0x1fff, start = (uint32_t)entry >> 13;
    uint32_t q = (uint32_t)((x * (entry >> 32)) >> 32), r = x - q * f;
    uint32_t over = r >= f;
    return ((q + over) << ANS_BITS) + (r - (over ? f : 0)) + start;
}

/* One block, of n ≤ lanes elements. */
static void encode_block(struct ans_encoder *e, const uint8_t *symbols, const uint8_t *classes,
                         const uint32_t *values, size_t n)
{
    bool raw = values && e->raw;
    unsigned widest = 0;
    for (size_t i = 0; i < n && raw; i++)
        widest = MAX(widest, ans_symbol_width(symbols[i]));
    for (unsigned round = ANS_RAW_ROUNDS; round > 0; round--) {
        if (widest <= skipped(round))
            continue;
        for (size_t i = n; i-- > 0;) {
            unsigned width = part_of(ans_symbol_width(symbols[i]), round);
            uint32_t x = make_room(e, e->state[i], width && e->state[i] >> (32 - width));
            e->state[i] = push_raw(x, values[i] >> skipped(round), width);
        }
    }
    for (size_t i = n; i-- > 0;) {
        uint64_t entry = e->table[(classes ? (size_t)classes[i] * ANS_SYMBOLS : 0) + symbols[i]];
        unsigned width = raw ? part_of(ans_symbol_width(symbols[i]), 0) : 0;
        uint32_t f = (uint32_t)entry & 0x1fff;
        uint32_t x = make_room(e, e->state[i], e->state[i] >> (32 - ANS_BITS - width) >= f);
        e->state[i] = push_symbol(push_raw(x, raw ? values[i] : 0, width), entry);
    }
}

static void encode_blocks(struct ans_encoder *e, const uint8_t *symbols, const uint8_t *classes,
                          const uint32_t *values, size_t n)
{
    while (n) {
        size_t part = n % e->lanes ? n % e->lanes : e->lanes;
        n -= part;
        encode_block(e, symbols + n, classes ? classes + n : NULL, values ? values + n : NULL,
                     part);
    }
}

bool ans_encode(struct ans *ans, const uint8_t *symbols, const uint8_t *classes,
                const uint32_t *values, size_t n)
{
    struct ans_encoder *e = &ans->encoder;
    if ((size_t)(e->at - e->floor) < n * ANS_ELEMENT_MOST + ANS_MARGIN)
        return false;
    size_t whole = 0;
#ifdef SIMD_X86
    enum simd level = e->lanes == ANS_LANES ? simd_level() : SIMD_SCALAR;
    if (level != SIMD_SCALAR)
        whole = n - n % ANS_LANES;
#endif
    encode_blocks(e, symbols + whole, classes ? classes + whole : NULL,
                  values ? values + whole : NULL, n - whole);
#ifdef SIMD_X86
    if (level == SIMD_AVX512)
        ans_encode_avx512(e, symbols, classes, values, whole);
    else if (level == SIMD_AVX2)
        ans_encode_avx2(e, symbols, classes, values, whole);
#endif
    return true;
}

const uint8_t *ans_encode_end(struct ans *ans)
{
    struct ans_encoder *e = &ans->encoder;
    for (unsigned i = e->lanes; i-- > 0;) {
        put_word(e, e->state[i] >> 16);
        put_word(e, e->state[i]);
    }
    return e->at;
}

/* ---- decoding ---- */

/* Eight entries at a time: what is written too far is written over by the next symbol. */
static void fill_table(uint32_t *table, const uint16_t freq[ANS_SYMBOLS])
{
    for (uint32_t s = 0; s < ANS_SYMBOLS; s++) {
        uint32_t f = freq[s], entry = s << 24 | (f - 1) << 12;
        for (uint32_t bias = 0; bias < f; bias += 8)
            for (uint32_t k = 0; k < 8; k++)
                table[bias + k] = entry + bias + k;
        table += f;
    }
}

int ans_decode_begin(struct ans *ans, size_t n, const uint8_t *src, size_t len)
{
    struct ans_decoder *d = &ans->decoder;
    d->lanes = ans_lanes(n);
    d->raw = ans_model_raw(&ans->model);
    d->shuffles = &ans->shuffles;
    if (len < 4 * (size_t)d->lanes)
        return -1;
    for (unsigned i = 0; i < d->lanes; i++, src += 4) {
        memcpy(&d->state[i], src, 4);
        d->state[i] = le32toh(d->state[i]);
        if (d->state[i] < ANS_LOW)
            return -1;
    }
    d->at = src;
    d->end = src + (len - 4 * (size_t)d->lanes);
    for (unsigned c = 0; c < ans->model.classes; c++)
        fill_table(d->table + (size_t)c * ANS_SCALE, ans->model.freq[c]);
    return 0;
}

/*
 * A state below 2^16 takes the next word. near_end: there may be none; it stays as it is then,
 * which ans_decode_end tells.
 */
SIMD_BODY uint32_t refill(const uint8_t **at, const uint8_t *end, uint32_t x, bool near_end)
{
    if (near_end && (x >= ANS_LOW || end - *at < 2))
        return x;
    bool low = x < ANS_LOW;
    uint32_t y = x << 16 | (uint32_t)(*at)[0] | (uint32_t)(*at)[1] << 8;
    *at += 2 * low;
    return low ? y : x;
}

SIMD_BODY uint32_t pull_symbol(uint32_t x, uint32_t entry)
{
    return ((entry >> 12 & 0xfff) + 1) * (x >> ANS_BITS) + (entry & 0xfff);
}

SIMD_BODY void decode_block(struct ans_decoder *d, uint8_t *symbols, size_t n, bool near_end)
{
    const uint8_t *at = d->at;
    for (size_t i = 0; i < n; i++) {
        uint32_t x = d->state[i], entry = d->table[x & (ANS_SCALE - 1)];
        symbols[i] = (uint8_t)(entry >> 24);
        d->state[i] = refill(&at, d->end, pull_symbol(x, entry), near_end);
    }
    d->at = at;
}

/* The same with classes, and numbers instead of symbols. */
SIMD_BODY void decode_number_block(struct ans_decoder *d, const uint8_t *classes, uint32_t *values,
                                   size_t n, bool near_end)
{
    const uint8_t *at = d->at;
    unsigned widths[ANS_LANES], widest = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t x = d->state[i];
        uint32_t entry = d->table[(size_t)classes[i] << ANS_BITS | (x & (ANS_SCALE - 1))];
        unsigned symbol = entry >> 24, width = widths[i] = ans_symbol_width(symbol);
        unsigned part = MIN(width, (unsigned)ANS_RAW_FIRST);
        x = pull_symbol(x, entry);
        values[i] = (symbol - (width << 2)) << width | (x & (((uint32_t)1 << part) - 1));
        d->state[i] = refill(&at, d->end, x >> part, near_end);
        widest = MAX(widest, width);
    }
    for (unsigned round = 1; widest > skipped(round); round++) {
        for (size_t i = 0; i < n; i++) {
            unsigned part = part_of(widths[i], round);
            values[i] |= (d->state[i] & (((uint32_t)1 << part) - 1)) << skipped(round);
            d->state[i] = refill(&at, d->end, d->state[i] >> part, near_end);
        }
    }
    d->at = at;
}

void ans_decode_symbols(struct ans *ans, uint8_t *symbols, size_t n)
{
    struct ans_decoder *d = &ans->decoder;
    size_t at = 0;
#ifdef SIMD_X86
    enum simd level = d->lanes == ANS_LANES ? simd_level() : SIMD_SCALAR;
    if (level == SIMD_AVX512)
        at = ans_decode_symbols_avx512(d, symbols, n);
    else if (level == SIMD_AVX2)
        at = ans_decode_symbols_avx2(d, symbols, n);
#endif
    for (; at + d->lanes <= n && d->end - d->at >= ANS_MARGIN; at += d->lanes)
        decode_block(d, symbols + at, d->lanes, false);
    for (; at < n; at += d->lanes)
        decode_block(d, symbols + at, MIN(n - at, (size_t)d->lanes), true);
}

void ans_decode_values(struct ans *ans, const uint8_t *classes, uint32_t *values, size_t n)
{
    struct ans_decoder *d = &ans->decoder;
    size_t at = 0;
#ifdef SIMD_X86
    enum simd level = d->lanes == ANS_LANES ? simd_level() : SIMD_SCALAR;
    if (level == SIMD_AVX512)
        at = ans_decode_values_avx512(d, classes, values, n);
    else if (level == SIMD_AVX2)
        at = ans_decode_values_avx2(d, classes, values, n);
#endif
    for (; at + d->lanes <= n && d->end - d->at >= ANS_MARGIN; at += d->lanes)
        decode_number_block(d, classes + at, values + at, d->lanes, false);
    for (; at < n; at += d->lanes)
        decode_number_block(d, classes + at, values + at, MIN(n - at, (size_t)d->lanes), true);
}

int ans_decode_end(const struct ans *ans)
{
    const struct ans_decoder *d = &ans->decoder;
    for (unsigned i = 0; i < d->lanes; i++)
        if (d->state[i] != ANS_LOW)
            return -1;
    return d->at == d->end ? 0 : -1;
}
