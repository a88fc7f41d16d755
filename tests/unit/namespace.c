/*
 * Names: lookup, create, link, unlink, rmdir, readlink, listings, usage, and the trips that each
 * takes.
 */
#include "core/auto.h"
#include "fs/meta/txn.h"
#include "tests/support/volume.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define ROOT (&loam_who_root)
static const struct loam_who alice = { .uid = 1000, .gid = 1000 };
static const struct loam_who bob = { .uid = 2000, .gid = 2000 };
static const struct loam_who careful_bob = { .uid = 2000, .gid = 2000, .check = true };

static struct loam_name name(const char *text)
{
	return loam_name_of(text);
}

static int create(struct loam_meta *meta, const struct loam_who *who, uint64_t parent,
		  struct loam_name child, enum loam_type type, uint64_t *out_ino,
		  struct loam_err *err)
{
	struct loam_create what = { .type = type, .mode = 0755, .target = "target" };
	struct loam_attr attr;
	return loam_meta_create(meta, who, parent, child, &what, out_ino, &attr, err);
}

static void set_mode(struct loam_meta *meta, uint64_t ino, uint16_t mode)
{
	struct loam_attr values = { .mode = mode }, attr;
	assert_ok(loam_meta_setattr(meta, ROOT, ino, LOAM_SET_MODE, &values, &attr, &err));
}

static void set_flags(struct loam_meta *meta, uint64_t ino, uint8_t flags)
{
	struct loam_attr values = { .flags = flags }, attr;
	assert_ok(loam_meta_setattr(meta, ROOT, ino, LOAM_SET_FLAGS, &values, &attr, &err));
}

static void every_type_is_made_and_found(void **state)
{
	struct loam_test_world *world = *state;
	struct loam_meta *meta = world->meta;
	struct loam_who who = { .uid = 7, .gid = 8, .umask = 022 };
	for (enum loam_type type = LOAM_TYPE_FILE; type <= LOAM_TYPE_SOCKET; type++) {
		char text[8];
		struct loam_create what = { .type = type, .mode = 0666, .rdev = 5 };
		struct loam_attr made, found;
		uint64_t ino = 0, seen = 0;
		what.target = "../some\xff where";
		snprintf(text, sizeof(text), "t%d", type);
		assert_ok(loam_meta_create(meta, &who, 1, name(text), &what, &ino, &made, &err));
		assert_ok(loam_meta_lookup(meta, ROOT, 1, name(text), &seen, &found, &err));
		assert_int_equal(seen, ino);
		assert_memory_equal(&made.uid, &found.uid, sizeof(made.uid));
		assert_int_equal(found.type, type);
		assert_int_equal(found.uid, 7);
		assert_int_equal(found.gid, 8);
		assert_int_equal(found.nlink, type == LOAM_TYPE_DIR ? 2 : 1);
		assert_int_equal(found.mode, type == LOAM_TYPE_SYMLINK ? 0777 : 0644);
		assert_int_equal(found.length, type == LOAM_TYPE_DIR	   ? 4096
					       : type == LOAM_TYPE_SYMLINK ? strlen(what.target)
									   : 0);
		assert_int_equal(found.rdev, type >= LOAM_TYPE_FIFO ? 5 : 0);
		assert_int_equal(found.parent, 1);
	}
	assert_int_equal(loam_test_attr(meta, 1).nlink, 3);

	loam_auto_buf struct loam_buf target = LOAM_BUF(4096);
	assert_ok(loam_meta_readlink(meta, loam_test_find(meta, 1, "t3"), &target, &err));
	assert_string_equal(loam_buf_text(&target), "../some\xff where");
	assert_code(loam_meta_readlink(meta, 1, &target, &err), LOAM_E_INVALID);
	assert_code(loam_meta_readlink(meta, 99, &target, &err), LOAM_E_NOT_FOUND);
}

