/* SPDX-License-Identifier: MIT */
/* The verbs, on collections made for each test: what is compressed comes back, whatever happens. */
#include "tests/unit/helpers.h"

#include "base/file.h"
#include "catalog/catalog.h"
#include "bits/floats.h"
#include "ops/bench.h"
#include "ops/compress.h"
#include "ops/demo.h"
#include "ops/scan.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { BIG = 60000 };

/* A folder with a collection, a store and a catalog. */
struct place {
    char *dir, *hub, *store, *catalog;
    struct ops *ops;
    struct library *library;
    struct err err;
};

static void open_place(struct place *place)
{
    struct ops_options options = {.catalog = place->catalog, .store = place->store, .threads = 2};
    assert_int_equal(ops_open(&options, &place->ops, &place->err), 0);
}

static void setup(struct place *place)
{
    *place = (struct place){.dir = test_folder()};
    place->hub = test_path(place->dir, "hub");
    place->store = test_path(place->dir, "store");
    place->catalog = test_path(place->dir, "catalog.db");
    assert_int_equal(mkdir(place->hub, 0755), 0);
    open_place(place);
}

static void teardown(struct place *place)
{
    library_unref(place->library);
    ops_close(place->ops);
    free(place->hub);
    free(place->store);
    free(place->catalog);
    test_remove(place->dir);
}

/* Scans and loads; the number of problems. */
static size_t scan(struct place *place)
{
    const char *const paths[] = {place->hub, NULL};
    const struct scan_request request = {.paths = paths};
    struct scan_report report;
    if (ops_scan(place->ops, &request, NULL, &report, &place->err) != 0)
        fail_msg("scan: %s", place->err.text);
    size_t problems = report.problem_count;
    scan_report_release(&report);
    library_unref(place->library);
    assert_int_equal(ops_library(place->ops, &place->library, NULL), 0);
    return problems;
}

static int find(struct place *place, const char *name)
{
    int index;
    if (ops_find_model(place->library, name, &index, &place->err) != 0)
        fail_msg("%s", place->err.text);
    return index;
}

static struct plan *plan_for(struct place *place, const int *models, size_t count, bool include)
{
    struct plan *plan;
    const struct plan_request request = {
        .models = models, .count = count, .base = NO_MODEL, .include_base = include, .live = true};
    if (ops_plan(place->ops, place->library, &request, NULL, &plan, &place->err) != 0)
        fail_msg("plan: %s", place->err.text);
    return plan;
}

static int compress(struct place *place, const int *models, size_t count, bool keep)
{
    struct done_report report;
    struct plan *plan = plan_for(place, models, count, false);
    int r = ops_compress(place->ops, place->library, plan, keep, NULL, &report, &place->err);
    done_report_release(&report);
    plan_free(plan);
    scan(place);
    return r;
}

static int compress_one(struct place *place, const char *name)
{
    int model = find(place, name);
    return compress(place, &model, 1, false);
}

static int decompress_to(struct place *place, const char *name, const char *to)
{
    struct done_report report;
    int model = find(place, name);
    int r = ops_decompress(place->ops, place->library, &model, 1, to, NULL, &report, &place->err);
    done_report_release(&report);
    scan(place);
    return r;
}

static int decompress_one(struct place *place, const char *name)
{
    return decompress_to(place, name, NULL);
}

static struct demo_sums sums_of(const struct place *place)
{
    struct demo_sums sums;
    assert_int_equal(demo_sum(place->hub, &sums, NULL), 0);
    return sums;
}

static void assert_same(const struct place *place, const struct demo_sums *before)
{
    struct demo_sums now = sums_of(place);
    assert_int_equal(now.files, before->files);
    assert_true(hash128_equal(&now.hash, &before->hash));
}

static enum model_state state_of(struct place *place, const char *name)
{
    return place->library->models[find(place, name)].state;
}

static size_t damage_count(struct place *place)
{
    struct verify_report report;
    assert_int_equal(ops_verify(place->ops, place->library, &(struct verify_request){0}, NULL,
                                &report, &place->err),
                     0);
    size_t count = report.count;
    verify_report_release(&report);
    return count;
}

/* Puts an object into the store that claims an id and holds these bytes; NULL: zeros. */
static void plant_object(struct place *p, const struct hash128 *id, uint64_t bytes,
                         const void *data)
{
    struct store *store;
    struct object_writer *writer;
    struct object_entry entry = {.id = *id, .bytes = bytes, .dtype = DTYPE_BF16};
    AUTO_FREE uint8_t *raw = mem_zalloc(bytes);
    uint64_t size = 0;
    if (data)
        memcpy(raw, data, bytes);
    assert_int_equal(store_open(p->store, STORE_WRITE, NULL, "test", &store, NULL, NULL), 0);
    assert_int_equal(store_object_new(store, &entry, 1, &writer, NULL), 0);
    assert_int_equal(
        object_writer_add(writer, CODEC_RAW, raw, (uint32_t)bytes, hash64_of(raw, bytes), NULL), 0);
    assert_int_equal(store_object_finish(writer, &size, NULL), 0);
    object_writer_free(writer);
    assert_int_equal(store_publish(store, NULL), 0);
    store_close(store);
}

/* acme/base and two fine-tunes of it. Returns the base's blob below hub: free it. */
static char *add_family(struct place *place)
{
    static const char card[] = "---\nbase_model: acme/base\n---\n";
    AUTO_BUF struct buf base = test_model(BIG, 1, 0), one = test_model(BIG, 1, 2);
    AUTO_BUF struct buf two = test_model(BIG, 1, 3);
    char *blob = test_hub_model(place->hub, "acme--base", &base, NULL);
    free(test_hub_model(place->hub, "acme--one", &one, card));
    free(test_hub_model(place->hub, "acme--two", &two, card));
    return blob;
}

static void compress__whole_family__comes_back_identical(void **state)
{
    (void)state;
    struct place p;
    setup(&p);
    free(add_family(&p));
    struct demo_sums before = sums_of(&p);
    assert_int_equal(scan(&p), 0);
    int all[] = {0, 1, 2};
    assert_int_equal(compress(&p, all, 3, false), 0);
    assert_int_equal(state_of(&p, "one"), MODEL_COMPRESSED);
    assert_true(p.library->disk < p.library->size * 3 / 4);
    assert_int_equal(damage_count(&p), 0);
    assert_int_equal(decompress_one(&p, "base"), 0); /* the base first: its deltas need it still */
    assert_int_equal(decompress_one(&p, "one"), 0);
    assert_int_equal(decompress_one(&p, "two"), 0);
    assert_same(&p, &before);
    teardown(&p);
}

