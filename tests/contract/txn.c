/*
 * Transactions keep their promise over every engine: no update of many threads is lost, whatever is
 * guessed, and names that are not text come back (tests/support/engines.c).
 */
#include "core/auto.h"
#include "fs/meta/meta_internal.h"
#include "tests/support/engines.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define THREADS	   8
#define INCREMENTS 50
#define INO	   5
#define RAW_NAME   "\xff\xfe\r\n $\xc3\x28"

static struct loam_name raw_name(void)
{
	return (struct loam_name){ .data = RAW_NAME, .bytes = sizeof(RAW_NAME) - 1 };
}

/* Adds one to the length of an inode, one name to a directory, one record to a chunk. */
static int grow(struct loam_txn *txn, void *arg, struct loam_err *err)
{
	struct loam_attr attr = { .type = LOAM_TYPE_FILE, .nlink = 1 };
	struct loam_dentry dentry = { .type = LOAM_TYPE_FILE, .ino = INO };
	loam_txn_want_dentry(txn, LOAM_INO_ROOT, raw_name());
	loam_txn_want_attr(txn, INO);
	int ret = loam_txn_attr(txn, INO, &attr, err);
	if (ret < 0)
		return ret;
	ret = loam_txn_dentry(txn, LOAM_INO_ROOT, raw_name(), &dentry, err);
	if (ret < 0)
		return ret;
	struct loam_slice slice = { .pos = (uint32_t)attr.length, .len = 1 };
	attr.length++;
	loam_txn_put_attr(txn, INO, &attr);
	loam_txn_put_dentry(txn, LOAM_INO_ROOT, raw_name(), &dentry);
	loam_txn_append_slices(txn, INO, 0, &slice, 1);
	loam_txn_add_usage(txn, 4096, 1);
	return 0;
}

static void *grow_often(void *arg)
{
	for (int i = 0; i < INCREMENTS; i++) {
		struct loam_err err = { 0 };
		int ret = loam_meta_run(arg, i % 2 ? LOAM_TXN_GUESS : 0, grow, NULL, &err);
		if (ret < 0)
			print_error("%s\n", err.text);
		loam_assert(ret == 0);
	}
	return NULL;
}

struct state {
	struct loam_attr attr;
	struct loam_dentry dentry;
	size_t slice_count;
	bool in_order; /* the records stand in the order of their commits */
	int64_t space;
};

/* Gathers only: what a run was given may still be a wrong guess. */
static int gather(struct loam_txn *txn, void *arg, struct loam_err *err)
{
	struct state *out = arg;
	loam_auto_free struct loam_slice *slices = NULL;
	struct loam_record space = loam_rec_named(LOAM_REC_COUNTER, 0, loam_name_of("usedSpace"));
	const struct loam_value *value;
	*out = (struct state){ .in_order = true };
	int ret = loam_txn_attr(txn, INO, &out->attr, err);
	if (ret >= 0)
		ret = loam_txn_dentry(txn, LOAM_INO_ROOT, raw_name(), &out->dentry, err);
	if (ret >= 0)
		ret = loam_txn_chunk(txn, INO, 0, &slices, &out->slice_count, err);
	if (ret >= 0)
		ret = loam_txn_read(txn, &space, &value, err);
	if (ret < 0)
		return ret;
	for (size_t i = 0; i < out->slice_count; i++)
		out->in_order &= slices[i].pos == i;
	char text[24] = "";
	if (value->bytes < sizeof(text))
		memcpy(text, value->data, value->bytes);
	out->space = strtoll(text, NULL, 10);
	return 0;
}

static void assert_complete(struct loam_meta *meta, unsigned flags)
{
	struct state state;
	struct loam_err err = { 0 };
	assert_int_equal(loam_meta_run(meta, flags, gather, &state, &err), 0);
	assert_int_equal(state.attr.length, THREADS * INCREMENTS);
	assert_int_equal(state.dentry.ino, INO);
	assert_int_equal(state.slice_count, THREADS * INCREMENTS);
	assert_true(state.in_order);
	assert_int_equal(state.space, 4096 * THREADS * INCREMENTS);
}

static void no_update_of_many_threads_is_lost(void **state)
{
	struct loam_meta meta = { .engine = *state,
				  .cache = loam_record_cache_new(LOAM_RECORD_CACHE_ENTRIES) };
	pthread_t threads[THREADS];
	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, grow_often, &meta), 0);
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_complete(&meta, 0);
	assert_complete(&meta, LOAM_TXN_GUESS);
	loam_record_cache_free(meta.cache);
}

/* Two caches over one store: each process guesses from what the other has long changed. */
static void processes_with_their_own_caches_lose_nothing(void **state)
{
	struct loam_meta metas[2] = { { .engine = *state }, { .engine = *state } };
	pthread_t threads[THREADS];
	for (size_t i = 0; i < 2; i++)
		metas[i].cache = loam_record_cache_new(LOAM_RECORD_CACHE_ENTRIES);
	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, grow_often, &metas[i % 2]), 0);
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_complete(&metas[0], LOAM_TXN_GUESS);
	assert_complete(&metas[1], LOAM_TXN_GUESS);
	for (size_t i = 0; i < 2; i++)
		loam_record_cache_free(metas[i].cache);
}

static const struct loam_engine_fixture *fixture; /* the one under test */

static int open_engine(void **state)
{
	*state = fixture->open();
	return 0;
}

static int free_engine(void **state)
{
	struct loam_engine *engine = *state;
	engine->ops->free(engine);
	return 0;
}

#define contract(test) cmocka_unit_test_setup_teardown(test, open_engine, free_engine)

int main(void)
{
	const struct CMUnitTest tests[] = {
		contract(no_update_of_many_threads_is_lost),
		contract(processes_with_their_own_caches_lose_nothing),
	};
	int failed = 0;
	for (size_t i = 0; i < loam_engines_count; i++) {
		const char *reason = NULL;
		fixture = &loam_engines[i];
		if (fixture->start && !fixture->start(&reason)) {
			print_error("engine %s cannot run here: %s\n", fixture->name, reason);
			failed++;
			continue;
		}
		failed += cmocka_run_group_tests_name(fixture->name, tests, NULL, NULL);
		if (fixture->stop)
			fixture->stop();
	}
	return failed;
}
