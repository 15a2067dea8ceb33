/* SPDX-License-Identifier: MIT */
#include "tests/fault/world.h"

#include "base/file.h"
#include "base/hash.h"
#include "tests/unit/helpers.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { BIG = 34000, SECONDS = 60 };

static const char first_commit[] = "00000000000000000000000000000000000000aa";
static const char second_commit[] = "00000000000000000000000000000000000000bb";

/* Of these test programs; the program that they run is looked at as always. */
const char *__lsan_default_options(void);
const char *__lsan_default_options(void)
{
    return "detect_leaks=0";
}

void world_new(struct world *world, const char *dir)
{
    world->dir = mem_strdup(dir);
    world->hub = file_join(dir, "hub");
    world->plain = file_join(dir, "plain");
    world->store = file_join(dir, "s");
    world->catalog = file_join(dir, "catalog.db");
    world->home = file_join(dir, "home");
}

void world_release(struct world *world)
{
    free(world->dir);
    free(world->hub);
    free(world->plain);
    free(world->store);
    free(world->catalog);
    free(world->home);
}

/* A file in a hub cache: a blob named by its SHA-256, and a link in a snapshot. */
static void add_file(const struct world *world, const char *repo, const char *commit,
                     const char *name, const struct buf *bytes)
{
    char hex[DIGEST_HEX];
    struct digest *digest = digest_new(DIGEST_SHA256, bytes->len);
    digest_update(digest, bytes->data, bytes->len);
    digest_hex(digest, hex);
    digest_free(digest);
    AUTO_FREE char *blob = mem_printf("models--acme--%s/blobs/%s", repo, hex);
    AUTO_FREE char *link = mem_printf("models--acme--%s/snapshots/%s/%s", repo, commit, name);
    AUTO_FREE char *ref =
        mem_printf("models--acme--%s/refs/%s", repo, commit == first_commit ? "main" : "v2");
    AUTO_FREE char *target = mem_printf("../../blobs/%s", hex);
    if (!test_exists(world->hub, blob))
        test_write(world->hub, blob, bytes->data, bytes->len);
    test_link(world->hub, link, target);
    test_write_text(world->hub, ref, commit);
}

static void add_text(const struct world *world, const char *repo, const char *commit,
                     const char *name, const char *text)
{
    AUTO_BUF struct buf bytes = {0};
    buf_str(&bytes, text);
    add_file(world, repo, commit, name, &bytes);
}

static void add_shards(const struct world *world, const char *repo, const char *commit,
                       const uint32_t seeds[2])
{
    for (uint32_t i = 0; i < 2; i++) {
        AUTO_BUF struct buf shard = test_model(BIG, i + 1, seeds[i]);
        AUTO_FREE char *name = mem_printf("model-%05u-of-00002.safetensors", i + 1);
        add_file(world, repo, commit, name, &shard);
    }
}

/* The same tensors in another file: the header says something else. */
static struct buf frozen_shard(void)
{
    struct buf shard = test_model(BIG, 1, 0);
    char *format = memmem(shard.data, 200, "\"pt\"", 4);
    memcpy(format, "\"tf\"", 4);
    return shard;
}

void world_fill(const struct world *world)
{
    static const char card[] = "---\nbase_model: acme/base\n---\n";
    const uint32_t base[] = {0, 0}, first[] = {11, 12};
    add_shards(world, "base", first_commit, base);
    add_text(world, "base", first_commit, "config.json", "{}");
    add_shards(world, "ft1", first_commit, first);
    add_text(world, "ft1", first_commit, "README.md", card);
    AUTO_BUF struct buf frozen = frozen_shard(), tuned = test_model(BIG, 2, 13);
    AUTO_BUF struct buf again = test_model(BIG, 2, 14), mine = test_model(BIG, 1, 15);
    add_file(world, "ft2", first_commit, "model-00001-of-00002.safetensors", &frozen);
    add_file(world, "ft2", first_commit, "model-00002-of-00002.safetensors", &tuned);
    add_text(world, "ft2", first_commit, "README.md", card);
    add_file(world, "ft2", second_commit, "model-00001-of-00002.safetensors", &frozen);
    add_file(world, "ft2", second_commit, "model-00002-of-00002.safetensors", &again);
    add_text(world, "ft2", second_commit, "README.md", card);
    test_write(world->plain, "mine/model.safetensors", mine.data, mine.len);
    test_write(world->plain, "copy/model.safetensors", mine.data, mine.len);
    test_write_text(world->plain, "mine/README.md", card);
    AUTO_FREE char *model = file_join(world->plain, "mine/model.safetensors");
    const struct timespec times[2] = {{1500000000, 1}, {1600000000, 123456789}};
    assert_int_equal(utimensat(AT_FDCWD, model, times, 0), 0);
    assert_int_equal(chmod(model, 0640), 0);
    assert_int_equal(mkdir(world->home, 0700), 0);
}

/* ---- the picture ---- */

