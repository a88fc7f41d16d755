/*
 * A mounted volume, from the mount to its end.
 *
 * Threads: run blocks its thread. SIGINT, SIGTERM and SIGHUP end the mount; the process must have
 *          blocked them before it started any thread (loam_mount_block_signals), so that only the
 * mount hears them. One mount per process at a time.
 */
#ifndef LOAM_FS_MOUNT_MOUNT_H
#define LOAM_FS_MOUNT_MOUNT_H

#include "fs/data/data.h"

struct loam_mount_options {
	const char *dir;       /* absolute */
	const char *tree_root; /* where gates are looked for; NULL: none */
	uint32_t service_uid;  /* owner of the kind directories */
	bool read_only, no_exec, no_passthrough;
	uint32_t attr_ms;	  /* how long the kernel may keep attributes */
	uint32_t entry_ms;	  /* names; 0: every path asks */
	void (*ready)(void *arg); /* called once when the mount is up; may be NULL */
	void *ready_arg;
};
#define LOAM_MOUNT_ATTR_MS 1000 /* until mounts hear of each other's changes */

void loam_mount_block_signals(void);

/* Until the mount is unmounted or a signal ends it. What was written is committed, or the error
 * comes out here. Errors: NOT_FOUND, NOT_DIR for dir, UNSUPPORTED without /dev/fuse. */
int loam_mount_run(struct loam_data *data, const struct loam_mount_options *options,
		   struct loam_err *err);

/* Detaches what a dead mount left at dir; 1 done, 0 nothing there. */
int loam_mount_detach_stale(const char *dir, struct loam_err *err);
/* Unmounts; force: also a hung one, whose requests are aborted. */
int loam_mount_unmount(const char *dir, bool force, struct loam_err *err);

#endif
