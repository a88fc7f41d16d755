/*
 * auth/tree: names of repositories and users (design.md §2, "Names and owners").
 */
#include "auth/tree.h"

#include "core/auto.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void a_name_without_kind_is_a_model(void **state)
{
	static const struct {
		const char *text;
		enum loam_kind kind;
		const char *shown;
	} cases[] = {
		{ "qwen/tiny", LOAM_KIND_MODELS, "models/qwen/tiny" },
		{ "/qwen/tiny", LOAM_KIND_MODELS, "models/qwen/tiny" },
		{ "qwen/tiny.git", LOAM_KIND_MODELS, "models/qwen/tiny" },
		{ "models/qwen/tiny", LOAM_KIND_MODELS, "models/qwen/tiny" },
		{ "/models/qwen/tiny.git", LOAM_KIND_MODELS, "models/qwen/tiny" },
		{ "datasets/a/b", LOAM_KIND_DATASETS, "datasets/a/b" },
		{ "code/A.b_c-d/9", LOAM_KIND_CODE, "code/A.b_c-d/9" },
		{ "a/models", LOAM_KIND_MODELS, "models/a/models" },
		{ "code/a/api", LOAM_KIND_CODE, "code/a/api" },
	};
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(cases); i++) {
		struct loam_repo repo;
		struct loam_err err = { 0 };
		char shown[LOAM_REPO_TEXT_BYTES];
		assert_int_equal(loam_repo_parse(cases[i].text, &repo, &err), 0);
		assert_int_equal(repo.kind, cases[i].kind);
		loam_repo_text(&repo, shown);
		assert_string_equal(shown, cases[i].shown);
	}
}

static void bad_names_are_unprocessable(void **state)
{
	static const char *const cases[] = {
		"",
		"/",
		".git",
		"tiny",
		"qwen/",
		"/qwen",
		"//qwen/tiny",
		"qwen//tiny",
		"qwen/tiny/",
		"qwen/.git",
		"qwen/tiny.git.git",
		"qwen/tiny.GIT",
		"qwen/tiny.Git",
		"a.git/b",
		"qwen/..",
		"../tiny",
		"qwen/a..b",
		"qwen/a--b",
		"qwen/a-",
		"qwen/a.",
		"qwen/-a",
		"qwen/.a",
		"qwen/_a",
		"qwen/a b",
		"qwen/a\n",
		"qwen/\xc3\xa4",
		"qwen/a:b",
		"qwen/a%2f",
		"spaces/a/b",
		"Models/a/b",
		"models/datasets/x",
		"a/b/c/d",
		"code/models/b/c",
	};
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(cases); i++) {
		struct loam_repo repo = { .ns = "untouched" };
		struct loam_err err = { 0 };
		if (loam_repo_parse(cases[i], &repo, &err) != -LOAM_E_UNPROCESSABLE)
			print_error("'%s' was taken\n", cases[i]);
		assert_int_equal(err.code, LOAM_E_UNPROCESSABLE);
		assert_string_equal(repo.ns, "untouched");
	}
}

static void words_of_routes_are_never_namespaces(void **state)
{
	static const char *const words[] = { "api",	 "datasets", "models",	"code",	   "spaces",
					     "kernels",	 "users",    "groups",	"oauth",   "login",
					     "settings", "static",   "metrics", "healthz", "_lfs",
					     "API",	 "HealthZ",  "Models" };
	static const char *const kinds[] = { "", "models/", "datasets/", "code/" };
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(words); i++) {
		for (size_t k = 0; k < LOAM_ARRAY_COUNT(kinds); k++) {
			struct loam_repo repo;
			struct loam_err err = { 0 };
			loam_auto_free char *text = loam_xasprintf("%s%s/x", kinds[k], words[i]);
			assert_int_equal(loam_repo_parse(text, &repo, &err), -LOAM_E_UNPROCESSABLE);
		}
	}
}

static void a_segment_has_at_most_96_bytes(void **state)
{
	char name[LOAM_REPO_SEGMENT_BYTES_MAX + 2], text[LOAM_REPO_TEXT_BYTES], both[400];
	struct loam_repo repo;
	struct loam_err err = { 0 };
	memset(name, 'x', sizeof(name));
	name[LOAM_REPO_SEGMENT_BYTES_MAX] = '\0';
	snprintf(both, sizeof(both), "datasets/%s/%s.git", name, name);
	assert_int_equal(loam_repo_parse(both, &repo, &err), 0);
	loam_repo_text(&repo, text);
	assert_int_equal(strlen(text), 9 + 96 + 1 + 96);

	name[LOAM_REPO_SEGMENT_BYTES_MAX] = 'x';
	name[LOAM_REPO_SEGMENT_BYTES_MAX + 1] = '\0';
	snprintf(both, sizeof(both), "a/%s", name);
	assert_int_equal(loam_repo_parse(both, &repo, &err), -LOAM_E_UNPROCESSABLE);
	loam_err_clear(&err);
	snprintf(both, sizeof(both), "%s/a", name);
	assert_int_equal(loam_repo_parse(both, &repo, &err), -LOAM_E_UNPROCESSABLE);
}

static void users_are_what_useradd_takes_in_lower_case(void **state)
{
	static const char *const good[] = { "a", "_x", "alice", "a-b_9",
					    "abcdefghijklmnopqrstuvwxyz012345" };
	static const char *const bad[] = {
		"",	"A",	    "aLice",  "9a",
		"-a",	"a.b",	    "a b",    "a:b",
		"a/b",	"root",	    "loam",   "nobody",
		"a\n",	"\xc3\xa4", "..",     "abcdefghijklmnopqrstuvwxyz0123456",
		"sudo", "wheel",    "docker", "admin",
		"api",	"login"
	};
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(good); i++)
		assert_true(loam_user_name_is_valid(good[i]));
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(bad); i++)
		assert_false(loam_user_name_is_valid(bad[i]));
}

static void paths_stand_below_the_root(void **state)
{
	struct loam_tree tree = { .root = "/lab" };
	struct loam_repo repo;
	struct loam_err err = { 0 };
	char path[LOAM_PATH_BYTES_MAX];
	assert_int_equal(loam_repo_parse("code/ns/x", &repo, &err), 0);
	loam_tree_gate_path(&tree, &repo, path);
	assert_string_equal(path, "/lab/code/ns/x");
	loam_tree_links_path(&tree, &repo, path);
	assert_string_equal(path, "/lab/.loam/repos/code/ns/x/lfs");
	loam_tree_user_path(&tree, "alice", path);
	assert_string_equal(path, "/lab/users/alice");
	loam_tree_pool_path(&tree,
			    "abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789",
			    path);
	assert_string_equal(path,
			    "/lab/.loam/lfs/objects/ab/cd/"
			    "abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_name_without_kind_is_a_model),
		cmocka_unit_test(bad_names_are_unprocessable),
		cmocka_unit_test(words_of_routes_are_never_namespaces),
		cmocka_unit_test(a_segment_has_at_most_96_bytes),
		cmocka_unit_test(users_are_what_useradd_takes_in_lower_case),
		cmocka_unit_test(paths_stand_below_the_root),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
