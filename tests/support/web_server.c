/*
 * A server with one route for each thing a route can do, and a raw client (web_server.h).
 */
#include "tests/support/web_server.h"

#include "core/auto.h"
#include "core/clock.h"
#include "core/cmd.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#define REPLY_MS 4000

struct loam_test_web loam_test_web;

/* ---- handlers of the test ---------------------------------------------------------------- */

static int begin_count(struct loam_web_request *web, struct loam_err *err)
{
	atomic_fetch_add(&loam_test_web.begun, 1);
	if (web->header(web, "X-Refuse"))
		return loam_fail(err, LOAM_E_DENIED, "refused before the body");
	return 0;
}

static void end_count(struct loam_web_request *web)
{
	atomic_fetch_add(&loam_test_web.ended, 1);
}

static int finish_echo(struct loam_web_request *web, struct loam_err *err)
{
	loam_web_answer_text(web, 200, "");
	return loam_buf_add(&web->response.body, web->body.data, web->body.bytes, err);
}

static int sink_count(struct loam_web_request *web, const void *data, size_t data_bytes,
		      struct loam_err *err)
{
	atomic_fetch_add(&loam_test_web.sunk, data_bytes);
	return 0;
}

static int finish_sink(struct loam_web_request *web, struct loam_err *err)
{
	loam_web_answer_text(web, 200, "sunk\n");
	return 0;
}

static int sink_fail(struct loam_web_request *web, const void *data, size_t data_bytes,
		     struct loam_err *err)
{
	return loam_fail(err, LOAM_E_QUOTA, "over the quota of this test");
}

struct counter {
	int left;
	bool fails;
};

static int64_t source_lines(void *arg, void *out, size_t out_bytes, struct loam_err *err)
{
	struct counter *counter = arg;
	if (counter->left == 0)
		return counter->fails ? loam_fail(err, LOAM_E_IO, "the source broke") : 0;
	counter->left--;
	memcpy(out, "line\n", 5);
	return 5;
}

static int finish_stream(struct loam_web_request *web, struct loam_err *err)
{
	struct counter *counter = loam_xnew(struct counter);
	counter->left = 3;
	counter->fails = strcmp(web->target, "/cut") == 0;
	web->response.status = 200;
	web->response.source = source_lines;
	web->response.source_arg = counter;
	web->response.source_free = free;
	if (strcmp(web->target, "/known") == 0)
		web->response.length = 15;
	return 0;
}

static int finish_file(struct loam_web_request *web, struct loam_err *err)
{
	char path[] = "/tmp/loam-loam_test_web.http-XXXXXX";
	int fd = mkostemp(path, O_CLOEXEC);
	assert_true(fd >= 0);
	unlink(path);
	assert_int_equal(pwrite(fd, "0123456789", 10, 0), 10);
	assert_int_equal(lseek(fd, 3, SEEK_SET), 3);
	web->response.status = 206;
	web->response.file_fd = fd;
	web->response.length = 4;
	return 0;
}

static int finish_slow(struct loam_web_request *web, struct loam_err *err)
{
	loam_clock_sleep_ms(700);
	loam_web_answer_text(web, 200, "slow\n");
	return 0;
}

static int finish_gone(struct loam_web_request *web, struct loam_err *err)
{
	for (int i = 0; i < 100 && !loam_http_client_gone(web); i++)
		loam_clock_sleep_ms(20);
	atomic_store(&loam_test_web.sunk, loam_http_client_gone(web) ? 77 : 1);
	loam_web_answer_text(web, 200, "late\n");
	return 0;
}

static int finish_who(struct loam_web_request *web, struct loam_err *err)
{
	loam_web_answer_text(web, 200, "");
	const char *repo = loam_web_param(web, "repo");
	return loam_buf_printf(&web->response.body, err, "%s %s %s %s %s", web->peer,
			       web->secure ? "tls" : "plain", web->base_url,
			       web->peer_is_local ? "local" : "far", repo ? repo : "-");
}

static int finish_fail(struct loam_web_request *web, struct loam_err *err)
{
	if (strstr(web->target, "fail/401"))
		return loam_fail(err, LOAM_E_UNAUTHENTICATED, "who are you?");
	return loam_fail(err, LOAM_E_IO, "open /secret/path: broken");
}

static const struct loam_web_handler echo = { .begin = begin_count,
					      .finish = finish_echo,
					      .end = end_count };
static const struct loam_web_handler sink = {
	.begin = begin_count, .sink = sink_count, .finish = finish_sink, .end = end_count
};
static const struct loam_web_handler failing = {
	.begin = begin_count, .sink = sink_fail, .finish = finish_sink, .end = end_count
};
static const struct loam_web_handler streams = { .finish = finish_stream };
static const struct loam_web_handler file = { .finish = finish_file };
static const struct loam_web_handler slow = { .begin = begin_count,
					      .finish = finish_slow,
					      .end = end_count };
static const struct loam_web_handler gone = { .finish = finish_gone };
static const struct loam_web_handler who = { .finish = finish_who };
static const struct loam_web_handler fails = { .finish = finish_fail };

