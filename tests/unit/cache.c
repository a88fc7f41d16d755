/*
 * The node cache (fs/data/cache.h): blocks in and out, damage, completeness, two processes,
 * eviction, a disk that fails.
 */
#include "fs/data/cache.h"

#include "core/auto.h"
#include "core/clock.h"
#include "core/sys.h"
#include "tests/support/failpoint.h"

#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include <cmocka.h>

#define UUID	  "e94d66a8-2339-4abd-b8d8-6812df737892"
#define BLOCK	  LOAM_CACHE_BLOCK_BYTES
#define LENGTH	  (2ull * BLOCK + 12345)
#define BLOCKS	  3
#define CONTENT_A "content/00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define CONTENT_B "content/ff112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define WAIT_MS	  20000

static char dir[64];
static uint8_t *block; /* BLOCK bytes to play with, in whole pages */
static uint8_t *expected;

/* ---- a cache and its bytes ---- */

static void fill_pattern(uint64_t index, uint8_t *out)
{
	for (size_t i = 0; i < BLOCK; i++)
		out[i] = (uint8_t)(i * 7 + (i >> 9) + index * 101 + 1);
}

static size_t bytes_of(uint64_t length, uint64_t index)
{
	uint64_t left = length - index * BLOCK;
	return left < BLOCK ? (size_t)left : BLOCK;
}

static struct loam_cache *open_cache(uint64_t max_bytes, uint64_t next_chunk)
{
	struct loam_err err = { 0 };
	struct loam_cache *cache = NULL;
	assert_int_equal(loam_cache_open(dir, UUID, max_bytes, next_chunk, &cache, &err), 0);
	return cache;
}

static struct loam_cache_file *get(struct loam_cache *cache, const char *key, uint64_t length)
{
	struct loam_err err = { 0 };
	struct loam_cache_file *file = NULL;
	assert_int_equal(loam_cache_get(cache, key, length, &file, &err), 0);
	return file;
}

static int try_fill(struct loam_cache_file *file, uint64_t length, uint64_t index)
{
	struct loam_err err = { 0 };
	fill_pattern(index, block);
	return loam_cache_fill(file, index, block, bytes_of(length, index), &err);
}

/* A nearly full cache refuses until the oldest have been evicted. */
static int keep_filling(struct loam_cache_file *file, uint64_t length, uint64_t index)
{
	uint64_t end_ms = loam_clock_ms() + WAIT_MS;
	int rc = try_fill(file, length, index);
	while ((rc == -LOAM_E_NO_SPACE || rc == -LOAM_E_AGAIN) && loam_clock_ms() < end_ms) {
		loam_clock_sleep_ms(10);
		rc = try_fill(file, length, index);
	}
	return rc;
}

static void fill_all(struct loam_cache_file *file, uint64_t length)
{
	for (uint64_t i = 0; i * BLOCK < length; i++)
		assert_int_equal(keep_filling(file, length, i), 0);
}

/* 1 with the right bytes, 0 not here; wrong bytes fail the test. */
static int read_block(struct loam_cache_file *file, uint64_t length, uint64_t index)
{
	struct loam_err err = { 0 };
	size_t bytes = bytes_of(length, index);
	int rc = loam_cache_read(file, index * BLOCK, block, bytes, &err);
	assert_true(rc >= 0);
	if (rc > 0) {
		fill_pattern(index, expected);
		assert_memory_equal(block, expected, bytes);
	}
	return rc;
}

static int present_blocks(struct loam_cache_file *file, uint64_t length)
{
	int count = 0;
	for (uint64_t i = 0; i * BLOCK < length; i++)
		count += read_block(file, length, i);
	return count;
}

static bool becomes_complete(struct loam_cache_file *file)
{
	uint64_t end_ms = loam_clock_ms() + WAIT_MS;
	while (!loam_cache_is_complete(file)) {
		if (loam_clock_ms() > end_ms)
			return false;
		loam_clock_sleep_ms(5);
	}
	return true;
}

