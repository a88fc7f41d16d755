/*
 * Large commits, and all commits on servers without scripts: WATCH … EXEC in two round trips
 * (design.md §4; step 8 of a push).
 *
 *   trip 1   WATCH keys of the checks, then read them; a difference ends it
 *   trip 2   MULTI, the grouped commands, the marker, EXEC
 *
 * WATCH costs the server quadratically: never over LOAM_REDIS_WATCHES_MAX keys. It fails for
 * changes beside what was checked, too (another name of a watched directory); then both trips are
 * made again.
 */
#include "fs/meta/redis_engine.h"

#include <string.h>

/* Records are told apart by their keys alone, unless they are parts of a hash or a set. */
static bool has_own_key(const struct loam_record *record)
{
	enum loam_redis_shape shape = loam_redis_shape_of(record->kind);
	return shape == LOAM_SHAPE_STRING || shape == LOAM_SHAPE_LIST;
}

/* The keys to watch, each once: one command of words. */
static void add_watches(const struct loam_redis_commit *commit, struct loam_resp_args *args)
{
	loam_resp_arg_word(args, "WATCH");
	for (size_t i = 0; i < commit->check_count; i++) {
		bool known = false;
		loam_redis_key_add(args, &commit->checks[i].record);
		size_t last = args->count - 1;
		bool is_own = has_own_key(&commit->checks[i].record);
		for (size_t j = 1; j < last && !known && !is_own; j++)
			known = args->sizes[j] == args->sizes[last] &&
				memcmp(args->values[j], args->values[last], args->sizes[j]) == 0;
		if (known)
			args->count--;
	}
}

size_t loam_redis_bulk_watches(const struct loam_redis_commit *commit)
{
	loam_auto_args struct loam_resp_args args = { 0 };
	add_watches(commit, &args);
	return args.count - 1;
}

static int compare(struct loam_redis_commit *commit, size_t index,
		   const struct loam_resp_reply *reply, bool *out_differs, struct loam_err *err)
{
	const struct loam_check *check = &commit->checks[index];
	struct loam_value value = { 0 };
	int rc = loam_redis_value_of(&check->record, reply, &value, err);
	if (rc < 0)
		return rc;
	*out_differs = !loam_value_equal(&value, &check->expected);
	loam_value_release(&value);
	return *out_differs ? loam_redis_commit_differs(commit, index, reply, err) : 0;
}

/* 1 all hold, 0 not. */
static int compare_all(struct loam_redis_commit *commit, const struct loam_record *records,
		       struct loam_resp_reply *const *replies, struct loam_err *err)
{
	loam_auto_free const struct loam_resp_reply **each =
		loam_xcalloc(commit->check_count, sizeof(*each));
	int rc = loam_redis_reads_split(records, commit->check_count, replies, each, err);
	bool any = false;
	for (size_t i = 0; i < commit->check_count && rc == 0; i++) {
		bool differs = false;
		rc = compare(commit, i, each[i], &differs, err);
		any = any || differs;
	}
	return rc < 0 ? rc : !any;
}

/* Trip 1: 1 all checks hold and are watched, 0 they do not. */
static int watch_and_read(struct loam_redis_conn *conn, struct loam_redis_commit *commit,
			  struct loam_deadline deadline, struct loam_err *err)
{
	loam_auto_batch struct loam_resp_batch batch = LOAM_RESP_BATCH;
	loam_auto_replies struct loam_resp_replies replies = { 0 };
	loam_auto_args struct loam_resp_args args = { 0 };
	loam_auto_free struct loam_record *records =
		loam_xcalloc(commit->check_count, sizeof(*records));
	for (size_t i = 0; i < commit->check_count; i++)
		records[i] = commit->checks[i].record;
	add_watches(commit, &args);
	int rc = loam_resp_batch_add(&batch, &args, err);
	if (rc == 0)
		rc = loam_redis_reads_add(&batch, records, commit->check_count, err);
	if (rc == 0)
		rc = loam_resp_ask(conn->resp, &batch, deadline, &replies, err);
	if (rc < 0) /* nothing was sent that changes anything */
		return err->code == LOAM_E_UNAVAILABLE ? LOAM_REDIS_AGAIN : rc;
	for (size_t i = 0; i < replies.count; i++)
		if (loam_redis_is_passing(replies.items[i])) {
			loam_redis_fail(replies.items[i], err, "commit");
			return LOAM_REDIS_AGAIN;
		}
	if (replies.items[0]->type == LOAM_RESP_ERROR)
		return loam_redis_fail(replies.items[0], err, "watch");

	return compare_all(commit, records, replies.items + 1, err);
}

