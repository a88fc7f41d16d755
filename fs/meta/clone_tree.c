/*
 * The clone of a tree. It is built out of sight and appears whole:
 *
 *   1. the top directory: an inode without a name, listed in detachedNodes (one transaction, which
 * also refuses early what the last one would refuse)
 *   2. the walk: each source directory is listed; its sub-directories are made by this thread,
 * before anything goes into them, so that all that exists hangs below the top; its files go in
 * batches to two workers
 *   3. the attach: one transaction gives the top its name and ends its detachment
 *
 * Whatever fails or is cancelled before 3, the tree is emptied from the top and the top removed;
 * what a crash leaves is found by its detachedNodes record after a day (any client's hourly job).
 *
 * A large single file is built the same way, in a detached directory of its own, and moved out of
 * it.
 *
 * Source: volume format document §4.13.
 */
#include "fs/meta/clone.h"

#include "core/auto.h"
#include "core/clock.h"
#include "core/failpoint.h"
#include "core/log.h"
#include "core/pool.h"
#include "fs/meta/remove_tree.h"
#include "fs/meta/rules.h"
#include "fs/meta/unlink.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define WORKERS	    2
#define PENDING_MAX 8	       /* batches handed out */
#define DIRS_MAX    (1u << 24) /* directories that wait for their turn */
#define POLL_MS	    20	       /* how often the caller is asked while workers work */

/* ---- the top ------------------------------------------------------------------------------ */

struct top {
	struct loam_clone *clone;
	uint64_t from, to_parent;
	struct loam_name name;
	bool wrapper; /* an empty directory of our own, not a clone of `from` */
	uint64_t ino;
	char value[24]; /* of its detachedNodes record */
	uint32_t nlink; /* as written */
	uint64_t file;	/* wrapper: what it holds */
};

static struct loam_record detached_record(uint64_t ino)
{
	return loam_rec(LOAM_REC_DETACHED, ino, 0);
}

static struct loam_attr wrapper_attr(const struct top *top)
{
	struct timespec now = top->clone->now;
	return (struct loam_attr){ .type = LOAM_TYPE_DIR,
				   .mode = 0700,
				   .flags = LOAM_FLAG_SKIP_TRASH,
				   .nlink = 2,
				   .length = LOAM_DIR_LENGTH,
				   .parent = top->to_parent,
				   .atime = now,
				   .mtime = now,
				   .ctime = now };
}

static int make_top(struct loam_txn *txn, void *arg, struct loam_err *err)
{
	struct top *top = arg;
	struct loam_clone *clone = top->clone;
	loam_clone_want_entry(txn, top->from, LOAM_TYPE_DIR);
	struct loam_attr parent, from, made;
	int rc = loam_clone_check_target(txn, clone, top->to_parent, top->name, &parent, err);
	if (rc < 0)
		return rc;
	int found = loam_clone_read_attr(txn, clone, top->from, true, &from, err);
	if (found < 0)
		return found;
	if (found == 0 || (from.type != LOAM_TYPE_DIR && !top->wrapper))
		return loam_fail(err, LOAM_E_NOT_FOUND, "the source");

	rc = loam_rules_space(clone->meta, 4096, 1, err);
	if (rc < 0)
		return rc;
	if (top->wrapper) {
		made = wrapper_attr(top);
		loam_txn_put_attr(txn, top->ino, &made);
	} else {
		rc = loam_clone_put_inode(txn, clone, top->from, &from, top->ino, top->to_parent,
					  &made, err);
		if (rc < 0)
			return rc;
	}
	struct loam_record record = detached_record(top->ino);
	loam_txn_put(txn, &record, top->value, strlen(top->value));
	loam_txn_add_usage(txn, 4096, 1);
	top->nlink = made.nlink;
	return 0;
}

