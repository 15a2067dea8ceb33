/* SPDX-License-Identifier: MIT */
/*
 * make bench: speed and memory, as tables, which become docs/benchmarks.md. Figures are for this
 * machine and this run; what matters are the ratios within it.
 */
#include "delta/compare.h"
#include "tests/bench/bench.h"

#include "base/file.h"
#include "base/hash.h"
#include "base/text.h"
#include "ops/compress.h"
#include "ops/index.h"
#include "ops/scan.h"

#include <fcntl.h>
#include <locale.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MODELS = 1000, TENSORS = 300, GIB_WEIGHTS = 512 * 1024 * 1024 };

void bench_row(const char *what, const char *format, double value, const char *goal)
{
    AUTO_FREE char *text = mem_printf(format, value);
    printf("| %s | %s | %s |\n", what, text, goal);
    fflush(stdout);
}

static struct ops *open_ops(const char *dir)
{
    static char catalog[4096], store[4096];
    struct ops *ops;
    snprintf(catalog, sizeof catalog, "%s/catalog.db", dir);
    snprintf(store, sizeof store, "%s/store", dir);
    const struct ops_options options = {.catalog = catalog, .store = store};
    assert_int_equal(ops_open(&options, &ops, NULL), 0);
    return ops;
}

/* A sparse model file with so many tensors of 1 MiB. */
static void sparse_model(const char *dir, int index)
{
    AUTO_BUF struct buf header = {0};
    AUTO_FREE char *name = mem_printf("m%04d/model.safetensors", index);
    AUTO_FREE char *config = mem_printf("m%04d/config.json", index);
    buf_char(&header, '{');
    for (int i = 0; i < TENSORS; i++)
        buf_printf(&header,
                   "%s\"model.layers.%d.mlp.up_proj.weight\":{\"dtype\":\"BF16\",\"shape\":[512,"
                   "1024],\"data_offsets\":[%d,%d]}",
                   i ? "," : "", i, i << 20, (i + 1) << 20);
    buf_char(&header, '}');
    AUTO_BUF struct buf file = test_safetensors(header.data, "", 0);
    test_write(dir, name, file.data, file.len);
    test_write_text(dir, config, "{}");
    AUTO_FREE char *path = file_join(dir, name);
    assert_int_equal(truncate(path, (off_t)file.len + ((off_t)TENSORS << 20)), 0);
}

static double scan_headers(struct ops *ops, const char *root)
{
    const char *const paths[] = {root, NULL};
    const struct scan_request request = {.paths = paths, .headers_only = true};
    struct scan_report report;
    double start = ops_now();
    assert_int_equal(ops_scan(ops, &request, NULL, &report, NULL), 0);
    assert_int_equal(report.models, MODELS);
    scan_report_release(&report);
    return ops_now() - start;
}

static void bench_headers(void)
{
    char *dir = test_folder();
    AUTO_FREE char *root = test_path(dir, "models");
    for (int i = 0; i < MODELS; i++)
        sparse_model(root, i);
    struct ops *ops = open_ops(dir);
    bench_row("scan: headers of 1,000 models of 300 tensors", "%.2f s", scan_headers(ops, root),
              "<= 2 s");
    bench_row("scan: again, nothing changed", "%.3f s", scan_headers(ops, root), "<= 0.1 s");
    ops_close(ops);
    test_remove(dir);
}

static double seconds_of(const char *command)
{
    double best = 1e9;
    for (int i = 0; i < 3; i++) {
        double start = ops_now();
        if (system(command) != 0)
            return 0;
        best = MIN(best, ops_now() - start);
    }
    return best;
}

