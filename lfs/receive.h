/*
 * The bytes of one object on their way in, by whichever door they come (steps 3 and 4 of a push).
 *
 *   bytes ─► writer ─► SHA-256 ─► blocks in the store, slices of a file in /.loam/staging
 *                           length and hash right? right still there? ─► one transaction into the
 *                           pool and the repository ─► barrier
 *
 * The caller's thread only receives: blocks are hashed and stored by the data layer's threads while
 * more bytes arrive; memory is the write buffer, whatever the size of the object.
 *
 * The bytes are always read and hashed, also when the pool has the object: that is the proof of
 * possession, and it takes as long as a new object would (protocols.md B.9). Only what this very
 * repository holds already is hashed, by this thread, without being stored.
 *
 * Errors:  INVALID for whatever is wrong with the bytes; LIMITED; NO_SPACE; those of
 *          loam_lfs_link_may. Doors map them for their clients.
 * Threads: one at a time per object.
 * Durable: what loam_receive_finish says.
 */
#ifndef LOAM_LFS_RECEIVE_H
#define LOAM_LFS_RECEIVE_H

#include "lfs/link.h"

struct loam_lfs;
struct loam_receive;

/* link: repository, oid, bytes, and whose right it is (user, token_id); it is asked for now, while
 * bytes come (auth/watch.h), and at the commit. counts_as: as loam_lfs_link_counts_as says. */
int loam_receive_begin(struct loam_lfs *lfs, const struct loam_link *link, const char *counts_as,
		       struct loam_receive **out_receive, struct loam_err *err);
int loam_receive_add(struct loam_receive *receive, const void *data, size_t data_bytes,
		     struct loam_err *err);
/* After the last byte: checks, commits, makes durable. */
int loam_receive_finish(struct loam_receive *receive, struct loam_err *err);
/* Drops what was not finished. Accepts NULL. */
void loam_receive_free(struct loam_receive *receive);

#endif
