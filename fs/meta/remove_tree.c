/*
 * A tree is removed from its leaves: names of a directory that are no directories go in batches,
 * one transaction each; then each sub-directory in turn; then the directory itself.
 *
 * No recursion: a stack of open listings, one for each level.
 *
 *   stack:  top of the tree | … | directory being emptied
 *           listing, next       listing, next
 *
 * A directory that is found not empty at its rmdir is listed again, a bounded number of times, so
 * somebody who goes on creating ends in NOT_EMPTY and not in a loop.
 *
 * Source: volume format document §4.7 (batch unlink), §4.14.
 */
#include "fs/meta/remove_tree.h"

#include "core/auto.h"
#include "core/clock.h"
#include "fs/meta/rules.h"
#include "fs/meta/txn.h"
#include "fs/meta/unlink.h"

#include <stdlib.h>

#define ROUNDS_MAX 50

_Static_assert(2 * LOAM_UNLINK_BATCH_MAX + 1 <= LOAM_TXN_BULK_CHECKS_MAX, "a batch must fit");

/* ---- one batch of names ------------------------------------------------------------------- */

struct batch {
	const struct loam_who *who;
	uint64_t dir;
	const struct loam_dir_entry *entries[LOAM_UNLINK_BATCH_MAX];
	size_t count;
	struct timespec now;
	struct loam_gone gone[LOAM_UNLINK_BATCH_MAX];
	size_t removed;
};

static int unlink_one(struct loam_txn *txn, struct batch *batch, const struct loam_attr *dir,
		      size_t index, struct loam_err *err)
{
	const struct loam_dir_entry *entry = batch->entries[index];
	struct loam_dentry now;
	int found = loam_txn_dentry(txn, batch->dir, entry->name, &now, err);
	if (found <= 0)
		return found;
	if (now.ino != entry->dentry.ino || now.type != entry->dentry.type)
		return 0; /* somebody put another thing here: the next listing shows it */

	struct loam_attr attr;
	found = loam_txn_attr(txn, now.ino, &attr, err);
	if (found < 0)
		return found;
	if (found) {
		int rc = loam_rules_sticky(batch->who, dir, attr.uid, err);
		if (rc < 0)
			return rc;
		if (loam_rules_is_locked(&attr))
			return loam_fail(err, LOAM_E_NOT_PERMITTED,
					 "inode %llu is immutable or append-only",
					 (unsigned long long)now.ino);
	}
	loam_txn_delete_dentry(txn, batch->dir, entry->name);
	if (found)
		loam_unlink_drop(txn, batch->dir, now.ino, &attr, batch->now, &batch->gone[index]);
	batch->removed++;
	return 0;
}

static int unlink_batch(struct loam_txn *txn, void *arg, struct loam_err *err)
{
	struct batch *batch = arg;
	batch->removed = 0;
	loam_txn_want_attr(txn, batch->dir);
	for (size_t i = 0; i < batch->count; i++) {
		batch->gone[i] = (struct loam_gone){ 0 };
		loam_txn_want_dentry(txn, batch->dir, batch->entries[i]->name);
		loam_txn_want_attr(txn, batch->entries[i]->dentry.ino);
	}

	struct loam_attr dir;
	int found = loam_txn_attr(txn, batch->dir, &dir, err);
	if (found < 0)
		return found;
	if (found == 0)
		return loam_fail(err, LOAM_E_NOT_FOUND, "inode %llu",
				 (unsigned long long)batch->dir);
	int rc = loam_rules_change_dir(loam_txn_meta(txn), batch->who, batch->dir, &dir, err);
	if (rc < 0)
		return rc;
	if (loam_rules_is_locked(&dir))
		return loam_fail(err, LOAM_E_NOT_PERMITTED, "inode %llu is locked",
				 (unsigned long long)batch->dir);
	for (size_t i = 0; i < batch->count; i++) {
		rc = unlink_one(txn, batch, &dir, i, err);
		if (rc < 0)
			return rc;
	}
	if (batch->removed > 0 && loam_rules_touch_dir(loam_txn_meta(txn), &dir, batch->now, false))
		loam_txn_put_attr(txn, batch->dir, &dir);
	return 0;
}

static int run_batch(struct loam_meta *meta, struct batch *batch, struct loam_err *err)
{
	if (batch->count == 0)
		return 0;
	batch->now = loam_clock_now();
	int rc = loam_meta_run(meta, LOAM_TXN_BULK, unlink_batch, batch, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < batch->count; i++)
		loam_unlink_after(meta, &batch->gone[i]);
	batch->count = 0;
	return 0;
}

/* All names of the listing that are no directories. */
static int unlink_files(struct loam_meta *meta, const struct loam_who *who, uint64_t ino,
			const struct loam_dir *dir, struct loam_err *err)
{
	loam_auto_free struct batch *batch = loam_xnew(struct batch);
	batch->who = who;
	batch->dir = ino;
	for (size_t i = 0; i < loam_dir_count(dir); i++) {
		const struct loam_dir_entry *entry = loam_dir_at(dir, i);
		if (entry->dentry.type == LOAM_TYPE_DIR)
			continue;
		batch->entries[batch->count++] = entry;
		if (batch->count < LOAM_UNLINK_BATCH_MAX)
			continue;
		int rc = run_batch(meta, batch, err);
		if (rc < 0)
			return rc;
	}
	return run_batch(meta, batch, err);
}

/* ---- the walk ----------------------------------------------------------------------------- */

struct level {
	uint64_t ino;
	struct loam_name name; /* in the level above; borrowed from its listing */
	struct loam_dir *dir;  /* NULL: to be listed */
	size_t next;
	unsigned rounds;
};

