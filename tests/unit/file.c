/*
 * Open files of a mount: any write anywhere, compared with a plain buffer; failures are sticky.
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

static struct loam_file *open_new(uint64_t *out_ino)
{
	struct loam_err err = { 0 };
	struct loam_attr attr;
	struct loam_file *file;
	*out_ino = data_volume_file(&volume, &attr);
	assert_int_equal(loam_file_get(volume.data, *out_ino, &attr, &file, &err), 0);
	return file;
}

static void write_ok(struct loam_file *file, uint64_t offset, const void *bytes, size_t count)
{
	struct loam_err err = { 0 };
	int rc = loam_file_write(file, offset, bytes, count, &err);
	if (rc < 0)
		print_error("%s\n", err.text);
	assert_int_equal(rc, 0);
}

static void flush_ok(struct loam_file *file)
{
	struct loam_err err = { 0 };
	int rc = loam_file_flush(file, &err);
	if (rc < 0)
		print_error("%s\n", err.text);
	assert_int_equal(rc, 0);
}

static size_t records_of(uint64_t ino, uint32_t chunk_index)
{
	struct loam_err err = { 0 };
	struct loam_chunk chunk = { 0 };
	assert_int_equal(loam_meta_chunks(volume.meta, ino, chunk_index, 1, &chunk, &err), 0);
	free(chunk.slices);
	return chunk.slice_count;
}

static void appends_become_one_slice(void **state)
{
	uint64_t ino;
	uint8_t bytes[100000];
	data_volume_open(&volume, "", 64, NULL);
	struct loam_file *file = open_new(&ino);
	data_volume_pattern(bytes, sizeof(bytes), 1);
	for (size_t at = 0; at < sizeof(bytes); at += 1000)
		write_ok(file, at, bytes + at, 1000);
	assert_int_equal(records_of(ino, 0), 0);
	assert_int_equal(loam_file_length(file), sizeof(bytes));
	flush_ok(file);
	assert_int_equal(records_of(ino, 0), 1);
	data_volume_check_durable(&volume, ino);
	data_volume_expect(&volume, ino, bytes, sizeof(bytes));
	loam_file_put(file);
	data_volume_close(&volume);
}

static void the_unfinished_block_can_be_written_again(void **state)
{
	uint64_t ino;
	data_volume_open(&volume, "", 64, NULL);
	struct loam_file *file = open_new(&ino);
	write_ok(file, 0, "aaaaaaaaaa", 10);
	write_ok(file, 4, "bbb", 3);
	write_ok(file, 10, "c", 1);
	flush_ok(file);
	assert_int_equal(records_of(ino, 0), 1);
	data_volume_expect(&volume, ino, (const uint8_t *)"aaaabbbaaac", 11);
	loam_file_put(file);
	data_volume_close(&volume);
}

static void newer_bytes_stay_newer(void **state)
{
	uint64_t ino;
	data_volume_open(&volume, "", 64, NULL);
	struct loam_file *file = open_new(&ino);
	write_ok(file, 10, "0123456789", 10); /* first slice [10, 20) */
	write_ok(file, 5, "abcdefgh", 8);     /* second [5, 13) over its beginning */
	write_ok(file, 12, "XY", 2);	      /* continues the second over the first */
	write_ok(file, 20, "zz", 2);	      /* continues the first */
	write_ok(file, 11, "!", 1);
	flush_ok(file);
	uint8_t model[22] = { 0 };
	memcpy(model + 5, "abcdef!XY", 9);
	memcpy(model + 10, "f!XY456789zz", 12);
	data_volume_expect(&volume, ino, model, 22);
	loam_file_put(file);
	data_volume_close(&volume);
}

static void a_read_sees_what_was_just_written(void **state)
{
	struct loam_err err = { 0 };
	uint64_t ino;
	char out[16] = "";
	size_t got = 0;
	data_volume_open(&volume, "", 64, NULL);
	struct loam_file *file = open_new(&ino);
	write_ok(file, 3, "abc", 3);
	assert_int_equal(loam_file_read(file, 0, out, sizeof(out), &got, &err), 0);
	assert_int_equal(got, 6);
	assert_memory_equal(out, "\0\0\0abc", 6);
	write_ok(file, 4, "X", 1);
	assert_int_equal(loam_file_read(file, 2, out, 4, &got, &err), 0);
	assert_memory_equal(out, "\0aXc", 4);
	/* Far away nothing has to be flushed. */
	write_ok(file, 100, "tail", 4);
	size_t before = records_of(ino, 0);
	assert_int_equal(loam_file_read(file, 0, out, 6, &got, &err), 0);
	assert_int_equal(records_of(ino, 0), before);
	loam_file_put(file);
	data_volume_close(&volume);
}

