/*
 * Transactions over the memory engine, behind a wrapper that counts every call of the engine and
 * can change records just before a commit, as another client would.
 */
#include "core/auto.h"
#include "fs/meta/meta_internal.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- the counting engine ------------------------------------------------------------------- */

struct counting {
	struct loam_engine base;
	struct loam_engine *inner;
	int reads, commits;
	size_t last_read_count;
	/* Others' change before each of the next commits. */
	int disturb_count;
	void (*disturb)(struct loam_engine *inner, int nth);
	int disturbed;
	enum loam_code fail_reads;
};

static int counting_read(struct loam_engine *engine, const struct loam_record *records,
			 size_t count, struct loam_value *out, struct loam_err *err)
{
	struct counting *counting = (struct counting *)engine;
	counting->reads++;
	counting->last_read_count = count;
	if (counting->fail_reads)
		return loam_fail(err, counting->fail_reads, "no answer");
	return counting->inner->ops->read(counting->inner, records, count, out, err);
}

static int counting_commit(struct loam_engine *engine, const struct loam_check *checks,
			   size_t check_count, struct loam_write *writes, size_t write_count,
			   unsigned flags, struct loam_value *present, bool *present_differs,
			   struct loam_err *err)
{
	struct counting *counting = (struct counting *)engine;
	counting->commits++;
	if (counting->disturb_count > 0) {
		counting->disturb_count--;
		counting->disturb(counting->inner, counting->disturbed++);
	}
	return counting->inner->ops->commit(counting->inner, checks, check_count, writes,
					    write_count, flags, present, present_differs, err);
}

static const struct loam_engine_ops counting_ops = {
	.name = "counting",
	.read = counting_read,
	.commit = counting_commit,
};

struct world {
	struct counting counting;
	struct loam_meta meta;
};

static int make_world(void **state)
{
	struct world *world = loam_xnew(struct world);
	struct loam_err err = { 0 };
	assert_int_equal(loam_record_mem_open(&world->counting.inner, &err), 0);
	world->counting.base.ops = &counting_ops;
	world->meta.engine = &world->counting.base;
	world->meta.cache = loam_record_cache_new(1000);
	*state = world;
	return 0;
}

static int end_world(void **state)
{
	struct world *world = *state;
	loam_record_cache_free(world->meta.cache);
	world->counting.inner->ops->free(world->counting.inner);
	free(world);
	return 0;
}

/* Writes as another client: neither counted nor seen by the cache. */
static void other_puts(struct loam_engine *inner, struct loam_record record, const char *text)
{
	struct loam_err err = { 0 };
	struct loam_write write = { .op = text ? LOAM_WRITE_PUT : LOAM_WRITE_DELETE,
				    .record = record,
				    .data = text,
				    .data_bytes = text ? (uint32_t)strlen(text) : 0 };
	assert_int_equal(inner->ops->commit(inner, NULL, 0, &write, 1, 0, NULL, NULL, &err), 1);
}

static void assert_stored(struct world *world, struct loam_record record, const char *text)
{
	struct loam_value value;
	struct loam_err err = { 0 };
	struct loam_engine *inner = world->counting.inner;
	assert_int_equal(inner->ops->read(inner, &record, 1, &value, &err), 0);
	assert_int_equal(value.present, text != NULL);
	if (text) {
		assert_int_equal(value.bytes, strlen(text));
		assert_memory_equal(value.data, text, value.bytes);
	}
	loam_value_release(&value);
}

static struct loam_record attr_of(uint64_t ino)
{
	return loam_rec(LOAM_REC_ATTR, ino, 0);
}

static struct loam_record xattr_of(uint64_t ino, const char *name)
{
	return loam_rec_named(LOAM_REC_XATTR, ino, loam_name_of(name));
}

static void count_from_here(struct world *world)
{
	world->counting.reads = world->counting.commits = 0;
}

static void assert_calls(const struct world *world, int reads, int commits)
{
	assert_int_equal(world->counting.reads, reads);
	assert_int_equal(world->counting.commits, commits);
}

/* ---- an operation like create: two attrs and a name, all changed ---------------------------- */

#define PARENT 1
#define CHILD  2

struct change {
	int runs;
	char seen[32]; /* the parent in the last run, "" when absent */
	enum loam_code fail_when_absent;
	bool write;
};

