/*
 * Running a transaction: the function, then the decision, then one compare-and-write
 * (fs/meta/txn.h).
 *
 *   run ─► a value in use was wrong ───────────────────────────────► run again, values are known
 *       ─► failed, or nothing to commit, after guesses ─► one trip compares them ─► wrong: run
 * again ─► failed ─► give up                                          └► right: the outcome stands
 *       ─► commit ─► applied ─► cache, results, callbacks
 *                 └► a check failed ─► present values are learned ─► pause ─► run again
 *
 * What the cache says is only ever a guess, so an answer given after a guess has been compared with
 * the store: by the commit, or by the extra trip. A transaction without guesses costs nothing
 * extra.
 */
#include "fs/meta/txn_internal.h"

#include "core/auto.h"
#include "core/clock.h"
#include "core/hash.h"

#include <string.h>

#define PAUSE_AFTER  2	/* the first conflicts are run again at once */
#define PAUSE_MS_MAX 64 /* a pause is random, below the square of the attempt and this */

/* ---- one run ------------------------------------------------------------------------------- */

static void reset_run(struct loam_txn *txn)
{
	for (struct loam_txn_item *item = txn->items; item; item = item->hh.next) {
		item->is_wanted = item->is_used = item->is_checked = item->is_expected = false;
		item->write_count = 0;
		loam_value_release(&item->expected);
		loam_value_release(&item->shown);
	}
	for (size_t i = 0; i < txn->write_count; i++)
		free((void *)txn->writes[i].data);
	txn->write_count = txn->callback_count = txn->result_count = 0;
	txn->is_stale = txn->has_failed = txn->has_whole_deletes = false;
}

static void release_txn(struct loam_txn *txn)
{
	reset_run(txn);
	struct loam_txn_item *item, *next;
	HASH_ITER (hh, txn->items, item, next) {
		HASH_DEL(txn->items, item);
		loam_value_release(&item->seen);
		free(item);
	}
	free(txn->writes);
	free(txn->write_items);
	free(txn->results);
}

static bool has_guesses(const struct loam_txn *txn)
{
	for (const struct loam_txn_item *item = txn->items; item; item = item->hh.next) {
		if (item->is_used && item->is_guess)
			return true;
	}
	return false;
}

/* ---- after a commit ------------------------------------------------------------------------ */

/* The records of whole hashes that a write of one field changes. */
static void remember_whole(struct loam_record_cache *cache, const struct loam_write *write)
{
	static const struct loam_value one = { .present = true,
					       .data = (uint8_t *)"1",
					       .bytes = 1 };
	struct loam_record whole = { .id = write->record.id };
	switch (write->record.kind) {
	case LOAM_REC_DENTRY:
		whole.kind = LOAM_REC_DIR;
		if (write->op == LOAM_WRITE_PUT)
			loam_record_cache_put(cache, &whole, &one);
		else
			loam_record_cache_forget(cache, &whole);
		return;
	case LOAM_REC_XATTR:
		whole.kind = LOAM_REC_XATTRS;
		break;
	case LOAM_REC_PARENT:
		whole.kind = LOAM_REC_PARENTS;
		break;
	default:
		return;
	}
	loam_record_cache_forget(cache, &whole);
}

/* is_sure false: what the store holds now is not known. */
static void remember_writes(struct loam_txn *txn, bool is_sure)
{
	struct loam_record_cache *cache = txn->meta->cache;
	if (!cache)
		return;
	bool is_bulk = (txn->flags & LOAM_TXN_BULK) != 0; /* would only push others out */
	for (size_t i = 0; i < txn->write_count; i++) {
		const struct loam_write *write = &txn->writes[i];
		struct loam_value value = { .present = write->op == LOAM_WRITE_PUT,
					    .data = (uint8_t *)write->data,
					    .bytes = write->data_bytes };
		bool overwrites = write->op == LOAM_WRITE_PUT || write->op == LOAM_WRITE_DELETE;
		if (is_sure && !is_bulk && overwrites)
			loam_record_cache_put(cache, &write->record, &value);
		else
			loam_record_cache_forget(cache, &write->record);
		remember_whole(cache, write);
	}
}

