/*
 * The LFS doors (step 1 of a push): what is asked where. {repo} takes a repository in each of its
 * spellings, with and without ".git".
 */
#include "core/limits.h"
#include "lfs/lfs.h"
#include "lfs/lfs_internal.h"

#define TRANSFER "/_lfs/{kind}/{ns}/{name}/{oid}"
#define API	 "/{repo}/info/lfs"

const struct loam_web_route loam_lfs_routes[] = {
	{ LOAM_POST, API "/objects/batch", LOAM_JSON_BYTES_MAX, LOAM_ERRORS_LFS, &loam_lfs_batch },
	{ LOAM_GET, TRANSFER, 0, LOAM_ERRORS_LFS, &loam_lfs_download },
	{ LOAM_PUT, TRANSFER, LOAM_LFS_OBJECT_BYTES_MAX, LOAM_ERRORS_LFS, &loam_lfs_upload },
	{ LOAM_POST, TRANSFER "/verify", LOAM_JSON_BYTES_MAX, LOAM_ERRORS_LFS, &loam_lfs_verify },
	{ LOAM_GET, API "/locks", 0, LOAM_ERRORS_LFS, &loam_lfs_locks_list },
	{ LOAM_POST, API "/locks", LOAM_JSON_BYTES_MAX, LOAM_ERRORS_LFS, &loam_lfs_locks_create },
	{ LOAM_POST, API "/locks/verify", LOAM_JSON_BYTES_MAX, LOAM_ERRORS_LFS,
	  &loam_lfs_locks_verify },
	{ LOAM_POST, API "/locks/{id}/unlock", LOAM_JSON_BYTES_MAX, LOAM_ERRORS_LFS,
	  &loam_lfs_locks_unlock },
	{ .path = NULL },
};
