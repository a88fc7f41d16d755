/*
 * What the files of lfs/ share and nobody else sees.
 */
#ifndef LOAM_LFS_LFS_INTERNAL_H
#define LOAM_LFS_LFS_INTERNAL_H

#include "lfs/caller.h"
#include "lfs/lfs.h"
#include "lfs/link.h"
#include "lfs/objects.h"
#include "lfs/staging.h"
#include "lfs/transfers.h"

struct loam_lfs {
	struct loam_auth *auth;
	const struct loam_tree *tree;
	uint64_t staging_seconds;
	struct loam_link_keys *keys;
	struct loam_staging *staging;
	struct loam_transfers *transfers;
	struct loam_objects *objects;
};

static inline struct loam_lfs *loam_lfs_of(const struct loam_web_request *request)
{
	return loam_lfs_context(request)->lfs;
}

extern const struct loam_web_handler loam_lfs_batch;
extern const struct loam_web_handler loam_lfs_download;
extern const struct loam_web_handler loam_lfs_upload;
extern const struct loam_web_handler loam_lfs_verify;
extern const struct loam_web_handler loam_lfs_locks_list;
extern const struct loam_web_handler loam_lfs_locks_create;
extern const struct loam_web_handler loam_lfs_locks_verify;
extern const struct loam_web_handler loam_lfs_locks_unlock;

#endif
