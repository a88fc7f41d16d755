/*
 * FUSE requests about names and attributes, and the table of all (fuse_ops.h). Serves step 9.
 *
 * Names are kept by the kernel for entry_seconds, which is 0 until mounts hear of each other's
 * changes; attributes for the mount's attr_ms, minus the age they have when the reply goes out.
 */
#include "fs/mount/fuse_ops.h"

#include "core/auto.h"
#include "core/clock.h"
#include "core/limits.h"
#include "core/log.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#define BLOCK_BYTES	     65536
#define STATFS_BLOCK_BYTES   4096
#define ERROR_LINES_A_SECOND 10
#define BACKGROUND_MAX	     128 /* read-ahead and write-back requests in flight */

struct loam_fuse *loam_fuse_of(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

static int fetch_groups(void *arg, uint32_t *out, size_t max)
{
	_Static_assert(sizeof(gid_t) == sizeof(uint32_t), "gids are 32 bits wide");
	return fuse_req_getgroups(arg, (int)max, out);
}

static bool cancelled(void *arg)
{
	return fuse_req_interrupted(arg) != 0;
}

struct loam_caller loam_fuse_caller(fuse_req_t req)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);
	return (struct loam_caller){ .uid = ctx->uid,
				     .gid = ctx->gid,
				     .umask = (uint16_t)(ctx->umask & 07777),
				     .fetch_groups = fetch_groups,
				     .cancelled = cancelled,
				     .arg = req };
}

/* A backend that is down would otherwise write a line per request. */
static bool may_log(void)
{
	static atomic_uint_fast64_t second;
	static atomic_uint lines;
	uint64_t now = loam_clock_ms() / 1000;
	if (atomic_exchange(&second, now) != now)
		atomic_store(&lines, 0);
	return atomic_fetch_add(&lines, 1) < ERROR_LINES_A_SECOND;
}

void loam_fuse_fail(fuse_req_t req, const char *what, uint64_t node, int code,
		    const struct loam_err *err)
{
	switch (-code) {
	case LOAM_E_CORRUPT:
	case LOAM_E_IO:
	case LOAM_E_UNAVAILABLE:
	case LOAM_E_INTERNAL:
		if (may_log())
			loam_error("mount.request", "op=%s node=%llx code=%s problem=%s", what,
				   (unsigned long long)node, loam_code_name(code), err->text);
		break;
	default:
		loam_debug("mount.request", "op=%s node=%llx code=%s problem=%s", what,
			   (unsigned long long)node, loam_code_name(code), err->text);
	}
	fuse_reply_err(req, loam_code_errno(code));
}

void loam_fuse_done(fuse_req_t req, const char *what, uint64_t node, int code,
		    const struct loam_err *err)
{
	if (code)
		loam_fuse_fail(req, what, node, code, err);
	else
		fuse_reply_err(req, 0);
}

static mode_t type_bits(uint8_t type)
{
	static const mode_t bits[] = {
		[LOAM_TYPE_FILE] = S_IFREG,	 [LOAM_TYPE_DIR] = S_IFDIR,
		[LOAM_TYPE_SYMLINK] = S_IFLNK,	 [LOAM_TYPE_FIFO] = S_IFIFO,
		[LOAM_TYPE_BLOCK_DEV] = S_IFBLK, [LOAM_TYPE_CHAR_DEV] = S_IFCHR,
		[LOAM_TYPE_SOCKET] = S_IFSOCK
	};
	return type < LOAM_ARRAY_COUNT(bits) ? bits[type] : 0;
}

static uint8_t type_of(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFDIR:
		return LOAM_TYPE_DIR;
	case S_IFLNK:
		return LOAM_TYPE_SYMLINK;
	case S_IFIFO:
		return LOAM_TYPE_FIFO;
	case S_IFBLK:
		return LOAM_TYPE_BLOCK_DEV;
	case S_IFCHR:
		return LOAM_TYPE_CHAR_DEV;
	case S_IFSOCK:
		return LOAM_TYPE_SOCKET;
	default:
		return LOAM_TYPE_FILE;
	}
}

