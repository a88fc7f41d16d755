/*
 * loam_meta_clone: a metadata copy of a file or a tree; no block is read or written (step 8 of the
 * push stages clones of pool files; `loam clone` makes a user's own copy).
 *
 * Here: the request and its checks, and a single file, which is one transaction: source, its chunk
 * lists and the target's directory and name are all checked at the commit. Trees and very large
 * files are built detached (clone_tree.c).
 *
 * The right to clone is asked of this code even where the kernel checks opens: a clone reads many
 * inodes that the caller has not opened.
 *
 * Source: volume format document §4.13; design.md §4.
 */
#include "fs/meta/clone.h"

#include "core/auto.h"
#include "core/clock.h"
#include "fs/meta/rules.h"

#include <string.h>
#include <sys/stat.h>

int loam_clone_go_on(struct loam_clone *clone, struct loam_err *err)
{
	bool cancelled = clone->cancelled && clone->cancelled(clone->cancelled_arg);
	loam_guard(&clone->lock);
	if (clone->stop) {
		*err = clone->err;
		return -(int)err->code;
	}
	if (!cancelled)
		return 0;
	loam_fail(&clone->err, LOAM_E_INTERRUPTED, "the clone was cancelled");
	clone->stop = true;
	*err = clone->err;
	return -LOAM_E_INTERRUPTED;
}

bool loam_clone_stopped(struct loam_clone *clone)
{
	loam_guard(&clone->lock);
	return clone->stop;
}

void loam_clone_count(struct loam_clone *clone, uint64_t files, uint64_t dirs, uint64_t bytes)
{
	loam_guard(&clone->lock);
	clone->stats.files += files;
	clone->stats.dirs += dirs;
	clone->stats.bytes += bytes;
}

int loam_clone_check_target(struct loam_txn *txn, const struct loam_clone *clone,
			    uint64_t to_parent, struct loam_name name, struct loam_attr *out_parent,
			    struct loam_err *err)
{
	loam_txn_want_attr(txn, to_parent);
	loam_txn_want_dentry(txn, to_parent, name);
	int found = loam_txn_attr(txn, to_parent, out_parent, err);
	if (found < 0)
		return found;
	if (found == 0 || loam_rules_in_trash(out_parent))
		return loam_fail(err, LOAM_E_NOT_FOUND, "the target's directory");
	int rc = loam_rules_change_dir(clone->meta, clone->who, to_parent, out_parent, err);
	if (rc < 0)
		return rc;
	if (out_parent->flags & LOAM_FLAG_IMMUTABLE)
		return loam_fail(err, LOAM_E_NOT_PERMITTED, "the target's directory is immutable");
	struct loam_dentry dentry;
	found = loam_txn_dentry(txn, to_parent, name, &dentry, err);
	if (found < 0)
		return found;
	if (found)
		return loam_fail(err, LOAM_E_EXISTS, "'%.*s'", (int)name.bytes, name.data);
	return 0;
}

/* What the target's directory gives to all that comes below it. */
static void inherit(struct loam_clone *clone, const struct loam_attr *parent)
{
	clone->setgid = (parent->mode & S_ISGID) != 0;
	clone->gid = clone->setgid ? parent->gid : clone->who->gid;
	clone->inherited_flags = parent->flags & LOAM_FLAG_SKIP_TRASH;
}

struct single {
	struct loam_clone *clone;
	uint64_t from, to, to_parent;
	struct loam_name name;
	struct loam_attr attr;
	bool large, tree;
};

/* *single->attr decides the way: a directory and a large file go theirs, with nothing written here.
 */
