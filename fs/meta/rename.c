/*
 * rename: move, replace, exchange (step 8 of the push shows a staged tree by it; users move files).
 *
 * The order of the checks is the volume format's (§4.9), so that both clients answer alike. A
 * directory that moves below another parent must not come below itself: the parents of the new
 * place are walked up to the root, each of them part of the commit's conditions as far as
 * WALK_CHECKED, so that two such moves at the same time cannot build a loop between them.
 */
#include "core/clock.h"
#include "fs/meta/meta_internal.h"

#include <inttypes.h>
#include <string.h>

#define WALK_CHECKED 100  /* ancestors that the commit compares */
#define WALK_MAX     8192 /* deeper trees are refused */

/* One side: the directory, the name in it and what it names. */
struct side {
	uint64_t parent;
	struct loam_name name;
	struct loam_attr dir; /* of the from side when both are in one directory */
	bool dir_written;
	bool has_entry, has_attr;
	struct loam_dentry entry;
	struct loam_attr attr;
};

struct rename {
	const struct loam_who *who;
	unsigned flags;
	struct timespec now;
	struct side from, to;
	bool same_dir;
	unsigned run;
	struct loam_gone gone;
};

static int not_permitted(struct loam_err *err, uint64_t ino, const char *why)
{
	return loam_fail(err, LOAM_E_NOT_PERMITTED, "inode %" PRIu64 " %s", ino, why);
}

static int read_entry(struct loam_txn *txn, struct side *side, struct loam_err *err)
{
	int found = loam_txn_dentry(txn, side->parent, side->name, &side->entry, err);
	if (found < 0)
		return found;
	side->has_entry = found;
	return 0;
}

static int read_attr(struct loam_txn *txn, struct side *side, struct loam_err *err)
{
	side->has_attr = false;
	if (!side->has_entry)
		return 0;

	int found = loam_txn_attr(txn, side->entry.ino, &side->attr, err);
	if (found < 0)
		return found;
	side->has_attr = found;
	return 0;
}

static int read_dir(struct loam_txn *txn, struct side *side, struct loam_err *err)
{
	side->dir_written = false;
	int found = loam_txn_attr(txn, side->parent, &side->dir, err);
	if (found < 0)
		return found;
	if (!found)
		return loam_fail(err, LOAM_E_NOT_FOUND, "no inode %" PRIu64, side->parent);
	return 0;
}

/* Checks 1 to 4: 1 when there is nothing to do. */
static int check_names(const struct rename *r, struct loam_err *err)
{
	const struct side *from = &r->from, *to = &r->to;
	if (!from->has_entry)
		return loam_fail(err, LOAM_E_NOT_FOUND, "no such name in inode %" PRIu64,
				 from->parent);
	if (r->same_dir && from->name.bytes == to->name.bytes &&
	    memcmp(from->name.data, to->name.data, to->name.bytes) == 0)
		return 1;
	if (!to->has_entry)
		return 0;
	if (r->flags & LOAM_RENAME_NOREPLACE)
		return loam_fail(err, LOAM_E_EXISTS, "the name is taken");
	if (from->entry.ino == to->entry.ino)
		return 1;
	if (r->flags & LOAM_RENAME_EXCHANGE)
		return 0;

	bool from_dir = from->entry.type == LOAM_TYPE_DIR;
	bool to_dir = to->entry.type == LOAM_TYPE_DIR;
	if (from_dir && !to_dir)
		return loam_fail(err, LOAM_E_NOT_DIR, "a directory onto inode %" PRIu64,
				 to->entry.ino);
	if (!from_dir && to_dir)
		return loam_fail(err, LOAM_E_IS_DIR, "onto directory %" PRIu64, to->entry.ino);
	return 0;
}

/* NOT_PERMITTED when `ino` is `dir` or one of its ancestors. */
static int check_loop(struct loam_txn *txn, uint64_t ino, uint64_t dir, struct loam_err *err)
{
	for (unsigned depth = 0; dir != LOAM_INO_ROOT && dir != 0; depth++) {
		if (dir == ino)
			return not_permitted(err, ino, "would come below itself");
		if (depth == WALK_MAX)
			return not_permitted(err, dir, "is too deep");

		struct loam_attr attr;
		struct loam_record record = loam_rec(LOAM_REC_ATTR, dir, 0);
		const struct loam_value *value = NULL;
		int found = depth < WALK_CHECKED ? loam_txn_attr(txn, dir, &attr, err)
						 : loam_txn_peek(txn, &record, &value, err);
		if (found < 0)
			return found;
		if (!found)
			return loam_fail(err, LOAM_E_NOT_FOUND, "no inode %" PRIu64, dir);
		if (value) {
			int rc = loam_attr_decode(value->data, value->bytes, &attr, err);
			if (rc < 0)
				return rc;
		}
		dir = attr.parent;
	}
	return 0;
}