static int change_two(struct loam_txn *txn, void *arg, struct loam_err *err)
{
	struct change *change = arg;
	struct loam_record parent = attr_of(PARENT), child = attr_of(CHILD);
	const struct loam_value *value;
	change->runs++;
	loam_txn_want(txn, &parent);
	loam_txn_want(txn, &child);
	int present = loam_txn_read(txn, &parent, &value, err);
	if (present < 0)
		return present;
	if (!present && change->fail_when_absent)
		return loam_fail(err, change->fail_when_absent, "no parent");
	snprintf(change->seen, sizeof(change->seen), "%.*s", (int)value->bytes,
		 value->data ? (const char *)value->data : "");
	int child_present = loam_txn_read(txn, &child, &value, err);
	if (child_present < 0)
		return child_present;
	if (!change->write)
		return 0;
	char next[64];
	int bytes = snprintf(next, sizeof(next), "%s+", change->seen);
	loam_txn_put(txn, &parent, next, (size_t)bytes);
	loam_txn_put(txn, &child, "child", 5);
	loam_txn_add_usage(txn, 4096, 1);
	return 0;
}

static int run(struct world *world, unsigned flags, struct change *change)
{
	struct loam_err err = { 0 };
	return loam_meta_run(&world->meta, flags, change_two, change, &err);
}

static void a_change_is_one_pipeline_and_one_commit(void **state)
{
	struct world *world = *state;
	other_puts(world->counting.inner, attr_of(PARENT), "p");
	struct change change = { .write = true };
	assert_int_equal(run(world, LOAM_TXN_GUESS, &change), 0);
	assert_calls(world, 1, 1);
	assert_int_equal(world->counting.last_read_count, 2);
	assert_stored(world, attr_of(PARENT), "p+");
	assert_stored(world, loam_rec_named(LOAM_REC_COUNTER, 0, loam_name_of("usedSpace")),
		      "4096");
	assert_stored(world, loam_rec_named(LOAM_REC_COUNTER, 0, loam_name_of("totalInodes")), "1");
}

static void a_change_of_cached_records_is_one_call(void **state)
{
	struct world *world = *state;
	struct change change = { .write = true };
	assert_int_equal(run(world, LOAM_TXN_GUESS, &change), 0);
	count_from_here(world);
	assert_int_equal(run(world, LOAM_TXN_GUESS, &change), 0);
	assert_int_equal(run(world, LOAM_TXN_GUESS, &change), 0);
	assert_calls(world, 0, 2);
	assert_stored(world, attr_of(PARENT), "+++");
	assert_int_equal(run(world, 0, &change), 0); /* without guesses it is two */
	assert_calls(world, 1, 3);
}

static void a_wrong_guess_costs_a_call_and_nothing_else(void **state)
{
	struct world *world = *state;
	struct change change = { .write = true };
	assert_int_equal(run(world, LOAM_TXN_GUESS, &change), 0);
	other_puts(world->counting.inner, attr_of(PARENT), "new");
	count_from_here(world);
	change.runs = 0;
	assert_int_equal(run(world, LOAM_TXN_GUESS, &change), 0);
	assert_calls(world, 0, 2);
	assert_int_equal(change.runs, 2);
	assert_stored(world, attr_of(PARENT), "new+");
}

static void a_failure_without_a_guess_costs_nothing_more(void **state)
{
	struct world *world = *state;
	struct change change = { .fail_when_absent = LOAM_E_NOT_FOUND };
	assert_int_equal(run(world, LOAM_TXN_GUESS, &change), -LOAM_E_NOT_FOUND);
	assert_calls(world, 1, 0);
	assert_int_equal(change.runs, 1);
}

static int fail_when_empty(struct loam_txn *txn, void *arg, struct loam_err *err)
{
	int *runs = arg;
	struct loam_record dir = loam_rec(LOAM_REC_DIR, 9, 0);
	const struct loam_value *value;
	++*runs;
	int present = loam_txn_read(txn, &dir, &value, err);
	if (present < 0)
		return present;
	if (!present)
		return loam_fail(err, LOAM_E_NOT_FOUND, "empty");
	struct loam_record attr = attr_of(9);
	loam_txn_put(txn, &attr, "x", 1);
	return 0;
}

