/*
 * server/api_rate: so many calls a minute, each principal by itself.
 */
#include "server/api_rate.h"

#include "core/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define START_MS 5000000u

static int count(struct loam_api_rate *rate, const char *who, uint64_t now_ms)
{
	struct loam_err err = { 0 };
	return loam_api_rate_count(rate, who, now_ms, &err);
}

static void the_limit_is_reached_and_not_passed(void **state)
{
	struct loam_api_rate *rate = loam_api_rate_new();
	for (int i = 0; i < LOAM_API_CALLS_PER_MINUTE; i++)
		assert_int_equal(count(rate, "alice", START_MS), 0);
	assert_int_equal(count(rate, "alice", START_MS), -LOAM_E_LIMITED);
	loam_api_rate_free(rate);
}

static void calls_come_back_evenly(void **state)
{
	struct loam_api_rate *rate = loam_api_rate_new();
	const uint64_t one_ms = 60000 / LOAM_API_CALLS_PER_MINUTE;
	for (int i = 0; i < LOAM_API_CALLS_PER_MINUTE; i++)
		count(rate, "alice", START_MS);
	assert_int_equal(count(rate, "alice", START_MS + one_ms - 1), -LOAM_E_LIMITED);
	assert_int_equal(count(rate, "alice", START_MS + one_ms), 0);
	assert_int_equal(count(rate, "alice", START_MS + one_ms), -LOAM_E_LIMITED);
	for (int i = 0; i < LOAM_API_CALLS_PER_MINUTE; i++)
		assert_int_equal(count(rate, "alice", START_MS + 120000), 0);
	assert_int_equal(count(rate, "alice", START_MS + 120000), -LOAM_E_LIMITED);
	loam_api_rate_free(rate);
}

static void others_are_not_held_back(void **state)
{
	struct loam_api_rate *rate = loam_api_rate_new();
	int free_ones = 0;
	char who[16];
	while (count(rate, "alice", START_MS) == 0)
		;
	/* Rows are shared by chance: of a hundred others nearly all have one of their own. */
	for (int i = 0; i < 100; i++) {
		snprintf(who, sizeof(who), "user%d", i);
		free_ones += count(rate, who, START_MS) == 0;
	}
	assert_true(free_ones >= 90);
	loam_api_rate_free(rate);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_limit_is_reached_and_not_passed),
		cmocka_unit_test(calls_come_back_evenly),
		cmocka_unit_test(others_are_not_held_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
