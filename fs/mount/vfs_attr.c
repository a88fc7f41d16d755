/*
 * Attributes and extended attributes of the mounted file system (vfs.h). Serves step 9.
 *
 * system.posix_acl_* is answered from the attributes at hand and the table of rules: the kernel
 * asks for it right after the attributes themselves, on every path, so a trip here would double the
 * cost of opening anything.
 */
#include "fs/mount/vfs_internal.h"

#include "core/limits.h"

#include <string.h>
#include <sys/stat.h>

static const char acl_access_name[] = "system.posix_acl_access";
static const char acl_default_name[] = "system.posix_acl_default";

void loam_vfs_overlay(struct loam_vfs *vfs, uint64_t ino, struct loam_attr *attr)
{
	if (attr->type == LOAM_TYPE_FILE)
		loam_file_stat(vfs->data, ino, attr);
}

void loam_vfs_changed(struct loam_vfs *vfs, uint64_t ino, const struct loam_attr *attr)
{
	struct loam_attr seen = *attr;
	loam_vfs_overlay(vfs, ino, &seen);
	loam_nodes_saw(vfs->nodes, ino, &seen, loam_clock_ns());
}

int loam_vfs_settle(struct loam_vfs *vfs, uint64_t ino, struct loam_err *err)
{
	struct loam_file *file = loam_file_find(vfs->data, ino);
	if (!file)
		return 0;
	int rc = loam_file_flush(file, err);
	loam_file_put(file);
	return rc;
}

/*
 * A directory that was removed while somebody stands in it or has it open: as on any Unix it can be
 * asked, and has no links and nothing in it. The volume keeps no record of it (only files are
 * sustained), so its times are those of the question. false: the inode is no directory.
 */
static bool removed_dir(struct loam_vfs *vfs, uint64_t node, struct loam_attr *out_attr)
{
	struct loam_node_info info;
	if (!loam_nodes_find(vfs->nodes, node, &info) || info.type != LOAM_TYPE_DIR)
		return false;
	struct timespec now = loam_clock_now();
	*out_attr = (struct loam_attr){ .type = LOAM_TYPE_DIR,
					.mode = info.mode,
					.uid = info.uid,
					.gid = info.gid,
					.atime = now,
					.mtime = now,
					.ctime = now };
	return true;
}

int loam_vfs_getattr(struct loam_vfs *vfs, uint64_t node, const struct loam_handle *handle,
		     struct loam_attr *out_attr, uint32_t *out_attr_ms, struct loam_err *err)
{
	uint64_t ino;
	int rc = loam_vfs_inode(vfs, node, &ino, err);
	if (rc)
		return rc;

	/* The kernel asks after every read through a passthrough handle. */
	uint64_t asked_ns = loam_clock_ns();
	uint64_t max_age_ns = handle && handle->backing ? vfs->attr_ns : 0;
	if (max_age_ns > 0 &&
	    loam_nodes_open_attr(vfs->nodes, node, max_age_ns, out_attr, &asked_ns)) {
		*out_attr_ms = loam_vfs_attr_ms(vfs, ino, asked_ns);
		return 0;
	}

	rc = loam_meta_getattr(vfs->meta, ino, out_attr, err);
	if (rc == -LOAM_E_NOT_FOUND && removed_dir(vfs, node, out_attr)) {
		loam_err_clear(err);
		*out_attr_ms = 0;
		return 0;
	}
	if (rc)
		return rc;

	loam_vfs_overlay(vfs, ino, out_attr);
	loam_nodes_saw(vfs->nodes, ino, out_attr, asked_ns);
	*out_attr_ms = loam_vfs_attr_ms(vfs, ino, asked_ns);
	return 0;
}

int loam_vfs_drop_set_id(struct loam_vfs *vfs, const struct loam_caller *caller, uint64_t ino,
			 uint16_t mode, struct loam_err *err)
{
	bool set_gid = (mode & S_ISGID) && (mode & S_IXGRP);
	if (caller->uid == 0 || (!(mode & S_ISUID) && !set_gid))
		return 0;
	struct loam_attr values = { .mode = mode & ~(S_ISUID | (set_gid ? S_ISGID : 0)) };
	struct loam_attr attr;
	int rc = loam_meta_setattr(vfs->meta, &loam_who_root, ino, LOAM_SET_MODE, &values, &attr,
				   err);
	if (rc)
		return rc;

	loam_vfs_changed(vfs, ino, &attr);
	return 0;
}

static int set_length(struct loam_vfs *vfs, struct loam_caller *caller, uint64_t ino,
		      bool by_handle, uint64_t length, struct loam_attr *out_attr,
		      struct loam_err *err)
{
	if (length > LOAM_FILE_LENGTH_MAX)
		return loam_fail(err, LOAM_E_TOO_LARGE, "a length of %llu bytes",
				 (unsigned long long)length);
	int rc = loam_vfs_settle(vfs, ino, err);
	if (rc)
		return rc;

