/*
 * loam shell: what sshd runs for every session, as its forced command. It holds no credential: it
 * hands the session's descriptors and the client's words to serve over ssh.sock and ends with the
 * status that comes back. `loam ssh-keys` is what sshd asks whose a key is.
 *
 * Both run as unprivileged accounts, outside of serve, and fail closed: no answer is a refusal.
 */
#include "core/auto.h"
#include "core/clock.h"
#include "core/json.h"
#include "githook/channel.h"
#include "server/commands.h"
#include "server/ssh_command.h"
#include "server/ssh_server.h"
#include "server/ssh_socket.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#define ASK_MS	   4000 /* sshd's question is answered, or refused, within 5 s */
#define CONNECT_MS 4000
#define FD_COUNT   3

struct shell_opts {
	const char *socket, *key;
};

#define SOCKET_OPT                                                              \
	LOAM_OPT(struct shell_opts, socket, "socket", 0, LOAM_OPT_TEXT, "PATH", \
		 "ssh.sock of the server")

/* ---- talking to serve ------------------------------------------------------------------------ */

/* Connecting does not wait when the server's queue is full: it is then as good as gone. */
static int connect_to(const char *path, int *out_fd, struct loam_err *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	if (!path || strlen(path) >= sizeof(address.sun_path))
		return loam_fail(err, LOAM_E_INVALID, "--socket names no socket");
	memcpy(address.sun_path, path, strlen(path) + 1);
	loam_auto_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return loam_fail_errno(err, "make a socket");
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return loam_fail(err, LOAM_E_UNAVAILABLE, "the server is not running: %s",
				 strerror(errno));
	*out_fd = loam_steal_fd(&fd);
	return 0;
}

/* The line, and with fds the descriptors 0, 1 and 2. It fits into the socket's buffer. */
static int send_line(int fd, const json_t *message, bool with_fds, struct loam_err *err)
{
	loam_auto_buf struct loam_buf line = LOAM_BUF(LOAM_SSH_LINE_BYTES_MAX);
	int rc = loam_json_print(message, &line, err);
	if (rc == 0)
		rc = loam_buf_add(&line, "\n", 1, err);
	if (rc < 0)
		return rc;
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(FD_COUNT * sizeof(int))];
	} control = { 0 };
	struct iovec part = { line.data, line.bytes };
	struct msghdr packet = { .msg_iov = &part, .msg_iovlen = 1 };
	if (with_fds) {
		static const int fds[FD_COUNT] = { 0, 1, 2 };
		packet.msg_control = &control;
		packet.msg_controllen = sizeof(control);
		struct cmsghdr *head = CMSG_FIRSTHDR(&packet);
		head->cmsg_level = SOL_SOCKET;
		head->cmsg_type = SCM_RIGHTS;
		head->cmsg_len = CMSG_LEN(sizeof(fds));
		memcpy(CMSG_DATA(head), fds, sizeof(fds));
	}
	ssize_t sent = sendmsg(fd, &packet, MSG_NOSIGNAL);
	if (sent != (ssize_t)line.bytes)
		return loam_fail(err, LOAM_E_UNAVAILABLE, "the server does not listen");
	return 0;
}

/* wait_ms -1: as long as it takes. */
static int receive_line(int fd, int64_t wait_ms, json_t **out, struct loam_err *err)
{
	loam_auto_buf struct loam_buf received = LOAM_BUF(LOAM_SSH_LINE_BYTES_MAX);
	struct loam_deadline deadline = loam_deadline_in(wait_ms < 0 ? 0 : (uint64_t)wait_ms);
	for (;;) {
		int rc = loam_channel_take(&received, out, err);
		if (rc != 0)
			return rc < 0 ? rc : 0;
		struct pollfd ready = { .fd = fd, .events = POLLIN };
		int count = poll(&ready, 1, wait_ms < 0 ? -1 : loam_deadline_left_ms(deadline));
		if (count < 0 && errno == EINTR)
			continue;
		char piece[4096];
		ssize_t got = count > 0 ? recv(fd, piece, sizeof(piece), 0) : 0;
		if (got <= 0)
			return loam_fail(err, LOAM_E_UNAVAILABLE, "the server does not answer");
		rc = loam_buf_add(&received, piece, (size_t)got, err);
		if (rc < 0)
			return rc;
	}
}

static int ask(const char *path, const json_t *question, bool with_fds, int64_t wait_ms,
	       json_t **out_answer, struct loam_err *err)
{
	loam_auto_fd int fd = -1;
	loam_auto_json json_t *answer = NULL;
	const char *refusal = NULL;
	int rc = connect_to(path, &fd, err);
	if (rc == 0)
		rc = send_line(fd, question, with_fds, err);
	if (rc == 0)
		rc = receive_line(fd, wait_ms, &answer, err);
	if (rc == 0)
		rc = loam_json_text(answer, "error", &refusal, err);
	if (rc == 1)
		return loam_fail(err, LOAM_E_DENIED, "%s", refusal);
	if (rc == 0)
		*out_answer = loam_steal(&answer);
	return rc;
}

