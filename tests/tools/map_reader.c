/*
 * Processes that read a file through a map and compare each page with what it must hold:
 *
 *   tool_map_reader [-c CHILDREN] [-r] FILE REFERENCE STATUS
 *
 * Each child opens and maps FILE (MAP_SHARED) and reads all of it again and again, in an order of
 * its own: its pages are given back before each round (MADV_DONTNEED), so that every round faults
 * them in anew. -r reads some with pread as well. REFERENCE holds the right bytes on another file
 * system. The parent writes one line to STATUS five times a second, and once more at the end:
 *
 *   mapped=N rounds_min=N zero=N wrong=N sigbus=N read_errors=N
 *
 * `mapped` counts the children whose map stands, `zero` pages of zeros where there should be none,
 * `wrong` other differences. SIGTERM ends it: each child leaves the round it is in and reads a last
 * part of the file once more. Exit status 0 when zero, wrong, sigbus and read_errors are 0, else 1.
 */
#include "core/auto.h"
#include "core/err.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#define CHILDREN_MAX 1000u
#define PAGE_BYTES   4096u
#define STEP_PAGES   256u
#define CALL_EVERY   8u /* steps */
#define LAST_STEPS   16u
#define PAUSE_NS     400000l /* per child */
#define STEP_NS	     200000000l

struct child {
	_Atomic(uint64_t) mapped, rounds, zero, wrong, sigbus, read_errors;
};

static struct child *children;
static const uint8_t *reference;
static size_t file_bytes;
static long pause_ns; /* after each step: all children together leave the machine to others */
static volatile sig_atomic_t ending;
static sigjmp_buf on_bad_page;

static void note_end(int number)
{
	ending = 1;
}

static void note_bus(int number)
{
	siglongjmp(on_bad_page, 1);
}

static const void *map_file(const char *path, int fd)
{
	struct stat is;
	if (fd < 0 || fstat(fd, &is) != 0) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		exit(2);
	}
	if (file_bytes == 0)
		file_bytes = (size_t)is.st_size;
	if ((size_t)is.st_size != file_bytes || file_bytes == 0) {
		fprintf(stderr, "%s: %lld bytes, not %zu\n", path, (long long)is.st_size,
			file_bytes);
		exit(2);
	}
	const void *map = mmap(NULL, file_bytes, PROT_READ, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED) {
		fprintf(stderr, "map %s: %s\n", path, strerror(errno));
		exit(2);
	}
	return map;
}

static bool all_zero(const uint8_t *page, size_t bytes)
{
	return page[0] == 0 && memcmp(page, page + 1, bytes - 1) == 0;
}

static void judge(struct child *child, const uint8_t *page, size_t at)
{
	size_t bytes = file_bytes - at < PAGE_BYTES ? file_bytes - at : PAGE_BYTES;
	if (memcmp(page, reference + at, bytes) == 0)
		return;
	if (all_zero(page, bytes))
		child->zero++;
	else
		child->wrong++;
}

static __attribute__((noinline)) void judge_mapped(struct child *child, const uint8_t *map,
						   size_t at)
{
	if (sigsetjmp(on_bad_page, 1))
		child->sigbus++;
	else
		judge(child, map + at, at);
}

static void read_step(struct child *child, const uint8_t *map, size_t from)
{
	for (size_t i = 0; i < STEP_PAGES && from + i * PAGE_BYTES < file_bytes; i++)
		judge_mapped(child, map, from + i * PAGE_BYTES);
}

static void read_call(struct child *child, int fd, size_t from)
{
	static uint8_t buffer[STEP_PAGES * PAGE_BYTES];
	size_t want = file_bytes - from < sizeof(buffer) ? file_bytes - from : sizeof(buffer);
	ssize_t got = pread(fd, buffer, want, (off_t)from);
	if (got <= 0) {
		child->read_errors++;
		return;
	}
	for (size_t at = 0; at + PAGE_BYTES <= (size_t)got; at += PAGE_BYTES)
		judge(child, buffer + at, from + at);
}