	struct loam_who who = loam_caller_who(caller);
	rc = loam_meta_truncate(vfs->meta, &who, ino, length, by_handle, out_attr, err);
	if (rc)
		return rc;

	loam_vfs_changed(vfs, ino, out_attr);
	rc = loam_vfs_drop_set_id(vfs, caller, ino, out_attr->mode, err);
	if (rc || !(out_attr->mode & (S_ISUID | S_ISGID)))
		return rc;
	return loam_meta_getattr(vfs->meta, ino, out_attr, err);
}

/* What the kernel is told after a change of ours. */
static void answer_attr(struct loam_vfs *vfs, uint64_t ino, struct loam_attr *attr,
			uint32_t *out_attr_ms)
{
	loam_vfs_overlay(vfs, ino, attr);
	uint64_t now = loam_clock_ns();
	loam_nodes_saw(vfs->nodes, ino, attr, now);
	*out_attr_ms = loam_vfs_attr_ms(vfs, ino, now);
}

/* 1 when ino is a gate: it never gets a write bit for others than its owner on the mount. */
static int is_gate(struct loam_vfs *vfs, uint64_t ino, struct loam_err *err)
{
	uint64_t gate = 0;
	int found = vfs->gates ? loam_gates_find(vfs->gates, ino, &gate, err) : 0;
	return found < 0 ? found : found == 1 && gate == ino;
}

int loam_vfs_setattr(struct loam_vfs *vfs, struct loam_caller *caller, uint64_t node,
		     const struct loam_handle *handle, unsigned set, const struct loam_attr *values,
		     const uint64_t *length, struct loam_attr *out_attr, uint32_t *out_attr_ms,
		     struct loam_err *err)
{
	uint64_t ino;
	int rc = loam_vfs_admit(vfs, caller, err);
	if (!rc)
		rc = loam_vfs_inode(vfs, node, &ino, err);
	if (rc)
		return rc;
	if (length) {
		rc = set_length(vfs, caller, ino, handle && handle->writes, *length, out_attr, err);
		if (rc)
			return rc;
		set &= ~(unsigned)LOAM_SET_CTIME; /* the truncate has set it */
		if (set == 0) {
			answer_attr(vfs, ino, out_attr, out_attr_ms);
			return 0;
		}
	}
	/* A later commit of what is already written would set the time again, and drop set-id bits.
	 */
	if (set & (LOAM_SET_MTIME | LOAM_SET_MTIME_NOW | LOAM_SET_MODE)) {
		rc = loam_vfs_settle(vfs, ino, err);
		if (rc)
			return rc;
	}

	struct loam_attr wanted = *values;
	if (set & LOAM_SET_MODE) {
		int masked = is_gate(vfs, ino, err);
		if (masked < 0)
			return masked;
		if (masked)
			wanted.mode = loam_gate_mask_mode(wanted.mode);
	}
	struct loam_who who = loam_caller_who(caller);
	rc = loam_meta_setattr(vfs->meta, &who, ino, set, &wanted, out_attr, err);
	if (rc)
		return rc;

	answer_attr(vfs, ino, out_attr, out_attr_ms);
	return 0;
}

/* ---- extended attributes --------------------------------------------------------------------- */

static enum loam_acl_type acl_type_of(const char *name)
{
	if (strcmp(name, acl_access_name) == 0)
		return LOAM_ACL_ACCESS;
	if (strcmp(name, acl_default_name) == 0)
		return LOAM_ACL_DEFAULT;
	return 0;
}

/* Names that this file system does not keep: other system.* and what the kernel or a security
 * module would act upon (format §4.10). */
static bool is_refused(const struct loam_vfs *vfs, const char *name)
{
	if (acl_type_of(name))
		return !vfs->acl;
	return strncmp(name, "system.", 7) == 0 || strcmp(name, "security.capability") == 0 ||
	       strcmp(name, "security.selinux") == 0;
}

static int get_acl(struct loam_vfs *vfs, uint64_t node, enum loam_acl_type type,
		   struct loam_buf *out, struct loam_err *err)
{
	struct loam_node_info info;
	if (!loam_nodes_find(vfs->nodes, node, &info))
		return loam_fail(err, LOAM_E_STALE, "no node %llx", (unsigned long long)node);
	uint32_t id = type == LOAM_ACL_ACCESS ? info.access_acl : info.default_acl;
	if (id == 0)
		return loam_fail(err, LOAM_E_NO_DATA, "no ACL");

