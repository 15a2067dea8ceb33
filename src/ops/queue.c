/* SPDX-License-Identifier: MIT */
/* The queue of jobs in the catalog. */
#include "ops/queue.h"

#include "base/file.h"
#include "base/json.h"
#include "catalog/catalog.h"
#include "ops/delete.h"
#include "ops/scan.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char *const what_names[QUEUE_WHATS] = {"compress", "decompress", "delete"};

const char *queue_what_name(enum queue_what what)
{
    return what_names[what];
}

void queue_job_release(struct queue_job *job)
{
    path_list_release(&job->models);
    path_list_release(&job->names);
}

void queue_release(struct queue *queue)
{
    for (size_t i = 0; i < queue->count; i++)
        queue_job_release(&queue->jobs[i]);
    free(queue->jobs);
    *queue = (struct queue){0};
}

/* When the process was started, in ticks since boot (/proc/PID/stat, field 22); 0: no such. */
static int64_t born(int64_t pid)
{
    char path[64], line[1024];
    snprintf(path, sizeof path, "/proc/%lld/stat", (long long)pid);
    FILE *stream = fopen(path, "re");
    size_t n = stream ? fread(line, 1, sizeof line - 1, stream) : 0;
    long long ticks = 0;
    if (stream)
        fclose(stream);
    line[n] = '\0';
    const char *rest = strrchr(line, ')'); /* the name before it may hold anything */
    if (!rest || sscanf(rest,
                        ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d"
                        " %*d %*d %*d %lld",
                        &ticks) != 1)
        return 0;
    return ticks;
}

struct queue_job queue_job_for(enum queue_what what, const struct library *library,
                               const int *models, size_t count, const struct plan_request *request)
{
    struct queue_job job = {.what = what};
    for (size_t i = 0; i < count; i++) {
        path_list_push(&job.models, library->models[models[i]].id);
        path_list_push(&job.names, library->models[models[i]].name);
    }
    if (request) {
        job.keep = request->keep;
        job.include_base = request->include_base;
        job.live = request->live;
        if (request->base != NO_MODEL)
            memcpy(job.base, library->models[request->base].id, sizeof job.base);
    }
    return job;
}

static js *list_of(const struct path_list *list)
{
    js *texts = js_list();
    for (size_t i = 0; i < list->count; i++)
        js_push(texts, js_of_text(list->paths[i]));
    return texts;
}

void queue_add(struct ops *ops, struct queue_job *job)
{
    AUTO_JS js *object = js_object();
    AUTO_BUF struct buf text = {0};
    js_put_text(object, "what", what_names[job->what]);
    js_put(object, "models", list_of(&job->models));
    js_put(object, "names", list_of(&job->names));
    js_put_bool(object, "keep", job->keep);
    js_put_bool(object, "include_base", job->include_base);
    js_put_bool(object, "live", job->live);
    js_put_text(object, "base", job->base);
    js_write(object, &text);
    struct catalog_job row = {
        .what = text.data, .pid = getpid(), .born = born(getpid()), .added = time(NULL)};
    job->id = catalog_put_job(ops->catalog, &row, NULL) == 0 ? row.id : 0;
}

void queue_drop(struct ops *ops, int64_t id)
{
    if (id)
        (void)catalog_drop_job(ops->catalog, id, NULL);
}

static void take_list(const js *object, const char *key, struct path_list *ret)
{
    const js *list = js_get(object, key);
    for (size_t i = 0; i < js_count(list); i++) {
        const char *text = js_text(js_at(list, i));
        path_list_push(ret, text ? text : "");
    }
}

