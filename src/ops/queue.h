/* SPDX-License-Identifier: MIT */
/*
 * The queue: work that was asked for is written down in the catalog until it is done, so that
 * what a hang-up, a signal or a crash interrupts can go on later (tare jobs --resume).
 */
#ifndef TARE_OPS_QUEUE_H
#define TARE_OPS_QUEUE_H

#include "ops/compress.h"

enum queue_what { QUEUE_COMPRESS, QUEUE_DECOMPRESS, QUEUE_DELETE, QUEUE_WHATS };

struct queue_job {
    int64_t id; /* 0: not written down */
    enum queue_what what;
    struct path_list models; /* ids */
    struct path_list names;  /* theirs, for people; foreign bytes */
    bool keep, include_base, live;
    char base[MODEL_ID]; /* "": as declared */
    int64_t added;       /* Unix seconds */
    int pid;             /* of the process that does it, or did */
    bool running;        /* that process lives */
};
void queue_job_release(struct queue_job *job);
/* "compress", "decompress", "delete" */
const char *queue_what_name(enum queue_what what);

/* A job of this process for these models of the library: release it. request may be NULL. */
struct queue_job queue_job_for(enum queue_what what, const struct library *library,
                               const int *models, size_t count, const struct plan_request *request);

/* Writes the job down; where that fails it has no id, and the work goes on without. */
void queue_add(struct ops *ops, struct queue_job *job);
/* The job is done, failed or given up. id 0 is nothing. */
void queue_drop(struct ops *ops, int64_t id);

/* Whether a job with this result stays on the queue: stopped, or something was in its way. */
bool queue_keeps(int result);

struct queue {
    struct queue_job *jobs;
    size_t count, cap;
};
int queue_read(struct ops *ops, struct queue *ret, struct err *err);
void queue_release(struct queue *queue);

/*
 * Does an interrupted job in this process: it is planned anew, for what is left of it. Off the
 * queue afterwards, unless it is interrupted again. Nothing left to do is no error.
 */
int queue_resume(struct ops *ops, struct queue_job *job, struct progress *progress,
                 struct done_report *ret, struct err *err);

#endif
