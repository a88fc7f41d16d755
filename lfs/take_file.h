/*
 * A file of the volume becomes an object of a repository, without a byte being copied.
 *
 * The bytes are frozen first: a file in staging that names the file's slices (which never change).
 * What is hashed and what comes into the pool is that file, whatever is written to the other
 * meanwhile. A file whose slices are those of an object that the repository holds is not read at
 * all: naming the same slices is holding the same bytes.
 *
 * The caller has checked that whoever it acts for may read the file; that is the proof of
 * possession (design.md §2.6, reliability.md L04).
 *
 * Threads: any. Durable: blocks are; the metadata behind the next loam_meta_barrier.
 */
#ifndef LOAM_LFS_TAKE_FILE_H
#define LOAM_LFS_TAKE_FILE_H

#include "core/hash.h"
#include "lfs/objects.h"

struct loam_take_file {
	const struct loam_tree *tree;
	struct loam_staging *staging;
	struct loam_objects *objects;
	const struct loam_repo *repo;
	/* The right to write, asked again in the transaction (lfs/objects.h). */
	uint64_t gate_ino;
	loam_objects_allow_fn *allow;
	void *allow_arg;
};

struct loam_taken_file {
	char oid[LOAM_SHA256_HEX + 1];
	uint64_t bytes;
	bool was_read; /* else it was known by its slices */
};

/* ino: a regular file with at least one byte. Errors: STALE when it vanishes meanwhile, INVALID
 * when it is emptied, NO_SPACE, those of allow. */
int loam_take_file(const struct loam_take_file *into, uint64_t ino, struct loam_taken_file *out,
		   struct loam_err *err);

#endif
