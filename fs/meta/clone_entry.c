/*
 * What one inode of a clone takes over from its source.
 *
 *                  default                    PRESERVE (own or root)   SERVICE (publish)
 *   owner, group   who (setgid target: its)   root: source             source
 *   mode           the caller's own copy:     source                   source
 *                  directories u+rwx, files
 *                  u+rw; with user.loam.oid
 *                  no write bits (unless
 *                  WRITABLE); umask
 *   set-id bits    never                      root: kept               never
 *   times          now                        kept                     kept
 *   ACLs           never; the owning group gets what its entry says, not the mask
 *                                             root: kept               never
 *   flags          skip-trash as the target   root: source             as the target
 *   xattrs         user.*; root: also         root: all                user.*
 *                  trusted.* and others,
 *                  but security.capability
 *
 * Source: design.md §4 (clone), reliability.md fs-4.
 */
#include "fs/meta/clone.h"

#include "core/auto.h"
#include "fs/meta/rules.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define OID_XATTR	 "user.loam.oid"
#define CAPABILITY_XATTR "security.capability"

static bool is_root(const struct loam_clone *clone)
{
	return clone->who->uid == 0;
}

/* Root keeps everything: owner, set-id bits, ACLs, flags, xattrs. */
static bool keeps_all(const struct loam_clone *clone)
{
	return is_root(clone) && (clone->flags & LOAM_CLONE_PRESERVE) &&
	       !(clone->flags & LOAM_CLONE_SERVICE);
}

uint32_t loam_clone_chunk_count(const struct loam_attr *attr)
{
	return attr->type == LOAM_TYPE_FILE ? loam_chunk_count(attr->length) : 0;
}

void loam_clone_want_entry(struct loam_txn *txn, uint64_t from, uint8_t type)
{
	struct loam_record xattrs = loam_rec(LOAM_REC_XATTRS, from, 0);
	struct loam_record target = loam_rec(LOAM_REC_SYMLINK, from, 0);
	struct loam_record chunk = loam_rec(LOAM_REC_CHUNK, from, 0);
	loam_txn_want_attr(txn, from);
	loam_txn_want(txn, &xattrs);
	if (type == LOAM_TYPE_SYMLINK)
		loam_txn_want(txn, &target);
	if (type == LOAM_TYPE_FILE)
		loam_txn_want(txn, &chunk);
}

static int may_clone(const struct loam_clone *clone, uint64_t from, const struct loam_attr *attr,
		     struct loam_err *err)
{
	switch (attr->type) {
	case LOAM_TYPE_FILE:
		return loam_meta_access(clone->meta, clone->who, from, attr, 4, err);
	case LOAM_TYPE_DIR:
		return loam_meta_access(clone->meta, clone->who, from, attr, 4 | 1, err);
	case LOAM_TYPE_SYMLINK:
		return 0;
	default:
		return is_root(clone) ? 0
				      : loam_fail(err, LOAM_E_NOT_PERMITTED,
						  "inode %llu is a device, socket or pipe",
						  (unsigned long long)from);
	}
}

int loam_clone_read_attr(struct loam_txn *txn, const struct loam_clone *clone, uint64_t from,
			 bool checked, struct loam_attr *out, struct loam_err *err)
{
	int found;
	if (checked) {
		found = loam_txn_attr(txn, from, out, err);
	} else {
		struct loam_record record = loam_rec(LOAM_REC_ATTR, from, 0);
		const struct loam_value *value = NULL;
		found = loam_txn_peek(txn, &record, &value, err);
		if (found > 0 && loam_attr_decode(value->data, value->bytes, out, err) < 0)
			return -(int)err->code;
	}
	if (found <= 0)
		return found;
	int rc = may_clone(clone, from, out, err);
	return rc < 0 ? rc : 1;
}

/* ---- xattrs ------------------------------------------------------------------------------- */

static bool name_starts(struct loam_name name, const char *prefix)
{
	size_t bytes = strlen(prefix);
	return name.bytes >= bytes && memcmp(name.data, prefix, bytes) == 0;
}

static bool takes_xattr(const struct loam_clone *clone, struct loam_name name)
{
	if (name_starts(name, "user.") || keeps_all(clone))
		return true;
	return is_root(clone) && !(clone->flags & LOAM_CLONE_SERVICE) &&
	       !loam_rules_name_is(name, CAPABILITY_XATTR);
}

static int put_xattrs(struct loam_txn *txn, const struct loam_clone *clone, uint64_t from,
		      uint64_t to, bool *out_has_oid, struct loam_err *err)
{
	struct loam_record record = loam_rec(LOAM_REC_XATTRS, from, 0);
	const struct loam_value *borrowed = NULL;
	*out_has_oid = false;
	int found = loam_txn_peek(txn, &record, &borrowed, err);
	if (found <= 0 || borrowed->bytes == 0)
		return found < 0 ? found : 0;

	loam_auto_free uint8_t *copy = malloc(borrowed->bytes);
	if (!copy)
		return loam_fail(err, LOAM_E_BUSY, "no memory for the xattrs of an inode");
	memcpy(copy, borrowed->data, borrowed->bytes);
	struct loam_value packed = { .present = true, .data = copy, .bytes = borrowed->bytes };
	size_t offset = 0;
	for (;;) {
		struct loam_name name;
		const void *data;
		uint32_t data_bytes;
		int rc = loam_packed_next(&packed, &offset, &name, &data, &data_bytes, err);
		if (rc <= 0)
			return rc;
		if (!takes_xattr(clone, name))
			continue;
		*out_has_oid = *out_has_oid || loam_rules_name_is(name, OID_XATTR);
		struct loam_record xattr = loam_rec_named(LOAM_REC_XATTR, to, name);
		loam_txn_put(txn, &xattr, data, data_bytes);
	}
}

