/*
 * FUSE requests about open files, directories, extended attributes and ioctls (fuse_ops.h). Serves
 * step 9.
 */
#include "fs/mount/fuse_ops.h"

#include "core/auto.h"
#include "core/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define TRANSFER_BYTES_MAX (1u << 20) /* of one read or listing */

static struct loam_handle *handle_of(const struct fuse_file_info *info)
{
	return (struct loam_handle *)(uintptr_t)info->fh;
}

static struct loam_dir_handle *dir_handle_of(const struct fuse_file_info *info)
{
	return (struct loam_dir_handle *)(uintptr_t)info->fh;
}

void loam_fuse_open(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *info)
{
	struct loam_err err = { 0 };
	loam_auto_caller struct loam_caller caller = loam_fuse_caller(req);
	struct loam_fuse *fuse = loam_fuse_of(req);
	struct loam_vfs *vfs = fuse->vfs;
	struct loam_opened opened;
	int rc = loam_vfs_open(vfs, &caller, node, info->flags, &opened, &err);
	if (rc == -LOAM_E_STALE) /* a second node comes: the attributes kept of this one go */
		fuse_lowlevel_notify_inval_inode(fuse->session, node, -1, 0);
	if (rc) {
		loam_fuse_fail(req, "open", node, rc, &err);
		return;
	}
	info->fh = (uintptr_t)opened.handle;
	info->keep_cache = opened.keep_cache;
	info->noflush =
		(info->flags & O_ACCMODE) == O_RDONLY; /* its close has nothing to wait for */
	loam_passthrough_reply_with(opened.backing_id);
	int sent = fuse_reply_open(req, info);
	loam_passthrough_reply_with(0);
	if (sent != 0) /* the open(2) was interrupted: no RELEASE will come */
		loam_vfs_release(vfs, opened.handle);
}

void loam_fuse_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
		      struct fuse_file_info *info)
{
	struct loam_err err = { 0 };
	loam_auto_caller struct loam_caller caller = loam_fuse_caller(req);
	struct loam_fuse *fuse = loam_fuse_of(req);
	struct loam_entry entry;
	struct loam_opened opened;
	int rc = loam_vfs_create(fuse->vfs, &caller, parent, name, mode & 07777, info->flags,
				 &entry, &opened, &err);
	if (rc) {
		loam_fuse_fail(req, "create", parent, rc, &err);
		return;
	}
	struct fuse_entry_param param;
	loam_fuse_entry(fuse, &entry, &param);
	info->fh = (uintptr_t)opened.handle;
	info->keep_cache = opened.keep_cache;
	if (fuse_reply_create(req, &param, info) != 0) {
		loam_vfs_release(fuse->vfs, opened.handle);
		loam_vfs_forget(fuse->vfs, entry.node, 1);
	}
}

void loam_fuse_read(fuse_req_t req, fuse_ino_t node, size_t bytes, off_t offset,
		    struct fuse_file_info *info)
{
	struct loam_err err = { 0 };
	if (bytes > TRANSFER_BYTES_MAX)
		bytes = TRANSFER_BYTES_MAX;
	if (offset < 0) {
		fuse_reply_err(req, EINVAL);
		return;
	}
	struct loam_lent lent = { 0 };
	int rc = loam_vfs_read(loam_fuse_of(req)->vfs, handle_of(info), (uint64_t)offset, bytes,
			       &lent, &err);
	if (rc)
		loam_fuse_fail(req, "read", node, rc, &err);
	else
		fuse_reply_buf(req, lent.data, lent.bytes);
	loam_lent_return(&lent);
}

void loam_fuse_write(fuse_req_t req, fuse_ino_t node, const char *data, size_t bytes, off_t offset,
		     struct fuse_file_info *info)
{
	struct loam_err err = { 0 };
	if (offset < 0) {
		fuse_reply_err(req, EINVAL);
		return;
	}
	loam_auto_caller struct loam_caller caller = loam_fuse_caller(req);
	int rc = loam_vfs_write(loam_fuse_of(req)->vfs, &caller, handle_of(info), (uint64_t)offset,
				data, bytes, &err);
	if (rc)
		loam_fuse_fail(req, "write", node, rc, &err);
	else
		fuse_reply_write(req, bytes);
}

void loam_fuse_flush(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *info)
{
	struct loam_err err = { 0 };
	int rc = loam_vfs_flush(loam_fuse_of(req)->vfs, handle_of(info), &err);
	loam_fuse_done(req, "flush", node, rc, &err);
}

void loam_fuse_release(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *info)
{
	loam_vfs_release(loam_fuse_of(req)->vfs, handle_of(info));
	fuse_reply_err(req, 0);
}