/* A tensor of many rows and a small one, "w" and "s", in a type; moved from those of seed 1. */
static struct buf typed_model(enum dtype dtype, size_t rows, uint32_t seed)
{
    enum { COLUMNS = 100, SMALL = 3000, MOST = 30000 * COLUMNS };
    size_t big = rows * COLUMNS, width = dtype_width(dtype);
    uint32_t random = seed;
    AUTO_FREE uint16_t *base = mem_alloc((MOST + SMALL) * 2), *w = mem_alloc((MOST + SMALL) * 2);
    AUTO_FREE uint8_t *bytes = mem_alloc((big + SMALL) * width);
    test_weights(base, MOST + SMALL, NULL, 1);
    test_weights(w, MOST + SMALL, base, seed);
    float_convert(DTYPE_BF16, dtype, (uint8_t *)(seed ? w : base), big, bytes);
    float_convert(DTYPE_BF16, dtype, (uint8_t *)((seed ? w : base) + MOST), SMALL,
                  bytes + big * width);
    for (size_t i = 0; i < 4 * big && dtype == DTYPE_F32; i++)
        if (i % 4 < 2) /* more than 16 bits hold */
            bytes[i] = (uint8_t)(test_random(&random) >> 8);
    AUTO_FREE char *header =
        mem_printf("{\"w\":{\"dtype\":\"%s\",\"shape\":[%zu,%d],\"data_offsets\":[0,%zu]},\"s\":{"
                   "\"dtype\":\"%s\","
                   "\"shape\":[%d],\"data_offsets\":[%zu,%zu]}}",
                   dtype_name(dtype), rows, COLUMNS, big * width, dtype_name(dtype), SMALL,
                   big * width, (big + SMALL) * width);
    return test_safetensors(header, bytes, (big + SMALL) * width);
}

static size_t deltas_in(const struct plan *plan)
{
    size_t count = 0;
    for (size_t f = 0; f < plan->file_count; f++)
        for (size_t i = 0; i < plan->files[f].range_count; i++)
            count += plan->files[f].ranges[i].codec == CODEC_DELTA;
    return count;
}

static void compress__base_of_another_type_or_with_other_rows__is_used(void **state)
{
    (void)state;
    static const struct {
        enum dtype dtype;
        size_t rows;
    } cases[] = {{DTYPE_F32, 700}, {DTYPE_F16, 700},    {DTYPE_BF16, 720},
                 {DTYPE_F32, 650}, {DTYPE_BF16, 30000}, {DTYPE_F32, 16000}};
    /* The last ones: chunks that the base does not reach. */
    for (size_t c = 0; c < COUNT_OF(cases); c++) {
        struct place p;
        setup(&p);
        AUTO_BUF struct buf base = typed_model(DTYPE_BF16, c < 4 ? 700 : 12000, 0);
        AUTO_BUF struct buf fine = typed_model(cases[c].dtype, cases[c].rows, 9);
        free(test_hub_model(p.hub, "acme--base", &base, NULL));
        free(test_hub_model(p.hub, "acme--fine", &fine, "---\nbase_model: acme/base\n---\n"));
        scan(&p);
        struct demo_sums before = sums_of(&p);
        int models[] = {find(&p, "acme/fine"), find(&p, "acme/base")};
        struct plan *plan = plan_for(&p, models, 1, false);
        assert_int_equal(deltas_in(plan), 2);
        plan_free(plan);
        assert_int_equal(compress(&p, models, 1, false), 0);
        models[1] = find(&p, "acme/base");
        assert_int_equal(compress(&p, models + 1, 1, false), 0);
        assert_int_equal(damage_count(&p), 0);
        assert_int_equal(decompress_one(&p, "acme/fine"), 0);
        assert_int_equal(decompress_one(&p, "acme/base"), 0);
        assert_same(&p, &before);
        teardown(&p);
    }
}

static void compress__fine_tune_alone__holds_its_base_by_link(void **state)
{
    (void)state;
    struct place p;
    struct stat st;
    setup(&p);
    AUTO_FREE char *blob = add_family(&p);
    struct demo_sums before = sums_of(&p);
    scan(&p);
    int one = find(&p, "acme/one");
    struct plan *plan = plan_for(&p, &one, 1, false);
    assert_int_equal(plan->models[0].how, BASE_HELD);
    assert_true(plan->frees > 0 && plan->base_bytes == 0);
    plan_free(plan);
    assert_int_equal(compress_one(&p, "acme/one"), 0);
    AUTO_FREE char *path = file_join(p.hub, blob);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_nlink, 2);
    /* The owner removes the base: what was stored against it still comes back. */
    AUTO_BUF struct buf bytes = test_read(p.hub, blob);
    struct timespec times[2] = {st.st_atim, st.st_mtim};
    assert_int_equal(unlink(path), 0);
    scan(&p);
    assert_int_equal(decompress_one(&p, "acme/one"), 0);
    test_write(p.hub, blob, bytes.data, bytes.len);
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
    assert_same(&p, &before);
    teardown(&p);
}

static void compress__base_after_its_fine_tune__frees_the_held_copy(void **state)
{
    (void)state;
    struct place p;
    setup(&p);
    free(add_family(&p));
    struct demo_sums before = sums_of(&p);
    scan(&p);
    assert_int_equal(compress_one(&p, "acme/one"), 0);
    assert_int_equal(compress_one(&p, "acme/base"), 0);
    AUTO_FREE char *held = file_join(p.store, "held");
    struct demo_sums left;
    assert_int_equal(demo_sum(held, &left, NULL), 0);
    assert_int_equal(left.files, 0);
    assert_int_equal(damage_count(&p), 0);
    assert_int_equal(decompress_one(&p, "acme/base"), 0);
    assert_int_equal(decompress_one(&p, "acme/one"), 0);
    assert_same(&p, &before);
    teardown(&p);
}

static void compress__no_dangling_link_and_no_catalog__still_comes_back(void **state)
{
    (void)state;
    struct place p;
    setup(&p);
    free(add_family(&p));
    struct demo_sums before = sums_of(&p);
    scan(&p);
    assert_int_equal(compress_one(&p, "acme/one"), 0);
    assert_int_equal(scan(&p), 0); /* a dangling link would be a problem */
    ops_close(p.ops);
    assert_int_equal(unlink(p.catalog), 0);
    open_place(&p);
    assert_int_equal(scan(&p), 0);
    assert_int_equal(state_of(&p, "acme/one"), MODEL_COMPRESSED);
    assert_int_equal(p.library->models[find(&p, "acme/one")].tensors, 2);
    assert_int_equal(decompress_one(&p, "acme/one"), 0);
    assert_same(&p, &before);
    teardown(&p);
}

static void decompress__to_a_folder__writes_the_same_bytes_and_keeps_the_store(void **state)
{
    (void)state;
    struct place p;
    setup(&p);
    free(add_family(&p));
    AUTO_BUF struct buf want = test_model(BIG, 1, 2);
    scan(&p);
    assert_int_equal(compress_one(&p, "acme/one"), 0);
    AUTO_FREE char *to = test_path(p.dir, "copy");
    assert_int_equal(decompress_to(&p, "acme/one", to), 0);
    AUTO_BUF struct buf got = test_read(to, "acme/one/model.safetensors");
    assert_int_equal(got.len, want.len);
    assert_memory_equal(got.data, want.data, want.len);
    assert_int_equal(state_of(&p, "acme/one"), MODEL_COMPRESSED);
    assert_true(decompress_to(&p, "acme/one", to) < 0); /* it is there already */
    teardown(&p);
}

static void compress__plain_folder__keeps_metadata_and_leaves_a_note(void **state)
{
    (void)state;
    struct place p;
    setup(&p);
    AUTO_BUF struct buf weights = test_model(BIG, 4, 0);
    test_write(p.hub, "lone.safetensors", weights.data, weights.len);
    AUTO_FREE char *path = file_join(p.hub, "lone.safetensors");
    struct timespec times[2] = {{.tv_sec = 1000000001, .tv_nsec = 123456789},
                                {.tv_sec = 1000000002, .tv_nsec = 987654321}};
    assert_int_equal(chmod(path, 0640), 0);
    bool xattrs = setxattr(path, "user.note", "kept", 4, 0) == 0;
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
    scan(&p);
    assert_int_equal(compress_one(&p, "lone.safetensors"), 0);
    assert_false(test_exists(p.hub, "lone.safetensors"));
    assert_true(test_exists(p.hub, "lone.safetensors.tare"));
    assert_int_equal(decompress_one(&p, "lone.safetensors"), 0);
    assert_false(test_exists(p.hub, "lone.safetensors.tare"));
    struct stat st;
    char value[8] = "";
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    assert_int_equal(st.st_mtim.tv_sec, 1000000002);
    assert_int_equal(st.st_mtim.tv_nsec, 987654321);
    if (xattrs)
        assert_int_equal(getxattr(path, "user.note", value, sizeof value), 4);
    AUTO_BUF struct buf got = test_read(p.hub, "lone.safetensors");
    assert_memory_equal(got.data, weights.data, weights.len);
    teardown(&p);
}

