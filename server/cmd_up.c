/*
 * loam up: everything on one machine. A private Redis, `loam serve` and `loam mount` as supervised
 * children on one folder; ends on SIGINT and SIGTERM: serve drains, the mount unmounts, Redis last.
 */
#include "core/auto.h"
#include "core/clock.h"
#include "core/cmd.h"
#include "core/config.h"
#include "core/log.h"
#include "core/service.h"
#include "core/stream.h"
#include "core/sys.h"
#include "server/commands.h"
#include "server/embedded.h"
#include "server/ssh_server.h"
#include "server/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define REDIS_WAIT_MS	 60000
#define READY_WAIT_MS	 60000
#define START_DEATHS_MAX 5     /* of a child before all is up: some 3 s */
#define SERVE_GRACE_MS	 35000 /* serve itself drains for at most 30 s */
#define ENV_MAX		 16
#define VOLUME_NAME	 "loam"

struct up_opts {
	const char *dir, *listen, *ssh_listen, *mount;
	bool no_mount;
};

struct up {
	struct loam_embedded embedded;
	char self[1024]; /* this program */
	char *config;	 /* DIR/loam.conf */
	char *redis_conf;
	char *env_text[ENV_MAX];
	const char *env[ENV_MAX + 1];
	const char *redis_argv[24], *serve_argv[6], *mount_argv[6];
	char uid_text[16], gid_text[16]; /* of redis */
	const char *ssh_listen;		 /* NULL: the configuration decides */
	struct loam_ssh_server ssh;
	struct loam_supervisor supervisor;
};

static volatile sig_atomic_t end_asked;

static void ask_end(int signal_number)
{
	end_asked = signal_number;
}

static void init_up(void *options)
{
	struct up_opts *opts = options;
	opts->dir = "/var/lib/loam";
}

/* Said before anything is changed. */
static int check_machine(const struct up_opts *opts, struct loam_err *err)
{
	if (opts->no_mount || access("/dev/fuse", R_OK | W_OK) == 0)
		return 0;
	return loam_fail(err, LOAM_E_UNSUPPORTED,
			 "/dev/fuse cannot be used here: %s. In a container: docker run --device "
			 "/dev/fuse --cap-add SYS_ADMIN; or loam up --no-mount",
			 strerror(errno));
}

/* The children's environment is built from nothing but these. */
static void build_env(struct up *up)
{
	static const char *const passed_on[] = {
		"PATH",		  "JOURNAL_STREAM",	"LOAM_DEBUG",
		"LOAM_FAILPOINT", "LOAM_FAILPOINT_LOG", "LOAM_STORE_FAULT",
		"ASAN_OPTIONS",	  "TSAN_OPTIONS"
	};
	size_t count = 0;
	up->env_text[count++] = loam_xasprintf("LOAM_CONFIG=%s", up->config);
	up->env_text[count++] = loam_xasprintf("HOME=%s", up->embedded.dir);
	up->env_text[count++] = loam_xstrdup("LC_ALL=C");
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(passed_on); i++) {
		const char *value = getenv(passed_on[i]);
		if (value)
			up->env_text[count++] = loam_xasprintf("%s=%s", passed_on[i], value);
	}
	for (size_t i = 0; i < count; i++)
		up->env[i] = up->env_text[i];
	up->env[count] = NULL;
}

static int run_self(struct up *up, const char *const *argv, struct loam_err *err)
{
	struct loam_process_spec spec = {
		.argv = argv, .env = up->env, .stdin_fd = -1, .stdout_fd = LOAM_PIPE, .stderr_fd = 2
	};
	loam_auto_buf struct loam_buf out = LOAM_BUF(65536);
	return loam_process_run(&spec, NULL, 0, &out, REDIS_WAIT_MS, err);
}

