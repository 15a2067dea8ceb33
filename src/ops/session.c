/* SPDX-License-Identifier: MIT */
/* Background work of a front end with a main loop. */
#include "ops/session.h"

#include "base/file.h"
#include "base/text.h"
#include "jobs/job.h"
#include "ops/queue.h"
#include "ops/scan.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { AT_ONCE = 64 << 20 /* bytes: smaller models are compared in a moment */ };

/* A job with all that its thread needs. Until it is back, only the thread touches work fields. */
struct entry {
    struct session_job shown;
    struct session *session;
    struct job *job;
    atomic_bool given_up; /* cancelled by the user, not by the end of the program */
    bool noting;          /* its job writes it into the queue, or takes it out: not its work */
    /* Work: */
    struct ops_options options;
    struct library *library;
    struct plan *plan;
    struct delete_plan *deletion;
    struct delta_report *delta;
    struct delta_map map; /* of delta */
    struct duplicates *duplicates;
    struct details *details;
    struct tensor_look *look;
    struct table table;
    char *name; /* of a tensor, or a path */
    size_t name_len;
    struct queue_job queued; /* its id: the place on the queue */
    struct path_list paths;
    int *models;
    size_t count;
    struct plan_request request;
    bool keep, resume;
    /* Results: */
    struct queue queue;
    struct done_report report;
    struct verify_report verify;
    struct scan_report scan;
    struct err err;
    struct buf notes;
};

/* What travels through the queue: an event, or a job that has ended. */
struct message {
    struct event *event;
    struct entry *ended;
};

struct session {
    struct ops_options options;
    struct results *results;
    struct entry **jobs;
    size_t job_count, job_cap;
    uint64_t last_id;
};

static void free_delta(struct delta_report *delta)
{
    if (delta)
        delta_report_release(delta);
    free(delta);
}

static void free_details(struct details *details)
{
    if (details)
        details_release(details);
    free(details);
}

static void free_look(struct tensor_look *look)
{
    if (look)
        tensor_look_release(look);
    free(look);
}

static void free_overview(struct overview *overview)
{
    if (overview)
        overview_release(overview);
    free(overview);
}

static void free_duplicates(struct duplicates *duplicates)
{
    if (duplicates)
        duplicates_release(duplicates);
    free(duplicates);
}

void event_free(struct event *event)
{
    if (!event)
        return;
    library_unref(event->library);
    plan_free(event->plan);
    delete_plan_free(event->deletion);
    delta_map_release(&event->map);
    free_delta(event->delta);
    free_duplicates(event->duplicates);
    free_details(event->details);
    free_look(event->look);
    free_overview(event->overview);
    path_list_release(&event->waiting);
    free(event->name);
    free(event);
}

struct session *session_new(const struct ops_options *options)
{
    struct session *session = mem_zalloc(sizeof *session);
    session->options = *options;
    session->options.wait = true;
    session->results = results_new();
    return session;
}

static void entry_free(struct entry *entry)
{
    job_free(entry->job);
    library_unref(entry->library);
    plan_free(entry->plan);
    delete_plan_free(entry->deletion);
    delta_map_release(&entry->map);
    free_delta(entry->delta);
    free_duplicates(entry->duplicates);
    free_details(entry->details);
    free_look(entry->look);
    free(entry->name);
    table_release(&entry->table);
    queue_job_release(&entry->queued);
    queue_release(&entry->queue);
    path_list_release(&entry->paths);
    done_report_release(&entry->report);
    verify_report_release(&entry->verify);
    scan_report_release(&entry->scan);
    buf_release(&entry->notes);
    buf_release(&entry->shown.log);
    free(entry->shown.title);
    free(entry->models);
    free(entry);
}

void session_free(struct session *session)
{
    for (size_t i = 0; i < session->job_count; i++)
        if (session->jobs[i]->job)
            job_cancel(session->jobs[i]->job);
    for (size_t i = 0; i < session->job_count; i++)
        entry_free(session->jobs[i]);
    for (struct message *m; (m = results_take(session->results));) {
        event_free(m->event);
        free(m);
    }
    results_free(session->results);
    free(session->jobs);
    free(session);
}

