/* SPDX-License-Identifier: MIT */
/* tare verify, tare gc, tare log */
#include "cli/cli.h"

#include "base/text.h"
#include "ops/compress.h"
#include "ops/details.h"
#include "ops/scan.h"

#include <stdio.h>
#include <string.h>

struct work {
    struct cli *cli;
    struct library *library;
    int *models;
    size_t count;
    struct verify_request request;
    struct verify_report report;
    struct gc_report gc;
    struct err err;
};

static int run_verify(void *context, struct progress *progress)
{
    struct work *work = context;
    struct verify_request request = work->request;
    request.models = work->models;
    request.count = work->count;
    return ops_verify(work->cli->ops, work->library, &request, progress, &work->report, &work->err);
}

static js *verify_json(const struct verify_report *report)
{
    js *document = js_object(), *damaged = js_list(), *foreign = js_list(), *gone = js_list();
    for (size_t i = 0; i < report->count; i++) {
        const struct damage *d = &report->damaged[i];
        js *object = js_object(), *models = js_list(), *advice = js_list();
        js_put_name(object, "object", d->object, strlen(d->object));
        js_put_name(object, "reason", d->reason, strlen(d->reason));
        for (size_t m = 0; m < d->models.count; m++)
            js_push(models, js_of_text(d->models.paths[m]));
        for (size_t a = 0; a < d->advice.count; a++)
            js_push(advice, js_of_text(d->advice.paths[a]));
        js_put_text(object, "id", d->finding);
        js_put(object, "models", models);
        js_put_bool(object, "repaired", d->repaired);
        js_put(object, "advice", advice);
        js_push(damaged, object);
    }
    for (size_t i = 0; i < report->foreign.count; i++)
        js_push(foreign, js_of_text(report->foreign.paths[i]));
    for (size_t i = 0; i < report->gone.count; i++)
        js_push(gone, js_of_text(report->gone.paths[i]));
    js_put_int(document, "objects", (int64_t)report->objects);
    js_put_int(document, "bytes", (int64_t)report->bytes);
    js_put_int(document, "read", (int64_t)report->read);
    js_put_int(document, "files", (int64_t)report->files);
    js_put_int(document, "unread", (int64_t)report->unread);
    js_put_int(document, "oldest", report->oldest);
    js_put(document, "damaged", damaged);
    js_put(document, "foreign", foreign);
    js_put(document, "gone", gone);
    return document;
}

static void print_verify(const struct verify_report *report, bool repair)
{
    char size[16];
    text_size(size, report->bytes);
    cli_print("%llu objects checked, %s of tensors: %s\n", (unsigned long long)report->objects,
              size,
              verify_report_open(report)           ? "DAMAGE FOUND"
              : !report->objects && !report->count ? "nothing is stored"
              : report->count                      ? "all repaired"
                                                   : "all good");
    if (report->files)
        cli_print("%llu files decoded as a whole, and compared with their hashes\n",
                  (unsigned long long)report->files);
    char oldest[32];
    text_time(oldest, report->oldest);
    if (report->unread)
        cli_print("%llu objects were never read by a verify\n", (unsigned long long)report->unread);
    if (report->oldest)
        cli_print("the object that waits longest was read %s\n", oldest);
    for (size_t i = 0; i < report->count; i++) {
        const struct damage *d = &report->damaged[i];
        cli_print("%s: %s%s\n", d->object, d->reason, d->repaired ? ": repaired" : "");
        for (size_t m = 0; m < d->models.count; m++)
            cli_print("  needed by %s\n", d->models.paths[m]);
        for (size_t a = 0; a < d->advice.count; a++)
            cli_print("  to get it again: %s\n", d->advice.paths[a]);
    }
    if (verify_report_open(report) && !repair)
        cli_print("tare verify --repair mends what it can, and says where to get the rest\n");
    for (size_t i = 0; i < report->foreign.count; i++)
        cli_print("%s: is not the store's\n", report->foreign.paths[i]);
    for (size_t i = 0; i < report->gone.count; i++)
        cli_print("%s\n", report->gone.paths[i]);
}