static int ensure_format(struct up *up, struct loam_err *err)
{
	int rc = loam_embedded_is_formatted(&up->embedded, err);
	if (rc != 0)
		return rc < 0 ? rc : 0;
	loam_auto_free char *blocks = loam_embedded_path(&up->embedded, "blocks");
	const char *argv[] = { up->self, "format", "--bucket", blocks, VOLUME_NAME, NULL };
	return run_self(up, argv, err);
}

static int start_redis(struct up *up, struct loam_err *err)
{
	const struct loam_identity *who = &up->embedded.who;
	size_t n = 0;
	up->redis_conf = loam_embedded_path(&up->embedded, "redis/redis.conf");
	if (geteuid() == 0 && who->uid != 0) {
		snprintf(up->uid_text, sizeof(up->uid_text), "%u", who->uid);
		snprintf(up->gid_text, sizeof(up->gid_text), "%u", who->gid);
		/* pdeathsig again: a change of uid takes it away */
		const char *const as[] = { "setpriv",	     "--reuid",
					   up->uid_text,     "--regid",
					   up->gid_text,     "--clear-groups",
					   "--inh-caps",     "-all",
					   "--bounding-set", "-all",
					   "--no-new-privs", "--pdeathsig",
					   "TERM",	     "--" };
		for (; n < LOAM_ARRAY_COUNT(as); n++)
			up->redis_argv[n] = as[n];
	}
	loam_assert(n + 2 < LOAM_ARRAY_COUNT(up->redis_argv));
	up->redis_argv[n++] = "redis-server";
	up->redis_argv[n++] = up->redis_conf;
	int rc = loam_supervisor_add(&up->supervisor, "redis", up->redis_argv, up->env, err);
	return rc < 0 ? rc : loam_embedded_wait_redis(&up->embedded, REDIS_WAIT_MS, err);
}

static int start_doors(struct up *up, struct loam_err *err)
{
	size_t n = 0;
	up->serve_argv[n++] = up->self;
	up->serve_argv[n++] = "serve";
	if (up->embedded.listen[0] != '\0') {
		up->serve_argv[n++] = "--listen";
		up->serve_argv[n++] = up->embedded.listen;
	}
	if (up->embedded.with_mount) {
		up->mount_argv[0] = up->self;
		up->mount_argv[1] = "mount";
		up->mount_argv[2] = up->embedded.mount;
		int rc =
			loam_supervisor_add(&up->supervisor, "mount", up->mount_argv, up->env, err);
		if (rc < 0)
			return rc;
	}
	return loam_supervisor_add(&up->supervisor, "serve", up->serve_argv, up->env, err);
}

/* Its listening process comes last and goes first; sessions live and die with serve. */
static int start_ssh(struct up *up, struct loam_err *err)
{
	return up->ssh.open
		       ? loam_supervisor_add(&up->supervisor, "sshd", up->ssh.argv, up->env, err)
		       : 0;
}

/* ---- readiness ------------------------------------------------------------------------------- */

static bool mount_is_up(const struct up *up)
{
	if (!up->embedded.with_mount)
		return true;
	struct stat here, parent;
	loam_auto_free char *above = loam_path_join(up->embedded.mount, "..");
	return stat(up->embedded.mount, &here) == 0 && stat(above, &parent) == 0 &&
	       here.st_dev != parent.st_dev;
}

/* Where a program on this host reaches what listens there: "127.0.0.1:8418"; free(). */
static char *reachable(const char *listen)
{
	const char *colon = strrchr(listen, ':');
	bool any = strncmp(listen, "0.0.0.0:", 8) == 0 || strncmp(listen, "[::]:", 5) == 0;
	return any ? loam_xasprintf("127.0.0.1%s", colon) : loam_xstrdup(listen);
}

