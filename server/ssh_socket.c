/*
 * Answering sshd's helpers (server/ssh_socket.h). Steps 1 and 2 of a push over SSH.
 */
#include "server/ssh_socket.h"

#include "core/acceptor.h"
#include "core/auto.h"
#include "core/clock.h"
#include "core/json.h"
#include "core/limits.h"
#include "core/log.h"
#include "core/stream.h"
#include "githook/channel.h"
#include "server/git_slots.h"
#include "server/ssh_session.h"

#include "core/banned.h"

#include <errno.h>
#include <poll.h>
#include <pwd.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define FIRST_MS     10000 /* until the message is whole */
#define SEND_SECONDS 10
#define CUT_MS	     6000 /* for what is cut to end */
#define FD_COUNT     3
#define PWD_BYTES    16384

enum asker { STRANGER, ASKS_FOR_KEYS, RUNS_SESSIONS };

struct loam_ssh_socket {
	struct loam_server *server;
	char *path;
	int fd;
	struct loam_acceptor *acceptor;
	struct loam_git_slots *slots;
	volatile bool cut; /* sessions end now */
};

struct talk {
	struct loam_ssh_socket *socket;
	int fd;
	enum asker asker;
	int fds[FD_COUNT]; /* of the session, -1: none came */
	struct loam_buf received;
};

/* ---- who asks -------------------------------------------------------------------------------- */

static bool is_account(const char *name, uid_t uid)
{
	struct passwd entry, *found = NULL;
	loam_auto_free char *buffer = loam_xcalloc(1, PWD_BYTES);
	return name[0] && getpwnam_r(name, &entry, buffer, PWD_BYTES, &found) == 0 && found &&
	       entry.pw_uid == uid;
}

static enum asker find_asker(const struct loam_config *config, int fd)
{
	struct ucred peer;
	socklen_t bytes = sizeof(peer);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &bytes) < 0)
		return STRANGER;
	if (peer.uid == 0 || peer.uid == LOAM_SERVICE_ID || is_account(config->ssh_user, peer.uid))
		return RUNS_SESSIONS;
	return is_account(config->ssh_keys_user, peer.uid) ? ASKS_FOR_KEYS : STRANGER;
}

/* ---- messages -------------------------------------------------------------------------------- */

static void close_fds(int fds[FD_COUNT])
{
	for (int i = 0; i < FD_COUNT; i++) {
		if (fds[i] >= 0)
			close(fds[i]);
		fds[i] = -1;
	}
}

/* Exactly three descriptors, once; whatever else came is closed. */
static int keep_fds(struct talk *talk, struct msghdr *message, struct loam_err *err)
{
	int rc = message->msg_flags & MSG_CTRUNC
			 ? loam_fail(err, LOAM_E_INVALID, "too many descriptors")
			 : 0;
	for (struct cmsghdr *at = CMSG_FIRSTHDR(message); at; at = CMSG_NXTHDR(message, at)) {
		if (at->cmsg_level != SOL_SOCKET || at->cmsg_type != SCM_RIGHTS)
			continue;
		size_t count = (at->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		if (rc == 0 && count == FD_COUNT && talk->fds[0] < 0) {
			memcpy(talk->fds, CMSG_DATA(at), sizeof(talk->fds));
			continue;
		}
		for (size_t i = 0; i < count; i++) {
			int given;
			memcpy(&given, CMSG_DATA(at) + i * sizeof(int), sizeof(given));
			close(given);
		}
		if (rc == 0)
			rc = loam_fail(err, LOAM_E_INVALID, "a session has three descriptors");
	}
	return rc;
}

/* >0 bytes, 0 the peer is gone. */
static int take_piece(struct talk *talk, struct loam_err *err)
{
	char piece[4096];
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(FD_COUNT * sizeof(int))];
	} control;
	struct iovec part = { piece, sizeof(piece) };
	struct msghdr message = { .msg_iov = &part,
				  .msg_iovlen = 1,
				  .msg_control = &control,
				  .msg_controllen = sizeof(control) };
	ssize_t got = recvmsg(talk->fd, &message, MSG_CMSG_CLOEXEC);
	if (got <= 0)
		return 0;
	int rc = keep_fds(talk, &message, err);
	if (rc == 0)
		rc = loam_buf_add(&talk->received, piece, (size_t)got, err);
	return rc < 0 ? rc : (int)got;
}

