/*
 * Parsing of the account files (auth/account.h). The lines are those of passwd(5), group(5) and
 * shadow(5), so that nodes can use them as they are.
 */
#include "auth/account.h"

#include "auth/fields.h"
#include "auth/password.h"
#include "auth/tree.h"
#include "core/auto.h"
#include "core/cmd.h"

#include <stdio.h>
#include <string.h>

#define PASSWD_FIELDS 7
#define FINDINGS_MAX  1000
#define ID_MAX	      0x7FFFFFFEu
#define NOBODY_ID     65534u

static const char *const file_names[LOAM_ACCOUNT_FILES] = {
	[LOAM_FILE_PASSWD] = "passwd", [LOAM_FILE_GROUP] = "group",
	[LOAM_FILE_SHADOW] = "shadow", [LOAM_FILE_GSHADOW] = "gshadow",
	[LOAM_FILE_TOKENS] = "tokens", [LOAM_FILE_SSH_KEYS] = "ssh_keys",
};

const char *loam_account_file_name(enum loam_account_file file)
{
	return file_names[file];
}

struct line_reader {
	struct loam_accounts *accounts;
	const char *file;
	int64_t today;
};
typedef int line_fn(struct line_reader *reader, const char *line, size_t bytes,
		    struct loam_err *err);

static void add_finding(struct loam_accounts *accounts, const char *file, size_t number,
			const char *text)
{
	if (accounts->finding_count == FINDINGS_MAX)
		return;
	char **grown =
		reallocarray(accounts->findings, accounts->finding_count + 1, sizeof(*grown));
	loam_assert(grown != NULL);
	accounts->findings = grown;
	grown[accounts->finding_count++] =
		loam_xasprintf("/.loam/etc/%s line %zu: %s", file, number, text);
}

static void each_line(struct line_reader *reader, const struct loam_buf *text, line_fn *fn)
{
	const char *rest = loam_buf_text(text);
	const char *end = rest + text->bytes;
	const char *line;
	size_t bytes;
	for (size_t number = 1; loam_lines_next(&rest, end, &line, &bytes); number++) {
		struct loam_err err = { 0 };
		if (bytes > 0 && fn(reader, line, bytes, &err) < 0)
			add_finding(reader->accounts, reader->file, number, err.text);
	}
}

bool loam_account_number_is_valid(uint64_t number)
{
	return number >= LOAM_HOST_UID_MIN && number <= ID_MAX && number != LOAM_SERVICE_ID &&
	       number != NOBODY_ID;
}

static int parse_id(const char *text, uint32_t *out, struct loam_err *err)
{
	uint64_t number;
	int rc = loam_parse_u64(text, 1, ID_MAX, &number, err);
	if (rc < 0)
		return rc;
	if (!loam_account_number_is_valid(number))
		return loam_fail(err, LOAM_E_INVALID, "%s is not a number for accounts", text);
	*out = (uint32_t)number;
	return 0;
}

static int read_passwd_line(struct line_reader *reader, const char *line, size_t bytes,
			    struct loam_err *err)
{
	char copy[LOAM_ACCOUNT_LINE_BYTES_MAX];
	char *fields[PASSWD_FIELDS];
	int rc = loam_fields_split(line, bytes, copy, fields, PASSWD_FIELDS, err);
	if (rc < 0)
		return rc;
	/* Out until a sound line in shadow lets him in: a damaged one must not enable anybody. */
	struct loam_account row = { .hash = "", .disabled = true };
	if ((rc = parse_id(fields[2], &row.uid, err)) < 0 ||
	    (rc = parse_id(fields[3], &row.gid, err)) < 0)
		return rc;
	if (!loam_user_name_is_valid(fields[0]) ||
	    !loam_fields_copy(fields[0], row.name, sizeof(row.name)) ||
	    !loam_fields_copy(fields[5], row.home, sizeof(row.home)))
		return loam_fail(err, LOAM_E_INVALID, "not a name, or a field too long");
	if (loam_accounts_by_name(reader->accounts, row.name) ||
	    loam_accounts_by_uid(reader->accounts, row.uid))
		return loam_fail(err, LOAM_E_INVALID, "name or uid stands in an earlier line");

	struct loam_account *account = loam_xnew(struct loam_account);
	*account = row;
	HASH_ADD(by_name, reader->accounts->by_name, name, strlen(account->name), account);
	HASH_ADD(by_uid, reader->accounts->by_uid, uid, sizeof(account->uid), account);
	return 0;
}