static int begin_top(struct top *top, struct loam_err *err)
{
	struct loam_engine *engine = loam_meta_engine(top->clone->meta);
	int64_t now;
	int rc = engine->ops->now(engine, &now, err);
	if (rc == 0)
		rc = loam_meta_new_inode(top->clone->meta, &top->ino, err);
	if (rc < 0)
		return rc;
	snprintf(top->value, sizeof(top->value), "%" PRId64, now);
	return loam_meta_run(top->clone->meta, 0, make_top, top, err);
}

/* Ends the detachment: somebody who removes what nobody finishes changes the record first. */
static int end_detachment(struct loam_txn *txn, const struct top *top, struct loam_err *err)
{
	struct loam_record record = detached_record(top->ino);
	const struct loam_value *value = NULL;
	int found = loam_txn_read(txn, &record, &value, err);
	if (found < 0)
		return found;
	if (found == 0 || value->bytes != strlen(top->value) ||
	    memcmp(value->data, top->value, value->bytes) != 0)
		return loam_fail(err, LOAM_E_STALE, "the clone took too long and was removed");
	loam_txn_delete(txn, &record);
	return 0;
}

static int attach_dir(struct loam_txn *txn, void *arg, struct loam_err *err)
{
	struct top *top = arg;
	struct loam_record record = detached_record(top->ino);
	loam_txn_want(txn, &record);
	struct loam_attr parent;
	int rc = loam_clone_check_target(txn, top->clone, top->to_parent, top->name, &parent, err);
	if (rc == 0)
		rc = end_detachment(txn, top, err);
	if (rc < 0)
		return rc;
	struct loam_dentry dentry = { .type = LOAM_TYPE_DIR, .ino = top->ino };
	loam_txn_put_dentry(txn, top->to_parent, top->name, &dentry);
	parent.nlink++;
	loam_rules_touch_dir(top->clone->meta, &parent, top->clone->now, true);
	loam_txn_put_attr(txn, top->to_parent, &parent);
	return 0;
}

/* The file leaves its wrapper, which goes. */
static int attach_file(struct loam_txn *txn, void *arg, struct loam_err *err)
{
	struct top *top = arg;
	struct loam_record record = detached_record(top->ino);
	loam_txn_want(txn, &record);
	loam_txn_want_attr(txn, top->file);
	struct loam_attr parent, attr;
	int rc = loam_clone_check_target(txn, top->clone, top->to_parent, top->name, &parent, err);
	if (rc == 0)
		rc = end_detachment(txn, top, err);
	if (rc < 0)
		return rc;
	int found = loam_txn_attr(txn, top->file, &attr, err);
	if (found <= 0)
		return found < 0 ? found : loam_fail(err, LOAM_E_STALE, "the clone was removed");

	struct loam_dentry dentry = { .type = LOAM_TYPE_FILE, .ino = top->file };
	loam_txn_delete_dentry(txn, top->ino, top->name);
	loam_txn_put_dentry(txn, top->to_parent, top->name, &dentry);
	attr.parent = top->to_parent;
	loam_txn_put_attr(txn, top->file, &attr);
	loam_unlink_delete_dir(txn, top->ino);
	if (loam_rules_touch_dir(top->clone->meta, &parent, top->clone->now, false))
		loam_txn_put_attr(txn, top->to_parent, &parent);
	return 0;
}

/* ---- removal of what is not attached ------------------------------------------------------ */

static int remove_detached(struct loam_txn *txn, void *arg, struct loam_err *err)
{
	uint64_t ino = *(uint64_t *)arg;
	struct loam_record record = detached_record(ino);
	struct loam_record entries = loam_rec(LOAM_REC_DIR, ino, 0);
	loam_txn_want(txn, &entries);
	loam_txn_want_attr(txn, ino);
	const struct loam_value *value = NULL;
	int found = loam_txn_read(txn, &entries, &value, err);
	if (found < 0)
		return found;
	if (found)
		return loam_fail(err, LOAM_E_NOT_EMPTY, "detached inode %" PRIu64, ino);
	struct loam_attr attr;
	found = loam_txn_attr(txn, ino, &attr, err);
	if (found < 0)
		return found;
	loam_txn_delete(txn, &record);
	if (found && attr.type == LOAM_TYPE_DIR)
		loam_unlink_delete_dir(txn, ino);
	return 0;
}