static const struct loam_web_route rows[] = {
	{ LOAM_POST, "/echo", 1u << 20, LOAM_ERRORS_TEXT, &echo },
	{ LOAM_POST, "/json", 4u << 20, LOAM_ERRORS_LFS, &echo },
	{ LOAM_PUT, "/sink/{name}", 4ull << 30, LOAM_ERRORS_TEXT, &sink },
	{ LOAM_PUT, "/failing/{name}", 4ull << 30, LOAM_ERRORS_TEXT, &failing },
	{ LOAM_GET, "/lines", 0, LOAM_ERRORS_TEXT, &streams },
	{ LOAM_GET, "/known", 0, LOAM_ERRORS_TEXT, &streams },
	{ LOAM_GET, "/cut", 0, LOAM_ERRORS_TEXT, &streams },
	{ LOAM_GET, "/file", 0, LOAM_ERRORS_TEXT, &file },
	{ LOAM_GET, "/slow/{name}", 0, LOAM_ERRORS_TEXT, &slow },
	{ LOAM_GET, "/gone/{name}", 0, LOAM_ERRORS_TEXT, &gone },
	{ LOAM_GET, "/who", 0, LOAM_ERRORS_TEXT, &who },
	{ LOAM_GET, "/{repo}/info/refs", 0, LOAM_ERRORS_TEXT, &who },
	{ LOAM_GET, "/fail/{name}", 0, LOAM_ERRORS_TEXT, &fails },
	{ LOAM_GET, "/lfsfail/{name}", 0, LOAM_ERRORS_LFS, &fails },
};
static const struct loam_route_table table = { rows, LOAM_ARRAY_COUNT(rows) };

/* end() of a cut request may come a moment after the client saw the cut. */
void loam_test_wait_ended(int count)
{
	for (int i = 0; i < 200 && atomic_load(&loam_test_web.ended) < count; i++)
		loam_clock_sleep_ms(10);
	assert_int_equal(atomic_load(&loam_test_web.ended), count);
}

/* ---- a raw client ------------------------------------------------------------------------ */

char loam_test_reply[LOAM_TEST_REPLY_BYTES];
size_t loam_test_reply_bytes;

void loam_test_web_start(struct loam_http_options options)
{
	struct loam_err err = { 0 };
	if (!options.listen)
		options.listen = "127.0.0.1:0";
	options.workers = options.workers ? options.workers : 16;
	options.tables = &table;
	options.table_count = 1;
	int rc = loam_http_start(&options, &loam_test_web.http, &err);
	if (rc < 0)
		fail_msg("%s", err.text);
	uint64_t number;
	assert_int_equal(loam_parse_u64(strrchr(loam_http_address(loam_test_web.http), ':') + 1, 1,
					65535, &number, &err),
			 0);
	loam_test_web.port = (uint16_t)number;
}

int loam_test_web_setup(void **state)
{
	loam_test_web_start((struct loam_http_options){ .head_ms = 600, .idle_ms = 2000 });
	return 0;
}

int loam_test_web_teardown(void **state)
{
	assert_true(loam_http_stop(loam_test_web.http, 5000, NULL));
	return 0;
}

int loam_test_dial(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = htons(loam_test_web.port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	return fd;
}

void loam_test_say(int fd, const void *data, size_t bytes)
{
	const char *at = data;
	while (bytes > 0) {
		ssize_t put = send(fd, at, bytes, MSG_NOSIGNAL);
		if (put <= 0)
			return; /* the server may have closed: what it said still counts */
		at += put;
		bytes -= (size_t)put;
	}
}

/* Reads into loam_test_reply until the server closes, the text `until` has come, or time is over.
 */
bool loam_test_hear(int fd, const char *until)
{
	struct loam_deadline deadline = loam_deadline_in(REPLY_MS);
	loam_test_reply_bytes = 0;
	loam_test_reply[0] = '\0';
	for (;;) {
		struct pollfd ready = { .fd = fd, .events = POLLIN };
		if (poll(&ready, 1, loam_deadline_left_ms(deadline)) <= 0)
			return false;
		ssize_t got = recv(fd, loam_test_reply + loam_test_reply_bytes,
				   sizeof(loam_test_reply) - 1 - loam_test_reply_bytes, 0);
		if (got <= 0)
			return true;
		loam_test_reply_bytes += (size_t)got;
		loam_test_reply[loam_test_reply_bytes] = '\0';
		if (until && strstr(loam_test_reply, until))
			return true;
	}
}

/* One connection, these bytes, and all that comes back; split: one byte at a time. */
const char *loam_test_talk_bytes(const void *data, size_t bytes, bool split)
{
	loam_auto_fd int fd = loam_test_dial();
	if (split)
		for (size_t i = 0; i < bytes; i++) {
			loam_test_say(fd, (const char *)data + i, 1);
			if (i % 16 == 0)
				loam_clock_sleep_ms(1);
		}
	else
		loam_test_say(fd, data, bytes);
	if (!loam_test_hear(fd, NULL))
		fail_msg("the connection stays open behind: %.300s", loam_test_reply);
	return loam_test_reply;
}

const char *loam_test_talk(const char *text)
{
	return loam_test_talk_bytes(text, strlen(text), false);
}

void loam_test_expect(const char *request, const char *status)
{
	char begin[64];
	snprintf(begin, sizeof(begin), "HTTP/1.1 %s", status);
	for (int split = 0; split < 2; split++) {
		loam_test_talk_bytes(request, strlen(request), split);
		if (strncmp(loam_test_reply, begin, strlen(begin)) != 0)
			fail_msg("%s expected for (split %d)\n%s\ngot\n%.300s", status, split,
				 request, loam_test_reply);
		if (strstr(loam_test_reply + 1, "HTTP/1.1"))
			fail_msg("two answers for\n%s\ngot\n%.600s", request, loam_test_reply);
	}
}
