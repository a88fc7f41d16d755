/*
 * The folder of `loam up` (server/embedded.h): made once, locked while it is in use.
 */
#include "server/embedded.h"

#include "core/atomic_file.h"
#include "core/auto.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/stream.h"
#include "core/sys.h"
#include "fs/meta/record.h"
#include "server/doors.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/acl.h>
#include <sys/file.h>
#include <sys/stat.h>

#define ASK_AGAIN_MS   20
#define PING_MS	       2000
#define UNIX_PATH_MAX  107 /* bytes of sun_path before its NUL */
#define LONGEST_SOCKET "/redis/sock"

static const char *const folders[] = { "redis", "blocks", "git", "cache", "log" };

char *loam_embedded_path(const struct loam_embedded *embedded, const char *rest)
{
	return loam_path_join(embedded->dir, rest);
}

static int make_folder(struct loam_embedded *embedded, struct loam_err *err)
{
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < LOAM_ARRAY_COUNT(folders); i++) {
		loam_auto_free char *path = loam_embedded_path(embedded, folders[i]);
		rc = loam_mkdir_all(path, 0700, err);
	}
	loam_auto_free char *mnt = loam_embedded_path(embedded, "mnt");
	if (rc == 0 && mkdir(mnt, 0755) < 0 && errno != EEXIST && errno != ENOTCONN)
		return loam_fail_errno(err, "make %s", mnt);
	return rc;
}

static int take_lock(struct loam_embedded *embedded, struct loam_err *err)
{
	loam_auto_free char *path = loam_embedded_path(embedded, "up.lock");
	loam_auto_fd int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return loam_fail_errno(err, "open %s", path);
	char text[32] = "";
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		ssize_t got = pread(fd, text, sizeof(text) - 1, 0);
		text[got > 0 ? strcspn(text, "\n") : 0] = '\0';
		return loam_fail(err, LOAM_E_EXISTS, "loam up runs on %s already, as process %s",
				 embedded->dir, text[0] ? text : "(unknown)");
	}
	int length = snprintf(text, sizeof(text), "%d\n", getpid());
	if (ftruncate(fd, 0) < 0)
		return loam_fail_errno(err, "truncate %s", path);
	int rc = loam_sys_pwrite_all(fd, text, (size_t)length, 0, err);
	if (rc < 0)
		return rc;
	embedded->lock_fd = loam_steal_fd(&fd);
	return 0;
}

int loam_embedded_open(const char *dir, struct loam_embedded *out, struct loam_err *err)
{
	*out = (struct loam_embedded){ .lock_fd = -1 };
	int rc = loam_mkdir_all(dir, 0711, err);
	if (rc < 0)
		return rc;
	loam_auto_free char *real = realpath(dir, NULL);
	if (!real)
		return loam_fail_errno(err, "resolve %s", dir);
	if (strlen(real) > UNIX_PATH_MAX - strlen(LONGEST_SOCKET))
		return loam_fail(err, LOAM_E_NAME_TOO_LONG,
				 "%s is too long a path for the sockets in it (at most %zu bytes)",
				 real, UNIX_PATH_MAX - strlen(LONGEST_SOCKET));
	snprintf(out->dir, sizeof(out->dir), "%s", real);
	if (chmod(real, 0711) < 0)
		return loam_fail_errno(err, "chmod %s", real);
	rc = take_lock(out, err);
	return rc < 0 ? rc : make_folder(out, err);
}

void loam_embedded_close(struct loam_embedded *embedded)
{
	if (embedded->lock_fd >= 0)
		close(embedded->lock_fd);
	embedded->lock_fd = -1;
}

static int write_loam_conf(const struct loam_embedded *embedded, struct loam_err *err)
{
	loam_auto_free char *path = loam_embedded_path(embedded, "loam.conf");
	if (access(path, F_OK) == 0)
		return 0;
	loam_auto_free char *text =
		loam_xasprintf("# Written once by loam up; yours to edit. Keys: docs/config.md\n"
			       "[meta]\n\turl = \"unix://%s/redis.sock?db=0\"\n"
			       "[server]\n\tlisten = \"%s\"\n\trepos = \"%s/git\"\n"
			       "[cache]\n\tdir = \"%s/cache\"\n",
			       embedded->dir, embedded->listen, embedded->dir, embedded->dir);
	return loam_atomic_file_put(path, 0600, text, strlen(text), err);
}

/* everysec with the barrier of design.md §2.5; no snapshots, the append-only file has it all. */
static int write_redis_conf(const struct loam_embedded *embedded, struct loam_err *err)
{
	loam_auto_free char *path = loam_embedded_path(embedded, "redis/redis.conf");
	loam_auto_free char *text = loam_xasprintf("port 0\n"
						   "unixsocket \"%s" LONGEST_SOCKET "\"\n"
						   "unixsocketperm 700\n"
						   "dir \"%s/redis\"\n"
						   "logfile \"%s/log/redis.log\"\n"
						   "daemonize no\n"
						   "save \"\"\n"
						   "appendonly yes\n"
						   "appendfsync everysec\n"
						   "aof-use-rdb-preamble yes\n"
						   "maxmemory-policy noeviction\n",
						   embedded->dir, embedded->dir, embedded->dir);
	loam_auto_free char *redis = loam_embedded_path(embedded, "redis");
	loam_auto_file_owner struct loam_file_owner owner = loam_file_owner_enter(redis);
	return loam_atomic_file_put(path, 0600, text, strlen(text), err);
}

