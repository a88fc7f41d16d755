/*
 * Pushes under way and what dead ones leave (sync/git_push.h; steps 5 to 7 of a push).
 *
 *   objects/tmp_objdir-*, objects/incoming-*   quarantine: what was unpacked and not taken; rules
 *                                              of a published directory (sync/add_rules.h)
 *   refs/…/X.lock                              the branch was about to move
 *   packed-refs.lock, HEAD.lock                also taken by git commands that somebody runs here
 *                                              by hand and by ourselves, so only when they are old
 */
#include "sync/git_push.h"

#include "core/auto.h"
#include "core/log.h"
#include "core/sys.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#define LOCK_NAME    "loam-pushes"
#define DIR_FLAGS    (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
#define DEPTH_MAX    128 /* what `loam publish` lays out is as deep as a tree may be */
#define OLD_SECONDS  10	 /* no git command holds packed-refs or HEAD for so long */
#define LOCK_ENDING  ".lock"
#define QUARANTINE   "tmp_objdir-"
#define QUARANTINE_2 "incoming-" /* before git 2.35 */

static void close_dir(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}
#define loam_auto_dir __attribute__((cleanup(close_dir)))

/* NULL when it is not there, or not a directory. */
static DIR *open_dir(int parent_fd, const char *name)
{
	int fd = openat(parent_fd, name, DIR_FLAGS);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	if (fd >= 0 && !dir)
		close(fd);
	return dir;
}

static bool is_self(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

static bool begins(const char *name, const char *with)
{
	return strncmp(name, with, strlen(with)) == 0;
}

static bool ends(const char *name, const char *with)
{
	size_t bytes = strlen(name), with_bytes = strlen(with);
	return bytes > with_bytes && strcmp(name + bytes - with_bytes, with) == 0;
}

static int remove_tree(int parent_fd, const char *name, int depth, struct loam_err *err)
{
	if (unlinkat(parent_fd, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR || depth == DEPTH_MAX)
		return loam_fail_errno(err, "remove %s", name);
	loam_auto_dir DIR *dir = open_dir(parent_fd, name);
	int rc = 0;
	for (struct dirent *at; rc == 0 && dir && (at = readdir(dir));)
		if (!is_self(at->d_name))
			rc = remove_tree(dirfd(dir), at->d_name, depth + 1, err);
	if (rc == 0 && unlinkat(parent_fd, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
		rc = loam_fail_errno(err, "remove %s", name);
	return rc;
}

static int sweep_objects(int bare_fd, unsigned *removed, struct loam_err *err)
{
	loam_auto_dir DIR *dir = open_dir(bare_fd, "objects");
	int rc = 0;
	for (struct dirent *at; rc == 0 && dir && (at = readdir(dir));) {
		if (!begins(at->d_name, QUARANTINE) && !begins(at->d_name, QUARANTINE_2))
			continue;
		rc = remove_tree(dirfd(dir), at->d_name, 0, err);
		++*removed;
	}
	return rc;
}

static int sweep_refs(int parent_fd, const char *name, int depth, unsigned *removed,
		      struct loam_err *err)
{
	loam_auto_dir DIR *dir = open_dir(parent_fd, name);
	int rc = 0;
	for (struct dirent *at; rc == 0 && dir && (at = readdir(dir));) {
		if (is_self(at->d_name))
			continue;
		if (at->d_type == DT_DIR && depth < DEPTH_MAX)
			rc = sweep_refs(dirfd(dir), at->d_name, depth + 1, removed, err);
		else if (at->d_type == DT_REG && ends(at->d_name, LOCK_ENDING)) {
			rc = remove_tree(dirfd(dir), at->d_name, DEPTH_MAX, err);
			++*removed;
		}
	}
	return rc;
}

static int sweep_old(int bare_fd, const char *name, unsigned *removed, struct loam_err *err)
{
	struct stat st;
	if (fstatat(bare_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode) ||
	    time(NULL) - st.st_mtime < OLD_SECONDS)
		return 0;
	++*removed;
	return remove_tree(bare_fd, name, DEPTH_MAX, err);
}

/* The exclusive lock is held. */
static int sweep(const char *bare, struct loam_err *err)
{
	unsigned removed = 0;
	loam_auto_fd int fd = open(bare, DIR_FLAGS);
	if (fd < 0)
		return loam_fail_errno(err, "open %s", bare);
	int rc = sweep_objects(fd, &removed, err);
	if (rc == 0)
		rc = sweep_refs(fd, "refs", 0, &removed, err);
	if (rc == 0)
		rc = sweep_old(fd, "packed-refs" LOCK_ENDING, &removed, err);
	if (rc == 0)
		rc = sweep_old(fd, "HEAD" LOCK_ENDING, &removed, err);
	if (removed > 0)
		loam_info("git.swept", "path=%s left_by_dead_pushes=%u", bare, removed);
	return rc < 0 ? loam_context(err, "sweep %s", bare) : 0;
}

/* 1 with the exclusive lock, 0 somebody holds it. */
static int try_alone(int fd, const char *bare, struct loam_err *err)
{
	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		return 1;
	return errno == EWOULDBLOCK ? 0 : loam_fail_errno(err, "lock %s/" LOCK_NAME, bare);
}

int loam_git_push_enter(const char *bare, int *out_fd, struct loam_err *err)
{
	loam_auto_free char *path = loam_path_join(bare, LOCK_NAME);
	loam_auto_fd int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return loam_fail_errno(err, "open %s", path);
	int rc = try_alone(fd, bare, err);
	if (rc == 1)
		rc = sweep(bare, err);
	if (rc < 0)
		return rc;
	while (flock(fd, LOCK_SH) < 0) /* waits for a sweep at most */
		if (errno != EINTR)
			return loam_fail_errno(err, "lock %s", path);
	*out_fd = loam_steal_fd(&fd);
	return 0;
}

int loam_git_push_sweep(const char *bare, struct loam_err *err)
{
	loam_auto_free char *path = loam_path_join(bare, LOCK_NAME);
	loam_auto_fd int fd = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : loam_fail_errno(err, "open %s", path);
	int rc = try_alone(fd, bare, err);
	if (rc == 1)
		rc = sweep(bare, err) < 0 ? -(int)err->code : 1;
	return rc;
}
