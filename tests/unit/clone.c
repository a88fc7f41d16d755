/* Clones of files and trees, over every metadata engine. */
#include "fs/meta/clone.h"
#include "core/auto.h"
#include "core/clock.h"
#include "core/limits.h"
#include "fs/meta/delete_data.h"
#include "tests/support/meta_volume.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct loam_who alice = { .uid = 1000, .gid = 1000, .check = true, .umask = 022 };

static uint64_t make(struct loam_meta_volume *volume, uint64_t parent, const char *name,
		     enum loam_type type, uint16_t mode)
{
	return loam_meta_volume_make(volume, &loam_who_root, parent, name, type, mode);
}

static int clone_as(struct loam_meta_volume *volume, const struct loam_who *who, uint64_t from,
		    const char *name, unsigned flags, struct loam_clone_stats *out_stats)
{
	struct loam_err err = { 0 };
	return loam_meta_clone(volume->meta, who, from, LOAM_INO_ROOT, loam_name_of(name), flags,
			       NULL, NULL, out_stats, &err);
}

static void set_xattr(struct loam_meta_volume *volume, uint64_t ino, const char *name,
		      const char *value)
{
	struct loam_err err = { 0 };
	assert_int_equal(loam_meta_setxattr(volume->meta, &loam_who_root, ino, name, value,
					    strlen(value), 0, &err),
			 0);
}

static bool has_xattr(struct loam_meta_volume *volume, uint64_t ino, const char *name)
{
	struct loam_err err = { 0 };
	loam_auto_buf struct loam_buf value = LOAM_BUF(LOAM_XATTR_VALUE_BYTES_MAX);
	return loam_meta_getxattr(volume->meta, ino, name, &value, &err) == 0;
}

/* 3 directories of 120 files each, every third file with data; symlinks and hard links. */
struct tree {
	uint64_t top, sub, first;
	uint64_t slice; /* of the first file of the first directory */
};

static struct tree make_tree(struct loam_meta_volume *volume, const char *top_name)
{
	struct tree tree = { .top = make(volume, LOAM_INO_ROOT, top_name, LOAM_TYPE_DIR, 0755) };
	struct loam_err err = { 0 };
	struct loam_attr attr;
	uint64_t at = tree.top;
	for (int d = 0; d < 3; d++) {
		at = make(volume, at, "sub", LOAM_TYPE_DIR, 0555);
		for (int f = 0; f < 120; f++) {
			char name[32];
			snprintf(name, sizeof(name), "file%03d", f);
			uint64_t ino = make(volume, at, name, LOAM_TYPE_FILE, 0444);
			uint64_t slice =
				f % 3 == 0 ? loam_meta_volume_write(volume, ino, 0, 5000) : 0;
			if (d == 0 && f == 0) {
				tree.sub = at;
				tree.first = ino;
				tree.slice = slice;
			}
		}
		make(volume, at, "symlink", LOAM_TYPE_SYMLINK, 0777);
		assert_int_equal(loam_meta_link(volume->meta, &loam_who_root, tree.first, at,
						loam_name_of("hard"), &attr, &err),
				 0);
	}
	return tree;
}

