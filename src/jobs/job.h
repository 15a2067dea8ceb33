/* SPDX-License-Identifier: MIT */
/*
 * Background jobs and the way their results come home: a job runs on a thread of its own and
 * returns a value; the value goes into a queue and one byte into a pipe; the main loop wakes on
 * the pipe and takes it. Workers touch nothing of the main thread's.
 */
#ifndef TARE_JOBS_JOB_H
#define TARE_JOBS_JOB_H

#include "base/progress.h"

/* Results on their way to the main thread. */
struct results;

struct results *results_new(void);
/* Readable while results wait. For poll only. */
int results_fd(const struct results *results);
/* From any thread. The value is the queue's until it is taken. */
void results_push(struct results *results, void *value);
/* The oldest value, or NULL. Empties the pipe when nothing is left. */
void *results_take(struct results *results);
/* Accepts NULL; values left inside are not freed. */
void results_free(struct results *results);

struct job;

/*
 * Starts run(context, progress) on a new thread; what it returns is pushed to results.
 * The progress lives as long as the job.
 */
struct job *job_start(void *(*run)(void *context, struct progress *progress), void *context,
                      struct results *results);
struct progress *job_progress(struct job *job);
/* Asks the job to stop at its next safe point. */
void job_cancel(struct job *job);
/* Waits for the thread's end. Accepts NULL. */
void job_free(struct job *job);

#endif