static void a_write_across_chunks_is_split(void **state)
{
	uint64_t ino;
	size_t total = LOAM_CHUNK_BYTES + 1000;
	uint8_t *model = calloc(1, total);
	data_volume_open(&volume, "", 4096, NULL);
	struct loam_file *file = open_new(&ino);
	data_volume_pattern(model + LOAM_CHUNK_BYTES - 1000, 2000, 4);
	write_ok(file, LOAM_CHUNK_BYTES - 1000, model + LOAM_CHUNK_BYTES - 1000, 2000);
	flush_ok(file);
	assert_int_equal(records_of(ino, 0), 1);
	assert_int_equal(records_of(ino, 1), 1);
	data_volume_expect(&volume, ino, model, total);
	loam_file_put(file);
	data_volume_close(&volume);
	free(model);
}

struct model {
	uint8_t *bytes;
	uint64_t length, max;
};

static void random_write(struct loam_file *file, struct model *model, unsigned *seed)
{
	uint8_t bytes[70000];
	size_t count = (size_t)rand_r(seed) % (rand_r(seed) % 8 ? 5000 : sizeof(bytes)) + 1;
	uint64_t offset = (uint64_t)rand_r(seed) % (model->max - count);
	if (rand_r(seed) % 3 == 0)
		offset = model->length < model->max - count ? model->length : 0;
	data_volume_pattern(bytes, count, (uint32_t)rand_r(seed));
	write_ok(file, offset, bytes, count);
	memcpy(model->bytes + offset, bytes, count);
	if (offset + count > model->length)
		model->length = offset + count;
	assert_int_equal(loam_file_length(file), model->length);
}

static void random_read(struct loam_file *file, struct model *model, unsigned *seed)
{
	struct loam_err err = { 0 };
	static uint8_t out[200000];
	uint64_t offset = (uint64_t)rand_r(seed) % model->max;
	size_t count = (size_t)rand_r(seed) % sizeof(out), got = 0;
	assert_int_equal(loam_file_read(file, offset, out, count, &got, &err), 0);
	uint64_t left = offset < model->length ? model->length - offset : 0;
	assert_int_equal(got, count < left ? count : left);
	assert_memory_equal(out, model->bytes + (got ? offset : 0), got);
}

static void random_truncate(uint64_t ino, struct loam_file *file, struct model *model,
			    unsigned *seed)
{
	struct loam_err err = { 0 };
	struct loam_attr attr;
	uint64_t length = (uint64_t)rand_r(seed) % model->max;
	flush_ok(file);
	assert_int_equal(loam_meta_truncate(volume.meta, &loam_who_root, ino, length, true, &attr,
					    &err),
			 0);
	loam_file_changed(file, &attr);
	if (length < model->length)
		memset(model->bytes + length, 0, model->length - length);
	model->length = length;
	assert_int_equal(loam_file_length(file), length);
}

static void random_operations(uint64_t base_max, const struct loam_data_options *options)
{
	uint64_t ino;
	unsigned seed = (unsigned)time(NULL);
	const char *given = getenv("LOAM_SEED");
	if (given)
		seed = (unsigned)strtoul(given, NULL, 10);
	print_message("LOAM_SEED=%u\n", seed);
	data_volume_open(&volume, "", 64, options);
	struct model model = { calloc(1, base_max), 0, base_max };
	struct loam_file *file = open_new(&ino);
	for (int i = 0; i < 3000; i++) {
		int what = rand_r(&seed) % 100;
		if (what < 80)
			random_write(file, &model, &seed);
		else if (what < 95)
			random_read(file, &model, &seed);
		else if (what < 98)
			random_truncate(ino, file, &model, &seed);
		else
			flush_ok(file);
	}
	flush_ok(file);
	data_volume_check_durable(&volume, ino);
	data_volume_expect(&volume, ino, model.bytes, model.length);
	loam_file_put(file);
	data_volume_close(&volume);
	free(model.bytes);
}

static void random_operations_agree_with_a_plain_buffer(void **state)
{
	random_operations(400000, NULL);
}

static void random_operations_agree_when_buffers_are_short(void **state)
{
	const struct loam_data_options options = { .write_buffer_bytes = 4 * 65536 };
	random_operations(5 * MIB, &options);
}

