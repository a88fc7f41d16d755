/*
 * Walking the new objects of a push (githook/scan.h; step 6).
 *
 * Each new commit's tree is compared with its first parent's; only what differs is opened. Names
 * are checked although git's own fsck does so too: hooks in other servers' repositories cannot rely
 * on the configuration of loam serve.
 */
#include "githook/scan.h"

#include "core/auto.h"
#include "core/limits.h"
#include "lfs/pointer.h"
#include "sync/entry_names.h"

#include <string.h>
#include <uthash.h>

#define REFUSAL_LINES_MAX 20
#define REFUSAL_BYTES_MAX 65536
#define COMMITS_MAX	  1000000
#define POINTERS_MAX	  5000000

struct seen_tree {
	git_oid oid;
	unsigned depth; /* the deepest place where it was read */
	UT_hash_handle hh;
};

struct pointer_row {
	struct loam_found_pointer pointer;
	size_t index;
	UT_hash_handle hh;
};

struct loam_scan {
	git_repository *git;
	git_odb *odb;
	struct seen_tree *trees;
	struct pointer_row *pointers;
	struct pointer_row **in_order;
	struct loam_buf refusals;
	size_t refusal_lines;
};

struct loam_scan *loam_scan_new(git_repository *git)
{
	struct loam_scan *scan = loam_xnew(struct loam_scan);
	scan->git = git;
	loam_buf_init(&scan->refusals, REFUSAL_BYTES_MAX);
	return scan;
}

void loam_scan_free(struct loam_scan *scan)
{
	if (!scan)
		return;
	struct seen_tree *tree, *next_tree;
	HASH_ITER (hh, scan->trees, tree, next_tree) {
		HASH_DEL(scan->trees, tree);
		free(tree);
	}
	struct pointer_row *row, *next_row;
	HASH_ITER (hh, scan->pointers, row, next_row) {
		HASH_DEL(scan->pointers, row);
		free(row->pointer.path);
		free(row);
	}
	free(scan->in_order);
	git_odb_free(scan->odb);
	loam_buf_release(&scan->refusals);
	free(scan);
}

const struct loam_buf *loam_scan_refusals(const struct loam_scan *scan)
{
	return &scan->refusals;
}

size_t loam_scan_pointer_count(const struct loam_scan *scan)
{
	return HASH_COUNT(scan->pointers);
}

const struct loam_found_pointer *loam_scan_pointer(const struct loam_scan *scan, size_t index)
{
	return &scan->in_order[index]->pointer;
}

static int git_failed(struct loam_err *err, const char *what)
{
	const git_error *last = git_error_last();
	return loam_fail(err, LOAM_E_CORRUPT, "%s: %s", what, last ? last->message : "failed");
}

static int refuse(struct loam_scan *scan, const char *path, const char *name, const char *why,
		  struct loam_err *err)
{
	if (++scan->refusal_lines > REFUSAL_LINES_MAX)
		return 0;
	return loam_buf_printf(&scan->refusals, err, "%s%.300s: %s\n", path, name, why);
}

/* ---- blobs ----------------------------------------------------------------------------------- */

static int add_pointer(struct loam_scan *scan, const struct loam_pointer *pointer, const char *path,
		       const char *name, struct loam_err *err)
{
	struct pointer_row *row;
	HASH_FIND(hh, scan->pointers, pointer->oid, LOAM_SHA256_HEX, row);
	if (row && row->pointer.size != pointer->size)
		return refuse(
			scan, path, name,
			"its pointer gives another size than an earlier one for the same object",
			err);
	if (row || pointer->size == 0)
		return 0;
	if (HASH_COUNT(scan->pointers) >= POINTERS_MAX)
		return loam_fail(err, LOAM_E_TOO_LARGE, "a push of over %d LFS objects",
				 POINTERS_MAX);
	row = loam_xnew(struct pointer_row);
	memcpy(row->pointer.oid, pointer->oid, sizeof(row->pointer.oid));
	row->pointer.size = pointer->size;
	row->pointer.path = loam_xasprintf("%s%s", path, name);
	row->index = HASH_COUNT(scan->pointers);
	if ((row->index & (row->index - 1)) == 0) {
		size_t room = row->index ? row->index * 2 : 1;
		scan->in_order = reallocarray(scan->in_order, room, sizeof(scan->in_order[0]));
		loam_assert(scan->in_order != NULL);
	}
	scan->in_order[row->index] = row;
	HASH_ADD(hh, scan->pointers, pointer.oid, LOAM_SHA256_HEX, row);
	return 0;
}

static int scan_blob(struct loam_scan *scan, const git_oid *oid, const char *path, const char *name,
		     struct loam_err *err)
{
	size_t bytes;
	git_object_t type;
	if (!scan->odb && git_repository_odb(&scan->odb, scan->git) < 0)
		return git_failed(err, "open the objects");
	if (git_odb_read_header(&bytes, &type, scan->odb, oid) < 0)
		return git_failed(err, "read a blob's header");
	if (bytes > LOAM_GIT_BLOB_BYTES_MAX)
		return refuse(scan, path, name,
			      "over 100 MiB: git lfs track it, then git lfs migrate import", err);
	if (bytes >= LOAM_POINTER_BYTES_MAX)
		return 0;
	git_odb_object *object = NULL;
	if (git_odb_read(&object, scan->odb, oid) < 0)
		return git_failed(err, "read a blob");
	struct loam_pointer pointer;
	struct loam_err not_one = { 0 };
	int rc = 0;
	if (loam_pointer_parse(git_odb_object_data(object), git_odb_object_size(object), &pointer,
			       &not_one) == 0)
		rc = add_pointer(scan, &pointer, path, name, err);
	git_odb_object_free(object);
	return rc;
}

