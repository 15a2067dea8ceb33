/* SPDX-License-Identifier: MIT */
#include "tests/unit/helpers.h"

#include "base/err.h"
#include "base/reader.h"
#include "formats/formats.h"
#include "formats/gguf.h"
#include "formats/safetensors.h"
#include "model/names.h"

#include <string.h>

#define T(name, dtype, shape, begin, end)                                                          \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" #begin "," #end \
    "]}"

/* Parses a file made of header and n zero bytes. */
static int parse(const char *header, size_t n, struct layout *layout, struct err *err)
{
    char data[4096] = {0};
    AUTO_BUF struct buf file = test_safetensors(header, data, n);
    struct reader reader = reader_memory(file.data, file.len);
    *layout = (struct layout){0};
    return safetensors_parse(&reader, layout, err);
}

static void assert_accepts(const char *header, size_t n, size_t tensors)
{
    struct layout layout;
    struct err err = {0};
    if (parse(header, n, &layout, &err) != 0)
        fail_msg("refused: %s (%s)", header, err.text);
    assert_int_equal(layout.count, tensors);
    layout_release(&layout);
}

static void assert_refuses(const char *header, size_t n)
{
    struct layout layout;
    struct err err = {0};
    if (parse(header, n, &layout, &err) == 0)
        fail_msg("accepted: %s", header);
    assert_true(strlen(err.text) > 0);
    layout_release(&layout);
}

