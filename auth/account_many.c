/*
 * Accounts made at once (auth/account_many.h).
 *
 * No name is a user's and a group's: a group of this name is looked for behind the making, and
 * whoever sees the other takes its own back.
 */
#include "auth/account_many.h"

#include "auth/account_store_internal.h"
#include "auth/fields.h"
#include "core/auto.h"
#include "fs/files.h"

#include <string.h>

/* ---- numbers --------------------------------------------------------------------------------- */

static int compare_numbers(const void *a, const void *b)
{
	uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
	return left < right ? -1 : left > right;
}

/* The next numbers for those who chose none; nobody gets what another one chose. */
static int take_numbers(struct loam_account_store *store, const struct loam_many *many,
			struct loam_err *err)
{
	loam_auto_free uint32_t *chosen = loam_xcalloc(many->user_count + 1, sizeof(*chosen));
	loam_auto_free uint32_t *taken = loam_xcalloc(many->user_count + 1, sizeof(*taken));
	size_t chosen_count = 0, wanted = 0, at = 0;
	for (size_t i = 0; i < many->user_count; i++) {
		if (many->users[i].uid != 0)
			chosen[chosen_count++] = many->users[i].uid;
		else
			wanted++;
	}
	qsort(chosen, chosen_count, sizeof(*chosen), compare_numbers);
	int rc = wanted == 0 ? 0
			     : loam_account_numbers_take(store, chosen, chosen_count, taken, wanted,
							 err);
	for (size_t i = 0; rc == 0 && i < many->user_count; i++) {
		struct loam_many_user *user = &many->users[i];
		if (user->uid == 0)
			user->uid = taken[at++];
		if (user->gid == 0)
			user->gid = user->uid;
	}
	return rc;
}

static void keep_numbers(struct loam_many_user *user, const struct loam_account *account)
{
	user->uid = account->uid;
	user->gid = account->gid;
}

static int look_for_half_made(struct loam_account_store *store, const struct loam_many *many,
			      struct loam_err *err)
{
	const struct loam_accounts *accounts = NULL;
	int rc = loam_account_store_get(store, true, &accounts, err);
	for (size_t i = 0; rc == 0 && i < many->user_count; i++) {
		struct loam_many_user *user = &many->users[i];
		const struct loam_account *account = loam_accounts_by_name(accounts, user->name);
		bool half_made = account && account->hash[0] == '\0' && user->resume &&
				 (user->uid == 0 || user->uid == account->uid);
		if (account && !half_made)
			rc = loam_fail(err, LOAM_E_EXISTS, "there is a user '%s' already",
				       user->name);
		else if (account)
			keep_numbers(user, account);
		else
			user->resume = false;
	}
	loam_account_store_put(store, accounts);
	return rc;
}

/* ---- lines ----------------------------------------------------------------------------------- */

struct change {
	const struct loam_tree *tree;
	const struct loam_many *many;
};

static int copy_old(const struct loam_buf *old, struct loam_buf *out, struct loam_err *err)
{
	int rc = loam_buf_add(out, old->data, old->bytes, err);
	if (rc == 0 && old->bytes > 0 && old->data[old->bytes - 1] != '\n')
		rc = loam_buf_add(out, "\n", 1, err);
	return rc;
}

static int change_passwd(void *arg, const struct loam_buf *old, struct loam_buf *out,
			 struct loam_err *err)
{
	const struct change *change = arg;
	const struct loam_buf texts[LOAM_ACCOUNT_FILES] = { [LOAM_FILE_PASSWD] = *old };
	struct loam_accounts *present = loam_accounts_parse(texts, 0);
	int rc = copy_old(old, out, err);
	for (size_t i = 0; rc == 0 && i < change->many->user_count; i++) {
		const struct loam_many_user *user = &change->many->users[i];
		const struct loam_account *twin = loam_accounts_by_name(present, user->name);
		const struct loam_account *same = loam_accounts_by_uid(present, user->uid);
		char home[LOAM_PATH_BYTES_MAX], line[LOAM_ACCOUNT_LINE_BYTES_MAX];
		if (twin && twin == same && user->resume)
			continue;
		if (twin)
			rc = loam_fail(err, LOAM_E_EXISTS, "there is a user '%s' already",
				       user->name);
		else if (same)
			rc = loam_fail(err, LOAM_E_EXISTS, "uid %u belongs to '%s' already",
				       user->uid, same->name);
		if (rc < 0)
			break;
		loam_tree_user_path(change->tree, user->name, home);
		loam_account_passwd_line(user->name, user->uid, user->gid, home, line);
		rc = loam_buf_add_text(out, line, err);
	}
	loam_accounts_free(present);
	return rc;
}

/* A group of his own, unless the number is a group already (a host's users may share one). */
static int change_group(void *arg, const struct loam_buf *old, struct loam_buf *out,
			struct loam_err *err)
{
	const struct change *change = arg;
	const struct loam_buf texts[LOAM_ACCOUNT_FILES] = { [LOAM_FILE_GROUP] = *old };
	struct loam_accounts *present = loam_accounts_parse(texts, 0);
	int rc = copy_old(old, out, err);
	for (size_t i = 0; rc == 0 && i < change->many->user_count; i++) {
		const struct loam_many_user *user = &change->many->users[i];
		const struct loam_group *named = loam_accounts_group(present, user->name);
		char line[LOAM_ACCOUNT_LINE_BYTES_MAX];
		if (named && named->gid != user->gid)
			rc = loam_fail(err, LOAM_E_EXISTS, "there is a group '%s' already",
				       user->name);
		if (rc < 0 || loam_accounts_group_by_gid(present, user->gid))
			continue;
		loam_account_group_line(user->name, user->gid, line);
		rc = loam_buf_add_text(out, line, err);
	}
	loam_accounts_free(present);
	return rc;
}

