/*
 * A web request, its response and a route row, without a socket: lfs/, auth/ and server/ define
 * handlers against this; server/http.c, the only file that knows libmicrohttpd, runs them.
 *
 * Life of a request: the route is found and its limits checked on the headers; `begin` runs before
 * any byte of the body is read (so that 401/403/404/413 answer an Expect: 100-continue); the body
 * is passed to `sink` as it arrives, never gathered by the server; `finish` runs after its last
 * byte; `end` always runs last, also when the client vanished. A handler that wants a small body
 * whole sets body_max and uses request->body in `finish` (no sink).
 *
 * Threads: all callbacks of one request run on one thread, which may block (with deadlines).
 */
#ifndef LOAM_CORE_WEB_H
#define LOAM_CORE_WEB_H

#include "core/buf.h"
#include "core/err.h"

#include <stdbool.h>
#include <stdint.h>

struct loam_web_request;

enum loam_web_method {
	LOAM_GET = 1,
	LOAM_HEAD = 2,
	LOAM_POST = 4,
	LOAM_PUT = 8,
	LOAM_DELETE = 16,
	LOAM_PATCH = 32,
	LOAM_OPTIONS = 64
};

/* Produces a body: up to out_bytes at out. >0 bytes given, 0 end, -code cut the connection. */
typedef int64_t loam_web_source_fn(void *arg, void *out, size_t out_bytes, struct loam_err *err);

#define LOAM_WEB_UNKNOWN_LENGTH	  UINT64_MAX
#define LOAM_WEB_HEADERS_MAX	  16
#define LOAM_WEB_ANSWER_BYTES_MAX (16u << 20)

struct loam_web_response {
	int status;		    /* 0: nothing answered yet */
	struct loam_buf body;	    /* small answers, at most 16 MiB */
	loam_web_source_fn *source; /* or a stream */
	void *source_arg;
	void (*source_free)(void *arg); /* called once, also when it was never started */
	int file_fd;			/* or a file to send (owned), -1 for none */
	uint64_t length;		/* of a stream or file; LOAM_WEB_UNKNOWN_LENGTH: chunked */
	struct {
		char *name, *value;
	} headers[LOAM_WEB_HEADERS_MAX];
	size_t header_count;
	bool close; /* close the connection behind this answer */
};

/* Callbacks of a route. Each may answer (response.status) or fail; a failure is mapped to a status
 * and to the error format of the route's area. */
struct loam_web_handler {
	int (*begin)(struct loam_web_request *request, struct loam_err *err);
	int (*sink)(struct loam_web_request *request, const void *data, size_t data_bytes,
		    struct loam_err *err);
	int (*finish)(struct loam_web_request *request, struct loam_err *err);
	void (*end)(struct loam_web_request *request);
	const char *action; /* "lfs.batch": what the audit log calls it; NULL: the route's path */
};

/* How an error is written: plain text (git, healthz), or JSON with message and request_id as
 * git-lfs has it or as the API has it. */
enum loam_web_errors { LOAM_ERRORS_TEXT, LOAM_ERRORS_LFS, LOAM_ERRORS_API };

struct loam_web_route {
	unsigned methods;  /* LOAM_GET | … */
	const char *path;  /* "/{repo}/info/lfs/objects/batch"; {name} takes one segment, {repo} one
			    * repository in any of its spellings; "?" is never part of it */
	uint64_t body_max; /* bytes on the wire and after inflating; 0: no body */
	enum loam_web_errors errors;
	const struct loam_web_handler *handler;
};

struct loam_web_param {
	const char *name; /* of the route pattern */
	char *value;	  /* decoded once */
};
#define LOAM_WEB_PARAMS_MAX 8

struct loam_web_request {
	const struct loam_web_route *route;
	void *context; /* the server's: struct loam_server * for handlers above lfs/ */
	unsigned method;
	const char *target; /* raw path as sent, without the query */
	const char *query;  /* raw query or "" */
	struct loam_web_param params[LOAM_WEB_PARAMS_MAX];
	size_t param_count;
	const char *peer;     /* "127.0.0.1" */
	bool peer_is_local;   /* loopback, or a trusted proxy */
	bool secure;	      /* TLS here, or https at a trusted proxy */
	const char *base_url; /* "https://host:port": server.url, else from the request */
	uint64_t body_length; /* Content-Length, or LOAM_WEB_UNKNOWN_LENGTH when chunked */
	struct loam_buf body; /* gathered, when the handler has no sink */
	char id[17];	      /* request id */
	char user[40];	      /* for the log line: who was proven, "" nobody; set by the handler */
	const char *action;   /* set by the handler where it is not its handler's */
	struct loam_web_response response;
	void *state; /* the handler's, freed in its end() */
	/* Header by name, NULL when absent; refused requests never have two of the framing ones. */
	const char *(*header)(const struct loam_web_request *request, const char *name);
	void *transport; /* private to the server */
};

/* No answer yet, no file, no stream. */
void loam_web_response_init(struct loam_web_response *response);
/* Frees headers and body, ends the stream, closes the file: all that the response owns. */
void loam_web_response_release(struct loam_web_response *response);

/* Value of {name} in the route's path, or NULL. */
const char *loam_web_param(const struct loam_web_request *request, const char *name);
/* A query value, percent-decoded, free(); NULL when absent. INVALID bytes: NULL. */
char *loam_web_query(const struct loam_web_request *request, const char *name);
/* Copies name and value, replaces a header of that name; a value with a control byte asserts. */
void loam_web_set_header(struct loam_web_request *request, const char *name, const char *value);
void loam_web_answer_text(struct loam_web_request *request, int status, const char *text);
/* json is borrowed. content_type NULL: application/json. */
void loam_web_answer_json(struct loam_web_request *request, int status, const char *content_type,
			  const void *json /* json_t * */);
/* Decodes %XX once into free()able text; NULL for a bad escape, %00 or a control byte. */
char *loam_web_decode(const char *text, size_t text_bytes);

#endif
