/*
 * A mounted volume (mount.h). Serves step 9.
 *
 *   caller's thread   libfuse's loop, up to THREADS_MAX workers
 *   keeper            waits for signals; unmounts; raises the kernel's read-ahead once it is up
 *
 * The end, by umount(8) or by a signal, is the same: the kernel writes back what it holds, the loop
 * ends, open files are flushed, the session is closed. Where a signal finds the mount busy, it is
 * detached after a syncfs; whoever still stands in it gets ENOTCONN.
 */
#include "fs/mount/mount.h"

#include "core/auto.h"
#include "core/buf.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/sys.h"
#include "fs/data/content.h"
#include "fs/mount/fuse_ops.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define THREADS_MAX	 32
#define IDLE_THREADS_MAX 16
#define READ_AHEAD_KIB	 1024
#define KEEPER_STEP_NS	 100000000l
#define SIGNAL_WAKE	 SIGUSR1 /* makes libfuse's loop look at its exit flag */

struct mounted {
	const struct loam_mount_options *options;
	struct fuse_session *session;
	pthread_t loop;
	atomic_bool up, ended;
};

void loam_mount_block_signals(void)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
}

static void tell_ready(void *arg)
{
	struct mounted *mounted = arg;
	atomic_store(&mounted->up, true);
	if (mounted->options->ready)
		mounted->options->ready(mounted->options->ready_arg);
}

/* One request of 1 MiB instead of eight: the kernel starts with 128 KiB. Without the right to say
 * so it stays slower, nothing else. */
static void raise_read_ahead(const char *dir)
{
	struct stat stat_buf;
	if (stat(dir, &stat_buf) != 0)
		return;
	char path[64], text[16];
	snprintf(path, sizeof(path), "/sys/class/bdi/%u:%u/read_ahead_kb", major(stat_buf.st_dev),
		 minor(stat_buf.st_dev));
	loam_auto_fd int fd = open(path, O_WRONLY | O_CLOEXEC);
	int bytes = snprintf(text, sizeof(text), "%d", READ_AHEAD_KIB);
	if (fd < 0 || write(fd, text, (size_t)bytes) != bytes)
		loam_debug("mount.read_ahead", "path=%s problem=%s", path, strerror(errno));
}

static void wake_loop(struct mounted *mounted)
{
	while (!atomic_load(&mounted->ended)) {
		pthread_kill(mounted->loop, SIGNAL_WAKE);
		loam_clock_sleep_ms(20);
	}
}

static void leave(struct mounted *mounted, int signal_number)
{
	const char *dir = mounted->options->dir;
	loam_info("mount.ending", "dir=%s signal=%d", dir, signal_number);
	if (umount2(dir, UMOUNT_NOFOLLOW) == 0)
		return; /* the kernel has written back; the loop ends by itself */
	loam_info("mount.busy", "dir=%s problem=%s", dir, strerror(errno));
	{
		loam_auto_fd int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd >= 0 && syncfs(fd) != 0)
			loam_warn("mount.sync", "dir=%s problem=%s", dir, strerror(errno));
	}
	fuse_session_exit(mounted->session);
	wake_loop(mounted);
}

static void *keep(void *arg)
{
	struct mounted *mounted = arg;
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	bool raised = false;
	while (!atomic_load(&mounted->ended)) {
		struct timespec step = { .tv_nsec = KEEPER_STEP_NS };
		int number = sigtimedwait(&set, NULL, &step);
		if (number > 0) {
			leave(mounted, number);
			break;
		}
		if (!raised && atomic_load(&mounted->up)) {
			raised = true;
			raise_read_ahead(mounted->options->dir);
		}
	}
	return NULL;
}

static void log_libfuse(enum fuse_log_level level, const char *fmt, va_list args)
{
	char text[512];
	vsnprintf(text, sizeof(text), fmt, args);
	text[strcspn(text, "\n")] = '\0';
	if (level <= FUSE_LOG_ERR)
		loam_error("mount.libfuse", "text=%s", text);
	else
		loam_debug("mount.libfuse", "text=%s", text);
}

static void on_wake(int signal_number)
{
	(void)signal_number;
}

static int new_session(struct loam_fuse *fuse, const struct loam_mount_options *options,
		       const char *volume, struct fuse_session **out_session, struct loam_err *err)
{
	loam_auto_free char *words = loam_xasprintf(
		"allow_other,default_permissions,nosuid,nodev,noatime,fsname=Loam:%s,"
		"subtype=loam%s%s",
		volume, options->read_only ? ",ro" : "", options->no_exec ? ",noexec" : "");
	char program[] = "loam", flag[] = "-o";
	char *argv[] = { program, flag, words, NULL };
	struct fuse_args args = FUSE_ARGS_INIT(3, argv);
	fuse_set_log_func(log_libfuse);
	struct fuse_session *session =
		fuse_session_new(&args, &loam_fuse_ops, sizeof(loam_fuse_ops), fuse);
	fuse_opt_free_args(&args);
	if (!session)
		return loam_fail(err, LOAM_E_INTERNAL, "libfuse takes no session with -o %s",
				 words);
	*out_session = fuse->session = session;
	return 0;
}

