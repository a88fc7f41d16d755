/* Numbers of inodes and slices (fs/meta/ids.h), over every metadata engine. */
#include "fs/meta/ids.h"

#include "tests/support/meta_volume.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/support/failpoint.h"

static void numbers_are_given_once(void **state)
{
	struct loam_meta_volume *volume = *state;
	struct loam_err err = { 0 };
	uint64_t last_ino = 1, last_slice = 0, ino, slice;
	for (int i = 0; i < 10000; i++) { /* some batches of each */
		assert_int_equal(loam_meta_new_inode(volume->meta, &ino, &err), 0);
		assert_int_equal(loam_meta_new_slice(volume->meta, &slice, &err), 0);
		assert_true(ino > last_ino && slice > last_slice);
		last_ino = ino;
		last_slice = slice;
	}
}

/* Blocks are named by them, and outlive a Redis that comes back without its last second. */
static void slice_numbers_are_durable_before_they_are_used(void **state)
{
	struct loam_meta_volume *volume = *state;
	struct loam_err err = { 0 };
	uint64_t number;
	loam_failpoint_set("meta.barrier:error:EIO");
	assert_int_equal(loam_meta_new_slice(volume->meta, &number, &err), -LOAM_E_IO);
	loam_err_clear(&err);
	assert_int_equal(loam_meta_new_inode(volume->meta, &number, &err), 0);
	loam_failpoint_set(
		"meta.barrier:error:EOPNOTSUPP"); /* a store that never promises anything */
	assert_int_equal(loam_meta_new_slice(volume->meta, &number, &err), 0);
	loam_failpoint_set(NULL);
}

static const struct CMUnitTest tests[] = {
	LOAM_ON_VOLUME(numbers_are_given_once),
	LOAM_ON_VOLUME(slice_numbers_are_durable_before_they_are_used),
};

static int run(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
	return loam_meta_volume_each_engine(run);
}
