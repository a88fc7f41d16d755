/*
 * A volume mounted for a test: memory engine and memory store in a child process, real system calls
 * from the test. Needs root and /dev/fuse.
 */
#ifndef LOAM_TESTS_SUPPORT_MOUNTED_H
#define LOAM_TESTS_SUPPORT_MOUNTED_H

#include "fs/mount/mount.h"

#include <stdbool.h>
#include <sys/types.h>

#define LOAM_TEST_SERVICE_UID 20000u

struct loam_test_mount {
	/* Set before the start: */
	const char *cache_dir;	 /* NULL: no node cache */
	const char *store_rules; /* of loam_store_fault_open; NULL: the store never fails */
	char dir[64];
	pid_t pid;
};

/* NULL, or why nothing can be mounted here (the test is skipped with it). */
const char *loam_test_mount_obstacle(void);
/* change: adapts the options of the mount, may be NULL. Aborts the test program on failure. */
void loam_test_mount_start(struct loam_test_mount *mount,
			   void (*change)(struct loam_mount_options *options));
/* Ends it with SIGTERM, removes the directory; returns the child's exit status. */
int loam_test_mount_stop(struct loam_test_mount *mount);

/* Runs fn in a child that is this user and nothing else; its return value (an errno, 0 for
 * success). */
int loam_test_as(uid_t uid, gid_t gid, const gid_t *groups, size_t group_count,
		 int (*fn)(const char *path), const char *path);

#endif
