/*
 * The Redis engine: the volume format's own keys, so official clients work beside us (record.h; all
 * steps that touch metadata). Reading order of its files:
 *
 *   resp, resp_batch   the protocol on one connection      redis_url   addresses
 *   redis_pool         16 connections, retries             redis_keys, redis_values   record <->
 * key redis_plan         writes grouped into commands        redis_commit   one commit to its
 * answer redis_script       by the compare-and-write script     redis_bulk     by WATCH … EXEC
 *   redis_lost         what a lost reply was               redis_scan     listings
 *   redis_barrier      durability                          redis_fair     turns for official
 * clients
 *
 * Besides the volume's keys it keeps loam:txn (lost-reply markers, gone when the engine is closed),
 * loam:local (LOAM_REC_LOCAL) and, only with WAITAOF, loam:barrier.
 */
#include "fs/meta/redis_engine.h"

#include "core/hash.h"
#include "fs/meta/meta_format.h"

#include <string.h>

static const struct loam_engine_ops record_redis_ops;

struct loam_redis *loam_redis_of(struct loam_engine *engine)
{
	loam_assert(engine->ops == &record_redis_ops);
	return (struct loam_redis *)engine;
}

/* --- read */

static int redis_read(struct loam_engine *engine, const struct loam_record *records, size_t count,
		      struct loam_value *out, struct loam_err *err)
{
	struct loam_redis *redis = loam_redis_of(engine);
	loam_auto_batch struct loam_resp_batch batch = LOAM_RESP_BATCH;
	loam_auto_replies struct loam_resp_replies replies = { 0 };
	if (count == 0)
		return 0;
	loam_auto_free const struct loam_resp_reply **each = loam_xcalloc(count, sizeof(*each));
	int rc = loam_redis_reads_add(&batch, records, count, err);
	if (rc == 0)
		rc = loam_redis_pool_ask(redis->pool, &batch, loam_deadline_in(redis->deadline_ms),
					 &replies, err);
	if (rc == 0)
		rc = loam_redis_reads_split(records, count, replies.items, each, err);
	if (rc < 0)
		return rc;
	memset(out, 0, count * sizeof(*out));
	for (size_t i = 0; i < count && rc == 0; i++)
		rc = loam_redis_value_of(&records[i], each[i], &out[i], err);
	for (size_t i = 0; i < count && rc < 0; i++)
		loam_value_release(&out[i]);
	return rc;
}

/* Two trips, for servers without scripts. */
static int lookup_by_reads(struct loam_engine *engine, uint64_t parent, struct loam_name name,
			   struct loam_value *out_dentry, struct loam_value *out_attr,
			   struct loam_err *err)
{
	struct loam_record record = { .kind = LOAM_REC_DENTRY, .id = parent, .name = name };
	struct loam_value dentry, attr = { 0 };
	struct loam_dentry entry;
	struct loam_err broken = { 0 };
	int rc = redis_read(engine, &record, 1, &dentry, err);
	if (rc < 0 || !dentry.present)
		return rc;
	if (loam_dentry_decode(dentry.data, dentry.bytes, &entry, &broken) == 0) {
		record = (struct loam_record){ .kind = LOAM_REC_ATTR, .id = entry.ino };
		rc = redis_read(engine, &record, 1, &attr, err);
		if (rc < 0) {
			loam_value_release(&dentry);
			return rc;
		}
	}
	*out_dentry = dentry;
	*out_attr = attr;
	return 1;
}

static int redis_lookup(struct loam_engine *engine, uint64_t parent, struct loam_name name,
			struct loam_value *out_dentry, struct loam_value *out_attr,
			struct loam_err *err)
{
	struct loam_redis *redis = loam_redis_of(engine);
	if (!redis->has_scripts)
		return lookup_by_reads(engine, parent, name, out_dentry, out_attr, err);
	return loam_redis_script_lookup(redis, parent, name, out_dentry, out_attr, err);
}

/* --- write */

static int redis_commit(struct loam_engine *engine, const struct loam_check *checks,
			size_t check_count, struct loam_write *writes, size_t write_count,
			unsigned flags, struct loam_value *present, bool *present_differs,
			struct loam_err *err)
{
	struct loam_redis_commit commit = { .checks = checks,
					    .check_count = check_count,
					    .writes = writes,
					    .write_count = write_count,
					    .flags = flags,
					    .present = present,
					    .present_differs = present_differs };
	return loam_redis_commit_run(loam_redis_of(engine), &commit, err);
}

/* A commit of one write. After a lost reply without the number the counter is raised once more:
 * what it hands out are names, and a gap is better than a name given twice. */
