/*
 * Accounts of an LDAP directory as `ldapsearch -LLL` or slapcat print them (auth/import.h).
 *
 * Entries are separated by empty lines; a line that begins with a blank continues the one before;
 * "attr: text", "attr:: base64"; "attr:< URL" is never followed.
 * Source: RFC 2849, RFC 2307.
 */
#include "auth/import.h"

#include "core/auto.h"
#include "core/hash.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define VALUE_BYTES_MAX (64u << 10)

/* What one entry has said so far. */
struct record {
	size_t line;
	bool is_user, is_group;
	char trouble[160];
	char uid[LOAM_IMPORT_NAME_BYTES], cn[LOAM_IMPORT_NAME_BYTES];
	char uid_number[32], gid_number[32];
	char hash[384];
	struct loam_names members;
};

struct reader {
	struct loam_import *import;
	const char *at, *end;
	size_t line;
	struct record record;
};

static void copy_once(char *out, size_t out_bytes, const char *value, struct record *record)
{
	if (out[0])
		return; /* the first of several counts */
	if (strlen(value) >= out_bytes)
		snprintf(record->trouble, sizeof(record->trouble), "a value is too long");
	else
		memcpy(out, value, strlen(value) + 1);
}

static void add_member(struct record *record, const char *user)
{
	char **grown = reallocarray(record->members.at, record->members.count + 1, sizeof(*grown));
	loam_assert(grown != NULL);
	record->members.at = grown;
	grown[record->members.count++] = loam_xstrdup(user);
}

static void take_attribute(struct record *record, const char *name, const char *value)
{
	if (strcasecmp(name, "objectClass") == 0) {
		record->is_user = record->is_user || strcasecmp(value, "posixAccount") == 0;
		record->is_group = record->is_group || strcasecmp(value, "posixGroup") == 0;
	} else if (strcasecmp(name, "uid") == 0) {
		copy_once(record->uid, sizeof(record->uid), value, record);
	} else if (strcasecmp(name, "cn") == 0) {
		copy_once(record->cn, sizeof(record->cn), value, record);
	} else if (strcasecmp(name, "uidNumber") == 0) {
		copy_once(record->uid_number, sizeof(record->uid_number), value, record);
	} else if (strcasecmp(name, "gidNumber") == 0) {
		copy_once(record->gid_number, sizeof(record->gid_number), value, record);
	} else if (strcasecmp(name, "memberUid") == 0 && strlen(value) < LOAM_IMPORT_NAME_BYTES) {
		add_member(record, value);
	} else if (strcasecmp(name, "userPassword") == 0 && strncasecmp(value, "{CRYPT}", 7) == 0 &&
		   strlen(value + 7) < sizeof(record->hash)) {
		snprintf(record->hash, sizeof(record->hash), "%s", value + 7);
	} else if (strcasecmp(name, "changetype") == 0 && strcasecmp(value, "add") != 0) {
		snprintf(record->trouble, sizeof(record->trouble),
			 "it is a change (%.20s), not an entry", value);
	}
}

static void clear_record(struct record *record)
{
	for (size_t i = 0; i < record->members.count; i++)
		free(record->members.at[i]);
	free(record->members.at);
	explicit_bzero(record, sizeof(*record));
}

static int end_user(struct reader *reader, struct loam_err *err)
{
	const struct record *record = &reader->record;
	struct loam_import_entry *user =
		loam_import_add_user(reader->import, record->uid, record->line);
	if (!user)
		return loam_fail(err, LOAM_E_TOO_LARGE, "more than %d accounts",
				 LOAM_IMPORT_ENTRIES_MAX);
	if (record->uid_number[0])
		loam_import_set_number(user, record->uid_number, &user->number);
	memcpy(user->hash, record->hash, sizeof(user->hash));
	if (record->trouble[0])
		memcpy(user->trouble, record->trouble, sizeof(user->trouble));
	return 0;
}

