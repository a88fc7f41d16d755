/*
 * Records and their places in Redis (record.h has the table), both ways.
 *
 * Numbers in keys and fields are decimal without sign or leading zeros, at most 2^64-1; anything
 * else is not ours: "i01", "i-1" and "i18446744073709551616" are refused.
 */
#ifndef LOAM_FS_META_REDIS_KEYS_H
#define LOAM_FS_META_REDIS_KEYS_H

#include "fs/meta/record.h"
#include "fs/meta/resp.h"

#define LOAM_REDIS_TXN_KEY "loam:txn"

/* How a kind is kept. */
enum loam_redis_shape {
	LOAM_SHAPE_STRING, /* GET key */
	LOAM_SHAPE_FIELD,  /* HGET key field */
	LOAM_SHAPE_FIELDS, /* HGETALL key */
	LOAM_SHAPE_EXISTS, /* EXISTS key */
	LOAM_SHAPE_LIST,   /* LRANGE key 0 -1 */
	LOAM_SHAPE_SCORE,  /* ZSCORE key field */
	LOAM_SHAPE_MEMBER  /* SISMEMBER key field */
};
enum loam_redis_shape loam_redis_shape_of(enum loam_record_kind kind);

/* Adds the key, or the field or member, of the record as one argument. */
void loam_redis_key_add(struct loam_resp_args *args, const struct loam_record *record);
void loam_redis_field_add(struct loam_resp_args *args, const struct loam_record *record);
/* "i5", "d1[name]" for messages: cut and made printable. */
#define LOAM_REDIS_SHOWN_BYTES 96
const char *loam_redis_shown(const struct loam_record *record, char out[LOAM_REDIS_SHOWN_BYTES]);

/* True when all records of the kind stand in one key (sliceRef, acl, delfiles …). */
bool loam_redis_kind_is_single(enum loam_record_kind kind);
/* The letter that begins the kind's keys, as a SCAN pattern ("i*"); not for single kinds. */
const char *loam_redis_scan_pattern(enum loam_record_kind kind);
/* Parses a key that SCAN gave: 1 with id (and sub), 0 malformed, -1 a known key of another kind.
 */
int loam_redis_key_parse(enum loam_record_kind kind, const char *key, size_t key_bytes,
			 struct loam_record *out);
/* Completes out, whose kind (and id, if the key has it) is set, from a field or member: 1 or 0.
 * The name is borrowed from field. */
int loam_redis_field_parse(const char *field, size_t field_bytes, struct loam_record *out);

/* Adds the one read command of the record to the batch. */
int loam_redis_read_add(struct loam_resp_batch *batch, const struct loam_record *record,
			struct loam_err *err);
/*
 * The same for many: strings that stand side by side are asked for together, so there are fewer
 * commands than records. split() finds the reply of each record again (borrowed from replies); an
 * error reply stands for all records of its command.
 */
int loam_redis_reads_add(struct loam_resp_batch *batch, const struct loam_record *records,
			 size_t count, struct loam_err *err);
int loam_redis_reads_split(const struct loam_record *records, size_t count,
			   struct loam_resp_reply *const *replies,
			   const struct loam_resp_reply **out_each, struct loam_err *err);
/* Makes the value from the reply to that command. Errors: as loam_redis_fail(), CORRUPT. */
int loam_redis_value_of(const struct loam_record *record, const struct loam_resp_reply *reply,
			struct loam_value *out, struct loam_err *err);

/* Names what an error reply means: READ_ONLY, NO_SPACE, DENIED, CORRUPT (wrong type), UNAVAILABLE
 * for all that passes, else IO. Returns -code. */
int loam_redis_fail(const struct loam_resp_reply *reply, struct loam_err *err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* An error that may be gone soon: LOADING, READONLY, MASTERDOWN, BUSY … */
bool loam_redis_is_passing(const struct loam_resp_reply *reply);

#endif
