/*
 * auth/password: yescrypt hashes, and how much of that work may be asked for at once.
 */
#include "auth/password.h"

#include "core/auto.h"
#include "core/limits.h"

#include <crypt.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define PASSWORD "correct horse battery"

static char hash[LOAM_PASSWORD_HASH_BYTES];

static int make_hash(void **state)
{
	struct loam_err err = { 0 };
	return loam_password_hash(PASSWORD, hash, &err);
}

static int check(const char *password, const char *against)
{
	struct loam_err err = { 0 };
	return loam_password_check(password, against, false, &err);
}

static void the_right_password_is_right_and_others_are_wrong(void **state)
{
	assert_memory_equal(hash, "$y$", 3);
	assert_int_equal(check(PASSWORD, hash), 1);
	assert_int_equal(check("correct horse batterz", hash), 0);
	assert_int_equal(check(PASSWORD " ", hash), 0);
	assert_int_equal(check("", hash), 0);
}

static void the_same_password_has_another_hash_each_time(void **state)
{
	char second[LOAM_PASSWORD_HASH_BYTES];
	struct loam_err err = { 0 };
	assert_int_equal(loam_password_hash(PASSWORD, second, &err), 0);
	assert_string_not_equal(hash, second);
	assert_int_equal(check(PASSWORD, second), 1);
}

static void locked_empty_and_damaged_hashes_let_nobody_in(void **state)
{
	loam_auto_free char *locked = loam_xasprintf("!%s", hash);
	loam_auto_free char *cut = loam_xstrndup(hash, strlen(hash) - 1);
	loam_auto_free char *longer = loam_xasprintf("%sx", hash);
	const char *const hashes[] = { NULL,   "",  "!",    "*",   "!!",
				       locked, cut, longer, "$y$", "$y$j9T$" };
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(hashes); i++) {
		assert_int_equal(check(PASSWORD, hashes[i]), 0);
		assert_int_equal(check("", hashes[i]), 0);
	}
}

/* A hash of another scheme or cost, made by crypt(3) for the very password. */
static void expect_foreign_is_refused(const char *scheme, unsigned long cost)
{
	char setting[CRYPT_GENSALT_OUTPUT_SIZE];
	static const char random[] = "0123456789abcdef0123456789abcdef";
	assert_non_null(crypt_gensalt_rn(scheme, cost, random, 32, setting, sizeof(setting)));
	loam_auto_free struct crypt_data *scratch = loam_xnew(struct crypt_data);
	const char *foreign = crypt_rn(PASSWORD, setting, scratch, sizeof(*scratch));
	assert_non_null(foreign);
	assert_int_equal(check(PASSWORD, foreign), 0);
}

static void hashes_of_another_scheme_or_cost_are_refused(void **state)
{
	expect_foreign_is_refused("$6$", 5000);
	expect_foreign_is_refused("$5$", 5000);
	expect_foreign_is_refused("$1$", 0);
	expect_foreign_is_refused("$y$", 1);
	expect_foreign_is_refused("$y$", 6);
}

/* Processor time of this thread: others on the machine do not count. */
static uint64_t spent_ns(void)
{
	struct timespec now;
	assert_int_equal(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now), 0);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static uint64_t shortest_us(const char *against)
{
	uint64_t shortest = UINT64_MAX;
	for (int i = 0; i < 5; i++) {
		uint64_t from = spent_ns();
		check("wrong wrong wrong", against);
		uint64_t took = spent_ns() - from;
		shortest = took < shortest ? took : shortest;
	}
	return shortest / 1000;
}

/* Not a timed test of our speed: the two are compared with each other. */
static void an_unknown_user_costs_what_a_wrong_password_costs(void **state)
{
	uint64_t wrong = shortest_us(hash);
	assert_true(shortest_us(NULL) * 2 > wrong);
	assert_true(shortest_us("!") * 2 > wrong);
	assert_true(shortest_us("$1$x$y") * 2 > wrong);
}

