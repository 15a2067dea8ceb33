/* SPDX-License-Identifier: MIT */
/*
 * What a front end with a main loop needs: scans, plans and store jobs in the background, and
 * their results as events. All functions are for the main thread; workers have contexts of
 * their own and touch nothing here.
 */
#ifndef TARE_OPS_SESSION_H
#define TARE_OPS_SESSION_H

#include "ops/delete.h"
#include "ops/delta_map.h"
#include "ops/details.h"
#include "ops/duplicates.h"
#include "ops/overview.h"
#include "ops/table.h"

struct session;

enum event_kind {
    EVENT_LIBRARY,    /* a new snapshot */
    EVENT_PLAN,       /* a plan that was asked for, or why there is none */
    EVENT_DELETE,     /* the same for a plan of a deletion */
    EVENT_DELTA,      /* the same for a comparison */
    EVENT_DUPLICATES, /* and for a search for duplicates */
    EVENT_DETAILS,    /* and for the details of a model */
    EVENT_TENSOR,     /* and for one tensor of it */
    EVENT_EXPORT,     /* a table was written, or why not */
    EVENT_QUEUE,      /* what earlier runs left undone */
    EVENT_JOB,        /* a job changed its state */
};

/* Owned by who took it: event_free, after taking what it wants to keep. */
struct event {
    enum event_kind kind;
    uint64_t job;            /* whose answer it is */
    struct library *library; /* LIBRARY, and what the answer is about: a reference of its own */
    struct plan *plan;
    struct delete_plan *deletion;
    struct duplicates *duplicates; /* allocated */
    struct delta_report *delta;    /* allocated; of the models */
    struct delta_map map;          /* of delta */
    struct details *details;       /* the same */
    struct tensor_look *look;      /* the same */
    struct overview *overview;     /* allocated; of a LIBRARY */
    int model, base;
    char *name;               /* of a TENSOR; the path of an EXPORT */
    struct path_list waiting; /* of a QUEUE: titles of what was left undone, escaped */
    bool resume;              /* of a QUEUE: it was to be put in line */
    size_t resumed;           /* jobs that were */
    struct err err;           /* code 0: all went well */
};
void event_free(struct event *event); /* accepts NULL */

enum job_kind {
    JOB_SCAN,
    JOB_PLAN,
    JOB_DELETE_PLAN,
    JOB_DELTA,
    JOB_DUPLICATES,
    JOB_DETAILS,
    JOB_TENSOR,
    JOB_EXPORT,
    JOB_QUEUE,
    JOB_ESTIMATE, /* what compressing would free, after something has changed */
    JOB_COMPRESS,
    JOB_DECOMPRESS,
    JOB_DELETE,
    JOB_RESUME,
    JOB_VERIFY
};
enum job_state { JOB_QUEUED, JOB_RUNNING, JOB_DONE, JOB_FAILED, JOB_CANCELLED };

/* A job as the Jobs tab shows it. */
struct session_job {
    uint64_t id; /* from 1 on, never used twice */
    enum job_kind kind;
    enum job_state state;
    char *title;
    struct progress *progress; /* while running, else NULL */
    double started, seconds;
    struct buf log; /* lines, escaped */
    int64_t freed;  /* bytes; of a compress that is done */
};

struct session *session_new(const struct ops_options *options);
/*
 * Asks what runs to stop at its next safe point, waits for it, and frees everything. What was not
 * done stays on the queue.
 */
void session_free(struct session *session);

/* Readable while events wait. */
int session_fd(const struct session *session);
/* The next event, or NULL. Jobs move on in here. */
struct event *session_next(struct session *session);

/* The index as it is, without a scan: for the first screen. */
int session_library(struct session *session, struct library **ret, struct err *err);

void session_scan(struct session *session, const char *const *paths);

/*
 * Questions: each returns the id of its job, and the answer is an event with that id. A question
 * that nobody waits for any more is cancelled (session_cancel).
 */
/* EVENT_PLAN. */
uint64_t session_plan(struct session *session, struct library *library,
                      const struct plan_request *request);
/* Looks for duplicates: EVENT_DUPLICATES. */
uint64_t session_duplicates(struct session *session, struct library *library);
/* Compares two models: EVENT_DELTA, for large ones first with a sampled report. */
uint64_t session_delta(struct session *session, struct library *library, int model, int base);
/* Reads the details of a model: EVENT_DETAILS; or of one tensor of it: EVENT_TENSOR. */
uint64_t session_details(struct session *session, struct library *library, int model);
uint64_t session_tensor(struct session *session, struct library *library, int model,
                        const char *name, size_t name_len);
/* What deleting the models would mean: EVENT_DELETE. */
uint64_t session_plan_delete(struct session *session, struct library *library, const int *models,
                             size_t count);
/* What earlier runs left undone: EVENT_QUEUE; with resume it is put in line, too. */
uint64_t session_queue(struct session *session, bool resume);

/*
 * Writes a table, which it takes over, into a new file, as its name asks for: EVENT_EXPORT.
 */
void session_export(struct session *session, const char *path, struct table *table);
/* Takes over the plan. */
void session_compress(struct session *session, struct library *library, struct plan *plan,
                      bool keep);
void session_decompress(struct session *session, struct library *library, const int *models,
                        size_t count);
/* Takes over the plan. */
void session_delete(struct session *session, struct library *library, struct delete_plan *deletion);
void session_verify(struct session *session, struct library *library, const int *models,
                    size_t count);

size_t session_job_count(const struct session *session);
const struct session_job *session_job(const struct session *session, size_t i);
/* Where the job of this id stands, or -1: it is not there any more. Of id 0, -1 at once. */
int session_find(const struct session *session, uint64_t id);
/*
 * Stops a running job after the file in flight; a queued one never starts. Off the queue then.
 * What is not there any more is passed over.
 */
void session_cancel(struct session *session, uint64_t id);
/* Whether anything runs or waits. */
bool session_works(const struct session *session);
/* Whether a store job runs or waits. */
bool session_busy(const struct session *session);

#endif