static void compress__keep__proves_it_and_leaves_the_original(void **state)
{
    (void)state;
    struct place p;
    setup(&p);
    free(add_family(&p));
    struct demo_sums before = sums_of(&p);
    scan(&p);
    int base = find(&p, "acme/base");
    assert_int_equal(compress(&p, &base, 1, true), 0);
    assert_same(&p, &before);
    assert_int_equal(state_of(&p, "acme/base"), MODEL_KEPT);
    assert_int_equal(damage_count(&p), 0);
    assert_int_equal(decompress_one(&p, "acme/base"), 0);
    assert_int_equal(state_of(&p, "acme/base"), MODEL_PLAIN);
    assert_same(&p, &before);
    teardown(&p);
}

static void compress__equal_files_in_two_repos__are_stored_once(void **state)
{
    (void)state;
    struct place p;
    setup(&p);
    AUTO_BUF struct buf weights = test_model(BIG, 5, 0);
    free(test_hub_model(p.hub, "a--x", &weights, NULL));
    free(test_hub_model(p.hub, "b--y", &weights, NULL));
    scan(&p);
    assert_true(p.library->files[1].hashed);
    assert_true(hash128_equal(&p.library->files[0].content, &p.library->files[1].content));
    int both[] = {0, 1};
    assert_int_equal(compress(&p, both, 2, false), 0);
    uint64_t stored[2] = {p.library->models[0].stored, p.library->models[1].stored};
    /* The second one takes its manifest alone. */
    assert_true(MIN(stored[0], stored[1]) > 0 && MIN(stored[0], stored[1]) < 8192);
    assert_true(MAX(stored[0], stored[1]) > BIG);
    assert_int_equal(decompress_one(&p, "a/x"), 0);
    assert_int_equal(decompress_one(&p, "b/y"), 0);
    teardown(&p);
}

static void compress__copy_of_a_delta__survives_base_and_twin(void **state)
{
    (void)state;
    struct place p;
    setup(&p);
    free(add_family(&p));
    AUTO_BUF struct buf one = test_model(BIG, 1, 2);
    free(test_hub_model(p.hub, "twin--one", &one, NULL));
    struct demo_sums before = sums_of(&p);
    scan(&p);
    int all[] = {0, 1, 2, 3};
    assert_int_equal(compress(&p, all, 4, false), 0);
    assert_int_equal(decompress_one(&p, "acme/base"), 0);
    assert_int_equal(decompress_one(&p, "acme/one"), 0);
    assert_int_equal(damage_count(&p), 0);
    assert_int_equal(decompress_one(&p, "twin/one"), 0);
    assert_int_equal(decompress_one(&p, "acme/two"), 0);
    assert_same(&p, &before);
    teardown(&p);
}

/* Two tensors of BIG elements; each by the seed of its base, and its own (0: the base itself). */
static struct buf two_tensors(const uint32_t seeds[4])
{
    AUTO_FREE uint16_t *base = mem_alloc(BIG * 2), *both = mem_alloc(BIG * 4);
    AUTO_FREE char *header =
        mem_printf("{\"t0\":{\"dtype\":\"BF16\",\"shape\":[%d],\"data_offsets\":[0,%d]},"
                   "\"t1\":{\"dtype\":\"BF16\",\"shape\":[%d],\"data_offsets\":[%d,%d]}}",
                   BIG, BIG * 2, BIG, BIG * 2, BIG * 4);
    for (int i = 0; i < 2; i++) {
        test_weights(base, BIG, NULL, seeds[2 * i]);
        memcpy(both + i * BIG, base, BIG * 2);
        if (seeds[2 * i + 1])
            test_weights(both + i * BIG, BIG, base, seeds[2 * i + 1]);
    }
    return test_safetensors(header, both, BIG * 4);
}

static void add_two(struct place *p, const char *repo, const uint32_t seeds[4], const char *base)
{
    AUTO_BUF struct buf file = two_tensors(seeds);
    AUTO_FREE char *card = mem_printf("---\nbase_model: %s\n---\n", base ? base : "");
    free(test_hub_model(p->hub, repo, &file, base ? card : NULL));
}

/*
 * M takes a tensor of H by reference while H is only held; H is stored later, and could be a
 * delta against G: whoever goes by M's manifest would not know that M needs G then.
 */
static void compress__referenced_base_with_a_base__survives_its_owner(void **state)
{
    (void)state;
    struct place p;
    setup(&p);
    add_two(&p, "acme--G", (uint32_t[]){1, 0, 2, 0}, NULL);
    add_two(&p, "acme--H", (uint32_t[]){1, 11, 2, 12}, "acme/G");
    add_two(&p, "acme--M", (uint32_t[]){1, 11, 2, 13}, "acme/H");
    scan(&p);
    struct demo_sums before = sums_of(&p);
    assert_int_equal(compress_one(&p, "acme/M"), 0);
    assert_int_equal(compress_one(&p, "acme/H"), 0);
    assert_int_equal(decompress_one(&p, "acme/H"), 0);
    struct gc_report gc;
    assert_int_equal(ops_gc(p.ops, false, NULL, &gc, &p.err), 0);
    assert_int_equal(damage_count(&p), 0);
    assert_int_equal(decompress_one(&p, "acme/M"), 0);
    assert_same(&p, &before);
    teardown(&p);
}

/* Flips a bit of every object, or every pack, at this offset. */
static void flip_objects(struct place *p, bool packs, off_t at)
{
    struct store *store;
    size_t count;
    assert_int_equal(store_open(p->store, STORE_READ, NULL, NULL, &store, NULL, NULL), 0);
    char **names = store_object_names(store, &count);
    for (size_t i = 0; i < count; i++) {
        char byte;
        AUTO_FREE char *path = mem_printf("%s/objects/%s", p->store, names[i]);
        if (store_name_is_pack(names[i]) != packs)
            continue;
        assert_int_equal(chmod(path, 0600), 0);
        AUTO_FD int fd = open(path, O_RDWR);
        assert_int_equal(pread(fd, &byte, 1, at), 1);
        byte ^= 4;
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    }
    store_names_free(names, count);
    store_close(store);
}

/* An object that cannot be read must not be taken for good because a held link of the very file
 * that it is compared with answers in its stead. */