static int end_group(struct reader *reader, struct loam_err *err)
{
	const struct record *record = &reader->record;
	struct loam_import_entry *group =
		loam_import_add_group(reader->import, record->cn, record->line);
	if (!group)
		return loam_fail(err, LOAM_E_TOO_LARGE, "more than %d groups",
				 LOAM_IMPORT_ENTRIES_MAX);
	if (record->gid_number[0])
		loam_import_set_number(group, record->gid_number, &group->number);
	for (size_t i = 0; i < record->members.count; i++)
		loam_import_add_member(group, record->members.at[i]);
	if (record->trouble[0])
		memcpy(group->trouble, record->trouble, sizeof(group->trouble));
	return 0;
}

static int end_record(struct reader *reader, struct loam_err *err)
{
	int rc = 0;
	if (reader->record.is_user)
		rc = end_user(reader, err);
	else if (reader->record.is_group)
		rc = end_group(reader, err);
	clear_record(&reader->record);
	return rc;
}

/* One logical line, unfolded, without its newline. 1, 0 at the end. */
static int take_line(struct reader *reader, struct loam_buf *out, size_t *out_line,
		     struct loam_err *err)
{
	if (reader->at >= reader->end)
		return 0;
	*out_line = reader->line;
	loam_buf_clear(out);
	do {
		const char *start = reader->at;
		const char *newline = memchr(start, '\n', (size_t)(reader->end - start));
		size_t bytes = (size_t)((newline ? newline : reader->end) - start);
		reader->at = newline ? newline + 1 : reader->end;
		bool continues = reader->line++ != *out_line;
		if (bytes > 0 && start[bytes - 1] == '\r')
			bytes--;
		if (loam_buf_add(out, start + continues, bytes - (continues && bytes > 0), err) < 0)
			return loam_context(err, "line %zu", *out_line);
	} while (out->bytes > 0 && reader->at < reader->end && *reader->at == ' ');
	if (memchr(loam_buf_text(out), '\0', out->bytes))
		return loam_fail(err, LOAM_E_INVALID, "line %zu: a NUL byte", *out_line);
	return 1;
}

/* name:: base64 */
static int decode(const char *text, struct loam_buf *out, struct loam_err *err)
{
	size_t text_bytes = strlen(text), bytes = text_bytes;
	int rc = loam_buf_reserve(out, text_bytes, err);
	if (rc < 0)
		return rc;
	if (!loam_base64_decode(text, text_bytes, out->data, &bytes) ||
	    memchr(out->data, '\0', bytes))
		return loam_fail(err, LOAM_E_INVALID, "no base64 of a text");
	out->bytes = bytes;
	out->data[bytes] = '\0';
	return 0;
}

static int take_pair(struct reader *reader, char *line, size_t number, struct loam_err *err)
{
	char *colon = strchr(line, ':');
	if (!colon)
		return loam_fail(err, LOAM_E_INVALID, "line %zu: no 'attribute: value'", number);
	*colon = '\0';
	char *options = strchr(line, ';');
	char *value = colon + 1;
	bool is_base64 = *value == ':';
	if (reader->record.line == 0)
		reader->record.line = number;
	/* Attributes with options (cn;lang-de) are others; a URL is never followed. */
	if (options || *value == '<')
		return 0;
	value += is_base64;
	value += strspn(value, " ");
	if (!is_base64) {
		take_attribute(&reader->record, line, value);
		return 0;
	}
	loam_auto_buf struct loam_buf text = LOAM_BUF(VALUE_BYTES_MAX);
	if (decode(value, &text, err) < 0)
		return loam_context(err, "line %zu", number);
	take_attribute(&reader->record, line, loam_buf_text(&text));
	explicit_bzero(text.data, text.bytes);
	return 0;
}

int loam_import_ldif(const struct loam_buf *text, struct loam_import *import, struct loam_err *err)
{
	struct reader reader = { .import = import, .at = loam_buf_text(text), .line = 1 };
	loam_auto_buf struct loam_buf line = LOAM_BUF(VALUE_BYTES_MAX);
	size_t number;
	reader.end = reader.at + text->bytes;
	int rc;
	while ((rc = take_line(&reader, &line, &number, err)) == 1) {
		if (line.bytes == 0)
			rc = end_record(&reader, err);
		else if (line.data[0] == '#')
			rc = 0;
		else
			rc = take_pair(&reader, (char *)line.data, number, err);
		if (rc < 0)
			break;
	}
	if (rc == 0)
		rc = end_record(&reader, err);
	clear_record(&reader.record);
	return rc;
}
