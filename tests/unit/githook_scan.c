/*
 * githook/scan: what a push brings, and what of it is refused (step 6 of a push).
 */
#include "githook/scan.h"

#include "core/auto.h"
#include "core/limits.h"
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
#define TREE  GIT_FILEMODE_TREE
#define OID_A "4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393"
#define OID_B "5d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393"
#define POINTER(oid, size) \
	"version https://git-lfs.github.com/spec/v1\noid sha256:" oid "\nsize " size "\n"

typedef struct loam_git_file files[];

static char dir[64];
static git_repository *git;

static int setup(void **state)
{
	snprintf(dir, sizeof(dir), "/tmp/loam-scan-XXXXXX");
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

/* The scan of one new object; loam_scan_free(). */
static struct loam_scan *scan_of(const git_oid *oid)
{
	struct loam_scan *scan = loam_scan_new(git);
	struct loam_err err = { 0 };
	int rc = loam_scan_ref(scan, oid, &err);
	if (rc < 0)
		print_error("%s\n", err.text);
	assert_int_equal(rc, 0);
	return scan;
}

static git_oid commit_of(const git_oid *tree, const git_oid *parent)
{
	return loam_git_commit(git, tree, parent, NULL, NULL);
}

static void expect_refused(const git_oid *tree, const char *line)
{
	git_oid commit = commit_of(tree, NULL);
	struct loam_scan *scan = scan_of(&commit);
	const char *text = loam_buf_text(loam_scan_refusals(scan));
	if (!strstr(text, line))
		print_error("'%s' is not in '%s'\n", line, text);
	assert_non_null(strstr(text, line));
	loam_scan_free(scan);
}

static void pointers_are_found_once_with_a_place(void **state)
{
	const files list = { { "a", FILE_, POINTER(OID_A, "5") },
			     { "d/b", FILE_, POINTER(OID_B, "7") },
			     { "d/c", FILE_, POINTER(OID_A, "5") },
			     { "link", GIT_FILEMODE_LINK, POINTER(OID_A, "9") },
			     { "plain", FILE_, "version of something else" },
			     { NULL, 0, NULL } };
	git_oid tree = loam_git_tree(git, list);
	git_oid commit = commit_of(&tree, NULL);
	struct loam_scan *scan = scan_of(&commit);
	assert_int_equal(loam_scan_refusals(scan)->bytes, 0);
	assert_int_equal(loam_scan_pointer_count(scan), 2);
	assert_string_equal(loam_scan_pointer(scan, 0)->oid, OID_A);
	assert_int_equal(loam_scan_pointer(scan, 0)->size, 5);
	assert_string_equal(loam_scan_pointer(scan, 0)->path, "a");
	assert_string_equal(loam_scan_pointer(scan, 1)->oid, OID_B);
	assert_string_equal(loam_scan_pointer(scan, 1)->path, "d/b");
	loam_scan_free(scan);
}

static void two_sizes_for_one_object_are_refused(void **state)
{
	const files list = { { "a", FILE_, POINTER(OID_A, "5") },
			     { "d/b", FILE_, POINTER(OID_A, "6") },
			     { NULL, 0, NULL } };
	git_oid tree = loam_git_tree(git, list);
	expect_refused(&tree, "d/b: its pointer gives another size");
}

static void names_that_cannot_stand_are_refused(void **state)
{
	char name[LOAM_NAME_BYTES_MAX + 2];
	git_oid blob = loam_git_blob(git, "x", 1);
	static const char *const names[] = { ".git", ".GIT", ".Git", ".", ".." };
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(names); i++) {
		git_oid inner = loam_git_raw_tree(git, names[i], FILE_, &blob);
		git_oid tree = loam_git_raw_tree(git, "d", TREE, &inner);
		loam_auto_free char *line = loam_xasprintf("d/%s: ", names[i]);
		expect_refused(&tree, line);
	}
	memset(name, 'x', sizeof(name));
	name[LOAM_NAME_BYTES_MAX + 1] = '\0';
	git_oid tree = loam_git_raw_tree(git, name, FILE_, &blob);
	expect_refused(&tree, "a name over 255 bytes");
	name[LOAM_NAME_BYTES_MAX] = '\0';
	tree = loam_git_raw_tree(git, name, FILE_, &blob);
	git_oid commit = commit_of(&tree, NULL);
	struct loam_scan *scan = scan_of(&commit);
	assert_int_equal(loam_scan_refusals(scan)->bytes, 0);
	loam_scan_free(scan);
}

