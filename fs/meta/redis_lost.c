/*
 * Lost replies (R03, F35; design.md §4). Every commit that writes also writes, atomically with it,
 *
 *   HSET loam:txn "<session>:<slot>" "<number>[ result …]"
 *
 * and no number is used twice by one process. When a reply does not come, the connection is closed,
 * a new one is made and Redis is told to kill the old one: bytes of ours that wait somewhere on the
 * way can then no longer be executed (shown by a prototype). Whatever the field says after that is
 * final: our number means applied. A restarted server has no connection of ours, and may have given
 * the old one's id to somebody else: its run_id tells, nothing is killed then.
 *
 * Without a session number the process names itself "p" and random digits. Fields are removed when
 * the engine is closed, or with the session's record (redis_plan.c).
 */
#include "fs/meta/meta_format.h"
#include "fs/meta/redis_engine.h"

#include <string.h>

static bool has_result(const struct loam_write *write)
{
	return write->op == LOAM_WRITE_ADD || write->op == LOAM_WRITE_APPEND ||
	       write->op == LOAM_WRITE_EXTEND;
}

static int take_value(struct loam_write *write, const struct loam_resp_reply *reply,
		      struct loam_err *err)
{
	struct loam_value value = { 0 };
	int rc = loam_redis_value_of(&write->record, reply, &value, err);
	if (rc < 0)
		return rc;
	write->result = write->op == LOAM_WRITE_ADD ? strtoll(loam_resp_text(reply), NULL, 10)
						    : (int64_t)(value.bytes / LOAM_SLICE_BYTES);
	loam_value_release(&value);
	return 0;
}

/* The present values, when the marker could not carry the results. */
static int read_results(struct loam_redis_conn *conn, struct loam_redis_commit *commit,
			struct loam_err *err)
{
	loam_auto_batch struct loam_resp_batch batch = LOAM_RESP_BATCH;
	loam_auto_replies struct loam_resp_replies replies = { 0 };
	int rc = 0;
	for (size_t i = 0; i < commit->write_count && rc == 0; i++)
		if (has_result(&commit->writes[i]))
			rc = loam_redis_read_add(&batch, &commit->writes[i].record, err);
	if (rc < 0 || batch.count == 0)
		return rc;
	rc = loam_resp_ask(conn->resp, &batch, commit->deadline, &replies, err);
	for (size_t i = 0, at = 0; i < commit->write_count && rc == 0; i++)
		if (has_result(&commit->writes[i]))
			rc = take_value(&commit->writes[i], replies.items[at++], err);
	return rc;
}

static void take_marker(struct loam_redis_commit *commit, const char *results)
{
	loam_auto_args struct loam_resp_args unused = { 0 };
	bool numbered;
	int64_t *result;
	char *at = (char *)results;
	loam_redis_plan_rewind(&commit->plan);
	while (loam_redis_plan_next(&commit->plan, &unused, &numbered, &result)) {
		loam_resp_args_clear(&unused);
		if (!numbered)
			continue;
		int64_t number = strtoll(at, &at, 10);
		if (result)
			*result = number;
	}
	commit->results_known = true;
}

/* One try over a fresh connection: 1 applied, 0 not, -code to be tried again or given up. */
static int ask(struct loam_redis *redis, struct loam_redis_conn *conn, uint64_t old_id,
	       const char *old_run_id, struct loam_redis_commit *commit, struct loam_err *err)
{
	loam_auto_batch struct loam_resp_batch batch = LOAM_RESP_BATCH;
	loam_auto_replies struct loam_resp_replies replies = { 0 };
	char id[24];
	bool same_run = strcmp(old_run_id, conn->run_id) == 0;
	snprintf(id, sizeof(id), "%llu", same_run ? (unsigned long long)old_id : 0ull);
	int rc = loam_resp_batch_words(&batch, err, "CLIENT", "KILL", "ID", id, NULL);
	if (!same_run || old_id == 0)
		loam_resp_batch_clear(&batch);
	if (rc == 0)
		rc = loam_resp_batch_words(&batch, err, "HGET", LOAM_REDIS_TXN_KEY, commit->field,
					   NULL);
	if (rc == 0)
		rc = loam_resp_ask(conn->resp, &batch, commit->deadline, &replies, err);
	if (rc < 0)
		return rc;

	const struct loam_resp_reply *marker = replies.items[replies.count - 1];
	if (marker->type == LOAM_RESP_ERROR)
		return loam_redis_fail(marker, err, "read the marker");
	char *end = NULL;
	const char *text = loam_resp_text(marker);
	if (*text && strtoull(text, &end, 10) == commit->number) {
		if (*end == ' ')
			take_marker(commit, end);
		return 1;
	}
	bool killed = replies.count == 2 && replies.items[0]->type == LOAM_RESP_INTEGER;
	if (same_run && !killed)
		return loam_fail(err, LOAM_E_UNAVAILABLE,
				 "the reply to a change was lost and this server does not allow "
				 "CLIENT KILL: whether it was made is not known");
	return 0;
}

int loam_redis_lost_resolve(struct loam_redis *redis, struct loam_redis_conn *conn,
			    struct loam_redis_commit *commit, struct loam_err *err)
{
	uint64_t old_id = conn->client_id;
	char old_run_id[LOAM_REDIS_RUN_ID_BYTES];
	memcpy(old_run_id, conn->run_id, sizeof(old_run_id));
	commit->results_known = false;
	for (unsigned attempt = 0;; attempt++) {
		struct loam_err why = { 0 };
		int rc = loam_redis_pool_reconnect(redis->pool, conn, commit->deadline, &why);
		if (rc == 0)
			rc = ask(redis, conn, old_id, old_run_id, commit, &why);
		if (rc == 1 && !commit->results_known)
			rc = read_results(conn, commit, &why) < 0 ? -LOAM_E_UNAVAILABLE : 1;
		if (rc >= 0)
			return rc;
		if (!loam_redis_pause(attempt, commit->deadline))
			return loam_fail(
				err, LOAM_E_UNAVAILABLE,
				"the reply to a change was lost; whether it was made is not "
				"known: %.300s",
				why.text);
	}
}

void loam_redis_lost_forget(struct loam_redis *redis)
{
	struct loam_err ignored = { 0 };
	struct loam_redis_conn *conn;
	loam_auto_args struct loam_resp_args args = { 0 };
	loam_auto_batch struct loam_resp_batch batch = LOAM_RESP_BATCH;
	loam_auto_replies struct loam_resp_replies replies = { 0 };
	struct loam_deadline deadline = loam_deadline_in(1000);
	loam_resp_arg_word(&args, "HDEL");
	loam_resp_arg_word(&args, LOAM_REDIS_TXN_KEY);
	for (unsigned slot = 0; slot < LOAM_REDIS_CONNECTIONS; slot++) {
		loam_resp_arg_format(&args, "%s:%u", redis->identity, slot);
		loam_resp_arg_format(&args, "%s:%u", redis->first_identity, slot);
	}
	if (loam_resp_batch_add(&batch, &args, &ignored) < 0 ||
	    loam_redis_pool_take(redis->pool, deadline, &conn, &ignored) < 0)
		return;
	loam_resp_ask(conn->resp, &batch, deadline, &replies, &ignored);
	loam_redis_pool_give(redis->pool, conn);
}
