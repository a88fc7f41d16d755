/*
 * The engine interface: typed metadata records under an atomic compare-and-write.
 *
 * An engine stores records and knows nothing of files. All semantics stand once above it (txn.h,
 * meta.h). Engines: record_redis (the volume format's keys), record_mem (same contract, for tests
 * and fuzzers); wrappers may hold an inner engine. SQL and TiKV engines fit behind the same calls.
 *
 * Shape of a record: a kind, up to two numbers and a name give its identity; its value is a byte
 * string, a number or a list. The table says what the Redis engine stores:
 *
 *   kind          identity     Redis                               value
 *   SETTING       -            GET setting                         JSON text
 *   COUNTER       name         GET <name>                          decimal text
 *   ATTR          ino          GET i<ino>                          attr bytes
 *   DENTRY        ino name     HGET d<ino> name                    9 bytes
 *   DIR           ino          EXISTS d<ino>                       "1", absent when empty
 *   SYMLINK       ino          GET s<ino>                          target
 *   CHUNK         ino index    LRANGE c<ino>_<index> 0 -1          n * 24 bytes, oldest first
 *   XATTR         ino name     HGET x<ino> name                    raw
 *   XATTRS        ino          HGETALL x<ino>                      packed pairs, below
 *   PARENT        ino parent   HGET p<ino> parent                  decimal text
 *   PARENTS       ino          HGETALL p<ino>                      packed pairs
 *   SLICE_REF     id size      HGET sliceRef k<id>_<size>          decimal text
 *   ACL           id           HGET acl <id>                       rule bytes
 *   DELFILE       ino length   ZSCORE delfiles <ino>:<length>      decimal text (unix seconds)
 *   DELSLICES     id time      HGET delSlices <id>_<time>          n * 12 bytes
 *   DETACHED      ino          ZSCORE detachedNodes <ino>          decimal text
 *   SESSION_LIFE  sid          ZSCORE allSessions <sid>            decimal text (expiry)
 *   SESSION_INFO  sid          HGET sessionInfos <sid>             JSON
 *   SUSTAINED     sid ino      SISMEMBER session<sid> <ino>        absent or "1"
 *   DIR_STATS     ino          dirDataLength/UsedSpace/UsedInodes  only deleted or zeroed
 *   LOCAL         name         HGET loam:local name                Loam's ephemeral fields
 *   LOCKED        sid name     SISMEMBER locked<sid> name          absent or "1"; a lock key
 *   FLOCK         ino name     HGET lockf<ino> <sid>_<OWNER>       "R" or "W"
 *   PLOCK         ino name     HGET lockp<ino> <sid>_<OWNER>       n * 24 bytes
 *
 * Packed pairs: u32 name bytes, name, u32 value bytes, value, and so on, big-endian, sorted by
 * name.
 *
 * Threads: every call from any thread. Calls block at most LOAM_META_DEADLINE_MS.
 * Errors:  UNAVAILABLE (no reply in time; commit then knows the truth, see below), NO_SPACE (the
 *          store is full), READ_ONLY, CORRUPT (a value of the wrong type), IO.
 */
#ifndef LOAM_FS_META_RECORD_H
#define LOAM_FS_META_RECORD_H

#include "core/buf.h"
#include "core/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum loam_record_kind {
	LOAM_REC_SETTING,
	LOAM_REC_COUNTER,
	LOAM_REC_ATTR,
	LOAM_REC_DENTRY,
	LOAM_REC_DIR,
	LOAM_REC_SYMLINK,
	LOAM_REC_CHUNK,
	LOAM_REC_XATTR,
	LOAM_REC_XATTRS,
	LOAM_REC_PARENT,
	LOAM_REC_PARENTS,
	LOAM_REC_SLICE_REF,
	LOAM_REC_ACL,
	LOAM_REC_DELFILE,
	LOAM_REC_DELSLICES,
	LOAM_REC_DETACHED,
	LOAM_REC_SESSION_LIFE,
	LOAM_REC_SESSION_INFO,
	LOAM_REC_SUSTAINED,
	LOAM_REC_DIR_STATS,
	LOAM_REC_LOCAL,
	LOAM_REC_LOCKED,
	LOAM_REC_FLOCK,
	LOAM_REC_PLOCK,
	LOAM_REC_COUNT
};

