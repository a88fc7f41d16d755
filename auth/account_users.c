/*
 * Accounts made, changed and removed (auth/account_store.h).
 *
 * `user add` writes next, passwd, group, home, shadow: the line in passwd takes the name, the one
 * in shadow lets the account in. `user del` goes the other way round, passwd last. A command that
 * was killed leaves an account that is refused everywhere and that `user del` removes whole.
 * Whether he owns something is asked before anything is done, and again when he is shut out.
 *
 * No name is a user's and a group's: both are looked for again behind the making, and whoever sees
 * the other takes its own back.
 */
#include "auth/account_store_internal.h"

#include "auth/audit.h"
#include "auth/fields.h"
#include "auth/groups.h"
#include "auth/owned.h"
#include "auth/password.h"
#include "core/auto.h"
#include "fs/files.h"

#include <stdio.h>
#include <string.h>

/* The numbers of a new account, by the rules of design.md §2. */
static int choose_numbers(struct loam_account_store *store, const struct loam_new_user *user,
			  uint32_t *uid, uint32_t *gid, struct loam_err *err)
{
	if (user->uid == 0 && user->host_uid < LOAM_HOST_UID_MIN) {
		int rc = loam_account_number_take(store, uid, err);
		*gid = *uid;
		return rc;
	}
	*uid = user->uid != 0 ? user->uid : user->host_uid;
	*gid = user->uid != 0 ? user->uid : user->host_gid;
	int rc = loam_account_number_check(store, *uid, err);
	if (rc == 0 && *gid != *uid)
		rc = loam_account_number_check(store, *gid, err);
	return rc;
}

struct add_user {
	const char *name;
	uint32_t uid;
	const char *line;
};

static int change_add_passwd(void *arg, const struct loam_buf *old, struct loam_buf *out,
			     struct loam_err *err)
{
	struct add_user *add = arg;
	const struct loam_buf texts[LOAM_ACCOUNT_FILES] = { [LOAM_FILE_PASSWD] = *old };
	struct loam_accounts *present = loam_accounts_parse(texts, 0);
	const struct loam_account *same = loam_accounts_by_uid(present, add->uid);
	int rc = 0;
	if (loam_accounts_by_name(present, add->name))
		rc = loam_fail(err, LOAM_E_EXISTS, "there is a user '%s' already", add->name);
	else if (same)
		rc = loam_fail(err, LOAM_E_EXISTS, "uid %u belongs to '%s' already", add->uid,
			       same->name);
	loam_accounts_free(present);
	bool had;
	return rc < 0 ? rc : loam_lines_set(old, add->name, add->line, out, &had, err);
}

static int check_new(struct loam_account_store *store, const struct loam_new_user *user,
		     struct loam_err *err)
{
	if (!loam_user_name_is_valid(user->name))
		return loam_fail(
			err, LOAM_E_UNPROCESSABLE,
			"'%.40s': a user's name is 1 to 32 of a-z, 0-9, '_', '-', beginning "
			"with a letter, and not a name of the system",
			user->name);
	const struct loam_accounts *accounts = NULL;
	int rc = loam_account_store_get(store, true, &accounts, err);
	if (rc < 0)
		return rc;
	if (loam_accounts_by_name(accounts, user->name) ||
	    loam_accounts_group(accounts, user->name))
		rc = loam_fail(err, LOAM_E_EXISTS, "there is a user or group '%s' already",
			       user->name);
	for (size_t i = 0; rc == 0 && i < user->group_count; i++) {
		const struct loam_group *group = loam_accounts_group(accounts, user->groups[i]);
		if (!group || loam_accounts_is_own_group(accounts, group))
			rc = loam_fail(err, LOAM_E_NOT_FOUND, "no group '%.40s' (loam group add)",
				       user->groups[i]);
	}
	loam_account_store_put(store, accounts);
	return rc;
}

/* The name is his: a directory that a killed command left there becomes his too. */
static int make_home(struct loam_account_store *store, const char *home, uint32_t uid, uint32_t gid,
		     struct loam_err *err)
{
	struct loam_meta *meta = loam_account_store_tree(store)->volume->meta;
	struct loam_attr attr, wanted = { .uid = uid, .gid = gid, .mode = 0700 };
	uint64_t ino;
	int rc = loam_files_mkdirs(loam_account_store_tree(store)->volume, home, uid, gid, 0700, 0,
				   &ino, err);
	if (rc == 0)
		rc = loam_meta_getattr(meta, ino, &attr, err);
	if (rc < 0 || (attr.uid == uid && attr.gid == gid))
		return rc;
	return loam_meta_setattr(meta, &loam_who_root, ino,
				 LOAM_SET_MODE | LOAM_SET_UID | LOAM_SET_GID, &wanted, &attr, err);
}