static int check_loops(struct loam_txn *txn, const struct rename *r, struct loam_err *err)
{
	if (r->same_dir)
		return 0;

	int rc = 0;
	if (r->from.entry.type == LOAM_TYPE_DIR)
		rc = check_loop(txn, r->from.entry.ino, r->to.parent, err);
	if (rc == 0 && (r->flags & LOAM_RENAME_EXCHANGE) && r->to.has_entry &&
	    r->to.entry.type == LOAM_TYPE_DIR)
		rc = check_loop(txn, r->to.entry.ino, r->from.parent, err);
	return rc;
}

/* Checks 6, 7 and 8. */
static int check_dirs(struct loam_txn *txn, const struct rename *r, struct loam_err *err)
{
	struct loam_meta *meta = loam_txn_meta(txn);
	const struct loam_attr *to_dir = r->same_dir ? &r->from.dir : &r->to.dir;
	int rc = loam_rules_change_dir(meta, r->who, r->from.parent, &r->from.dir, err);
	if (rc < 0)
		return rc;
	rc = loam_rules_change_dir(meta, r->who, r->to.parent, to_dir, err);
	if (rc < 0)
		return rc;
	if (loam_rules_in_trash(to_dir))
		return loam_fail(err, LOAM_E_NOT_FOUND, "inode %" PRIu64 " is in the trash",
				 r->to.parent);
	rc = check_loops(txn, r, err);
	if (rc < 0)
		return rc;
	if (loam_rules_is_locked(&r->from.dir))
		return not_permitted(err, r->from.parent, "is locked");
	if (loam_rules_is_locked(&r->from.attr))
		return not_permitted(err, r->from.entry.ino, "is locked");
	if (to_dir->flags & LOAM_FLAG_IMMUTABLE)
		return not_permitted(err, r->to.parent, "is immutable");
	return 0;
}

/* Checks 9, 10 and 11. */
static int check_target(struct loam_txn *txn, const struct rename *r, struct loam_err *err)
{
	const struct loam_attr *from_dir = &r->from.dir;
	const struct loam_attr *to_dir = r->same_dir ? from_dir : &r->to.dir;
	uint32_t uid = r->who->uid;
	if (!r->same_dir && (from_dir->mode & 01000) && uid != 0 && uid != r->from.attr.uid &&
	    (uid != from_dir->uid || r->from.attr.type == LOAM_TYPE_DIR))
		return loam_fail(err, LOAM_E_DENIED, "sticky directory %" PRIu64, r->from.parent);

	bool exchange = r->flags & LOAM_RENAME_EXCHANGE;
	if (!r->to.has_entry && exchange)
		return loam_fail(err, LOAM_E_NOT_FOUND, "nothing to exchange with");
	if (r->to.has_attr && loam_rules_is_locked(&r->to.attr))
		return not_permitted(err, r->to.entry.ino, "is locked");
	if (r->to.has_entry && !exchange && r->to.entry.type == LOAM_TYPE_DIR) {
		int rc = loam_unlink_demand_empty(txn, r->to.entry.ino, r->run, err);
		if (rc < 0)
			return rc;
	}
	if (r->to.has_attr) {
		int rc = loam_rules_sticky(r->who, to_dir, r->to.attr.uid, err);
		if (rc < 0)
			return rc;
	}
	return loam_rules_sticky(r->who, from_dir, r->from.attr.uid, err);
}

/* The inode of `side` now stands in the directory of `other`. */
static void reparent(struct loam_txn *txn, const struct rename *r, struct side *side,
		     const struct side *other)
{
	side->attr.ctime = r->now;
	if (!r->same_dir && side->attr.type != LOAM_TYPE_DIR && side->attr.parent == 0) {
		struct loam_record there =
			loam_rec(LOAM_REC_PARENT, side->entry.ino, other->parent);
		struct loam_record here = loam_rec(LOAM_REC_PARENT, side->entry.ino, side->parent);
		loam_txn_add(txn, &there, 1);
		loam_txn_add(txn, &here, -1);
	} else if (!r->same_dir) {
		side->attr.parent = other->parent;
	}
	loam_txn_put_attr(txn, side->entry.ino, &side->attr);
}

/* A sub-directory leaves `from` for `to`. */
static bool move_link(struct loam_attr *from, struct loam_attr *to)
{
	if (from->nlink > 0)
		from->nlink--;
	to->nlink++;
	return true;
}

static void write_exchange(struct loam_txn *txn, struct rename *r, bool *forced)
{
	if (!r->same_dir && r->from.entry.type == LOAM_TYPE_DIR)
		*forced = move_link(&r->from.dir, &r->to.dir);
	if (!r->same_dir && r->to.entry.type == LOAM_TYPE_DIR)
		*forced = move_link(&r->to.dir, &r->from.dir);
	if (r->to.has_attr)
		reparent(txn, r, &r->to, &r->from);
	loam_txn_put_dentry(txn, r->from.parent, r->from.name, &r->to.entry);
}

