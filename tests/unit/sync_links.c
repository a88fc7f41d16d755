/*
 * sync/build: which symbolic links stay inside the published tree (design.md §2.3).
 */
#include "sync/build.h"

#include "core/auto.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const struct {
	const char *path, *target;
	bool stays;
} cases[] = {
	{ "", "a", true },
	{ "", "./a", true },
	{ "", "a/b/c", true },
	{ "", "a//b/", true },
	{ "", ".", true },
	{ "", "..", false },
	{ "", "../a", false },
	{ "", "./../a", false },
	{ "", "/a", false },
	{ "", "//a", false },
	{ "", "", false },
	{ "", "...", true },
	{ "", "..a/b", true },
	{ "", "a../b", true },
	{ "a/", "..", true },
	{ "a/", "../", true },
	{ "a/", "../b", true },
	{ "a/", ".././b", true },
	{ "a/", "..//b", true },
	{ "a/", "../..", false },
	{ "a/", "../../b", false },
	{ "a/b/", "../../c", true },
	{ "a/b/", "../../../c", false },
	{ "a/b/c/d/", "../../../../x", true },
	{ "a/b/c/d/", "../../../../../x", false },
	/* behind a name a ".." could follow another link */
	{ "", "a/../b", false },
	{ "", "a/..", false },
	{ "a/b/", "c/../d", false },
	{ "a/b/", "../c/../d", false },
	{ "a/b/", "./c/./..", false },
	{ "a/b/", "../c/d", true },
};

static void the_table_holds(void **state)
{
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(cases); i++) {
		bool stays =
			loam_symlink_stays(cases[i].path, cases[i].target, strlen(cases[i].target));
		if (stays != cases[i].stays)
			print_error("'%s' -> '%s'\n", cases[i].path, cases[i].target);
		assert_int_equal(stays, cases[i].stays);
	}
}

static void a_target_is_as_long_as_it_says(void **state)
{
	assert_true(loam_symlink_stays("", "a/../..", 1));
	assert_true(loam_symlink_stays("a/", "../..", 2));
	assert_false(loam_symlink_stays("", "a\0b", 3));
	assert_false(loam_symlink_stays("", "", 0));
}

/* However deep, no count goes round. */
static void a_thousand_steps_up_leave_the_tree(void **state)
{
	char target[3001];
	for (size_t i = 0; i < 3000; i += 3)
		memcpy(target + i, "../", 4);
	assert_false(loam_symlink_stays("a/b/c/", target, 3000));
	char path[2001];
	for (size_t i = 0; i < 2000; i += 2)
		memcpy(path + i, "a/", 3);
	assert_true(loam_symlink_stays(path, target, 3000));
	assert_false(loam_symlink_stays(path + 2, target, 3000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_table_holds),
		cmocka_unit_test(a_target_is_as_long_as_it_says),
		cmocka_unit_test(a_thousand_steps_up_leave_the_tree),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
