/*
 * The Format document (key setting): one JSON object that says what a volume is. Every command
 * reads it first; a push depends on it for block size, limits and ACLs (step 4).
 *
 * One table names the members Loam understands. Reading: names match whatever their case, the last
 * of several wins, an absent or null member is zero. Writing starts from the document that was
 * read, so members of newer clients stay as they are.
 */
#include "fs/meta/meta_format.h"

#include "core/auto.h"
#include "core/json.h"

#include <stddef.h>
#include <string.h>
#include <strings.h>

#define BLOCK_KIB_MIN	 64u
#define BLOCK_KIB_MAX	 16384u
#define META_VERSION_MAX 1
#define UUID_CHARS	 36
#define NAME_CHARS_MIN	 3
#define NAME_CHARS_MAX	 63

enum member_kind { TEXT, U32, U64, I64, FLAG };

struct member {
	const char *name;
	enum member_kind kind;
	bool always; /* upstream writes it when it is zero, too */
	size_t offset;
};

#define FIELD(field) offsetof(struct loam_format, field)
static const struct member members[] = {
	{ "Name", TEXT, true, FIELD(name) },
	{ "UUID", TEXT, true, FIELD(uuid) },
	{ "Storage", TEXT, true, FIELD(storage) },
	{ "Bucket", TEXT, true, FIELD(bucket) },
	{ "AccessKey", TEXT, false, FIELD(access_key) },
	{ "SecretKey", TEXT, false, FIELD(secret_key) },
	{ "BlockSize", U32, true, FIELD(block_kib) },
	{ "Compression", TEXT, false, FIELD(compression) },
	{ "Shards", U32, false, FIELD(shards) },
	{ "HashPrefix", FLAG, false, FIELD(hash_prefix) },
	{ "Capacity", U64, false, FIELD(capacity_bytes) },
	{ "Inodes", U64, false, FIELD(inodes) },
	{ "EncryptAlgo", TEXT, false, FIELD(encrypt_algo) },
	{ "KeyEncrypted", FLAG, false, FIELD(key_encrypted) },
	{ "EncryptKey", TEXT, false, FIELD(encrypt_key) },
	{ "TrashDays", I64, true, FIELD(trash_days) },
	{ "MetaVersion", I64, false, FIELD(meta_version) },
	{ "MinClientVersion", TEXT, false, FIELD(min_client) },
	{ "MaxClientVersion", TEXT, false, FIELD(max_client) },
	{ "DirStats", FLAG, false, FIELD(dir_stats) },
	{ "UserGroupQuota", FLAG, false, FIELD(user_group_quota) },
	{ "EnableACL", FLAG, true, FIELD(enable_acl) },
	{ "ChangeLog", FLAG, false, FIELD(change_log) },
};

static char **text_of(const struct loam_format *format, const struct member *member)
{
	return (char **)((char *)format + member->offset);
}

static void *number_of(const struct loam_format *format, const struct member *member)
{
	return (char *)format + member->offset;
}

/* Replaces the field's text; takes a copy. */
static void set_text(struct loam_format *format, const struct member *member, const char *text)
{
	char **at = text_of(format, member);
	free(*at);
	*at = loam_xstrdup(text);
}

static int wrong_type(const struct member *member, struct loam_err *err)
{
	return loam_fail(err, LOAM_E_INVALID, "setting: %s has a wrong type or range",
			 member->name);
}

static int parse_number(struct loam_format *format, const struct member *member,
			const json_t *value, struct loam_err *err)
{
	if (!json_is_integer(value))
		return wrong_type(member, err);
	json_int_t number = json_integer_value(value);
	if (member->kind != I64 && number < 0)
		return wrong_type(member, err);
	if (member->kind == U32 && number > UINT32_MAX)
		return wrong_type(member, err);

	if (member->kind == U32)
		*(uint32_t *)number_of(format, member) = (uint32_t)number;
	else
		*(int64_t *)number_of(format, member) = number;
	return 0;
}

