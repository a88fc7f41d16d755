/*
 * core/pool: all jobs run, bounds hold, the end waits.
 */
#include "core/pool.h"

#include "core/auto.h"
#include "core/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static int counter;

static void count(void *arg)
{
	__atomic_add_fetch(&counter, *(int *)arg, __ATOMIC_RELAXED);
}

/* A job that runs until it is let go. */
struct gate {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	int inside;
	bool is_open;
};

static void pass(void *arg)
{
	struct gate *gate = arg;
	loam_guard(&gate->lock);
	gate->inside++;
	pthread_cond_broadcast(&gate->changed);
	while (!gate->is_open)
		pthread_cond_wait(&gate->changed, &gate->lock);
}

static void wait_inside(struct gate *gate, int wanted)
{
	loam_guard(&gate->lock);
	while (gate->inside < wanted)
		pthread_cond_wait(&gate->changed, &gate->lock);
}

static void open_gate(struct gate *gate)
{
	loam_guard(&gate->lock);
	gate->is_open = true;
	pthread_cond_broadcast(&gate->changed);
}

static void every_job_runs_once_before_the_pool_is_gone(void **state)
{
	struct loam_err err = { 0 };
	struct loam_pool *pool = NULL;
	int one = 1;
	counter = 0;
	assert_int_equal(loam_pool_new("test", 4, 3, &pool, &err), 0);
	for (int i = 0; i < 5000; i++)
		loam_pool_submit(pool, count, &one);
	loam_pool_free(pool);
	assert_int_equal(counter, 5000);
}

static void all_threads_work_at_once(void **state)
{
	struct loam_err err = { 0 };
	struct loam_pool *pool = NULL;
	struct gate gate = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, false };
	assert_int_equal(loam_pool_new("test", 3, 3, &pool, &err), 0);
	for (int i = 0; i < 3; i++)
		loam_pool_submit(pool, pass, &gate);
	wait_inside(&gate, 3);
	open_gate(&gate);
	loam_pool_free(pool);
}

static void a_full_queue_refuses_and_then_takes_again(void **state)
{
	struct loam_err err = { 0 };
	struct loam_pool *pool = NULL;
	struct gate gate = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, false };
	int one = 1;
	counter = 0;
	assert_int_equal(loam_pool_new("test", 1, 2, &pool, &err), 0);
	loam_pool_submit(pool, pass, &gate);
	wait_inside(&gate, 1);
	assert_true(loam_pool_try(pool, count, &one));
	assert_true(loam_pool_try(pool, count, &one));
	assert_false(loam_pool_try(pool, count, &one));
	open_gate(&gate);
	loam_pool_submit(pool, count, &one); /* waits for room */
	loam_pool_free(pool);
	assert_int_equal(counter, 3);
}

static void freeing_nothing_is_allowed(void **state)
{
	loam_pool_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_job_runs_once_before_the_pool_is_gone),
		cmocka_unit_test(all_threads_work_at_once),
		cmocka_unit_test(a_full_queue_refuses_and_then_takes_again),
		cmocka_unit_test(freeing_nothing_is_allowed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
