/*
 * An HTTP server of our own for tests, on a private port, and a client that sends raw bytes.
 *
 * Routes: POST /echo and /json (LFS errors) give the body back; PUT /sink/X counts it, PUT
 * /failing/X fails in it; GET /lines, /known, /cut, /file answer with a stream, one of known
 * length, one that breaks, a file; GET /slow/X takes 700 ms, /gone/X waits for its client to go;
 * GET /who and /{repo}/info/refs say who asks; GET /fail/X and /lfsfail/X fail. X-Refuse: begin
 * refuses.
 */
#ifndef LOAM_TESTS_SUPPORT_WEB_SERVER_H
#define LOAM_TESTS_SUPPORT_WEB_SERVER_H

#include "server/http.h"

#include <stdatomic.h>

#define HOST  "Host: h\r\n"
#define CLOSE "Connection: close\r\n"

struct loam_test_web {
	struct loam_http *http;
	uint16_t port;
	atomic_int begun, ended; /* calls of begin() and end() */
	atomic_ullong sunk;	 /* bytes of /sink; 77: /gone saw its client go */
};
extern struct loam_test_web loam_test_web;

/* Listen address, workers and tables have defaults. */
void loam_test_web_start(struct loam_http_options options);
/* For cmocka: plain HTTP with heads of 600 ms and silence of 900 ms. */
int loam_test_web_setup(void **state);
int loam_test_web_teardown(void **state);
/* end() of a cut request may come a moment after the client saw the cut. */
void loam_test_wait_ended(int count);

#define LOAM_TEST_REPLY_BYTES (8u << 20)
extern char loam_test_reply[LOAM_TEST_REPLY_BYTES]; /* what was heard last */
extern size_t loam_test_reply_bytes;

int loam_test_dial(void);
void loam_test_say(int fd, const void *data, size_t bytes);
/* Reads until the server closes, the text has come, or 4 s are over (false). */
bool loam_test_hear(int fd, const char *until);
/* One connection, these bytes, and all that comes back; split: one byte at a time. */
const char *loam_test_talk_bytes(const void *data, size_t bytes, bool split);
const char *loam_test_talk(const char *text);
/* The request, whole and byte by byte, is answered once, with this status. */
void loam_test_expect(const char *request, const char *status);

#endif
