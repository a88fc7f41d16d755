/*
 * Names of contents, reading by them, and whole contents in the node cache (fs/data/content.h).
 */
#include "core/clock.h"
#include "core/endian.h"
#include "core/limits.h"
#include "fs/data/data_internal.h"
#include "tests/support/data_volume.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/xattr.h>

#include <cmocka.h>

#define MIB	(1u << 20)
#define TOTAL	(9 * (size_t)MIB + 5)
#define WAIT_MS 20000

static char dir[64];
static struct data_volume volume;
static uint8_t *model, *out;

/* ---- files ---- */

static void open_volume(const char *rules)
{
	const struct loam_data_options options = { .cache_dir = dir, .cache_bytes = 1ull << 30 };
	data_volume_open(&volume, rules, 256, &options);
}

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

static struct loam_attr set_mode(uint64_t ino, uint16_t mode)
{
	struct loam_err err = { 0 };
	const struct loam_attr values = { .mode = mode };
	struct loam_attr attr;
	assert_int_equal(loam_meta_setattr(volume.meta, &loam_who_root, ino, LOAM_SET_MODE, &values,
					   &attr, &err),
			 0);
	return attr;
}

/* 9 MiB and 5 bytes of three slices and two holes, without write bits. */
static uint64_t make_file(struct loam_attr *out_attr)
{
	uint64_t ino = data_volume_file(&volume, NULL);
	memset(model, 0, TOTAL);
	data_volume_pattern(model, 5 * MIB, 1);
	write_slice(ino, 0, model, 5 * MIB);
	data_volume_pattern(model + 3 * MIB, 100, 2);
	write_slice(ino, 3 * MIB, model + 3 * MIB, 100);
	data_volume_pattern(model + 8 * MIB, MIB + 5, 3);
	write_slice(ino, 8 * MIB, model + 8 * MIB, MIB + 5);
	*out_attr = set_mode(ino, 0444);
	return ino;
}

static uint64_t clone_of(uint64_t ino, const char *name, struct loam_attr *out_attr)
{
	struct loam_err err = { 0 };
	struct loam_clone_stats stats;
	struct loam_name target = loam_name_of(name);
	uint64_t made;
	assert_int_equal(loam_meta_clone(volume.meta, &loam_who_root, ino, LOAM_INO_ROOT, target,
					 LOAM_CLONE_PRESERVE, NULL, NULL, &stats, &err),
			 0);
	assert_int_equal(loam_meta_lookup(volume.meta, &loam_who_root, LOAM_INO_ROOT, target, &made,
					  out_attr, &err),
			 0);
	return made;
}

static int key_of(uint64_t ino, const struct loam_attr *attr, char key[LOAM_CACHE_KEY_BYTES])
{
	struct loam_err err = { 0 };
	return loam_content_key(volume.data, ino, attr, key, &err);
}

/* Reads the file as an open file of a mount does. */
static void expect(uint64_t ino, const struct loam_attr *attr)
{
	struct loam_err err = { 0 };
	struct loam_file *file;
	size_t got = 0;
	assert_int_equal(loam_file_get(volume.data, ino, attr, &file, &err), 0);
	for (size_t at = 0; at < attr->length; at += got) {
		size_t left = attr->length - at, step = left < 300001 ? left : 300001;
		assert_int_equal(loam_file_read(file, at, out + at, step, &got, &err), 0);
		assert_int_equal(got, step);
	}
	assert_memory_equal(out, model, attr->length);
	loam_file_put(file);
}

static struct loam_cache_file *cached(const char *key, uint64_t length)
{
	struct loam_err err = { 0 };
	struct loam_cache_file *file = NULL;
	assert_int_equal(loam_cache_find(loam_data_cache(volume.data), key, length, &file, &err),
			 1);
	return file;
}

static bool becomes_full(const char *key, uint64_t length)
{
	struct loam_cache_file *file = cached(key, length);
	uint64_t end_ms = loam_clock_ms() + WAIT_MS, index = 0;
	while (index * LOAM_UNIT_BYTES < length && loam_clock_ms() < end_ms) {
		if (loam_cache_has(file, index))
			index++;
		else
			loam_clock_sleep_ms(5);
	}
	loam_cache_put(file);
	return index * LOAM_UNIT_BYTES >= length;
}