/* ---- attr --------------------------------------------------------------------------------- */

/* Where an ACL stood, the group bits of the mode are its mask: what the group itself may do is its
 * own entry. */
static int mode_without_acl(const struct loam_clone *clone, const struct loam_attr *attr,
			    uint16_t *out_mode, struct loam_err *err)
{
	*out_mode = attr->mode;
	if (attr->access_acl == 0)
		return 0;
	struct loam_acl acl;
	loam_acl_init(&acl);
	int rc = loam_meta_acl_rule(clone->meta, attr->access_acl, &acl, err);
	if (rc < 0)
		return loam_context(err, "ACL %u", attr->access_acl);
	uint16_t group = acl.group == LOAM_ACL_ABSENT ? 0 : acl.group & 7;
	*out_mode &= (uint16_t) ~(S_IRWXG & ~(group << 3));
	loam_acl_release(&acl);
	return 0;
}

static uint16_t own_mode(const struct loam_clone *clone, uint8_t type, uint16_t mode, bool has_oid)
{
	uint16_t others = clone->who->umask & (S_IRWXG | S_IRWXO);
	if (type == LOAM_TYPE_SYMLINK)
		return 0777;
	if (type == LOAM_TYPE_DIR)
		return (uint16_t)(((mode & 01777) | S_IRWXU) & ~others) |
		       (clone->setgid ? S_ISGID : 0);
	mode &= 0777;
	if (has_oid && !(clone->flags & LOAM_CLONE_WRITABLE))
		return (uint16_t)(((mode & ~0222) | S_IRUSR) & ~others);
	return (uint16_t)((mode | S_IRUSR | S_IWUSR) & ~others);
}

static void take_times(const struct loam_clone *clone, struct loam_attr *out)
{
	if (keeps_all(clone))
		return;
	out->ctime = clone->now;
	if (clone->flags & (LOAM_CLONE_PRESERVE | LOAM_CLONE_SERVICE))
		return;
	out->atime = clone->now;
	out->mtime = clone->now;
}

static int new_attr(const struct loam_clone *clone, const struct loam_attr *from, bool has_oid,
		    uint64_t parent, struct loam_attr *out, struct loam_err *err)
{
	*out = *from;
	out->parent = parent;
	if (from->type != LOAM_TYPE_DIR)
		out->nlink = 1;
	take_times(clone, out);
	if (keeps_all(clone))
		return 0;

	uint16_t mode;
	int rc = mode_without_acl(clone, from, &mode, err);
	if (rc < 0)
		return rc;
	out->access_acl = 0;
	out->default_acl = 0;
	out->flags = clone->inherited_flags;
	if (clone->flags & LOAM_CLONE_SERVICE) {
		out->mode = mode & 01777;
		return 0;
	}
	out->uid = clone->who->uid;
	out->gid = clone->gid;
	out->mode =
		clone->flags & LOAM_CLONE_PRESERVE
			? (uint16_t)((mode & 01777) |
				     (from->type == LOAM_TYPE_DIR && clone->setgid ? S_ISGID : 0))
			: own_mode(clone, from->type, mode, has_oid);
	return 0;
}

static int put_target(struct loam_txn *txn, uint64_t from, uint64_t to, struct loam_err *err)
{
	struct loam_record source = loam_rec(LOAM_REC_SYMLINK, from, 0);
	struct loam_record target = loam_rec(LOAM_REC_SYMLINK, to, 0);
	const struct loam_value *borrowed = NULL;
	int found = loam_txn_peek(txn, &source, &borrowed, err);
	if (found < 0)
		return found;
	if (found == 0 || borrowed->bytes == 0)
		return loam_fail(err, LOAM_E_CORRUPT, "symlink %llu has no target",
				 (unsigned long long)from);
	loam_auto_free void *copy = malloc(borrowed->bytes);
	if (!copy)
		return loam_fail(err, LOAM_E_BUSY, "no memory for a symlink");
	size_t bytes = borrowed->bytes;
	memcpy(copy, borrowed->data, bytes);
	loam_txn_put(txn, &target, copy, bytes);
	return 0;
}

int loam_clone_put_inode(struct loam_txn *txn, const struct loam_clone *clone, uint64_t from,
			 const struct loam_attr *attr, uint64_t to, uint64_t to_parent,
			 struct loam_attr *out_attr, struct loam_err *err)
{
	bool has_oid;
	int rc = put_xattrs(txn, clone, from, to, &has_oid, err);
	if (rc < 0)
		return rc;
	if (attr->type == LOAM_TYPE_SYMLINK) {
		rc = put_target(txn, from, to, err);
		if (rc < 0)
			return rc;
	}
	rc = new_attr(clone, attr, has_oid, to_parent, out_attr, err);
	if (rc < 0)
		return rc;
	loam_txn_put_attr(txn, to, out_attr);
	return 0;
}

int loam_clone_put_chunks(struct loam_txn *txn, uint64_t from, uint64_t to, uint32_t first,
			  uint32_t count, struct loam_err *err)
{
	for (uint32_t i = 0; i < count; i++) {
		loam_auto_free struct loam_slice *slices = NULL;
		size_t slice_count;
		int rc = loam_txn_chunk(txn, from, first + i, &slices, &slice_count, err);
		if (rc < 0)
			return rc;
		if (slice_count > 0)
			loam_txn_append_slices(txn, to, first + i, slices, slice_count);
		for (size_t s = 0; s < slice_count; s++) {
			if (slices[s].id > 0)
				loam_txn_ref_slice(txn, slices[s].id, slices[s].size, 1);
		}
	}
	return 0;
}
