/* SPDX-License-Identifier: MIT */
/* The coder with AVX-512: sixteen lanes a vector when decoding, eight when encoding. */
#include "codec/ans.h"

#ifdef SIMD_X86
#include <immintrin.h>

#define PATH SIMD_TARGET_AVX512

/* The low words of those states whose bit of which is set, below at. */
PATH SIMD_BODY uint8_t *put_words(const struct ans_encoder *e, uint8_t *at, __mmask8 which,
                                  __m512i x)
{
    __m128i order = _mm_loadu_si128((const __m128i *)(const void *)e->shuffles->compress[which]);
    __m128i words = _mm_shuffle_epi8(_mm512_cvtepi64_epi16(x), order);
    _mm_storeu_si128((__m128i *)(void *)(at - 16), words);
    return at - 2 * (unsigned)__builtin_popcount(which);
}

/* The states of which a word went out. */
PATH SIMD_BODY __m512i make_room(const struct ans_encoder *e, __m512i x, __mmask8 full,
                                 uint8_t **at)
{
    *at = put_words(e, *at, full, x);
    return _mm512_mask_srli_epi64(x, full, x, 16);
}

PATH SIMD_BODY __m512i push_raw(__m512i x, __m512i bits, __m512i width)
{
    const __m512i one = _mm512_set1_epi64(1);
    __m512i mask = _mm512_sub_epi64(_mm512_sllv_epi64(one, width), one);
    return _mm512_or_si512(_mm512_sllv_epi64(x, width), _mm512_and_si512(bits, mask));
}

PATH SIMD_BODY __m512i push_symbols(__m512i x, __m512i entry, __m512i f)
{
    __m512i start = _mm512_and_si512(_mm512_srli_epi64(entry, 13), _mm512_set1_epi64(0xfff));
    __m512i q = _mm512_srli_epi64(_mm512_mul_epu32(x, _mm512_srli_epi64(entry, 32)), 32);
    __m512i r = _mm512_sub_epi64(x, _mm512_mul_epu32(q, f));
    __mmask8 over = _mm512_cmpge_epu64_mask(r, f);
    __m512i y = _mm512_add_epi64(_mm512_add_epi64(_mm512_slli_epi64(q, ANS_BITS), r), start);
    return _mm512_mask_add_epi64(y, over, y, _mm512_sub_epi64(_mm512_set1_epi64(ANS_SCALE), f));
}

PATH SIMD_BODY __m512i load8(const uint8_t *p)
{
    return _mm512_cvtepu8_epi64(_mm_loadl_epi64((const __m128i *)(const void *)p));
}

PATH SIMD_BODY __m512i value8(const uint32_t *p)
{
    return _mm512_cvtepu32_epi64(_mm256_loadu_si256((const __m256i *)p));
}

PATH SIMD_BODY __m512i width_of(__m512i symbols)
{
    const __m512i one = _mm512_set1_epi64(1);
    return _mm512_sub_epi64(_mm512_max_epu64(_mm512_srli_epi64(symbols, 2), one), one);
}

/* The raw bits that follow those of the first round. */
PATH SIMD_BODY uint8_t *push_rounds(const struct ans_encoder *e, __m512i state[4],
                                    const __m512i width[4], const uint32_t *values, unsigned rounds,
                                    uint8_t *out)
{
    for (unsigned round = rounds; round > 0; round--) {
        unsigned skip = ANS_RAW_FIRST + (round - 1) * ANS_RAW_ROUND;
        const __m512i skips = _mm512_set1_epi64(skip), most = _mm512_set1_epi64(ANS_RAW_ROUND);
#pragma GCC unroll 8
        for (int v = 3; v >= 0; v--) {
            __m512i part = _mm512_sub_epi64(_mm512_max_epu64(width[v], skips), skips);
            part = _mm512_min_epu64(part, most);
            __m512i high =
                _mm512_srlv_epi64(state[v], _mm512_sub_epi64(_mm512_set1_epi64(32), part));
            __m512i x = make_room(e, state[v], _mm512_test_epi64_mask(high, high), &out);
            state[v] = push_raw(x, _mm512_srli_epi64(value8(values + 8 * v), skip), part);
        }
    }
    return out;
}

