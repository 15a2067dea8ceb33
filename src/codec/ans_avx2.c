/* SPDX-License-Identifier: MIT */
/* The coder with AVX2: eight lanes a vector when decoding, two of four when encoding. */
#include "codec/ans.h"

#ifdef SIMD_X86
#include <immintrin.h>

#define PATH SIMD_TARGET_AVX2

/* The low words of those of eight states whose bit of which is set, below *at. */
PATH SIMD_BODY uint8_t *put_words(const struct ans_encoder *e, uint8_t *at, unsigned which,
                                  __m256i a, __m256i b)
{
    const __m256i pick =
        _mm256_setr_epi8(0, 1, 8, 9, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
                         0, 1, 8, 9, -1, -1, -1, -1, -1, -1, -1, -1);
    __m256i p = _mm256_shuffle_epi8(a, pick), q = _mm256_shuffle_epi8(b, pick);
    __m128i low = _mm_or_si128(_mm256_castsi256_si128(p), _mm256_extracti128_si256(p, 1));
    __m128i high = _mm_or_si128(_mm256_castsi256_si128(q), _mm256_extracti128_si256(q, 1));
    __m128i words = _mm_unpacklo_epi64(low, high);
    __m128i order = _mm_loadu_si128((const __m128i *)(const void *)e->shuffles->compress[which]);
    _mm_storeu_si128((__m128i *)(void *)(at - 16), _mm_shuffle_epi8(words, order));
    return at - 2 * (unsigned)__builtin_popcount(which);
}

PATH SIMD_BODY unsigned mask_of(__m256i a, __m256i b)
{
    return (unsigned)_mm256_movemask_pd(_mm256_castsi256_pd(a)) |
           (unsigned)_mm256_movemask_pd(_mm256_castsi256_pd(b)) << 4;
}

/* x shifted right by a word where the mask is set. */
PATH SIMD_BODY __m256i drop_word(__m256i x, __m256i mask)
{
    return _mm256_blendv_epi8(x, _mm256_srli_epi64(x, 16), mask);
}

PATH SIMD_BODY __m256i push_symbols(__m256i x, __m256i entry, __m256i f)
{
    __m256i start = _mm256_and_si256(_mm256_srli_epi64(entry, 13), _mm256_set1_epi64x(0xfff));
    __m256i q = _mm256_srli_epi64(_mm256_mul_epu32(x, _mm256_srli_epi64(entry, 32)), 32);
    __m256i r = _mm256_sub_epi64(x, _mm256_mul_epu32(q, f));
    __m256i under = _mm256_cmpgt_epi64(f, r);
    __m256i more = _mm256_andnot_si256(under, _mm256_sub_epi64(_mm256_set1_epi64x(ANS_SCALE), f));
    __m256i y = _mm256_add_epi64(_mm256_add_epi64(_mm256_slli_epi64(q, ANS_BITS), r), start);
    return _mm256_add_epi64(y, more);
}

PATH SIMD_BODY __m256i load4(const uint8_t *p)
{
    return _mm256_cvtepu8_epi64(_mm_loadu_si32(p));
}

PATH SIMD_BODY __m256i value4(const uint32_t *p)
{
    return _mm256_cvtepu32_epi64(_mm_loadu_si128((const __m128i *)p));
}

PATH SIMD_BODY __m256i width_of(__m256i symbols)
{
    const __m256i one = _mm256_set1_epi64x(1);
    __m256i width = _mm256_max_epu32(_mm256_srli_epi64(symbols, 2), one);
    return _mm256_sub_epi64(width, one);
}

PATH SIMD_BODY __m256i push_raw(__m256i x, __m256i bits, __m256i width)
{
    const __m256i one = _mm256_set1_epi64x(1);
    __m256i mask = _mm256_sub_epi64(_mm256_sllv_epi64(one, width), one);
    return _mm256_or_si256(_mm256_sllv_epi64(x, width), _mm256_and_si256(bits, mask));
}