static void a_failure_after_a_wrong_guess_is_no_answer(void **state)
{
	struct world *world = *state;
	struct loam_record dir = loam_rec(LOAM_REC_DIR, 9, 0);
	struct loam_value absent = { 0 };
	struct loam_err err = { 0 };
	int runs = 0;
	loam_record_cache_put(world->meta.cache, &dir, &absent);
	assert_int_equal(loam_meta_run(&world->meta, LOAM_TXN_GUESS, fail_when_empty, &runs, &err),
			 -LOAM_E_NOT_FOUND);
	assert_calls(world, 1, 0);
	assert_int_equal(runs, 1);

	loam_err_clear(&err);
	other_puts(world->counting.inner, loam_rec_named(LOAM_REC_DENTRY, 9, loam_name_of("a")),
		   "123456789");
	count_from_here(world);
	assert_int_equal(loam_meta_run(&world->meta, LOAM_TXN_GUESS, fail_when_empty, &runs, &err),
			 0);
	assert_calls(world, 1, 1);
	assert_int_equal(runs, 3);
	assert_stored(world, attr_of(9), "x");
}

static void a_read_only_function_compares_its_guesses(void **state)
{
	struct world *world = *state;
	struct change change = { .write = true };
	assert_int_equal(run(world, LOAM_TXN_GUESS, &change), 0);
	change.write = false;
	count_from_here(world);
	assert_int_equal(run(world, LOAM_TXN_GUESS, &change), 0);
	assert_calls(world, 1, 0);
	other_puts(world->counting.inner, attr_of(PARENT), "else");
	assert_int_equal(run(world, LOAM_TXN_GUESS, &change), 0);
	assert_calls(world, 2, 0);
	assert_string_equal(change.seen, "else");
}

/* ---- conflicts ----------------------------------------------------------------------------- */

static void put_number(struct loam_engine *inner, int nth)
{
	char text[16];
	snprintf(text, sizeof(text), "o%d", nth);
	other_puts(inner, attr_of(PARENT), text);
}

static void a_conflict_feeds_the_next_run(void **state)
{
	struct world *world = *state;
	world->counting.disturb = put_number;
	world->counting.disturb_count = 3;
	struct change change = { .write = true };
	assert_int_equal(run(world, 0, &change), 0);
	assert_calls(world, 1, 4);
	assert_int_equal(change.runs, 4);
	assert_stored(world, attr_of(PARENT), "o2+");
	assert_stored(world, loam_rec_named(LOAM_REC_COUNTER, 0, loam_name_of("totalInodes")), "1");
}

static void attempts_are_bounded(void **state)
{
	struct world *world = *state;
	world->counting.disturb = put_number;
	world->counting.disturb_count = 1000;
	struct change change = { .write = true };
	assert_int_equal(run(world, 0, &change), -LOAM_E_CONFLICT);
	assert_int_equal(change.runs, LOAM_TXN_ATTEMPTS_MAX);
	assert_stored(world, attr_of(CHILD), NULL);
}

static int peek_and_put(struct loam_txn *txn, void *arg, struct loam_err *err)
{
	struct loam_record parent = attr_of(PARENT), child = attr_of(CHILD);
	const struct loam_value *value;
	int present = loam_txn_peek(txn, &parent, &value, err);
	if (present < 0)
		return present;
	loam_txn_put(txn, &child, "c", 1);
	return 0;
}

static void a_peek_is_not_checked(void **state)
{
	struct world *world = *state;
	world->counting.disturb = put_number;
	world->counting.disturb_count = 1;
	struct loam_err err = { 0 };
	assert_int_equal(loam_meta_run(&world->meta, 0, peek_and_put, NULL, &err), 0);
	assert_calls(world, 1, 1);
}

static int expect_and_put(struct loam_txn *txn, void *arg, struct loam_err *err)
{
	int *runs = arg;
	struct loam_record parent = attr_of(PARENT), child = attr_of(CHILD);
	++*runs;
	loam_txn_expect(txn, &parent, "o0", 2);
	loam_txn_put(txn, &child, "c", 1);
	return 0;
}

static void an_expectation_needs_no_read_and_fails_once(void **state)
{
	struct world *world = *state;
	struct loam_err err = { 0 };
	int runs = 0;
	other_puts(world->counting.inner, attr_of(PARENT), "o0");
	assert_int_equal(loam_meta_run(&world->meta, 0, expect_and_put, &runs, &err), 0);
	assert_calls(world, 0, 1);
	other_puts(world->counting.inner, attr_of(PARENT), "other");
	assert_int_equal(loam_meta_run(&world->meta, 0, expect_and_put, &runs, &err),
			 -LOAM_E_CONFLICT);
	assert_calls(world, 0, 2);
	assert_int_equal(runs, 3);
}

