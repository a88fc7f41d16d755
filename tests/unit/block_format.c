/*
 * Names of blocks, with the examples of the format document (§6.1).
 */
#include "fs/store/block_format.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const struct loam_block_naming plain = { "myjfs", 4u << 20, false };
static const struct loam_block_naming hashed = { "myjfs", 4u << 20, true };

static void names_are_those_of_every_juicefs_client(void **state)
{
	char key[LOAM_BLOCK_KEY_BYTES];
	loam_block_key(&plain, 123456789, 64u << 20, 3, key);
	assert_string_equal(key, "myjfs/chunks/123/123456/123456789_3_4194304");
	loam_block_key(&hashed, 123456789, 64u << 20, 3, key);
	assert_string_equal(key, "myjfs/chunks/15/123/123456789_3_4194304");
	loam_block_key(&plain, 1, 4u << 20, 0, key);
	assert_string_equal(key, "myjfs/chunks/0/0/1_0_4194304");
	loam_block_key(&plain, 3, (4u << 20) + 131072, 1, key);
	assert_string_equal(key, "myjfs/chunks/0/0/3_1_131072");
	loam_block_key(&hashed, 255, 5, 0, key);
	assert_string_equal(key, "myjfs/chunks/FF/0/255_0_5");
}

static void the_last_block_is_short(void **state)
{
	assert_int_equal(loam_block_count(&plain, 1), 1);
	assert_int_equal(loam_block_count(&plain, 4u << 20), 1);
	assert_int_equal(loam_block_count(&plain, (4u << 20) + 1), 2);
	assert_int_equal(loam_block_count(&plain, 64u << 20), 16);
	assert_int_equal(loam_block_bytes(&plain, (4u << 20) + 1, 0), 4u << 20);
	assert_int_equal(loam_block_bytes(&plain, (4u << 20) + 1, 1), 1);
	assert_int_equal(loam_block_bytes(&plain, (4u << 20) + 1, 2), 0);
}

static void a_name_is_parsed_back(void **state)
{
	const struct loam_block_naming *namings[] = { &plain, &hashed };
	for (int i = 0; i < 2; i++) {
		char key[LOAM_BLOCK_KEY_BYTES];
		uint64_t id = 0;
		uint32_t index = 0, bytes = 0;
		loam_block_key(namings[i], 987654321012ull, (64u << 20) - 5, 15, key);
		assert_true(loam_block_key_parse(namings[i], key, &id, &index, &bytes));
		assert_int_equal(id, 987654321012ull);
		assert_int_equal(index, 15);
		assert_int_equal(bytes, (4u << 20) - 5);
		assert_false(loam_block_key_parse(namings[!i], key, &id, &index, &bytes));
	}
}

static void what_only_looks_like_a_name_is_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"myjfs/juicefs_uuid",
		"other/chunks/0/0/1_0_1",
		"myjfs/chunks/0/0/1_0",
		"myjfs/chunks/0/0/1_0_1x",
		"myjfs/chunks/0/0/01_0_1",
		"myjfs/chunks/0/0/1_0_0",
		"myjfs/chunks/0/0/1_0_4194305",
		"myjfs/chunks/0/0/1_16_1",
		"myjfs/chunks/0/1/1_0_1",
		"myjfs/chunks/0/0/-1_0_1",
		"myjfs/chunks/0/0/ 1_0_1",
		"myjfs/chunks/0/0/0_0_1",
		"myjfs/chunks/0/0/99999999999999999999999999_0_1",
		"/1_0_1",
		"1_0_1",
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		uint64_t id;
		uint32_t index, bytes;
		assert_false(loam_block_key_parse(&plain, bad[i], &id, &index, &bytes));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_those_of_every_juicefs_client),
		cmocka_unit_test(the_last_block_is_short),
		cmocka_unit_test(a_name_is_parsed_back),
		cmocka_unit_test(what_only_looks_like_a_name_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
