/* SPDX-License-Identifier: MIT */
#include "tests/unit/helpers.h"

#include "base/file.h"
#include "base/hash.h"
#include "ops/demo.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

char *test_folder(void)
{
    const char *tmp = getenv("TMPDIR");
    char *folder = file_join(tmp && *tmp ? tmp : "/tmp", "tare-test-XXXXXX");
    assert_non_null(mkdtemp(folder));
    char *real = realpath(folder, NULL);
    free(folder);
    return real;
}

char *test_home(void)
{
    static const char *const others[] = {"XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME",
                                         "HF_HOME",         "HF_HUB_CACHE",   "SUDO_UID"};
    char *home = test_folder();
    setenv("HOME", home, 1);
    for (size_t i = 0; i < COUNT_OF(others); i++)
        unsetenv(others[i]);
    return home;
}

void test_remove(char *folder)
{
    assert_int_equal(demo_remove(folder, NULL), 0);
    free(folder);
}

char *test_path(const char *dir, const char *name)
{
    char *path = file_join(dir, name);
    AUTO_FREE char *parent = file_dir(path);
    assert_int_equal(file_make_dirs(parent, NULL), 0);
    return path;
}

void test_write(const char *dir, const char *name, const void *bytes, size_t n)
{
    AUTO_FREE char *path = test_path(dir, name);
    AUTO_FD int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(file_pwrite(fd, bytes, n, 0, NULL), 0);
}

void test_write_text(const char *dir, const char *name, const char *text)
{
    test_write(dir, name, text, strlen(text));
}

void test_link(const char *dir, const char *name, const char *target)
{
    AUTO_FREE char *path = test_path(dir, name);
    assert_int_equal(symlink(target, path), 0);
}

struct buf test_read(const char *dir, const char *name)
{
    struct buf bytes = {0};
    AUTO_FREE char *path = file_join(dir, name);
    AUTO_FD int fd = open(path, O_RDONLY);
    struct stat st;
    assert_true(fd >= 0 && fstat(fd, &st) == 0);
    AUTO_FREE char *data = mem_alloc((size_t)st.st_size);
    assert_int_equal(file_pread(fd, data, (size_t)st.st_size, 0, NULL), 0);
    buf_add(&bytes, data, (size_t)st.st_size);
    return bytes;
}

bool test_exists(const char *dir, const char *name)
{
    AUTO_FREE char *path = file_join(dir, name);
    struct stat st;
    return lstat(path, &st) == 0;
}

struct buf test_safetensors(const char *header, const void *data, size_t n)
{
    struct buf file = {0};
    uint64_t length = strlen(header);
    buf_add(&file, &length, sizeof length);
    buf_add(&file, header, length);
    buf_add(&file, data, n);
    return file;
}

uint32_t test_random(uint32_t *state)
{
    *state = *state * 1664525 + 1013904223;
    return *state >> 8;
}

float test_normal(uint32_t *state)
{
    float u = ((float)test_random(state) + 1) / (float)(1 << 24);
    float v = (float)test_random(state) / (float)(1 << 24);
    return sqrtf(-2 * logf(u)) * cosf(6.2831853f * v);
}

uint16_t test_narrow(float f)
{
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

float test_widen(uint16_t h)
{
    uint32_t u = (uint32_t)h << 16;
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

/* A sum of four uniform numbers: close enough to the bell of trained weights. */
static float bell(uint32_t *state)
{
    float sum = 0;
    for (int i = 0; i < 4; i++)
        sum += (float)test_random(state) / (float)(1 << 24) - 0.5f;
    return sum;
}

void test_weights(uint16_t *dst, size_t n, const uint16_t *base, uint32_t seed)
{
    uint32_t state = seed * 2654435761u + 1;
    for (size_t i = 0; i < n; i++)
        dst[i] = base ? test_narrow(test_widen(base[i]) + bell(&state) * 0.0002f)
                      : test_narrow(bell(&state) * 0.04f);
}

struct buf test_model(size_t big, uint32_t base_seed, uint32_t seed)
{
    enum { SMALL = 256 };
    size_t n = big + SMALL;
    AUTO_FREE uint16_t *base = mem_alloc(n * 2), *weights = mem_alloc(n * 2);
    AUTO_FREE char *header = mem_printf(
        "{\"__metadata__\":{\"format\":\"pt\"},"
        "\"layers.0.weight\":{\"dtype\":\"BF16\",\"shape\":[%zu,2],\"data_offsets\":[0,%zu]},"
        "\"norm.weight\":{\"dtype\":\"BF16\",\"shape\":[%d],\"data_offsets\":[%zu,%zu]}}",
        big / 2, big * 2, SMALL, big * 2, n * 2);
    test_weights(base, n, NULL, base_seed);
    if (seed)
        test_weights(weights, n, base, seed);
    else
        memcpy(weights, base, n * 2);
    return test_safetensors(header, weights, n * 2);
}

char *test_hub_model(const char *hub, const char *repo, const struct buf *weights, const char *card)
{
    static const char commit[] = "00000000000000000000000000000000000000aa";
    char hex[DIGEST_HEX];
    struct digest *digest = digest_new(DIGEST_SHA256, weights->len);
    digest_update(digest, weights->data, weights->len);
    digest_hex(digest, hex);
    digest_free(digest);
    char *blob = mem_printf("models--%s/blobs/%s", repo, hex);
    AUTO_FREE char *link = mem_printf("models--%s/snapshots/%s/model.safetensors", repo, commit);
    AUTO_FREE char *ref = mem_printf("models--%s/refs/main", repo);
    AUTO_FREE char *readme = mem_printf("models--%s/snapshots/%s/README.md", repo, commit);
    AUTO_FREE char *target = mem_printf("../../blobs/%s", hex);
    test_write(hub, blob, weights->data, weights->len);
    test_link(hub, link, target);
    test_write_text(hub, ref, commit);
    if (card)
        test_write_text(hub, readme, card);
    return blob;
}
