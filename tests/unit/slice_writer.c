/*
 * One slice: bytes become blocks, durable before anybody can name them.
 */
#include "core/limits.h"
#include "tests/support/data_volume.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct data_volume volume;

static int open_plain(void **state)
{
	data_volume_open(&volume, "", 64, NULL);
	return 0;
}

static int close_volume(void **state)
{
	data_volume_close(&volume);
	return 0;
}

static void bytes_in_any_portions_become_blocks(void **state)
{
	struct loam_err err = { 0 };
	struct loam_slice_writer *writer;
	size_t total = 300001;
	uint8_t *bytes = malloc(total), *back = malloc(total);
	data_volume_pattern(bytes, total, 1);

	assert_int_equal(loam_slice_writer_new(volume.data, &writer, &err), 0);
	for (size_t done = 0, step = 1; done < total; done += step, step = step * 3 + 1) {
		if (step > total - done)
			step = total - done;
		assert_int_equal(loam_slice_writer_add(writer, bytes + done, step, &err), 0);
		assert_int_equal(loam_slice_writer_bytes(writer), done + step);
	}
	uint64_t id;
	uint32_t size;
	assert_int_equal(loam_slice_writer_finish(writer, &id, &size, &err), 0);
	assert_int_equal(size, total);
	loam_slice_writer_free(writer);

	assert_int_equal(data_volume_blocks(&volume), 5);
	const struct loam_block_naming *naming = loam_data_naming(volume.data);
	for (uint32_t i = 0; i < 5; i++) {
		char key[LOAM_BLOCK_KEY_BYTES];
		loam_block_key(naming, id, size, i, key);
		assert_int_equal(volume.store->ops->get(volume.store, key, 0, back + i * 65536,
							loam_block_bytes(naming, size, i), &err),
				 0);
	}
	assert_memory_equal(bytes, back, total);

	loam_data_delete_slice(volume.data, id, size);
	assert_int_equal(data_volume_blocks(&volume), 0);
	free(bytes);
	free(back);
}

static void an_abandoned_slice_leaves_nothing(void **state)
{
	struct loam_err err = { 0 };
	struct loam_slice_writer *writer;
	uint8_t bytes[200000] = { 1 };
	assert_int_equal(loam_slice_writer_new(volume.data, &writer, &err), 0);
	assert_int_equal(loam_slice_writer_add(writer, bytes, sizeof(bytes), &err), 0);
	loam_slice_writer_free(writer);
	assert_int_equal(data_volume_blocks(&volume), 0);
	loam_slice_writer_free(NULL);
}

static void a_slice_ends_at_64_mib(void **state)
{
	struct loam_err err = { 0 };
	struct loam_slice_writer *writer;
	uint8_t *bytes = calloc(1, LOAM_CHUNK_BYTES);
	uint64_t id;
	uint32_t size;
	assert_int_equal(loam_slice_writer_new(volume.data, &writer, &err), 0);
	assert_int_equal(loam_slice_writer_add(writer, bytes, LOAM_CHUNK_BYTES, &err), 0);
	assert_int_equal(loam_slice_writer_add(writer, bytes, 1, &err), -LOAM_E_TOO_LARGE);
	loam_err_clear(&err);
	assert_int_equal(loam_slice_writer_finish(writer, &id, &size, &err), 0);
	assert_int_equal(size, LOAM_CHUNK_BYTES);
	loam_slice_writer_free(writer);
	free(bytes);
}

static void fails_for_good(const char *rules, int code)
{
	struct loam_err err = { 0 };
	struct loam_slice_writer *writer;
	uint8_t bytes[200000] = { 1 };
	uint64_t id;
	uint32_t size;
	data_volume_open(&volume, rules, 64, NULL);
	assert_int_equal(loam_slice_writer_new(volume.data, &writer, &err), 0);
	loam_slice_writer_add(writer, bytes, sizeof(bytes), &err);
	for (int i = 0; i < 2; i++) {
		loam_err_clear(&err);
		assert_int_equal(loam_slice_writer_finish(writer, &id, &size, &err), code);
	}
	loam_slice_writer_free(writer);
	assert_int_equal(data_volume_blocks(&volume), 0);
	data_volume_close(&volume);
}

static void a_failed_upload_is_sticky(void **state)
{
	fails_for_good("put:2:NO_SPACE", -LOAM_E_NO_SPACE);
	fails_for_good("put:every:UNAVAILABLE", -LOAM_E_UNAVAILABLE);
}

static void a_failed_sync_is_sticky(void **state)
{
	fails_for_good("sync:1:IO", -LOAM_E_IO);
}

static void a_store_that_comes_back_is_asked_again(void **state)
{
	struct loam_err err = { 0 };
	struct loam_slice_writer *writer;
	uint8_t bytes[200000] = { 1 };
	uint64_t id;
	uint32_t size;
	data_volume_open(&volume, "put:2:UNAVAILABLE,put:5:BUSY", 64, NULL);
	assert_int_equal(loam_slice_writer_new(volume.data, &writer, &err), 0);
	assert_int_equal(loam_slice_writer_add(writer, bytes, sizeof(bytes), &err), 0);
	assert_int_equal(loam_slice_writer_finish(writer, &id, &size, &err), 0);
	loam_slice_writer_free(writer);
	data_volume_close(&volume);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(bytes_in_any_portions_become_blocks, open_plain,
						close_volume),
		cmocka_unit_test_setup_teardown(an_abandoned_slice_leaves_nothing, open_plain,
						close_volume),
		cmocka_unit_test_setup_teardown(a_slice_ends_at_64_mib, open_plain, close_volume),
		cmocka_unit_test(a_failed_upload_is_sticky),
		cmocka_unit_test(a_failed_sync_is_sticky),
		cmocka_unit_test(a_store_that_comes_back_is_asked_again),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
