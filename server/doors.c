/*
 * From root to the service account (server/doors.h).
 *
 * A lock file in the directory of bare repositories names the process that serves it: a second one
 * on the same directory would race for quarantines and publishing (reliability.md cli-4). It is
 * taken first: only its holder may replace hook.sock and ssh.sock.
 */
#include "server/doors.h"

#include "auth/audit.h"
#include "auth/ssh_door.h"
#include "auth/tree.h"
#include "core/auto.h"
#include "core/log.h"
#include "core/sys.h"
#include "githook/socket_path.h"
#include "server/hook_socket.h"
#include "server/ssh_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#define NUMBER_BYTES  16
#define LOCK_NAME     ".loam-serve.lock"
#define LOCK_TEXT_MAX 64

static const char *first_set(const char *option, const char *configured)
{
	return option ? option : configured;
}

int loam_doors_identity(const struct loam_config *config, struct loam_identity *out,
			struct loam_err *err)
{
	char number[NUMBER_BYTES] = LOAM_SERVICE_TEXT;
	if (geteuid() != 0)
		snprintf(number, sizeof(number), "%u", geteuid());
	const char *text = config->server_run_as[0] ? config->server_run_as : number;
	int rc = loam_identity_find(text, out, err);
	return rc < 0 ? loam_context(err, "server.runAs") : 0;
}

/* The parents must let the account through; the directory itself is its own. */
static int make_repos(const char *path, struct loam_err *err)
{
	if (access(path, F_OK) == 0)
		return 0;
	int rc = loam_mkdir_above(path, err);
	return rc < 0 ? rc : loam_mkdir_all(path, 0700, err);
}

static int open_repos(struct loam_doors *doors, const char *configured, struct loam_err *err)
{
	int rc = make_repos(configured, err);
	if (rc < 0)
		return rc;
	doors->repos = realpath(configured, NULL);
	if (!doors->repos)
		return loam_fail_errno(err, "resolve %s", configured);
	rc = loam_privileges_give(doors->repos, &doors->who, err);
	if (rc == 1)
		loam_info("serve.given", "path=%s uid=%u", doors->repos, doors->who.uid);
	return rc < 0 ? rc : 0;
}

static int lock_held(const char *repos, int fd, struct loam_err *err)
{
	char text[LOCK_TEXT_MAX + 1] = "";
	ssize_t got = pread(fd, text, LOCK_TEXT_MAX, 0);
	text[got > 0 ? got : 0] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return loam_fail(err, LOAM_E_BUSY, "%s is served already, by process %s", repos,
			 text[0] ? text : "unknown");
}

/* Said here in words, not by the first push. */
static int cannot_use(const struct loam_doors *doors, struct loam_err *err)
{
	return loam_fail(err, LOAM_E_DENIED,
			 "uid %u cannot use %s: chown -R %u:%u it and let it pass the folders "
			 "above, or set server.runAs",
			 doors->who.uid, doors->repos, doors->who.uid, doors->who.gid);
}

static int lock_repos(struct loam_doors *doors, struct loam_err *err)
{
	loam_auto_free char *path = loam_path_join(doors->repos, LOCK_NAME);
	loam_auto_file_owner struct loam_file_owner owner = loam_file_owner_as(&doors->who);
	loam_auto_fd int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return errno == EACCES ? cannot_use(doors, err)
				       : loam_fail_errno(err, "open %s", path);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? lock_held(doors->repos, fd, err)
					    : loam_fail_errno(err, "lock %s", path);
	char text[LOCK_TEXT_MAX];
	int bytes = snprintf(text, sizeof(text), "%d\n", (int)getpid());
	if (ftruncate(fd, 0) < 0)
		return loam_fail_errno(err, "write %s", path);
	int rc = loam_sys_pwrite_all(fd, text, (size_t)bytes, 0, err);
	if (rc == 0)
		doors->lock_fd = loam_steal_fd(&fd);
	return rc;
}