/* A name is bytes with a length, never NUL-terminated by contract. Borrowed from the caller. */
struct loam_name {
	const char *data;
	uint16_t bytes;
};
struct loam_name loam_name_of(const char *text); /* asserts at most 65535 bytes */

struct loam_record {
	enum loam_record_kind kind;
	uint64_t id;  /* ino, slice id, ACL id, session id */
	uint64_t sub; /* chunk index, slice size, parent ino, length, sustained ino, time */
	struct loam_name name;
};

/* The identity as bytes, for hash tables: kind, id, sub (native order), name. Returns the length.
 */
#define LOAM_RECORD_KEY_BYTES_MAX (17 + UINT16_MAX)
size_t loam_record_key(const struct loam_record *record, uint8_t out[LOAM_RECORD_KEY_BYTES_MAX]);

/* A value read or expected. data is owned by whoever holds the value: loam_value_release(). */
struct loam_value {
	bool present;
	uint8_t *data; /* NULL when absent or empty */
	uint32_t bytes;
};
void loam_value_release(struct loam_value *value);
bool loam_value_equal(const struct loam_value *a, const struct loam_value *b);
/* A present value with a copy of the bytes; aborts when memory is out. */
struct loam_value loam_value_of(const void *data, size_t data_bytes);
struct loam_value loam_value_copy(const struct loam_value *value);

/* The record must still have this value (or be absent) when the writes are applied. */
struct loam_check {
	struct loam_record record;
	struct loam_value expected; /* borrowed */
};

enum loam_write_op {
	LOAM_WRITE_PUT,	   /* set the value (SET, HSET, ZADD, SADD; HSETNX never) */
	LOAM_WRITE_DELETE, /* remove; a missing record is success. XATTRS, PARENTS: all of them */
	LOAM_WRITE_ADD,	   /* COUNTER, SLICE_REF, PARENT: add delta; result = new value */
	LOAM_WRITE_APPEND, /* CHUNK: append records; result = new count of records */
	LOAM_WRITE_EXTEND  /* CHUNK: append only if the list exists; result = count, 0 if not */
};

struct loam_write {
	enum loam_write_op op;
	struct loam_record record;
	const void *data; /* borrowed; PUT, APPEND, EXTEND */
	uint32_t data_bytes;
	int64_t delta;	/* ADD */
	int64_t result; /* out, after a commit that was applied: ADD, APPEND, EXTEND */
};

enum loam_commit_flags {
	/* Many writes (publish, clone, bulk removal): the engine may use WATCH/MULTI/EXEC and two
	 * trips. Without it one trip. Checks are at most 200 then. */
	LOAM_COMMIT_BULK = 1 << 0
};

/* What a listing yields; return non-zero to stop (the value is passed on by the call). */
typedef int loam_record_seen_fn(void *arg, const struct loam_record *record, const void *data,
				size_t data_bytes);

struct loam_engine;