static void a_large_file_needs_little_memory(void **state)
{
	const struct loam_data_options options = { .write_buffer_bytes = 16 * MIB };
	size_t total = 200 * (size_t)MIB;
	uint64_t ino;
	uint8_t *model = malloc(total);
	data_volume_open(&volume, "", 4096, &options);
	data_volume_pattern(model, total, 2);
	struct loam_file *file = open_new(&ino);
	for (size_t at = 0; at < total; at += 131072)
		write_ok(file, at, model + at, 131072);
	flush_ok(file);
	assert_true(loam_buffers_peak(volume.data->buffers) <= 16 * MIB + 65536);
	data_volume_check_durable(&volume, ino);
	data_volume_expect(&volume, ino, model, total);
	loam_file_put(file);
	data_volume_close(&volume);
	free(model);
}

static void many_open_files_share_a_small_buffer(void **state)
{
	enum { FILES = 40 };
	const struct loam_data_options options = { .write_buffer_bytes = 8 * 65536 };
	struct loam_file *files[FILES];
	uint64_t inos[FILES];
	uint8_t bytes[1000];
	data_volume_open(&volume, "", 64, &options);
	for (uint32_t i = 0; i < FILES; i++) {
		files[i] = open_new(&inos[i]);
		data_volume_pattern(bytes, sizeof(bytes), i);
		write_ok(files[i], 0, bytes, sizeof(bytes));
	}
	struct loam_err err = { 0 };
	assert_int_equal(loam_file_flush_all(volume.data, &err), 0);
	for (uint32_t i = 0; i < FILES; i++) {
		data_volume_pattern(bytes, sizeof(bytes), i);
		data_volume_expect(&volume, inos[i], bytes, sizeof(bytes));
		loam_file_put(files[i]);
	}
	data_volume_close(&volume);
}

static void the_flusher_commits_by_itself(void **state)
{
	uint64_t ino;
	data_volume_open(&volume, "", 64, NULL);
	struct loam_file *file = open_new(&ino);
	write_ok(file, 0, "x", 1);
	for (int i = 0; i < 600 && records_of(ino, 0) == 0; i++)
		loam_clock_sleep_ms(10);
	assert_int_equal(records_of(ino, 0), 1);
	loam_file_put(file);
	data_volume_close(&volume);
}

static void closing_the_last_handle_flushes(void **state)
{
	uint64_t ino;
	data_volume_open(&volume, "", 64, NULL);
	struct loam_file *file = open_new(&ino);
	struct loam_file *again = loam_file_find(volume.data, ino);
	assert_ptr_equal(file, again);
	write_ok(file, 0, "x", 1);
	loam_file_put(again);
	assert_int_equal(records_of(ino, 0), 0);
	loam_file_put(file);
	assert_int_equal(records_of(ino, 0), 1);
	assert_null(loam_file_find(volume.data, ino));
	data_volume_close(&volume);
}

static void a_failure_comes_back_from_every_call(const char *rules, int code)
{
	struct loam_err err = { 0 };
	uint64_t ino, other_ino;
	data_volume_open(&volume, rules, 64, NULL);
	struct loam_file *file = open_new(&ino), *other = open_new(&other_ino);
	struct loam_file *second = loam_file_find(volume.data, ino);
	write_ok(file, 0, "first", 5);
	flush_ok(file);
	write_ok(file, 5, "second", 6);
	write_ok(file, 1000, "third", 5);
	assert_int_equal(loam_file_flush(file, &err), code);
	loam_err_clear(&err);
	assert_int_equal(loam_file_write(file, 0, "x", 1, &err), code);
	loam_err_clear(&err);
	assert_int_equal(loam_file_flush(second, &err), code);
	/* What is committed is whole, what failed is absent, others go on. */
	data_volume_check_durable(&volume, ino);
	data_volume_expect(&volume, ino, (const uint8_t *)"first", 5);
	assert_int_equal(loam_file_length(file), 5);
	write_ok(other, 0, "y", 1);
	flush_ok(other);
	loam_file_put(second);
	loam_file_put(file);
	loam_file_put(other);
	assert_int_equal(data_volume_blocks(&volume), 2);
	data_volume_close(&volume);
}

static void failures_are_sticky(void **state)
{
	a_failure_comes_back_from_every_call("put:2:NO_SPACE", -LOAM_E_NO_SPACE);
	a_failure_comes_back_from_every_call("put:3:IO", -LOAM_E_IO);
	a_failure_comes_back_from_every_call("sync:2:IO", -LOAM_E_IO);
}

