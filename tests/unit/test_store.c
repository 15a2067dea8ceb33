/* SPDX-License-Identifier: MIT */
/* What a store writes: manifests, the roster, objects and packs, the format file. */
#include "tests/unit/helpers.h"

#include "base/file.h"
#include "base/hash.h"
#include "store/store.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static struct hash128 id_of(const char *text)
{
    return hash128_of(text, strlen(text));
}

static struct manifest make_manifest(const char *name)
{
    struct manifest m = {.path = "/m/a/model.safetensors",
                         .root = "/m",
                         .format = "safetensors",
                         .size = 30,
                         .hash = id_of("file")};
    struct hash128 fid = id_of(name);
    hash128_hex(m.fid, &fid);
    return m;
}

static void manifest__fields_of_version_3__come_back(void **state)
{
    (void)state;
    const struct hash128 bases[] = {id_of("base"), id_of("base of the base")};
    struct manifest_range ranges[] = {
        {.bytes = 10, .id = id_of("whole"), .sha = {.b = {1, 2, 3}}},
        {.offset = 10,
         .bytes = 20,
         .id = id_of("part"),
         .at = 4096,
         .bases = bases,
         .base_count = 2},
    };
    struct manifest m = make_manifest("x"), back = {0};
    AUTO_BUF struct buf text = {0};
    m.ranges = ranges;
    m.range_count = COUNT_OF(ranges);
    m.sha.b[31] = 9;
    for (int s = 0; s < MANIFEST_COMPANIONS; s++) {
        m.state = (enum manifest_state)s;
        m.until = s == MANIFEST_ASIDE ? 1800000000 : 0;
        text.len = 0;
        manifest_write(&m, &text);
        back = (struct manifest){0};
        assert_int_equal(manifest_read(text.data, text.len, &back, NULL), 0);
        assert_int_equal(back.version, 3);
        assert_int_equal(back.state, s);
        assert_int_equal(back.until, m.until);
        assert_true(sha256_equal(&back.sha, &m.sha));
        assert_true(sha256_equal(&back.ranges[0].sha, &ranges[0].sha));
        assert_int_equal(back.ranges[0].base_count, 0);
        assert_int_equal(back.ranges[1].at, 4096);
        assert_int_equal(back.ranges[1].base_count, 2);
        assert_memory_equal(back.ranges[1].bases, bases, sizeof bases);
        assert_true(manifest_needs(&back, &bases[1]));
        manifest_release(&back);
    }
}

static void manifest__companions__are_as_long_as_their_ranges(void **state)
{
    (void)state;
    struct manifest_range range = {.bytes = 30, .id = id_of("bytes")};
    struct manifest_companion companions[] = {{.path = "/m/a/empty", .mode = 0644},
                                              {.path = "/m/a/config.json", .size = 30}};
    struct manifest m = make_manifest("x"), back = {0};
    AUTO_BUF struct buf text = {0}, wrong = {0};
    m.state = MANIFEST_COMPANIONS;
    m.ranges = &range;
    m.range_count = 1;
    m.companions = companions;
    m.companion_count = 2;
    manifest_write(&m, &text);
    assert_int_equal(manifest_read(text.data, text.len, &back, NULL), 0);
    assert_int_equal(back.companion_count, 2);
    assert_string_equal(back.companions[1].path, "/m/a/config.json");
    manifest_release(&back);
    companions[1].size = 29;
    manifest_write(&m, &wrong);
    assert_int_equal(manifest_read(wrong.data, wrong.len, &back, NULL), ERR_DAMAGED);
    manifest_release(&back);
}

static void count_brief(void *context, struct manifest *brief)
{
    (void)brief;
    ++*(int *)context;
}

static int count_roster(const struct buf *text, size_t n, struct roster *ret, int *ret_r)
{
    int found = 0;
    *ret_r = roster_read(text->data, n, count_brief, &found, ret, NULL);
    return found;
}

static void roster__lines_that_come_and_go__the_last_one_counts(void **state)
{
    (void)state;
    struct manifest a = make_manifest("a"), b = make_manifest("b");
    struct roster roster;
    AUTO_BUF struct buf text = {0};
    int r;
    roster_begin(&text);
    roster_add(&a, &text);
    roster_add(&b, &text);
    roster_remove(a.fid, &text);
    roster_add(&b, &text);
    assert_int_equal(count_roster(&text, text.len, &roster, &r), 1);
    assert_int_equal(r, 0);
    assert_int_equal(roster.lines, 4);
    assert_int_equal(roster.live, 1);
    roster_add(&a, &text);
    assert_int_equal(count_roster(&text, text.len, &roster, &r), 2);
}

