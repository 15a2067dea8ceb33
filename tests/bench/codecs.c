/* SPDX-License-Identifier: MIT */
/* The tables of the codecs: ratios beside their bounds, speeds, and what choosing costs. */
#include "tests/bench/bench.h"

#include "base/file.h"
#include "ops/bench.h"
#include "ops/choose.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { MEGABYTES = 256 };

static const struct bench_result *result_of(const struct bench_report *report, enum codec codec)
{
    for (size_t i = 0; i < report->count; i++)
        if (report->results[i].codec == codec)
            return &report->results[i];
    fail_msg("no result of %s", codec_name(codec));
    return NULL;
}

static double ratio(const struct bench_report *report, enum codec codec)
{
    const struct bench_result *result = result_of(report, codec);
    return (double)result->stored / (double)result->raw;
}

static struct bench_report measure(struct ops *ops, const char *base, const char *fine)
{
    struct bench_report report;
    struct err err = {0};
    if (ops_bench(ops, fine, base, -1, NULL, &report, &err) != 0)
        fail_msg("%s: %s", fine, err.text);
    return report;
}

static void ratios_head(void)
{
    printf("| pair | MB | same | bits per weight | bitx | delta | its bound | delta / bound | "
           "delta / bitx | planes | its bound |\n"
           "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n");
}

static void ratios_row(const char *name, const struct bench_report *report)
{
    const struct bound *b = &report->bound;
    double elements = (double)MAX(b->elements, (uint64_t)1);
    double bound = b->delta / (double)MAX(b->with_base, (uint64_t)1);
    double bitx = ratio(report, CODEC_BITX), delta = ratio(report, CODEC_DELTA);
    printf("| %s | %.1f | %.2f %% | %.2f | %.4f | %.4f | %.4f | %.3f | %.2f | %.4f | %.4f |\n",
           name, (double)result_of(report, CODEC_RAW)->raw / 1e6, 100 * (double)b->same / elements,
           (double)b->bits / elements, bitx, delta, bound, delta / bound, delta / bitx,
           ratio(report, CODEC_PLANES), b->solo / (double)MAX(b->raw, (uint64_t)1));
    fflush(stdout);
}

static void sample_row(struct ops *ops, const char *top, const char *base, const char *fine)
{
    AUTO_FREE char *a = file_join(top, base), *b = file_join(top, fine);
    AUTO_FREE char *folder = file_dir(fine);
    if (access(a, R_OK) < 0 || access(b, R_OK) < 0)
        return;
    struct bench_report report = measure(ops, a, b);
    ratios_row(folder, &report);
}

static void bench_samples(struct ops *ops, const char *demo, const char *samples)
{
    static const char *const names[] = {"quill-1m-code",
                                        "quill-1m-perl",
                                        "quill-1m-merge",
                                        "quill-run/checkpoint-40",
                                        "quill-run/checkpoint-80",
                                        "quill-run/checkpoint-120",
                                        "reed-1m"};
    static const char *const tiny[] = {"code-2e5", "perl-ckpt-50", "perl-frozen-bottom",
                                       "code-1e4-f32", "unrelated"};
    ratios_head();
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        AUTO_FREE char *fine = mem_printf("demo/%s/model.safetensors", names[i]);
        sample_row(ops, demo, "demo/quill-1m/model.safetensors", fine);
    }
    for (size_t i = 0; i < COUNT_OF(tiny) && samples; i++) {
        AUTO_FREE char *fine = mem_printf("tiny/%s/model.safetensors", tiny[i]);
        sample_row(ops, samples, "tiny/base/model.safetensors", fine);
    }
    if (samples)
        sample_row(ops, samples, "real/roberta-pt-lora/checkpoint-8000/adapter_model.safetensors",
                   "real/roberta-pt-lora/checkpoint-8500/adapter_model.safetensors");
}

static void speeds_rows(const char *name, const struct bench_report *report)
{
    for (size_t i = 0; i < report->count; i++) {
        const struct bench_result *r = &report->results[i];
        if (r->codec == CODEC_RAW)
            continue;
        printf("| %s | %s | %.2f | %.2f | %.2f | %.2f | %.2f | %.2f |\n", name,
               codec_name(r->codec), r->one.encode, r->all.encode, r->all.encode / r->one.encode,
               r->one.decode, r->all.decode, r->all.decode / r->one.decode);
    }
    fflush(stdout);
}

