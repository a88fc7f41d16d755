/*
 * loam serve: Git, LFS, the API and health over HTTP until SIGTERM or SIGINT. The first signal
 * lets running transfers finish, a second one ends at once. All steps of a push but the mount's
 * run below this.
 *
 * Started by root it takes what only root can have (the ports, the TLS key, hook.sock beside the
 * configuration, the directory of repositories), becomes the service account for good, and only
 * then opens the volume: server/doors.h.
 */
#include "auth/audit.h"
#include "auth/instance.h"
#include "core/auto.h"
#include "core/clock.h"
#include "core/confine.h"
#include "core/log.h"
#include "core/service.h"
#include "core/sys.h"
#include "server/api.h"
#include "server/commands.h"
#include "server/doors.h"
#include "server/git_slots.h"
#include "server/hook_socket.h"
#include "server/server.h"
#include "server/ssh_loam.h"
#include "server/ssh_socket.h"
#include "sync/publish.h"

#include "core/banned.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define GRACE_MS       25000 /* and 5 s to unwind what was cut: 30 s in all */
#define HOOK_GRACE_MS  3000
#define TABLES_MAX     8
#define SIGNAL_LOOK_MS 100

struct serve_opts {
	const char *meta, *listen, *repos, *tls_cert, *tls_key;
};

static volatile int end_asked, end_now;

static void note_signal(int number)
{
	end_now = end_asked;
	end_asked = 1;
}

/* Something else has moved the audit log. */
static void reopen_logs(int number)
{
	loam_audit_reopen();
}

static void watch_signals(void)
{
	struct sigaction action = { .sa_handler = note_signal };
	struct sigaction reopen = { .sa_handler = reopen_logs };
	sigemptyset(&action.sa_mask);
	sigemptyset(&reopen.sa_mask);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGHUP, &reopen, NULL);
}

/* What lives as long as the server, released in the reverse of its making. */
struct serving {
	struct loam_instance *instance;
	struct loam_lfs *lfs;
	struct loam_publisher *publisher;
	bool reconciling;
	struct loam_doors doors;
	struct loam_hook_socket *hooks;
	bool hooks_for_all;
	char *hooks_dir;
	struct loam_op_context operations;
	struct loam_server server;
	struct loam_route_table tables[TABLES_MAX];
	size_t table_count;
	struct loam_http *http;
	struct loam_ssh_socket *ssh;
};

/* What was acknowledged is durable, the rest is swept or published by the next server. */
static _Noreturn void end_unfinished(void)
{
	loam_warn("serve.unfinished", "asked_twice=%d", end_now);
	_exit(end_now ? 1 : 0);
}

static void release_serving(struct serving *serving)
{
	if (!loam_ssh_socket_close(serving->ssh, 0, NULL))
		end_unfinished();
	/* Hooks first: the reconciler would wait for what one of them publishes, however long. */
	if (!loam_hook_socket_close(serving->hooks, HOOK_GRACE_MS))
		end_unfinished();
	if (serving->reconciling)
		loam_reconciler_stop(serving->publisher);
	loam_api_free(serving->server.api);
	loam_git_slots_free(serving->server.git_slots);
	free(serving->hooks_dir);
	if (serving->publisher)
		loam_publisher_close(serving->publisher);
	if (serving->lfs)
		loam_lfs_close(serving->lfs);
	loam_instance_close(serving->instance);
	loam_doors_release(&serving->doors);
}

static int git_dir_of(struct loam_server *server, const struct loam_repo *repo, char *out_path,
		      struct loam_err *err)
{
	return loam_git_dir(server->publisher, repo, out_path, err);
}

static int new_ticket(struct loam_server *server, const struct loam_repo *repo,
		      const struct loam_principal *who, char out_ticket[LOAM_TICKET_BYTES],
		      struct loam_err *err)
{
	return loam_hook_ticket_new(server->hooks, repo, who, out_ticket, err);
}

static void end_ticket(struct loam_server *server, const char *ticket, size_t asked)
{
	loam_hook_ticket_end(server->hooks, ticket, asked);
}

static int open_hooks(struct serving *serving, struct loam_err *err)
{
	struct loam_server *server = &serving->server;
	struct loam_doors *doors = &serving->doors;
	int rc = loam_hook_links_make(server->repos, &serving->hooks_dir, err);
	if (rc == 0)
		rc = loam_hook_socket_open(doors->hook_path, doors->hook_fd,
					   serving->instance->auth, serving->publisher,
					   &serving->hooks, err);
	if (rc < 0)
		return rc;
	doors->hook_fd = -1; /* the hooks' */
	server->hooks = serving->hooks;
	server->hook_socket = doors->hook_path;
	server->hooks_dir = serving->hooks_dir;
	server->ticket_new = new_ticket;
	server->ticket_end = end_ticket;
	return 0;
}

