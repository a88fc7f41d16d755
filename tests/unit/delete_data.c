/* Deletion of data behind removed files, over every metadata engine. */
#include "fs/meta/delete_data.h"

#include "core/auto.h"
#include "core/clock.h"
#include "core/limits.h"
#include "tests/support/meta_volume.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/failpoint.h"

static uint64_t new_file(struct loam_meta_volume *volume, const char *name)
{
	return loam_meta_volume_make(volume, &loam_who_root, LOAM_INO_ROOT, name, LOAM_TYPE_FILE,
				     0644);
}

static void remove_file(struct loam_meta_volume *volume, const char *name)
{
	struct loam_err err = { 0 };
	assert_int_equal(loam_meta_unlink(volume->meta, &loam_who_root, LOAM_INO_ROOT,
					  loam_name_of(name), NULL, &err),
			 0);
}

static int put_value(struct loam_txn *txn, void *arg, struct loam_err *err)
{
	const struct loam_record *record = arg;
	loam_txn_put(txn, record, record->kind == LOAM_REC_SLICE_REF ? "-1" : "1000",
		     record->kind == LOAM_REC_SLICE_REF ? 2 : 4);
	return 0;
}

/* Puts "-1" for a reference, else the time 1000. */
static void put(struct loam_meta_volume *volume, enum loam_record_kind kind, uint64_t id,
		uint64_t sub)
{
	struct loam_record record = loam_rec(kind, id, sub);
	struct loam_err err = { 0 };
	assert_int_equal(loam_meta_run(volume->meta, 0, put_value, &record, &err), 0);
}

static void the_last_reference_deletes_the_blocks_once(void **state)
{
	struct loam_meta_volume *volume = *state;
	struct loam_err err = { 0 };
	uint64_t ino = new_file(volume, "f");
	uint64_t a = loam_meta_volume_write(volume, ino, 0, 1000);
	uint64_t b = loam_meta_volume_write(volume, ino, 3ull * LOAM_CHUNK_BYTES, 1000);
	assert_int_equal(loam_meta_clone(volume->meta, &loam_who_root, ino, LOAM_INO_ROOT,
					 loam_name_of("g"), 0, NULL, NULL, NULL, &err),
			 0);
	remove_file(volume, "f");
	assert_int_equal(loam_meta_volume_deleted(volume, a), 0);
	remove_file(volume, "g");
	assert_int_equal(loam_meta_volume_deleted(volume, a), 1);
	assert_int_equal(loam_meta_volume_deleted(volume, b), 1);
	struct loam_recount count = loam_meta_volume_recount(volume);
	assert_int_equal(count.slices, 0);
	assert_int_equal(count.freed, 0);
	assert_int_equal(count.removed_files, 0);
	assert_int_equal(count.inodes, 0);
}

static void a_slice_named_twice_in_a_list_counts_twice(void **state)
{
	struct loam_meta_volume *volume = *state;
	struct loam_err err = { 0 };
	struct loam_attr attr;
	uint64_t copied;
	uint64_t ino = new_file(volume, "f");
	uint64_t a = loam_meta_volume_write(volume, ino, 0, 1000);
	assert_int_equal(loam_meta_copy_range(volume->meta, &loam_who_root, ino, 0, ino, 5000, 1000,
					      &copied, &attr, &err),
			 0);
	assert_int_equal(loam_meta_volume_recount(volume).references, 2);
	remove_file(volume, "f");
	assert_int_equal(loam_meta_volume_deleted(volume, a), 1);
}

static void an_open_file_keeps_its_data(void **state)
{
	struct loam_meta_volume *volume = *state;
	uint64_t ino = new_file(volume, "f");
	uint64_t a = loam_meta_volume_write(volume, ino, 0, 1000);
	loam_meta_opened(volume->meta, ino);
	remove_file(volume, "f");
	assert_int_equal(loam_meta_volume_deleted(volume, a), 0);
	loam_meta_released(volume->meta, ino);
	assert_int_equal(loam_meta_volume_deleted(volume, a), 1);
}

