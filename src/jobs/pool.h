/* SPDX-License-Identifier: MIT */
/*
 * A pool of threads behind a bounded queue. Adding blocks while the queue is full: the queue's
 * capacity, together with the tasks that the caller owns, is the memory budget.
 */
#ifndef TARE_JOBS_POOL_H
#define TARE_JOBS_POOL_H

#include <stdbool.h>

struct pool;

/* One piece of work. The caller owns it and fills run and context; the rest is the pool's. */
struct task {
    void (*run)(void *context, unsigned worker); /* worker: 0 … threads-1 */
    void *context;
    bool busy; /* under the pool's lock */
};

/* threads ≥ 1 workers, capacity ≥ 1 waiting tasks. */
struct pool *pool_new(unsigned threads, unsigned capacity);
unsigned pool_threads(const struct pool *pool);

/* Hands the task to a worker; blocks while capacity tasks wait. Not from within a task. */
void pool_submit(struct pool *pool, struct task *task);

/* Blocks until the task has run; returns at once where it was never submitted. */
void pool_wait(struct pool *pool, struct task *task);

/* Runs what was submitted to its end, then ends the threads. Accepts NULL. */
void pool_free(struct pool *pool);

#endif
