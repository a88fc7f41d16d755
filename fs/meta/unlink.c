/*
 * unlink and rmdir (step 8 of the push replaces files; users remove them).
 *
 * With nlink > 0 behind the removal the inode stays. At 0 it goes at once: a regular file by way of
 * `delfiles`, whose entry lets any client delete the data later; or, when it is open in this
 * process, it stays with nlink 0 as "sustained" until the last close.
 *
 * One call to the engine when the parent, the entry and the inode are in the record cache, two when
 * the entry is not.
 */
#include "fs/meta/unlink.h"

#include "core/auto.h"
#include "core/clock.h"
#include "fs/meta/meta_internal.h"

#include <inttypes.h>

void loam_unlink_delete_file(struct loam_txn *txn, uint64_t ino, const struct loam_attr *attr,
			     struct loam_gone *out_gone)
{
	char when[24];
	int bytes = snprintf(when, sizeof(when), "%" PRId64, (int64_t)loam_clock_now().tv_sec);
	struct loam_record deleted = loam_rec(LOAM_REC_DELFILE, ino, attr->length);
	struct loam_record record = loam_rec(LOAM_REC_ATTR, ino, 0);
	loam_txn_put(txn, &deleted, when, (size_t)bytes);
	loam_txn_delete(txn, &record);
	loam_txn_add_usage(txn, -loam_space(attr->length), -1);
	out_gone->ino = ino;
	out_gone->length = attr->length;
	out_gone->deleted_file = true;
}

/* nlink has come to 0. */
static void drop_inode(struct loam_txn *txn, uint64_t ino, const struct loam_attr *attr,
		       struct loam_gone *out_gone)
{
	struct loam_meta *meta = loam_txn_meta(txn);
	struct loam_record record = loam_rec(LOAM_REC_ATTR, ino, 0);
	struct loam_record target = loam_rec(LOAM_REC_SYMLINK, ino, 0);
	struct loam_record sustained = loam_rec(LOAM_REC_SUSTAINED, meta->session.sid, ino);
	struct loam_record xattrs = loam_rec(LOAM_REC_XATTRS, ino, 0);
	struct loam_record parents = loam_rec(LOAM_REC_PARENTS, ino, 0);

	if (attr->type == LOAM_TYPE_FILE && loam_open_files_has(meta, ino)) {
		loam_txn_put_attr(txn, ino, attr);
		loam_txn_put(txn, &sustained, "1", 1);
		out_gone->ino = ino;
		out_gone->sustained = true;
	} else if (attr->type == LOAM_TYPE_FILE) {
		loam_unlink_delete_file(txn, ino, attr, out_gone);
	} else {
		if (attr->type == LOAM_TYPE_SYMLINK)
			loam_txn_delete(txn, &target);
		loam_txn_delete(txn, &record);
		loam_txn_add_usage(txn, -4096, -1);
	}
	loam_txn_delete(txn, &xattrs);
	if (attr->parent == 0)
		loam_txn_delete(txn, &parents);
}

void loam_unlink_drop(struct loam_txn *txn, uint64_t parent, uint64_t ino, struct loam_attr *attr,
		      struct timespec now, struct loam_gone *out_gone)
{
	struct loam_record here = loam_rec(LOAM_REC_PARENT, ino, parent);
	attr->ctime = now;
	if (attr->nlink > 0)
		attr->nlink--;
	if (attr->nlink == 0) {
		drop_inode(txn, ino, attr, out_gone);
		return;
	}
	loam_txn_put_attr(txn, ino, attr);
	if (attr->parent == 0)
		loam_txn_add(txn, &here, -1);
}

void loam_unlink_delete_dir(struct loam_txn *txn, uint64_t ino)
{
	struct loam_record attr = loam_rec(LOAM_REC_ATTR, ino, 0);
	struct loam_record xattrs = loam_rec(LOAM_REC_XATTRS, ino, 0);
	struct loam_record stats = loam_rec(LOAM_REC_DIR_STATS, ino, 0);
	loam_txn_delete(txn, &attr);
	loam_txn_delete(txn, &xattrs);
	loam_txn_delete(txn, &stats);
	loam_txn_add_usage(txn, -4096, -1);
}

int loam_unlink_demand_empty(struct loam_txn *txn, uint64_t ino, unsigned run, struct loam_err *err)
{
	struct loam_record entries = loam_rec(LOAM_REC_DIR, ino, 0);
	if (run == 1) {
		loam_txn_expect(txn, &entries, NULL, 0);
		return 0;
	}

	const struct loam_value *value = NULL;
	int found = loam_txn_read(txn, &entries, &value, err);
	if (found < 0)
		return found;
	if (found)
		return loam_fail(err, LOAM_E_NOT_EMPTY, "directory %" PRIu64 " has entries", ino);
	return 0;
}

void loam_unlink_after(struct loam_meta *meta, const struct loam_gone *gone)
{
	if (gone->sustained)
		loam_open_files_sustained(meta, gone->ino);
	if (gone->deleted_file)
		loam_meta_data_removed(meta, gone->ino, gone->length);
}

struct removal {
	const struct loam_who *who;
	uint64_t parent;
	struct loam_name name;
	bool is_rmdir;
	struct timespec now;
	unsigned run;
	struct loam_attr dir;
	struct loam_dentry entry;
	bool has_attr;
	struct loam_attr attr;
	struct loam_gone gone;
};

