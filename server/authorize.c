/*
 * Who asks, and may they? For the doors of server/ (server/server.h). Step 2 of a push.
 *
 * The decision is loam_auth_check's alone; this only brings it the header and the name. A name that
 * cannot be a repository is answered exactly like one that is not there.
 */
#include "server/server.h"

#include "core/banned.h"

#include <string.h>

int loam_server_authorize(struct loam_server *server, struct loam_web_request *request,
			  const struct loam_repo *repo, enum loam_want want,
			  struct loam_watch *out_watch, struct loam_err *err)
{
	struct loam_principal who;
	int rc = loam_auth_header(server->auth, request->header(request, "Authorization"),
				  request->peer, &who, err);
	if (rc < 0)
		return rc;
	snprintf(request->user, sizeof(request->user), "%s", who.user);
	if (repo)
		return loam_watch_begin(out_watch, server->auth, &who, repo, want, err);
	if (who.kind == LOAM_ANONYMOUS)
		return loam_fail(err, LOAM_E_UNAUTHENTICATED, "log in to use this server");
	return loam_fail(err, LOAM_E_NOT_FOUND, "no such repository");
}
