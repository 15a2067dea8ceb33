/* SPDX-License-Identifier: MIT */
/*
 * What a front end with a main loop needs: scans, plans and store jobs in the background, and
 * their results as events. All functions are for the main thread; workers have contexts of
 * their own and touch nothing here.
 */
#ifndef TARE_OPS_SESSION_H
#define TARE_OPS_SESSION_H

#include "ops/delete.h"
#include "ops/delta.h"
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
    EVENT_JOB,        /* a job changed its state */
};

/* Owned by who took it: event_free, after taking what it wants to keep. */
struct event {
    enum event_kind kind;
    struct library *library; /* LIBRARY, PLAN: a reference of its own */
    struct plan *plan;
    struct delete_plan *deletion;
    struct duplicates *duplicates; /* allocated */
    struct delta_report *delta;    /* allocated; of the models */
    struct details *details;       /* the same */
    struct tensor_look *look;      /* the same */
    struct overview *overview;     /* allocated; of a LIBRARY */
    int model, base;
    bool keep;
    struct err err; /* code 0: all went well */
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
void session_plan(struct session *session, struct library *library,
                  const struct plan_request *request);
/* Looks for duplicates: EVENT_DUPLICATES. */
void session_duplicates(struct session *session, struct library *library);
/* Compares two models: EVENT_DELTA, for large ones first with a sampled report. */
void session_delta(struct session *session, struct library *library, int model, int base);
/* Reads the details of a model: EVENT_DETAILS; or of one tensor of it: EVENT_TENSOR. */
void session_details(struct session *session, struct library *library, int model);
void session_tensor(struct session *session, struct library *library, int model, const char *name,
                    size_t name_len);
/*
 * Writes a table, which it takes over, into a new file, as its name asks for: EVENT_EXPORT.
 */
void session_export(struct session *session, const char *path, struct table *table);
/* Takes over the plan. */
void session_compress(struct session *session, struct library *library, struct plan *plan,
                      bool keep);
void session_decompress(struct session *session, struct library *library, const int *models,
                        size_t count);
/* Asks for the plan of a deletion: EVENT_DELETE. Then carries one out, and takes it over. */
void session_plan_delete(struct session *session, struct library *library, const int *models,
                         size_t count);
void session_delete(struct session *session, struct library *library, struct delete_plan *deletion);
/* How many jobs earlier runs left undone, with their titles (escaped); starts them. */
size_t session_interrupted(struct session *session, struct path_list *titles);
void session_resume(struct session *session);
void session_verify(struct session *session, struct library *library, const int *models,
                    size_t count);

size_t session_job_count(const struct session *session);
const struct session_job *session_job(const struct session *session, size_t i);
/* Stops a running job after the file in flight; a queued one never starts. Off the queue then. */
void session_cancel(struct session *session, size_t i);
/* Whether anything runs or waits. */
bool session_works(const struct session *session);
/* Whether a store job runs or waits. */
bool session_busy(const struct session *session);

#endif
