/*
 * fs/files: paths and whole files for the service, without following a symlink anywhere.
 */
#include "fs/files.h"

#include "auth/tree.h"
#include "core/auto.h"
#include "tests/support/tree_world.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/volume.h"

#define ROOT "/.loam/etc"

static struct loam_volume *volume_of(void **state)
{
	struct loam_tree_world *world = *state;
	return &world->volume;
}

static uint64_t ino_of(struct loam_volume *volume, const char *path)
{
	struct loam_attr attr;
	uint64_t ino;
	assert_ok(loam_files_lookup(volume, path, &ino, &attr, &err));
	return ino;
}

static int replace(struct loam_volume *volume, uint64_t expected, const char *text)
{
	struct loam_err err = { 0 };
	return -loam_files_replace(volume, ROOT "/f", expected, 0, 0, 0600, text, strlen(text),
				   &err);
}

static void a_replacement_counts_only_on_what_was_expected(void **state)
{
	struct loam_volume *volume = volume_of(state);
	assert_int_equal(replace(volume, 7, "x"), LOAM_E_CONFLICT);
	assert_int_equal(replace(volume, 0, "first"), 0);
	uint64_t first = ino_of(volume, ROOT "/f");
	assert_int_equal(replace(volume, 0, "x"), LOAM_E_CONFLICT);
	assert_int_equal(replace(volume, first + 1000, "x"), LOAM_E_CONFLICT);
	assert_int_equal(replace(volume, first, "second"), 0);
	assert_int_equal(replace(volume, first, "x"), LOAM_E_CONFLICT);
	assert_int_not_equal(ino_of(volume, ROOT "/f"), first);
	loam_auto_free char *text = loam_tree_world_text(*state, ROOT "/f");
	assert_string_equal(text, "second");
	/* what failed leaves nothing: f, keys */
	assert_int_equal(loam_tree_world_entries(*state, ROOT), 2);
}

struct counter {
	struct loam_volume *volume;
	unsigned added;
};

/* Adds one byte to the file, 20 times, each time beginning from what is there. */
static void *add_bytes(void *arg)
{
	struct counter *counter = arg;
	for (unsigned done = 0; done < 20;) {
		struct loam_err err = { 0 };
		struct loam_attr attr;
		uint64_t ino;
		loam_auto_buf struct loam_buf text = LOAM_BUF(1000);
		int rc = loam_files_lookup(counter->volume, ROOT "/f", &ino, &attr, &err);
		if (rc == 0)
			rc = loam_files_read_ino(counter->volume, ino, &text, &err);
		if (rc == 0)
			rc = loam_buf_add_text(&text, "x", &err);
		if (rc == 0)
			rc = loam_files_replace(counter->volume, ROOT "/f", ino, 0, 0, 0600,
						text.data, text.bytes, &err);
		done += rc == 0;
		loam_assert(rc == 0 || rc == -LOAM_E_CONFLICT || rc == -LOAM_E_NOT_FOUND);
	}
	return NULL;
}

static void of_many_at_once_every_change_holds(void **state)
{
	struct counter counter = { .volume = volume_of(state) };
	pthread_t threads[3];
	assert_int_equal(replace(counter.volume, 0, ""), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, add_bytes, &counter), 0);
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	loam_auto_free char *text = loam_tree_world_text(*state, ROOT "/f");
	assert_int_equal(strlen(text), 60);
	assert_int_equal(strspn(text, "x"), 60);
	assert_int_equal(loam_tree_world_entries(*state, ROOT), 2);
}

/* Between the name and its bytes the inode may go: that is "not found", never other bytes. */
static void a_file_removed_before_it_is_read_is_not_found(void **state)
{
	struct loam_volume *volume = volume_of(state);
	loam_auto_buf struct loam_buf text = LOAM_BUF(1000);
	assert_int_equal(replace(volume, 0, "first"), 0);
	uint64_t first = ino_of(volume, ROOT "/f");
	assert_int_equal(replace(volume, first, "second"), 0);
	assert_code(loam_files_read_ino(volume, first, &text, &err), LOAM_E_NOT_FOUND);
	assert_int_equal(text.bytes, 0);
}