static int redis_add(struct loam_engine *engine, const char *counter, int64_t delta,
		     int64_t *out_value, struct loam_err *err)
{
	for (;;) {
		struct loam_write write = { .op = LOAM_WRITE_ADD,
					    .record = { .kind = LOAM_REC_COUNTER,
							.name = loam_name_of(counter) },
					    .delta = delta };
		struct loam_redis_commit commit = { .writes = &write, .write_count = 1 };
		int rc = loam_redis_commit_run(loam_redis_of(engine), &commit, err);
		if (rc < 0)
			return rc;
		if (commit.results_known) {
			*out_value = write.result;
			return 0;
		}
	}
}

/* --- about the server */

static int ask_one(struct loam_redis *redis, const char *word, const char *second,
		   struct loam_resp_replies *out, struct loam_err *err)
{
	loam_auto_batch struct loam_resp_batch batch = LOAM_RESP_BATCH;
	int rc = loam_resp_batch_words(&batch, err, word, second, NULL);
	if (rc == 0)
		rc = loam_redis_pool_ask(redis->pool, &batch, loam_deadline_in(redis->deadline_ms),
					 out, err);
	if (rc == 0 && out->items[0]->type == LOAM_RESP_ERROR)
		rc = loam_redis_fail(out->items[0], err, "%s", word);
	return rc;
}

static int redis_now(struct loam_engine *engine, int64_t *out_seconds, struct loam_err *err)
{
	loam_auto_replies struct loam_resp_replies replies = { 0 };
	int rc = ask_one(loam_redis_of(engine), "TIME", NULL, &replies, err);
	if (rc < 0)
		return rc;
	const struct loam_resp_reply *time = replies.items[0];
	if (time->type != LOAM_RESP_ARRAY || time->count < 1)
		return loam_fail(err, LOAM_E_IO, "redis: an unexpected reply to TIME");
	*out_seconds = strtoll(loam_resp_text(time->items[0]), NULL, 10);
	return 0;
}

static int redis_is_empty(struct loam_engine *engine, struct loam_err *err)
{
	loam_auto_replies struct loam_resp_replies replies = { 0 };
	int rc = ask_one(loam_redis_of(engine), "DBSIZE", NULL, &replies, err);
	if (rc < 0)
		return rc;
	if (replies.items[0]->type != LOAM_RESP_INTEGER)
		return loam_fail(err, LOAM_E_IO, "redis: an unexpected reply to DBSIZE");
	return replies.items[0]->integer == 0;
}

static int redis_barrier(struct loam_engine *engine, struct loam_err *err)
{
	return loam_redis_barrier_wait(loam_redis_of(engine), err);
}

static int redis_describe(struct loam_engine *engine, char *text, size_t text_bytes,
			  struct loam_err *err)
{
	struct loam_redis *redis = loam_redis_of(engine);
	char durability[64];
	int rc = loam_redis_barrier_describe(redis, durability, sizeof(durability), err);
	if (rc < 0)
		return rc;
	snprintf(text, text_bytes, "redis %s %s, %s%s%s", redis->version, redis->url.shown,
		 durability, redis->has_scripts ? "" : ", no scripts", redis->policy_note);
	return 0;
}

static void redis_set_session(struct loam_engine *engine, uint64_t sid)
{
	struct loam_redis *redis = loam_redis_of(engine);
	loam_guard(&redis->lock);
	snprintf(redis->identity, sizeof(redis->identity), "%llu", (unsigned long long)sid);
}

/* --- open and free */

static void redis_release(struct loam_redis *redis)
{
	loam_redis_pool_free(redis->pool);
	loam_redis_url_release(&redis->url);
	loam_redis_fair_release(&redis->fair);
	pthread_cond_destroy(&redis->barrier.ended);
	pthread_mutex_destroy(&redis->barrier.lock);
	pthread_mutex_destroy(&redis->lock);
	free(redis);
}

static void redis_free(struct loam_engine *engine)
{
	struct loam_redis *redis = loam_redis_of(engine);
	if (atomic_load(&redis->last_number) != redis->first_number)
		loam_redis_lost_forget(redis);
	redis_release(redis);
}

/* noeviction, or made so. Servers that keep their configuration to themselves are believed when
 * INFO says it, and noted when it says nothing. */
