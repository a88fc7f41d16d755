/*
 * loam clone: a metadata copy of a file or tree on the mount, as the calling user.
 *
 * It needs no socket, configuration or password: a ticket is asked on a descriptor of the source
 * and shown on a descriptor of the target's directory (fs/mount/loam_ioctl_format.h). So it works
 * in containers and below bind mounts. Ctrl-C ends it and leaves nothing.
 */
#include "core/auto.h"
#include "core/cmd.h"
#include "core/err.h"
#include "fs/mount/loam_ioctl_format.h"
#include "sync/commands.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

struct clone_opts {
	bool preserve, writable, quiet;
};

static int open_source(const char *path, struct loam_err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0 && errno == ELOOP)
		return loam_fail(err, LOAM_E_LOOP, "%s is a symbolic link: name what it points to",
				 path);
	return fd < 0 ? loam_fail_errno(err, "open %s", path) : fd;
}

/* The target's directory and the name in it: DST itself, or the source's name inside of it when DST
 * is a directory already. */
static int split_target(const char *source, const char *target, char **out_dir, char **out_name,
			struct loam_err *err)
{
	struct stat is;
	loam_auto_free char *trimmed = loam_xstrdup(target);
	for (size_t n = strlen(trimmed); n > 1 && trimmed[n - 1] == '/'; n--)
		trimmed[n - 1] = '\0';
	if (stat(trimmed, &is) == 0 && S_ISDIR(is.st_mode)) {
		loam_auto_free char *real = realpath(source, NULL);
		if (!real)
			return loam_fail_errno(err, "find %s", source);
		*out_dir = loam_steal(&trimmed);
		*out_name = loam_xstrdup(strrchr(real, '/') + 1);
		return 0;
	}
	char *slash = strrchr(trimmed, '/');
	*out_name = loam_xstrdup(slash ? slash + 1 : trimmed);
	*out_dir = !slash	      ? loam_xstrdup(".")
		   : slash == trimmed ? loam_xstrdup("/")
				      : loam_xstrndup(trimmed, (size_t)(slash - trimmed));
	return 0;
}

/* What the mount answers, as one readable line. */
static int explain(const char *source, const char *dir, const char *name, struct loam_err *err)
{
	switch (errno) {
	case ENOTTY:
	case ENOSYS:
	case EOPNOTSUPP:
		return loam_fail(err, LOAM_E_UNSUPPORTED,
				 "%s and %s do not both stand on a Loam mount", source, dir);
	case EXDEV:
	case ESTALE:
		return loam_fail(err, LOAM_E_CROSS_DEVICE, "%s and %s are not on one volume",
				 source, dir);
	case EEXIST:
		return loam_fail(err, LOAM_E_EXISTS, "%s/%s is there already", dir, name);
	default:
		return loam_fail_errno(err, "clone %s to %s/%s", source, dir, name);
	}
}

static int clone_path(const struct clone_opts *opts, const char *source, const char *target,
		      struct loam_ioc_clone *request, struct loam_err *err)
{
	loam_auto_free char *dir = NULL;
	loam_auto_free char *name = NULL;
	loam_auto_fd int source_fd = open_source(source, err);
	if (source_fd < 0)
		return source_fd;
	int rc = split_target(source, target, &dir, &name, err);
	if (rc < 0)
		return rc;
	if (name[0] == '\0' || strlen(name) >= sizeof(request->name))
		return loam_fail(err, LOAM_E_NAME_TOO_LONG, "'%s' is no name for the clone", name);
	loam_auto_fd int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir_fd < 0)
		return loam_fail_errno(err, "open %s", dir);
	struct loam_ioc_ticket ticket = { 0 };
	if (ioctl(source_fd, LOAM_IOC_TICKET, &ticket) < 0)
		return explain(source, dir, name, err);
	memcpy(request->ticket, ticket.bytes, sizeof(request->ticket));
	memcpy(request->name, name, strlen(name) + 1);
	request->flags = (opts->preserve ? LOAM_IOC_CLONE_PRESERVE : 0) |
			 (opts->writable ? LOAM_IOC_CLONE_WRITABLE : 0);
	if (ioctl(dir_fd, LOAM_IOC_CLONE, request) < 0)
		return explain(source, dir, name, err);
	return 0;
}

static void note_signal(int number)
{
	/* Only here so that the system call in progress is interrupted and undone. */
}

static int run_clone(const void *options, int argc, char **argv)
{
	const struct clone_opts *opts = options;
	struct loam_err err = { 0 };
	struct loam_ioc_clone request = { 0 };
	struct sigaction action = { .sa_handler = note_signal };
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	if (clone_path(opts, argv[0], argv[1], &request, &err) < 0) {
		int status = loam_cmd_failed(&err);
		return err.code == LOAM_E_INTERRUPTED ? 130 : status;
	}
	if (!opts->quiet)
		fprintf(stderr,
			"loam: cloned %llu files, %llu directories, %llu bytes; none copied\n",
			(unsigned long long)request.files, (unsigned long long)request.dirs,
			(unsigned long long)request.bytes);
	return 0;
}

const struct loam_cmd loam_cmd_clone = {
	.name = "clone",
	.usage = "[options] SRC DST",
	.summary = "copy a file or tree on the mount without copying a byte",
	.details = "Files that came from LFS stay read-only in the clone, the others and all\n"
		   "directories become yours to change.",
	.options =
		(const struct loam_opt[]){
			LOAM_OPT(struct clone_opts, preserve, "preserve", 'p', LOAM_OPT_FLAG, NULL,
				 "keep owner, modes and times (root only)"),
			LOAM_OPT(struct clone_opts, writable, "writable", 'w', LOAM_OPT_FLAG, NULL,
				 "make files that came from LFS writable too"),
			LOAM_OPT(struct clone_opts, quiet, "quiet", 'q', LOAM_OPT_FLAG, NULL,
				 "print nothing when all is well"),
			LOAM_OPT_END },
	.options_bytes = sizeof(struct clone_opts),
	.args_min = 2,
	.args_max = 2,
	.run = run_clone,
};