static char *path_of(const char *key, const char *suffix)
{
	return loam_xasprintf("%s/%s/%s%s", dir, UUID, key, suffix);
}

/* Turns one bit on the disk, as another program would; keep_time: as the disk itself would. */
static void flip(const char *key, const char *suffix, uint64_t offset, bool keep_time)
{
	loam_auto_free char *path = path_of(key, suffix);
	loam_auto_fd int fd = open(path, O_RDWR);
	struct stat st;
	uint8_t byte;
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(pread(fd, &byte, 1, (off_t)offset), 1);
	byte ^= 4;
	loam_clock_sleep_ms(10); /* file times are no finer than the kernel's tick */
	assert_int_equal(pwrite(fd, &byte, 1, (off_t)offset), 1);
	const struct timespec times[2] = { st.st_atim, st.st_mtim };
	if (keep_time)
		assert_int_equal(futimens(fd, times), 0);
}

static bool is_marked(const char *key, const char *name)
{
	loam_auto_free char *path = path_of(key, "");
	return getxattr(path, name, NULL, 0) > 0;
}

static uint64_t disk_bytes(const char *key)
{
	loam_auto_free char *path = path_of(key, "");
	struct stat st;
	return stat(path, &st) == 0 ? (uint64_t)st.st_blocks * 512 : 0;
}

static bool exists(const char *key)
{
	loam_auto_free char *path = path_of(key, "");
	return access(path, F_OK) == 0;
}

static bool keeps_xattrs(void)
{
	return setxattr(dir, "user.loam.test", "1", 1, 0) == 0;
}

/* ---- filling and reading ---- */

static void a_filled_block_is_read_and_others_are_not_there(void **state)
{
	struct loam_err err = { 0 };
	struct loam_cache *cache = open_cache(0, 4096);
	struct loam_cache_file *file;
	assert_int_equal(loam_cache_find(cache, "slice/7_100", 100, &file, &err), 0);
	file = get(cache, "slice/7_8400953", LENGTH);
	assert_int_equal(read_block(file, LENGTH, 0), 0);
	assert_int_equal(try_fill(file, LENGTH, 2), 0);
	assert_int_equal(read_block(file, LENGTH, 2), 1);
	assert_true(loam_cache_has(file, 2));
	assert_false(loam_cache_has(file, 1));
	assert_false(loam_cache_has(file, 3));
	uint8_t some[100];
	assert_int_equal(loam_cache_read(file, 2ull * BLOCK + 1000, some, sizeof(some), &err), 1);
	assert_memory_equal(some, expected + 1000, sizeof(some));
	loam_cache_put(file);

	assert_int_equal(loam_cache_find(cache, "slice/7_8400953", LENGTH, &file, &err), 1);
	assert_int_equal(read_block(file, LENGTH, 2), 1);
	loam_cache_put(file);
	struct loam_cache_stats stats;
	loam_cache_read_stats(cache, &stats);
	assert_true(stats.hits >= 3 && stats.misses >= 2 && stats.used_bytes >= 12345);
	loam_cache_close(cache);
}

static void what_is_no_block_is_refused(void **state)
{
	struct loam_err err = { 0 };
	struct loam_cache *cache = open_cache(0, 4096);
	struct loam_cache_file *file = get(cache, "slice/8_8400953", LENGTH), *none = NULL;
	assert_int_equal(loam_cache_fill(file, 0, block, 10, &err), -LOAM_E_INVALID);
	loam_err_clear(&err);
	assert_int_equal(loam_cache_fill(file, 3, block, 1, &err), -LOAM_E_INVALID);
	loam_err_clear(&err);
	assert_int_equal(loam_cache_read(file, BLOCK - 1, block, 2, &err), -LOAM_E_INVALID);
	loam_err_clear(&err);
	assert_int_equal(loam_cache_get(cache, "../x", 1, &none, &err), -LOAM_E_INVALID);
	loam_err_clear(&err);
	assert_int_equal(loam_cache_get(cache, "slice/9_1", 1ull << 60, &none, &err),
			 -LOAM_E_TOO_LARGE);
	loam_cache_put(file);
	loam_cache_close(cache);
}

