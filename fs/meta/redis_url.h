/*
 * The address of a Redis server.
 *
 * Shape:  redis://[[user][:pw]@]host[:port][/db], rediss://…, unix://[[user][:pw]@]/path[?db=N];
 * user and password percent-encoded. Other options are ignored. Without a password in the URL:
 * REDIS_PASSWORD, META_PASSWORD, the file META_PASSWORD_FILE. Errors: INVALID for the form,
 * UNSUPPORTED for a list of hosts (Sentinel, Cluster). Source: volume format §2.1.
 */
#ifndef LOAM_FS_META_REDIS_URL_H
#define LOAM_FS_META_REDIS_URL_H

#include "core/err.h"

#include <stdbool.h>

struct loam_redis_url {
	char *socket_path; /* NULL: TCP */
	char *host, *port;
	bool tls;
	char *user;	/* NULL: none */
	char *password; /* NULL: none; never in a message */
	unsigned db;
	char *shown; /* "unix:/run/r.sock", "host:6379/1": for messages */
};
int loam_redis_url_parse(const char *text, struct loam_redis_url *out, struct loam_err *err);
void loam_redis_url_release(struct loam_redis_url *url);

#endif
