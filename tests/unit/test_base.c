/* SPDX-License-Identifier: MIT */
#include "tests/unit/helpers.h"

#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/map.h"
#include "base/scan.h"
#include "base/text.h"
#include "base/yaml.h"

#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void assert_escaped(const char *bytes, size_t n, const char *want)
{
    AUTO_BUF struct buf out = {0};
    text_escape(&out, bytes, n);
    assert_string_equal(out.data, want);
}

static void text_escape__terminal_sequences__are_shown_not_sent(void **state)
{
    (void)state;
    text_set_utf8(true);
    assert_escaped("a\033]52;c;x\007b", 11, "a\\x1b]52;c;x\\x07b");
    assert_escaped("one\ntwo", 7, "one\\x0atwo");
    assert_escaped("nul\0x", 5, "nul\\x00x");
    assert_escaped("\xc2\x9b"
                   "31m",
                   5, "\\u{9b}31m");
    assert_escaped("\x9b", 1, "\\x9b");
    assert_escaped("\xe2\x80\xae"
                   "gpj",
                   6, "\\u{202e}gpj");
    assert_escaped("\xe2\x80\x8b", 3, "\\u{200b}");
    assert_escaped("\xf3\xa0\x80\x81", 4, "\\u{e0001}");
    assert_escaped("\xc0\xaf", 2, "\\xc0\\xaf");
    assert_escaped("\xed\xa0\x80", 3, "\\xed\\xa0\\x80");
}

static void text_escape__plain_names__stay(void **state)
{
    (void)state;
    text_set_utf8(true);
    assert_escaped("models/l31-sql ft", 17, "models/l31-sql ft");
    assert_escaped("模型", 6, "模型");
    assert_escaped("", 0, "");
}

static void text_escape__flood_of_marks__is_cut(void **state)
{
    (void)state;
    text_set_utf8(true);
    assert_escaped("e\xcc\x81\xcc\x81\xcc\x81", 7, "e\xcc\x81\xcc\x81\\u{301}");
}

static void text_escape__no_utf8_locale__is_ascii(void **state)
{
    (void)state;
    text_set_utf8(false);
    assert_escaped("é", 2, "\\u{e9}");
    text_set_utf8(true);
}

static void text_fit__long_name__is_cut_in_the_middle(void **state)
{
    (void)state;
    AUTO_BUF struct buf out = {0};
    text_set_utf8(true);
    text_fit(&out, "acme/very-long-name-of-a-model", 11);
    assert_string_equal(out.data, "acme/…model");
    out.len = 0;
    text_fit(&out, "模型模型模型", 7);
    assert_int_equal(text_width(out.data), 7);
}

static void text_size__units__are_decimal_and_short(void **state)
{
    (void)state;
    static const struct {
        uint64_t bytes;
        const char *want;
    } cases[] = {{0, "0"},         {999, "999"},         {1000, "1.0K"}, {16060000000, "16.1G"},
                 {999960, "1.0M"}, {UINT64_MAX, "18.4E"}};
    char text[16];
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        text_size(text, cases[i].bytes);
        assert_string_equal(text, cases[i].want);
    }
}

static void text_natural_compare__numbers__by_value(void **state)
{
    (void)state;
    assert_true(text_natural_compare("checkpoint-9", "checkpoint-10") < 0);
    assert_true(text_natural_compare("a-002", "a-1") > 0);
    /* Equal numbers that are written otherwise do not mix with each other. */
    assert_true(text_natural_compare("a.1.z", "a.01.b") < 0);
    assert_true(text_natural_compare("a.01.a", "a.1.c") > 0);
    assert_true(text_natural_compare("a.0.b", "a.00.a") < 0);
    assert_true(text_natural_compare("a", "ab") < 0);
}

static void text_shell_quote__quotes_and_blanks__are_safe(void **state)
{
    (void)state;
    AUTO_BUF struct buf out = {0};
    text_shell_quote(&out, "it's $(x)");
    assert_string_equal(out.data, "'it'\\''s $(x)'");
}

/* Walks a whole document; the first error, or 0. */
static int scan_all(const char *text, size_t n)
{
    struct scan scan;
    int kind;
    scan_init(&scan, text, n);
    while ((kind = scan_next(&scan, NULL)) > 0)
        ;
    scan_release(&scan);
    return kind;
}