static void blocks_survive_a_restart(void **state)
{
	struct loam_cache *cache = open_cache(0, 4096);
	struct loam_cache_file *file = get(cache, CONTENT_A, LENGTH);
	assert_int_equal(try_fill(file, LENGTH, 0), 0);
	loam_cache_put(file);
	loam_cache_close(cache);

	cache = open_cache(0, 4096);
	file = get(cache, CONTENT_A, LENGTH);
	assert_int_equal(present_blocks(file, LENGTH), 1);
	loam_cache_put(file);
	loam_cache_drop(cache, CONTENT_A);
	assert_false(exists(CONTENT_A));
	loam_cache_close(cache);
}

/* ---- damage ---- */

static void a_flipped_bit_is_never_returned_and_the_block_can_come_again(void **state)
{
	struct loam_cache *cache = open_cache(0, 4096);
	struct loam_cache_file *file = get(cache, CONTENT_A, LENGTH);
	fill_all(file, LENGTH);
	bool marked = !keeps_xattrs() || becomes_complete(file);
	assert_true(marked);
	loam_cache_put(file);
	/* While it is open: the time tells. */
	flip(CONTENT_A, "", BLOCK + 77, false);
	file = get(cache, CONTENT_A, LENGTH);
	assert_false(loam_cache_is_complete(file));
	assert_int_equal(read_block(file, LENGTH, 1), 0);
	assert_int_equal(read_block(file, LENGTH, 0), 1);
	assert_int_equal(try_fill(file, LENGTH, 1), 0);
	assert_int_equal(present_blocks(file, LENGTH), BLOCKS);
	marked = !keeps_xattrs() || becomes_complete(file);
	assert_true(marked);
	loam_cache_put(file);
	loam_cache_close(cache);

	/* While it is closed, and without a trace: the checksum tells. */
	flip(CONTENT_A, "", 2ull * BLOCK + 5, true);
	cache = open_cache(0, 4096);
	file = get(cache, CONTENT_A, LENGTH);
	assert_int_equal(present_blocks(file, LENGTH), BLOCKS - 1);
	assert_false(loam_cache_is_complete(file));
	assert_false(is_marked(CONTENT_A, "user.loam.complete"));
	assert_int_equal(try_fill(file, LENGTH, 2), 0);
	assert_int_equal(present_blocks(file, LENGTH), BLOCKS);
	loam_cache_put(file);
	loam_cache_close(cache);
}

static void a_torn_or_foreign_map_begins_empty(void **state)
{
	static const char *const other = CONTENT_B;
	struct loam_cache *cache = open_cache(0, 4096);
	struct loam_cache_file *file = get(cache, CONTENT_A, LENGTH);
	fill_all(file, LENGTH);
	loam_cache_put(file);
	loam_cache_close(cache);

	/* One record. */
	flip(CONTENT_A, ".map", 256 + 16 + 2, false);
	cache = open_cache(0, 4096);
	file = get(cache, CONTENT_A, LENGTH);
	assert_int_equal(read_block(file, LENGTH, 1), 0);
	assert_int_equal(present_blocks(file, LENGTH), BLOCKS - 1);
	loam_cache_put(file);
	loam_cache_close(cache);

	/* The files of another content under this name. */
	loam_auto_free char *data = path_of(CONTENT_A, ""), *map = path_of(CONTENT_A, ".map");
	loam_auto_free char *data_b = path_of(other, ""), *map_b = path_of(other, ".map");
	assert_int_equal(rename(data, data_b) | rename(map, map_b), 0);
	cache = open_cache(0, 4096);
	file = get(cache, other, LENGTH);
	assert_int_equal(present_blocks(file, LENGTH), 0);
	assert_false(loam_cache_is_complete(file));
	loam_cache_put(file);
	loam_cache_close(cache);

	/* The header. */
	flip(other, ".map", 40, false);
	cache = open_cache(0, 4096);
	file = get(cache, other, LENGTH);
	assert_int_equal(present_blocks(file, LENGTH), 0);
	fill_all(file, LENGTH);
	assert_int_equal(present_blocks(file, LENGTH), BLOCKS);
	loam_cache_put(file);
	loam_cache_close(cache);
}

