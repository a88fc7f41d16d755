/*
 * loam mount, loam umount: a volume as files.
 *
 * With -d the process forks before it has a thread or a connection; the first process waits until
 * the second says that the mount is up, so that a script can go on at once. What goes wrong until
 * then is said on the terminal, later in the log.
 */
#include "core/auto.h"
#include "core/cmd.h"
#include "core/config.h"
#include "core/log.h"
#include "core/service.h"
#include "fs/commands.h"
#include "fs/mount/mount.h"
#include "fs/volume.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#define SERVICE_ID 20000u
#define LOG_PATH   "/var/log/loam-mount.log"

struct mount_opts {
	const char *options, *cache_dir, *log;
	uint64_t cache_mib;
	bool passthrough, read_only, daemon;
};

static void init_mount(void *options)
{
	struct mount_opts *opts = options;
	opts->passthrough = true;
	opts->log = LOG_PATH;
}

/* ---- -o: words of mount(8), fstab and JuiceFS ------------------------------------------------ */

enum word_use { WORD_IGNORED, WORD_READ_ONLY, WORD_NO_EXEC, WORD_CACHE_DIR, WORD_CACHE_SIZE };

/* A name ending in '=' takes a value; ending in '*' any rest. What is missing here is refused,
 * above all words that would change what users may see (subdir, root-squash, umask …). */
static const struct {
	const char *name;
	enum word_use use;
} words[] = {
	{ "ro", WORD_READ_ONLY },
	{ "read-only", WORD_READ_ONLY },
	{ "noexec", WORD_NO_EXEC },
	{ "cache-dir=", WORD_CACHE_DIR },
	{ "cache-size=", WORD_CACHE_SIZE },
	{ "rw", WORD_IGNORED },
	{ "defaults", WORD_IGNORED },
	{ "auto", WORD_IGNORED },
	{ "noauto", WORD_IGNORED },
	{ "nofail", WORD_IGNORED },
	{ "_netdev", WORD_IGNORED },
	{ "user", WORD_IGNORED },
	{ "users", WORD_IGNORED },
	{ "nouser", WORD_IGNORED },
	{ "exec", WORD_IGNORED },
	{ "nosuid", WORD_IGNORED },
	{ "nodev", WORD_IGNORED },
	{ "async", WORD_IGNORED },
	{ "atime", WORD_IGNORED },
	{ "noatime", WORD_IGNORED },
	{ "nodiratime", WORD_IGNORED },
	{ "relatime", WORD_IGNORED },
	{ "strictatime", WORD_IGNORED },
	{ "allow_other", WORD_IGNORED },
	{ "default_permissions", WORD_IGNORED },
	{ "x-systemd.*", WORD_IGNORED },
	{ "x-gvfs-hide", WORD_IGNORED },
	{ "comment=", WORD_IGNORED },
	{ "enable-xattr", WORD_IGNORED },
	{ "enable-acl", WORD_IGNORED },
	{ "enable-ioctl", WORD_IGNORED },
	{ "no-usage-report", WORD_IGNORED },
	{ "no-bgjob", WORD_IGNORED },
	{ "no-syslog", WORD_IGNORED },
	{ "background", WORD_IGNORED },
	{ "verbose", WORD_IGNORED },
	{ "debug", WORD_IGNORED },
	{ "buffer-size=", WORD_IGNORED },
	{ "prefetch=", WORD_IGNORED },
	{ "max-readahead=", WORD_IGNORED },
	{ "max-uploads=", WORD_IGNORED },
	{ "max-downloads=", WORD_IGNORED },
	{ "max-deletes=", WORD_IGNORED },
	{ "get-timeout=", WORD_IGNORED },
	{ "put-timeout=", WORD_IGNORED },
	{ "io-retries=", WORD_IGNORED },
	{ "free-space-ratio=", WORD_IGNORED },
	{ "cache-mode=", WORD_IGNORED },
	{ "cache-items=", WORD_IGNORED },
	{ "cache-expire=", WORD_IGNORED },
	{ "cache-eviction=", WORD_IGNORED },
	{ "cache-scan-interval=", WORD_IGNORED },
	{ "cache-partial-only", WORD_IGNORED },
	{ "verify-cache-checksum=", WORD_IGNORED },
	{ "attr-cache=", WORD_IGNORED },
	{ "entry-cache=", WORD_IGNORED },
	{ "dir-entry-cache=", WORD_IGNORED },
	{ "negative-entry-cache=", WORD_IGNORED },
	{ "readdir-cache", WORD_IGNORED },
	{ "open-cache=", WORD_IGNORED },
	{ "open-cache-limit=", WORD_IGNORED },
	{ "skip-dir-nlink=", WORD_IGNORED },
	{ "skip-dir-mtime=", WORD_IGNORED },
	{ "heartbeat=", WORD_IGNORED },
	{ "backup-meta=", WORD_IGNORED },
	{ "backup-skip-trash", WORD_IGNORED },
	{ "atime-mode=", WORD_IGNORED },
	{ "log=", WORD_IGNORED },
	{ "log-level=", WORD_IGNORED },
	{ "metrics=", WORD_IGNORED },
	{ "consul=", WORD_IGNORED },
	{ "hide-internal", WORD_IGNORED },
	{ "fuse-trace-log=", WORD_IGNORED },
	{ "max_read=", WORD_IGNORED },
	{ "max-write=", WORD_IGNORED },
	{ "max_write=", WORD_IGNORED },
};