static void take_job(void *context, const struct catalog_job *row)
{
    struct queue *queue = context;
    AUTO_JS js *object = NULL;
    if (!row->what || js_parse(row->what, strlen(row->what), &object, NULL) < 0)
        return;
    const char *what = js_get_text(object, "what"), *base = js_get_text(object, "base");
    bool known = false;
    for (int i = 0; i < QUEUE_WHATS; i++)
        known |= what && strcmp(what, what_names[i]) == 0;
    if (!known)
        return; /* of a newer version */
    struct queue_job *job = ARRAY_ADD(queue->jobs, queue->count, queue->cap);
    for (int i = 0; i < QUEUE_WHATS; i++)
        if (strcmp(what, what_names[i]) == 0)
            job->what = (enum queue_what)i;
    take_list(object, "models", &job->models);
    take_list(object, "names", &job->names);
    job->keep = js_get_bool(object, "keep");
    job->include_base = js_get_bool(object, "include_base");
    job->live = js_get_bool(object, "live");
    snprintf(job->base, sizeof job->base, "%s", base ? base : "");
    job->id = row->id;
    job->added = row->added;
    job->pid = (int)row->pid;
    job->running = row->born && born(row->pid) == row->born;
}

bool queue_keeps(int result)
{
    return result == ERR_CANCELLED || result == ERR_LOCKED || result == ERR_READONLY ||
           result == ERR_NOSPACE || result == ERR_BUSY;
}

int queue_read(struct ops *ops, struct queue *ret, struct err *err)
{
    *ret = (struct queue){0};
    return catalog_jobs(ops->catalog, take_job, ret, err);
}

/* Whether there is anything left to do for the model. */
static bool is_left(const struct queue_job *job, const struct library *library,
                    const struct lib_model *model)
{
    for (size_t f = 0; f < model->file_count; f++) {
        const struct lib_file *file = &library->files[model->files[f]];
        if (job->what == QUEUE_DELETE || (job->what == QUEUE_DECOMPRESS && file->store) ||
            (job->what == QUEUE_COMPRESS && file->state == FILE_PLAIN))
            return true;
    }
    return false;
}

static int resume_compress(struct ops *ops, const struct queue_job *job,
                           const struct library *library, const struct plan_request *request,
                           struct progress *progress, struct done_report *ret, struct err *err)
{
    struct plan *plan;
    int r = ops_plan(ops, library, request, progress, &plan, err);
    if (r < 0)
        return r;
    r = ops_compress(ops, library, plan, job->keep, progress, ret, err);
    plan_free(plan);
    return r;
}

static int resume_delete(struct ops *ops, const struct library *library, const int *models,
                         size_t count, bool live, struct progress *progress,
                         struct done_report *ret, struct err *err)
{
    struct delete_plan *plan;
    int r = ops_delete_plan(ops, library, models, count, live, &plan, err);
    if (r < 0)
        return r;
    r = ops_delete(ops, library, plan, progress, ret, err);
    delete_plan_free(plan);
    return r;
}

int queue_resume(struct ops *ops, struct queue_job *job, struct progress *progress,
                 struct done_report *ret, struct err *err)
{
    struct library *library;
    struct catalog_job own = {.id = job->id, .pid = getpid(), .born = born(getpid())};
    *ret = (struct done_report){0};
    ops_refresh(ops);
    int r = catalog_put_job(ops->catalog, &own, err);
    if (r == 0)
        r = ops_library(ops, &library, err);
    if (r < 0)
        return r;
    AUTO_FREE int *models = mem_alloc((job->models.count + 1) * sizeof *models);
    struct plan_request request = {.models = models,
                                   .base = NO_MODEL,
                                   .include_base = job->include_base,
                                   .live = job->live,
                                   .keep = job->keep};
    for (size_t i = 0; i < job->models.count; i++) {
        int model = library_find_id(library, job->models.paths[i]);
        if (model != NO_MODEL && is_left(job, library, &library->models[model]))
            models[request.count++] = model;
    }
    request.base = library_find_id(library, job->base);
    if (request.count && job->what == QUEUE_COMPRESS)
        r = resume_compress(ops, job, library, &request, progress, ret, err);
    else if (request.count && job->what == QUEUE_DECOMPRESS)
        r = ops_decompress(ops, library, models, request.count, NULL, progress, ret, err);
    else if (request.count)
        r = resume_delete(ops, library, models, request.count, job->live, progress, ret, err);
    library_unref(library);
    if (!request.count)
        buf_str(&ret->notes, "nothing is left to do for what was interrupted\n");
    if (!queue_keeps(r))
        queue_drop(ops, job->id);
    ops_refresh(ops);
    return r;
}
