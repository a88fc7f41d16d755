/*
 * Who sent a request to the mount. Supplementary groups cost a look into /proc, so they are fetched
 * only when something depends on them.
 *
 * Threads: one request on one thread.
 */
#ifndef LOAM_FS_MOUNT_CALLER_H
#define LOAM_FS_MOUNT_CALLER_H

#include "fs/meta/meta.h"

#define LOAM_CALLER_GROUPS_MAX 65536 /* NGROUPS_MAX of Linux */

struct loam_caller {
	uint32_t uid, gid;
	uint16_t umask;
	/* Number of supplementary groups, the first `max` of them in out; negative when unknown. */
	int (*fetch_groups)(void *arg, uint32_t *out, size_t max);
	/* The caller has gone or was interrupted. */
	bool (*cancelled)(void *arg);
	void *arg;
	/* filled by loam_caller_groups(); [0] is gid */
	uint32_t *groups;
	size_t group_count;
};

/* The request as the metadata layer wants it; permissions were checked by the kernel. */
struct loam_who loam_caller_who(const struct loam_caller *caller);
/* The same with supplementary groups; owned by the caller. Errors: DENIED when there are more than
 * LOAM_CALLER_GROUPS_MAX. */
int loam_caller_who_with_groups(struct loam_caller *caller, struct loam_who *out,
				struct loam_err *err);
void loam_caller_release(struct loam_caller *caller);

#endif
