/*
 * Open files of the mounted file system (vfs.h). Serves step 9.
 *
 * A node is open in one mode at a time: ordinary, through the data layer's shared file of the
 * inode, or passthrough, where the kernel reads the cache file itself. What does not fit gets STALE
 * from the node table, and the kernel comes back with a fresh node.
 *
 * Close-to-open: OPEN uses attributes that were asked for by the LOOKUP of the same open(2), or
 * asks again; the data layer drops its chunk lists when they differ from what it knows.
 */
#include "fs/mount/vfs_internal.h"

#include "core/log.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <utlist.h>

#define LOOKUP_AGE_NS  20000000ull /* a LOOKUP so young belongs to this open */
#define COPY_BYTES_MAX ((1ull << 32) - LOAM_CHUNK_BYTES) /* the reply counts in 32 bits */

static int open_attr(struct loam_vfs *vfs, uint64_t ino, struct loam_attr *out_attr,
		     struct loam_err *err)
{
	if (loam_nodes_recent(vfs->nodes, ino, LOOKUP_AGE_NS, out_attr))
		return 0;
	uint64_t asked_ns = loam_clock_ns();
	int rc = loam_meta_getattr(vfs->meta, ino, out_attr, err);
	if (rc)
		return rc;

	loam_nodes_saw(vfs->nodes, ino, out_attr, asked_ns);
	return 0;
}

static int check_flags(const struct loam_attr *attr, bool writes, int flags, struct loam_err *err)
{
	if (attr->type == LOAM_TYPE_DIR)
		return loam_fail(err, LOAM_E_IS_DIR, "a directory");
	if (!writes)
		return 0;
	bool in_trash = attr->parent > LOAM_INO_TRASH_ROOT;
	if ((attr->flags & LOAM_FLAG_IMMUTABLE) || in_trash)
		return loam_fail(err, LOAM_E_NOT_PERMITTED, "the file is immutable");
	if ((attr->flags & LOAM_FLAG_APPEND) && (!(flags & O_APPEND) || (flags & O_TRUNC)))
		return loam_fail(err, LOAM_E_NOT_PERMITTED, "the file is append-only");
	return 0;
}

static int truncate_opened(struct loam_vfs *vfs, struct loam_caller *caller, uint64_t ino,
			   struct loam_attr *attr, struct loam_err *err)
{
	int rc = loam_vfs_settle(vfs, ino, err);
	if (rc)
		return rc;
	struct loam_who who = loam_caller_who(caller);
	rc = loam_meta_truncate(vfs->meta, &who, ino, 0, true, attr, err);
	if (rc)
		return rc;

	loam_vfs_changed(vfs, ino, attr);
	return loam_vfs_drop_set_id(vfs, caller, ino, attr->mode, err);
}

/* Finds the mode and enters it; the node is open afterwards. */
static int enter_mode(struct loam_vfs *vfs, struct loam_handle *handle,
		      const struct loam_attr *attr, bool *out_keep, struct loam_err *err)
{
	bool may_pass =
		vfs->passthrough && !handle->writes && (attr->mode & 0222) == 0 && attr->length > 0;
	if (may_pass) {
		int got = loam_passthrough_get(vfs->passthrough, handle->ino, attr,
					       &handle->backing, err);
		if (got < 0)
			return got;
	}
	const void *backing = handle->backing;
	int rc = loam_nodes_open(vfs->nodes, handle->node, &backing, handle->writes, attr, out_keep,
				 err);
	if (rc || !backing)
		loam_passthrough_put(loam_steal(&handle->backing));
	return rc;
}

/* attr: as fresh as close-to-open asks for. */
static int open_inode(struct loam_vfs *vfs, struct loam_caller *caller, uint64_t node, uint64_t ino,
		      struct loam_attr *attr, int flags, struct loam_opened *out,
		      struct loam_err *err)
{
	bool writes = (flags & O_ACCMODE) != O_RDONLY;
	int rc = check_flags(attr, writes || (flags & O_TRUNC), flags, err);
	if (rc)
		return rc;

	loam_auto_free struct loam_handle *handle = loam_xnew(struct loam_handle);
	handle->node = node;
	handle->ino = ino;
	handle->writes = writes;
	bool keep = false;
	rc = enter_mode(vfs, handle, attr, &keep, err);
	if (rc)
		return rc;

	if (flags & O_TRUNC) {
		keep = false;
		rc = truncate_opened(vfs, caller, ino, attr, err);
	}
	if (!rc && !handle->backing)
		rc = loam_file_get(vfs->data, ino, attr, &handle->file, err);
	if (rc) {
		loam_nodes_close(vfs->nodes, node, writes);
		loam_passthrough_put(handle->backing);
		return rc;
	}
	out->keep_cache = keep;
	out->backing_id = handle->backing ? loam_backing_id(handle->backing) : 0;
	loam_guard(&vfs->handles_lock);
	DL_APPEND(vfs->handles, handle);
	out->handle = loam_steal(&handle);
	return 0;
}