static int open_hook_socket(struct loam_doors *doors, const struct loam_config *config,
			    struct loam_err *err)
{
	doors->hook_path = loam_hook_socket_path(config);
	loam_auto_free char *dir =
		loam_xstrndup(doors->hook_path,
			      (size_t)(strrchr(doors->hook_path, '/') - doors->hook_path));
	loam_auto_file_owner struct loam_file_owner owner = loam_file_owner_enter(dir);
	int rc = loam_hook_socket_listen(doors->hook_path, &doors->hook_fd, err);
	if (rc < 0 || owner.changed || geteuid() != 0)
		return rc;
	if (lchown(doors->hook_path, doors->who.uid, doors->who.gid) < 0)
		return loam_fail_errno(err, "give %s to uid %u", doors->hook_path, doors->who.uid);
	return 0;
}

static int open_ssh_socket(struct loam_doors *doors, const struct loam_config *config,
			   struct loam_err *err)
{
	doors->ssh_path = loam_ssh_socket_path(config);
	return loam_ssh_socket_listen(doors->ssh_path, &doors->ssh_fd, err);
}

/* The log's own directory is given to the account as the repositories are; one that audit.path
 * names may be others' as well and stays theirs. That nothing can be written there is found now. */
static int open_audit(const struct loam_doors *doors, const struct loam_config *config,
		      struct loam_err *err)
{
	loam_auto_free char *path = loam_audit_path(config);
	if (!path || path[0] != '/')
		return 0; /* none, or loam_audit_open refuses it */
	loam_auto_free char *dir = loam_xstrndup(path, (size_t)(strrchr(path, '/') - path));
	int rc = config->audit_path[0] ? 0 : loam_privileges_give(dir, &doors->who, err);
	if (rc < 0)
		return rc;
	if (rc == 1)
		loam_info("serve.given", "path=%s uid=%u", dir, doors->who.uid);
	loam_auto_file_owner struct loam_file_owner owner = loam_file_owner_as(&doors->who);
	loam_auto_fd int fd =
		open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd >= 0 || errno == ENOENT)
		return 0;
	return loam_fail(err, LOAM_E_DENIED,
			 "uid %u cannot write the audit log %s (%s): chown -R %u:%u its own "
			 "directory, name another by audit.path, or set audit.path = off",
			 doors->who.uid, path, strerror(errno), doors->who.uid, doors->who.gid);
}

int loam_doors_open(const struct loam_doors_options *options, const struct loam_config *config,
		    struct loam_doors *doors, struct loam_err *err)
{
	const struct loam_http_options http = {
		.listen = first_set(options->listen, config->server_listen),
		.tls_cert = first_set(options->tls_cert, config->server_tls_cert),
		.tls_key = first_set(options->tls_key, config->server_tls_key),
	};
	int rc = loam_doors_identity(config, &doors->who, err);
	if (rc == 0)
		rc = open_repos(doors, first_set(options->repos, config->server_repos), err);
	if (rc == 0)
		rc = lock_repos(doors, err);
	if (rc == 0)
		rc = loam_http_listen(&http, &doors->http, err);
	if (rc == 0)
		rc = open_hook_socket(doors, config, err);
	if (rc == 0)
		rc = open_ssh_socket(doors, config, err);
	if (rc == 0)
		rc = open_audit(doors, config, err);
	if (rc == 0)
		rc = loam_privileges_drop(&doors->who, err);
	doors->listen = http.listen;
	doors->tls = http.tls_cert && http.tls_cert[0];
	return rc;
}

void loam_doors_release(struct loam_doors *doors)
{
	free(loam_steal(&doors->repos));
	loam_http_listener_free(loam_steal(&doors->http));
	free(loam_steal(&doors->hook_path));
	free(loam_steal(&doors->ssh_path));
	if (doors->ssh_fd >= 0)
		close(loam_steal_fd(&doors->ssh_fd));
	if (doors->hook_fd >= 0)
		close(loam_steal_fd(&doors->hook_fd));
	if (doors->lock_fd >= 0)
		close(loam_steal_fd(&doors->lock_fd)); /* and with it the lock */
}