static int expect_or_read(struct loam_txn *txn, void *arg, struct loam_err *err)
{
	int *runs = arg;
	struct loam_record parent = attr_of(PARENT);
	if (++*runs > 1) {
		const struct loam_value *value;
		int present = loam_txn_read(txn, &parent, &value, err);
		if (present != 0)
			return present < 0 ? present : loam_fail(err, LOAM_E_EXISTS, "taken");
	}
	loam_txn_expect(txn, &parent, NULL, 0);
	loam_txn_put(txn, &parent, "mine", 4);
	return 0;
}

static void what_an_expectation_met_is_read_without_a_trip(void **state)
{
	struct world *world = *state;
	struct loam_err err = { 0 };
	int runs = 0;
	assert_int_equal(loam_meta_run(&world->meta, 0, expect_or_read, &runs, &err), 0);
	assert_calls(world, 0, 1);
	runs = 0;
	assert_int_equal(loam_meta_run(&world->meta, 0, expect_or_read, &runs, &err),
			 -LOAM_E_EXISTS);
	assert_calls(world, 0, 2);
}

static int guess_then_expect(struct loam_txn *txn, void *arg, struct loam_err *err)
{
	struct loam_record parent = attr_of(PARENT), child = attr_of(CHILD);
	const struct loam_value *value;
	int present = loam_txn_read(txn, &parent, &value, err);
	if (present < 0)
		return present;
	loam_txn_put(txn, &child, value->data, value->bytes);
	loam_txn_expect(txn, &parent, "true", 4);
	return 0;
}

static void a_guess_that_an_expectation_denies_is_not_committed(void **state)
{
	struct world *world = *state;
	struct loam_err err = { 0 };
	struct loam_record parent = attr_of(PARENT);
	struct loam_value old = loam_value_of("guess", 5);
	loam_record_cache_put(world->meta.cache, &parent, &old);
	loam_value_release(&old);
	other_puts(world->counting.inner, parent, "true");
	assert_int_equal(loam_meta_run(&world->meta, LOAM_TXN_GUESS, guess_then_expect, NULL, &err),
			 0);
	assert_stored(world, attr_of(CHILD), "true");
	other_puts(world->counting.inner, parent, "no");
	assert_int_equal(loam_meta_run(&world->meta, 0, guess_then_expect, NULL, &err),
			 -LOAM_E_CONFLICT);
}

/* ---- dependent reads ----------------------------------------------------------------------- */

/* Reads the number of a record in a name, as unlink reads an inode behind a name. */
static int follow(struct loam_txn *txn, void *arg, struct loam_err *err)
{
	int *runs = arg;
	struct loam_record parent = attr_of(PARENT);
	struct loam_name name = { .data = "n", .bytes = 1 };
	const struct loam_value *value;
	struct loam_dentry dentry;
	++*runs;
	loam_txn_want_attr(txn, PARENT);
	int present = loam_txn_dentry(txn, PARENT, name, &dentry, err);
	if (present != 1)
		return present < 0 ? present : loam_fail(err, LOAM_E_NOT_FOUND, "no name");
	struct loam_record child = attr_of(dentry.ino);
	present = loam_txn_read(txn, &child, &value, err);
	if (present < 0)
		return present;
	present = loam_txn_read(txn, &parent, &value, err);
	if (present < 0)
		return present;
	loam_txn_delete_dentry(txn, PARENT, name);
	loam_txn_delete(txn, &child);
	loam_txn_put(txn, &parent, "p", 1);
	return 0;
}

static void name_child(struct world *world, uint64_t ino, bool cache_it)
{
	uint8_t bytes[LOAM_DENTRY_BYTES];
	struct loam_dentry dentry = { LOAM_TYPE_FILE, ino };
	struct loam_err err = { 0 };
	loam_dentry_encode(&dentry, bytes);
	struct loam_record name = loam_rec_named(LOAM_REC_DENTRY, PARENT, loam_name_of("n"));
	struct loam_write write = {
		.op = LOAM_WRITE_PUT, .record = name, .data = bytes, .data_bytes = sizeof(bytes)
	};
	struct loam_engine *inner = world->counting.inner;
	assert_int_equal(inner->ops->commit(inner, NULL, 0, &write, 1, 0, NULL, NULL, &err), 1);
	other_puts(inner, attr_of(ino), "child");
	struct loam_value value = { true, bytes, sizeof(bytes) };
	if (cache_it)
		loam_record_cache_put(world->meta.cache, &name, &value);
}