static int read_shadow_line(struct line_reader *reader, const char *line, size_t bytes,
			    struct loam_err *err)
{
	char copy[LOAM_ACCOUNT_LINE_BYTES_MAX];
	char *fields[LOAM_SHADOW_FIELDS];
	int rc = loam_fields_split(line, bytes, copy, fields, LOAM_SHADOW_FIELDS, err);
	if (rc < 0)
		return rc;
	struct loam_account *account;
	HASH_FIND(by_name, reader->accounts->by_name, fields[0], strlen(fields[0]), account);
	if (!account)
		return 0; /* an account that was removed, or not yet finished */
	if (account->hash[0] != '\0')
		return loam_fail(err, LOAM_E_INVALID, "a second line for '%s'", fields[0]);
	uint64_t expires = UINT64_MAX;
	if (fields[LOAM_SHADOW_EXPIRY_FIELD][0] != '\0') {
		rc = loam_parse_u64(fields[LOAM_SHADOW_EXPIRY_FIELD], 0, INT64_MAX, &expires, err);
		if (rc < 0)
			return rc;
	}
	if (!loam_fields_copy(fields[LOAM_SHADOW_HASH_FIELD][0] ? fields[LOAM_SHADOW_HASH_FIELD]
								: "!",
			      account->hash, sizeof(account->hash)))
		return loam_fail(err, LOAM_E_INVALID, "a hash too long");
	account->disabled = expires <= (uint64_t)reader->today;
	if (loam_password_is_older(account->hash))
		reader->accounts->any_older_hash = true;
	return 0;
}

static void add_membership(struct loam_accounts *accounts, const char *user, uint32_t gid)
{
	struct loam_account *account;
	HASH_FIND(by_name, accounts->by_name, user, strlen(user), account);
	if (!account || account->group_count == LOAM_USER_GROUPS_MAX)
		return;
	uint32_t *grown = reallocarray(account->groups, account->group_count + 1, sizeof(*grown));
	loam_assert(grown != NULL);
	account->groups = grown;
	grown[account->group_count++] = gid;
}

bool loam_names_hold(const struct loam_names *names, const char *name)
{
	for (size_t i = 0; i < names->count; i++)
		if (strcmp(names->at[i], name) == 0)
			return true;
	return false;
}

/* "a,b,c"; what is no name is left out. list is cut to pieces. */
static void split_names(char *list, struct loam_names *out)
{
	char *save = NULL;
	for (char *name = strtok_r(list, ",", &save); name; name = strtok_r(NULL, ",", &save)) {
		if (!loam_user_name_is_valid(name) || out->count == LOAM_GROUP_MEMBERS_MAX)
			continue;
		char **grown = reallocarray(out->at, out->count + 1, sizeof(*grown));
		loam_assert(grown != NULL);
		out->at = grown;
		grown[out->count++] = loam_xstrdup(name);
	}
}

static void release_names(struct loam_names *names)
{
	for (size_t i = 0; i < names->count; i++)
		free(names->at[i]);
	free(names->at);
}

static int read_group_line(struct line_reader *reader, const char *line, size_t bytes,
			   struct loam_err *err)
{
	loam_auto_free char *copy = NULL;
	char *fields[LOAM_GROUP_FIELDS];
	int rc = loam_fields_split_long(line, bytes, LOAM_GROUP_LINE_BYTES_MAX, &copy, fields,
					LOAM_GROUP_FIELDS, err);
	if (rc < 0)
		return rc;
	struct loam_group row = { 0 };
	rc = parse_id(fields[LOAM_GROUP_GID_FIELD], &row.gid, err);
	if (rc < 0)
		return rc;
	if (!loam_user_name_is_valid(fields[0]) ||
	    !loam_fields_copy(fields[0], row.name, sizeof(row.name)))
		return loam_fail(err, LOAM_E_INVALID, "not a name");
	if (loam_accounts_group_by_gid(reader->accounts, row.gid) ||
	    loam_accounts_group(reader->accounts, row.name))
		return loam_fail(err, LOAM_E_INVALID, "name or gid stands in an earlier line");

	struct loam_group *group = loam_xnew(struct loam_group);
	*group = row;
	HASH_ADD(by_name, reader->accounts->groups_by_name, name, strlen(group->name), group);
	HASH_ADD(by_gid, reader->accounts->groups_by_gid, gid, sizeof(group->gid), group);
	split_names(fields[LOAM_GROUP_MEMBERS_FIELD], &group->members);
	for (size_t i = 0; i < group->members.count; i++)
		add_membership(reader->accounts, group->members.at[i], row.gid);
	return 0;
}

