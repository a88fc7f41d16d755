/*
 * Accounts of a host: passwd(5), shadow(5), group(5) (auth/import.h).
 *
 * A user's primary group: Loam gives each account a group of its own with its own number, so a
 * primary group that is shared (users, staff) becomes an ordinary group that he is a member of.
 */
#include "auth/import.h"

#include "auth/fields.h"
#include "core/auto.h"
#include "core/cmd.h"

#include <string.h>

#define PASSWD_FIELDS 7
#define NOBODY_ID     65534u

struct reader {
	struct loam_import *import;
	int64_t today;
};
typedef int line_fn(struct reader *reader, char **fields, size_t line, struct loam_err *err);

/* Lines that are not of this shape are passed over: comments, NIS "+" lines. */
static int each_line(struct reader *reader, const struct loam_buf *text, size_t field_count,
		     line_fn *fn, struct loam_err *err)
{
	const char *rest = loam_buf_text(text);
	const char *end = rest + text->bytes;
	const char *line;
	size_t bytes;
	int rc = 0;
	for (size_t number = 1; rc == 0 && loam_lines_next(&rest, end, &line, &bytes); number++) {
		char copy[LOAM_ACCOUNT_LINE_BYTES_MAX];
		char *fields[LOAM_SHADOW_FIELDS];
		struct loam_err damaged = { 0 };
		if (bytes > 0 && line[0] != '#' && line[0] != '+' && line[0] != '-' &&
		    loam_fields_split(line, bytes, copy, fields, field_count, &damaged) == 0)
			rc = fn(reader, fields, number, err);
		explicit_bzero(copy, sizeof(copy));
	}
	return rc;
}

static bool is_of_the_system(uint64_t number)
{
	return number < LOAM_HOST_UID_MIN || number == NOBODY_ID;
}

static int take_user(struct reader *reader, char **fields, size_t line, struct loam_err *err)
{
	uint64_t uid;
	struct loam_err bad = { 0 };
	if (loam_parse_u64(fields[2], 0, UINT32_MAX, &uid, &bad) == 0 && is_of_the_system(uid))
		return 0;
	struct loam_import_entry *user = loam_import_add_user(reader->import, fields[0], line);
	if (!user)
		return loam_fail(err, LOAM_E_TOO_LARGE, "more than %d accounts",
				 LOAM_IMPORT_ENTRIES_MAX);
	loam_import_set_number(user, fields[2], &user->number);
	loam_import_set_number(user, fields[3], &user->gid);
	return 0;
}

static int take_shadow(struct reader *reader, char **fields, size_t line, struct loam_err *err)
{
	uint64_t expires;
	struct loam_err bad = { 0 };
	struct loam_import_entry *user = loam_import_user(reader->import, fields[0]);
	if (!user)
		return 0;
	loam_fields_copy(fields[LOAM_SHADOW_HASH_FIELD], user->hash, sizeof(user->hash));
	user->disabled = fields[LOAM_SHADOW_EXPIRY_FIELD][0] != '\0' &&
			 (loam_parse_u64(fields[LOAM_SHADOW_EXPIRY_FIELD], 0, INT64_MAX, &expires,
					 &bad) < 0 ||
			  expires <= (uint64_t)reader->today);
	return 0;
}

static void add_primary_members(struct loam_import *import, struct loam_import_entry *group)
{
	for (size_t i = 0; i < import->user_count; i++)
		if (import->users[i]->gid == group->number)
			loam_import_add_member(group, import->users[i]->name);
}

static int take_group(struct reader *reader, char **fields, size_t line, struct loam_err *err)
{
	uint64_t gid;
	struct loam_err bad = { 0 };
	if (loam_parse_u64(fields[LOAM_GROUP_GID_FIELD], 0, UINT32_MAX, &gid, &bad) == 0 &&
	    is_of_the_system(gid))
		return 0;
	/* A user's own group comes with the user. */
	if (loam_import_user(reader->import, fields[0]) &&
	    fields[LOAM_GROUP_MEMBERS_FIELD][0] == '\0')
		return 0;
	struct loam_import_entry *group = loam_import_add_group(reader->import, fields[0], line);
	if (!group)
		return loam_fail(err, LOAM_E_TOO_LARGE, "more than %d groups",
				 LOAM_IMPORT_ENTRIES_MAX);
	loam_import_set_number(group, fields[LOAM_GROUP_GID_FIELD], &group->number);
	char *save = NULL;
	for (char *user = strtok_r(fields[LOAM_GROUP_MEMBERS_FIELD], ",", &save); user;
	     user = strtok_r(NULL, ",", &save))
		loam_import_add_member(group, user);
	add_primary_members(reader->import, group);
	return 0;
}

int loam_import_passwd(const struct loam_buf *passwd, const struct loam_buf *shadow,
		       const struct loam_buf *group, int64_t today, struct loam_import *import,
		       struct loam_err *err)
{
	struct reader reader = { .import = import, .today = today };
	int rc = each_line(&reader, passwd, PASSWD_FIELDS, take_user, err);
	if (rc == 0 && shadow)
		rc = each_line(&reader, shadow, LOAM_SHADOW_FIELDS, take_shadow, err);
	if (rc == 0 && group)
		rc = each_line(&reader, group, LOAM_GROUP_FIELDS, take_group, err);
	return rc;
}