static void hand_out_results(struct loam_txn *txn)
{
	for (size_t i = 0; i < txn->result_count; i++) {
		const struct loam_txn_item *item = txn->results[i].item;
		if (item->write_count > 0)
			*txn->results[i].out = txn->writes[item->last_write].result;
	}
	loam_auto_free struct loam_freed_slice *freed =
		loam_xcalloc(txn->write_count, sizeof(*freed));
	size_t freed_count = 0;
	for (size_t i = 0; i < txn->write_count; i++) {
		const struct loam_write *write = &txn->writes[i];
		if (write->record.kind == LOAM_REC_COUNTER && write->op == LOAM_WRITE_ADD)
			loam_usage_saw(&txn->meta->usage, write->record.name, write->result);
		if (write->record.kind == LOAM_REC_SLICE_REF && write->op == LOAM_WRITE_ADD &&
		    write->result < 0)
			freed[freed_count++] =
				(struct loam_freed_slice){ .id = write->record.id,
							   .size = (uint32_t)write->record.sub };
	}
	for (size_t i = 0; i < txn->callback_count; i++)
		txn->callbacks[i].after(txn->callbacks[i].arg, freed, freed_count);
}

/* ---- the commit ---------------------------------------------------------------------------- */

static size_t count_checks(const struct loam_txn *txn)
{
	size_t count = 0;
	for (const struct loam_txn_item *item = txn->items; item; item = item->hh.next)
		count += item->is_checked || item->is_expected;
	return count;
}

static int check_limits(const struct loam_txn *txn, size_t check_count, struct loam_err *err)
{
	if (txn->meta->read_only && txn->write_count > 0)
		return loam_fail(err, LOAM_E_READ_ONLY, "the volume is opened read-only");
	if (txn->write_count > 0) {
		int rc = txn->flags & LOAM_TXN_UPKEEP ? loam_rules_alive(txn->meta, err)
						      : loam_rules_writable(txn->meta, err);
		if (rc < 0)
			return rc;
	}
	if (txn->write_count > LOAM_TXN_WRITES_MAX)
		return loam_fail(err, LOAM_E_TOO_BIG, "%zu writes in one transaction",
				 txn->write_count);
	if ((txn->flags & LOAM_TXN_BULK) && check_count > LOAM_TXN_BULK_CHECKS_MAX)
		return loam_fail(err, LOAM_E_TOO_BIG, "%zu checks in one bulk transaction",
				 check_count);
	return 0;
}

/* Takes over what a failed check returned; a check that held has proven its guess. */
static void learn_conflict(struct loam_txn *txn, struct loam_txn_item *const *items, size_t count,
			   struct loam_value *present, const bool *differs)
{
	for (size_t i = 0; i < count; i++) {
		struct loam_txn_item *item = items[i];
		if (!differs[i] && !item->is_expected) {
			item->is_guess = false;
			continue;
		}
		loam_value_release(&item->seen);
		item->seen = differs[i] ? present[i] : loam_value_copy(&item->expected);
		item->is_known = true;
		item->is_guess = false;
		if (txn->meta->cache)
			loam_record_cache_put(txn->meta->cache, &item->record, &item->seen);
	}
}

/* 1 applied, 0 a check failed, -code. */
static int commit(struct loam_txn *txn, size_t check_count, struct loam_err *err)
{
	loam_auto_free struct loam_txn_item **items = loam_xcalloc(check_count, sizeof(*items));
	loam_auto_free struct loam_check *checks = loam_xcalloc(check_count, sizeof(*checks));
	loam_auto_free struct loam_value *present = loam_xcalloc(check_count, sizeof(*present));
	loam_auto_free bool *differs = loam_xcalloc(check_count, sizeof(*differs));
	size_t at = 0;
	for (struct loam_txn_item *item = txn->items; item; item = item->hh.next) {
		if (!item->is_checked && !item->is_expected)
			continue;
		checks[at] = (struct loam_check){
			.record = item->record,
			.expected = item->is_expected ? item->expected : item->seen,
		};
		items[at++] = item;
	}
	struct loam_engine *engine = txn->meta->engine;
	unsigned flags = txn->flags & LOAM_TXN_BULK ? LOAM_COMMIT_BULK : 0;
	int ret = engine->ops->commit(engine, checks, check_count, txn->writes, txn->write_count,
				      flags, present, differs, err);
	if (ret == 0)
		learn_conflict(txn, items, check_count, present, differs);
	else
		remember_writes(txn, ret == 1);
	return ret;
}