static void names_are_bytes_and_at_most_255(void **state)
{
	struct loam_test_world *world = *state;
	struct loam_meta *meta = world->meta;
	char utf8[256], long_name[257];
	uint64_t ino = 0;
	for (int i = 0; i < 255; i += 3)
		memcpy(utf8 + i, "\xe2\x82\xac", 3);
	memset(long_name, 'x', sizeof(long_name));
	struct loam_name longest = { .data = utf8, .bytes = 255 };
	struct loam_name too_long = { .data = long_name, .bytes = 256 };
	struct loam_name not_text = { .data = "\xff\xfe\n\x01", .bytes = 4 };
	struct loam_name with_nul = { .data = "a\0b", .bytes = 3 };
	struct loam_name composed = name("\xc3\xa9"), decomposed = name("e\xcc\x81");

	assert_ok(create(meta, ROOT, 1, longest, LOAM_TYPE_FILE, &ino, &err));
	assert_code(create(meta, ROOT, 1, longest, LOAM_TYPE_FILE, &ino, &err), LOAM_E_EXISTS);
	assert_ok(create(meta, ROOT, 1, not_text, LOAM_TYPE_FILE, &ino, &err));
	assert_ok(create(meta, ROOT, 1, composed, LOAM_TYPE_FILE, &ino, &err));
	assert_ok(create(meta, ROOT, 1, decomposed, LOAM_TYPE_FILE, &ino, &err));
	assert_code(create(meta, ROOT, 1, too_long, LOAM_TYPE_FILE, &ino, &err),
		    LOAM_E_NAME_TOO_LONG);
	assert_code(create(meta, ROOT, 1, with_nul, LOAM_TYPE_FILE, &ino, &err), LOAM_E_INVALID);
	assert_code(create(meta, ROOT, 1, name("a/b"), LOAM_TYPE_FILE, &ino, &err), LOAM_E_INVALID);
	assert_code(create(meta, ROOT, 1, name(""), LOAM_TYPE_FILE, &ino, &err), LOAM_E_INVALID);
	assert_code(create(meta, ROOT, 1, name("."), LOAM_TYPE_FILE, &ino, &err), LOAM_E_EXISTS);
	assert_code(create(meta, ROOT, 1, name(".."), LOAM_TYPE_DIR, &ino, &err), LOAM_E_EXISTS);
	assert_code(create(meta, ROOT, 1, name(".trash"), LOAM_TYPE_DIR, &ino, &err),
		    LOAM_E_NOT_PERMITTED);
	assert_code(loam_meta_unlink(meta, ROOT, 1, too_long, NULL, &err), LOAM_E_NAME_TOO_LONG);
	assert_ok(loam_meta_unlink(meta, ROOT, 1, not_text, NULL, &err));
	assert_ok(loam_meta_unlink(meta, ROOT, 1, longest, NULL, &err));
}

static void bad_requests_are_refused(void **state)
{
	struct loam_test_world *world = *state;
	struct loam_meta *meta = world->meta;
	loam_auto_free char *target = loam_xcalloc(1, 4097);
	struct loam_create link = { .type = LOAM_TYPE_SYMLINK, .target = target };
	struct loam_attr attr;
	uint64_t ino = 0, file = loam_test_make(meta, ROOT, 1, "file", LOAM_TYPE_FILE, 0644);

	assert_code(create(meta, ROOT, 1, name("x"), 0, &ino, &err), LOAM_E_INVALID);
	assert_code(create(meta, ROOT, 1, name("x"), 8, &ino, &err), LOAM_E_INVALID);
	assert_code(create(meta, ROOT, 777, name("x"), LOAM_TYPE_FILE, &ino, &err),
		    LOAM_E_NOT_FOUND);
	assert_code(create(meta, ROOT, file, name("x"), LOAM_TYPE_FILE, &ino, &err),
		    LOAM_E_NOT_DIR);
	assert_code(create(meta, ROOT, LOAM_INO_TRASH_ROOT, name("x"), LOAM_TYPE_DIR, &ino, &err),
		    LOAM_E_NOT_PERMITTED);
	assert_code(loam_meta_create(meta, ROOT, 1, name("x"), &link, &ino, &attr, &err),
		    LOAM_E_INVALID);
	memset(target, 'x', 4096);
	assert_code(loam_meta_create(meta, ROOT, 1, name("x"), &link, &ino, &attr, &err),
		    LOAM_E_NAME_TOO_LONG);
	target[4095] = '\0';
	assert_ok(loam_meta_create(meta, ROOT, 1, name("x"), &link, &ino, &attr, &err));
	assert_int_equal(attr.length, 4095);
}

static void a_taken_name_answers_what_is_there(void **state)
{
	struct loam_test_world *world = *state;
	struct loam_meta *meta = world->meta;
	for (enum loam_type type = LOAM_TYPE_FILE; type <= LOAM_TYPE_SYMLINK; type++) {
		char text[8];
		snprintf(text, sizeof(text), "t%d", type);
		uint64_t made = loam_test_make(meta, &alice, 1, text, type, 0600), ino = 0;
		struct loam_create what = { .type = LOAM_TYPE_FILE, .mode = 0644 };
		struct loam_attr attr = { 0 };
		assert_code(loam_meta_create(meta, ROOT, 1, name(text), &what, &ino, &attr, &err),
			    LOAM_E_EXISTS);
		assert_int_equal(ino, made);
		assert_int_equal(attr.type, type);
		assert_int_equal(attr.uid, 1000);
	}
}