int session_fd(const struct session *session)
{
    return results_fd(session->results);
}

int session_library(struct session *session, struct library **ret, struct err *err)
{
    struct ops *ops;
    int r = ops_open(&session->options, &ops, err);
    if (r < 0)
        return r;
    r = ops_library(ops, ret, err);
    ops_close(ops);
    return r;
}

/* From a worker: sends a fresh snapshot. */
static void send_library(struct entry *entry, struct ops *ops)
{
    struct library *library;
    if (ops_library(ops, &library, NULL) < 0)
        return;
    struct message *message = mem_zalloc(sizeof *message);
    message->event = mem_zalloc(sizeof *message->event);
    message->event->kind = EVENT_LIBRARY;
    message->event->library = library;
    message->event->overview = mem_alloc(sizeof *message->event->overview);
    overview_make(library, time(NULL), message->event->overview);
    results_push(entry->session->results, message);
}

static int work_scan(struct entry *entry, struct ops *ops, struct progress *progress)
{
    struct scan_request request = {.paths = (const char *const *)entry->paths.paths,
                                   .headers_only = true};
    int r = ops_scan(ops, &request, progress, &entry->scan, &entry->err);
    send_library(entry, ops);
    if (r < 0)
        return r;
    scan_report_release(&entry->scan);
    request.headers_only = false;
    r = ops_scan(ops, &request, progress, &entry->scan, &entry->err);
    send_library(entry, ops);
    if (r == 0)
        r = ops_estimate(ops, progress, &entry->err);
    send_library(entry, ops);
    return r;
}

/* Of large models, the comparison of samples goes ahead. */
static void send_sampled(struct entry *entry, struct ops *ops, struct progress *progress)
{
    if (entry->library->models[entry->models[0]].size < AT_ONCE)
        return;
    struct delta_report *delta = mem_zalloc(sizeof *delta);
    if (ops_delta_sampled(ops, entry->library, entry->models[0], entry->models[1], progress, delta,
                          NULL) < 0) {
        free(delta);
        return;
    }
    struct message *message = mem_zalloc(sizeof *message);
    message->event = mem_zalloc(sizeof *message->event);
    message->event->kind = EVENT_DELTA;
    message->event->job = entry->shown.id;
    message->event->delta = delta;
    delta_map_make(delta, &message->event->map);
    message->event->library = library_ref(entry->library);
    message->event->model = entry->models[0];
    message->event->base = entry->models[1];
    results_push(entry->session->results, message);
    atomic_store(&progress->done, 0);
    atomic_store(&progress->total, 0);
}

/* Into a file that is not there yet. */
static int write_table(const char *path, const struct table *table, struct err *err)
{
    AUTO_BUF struct buf text = {0};
    int r = table_for(table, path, &text, err);
    return r < 0 ? r : file_write_new(path, text.data, text.len, err);
}