static void scan_next__valid_documents__end_well(void **state)
{
    (void)state;
    static const char *const good[] = {
        "{}",
        " [1, -2.5e+3, true, null] ",
        "{\"a\":{\"b\":[[],{}]},\"c\":\"\\u0000\\ud83d\\ude00\"}",
        "\"x\"",
        "0",
    };
    for (size_t i = 0; i < COUNT_OF(good); i++)
        assert_int_equal(scan_all(good[i], strlen(good[i])), 0);
}

static void scan_next__broken_documents__are_errors(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",      "{",     "[1,]",     "{\"a\"}",     "{\"a\":1,}", "[01]",
        "[1.]",  "[1e]",  "\"\\x\"",  "\"\\ud800\"", "\"a\nb\"",   "[1] 2",
        "{1:2}", "[tru]", "\"\xff\"", "[-]",         "]",          "{\"a\":}",
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        if (scan_all(bad[i], strlen(bad[i])) != ERR_FORMAT)
            fail_msg("accepted: %s", bad[i]);
}

static void scan_next__deep_nesting__is_limited(void **state)
{
    (void)state;
    char text[4096];
    memset(text, '[', sizeof text);
    assert_int_equal(scan_all(text, sizeof text), ERR_LIMIT);
}

static void scan_next__numbers__know_what_fits(void **state)
{
    (void)state;
    struct scan scan;
    static const char text[] = "[18446744073709551615,18446744073709551616,-1,1.0]";
    scan_init(&scan, text, sizeof text - 1);
    assert_int_equal(scan_next(&scan, NULL), SCAN_LIST);
    assert_int_equal(scan_next(&scan, NULL), SCAN_NUMBER);
    assert_true(scan.is_unsigned && scan.number == UINT64_MAX);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(scan_next(&scan, NULL), SCAN_NUMBER);
        assert_false(scan.is_unsigned);
    }
    scan_release(&scan);
}

static void js_put_name__any_bytes__come_back(void **state)
{
    (void)state;
    static const char name[] = "a\xff\033";
    AUTO_JS js *object = js_object();
    AUTO_BUF struct buf text = {0};
    js *parsed;
    js_put_name(object, "name", name, sizeof name - 1);
    js_write(object, &text);
    assert_int_equal(js_parse(text.data, text.len, &parsed, NULL), 0);
    assert_string_equal(js_get_text(parsed, "name"), "a\\xff\\x1b");
    AUTO_FREE char *back = js_get_name(parsed, "name", NULL);
    assert_string_equal(back, name);
    js_free(parsed);
}

static void collect(void *context, const char *key, const char *value)
{
    buf_printf(context, "%s=%s;", key, value);
}

static void yaml_front_matter__odd_cards__give_what_they_can(void **state)
{
    (void)state;
    static const char *const keys[] = {"base_model", "base_model_relation", NULL};
    static const struct {
        const char *card, *want;
    } cases[] = {
        {"---\nbase_model: a/b\n---\n", "base_model=a/b;"},
        {"---\r\nbase_model:\r\n- a/b\r\n- c/d\r\n---\r\n", "base_model=a/b;base_model=c/d;"},
        {"---\nlanguage: @broken: [\nbase_model: a/b\ntags: no\n---\n", "base_model=a/b;"},
        {"\xef\xbb\xbf---\nbase_model: [a, 'b c']\nbase_model_relation: merge\n---\n",
         "base_model=a;base_model=b c;base_model_relation=merge;"},
        {"---\nbase_model: &x [*x, *x]\n---\n", ""},
        {"---\nbase_model:\n---\n", ""},
        {"# no front matter\nbase_model: a\n", ""},
        {"---\nbase_model: a/b\n", "base_model=a/b;"},
        {"---\nx: 1\n---\nbase_model: a/b\n", ""},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        AUTO_BUF struct buf found = {0};
        buf_add(&found, "", 0);
        yaml_front_matter(cases[i].card, strlen(cases[i].card), keys, collect, &found);
        assert_string_equal(found.data, cases[i].want);
    }
}

/* A line that never ends once ended the program: nothing of the block was left to parse. */
static void yaml_front_matter__line_of_any_length__is_no_end(void **state)
{
    (void)state;
    static const char *const keys[] = {"base_model", NULL};
    for (size_t n = YAML_BLOCK_LIMIT - 40; n < YAML_BLOCK_LIMIT + 40; n++) {
        AUTO_BUF struct buf card = {0}, found = {0};
        AUTO_FREE char *line = mem_zalloc(n + 1);
        memset(line, 'x', n);
        buf_printf(&card, "---\nbase_model: %s\n  - a/b\nbase_model: c/d\n---\n", line);
        yaml_front_matter(card.data, card.len, keys, collect, &found);
        assert_non_null(strstr(found.data, "base_model=c/d;"));
    }
    yaml_scalars("", 0, keys, collect, NULL);
}

static void file_path_is_safe__escapes__are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"",    "/etc/passwd", "../x", "a/../b", "a//b", "./a",
                                      "a/.", "C:\\x",       "a\\b", "c:x",    "a/"};
    assert_true(file_path_is_safe("a/b.safetensors", 15));
    assert_false(file_path_is_safe("a\0b", 3));
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_false(file_path_is_safe(bad[i], strlen(bad[i])));
}

