/*
 * Did Redis come back without changes that it had answered? (steps 3, 4 and 8 of a push: before
 * anything is acknowledged)
 *
 * With everysec Redis answers before it writes its file while an fsync is under way; killed in that
 * moment it comes back without those changes, and a barrier on the new run would find nothing to
 * sync and say that all is well. The markers of redis_lost.c tell: the file is written in the order
 * of the commits, so what was answered is there exactly when the last answered number of each
 * connection is. Asked once for each restart, by the first commit or barrier behind it; when
 * something is missing, barriers fail for as long as a change may wait for its barrier.
 *
 * Known limit: bytes that a process has written long before their fsync are not told apart.
 */
#include "fs/meta/redis_engine.h"

#include "core/log.h"
#include "fs/meta/meta_format.h"

#include <string.h>

void loam_redis_restart_note(struct loam_redis *redis, const struct loam_redis_conn *conn,
			     const struct loam_redis_commit *commit)
{
	if (commit->write_count == 0 || conn->run_id[0] == '\0')
		return;
	loam_guard(&redis->lock);
	struct loam_redis_answered *answered = &redis->answered[conn->slot];
	answered->number = commit->number;
	memcpy(answered->field, commit->field, sizeof(answered->field));
	memcpy(answered->run_id, conn->run_id, sizeof(answered->run_id));
}

/* Those of another run than this one; their slots in which. */
static size_t gather(struct loam_redis *redis, const char *run_id,
		     struct loam_redis_answered out[LOAM_REDIS_CONNECTIONS])
{
	size_t count = 0;
	loam_guard(&redis->lock);
	for (size_t i = 0; i < LOAM_REDIS_CONNECTIONS; i++)
		if (redis->answered[i].number != 0 && run_id[0] != '\0' &&
		    strcmp(redis->answered[i].run_id, run_id) != 0)
			out[count++] = redis->answered[i];
	return count;
}

/* Forgets what was asked about; a number that came meanwhile is asked about the next time. */
static void settle(struct loam_redis *redis, const struct loam_redis_answered *asked, size_t count,
		   size_t lost)
{
	loam_guard(&redis->lock);
	for (size_t a = 0; a < count; a++)
		for (size_t i = 0; i < LOAM_REDIS_CONNECTIONS; i++)
			if (redis->answered[i].number == asked[a].number)
				redis->answered[i].number = 0;
	if (lost > 0)
		redis->lost_until_ms = loam_clock_ms() + redis->deadline_ms;
}

static int ask(struct loam_redis *redis, struct loam_redis_conn *conn,
	       const struct loam_redis_answered *asked, size_t count,
	       struct loam_resp_replies *replies, struct loam_err *err)
{
	loam_auto_batch struct loam_resp_batch batch = LOAM_RESP_BATCH;
	struct loam_deadline deadline = loam_deadline_in(redis->deadline_ms);
	int rc = 0;
	for (size_t i = 0; i < count && rc == 0; i++)
		rc = loam_resp_batch_words(&batch, err, "HGET", LOAM_REDIS_TXN_KEY, asked[i].field,
					   NULL);
	if (rc < 0)
		return rc;
	if (!conn)
		return loam_redis_pool_ask(redis->pool, &batch, deadline, replies, err);
	rc = loam_resp_ask(conn->resp, &batch, deadline, replies, err);
	for (size_t i = 0; i < count && rc == 0; i++)
		if (replies->items[i]->type == LOAM_RESP_ERROR)
			rc = loam_redis_fail(replies->items[i], err, "read the markers");
	return rc;
}

int loam_redis_restart_check(struct loam_redis *redis, struct loam_redis_conn *conn,
			     const char *run_id, struct loam_err *err)
{
	struct loam_redis_answered asked[LOAM_REDIS_CONNECTIONS];
	loam_auto_replies struct loam_resp_replies replies = { 0 };
	size_t lost = 0, count = gather(redis, run_id, asked);
	if (count == 0)
		return 0;
	int rc = ask(redis, conn, asked, count, &replies, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < count; i++)
		lost += strtoull(loam_resp_text(replies.items[i]), NULL, 10) < asked[i].number;
	settle(redis, asked, count, lost);
	if (lost > 0)
		loam_warn("redis.restart", "answered=%zu lost=%zu run=%s", count, lost, run_id);
	return 0;
}

int loam_redis_restart_kept(struct loam_redis *redis, const char *run_id, struct loam_err *err)
{
	int rc = loam_redis_restart_check(redis, NULL, run_id, err);
	if (rc < 0)
		return rc;
	loam_guard(&redis->lock);
	if (redis->lost_until_ms <= loam_clock_ms())
		return 0;
	return loam_fail(err, LOAM_E_UNAVAILABLE,
			 "redis came back without changes that it had answered; try again");
}