struct walk {
	struct loam_meta *meta;
	const struct loam_who *who;
	struct level *levels; /* room for LOAM_TREE_DEPTH_MAX */
	size_t depth;
};

static void walk_release(struct walk *walk)
{
	for (size_t i = 0; i < walk->depth; i++)
		loam_dir_close(walk->levels[i].dir);
	free(walk->levels);
}

static void level_close(struct level *level)
{
	loam_dir_close(level->dir);
	level->dir = NULL;
}

/* Lists the level and removes its files; a directory that is gone is an empty one. */
static int level_open(struct walk *walk, struct level *level, struct loam_err *err)
{
	if (++level->rounds > ROUNDS_MAX)
		return loam_fail(err, LOAM_E_NOT_EMPTY, "others keep creating in inode %llu",
				 (unsigned long long)level->ino);
	level->next = 0;
	int rc = loam_meta_opendir(walk->meta, level->ino, false, &level->dir, err);
	if (rc == 0)
		rc = unlink_files(walk->meta, walk->who, level->ino, level->dir, err);
	return rc;
}

static int walk_enter(struct walk *walk, uint64_t ino, struct loam_name name, struct loam_err *err)
{
	if (walk->depth == LOAM_TREE_DEPTH_MAX)
		return loam_fail(err, LOAM_E_TOO_BIG, "a tree of more than %d levels",
				 LOAM_TREE_DEPTH_MAX);
	walk->levels[walk->depth++] = (struct level){ .ino = ino, .name = name };
	return 0;
}

/* The deepest level is empty: its directory goes, unless it is the first one. */
static int walk_leave(struct walk *walk, struct loam_err *err)
{
	struct level *level = &walk->levels[walk->depth - 1];
	level_close(level);
	if (walk->depth == 1) {
		walk->depth = 0;
		return 0;
	}
	int rc = loam_meta_rmdir(walk->meta, walk->who, level[-1].ino, level->name, err);
	if (rc == -LOAM_E_NOT_EMPTY) {
		loam_err_clear(err);
		return 0; /* listed again */
	}
	if (rc == -LOAM_E_NOT_FOUND || rc == -LOAM_E_NOT_DIR) {
		loam_err_clear(err);
		rc = 0;
	}
	walk->depth--;
	return rc;
}

static int walk_step(struct walk *walk, struct loam_err *err)
{
	struct level *level = &walk->levels[walk->depth - 1];
	if (!level->dir) {
		int rc = level_open(walk, level, err);
		if (rc != -LOAM_E_NOT_FOUND && rc != -LOAM_E_NOT_DIR)
			return rc;
		loam_err_clear(err);
		return walk_leave(walk, err);
	}
	while (level->next < loam_dir_count(level->dir)) {
		const struct loam_dir_entry *entry = loam_dir_at(level->dir, level->next++);
		if (entry->dentry.type == LOAM_TYPE_DIR)
			return walk_enter(walk, entry->dentry.ino, entry->name, err);
	}
	return walk_leave(walk, err);
}

int loam_tree_empty(struct loam_meta *meta, const struct loam_who *who, uint64_t ino,
		    struct loam_err *err)
{
	__attribute__((cleanup(walk_release))) struct walk walk = { .meta = meta, .who = who };
	walk.levels = calloc(LOAM_TREE_DEPTH_MAX, sizeof(*walk.levels));
	if (!walk.levels)
		return loam_fail(err, LOAM_E_BUSY, "no memory for the walk");
	int rc = walk_enter(&walk, ino, (struct loam_name){ 0 }, err);
	while (rc == 0 && walk.depth > 0)
		rc = walk_step(&walk, err);
	return rc;
}

/* 1 when it is a directory, 0 for any other thing. */
static int find_directory(struct loam_meta *meta, const struct loam_who *who, uint64_t parent,
			  struct loam_name name, uint64_t *out_ino, struct loam_err *err)
{
	struct loam_attr dir, attr;
	int rc = loam_meta_getattr(meta, parent, &dir, err);
	if (rc < 0)
		return rc;
	rc = loam_rules_change_dir(meta, who, parent, &dir, err);
	if (rc < 0)
		return rc;
	rc = loam_meta_lookup(meta, who, parent, name, out_ino, &attr, err);
	if (rc < 0)
		return rc;
	return attr.type == LOAM_TYPE_DIR;
}

int loam_meta_remove_tree(struct loam_meta *meta, const struct loam_who *who, uint64_t parent,
			  struct loam_name name, struct loam_err *err)
{
	int rc = loam_rules_name(name, err);
	if (rc < 0)
		return rc;
	if (loam_rules_is_dots(name))
		return loam_fail(err, LOAM_E_INVALID, "'.' and '..' cannot be removed");
	rc = loam_rules_not_trash(who, parent, name, err);
	if (rc < 0)
		return rc;

	uint64_t ino;
	int is_dir = find_directory(meta, who, parent, name, &ino, err);
	if (is_dir < 0)
		return is_dir;
	if (!is_dir)
		return loam_meta_unlink(meta, who, parent, name, NULL, err);

	for (int round = 0; round < ROUNDS_MAX; round++) {
		rc = loam_tree_empty(meta, who, ino, err);
		if (rc < 0)
			return rc;
		rc = loam_meta_rmdir(meta, who, parent, name, err);
		if (rc != -LOAM_E_NOT_EMPTY && rc != -LOAM_E_NOT_FOUND)
			return rc;
		loam_err_clear(err);
		if (rc == -LOAM_E_NOT_FOUND)
			return 0;
	}
	return loam_fail(err, LOAM_E_NOT_EMPTY, "others keep creating in inode %llu",
			 (unsigned long long)ino);
}
