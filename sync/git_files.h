/*
 * Files of a tree that Git itself obeys: .gitmodules, .gitattributes, .gitignore, .mailmap, and
 * what some user's file system takes for one of them. A push is held to Git's own checks of them
 * (receive.fsckObjects, server/git_env.c); what is published from a directory to these, which
 * refuse the same and a little more.
 *
 * Source: git-fsck(1), the ids that begin with gitmodules and gitattributes.
 */
#ifndef LOAM_SYNC_GIT_FILES_H
#define LOAM_SYNC_GIT_FILES_H

#include "core/buf.h"
#include "core/err.h"

enum loam_git_file {
	LOAM_GIT_FILE_NONE,
	LOAM_GIT_FILE_MODULES,
	LOAM_GIT_FILE_ATTRIBUTES,
	LOAM_GIT_FILE_IGNORE,
	LOAM_GIT_FILE_MAILMAP,
};

#define LOAM_GIT_FILE_BYTES_MAX (1u << 20)

/* Which of them a name is. */
enum loam_git_file loam_git_file_of(const char *name);
/* May it stand in a tree as a symbolic link? None may. INVALID. */
int loam_git_file_check_link(enum loam_git_file file, const char *path, struct loam_err *err);
/* May it have this content? INVALID with the line and what is wrong with it. */
int loam_git_file_check(enum loam_git_file file, const struct loam_buf *text, const char *path,
			struct loam_err *err);

#endif
