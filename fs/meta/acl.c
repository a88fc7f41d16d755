/*
 * Reading and setting the ACLs of an inode (volume format §4.10): the gate of a namespace and the
 * rights that users set on the mount.
 *
 * Invariant: with an access ACL the group bits of the mode show the rule's mask.
 */
#include "core/clock.h"
#include "fs/meta/meta_internal.h"

#include <inttypes.h>

int loam_meta_get_acl(struct loam_meta *meta, uint64_t ino, enum loam_acl_type type,
		      struct loam_acl *out, struct loam_err *err)
{
	struct loam_attr attr;
	int rc = loam_meta_getattr(meta, ino, &attr, err);
	if (rc < 0)
		return rc;

	uint32_t id = type == LOAM_ACL_ACCESS ? attr.access_acl : attr.default_acl;
	if (id == 0)
		return loam_fail(err, LOAM_E_NO_DATA, "inode %" PRIu64 " has no such ACL", ino);
	return loam_meta_acl_rule(meta, id, out, err);
}

struct set_acl {
	const struct loam_who *who;
	uint64_t ino;
	enum loam_acl_type type;
	const struct loam_acl *acl;
	struct timespec now;
	struct loam_attr after;
};

/* The rule as it is stored: classes that it leaves out are taken from the mode. */
static int stored_rule(struct loam_meta *meta, const struct set_acl *s, struct loam_attr *attr,
		       uint32_t *out_id, struct loam_err *err)
{
	struct loam_acl acl;
	int rc = loam_acl_copy(s->acl, &acl, err);
	if (rc < 0)
		return rc;

	if (acl.owner == LOAM_ACL_ABSENT)
		acl.owner = attr->mode >> 6 & 7;
	if (acl.group == LOAM_ACL_ABSENT)
		acl.group = attr->mode >> 3 & 7;
	if (acl.other == LOAM_ACL_ABSENT)
		acl.other = attr->mode & 7;
	if (s->type == LOAM_ACL_ACCESS)
		attr->mode = (attr->mode & 07000) | loam_acl_mode(&acl);
	if (s->type == LOAM_ACL_ACCESS && loam_acl_is_minimal(&acl))
		*out_id = 0;
	else
		rc = loam_meta_acl_intern(meta, &acl, out_id, err);
	loam_acl_release(&acl);
	return rc;
}

static int set_acl_fn(struct loam_txn *txn, void *arg, struct loam_err *err)
{
	struct set_acl *s = arg;
	struct loam_attr attr;
	int found = loam_txn_attr(txn, s->ino, &attr, err);
	if (found < 0)
		return found;
	if (!found)
		return loam_fail(err, LOAM_E_NOT_FOUND, "no inode %" PRIu64, s->ino);
	if ((s->who->uid != 0 && s->who->uid != attr.uid) || (attr.flags & LOAM_FLAG_IMMUTABLE) ||
	    loam_rules_in_trash(&attr))
		return loam_fail(err, LOAM_E_NOT_PERMITTED,
				 "uid %u may not set an ACL of inode %" PRIu64, s->who->uid,
				 s->ino);
	if (s->type == LOAM_ACL_DEFAULT && attr.type != LOAM_TYPE_DIR)
		return loam_fail(err, LOAM_E_DENIED, "a default ACL is for directories");

	uint32_t *id = s->type == LOAM_ACL_ACCESS ? &attr.access_acl : &attr.default_acl;
	uint32_t new_id = 0, old_id = *id;
	uint16_t old_mode = attr.mode;
	if (s->who->uid != 0 && !loam_rules_in_group(s->who, attr.gid))
		attr.mode &= (uint16_t)~02000;
	if (!loam_acl_is_empty(s->acl)) {
		int rc = stored_rule(loam_txn_meta(txn), s, &attr, &new_id, err);
		if (rc < 0)
			return rc;
	}
	*id = new_id;
	if (new_id != old_id || attr.mode != old_mode) {
		attr.ctime = s->now;
		loam_txn_put_attr(txn, s->ino, &attr);
	}
	s->after = attr;
	return 0;
}

int loam_meta_set_acl(struct loam_meta *meta, const struct loam_who *who, uint64_t ino,
		      enum loam_acl_type type, const struct loam_acl *acl,
		      struct loam_attr *out_attr, struct loam_err *err)
{
	int rc = loam_rules_writable(meta, err);
	if (rc < 0)
		return rc;
	if (!meta->format->enable_acl)
		return loam_fail(err, LOAM_E_UNSUPPORTED, "the volume has no ACLs (EnableACL)");
	if (ino >= LOAM_INO_SPECIAL)
		return loam_fail(err, LOAM_E_NOT_PERMITTED, "inode %" PRIu64 " is special", ino);

	struct set_acl s = { .who = who, .ino = ino, .type = type, .acl = acl };
	s.now = loam_clock_now();
	rc = loam_meta_run(meta, LOAM_TXN_GUESS, set_acl_fn, &s, err);
	if (rc < 0)
		return rc;
	if (out_attr)
		*out_attr = s.after;
	return 0;
}
