/*
 * SSH keys on the volume (auth/account_store.h): one line each, in /.loam/etc/ssh_keys.
 */
#include "auth/account_store_internal.h"

#include "auth/audit.h"
#include "auth/fields.h"
#include "core/auto.h"

#include <string.h>

static const char *holder_of(const struct loam_ssh_key *key)
{
	return key->user[0] ? key->user : key->repo;
}

/* ---- removing -------------------------------------------------------------------------------- */

struct removal {
	const char *holder;
	const char *id;	   /* NULL: all of the holder */
	const char *maker; /* not NULL: all that this token added, instead */
	size_t removed;
};

static bool is_meant(const struct removal *removal, const struct loam_ssh_key *key)
{
	if (removal->maker)
		return strcmp(key->maker, removal->maker) == 0;
	return strcmp(holder_of(key), removal->holder) == 0 &&
	       (!removal->id || strcmp(key->id, removal->id) == 0);
}

static bool is_meant_line(const void *arg, const char *line, size_t bytes)
{
	struct loam_ssh_key key;
	struct loam_err damaged = { 0 };
	return loam_ssh_key_parse(line, bytes, &key, &damaged) == 0 && is_meant(arg, &key);
}

static int change_remove(void *arg, const struct loam_buf *old, struct loam_buf *out,
			 struct loam_err *err)
{
	struct removal *removal = arg;
	int rc = loam_lines_drop(old, is_meant_line, removal, out, &removal->removed, err);
	if (rc == 0 && removal->id && removal->removed == 0)
		return loam_fail(err, LOAM_E_NOT_FOUND, "%s has no key '%.40s'", removal->holder,
				 removal->id);
	return rc;
}

static int remove_key(struct loam_account_store *store, const char *holder, const char *id,
		      struct loam_err *err)
{
	struct removal removal = { .holder = holder, .id = id };
	int rc = loam_account_store_change_file(store, LOAM_FILE_SSH_KEYS, change_remove, &removal,
						err);
	return loam_account_store_settle(store, rc, err);
}

int loam_account_store_remove_key(struct loam_account_store *store, const char *holder,
				  const char *id, struct loam_err *err)
{
	int rc = remove_key(store, holder, id, err);
	return loam_audit(&(struct loam_audit_entry){ .action = "key.del",
						      .account = holder,
						      .key = id },
			  rc, err);
}

/* Mostly there are none: the file is then left as it is. */
static int drop(struct loam_account_store *store, struct removal *removal, struct loam_err *err)
{
	const struct loam_accounts *accounts = NULL;
	int rc = loam_account_store_get(store, true, &accounts, err);
	if (rc < 0)
		return rc;
	bool any = false;
	struct loam_ssh_key_row *row, *next;
	HASH_ITER (by_id, accounts->keys_by_id, row, next) {
		any = any || is_meant(removal, &row->key);
	}
	loam_account_store_put(store, accounts);
	if (!any)
		return 0;
	rc = loam_account_store_change_file(store, LOAM_FILE_SSH_KEYS, change_remove, removal, err);
	return loam_account_store_settle(store, rc, err);
}

int loam_account_store_drop_keys(struct loam_account_store *store, const char *holder,
				 struct loam_err *err)
{
	struct removal removal = { .holder = holder };
	return drop(store, &removal, err);
}

int loam_account_store_drop_keys_made(struct loam_account_store *store, const char *token_id,
				      struct loam_err *err)
{
	struct removal removal = { .maker = token_id };
	return drop(store, &removal, err);
}

/* ---- adding ---------------------------------------------------------------------------------- */

static int check_holder(struct loam_account_store *store, const struct loam_ssh_key *key,
			struct loam_err *err)
{
	if (!key->user[0]) {
		struct loam_repo repo;
		struct loam_gate gate;
		int rc = loam_repo_parse(key->repo, &repo, err);
		if (rc == 0)
			rc = loam_gate_read(loam_account_store_tree(store), &repo, &gate, err);
		if (rc == 0)
			return loam_fail(err, LOAM_E_NOT_FOUND, "no repository '%s'", key->repo);
		if (rc > 0)
			loam_gate_release(&gate);
		return rc < 0 ? rc : 0;
	}
	const struct loam_accounts *accounts = NULL;
	int rc = loam_account_store_get(store, true, &accounts, err);
	if (rc < 0)
		return rc;
	bool found = loam_accounts_by_name(accounts, key->user) != NULL;
	loam_account_store_put(store, accounts);
	return found ? 0 : loam_fail(err, LOAM_E_NOT_FOUND, "no user '%s'", key->user);
}

static int change_add(void *arg, const struct loam_buf *old, struct loam_buf *out,
		      struct loam_err *err)
{
	const struct loam_ssh_key *key = arg;
	const struct loam_buf texts[LOAM_ACCOUNT_FILES] = { [LOAM_FILE_SSH_KEYS] = *old };
	struct loam_accounts *present = loam_accounts_parse(texts, 0);
	size_t count = 0;
	struct loam_ssh_key_row *row, *next;
	HASH_ITER (by_id, present->keys_by_id, row, next) {
		count += strcmp(holder_of(&row->key), holder_of(key)) == 0;
	}
	int rc = 0;
	if (loam_accounts_key_by_base64(present, key->base64))
		rc = loam_fail(err, LOAM_E_EXISTS,
			       "this key is in use already: a key belongs to one account, or to "
			       "one repository");
	else if (count >= LOAM_SSH_KEYS_MAX)
		rc = loam_fail(err, LOAM_E_LIMITED, "%s has %d keys already", holder_of(key),
			       LOAM_SSH_KEYS_MAX);
	loam_accounts_free(present);
	char line[LOAM_ACCOUNT_LINE_BYTES_MAX];
	bool had;
	loam_ssh_key_print(key, line);
	return rc < 0 ? rc : loam_lines_set(old, key->id, line, out, &had, err);
}

/* Its holder was removed while it was added: whoever bears that name later shall not have it. */
static int keep_if_held(struct loam_account_store *store, const struct loam_ssh_key *key,
			struct loam_err *err)
{
	struct removal removal = { .holder = holder_of(key), .id = key->id };
	struct loam_err gone = { 0 };
	int rc = check_holder(store, key, err);
	if (rc < 0)
		loam_account_store_change_file(store, LOAM_FILE_SSH_KEYS, change_remove, &removal,
					       &gone);
	return rc;
}

static int add_key(struct loam_account_store *store, const struct loam_ssh_key *key,
		   struct loam_err *err)
{
	if (!loam_fields_may_hold(key->label))
		return loam_fail(err, LOAM_E_UNPROCESSABLE,
				 "a label holds no colon and no control byte");
	int rc = check_holder(store, key, err);
	if (rc < 0)
		return rc;
	struct loam_ssh_key copy = *key;
	rc = loam_account_store_change_file(store, LOAM_FILE_SSH_KEYS, change_add, &copy, err);
	if (rc == 0)
		rc = keep_if_held(store, key, err);
	return loam_account_store_settle(store, rc, err);
}

int loam_account_store_add_key(struct loam_account_store *store, const struct loam_ssh_key *key,
			       struct loam_err *err)
{
	int rc = add_key(store, key, err);
	return loam_audit(&(struct loam_audit_entry){ .action = "key.add",
						      .account = holder_of(key),
						      .key = key->id,
						      .detail = key->type },
			  rc, err);
}
