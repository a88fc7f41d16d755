/*
 * Work in progress on the volume: jobs below /.loam/staging, for uploads and for publishing.
 *
 * A job is a file or a directory there. While its process lives a thread of struct loam_staging
 * gives every job a sign of life; one that has had none for lfs.stagingSeconds is dead and swept,
 * by any server of the volume. Nothing in staging is ever read by users.
 *
 * Shape:   /.loam/staging/SECONDS-RANDOM, SECONDS of the store's clock when it was made; later
 *          signs of life stand in its xattr trusted.loam.alive, decimal seconds of that clock.
 * Threads: any; one thread a job.
 * Source:  design.md §2.4; reliability.md L03, R02, F52 (one clock: the store's).
 */
#ifndef LOAM_LFS_STAGING_H
#define LOAM_LFS_STAGING_H

#include "auth/tree.h"

#define LOAM_XATTR_ALIVE    "trusted.loam.alive"
#define LOAM_JOB_NAME_BYTES 48

struct loam_staging;

struct loam_job {
	uint64_t dir;			/* inode of /.loam/staging */
	char name[LOAM_JOB_NAME_BYTES]; /* in it */
	uint64_t ino;
	struct loam_staging *staging;
	struct loam_job *prev, *next; /* of staging's list; prev NULL: not in it */
};

/* tree is borrowed. Starts the thread. */
int loam_staging_open(const struct loam_tree *tree, uint64_t life_seconds,
		      struct loam_staging **out_staging, struct loam_err *err);
/* All jobs must have ended. Accepts NULL. */
void loam_staging_close(struct loam_staging *staging);

/* A new job owned by the service: LOAM_TYPE_FILE (0400) or LOAM_TYPE_DIR (0700). */
int loam_staging_make(struct loam_staging *staging, enum loam_type type, struct loam_job **out_job,
		      struct loam_err *err);
/* No more signs of life from here on: what a commit moves must not be touched behind it. */
void loam_staging_seal(struct loam_job *job);
/* Ends the job and frees it. taken: a commit has moved it, its name is gone; else what stands there
 * is removed, and a failure leaves it to the sweep. Accepts NULL. */
void loam_staging_end(struct loam_job *job, bool taken);

/* Removes every dead job of any server. */
int loam_staging_sweep(struct loam_staging *staging, struct loam_err *err);
/* The store's clock, as last asked for. */
int64_t loam_staging_now(struct loam_staging *staging);

#endif
