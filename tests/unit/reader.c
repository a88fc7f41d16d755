/*
 * Reading files: pieces, holes, streams, shared fetches, slices that were replaced.
 */
#include "core/clock.h"
#include "core/limits.h"
#include "fs/data/data_internal.h"
#include "tests/support/data_volume.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MIB (1u << 20)

static struct data_volume volume;

static void write_slice(uint64_t ino, uint64_t offset, const void *bytes, uint32_t count)
{
	struct loam_err err = { 0 };
	struct loam_slice_writer *writer;
	struct loam_slice record = { .pos = (uint32_t)(offset % LOAM_CHUNK_BYTES) };
	struct loam_attr attr;
	assert_int_equal(loam_slice_writer_new(volume.data, &writer, &err), 0);
	assert_int_equal(loam_slice_writer_add(writer, bytes, count, &err), 0);
	assert_int_equal(loam_slice_writer_finish(writer, &record.id, &record.size, &err), 0);
	record.len = record.size;
	loam_slice_writer_free(writer);
	assert_int_equal(loam_meta_write(volume.meta, ino, (uint32_t)(offset / LOAM_CHUNK_BYTES),
					 &record, loam_clock_now(), &attr, NULL, &err),
			 0);
}

static uint64_t written_file(const uint8_t *bytes, size_t count)
{
	struct loam_err err = { 0 };
	struct loam_writer *writer;
	uint64_t ino = data_volume_file(&volume, NULL);
	assert_int_equal(loam_writer_new(volume.data, ino, &writer, &err), 0);
	assert_int_equal(loam_writer_add(writer, bytes, count, &err), 0);
	assert_int_equal(loam_writer_finish(writer, &err), 0);
	loam_writer_free(writer);
	return ino;
}

static void newer_slices_cover_older_ones_and_gaps_are_zeros(void **state)
{
	enum { LENGTH = 600000 };
	data_volume_open(&volume, "", 64, NULL);
	uint64_t ino = data_volume_file(&volume, NULL);
	uint8_t *model = calloc(1, LENGTH), *part = malloc(LENGTH);
	static const struct {
		uint32_t offset, count;
	} writes[] = {
		{ 100, 200000 }, { 150000, 100000 }, { 599999, 1 }, { 0, 10 }, { 180000, 5 }
	};
	for (uint32_t i = 0; i < sizeof(writes) / sizeof(writes[0]); i++) {
		data_volume_pattern(part, writes[i].count, i + 1);
		memcpy(model + writes[i].offset, part, writes[i].count);
		write_slice(ino, writes[i].offset, part, writes[i].count);
	}
	data_volume_expect(&volume, ino, model, LENGTH);
	data_volume_close(&volume);
	free(model);
	free(part);
}

static void reads_of_any_place_and_size_agree(void **state)
{
	size_t total = 70 * (size_t)MIB + 77;
	uint8_t *model = malloc(total), *out = malloc(9 * MIB);
	struct loam_err err = { 0 };
	struct loam_reader *reader;
	data_volume_open(&volume, "", 1024, NULL);
	data_volume_pattern(model, total, 3);
	uint64_t ino = written_file(model, total);
	assert_int_equal(loam_reader_new(volume.data, ino, total, &reader, &err), 0);

	unsigned seed = (unsigned)time(NULL);
	print_message("seed %u\n", seed);
	for (int i = 0; i < 300; i++) {
		size_t offset = ((size_t)rand_r(&seed) * 4099) % (total + 10);
		size_t bytes = (size_t)rand_r(&seed) % (i % 10 ? 10000 : 9 * MIB), got = 0;
		assert_int_equal(loam_reader_read(reader, offset, out, bytes, &got, &err), 0);
		size_t left = offset < total ? total - offset : 0;
		assert_int_equal(got, bytes < left ? bytes : left);
		assert_memory_equal(out, model + (got ? offset : 0), got);
	}
	loam_reader_free(reader);
	data_volume_close(&volume);
	free(model);
	free(out);
}