static int run_follow(struct world *world, int *runs)
{
	struct loam_err err = { 0 };
	*runs = 0;
	count_from_here(world);
	return loam_meta_run(&world->meta, LOAM_TXN_GUESS, follow, runs, &err);
}

static void a_guessed_name_saves_the_second_read(void **state)
{
	struct world *world = *state;
	int runs;
	name_child(world, 50, true);
	assert_int_equal(run_follow(world, &runs), 0);
	assert_calls(world, 1, 1);
	assert_int_equal(world->counting.last_read_count, 3); /* child, parent, the guessed name */
	assert_stored(world, attr_of(50), NULL);

	assert_int_equal(run_follow(world, &runs), -LOAM_E_NOT_FOUND);
	assert_calls(world, 1, 0); /* the name is known to be gone: compared, not believed */
}

static void a_wrong_name_is_found_before_the_commit(void **state)
{
	struct world *world = *state;
	int runs;
	name_child(world, 50, true);
	name_child(world, 51, false);
	assert_int_equal(run_follow(world, &runs), 0);
	assert_calls(world, 2, 1);
	assert_int_equal(runs, 2);
	assert_stored(world, attr_of(50), "child");
	assert_stored(world, attr_of(51), NULL);
}

/* ---- read your writes ---------------------------------------------------------------------- */

static void assert_read(struct loam_txn *txn, struct loam_record record, const char *text)
{
	struct loam_err err = { 0 };
	const struct loam_value *value;
	int present = loam_txn_read(txn, &record, &value, &err);
	assert_int_equal(present, text != NULL);
	if (!text)
		return;
	assert_int_equal(value->bytes, strlen(text));
	if (value->bytes > 0)
		assert_memory_equal(value->data, text, value->bytes);
}

static int write_and_read(struct loam_txn *txn, void *arg, struct loam_err *err)
{
	struct loam_record attr = attr_of(1), stored = attr_of(2);
	struct loam_record count = loam_rec(LOAM_REC_PARENT, 1, 7);
	loam_txn_put(txn, &attr, "a", 1);
	assert_read(txn, attr, "a");
	loam_txn_put(txn, &attr, "b", 1);
	assert_read(txn, attr, "b");
	loam_txn_delete(txn, &attr);
	assert_read(txn, attr, NULL);
	loam_txn_put(txn, &attr, "", 0);
	assert_read(txn, attr, "");

	assert_read(txn, stored, "stored");
	loam_txn_delete(txn, &stored);
	assert_read(txn, stored, NULL);

	loam_txn_add(txn, &count, 3);
	loam_txn_add(txn, &count, -1);
	assert_read(txn, count, "42");
	loam_txn_put(txn, &count, "5", 1);
	loam_txn_add(txn, &count, 1);
	assert_read(txn, count, "6");

	struct loam_slice slice = { .id = 7, .size = 10, .len = 10 };
	struct loam_slice *slices = NULL;
	size_t slice_count = 9;
	loam_txn_extend_slices(txn, 1, 0, &slice, 1);
	assert_int_equal(loam_txn_chunk(txn, 1, 0, &slices, &slice_count, err), 0);
	assert_int_equal(slice_count, 0);
	loam_txn_append_slices(txn, 1, 0, &slice, 1);
	loam_txn_extend_slices(txn, 1, 0, &slice, 1);
	assert_int_equal(loam_txn_chunk(txn, 1, 0, &slices, &slice_count, err), 1);
	assert_int_equal(slice_count, 2);
	assert_int_equal(slices[1].id, 7);
	free(slices);

	struct loam_record whole = loam_rec(LOAM_REC_XATTRS, 3, 0);
	assert_read(txn, xattr_of(3, "user.a"), "1");
	loam_txn_put(txn, &(struct loam_record){ LOAM_REC_XATTR, 3, 0, loam_name_of("user.b") },
		     "2", 1);
	loam_txn_delete(txn, &whole);
	assert_read(txn, whole, NULL);
	assert_read(txn, xattr_of(3, "user.a"), NULL);
	assert_read(txn, xattr_of(3, "user.b"), NULL);
	loam_txn_put(txn, &(struct loam_record){ LOAM_REC_XATTR, 3, 0, loam_name_of("user.a") },
		     "3", 1);
	assert_read(txn, xattr_of(3, "user.a"), "3");
	return 0;
}

