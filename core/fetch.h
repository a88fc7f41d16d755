/*
 * One web request as a client, through libcurl.
 *
 * TLS is verified against the system's roots (SSL_CERT_FILE names others); no redirect is followed,
 * so credentials reach no host but the one that was named; only http and https, plain http within
 * this machine never by a proxy; every request has a deadline and every answer a limit.
 * Credentials never leave this process but in the request.
 *
 * Threads: any.
 */
#ifndef LOAM_CORE_FETCH_H
#define LOAM_CORE_FETCH_H

#include "core/buf.h"
#include "core/err.h"

#include <stdbool.h>

#define LOAM_FETCH_URL_BYTES 1024

/*
 * The server that a URL names, as "http://host:port": scheme and host in lower case, without a port
 * that goes without saying.
 * Errors: INVALID for another scheme, user names, a path, query or fragment.
 */
int loam_fetch_server(const char *url, char out[LOAM_FETCH_URL_BYTES], struct loam_err *err);
/* Is it https, or plain http to this very machine? Else credentials can be read on the way. */
bool loam_fetch_is_private(const char *server);
/* text for one segment of a path, percent-encoded; free(). */
char *loam_fetch_segment(const char *text);

struct loam_fetch {
	const char *method;	     /* "GET" */
	const char *url;	     /* whole */
	const char *user, *password; /* Basic; NULL: none */
	const char *token;	     /* Bearer; NULL: none */
	const void *body;	     /* NULL: none; sent as JSON */
	size_t body_bytes;
};

struct loam_fetched {
	int status;
	struct loam_buf body; /* at most LOAM_WEB_ANSWER_BYTES_MAX */
};

/* Every status is an answer. Errors: UNAVAILABLE when there is none, TOO_LARGE, INVALID. */
int loam_fetch_run(const struct loam_fetch *fetch, struct loam_fetched *out, struct loam_err *err);
void loam_fetched_release(struct loam_fetched *fetched);

#endif