/* The raw bits that follow those of the first round. */
PATH SIMD_BODY uint8_t *push_rounds(const struct ans_encoder *e, __m256i state[8],
                                    const __m256i width[8], const uint32_t *values, unsigned rounds,
                                    uint8_t *out)
{
    const __m256i zero = _mm256_setzero_si256(), most = _mm256_set1_epi64x(ANS_RAW_ROUND);
    for (unsigned round = rounds; round > 0; round--) {
        unsigned skip = ANS_RAW_FIRST + (round - 1) * ANS_RAW_ROUND;
#pragma GCC unroll 8
        for (int v = 6; v >= 0; v -= 2) {
            __m256i part[2], full[2], *x = &state[v];
#pragma GCC unroll 2
            for (int k = 0; k < 2; k++) {
                part[k] = _mm256_subs_epu16(width[v + k], _mm256_set1_epi64x(skip));
                part[k] = _mm256_min_epu32(part[k], most);
                __m256i room = _mm256_sub_epi64(_mm256_set1_epi64x(32), part[k]);
                full[k] = _mm256_cmpgt_epi64(_mm256_srlv_epi64(x[k], room), zero);
            }
            out = put_words(e, out, mask_of(full[0], full[1]), x[0], x[1]);
#pragma GCC unroll 2
            for (int k = 0; k < 2; k++) {
                __m256i bits = _mm256_srli_epi64(value4(values + 4 * (v + k)), (int)skip);
                x[k] = push_raw(drop_word(x[k], full[k]), bits, part[k]);
            }
        }
    }
    return out;
}

PATH SIMD_BODY void encode(struct ans_encoder *e, const uint8_t *symbols, const uint8_t *classes,
                           const uint32_t *values, size_t n)
{
    const __m256i first = _mm256_set1_epi64x(ANS_RAW_FIRST), ones = _mm256_set1_epi64x(-1);
    const __m256i second = _mm256_set1_epi64x(ANS_RAW_FIRST + ANS_RAW_ROUND);
    __m256i state[8], symbol[8], width[8];
    uint8_t *out = e->at;
#pragma GCC unroll 8
    for (int v = 0; v < 8; v++)
        state[v] = value4(&e->state[4 * v]);
    while (n) {
        n -= ANS_LANES;
        __m256i widest = _mm256_setzero_si256();
#pragma GCC unroll 8
        for (int v = 0; v < 8; v++) {
            symbol[v] = load4(symbols + n + 4 * v);
            width[v] = width_of(symbol[v]);
            widest = _mm256_max_epu32(widest, width[v]);
        }
        if (values && _mm256_movemask_epi8(_mm256_cmpgt_epi64(widest, second)))
            out = push_rounds(e, state, width, values + n, 2, out);
        else if (values && _mm256_movemask_epi8(_mm256_cmpgt_epi64(widest, first)))
            out = push_rounds(e, state, width, values + n, 1, out);
#pragma GCC unroll 8
        for (int v = 6; v >= 0; v -= 2) {
            __m256i entry[2], f[2], part[2], full[2], *x = &state[v];
#pragma GCC unroll 2
            for (int k = 0; k < 2; k++) {
                __m256i index = symbol[v + k], room = _mm256_set1_epi64x(32 - ANS_BITS);
                if (classes)
                    index = _mm256_or_si256(index,
                                            _mm256_slli_epi64(load4(classes + n + 4 * (v + k)), 8));
                entry[k] = _mm256_i64gather_epi64((const long long *)e->table, index, 8);
                f[k] = _mm256_and_si256(entry[k], _mm256_set1_epi64x(0x1fff));
                part[k] = _mm256_min_epu32(width[v + k], first);
                if (values)
                    room = _mm256_sub_epi64(room, part[k]);
                __m256i high = _mm256_srlv_epi64(x[k], room);
                full[k] = _mm256_xor_si256(_mm256_cmpgt_epi64(f[k], high), ones);
            }
            out = put_words(e, out, mask_of(full[0], full[1]), x[0], x[1]);
#pragma GCC unroll 2
            for (int k = 0; k < 2; k++) {
                x[k] = drop_word(x[k], full[k]);
                if (values)
                    x[k] = push_raw(x[k], value4(values + n + 4 * (v + k)), part[k]);
                x[k] = push_symbols(x[k], entry[k], f[k]);
            }
        }
    }
#pragma GCC unroll 8
    for (int v = 0; v < 8; v++) {
        uint64_t x[4];
        _mm256_storeu_si256((__m256i *)(void *)x, state[v]);
        for (int k = 0; k < 4; k++)
            e->state[4 * v + k] = (uint32_t)x[k];
    }
    e->at = out;
}

