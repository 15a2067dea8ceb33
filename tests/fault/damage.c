/* SPDX-License-Identifier: MIT */
/*
 * Damage: bytes of every file of a store are flipped, cut off, zeroed and swapped, files are lost
 * and added. Each time `tare verify` must say so and name the models that it touches; those that
 * it does not name must come back right, those that it names right or not at all; and where an
 * undamaged copy exists, `tare verify --repair` must bring everything back.
 *
 *   damage [all]     all: at more places of each file
 */
#include "tests/fault/world.h"

#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "tests/unit/helpers.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct test {
    struct world world;
    char *before;   /* the picture of the collection */
    char *template; /* a copy of the store */
    char **files;   /* of the store, by their path there */
    size_t file_count, file_cap;
    bool all;    /* at more places */
    bool copies; /* undamaged copies of everything lie in the collection */
    unsigned runs, failures;
};

/* Every STEP-th place, where not all are taken; a program with sanitizers is slow. */
#ifdef __SANITIZE_ADDRESS__
enum { STEP = 17 };
#else
enum { STEP = 5 };
#endif

static const char *const models[] = {"acme/ft1", "acme/ft2", "acme/ft2@v2",
                                     "mine/model.safetensors"};

static void list_files(struct test *test, const char *rel)
{
    AUTO_FREE char *path = file_join(test->world.store, rel);
    DIR *stream = opendir(path);
    for (struct dirent *entry; stream && (entry = readdir(stream));) {
        AUTO_FREE char *below = file_join(rel, entry->d_name);
        if (entry->d_name[0] == '.')
            continue;
        if (entry->d_type == DT_DIR)
            list_files(test, below);
        else if (strcmp(below, "lock") != 0 && strcmp(below, "log") != 0 &&
                 strcmp(below, "README.txt") != 0)
            *ARRAY_ADD(test->files, test->file_count, test->file_cap) = TAKE_PTR(below);
    }
    if (stream)
        closedir(stream);
}

enum harm { FLIP, ZERO, SWAP, CUT, GROW, LOSE, HARMS };
static const char *const harm_names[] = {"flip", "zero", "swap", "cut", "grow", "lose"};

/* Does the harm at a place of the file; false where that changes nothing. */
static bool do_harm(const char *path, enum harm harm, size_t at)
{
    AUTO_BUF struct buf bytes = test_read("", path);
    AUTO_BUF struct buf was = {0};
    buf_add(&was, bytes.data, bytes.len);
    size_t n = MIN((size_t)16, bytes.len - at);
    switch (harm) {
    case FLIP:
        bytes.data[at] ^= (char)(1 << at % 8);
        break;
    case ZERO:
        memset(bytes.data + at, 0, n);
        break;
    case SWAP:
        if (at + 2 * n > bytes.len)
            return false;
        memcpy(bytes.data + at, was.data + at + n, n);
        memcpy(bytes.data + at + n, was.data + at, n);
        break;
    case CUT:
        bytes.len = at;
        break;
    case GROW:
        buf_add(&bytes, "0123456789abcdef", 16);
        break;
    default:
        return unlink(path) == 0;
    }
    if (bytes.len == was.len && memcmp(bytes.data, was.data, was.len) == 0)
        return false;
    /* In a new inode: a held base shares its own with the collection. */
    assert_int_equal(unlink(path), 0);
    test_write("", path, bytes.data ? bytes.data : "", bytes.len);
    return true;
}

static bool names(const js *damaged, const char *model)
{
    for (size_t i = 0; i < js_count(damaged); i++) {
        const js *list = js_get(js_at(damaged, i), "models");
        for (size_t k = 0; k < js_count(list); k++)
            if (strcmp(js_text(js_at(list, k)), model) == 0)
                return true;
    }
    return false;
}

static int complain(struct test *test, const char *what, const char *why)
{
    AUTO_BUF struct buf out = test_read(test->world.dir, "out");
    fprintf(stderr, "FAILED: %s: %s\n%.*s\n", what, why, (int)MIN(out.len, (size_t)1500), out.data);
    test->failures++;
    return -1;
}

static bool tare(struct test *test, const char *format, const char *word)
{
    AUTO_FREE char *line = mem_printf(format, word);
    return world_tare(&test->world, line);
}

/* Models that are not named come back right; those that are named right, or not at all. */
static void check_models(struct test *test, const char *what, const js *damaged)
{
    for (size_t i = 0; i < COUNT_OF(models); i++) {
        AUTO_FREE char *to = file_join(test->world.dir, "to");
        AUTO_FREE char *line = mem_printf("decompress %s --to %s", models[i], to);
        world_remove(to);
        bool came = world_tare(&test->world, line);
        if (!came && !names(damaged, models[i]))
            complain(test, what, "a model that was not named cannot be read");
        struct world copy = {.hub = to, .plain = (char *)"/nowhere"};
        AUTO_FREE char *got = world_picture(&copy);
        for (char *p = got, *end; (end = strchr(p, '\n')); p = end + 1) {
            char sha[80];
            if (sscanf(p, "f %*o %*s %*d %79s", sha) == 1 && !strstr(test->before, sha) &&
                !strstr(p, ".part"))
                complain(test, what, "wrong bytes were served as right ones");
        }
    }
}

