/*
 * System calls on data paths and the loops around them (core/sys.h). Every call passes the
 * failpoint "sys.<call>" first, and reads and writes may be cut short there: the loops are tested
 * that way.
 */
#include "core/sys.h"

#include "core/auto.h"
#include "core/failpoint.h"
#include "core/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_STEP_BYTES	 (64u << 10)
#define DIRECT_BYTES_MIN (1u << 20)

int loam_sys_pread(int fd, void *out, size_t bytes, uint64_t offset, size_t *out_read,
		   struct loam_err *err)
{
	size_t done = 0;
	while (done < bytes) {
		int rc = loam_failpoint("sys.pread", err);
		if (rc < 0)
			return rc;
		size_t step = loam_failpoint_short("sys.pread", bytes - done);
		ssize_t got = pread(fd, (uint8_t *)out + done, step, (off_t)(offset + done));
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return loam_fail_errno(err, "read %zu bytes at %llu", bytes,
					       (unsigned long long)offset);
		if (got == 0)
			break;
		done += (size_t)got;
	}
	*out_read = done;
	return 0;
}

int loam_sys_pread_all(int fd, void *out, size_t bytes, uint64_t offset, struct loam_err *err)
{
	size_t got = 0;
	int rc = loam_sys_pread(fd, out, bytes, offset, &got, err);
	if (rc < 0)
		return rc;
	if (got < bytes)
		return loam_fail(err, LOAM_E_CORRUPT, "the file ends %zu bytes early", bytes - got);
	return 0;
}

int loam_sys_pwrite_all(int fd, const void *data, size_t bytes, uint64_t offset,
			struct loam_err *err)
{
	size_t done = 0;
	while (done < bytes) {
		int rc = loam_failpoint("sys.pwrite", err);
		if (rc < 0)
			return rc;
		size_t step = loam_failpoint_short("sys.pwrite", bytes - done);
		ssize_t put =
			pwrite(fd, (const uint8_t *)data + done, step, (off_t)(offset + done));
		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return loam_fail_errno(err, "write %zu bytes at %llu", bytes,
					       (unsigned long long)offset);
		done += (size_t)put;
	}
	return 0;
}

int loam_sys_write_all(int fd, const void *data, size_t bytes, struct loam_err *err)
{
	size_t done = 0;
	while (done < bytes) {
		int rc = loam_failpoint("sys.write", err);
		if (rc < 0)
			return rc;
		size_t step = loam_failpoint_short("sys.write", bytes - done);
		ssize_t put = write(fd, (const uint8_t *)data + done, step);
		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return loam_fail_errno(err, "write %zu bytes", bytes);
		done += (size_t)put;
	}
	return 0;
}

int loam_sys_fdatasync(int fd, struct loam_err *err)
{
	int rc = loam_failpoint("sys.fdatasync", err);
	if (rc < 0)
		return rc;
	/* Never tried again: the kernel may have dropped the pages that failed. */
	if (fdatasync(fd) < 0)
		return loam_fail_errno(err, "fdatasync");
	return 0;
}

int loam_sys_fsync(int fd, struct loam_err *err)
{
	int rc = loam_failpoint("sys.fsync", err);
	if (rc < 0)
		return rc;
	if (fsync(fd) < 0)
		return loam_fail_errno(err, "fsync");
	return 0;
}

int loam_sys_renameat(int from_dir, const char *from, int to_dir, const char *to,
		      struct loam_err *err)
{
	int rc = loam_failpoint("sys.renameat", err);
	if (rc < 0)
		return rc;
	if (renameat(from_dir, from, to_dir, to) < 0)
		return loam_fail_errno(err, "rename %s to %s", from, to);
	return 0;
}

bool loam_sys_may_go_direct(const void *data, size_t bytes, uint64_t offset)
{
	return bytes >= DIRECT_BYTES_MIN && bytes % LOAM_DIRECT_ALIGNMENT == 0 &&
	       offset % LOAM_DIRECT_ALIGNMENT == 0 && (uintptr_t)data % LOAM_DIRECT_ALIGNMENT == 0;
}