static int discard(struct loam_meta *meta, uint64_t ino, struct loam_err *err)
{
	int rc = loam_tree_empty(meta, &loam_who_root, ino, err);
	return rc < 0 ? rc : loam_meta_run(meta, LOAM_TXN_BULK, remove_detached, &ino, err);
}

struct claim {
	uint64_t ino;
	int64_t value;
	char now[24];
	bool ours;
};

static int claim_detached(struct loam_txn *txn, void *arg, struct loam_err *err)
{
	struct claim *claim = arg;
	struct loam_record record = detached_record(claim->ino);
	const struct loam_value *value = NULL;
	claim->ours = false;
	int found = loam_txn_read(txn, &record, &value, err);
	if (found <= 0)
		return found;
	char text[24] = "";
	if (value->bytes >= sizeof(text))
		return 0;
	memcpy(text, value->data, value->bytes);
	claim->ours = strtoll(text, NULL, 10) == claim->value;
	if (claim->ours)
		loam_txn_put(txn, &record, claim->now, strlen(claim->now));
	return 0;
}

int loam_clone_discard_stale(struct loam_meta *meta, uint64_t ino, int64_t value,
			     struct loam_err *err)
{
	struct loam_engine *engine = loam_meta_engine(meta);
	int64_t now;
	int rc = engine->ops->now(engine, &now, err);
	if (rc < 0)
		return rc;
	struct claim claim = { .ino = ino, .value = value };
	/* Never the value that an attach under way expects. */
	snprintf(claim.now, sizeof(claim.now), "%" PRId64, now == value ? now + 1 : now);
	rc = loam_meta_run(meta, 0, claim_detached, &claim, err);
	if (rc < 0 || !claim.ours)
		return rc;
	return discard(meta, ino, err);
}

/* Behind a failure, which the caller's err keeps. An attach whose reply was lost may have been
 * applied: then the record is gone and nothing is removed; or it may still come: the claim makes it
 * fail. What cannot be removed now stays listed in detachedNodes. */
static void give_up(const struct top *top)
{
	struct loam_err err = { 0 };
	int64_t value = strtoll(top->value, NULL, 10);
	if (loam_clone_discard_stale(top->clone->meta, top->ino, value, &err) < 0)
		loam_debug("meta.clone", "residue=%" PRIu64 " error=%s", top->ino, err.text);
}

/* ---- the walk ----------------------------------------------------------------------------- */

struct pair {
	uint64_t from, to;
	uint32_t nlink; /* of `to`, as written */
};

struct walk {
	struct loam_clone *clone;
	struct loam_pool *pool;
	struct pair *dirs; /* a stack */
	size_t dir_count, dir_capacity;
};

static void run_batch(void *arg)
{
	struct loam_clone_batch *batch = arg;
	struct loam_clone *clone = batch->clone;
	struct loam_err err = { 0 };
	int rc = loam_clone_batch_run(batch, &err);
	loam_clone_batch_free(batch);

	loam_guard(&clone->lock);
	if (rc < 0 && !clone->stop) {
		clone->err = err;
		clone->stop = true;
	}
	clone->pending--;
	pthread_cond_broadcast(&clone->changed);
}

/* Until fewer than `below` batches are out; asks the caller meanwhile. */
static int wait_pending(struct loam_clone *clone, size_t below, struct loam_err *err)
{
	for (;;) {
		int rc = loam_clone_go_on(clone, err);
		loam_guard(&clone->lock);
		if (rc < 0 || clone->pending < below)
			return rc;
		loam_cond_wait_until(&clone->changed, &clone->lock, loam_clock_ms() + POLL_MS);
	}
}

