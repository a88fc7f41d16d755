/* Content of files: write commits, truncate, fallocate, copy_range, over every metadata engine. */
#include "core/auto.h"
#include "core/clock.h"
#include "core/limits.h"
#include "tests/support/meta_volume.h"

#include <linux/falloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define M (1ull << 20)
#define G (1ull << 30)

static uint64_t new_file(struct loam_meta_volume *volume, const char *name)
{
	return loam_meta_volume_make(volume, &loam_who_root, LOAM_INO_ROOT, name, LOAM_TYPE_FILE,
				     0644);
}

static void truncate_to(struct loam_meta_volume *volume, uint64_t ino, uint64_t length)
{
	struct loam_err err = { 0 };
	struct loam_attr attr;
	assert_int_equal(loam_meta_truncate(volume->meta, &loam_who_root, ino, length, true, &attr,
					    &err),
			 0);
	assert_int_equal(attr.length, length);
}

static void allocate(struct loam_meta_volume *volume, uint64_t ino, unsigned mode, uint64_t offset,
		     uint64_t bytes)
{
	struct loam_err err = { 0 };
	struct loam_attr attr;
	assert_int_equal(loam_meta_fallocate(volume->meta, &loam_who_root, ino, mode, offset, bytes,
					     &attr, &err),
			 0);
}

static uint64_t copy(struct loam_meta_volume *volume, uint64_t from, uint64_t from_offset,
		     uint64_t to, uint64_t to_offset, uint64_t bytes)
{
	struct loam_err err = { 0 };
	struct loam_attr attr;
	uint64_t copied = 0;
	int rc = loam_meta_copy_range(volume->meta, &loam_who_root, from, from_offset, to,
				      to_offset, bytes, &copied, &attr, &err);
	if (rc < 0)
		fprintf(stderr, "copy: %s\n", err.text);
	assert_int_equal(rc, 0);
	return copied;
}

static void assert_seen(struct loam_meta_volume *volume, uint64_t ino, uint64_t offset, uint64_t id,
			uint64_t off)
{
	struct loam_meta_volume_byte byte = loam_meta_volume_seen(volume, ino, offset);
	assert_int_equal(byte.id, id);
	assert_int_equal(byte.off, off);
}

static void a_write_extends_and_the_newest_is_seen(void **state)
{
	struct loam_meta_volume *volume = *state;
	uint64_t ino = new_file(volume, "f");
	uint64_t a = loam_meta_volume_write(volume, ino, 0, 1000);
	uint64_t b = loam_meta_volume_write(volume, ino, 500, 1000);
	assert_int_equal(loam_meta_volume_attr(volume, ino).length, 1500);
	assert_seen(volume, ino, 499, a, 499);
	assert_seen(volume, ino, 500, b, 0);
	assert_seen(volume, ino, 1499, b, 999);
	assert_int_equal(loam_meta_volume_recount(volume).used_bytes, 4096);
}

static void a_write_says_how_many_records_there_are(void **state)
{
	struct loam_meta_volume *volume = *state;
	uint64_t ino = new_file(volume, "f");
	for (uint64_t i = 1; i <= 3; i++) {
		struct loam_err err = { 0 };
		struct loam_attr attr;
		struct loam_slice slice = { .id = 1000 + i, .size = 10, .len = 10 };
		uint64_t count = 0;
		assert_int_equal(loam_meta_write(volume->meta, ino, 2, &slice, loam_clock_now(),
						 &attr, &count, &err),
				 0);
		assert_int_equal(count, i);
		assert_int_equal(attr.length, 128 * M + 10);
	}
}

static void a_write_to_what_is_no_file_is_refused(void **state)
{
	struct loam_meta_volume *volume = *state;
	struct loam_err err = { 0 };
	struct loam_attr attr;
	struct loam_slice slice = { .id = 9, .size = 10, .len = 10 };
	assert_int_equal(loam_meta_write(volume->meta, LOAM_INO_ROOT, 0, &slice, loam_clock_now(),
					 &attr, NULL, &err),
			 -LOAM_E_NOT_PERMITTED);
	loam_err_clear(&err);
	assert_int_equal(loam_meta_write(volume->meta, 999999, 0, &slice, loam_clock_now(), &attr,
					 NULL, &err),
			 -LOAM_E_NOT_FOUND);
}

