/*
 * auth/fields: lines of fields and files of them.
 */
#include "auth/fields.h"

#include "core/auto.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static int split(const char *line, size_t bytes, char **fields, size_t count)
{
	static char copy[LOAM_ACCOUNT_LINE_BYTES_MAX];
	struct loam_err err = { 0 };
	return loam_fields_split(line, bytes, copy, fields, count, &err);
}

static void a_line_has_exactly_its_fields(void **state)
{
	char *fields[3];
	assert_int_equal(split("a:b:c", 5, fields, 3), 0);
	assert_string_equal(fields[2], "c");
	assert_int_equal(split("::", 2, fields, 3), 0);
	assert_string_equal(fields[0], "");
	assert_int_equal(split("a:b", 3, fields, 3), -LOAM_E_INVALID);
	assert_int_equal(split("a:b:c:", 6, fields, 3), -LOAM_E_INVALID);
	assert_int_equal(split("", 0, fields, 3), -LOAM_E_INVALID);
}

static void control_bytes_are_refused(void **state)
{
	char *fields[3];
	assert_int_equal(split("a:b:c\r", 6, fields, 3), -LOAM_E_INVALID);
	assert_int_equal(split("a:\0:c", 5, fields, 3), -LOAM_E_INVALID);
	assert_int_equal(split("a:\t:c", 5, fields, 3), -LOAM_E_INVALID);
	assert_int_equal(split("a:\x7f:c", 5, fields, 3), -LOAM_E_INVALID);
	assert_int_equal(split("a:\xc3\xa4:c", 6, fields, 3), 0);
}

static void a_line_over_its_limit_is_refused(void **state)
{
	char line[LOAM_ACCOUNT_LINE_BYTES_MAX];
	char *fields[2];
	memset(line, 'x', sizeof(line));
	line[1] = ':';
	assert_int_equal(split(line, sizeof(line) - 1, fields, 2), 0);
	assert_int_equal(strlen(fields[1]), sizeof(line) - 3);
	assert_int_equal(split(line, sizeof(line), fields, 2), -LOAM_E_INVALID);
}

static void text_that_would_break_a_line_may_not_stand_in_it(void **state)
{
	assert_true(loam_fields_may_hold(""));
	assert_true(loam_fields_may_hold("ci runner \xc3\xa4"));
	assert_false(loam_fields_may_hold("a:b"));
	assert_false(loam_fields_may_hold("a\nroot"));
	assert_false(loam_fields_may_hold("a\r"));
	assert_false(loam_fields_may_hold("a\tb"));
	assert_false(loam_fields_may_hold("\x1b[2J"));
	assert_false(loam_fields_may_hold("\xc2\x9b"
					  "2J"));
	assert_false(loam_fields_may_hold("\xe2\x80\xaeoot"));
	assert_true(loam_fields_may_hold("\xe2\x82\xac 5, caf\xc3\xa9, \xd8\xa7\xe4\xb8\xad"));
	char out[4];
	assert_true(loam_fields_copy("abc", out, sizeof(out)));
	assert_false(loam_fields_copy("abcd", out, sizeof(out)));
	assert_string_equal(out, "abc");
}

static void expect_set(const char *before, const char *name, const char *line, const char *after,
		       bool had_expected)
{
	struct loam_err err = { 0 };
	loam_auto_buf struct loam_buf old = LOAM_BUF(1000);
	loam_auto_buf struct loam_buf out = LOAM_BUF(1000);
	bool had = !had_expected;
	assert_int_equal(loam_buf_add_text(&old, before, &err), 0);
	assert_int_equal(loam_lines_set(&old, name, line, &out, &had, &err), 0);
	assert_string_equal(loam_buf_text(&out), after);
	assert_int_equal(had, had_expected);
}

static void a_line_is_replaced_added_or_removed(void **state)
{
	expect_set("", "b", "b:1\n", "b:1\n", false);
	expect_set("a:1\nb:1\nc:1\n", "b", "b:2\n", "a:1\nb:2\nc:1\n", true);
	expect_set("a:1\nbb:1", "b", "b:2\n", "a:1\nbb:1\nb:2\n", false);
	expect_set("b:1\na:1\nb:3\n", "b", "b:2\n", "b:2\na:1\n", true);
	expect_set("a:1\nb:1\n", "b", NULL, "a:1\n", true);
	expect_set("a:1\n", "b", NULL, "a:1\n", false);
}

static void lines_that_are_not_understood_stay(void **state)
{
	expect_set("# a comment\nb\n\n::\nb:1\n", "b", NULL, "# a comment\nb\n\n::\n", true);
	struct loam_err err = { 0 };
	loam_auto_buf struct loam_buf old = LOAM_BUF(100);
	loam_auto_buf struct loam_buf out = LOAM_BUF(100);
	bool had;
	assert_int_equal(loam_buf_add(&old, "x\0y\nb:1\n", 8, &err), 0);
	assert_int_equal(loam_lines_set(&old, "b", NULL, &out, &had, &err), 0);
	assert_int_equal(out.bytes, 4);
	assert_memory_equal(out.data, "x\0y\n", 4);
}

static void a_file_does_not_grow_past_its_limit(void **state)
{
	struct loam_err err = { 0 };
	loam_auto_buf struct loam_buf old = LOAM_BUF(8);
	loam_auto_buf struct loam_buf out = LOAM_BUF(8);
	bool had;
	assert_int_equal(loam_buf_add_text(&old, "aaaaaa\n", &err), 0);
	assert_int_equal(loam_lines_set(&old, "b", "b:1\n", &out, &had, &err), -LOAM_E_TOO_LARGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_has_exactly_its_fields),
		cmocka_unit_test(control_bytes_are_refused),
		cmocka_unit_test(a_line_over_its_limit_is_refused),
		cmocka_unit_test(text_that_would_break_a_line_may_not_stand_in_it),
		cmocka_unit_test(a_line_is_replaced_added_or_removed),
		cmocka_unit_test(lines_that_are_not_understood_stay),
		cmocka_unit_test(a_file_does_not_grow_past_its_limit),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
