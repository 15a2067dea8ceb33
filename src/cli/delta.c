/* SPDX-License-Identifier: MIT */
/* tare delta */
#include "cli/cli.h"

#include "base/text.h"
#include "ops/delta.h"

#include <string.h>

struct work {
    struct cli *cli;
    struct library *library;
    int model, base;
    struct delta_report report;
    struct err err;
};

static int run(void *context, struct progress *progress)
{
    struct work *work = context;
    return ops_delta(work->cli->ops, work->library, work->model, work->base, progress,
                     &work->report, &work->err);
}

/* ---- JSON ---- */

static void put_measures(js *object, const struct comparison *sum)
{
    js_put_int(object, "elements", (int64_t)sum->elements);
    js_put_real(object, "unchanged", compare_unchanged(sum));
    js_put_real(object, "bit_distance", compare_bit_distance(sum));
    js_put_real(object, "relative_change", compare_relative_change(sum));
}

static js *tensor_json(const struct delta_tensor *t)
{
    js *object = js_object(), *flips = js_list();
    unsigned bits = 8 * dtype_width(t->dtype);
    js_put_name(object, "name", t->name, t->name_len);
    if (t->module.layer == NO_LAYER)
        js_put(object, "layer", js_null());
    else
        js_put_int(object, "layer", t->module.layer);
    js_put_text(object, "module", t->module.name);
    js_put_text(object, "dtype", dtype_name(t->dtype));
    put_measures(object, &t->sum);
    js_put_real(object, "cosine", compare_cosine(&t->sum));
    for (unsigned i = 0; i < bits; i++)
        js_push_real(flips, (double)t->sum.flips[i] / (double)MAX(t->sum.elements, 1u));
    js_put(object, "flips", flips);
    js_put_int(object, "rows", (int64_t)t->rows);
    js_put_int(object, "untouched_rows", (int64_t)t->untouched);
    js_put_int(object, "bytes", (int64_t)t->bytes);
    js_put_int(object, "estimated", (int64_t)t->estimated);
    return object;
}

static js *report_json(const struct work *work)
{
    const struct delta_report *report = &work->report;
    js *document = js_object(), *tensors = js_list(), *unmatched = js_list();
    js_put_text(document, "model", work->library->models[work->model].id);
    js_put_text(document, "base", work->library->models[work->base].id);
    put_measures(document, &report->total);
    js_put_real(document, "cosine", compare_cosine(&report->total));
    js_put_int(document, "bytes", (int64_t)report->bytes);
    js_put_int(document, "estimated", (int64_t)report->estimated);
    for (size_t i = 0; i < report->count; i++)
        js_push(tensors, tensor_json(&report->tensors[i]));
    for (size_t i = 0; i < report->unmatched_count; i++) {
        AUTO_FREE char *name =
            mem_strndup(report->unmatched[i].name, report->unmatched[i].name_len);
        js_push(unmatched, js_of_text(name));
    }
    js_put(document, "tensors", tensors);
    js_put(document, "unmatched", unmatched);
    return document;
}

/* ---- text ---- */

static void print_measures(const struct comparison *sum)
{
    printf("%9.2f%% %9.2f %10.2e %9.5f", compare_unchanged(sum) * 100, compare_bit_distance(sum),
           compare_relative_change(sum), compare_cosine(sum));
}

static void print_head(const char *what, int width)
{
    printf("%-*s  %10s %9s %10s %9s\n", width, what, "UNCHANGED", "BITS/16", "CHANGE", "COSINE");
}

/* The layers, each summed over its tensors. */
static void print_layers(const struct delta_report *report, const size_t *order)
{
    print_head("LAYER", 12);
    for (size_t i = 0, end; i < report->count; i = end) {
        int layer = report->tensors[order[i]].module.layer;
        struct comparison sum = {0};
        for (end = i; end < report->count && report->tensors[order[end]].module.layer == layer;
             end++)
            compare_join(&sum, &report->tensors[order[end]].sum);
        if (layer == NO_LAYER)
            printf("%-12s  ", "outside");
        else
            printf("%-12d  ", layer);
        print_measures(&sum);
        printf("\n");
    }
}