static void truncated_files_are_not_believed(void **state)
{
	struct loam_cache *cache = open_cache(0, 4096);
	struct loam_cache_file *file = get(cache, CONTENT_A, LENGTH);
	loam_auto_free char *data = path_of(CONTENT_A, ""), *map = path_of(CONTENT_A, ".map");
	fill_all(file, LENGTH);
	assert_int_equal(truncate(data, BLOCK), 0);
	assert_int_equal(present_blocks(file, LENGTH), 1);
	assert_int_equal(truncate(map, 3), 0);
	assert_int_equal(present_blocks(file, LENGTH), 0);
	loam_cache_put(file);
	loam_cache_close(cache);

	cache = open_cache(0, 4096);
	file = get(cache, CONTENT_A, LENGTH);
	assert_int_equal(present_blocks(file, LENGTH), 0);
	fill_all(file, LENGTH);
	assert_int_equal(present_blocks(file, LENGTH), BLOCKS);
	loam_cache_put(file);
	loam_cache_close(cache);
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	return remove(path);
}

static void a_wiped_directory_is_made_again(void **state)
{
	struct loam_cache *cache = open_cache(0, 4096);
	struct loam_cache_file *file = get(cache, CONTENT_A, LENGTH);
	fill_all(file, LENGTH);
	loam_auto_free char *root = path_of("", "");
	assert_int_equal(nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
	assert_int_equal(present_blocks(file, LENGTH), BLOCKS); /* what is open is there */
	loam_cache_put(file);
	file = get(cache, CONTENT_B, LENGTH);
	fill_all(file, LENGTH);
	assert_int_equal(present_blocks(file, LENGTH), BLOCKS);
	loam_cache_saw_slice(cache, 5000);
	assert_true(exists("seen"));
	loam_cache_put(file);

	/* The keeper lets go of idle files whose names have gone: it looks every two seconds. */
	static const char *const more[] = { "slice/1_9", "slice/2_9", "slice/3_9", "slice/4_9" };
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(more); i++) {
		file = get(cache, more[i], 9);
		fill_all(file, 9);
		loam_cache_put(file);
	}
	assert_int_equal(nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
	uint64_t end_ms = loam_clock_ms() + WAIT_MS;
	struct loam_cache_stats stats;
	do {
		loam_clock_sleep_ms(20);
		loam_cache_read_stats(cache, &stats);
	} while (stats.files > 0 && loam_clock_ms() < end_ms);
	assert_int_equal(stats.files, 0);
	file = get(cache, CONTENT_A, LENGTH);
	assert_int_equal(present_blocks(file, LENGTH), 0);
	fill_all(file, LENGTH);
	loam_cache_put(file);
	loam_cache_close(cache);
}

/* ---- complete ---- */

static void a_full_content_becomes_complete_by_itself(void **state)
{
	if (!keeps_xattrs())
		skip();
	struct loam_err err = { 0 };
	struct loam_cache *cache = open_cache(0, 4096);
	struct loam_cache_file *file = get(cache, CONTENT_A, LENGTH);
	int fd = -1;
	assert_int_equal(try_fill(file, LENGTH, 2), 0);
	assert_int_equal(try_fill(file, LENGTH, 0), 0);
	assert_false(loam_cache_is_complete(file));
	assert_int_equal(loam_cache_complete(file, &err), 0);
	assert_int_equal(loam_cache_backing_fd(file, &fd, &err), -LOAM_E_AGAIN);
	loam_err_clear(&err);
	assert_int_equal(try_fill(file, LENGTH, 1), 0);
	assert_true(becomes_complete(file));
	assert_true(is_marked(CONTENT_A, "user.loam.complete"));
	assert_false(is_marked(CONTENT_A, "user.loam.passthrough"));

	assert_int_equal(loam_cache_backing_fd(file, &fd, &err), 0);
	assert_true(is_marked(CONTENT_A, "user.loam.passthrough"));
	struct stat st;
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, LENGTH);
	assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
	fill_pattern(1, expected);
	assert_int_equal(pread(fd, block, BLOCK, BLOCK), BLOCK);
	assert_memory_equal(block, expected, BLOCK);
	loam_cache_put(file);
	loam_cache_close(cache);
}

