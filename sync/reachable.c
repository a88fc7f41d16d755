/*
 * Walking a whole history for its LFS pointers (sync/reachable.h). What was met is remembered by
 * its Git name, so the cost is that of distinct trees and of blobs under 1 KiB.
 */
#include "sync/reachable.h"

#include "core/auto.h"
#include "core/hash.h"
#include "core/limits.h"
#include "sync/changes.h"

#include <string.h>
#include <uthash.h>

struct seen_object {
	git_oid oid;
	UT_hash_handle hh;
};

struct seen_pointer {
	char oid[LOAM_SHA256_HEX + 1];
	UT_hash_handle hh;
};

struct reach {
	git_repository *git;
	git_odb *odb;
	struct seen_object *objects; /* trees and blobs */
	struct seen_pointer *pointers;
	loam_reachable_fn *seen;
	void *arg;
};

static bool is_new(struct reach *reach, const git_oid *oid)
{
	struct seen_object *object;
	HASH_FIND(hh, reach->objects, oid, sizeof(*oid), object);
	if (object)
		return false;
	object = loam_xnew(struct seen_object);
	object->oid = *oid;
	HASH_ADD(hh, reach->objects, oid, sizeof(object->oid), object);
	return true;
}

static int found(struct reach *reach, const struct loam_pointer *pointer, struct loam_err *err)
{
	struct seen_pointer *known;
	HASH_FIND(hh, reach->pointers, pointer->oid, LOAM_SHA256_HEX, known);
	if (known || pointer->size == 0)
		return 0;
	known = loam_xnew(struct seen_pointer);
	memcpy(known->oid, pointer->oid, sizeof(known->oid));
	HASH_ADD(hh, reach->pointers, oid, LOAM_SHA256_HEX, known);
	return reach->seen(reach->arg, pointer, err);
}

static int visit_blob(struct reach *reach, const git_oid *oid, struct loam_err *err)
{
	size_t bytes;
	git_object_t type;
	git_odb_object *object = NULL;
	int rc = git_odb_read_header(&bytes, &type, reach->odb, oid);
	if (rc < 0)
		return loam_git_fail(err, rc, "read a blob's header");
	if (bytes >= LOAM_POINTER_BYTES_MAX)
		return 0;
	if ((rc = git_odb_read(&object, reach->odb, oid)) < 0)
		return loam_git_fail(err, rc, "read a blob");
	struct loam_pointer pointer;
	struct loam_err not_one = { 0 };
	rc = loam_pointer_parse(git_odb_object_data(object), bytes, &pointer, &not_one) == 0
		     ? found(reach, &pointer, err)
		     : 0;
	git_odb_object_free(object);
	return rc;
}

static int visit_tree(struct reach *reach, const git_oid *oid, unsigned depth, struct loam_err *err)
{
	git_tree *tree = NULL;
	if (!is_new(reach, oid) || depth > LOAM_GIT_PATH_DEPTH_MAX)
		return 0;
	int rc = git_tree_lookup(&tree, reach->git, oid);
	if (rc < 0)
		return loam_git_fail(err, rc, "read a tree");
	for (size_t i = 0; rc == 0 && i < git_tree_entrycount(tree); i++) {
		const git_tree_entry *entry = git_tree_entry_byindex(tree, i);
		git_filemode_t mode = git_tree_entry_filemode(entry);
		const git_oid *below = git_tree_entry_id(entry);
		if (mode == GIT_FILEMODE_TREE)
			rc = visit_tree(reach, below, depth + 1, err);
		else if (mode != GIT_FILEMODE_LINK && mode != GIT_FILEMODE_COMMIT &&
			 is_new(reach, below))
			rc = visit_blob(reach, below, err);
	}
	git_tree_free(tree);
	return rc;
}

static int visit_commits(struct reach *reach, git_revwalk *walk, struct loam_err *err)
{
	git_oid oid;
	int rc = 0, more = 0;
	while (rc == 0 && (more = git_revwalk_next(&oid, walk)) == 0) {
		git_commit *commit = NULL;
		int got = git_commit_lookup(&commit, reach->git, &oid);
		rc = got < 0 ? loam_git_fail(err, got, "read a commit")
			     : visit_tree(reach, git_commit_tree_id(commit), 0, err);
		git_commit_free(commit);
	}
	if (rc == 0 && more != GIT_ITEROVER)
		return loam_git_fail(err, more, "walk the commits");
	return rc;
}

static void free_seen(struct reach *reach)
{
	struct seen_object *object, *next_object;
	HASH_ITER (hh, reach->objects, object, next_object) {
		HASH_DEL(reach->objects, object);
		free(object);
	}
	struct seen_pointer *pointer, *next_pointer;
	HASH_ITER (hh, reach->pointers, pointer, next_pointer) {
		HASH_DEL(reach->pointers, pointer);
		free(pointer);
	}
}

int loam_reachable_objects(git_repository *git, loam_reachable_fn *seen, void *arg,
			   struct loam_err *err)
{
	struct reach reach = { .git = git, .seen = seen, .arg = arg };
	git_revwalk *walk = NULL;
	int rc = git_repository_odb(&reach.odb, git);
	if (rc == 0)
		rc = git_revwalk_new(&walk, git);
	if (rc == 0)
		rc = git_revwalk_push_glob(walk, "refs/*");
	rc = rc < 0 ? loam_git_fail(err, rc, "walk the commits") : visit_commits(&reach, walk, err);
	git_revwalk_free(walk);
	git_odb_free(reach.odb);
	free_seen(&reach);
	return rc;
}
