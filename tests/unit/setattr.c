/*
 * setattr: owners, modes, set-id bits, times, flags; nothing changes when nothing is asked.
 */
#include "core/auto.h"
#include "tests/support/volume.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define ROOT (&loam_who_root)
static const struct loam_who alice = { .uid = 1000, .gid = 1000 };
static const struct loam_who bob = { .uid = 2000, .gid = 2000 };
static const struct loam_who careful_alice = { .uid = 1000, .gid = 1000, .check = true };
static const struct loam_who careful_bob = { .uid = 2000, .gid = 2000, .check = true };

static struct loam_attr set(struct loam_meta *meta, const struct loam_who *who, uint64_t ino,
			    unsigned what, struct loam_attr values)
{
	struct loam_attr attr;
	assert_ok(loam_meta_setattr(meta, who, ino, what, &values, &attr, &err));
	struct loam_attr stored = loam_test_attr(meta, ino);
	assert_int_equal(stored.mode, attr.mode);
	assert_int_equal(stored.uid, attr.uid);
	assert_int_equal(stored.ctime.tv_nsec, attr.ctime.tv_nsec);
	return attr;
}

static void refuse(struct loam_meta *meta, const struct loam_who *who, uint64_t ino, unsigned what,
		   struct loam_attr values, int code)
{
	struct loam_attr attr;
	assert_code(loam_meta_setattr(meta, who, ino, what, &values, &attr, &err), code);
}

static bool same(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static void no_change_touches_no_time(void **state)
{
	struct loam_test_world *world = *state;
	struct loam_meta *meta = world->meta;
	uint64_t ino = loam_test_make(meta, &alice, 1, "f", LOAM_TYPE_FILE, 0640);
	struct loam_attr before = loam_test_attr(meta, ino);
	unsigned all = LOAM_SET_MODE | LOAM_SET_UID | LOAM_SET_GID | LOAM_SET_ATIME |
		       LOAM_SET_MTIME | LOAM_SET_FLAGS;
	struct loam_attr after = set(meta, &alice, ino, all, before);
	assert_true(same(after.ctime, before.ctime));
	after = set(meta, ROOT, ino, LOAM_SET_CTIME, before);
	assert_true(same(after.ctime, before.ctime));
	after = set(meta, ROOT, ino, LOAM_SET_MODE, (struct loam_attr){ .mode = 0600 });
	assert_false(same(after.ctime, before.ctime));
	assert_true(same(after.mtime, before.mtime));
	refuse(meta, ROOT, 4711, LOAM_SET_MODE, before, LOAM_E_NOT_FOUND);
}

static void a_new_owner_clears_set_id_bits(void **state)
{
	static const struct {
		uint16_t before, by_root, by_owner;
	} cases[] = {
		{ 06755, 0755, 0755 },	/* group may execute: both go */
		{ 06744, 02744, 0744 }, /* else setgid is a lock mark that root keeps */
		{ 04700, 0700, 0700 },
		{ 01777, 01777, 01777 },
	};
	struct loam_test_world *world = *state;
	struct loam_meta *meta = world->meta;
	uint32_t groups[] = { 5 };
	struct loam_who owner = { .uid = 1000, .gid = 1000, .groups = groups, .group_count = 1 };
	uint64_t ino = loam_test_make(meta, &owner, 1, "f", LOAM_TYPE_FILE, 0);
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(cases); i++) {
		struct loam_attr mode = { .mode = cases[i].before };
		set(meta, ROOT, ino, LOAM_SET_MODE, mode);
		struct loam_attr after =
			set(meta, ROOT, ino, LOAM_SET_GID, (struct loam_attr){ .gid = 7 });
		assert_int_equal(after.mode, cases[i].by_root);
		set(meta, ROOT, ino, LOAM_SET_MODE, mode);
		after = set(meta, &owner, ino, LOAM_SET_GID, (struct loam_attr){ .gid = 5 });
		assert_int_equal(after.mode, cases[i].by_owner);
		set(meta, ROOT, ino, LOAM_SET_MODE, mode);
		after = set(meta, ROOT, ino, LOAM_SET_UID | LOAM_SET_MODE,
			    (struct loam_attr){ .uid = 1000, .mode = cases[i].before });
		assert_int_equal(after.mode, cases[i].by_root);
	}
	uint64_t dir = loam_test_make(meta, &owner, 1, "d", LOAM_TYPE_DIR, 02755);
	struct loam_attr after = set(meta, ROOT, dir, LOAM_SET_UID, (struct loam_attr){ .uid = 9 });
	assert_int_equal(after.mode, 02755);
}

