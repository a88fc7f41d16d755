/*
 * Where each record stands in Redis (redis_keys.h; volume format §2.2, §2.6). Names of files and
 * attributes are raw bytes everywhere; only numbers are parsed.
 */
#include "fs/meta/redis_keys.h"

#include <ctype.h>
#include <string.h>

enum key_form { KEY_FIXED, KEY_NAME, KEY_ID, KEY_ID_SUB };
enum field_form {
	FIELD_NONE,
	FIELD_NAME,
	FIELD_ID,
	FIELD_SUB,
	FIELD_ID_COLON_SUB,
	FIELD_ID_UNDER_SUB,
	FIELD_SLICE /* k<id>_<size> */
};

struct kind_row {
	enum loam_redis_shape shape;
	enum key_form key_form;
	const char *key; /* the key, or what stands before its number */
	enum field_form field_form;
	const char *pattern;
};

static const struct kind_row kinds[LOAM_REC_COUNT] = {
	[LOAM_REC_SETTING] = { LOAM_SHAPE_STRING, KEY_FIXED, "setting", FIELD_NONE, NULL },
	[LOAM_REC_COUNTER] = { LOAM_SHAPE_STRING, KEY_NAME, "", FIELD_NONE, NULL },
	[LOAM_REC_ATTR] = { LOAM_SHAPE_STRING, KEY_ID, "i", FIELD_NONE, "i*" },
	[LOAM_REC_DENTRY] = { LOAM_SHAPE_FIELD, KEY_ID, "d", FIELD_NAME, "d*" },
	[LOAM_REC_DIR] = { LOAM_SHAPE_EXISTS, KEY_ID, "d", FIELD_NONE, "d*" },
	[LOAM_REC_SYMLINK] = { LOAM_SHAPE_STRING, KEY_ID, "s", FIELD_NONE, "s*" },
	[LOAM_REC_CHUNK] = { LOAM_SHAPE_LIST, KEY_ID_SUB, "c", FIELD_NONE, "c*" },
	[LOAM_REC_XATTR] = { LOAM_SHAPE_FIELD, KEY_ID, "x", FIELD_NAME, "x*" },
	[LOAM_REC_XATTRS] = { LOAM_SHAPE_FIELDS, KEY_ID, "x", FIELD_NONE, "x*" },
	[LOAM_REC_PARENT] = { LOAM_SHAPE_FIELD, KEY_ID, "p", FIELD_SUB, "p*" },
	[LOAM_REC_PARENTS] = { LOAM_SHAPE_FIELDS, KEY_ID, "p", FIELD_NONE, "p*" },
	[LOAM_REC_SLICE_REF] = { LOAM_SHAPE_FIELD, KEY_FIXED, "sliceRef", FIELD_SLICE, NULL },
	[LOAM_REC_ACL] = { LOAM_SHAPE_FIELD, KEY_FIXED, "acl", FIELD_ID, NULL },
	[LOAM_REC_DELFILE] = { LOAM_SHAPE_SCORE, KEY_FIXED, "delfiles", FIELD_ID_COLON_SUB, NULL },
	[LOAM_REC_DELSLICES] = { LOAM_SHAPE_FIELD, KEY_FIXED, "delSlices", FIELD_ID_UNDER_SUB,
				 NULL },
	[LOAM_REC_DETACHED] = { LOAM_SHAPE_SCORE, KEY_FIXED, "detachedNodes", FIELD_ID, NULL },
	[LOAM_REC_SESSION_LIFE] = { LOAM_SHAPE_SCORE, KEY_FIXED, "allSessions", FIELD_ID, NULL },
	[LOAM_REC_SESSION_INFO] = { LOAM_SHAPE_FIELD, KEY_FIXED, "sessionInfos", FIELD_ID, NULL },
	[LOAM_REC_SUSTAINED] = { LOAM_SHAPE_MEMBER, KEY_ID, "session", FIELD_SUB, "session*" },
	[LOAM_REC_DIR_STATS] = { LOAM_SHAPE_FIELD, KEY_FIXED, "dirUsedInodes", FIELD_ID, NULL },
	[LOAM_REC_LOCAL] = { LOAM_SHAPE_FIELD, KEY_FIXED, "loam:local", FIELD_NAME, NULL },
	[LOAM_REC_LOCKED] = { LOAM_SHAPE_MEMBER, KEY_ID, "locked", FIELD_NAME, "locked*" },
	[LOAM_REC_FLOCK] = { LOAM_SHAPE_FIELD, KEY_ID, "lockf", FIELD_NAME, "lockf*" },
	[LOAM_REC_PLOCK] = { LOAM_SHAPE_FIELD, KEY_ID, "lockp", FIELD_NAME, "lockp*" },
};

/* Keys of the format that begin with a kind's letter and are something else (§2.2). */
static const char *const others[] = { "setting",	   "sliceRef",	    "sessions",
				      "sessionInfos",	   "delSlices",	    "delfiles",
				      "detachedNodes",	   "dirDataLength", "dirUsedSpace",
				      "dirUsedInodes",	   "dirQuota",	    "dirQuotaUsedSpace",
				      "dirQuotaUsedInodes" };

enum loam_redis_shape loam_redis_shape_of(enum loam_record_kind kind)
{
	return kinds[kind].shape;
}

