/*
 * A file written from its first byte to its last.
 */
#include "core/clock.h"
#include "core/limits.h"
#include "fs/data/data_internal.h"
#include "tests/support/data_volume.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MIB (1u << 20)

static struct data_volume volume;

static size_t records_of(uint64_t ino, uint32_t chunk_index)
{
	struct loam_err err = { 0 };
	struct loam_chunk chunk = { 0 };
	assert_int_equal(loam_meta_chunks(volume.meta, ino, chunk_index, 1, &chunk, &err), 0);
	free(chunk.slices);
	return chunk.slice_count;
}

static void two_hundred_mib_in_a_small_buffer(void **state)
{
	const struct loam_data_options options = { .write_buffer_bytes = 16 * MIB };
	struct loam_err err = { 0 };
	struct loam_writer *writer;
	size_t total = 200 * (size_t)MIB + 12345;
	uint8_t *bytes = malloc(total);
	data_volume_pattern(bytes, total, 7);
	data_volume_open(&volume, "", 4096, &options);
	uint64_t ino = data_volume_file(&volume, NULL);

	uint8_t digest[LOAM_SHA256_BYTES], wanted[LOAM_SHA256_BYTES];
	assert_int_equal(loam_writer_new(volume.data, ino, &writer, &err), 0);
	loam_writer_hash(writer);
	for (size_t done = 0; done < total; done += MIB) {
		size_t step = total - done < MIB ? total - done : MIB;
		assert_int_equal(loam_writer_add(writer, bytes + done, step, &err), 0);
	}
	loam_writer_digest(writer, digest);
	loam_sha256_of(bytes, total, wanted);
	assert_memory_equal(digest, wanted, sizeof(wanted));
	assert_int_equal(loam_writer_finish(writer, &err), 0);
	loam_writer_free(writer);

	for (uint32_t i = 0; i < 4; i++)
		assert_int_equal(records_of(ino, i), 1);
	assert_true(loam_buffers_peak(volume.data->buffers) <= 16 * MIB);
	data_volume_check_durable(&volume, ino);
	struct loam_attr attr;
	assert_int_equal(loam_meta_getattr(volume.meta, ino, &attr, &err), 0);
	assert_int_equal(attr.length, total);
	data_volume_expect(&volume, ino, bytes, total);
	data_volume_close(&volume);
	free(bytes);
}

static void many_idle_writers_do_not_stop_one_that_works(void **state)
{
	const struct loam_data_options options = { .write_buffer_bytes = 8 * MIB };
	enum { IDLE = 4 };
	struct loam_err err = { 0 };
	struct loam_writer *idle[IDLE], *writer;
	uint8_t *bytes = calloc(1, 20 * MIB);
	data_volume_open(&volume, "", 4096, &options);
	for (int i = 0; i < IDLE; i++) {
		assert_int_equal(loam_writer_new(volume.data, data_volume_file(&volume, NULL),
						 &idle[i], &err),
				 0);
		assert_int_equal(loam_writer_add(idle[i], bytes, MIB, &err), 0);
	}
	assert_int_equal(loam_writer_new(volume.data, data_volume_file(&volume, NULL), &writer,
					 &err),
			 0);
	assert_int_equal(loam_writer_add(writer, bytes, 20 * MIB, &err), 0);
	assert_int_equal(loam_writer_finish(writer, &err), 0);
	loam_writer_free(writer);
	for (int i = 0; i < IDLE; i++)
		loam_writer_free(idle[i]);
	assert_true(loam_buffers_peak(volume.data->buffers) <= 32 * MIB);
	data_volume_close(&volume);
	free(bytes);
}

static void an_empty_file_needs_nothing(void **state)
{
	struct loam_err err = { 0 };
	struct loam_writer *writer;
	data_volume_open(&volume, "", 4096, NULL);
	uint64_t ino = data_volume_file(&volume, NULL);
	assert_int_equal(loam_writer_new(volume.data, ino, &writer, &err), 0);
	assert_int_equal(loam_writer_add(writer, "", 0, &err), 0);
	assert_int_equal(loam_writer_finish(writer, &err), 0);
	loam_writer_free(writer);
	assert_int_equal(records_of(ino, 0), 0);
	data_volume_close(&volume);
}

