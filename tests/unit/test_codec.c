/* SPDX-License-Identifier: MIT */
#include "tests/unit/helpers.h"

#include "base/err.h"
#include "bits/floats.h"
#include "bits/ordered.h"
#include "bits/planes.h"
#include "bits/simd.h"
#include "codec/codec.h"

#include <math.h>
#include <string.h>

/* The chunk of a fine-tune and its base. */
static struct codec_chunk pair(enum dtype dtype, const void *raw, const void *base, size_t n)
{
    return (struct codec_chunk){dtype, raw, base, n, base ? n : 0};
}

static int decode(struct codec_work *work, enum codec codec, const struct codec_chunk *chunk,
                  const uint8_t *src, size_t len, uint8_t *back)
{
    return codec_decode(work, codec, chunk->dtype, src, len, chunk->base, chunk->base_n, back,
                        chunk->n, NULL);
}

/*
 * Encodes with each vector path and decodes with each other one: the same bytes, and the chunk
 * comes back. The length, 0 where the codec does not gain.
 */
static size_t round_trip(struct codec_work *work, enum codec codec, const struct codec_chunk *chunk)
{
    AUTO_FREE uint8_t *a = mem_alloc(codec_bound(chunk->n)), *b = mem_alloc(codec_bound(chunk->n));
    AUTO_FREE uint8_t *back = mem_alloc(chunk->n);
    simd_use(SIMD_SCALAR);
    size_t len = codec_encode(work, codec, chunk, a);
    for (int level = SIMD_SCALAR; level <= (int)simd_best(); level++) {
        simd_use((enum simd)level);
        assert_int_equal(simd_level(), level);
        assert_int_equal(codec_encode(work, codec, chunk, b), len);
        if (!len)
            continue;
        assert_true(len < chunk->n);
        assert_memory_equal(a, b, len);
        /* With memory that nothing has used, too: what is too small shows there. */
        struct codec_work *fresh = codec_work_new();
        AUTO_FREE uint8_t *exact = mem_alloc(len);
        memcpy(exact, a, len);
        memset(back, 0x55, chunk->n);
        assert_int_equal(decode(fresh, codec, chunk, exact, len, back), 0);
        assert_memory_equal(back, chunk->raw, chunk->n);
        codec_work_free(fresh);
    }
    return len;
}

static void codec__every_type_length_and_content__comes_back(void **state)
{
    (void)state;
    struct codec_work *work = codec_work_new();
    uint32_t random = 7;
    static const size_t counts[] = {1, 2, 3, 7, 31, 33, 255, 4097, 40001};
    for (int dtype = 0; dtype < DTYPE_COUNT; dtype++) {
        for (size_t c = 0; c < COUNT_OF(counts); c++) {
            for (int content = 0; content < 5; content++) {
                size_t n = counts[c] * dtype_width((enum dtype)dtype);
                AUTO_FREE uint8_t *raw = mem_alloc(n), *base = mem_alloc(n);
                for (size_t i = 0; i < n; i++) {
                    base[i] = (uint8_t)test_random(&random);
                    raw[i] = content == 0   ? 0
                             : content == 1 ? base[i]
                             : content == 2 ? (uint8_t)(test_random(&random) & 3)
                             : content == 3 ? (uint8_t)(base[i] + (test_random(&random) % 300 == 0))
                                            : (uint8_t)test_random(&random);
                }
                struct codec_chunk chunk = pair((enum dtype)dtype, raw, base, n);
                for (int codec = 0; codec < CODEC_COUNT; codec++)
                    if (codec_handles((enum codec)codec, (enum dtype)dtype))
                        round_trip(work, (enum codec)codec, &chunk);
            }
        }
    }
    codec_work_free(work);
}