static void a_file_is_cloned_with_its_slices(void **state)
{
	struct loam_meta_volume *volume = *state;
	uint64_t ino = make(volume, LOAM_INO_ROOT, "f", LOAM_TYPE_FILE, 0644);
	uint64_t a = loam_meta_volume_write(volume, ino, 0, 1000);
	uint64_t b = loam_meta_volume_write(volume, ino, 2ull * LOAM_CHUNK_BYTES, 1000);
	struct loam_clone_stats stats;
	assert_int_equal(clone_as(volume, &alice, ino, "g", 0, &stats), 0);
	uint64_t made = loam_meta_volume_lookup(volume, LOAM_INO_ROOT, "g");
	assert_int_equal(loam_meta_volume_seen(volume, made, 999).id, a);
	assert_int_equal(loam_meta_volume_seen(volume, made, 2ull * LOAM_CHUNK_BYTES).id, b);
	struct loam_attr attr = loam_meta_volume_attr(volume, made);
	assert_int_equal(attr.uid, 1000);
	assert_int_equal(attr.gid, 1000);
	assert_int_equal(attr.mode, 0644);
	assert_int_equal(stats.files, 1);
	assert_int_equal(stats.bytes, 2ull * LOAM_CHUNK_BYTES + 1000);
	assert_int_equal(loam_meta_volume_recount(volume).references, 4);

	uint64_t later = loam_meta_volume_write(volume, ino, 0, 1000);
	assert_int_equal(loam_meta_volume_seen(volume, made, 0).id, a);
	assert_int_equal(loam_meta_volume_seen(volume, ino, 0).id, later);
	assert_int_equal(clone_as(volume, &alice, ino, "g", 0, NULL), -LOAM_E_EXISTS);
}

static void a_tree_is_cloned_whole(void **state)
{
	struct loam_meta_volume *volume = *state;
	struct tree tree = make_tree(volume, "src");
	struct loam_recount before = loam_meta_volume_recount(volume);
	struct loam_clone_stats stats;
	assert_int_equal(clone_as(volume, &alice, tree.top, "dst", 0, &stats), 0);
	assert_int_equal(stats.dirs, 4);
	assert_int_equal(stats.files, 3 * 122);
	struct loam_recount after = loam_meta_volume_recount(volume);
	assert_int_equal(after.dirs, 2 * before.dirs);
	/* three hard links become three files */
	assert_int_equal(after.files, 2 * before.files + 3);
	assert_int_equal(after.detached, 0);
	assert_int_equal(after.slices, before.slices);

	uint64_t top = loam_meta_volume_lookup(volume, LOAM_INO_ROOT, "dst");
	uint64_t sub = loam_meta_volume_lookup(volume, top, "sub");
	uint64_t first = loam_meta_volume_lookup(volume, sub, "file000");
	assert_int_equal(loam_meta_volume_attr(volume, sub).mode, 0755);
	assert_int_equal(loam_meta_volume_attr(volume, sub).uid, 1000);
	assert_int_equal(loam_meta_volume_attr(volume, first).mode, 0644);
	assert_int_equal(loam_meta_volume_attr(volume, first).nlink, 1);
	assert_int_equal(loam_meta_volume_seen(volume, first, 0).id, tree.slice);
	assert_int_equal(clone_as(volume, &alice, tree.top, "dst", 0, NULL), -LOAM_E_EXISTS);

	struct loam_err err = { 0 };
	assert_int_equal(loam_meta_remove_tree(volume->meta, &loam_who_root, LOAM_INO_ROOT,
					       loam_name_of("src"), &err),
			 0);
	assert_int_equal(loam_meta_volume_deleted(volume, tree.slice), 0);
	assert_int_equal(loam_meta_remove_tree(volume->meta, &alice, LOAM_INO_ROOT,
					       loam_name_of("dst"), &err),
			 0);
	assert_int_equal(loam_meta_volume_deleted(volume, tree.slice), 1);
	assert_int_equal(loam_meta_volume_recount(volume).inodes, 0);
}

static void an_unreadable_child_stops_the_clone(void **state)
{
	struct loam_meta_volume *volume = *state;
	struct tree tree = make_tree(volume, "src");
	make(volume, tree.sub, "secret", LOAM_TYPE_FILE, 0600);
	struct loam_recount before = loam_meta_volume_recount(volume);
	assert_int_equal(clone_as(volume, &alice, tree.top, "dst", 0, NULL), -LOAM_E_DENIED);
	struct loam_recount after = loam_meta_volume_recount(volume);
	assert_int_equal(after.inodes, before.inodes);
	assert_int_equal(after.references, before.references);
	assert_int_equal(after.detached, 0);
	assert_int_equal(loam_meta_volume_lookup(volume, LOAM_INO_ROOT, "dst"), 0);

	make(volume, LOAM_INO_ROOT, "closed", LOAM_TYPE_DIR, 0711);
	uint64_t closed = loam_meta_volume_lookup(volume, LOAM_INO_ROOT, "closed");
	assert_int_equal(clone_as(volume, &alice, closed, "dst", 0, NULL), -LOAM_E_DENIED);
	assert_int_equal(clone_as(volume, &loam_who_root, tree.top, "dst", 0, NULL), 0);
}

