/* SPDX-License-Identifier: MIT */
/* tare scan */
#include "cli/cli.h"

#include "base/text.h"
#include "ops/plan.h"
#include "ops/scan.h"

#include <string.h>

struct work {
    struct cli *cli;
    struct scan_request request;
    struct scan_report report;
    struct err err;
};

static int run(void *context, struct progress *progress)
{
    struct work *work = context;
    int r = ops_scan(work->cli->ops, &work->request, progress, &work->report, &work->err);
    if (r == 0 && !work->request.headers_only)
        r = ops_estimate(work->cli->ops, progress, &work->err);
    return r;
}

static void print_json(const struct scan_report *report)
{
    js *document = js_object(), *roots = js_list(), *errors = js_list();
    for (size_t i = 0; i < report->root_count; i++) {
        const struct scan_root *root = &report->roots[i];
        js *object = js_object();
        js_put_name(object, "path", root->path, strlen(root->path));
        js_put_text(object, "source", root->source);
        js_put_int(object, "models", (int64_t)root->models);
        js_put_int(object, "files", (int64_t)root->files);
        js_push(roots, object);
    }
    for (size_t i = 0; i < report->problem_count; i++) {
        const struct scan_problem *p = &report->problems[i];
        js *object = js_object();
        js_put_name(object, "path", p->path, strlen(p->path));
        js_put_name(object, "reason", p->reason, strlen(p->reason));
        js_push(errors, object);
    }
    js_put(document, "roots", roots);
    js_put_int(document, "models", (int64_t)report->models);
    js_put_int(document, "files", (int64_t)report->files);
    js_put_int(document, "tensors", (int64_t)report->tensors);
    js_put_int(document, "size", (int64_t)report->size);
    js_put_int(document, "disk", (int64_t)report->disk);
    js_put_real(document, "seconds", report->seconds);
    js_put(document, "errors", errors);
    cli_print_json(document);
}

static void print_text(const struct scan_report *report)
{
    char size[16], disk[16];
    for (size_t i = 0; i < report->root_count; i++)
        cli_print("%s (%s): %zu models, %zu files\n", report->roots[i].path,
                  report->roots[i].source, report->roots[i].models, report->roots[i].files);
    text_size(size, report->size);
    text_size(disk, report->disk);
    cli_print("%zu models, %zu files, %llu tensors, %s (%s on disk), %.2f s\n", report->models,
              report->files, (unsigned long long)report->tensors, size, disk, report->seconds);
}

int cli_scan(struct cli *cli)
{
    struct work work = {.cli = cli};
    work.request = (struct scan_request){
        .paths = cli->args, .forget = cli->forget, .headers_only = cli->given & OPT_HEADERS};
    int r = cli_run(cli, run, &work);
    int status = r < 0 ? cli_fail(&work.err) : EXIT_DONE;
    if (r < 0 && status == EXIT_NO_MODEL)
        status = EXIT_FAILED;
    for (size_t i = 0; i < work.report.problem_count; i++) {
        AUTO_FREE char *path = text_safe(work.report.problems[i].path);
        AUTO_FREE char *reason = text_safe(work.report.problems[i].reason);
        fprintf(stderr, "tare: %s: %s\n", path, reason);
        status = status ? status : EXIT_FAILED;
    }
    if (r == 0 && cli->json)
        print_json(&work.report);
    else if (r == 0 && !cli->quiet)
        print_text(&work.report);
    scan_report_release(&work.report);
    return status;
}