/* Asks /healthz as any client would. Under TLS an open port is enough: serve opens it last. */
static bool serve_is_up(const char *listen, bool tls)
{
	loam_auto_free char *host = reachable(listen);
	char *colon = strrchr(host, ':');
	if (!colon)
		return false;
	*colon = '\0';
	struct loam_err ignored = { 0 };
	struct loam_deadline deadline = loam_deadline_in(2000);
	struct loam_stream *stream = NULL;
	if (loam_stream_connect_tcp(host, colon + 1, false, deadline, &stream, &ignored) < 0)
		return false;
	if (tls) {
		loam_stream_close(stream);
		return true;
	}
	static const char ask[] =
		"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
	char reply[32] = "";
	size_t got = 0;
	bool ok = loam_stream_write(stream, ask, sizeof(ask) - 1, deadline, &ignored) == 0 &&
		  loam_stream_read(stream, reply, sizeof(reply) - 1, &got, deadline, &ignored) == 0;
	loam_stream_close(stream);
	return ok && strncmp(reply, "HTTP/1.1 200", 12) == 0;
}

static int wait_ready(struct up *up, const char *listen, bool tls, struct loam_err *err)
{
	struct loam_deadline deadline = loam_deadline_in(READY_WAIT_MS);
	const char *dying;
	while (!end_asked &&
	       !(mount_is_up(up) && serve_is_up(listen, tls) && loam_ssh_server_is_up(&up->ssh))) {
		if (loam_deadline_left_ms(deadline) == 0)
			return loam_fail(err, LOAM_E_UNAVAILABLE, "%s does not come up",
					 !mount_is_up(up)	    ? "loam mount"
					 : serve_is_up(listen, tls) ? "sshd"
								    : "loam serve");
		loam_supervisor_step(&up->supervisor);
		if ((dying = loam_supervisor_dying(&up->supervisor, START_DEATHS_MAX)))
			return loam_fail(err, LOAM_E_UNAVAILABLE,
					 "%s ends again and again; it says why above", dying);
	}
	return 0;
}

/* What clients are told, else where this host reaches it; free(). */
static char *shown_url(const struct loam_config *config, const char *listen, bool tls)
{
	if (config->server_url[0])
		return loam_xstrdup(config->server_url);
	loam_auto_free char *here = reachable(listen);
	return loam_xasprintf("%s://%s", tls ? "https" : "http", here);
}

static void tell_ready(const struct up *up, const char *url)
{
	fprintf(stderr,
		"\nloam is up: %s%s%s%s%s\n\n"
		"In a second terminal (export LOAM_CONFIG=%s, unless /etc/loam/loam.conf is it):\n"
		"    loam user add alice && loam user token alice\n"
		"    loam repo create qwen/tiny --owner alice\n"
		"    git clone %s/qwen/tiny.git        (user alice, the token as password)\n"
		"Ctrl-C stops everything; the data stays in %s.\n",
		url, up->ssh.open ? ", " : "", up->ssh.url,
		up->embedded.with_mount ? ", files on " : "",
		up->embedded.with_mount ? up->embedded.mount : "", up->config, url,
		up->embedded.dir);
	loam_service_ready("%s%s%s%s%s", url, up->ssh.open ? ", " : "", up->ssh.url,
			   up->embedded.with_mount ? ", files on " : "",
			   up->embedded.with_mount ? up->embedded.mount : "");
}

/* ---- the command ----------------------------------------------------------------------------- */

static int prepare(struct up *up, const struct up_opts *opts, struct loam_err *err)
{
	ssize_t bytes = readlink("/proc/self/exe", up->self, sizeof(up->self) - 1);
	if (bytes < 0)
		return loam_fail_errno(err, "find this program");
	up->self[bytes] = '\0';
	int rc = loam_embedded_open(opts->dir, &up->embedded, err);
	if (rc < 0)
		return rc;
	struct loam_embedded *embedded = &up->embedded;
	snprintf(embedded->listen, sizeof(embedded->listen), "%s",
		 opts->listen ? opts->listen : "127.0.0.1:8418");
	embedded->with_mount = !opts->no_mount;
	loam_auto_free char *mnt = loam_embedded_path(embedded, "mnt");
	snprintf(embedded->mount, sizeof(embedded->mount), "%s", opts->mount ? opts->mount : mnt);
	rc = loam_embedded_configure(embedded, err);
	if (rc == 0 && !opts->listen)
		embedded->listen[0] = '\0'; /* the configuration decides */
	up->ssh_listen = opts->ssh_listen;
	up->config = loam_embedded_path(embedded, "loam.conf");
	build_env(up);
	return rc;
}

