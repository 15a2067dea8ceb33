/* SPDX-License-Identifier: MIT */
/*
 * Bases: the choice of which models stand alone, against exhaustive search; and the samples
 * compressed as families, against the best of all assignments of bases, tensor by tensor.
 */
#include "tests/unit/helpers.h"

#include "base/file.h"
#include "base/hash.h"
#include "base/map.h"
#include "codec/codec.h"
#include "family/stand.h"
#include "formats/formats.h"
#include "ops/compress.h"
#include "ops/scan.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- facility location ---- */

static double exhaustive(const struct stand_member *members, size_t count, const double *delta)
{
    double best = 1e300;
    for (unsigned set = 0; set < 1u << count; set++) {
        bool stands[16], allowed = true;
        for (size_t i = 0; i < count; i++) {
            stands[i] = set >> i & 1;
            allowed &= stands[i] ? members[i].may_stand : !members[i].must_stand;
        }
        double cost = allowed ? stand_cost(members, count, delta, count, stands) : 1e300;
        best = cost < best ? cost : best;
    }
    return best;
}

static void stand_choose__small_cases__are_within_a_hundredth_of_the_best(void **state)
{
    (void)state;
    uint32_t random = 3;
    for (int round = 0; round < 300; round++) {
        size_t count = 2 + test_random(&random) % 9;
        struct stand_member members[16];
        double delta[16 * 16], at[16];
        bool stands[16];
        for (size_t i = 0; i < count; i++) {
            bool stored = test_random(&random) % 4 > 0, must = test_random(&random) % 8 == 0;
            at[i] = test_random(&random) % 1000;
            members[i] = (struct stand_member){.alone = stored ? 600 + test_random(&random) % 80
                                                               : test_random(&random) % 2 * 600,
                                               .stored = stored,
                                               .may_stand = must || test_random(&random) % 4 > 0,
                                               .must_stand = must,
                                               .column = i};
        }
        for (size_t i = 0; i < count; i++)
            for (size_t k = 0; k < count; k++)
                delta[i * count + k] = test_random(&random) % 9
                                           ? 20 + (at[i] > at[k] ? at[i] - at[k] : at[k] - at[i])
                                           : -1;
        double cost = stand_choose(members, count, delta, count, stands);
        assert_true(cost <= 1.01 * exhaustive(members, count, delta) + 1e-9);
        for (size_t i = 0; i < count; i++)
            assert_true(stands[i] ? members[i].may_stand : !members[i].must_stand);
    }
}

/* ---- the samples ---- */

enum { MODELS = 24, CONTENTS = 12 };

/* One tensor of one of the models. */
struct content {
    struct hash128 id;
    const uint8_t *bytes;
    const struct tensor *tensor;
};

struct collection {
    struct buf files[MODELS];
    struct layout layouts[MODELS];
    size_t count;
};

static void load(struct collection *c, const char *dir)
{
    struct buf bytes = test_read(dir, "model.safetensors");
    struct reader reader = reader_memory(bytes.data, bytes.len);
    assert_true(c->count < MODELS);
    assert_int_equal(format_parse("model.safetensors", &reader, &c->layouts[c->count], NULL), 0);
    c->files[c->count++] = bytes;
}

/* Loads every model at and below a folder, and copies it to another one. */
static void load_all(struct collection *c, const char *from, const char *to)
{
    AUTO_FREE char *weights = file_join(from, "model.safetensors");
    if (access(weights, R_OK) == 0) {
        load(c, from);
        const struct buf *bytes = &c->files[c->count - 1];
        test_write(to, "model.safetensors", bytes->data, bytes->len);
        test_write_text(to, "config.json", "{}");
        return;
    }
    DIR *dir = opendir(from);
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir));) {
        AUTO_FREE char *path = file_join(from, entry->d_name), *copy = file_join(to, entry->d_name);
        if (entry->d_type == DT_DIR && entry->d_name[0] != '.')
            load_all(c, path, copy);
    }
    closedir(dir);
}

static size_t encoded(struct codec_work *work, const struct content *t, const uint8_t *base,
                      uint8_t *out)
{
    size_t sum = 0;
    for (size_t at = 0; at < t->tensor->bytes; at += CODEC_CHUNK_BYTES) {
        size_t n = MIN(t->tensor->bytes - at, (size_t)CODEC_CHUNK_BYTES), least = n;
        struct codec_chunk chunk = {t->tensor->dtype, t->bytes + at, base ? base + at : NULL, n,
                                    base ? n : 0};
        for (int codec = 0; codec < CODEC_COUNT; codec++) {
            bool fits = codec_handles((enum codec)codec, t->tensor->dtype) &&
                        codec_needs_base((enum codec)codec) == (base != NULL);
            size_t len = fits ? codec_encode(work, (enum codec)codec, &chunk, out) : 0;
            least = len && len < least ? len : least;
        }
        sum += least;
    }
    return sum;
}

static size_t encoded_against(struct codec_work *work, const struct content *t,
                              const struct content *base, uint8_t *out)
{
    size_t elements = t->tensor->bytes / dtype_width(t->tensor->dtype);
    AUTO_FREE uint8_t *converted = mem_alloc(t->tensor->bytes);
    codec_convert(base->tensor->dtype, t->tensor->dtype, base->bytes, elements, converted);
    return encoded(work, t, converted, out);
}

