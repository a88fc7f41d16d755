/*
 * One published tree against one Git tree (private to sync/fsck_tree.c).
 */
#ifndef LOAM_SYNC_FSCK_PUBLISHED_H
#define LOAM_SYNC_FSCK_PUBLISHED_H

#include "fs/fsck.h"

#include <git2.h>

struct loam_fsck_published {
	struct loam_volume *volume;
	git_repository *git;
	const struct loam_fsck_sink *sink;
	const char *repo; /* "models/qwen/tiny", for messages */
	bool deep;
	uint64_t files; /* out: met */
};
/* git_tree NULL: nothing may stand there. Findings M02 and M05. */
int loam_fsck_published(struct loam_fsck_published *published, uint64_t gate_ino,
			const git_tree *git_tree, struct loam_err *err);

#endif
