/*
 * The world of the tests of a mount: one mounted volume, short words for what is done to it, and
 * what users try. Included by the test programs only.
 */
#ifndef LOAM_TESTS_SUPPORT_MOUNT_WORLD_H
#define LOAM_TESTS_SUPPORT_MOUNT_WORLD_H

#include "core/auto.h"
#include "tests/support/mounted.h"

#include <acl/libacl.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/acl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define ALICE 20001u
#define BOB   20002u
#define CAROL 20003u
#define GROUP 21000u

static struct loam_test_mount mounted;

/* A path below the mount; four may be in use at once. */
static inline const char *at(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static inline const char *at(const char *fmt, ...)
{
	static char paths[4][4096];
	static unsigned turn;
	char *path = paths[turn++ % 4];
	int used = snprintf(path, sizeof(paths[0]), "%s/", mounted.dir);
	va_list args;
	va_start(args, fmt);
	vsnprintf(path + used, sizeof(paths[0]) - (size_t)used, fmt, args);
	va_end(args);
	return path;
}

#define assert_works(call)                                          \
	do {                                                        \
		if ((call) < 0)                                     \
			fail_msg("%s: %s", #call, strerror(errno)); \
	} while (0)
#define assert_errno(call, expected)                                                        \
	do {                                                                                \
		errno = 0;                                                                  \
		if ((call) >= 0)                                                            \
			fail_msg("%s succeeded, expected %s", #call, #expected);            \
		if (errno != (expected))                                                    \
			fail_msg("%s: %s, expected %s", #call, strerror(errno), #expected); \
	} while (0)

static inline int as(uid_t uid, int (*fn)(const char *path), const char *path)
{
	return loam_test_as(uid, uid, NULL, 0, fn, path);
}

static inline void put(const char *path, const char *text, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_works(fd);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	assert_works(fchmod(fd, mode));
	assert_works(close(fd));
}

static inline void holds(const char *path, const char *text)
{
	char got[4096] = "";
	int fd = open(path, O_RDONLY);
	assert_works(fd);
	ssize_t bytes = read(fd, got, sizeof(got) - 1);
	assert_works(bytes);
	close(fd);
	assert_string_equal(got, text);
}

static inline void fill(uint8_t *data, size_t bytes, uint32_t seed)
{
	for (size_t i = 0; i < bytes; i++) {
		seed = seed * 1664525u + 1013904223u;
		data[i] = (uint8_t)(seed >> 24);
	}
}

static inline mode_t mode_of(const char *path)
{
	struct stat st;
	assert_works(lstat(path, &st));
	return st.st_mode & 07777;
}

static inline void set_acl(const char *path, acl_type_t type, const char *text)
{
	acl_t acl = acl_from_text(text);
	assert_non_null(acl);
	if (acl_set_file(path, type, acl) != 0)
		fail_msg("set %s on %s: %s", text, path, strerror(errno));
	acl_free(acl);
}

static inline void has_acl(const char *path, acl_type_t type, const char *expected)
{
	acl_t acl = acl_get_file(path, type);
	assert_non_null(acl);
	char *text = acl_to_any_text(acl, NULL, ',', TEXT_NUMERIC_IDS);
	assert_string_equal(text, expected);
	acl_free(text);
	acl_free(acl);
}

/* ---- what users do, for loam_test_as --------------------------------------------------------- */

static inline int try_read(const char *path)
{
	int fd = open(path, O_RDONLY);
	return fd < 0 ? errno : 0;
}

static inline int try_write(const char *path)
{
	int fd = open(path, O_WRONLY);
	return fd < 0 ? errno : 0;
}

static inline int try_write_byte(const char *path)
{
	int fd = open(path, O_WRONLY);
	return fd >= 0 && write(fd, "x", 1) == 1 && close(fd) == 0 ? 0 : errno;
}

static inline int try_create(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0644);
	return fd < 0 ? errno : 0;
}

static inline int try_list(const char *path)
{
	DIR *dir = opendir(path);
	return dir && readdir(dir) ? 0 : errno;
}

static inline int try_unlink(const char *path)
{
	return unlink(path) == 0 ? 0 : errno;
}

static inline int try_chmod(const char *path)
{
	return chmod(path, 0777) == 0 ? 0 : errno;
}

static inline int try_touch(const char *path)
{
	return utimensat(AT_FDCWD, path, NULL, 0) == 0 ? 0 : errno;
}

static inline int try_truncate(const char *path)
{
	return truncate(path, 1) == 0 ? 0 : errno;
}

static inline int try_set_user_xattr(const char *path)
{
	return setxattr(path, "user.x", "1", 1, 0) == 0 ? 0 : errno;
}

static inline int try_set_trusted_xattr(const char *path)
{
	return setxattr(path, "trusted.x", "1", 1, 0) == 0 ? 0 : errno;
}

static inline int lists_trusted(const char *path)
{
	char names[1024];
	ssize_t bytes = listxattr(path, names, sizeof(names));
	for (ssize_t i = 0; i < bytes; i += (ssize_t)strlen(names + i) + 1) {
		if (strncmp(names + i, "trusted.", 8) == 0)
			return 1;
	}
	return 0;
}

static inline int try_immutable(const char *path)
{
	int fd = open(path, O_RDONLY);
	int flags = FS_IMMUTABLE_FL;
	return fd >= 0 && ioctl(fd, FS_IOC_SETFLAGS, &flags) == 0 ? 0 : errno;
}

/* Mounts, runs, unmounts; 77 where nothing can be mounted. */
static inline int run_mounted(const char *name, const struct CMUnitTest *tests, size_t count)
{
	const char *obstacle = loam_test_mount_obstacle();
	if (obstacle) {
		fprintf(stderr, "skipped: %s\n", obstacle);
		return 77;
	}
	loam_test_mount_start(&mounted, NULL);
	int failed = _cmocka_run_group_tests(name, tests, count, NULL, NULL);
	int status = loam_test_mount_stop(&mounted);
	if (status != 0)
		fprintf(stderr, "the mount ended with %d\n", status);
	return failed != 0 || status != 0;
}

#endif