static void only_the_owner_changes_mode_and_group(void **state)
{
	struct loam_test_world *world = *state;
	struct loam_meta *meta = world->meta;
	uint64_t ino = loam_test_make(meta, &alice, 1, "f", LOAM_TYPE_FILE, 04755);
	refuse(meta, &bob, ino, LOAM_SET_MODE, (struct loam_attr){ .mode = 04777 },
	       LOAM_E_NOT_PERMITTED);
	refuse(meta, &bob, ino, LOAM_SET_MODE, (struct loam_attr){ .mode = 06755 },
	       LOAM_E_NOT_PERMITTED);
	refuse(meta, &bob, ino, LOAM_SET_GID, (struct loam_attr){ .gid = 2000 },
	       LOAM_E_NOT_PERMITTED);
	assert_int_equal(
		set(meta, &bob, ino, LOAM_SET_MODE, (struct loam_attr){ .mode = 0755 }).mode, 0755);
	refuse(meta, &careful_alice, ino, LOAM_SET_GID, (struct loam_attr){ .gid = 42 },
	       LOAM_E_NOT_PERMITTED);
	refuse(meta, &careful_alice, ino, LOAM_SET_UID, (struct loam_attr){ .uid = 42 },
	       LOAM_E_NOT_PERMITTED);
	set(meta, ROOT, ino, LOAM_SET_GID, (struct loam_attr){ .gid = 42 });
	assert_int_equal(set(meta, &careful_alice, ino, LOAM_SET_MODE,
			     (struct loam_attr){ .mode = 02700 })
				 .mode,
			 0700);
}

static void times_are_set_by_those_who_may(void **state)
{
	struct loam_test_world *world = *state;
	struct loam_meta *meta = world->meta;
	uint64_t ino = loam_test_make(meta, &alice, 1, "f", LOAM_TYPE_FILE, 0644);
	uint64_t of_root = loam_test_make(meta, ROOT, 1, "r", LOAM_TYPE_FILE, 0666);
	struct loam_attr times = { .atime = { 1, 2 }, .mtime = { 3, 4 } };
	struct loam_attr after =
		set(meta, &careful_alice, ino, LOAM_SET_ATIME | LOAM_SET_MTIME, times);
	assert_true(same(after.atime, times.atime));
	assert_true(same(after.mtime, times.mtime));
	assert_true(after.ctime.tv_sec > 1000);
	refuse(meta, &careful_bob, ino, LOAM_SET_MTIME_NOW, times, LOAM_E_DENIED);
	refuse(meta, &bob, of_root, LOAM_SET_MTIME, times, LOAM_E_NOT_PERMITTED);
	after = set(meta, &careful_bob, of_root, LOAM_SET_MTIME_NOW | LOAM_SET_ATIME_NOW, times);
	assert_true(after.mtime.tv_sec > 1000);
	struct loam_attr negative = { .mtime = { -1, 0 } };
	after = set(meta, ROOT, ino, LOAM_SET_MTIME, negative);
	assert_true(after.mtime.tv_sec > 1000);
}

