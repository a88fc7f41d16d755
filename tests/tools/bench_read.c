/*
 * Reads files in the ways that tests/bench/read.sh compares:
 *
 *   bench_read seq FILE           one pass in 1 MiB reads            prints MB/s
 *   bench_read mmap FILE          one pass through a map             prints MB/s
 *   bench_read random FILE N      N reads of 4 KiB, fixed seed       prints MB/s
 *   bench_read gets DIR THREADS   all files below DIR, whole, by so many threads; prints MB/s
 *   bench_read cached PATH…       bytes of these files (and of all below a directory) that stand in
 *                                 the page cache, by cachestat(2), which sees through to no other
 *                                 file
 *   bench_read drop PATH…         takes them out of the page cache
 */
#include "core/auto.h"
#include "core/clock.h"
#include "core/err.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define READ_BYTES   (1u << 20)
#define RANDOM_BYTES 4096u
#define PATHS_MAX    200000u
#define THREADS_MAX  64u

#ifndef SYS_cachestat
#define SYS_cachestat 451
#endif
struct cachestat_range {
	uint64_t offset, bytes;
};
struct cachestat_counts {
	uint64_t cached, dirty, writeback, evicted, recently_evicted;
};

static void print_rate(uint64_t bytes, uint64_t from_ns)
{
	double seconds = (double)(loam_clock_ns() - from_ns) / 1e9;
	printf("%.1f\n", (double)bytes / 1e6 / (seconds > 0 ? seconds : 1e-9));
}

static int open_file(const char *path, uint64_t *out_bytes)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) != 0) {
		perror(path);
		exit(1);
	}
	*out_bytes = (uint64_t)st.st_size;
	return fd;
}

static uint64_t read_whole(const char *path, void *buffer)
{
	uint64_t size, got = 0;
	loam_auto_fd int fd = open_file(path, &size);
	for (ssize_t n; (n = read(fd, buffer, READ_BYTES)) != 0;) {
		if (n < 0) {
			perror(path);
			exit(1);
		}
		got += (uint64_t)n;
	}
	return got;
}

static int run_seq(char **args)
{
	loam_auto_free void *buffer = loam_xcalloc(1, READ_BYTES);
	uint64_t from = loam_clock_ns();
	uint64_t got = read_whole(args[0], buffer);
	print_rate(got, from);
	return 0;
}

static int run_mmap(char **args)
{
	uint64_t size;
	uint64_t from = loam_clock_ns();
	loam_auto_fd int fd = open_file(args[0], &size);
	const volatile uint64_t *words = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
	if (words == MAP_FAILED) {
		perror(args[0]);
		return 1;
	}
	uint64_t sum = 0;
	for (uint64_t i = 0; i < size / sizeof(*words); i += 8) /* one word of each cache line */
		sum += words[i];
	munmap((void *)(uintptr_t)words, size);
	print_rate(size, from);
	return sum == 42 ? 3 : 0; /* the sum must be computed */
}

static int run_random(char **args)
{
	uint64_t size, state = 88172645463325252ull;
	loam_auto_fd int fd = open_file(args[0], &size);
	uint64_t count = strtoull(args[1], NULL, 10), pages = size / RANDOM_BYTES;
	char buffer[RANDOM_BYTES];
	uint64_t from = loam_clock_ns();
	for (uint64_t i = 0; i < count && pages > 0; i++) {
		state ^= state << 13;
		state ^= state >> 7;
		state ^= state << 17;
		if (pread(fd, buffer, sizeof(buffer), (off_t)(state % pages * RANDOM_BYTES)) !=
		    (ssize_t)sizeof(buffer)) {
			perror(args[0]);
			return 1;
		}
	}
	print_rate(count * RANDOM_BYTES, from);
	return 0;
}

/* ---- many files ------------------------------------------------------------------------------ */

static char *paths[PATHS_MAX];
static size_t path_count;

static int add_path(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	if (type == FTW_F && path_count < PATHS_MAX)
		paths[path_count++] = loam_xstrdup(path);
	return 0;
}

static void gather(char **args)
{
	for (; *args; args++) {
		if (nftw(*args, add_path, 16, FTW_PHYS) != 0) {
			perror(*args);
			exit(1);
		}
	}
}

static atomic_size_t next_path;
static atomic_uint_fast64_t total;

static void *get_some(void *arg)
{
	loam_auto_free void *buffer = loam_xcalloc(1, READ_BYTES);
	for (size_t i; (i = atomic_fetch_add(&next_path, 1)) < path_count;)
		atomic_fetch_add(&total, read_whole(paths[i], buffer));
	return NULL;
}

static int run_gets(char **args)
{
	unsigned count = (unsigned)strtoul(args[1], NULL, 10);
	pthread_t threads[THREADS_MAX];
	char *dirs[] = { args[0], NULL };
	gather(dirs);
	if (count == 0 || count > THREADS_MAX)
		return 2;
	uint64_t from = loam_clock_ns();
	for (unsigned i = 0; i < count; i++) {
		if (pthread_create(&threads[i], NULL, get_some, NULL) != 0)
			return 1;
	}
	for (unsigned i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
	print_rate(total, from);
	return 0;
}

static int run_cached(char **args)
{
	uint64_t pages = 0;
	gather(args);
	for (size_t i = 0; i < path_count; i++) {
		uint64_t size;
		loam_auto_fd int fd = open_file(paths[i], &size);
		struct cachestat_range all = { 0 };
		struct cachestat_counts counts;
		if (syscall(SYS_cachestat, fd, &all, &counts, 0) != 0) {
			perror("cachestat");
			return 1;
		}
		pages += counts.cached;
	}
	printf("%" PRIu64 "\n", pages * (uint64_t)sysconf(_SC_PAGESIZE));
	return 0;
}

static int run_drop(char **args)
{
	gather(args);
	for (size_t i = 0; i < path_count; i++) {
		uint64_t size;
		loam_auto_fd int fd = open_file(paths[i], &size);
		fdatasync(fd); /* what is dirty stays; a file of another mount may refuse */
		posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	}
	return 0;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int args;
		bool more;
		int (*run)(char **args);
	} modes[] = {
		{ "seq", 1, false, run_seq },	    { "mmap", 1, false, run_mmap },
		{ "random", 2, false, run_random }, { "gets", 2, false, run_gets },
		{ "cached", 1, true, run_cached },  { "drop", 1, true, run_drop },
	};
	for (size_t i = 0; argc > 1 && i < LOAM_ARRAY_COUNT(modes); i++) {
		int given = argc - 2;
		if (strcmp(argv[1], modes[i].name) == 0 &&
		    (given == modes[i].args || (modes[i].more && given > modes[i].args)))
			return modes[i].run(argv + 2);
	}
	fprintf(stderr, "usage: bench_read seq|mmap FILE | random FILE N | gets DIR THREADS | "
			"cached|drop PATH...\n");
	return 2;
}
