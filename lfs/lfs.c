/*
 * The LFS side of a server, opened and closed; what others ask of the pool (lfs/lfs.h). Step 3 of a
 * push.
 */
#include "lfs/lfs.h"

#include "core/auto.h"
#include "fs/files.h"
#include "lfs/lfs_internal.h"
#include "lfs/lfs_token.h"

#include <string.h>

#define DROP_ROUNDS 5 /* an upload that began before the gate went may still link an object */

int loam_lfs_open(struct loam_auth *auth, const struct loam_config *config,
		  struct loam_lfs **out_lfs, struct loam_err *err)
{
	struct loam_lfs *lfs = loam_xnew(struct loam_lfs);
	lfs->auth = auth;
	lfs->tree = loam_auth_tree(auth);
	lfs->staging_seconds = config->lfs_staging_seconds;
	lfs->transfers = loam_transfers_new();
	lfs->objects = loam_objects_new(lfs->tree);
	int rc = loam_link_keys_open(lfs->tree, &lfs->keys, err);
	if (rc == 0)
		rc = loam_staging_open(lfs->tree, lfs->staging_seconds, &lfs->staging, err);
	if (rc < 0) {
		loam_lfs_close(lfs);
		return rc;
	}
	*out_lfs = lfs;
	return 0;
}

void loam_lfs_close(struct loam_lfs *lfs)
{
	if (!lfs)
		return;
	loam_staging_close(lfs->staging);
	loam_link_keys_close(lfs->keys);
	loam_objects_free(lfs->objects);
	loam_transfers_free(lfs->transfers);
	free(lfs);
}

int loam_lfs_holds(const struct loam_tree *tree, const struct loam_repo *repo, const char *oid,
		   uint64_t *out_ino, uint64_t *out_bytes, struct loam_err *err)
{
	struct loam_object object = { .oid = oid };
	if (!loam_oid_is_valid(oid))
		return loam_fail(err, LOAM_E_UNPROCESSABLE, "not the name of an object");
	int rc = loam_objects_find(tree, repo, &object, 1, err);
	if (rc < 0)
		return loam_context(err, "look up object %s", oid);
	if (!object.held)
		return 0;
	*out_ino = object.ino;
	*out_bytes = object.bytes;
	return 1;
}

static int drop_links(const struct loam_tree *tree, const struct loam_repo *repo, uint64_t links,
		      struct loam_err *err)
{
	struct loam_dir *dir = NULL;
	int rc = loam_meta_opendir(tree->volume->meta, links, false, &dir, err);
	for (size_t i = 0; rc == 0 && i < loam_dir_count(dir); i++) {
		const struct loam_dir_entry *entry = loam_dir_at(dir, i);
		loam_auto_free char *oid = loam_xstrndup(entry->name.data, entry->name.bytes);
		if (loam_oid_is_valid(oid))
			rc = loam_objects_drop(tree, repo, oid, err);
		else
			rc = loam_meta_remove_tree(tree->volume->meta, &loam_who_root, links,
						   entry->name, err);
	}
	loam_dir_close(dir);
	return rc;
}

int loam_lfs_drop_repo(const struct loam_tree *tree, const struct loam_repo *repo,
		       struct loam_err *err)
{
	char path[LOAM_PATH_BYTES_MAX];
	struct loam_attr attr;
	uint64_t parent, links;
	struct loam_name name;
	int rc = 0;
	loam_tree_links_path(tree, repo, path);
	for (int round = 0; round < DROP_ROUNDS; round++) {
		loam_err_clear(err);
		rc = loam_files_lookup(tree->volume, path, &links, &attr, err);
		if (rc == 0)
			rc = drop_links(tree, repo, links, err);
		if (rc == 0)
			rc = loam_files_parent(tree->volume, path, &parent, &name, err);
		if (rc == 0)
			rc = loam_meta_rmdir(tree->volume->meta, &loam_who_root, parent, name, err);
		if (rc != -LOAM_E_NOT_EMPTY)
			break;
	}
	if (rc == -LOAM_E_NOT_FOUND) {
		loam_err_clear(err);
		rc = 0;
	}
	if (rc == 0) { /* the repository's state directory, which held "lfs" alone */
		*strrchr(path, '/') = '\0';
		rc = loam_files_remove(tree->volume, path, err);
	}
	return rc < 0 ? loam_context(err, "drop the objects of a repository") : 0;
}

char *loam_lfs_session_token(struct loam_lfs *lfs, const struct loam_principal *who,
			     const struct loam_repo *repo, bool upload)
{
	return loam_lfs_token_print(lfs->keys, who, repo, upload);
}

int loam_lfs_sweep(struct loam_lfs *lfs, struct loam_err *err)
{
	uint64_t jobs = 0, objects = 0;
	int rc = loam_staging_sweep(lfs->staging, &jobs, err);
	if (rc == 0)
		rc = loam_objects_sweep(lfs->tree,
					loam_staging_now(lfs->staging) -
						(int64_t)lfs->staging_seconds,
					&objects, err);
	return rc;
}