static void add_table(struct serving *serving, const struct loam_route_table *table)
{
	loam_assert(serving->table_count < TABLES_MAX);
	serving->tables[serving->table_count++] = *table;
}

static void add_tables(struct serving *serving)
{
	struct loam_route_table lfs = { .routes = loam_lfs_routes };
	while (lfs.routes[lfs.count].path)
		lfs.count++;
	const struct loam_route_table api = loam_api_routes(serving->server.api);
	add_table(serving, &loam_health_routes);
	add_table(serving, &api);
	add_table(serving, &loam_git_routes);
	add_table(serving, &lfs);
}

/* What the doors work with, once volume and repositories are ours. */
static int open_doors(struct serving *serving, struct loam_err *err)
{
	struct loam_instance *instance = serving->instance;
	struct loam_server *server = &serving->server;
	int rc = loam_lfs_open(instance->auth, instance->config, &serving->lfs, err);
	if (rc < 0)
		return rc;
	rc = loam_publisher_open(&instance->tree, instance->config, serving->lfs, server->repos,
				 &serving->publisher, err);
	if (rc < 0)
		return rc;
	server->lfs_context = (struct loam_lfs_context){ .lfs = serving->lfs,
							 .auth = instance->auth,
							 .config = instance->config };
	server->volume = instance->volume;
	server->auth = instance->auth;
	server->config = instance->config;
	server->publisher = serving->publisher;
	server->authorize = loam_server_authorize;
	server->still = loam_watch_ask;
	server->git_dir = git_dir_of;
	server->git_slots = loam_git_slots_new(LOAM_GIT_CHILDREN_MAX);
	serving->operations = (struct loam_op_context){ .auth = instance->auth,
							.config = instance->config,
							.repos = server->repos,
							.publisher = serving->publisher };
	server->api = loam_api_new(&serving->operations);
	server->ssh_loam = loam_ssh_loam_run;
	add_tables(serving);
	rc = open_hooks(serving, err);
	if (rc < 0)
		return rc;
	rc = loam_reconciler_start(serving->publisher, err);
	serving->reconciling = rc == 0;
	return rc;
}

/* A directory of blocks that belongs to somebody else, as an official client leaves it to root:
 * what root's commands and mounts write there is for its owner alone (fs/store/store_file.c). */
static int check_blocks(const struct loam_format *format, struct loam_err *err)
{
	if (geteuid() == 0 || strcmp(format->storage, "file") != 0)
		return 0;
	loam_auto_free char *volume = loam_path_join(format->bucket, format->name);
	const char *const dirs[] = { format->bucket, volume };
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(dirs); i++)
		if (access(dirs[i], R_OK | W_OK | X_OK) < 0 && errno != ENOENT)
			return loam_fail(
				err, LOAM_E_DENIED,
				"uid %u cannot use the blocks in %s (%s): chown -R %u:%u "
				"%s and let it pass the folders above, or set server.runAs",
				geteuid(), dirs[i], strerror(errno), geteuid(), getegid(),
				format->bucket);
	return 0;
}

static int open_serving(struct serving *serving, const struct serve_opts *opts,
			struct loam_config *config, struct loam_err *err)
{
	const struct loam_instance_options options = {
		.meta_url = opts->meta,
		.config = config,
		.session = true,
		.cache_dir = config->server_cache_dir[0] ? config->server_cache_dir : NULL,
	};
	int rc = loam_instance_open(&options, &serving->instance, err);
	if (rc == 0)
		rc = check_blocks(loam_meta_format(serving->instance->volume->meta), err);
	if (rc < 0)
		return rc;
	serving->server.repos = serving->doors.repos;
	return open_doors(serving, err);
}

static int start_http(struct serving *serving, struct loam_err *err)
{
	const struct loam_config *config = serving->instance->config;
	const struct loam_http_options options = {
		.listener = serving->doors.http,
		.listen = serving->doors.listen,
		.url = config->server_url,
		.trusted_proxy = config->server_trusted_proxy,
		.plain_http = config->server_plain_http,
		.workers = config->server_workers,
		.tables = serving->tables,
		.table_count = serving->table_count,
		.context = &serving->server,
	};
	serving->doors.http = NULL; /* the server's */
	serving->server.http_is_tls = serving->doors.tls;
	int rc = loam_http_start(&options, &serving->http, err);
	if (rc == 0)
		loam_info("serve.ready", "listen=%s tls=%d repos=%s uid=%u landlock=%d",
			  loam_http_address(serving->http), serving->doors.tls,
			  serving->server.repos, geteuid(), loam_confine_level());
	if (rc == 0 && loam_confine_level() == 0)
		loam_warn("serve.landlock",
			  "problem=git children can reach all that uid %u can: "
			  "this kernel has no Landlock",
			  geteuid());
	return rc;
}