/* Weights of a type, and the same moved by about so many steps of BF16. */
static void fill_pair(enum dtype dtype, void *base, void *fine, size_t n, uint32_t seed)
{
    AUTO_FREE uint16_t *a = mem_alloc(n * 2), *b = mem_alloc(n * 2);
    uint32_t random = seed;
    test_weights(a, n, NULL, seed);
    test_weights(b, n, a, seed + 1);
    float_convert(DTYPE_BF16, dtype, (uint8_t *)a, n, base);
    float_convert(DTYPE_BF16, dtype, (uint8_t *)b, n, fine);
    for (size_t i = 0; i < n && dtype == DTYPE_F16; i++) {
        ((uint16_t *)base)[i] ^= test_random(&random) & 7;
        ((uint16_t *)fine)[i] ^= test_random(&random) & 7;
    }
    for (size_t i = 0; i < n && dtype == DTYPE_F32; i++) {
        ((uint32_t *)base)[i] ^= test_random(&random) >> 8; /* the upper bits repeat late */
        ((uint32_t *)fine)[i] ^= test_random(&random) >> 8; /* the upper bits repeat late */
    }
}

static void codec_encode__fine_tune_with_its_base__delta_is_well_below_bitx(void **state)
{
    (void)state;
    enum { N = 100000 };
    static const enum dtype types[] = {DTYPE_BF16, DTYPE_F16, DTYPE_F32};
    struct codec_work *work = codec_work_new();
    AUTO_FREE uint8_t *base = mem_alloc(N * 4), *fine = mem_alloc(N * 4);
    for (size_t t = 0; t < COUNT_OF(types); t++) {
        fill_pair(types[t], base, fine, N, 5);
        struct codec_chunk chunk = pair(types[t], fine, base, N * dtype_width(types[t]));
        size_t delta = round_trip(work, CODEC_DELTA, &chunk);
        size_t bitx = round_trip(work, CODEC_BITX, &chunk);
        size_t alone = round_trip(work, CODEC_PLANES, &chunk);
        assert_true(delta > 0 && delta < bitx && delta < alone);
        if (types[t] == DTYPE_BF16)
            assert_true(delta < bitx * 3 / 4);
    }
    codec_work_free(work);
}

/* Order-0 entropy, in bits, of ordered differences as symbols with raw bits, by base exponent. */
static double bound_bits(const uint16_t *base, const uint16_t *fine, size_t n)
{
    static double counts[256][64], all[256];
    AUTO_FREE uint32_t *values = mem_alloc(n * 4);
    AUTO_FREE uint8_t *exponents = mem_alloc(n);
    double bits = 0;
    memset(counts, 0, sizeof counts);
    memset(all, 0, sizeof all);
    ordered_split(DTYPE_BF16, (const uint8_t *)fine, (const uint8_t *)base, n, values, exponents);
    for (size_t i = 0; i < n; i++) {
        unsigned width = values[i] < 8 ? 0 : 29 - (unsigned)__builtin_clz(values[i]);
        counts[exponents[i]][(width << 2) + (values[i] >> width)]++;
        all[exponents[i]]++;
        bits += width;
    }
    for (int e = 0; e < 256; e++)
        for (int s = 0; s < 64; s++)
            if (counts[e][s] > 0)
                bits += counts[e][s] * log2(all[e] / counts[e][s]);
    return bits;
}

static void codec_encode__delta__is_near_its_entropy(void **state)
{
    (void)state;
    enum { N = 1 << 20 };
    struct codec_work *work = codec_work_new();
    AUTO_FREE uint16_t *base = mem_alloc(N * 2), *fine = mem_alloc(N * 2);
    test_weights(base, N, NULL, 5);
    test_weights(fine, N, base, 6);
    struct codec_chunk chunk = pair(DTYPE_BF16, fine, base, N * 2);
    size_t len = round_trip(work, CODEC_DELTA, &chunk);
    assert_true((double)len * 8 < bound_bits(base, fine, N) * 1.005);
    codec_work_free(work);
}

static void codec_encode__few_elements_differ__takes_little_more_than_their_entropy(void **state)
{
    (void)state;
    enum { N = 1 << 20 };
    static const struct {
        uint32_t every;
        double most;
    } cases[] = {{100, 1.06}, {1000, 1.15}};
    struct codec_work *work = codec_work_new();
    AUTO_FREE uint16_t *base = mem_alloc(N * 2), *fine = mem_alloc(N * 2);
    test_weights(base, N, NULL, 5);
    for (size_t c = 0; c < COUNT_OF(cases); c++) {
        uint32_t random = 9;
        for (size_t i = 0; i < N; i++) {
            bool changes = test_random(&random) % cases[c].every == 0;
            fine[i] = (uint16_t)(base[i] + (changes ? 1 + test_random(&random) % 3 : 0));
        }
        struct codec_chunk chunk = pair(DTYPE_BF16, fine, base, N * 2);
        size_t len = round_trip(work, CODEC_DELTA, &chunk);
        assert_true(len > 0 && (double)len * 8 < bound_bits(base, fine, N) * cases[c].most);
    }
    codec_work_free(work);
}

