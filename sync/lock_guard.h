/*
 * Does an update of a ref change what stands at a locked path? Added, changed, deleted and renamed
 * files do, by name: the entries at the path are compared, nothing is walked but the new commits of
 * a new ref.
 *
 * A ref that was there is compared with what it showed. A new ref is compared with the commits that
 * its new ones stand on: a path that is as in one of them was not changed by the push.
 *
 * Threads: one at a time.
 */
#ifndef LOAM_SYNC_LOCK_GUARD_H
#define LOAM_SYNC_LOCK_GUARD_H

#include "lfs/lock_store.h"

#include <git2.h>

struct loam_lock_guard;

/* Of a push, whose new objects git can read. old_oid zero: a new ref. new_oid is a commit; zero:
 * the ref and all that it shows goes; or anything else, which then changes no path. */
int loam_lock_guard_of_update(git_repository *git, const git_oid *old_oid, const git_oid *new_oid,
			      struct loam_lock_guard **out_guard, struct loam_err *err);
/* Of two trees, which stay borrowed; old_tree NULL: empty. */
struct loam_lock_guard *loam_lock_guard_of_trees(git_tree *old_tree, git_tree *new_tree);
void loam_lock_guard_free(struct loam_lock_guard *guard);
/* 1 changed, 0 as before, -code. */
int loam_lock_guard_touches(const struct loam_lock_guard *guard, const char *path,
			    struct loam_err *err);

/* "dir/f.bin is locked by alice since 2026-11-22T10:00:00Z; …", for whoever is refused. */
#define LOAM_LOCK_LINE_BYTES 1024
void loam_lock_line(const struct loam_lock *lock, char out[LOAM_LOCK_LINE_BYTES]);

#endif
