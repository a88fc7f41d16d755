/*
 * `loam fsck`, the accounts (auth/fsck_accounts.h): what step 2 of a push relies on.
 */
#include "auth/fsck_accounts.h"

#include "auth/account.h"
#include "core/auto.h"
#include "core/clock.h"
#include "fs/files.h"

#include <string.h>

#define SECONDS_PER_DAY 86400
#define NEW_PREFIX	".new-" /* a file on its way to replace another (fs/files.c) */

/* What is no regular file is a finding and reads as empty. */
static int read_file(const struct loam_tree *tree, const char *path,
		     const struct loam_fsck_sink *sink, struct loam_buf *out, struct loam_err *err)
{
	uint64_t ino;
	struct loam_attr attr;
	struct loam_err own = { 0 };
	int rc = loam_files_lookup(tree->volume, path, &ino, &attr, &own);
	if (rc == -LOAM_E_NOT_FOUND)
		return 0;
	if (rc == 0 && attr.type != LOAM_TYPE_FILE) {
		loam_fsck_found(sink, "meta-6", "%s is no regular file", path);
		return 0;
	}
	if (rc == 0)
		rc = loam_files_read_ino(tree->volume, ino, out, &own);
	if (rc == 0 || rc == -LOAM_E_NOT_FOUND) /* replaced in this moment */
		return 0;
	if (own.code == LOAM_E_UNAVAILABLE)
		return loam_fail(err, own.code, "%s", own.text);
	loam_fsck_found(sink, "meta-6", "%s cannot be read: %s", path, own.text);
	loam_buf_clear(out);
	return 0;
}

/* Files that are not accounts themselves, but that no account can do without. */
static int check_others(const struct loam_tree *tree, const struct loam_fsck_sink *sink,
			struct loam_err *err)
{
	static const char *const names[] = { "etc/next", "etc/retired", "etc/roster",
					     "etc/token_use" };
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < LOAM_ARRAY_COUNT(names); i++) {
		loam_auto_buf struct loam_buf text = LOAM_BUF(LOAM_ACCOUNT_FILE_BYTES_MAX);
		char path[LOAM_PATH_BYTES_MAX];
		loam_tree_state_path(tree, names[i], path);
		rc = read_file(tree, path, sink, &text, err);
	}
	return rc;
}

/* Changes that died between the new file and the rename. */
static int find_left(const struct loam_tree *tree, const struct loam_fsck_sink *sink,
		     struct loam_err *err)
{
	char path[LOAM_PATH_BYTES_MAX];
	uint64_t ino;
	struct loam_attr attr;
	struct loam_dir *dir = NULL;
	loam_tree_state_path(tree, "etc", path);
	int rc = loam_files_lookup(tree->volume, path, &ino, &attr, err);
	if (rc == 0)
		rc = loam_meta_opendir(tree->volume->meta, ino, true, &dir, err);
	if (rc < 0)
		return rc;
	int64_t now = loam_clock_now().tv_sec;
	for (size_t i = 0; i < loam_dir_count(dir); i++) {
		const struct loam_dir_entry *entry = loam_dir_at(dir, i);
		if (entry->has_attr && entry->name.bytes > strlen(NEW_PREFIX) &&
		    !memcmp(entry->name.data, NEW_PREFIX, strlen(NEW_PREFIX)) &&
		    now - entry->attr.ctime.tv_sec > LOAM_FSCK_GRACE_SECONDS)
			loam_fsck_found(sink, "R02", "%s/%.*s was left by a change that died", path,
					entry->name.bytes, entry->name.data);
	}
	loam_dir_close(dir);
	return 0;
}

int loam_fsck_accounts(const struct loam_tree *tree, const struct loam_fsck_sink *sink,
		       struct loam_err *err)
{
	struct loam_buf texts[LOAM_ACCOUNT_FILES];
	int rc = 0;
	for (int file = 0; file < LOAM_ACCOUNT_FILES; file++)
		loam_buf_init(&texts[file], LOAM_ACCOUNT_FILE_BYTES_MAX);
	for (int file = 0; rc == 0 && file < LOAM_ACCOUNT_FILES; file++) {
		char rest[32], path[LOAM_PATH_BYTES_MAX];
		snprintf(rest, sizeof(rest), "etc/%s",
			 loam_account_file_name((enum loam_account_file)file));
		loam_tree_state_path(tree, rest, path);
		rc = read_file(tree, path, sink, &texts[file], err);
	}
	if (rc == 0) {
		struct loam_accounts *accounts =
			loam_accounts_parse(texts, loam_clock_now().tv_sec / SECONDS_PER_DAY);
		for (size_t i = 0; i < accounts->finding_count; i++)
			loam_fsck_found(sink, "meta-6", "%s", accounts->findings[i]);
		loam_accounts_free(accounts);
	}
	for (int file = 0; file < LOAM_ACCOUNT_FILES; file++)
		loam_buf_release(&texts[file]);
	if (rc == 0)
		rc = check_others(tree, sink, err);
	return rc < 0 ? rc : find_left(tree, sink, err);
}
