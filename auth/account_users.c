/*
 * Accounts made, changed and removed (auth/account_store.h).
 *
 * `user add` is auth/account_many with one account: passwd takes the name, shadow lets him in.
 * `user del` goes the other way round, passwd last. A command that was killed leaves an account
 * that is refused everywhere and that `user del` removes whole.
 * Whether he owns something is asked before anything is done, and again when he is shut out.
 */
#include "auth/account_many.h"
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

bool loam_account_has_credentials(const struct loam_accounts *accounts, const char *name)
{
	struct loam_token_row *token, *next_token;
	HASH_ITER (by_hash, accounts->tokens, token, next_token)
		if (strcmp(token->token.user, name) == 0)
			return true;
	struct loam_ssh_key_row *key, *next_key;
	HASH_ITER (by_id, accounts->keys_by_id, key, next_key)
		if (strcmp(key->key.user, name) == 0)
			return true;
	return false;
}

int loam_account_drop_credentials(struct loam_account_store *store, const char *name,
				  struct loam_err *err)
{
	int rc = loam_account_drop_tokens(store, name, err);
	return rc < 0 ? rc : loam_account_store_drop_keys(store, name, err);
}

static int make_user(struct loam_account_store *store, const struct loam_new_user *user,
		     uint32_t *out_uid, struct loam_err *err)
{
	struct loam_many_user one = { .name = user->name };
	char *name = (char *)user->name;
	const struct loam_names he = { .at = &name, .count = 1 };
	loam_auto_free struct loam_group_join *joins =
		loam_xcalloc(user->group_count + 1, sizeof(*joins));
	for (size_t i = 0; i < user->group_count; i++)
		joins[i] = (struct loam_group_join){ user->groups[i], &he };
	const struct loam_many many = { &one, 1, joins, user->group_count };
	int rc = check_new(store, user, err);
	if (rc == 0)
		rc = choose_numbers(store, user, &one.uid, &one.gid, err);
	if (rc == 0)
		rc = loam_account_many_make(store, &many, err);
	if (rc == 0)
		*out_uid = one.uid;
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
	char kept[LOAM_PASSWORD_HASH_BYTES];
	struct shadow_change change = { .name = name, .hash = kept };
	int rc = loam_password_hash_keep(hash, kept, err);
	return rc < 0 ? rc : run_shadow_change(store, &change, err);
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
	char home[LOAM_PATH_BYTES_MAX];
	const struct loam_tree *tree = loam_account_store_tree(store);
	loam_tree_user_path(tree, name, home);
	bool had = true;
	int rc = loam_account_store_put_line(store, LOAM_FILE_SHADOW, name, NULL, NULL, err);
	if (rc == 0 && (rc = loam_owned_clear(tree, LOAM_THE_USER(uid), name, err)) < 0)
		return loam_context(err, "he is shut out, but not removed");
	if (rc < 0 || (rc = loam_account_drop_credentials(store, name, err)) < 0 ||
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
	if (rc < 0) { /* mounts shut him out as the doors do, though he is not gone yet */
		struct loam_err ignored = { 0 };
		loam_account_store_publish(store, &ignored);
	}
	return loam_account_store_finish(store, rc, err);
}

int loam_account_store_remove_user(struct loam_account_store *store, const char *name,
				   struct loam_err *err)
{
	int rc = drop_user(store, name, err);
	return loam_audit(&(struct loam_audit_entry){ .action = "user.del", .account = name }, rc,
			  err);
}
