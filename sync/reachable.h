/*
 * Which LFS objects the history of a repository points to: every ref, every commit, every tree,
 * each read once.
 *
 * Threads: one at a time.
 */
#ifndef LOAM_SYNC_REACHABLE_H
#define LOAM_SYNC_REACHABLE_H

#include "core/err.h"
#include "lfs/pointer.h"

#include <git2.h>

/* Called once for each object; another value than 0 ends the walk and is its answer. */
typedef int loam_reachable_fn(void *arg, const struct loam_pointer *pointer, struct loam_err *err);
int loam_reachable_objects(git_repository *git, loam_reachable_fn *seen, void *arg,
			   struct loam_err *err);

#endif