static void release(struct up *up)
{
	loam_supervisor_stop(&up->supervisor, SERVE_GRACE_MS);
	loam_ssh_server_release(&up->ssh);
	loam_embedded_close(&up->embedded);
	free(up->config);
	free(up->redis_conf);
	for (size_t i = 0; i < ENV_MAX; i++)
		free(up->env_text[i]);
}

static int bring_up(struct up *up, struct loam_err *err)
{
	struct loam_config *config = NULL;
	int rc = loam_config_load(up->config, &config, err);
	if (rc < 0)
		return rc;
	loam_auto_free char *listen =
		loam_xstrdup(up->embedded.listen[0] ? up->embedded.listen : config->server_listen);
	bool tls = config->server_tls_cert[0] != '\0';
	loam_auto_free char *url = shown_url(config, listen, tls);
	/* Before anything is started: a port in use is an error, and nothing has happened then. */
	rc = loam_ssh_server_prepare(&up->ssh, up->embedded.dir, config, up->ssh_listen, err);
	if (rc == 0)
		rc = loam_embedded_hand_over(&up->embedded, config, err);
	loam_config_free(config);
	if (rc < 0)
		return rc;
	if ((rc = start_redis(up, err)) < 0 || (rc = ensure_format(up, err)) < 0 ||
	    (rc = start_doors(up, err)) < 0 || (rc = start_ssh(up, err)) < 0 ||
	    (rc = wait_ready(up, listen, tls, err)) < 0)
		return rc;
	if (!end_asked)
		tell_ready(up, url);
	while (!end_asked)
		loam_supervisor_step(&up->supervisor);
	loam_service_stopping();
	return 0;
}

static int run_up(const void *options, int argc, char **argv)
{
	const struct up_opts *opts = options;
	struct loam_err err = { 0 };
	struct up up = { .embedded.lock_fd = -1 };
	struct sigaction action = { .sa_handler = ask_end };
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	int rc = check_machine(opts, &err);
	if (rc == 0)
		rc = prepare(&up, opts, &err);
	if (rc == 0)
		rc = bring_up(&up, &err);
	release(&up);
	return rc < 0 ? loam_cmd_failed(&err) : 0;
}

const struct loam_cmd loam_cmd_up = {
	.name = "up",
	.usage = "[options]",
	.summary = "run everything on this machine: a private Redis, serve, mount and sshd",
	.details = "Formats a volume in DIR the first time. Every other command talks to it with\n"
		   "LOAM_CONFIG=DIR/loam.conf.",
	.options =
		(const struct loam_opt[]){
			LOAM_OPT(struct up_opts, dir, "dir", 0, LOAM_OPT_TEXT, "DIR",
				 "where everything stands (/var/lib/loam)"),
			LOAM_OPT(struct up_opts, listen, "listen", 0, LOAM_OPT_TEXT, "ADDR:PORT",
				 "where HTTP is served (127.0.0.1:8418)"),
			LOAM_OPT(struct up_opts, ssh_listen, "ssh-listen", 0, LOAM_OPT_TEXT,
				 "ADDR:PORT", "where SSH is served; off: nowhere (127.0.0.1:8422)"),
			LOAM_OPT(struct up_opts, mount, "mount", 0, LOAM_OPT_TEXT, "DIR",
				 "where the files are shown (DIR/mnt)"),
			LOAM_OPT(struct up_opts, no_mount, "no-mount", 0, LOAM_OPT_FLAG, NULL,
				 "do not show the files"),
			LOAM_OPT_END },
	.options_bytes = sizeof(struct up_opts),
	.init = init_up,
	.run = run_up,
};