/* Wherever the last line is cut, the lines before it count; a line that is damaged is told of. */
static void roster__torn_line__is_no_damage_and_a_flip_is(void **state)
{
    (void)state;
    struct manifest a = make_manifest("a"), b = make_manifest("b");
    struct roster roster;
    AUTO_BUF struct buf text = {0};
    int r;
    roster_begin(&text);
    roster_add(&a, &text);
    size_t whole = text.len;
    roster_add(&b, &text);
    for (size_t n = whole; n < text.len; n++) {
        assert_int_equal(count_roster(&text, n, &roster, &r), 1);
        assert_int_equal(r, 0);
        assert_int_equal(roster.end, whole);
    }
    for (size_t at = 0; at + 1 < text.len; at++) {
        text.data[at] ^= 1;
        (void)count_roster(&text, text.len, &roster, &r);
        assert_true(r < 0);
        text.data[at] ^= 1;
    }
}

static void store_format__features__decide_who_may_read(void **state)
{
    (void)state;
    struct store_format format = {.created = 7, .compatible = 0xf0}, back;
    AUTO_BUF struct buf text = {0}, other = {0};
    store_format_write(&format, &text);
    assert_int_equal(store_format_read(text.data, text.len, &back, NULL), 0);
    assert_int_equal(back.version, 3);
    assert_int_equal(back.created, 7);
    assert_int_equal(back.compatible, 0xf0);
    format.incompatible = 1;
    store_format_write(&format, &other);
    assert_int_equal(store_format_read(other.data, other.len, &back, NULL), ERR_UNSUPPORTED);
}

/* A pack: its entries begin with frames, and a frame that was changed is noticed. */
static void object__pack__frames_say_what_the_table_says(void **state)
{
    (void)state;
    char *dir = test_folder();
    AUTO_FD int fd = file_open_dir(AT_FDCWD, dir, NULL);
    struct object_entry entries[] = {{.id = id_of("a"), .bytes = 6, .dtype = DTYPE_BF16},
                                     {.id = id_of("b"),
                                      .base = id_of("c"),
                                      .bytes = 4,
                                      .dtype = DTYPE_BF16,
                                      .base_dtype = DTYPE_BF16,
                                      .base_at = 8}};
    struct object_writer *writer;
    struct object *object;
    uint8_t chunk[8];
    uint64_t size;
    assert_int_equal(object_writer_new(fd, "p", entries, 2, true, &writer, NULL), 0);
    assert_int_equal(object_writer_add(writer, CODEC_RAW, (const uint8_t *)"abcdef", 6, 0, NULL),
                     0);
    assert_int_equal(object_writer_add(writer, CODEC_RAW, (const uint8_t *)"ghij", 4, 0, NULL), 0);
    assert_int_equal(object_writer_finish(writer, &size, NULL), 0);
    object_writer_free(writer);
    assert_int_equal(object_open(fd, "p", &object, NULL), 0);
    assert_int_equal(object->entries[1].base_at, 8);
    assert_int_equal(object_read(object, &object->chunks[1], chunk, NULL), 0);
    assert_memory_equal(chunk, "ghij", 4);
    for (int i = 0; i < 2; i++)
        assert_int_equal(object_check_frame(object, &object->entries[i], NULL), 0);
    object_free(object);
    AUTO_BUF struct buf bytes = test_read(dir, "p");
    char *frame = memmem(bytes.data, bytes.len, "tareent\n", 8);
    assert_non_null(frame);
    frame[20] ^= 1;
    assert_int_equal(fchmodat(fd, "p", 0600, 0), 0);
    test_write(dir, "p", bytes.data, bytes.len);
    assert_int_equal(object_open(fd, "p", &object, NULL), 0);
    assert_int_equal(object_check_frame(object, &object->entries[0], NULL), ERR_DAMAGED);
    object_free(object);
    test_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(manifest__fields_of_version_3__come_back),
        cmocka_unit_test(manifest__companions__are_as_long_as_their_ranges),
        cmocka_unit_test(roster__lines_that_come_and_go__the_last_one_counts),
        cmocka_unit_test(roster__torn_line__is_no_damage_and_a_flip_is),
        cmocka_unit_test(store_format__features__decide_who_may_read),
        cmocka_unit_test(object__pack__frames_say_what_the_table_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
