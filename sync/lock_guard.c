/*
 * Comparing trees at locked paths (sync/lock_guard.h; step 6 of a push).
 */
#include "sync/lock_guard.h"

#include "core/auto.h"
#include "core/clock.h"
#include "sync/changes.h"

#include <string.h>
#include <uthash.h>

#define COMMITS_MAX 1000000
#define BASES_MAX   1000 /* a merge of more says no more about who changed what */
#define PATH_SHOWN  400

struct loam_lock_guard {
	git_tree *new_tree; /* NULL: nothing is changed */
	git_tree **bases;   /* a path is as before when it is as in one of them */
	size_t base_count;
	bool owns; /* the trees */
	bool gone; /* the ref is deleted, and with it what the base shows */
};

struct seen_commit {
	git_oid oid;
	UT_hash_handle hh;
};

struct loam_lock_guard *loam_lock_guard_of_trees(git_tree *old_tree, git_tree *new_tree)
{
	struct loam_lock_guard *guard = loam_xnew(struct loam_lock_guard);
	guard->new_tree = new_tree;
	guard->bases = loam_xcalloc(1, sizeof(guard->bases[0]));
	if (old_tree)
		guard->bases[guard->base_count++] = old_tree;
	return guard;
}

void loam_lock_guard_free(struct loam_lock_guard *guard)
{
	if (!guard)
		return;
	for (size_t i = 0; guard->owns && i < guard->base_count; i++)
		git_tree_free(guard->bases[i]);
	if (guard->owns)
		git_tree_free(guard->new_tree);
	free(guard->bases);
	free(guard);
}

/* ---- what a ref is compared with ------------------------------------------------------------- */

/* The tree of a commit or of a tag on one. 1, 0 when it is neither. */
static int tree_of(git_repository *git, const git_oid *oid, git_oid *out_commit, git_tree **out,
		   struct loam_err *err)
{
	git_object *object = NULL, *commit = NULL;
	int rc = git_object_lookup(&object, git, oid, GIT_OBJECT_ANY);
	if (rc < 0)
		return loam_git_fail(err, rc, "read what is pushed");
	int peeled = git_object_peel(&commit, object, GIT_OBJECT_COMMIT);
	git_object_free(object);
	if (peeled < 0)
		return 0;
	*out_commit = *git_object_id(commit);
	rc = git_commit_tree(out, (git_commit *)commit);
	git_object_free(commit);
	return rc < 0 ? loam_git_fail(err, rc, "read a tree") : 1;
}

static bool add_commit(struct seen_commit **seen, const git_oid *oid)
{
	struct seen_commit *commit;
	HASH_FIND(hh, *seen, oid, sizeof(*oid), commit);
	if (commit)
		return false;
	commit = loam_xnew(struct seen_commit);
	commit->oid = *oid;
	HASH_ADD(hh, *seen, oid, sizeof(commit->oid), commit);
	return true;
}

static void free_commits(struct seen_commit **seen)
{
	struct seen_commit *commit, *next;
	HASH_ITER (hh, *seen, commit, next) {
		HASH_DEL(*seen, commit);
		free(commit);
	}
}

/* The commits that no present ref reaches. */
static int find_new(git_repository *git, const git_oid *tip, struct seen_commit **out,
		    struct loam_err *err)
{
	git_revwalk *walk = NULL;
	git_oid oid;
	int rc = git_revwalk_new(&walk, git), more = 0;
	if (rc == 0)
		rc = git_revwalk_push(walk, tip);
	if (rc == 0)
		rc = git_revwalk_hide_glob(walk, "refs/*");
	while (rc == 0 && HASH_COUNT(*out) < COMMITS_MAX &&
	       (more = git_revwalk_next(&oid, walk)) == 0)
		add_commit(out, &oid);
	git_revwalk_free(walk);
	if (rc < 0 || (more < 0 && more != GIT_ITEROVER))
		return loam_git_fail(err, rc < 0 ? rc : more, "walk the new commits");
	return 0;
}

static int add_base(struct loam_lock_guard *guard, git_repository *git, const git_oid *commit_oid,
		    struct loam_err *err)
{
	git_oid oid;
	guard->bases = reallocarray(guard->bases, guard->base_count + 1, sizeof(guard->bases[0]));
	loam_assert(guard->bases != NULL);
	int rc = tree_of(git, commit_oid, &oid, &guard->bases[guard->base_count], err);
	guard->base_count += rc == 1;
	return rc < 0 ? rc : 0;
}

