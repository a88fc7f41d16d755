/*
 * A bounded pool of connections to one Redis server.
 *
 * A connection belongs to a slot, 0 … limit-1; the slot's number is part of the lost-reply marker.
 * A broken connection is closed when it is given back and made anew when the slot is taken again;
 * one that the server closed while idle is noticed when it is taken.
 *
 * Threads: all calls from any thread; a taken connection belongs to its taker.
 */
#ifndef LOAM_FS_META_REDIS_POOL_H
#define LOAM_FS_META_REDIS_POOL_H

#include "fs/meta/redis_url.h"
#include "fs/meta/resp.h"

#define LOAM_REDIS_CONNECTIONS	16
#define LOAM_REDIS_RUN_ID_BYTES 48

struct loam_redis_conn {
	struct loam_resp *resp;		      /* NULL while the slot has no connection */
	uint64_t client_id;		      /* Redis' CLIENT ID, 0: not told */
	char run_id[LOAM_REDIS_RUN_ID_BYTES]; /* names one run of the server, "" not told */
	unsigned slot;
	bool taken;
};

struct loam_redis_pool;
/* url is borrowed for the pool's life. Nothing is connected yet. */
struct loam_redis_pool *loam_redis_pool_new(const struct loam_redis_url *url);
void loam_redis_pool_free(struct loam_redis_pool *pool); /* nothing may be taken */
/* Errors: UNAVAILABLE (no slot or no connection in time), DENIED (password). */
int loam_redis_pool_take(struct loam_redis_pool *pool, struct loam_deadline deadline,
			 struct loam_redis_conn **out_conn, struct loam_err *err);
void loam_redis_pool_give(struct loam_redis_pool *pool, struct loam_redis_conn *conn);
/* Connects a taken slot again, closing what it has. */
int loam_redis_pool_reconnect(struct loam_redis_pool *pool, struct loam_redis_conn *conn,
			      struct loam_deadline deadline, struct loam_err *err);
/* Asks until every command has its reply and none is a passing error, or the deadline: only for
 * requests that may be sent twice. */
int loam_redis_pool_ask(struct loam_redis_pool *pool, const struct loam_resp_batch *batch,
			struct loam_deadline deadline, struct loam_resp_replies *out_replies,
			struct loam_err *err);
/* Waits before the attempt-th retry (from 0): at random up to 1 ms, doubled to at most 100. False:
 * no time left. */
bool loam_redis_pause(unsigned attempt, struct loam_deadline deadline);

/* The value of "name:" in an INFO reply, cut to out_bytes; "" when it is not there. */
void loam_redis_info_get(const char *info, const char *name, char *out, size_t out_bytes);

#endif