static void dots_and_trash_are_answered(void **state)
{
	struct loam_test_world *world = *state;
	struct loam_meta *meta = world->meta;
	uint64_t dir = loam_test_make(meta, ROOT, 1, "dir", LOAM_TYPE_DIR, 0755);
	uint64_t sub = loam_test_make(meta, ROOT, dir, "sub", LOAM_TYPE_DIR, 0755);
	struct loam_attr attr;
	uint64_t ino = 0;
	assert_int_equal(loam_test_find(meta, sub, "."), sub);
	assert_int_equal(loam_test_find(meta, sub, ".."), dir);
	assert_int_equal(loam_test_find(meta, dir, ".."), 1);
	assert_int_equal(loam_test_find(meta, 1, ".."), 1);
	assert_ok(loam_meta_lookup(meta, ROOT, 1, name(".trash"), &ino, &attr, &err));
	assert_true(ino == LOAM_INO_TRASH_ROOT);
	assert_int_equal(attr.mode, 0555);
	assert_int_equal(loam_test_find(meta, dir, ".trash"), 0);
}

static void setgid_directories_give_their_group(void **state)
{
	struct loam_test_world *world = *state;
	struct loam_meta *meta = world->meta;
	struct loam_who owner = { .uid = 1, .gid = 50 };
	uint64_t dir = loam_test_make(meta, &owner, 1, "dir", LOAM_TYPE_DIR, 02777);
	uint64_t sub = loam_test_make(meta, &alice, dir, "sub", LOAM_TYPE_DIR, 0755);
	uint64_t file = loam_test_make(meta, &alice, dir, "file", LOAM_TYPE_FILE, 02755);
	uint64_t checked = loam_test_make(meta, &careful_bob, dir, "c", LOAM_TYPE_FILE, 02755);
	assert_int_equal(loam_test_attr(meta, sub).gid, 50);
	assert_int_equal(loam_test_attr(meta, sub).mode, 02755);
	assert_int_equal(loam_test_attr(meta, file).gid, 50);
	assert_int_equal(loam_test_attr(meta, file).mode, 02755);
	assert_int_equal(loam_test_attr(meta, checked).gid, 50);
	assert_int_equal(loam_test_attr(meta, checked).mode, 0755);
}

static void skip_trash_is_inherited(void **state)
{
	struct loam_test_world *world = *state;
	struct loam_meta *meta = world->meta;
	uint64_t dir = loam_test_make(meta, ROOT, 1, "dir", LOAM_TYPE_DIR, 0755);
	set_flags(meta, dir, LOAM_FLAG_SKIP_TRASH);
	uint64_t sub = loam_test_make(meta, ROOT, dir, "sub", LOAM_TYPE_DIR, 0755);
	uint64_t file = loam_test_make(meta, ROOT, sub, "file", LOAM_TYPE_FILE, 0644);
	assert_int_equal(loam_test_attr(meta, file).flags, LOAM_FLAG_SKIP_TRASH);
}

static void unlink_removes_what_has_no_name_left(void **state)
{
	struct loam_test_world *world = *state;
	struct loam_meta *meta = world->meta;
	struct loam_attr attr;
	uint64_t dir = loam_test_make(meta, ROOT, 1, "dir", LOAM_TYPE_DIR, 0755);
	uint64_t file = loam_test_make(meta, ROOT, 1, "file", LOAM_TYPE_FILE, 0644);
	uint64_t link = loam_test_make(meta, ROOT, 1, "link", LOAM_TYPE_SYMLINK, 0);
	loam_test_make(meta, ROOT, 1, "fifo", LOAM_TYPE_FIFO, 0644);
	assert_ok(loam_meta_setxattr(meta, ROOT, file, "user.x", "v", 1, 0, &err));
	assert_code(loam_meta_unlink(meta, ROOT, 1, name("dir"), NULL, &err), LOAM_E_NOT_PERMITTED);
	assert_code(loam_meta_unlink(meta, ROOT, 1, name("none"), NULL, &err), LOAM_E_NOT_FOUND);
	assert_code(loam_meta_unlink(meta, ROOT, 99, name("none"), NULL, &err), LOAM_E_NOT_FOUND);
	assert_ok(loam_meta_unlink(meta, ROOT, 1, name("file"), NULL, &err));
	assert_ok(loam_meta_unlink(meta, ROOT, 1, name("link"), NULL, &err));
	assert_ok(loam_meta_unlink(meta, ROOT, 1, name("fifo"), NULL, &err));
	assert_code(loam_meta_getattr(meta, file, &attr, &err), LOAM_E_NOT_FOUND);
	assert_null(loam_test_text(world->store, loam_rec(LOAM_REC_SYMLINK, link, 0)));
	assert_null(loam_test_text(world->store, loam_rec(LOAM_REC_XATTRS, file, 0)));
	assert_int_equal(loam_test_counter(world->store, "totalInodes"), 1);
	assert_int_equal(loam_test_counter(world->store, "usedSpace"), 4096);
	assert_ok(loam_meta_getattr(meta, dir, &attr, &err));
}

