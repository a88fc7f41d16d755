/*
 * Listings (record.h): one HSCAN, SSCAN or ZSCAN page of a key that holds many records, or one SCAN
 * page of keys and then what stands in them. Redis' own cursor is ours.
 */
#include "fs/meta/redis_engine.h"

#include <string.h>

#define PAGE "1024" /* buckets of a hash: one call for 1,024 names */

struct scan {
	struct loam_redis *redis;
	enum loam_record_kind kind;
	uint64_t *skipped;
	loam_record_seen_fn *seen;
	void *arg;
	struct loam_deadline deadline;
};

static void skip(const struct scan *scan)
{
	if (scan->skipped)
		(*scan->skipped)++;
}

/* Takes [cursor, [items …]] apart. */
static int open_page(const struct loam_resp_reply *reply, uint64_t *out_cursor,
		     const struct loam_resp_reply **out_items, struct loam_err *err)
{
	if (reply->type == LOAM_RESP_ERROR)
		return loam_redis_fail(reply, err, "list");
	if (reply->type != LOAM_RESP_ARRAY || reply->count != 2 ||
	    reply->items[0]->type != LOAM_RESP_STRING || reply->items[1]->type != LOAM_RESP_ARRAY)
		return loam_fail(err, LOAM_E_IO, "redis: an unexpected reply to SCAN");
	*out_cursor = strtoull(loam_resp_text(reply->items[0]), NULL, 10);
	*out_items = reply->items[1];
	return 0;
}

static bool has_values(enum loam_redis_shape shape)
{
	return shape != LOAM_SHAPE_MEMBER;
}

/* The records of one page of HSCAN, ZSCAN (pairs) or SSCAN. */
static int see_fields(const struct scan *scan, const struct loam_record *owner,
		      const struct loam_resp_reply *items, struct loam_err *err)
{
	size_t step = has_values(loam_redis_shape_of(owner->kind)) ? 2 : 1;
	for (size_t i = 0; i + step <= items->count; i += step) {
		struct loam_record record = *owner;
		const struct loam_resp_reply *field = items->items[i];
		const struct loam_resp_reply *value = items->items[i + step - 1];
		if (field->type != LOAM_RESP_STRING || value->type != LOAM_RESP_STRING)
			return loam_fail(err, LOAM_E_IO, "redis: an unexpected reply to SCAN");
		if (!loam_redis_field_parse(field->data, field->bytes, &record)) {
			skip(scan);
			continue;
		}
		int rc = step == 2 ? scan->seen(scan->arg, &record, value->data, value->bytes)
				   : scan->seen(scan->arg, &record, "1", 1);
		if (rc != 0)
			return rc;
	}
	return 0;
}

static int add_inner(struct loam_resp_batch *batch, const struct loam_record *owner,
		     uint64_t cursor, struct loam_err *err)
{
	enum loam_redis_shape shape = loam_redis_shape_of(owner->kind);
	loam_auto_args struct loam_resp_args args = { 0 };
	loam_resp_arg_word(&args, shape == LOAM_SHAPE_SCORE    ? "ZSCAN"
				  : shape == LOAM_SHAPE_MEMBER ? "SSCAN"
							       : "HSCAN");
	loam_redis_key_add(&args, owner);
	loam_resp_arg_format(&args, "%llu", (unsigned long long)cursor);
	loam_resp_arg_word(&args, "COUNT");
	loam_resp_arg_word(&args, PAGE);
	return loam_resp_batch_add(batch, &args, err);
}

static int inner_page(const struct scan *scan, const struct loam_record *owner, uint64_t *cursor,
		      struct loam_err *err)
{
	loam_auto_batch struct loam_resp_batch batch = LOAM_RESP_BATCH;
	loam_auto_replies struct loam_resp_replies replies = { 0 };
	const struct loam_resp_reply *items;
	uint64_t next;
	int rc = add_inner(&batch, owner, *cursor, err);
	if (rc == 0)
		rc = loam_redis_pool_ask(scan->redis->pool, &batch,
					 loam_deadline_in(scan->redis->deadline_ms), &replies, err);
	if (rc == 0)
		rc = open_page(replies.items[0], &next, &items, err);
	if (rc == 0)
		rc = see_fields(scan, owner, items, err);
	if (rc == 0)
		*cursor = next;
	return rc;
}

/* All records of each owner: the first pages in one pipeline, the rest one by one. */
static int see_owners(const struct scan *scan, const struct loam_record *owners, size_t count,
		      struct loam_err *err)
{
	loam_auto_batch struct loam_resp_batch batch = LOAM_RESP_BATCH;
	loam_auto_replies struct loam_resp_replies replies = { 0 };
	int rc = 0;
	for (size_t i = 0; i < count && rc == 0; i++)
		rc = add_inner(&batch, &owners[i], 0, err);
	if (rc == 0)
		rc = loam_redis_pool_ask(scan->redis->pool, &batch, scan->deadline, &replies, err);
	for (size_t i = 0; i < count && rc == 0; i++) {
		const struct loam_resp_reply *items;
		uint64_t cursor;
		if (loam_resp_is_error(replies.items[i], "WRONGTYPE")) {
			skip(scan);
			continue;
		}
		rc = open_page(replies.items[i], &cursor, &items, err);
		if (rc == 0)
			rc = see_fields(scan, &owners[i], items, err);
		while (rc == 0 && cursor != 0)
			rc = inner_page(scan, &owners[i], &cursor, err);
	}
	return rc;
}