static void special_files_are_for_root(void **state)
{
	struct loam_meta_volume *volume = *state;
	uint64_t top = make(volume, LOAM_INO_ROOT, "src", LOAM_TYPE_DIR, 0755);
	make(volume, top, "fifo", LOAM_TYPE_FIFO, 0666);
	assert_int_equal(clone_as(volume, &alice, top, "dst", 0, NULL), -LOAM_E_NOT_PERMITTED);
	assert_int_equal(clone_as(volume, &loam_who_root, top, "dst", 0, NULL), 0);
	assert_int_equal(loam_meta_volume_recount(volume).others, 2);
}

static void the_target_directory_must_let_one_in(void **state)
{
	struct loam_meta_volume *volume = *state;
	struct loam_err err = { 0 };
	uint64_t ino = make(volume, LOAM_INO_ROOT, "f", LOAM_TYPE_FILE, 0644);
	uint64_t tree = make(volume, LOAM_INO_ROOT, "src", LOAM_TYPE_DIR, 0755);
	uint64_t closed = make(volume, LOAM_INO_ROOT, "closed", LOAM_TYPE_DIR, 0755);
	struct loam_who unchecked = alice; /* an ioctl's target is checked whoever checks opens */
	unchecked.check = false;
	uint64_t sources[] = { ino, tree };
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(loam_meta_clone(volume->meta, &unchecked, sources[i], closed,
						 loam_name_of("x"), 0, NULL, NULL, NULL, &err),
				 -LOAM_E_DENIED);
		loam_err_clear(&err);
		assert_int_equal(loam_meta_clone(volume->meta, &alice, sources[i], ino,
						 loam_name_of("x"), 0, NULL, NULL, NULL, &err),
				 -LOAM_E_NOT_DIR);
		loam_err_clear(&err);
		assert_int_equal(loam_meta_clone(volume->meta, &alice, sources[i], 999999,
						 loam_name_of("x"), 0, NULL, NULL, NULL, &err),
				 -LOAM_E_NOT_FOUND);
		loam_err_clear(&err);
	}
}

static int put_capability(struct loam_txn *txn, void *arg, struct loam_err *err)
{
	struct loam_record record = loam_rec_named(LOAM_REC_XATTR, *(uint64_t *)arg,
						   loam_name_of("security.capability"));
	loam_txn_put(txn, &record, "z", 1);
	return 0;
}