static bool becomes_complete(const char *key, uint64_t length)
{
	struct loam_cache_file *file = cached(key, length);
	uint64_t end_ms = loam_clock_ms() + WAIT_MS;
	bool complete = false;
	while (!complete && loam_clock_ms() < end_ms) {
		complete = loam_cache_is_complete(file);
		if (!complete)
			loam_clock_sleep_ms(5);
	}
	loam_cache_put(file);
	return complete;
}

static bool keeps_xattrs(void)
{
	return setxattr(dir, "user.loam.test", "1", 1, 0) == 0;
}

/* ---- names ---- */

static void clones_share_one_name(void **state)
{
	char key[LOAM_CACHE_KEY_BYTES], other[LOAM_CACHE_KEY_BYTES];
	struct loam_attr attr, copy_attr;
	open_volume("");
	uint64_t ino = make_file(&attr);
	uint64_t copy = clone_of(ino, "copy", &copy_attr);
	assert_int_not_equal(copy, ino);
	assert_int_equal(key_of(ino, &attr, key), 1);
	assert_int_equal(key_of(copy, &copy_attr, other), 1);
	assert_string_equal(key, other);
	assert_int_equal(key_of(ino, &attr, other), 1); /* remembered */
	assert_string_equal(key, other);

	/* Equal bytes in slices of their own, and a version of another length, have other names. */
	uint64_t same = make_file(&copy_attr);
	assert_int_equal(key_of(same, &copy_attr, other), 1);
	assert_string_not_equal(key, other);
	struct loam_err err = { 0 };
	struct loam_attr shorter;
	assert_int_equal(loam_meta_truncate(volume.meta, &loam_who_root, ino, TOTAL - 1, true,
					    &shorter, &err),
			 0);
	assert_int_equal(key_of(ino, &shorter, other), 1);
	assert_string_not_equal(key, other);
	data_volume_close(&volume);
}

/* The name as the header states it, made by hand. */
static void the_name_is_that_of_the_merged_pieces(void **state)
{
	struct loam_err err = { 0 };
	struct loam_attr attr;
	struct loam_chunk chunk = { 0 };
	open_volume("");
	uint64_t ino = make_file(&attr);
	assert_int_equal(loam_meta_chunks(volume.meta, ino, 0, 1, &chunk, &err), 0);
	const uint64_t first = chunk.slices[0].id, second = chunk.slices[1].id;
	const uint64_t third = chunk.slices[2].id;
	const uint64_t pieces[][4] = {
		{ 0, first, 0, 3 * MIB },
		{ 3 * MIB, second, 0, 100 },
		{ 3 * MIB + 100, first, 3 * MIB + 100, 2 * MIB - 100 },
		{ 5 * MIB, 0, 0, 3 * MIB },
		{ 8 * MIB, third, 0, MIB + 5 },
	};
	struct loam_sha256 *hash = loam_sha256_new();
	const char *uuid = loam_meta_format(volume.meta)->uuid;
	uint8_t number[8], digest[LOAM_SHA256_BYTES];
	loam_sha256_add(hash, uuid, strlen(uuid));
	loam_be64_put(number, TOTAL);
	loam_sha256_add(hash, number, 8);
	for (size_t i = 0; i < 4 * LOAM_ARRAY_COUNT(pieces); i++) {
		loam_be64_put(number, pieces[i / 4][i % 4]);
		loam_sha256_add(hash, number, 8);
	}
	loam_sha256_end(hash, digest);
	loam_sha256_free(hash);
	char expected[LOAM_CACHE_KEY_BYTES] = "content/", key[LOAM_CACHE_KEY_BYTES];
	loam_hex(digest, sizeof(digest), expected + strlen(expected));
	assert_int_equal(key_of(ino, &attr, key), 1);
	assert_string_equal(key, expected);
	free(chunk.slices);
	data_volume_close(&volume);
}

