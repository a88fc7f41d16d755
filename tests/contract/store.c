/*
 * What every block store must do: one body, run against each engine.
 */
#include "fs/store/store.h"
#include "core/auto.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

static char root[64]; /* of the file engine */

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static int open_mem(void **state)
{
	struct loam_err err = { 0 };
	return loam_store_open("mem", "", (struct loam_store **)state, &err);
}

static int open_file(void **state)
{
	struct loam_err err = { 0 };
	snprintf(root, sizeof(root), "/tmp/loam-store-XXXXXX");
	if (!mkdtemp(root))
		return -1;
	loam_auto_free char *bucket = loam_xasprintf("%s/a/b/", root);
	return loam_store_open("file", bucket, (struct loam_store **)state, &err);
}

static int open_fault(void **state)
{
	struct loam_err err = { 0 };
	struct loam_store *inner;
	if (loam_store_mem_open(&inner, &err) < 0)
		return -1;
	return loam_store_fault_open(inner, "", (struct loam_store **)state, &err);
}

static int close_store(void **state)
{
	struct loam_store *store = *state;
	store->ops->free(store);
	if (*root)
		nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	*root = '\0';
	return 0;
}

static void put(struct loam_store *store, const char *key, const char *text)
{
	struct loam_err err = { 0 };
	assert_int_equal(store->ops->put(store, key, text, strlen(text), &err), 0);
}

static void what_was_put_is_read(void **state)
{
	struct loam_store *store = *state;
	struct loam_err err = { 0 };
	put(store, "v/chunks/0/0/1_0_10", "0123456789");

	char out[11] = "";
	assert_int_equal(store->ops->get(store, "v/chunks/0/0/1_0_10", 0, out, 10, &err), 0);
	assert_string_equal(out, "0123456789");
	memset(out, 0, sizeof(out));
	assert_int_equal(store->ops->get(store, "v/chunks/0/0/1_0_10", 7, out, 3, &err), 0);
	assert_string_equal(out, "789");
}

static void put_twice_is_success(void **state)
{
	struct loam_store *store = *state;
	struct loam_err err = { 0 };
	put(store, "ab/cd", "xyz");
	put(store, "ab/cd", "xyz");

	uint64_t bytes = 0;
	assert_int_equal(store->ops->size(store, "ab/cd", &bytes, &err), 1);
	assert_int_equal(bytes, 3);
}

static void other_bytes_under_a_key_are_refused(void **state)
{
	struct loam_store *store = *state;
	struct loam_err err = { 0 };
	char out[4] = "";
	put(store, "ab/cd", "xyz");
	assert_int_equal(store->ops->put(store, "ab/cd", "xyy", 3, &err), -LOAM_E_CORRUPT);
	loam_err_clear(&err);
	assert_int_equal(store->ops->get(store, "ab/cd", 0, out, 3, &err), 0);
	assert_string_equal(out, "xyz");
}

static void an_object_of_another_length_is_replaced(void **state)
{
	struct loam_store *store = *state;
	struct loam_err err = { 0 };
	put(store, "ab/cd", "x"); /* as a power cut may have left it */
	put(store, "ab/cd", "xyz");

	uint64_t bytes = 0;
	assert_int_equal(store->ops->size(store, "ab/cd", &bytes, &err), 1);
	assert_int_equal(bytes, 3);
}

static void absence_is_an_answer(void **state)
{
	struct loam_store *store = *state;
	struct loam_err err = { 0 };
	uint64_t bytes = 77;
	char out[1];

	put(store, "there/is", "x");
	assert_int_equal(store->ops->size(store, "no/such", &bytes, &err), 0);
	assert_int_equal(store->ops->size(store, "there/not", &bytes, &err), 0);
	assert_int_equal(bytes, 77);
	assert_int_equal(store->ops->remove(store, "no/such", &err), 0);
	assert_int_equal(store->ops->get(store, "no/such", 0, out, 1, &err), -LOAM_E_NOT_FOUND);
	loam_err_clear(&err);
	const char *keys[] = { "no/such" };
	assert_int_equal(store->ops->sync(store, keys, 1, &err), -LOAM_E_NOT_FOUND);
}

