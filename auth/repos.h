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
#include "auth/rights.h"

enum loam_visibility { LOAM_PRIVATE, LOAM_INTERNAL, LOAM_PUBLIC };
const char *loam_visibility_name(enum loam_visibility visibility);
int loam_visibility_parse(const char *text, enum loam_visibility *out, struct loam_err *err);
enum loam_visibility loam_gate_visibility(const struct loam_gate *gate);

/*
 * Makes the namespace (owned by owner) where it is missing, the gate, and the place of LFS links.
 * The gate inherits the namespace's grants. EXISTS when the repository is there, also in another
 * case of letters; DENIED when the namespace belongs to somebody else than owner.
 */
int loam_repos_create(const struct loam_tree *tree, const struct loam_repo *repo,
		      const struct loam_grantee *owner, enum loam_visibility visibility,
		      uint64_t *out_gate_ino, struct loam_err *err);
/* The namespace's directory, made when it is missing; repo->name does not count. DENIED when it is
 * somebody else's than owner. */
int loam_repos_ensure_namespace(const struct loam_tree *tree, const struct loam_repo *repo,
				const struct loam_grantee *owner, uint64_t *out_ns_ino,
				struct loam_err *err);
/* Every gate of the tree, sorted by kind, namespace and name. seen returns non-zero to stop. */
typedef int loam_repos_seen_fn(void *arg, const struct loam_repo *repo, uint64_t gate_ino,
			       struct loam_err *err);
int loam_repos_each(const struct loam_tree *tree, loam_repos_seen_fn *seen, void *arg,
		    struct loam_err *err);
/* Of one namespace only; repo->name does not count. NOT_FOUND when there is no such namespace. */
int loam_repos_each_in(const struct loam_tree *tree, const struct loam_repo *repo,
		       loam_repos_seen_fn *seen, void *arg, struct loam_err *err);
int loam_repos_set_visibility(const struct loam_tree *tree, const struct loam_repo *repo,
			      enum loam_visibility visibility, struct loam_err *err);

enum loam_right loam_right_of_want(enum loam_want want);
/* Who has an entry or an inherited right, and why. NOT_FOUND. */
int loam_repos_rights(const struct loam_tree *tree, const struct loam_repo *repo,
		      struct loam_rights *out, struct loam_err *err);
/* READ: r-x, WRITE: rwx, ADMIN: rwx and an entry in trusted.loam.admins. Replaces an earlier grant
 * on this repository; what is inherited stays. TOO_LARGE at LOAM_ACL_ENTRIES_MAX named entries: use
 * a group. */
int loam_repos_grant(const struct loam_tree *tree, const struct loam_repo *repo,
		     const struct loam_grantee *who, enum loam_want want, struct loam_err *err);
/* Takes the grant on this repository back, and a denial set by hand. NOT_FOUND when there was none;
 * NOT_PERMITTED when all that there is comes from the namespace. */
int loam_repos_revoke(const struct loam_tree *tree, const struct loam_repo *repo,
		      const struct loam_grantee *who, struct loam_err *err);
/* The gate's mask without `w`, its owner the service, and the entries that its namespace gives:
 * what a foreign client changed, or a killed command left half done, is mended. 1 something was
 * mended, 0 nothing to do. */
int loam_repos_mend_gate(const struct loam_tree *tree, const struct loam_repo *repo,
			 struct loam_err *err);

#endif
