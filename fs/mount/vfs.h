/*
 * The mount's file system as functions: they compute and return codes, and know nothing of FUSE
 * replies (fuse_ops.c does that, exactly once per request).
 *
 * Node ids are those of node.h; an unknown one is STALE. Names come as they are in the request.
 *
 * Threads: any. Errors: as fs/meta/meta.h; STALE for a node or open that no longer fits.
 * Source:  design.md §2.2, §4; volume format document §3, §4.
 */
#ifndef LOAM_FS_MOUNT_VFS_H
#define LOAM_FS_MOUNT_VFS_H

#include "fs/data/data.h"
#include "fs/mount/caller.h"
#include "fs/mount/gate.h"
#include "fs/mount/node.h"
#include "fs/mount/passthrough.h"

#define LOAM_FILE_LENGTH_MAX (1ull << 57) /* 2^31 chunks of 64 MiB */

struct loam_vfs;

struct loam_vfs_options {
	const char *tree_root; /* NULL: the volume has no gates */
	uint32_t service_uid;
	uint32_t attr_ms;		      /* how long the kernel may keep attributes */
	bool acl;			      /* the volume has POSIX ACLs */
	struct loam_passthrough *passthrough; /* NULL: the ordinary path only; borrowed */
};

/* data is borrowed. */
struct loam_vfs *loam_vfs_new(struct loam_data *data, const struct loam_vfs_options *options);
void loam_vfs_free(struct loam_vfs *vfs);
struct loam_data *loam_vfs_data(struct loam_vfs *vfs);
struct loam_nodes *loam_vfs_nodes(struct loam_vfs *vfs);
struct loam_gates *loam_vfs_gates(struct loam_vfs *vfs); /* NULL without a tree */
/* The inode behind a node id. */
int loam_vfs_inode(struct loam_vfs *vfs, uint64_t node, uint64_t *out_ino, struct loam_err *err);

/* An answer that makes the kernel hold a node: counted, undone by forget. */
struct loam_entry {
	uint64_t node, ino;
	struct loam_attr attr;
	uint32_t attr_ms; /* the kernel may keep attr so long */
};

/* ---- names (vfs.c) ------------------------------------------------------------------------ */
int loam_vfs_lookup(struct loam_vfs *vfs, struct loam_caller *caller, uint64_t parent,
		    const char *name, struct loam_entry *out, struct loam_err *err);
void loam_vfs_forget(struct loam_vfs *vfs, uint64_t node, uint64_t count);
/* mknod, mkdir, symlink. */
int loam_vfs_make(struct loam_vfs *vfs, struct loam_caller *caller, uint64_t parent,
		  const char *name, const struct loam_create *create, struct loam_entry *out,
		  struct loam_err *err);
int loam_vfs_link(struct loam_vfs *vfs, struct loam_caller *caller, uint64_t node, uint64_t parent,
		  const char *name, struct loam_entry *out, struct loam_err *err);
int loam_vfs_readlink(struct loam_vfs *vfs, uint64_t node, struct loam_buf *out,
		      struct loam_err *err);
int loam_vfs_unlink(struct loam_vfs *vfs, struct loam_caller *caller, uint64_t parent,
		    const char *name, struct loam_err *err);
int loam_vfs_rmdir(struct loam_vfs *vfs, struct loam_caller *caller, uint64_t parent,
		   const char *name, struct loam_err *err);
/* flags: as renameat2(2). */
int loam_vfs_rename(struct loam_vfs *vfs, struct loam_caller *caller, uint64_t from_parent,
		    const char *from, uint64_t to_parent, const char *to, unsigned flags,
		    struct loam_err *err);
int loam_vfs_statfs(struct loam_vfs *vfs, struct loam_statfs *out, struct loam_err *err);

/* ---- attributes (vfs_attr.c) ---------------------------------------------------------------- */
struct loam_handle;
/* handle may be NULL. */
int loam_vfs_getattr(struct loam_vfs *vfs, uint64_t node, const struct loam_handle *handle,
		     struct loam_attr *out_attr, uint32_t *out_attr_ms, struct loam_err *err);
/* set: enum loam_set_attr bits; length: NULL, or the new length. */
int loam_vfs_setattr(struct loam_vfs *vfs, struct loam_caller *caller, uint64_t node,
		     const struct loam_handle *handle, unsigned set, const struct loam_attr *values,
		     const uint64_t *length, struct loam_attr *out_attr, uint32_t *out_attr_ms,
		     struct loam_err *err);
