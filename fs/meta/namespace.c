/*
 * lookup, create (files, directories, symlinks, special files) and readlink: step 3 and 8 of the
 * push make names, step 9 finds them.
 *
 * lookup always asks the store (one trip: the engine's fast path, or two reads) and leaves what it
 * saw in the record cache, absent names too, so that the change that follows costs one trip.
 */
#include "fs/meta/namespace.h"

#include "core/auto.h"
#include "core/clock.h"
#include "fs/meta/meta_internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define FIND_AGAIN 3

int64_t loam_meta_value_number(const struct loam_value *value)
{
	char text[24] = "";
	if (!value->present || value->bytes >= sizeof(text))
		return 0;

	if (value->bytes > 0)
		memcpy(text, value->data, value->bytes);
	return strtoll(text, NULL, 10);
}

void loam_namespace_want(struct loam_txn *txn, uint64_t parent, struct loam_name name)
{
	struct loam_meta *meta = loam_txn_meta(txn);
	struct loam_record record = loam_rec_named(LOAM_REC_DENTRY, parent, name);
	struct loam_value known = { 0 };
	loam_txn_want_attr(txn, parent);
	loam_txn_want_dentry(txn, parent, name);
	if (!meta->cache || !loam_record_cache_get(meta->cache, &record, &known))
		return;

	struct loam_dentry entry;
	struct loam_err ignored = { 0 };
	if (known.present && loam_dentry_decode(known.data, known.bytes, &entry, &ignored) == 0)
		loam_txn_want_attr(txn, entry.ino);
	loam_value_release(&known);
}

/* 1 with both values (release them), 0 no such name; remembered either way. */
static int find_once(struct loam_meta *meta, uint64_t parent, struct loam_name name,
		     struct loam_dentry *out_entry, struct loam_value *out_attr,
		     struct loam_err *err)
{
	const struct loam_engine_ops *ops = meta->engine->ops;
	struct loam_record record = loam_rec_named(LOAM_REC_DENTRY, parent, name);
	struct loam_value entry = { 0 }, attr = { 0 };
	int rc = ops->lookup ? ops->lookup(meta->engine, parent, name, &entry, &attr, err)
			     : ops->read(meta->engine, &record, 1, &entry, err);
	if (rc < 0)
		return rc;

	loam_record_cache_put(meta->cache, &record, &entry);
	if (!entry.present)
		return 0;

	rc = loam_dentry_decode(entry.data, entry.bytes, out_entry, err);
	loam_value_release(&entry);
	struct loam_record inode = loam_rec(LOAM_REC_ATTR, rc == 0 ? out_entry->ino : 0, 0);
	if (rc == 0 && !ops->lookup)
		rc = ops->read(meta->engine, &inode, 1, &attr, err);
	if (rc < 0) {
		loam_value_release(&attr);
		return rc;
	}
	loam_record_cache_put(meta->cache, &inode, &attr);
	*out_attr = attr;
	return 1;
}

/* An engine that reads the two one after the other may meet a name whose inode has just been
 * replaced and removed: the name is then another's by now. A name that stays without an inode is
 * damage, and is answered as such. */
static int find(struct loam_meta *meta, uint64_t parent, struct loam_name name,
		struct loam_dentry *out_entry, struct loam_value *out_attr, struct loam_err *err)
{
	int rc = find_once(meta, parent, name, out_entry, out_attr, err);
	for (int again = 0; rc == 1 && !out_attr->present && again < FIND_AGAIN; again++)
		rc = find_once(meta, parent, name, out_entry, out_attr, err);
	return rc;
}

void loam_namespace_prime(struct loam_meta *meta, uint64_t parent, struct loam_name name)
{
	struct loam_record record = loam_rec_named(LOAM_REC_DENTRY, parent, name);
	struct loam_value known = { 0 };
	struct loam_dentry entry;
	struct loam_err ignored = { 0 };
	if (!meta->engine->ops->lookup)
		return;
	if (!loam_record_cache_get(meta->cache, &record, &known))
		find(meta, parent, name, &entry, &known, &ignored);
	loam_value_release(&known);
}

