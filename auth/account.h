/*
 * Accounts as they stand in passwd, group and shadow: one parsed snapshot.
 *
 * A damaged line denies its own account and no other: wrong field count, CR, uid or gid 0, a number
 * that an earlier line has, a name that breaks the rules. Each is kept as a finding for fsck.
 * Owner: a snapshot is immutable once parsed; threads share it.
 */
#ifndef LOAM_AUTH_ACCOUNT_H
#define LOAM_AUTH_ACCOUNT_H

#include "auth/token.h"
#include "core/buf.h"
#include "core/limits.h"

#include <uthash.h>

/* Of a line of shadow(5). */
#define LOAM_SHADOW_FIELDS	 9
#define LOAM_SHADOW_HASH_FIELD	 1
#define LOAM_SHADOW_EXPIRY_FIELD 7

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

struct loam_group {
	char name[LOAM_USER_NAME_BYTES_MAX + 1];
	uint32_t gid;
	UT_hash_handle by_name, by_gid;
};

struct loam_token_row {
	struct loam_token token;
	UT_hash_handle by_hash;
};

struct loam_accounts {
	struct loam_account *by_name, *by_uid; /* uthash heads over the same rows */
	struct loam_group *groups_by_name, *groups_by_gid;
	struct loam_token_row *tokens;
	char **findings; /* "passwd line 3: …" */
	size_t finding_count;
};

/* Any of the four texts may be empty. today: days since 1970, against shadow's expiry. */
struct loam_accounts *loam_accounts_parse(const struct loam_buf *passwd,
					  const struct loam_buf *group,
					  const struct loam_buf *shadow,
					  const struct loam_buf *tokens, int64_t today);
void loam_accounts_free(struct loam_accounts *accounts);
const struct loam_account *loam_accounts_by_name(const struct loam_accounts *accounts,
						 const char *name);
const struct loam_account *loam_accounts_by_uid(const struct loam_accounts *accounts, uint32_t uid);
const struct loam_group *loam_accounts_group(const struct loam_accounts *accounts,
					     const char *name);
/* By the SHA-256 of its text; NULL when unknown. */
const struct loam_token *loam_accounts_token(const struct loam_accounts *accounts,
					     const char *hash_hex);

/* May an account or a group have this number? Not those of the host, of the service, of nobody. */
bool loam_account_number_is_valid(uint64_t number);

/* Lines, with newline; out holds LOAM_ACCOUNT_LINE_BYTES_MAX. */
void loam_account_passwd_line(const char *name, uint32_t uid, uint32_t gid, const char *home,
			      char *out);
void loam_account_group_line(const char *name, uint32_t gid, char *out);
void loam_account_shadow_line(const char *name, const char *hash, int64_t changed_day,
			      bool disabled, char *out);

#endif
