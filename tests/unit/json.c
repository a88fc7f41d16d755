/*
 * core/json: what is refused, what is printed, how members are read.
 */
#include "core/json.h"

#include "core/auto.h"
#include "core/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static int parse(const char *text, json_t **out, struct loam_err *err)
{
	return loam_json_parse(text, strlen(text), out, err);
}

static void what_is_not_one_json_value_is_refused(void **state)
{
	static const char *const refused[] = { "",
					       "{",
					       "{}x",
					       "{} {}",
					       "{\"a\":1,\"a\":2}",
					       "\"\xff\"",
					       "\"\xc0\x80\"",
					       "\"\\u0000\"",
					       "[1,]",
					       "{'a':1}",
					       "NaN",
					       "99999999999999999999" };
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(refused); i++) {
		struct loam_err err = { 0 };
		json_t *value = NULL;
		assert_int_equal(parse(refused[i], &value, &err), -LOAM_E_INVALID);
		assert_null(value);
	}
}

static void a_string_that_is_no_text_is_told_apart(void **state)
{
	static const char *const refused[] = { "{\"a\":\"\xff\"}", "[\"\xc0\x80\"]",
					       " {\"a\":\"\\u0000\"}", "{\"a\":\"\\ud800\"}",
					       "{\"a\":\"\x01\"}" };
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(refused); i++) {
		struct loam_err err = { 0 };
		json_t *value = NULL;
		assert_int_equal(parse(refused[i], &value, &err), -LOAM_E_UNPROCESSABLE);
		assert_null(value);
		assert_non_null(strstr(err.text, "no UTF-8, or has a control byte"));
	}
}

static void depth_64_is_read_and_65_is_not(void **state)
{
	char text[2 * (LOAM_JSON_DEPTH_MAX + 1)];
	for (size_t depth = LOAM_JSON_DEPTH_MAX; depth <= LOAM_JSON_DEPTH_MAX + 1; depth++) {
		struct loam_err err = { 0 };
		loam_auto_json json_t *value = NULL;
		memset(text, '[', depth);
		memset(text + depth, ']', depth);
		int rc = loam_json_parse(text, 2 * depth, &value, &err);
		assert_int_equal(rc, depth > LOAM_JSON_DEPTH_MAX ? -LOAM_E_INVALID : 0);
	}
}

static void brackets_within_text_do_not_count_as_depth(void **state)
{
	struct loam_err err = { 0 };
	loam_auto_json json_t *value = NULL;
	char text[300] = "\"\\\"";
	memset(text + 3, '[', 200);
	text[203] = '"';
	assert_int_equal(parse(text, &value, &err), 0);
	assert_int_equal(json_string_length(value), 201);
}

static void the_error_names_line_and_column(void **state)
{
	struct loam_err err = { 0 };
	json_t *value = NULL;
	parse("{\n  bad}", &value, &err);
	assert_non_null(strstr(err.text, "line 2"));
}

static void members_print_in_the_order_they_came(void **state)
{
	struct loam_err err = { 0 };
	loam_auto_json json_t *value = NULL;
	loam_auto_buf struct loam_buf out = LOAM_BUF(1000);
	assert_int_equal(parse("{ \"z\": [1, 2.5], \"a\": \"q\\\"\\n\" }", &value, &err), 0);
	assert_int_equal(loam_json_print(value, &out, &err), 0);
	assert_string_equal(loam_buf_text(&out), "{\"z\":[1,2.5],\"a\":\"q\\\"\\n\"}");
}

static void printing_past_the_limit_fails(void **state)
{
	struct loam_err err = { 0 };
	loam_auto_json json_t *value = NULL;
	loam_auto_buf struct loam_buf out = LOAM_BUF(4);
	assert_int_equal(parse("[1,2,3,4]", &value, &err), 0);
	assert_int_equal(loam_json_print(value, &out, &err), -LOAM_E_TOO_LARGE);
}

static void members_are_found_absent_or_of_another_type(void **state)
{
	struct loam_err err = { 0 };
	loam_auto_json json_t *value = NULL;
	const char *text = NULL;
	uint64_t number = 5;
	bool flag = false;
	parse("{\"t\":\"x\",\"n\":42,\"neg\":-1,\"r\":1.0,\"b\":true,\"null\":null}", &value, &err);
	assert_int_equal(loam_json_text(value, "t", &text, &err), 1);
	assert_string_equal(text, "x");
	assert_int_equal(loam_json_u64(value, "absent", &number, &err), 0);
	assert_int_equal(loam_json_u64(value, "null", &number, &err), 0);
	assert_int_equal(number, 5);
	assert_int_equal(loam_json_u64(value, "n", &number, &err), 1);
	assert_int_equal(number, 42);
	assert_int_equal(loam_json_bool(value, "b", &flag, &err), 1);
	assert_true(flag);
	static const char *const no_u64[] = { "neg", "r", "t" };
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(no_u64); i++) {
		assert_int_equal(loam_json_u64(value, no_u64[i], &number, &err),
				 -LOAM_E_UNPROCESSABLE);
		loam_err_clear(&err);
	}
	assert_int_equal(loam_json_text(value, "n", &text, &err), -LOAM_E_UNPROCESSABLE);
}

static void a_member_of_an_array_is_refused(void **state)
{
	struct loam_err err = { 0 };
	loam_auto_json json_t *value = json_array();
	const char *text = NULL;
	assert_int_equal(loam_json_text(value, "t", &text, &err), -LOAM_E_UNPROCESSABLE);
}

static void nul_stands_in_texts_only_where_it_is_asked_for(void **state)
{
	struct loam_err err = { 0 };
	const char *given = "{\"t\":\"a\\u0000b\"}", *text = NULL;
	loam_auto_json json_t *value = NULL;
	assert_int_equal(loam_json_parse(given, strlen(given), &value, &err),
			 -LOAM_E_UNPROCESSABLE);
	loam_err_clear(&err);
	assert_int_equal(loam_json_parse_with_nul(given, strlen(given), &value, &err), 0);
	assert_int_equal(loam_json_text(value, "t", &text, &err), -LOAM_E_UNPROCESSABLE);
}

static void a_refusal_quotes_nothing_of_the_text(void **state)
{
	static const char *const texts[] = { "{\"password\": \"hunter2", "{\"hunter2\": hunter2}",
					     "{\"hunter2\":1,\"hunter2\":2}",
					     "[\"hunter2\\\\\xd9\xbd\\\x9a\"]" };
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct loam_err err = { 0 };
		json_t *value = NULL;
		assert_true(loam_json_parse(texts[i], strlen(texts[i]), &value, &err) < 0);
		assert_null(strstr(err.text, "hunter2"));
		json_t *shown = json_string(err.text); /* an answer can hold it */
		assert_non_null(shown);
		json_decref(shown);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_not_one_json_value_is_refused),
		cmocka_unit_test(a_string_that_is_no_text_is_told_apart),
		cmocka_unit_test(depth_64_is_read_and_65_is_not),
		cmocka_unit_test(brackets_within_text_do_not_count_as_depth),
		cmocka_unit_test(the_error_names_line_and_column),
		cmocka_unit_test(members_print_in_the_order_they_came),
		cmocka_unit_test(printing_past_the_limit_fails),
		cmocka_unit_test(members_are_found_absent_or_of_another_type),
		cmocka_unit_test(a_member_of_an_array_is_refused),
		cmocka_unit_test(nul_stands_in_texts_only_where_it_is_asked_for),
		cmocka_unit_test(a_refusal_quotes_nothing_of_the_text),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