static void flags_are_for_owner_and_root(void **state)
{
	struct loam_test_world *world = *state;
	struct loam_meta *meta = world->meta;
	uint64_t ino = loam_test_make(meta, &alice, 1, "f", LOAM_TYPE_FILE, 0666);
	struct loam_attr skip = { .flags = LOAM_FLAG_SKIP_TRASH };
	struct loam_attr lock = { .flags = LOAM_FLAG_IMMUTABLE };
	refuse(meta, &bob, ino, LOAM_SET_FLAGS, skip, LOAM_E_NOT_PERMITTED);
	refuse(meta, &alice, ino, LOAM_SET_FLAGS, lock, LOAM_E_NOT_PERMITTED);
	assert_int_equal(set(meta, &alice, ino, LOAM_SET_FLAGS, skip).flags, LOAM_FLAG_SKIP_TRASH);
	assert_int_equal(set(meta, ROOT, ino, LOAM_SET_FLAGS, lock).flags, LOAM_FLAG_IMMUTABLE);
	set(meta, ROOT, ino, LOAM_SET_FLAGS, (struct loam_attr){ 0 });
}

/* tier, ACL ids and bits of other systems come through a change untouched. */
static void what_others_wrote_is_kept(void **state)
{
	struct loam_test_world *world = *state;
	struct loam_meta *meta = world->meta;
	uint64_t ino = loam_test_make(meta, &alice, 1, "f", LOAM_TYPE_FILE, 0644);
	struct loam_attr attr = loam_test_attr(meta, ino);
	struct loam_engine *engine = loam_test_store_engine(world->store);
	struct loam_err err = { 0 };
	uint8_t bytes[LOAM_ATTR_BYTES_MAX];
	attr.tier = 2;
	attr.flags = 1 << 3;
	struct loam_write write = { .op = LOAM_WRITE_PUT,
				    .record = { .kind = LOAM_REC_ATTR, .id = ino },
				    .data = bytes };
	write.data_bytes = (uint32_t)loam_attr_encode(&attr, bytes);
	assert_int_equal(engine->ops->commit(engine, NULL, 0, &write, 1, 0, NULL, NULL, &err), 1);
	struct loam_attr after =
		set(meta, ROOT, ino, LOAM_SET_MODE, (struct loam_attr){ .mode = 0600 });
	assert_int_equal(after.tier, 2);
	assert_int_equal(after.flags, 1 << 3);
	assert_int_equal(loam_test_attr(meta, ino).tier, 2);
}

static void a_directory_time_is_written_rarely_unless_asked(void **state)
{
	struct loam_test_world *world = *state;
	struct loam_meta_options options = { .skip_dir_mtime_ms = 60000 };
	struct loam_meta *meta = NULL;
	assert_ok(loam_meta_open(loam_test_store_client(world->store), &options, &meta, &err));
	uint64_t dir = loam_test_make(meta, ROOT, 1, "d", LOAM_TYPE_DIR, 0755);
	struct loam_attr before = loam_test_attr(meta, dir);
	loam_test_make(meta, ROOT, dir, "f", LOAM_TYPE_FILE, 0644);
	assert_true(same(loam_test_attr(meta, dir).mtime, before.mtime));
	loam_test_make(meta, ROOT, dir, "d", LOAM_TYPE_DIR, 0644);
	assert_false(same(loam_test_attr(meta, dir).mtime, before.mtime));
	before = loam_test_attr(meta, dir);
	loam_test_make(world->meta, ROOT, dir, "g", LOAM_TYPE_FILE, 0644);
	assert_false(same(loam_test_attr(meta, dir).mtime, before.mtime));
	loam_meta_close(meta);
}

#define test(function) \
	cmocka_unit_test_setup_teardown(function, loam_test_world_open, loam_test_world_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(no_change_touches_no_time),
		test(a_new_owner_clears_set_id_bits),
		test(only_the_owner_changes_mode_and_group),
		test(times_are_set_by_those_who_may),
		test(flags_are_for_owner_and_root),
		test(what_others_wrote_is_kept),
		test(a_directory_time_is_written_rarely_unless_asked),
	};
	return loam_test_world_run(tests, LOAM_ARRAY_COUNT(tests));
}