static void a_short_object_is_corrupt(void **state)
{
	struct loam_store *store = *state;
	struct loam_err err = { 0 };
	char out[8];

	put(store, "ab/cd", "xyz");
	assert_int_equal(store->ops->get(store, "ab/cd", 0, out, 4, &err), -LOAM_E_CORRUPT);
	loam_err_clear(&err);
	assert_int_equal(store->ops->get(store, "ab/cd", 5, out, 1, &err), -LOAM_E_CORRUPT);
}

/* Memory and sizes that may be read past the page cache, and what only looks so. */
static void whole_pages_come_as_they_were_put(void **state)
{
	enum { MIB = 1 << 20, BYTES = 2 * MIB + 100 };
	struct loam_store *store = *state;
	struct loam_err err = { 0 };
	loam_auto_free uint8_t *bytes = loam_xcalloc(1, BYTES);
	loam_auto_free uint8_t *out = aligned_alloc(4096, 3 * MIB);
	for (size_t i = 0; i < BYTES; i++)
		bytes[i] = (uint8_t)(i * 7 + (i >> 12));
	assert_int_equal(store->ops->put(store, "ab/cd", bytes, BYTES, &err), 0);

	static const struct {
		size_t offset, bytes;
	} cases[] = { { 0, 2 * MIB }, { MIB, MIB },	   { 4096, MIB + 4096 },
		      { 1, 2 * MIB }, { 4096, MIB + 100 }, { 0, BYTES } };
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(cases); i++) {
		memset(out, 0, cases[i].bytes);
		assert_int_equal(store->ops->get(store, "ab/cd", cases[i].offset, out,
						 cases[i].bytes, &err),
				 0);
		assert_memory_equal(out, bytes + cases[i].offset, cases[i].bytes);
	}
	assert_int_equal(store->ops->get(store, "ab/cd", 0, out, 2 * MIB + 4096, &err),
			 -LOAM_E_CORRUPT);
	loam_err_clear(&err);
	assert_int_equal(store->ops->get(store, "ab/cd", 3 * MIB, out, MIB, &err), -LOAM_E_CORRUPT);
}

static void sync_takes_many_keys(void **state)
{
	struct loam_store *store = *state;
	struct loam_err err = { 0 };
	char names[150][32];
	const char *keys[150];

	for (int i = 0; i < 150; i++) {
		snprintf(names[i], sizeof(names[i]), "v/%d/%d_0_1", i / 50, i);
		keys[i] = names[i];
		put(store, names[i], "x");
	}
	assert_int_equal(store->ops->sync(store, keys, 150, &err), 0);
	assert_int_equal(store->ops->sync(store, keys, 150, &err), 0);
	assert_int_equal(store->ops->sync(store, NULL, 0, &err), 0);
}

struct seen {
	int count;
	uint64_t bytes;
	int stop_at;
};

static int see(void *arg, const struct loam_store_entry *entry, struct loam_err *err)
{
	struct seen *seen = arg;
	seen->count++;
	seen->bytes += entry->bytes;
	assert_true(entry->mtime > 1000000000);
	return seen->count == seen->stop_at ? 7 : 0;
}

static void a_listing_shows_what_begins_with_the_prefix(void **state)
{
	struct loam_store *store = *state;
	struct loam_err err = { 0 };
	put(store, "v/chunks/0/0/1_0_1", "x");
	put(store, "v/chunks/0/0/2_0_2", "xx");
	put(store, "v/chunks/0/1/1000_0_3", "xxx");
	put(store, "v/other", "xxxx");
	put(store, "vv/other", "xxxxx");

	struct seen all = { 0 }, chunks = { 0 }, one = { 0 }, none = { 0 };
	assert_int_equal(store->ops->list(store, "", see, &all, &err), 0);
	assert_int_equal(all.count, 5);
	assert_int_equal(all.bytes, 15);
	assert_int_equal(store->ops->list(store, "v/chunks/", see, &chunks, &err), 0);
	assert_int_equal(chunks.count, 3);
	assert_int_equal(store->ops->list(store, "v/chunks/0/0/2_", see, &one, &err), 0);
	assert_int_equal(one.bytes, 2);
	assert_int_equal(store->ops->list(store, "w/", see, &none, &err), 0);
	assert_int_equal(none.count, 0);
}