static int work_one(struct entry *entry, struct ops *ops, struct progress *progress)
{
    int r = 0;
    switch (entry->shown.kind) {
    case JOB_SCAN:
        return work_scan(entry, ops, progress);
    case JOB_PLAN:
        entry->request.models = entry->models;
        return ops_plan(ops, entry->library, &entry->request, progress, &entry->plan, &entry->err);
    case JOB_DELETE_PLAN:
        r = ops_may_write(ops, &entry->err);
        return r < 0 ? r
                     : ops_delete_plan(ops, entry->library, entry->models, entry->count, false,
                                       &entry->deletion, &entry->err);
    case JOB_DELTA:
        send_sampled(entry, ops, progress);
        entry->delta = mem_zalloc(sizeof *entry->delta);
        r = ops_delta(ops, entry->library, entry->models[0], entry->models[1], progress,
                      entry->delta, &entry->err);
        if (r == 0)
            delta_map_make(entry->delta, &entry->map);
        return r;
    case JOB_DUPLICATES:
        entry->duplicates = mem_zalloc(sizeof *entry->duplicates);
        return ops_duplicates(ops, entry->library, progress, entry->duplicates, &entry->err);
    case JOB_ESTIMATE:
        r = ops_estimate(ops, progress, &entry->err);
        send_library(entry, ops);
        return r;
    case JOB_DETAILS:
        entry->details = mem_zalloc(sizeof *entry->details);
        return ops_details(ops, entry->library, entry->models[0], progress, entry->details,
                           &entry->err);
    case JOB_TENSOR:
        entry->look = mem_zalloc(sizeof *entry->look);
        return ops_tensor(ops, entry->library, entry->models[0], entry->name, entry->name_len,
                          progress, entry->look, &entry->err);
    case JOB_EXPORT:
        return write_table(entry->name, &entry->table, &entry->err);
    case JOB_QUEUE:
        return queue_read(ops, &entry->queue, &entry->err);
    case JOB_DELETE:
        r = ops_delete(ops, entry->library, entry->deletion, progress, &entry->report, &entry->err);
        break;
    case JOB_RESUME:
        return queue_resume(ops, &entry->queued, progress, &entry->report, &entry->err);
    case JOB_COMPRESS:
        r = ops_compress(ops, entry->library, entry->plan, entry->keep, progress, &entry->report,
                         &entry->err);
        break;
    case JOB_DECOMPRESS:
        r = ops_decompress(ops, entry->library, entry->models, entry->count, NULL, progress,
                           &entry->report, &entry->err);
        break;
    case JOB_VERIFY:
        r = ops_verify(ops, entry->library,
                       &(struct verify_request){.models = entry->models, .count = entry->count},
                       progress, &entry->verify, &entry->err);
        break;
    }
    ops_refresh(ops);
    send_library(entry, ops);
    return r;
}

static void *work(void *context, struct progress *progress)
{
    struct entry *entry = context;
    struct message *message = mem_zalloc(sizeof *message);
    struct ops *ops;
    message->ended = entry;
    if (ops_open(&entry->options, &ops, &entry->err) == 0) {
        int r = work_one(entry, ops, progress);
        if (entry->shown.kind == JOB_RESUME)
            send_library(entry, ops);
        bool over = !queue_keeps(r) && entry->shown.kind != JOB_RESUME; /* that one has done it */
        if (over || atomic_load(&entry->given_up))
            queue_drop(ops, entry->queued.id);
        if (r == 0)
            entry->err.code = 0;
        buf_add(&entry->notes, ops->notes.data, ops->notes.len);
        ops_close(ops);
    }
    return message;
}

static bool is_store_job(const struct entry *entry)
{
    return entry->shown.kind >= JOB_COMPRESS;
}

static void start(struct session *session, struct entry *entry)
{
    entry->shown.state = JOB_RUNNING;
    entry->shown.started = ops_now();
    entry->job = job_start(work, entry, session->results);
    entry->shown.progress = job_progress(entry->job);
}

/* Store jobs run one after the other, everything else at once. */
static void start_next(struct session *session)
{
    for (size_t i = 0; i < session->job_count; i++)
        if (is_store_job(session->jobs[i]) && session->jobs[i]->shown.state == JOB_RUNNING)
            return;
    for (size_t i = 0; i < session->job_count; i++) {
        if (session->jobs[i]->shown.state != JOB_QUEUED)
            continue;
        if (!session->jobs[i]->noting) /* else it begins when it is written down */
            start(session, session->jobs[i]);
        return;
    }
}

static struct entry *add(struct session *session, enum job_kind kind, char *title,
                         struct library *library)
{
    struct entry *entry = mem_zalloc(sizeof *entry);
    entry->shown.id = ++session->last_id;
    entry->shown.kind = kind;
    entry->shown.title = title;
    entry->session = session;
    entry->options = session->options;
    entry->library = library ? library_ref(library) : NULL;
    *ARRAY_ADD(session->jobs, session->job_count, session->job_cap) = entry;
    return entry;
}

