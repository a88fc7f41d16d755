/*
 * The rules of `git add` for a directory that is no work tree: .gitignore and the attribute filter
 * of .gitattributes, as libgit2 reads them.
 *
 * The files with the rules are laid out in a directory of their own, a repository without objects,
 * which goes with the struct. It stands beside the quarantines of pushes and is swept as they are
 * (sync/git_push.h). Nothing of this host's own Git configuration counts.
 *
 * All questions together take LOAM_ADD_RULES_SECONDS of a processor; behind that they are
 * TOO_LARGE: thousands of rules for each of a million files would keep a server for days.
 *
 * Threads: one at a time. Units: paths are relative to the top, "a/b".
 */
#ifndef LOAM_SYNC_ADD_RULES_H
#define LOAM_SYNC_ADD_RULES_H

#include "core/buf.h"
#include "core/err.h"

#include <stdbool.h>

#define LOAM_ADD_RULES_BYTES_MAX (1u << 20) /* of one such file */
#define LOAM_ADD_RULES_SECONDS	 60

struct loam_add_rules;

/* bare: the repository to publish to, in which a push has been entered. */
int loam_add_rules_new(const char *bare, struct loam_add_rules **out_rules, struct loam_err *err);
void loam_add_rules_free(struct loam_add_rules *rules);
/* Is a file of this name one with rules? */
bool loam_add_rules_is_one(const char *name);
/* Before anything of its directory is asked. path: "dir/.gitignore"; its name is one of those. */
int loam_add_rules_put(struct loam_add_rules *rules, const char *path, const struct loam_buf *text,
		       struct loam_err *err);
/* 1 ignored, 0 not. */
int loam_add_rules_ignored(struct loam_add_rules *rules, const char *path, bool is_dir,
			   struct loam_err *err);
/* 1 when .gitattributes say filter=lfs, 0 not. */
int loam_add_rules_is_lfs(struct loam_add_rules *rules, const char *path, struct loam_err *err);

#endif