static void modes_xattrs_and_flags_follow_the_rules(void **state)
{
	struct loam_meta_volume *volume = *state;
	uint64_t ino = make(volume, LOAM_INO_ROOT, "weights", LOAM_TYPE_FILE, 0444);
	set_xattr(volume, ino, "user.loam.oid", "abc");
	set_xattr(volume, ino, "trusted.loam.x", "y");
	struct loam_err err = { 0 };
	assert_int_equal(loam_meta_run(volume->meta, 0, put_capability, &ino, &err), 0);
	uint64_t program = make(volume, LOAM_INO_ROOT, "program", LOAM_TYPE_FILE, 06555);

	assert_int_equal(clone_as(volume, &alice, ino, "a", 0, NULL), 0);
	uint64_t made = loam_meta_volume_lookup(volume, LOAM_INO_ROOT, "a");
	assert_int_equal(loam_meta_volume_attr(volume, made).mode, 0444);
	assert_true(has_xattr(volume, made, "user.loam.oid"));
	assert_false(has_xattr(volume, made, "trusted.loam.x"));
	assert_false(has_xattr(volume, made, "security.capability"));

	assert_int_equal(clone_as(volume, &alice, ino, "b", LOAM_CLONE_WRITABLE, NULL), 0);
	made = loam_meta_volume_lookup(volume, LOAM_INO_ROOT, "b");
	assert_int_equal(loam_meta_volume_attr(volume, made).mode, 0644);

	assert_int_equal(clone_as(volume, &alice, program, "c", LOAM_CLONE_PRESERVE, NULL), 0);
	made = loam_meta_volume_lookup(volume, LOAM_INO_ROOT, "c");
	assert_int_equal(loam_meta_volume_attr(volume, made).mode, 0555);
	assert_int_equal(loam_meta_volume_attr(volume, made).uid, 1000);

	assert_int_equal(clone_as(volume, &loam_who_root, program, "d", LOAM_CLONE_PRESERVE, NULL),
			 0);
	made = loam_meta_volume_lookup(volume, LOAM_INO_ROOT, "d");
	assert_int_equal(loam_meta_volume_attr(volume, made).mode, 06555);

	assert_int_equal(clone_as(volume, &loam_who_root, ino, "e", 0, NULL), 0);
	made = loam_meta_volume_lookup(volume, LOAM_INO_ROOT, "e");
	assert_true(has_xattr(volume, made, "trusted.loam.x"));
	assert_false(has_xattr(volume, made, "security.capability"));

	assert_int_equal(clone_as(volume, &alice, ino, "s", LOAM_CLONE_SERVICE, NULL), 0);
	made = loam_meta_volume_lookup(volume, LOAM_INO_ROOT, "s");
	assert_int_equal(loam_meta_volume_attr(volume, made).uid, 0);
	assert_int_equal(loam_meta_volume_attr(volume, made).mode, 0444);
}

static void a_gate_without_its_acl_gives_the_group_what_its_entry_said(void **state)
{
	struct loam_meta_volume *volume = *state;
	struct loam_err err = { 0 };
	uint64_t gate = make(volume, LOAM_INO_ROOT, "gate", LOAM_TYPE_DIR, 0700);
	struct loam_acl_entry user = { .id = 1000, .perm = 5 };
	struct loam_acl acl = {
		.owner = 7, .group = 0, .mask = 5, .other = 0, .users = &user, .user_count = 1
	};
	assert_int_equal(loam_meta_set_acl(volume->meta, &loam_who_root, gate, LOAM_ACL_ACCESS,
					   &acl, NULL, &err),
			 0);
	assert_int_equal(clone_as(volume, &alice, gate, "mine", 0, NULL), 0);
	struct loam_attr attr =
		loam_meta_volume_attr(volume,
				      loam_meta_volume_lookup(volume, LOAM_INO_ROOT, "mine"));
	assert_int_equal(attr.access_acl, 0);
	assert_int_equal(attr.mode, 0700);
	struct loam_who bob = { .uid = 1001, .gid = 1001, .check = true };
	assert_int_equal(clone_as(volume, &bob, gate, "his", 0, NULL), -LOAM_E_DENIED);
}

struct patience {
	int left;
};

static bool runs_out(void *arg)
{
	struct patience *patience = arg;
	return patience->left-- <= 0;
}

static void a_cancelled_clone_leaves_nothing(void **state)
{
	struct loam_meta_volume *volume = *state;
	struct tree tree = make_tree(volume, "src");
	struct loam_recount before = loam_meta_volume_recount(volume);
	for (int asked = 0; asked < 9; asked++) {
		struct patience patience = { .left = asked };
		struct loam_err err = { 0 };
		int rc = loam_meta_clone(volume->meta, &alice, tree.top, LOAM_INO_ROOT,
					 loam_name_of("dst"), 0, runs_out, &patience, NULL, &err);
		assert_int_equal(rc, -LOAM_E_INTERRUPTED);
		struct loam_recount after = loam_meta_volume_recount(volume);
		assert_int_equal(after.inodes, before.inodes);
		assert_int_equal(after.references, before.references);
		assert_int_equal(after.detached, 0);
		assert_int_equal(loam_meta_volume_lookup(volume, LOAM_INO_ROOT, "dst"), 0);
	}
}