static void a_write_clears_set_id_bits(void **state)
{
	struct loam_meta_volume *volume = *state;
	uint64_t program = loam_meta_volume_make(volume, &loam_who_root, LOAM_INO_ROOT, "program",
						 LOAM_TYPE_FILE, 06755);
	uint64_t locked = loam_meta_volume_make(volume, &loam_who_root, LOAM_INO_ROOT, "locked",
						LOAM_TYPE_FILE, 02644);
	loam_meta_volume_write(volume, program, 0, 10);
	loam_meta_volume_write(volume, locked, 0, 10);
	assert_int_equal(loam_meta_volume_attr(volume, program).mode, 0755);
	assert_int_equal(loam_meta_volume_attr(volume, locked).mode, 02644);
}

static void what_truncate_cut_off_never_comes_back(void **state)
{
	struct loam_meta_volume *volume = *state;
	uint64_t ino = new_file(volume, "f");
	uint64_t ids[4];
	for (uint64_t i = 0; i < 4; i++)
		ids[i] = loam_meta_volume_write(volume, ino, i * 64 * M, 64 * M);
	truncate_to(volume, ino, 100 * M);
	truncate_to(volume, ino, 256 * M);
	assert_seen(volume, ino, 100 * M - 1, ids[1], 36 * M - 1);
	assert_seen(volume, ino, 100 * M, 0, 0);
	assert_seen(volume, ino, 128 * M - 1, 0, 0);
	assert_seen(volume, ino, 128 * M, 0, 0);
	assert_seen(volume, ino, 200 * M, 0, 0);
	assert_seen(volume, ino, 256 * M - 1, 0, 0);
	assert_int_equal(loam_meta_volume_recount(volume).used_bytes, 256 * M);
}

static void a_sparse_extension_leaves_missing_lists_missing(void **state)
{
	struct loam_meta_volume *volume = *state;
	uint64_t ino = new_file(volume, "f");
	struct loam_err err = { 0 };
	struct loam_chunk chunks[4];
	truncate_to(volume, ino, 200 * M);
	assert_int_equal(loam_meta_chunks(volume->meta, ino, 0, 4, chunks, &err), 0);
	assert_int_equal(chunks[0].slice_count, 1);
	assert_int_equal(chunks[1].slice_count, 0);
	assert_int_equal(chunks[2].slice_count, 0);
	assert_int_equal(chunks[3].slice_count, 1);
	assert_int_equal(chunks[3].slices[0].len, 8 * M);
	for (int i = 0; i < 4; i++)
		free(chunks[i].slices);
}

static void an_equal_length_changes_nothing(void **state)
{
	struct loam_meta_volume *volume = *state;
	uint64_t ino = new_file(volume, "f");
	loam_meta_volume_write(volume, ino, 0, 100);
	struct loam_attr before = loam_meta_volume_attr(volume, ino);
	truncate_to(volume, ino, 100);
	struct loam_attr after = loam_meta_volume_attr(volume, ino);
	assert_int_equal(before.ctime.tv_nsec, after.ctime.tv_nsec);
	assert_int_equal(before.mtime.tv_nsec, after.mtime.tv_nsec);
}

static void a_range_of_very_many_chunks_is_zeroed_by_looking(void **state)
{
	struct loam_meta_volume *volume = *state;
	uint64_t ino = new_file(volume, "f"), other = new_file(volume, "other");
	uint64_t far = 20000 * 64 * M;
	loam_meta_volume_write(volume, ino, 700 * 64 * M, 1000);
	loam_meta_volume_write(volume, ino, far + 10, 1000);
	uint64_t kept = loam_meta_volume_write(volume, other, 700 * 64 * M, 1000);
	truncate_to(volume, ino, 0);
	truncate_to(volume, ino, far + 1010);
	assert_seen(volume, ino, 700 * 64 * M, 0, 0);
	assert_seen(volume, ino, far + 10, 0, 0);
	assert_seen(volume, other, 700 * 64 * M, kept, 0);
	truncate_to(volume, ino, 300 * 64 * M); /* a bulk transaction, chunk by chunk */
	truncate_to(volume, ino, 0);
}

static void truncate_asks_for_rights(void **state)
{
	struct loam_meta_volume *volume = *state;
	uint64_t ino = new_file(volume, "f");
	struct loam_who who = { .uid = 1000, .gid = 1000, .check = true };
	struct loam_err err = { 0 };
	struct loam_attr attr;
	assert_int_equal(loam_meta_truncate(volume->meta, &who, ino, 10, false, &attr, &err),
			 -LOAM_E_DENIED);
	loam_err_clear(&err);
	assert_int_equal(loam_meta_truncate(volume->meta, &who, ino, 10, true, &attr, &err), 0);
	assert_int_equal(loam_meta_truncate(volume->meta, &who, ino, 1ull << 60, true, &attr, &err),
			 -LOAM_E_TOO_LARGE);
}