int loam_embedded_configure(const struct loam_embedded *embedded, struct loam_err *err)
{
	return write_loam_conf(embedded, err);
}

/* A link whatever stood there: the socket of an `up` before this one, or its link. */
static int link_redis_socket(const struct loam_embedded *embedded, struct loam_err *err)
{
	loam_auto_free char *path = loam_embedded_path(embedded, "redis.sock");
	if (unlink(path) < 0 && errno != ENOENT)
		return loam_fail_errno(err, "replace %s", path);
	return symlink(&LONGEST_SOCKET[1], path) < 0 ? loam_fail_errno(err, "make %s", path) : 0;
}

/* Official clients that run as root beside us make directories and blocks of their own there: by
 * this default ACL the service account may use them. A file system without ACLs goes without. */
static void share_blocks(const char *blocks, const struct loam_identity *who)
{
	loam_auto_free char *text =
		loam_xasprintf("u::rwx,u:%u:rwx,g::---,m::rwx,o::---", who->uid);
	acl_t acl = acl_from_text(text);
	if (!acl || acl_set_file(blocks, ACL_TYPE_DEFAULT, acl) < 0)
		loam_debug("up.blocks", "default_acl=%s", strerror(errno));
	acl_free(acl);
}

/* Said before Redis and serve die of it again and again: a DIR below a home of root, say. */
static int check_reach(const struct loam_embedded *embedded, struct loam_err *err)
{
	loam_auto_free char *redis = loam_embedded_path(embedded, "redis");
	loam_auto_file_owner struct loam_file_owner owner = loam_file_owner_as(&embedded->who);
	loam_auto_fd int fd = open(redis, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0)
		return 0;
	return loam_fail(
		err, LOAM_E_DENIED,
		"uid %u, the account of Redis and serve, cannot reach %s (%s): let it pass "
		"the folders above (chmod o+x), choose another --dir, or set "
		"server.runAs = root in %s/loam.conf",
		embedded->who.uid, redis, strerror(errno), embedded->dir);
}

int loam_embedded_hand_over(struct loam_embedded *embedded, const struct loam_config *config,
			    struct loam_err *err)
{
	static const char *const theirs[] = { "redis", "blocks", "git", "log" };
	int rc = loam_doors_identity(config, &embedded->who, err);
	bool had = false;
	for (size_t i = 0; rc >= 0 && i < LOAM_ARRAY_COUNT(theirs); i++) {
		loam_auto_free char *path = loam_embedded_path(embedded, theirs[i]);
		rc = loam_privileges_give(path, &embedded->who, err);
		had = had || rc == 1;
		if (rc == 1 && strcmp(theirs[i], "blocks") == 0)
			share_blocks(path, &embedded->who);
	}
	if (rc >= 0 && had)
		loam_info("up.given", "dir=%s uid=%u what=%s", embedded->dir, embedded->who.uid,
			  "redis, blocks, git, log");
	if (rc >= 0)
		rc = check_reach(embedded, err);
	if (rc >= 0)
		rc = link_redis_socket(embedded, err);
	return rc < 0 ? rc : write_redis_conf(embedded, err);
}

/* One PING over a fresh connection; LOADING counts as "not yet". */
static bool redis_answers(const char *socket)
{
	struct loam_err ignored = { 0 };
	struct loam_deadline deadline = loam_deadline_in(PING_MS);
	struct loam_stream *stream = NULL;
	if (loam_stream_connect_unix(socket, deadline, &stream, &ignored) < 0)
		return false;
	char reply[64] = "";
	size_t got = 0;
	bool pong =
		loam_stream_write(stream, "PING\r\n", 6, deadline, &ignored) == 0 &&
		loam_stream_read(stream, reply, sizeof(reply) - 1, &got, deadline, &ignored) == 0 &&
		strncmp(reply, "+PONG", 5) == 0;
	loam_stream_close(stream);
	return pong;
}

int loam_embedded_wait_redis(const struct loam_embedded *embedded, uint64_t wait_ms,
			     struct loam_err *err)
{
	loam_auto_free char *socket = loam_embedded_path(embedded, "redis.sock");
	struct loam_deadline deadline = loam_deadline_in(wait_ms);
	while (!redis_answers(socket)) {
		if (loam_deadline_left_ms(deadline) == 0)
			return loam_fail(err, LOAM_E_UNAVAILABLE,
					 "the private Redis does not answer; see %s/log/redis.log",
					 embedded->dir);
		loam_clock_sleep_ms(ASK_AGAIN_MS);
	}
	return 0;
}

int loam_embedded_is_formatted(const struct loam_embedded *embedded, struct loam_err *err)
{
	loam_auto_free char *url = loam_xasprintf("unix://%s/redis.sock?db=0", embedded->dir);
	struct loam_engine *engine = NULL;
	int rc = loam_engine_open(url, &engine, err);
	if (rc < 0)
		return rc;
	struct loam_record setting = { .kind = LOAM_REC_SETTING };
	struct loam_value value = { 0 };
	rc = engine->ops->read(engine, &setting, 1, &value, err);
	bool present = value.present;
	loam_value_release(&value);
	engine->ops->free(engine);
	return rc < 0 ? rc : present;
}
