/*
 * Many new Git objects as one pack: in a repository that is written to by libgit2 each would be a
 * file of its own, synced by itself (4 ms on a good disk).
 *
 * Objects are kept in memory up to a limit, then written as a pack with its index. Fewer than
 * LOAM_BATCH_LOOSE in all become loose objects, as git's receive.unpackLimit would have it.
 *
 * Threads: one at a time. Durable: what was added, when loam_object_batch_finish returns 0. Nothing
 * names it before.
 */
#ifndef LOAM_SYNC_OBJECT_BATCH_H
#define LOAM_SYNC_OBJECT_BATCH_H

#include "core/err.h"

#include <git2.h>

#define LOAM_BATCH_BYTES_MAX   (32u << 20)
#define LOAM_BATCH_OBJECTS_MAX 50000
#define LOAM_BATCH_LOOSE       100

struct loam_object_batch;

/* bare: its path. */
int loam_object_batch_open(const char *bare, struct loam_object_batch **out_batch,
			   struct loam_err *err);
/* What was not finished is forgotten. Accepts NULL. */
void loam_object_batch_free(struct loam_object_batch *batch);
/* A repository that sees what is in the batch, for tree builders. Written to by them only, and each
 * tree is noted. Borrowed. */
git_repository *loam_object_batch_git(struct loam_object_batch *batch);
int loam_object_batch_blob(struct loam_object_batch *batch, const void *data, size_t data_bytes,
			   git_oid *out_oid, struct loam_err *err);
int loam_object_batch_tree(struct loam_object_batch *batch, git_treebuilder *builder,
			   git_oid *out_oid, struct loam_err *err);
/* Everything to the disk. */
int loam_object_batch_finish(struct loam_object_batch *batch, struct loam_err *err);

#endif