static void files_that_can_change_and_small_parts_of_slices_have_no_name(void **state)
{
	char key[LOAM_CACHE_KEY_BYTES];
	struct loam_attr attr;
	struct loam_err err = { 0 };
	open_volume("");
	uint64_t ino = make_file(&attr);
	attr = set_mode(ino, 0644);
	assert_int_equal(key_of(ino, &attr, key), 0);
	assert_int_equal(loam_content_warm(volume.data, ino, &attr, &err), -LOAM_E_UNSUPPORTED);
	loam_err_clear(&err);

	uint64_t empty = data_volume_file(&volume, NULL);
	attr = set_mode(empty, 0444);
	assert_int_equal(key_of(empty, &attr, key), 0);

	/* As publish packs small files: a part of a slice with others. */
	struct loam_chunk chunk = { 0 };
	assert_int_equal(loam_meta_chunks(volume.meta, ino, 0, 1, &chunk, &err), 0);
	struct loam_slice part = chunk.slices[0];
	part.off = 1000;
	part.len = 3000;
	uint64_t packed = data_volume_file(&volume, NULL);
	assert_int_equal(loam_meta_write(volume.meta, packed, 0, &part, loam_clock_now(), &attr,
					 NULL, &err),
			 0);
	attr = set_mode(packed, 0444);
	assert_int_equal(key_of(packed, &attr, key), 0);
	memmove(model, model + 1000, 3000);
	expect(packed, &attr);
	free(chunk.slices);
	data_volume_close(&volume);
}

/* ---- reading ---- */

static void a_file_read_to_its_end_is_complete_and_its_clone_needs_no_store(void **state)
{
	char key[LOAM_CACHE_KEY_BYTES];
	struct loam_attr attr, copy_attr;
	open_volume("");
	uint64_t ino = make_file(&attr);
	uint64_t copy = clone_of(ino, "copy", &copy_attr);
	expect(ino, &attr);
	assert_int_equal(key_of(ino, &attr, key), 1);
	assert_true(becomes_full(key, TOTAL));
	bool complete = !keeps_xattrs() || becomes_complete(key, TOTAL);
	assert_true(complete);
	loam_fetch_trim(volume.data, 0);
	size_t gets = data_volume_gets(&volume);
	expect(copy, &copy_attr);
	assert_int_equal(data_volume_gets(&volume), gets);
	data_volume_close(&volume);
}

static void a_bit_flipped_on_the_disk_is_fetched_again(void **state)
{
	char key[LOAM_CACHE_KEY_BYTES];
	struct loam_attr attr;
	open_volume("");
	uint64_t ino = make_file(&attr);
	expect(ino, &attr);
	assert_int_equal(key_of(ino, &attr, key), 1);
	assert_true(becomes_full(key, TOTAL));
	bool complete = !keeps_xattrs() || becomes_complete(key, TOTAL);
	assert_true(complete);
	char path[300];
	snprintf(path, sizeof(path), "%s/%s/%s", dir, loam_meta_format(volume.meta)->uuid, key);
	int fd = open(path, O_RDWR);
	uint8_t byte = (uint8_t)~model[MIB];
	loam_clock_sleep_ms(10);
	assert_int_equal(pwrite(fd, &byte, 1, MIB), 1);
	close(fd);
	/* A unit in memory that still fills the cache hides the disk a moment longer. */
	size_t gets = data_volume_gets(&volume);
	uint64_t end_ms = loam_clock_ms() + WAIT_MS;
	while (data_volume_gets(&volume) == gets && loam_clock_ms() < end_ms) {
		loam_fetch_trim(volume.data, 0);
		expect(ino, &attr);
	}
	assert_true(data_volume_gets(&volume) > gets);
	assert_true(becomes_full(key, TOTAL));
	complete = !keeps_xattrs() || becomes_complete(key, TOTAL);
	assert_true(complete);
	data_volume_close(&volume);
}

/* ---- lists that change ---- */

static void other_bytes_are_never_stored_under_an_old_name(void **state)
{
	char key[LOAM_CACHE_KEY_BYTES], fresh[LOAM_CACHE_KEY_BYTES];
	struct loam_err err = { 0 };
	struct loam_attr old, attr;
	struct loam_content *content;
	struct loam_slice *pieces;
	size_t count;
	open_volume("");
	uint64_t ino = make_file(&old);
	assert_int_equal(key_of(ino, &old, key), 1);
	data_volume_pattern(model + MIB, 5000, 9);
	write_slice(ino, MIB, model + MIB, 5000);
	/* Who still knows the old attributes gets the old name, but no pieces for it. */
	assert_int_equal(loam_content_open(volume.data, ino, &old, &content, &err), 1);
	assert_string_equal(loam_content_name(content), key);
	assert_int_equal(loam_content_plan(content, 0, &pieces, &count, &err), -LOAM_E_CONFLICT);
	loam_err_clear(&err);
	loam_content_put(content);
	expect(ino, &old); /* by slices: the bytes of now */

	assert_int_equal(loam_meta_getattr(volume.meta, ino, &attr, &err), 0);
	assert_int_equal(key_of(ino, &attr, fresh), 1);
	assert_string_not_equal(key, fresh);
	expect(ino, &attr);
	data_volume_close(&volume);
}

