/* SPDX-License-Identifier: MIT */
#include "tests/unit/helpers.h"

#include "base/err.h"
#include "bits/planes.h"
#include "codec/codec.h"

#include <math.h>
#include <string.h>

/* Encodes, encodes again, decodes; the length, 0 where the codec does not gain. */
static size_t round_trip(struct codec_work *work, enum codec codec, const struct codec_chunk *chunk)
{
    AUTO_FREE uint8_t *a = mem_alloc(codec_bound(chunk->n)), *b = mem_alloc(codec_bound(chunk->n));
    AUTO_FREE uint8_t *back = mem_alloc(chunk->n);
    size_t len = codec_encode(work, codec, chunk, a);
    assert_int_equal(codec_encode(work, codec, chunk, b), len);
    if (!len)
        return 0;
    assert_true(len < chunk->n);
    assert_memory_equal(a, b, len);
    assert_int_equal(
        codec_decode(work, codec, chunk->dtype, a, len, chunk->base, back, chunk->n, NULL), 0);
    assert_memory_equal(back, chunk->raw, chunk->n);
    return len;
}

static void codec__every_type_length_and_content__comes_back(void **state)
{
    (void)state;
    struct codec_work *work = codec_work_new();
    uint32_t random = 7;
    static const size_t counts[] = {1, 2, 3, 7, 8, 9, 255, 4097, 70001};
    for (int dtype = 0; dtype < DTYPE_COUNT; dtype++) {
        for (size_t c = 0; c < COUNT_OF(counts); c++) {
            for (int content = 0; content < 4; content++) {
                size_t n = counts[c] * dtype_width((enum dtype)dtype);
                AUTO_FREE uint8_t *raw = mem_alloc(n), *base = mem_alloc(n);
                for (size_t i = 0; i < n; i++) {
                    base[i] = (uint8_t)test_random(&random);
                    raw[i] = content == 0   ? 0
                             : content == 1 ? base[i]
                             : content == 2 ? (uint8_t)(test_random(&random) & 3)
                                            : (uint8_t)test_random(&random);
                }
                struct codec_chunk chunk = {(enum dtype)dtype, raw, base, n};
                for (int codec = 0; codec < CODEC_COUNT; codec++)
                    if (codec_handles((enum codec)codec, (enum dtype)dtype))
                        round_trip(work, (enum codec)codec, &chunk);
            }
        }
    }
    codec_work_free(work);
}

static void codec_encode__base_equal_or_constant__costs_next_to_nothing(void **state)
{
    (void)state;
    enum { N = 65536 };
    struct codec_work *work = codec_work_new();
    AUTO_FREE uint16_t *w = mem_alloc(N * 2), *zero = mem_zalloc(N * 2);
    test_weights(w, N, NULL, 3);
    struct codec_chunk same = {DTYPE_BF16, (uint8_t *)w, (uint8_t *)w, N * 2};
    struct codec_chunk zeros = {DTYPE_BF16, (uint8_t *)zero, NULL, N * 2};
    assert_true(round_trip(work, CODEC_BITX, &same) < 100);
    assert_true(round_trip(work, CODEC_PLANES, &zeros) < 20);
    codec_work_free(work);
}

static void codec_encode__planes__are_near_the_entropy_of_the_exponent(void **state)
{
    (void)state;
    enum { N = CODEC_CHUNK };
    struct codec_work *work = codec_work_new();
    AUTO_FREE uint16_t *w = mem_alloc(N * 2);
    double counts[256] = {0}, bits = 8.0 * N;
    test_weights(w, N, NULL, 11);
    for (size_t i = 0; i < N; i++)
        counts[w[i] >> 7 & 255]++;
    for (int i = 0; i < 256; i++)
        bits += counts[i] > 0 ? counts[i] * log2(N / counts[i]) : 0;
    struct codec_chunk chunk = {DTYPE_BF16, (uint8_t *)w, NULL, N * 2};
    size_t len = round_trip(work, CODEC_PLANES, &chunk);
    assert_true(len > 0 && (double)len < bits / 8 * 1.005);
    codec_work_free(work);
}

static void codec_encode__fine_tune_with_its_base__beats_standalone(void **state)
{
    (void)state;
    enum { N = 65536 };
    struct codec_work *work = codec_work_new();
    AUTO_FREE uint16_t *base = mem_alloc(N * 2), *fine = mem_alloc(N * 2);
    test_weights(base, N, NULL, 5);
    test_weights(fine, N, base, 6);
    struct codec_chunk chunk = {DTYPE_BF16, (uint8_t *)fine, (uint8_t *)base, N * 2};
    size_t delta = round_trip(work, CODEC_BITX, &chunk);
    size_t alone = round_trip(work, CODEC_PLANES, &chunk);
    assert_true(delta > 0 && delta < alone * 9 / 10);
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
    struct codec_chunk chunk = {DTYPE_BF16, (uint8_t *)fine, (uint8_t *)base, N * 2};
    size_t len = codec_encode(work, CODEC_BITX, &chunk, out);
    assert_int_equal(codec_decode(work, CODEC_BITX, DTYPE_BF16, out, len, NULL, back, N * 2, NULL),
                     ERR_DAMAGED);
    codec_work_free(work);
}

static void codec_decode__damaged_streams__fail_or_fill_exactly(void **state)
{
    (void)state;
    enum { N = 2048 };
    struct codec_work *work = codec_work_new();
    AUTO_FREE uint16_t *base = mem_alloc(N * 2), *fine = mem_alloc(N * 2);
    AUTO_FREE uint8_t *out = mem_alloc(codec_bound(N * 2)), *bad = mem_alloc(codec_bound(N * 2));
    AUTO_FREE uint8_t *back = mem_alloc(N * 2);
    uint32_t random = 1;
    test_weights(base, N, NULL, 5);
    test_weights(fine, N, base, 6);
    struct codec_chunk chunk = {DTYPE_BF16, (uint8_t *)fine, (uint8_t *)base, N * 2};
    for (int codec = 0; codec < CODEC_COUNT; codec++) {
        size_t len = codec_encode(work, (enum codec)codec, &chunk, out);
        for (int i = 0; i < 2000 && len; i++) {
            size_t cut = i % 3 ? len : test_random(&random) % len;
            memcpy(bad, out, len);
            for (int k = 0; k < 1 + i % 4; k++)
                bad[test_random(&random) % len] ^= (uint8_t)(1u << (test_random(&random) % 8));
            (void)codec_decode(work, (enum codec)codec, DTYPE_BF16, bad, cut, (uint8_t *)base, back,
                               N * 2, NULL);
        }
        if (len)
            assert_true(codec_decode(work, (enum codec)codec, DTYPE_BF16, out, len - 1,
                                     (uint8_t *)base, back, N * 2, NULL) < 0);
    }
    assert_int_equal(codec_decode(work, (enum codec)99, DTYPE_U8, out, 1, NULL, back, 1, NULL),
                     ERR_UNSUPPORTED);
    codec_work_free(work);
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
        cmocka_unit_test(codec_encode__base_equal_or_constant__costs_next_to_nothing),
        cmocka_unit_test(codec_encode__planes__are_near_the_entropy_of_the_exponent),
        cmocka_unit_test(codec_encode__fine_tune_with_its_base__beats_standalone),
        cmocka_unit_test(codec_decode__wrong_base__does_not_give_the_bytes),
        cmocka_unit_test(codec_decode__damaged_streams__fail_or_fill_exactly),
        cmocka_unit_test(planes_split__special_floats__merge_to_the_same_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