/* Takes the batch over. */
static int hand_out(struct walk *walk, struct loam_clone_batch *batch, struct loam_err *err)
{
	struct loam_clone *clone = walk->clone;
	int rc = wait_pending(clone, PENDING_MAX, err);
	if (rc < 0) {
		loam_clone_batch_free(batch);
		return rc;
	}
	pthread_mutex_lock(&clone->lock);
	clone->pending++;
	pthread_mutex_unlock(&clone->lock);
	loam_pool_submit(walk->pool, run_batch, batch);
	return 0;
}

static int add_entry(struct loam_clone_batch *batch, const struct loam_dir_entry *entry,
		     struct loam_err *err)
{
	struct loam_clone_source *source = &batch->entries[batch->count];
	int rc = loam_meta_new_inode(batch->clone->meta, &source->to, err);
	if (rc < 0)
		return rc;
	source->from = entry->dentry.ino;
	source->type = entry->dentry.type;
	source->name_bytes = entry->name.bytes;
	source->name = loam_xstrndup(entry->name.data, entry->name.bytes);
	batch->count++;
	return 0;
}

static int push_dir(struct walk *walk, struct pair pair, struct loam_err *err)
{
	if (walk->dir_count == walk->dir_capacity) {
		size_t capacity = walk->dir_capacity ? 2 * walk->dir_capacity : 64;
		struct pair *dirs =
			capacity > DIRS_MAX ? NULL : realloc(walk->dirs, capacity * sizeof(*dirs));
		if (!dirs)
			return loam_fail(err, LOAM_E_TOO_BIG, "a tree of too many directories");
		walk->dirs = dirs;
		walk->dir_capacity = capacity;
	}
	walk->dirs[walk->dir_count++] = pair;
	return 0;
}

/* Makes the directories of the batch and puts them on the stack. */
static int make_dirs(struct walk *walk, struct loam_clone_batch *batch, uint32_t *made,
		     struct loam_err *err)
{
	bool cloned[LOAM_CLONE_FILES_MAX];
	uint32_t nlink[LOAM_CLONE_FILES_MAX];
	int rc = batch->count == 0 ? 0 : loam_clone_batch_dirs(batch, cloned, nlink, err);
	for (size_t i = 0; rc == 0 && i < batch->count; i++) {
		if (!cloned[i])
			continue;
		(*made)++;
		rc = push_dir(walk,
			      (struct pair){ .from = batch->entries[i].from,
					     .to = batch->entries[i].to,
					     .nlink = nlink[i] },
			      err);
	}
	return rc;
}

/* The entries of one kind, in batches. */
static int each_batch(struct walk *walk, const struct loam_dir *dir, uint64_t to, bool dirs,
		      uint32_t *made_dirs, struct loam_err *err)
{
	size_t next = 0, count = loam_dir_count(dir);
	while (next < count) {
		struct loam_clone_batch *batch = loam_clone_batch_new(walk->clone, to);
		int rc = loam_clone_go_on(walk->clone, err);
		for (; rc == 0 && next < count && batch->count < LOAM_CLONE_FILES_MAX; next++) {
			const struct loam_dir_entry *entry = loam_dir_at(dir, next);
			if ((entry->dentry.type == LOAM_TYPE_DIR) == dirs)
				rc = add_entry(batch, entry, err);
		}
		if (rc < 0 || dirs || batch->count == 0) {
			if (rc == 0 && dirs)
				rc = make_dirs(walk, batch, made_dirs, err);
			loam_clone_batch_free(batch);
		} else {
			rc = hand_out(walk, batch, err);
		}
		if (rc < 0)
			return rc;
	}
	return 0;
}

struct repair {
	uint64_t ino;
	uint32_t nlink;
};

static int set_nlink(struct loam_txn *txn, void *arg, struct loam_err *err)
{
	const struct repair *repair = arg;
	struct loam_attr attr;
	int found = loam_txn_attr(txn, repair->ino, &attr, err);
	if (found <= 0)
		return found;
	attr.nlink = repair->nlink;
	loam_txn_put_attr(txn, repair->ino, &attr);
	return 0;
}

