/*
 * Shared by the http_*.c files only: connections, exchanges, and who calls what.
 *
 *   MHD thread of a connection                         watcher thread (http_watch.c)
 *   ------------------------------------------         -----------------------------
 *   connection starts        → http.c                  every 100 ms each connection's
 *   request line read        → exchange made           progress is read from TCP_INFO;
 *   headers read             → guard, route, begin     what is late is cut
 *   body bytes, many times   → inflate, sink
 *   body at its end          → finish, answer queued
 *   answer sent, or cut      → source_free, end, log
 *
 * Lock:    loam_http.lock guards the list of connections, their state and since_ms, and running.
 *          It is never held while a handler runs or a socket may block.
 */
#ifndef LOAM_SERVER_HTTP_INTERNAL_H
#define LOAM_SERVER_HTTP_INTERNAL_H

#include "core/clock.h"
#include "core/limits.h"
#include "server/http.h"

#include <microhttpd.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <zlib.h>

#define HTTP_TARGET_BYTES_MAX LOAM_HTTP_LINE_BYTES_MAX
#define HTTP_SMALL_BODY_BYTES (64u << 10) /* swallowed, so that the connection can be kept */
#define HTTP_PEER_BYTES	      INET6_ADDRSTRLEN

/* What a request line alone may cost is bounded by libmicrohttpd's buffer of a connection. */
#define HTTP_BUFFER_BYTES (256u << 10)

enum http_state {
	HTTP_IDLE,  /* between two requests */
	HTTP_HEAD,  /* headers are awaited */
	HTTP_BODY,  /* body is awaited */
	HTTP_REPLY, /* the answer is on its way */
	HTTP_CUT    /* told to end */
};

struct http_connection {
	struct http_connection *prev, *next;
	struct loam_http *http;
	struct MHD_Connection *mhd;
	int fd;
	char peer[HTTP_PEER_BYTES];
	bool is_loopback, is_proxy;
	bool placed; /* its request is among the running ones */
	enum http_state state;
	uint64_t since_ms;	  /* when state began */
	uint64_t moved_ms;	  /* last progress of bytes, the watcher's */
	uint64_t received, acked; /* TCP's counters then, the watcher's */
	uint64_t request_end;	  /* received when the last request was complete */
	atomic_bool late;	  /* cut with a 408 */
	atomic_bool busy;	  /* a handler runs: silence is not the client's */
};

/* http_listen.c */
struct loam_http_listener {
	int fd; /* -1 once the daemon has it */
	char *cert_pem, *key_pem;
};
/* Lets clients connect. */
int loam_http_listener_open(struct loam_http_listener *listener, const char *listen_on,
			    struct loam_err *err);

struct loam_http {
	struct loam_http_options options; /* strings are ours */
	struct MHD_Daemon *daemon;
	char address[HTTP_PEER_BYTES + 16];
	struct loam_http_listener *listener;
	bool tls;
	pthread_mutex_t lock;
	pthread_cond_t changed; /* running went down */
	struct http_connection *connections;
	size_t running; /* exchanges that hold a place */
	atomic_bool stopping;
	pthread_t watcher;
	atomic_bool watcher_ends;
};

/* A body that arrives compressed. */
struct http_inflate {
	z_stream stream;
	bool active, ended;
};

struct http_exchange {
	struct loam_web_request web;
	struct http_connection *connection;
	struct loam_route_match match;
	char raw_target[HTTP_TARGET_BYTES_MAX + 1]; /* as sent, the log's and the guard's */
	const char *uri_at; /* where MHD has it: the guard checks that the head is whole */
	size_t uri_bytes;   /* strlen there, before MHD changed it */
	char *path;	    /* web.target */
	char *query;	    /* web.query */
	char *base_url;
	char forwarded_peer[HTTP_PEER_BYTES];
	struct http_inflate inflate;
	uint64_t started_ms;
	uint64_t bytes_in, decoded_in, bytes_out;
	int sent_status; /* of the answer, for the log; 0: none was sent */
	int refused; /* code of the refusal or of a broken answer; 0: known by its status only */
	char reason[LOAM_ERR_TEXT_MAX];
	bool head_seen; /* the first call of the handler was made */
	bool begun;	/* end() is owed */
	bool has_place; /* counted in running */
	bool discard;	/* an answer is ready, the small rest of the body is swallowed */
	bool drain;	/* after the answer, read a while before closing */
	bool over;	/* answered by hand: nothing more may be written */
};