static void a_file_of_many_chunks_goes_whole(void **state)
{
	struct loam_meta_volume *volume = *state;
	uint64_t ino = new_file(volume, "f");
	for (uint64_t i = 0; i < 250; i += 7)
		loam_meta_volume_write(volume, ino, i * LOAM_CHUNK_BYTES, 1000);
	assert_int_equal(loam_meta_volume_recount(volume).slices, 36);
	remove_file(volume, "f");
	struct loam_recount count = loam_meta_volume_recount(volume);
	assert_int_equal(count.slices, 0);
	assert_int_equal(count.freed, 0);
	assert_int_equal(volume->deleted_count, 36);
}

static void the_hourly_job_ends_what_others_began(void **state)
{
	struct loam_meta_volume *volume = *state;
	struct loam_err err = { 0 };
	put(volume, LOAM_REC_DELFILE, 4711, 1000);  /* removed long ago by somebody who died */
	put(volume, LOAM_REC_SLICE_REF, 815, 4096); /* freed, but its blocks were not deleted */
	assert_int_equal(loam_delete_data_hourly(volume->meta, LOAM_DELETE_FILE_AGE,
						 LOAM_DETACHED_AGE, &err),
			 0);
	struct loam_recount count = loam_meta_volume_recount(volume);
	assert_int_equal(count.removed_files, 0);
	assert_int_equal(count.freed, 0);
	assert_int_equal(loam_meta_volume_deleted(volume, 815), 1);

	put(volume, LOAM_REC_DELFILE, 4712, 1000);
	put(volume, LOAM_REC_SLICE_REF, 816, 4096);
	assert_int_equal(loam_delete_data_hourly(volume->meta, LOAM_DELETE_FILE_AGE,
						 LOAM_DETACHED_AGE, &err),
			 0); /* somebody ran it within the hour */
	count = loam_meta_volume_recount(volume);
	assert_int_equal(count.removed_files, 1);
	assert_int_equal(count.freed, 1);
}

/* Else a Redis that comes back without its last second names them again. */
static void blocks_stay_until_their_removal_is_durable(void **state)
{
	struct loam_meta_volume *volume = *state;
	struct loam_err err = { 0 };
	uint64_t ino = new_file(volume, "f");
	uint64_t a = loam_meta_volume_write(volume, ino, 0, 1000);
	uint64_t b = loam_meta_volume_write(volume, new_file(volume, "g"), 0, 1000);
	loam_failpoint_set("meta.barrier:error:EIO");
	remove_file(volume, "f");
	assert_int_equal(loam_meta_volume_deleted(volume, a), 0);
	assert_int_equal(loam_meta_volume_recount(volume).freed, 1);
	assert_int_equal(loam_delete_data_hourly(volume->meta, LOAM_DELETE_FILE_AGE,
						 LOAM_DETACHED_AGE, &err),
			 -LOAM_E_IO);
	assert_int_equal(loam_meta_volume_deleted(volume, a), 0);

	loam_failpoint_set(
		"meta.barrier:error:EOPNOTSUPP"); /* nobody ever promises: not waited for */
	remove_file(volume, "g");
	assert_int_equal(loam_meta_volume_deleted(volume, b), 1);
	loam_failpoint_set(NULL);
	assert_int_equal(loam_delete_slice(volume->meta, a, 1000, &err), 0);
	assert_int_equal(loam_meta_volume_recount(volume).freed, 0);
}

static void data_of_a_living_inode_is_never_deleted(void **state)
{
	struct loam_meta_volume *volume = *state;
	struct loam_err err = { 0 };
	uint64_t ino = new_file(volume, "f");
	uint64_t a = loam_meta_volume_write(volume, ino, 0, 1000);
	assert_int_equal(loam_delete_file_data(volume->meta, ino, 1000, &err), -LOAM_E_CORRUPT);
	assert_int_equal(loam_meta_volume_seen(volume, ino, 0).id, a);
}

static const struct CMUnitTest tests[] = {
	LOAM_ON_VOLUME(the_last_reference_deletes_the_blocks_once),
	LOAM_ON_VOLUME(a_slice_named_twice_in_a_list_counts_twice),
	LOAM_ON_VOLUME(an_open_file_keeps_its_data),
	LOAM_ON_VOLUME(a_file_of_many_chunks_goes_whole),
	LOAM_ON_VOLUME(the_hourly_job_ends_what_others_began),
	LOAM_ON_VOLUME(blocks_stay_until_their_removal_is_durable),
	LOAM_ON_VOLUME(data_of_a_living_inode_is_never_deleted),
};

static int run(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
	return loam_meta_volume_each_engine(run);
}