/* MULTI to EXEC as one batch. */
static int build(struct loam_redis_commit *commit, struct loam_resp_batch *batch,
		 struct loam_err *err)
{
	loam_auto_args struct loam_resp_args args = { 0 };
	char number[24];
	bool has_result;
	int64_t *result;
	int rc = loam_resp_batch_words(batch, err, "MULTI", NULL);
	loam_redis_plan_rewind(&commit->plan);
	while (rc == 0 && loam_redis_plan_next(&commit->plan, &args, &has_result, &result)) {
		rc = loam_resp_batch_add(batch, &args, err);
		loam_resp_args_clear(&args);
	}
	snprintf(number, sizeof(number), "%llu", (unsigned long long)commit->number);
	if (rc == 0)
		rc = loam_resp_batch_words(batch, err, "HSET", LOAM_REDIS_TXN_KEY, commit->field,
					   number, NULL);
	return rc == 0 ? loam_resp_batch_words(batch, err, "EXEC", NULL) : rc;
}

/* The elements of EXEC's reply go to the writes they belong to. */
static int take_results(struct loam_redis_commit *commit, const struct loam_resp_reply *exec,
			struct loam_err *err)
{
	loam_auto_args struct loam_resp_args unused = { 0 };
	bool has_result;
	int64_t *result;
	for (size_t i = 0; i < exec->count; i++)
		if (exec->items[i]->type == LOAM_RESP_ERROR)
			return loam_redis_fail(exec->items[i], err,
					       "commit: a change was applied only in part");
	loam_redis_plan_rewind(&commit->plan);
	for (size_t i = 0; loam_redis_plan_next(&commit->plan, &unused, &has_result, &result);
	     i++) {
		loam_resp_args_clear(&unused);
		if (i >= exec->count)
			return loam_fail(err, LOAM_E_IO, "redis: a short reply to EXEC");
		if (result)
			*result = exec->items[i]->integer;
	}
	commit->results_known = true;
	return 1;
}

/* Trip 2. */
static int execute(struct loam_redis *redis, struct loam_redis_conn *conn,
		   struct loam_redis_commit *commit, struct loam_err *err)
{
	loam_auto_batch struct loam_resp_batch batch = LOAM_RESP_BATCH;
	loam_auto_replies struct loam_resp_replies replies = { 0 };
	int rc = build(commit, &batch, err);
	if (rc < 0)
		return rc;
	rc = loam_resp_ask(conn->resp, &batch, loam_redis_reply_deadline(redis, commit), &replies,
			   err);
	if (rc < 0)
		return err->code == LOAM_E_UNAVAILABLE ? LOAM_REDIS_LOST : rc;

	const struct loam_resp_reply *exec = replies.items[replies.count - 1];
	if (exec->type == LOAM_RESP_ARRAY)
		return take_results(commit, exec, err);
	if (exec->type == LOAM_RESP_NIL) {
		if (++commit->conflicts >= LOAM_REDIS_CONFLICTS_MAX)
			commit->prefers_script = true;
		loam_fail(err, LOAM_E_UNAVAILABLE,
			  "others change the same directories all the time");
		return LOAM_REDIS_AGAIN;
	}
	const struct loam_resp_reply *why = exec; /* the first refusal says more than EXECABORT */
	for (size_t i = replies.count; i-- > 0;)
		why = replies.items[i]->type == LOAM_RESP_ERROR ? replies.items[i] : why;
	if (why->type != LOAM_RESP_ERROR)
		return loam_fail(err, LOAM_E_IO, "redis: an unexpected reply to EXEC");
	rc = loam_redis_fail(why, err, "commit");
	if (rc == -LOAM_E_NO_SPACE && commit->plan.has_removals && redis->has_scripts) {
		commit->prefers_script = true;
		return LOAM_REDIS_AGAIN;
	}
	return loam_redis_is_passing(why) ? LOAM_REDIS_AGAIN : rc;
}

int loam_redis_bulk_commit(struct loam_redis *redis, struct loam_redis_conn *conn,
			   struct loam_redis_commit *commit, struct loam_err *err)
{
	int rc = 1;
	if (commit->check_count > 0)
		rc = watch_and_read(conn, commit, loam_redis_reply_deadline(redis, commit), err);
	if (rc == 1 && commit->write_count > 0)
		return execute(redis, conn, commit, err);
	if (commit->check_count == 0 || loam_resp_is_broken(conn->resp))
		return rc;

	/* Nothing will be executed: the watches must not outlive this call. */
	struct loam_err ignored = { 0 };
	loam_auto_batch struct loam_resp_batch batch = LOAM_RESP_BATCH;
	loam_auto_replies struct loam_resp_replies replies = { 0 };
	if (loam_resp_batch_words(&batch, &ignored, "UNWATCH", NULL) == 0)
		loam_resp_ask(conn->resp, &batch, loam_redis_reply_deadline(redis, commit),
			      &replies, &ignored);
	return rc;
}
