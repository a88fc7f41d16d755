/*
 * Staging: directories under /.loam/staging in which uploads and publishes are built, each with a
 * sign of life, swept when their maker is dead (design.md §2.4, reliability.md L03).
 *
 * A job is alive while its directory's mtime, kept in the store's own clock, is younger than
 * lfs.stagingSeconds. One thread per process touches all its jobs four times in that span.
 * Threads: any.
 */
#ifndef LOAM_LFS_STAGING_H
#define LOAM_LFS_STAGING_H

#include "auth/tree.h"

struct loam_staging;
struct loam_job;

int loam_staging_open(const struct loam_tree *tree, uint64_t life_seconds,
		      struct loam_staging **out_staging, struct loam_err *err);
/* Every job must have been freed. Accepts NULL. */
void loam_staging_close(struct loam_staging *staging);

/* A new, empty directory of the service, 0700. */
int loam_job_new(struct loam_staging *staging, struct loam_job **out_job, struct loam_err *err);
uint64_t loam_job_ino(const struct loam_job *job);
/* Removes the directory with all that is in it; failing that, the sweep does. Accepts NULL. */
void loam_job_free(struct loam_job *job);

/* Removes jobs without a sign of life, of any process. */
int loam_staging_sweep(struct loam_staging *staging, uint64_t *out_removed, struct loam_err *err);

#endif