static bool is_manifest(const char *file)
{
    return strncmp(file, "files/", 6) == 0;
}

static void reset(struct test *test)
{
    world_remove(test->world.store);
    world_copy(test->template, test->world.store);
}

static void check_repair(struct test *test, const char *what)
{
    bool repaired = tare(test, "verify%s", " --repair");
    if (!repaired) {
        complain(test, what, "it was not repaired, although there are copies");
        return;
    }
    if (!tare(test, "verify%s", ""))
        complain(test, what, "there is damage after the repair");
    if (!tare(test, "gc%s", ""))
        complain(test, what, "gc refuses after the repair");
    check_models(test, what, NULL);
}

/* What a crash leaves of the roster: bytes behind its last whole line. */
static bool is_torn_line(const char *file, const char *path)
{
    AUTO_BUF struct buf now = test_read("", path);
    const char *lines = now.len ? memchr(now.data, '\n', now.len) : NULL;
    size_t rest = lines ? now.len - (size_t)(lines + 1 - now.data) : 0;
    return strcmp(file, "roster") == 0 && rest && memchr(lines + 1, '\n', rest) &&
           now.data[now.len - 1] != '\n';
}

static void one_run(struct test *test, const char *file, enum harm harm, size_t at)
{
    AUTO_FREE char *path = file_join(test->world.store, file);
    AUTO_FREE char *what = mem_printf("%s %s at %zu", harm_names[harm], file, at);
    js *report = NULL;
    reset(test);
    if (!do_harm(path, harm, at) || (harm != LOSE && is_torn_line(file, path)))
        return;
    test->runs++;
    bool good = tare(test, "verify%s", " --json");
    AUTO_BUF struct buf out = test_read(test->world.dir, "out");
    char *begin = out.len ? memchr(out.data, '{', out.len) : NULL;
    if (good || !begin || js_parse(begin, strcspn(begin, "\n"), &report, NULL) < 0) {
        complain(test, what, good ? "verify finds nothing" : "verify has no report");
        return;
    }
    check_models(test, what, js_get(report, "damaged"));
    bool unreadable = is_manifest(file) && (harm == LOSE || harm == CUT);
    if (unreadable && at == 0 && tare(test, "gc%s", ""))
        complain(test, what, "gc works although a manifest cannot be read");
    /* A manifest that is gone in both copies cannot be made again while its file is away. */
    if (test->copies && !unreadable)
        check_repair(test, what);
    js_free(report);
}

/* Where a file is harmed: its first bytes, what structures there are, the middle and the end. */
static size_t places_of(size_t size, size_t out[40])
{
    static const size_t fixed[] = {0, 9, 13, 21, 25, 33, 41, 50, 70, 90, 100, 110, 120, 130, 140};
    size_t n = 0;
    for (size_t i = 0; i < COUNT_OF(fixed); i++)
        if (fixed[i] < size)
            out[n++] = fixed[i];
    for (size_t i = 1; i < 8; i++)
        out[n++] = size / 8 * i;
    out[n++] = size - 1;
    return n;
}

static void harm_file(struct test *test, const char *file)
{
    size_t places[40];
    AUTO_FREE char *path = file_join(test->template, file);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    size_t count = places_of((size_t)st.st_size, places);
    for (size_t i = 0; i < count; i += test->all ? 1 : STEP)
        one_run(test, file, FLIP, places[i]);
    for (size_t i = 1; i < count; i += test->all ? 5 : 4 * STEP) {
        one_run(test, file, ZERO, places[i]);
        one_run(test, file, SWAP, places[i]);
        one_run(test, file, CUT, places[i]);
    }
    one_run(test, file, CUT, 0);
    one_run(test, file, GROW, 0);
    one_run(test, file, LOSE, 0);
}

static void add_files(struct test *test)
{
    static const char *const added[] = {"objects/ab/notes", "objects/x.txt", "files/readme",
                                        "held/x", "photo.jpg"};
    for (size_t i = 0; i < COUNT_OF(added); i++) {
        reset(test);
        test_write_text(test->world.store, added[i], "hello");
        test->runs++;
        (void)tare(test, "verify%s", "");
        AUTO_BUF struct buf out = test_read(test->world.dir, "out");
        if (!memmem(out.data, out.len, added[i], strlen(added[i])))
            complain(test, added[i], "verify does not tell of a file that was added");
        check_models(test, added[i], NULL);
        if (!tare(test, "gc%s", "") || !test_exists(test->world.store, added[i]))
            complain(test, added[i], "gc minds a foreign file, or removes it");
    }
}

static uint32_t big_endian(const char *p)
{
    const unsigned char *u = (const unsigned char *)p;
    return (uint32_t)u[0] << 24 | (uint32_t)u[1] << 16 | (uint32_t)u[2] << 8 | u[3];
}

