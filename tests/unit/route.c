/*
 * server/route.c: which row takes a path, and which paths no row may see.
 */
#include "server/route.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const struct loam_web_handler nothing;
static const struct loam_web_route rows[] = {
	{ LOAM_GET, "/healthz", 0, LOAM_ERRORS_TEXT, &nothing },
	{ LOAM_GET, "/{repo}/info/refs", 0, LOAM_ERRORS_TEXT, &nothing },
	{ LOAM_POST, "/{repo}/git-upload-pack", 10, LOAM_ERRORS_TEXT, &nothing },
	{ LOAM_PUT, "/_lfs/{repo}/{oid}", 10, LOAM_ERRORS_LFS, &nothing },
	{ LOAM_GET, "/_lfs/{repo}/{oid}", 0, LOAM_ERRORS_LFS, &nothing },
	{ LOAM_POST, "/_lfs/{repo}/{oid}/verify", 10, LOAM_ERRORS_LFS, &nothing },
};
static const struct loam_route_table table = { rows, sizeof(rows) / sizeof(rows[0]) };

static int find(unsigned method, const char *path, struct loam_route_match *match)
{
	struct loam_err err = { 0 };
	*match = (struct loam_route_match){ .route = NULL };
	return loam_route_find(&table, 1, method, path, match, &err);
}

static void expect_repo(const char *path, const char *repo)
{
	struct loam_route_match match;
	assert_int_equal(find(LOAM_GET, path, &match), 1);
	assert_string_equal(match.params[0].name, "repo");
	assert_string_equal(match.params[0].value, repo);
	loam_route_release(&match);
}

static void a_repository_is_found_in_every_spelling(void **state)
{
	expect_repo("/qwen/tiny/info/refs", "qwen/tiny");
	expect_repo("/qwen/tiny.git/info/refs", "qwen/tiny.git");
	expect_repo("/models/qwen/tiny/info/refs", "models/qwen/tiny");
	expect_repo("/datasets/qwen/tiny.git/info/refs", "datasets/qwen/tiny.git");
	expect_repo("/code/qwen/tiny/info/refs", "code/qwen/tiny");
	expect_repo("/qwen/t%69ny/info/refs", "qwen/tiny");
}

static void parameters_take_one_segment(void **state)
{
	struct loam_route_match match;
	assert_int_equal(find(LOAM_PUT, "/_lfs/qwen/tiny/abc", &match), 1);
	assert_string_equal(match.params[0].value, "qwen/tiny");
	assert_string_equal(match.params[1].name, "oid");
	assert_string_equal(match.params[1].value, "abc");
	loam_route_release(&match);
	assert_int_equal(find(LOAM_POST, "/_lfs/models/qwen/tiny/abc/verify", &match), 1);
	assert_string_equal(match.params[0].value, "models/qwen/tiny");
	loam_route_release(&match);
}

static void head_is_taken_by_get(void **state)
{
	struct loam_route_match match;
	assert_int_equal(find(LOAM_HEAD, "/healthz", &match), 1);
	loam_route_release(&match);
}

static void unknown_paths_and_methods_are_told_apart(void **state)
{
	struct loam_route_match match;
	assert_int_equal(find(LOAM_GET, "/nothing", &match), 0);
	assert_int_equal(match.allowed, 0);
	assert_int_equal(find(LOAM_GET, "/healthz/", &match), 0);
	assert_int_equal(match.allowed, 0);
	assert_int_equal(find(LOAM_DELETE, "/_lfs/qwen/tiny/abc", &match), 0);
	char allow[LOAM_ROUTE_ALLOW_BYTES];
	loam_route_allow(match.allowed, allow);
	assert_string_equal(allow, "GET, HEAD, PUT");
	assert_int_equal(find(LOAM_GET, "/qwen/tiny.git/config", &match), 0);
	assert_int_equal(find(LOAM_GET, "/qwen/tiny.git/objects/info/alternates", &match), 0);
	assert_int_equal(match.allowed, 0);
}

static void dangerous_paths_are_refused_before_any_row(void **state)
{
	static const char *const bad[] = {
		"/a/../../etc/passwd",
		"/%2e%2e/x",
		"/a/..%5cb",
		"/a/%252e%252e/b",
		"/a/./b",
		"//a",
		"/a//b",
		"/a%2fb/c",
		"/a%00b",
		"/a%0ab",
		"/a%zz",
		"/a%2",
		"/a/%25%32%65/b",
		"/a/b%255cc",
		"/a%25252e",
		"a",
		"",
		"/a%2500/b",
		"/%2E/b",
		"/a/%2e%2E",
	};
	struct loam_route_match match;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		int rc = find(LOAM_GET, bad[i], &match);
		if (strcmp(bad[i], "/a%25252e") == 0) /* "%252e": harmless until a third decoding */
			assert_int_equal(rc, 0);
		else if (rc != -LOAM_E_INVALID)
			fail_msg("'%s' was answered %d", bad[i], rc);
	}
}

static void a_percent_in_a_name_is_an_ordinary_character(void **state)
{
	struct loam_route_match match;
	assert_int_equal(find(LOAM_PUT, "/_lfs/qwen/tiny/100%25.txt", &match), 1);
	assert_string_equal(match.params[1].value, "100%.txt");
	loam_route_release(&match);
	assert_int_equal(find(LOAM_PUT, "/_lfs/qwen/tiny/50%2520", &match), 1);
	assert_string_equal(match.params[1].value, "50%20");
	loam_route_release(&match);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_repository_is_found_in_every_spelling),
		cmocka_unit_test(parameters_take_one_segment),
		cmocka_unit_test(head_is_taken_by_get),
		cmocka_unit_test(unknown_paths_and_methods_are_told_apart),
		cmocka_unit_test(dangerous_paths_are_refused_before_any_row),
		cmocka_unit_test(a_percent_in_a_name_is_an_ordinary_character),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
