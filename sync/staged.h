/*
 * Staged inodes on their way into the metadata, in batches (private to sync/build.c and its
 * writer).
 */
#ifndef LOAM_SYNC_STAGED_H
#define LOAM_SYNC_STAGED_H

#include "fs/volume.h"

/* A part of a packed slice; id and size are known when the slice is finished. */
struct loam_staged_part {
	uint32_t chunk_index;
	struct loam_slice slice;
	bool first; /* of its slice: this record's reference is the implicit one */
};

struct loam_staged {
	uint64_t ino;
	struct loam_attr attr;
	uint64_t dentry_dir; /* where its name stands: the job or a staged directory */
	char *dentry_name;
	char *target; /* of a symbolic link */
	char oid[65]; /* "" or the LFS object, whose pool inode is: */
	uint64_t pool_ino;
	struct loam_staged_part *parts;
	size_t part_count;
};

void loam_staged_release(struct loam_staged *staged);
/*
 * Commits the batch: attrs, dentries, chunks, slice references, usage.
 * job_ino: its link count grows by the directories that get a name in it.
 * Errors: NOT_FOUND when a pool file has vanished meanwhile.
 */
int loam_staged_commit(struct loam_meta *meta, struct loam_staged *batch, size_t count,
		       uint64_t job_ino, struct loam_err *err);
/* How many records a batch of these relies on; the engine takes at most 200 checks. */
size_t loam_staged_checks(const struct loam_staged *staged);

#endif