static void lengths_are_bounded(void **state)
{
	char out[LOAM_PASSWORD_HASH_BYTES] = "untouched", text[LOAM_PASSWORD_BYTES_MAX + 2];
	struct loam_err err = { 0 };
	assert_int_equal(loam_password_hash("elevenbytes", out, &err), -LOAM_E_UNPROCESSABLE);
	loam_err_clear(&err);
	memset(text, 'x', sizeof(text));
	text[LOAM_PASSWORD_BYTES_MAX + 1] = '\0';
	assert_int_equal(loam_password_hash(text, out, &err), -LOAM_E_UNPROCESSABLE);
	assert_int_equal(check(text, hash), 0);
	assert_string_equal(out, "untouched");
	/* crypt(3) itself takes 511 bytes */
	static const size_t lengths[] = { 511, 512, LOAM_PASSWORD_BYTES_MAX };
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(lengths); i++) {
		loam_auto_free char *longer = loam_xstrndup(text, lengths[i]);
		loam_err_clear(&err);
		assert_int_equal(loam_password_hash(longer, out, &err), 0);
		assert_int_equal(check(longer, out), 1);
		longer[lengths[i] - 1] = 'y';
		assert_int_equal(check(longer, out), 0);
	}
}

/* By crypt(3) itself; NULL: it refuses. free() */
static char *sha512(const char *password, const char *setting)
{
	loam_auto_free struct crypt_data *scratch = loam_xnew(struct crypt_data);
	const char *made = crypt_rn(password, setting, scratch, sizeof(*scratch));
	return made ? loam_xstrdup(made) : NULL;
}

static int check_older(const char *password, const char *against)
{
	struct loam_err err = { 0 };
	return loam_password_check(password, against, true, &err);
}

static void a_sha512crypt_hash_is_kept_within_one_of_ours(void **state)
{
	static const char *const settings[] = { "$6$a$", "$6$abcdefgh$", "$6$abcdefghijklmnop$" };
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(settings); i++) {
		char kept[LOAM_PASSWORD_HASH_BYTES], again[LOAM_PASSWORD_HASH_BYTES];
		struct loam_err err = { 0 };
		loam_auto_free char *foreign = sha512(PASSWORD, settings[i]);
		assert_int_equal(loam_password_hash_kind(foreign), LOAM_HASH_OLDER);
		assert_int_equal(loam_password_hash_keep(foreign, kept, &err), 0);
		assert_true(loam_password_is_older(kept));
		assert_null(strchr(kept, ':'));
		/* what stands there does not hold the old digest, and is salted anew */
		assert_null(strstr(kept, strrchr(foreign, '$') + 1));
		assert_int_equal(loam_password_hash_keep(foreign, again, &err), 0);
		assert_string_not_equal(kept, again);
		assert_int_equal(check_older(PASSWORD, kept), 1);
		assert_int_equal(check_older("correct horse batterz", kept), 0);
		assert_int_equal(check_older(foreign, kept), 0);
		assert_int_equal(check_older("", kept), 0);
		assert_int_equal(check(PASSWORD, kept), 0); /* nobody is said to have one */
		loam_auto_free char *locked = loam_xasprintf("!%s", kept);
		assert_int_equal(check_older(PASSWORD, locked), 0);
		kept[strlen(kept) - 1] ^= 1;
		assert_int_equal(check_older(PASSWORD, kept), 0);
	}
	/* the old hash itself opens nothing, also as it stood on the other host */
	loam_auto_free char *plain = sha512(PASSWORD, "$6$abcdefgh$");
	assert_int_equal(check_older(PASSWORD, plain), 0);
	assert_int_equal(check_older(PASSWORD, hash), 1);
	assert_int_equal(check_older("wrong wrong wrong", hash), 0);
}

static void damaged_older_hashes_let_nobody_in(void **state)
{
	loam_auto_free char *no_salt = loam_xasprintf("$loam6$%s", hash);
	loam_auto_free char *long_salt = loam_xasprintf("$loam6$abcdefghijklmnopq%s", hash);
	loam_auto_free char *twice = loam_xasprintf("$loam6$ab$loam6$ab%s", hash);
	const char *const hashes[] = { no_salt,	    long_salt,		twice,
				       "$loam6$",   "$loam6$ab",	"$loam6$ab$y$",
				       "$loam6$:$", "$loam6$ab$y$jFT$", "$loam6$ab$6$ab$x" };
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(hashes); i++)
		assert_int_equal(check_older(PASSWORD, hashes[i]), 0);
}

static uint64_t shortest_older_us(const char *against)
{
	uint64_t shortest = UINT64_MAX;
	for (int i = 0; i < 5; i++) {
		uint64_t from = spent_ns();
		check_older("wrong wrong wrong", against);
		uint64_t took = spent_ns() - from;
		shortest = took < shortest ? took : shortest;
	}
	return shortest / 1000;
}