static bool word_fits(const char *name, const char *word)
{
	size_t bytes = strlen(name);
	if (name[bytes - 1] == '*')
		return strncmp(name, word, bytes - 1) == 0;
	if (name[bytes - 1] == '=')
		return strncmp(name, word, bytes) == 0;
	return strcmp(name, word) == 0;
}

struct chosen {
	bool read_only, no_exec;
	const char *cache_dir; /* points into the words */
	uint64_t cache_mib;
};

static int take_word(const char *word, struct chosen *chosen, struct loam_err *err)
{
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(words); i++) {
		if (!word_fits(words[i].name, word))
			continue;
		const char *value = strchr(word, '=');
		switch (words[i].use) {
		case WORD_READ_ONLY:
			chosen->read_only = true;
			break;
		case WORD_NO_EXEC:
			chosen->no_exec = true;
			break;
		case WORD_CACHE_DIR:
			chosen->cache_dir = value + 1;
			break;
		case WORD_CACHE_SIZE:
			return loam_parse_u64(value + 1, 64, 1u << 30, &chosen->cache_mib, err);
		case WORD_IGNORED:
			loam_debug("mount.option", "ignored=%s", word);
			break;
		}
		return 0;
	}
	return loam_fail(err, LOAM_E_INVALID, "-o %s is not known here", word);
}

static int take_words(char *list, struct chosen *chosen, struct loam_err *err)
{
	char *rest = list;
	for (char *word; (word = strsep(&rest, ",")) != NULL;) {
		int rc = *word ? take_word(word, chosen, err) : 0;
		if (rc)
			return rc;
	}
	return 0;
}

/* ---- the background -------------------------------------------------------------------------- */

struct background {
	const char *dir;
	int ready_fd;	 /* our end of the pipe to the waiting process, -1 in the foreground */
	int terminal_fd; /* the first process's stderr until the mount is up */
};

static void is_up(void *arg)
{
	struct background *background = arg;
	loam_service_ready("files on %s", background->dir);
	if (background->ready_fd < 0)
		return;
	if (write(background->ready_fd, "1", 1) != 1)
		loam_warn("mount.ready", "problem=%s", strerror(errno));
	close(loam_steal_fd(&background->ready_fd));
	close(loam_steal_fd(&background->terminal_fd));
}

/* In the first process: its exit status. */
static int wait_until_up(pid_t child, int fd)
{
	char byte;
	ssize_t got;
	do {
		got = read(fd, &byte, 1);
	} while (got < 0 && errno == EINTR);
	if (got == 1)
		return 0;
	int status;
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) && WEXITSTATUS(status) != 0 ? WEXITSTATUS(status) : 1;
}