static void what_is_not_durable_is_not_committed(void **state)
{
	struct loam_err err = { 0 };
	struct loam_writer *writer;
	uint8_t *bytes = calloc(1, 2 * LOAM_CHUNK_BYTES);
	data_volume_open(&volume, "sync:2:IO", 4096, NULL);
	uint64_t ino = data_volume_file(&volume, NULL);
	assert_int_equal(loam_writer_new(volume.data, ino, &writer, &err), 0);
	assert_int_equal(loam_writer_add(writer, bytes, LOAM_CHUNK_BYTES, &err), 0);
	assert_int_equal(loam_writer_add(writer, bytes, MIB, &err), 0);
	assert_int_equal(loam_writer_finish(writer, &err), -LOAM_E_IO);
	loam_err_clear(&err);
	assert_int_equal(loam_writer_add(writer, bytes, 1, &err), -LOAM_E_IO);
	loam_err_clear(&err);
	assert_int_equal(loam_writer_finish(writer, &err), -LOAM_E_IO);
	loam_writer_free(writer);
	assert_int_equal(records_of(ino, 0), 1);
	assert_int_equal(records_of(ino, 1), 0);
	data_volume_check_durable(&volume, ino);
	assert_int_equal(data_volume_blocks(&volume), 16);
	data_volume_close(&volume);
	free(bytes);
}

static void a_file_that_has_gone_leaves_no_blocks(void **state)
{
	struct loam_err err = { 0 };
	struct loam_writer *writer;
	data_volume_open(&volume, "", 4096, NULL);
	assert_int_equal(loam_writer_new(volume.data, 4711, &writer, &err), 0);
	assert_int_equal(loam_writer_add(writer, "x", 1, &err), 0);
	assert_int_equal(loam_writer_finish(writer, &err), -LOAM_E_NOT_FOUND);
	loam_writer_free(writer);
	assert_int_equal(data_volume_blocks(&volume), 0);
	data_volume_close(&volume);
}

struct hashing {
	pthread_t thread;
	uint64_t ino;
	const uint8_t *bytes;
	size_t count;
	bool right;
};

static void *write_hashed(void *arg)
{
	struct hashing *hashing = arg;
	struct loam_err err = { 0 };
	struct loam_writer *writer;
	uint8_t digest[LOAM_SHA256_BYTES], wanted[LOAM_SHA256_BYTES];
	loam_assert(loam_writer_new(volume.data, hashing->ino, &writer, &err) == 0);
	loam_writer_hash(writer);
	for (size_t done = 0; done < hashing->count; done += 77777) {
		size_t left = hashing->count - done, step = left < 77777 ? left : 77777;
		loam_assert(loam_writer_add(writer, hashing->bytes + done, step, &err) == 0);
	}
	loam_writer_digest(writer, digest);
	loam_sha256_of(hashing->bytes, hashing->count, wanted);
	hashing->right = memcmp(digest, wanted, sizeof(wanted)) == 0 &&
			 loam_writer_finish(writer, &err) == 0;
	loam_writer_free(writer);
	return NULL;
}

/* More writers than threads to hash, in blocks of 64 KiB, the first of them without a byte. */
static void many_digests_at_once_are_each_their_own(void **state)
{
	struct hashing all[12];
	size_t total = 3 * (size_t)MIB;
	uint8_t *bytes = malloc(total);
	data_volume_pattern(bytes, total, 9);
	data_volume_open(&volume, "", 64, NULL);
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(all); i++) {
		all[i] = (struct hashing){ .ino = data_volume_file(&volume, NULL),
					   .bytes = bytes + i,
					   .count = i * 200001 };
		assert_int_equal(pthread_create(&all[i].thread, NULL, write_hashed, &all[i]), 0);
	}
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(all); i++) {
		pthread_join(all[i].thread, NULL);
		assert_true(all[i].right);
		data_volume_expect(&volume, all[i].ino, all[i].bytes, all[i].count);
	}
	data_volume_close(&volume);
	free(bytes);
}

/* A digest that nobody waits for, and a writer given up in the middle of its blocks. */
static void a_writer_given_up_leaves_nothing_behind(void **state)
{
	struct loam_err err = { 0 };
	struct loam_writer *writer;
	uint8_t *bytes = calloc(1, 9 * (size_t)MIB);
	data_volume_open(&volume, "", 4096, NULL);
	uint64_t ino = data_volume_file(&volume, NULL);
	assert_int_equal(loam_writer_new(volume.data, ino, &writer, &err), 0);
	loam_writer_hash(writer);
	assert_int_equal(loam_writer_add(writer, bytes, 9 * (size_t)MIB, &err), 0);
	loam_writer_free(writer);
	assert_int_equal(data_volume_blocks(&volume), 0);
	data_volume_close(&volume);
	free(bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_hundred_mib_in_a_small_buffer),
		cmocka_unit_test(many_idle_writers_do_not_stop_one_that_works),
		cmocka_unit_test(many_digests_at_once_are_each_their_own),
		cmocka_unit_test(a_writer_given_up_leaves_nothing_behind),
		cmocka_unit_test(an_empty_file_needs_nothing),
		cmocka_unit_test(what_is_not_durable_is_not_committed),
		cmocka_unit_test(a_file_that_has_gone_leaves_no_blocks),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