/* The best that one name and shape can come to, whichever of its contents stand alone. */
static size_t best_of(struct codec_work *work, const struct content *contents, size_t count)
{
    static struct stand_member members[CONTENTS];
    double delta[CONTENTS * CONTENTS];
    AUTO_FREE uint8_t *out = mem_alloc(codec_bound(CODEC_CHUNK_BYTES));
    for (size_t i = 0; i < count; i++) {
        members[i] = (struct stand_member){.alone = (double)encoded(work, &contents[i], NULL, out),
                                           .stored = true,
                                           .may_stand = true,
                                           .column = i};
        for (size_t k = 0; k < count; k++)
            delta[i * count + k] =
                i == k ? -1 : (double)encoded_against(work, &contents[i], &contents[k], out);
    }
    return (size_t)exhaustive(members, count, delta);
}

/* All contents of the tensors that have the name and shape of this one, each once. */
static size_t gather(const struct collection *c, const struct tensor *like,
                     struct content contents[CONTENTS], struct map *done)
{
    size_t n = 0;
    for (size_t m = 0; m < c->count; m++) {
        for (size_t t = 0; t < c->layouts[m].count; t++) {
            const struct tensor *tensor = &c->layouts[m].tensors[t];
            const uint8_t *bytes = (const uint8_t *)c->files[m].data + tensor->offset;
            struct hash128 id = hash128_of(bytes, tensor->bytes);
            bool same = tensor_compare_names(tensor, like) == 0 && tensor->dims == like->dims &&
                        memcmp(tensor->shape, like->shape, like->dims * sizeof *like->shape) == 0;
            if (!same || map_has(done, &id))
                continue;
            map_put(done, &id, 1);
            assert_true(n < CONTENTS);
            contents[n++] = (struct content){id, bytes, tensor};
        }
    }
    return n;
}

static size_t best_of_all(const struct collection *c, size_t *ret_contents)
{
    struct codec_work *work = codec_work_new();
    struct map done = {0};
    size_t sum = 0;
    for (size_t m = 0; m < c->count; m++)
        for (size_t t = 0; t < c->layouts[m].count; t++) {
            struct content contents[CONTENTS];
            size_t n = gather(c, &c->layouts[m].tensors[t], contents, &done);
            *ret_contents += n;
            sum += n ? best_of(work, contents, n) : 0;
        }
    map_release(&done);
    codec_work_free(work);
    return sum;
}

static size_t folder_bytes(const char *path)
{
    size_t sum = 0;
    DIR *dir = opendir(path);
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir));) {
        AUTO_FREE char *below = file_join(path, entry->d_name);
        struct stat st;
        if (entry->d_name[0] == '.' || lstat(below, &st) < 0)
            continue;
        sum += S_ISDIR(st.st_mode) ? folder_bytes(below) : (size_t)st.st_size;
    }
    closedir(dir);
    return sum;
}

/* Compresses everything below a folder; the bytes of the store's objects. */
static size_t compress_all(const char *dir, const char *models)
{
    AUTO_FREE char *store = file_join(dir, "store"), *catalog = file_join(dir, "catalog.db");
    struct ops_options options = {.catalog = catalog, .store = store, .threads = 2};
    const char *const paths[] = {models, NULL};
    const struct scan_request request = {.paths = paths};
    struct scan_report report = {0};
    struct ops *ops;
    struct library *library;
    struct plan *plan;
    struct done_report done = {0};
    struct err err = {0};
    assert_int_equal(ops_open(&options, &ops, &err), 0);
    assert_int_equal(ops_scan(ops, &request, NULL, &report, &err), 0);
    scan_report_release(&report);
    assert_int_equal(ops_library(ops, &library, &err), 0);
    AUTO_FREE int *all = mem_alloc(library->model_count * sizeof *all);
    for (size_t i = 0; i < library->model_count; i++)
        all[i] = (int)i;
    const struct plan_request wanted = {
        .models = all, .count = library->model_count, .base = NO_MODEL, .live = true};
    assert_int_equal(ops_plan(ops, library, &wanted, NULL, &plan, &err), 0);
    assert_int_equal(ops_compress(ops, library, plan, false, NULL, &done, &err), 0);
    done_report_release(&done);
    plan_free(plan);
    library_unref(library);
    ops_close(ops);
    AUTO_FREE char *objects = file_join(store, "objects");
    return folder_bytes(objects);
}

static void compress__samples_as_families__are_within_a_hundredth_of_the_best_bases(void **state)
{
    (void)state;
    enum { CONTENT_COST = 160 /* its place in an object or a pack, and its chunk's line */ };
    struct collection collection = {0};
    size_t contents = 0;
    const char *elsewhere = getenv("SAMPLES");
    AUTO_FREE char *samples =
        elsewhere && *elsewhere ? mem_strdup(elsewhere) : file_join(getenv("TARE_DATA"), "samples");
    static const char *const parts[] = {"demo", "tiny"};
    char *dir = test_folder();
    AUTO_FREE char *models = file_join(dir, "models");
    for (size_t i = 0; i < COUNT_OF(parts); i++) {
        AUTO_FREE char *from = file_join(samples, parts[i]), *to = file_join(models, parts[i]);
        if (access(from, R_OK) == 0)
            load_all(&collection, from, to);
    }
    assert_true(collection.count > 7);
    size_t best = best_of_all(&collection, &contents), stored = compress_all(dir, models);
    print_message("%zu models: %zu bytes in objects, %zu at best\n", collection.count, stored,
                  best + contents * CONTENT_COST);
    assert_true((double)stored <= 1.01 * (double)(best + contents * CONTENT_COST));
    for (size_t i = 0; i < collection.count; i++) {
        layout_release(&collection.layouts[i]);
        buf_release(&collection.files[i]);
    }
    test_remove(dir);
}

int main(void)
{
    char *home = test_home();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stand_choose__small_cases__are_within_a_hundredth_of_the_best),
        cmocka_unit_test(compress__samples_as_families__are_within_a_hundredth_of_the_best_bases),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    test_remove(home);
    return failed;
}
