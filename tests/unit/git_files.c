/*
 * sync/git_files: what Git obeys is held to the rules of a push when a directory is published.
 */
#include "sync/git_files.h"

#include "core/auto.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void names_are_known_as_file_systems_take_them(void **state)
{
	static const struct {
		const char *name;
		enum loam_git_file file;
	} cases[] = {
		{ ".gitmodules", LOAM_GIT_FILE_MODULES },
		{ ".GITMODULES", LOAM_GIT_FILE_MODULES },
		{ ".gitmodules ", LOAM_GIT_FILE_MODULES },
		{ "gitmod~1", LOAM_GIT_FILE_MODULES },
		{ "GI7EBA~1", LOAM_GIT_FILE_MODULES },
		{ ".gitmod\xe2\x80\x8cules", LOAM_GIT_FILE_MODULES },
		{ ".gitattributes", LOAM_GIT_FILE_ATTRIBUTES },
		{ ".gitAttributes", LOAM_GIT_FILE_ATTRIBUTES },
		{ ".gitignore", LOAM_GIT_FILE_IGNORE },
		{ ".mailmap", LOAM_GIT_FILE_MAILMAP },
		{ "gitmodules", LOAM_GIT_FILE_NONE },
		{ ".gitmodules.txt", LOAM_GIT_FILE_NONE },
		{ "README.md", LOAM_GIT_FILE_NONE },
		{ "", LOAM_GIT_FILE_NONE },
	};
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(cases); i++) {
		struct loam_err err = { 0 };
		if (loam_git_file_of(cases[i].name) != cases[i].file)
			print_error("'%s'\n", cases[i].name);
		assert_int_equal(loam_git_file_of(cases[i].name), cases[i].file);
		int rc = loam_git_file_check_link(cases[i].file, cases[i].name, &err);
		assert_int_equal(rc, cases[i].file ? -LOAM_E_INVALID : 0);
	}
}

static int check(enum loam_git_file file, const char *text, size_t text_bytes, struct loam_err *err)
{
	loam_auto_buf struct loam_buf buf = LOAM_BUF(2 * LOAM_GIT_FILE_BYTES_MAX);
	assert_int_equal(loam_buf_add(&buf, text, text_bytes, err), 0);
	return loam_git_file_check(file, &buf, "a/b", err);
}

static void takes(enum loam_git_file file, const char *text)
{
	struct loam_err err = { 0 };
	if (check(file, text, strlen(text), &err) < 0)
		print_error("'%s': %s\n", text, err.text);
	assert_int_equal(err.code, LOAM_E_OK);
}

static void refuses(enum loam_git_file file, const char *text, const char *why)
{
	struct loam_err err = { 0 };
	if (check(file, text, strlen(text), &err) == 0)
		print_error("taken: '%s'\n", text);
	assert_int_equal(err.code, LOAM_E_INVALID);
	assert_non_null(strstr(err.text, "a/b"));
	assert_non_null(strstr(err.text, why));
}

#define SECTION "[submodule \"x\"]\n"

static void submodules_are_plain(void **state)
{
	takes(LOAM_GIT_FILE_MODULES, "");
	takes(LOAM_GIT_FILE_MODULES,
	      "# a comment\n" SECTION "\tpath = lib/x\n\turl = https://host.example/x.git ; "
	      "why\r\n\n\tupdate = rebase\n\tbranch=main\n[submodule \"deep/er\"]\n url = ../x\n");
	takes(LOAM_GIT_FILE_MODULES, SECTION "url = git@host:x.git");
	takes(LOAM_GIT_FILE_MODULES, SECTION "url = ./x\nurl = /srv/x\nurl = file:///srv/x");
	static const char *const values[] = {
		"url = -x",
		"url=--upload-pack=touch x",
		"URL = -x",
		"url = \"-x\"",
		"url = \"\\n\"",
		"url = https://host/%0ax",
		"url = https:///x",
		"url = https://:80/x",
		"url = ../../:x",
		"url = ./:x",
		"url = ..//x",
		"path = -x",
		"path = ../x",
		"path = a/../../x",
		"update = !touch x",
		"update = sh",
		"url",
		"url x",
		"= x",
		"path = a \\",
	};
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(values); i++) {
		loam_auto_free char *text = loam_xasprintf("%s\t%s\n", SECTION, values[i]);
		refuses(LOAM_GIT_FILE_MODULES, text, "line 2: ");
	}
	static const char *const sections[] = {
		"[submodule \"..\"]",
		"[submodule \"a/../b\"]",
		"[submodule \"a\\\\..\"]",
		"[submodule \"\"]",
		"[submodule \"x\"] url = -x",
		"[submodule.x]",
		"[submodule \"x\"",
		"[include]",
		"[core]",
		"[submodule \"a\" \"b\"]",
		"\xef\xbb\xbf[submodule \"x\"]",
	};
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(sections); i++)
		refuses(LOAM_GIT_FILE_MODULES, sections[i], "line 1: ");
}

static void patterns_have_few_stars_and_lines_an_end(void **state)
{
	static const enum loam_git_file files[] = { LOAM_GIT_FILE_IGNORE,
						    LOAM_GIT_FILE_ATTRIBUTES };
	char line[2050];
	memset(line, 'a', sizeof(line));
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(files); i++) {
		takes(files[i], "*.bin filter=lfs\n**/a/**/*.tmp\n# ************************ \n");
		takes(files[i], "****************");
		refuses(files[i], "x\n*****************\n",
			"line 2: a pattern with too many stars");
		refuses(files[i], "**/a/**/b/**/c/**/d/**/e", "too many stars");
	}
	line[2047] = '\0';
	takes(LOAM_GIT_FILE_ATTRIBUTES, line);
	line[2047] = 'a';
	line[2048] = '\0';
	refuses(LOAM_GIT_FILE_ATTRIBUTES, line, "over 2047 bytes");
	takes(LOAM_GIT_FILE_IGNORE, line);
}

static void what_is_no_text_is_refused(void **state)
{
	loam_auto_free char *big = loam_xcalloc(1, LOAM_GIT_FILE_BYTES_MAX + 1);
	memset(big, 'a', LOAM_GIT_FILE_BYTES_MAX + 1);
	for (int file = LOAM_GIT_FILE_MODULES; file <= LOAM_GIT_FILE_IGNORE; file++) {
		struct loam_err err = { 0 };
		assert_int_equal(check((enum loam_git_file)file, "#\0-", 3, &err), -LOAM_E_INVALID);
		loam_err_clear(&err);
		assert_int_equal(check((enum loam_git_file)file, big, LOAM_GIT_FILE_BYTES_MAX + 1,
				       &err),
				 -LOAM_E_INVALID);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_known_as_file_systems_take_them),
		cmocka_unit_test(submodules_are_plain),
		cmocka_unit_test(patterns_have_few_stars_and_lines_an_end),
		cmocka_unit_test(what_is_no_text_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