/* Into the queue, or out of it where the job was given up: the catalog may be busy. */
static void *note(void *context, struct progress *progress)
{
    struct entry *entry = context;
    struct message *message = mem_zalloc(sizeof *message);
    struct ops *ops;
    (void)progress;
    message->ended = entry;
    if (ops_open(&entry->options, &ops, NULL) == 0) {
        if (!atomic_load(&entry->given_up))
            queue_add(ops, &entry->queued);
        if (atomic_load(&entry->given_up))
            queue_drop(ops, entry->queued.id);
        ops_close(ops);
    }
    return message;
}

static void start_note(struct session *session, struct entry *entry)
{
    entry->noting = true;
    entry->job = job_start(note, entry, session->results);
}

/* The job is written down: it begins, unless it was given up in the meantime. */
static void end_note(struct session *session, struct entry *entry)
{
    job_free(entry->job);
    entry->job = NULL;
    entry->noting = false;
    if (entry->shown.state == JOB_QUEUED && atomic_load(&entry->given_up)) {
        entry->shown.state = JOB_CANCELLED;
        start_note(session, entry);
    }
    start_next(session);
}

/* Writes the job down, so that it is not forgotten when this program ends. Then it may begin. */
static void enqueue(struct session *session, struct entry *entry, enum queue_what what,
                    const int *models, size_t count, const struct plan_request *request)
{
    entry->queued = queue_job_for(what, entry->library, models, count, request);
    start_note(session, entry);
}

static void take_models(struct entry *entry, const int *models, size_t count)
{
    entry->models = mem_alloc((count + 1) * sizeof *models);
    if (count)
        memcpy(entry->models, models, count * sizeof *models);
    entry->count = count;
}

/* "compress acme/x" or "compress 3 models". */
static char *title_for(const char *verb, const struct library *library, const int *models,
                       size_t count)
{
    if (count != 1)
        return count ? mem_printf("%s %zu models", verb, count) : mem_printf("%s", verb);
    AUTO_FREE char *name = text_safe(library->models[models[0]].name);
    return mem_printf("%s %s", verb, name);
}

void session_scan(struct session *session, const char *const *paths)
{
    for (size_t i = 0; i < session->job_count; i++)
        if (session->jobs[i]->shown.kind == JOB_SCAN &&
            session->jobs[i]->shown.state == JOB_RUNNING)
            return;
    struct entry *entry = add(session, JOB_SCAN, mem_strdup("scan"), NULL);
    for (; paths && *paths; paths++)
        path_list_add(&entry->paths, *paths);
    *ARRAY_ADD(entry->paths.paths, entry->paths.count, entry->paths.cap) = NULL;
    entry->paths.count--;
    start(session, entry);
}

/* A question about models, which is asked with start. */
static struct entry *ask(struct session *session, enum job_kind kind, const char *verb,
                         struct library *library, const int *models, size_t count)
{
    struct entry *entry = add(session, kind, title_for(verb, library, models, count), library);
    take_models(entry, models, count);
    return entry;
}

static uint64_t start_question(struct session *session, struct entry *entry)
{
    start(session, entry);
    return entry->shown.id;
}

uint64_t session_plan(struct session *session, struct library *library,
                      const struct plan_request *request)
{
    struct entry *entry = ask(session, JOB_PLAN, "plan", library, request->models, request->count);
    entry->request = *request;
    return start_question(session, entry);
}

uint64_t session_duplicates(struct session *session, struct library *library)
{
    return start_question(session, ask(session, JOB_DUPLICATES, "duplicates", library, NULL, 0));
}

uint64_t session_delta(struct session *session, struct library *library, int model, int base)
{
    const int models[] = {model, base};
    struct entry *entry = add(session, JOB_DELTA, title_for("delta", library, models, 1), library);
    take_models(entry, models, COUNT_OF(models));
    return start_question(session, entry);
}

uint64_t session_details(struct session *session, struct library *library, int model)
{
    return start_question(session, ask(session, JOB_DETAILS, "details", library, &model, 1));
}

