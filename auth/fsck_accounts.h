/*
 * Checks the account files of a volume (reliability.md §4, meta-6): each is a regular file, each
 * line is one; what a killed change left beside them is R02. Nothing is changed.
 */
#ifndef LOAM_AUTH_FSCK_ACCOUNTS_H
#define LOAM_AUTH_FSCK_ACCOUNTS_H

#include "auth/tree.h"
#include "fs/fsck.h"

int loam_fsck_accounts(const struct loam_tree *tree, const struct loam_fsck_sink *sink,
		       struct loam_err *err);

#endif