static void compress__known_object_is_damaged_and_file_is_held__loses_nothing(void **state)
{
    (void)state;
    struct place p;
    setup(&p);
    add_two(&p, "acme--Z", (uint32_t[]){1, 0, 8, 0}, NULL);
    add_two(&p, "acme--H", (uint32_t[]){1, 0, 2, 0}, NULL);
    add_two(&p, "acme--M", (uint32_t[]){5, 0, 2, 3}, "acme/H");
    scan(&p);
    AUTO_BUF struct buf want = two_tensors((uint32_t[]){1, 0, 2, 0});
    assert_int_equal(compress_one(&p, "acme/Z"), 0);
    assert_int_equal(compress_one(&p, "acme/M"), 0);
    flip_objects(&p, false, 41); /* Z's and M's; H is stored behind that */
    int r = compress_one(&p, "acme/H");
    AUTO_FREE char *to = file_join(p.dir, "to");
    if (r == 0 && state_of(&p, "acme/H") != MODEL_PLAIN) {
        assert_int_equal(decompress_to(&p, "acme/H", to), 0);
        AUTO_BUF struct buf got = test_read(to, "acme/H/model.safetensors");
        assert_int_equal(got.len, want.len);
        assert_memory_equal(got.data, want.data, want.len);
    } else {
        AUTO_BUF struct buf got = test_read(
            p.hub,
            "models--acme--H/snapshots/00000000000000000000000000000000000000aa/model.safetensors");
        assert_memory_equal(got.data, want.data, want.len);
    }
    teardown(&p);
}

static void repair__one_model_alone__removes_nothing_of_others(void **state)
{
    (void)state;
    struct place p;
    struct verify_report report;
    setup(&p);
    free(add_family(&p));
    scan(&p);
    struct demo_sums before = sums_of(&p);
    assert_int_equal(compress_one(&p, "acme/base"), 0);
    assert_int_equal(compress_one(&p, "acme/one"), 0);
    flip_objects(&p, true, 41);
    int model = find(&p, "acme/one");
    struct verify_request request = {.models = &model, .count = 1, .repair = true};
    assert_int_equal(ops_verify(p.ops, p.library, &request, NULL, &report, &p.err), 0);
    verify_report_release(&report);
    flip_objects(&p, true, 41); /* what was unreadable for a while is well again */
    assert_int_equal(damage_count(&p), 0);
    assert_int_equal(decompress_one(&p, "acme/one"), 0);
    assert_int_equal(decompress_one(&p, "acme/base"), 0);
    assert_same(&p, &before);
    teardown(&p);
}

static void compress__trial_then_for_good__still_knows_its_base(void **state)
{
    (void)state;
    struct place p;
    setup(&p);
    free(add_family(&p));
    struct demo_sums before = sums_of(&p);
    scan(&p);
    assert_int_equal(compress_one(&p, "acme/base"), 0);
    int one = find(&p, "acme/one");
    assert_int_equal(compress(&p, &one, 1, true), 0);
    assert_int_equal(compress_one(&p, "acme/one"), 0);
    assert_int_equal(decompress_one(&p, "acme/base"), 0);
    assert_int_equal(decompress_one(&p, "acme/one"), 0);
    assert_same(&p, &before);
    teardown(&p);
}

static void decompress__trial_whose_original_is_gone__gives_it_back(void **state)
{
    (void)state;
    struct place p;
    setup(&p);
    AUTO_BUF struct buf weights = test_model(BIG, 4, 0);
    test_write(p.hub, "a.safetensors", weights.data, weights.len);
    scan(&p);
    int model = find(&p, "a.safetensors");
    assert_int_equal(compress(&p, &model, 1, true), 0);
    AUTO_FREE char *path = file_join(p.hub, "a.safetensors");
    assert_int_equal(unlink(path), 0);
    scan(&p);
    assert_int_equal(decompress_one(&p, "a.safetensors"), 0);
    AUTO_BUF struct buf got = test_read(p.hub, "a.safetensors");
    assert_memory_equal(got.data, weights.data, weights.len);
    teardown(&p);
}

static void compress__file_with_the_name_of_the_note__is_left_alone(void **state)
{
    (void)state;
    struct place p;
    setup(&p);
    AUTO_BUF struct buf weights = test_model(BIG, 4, 0);
    test_write(p.hub, "a.safetensors", weights.data, weights.len);
    test_write_text(p.hub, "a.safetensors.tare", "mine");
    struct demo_sums before = sums_of(&p);
    scan(&p);
    assert_int_equal(compress_one(&p, "a.safetensors"), 0);
    assert_int_equal(decompress_one(&p, "a.safetensors"), 0);
    assert_same(&p, &before);
    teardown(&p);
}

static void compress__nul_in_a_tensor_name_and_times_before_1970__come_back(void **state)
{
    (void)state;
    struct place p;
    setup(&p);
    AUTO_FREE char *zeros = mem_zalloc(100000);
    AUTO_BUF struct buf weights =
        test_safetensors("{\"a\\u0000b\":{\"dtype\":\"U8\",\"shape\":[100000],"
                         "\"data_offsets\":[0,100000]}}",
                         zeros, 100000);
    test_write(p.hub, "a.safetensors", weights.data, weights.len);
    AUTO_FREE char *path = file_join(p.hub, "a.safetensors");
    struct timespec old[2] = {{.tv_sec = -2, .tv_nsec = 500000000}, {.tv_sec = -5, .tv_nsec = 7}};
    assert_int_equal(utimensat(AT_FDCWD, path, old, 0), 0);
    struct demo_sums before = sums_of(&p);
    scan(&p);
    assert_int_equal(compress_one(&p, "a.safetensors"), 0);
    assert_int_equal(decompress_one(&p, "a.safetensors"), 0);
    assert_same(&p, &before);
    teardown(&p);
}

static void store__folder_of_manifests_missing__is_damage_not_emptiness(void **state)
{
    (void)state;
    struct place p;
    struct store *store;
    struct demo_sums left;
    setup(&p);
    free(add_family(&p));
    scan(&p);
    assert_int_equal(compress_one(&p, "acme/base"), 0);
    AUTO_FREE char *files = file_join(p.store, "files"), *away = file_join(p.store, "away");
    AUTO_FREE char *objects = file_join(p.store, "objects");
    assert_int_equal(rename(files, away), 0);
    assert_int_equal(store_open(p.store, STORE_WRITE, NULL, "test", &store, NULL, NULL),
                     ERR_DAMAGED);
    AUTO_FREE char *format = file_join(p.store, "format");
    assert_int_equal(unlink(format), 0); /* nor with its format file gone, too */
    assert_int_equal(store_open(p.store, STORE_WRITE, NULL, "test", &store, NULL, NULL),
                     ERR_REFUSED);
    assert_int_equal(demo_sum(objects, &left, NULL), 0);
    assert_true(left.files > 0);
    teardown(&p);
}

static void compress__damaged_download__is_refused(void **state)
{
    (void)state;
    struct place p;
    setup(&p);
    AUTO_FREE char *blob = add_family(&p);
    AUTO_FREE char *path = file_join(p.hub, blob);
    int fd = open(path, O_WRONLY);
    assert_int_equal(pwrite(fd, "x", 1, 5000), 1);
    close(fd);
    struct demo_sums before = sums_of(&p);
    scan(&p);
    assert_int_equal(compress_one(&p, "acme/base"), ERR_DAMAGED);
    assert_non_null(strstr(p.err.text, "download"));
    assert_same(&p, &before);
    teardown(&p);
}

static void compress__hard_linked_file__is_skipped_with_the_reason(void **state)
{
    (void)state;
    struct place p;
    setup(&p);
    AUTO_BUF struct buf weights = test_model(BIG, 4, 0);
    test_write(p.hub, "a.safetensors", weights.data, weights.len);
    AUTO_FREE char *a = file_join(p.hub, "a.safetensors"), *b = test_path(p.dir, "elsewhere");
    assert_int_equal(link(a, b), 0);
    scan(&p);
    int model = find(&p, "a.safetensors");
    struct plan *plan = plan_for(&p, &model, 1, false);
    assert_non_null(strstr(plan->files[0].skip, "hard links"));
    plan_free(plan);
    teardown(&p);
}

