/*
 * What a git child may reach and use: its one repository, git and its libraries, the hooks
 * (reliability.md §3 rule 15, F16).
 *
 * Owner: dir and hooks_dir are borrowed and outlive it; it may not be copied.
 */
#ifndef LOAM_SERVER_GIT_CONFINE_H
#define LOAM_SERVER_GIT_CONFINE_H

#include "core/confine.h"
#include "core/limits.h"

#include <stdbool.h>

#define LOAM_GIT_CONFINE_PATHS_MAX 32

struct loam_git_confine {
	struct loam_confine confine;
	struct loam_confine_path paths[LOAM_GIT_CONFINE_PATHS_MAX];
	char program[LOAM_PATH_BYTES_MAX]; /* ours, which the hooks are */
};

/* dir: the bare repository, written to only when writes. hooks_dir: NULL when no hook runs. */
void loam_git_confine_init(struct loam_git_confine *out, const char *dir, bool writes,
			   const char *hooks_dir);

#endif
