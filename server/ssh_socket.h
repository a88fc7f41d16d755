/*
 * serve's end of ssh.sock: tells sshd whose a key is, and runs the sessions of `loam shell`.
 *
 * JSON objects, one a line, 64 KiB at most:
 *   from                                                       answer
 *   loam ssh-keys  {"op":"key","type":T,"key":BASE64}          {"id":ID} or {}
 *   loam shell     {"op":"shell","key":ID,"command":C,         {"exit":N}, when it has ended
 *                   "protocol":P,"peer":A,"host":H}
 *                  with the session's three descriptors (SCM_RIGHTS)
 *   whoever        anything else                               {"error":"one readable line"}
 *
 * Who may ask is decided by SO_PEERCRED: root, ssh.keysUser (keys only), ssh.user and the service
 * account. Whoever may ask as ssh.user speaks for every key: docs/decisions/0005-ssh-door.md.
 * Threads: one that accepts, one per connection (LOAM_SSH_SESSIONS_MAX).
 */
#ifndef LOAM_SERVER_SSH_SOCKET_H
#define LOAM_SERVER_SSH_SOCKET_H

#include "server/server.h"

#define LOAM_SSH_LINE_BYTES_MAX (64u << 10)

struct loam_ssh_socket;

/* Listens at path; a stale socket there is replaced. As root, before serve becomes an ordinary
 * account. */
int loam_ssh_socket_listen(const char *path, int *out_fd, struct loam_err *err);
/* fd, taken over, listens at path. server is borrowed. */
int loam_ssh_socket_open(const char *path, int fd, struct loam_server *server,
			 struct loam_ssh_socket **out_socket, struct loam_err *err);
/* No new connections from now on. */
void loam_ssh_socket_stop(struct loam_ssh_socket *socket);
/* Waits for the sessions, at most wait_ms or until *now is set; then cuts them. false: some do not
 * end, the process must. Accepts NULL. */
bool loam_ssh_socket_close(struct loam_ssh_socket *socket, uint64_t wait_ms,
			   const volatile int *now);

#endif