static void a_symlink_on_the_way_is_not_followed(void **state)
{
	struct loam_volume *volume = volume_of(state);
	struct loam_attr attr;
	uint64_t ino;
	loam_auto_buf struct loam_buf text = LOAM_BUF(1000);
	loam_test_make(volume->meta, &loam_who_root, ino_of(volume, ROOT), "link",
		       LOAM_TYPE_SYMLINK, 0777);
	assert_ok(loam_files_lookup(volume, ROOT "/link", &ino, &attr, &err));
	assert_int_equal(attr.type, LOAM_TYPE_SYMLINK);
	assert_code(loam_files_lookup(volume, ROOT "/link/f", &ino, &attr, &err), LOAM_E_LOOP);
	assert_code(loam_files_read(volume, ROOT "/link/f", &text, &err), LOAM_E_LOOP);
	assert_code(loam_files_read(volume, ROOT "/link", &text, &err), LOAM_E_INVALID);
	assert_code(loam_files_mkdirs(volume, ROOT "/link/d", 0, 0, 0755, 0, &ino, &err),
		    LOAM_E_LOOP);
	assert_code(loam_files_write(volume, ROOT "/link/f", 0, 0, 0600, "x", 1, &err),
		    LOAM_E_NOT_DIR);
	/* a symlink at the place itself is replaced, not written through */
	assert_ok(loam_files_write(volume, ROOT "/link", 0, 0, 0600, "x", 1, &err));
	assert_ok(loam_files_lookup(volume, ROOT "/link", &ino, &attr, &err));
	assert_int_equal(attr.type, LOAM_TYPE_FILE);
}

static void what_is_no_path_is_refused(void **state)
{
	struct loam_volume *volume = volume_of(state);
	struct loam_attr attr;
	uint64_t ino;
	char name[300], path[400];
	memset(name, 'x', sizeof(name));
	name[256] = '\0';
	snprintf(path, sizeof(path), ROOT "/%s", name);
	assert_code(loam_files_lookup(volume, path, &ino, &attr, &err), LOAM_E_NAME_TOO_LONG);
	assert_code(loam_files_write(volume, path, 0, 0, 0600, "x", 1, &err), LOAM_E_NAME_TOO_LONG);
	path[strlen(path) - 1] = '\0';
	assert_ok(loam_files_write(volume, path, 0, 0, 0600, "x", 1, &err));
	assert_code(loam_files_lookup(volume, ROOT "/../etc", &ino, &attr, &err), LOAM_E_INVALID);
	assert_code(loam_files_write(volume, ROOT "/..", 0, 0, 0600, "x", 1, &err), LOAM_E_INVALID);
	assert_code(loam_files_write(volume, ROOT "/.", 0, 0, 0600, "x", 1, &err), LOAM_E_INVALID);
	assert_code(loam_files_write(volume, ROOT "/f/", 0, 0, 0600, "x", 1, &err), LOAM_E_INVALID);
	assert_code(loam_files_write(volume, "f", 0, 0, 0600, "x", 1, &err), LOAM_E_INVALID);
	assert_code(loam_files_lookup(volume, ROOT "/none/f", &ino, &attr, &err), LOAM_E_NOT_FOUND);
	assert_ok(loam_files_write(volume, ROOT "/f", 0, 0, 0600, "x", 1, &err));
	assert_code(loam_files_lookup(volume, ROOT "/f/g", &ino, &attr, &err), LOAM_E_NOT_DIR);
	assert_code(loam_files_mkdirs(volume, ROOT "/f", 0, 0, 0755, 0, &ino, &err),
		    LOAM_E_NOT_DIR);
	assert_ok(loam_files_lookup(volume, "//.loam//etc/", &ino, &attr, &err));
	assert_ok(loam_files_lookup(volume, "/", &ino, &attr, &err));
	assert_int_equal(ino, LOAM_INO_ROOT);
	assert_int_equal(attr.type, LOAM_TYPE_DIR);
}

static void a_directory_in_the_place_of_a_file_stays(void **state)
{
	struct loam_volume *volume = volume_of(state);
	uint64_t ino;
	assert_ok(loam_files_mkdirs(volume, ROOT "/d/below", 5, 6, 0750, 0, &ino, &err));
	assert_code(loam_files_write(volume, ROOT "/d", 0, 0, 0600, "x", 1, &err), LOAM_E_IS_DIR);
	assert_int_equal(loam_tree_world_entries(*state, ROOT "/d"), 1);
	assert_int_equal(loam_tree_world_entries(*state, ROOT), 2);
	assert_ok(loam_files_remove(volume, ROOT "/d", &err));
	assert_ok(loam_files_remove(volume, ROOT "/d", &err));
	assert_ok(loam_files_remove(volume, ROOT "/d/below/x", &err));
	assert_int_equal(loam_tree_world_entries(*state, ROOT), 1);
}