static void rmdir_wants_an_empty_directory(void **state)
{
	struct loam_test_world *world = *state;
	struct loam_meta *meta = world->meta;
	uint64_t dir = loam_test_make(meta, ROOT, 1, "dir", LOAM_TYPE_DIR, 0755);
	loam_test_make(meta, ROOT, dir, "file", LOAM_TYPE_FILE, 0644);
	assert_code(loam_meta_rmdir(meta, ROOT, 1, name("dir"), &err), LOAM_E_NOT_EMPTY);
	assert_code(loam_meta_rmdir(meta, ROOT, dir, name("file"), &err), LOAM_E_NOT_DIR);
	assert_code(loam_meta_rmdir(meta, ROOT, dir, name("."), &err), LOAM_E_INVALID);
	assert_code(loam_meta_rmdir(meta, ROOT, dir, name(".."), &err), LOAM_E_NOT_EMPTY);
	assert_code(loam_meta_rmdir(meta, ROOT, 1, name("none"), &err), LOAM_E_NOT_FOUND);
	assert_ok(loam_meta_unlink(meta, ROOT, dir, name("file"), NULL, &err));
	assert_int_equal(loam_test_attr(meta, 1).nlink, 3);
	assert_ok(loam_meta_rmdir(meta, ROOT, 1, name("dir"), &err));
	assert_int_equal(loam_test_attr(meta, 1).nlink, 2);
	assert_code(loam_meta_rmdir(meta, ROOT, 1, name("dir"), &err), LOAM_E_NOT_FOUND);
	uint64_t ino = 0;
	assert_code(create(meta, ROOT, dir, name("late"), LOAM_TYPE_FILE, &ino, &err),
		    LOAM_E_NOT_FOUND);
}

static void sticky_directories_protect_entries(void **state)
{
	struct loam_test_world *world = *state;
	struct loam_meta *meta = world->meta;
	uint64_t dir = loam_test_make(meta, ROOT, 1, "tmp", LOAM_TYPE_DIR, 01777);
	loam_test_make(meta, &alice, dir, "a", LOAM_TYPE_FILE, 0666);
	loam_test_make(meta, &alice, dir, "d", LOAM_TYPE_DIR, 0777);
	assert_code(loam_meta_unlink(meta, &bob, dir, name("a"), NULL, &err), LOAM_E_DENIED);
	assert_code(loam_meta_rmdir(meta, &bob, dir, name("d"), &err), LOAM_E_DENIED);
	assert_code(loam_meta_rename(meta, &bob, dir, name("a"), dir, name("b"), 0, NULL, &err),
		    LOAM_E_DENIED);
	assert_ok(loam_meta_unlink(meta, &alice, dir, name("a"), NULL, &err));
	assert_ok(loam_meta_rmdir(meta, ROOT, dir, name("d"), &err));
}

static void who_checks_for_itself_needs_rights(void **state)
{
	struct loam_test_world *world = *state;
	struct loam_meta *meta = world->meta;
	uint64_t dir = loam_test_make(meta, ROOT, 1, "dir", LOAM_TYPE_DIR, 0755), ino = 0;
	loam_test_make(meta, ROOT, dir, "file", LOAM_TYPE_FILE, 0644);
	struct loam_attr attr;
	assert_code(create(meta, &careful_bob, dir, name("x"), LOAM_TYPE_FILE, &ino, &err),
		    LOAM_E_DENIED);
	assert_code(loam_meta_unlink(meta, &careful_bob, dir, name("file"), NULL, &err),
		    LOAM_E_DENIED);
	assert_ok(create(meta, &bob, dir, name("x"), LOAM_TYPE_FILE, &ino, &err));
	set_mode(meta, dir, 0700);
	assert_code(loam_meta_lookup(meta, &careful_bob, dir, name("x"), &ino, &attr, &err),
		    LOAM_E_DENIED);
	assert_ok(loam_meta_lookup(meta, &bob, dir, name("x"), &ino, &attr, &err));
	uint32_t groups[] = { 5, 6 };
	struct loam_who member = { .uid = 9, .gid = 9, .groups = groups, .group_count = 2 };
	struct loam_attr values = { .gid = 6 };
	assert_ok(loam_meta_setattr(meta, ROOT, dir, LOAM_SET_GID, &values, &attr, &err));
	set_mode(meta, dir, 0750);
	assert_ok(loam_meta_access(meta, &member, dir, NULL, 5, &err));
	assert_code(loam_meta_access(meta, &member, dir, NULL, 2, &err), LOAM_E_DENIED);
	assert_code(loam_meta_access(meta, &bob, dir, NULL, 1, &err), LOAM_E_DENIED);
}