/* A small step: near zero every weight changes, a little above some, above that hardly any. */
static void fill_small_step(uint16_t *base, uint16_t *fine, size_t n)
{
    uint32_t random = 9;
    test_weights(base, n, NULL, 5);
    for (size_t i = 0; i < n; i++) {
        unsigned exponent = base[i] >> 7 & 255, every = exponent < 113   ? 1
                                                        : exponent < 115 ? 2
                                                                         : 400;
        bool changes = test_random(&random) % every == 0 || i == n - 1;
        fine[i] = (uint16_t)(base[i] + (changes ? 1 + test_random(&random) % 3 : 0));
    }
    base[n - 1] |= 0x3f80; /* the last change is one of those with gaps */
}

static void codec_encode__small_step__is_near_its_entropy(void **state)
{
    (void)state;
    enum { N = 1 << 18 };
    struct codec_work *work = codec_work_new();
    AUTO_FREE uint16_t *base = mem_alloc(N * 2), *fine = mem_alloc(N * 2);
    fill_small_step(base, fine, N);
    struct codec_chunk chunk = pair(DTYPE_BF16, fine, base, N * 2);
    size_t len = round_trip(work, CODEC_DELTA, &chunk);
    assert_true(len > 0 && (double)len * 8 < bound_bits(base, fine, N) * 1.06);
    AUTO_FREE uint8_t *out = mem_alloc(codec_bound(N * 2));
    codec_encode(work, CODEC_DELTA, &chunk, out);
    assert_int_equal(out[0], 2); /* sparse */
    codec_work_free(work);
}

static void codec_encode__base_equal_or_constant__costs_next_to_nothing(void **state)
{
    (void)state;
    enum { N = 65536 };
    struct codec_work *work = codec_work_new();
    AUTO_FREE uint16_t *w = mem_alloc(N * 2), *zero = mem_zalloc(N * 2);
    test_weights(w, N, NULL, 3);
    struct codec_chunk same = pair(DTYPE_BF16, w, w, N * 2);
    struct codec_chunk zeros = pair(DTYPE_BF16, zero, NULL, N * 2);
    assert_int_equal(round_trip(work, CODEC_DELTA, &same), 1);
    assert_true(round_trip(work, CODEC_BITX, &same) < 100);
    assert_int_equal(round_trip(work, CODEC_PLANES, &zeros), 4);
    codec_work_free(work);
}

static void codec_encode__special_floats__come_back_to_the_bit(void **state)
{
    (void)state;
    static const uint32_t special[] = {0x00000000, 0x80000000, 0x7f800000, 0xff800000, 0x7fc00001,
                                       0xffffffff, 0x00000001, 0x007fffff, 0x7f810000, 0x3f800000,
                                       0x7fa00000, 0x80000001, 0x477fe000, 0x33800000};
    struct codec_work *work = codec_work_new();
    AUTO_FREE uint32_t *base = mem_alloc(4096 * 4), *fine = mem_alloc(4096 * 4);
    static const enum dtype types[] = {DTYPE_BF16, DTYPE_F16, DTYPE_F32};
    for (size_t t = 0; t < COUNT_OF(types); t++) {
        for (uint32_t mask = 0xffffffff; mask; mask <<= 16) {
            for (size_t i = 0; i < 4096; i++) {
                base[i] = special[i / COUNT_OF(special) % COUNT_OF(special)];
                fine[i] = special[i % COUNT_OF(special)] & mask;
            }
            struct codec_chunk chunk = pair(types[t], fine, base, sizeof(uint32_t) * 4096);
            assert_true(round_trip(work, CODEC_DELTA, &chunk) > 0);
            assert_true(round_trip(work, CODEC_PLANES, &chunk) > 0);
        }
    }
    codec_work_free(work);
}