/* "3/12": the third of twelve parts. */
static bool parse_part(const char *text, struct verify_request *ret)
{
    char end;
    return sscanf(text, "%u/%u%c", &ret->part, &ret->parts, &end) == 2 && ret->part >= 1 &&
           ret->part <= ret->parts;
}

static int take_request(const struct cli *cli, struct verify_request *ret, struct err *err)
{
    *ret =
        (struct verify_request){.repair = cli->given & OPT_REPAIR, .deep = cli->given & OPT_DEEP};
    if (cli->subset && !parse_part(cli->subset, ret))
        return err_set(err, ERR_USAGE, "--subset %s: it takes K/N, as in 3/12", cli->subset);
    if ((cli->budget && (!text_parse_size(cli->budget, &ret->budget) || !ret->budget)) ||
        (cli->rate && (!text_parse_size(cli->rate, &ret->rate) || !ret->rate)))
        return err_set(err, ERR_USAGE, "--budget and --rate take a size, as in 20G or 100M");
    return 0;
}

int cli_verify(struct cli *cli)
{
    struct work work = {.cli = cli};
    if (take_request(cli, &work.request, &work.err) < 0)
        return cli_fail(&work.err);
    if (ops_check_store(cli->ops, &work.err) < 0) {
        (void)cli_fail(&work.err);
        return EXIT_FAILED;
    }
    int r = cli_library(cli, &work.library, &work.err);
    if (r == 0 && cli->arg_count)
        r = cli_models(cli, work.library, false, &work.models, &work.count, &work.err);
    if (r == 0)
        r = cli_run(cli, run_verify, &work);
    ops_refresh(cli->ops); /* what is damaged is listed as such */
    int status = r < 0                              ? cli_fail(&work.err)
                 : verify_report_open(&work.report) ? EXIT_FAILED
                                                    : EXIT_DONE;
    if (r == 0 && cli->json)
        cli_print_json(verify_json(&work.report));
    else if (r == 0)
        print_verify(&work.report, cli->given & OPT_REPAIR);
    verify_report_release(&work.report);
    free(work.models);
    library_unref(work.library);
    return status;
}

struct collect {
    struct cli *cli;
    bool dry_run;
    struct gc_report *report;
    struct err *err;
};

static int run_gc(void *context, struct progress *progress)
{
    struct collect *collect = context;
    return ops_gc(collect->cli->ops, collect->dry_run, progress, collect->report, collect->err);
}

int cli_gc(struct cli *cli)
{
    struct err err = {0};
    struct gc_report report;
    char size[16];
    bool dry_run = cli->given & OPT_DRY_RUN;
    struct collect collect = {cli, dry_run, &report, &err};
    if (ops_check_store(cli->ops, &err) < 0) {
        (void)cli_fail(&err);
        return EXIT_FAILED;
    }
    if (cli_run(cli, run_gc, &collect) < 0)
        return cli_fail(&err);
    text_size(size, report.bytes);
    if (cli->json) {
        js *document = js_object();
        js_put_int(document, "objects", (int64_t)report.objects);
        js_put_int(document, "bytes", (int64_t)report.bytes);
        js_put_bool(document, "dry_run", dry_run);
        cli_print_json(document);
    } else {
        cli_print("%s %llu objects, %s\n", dry_run ? "would remove" : "removed",
                  (unsigned long long)report.objects, size);
    }
    return EXIT_DONE;
}

static void add_entry(void *context, const char *line, size_t n)
{
    js *entry;
    if (js_parse(line, n, &entry, NULL) == 0)
        js_push(context, entry);
}

static void print_entry(void *context, const char *line, size_t n)
{
    AUTO_BUF struct buf text = {0};
    (void)context;
    if (log_describe(line, n, NULL, &text))
        puts(text.data);
}

int cli_log(struct cli *cli)
{
    struct err err = {0};
    if (!cli->json)
        return ops_log(cli->ops, print_entry, NULL, &err) < 0 ? cli_fail(&err) : EXIT_DONE;
    js *document = js_object(), *entries = js_list();
    js_put(document, "entries", entries);
    if (ops_log(cli->ops, add_entry, entries, &err) < 0) {
        js_free(document);
        return cli_fail(&err);
    }
    cli_print_json(document);
    return EXIT_DONE;
}