static void at_most_twenty_refusals_are_told(void **state)
{
	git_oid blob = loam_git_blob(git, "x", 1);
	git_oid bad = loam_git_raw_tree(git, ".git", FILE_, &blob), parent;
	struct loam_scan *scan = loam_scan_new(git);
	for (int i = 0; i < 30; i++) {
		char name[16];
		snprintf(name, sizeof(name), "d%d", i);
		git_oid tree = loam_git_raw_tree(git, name, TREE, &bad);
		tree = loam_git_raw_tree(git, name, TREE, &tree);
		parent = commit_of(&tree, NULL);
		struct loam_err err = { 0 };
		git_oid other = loam_git_blob(git, name, strlen(name));
		bad = loam_git_raw_tree(git, ".git", FILE_, &other);
		assert_int_equal(loam_scan_ref(scan, &parent, &err), 0);
	}
	size_t lines = 0;
	for (const char *c = loam_buf_text(loam_scan_refusals(scan)); *c; c++)
		lines += *c == '\n';
	assert_int_equal(lines, 20);
	loam_scan_free(scan);
}

static void a_blob_over_100_mib_is_refused_and_one_of_100_is_not(void **state)
{
	size_t bytes = LOAM_GIT_BLOB_BYTES_MAX;
	loam_auto_free char *data = loam_xcalloc(bytes + 1, 1);
	git_oid fits = loam_git_blob(git, data, bytes);
	git_oid over = loam_git_blob(git, data, bytes + 1);
	git_oid tree = loam_git_raw_tree(git, "big", FILE_, &over);
	expect_refused(&tree, "big: over 100 MiB");
	tree = loam_git_raw_tree(git, "big", FILE_, &fits);
	git_oid commit = commit_of(&tree, NULL);
	struct loam_scan *scan = scan_of(&commit);
	assert_int_equal(loam_scan_refusals(scan)->bytes, 0);
	loam_scan_free(scan);
}

static void only_what_the_refs_do_not_have_is_looked_at(void **state)
{
	const files old_list = { { "a", FILE_, POINTER(OID_A, "5") }, { NULL, 0, NULL } };
	const files new_list = { { "a", FILE_, POINTER(OID_A, "5") },
				 { "b", FILE_, POINTER(OID_B, "7") },
				 { NULL, 0, NULL } };
	git_oid first = loam_git_push(git, "refs/heads/a/nested", old_list);
	struct loam_scan *scan = scan_of(&first); /* a new branch of old commits */
	assert_int_equal(loam_scan_pointer_count(scan), 0);
	loam_scan_free(scan);
	git_oid tree = loam_git_tree(git, new_list);
	git_oid second = commit_of(&tree, &first);
	scan = scan_of(&second);
	assert_int_equal(loam_scan_pointer_count(scan), 1);
	assert_string_equal(loam_scan_pointer(scan, 0)->oid, OID_B);
	loam_scan_free(scan);
}

static void every_new_commit_counts_not_only_the_last(void **state)
{
	const files with = { { "a", FILE_, POINTER(OID_A, "5") }, { NULL, 0, NULL } };
	const files without = { { "b", FILE_, "x" }, { NULL, 0, NULL } };
	git_oid tree = loam_git_tree(git, with);
	git_oid first = commit_of(&tree, NULL);
	tree = loam_git_tree(git, without);
	git_oid second = commit_of(&tree, &first);
	struct loam_scan *scan = scan_of(&second);
	assert_int_equal(loam_scan_pointer_count(scan), 1);
	loam_scan_free(scan);
}

static void both_sides_of_a_merge_and_what_it_adds_are_seen(void **state)
{
	const files base = { { "x", FILE_, "x" }, { NULL, 0, NULL } };
	const files side = { { "a", FILE_, POINTER(OID_A, "5") },
			     { "x", FILE_, "x" },
			     { NULL, 0, NULL } };
	const files evil = { { "a", FILE_, POINTER(OID_A, "5") },
			     { "b", FILE_, POINTER(OID_B, "7") },
			     { "x", FILE_, "x" },
			     { NULL, 0, NULL } };
	git_oid root = loam_git_push(git, "refs/heads/main", base);
	git_oid tree = loam_git_tree(git, side);
	git_oid other = commit_of(&tree, &root);
	tree = loam_git_tree(git, evil);
	git_oid merge = loam_git_commit(git, &tree, &root, &other, NULL);
	struct loam_scan *scan = scan_of(&merge);
	assert_int_equal(loam_scan_pointer_count(scan), 2);
	loam_scan_free(scan);
}

