/* Removal of trees, over every metadata engine. */
#include "core/auto.h"
#include "tests/support/meta_volume.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static uint64_t make(struct loam_meta_volume *volume, uint64_t parent, const char *name,
		     enum loam_type type)
{
	return loam_meta_volume_make(volume, &loam_who_root, parent, name, type, 0755);
}

static int remove_it(struct loam_meta_volume *volume, const struct loam_who *who, const char *name)
{
	struct loam_err err = { 0 };
	return loam_meta_remove_tree(volume->meta, who, LOAM_INO_ROOT, loam_name_of(name), &err);
}

static void a_tree_of_everything_goes(void **state)
{
	struct loam_meta_volume *volume = *state;
	struct loam_err err = { 0 };
	struct loam_attr attr;
	uint64_t top = make(volume, LOAM_INO_ROOT, "top", LOAM_TYPE_DIR);
	uint64_t kept = make(volume, LOAM_INO_ROOT, "kept", LOAM_TYPE_FILE);
	uint64_t slice = 0;
	for (int d = 0; d < 5; d++) {
		char name[32];
		snprintf(name, sizeof(name), "dir%d", d);
		uint64_t dir = make(volume, top, name, LOAM_TYPE_DIR);
		for (int f = 0; f < 130; f++) {
			snprintf(name, sizeof(name), "file%d", f);
			uint64_t ino = make(volume, dir, name, LOAM_TYPE_FILE);
			if (f == 0)
				slice = loam_meta_volume_write(volume, ino, 0, 100);
		}
		make(volume, dir, "symlink", LOAM_TYPE_SYMLINK);
		make(volume, dir, "fifo", LOAM_TYPE_FIFO);
		snprintf(name, sizeof(name), "link%d", d);
		assert_int_equal(loam_meta_link(volume->meta, &loam_who_root, kept, top,
						loam_name_of(name), &attr, &err),
				 0);
	}
	assert_int_equal(loam_meta_volume_attr(volume, kept).nlink, 6);
	loam_meta_volume_recount(volume);
	assert_int_equal(remove_it(volume, &loam_who_root, "top"), 0);
	assert_int_equal(loam_meta_volume_lookup(volume, LOAM_INO_ROOT, "top"), 0);
	assert_int_equal(loam_meta_volume_attr(volume, kept).nlink, 1);
	assert_int_equal(loam_meta_volume_deleted(volume, slice), 1);
	struct loam_recount count = loam_meta_volume_recount(volume);
	assert_int_equal(count.inodes, 1);
}

static void a_deep_tree_goes(void **state)
{
	struct loam_meta_volume *volume = *state;
	uint64_t at = make(volume, LOAM_INO_ROOT, "top", LOAM_TYPE_DIR);
	for (int i = 0; i < 300; i++)
		at = make(volume, at, "d", LOAM_TYPE_DIR);
	assert_int_equal(remove_it(volume, &loam_who_root, "top"), 0);
	assert_int_equal(loam_meta_volume_recount(volume).inodes, 0);
}

static void a_file_and_what_is_missing(void **state)
{
	struct loam_meta_volume *volume = *state;
	make(volume, LOAM_INO_ROOT, "f", LOAM_TYPE_FILE);
	assert_int_equal(remove_it(volume, &loam_who_root, "f"), 0);
	assert_int_equal(remove_it(volume, &loam_who_root, "f"), -LOAM_E_NOT_FOUND);
	assert_int_equal(remove_it(volume, &loam_who_root, ".."), -LOAM_E_INVALID);
}