/* Only its administrators count; the members stand in group. */
static int read_gshadow_line(struct line_reader *reader, const char *line, size_t bytes,
			     struct loam_err *err)
{
	loam_auto_free char *copy = NULL;
	char *fields[LOAM_GROUP_FIELDS];
	int rc = loam_fields_split_long(line, bytes, LOAM_GROUP_LINE_BYTES_MAX, &copy, fields,
					LOAM_GROUP_FIELDS, err);
	if (rc < 0)
		return rc;
	struct loam_group *group;
	HASH_FIND(by_name, reader->accounts->groups_by_name, fields[0], strlen(fields[0]), group);
	if (!group)
		return 0; /* one that was removed, or is not yet finished */
	if (group->managers.count > 0)
		return loam_fail(err, LOAM_E_INVALID, "a second line for '%s'", fields[0]);
	split_names(fields[LOAM_GSHADOW_ADMINS_FIELD], &group->managers);
	return 0;
}

static int read_token_line(struct line_reader *reader, const char *line, size_t bytes,
			   struct loam_err *err)
{
	struct loam_token token;
	int rc = loam_token_parse(line, bytes, &token, err);
	if (rc < 0)
		return rc;
	if (loam_accounts_token(reader->accounts, token.hash))
		return loam_fail(err, LOAM_E_INVALID, "the token stands in an earlier line");
	struct loam_token_row *row = loam_xnew(struct loam_token_row);
	row->token = token;
	HASH_ADD(by_hash, reader->accounts->tokens, token.hash, LOAM_SHA256_HEX, row);
	return 0;
}

/* One key, one holder: a second line with it counts for nothing. */
static int read_key_line(struct line_reader *reader, const char *line, size_t bytes,
			 struct loam_err *err)
{
	struct loam_accounts *accounts = reader->accounts;
	struct loam_ssh_key_row *row = loam_xnew(struct loam_ssh_key_row);
	int rc = loam_ssh_key_parse(line, bytes, &row->key, err);
	if (rc == 0 && (loam_accounts_key(accounts, row->key.id) ||
			loam_accounts_key_by_base64(accounts, row->key.base64)))
		rc = loam_fail(err, LOAM_E_INVALID, "the key or its id stands in an earlier line");
	if (rc < 0) {
		free(row);
		return rc;
	}
	HASH_ADD(by_id, accounts->keys_by_id, key.id, strlen(row->key.id), row);
	HASH_ADD(by_base64, accounts->keys_by_base64, key.base64, strlen(row->key.base64), row);
	return 0;
}

struct loam_accounts *loam_accounts_parse(const struct loam_buf texts[LOAM_ACCOUNT_FILES],
					  int64_t today)
{
	static line_fn *const readers[LOAM_ACCOUNT_FILES] = {
		[LOAM_FILE_PASSWD] = read_passwd_line, [LOAM_FILE_GROUP] = read_group_line,
		[LOAM_FILE_SHADOW] = read_shadow_line, [LOAM_FILE_GSHADOW] = read_gshadow_line,
		[LOAM_FILE_TOKENS] = read_token_line,  [LOAM_FILE_SSH_KEYS] = read_key_line,
	};
	struct loam_accounts *accounts = loam_xnew(struct loam_accounts);
	for (int file = 0; file < LOAM_ACCOUNT_FILES; file++)
		each_line(&(struct line_reader){ accounts, file_names[file], today }, &texts[file],
			  readers[file]);
	return accounts;
}

void loam_accounts_free(struct loam_accounts *accounts)
{
	if (!accounts)
		return;
	struct loam_account *account, *next_account;
	HASH_CLEAR(by_uid, accounts->by_uid);
	HASH_ITER (by_name, accounts->by_name, account, next_account) {
		HASH_DELETE(by_name, accounts->by_name, account);
		explicit_bzero(account->hash, sizeof(account->hash));
		free(account->groups);
		free(account);
	}
	struct loam_group *group, *next_group;
	HASH_CLEAR(by_gid, accounts->groups_by_gid);
	HASH_ITER (by_name, accounts->groups_by_name, group, next_group) {
		HASH_DELETE(by_name, accounts->groups_by_name, group);
		release_names(&group->members);
		release_names(&group->managers);
		free(group);
	}
	struct loam_token_row *row, *next_row;
	HASH_ITER (by_hash, accounts->tokens, row, next_row) {
		HASH_DELETE(by_hash, accounts->tokens, row);
		free(row);
	}
	struct loam_ssh_key_row *key, *next_key;
	HASH_CLEAR(by_base64, accounts->keys_by_base64);
	HASH_ITER (by_id, accounts->keys_by_id, key, next_key) {
		HASH_DELETE(by_id, accounts->keys_by_id, key);
		free(key);
	}
	for (size_t i = 0; i < accounts->finding_count; i++)
		free(accounts->findings[i]);
	free(accounts->findings);
	free(accounts);
}

const struct loam_account *loam_accounts_by_name(const struct loam_accounts *accounts,
						 const char *name)
{
	struct loam_account *found;
	HASH_FIND(by_name, accounts->by_name, name, strlen(name), found);
	return found;
}