/* 1 message, 0 the peer is gone or silent. */
static int next_message(struct talk *talk, json_t **out, struct loam_err *err)
{
	struct loam_deadline deadline = loam_deadline_in(FIRST_MS);
	for (;;) {
		int rc = loam_channel_take(&talk->received, out, err);
		if (rc != 0)
			return rc;
		struct pollfd ready = { .fd = talk->fd, .events = POLLIN };
		if (poll(&ready, 1, loam_deadline_left_ms(deadline)) <= 0)
			return 0;
		rc = take_piece(talk, err);
		if (rc <= 0)
			return rc;
	}
}

/* message is taken over. Whoever is gone does not hear it. */
static void answer(const struct talk *talk, json_t *message)
{
	loam_auto_json json_t *owned = message;
	loam_auto_buf struct loam_buf line = LOAM_BUF(LOAM_SSH_LINE_BYTES_MAX);
	struct loam_err ignored = { 0 };
	if (loam_json_print(owned, &line, &ignored) == 0 &&
	    loam_buf_add(&line, "\n", 1, &ignored) == 0 &&
	    send(talk->fd, line.data, line.bytes, MSG_NOSIGNAL) < 0)
		loam_debug("ssh.unheard", "errno=%d", errno);
}

/* ---- the two questions ----------------------------------------------------------------------- */

static int answer_key(struct talk *talk, const json_t *message, struct loam_err *err)
{
	const char *type = NULL, *key = NULL;
	char id[24];
	if (loam_json_text(message, "type", &type, err) != 1 ||
	    loam_json_text(message, "key", &key, err) != 1) {
		loam_err_clear(err);
		return loam_fail(err, LOAM_E_INVALID, "a question without type and key");
	}
	int found = loam_auth_key_find(talk->socket->server->auth, type, key, id, err);
	if (found >= 0)
		answer(talk, found ? json_pack("{s:s}", "id", id) : json_object());
	return found < 0 ? found : 0;
}

/* An address, for logs and the environment of git: nothing but what stands in one. */
static void copy_address(const json_t *message, const char *name, char out[LOAM_SSH_PEER_BYTES])
{
	const char *text = NULL;
	struct loam_err ignored = { 0 };
	static const char allowed[] = "0123456789abcdefABCDEF.:%UNKOWghijlmpqrstuvxyz";
	bool good = loam_json_text(message, name, &text, &ignored) == 1 &&
		    strspn(text, allowed) == strlen(text) && strlen(text) < LOAM_SSH_PEER_BYTES;
	snprintf(out, LOAM_SSH_PEER_BYTES, "%s", good ? text : "");
}

static bool is_protocol(const char *text)
{
	return strcmp(text, "version=0") == 0 || strcmp(text, "version=1") == 0 ||
	       strcmp(text, "version=2") == 0;
}

static int answer_shell(struct talk *talk, const json_t *message, struct loam_err *err)
{
	const char *key = NULL, *command = NULL, *protocol = NULL;
	if (talk->asker != RUNS_SESSIONS)
		return loam_fail(err, LOAM_E_DENIED, "this account only asks for keys");
	int rc = loam_json_text(message, "key", &key, err);
	if (rc == 1)
		rc = loam_json_text(message, "command", &command, err);
	if (rc >= 0)
		rc = loam_json_text(message, "protocol", &protocol, err);
	if (rc < 0)
		return rc;
	if (!key || strlen(key) >= sizeof((struct loam_ssh_session){ 0 }.key_id) ||
	    talk->fds[0] < 0)
		return loam_fail(err, LOAM_E_INVALID, "a session without key or descriptors");
	struct loam_ssh_session session = {
		.server = talk->socket->server,
		.protocol = protocol && is_protocol(protocol) ? protocol : NULL,
		.fds = { talk->fds[0], talk->fds[1], talk->fds[2] },
		.control_fd = talk->fd,
		.cut = &talk->socket->cut,
		.slots = talk->socket->slots,
	};
	snprintf(session.key_id, sizeof(session.key_id), "%s", key);
	copy_address(message, "peer", session.peer);
	copy_address(message, "host", session.host);
	int status = loam_ssh_session_run(&session, command);
	close_fds(talk->fds); /* the client sees the end of the output before the status */
	answer(talk, json_pack("{s:i}", "exit", status));
	return 0;
}