int loam_vfs_open(struct loam_vfs *vfs, struct loam_caller *caller, uint64_t node, int flags,
		  struct loam_opened *out, struct loam_err *err)
{
	uint64_t ino;
	int rc = loam_vfs_admit(vfs, caller, err);
	if (!rc)
		rc = loam_vfs_inode(vfs, node, &ino, err);
	if (rc)
		return rc;
	if (vfs->gates) {
		rc = loam_gates_check(vfs->gates, ino, caller, err);
		if (rc)
			return rc;
	}

	loam_meta_opened(vfs->meta, ino); /* before the question: an unlink after it is survived */
	struct loam_attr attr;
	rc = open_attr(vfs, ino, &attr, err);
	if (!rc)
		rc = open_inode(vfs, caller, node, ino, &attr, flags, out, err);
	if (rc)
		loam_meta_released(vfs->meta, ino);
	return rc;
}

/* Somebody else's file stood in the way of a CREATE: the kernel has checked nothing of it. */
static int check_present(struct loam_vfs *vfs, struct loam_caller *caller, uint64_t ino,
			 const struct loam_attr *attr, int flags, struct loam_err *err)
{
	if (flags & O_EXCL)
		return loam_fail(err, LOAM_E_EXISTS, "the name is taken");
	struct loam_who who;
	int rc = loam_caller_who_with_groups(caller, &who, err);
	if (rc)
		return rc;
	unsigned want = (flags & O_ACCMODE) == O_RDONLY ? 4 : 2;
	if ((flags & O_ACCMODE) == O_RDWR)
		want |= 4;
	if (flags & O_TRUNC)
		want |= 2;
	rc = loam_meta_access(vfs->meta, &who, ino, attr, want, err);
	if (rc)
		return rc;
	return vfs->gates ? loam_gates_check(vfs->gates, ino, caller, err) : 0;
}

static int create_or_find(struct loam_vfs *vfs, struct loam_caller *caller, uint64_t dir,
			  struct loam_name name, uint16_t mode, int *flags, uint64_t *out_ino,
			  struct loam_attr *out_attr, struct loam_err *err)
{
	struct loam_who who = loam_caller_who(caller);
	struct loam_create create = { .type = LOAM_TYPE_FILE, .mode = mode };
	int rc = loam_meta_create(vfs->meta, &who, dir, name, &create, out_ino, out_attr, err);
	if (rc == -LOAM_E_EXISTS) {
		loam_err_clear(err);
		return check_present(vfs, caller, *out_ino, out_attr, *flags, err);
	}
	if (rc)
		return rc;
	*flags &= ~O_TRUNC; /* new files are empty */
	return 0;
}

int loam_vfs_create(struct loam_vfs *vfs, struct loam_caller *caller, uint64_t parent,
		    const char *text, uint16_t mode, int flags, struct loam_entry *out_entry,
		    struct loam_opened *out_opened, struct loam_err *err)
{
	uint64_t dir;
	struct loam_name name;
	int rc = loam_vfs_admit(vfs, caller, err);
	if (!rc)
		rc = loam_vfs_name(text, &name, err);
	if (!rc)
		rc = loam_vfs_inode(vfs, parent, &dir, err);
	if (rc)
		return rc;
	if (loam_vfs_is_reserved(dir, name))
		return loam_fail(err, LOAM_E_EXISTS, "%s is a reserved name", text);

	uint64_t ino;
	struct loam_attr attr;
	rc = create_or_find(vfs, caller, dir, name, mode, &flags, &ino, &attr, err);
	if (rc)
		return rc;

	uint64_t asked_ns = loam_clock_ns();
	loam_nodes_changed(vfs->nodes, dir);
	uint64_t node = loam_nodes_ref(vfs->nodes, ino, dir, &attr, asked_ns);
	loam_meta_opened(vfs->meta, ino);
	rc = open_inode(vfs, caller, node, ino, &attr, flags & ~O_CREAT, out_opened, err);
	if (rc) {
		loam_meta_released(vfs->meta, ino);
		loam_nodes_forget(vfs->nodes, node, 1);
		return rc;
	}
	*out_entry = (struct loam_entry){ .node = node, .ino = ino, .attr = attr };
	out_entry->attr_ms = loam_vfs_attr_ms(vfs, ino, asked_ns);
	return 0;
}

void loam_vfs_release(struct loam_vfs *vfs, struct loam_handle *handle)
{
	{
		loam_guard(&vfs->handles_lock);
		DL_DELETE(vfs->handles, handle);
	}
	if (handle->file)
		loam_file_put(handle->file);
	loam_nodes_close(vfs->nodes, handle->node, handle->writes);
	loam_passthrough_put(handle->backing);
	if (handle->writes)
		loam_nodes_changed(vfs->nodes, handle->ino);
	loam_meta_released(vfs->meta, handle->ino);
	free(handle);
}

