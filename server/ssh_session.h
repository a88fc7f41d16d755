/*
 * One SSH session inside serve: a command line of somebody whom sshd has proven, run on the
 * descriptors of his session (steps 1, 2 and 5 of a push over SSH).
 *
 *   ssh ── sshd ── loam shell ── ssh.sock ── serve: this ── git upload-pack | receive-pack | …
 *           └───── the session's stdin, stdout, stderr ────────┘
 *
 * The right is asked for before anything runs, and again while it runs (auth/watch.h); the session
 * ends when `loam shell` has gone, when the right has, or when serve ends. One account, or
 * the deploy keys of one namespace, have LOAM_SSH_SESSIONS_EACH of them at once.
 *
 * Owner:   the caller keeps the struct and closes the descriptors.
 * Threads: one per session.
 */
#ifndef LOAM_SERVER_SSH_SESSION_H
#define LOAM_SERVER_SSH_SESSION_H

#include "server/server.h"

#define LOAM_SSH_PEER_BYTES 64

struct loam_ssh_session {
	struct loam_server *server;
	char key_id[24];
	const char *protocol;		/* GIT_PROTOCOL: "version=N", or NULL */
	char peer[LOAM_SSH_PEER_BYTES]; /* address of the client */
	char host[LOAM_SSH_PEER_BYTES]; /* the address by which he reached this host, or "" */
	int fds[3];			/* stdin, stdout, stderr */
	int control_fd;			/* readable or hung up once `loam shell` has gone */
	const volatile bool *cut;	/* serve ends now */
	struct loam_git_slots *slots;	/* places of sessions, by principal */
	struct loam_principal who;	/* filled by run */
	struct loam_repo repo;
	struct loam_watch watch; /* of the right that it runs by: first its key, then repo's */
};

/* Runs the command line (NULL: none, a shell was asked for); the exit status of the session. */
int loam_ssh_session_run(struct loam_ssh_session *session, const char *command);

/* ---- for what runs inside serve -------------------------------------------------------------- */

/* 0, or why it ends: INTERRUPTED when nobody waits for more, or that of loam_watch_ask when the
 * right has gone. arg: the session. */
int loam_ssh_session_still(void *arg, struct loam_err *err);
/* A line on the client's terminal, "loam: " in front; best effort. */
void loam_ssh_session_say(struct loam_ssh_session *session, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* Bytes to the client's stdout. UNAVAILABLE when he takes none for LOAM_HTTP_IDLE_SECONDS;
 * else as loam_ssh_session_still. */
int loam_ssh_session_write(struct loam_ssh_session *session, const void *data, size_t bytes,
			   struct loam_err *err);
/* The same to his stdout (1) or stderr (2). */
int loam_ssh_session_write_to(struct loam_ssh_session *session, int number, const void *data,
			      size_t bytes, struct loam_err *err);

#endif