static void completeness_survives_a_restart_only_with_its_mark(void **state)
{
	if (!keeps_xattrs())
		skip();
	struct loam_err err = { 0 };
	struct loam_cache *cache = open_cache(0, 4096);
	struct loam_cache_file *file = get(cache, CONTENT_A, LENGTH);
	fill_all(file, LENGTH);
	assert_int_equal(loam_cache_complete(file, &err), 1);
	loam_cache_put(file);
	loam_cache_close(cache);

	cache = open_cache(0, 4096);
	file = get(cache, CONTENT_A, LENGTH);
	assert_true(loam_cache_is_complete(file)); /* at once */
	loam_cache_put(file);
	loam_cache_close(cache);

	/* As after a power cut: the map is there, the mark and the bytes of a block are not. */
	loam_auto_free char *path = path_of(CONTENT_A, "");
	assert_int_equal(removexattr(path, "user.loam.complete"), 0);
	flip(CONTENT_A, "", 9, true);
	cache = open_cache(0, 4096);
	file = get(cache, CONTENT_A, LENGTH);
	assert_false(loam_cache_is_complete(file));
	assert_int_equal(loam_cache_complete(file, &err), 0);
	assert_false(loam_cache_has(file, 0));
	assert_int_equal(try_fill(file, LENGTH, 0), 0);
	assert_int_equal(loam_cache_complete(file, &err), 1);
	loam_cache_put(file);
	loam_cache_close(cache);
}

static void a_disk_without_xattrs_caches_but_hands_nothing_out(void **state)
{
	struct loam_err err = { 0 };
	loam_failpoint_set("cache.mark:error:EOPNOTSUPP");
	struct loam_cache *cache = open_cache(0, 4096);
	struct loam_cache_file *file = get(cache, CONTENT_A, LENGTH);
	int fd = -1;
	fill_all(file, LENGTH);
	loam_cache_complete(file, &err);
	loam_err_clear(&err);
	assert_false(loam_cache_is_complete(file));
	assert_int_equal(present_blocks(file, LENGTH), BLOCKS);
	assert_int_equal(loam_cache_backing_fd(file, &fd, &err), -LOAM_E_UNSUPPORTED);
	loam_cache_put(file);
	loam_cache_close(cache);
	loam_failpoint_set(NULL);
}

/* ---- two processes ---- */

static int child_fills(void)
{
	struct loam_err err = { 0 };
	struct loam_cache *cache;
	struct loam_cache_file *file;
	if (loam_cache_open(dir, UUID, 0, 4096, &cache, &err) < 0 ||
	    loam_cache_get(cache, CONTENT_A, LENGTH, &file, &err) < 0)
		return 1;
	fill_pattern(0, expected);
	int rc = loam_cache_read(file, 0, block, BLOCK, &err);
	if (rc != 1 || memcmp(block, expected, BLOCK) != 0)
		return 2;
	if (try_fill(file, LENGTH, 1) < 0 || try_fill(file, LENGTH, 2) < 0)
		return 3;
	loam_cache_put(file);
	loam_cache_close(cache);
	return 0;
}

/* flock of its own descriptor, given back a moment later. */
static void *unlock_soon(void *fd)
{
	loam_clock_sleep_ms(5);
	assert_int_equal(flock(*(int *)fd, LOCK_UN), 0);
	return NULL;
}

