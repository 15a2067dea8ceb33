/* SPDX-License-Identifier: MIT */
/*
 * A large store: the commands stay below 256 MB of memory and within a few dozen descriptors.
 * BOUNDS_OBJECTS says how many objects; make torture takes 100,000.
 */
#include "tests/fault/world.h"

#include "base/file.h"
#include "base/hash.h"
#include "codec/codec.h"
#include "store/store.h"
#include "tests/unit/helpers.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    BYTES = 64 * 1024,
    PER_FILE = 1000,
    SMALL = 64,
    SMALLS = 20000,
    LIMIT_MB = 256,
    DESCRIPTORS = 48
};

struct maker {
    struct world world;
    struct store *store;
    struct codec_work *work;
    uint32_t next; /* each tensor has other bytes */
};

/* A tensor of bytes that are nearly all alike: it takes next to no room. */
static void fill(struct maker *maker, uint8_t *raw, size_t n)
{
    memset(raw, 7, n);
    memcpy(raw, &maker->next, sizeof maker->next);
    maker->next++;
}

static void add_chunk(struct maker *maker, struct object_writer *writer, const uint8_t *raw,
                      size_t n)
{
    AUTO_FREE uint8_t *out = mem_alloc(codec_bound(n));
    struct codec_chunk chunk = {DTYPE_U8, raw, NULL, n, 0};
    size_t len = codec_encode(maker->work, CODEC_ZSTD, &chunk, out);
    assert_int_equal(object_writer_add(writer, len ? CODEC_ZSTD : CODEC_RAW, len ? out : raw,
                                       (uint32_t)(len ? len : n), hash64_of(raw, n), NULL),
                     0);
}

static void begin_manifest(struct maker *maker, struct manifest *m, const char *name)
{
    AUTO_FREE char *folder = file_join(maker->world.plain, name);
    AUTO_FREE char *path = file_join(folder, "model.safetensors");
    assert_int_equal(file_make_dirs(folder, NULL), 0);
    struct hash128 fid = hash128_of(path, strlen(path));
    *m = (struct manifest){.state = MANIFEST_STORED,
                           .format = "safetensors",
                           .mode = 0644,
                           .uid = getuid(),
                           .gid = getgid(),
                           .mtime_ns = 1600000000000000000};
    hash128_hex(m->fid, &fid);
    m->path = arena_strdup(&m->arena, path);
    m->root = maker->world.plain;
    struct manifest_view *view = ARRAY_ADD(m->views, m->view_count, m->view_cap);
    /* A model's id, as the scan makes it. */
    AUTO_BUF struct buf key = {0};
    const char *const parts[] = {"dir", m->path, name, ""};
    for (size_t i = 0; i < COUNT_OF(parts); i++)
        buf_add(&key, parts[i], strlen(parts[i]) + 1);
    char id[17];
    snprintf(id, sizeof id, "%016llx", (unsigned long long)hash64_of(key.data, key.len));
    *view = (struct manifest_view){.id = arena_strdup(&m->arena, id),
                                   .name = arena_strdup(&m->arena, name),
                                   .source = "dir",
                                   .root = m->root,
                                   .path = m->path,
                                   .revision = "",
                                   .run = "",
                                   .file = "model.safetensors"};
}

static struct hash128 add_range(struct manifest *m, const uint8_t *raw, size_t n)
{
    struct manifest_range *range = ARRAY_ADD(m->ranges, m->range_count, m->range_cap);
    uint64_t *shape = arena_alloc(&m->arena, sizeof *shape);
    char name[64];
    snprintf(name, sizeof name, "model.layers.%zu.mlp.weight", m->range_count);
    *shape = n;
    *range = (struct manifest_range){.offset = m->size,
                                     .bytes = n,
                                     .id = hash128_of(raw, n),
                                     .dtype = DTYPE_U8,
                                     .name = arena_strdup(&m->arena, name),
                                     .name_len = strlen(name),
                                     .shape = shape,
                                     .dims = 1};
    m->size += n;
    return range->id;
}

static void end_manifest(struct maker *maker, struct manifest *m, struct hasher *whole)
{
    assert_int_equal(store_publish(maker->store, NULL), 0);
    m->hash = hasher_digest(whole);
    assert_int_equal(store_put_manifest(maker->store, m, NULL), 0);
    manifest_release(m);
    hasher_free(whole);
}