static void codec_encode__f32_that_holds_16_bits__is_as_small_as_16_bits(void **state)
{
    (void)state;
    enum { N = 50000 };
    static const enum dtype narrow[] = {DTYPE_BF16, DTYPE_F16};
    struct codec_work *work = codec_work_new();
    AUTO_FREE uint8_t *base = mem_alloc(N * 2), *fine = mem_alloc(N * 2);
    AUTO_FREE uint8_t *wide = mem_alloc(N * 4), *wide_base = mem_alloc(N * 4);
    for (size_t t = 0; t < COUNT_OF(narrow); t++) {
        fill_pair(narrow[t], base, fine, N, 5);
        float_convert(narrow[t], DTYPE_F32, base, N, wide_base);
        float_convert(narrow[t], DTYPE_F32, fine, N, wide);
        struct codec_chunk small = pair(narrow[t], fine, base, N * 2);
        struct codec_chunk large = pair(DTYPE_F32, wide, wide_base, N * 4);
        size_t len = round_trip(work, CODEC_DELTA, &small);
        assert_int_equal(round_trip(work, CODEC_DELTA, &large), len);
        assert_true(len < 2 * N * 3 / 4);
        size_t alone = round_trip(work, CODEC_PLANES, &small);
        assert_true(round_trip(work, CODEC_PLANES, &large) < alone + N / 8);
    }
    codec_work_free(work);
}

static void codec_encode__base_with_fewer_rows__the_common_ones_are_a_delta(void **state)
{
    (void)state;
    enum { ROWS = 300, COLUMNS = 256, N = ROWS * COLUMNS, COMMON = 290 * COLUMNS };
    struct codec_work *work = codec_work_new();
    AUTO_FREE uint16_t *base = mem_alloc(N * 2), *fine = mem_alloc(N * 2);
    test_weights(base, N, NULL, 5);
    test_weights(fine, N, base, 6);
    struct codec_chunk whole = pair(DTYPE_BF16, fine, base, N * 2), common = whole, one = whole;
    struct codec_chunk none = pair(DTYPE_BF16, fine, NULL, N * 2);
    common.base_n = COMMON * 2;
    one.base_n = 2;
    size_t delta = round_trip(work, CODEC_DELTA, &whole);
    size_t part = round_trip(work, CODEC_DELTA, &common);
    size_t alone = round_trip(work, CODEC_PLANES, &none);
    assert_true(part > delta && part < delta + alone / 20);
    assert_true(round_trip(work, CODEC_DELTA, &one) <= alone + 40);
    AUTO_FREE uint8_t *out = mem_alloc(codec_bound(N * 2)), *back = mem_alloc(N * 2);
    size_t len = codec_encode(work, CODEC_DELTA, &common, out);
    assert_int_equal(decode(work, CODEC_DELTA, &whole, out, len, back), ERR_DAMAGED);
    codec_work_free(work);
}

static void codec_encode__planes__are_near_the_entropy_of_the_exponent(void **state)
{
    (void)state;
    enum { N = 1 << 18 };
    struct codec_work *work = codec_work_new();
    AUTO_FREE uint16_t *w = mem_alloc(N * 2);
    double counts[256] = {0}, bits = 8.0 * N;
    test_weights(w, N, NULL, 11);
    for (size_t i = 0; i < N; i++)
        counts[w[i] >> 7 & 255]++;
    for (int i = 0; i < 256; i++)
        bits += counts[i] > 0 ? counts[i] * log2(N / counts[i]) : 0;
    struct codec_chunk chunk = pair(DTYPE_BF16, w, NULL, N * 2);
    size_t len = round_trip(work, CODEC_PLANES, &chunk);
    /* The exponent plane alone: the rest takes 8 bits an element. */
    assert_true(len > 0 && (double)len * 8 - 8.0 * N < (bits - 8.0 * N) * 1.005);
    codec_work_free(work);
}

static void codec_encode__base_unrelated__delta_is_as_small_as_planes(void **state)
{
    (void)state;
    enum { N = 70000 };
    struct codec_work *work = codec_work_new();
    AUTO_FREE uint16_t *base = mem_alloc(N * 2), *other = mem_alloc(N * 2);
    test_weights(base, N, NULL, 5);
    test_weights(other, N, NULL, 60);
    struct codec_chunk chunk = pair(DTYPE_BF16, other, base, N * 2), shorter = chunk;
    shorter.base_n = N;
    size_t alone = round_trip(work, CODEC_PLANES, &chunk);
    assert_int_equal(round_trip(work, CODEC_DELTA, &chunk), alone + 1);
    assert_true(round_trip(work, CODEC_DELTA, &shorter) < alone + 200);
    codec_work_free(work);
}