static void a_file_of_very_many_chunks_is_cloned(void **state)
{
	struct loam_meta_volume *volume = *state;
	uint64_t dir = make(volume, LOAM_INO_ROOT, "src", LOAM_TYPE_DIR, 0755);
	uint64_t ino = make(volume, dir, "large", LOAM_TYPE_FILE, 0644);
	for (uint64_t i = 0; i < 230; i += 10)
		loam_meta_volume_write(volume, ino, i * LOAM_CHUNK_BYTES, 1000);
	uint64_t last = loam_meta_volume_write(volume, ino, 249ull * LOAM_CHUNK_BYTES, 1000);
	make(volume, dir, "small", LOAM_TYPE_FILE, 0644);

	assert_int_equal(clone_as(volume, &alice, ino, "alone", 0, NULL), 0);
	uint64_t made = loam_meta_volume_lookup(volume, LOAM_INO_ROOT, "alone");
	assert_int_equal(loam_meta_volume_seen(volume, made, 249ull * LOAM_CHUNK_BYTES).id, last);
	struct loam_clone_stats stats;
	assert_int_equal(clone_as(volume, &alice, dir, "tree", 0, &stats), 0);
	assert_int_equal(stats.files, 2);
	struct loam_recount count = loam_meta_volume_recount(volume);
	assert_int_equal(count.references, 3 * 24);
	assert_int_equal(count.detached, 0);
	assert_int_equal(clone_as(volume, &alice, ino, "alone", 0, NULL), -LOAM_E_EXISTS);

	struct patience patience = { .left = 1 };
	struct loam_err err = { 0 };
	assert_int_equal(loam_meta_clone(volume->meta, &alice, ino, LOAM_INO_ROOT,
					 loam_name_of("no"), 0, runs_out, &patience, NULL, &err),
			 -LOAM_E_INTERRUPTED);
	assert_int_equal(loam_meta_volume_recount(volume).references, 3 * 24);
}

static void a_tree_can_be_cloned_into_itself(void **state)
{
	struct loam_meta_volume *volume = *state;
	struct loam_err err = { 0 };
	struct loam_who owner = { .uid = 0 };
	struct tree tree = make_tree(volume, "src");
	assert_int_equal(loam_meta_clone(volume->meta, &owner, tree.top, tree.sub,
					 loam_name_of("copy"), 0, NULL, NULL, NULL, &err),
			 0);
	assert_int_equal(loam_meta_volume_recount(volume).dirs, 8);
}

struct writer {
	struct loam_meta_volume *volume;
	struct tree tree;
	_Atomic bool stop;
};

/* Overwrites, truncates and removes in the source, as fast as it can. */
static void *disturb(void *arg)
{
	struct writer *writer = arg;
	struct loam_meta_volume *volume = writer->volume;
	for (unsigned i = 0; !writer->stop && i < 3000; i++) {
		struct loam_err err = { 0 };
		struct loam_attr attr;
		char name[32];
		snprintf(name, sizeof(name), "file%03u", i * 7 % 120);
		uint64_t ino = loam_meta_volume_lookup(volume, writer->tree.sub, name);
		if (ino == 0)
			continue;
		loam_meta_volume_write(volume, ino, 0, 5000);
		loam_meta_truncate(volume->meta, &loam_who_root, ino, i % 2 ? 100 : 9000, true,
				   &attr, &err);
		loam_err_clear(&err);
		loam_clock_sleep_ms(1);
		if (i % 16 == 0)
			loam_meta_unlink(volume->meta, &loam_who_root, writer->tree.sub,
					 loam_name_of(name), NULL, &err);
	}
	return NULL;
}