static void a_tag_is_followed_and_one_of_a_blob_holds_nothing(void **state)
{
	const files list = { { "a", FILE_, POINTER(OID_A, "5") }, { NULL, 0, NULL } };
	git_oid tree = loam_git_tree(git, list), tag;
	git_oid commit = commit_of(&tree, NULL);
	git_object *target = NULL;
	git_signature *who = NULL;
	assert_int_equal(git_signature_new(&who, "T", "t@example.org", 1, 0), 0);
	assert_int_equal(git_object_lookup(&target, git, &commit, GIT_OBJECT_ANY), 0);
	assert_int_equal(git_tag_annotation_create(&tag, git, "v1", target, who, "text"), 0);
	git_object_free(target);
	struct loam_scan *scan = scan_of(&tag);
	assert_int_equal(loam_scan_pointer_count(scan), 1);
	loam_scan_free(scan);
	git_oid blob = loam_git_blob(git, POINTER(OID_B, "7"), strlen(POINTER(OID_B, "7")));
	assert_int_equal(git_object_lookup(&target, git, &blob, GIT_OBJECT_ANY), 0);
	assert_int_equal(git_tag_annotation_create(&tag, git, "v2", target, who, "text"), 0);
	git_object_free(target);
	git_signature_free(who);
	scan = scan_of(&tag);
	assert_int_equal(loam_scan_pointer_count(scan), 0);
	loam_scan_free(scan);
}

/* A tree of fifty levels is fine at the top and too deep below sixty more. */
static void a_tree_that_moves_too_deep_is_refused(void **state)
{
	git_oid blob = loam_git_blob(git, "x", 1);
	git_oid tree = loam_git_raw_tree(git, "f", FILE_, &blob);
	for (int i = 0; i < 50; i++)
		tree = loam_git_raw_tree(git, "d", TREE, &tree);
	git_oid first = commit_of(&tree, NULL);
	for (int i = 0; i < 60; i++)
		tree = loam_git_raw_tree(git, "e", TREE, &tree);
	git_oid second = commit_of(&tree, &first);
	struct loam_scan *scan = loam_scan_new(git);
	struct loam_err err = { 0 };
	assert_int_equal(loam_scan_ref(scan, &first, &err), 0);
	assert_int_equal(loam_scan_refusals(scan)->bytes, 0);
	assert_int_equal(loam_scan_ref(scan, &second, &err), 0);
	assert_non_null(strstr(loam_buf_text(loam_scan_refusals(scan)), "more than 100 deep"));
	loam_scan_free(scan);
}

static void what_is_not_there_is_an_error(void **state)
{
	git_oid none;
	struct loam_scan *scan = loam_scan_new(git);
	struct loam_err err = { 0 };
	assert_int_equal(git_oid_fromstr(&none, "1111111111111111111111111111111111111111"), 0);
	assert_int_equal(loam_scan_ref(scan, &none, &err), -LOAM_E_CORRUPT);
	loam_err_clear(&err);
	git_oid tree = loam_git_raw_tree(git, "f", FILE_, &none);
	git_oid commit = commit_of(&tree, NULL);
	assert_int_equal(loam_scan_ref(scan, &commit, &err), -LOAM_E_CORRUPT);
	loam_scan_free(scan);
	loam_scan_free(NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(pointers_are_found_once_with_a_place),
		TEST(two_sizes_for_one_object_are_refused),
		TEST(names_that_cannot_stand_are_refused),
		TEST(at_most_twenty_refusals_are_told),
		TEST(a_blob_over_100_mib_is_refused_and_one_of_100_is_not),
		TEST(only_what_the_refs_do_not_have_is_looked_at),
		TEST(every_new_commit_counts_not_only_the_last),
		TEST(both_sides_of_a_merge_and_what_it_adds_are_seen),
		TEST(a_tag_is_followed_and_one_of_a_blob_holds_nothing),
		TEST(a_tree_that_moves_too_deep_is_refused),
		TEST(what_is_not_there_is_an_error),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
