/* SPDX-License-Identifier: MIT */
/* tare report */
#include "cli/cli.h"

#include "base/text.h"
#include "ops/report.h"
#include "ops/table.h"

#include <string.h>
#include <time.h>

enum { WIDEST = 48 /* columns of a key */ };

static js *row_json(const struct report_row *row)
{
    js *object = js_object();
    if (row->key)
        js_put_name(object, "key", row->key, strlen(row->key));
    js_put_int(object, "models", (int64_t)row->models);
    js_put_int(object, "size", (int64_t)row->size);
    js_put_int(object, "disk", (int64_t)row->disk);
    js_put_int(object, "stored", (int64_t)row->stored);
    js_put_int(object, "frees", row->frees);
    return object;
}

void cli_put_report(js *document, const char *key, const struct report *report)
{
    js *rows = js_list();
    for (size_t i = 0; i < report->count; i++)
        js_push(rows, row_json(&report->rows[i]));
    js_put(document, key, rows);
}

static void print_json(const struct report *report, enum report_by by)
{
    js *document = js_object();
    js_put_text(document, "by", report_by_name(by));
    cli_put_report(document, "rows", report);
    js_put(document, "total", row_json(&report->total));
    cli_print_json(document);
}

static void print_csv(const struct report *report, enum report_by by)
{
    const char *const columns[] = {report_by_name(by), "models", "size", "disk", "stored", "frees"};
    struct table table = {.columns = columns, .width = COUNT_OF(columns)};
    AUTO_BUF struct buf text = {0};
    for (size_t i = 0; i < report->count; i++) {
        const struct report_row *row = &report->rows[i];
        table_text(&table, row->key);
        table_int(&table, (int64_t)row->models);
        table_int(&table, (int64_t)row->size);
        table_int(&table, (int64_t)row->disk);
        table_int(&table, (int64_t)row->stored);
        table_int(&table, row->frees);
    }
    table_csv(&table, &text);
    table_release(&table);
    fputs(text.data, stdout);
}

static void print_row(const struct report_row *row, const char *key, bool markdown, int width)
{
    char size[16], disk[16], stored[16], frees[16];
    AUTO_FREE char *safe = text_safe(key);
    AUTO_BUF struct buf fitted = {0};
    text_fit(&fitted, safe, width);
    text_size(size, row->size);
    text_size(disk, row->disk);
    text_size(stored, row->stored);
    text_size(frees, (uint64_t)MAX(row->frees, 0));
    printf(markdown ? "| %s | %6zu | %7s | %7s | %7s | %7s |\n" : "%s  %6zu  %7s  %7s  %7s  %7s\n",
           fitted.data, row->models, size, disk, stored, frees);
}

static void print_table(const struct report *report, enum report_by by, bool markdown)
{
    int width = 8;
    for (size_t i = 0; i < report->count; i++) {
        AUTO_FREE char *safe = text_safe(report->rows[i].key);
        width = MAX(width, MIN(text_width(safe), WIDEST));
    }
    AUTO_FREE char *head = mem_strdup(report_by_name(by));
    for (char *p = head; *p; p++)
        *p = (char)(*p - 32);
    printf(markdown ? "| %-*s | MODELS |    SIZE |    DISK |  STORED |   FREES |\n"
                    : "%-*s  MODELS     SIZE     DISK   STORED    FREES\n",
           width, head);
    if (markdown)
        printf("| %.*s | -----: | ------: | ------: | ------: | ------: |\n", width,
               "------------------------------------------------");
    for (size_t i = 0; i < report->count; i++)
        print_row(&report->rows[i], report->rows[i].key, markdown, width);
    print_row(&report->total, "together", markdown, width);
}

int cli_report(struct cli *cli)
{
    struct library *library;
    struct report report;
    enum report_by by = REPORT_FAMILY;
    struct err err = {0};
    const char *format = cli->format ? cli->format : "text";
    bool csv = strcmp(format, "csv") == 0, markdown = strcmp(format, "markdown") == 0;
    if (cli->by && !report_by_parse(cli->by, &by)) {
        err_set(&err, ERR_USAGE, "--by takes family, dtype, state, age, owner or root");
        return cli_fail(&err);
    }
    if (!csv && !markdown && strcmp(format, "text") != 0) {
        err_set(&err, ERR_USAGE, "--format takes text, markdown or csv");
        return cli_fail(&err);
    }
    if (cli_library(cli, &library, &err) < 0)
        return cli_fail(&err);
    report_make(library, by, time(NULL), &report);
    if (cli->json)
        print_json(&report, by);
    else if (csv)
        print_csv(&report, by);
    else
        print_table(&report, by, markdown);
    report_release(&report);
    library_unref(library);
    return EXIT_DONE;
}