const struct loam_account *loam_accounts_by_uid(const struct loam_accounts *accounts, uint32_t uid)
{
	struct loam_account *found;
	HASH_FIND(by_uid, accounts->by_uid, &uid, sizeof(uid), found);
	return found;
}

const struct loam_group *loam_accounts_group(const struct loam_accounts *accounts, const char *name)
{
	struct loam_group *found;
	HASH_FIND(by_name, accounts->groups_by_name, name, strlen(name), found);
	return found;
}

const struct loam_group *loam_accounts_group_by_gid(const struct loam_accounts *accounts,
						    uint32_t gid)
{
	struct loam_group *found;
	HASH_FIND(by_gid, accounts->groups_by_gid, &gid, sizeof(gid), found);
	return found;
}

bool loam_accounts_is_own_group(const struct loam_accounts *accounts,
				const struct loam_group *group)
{
	return loam_accounts_by_name(accounts, group->name) != NULL;
}

int loam_accounts_who(const struct loam_accounts *accounts, const char *text,
		      struct loam_grantee *out, struct loam_err *err)
{
	const struct loam_account *account = loam_accounts_by_name(accounts, text);
	if (account) {
		*out = (struct loam_grantee){ .is_group = false, .id = account->uid };
		return 0;
	}
	const struct loam_group *group = loam_accounts_group(accounts, text);
	if (group) {
		*out = (struct loam_grantee){ .is_group = true, .id = group->gid };
		return 0;
	}
	if ((text[0] != 'u' && text[0] != 'g') || text[1] != ':')
		return loam_fail(err, LOAM_E_NOT_FOUND,
				 "no user or group '%.40s' (loam user add, loam group add)", text);
	uint64_t number;
	if (loam_parse_u64(text + 2, 1, ID_MAX, &number, err) < 0 ||
	    !loam_account_number_is_valid(number)) {
		loam_err_clear(err);
		return loam_fail(err, LOAM_E_UNPROCESSABLE,
				 "'%.40s' is not u:UID or g:GID with a number for accounts", text);
	}
	*out = (struct loam_grantee){ .is_group = text[0] == 'g', .id = (uint32_t)number };
	return 0;
}

void loam_accounts_who_text(const struct loam_accounts *accounts, const struct loam_grantee *who,
			    char out[LOAM_GRANTEE_TEXT_BYTES])
{
	const struct loam_account *account =
		who->is_group ? NULL : loam_accounts_by_uid(accounts, who->id);
	const struct loam_group *group =
		who->is_group ? loam_accounts_group_by_gid(accounts, who->id) : NULL;
	if (account || group)
		snprintf(out, LOAM_GRANTEE_TEXT_BYTES, "%s", account ? account->name : group->name);
	else
		snprintf(out, LOAM_GRANTEE_TEXT_BYTES, "%c:%u", who->is_group ? 'g' : 'u', who->id);
}

const struct loam_token *loam_accounts_token(const struct loam_accounts *accounts,
					     const char *hash_hex)
{
	struct loam_token_row *found;
	HASH_FIND(by_hash, accounts->tokens, hash_hex, LOAM_SHA256_HEX, found);
	return found ? &found->token : NULL;
}

const struct loam_ssh_key *loam_accounts_key(const struct loam_accounts *accounts, const char *id)
{
	struct loam_ssh_key_row *found;
	HASH_FIND(by_id, accounts->keys_by_id, id, strlen(id), found);
	return found ? &found->key : NULL;
}

const struct loam_ssh_key *loam_accounts_key_by_base64(const struct loam_accounts *accounts,
						       const char *base64)
{
	struct loam_ssh_key_row *found;
	HASH_FIND(by_base64, accounts->keys_by_base64, base64, strlen(base64), found);
	return found ? &found->key : NULL;
}

void loam_account_passwd_line(const char *name, uint32_t uid, uint32_t gid, const char *home,
			      char *out)
{
	snprintf(out, LOAM_ACCOUNT_LINE_BYTES_MAX, "%s:x:%u:%u::%s:/bin/bash\n", name, uid, gid,
		 home);
}

void loam_account_group_line(const char *name, uint32_t gid, char *out)
{
	snprintf(out, LOAM_ACCOUNT_LINE_BYTES_MAX, "%s:x:%u:\n", name, gid);
}

/* A disabled account expired on day 1, as `usermod --expiredate 1` writes it. */
void loam_account_shadow_line(const char *name, const char *hash, int64_t changed_day,
			      bool disabled, char *out)
{
	snprintf(out, LOAM_ACCOUNT_LINE_BYTES_MAX, "%s:%s:%lld:0:99999:7::%s:\n", name, hash,
		 (long long)changed_day, disabled ? "1" : "");
}
