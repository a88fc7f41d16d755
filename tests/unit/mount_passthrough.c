/*
 * Passthrough: complete read-only files are read by the kernel itself, others never meet them in
 * one node. Names are sentences.
 */
#include "fs/mount/loam_ioctl_format.h"
#include "tests/support/mount_world.h"

#include <ftw.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>

#define FILE_BYTES ((9u << 20) + 4321)
#define WAIT_MS	   5000

static char cache_dir[] = "/tmp/loam-cache-XXXXXX";
static uint8_t *pattern;
static unsigned contents, handed_out; /* counted by count_contents */

static int look(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	char value[64];
	if (type == FTW_F && strstr(path, "/content/") && !strstr(path, ".map")) {
		contents++;
		handed_out += getxattr(path, "user.loam.passthrough", value, sizeof(value)) > 0;
	}
	return 0;
}

static void count_contents(void)
{
	contents = handed_out = 0;
	assert_int_equal(nftw(cache_dir, look, 16, FTW_PHYS), 0);
}

static int drop(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static void make_file(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0644);
	assert_works(fd);
	for (size_t done = 0; done < FILE_BYTES;) {
		size_t step = FILE_BYTES - done < 1u << 20 ? FILE_BYTES - done : 1u << 20;
		assert_int_equal(write(fd, pattern + done, step), (ssize_t)step);
		done += step;
	}
	assert_works(fchmod(fd, 0444));
	assert_works(close(fd));
}

static void reads_as(int fd, const uint8_t *expected, size_t bytes)
{
	loam_auto_free uint8_t *got = malloc(bytes + 1);
	size_t done = 0;
	for (ssize_t n; (n = pread(fd, got + done, bytes + 1 - done, (off_t)done)) > 0;)
		done += (size_t)n;
	assert_int_equal(done, bytes);
	assert_memory_equal(got, expected, bytes);
}

/* A new file, opened and read until an open was served by the cache's own file. */
static void make_warm(const char *path)
{
	count_contents();
	unsigned before = handed_out;
	make_file(path);
	for (unsigned ms = 0; ms < WAIT_MS; ms += 20) {
		int fd = open(path, O_RDONLY);
		assert_works(fd);
		reads_as(fd, pattern, FILE_BYTES);
		close(fd);
		count_contents();
		if (handed_out > before)
			return;
		usleep(20000);
	}
	fail_msg("%s was never handed to the kernel: %u contents, %u handed out", path, contents,
		 handed_out);
}

static void a_complete_file_is_handed_to_the_kernel(void **state)
{
	make_warm(at("model"));
	int fd = open(at("model"), O_RDONLY);
	reads_as(fd, pattern, FILE_BYTES);
	uint8_t *map = mmap(NULL, FILE_BYTES, PROT_READ, MAP_SHARED, fd, 0);
	assert_true(map != MAP_FAILED);
	assert_memory_equal(map, pattern, FILE_BYTES);
	munmap(map, FILE_BYTES);
	struct stat st;
	assert_works(fstat(fd, &st));
	assert_int_equal(st.st_size, FILE_BYTES);
	assert_int_equal(as(BOB, try_read, at("model")), 0);
	assert_works(fsync(fd));
	/* an unlinked file lives while it is open */
	assert_works(unlink(at("model")));
	reads_as(fd, pattern, FILE_BYTES);
	close(fd);
}

static void a_writer_gets_a_node_of_its_own(void **state)
{
	make_warm(at("mixed"));
	struct stat before, after;
	int old = open(at("mixed"), O_RDONLY);
	assert_works(fstat(old, &before));
	int writer = open(at("mixed"), O_RDWR); /* root may */
	assert_works(writer);
	assert_int_equal(pwrite(writer, "CHANGED", 7, 100), 7);
	assert_works(fsync(writer));
	reads_as(old, pattern, FILE_BYTES); /* keeps what it opened */
	char got[8] = "";
	int fresh = open(at("mixed"), O_RDONLY);
	assert_works(fresh);
	assert_int_equal(pread(fresh, got, 7, 100), 7);
	assert_string_equal(got, "CHANGED");
	assert_works(fstat(fresh, &after));
	assert_int_equal(before.st_ino, after.st_ino);
	close(writer);
	reads_as(old, pattern, FILE_BYTES);
	close(old);
	close(fresh);
	assert_works(unlink(at("mixed")));
}