/*
 * The share of the encode time that choosing takes, for a file cut into tensors of some size, and
 * what was predicted beside what the codec comes to.
 */
static void choosing_row(const char *dir, const char *name, uint64_t tensor,
                         const struct bench_result *delta)
{
    AUTO_FREE char *base = mem_printf("%s/base.safetensors", dir);
    AUTO_FREE char *fine = mem_printf("%s/%s.safetensors", dir, name);
    AUTO_FD int a = open(base, O_RDONLY), b = open(fine, O_RDONLY);
    struct chooser *chooser = chooser_new();
    uint64_t size = (uint64_t)lseek(b, 0, SEEK_END), total = 0, predicted = 0, header;
    double took = 1e9;
    assert_true(a >= 0 && b >= 0 && pread(b, &header, sizeof header, 0) == sizeof header);
    /* The first pass brings what it reads into memory. */
    for (int pass = 0; pass < 3; pass++) {
        double start = ops_now();
        total = predicted = 0;
        for (uint64_t at = sizeof header + header; at + tensor <= size;
             at += tensor, total += tensor) {
            struct bytes_at raw = {.fd = b, .offset = at};
            struct base_at from = {
                .at = {.fd = a, .offset = at}, .bytes = tensor, .dtype = DTYPE_BF16};
            struct choice choice;
            assert_int_equal(choose(chooser, DTYPE_BF16, tensor, &raw, &from, &choice, NULL), 0);
            predicted += choice.delta_bytes;
        }
        took = MIN(took, ops_now() - start);
    }
    double encode = (double)total / delta->one.encode / 1e9;
    double stored = (double)delta->stored / (double)delta->raw;
    chooser_free(chooser);
    printf("| %s, tensors of %.0f MB | %.1f ms | %.0f ms | %.1f %% | %.3f |\n", name,
           (double)tensor / 1e6, took * 1e3, encode * 1e3, 100 * took / encode,
           (double)predicted / (double)total / stored);
    fflush(stdout);
}

static void bench_generated(struct ops *ops)
{
    char *dir = test_folder();
    AUTO_FREE char *base = file_join(dir, "base.safetensors");
    struct bench_report reports[16];
    pairs_write(dir, MEGABYTES);
    printf(
        "\nGenerated pairs of %d MB, BF16; bits-N: so many bits differ per weight; same-N: so many "
        "percent of the weights are equal.\n\n",
        MEGABYTES);
    ratios_head();
    for (size_t i = 0; i < pairs_count(); i++) {
        AUTO_FREE char *fine = mem_printf("%s/%s.safetensors", dir, pairs_name(i));
        reports[i] = measure(ops, base, fine);
        ratios_row(pairs_name(i), &reports[i]);
    }
    printf(
        "\n### Speed\n\nIn memory, raw bytes of the fine-tune, GB/s: one thread, %u threads, and "
        "how much faster those are. bitx codes a tensor in one piece, as the paper does, here of "
        "32 MiB. Vector path: %s.\n\n"
        "| pair | codec | encode, 1 | all | | decode, 1 | all | |\n"
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |\n",
        reports[0].results[0].threads, reports[0].simd);
    for (size_t i = 0; i < pairs_count(); i++)
        speeds_rows(pairs_name(i), &reports[i]);
    printf("\n### Choosing\n\nHow long it takes to choose a codec for each tensor, beside encoding "
           "with delta in one thread; the samples are in memory.\n\n| | choosing | encoding | "
           "share | predicted / stored |\n"
           "| --- | ---: | ---: | ---: | ---: |\n");
    for (size_t i = 0; i < pairs_count(); i++) {
        const struct bench_result *delta = result_of(&reports[i], CODEC_DELTA);
        choosing_row(dir, pairs_name(i), 32 << 20, delta);
        choosing_row(dir, pairs_name(i), 2 << 20, delta);
    }
    test_remove(dir);
}

void bench_codecs(const char *samples)
{
    AUTO_FREE char *demo = mem_printf("%s/samples", getenv("TARE_DATA"));
    char *dir = test_folder();
    AUTO_FREE char *catalog = file_join(dir, "catalog.db");
    const struct ops_options options = {.catalog = catalog};
    struct ops *ops;
    assert_int_equal(ops_open(&options, &ops, NULL), 0);
    bench_samples(ops, demo, samples);
    bench_generated(ops);
    ops_close(ops);
    test_remove(dir);
}
