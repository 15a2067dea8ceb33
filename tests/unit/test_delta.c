/* SPDX-License-Identifier: MIT */
/* Comparing tensors, on every vector path against a plain computation; modules by names. */
#include "tests/unit/helpers.h"

#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "bits/exponents.h"
#include "bits/floats.h"
#include "bits/simd.h"
#include "delta/compare.h"
#include "model/modules.h"
#include "ops/choose.h"
#include "ops/delta.h"
#include "ops/details.h"
#include "ops/scan.h"
#include "ops/table.h"

#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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

static void compare_add__huge_and_tiny_weights__keep_their_measures(void **state)
{
    (void)state;
    static const float sizes[] = {1e-30f, 1e-22f, 1e20f, 3e38f};
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        float own[1000], base[1000];
        struct comparison sum = {0};
        for (size_t k = 0; k < COUNT_OF(own); k++) {
            base[k] = k % 2 ? sizes[i] : -sizes[i];
            own[k] = k % 4 ? base[k] : -base[k];
        }
        compare_add(&sum, DTYPE_F32, (const uint8_t *)own, (const uint8_t *)base, COUNT_OF(own));
        /* A quarter of the weights has moved by twice its size. */
        assert_true(fabs(compare_relative_change(&sum) - 1) < 1e-6);
        assert_true(fabs(compare_cosine(&sum) - 0.5) < 1e-6);
    }
}