PATH SIMD_BODY void encode(struct ans_encoder *e, const uint8_t *symbols, const uint8_t *classes,
                           const uint32_t *values, size_t n)
{
    const __m512i first = _mm512_set1_epi64(ANS_RAW_FIRST);
    const __m512i second = _mm512_set1_epi64(ANS_RAW_FIRST + ANS_RAW_ROUND);
    __m512i state[4], symbol[4], width[4];
    uint8_t *out = e->at;
#pragma GCC unroll 8
    for (int v = 0; v < 4; v++)
        state[v] = value8(&e->state[8 * v]);
    while (n) {
        n -= ANS_LANES;
        __m512i widest = _mm512_setzero_si512();
#pragma GCC unroll 8
        for (int v = 0; v < 4; v++) {
            symbol[v] = load8(symbols + n + 8 * v);
            width[v] = width_of(symbol[v]);
            widest = _mm512_max_epu64(widest, width[v]);
        }
        if (values && _mm512_cmpgt_epu64_mask(widest, second))
            out = push_rounds(e, state, width, values + n, 2, out);
        else if (values && _mm512_cmpgt_epu64_mask(widest, first))
            out = push_rounds(e, state, width, values + n, 1, out);
#pragma GCC unroll 8
        for (int v = 3; v >= 0; v--) {
            __m512i index = symbol[v], x = state[v];
            if (classes)
                index = _mm512_or_si512(index, _mm512_slli_epi64(load8(classes + n + 8 * v), 8));
            __m512i entry = _mm512_i64gather_epi64(index, e->table, 8);
            __m512i f = _mm512_and_si512(entry, _mm512_set1_epi64(0x1fff));
            __m512i room = _mm512_set1_epi64(32 - ANS_BITS),
                    part = _mm512_min_epu64(width[v], first);
            if (values)
                room = _mm512_sub_epi64(room, part);
            x = make_room(e, x, _mm512_cmpge_epu64_mask(_mm512_srlv_epi64(x, room), f), &out);
            if (values)
                x = push_raw(x, value8(values + n + 8 * v), part);
            state[v] = push_symbols(x, entry, f);
        }
    }
#pragma GCC unroll 8
    for (int v = 0; v < 4; v++)
        _mm256_storeu_si256((__m256i *)&e->state[8 * v], _mm512_cvtepi64_epi32(state[v]));
    e->at = out;
}

PATH void ans_encode_avx512(struct ans_encoder *e, const uint8_t *symbols, const uint8_t *classes,
                            const uint32_t *values, size_t n)
{
    if (!classes)
        encode(e, symbols, NULL, NULL, n);
    else if (!values || !e->raw)
        encode(e, symbols, classes, NULL, n);
    else
        encode(e, symbols, classes, values, n);
}

PATH SIMD_BODY __m512i refill(__m512i x, const uint8_t **at)
{
    __mmask16 low = _mm512_cmplt_epu32_mask(x, _mm512_set1_epi32(ANS_LOW));
    __m512i words = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)*at));
    *at += 2 * (unsigned)__builtin_popcount(low);
    return _mm512_mask_or_epi32(x, low, _mm512_slli_epi32(x, 16),
                                _mm512_maskz_expand_epi32(low, words));
}

PATH SIMD_BODY __m512i load16(const uint8_t *p)
{
    return _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p));
}

/* The table entries of sixteen lanes, whose symbols are taken from the states. */
PATH SIMD_BODY __m512i pull_symbols(__m512i *x, const uint32_t *table, const uint8_t *classes)
{
    const __m512i mask = _mm512_set1_epi32(ANS_SCALE - 1);
    __m512i slot = _mm512_and_si512(*x, mask);
    if (classes)
        slot = _mm512_or_si512(slot, _mm512_slli_epi32(load16(classes), ANS_BITS));
    __m512i entry = _mm512_i32gather_epi32(slot, (const int *)table, 4);
    __m512i f = _mm512_add_epi32(_mm512_and_si512(_mm512_srli_epi32(entry, 12), mask),
                                 _mm512_set1_epi32(1));
    *x = _mm512_add_epi32(_mm512_mullo_epi32(f, _mm512_srli_epi32(*x, ANS_BITS)),
                          _mm512_and_si512(entry, mask));
    return _mm512_srli_epi32(entry, 24);
}

PATH SIMD_BODY __m512i pull_raw(__m512i *x, __m512i width)
{
    const __m512i one = _mm512_set1_epi32(1);
    __m512i bits = _mm512_and_si512(*x, _mm512_sub_epi32(_mm512_sllv_epi32(one, width), one));
    *x = _mm512_srlv_epi32(*x, width);
    return bits;
}