/* Else the first blocks of a file that several threads begin to read would not be kept. */
static void a_block_waits_for_who_opens_the_file_in_this_moment(void **state)
{
	struct loam_cache *cache = open_cache(0, 0);
	struct loam_cache_file *file = get(cache, CONTENT_A, LENGTH);
	loam_auto_free char *path = loam_xasprintf("%s/%s/%s", dir, UUID, CONTENT_A);
	loam_auto_fd int fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	int kept = 0;
	for (int round = 0; round < 20 && kept == 0; round++) { /* the thread may be late */
		pthread_t other;
		assert_int_equal(flock(fd, LOCK_EX), 0);
		assert_int_equal(pthread_create(&other, NULL, unlock_soon, &fd), 0);
		kept += try_fill(file, LENGTH, 0) == 0;
		pthread_join(other, NULL);
	}
	assert_int_equal(kept, 1);
	assert_true(loam_cache_has(file, 0));
	loam_cache_put(file);
	loam_cache_close(cache);
}

static void two_processes_share_their_blocks(void **state)
{
	/* The child opens its own cache, after the fork: threads do not cross it. */
	int to_child[2];
	assert_int_equal(pipe(to_child), 0);
	pid_t child = fork();
	if (child == 0) {
		char go;
		_exit(read(to_child[0], &go, 1) == 1 ? child_fills() : 9);
	}
	struct loam_cache *cache = open_cache(0, 4096);
	struct loam_cache_file *file = get(cache, CONTENT_A, LENGTH);
	assert_int_equal(try_fill(file, LENGTH, 0), 0);
	assert_int_equal(present_blocks(file, LENGTH), 1);
	assert_int_equal(write(to_child[1], "g", 1), 1);
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	assert_int_equal(present_blocks(file, LENGTH), BLOCKS);
	bool complete = !keeps_xattrs() || becomes_complete(file);
	assert_true(complete);
	loam_cache_put(file);
	loam_cache_close(cache);
	close(to_child[0]);
	close(to_child[1]);
}

/* ---- metadata that went back in time ---- */

static void metadata_that_went_back_in_time_empties_the_cache(void **state)
{
	struct loam_cache *cache = open_cache(0, 8192);
	struct loam_cache_file *file = get(cache, "slice/4097_100", 100);
	loam_cache_saw_slice(cache, 4097);
	assert_int_equal(try_fill(file, 100, 0), 0);
	loam_cache_put(file);
	loam_cache_close(cache);

	cache = open_cache(0, 8192);
	assert_true(exists("slice/4097_100"));
	loam_cache_close(cache);
	cache = open_cache(0, 4096);
	assert_false(exists("slice/4097_100"));
	assert_false(exists("slice/4097_100.map"));
	file = get(cache, "slice/4097_100", 100);
	assert_int_equal(read_block(file, 100, 0), 0);
	loam_cache_put(file);
	loam_cache_close(cache);
}

static void blocks_are_refused_while_their_ids_cannot_be_noted(void **state)
{
	struct loam_cache *cache = open_cache(0, 1u << 20);
	struct loam_cache_file *file = get(cache, "slice/9000_100", 100);
	loam_failpoint_set("sys.fsync:error:EIO");
	loam_cache_saw_slice(cache, 9000);
	assert_true(try_fill(file, 100, 0) < 0);
	assert_int_equal(read_block(file, 100, 0), 0);
	loam_failpoint_set(NULL);
	assert_int_equal(try_fill(file, 100, 0), 0);
	assert_true(exists("seen"));
	loam_cache_put(file);
	loam_cache_close(cache);
}

/* ---- eviction ---- */

static void wait_used(struct loam_cache *cache, uint64_t below)
{
	struct loam_cache_stats stats;
	uint64_t end_ms = loam_clock_ms() + WAIT_MS;
	do {
		loam_clock_sleep_ms(10);
		loam_cache_read_stats(cache, &stats);
	} while (stats.used_bytes >= below && loam_clock_ms() < end_ms);
	assert_true(stats.used_bytes < below);
}