static void a_file_deleted_meanwhile_fails_once_for_all(void **state)
{
	struct loam_err err = { 0 };
	uint64_t ino;
	data_volume_open(&volume, "", 64, NULL);
	struct loam_file *file = open_new(&ino);
	write_ok(file, 0, "x", 1);
	assert_int_equal(loam_meta_unlink(volume.meta, &loam_who_root, LOAM_INO_ROOT,
					  loam_name_of("file0"), NULL, &err),
			 0);
	assert_int_equal(loam_file_flush(file, &err), -LOAM_E_NOT_FOUND);
	loam_file_put(file);
	assert_int_equal(data_volume_blocks(&volume), 0);
	data_volume_close(&volume);
}

static void an_old_answer_does_not_shorten_the_file(void **state)
{
	struct loam_err err = { 0 };
	struct loam_attr before;
	uint64_t ino;
	data_volume_open(&volume, "", 64, NULL);
	struct loam_file *file = open_new(&ino);
	assert_int_equal(loam_meta_getattr(volume.meta, ino, &before, &err), 0);
	write_ok(file, 0, "abc", 3);
	flush_ok(file);
	loam_file_changed(file, &before);
	assert_int_equal(loam_file_length(file), 3);
	write_ok(file, 3, "def", 3);
	loam_file_changed(file, &before);
	assert_int_equal(loam_file_length(file), 6);
	loam_file_put(file);
	data_volume_close(&volume);
}

struct hammer {
	struct loam_file *file;
	uint64_t base;
	uint8_t value;
};

static void *hammer(void *arg)
{
	struct hammer *hammer = arg;
	uint8_t bytes[4096], out[4096];
	memset(bytes, hammer->value, sizeof(bytes));
	for (int i = 0; i < 100; i++) {
		struct loam_err err = { 0 };
		size_t got = 0;
		uint64_t at = hammer->base + (uint64_t)(i * 7 % 16) * sizeof(bytes);
		if (loam_file_write(hammer->file, at, bytes, sizeof(bytes), &err) < 0)
			return (void *)"write";
		if (i % 10 == 0 && loam_file_flush(hammer->file, &err) < 0)
			return (void *)"flush";
		if (loam_file_read(hammer->file, at, out, sizeof(out), &got, &err) < 0 ||
		    got != sizeof(out) || memcmp(out, bytes, sizeof(out)) != 0)
			return (void *)"read";
	}
	return NULL;
}

static void threads_may_share_a_file(void **state)
{
	const struct loam_data_options options = { .write_buffer_bytes = 8 * 65536 };
	uint64_t ino;
	data_volume_open(&volume, "", 64, &options);
	struct loam_file *file = open_new(&ino);
	struct hammer hammers[4];
	pthread_t threads[4];
	for (int i = 0; i < 4; i++) {
		hammers[i] = (struct hammer){ file, (uint64_t)i * 100000, (uint8_t)('a' + i) };
		assert_int_equal(pthread_create(&threads[i], NULL, hammer, &hammers[i]), 0);
	}
	for (int i = 0; i < 4; i++) {
		void *failed = NULL;
		pthread_join(threads[i], &failed);
		if (failed)
			fail_msg("a thread failed to %s", (char *)failed);
	}
	loam_file_put(file);
	data_volume_check_durable(&volume, ino);
	data_volume_close(&volume);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(appends_become_one_slice),
		cmocka_unit_test(the_unfinished_block_can_be_written_again),
		cmocka_unit_test(newer_bytes_stay_newer),
		cmocka_unit_test(a_read_sees_what_was_just_written),
		cmocka_unit_test(a_write_across_chunks_is_split),
		cmocka_unit_test(random_operations_agree_with_a_plain_buffer),
		cmocka_unit_test(random_operations_agree_when_buffers_are_short),
		cmocka_unit_test(a_large_file_needs_little_memory),
		cmocka_unit_test(many_open_files_share_a_small_buffer),
		cmocka_unit_test(the_flusher_commits_by_itself),
		cmocka_unit_test(closing_the_last_handle_flushes),
		cmocka_unit_test(failures_are_sticky),
		cmocka_unit_test(a_file_deleted_meanwhile_fails_once_for_all),
		cmocka_unit_test(an_old_answer_does_not_shorten_the_file),
		cmocka_unit_test(threads_may_share_a_file),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