struct own_group {
	const char *name;
	uint32_t gid;
};

/* A group of his own, unless the number is a group already (a host's users may share one). */
static int change_add_own_group(void *arg, const struct loam_buf *old, struct loam_buf *out,
				struct loam_err *err)
{
	const struct own_group *own = arg;
	const struct loam_buf texts[LOAM_ACCOUNT_FILES] = { [LOAM_FILE_GROUP] = *old };
	struct loam_accounts *present = loam_accounts_parse(texts, 0);
	const struct loam_group *named = loam_accounts_group(present, own->name);
	bool foreign = named && named->gid != own->gid;
	bool shared = loam_accounts_group_by_gid(present, own->gid) != NULL;
	loam_accounts_free(present);
	if (foreign)
		return loam_fail(err, LOAM_E_EXISTS, "there is a group '%s' already", own->name);
	if (shared)
		return loam_buf_add(out, old->data, old->bytes, err);
	char line[LOAM_ACCOUNT_LINE_BYTES_MAX];
	bool had;
	loam_account_group_line(own->name, own->gid, line);
	return loam_lines_set(old, own->name, line, out, &had, err);
}

/* A group of this name that was made in the same moment, where he has none of his own. */
static int check_twin(struct loam_account_store *store, const char *name, uint32_t gid,
		      struct loam_err *err)
{
	const struct loam_accounts *accounts = NULL;
	int rc = loam_account_store_get(store, true, &accounts, err);
	if (rc < 0)
		return rc;
	const struct loam_group *group = loam_accounts_group(accounts, name);
	if (group && group->gid != gid)
		rc = loam_fail(err, LOAM_E_EXISTS, "somebody makes a group '%s' right now", name);
	loam_account_store_put(store, accounts);
	return rc;
}

static int add_groups(struct loam_account_store *store, const struct loam_new_user *user,
		      uint32_t gid, struct loam_err *err)
{
	struct own_group own = { user->name, gid };
	int rc = loam_account_store_change_file(store, LOAM_FILE_GROUP, change_add_own_group, &own,
						err);
	if (rc == 0)
		rc = check_twin(store, user->name, gid, err);
	if (rc == -LOAM_E_EXISTS) {
		struct loam_err ignored = { 0 };
		loam_account_store_put_line(store, LOAM_FILE_PASSWD, user->name, NULL, NULL,
					    &ignored);
	}
	for (size_t i = 0; rc == 0 && i < user->group_count; i++)
		rc = loam_group_set_member(store, user->groups[i], user->name, false, LOAM_BY_ADMIN,
					   err);
	return rc;
}

static int change_drop_tokens(void *arg, const struct loam_buf *old, struct loam_buf *out,
			      struct loam_err *err)
{
	const char *user = arg;
	const char *rest = loam_buf_text(old);
	const char *end = rest + old->bytes;
	const char *line;
	size_t bytes;
	int rc = 0;
	while (rc == 0 && loam_lines_next(&rest, end, &line, &bytes)) {
		struct loam_token token;
		struct loam_err ignored = { 0 };
		if (loam_token_parse(line, bytes, &token, &ignored) == 0 &&
		    strcmp(token.user, user) == 0)
			continue;
		rc = loam_buf_add(out, line, bytes, err);
		if (rc == 0)
			rc = loam_buf_add(out, "\n", 1, err);
	}
	return rc;
}

/* Tokens and keys of somebody who bore the name before him: made while he was removed. */
static int drop_leftovers(struct loam_account_store *store, const char *name, struct loam_err *err)
{
	const struct loam_accounts *accounts = NULL;
	int rc = loam_account_store_get(store, true, &accounts, err);
	if (rc < 0)
		return rc;
	bool any = false;
	struct loam_token_row *row, *next;
	HASH_ITER (by_hash, accounts->tokens, row, next) {
		any = any || strcmp(row->token.user, name) == 0;
	}
	loam_account_store_put(store, accounts);
	loam_auto_free char *user = loam_xstrdup(name);
	if (any)
		rc = loam_account_store_change_file(store, LOAM_FILE_TOKENS, change_drop_tokens,
						    user, err);
	return rc < 0 ? rc : loam_account_store_drop_keys(store, name, err);
}