static void old_blocks_are_punched_to_make_room(void **state)
{
	const uint64_t max = 10ull * BLOCK, length = 8ull * BLOCK;
	struct loam_cache *cache = open_cache(max, 4096);
	struct loam_cache_file *old = get(cache, CONTENT_A, length);
	fill_all(old, length);
	loam_cache_put(old);
	loam_clock_sleep_ms(20);
	struct loam_cache_file *file = get(cache, "slice/1_8388608", 2ull * BLOCK);
	fill_all(file, 2ull * BLOCK);
	wait_used(cache, max * 95 / 100);
	assert_true(exists(CONTENT_A));
	assert_true(disk_bytes(CONTENT_A) < length);
	assert_true(disk_bytes(CONTENT_A) > 0);
	assert_int_equal(present_blocks(file, 2ull * BLOCK), 2);
	old = get(cache, CONTENT_A, length);
	int present = present_blocks(old, length);
	assert_true(present > 0 && present < 8);
	assert_false(loam_cache_is_complete(old));
	struct loam_cache_stats stats;
	loam_cache_read_stats(cache, &stats);
	assert_true(stats.evicted_bytes > 0);
	loam_cache_put(old);
	loam_cache_put(file);
	loam_cache_close(cache);
}

static void what_was_handed_to_the_kernel_is_never_punched(void **state)
{
	if (!keeps_xattrs())
		skip();
	const uint64_t max = 10ull * BLOCK, length = 8ull * BLOCK;
	struct loam_err err = { 0 };
	struct loam_cache *cache = open_cache(max, 4096);
	struct loam_cache_file *old = get(cache, CONTENT_A, length);
	int fd = -1;
	fill_all(old, length);
	assert_int_equal(loam_cache_complete(old, &err), 1);
	assert_int_equal(loam_cache_backing_fd(old, &fd, &err), 0);
	int kernel_fd = dup(fd); /* outlives the daemon's */
	loam_cache_put(old);

	struct loam_cache_file *file = get(cache, "slice/1_8388608", 2ull * BLOCK);
	fill_all(file, 2ull * BLOCK);
	loam_cache_put(file);
	wait_used(cache, max * 95 / 100); /* the younger one had to go */
	assert_true(exists(CONTENT_A));
	assert_true(disk_bytes(CONTENT_A) >= length);
	assert_false(exists("slice/1_8388608"));
	for (uint64_t i = 0; i < 8; i++) {
		fill_pattern(i, expected);
		assert_int_equal(pread(kernel_fd, block, BLOCK, (off_t)(i * BLOCK)), BLOCK);
		assert_memory_equal(block, expected, BLOCK);
	}

	close(kernel_fd);
	file = get(cache, "slice/2_8388608", 2ull * BLOCK);
	fill_all(file, 2ull * BLOCK);
	wait_used(cache, max / 2);
	assert_false(exists(CONTENT_A)); /* whole */
	assert_int_equal(present_blocks(file, 2ull * BLOCK), 2);
	loam_cache_put(file);
	loam_cache_close(cache);
}

/* ---- disks that fail ---- */

static void a_disk_that_fails_means_not_cached(void **state)
{
	struct loam_cache *cache = open_cache(0, 4096);
	struct loam_cache_file *file = get(cache, "slice/5_8400953", LENGTH);
	assert_int_equal(try_fill(file, LENGTH, 0), 0);
	loam_failpoint_set("sys.pwrite:error:EIO");
	assert_int_equal(try_fill(file, LENGTH, 1), -LOAM_E_IO);
	assert_int_equal(read_block(file, LENGTH, 1), 0);
	assert_int_equal(read_block(file, LENGTH, 0), 1);
	loam_failpoint_set("sys.pread:error:EIO");
	assert_int_equal(read_block(file, LENGTH, 0), 0);
	loam_failpoint_set(NULL);
	loam_cache_put(file);
	loam_cache_close(cache);
}

