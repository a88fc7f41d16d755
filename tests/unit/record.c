/*
 * Names, values, packed pairs and redacted URLs.
 */
#include "fs/meta/record.h"
#include "core/auto.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void values_compare_by_presence_and_bytes(void **state)
{
	struct loam_value absent = { 0 };
	struct loam_value empty = { .present = true };
	struct loam_value text = loam_value_of("abc", 3);
	struct loam_value copy = loam_value_copy(&text);
	assert_true(loam_value_equal(&absent, &absent));
	assert_true(loam_value_equal(&empty, &empty));
	assert_false(loam_value_equal(&absent, &empty));
	assert_false(loam_value_equal(&empty, &text));
	assert_true(loam_value_equal(&copy, &text));
	copy.data[2] = 'd';
	assert_false(loam_value_equal(&copy, &text));
	loam_value_release(&copy);
	loam_value_release(&text);
	assert_false(text.present);
	loam_value_release(&text);
}

static void every_part_of_an_identity_counts(void **state)
{
	static uint8_t a[LOAM_RECORD_KEY_BYTES_MAX], b[LOAM_RECORD_KEY_BYTES_MAX];
	struct loam_record record = { LOAM_REC_DENTRY, 1, 2, loam_name_of("x") };
	struct loam_record others[] = { record, record, record, record };
	others[0].kind = LOAM_REC_XATTR;
	others[1].id = 3;
	others[2].sub = 3;
	others[3].name = loam_name_of("y");
	size_t bytes = loam_record_key(&record, a);
	assert_int_equal(bytes, 18);
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(others); i++) {
		assert_int_equal(loam_record_key(&others[i], b), bytes);
		assert_memory_not_equal(a, b, bytes);
	}
}

static void packed_pairs_are_walked(void **state)
{
	loam_auto_buf struct loam_buf packed = LOAM_BUF(1000);
	struct loam_err err = { 0 };
	struct loam_name odd = { .data = "\0\xff", .bytes = 2 };
	assert_int_equal(loam_packed_add(&packed, odd, "v", 1, &err), 0);
	assert_int_equal(loam_packed_add(&packed, loam_name_of("n"), "", 0, &err), 0);
	struct loam_value value = { true, packed.data, (uint32_t)packed.bytes };

	size_t offset = 0;
	struct loam_name name;
	const void *data;
	uint32_t bytes;
	assert_int_equal(loam_packed_next(&value, &offset, &name, &data, &bytes, &err), 1);
	assert_int_equal(name.bytes, 2);
	assert_memory_equal(name.data, "\0\xff", 2);
	assert_int_equal(bytes, 1);
	assert_memory_equal(data, "v", 1);
	assert_int_equal(loam_packed_next(&value, &offset, &name, &data, &bytes, &err), 1);
	assert_int_equal(bytes, 0);
	assert_int_equal(loam_packed_next(&value, &offset, &name, &data, &bytes, &err), 0);
}

static void broken_packed_pairs_are_corrupt(void **state)
{
	loam_auto_buf struct loam_buf packed = LOAM_BUF(1000);
	struct loam_err err = { 0 };
	assert_int_equal(loam_packed_add(&packed, loam_name_of("name"), "value", 5, &err), 0);
	struct loam_name name;
	const void *data;
	uint32_t bytes;
	for (uint32_t cut = 1; cut < packed.bytes; cut++) {
		struct loam_value value = { true, packed.data, cut };
		size_t offset = 0;
		loam_err_clear(&err);
		assert_int_equal(loam_packed_next(&value, &offset, &name, &data, &bytes, &err),
				 -LOAM_E_CORRUPT);
		assert_int_equal(offset, 0);
	}
	memset(packed.data, 0xff, 4);
	struct loam_value value = { true, packed.data, (uint32_t)packed.bytes };
	size_t offset = 0;
	loam_err_clear(&err);
	assert_int_equal(loam_packed_next(&value, &offset, &name, &data, &bytes, &err),
			 -LOAM_E_CORRUPT);
}

static void passwords_are_taken_out_of_urls(void **state)
{
	static const char *const rows[][2] = {
		{ "redis://:secret@host:6379/1", "redis://:***@host:6379/1" },
		{ "redis://user:secret@host/1", "redis://user:***@host/1" },
		{ "rediss://u:s@c@host/1", "rediss://u:***@host/1" },
		{ "redis://u:s/cret@host/1", "redis://u:***@host/1" },
		{ "redis://user@host/1", "redis://user@host/1" },
		{ "redis://host/1", "redis://host/1" },
		{ "unix:///run/a@b.sock?db=1", "unix:///run/a@b.sock?db=1" },
		{ "unix:///run/r.sock?password=secret&db=1",
		  "unix:///run/r.sock?password=***&db=1" },
		{ "mem://", "mem://" },
		{ "user:secret@host", "***" },
	};
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(rows); i++) {
		loam_auto_free char *shown = loam_engine_url_redacted(rows[i][0]);
		assert_string_equal(shown, rows[i][1]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_compare_by_presence_and_bytes),
		cmocka_unit_test(every_part_of_an_identity_counts),
		cmocka_unit_test(packed_pairs_are_walked),
		cmocka_unit_test(broken_packed_pairs_are_corrupt),
		cmocka_unit_test(passwords_are_taken_out_of_urls),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