static int make_user(struct loam_account_store *store, const struct loam_new_user *user,
		     uint32_t *out_uid, struct loam_err *err)
{
	uint32_t uid = 0, gid = 0;
	int rc = check_new(store, user, err);
	if (rc == 0)
		rc = choose_numbers(store, user, &uid, &gid, err);
	if (rc < 0)
		return rc;
	char home[LOAM_PATH_BYTES_MAX], line[LOAM_ACCOUNT_LINE_BYTES_MAX];
	loam_tree_user_path(loam_account_store_tree(store), user->name, home);
	loam_account_passwd_line(user->name, uid, gid, home, line);
	struct add_user add = { user->name, uid, line };
	rc = loam_account_store_change_file(store, LOAM_FILE_PASSWD, change_add_passwd, &add, err);
	if (rc < 0)
		return rc;
	loam_account_shadow_line(user->name, "!", loam_account_today(), false, line);
	if ((rc = add_groups(store, user, gid, err)) == 0 &&
	    (rc = make_home(store, home, uid, gid, err)) == 0 &&
	    (rc = drop_leftovers(store, user->name, err)) == 0)
		rc = loam_account_store_put_line(store, LOAM_FILE_SHADOW, user->name, line, NULL,
						 err);
	if ((rc = loam_account_store_finish(store, rc, err)) == 0)
		*out_uid = uid;
	return rc;
}

int loam_account_store_add_user(struct loam_account_store *store, const struct loam_new_user *user,
				uint32_t *out_uid, struct loam_err *err)
{
	int rc = make_user(store, user, out_uid, err);
	return loam_audit(&(struct loam_audit_entry){ .action = "user.add", .account = user->name },
			  rc, err);
}

struct shadow_change {
	const char *name;
	const char *hash;     /* NULL: as it is */
	const bool *disabled; /* NULL: as it is */
};

/* The present line with one thing changed; two changes at once both hold. Without a sound line the
 * account has no password and is refused, and stays so unless that is what is changed. */
static int change_shadow(void *arg, const struct loam_buf *old, struct loam_buf *out,
			 struct loam_err *err)
{
	const struct shadow_change *change = arg;
	const char *rest = loam_buf_text(old), *end = rest + old->bytes, *line;
	char copy[LOAM_ACCOUNT_LINE_BYTES_MAX], fresh[LOAM_ACCOUNT_LINE_BYTES_MAX];
	char *fields[LOAM_SHADOW_FIELDS];
	const char *hash = "!", *expiry = "1";
	size_t bytes;
	while (loam_lines_next(&rest, end, &line, &bytes)) {
		struct loam_err damaged = { 0 };
		if (loam_fields_split(line, bytes, copy, fields, LOAM_SHADOW_FIELDS, &damaged) ==
			    0 &&
		    strcmp(fields[0], change->name) == 0) {
			hash = fields[LOAM_SHADOW_HASH_FIELD];
			expiry = fields[LOAM_SHADOW_EXPIRY_FIELD];
			break;
		}
	}
	if (change->hash)
		hash = change->hash;
	if (change->disabled)
		expiry = *change->disabled ? "1" : "";
	snprintf(fresh, sizeof(fresh), "%s:%s:%lld:0:99999:7::%s:\n", change->name, hash,
		 (long long)loam_account_today(), expiry);
	bool had;
	return loam_lines_set(old, change->name, fresh, out, &had, err);
}

static int run_shadow_change(struct loam_account_store *store, struct shadow_change *change,
			     struct loam_err *err)
{
	const struct loam_accounts *accounts = NULL;
	int rc = loam_account_store_get(store, true, &accounts, err);
	if (rc < 0)
		return rc;
	bool found = loam_accounts_by_name(accounts, change->name) != NULL;
	loam_account_store_put(store, accounts);
	if (!found)
		return loam_fail(err, LOAM_E_NOT_FOUND, "no user '%s'", change->name);
	rc = loam_account_store_change_file(store, LOAM_FILE_SHADOW, change_shadow, change, err);
	return loam_account_store_finish(store, rc, err);
}

static int change_password(struct loam_account_store *store, const char *name, const char *password,
			   struct loam_err *err)
{
	char hash[LOAM_PASSWORD_HASH_BYTES] = "!";
	if (password) {
		int rc = loam_password_hash(password, hash, err);
		if (rc < 0)
			return rc;
	}
	struct shadow_change change = { .name = name, .hash = hash };
	return run_shadow_change(store, &change, err);
}

static int change_hash(struct loam_account_store *store, const char *name, const char *hash,
		       struct loam_err *err)
{
	if (!loam_password_hash_is_ours(hash))
		return loam_fail(err, LOAM_E_UNPROCESSABLE, "not a hash of our scheme and cost");
	struct shadow_change change = { .name = name, .hash = hash };
	return run_shadow_change(store, &change, err);
}

int loam_account_store_set_hash(struct loam_account_store *store, const char *name,
				const char *hash, struct loam_err *err)
{
	int rc = change_hash(store, name, hash, err);
	return loam_audit(&(struct loam_audit_entry){ .action = "user.password", .account = name },
			  rc, err);
}