bool loam_redis_kind_is_single(enum loam_record_kind kind)
{
	return kinds[kind].key_form == KEY_FIXED;
}

const char *loam_redis_scan_pattern(enum loam_record_kind kind)
{
	return kinds[kind].pattern;
}

void loam_redis_key_add(struct loam_resp_args *args, const struct loam_record *record)
{
	const struct kind_row *row = &kinds[record->kind];
	switch (row->key_form) {
	case KEY_FIXED:
		loam_resp_arg_word(args, row->key);
		return;
	case KEY_NAME:
		loam_resp_arg(args, record->name.data, record->name.bytes);
		return;
	case KEY_ID:
		loam_resp_arg_format(args, "%s%llu", row->key, (unsigned long long)record->id);
		return;
	case KEY_ID_SUB:
		loam_resp_arg_format(args, "%s%llu_%llu", row->key, (unsigned long long)record->id,
				     (unsigned long long)record->sub);
		return;
	}
}

void loam_redis_field_add(struct loam_resp_args *args, const struct loam_record *record)
{
	unsigned long long id = record->id, sub = record->sub;
	switch (kinds[record->kind].field_form) {
	case FIELD_NONE:
		loam_resp_arg(args, "", 0);
		return;
	case FIELD_NAME:
		loam_resp_arg(args, record->name.data, record->name.bytes);
		return;
	case FIELD_ID:
		loam_resp_arg_format(args, "%llu", id);
		return;
	case FIELD_SUB:
		loam_resp_arg_format(args, "%llu", sub);
		return;
	case FIELD_ID_COLON_SUB:
		loam_resp_arg_format(args, "%llu:%llu", id, sub);
		return;
	case FIELD_ID_UNDER_SUB:
		loam_resp_arg_format(args, "%llu_%llu", id, sub);
		return;
	case FIELD_SLICE:
		loam_resp_arg_format(args, "k%llu_%llu", id, sub);
		return;
	}
}

const char *loam_redis_shown(const struct loam_record *record, char out[LOAM_REDIS_SHOWN_BYTES])
{
	loam_auto_args struct loam_resp_args args = { 0 };
	loam_redis_key_add(&args, record);
	loam_redis_field_add(&args, record);
	const char *after = args.sizes[1] ? "]" : "";
	snprintf(out, LOAM_REDIS_SHOWN_BYTES, "%.*s%s%.*s%s", (int)args.sizes[0], args.values[0],
		 args.sizes[1] ? "[" : "", (int)args.sizes[1], args.values[1], after);
	for (char *at = out; *at; at++)
		if (!isprint((unsigned char)*at))
			*at = '?';
	return out;
}

/* One number at *at; moves behind it. */
static bool take_number(const char **at, const char *end, uint64_t *out)
{
	const char *from = *at;
	uint64_t value = 0;
	while (*at < end && **at >= '0' && **at <= '9') {
		unsigned digit = (unsigned)(**at - '0');
		if (value > (UINT64_MAX - digit) / 10)
			return false;
		value = value * 10 + digit;
		(*at)++;
	}
	if (*at == from || (*from == '0' && *at - from > 1))
		return false;
	*out = value;
	return true;
}

static bool take_pair(const char *at, const char *end, char between, struct loam_record *out)
{
	return take_number(&at, end, &out->id) && at < end && *at++ == between &&
	       take_number(&at, end, &out->sub) && at == end;
}

int loam_redis_key_parse(enum loam_record_kind kind, const char *key, size_t key_bytes,
			 struct loam_record *out)
{
	const struct kind_row *row = &kinds[kind];
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(others); i++)
		if (strlen(others[i]) == key_bytes && memcmp(others[i], key, key_bytes) == 0)
			return -1;
	size_t prefix_bytes = strlen(row->key);
	if (kind == LOAM_REC_SYMLINK && key_bytes >= 7 && memcmp(key, "session", 7) == 0)
		return -1;
	if (key_bytes < prefix_bytes || memcmp(key, row->key, prefix_bytes) != 0)
		return 0;
	*out = (struct loam_record){ .kind = kind };
	const char *at = key + prefix_bytes, *end = key + key_bytes;
	if (row->key_form == KEY_ID_SUB)
		return take_pair(at, end, '_', out);
	return take_number(&at, end, &out->id) && at == end;
}

int loam_redis_field_parse(const char *field, size_t field_bytes, struct loam_record *out)
{
	const char *at = field, *end = field + field_bytes;
	switch (kinds[out->kind].field_form) {
	case FIELD_NONE:
		return 1;
	case FIELD_NAME:
		if (field_bytes > UINT16_MAX)
			return 0;
		out->name = (struct loam_name){ .data = field, .bytes = (uint16_t)field_bytes };
		return 1;
	case FIELD_ID:
		return take_number(&at, end, &out->id) && at == end;
	case FIELD_SUB:
		return take_number(&at, end, &out->sub) && at == end;
	case FIELD_ID_COLON_SUB:
		return take_pair(at, end, ':', out);
	case FIELD_ID_UNDER_SUB:
		return take_pair(at, end, '_', out);
	case FIELD_SLICE:
		return field_bytes > 0 && *at == 'k' && take_pair(at + 1, end, '_', out);
	}
	return 0;
}
