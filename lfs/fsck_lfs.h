/*
 * Checks the LFS objects of a volume (reliability.md §1): L01 (every byte of an object stands in a
 * slice; with deep its SHA-256 is its name), L10 (the pool's files and the repositories' links to
 * them), R02 (staging past its life). Nothing is changed. The volume may be in use: what does not
 * fit is read again before it is reported.
 *
 * Owner: memory grows with the count of objects (about 200 bytes each).
 */
#ifndef LOAM_LFS_FSCK_LFS_H
#define LOAM_LFS_FSCK_LFS_H

#include "auth/tree.h"
#include "fs/fsck.h"

struct loam_fsck_lfs_options {
	bool deep;
	uint64_t staging_seconds; /* lfs.stagingSeconds */
};
struct loam_fsck_lfs_stats {
	uint64_t objects, bytes, links;
};
/* tree->volume->data is used with deep only. */
int loam_fsck_lfs(const struct loam_tree *tree, const struct loam_fsck_lfs_options *options,
		  const struct loam_fsck_sink *sink, struct loam_fsck_lfs_stats *out_stats,
		  struct loam_err *err);

#endif
