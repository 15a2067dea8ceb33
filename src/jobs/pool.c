/* SPDX-License-Identifier: MIT */
/* The thread pool. */
#include "jobs/pool.h"

#include "base/mem.h"

#include <pthread.h>

struct worker {
    struct pool *pool;
    pthread_t thread;
    unsigned index;
};

struct pool {
    pthread_mutex_t lock;
    pthread_cond_t added;    /* a task waits, or the end has come */
    pthread_cond_t taken;    /* the queue has room */
    pthread_cond_t finished; /* some task has run */
    struct task **ring;      /* capacity places; under lock */
    unsigned capacity, head, waiting;
    bool ending; /* under lock */
    unsigned threads;
    struct worker *workers;
};

static struct task *next_task(struct pool *pool)
{
    while (!pool->waiting && !pool->ending)
        pthread_cond_wait(&pool->added, &pool->lock);
    if (!pool->waiting)
        return NULL;
    struct task *task = pool->ring[pool->head];
    pool->head = (pool->head + 1) % pool->capacity;
    pool->waiting--;
    pthread_cond_signal(&pool->taken);
    return task;
}

static void *work(void *context)
{
    struct worker *worker = context;
    struct pool *pool = worker->pool;
    pthread_mutex_lock(&pool->lock);
    for (struct task *task; (task = next_task(pool));) {
        pthread_mutex_unlock(&pool->lock);
        task->run(task->context, worker->index);
        pthread_mutex_lock(&pool->lock);
        task->busy = false;
        pthread_cond_broadcast(&pool->finished);
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

struct pool *pool_new(unsigned threads, unsigned capacity)
{
    struct pool *pool = mem_zalloc(sizeof *pool);
    pool->capacity = capacity;
    pool->ring = mem_zalloc(capacity * sizeof *pool->ring);
    pool->workers = mem_zalloc(threads * sizeof *pool->workers);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->added, NULL);
    pthread_cond_init(&pool->taken, NULL);
    pthread_cond_init(&pool->finished, NULL);
    for (unsigned i = 0; i < threads; i++) {
        pool->workers[i] = (struct worker){.pool = pool, .index = i};
        if (pthread_create(&pool->workers[i].thread, NULL, work, &pool->workers[i]) != 0)
            break;
        pool->threads++;
    }
    if (!pool->threads)
        abort();
    return pool;
}

unsigned pool_threads(const struct pool *pool)
{
    return pool->threads;
}

void pool_submit(struct pool *pool, struct task *task)
{
    pthread_mutex_lock(&pool->lock);
    while (pool->waiting == pool->capacity)
        pthread_cond_wait(&pool->taken, &pool->lock);
    task->busy = true;
    pool->ring[(pool->head + pool->waiting++) % pool->capacity] = task;
    pthread_cond_signal(&pool->added);
    pthread_mutex_unlock(&pool->lock);
}

void pool_wait(struct pool *pool, struct task *task)
{
    pthread_mutex_lock(&pool->lock);
    while (task->busy)
        pthread_cond_wait(&pool->finished, &pool->lock);
    pthread_mutex_unlock(&pool->lock);
}

void pool_free(struct pool *pool)
{
    if (!pool)
        return;
    pthread_mutex_lock(&pool->lock);
    pool->ending = true;
    pthread_cond_broadcast(&pool->added);
    pthread_mutex_unlock(&pool->lock);
    for (unsigned i = 0; i < pool->threads; i++)
        pthread_join(pool->workers[i].thread, NULL);
    pthread_cond_destroy(&pool->finished);
    pthread_cond_destroy(&pool->taken);
    pthread_cond_destroy(&pool->added);
    pthread_mutex_destroy(&pool->lock);
    free(pool->workers);
    free(pool->ring);
    free(pool);
}
