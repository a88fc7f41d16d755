/*
 * Connections to Redis (redis_pool.h). Invariants: a slot is used by one thread at a time; the lock
 * is never held over a call that may block except waiting for a slot.
 */
#include "fs/meta/redis_pool.h"

#include "core/clock.h"
#include "core/hash.h"
#include "fs/meta/redis_keys.h"

#include <string.h>

#define CONNECT_MS   10000
#define REPLY_MS     10000 /* then a read is tried over another connection */
#define PAUSE_MS_MAX 100

struct loam_redis_pool {
	const struct loam_redis_url *url;
	pthread_mutex_t lock; /* guards taken */
	pthread_cond_t given;
	struct loam_redis_conn slots[LOAM_REDIS_CONNECTIONS];
};

struct loam_redis_pool *loam_redis_pool_new(const struct loam_redis_url *url)
{
	struct loam_redis_pool *pool = loam_xnew(struct loam_redis_pool);
	pthread_cond_init(&pool->given, NULL);
	pthread_mutex_init(&pool->lock, NULL);
	pool->url = url;
	for (unsigned i = 0; i < LOAM_REDIS_CONNECTIONS; i++)
		pool->slots[i].slot = i;
	return pool;
}

static void hang_up(struct loam_redis_conn *conn)
{
	loam_resp_free(conn->resp);
	conn->resp = NULL;
}

void loam_redis_pool_free(struct loam_redis_pool *pool)
{
	if (!pool)
		return;
	for (unsigned i = 0; i < LOAM_REDIS_CONNECTIONS; i++) {
		loam_assert(!pool->slots[i].taken);
		hang_up(&pool->slots[i]);
	}
	pthread_cond_destroy(&pool->given);
	pthread_mutex_destroy(&pool->lock);
	free(pool);
}

void loam_redis_info_get(const char *info, const char *name, char *out, size_t out_bytes)
{
	size_t name_bytes = strlen(name);
	out[0] = '\0';
	for (const char *line = info; line && *line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, name, name_bytes) != 0 || line[name_bytes] != ':')
			continue;
		const char *value = line + name_bytes + 1;
		snprintf(out, out_bytes, "%.*s", (int)strcspn(value, "\r\n"), value);
		return;
	}
}

/* --- making a connection */

/* AUTH, SELECT, CLIENT ID and INFO in one trip. */
static int greeting(const struct loam_redis_url *url, struct loam_resp_batch *batch,
		    struct loam_err *err)
{
	char db[16];
	snprintf(db, sizeof(db), "%u", url->db);
	int rc = 0;
	if (url->password && url->user)
		rc = loam_resp_batch_words(batch, err, "AUTH", url->user, url->password, NULL);
	else if (url->password)
		rc = loam_resp_batch_words(batch, err, "AUTH", url->password, NULL);
	if (rc == 0)
		rc = loam_resp_batch_words(batch, err, "SELECT", db, NULL);
	if (rc == 0)
		rc = loam_resp_batch_words(batch, err, "CLIENT", "ID", NULL);
	if (rc == 0)
		rc = loam_resp_batch_words(batch, err, "INFO", "server", NULL);
	return rc;
}

static int greet(const struct loam_redis_url *url, struct loam_redis_conn *conn,
		 struct loam_deadline deadline, struct loam_err *err)
{
	loam_auto_batch struct loam_resp_batch batch = LOAM_RESP_BATCH;
	loam_auto_replies struct loam_resp_replies replies = { 0 };
	int rc = greeting(url, &batch, err);
	if (rc == 0)
		rc = loam_resp_ask(conn->resp, &batch, deadline, &replies, err);
	if (rc < 0)
		return rc;
	size_t at = 0;
	if (url->password && replies.items[at++]->type == LOAM_RESP_ERROR)
		return loam_redis_fail(replies.items[0], err, "log in");
	if (replies.items[at]->type == LOAM_RESP_ERROR)
		return loam_redis_fail(replies.items[at], err, "select database %u", url->db);
	const struct loam_resp_reply *id = replies.items[at + 1];
	conn->client_id = id->type == LOAM_RESP_INTEGER ? (uint64_t)id->integer : 0;
	loam_redis_info_get(loam_resp_text(replies.items[at + 2]), "run_id", conn->run_id,
			    sizeof(conn->run_id));
	return 0;
}

int loam_redis_pool_reconnect(struct loam_redis_pool *pool, struct loam_redis_conn *conn,
			      struct loam_deadline deadline, struct loam_err *err)
{
	const struct loam_redis_url *url = pool->url;
	struct loam_deadline soon = loam_deadline_in(CONNECT_MS);
	if (soon.at_ms < deadline.at_ms)
		deadline = soon;
	hang_up(conn);
	struct loam_stream *stream = NULL;
	int rc = url->socket_path
			 ? loam_stream_connect_unix(url->socket_path, deadline, &stream, err)
			 : loam_stream_connect_tcp(url->host, url->port, url->tls, deadline,
						   &stream, err);
	if (rc < 0)
		return loam_context(err, "redis %s", url->shown);
	conn->resp = loam_resp_new(stream);
	rc = greet(url, conn, deadline, err);
	if (rc < 0) {
		hang_up(conn);
		return loam_context(err, "redis %s", url->shown);
	}
	return 0;
}