/* http_guard.c: 0, or the status to refuse with; *out_text says why. Closes in either case. */
int loam_http_guard_head(struct http_exchange *exchange, const char *method, const char *version,
			 const char **out_text);
/* Splits raw_target into path and query; 0 or a status. "*" is left to the caller. */
int loam_http_guard_target(struct http_exchange *exchange, const char **out_text);
/* Framing of the body: web.body_length, or a status. */
int loam_http_guard_body(struct http_exchange *exchange, const char **out_text);
const char *loam_http_header(const struct http_exchange *exchange, const char *name);

/* http_request.c: the three calls of libmicrohttpd. */
void *loam_http_request_line(void *http, const char *uri, struct MHD_Connection *mhd);
enum MHD_Result loam_http_request_call(void *http, struct MHD_Connection *mhd, const char *url,
				       const char *method, const char *version, const char *upload,
				       size_t *upload_bytes, void **exchange_slot);
void loam_http_request_completed(void *http, struct MHD_Connection *mhd, void **exchange_slot,
				 enum MHD_RequestTerminationCode why);
/* libmicrohttpd's own log; its refusals become ours. */
void loam_http_request_mhd_log(void *http, const char *fmt, va_list args);

/* http_body.c: bytes of the body to the handler. 0, or -code with err set. */
int loam_http_body_begin(struct http_exchange *exchange, struct loam_err *err);
int loam_http_body_add(struct http_exchange *exchange, const void *data, size_t data_bytes,
		       struct loam_err *err);
int loam_http_body_end(struct http_exchange *exchange, struct loam_err *err);
void loam_http_body_release(struct http_exchange *exchange);

/* http_answer.c */
/* Puts an error into web.response, in the format of the route. */
void loam_http_answer_status(struct http_exchange *exchange, int status, const char *text);
void loam_http_answer_error(struct http_exchange *exchange, const struct loam_err *err);
/* Hands web.response to libmicrohttpd. */
enum MHD_Result loam_http_answer_queue(struct http_exchange *exchange);
/* Writes web.response (a small one) by hand, where libmicrohttpd takes no answer any more, and
 * ends our half of the connection. */
void loam_http_answer_by_hand(struct http_exchange *exchange);
/* Reads and drops what still comes, LOAM_HTTP_DRAIN_MS at most. */
void loam_http_answer_drain(struct http_connection *connection);

/* http_log.c */
void loam_http_log_request(const struct http_exchange *exchange);
/* target with the values of secrets and userinfo taken out, cut at out_bytes. */
void loam_http_log_redact(const char *target, char *out, size_t out_bytes);

/* http_audit.c */
/* The scope of the request on this thread: begun with the address, its door once routed. */
void loam_http_audit_begin(const struct http_exchange *exchange);
void loam_http_audit_route(const struct http_exchange *exchange);
/* Writes the refusal that the request ended with, if there was one that nobody has written, and
 * ends the scope. */
void loam_http_audit_end(const struct http_exchange *exchange);

/* http_watch.c */
int loam_http_watch_start(struct loam_http *http, struct loam_err *err);
void loam_http_watch_stop(struct loam_http *http);
/* State changes; false: the connection was cut meanwhile. */
bool loam_http_watch_enter(struct http_connection *connection, enum http_state state);
/* A place among `workers`, waited for; false: none came free in time, or the server stops. */
bool loam_http_watch_take_place(struct http_connection *connection);
void loam_http_watch_leave_place(struct http_connection *connection);
/* Unfinished requests of this address, this one included. */
size_t loam_http_watch_count(struct loam_http *http, const char *peer);
void loam_http_watch_cut_all(struct loam_http *http, bool idle_only);

#endif
