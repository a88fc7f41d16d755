/*
 * What the doors of `loam serve` share: request->context of every handler above lfs/.
 *
 * Owner:   cmd_serve fills it before HTTP starts and closes what it opened after HTTP has stopped;
 *          handlers only read it (git_slots has its own lock).
 */
#ifndef LOAM_SERVER_SERVER_H
#define LOAM_SERVER_SERVER_H

#include "auth/watch.h"
#include "lfs/lfs.h"
#include "server/route.h"

struct loam_api;
struct loam_git_slots;
struct loam_hook_socket;
struct loam_publisher;
struct loam_ssh_session;

#define LOAM_TICKET_BYTES 65

struct loam_server {
	struct loam_lfs_context lfs_context; /* first: handlers of lfs/ see only this */
	struct loam_volume *volume;
	struct loam_auth *auth;
	const struct loam_config *config;
	struct loam_publisher *publisher;
	const char *repos; /* directory of bare repositories */
	struct loam_git_slots *git_slots;
	struct loam_api *api;

	/* Who asks, and may they? 0, or the code to answer. out_watch says who, and is what still
	 * asks while the request goes on. cmd_serve: loam_server_authorize, loam_watch_ask. */
	int (*authorize)(struct loam_server *server, struct loam_web_request *request,
			 const struct loam_repo *repo, enum loam_want want,
			 struct loam_watch *out_watch, struct loam_err *err);
	int (*still)(struct loam_watch *watch, struct loam_err *err);
	/* Where a repository's bare directory is, into out_path (LOAM_PATH_BYTES_MAX). NULL:
	 * repos/KIND/NS/NAME.git. */
	int (*git_dir)(struct loam_server *server, const struct loam_repo *repo, char *out_path,
		       struct loam_err *err);
	/* A ticket for the hooks of one push, and its end (design.md §2.11): asked is how many refs
	 * were to be changed, 0 when nobody counted. NULL: hooks get none. */
	int (*ticket_new)(struct loam_server *server, const struct loam_repo *repo,
			  const struct loam_principal *who, char out_ticket[LOAM_TICKET_BYTES],
			  struct loam_err *err);
	void (*ticket_end)(struct loam_server *server, const char *ticket, size_t asked);
	const char *hook_socket;	/* LOAM_HOOK_SOCKET */
	const char *hooks_dir;		/* core.hooksPath of a push */
	struct loam_hook_socket *hooks; /* of ticket_new and ticket_end */
	const char *http_address;	/* where HTTP listens, "127.0.0.1:8418" */
	bool http_is_tls;
	/* `ssh HOST loam WORD …`: the verbs for users, run as session->who; the exit status. NULL:
	 * there are none. words[count] is NULL. */
	int (*ssh_loam)(struct loam_ssh_session *session, char **words, size_t count);
};

/* The real thing: Authorization header, loam_auth_header, loam_auth_check. Unknown and forbidden
 * repositories alike; request->user is set once a user is proven. */
int loam_server_authorize(struct loam_server *server, struct loam_web_request *request,
			  const struct loam_repo *repo, enum loam_want want,
			  struct loam_watch *out_watch, struct loam_err *err);

/* git_http.c */
extern const struct loam_route_table loam_git_routes;
/* healthz.c */
extern const struct loam_route_table loam_health_routes;

#endif