static void writes_are_read_back_before_the_commit(void **state)
{
	struct world *world = *state;
	struct loam_err err = { 0 };
	other_puts(world->counting.inner, attr_of(2), "stored");
	other_puts(world->counting.inner, loam_rec(LOAM_REC_PARENT, 1, 7), "40");
	other_puts(world->counting.inner, xattr_of(3, "user.a"), "1");
	other_puts(world->counting.inner, xattr_of(3, "user.c"), "c");
	assert_int_equal(loam_meta_run(&world->meta, 0, write_and_read, NULL, &err), 0);
	assert_stored(world, attr_of(1), "");
	assert_stored(world, attr_of(2), NULL);
	assert_stored(world, loam_rec(LOAM_REC_PARENT, 1, 7), "6");
	assert_stored(world, xattr_of(3, "user.a"), "3");
	assert_stored(world, xattr_of(3, "user.b"), NULL);
	assert_stored(world, xattr_of(3, "user.c"), NULL);
}

/* ---- results ------------------------------------------------------------------------------- */

struct results {
	int64_t count;
	int64_t parents;
	int calls;
	size_t freed_count;
	struct loam_freed_slice freed[4];
};

static void gather_freed(void *arg, const struct loam_freed_slice *freed, size_t freed_count)
{
	struct results *results = arg;
	results->calls++;
	results->freed_count = freed_count;
	assert_true(freed_count <= 4);
	memcpy(results->freed, freed, freed_count * sizeof(*freed));
}

static int append_and_free(struct loam_txn *txn, void *arg, struct loam_err *err)
{
	struct results *results = arg;
	struct loam_slice slices[3] = { { .len = 1 }, { .len = 2 }, { .len = 3 } };
	struct loam_record chunk = loam_rec(LOAM_REC_CHUNK, 1, 0);
	struct loam_record parents = loam_rec(LOAM_REC_PARENT, 1, 5);
	struct loam_record attr = attr_of(PARENT);
	const struct loam_value *value;
	int present = loam_txn_read(txn, &attr, &value, err);
	if (present < 0)
		return present;
	loam_txn_append_slices(txn, 1, 0, slices, 3);
	loam_txn_add(txn, &parents, 2);
	loam_txn_ref_slice(txn, 70, 4096, -1); /* one reference: freed */
	loam_txn_ref_slice(txn, 71, 4096, 1);
	loam_txn_ref_slice(txn, 72, 8192, 1); /* up and down again: kept */
	loam_txn_ref_slice(txn, 72, 8192, -1);
	loam_txn_result(txn, &chunk, &results->count);
	loam_txn_result(txn, &parents, &results->parents);
	loam_txn_after_commit(txn, gather_freed, results);
	return 0;
}

static void results_and_freed_slices_come_once_after_the_commit(void **state)
{
	struct world *world = *state;
	struct loam_err err = { 0 };
	struct results results = { .count = -9 };
	world->counting.disturb = put_number;
	world->counting.disturb_count = 2;
	assert_int_equal(loam_meta_run(&world->meta, 0, append_and_free, &results, &err), 0);
	assert_int_equal(results.calls, 1);
	assert_int_equal(results.count, 3);
	assert_int_equal(results.parents, 2);
	assert_int_equal(results.freed_count, 1);
	assert_int_equal(results.freed[0].id, 70);
	assert_int_equal(results.freed[0].size, 4096);
	assert_int_equal(loam_meta_run(&world->meta, 0, append_and_free, &results, &err), 0);
	assert_int_equal(results.count, 6);
}

/* ---- limits and failures ------------------------------------------------------------------- */

static void an_engine_that_does_not_answer_ends_it(void **state)
{
	struct world *world = *state;
	struct change change = { .write = true };
	world->counting.fail_reads = LOAM_E_UNAVAILABLE;
	assert_int_equal(run(world, LOAM_TXN_GUESS, &change), -LOAM_E_UNAVAILABLE);
	assert_int_equal(change.runs, 1);

	struct loam_record dir = loam_rec(LOAM_REC_DIR, 9, 0);
	struct loam_value absent = { 0 };
	struct loam_err err = { 0 };
	int runs = 0;
	loam_record_cache_put(world->meta.cache, &dir, &absent);
	assert_int_equal(loam_meta_run(&world->meta, LOAM_TXN_GUESS, fail_when_empty, &runs, &err),
			 -LOAM_E_UNAVAILABLE); /* an answer from a guess alone is never given */
	assert_string_equal(err.text, "no answer");
}