struct among {
	const struct loam_many *many;
	bool resumed; /* those who are, else those who are not */
};

static bool is_among(const void *arg, const char *line, size_t bytes)
{
	const struct among *among = arg;
	for (size_t i = 0; i < among->many->user_count; i++) {
		const struct loam_many_user *user = &among->many->users[i];
		size_t name = strlen(user->name);
		if (user->resume == among->resumed && bytes > name && line[name] == ':' &&
		    memcmp(line, user->name, name) == 0)
			return true;
	}
	return false;
}

/* Who is resumed may have a damaged line. */
static int change_shadow(void *arg, const struct loam_buf *old, struct loam_buf *out,
			 struct loam_err *err)
{
	const struct change *change = arg;
	bool any = false;
	for (size_t i = 0; i < change->many->user_count; i++)
		any = any || change->many->users[i].resume;
	const struct among resumed = { change->many, true };
	int rc = any ? loam_lines_drop(old, is_among, &resumed, out, NULL, err)
		     : copy_old(old, out, err);
	for (size_t i = 0; rc == 0 && i < change->many->user_count; i++) {
		const struct loam_many_user *user = &change->many->users[i];
		char line[LOAM_ACCOUNT_LINE_BYTES_MAX];
		loam_account_shadow_line(user->name, user->hash ? user->hash : "!",
					 loam_account_today(), user->disabled, line);
		rc = loam_buf_add_text(out, line, err);
		explicit_bzero(line, sizeof(line));
	}
	return rc;
}

static int change_take_back(void *arg, const struct loam_buf *old, struct loam_buf *out,
			    struct loam_err *err)
{
	const struct change *change = arg;
	const struct among fresh = { change->many, false };
	return loam_lines_drop(old, is_among, &fresh, out, NULL, err);
}

/* ---- the rest of an account ------------------------------------------------------------------ */

/* Who bore the name before him may have left tokens and keys: made while he was removed. */
static int drop_leftovers(struct loam_account_store *store, const struct loam_many *many,
			  struct loam_err *err)
{
	const struct loam_accounts *accounts = NULL;
	int rc = loam_account_store_get(store, true, &accounts, err);
	for (size_t i = 0; rc == 0 && i < many->user_count; i++)
		if (loam_account_has_credentials(accounts, many->users[i].name))
			rc = loam_account_drop_credentials(store, many->users[i].name, err);
	loam_account_store_put(store, accounts);
	return rc;
}

/* The name is his: a directory that a killed command left there becomes his too. */
static int make_home(const struct loam_tree *tree, const struct loam_many_user *user,
		     struct loam_err *err)
{
	struct loam_meta *meta = tree->volume->meta;
	struct loam_attr attr, wanted = { .uid = user->uid, .gid = user->gid, .mode = 0700 };
	char home[LOAM_PATH_BYTES_MAX];
	uint64_t ino;
	loam_tree_user_path(tree, user->name, home);
	int rc = loam_files_mkdirs(tree->volume, home, user->uid, user->gid, 0700, 0, &ino, err);
	if (rc == 0)
		rc = loam_meta_getattr(meta, ino, &attr, err);
	if (rc < 0 || (attr.uid == user->uid && attr.gid == user->gid))
		return rc;
	return loam_meta_setattr(meta, &loam_who_root, ino,
				 LOAM_SET_MODE | LOAM_SET_UID | LOAM_SET_GID, &wanted, &attr, err);
}

static int make_rest(struct loam_account_store *store, struct change *change, struct loam_err *err)
{
	const struct loam_many *many = change->many;
	int rc = loam_group_join(store, many->joins, many->join_count, err);
	for (size_t i = 0; rc == 0 && i < many->user_count; i++)
		rc = make_home(change->tree, &many->users[i], err);
	if (rc == 0)
		rc = drop_leftovers(store, many, err);
	if (rc == 0)
		rc = loam_account_store_change_file(store, LOAM_FILE_SHADOW, change_shadow, change,
						    err);
	return rc;
}

int loam_account_many_make(struct loam_account_store *store, const struct loam_many *many,
			   struct loam_err *err)
{
	struct change change = { loam_account_store_tree(store), many };
	struct loam_err ignored = { 0 };
	int rc = look_for_half_made(store, many, err);
	if (rc == 0)
		rc = take_numbers(store, many, err);
	if (rc == 0)
		rc = loam_account_store_change_file(store, LOAM_FILE_PASSWD, change_passwd, &change,
						    err);
	if (rc < 0)
		return rc;
	rc = loam_account_store_change_file(store, LOAM_FILE_GROUP, change_group, &change, err);
	if (rc == -LOAM_E_EXISTS)
		loam_account_store_change_file(store, LOAM_FILE_PASSWD, change_take_back, &change,
					       &ignored);
	if (rc == 0)
		rc = make_rest(store, &change, err);
	return loam_account_store_finish(store, rc, err);
}