static void fallocate_extends_punches_and_zeroes(void **state)
{
	struct loam_meta_volume *volume = *state;
	uint64_t ino = new_file(volume, "f");
	uint64_t a = loam_meta_volume_write(volume, ino, 0, 64 * M);
	uint64_t b = loam_meta_volume_write(volume, ino, 64 * M, 64 * M);
	allocate(volume, ino, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 60 * M, 8 * M);
	assert_seen(volume, ino, 60 * M - 1, a, 60 * M - 1);
	assert_seen(volume, ino, 60 * M, 0, 0);
	assert_seen(volume, ino, 68 * M - 1, 0, 0);
	assert_seen(volume, ino, 68 * M, b, 4 * M);
	allocate(volume, ino, FALLOC_FL_ZERO_RANGE, 127 * M, 9 * M);
	assert_int_equal(loam_meta_volume_attr(volume, ino).length, 136 * M);
	assert_seen(volume, ino, 127 * M - 1, b, 63 * M - 1);
	assert_seen(volume, ino, 127 * M, 0, 0);
	allocate(volume, ino, FALLOC_FL_KEEP_SIZE, 0, 200 * M);
	assert_int_equal(loam_meta_volume_attr(volume, ino).length, 136 * M);
	allocate(volume, ino, 0, 0, 200 * M);
	assert_int_equal(loam_meta_volume_attr(volume, ino).length, 200 * M);
	assert_int_equal(loam_meta_volume_recount(volume).used_bytes, 200 * M);
}

static void fallocate_refuses_what_it_cannot_do(void **state)
{
	struct loam_meta_volume *volume = *state;
	uint64_t ino = new_file(volume, "f");
	static const struct {
		unsigned mode;
		uint64_t bytes;
		int expected;
	} cases[] = {
		{ FALLOC_FL_PUNCH_HOLE, 10, -LOAM_E_INVALID },
		{ FALLOC_FL_COLLAPSE_RANGE, 10, -LOAM_E_UNSUPPORTED },
		{ FALLOC_FL_INSERT_RANGE | FALLOC_FL_KEEP_SIZE, 10, -LOAM_E_INVALID },
		{ FALLOC_FL_UNSHARE_RANGE, 10, -LOAM_E_UNSUPPORTED },
		{ 0, 0, -LOAM_E_INVALID },
		{ 0, 1ull << 60, -LOAM_E_TOO_LARGE },
	};
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(cases); i++) {
		struct loam_err err = { 0 };
		struct loam_attr attr;
		assert_int_equal(loam_meta_fallocate(volume->meta, &loam_who_root, ino,
						     cases[i].mode, 0, cases[i].bytes, &attr, &err),
				 cases[i].expected);
	}
}

static void a_copy_shares_slices_across_borders(void **state)
{
	struct loam_meta_volume *volume = *state;
	uint64_t from = new_file(volume, "from"), to = new_file(volume, "to");
	uint64_t a = loam_meta_volume_write(volume, from, 0, 64 * M);
	uint64_t b = loam_meta_volume_write(volume, from, 64 * M, 20 * M);
	/* 30M … 80M of the source to 50M …: the piece of a crosses the target's border */
	assert_int_equal(copy(volume, from, 30 * M, to, 50 * M, 50 * M), 50 * M);
	assert_int_equal(loam_meta_volume_attr(volume, to).length, 100 * M);
	assert_seen(volume, to, 50 * M - 1, 0, 0);
	assert_seen(volume, to, 50 * M, a, 30 * M);
	assert_seen(volume, to, 64 * M - 1, a, 44 * M - 1);
	assert_seen(volume, to, 64 * M, a, 44 * M);
	assert_seen(volume, to, 84 * M - 1, a, 64 * M - 1);
	assert_seen(volume, to, 84 * M, b, 0);
	assert_seen(volume, to, 100 * M - 1, b, 16 * M - 1);
	struct loam_recount count = loam_meta_volume_recount(volume);
	assert_int_equal(count.slices, 2);
	assert_int_equal(count.references, 5);
}

static void a_copy_brings_holes_and_ends_with_the_source(void **state)
{
	struct loam_meta_volume *volume = *state;
	uint64_t from = new_file(volume, "from"), to = new_file(volume, "to");
	uint64_t old = loam_meta_volume_write(volume, to, 0, 1 * M);
	uint64_t a = loam_meta_volume_write(volume, from, 1000, 1000);
	assert_int_equal(copy(volume, from, 0, to, 0, 1 * M), 2000);
	assert_seen(volume, to, 0, 0, 0);
	assert_seen(volume, to, 999, 0, 0);
	assert_seen(volume, to, 1000, a, 0);
	assert_seen(volume, to, 2000, old, 2000);
	assert_int_equal(loam_meta_volume_attr(volume, to).length, 1 * M);
	assert_int_equal(copy(volume, from, 2000, to, 0, 10), 0);
	assert_int_equal(copy(volume, from, 0, to, 0, 0), 0);
}