/* ---- trees ----------------------------------------------------------------------------------- */

/* One that stands deeper than before is read again: what is in it may be too deep there. */
static bool is_new_tree(struct loam_scan *scan, const git_oid *oid, unsigned depth)
{
	struct seen_tree *seen;
	HASH_FIND(hh, scan->trees, oid, sizeof(*oid), seen);
	if (seen && seen->depth >= depth)
		return false;
	if (seen) {
		seen->depth = depth;
		return true;
	}
	seen = loam_xnew(struct seen_tree);
	seen->oid = *oid;
	seen->depth = depth;
	HASH_ADD(hh, scan->trees, oid, sizeof(seen->oid), seen);
	return true;
}

static int scan_tree(struct loam_scan *scan, const git_oid *oid, const git_oid *before,
		     const char *path, unsigned depth, struct loam_err *err);

static int scan_entry(struct loam_scan *scan, const git_tree_entry *entry,
		      const git_tree_entry *before, const char *path, unsigned depth,
		      struct loam_err *err)
{
	const char *name = git_tree_entry_name(entry);
	const git_oid *oid = git_tree_entry_id(entry);
	if (before && git_oid_equal(oid, git_tree_entry_id(before)))
		return 0;
	const char *why = loam_entry_name_refused(name);
	if (why)
		return refuse(scan, path, name, why, err);
	switch (git_tree_entry_filemode(entry)) {
	case GIT_FILEMODE_TREE: {
		bool was_tree = before && git_tree_entry_type(before) == GIT_OBJECT_TREE;
		loam_auto_free char *below = loam_xasprintf("%s%s/", path, name);
		return scan_tree(scan, oid, was_tree ? git_tree_entry_id(before) : NULL, below,
				 depth + 1, err);
	}
	case GIT_FILEMODE_COMMIT: /* a submodule */
	case GIT_FILEMODE_LINK:
		return 0;
	default:
		return scan_blob(scan, oid, path, name, err);
	}
}

static int scan_tree(struct loam_scan *scan, const git_oid *oid, const git_oid *before,
		     const char *path, unsigned depth, struct loam_err *err)
{
	if (!is_new_tree(scan, oid, depth))
		return 0;
	if (depth > LOAM_GIT_PATH_DEPTH_MAX)
		return refuse(scan, path, "", "directories nest more than 100 deep", err);
	git_tree *tree = NULL, *old = NULL;
	if (git_tree_lookup(&tree, scan->git, oid) < 0)
		return git_failed(err, "read a tree");
	if (before && git_tree_lookup(&old, scan->git, before) < 0)
		old = NULL;
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < git_tree_entrycount(tree); i++) {
		const git_tree_entry *entry = git_tree_entry_byindex(tree, i);
		const git_tree_entry *was =
			old ? git_tree_entry_byname(old, git_tree_entry_name(entry)) : NULL;
		rc = scan_entry(scan, entry, was, path, depth, err);
	}
	git_tree_free(tree);
	git_tree_free(old);
	return rc;
}

/* ---- commits --------------------------------------------------------------------------------- */

static int scan_commit(struct loam_scan *scan, const git_oid *oid, struct loam_err *err)
{
	git_commit *commit = NULL, *parent = NULL;
	if (git_commit_lookup(&commit, scan->git, oid) < 0)
		return git_failed(err, "read a commit");
	if (git_commit_parentcount(commit) > 0 && git_commit_parent(&parent, commit, 0) < 0)
		parent = NULL;
	int rc = scan_tree(scan, git_commit_tree_id(commit),
			   parent ? git_commit_tree_id(parent) : NULL, "", 0, err);
	git_commit_free(parent);
	git_commit_free(commit);
	return rc;
}

int loam_scan_ref(struct loam_scan *scan, const git_oid *new_oid, struct loam_err *err)
{
	git_object *object = NULL, *commit = NULL;
	if (git_object_lookup(&object, scan->git, new_oid, GIT_OBJECT_ANY) < 0)
		return git_failed(err, "read what is pushed");
	int peeled = git_object_peel(&commit, object, GIT_OBJECT_COMMIT);
	git_object_free(object);
	if (peeled < 0)
		return 0; /* a tag of a tree or blob: nothing that is shown */
	git_revwalk *walk = NULL;
	int rc = 0;
	if (git_revwalk_new(&walk, scan->git) < 0 ||
	    git_revwalk_push(walk, git_object_id(commit)) < 0 ||
	    git_revwalk_hide_glob(walk, "refs/*") < 0)
		rc = git_failed(err, "walk the new commits");
	git_object_free(commit);
	git_oid oid;
	int more = 0;
	for (size_t count = 0; rc == 0 && (more = git_revwalk_next(&oid, walk)) == 0; count++) {
		if (count == COMMITS_MAX)
			rc = loam_fail(err, LOAM_E_TOO_LARGE, "over %d new commits in one push",
				       COMMITS_MAX);
		else
			rc = scan_commit(scan, &oid, err);
	}
	if (rc == 0 && more != GIT_ITEROVER)
		rc = git_failed(err, "walk the new commits");
	git_revwalk_free(walk);
	return rc;
}