static void links_of_one_inode_in_one_batch_add_up(void **state)
{
	struct loam_meta_volume *volume = *state;
	struct loam_err err = { 0 };
	struct loam_attr attr;
	uint64_t top = make(volume, LOAM_INO_ROOT, "top", LOAM_TYPE_DIR);
	uint64_t ino = make(volume, top, "a", LOAM_TYPE_FILE);
	uint64_t slice = loam_meta_volume_write(volume, ino, 0, 100);
	for (int i = 0; i < 10; i++) {
		char name[32];
		snprintf(name, sizeof(name), "link%d", i);
		assert_int_equal(loam_meta_link(volume->meta, &loam_who_root, ino, top,
						loam_name_of(name), &attr, &err),
				 0);
	}
	assert_int_equal(remove_it(volume, &loam_who_root, "top"), 0);
	assert_int_equal(loam_meta_volume_deleted(volume, slice), 1);
	assert_int_equal(loam_meta_volume_recount(volume).inodes, 0);
}

static void what_one_may_not_remove_stays(void **state)
{
	struct loam_meta_volume *volume = *state;
	struct loam_who who = { .uid = 1000, .gid = 1000, .check = true };
	uint64_t top = loam_meta_volume_make(volume, &loam_who_root, LOAM_INO_ROOT, "top",
					     LOAM_TYPE_DIR, 0777);
	uint64_t closed = make(volume, top, "closed", LOAM_TYPE_DIR);
	make(volume, closed, "f", LOAM_TYPE_FILE);
	assert_int_equal(remove_it(volume, &who, "top"), -LOAM_E_DENIED);
	assert_int_not_equal(loam_meta_volume_lookup(volume, closed, "f"), 0);
	uint64_t sticky = loam_meta_volume_make(volume, &loam_who_root, LOAM_INO_ROOT, "sticky",
						LOAM_TYPE_DIR, 01777);
	make(volume, sticky, "f", LOAM_TYPE_FILE);
	assert_int_equal(remove_it(volume, &who, "sticky"), -LOAM_E_DENIED);
	assert_int_not_equal(loam_meta_volume_lookup(volume, sticky, "f"), 0);
}

struct creator {
	struct loam_meta_volume *volume;
	uint64_t dir;
	_Atomic bool stop;
};

static void *create_meanwhile(void *arg)
{
	struct creator *creator = arg;
	for (int i = 0; i < 200 && !creator->stop; i++) {
		struct loam_create create = { .type = LOAM_TYPE_FILE, .mode = 0644 };
		struct loam_err err = { 0 };
		struct loam_attr attr;
		uint64_t ino;
		char name[32];
		snprintf(name, sizeof(name), "new%d", i);
		if (loam_meta_create(creator->volume->meta, &loam_who_root, creator->dir,
				     loam_name_of(name), &create, &ino, &attr, &err) < 0)
			break; /* the directory is gone */
	}
	return NULL;
}

static void creating_meanwhile_leaves_no_orphans(void **state)
{
	struct loam_meta_volume *volume = *state;
	uint64_t top = make(volume, LOAM_INO_ROOT, "top", LOAM_TYPE_DIR);
	for (int i = 0; i < 150; i++) {
		char name[32];
		snprintf(name, sizeof(name), "file%d", i);
		make(volume, top, name, LOAM_TYPE_FILE);
	}
	struct creator creator = { .volume = volume, .dir = top };
	pthread_t thread;
	assert_int_equal(pthread_create(&thread, NULL, create_meanwhile, &creator), 0);
	int rc = remove_it(volume, &loam_who_root, "top");
	creator.stop = true;
	pthread_join(thread, NULL);
	if (rc == -LOAM_E_NOT_EMPTY)
		rc = remove_it(volume, &loam_who_root, "top");
	assert_int_equal(rc, 0);
	assert_int_equal(loam_meta_volume_recount(volume).inodes, 0);
}

static const struct CMUnitTest tests[] = {
	LOAM_ON_VOLUME(a_tree_of_everything_goes),
	LOAM_ON_VOLUME(a_deep_tree_goes),
	LOAM_ON_VOLUME(a_file_and_what_is_missing),
	LOAM_ON_VOLUME(links_of_one_inode_in_one_batch_add_up),
	LOAM_ON_VOLUME(what_one_may_not_remove_stays),
	LOAM_ON_VOLUME(creating_meanwhile_leaves_no_orphans),
};

static int run(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
	return loam_meta_volume_each_engine(run);
}