int loam_sys_reopen(int fd, int flags, int *out_fd, struct loam_err *err)
{
	char name[64];
	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	int again = open(name, flags | O_CLOEXEC);
	if (again < 0)
		return loam_fail_errno(err, "open %s", name);
	*out_fd = again;
	return 0;
}

/* One read(2). 0 bytes only at the end. */
static int read_step(int fd, void *out, size_t bytes, size_t *out_read, struct loam_err *err)
{
	for (;;) {
		int rc = loam_failpoint("sys.read", err);
		if (rc < 0)
			return rc;
		ssize_t got = read(fd, out, loam_failpoint_short("sys.read", bytes));
		if (got >= 0) {
			*out_read = (size_t)got;
			return 0;
		}
		if (errno != EINTR)
			return loam_fail_errno(err, "read");
	}
}

int loam_fd_read_all(int fd, struct loam_buf *out, struct loam_err *err)
{
	for (;;) {
		size_t room = out->max_bytes - out->bytes;
		uint8_t probe; /* with no room left: is there another byte? */
		size_t got = 0;
		size_t step = room < READ_STEP_BYTES ? room : READ_STEP_BYTES;
		int rc = step ? loam_buf_reserve(out, step, err) : 0;
		if (rc < 0)
			return rc;
		rc = read_step(fd, step ? out->data + out->bytes : &probe, step ? step : 1, &got,
			       err);
		if (rc < 0)
			return rc;
		if (got == 0)
			return 0;
		if (step == 0)
			return loam_fail(err, LOAM_E_TOO_LARGE, "more than %zu bytes",
					 out->max_bytes);
		out->bytes += got;
		out->data[out->bytes] = '\0';
	}
}

int loam_path_read_all(const char *path, struct loam_buf *out, struct loam_err *err)
{
	loam_auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return loam_fail_errno(err, "open %s", path);
	if (loam_fd_read_all(fd, out, err) < 0)
		return loam_context(err, "%s", path);
	return 0;
}

static int make_one(const char *path, mode_t mode, struct loam_err *err)
{
	if (mkdir(path, mode) == 0)
		return 0;
	int why = errno;
	struct stat st;
	/* Read-only and forbidden parents that exist are no hindrance. */
	if (stat(path, &st) == 0) {
		if (S_ISDIR(st.st_mode))
			return 0;
		why = ENOTDIR;
	}
	errno = why;
	return loam_fail_errno(err, "make directory %s", path);
}

int loam_mkdir_all(const char *path, mode_t mode, struct loam_err *err)
{
	if (!*path)
		return loam_fail(err, LOAM_E_INVALID, "a directory without name");
	if (strlen(path) > LOAM_PATH_BYTES_MAX)
		return loam_fail(err, LOAM_E_NAME_TOO_LONG, "a path of %zu bytes", strlen(path));
	loam_auto_free char *copy = loam_xstrdup(path);
	for (char *at = copy + 1; *at; at++) {
		if (*at != '/' || at[-1] == '/')
			continue;
		*at = '\0';
		int rc = make_one(copy, mode, err);
		if (rc < 0)
			return rc;
		*at = '/';
	}
	return make_one(copy, mode, err);
}

int loam_mkdir_above(const char *path, struct loam_err *err)
{
	loam_auto_free char *above = loam_xstrdup(path);
	size_t bytes = strlen(above);
	while (bytes > 1 && above[bytes - 1] == '/')
		bytes--;
	above[bytes] = '\0';
	char *slash = strrchr(above, '/');
	if (!slash || slash == above)
		return 0;
	*slash = '\0';
	mode_t mask = umask(0066);
	int rc = loam_mkdir_all(above, 0711, err);
	umask(mask);
	return rc;
}

char *loam_path_join(const char *dir, const char *name)
{
	size_t dir_bytes = strlen(dir);
	while (dir_bytes > 0 && dir[dir_bytes - 1] == '/')
		dir_bytes--;
	name += strspn(name, "/");
	return loam_xasprintf("%.*s/%s", (int)dir_bytes, dir, name);
}