int loam_vfs_getxattr(struct loam_vfs *vfs, uint64_t node, const char *name, struct loam_buf *out,
		      struct loam_err *err);
/* Names, each followed by NUL; trusted.* for uid 0 only. */
int loam_vfs_listxattr(struct loam_vfs *vfs, struct loam_caller *caller, uint64_t node,
		       struct loam_buf *out, struct loam_err *err);
/* flags: enum loam_xattr_flags. */
int loam_vfs_setxattr(struct loam_vfs *vfs, struct loam_caller *caller, uint64_t node,
		      const char *name, const void *value, size_t value_bytes, unsigned flags,
		      struct loam_err *err);
int loam_vfs_removexattr(struct loam_vfs *vfs, struct loam_caller *caller, uint64_t node,
			 const char *name, struct loam_err *err);

/* ---- open files (vfs_file.c) ---------------------------------------------------------------- */
struct loam_opened {
	struct loam_handle *handle;
	bool keep_cache;
	int32_t backing_id; /* of passthrough; 0: ordinary */
};
/* flags: as open(2). */
int loam_vfs_open(struct loam_vfs *vfs, struct loam_caller *caller, uint64_t node, int flags,
		  struct loam_opened *out, struct loam_err *err);
int loam_vfs_create(struct loam_vfs *vfs, struct loam_caller *caller, uint64_t parent,
		    const char *name, uint16_t mode, int flags, struct loam_entry *out_entry,
		    struct loam_opened *out_opened, struct loam_err *err);
void loam_vfs_release(struct loam_vfs *vfs, struct loam_handle *handle);
/* Releases what the kernel never closed: the end of a mount that was still in use. */
void loam_vfs_close_all(struct loam_vfs *vfs);
/* Without a copy where that can be: loam_lent_return(). */
int loam_vfs_read(struct loam_vfs *vfs, struct loam_handle *handle, uint64_t offset, size_t bytes,
		  struct loam_lent *out, struct loam_err *err);
int loam_vfs_write(struct loam_vfs *vfs, struct loam_caller *caller, struct loam_handle *handle,
		   uint64_t offset, const void *bytes, size_t count, struct loam_err *err);
/* close(2): what was written through this handle is committed, or the error comes out here. */
int loam_vfs_flush(struct loam_vfs *vfs, struct loam_handle *handle, struct loam_err *err);
/* Durable when it returns 0, as far as the store can promise it. handle NULL: a directory. */
int loam_vfs_fsync(struct loam_vfs *vfs, struct loam_handle *handle, struct loam_err *err);
int loam_vfs_fallocate(struct loam_vfs *vfs, struct loam_caller *caller, struct loam_handle *handle,
		       unsigned mode, uint64_t offset, uint64_t bytes, struct loam_err *err);
int loam_vfs_copy_range(struct loam_vfs *vfs, struct loam_caller *caller, struct loam_handle *from,
			uint64_t from_offset, struct loam_handle *to, uint64_t to_offset,
			uint64_t bytes, uint64_t *out_copied, struct loam_err *err);

/* ---- directories (vfs_dir.c) ---------------------------------------------------------------- */
struct loam_dir_handle;
int loam_vfs_opendir(struct loam_vfs *vfs, struct loam_caller *caller, uint64_t node,
		     struct loam_dir_handle **out_handle, struct loam_err *err);
void loam_vfs_releasedir(struct loam_vfs *vfs, struct loam_dir_handle *handle);
/*
 * Entries from `offset` on, handed to `give` until it answers false (no room) or the end is
 * reached. The listing is a snapshot of the first call; offset 0 takes a new one. `.` and `..` come
 * first.
 */
struct loam_listed {
	const char *name; /* NUL-terminated */
	uint64_t ino;
	uint8_t type;
	uint64_t next_offset;
	const struct loam_attr *attr; /* NULL unless asked for and there */
	uint64_t asked_ns;
};
int loam_vfs_readdir(struct loam_vfs *vfs, struct loam_dir_handle *handle, uint64_t offset,
		     bool with_attrs, bool (*give)(void *arg, const struct loam_listed *listed),
		     void *arg, struct loam_err *err);
/* A listed entry as if it had been looked up. False, and nothing counted, where the listing does
 * not know its present attributes (none, too old, or open for writing here). */
bool loam_vfs_adopt(struct loam_vfs *vfs, const struct loam_dir_handle *handle,
		    const struct loam_listed *listed, struct loam_entry *out);

#endif