	struct loam_acl acl;
	int rc = loam_meta_acl_rule(vfs->meta, id, &acl, err);
	if (rc)
		return rc;

	rc = loam_acl_to_xattr(&acl, out, err);
	loam_acl_release(&acl);
	return rc;
}

int loam_vfs_getxattr(struct loam_vfs *vfs, uint64_t node, const char *name, struct loam_buf *out,
		      struct loam_err *err)
{
	if (is_refused(vfs, name))
		return loam_fail(err, LOAM_E_NO_DATA, "%s is not kept", name);
	enum loam_acl_type type = acl_type_of(name);
	if (type)
		return get_acl(vfs, node, type, out, err);

	uint64_t ino;
	int rc = loam_vfs_inode(vfs, node, &ino, err);
	if (rc)
		return rc;
	return loam_meta_getxattr(vfs->meta, ino, name, out, err);
}

int loam_vfs_listxattr(struct loam_vfs *vfs, struct loam_caller *caller, uint64_t node,
		       struct loam_buf *out, struct loam_err *err)
{
	uint64_t ino;
	int rc = loam_vfs_inode(vfs, node, &ino, err);
	if (rc)
		return rc;

	loam_auto_buf struct loam_buf names = LOAM_BUF(out->max_bytes);
	rc = loam_meta_listxattr(vfs->meta, ino, &names, err);
	if (rc)
		return rc;

	for (size_t at = 0; at < names.bytes;) {
		const char *name = (const char *)names.data + at;
		size_t bytes = strlen(name) + 1;
		bool hidden = (caller->uid != 0 && strncmp(name, "trusted.", 8) == 0) ||
			      is_refused(vfs, name);
		if (!hidden) {
			rc = loam_buf_add(out, name, bytes, err);
			if (rc)
				return rc;
		}
		at += bytes;
	}
	return 0;
}

static int set_acl(struct loam_vfs *vfs, struct loam_caller *caller, uint64_t ino,
		   enum loam_acl_type type, const void *value, size_t value_bytes,
		   struct loam_err *err)
{
	struct loam_who who;
	int rc = loam_caller_who_with_groups(caller, &who, err);
	if (rc)
		return rc;

	struct loam_acl acl;
	struct loam_attr attr;
	loam_acl_init(&acl);
	int masked = type == LOAM_ACL_ACCESS ? is_gate(vfs, ino, err) : 0;
	rc = masked < 0 ? masked : 0;
	if (!rc && value)
		rc = loam_acl_from_xattr(value, value_bytes, &acl, err);
	if (!rc) {
		if (masked)
			loam_gate_mask_acl(&acl);
		rc = loam_meta_set_acl(vfs->meta, &who, ino, type, &acl, &attr, err);
	}
	loam_acl_release(&acl);
	if (rc)
		return rc;

	/* Later questions are answered from the attributes at hand: have the new ones there. */
	loam_vfs_changed(vfs, ino, &attr);
	return 0;
}

int loam_vfs_setxattr(struct loam_vfs *vfs, struct loam_caller *caller, uint64_t node,
		      const char *name, const void *value, size_t value_bytes, unsigned flags,
		      struct loam_err *err)
{
	uint64_t ino;
	int rc = loam_vfs_admit(vfs, caller, err);
	if (!rc)
		rc = loam_vfs_inode(vfs, node, &ino, err);
	if (rc)
		return rc;
	if (is_refused(vfs, name))
		return loam_fail(err, LOAM_E_UNSUPPORTED, "%s is not kept", name);
	if (value_bytes > LOAM_XATTR_VALUE_BYTES_MAX)
		return loam_fail(err, LOAM_E_RANGE, "a value of %zu bytes", value_bytes);
	enum loam_acl_type type = acl_type_of(name);
	if (type)
		return set_acl(vfs, caller, ino, type, value, value_bytes, err);

	struct loam_who who = loam_caller_who(caller);
	return loam_meta_setxattr(vfs->meta, &who, ino, name, value, value_bytes, flags, err);
}

int loam_vfs_removexattr(struct loam_vfs *vfs, struct loam_caller *caller, uint64_t node,
			 const char *name, struct loam_err *err)
{
	uint64_t ino;
	int rc = loam_vfs_admit(vfs, caller, err);
	if (!rc)
		rc = loam_vfs_inode(vfs, node, &ino, err);
	if (rc)
		return rc;
	if (is_refused(vfs, name))
		return loam_fail(err, LOAM_E_UNSUPPORTED, "%s is not kept", name);
	enum loam_acl_type type = acl_type_of(name);
	if (type)
		return set_acl(vfs, caller, ino, type, NULL, 0, err);

	struct loam_who who = loam_caller_who(caller);
	return loam_meta_removexattr(vfs->meta, &who, ino, name, err);
}
