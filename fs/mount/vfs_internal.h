/*
 * What the vfs_*.c files share. Nothing outside fs/mount includes this.
 */
#ifndef LOAM_FS_MOUNT_VFS_INTERNAL_H
#define LOAM_FS_MOUNT_VFS_INTERNAL_H

#include "fs/mount/vfs.h"

#include "core/auto.h"
#include "core/clock.h"

#include <stdatomic.h>

struct loam_vfs {
	struct loam_data *data;
	struct loam_meta *meta;
	struct loam_nodes *nodes;
	struct loam_gates *gates;   /* NULL without a tree */
	struct loam_roster *roster; /* likewise */
	struct loam_passthrough *passthrough;
	uint64_t attr_ns;
	bool acl;
	atomic_bool barrier_warned;
	pthread_mutex_t handles_lock; /* of the two lists */
	struct loam_handle *handles;
	struct loam_dir_handle *dir_handles;
};

struct loam_handle {
	struct loam_handle *prev, *next;
	uint64_t node, ino;
	struct loam_file *file;	      /* NULL for passthrough */
	struct loam_backing *backing; /* NULL for the ordinary path */
	bool writes;
};

struct loam_dir_handle {
	struct loam_dir_handle *prev, *next;
	uint64_t ino;
	pthread_mutex_t lock; /* of what follows; held during the question: one reader at a time */
	struct loam_dir *dir; /* NULL until first needed */
	bool advanced;
	uint64_t asked_ns;
};

/* DENIED for a caller whom the roster shuts out: asked by each request that finds, opens or changes
 * something. */
int loam_vfs_admit(struct loam_vfs *vfs, const struct loam_caller *caller, struct loam_err *err);
/* Length 1…255; shape is the kernel's business, limits are ours. */
int loam_vfs_name(const char *text, struct loam_name *out, struct loam_err *err);
/* True for .trash, .accesslog, .stats, .config and .control in the root. */
bool loam_vfs_is_reserved(uint64_t parent, struct loam_name name);
/* Milliseconds for which the kernel may keep an inode's attributes, asked for at asked_ns. */
uint32_t loam_vfs_attr_ms(const struct loam_vfs *vfs, uint64_t ino, uint64_t asked_ns);
/* attr becomes what an open file of this mount makes of it (length not yet committed). */
void loam_vfs_overlay(struct loam_vfs *vfs, uint64_t ino, struct loam_attr *attr);
/* The node table and the open file, if any, learn the attributes after a change of ours. */
void loam_vfs_changed(struct loam_vfs *vfs, uint64_t ino, const struct loam_attr *attr);
/* Commits what this mount's open file, if any, holds back. */
int loam_vfs_settle(struct loam_vfs *vfs, uint64_t ino, struct loam_err *err);
/* Clears set-id bits after a change of content by anyone but root, as the kernel would. */
int loam_vfs_drop_set_id(struct loam_vfs *vfs, const struct loam_caller *caller, uint64_t ino,
			 uint16_t mode, struct loam_err *err);

#endif