static void file_open_beneath__links_out__are_refused(void **state)
{
    (void)state;
    char *dir = test_folder();
    AUTO_FD int root = open(dir, O_RDONLY | O_DIRECTORY);
    test_link(dir, "in/out", "/etc/passwd");
    test_write_text(dir, "in/file", "x");
    test_link(dir, "in/near", "file");
    assert_true(file_open_beneath(root, "in/out", O_RDONLY, true, NULL) < 0);
    assert_true(file_open_beneath(root, "in/near", O_RDONLY, false, NULL) < 0);
    AUTO_FD int near = file_open_beneath(root, "in/near", O_RDONLY, true, NULL);
    assert_true(near >= 0);
    test_remove(dir);
}

static void file_open_regular__fifo__does_not_hang(void **state)
{
    (void)state;
    char *dir = test_folder();
    AUTO_FREE char *path = test_path(dir, "pipe");
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(file_open_regular(AT_FDCWD, path, NULL, NULL), ERR_UNSUPPORTED);
    test_remove(dir);
}

static void file_replace__existing_file__is_replaced_whole(void **state)
{
    (void)state;
    char *dir = test_folder();
    AUTO_FD int fd = open(dir, O_RDONLY | O_DIRECTORY);
    test_write_text(dir, "f", "old content");
    assert_int_equal(file_replace(fd, "f", "new", 3, 0600, NULL), 0);
    AUTO_BUF struct buf got = test_read(dir, "f");
    assert_int_equal(got.len, 3);
    assert_false(test_exists(dir, ".f.tmp"));
    test_remove(dir);
}

static void hash__known_values__agree(void **state)
{
    (void)state;
    char hex[DIGEST_HEX], id[HASH128_HEX];
    struct digest *digest = digest_new(DIGEST_SHA256, 3);
    digest_update(digest, "abc", 3);
    digest_hex(digest, hex);
    digest_free(digest);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    digest = digest_new(DIGEST_GIT, 5); /* printf hello | git hash-object --stdin */
    digest_update(digest, "hello", 5);
    digest_hex(digest, hex);
    digest_free(digest);
    assert_string_equal(hex, "b6fc4c620b67d95f953a5c1c1230aaab5db5a1b0");
    struct hash128 hash = hash128_of("", 0); /* xxhsum -H2 </dev/null */
    hash128_hex(id, &hash);
    assert_string_equal(id, "99aa06d3014798d86001c324468d497f");
}

static void hasher_update__any_split__gives_the_same(void **state)
{
    (void)state;
    char data[10000];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (char)(i * 31);
    struct hash128 want = hash128_of(data, sizeof data);
    struct hasher *hasher = hasher_new(0);
    for (size_t at = 0, n = 1; at < sizeof data; at += n, n = MIN(n * 3, sizeof data - at - 0))
        hasher_update(hasher, data + at, n = MIN(n, sizeof data - at));
    struct hash128 got = hasher_digest(hasher);
    hasher_free(hasher);
    assert_true(hash128_equal(&want, &got));
}

static void map_put__many_ids__are_found(void **state)
{
    (void)state;
    struct map map = {0};
    uint64_t value;
    for (uint32_t i = 0; i < 5000; i++) {
        struct hash128 id = hash128_of(&i, sizeof i);
        map_put(&map, &id, i);
    }
    for (uint32_t i = 0; i < 5000; i++) {
        struct hash128 id = hash128_of(&i, sizeof i);
        assert_true(map_get(&map, &id, &value) && value == i);
    }
    struct hash128 other = hash128_of("other", 5);
    assert_false(map_has(&map, &other));
    map_release(&map);
}

