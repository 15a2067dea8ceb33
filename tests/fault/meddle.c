/* SPDX-License-Identifier: MIT */
/*
 * Others at work at the same time. The program is stopped before one of its changes, something
 * happens to the collection or to the store, and it goes on: whatever comes of it, what was
 * compressed is in its place or in the store, and what others wrote is as they wrote it.
 *
 *   meddle [all]     all: an edit before every single change
 */
#include "tests/fault/world.h"

#include "base/file.h"
#include "tests/unit/helpers.h"

#include <errno.h>
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
    struct buf edited;     /* and what an edit makes of it */
    const char *lacks;     /* FAULT_LACKS */
    bool all;              /* an edit at every change */
    pid_t editor;          /* that may be waiting for a lease to be given up */
    unsigned runs, failures;
};

enum deed { PUT_BACK, REPLACE, APPEND, FOLDER_GONE, SECOND_TARE, SCAN, EDIT, CHMOD, DEEDS };
static const char *const deed_names[] = {
    "the file comes back",        "another file comes", "the file grows",
    "the folder vanishes",        "a second tare",      "a scan",
    "an edit, its time put back", "another mode"};

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
        if (test->lacks)
            setenv("FAULT_LACKS", test->lacks, 1);
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

/* Another byte at the end of the file, and its times as they were; false where it was not there. */
static bool edit(const struct test *test, int flags)
{
    const struct buf *bytes = &test->edited;
    struct stat st;
    AUTO_FD int fd = open(test->file, O_RDWR | flags);
    if (fd < 0)
        return false;
    assert_int_equal(fstat(fd, &st), 0);
    const struct timespec times[2] = {st.st_atim, st.st_mtim};
    assert_int_equal(pwrite(fd, bytes->data + bytes->len - 1, 1, (off_t)bytes->len - 1), 1);
    assert_int_equal(futimens(fd, times), 0);
    return true;
}

/*
 * Another process edits the file, at once or, where that has to wait for a lease, once the program
 * gives it up. It exits with 0 if it did.
 */
static void start_edit(struct test *test)
{
    int pipes[2];
    char byte;
    assert_int_equal(pipe(pipes), 0);
    test->editor = fork();
    if (test->editor == 0) {
        close(pipes[0]);
        bool done = edit(test, O_NONBLOCK), waits = !done && errno == EWOULDBLOCK;
        close(pipes[1]); /* done, or about to wait: the parent goes on */
        _exit(done || (waits && edit(test, 0)) ? 0 : 1);
    }
    close(pipes[1]);
    assert_int_equal(read(pipes[0], &byte, 1), 0);
    close(pipes[0]);
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
        AUTO_FD int fd = open(test->file, O_WRONLY | O_APPEND | O_NONBLOCK); /* it may be leased */
        if (fd >= 0)
            assert_int_equal(write(fd, "x", 1), 1);
        break;
    }
    case EDIT:
        start_edit(test);
        break;
    case CHMOD:
        (void)chmod(test->file, 0640);
        break;
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
static bool can_be_had(struct test *test, const struct buf *bytes)
{
    AUTO_FREE char *to = file_join(test->world.dir, "to"),
                   *copy = mem_printf("%s/%s/model.safetensors", to, model);
    bool good = same_bytes(test->file, bytes->data, bytes->len, true);
    AUTO_FREE char *line = mem_printf("decompress %s --to %s", model, to);
    if (!good)
        good = world_tare(&test->world, line) && same_bytes(copy, bytes->data, bytes->len, true);
    world_remove(to);
    return good;
}

/* Whether the file has this mode, where necessary after it was given back. */
static bool has_mode(struct test *test, mode_t mode)
{
    struct stat st;
    AUTO_FREE char *line = mem_printf("decompress %s", model);
    if (lstat(test->file, &st) < 0)
        (void)world_tare(&test->world, line);
    return lstat(test->file, &st) == 0 && (st.st_mode & 07777) == mode;
}