static void a_read_only_volume_is_not_written(void **state)
{
	struct world *world = *state;
	struct change change = { .write = true };
	world->meta.read_only = true;
	assert_int_equal(run(world, 0, &change), -LOAM_E_READ_ONLY);
	change.write = false;
	assert_int_equal(run(world, 0, &change), 0);
	assert_calls(world, 2, 0);
}

static int read_many(struct loam_txn *txn, void *arg, struct loam_err *err)
{
	for (uint64_t ino = 1; ino <= LOAM_TXN_BULK_CHECKS_MAX + 1; ino++)
		loam_txn_want_attr(txn, ino);
	for (uint64_t ino = 1; ino <= LOAM_TXN_BULK_CHECKS_MAX + 1; ino++) {
		struct loam_record record = attr_of(ino);
		const struct loam_value *value;
		int present = loam_txn_read(txn, &record, &value, err);
		if (present < 0)
			return present;
		loam_txn_put(txn, &record, "x", 1);
	}
	return 0;
}

static void a_bulk_transaction_has_few_checks(void **state)
{
	struct world *world = *state;
	struct loam_err err = { 0 };
	assert_int_equal(loam_meta_run(&world->meta, LOAM_TXN_BULK, read_many, NULL, &err),
			 -LOAM_E_TOO_BIG);
	loam_err_clear(&err);
	count_from_here(world);
	assert_int_equal(loam_meta_run(&world->meta, 0, read_many, NULL, &err), 0);
	assert_calls(world, 1, 1);
}

#define THREADS	   8
#define INCREMENTS 100

static int increment(struct loam_txn *txn, void *arg, struct loam_err *err)
{
	struct loam_record record = attr_of(PARENT);
	const struct loam_value *value;
	int present = loam_txn_read(txn, &record, &value, err);
	if (present < 0)
		return present;
	char text[24] = "0";
	if (present)
		memcpy(text, value->data, value->bytes);
	int bytes = snprintf(text, sizeof(text), "%lld", strtoll(text, NULL, 10) + 1);
	loam_txn_put(txn, &record, text, (size_t)bytes);
	return 0;
}

static void *increment_often(void *arg)
{
	for (int i = 0; i < INCREMENTS; i++) {
		struct loam_err err = { 0 };
		loam_assert(loam_meta_run(arg, LOAM_TXN_GUESS, increment, NULL, &err) == 0);
	}
	return NULL;
}

static void no_update_of_many_threads_is_lost(void **state)
{
	struct world *world = *state;
	world->meta.engine = world->counting.inner; /* the counters have no lock */
	pthread_t threads[THREADS];
	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, increment_often, &world->meta),
				 0);
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_stored(world, attr_of(PARENT), "800");
}

#define txn_test(test) cmocka_unit_test_setup_teardown(test, make_world, end_world)

int main(void)
{
	const struct CMUnitTest tests[] = {
		txn_test(a_change_is_one_pipeline_and_one_commit),
		txn_test(a_change_of_cached_records_is_one_call),
		txn_test(a_wrong_guess_costs_a_call_and_nothing_else),
		txn_test(a_failure_without_a_guess_costs_nothing_more),
		txn_test(a_failure_after_a_wrong_guess_is_no_answer),
		txn_test(a_read_only_function_compares_its_guesses),
		txn_test(a_conflict_feeds_the_next_run),
		txn_test(attempts_are_bounded),
		txn_test(a_peek_is_not_checked),
		txn_test(an_expectation_needs_no_read_and_fails_once),
		txn_test(what_an_expectation_met_is_read_without_a_trip),
		txn_test(a_guess_that_an_expectation_denies_is_not_committed),
		txn_test(a_guessed_name_saves_the_second_read),
		txn_test(a_wrong_name_is_found_before_the_commit),
		txn_test(writes_are_read_back_before_the_commit),
		txn_test(results_and_freed_slices_come_once_after_the_commit),
		txn_test(an_engine_that_does_not_answer_ends_it),
		txn_test(a_read_only_volume_is_not_written),
		txn_test(a_bulk_transaction_has_few_checks),
		txn_test(no_update_of_many_threads_is_lost),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