static int go_aside(const char *log, struct background *background, struct loam_err *err)
{
	background->terminal_fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	loam_auto_fd int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	loam_auto_fd int log_fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (null_fd < 0)
		return loam_fail_errno(err, "open /dev/null");
	if (log_fd < 0)
		return loam_fail_errno(err, "open the log %s (--log names another)", log);
	if (setsid() < 0 || dup2(null_fd, STDIN_FILENO) < 0 || dup2(null_fd, STDOUT_FILENO) < 0 ||
	    dup2(log_fd, STDERR_FILENO) < 0 || chdir("/") != 0)
		return loam_fail_errno(err, "go to the background");
	return 0;
}

/* Returns -1 in the process that is to mount, else the exit status of the one that waited. */
static int split(struct background *background, struct loam_err *err)
{
	int ends[2];
	if (pipe2(ends, O_CLOEXEC) != 0) {
		loam_fail_errno(err, "pipe");
		return loam_cmd_failed(err);
	}
	pid_t child = fork();
	if (child < 0) {
		loam_fail_errno(err, "fork");
		close(ends[0]);
		close(ends[1]);
		return loam_cmd_failed(err);
	}
	if (child > 0) {
		close(ends[1]);
		int status = wait_until_up(child, ends[0]);
		close(ends[0]);
		return status;
	}
	close(ends[0]);
	background->ready_fd = ends[1];
	return -1;
}

/* What layers above have a mount do beside its work. */
static const struct loam_mount_beside *beside;

void loam_cmd_mount_beside(const struct loam_mount_beside *what)
{
	beside = what;
}

/* ---- mount ----------------------------------------------------------------------------------- */

/* Somewhere to say what went wrong: where the user still looks. */
static int failed(struct background *background, struct loam_err *err)
{
	if (background->terminal_fd >= 0)
		dup2(background->terminal_fd, STDERR_FILENO);
	return loam_cmd_failed(err);
}

static int mount_volume(const struct mount_opts *opts, const struct chosen *chosen,
			const struct loam_config *config, const char *url, const char *dir,
			struct background *background, struct loam_err *err)
{
	bool read_only = opts->read_only || chosen->read_only;
	uint64_t cache_mib = opts->cache_mib	 ? opts->cache_mib
			     : chosen->cache_mib ? chosen->cache_mib
						 : config->cache_size_mib;
	const char *cache_dir = opts->cache_dir	    ? opts->cache_dir
				: chosen->cache_dir ? chosen->cache_dir
						    : config->cache_dir;
	struct loam_volume_options volume_options = {
		.meta = { .read_only = read_only, .session = !read_only, .mount_point = dir },
		.data = { .cache_dir = cache_dir, .cache_bytes = cache_mib << 20 },
	};
	struct loam_volume *volume;
	int rc = loam_volume_open(url, &volume_options, &volume, err);
	if (rc)
		return rc;

	struct loam_err weak = { 0 };
	if (!read_only && loam_meta_barrier(volume->meta, &weak) == -LOAM_E_UNSUPPORTED)
		loam_warn("mount.durability", "problem=%s", weak.text);
	struct loam_mount_options options = { .dir = dir,
					      .tree_root = config->tree_root,
					      .service_uid = SERVICE_ID,
					      .read_only = read_only,
					      .no_exec = chosen->no_exec,
					      .no_passthrough = !opts->passthrough,
					      .attr_ms = LOAM_MOUNT_ATTR_MS,
					      .ready = is_up,
					      .ready_arg = background };
	void *companion = beside ? beside->start(volume, config) : NULL;
	rc = loam_mount_run(volume->data, &options, err);
	if (beside)
		beside->stop(companion);
	loam_volume_close(volume);
	return rc;
}

static int mount_here(const struct mount_opts *opts, struct chosen *chosen,
		      const struct loam_config *config, const char *url, const char *given_dir)
{
	struct loam_err err = { 0 };
	char dir[PATH_MAX];
	struct background background = { .dir = dir, .ready_fd = -1, .terminal_fd = -1 };
	loam_mount_block_signals();
	int rc = loam_mount_detach_stale(given_dir, &err);
	if (rc >= 0 && !realpath(given_dir, dir))
		rc = loam_fail_errno(&err, "mount at %s", given_dir);
	if (rc < 0)
		return loam_cmd_failed(&err);

	if (opts->daemon) {
		int status = split(&background, &err);
		if (status >= 0)
			return status;
		rc = go_aside(opts->log, &background, &err);
	}
	if (rc >= 0)
		rc = mount_volume(opts, chosen, config, url, dir, &background, &err);
	return rc < 0 ? failed(&background, &err) : 0;
}