static void bench_hash(void)
{
    enum { SIZE = 1000000000 };
    char *dir = test_folder();
    AUTO_FREE char *path = file_join(dir, "big.bin");
    AUTO_FREE char *block = mem_zalloc(1000000);
    uint32_t random = 1;
    AUTO_FD int fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
    for (int i = 0; i < 1000000; i++)
        block[i] = (char)test_random(&random);
    for (int i = 0; i < SIZE / 1000000; i++)
        assert_int_equal(file_pwrite(fd, block, 1000000, (uint64_t)i * 1000000, NULL), 0);
    struct tensor tensor = {.name = "bytes", .name_len = 5, .bytes = SIZE};
    struct layout layout = {.size = SIZE, .tensors = &tensor, .count = 1};
    struct hash128 id, content;
    AUTO_FREE char *command = mem_printf("xxhsum -q -H2 '%s' >/dev/null 2>&1", path);
    AUTO_FREE char *warm = mem_printf("cat '%s' >/dev/null", path);
    double ours = 1e9;
    for (int i = 0; i < 3; i++) {
        (void)!system(warm);
        double start = ops_now();
        assert_int_equal(index_hashes(fd, &layout, &id, &content, NULL, NULL), 0);
        ours = MIN(ours, ops_now() - start);
    }
    (void)!system(warm);
    double theirs = seconds_of(command);
    bench_row("hash: a warm 1 GB file, one thread", "%.2f GB/s", 1 / ours, "");
    if (theirs > 0)
        bench_row("hash: speed relative to xxhsum -H2", "%.2f", theirs / ours, ">= 0.9");
    test_remove(dir);
}

/* 1 GiB of BF16 in one tensor, as a base or as a fine-tune of it. */
static void write_big(const char *dir, const char *name, uint32_t seed)
{
    enum { N = 1 << 20 };
    AUTO_FREE char *header =
        mem_printf("{\"w\":{\"dtype\":\"BF16\",\"shape\":[%d],\"data_offsets\":[0,%lld]}}",
                   GIB_WEIGHTS, (long long)GIB_WEIGHTS * 2);
    AUTO_BUF struct buf head = test_safetensors(header, "", 0);
    AUTO_FREE uint16_t *base = mem_alloc(N * 2), *weights = mem_alloc(N * 2);
    test_write(dir, name, head.data, head.len);
    AUTO_FREE char *path = file_join(dir, name);
    AUTO_FD int fd = open(path, O_WRONLY);
    for (int i = 0; i < GIB_WEIGHTS / N; i++) {
        test_weights(base, N, NULL, (uint32_t)i + 1);
        test_weights(weights, N, base, seed + (uint32_t)i);
        assert_int_equal(
            file_pwrite(fd, seed ? weights : base, N * 2, head.len + (uint64_t)i * N * 2, NULL), 0);
    }
}