static int check_dir(const char *dir, struct loam_err *err)
{
	struct stat stat_buf;
	if (stat(dir, &stat_buf) != 0)
		return loam_fail_errno(err, "mount at %s", dir);
	if (!S_ISDIR(stat_buf.st_mode))
		return loam_fail(err, LOAM_E_NOT_DIR, "%s is not a directory", dir);
	if (access("/dev/fuse", R_OK | W_OK) != 0)
		return loam_fail(err, LOAM_E_UNSUPPORTED,
				 "/dev/fuse is not usable (%s); a container needs --device "
				 "/dev/fuse --cap-add SYS_ADMIN",
				 strerror(errno));
	return 0;
}

static int run_loop(struct mounted *mounted, struct loam_err *err)
{
	struct fuse_loop_config *config = fuse_loop_cfg_create();
	fuse_loop_cfg_set_clone_fd(config, 0); /* passthrough's custom I/O is on one descriptor */
	fuse_loop_cfg_set_max_threads(config, THREADS_MAX);
	fuse_loop_cfg_set_idle_threads(config, IDLE_THREADS_MAX);
	struct sigaction wake = { .sa_handler = on_wake }, before;
	sigaction(SIGNAL_WAKE, &wake, &before);
	mounted->loop = pthread_self();
	pthread_t keeper;
	int rc = pthread_create(&keeper, NULL, keep, mounted);
	if (rc == 0) {
		rc = fuse_session_loop_mt(mounted->session, config);
		atomic_store(&mounted->ended, true);
		pthread_join(keeper, NULL);
	}
	sigaction(SIGNAL_WAKE, &before, NULL);
	fuse_loop_cfg_destroy(config);
	if (rc < 0)
		return loam_fail(err, LOAM_E_IO, "the FUSE loop ended: %s", strerror(-rc));
	return 0;
}

static int mount_and_loop(struct loam_fuse *fuse, struct loam_passthrough *passthrough,
			  const struct loam_mount_options *options, const char *volume,
			  struct loam_err *err)
{
	struct mounted mounted = { .options = options };
	fuse->ready = tell_ready;
	fuse->ready_arg = &mounted;
	int rc = new_session(fuse, options, volume, &mounted.session, err);
	if (rc)
		return rc;
	if (fuse_session_mount(mounted.session, options->dir) != 0) {
		fuse_session_destroy(mounted.session);
		return loam_fail(err, LOAM_E_IO, "cannot mount at %s", options->dir);
	}
	rc = loam_passthrough_attach(passthrough, mounted.session, err);
	if (!rc) {
		loam_info("mount.start", "volume=%s dir=%s", volume, options->dir);
		rc = run_loop(&mounted, err);
	}
	/* Open files first: what they hold must reach the volume even if nobody closes them. */
	struct loam_data *data = loam_vfs_data(fuse->vfs);
	struct loam_err flush_err = { 0 };
	int flush_rc = loam_file_flush_all(data, &flush_err);
	loam_vfs_close_all(fuse->vfs);
	fuse_session_unmount(mounted.session);
	fuse_session_destroy(mounted.session);
	if (flush_rc && !rc)
		rc = loam_fail(err, flush_err.code, "not all was written: %s", flush_err.text);
	loam_info("mount.end", "dir=%s", options->dir);
	return rc;
}

int loam_mount_run(struct loam_data *data, const struct loam_mount_options *options,
		   struct loam_err *err)
{
	int rc = loam_mount_detach_stale(options->dir, err);
	if (rc < 0)
		return rc;
	rc = check_dir(options->dir, err);
	if (rc)
		return rc;

	const struct loam_format *format = loam_meta_format(loam_data_meta(data));
	struct loam_passthrough *passthrough =
		loam_passthrough_new(data, options->no_passthrough ? NULL : loam_content_key);
	struct loam_vfs_options vfs_options = { .tree_root = options->tree_root,
						.service_uid = options->service_uid,
						.attr_ms = options->attr_ms,
						.acl = format->enable_acl,
						.passthrough = passthrough };
	struct loam_fuse fuse = { .vfs = loam_vfs_new(data, &vfs_options),
				  .entry_seconds = options->entry_ms / 1000.0,
				  .acl = format->enable_acl };
	fuse.control = loam_control_new(fuse.vfs);
	struct loam_attr root;
	uint32_t unused_ms;
	rc = loam_vfs_getattr(fuse.vfs, FUSE_ROOT_ID, NULL, &root, &unused_ms, err);
	if (!rc)
		rc = mount_and_loop(&fuse, passthrough, options, format->name, err);
	loam_control_free(fuse.control);
	loam_vfs_free(fuse.vfs);
	loam_passthrough_free(passthrough);
	return rc;
}