static int run_mount(const void *options, int argc, char **argv)
{
	const struct mount_opts *opts = options;
	if (argc == 2 && !strstr(argv[0], "://"))
		return loam_cmd_misused("'%s' is no volume URL", argv[0]);
	struct loam_err err = { 0 };
	struct chosen chosen = { 0 };
	loam_auto_free char *list = loam_xstrdup(opts->options ? opts->options : "");
	if (take_words(list, &chosen, &err))
		return loam_cmd_misused("%s", err.text);

	struct loam_config *config = NULL;
	const char *url = NULL;
	int rc = loam_config_load(NULL, &config, &err);
	if (rc == 0)
		rc = loam_config_meta(config, argc == 2 ? argv[0] : NULL, &url, &err);
	int status = rc < 0 ? loam_cmd_failed(&err)
			    : mount_here(opts, &chosen, config, url, argv[argc - 1]);
	loam_config_free(config);
	return status;
}

const struct loam_cmd loam_cmd_mount = {
	.name = "mount",
	.usage = "[options] [META] DIR",
	.summary = "show a volume as files",
	.details = "-o takes the words of mount(8), fstab and juicefs mount. Those that only tune "
		   "are ignored,\nthose that would change what users may see or do are refused.",
	.options =
		(const struct loam_opt[]){
			LOAM_OPT(struct mount_opts, options, "options", 'o', LOAM_OPT_TEXT, "WORDS",
				 "mount options, separated by commas"),
			LOAM_OPT(struct mount_opts, cache_dir, "cache-dir", 0, LOAM_OPT_TEXT, "DIR",
				 "directory of the node cache (cache.dir)"),
			LOAM_OPT(struct mount_opts, cache_mib, "cache-size", 0, LOAM_OPT_NUMBER,
				 "MiB", "size of the node cache (cache.sizeMiB)", .min = 64,
				 .max = 1u << 30),
			LOAM_OPT(struct mount_opts, passthrough, "passthrough", 0, LOAM_OPT_FLAG,
				 NULL, "let the kernel read complete cache files itself (default)"),
			LOAM_OPT(struct mount_opts, read_only, "read-only", 0, LOAM_OPT_FLAG, NULL,
				 "refuse every change"),
			LOAM_OPT(struct mount_opts, daemon, "background", 'd', LOAM_OPT_FLAG, NULL,
				 "return once the mount is up"),
			LOAM_OPT(struct mount_opts, log, "log", 0, LOAM_OPT_TEXT, "FILE",
				 "log of -d (" LOG_PATH ")"),
			LOAM_OPT_END },
	.options_bytes = sizeof(struct mount_opts),
	.args_min = 1,
	.args_max = 2,
	.init = init_mount,
	.run = run_mount,
};

/* ---- umount ---------------------------------------------------------------------------------- */

struct umount_opts {
	bool force;
};

static int run_umount(const void *options, int argc, char **argv)
{
	const struct umount_opts *opts = options;
	struct loam_err err = { 0 };
	if (loam_mount_unmount(argv[0], opts->force, &err))
		return loam_cmd_failed(&err);
	return 0;
}

const struct loam_cmd loam_cmd_umount = {
	.name = "umount",
	.usage = "[-f] DIR",
	.summary = "take a mount away",
	.options =
		(const struct loam_opt[]){ LOAM_OPT(struct umount_opts, force, "force", 'f',
						    LOAM_OPT_FLAG, NULL,
						    "also a hung mount: its requests are aborted"),
					   LOAM_OPT_END },
	.options_bytes = sizeof(struct umount_opts),
	.args_min = 1,
	.args_max = 1,
	.run = run_umount,
};
