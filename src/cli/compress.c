/* SPDX-License-Identifier: MIT */
/* tare plan, tare compress, tare decompress, tare optimize, tare delete */
#include "cli/cli.h"

#include "base/text.h"
#include "ops/compress.h"
#include "ops/delete.h"
#include "ops/optimize.h"
#include "ops/queue.h"
#include "ops/scan.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct work {
    struct cli *cli;
    struct library *library;
    int *models;
    size_t count;
    struct plan_request request;
    struct plan *plan;
    struct delete_plan *deletion;
    struct optimize_plan optimize;
    struct queue_job job;
    struct done_report report;
    struct err err;
};

static void work_release(struct work *work)
{
    plan_free(work->plan);
    delete_plan_free(work->deletion);
    optimize_plan_release(&work->optimize);
    done_report_release(&work->report);
    queue_job_release(&work->job);
    free(work->models);
    library_unref(work->library);
}

/* Adds all that belong to the family of one that was named. */
static void add_families(struct work *work)
{
    const struct library *library = work->library;
    AUTO_FREE bool *wanted = mem_zalloc(library->model_count + 1);
    size_t count = 0;
    for (size_t i = 0; i < work->count; i++)
        wanted[library->models[work->models[i]].family] = true;
    work->models = mem_realloc(work->models, (library->model_count + 1) * sizeof *work->models);
    for (size_t i = 0; i < library->model_count; i++)
        if (wanted[library->models[i].family])
            work->models[count++] = (int)i;
    work->count = count;
}

/* Library and models by the arguments. */
static int begin(struct cli *cli, struct work *work)
{
    bool all = cli->given & OPT_ALL;
    *work = (struct work){.cli = cli};
    if (!all && !cli->arg_count)
        return err_set(&work->err, ERR_USAGE, "which model? (or --all)");
    if (all && cli->arg_count)
        return err_set(&work->err, ERR_USAGE, "either models or --all");
    /* What another run did, or left half done, must be known before anything is planned. */
    ops_refresh(cli->ops);
    int r = cli_library(cli, &work->library, &work->err);
    if (r == 0)
        r = cli_models(cli, work->library, all, &work->models, &work->count, &work->err);
    if (r == 0 && cli->given & OPT_FAMILY)
        add_families(work);
    work->request = (struct plan_request){.models = work->models,
                                          .count = work->count,
                                          .base = NO_MODEL,
                                          .include_base = cli->given & OPT_INCLUDE_BASE,
                                          .live = cli->given & OPT_LIVE,
                                          .keep = cli->given & OPT_KEEP};
    if (r == 0 && cli->base)
        r = ops_find_model(work->library, cli->base, &work->request.base, &work->err);
    return r;
}

static int run_plan(void *context, struct progress *progress)
{
    struct work *work = context;
    return ops_plan(work->cli->ops, work->library, &work->request, progress, &work->plan,
                    &work->err);
}

static js *file_json(const struct work *work, const struct plan_file *file)
{
    const struct lib_file *f = &work->library->files[file->file];
    js *object = js_object();
    js_put_name(object, "path", f->path, strlen(f->path));
    js_put_text(object, "action", file->skip ? "skip" : "store");
    if (file->skip)
        js_put_name(object, "reason", file->skip, strlen(file->skip));
    else
        js_put(object, "reason", js_null());
    js_put_int(object, "size", (int64_t)f->size);
    js_put_int(object, "estimated", (int64_t)file->estimated);
    return object;
}

static js *plan_json(const struct work *work)
{
    const struct plan *plan = work->plan;
    js *document = js_object(), *models = js_list();
    for (size_t i = 0; i < plan->model_count; i++) {
        const struct plan_model *m = &plan->models[i];
        js *object = js_object(), *files = js_list();
        js_put_text(object, "id", work->library->models[m->model].id);
        js_put_int(object, "size", (int64_t)m->size);
        js_put_int(object, "estimated", (int64_t)m->estimated);
        js_put_text(object, "base", m->base == NO_MODEL ? NULL : work->library->models[m->base].id);
        js_put_text(object, "base_how", base_how_name(m->how));
        for (size_t f = 0; f < plan->file_count; f++)
            if (plan->files[f].model == m->model)
                js_push(files, file_json(work, &plan->files[f]));
        js_put(object, "files", files);
        js_push(models, object);
    }
    js_put(document, "models", models);
    js_put_int(document, "base_bytes", (int64_t)plan->base_bytes);
    js_put_int(document, "frees", plan->frees);
    js_put_int(document, "needed", (int64_t)plan->needed);
    js_put_int(document, "free", (int64_t)plan->free);
    js_put_real(document, "seconds", plan->seconds);
    return document;
}