static int answer_message(struct talk *talk, const json_t *message, struct loam_err *err)
{
	const char *op = NULL;
	int rc = loam_json_text(message, "op", &op, err);
	if (rc == 1 && strcmp(op, "key") == 0)
		return answer_key(talk, message, err);
	if (rc == 1 && strcmp(op, "shell") == 0)
		return answer_shell(talk, message, err);
	return rc < 0 ? rc : loam_fail(err, LOAM_E_INVALID, "no such question");
}

/* ---- connections ----------------------------------------------------------------------------- */

static void *begin(void *arg, int fd)
{
	struct loam_ssh_socket *socket = arg;
	enum asker asker = find_asker(socket->server->config, fd);
	if (asker == STRANGER) {
		loam_info("ssh.refused", "error=a stranger at the socket");
		return NULL;
	}
	struct talk *talk = loam_xnew(struct talk);
	*talk = (struct talk){ .socket = socket,
			       .fd = fd,
			       .asker = asker,
			       .fds = { -1, -1, -1 },
			       .received = LOAM_BUF(LOAM_SSH_LINE_BYTES_MAX) };
	return talk;
}

static void converse(void *arg)
{
	struct talk *talk = arg;
	struct loam_err err = { 0 };
	loam_auto_json json_t *message = NULL;
	int rc = next_message(talk, &message, &err);
	if (rc == 1)
		rc = answer_message(talk, message, &err);
	if (rc < 0) {
		loam_info("ssh.refused", "error=%s", err.text);
		answer(talk, json_pack("{s:s}", "error", err.text));
	}
}

static void end(void *arg, bool too_many)
{
	struct talk *talk = arg;
	if (too_many)
		loam_info("ssh.refused", "error=too many sessions");
	close_fds(talk->fds);
	loam_buf_release(&talk->received);
	free(talk);
}

static const struct loam_acceptor_ops ssh_talks = { begin, converse, end };

int loam_ssh_socket_listen(const char *path, int *out_fd, struct loam_err *err)
{
	return loam_stream_listen_unix(path, 0666, LOAM_SSH_SESSIONS_MAX, out_fd, err);
}

static void release(struct loam_ssh_socket *socket)
{
	if (socket->path)
		unlink(socket->path);
	if (socket->fd >= 0)
		close(socket->fd);
	loam_git_slots_free(socket->slots);
	loam_acceptor_free(socket->acceptor);
	free(socket->path);
	free(socket);
}

int loam_ssh_socket_open(const char *path, int fd, struct loam_server *server,
			 struct loam_ssh_socket **out_socket, struct loam_err *err)
{
	struct loam_ssh_socket *socket = loam_xnew(struct loam_ssh_socket);
	socket->server = server;
	socket->fd = fd;
	socket->path = loam_xstrdup(path);
	socket->slots = loam_git_slots_new(LOAM_SSH_SESSIONS_EACH);
	int rc = loam_acceptor_open(fd, LOAM_SSH_SESSIONS_MAX, SEND_SECONDS, &ssh_talks, socket,
				    &socket->acceptor, err);
	if (rc < 0) {
		release(socket);
		return loam_context(err, "SSH");
	}
	*out_socket = socket;
	return 0;
}

void loam_ssh_socket_stop(struct loam_ssh_socket *socket)
{
	if (socket)
		loam_acceptor_stop(socket->acceptor);
}

bool loam_ssh_socket_close(struct loam_ssh_socket *socket, uint64_t wait_ms,
			   const volatile int *now)
{
	if (!socket)
		return true;
	loam_ssh_socket_stop(socket);
	if (!loam_acceptor_wait(socket->acceptor, wait_ms, now)) {
		socket->cut = true;
		if (!loam_acceptor_wait(socket->acceptor, CUT_MS, NULL))
			return false;
	}
	release(socket);
	return true;
}