/* Whether the byte lies in a page of the database that holds nothing (a leaf of its freelist). */
static bool is_free(const struct buf *db, size_t at)
{
    size_t page = big_endian(db->data + 16) >> 16;
    for (size_t trunk = big_endian(db->data + 32); trunk;) {
        const char *p = db->data + (trunk - 1) * page;
        for (uint32_t i = 0; i < big_endian(p + 4); i++)
            if (big_endian(p + 8 + 4 * i) == at / page + 1)
                return true;
        trunk = big_endian(p);
    }
    return false;
}

/* The catalog: every flip is noticed, a new one is made, and the store is none the worse. */
static void harm_catalog(struct test *test)
{
    AUTO_FREE char *template = mem_printf("%s.catalog", test->world.dir);
    AUTO_FREE char *command = mem_printf("rm -f %s*", test->world.catalog);
    reset(test);
    assert_true(tare(test, "list%s", "")); /* whatever the last run left is settled */
    world_copy(test->world.catalog, template);
    AUTO_BUF struct buf bytes = test_read("", template);
    for (size_t at = 0; at < bytes.len; at += at < 100 ? 7 : test->all ? 499 : 1327 * STEP) {
        AUTO_FREE char *what = mem_printf("flip the catalog at %zu", at);
        if (is_free(&bytes, at))
            continue;
        assert_int_equal(system(command), 0);
        world_copy(template, test->world.catalog);
        (void)do_harm(test->world.catalog, FLIP, at);
        test->runs++;
        bool good = tare(test, "verify%s", "");
        AUTO_BUF struct buf out = test_read(test->world.dir, "out");
        if (good && !memmem(out.data, out.len, "damaged", 7))
            complain(test, what, "verify does not tell of it");
        if (!tare(test, "scan%s", "") || !tare(test, "verify%s", ""))
            complain(test, what, "it is not made anew");
    }
}

/* With copies: everything that is compressed lies once more, uncompressed, in other folders. */
static void prepare(struct test *test, bool copies)
{
    world_fill(&test->world);
    test->copies = copies;
    if (copies) {
        AUTO_FREE char *to = file_join(test->world.plain, "copies");
        assert_int_equal(mkdir(to, 0755), 0);
        for (int i = 0; i < 3; i++) {
            static const char *const repos[] = {"base", "ft1", "ft2"};
            AUTO_FREE char *command =
                mem_printf("for f in $(find %s/models--acme--%s/blobs -size +50k); do"
                           " cp $f %s/%s-$(basename $f).safetensors; done",
                           test->world.hub, repos[i], to, repos[i]);
            assert_int_equal(system(command), 0);
        }
    }
    test->before = world_picture(&test->world);
    AUTO_FREE char *scan = mem_printf("scan %s %s", test->world.hub, test->world.plain);
    assert_true(world_tare(&test->world, scan));
    assert_true(world_tare(&test->world, "compress acme/ft1 mine/model.safetensors --yes"));
    assert_true(world_tare(&test->world, "compress acme/ft2 acme/ft2@v2 --yes"));
    test->template = mem_printf("%s.store", test->world.dir);
    world_copy(test->world.store, test->template);
    list_files(test, "");
}

static void work(const char *folder, bool all, unsigned worker, unsigned workers, unsigned *ret)
{
    struct test test = {.all = all};
    AUTO_FREE char *dir = mem_printf("%s/w%u", folder, worker);
    assert_int_equal(mkdir(dir, 0755), 0);
    world_new(&test.world, dir);
    prepare(&test, worker % 2);
    /* Two workers see every file, one with copies and one without. */
    for (size_t i = worker / 2; i < test.file_count && test.failures < 10; i += workers / 2)
        harm_file(&test, test.files[i]);
    if (worker < 2)
        add_files(&test);
    if (worker == 0)
        harm_catalog(&test);
    ret[0] = test.runs;
    ret[1] = test.failures;
}

int main(int argc, char **argv)
{
    bool all = argc > 1 && strcmp(argv[1], "all") == 0;
    enum { WORKERS = 2 };
    char *folder = world_folder();
    unsigned(*sums)[2] = mmap(NULL, WORKERS * sizeof *sums, PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    unsigned runs = 0, failures = 0;
    pid_t pids[WORKERS];
    for (unsigned w = 0; w < WORKERS; w++) {
        fflush(stdout);
        if ((pids[w] = fork()) == 0) {
            work(folder, all, w, WORKERS, sums[w]);
            _exit(0);
        }
    }
    for (unsigned w = 0; w < WORKERS; w++) {
        int status;
        waitpid(pids[w], &status, 0);
        runs += sums[w][0];
        failures += sums[w][1] + (status != 0);
    }
    printf("%u damages done, %u failed\n", runs, failures);
    if (!failures)
        world_remove(folder);
    else
        printf("see %s\n", folder);
    free(folder);
    return failures > 0;
}