static int parse_member(struct loam_format *format, const struct member *member,
			const json_t *value, struct loam_err *err)
{
	if (json_is_null(value))
		return 0;
	switch (member->kind) {
	case TEXT:
		if (!json_is_string(value))
			return wrong_type(member, err);
		set_text(format, member, json_string_value(value));
		return 0;
	case FLAG:
		if (!json_is_boolean(value))
			return wrong_type(member, err);
		*(bool *)number_of(format, member) = json_is_true(value);
		return 0;
	default:
		return parse_number(format, member, value, err);
	}
}

static const struct member *find_member(const char *name)
{
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(members); i++) {
		if (strcasecmp(members[i].name, name) == 0)
			return &members[i];
	}
	return NULL;
}

LOAM_DEFINE_AUTO(auto_format, struct loam_format, loam_format_free)

int loam_format_parse(const void *text, size_t text_bytes, struct loam_format **out_format,
		      struct loam_err *err)
{
	struct loam_format *format __attribute__((cleanup(auto_format_))) =
		loam_xnew(struct loam_format);
	json_t *document = NULL;
	int ret = loam_json_parse(text, text_bytes, &document, err);
	if (ret < 0)
		return loam_context(err, "setting");
	format->document = document;
	if (!json_is_object(document))
		return loam_fail(err, LOAM_E_INVALID, "setting is no JSON object");

	for (size_t i = 0; i < LOAM_ARRAY_COUNT(members); i++) {
		if (members[i].kind == TEXT)
			set_text(format, &members[i], "");
	}
	for (void *at = json_object_iter(document); at; at = json_object_iter_next(document, at)) {
		const struct member *member = find_member(json_object_iter_key(at));
		if (!member)
			continue;
		ret = parse_member(format, member, json_object_iter_value(at), err);
		if (ret < 0)
			return ret;
	}
	*out_format = loam_steal(&format);
	return 0;
}

/* The member as JSON, a new reference; *out_zero when it has the value of an absent member. */
static json_t *member_value(const struct loam_format *format, const struct member *member,
			    bool *out_zero)
{
	json_int_t number;
	switch (member->kind) {
	case TEXT: {
		const char *text = *text_of(format, member);
		*out_zero = !text || text[0] == '\0';
		return json_string(text ? text : "");
	}
	case FLAG:
		*out_zero = !*(bool *)number_of(format, member);
		return json_boolean(!*out_zero);
	case U32:
		number = *(uint32_t *)number_of(format, member);
		break;
	default:
		number = *(int64_t *)number_of(format, member);
		break;
	}
	*out_zero = number == 0;
	return json_integer(number);
}

/* Sets the member wherever the document has it, in any case; else adds it if it says something. */
static int print_member(const struct loam_format *format, const struct member *member,
			json_t *document, struct loam_err *err)
{
	bool zero = true;
	loam_auto_json json_t *value = member_value(format, member, &zero);
	if (!value)
		return loam_fail(err, LOAM_E_INVALID, "setting: %s is not valid UTF-8",
				 member->name);

	bool present = false;
	for (void *at = json_object_iter(document); at; at = json_object_iter_next(document, at)) {
		if (strcasecmp(json_object_iter_key(at), member->name) != 0)
			continue;
		json_object_iter_set(document, at, value);
		present = true;
	}
	if (!present && (member->always || !zero))
		json_object_set(document, member->name, value);
	return 0;
}

int loam_format_print(const struct loam_format *format, struct loam_buf *out, struct loam_err *err)
{
	loam_auto_json json_t *document =
		format->document ? json_deep_copy(format->document) : json_object();
	if (!document)
		return loam_fail(err, LOAM_E_BUSY, "no memory for the setting");

	for (size_t i = 0; i < LOAM_ARRAY_COUNT(members); i++) {
		int ret = print_member(format, &members[i], document, err);
		if (ret < 0)
			return ret;
	}
	return loam_json_print(document, out, err);
}

void loam_format_free(struct loam_format *format)
{
	if (!format)
		return;
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(members); i++) {
		if (members[i].kind == TEXT)
			free(*text_of(format, &members[i]));
	}
	json_decref(format->document);
	free(format);
}

/* A document made by hand may leave texts out. */
static const char *or_empty(const char *text)
{
	return text ? text : "";
}

