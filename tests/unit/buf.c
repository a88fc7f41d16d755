/*
 * core/buf: growth, the limit, text.
 */
#include "core/buf.h"

#include "core/auto.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void many_small_additions_make_one_text(void **state)
{
	loam_auto_buf struct loam_buf buf = LOAM_BUF(100000);
	struct loam_err err = { 0 };
	for (int i = 0; i < 10000; i++)
		assert_int_equal(loam_buf_printf(&buf, &err, "%d,", i % 10), 0);
	assert_int_equal(buf.bytes, 20000);
	assert_memory_equal(loam_buf_text(&buf) + 20, "0,1,2,", 6);
	assert_int_equal(strlen(loam_buf_text(&buf)), 20000);
}

static void the_limit_is_reached_but_not_passed(void **state)
{
	loam_auto_buf struct loam_buf buf = LOAM_BUF(70);
	struct loam_err err = { 0 };
	char bytes[70] = { 0 };
	assert_int_equal(loam_buf_add(&buf, bytes, sizeof(bytes), &err), 0);
	assert_int_equal(loam_buf_add(&buf, "x", 1, &err), -LOAM_E_TOO_LARGE);
	assert_int_equal(buf.bytes, 70);
	assert_true(buf.capacity <= 70);
}

static void a_huge_size_does_not_wrap_around(void **state)
{
	loam_auto_buf struct loam_buf buf = LOAM_BUF(1000);
	struct loam_err err = { 0 };
	loam_buf_add_text(&buf, "abc", &err);
	assert_int_equal(loam_buf_reserve(&buf, SIZE_MAX, &err), -LOAM_E_TOO_LARGE);
	assert_string_equal(loam_buf_text(&buf), "abc");
}

static void an_empty_buffer_is_an_empty_text(void **state)
{
	loam_auto_buf struct loam_buf buf = LOAM_BUF(10);
	assert_string_equal(loam_buf_text(&buf), "");
	loam_auto_free char *stolen = loam_buf_steal(&buf);
	assert_string_equal(stolen, "");
}

static void dropping_the_front_keeps_the_rest(void **state)
{
	loam_auto_buf struct loam_buf buf = LOAM_BUF(100);
	struct loam_err err = { 0 };
	loam_buf_drop(&buf, 0);
	loam_buf_add_text(&buf, "head:tail", &err);
	loam_buf_drop(&buf, 5);
	assert_string_equal(loam_buf_text(&buf), "tail");
	loam_buf_drop(&buf, 4);
	assert_int_equal(buf.bytes, 0);
	assert_string_equal(loam_buf_text(&buf), "");
}

static void stolen_memory_leaves_an_empty_buffer(void **state)
{
	loam_auto_buf struct loam_buf buf = LOAM_BUF(100);
	struct loam_err err = { 0 };
	loam_buf_add_text(&buf, "mine", &err);
	loam_auto_free char *text = loam_buf_steal(&buf);
	assert_string_equal(text, "mine");
	assert_null(buf.data);
	assert_int_equal(loam_buf_add_text(&buf, "again", &err), 0);
	assert_string_equal(loam_buf_text(&buf), "again");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(many_small_additions_make_one_text),
		cmocka_unit_test(the_limit_is_reached_but_not_passed),
		cmocka_unit_test(a_huge_size_does_not_wrap_around),
		cmocka_unit_test(an_empty_buffer_is_an_empty_text),
		cmocka_unit_test(dropping_the_front_keeps_the_rest),
		cmocka_unit_test(stolen_memory_leaves_an_empty_buffer),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