/* `count` steps from `first` on, around the end of the file. False when it has been cut short. */
static bool read_steps(struct child *child, int fd, const uint8_t *map, bool with_calls,
		       size_t first, size_t count)
{
	size_t step = (size_t)STEP_PAGES * PAGE_BYTES;
	size_t steps = (file_bytes + step - 1) / step;
	bool until_end = !ending;
	struct timespec pause = { .tv_nsec = pause_ns };
	madvise((void *)(uintptr_t)map, file_bytes, MADV_DONTNEED);
	for (size_t i = 0; i < count && i < steps; i++) {
		size_t from = (first + i) % steps * step;
		read_step(child, map, from);
		if (with_calls && i % CALL_EVERY == 0)
			read_call(child, fd, from);
		if (until_end && ending)
			return false;
		if (until_end)
			nanosleep(&pause, NULL);
	}
	return true;
}

static void run_child(struct child *child, const char *path, size_t index, bool with_calls)
{
	struct sigaction bus = { .sa_handler = note_bus };
	sigaction(SIGBUS, &bus, NULL);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	const uint8_t *map = map_file(path, fd);
	child->mapped = 1;
	while (!ending)
		child->rounds += read_steps(child, fd, map, with_calls, index * 7, SIZE_MAX);
	read_steps(child, fd, map, with_calls, index * LAST_STEPS, LAST_STEPS);
	_exit(0);
}

/* Returns whether all is well so far. */
static bool write_status(const char *path, size_t count)
{
	uint64_t mapped = 0, rounds = UINT64_MAX, zero = 0, wrong = 0, sigbus = 0, errors = 0;
	for (size_t i = 0; i < count; i++) {
		mapped += children[i].mapped;
		rounds = children[i].rounds < rounds ? children[i].rounds : rounds;
		zero += children[i].zero;
		wrong += children[i].wrong;
		sigbus += children[i].sigbus;
		errors += children[i].read_errors;
	}
	loam_auto_free char *temp = loam_xasprintf("%s.new", path);
	FILE *file = fopen(temp, "we");
	if (!file)
		return false;
	fprintf(file,
		"mapped=%llu rounds_min=%llu zero=%llu wrong=%llu sigbus=%llu read_errors=%llu\n",
		(unsigned long long)mapped, (unsigned long long)rounds, (unsigned long long)zero,
		(unsigned long long)wrong, (unsigned long long)sigbus, (unsigned long long)errors);
	if (fclose(file) != 0 || rename(temp, path) != 0)
		return false;
	return zero + wrong + sigbus + errors == 0;
}

static int watch(const char *status_path, size_t count)
{
	bool failed = false, told = false;
	for (size_t running = count; running > 0;) {
		int status;
		while (waitpid(-1, &status, WNOHANG) > 0) {
			running--;
			failed |= status != 0;
		}
		write_status(status_path, count);
		if (ending && !told) {
			told = true;
			kill(0, SIGTERM);
		}
		struct timespec step = { .tv_nsec = STEP_NS };
		nanosleep(&step, NULL);
	}
	return write_status(status_path, count) && !failed ? 0 : 1;
}

int main(int argc, char **argv)
{
	size_t count = 1;
	bool with_calls = false;
	for (int option; (option = getopt(argc, argv, "c:r")) != -1;) {
		if (option == 'c')
			count = strtoul(optarg, NULL, 10);
		else if (option == 'r')
			with_calls = true;
		else
			return 2;
	}
	if (argc - optind != 3 || count == 0 || count > CHILDREN_MAX) {
		fprintf(stderr, "usage: %s [-c CHILDREN] [-r] FILE REFERENCE STATUS\n", argv[0]);
		return 2;
	}
	const char *path = argv[optind];
	pause_ns = (long)count * PAUSE_NS;
	setpgid(0, 0); /* SIGTERM goes to the children by way of the group */
	reference = map_file(argv[optind + 1], open(argv[optind + 1], O_RDONLY | O_CLOEXEC));
	children = mmap(NULL, count * sizeof(*children), PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (children == MAP_FAILED)
		return 2;
	struct sigaction end = { .sa_handler = note_end, .sa_flags = SA_RESTART };
	sigaction(SIGTERM, &end, NULL);
	for (size_t i = 0; i < count; i++) {
		pid_t pid = fork();
		if (pid < 0)
			return 2;
		if (pid == 0)
			run_child(&children[i], path, i, with_calls);
	}
	return watch(argv[optind + 2], count);
}