static void a_reader_that_began_too_early_goes_on_as_it_began(void **state)
{
	count_contents();
	unsigned before = handed_out;
	make_file(at("early"));
	int early = open(at("early"), O_RDONLY); /* nothing is in the cache yet */
	char byte;
	assert_int_equal(pread(early, &byte, 1, 0), 1);
	reads_as(early, pattern, FILE_BYTES);
	int late = -1;
	for (unsigned ms = 0; ms < WAIT_MS && handed_out == before; ms += 20) {
		close(late);
		late = open(at("early"), O_RDONLY);
		reads_as(late, pattern, FILE_BYTES);
		count_contents();
	}
	assert_true(handed_out > before);
	reads_as(early, pattern, FILE_BYTES);
	close(early);
	close(late);
	assert_works(unlink(at("early")));
}

static void clones_share_one_content(void **state)
{
	make_warm(at("one"));
	unsigned before = contents;
	int fds[8], source = open(at("one"), O_RDONLY);
	int dir = open(mounted.dir, O_RDONLY | O_DIRECTORY);
	for (unsigned i = 0; i < LOAM_ARRAY_COUNT(fds); i++) {
		struct loam_ioc_ticket ticket;
		struct loam_ioc_clone request = { .flags = LOAM_IOC_CLONE_PRESERVE };
		assert_works(ioctl(source, LOAM_IOC_TICKET, &ticket));
		memcpy(request.ticket, ticket.bytes, sizeof(request.ticket));
		snprintf(request.name, sizeof(request.name), "clone-%u", i);
		assert_works(ioctl(dir, LOAM_IOC_CLONE, &request));
		fds[i] = open(at("clone-%u", i), O_RDONLY);
		reads_as(fds[i], pattern, FILE_BYTES);
	}
	count_contents();
	assert_int_equal(contents, before);
	for (unsigned i = 0; i < LOAM_ARRAY_COUNT(fds); i++) {
		close(fds[i]);
		assert_works(unlink(at("clone-%u", i)));
	}
	close(source);
	close(dir);
	assert_works(unlink(at("one")));
}

/* ---- many at once ---------------------------------------------------------------------------- */

static atomic_uint stale, wrong;

static void *open_and_read(void *arg)
{
	char path[128];
	snprintf(path, sizeof(path), "%s/busy", mounted.dir);
	bool writes = arg != NULL;
	for (unsigned i = 0; i < 200; i++) {
		int fd = open(path, writes ? O_RDWR : O_RDONLY);
		if (fd < 0) {
			atomic_fetch_add(errno == ESTALE ? &stale : &wrong, 1);
			continue;
		}
		uint8_t got[4096];
		off_t offset = (off_t)(i * 40961 % (FILE_BYTES - sizeof(got)));
		if (pread(fd, got, sizeof(got), offset) != (ssize_t)sizeof(got) ||
		    memcmp(got, pattern + offset, sizeof(got)) != 0)
			atomic_fetch_add(&wrong, 1);
		close(fd);
	}
	return NULL;
}

static void readers_and_openers_for_writing_do_not_disturb_each_other(void **state)
{
	make_warm(at("busy"));
	pthread_t threads[8];
	for (unsigned i = 0; i < LOAM_ARRAY_COUNT(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, open_and_read,
						i % 4 == 3 ? pattern : NULL),
				 0);
	for (unsigned i = 0; i < LOAM_ARRAY_COUNT(threads); i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(wrong, 0);
	assert_int_equal(stale, 0);
	assert_works(unlink(at("busy")));
}

static void a_mount_ends_with_a_file_in_the_kernels_hands(void **state)
{
	make_warm(at("last"));
	int fd = open(at("last"), O_RDONLY);
	reads_as(fd, pattern, FILE_BYTES);
	assert_int_equal(loam_test_mount_stop(&mounted), 0);
	close(fd);
	loam_test_mount_start(&mounted, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_complete_file_is_handed_to_the_kernel),
		cmocka_unit_test(a_writer_gets_a_node_of_its_own),
		cmocka_unit_test(a_reader_that_began_too_early_goes_on_as_it_began),
		cmocka_unit_test(clones_share_one_content),
		cmocka_unit_test(readers_and_openers_for_writing_do_not_disturb_each_other),
		cmocka_unit_test(a_mount_ends_with_a_file_in_the_kernels_hands),
	};
	pattern = malloc(FILE_BYTES);
	uint32_t seed = 99;
	for (size_t i = 0; i < FILE_BYTES; i++) {
		seed = seed * 1664525u + 1013904223u;
		pattern[i] = (uint8_t)(seed >> 24);
	}
	mounted.cache_dir = mkdtemp(cache_dir);
	int status = run_mounted("mount_passthrough", tests, LOAM_ARRAY_COUNT(tests));
	nftw(cache_dir, drop, 16, FTW_DEPTH | FTW_PHYS);
	free(pattern);
	return status;
}