/* Reads parent, entry and inode; 0 with all checks passed that both removals share. */
static int read_removal(struct loam_txn *txn, struct removal *r, struct loam_err *err)
{
	struct loam_meta *meta = loam_txn_meta(txn);
	loam_namespace_want(txn, r->parent, r->name);
	int found = loam_txn_dentry(txn, r->parent, r->name, &r->entry, err);
	if (found < 0)
		return found;
	if (!found)
		return loam_fail(err, LOAM_E_NOT_FOUND, "no such name in inode %" PRIu64,
				 r->parent);
	if ((r->entry.type == LOAM_TYPE_DIR) != r->is_rmdir)
		return loam_fail(err, r->is_rmdir ? LOAM_E_NOT_DIR : LOAM_E_NOT_PERMITTED,
				 "inode %" PRIu64 " is %s directory", r->entry.ino,
				 r->is_rmdir ? "no" : "a");

	found = loam_txn_attr(txn, r->parent, &r->dir, err);
	if (found < 0)
		return found;
	if (!found)
		return loam_fail(err, LOAM_E_NOT_FOUND, "no inode %" PRIu64, r->parent);
	int rc = loam_rules_change_dir(meta, r->who, r->parent, &r->dir, err);
	if (rc < 0)
		return rc;
	if (loam_rules_is_locked(&r->dir))
		return loam_fail(err, LOAM_E_NOT_PERMITTED, "inode %" PRIu64 " is locked",
				 r->parent);

	found = loam_txn_attr(txn, r->entry.ino, &r->attr, err);
	if (found < 0)
		return found;
	r->has_attr = found;
	return 0;
}

static int unlink_fn(struct loam_txn *txn, void *arg, struct loam_err *err)
{
	struct removal *r = arg;
	r->gone = (struct loam_gone){ 0 };
	int rc = read_removal(txn, r, err);
	if (rc < 0)
		return rc;

	if (r->has_attr) {
		rc = loam_rules_sticky(r->who, &r->dir, r->attr.uid, err);
		if (rc < 0)
			return rc;
		if (loam_rules_is_locked(&r->attr))
			return loam_fail(err, LOAM_E_NOT_PERMITTED, "inode %" PRIu64 " is locked",
					 r->entry.ino);
	}

	loam_txn_delete_dentry(txn, r->parent, r->name);
	if (loam_rules_touch_dir(loam_txn_meta(txn), &r->dir, r->now, false))
		loam_txn_put_attr(txn, r->parent, &r->dir);
	if (r->has_attr)
		loam_unlink_drop(txn, r->parent, r->entry.ino, &r->attr, r->now, &r->gone);
	return 0;
}

static int rmdir_fn(struct loam_txn *txn, void *arg, struct loam_err *err)
{
	struct removal *r = arg;
	r->run++;
	int rc = read_removal(txn, r, err);
	if (rc < 0)
		return rc;

	rc = loam_unlink_demand_empty(txn, r->entry.ino, r->run, err);
	if (rc < 0)
		return rc;

	rc = r->has_attr ? loam_rules_sticky(r->who, &r->dir, r->attr.uid, err) : 0;
	if (rc < 0)
		return rc;

	loam_txn_delete_dentry(txn, r->parent, r->name);
	if (r->dir.nlink > 0)
		r->dir.nlink--;
	loam_rules_touch_dir(loam_txn_meta(txn), &r->dir, r->now, true);
	loam_txn_put_attr(txn, r->parent, &r->dir);
	if (r->has_attr)
		loam_unlink_delete_dir(txn, r->entry.ino);
	return 0;
}

static int run_removal(struct loam_meta *meta, struct removal *r, loam_txn_fn *fn,
		       struct loam_err *err)
{
	int rc = loam_rules_writable(meta, err);
	if (rc < 0)
		return rc;

	rc = loam_rules_not_trash(r->who, r->parent, r->name, err);
	if (rc < 0)
		return rc;

	rc = loam_rules_name(r->name, err);
	if (rc < 0)
		return rc;

	loam_namespace_prime(meta, r->parent, r->name);
	r->now = loam_clock_now();
	rc = loam_meta_run(meta, LOAM_TXN_GUESS, fn, r, err);
	if (rc < 0)
		return rc;

	loam_unlink_after(meta, &r->gone);
	return 0;
}

int loam_meta_unlink(struct loam_meta *meta, const struct loam_who *who, uint64_t parent,
		     struct loam_name name, uint64_t *out_ino, struct loam_err *err)
{
	struct removal r = { .who = who, .parent = parent, .name = name };
	int rc = run_removal(meta, &r, unlink_fn, err);
	if (!rc && out_ino)
		*out_ino = r.entry.ino;
	return rc;
}

int loam_meta_rmdir(struct loam_meta *meta, const struct loam_who *who, uint64_t parent,
		    struct loam_name name, struct loam_err *err)
{
	if (loam_rules_name_is(name, "."))
		return loam_fail(err, LOAM_E_INVALID, "'.' cannot be removed");
	if (loam_rules_name_is(name, ".."))
		return loam_fail(err, LOAM_E_NOT_EMPTY, "'..' cannot be removed");

	struct removal r = { .who = who, .parent = parent, .name = name, .is_rmdir = true };
	return run_removal(meta, &r, rmdir_fn, err);
}