static bool one_run(struct test *test, const char *run, int at, enum deed deed)
{
    int status;
    world_remove(test->world.dir);
    world_copy(test->template, test->world.dir);
    pid_t pid = start_stopped(test, run, model, at);
    if (!pid)
        return false;
    bool there = test_exists("", test->file), edited = false;
    test->runs++;
    do_deed(test, run, at, deed);
    kill(pid, SIGCONT);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (!WIFEXITED(status))
        complain(test, run, at, deed, "it did not end by itself");
    if (deed == EDIT) {
        int done;
        assert_int_equal(waitpid(test->editor, &done, 0), test->editor);
        edited = WIFEXITED(done) && WEXITSTATUS(done) == 0;
    }
    AUTO_FREE char *folder = file_dir(test->file), *away = mem_printf("%s.away", folder);
    if (deed == FOLDER_GONE) {
        world_remove(folder); /* whatever was made anew there is not the owner's */
        assert_int_equal(rename(away, folder), 0);
    }
    (void)world_tare(&test->world, "scan");
    (void)world_tare(&test->world, "gc");
    /* What the owner replaced or let grow himself is his; else the bytes must be there. */
    if (!(deed == REPLACE && there) && !can_be_had(test, edited ? &test->edited : &test->bytes))
        complain(test, run, at, deed,
                 edited ? "what was edited cannot be had" : "its bytes cannot be had any more");
    if (deed == CHMOD && there && !has_mode(test, 0640))
        complain(test, run, at, deed, "it comes back with the mode of before");
    if (deed == REPLACE && !same_bytes(test->file, other_bytes, sizeof other_bytes, false))
        complain(test, run, at, deed, "what somebody else put there is gone");
    return true;
}

static void all_runs(struct test *test, const char *run)
{
    for (int deed = 0; deed < EDIT; deed++)
        for (int at = 1; test->failures < 10 && one_run(test, run, at, (enum deed)deed); at += 8)
            ;
}

/* An edit between any two changes of compress, with leases and on a file system without them. */
static void edit_runs(struct test *test)
{
    static const char *const lacks[] = {NULL, "leases", "leases noreplace"};
    for (size_t i = 0; i < COUNT_OF(lacks); i++) {
        test->lacks = lacks[i];
        int step = test->all ? 1 : 11;
        for (int at = 1 + (int)i; test->failures < 10 && one_run(test, "compress", at, EDIT);
             at += step)
            ;
        for (int at = 1 + (int)i; test->failures < 10 && one_run(test, "compress", at, CHMOD);
             at += step)
            ;
    }
    test->lacks = NULL;
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
    for (int at = 1; test->failures < 10; at += 6) {
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

int main(int argc, char **argv)
{
    if (!getenv("FAULT_LIBRARY"))
        return 77;
    char *folder = world_folder();
    struct test test = {.all = argc > 1 && strcmp(argv[1], "all") == 0};
    AUTO_FREE char *dir = file_join(folder, "w");
    assert_int_equal(mkdir(dir, 0755), 0);
    world_new(&test.world, dir);
    world_fill(&test.world);
    test.file = mem_printf("%s/%s", test.world.plain, model);
    test.bytes = test_read("", test.file);
    buf_add(&test.edited, test.bytes.data, test.bytes.len);
    test.edited.data[test.edited.len - 1] ^= 0x5a;
    AUTO_FREE char *scan = mem_printf("scan %s %s", test.world.hub, test.world.plain);
    assert_true(world_tare(&test.world, scan));
    test.template = file_join(folder, "plain");
    world_copy(dir, test.template);
    all_runs(&test, "compress");
    unsigned compress = test.runs;
    edit_runs(&test);
    unsigned edits = test.runs - compress;
    download_runs(&test);
    unsigned download = test.runs - compress - edits;
    world_remove(dir);
    world_copy(test.template, dir);
    AUTO_FREE char *line = mem_printf("compress %s acme/ft2 --yes", model);
    assert_true(world_tare(&test.world, line));
    test.template = file_join(folder, "stored");
    world_copy(dir, test.template);
    all_runs(&test, "decompress");
    printf("meddled with %u times during compress, %u by an edit, %u by a download, %u during "
           "decompress: %u failed\n",
           compress, edits, download, test.runs - compress - edits - download, test.failures);
    if (!test.failures)
        world_remove(folder);
    else
        printf("see %s\n", folder);
    return test.failures > 0;
}