static int clone_single(struct loam_txn *txn, void *arg, struct loam_err *err)
{
	struct single *single = arg;
	struct loam_clone *clone = single->clone;
	single->large = false;
	single->tree = false;
	loam_txn_want_attr(txn, single->to_parent);
	loam_txn_want_dentry(txn, single->to_parent, single->name);
	loam_clone_want_entry(txn, single->from, LOAM_TYPE_FILE);
	int found = loam_clone_read_attr(txn, clone, single->from, true, &single->attr, err);
	if (found < 0)
		return found;
	if (found == 0)
		return loam_fail(err, LOAM_E_NOT_FOUND, "the source");
	if (loam_rules_in_trash(&single->attr))
		return loam_fail(err, LOAM_E_NOT_PERMITTED, "the source is in the trash");
	uint32_t chunks = loam_clone_chunk_count(&single->attr);
	single->tree = single->attr.type == LOAM_TYPE_DIR;
	single->large = chunks > LOAM_CONTENT_CHUNKS_MAX;
	if (single->tree || single->large)
		return 0;

	for (uint32_t i = 1; i < chunks; i++) {
		struct loam_record chunk = loam_rec(LOAM_REC_CHUNK, single->from, i);
		loam_txn_want(txn, &chunk);
	}
	struct loam_attr parent, made;
	int rc = loam_clone_check_target(txn, clone, single->to_parent, single->name, &parent, err);
	if (rc < 0)
		return rc;
	inherit(clone, &parent);
	rc = loam_clone_put_inode(txn, clone, single->from, &single->attr, single->to,
				  single->to_parent, &made, err);
	if (rc == 0)
		rc = loam_clone_put_chunks(txn, single->from, single->to, 0, chunks, err);
	int64_t space = single->attr.type == LOAM_TYPE_FILE ? loam_space(single->attr.length)
							    : loam_space(0);
	if (rc == 0)
		rc = loam_rules_space(clone->meta, space, 1, err);
	if (rc < 0)
		return rc;
	struct loam_dentry dentry = { .type = single->attr.type, .ino = single->to };
	loam_txn_put_dentry(txn, single->to_parent, single->name, &dentry);
	loam_txn_add_usage(txn, space, 1);
	if (loam_rules_touch_dir(clone->meta, &parent, clone->now, false))
		loam_txn_put_attr(txn, single->to_parent, &parent);
	return 0;
}

static int check_request(struct loam_clone *clone, uint64_t from, uint64_t to_parent,
			 struct loam_name name, struct loam_err *err)
{
	if (from >= LOAM_INO_SPECIAL)
		return loam_fail(err, LOAM_E_NOT_PERMITTED, "the source is no ordinary inode");
	int rc = loam_rules_writable(clone->meta, err);
	if (rc == 0)
		rc = loam_rules_name(name, err);
	if (rc == 0)
		rc = loam_rules_not_trash(clone->who, to_parent, name, err);
	if (rc < 0)
		return rc;
	if (loam_rules_is_dots(name))
		return loam_fail(err, LOAM_E_EXISTS, "'.' and '..' are taken");
	return 0;
}

static int run_clone(struct loam_clone *clone, uint64_t from, uint64_t to_parent,
		     struct loam_name name, struct loam_err *err)
{
	int rc = check_request(clone, from, to_parent, name, err);
	if (rc == 0)
		rc = loam_clone_go_on(clone, err);
	if (rc < 0)
		return rc;
	struct single single = {
		.clone = clone, .from = from, .to_parent = to_parent, .name = name
	};
	rc = loam_meta_new_inode(clone->meta, &single.to, err);
	if (rc == 0)
		rc = loam_meta_run(clone->meta, LOAM_TXN_GUESS, clone_single, &single, err);
	if (rc < 0)
		return rc;
	if (!single.tree && !single.large) {
		bool file = single.attr.type == LOAM_TYPE_FILE;
		loam_clone_count(clone, 1, 0, file ? single.attr.length : 0);
		return 0;
	}
	struct loam_attr parent;
	rc = loam_meta_getattr(clone->meta, to_parent, &parent, err);
	if (rc < 0)
		return rc;
	inherit(clone, &parent);
	return single.tree ? loam_clone_tree(clone, from, to_parent, name, err)
			   : loam_clone_large_file(clone, from, to_parent, name, err);
}

int loam_meta_clone(struct loam_meta *meta, const struct loam_who *who, uint64_t from,
		    uint64_t to_parent, struct loam_name name, unsigned flags,
		    bool (*cancelled)(void *arg), void *cancelled_arg,
		    struct loam_clone_stats *out_stats, struct loam_err *err)
{
	struct loam_who checked = *who;
	checked.check = true;
	struct loam_clone clone = { .meta = meta,
				    .who = &checked,
				    .flags = flags,
				    .now = loam_clock_now(),
				    .cancelled = cancelled,
				    .cancelled_arg = cancelled_arg };
	pthread_mutex_init(&clone.lock, NULL);
	pthread_cond_init(&clone.changed, NULL);
	int rc = run_clone(&clone, from, to_parent, name, err);
	if (rc == 0 && out_stats)
		*out_stats = clone.stats;
	pthread_cond_destroy(&clone.changed);
	pthread_mutex_destroy(&clone.lock);
	return rc;
}