static void codec_encode__noise__is_never_larger(void **state)
{
    (void)state;
    enum { N = 1 << 20 };
    struct codec_work *work = codec_work_new();
    AUTO_FREE uint8_t *raw = mem_alloc(N), *base = mem_alloc(N);
    uint32_t random = 3;
    for (size_t i = 0; i < N; i++) {
        raw[i] = (uint8_t)test_random(&random);
        base[i] = (uint8_t)test_random(&random);
    }
    for (int codec = 0; codec < CODEC_COUNT; codec++) {
        struct codec_chunk chunk = pair(DTYPE_F32, raw, base, N);
        assert_true(round_trip(work, (enum codec)codec, &chunk) < N);
    }
    codec_work_free(work);
}

/* Chunks whose streams were written once and are kept: tests/data/NAME.bin. */
enum { FROZEN = 30000 };
struct frozen {
    const char *name;
    enum codec codec;
    enum dtype dtype;
    size_t count, base_count;
};

static const struct frozen frozen[] = {
    {"planes-1-bf16", CODEC_PLANES_1, DTYPE_BF16, 3000, 0},
    {"planes-1-f32", CODEC_PLANES_1, DTYPE_F32, 1500, 0},
    {"planes-1-i32", CODEC_PLANES_1, DTYPE_I32, 1500, 0},
    {"planes-bf16", CODEC_PLANES, DTYPE_BF16, 3000, 0},
    {"planes-f32", CODEC_PLANES, DTYPE_F32, 1500, 0},
    {"planes-i32", CODEC_PLANES, DTYPE_I32, 1500, 0},
    {"delta-bf16", CODEC_DELTA, DTYPE_BF16, 10000, 10000},
    {"delta-f32", CODEC_DELTA, DTYPE_F32, 1500, 1500},
    {"delta-rows", CODEC_DELTA, DTYPE_BF16, 3000, 2000},
    {"delta-view", CODEC_DELTA, DTYPE_F16, 6000, 6000},
    {"delta-sparse", CODEC_DELTA, DTYPE_BF16, FROZEN, FROZEN},
};

static void fill_frozen(const struct frozen *f, uint8_t *raw, uint8_t *base)
{
    uint16_t w[FROZEN], v[FROZEN];
    uint32_t random = 5;
    test_weights(v, f->count, NULL, 41);
    test_weights(w, f->count, f->base_count ? v : NULL, 42);
    if (f->count == FROZEN)
        fill_small_step(v, w, FROZEN);
    float_convert(DTYPE_BF16, dtype_is_float(f->dtype) ? f->dtype : DTYPE_F32, (uint8_t *)w,
                  f->count, raw);
    float_convert(DTYPE_BF16, f->dtype, (uint8_t *)v, f->base_count, base);
    for (uint32_t i = 0; i < f->count && f->dtype == DTYPE_F32; i++) {
        ((uint32_t *)raw)[i] |= test_random(&random) & 0xffff;
        ((uint32_t *)base)[i] |= i * 7;
    }
    for (uint32_t i = 0; i < f->count && f->dtype == DTYPE_I32; i++)
        ((uint32_t *)raw)[i] = i % 7 * 1000;
}

/* FREEZE=1 writes those that are not there yet. */
static void codec_decode__streams_that_were_written__come_back(void **state)
{
    (void)state;
    AUTO_FREE char *dir = mem_printf("%s/tests/data", getenv("srcdir") ? getenv("srcdir") : ".");
    struct codec_work *work = codec_work_new();
    for (size_t k = 0; k < COUNT_OF(frozen); k++) {
        const struct frozen *f = &frozen[k];
        size_t width = dtype_width(f->dtype), n = f->count * width;
        AUTO_FREE uint8_t *raw = mem_zalloc(n), *base = mem_zalloc(n), *back = mem_alloc(n);
        AUTO_FREE char *name = mem_printf("%s.bin", f->name);
        fill_frozen(f, raw, base);
        struct codec_chunk chunk = {f->dtype, raw, f->base_count ? base : NULL, n,
                                    f->base_count * width};
        if (getenv("FREEZE") && !test_exists(dir, name)) {
            AUTO_FREE uint8_t *out = mem_alloc(codec_bound(n));
            test_write(dir, name, out, codec_encode(work, f->codec, &chunk, out));
        }
        AUTO_BUF struct buf stream = test_read(dir, name);
        assert_true(stream.len > 0 && stream.len < n);
        assert_int_equal(decode(work, f->codec, &chunk, (uint8_t *)stream.data, stream.len, back),
                         0);
        assert_memory_equal(back, raw, n);
    }
    codec_work_free(work);
}