static void a_big_file_is_read_as_it_was_written_up_to_the_readers_limit(void **state)
{
	struct loam_volume *volume = volume_of(state);
	const size_t bytes = (66u << 20) + 13; /* two chunks */
	loam_auto_free uint8_t *data = loam_xcalloc(bytes, 1);
	for (size_t i = 0; i < bytes; i += 7)
		data[i] = (uint8_t)(i >> 5);
	assert_ok(loam_files_write(volume, ROOT "/f", 0, 0, 0600, data, bytes, &err));
	loam_auto_buf struct loam_buf text = LOAM_BUF(bytes);
	assert_ok(loam_files_read(volume, ROOT "/f", &text, &err));
	assert_int_equal(text.bytes, bytes);
	assert_memory_equal(text.data, data, bytes);
	loam_auto_buf struct loam_buf little = LOAM_BUF(bytes - 1);
	assert_code(loam_files_read(volume, ROOT "/f", &little, &err), LOAM_E_TOO_LARGE);
}

static void owner_and_mode_are_those_that_were_asked_for(void **state)
{
	struct loam_volume *volume = volume_of(state);
	struct loam_attr attr;
	uint64_t ino;
	assert_ok(loam_files_write(volume, ROOT "/f", 5, 6, 0640, NULL, 0, &err));
	assert_ok(loam_files_lookup(volume, ROOT "/f", &ino, &attr, &err));
	assert_int_equal(attr.uid, 5);
	assert_int_equal(attr.gid, 6);
	assert_int_equal(attr.mode, 0640);
	assert_int_equal(attr.length, 0);
	assert_ok(loam_files_mkdirs(volume, ROOT "/a/b", 5, 6, 0750, LOAM_FLAG_SKIP_TRASH, &ino,
				    &err));
	assert_ok(loam_files_lookup(volume, ROOT "/a", &ino, &attr, &err));
	assert_int_equal(attr.uid, 5);
	assert_int_equal(attr.flags & LOAM_FLAG_SKIP_TRASH, LOAM_FLAG_SKIP_TRASH);
}

static const char *const three[] = { "one", "missing", "two" };

static void look(struct loam_volume *volume, struct loam_files_trail *trail, uint64_t out[3])
{
	assert_ok(loam_files_inos(volume, ROOT "/d", three, 3, trail, out, &err));
}

static void names_of_a_directory_are_found_together_wherever_it_moves(void **state)
{
	struct loam_volume *volume = volume_of(state);
	struct loam_files_trail trail = { 0 };
	uint64_t inos[3], ino;
	look(volume, &trail, inos);
	assert_true(inos[0] == 0 && inos[1] == 0 && inos[2] == 0);
	for (int round = 0; round < 3; round++) {
		assert_ok(loam_files_mkdirs(volume, ROOT "/d", 0, 0, 0700, 0, &ino, &err));
		assert_ok(loam_files_write(volume, ROOT "/d/one", 0, 0, 0600, "1", 1, &err));
		look(volume, &trail, inos);
		assert_int_equal(inos[0], ino_of(volume, ROOT "/d/one"));
		assert_true(inos[1] == 0 && inos[2] == 0);
		assert_ok(loam_files_write(volume, ROOT "/d/two", 0, 0, 0600, "2", 1, &err));
		look(volume, &trail, inos);
		assert_int_equal(inos[2], ino_of(volume, ROOT "/d/two"));
		assert_ok(loam_files_remove(volume, ROOT "/d", &err));
		look(volume, &trail, inos);
		assert_true(inos[0] == 0 && inos[1] == 0 && inos[2] == 0);
	}
	assert_ok(loam_files_write(volume, ROOT "/d", 0, 0, 0600, "3", 1, &err));
	assert_code(loam_files_inos(volume, ROOT "/d", three, 3, &trail, inos, &err),
		    LOAM_E_NOT_DIR);
}

#define TEST(name) \
	cmocka_unit_test_setup_teardown(name, loam_tree_world_setup, loam_tree_world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_replacement_counts_only_on_what_was_expected),
		TEST(of_many_at_once_every_change_holds),
		TEST(a_file_removed_before_it_is_read_is_not_found),
		TEST(a_symlink_on_the_way_is_not_followed),
		TEST(what_is_no_path_is_refused),
		TEST(a_directory_in_the_place_of_a_file_stays),
		TEST(a_big_file_is_read_as_it_was_written_up_to_the_readers_limit),
		TEST(owner_and_mode_are_those_that_were_asked_for),
		TEST(names_of_a_directory_are_found_together_wherever_it_moves),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
