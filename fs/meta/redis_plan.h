/*
 * A commit's writes as few Redis commands: removals first, then what has results, then the rest;
 * grouped by command and key, at most LOAM_REDIS_GROUP_ARGS arguments each.
 *
 *   phase 0   UNLINK, HDEL, ZREM, SREM          succeed when Redis is full, and make room
 *   phase 1   RPUSH, RPUSHX, INCRBY, HINCRBY    one command per write: each has a result
 *   phase 2   MSET, HSET, ZADD, SADD
 *
 * Hence the order among writes of one commit does not matter, except that removing all of something
 * (XATTRS, PARENTS, DIR, CHUNK) comes before what is put into it. One record is written once.
 *
 * Owner: the writes are borrowed for the plan's life.
 */
#ifndef LOAM_FS_META_REDIS_PLAN_H
#define LOAM_FS_META_REDIS_PLAN_H

#include "fs/meta/redis_keys.h"

#define LOAM_REDIS_GROUP_ARGS 1000

struct loam_redis_step; /* one piece of a write */

struct loam_redis_plan {
	struct loam_write *writes;
	struct loam_redis_step *steps;
	size_t step_count, step_capacity;
	size_t next; /* where loam_redis_plan_next() stands */
	bool has_removals;
};

/* Errors: CORRUPT for packed pairs that are none. */
int loam_redis_plan_make(struct loam_redis_plan *plan, struct loam_write *writes,
			 size_t write_count, struct loam_err *err);
void loam_redis_plan_release(struct loam_redis_plan *plan);
#define loam_auto_plan __attribute__((cleanup(loam_redis_plan_release)))
/* Begins the walk again. */
void loam_redis_plan_rewind(struct loam_redis_plan *plan);
/* Adds the next command's words to args. *out_has_result: the reply is a number (phase 1);
 * *out_result: where it belongs, NULL when nobody asks. False at the end. */
bool loam_redis_plan_next(struct loam_redis_plan *plan, struct loam_resp_args *args,
			  bool *out_has_result, int64_t **out_result);

#endif