static void a_listing_can_be_stopped(void **state)
{
	struct loam_store *store = *state;
	struct loam_err err = { 0 };
	put(store, "a/1", "x");
	put(store, "a/2", "x");
	put(store, "a/3", "x");

	struct seen seen = { .stop_at = 2 };
	assert_int_equal(store->ops->list(store, "a/", see, &seen, &err), 7);
	assert_int_equal(seen.count, 2);
}

static void removed_is_gone(void **state)
{
	struct loam_store *store = *state;
	struct loam_err err = { 0 };
	uint64_t bytes;
	put(store, "a/1", "x");
	assert_int_equal(store->ops->remove(store, "a/1", &err), 0);
	assert_int_equal(store->ops->size(store, "a/1", &bytes, &err), 0);
	put(store, "a/1", "y");
	assert_int_equal(store->ops->size(store, "a/1", &bytes, &err), 1);
}

static void a_local_descriptor_has_the_objects_bytes(void **state)
{
	struct loam_store *store = *state;
	struct loam_err err = { 0 };
	if (!store->ops->open_local)
		return;
	put(store, "a/1", "xyz");
	loam_auto_fd int fd = -1;
	assert_int_equal(store->ops->open_local(store, "a/1", &fd, &err), 0);
	char out[4] = "";
	if (fd >= 0)
		assert_int_equal(pread(fd, out, 3, 0), 3);
}

/* ---- the file engine alone ---- */

static void keys_that_leave_the_directory_are_refused(void **state)
{
	struct loam_store *store = *state;
	const char *bad[] = { "", "/etc/x", "../x", "a/../../x", "a//b", "a/./b", "a/", "a/.." };
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(bad); i++) {
		struct loam_err err = { 0 };
		assert_int_equal(store->ops->put(store, bad[i], "x", 1, &err), -LOAM_E_INVALID);
	}
}

static void symlinks_are_not_followed(void **state)
{
	struct loam_store *store = *state;
	struct loam_err err = { 0 };
	char out[1];
	put(store, "a/real", "x");
	loam_auto_free char *dir_link = loam_xasprintf("%s/a/b/link", root);
	loam_auto_free char *file_link = loam_xasprintf("%s/a/b/a/soft", root);
	assert_int_equal(symlink("a", dir_link), 0);
	assert_int_equal(symlink("real", file_link), 0);

	assert_true(store->ops->get(store, "link/real", 0, out, 1, &err) < 0);
	loam_err_clear(&err);
	assert_true(store->ops->get(store, "a/soft", 0, out, 1, &err) < 0);
	loam_err_clear(&err);
	assert_true(store->ops->put(store, "link/new", "x", 1, &err) < 0);
	loam_err_clear(&err);
	struct seen seen = { 0 };
	assert_int_equal(store->ops->list(store, "", see, &seen, &err), 0);
	assert_int_equal(seen.count, 1);
}

static void the_layout_is_that_of_the_juicefs_file_driver(void **state)
{
	struct loam_store *store = *state;
	struct loam_err err = { 0 };
	put(store, "myvol/chunks/123/123456/123456789_3_3", "xyz");
	loam_auto_free char *path =
		loam_xasprintf("%s/a/b/myvol/chunks/123/123456/123456789_3_3", root);
	struct stat st;
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, 3);

	/* What a writer that died has left is no block. */
	loam_auto_free char *temp =
		loam_xasprintf("%s/a/b/myvol/chunks/123/123456/.jfs.123456789_4_3.tmp.77", root);
	close(open(temp, O_CREAT | O_WRONLY, 0600));
	struct seen seen = { 0 };
	assert_int_equal(store->ops->list(store, "myvol/", see, &seen, &err), 0);
	assert_int_equal(seen.count, 1);
}

#ifdef LOAM_FAILPOINTS
#include "tests/support/failpoint.h"

