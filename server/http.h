/*
 * The HTTP/1.1 server: runs handlers of core/web.h on libmicrohttpd, plain or with TLS.
 *
 * What it does before a handler sees anything: framing guard, limits of core/limits.h, route
 * lookup, credentials never over plain HTTP from other hosts, 100-continue, inflating of gzip
 * bodies with a cap. What it does behind: error texts, request ids, log lines, draining.
 *
 * Threads: one per connection; a handler may block, with deadlines. At most `workers` requests run
 *          at once, the next ones wait a while and are then told to come again.
 * Source:  design.md §2.9, §2.13; reliability.md §3 rules 12 and 16, §4 http-1 to http-16.
 */
#ifndef LOAM_SERVER_HTTP_H
#define LOAM_SERVER_HTTP_H

#include "server/route.h"

struct loam_http;
struct loam_http_listener;

struct loam_http_options {
	const char *listen;   /* "127.0.0.1:8418", "[::1]:0", ":8418"; port 0: any free one */
	const char *tls_cert; /* PEM files; NULL or "": plain HTTP */
	const char *tls_key;
	const char *url;	   /* server.url: what clients call us; "": from the request */
	const char *trusted_proxy; /* addresses, separated by blanks */
	bool plain_http;	   /* credentials over plain HTTP from other hosts too */
	size_t workers;		   /* requests served at once */
	uint32_t head_ms;	   /* 0: LOAM_HTTP_HEAD_SECONDS */
	uint32_t idle_ms;	   /* 0: LOAM_HTTP_IDLE_SECONDS */
	uint32_t per_address_max;  /* 0: LOAM_HTTP_PER_ADDRESS_MAX */
	const struct loam_route_table *tables; /* constant while the server runs */
	size_t table_count;
	void *context;			     /* becomes request->context */
	struct loam_http_listener *listener; /* of loam_http_listen; NULL: made by start */
};

/* Binds the port, which takes no connection yet, and reads certificate and key: what may need root,
 * to be done before that is given up. loam_http_start takes the listener over, also when it fails.
 * Errors: as there. */
int loam_http_listen(const struct loam_http_options *options,
		     struct loam_http_listener **out_listener, struct loam_err *err);
void loam_http_listener_free(struct loam_http_listener *listener); /* accepts NULL */

/* Listens and serves from its return on. Errors: INVALID for an address, certificate or key,
 * EXISTS when the port is taken, IO. */
int loam_http_start(const struct loam_http_options *options, struct loam_http **out_http,
		    struct loam_err *err);
/* "127.0.0.1:40213": what it is really bound to. */
const char *loam_http_address(const struct loam_http *http);
/*
 * Takes no new work, lets running requests finish for grace_ms, then cuts them. true: all ended,
 * http is freed. false: a handler still ran 5 s after it was cut; the process should exit, nothing
 * is freed. *stop_now, if not NULL, may be set by a signal handler to end the wait early.
 */
bool loam_http_stop(struct loam_http *http, uint64_t grace_ms, const volatile int *stop_now);

/* Has the client of this running request closed or reset its connection? For handlers that wait. */
bool loam_http_client_gone(const struct loam_web_request *request);

#endif