uint64_t session_tensor(struct session *session, struct library *library, int model,
                        const char *name, size_t name_len)
{
    struct entry *entry = ask(session, JOB_TENSOR, "tensor", library, &model, 1);
    entry->name = mem_strndup(name, name_len);
    entry->name_len = name_len;
    return start_question(session, entry);
}

void session_export(struct session *session, const char *path, struct table *table)
{
    AUTO_FREE char *safe = text_safe(path);
    struct entry *entry = add(session, JOB_EXPORT, mem_printf("write %s", safe), NULL);
    entry->table = *table;
    entry->name = mem_strdup(path);
    *table = (struct table){0};
    start(session, entry);
}

void session_compress(struct session *session, struct library *library, struct plan *plan,
                      bool keep)
{
    size_t count = 0;
    AUTO_FREE int *models = mem_alloc((plan->model_count + 1) * sizeof *models);
    const struct plan_request request = {.base = NO_MODEL, .live = plan->live, .keep = keep};
    for (size_t i = 0; i < plan->model_count; i++)
        if (plan->models[i].estimated)
            models[count++] = plan->models[i].model;
    const char *verb = keep ? "compress (trial)" : "compress";
    struct entry *entry =
        add(session, JOB_COMPRESS, title_for(verb, library, models, count), library);
    entry->plan = plan;
    entry->keep = keep;
    enqueue(session, entry, QUEUE_COMPRESS, models, count, &request);
}

void session_decompress(struct session *session, struct library *library, const int *models,
                        size_t count)
{
    struct entry *entry =
        add(session, JOB_DECOMPRESS, title_for("decompress", library, models, count), library);
    take_models(entry, models, count);
    enqueue(session, entry, QUEUE_DECOMPRESS, models, count, NULL);
}

uint64_t session_plan_delete(struct session *session, struct library *library, const int *models,
                             size_t count)
{
    return start_question(session, ask(session, JOB_DELETE_PLAN, "plan", library, models, count));
}

void session_delete(struct session *session, struct library *library, struct delete_plan *deletion)
{
    size_t count = 0;
    AUTO_FREE int *models = mem_alloc((deletion->model_count + 1) * sizeof *models);
    for (size_t i = 0; i < deletion->model_count; i++)
        if (!deletion->models[i].refused)
            models[count++] = deletion->models[i].model;
    struct entry *entry =
        add(session, JOB_DELETE, title_for("delete", library, models, count), library);
    entry->deletion = deletion;
    enqueue(session, entry, QUEUE_DELETE, models, count, NULL);
}

/* "compress acme/x" or "delete 3 models": free it. */
static char *queued_title(const struct queue_job *job)
{
    AUTO_FREE char *name = text_safe(job->names.count ? job->names.paths[0] : "");
    return job->names.count == 1
               ? mem_printf("%s %s", queue_what_name(job->what), name)
               : mem_printf("%s %zu models", queue_what_name(job->what), job->names.count);
}

uint64_t session_queue(struct session *session, bool resume)
{
    struct entry *entry = add(session, JOB_QUEUE, mem_strdup("queue"), NULL);
    entry->resume = resume;
    return start_question(session, entry);
}

/* Whether nobody is at it: its process is no more, or it ended badly in this one. */
static bool is_left(const struct session *session, const struct queue_job *job)
{
    bool failed = false;
    for (size_t i = 0; i < session->job_count; i++) {
        const struct entry *entry = session->jobs[i];
        bool nameless = entry->noting && entry->shown.state == JOB_QUEUED;
        if (nameless || entry->queued.id != job->id)
            continue;
        if (entry->shown.state != JOB_FAILED)
            return false;
        failed = true;
    }
    return !job->running || (failed && job->pid == (int)getpid());
}