/* The modules in the order in which they come first, each summed over all layers. */
static void print_modules(const struct delta_report *report, const size_t *order)
{
    AUTO_FREE bool *done = mem_zalloc(report->count + 1);
    printf("\n");
    print_head("MODULE", 40);
    for (size_t i = 0; i < report->count; i++) {
        const struct delta_tensor *first = &report->tensors[order[i]];
        struct comparison sum = {0};
        for (size_t k = i; k < report->count && !done[i]; k++) {
            const struct delta_tensor *t = &report->tensors[order[k]];
            if (strcmp(t->module.name, first->module.name) != 0)
                continue;
            compare_join(&sum, &t->sum);
            done[k] |= k > i;
        }
        if (done[i])
            continue;
        AUTO_BUF struct buf name = {0};
        text_fit(&name, first->module.name, 40);
        printf("%s  ", name.data);
        print_measures(&sum);
        printf("\n");
    }
}

static void print_tensors(const struct delta_report *report, const size_t *order)
{
    printf("\n");
    print_head("TENSOR", 56);
    for (size_t i = 0; i < report->count; i++) {
        const struct delta_tensor *t = &report->tensors[order[i]];
        AUTO_BUF struct buf safe = {0}, name = {0};
        text_escape(&safe, t->name, t->name_len);
        text_fit(&name, safe.len ? safe.data : "", 56);
        printf("%s  ", name.data);
        print_measures(&t->sum);
        printf("  stored %5.1f%%", (double)t->estimated * 100 / (double)MAX(t->bytes, 1u));
        if (t->untouched && t->untouched < t->rows)
            printf("  %llu of %llu rows untouched", (unsigned long long)t->untouched,
                   (unsigned long long)t->rows);
        printf("\n");
    }
}

static void print_report(const struct work *work)
{
    const struct delta_report *report = &work->report;
    AUTO_FREE size_t *order = delta_order(report);
    char from[16], to[16];
    text_size(from, report->bytes);
    text_size(to, report->estimated);
    cli_print("%s against %s\n", work->library->models[work->model].name,
              work->library->models[work->base].name);
    printf("%llu elements: %.2f%% unchanged, differs %.2f/16 bits, relative change %.2e\n"
           "as a difference about %s of %s\n\n",
           (unsigned long long)report->total.elements, compare_unchanged(&report->total) * 100,
           compare_bit_distance(&report->total), compare_relative_change(&report->total), to, from);
    print_layers(report, order);
    print_modules(report, order);
    print_tensors(report, order);
    for (size_t i = 0; i < report->unmatched_count; i++) {
        AUTO_BUF struct buf name = {0};
        text_escape(&name, report->unmatched[i].name, report->unmatched[i].name_len);
        printf("%s%s\n", i ? "          " : "\nunmatched ", name.len ? name.data : "");
    }
}

static int find_models(struct cli *cli, struct work *work)
{
    int r = cli_library(cli, &work->library, &work->err);
    if (r == 0)
        r = ops_find_model(work->library, cli->args[0], &work->model, &work->err);
    if (r < 0)
        return r;
    work->base = work->library->models[work->model].base;
    if (cli->arg_count > 1)
        return ops_find_model(work->library, cli->args[1], &work->base, &work->err);
    return work->base != NO_MODEL
               ? 0
               : err_set(&work->err, ERR_USAGE, "no parent of it is known: name one");
}

int cli_delta(struct cli *cli)
{
    struct work work = {.cli = cli};
    int r = find_models(cli, &work);
    if (r == 0)
        r = cli_run(cli, run, &work);
    if (r == 0 && cli->json)
        cli_print_json(report_json(&work));
    else if (r == 0)
        print_report(&work);
    delta_report_release(&work.report);
    library_unref(work.library);
    return r < 0 ? cli_fail(&work.err) : EXIT_DONE;
}