static void print_plan(const struct work *work)
{
    AUTO_BUF struct buf text = {0};
    plan_text(work->library, work->plan, &text);
    char *save = NULL;
    for (char *line = strtok_r(text.data, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
        printf("%s\n", line); /* escaped by plan_text */
}

int cli_plan(struct cli *cli)
{
    struct work work;
    int r = begin(cli, &work);
    if (r == 0)
        r = cli_run(cli, run_plan, &work);
    int status = r < 0 ? cli_fail(&work.err) : EXIT_DONE;
    if (r == 0 && cli->json)
        cli_print_json(plan_json(&work));
    else if (r == 0)
        print_plan(&work);
    work_release(&work);
    return status;
}

static void print_done(const struct done_report *report, const char *verb)
{
    char size[16], stored[16];
    for (size_t i = 0; i < report->count; i++) {
        const struct done_model *m = &report->models[i];
        text_size(size, m->size);
        text_size(stored, m->stored);
        if (m->files && m->stored)
            cli_print("%s %s: %zu file%s, %s -> %s, %.1f s\n", verb, m->name, m->files,
                      m->files == 1 ? "" : "s", size, stored, m->seconds);
        else if (m->files)
            cli_print("%s %s: %zu file%s, %s, %.1f s\n", verb, m->name, m->files,
                      m->files == 1 ? "" : "s", size, m->seconds);
        if (m->error) {
            AUTO_FREE char *name = text_safe(m->name), *error = text_safe(m->error);
            fprintf(stderr, "tare: %s: %s\n", name, error);
        }
    }
}

static js *done_json(const struct done_report *report)
{
    js *document = js_object(), *models = js_list();
    for (size_t i = 0; i < report->count; i++) {
        const struct done_model *m = &report->models[i];
        js *object = js_object();
        js_put_text(object, "id", m->id);
        js_put_int(object, "size", (int64_t)m->size);
        js_put_int(object, "stored", (int64_t)m->stored);
        js_put_int(object, "freed", m->freed);
        js_put_int(object, "files", (int64_t)m->files);
        js_put_real(object, "seconds", m->seconds);
        js_put_text(object, "state", m->state);
        if (m->error)
            js_put_name(object, "error", m->error, strlen(m->error));
        else
            js_put(object, "error", js_null());
        js_push(models, object);
    }
    js_put(document, "models", models);
    return document;
}

int cli_done(struct cli *cli, struct done_report *report, const char *verb, int r,
             const struct err *err)
{
    cli_notes(&report->notes);
    if (cli->json)
        cli_print_json(done_json(report));
    else
        print_done(report, verb);
    int status = EXIT_DONE;
    bool told = false;
    for (size_t i = 0; i < report->count; i++)
        told |= report->models[i].error != NULL;
    if (r < 0 && (!told || r == ERR_CANCELLED))
        status = cli_fail(err);
    else if (r < 0)
        status = EXIT_FAILED;
    return status == EXIT_NO_MODEL ? EXIT_FAILED : status;
}

/* Work is on the queue until it is done: what interrupts it leaves it there. */
static void begin_queued(struct work *work, enum queue_what what)
{
    work->job = queue_job_for(what, work->library, work->models, work->count, &work->request);
    queue_add(work->cli->ops, &work->job);
}

static int end_queued(struct work *work, int r)
{
    if (r != ERR_CANCELLED)
        queue_drop(work->cli->ops, work->job.id);
    else if (work->job.id)
        buf_printf(&work->report.notes, "interrupted: tare jobs --resume goes on\n");
    ops_refresh(work->cli->ops);
    return r;
}

static int run_compress(void *context, struct progress *progress)
{
    struct work *work = context;
    begin_queued(work, QUEUE_COMPRESS);
    int r = ops_compress(work->cli->ops, work->library, work->plan, work->cli->given & OPT_KEEP,
                         progress, &work->report, &work->err);
    return end_queued(work, r);
}

/* Asks on the terminal; anything but y means no. */
static bool asked_yes(const char *question)
{
    char answer[16] = "";
    fprintf(stderr, "%s [y/N] ", question);
    return fgets(answer, sizeof answer, stdin) && (answer[0] == 'y' || answer[0] == 'Y');
}

int cli_compress(struct cli *cli)
{
    struct work work;
    bool yes = cli->given & OPT_YES;
    int r = begin(cli, &work);
    if (r == 0)
        r = ops_may_write(cli->ops, &work.err);
    if (r == 0)
        r = cli_run(cli, run_plan, &work);
    if (r < 0) {
        int status = cli_fail(&work.err);
        work_release(&work);
        return status;
    }
    if (!yes && cli->json)
        cli_print_json(plan_json(&work));
    else if (!yes || (!cli->quiet && !cli->json))
        print_plan(&work);
    if (!yes && (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO) || cli->json)) {
        fprintf(stderr, "tare: nothing was done; --yes carries the plan out\n");
        work_release(&work);
        return EXIT_USAGE;
    }
    if (!yes && !asked_yes("Compress?")) {
        work_release(&work);
        return EXIT_DONE;
    }
    r = cli_run(cli, run_compress, &work);
    int status = cli_done(cli, &work.report, "compressed", r, &work.err);
    work_release(&work);
    return status;
}

static int run_decompress(void *context, struct progress *progress)
{
    struct work *work = context;
    if (!work->cli->to)
        begin_queued(work, QUEUE_DECOMPRESS);
    int r = ops_decompress(work->cli->ops, work->library, work->models, work->count, work->cli->to,
                           progress, &work->report, &work->err);
    return end_queued(work, r);
}

/* With --all only what is stored is meant. */
static void keep_stored(struct work *work)
{
    size_t kept = 0;
    for (size_t i = 0; i < work->count; i++) {
        const struct lib_model *model = &work->library->models[work->models[i]];
        bool stored = false;
        for (size_t f = 0; f < model->file_count; f++)
            stored |= work->library->files[model->files[f]].store != NULL;
        if (stored)
            work->models[kept++] = work->models[i];
    }
    work->count = kept;
}

/* What a store of another user is about to write, and where: before it does. */
static void warn_of_foreign(const struct work *work, const char *to)
{
    struct path_list told = {0};
    for (size_t i = 0; i < work->count; i++) {
        const struct lib_model *model = &work->library->models[work->models[i]];
        for (size_t f = 0; f < model->file_count; f++) {
            const struct lib_file *file = &work->library->files[model->files[f]];
            struct stat st;
            if (!file->store || stat(file->store, &st) < 0 || st.st_uid == geteuid())
                continue;
            AUTO_FREE char *line = mem_printf("tare: %s belongs to user %ld: it gives back %s %s%s",
                                              file->store, (long)st.st_uid, model->name,
                                              to ? "below " : "at ", to ? to : file->path);
            path_list_add(&told, line);
        }
    }
    for (size_t i = 0; i < told.count; i++) {
        AUTO_FREE char *safe = text_safe(told.paths[i]);
        fprintf(stderr, "%s\n", safe);
    }
    path_list_release(&told);
}

int cli_decompress(struct cli *cli)
{
    struct work work;
    int r = begin(cli, &work);
    if (r == 0 && cli->given & OPT_ALL)
        keep_stored(&work);
    if (r < 0) {
        int status = cli_fail(&work.err);
        work_release(&work);
        return status;
    }
    warn_of_foreign(&work, cli->to);
    r = cli_run(cli, run_decompress, &work);
    int status = cli_done(cli, &work.report, cli->to ? "copied" : "decompressed", r, &work.err);
    work_release(&work);
    return status;
}

/* ---- optimize ---- */

static int run_optimize_plan(void *context, struct progress *progress)
{
    struct work *work = context;
    (void)progress;
    return ops_optimize_plan(work->cli->ops, work->library, work->models, work->count,
                             &work->optimize, &work->err);
}

static int run_optimize(void *context, struct progress *progress)
{
    struct work *work = context;
    return ops_optimize(work->cli->ops, work->library, work->models, work->count, &work->optimize,
                        progress, &work->report, &work->err);
}

static js *optimize_json(const struct work *work)
{
    const struct optimize_plan *plan = &work->optimize;
    const struct lib_model *all = work->library->models;
    js *document = js_object(), *steps = js_list();
    for (size_t i = 0; i < plan->count; i++) {
        const struct optimize_step *step = &plan->steps[i];
        js *object = js_object();
        js_put_text(object, "id", all[step->model].id);
        js_put_text(object, "base", step->base == NO_MODEL ? NULL : all[step->base].id);
        js_put_text(object, "base_now", step->base_now == NO_MODEL ? NULL : all[step->base_now].id);
        js_put_int(object, "predicted", (int64_t)step->then);
        js_put_int(object, "predicted_now", (int64_t)step->now);
        js_push(steps, object);
    }
    js_put(document, "models", steps);
    js_put_int(document, "frees", (int64_t)(plan->now - plan->then));
    return document;
}

/* Carries the steps out where that is wanted; the exit status. */
static int finish_optimize(struct cli *cli, struct work *work)
{
    bool yes = cli->given & OPT_YES, terminal = isatty(STDIN_FILENO) && isatty(STDERR_FILENO);
    if (!yes && cli->json) {
        cli_print_json(optimize_json(work));
    } else if (!yes || (!cli->quiet && !cli->json)) {
        AUTO_BUF struct buf text = {0};
        optimize_text(work->library, &work->optimize, &text);
        fputs(text.data, stdout); /* escaped already */
    }
    if (!work->optimize.count && (!yes || !cli->json))
        return EXIT_DONE;
    if (!yes && (!terminal || cli->json)) {
        fprintf(stderr, "tare: nothing was done; --yes carries the plan out\n");
        return EXIT_USAGE;
    }
    if (!yes && !asked_yes("Optimize?"))
        return EXIT_DONE;
    int r = cli_run(cli, run_optimize, work);
    return cli_done(cli, &work->report, "optimized", r, &work->err);
}

int cli_optimize(struct cli *cli)
{
    struct work work;
    if (!cli->arg_count)
        cli->given |= OPT_ALL;
    int r = begin(cli, &work);
    if (r == 0)
        r = ops_may_write(cli->ops, &work.err);
    if (r == 0)
        r = cli_run(cli, run_optimize_plan, &work);
    int status = r < 0 ? cli_fail(&work.err) : finish_optimize(cli, &work);
    work_release(&work);
    return status;
}

static js *deletion_json(const struct work *work)
{
    const struct delete_plan *plan = work->deletion;
    js *document = js_object(), *models = js_list(), *notes = js_list();
    for (size_t i = 0; i < plan->model_count; i++) {
        const struct delete_model *m = &plan->models[i];
        js *object = js_object();
        js_put_text(object, "id", work->library->models[m->model].id);
        js_put_int(object, "size", (int64_t)work->library->models[m->model].size);
        js_put_int(object, "files", (int64_t)m->files);
        if (m->refused)
            js_put_name(object, "reason", m->refused, strlen(m->refused));
        else
            js_put(object, "reason", js_null());
        js_push(models, object);
    }
    for (size_t i = 0; i < plan->notes.count; i++)
        js_push(notes, js_of_text(plan->notes.paths[i]));
    js_put(document, "models", models);
    js_put(document, "notes", notes);
    js_put_int(document, "frees", (int64_t)plan->frees);
    return document;
}

static int run_delete_plan(void *context, struct progress *progress)
{
    struct work *work = context;
    (void)progress;
    return ops_delete_plan(work->cli->ops, work->library, work->models, work->count,
                           work->cli->given & OPT_LIVE, &work->deletion, &work->err);
}

static int run_delete(void *context, struct progress *progress)
{
    struct work *work = context;
    begin_queued(work, QUEUE_DELETE);
    int r = ops_delete(work->cli->ops, work->library, work->deletion, progress, &work->report,
                       &work->err);
    return end_queued(work, r);
}

/* Only a capital Y deletes. */
static bool asked_delete(void)
{
    char answer[16] = "";
    fprintf(stderr, "Type Y (capital) to delete for good: ");
    return fgets(answer, sizeof answer, stdin) && answer[0] == 'Y';
}

int cli_delete(struct cli *cli)
{
    struct work work;
    bool yes = cli->given & OPT_YES;
    int r = begin(cli, &work);
    int status = EXIT_DONE;
    if (r == 0)
        r = ops_may_write(cli->ops, &work.err);
    if (r == 0)
        r = cli_run(cli, run_delete_plan, &work);
    if (r < 0) {
        status = cli_fail(&work.err);
        work_release(&work);
        return status;
    }
    if (!yes && cli->json) {
        cli_print_json(deletion_json(&work));
    } else if (!yes || (!cli->quiet && !cli->json)) {
        AUTO_BUF struct buf text = {0};
        delete_plan_text(work.library, work.deletion, &text);
        fputs(text.data, stdout); /* escaped already */
    }
    if (!yes && (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO) || cli->json)) {
        fprintf(stderr, "tare: nothing was done; --yes deletes\n");
        status = EXIT_USAGE;
    } else if (yes || asked_delete()) {
        r = cli_run(cli, run_delete, &work);
        status = cli_done(cli, &work.report, "deleted", r, &work.err);
    }
    work_release(&work);
    return status;
}
