/*
 * lfs/objects, lfs/staging and what lfs/lfs offers others: counts of the pool, dropped
 * repositories, sweeps, signs of life (reliability.md L03, L06, L10, R02).
 */
#include "core/auto.h"
#include "core/clock.h"
#include "fs/files.h"
#include "lfs/staging.h"
#include "tests/support/failpoint.h"
#include "tests/support/lfs_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void put(struct loam_lfs_world *world, const char *repo, const char *text,
		char out_oid[LOAM_SHA256_HEX + 1])
{
	loam_lfs_world_oid(text, strlen(text), out_oid);
	assert_int_equal(loam_lfs_world_upload(world, ALICE, repo, text, strlen(text)), 200);
}

static void an_object_leaves_the_pool_with_its_last_holder(void **state)
{
	struct loam_lfs_world *world = *state;
	struct loam_err err = { 0 };
	struct loam_attr attr;
	char shared[LOAM_SHA256_HEX + 1], own[LOAM_SHA256_HEX + 1];
	put(world, "qwen/tiny", "shared", shared);
	put(world, "qwen/other", "shared", shared);
	put(world, "qwen/tiny", "own", own);
	assert_int_equal(loam_lfs_drop_repo(&world->tree, &world->tiny, &err), 0);
	assert_false(loam_lfs_world_pool(world, own, &attr));
	assert_true(loam_lfs_world_pool(world, shared, &attr));
	assert_int_equal(attr.nlink, 2);
	assert_false(loam_lfs_world_holds(world, &world->tiny, shared));
	assert_true(loam_lfs_world_holds(world, &world->other, shared));
	assert_int_equal(loam_lfs_drop_repo(&world->tree, &world->tiny, &err), 0);
	assert_int_equal(loam_lfs_drop_repo(&world->tree, &world->other, &err), 0);
	assert_false(loam_lfs_world_pool(world, shared, &attr));
}

static void a_dropped_repository_can_take_objects_again(void **state)
{
	struct loam_lfs_world *world = *state;
	struct loam_err err = { 0 };
	char oid[LOAM_SHA256_HEX + 1];
	put(world, "qwen/tiny", "first", oid);
	assert_int_equal(loam_lfs_drop_repo(&world->tree, &world->tiny, &err), 0);
	put(world, "qwen/tiny", "first", oid);
	assert_true(loam_lfs_world_holds(world, &world->tiny, oid));
}

static void many_are_found_at_once(void **state)
{
	struct loam_lfs_world *world = *state;
	struct loam_err err = { 0 };
	char oids[3][LOAM_SHA256_HEX + 1];
	put(world, "qwen/tiny", "one", oids[0]);
	put(world, "qwen/other", "two", oids[1]);
	put(world, "qwen/tiny", "three", oids[2]);
	struct loam_object objects[] = { { .oid = oids[0] },
					 { .oid = oids[1], .held = true },
					 { .oid = oids[2] },
					 { .oid = oids[0] } };
	assert_int_equal(loam_objects_find(&world->tree, &world->tiny, objects, 4, &err), 0);
	assert_true(objects[0].held && objects[2].held && objects[3].held);
	assert_false(objects[1].held);
	assert_int_equal(objects[2].bytes, 5);
	struct loam_repo nowhere;
	assert_int_equal(loam_repo_parse("no/where", &nowhere, &err), 0);
	assert_int_equal(loam_objects_find(&world->tree, &nowhere, objects, 4, &err), 0);
	assert_false(objects[0].held);
}

static void only_the_name_of_an_object_is_looked_up(void **state)
{
	struct loam_lfs_world *world = *state;
	struct loam_err err = { 0 };
	uint64_t ino, bytes;
	assert_int_equal(loam_lfs_holds(&world->tree, &world->tiny, "../../etc/passwd", &ino,
					&bytes, &err),
			 -LOAM_E_UNPROCESSABLE);
}

