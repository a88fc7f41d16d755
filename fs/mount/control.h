/*
 * The ioctls of a mount: tickets and clones (loam_ioctl_format.h), and the inode flags of
 * chattr(1).
 *
 * Threads: any. At most LOAM_CONTROL_CLONES_MAX clones run at once, so that they never take all the
 * mount's threads; one more is BUSY.
 */
#ifndef LOAM_FS_MOUNT_CONTROL_H
#define LOAM_FS_MOUNT_CONTROL_H

#include "fs/mount/vfs.h"

#define LOAM_CONTROL_TICKETS_MAX	 4096
#define LOAM_CONTROL_TICKETS_PER_UID_MAX 64
#define LOAM_CONTROL_CLONES_MAX		 8
#define LOAM_CONTROL_OUT_BYTES_MAX	 512

struct loam_control;

struct loam_control *loam_control_new(struct loam_vfs *vfs);
void loam_control_free(struct loam_control *control);

/*
 * Runs one ioctl on an open file or directory. out holds
 * LOAM_CONTROL_OUT_BYTES_MAX zero bytes. 1 done, with
 * *out_bytes to return; 0 when the command is none of ours (the caller answers ENOTTY); -code:
 * INVALID when the sizes are wrong.
 */
int loam_control_ioctl(struct loam_control *control, struct loam_caller *caller, uint64_t node,
		       unsigned command, const void *in, size_t in_bytes, size_t out_room,
		       void *out, size_t *out_bytes, struct loam_err *err);

#endif