/* ---- shell ----------------------------------------------------------------------------------- */

/* The n-th word (from 0) of SSH_CONNECTION: "client port server port". */
static void connection_word(size_t n, char *out, size_t out_bytes)
{
	const char *at = getenv("SSH_CONNECTION");
	for (out[0] = '\0'; at && *at; at += at[strcspn(at, " ")] == ' ') {
		size_t bytes = strcspn(at, " ");
		if (n-- == 0) {
			snprintf(out, out_bytes, "%.*s", (int)(bytes < 63 ? bytes : 63), at);
			return;
		}
		at += bytes;
	}
}

static int run_shell(const void *options, int argc, char **argv)
{
	const struct shell_opts *opts = options;
	const char *command = getenv("SSH_ORIGINAL_COMMAND"), *protocol = getenv("GIT_PROTOCOL");
	char peer[64], host[64];
	struct loam_err err = { 0 };
	loam_auto_json json_t *answer = NULL;
	uint64_t status = 0;
	if (command && strlen(command) >= LOAM_SSH_COMMAND_BYTES_MAX)
		loam_fail(&err, LOAM_E_INVALID, "the command has more than %d bytes",
			  LOAM_SSH_COMMAND_BYTES_MAX - 1);
	connection_word(0, peer, sizeof(peer));
	connection_word(2, host, sizeof(host));
	loam_auto_json json_t *question =
		json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "op", "shell", "key",
			  opts->key ? opts->key : "", "command", command ? command : "", "protocol",
			  protocol ? protocol : "", "peer", peer, "host", host);
	if (err.code == 0 && !question)
		loam_fail(&err, LOAM_E_INVALID, "the command is not UTF-8");
	if (err.code == 0 && ask(opts->socket, question, true, -1, &answer, &err) == 0 &&
	    loam_json_u64(answer, "exit", &status, &err) == 1)
		return (int)(status & 0xFF);
	fprintf(stderr, "loam: %s\n", err.text[0] ? err.text : "the server answered nonsense");
	return LOAM_SSH_EXIT_REFUSED;
}

const struct loam_cmd loam_cmd_shell = {
	.name = "shell",
	.usage = "--socket PATH --key ID",
	.summary = "run by sshd for each session (loam ssh enable, loam up)",
	.options =
		(const struct loam_opt[]){ SOCKET_OPT,
					   LOAM_OPT(struct shell_opts, key, "key", 0, LOAM_OPT_TEXT,
						    "ID", "the key that sshd has proven"),
					   LOAM_OPT_END },
	.options_bytes = sizeof(struct shell_opts),
	.run = run_shell,
};

/* ---- keys ------------------------------------------------------------------------------------ */

static int print_line(const struct shell_opts *opts, const char *id, char **argv,
		      struct loam_err *err)
{
	char self[PATH_MAX];
	ssize_t bytes = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (bytes < 0)
		return loam_fail_errno(err, "find this program");
	self[bytes] = '\0';
	if (!loam_ssh_path_is_plain(self) || !loam_ssh_path_is_plain(opts->socket) ||
	    !loam_ssh_path_is_plain(id))
		return loam_fail(
			err, LOAM_E_UNSUPPORTED,
			"the paths of loam (%s) and of its socket (%s) must be of letters, "
			"digits and /._+-",
			self, opts->socket);
	printf("restrict,command=\"%s shell --socket %s --key %s\" %s %s\n", self, opts->socket, id,
	       argv[1], argv[2]);
	return 0;
}

static int run_keys(const void *options, int argc, char **argv)
{
	const struct shell_opts *opts = options;
	struct loam_err err = { 0 };
	const char *id = NULL;
	loam_auto_json json_t *answer = NULL;
	loam_auto_json json_t *question =
		json_pack("{s:s, s:s, s:s}", "op", "key", "type", argv[1], "key", argv[2]);
	int rc = question ? ask(opts->socket, question, false, ASK_MS, &answer, &err)
			  : loam_fail(&err, LOAM_E_INVALID, "the key is not text");
	if (rc == 0)
		rc = loam_json_text(answer, "id", &id, &err);
	if (rc == 1)
		rc = print_line(opts, id, argv, &err);
	return rc < 0 ? loam_cmd_failed(&err) : 0;
}

const struct loam_cmd loam_cmd_ssh_keys = {
	.name = "ssh-keys",
	.usage = "--socket PATH USER TYPE BASE64",
	.summary = "asked by sshd whose a key is (AuthorizedKeysCommand)",
	.options = (const struct loam_opt[]){ SOCKET_OPT, LOAM_OPT_END },
	.options_bytes = sizeof(struct shell_opts),
	.args_min = 3,
	.args_max = 3,
	.run = run_keys,
};