/* A pool file that lost its holder behind our back, as an official client's rm would do it. */
static void a_pool_file_without_holder_is_swept_when_it_is_old(void **state)
{
	struct loam_lfs_world *world = *state;
	struct loam_err err = { 0 };
	char oid[LOAM_SHA256_HEX + 1], held[LOAM_SHA256_HEX + 1], path[LOAM_PATH_BYTES_MAX];
	struct loam_attr attr;
	struct loam_name name;
	uint64_t parent, removed;
	put(world, "qwen/tiny", "lost", oid);
	put(world, "qwen/tiny", "held", held);
	loam_tree_links_path(&world->tree, &world->tiny, path);
	snprintf(path + strlen(path), sizeof(path) - strlen(path), "/%s", oid);
	assert_int_equal(loam_files_parent(&world->volume, path, &parent, &name, &err), 0);
	assert_int_equal(loam_meta_unlink(world->volume.meta, &loam_who_root, parent, name, NULL,
					  &err),
			 0);
	assert_int_equal(loam_lfs_sweep(world->lfs, &err), 0);
	assert_true(loam_lfs_world_pool(world, oid, &attr));
	assert_int_equal(loam_objects_sweep(&world->tree, loam_clock_now().tv_sec + 10, &removed,
					    &err),
			 0);
	assert_int_equal(removed, 1);
	assert_false(loam_lfs_world_pool(world, oid, &attr));
	assert_true(loam_lfs_world_pool(world, held, &attr));
}

/* ---- staging --------------------------------------------------------------------------------- */

static void dead_jobs_are_swept_and_living_ones_are_not(void **state)
{
	struct loam_lfs_world *world = *state;
	struct loam_err err = { 0 };
	struct loam_staging *dead = NULL, *alive = NULL;
	struct loam_job *left = NULL, *living = NULL, *file = NULL;
	uint64_t removed;
	assert_int_equal(loam_staging_open(&world->tree, 3600, &dead, &err), 0);
	assert_int_equal(loam_staging_open(&world->tree, 1, &alive, &err), 0);
	assert_int_equal(loam_job_new(dead, &left, &err), 0); /* a process that gives no sign */
	assert_int_equal(loam_job_new(alive, &living, &err), 0);
	assert_int_equal(loam_job_new_file(alive, &file, &err), 0);
	assert_int_equal(loam_lfs_world_entries(world, "staging"), 3);
	assert_int_equal(loam_staging_sweep(alive, &removed, &err), 0);
	assert_int_equal(removed, 0);

	/* A third server sweeps with a life of one second: what has no sign goes, signs count. */
	struct loam_staging *third = NULL;
	assert_int_equal(loam_staging_open(&world->tree, 1, &third, &err), 0);
	loam_clock_sleep_ms(3100);
	assert_int_equal(loam_staging_sweep(third, &removed, &err), 0);
	assert_int_equal(removed, 1);
	assert_int_equal(loam_lfs_world_entries(world, "staging"), 2);
	loam_job_free(left);
	loam_job_free(living);
	loam_job_free(file);
	loam_staging_close(third);
	loam_staging_close(alive);
	loam_staging_close(dead);
}

/* A process that dies while it removes a repository leaves no half of a tree. */
static void a_tree_is_discarded_at_one_instant(void **state)
{
	struct loam_lfs_world *world = *state;
	struct loam_err err = { 0 };
	struct loam_staging *other = NULL;
	struct loam_attr attr;
	uint64_t ino, removed = 0;
	assert_int_equal(loam_files_mkdirs(&world->volume, "/models/x/y/z", 0, 0, 0755, 0, &ino,
					   &err),
			 0);
	loam_failpoint_set("staging.discarded:error:EIO");
	assert_int_equal(loam_staging_discard(&world->tree, "/models/x", &err), -LOAM_E_IO);
	loam_failpoint_set(NULL);
	loam_err_clear(&err);
	assert_int_equal(loam_files_lookup(&world->volume, "/models/x", &ino, &attr, &err),
			 -LOAM_E_NOT_FOUND);
	loam_err_clear(&err);
	assert_int_equal(loam_lfs_world_entries(world, "staging"), 1);
	assert_int_equal(loam_staging_open(&world->tree, 1, &other, &err), 0);
	for (int i = 0; i < 200 && removed == 0; i++) {
		assert_int_equal(loam_staging_sweep(other, &removed, &err), 0);
		loam_clock_sleep_ms(100);
	}
	assert_int_equal(removed, 1);
	loam_staging_close(other);
	assert_int_equal(loam_staging_discard(&world->tree, "/models/x", &err), 0);
}