PATH void ans_encode_avx2(struct ans_encoder *e, const uint8_t *symbols, const uint8_t *classes,
                          const uint32_t *values, size_t n)
{
    if (!classes)
        encode(e, symbols, NULL, NULL, n);
    else if (!values || !e->raw)
        encode(e, symbols, classes, NULL, n);
    else
        encode(e, symbols, classes, values, n);
}

PATH SIMD_BODY __m256i refill(const struct ans_decoder *d, __m256i x, const uint8_t **at)
{
    __m256i low = _mm256_cmpeq_epi32(_mm256_srli_epi32(x, 16), _mm256_setzero_si256());
    unsigned which = (unsigned)_mm256_movemask_ps(_mm256_castsi256_ps(low));
    __m256i words = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(const void *)*at));
    __m256i order = _mm256_cvtepu8_epi32(
        _mm_loadl_epi64((const __m128i *)(const void *)d->shuffles->expand[which]));
    words = _mm256_permutevar8x32_epi32(words, order);
    *at += 2 * (unsigned)__builtin_popcount(which);
    return _mm256_blendv_epi8(x, _mm256_or_si256(_mm256_slli_epi32(x, 16), words), low);
}

/* The symbols of eight lanes, taken from the states. */
PATH SIMD_BODY __m256i pull_symbols(const struct ans_decoder *d, __m256i *x, const uint8_t *classes)
{
    const __m256i mask = _mm256_set1_epi32(ANS_SCALE - 1);
    __m256i slot = _mm256_and_si256(*x, mask);
    if (classes) {
        __m256i c = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)classes));
        slot = _mm256_or_si256(slot, _mm256_slli_epi32(c, ANS_BITS));
    }
    __m256i entry = _mm256_i32gather_epi32((const int *)d->table, slot, 4);
    __m256i f = _mm256_add_epi32(_mm256_and_si256(_mm256_srli_epi32(entry, 12), mask),
                                 _mm256_set1_epi32(1));
    *x = _mm256_add_epi32(_mm256_mullo_epi32(f, _mm256_srli_epi32(*x, ANS_BITS)),
                          _mm256_and_si256(entry, mask));
    return _mm256_srli_epi32(entry, 24);
}

PATH SIMD_BODY __m256i pull_raw(__m256i *x, __m256i width)
{
    const __m256i one = _mm256_set1_epi32(1);
    __m256i bits = _mm256_and_si256(*x, _mm256_sub_epi32(_mm256_sllv_epi32(one, width), one));
    *x = _mm256_srlv_epi32(*x, width);
    return bits;
}

PATH size_t ans_decode_symbols_avx2(struct ans_decoder *d, uint8_t *symbols, size_t n)
{
    const uint8_t *at = d->at;
    const __m256i first =
        _mm256_setr_epi8(0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 0, 4, 8, 12,
                         -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1);
    __m256i state[4];
    size_t i = 0;
#pragma GCC unroll 8
    for (int v = 0; v < 4; v++)
        state[v] = _mm256_loadu_si256((const __m256i *)&d->state[8 * v]);
    for (; i + ANS_LANES <= n && d->end - at >= ANS_MARGIN; i += ANS_LANES) {
#pragma GCC unroll 8
        for (int v = 0; v < 4; v++) {
            __m256i s = _mm256_shuffle_epi8(pull_symbols(d, &state[v], NULL), first);
            state[v] = refill(d, state[v], &at);
            __m128i bytes =
                _mm_unpacklo_epi32(_mm256_castsi256_si128(s), _mm256_extracti128_si256(s, 1));
            _mm_storel_epi64((__m128i *)(void *)(symbols + i + 8 * v), bytes);
        }
    }
#pragma GCC unroll 8
    for (int v = 0; v < 4; v++)
        _mm256_storeu_si256((__m256i *)&d->state[8 * v], state[v]);
    d->at = at;
    return i;
}