/* Runs the program itself, for its own memory: seconds, and peak RSS in MB. */
double run_tare(const char *dir, const char *arguments, double *rss)
{
    AUTO_FREE char *command =
        mem_printf("exec '%s' %s --catalog '%s/catalog.db' --store '%s/store' --quiet --write "
                   ">/dev/null 2>'%s/err'",
                   getenv("TARE"), arguments, dir, dir, dir);
    struct rusage usage;
    int status;
    double start = ops_now();
    pid_t child = fork();
    if (child == 0) {
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    assert_int_equal(wait4(child, &status, 0, &usage), child);
    if (status) {
        AUTO_BUF struct buf err = test_read(dir, "err");
        fail_msg("%s: %s", arguments, err.data);
    }
    *rss = (double)usage.ru_maxrss / 1024;
    return ops_now() - start;
}

static void bench_one(const char *dir, const char *what, const char *model, const char *base)
{
    double rss, most = 0, gb = (double)GIB_WEIGHTS * 2 / 1e9;
    AUTO_FREE char *compress =
        mem_printf("compress %s --yes%s%s", model, base ? " --base " : "", base ? base : "");
    AUTO_FREE char *decompress = mem_printf("decompress %s --yes", model);
    AUTO_FREE char *name = mem_printf("compress: 1 GiB tensor, %s, end to end", what);
    bench_row(name, "%.2f GB/s", gb / run_tare(dir, compress, &rss), "");
    most = MAX(most, rss);
    if (!base) {
        bench_row("peak RSS, compress standalone", "%.0f MB", most, "<= 256 MB");
        return;
    }
    AUTO_FREE char *back = mem_printf("decompress: %s", what);
    bench_row(back, "%.2f GB/s", gb / run_tare(dir, decompress, &rss), "");
    most = MAX(most, rss);
    AUTO_FREE char *memory = mem_printf("peak RSS, %s", what);
    bench_row(memory, "%.0f MB", most, "<= 256 MB");
}

static void bench_big(void)
{
    char *dir = test_folder();
    double rss;
    AUTO_FREE char *root = test_path(dir, "m"), *scan = mem_printf("scan '%s/m'", dir);
    write_big(root, "base.safetensors", 0);
    write_big(root, "fine.safetensors", 77777);
    double took = run_tare(dir, scan, &rss);
    bench_row("scan with hashes and estimates: 2 x 1 GiB", "%.2f GB/s",
              2 * (double)GIB_WEIGHTS * 2 / 1e9 / took, "");
    bench_one(dir, "standalone", "base.safetensors", NULL);
    bench_one(dir, "delta", "fine.safetensors", "base.safetensors");
    double gb = (double)GIB_WEIGHTS * 2 / 1e9;
    bench_row("decompress: standalone", "%.2f GB/s",
              gb / run_tare(dir, "decompress base.safetensors --yes", &rss), "");
    bench_row("peak RSS, decompress standalone", "%.0f MB", rss, "<= 256 MB");
    test_remove(dir);
}

/* Comparing two models in memory, beside copying as many bytes. */
static void bench_delta(void)
{
    enum { BYTES = 64 << 20, ROUNDS = 7 };
    uint8_t *own = mem_alloc(BYTES), *base = mem_alloc(BYTES);
    double compared = 1e9, copied = 1e9;
    test_weights((uint16_t *)base, BYTES / 2, NULL, 5);
    test_weights((uint16_t *)own, BYTES / 2, (const uint16_t *)base, 6);
    for (int i = 0; i < ROUNDS; i++) {
        struct comparison sum = {0};
        double start = ops_now();
        compare_add(&sum, DTYPE_BF16, own, base, BYTES / 2);
        double middle = ops_now();
        compared = MIN(compared, middle - start);
    }
    for (int i = 0; i < ROUNDS; i++) {
        double start = ops_now();
        memcpy(base, own, BYTES);
        copied = MIN(copied, ops_now() - start);
    }
    bench_row("delta: two models in memory, one thread", "%.2f GB/s", 2 * BYTES / compared / 1e9,
              ">= 4");
    bench_row("memory: copying, read and written", "%.2f GB/s", 2 * BYTES / copied / 1e9, "");
    free(own);
    free(base);
}

/* Arithmetic alone: nothing of it waits for memory. */
static void *count_up(void *sum)
{
    uint64_t x = 1;
    for (unsigned i = 0; i < 200000000; i++)
        x = x * 6364136223846793005u + i;
    *(uint64_t *)sum = x;
    return NULL;
}

/* How much more work all processors do than one: virtual ones may share a core. */
static double worth_of_processors(long count)
{
    pthread_t threads[64];
    uint64_t sums[64];
    double start = ops_now();
    count = MIN(count, 64);
    count_up(&sums[0]);
    double one = ops_now() - start;
    start = ops_now();
    for (long i = 0; i < count; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, count_up, &sums[i]), 0);
    for (long i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    return (double)count * one / (ops_now() - start);
}

int main(void)
{
    setlocale(LC_ALL, "C.UTF-8");
    char *home = test_home();
    char cpu[256] = "?";
    FILE *info = popen("sed -n 's/^model name.*: //p' /proc/cpuinfo | head -1", "r");
    if (info && fgets(cpu, sizeof cpu, info))
        cpu[strcspn(cpu, "\n")] = '\0';
    if (info)
        pclose(info);
    printf("# Benchmarks\n\nWritten by `make bench SAMPLES=DIR`. CPU: %s, %ld processors, which "
           "together do %.2f times the work of one.\n\n"
           "## Codecs\n\nRatios are stored / raw of the whole fine-tune, with header, tables and "
           "what has no base; `tare bench FINE --base BASE` prints them for any pair. Bounds are "
           "entropies (src/delta/bound.h) of the tensors that have a base of the same type and "
           "shape; no table is counted in them.\n\n",
           cpu, sysconf(_SC_NPROCESSORS_ONLN), worth_of_processors(sysconf(_SC_NPROCESSORS_ONLN)));
    bench_codecs(getenv("SAMPLES"));
    bench_families();
    bench_many();
    printf("\n## The rest\n\n| what | measured | goal |\n| --- | ---: | --- |\n");
    bench_headers();
    bench_hash();
    bench_delta();
    bench_big();
    bench_explorer();
    test_remove(home);
    return 0;
}