/* What is left of the queue that was read: its titles, or it is put in line. */
static void take_queue(struct session *session, struct entry *entry, struct event *event)
{
    event->resume = entry->resume;
    for (size_t i = 0; i < entry->queue.count; i++) {
        struct queue_job *job = &entry->queue.jobs[i];
        if (!is_left(session, job))
            continue;
        AUTO_FREE char *title = queued_title(job);
        if (!entry->resume) {
            path_list_push(&event->waiting, title);
            continue;
        }
        struct entry *resumed = add(session, JOB_RESUME, mem_printf("resume: %s", title), NULL);
        resumed->queued = *job;
        *job = (struct queue_job){0};
        event->resumed++;
    }
}

void session_verify(struct session *session, struct library *library, const int *models,
                    size_t count)
{
    struct entry *entry =
        add(session, JOB_VERIFY, title_for("verify", library, models, count), library);
    take_models(entry, models, count);
    start_next(session);
}

static void add_line(struct buf *log, const char *text)
{
    text_escape(log, text, strlen(text));
    buf_char(log, '\n');
}

/* What the job has to say, as lines for its log. */
static void write_log(struct entry *entry)
{
    struct buf *log = &entry->shown.log;
    char size[16], stored[16];
    char *save = NULL;
    for (size_t i = 0; i < entry->report.count; i++) {
        const struct done_model *m = &entry->report.models[i];
        text_size(size, m->size);
        text_size(stored, m->stored);
        AUTO_FREE char *line =
            m->error    ? mem_printf("%s: %s", m->name, m->error)
            : m->stored ? mem_printf("%s: %zu file%s, %s -> %s, %.1f s", m->name, m->files,
                                     m->files == 1 ? "" : "s", size, stored, m->seconds)
                        : mem_printf("%s: %zu file%s, %s, %.1f s", m->name, m->files,
                                     m->files == 1 ? "" : "s", size, m->seconds);
        add_line(log, line);
        entry->shown.freed += m->freed;
    }
    for (size_t i = 0; i < entry->scan.problem_count; i++) {
        AUTO_FREE char *line =
            mem_printf("%s: %s", entry->scan.problems[i].path, entry->scan.problems[i].reason);
        add_line(log, line);
    }
    for (size_t i = 0; i < entry->verify.count; i++) {
        const struct damage *d = &entry->verify.damaged[i];
        AUTO_FREE char *line = mem_printf("%s: %s", d->object, d->reason);
        add_line(log, line);
        for (size_t m = 0; m < d->models.count; m++) {
            AUTO_FREE char *model = mem_printf("  needed by %s", d->models.paths[m]);
            add_line(log, model);
        }
    }
    if (entry->verify.count)
        add_line(log, "tare verify --repair mends what it can, and says where to get the rest");
    if (entry->shown.kind == JOB_VERIFY && !entry->err.code) {
        text_size(size, entry->verify.bytes);
        AUTO_FREE char *line =
            mem_printf("%llu objects, %s of tensors: %s", (unsigned long long)entry->verify.objects,
                       size, entry->verify.count ? "DAMAGE FOUND" : "all good");
        add_line(log, line);
    }
    if (entry->report.notes.len)
        buf_add(&entry->notes, entry->report.notes.data, entry->report.notes.len);
    for (char *line = entry->notes.len ? strtok_r(entry->notes.data, "\n", &save) : NULL; line;
         line = strtok_r(NULL, "\n", &save))
        add_line(log, line);
    if (entry->err.code)
        add_line(log, entry->err.text);
}

/* What tells the answer of a job that was a question; of others EVENT_JOB. */
static enum event_kind answer_of(enum job_kind kind)
{
    switch (kind) {
    case JOB_PLAN:
        return EVENT_PLAN;
    case JOB_DELETE_PLAN:
        return EVENT_DELETE;
    case JOB_DELTA:
        return EVENT_DELTA;
    case JOB_DUPLICATES:
        return EVENT_DUPLICATES;
    case JOB_DETAILS:
        return EVENT_DETAILS;
    case JOB_TENSOR:
        return EVENT_TENSOR;
    case JOB_EXPORT:
        return EVENT_EXPORT;
    case JOB_QUEUE:
        return EVENT_QUEUE;
    default:
        return EVENT_JOB;
    }
}

