/*
 * sync/changes: the difference of two trees as work on the live one, and what the old entries held.
 */
#include "sync/changes.h"

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
#define EXEC  GIT_FILEMODE_BLOB_EXECUTABLE
#define LINK  GIT_FILEMODE_LINK
#define SUB   GIT_FILEMODE_COMMIT
#define END                   \
	{                     \
		NULL, 0, NULL \
	}
#define OID	"4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393"
#define POINTER "version https://git-lfs.github.com/spec/v1\noid sha256:" OID "\nsize 12345\n"

static git_repository *git;
static char dir[64];

static int setup(void **state)
{
	snprintf(dir, sizeof(dir), "/tmp/loam-changes-XXXXXX");
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

/* "M a/x D b T c/" and so on, in the order of the changes, sorted by the caller's expectation. */
static char *text_of(const struct loam_changes *changes)
{
	loam_auto_buf struct loam_buf text = LOAM_BUF(65536);
	struct loam_err err = { 0 };
	for (size_t i = 0; i < changes->change_count; i++) {
		const struct loam_change *change = &changes->changes[i];
		loam_auto_free char *path = loam_xstrdup(change->name);
		for (size_t d = change->dir; d != 0; d = changes->dirs[d].parent) {
			char *longer = loam_xasprintf("%s/%s", changes->dirs[d].name, path);
			free(path);
			path = longer;
		}
		char kind = change->kind == LOAM_CHANGE_REMOVE ? '-'
			    : change->kind == LOAM_CHANGE_TREE ? 't'
							       : 'b';
		char was = !change->was_there ? '0' : change->was_dir ? 't' : 'b';
		assert_int_equal(loam_buf_printf(&text, &err, "%c%c:%s ", was, kind, path), 0);
	}
	return loam_buf_steal(&text);
}

static void expect(const struct loam_git_file *before, const struct loam_git_file *after,
		   const char *text, int64_t removed_files, int64_t removed_bytes)
{
	git_tree *old_tree = NULL, *new_tree = NULL;
	git_oid oid;
	struct loam_changes changes;
	struct loam_err err = { 0 };
	if (before) {
		oid = loam_git_tree(git, before);
		assert_int_equal(git_tree_lookup(&old_tree, git, &oid), 0);
	}
	if (after) {
		oid = loam_git_tree(git, after);
		assert_int_equal(git_tree_lookup(&new_tree, git, &oid), 0);
	}
	assert_int_equal(loam_changes_find(git, old_tree, new_tree, 1000, NULL, &changes, &err), 0);
	loam_auto_free char *found = text_of(&changes);
	assert_string_equal(found, text);
	assert_int_equal(changes.removed_files, removed_files);
	assert_int_equal(changes.removed_bytes, removed_bytes);
	loam_changes_release(&changes);
	git_tree_free(old_tree);
	git_tree_free(new_tree);
}

static const struct loam_git_file base[] = { { "a", FILE_, "12345" }, { "d/b", FILE_, "123" },
					     { "d/e/c", EXEC, "1" },  { "l", LINK, "a" },
					     { "p", FILE_, POINTER }, END };

static void equal_trees_differ_in_nothing(void **state)
{
	expect(base, base, "", 0, 0);
	expect(NULL, NULL, "", 0, 0);
}

static void a_first_tree_is_its_top_entries(void **state)
{
	expect(NULL, base, "0b:a 0t:d 0b:l 0b:p ", 0, 0);
}

static void a_tree_that_goes_is_counted_whole_with_its_objects(void **state)
{
	expect(base, NULL, "b-:a t-:d b-:l b-:p ", 5, 5 + 3 + 1 + 1 + 12345);
}

static void a_changed_file_is_found_in_its_directory(void **state)
{
	const struct loam_git_file after[] = { { "a", FILE_, "12345" }, { "d/b", FILE_, "1234" },
					       { "d/e/c", EXEC, "1" },	{ "l", LINK, "a" },
					       { "p", FILE_, POINTER }, END };
	expect(base, after, "bb:d/b ", 1, 3);
}

static void a_mode_alone_is_a_change(void **state)
{
	const struct loam_git_file after[] = { { "a", EXEC, "12345" },	{ "d/b", FILE_, "123" },
					       { "d/e/c", FILE_, "1" }, { "l", FILE_, "a" },
					       { "p", FILE_, POINTER }, END };
	expect(base, after, "bb:a bb:d/e/c bb:l ", 3, 5 + 1 + 1);
}

static void a_rename_is_one_removed_and_one_added(void **state)
{
	const struct loam_git_file after[] = { { "a", FILE_, "12345" }, { "d/e/c", EXEC, "1" },
					       { "d/z", FILE_, "123" }, { "l", LINK, "a" },
					       { "q", FILE_, POINTER }, END };
	expect(base, after, "0b:d/z b-:d/b 0b:q b-:p ", 2, 3 + 12345);
}

static void file_and_directory_take_each_others_place(void **state)
{
	const struct loam_git_file after[] = { { "a/x", FILE_, "1" },	{ "a/y/z", FILE_, "1" },
					       { "d", FILE_, "12" },	{ "l", LINK, "a" },
					       { "p", FILE_, POINTER }, END };
	expect(base, after, "bt:a tb:d ", 1 + 2, 5 + 3 + 1);
	expect(after, base, "tb:a bt:d ", 2 + 1, 1 + 1 + 2);
}

/* Git sorts "a.b" before the directory "a", which counts as "a/", and behind the file "a". */
static void names_that_git_sorts_apart_are_still_paired(void **state)
{
	const struct loam_git_file before[] = {
		{ "a", FILE_, "1" }, { "a.b", FILE_, "2" }, { "a0", FILE_, "3" }, END
	};
	const struct loam_git_file after[] = {
		{ "a.b", FILE_, "2" }, { "a/x", FILE_, "1" }, { "a0", FILE_, "3" }, END
	};
	expect(before, after, "bt:a ", 1, 1);
	expect(after, before, "tb:a ", 1, 1);
}

static void symlinks_and_submodules_change_kind_too(void **state)
{
	const struct loam_git_file link[] = { { "x", LINK, "a/b" }, END };
	const struct loam_git_file file[] = { { "x", FILE_, "12" }, END };
	const struct loam_git_file below[] = { { "x/y", FILE_, "1" }, END };
	const struct loam_git_file sub[] = { { "x", SUB, NULL }, END };
	expect(link, file, "bb:x ", 1, 3);
	expect(file, link, "bb:x ", 1, 2);
	expect(link, below, "bt:x ", 1, 3);
	expect(below, link, "tb:x ", 1, 1);
	/* a submodule is not shown: as if it were not there */
	expect(sub, file, "0b:x ", 0, 0);
	expect(file, sub, "b-:x ", 1, 2);
	expect(sub, below, "0t:x ", 0, 0);
	expect(below, sub, "t-:x ", 1, 1);
	expect(NULL, sub, "", 0, 0);
	expect(sub, NULL, "", 0, 0);
}

static void a_pointer_counts_as_its_object_but_not_behind_a_link(void **state)
{
	const struct loam_git_file pointer[] = { { "x", FILE_, POINTER }, END };
	const struct loam_git_file link[] = { { "x", LINK, POINTER }, END };
	expect(pointer, NULL, "b-:x ", 1, 12345);
	expect(link, NULL, "b-:x ", 1, (int64_t)strlen(POINTER));
}

static void changes_stop_at_the_limit(void **state)
{
	struct loam_git_file files[51];
	char names[50][16];
	for (int i = 0; i < 50; i++) {
		snprintf(names[i], sizeof(names[i]), "f%02d", i);
		files[i] = (struct loam_git_file){ names[i], FILE_, "x" };
	}
	files[50] = (struct loam_git_file)END;
	git_oid oid = loam_git_tree(git, files);
	git_tree *tree = NULL;
	struct loam_changes changes;
	struct loam_err err = { 0 };
	assert_int_equal(git_tree_lookup(&tree, git, &oid), 0);
	assert_int_equal(loam_changes_find(git, NULL, tree, 10, NULL, &changes, &err), 0);
	assert_int_equal(changes.change_count, 11);
	loam_changes_release(&changes);
	assert_int_equal(loam_changes_find(git, NULL, tree, 50, NULL, &changes, &err), 0);
	assert_int_equal(changes.change_count, 50);
	loam_changes_release(&changes);
	git_tree_free(tree);
}

static void names_that_no_tree_may_have_are_left_out_and_said(void **state)
{
	char long_name[258];
	memset(long_name, 'x', 256);
	long_name[256] = '\0';
	const char *const names[] = { ".git", ".GIT", ".", "..", long_name };
	git_oid blob = loam_git_blob(git, "x", 1);
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(names); i++) {
		git_oid oid = loam_git_raw_tree(git, names[i], FILE_, &blob);
		git_tree *tree = NULL;
		loam_auto_buf struct loam_buf notes = LOAM_BUF(1000);
		assert_int_equal(git_tree_lookup(&tree, git, &oid), 0);
		const git_tree_entry *entry = git_tree_entry_byindex(tree, 0);
		assert_false(loam_entry_is_shown(entry, "a/", &notes));
		assert_memory_equal(loam_buf_text(&notes), "left out: a/", 12);
		assert_false(loam_entry_is_shown(entry, "a/", NULL));
		git_tree_free(tree);
	}
}