void loam_fuse_stat(uint64_t ino, const struct loam_attr *attr, struct stat *out)
{
	*out = (struct stat){ .st_ino = ino,
			      .st_mode = type_bits(attr->type) | attr->mode,
			      .st_nlink = attr->nlink,
			      .st_uid = attr->uid,
			      .st_gid = attr->gid,
			      .st_rdev = attr->rdev,
			      .st_size = (off_t)attr->length,
			      .st_blksize = BLOCK_BYTES,
			      .st_blocks = (blkcnt_t)((attr->length + 511) / 512),
			      .st_atim = attr->atime,
			      .st_mtim = attr->mtime,
			      .st_ctim = attr->ctime };
}

void loam_fuse_entry(const struct loam_fuse *fuse, const struct loam_entry *entry,
		     struct fuse_entry_param *out)
{
	*out = (struct fuse_entry_param){ .ino = entry->node,
					  .generation = 1,
					  .attr_timeout = entry->attr_ms / 1000.0,
					  .entry_timeout = fuse->entry_seconds };
	loam_fuse_stat(entry->ino, &entry->attr, &out->attr);
}

static void reply_entry(fuse_req_t req, const char *what, uint64_t node, int code,
			const struct loam_entry *entry, const struct loam_err *err)
{
	if (code) {
		loam_fuse_fail(req, what, node, code, err);
		return;
	}
	struct loam_fuse *fuse = loam_fuse_of(req);
	struct fuse_entry_param param;
	loam_fuse_entry(fuse, entry, &param);
	if (fuse_reply_entry(req, &param) != 0)
		loam_vfs_forget(fuse->vfs, entry->node, 1);
}

static void reply_attr(fuse_req_t req, const char *what, uint64_t node, int code,
		       const struct loam_attr *attr, uint32_t attr_ms, struct loam_err *err)
{
	uint64_t ino = 0;
	if (!code)
		code = loam_vfs_inode(loam_fuse_of(req)->vfs, node, &ino, err);
	if (code) {
		loam_fuse_fail(req, what, node, code, err);
		return;
	}
	struct stat stat;
	loam_fuse_stat(ino, attr, &stat);
	fuse_reply_attr(req, &stat, attr_ms / 1000.0);
}

/* ---- requests ------------------------------------------------------------------------------- */

static void op_init(void *data, struct fuse_conn_info *conn)
{
	struct loam_fuse *fuse = data;
	unsigned wanted = FUSE_CAP_DONT_MASK | FUSE_CAP_CACHE_SYMLINKS | FUSE_CAP_PARALLEL_DIROPS;
	if (fuse->acl)
		wanted |= FUSE_CAP_POSIX_ACL;
	conn->want |= wanted & conn->capable;
	/* Splicing goes around the custom I/O of passthrough.c. Listings with attributes help only
	 * where the kernel may keep the names. */
	unsigned unwanted = FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE |
			    FUSE_CAP_WRITEBACK_CACHE;
	if (fuse->entry_seconds <= 0)
		unwanted |= FUSE_CAP_READDIRPLUS | FUSE_CAP_READDIRPLUS_AUTO;
	conn->want &= ~unwanted;
	conn->max_background = BACKGROUND_MAX;
	conn->congestion_threshold = BACKGROUND_MAX * 3 / 4;
	conn->time_gran = 1;
	if (fuse->acl && !(conn->want & FUSE_CAP_POSIX_ACL))
		loam_warn("mount.acl", "problem=%s",
			  "the kernel does not check ACLs here: named entries give nothing");
	if (fuse->ready)
		fuse->ready(fuse->ready_arg);
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct loam_err err = { 0 };
	loam_auto_caller struct loam_caller caller = loam_fuse_caller(req);
	struct loam_entry entry;
	struct loam_fuse *fuse = loam_fuse_of(req);
	int rc = loam_vfs_lookup(fuse->vfs, &caller, parent, name, &entry, &err);
	if (rc == -LOAM_E_NOT_FOUND && fuse->entry_seconds > 0) {
		/* node 0: the absence itself may be kept */
		struct fuse_entry_param absent = { .entry_timeout = fuse->entry_seconds };
		fuse_reply_entry(req, &absent);
		return;
	}
	reply_entry(req, "lookup", parent, rc, &entry, &err);
}

static void op_forget(fuse_req_t req, fuse_ino_t node, uint64_t count)
{
	loam_vfs_forget(loam_fuse_of(req)->vfs, node, count);
	fuse_reply_none(req);
}

static void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
	struct loam_vfs *vfs = loam_fuse_of(req)->vfs;
	for (size_t i = 0; i < count; i++)
		loam_vfs_forget(vfs, forgets[i].ino, forgets[i].nlookup);
	fuse_reply_none(req);
}

