/*
 * Tokens of git-lfs-authenticate: a session over SSH gives its client one, with which it comes to
 * the LFS doors over HTTP.
 *
 * Bound to a principal (user and the SSH key he came by, or a deploy key), one repository and one
 * operation; lives for LOAM_LFS_TOKEN_SECONDS. Its rights are the principal's as of now, cut to
 * that: the key removed, the grant revoked, and it opens nothing. Only the LFS doors know it.
 *
 * Shape:   "loam_lfs_" and base64 of lines
 *          1 LF operation LF expires LF repository LF user LF key LF hmac-sha256-hex
 *          signed as transfer links are (lfs/link.h), under a label of its own.
 * Source:  protocols.md A.8; reliability.md §3 rule 5, ssh-5.
 */
#ifndef LOAM_LFS_LFS_TOKEN_H
#define LOAM_LFS_LFS_TOKEN_H

#include "lfs/link.h"

#define LOAM_LFS_TOKEN_PREFIX  "loam_lfs_"
#define LOAM_LFS_TOKEN_SECONDS 3600

/* The text of a new one; free(). who has come over SSH and may do this now. */
char *loam_lfs_token_print(struct loam_link_keys *keys, const struct loam_principal *who,
			   const struct loam_repo *repo, bool upload);
/* Is this header's value of this kind? */
bool loam_lfs_token_is(const char *authorization);
/* The principal that it stands for, cut. UNAUTHENTICATED for whatever is wrong. */
int loam_lfs_token_check(struct loam_link_keys *keys, struct loam_auth *auth,
			 const char *authorization, struct loam_principal *out_who,
			 struct loam_err *err);

#endif