static void a_copy_within_a_file_must_not_overlap(void **state)
{
	struct loam_meta_volume *volume = *state;
	uint64_t ino = new_file(volume, "f");
	uint64_t a = loam_meta_volume_write(volume, ino, 0, 1000);
	struct loam_err err = { 0 };
	struct loam_attr attr;
	uint64_t copied;
	assert_int_equal(loam_meta_copy_range(volume->meta, &loam_who_root, ino, 0, ino, 999, 1000,
					      &copied, &attr, &err),
			 -LOAM_E_INVALID);
	assert_int_equal(copy(volume, ino, 0, ino, 1000, 1000), 1000);
	assert_seen(volume, ino, 1999, a, 999);
	assert_int_equal(loam_meta_volume_recount(volume).references, 2);
}

static void a_copy_of_a_directory_is_refused(void **state)
{
	struct loam_meta_volume *volume = *state;
	uint64_t ino = new_file(volume, "f");
	struct loam_err err = { 0 };
	struct loam_attr attr;
	uint64_t copied;
	assert_int_equal(loam_meta_copy_range(volume->meta, &loam_who_root, LOAM_INO_ROOT, 0, ino,
					      0, 10, &copied, &attr, &err),
			 -LOAM_E_INVALID);
}

static void a_path_is_found_upward(void **state)
{
	struct loam_meta_volume *volume = *state;
	struct loam_err err = { 0 };
	struct loam_attr attr;
	loam_auto_buf struct loam_buf path = LOAM_BUF(LOAM_PATH_BYTES_MAX);
	uint64_t a = loam_meta_volume_make(volume, &loam_who_root, LOAM_INO_ROOT, "a",
					   LOAM_TYPE_DIR, 0755);
	uint64_t b = loam_meta_volume_make(volume, &loam_who_root, a, "bé", LOAM_TYPE_DIR, 0755);
	uint64_t c = loam_meta_volume_make(volume, &loam_who_root, b, "c", LOAM_TYPE_FILE, 0644);
	assert_int_equal(loam_meta_path(volume->meta, c, &path, &err), 0);
	assert_string_equal(loam_buf_text(&path), "/a/bé/c");
	loam_buf_clear(&path);
	assert_int_equal(loam_meta_link(volume->meta, &loam_who_root, c, a, loam_name_of("d"),
					&attr, &err),
			 0);
	assert_int_equal(loam_meta_unlink(volume->meta, &loam_who_root, b, loam_name_of("c"), NULL,
					  &err),
			 0);
	assert_int_equal(loam_meta_path(volume->meta, c, &path, &err), 0);
	assert_string_equal(loam_buf_text(&path), "/a/d");
	loam_buf_clear(&path);
	assert_int_equal(loam_meta_path(volume->meta, LOAM_INO_ROOT, &path, &err), 0);
	assert_string_equal(loam_buf_text(&path), "/");
	assert_int_equal(loam_meta_path(volume->meta, 99999, &path, &err), -LOAM_E_NOT_FOUND);
}

static const struct CMUnitTest tests[] = {
	LOAM_ON_VOLUME(a_write_extends_and_the_newest_is_seen),
	LOAM_ON_VOLUME(a_write_says_how_many_records_there_are),
	LOAM_ON_VOLUME(a_write_to_what_is_no_file_is_refused),
	LOAM_ON_VOLUME(a_write_clears_set_id_bits),
	LOAM_ON_VOLUME(what_truncate_cut_off_never_comes_back),
	LOAM_ON_VOLUME(a_sparse_extension_leaves_missing_lists_missing),
	LOAM_ON_VOLUME(an_equal_length_changes_nothing),
	LOAM_ON_VOLUME(a_range_of_very_many_chunks_is_zeroed_by_looking),
	LOAM_ON_VOLUME(truncate_asks_for_rights),
	LOAM_ON_VOLUME(fallocate_extends_punches_and_zeroes),
	LOAM_ON_VOLUME(fallocate_refuses_what_it_cannot_do),
	LOAM_ON_VOLUME(a_copy_shares_slices_across_borders),
	LOAM_ON_VOLUME(a_copy_brings_holes_and_ends_with_the_source),
	LOAM_ON_VOLUME(a_copy_within_a_file_must_not_overlap),
	LOAM_ON_VOLUME(a_copy_of_a_directory_is_refused),
	LOAM_ON_VOLUME(a_path_is_found_upward),
};

static int run(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
	return loam_meta_volume_each_engine(run);
}