static void op_getattr(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *info)
{
	struct loam_err err = { 0 };
	struct loam_attr attr;
	uint32_t attr_ms = 0;
	const struct loam_handle *handle = info ? (void *)(uintptr_t)info->fh : NULL;
	int rc = loam_vfs_getattr(loam_fuse_of(req)->vfs, node, handle, &attr, &attr_ms, &err);
	reply_attr(req, "getattr", node, rc, &attr, attr_ms, &err);
}

/* FUSE's bits are not those of the format (its 0x400 would clear a tier): mapped one by one. */
static unsigned set_bits(int to_set)
{
	static const struct {
		int fuse;
		unsigned set;
	} bits[] = {
		{ FUSE_SET_ATTR_MODE, LOAM_SET_MODE },	 { FUSE_SET_ATTR_UID, LOAM_SET_UID },
		{ FUSE_SET_ATTR_GID, LOAM_SET_GID },	 { FUSE_SET_ATTR_ATIME, LOAM_SET_ATIME },
		{ FUSE_SET_ATTR_MTIME, LOAM_SET_MTIME }, { FUSE_SET_ATTR_CTIME, LOAM_SET_CTIME }
	};
	unsigned set = 0;
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(bits); i++)
		set |= to_set & bits[i].fuse ? bits[i].set : 0;
	/* "now" comes together with the plain bit and replaces it. */
	if (to_set & FUSE_SET_ATTR_ATIME_NOW)
		set = (set & ~(unsigned)LOAM_SET_ATIME) | LOAM_SET_ATIME_NOW;
	if (to_set & FUSE_SET_ATTR_MTIME_NOW)
		set = (set & ~(unsigned)LOAM_SET_MTIME) | LOAM_SET_MTIME_NOW;
	return set;
}

static void op_setattr(fuse_req_t req, fuse_ino_t node, struct stat *stat, int to_set,
		       struct fuse_file_info *info)
{
	struct loam_err err = { 0 };
	loam_auto_caller struct loam_caller caller = loam_fuse_caller(req);
	struct loam_attr values = { .mode = stat->st_mode & 07777,
				    .uid = stat->st_uid,
				    .gid = stat->st_gid,
				    .atime = stat->st_atim,
				    .mtime = stat->st_mtim,
				    .ctime = stat->st_ctim };
	uint64_t length = (uint64_t)stat->st_size;
	struct loam_attr attr;
	uint32_t attr_ms = 0;
	const struct loam_handle *handle = info ? (void *)(uintptr_t)info->fh : NULL;
	int rc = loam_vfs_setattr(loam_fuse_of(req)->vfs, &caller, node, handle, set_bits(to_set),
				  &values, to_set & FUSE_SET_ATTR_SIZE ? &length : NULL, &attr,
				  &attr_ms, &err);
	reply_attr(req, "setattr", node, rc, &attr, attr_ms, &err);
}

static void op_readlink(fuse_req_t req, fuse_ino_t node)
{
	struct loam_err err = { 0 };
	loam_auto_buf struct loam_buf target = LOAM_BUF(LOAM_SYMLINK_BYTES_MAX);
	int rc = loam_vfs_readlink(loam_fuse_of(req)->vfs, node, &target, &err);
	if (rc)
		loam_fuse_fail(req, "readlink", node, rc, &err);
	else
		fuse_reply_readlink(req, loam_buf_text(&target));
}

static void make(fuse_req_t req, const char *what, fuse_ino_t parent, const char *name,
		 const struct loam_create *create)
{
	struct loam_err err = { 0 };
	loam_auto_caller struct loam_caller caller = loam_fuse_caller(req);
	struct loam_entry entry;
	int rc = loam_vfs_make(loam_fuse_of(req)->vfs, &caller, parent, name, create, &entry, &err);
	reply_entry(req, what, parent, rc, &entry, &err);
}

static void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
	struct loam_create create = { .type = type_of(mode),
				      .mode = mode & 07777,
				      .rdev = (uint32_t)rdev };
	make(req, "mknod", parent, name, &create);
}

static void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	struct loam_create create = { .type = LOAM_TYPE_DIR, .mode = mode & 07777 };
	make(req, "mkdir", parent, name, &create);
}

