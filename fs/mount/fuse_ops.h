/*
 * The FUSE face of the mount: takes a request apart, asks vfs.h, and replies exactly once.
 *
 * Threads: libfuse's workers. A reply that did not reach the kernel undoes what it would have held.
 */
#ifndef LOAM_FS_MOUNT_FUSE_OPS_H
#define LOAM_FS_MOUNT_FUSE_OPS_H

#define FUSE_USE_VERSION 314
#include <fuse3/fuse_lowlevel.h>

#include "fs/mount/control.h"
#include "fs/mount/vfs.h"

/* The session's user data. */
struct loam_fuse {
	struct loam_vfs *vfs;
	struct loam_control *control;
	double entry_seconds; /* how long the kernel may keep a name, present or absent */
	bool acl;
	struct fuse_session *session; /* not owned */
	/* Called once the kernel has agreed; may be NULL. */
	void (*ready)(void *arg);
	void *ready_arg;
};

extern const struct fuse_lowlevel_ops loam_fuse_ops;

/* ---- shared by the fuse_ops_*.c files ------------------------------------------------------- */
struct loam_fuse *loam_fuse_of(fuse_req_t req);
/* Released with loam_caller_release(). */
struct loam_caller loam_fuse_caller(fuse_req_t req);
#define loam_auto_caller __attribute__((cleanup(loam_caller_release)))
/* Replies with the errno of a failure and logs it if it is one of ours or of a backend. */
void loam_fuse_fail(fuse_req_t req, const char *what, uint64_t node, int code,
		    const struct loam_err *err);
/* Replies 0 or fails. */
void loam_fuse_done(fuse_req_t req, const char *what, uint64_t node, int code,
		    const struct loam_err *err);
void loam_fuse_stat(uint64_t ino, const struct loam_attr *attr, struct stat *out);
void loam_fuse_entry(const struct loam_fuse *fuse, const struct loam_entry *entry,
		     struct fuse_entry_param *out);

void loam_fuse_open(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *info);
void loam_fuse_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
		      struct fuse_file_info *info);
void loam_fuse_read(fuse_req_t req, fuse_ino_t node, size_t bytes, off_t offset,
		    struct fuse_file_info *info);
void loam_fuse_write(fuse_req_t req, fuse_ino_t node, const char *data, size_t bytes, off_t offset,
		     struct fuse_file_info *info);
void loam_fuse_flush(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *info);
void loam_fuse_release(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *info);
void loam_fuse_fsync(fuse_req_t req, fuse_ino_t node, int data_only, struct fuse_file_info *info);
void loam_fuse_fallocate(fuse_req_t req, fuse_ino_t node, int mode, off_t offset, off_t bytes,
			 struct fuse_file_info *info);
void loam_fuse_copy_file_range(fuse_req_t req, fuse_ino_t from, off_t from_offset,
			       struct fuse_file_info *from_info, fuse_ino_t to, off_t to_offset,
			       struct fuse_file_info *to_info, size_t bytes, int flags);
void loam_fuse_opendir(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *info);
void loam_fuse_readdir(fuse_req_t req, fuse_ino_t node, size_t bytes, off_t offset,
		       struct fuse_file_info *info);
void loam_fuse_readdirplus(fuse_req_t req, fuse_ino_t node, size_t bytes, off_t offset,
			   struct fuse_file_info *info);
void loam_fuse_releasedir(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *info);
void loam_fuse_fsyncdir(fuse_req_t req, fuse_ino_t node, int data_only,
			struct fuse_file_info *info);
void loam_fuse_getxattr(fuse_req_t req, fuse_ino_t node, const char *name, size_t room);
void loam_fuse_listxattr(fuse_req_t req, fuse_ino_t node, size_t room);
void loam_fuse_setxattr(fuse_req_t req, fuse_ino_t node, const char *name, const char *value,
			size_t bytes, int flags);
void loam_fuse_removexattr(fuse_req_t req, fuse_ino_t node, const char *name);
void loam_fuse_ioctl(fuse_req_t req, fuse_ino_t node, unsigned command, void *arg,
		     struct fuse_file_info *info, unsigned flags, const void *in, size_t in_bytes,
		     size_t out_bytes);

#endif