struct loam_engine_ops {
	const char *name;
	/*
	 * Reads count records in one round trip. out[i] is written for each on success (release
	 * all), none on failure. A record that does not exist is not present: no error.
	 */
	int (*read)(struct loam_engine *engine, const struct loam_record *records, size_t count,
		    struct loam_value *out, struct loam_err *err);
	/*
	 * Optional fast path, NULL when the engine has none: a dentry and the attr it names in one
	 * round trip. Same result as two reads. 1 found (attr may be absent: not present), 0 no
	 * such name.
	 */
	int (*lookup)(struct loam_engine *engine, uint64_t parent, struct loam_name name,
		      struct loam_value *out_dentry, struct loam_value *out_attr,
		      struct loam_err *err);
	/*
	 * Applies all writes if every check holds, else none. 1 applied (results filled), 0 a check
	 * failed: present[i] then holds the value of each check that differs (present_differs[i]
	 * true). After a lost reply the engine finds out whether it was applied and answers
	 * truthfully; it answers UNAVAILABLE only when nothing was and will be applied, or when it
	 * cannot be known within the deadline (the text then says so).
	 */
	int (*commit)(struct loam_engine *engine, const struct loam_check *checks,
		      size_t check_count, struct loam_write *writes, size_t write_count,
		      unsigned flags, struct loam_value *present, bool *present_differs,
		      struct loam_err *err);
	/* Adds to a counter at once, outside any transaction; *out_value is the new value. */
	int (*add)(struct loam_engine *engine, const char *counter, int64_t delta,
		   int64_t *out_value, struct loam_err *err);
	/*
	 * One page of a listing. kind DENTRY, XATTR, PARENT, FLOCK, PLOCK with id = inode,
	 * SUSTAINED and LOCKED with id = session; or all records of a kind with id 0 (ATTR, CHUNK,
	 * SLICE_REF, ACL, DELFILE, DELSLICES, DETACHED, SESSION_LIFE, SESSION_INFO, SYMLINK;
	 * DENTRY, XATTR, PARENT and SUSTAINED of every owner). *cursor starts as 0 and is 0 again
	 * behind the last page. A record may come twice when others write meanwhile. Values are
	 * given for all kinds but COUNTER. Keys that look like ours but are malformed are skipped
	 * and counted in *skipped if not NULL.
	 */
	int (*scan)(struct loam_engine *engine, enum loam_record_kind kind, uint64_t id,
		    uint64_t *cursor, uint64_t *skipped, loam_record_seen_fn *seen, void *arg,
		    struct loam_err *err);
	/* Wall clock of the store, seconds: leases and expiry of several nodes use this one clock.
	 */
	int (*now)(struct loam_engine *engine, int64_t *out_seconds, struct loam_err *err);
	/*
	 * Durable: all commits that were answered before the call are on disk when it returns 0.
	 * UNSUPPORTED when this store can promise nothing. Calls are shared by all who wait.
	 */
	int (*barrier)(struct loam_engine *engine, struct loam_err *err);
	/* One line for status: "redis 7.0.15 unix:/…, everysec with barrier". text is cut at
	 * text_bytes. */
	int (*describe)(struct loam_engine *engine, char *text, size_t text_bytes,
			struct loam_err *err);
	/* Names this process for the lost-reply marker, once a session has its number. */
	void (*set_session)(struct loam_engine *engine, uint64_t sid);
	/* True when not one key stands in the database (format asks before it writes). */
	int (*is_empty)(struct loam_engine *engine, struct loam_err *err);
	void (*free)(struct loam_engine *engine);
};

struct loam_engine {
	const struct loam_engine_ops *ops;
};

/* url: redis://[user:pw@]host[:port]/db, rediss://…, unix:///path[?db=N], mem:// (a new empty store
 * in this process). Errors: INVALID for the URL, UNAVAILABLE, UNSUPPORTED (server older than 6, an
 * eviction policy other than noeviction that cannot be changed). No password appears in any text.
 */
int loam_engine_open(const char *url, struct loam_engine **out_engine, struct loam_err *err);
int loam_record_redis_open(const char *url, struct loam_engine **out_engine, struct loam_err *err);
int loam_record_mem_open(struct loam_engine **out_engine, struct loam_err *err);
/* url with its password replaced by "***", free(). */
char *loam_engine_url_redacted(const char *url);

/* Appends one pair; the caller keeps the order. */
int loam_packed_add(struct loam_buf *packed, struct loam_name name, const void *data,
		    uint32_t data_bytes, struct loam_err *err);
/* Walks packed pairs: *offset starts as 0. 1 pair given, 0 end, -CORRUPT. */
int loam_packed_next(const struct loam_value *packed, size_t *offset, struct loam_name *out_name,
		     const void **out_data, uint32_t *out_data_bytes, struct loam_err *err);

#endif