/* hook.sock is the account's alone until a repository of another server is met. */
static void look_at_hooks(struct serving *serving)
{
	if (serving->hooks_for_all || !loam_publisher_met_foreign(serving->publisher))
		return;
	loam_hook_socket_open_to_all(serving->hooks);
	serving->hooks_for_all = true;
}

static int open_ssh(struct serving *serving, struct loam_err *err)
{
	serving->server.http_address = loam_http_address(serving->http);
	return loam_ssh_socket_open(serving->doors.ssh_path, loam_steal_fd(&serving->doors.ssh_fd),
				    &serving->server, &serving->ssh, err);
}

/* The first signal stops with grace; one behind it, or a handler that does not come back, ends the
 * process where it stands. */
static void serve_until_asked(struct serving *serving)
{
	loam_service_ready("%s://%s", serving->doors.tls ? "https" : "http",
			   loam_http_address(serving->http));
	while (!end_asked) {
		look_at_hooks(serving);
		loam_clock_sleep_ms(SIGNAL_LOOK_MS);
	}
	loam_service_stopping();
	loam_info("serve.stopping", "listen=%s", loam_http_address(serving->http));
	uint64_t began_ms = loam_clock_ms();
	loam_ssh_socket_stop(serving->ssh);
	if (!loam_http_stop(serving->http, GRACE_MS, &end_now))
		end_unfinished();
	uint64_t gone_ms = loam_clock_ms() - began_ms;
	if (!loam_ssh_socket_close(loam_steal(&serving->ssh),
				   gone_ms < GRACE_MS ? GRACE_MS - gone_ms : 0, &end_now))
		end_unfinished();
}

static int prepare(struct serving *serving, const struct serve_opts *opts,
		   struct loam_config **out_config, struct loam_err *err)
{
	struct loam_config *config = NULL;
	int rc = loam_config_load(NULL, &config, err);
	if (rc < 0)
		return rc;
	const struct loam_doors_options options = { .listen = opts->listen,
						    .repos = opts->repos,
						    .tls_cert = opts->tls_cert,
						    .tls_key = opts->tls_key };
	rc = loam_doors_open(&options, config, &serving->doors, err);
	if (rc < 0)
		loam_config_free(config);
	else
		*out_config = config;
	return rc;
}

static int run_serve(const void *options, int argc, char **argv)
{
	struct loam_err err = { 0 };
	struct serving serving = { .doors = LOAM_DOORS };
	struct loam_config *config = NULL;
	umask(077);
	watch_signals();
	int rc = prepare(&serving, options, &config, &err);
	if (rc == 0)
		rc = open_serving(&serving, options, config, &err);
	if (rc == 0)
		rc = start_http(&serving, &err);
	if (rc == 0 && (rc = open_ssh(&serving, &err)) < 0 &&
	    !loam_http_stop(serving.http, 0, NULL))
		end_unfinished();
	if (rc == 0)
		serve_until_asked(&serving);
	release_serving(&serving);
	return rc < 0 ? loam_cmd_failed(&err) : 0;
}

const struct loam_cmd loam_cmd_serve = {
	.name = "serve",
	.usage = "[options]",
	.summary = "serve Git, Git LFS, the API and health over HTTP",
	.details = "Ends on SIGTERM or SIGINT when running transfers have finished, after 30 s at\n"
		   "most; a second signal ends it at once. SIGHUP opens the audit log anew.\n"
		   "Passwords and tokens are taken over plain HTTP from this machine only, unless\n"
		   "server.plainHttp is true.",
	.options =
		(const struct loam_opt[]){
			LOAM_OPT(struct serve_opts, meta, "meta", 0, LOAM_OPT_TEXT, "URL",
				 "the volume (LOAM_META, meta.url)"),
			LOAM_OPT(struct serve_opts, listen, "listen", 0, LOAM_OPT_TEXT, "ADDR:PORT",
				 "where to listen (server.listen)"),
			LOAM_OPT(struct serve_opts, repos, "repos", 0, LOAM_OPT_TEXT, "DIR",
				 "directory of bare repositories (server.repos)"),
			LOAM_OPT(struct serve_opts, tls_cert, "tls-cert", 0, LOAM_OPT_TEXT, "FILE",
				 "PEM certificate chain (server.tlsCert)"),
			LOAM_OPT(struct serve_opts, tls_key, "tls-key", 0, LOAM_OPT_TEXT, "FILE",
				 "PEM private key (server.tlsKey)"),
			LOAM_OPT_END },
	.options_bytes = sizeof(struct serve_opts),
	.run = run_serve,
};
