/*
 * Blocks of the node cache that are written past the page cache (fs/data/cache.h): whoever reads
 * through it, as the kernel does for passthrough, sees their bytes.
 */
#include "core/auto.h"
#include "core/clock.h"
#include "fs/data/cache.h"

#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/failpoint.h"

#define UUID	"e94d66a8-2339-4abd-b8d8-6812df737892"
#define KEY	"content/00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define BLOCK	LOAM_CACHE_BLOCK_BYTES
#define BLOCKS	4u
#define LENGTH	((BLOCKS - 1) * (uint64_t)BLOCK + 12345)
#define WAIT_MS 20000

static char dir[64];
static struct loam_cache *cache;
static struct loam_cache_file *file;
static uint8_t *pages, *expected; /* BLOCK bytes each, aligned */

static void fill_pattern(uint64_t index, uint8_t *out)
{
	for (size_t i = 0; i < BLOCK; i++)
		out[i] = (uint8_t)(i * 7 + (i >> 9) + index * 101 + 1);
}

static size_t bytes_of(uint64_t index)
{
	return index + 1 < BLOCKS ? BLOCK : LENGTH % BLOCK;
}

static int open_plain(void)
{
	loam_auto_free char *path = loam_xasprintf("%s/%s/%s", dir, UUID, KEY);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

static int fill(uint64_t index)
{
	struct loam_err err = { 0 };
	fill_pattern(index, pages);
	return loam_cache_fill(file, index, pages, bytes_of(index), &err);
}

static void assert_plain(int fd, uint64_t index)
{
	ssize_t bytes = (ssize_t)bytes_of(index);
	fill_pattern(index, expected);
	assert_int_equal(pread(fd, pages, (size_t)bytes, (off_t)(index * BLOCK)), bytes);
	assert_memory_equal(pages, expected, (size_t)bytes);
}

static void assert_all(void)
{
	loam_auto_fd int fd = open_plain();
	for (uint64_t i = 0; i < BLOCKS; i++) {
		struct loam_err err = { 0 };
		assert_int_equal(loam_cache_read(file, i * BLOCK, pages, bytes_of(i), &err), 1);
		fill_pattern(i, expected);
		assert_memory_equal(pages, expected, bytes_of(i));
		assert_plain(fd, i);
	}
	uint64_t end_ms = loam_clock_ms() + WAIT_MS;
	while (!loam_cache_is_complete(file) && loam_clock_ms() < end_ms)
		loam_clock_sleep_ms(5);
	assert_true(loam_cache_is_complete(file));
}

static void a_block_replaces_the_holes_that_stood_in_the_page_cache(void **state)
{
	loam_auto_fd int fd = open_plain();
	for (uint64_t i = 0; i < BLOCKS; i++) { /* as the read-ahead of a reader leaves them */
		assert_int_equal(pread(fd, pages, bytes_of(i), (off_t)(i * BLOCK)), bytes_of(i));
		assert_int_equal(pages[0], 0);
	}
	for (uint64_t i = 0; i < BLOCKS; i++) {
		assert_int_equal(fill(i), 0);
		assert_plain(fd, i);
	}
	assert_all();
}

static void memory_that_lies_elsewhere_is_taken_too(void **state)
{
	loam_auto_free uint8_t *odd = loam_xcalloc(1, BLOCK + 1);
	struct loam_err err = { 0 };
	fill_pattern(1, odd + 1);
	assert_int_equal(fill(0), 0);
	assert_int_equal(loam_cache_fill(file, 1, odd + 1, BLOCK, &err), 0);
	assert_int_equal(fill(2), 0);
	assert_int_equal(fill(3), 0);
	assert_all();
}

#ifdef LOAM_FAILPOINTS
static void where_direct_writes_are_refused_the_ordinary_way_is_taken(void **state)
{
	loam_failpoint_set("sys.pwrite:error:EINVAL:1");
	assert_int_equal(fill(0), 0);
	loam_failpoint_set("sys.pwrite:short:1"); /* goes on at a place that is no page's begin */
	assert_int_equal(fill(1), 0);
	loam_failpoint_set(NULL);
	assert_int_equal(fill(2), 0);
	assert_int_equal(fill(3), 0);
	assert_all();
}

static void a_block_whose_write_failed_is_not_there(void **state)
{
	struct loam_err err = { 0 };
	loam_failpoint_set("sys.pwrite:error:ENOSPC:1");
	assert_int_equal(fill(0), -LOAM_E_NO_SPACE);
	loam_failpoint_set(NULL);
	assert_false(loam_cache_has(file, 0));
	assert_int_equal(loam_cache_read(file, 0, pages, BLOCK, &err), 0);
	for (uint64_t i = 0; i < BLOCKS; i++)
		assert_int_equal(fill(i), 0);
	assert_all();
}
#endif

static int make(void **state)
{
	struct loam_err err = { 0 };
	snprintf(dir, sizeof(dir), "/tmp/loam-unit-cache-direct-XXXXXX");
	return mkdtemp(dir) && loam_cache_open(dir, UUID, 0, 4096, &cache, &err) == 0 &&
			       loam_cache_get(cache, KEY, LENGTH, &file, &err) == 0
		       ? 0
		       : -1;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static int unmake(void **state)
{
	loam_cache_put(file);
	loam_cache_close(cache);
	return nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, make, unmake)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_block_replaces_the_holes_that_stood_in_the_page_cache),
		CASE(memory_that_lies_elsewhere_is_taken_too),
#ifdef LOAM_FAILPOINTS
		CASE(where_direct_writes_are_refused_the_ordinary_way_is_taken),
		CASE(a_block_whose_write_failed_is_not_there),
#endif
	};
	pages = aligned_alloc(4096, BLOCK);
	expected = aligned_alloc(4096, BLOCK);
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	free(pages);
	free(expected);
	return failed;
}