/* "." and "..", and ".trash" of the root. 1 answered, 0 an ordinary name. */
static int lookup_special(struct loam_meta *meta, uint64_t parent, struct loam_name name,
			  uint64_t *out_ino, struct loam_attr *out_attr, struct loam_err *err)
{
	uint64_t ino = parent;
	if (parent == LOAM_INO_ROOT && loam_rules_name_is(name, ".trash")) {
		ino = LOAM_INO_TRASH_ROOT;
	} else if (loam_rules_name_is(name, "..") && parent != LOAM_INO_ROOT) {
		struct loam_attr dir;
		int rc = loam_meta_getattr(meta, parent, &dir, err);
		if (rc < 0)
			return rc;
		if (dir.type != LOAM_TYPE_DIR)
			return loam_fail(err, LOAM_E_NOT_DIR, "inode %" PRIu64 " is no directory",
					 parent);
		ino = dir.parent;
	} else if (!loam_rules_is_dots(name)) {
		return 0;
	}

	int rc = loam_meta_getattr(meta, ino, out_attr, err);
	if (rc < 0)
		return rc;
	*out_ino = ino;
	return 1;
}

int loam_meta_lookup(struct loam_meta *meta, const struct loam_who *who, uint64_t parent,
		     struct loam_name name, uint64_t *out_ino, struct loam_attr *out_attr,
		     struct loam_err *err)
{
	int rc = loam_rules_alive(meta, err);
	if (rc == 0)
		rc = loam_rules_name(name, err);
	if (rc < 0)
		return rc;

	if (who->check && who->uid != 0) {
		struct loam_attr dir;
		rc = loam_meta_getattr(meta, parent, &dir, err);
		if (rc == 0)
			rc = loam_meta_access(meta, who, parent, &dir, 1, err);
		if (rc < 0)
			return rc;
	}

	rc = lookup_special(meta, parent, name, out_ino, out_attr, err);
	if (rc != 0)
		return rc < 0 ? rc : 0;

	struct loam_dentry entry;
	struct loam_value value = { 0 };
	int found = find(meta, parent, name, &entry, &value, err);
	if (found < 0)
		return found;
	if (!found)
		return loam_fail(err, LOAM_E_NOT_FOUND, "no such name in inode %" PRIu64, parent);

	struct loam_attr attr = { .type = entry.type };
	if (value.present)
		rc = loam_attr_decode(value.data, value.bytes, &attr, err);
	loam_value_release(&value);
	if (rc < 0)
		return loam_context(err, "inode %" PRIu64, entry.ino);

	*out_ino = entry.ino;
	*out_attr = attr;
	return 0;
}

struct create {
	const struct loam_who *who;
	const struct loam_create *what;
	uint64_t parent;
	struct loam_name name;
	struct timespec now;
	uint64_t new_ino; /* taken when it is first needed, kept for the next run */
	uint64_t ino;	  /* made, or present */
	struct loam_attr attr;
};

/* The name is taken: what is there is part of the answer. */
static int answer_present(struct loam_txn *txn, struct create *c, const struct loam_dentry *entry,
			  struct loam_err *err)
{
	struct loam_attr attr = { .type = entry->type };
	int found = loam_txn_attr(txn, entry->ino, &attr, err);
	if (found < 0)
		return found;

	c->ino = entry->ino;
	c->attr = attr;
	return loam_fail(err, LOAM_E_EXISTS, "the name is taken by inode %" PRIu64, entry->ino);
}

/* Mode and ACLs of a child of a directory with a default ACL: umask does not count (§4.6). */
static int inherit_acl(struct loam_meta *meta, const struct loam_attr *dir, uint16_t mode,
		       struct loam_attr *child, struct loam_err *err)
{
	struct loam_acl acl;
	int rc = loam_meta_acl_rule(meta, dir->default_acl, &acl, err);
	if (rc < 0)
		return loam_context(err, "default ACL %u", dir->default_acl);

	if (child->type == LOAM_TYPE_DIR)
		child->default_acl = dir->default_acl;
	if (loam_acl_is_minimal(&acl)) {
		child->mode = mode & (07000 | loam_acl_mode(&acl));
		loam_acl_release(&acl);
		return 0;
	}