static void a_sequential_read_fetches_each_block_once(void **state)
{
	size_t total = 64 * (size_t)MIB;
	uint8_t *model = malloc(total), *out = malloc(MIB);
	struct loam_err err = { 0 };
	struct loam_reader *reader;
	data_volume_open(&volume, "", 4096, NULL);
	data_volume_pattern(model, total, 4);
	uint64_t ino = written_file(model, total);
	assert_int_equal(loam_reader_new(volume.data, ino, total, &reader, &err), 0);
	for (size_t at = 0; at < total; at += MIB / 4) {
		size_t got = 0;
		assert_int_equal(loam_reader_read(reader, at, out, MIB / 4, &got, &err), 0);
		assert_int_equal(got, MIB / 4);
		assert_memory_equal(out, model + at, got);
	}
	loam_reader_free(reader);
	/* A read that overtakes its own read-ahead on a busy machine may fetch a block twice. */
	assert_in_range(data_volume_gets(&volume), 16, 16 + 8);
	data_volume_close(&volume);
	free(model);
	free(out);
}

/* What is lent stays as it is while others read on, whatever is fetched and given up meanwhile. */
static void lent_bytes_stay_until_they_are_returned(void **state)
{
	enum { TOTAL = 64 * MIB + 5, HELD = 3 };
	uint8_t *model = malloc(TOTAL);
	struct loam_err err = { 0 };
	struct loam_reader *reader;
	struct loam_lent held[HELD] = { 0 }, none;
	size_t lent_units = 0, at = 0;
	data_volume_open(&volume, "", 4096, NULL);
	data_volume_pattern(model, TOTAL, 4);
	uint64_t ino = written_file(model, TOTAL);
	assert_int_equal(loam_reader_new(volume.data, ino, TOTAL, &reader, &err), 0);
	for (size_t i = 0; at < TOTAL; i++) {
		struct loam_lent lent;
		assert_int_equal(loam_reader_lend(reader, at, MIB, &lent, &err), 0);
		assert_int_equal(lent.bytes, TOTAL - at < MIB ? TOTAL - at : MIB);
		assert_memory_equal(lent.data, model + at, lent.bytes);
		lent_units += lent.unit != NULL;
		at += lent.bytes;
		if (i % 5 == 0 && i / 5 < HELD)
			held[i / 5] = lent;
		else
			loam_lent_return(&lent);
	}
	assert_true(lent_units > 32); /* most of a stream comes without a copy */
	for (size_t i = 0; i < HELD; i++) {
		assert_memory_equal(held[i].data, model + 5 * i * MIB, MIB);
		loam_lent_return(&held[i]);
		loam_lent_return(&held[i]);
	}
	/* Over two units, and behind the end. */
	assert_int_equal(loam_reader_lend(reader, 4 * MIB - 100, 200, &none, &err), 0);
	assert_memory_equal(none.data, model + 4 * MIB - 100, 200);
	loam_lent_return(&none);
	assert_int_equal(loam_reader_lend(reader, TOTAL, 10, &none, &err), 0);
	assert_int_equal(none.bytes, 0);
	loam_lent_return(&none);
	loam_reader_free(reader);
	data_volume_close(&volume);
	free(model);
}

static void a_lender_tells_what_a_reader_is_told(void **state)
{
	struct loam_err err = { 0 };
	struct loam_reader *reader;
	struct loam_lent lent;
	uint8_t *model = malloc(8 * MIB);
	data_volume_open(&volume, "get:every:CORRUPT", 4096, NULL);
	data_volume_pattern(model, 8 * MIB, 4);
	uint64_t ino = written_file(model, 8 * MIB);
	assert_int_equal(loam_reader_new(volume.data, ino, 8 * MIB, &reader, &err), 0);
	assert_int_equal(loam_reader_lend(reader, 0, MIB, &lent, &err), -LOAM_E_CORRUPT);
	assert_null(lent.data);
	loam_reader_free(reader);
	data_volume_close(&volume);
	free(model);
}