/* The raw bits that follow those of the first round. */
PATH SIMD_BODY const uint8_t *pull_rounds(const struct ans_decoder *d, __m256i state[4],
                                          const __m256i width[4], __m256i value[4], unsigned rounds,
                                          const uint8_t *at)
{
    for (unsigned round = 1; round <= rounds; round++) {
        unsigned skip = ANS_RAW_FIRST + (round - 1) * ANS_RAW_ROUND;
#pragma GCC unroll 8
        for (int v = 0; v < 4; v++) {
            __m256i part = _mm256_subs_epu16(width[v], _mm256_set1_epi32((int)skip));
            part = _mm256_min_epu32(part, _mm256_set1_epi32(ANS_RAW_ROUND));
            __m256i bits = _mm256_slli_epi32(pull_raw(&state[v], part), (int)skip);
            value[v] = _mm256_or_si256(value[v], bits);
            state[v] = refill(d, state[v], &at);
        }
    }
    return at;
}

PATH SIMD_BODY size_t decode_values(struct ans_decoder *d, const uint8_t *classes, uint32_t *values,
                                    size_t n, bool raw)
{
    const __m256i one = _mm256_set1_epi32(1), first = _mm256_set1_epi32(ANS_RAW_FIRST);
    const __m256i second = _mm256_set1_epi32(ANS_RAW_FIRST + ANS_RAW_ROUND);
    const uint8_t *at = d->at;
    __m256i state[4];
    size_t i = 0;
#pragma GCC unroll 8
    for (int v = 0; v < 4; v++)
        state[v] = _mm256_loadu_si256((const __m256i *)&d->state[8 * v]);
    for (; i + ANS_LANES <= n && d->end - at >= ANS_MARGIN; i += ANS_LANES) {
        __m256i value[4], width[4], widest = _mm256_setzero_si256();
#pragma GCC unroll 8
        for (int v = 0; v < 4; v++) {
            __m256i symbol = pull_symbols(d, &state[v], classes + i + 8 * v);
            value[v] = symbol;
            if (raw) {
                width[v] =
                    _mm256_sub_epi32(_mm256_max_epu32(_mm256_srli_epi32(symbol, 2), one), one);
                widest = _mm256_max_epu32(widest, width[v]);
                symbol = _mm256_sub_epi32(symbol, _mm256_slli_epi32(width[v], 2));
                value[v] = _mm256_or_si256(_mm256_sllv_epi32(symbol, width[v]),
                                           pull_raw(&state[v], _mm256_min_epu32(width[v], first)));
            }
            state[v] = refill(d, state[v], &at);
        }
        if (raw && _mm256_movemask_epi8(_mm256_cmpgt_epi32(widest, second)))
            at = pull_rounds(d, state, width, value, 2, at);
        else if (raw && _mm256_movemask_epi8(_mm256_cmpgt_epi32(widest, first)))
            at = pull_rounds(d, state, width, value, 1, at);
#pragma GCC unroll 8
        for (int v = 0; v < 4; v++)
            _mm256_storeu_si256((__m256i *)(values + i + 8 * v), value[v]);
    }
#pragma GCC unroll 8
    for (int v = 0; v < 4; v++)
        _mm256_storeu_si256((__m256i *)&d->state[8 * v], state[v]);
    d->at = at;
    return i;
}

PATH size_t ans_decode_values_avx2(struct ans_decoder *d, const uint8_t *classes, uint32_t *values,
                                   size_t n)
{
    return d->raw ? decode_values(d, classes, values, n, true)
                  : decode_values(d, classes, values, n, false);
}
#endif
