/*
 * Taking mounts away (mount.h): ours, a dead one, a hung one.
 *
 * A hung mount answers no stat, so nothing here touches the directory itself before it is known to
 * be alive; /proc/self/mountinfo tells the device, whose minor number is the FUSE connection.
 */
#include "fs/mount/mount.h"

#include "core/auto.h"
#include "core/buf.h"
#include "core/log.h"
#include "core/process.h"
#include "core/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/vfs.h>

#define MOUNTINFO_BYTES_MAX (16u << 20)
#define FUSERMOUNT_MS	    20000
#define STALE_LAYERS_MAX    64

int loam_mount_detach_stale(const char *dir, struct loam_err *err)
{
	struct statfs unused;
	int detached = 0;
	/* Mounts that died one after the other may lie on top of each other. Attributes of one that
	 * died just now are still in the kernel's cache and answer stat(2), never statfs(2). */
	for (int layer = 0; layer < STALE_LAYERS_MAX; layer++) {
		if (statfs(dir, &unused) == 0 || errno != ENOTCONN)
			return detached;
		loam_warn("mount.stale", "dir=%s action=%s", dir, "detach what a dead mount left");
		if (umount2(dir, MNT_DETACH | UMOUNT_NOFOLLOW) != 0)
			return loam_fail_errno(err, "detach the dead mount at %s", dir);
		detached = 1;
	}
	return loam_fail(err, LOAM_E_BUSY, "over %d dead mounts lie at %s", STALE_LAYERS_MAX, dir);
}

/* Fields of /proc/self/mountinfo: 3 is major:minor, 5 the mount point with \ooo escapes. */
static bool next_field(char **at, char **out)
{
	*out = strsep(at, " ");
	return *out && **out;
}

static void unescape(char *text)
{
	char *to = text;
	for (char *from = text; *from; to++) {
		if (from[0] == '\\' && from[1] && from[2] && from[3]) {
			*to = (char)((from[1] - '0') << 6 | (from[2] - '0') << 3 | (from[3] - '0'));
			from += 4;
		} else {
			*to = *from++;
		}
	}
	*to = '\0';
}

/* 1 with the minor number of the last mount at dir, 0 none. */
static int find_minor(const char *dir, unsigned *out_minor, struct loam_err *err)
{
	loam_auto_buf struct loam_buf table = LOAM_BUF(MOUNTINFO_BYTES_MAX);
	int rc = loam_path_read_all("/proc/self/mountinfo", &table, err);
	if (rc)
		return rc;

	int found = 0;
	char *rest = (char *)table.data;
	for (char *line; (line = strsep(&rest, "\n")) != NULL;) {
		char *id, *parent, *device, *root, *point;
		if (!next_field(&line, &id) || !next_field(&line, &parent) ||
		    !next_field(&line, &device) || !next_field(&line, &root) ||
		    !next_field(&line, &point))
			continue;
		unescape(point);
		char *colon = strchr(device, ':');
		if (strcmp(point, dir) != 0 || !colon)
			continue;
		*out_minor = (unsigned)strtoul(colon + 1, NULL, 10);
		found = 1;
	}
	return found;
}

/* The absolute path without asking the last component, which may hang. */
static int absolute(const char *dir, char **out, struct loam_err *err)
{
	loam_auto_free char *copy = loam_xstrdup(dir);
	size_t bytes = strlen(copy);
	while (bytes > 1 && copy[bytes - 1] == '/')
		copy[--bytes] = '\0';
	char *slash = strrchr(copy, '/');
	const char *last = slash ? slash + 1 : copy;
	if (bytes == 0 || strcmp(last, ".") == 0 || strcmp(last, "..") == 0)
		return loam_fail(err, LOAM_E_INVALID, "give the directory's own name, not '%s'",
				 dir);
	char parent[PATH_MAX];
	if (slash)
		*slash = '\0';
	if (!realpath(slash ? (slash == copy ? "/" : copy) : ".", parent))
		return loam_fail_errno(err, "resolve %s", dir);
	*out = loam_path_join(parent, last);
	return 0;
}

static int abort_connection(const char *dir, struct loam_err *err)
{
	unsigned minor = 0;
	int found = find_minor(dir, &minor, err);
	if (found < 0)
		return found;
	if (!found)
		return loam_fail(err, LOAM_E_NOT_FOUND, "nothing is mounted at %s", dir);
	char path[64];
	snprintf(path, sizeof(path), "/sys/fs/fuse/connections/%u/abort", minor);
	loam_auto_fd int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, "1", 1) != 1)
		loam_debug("umount.abort", "path=%s problem=%s", path, strerror(errno));
	return 0;
}

/* A user who may not umount(2) may take away his own mount through fusermount3. */
static int by_helper(const char *dir, struct loam_err *err)
{
	const char *argv[] = { "fusermount3", "-u", "--", dir, NULL };
	const char *env[] = { "PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL };
	struct loam_process_spec spec = {
		.argv = argv, .env = env, .stdin_fd = -1, .stdout_fd = -1, .stderr_fd = LOAM_PIPE
	};
	return loam_process_run(&spec, NULL, 0, NULL, FUSERMOUNT_MS, err);
}

int loam_mount_unmount(const char *given, bool force, struct loam_err *err)
{
	loam_auto_free char *dir = NULL;
	int rc = absolute(given, &dir, err);
	if (rc)
		return rc;
	if (force) {
		rc = abort_connection(dir, err);
		if (rc)
			return rc;
		/* MNT_FORCE aborts too where /sys/fs/fuse is missing; DETACH even when busy. */
		if (umount2(dir, MNT_FORCE | UMOUNT_NOFOLLOW) == 0 ||
		    umount2(dir, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
			return 0;
		return loam_fail_errno(err, "unmount %s", dir);
	}
	if (umount2(dir, UMOUNT_NOFOLLOW) == 0)
		return 0;
	if (errno == EPERM)
		return by_helper(dir, err);
	if (errno == EINVAL)
		return loam_fail(err, LOAM_E_NOT_FOUND, "nothing is mounted at %s", dir);
	return loam_fail_errno(err, "unmount %s", dir);
}