static void compare_scale__a_sample__stands_for_all(void **state)
{
    (void)state;
    struct comparison sum = {
        .elements = 100, .unchanged = 25, .bits = 150, .flips = {75}, .base = 4};
    struct comparison same = {.elements = 7, .unchanged = 7};
    compare_scale(&sum, 1000000007);
    assert_int_equal(sum.elements, 1000000007);
    assert_true(fabs(compare_unchanged(&sum) - 0.25) < 1e-8);
    assert_true(fabs(compare_bit_distance(&sum) - 1.5) < 1e-8);
    assert_int_equal(sum.flips[0], 750000005);
    compare_scale(&same, UINT64_MAX / 3);
    assert_int_equal(same.unchanged, same.elements); /* nothing is lost to rounding */
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

static void exponents_add__numbers_zeros_and_others__are_told_apart(void **state)
{
    (void)state;
    static struct exponents sum, half;
    const float values[] = {1, 1.5f, -1.9f, 0.25f, 0, -0.0f, INFINITY, NAN, 0x1p-140f};
    exponents_add(&sum, DTYPE_F32, (const uint8_t *)values, COUNT_OF(values));
    assert_int_equal(sum.elements, 9);
    assert_int_equal(sum.zeros, 2);
    assert_int_equal(sum.infinities, 1);
    assert_int_equal(sum.nans, 1);
    assert_int_equal(sum.counts[127], 3);
    assert_int_equal(sum.counts[125], 1);
    assert_int_equal(sum.counts[0], 1); /* subnormal */
    assert_int_equal(exponents_power(DTYPE_F32, 125), -2);
    assert_int_equal(exponents_power(DTYPE_BF16, 0), -126);
    const uint16_t halves[] = {0x3c00, 0x0001, 0x7c00}; /* 1, subnormal, infinity */
    exponents_add(&half, DTYPE_F16, (const uint8_t *)halves, COUNT_OF(halves));
    assert_int_equal(half.counts[15], 1);
    assert_int_equal(half.counts[0], 1);
    assert_int_equal(half.infinities, 1);
    assert_int_equal(exponents_power(DTYPE_F16, 15), 0);
}

static void table__strange_names__are_safe_in_csv_and_whole_in_json(void **state)
{
    (void)state;
    static const char *const columns[] = {"name", "bytes", "share"};
    struct table table = {.columns = columns, .width = COUNT_OF(columns)};
    AUTO_BUF struct buf csv = {0}, json = {0}, none = {0};
    struct err err = {0};
    table_text(&table, "=say \"hi\"\n\033[2J");
    table_int(&table, 7);
    table_real(&table, 0.25);
    table_text(&table, "b, c");
    table_none(&table);
    table_none(&table);
    assert_int_equal(table_for(&table, "x.csv", &csv, &err), 0);
    assert_string_equal(csv.data, "name,bytes,share\n"
                                  "\"'=say \"\"hi\"\"\\x0a\\x1b[2J\",7,0.25\n"
                                  "\"b, c\",,\n");
    assert_int_equal(table_for(&table, "x.json", &json, &err), 0);
    AUTO_JS js *document = NULL;
    assert_int_equal(js_parse(json.data, json.len, &document, NULL), 0);
    const js *row = js_at(js_get(document, "rows"), 0);
    assert_string_equal(js_get_text(row, "name"), "=say \"hi\"\n\033[2J");
    assert_int_equal(js_get_int(row, "bytes", 0), 7);
    assert_int_equal(table_for(&table, "x.txt", &none, &err), ERR_USAGE);
    table_release(&table);
}

/* A scanned collection of a model, its fine-tune and, where wanted, a copy. */
static struct ops *scan_pair(const char *dir, size_t count, bool copy, struct library **ret)
{
    AUTO_FREE char *root = test_path(dir, "m"), *catalog = test_path(dir, "c.db");
    struct buf base = test_model(count, 3, 0), fine = test_model(count, 3, 9);
    test_write(root, "base/model.safetensors", base.data, base.len);
    test_write(root, "fine/model.safetensors", fine.data, fine.len);
    if (copy)
        test_write(root, "copy/model.safetensors", base.data, base.len);
    buf_release(&base);
    buf_release(&fine);
    const char *const paths[] = {root, NULL};
    const struct scan_request request = {.paths = paths};
    const struct ops_options options = {.catalog = catalog, .threads = 1};
    struct scan_report report;
    struct ops *ops;
    assert_int_equal(ops_open(&options, &ops, NULL), 0);
    assert_int_equal(ops_scan(ops, &request, NULL, &report, NULL), 0);
    scan_report_release(&report);
    assert_int_equal(ops_library(ops, ret, NULL), 0);
    return ops;
}

/* Other weights behind the header; with hide the times are as before. */
static void overwrite(const char *path, bool hide)
{
    struct stat st;
    AUTO_FD int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_int_equal(fstat(fd, &st), 0);
    const struct timespec later = {.tv_sec = st.st_mtim.tv_sec + 5};
    const struct timespec times[2] = {st.st_atim, hide ? st.st_mtim : later};
    assert_int_equal(file_pwrite(fd, "something", 9, (uint64_t)st.st_size - 9, NULL), 0);
    assert_int_equal(futimens(fd, times), 0);
}

static void ops_delta__samples__agree_with_all_of_it(void **state)
{
    (void)state;
    char *dir = test_folder();
    struct library *library;
    struct delta_report all, some, again;
    struct ops *ops = scan_pair(dir, 3000000, false, &library);
    int base = library->models[0].name[0] == 'b' ? 0 : 1;
    assert_int_equal(ops_delta_sampled(ops, library, 1 - base, base, NULL, &some, NULL), 0);
    assert_int_equal(ops_delta(ops, library, 1 - base, base, NULL, &all, NULL), 0);
    assert_true(some.sampled && !all.sampled);
    assert_int_equal(some.total.elements, all.total.elements); /* each tensor by its size */
    assert_int_equal(some.estimated, 0);
    assert_true(fabs(compare_bit_distance(&some.total) - compare_bit_distance(&all.total)) < 0.05);
    assert_true(fabs(compare_unchanged(&some.total) - compare_unchanged(&all.total)) < 0.02);
    assert_true(all.estimated > 0 && all.estimated < all.bytes);
    /* It is remembered: nothing is read again of what looks as it was. */
    overwrite(library->files[0].path, true);
    assert_int_equal(ops_delta(ops, library, 1 - base, base, NULL, &again, NULL), 0);
    assert_memory_equal(&again.total, &all.total, sizeof all.total);
    assert_int_equal(again.estimated, all.estimated);
    delta_report_release(&all);
    delta_report_release(&some);
    delta_report_release(&again);
    library_unref(library);
    ops_close(ops);
    test_remove(dir);
}

static void ops_delta__a_file_that_has_changed__is_refused(void **state)
{
    (void)state;
    char *dir = test_folder();
    struct library *library;
    struct delta_report report;
    struct err err;
    struct ops *ops = scan_pair(dir, 3000, false, &library);
    overwrite(library->files[0].path, false);
    assert_int_equal(ops_delta(ops, library, 1, 0, NULL, &report, &err), ERR_CHANGED);
    assert_non_null(strstr(err.text, library->files[0].path));
    assert_int_equal(ops_delta_sampled(ops, library, 0, 1, NULL, &report, NULL), ERR_CHANGED);
    library_unref(library);
    ops_close(ops);
    test_remove(dir);
}

/* A tensor of doubles that is long enough for a closer look at a sparse difference. */
static void ops_delta__doubles_of_many_megabytes__are_estimated(void **state)
{
    (void)state;
    static const uint64_t bytes = 128 << 20; /* zeros: a hole in a file */
    struct choice choice;
    char *dir = test_folder();
    AUTO_FREE char *path = test_path(dir, "zeros");
    AUTO_FD int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
    const struct bytes_at at = {.fd = fd};
    const struct base_at base = {at, bytes, DTYPE_F64};
    struct chooser *chooser = chooser_new();
    assert_int_equal(choose(chooser, DTYPE_F64, bytes, &at, &base, &choice, NULL), 0);
    assert_true(choice.delta_bytes < bytes / 1000);
    chooser_free(chooser);
    test_remove(dir);
}

/* Elements of own that differ from the base: one of `every`. */
static void predict(unsigned every, double *ret_predicted, double *ret_real)
{
    enum { ELEMENTS = 1 << 20, TENSORS = 3, BYTES = 2 * ELEMENTS };
    uint32_t random = every;
    char *dir = test_folder();
    AUTO_FREE uint16_t *base = mem_alloc(BYTES), *own = mem_alloc(BYTES);
    AUTO_FREE uint8_t *out = mem_alloc(codec_bound(BYTES));
    AUTO_FREE char *path = test_path(dir, "pair");
    AUTO_FD int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    struct chooser *chooser = chooser_new();
    struct codec_work *work = codec_work_new();
    for (unsigned i = 0; i < TENSORS; i++) {
        const struct bytes_at at = {.fd = fd};
        const struct base_at from = {{.fd = fd, .offset = BYTES}, BYTES, DTYPE_BF16};
        const struct codec_chunk chunk = {DTYPE_BF16, (uint8_t *)own, (uint8_t *)base, BYTES,
                                          BYTES};
        struct choice choice;
        test_weights(base, ELEMENTS, NULL, i + 1);
        test_weights(own, ELEMENTS, base, i + 100);
        for (size_t k = 0; k < ELEMENTS; k++)
            own[k] = test_random(&random) % every ? base[k] : own[k];
        assert_int_equal(file_pwrite(fd, own, BYTES, 0, NULL), 0);
        assert_int_equal(file_pwrite(fd, base, BYTES, BYTES, NULL), 0);
        assert_int_equal(choose(chooser, DTYPE_BF16, BYTES, &at, &from, &choice, NULL), 0);
        assert_int_equal(choice.delta, CODEC_DELTA);
        *ret_predicted += (double)choice.delta_bytes;
        *ret_real += (double)codec_encode(work, CODEC_DELTA, &chunk, out);
    }
    codec_work_free(work);
    chooser_free(chooser);
    test_remove(dir);
}

static void choose__generated_pairs__predict_within_three_percent(void **state)
{
    (void)state;
    static const unsigned every[] = {1, 3, 10, 100};
    for (size_t i = 0; i < COUNT_OF(every); i++) {
        double predicted = 0, real = 0;
        predict(every[i], &predicted, &real);
        if (fabs(predicted / real - 1) > 0.03)
            fail_msg("one of %u differs: %.0f, and it takes %.0f", every[i], predicted, real);
    }
}

static void ops_tensor__a_tensor_that_stands_twice__names_the_other_place(void **state)
{
    (void)state;
    char *dir = test_folder();
    struct library *library;
    struct tensor_look look;
    struct details details;
    struct err err = {0};
    struct ops *ops = scan_pair(dir, 60000, true, &library);
    /* The models stand in the order in which they were found: base, copy, fine. */
    assert_int_equal(ops_details(ops, library, 0, NULL, &details, NULL), 0);
    assert_true(details.count == 2 && details.history.count == 0);
    const struct detail_tensor *t = &details.tensors[1];
    assert_int_equal(ops_tensor(ops, library, 0, t->name, t->name_len, NULL, &look, NULL), 0);
    assert_int_equal(look.place_count, 1);
    assert_string_equal(look.places[0].name, t->name);
    assert_true(look.places[0].model != 0);
    assert_int_equal(look.spread.elements, look.all);
    assert_int_equal(look.all * 2, t->bytes);
    uint64_t sum = look.spread.zeros;
    for (int i = 0; i < EXPONENTS; i++)
        sum += look.spread.counts[i];
    assert_int_equal(sum, look.all);
    tensor_look_release(&look);
    assert_int_equal(ops_tensor(ops, library, 0, "no such", 7, NULL, &look, &err), ERR_NOTFOUND);
    details_release(&details);
    library_unref(library);
    ops_close(ops);
    test_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(compare_add__every_type_and_path__is_as_computed_plainly),
        cmocka_unit_test(compare_join__two_parts__are_the_whole),
        cmocka_unit_test(exponents_add__numbers_zeros_and_others__are_told_apart),
        cmocka_unit_test(table__strange_names__are_safe_in_csv_and_whole_in_json),
        cmocka_unit_test(ops_delta__samples__agree_with_all_of_it),
        cmocka_unit_test(ops_delta__a_file_that_has_changed__is_refused),
        cmocka_unit_test(ops_delta__doubles_of_many_megabytes__are_estimated),
        cmocka_unit_test(compare_add__huge_and_tiny_weights__keep_their_measures),
        cmocka_unit_test(compare_scale__a_sample__stands_for_all),
        cmocka_unit_test(choose__generated_pairs__predict_within_three_percent),
        cmocka_unit_test(ops_tensor__a_tensor_that_stands_twice__names_the_other_place),
        cmocka_unit_test(module_of__names_of_the_usual_architectures__give_layer_and_module),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