/* Records that are a key each. */
static int see_whole(const struct scan *scan, const struct loam_record *records, size_t count,
		     struct loam_err *err)
{
	loam_auto_batch struct loam_resp_batch batch = LOAM_RESP_BATCH;
	loam_auto_replies struct loam_resp_replies replies = { 0 };
	int rc = 0;
	for (size_t i = 0; i < count && rc == 0; i++)
		rc = loam_redis_read_add(&batch, &records[i], err);
	if (rc == 0)
		rc = loam_redis_pool_ask(scan->redis->pool, &batch, scan->deadline, &replies, err);
	for (size_t i = 0; i < count && rc == 0; i++) {
		struct loam_value value = { 0 };
		struct loam_err broken = { 0 };
		if (loam_redis_value_of(&records[i], replies.items[i], &value, &broken) < 0) {
			if (broken.code != LOAM_E_CORRUPT) {
				*err = broken;
				return -(int)broken.code;
			}
			skip(scan);
			continue;
		}
		if (value.present) /* else it went meanwhile */
			rc = scan->seen(scan->arg, &records[i], value.data, value.bytes);
		loam_value_release(&value);
	}
	return rc;
}

static int see_keys(const struct scan *scan, const struct loam_resp_reply *keys,
		    struct loam_err *err)
{
	size_t count = 0;
	loam_auto_free struct loam_record *records = calloc(keys->count + 1, sizeof(*records));
	if (!records)
		return loam_fail(err, LOAM_E_BUSY, "no memory for %zu keys", keys->count);
	for (size_t i = 0; i < keys->count; i++) {
		const struct loam_resp_reply *key = keys->items[i];
		int rc = loam_redis_key_parse(scan->kind, key->data ? key->data : "", key->bytes,
					      &records[count]);
		if (rc == 1)
			count++;
		else if (rc == 0)
			skip(scan);
	}
	if (count == 0)
		return 0;
	enum loam_redis_shape shape = loam_redis_shape_of(scan->kind);
	return shape == LOAM_SHAPE_STRING || shape == LOAM_SHAPE_LIST
		       ? see_whole(scan, records, count, err)
		       : see_owners(scan, records, count, err);
}

static int key_page(const struct scan *scan, uint64_t *cursor, struct loam_err *err)
{
	loam_auto_batch struct loam_resp_batch batch = LOAM_RESP_BATCH;
	loam_auto_replies struct loam_resp_replies replies = { 0 };
	const struct loam_resp_reply *keys;
	uint64_t next;
	char from[24];
	snprintf(from, sizeof(from), "%llu", (unsigned long long)*cursor);
	int rc = loam_resp_batch_words(&batch, err, "SCAN", from, "MATCH",
				       loam_redis_scan_pattern(scan->kind), "COUNT", PAGE, NULL);
	if (rc == 0)
		rc = loam_redis_pool_ask(scan->redis->pool, &batch, scan->deadline, &replies, err);
	if (rc == 0)
		rc = open_page(replies.items[0], &next, &keys, err);
	if (rc == 0)
		rc = see_keys(scan, keys, err);
	if (rc == 0)
		*cursor = next;
	return rc;
}

int loam_redis_scan(struct loam_engine *engine, enum loam_record_kind kind, uint64_t id,
		    uint64_t *cursor, uint64_t *skipped, loam_record_seen_fn *seen, void *arg,
		    struct loam_err *err)
{
	const struct scan scan = { .redis = loam_redis_of(engine),
				   .kind = kind,
				   .skipped = skipped,
				   .seen = seen,
				   .arg = arg,
				   .deadline =
					   loam_deadline_in(loam_redis_of(engine)->deadline_ms) };
	const struct loam_record owner = { .kind = kind, .id = id };
	bool single = loam_redis_kind_is_single(kind);
	enum loam_redis_shape shape = loam_redis_shape_of(kind);
	bool whole = shape == LOAM_SHAPE_STRING || shape == LOAM_SHAPE_LIST;
	if (kind == LOAM_REC_SETTING || kind == LOAM_REC_COUNTER || kind == LOAM_REC_DIR ||
	    kind == LOAM_REC_XATTRS || kind == LOAM_REC_PARENTS || (whole && !single && id != 0))
		return loam_fail(err, LOAM_E_UNSUPPORTED, "records of this kind cannot be listed");
	if (single || id != 0)
		return inner_page(&scan, &owner, cursor, err);
	return key_page(&scan, cursor, err);
}
