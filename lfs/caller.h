/*
 * Who calls an LFS door and may they: the one place where lfs/ asks auth/.
 *
 * API calls carry credentials in their header; transfers carry a link. What a refusal looks like
 * differs: a transfer is never answered with 401 (clients loop) or 422 (clients take it for
 * success). Source: protocols.md B.3, B.6, F.
 */
#ifndef LOAM_LFS_CALLER_H
#define LOAM_LFS_CALLER_H

#include "auth/watch.h"
#include "lfs/lfs.h"
#include "lfs/link.h"

#define LOAM_LFS_JSON_TYPE "application/vnd.git-lfs+json"

static inline const struct loam_lfs_context *loam_lfs_context(
	const struct loam_web_request *request)
{
	return request->context;
}

struct loam_lfs_caller {
	struct loam_principal who;
	struct loam_repo repo;
};
/* Credentials of the header, repository of {repo}, and the right. UNAUTHENTICATED, NOT_FOUND,
 * DENIED as loam_auth_check says; a name that can be no repository is one that is not there. */
int loam_lfs_caller(struct loam_web_request *request, enum loam_want want,
		    struct loam_lfs_caller *out_caller, struct loam_err *err);
/* Asks for another right of the same caller. */
int loam_lfs_caller_may(const struct loam_web_request *request,
			const struct loam_lfs_caller *caller, enum loam_want want,
			struct loam_err *err);

/* The same caller's right as of now, behind a body that may have come slowly. */
int loam_lfs_caller_may_still(const struct loam_web_request *request,
			      struct loam_lfs_caller *caller, enum loam_want want,
			      struct loam_err *err);

/* The link of a transfer's request. DENIED; LIMITED for an address that brings forged ones. */
int loam_lfs_link(const struct loam_web_request *request, struct loam_link *out_link,
		  struct loam_err *err);
/*
 * May the principal of the link do this as of now? out_watch asks again while it goes on; its
 * gate_ino is the gate that was asked. DENIED, or NOT_FOUND when there is no such repository any
 * more: so for loam_lfs_link_still, which asks the watch.
 */
int loam_lfs_link_may(struct loam_auth *auth, const struct loam_link *link, enum loam_want want,
		      struct loam_watch *out_watch, struct loam_err *err);
int loam_lfs_link_still(struct loam_watch *watch, struct loam_err *err);
/* For what ends a transfer: a code that would harm its client becomes one that does not. */
int loam_lfs_transfer_error(struct loam_err *err);
/* Whose transfers these count as: user, deploy key, or "@" and the address. out holds 64 bytes. */
void loam_lfs_link_counts_as(const struct loam_web_request *request, const struct loam_link *link,
			     char out[64]);

#endif