void loam_fuse_fsync(fuse_req_t req, fuse_ino_t node, int data_only, struct fuse_file_info *info)
{
	struct loam_err err = { 0 };
	int rc = loam_vfs_fsync(loam_fuse_of(req)->vfs, handle_of(info), &err);
	loam_fuse_done(req, "fsync", node, rc, &err);
}

void loam_fuse_fallocate(fuse_req_t req, fuse_ino_t node, int mode, off_t offset, off_t bytes,
			 struct fuse_file_info *info)
{
	struct loam_err err = { 0 };
	if (offset < 0 || bytes <= 0) {
		fuse_reply_err(req, EINVAL);
		return;
	}
	loam_auto_caller struct loam_caller caller = loam_fuse_caller(req);
	int rc = loam_vfs_fallocate(loam_fuse_of(req)->vfs, &caller, handle_of(info),
				    (unsigned)mode, (uint64_t)offset, (uint64_t)bytes, &err);
	loam_fuse_done(req, "fallocate", node, rc, &err);
}

void loam_fuse_copy_file_range(fuse_req_t req, fuse_ino_t from, off_t from_offset,
			       struct fuse_file_info *from_info, fuse_ino_t to, off_t to_offset,
			       struct fuse_file_info *to_info, size_t bytes, int flags)
{
	struct loam_err err = { 0 };
	if (from_offset < 0 || to_offset < 0 || flags != 0) {
		fuse_reply_err(req, EINVAL);
		return;
	}
	loam_auto_caller struct loam_caller caller = loam_fuse_caller(req);
	uint64_t copied = 0;
	int rc = loam_vfs_copy_range(loam_fuse_of(req)->vfs, &caller, handle_of(from_info),
				     (uint64_t)from_offset, handle_of(to_info), (uint64_t)to_offset,
				     bytes, &copied, &err);
	if (rc)
		loam_fuse_fail(req, "copy_file_range", to, rc, &err);
	else
		fuse_reply_write(req, copied);
}

/* ---- directories ----------------------------------------------------------------------------- */

void loam_fuse_opendir(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *info)
{
	struct loam_err err = { 0 };
	loam_auto_caller struct loam_caller caller = loam_fuse_caller(req);
	struct loam_vfs *vfs = loam_fuse_of(req)->vfs;
	struct loam_dir_handle *handle;
	int rc = loam_vfs_opendir(vfs, &caller, node, &handle, &err);
	if (rc) {
		loam_fuse_fail(req, "opendir", node, rc, &err);
		return;
	}
	info->fh = (uintptr_t)handle;
	if (fuse_reply_open(req, info) != 0)
		loam_vfs_releasedir(vfs, handle);
}

struct listing {
	fuse_req_t req;
	const struct loam_dir_handle *handle;
	char *data;
	size_t used, room;
	bool plus;
};

static size_t add_plus(struct listing *listing, const struct loam_listed *listed)
{
	struct loam_fuse *fuse = loam_fuse_of(listing->req);
	char *at = listing->data + listing->used;
	size_t room = listing->room - listing->used;
	struct fuse_entry_param param = { .ino = 0 }; /* 0: name and type only */
	loam_fuse_stat(listed->ino, &(struct loam_attr){ .type = listed->type }, &param.attr);
	/* Measured first: an entry that does not fit must not be counted as looked up. */
	size_t need = fuse_add_direntry_plus(listing->req, NULL, 0, listed->name, &param, 0);
	if (need > room)
		return need;
	struct loam_entry entry;
	if (loam_vfs_adopt(fuse->vfs, listing->handle, listed, &entry))
		loam_fuse_entry(fuse, &entry, &param);
	return fuse_add_direntry_plus(listing->req, at, room, listed->name, &param,
				      (off_t)listed->next_offset);
}

static bool give(void *arg, const struct loam_listed *listed)
{
	struct listing *listing = arg;
	size_t room = listing->room - listing->used;
	size_t need;
	if (listing->plus) {
		need = add_plus(listing, listed);
	} else {
		struct stat stat;
		loam_fuse_stat(listed->ino, &(struct loam_attr){ .type = listed->type }, &stat);
		need = fuse_add_direntry(listing->req, listing->data + listing->used, room,
					 listed->name, &stat, (off_t)listed->next_offset);
	}
	if (need > room)
		return false;
	listing->used += need;
	return true;
}

static void list(fuse_req_t req, fuse_ino_t node, size_t bytes, off_t offset,
		 struct fuse_file_info *info, bool plus)
{
	struct loam_err err = { 0 };
	if (bytes > TRANSFER_BYTES_MAX)
		bytes = TRANSFER_BYTES_MAX;
	loam_auto_free char *data = malloc(bytes);
	if (!data || offset < 0) {
		fuse_reply_err(req, data ? EINVAL : ENOMEM);
		return;
	}
	struct listing listing = {
		.req = req, .handle = dir_handle_of(info), .data = data, .room = bytes, .plus = plus
	};
	int rc = loam_vfs_readdir(loam_fuse_of(req)->vfs, dir_handle_of(info), (uint64_t)offset,
				  plus, give, &listing, &err);
	if (rc)
		loam_fuse_fail(req, "readdir", node, rc, &err);
	else
		fuse_reply_buf(req, data, listing.used);
}