static void compress__file_open_elsewhere__names_the_process(void **state)
{
    (void)state;
    struct place p;
    setup(&p);
    AUTO_BUF struct buf weights = test_model(BIG, 4, 0);
    test_write(p.hub, "a.safetensors", weights.data, weights.len);
    AUTO_FREE char *path = file_join(p.hub, "a.safetensors");
    scan(&p);
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        int fd = open(path, O_RDONLY);
        ssize_t n = write(ready[1], "x", 1);
        pause();
        _exit(fd + (int)n);
    }
    char byte;
    assert_int_equal(read(ready[0], &byte, 1), 1);
    int model = find(&p, "a.safetensors");
    struct plan *plan = plan_for(&p, &model, 1, false);
    AUTO_FREE char *pid = mem_printf("pid %d", (int)child);
    assert_non_null(plan->files[0].skip);
    assert_non_null(strstr(plan->files[0].skip, pid));
    plan_free(plan);
    kill(child, SIGKILL);
    close(ready[0]);
    close(ready[1]);
    teardown(&p);
}

static void compress__random_bytes__free_nothing_and_are_left(void **state)
{
    (void)state;
    struct place p;
    setup(&p);
    AUTO_FREE uint32_t *noise = mem_alloc(200000);
    uint32_t random = 9;
    for (size_t i = 0; i < 50000; i++)
        noise[i] = test_random(&random) << 8 ^ test_random(&random);
    test_write(p.hub, "noise.bin", noise, 200000);
    scan(&p);
    assert_int_equal(compress_one(&p, "noise.bin"), ERR_REFUSED);
    assert_true(test_exists(p.hub, "noise.bin"));
    teardown(&p);
}

static void decompress__place_taken_by_another_file__keeps_both(void **state)
{
    (void)state;
    struct place p;
    setup(&p);
    AUTO_BUF struct buf weights = test_model(BIG, 4, 0);
    test_write(p.hub, "a.safetensors", weights.data, weights.len);
    scan(&p);
    assert_int_equal(compress_one(&p, "a.safetensors"), 0);
    test_write_text(p.hub, "a.safetensors", "something else");
    scan(&p);
    assert_int_equal(state_of(&p, "a.safetensors"), MODEL_CHANGED);
    assert_int_equal(decompress_one(&p, "a.safetensors"), ERR_EXISTS);
    AUTO_FREE char *to = test_path(p.dir, "copy");
    assert_int_equal(decompress_to(&p, "a.safetensors", to), 0);
    AUTO_BUF struct buf other = test_read(p.hub, "a.safetensors");
    assert_string_equal(other.data, "something else");
    teardown(&p);
}

static void decompress__damaged_object__names_it_and_loses_nothing(void **state)
{
    (void)state;
    struct place p;
    setup(&p);
    AUTO_BUF struct buf weights = test_model(BIG, 4, 0);
    test_write(p.hub, "a.safetensors", weights.data, weights.len);
    scan(&p);
    assert_int_equal(compress_one(&p, "a.safetensors"), 0);
    struct store *store;
    size_t count;
    assert_int_equal(store_open(p.store, STORE_READ, NULL, NULL, &store, NULL, NULL), 0);
    char **names = store_object_names(store, &count);
    for (size_t i = 0; i < count; i++) {
        AUTO_FREE char *path = mem_printf("%s/objects/%s", p.store, names[i]);
        struct stat st;
        assert_int_equal(stat(path, &st), 0);
        if (store_name_is_pack(names[i]))
            continue;
        assert_int_equal(chmod(path, 0600), 0);
        AUTO_FD int fd = open(path, O_RDWR);
        char byte;
        assert_int_equal(pread(fd, &byte, 1, st.st_size / 2), 1);
        byte ^= 4;
        assert_int_equal(pwrite(fd, &byte, 1, st.st_size / 2), 1);
    }
    store_names_free(names, count);
    store_close(store);
    assert_int_equal(damage_count(&p), 1);
    assert_true(decompress_one(&p, "a.safetensors") < 0);
    assert_non_null(strstr(p.err.text, "object"));
    assert_int_equal(state_of(&p, "a.safetensors"), MODEL_DAMAGED);
    teardown(&p);
}

/* The one manifest of a store, for changing its state behind tare's back. */
static void with_manifest(struct place *p, enum manifest_state state, struct buf *path,
                          struct buf *fid)
{
    struct store *store;
    assert_int_equal(store_open(p->store, STORE_WRITE, NULL, "test", &store, NULL, NULL), 0);
    assert_int_equal(store_manifest_count(store), 1);
    const struct manifest *m = store_manifest(store, 0);
    buf_str(path, m->path);
    buf_str(fid, m->fid);
    assert_int_equal(store_set_state(store, m->fid, state, NULL), 0);
    store_close(store);
}

static size_t reopen_store(struct place *p)
{
    struct store *store;
    assert_int_equal(store_open(p->store, STORE_WRITE, NULL, "test", &store, NULL, NULL), 0);
    size_t left = store_manifest_count(store);
    store_close(store);
    return left;
}

static void recovery__every_row_of_the_table__keeps_the_original(void **state)
{
    (void)state;
    struct place p;
    setup(&p);
    AUTO_BUF struct buf weights = test_model(BIG, 4, 0);
    AUTO_BUF struct buf path = {0}, fid = {0};
    test_write(p.hub, "a.safetensors", weights.data, weights.len);
    scan(&p);
    int model = find(&p, "a.safetensors");
    assert_int_equal(compress(&p, &model, 1, true), 0);
    /* stored, and the original still in its place with the same bytes: it is back */
    with_manifest(&p, MANIFEST_STORED, &path, &fid);
    assert_int_equal(reopen_store(&p), 0);
    assert_true(test_exists(p.hub, "a.safetensors"));
    /* pending, file there */
    assert_int_equal(compress(&p, &model, 1, true), 0);
    path.len = fid.len = 0;
    with_manifest(&p, MANIFEST_PENDING, &path, &fid);
    assert_int_equal(reopen_store(&p), 0);
    assert_true(test_exists(p.hub, "a.safetensors"));
    /* stored, moved aside, nothing more */
    assert_int_equal(compress(&p, &model, 1, true), 0);
    path.len = fid.len = 0;
    with_manifest(&p, MANIFEST_STORED, &path, &fid);
    /* with_manifest reopened nothing after the change: move aside now */
    AUTO_FREE char *aside = mem_printf("%s/.tare-aside-%s", p.hub, fid.data);
    assert_int_equal(rename(path.data, aside), 0);
    assert_int_equal(reopen_store(&p), 0);
    AUTO_BUF struct buf got = test_read(p.hub, "a.safetensors");
    assert_memory_equal(got.data, weights.data, weights.len);
    /* stored, place empty: normal */
    assert_int_equal(compress(&p, &model, 1, false), 0);
    assert_int_equal(reopen_store(&p), 1);
    teardown(&p);
}

static void gc__unreadable_manifest__refuses(void **state)
{
    (void)state;
    struct place p;
    struct gc_report report;
    setup(&p);
    free(add_family(&p));
    scan(&p);
    assert_int_equal(compress_one(&p, "acme/base"), 0);
    test_write_text(p.store, "files/00000000000000000000000000000000.json", "tare-manifest 9 x\n");
    assert_int_equal(ops_gc(p.ops, false, NULL, &report, &p.err), ERR_REFUSED);
    assert_int_equal(damage_count(&p), 1);
    teardown(&p);
}