static void a_failed_put_leaves_nothing(void **state)
{
	struct loam_store *store = *state;
	struct loam_err err = { 0 };
	uint64_t bytes;
	put(store, "a/other", "x");
	loam_failpoint_set("sys.pwrite:error:ENOSPC:1");
	assert_int_equal(store->ops->put(store, "a/1", "xyz", 3, &err), -LOAM_E_NO_SPACE);
	loam_failpoint_set("sys.renameat:error:EIO:1");
	loam_err_clear(&err);
	assert_int_equal(store->ops->put(store, "a/1", "xyz", 3, &err), -LOAM_E_IO);
	loam_failpoint_set(NULL);
	loam_err_clear(&err);
	assert_int_equal(store->ops->size(store, "a/1", &bytes, &err), 0);

	loam_auto_free char *dir = loam_xasprintf("%s/a/b/a", root);
	DIR *listing = opendir(dir);
	int files = 0;
	for (struct dirent *entry; (entry = readdir(listing));)
		files += entry->d_name[0] != '.' || entry->d_name[1] == 'j';
	closedir(listing);
	assert_int_equal(files, 1);
}

static void a_short_write_is_finished(void **state)
{
	struct loam_store *store = *state;
	struct loam_err err = { 0 };
	char out[4] = "";
	loam_failpoint_set("sys.pwrite:short:1");
	put(store, "a/1", "xyz");
	loam_failpoint_set(NULL);
	assert_int_equal(store->ops->get(store, "a/1", 0, out, 3, &err), 0);
	assert_string_equal(out, "xyz");
}

static void after_a_failed_sync_the_key_must_be_put_again(void **state)
{
	struct loam_store *store = *state;
	struct loam_err err = { 0 };
	const char *keys[] = { "a/b/1", "a/b/2" };
	static const char *const points[] = { "sys.fdatasync:error:EIO:2", "sys.fsync:error:EIO:1",
					      "sys.fsync:error:EIO:3" };
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(points); i++) {
		uint64_t bytes;
		put(store, keys[0], "x");
		put(store, keys[1], "y");
		loam_failpoint_set(points[i]);
		assert_int_equal(store->ops->sync(store, keys, 2, &err), -LOAM_E_IO);
		loam_failpoint_set(NULL);
		loam_err_clear(&err);
		assert_int_equal(store->ops->size(store, keys[0], &bytes, &err), 0);
		assert_int_equal(store->ops->size(store, keys[1], &bytes, &err), 0);
	}
	put(store, keys[0], "x");
	put(store, keys[1], "y");
	assert_int_equal(store->ops->sync(store, keys, 2, &err), 0);
}
#endif

#define CONTRACT(test, engine)                                             \
	{                                                                  \
#engine ": " #test, test, open_##engine, close_store, NULL \
	}
#define CONTRACT_ALL(engine)                                                                   \
	CONTRACT(what_was_put_is_read, engine), CONTRACT(put_twice_is_success, engine),        \
		CONTRACT(other_bytes_under_a_key_are_refused, engine),                         \
		CONTRACT(an_object_of_another_length_is_replaced, engine),                     \
		CONTRACT(absence_is_an_answer, engine),                                        \
		CONTRACT(a_short_object_is_corrupt, engine),                                   \
		CONTRACT(whole_pages_come_as_they_were_put, engine),                           \
		CONTRACT(sync_takes_many_keys, engine),                                        \
		CONTRACT(a_listing_shows_what_begins_with_the_prefix, engine),                 \
		CONTRACT(a_listing_can_be_stopped, engine), CONTRACT(removed_is_gone, engine), \
		CONTRACT(a_local_descriptor_has_the_objects_bytes, engine)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CONTRACT_ALL(mem),
		CONTRACT_ALL(fault),
		CONTRACT_ALL(file),
		CONTRACT(keys_that_leave_the_directory_are_refused, file),
		CONTRACT(symlinks_are_not_followed, file),
		CONTRACT(the_layout_is_that_of_the_juicefs_file_driver, file),
#ifdef LOAM_FAILPOINTS
		CONTRACT(a_failed_put_leaves_nothing, file),
		CONTRACT(a_short_write_is_finished, file),
		CONTRACT(after_a_failed_sync_the_key_must_be_put_again, file),
#endif
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
