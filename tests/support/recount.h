/*
 * Counts a volume's metadata again, from its records alone, and compares: names and inodes fit each
 * other (V01, V02, V03 of reliability.md), references of slices (V06), used space and inodes (V08).
 *
 * At rest only: others must not write meanwhile, and background deletion must be drained.
 */
#ifndef LOAM_TESTS_SUPPORT_RECOUNT_H
#define LOAM_TESTS_SUPPORT_RECOUNT_H

#include "fs/meta/record.h"

struct loam_recount {
	uint64_t files, dirs, others; /* inodes, the two roots not among them */
	int64_t used_bytes, inodes;
	uint64_t slices, references; /* slices named, records that name one */
	uint64_t freed;		/* slices without a record whose blocks are still to be deleted */
	uint64_t removed_files; /* delfiles */
	uint64_t detached;
	uint64_t findings; /* each is a line on stderr */
};

/* Scans everything. Asserts when the engine fails. */
struct loam_recount loam_recount(struct loam_engine *engine);

#endif