static void store__newer_format_and_second_writer__are_refused_politely(void **state)
{
    (void)state;
    struct place p;
    struct store *first, *second;
    struct err err = {0};
    setup(&p);
    assert_int_equal(store_open(p.store, STORE_WRITE, NULL, "one", &first, NULL, &err), 0);
    assert_int_equal(store_open(p.store, STORE_WRITE, NULL, "two", &second, NULL, &err),
                     ERR_LOCKED);
    assert_non_null(strstr(err.text, "one"));
    assert_int_equal(store_open(p.store, STORE_READ, NULL, NULL, &second, NULL, &err), 0);
    store_close(second);
    store_close(first);
    const char newer[] = "tare-store 9\nsomething new\n";
    AUTO_FREE char *text =
        mem_printf("%scheck %016llx\n", newer, (unsigned long long)hash64_of(newer, strlen(newer)));
    test_write_text(p.store, "format", text);
    assert_int_equal(store_open(p.store, STORE_READ, NULL, NULL, &second, NULL, &err),
                     ERR_UNSUPPORTED);
    teardown(&p);
}

static void store__same_id_other_bytes__is_stored_under_the_next_seed(void **state)
{
    (void)state;
    struct place p;
    setup(&p);
    AUTO_BUF struct buf weights = test_model(BIG, 4, 0);
    test_write(p.hub, "a.safetensors", weights.data, weights.len);
    scan(&p);
    /* An object that claims the id of a's large tensor and holds other bytes; a kept manifest
     * refers to it, so that it counts as known. */
    struct catalog_tensors tensors;
    assert_int_equal(catalog_tensors(p.ops->catalog, p.library->files[0].row, &tensors, NULL), 0);
    struct hash128 id = tensors.ids[0];
    uint64_t bytes = tensors.layout.tensors[0].bytes;
    catalog_tensors_release(&tensors);
    struct store *store;
    assert_int_equal(store_open(p.store, STORE_WRITE, NULL, "test", &store, NULL, NULL), 0);
    struct manifest m = {.fid = "000102030405060708090a0b0c0d0e0f",
                         .state = MANIFEST_KEPT,
                         .path = "/nowhere/x",
                         .root = "/nowhere",
                         .format = "opaque",
                         .size = bytes};
    struct manifest_range range = {.bytes = bytes, .id = id};
    m.ranges = &range;
    m.range_count = 1;
    assert_int_equal(store_put_manifest(store, &m, NULL), 0);
    store_close(store);
    plant_object(&p, &id, bytes, NULL);
    assert_int_equal(compress_one(&p, "a.safetensors"), 0);
    assert_int_equal(decompress_one(&p, "a.safetensors"), 0);
    AUTO_BUF struct buf got = test_read(p.hub, "a.safetensors");
    assert_memory_equal(got.data, weights.data, weights.len);
    teardown(&p);
}

static void compress__cancelled__takes_the_file_back(void **state)
{
    (void)state;
    struct place p;
    struct done_report report;
    struct progress progress = {.cancel = true};
    setup(&p);
    free(add_family(&p));
    struct demo_sums before = sums_of(&p);
    scan(&p);
    int all[] = {0, 1, 2};
    struct plan *plan = plan_for(&p, all, 3, false);
    assert_int_equal(ops_compress(p.ops, p.library, plan, false, &progress, &report, &p.err),
                     ERR_CANCELLED);
    done_report_release(&report);
    plan_free(plan);
    assert_same(&p, &before);
    assert_int_equal(reopen_store(&p), 0);
    teardown(&p);
}

static void compress__readonly__changes_nothing(void **state)
{
    (void)state;
    struct place p;
    setup(&p);
    free(add_family(&p));
    scan(&p);
    p.ops->options.readonly = true;
    assert_int_equal(compress_one(&p, "acme/base"), ERR_READONLY);
    assert_false(test_exists(p.dir, "store"));
    teardown(&p);
}

static void compress__trailing_bytes_and_opaque_files__come_back(void **state)
{
    (void)state;
    struct place p;
    setup(&p);
    AUTO_BUF struct buf weights = test_model(BIG, 4, 0);
    buf_str(&weights, "tail");
    AUTO_FREE char *text = mem_alloc(100000);
    for (int i = 0; i < 100000; i++)
        text[i] = (char)('a' + i % 7);
    test_write(p.hub, "t.safetensors", weights.data, weights.len);
    test_write(p.hub, "m.gguf", text, 100000);
    struct demo_sums before = sums_of(&p);
    scan(&p);
    int both[] = {0, 1};
    assert_int_equal(compress(&p, both, 2, false), 0);
    assert_int_equal(decompress_one(&p, "t.safetensors"), 0);
    assert_int_equal(decompress_one(&p, "m.gguf"), 0);
    assert_same(&p, &before);
    teardown(&p);
}

static void scan__bad_files__are_told_and_the_rest_is_indexed(void **state)
{
    (void)state;
    struct place p;
    setup(&p);
    AUTO_BUF struct buf weights = test_model(BIG, 4, 0);
    test_write(p.hub, "good.safetensors", weights.data, weights.len);
    test_write(p.hub, "cut.safetensors", weights.data, weights.len / 2);
    test_write_text(p.hub, "page.safetensors", "<!doctype html>");
    assert_int_equal(scan(&p), 2);
    assert_int_equal(p.library->model_count, 3);
    assert_int_equal(scan(&p), 2); /* told again, without reading them again */
    const char *flags[8];
    assert_int_equal(model_flags(&p.library->models[find(&p, "cut.safetensors")], flags), 1);
    assert_string_equal(flags[0], "!trunc");
    teardown(&p);
}

static void scan__folder_named_as_its_root__is_a_model_of_its_own(void **state)
{
    (void)state;
    struct place p;
    setup(&p);
    AUTO_BUF struct buf one = test_model(BIG, 4, 0), two = test_model(BIG, 5, 0);
    test_write_text(p.hub, "config.json", "{}");
    test_write(p.hub, "m.safetensors", one.data, one.len);
    test_write_text(p.hub, "hub/config.json", "{}");
    test_write(p.hub, "hub/m.safetensors", two.data, two.len);
    scan(&p);
    assert_int_equal(p.library->model_count, 2);
    assert_string_not_equal(p.library->models[0].id, p.library->models[1].id);
    teardown(&p);
}

static void scan__sparse_giant__is_flagged_and_not_read(void **state)
{
    (void)state;
    struct place p;
    const char *flags[8];
    setup(&p);
    test_write_text(p.hub, "huge.bin", "x");
    AUTO_FREE char *path = file_join(p.hub, "huge.bin");
    assert_int_equal(truncate(path, (off_t)1 << 42), 0);
    assert_int_equal(scan(&p), 0);
    assert_int_equal(model_flags(&p.library->models[0], flags), 1);
    assert_string_equal(flags[0], "sparse");
    assert_true(p.library->disk < 1 << 20);
    teardown(&p);
}

static void scan__shard_index_that_escapes__is_told_each_time(void **state)
{
    (void)state;
    struct place p;
    setup(&p);
    AUTO_BUF struct buf weights = test_model(BIG, 4, 0);
    test_write(p.hub, "m/model-00001-of-00002.safetensors", weights.data, weights.len);
    test_write_text(p.hub, "m/model.safetensors.index.json",
                    "{\"weight_map\":{\"a\":\"../../etc/passwd\"}}");
    assert_int_equal(scan(&p), 1);
    assert_int_equal(scan(&p), 1);
    assert_true(p.library->models[0].flags & MODEL_MISSING);
    teardown(&p);
}