static void read_ahead_works_in_parallel(void **state)
{
	const struct loam_data_options options = { .readahead_bytes = 32 * MIB };
	size_t total = 64 * (size_t)MIB;
	uint8_t *model = malloc(total), *out = malloc(MIB);
	struct loam_err err = { 0 };
	struct loam_reader *reader;
	data_volume_open(&volume, "get:every:delay=50", 4096, &options);
	data_volume_pattern(model, total, 4);
	uint64_t ino = written_file(model, total);
	assert_int_equal(loam_reader_new(volume.data, ino, total, &reader, &err), 0);
	uint64_t start = loam_clock_ms();
	for (size_t at = 0; at < total; at += MIB) {
		size_t got = 0;
		assert_int_equal(loam_reader_read(reader, at, out, MIB, &got, &err), 0);
		assert_memory_equal(out, model + at, got);
	}
	print_message("16 blocks of 50 ms each: %llu ms\n",
		      (unsigned long long)(loam_clock_ms() - start));
	assert_true(data_volume_gets(&volume) <= 17);
	loam_reader_free(reader);
	data_volume_close(&volume);
	free(model);
	free(out);
}

struct twin {
	uint64_t ino;
	const uint8_t *model;
	bool equal;
};

static void *read_all(void *arg)
{
	struct twin *twin = arg;
	struct loam_err err = { 0 };
	struct loam_reader *reader;
	uint8_t *out = malloc(16 * MIB);
	size_t got = 0;
	twin->equal = loam_reader_new(volume.data, twin->ino, 16 * MIB, &reader, &err) == 0 &&
		      loam_reader_read(reader, 0, out, 16 * MIB, &got, &err) == 0 &&
		      got == 16 * MIB && memcmp(out, twin->model, got) == 0;
	loam_reader_free(reader);
	free(out);
	return NULL;
}

static void readers_of_one_block_fetch_it_once(void **state)
{
	uint8_t *model = malloc(16 * MIB);
	data_volume_open(&volume, "get:every:delay=30", 4096, NULL);
	data_volume_pattern(model, 16 * MIB, 9);
	struct twin twins[4];
	pthread_t threads[4];
	uint64_t ino = written_file(model, 16 * MIB);
	for (int i = 0; i < 4; i++) {
		twins[i] = (struct twin){ ino, model, false };
		assert_int_equal(pthread_create(&threads[i], NULL, read_all, &twins[i]), 0);
	}
	for (int i = 0; i < 4; i++) {
		pthread_join(threads[i], NULL);
		assert_true(twins[i].equal);
	}
	assert_int_equal(data_volume_gets(&volume), 4);
	data_volume_close(&volume);
	free(model);
}

static void a_compaction_behind_the_readers_back_is_no_matter(void **state)
{
	struct loam_err err = { 0 };
	struct loam_reader *reader;
	uint8_t model[60000], out[60000];
	size_t got = 0;
	data_volume_open(&volume, "", 64, NULL);
	uint64_t ino = data_volume_file(&volume, NULL);
	data_volume_pattern(model, sizeof(model), 5);
	for (uint32_t at = 0; at < sizeof(model); at += 15000)
		write_slice(ino, at, model + at, 15000);
	assert_int_equal(loam_reader_new(volume.data, ino, sizeof(model), &reader, &err), 0);
	assert_int_equal(loam_reader_read(reader, 0, out, 10, &got, &err), 0);

	struct loam_chunk old = { 0 };
	assert_int_equal(loam_meta_chunks(volume.meta, ino, 0, 1, &old, &err), 0);
	assert_int_equal(old.slice_count, 4);
	assert_int_equal(loam_compact_chunk(volume.data, ino, 0, &err), 1);
	for (size_t i = 0; i < old.slice_count; i++)
		loam_data_delete_slice(volume.data, old.slices[i].id, old.slices[i].size);
	free(old.slices);

	assert_int_equal(loam_reader_read(reader, 0, out, sizeof(out), &got, &err), 0);
	assert_int_equal(got, sizeof(model));
	assert_memory_equal(out, model, sizeof(model));
	loam_reader_free(reader);

	struct loam_chunk now = { 0 };
	assert_int_equal(loam_meta_chunks(volume.meta, ino, 0, 1, &now, &err), 0);
	assert_int_equal(now.slice_count, 1);
	free(now.slices);
	data_volume_check_durable(&volume, ino);
	data_volume_close(&volume);
}