/* ^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$ */
static bool name_is_valid(const char *name)
{
	size_t chars = strlen(name);
	if (chars < NAME_CHARS_MIN || chars > NAME_CHARS_MAX)
		return false;
	return strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == chars && name[0] != '-' &&
	       name[chars - 1] != '-';
}

static int check_shape(const struct loam_format *format, struct loam_err *err)
{
	if (!name_is_valid(or_empty(format->name)))
		return loam_fail(err, LOAM_E_INVALID, "setting: '%s' is no volume name",
				 or_empty(format->name));
	if (strlen(or_empty(format->uuid)) != UUID_CHARS)
		return loam_fail(err, LOAM_E_INVALID, "setting: '%s' is no UUID",
				 or_empty(format->uuid));
	uint32_t kib = format->block_kib;
	if (kib < BLOCK_KIB_MIN || kib > BLOCK_KIB_MAX || (kib & (kib - 1)) != 0)
		return loam_fail(err, LOAM_E_INVALID, "setting: a block size of %u KiB", kib);
	return 0;
}

/* Order of upstream's gate: layout, oldest client, newest client. */
static int check_versions(const struct loam_format *format, struct loam_err *err)
{
	if (format->meta_version > META_VERSION_MAX)
		return loam_fail(err, LOAM_E_UNSUPPORTED, "the volume has metadata version %lld",
				 (long long)format->meta_version);
	int order = 0;
	if (or_empty(format->min_client)[0]) {
		int ret = loam_version_compare(LOAM_COMPAT_VERSION, or_empty(format->min_client),
					       &order, err);
		if (ret < 0)
			return loam_context(err, "MinClientVersion");
		if (order < 0)
			return loam_fail(err, LOAM_E_UNSUPPORTED,
					 "the volume wants clients of version %s and newer",
					 or_empty(format->min_client));
	}
	if (or_empty(format->max_client)[0]) {
		int ret = loam_version_compare(LOAM_COMPAT_VERSION, or_empty(format->max_client),
					       &order, err);
		if (ret < 0)
			return loam_context(err, "MaxClientVersion");
		if (order > 0)
			return loam_fail(err, LOAM_E_UNSUPPORTED,
					 "the volume wants clients of version %s and older",
					 or_empty(format->max_client));
	}
	return 0;
}

int loam_format_check(const struct loam_format *format, struct loam_err *err)
{
	int ret = check_versions(format, err);
	if (ret < 0)
		return ret;
	ret = check_shape(format, err);
	if (ret < 0)
		return ret;

	bool plain = or_empty(format->compression)[0] == '\0' ||
		     strcasecmp(or_empty(format->compression), "none") == 0;
	const struct {
		bool refused;
		const char *reason;
		const char *remedy; /* option of juicefs config that switches it off */
	} features[] = {
		{ strcasecmp(or_empty(format->storage), "file") != 0 &&
			  strcasecmp(or_empty(format->storage), "mem") != 0,
		  "keeps its blocks in a store that Loam does not have yet (Storage)", NULL },
		{ format->shards > 1, "spreads its blocks over several buckets (Shards)", NULL },
		{ !plain, "is compressed (Compression)", NULL },
		{ or_empty(format->encrypt_key)[0] != '\0', "is encrypted (EncryptKey)", NULL },
		{ format->trash_days > 0, "has a trash (TrashDays)", "--trash-days 0" },
		{ format->dir_stats, "keeps directory statistics (DirStats)", "--dir-stats=false" },
		{ format->user_group_quota, "has user and group quotas (UserGroupQuota)",
		  "--user-group-quota=false" },
		{ format->change_log, "keeps a change log (ChangeLog)", "--changelog=false" },
	};
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(features); i++) {
		if (!features[i].refused)
			continue;
		const char *remedy = features[i].remedy;
		return loam_fail(err, LOAM_E_UNSUPPORTED, "it %s: not supported yet%s%s",
				 features[i].reason,
				 remedy ? "; to switch it off: juicefs config META " : "",
				 remedy ? remedy : "");
	}
	return 0;
}