PATH size_t ans_decode_symbols_avx512(struct ans_decoder *d, uint8_t *symbols, size_t n)
{
    const uint8_t *at = d->at;
    __m512i state[2] = {_mm512_loadu_si512(d->state), _mm512_loadu_si512(d->state + 16)};
    size_t i = 0;
    for (; i + ANS_LANES <= n && d->end - at >= ANS_MARGIN; i += ANS_LANES) {
        __m512i a = pull_symbols(&state[0], d->table, NULL);
        __m512i b = pull_symbols(&state[1], d->table, NULL);
        state[0] = refill(state[0], &at);
        state[1] = refill(state[1], &at);
        _mm_storeu_si128((__m128i *)(void *)(symbols + i), _mm512_cvtepi32_epi8(a));
        _mm_storeu_si128((__m128i *)(void *)(symbols + i + 16), _mm512_cvtepi32_epi8(b));
    }
    _mm512_storeu_si512(d->state, state[0]);
    _mm512_storeu_si512(d->state + 16, state[1]);
    d->at = at;
    return i;
}

/* The raw bits that follow those of the first round. */
PATH SIMD_BODY const uint8_t *pull_rounds(__m512i state[2], const __m512i width[2],
                                          __m512i value[2], unsigned rounds, const uint8_t *at)
{
    for (unsigned round = 1; round <= rounds; round++) {
        unsigned skip = ANS_RAW_FIRST + (round - 1) * ANS_RAW_ROUND;
        const __m512i skips = _mm512_set1_epi32((int)skip);
#pragma GCC unroll 8
        for (int v = 0; v < 2; v++) {
            __m512i part = _mm512_sub_epi32(_mm512_max_epu32(width[v], skips), skips);
            part = _mm512_min_epu32(part, _mm512_set1_epi32(ANS_RAW_ROUND));
            __m512i bits = _mm512_slli_epi32(pull_raw(&state[v], part), skip);
            value[v] = _mm512_or_si512(value[v], bits);
            state[v] = refill(state[v], &at);
        }
    }
    return at;
}

PATH SIMD_BODY size_t decode_values(struct ans_decoder *d, const uint8_t *classes, uint32_t *values,
                                    size_t n, bool raw)
{
    const __m512i one = _mm512_set1_epi32(1), first = _mm512_set1_epi32(ANS_RAW_FIRST);
    const __m512i second = _mm512_set1_epi32(ANS_RAW_FIRST + ANS_RAW_ROUND);
    const uint8_t *at = d->at;
    __m512i state[2] = {_mm512_loadu_si512(d->state), _mm512_loadu_si512(d->state + 16)};
    size_t i = 0;
    for (; i + ANS_LANES <= n && d->end - at >= ANS_MARGIN; i += ANS_LANES) {
        __m512i value[2], width[2];
#pragma GCC unroll 8
        for (int v = 0; v < 2; v++) {
            __m512i symbol = pull_symbols(&state[v], d->table, classes + i + 16 * v);
            value[v] = symbol;
            if (raw) {
                width[v] =
                    _mm512_sub_epi32(_mm512_max_epu32(_mm512_srli_epi32(symbol, 2), one), one);
                symbol = _mm512_sub_epi32(symbol, _mm512_slli_epi32(width[v], 2));
                value[v] = _mm512_or_si512(_mm512_sllv_epi32(symbol, width[v]),
                                           pull_raw(&state[v], _mm512_min_epu32(width[v], first)));
            }
            state[v] = refill(state[v], &at);
        }
        __m512i widest = raw ? _mm512_max_epu32(width[0], width[1]) : first;
        if (raw && _mm512_cmpgt_epu32_mask(widest, second))
            at = pull_rounds(state, width, value, 2, at);
        else if (raw && _mm512_cmpgt_epu32_mask(widest, first))
            at = pull_rounds(state, width, value, 1, at);
#pragma GCC unroll 8
        for (int v = 0; v < 2; v++)
            _mm512_storeu_si512(values + i + 16 * v, value[v]);
    }
    _mm512_storeu_si512(d->state, state[0]);
    _mm512_storeu_si512(d->state + 16, state[1]);
    d->at = at;
    return i;
}

PATH size_t ans_decode_values_avx512(struct ans_decoder *d, const uint8_t *classes,
                                     uint32_t *values, size_t n)
{
    return d->raw ? decode_values(d, classes, values, n, true)
                  : decode_values(d, classes, values, n, false);
}
#endif
