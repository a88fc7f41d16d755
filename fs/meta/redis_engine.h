/*
 * The Redis engine's inside: what its files share. Nobody outside record_redis.c, redis_*.c and
 * their tests includes this.
 *
 * Order of the locks: none is held while another is taken.
 */
#ifndef LOAM_FS_META_REDIS_ENGINE_H
#define LOAM_FS_META_REDIS_ENGINE_H

#include "fs/meta/record.h"
#include "fs/meta/redis_fair.h"
#include "fs/meta/redis_plan.h"
#include "fs/meta/redis_pool.h"

#include <stdatomic.h>

#define LOAM_REDIS_REPLY_MS	 10000 /* a commit without a reply for so long is looked into */
#define LOAM_REDIS_SCRIPT_WRITES 2000  /* more go by WATCH … EXEC */
#define LOAM_REDIS_BULK_WRITES \
	100 /* fewer go by the script; a clone of 100 files is cheaper by EXEC */
#define LOAM_REDIS_CONFLICTS_MAX  5 /* in a row, then the script decides */
#define LOAM_REDIS_WATCHES_MAX	  200
#define LOAM_REDIS_IDENTITY_BYTES 32
#define LOAM_REDIS_RESULTS_KEPT	  64 /* results that fit into a marker */

struct loam_redis_barrier {
	pthread_mutex_t lock; /* guards the rest */
	pthread_cond_t ended;
	uint64_t begun, finished; /* runs, counted */
	bool running;
	struct loam_err err; /* of the last run */
};

/* The last commit that was answered over a slot's connection; number 0: none, or known to be kept.
 */
struct loam_redis_answered {
	uint64_t number;
	char field[LOAM_REDIS_IDENTITY_BYTES + 16];
	char run_id[LOAM_REDIS_RUN_ID_BYTES];
};

struct loam_redis {
	struct loam_engine base; /* first member */
	struct loam_redis_url url;
	struct loam_redis_pool *pool;
	unsigned version_major, version_minor;
	char version[32];
	char policy_note[96]; /* what could not be made sure at the start, "" when all is well */
	bool has_scripts;
	char commit_sha[41], lookup_sha[41];
	_Atomic uint64_t last_number; /* of markers */
	uint64_t first_number;
	uint64_t deadline_ms; /* LOAM_META_DEADLINE_MS, less in tests */
	uint64_t reply_ms;    /* LOAM_REDIS_REPLY_MS, less in tests */
	pthread_mutex_t lock; /* guards the identities, answered, lost_until_ms */
	struct loam_redis_answered answered[LOAM_REDIS_CONNECTIONS];
	uint64_t lost_until_ms;				/* barriers fail until then */
	char identity[LOAM_REDIS_IDENTITY_BYTES];	/* "7", or "p<random>" without a session */
	char first_identity[LOAM_REDIS_IDENTITY_BYTES]; /* of the time before set_session */
	struct loam_redis_fair fair;
	struct loam_redis_barrier barrier;
};

/* One commit on its way. */
struct loam_redis_commit {
	const struct loam_check *checks;
	size_t check_count;
	struct loam_write *writes;
	size_t write_count;
	unsigned flags;
	struct loam_value *present; /* may be NULL when nobody asks */
	bool *present_differs;
	struct loam_redis_plan plan;
	struct loam_deadline deadline;
	char field[LOAM_REDIS_IDENTITY_BYTES + 16]; /* of this attempt's marker */
	uint64_t number;
	bool results_known;  /* after it was applied */
	unsigned conflicts;  /* EXECs that failed for a watched key */
	bool prefers_script; /* Redis is full: only a script may remove */
	bool was_lost;	     /* the last attempt got no reply */
};

/*
 * One attempt over conn. 1 applied, 0 a check failed, -code nothing was applied for good,
 * LOAM_REDIS_AGAIN nothing was applied, try later (err set), LOAM_REDIS_LOST sent, no reply (err
 * set).
 */
#define LOAM_REDIS_AGAIN (-1000)
#define LOAM_REDIS_LOST	 (-1001)
/* How long an attempt may wait for its reply: what is left then is for finding out what was lost.
 */
struct loam_deadline loam_redis_reply_deadline(const struct loam_redis *redis,
					       const struct loam_redis_commit *commit);
int loam_redis_script_commit(struct loam_redis *redis, struct loam_redis_conn *conn,
			     struct loam_redis_commit *commit, struct loam_err *err);
int loam_redis_bulk_commit(struct loam_redis *redis, struct loam_redis_conn *conn,
			   struct loam_redis_commit *commit, struct loam_err *err);
/* Distinct keys that the checks name. */
size_t loam_redis_bulk_watches(const struct loam_redis_commit *commit);
/* Whether the commit that conn lost was applied: 1, 0, or -UNAVAILABLE when it cannot be known.
 * conn is connected anew. */
int loam_redis_lost_resolve(struct loam_redis *redis, struct loam_redis_conn *conn,
			    struct loam_redis_commit *commit, struct loam_err *err);
/* Removes the markers of this process. */
void loam_redis_lost_forget(struct loam_redis *redis);

/* Notes that commit, over conn, was applied and answered. */
void loam_redis_restart_note(struct loam_redis *redis, const struct loam_redis_conn *conn,
			     const struct loam_redis_commit *commit);
/* Whether what earlier runs of Redis have answered is there in this run; asks over conn, or NULL:
 * over any. What is missing makes barriers fail. */
int loam_redis_restart_check(struct loam_redis *redis, struct loam_redis_conn *conn,
			     const char *run_id, struct loam_err *err);
/* For a barrier: the same, and UNAVAILABLE when something is missing. */
int loam_redis_restart_kept(struct loam_redis *redis, const char *run_id, struct loam_err *err);

/* Loads both scripts. 1, 0 when this server refuses scripts, -code. */
int loam_redis_script_probe(struct loam_redis *redis, struct loam_err *err);
int loam_redis_script_lookup(struct loam_redis *redis, uint64_t parent, struct loam_name name,
			     struct loam_value *out_dentry, struct loam_value *out_attr,
			     struct loam_err *err);
/* Sets present[index] and its flag from a value's reply; takes nothing. */
int loam_redis_commit_differs(struct loam_redis_commit *commit, size_t index,
			      const struct loam_resp_reply *reply, struct loam_err *err);
/* Several attempts until the deadline; the commit of record.h, and `add`. */
int loam_redis_commit_run(struct loam_redis *redis, struct loam_redis_commit *commit,
			  struct loam_err *err);

int loam_redis_scan(struct loam_engine *engine, enum loam_record_kind kind, uint64_t id,
		    uint64_t *cursor, uint64_t *skipped, loam_record_seen_fn *seen, void *arg,
		    struct loam_err *err);
int loam_redis_barrier_wait(struct loam_redis *redis, struct loam_err *err);
/* "everysec with barrier", "appendfsync always", "no durability": for describe(). */
int loam_redis_barrier_describe(struct loam_redis *redis, char *text, size_t text_bytes,
				struct loam_err *err);

struct loam_redis *loam_redis_of(struct loam_engine *engine);

#endif
