/*
 * Removal of what stands below a directory: shared by loam_meta_remove_tree(), clones that failed
 * and detached nodes that nobody finished.
 *
 * Source: volume format document §4.7 (batch unlink), §4.14.
 */
#ifndef LOAM_FS_META_REMOVE_TREE_H
#define LOAM_FS_META_REMOVE_TREE_H

#include "fs/meta/meta.h"

/* Names in one transaction: they, their inodes and the directory are its checks. */
#define LOAM_UNLINK_BATCH_MAX 99
/* Deepest tree that is walked: one listing is held for each level. */
#define LOAM_TREE_DEPTH_MAX 4096

/* Empties a directory, which stays. Entries that vanish meanwhile are fine; NOT_EMPTY when others
 * go on creating; TOO_BIG for a deeper tree. */
int loam_tree_empty(struct loam_meta *meta, const struct loam_who *who, uint64_t ino,
		    struct loam_err *err);

#endif