static void sha_of(const char *path, char hex[DIGEST_HEX])
{
    AUTO_BUF struct buf bytes = {0};
    struct err err = {0};
    if (file_read_all(AT_FDCWD, path, (size_t)1 << 30, &bytes, &err) < 0) {
        snprintf(hex, DIGEST_HEX, "unreadable");
        return;
    }
    struct digest *digest = digest_new(DIGEST_SHA256, bytes.len);
    digest_update(digest, bytes.data, bytes.len);
    digest_hex(digest, hex);
    digest_free(digest);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static void draw(const char *path, struct buf *out)
{
    struct stat st;
    if (lstat(path, &st) < 0)
        return;
    if (S_ISDIR(st.st_mode)) {
        struct dirent **entries;
        int count = scandir(path, &entries, NULL, by_name);
        for (int i = 0; i < count; i++) {
            AUTO_FREE char *below = file_join(path, entries[i]->d_name);
            if (strcmp(entries[i]->d_name, ".") != 0 && strcmp(entries[i]->d_name, "..") != 0)
                draw(below, out);
            free(entries[i]);
        }
        if (count >= 0)
            free(entries);
        return;
    }
    char what[4096] = "";
    if (S_ISLNK(st.st_mode)) {
        ssize_t n = readlink(path, what, sizeof what - 1);
        what[MAX(n, 0)] = '\0';
    } else {
        sha_of(path, what);
    }
    buf_printf(out, "%c %o %lld.%09ld %lld %s %s\n", S_ISLNK(st.st_mode) ? 'l' : 'f', st.st_mode,
               (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec, (long long)st.st_size, what, path);
}

char *world_picture(const struct world *world)
{
    struct buf out = {0};
    buf_str(&out, "");
    draw(world->hub, &out);
    draw(world->plain, &out);
    return out.data;
}

/* ---- running things ---- */

static struct outcome run(const char *program, const char *const *argv, const char *out,
                          const char *const *environment)
{
    struct outcome outcome = {.status = -1};
    struct rusage usage;
    pid_t pid = fork();
    if (pid == 0) {
        int fd = open(out, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        int null = open("/dev/null", O_RDONLY);
        dup2(null, 0);
        dup2(fd, 1);
        dup2(fd, 2);
        for (; environment && *environment; environment++)
            putenv((char *)*environment);
        alarm(SECONDS); /* survives exec: who hangs is ended, and seen */
        execvp(program, (char *const *)argv);
        _exit(127);
    }
    int status;
    assert_true(pid > 0);
    while (wait4(pid, &status, 0, &usage) < 0)
        assert_int_equal(errno, EINTR);
    outcome.peak = usage.ru_maxrss;
    if (WIFEXITED(status))
        outcome.status = WEXITSTATUS(status);
    else
        outcome.signal = WTERMSIG(status);
    return outcome;
}

/*
 * The store of a world that was copied is another folder: the configuration, which lies beside the
 * world, says that it is the user's.
 */
static void name_store(const struct world *world)
{
    AUTO_FREE char *folder = mem_printf("%s.config", world->dir);
    AUTO_FREE char *line = mem_printf("store = %s\n", world->store);
    if (!test_exists(folder, "tare/config"))
        test_write_text(folder, "tare/config", line);
    setenv("XDG_CONFIG_HOME", folder, 1);
}

struct outcome world_run(const struct world *world, const char *const *args,
                         const char *const *environment)
{
    static const char *const unset[] = {"XDG_CACHE_HOME", "XDG_DATA_HOME", "SUDO_UID"};
    const char *argv[40] = {"tare"};
    size_t n = 1;
    for (; *args && n < 30; args++)
        argv[n++] = *args;
    const char *const common[] = {"--store",   world->store, "--catalog", world->catalog,
                                  "--threads", "1",          "--quiet"};
    for (size_t i = 0; i < COUNT_OF(common); i++)
        argv[n++] = common[i];
    for (size_t i = 0; i < COUNT_OF(unset); i++)
        unsetenv(unset[i]);
    name_store(world);
    setenv("HOME", world->home, 1);
    setenv("HF_HUB_CACHE", world->hub, 1);
    AUTO_FREE char *out = file_join(world->dir, "out");
    const char *program = getenv("TARE");
    return run(program ? program : "./tare", argv, out, environment);
}

bool world_tare(const struct world *world, const char *line)
{
    const char *args[30];
    size_t n = 0;
    AUTO_FREE char *copy = mem_strdup(line);
    char *save = NULL;
    for (char *word = strtok_r(copy, " ", &save); word && n < 29; word = strtok_r(NULL, " ", &save))
        args[n++] = word;
    args[n] = NULL;
    return world_run(world, args, NULL).status == 0;
}

void world_copy(const char *from, const char *to)
{
    const char *const argv[] = {"cp", "-a", from, to, NULL};
    if (run("cp", argv, "/dev/null", NULL).status != 0)
        fail_msg("cp -a %s %s", from, to);
}

void world_remove(const char *path)
{
    const char *const argv[] = {"rm", "-rf", path, NULL};
    if (run("rm", argv, "/dev/null", NULL).status != 0)
        fail_msg("rm -rf %s", path);
}

static size_t count_files(const char *path)
{
    DIR *stream = opendir(path);
    size_t n = 0;
    for (struct dirent *entry; stream && (entry = readdir(stream));) {
        AUTO_FREE char *below = file_join(path, entry->d_name);
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        n += entry->d_type == DT_DIR ? count_files(below) : 1;
    }
    if (stream)
        closedir(stream);
    return n;
}

size_t world_left(const struct world *world)
{
    static const char *const parts[] = {"files", "objects", "held", "tmp"};
    size_t n = 0;
    for (size_t i = 0; i < COUNT_OF(parts); i++) {
        AUTO_FREE char *path = file_join(world->store, parts[i]);
        n += count_files(path);
    }
    return n;
}

char *world_folder(void)
{
    if (!getenv("TMPDIR") && access("/dev/shm", W_OK) == 0)
        setenv("TMPDIR", "/dev/shm", 1);
    return test_folder();
}
