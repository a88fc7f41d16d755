/*
 * The store that fails on purpose: its rules, in text and in a file.
 */
#include "core/auto.h"
#include "core/clock.h"
#include "fs/store/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static int open_rules(const char *rules, struct loam_store **out)
{
	struct loam_err err = { 0 };
	struct loam_store *inner;
	assert_int_equal(loam_store_mem_open(&inner, &err), 0);
	return loam_store_fault_open(inner, rules, out, &err);
}

static int put(struct loam_store *store, const char *key)
{
	struct loam_err err = { 0 };
	return store->ops->put(store, key, "x", 1, &err);
}

static int get(struct loam_store *store, const char *key)
{
	struct loam_err err = { 0 };
	char out[1];
	return store->ops->get(store, key, 0, out, 1, &err);
}

static void the_nth_call_fails(void **state)
{
	struct loam_store *store;
	assert_int_equal(open_rules("put:3:NO_SPACE,sync:1:IO", &store), 0);
	assert_int_equal(put(store, "a"), 0);
	assert_int_equal(put(store, "b"), 0);
	assert_int_equal(put(store, "c"), -LOAM_E_NO_SPACE);
	assert_int_equal(put(store, "c"), 0);
	struct loam_err err = { 0 };
	const char *keys[] = { "a" };
	assert_int_equal(store->ops->sync(store, keys, 1, &err), -LOAM_E_IO);
	loam_err_clear(&err);
	assert_int_equal(store->ops->sync(store, keys, 1, &err), 0);
	store->ops->free(store);
}

static void every_call_fails(void **state)
{
	struct loam_store *store;
	assert_int_equal(open_rules("get:every:UNAVAILABLE", &store), 0);
	assert_int_equal(put(store, "a"), 0);
	for (int i = 0; i < 5; i++)
		assert_int_equal(get(store, "a"), -LOAM_E_UNAVAILABLE);
	store->ops->free(store);
}

static void a_delay_only_waits(void **state)
{
	struct loam_store *store;
	assert_int_equal(open_rules("put:2:delay=60", &store), 0);
	assert_int_equal(put(store, "a"), 0);
	uint64_t start = loam_clock_ms();
	assert_int_equal(put(store, "b"), 0);
	assert_true(loam_clock_ms() - start >= 60);
	store->ops->free(store);
}

static void wrong_rules_are_refused(void **state)
{
	static const char *const bad[] = { "put",	   "put:1",	      "put:0:IO",
					   "put:-1:IO",	   "put:every:OK",    "put:every:NOSUCH",
					   "steal:1:IO",   "put:1:delay=",    "put:1:delay=1x",
					   "put:1:IO,",	   "put:1:IO,,get:1", "put:one:IO",
					   "put:1:IO:more" };
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(bad); i++) {
		struct loam_store *store = NULL;
		assert_int_equal(open_rules(bad[i], &store), -LOAM_E_INVALID);
		assert_null(store);
	}
}

static void write_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static void a_rule_file_switches_faults_on_and_off(void **state)
{
	char path[] = "/tmp/loam-fault-XXXXXX";
	close(mkstemp(path));
	unlink(path);
	loam_auto_free char *rules = loam_xasprintf("@%s", path);
	struct loam_store *store;
	assert_int_equal(open_rules(rules, &store), 0);

	assert_int_equal(put(store, "a"), 0);
	write_file(path, "put:2:IO\n");
	assert_int_equal(put(store, "b"), 0);
	assert_int_equal(put(store, "c"), -LOAM_E_IO);
	assert_int_equal(put(store, "c"), 0);
	write_file(path, "put:every:NO_SPACE\n");
	assert_int_equal(put(store, "d"), -LOAM_E_NO_SPACE);
	write_file(path, "nonsense\n");
	assert_int_equal(put(store, "d"), -LOAM_E_INVALID);
	unlink(path);
	assert_int_equal(put(store, "d"), 0);
	store->ops->free(store);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_nth_call_fails),
		cmocka_unit_test(every_call_fails),
		cmocka_unit_test(a_delay_only_waits),
		cmocka_unit_test(wrong_rules_are_refused),
		cmocka_unit_test(a_rule_file_switches_faults_on_and_off),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