static void write_move(struct loam_txn *txn, struct rename *r, struct loam_attr *to_dir,
		       bool *forced_from, bool *forced_to)
{
	bool moves_dir = r->from.entry.type == LOAM_TYPE_DIR;
	loam_txn_delete_dentry(txn, r->from.parent, r->from.name);
	if (!r->same_dir && moves_dir)
		*forced_from = *forced_to = move_link(&r->from.dir, to_dir);
	if (!r->to.has_entry)
		return;
	if (r->to.entry.type == LOAM_TYPE_DIR) {
		to_dir->nlink -= to_dir->nlink > 0;
		*forced_to = true;
		if (r->to.has_attr)
			loam_unlink_delete_dir(txn, r->to.entry.ino);
	} else if (r->to.has_attr) {
		loam_unlink_drop(txn, r->to.parent, r->to.entry.ino, &r->to.attr, r->now, &r->gone);
	}
}

static void write_rename(struct loam_txn *txn, struct rename *r)
{
	struct loam_meta *meta = loam_txn_meta(txn);
	struct loam_attr *to_dir = r->same_dir ? &r->from.dir : &r->to.dir;
	bool forced_from = false, forced_to = false;
	if (r->flags & LOAM_RENAME_EXCHANGE) {
		write_exchange(txn, r, &forced_from);
		forced_to = forced_from;
	} else {
		write_move(txn, r, to_dir, &forced_from, &forced_to);
	}
	reparent(txn, r, &r->from, &r->to);
	loam_txn_put_dentry(txn, r->to.parent, r->to.name, &r->from.entry);

	if (!r->same_dir && loam_rules_touch_dir(meta, &r->from.dir, r->now, forced_from))
		loam_txn_put_attr(txn, r->from.parent, &r->from.dir);
	if (loam_rules_touch_dir(meta, to_dir, r->now, forced_to))
		loam_txn_put_attr(txn, r->to.parent, to_dir);
}

static int rename_fn(struct loam_txn *txn, void *arg, struct loam_err *err)
{
	struct rename *r = arg;
	r->run++;
	r->gone = (struct loam_gone){ 0 };
	loam_namespace_want(txn, r->from.parent, r->from.name);
	loam_namespace_want(txn, r->to.parent, r->to.name);
	int rc = read_entry(txn, &r->from, err);
	if (rc == 0)
		rc = read_entry(txn, &r->to, err);
	if (rc == 0)
		rc = check_names(r, err);
	if (rc != 0)
		return rc < 0 ? rc : 0;

	rc = read_dir(txn, &r->from, err);
	if (rc == 0 && !r->same_dir)
		rc = read_dir(txn, &r->to, err);
	if (rc == 0)
		rc = read_attr(txn, &r->from, err);
	if (rc == 0)
		rc = read_attr(txn, &r->to, err);
	if (rc < 0)
		return rc;
	if (!r->from.has_attr)
		return loam_fail(err, LOAM_E_NOT_FOUND, "no inode %" PRIu64, r->from.entry.ino);

	rc = check_dirs(txn, r, err);
	if (rc == 0)
		rc = check_target(txn, r, err);
	if (rc < 0)
		return rc;

	write_rename(txn, r);
	return 0;
}

static int check_arguments(struct loam_meta *meta, const struct rename *r, struct loam_err *err)
{
	int rc = loam_rules_writable(meta, err);
	if (rc < 0)
		return rc;
	if (r->flags & 4)
		return loam_fail(err, LOAM_E_UNSUPPORTED, "whiteouts are not offered");
	if (r->flags > LOAM_RENAME_EXCHANGE)
		return loam_fail(err, LOAM_E_INVALID, "rename flags %u", r->flags);

	rc = loam_rules_not_trash(r->who, r->from.parent, r->from.name, err);
	if (rc == 0)
		rc = loam_rules_not_trash(&loam_who_root, r->to.parent, r->to.name, err);
	if (rc == 0 && r->to.parent >= LOAM_INO_TRASH_ROOT)
		rc = not_permitted(err, r->to.parent, "is trash");
	if (rc == 0)
		rc = loam_rules_name(r->from.name, err);
	if (rc == 0)
		rc = loam_rules_name(r->to.name, err);
	if (rc == 0 && (loam_rules_is_dots(r->from.name) || loam_rules_is_dots(r->to.name)))
		rc = loam_fail(err, LOAM_E_BUSY, "'.' and '..' cannot be renamed");
	return rc;
}

int loam_meta_rename(struct loam_meta *meta, const struct loam_who *who, uint64_t from_parent,
		     struct loam_name from, uint64_t to_parent, struct loam_name to, unsigned flags,
		     uint64_t out_inos[2], struct loam_err *err)
{
	struct rename r = { .who = who, .flags = flags, .now = loam_clock_now() };
	r.from.parent = from_parent;
	r.from.name = from;
	r.to.parent = to_parent;
	r.to.name = to;
	r.same_dir = from_parent == to_parent;
	int rc = check_arguments(meta, &r, err);
	if (rc < 0)
		return rc;

	loam_namespace_prime(meta, from_parent, from);
	rc = loam_meta_run(meta, LOAM_TXN_GUESS, rename_fn, &r, err);
	if (rc < 0)
		return rc;

	loam_unlink_after(meta, &r.gone);
	if (out_inos) {
		out_inos[0] = r.from.entry.ino;
		out_inos[1] = r.to.has_entry ? r.to.entry.ino : 0;
	}
	return 0;
}
