/*
 * Reading records (redis_keys.h): the command for a record, its reply as a value, and what error
 * replies mean. Lists become one byte string; hashes become packed pairs sorted by name.
 */
#include "fs/meta/redis_keys.h"

#include "core/endian.h"
#include "fs/meta/meta_format.h"

#include <string.h>

#define MGET_RUN   8 /* so many string records in a row are one MGET */
#define MGET_WORDS 1000

int loam_redis_read_add(struct loam_resp_batch *batch, const struct loam_record *record,
			struct loam_err *err)
{
	static const char *const words[] = {
		[LOAM_SHAPE_STRING] = "GET",	   [LOAM_SHAPE_FIELD] = "HGET",
		[LOAM_SHAPE_FIELDS] = "HGETALL",   [LOAM_SHAPE_EXISTS] = "EXISTS",
		[LOAM_SHAPE_LIST] = "LRANGE",	   [LOAM_SHAPE_SCORE] = "ZSCORE",
		[LOAM_SHAPE_MEMBER] = "SISMEMBER",
	};
	enum loam_redis_shape shape = loam_redis_shape_of(record->kind);
	loam_auto_args struct loam_resp_args args = { 0 };
	loam_resp_arg_word(&args, words[shape]);
	loam_redis_key_add(&args, record);
	if (shape == LOAM_SHAPE_FIELD || shape == LOAM_SHAPE_SCORE || shape == LOAM_SHAPE_MEMBER)
		loam_redis_field_add(&args, record);
	if (shape == LOAM_SHAPE_LIST) {
		loam_resp_arg_word(&args, "0");
		loam_resp_arg_word(&args, "-1");
	}
	return loam_resp_batch_add(batch, &args, err);
}

/* How many records from records[0] on are strings and go into one MGET; 1: a command of its own. */
static size_t string_run(const struct loam_record *records, size_t count)
{
	size_t run = 0;
	while (run < count && run < MGET_WORDS &&
	       loam_redis_shape_of(records[run].kind) == LOAM_SHAPE_STRING)
		run++;
	return run >= MGET_RUN ? run : 1;
}

int loam_redis_reads_add(struct loam_resp_batch *batch, const struct loam_record *records,
			 size_t count, struct loam_err *err)
{
	loam_auto_args struct loam_resp_args args = { 0 };
	for (size_t i = 0, run; i < count; i += run) {
		int rc;
		run = string_run(records + i, count - i);
		if (run == 1) {
			rc = loam_redis_read_add(batch, &records[i], err);
		} else {
			loam_resp_args_clear(&args);
			loam_resp_arg_word(&args, "MGET");
			for (size_t j = 0; j < run; j++)
				loam_redis_key_add(&args, &records[i + j]);
			rc = loam_resp_batch_add(batch, &args, err);
		}
		if (rc < 0)
			return rc;
	}
	return 0;
}

int loam_redis_reads_split(const struct loam_record *records, size_t count,
			   struct loam_resp_reply *const *replies,
			   const struct loam_resp_reply **out_each, struct loam_err *err)
{
	for (size_t i = 0, at = 0, run; i < count; i += run, at++) {
		const struct loam_resp_reply *reply = replies[at];
		run = string_run(records + i, count - i);
		bool is_whole = run == 1 || reply->type == LOAM_RESP_ERROR;
		if (!is_whole && (reply->type != LOAM_RESP_ARRAY || reply->count != run))
			return loam_fail(err, LOAM_E_IO, "redis: an unexpected reply to MGET");
		for (size_t j = 0; j < run; j++)
			out_each[i + j] = is_whole ? reply : reply->items[j];
	}
	return 0;
}

/* A value with a copy of data; sizes of peers may fail. */
static int copy_value(const void *data, size_t data_bytes, struct loam_value *out,
		      struct loam_err *err)
{
	uint8_t *copy = NULL;
	if (data_bytes) {
		copy = malloc(data_bytes);
		if (!copy)
			return loam_fail(err, LOAM_E_BUSY, "no memory for %zu bytes", data_bytes);
		memcpy(copy, data, data_bytes);
	}
	*out = (struct loam_value){ .present = true, .data = copy, .bytes = (uint32_t)data_bytes };
	return 0;
}

