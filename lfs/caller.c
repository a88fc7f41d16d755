/*
 * Callers of the LFS doors (lfs/caller.h). Steps 2 and 3 of a push.
 *
 * Whether credentials may come over plain HTTP is decided by the server before a handler runs.
 */
#include "lfs/caller.h"

#include "lfs/lfs_internal.h"
#include "lfs/lfs_token.h"

#include <stdio.h>

int loam_lfs_caller(struct loam_web_request *request, enum loam_want want,
		    struct loam_lfs_caller *out_caller, struct loam_err *err)
{
	const struct loam_lfs_context *context = loam_lfs_context(request);
	const char *header = request->header(request, "Authorization");
	int rc = loam_lfs_token_is(header) ? loam_lfs_token_check(context->lfs->keys, context->auth,
								  header, &out_caller->who, err)
					   : loam_auth_header(context->auth, header, request->peer,
							      &out_caller->who, err);
	if (rc < 0)
		return rc;
	if (out_caller->who.kind != LOAM_ANONYMOUS)
		snprintf(request->user, sizeof(request->user), "%s",
			 loam_principal_name(&out_caller->who));
	const char *text = loam_web_param(request, "repo");
	rc = loam_repo_parse(text ? text : "", &out_caller->repo, err);
	if (rc < 0) {
		loam_err_clear(err);
		if (out_caller->who.kind == LOAM_ANONYMOUS)
			return loam_fail(err, LOAM_E_UNAUTHENTICATED, "log in to use this server");
		return loam_fail(err, LOAM_E_NOT_FOUND, "no such repository");
	}
	return loam_lfs_caller_may(request, out_caller, want, err);
}

int loam_lfs_caller_may(const struct loam_web_request *request,
			const struct loam_lfs_caller *caller, enum loam_want want,
			struct loam_err *err)
{
	return loam_auth_check(loam_lfs_context(request)->auth, &caller->who, &caller->repo, want,
			       NULL, err);
}

int loam_lfs_caller_may_still(const struct loam_web_request *request,
			      struct loam_lfs_caller *caller, enum loam_want want,
			      struct loam_err *err)
{
	int rc = loam_auth_renew(loam_lfs_context(request)->auth, &caller->who, err);
	return rc < 0 ? rc : loam_lfs_caller_may(request, caller, want, err);
}

/* A good link is never held back by its neighbour's forged ones. */
int loam_lfs_link(const struct loam_web_request *request, struct loam_link *out_link,
		  struct loam_err *err)
{
	bool forged = false;
	int rc = loam_link_check(loam_lfs_of(request)->keys, request, out_link, &forged, err);
	return rc < 0 && forged ? loam_auth_forged(loam_lfs_of(request)->auth, request->peer, err)
				: rc;
}

/* auth says "not found" to those who may not read; who holds a link knows that it was there. */
static int refuse(struct loam_auth *auth, const struct loam_repo *repo, struct loam_err *err)
{
	struct loam_gate gate;
	loam_err_clear(err);
	int found = loam_gate_read(loam_auth_tree(auth), repo, &gate, err);
	if (found < 0)
		return found;
	if (found == 0)
		return loam_fail(err, LOAM_E_NOT_FOUND, "the repository is not there any more");
	loam_gate_release(&gate);
	return loam_fail(err, LOAM_E_DENIED, "this transfer is not allowed any more");
}

static bool is_refusal(int rc)
{
	return rc == -LOAM_E_UNAUTHENTICATED || rc == -LOAM_E_NOT_FOUND || rc == -LOAM_E_DENIED;
}

int loam_lfs_link_may(struct loam_auth *auth, const struct loam_link *link, enum loam_want want,
		      struct loam_watch *out_watch, struct loam_err *err)
{
	struct loam_principal who = { .kind = LOAM_ANONYMOUS };
	int rc = 0;
	if (link->user[0] || link->token_id[0])
		rc = loam_auth_user(auth, link->user, link->token_id, &who, err);
	if (rc == 0)
		rc = loam_watch_begin(out_watch, auth, &who, &link->repo, want, err);
	return is_refusal(rc) ? refuse(auth, &link->repo, err) : rc;
}

int loam_lfs_link_still(struct loam_watch *watch, struct loam_err *err)
{
	int rc = loam_watch_ask(watch, err);
	return is_refusal(rc) ? refuse(watch->auth, &watch->repo, err) : rc;
}

int loam_lfs_transfer_error(struct loam_err *err)
{
	if (err->code == LOAM_E_UNAUTHENTICATED)
		err->code = LOAM_E_DENIED;
	else if (err->code == LOAM_E_UNPROCESSABLE)
		err->code = LOAM_E_INVALID;
	else if (err->code == LOAM_E_CONFLICT || err->code == LOAM_E_AGAIN)
		err->code = LOAM_E_UNAVAILABLE; /* to be tried again */
	return -(int)err->code;
}

void loam_lfs_link_counts_as(const struct loam_web_request *request, const struct loam_link *link,
			     char out[64])
{
	if (link->user[0] || link->token_id[0])
		snprintf(out, 64, "%s", link->user[0] ? link->user : link->token_id);
	else
		snprintf(out, 64, "@%s", request->peer ? request->peer : "");
}
