/* SPDX-License-Identifier: MIT */
/* tare doctor, tare bench */
#include "cli/cli.h"

#include "base/text.h"
#include "config.h"
#include "ops/bench.h"
#include "ops/doctor.h"

#include <string.h>

static js *paths_json(const struct path_list *list)
{
    js *array = js_list();
    for (size_t i = 0; i < list->count; i++)
        js_push(array, js_of_text(list->paths[i]));
    return array;
}

int cli_doctor(struct cli *cli)
{
    static const struct {
        const char *name, *version;
    } libraries[] = {{"ncursesw", NCURSES_BUILT}, {"zstd", ZSTD_BUILT},
                     {"sqlite", SQLITE_BUILT},    {"xxhash", XXHASH_BUILT},
                     {"jansson", JANSSON_BUILT},  {"libyaml", YAML_BUILT},
                     {"libcrypto", CRYPTO_BUILT}};
    struct doctor_report report;
    struct err err = {0};
    if (ops_doctor(cli->ops, &report, &err) < 0)
        return cli_fail(&err);
    if (cli->json) {
        js *document = js_object(), *versions = js_object();
        for (size_t i = 0; i < COUNT_OF(libraries); i++)
            js_put_text(versions, libraries[i].name, libraries[i].version);
        js_put_text(document, "version", PACKAGE_VERSION);
        js_put(document, "libraries", versions);
        js_put(document, "roots", paths_json(&report.roots));
        js_put(document, "stores", paths_json(&report.stores));
        js_put(document, "problems", paths_json(&report.problems));
        cli_print_json(document);
    } else {
        cli_print("tare %s\n", PACKAGE_VERSION);
        for (size_t i = 0; i < COUNT_OF(libraries); i++)
            cli_print("  library   %s %s\n", libraries[i].name, libraries[i].version);
        cli_print("  catalog   %s\n", report.catalog);
        cli_print("  hub cache %s (%s%s)\n", report.hub,
                  report.hub_variable ? report.hub_variable : "HF_HUB_CACHE moves it",
                  report.hub_exists ? "" : "; not there");
        for (size_t i = 0; i < report.roots.count; i++)
            cli_print("  root      %s\n", report.roots.paths[i]);
        for (size_t i = 0; i < report.stores.count; i++)
            cli_print("  store     %s\n", report.stores.paths[i]);
        for (size_t i = 0; i < report.problems.count; i++)
            cli_print("  PROBLEM   %s\n", report.problems.paths[i]);
        if (!report.problems.count)
            cli_print("  no problems found\n");
    }
    doctor_report_release(&report);
    return EXIT_DONE;
}

struct bench_work {
    struct cli *cli;
    int codec;
    struct bench_report report;
    struct err err;
};

static int run_bench(void *context, struct progress *progress)
{
    struct bench_work *work = context;
    return ops_bench(work->cli->ops, work->cli->args[0], work->cli->base, work->codec, progress,
                     &work->report, &work->err);
}

/* What the entropies allow for a codec, as a ratio; 0 where there is no telling. */
static double bound_of(const struct bound *bound, enum codec codec)
{
    double with_base = (double)MAX(bound->with_base, (uint64_t)1);
    return codec == CODEC_BITX     ? bound->bitx / with_base
           : codec == CODEC_DELTA  ? bound->delta / with_base
           : codec == CODEC_PLANES ? bound->solo / (double)MAX(bound->raw, (uint64_t)1)
                                   : 0;
}

static void put_speed(js *object, const char *suffix, const struct bench_speed *speed)
{
    AUTO_FREE char *encode = mem_printf("encode_gbps%s", suffix);
    AUTO_FREE char *decode = mem_printf("decode_gbps%s", suffix);
    js_put_real(object, encode, speed->encode);
    js_put_real(object, decode, speed->decode);
}

static js *bench_json(const struct bench_work *work)
{
    js *document = js_object(), *results = js_list();
    for (size_t i = 0; i < work->report.count; i++) {
        const struct bench_result *result = &work->report.results[i];
        double bound = bound_of(&work->report.bound, result->codec);
        js *object = js_object();
        js_put_text(object, "codec", codec_name(result->codec));
        js_put_int(object, "raw", (int64_t)result->raw);
        js_put_int(object, "stored", (int64_t)result->stored);
        js_put_real(object, "ratio", (double)result->stored / (double)result->raw);
        if (bound > 0)
            js_put_real(object, "bound", bound);
        put_speed(object, "_1", &result->one);
        put_speed(object, "", &result->all);
        js_put_int(object, "threads", result->threads);
        js_push(results, object);
    }
    js_put_name(document, "file", work->cli->args[0], strlen(work->cli->args[0]));
    js_put_text(document, "base", work->cli->base);
    js_put_text(document, "simd", work->report.simd);
    js_put(document, "results", results);
    return document;
}

static void print_bench(const struct bench_report *report)
{
    unsigned threads = report->count ? report->results[0].threads : 1;
    const struct bound *bound = &report->bound;
    printf("%-6s %11s %11s %7s %7s %15s %15s\n", "", "", "", "", "", "encode GB/s", "decode GB/s");
    printf("%-6s %11s %11s %7s %7s %8s %2u thr %8s %2u thr\n", "CODEC", "RAW", "STORED", "RATIO",
           "BOUND", "1 thr", threads, "1 thr", threads);
    for (size_t i = 0; i < report->count; i++) {
        const struct bench_result *result = &report->results[i];
        char text[16] = "";
        if (bound_of(bound, result->codec) > 0)
            snprintf(text, sizeof text, "%.4f", bound_of(bound, result->codec));
        printf("%-6s %11llu %11llu %7.4f %7s %8.2f %6.2f %8.2f %6.2f\n", codec_name(result->codec),
               (unsigned long long)result->raw, (unsigned long long)result->stored,
               (double)result->stored / (double)result->raw, text, result->one.encode,
               result->all.encode, result->one.decode, result->all.decode);
    }
    if (bound->elements)
        printf("\nsame %.2f %%, bits that differ per weight %.2f; vector path %s\n",
               100 * (double)bound->same / (double)bound->elements,
               (double)bound->bits / (double)bound->elements, report->simd);
}

int cli_bench(struct cli *cli)
{
    struct bench_work work = {.cli = cli, .codec = -1};
    enum codec codec;
    if (cli->codec && (!codec_parse(cli->codec, &codec) || codec == CODEC_PLANES_1)) {
        err_set(&work.err, ERR_USAGE, "--codec takes raw, zstd, bitx, delta or planes");
        return cli_fail(&work.err);
    }
    if (cli->codec)
        work.codec = (int)codec;
    int r = cli_run(cli, run_bench, &work);
    if (r < 0) {
        int status = cli_fail(&work.err);
        return status == EXIT_NO_MODEL ? EXIT_FAILED : status;
    }
    if (cli->json) {
        cli_print_json(bench_json(&work));
        return EXIT_DONE;
    }
    print_bench(&work.report);
    return EXIT_DONE;
}
