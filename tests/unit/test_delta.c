/* SPDX-License-Identifier: MIT */
/* Comparing tensors, on every vector path against a plain computation; modules by names. */
#include "tests/unit/helpers.h"

#include "bits/floats.h"
#include "bits/simd.h"
#include "delta/compare.h"
#include "model/modules.h"

#include <math.h>
#include <string.h>

enum { MOST = 9000 };

static float value_of(enum dtype dtype, const uint8_t *p)
{
    float f;
    float_convert(dtype, DTYPE_F32, p, 1, (uint8_t *)&f);
    return isfinite(f) ? f : 0;
}

/* Element by element, in doubles. */
static struct comparison plain(enum dtype dtype, const uint8_t *own, const uint8_t *base, size_t n)
{
    struct comparison sum = {.elements = n};
    unsigned width = dtype_width(dtype);
    for (size_t i = 0; i < n; i++) {
        const uint8_t *p = own + i * width, *q = base + i * width;
        uint64_t x = bits_load(p, width) ^ bits_load(q, width);
        double a = (double)value_of(dtype, p), b = (double)value_of(dtype, q);
        sum.unchanged += x == 0;
        for (unsigned bit = 0; bit < 8 * width; bit++)
            sum.flips[bit] += x >> bit & 1;
        sum.bits += (unsigned)__builtin_popcount(
            (unsigned)(float_to_bf16(dtype, p) ^ float_to_bf16(dtype, q)));
        sum.moved += (a - b) * (a - b);
        sum.own += a * a;
        sum.base += b * b;
        sum.dot += a * b;
    }
    return sum;
}

static void assert_near(double a, double b)
{
    assert_true(fabs(a - b) <= 1e-5 * (fabs(a) + fabs(b)) + 1e-12);
}

static void assert_equal(const struct comparison *sum, const struct comparison *want)
{
    assert_int_equal(sum->elements, want->elements);
    assert_int_equal(sum->unchanged, want->unchanged);
    assert_int_equal(sum->bits, want->bits);
    assert_memory_equal(sum->flips, want->flips, sizeof sum->flips);
    assert_near(sum->moved, want->moved);
    assert_near(sum->base, want->base);
    assert_near(sum->own, want->own);
    assert_near(sum->dot, want->dot);
}

/* Weights and a fine-tune of them, with a stretch that is equal, infinities, NaN, and tiny ones. */
static void make_pair(enum dtype dtype, uint8_t *own, uint8_t *base)
{
    static const float odd[] = {INFINITY, -INFINITY, NAN, 0, -0.0f, 1e-40f, 3e-6f, 65504};
    uint32_t random = 3;
    float a[MOST], b[MOST];
    for (size_t i = 0; i < MOST; i++) {
        b[i] = 0.02f * test_normal(&random);
        a[i] = i / 500 % 3 == 1 ? b[i] : b[i] + 0.002f * test_normal(&random);
        if (i % 997 == 5)
            a[i] = odd[i / 997 % 8];
        if (i % 991 == 7)
            b[i] = odd[i / 991 % 8];
    }
    float_convert(DTYPE_F32, dtype, (const uint8_t *)a, MOST, own);
    float_convert(DTYPE_F32, dtype, (const uint8_t *)b, MOST, base);
}

static void compare_add__every_type_and_path__is_as_computed_plainly(void **state)
{
    (void)state;
    static const enum dtype dtypes[] = {DTYPE_BF16, DTYPE_F16, DTYPE_F32};
    static const size_t lengths[] = {0, 1, 31, 32, 33, 4095, 4096, 4097, MOST};
    static uint8_t own[MOST * 4], base[MOST * 4];
    for (size_t d = 0; d < COUNT_OF(dtypes); d++) {
        make_pair(dtypes[d], own, base);
        for (size_t l = 0; l < COUNT_OF(lengths); l++) {
            struct comparison want = plain(dtypes[d], own, base, lengths[l]);
            for (int level = 0; level < SIMD_COUNT; level++) {
                struct comparison sum = {0};
                simd_use((enum simd)level);
                compare_add(&sum, dtypes[d], own, base, lengths[l]);
                assert_equal(&sum, &want);
            }
            simd_use(SIMD_COUNT - 1);
        }
    }
}

static void compare_join__two_parts__are_the_whole(void **state)
{
    (void)state;
    static uint8_t own[MOST * 4], base[MOST * 4];
    make_pair(DTYPE_BF16, own, base);
    struct comparison whole = {0}, one = {0}, two = {0};
    compare_add(&whole, DTYPE_BF16, own, base, MOST);
    compare_add(&one, DTYPE_BF16, own, base, 1000);
    compare_add(&two, DTYPE_BF16, own + 2000, base + 2000, MOST - 1000);
    compare_join(&one, &two);
    assert_equal(&one, &whole);
    assert_near(compare_unchanged(&one), (double)whole.unchanged / MOST);
    assert_near(compare_cosine(&one), whole.dot / sqrt(whole.base * whole.own));
}

static void module_of__names_of_the_usual_architectures__give_layer_and_module(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int layer;
        const char *module;
    } cases[] = {
        {"model.layers.31.self_attn.q_proj.weight", 31, "self_attn.q_proj"},
        {"model.layers.3.mlp.experts.17.w1.weight", 3, "mlp.experts.*.w1"},
        {"model.layers.3.block_sparse_moe.gate.weight", 3, "block_sparse_moe.gate"},
        {"model.embed_tokens.weight", NO_LAYER, "embed_tokens"},
        {"model.norm.weight", NO_LAYER, "norm"},
        {"lm_head.weight", NO_LAYER, "lm_head"},
        {"transformer.h.11.attn.c_attn.bias", 11, "attn.c_attn.bias"},
        {"h.0.ln_1.weight", 0, "ln_1"},
        {"gpt_neox.layers.5.attention.query_key_value.weight", 5, "attention.query_key_value"},
        {"bert.encoder.layer.2.attention.self.query.weight", 2, "encoder.attention.self.query"},
        {"encoder.block.4.layer.0.SelfAttention.q.weight", 4, "encoder.layer.*.SelfAttention.q"},
        {"decoder.block.4.layer.1.EncDecAttention.q.weight", 4,
         "decoder.layer.*.EncDecAttention.q"},
        {"model.decoder.layers.7.fc1.weight", 7, "decoder.fc1"},
        {"vit.encoder.layer.9.output.dense.weight", 9, "encoder.output.dense"},
        {"backbone.layers.12.mixer.in_proj.weight", 12, "mixer.in_proj"},
        {"down_blocks.1.attentions.0.proj_in.weight", 1, "down_blocks.attentions.*.proj_in"},
        {"weight", NO_LAYER, "weight"},
        {"0.weight", 0, "weight"},
        {"\x1b[31m.1.x", 1, "?[31m.x"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct module module;
        module_of(cases[i].name, strlen(cases[i].name), &module);
        assert_string_equal(module.name, cases[i].module);
        assert_int_equal(module.layer, cases[i].layer);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(compare_add__every_type_and_path__is_as_computed_plainly),
        cmocka_unit_test(compare_join__two_parts__are_the_whole),
        cmocka_unit_test(module_of__names_of_the_usual_architectures__give_layer_and_module),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