/* The parents of new commits that are not new themselves. */
static int add_bases(struct loam_lock_guard *guard, git_repository *git, struct seen_commit *fresh,
		     struct loam_err *err)
{
	struct seen_commit *bases = NULL;
	int rc = 0;
	for (struct seen_commit *at = fresh; rc == 0 && at; at = at->hh.next) {
		git_commit *commit = NULL;
		int found = git_commit_lookup(&commit, git, &at->oid);
		if (found < 0)
			rc = loam_git_fail(err, found, "read a commit");
		for (unsigned i = 0; rc == 0 && i < git_commit_parentcount(commit); i++) {
			const git_oid *parent = git_commit_parent_id(commit, i);
			struct seen_commit *known;
			HASH_FIND(hh, fresh, parent, sizeof(*parent), known);
			if (!known && guard->base_count < BASES_MAX && add_commit(&bases, parent))
				rc = add_base(guard, git, parent, err);
		}
		git_commit_free(commit);
	}
	free_commits(&bases);
	return rc;
}

static int guard_new_ref(struct loam_lock_guard *guard, git_repository *git, const git_oid *tip,
			 struct loam_err *err)
{
	struct seen_commit *fresh = NULL;
	int rc = find_new(git, tip, &fresh, err);
	if (rc == 0 && !fresh) { /* a second name for what is there */
		git_tree_free(guard->new_tree);
		guard->new_tree = NULL;
	} else if (rc == 0) {
		rc = add_bases(guard, git, fresh, err);
	}
	free_commits(&fresh);
	return rc;
}

int loam_lock_guard_of_update(git_repository *git, const git_oid *old_oid, const git_oid *new_oid,
			      struct loam_lock_guard **out_guard, struct loam_err *err)
{
	struct loam_lock_guard *guard = loam_xnew(struct loam_lock_guard);
	git_oid tip;
	guard->owns = true;
	guard->gone = git_oid_is_zero(new_oid);
	int rc = guard->gone ? add_base(guard, git, old_oid, err)
			     : tree_of(git, new_oid, &tip, &guard->new_tree, err);
	if (rc == 1)
		rc = git_oid_is_zero(old_oid) ? guard_new_ref(guard, git, &tip, err)
					      : add_base(guard, git, old_oid, err);
	if (rc < 0) {
		loam_lock_guard_free(guard);
		return rc;
	}
	*out_guard = guard;
	return 0;
}

/* ---- asking ---------------------------------------------------------------------------------- */

/* 1 with the entry (git_tree_entry_free), 0 nothing stands there. */
static int entry_at(const git_tree *tree, const char *path, git_tree_entry **out,
		    struct loam_err *err)
{
	int rc = git_tree_entry_bypath(out, tree, path);
	if (rc == GIT_ENOTFOUND)
		return 0;
	return rc < 0 ? loam_git_fail(err, rc, "read a tree") : 1;
}

static bool entries_equal(const git_tree_entry *a, const git_tree_entry *b)
{
	if (!a || !b)
		return a == b;
	return git_tree_entry_filemode(a) == git_tree_entry_filemode(b) &&
	       git_oid_equal(git_tree_entry_id(a), git_tree_entry_id(b));
}

int loam_lock_guard_touches(const struct loam_lock_guard *guard, const char *path,
			    struct loam_err *err)
{
	git_tree_entry *now = NULL;
	if (!guard->new_tree && !guard->gone)
		return 0;
	int rc = guard->gone ? 0 : entry_at(guard->new_tree, path, &now, err);
	bool touched = guard->base_count > 0 || rc == 1;
	for (size_t i = 0; rc >= 0 && touched && i < guard->base_count; i++) {
		git_tree_entry *before = NULL;
		rc = entry_at(guard->bases[i], path, &before, err);
		touched = rc < 0 || !entries_equal(now, before);
		git_tree_entry_free(before);
	}
	git_tree_entry_free(now);
	return rc < 0 ? rc : touched;
}

void loam_lock_line(const struct loam_lock *lock, char out[LOAM_LOCK_LINE_BYTES])
{
	char when[LOAM_CLOCK_TEXT_BYTES];
	loam_clock_format((time_t)lock->locked_at, when);
	snprintf(out, LOAM_LOCK_LINE_BYTES,
		 "%.*s is locked by %s since %s; git lfs unlock --force %.*s needs the right of "
		 "an admin",
		 PATH_SHOWN, lock->path, lock->owner, when, PATH_SHOWN, lock->path);
}
