/* SPDX-License-Identifier: MIT */
/*
 * Memory that runs out: one allocation of the real program fails, or all from one on, in the
 * program's own code or in a library's. It may end, with a word about memory, and nothing is lost.
 *
 *   memory [all]     all: at twenty times as many places
 */
#include "tests/fault/world.h"

#include "base/file.h"
#include "tests/unit/helpers.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { PLACES = 45, MORE = 20, EARLY = 4000 };

struct test {
    struct world world;
    char *template, *before;
    unsigned runs, failures, ended;
};

static const char *const compress[] = {"compress", "acme/ft1", "mine/model.safetensors", "--yes",
                                       NULL};
static const char *const back[] = {"decompress", "--all", "--yes", NULL};
static const char *const gc[] = {"gc", NULL};

static struct outcome starve(const struct test *test, const char *const *args, const char *at)
{
    AUTO_FREE char *preload = mem_printf("LD_PRELOAD=%s", getenv("FAULT_LIBRARY"));
    AUTO_FREE char *scope = mem_printf("FAULT_SCOPE=%s", test->world.dir);
    AUTO_FREE char *count = mem_printf("FAULT_COUNT=%s.count", test->world.dir);
    AUTO_FREE char *where = mem_printf("FAULT_MALLOC=%s", at);
    const char *const environment[] = {preload, scope, where, strcmp(at, "0") ? NULL : count, NULL};
    return world_run(&test->world, args, environment);
}

static void reset(const struct test *test)
{
    world_remove(test->world.dir);
    world_copy(test->template, test->world.dir);
}

/* How many allocations there are when nothing fails. */
static long count_all(struct test *test, const char *const *args)
{
    AUTO_FREE char *path = mem_printf("%s.count", test->world.dir);
    reset(test);
    (void)remove(path);
    assert_int_equal(starve(test, args, "0").status, 0);
    AUTO_BUF struct buf text = test_read("", path);
    const char *found = text.len ? strstr(text.data, "allocations ") : NULL;
    assert_non_null(found);
    return atol(found + strlen("allocations "));
}

static void complain(struct test *test, const char *what, const char *at, const char *why)
{
    AUTO_BUF struct buf out = test_read(test->world.dir, "out");
    fprintf(stderr, "FAILED: %s, allocation %s: %s\n%.*s\n", what, at, why,
            (int)MIN(out.len, (size_t)1000), out.data);
    test->failures++;
}

static void one_run(struct test *test, const char *const *args, const char *at)
{
    reset(test);
    struct outcome outcome = starve(test, args, at);
    test->runs++;
    AUTO_BUF struct buf out = test_read(test->world.dir, "out");
    bool word = memmem(out.data, out.len, "memory", 6) != NULL;
    test->ended += outcome.signal == SIGABRT;
    /* libcrypto crashes where it cannot be made ready; that is done before anything is at stake. */
    bool early = atol(at) < EARLY;
    if (outcome.signal && outcome.signal != SIGABRT && !early)
        complain(test, args[0], at, "it crashed");
    else if (outcome.signal == SIGABRT && !word)
        complain(test, args[0], at, "why it ended is not said");
    (void)world_tare(&test->world, "scan");
    bool begun = test_exists(test->world.store, "format");
    if (begun && (!world_tare(&test->world, "gc") || !world_tare(&test->world, "verify --deep")))
        complain(test, args[0], at, "the store is not well afterwards");
    (void)world_tare(&test->world, "decompress --all --yes");
    AUTO_FREE char *after = world_picture(&test->world);
    if (strcmp(after, test->before) != 0)
        complain(test, args[0], at, "the collection is not what it was");
}

/* At places all over the run. */
static void sweep(struct test *test, const char *const *args, long places)
{
    long all = count_all(test, args);
    for (long i = 0; i < places && test->failures < 10; i++) {
        long at = 1 + all * i / places + i % 7;
        AUTO_FREE char *one = mem_printf("%ld", at), *rest = mem_printf("%ld+", at);
        one_run(test, args, i % 2 ? one : rest);
    }
}

int main(int argc, char **argv)
{
    if (!getenv("FAULT_LIBRARY"))
        return 77;
    long places = PLACES * (argc > 1 && strcmp(argv[1], "all") == 0 ? MORE : 1);
    char *folder = world_folder();
    struct test test = {0};
    AUTO_FREE char *dir = file_join(folder, "w");
    assert_int_equal(mkdir(dir, 0755), 0);
    world_new(&test.world, dir);
    world_fill(&test.world);
    test.before = world_picture(&test.world);
    AUTO_FREE char *scan = mem_printf("scan %s %s", test.world.hub, test.world.plain);
    assert_true(world_tare(&test.world, scan));
    test.template = file_join(folder, "plain");
    world_copy(dir, test.template);
    sweep(&test, compress, places);
    reset(&test);
    assert_true(world_tare(&test.world, "compress acme/ft1 mine/model.safetensors --yes"));
    test.template = file_join(folder, "stored");
    world_copy(dir, test.template);
    sweep(&test, back, places);
    sweep(&test, gc, places / 2);
    printf("memory ran out %u times, %u of them ended the program: %u failed\n", test.runs,
           test.ended, test.failures);
    if (!test.failures)
        world_remove(folder);
    else
        printf("see %s\n", folder);
    return test.failures > 0;
}
