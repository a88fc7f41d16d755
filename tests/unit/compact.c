/* The commit of a compaction, over every metadata engine. */
#include "fs/meta/compact.h"
#include "core/auto.h"
#include "core/clock.h"
#include "tests/support/meta_volume.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static uint64_t new_file(struct loam_meta_volume *volume, const char *name)
{
	return loam_meta_volume_make(volume, &loam_who_root, LOAM_INO_ROOT, name, LOAM_TYPE_FILE,
				     0644);
}

static struct loam_chunk chunk_of(struct loam_meta_volume *volume, uint64_t ino)
{
	struct loam_err err = { 0 };
	struct loam_chunk chunk;
	assert_int_equal(loam_meta_chunks(volume->meta, ino, 0, 1, &chunk, &err), 0);
	return chunk;
}

static int compact(struct loam_meta_volume *volume, uint64_t ino, const struct loam_chunk *old,
		   const struct loam_compact_plan *plan, uint64_t *out_id)
{
	struct loam_err err = { 0 };
	struct loam_slice made = { .pos = plan->pos, .size = plan->size, .len = plan->size };
	assert_int_equal(loam_meta_new_slice(volume->meta, &made.id, &err), 0);
	*out_id = made.id;
	return loam_meta_compact(volume->meta, ino, 0, old->slices, plan->skipped + plan->compacted,
				 plan->skipped, &made, &err);
}

static void records_become_one_and_slices_go(void **state)
{
	struct loam_meta_volume *volume = *state;
	struct loam_err err = { 0 };
	uint64_t ino = new_file(volume, "f");
	uint64_t large = loam_meta_volume_write(volume, ino, 0, 4 << 20);
	uint64_t b = loam_meta_volume_write(volume, ino, 4 << 20, 4096);
	uint64_t c = loam_meta_volume_write(volume, ino, (4 << 20) + 4096, 4096);
	struct loam_chunk old = chunk_of(volume, ino);
	struct loam_compact_plan plan;
	assert_int_equal(loam_compact_select(old.slices, old.slice_count, &plan, &err), 1);
	uint64_t late = loam_meta_volume_write(volume, ino, (4 << 20) + 100, 10);
	uint64_t made;
	assert_int_equal(compact(volume, ino, &old, &plan, &made), 0);

	struct loam_chunk now = chunk_of(volume, ino);
	assert_int_equal(now.slice_count, 3);
	assert_int_equal(now.slices[0].id, large);
	assert_int_equal(now.slices[1].id, made);
	assert_int_equal(now.slices[2].id, late);
	assert_int_equal(loam_meta_volume_deleted(volume, b), 1);
	assert_int_equal(loam_meta_volume_deleted(volume, c), 1);
	assert_int_equal(loam_meta_volume_deleted(volume, large), 0);
	assert_int_equal(loam_meta_volume_recount(volume).slices, 3);
	free(now.slices);
	free(old.slices);
	free(plan.pieces);
}

static void a_changed_prefix_is_a_conflict(void **state)
{
	struct loam_meta_volume *volume = *state;
	struct loam_err err = { 0 };
	uint64_t ino = new_file(volume, "f");
	loam_meta_volume_write(volume, ino, 0, 4096);
	loam_meta_volume_write(volume, ino, 4096, 4096);
	struct loam_chunk old = chunk_of(volume, ino);
	struct loam_compact_plan plan;
	assert_int_equal(loam_compact_select(old.slices, old.slice_count, &plan, &err), 1);
	uint64_t first, second;
	assert_int_equal(compact(volume, ino, &old, &plan, &first), 0);
	assert_int_equal(compact(volume, ino, &old, &plan, &second), -LOAM_E_CONFLICT);
	struct loam_chunk now = chunk_of(volume, ino);
	assert_int_equal(now.slice_count, 1);
	assert_int_equal(now.slices[0].id, first);
	free(now.slices);
	free(old.slices);
	free(plan.pieces);
}

static void a_removed_file_is_not_compacted(void **state)
{
	struct loam_meta_volume *volume = *state;
	struct loam_err err = { 0 };
	uint64_t ino = new_file(volume, "f");
	uint64_t a = loam_meta_volume_write(volume, ino, 0, 4096);
	loam_meta_volume_write(volume, ino, 4096, 4096);
	struct loam_chunk old = chunk_of(volume, ino);
	struct loam_compact_plan plan;
	assert_int_equal(loam_compact_select(old.slices, old.slice_count, &plan, &err), 1);
	assert_int_equal(loam_meta_unlink(volume->meta, &loam_who_root, LOAM_INO_ROOT,
					  loam_name_of("f"), NULL, &err),
			 0);
	uint64_t made;
	assert_int_equal(compact(volume, ino, &old, &plan, &made), -LOAM_E_NOT_FOUND);
	assert_int_equal(loam_meta_volume_deleted(volume, a), 1);
	free(old.slices);
	free(plan.pieces);
}

static void a_shared_slice_outlives_compaction(void **state)
{
	struct loam_meta_volume *volume = *state;
	struct loam_err err = { 0 };
	uint64_t ino = new_file(volume, "f");
	uint64_t a = loam_meta_volume_write(volume, ino, 0, 4096);
	uint64_t b = loam_meta_volume_write(volume, ino, 0, 2048);
	assert_int_equal(loam_meta_clone(volume->meta, &loam_who_root, ino, LOAM_INO_ROOT,
					 loam_name_of("g"), 0, NULL, NULL, NULL, &err),
			 0);
	struct loam_chunk old = chunk_of(volume, ino);
	struct loam_compact_plan plan;
	assert_int_equal(loam_compact_select(old.slices, old.slice_count, &plan, &err), 1);
	uint64_t made;
	assert_int_equal(compact(volume, ino, &old, &plan, &made), 0);
	assert_int_equal(loam_meta_volume_deleted(volume, a), 0);
	assert_int_equal(loam_meta_volume_deleted(volume, b), 0);
	assert_int_equal(loam_meta_unlink(volume->meta, &loam_who_root, LOAM_INO_ROOT,
					  loam_name_of("g"), NULL, &err),
			 0);
	assert_int_equal(loam_meta_volume_deleted(volume, a), 1);
	assert_int_equal(loam_meta_volume_deleted(volume, b), 1);
	assert_int_equal(loam_meta_volume_deleted(volume, made), 0);
	free(old.slices);
	free(plan.pieces);
}

static const struct CMUnitTest tests[] = {
	LOAM_ON_VOLUME(records_become_one_and_slices_go),
	LOAM_ON_VOLUME(a_changed_prefix_is_a_conflict),
	LOAM_ON_VOLUME(a_removed_file_is_not_compacted),
	LOAM_ON_VOLUME(a_shared_slice_outlives_compaction),
};

static int run(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
	return loam_meta_volume_each_engine(run);
}