	acl.owner &= mode >> 6 & 7;
	acl.mask &= mode >> 3 & 7;
	acl.other &= mode & 7;
	child->mode = (uint16_t)((mode & 07000) | acl.owner << 6 | acl.mask << 3 | acl.other);
	rc = loam_meta_acl_intern(meta, &acl, &child->access_acl, err);
	loam_acl_release(&acl);
	return rc;
}

static int new_attr(struct loam_meta *meta, const struct create *c, const struct loam_attr *dir,
		    struct loam_attr *out, struct loam_err *err)
{
	uint16_t mode = c->what->mode & 07777;
	bool is_dir = c->what->type == LOAM_TYPE_DIR;
	*out = (struct loam_attr){
		.type = (uint8_t)c->what->type,
		.flags = (uint8_t)((dir->flags & LOAM_FLAG_SKIP_TRASH) | c->what->set_flags),
		.tier = dir->tier,
		.uid = c->who->uid,
		.gid = dir->mode & 02000 ? dir->gid : c->who->gid,
		.nlink = is_dir ? 2 : 1,
		.length = is_dir ? LOAM_DIR_LENGTH : 0,
		.parent = c->parent,
		.atime = c->now,
		.mtime = c->now,
		.ctime = c->now,
	};
	if (c->what->type == LOAM_TYPE_SYMLINK)
		out->length = strlen(c->what->target);
	else if (!is_dir && c->what->type != LOAM_TYPE_FILE)
		out->rdev = c->what->rdev;

	out->mode = mode & (uint16_t)~c->who->umask;
	if (c->what->type == LOAM_TYPE_SYMLINK) {
		out->mode = 0777;
	} else if (dir->default_acl) {
		int rc = inherit_acl(meta, dir, mode, out, err);
		if (rc < 0)
			return rc;
	}
	if (!(dir->mode & 02000))
		return 0;
	if (is_dir)
		out->mode |= 02000;
	else if ((out->mode & 02010) == 02010 && c->who->check && c->who->uid != 0 &&
		 !loam_rules_in_group(c->who, dir->gid))
		out->mode &= (uint16_t)~02000;
	return 0;
}

static int check_create(struct loam_txn *txn, struct create *c, struct loam_attr *out_dir,
			struct loam_err *err)
{
	loam_namespace_want(txn, c->parent, c->name);
	int found = loam_txn_attr(txn, c->parent, out_dir, err);
	if (found < 0)
		return found;
	if (!found)
		return loam_fail(err, LOAM_E_NOT_FOUND, "no inode %" PRIu64, c->parent);
	if (out_dir->type != LOAM_TYPE_DIR)
		return loam_fail(err, LOAM_E_NOT_DIR, "inode %" PRIu64 " is no directory",
				 c->parent);
	if (loam_rules_in_trash(out_dir))
		return loam_fail(err, LOAM_E_NOT_FOUND, "inode %" PRIu64 " is in the trash",
				 c->parent);

	int rc = loam_rules_change_dir(loam_txn_meta(txn), c->who, c->parent, out_dir, err);
	if (rc < 0)
		return rc;
	if (out_dir->flags & LOAM_FLAG_IMMUTABLE)
		return loam_fail(err, LOAM_E_NOT_PERMITTED, "inode %" PRIu64 " is immutable",
				 c->parent);

	struct loam_dentry entry;
	found = loam_txn_dentry(txn, c->parent, c->name, &entry, err);
	if (found < 0)
		return found;
	return found ? answer_present(txn, c, &entry, err) : 0;
}