/* docs/codec-delta.md and docs/codec-planes.md. */
static void codec__examples_of_the_docs__are_these_bytes(void **state)
{
    (void)state;
    static const uint8_t delta[] = {0x01, 0x7f, 0x01, 0x00, 0x14, 0x38, 0xf5,
                                    0x00, 0x80, 0xa3, 0x02, 0x00, 0xb4, 0x87};
    static const uint8_t planes[] = {0x02, 0x0d, 0x7f, 0x05, 0x1c, 0x10, 0x01, 0x45, 0x0f,
                                     0x0c, 0x00, 0x0a, 0xea, 0x78, 0x2c, 0x01, 0x00};
    struct codec_work *work = codec_work_new();
    AUTO_FREE uint8_t *out = mem_alloc(codec_bound(128)), *back = mem_alloc(128);
    uint16_t base[16], fine[16], alone[64];
    for (size_t i = 0; i < COUNT_OF(base); i++) {
        base[i] = i < 8 ? 0x3f80 : 0x3e80;
        fine[i] = (uint16_t)(base[i] + (i == 2 || i == 7 || i == 12) - (i == 4));
    }
    for (size_t i = 0; i < COUNT_OF(alone); i++)
        alone[i] = i % 8 ? 0x3f80 : 0x4000;
    struct codec_chunk pairs = pair(DTYPE_BF16, fine, base, sizeof fine);
    struct codec_chunk single = pair(DTYPE_BF16, alone, NULL, sizeof alone);
    assert_int_equal(codec_encode(work, CODEC_DELTA, &pairs, out), sizeof delta);
    assert_memory_equal(out, delta, sizeof delta);
    assert_int_equal(decode(work, CODEC_DELTA, &pairs, delta, sizeof delta, back), 0);
    assert_memory_equal(back, fine, sizeof fine);
    assert_int_equal(codec_encode(work, CODEC_PLANES, &single, out), sizeof planes);
    assert_memory_equal(out, planes, sizeof planes);
    assert_int_equal(decode(work, CODEC_PLANES, &single, planes, sizeof planes, back), 0);
    assert_memory_equal(back, alone, sizeof alone);
    codec_work_free(work);
}

static void codec_decode__wrong_base__does_not_give_the_bytes(void **state)
{
    (void)state;
    enum { N = 4096 };
    struct codec_work *work = codec_work_new();
    AUTO_FREE uint16_t *base = mem_alloc(N * 2), *fine = mem_alloc(N * 2);
    AUTO_FREE uint8_t *out = mem_alloc(codec_bound(N * 2)), *back = mem_alloc(N * 2);
    test_weights(base, N, NULL, 5);
    test_weights(fine, N, base, 6);
    struct codec_chunk chunk = pair(DTYPE_BF16, fine, base, N * 2);
    struct codec_chunk without = pair(DTYPE_BF16, fine, NULL, N * 2);
    for (int codec = CODEC_BITX; codec < CODEC_COUNT; codec++) {
        if (!codec_needs_base((enum codec)codec))
            continue;
        size_t len = codec_encode(work, (enum codec)codec, &chunk, out);
        assert_int_equal(decode(work, (enum codec)codec, &without, out, len, back), ERR_DAMAGED);
        chunk.base = (uint8_t *)fine;
        if (decode(work, (enum codec)codec, &chunk, out, len, back) == 0)
            assert_memory_not_equal(back, fine, N * 2);
        chunk.base = (uint8_t *)base;
    }
    codec_work_free(work);
}

