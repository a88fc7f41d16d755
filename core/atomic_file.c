/*
 * Durable replacement of a file (core/atomic_file.h).
 *
 *   open ──> write* ──> commit: fsync(temp) ─> rename over target ─> fsync(directory) ──> free
 *              │ error kept                │ fails                 │ fails
 *              └──────────> commit fails <─┴───────────────────────┘        free removes temp
 *
 * Each arrow has a failpoint, so a crash test can stop between any two of them.
 */
#include "core/atomic_file.h"

#include "core/auto.h"
#include "core/failpoint.h"
#include "core/hash.h"
#include "core/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define TEMP_PREFIX	  ".loam-tmp-"
#define TEMP_RANDOM_BYTES 16

struct loam_atomic_file {
	int dir_fd;
	int fd;
	char *name; /* in dir_fd */
	char temp[sizeof(TEMP_PREFIX) + TEMP_RANDOM_BYTES];
	bool has_temp;
	struct loam_err failed; /* the first failed write */
};

LOAM_DEFINE_AUTO(auto_atomic_file, struct loam_atomic_file, loam_atomic_file_free)

static int open_dir(const char *path, struct loam_atomic_file *file, struct loam_err *err)
{
	const char *slash = strrchr(path, '/');
	file->name = loam_xstrdup(slash ? slash + 1 : path);
	if (!*file->name)
		return loam_fail(err, LOAM_E_INVALID, "'%s' names no file", path);

	size_t dir_bytes = slash ? (size_t)(slash - path) : 0;
	loam_auto_free char *dir = !slash	? loam_xstrdup(".")
				   : !dir_bytes ? loam_xstrdup("/")
						: loam_xstrndup(path, dir_bytes);
	file->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (file->dir_fd < 0)
		return loam_fail_errno(err, "open directory %s", dir);
	return 0;
}

static int open_temp(struct loam_atomic_file *file, mode_t mode, struct loam_err *err)
{
	memcpy(file->temp, TEMP_PREFIX, strlen(TEMP_PREFIX));
	loam_random_base62(file->temp + strlen(TEMP_PREFIX), TEMP_RANDOM_BYTES);
	file->fd = openat(file->dir_fd, file->temp,
			  O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (file->fd < 0)
		return loam_fail_errno(err, "create a file beside %s", file->name);
	file->has_temp = true;
	/* The mode as asked for, whatever the umask. */
	if (fchmod(file->fd, mode) < 0)
		return loam_fail_errno(err, "set mode of %s", file->name);
	return 0;
}

int loam_atomic_file_open(const char *path, mode_t mode, struct loam_atomic_file **out_file,
			  struct loam_err *err)
{
	__attribute__((cleanup(auto_atomic_file_))) struct loam_atomic_file *file =
		loam_xnew(struct loam_atomic_file);
	file->dir_fd = -1;
	file->fd = -1;
	int rc = open_dir(path, file, err);
	if (rc == 0)
		rc = open_temp(file, mode, err);
	if (rc < 0)
		return rc;
	*out_file = loam_steal(&file);
	return 0;
}

void loam_atomic_file_write(struct loam_atomic_file *file, const void *data, size_t bytes)
{
	if (file->failed.code == LOAM_E_OK)
		loam_sys_write_all(file->fd, data, bytes, &file->failed);
}

static int commit(struct loam_atomic_file *file, struct loam_err *err)
{
	int rc = loam_failpoint("core.atomic_file.written", err);
	if (rc == 0)
		rc = loam_sys_fsync(file->fd, err);
	if (rc == 0)
		rc = loam_failpoint("core.atomic_file.synced", err);
	if (rc == 0)
		rc = loam_sys_renameat(file->dir_fd, file->temp, file->dir_fd, file->name, err);
	if (rc < 0)
		return rc;
	file->has_temp = false;
	rc = loam_failpoint("core.atomic_file.renamed", err);
	if (rc < 0)
		return rc;
	return loam_sys_fsync(file->dir_fd, err);
}

int loam_atomic_file_commit(struct loam_atomic_file *file, struct loam_err *err)
{
	if (file->failed.code != LOAM_E_OK) {
		*err = file->failed;
		return loam_context(err, "%s", file->name);
	}
	if (commit(file, err) < 0)
		return loam_context(err, "%s", file->name);
	return 0;
}

void loam_atomic_file_free(struct loam_atomic_file *file)
{
	if (!file)
		return;
	if (file->has_temp)
		unlinkat(file->dir_fd, file->temp, 0);
	if (file->fd >= 0)
		close(file->fd);
	if (file->dir_fd >= 0)
		close(file->dir_fd);
	free(file->name);
	free(file);
}

int loam_atomic_file_put(const char *path, mode_t mode, const void *data, size_t bytes,
			 struct loam_err *err)
{
	__attribute__((cleanup(auto_atomic_file_))) struct loam_atomic_file *file = NULL;
	int rc = loam_atomic_file_open(path, mode, &file, err);
	if (rc < 0)
		return rc;
	loam_atomic_file_write(file, data, bytes);
	return loam_atomic_file_commit(file, err);
}
