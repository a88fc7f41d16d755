/*
 * Round trips of system calls on a mount whose Redis is reached through the relay:
 * trips DIR RELAY_PID COUNT_FILE
 *
 * Prints `operation  trips  most  allowed  requests` for each operation and ends with 1 when the
 * second lowest of ROUNDS runs is above what design.md §7 allows.
 *
 * One system call is several FUSE requests. What is allowed is added up from them, and the sum is
 * written out in the table: each LOOKUP costs 1 trip, each request that changes metadata 1 (its
 * parent is in the cache), OPEN, FLUSH of an unchanged file, RELEASE and answers from the cache 0.
 * To keep that list short and true, everything is named relative to an open directory whose
 * attributes are fetched before each run (the kernel asks for them again only after a second or a
 * change), and what already exists is reached through an open descriptor where the call allows it.
 * The kernel keeps no names (time-out 0), so each call that takes a name begins with its LOOKUP.
 * "later" is what a thread of the mount does behind the answer: a removed file's data goes by way
 * of `delfiles`, one trip where there is none.
 */
#include "core/auto.h"
#include "core/clock.h"
#include "core/err.h"
#include "fs/mount/loam_ioctl_format.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/xattr.h>

#define ROUNDS	   7
#define LISTED	   1000
#define SETTLE_MS  30
#define COUNT_MS   5000
#define COLD_BYTES (1u << 20)

struct place {
	int dir;		  /* the directory everything happens in */
	int file;		  /* descriptor of file-N, open for reading */
	char name[32], other[32]; /* names of this round */
};

struct operation {
	const char *name;
	int (*prepare)(struct place *place); /* not counted; NULL: nothing */
	int (*run)(struct place *place);
	unsigned allowed;
	const char *requests;
};

static pid_t relay_pid;
static const char *count_path;

/* ---- the count ---------------------------------------------------------------------------------
 */

/* Trips since the last time; -1 when the relay does not answer. */
static long take_count(void)
{
	unlink(count_path);
	if (kill(relay_pid, SIGUSR1) != 0)
		return -1;
	uint64_t end = loam_clock_ms() + COUNT_MS;
	for (;;) {
		FILE *file = fopen(count_path, "re");
		long count = -1;
		if (file) {
			if (fscanf(file, "%ld", &count) != 1)
				count = -1;
			fclose(file);
			return count;
		}
		if (loam_clock_ms() > end)
			return -1;
		loam_clock_sleep_ms(1);
	}
}

/* ---- what stands ready ----------------------------------------------------------------------- */

