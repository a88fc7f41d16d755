/*
 * core/clock: sleeps to a point or to a whole step, and waits that end at a point.
 */
#include "core/clock.h"

#include "core/auto.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define STEP_NS 5000000ull

static void a_sleep_ends_at_its_point_or_later(void **state)
{
	uint64_t until = loam_clock_ns() + STEP_NS;
	loam_clock_sleep_until_ns(until);
	assert_true(loam_clock_ns() >= until);
	loam_clock_sleep_until_ns(until); /* it has passed */
}

static void whatever_it_took_the_next_whole_step_is_waited_for(void **state)
{
	uint64_t from = loam_clock_ns();
	loam_clock_sleep_to_step_ns(from, STEP_NS);
	assert_true(loam_clock_ns() - from >= STEP_NS);
	loam_clock_sleep_to_step_ns(from, STEP_NS);
	assert_true(loam_clock_ns() - from >= 2 * STEP_NS);
}

struct gate {
	pthread_mutex_t lock;
	pthread_cond_t opened;
	bool open;
};

static void *open_it(void *arg)
{
	struct gate *gate = arg;
	loam_guard(&gate->lock);
	gate->open = true;
	pthread_cond_signal(&gate->opened);
	return NULL;
}

static void a_wait_ends_with_a_signal_or_at_its_point(void **state)
{
	struct gate gate = { .lock = PTHREAD_MUTEX_INITIALIZER,
			     .opened = PTHREAD_COND_INITIALIZER };
	loam_guard(&gate.lock);
	uint64_t until = loam_clock_ms() + 20;
	while (loam_cond_wait_until(&gate.opened, &gate.lock, until))
		;
	assert_true(loam_clock_ms() >= until);
	assert_false(loam_cond_wait_until(&gate.opened, &gate.lock, until));

	pthread_t thread;
	assert_int_equal(pthread_create(&thread, NULL, open_it, &gate), 0);
	until = loam_clock_ms() + 60000;
	while (!gate.open)
		assert_true(loam_cond_wait_until(&gate.opened, &gate.lock, until));
	pthread_join(thread, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_sleep_ends_at_its_point_or_later),
		cmocka_unit_test(whatever_it_took_the_next_whole_step_is_waited_for),
		cmocka_unit_test(a_wait_ends_with_a_signal_or_at_its_point),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