static void map_remove__half_of_them__leaves_the_others(void **state)
{
    (void)state;
    struct map map = {0};
    enum { MANY = 5000 };
    for (uint32_t i = 0; i < MANY; i++) {
        struct hash128 id = hash128_of(&i, sizeof i);
        memset(id.b + 4, (int)(i % 3), 8); /* all in a few places: they collide */
        map_put(&map, &id, i);
    }
    for (int round = 0; round < 2; round++) {
        for (uint32_t i = 0; i < MANY; i++) {
            struct hash128 id = hash128_of(&i, sizeof i);
            uint64_t value;
            memset(id.b + 4, (int)(i % 3), 8);
            if (round == 0 && i % 2)
                map_remove(&map, &id);
            else if (round)
                assert_int_equal(map_get(&map, &id, &value) && value == i, !(i % 2));
        }
    }
    assert_int_equal(map.count, MANY / 2);
    map_release(&map);
}

static void sha256_of(const struct buf *bytes, char hex[DIGEST_HEX])
{
    struct digest *digest = digest_new(DIGEST_SHA256, 0);
    digest_update(digest, bytes->data, bytes->len);
    digest_hex(digest, hex);
    digest_free(digest);
}

/* As docs/store-format.md says: of a byte, a length and the parts. */
static void hash_tree__chunks_and_ranges__follow_the_format(void **state)
{
    (void)state;
    struct hash_tree tree = {0};
    AUTO_BUF struct buf leaf = {0}, range = {0};
    char want[DIGEST_HEX], got[SHA256_HEX];
    static const char bytes[] = "two chunks, and the same again";
    buf_char(&leaf, 0);
    buf_str(&leaf, bytes);
    sha256_of(&leaf, want);
    struct sha256 part = hash_tree_leaf(bytes, strlen(bytes));
    sha256_hex(got, &part);
    assert_string_equal(got, want);
    buf_add(&range, "\1\74\0\0\0\0\0\0\0", 9);
    buf_add(&range, part.b, sizeof part.b);
    buf_add(&range, part.b, sizeof part.b);
    sha256_of(&range, want);
    hash_tree_add(&tree, &part);
    hash_tree_add(&tree, &part);
    part = hash_tree_end(&tree, TREE_RANGE, 60);
    sha256_hex(got, &part);
    assert_string_equal(got, want);
    assert_int_equal(tree.count, 0);
}

static void file_rename_new__taken_place__keeps_both(void **state)
{
    (void)state;
    char *dir = test_folder();
    AUTO_FD int fd = file_open_dir(AT_FDCWD, dir, NULL);
    test_write_text(dir, "a", "1");
    test_write_text(dir, "b", "2");
    assert_int_equal(file_rename_new(fd, "a", fd, "b", NULL), ERR_EXISTS);
    assert_true(test_exists(dir, "a"));
    assert_int_equal(file_rename_new(fd, "a", fd, "c", NULL), 0);
    AUTO_BUF struct buf moved = test_read(dir, "c");
    assert_memory_equal(moved.data, "1", 1);
    test_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_escape__terminal_sequences__are_shown_not_sent),
        cmocka_unit_test(text_escape__plain_names__stay),
        cmocka_unit_test(text_escape__flood_of_marks__is_cut),
        cmocka_unit_test(text_escape__no_utf8_locale__is_ascii),
        cmocka_unit_test(text_fit__long_name__is_cut_in_the_middle),
        cmocka_unit_test(text_size__units__are_decimal_and_short),
        cmocka_unit_test(text_natural_compare__numbers__by_value),
        cmocka_unit_test(text_shell_quote__quotes_and_blanks__are_safe),
        cmocka_unit_test(scan_next__valid_documents__end_well),
        cmocka_unit_test(scan_next__broken_documents__are_errors),
        cmocka_unit_test(scan_next__deep_nesting__is_limited),
        cmocka_unit_test(scan_next__numbers__know_what_fits),
        cmocka_unit_test(js_put_name__any_bytes__come_back),
        cmocka_unit_test(yaml_front_matter__odd_cards__give_what_they_can),
        cmocka_unit_test(yaml_front_matter__line_of_any_length__is_no_end),
        cmocka_unit_test(file_path_is_safe__escapes__are_refused),
        cmocka_unit_test(file_open_beneath__links_out__are_refused),
        cmocka_unit_test(file_open_regular__fifo__does_not_hang),
        cmocka_unit_test(file_replace__existing_file__is_replaced_whole),
        cmocka_unit_test(hash__known_values__agree),
        cmocka_unit_test(hasher_update__any_split__gives_the_same),
        cmocka_unit_test(map_put__many_ids__are_found),
        cmocka_unit_test(map_remove__half_of_them__leaves_the_others),
        cmocka_unit_test(hash_tree__chunks_and_ranges__follow_the_format),
        cmocka_unit_test(file_rename_new__taken_place__keeps_both),
    };
    setlocale(LC_ALL, "C.UTF-8");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
