/*
 * LFS objects of a volume: the pool, which repository holds what, and the doors to them.
 *
 * A pool file (.loam/lfs/objects/aa/bb/OID, 0400, service) holds an object's bytes once. A
 * repository holds an object exactly when the hard link .loam/repos/KIND/NS/NAME/lfs/OID exists;
 * link count = 1 + holders. Every pool file carries user.loam.oid = OID; clones inherit it.
 *
 * Steps 3 and 4 of a push. Source: design.md §2.5, §2.6, §2.12; protocols.md B.
 */
#ifndef LOAM_LFS_LFS_H
#define LOAM_LFS_LFS_H

#include "auth/auth.h"
#include "core/config.h"
#include "core/web.h"

struct loam_lfs;

/* auth and config are borrowed. Loads or makes the two link keys. */
int loam_lfs_open(struct loam_auth *auth, const struct loam_config *config,
		  struct loam_lfs **out_lfs, struct loam_err *err);
void loam_lfs_close(struct loam_lfs *lfs);

/* Does the repository hold the object? 1 with its inode and size, 0 no. */
int loam_lfs_holds(const struct loam_tree *tree, const struct loam_repo *repo, const char *oid,
		   uint64_t *out_ino, uint64_t *out_bytes, struct loam_err *err);
/* Drops every link of a repository, and each pool file that nobody else holds. */
int loam_lfs_drop_repo(const struct loam_tree *tree, const struct loam_repo *repo,
		       struct loam_err *err);
/* Removes staging of dead uploads and pool files without holder, older than the staging life. */
int loam_lfs_sweep(struct loam_lfs *lfs, struct loam_err *err);

/* A token with which who, come over SSH, may use the LFS doors of one repository over HTTP for an
 * hour (lfs/lfs_token.h). free() */
char *loam_lfs_session_token(struct loam_lfs *lfs, const struct loam_principal *who,
			     const struct loam_repo *repo, bool upload);

/* The LFS doors, for the server's route table (NULL path ends it). request->context is the server's
 * context; loam_lfs_of() of the server gives the struct loam_lfs: handlers find it in
 * request->context through struct loam_lfs_context, the first member of the server's own. */
struct loam_lfs_context {
	struct loam_lfs *lfs;
	struct loam_auth *auth;
	const struct loam_config *config;
};
extern const struct loam_web_route loam_lfs_routes[];

#endif
