/* SPDX-License-Identifier: MIT */
/* The Jobs tab: what runs, waits, and was done. */
#include "ui/screens/screens.h"

#include "base/text.h"

#include <string.h>

static const char *const state_names[] = {"queued", "running", "done", "failed", "cancelled"};

const char *jobs_state_name(enum job_state state)
{
    return state_names[state];
}

/* "encoding  file 2/4  0.31 GB/s  12 s left  1.2G of 16.1G" */
static void describe_running(const struct session_job *job, struct buf *out)
{
    uint64_t done = job->progress->done, total = job->progress->total;
    uint32_t item = job->progress->item, items = job->progress->items;
    const char *phase = job->progress->phase;
    double seconds = ops_now() - job->started;
    char have[16], all[16], left[32];
    text_size(have, done);
    text_size(all, total);
    buf_str(out, phase ? phase : "starting");
    if (items > 1)
        buf_printf(out, " %u/%u", item, items);
    if (!total)
        return;
    if (seconds > 0.5 && done) {
        text_duration(left, seconds * (double)(total - MIN(done, total)) / (double)done);
        buf_printf(out, "  %.2f GB/s  %s left", (double)done / seconds / 1e9, left);
    }
    buf_printf(out, "  %s of %s", have, all);
}

/* Columns of a job's title. */
static int title_width(const struct app *app)
{
    return MAX(app->canvas.columns - 54, 20);
}

static void draw_job(struct app *app, int line, size_t index)
{
    const struct session_job *job = session_job(app->session, index);
    bool selected = (int)index == app->jobs.cursor;
    enum role role = selected                    ? ROLE_CURSOR
                     : job->state == JOB_FAILED  ? ROLE_BAD
                     : job->state == JOB_RUNNING ? ROLE_GOOD
                                                 : ROLE_TEXT;
    AUTO_BUF struct buf what = {0}, title = {0};
    char freed[16];
    if (job->progress) {
        describe_running(job, &what);
    } else if (job->state == JOB_DONE && job->kind == JOB_COMPRESS && job->freed > 0) {
        text_size(freed, (uint64_t)job->freed);
        buf_printf(&what, "freed %s in %.1f s", freed, job->seconds);
    } else if (job->state != JOB_QUEUED) {
        buf_printf(&what, "%.1f s", job->seconds);
    }
    text_fit(&title, job->title, title_width(app));
    canvas_fill(&app->canvas, line, 0, app->canvas.columns, role);
    canvas_printf(&app->canvas, line, 0, app->canvas.columns, role, "%c  %s  %-9s  %s",
                  selected ? '>' : ' ', title.data, state_names[job->state],
                  what.len ? what.data : "");
    app_highlight(app, line, 3, title_width(app));
    if (job->progress && job->progress->total && !selected) {
        double share = (double)job->progress->done / (double)job->progress->total;
        canvas_paint(&app->canvas, line, 0, (int)(share * app->canvas.columns), ROLE_BAR);
    }
}

void jobs_draw(struct app *app, int top, int height)
{
    int count = (int)session_job_count(app->session);
    list_set_height(&app->jobs, height - 1);
    list_set_count(&app->jobs, count);
    canvas_printf(&app->canvas, top, 0, app->canvas.columns, ROLE_HEAD, "   %-*s  %-9s  %s",
                  title_width(app), "JOB", "STATE", "PROGRESS");
    int line = top + 2 + MIN(count, height - 2);
    for (size_t i = 0; i < app->interrupted.count && line < top + height; i++) {
        AUTO_BUF struct buf title = {0};
        text_fit(&title, app->interrupted.paths[i], title_width(app));
        canvas_printf(&app->canvas, line++, 0, app->canvas.columns, ROLE_WARN, "   %s  %s",
                      title.data, "interrupted: R goes on with it");
    }
    if (!count && !app->interrupted.count)
        canvas_put(&app->canvas, top + 2, 3, app->canvas.columns - 3, ROLE_DIM,
                   "nothing runs, and nothing was done yet");
    for (int i = 0; i < height - 1 && app->jobs.top + i < count; i++)
        draw_job(app, top + 1 + i, (size_t)(app->jobs.top + i));
}

void jobs_note(struct app *app)
{
    size_t at = (size_t)app->jobs.cursor;
    if (at < session_job_count(app->session))
        app->job = session_job(app->session, at)->id;
}

void jobs_follow(struct app *app)
{
    int at = session_find(app->session, app->job);
    list_set_count(&app->jobs, (int)session_job_count(app->session));
    if (at >= 0)
        list_go(&app->jobs, at);
    else
        jobs_note(app);
    if (app->overlay == OVERLAY_LOG && session_find(app->session, app->log_job) < 0)
        app->overlay = OVERLAY_NONE;
}

void jobs_take_queue(struct app *app, struct event *event)
{
    size_t left = event->waiting.count;
    path_list_release(&app->interrupted);
    app->interrupted = event->waiting;
    event->waiting = (struct path_list){0};
    if (event->err.code)
        app_say(app, true, "%s", event->err.text);
    else if (left)
        app_say(app, false, "%zu job%s interrupted: 5 R goes on with %s", left,
                left == 1 ? " was" : "s were", left == 1 ? "it" : "them");
    else if (event->resume && !event->resumed)
        app_say(app, false, "no job was interrupted");
}

bool jobs_action(struct app *app, enum action action)
{
    int at = session_find(app->session, app->job);
    const struct session_job *job = at < 0 ? NULL : session_job(app->session, (size_t)at);
    switch (action) {
    case ACT_CANCEL_JOB:
        if (job && job->state <= JOB_RUNNING) {
            session_cancel(app->session, job->id);
            app_say(app, false, "stopping; the file in flight is finished or taken back");
        }
        return true;
    case ACT_VERIFY:
        session_verify(app->session, app->library, NULL, 0);
        return true;
    case ACT_RESUME:
        session_queue(app->session, true);
        return true;
    case ACT_OPEN:
        if (job) {
            app->log_job = job->id;
            app_open_overlay(app, OVERLAY_LOG);
        }
        return true;
    default:
        return false;
    }
}