void loam_fuse_readdir(fuse_req_t req, fuse_ino_t node, size_t bytes, off_t offset,
		       struct fuse_file_info *info)
{
	list(req, node, bytes, offset, info, false);
}

void loam_fuse_readdirplus(fuse_req_t req, fuse_ino_t node, size_t bytes, off_t offset,
			   struct fuse_file_info *info)
{
	list(req, node, bytes, offset, info, true);
}

void loam_fuse_releasedir(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *info)
{
	loam_vfs_releasedir(loam_fuse_of(req)->vfs, dir_handle_of(info));
	fuse_reply_err(req, 0);
}

void loam_fuse_fsyncdir(fuse_req_t req, fuse_ino_t node, int data_only, struct fuse_file_info *info)
{
	struct loam_err err = { 0 };
	int rc = loam_vfs_fsync(loam_fuse_of(req)->vfs, NULL, &err);
	loam_fuse_done(req, "fsyncdir", node, rc, &err);
}

/* ---- extended attributes --------------------------------------------------------------------- */

static void reply_sized(fuse_req_t req, const struct loam_buf *value, size_t room)
{
	if (room == 0)
		fuse_reply_xattr(req, value->bytes);
	else if (value->bytes > room)
		fuse_reply_err(req, ERANGE);
	else
		fuse_reply_buf(req, (const char *)value->data, value->bytes);
}

void loam_fuse_getxattr(fuse_req_t req, fuse_ino_t node, const char *name, size_t room)
{
	struct loam_err err = { 0 };
	loam_auto_buf struct loam_buf value = LOAM_BUF(LOAM_XATTR_VALUE_BYTES_MAX);
	int rc = loam_vfs_getxattr(loam_fuse_of(req)->vfs, node, name, &value, &err);
	if (rc)
		loam_fuse_fail(req, "getxattr", node, rc, &err);
	else
		reply_sized(req, &value, room);
}

void loam_fuse_listxattr(fuse_req_t req, fuse_ino_t node, size_t room)
{
	struct loam_err err = { 0 };
	loam_auto_caller struct loam_caller caller = loam_fuse_caller(req);
	loam_auto_buf struct loam_buf names = LOAM_BUF(LOAM_XATTR_VALUE_BYTES_MAX);
	int rc = loam_vfs_listxattr(loam_fuse_of(req)->vfs, &caller, node, &names, &err);
	if (rc)
		loam_fuse_fail(req, "listxattr", node, rc, &err);
	else
		reply_sized(req, &names, room);
}

void loam_fuse_setxattr(fuse_req_t req, fuse_ino_t node, const char *name, const char *value,
			size_t bytes, int flags)
{
	_Static_assert(LOAM_XATTR_CREATE == 1 && LOAM_XATTR_REPLACE == 2, "as setxattr(2)");
	struct loam_err err = { 0 };
	loam_auto_caller struct loam_caller caller = loam_fuse_caller(req);
	int rc = loam_vfs_setxattr(loam_fuse_of(req)->vfs, &caller, node, name, value, bytes,
				   (unsigned)flags, &err);
	loam_fuse_done(req, "setxattr", node, rc, &err);
}

void loam_fuse_removexattr(fuse_req_t req, fuse_ino_t node, const char *name)
{
	struct loam_err err = { 0 };
	loam_auto_caller struct loam_caller caller = loam_fuse_caller(req);
	int rc = loam_vfs_removexattr(loam_fuse_of(req)->vfs, &caller, node, name, &err);
	loam_fuse_done(req, "removexattr", node, rc, &err);
}

/* ---- ioctls ---------------------------------------------------------------------------------- */

void loam_fuse_ioctl(fuse_req_t req, fuse_ino_t node, unsigned command, void *arg,
		     struct fuse_file_info *info, unsigned flags, const void *in, size_t in_bytes,
		     size_t out_bytes)
{
	struct loam_err err = { 0 };
	loam_auto_caller struct loam_caller caller = loam_fuse_caller(req);
	_Alignas(8) uint8_t out[LOAM_CONTROL_OUT_BYTES_MAX] = { 0 };
	size_t used = 0;
	int rc = loam_control_ioctl(loam_fuse_of(req)->control, &caller, node, command, in,
				    in_bytes, out_bytes, out, &used, &err);
	if (rc < 0)
		loam_fuse_fail(req, "ioctl", node, rc, &err);
	else if (rc == 0)
		fuse_reply_err(req, ENOTTY);
	else
		fuse_reply_ioctl(req, 0, out, used);
}
