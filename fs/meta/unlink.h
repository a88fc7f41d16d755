/*
 * What happens to an inode whose name goes: shared by unlink, rename over a target, removal of
 * trees and the last close.
 *
 * Use: loam_unlink_drop() inside the transaction, loam_unlink_after() once it is committed.
 * Source: volume format document §4.7.
 */
#ifndef LOAM_FS_META_UNLINK_H
#define LOAM_FS_META_UNLINK_H

#include "fs/meta/meta.h"
#include "fs/meta/txn.h"

/* What is left to do behind the commit. A run of the transaction starts with { 0 }. */
struct loam_gone {
	uint64_t ino;
	uint64_t length;
	bool deleted_file; /* its data is to be deleted in the background */
	bool sustained;	   /* open here: the last close deletes it */
};

/* One name of a non-directory, in parent, is gone (the caller deletes the dentry). *attr is the
 * inode's and is changed. */
void loam_unlink_drop(struct loam_txn *txn, uint64_t parent, uint64_t ino, struct loam_attr *attr,
		      struct timespec now, struct loam_gone *out_gone);
/* The inode of a regular file goes: delfiles, attr, usage. */
void loam_unlink_delete_file(struct loam_txn *txn, uint64_t ino, const struct loam_attr *attr,
			     struct loam_gone *out_gone);
/* An empty directory's inode goes (the caller deletes the dentry and changes the parent). */
void loam_unlink_delete_dir(struct loam_txn *txn, uint64_t ino);
/*
 * The directory must be empty at the commit. run counts the runs of the caller's function from 1:
 * the first only demands it in the commit (no trip), later ones look. NOT_EMPTY.
 */
int loam_unlink_demand_empty(struct loam_txn *txn, uint64_t ino, unsigned run,
			     struct loam_err *err);
void loam_unlink_after(struct loam_meta *meta, const struct loam_gone *gone);

#endif
