/*
 * Accounts from somewhere else: read from CSV, passwd(5) or LDIF into one list, compared with the
 * accounts of the volume, carried out.
 *
 * Reading never fails for what is in a line: the entry keeps its trouble and shows up as a
 * conflict. Units: numbers as in the source, 0: none given. Owner: loam_import_free.
 * Limits: LOAM_IMPORT_BYTES_MAX a file, LOAM_IMPORT_ENTRIES_MAX users and groups each.
 */
#ifndef LOAM_AUTH_IMPORT_H
#define LOAM_AUTH_IMPORT_H

#include "auth/account_store.h"
#include "core/buf.h"

#define LOAM_IMPORT_BYTES_MAX	(64u << 20)
#define LOAM_IMPORT_ENTRIES_MAX 20000
#define LOAM_IMPORT_NAME_BYTES	128

/* A user or a group of the source. */
struct loam_import_entry {
	size_t line; /* where it begins in the source */
	char name[LOAM_IMPORT_NAME_BYTES];
	uint64_t number; /* uid or gid */
	uint64_t gid;	 /* of a user's primary group */
	char hash[384];	 /* a user's, as crypt(3) has it; "" none */
	bool disabled;
	char trouble[160];	   /* why it cannot be taken; "" none */
	struct loam_names members; /* a group's */
	UT_hash_handle by_name, by_number;
};

struct loam_import {
	struct loam_import_entry **users, **groups; /* in their order */
	size_t user_count, group_count;
	struct loam_import_entry *users_by_name, *groups_by_name; /* the first of a name */
};

struct loam_import *loam_import_new(void);
void loam_import_free(struct loam_import *import);
/* Appends one of that name; NULL behind LOAM_IMPORT_ENTRIES_MAX. */
struct loam_import_entry *loam_import_add_user(struct loam_import *import, const char *name,
					       size_t line);
struct loam_import_entry *loam_import_add_group(struct loam_import *import, const char *name,
						size_t line);
/* The first of that name, or NULL. */
struct loam_import_entry *loam_import_user(const struct loam_import *import, const char *name);
struct loam_import_entry *loam_import_group(const struct loam_import *import, const char *name);
void loam_import_add_member(struct loam_import_entry *group, const char *user);
/* A number from text, or the entry's trouble. */
void loam_import_set_number(struct loam_import_entry *entry, const char *text, uint64_t *out);

/* First line: names of columns, of which `name` must be there and `uid`, `groups` (separated by
 * blanks, commas or semicolons), `disabled` may; others are passed over. RFC 4180 quotes.
 * Errors: INVALID for a table that is none. */
int loam_import_csv(const struct loam_buf *text, struct loam_import *import, struct loam_err *err);
/* passwd(5), with shadow(5) and group(5) where given. System accounts (below 1000, nobody) are
 * passed over. today: days since 1970. */
int loam_import_passwd(const struct loam_buf *passwd, const struct loam_buf *shadow,
		       const struct loam_buf *group, int64_t today, struct loam_import *import,
		       struct loam_err *err);
/* posixAccount and posixGroup entries of RFC 2849; values in base64, folded lines. */
int loam_import_ldif(const struct loam_buf *text, struct loam_import *import, struct loam_err *err);

/* ---- what would happen ----------------------------------------------------------------------- */

enum loam_import_verdict {
	LOAM_IMPORT_ADD,    /* made */
	LOAM_IMPORT_KEEP,   /* there already, as the source has it */
	LOAM_IMPORT_CHANGE, /* there already, gets something (a membership, its password) */
	LOAM_IMPORT_CONFLICT
};
const char *loam_import_verdict_name(enum loam_import_verdict verdict);

struct loam_import_step {
	enum loam_import_verdict verdict;
	bool is_group;
	const struct loam_import_entry *entry; /* borrowed from the import */
	bool takes_hash;
	struct loam_names joins; /* of a group: users who become members (borrowed names) */
	char note[256];		 /* for people: the conflict, or what is special */
};

struct loam_import_plan {
	struct loam_import_step *steps;
	size_t count, conflicts, adds, changes;
};

/* Compares with the accounts as they are now. */
int loam_import_plan_make(const struct loam_import *import, struct loam_account_store *store,
			  struct loam_import_plan *out, struct loam_err *err);
void loam_import_plan_release(struct loam_import_plan *plan);
/* Groups, then all users and memberships at once (auth/account_many.h), then passwords of users who
 * were there; conflicts are passed over. What is done already when something fails stays, and the
 * next run goes on from there. */
int loam_import_run(const struct loam_import_plan *plan, struct loam_account_store *store,
		    struct loam_err *err);

#endif