static int list_value(const struct loam_record *record, const struct loam_resp_reply *reply,
		      struct loam_value *out, struct loam_err *err)
{
	char shown[LOAM_REDIS_SHOWN_BYTES];
	if (reply->count == 0)
		return 0;
	uint8_t *data = calloc(reply->count, LOAM_SLICE_BYTES);
	if (!data)
		return loam_fail(err, LOAM_E_BUSY, "no memory for %zu slices", reply->count);
	for (size_t i = 0; i < reply->count; i++) {
		const struct loam_resp_reply *item = reply->items[i];
		if (item->type != LOAM_RESP_STRING || item->bytes != LOAM_SLICE_BYTES) {
			free(data);
			return loam_fail(err, LOAM_E_CORRUPT, "%s: a record of %zu bytes",
					 loam_redis_shown(record, shown), item->bytes);
		}
		memcpy(data + i * LOAM_SLICE_BYTES, item->data, LOAM_SLICE_BYTES);
	}
	*out = (struct loam_value){ .present = true,
				    .data = data,
				    .bytes = (uint32_t)(reply->count * LOAM_SLICE_BYTES) };
	return 0;
}

struct pair {
	const struct loam_resp_reply *name, *value;
};

static int compare_pairs(const void *left, const void *right)
{
	const struct loam_resp_reply *a = ((const struct pair *)left)->name;
	const struct loam_resp_reply *b = ((const struct pair *)right)->name;
	int order = memcmp(a->data, b->data, a->bytes < b->bytes ? a->bytes : b->bytes);
	return order ? order : (a->bytes > b->bytes) - (a->bytes < b->bytes);
}

static uint8_t *put_part(uint8_t *at, const struct loam_resp_reply *part)
{
	loam_be32_put(at, (uint32_t)part->bytes);
	memcpy(at + 4, part->data, part->bytes);
	return at + 4 + part->bytes;
}

static int fields_value(const struct loam_record *record, const struct loam_resp_reply *reply,
			struct loam_value *out, struct loam_err *err)
{
	char shown[LOAM_REDIS_SHOWN_BYTES];
	size_t bytes = 0, pair_count = reply->count / 2;
	if (reply->count == 0)
		return 0;
	loam_auto_free struct pair *pairs = calloc(pair_count + 1, sizeof(*pairs));
	if (!pairs)
		return loam_fail(err, LOAM_E_BUSY, "no memory for %zu fields", pair_count);
	for (size_t i = 0; i < reply->count; i++) {
		if (reply->items[i]->type != LOAM_RESP_STRING || reply->count % 2)
			return loam_fail(err, LOAM_E_CORRUPT, "%s: not a list of fields",
					 loam_redis_shown(record, shown));
		bytes += 4 + reply->items[i]->bytes; /* LOAM_RESP_BYTES_MAX bounds the sum */
	}
	for (size_t i = 0; i < pair_count; i++)
		pairs[i] = (struct pair){ reply->items[2 * i], reply->items[2 * i + 1] };
	qsort(pairs, pair_count, sizeof(*pairs), compare_pairs);

	uint8_t *data = malloc(bytes);
	if (!data)
		return loam_fail(err, LOAM_E_BUSY, "no memory for %zu bytes", bytes);
	uint8_t *at = data;
	for (size_t i = 0; i < pair_count; i++)
		at = put_part(put_part(at, pairs[i].name), pairs[i].value);
	*out = (struct loam_value){ .present = true, .data = data, .bytes = (uint32_t)bytes };
	return 0;
}

int loam_redis_value_of(const struct loam_record *record, const struct loam_resp_reply *reply,
			struct loam_value *out, struct loam_err *err)
{
	char shown[LOAM_REDIS_SHOWN_BYTES];
	*out = (struct loam_value){ 0 };
	if (reply->type == LOAM_RESP_ERROR)
		return loam_redis_fail(reply, err, "read %s", loam_redis_shown(record, shown));
	if (reply->type == LOAM_RESP_NIL)
		return 0;
	enum loam_redis_shape shape = loam_redis_shape_of(record->kind);
	if (shape == LOAM_SHAPE_EXISTS || shape == LOAM_SHAPE_MEMBER) {
		if (reply->type == LOAM_RESP_INTEGER && reply->integer == 0)
			return 0;
		if (reply->type == LOAM_RESP_INTEGER || reply->bytes == 1)
			return copy_value("1", 1, out, err);
	} else if (reply->type == LOAM_RESP_STRING) { /* a list too: scripts join it */
		return copy_value(reply->data, reply->bytes, out, err);
	} else if (shape == LOAM_SHAPE_LIST && reply->type == LOAM_RESP_ARRAY) {
		return list_value(record, reply, out, err);
	} else if (shape == LOAM_SHAPE_FIELDS && reply->type == LOAM_RESP_ARRAY) {
		return fields_value(record, reply, out, err);
	}
	return loam_fail(err, LOAM_E_CORRUPT, "read %s: an unexpected kind of reply",
			 loam_redis_shown(record, shown));
}