static void immutable_and_append_lock_names(void **state)
{
	struct loam_test_world *world = *state;
	struct loam_meta *meta = world->meta;
	uint64_t dir = loam_test_make(meta, ROOT, 1, "dir", LOAM_TYPE_DIR, 0755), ino = 0;
	uint64_t file = loam_test_make(meta, ROOT, dir, "file", LOAM_TYPE_FILE, 0644);
	struct loam_attr attr;
	set_flags(meta, dir, LOAM_FLAG_APPEND);
	assert_ok(create(meta, ROOT, dir, name("more"), LOAM_TYPE_FILE, &ino, &err));
	assert_code(loam_meta_unlink(meta, ROOT, dir, name("more"), NULL, &err),
		    LOAM_E_NOT_PERMITTED);
	set_flags(meta, dir, LOAM_FLAG_IMMUTABLE);
	assert_code(create(meta, ROOT, dir, name("x"), LOAM_TYPE_FILE, &ino, &err),
		    LOAM_E_NOT_PERMITTED);
	assert_code(loam_meta_link(meta, ROOT, file, dir, name("x"), &attr, &err),
		    LOAM_E_NOT_PERMITTED);
	assert_code(loam_meta_unlink(meta, ROOT, dir, name("file"), NULL, &err),
		    LOAM_E_NOT_PERMITTED);
	set_flags(meta, dir, 0);
	set_flags(meta, file, LOAM_FLAG_APPEND);
	assert_code(loam_meta_unlink(meta, ROOT, dir, name("file"), NULL, &err),
		    LOAM_E_NOT_PERMITTED);
	assert_code(loam_meta_link(meta, ROOT, file, dir, name("x"), &attr, &err),
		    LOAM_E_NOT_PERMITTED);
	assert_code(loam_meta_rename(meta, ROOT, dir, name("file"), dir, name("y"), 0, NULL, &err),
		    LOAM_E_NOT_PERMITTED);
}

static int64_t count_in(struct loam_test_world *world, uint64_t ino, uint64_t parent)
{
	loam_auto_free char *text =
		loam_test_text(world->store, loam_rec(LOAM_REC_PARENT, ino, parent));
	return text ? strtoll(text, NULL, 10) : -1;
}

static void hard_links_are_counted_in_each_parent(void **state)
{
	struct loam_test_world *world = *state;
	struct loam_meta *meta = world->meta;
	uint64_t dir = loam_test_make(meta, ROOT, 1, "dir", LOAM_TYPE_DIR, 0755);
	uint64_t file = loam_test_make(meta, ROOT, 1, "a", LOAM_TYPE_FILE, 0644);
	struct loam_attr attr;
	assert_ok(loam_meta_link(meta, ROOT, file, 1, name("b"), &attr, &err));
	assert_int_equal(attr.nlink, 2);
	assert_int_equal(attr.parent, 0);
	assert_ok(loam_meta_link(meta, ROOT, file, dir, name("c"), &attr, &err));
	assert_int_equal(count_in(world, file, 1), 2);
	assert_int_equal(count_in(world, file, dir), 1);
	assert_code(loam_meta_link(meta, ROOT, file, dir, name("c"), &attr, &err), LOAM_E_EXISTS);
	assert_code(loam_meta_link(meta, ROOT, dir, 1, name("d"), &attr, &err),
		    LOAM_E_NOT_PERMITTED);
	assert_code(loam_meta_link(meta, ROOT, 999, 1, name("d"), &attr, &err), LOAM_E_NOT_FOUND);
	assert_code(loam_meta_link(meta, ROOT, file, file, name("d"), &attr, &err), LOAM_E_NOT_DIR);
	loam_test_check(world->store);

	assert_ok(loam_meta_unlink(meta, ROOT, 1, name("a"), NULL, &err));
	assert_ok(loam_meta_unlink(meta, ROOT, dir, name("c"), NULL, &err));
	attr = loam_test_attr(meta, file);
	assert_int_equal(attr.nlink, 1);
	assert_int_equal(attr.parent, 0);
	assert_int_equal(count_in(world, file, 1), 1);
	loam_test_check(world->store);
	assert_ok(loam_meta_unlink(meta, ROOT, 1, name("b"), NULL, &err));
	assert_int_equal(count_in(world, file, 1), -1);
}