static int check_policy(struct loam_redis *redis, const char *info, struct loam_err *err)
{
	char policy[32];
	loam_redis_info_get(info, "maxmemory_policy", policy, sizeof(policy));
	if (strcmp(policy, "noeviction") == 0)
		return 0;
	if (!*policy) {
		snprintf(redis->policy_note, sizeof(redis->policy_note),
			 ", eviction policy not told");
		return 0;
	}
	loam_auto_batch struct loam_resp_batch batch = LOAM_RESP_BATCH;
	loam_auto_replies struct loam_resp_replies replies = { 0 };
	int rc = loam_resp_batch_words(&batch, err, "CONFIG", "SET", "maxmemory-policy",
				       "noeviction", NULL);
	if (rc == 0)
		rc = loam_redis_pool_ask(redis->pool, &batch, loam_deadline_in(redis->deadline_ms),
					 &replies, err);
	if (rc < 0)
		return rc;
	if (replies.items[0]->type != LOAM_RESP_STATUS)
		return loam_fail(
			err, LOAM_E_UNSUPPORTED,
			"redis %s evicts keys (maxmemory-policy %s) and does not let us set "
			"noeviction: metadata would be lost",
			redis->url.shown, policy);
	return 0;
}

static int check_server(struct loam_redis *redis, struct loam_err *err)
{
	loam_auto_replies struct loam_resp_replies replies = { 0 };
	char mode[16];
	int rc = ask_one(redis, "INFO", NULL, &replies, err);
	if (rc < 0)
		return rc;
	const char *info = loam_resp_text(replies.items[0]);
	loam_redis_info_get(info, "redis_mode", mode, sizeof(mode));
	if (strcmp(mode, "cluster") == 0 || strcmp(mode, "sentinel") == 0)
		return loam_fail(err, LOAM_E_UNSUPPORTED, "%s is a redis %s, which is not built",
				 redis->url.shown, mode);
	loam_redis_info_get(info, "redis_version", redis->version, sizeof(redis->version));
	char *dot = redis->version;
	redis->version_major = (unsigned)strtoul(redis->version, &dot, 10);
	redis->version_minor = *dot == '.' ? (unsigned)strtoul(dot + 1, NULL, 10) : 0;
	if (redis->version_major < 6)
		return loam_fail(err, LOAM_E_UNSUPPORTED, "redis %s is version '%s', 6.0 is needed",
				 redis->url.shown, redis->version);
	rc = check_policy(redis, info, err);
	if (rc < 0)
		return rc;
	rc = loam_redis_script_probe(redis, err);
	redis->has_scripts = rc == 1;
	return rc < 0 ? rc : 0;
}

/* The first connection fails at once when nobody listens; later ones are tried to the deadline. */
static int check_reach(struct loam_redis *redis, struct loam_err *err)
{
	struct loam_redis_conn *conn;
	int rc =
		loam_redis_pool_take(redis->pool, loam_deadline_in(redis->deadline_ms), &conn, err);
	if (rc == 0)
		loam_redis_pool_give(redis->pool, conn);
	return rc;
}

int loam_record_redis_open(const char *url, struct loam_engine **out_engine, struct loam_err *err)
{
	struct loam_redis *redis = loam_xnew(struct loam_redis);
	uint32_t random[3];
	int rc = loam_redis_url_parse(url, &redis->url, err);
	if (rc < 0) {
		free(redis);
		return rc;
	}
	redis->base.ops = &record_redis_ops;
	redis->deadline_ms = LOAM_META_DEADLINE_MS;
	redis->reply_ms = LOAM_REDIS_REPLY_MS;
	pthread_mutex_init(&redis->lock, NULL);
	pthread_mutex_init(&redis->barrier.lock, NULL);
	pthread_cond_init(&redis->barrier.ended, NULL);
	loam_redis_fair_init(&redis->fair);
	redis->pool = loam_redis_pool_new(&redis->url);
	loam_random(random, sizeof(random));
	snprintf(redis->identity, sizeof(redis->identity), "p%08x%08x", random[0], random[1]);
	memcpy(redis->first_identity, redis->identity, sizeof(redis->identity));
	redis->first_number = (uint64_t)random[2] << 24; /* below 2^56: never wraps */
	atomic_init(&redis->last_number, redis->first_number);

	rc = check_reach(redis, err);
	if (rc == 0)
		rc = check_server(redis, err);
	if (rc < 0) {
		redis_release(redis);
		return rc;
	}
	*out_engine = &redis->base;
	return 0;
}

static const struct loam_engine_ops record_redis_ops = {
	.name = "redis",
	.read = redis_read,
	.lookup = redis_lookup,
	.commit = redis_commit,
	.add = redis_add,
	.scan = loam_redis_scan,
	.now = redis_now,
	.barrier = redis_barrier,
	.describe = redis_describe,
	.set_session = redis_set_session,
	.is_empty = redis_is_empty,
	.free = redis_free,
};
