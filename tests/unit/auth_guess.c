/*
 * auth/guess: the slow-down against guessing (reliability.md §3 rule 12).
 */
#include "auth/guess.h"

#include "core/auto.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int setup(void **state)
{
	*state = loam_guess_new();
	return 0;
}

static int teardown(void **state)
{
	loam_guess_free(*state);
	return 0;
}

static void fail_times(struct loam_guess *guess, const char *peer, const char *user, int times)
{
	for (int i = 0; i < times; i++)
		loam_guess_failed(guess, peer, user);
}

/* Seconds that the pair is held back, 0 when it is not. */
static int held(struct loam_guess *guess, const char *peer, const char *user)
{
	struct loam_err err = { 0 };
	if (loam_guess_check(guess, peer, user, &err) == 0)
		return 0;
	assert_int_equal(err.code, LOAM_E_LIMITED);
	const char *number = strstr(err.text, "again in ");
	assert_non_null(number);
	return (int)strtol(number + strlen("again in "), NULL, 10);
}

static void five_tries_are_free(void **state)
{
	fail_times(*state, "1.2.3.4", "alice", 5);
	assert_int_equal(held(*state, "1.2.3.4", "alice"), 0);
	loam_guess_failed(*state, "1.2.3.4", "alice");
	assert_int_not_equal(held(*state, "1.2.3.4", "alice"), 0);
}

/* A slow machine may be a second late. */
static void assert_about(int seconds, int expected)
{
	assert_in_range(seconds, expected - 1, expected);
}

static void each_further_one_doubles_the_wait_up_to_a_quarter_of_an_hour(void **state)
{
	fail_times(*state, "1.2.3.4", "alice", 6);
	assert_about(held(*state, "1.2.3.4", "alice"), 2);
	fail_times(*state, "1.2.3.4", "alice", 1);
	assert_about(held(*state, "1.2.3.4", "alice"), 4);
	fail_times(*state, "1.2.3.4", "alice", 3);
	assert_about(held(*state, "1.2.3.4", "alice"), 32);
	fail_times(*state, "1.2.3.4", "alice", 100);
	assert_about(held(*state, "1.2.3.4", "alice"), 900);
}

static void another_address_or_account_is_not_held(void **state)
{
	fail_times(*state, "1.2.3.4", "alice", 20);
	assert_int_equal(held(*state, "1.2.3.5", "alice"), 0);
	assert_int_equal(held(*state, "1.2.3.4", "bob"), 0);
	assert_int_equal(held(*state, "1.2.3.4", ""), 0);
}

static void an_address_that_tries_many_accounts_is_held(void **state)
{
	char user[32];
	for (int i = 0; i < 30; i++) {
		snprintf(user, sizeof(user), "user%d", i);
		loam_guess_failed(*state, "1.2.3.4", user);
		loam_guess_succeeded(*state, "1.2.3.4", "his own");
	}
	assert_int_equal(held(*state, "1.2.3.4", "alice"), 0);
	loam_guess_failed(*state, "1.2.3.4", "one more");
	assert_about(held(*state, "1.2.3.4", "alice"), 2);
	assert_int_equal(held(*state, "1.2.3.5", "alice"), 0);
}

static void addresses_of_one_ipv6_network_are_one(void **state)
{
	char peer[64];
	for (int i = 0; i < 6; i++) {
		snprintf(peer, sizeof(peer), "2001:db8:1:2::%x", i);
		loam_guess_failed(*state, peer, "alice");
	}
	assert_int_not_equal(held(*state, "2001:db8:1:2:ffff::1", "alice"), 0);
	assert_int_equal(held(*state, "2001:db8:1:3::1", "alice"), 0);
	assert_int_equal(held(*state, "::ffff:1.2.3.4", "alice"), 0);
}

static void a_success_forgets_the_failures(void **state)
{
	fail_times(*state, "1.2.3.4", "alice", 5);
	loam_guess_succeeded(*state, "1.2.3.4", "alice");
	fail_times(*state, "1.2.3.4", "alice", 5);
	assert_int_equal(held(*state, "1.2.3.4", "alice"), 0);
	loam_guess_succeeded(*state, "9.9.9.9", "nobody");
}

static void the_table_is_bounded_and_loses_the_quietest(void **state)
{
	char peer[32];
	fail_times(*state, "first", "alice", 6);
	fail_times(*state, "kept", "alice", 6);
	for (int i = 0; i < 9998; i++) {
		snprintf(peer, sizeof(peer), "10.0.%d.%d", i / 256, i % 256);
		loam_guess_failed(*state, peer, "alice");
	}
	assert_int_not_equal(held(*state, "first", "alice"), 0);
	loam_guess_failed(*state, "kept", "alice");
	loam_guess_failed(*state, "one more", "alice");
	assert_int_equal(held(*state, "first", "alice"), 0);
	assert_int_not_equal(held(*state, "kept", "alice"), 0);
}

static void long_names_are_cut_not_overrun(void **state)
{
	char text[500];
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	fail_times(*state, text, text, 6);
	assert_int_not_equal(held(*state, text, text), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(five_tries_are_free),
		TEST(each_further_one_doubles_the_wait_up_to_a_quarter_of_an_hour),
		TEST(another_address_or_account_is_not_held),
		TEST(an_address_that_tries_many_accounts_is_held),
		TEST(addresses_of_one_ipv6_network_are_one),
		TEST(a_success_forgets_the_failures),
		TEST(the_table_is_bounded_and_loses_the_quietest),
		TEST(long_names_are_cut_not_overrun),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
