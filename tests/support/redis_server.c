/*
 * Starts and ends the private Redis of a test program; its process dies with the program.
 */
#include "tests/support/redis_server.h"

#include "core/auto.h"
#include "core/clock.h"
#include "core/err.h"
#include "fs/meta/resp.h"

#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define START_MS 5000

static bool answers(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	loam_auto_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return false;
	char reply[8] = "";
	return write(fd, "PING\r\n", 6) == 6 && read(fd, reply, sizeof(reply) - 1) > 0 &&
	       strncmp(reply, "+PONG", 5) == 0;
}

static _Noreturn void run_server(const struct loam_redis_server *server, bool appendonly)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	int null = open("/dev/null", O_RDWR);
	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	char databases[16];
	snprintf(databases, sizeof(databases), "%d", LOAM_REDIS_SERVER_DATABASES);
	execlp("redis-server", "redis-server", "--port", "0", "--unixsocket", server->socket,
	       "--dir", server->dir, "--databases", databases, "--save", "", "--appendonly",
	       appendonly ? "yes" : "no", "--maxmemory-policy", "noeviction", (char *)NULL);
	_exit(127);
}

static void fork_server(struct loam_redis_server *server, bool appendonly)
{
	server->pid = fork();
	loam_assert(server->pid >= 0);
	if (server->pid == 0)
		run_server(server, appendonly);
}

void loam_redis_server_restart(struct loam_redis_server *server, bool appendonly)
{
	kill(server->pid, SIGKILL);
	waitpid(server->pid, NULL, 0);
	fork_server(server, appendonly);
}

void loam_redis_server_tell(const struct loam_redis_server *server, const char *expected, ...)
{
	struct loam_err err = { 0 };
	struct loam_deadline deadline = loam_deadline_in(START_MS);
	loam_auto_args struct loam_resp_args args = { 0 };
	loam_auto_batch struct loam_resp_batch batch = LOAM_RESP_BATCH;
	loam_auto_replies struct loam_resp_replies replies = { 0 };
	struct loam_stream *stream;
	va_list list;
	va_start(list, expected);
	for (const char *word; (word = va_arg(list, const char *));)
		loam_resp_arg_word(&args, word);
	va_end(list);
	loam_assert(loam_resp_batch_add(&batch, &args, &err) == 0);
	loam_assert(loam_stream_connect_unix(server->socket, deadline, &stream, &err) == 0);
	struct loam_resp *resp = loam_resp_new(stream);
	loam_assert(loam_resp_ask(resp, &batch, deadline, &replies, &err) == 0);
	loam_resp_free(resp);
	const char *text = loam_resp_text(replies.items[0]);
	char number[24];
	if (replies.items[0]->type == LOAM_RESP_INTEGER) {
		snprintf(number, sizeof(number), "%lld", (long long)replies.items[0]->integer);
		text = number;
	}
	if (strncmp(text, expected, strlen(expected)) != 0)
		fprintf(stderr, "%s: '%s', not '%s'\n", args.values[0], text, expected);
	loam_assert(strncmp(text, expected, strlen(expected)) == 0);
}

bool loam_redis_server_start(struct loam_redis_server *server, bool appendonly,
			     const char **out_reason)
{
	*server = (struct loam_redis_server){ 0 };
	*out_reason = "redis-server did not start";
	/* In memory where there is such a place: a busy disk must not stop the server. */
	snprintf(server->dir, sizeof(server->dir), "%s/loam-redis-XXXXXX",
		 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	loam_assert(mkdtemp(server->dir) != NULL);
	snprintf(server->socket, sizeof(server->socket), "%s/redis.sock", server->dir);
	fork_server(server, appendonly);
	struct loam_deadline deadline = loam_deadline_in(START_MS);
	while (!answers(server->socket)) {
		int status;
		if (waitpid(server->pid, &status, WNOHANG) == server->pid) {
			server->pid = 0;
			*out_reason = "redis-server is missing or ended at once";
			return false;
		}
		if (loam_deadline_left_ms(deadline) == 0)
			return false;
		loam_clock_sleep_ms(10);
	}
	return true;
}

static int remove_one(const char *path, const struct stat *stat, int type, struct FTW *ftw)
{
	return remove(path);
}

void loam_redis_server_stop(struct loam_redis_server *server)
{
	if (server->pid > 0) {
		kill(server->pid, SIGKILL);
		waitpid(server->pid, NULL, 0);
	}
	if (server->dir[0])
		nftw(server->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	*server = (struct loam_redis_server){ 0 };
}

char *loam_redis_server_url(const struct loam_redis_server *server, int database)
{
	return loam_xasprintf("unix://%s?db=%d", server->socket, database);
}