static void safetensors_parse__what_the_reference_accepts__is_accepted(void **state)
{
    (void)state;
    assert_accepts("{}", 0, 0);
    assert_accepts("{}      ", 0, 0);
    assert_accepts("  \n{}", 0, 0);
    assert_accepts("{\"__metadata__\":null}", 0, 0);
    assert_accepts("{" T("a", "F32", "[]", 0, 4) "}", 4, 1);
    assert_accepts("{" T("a", "F32", "[2,0]", 0, 0) "}", 0, 1);
    assert_accepts("{" T("a", "F32", "[2,0]", 0, 0) "," T("b", "U8", "[0]", 0,
                                                          0) "," T("c", "U8", "[3]", 0, 3) "}",
                   3, 3);
    assert_accepts("{" T("b", "U8", "[2]", 2, 4) "," T("a", "U8", "[2]", 0, 2) "}", 4, 2);
    assert_accepts("{" T("a", "F4", "[2,3]", 0, 3) "}", 3, 1);
    assert_accepts("{" T("a", "F6_E2M3", "[4]", 0, 3) "}", 3, 1);
    assert_accepts("{" T("a", "C64", "[1]", 0, 8) "}", 8, 1);
    assert_accepts("{" T("a\\u0000\\u001b/../b", "U8", "[1]", 0, 1) "}", 1, 1);
    assert_accepts(
        "{\"a\":{\"x\":[{\"y\":1}],\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, 1);
    assert_accepts("{\"a\":[\"U8\",[1],[0,1]]}", 1, 1);
    assert_accepts("{\"a\":{\"dtype\":{\"F32\":null},\"shape\":[1],\"data_offsets\":[0,4]}}", 4, 1);
    assert_accepts("{" T("a", "F32", "[0,18446744073709551615]", 0, 0) "}", 0, 1);
}

static void safetensors_parse__duplicate_names__the_last_counts(void **state)
{
    (void)state;
    struct layout layout;
    assert_int_equal(
        parse("{" T("a", "U8", "[9]", 5, 14) "," T("a", "I8", "[2]", 0, 2) "}", 2, &layout, NULL),
        0);
    assert_int_equal(layout.count, 1);
    assert_int_equal(layout.tensors[0].dtype, DTYPE_I8);
    layout_release(&layout);
    assert_refuses("{\"__metadata__\":{},\"__metadata__\":{}}", 0);
}

static void safetensors_parse__what_the_reference_refuses__is_refused(void **state)
{
    (void)state;
    assert_refuses("", 0);
    assert_refuses("    ", 0);
    assert_refuses("[]", 0);
    assert_refuses("{\"a\":1}", 0);
    assert_refuses("{\"__metadata__\":{\"a\":1}}", 0);
    assert_refuses("{" T("a", "F32", "[1]", 0, 4) "," T("b", "F32", "[1]", 0, 4) "}", 4);
    assert_refuses("{" T("a", "U8", "[1]", 1, 2) "}", 2);
    assert_refuses("{" T("a", "U8", "[1]", 0, 1) "," T("b", "U8", "[1]", 2, 3) "}", 3);
    assert_refuses("{" T("a", "I32", "[2,2]", 0, 4) "}", 4);
    assert_refuses("{" T("a", "U8", "[1]", 1, 0) "}", 1);
    assert_refuses("{" T("a", "F32", "[2,18446744073709551614]", 0, 16) "}", 16);
    assert_refuses("{" T("a", "F32", "[2,9223372036854775806]", 0, 16) "}", 16);
    assert_refuses("{" T("a", "F32", "[18446744073709551615,18446744073709551615,0]", 0, 0) "}", 0);
    assert_refuses("{" T("a", "F4", "[1]", 0, 1) "}", 1);
    assert_refuses("{" T("a", "F8", "[1]", 0, 1) "}", 1);
    assert_refuses("{" T("a", "U8", "[1.0]", 0, 1) "}", 1);
    assert_refuses("{" T("a", "U8", "[-0]", 0, 0) "}", 0);
    assert_refuses("{" T("a", "U8", "[1e0]", 0, 1) "}", 1);
    assert_refuses("{\"a\":{\"dtype\":\"U8\",\"shape\":[1]}}", 1);
    assert_refuses(
        "{\"a\":{\"dtype\":\"U8\",\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1);
    assert_refuses("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1,2]}}", 1);
    assert_refuses("{} x", 0);
    assert_refuses("{\"a\xff\":{}}", 0);
}

static void safetensors_parse__trailing_bytes__are_indexed_and_flagged(void **state)
{
    (void)state;
    struct layout layout;
    assert_int_equal(parse("{" T("a", "U8", "[3]", 0, 3) "}", 5, &layout, NULL), 0);
    assert_true(layout.trailing);
    size_t count;
    AUTO_FREE struct range *ranges = layout_ranges(&layout, &count);
    assert_int_equal(count, 3); /* header, tensor, tail: every byte is in one of them */
    assert_int_equal(ranges[2].bytes, 2);
    assert_null(ranges[2].tensor);
    layout_release(&layout);
}

static void safetensors_parse__truncated__says_so(void **state)
{
    (void)state;
    struct layout layout;
    struct err err = {0};
    assert_int_equal(parse("{" T("a", "F32", "[4]", 0, 16) "}", 7, &layout, &err), ERR_FORMAT);
    assert_non_null(strstr(err.text, "truncated"));
    layout_release(&layout);
}

static void safetensors_parse__odd_byte_tensor__is_flagged_unaligned(void **state)
{
    (void)state;
    struct layout layout;
    assert_int_equal(
        parse("{" T("a", "U8", "[1]", 0, 1) "," T("b", "F32", "[1]", 1, 5) "}", 5, &layout, NULL),
        0);
    assert_true(layout.unaligned);
    layout_release(&layout);
}

static void safetensors_parse__header_lengths_that_lie__are_refused(void **state)
{
    (void)state;
    static const uint64_t lengths[] = {UINT64_MAX, 100000001, 1000, UINT64_MAX - 7};
    for (size_t i = 0; i < COUNT_OF(lengths); i++) {
        char bytes[64] = {0};
        struct layout layout = {0};
        memcpy(bytes, &lengths[i], 8);
        struct reader reader = reader_memory(bytes, sizeof bytes);
        assert_true(safetensors_parse(&reader, &layout, NULL) < 0);
        layout_release(&layout);
    }
    struct layout layout = {0};
    struct reader empty = reader_memory("", 0);
    assert_int_equal(safetensors_parse(&empty, &layout, NULL), ERR_FORMAT);
}

static void assert_impostor(const char *bytes, const char *says)
{
    struct layout layout = {0};
    struct err err = {0};
    struct reader reader = reader_memory(bytes, strlen(bytes));
    assert_int_equal(format_parse("model.safetensors", &reader, &layout, &err), ERR_FORMAT);
    if (!strstr(err.text, says))
        fail_msg("'%s' does not say '%s'", err.text, says);
    layout_release(&layout);
}

static void format_parse__files_that_are_something_else__are_named(void **state)
{
    (void)state;
    assert_impostor(
        "version https://git-lfs.github.com/spec/v1\noid sha256:"
        "4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n",
        "12345 bytes");
    assert_impostor("<!DOCTYPE html><html>", "web page");
    assert_impostor("", "empty");
}

static void format_parse__other_weights__are_one_tensor_of_bytes(void **state)
{
    (void)state;
    static const char *const names[] = {"a.gguf", "a.bin",  "a.PT", "a.pth",
                                        "a.ckpt", "a.onnx", "a.npz"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        struct layout layout = {0};
        struct reader reader = reader_memory("GGUF....", 8);
        assert_true(name_is_weight(names[i]));
        assert_int_equal(format_parse(names[i], &reader, &layout, NULL), 0);
        assert_int_equal(layout.count, 1);
        assert_int_equal(layout.tensors[0].bytes, 8);
        layout_release(&layout);
    }
    assert_false(name_is_weight("tokenizer.json"));
    assert_false(name_is_weight(".safetensors"));
}

static void count_file(void *context, const char *file)
{
    buf_printf(context, "%s;", file);
}

static void format_shard_index__paths_that_escape__are_refused(void **state)
{
    (void)state;
    AUTO_BUF struct buf found = {0};
    static const char good[] =
        "{\"metadata\":{\"total_size\":1},\"weight_map\":{\"a\":\"m-00001-of-00002.safetensors\","
        "\"b\":\"m-00001-of-00002.safetensors\",\"c\":\"m-00002-of-00002.safetensors\"}}";
    static const char bad[] = "{\"weight_map\":{\"a\":\"../../.ssh/id_rsa\"}}";
    assert_int_equal(format_shard_index(good, sizeof good - 1, count_file, &found, NULL), 0);
    assert_string_equal(found.data, "m-00001-of-00002.safetensors;m-00002-of-00002.safetensors;");
    assert_int_equal(format_shard_index(bad, sizeof bad - 1, count_file, &found, NULL),
                     ERR_REFUSED);
}

static void name_shard__patterns__are_told_apart(void **state)
{
    (void)state;
    struct shard_name shard;
    assert_true(name_shard("model-00002-of-00005.safetensors", &shard));
    assert_int_equal(shard.index, 2);
    assert_int_equal(shard.count, 5);
    assert_false(name_shard("model-2-of-5.safetensors", &shard));
    assert_false(name_shard("model-00006-of-00005.safetensors", &shard));
    assert_false(name_shard("one-of-these.safetensors", &shard));
    assert_int_equal(name_checkpoint("checkpoint-120"), 120);
    assert_int_equal(name_checkpoint("checkpoint-"), -1);
    assert_int_equal(name_checkpoint("checkpoint-1a"), -1);
}

/* ---- GGUF ---- */

static void put_u64(struct buf *out, uint64_t n)
{
    for (int i = 0; i < 64; i += 8)
        buf_char(out, (char)(n >> i & 0xff));
}

static void put_u32(struct buf *out, uint32_t n)
{
    for (int i = 0; i < 32; i += 8)
        buf_char(out, (char)(n >> i & 0xff));
}

static void put_text(struct buf *out, const char *text)
{
    put_u64(out, strlen(text));
    buf_str(out, text);
}

static void put_key(struct buf *out, const char *key, uint32_t type)
{
    put_text(out, key);
    put_u32(out, type);
}

/* A header with an array of `words` strings, a number, an array of numbers, and texts. */
static void put_gguf(struct buf *out, uint32_t version, uint64_t words)
{
    buf_str(out, "GGUF");
    put_u32(out, version);
    put_u64(out, 0);
    put_u64(out, 5);
    put_key(out, "tokenizer.ggml.tokens", 9);
    put_u32(out, 8);
    put_u64(out, words);
    for (uint64_t i = 0; i < words; i++)
        put_text(out, "a word");
    put_key(out, "general.file_type", 4);
    put_u32(out, 7);
    put_key(out, "tokenizer.ggml.scores", 9);
    put_u32(out, 6);
    put_u64(out, 3);
    buf_add(out, "0123456789ab", 12);
    put_key(out, "general.repo_url", 8);
    put_text(out, "https://huggingface.co/acme/base");
    put_key(out, "general.name", 8);
    put_text(out, "");
}

static void gguf_pairs__texts_behind_arrays_and_numbers__are_found(void **state)
{
    (void)state;
    for (uint32_t version = 1; version < 5; version++) {
        struct layout layout = {0};
        AUTO_BUF struct buf file = {0};
        put_gguf(&file, version, 30000); /* more than is read at once */
        struct reader reader = reader_memory(file.data, file.len);
        assert_int_equal(format_parse("x.gguf", &reader, &layout, NULL), 0);
        assert_int_equal(layout.format, FORMAT_OPAQUE);
        assert_int_equal(layout.count, 1);
        assert_int_equal(layout.pair_count, version == 2 || version == 3 ? 2 : 0);
        if (layout.pair_count) {
            assert_string_equal(layout.pairs[0].key, "general.repo_url");
            assert_string_equal(layout.pairs[0].value, "https://huggingface.co/acme/base");
            assert_int_equal(layout.pairs[1].value_len, 0);
        }
        layout_release(&layout);
    }
}

static void gguf_pairs__cut_short_or_absurd__ends_calmly(void **state)
{
    (void)state;
    AUTO_BUF struct buf whole = {0}, lies = {0};
    put_gguf(&whole, 3, 2);
    for (size_t n = 0; n <= whole.len; n++) { /* the whole one has the two texts at its end */
        struct layout layout = {0};
        AUTO_FREE char *part = mem_strndup(whole.data, n);
        struct reader reader = reader_memory(part, n);
        gguf_pairs(&reader, &layout);
        assert_true(layout.pair_count == 2 || n < whole.len);
        layout_release(&layout);
    }
    buf_str(&lies, "GGUF");
    put_u32(&lies, 3);
    put_u64(&lies, UINT64_MAX);
    put_u64(&lies, UINT64_MAX);
    put_key(&lies, "x", 9);
    put_u32(&lies, 5);
    put_u64(&lies, UINT64_MAX / 2); /* of four bytes each */
    struct layout layout = {0};
    struct reader reader = reader_memory(lies.data, lies.len);
    gguf_pairs(&reader, &layout);
    assert_int_equal(layout.pair_count, 0);
    layout_release(&layout);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(safetensors_parse__what_the_reference_accepts__is_accepted),
        cmocka_unit_test(safetensors_parse__duplicate_names__the_last_counts),
        cmocka_unit_test(safetensors_parse__what_the_reference_refuses__is_refused),
        cmocka_unit_test(safetensors_parse__trailing_bytes__are_indexed_and_flagged),
        cmocka_unit_test(safetensors_parse__truncated__says_so),
        cmocka_unit_test(safetensors_parse__odd_byte_tensor__is_flagged_unaligned),
        cmocka_unit_test(safetensors_parse__header_lengths_that_lie__are_refused),
        cmocka_unit_test(format_parse__files_that_are_something_else__are_named),
        cmocka_unit_test(format_parse__other_weights__are_one_tensor_of_bytes),
        cmocka_unit_test(gguf_pairs__texts_behind_arrays_and_numbers__are_found),
        cmocka_unit_test(gguf_pairs__cut_short_or_absurd__ends_calmly),
        cmocka_unit_test(format_shard_index__paths_that_escape__are_refused),
        cmocka_unit_test(name_shard__patterns__are_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