static void codec_decode__damaged_streams__fail_or_fill_exactly(void **state)
{
    (void)state;
    enum { N = 40000 };
    struct codec_work *work = codec_work_new();
    AUTO_FREE uint16_t *base = mem_alloc(N * 2), *fine = mem_alloc(N * 2);
    AUTO_FREE uint8_t *out = mem_alloc(codec_bound(N * 2)), *bad = mem_alloc(codec_bound(N * 2));
    AUTO_FREE uint8_t *back = mem_alloc(N * 2);
    uint32_t random = 1;
    for (int sparse = 0; sparse < 2; sparse++) {
        test_weights(base, N, NULL, 5);
        test_weights(fine, N, base, 6);
        for (size_t i = 0; i < N && sparse; i++)
            fine[i] = i % 61 ? base[i] : fine[i];
        struct codec_chunk chunk = pair(DTYPE_BF16, fine, base, N * 2);
        for (int codec = 0; codec < CODEC_COUNT; codec++) {
            size_t len = codec_encode(work, (enum codec)codec, &chunk, out);
            for (int i = 0; i < 300 && len; i++) {
                size_t cut = i % 3 ? len : test_random(&random) % len;
                simd_use((enum simd)(i % SIMD_COUNT));
                memcpy(bad, out, len);
                for (int k = 0; k < 1 + i % 4; k++)
                    bad[test_random(&random) % (k % 2 ? len : MIN(len, (size_t)200))] ^=
                        (uint8_t)(1u << (test_random(&random) % 8));
                (void)decode(work, (enum codec)codec, &chunk, bad, cut, back);
            }
            if (len)
                assert_true(decode(work, (enum codec)codec, &chunk, out, len - 1, back) < 0);
        }
    }
    assert_int_equal(
        codec_decode(work, CODEC_DELTA, DTYPE_U8, (uint8_t *)"\0\5", 2, out, 1, back, 1, NULL),
        ERR_DAMAGED);
    /* One class of the symbols 254 and 255, which no number has. */
    static const uint8_t beyond[8 + 8 * 4] = {
        0x01, 0x00, 0x01, 0xfe, 0xfd, 0x9f, 0xb8, 0x03, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0,
        0,    0,    1,    0,    0,    0,    1,    0,    0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0};
    assert_int_equal(decode(work, CODEC_DELTA,
                            &(struct codec_chunk){DTYPE_F32, NULL, (uint8_t *)base, N, N}, beyond,
                            sizeof beyond, back),
                     ERR_DAMAGED);
    assert_int_equal(codec_decode(work, (enum codec)99, DTYPE_U8, out, 1, NULL, 0, back, 1, NULL),
                     ERR_UNSUPPORTED);
    codec_work_free(work);
}

static void float_convert__f16__rounds_to_nearest_even(void **state)
{
    (void)state;
    static const struct {
        uint32_t wide;
        uint16_t narrow;
        bool exact;
    } cases[] = {
        {0x3f800000, 0x3c00, true},  /* 1 */
        {0xbf800000, 0xbc00, true},  /* -1 */
        {0x3f801000, 0x3c00, false}, /* halfway above 1: to the even one below */
        {0x3f803000, 0x3c02, false}, /* halfway: to the even one above */
        {0x3f801001, 0x3c01, false}, /* just over halfway */
        {0x477fe000, 0x7bff, true},  /* 65504, the largest */
        {0x477fefff, 0x7bff, false}, /* below halfway to what would be the next */
        {0x477ff000, 0x7c00, false}, /* halfway: infinity */
        {0x38800000, 0x0400, true},  /* the smallest normal one */
        {0x387fc000, 0x03ff, true},  /* the largest subnormal one */
        {0x387fe000, 0x0400, false}, /* halfway up to the normal one */
        {0x33800000, 0x0001, true},  /* the smallest */
        {0x33000000, 0x0000, false}, /* half of it: to zero, which is even */
        {0x33000001, 0x0001, false}, /* a little more than half */
        {0x80000000, 0x8000, true},  /* -0 */
        {0x7f800000, 0x7c00, true},  /* infinity */
        {0x7fc00000, 0x7e00, true},  /* NaN */
        {0x7f800001, 0x7c01, false}, /* NaN whose payload does not fit stays NaN */
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        uint16_t narrow;
        float_convert(DTYPE_F32, DTYPE_F16, (const uint8_t *)&cases[i].wide, 1, (uint8_t *)&narrow);
        assert_int_equal(narrow, cases[i].narrow);
        assert_int_equal(float_fits(DTYPE_F32, DTYPE_F16, (const uint8_t *)&cases[i].wide, 1),
                         cases[i].exact);
    }
}

