/*
 * Accounts and groups as they stand in passwd, group, shadow and gshadow: one parsed snapshot.
 *
 * A damaged line denies its own account and no other: wrong field count, CR, uid or gid 0, a number
 * that an earlier line has, a name that breaks the rules. Each is kept as a finding for fsck.
 * Owner: a snapshot is immutable once parsed; threads share it.
 */
#ifndef LOAM_AUTH_ACCOUNT_H
#define LOAM_AUTH_ACCOUNT_H

#include "auth/ssh_key.h"
#include "auth/token.h"
#include "core/buf.h"
#include "core/limits.h"

#include <uthash.h>

/* Of a line of shadow(5). */
#define LOAM_SHADOW_FIELDS	 9
#define LOAM_SHADOW_HASH_FIELD	 1
#define LOAM_SHADOW_EXPIRY_FIELD 7

/* The files in /.loam/etc that make one snapshot. */
enum loam_account_file {
	LOAM_FILE_PASSWD,
	LOAM_FILE_GROUP,
	LOAM_FILE_SHADOW,
	LOAM_FILE_GSHADOW,
	LOAM_FILE_TOKENS,
	LOAM_FILE_SSH_KEYS,
	LOAM_ACCOUNT_FILES
};
const char *loam_account_file_name(enum loam_account_file file); /* "passwd" */

struct loam_account {
	char name[LOAM_USER_NAME_BYTES_MAX + 1];
	uint32_t uid, gid;
	char home[LOAM_PATH_BYTES_MAX];
	char hash[384];	  /* "" without a line in shadow; "!" no password */
	bool disabled;	  /* shadow's expiry lies in the past, or it has no sound line for him */
	uint32_t *groups; /* supplementary */
	size_t group_count;
	UT_hash_handle by_name, by_uid;
};

/* Names of users, in the order of the line; some may have no account. */
struct loam_names {
	char **at;
	size_t count;
};
bool loam_names_hold(const struct loam_names *names, const char *name);

/* A group that has a user's name is that user's own: his primary group, without members. */
struct loam_group {
	char name[LOAM_USER_NAME_BYTES_MAX + 1];
	uint32_t gid;
	struct loam_names members;
	struct loam_names managers; /* may change the members; gshadow(5)'s administrators */
	UT_hash_handle by_name, by_gid;
};

/* Whom a right is given to. */
struct loam_grantee {
	bool is_group;
	uint32_t id; /* uid or gid */
};
#define LOAM_THE_USER(uid_)  (&(struct loam_grantee){ .is_group = false, .id = (uid_) })
#define LOAM_THE_GROUP(gid_) (&(struct loam_grantee){ .is_group = true, .id = (gid_) })

struct loam_token_row {
	struct loam_token token;
	UT_hash_handle by_hash;
};

struct loam_ssh_key_row {
	struct loam_ssh_key key;
	UT_hash_handle by_id, by_base64;
};

struct loam_accounts {
	struct loam_account *by_name, *by_uid; /* uthash heads over the same rows */
	struct loam_group *groups_by_name, *groups_by_gid;
	struct loam_token_row *tokens;
	struct loam_ssh_key_row *keys_by_id, *keys_by_base64;
	bool any_older_hash; /* somebody has a hash that loam_password_is_older */
	char **findings;     /* "passwd line 3: …" */
	size_t finding_count;
};

/* Any of the texts may be empty. today: days since 1970, against shadow's expiry. */
struct loam_accounts *loam_accounts_parse(const struct loam_buf texts[LOAM_ACCOUNT_FILES],
					  int64_t today);
void loam_accounts_free(struct loam_accounts *accounts);
const struct loam_account *loam_accounts_by_name(const struct loam_accounts *accounts,
						 const char *name);
const struct loam_account *loam_accounts_by_uid(const struct loam_accounts *accounts, uint32_t uid);
const struct loam_group *loam_accounts_group(const struct loam_accounts *accounts,
					     const char *name);
const struct loam_group *loam_accounts_group_by_gid(const struct loam_accounts *accounts,
						    uint32_t gid);
/* A user's own group, which cannot be changed, shown or granted to? */
bool loam_accounts_is_own_group(const struct loam_accounts *accounts,
				const struct loam_group *group);
/*
 * Whom a word on a command line or in a request means: a user's or a group's name (no name is
 * both), or "u:UID", "g:GID", a bare number that may be unknown (grants outlive accounts).
 * NOT_FOUND, UNPROCESSABLE.
 */
int loam_accounts_who(const struct loam_accounts *accounts, const char *text,
		      struct loam_grantee *out, struct loam_err *err);
#define LOAM_GRANTEE_TEXT_BYTES (LOAM_USER_NAME_BYTES_MAX + 1)
/* The word for it: a name, or "u:UID", "g:GID" where there is none. */
void loam_accounts_who_text(const struct loam_accounts *accounts, const struct loam_grantee *who,
			    char out[LOAM_GRANTEE_TEXT_BYTES]);
/* By the SHA-256 of its text; NULL when unknown. */
const struct loam_token *loam_accounts_token(const struct loam_accounts *accounts,
					     const char *hash_hex);
/* NULL when unknown. A key's type stands in its base64 too. */
const struct loam_ssh_key *loam_accounts_key(const struct loam_accounts *accounts, const char *id);
const struct loam_ssh_key *loam_accounts_key_by_base64(const struct loam_accounts *accounts,
						       const char *base64);

/* May an account or a group have this number? Not those of the host, of the service, of nobody. */
bool loam_account_number_is_valid(uint64_t number);

#define LOAM_GROUP_FIELDS	  4
#define LOAM_GROUP_GID_FIELD	  2
#define LOAM_GROUP_MEMBERS_FIELD  3
#define LOAM_GSHADOW_ADMINS_FIELD 2

/* Lines, with newline; out holds LOAM_ACCOUNT_LINE_BYTES_MAX. */
void loam_account_passwd_line(const char *name, uint32_t uid, uint32_t gid, const char *home,
			      char *out);
void loam_account_group_line(const char *name, uint32_t gid, char *out);
void loam_account_shadow_line(const char *name, const char *hash, int64_t changed_day,
			      bool disabled, char *out);

#endif
