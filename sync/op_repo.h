/*
 * The operations of sync/: repositories (auth/op.h says what an operation is).
 */
#ifndef LOAM_SYNC_OP_REPO_H
#define LOAM_SYNC_OP_REPO_H

#include "auth/op.h"

/* Ended by NULL. */
extern const struct loam_op *const loam_sync_ops[];
extern const struct loam_op loam_op_repo_list, loam_op_repo_show, loam_op_repo_create,
	loam_op_repo_visibility, loam_op_repo_delete, loam_op_repo_default_branch,
	loam_op_repo_publish, loam_op_repo_fork;

/* "url" and, where there is an SSH door, "ssh": what users clone; models without their kind, as on
 * the Hub. */
void loam_repo_add_urls(const struct loam_op_call *call, const struct loam_repo *repo,
			json_t *answer);

/* Who is to own the namespace of a new repository, where that is new: the body's "owner", which
 * only the administrator may name, else by loam_auth_check_create. */
int loam_repo_choose_owner(struct loam_op_call *call, const struct loam_repo *repo,
			   struct loam_grantee *out, struct loam_err *err);

#endif
