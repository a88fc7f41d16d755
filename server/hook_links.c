/*
 * The directory that core.hooksPath names for pushes through serve (server/hook_socket.h): links to
 * this very program, which knows what it is by the name it is called by.
 */
#include "core/auto.h"
#include "core/sys.h"
#include "server/hook_socket.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define LINKS_DIR ".hooks"

static int make_link(const char *dir, const char *name, const char *program, struct loam_err *err)
{
	loam_auto_free char *path = loam_path_join(dir, name);
	if (unlink(path) < 0 && errno != ENOENT)
		return loam_fail_errno(err, "replace %s", path);
	return symlink(program, path) < 0 ? loam_fail_errno(err, "make %s", path) : 0;
}

int loam_hook_links_make(const char *repos, char **out_dir, struct loam_err *err)
{
	char program[1024];
	ssize_t bytes = readlink("/proc/self/exe", program, sizeof(program) - 1);
	if (bytes < 0)
		return loam_fail_errno(err, "find this program");
	program[bytes] = '\0';
	loam_auto_free char *dir = loam_path_join(repos, LINKS_DIR);
	int rc = loam_mkdir_all(dir, 0700, err);
	if (rc == 0)
		rc = make_link(dir, "pre-receive", program, err);
	if (rc == 0)
		rc = make_link(dir, "post-receive", program, err);
	if (rc == 0)
		*out_dir = loam_steal(&dir);
	return rc;
}
