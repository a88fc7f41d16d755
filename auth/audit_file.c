/*
 * Appending and rotating (auth/audit_file.h).
 *
 * Before a line is written the path must still name the file that is open: another process may have
 * rotated it, an administrator moved it. Who finds it over its size takes the file's lock, looks
 * again, renames PATH.n to PATH.n+1 from the oldest on, then PATH to PATH.1. Whoever still has the
 * old file open writes its line there: it stands in PATH.1, nothing is lost.
 *
 * A short write (the disk became full within a line) leaves a torn line; the next one begins with a
 * newline, so that the damage ends there. Readers skip and count what is no JSON.
 */
#include "auth/audit_file.h"

#include "core/auto.h"
#include "core/privileges.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#define OPEN_TRIES 5

struct loam_audit_file {
	char *path;
	uint64_t max_bytes;
	unsigned keep;
	pthread_mutex_t lock; /* everything below */
	int fd;
	bool torn;
	atomic_bool reopen;
};

struct loam_audit_file *loam_audit_file_new(const char *path, uint64_t max_bytes, unsigned keep)
{
	struct loam_audit_file *file = loam_xnew(struct loam_audit_file);
	file->path = loam_xstrdup(path);
	file->max_bytes = max_bytes;
	file->keep = keep;
	file->fd = -1;
	pthread_mutex_init(&file->lock, NULL);
	return file;
}

static void close_fd(struct loam_audit_file *file)
{
	if (file->fd >= 0)
		close(file->fd);
	file->fd = -1;
}

void loam_audit_file_free(struct loam_audit_file *file)
{
	if (!file)
		return;
	close_fd(file);
	pthread_mutex_destroy(&file->lock);
	free(file->path);
	free(file);
}

void loam_audit_file_reopen(struct loam_audit_file *file)
{
	atomic_store(&file->reopen, true);
}

/* root's command line may be the first to write, and turns the files, too: as the owner of the
 * directory would, so that serve, under its own account, can go on with them. */
static struct loam_file_owner as_owner(const struct loam_audit_file *file)
{
	loam_auto_free char *copy = loam_xstrdup(file->path);
	return loam_file_owner_enter(dirname(copy));
}

static int open_path(struct loam_audit_file *file, struct loam_err *err)
{
	int fd = open(file->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	struct stat st;
	if (fd < 0)
		return loam_fail_errno(err, "open %s", file->path);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		close(fd);
		return loam_fail(err, LOAM_E_INVALID, "%s is not a file", file->path);
	}
	file->fd = fd;
	return 0;
}

/* Does the path name what is open? Its size, if so. */
static bool is_current(const struct loam_audit_file *file, uint64_t *out_bytes)
{
	struct stat open_one, named;
	if (fstat(file->fd, &open_one) < 0 || lstat(file->path, &named) < 0 ||
	    open_one.st_dev != named.st_dev || open_one.st_ino != named.st_ino)
		return false;
	*out_bytes = (uint64_t)open_one.st_size;
	return true;
}

static int move(const char *from, const char *to, struct loam_err *err)
{
	if (rename(from, to) == 0 || errno == ENOENT)
		return 0;
	return loam_fail_errno(err, "rename %s", from);
}

/* The lock on the open file is held, and it is the current one. */
static int shift(const struct loam_audit_file *file, struct loam_err *err)
{
	int rc = 0;
	for (unsigned n = file->keep; rc == 0 && n > 0; n--) {
		loam_auto_free char *to = loam_xasprintf("%s.%u", file->path, n);
		loam_auto_free char *from = n > 1 ? loam_xasprintf("%s.%u", file->path, n - 1)
						  : loam_xstrdup(file->path);
		rc = move(from, to, err);
	}
	return rc;
}

static int rotate(struct loam_audit_file *file, struct loam_err *err)
{
	uint64_t bytes = 0;
	if (flock(file->fd, LOCK_EX) < 0)
		return loam_fail_errno(err, "lock %s", file->path);
	int rc = 0;
	if (is_current(file, &bytes) && bytes >= file->max_bytes)
		rc = shift(file, err);
	close_fd(file); /* and with it the lock */
	return rc;
}

/* Open, the file that the path names, and below its size. */
static int make_ready(struct loam_audit_file *file, size_t line_bytes, struct loam_err *err)
{
	if (atomic_exchange(&file->reopen, false))
		close_fd(file);
	for (int try = 0; try < OPEN_TRIES; try++) {
		uint64_t bytes = 0;
		int rc = file->fd < 0 ? open_path(file, err) : 0;
		if (rc < 0)
			return rc;
		if (!is_current(file, &bytes)) {
			close_fd(file);
			continue;
		}
		if (bytes == 0 || bytes + line_bytes <= file->max_bytes)
			return 0;
		file->torn = false;
		rc = rotate(file, err);
		if (rc < 0)
			return rc;
	}
	return file->fd < 0 ? open_path(file, err) : 0;
}

int loam_audit_file_add(struct loam_audit_file *file, const char *line, size_t line_bytes,
			struct loam_err *err)
{
	loam_guard(&file->lock);
	loam_auto_file_owner struct loam_file_owner owner = as_owner(file);
	int rc = make_ready(file, line_bytes, err);
	if (rc < 0)
		return rc;
	if (file->torn && write(file->fd, "\n", 1) != 1)
		return loam_fail_errno(err, "write %s", file->path);
	file->torn = false;
	ssize_t put;
	do {
		put = write(file->fd, line, line_bytes);
	} while (put < 0 && errno == EINTR);
	if (put < 0)
		return loam_fail_errno(err, "write %s", file->path);
	file->torn = (size_t)put < line_bytes;
	if (file->torn)
		return loam_fail(err, LOAM_E_NO_SPACE, "write %s: the disk is full", file->path);
	return 0;
}
