/*
 * A commit from the first attempt to its true answer (record.h; steps 4 and 8 of a push): which way
 * it goes, turns for others, errors that pass, lost replies.
 */
#include "fs/meta/redis_engine.h"

#include <string.h>

int loam_redis_commit_differs(struct loam_redis_commit *commit, size_t index,
			      const struct loam_resp_reply *reply, struct loam_err *err)
{
	struct loam_value value = { 0 };
	int rc = loam_redis_value_of(&commit->checks[index].record, reply, &value, err);
	if (rc < 0)
		return rc;
	if (commit->present_differs)
		commit->present_differs[index] = true;
	if (!commit->present) {
		loam_value_release(&value);
		return 0;
	}
	loam_value_release(&commit->present[index]);
	commit->present[index] = value;
	return 0;
}

/* The caller's arrays come unset and stay so, or empty, unless a check differs. */
static void init_differences(struct loam_redis_commit *commit)
{
	if (commit->present_differs)
		memset(commit->present_differs, 0, commit->check_count * sizeof(bool));
	if (commit->present)
		memset(commit->present, 0, commit->check_count * sizeof(struct loam_value));
}

static void forget_differences(struct loam_redis_commit *commit)
{
	for (size_t i = 0; i < commit->check_count; i++) {
		if (commit->present_differs)
			commit->present_differs[i] = false;
		if (commit->present)
			loam_value_release(&commit->present[i]);
	}
}

static bool goes_by_script(const struct loam_redis *redis, const struct loam_redis_commit *commit)
{
	size_t small = commit->flags & LOAM_COMMIT_BULK ? LOAM_REDIS_BULK_WRITES
							: LOAM_REDIS_SCRIPT_WRITES;
	if (!redis->has_scripts)
		return false;
	if (commit->prefers_script || commit->write_count <= small)
		return true;
	return commit->check_count > LOAM_REDIS_WATCHES_MAX && /* never more keys than checks */
	       loam_redis_bulk_watches(commit) > LOAM_REDIS_WATCHES_MAX;
}

/* Each directory once that stands beside its like; a publish of many needs no pause for each. */
static void wait_for_turns(struct loam_redis *redis, const struct loam_redis_commit *commit)
{
	uint64_t last = 0;
	for (size_t i = 0; i < commit->write_count; i++) {
		const struct loam_record *record = &commit->writes[i].record;
		if (record->kind != LOAM_REC_DENTRY || record->id == last)
			continue;
		last = record->id;
		loam_redis_fair_wait(&redis->fair, last);
	}
}

static void name_attempt(struct loam_redis *redis, struct loam_redis_commit *commit,
			 const struct loam_redis_conn *conn)
{
	loam_guard(&redis->lock);
	snprintf(commit->field, sizeof(commit->field), "%s:%u", redis->identity, conn->slot);
	commit->number = atomic_fetch_add(&redis->last_number, 1) + 1;
}

struct loam_deadline loam_redis_reply_deadline(const struct loam_redis *redis,
					       const struct loam_redis_commit *commit)
{
	uint64_t left_ms = (uint64_t)loam_deadline_left_ms(commit->deadline) * 2 / 3;
	return loam_deadline_in(left_ms < redis->reply_ms ? left_ms : redis->reply_ms);
}

static int attempt(struct loam_redis *redis, struct loam_redis_commit *commit, struct loam_err *err)
{
	struct loam_redis_conn *conn;
	commit->was_lost = false;
	int rc = loam_redis_pool_take(redis->pool, commit->deadline, &conn, err);
	if (rc < 0)
		return err->code == LOAM_E_UNAVAILABLE ? LOAM_REDIS_AGAIN : rc;

	rc = loam_redis_restart_check(redis, conn, conn->run_id, err);
	if (rc < 0) {
		loam_redis_pool_give(redis->pool, conn);
		return err->code == LOAM_E_UNAVAILABLE ? LOAM_REDIS_AGAIN : rc;
	}
	name_attempt(redis, commit, conn);
	forget_differences(commit);
	rc = goes_by_script(redis, commit) ? loam_redis_script_commit(redis, conn, commit, err)
					   : loam_redis_bulk_commit(redis, conn, commit, err);
	if (rc == LOAM_REDIS_LOST) {
		struct loam_err lost = *err;
		loam_err_clear(err);
		commit->was_lost = true;
		rc = loam_redis_lost_resolve(redis, conn, commit, err);
		if (rc == 0) {
			*err = lost;
			rc = LOAM_REDIS_AGAIN;
		}
	}
	if (rc == 1)
		loam_redis_restart_note(redis, conn, commit);
	loam_redis_pool_give(redis->pool, conn);
	return rc;
}

static int run(struct loam_redis *redis, struct loam_redis_commit *commit, struct loam_err *err)
{
	commit->deadline = loam_deadline_in(redis->deadline_ms);
	struct loam_err named = { 0 }; /* what Redis said last; silence says less */
	for (unsigned n = 0;; n++) {
		int rc = attempt(redis, commit, err);
		if (rc != LOAM_REDIS_AGAIN)
			return rc < 0 ? loam_context(err, "redis %s", redis->url.shown) : rc;
		if (!commit->was_lost)
			named = *err;
		if (!loam_redis_pause(n, commit->deadline)) {
			if (named.code != LOAM_E_OK)
				*err = named;
			return loam_context(err, "redis %s: nothing was changed", redis->url.shown);
		}
		loam_err_clear(err);
	}
}

int loam_redis_commit_run(struct loam_redis *redis, struct loam_redis_commit *commit,
			  struct loam_err *err)
{
	init_differences(commit);
	int rc = loam_redis_plan_make(&commit->plan, commit->writes, commit->write_count, err);
	if (rc == 0) {
		wait_for_turns(redis, commit);
		rc = run(redis, commit, err);
	}
	if (rc != 0)
		forget_differences(commit);
	loam_redis_plan_release(&commit->plan);
	return rc;
}
