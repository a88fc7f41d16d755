/*
 * Repositories as directories with rights: making, listing, removing gates; grants and visibility.
 * The Git side of a repository (bare directory, publishing) is sync/'s.
 *
 * Callers have asked loam_auth_check where a user acts; the command line acts as administrator.
 * Durable: changes return behind the metadata barrier.
 */
#ifndef LOAM_AUTH_REPOS_H
#define LOAM_AUTH_REPOS_H

#include "auth/auth.h"

enum loam_visibility { LOAM_PRIVATE, LOAM_INTERNAL, LOAM_PUBLIC };
const char *loam_visibility_name(enum loam_visibility visibility);
int loam_visibility_parse(const char *text, enum loam_visibility *out, struct loam_err *err);
enum loam_visibility loam_gate_visibility(const struct loam_gate *gate);

/*
 * Makes the namespace (owned by owner_uid) where it is missing, the gate, and the place of LFS
 * links. EXISTS when the repository is there, also in another case of letters; DENIED when the
 * namespace belongs to somebody else than owner_uid.
 */
int loam_repos_create(const struct loam_tree *tree, const struct loam_repo *repo,
		      uint32_t owner_uid, enum loam_visibility visibility, uint64_t *out_gate_ino,
		      struct loam_err *err);
/* Every gate of the tree, sorted by kind, namespace and name. seen returns non-zero to stop. */
typedef int loam_repos_seen_fn(void *arg, const struct loam_repo *repo, uint64_t gate_ino,
			       struct loam_err *err);
int loam_repos_each(const struct loam_tree *tree, loam_repos_seen_fn *seen, void *arg,
		    struct loam_err *err);
int loam_repos_set_visibility(const struct loam_tree *tree, const struct loam_repo *repo,
			      enum loam_visibility visibility, struct loam_err *err);

/* READ: r-x, WRITE: rwx, ADMIN: rwx and an entry in trusted.loam.admins. Replaces an earlier grant.
 * TOO_LARGE at LOAM_ACL_ENTRIES_MAX named entries: use a group. */
int loam_repos_grant(const struct loam_tree *tree, const struct loam_repo *repo, uint32_t uid,
		     enum loam_want want, struct loam_err *err);
/* NOT_FOUND when there was no grant; NOT_PERMITTED for the namespace's owner. */
int loam_repos_revoke(const struct loam_tree *tree, const struct loam_repo *repo, uint32_t uid,
		      struct loam_err *err);
/* The gate's mask without `w`, its owner the service, an entry for the namespace's owner: what is
 * missing, or a foreign client changed, is mended. 1 something was mended, 0 nothing to do. */
int loam_repos_mend_gate(const struct loam_tree *tree, const struct loam_repo *repo,
			 struct loam_err *err);

#endif