static void a_compaction_behind_an_open_content_is_no_matter(void **state)
{
	struct loam_err err = { 0 };
	struct loam_attr attr;
	struct loam_file *file;
	size_t got;
	open_volume("");
	uint64_t ino = make_file(&attr);
	for (uint32_t i = 0; i < 6; i++) {
		data_volume_pattern(model + i * 70000, 65000, 20 + i);
		write_slice(ino, i * 70000, model + i * 70000, 65000);
	}
	attr = set_mode(ino, 0444);
	assert_int_equal(loam_file_get(volume.data, ino, &attr, &file, &err), 0);
	assert_int_equal(loam_file_read(file, 8 * MIB, out, 100, &got, &err), 0);
	assert_memory_equal(out, model + 8 * MIB, 100);

	struct loam_chunk chunk = { 0 };
	assert_int_equal(loam_meta_chunks(volume.meta, ino, 0, 1, &chunk, &err), 0);
	while (loam_compact_chunk(volume.data, ino, 0, &err) > 0)
		continue;
	for (size_t i = 0; i < chunk.slice_count; i++)
		loam_data_delete_slice(volume.data, chunk.slices[i].id, chunk.slices[i].size);
	loam_fetch_trim(volume.data, 0);
	assert_int_equal(loam_file_read(file, 0, out, 4 * MIB, &got, &err), 0);
	assert_memory_equal(out, model, 4 * MIB);
	loam_file_put(file);
	expect(ino, &attr);
	free(chunk.slices);
	data_volume_close(&volume);
}

/* ---- warming ---- */

static void warming_fetches_what_is_missing_and_completes(void **state)
{
	char key[LOAM_CACHE_KEY_BYTES];
	struct loam_err err = { 0 };
	struct loam_attr attr;
	open_volume("");
	uint64_t ino = make_file(&attr);
	assert_int_equal(loam_content_warm(volume.data, ino, &attr, &err), 0);
	assert_int_equal(key_of(ino, &attr, key), 1);
	if (keeps_xattrs()) {
		struct loam_cache_file *file = cached(key, TOTAL);
		int fd = -1;
		assert_true(loam_cache_is_complete(file));
		assert_int_equal(loam_cache_backing_fd(file, &fd, &err), 0);
		assert_int_equal(pread(fd, out, TOTAL, 0), TOTAL);
		assert_memory_equal(out, model, TOTAL);
		loam_cache_put(file);
	}
	size_t gets = data_volume_gets(&volume);
	assert_int_equal(loam_content_warm(volume.data, ino, &attr, &err), 0);
	expect(ino, &attr);
	assert_int_equal(data_volume_gets(&volume), gets);
	data_volume_close(&volume);
}

static void a_cache_that_fails_is_no_matter_for_readers(void **state)
{
	struct loam_attr attr;
	struct loam_err err = { 0 };
	snprintf(dir, sizeof(dir), "/proc/none");
	open_volume("");
	uint64_t ino = make_file(&attr);
	expect(ino, &attr);
	expect(ino, &attr);
	assert_true(loam_content_warm(volume.data, ino, &attr, &err) < 0);
	data_volume_close(&volume);
}

/* ---- */

static char made[64];

static int make_dir(void **state)
{
	snprintf(made, sizeof(made), "/tmp/loam-unit-content-XXXXXX");
	if (!mkdtemp(made))
		return -1;
	snprintf(dir, sizeof(dir), "%s", made);
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	return remove(path);
}

static int remove_dir(void **state)
{
	return nftw(made, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, make_dir, remove_dir)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(clones_share_one_name),
		CASE(the_name_is_that_of_the_merged_pieces),
		CASE(files_that_can_change_and_small_parts_of_slices_have_no_name),
		CASE(a_file_read_to_its_end_is_complete_and_its_clone_needs_no_store),
		CASE(a_bit_flipped_on_the_disk_is_fetched_again),
		CASE(other_bytes_are_never_stored_under_an_old_name),
		CASE(a_compaction_behind_an_open_content_is_no_matter),
		CASE(warming_fetches_what_is_missing_and_completes),
		CASE(a_cache_that_fails_is_no_matter_for_readers),
	};
	model = malloc(TOTAL + 1);
	out = malloc(TOTAL + 1);
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	free(model);
	free(out);
	return failed;
}