/* A stored file of a thousand tensors, an object each. */
static void add_file(struct maker *maker, int index)
{
    struct manifest m;
    struct hasher *whole = hasher_new(0);
    AUTO_FREE char *name = mem_printf("many-%d", index);
    AUTO_FREE uint8_t *raw = mem_alloc(BYTES);
    begin_manifest(maker, &m, name);
    for (int i = 0; i < PER_FILE; i++) {
        struct object_writer *writer;
        fill(maker, raw, BYTES);
        hasher_update(whole, raw, BYTES);
        struct object_entry entry = {
            .id = add_range(&m, raw, BYTES), .bytes = BYTES, .dtype = DTYPE_U8};
        assert_int_equal(store_object_new(maker->store, &entry, 1, &writer, NULL), 0);
        add_chunk(maker, writer, raw, BYTES);
        assert_int_equal(store_object_finish(writer, &m.stored, NULL), 0);
        object_writer_free(writer);
    }
    end_manifest(maker, &m, whole);
}

/* A stored file of very many small tensors, in packs. */
static void add_small(struct maker *maker)
{
    enum { PACK = 4000 };
    struct manifest m;
    struct hasher *whole = hasher_new(0);
    struct object_entry *entries = mem_zalloc(PACK * sizeof *entries);
    uint8_t *raw = mem_alloc((size_t)PACK * SMALL);
    begin_manifest(maker, &m, "small");
    for (int done = 0; done < SMALLS; done += PACK) {
        struct object_writer *writer;
        for (int i = 0; i < PACK; i++) {
            fill(maker, raw + i * SMALL, SMALL);
            hasher_update(whole, raw + i * SMALL, SMALL);
            entries[i] = (struct object_entry){
                .id = add_range(&m, raw + i * SMALL, SMALL), .bytes = SMALL, .dtype = DTYPE_U8};
        }
        assert_int_equal(store_object_new(maker->store, entries, PACK, &writer, NULL), 0);
        for (int i = 0; i < PACK; i++)
            add_chunk(maker, writer, raw + i * SMALL, SMALL);
        assert_int_equal(store_object_finish(writer, &m.stored, NULL), 0);
        object_writer_free(writer);
    }
    end_manifest(maker, &m, whole);
    free(entries);
    free(raw);
}

static unsigned failures;

static void run(const struct maker *maker, const char *line)
{
    struct rlimit many, few;
    const char *args[12];
    size_t n = 0;
    char *save = NULL;
    AUTO_FREE char *words = mem_strdup(line);
    for (char *word = strtok_r(words, " ", &save); word; word = strtok_r(NULL, " ", &save))
        args[n++] = word;
    args[n] = NULL;
    getrlimit(RLIMIT_NOFILE, &many);
    few = (struct rlimit){DESCRIPTORS, many.rlim_max};
    setrlimit(RLIMIT_NOFILE, &few);
    struct outcome outcome = world_run(&maker->world, args, NULL);
    setrlimit(RLIMIT_NOFILE, &many);
    bool good = outcome.status == 0 && outcome.peak / 1024 < LIMIT_MB;
    printf("  %-34.34s %4ld MB%s\n", line, outcome.peak / 1024, good ? "" : "  FAILED");
    fflush(stdout);
    if (outcome.status) {
        AUTO_BUF struct buf out = test_read(maker->world.dir, "out");
        fprintf(stderr, "%.*s\n", (int)MIN(out.len, (size_t)2000), out.data);
    }
    failures += !good;
}

int main(void)
{
#ifdef __SANITIZE_ADDRESS__
    return 77; /* which takes memory of its own */
#endif
    const char *set = getenv("BOUNDS_OBJECTS");
    int objects = set ? atoi(set) : 10000;
    char *folder = world_folder();
    struct maker maker = {.work = codec_work_new()};
    struct err err = {0};
    world_new(&maker.world, folder);
    world_fill(&maker.world);
    if (store_open(maker.world.store, STORE_WRITE, NULL, "test", &maker.store, NULL, &err) < 0)
        fail_msg("%s", err.text);
    for (int i = 0; i < objects / PER_FILE; i++)
        add_file(&maker, i);
    add_small(&maker);
    store_close(maker.store);
    printf("a store of %d objects and %d small tensors, %d descriptors:\n", objects, SMALLS,
           (int)DESCRIPTORS);
    AUTO_FREE char *scan = mem_printf("scan %s", maker.world.hub);
    run(&maker, scan);
    run(&maker, "list");
    run(&maker, "verify");
    run(&maker, "gc");
    run(&maker, "compress acme/ft1 --yes");
    run(&maker, "decompress acme/ft1 --yes");
    run(&maker, "decompress small --yes");
    run(&maker, "decompress many-0 --yes");
    run(&maker, "delete many-1 --yes");
    codec_work_free(maker.work);
    world_remove(folder);
    return failures > 0;
}
