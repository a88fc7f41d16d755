/*
 * Checks what stands published (reliability.md §1): M01 (a gate shows its branch's commit), M02
 * (its tree is that commit's, pointers replaced: names, modes, owners and sizes, with deep every
 * byte), M05, M07, and with deep G01 (git fsck --connectivity-only). Nothing is changed.
 *
 * A repository that does not fit is looked at again a second later, and reported only if it still
 * does not and shows the same commit as before; one whose branch is ahead is waited for, 30 s in
 * all. So a push or publish on its way is no finding.
 */
#ifndef LOAM_SYNC_FSCK_TREE_H
#define LOAM_SYNC_FSCK_TREE_H

#include "auth/tree.h"
#include "fs/fsck.h"

struct loam_fsck_tree_options {
	bool deep;
	const char *git_root; /* bare repositories; NULL: not here, only gates are checked */
};
struct loam_fsck_tree_stats {
	uint64_t repositories, files;
};
int loam_fsck_tree(const struct loam_tree *tree, const struct loam_fsck_tree_options *options,
		   const struct loam_fsck_sink *sink, struct loam_fsck_tree_stats *out_stats,
		   struct loam_err *err);

#endif
