/* SPDX-License-Identifier: MIT */
/*
 * Others at work at the same time. The program is stopped before one of its changes, something
 * happens to the collection or to the store, and it goes on: whatever comes of it, what was
 * compressed is in its place or in the store, and what others wrote is as they wrote it.
 */
#include "tests/fault/world.h"

#include "base/file.h"
#include "tests/unit/helpers.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const char model[] = "mine/model.safetensors", other_bytes[] = "a file of somebody else";

struct test {
    struct world world;
    char *template, *file; /* the model's file */
    struct buf bytes;      /* and what is in it */
    unsigned runs, failures;
};

enum deed { PUT_BACK, REPLACE, APPEND, FOLDER_GONE, SECOND_TARE, SCAN, DEEDS };
static const char *const deed_names[] = {"the file comes back", "another file comes",
                                         "the file grows",      "the folder vanishes",
                                         "a second tare",       "a scan"};

static void complain(struct test *test, const char *run, int at, enum deed deed, const char *why)
{
    AUTO_BUF struct buf out = test_read(test->world.dir, "out");
    fprintf(stderr, "FAILED: %s at %d, %s: %s\n%.*s\n", run, at, deed_names[deed], why,
            (int)out.len, out.data);
    test->failures++;
}

/* Starts the program, which stops at a change; its pid, or 0 where it ended before. */
static pid_t start_stopped(struct test *test, const char *run, const char *what, int at)
{
    AUTO_FREE char *preload = mem_printf("LD_PRELOAD=%s", getenv("FAULT_LIBRARY"));
    AUTO_FREE char *scope = mem_printf("FAULT_SCOPE=%s", test->world.dir);
    AUTO_FREE char *where = mem_printf("FAULT_AT=w:%d", at);
    AUTO_FREE char *out = file_join(test->world.dir, "first.out");
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        int fd = open(out, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        dup2(fd, 1);
        dup2(fd, 2);
        putenv(preload);
        putenv(scope);
        putenv(where);
        putenv((char *)"FAULT_KIND=stop");
        alarm(60);
        execl(getenv("TARE"), "tare", run, what, "--yes", "--store", test->world.store, "--catalog",
              test->world.catalog, "--threads", "1", "--quiet", NULL);
        _exit(127);
    }
    assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
    return WIFSTOPPED(status) ? pid : 0;
}

/* A file under another name, then renamed into place, as downloads do it. */
static void put(const char *path, const void *bytes, size_t n)
{
    AUTO_FREE char *part = mem_printf("%s.part", path);
    test_write("", part, bytes, n);
    assert_int_equal(rename(part, path), 0);
}

static void do_deed(struct test *test, const char *run, int at, enum deed deed)
{
    AUTO_FREE char *folder = file_dir(test->file), *away = mem_printf("%s.away", folder);
    switch (deed) {
    case PUT_BACK:
        put(test->file, test->bytes.data, test->bytes.len);
        break;
    case REPLACE:
        put(test->file, other_bytes, sizeof other_bytes);
        break;
    case APPEND: {
        AUTO_FD int fd = open(test->file, O_WRONLY | O_APPEND);
        if (fd >= 0)
            assert_int_equal(write(fd, "x", 1), 1);
        break;
    }
    case FOLDER_GONE:
        assert_int_equal(rename(folder, away), 0);
        break;
    case SECOND_TARE: {
        /* The interposed library spares it the time that it would wait for the catalog. */
        AUTO_FREE char *preload = mem_printf("LD_PRELOAD=%s", getenv("FAULT_LIBRARY"));
        AUTO_FREE char *scope = mem_printf("FAULT_SCOPE=%s", test->world.dir);
        const char *const environment[] = {preload, scope, NULL};
        const char *const args[] = {run, "acme/ft2", "--yes", NULL};
        bool worked = world_run(&test->world, args, environment).status == 0;
        AUTO_BUF struct buf out = test_read(test->world.dir, "out");
        bool told = memmem(out.data, out.len, "pid ", 4) &&
                    memmem(out.data, out.len, run, strlen(run)) &&
                    memmem(out.data, out.len, "since", 5);
        /* Before the first one has the lock, the second one works. */
        told |= memmem(out.data, out.len, "since just now", 14) != NULL;
        told |= memmem(out.data, out.len, "the catalog is in use by another tare", 37) != NULL;
        if (!worked && !told && !memmem(out.data, out.len, "nothing", 7))
            complain(test, run, at, deed, "who holds the store is not said");
        break;
    }
    default: {
        AUTO_FREE char *preload = mem_printf("LD_PRELOAD=%s", getenv("FAULT_LIBRARY"));
        AUTO_FREE char *scope = mem_printf("FAULT_SCOPE=%s", test->world.dir);
        const char *const environment[] = {preload, scope, NULL};
        const char *const args[] = {"scan", NULL};
        (void)world_run(&test->world, args, environment);
    }
    }
}

/* Whether the file has these bytes; with grown, also one more behind them. */
static bool same_bytes(const char *path, const void *bytes, size_t n, bool grown)
{
    struct buf got = {0};
    bool same = file_read_all(AT_FDCWD, path, 1 << 20, &got, NULL) == 0 &&
                (got.len == n || (grown && got.len == n + 1)) && memcmp(got.data, bytes, n) == 0;
    buf_release(&got);
    return same;
}