static void plan__file_that_vanished__is_skipped_and_the_rest_planned(void **state)
{
    (void)state;
    struct place p;
    setup(&p);
    AUTO_BUF struct buf one = test_model(BIG, 4, 0), two = test_model(BIG, 5, 0);
    test_write(p.hub, "a.safetensors", one.data, one.len);
    test_write(p.hub, "b.safetensors", two.data, two.len);
    scan(&p);
    AUTO_FREE char *path = file_join(p.hub, "a.safetensors");
    assert_int_equal(unlink(path), 0);
    int both[] = {0, 1};
    struct plan *plan = plan_for(&p, both, 2, false);
    size_t skipped = 0;
    for (size_t i = 0; i < plan->file_count; i++)
        skipped += plan->files[i].skip != NULL;
    assert_int_equal(skipped, 1);
    assert_true(plan->frees > 0);
    plan_free(plan);
    teardown(&p);
}

static void compress__file_of_two_revisions__goes_and_comes_back_for_both(void **state)
{
    (void)state;
    struct place p;
    setup(&p);
    AUTO_BUF struct buf weights = test_model(BIG, 4, 0);
    AUTO_FREE char *blob = test_hub_model(p.hub, "a--x", &weights, NULL);
    AUTO_FREE char *target = mem_printf("../../blobs/%s", file_base(blob));
    test_link(p.hub,
              "models--a--x/snapshots/00000000000000000000000000000000000000bb/m.safetensors",
              target);
    struct demo_sums before = sums_of(&p);
    scan(&p);
    int model = find(&p, "a/x");
    struct plan *plan = plan_for(&p, &model, 1, false);
    assert_non_null(strstr(plan->notes.paths[0], "a/x@0000000"));
    plan_free(plan);
    assert_int_equal(compress_one(&p, "a/x"), 0);
    assert_int_equal(p.library->model_count, 2);
    assert_int_equal(state_of(&p, "a/x@0000000"), MODEL_COMPRESSED);
    assert_int_equal(decompress_one(&p, "a/x@0000000"), 0);
    assert_int_equal(state_of(&p, "a/x"), MODEL_PLAIN);
    assert_same(&p, &before);
    teardown(&p);
}

static void decompress__uncompared_object_beside_a_held_base__is_not_trusted(void **state)
{
    (void)state;
    struct place p;
    setup(&p);
    free(add_family(&p));
    struct demo_sums before = sums_of(&p);
    scan(&p);
    assert_int_equal(compress_one(&p, "acme/one"), 0);
    struct catalog_tensors tensors;
    const struct lib_model *base = &p.library->models[find(&p, "acme/base")];
    assert_int_equal(
        catalog_tensors(p.ops->catalog, p.library->files[base->files[0]].row, &tensors, NULL), 0);
    plant_object(&p, &tensors.ids[0], tensors.layout.tensors[0].bytes, NULL);
    catalog_tensors_release(&tensors);
    assert_int_equal(decompress_one(&p, "acme/one"), 0);
    assert_same(&p, &before);
    teardown(&p);
}

static void decompress__held_base_grown_in_place__is_read_from_its_object(void **state)
{
    (void)state;
    struct place p;
    setup(&p);
    AUTO_FREE char *blob = add_family(&p);
    AUTO_BUF struct buf base = test_model(BIG, 1, 0), one = test_model(BIG, 1, 2);
    scan(&p);
    assert_int_equal(compress_one(&p, "acme/one"), 0);
    struct catalog_tensors tensors;
    const struct lib_model *model = &p.library->models[find(&p, "acme/base")];
    assert_int_equal(
        catalog_tensors(p.ops->catalog, p.library->files[model->files[0]].row, &tensors, NULL), 0);
    for (size_t i = 0; i < tensors.layout.count; i++)
        plant_object(&p, &tensors.ids[i], tensors.layout.tensors[i].bytes,
                     base.data + tensors.layout.tensors[i].offset);
    catalog_tensors_release(&tensors);
    AUTO_FREE char *path = file_join(p.hub, blob), *to = test_path(p.dir, "copy");
    assert_int_equal(truncate(path, (off_t)base.len + 1), 0);
    assert_int_equal(decompress_to(&p, "acme/one", to), 0);
    AUTO_BUF struct buf got = test_read(to, "acme/one/model.safetensors");
    assert_int_equal(got.len, one.len);
    assert_memory_equal(got.data, one.data, one.len);
    teardown(&p);
}

static void plan__plain_base_that_cannot_be_held__says_what_would_pay(void **state)
{
    (void)state;
    struct place p;
    setup(&p);
    AUTO_BUF struct buf base = test_model(BIG, 1, 0), one = test_model(BIG, 1, 2);
    test_write(p.hub, "base/model.safetensors", base.data, base.len);
    test_write_text(p.hub, "base/config.json", "{}");
    test_write(p.hub, "one/model.safetensors", one.data, one.len);
    test_write_text(p.hub, "one/config.json", "{}");
    test_write_text(p.hub, "one/README.md", "---\nbase_model: acme/base\n---\n");
    scan(&p);
    int model = find(&p, "one");
    struct plan *alone = plan_for(&p, &model, 1, false), *with = plan_for(&p, &model, 1, true);
    if (alone->models[0].how == BASE_NONE) { /* no clones on this file system */
        assert_int_equal(alone->notes.count, 1);
        assert_non_null(strstr(alone->notes.paths[0], "include"));
    }
    assert_int_equal(with->model_count, 2);
    assert_int_equal(plan_model_of(with, model)->how, BASE_INCLUDED);
    assert_true(with->frees > alone->frees);
    plan_free(alone);
    plan_free(with);
    teardown(&p);
}

static void catalog__file_of_somebody_else__is_refused_and_left(void **state)
{
    (void)state;
    struct catalog *catalog;
    struct err err = {0};
    char *dir = test_folder();
    AUTO_FREE char *path = file_join(dir, "precious.txt");
    test_write_text(dir, "precious.txt", "not a catalog");
    assert_int_equal(catalog_open(path, &catalog, NULL, &err), ERR_REFUSED);
    AUTO_BUF struct buf got = test_read(dir, "precious.txt");
    assert_string_equal(got.data, "not a catalog");
    assert_false(test_exists(dir, "precious.txt.corrupt"));
    test_remove(dir);
}

static void scan__changed_file__is_indexed_anew(void **state)
{
    (void)state;
    struct place p;
    setup(&p);
    AUTO_BUF struct buf one = test_model(BIG, 4, 0), two = test_model(BIG, 5, 0);
    test_write(p.hub, "m.safetensors", one.data, one.len);
    scan(&p);
    struct hash128 before = p.library->files[0].content;
    test_write(p.hub, "m.safetensors", two.data, two.len);
    scan(&p);
    assert_true(p.library->files[0].hashed);
    assert_false(hash128_equal(&before, &p.library->files[0].content));
    AUTO_FREE char *path = file_join(p.hub, "m.safetensors");
    assert_int_equal(unlink(path), 0);
    scan(&p);
    assert_int_equal(p.library->model_count, 0);
    teardown(&p);
}