static void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
	if (strlen(target) > LOAM_SYMLINK_BYTES_MAX) {
		fuse_reply_err(req, ENAMETOOLONG);
		return;
	}
	struct loam_create create = { .type = LOAM_TYPE_SYMLINK, .mode = 0777, .target = target };
	make(req, "symlink", parent, name, &create);
}

static void op_link(fuse_req_t req, fuse_ino_t node, fuse_ino_t parent, const char *name)
{
	struct loam_err err = { 0 };
	loam_auto_caller struct loam_caller caller = loam_fuse_caller(req);
	struct loam_entry entry;
	int rc = loam_vfs_link(loam_fuse_of(req)->vfs, &caller, node, parent, name, &entry, &err);
	reply_entry(req, "link", node, rc, &entry, &err);
}

static void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct loam_err err = { 0 };
	loam_auto_caller struct loam_caller caller = loam_fuse_caller(req);
	int rc = loam_vfs_unlink(loam_fuse_of(req)->vfs, &caller, parent, name, &err);
	loam_fuse_done(req, "unlink", parent, rc, &err);
}

static void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct loam_err err = { 0 };
	loam_auto_caller struct loam_caller caller = loam_fuse_caller(req);
	int rc = loam_vfs_rmdir(loam_fuse_of(req)->vfs, &caller, parent, name, &err);
	loam_fuse_done(req, "rmdir", parent, rc, &err);
}

static void op_rename(fuse_req_t req, fuse_ino_t from_parent, const char *from,
		      fuse_ino_t to_parent, const char *to, unsigned flags)
{
	struct loam_err err = { 0 };
	loam_auto_caller struct loam_caller caller = loam_fuse_caller(req);
	int rc = loam_vfs_rename(loam_fuse_of(req)->vfs, &caller, from_parent, from, to_parent, to,
				 flags, &err);
	loam_fuse_done(req, "rename", from_parent, rc, &err);
}

static void op_statfs(fuse_req_t req, fuse_ino_t node)
{
	struct loam_err err = { 0 };
	struct loam_statfs stats;
	int rc = loam_vfs_statfs(loam_fuse_of(req)->vfs, &stats, &err);
	if (rc) {
		loam_fuse_fail(req, "statfs", node, rc, &err);
		return;
	}
	uint64_t free_blocks = stats.avail_bytes / STATFS_BLOCK_BYTES;
	struct statvfs out = { .f_bsize = STATFS_BLOCK_BYTES,
			       .f_frsize = STATFS_BLOCK_BYTES,
			       .f_blocks = stats.total_bytes / STATFS_BLOCK_BYTES,
			       .f_bfree = free_blocks,
			       .f_bavail = free_blocks,
			       .f_files = stats.used_inodes + stats.avail_inodes,
			       .f_ffree = stats.avail_inodes,
			       .f_favail = stats.avail_inodes,
			       .f_namemax = LOAM_NAME_BYTES_MAX };
	fuse_reply_statfs(req, &out);
}

const struct fuse_lowlevel_ops loam_fuse_ops = {
	.init = op_init,
	.lookup = op_lookup,
	.forget = op_forget,
	.forget_multi = op_forget_multi,
	.getattr = op_getattr,
	.setattr = op_setattr,
	.readlink = op_readlink,
	.mknod = op_mknod,
	.mkdir = op_mkdir,
	.symlink = op_symlink,
	.link = op_link,
	.unlink = op_unlink,
	.rmdir = op_rmdir,
	.rename = op_rename,
	.statfs = op_statfs,
	.open = loam_fuse_open,
	.create = loam_fuse_create,
	.read = loam_fuse_read,
	.write = loam_fuse_write,
	.flush = loam_fuse_flush,
	.release = loam_fuse_release,
	.fsync = loam_fuse_fsync,
	.fallocate = loam_fuse_fallocate,
	.copy_file_range = loam_fuse_copy_file_range,
	.opendir = loam_fuse_opendir,
	.readdir = loam_fuse_readdir,
	.readdirplus = loam_fuse_readdirplus,
	.releasedir = loam_fuse_releasedir,
	.fsyncdir = loam_fuse_fsyncdir,
	.getxattr = loam_fuse_getxattr,
	.listxattr = loam_fuse_listxattr,
	.setxattr = loam_fuse_setxattr,
	.removexattr = loam_fuse_removexattr,
	.ioctl = loam_fuse_ioctl,
};
