/*
 * Pushes under way in a bare repository, and what dead ones leave in it (steps 5 to 7 of a push).
 *
 * Every process of a push (git, its helpers, our hooks) inherits a descriptor with a shared lock on
 * the file `loam-pushes` in the repository. Whoever gets that lock exclusively knows that no push
 * is alive, whichever server began it, and may remove quarantines and locks of refs: a git that was
 * killed leaves both, and such a lock would refuse every later push to its branch.
 *
 * Not for the repositories of other Git servers, whose pushes do not hold the lock.
 */
#ifndef LOAM_SYNC_GIT_PUSH_H
#define LOAM_SYNC_GIT_PUSH_H

#include "core/err.h"

/*
 * Enters a push: out_fd is for the git child to keep (loam_process_spec.keep_fd), then to be
 * closed. Removes first what dead pushes left, if no other push is under way.
 */
int loam_git_push_enter(const char *bare, int *out_fd, struct loam_err *err);
/* The same removal by itself. 1 done, 0 a push is under way, or there has never been one. */
int loam_git_push_sweep(const char *bare, struct loam_err *err);

#endif
