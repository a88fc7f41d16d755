/*
 * The operations of sync/: repositories (auth/op.h says what an operation is).
 */
#ifndef LOAM_SYNC_OP_REPO_H
#define LOAM_SYNC_OP_REPO_H

#include "auth/op.h"

/* Ended by NULL. */
extern const struct loam_op *const loam_sync_ops[];
extern const struct loam_op loam_op_repo_list, loam_op_repo_show, loam_op_repo_create,
	loam_op_repo_visibility, loam_op_repo_delete, loam_op_repo_default_branch;

#endif