static void an_open_file_outlives_its_name(void **state)
{
	struct loam_test_world *world = *state;
	struct loam_meta *meta = world->meta;
	struct loam_attr attr;
	uint64_t file = loam_test_make(meta, ROOT, 1, "file", LOAM_TYPE_FILE, 0644);
	uint64_t sid = loam_meta_session(meta);
	loam_meta_opened(meta, file);
	loam_meta_opened(meta, file);
	assert_ok(loam_meta_unlink(meta, ROOT, 1, name("file"), NULL, &err));
	assert_ok(loam_meta_getattr(meta, file, &attr, &err));
	assert_int_equal(attr.nlink, 0);
	assert_int_equal(loam_test_counter(world->store, "totalInodes"), 1);
	loam_auto_free char *held =
		loam_test_text(world->store, loam_rec(LOAM_REC_SUSTAINED, sid, file));
	assert_non_null(held);
	assert_code(loam_meta_link(meta, ROOT, file, 1, name("again"), &attr, &err),
		    LOAM_E_NOT_FOUND);
	loam_meta_released(meta, file);
	assert_ok(loam_meta_getattr(meta, file, &attr, &err));
	loam_meta_released(meta, file);
	assert_code(loam_meta_getattr(meta, file, &attr, &err), LOAM_E_NOT_FOUND);
	assert_int_equal(loam_test_counter(world->store, "totalInodes"), 0);
	assert_int_equal(loam_test_counter(world->store, "usedSpace"), 0);
	assert_null(loam_test_text(world->store, loam_rec(LOAM_REC_SUSTAINED, sid, file)));
}

static void a_released_file_is_not_sustained(void **state)
{
	struct loam_test_world *world = *state;
	struct loam_meta *meta = world->meta;
	uint64_t file = loam_test_make(meta, ROOT, 1, "file", LOAM_TYPE_FILE, 0644);
	struct loam_attr attr;
	loam_meta_opened(meta, file);
	loam_meta_released(meta, file);
	assert_ok(loam_meta_unlink(meta, ROOT, 1, name("file"), NULL, &err));
	assert_code(loam_meta_getattr(meta, file, &attr, &err), LOAM_E_NOT_FOUND);
}

static void a_listing_is_whole_and_sorted(void **state)
{
	struct loam_test_world *world = *state;
	struct loam_meta *meta = world->meta;
	uint64_t dir = loam_test_make(meta, ROOT, 1, "dir", LOAM_TYPE_DIR, 0755);
	uint64_t made[2500];
	for (unsigned i = 0; i < 2500; i++) {
		char text[16];
		snprintf(text, sizeof(text), "n%04u", i);
		made[i] = loam_test_make(meta, ROOT, dir, text,
					 i % 3 ? LOAM_TYPE_FILE : LOAM_TYPE_DIR, 0700);
	}
	for (int with_attrs = 0; with_attrs < 2; with_attrs++) {
		struct loam_dir *list = NULL;
		assert_ok(loam_meta_opendir(meta, dir, with_attrs, &list, &err));
		assert_int_equal(loam_dir_count(list), 2500);
		for (unsigned i = 0; i < 2500; i++) {
			const struct loam_dir_entry *entry = loam_dir_at(list, i);
			assert_int_equal(entry->dentry.ino, made[i]);
			assert_int_equal(entry->name.bytes, 5);
			assert_int_equal(entry->has_attr, with_attrs);
			if (with_attrs)
				assert_int_equal(entry->attr.type, entry->dentry.type);
		}
		loam_dir_close(list);
	}
	struct loam_dir *list = NULL;
	assert_code(loam_meta_opendir(meta, made[1], false, &list, &err), LOAM_E_NOT_DIR);
	assert_code(loam_meta_opendir(meta, 99999, false, &list, &err), LOAM_E_NOT_FOUND);
	assert_ok(loam_meta_opendir(meta, made[0], true, &list, &err));
	assert_int_equal(loam_dir_count(list), 0);
	loam_dir_close(list);
}

