/*
 * The bare repository behind a gate: where it stands, which branch it shows.
 *
 * A gate carries trusted.loam.id, random; the bare repository names the same id in its
 * configuration (loam.id). One with another id belonged to a repository of this name that was
 * deleted: it is set aside as NAME.git.deleted-TIME, never shown again and never lost.
 */
#ifndef LOAM_SYNC_GIT_DIR_H
#define LOAM_SYNC_GIT_DIR_H

#include "auth/auth.h"

#include <git2.h>

/* Finds or makes it below git_root, or takes the one that trusted.loam.git names. out_path:
 * LOAM_PATH_BYTES_MAX. Threads: callers hold the repository's publish lock or tolerate a race:
 * making is atomic (rename). */
int loam_git_dir_ensure(const struct loam_tree *tree, const char *git_root,
			const struct loam_repo *repo, char *out_path, struct loam_err *err);
/*
 * The branch that the tree shows and its commit. was_published: the gate has shown a branch before,
 * so HEAD stays; else HEAD moves to `master` if it is among the branches, else to `first` (may be
 * NULL: the first by name), when HEAD's own is not there. 1 with commit, 0 no such branch (empty
 * tree).
 */
int loam_git_head(git_repository *git, bool was_published, const char *first, git_oid *out_commit,
		  struct loam_err *err);
/* For libgit2 in this process, behind its init: no rule of ownership, and no configuration but a
 * repository's own (the host's may be out of a hook's reach). */
void loam_git_own_rules(void);
/* Opens without any search, ownership or environment rules. */
int loam_git_open(const char *path, git_repository **out_git, struct loam_err *err);
/* Sets the bare repository of a deleted gate aside. */
int loam_git_dir_set_aside(const char *git_root, const struct loam_repo *repo,
			   struct loam_err *err);

#endif
