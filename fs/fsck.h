/*
 * Checks a volume: everything is read through the engine's listings and one listing of the store,
 * then compared; nothing is ever changed.
 *
 * Checks: V01 to V06, V08, V10 and V12 of reliability.md §1, and damaged records: meta-2 (an inode
 * record), meta-3 (directories inside themselves), meta-5 (a reference count), meta-7 (keys that
 * only look like records). A damaged record is a finding, never an error.
 *
 * The volume may be in use. What does not fit is looked at a second time, by reading the records
 * involved again, and is reported only if they stood still and still do not fit.
 *
 * Owner:   memory grows with the count of inodes (about 200 bytes each) and slices (100 bytes).
 * Threads: one at a time.
 * Source:  volume format document §2, §4.6 to §4.8, §5.
 */
#ifndef LOAM_FS_FSCK_H
#define LOAM_FS_FSCK_H

#include "fs/volume.h"

#define LOAM_FSCK_GRACE_SECONDS 3600

/* Where findings go. id: "V05"; text: one line without newline. */
struct loam_fsck_sink {
	void (*found)(void *arg, const char *id, const char *text);
	/* Now and then; what: "inodes". May be NULL. */
	void (*progress)(void *arg, const char *what, uint64_t done);
	void *arg;
};
void loam_fsck_found(const struct loam_fsck_sink *sink, const char *id, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

struct loam_fsck_options {
	/* Inodes without a name (V02) and blocks without a slice are nobody's fault while younger.
	 */
	int64_t grace_seconds;
	/* Loam's /.loam/staging, 0 without one: what stands below may already have the Parent of
	 * the place it is meant for. */
	uint64_t staging_ino;
};

struct loam_fsck_stats {
	uint64_t inodes, dentries, slices;
	int64_t used_bytes;		    /* recounted, as usedSpace */
	uint64_t blocks, block_bytes;	    /* in the store, of any slice */
	uint64_t extra_blocks, extra_bytes; /* older than the grace, of no slice: for gc */
	uint64_t left_chunks;		    /* chunk lists without an inode: for gc */
	bool usage_undecided;		    /* V08: the volume was never still */
	uint64_t findings;
};

/* Findings are no error. volume->data is not used. */
int loam_fsck_volume(struct loam_volume *volume, const struct loam_fsck_options *options,
		     const struct loam_fsck_sink *sink, struct loam_fsck_stats *out_stats,
		     struct loam_err *err);

/* What the volume really takes. */
struct loam_physical {
	uint64_t slices, slice_bytes; /* each slice once, as the metadata names them */
	uint64_t blocks, block_bytes; /* as the store lists them */
};
int loam_fsck_physical(struct loam_volume *volume, struct loam_physical *out, struct loam_err *err);

#endif