/* What the design allows: one trip with parent and entry known, else two. */
static void changes_take_one_trip(void **state)
{
	struct loam_test_world *world = *state;
	struct loam_meta *meta = world->meta;
	struct loam_test_store *store = world->store;
	struct loam_attr attr;
	uint64_t dir = loam_test_make(meta, ROOT, 1, "dir", LOAM_TYPE_DIR, 0755), ino = 0;
	loam_test_find(meta, dir, "file");
	loam_test_store_calls(store);

	assert_ok(create(meta, ROOT, dir, name("file"), LOAM_TYPE_FILE, &ino, &err));
	assert_int_equal(loam_test_store_calls(store), 1);
	assert_ok(create(meta, ROOT, dir, name("never seen"), LOAM_TYPE_FILE, &ino, &err));
	assert_in_range(loam_test_store_calls(store), 1, 2);
	assert_int_equal(loam_test_find(meta, dir, "linked"), 0);
	loam_test_store_calls(store);
	assert_ok(loam_meta_link(meta, ROOT, ino, dir, name("linked"), &attr, &err));
	assert_int_equal(loam_test_store_calls(store), 1);
	assert_ok(loam_meta_rename(meta, ROOT, dir, name("linked"), dir, name("file"), 0, NULL,
				   &err));
	assert_int_equal(loam_test_store_calls(store), 1);
	struct loam_attr values = { .mode = 0600 };
	assert_ok(loam_meta_setattr(meta, ROOT, ino, LOAM_SET_MODE, &values, &attr, &err));
	assert_int_equal(loam_test_store_calls(store), 1);
	assert_ok(loam_meta_setxattr(meta, ROOT, ino, "user.a", "b", 1, 0, &err));
	assert_int_equal(loam_test_store_calls(store), 1);
	assert_ok(loam_meta_unlink(meta, ROOT, dir, name("file"), NULL, &err));
	assert_int_equal(loam_test_store_calls(store), 1);
	assert_ok(loam_meta_unlink(meta, ROOT, dir, name("never seen"), NULL, &err));
	assert_int_equal(loam_test_store_calls(store), 1);
	assert_ok(loam_meta_rmdir(meta, ROOT, 1, name("dir"), &err));
	assert_int_equal(loam_test_store_calls(store), 1);
	assert_int_equal(loam_test_find(meta, 1, "none"), 0);
	assert_in_range(loam_test_store_calls(store), 1, 2);
	loam_test_attr(meta, 1);
	assert_int_equal(loam_test_store_calls(store), 1);
}

/* Another client's changes make the guesses wrong, the results must not be. */
static void stale_guesses_change_nothing(void **state)
{
	struct loam_test_world *world = *state;
	struct loam_meta *mine = world->meta, *other = loam_test_open(world->store);
	uint64_t ino = 0;
	uint64_t dir = loam_test_make(mine, ROOT, 1, "dir", LOAM_TYPE_DIR, 0755);
	assert_int_equal(loam_test_find(mine, dir, "a"), 0);
	uint64_t theirs = loam_test_make(other, ROOT, dir, "a", LOAM_TYPE_FILE, 0644);
	assert_code(create(mine, ROOT, dir, name("a"), LOAM_TYPE_FILE, &ino, &err), LOAM_E_EXISTS);
	assert_int_equal(loam_test_find(mine, dir, "a"), theirs);
	assert_ok(loam_meta_unlink(other, ROOT, dir, name("a"), NULL, &err));
	assert_code(loam_meta_unlink(mine, ROOT, dir, name("a"), NULL, &err), LOAM_E_NOT_FOUND);
	uint64_t again = loam_test_make(other, ROOT, dir, "a", LOAM_TYPE_FILE, 0644);
	assert_ok(loam_meta_unlink(mine, ROOT, dir, name("a"), NULL, &err));
	assert_int_not_equal(again, theirs);
	uint64_t sub = loam_test_make(mine, ROOT, dir, "sub", LOAM_TYPE_DIR, 0755);
	loam_test_make(other, ROOT, sub, "x", LOAM_TYPE_FILE, 0644);
	assert_code(loam_meta_rmdir(mine, ROOT, dir, name("sub"), &err), LOAM_E_NOT_EMPTY);
	loam_meta_close(other);
}

static void the_limits_of_the_volume_hold(void **state)
{
	struct loam_test_world *world = *state;
	uint64_t ino = 0;
	loam_meta_close(world->meta);
	loam_test_format(world->store, ",\"Inodes\":3");
	struct loam_meta *meta = world->meta = loam_test_open(world->store);
	loam_test_make(meta, ROOT, 1, "a", LOAM_TYPE_FILE, 0644);
	loam_test_make(meta, ROOT, 1, "b", LOAM_TYPE_DIR, 0644);
	loam_test_make(meta, ROOT, 1, "c", LOAM_TYPE_SYMLINK, 0644);
	assert_code(create(meta, ROOT, 1, name("d"), LOAM_TYPE_FILE, &ino, &err), LOAM_E_NO_SPACE);
	assert_ok(loam_meta_unlink(meta, ROOT, 1, name("a"), NULL, &err));
	struct loam_statfs stat;
	assert_ok(loam_meta_statfs(meta, &stat, &err));
	assert_int_equal(stat.used_inodes, 2);
	assert_int_equal(stat.avail_inodes, 1);
	assert_ok(create(meta, ROOT, 1, name("d"), LOAM_TYPE_FILE, &ino, &err));
	loam_meta_close(meta);

	loam_test_format(world->store, ",\"Capacity\":16384");
	meta = world->meta = loam_test_open(world->store);
	assert_ok(create(meta, ROOT, 1, name("e"), LOAM_TYPE_FILE, &ino, &err));
	assert_code(create(meta, ROOT, 1, name("f"), LOAM_TYPE_FILE, &ino, &err), LOAM_E_NO_SPACE);
	assert_ok(loam_meta_statfs(meta, &stat, &err));
	assert_int_equal(stat.total_bytes, 16384);
	assert_int_equal(stat.avail_bytes, 0);
}