static void a_source_that_changes_meanwhile_keeps_references_exact(void **state)
{
	struct loam_meta_volume *volume = *state;
	struct writer writer = { .volume = volume, .tree = make_tree(volume, "src") };
	pthread_t thread;
	assert_int_equal(pthread_create(&thread, NULL, disturb, &writer), 0);
	for (int i = 0; i < 5; i++) {
		char name[32];
		snprintf(name, sizeof(name), "dst%d", i);
		int rc = clone_as(volume, &alice, writer.tree.top, name, 0, NULL);
		assert_int_equal(rc, 0);
	}
	writer.stop = true;
	pthread_join(thread, NULL);
	loam_meta_volume_recount(volume);
	for (int i = 0; i < 5; i++) {
		struct loam_err err = { 0 };
		char name[32];
		snprintf(name, sizeof(name), "dst%d", i);
		loam_meta_remove_tree(volume->meta, &loam_who_root, LOAM_INO_ROOT,
				      loam_name_of(name), &err);
	}
}

static int put_detached(struct loam_txn *txn, void *arg, struct loam_err *err)
{
	struct loam_record record = loam_rec(LOAM_REC_DETACHED, *(uint64_t *)arg, 0);
	loam_txn_put(txn, &record, "1000", 4);
	return 0;
}

static void what_a_crash_left_detached_is_removed_after_a_day(void **state)
{
	struct loam_meta_volume *volume = *state;
	struct loam_err err = { 0 };
	struct tree tree = make_tree(volume, "src");
	/* as a crash before the attach leaves it: no name, and a record */
	assert_int_equal(clone_as(volume, &loam_who_root, tree.top, "dst", 0, NULL), 0);
	uint64_t top = loam_meta_volume_lookup(volume, LOAM_INO_ROOT, "dst");
	assert_int_equal(loam_meta_run(volume->meta, 0, put_detached, &top, &err), 0);
	assert_int_equal(loam_clone_discard_stale(volume->meta, top, 999, &err), 0);
	assert_int_not_equal(loam_meta_volume_lookup(volume, top, "sub"), 0); /* not that one */
	assert_int_equal(loam_delete_data_hourly(volume->meta, LOAM_DELETE_FILE_AGE,
						 LOAM_DETACHED_AGE, &err),
			 0);
	assert_int_equal(loam_meta_volume_lookup(volume, top, "sub"), 0);
	/* the test's own fiction: the name that a detached top never has */
	assert_int_equal(loam_meta_rmdir(volume->meta, &loam_who_root, LOAM_INO_ROOT,
					 loam_name_of("dst"), &err),
			 0);
}

static const struct CMUnitTest tests[] = {
	LOAM_ON_VOLUME(a_file_is_cloned_with_its_slices),
	LOAM_ON_VOLUME(a_tree_is_cloned_whole),
	LOAM_ON_VOLUME(an_unreadable_child_stops_the_clone),
	LOAM_ON_VOLUME(special_files_are_for_root),
	LOAM_ON_VOLUME(the_target_directory_must_let_one_in),
	LOAM_ON_VOLUME(modes_xattrs_and_flags_follow_the_rules),
	LOAM_ON_VOLUME(a_gate_without_its_acl_gives_the_group_what_its_entry_said),
	LOAM_ON_VOLUME(a_cancelled_clone_leaves_nothing),
	LOAM_ON_VOLUME(a_file_of_very_many_chunks_is_cloned),
	LOAM_ON_VOLUME(a_tree_can_be_cloned_into_itself),
	LOAM_ON_VOLUME(a_source_that_changes_meanwhile_keeps_references_exact),
	LOAM_ON_VOLUME(what_a_crash_left_detached_is_removed_after_a_day),
};

static int run(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
	return loam_meta_volume_each_engine(run);
}
