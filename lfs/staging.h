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

/* On jobs only: whoever takes one elsewhere removes it. */
#define LOAM_XATTR_ALIVE "trusted.loam.alive"

struct loam_staging;
struct loam_job;

/* tree is borrowed. Starts the thread. */
int loam_staging_open(const struct loam_tree *tree, uint64_t life_seconds,
		      struct loam_staging **out_staging, struct loam_err *err);
/* Every job must have been freed. Accepts NULL. */
void loam_staging_close(struct loam_staging *staging);

/* A new, empty directory of the service, 0700. */
int loam_job_new(struct loam_staging *staging, struct loam_job **out_job, struct loam_err *err);
/* A new, empty file of the service, 0400. */
int loam_job_new_file(struct loam_staging *staging, struct loam_job **out_job,
		      struct loam_err *err);
uint64_t loam_job_ino(const struct loam_job *job);
/* Where it stands: the directory, and its name there (borrowed from job). */
uint64_t loam_job_place(const struct loam_job *job, struct loam_name *out_name);
/* No more signs of life: nothing is written to the inode behind this call. Before a commit that
 * takes the job elsewhere. */
void loam_job_seal(struct loam_job *job);
/* Removes the job with all that is in it; failing that, the sweep does. Accepts NULL. */
void loam_job_free(struct loam_job *job);
/* Frees a sealed job whose inode a commit has taken elsewhere. */
void loam_job_taken(struct loam_job *job);

/* false: a sweep has given the job up and takes its entries away. A commit that moves entries of a
 * directory job asks this of the attr it relies on; the sweep changes that first. */
bool loam_job_is_alive(const struct loam_attr *job);
/* Removes what stands at path, for everybody at one instant: it becomes a job, and that is removed
 * here or, if this process dies, swept. Missing is success. */
int loam_staging_discard(const struct loam_tree *tree, const char *path, struct loam_err *err);
/* Removes jobs without a sign of life, of any process. */
int loam_staging_sweep(struct loam_staging *staging, uint64_t *out_removed, struct loam_err *err);
/* The store's clock in seconds, as it stood when it was last asked for, plus the time since. */
int64_t loam_staging_now(struct loam_staging *staging);

#endif