/* Another server with a short life takes the upload for dead. */
static void sweep_under_it(void *arg)
{
	struct loam_lfs_world *world = arg;
	struct loam_err err = { 0 };
	char path[LOAM_PATH_BYTES_MAX];
	struct loam_attr attr;
	struct loam_dir *dir = NULL;
	uint64_t ino;
	loam_tree_state_path(&world->tree, "staging", path);
	assert_int_equal(loam_files_lookup(&world->volume, path, &ino, &attr, &err), 0);
	assert_int_equal(loam_meta_opendir(world->volume.meta, ino, false, &dir, &err), 0);
	assert_int_equal(loam_dir_count(dir), 1);
	assert_int_equal(loam_meta_unlink(world->volume.meta, &loam_who_root, ino,
					  loam_dir_at(dir, 0)->name, NULL, &err),
			 0);
	loam_dir_close(dir);
}

static void an_upload_swept_under_way_is_refused_whole(void **state)
{
	struct loam_lfs_world *world = *state;
	const char *data = "held up for too long";
	char oid[LOAM_SHA256_HEX + 1];
	loam_lfs_world_oid(data, strlen(data), oid);
	struct loam_web_reply batch =
		loam_lfs_world_batch(world, ALICE, "qwen/tiny", "upload", oid, strlen(data));
	loam_auto_free char *href = loam_lfs_world_href(&batch, "upload");
	loam_web_reply_release(&batch);
	struct loam_web_reply reply;
	struct loam_web_call call = { .routes = loam_lfs_routes,
				      .context = &world->context,
				      .method = LOAM_PUT,
				      .target = href,
				      .body = data,
				      .body_bytes = strlen(data),
				      .halfway = sweep_under_it,
				      .halfway_arg = world };
	loam_web_drive(&call, &reply);
	assert_true(reply.status >= 500 || reply.status == 404);
	loam_web_reply_release(&reply);
	assert_false(loam_lfs_world_holds(world, &world->tiny, oid));
	call.halfway = NULL;
	loam_web_drive(&call, &reply);
	assert_int_equal(reply.status, 200);
	loam_web_reply_release(&reply);
}

static void a_pool_file_carries_no_sign_of_life(void **state)
{
	struct loam_lfs_world *world = *state;
	struct loam_err err = { 0 };
	struct loam_job *job = NULL;
	struct loam_staging *staging = NULL;
	loam_auto_buf struct loam_buf text = LOAM_BUF(100);
	assert_int_equal(loam_staging_open(&world->tree, 1, &staging, &err), 0);
	assert_int_equal(loam_job_new_file(staging, &job, &err), 0);
	uint64_t ino = loam_job_ino(job);
	loam_clock_sleep_ms(700);
	assert_int_equal(loam_meta_getxattr(world->volume.meta, ino, LOAM_XATTR_ALIVE, &text, &err),
			 0);
	loam_job_seal(job);
	assert_int_equal(loam_meta_removexattr(world->volume.meta, &loam_who_root, ino,
					       LOAM_XATTR_ALIVE, &err),
			 0);
	loam_clock_sleep_ms(700);
	assert_int_equal(loam_meta_getxattr(world->volume.meta, ino, LOAM_XATTR_ALIVE, &text, &err),
			 -LOAM_E_NO_DATA);
	loam_job_free(job);
	loam_staging_close(staging);
}

#define IN_WORLD(test) \
	cmocka_unit_test_setup_teardown(test, loam_lfs_world_setup, loam_lfs_world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_WORLD(an_object_leaves_the_pool_with_its_last_holder),
		IN_WORLD(a_dropped_repository_can_take_objects_again),
		IN_WORLD(many_are_found_at_once),
		IN_WORLD(only_the_name_of_an_object_is_looked_up),
		IN_WORLD(a_pool_file_without_holder_is_swept_when_it_is_old),
		IN_WORLD(dead_jobs_are_swept_and_living_ones_are_not),
		IN_WORLD(a_tree_is_discarded_at_one_instant),
		IN_WORLD(an_upload_swept_under_way_is_refused_whole),
		IN_WORLD(a_pool_file_carries_no_sign_of_life),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
