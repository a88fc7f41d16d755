/*
 * Git objects made for a test with libgit2, also such as Git itself would not make.
 */
#ifndef LOAM_TESTS_SUPPORT_GIT_OBJECTS_H
#define LOAM_TESTS_SUPPORT_GIT_OBJECTS_H

#include <git2.h>

/* A path and what stands there; text NULL: the place of a submodule. */
struct loam_git_file {
	const char *path;
	git_filemode_t mode;
	const char *text;
};

/* A new bare repository at path. All of these assert success. */
git_repository *loam_git_make(const char *path);
/* Ends with a path of NULL. Directories are made as needed. */
git_oid loam_git_tree(git_repository *git, const struct loam_git_file *files);
git_oid loam_git_blob(git_repository *git, const void *data, size_t bytes);
/* A tree with this one entry, whatever its name. */
git_oid loam_git_raw_tree(git_repository *git, const char *name, git_filemode_t mode,
			  const git_oid *oid);
/* parent, second: NULL for none. ref: moved to the commit, NULL: no ref. */
git_oid loam_git_commit(git_repository *git, const git_oid *tree, const git_oid *parent,
			const git_oid *second, const char *ref);
/* A commit of these files on ref, whose present commit becomes its parent. */
git_oid loam_git_push(git_repository *git, const char *ref, const struct loam_git_file *files);

/* Removes a directory with all that is in it. */
void loam_git_remove(const char *path);

#endif