/* --- error replies */

enum when { PASSING, FINAL };

struct error_row {
	const char *prefix;
	enum when when;
	enum loam_code code;
	const char *meaning;
};

/* The first prefix that fits; a script's error comes without anything before it (redis_script). */
static const struct error_row errors[] = {
	{ "LOADING", PASSING, LOAM_E_UNAVAILABLE, "redis is still loading its data" },
	{ "READONLY", PASSING, LOAM_E_READ_ONLY, "redis is a read-only replica" },
	{ "MASTERDOWN", PASSING, LOAM_E_UNAVAILABLE, "redis has lost its master" },
	{ "TRYAGAIN", PASSING, LOAM_E_UNAVAILABLE, "redis asks to try again" },
	{ "CLUSTERDOWN", PASSING, LOAM_E_UNAVAILABLE, "the cluster is down" },
	{ "MISCONF", PASSING, LOAM_E_UNAVAILABLE, "redis cannot write its disk" },
	{ "NOREPLICAS", PASSING, LOAM_E_UNAVAILABLE, "redis misses its replicas" },
	{ "BUSY ", PASSING, LOAM_E_UNAVAILABLE, "redis is busy with a script" },
	{ "ERR max number of clients", PASSING, LOAM_E_UNAVAILABLE, "redis has too many clients" },
	{ "EXECABORT", PASSING, LOAM_E_UNAVAILABLE, "redis refused a transaction" },
	{ "OOM", FINAL, LOAM_E_NO_SPACE, "redis has reached its maxmemory" },
	{ "NOAUTH", FINAL, LOAM_E_DENIED, "redis wants a password" },
	{ "WRONGPASS", FINAL, LOAM_E_DENIED, "redis refuses this user or password" },
	{ "ERR invalid password", FINAL, LOAM_E_DENIED, "redis refuses this password" },
	{ "ERR AUTH", FINAL, LOAM_E_DENIED, "redis has no password, but one was given" },
	{ "ERR Client sent AUTH", FINAL, LOAM_E_DENIED,
	  "redis has no password, but one was given" },
	{ "NOPERM", FINAL, LOAM_E_DENIED, "redis' access rules forbid this" },
	{ "WRONGTYPE", FINAL, LOAM_E_CORRUPT, "a value of the wrong type" },
	{ "LOAMPART", FINAL, LOAM_E_CORRUPT, "a change was applied only in part" },
	{ "ERR value is not an integer", FINAL, LOAM_E_CORRUPT, "a number is no number" },
	{ "ERR hash value is not an integer", FINAL, LOAM_E_CORRUPT, "a number is no number" },
};

/* Redis 6 puts "@user_script: 42: -" before what a script met. */
static const struct error_row *error_row(const struct loam_resp_reply *reply)
{
	const char *text = loam_resp_text(reply);
	const char *inner = *text == '@' ? strstr(text, ": -") : NULL;
	text = inner ? inner + 3 : text;
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(errors) && reply->type == LOAM_RESP_ERROR; i++)
		if (strncmp(text, errors[i].prefix, strlen(errors[i].prefix)) == 0)
			return &errors[i];
	return NULL;
}

bool loam_redis_is_passing(const struct loam_resp_reply *reply)
{
	const struct error_row *row = error_row(reply);
	return row && row->when == PASSING;
}

int loam_redis_fail(const struct loam_resp_reply *reply, struct loam_err *err, const char *fmt, ...)
{
	char what[128];
	va_list list;
	va_start(list, fmt);
	vsnprintf(what, sizeof(what), fmt, list);
	va_end(list);
	const struct error_row *row = error_row(reply);
	if (row)
		return loam_fail(err, row->code, "%s: %s (%.120s)", what, row->meaning,
				 loam_resp_text(reply));
	return loam_fail(err, LOAM_E_IO, "%s: redis says: %.160s", what, loam_resp_text(reply));
}