static int create_fn(struct loam_txn *txn, void *arg, struct loam_err *err)
{
	struct create *c = arg;
	struct loam_meta *meta = loam_txn_meta(txn);
	struct loam_attr dir;
	c->ino = 0;
	int rc = check_create(txn, c, &dir, err);
	if (rc < 0)
		return rc;

	if (c->new_ino == 0) {
		rc = loam_meta_new_inode(meta, &c->new_ino, err);
		if (rc < 0)
			return rc;
	}
	rc = new_attr(meta, c, &dir, &c->attr, err);
	if (rc < 0)
		return rc;

	c->ino = c->new_ino;
	bool is_dir = c->attr.type == LOAM_TYPE_DIR;
	struct loam_dentry entry = { .type = c->attr.type, .ino = c->ino };
	loam_txn_put_attr(txn, c->ino, &c->attr);
	loam_txn_put_dentry(txn, c->parent, c->name, &entry);
	if (c->attr.type == LOAM_TYPE_SYMLINK) {
		struct loam_record target = loam_rec(LOAM_REC_SYMLINK, c->ino, 0);
		loam_txn_put(txn, &target, c->what->target, strlen(c->what->target));
	}
	dir.nlink += is_dir;
	if (loam_rules_touch_dir(meta, &dir, c->now, is_dir))
		loam_txn_put_attr(txn, c->parent, &dir);
	loam_txn_add_usage(txn, 4096, 1);
	return 0;
}

static int check_arguments(struct loam_meta *meta, const struct create *c, struct loam_err *err)
{
	const struct loam_create *what = c->what;
	if (what->type < LOAM_TYPE_FILE || what->type > LOAM_TYPE_SOCKET)
		return loam_fail(err, LOAM_E_INVALID, "inode type %d", what->type);
	if (c->parent >= LOAM_INO_TRASH_ROOT)
		return loam_fail(err, LOAM_E_NOT_PERMITTED, "nothing is made in the trash");

	int rc = loam_rules_not_trash(c->who, c->parent, c->name, err);
	if (rc == 0)
		rc = loam_rules_writable(meta, err);
	if (rc < 0)
		return rc;
	if (loam_rules_is_dots(c->name))
		return loam_fail(err, LOAM_E_EXISTS, "the name is taken");

	rc = loam_rules_name(c->name, err);
	if (rc < 0)
		return rc;
	if (what->type == LOAM_TYPE_SYMLINK) {
		if (!what->target || what->target[0] == '\0')
			return loam_fail(err, LOAM_E_INVALID, "a symlink needs a target");
		if (strlen(what->target) > LOAM_SYMLINK_BYTES_MAX)
			return loam_fail(err, LOAM_E_NAME_TOO_LONG, "target over %d bytes",
					 LOAM_SYMLINK_BYTES_MAX);
	}
	return loam_rules_space(meta, 4096, 1, err);
}

int loam_meta_create(struct loam_meta *meta, const struct loam_who *who, uint64_t parent,
		     struct loam_name name, const struct loam_create *create, uint64_t *out_ino,
		     struct loam_attr *out_attr, struct loam_err *err)
{
	struct create c = { .who = who, .what = create, .parent = parent, .name = name };
	int rc = check_arguments(meta, &c, err);
	if (rc < 0)
		return rc;

	c.now = loam_clock_now();
	rc = loam_meta_run(meta, LOAM_TXN_GUESS, create_fn, &c, err);
	if (rc < 0 && (rc != -LOAM_E_EXISTS || c.ino == 0))
		return rc;

	*out_ino = c.ino;
	*out_attr = c.attr;
	return rc;
}

int loam_meta_readlink(struct loam_meta *meta, uint64_t ino, struct loam_buf *out,
		       struct loam_err *err)
{
	int rc = loam_rules_alive(meta, err);
	if (rc < 0)
		return rc;

	struct loam_record record = loam_rec(LOAM_REC_SYMLINK, ino, 0);
	struct loam_value target;
	rc = meta->engine->ops->read(meta->engine, &record, 1, &target, err);
	if (rc < 0)
		return rc;

	if (target.present && target.bytes > 0) {
		rc = loam_buf_add(out, target.data, target.bytes, err);
		loam_value_release(&target);
		return rc;
	}
	loam_value_release(&target);

	struct loam_attr attr;
	rc = loam_meta_getattr(meta, ino, &attr, err);
	if (rc < 0)
		return rc;
	if (attr.type != LOAM_TYPE_SYMLINK)
		return loam_fail(err, LOAM_E_INVALID, "inode %" PRIu64 " is no symlink", ino);
	return loam_fail(err, LOAM_E_CORRUPT, "symlink %" PRIu64 " has no target", ino);
}
