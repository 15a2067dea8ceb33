/* SPDX-License-Identifier: MIT */
/* tare jobs: what was asked for and is not done yet. */
#include "cli/cli.h"

#include "base/text.h"
#include "ops/queue.h"

#include <string.h>

struct work {
    struct cli *cli;
    struct queue queue;
    struct queue_job *job; /* that is done now */
    struct done_report report;
    struct err err;
};

static js *queue_json(const struct queue *queue)
{
    js *document = js_object(), *jobs = js_list();
    for (size_t i = 0; i < queue->count; i++) {
        const struct queue_job *job = &queue->jobs[i];
        js *object = js_object(), *models = js_list();
        for (size_t m = 0; m < job->models.count; m++)
            js_push(models, js_of_text(job->models.paths[m]));
        js_put_int(object, "id", job->id);
        js_put_text(object, "what", queue_what_name(job->what));
        js_put(object, "models", models);
        js_put_int(object, "added", job->added);
        js_put_text(object, "state", job->running ? "running" : "interrupted");
        js_put_int(object, "pid", job->pid);
        js_push(jobs, object);
    }
    js_put(document, "jobs", jobs);
    return document;
}

static void print_queue(const struct queue *queue)
{
    bool left = false;
    for (size_t i = 0; i < queue->count; i++) {
        const struct queue_job *job = &queue->jobs[i];
        char when[32];
        AUTO_BUF struct buf names = {0};
        for (size_t m = 0; m < MIN(job->names.count, (size_t)3); m++)
            buf_printf(&names, "%s%s", m ? ", " : "", job->names.paths[m]);
        if (job->names.count > 3)
            buf_printf(&names, " and %zu more", job->names.count - 3);
        text_time(when, job->added);
        left |= !job->running;
        cli_print("%s  %-11s %-10s %s\n", when, job->running ? "running" : "interrupted",
                  queue_what_name(job->what), names.len ? names.data : "");
    }
    if (!queue->count)
        cli_print("nothing is left to do\n");
    else if (left)
        cli_print("tare jobs --resume goes on with what was interrupted; --clear forgets it\n");
}

static int run_resume(void *context, struct progress *progress)
{
    struct work *work = context;
    return queue_resume(work->cli->ops, work->job, progress, &work->report, &work->err);
}

/* One after the other; a failure of one does not keep the others. */
static int resume(struct work *work)
{
    int status = EXIT_DONE;
    for (size_t i = 0; i < work->queue.count && status != EXIT_INTERRUPTED; i++) {
        work->job = &work->queue.jobs[i];
        if (work->job->running)
            continue;
        static const char *const verbs[] = {"compressed", "decompressed", "deleted"};
        int r = cli_run(work->cli, run_resume, work);
        int one = cli_done(work->cli, &work->report, verbs[work->job->what], r, &work->err);
        status = status && one != EXIT_INTERRUPTED ? status : one;
        done_report_release(&work->report);
    }
    return status;
}

int cli_jobs(struct cli *cli)
{
    struct work work = {.cli = cli};
    int status = EXIT_DONE;
    if ((cli->given & OPT_CLEAR) && (cli->given & OPT_RESUME)) {
        err_set(&work.err, ERR_USAGE, "either --resume or --clear");
        return cli_fail(&work.err);
    }
    if (queue_read(cli->ops, &work.queue, &work.err) < 0)
        status = cli_fail(&work.err);
    else if (cli->given & OPT_CLEAR)
        for (size_t i = 0; i < work.queue.count; i++)
            queue_drop(cli->ops, work.queue.jobs[i].running ? 0 : work.queue.jobs[i].id);
    else if (!(cli->given & OPT_RESUME) && cli->json)
        cli_print_json(queue_json(&work.queue));
    else if (!(cli->given & OPT_RESUME))
        print_queue(&work.queue);
    else
        status = resume(&work);
    queue_release(&work.queue);
    return status;
}