static void scan__indexing__leaves_access_times(void **state)
{
    (void)state;
    struct place p;
    struct stat before, after;
    setup(&p);
    AUTO_BUF struct buf weights = test_model(BIG, 4, 0);
    test_write(p.hub, "m.safetensors", weights.data, weights.len);
    AUTO_FREE char *path = file_join(p.hub, "m.safetensors");
    struct timespec old[2] = {{.tv_sec = 1000000000}, {.tv_sec = 1500000000}};
    assert_int_equal(utimensat(AT_FDCWD, path, old, 0), 0);
    assert_int_equal(stat(path, &before), 0);
    scan(&p);
    assert_int_equal(stat(path, &after), 0);
    assert_int_equal(before.st_atim.tv_sec, after.st_atim.tv_sec);
    teardown(&p);
}

static void catalog__garbage_in_its_place__is_set_aside(void **state)
{
    (void)state;
    struct place p;
    struct catalog *catalog;
    AUTO_BUF struct buf note = {0};
    setup(&p);
    ops_close(p.ops);
    test_write_text(p.dir, "catalog.db", "this is not a database, and long enough to be looked at");
    assert_int_equal(catalog_open(p.catalog, &catalog, &note, NULL), 0);
    assert_int_equal(catalog_kind(catalog), CATALOG_FILE);
    catalog_close(catalog);
    assert_non_null(strstr(note.data, "set aside"));
    assert_true(test_exists(p.dir, "catalog.db.corrupt"));
    open_place(&p);
    teardown(&p);
}

static void catalog__place_that_cannot_be_written__lives_in_memory(void **state)
{
    (void)state;
    struct catalog *catalog;
    AUTO_BUF struct buf note = {0};
    assert_int_equal(catalog_open("/proc/nowhere/catalog.db", &catalog, &note, NULL), 0);
    assert_int_equal(catalog_kind(catalog), CATALOG_MEMORY);
    assert_non_null(strstr(note.data, "memory"));
    catalog_close(catalog);
}

static void bench__fine_tune_with_base__lists_all_codecs(void **state)
{
    (void)state;
    struct place p;
    struct bench_report report;
    setup(&p);
    AUTO_BUF struct buf base = test_model(BIG, 1, 0), fine = test_model(BIG, 1, 2);
    test_write(p.hub, "base.safetensors", base.data, base.len);
    test_write(p.hub, "fine.safetensors", fine.data, fine.len);
    AUTO_FREE char *b = file_join(p.hub, "base.safetensors"),
                   *f = file_join(p.hub, "fine.safetensors");
    assert_int_equal(ops_bench(p.ops, f, b, -1, NULL, &report, &p.err), 0);
    assert_int_equal(report.count, 5);
    assert_true(report.bound.delta < report.bound.bitx);
    assert_true(report.bound.bitx < report.bound.solo);
    for (size_t i = 0; i < report.count; i++) {
        assert_int_equal(report.results[i].raw, fine.len);
        assert_true(report.results[i].stored <= fine.len);
    }
    assert_int_equal(report.results[0].stored, fine.len);
    teardown(&p);
}

static void library_find__endings_and_ids__mean_one_model(void **state)
{
    (void)state;
    struct place p;
    int index;
    setup(&p);
    free(add_family(&p));
    scan(&p);
    index = find(&p, "one");
    assert_int_equal(find(&p, p.library->models[index].id), index);
    assert_int_equal(ops_find_model(p.library, "ne", &index, &p.err), ERR_NOTFOUND);
    assert_int_equal(p.library->models[find(&p, "two")].base, find(&p, "base"));
    teardown(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(compress__whole_family__comes_back_identical),
        cmocka_unit_test(compress__base_of_another_type_or_with_other_rows__is_used),
        cmocka_unit_test(compress__fine_tune_alone__holds_its_base_by_link),
        cmocka_unit_test(compress__base_after_its_fine_tune__frees_the_held_copy),
        cmocka_unit_test(compress__no_dangling_link_and_no_catalog__still_comes_back),
        cmocka_unit_test(decompress__to_a_folder__writes_the_same_bytes_and_keeps_the_store),
        cmocka_unit_test(compress__plain_folder__keeps_metadata_and_leaves_a_note),
        cmocka_unit_test(compress__keep__proves_it_and_leaves_the_original),
        cmocka_unit_test(compress__equal_files_in_two_repos__are_stored_once),
        cmocka_unit_test(compress__copy_of_a_delta__survives_base_and_twin),
        cmocka_unit_test(compress__referenced_base_with_a_base__survives_its_owner),
        cmocka_unit_test(compress__known_object_is_damaged_and_file_is_held__loses_nothing),
        cmocka_unit_test(repair__one_model_alone__removes_nothing_of_others),
        cmocka_unit_test(compress__trial_then_for_good__still_knows_its_base),
        cmocka_unit_test(decompress__trial_whose_original_is_gone__gives_it_back),
        cmocka_unit_test(compress__file_with_the_name_of_the_note__is_left_alone),
        cmocka_unit_test(compress__nul_in_a_tensor_name_and_times_before_1970__come_back),
        cmocka_unit_test(store__folder_of_manifests_missing__is_damage_not_emptiness),
        cmocka_unit_test(compress__damaged_download__is_refused),
        cmocka_unit_test(compress__hard_linked_file__is_skipped_with_the_reason),
        cmocka_unit_test(compress__file_open_elsewhere__names_the_process),
        cmocka_unit_test(compress__random_bytes__free_nothing_and_are_left),
        cmocka_unit_test(decompress__place_taken_by_another_file__keeps_both),
        cmocka_unit_test(decompress__damaged_object__names_it_and_loses_nothing),
        cmocka_unit_test(recovery__every_row_of_the_table__keeps_the_original),
        cmocka_unit_test(gc__unreadable_manifest__refuses),
        cmocka_unit_test(store__newer_format_and_second_writer__are_refused_politely),
        cmocka_unit_test(store__same_id_other_bytes__is_stored_under_the_next_seed),
        cmocka_unit_test(compress__cancelled__takes_the_file_back),
        cmocka_unit_test(compress__readonly__changes_nothing),
        cmocka_unit_test(compress__trailing_bytes_and_opaque_files__come_back),
        cmocka_unit_test(scan__bad_files__are_told_and_the_rest_is_indexed),
        cmocka_unit_test(scan__folder_named_as_its_root__is_a_model_of_its_own),
        cmocka_unit_test(scan__sparse_giant__is_flagged_and_not_read),
        cmocka_unit_test(scan__shard_index_that_escapes__is_told_each_time),
        cmocka_unit_test(plan__file_that_vanished__is_skipped_and_the_rest_planned),
        cmocka_unit_test(compress__file_of_two_revisions__goes_and_comes_back_for_both),
        cmocka_unit_test(decompress__uncompared_object_beside_a_held_base__is_not_trusted),
        cmocka_unit_test(decompress__held_base_grown_in_place__is_read_from_its_object),
        cmocka_unit_test(plan__plain_base_that_cannot_be_held__says_what_would_pay),
        cmocka_unit_test(catalog__file_of_somebody_else__is_refused_and_left),
        cmocka_unit_test(scan__changed_file__is_indexed_anew),
        cmocka_unit_test(scan__indexing__leaves_access_times),
        cmocka_unit_test(catalog__garbage_in_its_place__is_set_aside),
        cmocka_unit_test(catalog__place_that_cannot_be_written__lives_in_memory),
        cmocka_unit_test(bench__fine_tune_with_base__lists_all_codecs),
        cmocka_unit_test(library_find__endings_and_ids__mean_one_model),
    };
    char *home = test_home();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    test_remove(home);
    return failed;
}