/* The model's bytes: in their place, aside, grown by what was appended, or out of the store. */
static bool can_be_had(struct test *test)
{
    AUTO_FREE char *to = file_join(test->world.dir, "to"),
                   *copy = mem_printf("%s/%s/model.safetensors", to, model);
    bool good = same_bytes(test->file, test->bytes.data, test->bytes.len, true);
    AUTO_FREE char *line = mem_printf("decompress %s --to %s", model, to);
    if (!good)
        good = world_tare(&test->world, line) &&
               same_bytes(copy, test->bytes.data, test->bytes.len, true);
    world_remove(to);
    return good;
}

static bool one_run(struct test *test, const char *run, int at, enum deed deed)
{
    int status;
    world_remove(test->world.dir);
    world_copy(test->template, test->world.dir);
    pid_t pid = start_stopped(test, run, model, at);
    if (!pid)
        return false;
    bool there = test_exists("", test->file);
    test->runs++;
    do_deed(test, run, at, deed);
    kill(pid, SIGCONT);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (!WIFEXITED(status))
        complain(test, run, at, deed, "it did not end by itself");
    AUTO_FREE char *folder = file_dir(test->file), *away = mem_printf("%s.away", folder);
    if (deed == FOLDER_GONE) {
        world_remove(folder); /* whatever was made anew there is not the owner's */
        assert_int_equal(rename(away, folder), 0);
    }
    (void)world_tare(&test->world, "scan");
    (void)world_tare(&test->world, "gc");
    /* What the owner replaced or let grow himself is his; else the bytes must be there. */
    if (!(deed == REPLACE && there) && !can_be_had(test))
        complain(test, run, at, deed, "its bytes cannot be had any more");
    if (deed == REPLACE && !same_bytes(test->file, other_bytes, sizeof other_bytes, false))
        complain(test, run, at, deed, "what somebody else put there is gone");
    return true;
}

static void all_runs(struct test *test, const char *run)
{
    for (int deed = 0; deed < DEEDS; deed++)
        for (int at = 1; test->failures < 10 && one_run(test, run, at, (enum deed)deed); at += 5)
            ;
}

static size_t count_dangling(const char *folder)
{
    AUTO_FREE char *command = mem_printf("find %s -xtype l | wc -l", folder);
    FILE *pipe = popen(command, "r");
    size_t n = 0;
    assert_non_null(pipe);
    assert_int_equal(fscanf(pipe, "%zu", &n), 1);
    pclose(pipe);
    return n;
}

/*
 * A download comes between: a new repository, and a new revision of the one that is compressed,
 * which leads to the blobs that are there. No link dangles then, and everything can be had.
 */
static void download_runs(struct test *test)
{
    static const char commit[] = "00000000000000000000000000000000000000cc";
    AUTO_FREE char *find = mem_printf(
        "cd %s/models--acme--ft1 && mkdir snapshots/%s && cp -P snapshots/*aa/* snapshots/%s/",
        test->world.hub, commit, commit);
    for (int at = 1; test->failures < 10; at += 4) {
        int status;
        world_remove(test->world.dir);
        world_copy(test->template, test->world.dir);
        pid_t pid = start_stopped(test, "compress", "acme/ft1", at);
        if (!pid)
            break;
        test->runs++;
        /* Links that the program removed already are not there to be copied. */
        (void)!system(find);
        test_write_text(test->world.hub, "models--acme--new/blobs/aa.12345678.incomplete", "half");
        kill(pid, SIGCONT);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (count_dangling(test->world.hub))
            complain(test, "download", at, DEEDS - 1, "a link dangles");
        (void)world_tare(&test->world, "decompress --all --yes");
        if (count_dangling(test->world.hub) ||
            !test_exists(test->world.hub, "models--acme--new/blobs/aa.12345678.incomplete"))
            complain(test, "download", at, DEEDS - 1, "not everything came back");
    }
}

int main(void)
{
    if (!getenv("FAULT_LIBRARY"))
        return 77;
    char *folder = world_folder();
    struct test test = {0};
    AUTO_FREE char *dir = file_join(folder, "w");
    assert_int_equal(mkdir(dir, 0755), 0);
    world_new(&test.world, dir);
    world_fill(&test.world);
    test.file = mem_printf("%s/%s", test.world.plain, model);
    test.bytes = test_read("", test.file);
    AUTO_FREE char *scan = mem_printf("scan %s %s", test.world.hub, test.world.plain);
    assert_true(world_tare(&test.world, scan));
    test.template = file_join(folder, "plain");
    world_copy(dir, test.template);
    all_runs(&test, "compress");
    unsigned compress = test.runs;
    download_runs(&test);
    unsigned download = test.runs - compress;
    world_remove(dir);
    world_copy(test.template, dir);
    AUTO_FREE char *line = mem_printf("compress %s acme/ft2 --yes", model);
    assert_true(world_tare(&test.world, line));
    test.template = file_join(folder, "stored");
    world_copy(dir, test.template);
    all_runs(&test, "decompress");
    printf("meddled with %u times during compress, %u by a download, %u during decompress: "
           "%u failed\n",
           compress, download, test.runs - compress - download, test.failures);
    if (!test.failures)
        world_remove(folder);
    else
        printf("see %s\n", folder);
    return test.failures > 0;
}
