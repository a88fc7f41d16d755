/*
 * Runs a request through the handlers of a route table without a socket: the router, begin, sink in
 * pieces, finish, the body's source, end; failures become answers as in server/http_answer.c.
 *
 * Threads: any; one call on one thread.
 */
#ifndef LOAM_TESTS_SUPPORT_WEB_DRIVER_H
#define LOAM_TESTS_SUPPORT_WEB_DRIVER_H

#include "core/json.h"
#include "core/web.h"

#define LOAM_WEB_CALL_HEADERS_MAX 8
#define LOAM_WEB_REPLY_BYTES_MAX  (256u << 20)

struct loam_web_call {
	const struct loam_web_route *routes; /* ended by a NULL path */
	void *context;
	unsigned method;
	const char *target; /* path, or path?query */
	struct {
		const char *name, *value;
	} headers[LOAM_WEB_CALL_HEADERS_MAX];
	const void *body;
	size_t body_bytes;
	bool chunked;		  /* no Content-Length */
	uint64_t announced_bytes; /* Content-Length when it is not body_bytes */
	size_t piece_bytes;	  /* of the body, at a time; 0: 16 KiB */
	bool vanish;		  /* the client goes away before its last byte */
	/* Called when half of the body has been given; may be NULL. */
	void (*halfway)(void *arg);
	void *halfway_arg;
};

struct loam_web_reply {
	int status; /* 0: the client had gone */
	struct loam_buf body;
	bool cut;	 /* the stream failed: the connection was cut */
	uint64_t length; /* Content-Length */
	json_t *json;	 /* the body, when it is JSON */
	struct {
		char *name, *value;
	} headers[LOAM_WEB_HEADERS_MAX];
	size_t header_count;
};

void loam_web_drive(const struct loam_web_call *call, struct loam_web_reply *out_reply);
const char *loam_web_reply_header(const struct loam_web_reply *reply, const char *name);
void loam_web_reply_release(struct loam_web_reply *reply);

#endif