static int make_file(struct place *place)
{
	loam_auto_fd int fd =
		openat(place->dir, place->name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	return fd < 0 ? -1 : 0;
}

static int open_file(struct place *place)
{
	if (make_file(place) != 0)
		return -1;
	place->file = openat(place->dir, place->name, O_RDWR | O_CLOEXEC);
	return place->file < 0 ? -1 : 0;
}

static int make_dir(struct place *place)
{
	return mkdirat(place->dir, place->name, 0755);
}

static int make_symlink(struct place *place)
{
	return symlinkat("somewhere", place->dir, place->name);
}

static int two_files(struct place *place)
{
	if (make_file(place) != 0)
		return -1;
	loam_auto_fd int fd =
		openat(place->dir, place->other, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	return fd < 0 ? -1 : 0;
}

static int write_whole(int dir, const char *name, size_t bytes)
{
	loam_auto_free uint8_t *data = loam_xcalloc(1, bytes);
	for (size_t i = 0; i < bytes; i++)
		data[i] = (uint8_t)(i * 31 >> 3);
	loam_auto_fd int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0 || write(fd, data, bytes) != (ssize_t)bytes)
		return -1;
	return close(loam_steal_fd(&fd));
}

static int make_full(struct place *place)
{
	return write_whole(place->dir, place->name, COLD_BYTES);
}

static int open_full(struct place *place)
{
	if (make_full(place) != 0)
		return -1;
	place->file = openat(place->dir, place->name, O_RDWR | O_CLOEXEC);
	return place->file < 0 ? -1 : 0;
}

static int file_with_xattr(struct place *place)
{
	return open_file(place) == 0 ? fsetxattr(place->file, "user.test", "v", 1, 0) : -1;
}

/* u::rw- u:20007:rw- g::r-- m::rw- o::r-- */
static const struct {
	uint32_t version;
	struct {
		uint16_t tag, perm;
		uint32_t id;
	} entries[5];
} acl = { 2,
	  { { 1, 6, UINT32_MAX },
	    { 2, 6, 20007 },
	    { 4, 4, UINT32_MAX },
	    { 16, 6, UINT32_MAX },
	    { 32, 4, UINT32_MAX } } };

static int set_acl(struct place *place)
{
	return fsetxattr(place->file, "system.posix_acl_access", &acl, sizeof(acl), 0);
}

static int file_with_acl(struct place *place)
{
	return open_file(place) == 0 ? set_acl(place) : -1;
}

static int make_many(struct place *place)
{
	struct stat st;
	if (fstatat(place->dir, "many", &st, 0) == 0)
		return 0;
	if (mkdirat(place->dir, "many", 0755) != 0)
		return -1;
	for (unsigned i = 0; i < LISTED; i++) {
		char name[32];
		snprintf(name, sizeof(name), "many/%04u", i);
		if (mknodat(place->dir, name, S_IFREG | 0644, 0) != 0)
			return -1;
	}
	return 0;
}

/* ---- what is counted ------------------------------------------------------------------------- */

static int lookup(struct place *place)
{
	return faccessat(place->dir, place->name, F_OK, AT_SYMLINK_NOFOLLOW);
}

static int lookup_missing(struct place *place)
{
	return lookup(place) != 0 && errno == ENOENT ? 0 : -1;
}

static int getattr(struct place *place)
{
	struct stat st;
	return fstat(place->file, &st);
}

/* Past the second for which the kernel may keep attributes. */
static int open_and_wait(struct place *place)
{
	if (open_file(place) != 0)
		return -1;
	loam_clock_sleep_ms(1100);
	return 0;
}

static int mknod_file(struct place *place)
{
	return mknodat(place->dir, place->name, S_IFREG | 0644, 0);
}

static int unlink_file(struct place *place)
{
	return unlinkat(place->dir, place->name, 0);
}

static int rmdir_dir(struct place *place)
{
	return unlinkat(place->dir, place->name, AT_REMOVEDIR);
}

static int rename_file(struct place *place)
{
	return renameat(place->dir, place->name, place->dir, place->other);
}

static int link_file(struct place *place)
{
	return linkat(place->dir, place->name, place->dir, place->other, 0);
}

static int read_link(struct place *place)
{
	char target[64];
	return readlinkat(place->dir, place->name, target, sizeof(target)) == 9 ? 0 : -1;
}

static int chmod_file(struct place *place)
{
	return fchmod(place->file, 0600);
}

static int chown_file(struct place *place)
{
	return fchown(place->file, 20001, 20001);
}

static int utimens_file(struct place *place)
{
	const struct timespec times[2] = { { .tv_sec = 1000 }, { .tv_sec = 2000 } };
	return futimens(place->file, times);
}

static int truncate_file(struct place *place)
{
	return ftruncate(place->file, 12345);
}

static int write_new(struct place *place)
{
	return write_whole(place->dir, place->name, 4096);
}

static int open_only(struct place *place)
{
	loam_auto_fd int fd = openat(place->dir, place->name, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -1 : 0;
}

/* Cold: never read through this mount (written, but the cache of the kernel is dropped). */
static int read_cold(struct place *place)
{
	loam_auto_fd int fd = openat(place->dir, place->name, O_RDONLY | O_CLOEXEC);
	loam_auto_free char *data = loam_xcalloc(1, COLD_BYTES);
	return fd >= 0 && read(fd, data, COLD_BYTES) == COLD_BYTES ? 0 : -1;
}

static int list_many(struct place *place)
{
	int fd = openat(place->dir, "many", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir)
		return -1;
	unsigned found = 0;
	while (readdir(dir))
		found++;
	closedir(dir);
	return found == LISTED + 2 ? 0 : -1;
}

static int set_xattr(struct place *place)
{
	return fsetxattr(place->file, "user.test", "other", 5, 0);
}

static int get_xattr(struct place *place)
{
	char value[16];
	return fgetxattr(place->file, "user.test", value, sizeof(value)) == 1 ? 0 : -1;
}

static int remove_xattr(struct place *place)
{
	return fremovexattr(place->file, "user.test");
}

static int get_acl(struct place *place)
{
	char value[256];
	return fgetxattr(place->file, "system.posix_acl_access", value, sizeof(value)) > 0 ? 0 : -1;
}

static int stat_fs(struct place *place)
{
	struct statfs stats;
	return fstatfs(place->dir, &stats);
}

static int clone_file(struct place *place)
{
	struct loam_ioc_ticket ticket;
	if (ioctl(place->file, LOAM_IOC_TICKET, &ticket) != 0)
		return -1;
	struct loam_ioc_clone clone = { 0 };
	memcpy(clone.ticket, ticket.bytes, sizeof(clone.ticket));
	snprintf(clone.name, sizeof(clone.name), "%s", place->other);
	return ioctl(place->dir, LOAM_IOC_CLONE, &clone);
}

static const struct operation operations[] = {
	{ "lookup, there", make_file, lookup, 1, "LOOKUP 1" },
	{ "lookup, not there", NULL, lookup_missing, 1, "LOOKUP 1" },
	{ "getattr, cached", open_file, getattr, 0, "-" },
	{ "getattr", open_and_wait, getattr, 1, "GETATTR 1" },
	{ "mknod", NULL, mknod_file, 2, "LOOKUP 1, MKNOD 1" },
	{ "create, close", NULL, make_file, 2, "LOOKUP 1, CREATE 1, FLUSH 0" },
	{ "mkdir", NULL, make_dir, 2, "LOOKUP 1, MKDIR 1" },
	{ "symlink", NULL, make_symlink, 2, "LOOKUP 1, SYMLINK 1" },
	{ "link", make_file, link_file, 3, "LOOKUP 2, LINK 1" },
	{ "rename", make_file, rename_file, 3, "LOOKUP 2, RENAME 1" },
	{ "rename over a file", two_files, rename_file, 4, "LOOKUP 2, RENAME 1, later: data 1" },
	{ "unlink", make_file, unlink_file, 3, "LOOKUP 1, UNLINK 1, later: data 1" },
	{ "rmdir", make_dir, rmdir_dir, 2, "LOOKUP 1, RMDIR 1" },
	{ "readlink", make_symlink, read_link, 2, "LOOKUP 1, READLINK 1" },
	{ "chmod", open_file, chmod_file, 1, "SETATTR 1" },
	{ "chown", open_file, chown_file, 1, "SETATTR 1" },
	{ "utimens", open_file, utimens_file, 1, "SETATTR 1" },
	{ "truncate", open_full, truncate_file, 1, "SETATTR 1" },
	{ "setxattr", open_file, set_xattr, 1, "SETXATTR 1" },
	{ "getxattr", file_with_xattr, get_xattr, 1, "GETXATTR 1" },
	{ "removexattr", file_with_xattr, remove_xattr, 1, "REMOVEXATTR 1" },
	{ "set an ACL", open_file, set_acl, 1, "SETXATTR 1" },
	{ "get an ACL", file_with_acl, get_acl, 0, "-" },
	{ "open, close", make_file, open_only, 1, "LOOKUP 1, OPEN 0" },
	{ "write of a new file", NULL, write_new, 3, "LOOKUP 1, CREATE 1, FLUSH 1" },
	{ "read of a file", make_full, read_cold, 2, "LOOKUP 1, OPEN 0, READ 1" },
	{ "list of 1,000 names", make_many, list_many, 2, "LOOKUP 1, OPENDIR 0, READDIR 1" },
	{ "statfs", NULL, stat_fs, 1, "STATFS 1" },
	{ "clone of a file", open_full, clone_file, 2, "IOCTL: reads 1, changes 1" },
};

/* ---- the table ------------------------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
	long x = *(const long *)a, y = *(const long *)b;
	return x < y ? -1 : x > y;
}

/* Trips of one run, or -1. */
static long run_once(const struct operation *operation, struct place *place)
{
	struct stat st;
	int rc = operation->prepare ? operation->prepare(place) : 0;
	if (rc == 0)
		loam_clock_sleep_ms(SETTLE_MS); /* RELEASE comes after close(2) has returned */
	if (rc == 0)
		rc = fstat(place->dir, &st);
	if (rc != 0 || take_count() < 0)
		return -1;
	if (operation->run(place) != 0)
		return -1;
	loam_clock_sleep_ms(SETTLE_MS);
	return take_count();
}

static bool run_operation(const struct operation *operation, unsigned index, int dir)
{
	long trips[ROUNDS];
	for (unsigned i = 0; i < ROUNDS; i++) {
		struct place place = { .dir = dir, .file = -1 };
		snprintf(place.name, sizeof(place.name), "a%u-%u", index, i);
		snprintf(place.other, sizeof(place.other), "b%u-%u", index, i);
		trips[i] = run_once(operation, &place);
		int problem = errno;
		if (place.file >= 0)
			close(place.file);
		if (trips[i] < 0) {
			fprintf(stderr, "%s: %s\n", operation->name, strerror(problem));
			return false;
		}
	}
	qsort(trips, ROUNDS, sizeof(trips[0]), by_value);
	/* what goes on beside it (roster, removals) only adds; one run may profit from another */
	long own = trips[1];
	bool kept = own <= (long)operation->allowed;
	printf("%-22s %5ld %5ld %7u  %s%s\n", operation->name, own, trips[ROUNDS - 1],
	       operation->allowed, operation->requests, kept ? "" : "  TOO MANY");
	fflush(stdout);
	return kept;
}

int main(int argc, char **argv)
{
	if (argc != 4) {
		fprintf(stderr, "usage: trips DIR RELAY_PID COUNT_FILE\n");
		return 2;
	}
	relay_pid = (pid_t)strtol(argv[2], NULL, 10);
	count_path = argv[3];
	loam_auto_fd int dir = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 || relay_pid <= 0) {
		perror(argv[1]);
		return 2;
	}
	printf("%-22s %5s %5s %7s  %s\n", "operation", "trips", "most", "allowed", "requests");
	bool kept = true;
	for (unsigned i = 0; i < LOAM_ARRAY_COUNT(operations); i++)
		kept = run_operation(&operations[i], i, dir) && kept;
	return kept ? 0 : 1;
}