int loam_account_store_set_password(struct loam_account_store *store, const char *name,
				    const char *password, struct loam_err *err)
{
	int rc = change_password(store, name, password, err);
	return loam_audit(&(struct loam_audit_entry){ .action = "user.password", .account = name },
			  rc, err);
}

static int change_disabled(struct loam_account_store *store, const char *name, bool disabled,
			   struct loam_err *err)
{
	struct shadow_change change = { .name = name, .disabled = &disabled };
	return run_shadow_change(store, &change, err);
}

int loam_account_store_set_disabled(struct loam_account_store *store, const char *name,
				    bool disabled, struct loam_err *err)
{
	int rc = change_disabled(store, name, disabled, err);
	return loam_audit(&(struct loam_audit_entry){ .action = disabled ? "user.disable"
									 : "user.enable",
						      .account = name },
			  rc, err);
}

int loam_account_dir_set_aside(struct loam_account_store *store, const char *path,
			       const char *label, uint32_t number, struct loam_err *err)
{
	struct loam_volume *volume = loam_account_store_tree(store)->volume;
	char aside[96];
	snprintf(aside, sizeof(aside), ".removed-%s-%u", label, number);
	uint64_t parent, ino;
	struct loam_name last;
	struct loam_attr attr;
	int rc = loam_files_parent(volume, path, &parent, &last, err);
	if (rc < 0)
		return rc;
	rc = loam_meta_lookup(volume->meta, &loam_who_root, parent, last, &ino, &attr, err);
	if (rc == -LOAM_E_NOT_FOUND) {
		loam_err_clear(err);
		return 0;
	}
	struct loam_attr locked = { .mode = 0700 };
	if (rc == 0)
		rc = loam_meta_setattr(volume->meta, &loam_who_root, ino,
				       LOAM_SET_MODE | LOAM_SET_UID | LOAM_SET_GID, &locked, &attr,
				       err);
	if (rc == 0)
		rc = loam_meta_rename(volume->meta, &loam_who_root, parent, last, parent,
				      loam_name_of(aside), LOAM_RENAME_NOREPLACE, NULL, err);
	return rc;
}

/* His lines, marks and memberships; the line in passwd goes last, with the name. */
static int remove_lines(struct loam_account_store *store, const char *name, uint32_t uid,
			struct loam_err *err)
{
	loam_auto_free char *user = loam_xstrdup(name);
	char home[LOAM_PATH_BYTES_MAX];
	const struct loam_tree *tree = loam_account_store_tree(store);
	loam_tree_user_path(tree, name, home);
	bool had = true;
	int rc = loam_account_store_put_line(store, LOAM_FILE_SHADOW, name, NULL, NULL, err);
	if (rc == 0 && (rc = loam_owned_clear(tree, LOAM_THE_USER(uid), name, err)) < 0)
		return loam_context(err, "he is shut out, but not removed");
	if (rc < 0 ||
	    (rc = loam_account_store_change_file(store, LOAM_FILE_TOKENS, change_drop_tokens, user,
						 err)) < 0 ||
	    (rc = loam_account_store_drop_keys(store, name, err)) < 0 ||
	    (rc = loam_account_dir_set_aside(store, home, name, uid, err)) < 0 ||
	    (rc = loam_account_number_retire(store, uid, false, err)) < 0 ||
	    (rc = loam_group_forget_user(store, name, err)) < 0)
		return rc;
	rc = loam_account_store_put_line(store, LOAM_FILE_PASSWD, name, NULL, &had, err);
	if (rc == 0 && !had)
		return loam_fail(err, LOAM_E_NOT_FOUND, "no user '%s'", name);
	return rc;
}

static int drop_user(struct loam_account_store *store, const char *name, struct loam_err *err)
{
	const struct loam_accounts *accounts = NULL;
	int rc = loam_account_store_get(store, true, &accounts, err);
	if (rc < 0)
		return rc;
	const struct loam_account *account = loam_accounts_by_name(accounts, name);
	uint32_t uid = account ? account->uid : 0;
	loam_account_store_put(store, accounts);
	if (!uid)
		return loam_fail(err, LOAM_E_NOT_FOUND, "no user '%s'", name);
	rc = loam_owned_refuse(loam_account_store_tree(store), LOAM_THE_USER(uid), name, err);
	if (rc < 0)
		return rc;
	rc = remove_lines(store, name, uid, err);
	return loam_account_store_finish(store, rc, err);
}

int loam_account_store_remove_user(struct loam_account_store *store, const char *name,
				   struct loam_err *err)
{
	int rc = drop_user(store, name, err);
	return loam_audit(&(struct loam_audit_entry){ .action = "user.del", .account = name }, rc,
			  err);
}