static void a_long_list_is_compacted_after_a_read(void **state)
{
	struct loam_err err = { 0 };
	uint8_t model[7000];
	data_volume_open(&volume, "", 64, NULL);
	uint64_t ino = data_volume_file(&volume, NULL);
	data_volume_pattern(model, sizeof(model), 5);
	for (uint32_t at = 0; at < sizeof(model); at += 1000)
		write_slice(ino, at, model + at, 1000);
	data_volume_expect(&volume, ino, model, sizeof(model));
	size_t records = 7;
	for (int i = 0; i < 500 && records > 1; i++) {
		struct loam_chunk now = { 0 };
		loam_clock_sleep_ms(10);
		assert_int_equal(loam_meta_chunks(volume.meta, ino, 0, 1, &now, &err), 0);
		records = now.slice_count;
		free(now.slices);
	}
	assert_int_equal(records, 1);
	data_volume_expect(&volume, ino, model, sizeof(model));
	data_volume_close(&volume);
}

static void a_block_that_stays_missing_is_damage(void **state)
{
	struct loam_err err = { 0 };
	struct loam_reader *reader;
	uint8_t out[10];
	size_t got = 0;
	data_volume_open(&volume, "get:every:NOT_FOUND", 64, NULL);
	uint64_t ino = written_file((const uint8_t *)"0123456789", 10);
	assert_int_equal(loam_reader_new(volume.data, ino, 10, &reader, &err), 0);
	assert_int_equal(loam_reader_read(reader, 0, out, 10, &got, &err), -LOAM_E_CORRUPT);
	loam_reader_free(reader);
	data_volume_close(&volume);
}

/* Its lists are deleted after its inode: without the inode they are no holes. */
static void a_file_that_somebody_removed_is_stale_and_not_zeros(void **state)
{
	struct loam_err err = { 0 };
	struct loam_reader *reader;
	uint8_t out[10];
	size_t got = 0;
	data_volume_open(&volume, "", 64, NULL);
	uint64_t ino = written_file((const uint8_t *)"0123456789", 10);
	assert_int_equal(loam_reader_new(volume.data, ino, 10, &reader, &err), 0);
	assert_int_equal(loam_meta_unlink(volume.meta, &loam_who_root, LOAM_INO_ROOT,
					  loam_name_of("file0"), NULL, &err),
			 0);
	assert_int_equal(loam_reader_read(reader, 0, out, 10, &got, &err), -LOAM_E_STALE);
	loam_reader_free(reader);
	data_volume_close(&volume);
}

static void a_store_that_stumbles_is_asked_again(void **state)
{
	data_volume_open(&volume, "get:1:UNAVAILABLE,get:2:CORRUPT", 64, NULL);
	const uint8_t *bytes = (const uint8_t *)"0123456789";
	uint64_t ino = written_file(bytes, 10);
	data_volume_expect(&volume, ino, bytes, 10);
	data_volume_close(&volume);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static void blocks_in_files_are_read_where_they_are(void **state)
{
	char dir[] = "/tmp/loam-reader-XXXXXX";
	size_t total = 70 * (size_t)MIB + 77;
	uint8_t *model = malloc(total);
	assert_non_null(mkdtemp(dir));
	data_volume_open(&volume, dir, 4096, NULL);
	data_volume_pattern(model, total, 3);
	uint64_t ino = written_file(model, total);
	data_volume_check_durable(&volume, ino);
	data_volume_expect(&volume, ino, model, total);
	data_volume_expect(&volume, ino, model, total);
	data_volume_close(&volume);
	nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(model);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(newer_slices_cover_older_ones_and_gaps_are_zeros),
		cmocka_unit_test(reads_of_any_place_and_size_agree),
		cmocka_unit_test(a_sequential_read_fetches_each_block_once),
		cmocka_unit_test(lent_bytes_stay_until_they_are_returned),
		cmocka_unit_test(a_lender_tells_what_a_reader_is_told),
		cmocka_unit_test(read_ahead_works_in_parallel),
		cmocka_unit_test(readers_of_one_block_fetch_it_once),
		cmocka_unit_test(a_compaction_behind_the_readers_back_is_no_matter),
		cmocka_unit_test(a_long_list_is_compacted_after_a_read),
		cmocka_unit_test(a_block_that_stays_missing_is_damage),
		cmocka_unit_test(a_file_that_somebody_removed_is_stale_and_not_zeros),
		cmocka_unit_test(a_store_that_stumbles_is_asked_again),
		cmocka_unit_test(blocks_in_files_are_read_where_they_are),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
