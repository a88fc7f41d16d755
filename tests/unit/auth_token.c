/*
 * auth/token: the text that users carry, and its line on the volume.
 */
#include "auth/token.h"

#include "auth/auth.h"
#include "core/auto.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define HASH  "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define UPPER "BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD"

static void a_new_token_is_plausible_and_any_changed_one_is_not(void **state)
{
	char text[LOAM_TOKEN_TEXT_BYTES], hash[LOAM_SHA256_HEX + 1];
	struct loam_token token = { 0 };
	loam_token_make(text, &token);
	assert_int_equal(strlen(text), 52);
	assert_memory_equal(text, "hf_", 3);
	assert_true(loam_token_is_plausible(text));
	loam_token_hash(text, hash);
	assert_string_equal(hash, token.hash);
	assert_int_equal(strlen(token.id), 12);
	for (size_t i = 0; text[i]; i++) {
		char changed[LOAM_TOKEN_TEXT_BYTES];
		memcpy(changed, text, sizeof(changed));
		changed[i] = text[i] == 'x' ? 'y' : 'x';
		assert_false(loam_token_is_plausible(changed));
		changed[i] = '\0';
		assert_false(loam_token_is_plausible(changed));
	}
	assert_false(loam_token_is_plausible(""));
	assert_false(loam_token_is_plausible("hf_"));
}

static void two_tokens_differ(void **state)
{
	char a[LOAM_TOKEN_TEXT_BYTES], b[LOAM_TOKEN_TEXT_BYTES];
	struct loam_token first = { 0 }, second = { 0 };
	loam_token_make(a, &first);
	loam_token_make(b, &second);
	assert_string_not_equal(a, b);
	assert_string_not_equal(first.id, second.id);
}

static void the_digits_behind_are_the_crc_of_the_random_part(void **state)
{
	char text[LOAM_TOKEN_TEXT_BYTES] = "hf_";
	memset(text + 3, 'A', 43);
	static const char digits[] =
		"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
	uint32_t crc = loam_crc32(text + 3, 43);
	for (int i = 5; i >= 0; i--, crc /= 62)
		text[46 + i] = digits[crc % 62];
	assert_true(loam_token_is_plausible(text));
}

static void a_line_is_read_as_it_was_written(void **state)
{
	struct loam_token token = { .id = "id1",
				    .user = "alice",
				    .hash = HASH,
				    .scope = LOAM_SCOPE_READ | LOAM_SCOPE_WRITE,
				    .created = 1700000000,
				    .expires = 1800000000,
				    .repo = "models/qwen/tiny",
				    .label = "ci runner" };
	struct loam_token read;
	struct loam_err err = { 0 };
	char line[LOAM_ACCOUNT_LINE_BYTES_MAX];
	loam_token_print(&token, line);
	assert_string_equal(line, "id1:alice:" HASH
				  ":rw:1700000000:1800000000:models/qwen/tiny:ci runner\n");
	assert_int_equal(loam_token_parse(line, strlen(line) - 1, &read, &err), 0);
	assert_memory_equal(&read, &token, sizeof(token));
	snprintf(token.maker, sizeof(token.maker), "abcdefghijkl");
	loam_token_print(&token, line);
	assert_string_equal(line, "id1:alice:" HASH ":rw:1700000000:1800000000:models/qwen/tiny:ci "
				  "runner:abcdefghijkl\n");
	assert_int_equal(loam_token_parse(line, strlen(line) - 1, &read, &err), 0);
	assert_memory_equal(&read, &token, sizeof(token));
}

static void a_line_of_another_shape_is_refused(void **state)
{
	static const char *const lines[] = {
		"",
		"id1:alice:" HASH ":r:1:0:",	  /* cut */
		"id1:alice:" HASH ":r:1:0:::x:y", /* one too many */
		"id1:alice:" HASH ":r:1:0:::amakeridofmorethan23bytes",
		":alice:" HASH ":r:1:0::", /* no id */
		"id1::" HASH ":r:1:0::",   /* no user */
		"id1:alice:abc:r:1:0::",   /* no hash */
		"id1:alice:" UPPER ":r:1:0::",
		"id1:alice:" HASH ":rx:1:0::", /* unknown scope */
		"id1:alice:" HASH ":r:-1:0::",
		"id1:alice:" HASH ":r:1:x::",
		"id1:alice:" HASH ":r:1:99999999999999999999::",
		"id1:alice:" HASH ":r:1:0::\r",
		"averylongidofmorethan23bytes:alice:" HASH ":r:1:0::",
		"id1:auserwithanameofmorethanthirtytwobytes:" HASH ":r:1:0::",
	};
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(lines); i++) {
		struct loam_token token = { .id = "untouched" };
		struct loam_err err = { 0 };
		if (loam_token_parse(lines[i], strlen(lines[i]), &token, &err) != -LOAM_E_INVALID)
			print_error("'%s' was taken\n", lines[i]);
		assert_int_equal(err.code, LOAM_E_INVALID);
		assert_string_equal(token.id, "untouched");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_new_token_is_plausible_and_any_changed_one_is_not),
		cmocka_unit_test(two_tokens_differ),
		cmocka_unit_test(the_digits_behind_are_the_crc_of_the_random_part),
		cmocka_unit_test(a_line_is_read_as_it_was_written),
		cmocka_unit_test(a_line_of_another_shape_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
