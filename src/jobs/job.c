/* SPDX-License-Identifier: MIT */
/* Background jobs and the result queue. */
#include "jobs/job.h"

#include "base/mem.h"

#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

struct results {
    pthread_mutex_t lock;
    void **values; /* under lock */
    size_t count, cap;
    int pipe[2];
};

struct job {
    pthread_t thread;
    void *(*run)(void *context, struct progress *progress);
    void *context;
    struct results *results;
    struct progress progress;
};

struct results *results_new(void)
{
    struct results *results = mem_zalloc(sizeof *results);
    pthread_mutex_init(&results->lock, NULL);
    if (pipe2(results->pipe, O_CLOEXEC | O_NONBLOCK) < 0)
        abort();
    return results;
}

int results_fd(const struct results *results)
{
    return results->pipe[0];
}

void results_push(struct results *results, void *value)
{
    pthread_mutex_lock(&results->lock);
    *ARRAY_ADD(results->values, results->count, results->cap) = value;
    pthread_mutex_unlock(&results->lock);
    /* A full pipe wakes the reader as well. */
    ssize_t ignored = write(results->pipe[1], "", 1);
    (void)ignored;
}

void *results_take(struct results *results)
{
    char bytes[64];
    void *value = NULL;
    pthread_mutex_lock(&results->lock);
    if (results->count) {
        value = results->values[0];
        results->count--;
        for (size_t i = 0; i < results->count; i++)
            results->values[i] = results->values[i + 1];
    }
    if (!results->count)
        while (read(results->pipe[0], bytes, sizeof bytes) > 0)
            ;
    pthread_mutex_unlock(&results->lock);
    return value;
}

void results_free(struct results *results)
{
    if (!results)
        return;
    close(results->pipe[0]);
    close(results->pipe[1]);
    pthread_mutex_destroy(&results->lock);
    free(results->values);
    free(results);
}

static void *work(void *context)
{
    struct job *job = context;
    results_push(job->results, job->run(job->context, &job->progress));
    return NULL;
}

struct job *job_start(void *(*run)(void *context, struct progress *progress), void *context,
                      struct results *results)
{
    struct job *job = mem_zalloc(sizeof *job);
    job->run = run;
    job->context = context;
    job->results = results;
    if (pthread_create(&job->thread, NULL, work, job) != 0)
        abort();
    return job;
}

struct progress *job_progress(struct job *job)
{
    return &job->progress;
}

void job_cancel(struct job *job)
{
    atomic_store(&job->progress.cancel, true);
}

void job_free(struct job *job)
{
    if (job)
        pthread_join(job->thread, NULL);
    free(job);
}