/* --- taking and giving */

/* A free slot, one that is connected if there is; NULL when all are taken. */
static struct loam_redis_conn *free_slot(struct loam_redis_pool *pool)
{
	struct loam_redis_conn *bare = NULL;
	for (unsigned i = 0; i < LOAM_REDIS_CONNECTIONS; i++) {
		struct loam_redis_conn *conn = &pool->slots[i];
		if (conn->taken)
			continue;
		if (conn->resp)
			return conn;
		bare = bare ? bare : conn;
	}
	return bare;
}

static struct loam_redis_conn *wait_for_slot(struct loam_redis_pool *pool,
					     struct loam_deadline deadline)
{
	loam_guard(&pool->lock);
	for (;;) {
		struct loam_redis_conn *conn = free_slot(pool);
		if (conn) {
			conn->taken = true;
			return conn;
		}
		if (!loam_cond_wait_until(&pool->given, &pool->lock, deadline.at_ms))
			return NULL;
	}
}

int loam_redis_pool_take(struct loam_redis_pool *pool, struct loam_deadline deadline,
			 struct loam_redis_conn **out_conn, struct loam_err *err)
{
	struct loam_redis_conn *conn = wait_for_slot(pool, deadline);
	if (!conn)
		return loam_fail(err, LOAM_E_UNAVAILABLE, "redis: all %d connections are busy",
				 LOAM_REDIS_CONNECTIONS);
	if (!conn->resp || !loam_resp_is_usable(conn->resp)) {
		int rc = loam_redis_pool_reconnect(pool, conn, deadline, err);
		if (rc < 0) {
			loam_redis_pool_give(pool, conn);
			return rc;
		}
	}
	*out_conn = conn;
	return 0;
}

void loam_redis_pool_give(struct loam_redis_pool *pool, struct loam_redis_conn *conn)
{
	if (conn->resp && loam_resp_is_broken(conn->resp))
		hang_up(conn);
	loam_guard(&pool->lock);
	conn->taken = false;
	pthread_cond_signal(&pool->given);
}

bool loam_redis_pause(unsigned attempt, struct loam_deadline deadline)
{
	uint64_t most_ms = attempt < 7 ? 1u << attempt : PAUSE_MS_MAX;
	if (most_ms > PAUSE_MS_MAX)
		most_ms = PAUSE_MS_MAX;
	uint64_t pause_ms = 1 + loam_random_below(most_ms);
	if ((uint64_t)loam_deadline_left_ms(deadline) <= pause_ms)
		return false;
	loam_clock_sleep_ms(pause_ms);
	return true;
}

static const struct loam_resp_reply *passing_error(const struct loam_resp_replies *replies)
{
	for (size_t i = 0; i < replies->count; i++)
		if (loam_redis_is_passing(replies->items[i]))
			return replies->items[i];
	return NULL;
}

static int ask_once(struct loam_redis_pool *pool, const struct loam_resp_batch *batch,
		    struct loam_deadline deadline, struct loam_resp_replies *out_replies,
		    struct loam_err *err)
{
	struct loam_redis_conn *conn;
	int rc = loam_redis_pool_take(pool, deadline, &conn, err);
	if (rc < 0)
		return rc;
	struct loam_deadline soon = loam_deadline_in(REPLY_MS);
	rc = loam_resp_ask(conn->resp, batch, soon.at_ms < deadline.at_ms ? soon : deadline,
			   out_replies, err);
	loam_redis_pool_give(pool, conn);
	return rc < 0 ? loam_context(err, "redis %s", pool->url->shown) : 0;
}

int loam_redis_pool_ask(struct loam_redis_pool *pool, const struct loam_resp_batch *batch,
			struct loam_deadline deadline, struct loam_resp_replies *out_replies,
			struct loam_err *err)
{
	for (unsigned attempt = 0;; attempt++) {
		loam_auto_replies struct loam_resp_replies replies = { 0 };
		int rc = ask_once(pool, batch, deadline, &replies, err);
		if (rc < 0) {
			if (err->code != LOAM_E_UNAVAILABLE || !loam_redis_pause(attempt, deadline))
				return rc;
			loam_err_clear(err);
			continue;
		}
		const struct loam_resp_reply *passing = passing_error(&replies);
		if (!passing) {
			*out_replies = replies;
			replies = (struct loam_resp_replies){ 0 };
			return 0;
		}
		if (!loam_redis_pause(attempt, deadline))
			return loam_redis_fail(passing, err, "redis %s", pool->url->shown);
	}
}
