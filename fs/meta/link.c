/*
 * link: one more name for an inode (step 3 of the push: an LFS object is linked to its repository).
 *
 * Invariant: once linked, attr.parent is 0 for ever and p<ino> counts the names in each parent.
 */
#include "core/clock.h"
#include "fs/meta/meta_internal.h"

#include <inttypes.h>

struct link {
	const struct loam_who *who;
	uint64_t ino, parent;
	struct loam_name name;
	struct timespec now;
	struct loam_attr attr; /* of the inode, as linked */
};

static int check_link(struct loam_txn *txn, struct link *l, const struct loam_attr *dir,
		      struct loam_err *err)
{
	int rc = loam_rules_change_dir(loam_txn_meta(txn), l->who, l->parent, dir, err);
	if (rc < 0)
		return rc;
	if (loam_rules_in_trash(dir))
		return loam_fail(err, LOAM_E_NOT_FOUND, "inode %" PRIu64 " is in the trash",
				 l->parent);
	if (dir->flags & LOAM_FLAG_IMMUTABLE)
		return loam_fail(err, LOAM_E_NOT_PERMITTED, "inode %" PRIu64 " is immutable",
				 l->parent);

	int found = loam_txn_attr(txn, l->ino, &l->attr, err);
	if (found < 0)
		return found;
	if (!found || (l->attr.nlink == 0 && l->attr.type != LOAM_TYPE_DIR))
		return loam_fail(err, LOAM_E_NOT_FOUND, "no inode %" PRIu64, l->ino);
	if (l->attr.type == LOAM_TYPE_DIR || loam_rules_is_locked(&l->attr))
		return loam_fail(err, LOAM_E_NOT_PERMITTED,
				 "inode %" PRIu64 " is a directory or locked", l->ino);

	struct loam_dentry present;
	found = loam_txn_dentry(txn, l->parent, l->name, &present, err);
	if (found < 0)
		return found;
	return found ? loam_fail(err, LOAM_E_EXISTS, "the name is taken") : 0;
}

static int link_fn(struct loam_txn *txn, void *arg, struct loam_err *err)
{
	struct link *l = arg;
	struct loam_attr dir;
	loam_namespace_want(txn, l->parent, l->name);
	loam_txn_want_attr(txn, l->ino);
	int found = loam_txn_attr(txn, l->parent, &dir, err);
	if (found < 0)
		return found;
	if (!found)
		return loam_fail(err, LOAM_E_NOT_FOUND, "no inode %" PRIu64, l->parent);

	int rc = check_link(txn, l, &dir, err);
	if (rc < 0)
		return rc;

	struct loam_dentry entry = { .type = l->attr.type, .ino = l->ino };
	struct loam_record before = loam_rec(LOAM_REC_PARENT, l->ino, l->attr.parent);
	struct loam_record here = loam_rec(LOAM_REC_PARENT, l->ino, l->parent);
	if (l->attr.parent != 0)
		loam_txn_add(txn, &before, 1);
	loam_txn_add(txn, &here, 1);
	l->attr.parent = 0;
	l->attr.nlink++;
	l->attr.ctime = l->now;
	loam_txn_put_attr(txn, l->ino, &l->attr);
	loam_txn_put_dentry(txn, l->parent, l->name, &entry);
	if (loam_rules_touch_dir(loam_txn_meta(txn), &dir, l->now, false))
		loam_txn_put_attr(txn, l->parent, &dir);
	return 0;
}

int loam_meta_link(struct loam_meta *meta, const struct loam_who *who, uint64_t ino,
		   uint64_t parent, struct loam_name name, struct loam_attr *out_attr,
		   struct loam_err *err)
{
	int rc = loam_rules_writable(meta, err);
	if (rc < 0)
		return rc;

	rc = loam_rules_not_trash(&loam_who_root, parent, name, err);
	if (rc < 0)
		return rc;

	if (parent >= LOAM_INO_TRASH_ROOT)
		return loam_fail(err, LOAM_E_NOT_PERMITTED, "nothing is made in the trash");
	if (loam_rules_is_dots(name))
		return loam_fail(err, LOAM_E_EXISTS, "the name is taken");

	rc = loam_rules_name(name, err);
	if (rc < 0)
		return rc;

	struct link l = { .who = who, .ino = ino, .parent = parent, .name = name };
	l.now = loam_clock_now();
	rc = loam_meta_run(meta, LOAM_TXN_GUESS, link_fn, &l, err);
	if (rc < 0)
		return rc;

	*out_attr = l.attr;
	return 0;
}
