/*
 * The node cache beside the blocks on one disk (fs/data/later.c): it is filled behind the readers,
 * with the same bytes, from what is still in memory or once more from the store.
 */
#include "core/auto.h"
#include "core/clock.h"
#include "fs/data/data_internal.h"
#include "tests/support/data_volume.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#define MIB	(1u << 20)
#define UNITS	5
#define TOTAL	((UNITS - 1) * (size_t)LOAM_UNIT_BYTES + 4097)
#define WAIT_MS 30000

static char dir[64];
static struct data_volume volume;
static uint8_t *model, *out;

static void open_volume(bool local)
{
	loam_auto_free char *blocks = loam_xasprintf("%s/blocks/", dir);
	loam_auto_free char *cache = loam_xasprintf("%s/cache", dir);
	const struct loam_data_options options = { .cache_dir = cache, .cache_bytes = 1ull << 30 };
	data_volume_open(&volume, local ? blocks : "", 4096, &options);
}

static uint64_t make_file(struct loam_attr *out_attr)
{
	struct loam_err err = { 0 };
	struct loam_writer *writer;
	uint64_t ino = data_volume_file(&volume, NULL);
	data_volume_pattern(model, TOTAL, 7);
	assert_int_equal(loam_writer_new(volume.data, ino, &writer, &err), 0);
	assert_int_equal(loam_writer_add(writer, model, TOTAL, &err), 0);
	assert_int_equal(loam_writer_finish(writer, &err), 0);
	loam_writer_free(writer);
	const struct loam_attr values = { .mode = 0444 };
	assert_int_equal(loam_meta_setattr(volume.meta, &loam_who_root, ino, LOAM_SET_MODE, &values,
					   out_attr, &err),
			 0);
	return ino;
}

static void read_all(uint64_t ino, const struct loam_attr *attr)
{
	struct loam_err err = { 0 };
	struct loam_file *file;
	size_t got = 0;
	assert_int_equal(loam_file_get(volume.data, ino, attr, &file, &err), 0);
	for (size_t at = 0; at < TOTAL; at += got) {
		size_t step = TOTAL - at < MIB ? TOTAL - at : MIB;
		assert_int_equal(loam_file_read(file, at, out + at, step, &got, &err), 0);
		assert_int_equal(got, step);
	}
	assert_memory_equal(out, model, TOTAL);
	loam_file_put(file);
}

static struct loam_cache_file *cache_file(uint64_t ino, const struct loam_attr *attr)
{
	struct loam_err err = { 0 };
	char key[LOAM_CACHE_KEY_BYTES];
	struct loam_cache_file *file;
	assert_int_equal(loam_content_key(volume.data, ino, attr, key, &err), 1);
	assert_int_equal(loam_cache_get(volume.data->cache, key, TOTAL, &file, &err), 0);
	return file;
}

/* Each block that is there has the right bytes; how many there are. */
static size_t right_blocks(struct loam_cache_file *file)
{
	size_t count = 0;
	for (uint64_t i = 0; i < UNITS; i++) {
		size_t at = i * (size_t)LOAM_UNIT_BYTES;
		size_t bytes = TOTAL - at < LOAM_UNIT_BYTES ? TOTAL - at : LOAM_UNIT_BYTES;
		struct loam_err err = { 0 };
		if (loam_cache_read(file, at, out, bytes, &err) <= 0)
			continue;
		assert_memory_equal(out, model + at, bytes);
		count++;
	}
	return count;
}

static void wait_full(struct loam_cache_file *file)
{
	uint64_t end_ms = loam_clock_ms() + WAIT_MS;
	for (uint64_t i = 0; i < UNITS && loam_clock_ms() < end_ms;) {
		if (loam_cache_has(file, i))
			i++;
		else
			loam_clock_sleep_ms(10);
	}
	assert_int_equal(right_blocks(file), UNITS);
}

static void what_was_read_comes_into_the_cache_behind_the_reader(void **state)
{
	struct loam_attr attr;
	open_volume(true);
	uint64_t ino = make_file(&attr);
	read_all(ino, &attr);
	assert_true(volume.data->disks != 0); /* it has been looked where the blocks lie */
	struct loam_cache_file *file = cache_file(ino, &attr);
	wait_full(file);
	loam_cache_put(file);
	data_volume_close(&volume);
}

static void what_has_left_the_memory_is_read_once_more(void **state)
{
	struct loam_attr attr;
	open_volume(true);
	uint64_t ino = make_file(&attr);
	read_all(ino, &attr);
	loam_fetch_trim(volume.data, 0);
	struct loam_cache_file *file = cache_file(ino, &attr);
	wait_full(file);
	/* From now on the store is not asked. */
	loam_fetch_trim(volume.data, 0);
	size_t gets = data_volume_gets(&volume);
	read_all(ino, &attr);
	assert_int_equal(data_volume_gets(&volume), gets);
	loam_cache_put(file);
	data_volume_close(&volume);
}

static void blocks_that_go_before_their_turn_leave_nothing_wrong(void **state)
{
	struct loam_attr attr;
	struct loam_err err = { 0 };
	struct loam_chunk chunk = { 0 };
	open_volume(true);
	uint64_t ino = make_file(&attr);
	read_all(ino, &attr);
	assert_int_equal(loam_meta_chunks(volume.meta, ino, 0, 1, &chunk, &err), 0);
	for (size_t i = 0; i < chunk.slice_count; i++)
		loam_data_remove_blocks(volume.store, &volume.data->naming, chunk.slices[i].id,
					chunk.slices[i].size);
	loam_fetch_trim(volume.data, 0);
	struct loam_cache_file *file = cache_file(ino, &attr);
	right_blocks(file);
	loam_cache_put(file);
	free(chunk.slices);
	data_volume_close(&volume); /* with units still noted, or not */
}

static void blocks_elsewhere_are_cached_beside_the_reader(void **state)
{
	struct loam_attr attr;
	open_volume(false);
	uint64_t ino = make_file(&attr);
	read_all(ino, &attr);
	struct loam_cache_file *file = cache_file(ino, &attr);
	wait_full(file);
	loam_cache_put(file);
	data_volume_close(&volume);
}

/* ---- */

static int make_dir(void **state)
{
	snprintf(dir, sizeof(dir), "/tmp/loam-unit-later-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	loam_auto_free char *blocks = loam_xasprintf("%s/blocks", dir);
	return mkdir(blocks, 0700);
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	return remove(path);
}

static int remove_dir(void **state)
{
	return nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, make_dir, remove_dir)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(what_was_read_comes_into_the_cache_behind_the_reader),
		CASE(what_has_left_the_memory_is_read_once_more),
		CASE(blocks_that_go_before_their_turn_leave_nothing_wrong),
		CASE(blocks_elsewhere_are_cached_beside_the_reader),
	};
	model = malloc(TOTAL);
	out = malloc(TOTAL);
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	free(model);
	free(out);
	return failed;
}
