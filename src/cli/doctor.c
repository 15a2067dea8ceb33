/* SPDX-License-Identifier: MIT */
/* tare doctor, tare bench, tare help, tare version */
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

static js *bench_json(const struct bench_work *work)
{
    js *document = js_object(), *results = js_list();
    for (size_t i = 0; i < work->report.count; i++) {
        const struct bench_result *result = &work->report.results[i];
        js *object = js_object();
        js_put_text(object, "codec", codec_name(result->codec));
        js_put_int(object, "raw", (int64_t)result->raw);
        js_put_int(object, "stored", (int64_t)result->stored);
        js_put_real(object, "ratio", (double)result->stored / (double)result->raw);
        js_put_real(object, "encode_gbps", result->encode_gbps);
        js_put_real(object, "decode_gbps", result->decode_gbps);
        js_put_int(object, "threads", result->threads);
        js_push(results, object);
    }
    js_put_name(document, "file", work->cli->args[0], strlen(work->cli->args[0]));
    js_put_text(document, "base", work->cli->base);
    js_put(document, "results", results);
    return document;
}

int cli_bench(struct cli *cli)
{
    struct bench_work work = {.cli = cli, .codec = -1};
    enum codec codec;
    if (cli->codec && !codec_parse(cli->codec, &codec)) {
        err_set(&work.err, ERR_USAGE, "--codec takes raw, zstd, bitx or planes");
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
    printf("%-8s %14s %14s %8s %12s %12s\n", "CODEC", "RAW", "STORED", "RATIO", "ENCODE GB/s",
           "DECODE GB/s");
    for (size_t i = 0; i < work.report.count; i++) {
        const struct bench_result *result = &work.report.results[i];
        printf("%-8s %14llu %14llu %8.4f %12.2f %12.2f\n", codec_name(result->codec),
               (unsigned long long)result->raw, (unsigned long long)result->stored,
               (double)result->stored / (double)result->raw, result->encode_gbps,
               result->decode_gbps);
    }
    return EXIT_DONE;
}

static void help_one(const struct command *command)
{
    printf("usage: tare %s %s\n\n%s\n", command->name, command->arguments, command->summary);
}

int cli_help(struct cli *cli)
{
    for (size_t i = 0; cli->arg_count && i < cli_command_count; i++) {
        if (strcmp(cli_commands[i].name, cli->args[0]) == 0) {
            help_one(&cli_commands[i]);
            return EXIT_DONE;
        }
    }
    if (cli->arg_count) {
        struct err err;
        err_set(&err, ERR_USAGE, "%s: no such command", cli->args[0]);
        return cli_fail(&err);
    }
    printf("tare shows what a collection of models weighs, why, and gives the space back\n"
           "without losing a bit.\n\n"
           "usage: tare [PATH...]            explore the known caches, or only these folders\n"
           "       tare -a PATH...           both\n"
           "       tare --demo               explore a throw-away copy of the samples\n"
           "       tare COMMAND [OPTIONS]\n\ncommands:\n");
    for (size_t i = 0; i < cli_command_count; i++)
        printf("  %-11s %s\n", cli_commands[i].name, cli_commands[i].summary);
    printf("\noptions of every command:\n"
           "  --json          print JSON\n"
           "  --store DIR     use this store\n"
           "  --catalog FILE  use this index (default $XDG_CACHE_HOME/tare/catalog.db)\n"
           "  --threads N     work with N threads\n"
           "  --quiet         no progress, no summaries\n"
           "  --wait          wait for a store that another tare holds\n"
           "  --readonly      change nothing but the index (the default under sudo; --write lifts "
           "it)\n\n"
           "MODEL is a name as list shows it, any unique ending of one, an id, or a path.\n"
           "Exit status: 0 done; 1 something failed; 2 wrong usage; 3 no such model;\n"
           "130 interrupted.\n");
    return EXIT_DONE;
}

int cli_version(struct cli *cli)
{
    (void)cli;
    printf("tare %s\n", PACKAGE_VERSION);
    return EXIT_DONE;
}
