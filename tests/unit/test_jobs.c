/* SPDX-License-Identifier: MIT */
#include "tests/unit/helpers.h"

#include "jobs/job.h"
#include "jobs/pool.h"

#include <poll.h>

struct count {
    _Atomic int runs;
    _Atomic int now, most;
};

static void count_run(void *context, unsigned worker)
{
    struct count *count = context;
    (void)worker;
    int now = atomic_fetch_add(&count->now, 1) + 1;
    int most = atomic_load(&count->most);
    while (now > most && !atomic_compare_exchange_weak(&count->most, &most, now))
        ;
    atomic_fetch_add(&count->runs, 1);
    atomic_fetch_sub(&count->now, 1);
}

static void pool_submit__more_tasks_than_room__all_run_once(void **state)
{
    (void)state;
    enum { TASKS = 500 };
    struct count count = {0};
    struct pool *pool = pool_new(3, 4);
    struct task tasks[TASKS] = {0};
    for (int i = 0; i < TASKS; i++) {
        tasks[i] = (struct task){.run = count_run, .context = &count};
        pool_submit(pool, &tasks[i]);
    }
    for (int i = 0; i < TASKS; i++)
        pool_wait(pool, &tasks[i]);
    assert_int_equal(count.runs, TASKS);
    assert_true(count.most <= 3);
    pool_free(pool);
}

static void pool_free__tasks_still_waiting__are_run(void **state)
{
    (void)state;
    struct count count = {0};
    struct task tasks[8] = {0};
    struct pool *pool = pool_new(1, 8);
    for (int i = 0; i < 8; i++) {
        tasks[i] = (struct task){.run = count_run, .context = &count};
        pool_submit(pool, &tasks[i]);
    }
    pool_free(pool);
    assert_int_equal(count.runs, 8);
}

static void *add_up(void *context, struct progress *progress)
{
    for (int i = 0; i < 1000; i++)
        progress_add(progress, 1);
    return context;
}

static void job_start__result__comes_through_the_queue(void **state)
{
    (void)state;
    int value = 7;
    struct results *results = results_new();
    struct job *job = job_start(add_up, &value, results);
    struct pollfd wait = {.fd = results_fd(results), .events = POLLIN};
    assert_int_equal(poll(&wait, 1, 10000), 1);
    assert_ptr_equal(results_take(results), &value);
    assert_null(results_take(results));
    assert_int_equal(poll(&wait, 1, 0), 0);
    assert_int_equal(job_progress(job)->done, 1000);
    job_free(job);
    results_free(results);
}

static void *until_cancelled(void *context, struct progress *progress)
{
    (void)context;
    while (progress_check(progress, NULL) == 0)
        ;
    return NULL;
}

static void job_cancel__running_job__ends(void **state)
{
    (void)state;
    struct results *results = results_new();
    struct job *job = job_start(until_cancelled, NULL, results);
    job_cancel(job);
    job_free(job);
    results_free(results);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pool_submit__more_tasks_than_room__all_run_once),
        cmocka_unit_test(pool_free__tasks_still_waiting__are_run),
        cmocka_unit_test(job_start__result__comes_through_the_queue),
        cmocka_unit_test(job_cancel__running_job__ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
