/*
 * A directory of the volume as a Git tree, made as one account would make it with `git add -A`.
 *
 * Files whose slices are those of the published file at the same path, or of an object, are known
 * and not read. Files of LOAM_PUBLISH_LFS_BYTES and more, and those with filter=lfs, become LFS
 * objects (lfs/take_file.h); the others blobs. Rights are those of the account: every directory is
 * searched and read, every file read, as it.
 *
 * Threads: one at a time. Durable: blobs and trees are on the server's disk, objects behind the
 * next loam_meta_barrier.
 */
#ifndef LOAM_SYNC_WORKSPACE_H
#define LOAM_SYNC_WORKSPACE_H

#include "lfs/take_file.h"
#include "sync/object_batch.h"

#define LOAM_PUBLISH_LFS_BYTES (10u << 20)

struct loam_workspace {
	const struct loam_take_file *into; /* where large files go */
	struct loam_object_batch *batch;   /* where the other objects go */
	struct loam_who who;
	uint64_t ino;		/* of the directory; the way to it has been checked */
	git_tree *shown;	/* what the live tree shows; NULL: nothing */
	uint64_t shown_ino;	/* where it stands; 0: nowhere */
	struct loam_buf *notes; /* lines for the user */
};

struct loam_workspace_stats {
	uint64_t files, bytes;		     /* of the tree */
	uint64_t known_files;		     /* not read: their slices are known */
	uint64_t hashed_files, hashed_bytes; /* read for the pool */
	uint64_t small_files, small_bytes;   /* read for blobs */
	uint64_t ignored;
};

/* Errors: DENIED for what the account may not read, INVALID for a name or kind of file that cannot
 * be published, TOO_LARGE. */
int loam_workspace_tree(const struct loam_workspace *workspace, git_oid *out_tree,
			struct loam_workspace_stats *out_stats, struct loam_err *err);

#endif