/* A job's thread has ended: its fields are the main thread's again. */
static struct event *end_job(struct session *session, struct entry *entry)
{
    struct event *event = mem_zalloc(sizeof *event);
    job_free(entry->job);
    entry->job = NULL;
    entry->shown.progress = NULL;
    entry->shown.seconds = ops_now() - entry->shown.started;
    bool bad = entry->err.code || verify_report_open(&entry->verify);
    entry->shown.state = entry->err.code == ERR_CANCELLED ? JOB_CANCELLED
                         : bad                            ? JOB_FAILED
                                                          : JOB_DONE;
    write_log(entry);
    event->kind = EVENT_JOB;
    event->job = entry->shown.id;
    event->err = entry->err;
    if (!entry->err.code && verify_report_open(&entry->verify))
        err_set(&event->err, ERR_DAMAGED, "damage was found: 5 and Enter show what it touches");
    enum event_kind answer = answer_of(entry->shown.kind);
    if (answer != EVENT_JOB) {
        event->kind = answer;
        event->duplicates = TAKE_PTR(entry->duplicates);
        event->delta = TAKE_PTR(entry->delta);
        event->map = entry->map;
        entry->map = (struct delta_map){0};
        event->details = TAKE_PTR(entry->details);
        event->look = TAKE_PTR(entry->look);
        event->model = entry->count ? entry->models[0] : NO_MODEL;
        event->base = entry->count > 1 ? entry->models[1] : NO_MODEL;
        event->library = entry->library ? library_ref(entry->library) : NULL;
        event->plan = TAKE_PTR(entry->plan);
        event->deletion = TAKE_PTR(entry->deletion);
        event->name = TAKE_PTR(entry->name);
        take_queue(session, entry, event);
    }
    bool changed = is_store_job(entry) && entry->shown.kind != JOB_VERIFY;
    if (answer != EVENT_JOB || (!is_store_job(entry) && !entry->shown.log.len)) {
        for (size_t i = 0; i < session->job_count; i++) /* nothing worth keeping */
            if (session->jobs[i] == entry)
                memmove(&session->jobs[i], &session->jobs[i + 1],
                        (--session->job_count - i) * sizeof *session->jobs);
        entry_free(entry);
    }
    start_next(session);
    if (changed && !session_busy(session))
        start(session, add(session, JOB_ESTIMATE, mem_strdup("estimate"), NULL));
    return event;
}

struct event *session_next(struct session *session)
{
    struct message *message = results_take(session->results);
    if (!message)
        return NULL;
    struct event *event = message->event;
    struct entry *ended = message->ended;
    free(message);
    if (ended && ended->noting) {
        end_note(session, ended);
        return session_next(session);
    }
    return ended ? end_job(session, ended) : event;
}

size_t session_job_count(const struct session *session)
{
    return session->job_count;
}

const struct session_job *session_job(const struct session *session, size_t i)
{
    return &session->jobs[i]->shown;
}

int session_find(const struct session *session, uint64_t id)
{
    for (size_t i = 0; id && i < session->job_count; i++)
        if (session->jobs[i]->shown.id == id)
            return (int)i;
    return -1;
}

void session_cancel(struct session *session, uint64_t id)
{
    int i = session_find(session, id);
    if (i < 0)
        return;
    struct entry *entry = session->jobs[i];
    atomic_store(&entry->given_up, true);
    if (entry->job) {
        job_cancel(entry->job); /* where it is just being written down, end_note sees to it */
    } else if (entry->shown.state == JOB_QUEUED) {
        entry->shown.state = JOB_CANCELLED;
        start_note(session, entry);
    }
}

bool session_works(const struct session *session)
{
    for (size_t i = 0; i < session->job_count; i++)
        if (session->jobs[i]->shown.state <= JOB_RUNNING || session->jobs[i]->noting)
            return true;
    return false;
}

bool session_busy(const struct session *session)
{
    for (size_t i = 0; i < session->job_count; i++)
        if (is_store_job(session->jobs[i]) && session->jobs[i]->shown.state <= JOB_RUNNING)
            return true;
    return false;
}
