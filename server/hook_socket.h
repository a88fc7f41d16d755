/*
 * serve's end of hook.sock: answers hooks, publishes for them (steps 6 to 8 of a push).
 *
 * Messages: githook/channel.h. A ticket lives as long as the receive-pack it was made for.
 * Threads: one that accepts, one per hook that is connected (bounded).
 */
#ifndef LOAM_SERVER_HOOK_SOCKET_H
#define LOAM_SERVER_HOOK_SOCKET_H

#include "server/server.h"
#include "sync/publish.h"

struct loam_hook_socket;

/* A listening socket at path, 0600; one that an earlier server left is replaced. */
int loam_hook_socket_listen(const char *path, int *out_fd, struct loam_err *err);
/* Answers on fd, of loam_hook_socket_listen, and takes it over on success. auth and publisher are
 * borrowed. */
int loam_hook_socket_open(const char *path, int fd, struct loam_auth *auth,
			  struct loam_publisher *publisher, struct loam_hook_socket **out_socket,
			  struct loam_err *err);
/* From now on hooks that run under other accounts reach it, too: mode 0666. */
void loam_hook_socket_open_to_all(struct loam_hook_socket *socket);
/* Waits for the hooks that are connected, at most wait_ms. false: one still publishes with all that
 * was borrowed, nothing of it may be released; the process has to end. Accepts NULL. */
bool loam_hook_socket_close(struct loam_hook_socket *socket, uint64_t wait_ms);

/* A directory for core.hooksPath below repos: this program under the names of git's hooks; free().
 * Links, or a copy where it stands out of our reach (below a home of root). */
int loam_hook_links_make(const char *repos, char **out_dir, struct loam_err *err);

/* For struct loam_server: a ticket of one push. */
int loam_hook_ticket_new(struct loam_hook_socket *socket, const struct loam_repo *repo,
			 const struct loam_principal *who, char out_ticket[LOAM_TICKET_BYTES],
			 struct loam_err *err);
/* Ends it. A push whose hooks told neither of refs that moved nor of a refusal was refused by git:
 * that gets its audit line here. asked: refs that were to be changed, 0 when nobody counted. */
void loam_hook_ticket_end(struct loam_hook_socket *socket, const char *ticket, size_t asked);

#endif