/* ---- decisions ----------------------------------------------------------------------------- */

enum outcome { DONE, AGAIN, AGAIN_LATER };

/* Compares all guesses in use with the store. AGAIN when one was wrong; *ret then does not count.
 */
static enum outcome verify(struct loam_txn *txn, int *ret, struct loam_err *err)
{
	struct loam_err trip_err = { 0 };
	int fetched = loam_txn_fetch(txn, NULL, &trip_err);
	if (fetched < 0) {
		*err = trip_err;
		*ret = fetched;
		return DONE;
	}
	if (!txn->is_stale)
		return DONE;
	txn->may_guess = false;
	return AGAIN;
}

/* True when the function has both read a record and expects another value of it. */
static bool contradicts(const struct loam_txn *txn)
{
	for (const struct loam_txn_item *item = txn->items; item; item = item->hh.next) {
		if (item->is_expected && item->is_known &&
		    !loam_value_equal(&item->expected, &item->seen))
			return true;
	}
	return false;
}

static enum outcome try_commit(struct loam_txn *txn, int *ret, struct loam_err *err)
{
	size_t check_count = count_checks(txn);
	*ret = check_limits(txn, check_count, err);
	if (*ret < 0)
		return DONE;
	if (contradicts(txn)) {
		if (has_guesses(txn) && verify(txn, ret, err) == AGAIN)
			return AGAIN;
		if (*ret < 0)
			return DONE;
		*ret = loam_fail(err, LOAM_E_CONFLICT, "a record is not as it was expected");
		return DONE;
	}
	*ret = commit(txn, check_count, err);
	if (*ret == 0)
		return AGAIN_LATER;
	if (*ret == 1) {
		*ret = 0;
		hand_out_results(txn);
	}
	return DONE;
}

/* What follows from one run that returned *ret. */
static enum outcome decide(struct loam_txn *txn, int *ret, struct loam_err *err)
{
	bool has_expectation = false;
	for (const struct loam_txn_item *item = txn->items; item; item = item->hh.next)
		has_expectation |= item->is_expected;

	if (*ret < 0 && txn->has_failed)
		return DONE;
	if (txn->is_stale)
		return AGAIN;
	bool commits = *ret == 0 && (txn->write_count > 0 || has_expectation);
	if (commits)
		return try_commit(txn, ret, err);
	if (has_guesses(txn)) {
		enum outcome outcome = verify(txn, ret, err);
		if (outcome != DONE)
			return outcome;
	}
	if (*ret == 0)
		hand_out_results(txn);
	return DONE;
}

static void pause_before(unsigned attempt)
{
	if (attempt <= PAUSE_AFTER)
		return;
	uint64_t bound = (uint64_t)attempt * attempt;
	loam_clock_sleep_ms(loam_random_below(bound < PAUSE_MS_MAX ? bound : PAUSE_MS_MAX));
}

int loam_meta_run(struct loam_meta *meta, unsigned flags, loam_txn_fn *fn, void *arg,
		  struct loam_err *err)
{
	struct loam_txn txn __attribute__((cleanup(release_txn))) = {
		.meta = meta,
		.flags = flags,
		.may_guess = (flags & LOAM_TXN_GUESS) && meta->cache,
	};
	for (unsigned attempt = 1; attempt <= LOAM_TXN_ATTEMPTS_MAX; attempt++) {
		reset_run(&txn);
		int ret = fn(&txn, arg, err);
		loam_assert(ret <= 0);
		enum outcome outcome = decide(&txn, &ret, err);
		if (outcome == DONE)
			return ret;
		loam_err_clear(err);
		if (outcome == AGAIN_LATER)
			pause_before(attempt);
	}
	return loam_fail(err, LOAM_E_CONFLICT, "gave up after %d attempts: others change the same",
			 LOAM_TXN_ATTEMPTS_MAX);
}