void loam_vfs_close_all(struct loam_vfs *vfs)
{
	/* No request runs any more. */
	while (vfs->handles)
		loam_vfs_release(vfs, vfs->handles);
	while (vfs->dir_handles)
		loam_vfs_releasedir(vfs, vfs->dir_handles);
}

static int ordinary(const struct loam_handle *handle, struct loam_err *err)
{
	if (!handle->file)
		return loam_fail(err, LOAM_E_STALE, "inode %llu is read by the kernel itself",
				 (unsigned long long)handle->ino);
	return 0;
}

static int check_range(uint64_t offset, uint64_t bytes, struct loam_err *err)
{
	if (offset > LOAM_FILE_LENGTH_MAX || bytes > LOAM_FILE_LENGTH_MAX - offset)
		return loam_fail(err, LOAM_E_TOO_LARGE, "an offset of %llu",
				 (unsigned long long)offset);
	return 0;
}

int loam_vfs_read(struct loam_vfs *vfs, struct loam_handle *handle, uint64_t offset, size_t bytes,
		  struct loam_lent *out, struct loam_err *err)
{
	int rc = ordinary(handle, err);
	if (!rc)
		rc = check_range(offset, bytes, err);
	if (rc)
		return rc;
	return loam_file_lend(handle->file, offset, bytes, out, err);
}

int loam_vfs_write(struct loam_vfs *vfs, struct loam_caller *caller, struct loam_handle *handle,
		   uint64_t offset, const void *bytes, size_t count, struct loam_err *err)
{
	int rc = loam_vfs_admit(vfs, caller, err);
	if (!rc)
		rc = ordinary(handle, err);
	if (!rc)
		rc = check_range(offset, count, err);
	if (rc)
		return rc;
	struct loam_node_info info;
	if (caller->uid != 0 && loam_nodes_find(vfs->nodes, handle->node, &info)) {
		rc = loam_vfs_drop_set_id(vfs, caller, handle->ino, info.mode, err);
		if (rc)
			return rc;
	}
	return loam_file_write(handle->file, offset, bytes, count, err);
}

int loam_vfs_flush(struct loam_vfs *vfs, struct loam_handle *handle, struct loam_err *err)
{
	if (!handle->writes || !handle->file)
		return 0;
	int rc = loam_file_flush(handle->file, err);
	loam_nodes_changed(vfs->nodes, handle->ino);
	return rc;
}

int loam_vfs_fsync(struct loam_vfs *vfs, struct loam_handle *handle, struct loam_err *err)
{
	if (handle && handle->file) {
		int rc = loam_file_flush(handle->file, err);
		if (rc)
			return rc;
	}
	int rc = loam_meta_barrier(vfs->meta, err);
	if (rc != -LOAM_E_UNSUPPORTED)
		return rc;
	if (!atomic_exchange(&vfs->barrier_warned, true))
		loam_warn("mount.durability", "problem=%s", err->text);
	loam_err_clear(err);
	return 0;
}

int loam_vfs_fallocate(struct loam_vfs *vfs, struct loam_caller *caller, struct loam_handle *handle,
		       unsigned mode, uint64_t offset, uint64_t bytes, struct loam_err *err)
{
	int rc = loam_vfs_admit(vfs, caller, err);
	if (!rc)
		rc = check_range(offset, bytes, err);
	if (!rc)
		rc = loam_vfs_settle(vfs, handle->ino, err);
	if (rc)
		return rc;
	struct loam_who who = loam_caller_who(caller);
	struct loam_attr attr;
	rc = loam_meta_fallocate(vfs->meta, &who, handle->ino, mode, offset, bytes, &attr, err);
	if (rc)
		return rc;

	loam_vfs_changed(vfs, handle->ino, &attr);
	return loam_vfs_drop_set_id(vfs, caller, handle->ino, attr.mode, err);
}

int loam_vfs_copy_range(struct loam_vfs *vfs, struct loam_caller *caller, struct loam_handle *from,
			uint64_t from_offset, struct loam_handle *to, uint64_t to_offset,
			uint64_t bytes, uint64_t *out_copied, struct loam_err *err)
{
	if (bytes > COPY_BYTES_MAX)
		bytes = COPY_BYTES_MAX;
	int rc = loam_vfs_admit(vfs, caller, err);
	if (!rc)
		rc = check_range(to_offset, bytes, err);
	if (!rc)
		rc = loam_vfs_settle(vfs, from->ino, err);
	if (!rc)
		rc = loam_vfs_settle(vfs, to->ino, err);
	if (rc)
		return rc;
	struct loam_who who = loam_caller_who(caller);
	struct loam_attr attr;
	uint64_t copied;
	rc = loam_meta_copy_range(vfs->meta, &who, from->ino, from_offset, to->ino, to_offset,
				  bytes, &copied, &attr, err);
	if (rc)
		return rc;

	*out_copied = copied;
	if (copied == 0)
		return 0;
	loam_vfs_changed(vfs, to->ino, &attr);
	return loam_vfs_drop_set_id(vfs, caller, to->ino, attr.mode, err);
}