static void a_place_that_cannot_be_made_is_an_empty_cache(void **state)
{
	struct loam_err err = { 0 };
	struct loam_cache *cache = NULL;
	struct loam_cache_file *file;
	assert_int_equal(loam_cache_open("/proc/none", UUID, 0, 4096, &cache, &err), 0);
	assert_true(loam_cache_get(cache, "slice/1_100", 100, &file, &err) < 0);
	loam_err_clear(&err);
	assert_true(loam_cache_find(cache, "slice/1_100", 100, &file, &err) <= 0);
	loam_cache_close(cache);
}

/* In a mount namespace of its own. 77: not possible here. */
static int on_small_disk(void)
{
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("tmpfs", dir, "tmpfs", 0, "size=20m") < 0)
		return 77;
	struct loam_err err = { 0 };
	struct loam_cache *cache;
	struct loam_cache_file *file;
	const uint64_t length = 8ull * BLOCK;
	if (loam_cache_open(dir, UUID, 1ull << 30, 4096, &cache, &err) < 0 ||
	    loam_cache_get(cache, CONTENT_A, length, &file, &err) < 0)
		return 1;
	for (uint64_t i = 0; i < 8; i++) {
		int rc = try_fill(file, length, i);
		if (rc != 0 && rc != -LOAM_E_NO_SPACE && rc != -LOAM_E_AGAIN)
			return 2;
	}
	if (present_blocks(file, length) > 4)
		return 8;
	loam_cache_put(file);
	file = get(cache, CONTENT_B, length);
	uint64_t end_ms = loam_clock_ms() + WAIT_MS;
	while (keep_filling(file, length, 0) < 0 || read_block(file, length, 0) == 0) {
		if (loam_clock_ms() > end_ms)
			return 3;
	}
	loam_cache_put(file);
	loam_cache_close(cache);
	/* Read-only: opens, and has nothing. */
	if (mount(NULL, dir, NULL, MS_REMOUNT | MS_RDONLY, NULL) < 0)
		return 5;
	if (loam_cache_open(dir, UUID, 1ull << 30, 4096, &cache, &err) < 0)
		return 6;
	if (loam_cache_get(cache, CONTENT_B, length, &file, &err) >= 0)
		return 7;
	loam_cache_close(cache);
	return 0;
}

static void a_full_or_read_only_disk_means_not_cached(void **state)
{
	pid_t child = fork();
	if (child == 0)
		_exit(on_small_disk());
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77) {
		print_message("needs CAP_SYS_ADMIN to mount a tmpfs of its own\n");
		skip();
	}
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* ---- */

static int make_dir(void **state)
{
	snprintf(dir, sizeof(dir), "/tmp/loam-unit-cache-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
	return nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, make_dir, remove_dir)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_filled_block_is_read_and_others_are_not_there),
		CASE(what_is_no_block_is_refused),
		CASE(blocks_survive_a_restart),
		CASE(a_flipped_bit_is_never_returned_and_the_block_can_come_again),
		CASE(a_torn_or_foreign_map_begins_empty),
		CASE(truncated_files_are_not_believed),
		CASE(a_wiped_directory_is_made_again),
		CASE(a_full_content_becomes_complete_by_itself),
		CASE(completeness_survives_a_restart_only_with_its_mark),
		CASE(a_disk_without_xattrs_caches_but_hands_nothing_out),
		CASE(a_block_waits_for_who_opens_the_file_in_this_moment),
		CASE(two_processes_share_their_blocks),
		CASE(metadata_that_went_back_in_time_empties_the_cache),
		CASE(blocks_are_refused_while_their_ids_cannot_be_noted),
		CASE(old_blocks_are_punched_to_make_room),
		CASE(what_was_handed_to_the_kernel_is_never_punched),
		CASE(a_disk_that_fails_means_not_cached),
		CASE(a_place_that_cannot_be_made_is_an_empty_cache),
		CASE(a_full_or_read_only_disk_means_not_cached),
	};
	block = aligned_alloc(4096, BLOCK);
	expected = aligned_alloc(4096, BLOCK);
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	free(block);
	free(expected);
	return failed;
}
