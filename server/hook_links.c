/*
 * The directory that core.hooksPath names for pushes through serve (server/hook_socket.h): links to
 * this very program, which knows what it is by the name it is called by.
 *
 * Git leaves out a hook that it may not run and says so to nobody who could help: where the service
 * account cannot reach the program, the directory holds a copy of it.
 */
#include "core/atomic_file.h"
#include "core/auto.h"
#include "core/sys.h"
#include "server/hook_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define PROGRAM_BYTES_MAX (256u << 20)

#define LINKS_DIR ".hooks"

static int make_link(const char *dir, const char *name, const char *program, struct loam_err *err)
{
	loam_auto_free char *path = loam_path_join(dir, name);
	if (unlink(path) < 0 && errno != ENOENT)
		return loam_fail_errno(err, "replace %s", path);
	if (symlink(program, path) < 0)
		return loam_fail_errno(err, "make %s", path);
	return access(path, X_OK) < 0 ? loam_fail_errno(err, "run %s as a hook", path) : 0;
}

static int copy_program(const char *path, struct loam_err *err)
{
	loam_auto_fd int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	if (from < 0)
		return loam_fail_errno(err, "open this program");
	loam_auto_buf struct loam_buf text = LOAM_BUF(PROGRAM_BYTES_MAX);
	int rc = loam_fd_read_all(from, &text, err);
	return rc < 0 ? rc : loam_atomic_file_put(path, 0700, text.data, text.bytes, err);
}

int loam_hook_links_make(const char *repos, char **out_dir, struct loam_err *err)
{
	char program[LOAM_PATH_BYTES_MAX];
	ssize_t bytes = readlink("/proc/self/exe", program, sizeof(program) - 1);
	if (bytes < 0)
		return loam_fail_errno(err, "find this program");
	program[bytes] = '\0';
	loam_auto_free char *dir = loam_path_join(repos, LINKS_DIR);
	loam_auto_free char *copy = loam_path_join(dir, "loam");
	bool in_reach = access(program, X_OK) == 0;
	int rc = loam_mkdir_all(dir, 0700, err);
	if (rc == 0 && !in_reach)
		rc = copy_program(copy, err);
	if (rc == 0 && !in_reach)
		snprintf(program, sizeof(program), "%s", copy);
	if (rc == 0)
		rc = make_link(dir, "pre-receive", program, err);
	if (rc == 0)
		rc = make_link(dir, "post-receive", program, err);
	if (rc == 0)
		*out_dir = loam_steal(&dir);
	return rc;
}