static void float_convert__widening__is_exact_for_every_pattern(void **state)
{
    (void)state;
    for (uint32_t u = 0; u < 65536; u++) {
        uint16_t h = (uint16_t)u, back;
        uint32_t wide;
        for (int f16 = 0; f16 < 2; f16++) {
            enum dtype dtype = f16 ? DTYPE_F16 : DTYPE_BF16;
            float_convert(dtype, DTYPE_F32, (uint8_t *)&h, 1, (uint8_t *)&wide);
            float_convert(DTYPE_F32, dtype, (uint8_t *)&wide, 1, (uint8_t *)&back);
            assert_int_equal(back, h);
        }
    }
}

static void ordered_split__neighbours__differ_by_one_step(void **state)
{
    (void)state;
    /* -min, -0, +0, min, and one float and the next, on both sides of zero. */
    static const uint16_t base[] = {0x8001, 0x8000, 0x0000, 0x3f80, 0xbf80, 0x7fff, 0x3f80};
    static const uint16_t next[] = {0x8000, 0x0000, 0x0001, 0x3f81, 0xbf81, 0xffff, 0x3f80};
    static const uint32_t folded[] = {2, 2, 2, 2, 1, 2, 0};
    uint32_t values[COUNT_OF(base)];
    uint8_t exponents[COUNT_OF(base)];
    ordered_split(DTYPE_BF16, (const uint8_t *)next, (const uint8_t *)base, COUNT_OF(base), values,
                  exponents);
    assert_memory_equal(values, folded, sizeof folded);
    assert_int_equal(exponents[3], 127);
}

static void planes_split__special_floats__merge_to_the_same_bits(void **state)
{
    (void)state;
    static const uint32_t special[] = {0x00000000, 0x80000000, 0x7f800000, 0xff800000,
                                       0x7fc00001, 0xffffffff, 0x00000001, 0x007fffff};
    uint8_t planes[sizeof special], back[sizeof special];
    planes_split(DTYPE_F32, (const uint8_t *)special, NULL, COUNT_OF(special), planes);
    planes_merge(DTYPE_F32, planes, NULL, COUNT_OF(special), back);
    assert_memory_equal(back, special, sizeof special);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(codec__every_type_length_and_content__comes_back),
        cmocka_unit_test(codec_encode__fine_tune_with_its_base__delta_is_well_below_bitx),
        cmocka_unit_test(codec_encode__delta__is_near_its_entropy),
        cmocka_unit_test(codec_encode__few_elements_differ__takes_little_more_than_their_entropy),
        cmocka_unit_test(codec_encode__small_step__is_near_its_entropy),
        cmocka_unit_test(codec_encode__base_equal_or_constant__costs_next_to_nothing),
        cmocka_unit_test(codec_encode__special_floats__come_back_to_the_bit),
        cmocka_unit_test(codec_encode__f32_that_holds_16_bits__is_as_small_as_16_bits),
        cmocka_unit_test(codec_encode__base_with_fewer_rows__the_common_ones_are_a_delta),
        cmocka_unit_test(codec_encode__planes__are_near_the_entropy_of_the_exponent),
        cmocka_unit_test(codec_encode__base_unrelated__delta_is_as_small_as_planes),
        cmocka_unit_test(codec_encode__noise__is_never_larger),
        cmocka_unit_test(codec_decode__streams_that_were_written__come_back),
        cmocka_unit_test(codec__examples_of_the_docs__are_these_bytes),
        cmocka_unit_test(codec_decode__wrong_base__does_not_give_the_bytes),
        cmocka_unit_test(codec_decode__damaged_streams__fail_or_fill_exactly),
        cmocka_unit_test(float_convert__f16__rounds_to_nearest_even),
        cmocka_unit_test(float_convert__widening__is_exact_for_every_pattern),
        cmocka_unit_test(ordered_split__neighbours__differ_by_one_step),
        cmocka_unit_test(planes_split__special_floats__merge_to_the_same_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