static void two_clients_never_share_a_number(void **state)
{
	struct loam_test_world *world = *state;
	struct loam_meta *clients[2] = { world->meta, loam_test_open(world->store) };
	loam_auto_free uint8_t *seen = loam_xcalloc(20001, 1);
	struct loam_err err = { 0 };
	for (unsigned i = 0; i < 6000; i++) {
		uint64_t ino = 0, slice = 0;
		assert_int_equal(loam_meta_new_inode(clients[i % 2], &ino, &err), 0);
		assert_int_equal(loam_meta_new_slice(clients[i % 2], &slice, &err), 0);
		assert_in_range(ino, 2, 20000);
		assert_in_range(slice, 1, 20000);
		assert_false(seen[ino] & 1);
		assert_false(seen[slice] & 2);
		seen[ino] |= 1;
		seen[slice] |= 2;
	}
	loam_meta_close(clients[1]);
}

/* A seeded mix of operations of two clients in a few directories; teardown recounts. */
static void usage_is_exact_after_anything(void **state)
{
	struct loam_test_world *world = *state;
	struct loam_meta *clients[2] = { world->meta, loam_test_open(world->store) };
	unsigned seed = (unsigned)time(NULL);
	const char *forced = getenv("LOAM_TEST_SEED");
	if (forced)
		seed = (unsigned)strtoul(forced, NULL, 10);
	print_message("seed %u\n", seed);
	uint64_t dirs[4] = { 1 }, open = 0;
	for (int i = 1; i < 4; i++) {
		char text[16];
		snprintf(text, sizeof(text), "dir%d", i);
		dirs[i] = loam_test_make(clients[0], ROOT, dirs[i - 1], text, LOAM_TYPE_DIR, 0777);
	}
	for (unsigned i = 0; i < 3000; i++) {
		struct loam_meta *meta = clients[rand_r(&seed) % 2];
		uint64_t from = dirs[rand_r(&seed) % 4], to = dirs[rand_r(&seed) % 4], ino = 0;
		char one[4] = { (char)('a' + rand_r(&seed) % 8) };
		char two[4] = { (char)('a' + rand_r(&seed) % 8) };
		struct loam_err err = { 0 };
		struct loam_attr attr;
		switch (rand_r(&seed) % 9) {
		case 0:
		case 1:
			create(meta, ROOT, from, name(one), (int)(1 + rand_r(&seed) % 7), &ino,
			       &err);
			break;
		case 2:
			loam_meta_unlink(meta, ROOT, from, name(one), NULL, &err);
			break;
		case 3:
			loam_meta_rmdir(meta, ROOT, from, name(one), &err);
			break;
		case 4:
		case 5:
			ino = loam_test_find(meta, from, one);
			if (ino)
				loam_meta_link(meta, ROOT, ino, to, name(two), &attr, &err);
			break;
		case 6:
			ino = loam_test_find(clients[0], from, one);
			if (open)
				loam_meta_released(clients[0], open);
			open = ino;
			if (open)
				loam_meta_opened(clients[0], open);
			break;
		default:
			loam_meta_rename(meta, ROOT, from, name(one), to, name(two),
					 (unsigned)rand_r(&seed) % 3, NULL, &err);
		}
		if (i % 500 == 0)
			loam_test_check(world->store);
	}
	if (open)
		loam_meta_released(clients[0], open);
	loam_meta_close(clients[1]);
}

#define test(function) \
	cmocka_unit_test_setup_teardown(function, loam_test_world_open, loam_test_world_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(every_type_is_made_and_found),
		test(names_are_bytes_and_at_most_255),
		test(bad_requests_are_refused),
		test(a_taken_name_answers_what_is_there),
		test(dots_and_trash_are_answered),
		test(setgid_directories_give_their_group),
		test(skip_trash_is_inherited),
		test(unlink_removes_what_has_no_name_left),
		test(rmdir_wants_an_empty_directory),
		test(sticky_directories_protect_entries),
		test(who_checks_for_itself_needs_rights),
		test(immutable_and_append_lock_names),
		test(hard_links_are_counted_in_each_parent),
		test(an_open_file_outlives_its_name),
		test(a_released_file_is_not_sustained),
		test(a_listing_is_whole_and_sorted),
		test(changes_take_one_trip),
		test(stale_guesses_change_nothing),
		test(the_limits_of_the_volume_hold),
		test(two_clients_never_share_a_number),
		test(usage_is_exact_after_anything),
	};
	return loam_test_world_run(tests, LOAM_ARRAY_COUNT(tests));
}