static void notes_past_their_limit_are_dropped_whole(void **state)
{
	loam_auto_buf struct loam_buf notes = LOAM_BUF(20);
	for (int i = 0; i < 100; i++)
		loam_note(&notes, "line %d", i);
	assert_string_equal(loam_buf_text(&notes), "line 0\nline 1\n");
	loam_auto_buf struct loam_buf wide = LOAM_BUF(5000);
	char text[3000];
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	loam_note(&wide, "%s", text);
	assert_true(wide.bytes <= 1024);
	assert_int_equal(wide.data[wide.bytes - 1], '\n');
}

static void trees_nest_at_most_a_hundred_deep(void **state)
{
	git_oid blob = loam_git_blob(git, "x", 1), other = loam_git_blob(git, "y", 1);
	git_oid a = loam_git_raw_tree(git, "f", FILE_, &blob);
	git_oid b = loam_git_raw_tree(git, "f", FILE_, &other);
	for (int depth = 0; depth < 102; depth++) {
		git_tree *old_tree = NULL, *new_tree = NULL;
		struct loam_changes changes;
		struct loam_err err = { 0 };
		assert_int_equal(git_tree_lookup(&old_tree, git, &a), 0);
		assert_int_equal(git_tree_lookup(&new_tree, git, &b), 0);
		int rc = loam_changes_find(git, old_tree, new_tree, 1000, NULL, &changes, &err);
		assert_int_equal(rc, depth <= 100 ? 0 : -LOAM_E_TOO_LARGE);
		if (rc == 0)
			loam_changes_release(&changes);
		git_tree_free(old_tree);
		git_tree_free(new_tree);
		a = loam_git_raw_tree(git, "d", GIT_FILEMODE_TREE, &a);
		b = loam_git_raw_tree(git, "d", GIT_FILEMODE_TREE, &b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(equal_trees_differ_in_nothing),
		cmocka_unit_test(a_first_tree_is_its_top_entries),
		cmocka_unit_test(a_tree_that_goes_is_counted_whole_with_its_objects),
		cmocka_unit_test(a_changed_file_is_found_in_its_directory),
		cmocka_unit_test(a_mode_alone_is_a_change),
		cmocka_unit_test(a_rename_is_one_removed_and_one_added),
		cmocka_unit_test(file_and_directory_take_each_others_place),
		cmocka_unit_test(names_that_git_sorts_apart_are_still_paired),
		cmocka_unit_test(symlinks_and_submodules_change_kind_too),
		cmocka_unit_test(a_pointer_counts_as_its_object_but_not_behind_a_link),
		cmocka_unit_test(changes_stop_at_the_limit),
		cmocka_unit_test(names_that_no_tree_may_have_are_left_out_and_said),
		cmocka_unit_test(notes_past_their_limit_are_dropped_whole),
		cmocka_unit_test(trees_nest_at_most_a_hundred_deep),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