static int clone_dir(struct walk *walk, struct pair pair, struct loam_err *err)
{
	struct loam_dir *dir = NULL;
	uint32_t made = 0;
	int rc = loam_meta_opendir(walk->clone->meta, pair.from, false, &dir, err);
	if (rc == -LOAM_E_NOT_FOUND) { /* removed since it was named: what was made stays empty */
		loam_err_clear(err);
		rc = 0;
	} else if (rc == 0) {
		rc = each_batch(walk, dir, pair.to, true, &made, err);
		if (rc == 0)
			rc = each_batch(walk, dir, pair.to, false, &made, err);
		loam_dir_close(dir);
	}
	if (rc < 0 || pair.nlink == made + 2)
		return rc;
	struct repair repair = { .ino = pair.to, .nlink = made + 2 };
	return loam_meta_run(walk->clone->meta, 0, set_nlink, &repair, err);
}

/* All below the top. When it returns no worker is at work any more. */
static int clone_below(struct loam_clone *clone, struct pair top, struct loam_err *err)
{
	struct walk walk = { .clone = clone };
	int rc = loam_pool_new("clone", WORKERS, PENDING_MAX, &walk.pool, err);
	if (rc == 0)
		rc = push_dir(&walk, top, err);
	while (rc == 0 && walk.dir_count > 0)
		rc = clone_dir(&walk, walk.dirs[--walk.dir_count], err);
	if (rc == 0)
		rc = wait_pending(clone, 1, err);
	if (rc < 0) {
		loam_guard(&clone->lock);
		clone->stop = true;
	}
	loam_pool_free(walk.pool);
	free(walk.dirs);
	return rc < 0 ? rc : loam_clone_go_on(clone, err);
}

int loam_clone_tree(struct loam_clone *clone, uint64_t from, uint64_t to_parent,
		    struct loam_name name, struct loam_err *err)
{
	struct top top = { .clone = clone, .from = from, .to_parent = to_parent, .name = name };
	int rc = begin_top(&top, err);
	if (rc < 0)
		return rc;
	loam_clone_count(clone, 0, 1, 0);
	rc = clone_below(clone, (struct pair){ from, top.ino, top.nlink }, err);
	if (rc == 0)
		rc = loam_failpoint("meta.clone.attach", err);
	if (rc == 0)
		rc = loam_meta_run(clone->meta, 0, attach_dir, &top, err);
	if (rc < 0)
		give_up(&top);
	return rc;
}

/* The file that the wrapper holds: none when the source vanished. */
static int find_file(struct top *top, struct loam_err *err)
{
	struct loam_attr attr;
	return loam_meta_lookup(top->clone->meta, &loam_who_root, top->ino, top->name, &top->file,
				&attr, err);
}

int loam_clone_large_file(struct loam_clone *clone, uint64_t from, uint64_t to_parent,
			  struct loam_name name, struct loam_err *err)
{
	struct top top = {
		.clone = clone, .from = from, .to_parent = to_parent, .name = name, .wrapper = true
	};
	struct loam_dir_entry entry = { .name = name,
					.dentry = { .type = LOAM_TYPE_FILE, .ino = from } };
	int rc = begin_top(&top, err);
	if (rc < 0)
		return rc;

	struct walk walk = { .clone = clone };
	struct loam_clone_batch *batch = loam_clone_batch_new(clone, top.ino);
	rc = loam_pool_new("clone", 1, 1, &walk.pool, err);
	if (rc == 0)
		rc = add_entry(batch, &entry, err);
	if (rc == 0)
		rc = hand_out(&walk, loam_steal(&batch), err);
	if (rc == 0)
		rc = wait_pending(clone, 1, err);
	if (rc < 0) {
		loam_guard(&clone->lock);
		clone->stop = true;
	}
	loam_pool_free(walk.pool);
	loam_clone_batch_free(batch);
	if (rc == 0)
		rc = find_file(&top, err);
	if (rc == 0)
		rc = loam_meta_run(clone->meta, 0, attach_file, &top, err);
	if (rc < 0)
		give_up(&top);
	return rc;
}