/* acl-5: neither the work nor, by the whole steps, the time says whose hash is an older one. */
static void an_older_hash_costs_what_others_cost(void **state)
{
	char kept[LOAM_PASSWORD_HASH_BYTES];
	struct loam_err err = { 0 };
	loam_auto_free char *foreign = sha512(PASSWORD, "$6$abcdefghijklmnop$");
	assert_int_equal(loam_password_hash_keep(foreign, kept, &err), 0);
	uint64_t older = shortest_older_us(kept);
	assert_true(shortest_older_us(NULL) * 4 > older * 3);
	assert_true(shortest_older_us(hash) * 4 > older * 3);
	assert_true(shortest_older_us("!") * 4 > older * 3);
	assert_true(older * 4 > shortest_older_us(NULL) * 3);
}

#define CALLERS 40
static atomic_int answered, busy;

/* What an import may take over (acl-5): a line of shadow with anything else is a locked account. */
static void only_our_scheme_and_cost_is_taken_over(void **state)
{
	char mine[LOAM_PASSWORD_HASH_BYTES], other[LOAM_PASSWORD_HASH_BYTES + 8];
	struct loam_err err = { 0 };
	assert_int_equal(loam_password_hash("a password of some length", mine, &err), 0);
	assert_true(loam_password_hash_is_ours(mine));
	const char *const others[] = { "",
				       "!",
				       "*",
				       "x",
				       "$1$abcdefgh$abcdefghijklmnopqrstuv",
				       "abJnggxhB/yWI",
				       "$6$salt$abcdef",
				       "$y$",
				       "$y$j9T$",
				       "$y$j9T$$",
				       "$y$j9T$salt$short",
				       "$y$jFT$abcdefghijklmnopqrstu.$"
				       "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" };
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		assert_int_equal(loam_password_hash_kind(others[i]), LOAM_HASH_NONE);
	loam_auto_free char *old = sha512(PASSWORD, "$6$abcdefgh$");
	loam_auto_free char *dear = sha512(PASSWORD, "$6$rounds=100000$abcdefgh$");
	assert_int_equal(loam_password_hash_kind(dear), LOAM_HASH_NONE);
	assert_int_equal(loam_password_hash_kind(old), LOAM_HASH_OLDER);
	old[strlen(old) - 1] = '\0';
	assert_int_equal(loam_password_hash_kind(old), LOAM_HASH_NONE);
	assert_int_equal(loam_password_hash_keep(old, other, &err), -LOAM_E_UNPROCESSABLE);
	snprintf(other, sizeof(other), "%s:0", mine);
	assert_false(loam_password_hash_is_ours(other));
	snprintf(other, sizeof(other), "!%s", mine);
	assert_false(loam_password_hash_is_ours(other));
	mine[strlen(mine) - 1] = ':';
	assert_false(loam_password_hash_is_ours(mine));
}

static void *call(void *arg)
{
	struct loam_err err = { 0 };
	int rc = loam_password_check("wrong wrong wrong", hash, false, &err);
	if (rc == 0)
		atomic_fetch_add(&answered, 1);
	else if (rc == -LOAM_E_BUSY)
		atomic_fetch_add(&busy, 1);
	return NULL;
}

static void forty_at_once_are_answered_or_told_to_come_back(void **state)
{
	pthread_t threads[CALLERS];
	for (size_t i = 0; i < CALLERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, call, NULL), 0);
	for (size_t i = 0; i < CALLERS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(answered + busy, CALLERS);
	assert_true(answered >= 18); /* two run, sixteen wait */
	assert_int_equal(check(PASSWORD, hash), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_right_password_is_right_and_others_are_wrong),
		cmocka_unit_test(the_same_password_has_another_hash_each_time),
		cmocka_unit_test(locked_empty_and_damaged_hashes_let_nobody_in),
		cmocka_unit_test(hashes_of_another_scheme_or_cost_are_refused),
		cmocka_unit_test(an_unknown_user_costs_what_a_wrong_password_costs),
		cmocka_unit_test(lengths_are_bounded),
		cmocka_unit_test(a_sha512crypt_hash_is_kept_within_one_of_ours),
		cmocka_unit_test(damaged_older_hashes_let_nobody_in),
		cmocka_unit_test(an_older_hash_costs_what_others_cost),
		cmocka_unit_test(only_our_scheme_and_cost_is_taken_over),
		cmocka_unit_test(forty_at_once_are_answered_or_told_to_come_back),
	};
	return cmocka_run_group_tests(tests, make_hash, NULL);
}
