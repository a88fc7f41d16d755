/*
 * sync/lock_guard: which updates of a ref change a path.
 */
#include "sync/lock_guard.h"

#include "core/auto.h"
#include "tests/support/git_objects.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define FILE_ GIT_FILEMODE_BLOB
#define MAIN  "refs/heads/main"

typedef struct loam_git_file files[];

static const files base = { { "a", FILE_, "1" }, { "d/b", FILE_, "2" }, { NULL, 0, NULL } };
static const git_oid zero;

static char dir[64];
static git_repository *git;

static int setup(void **state)
{
	snprintf(dir, sizeof(dir), "/tmp/loam-guard-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	git = loam_git_make(dir);
	return 0;
}

static int teardown(void **state)
{
	git_repository_free(git);
	loam_git_remove(dir);
	return 0;
}

static git_oid commit(const struct loam_git_file *list, const git_oid *parent,
		      const git_oid *second)
{
	git_oid tree = loam_git_tree(git, list);
	return loam_git_commit(git, &tree, parent, second, NULL);
}

static int touches(const git_oid *old_oid, const git_oid *new_oid, const char *path)
{
	struct loam_lock_guard *guard = NULL;
	struct loam_err err = { 0 };
	assert_int_equal(loam_lock_guard_of_update(git, old_oid, new_oid, &guard, &err), 0);
	int rc = loam_lock_guard_touches(guard, path, &err);
	if (rc < 0)
		print_error("%s\n", err.text);
	loam_lock_guard_free(guard);
	return rc;
}

static void changes_adds_deletes_renames_and_modes_count(void **state)
{
	static const struct {
		struct loam_git_file list[4];
		const char *path;
		int touched;
	} cases[] = {
		{ { { "a", FILE_, "9" }, { "d/b", FILE_, "2" } }, "a", 1 },
		{ { { "a", FILE_, "9" }, { "d/b", FILE_, "2" } }, "d/b", 0 },
		{ { { "a", GIT_FILEMODE_BLOB_EXECUTABLE, "1" }, { "d/b", FILE_, "2" } }, "a", 1 },
		{ { { "d/b", FILE_, "2" } }, "a", 1 },
		{ { { "a", FILE_, "1" } }, "d/b", 1 },
		{ { { "a", FILE_, "1" }, { "d/c", FILE_, "2" } }, "d/b", 1 },
		{ { { "a", FILE_, "1" }, { "d/c", FILE_, "2" } }, "d/c", 1 },
		{ { { "a/x", FILE_, "1" }, { "d/b", FILE_, "2" } }, "a", 1 },
		{ { { "a/x", FILE_, "1" }, { "d/b", FILE_, "2" } }, "a/x", 1 },
		{ { { "a", FILE_, "1" }, { "d/b", FILE_, "2" }, { "n", FILE_, "" } }, "n", 1 },
		{ { { "a", FILE_, "1" }, { "d/b", FILE_, "2" }, { "n", FILE_, "" } }, "m", 0 },
		{ { { "a", FILE_, "1" }, { "d/b", FILE_, "2" } }, "a/b/c", 0 },
	};
	git_oid old_oid = loam_git_push(git, MAIN, base);
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(cases); i++) {
		git_oid new_oid = commit(cases[i].list, &old_oid, NULL);
		assert_int_equal(touches(&old_oid, &new_oid, cases[i].path), cases[i].touched);
		assert_int_equal(touches(&zero, &new_oid, cases[i].path), cases[i].touched);
	}
}

/* main moves on behind the branch: that is no change by whoever pushes the branch. */
static void a_new_branch_is_compared_with_what_it_stands_on(void **state)
{
	const files later = { { "a", FILE_, "later" }, { "d/b", FILE_, "2" }, { NULL, 0, NULL } };
	const files mine = { { "a", FILE_, "1" }, { "d/b", FILE_, "mine" }, { NULL, 0, NULL } };
	const files both = { { "a", FILE_, "later" }, { "d/b", FILE_, "mine" }, { NULL, 0, NULL } };
	git_oid first = loam_git_push(git, MAIN, base);
	git_oid second = loam_git_push(git, MAIN, later);
	git_oid branch = commit(mine, &first, NULL);
	assert_int_equal(touches(&zero, &branch, "a"), 0);
	assert_int_equal(touches(&zero, &branch, "d/b"), 1);
	git_oid merged = commit(both, &branch, &second);
	assert_int_equal(touches(&zero, &merged, "a"), 0);
	assert_int_equal(touches(&zero, &merged, "d/b"), 1);
	/* a second name for what is there changes nothing */
	assert_int_equal(touches(&zero, &first, "a"), 0);
	assert_int_equal(touches(&zero, &second, "a"), 0);
	/* taking main back to where it was does */
	assert_int_equal(touches(&second, &first, "a"), 1);
	assert_int_equal(touches(&second, &first, "d/b"), 0);
}

static void a_ref_that_goes_takes_what_it_showed(void **state)
{
	git_oid old_oid = loam_git_push(git, MAIN, base);
	assert_int_equal(touches(&old_oid, &zero, "a"), 1);
	assert_int_equal(touches(&old_oid, &zero, "d/b"), 1);
	assert_int_equal(touches(&old_oid, &zero, "none"), 0);
}

static void history_without_a_base_adds_every_path(void **state)
{
	git_oid root = commit(base, NULL, NULL);
	assert_int_equal(touches(&zero, &root, "a"), 1);
	assert_int_equal(touches(&zero, &root, "b"), 0);
}

static void a_ref_that_shows_no_tree_changes_nothing(void **state)
{
	git_oid blob = loam_git_blob(git, "x", 1);
	git_oid old_oid = loam_git_push(git, MAIN, base);
	assert_int_equal(touches(&zero, &blob, "a"), 0);
	assert_int_equal(touches(&old_oid, &blob, "a"), 0);
}

static void two_trees_are_compared_as_they_are(void **state)
{
	struct loam_err err = { 0 };
	git_oid oid = loam_git_tree(git, base);
	git_tree *tree = NULL;
	assert_int_equal(git_tree_lookup(&tree, git, &oid), 0);
	struct loam_lock_guard *same = loam_lock_guard_of_trees(tree, tree);
	struct loam_lock_guard *first = loam_lock_guard_of_trees(NULL, tree);
	assert_int_equal(loam_lock_guard_touches(same, "a", &err), 0);
	assert_int_equal(loam_lock_guard_touches(first, "a", &err), 1);
	assert_int_equal(loam_lock_guard_touches(first, "x", &err), 0);
	loam_lock_guard_free(same);
	loam_lock_guard_free(first);
	git_tree_free(tree);
}

#define IN_GIT(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_GIT(changes_adds_deletes_renames_and_modes_count),
		IN_GIT(a_new_branch_is_compared_with_what_it_stands_on),
		IN_GIT(a_ref_that_goes_takes_what_it_showed),
		IN_GIT(history_without_a_base_adds_every_path),
		IN_GIT(a_ref_that_shows_no_tree_changes_nothing),
		IN_GIT(two_trees_are_compared_as_they_are),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
