/*
 * server/http*.c over real sockets: every http-N line of reliability.md §4 that this layer answers,
 * bodies, answers, time limits, stopping, and TLS with a pair that openssl makes here.
 */
#include "server/http.h"
#include "core/auto.h"
#include "core/clock.h"
#include "core/cmd.h"
#include "core/process.h"
#include "core/sys.h"
#include "server/http_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <gnutls/gnutls.h>
#include <poll.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <zlib.h>

#define REPLY_BYTES_MAX (8u << 20)
#define REPLY_MS	4000

/* ---- handlers of the test ---------------------------------------------------------------- */

static atomic_int begun, ended;
static atomic_ullong sunk;

static int begin_count(struct loam_web_request *web, struct loam_err *err)
{
	atomic_fetch_add(&begun, 1);
	if (web->header(web, "X-Refuse"))
		return loam_fail(err, LOAM_E_DENIED, "refused before the body");
	return 0;
}

static void end_count(struct loam_web_request *web)
{
	atomic_fetch_add(&ended, 1);
}

static int finish_echo(struct loam_web_request *web, struct loam_err *err)
{
	loam_web_answer_text(web, 200, "");
	return loam_buf_add(&web->response.body, web->body.data, web->body.bytes, err);
}

static int sink_count(struct loam_web_request *web, const void *data, size_t data_bytes,
		      struct loam_err *err)
{
	atomic_fetch_add(&sunk, data_bytes);
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
	char path[] = "/tmp/loam-http-XXXXXX";
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
	atomic_store(&sunk, loam_http_client_gone(web) ? 77 : 1);
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

static const struct loam_web_handler echo = { begin_count, NULL, finish_echo, end_count };
static const struct loam_web_handler sink = { begin_count, sink_count, finish_sink, end_count };
static const struct loam_web_handler failing = { begin_count, sink_fail, finish_sink, end_count };
static const struct loam_web_handler streams = { NULL, NULL, finish_stream, NULL };
static const struct loam_web_handler file = { NULL, NULL, finish_file, NULL };
static const struct loam_web_handler slow = { begin_count, NULL, finish_slow, end_count };
static const struct loam_web_handler gone = { NULL, NULL, finish_gone, NULL };
static const struct loam_web_handler who = { NULL, NULL, finish_who, NULL };
static const struct loam_web_handler fails = { NULL, NULL, finish_fail, NULL };

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
static void wait_ended(int count)
{
	for (int i = 0; i < 200 && atomic_load(&ended) < count; i++)
		loam_clock_sleep_ms(10);
	assert_int_equal(atomic_load(&ended), count);
}

/* ---- a raw client ------------------------------------------------------------------------ */

static struct loam_http *http;
static uint16_t port;
static char reply[REPLY_BYTES_MAX];
static size_t reply_bytes;

static void start(struct loam_http_options options)
{
	struct loam_err err = { 0 };
	if (!options.listen)
		options.listen = "127.0.0.1:0";
	options.workers = options.workers ? options.workers : 16;
	options.tables = &table;
	options.table_count = 1;
	int rc = loam_http_start(&options, &http, &err);
	if (rc < 0)
		fail_msg("%s", err.text);
	uint64_t number;
	assert_int_equal(loam_parse_u64(strrchr(loam_http_address(http), ':') + 1, 1, 65535,
					&number, &err),
			 0);
	port = (uint16_t)number;
}

static int start_plain(void **state)
{
	start((struct loam_http_options){ .head_ms = 600, .idle_ms = 900 });
	return 0;
}

static int stop(void **state)
{
	assert_true(loam_http_stop(http, 5000, NULL));
	return 0;
}

static int dial(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = htons(port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	return fd;
}

static void say(int fd, const void *data, size_t bytes)
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

/* Reads into reply until the server closes, the text `until` has come, or time is over. */
static bool hear(int fd, const char *until)
{
	struct loam_deadline deadline = loam_deadline_in(REPLY_MS);
	reply_bytes = 0;
	reply[0] = '\0';
	for (;;) {
		struct pollfd ready = { .fd = fd, .events = POLLIN };
		if (poll(&ready, 1, loam_deadline_left_ms(deadline)) <= 0)
			return false;
		ssize_t got = recv(fd, reply + reply_bytes, sizeof(reply) - 1 - reply_bytes, 0);
		if (got <= 0)
			return true;
		reply_bytes += (size_t)got;
		reply[reply_bytes] = '\0';
		if (until && strstr(reply, until))
			return true;
	}
}

/* One connection, these bytes, and all that comes back; split: one byte at a time. */
static const char *talk_bytes(const void *data, size_t bytes, bool split)
{
	loam_auto_fd int fd = dial();
	if (split)
		for (size_t i = 0; i < bytes; i++) {
			say(fd, (const char *)data + i, 1);
			if (i % 16 == 0)
				loam_clock_sleep_ms(1);
		}
	else
		say(fd, data, bytes);
	if (!hear(fd, NULL))
		fail_msg("the connection stays open behind: %.300s", reply);
	return reply;
}

static const char *talk(const char *text)
{
	return talk_bytes(text, strlen(text), false);
}

static void expect(const char *request, const char *status)
{
	char begin[64];
	snprintf(begin, sizeof(begin), "HTTP/1.1 %s", status);
	for (int split = 0; split < 2; split++) {
		talk_bytes(request, strlen(request), split);
		if (strncmp(reply, begin, strlen(begin)) != 0)
			fail_msg("%s expected for (split %d)\n%s\ngot\n%.300s", status, split,
				 request, reply);
		if (strstr(reply + 1, "HTTP/1.1"))
			fail_msg("two answers for\n%s\ngot\n%.600s", request, reply);
	}
}

#define HOST  "Host: h\r\n"
#define CLOSE "Connection: close\r\n"

static void http_1_host_is_one_and_valid(void **state)
{
	expect("GET /who HTTP/1.1\r\n\r\n", "400");
	expect("GET /who HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", "400");
	expect("GET /who HTTP/1.1\r\nHost: a b\r\n\r\n", "400");
	expect("GET /who HTTP/1.1\r\nHost:\r\n\r\n", "400");
	expect("GET /who HTTP/1.1\r\nHost: a\r\n" CLOSE "\r\n", "200");
}

static void http_2_length_and_coding_do_not_meet(void **state)
{
	int before = begun;
	expect("POST /echo HTTP/1.1\r\n" HOST "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n"
	       "\r\n0\r\n\r\nGET /who HTTP/1.1\r\n" HOST "\r\n",
	       "400");
	expect("POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n"
	       "\r\n0\r\n\r\n",
	       "400");
	expect("POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: xchunked\r\n\r\n", "400");
	expect("POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip, chunked\r\n\r\n", "400");
	expect("POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n"
	       "Transfer-Encoding: identity\r\n\r\n",
	       "400");
	expect("POST /echo HTTP/1.1\r\n" HOST "Content-Length: 4\r\nContent-Length: 4\r\n\r\nabcd",
	       "400");
	assert_int_equal(begun, before);
}

static void http_3_a_length_is_digits(void **state)
{
	static const char *const bad[] = { "+5",
					   "-1",
					   "0x10",
					   "5 5",
					   "",
					   "18446744073709551616",
					   "99999999999999999999999999",
					   "5,5",
					   "5;" };
	char request[256];
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(bad); i++) {
		snprintf(request, sizeof(request),
			 "POST /echo HTTP/1.1\r\n" HOST "Content-Length: %s\r\n\r\nabcde", bad[i]);
		expect(request, "400");
	}
}

static void http_4_a_chunk_size_is_hex(void **state)
{
	static const char *const bad[] = {
		"0x5", "+5", "-1", "1_0", "12345678901234567", " 5", ""
	};
	char request[256];
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(bad); i++) {
		snprintf(request, sizeof(request),
			 "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"
			 "%s\r\nhello\r\n0\r\n\r\n",
			 bad[i]);
		expect(request, "400");
	}
	expect("POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"
	       "5\r\nhelloXX0\r\n\r\n",
	       "400");
}

static void http_5_header_names_are_tokens(void **state)
{
	expect("GET /who HTTP/1.1\r\n" HOST "X : y\r\n\r\n", "400");
	expect("GET /who HTTP/1.1\r\n" HOST "X\ty: y\r\n\r\n", "400");
	expect("GET /who HTTP/1.1\r\n" HOST "X\xc3\xa9: y\r\n\r\n", "400");
	expect("GET /who HTTP/1.1\r\n" HOST "X: y\r\n more\r\n\r\n", "400");
	expect("GET /who HTTP/1.1\r\n" HOST "X: y\r\n\tmore\r\nZ: z\r\n\r\n", "400");
	expect("GET /who HTTP/1.1\r\n folded: x\r\n" HOST "\r\n", "400");
	expect("GET /who HTTP/1.1\r\n" HOST ": y\r\n\r\n", "400");
	expect("GET /who HTTP/1.1\r\n" HOST "noColon\r\n\r\n", "400");
	expect("GET /who HTTP/1.1\n" HOST "\r\n", "400");
	expect("GET /who HTTP/1.1\r\nHost: h\n\r\n", "400");
	static const char nul_name[] = "GET /who HTTP/1.1\r\n" HOST "X\0y: z\r\n\r\n";
	static const char nul_value[] = "GET /who HTTP/1.1\r\n" HOST "X: a\0b\r\n\r\n";
	static const char nul_line[] = "GET /who HTTP/1.1\r\n" HOST "\0X: a\r\n\r\n";
	static const char nul_target[] = "GET /who\0/x HTTP/1.1\r\n" HOST "\r\n";
	assert_non_null(strstr(talk_bytes(nul_name, sizeof(nul_name) - 1, false), " 400 "));
	assert_non_null(strstr(talk_bytes(nul_value, sizeof(nul_value) - 1, false), " 400 "));
	assert_non_null(strstr(talk_bytes(nul_line, sizeof(nul_line) - 1, false), " 400 "));
	assert_non_null(strstr(talk_bytes(nul_target, sizeof(nul_target) - 1, false), " 400 "));
	expect("GET  /who HTTP/1.1\r\n" HOST "\r\n", "400");
	expect("GET /who  HTTP/1.1\r\n" HOST "\r\n", "400");
	expect("GET /wh o HTTP/1.1\r\n" HOST "\r\n", "400");
}

static void http_6_paths_are_decoded_once(void **state)
{
	static const char *const bad[] = { "/a/../../etc/passwd",
					   "/%2e%2e/x",
					   "/a/..%5cb",
					   "/a/%252e%252e/b",
					   "/a%00b",
					   "/a\\b",
					   "//who",
					   "/who%2fx" };
	char request[256];
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(bad); i++) {
		snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\n" HOST CLOSE "\r\n", bad[i]);
		expect(request, "400");
	}
	expect("GET /%77ho HTTP/1.1\r\n" HOST CLOSE "\r\n", "200");
	expect("GET /qwen/t%69ny.git/info/refs?service=x HTTP/1.1\r\n" HOST CLOSE "\r\n", "200");
	assert_non_null(strstr(reply, "qwen/tiny.git"));
}

static void http_7_targets_name_this_server(void **state)
{
	expect("GET http://other.example/who HTTP/1.1\r\n" HOST CLOSE "\r\n", "400");
	expect("GET http://u:p@h/who HTTP/1.1\r\n" HOST CLOSE "\r\n", "400");
	expect("GET h:80 HTTP/1.1\r\n" HOST CLOSE "\r\n", "400");
	expect("CONNECT h:80 HTTP/1.1\r\n" HOST CLOSE "\r\n", "501");
	expect("GET * HTTP/1.1\r\n" HOST CLOSE "\r\n", "400");
	expect("OPTIONS * HTTP/1.1\r\n" HOST CLOSE "\r\n", "204");
	expect("GET http://h/who HTTP/1.1\r\n" HOST CLOSE "\r\n", "200");
}

static void http_8_only_http_1_is_spoken(void **state)
{
	expect("GET /who HTTP/0.9\r\n" HOST "\r\n", "505");
	expect("GET /who HTTP/1.10\r\n" HOST "\r\n", "400");
	expect("GET /who HTTP/1.2\r\n" HOST "\r\n", "505");
	expect("GET /who HTTP/2.0\r\n" HOST "\r\n", "505");
	expect("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505");
	expect("GET /who\r\n\r\n", "400");
	expect("GET /who HTTP/1.0\r\n\r\n", "200");
}

static void http_9_a_refusal_comes_before_continue(void **state)
{
	expect("PUT /sink/a HTTP/1.1\r\n" HOST "Content-Length: 5\r\nExpect: foo\r\n\r\n", "417");
	expect("PUT /sink/a HTTP/1.1\r\n" HOST "Content-Length: 5000000\r\nX-Refuse: 1\r\n"
	       "Expect: 100-continue\r\n\r\n",
	       "403");
	expect("PUT /sink/a HTTP/1.1\r\n" HOST "Content-Length: 5\r\nX-Refuse: 1\r\n"
	       "Expect: 100-continue\r\n\r\n",
	       "403");
	expect("POST /echo HTTP/1.1\r\n" HOST "Content-Length: 1048577\r\n"
	       "Expect: 100-continue\r\n\r\n",
	       "413");
	loam_auto_fd int fd = dial();
	static const char head[] = "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 5\r\n" CLOSE
				   "Expect: 100-continue\r\n\r\n";
	say(fd, head, strlen(head));
	assert_true(hear(fd, "\r\n\r\n"));
	assert_string_equal(reply, "HTTP/1.1 100 Continue\r\n\r\n");
	say(fd, "hello", 5);
	assert_true(hear(fd, NULL));
	assert_non_null(strstr(reply, "200 OK"));
	assert_non_null(strstr(reply, "hello"));
}

static size_t gzip_into(void *out, size_t out_bytes, const void *data, size_t bytes)
{
	z_stream stream = { 0 };
	assert_int_equal(deflateInit2(&stream, 9, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
	stream.next_in = (uint8_t *)data;
	stream.avail_in = (unsigned)bytes;
	stream.next_out = out;
	stream.avail_out = (unsigned)out_bytes;
	assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
	size_t made = out_bytes - stream.avail_out;
	deflateEnd(&stream);
	return made;
}

static size_t put_request(char *out, size_t out_bytes, const char *headers, const void *body,
			  size_t body_bytes)
{
	int head = snprintf(out, out_bytes,
			    "POST /echo HTTP/1.1\r\n" HOST CLOSE "%sContent-Length: %zu\r\n\r\n",
			    headers, body_bytes);
	assert_true((size_t)head + body_bytes < out_bytes);
	memcpy(out + head, body, body_bytes);
	return (size_t)head + body_bytes;
}

static void http_10_gzip_is_inflated_up_to_the_limit(void **state)
{
	static char request[1u << 20], packed[1u << 19];
	size_t bytes = gzip_into(packed, sizeof(packed), "hello gzip", 10);
	size_t all =
		put_request(request, sizeof(request), "Content-Encoding: gzip\r\n", packed, bytes);
	assert_non_null(strstr(talk_bytes(request, all, true), "hello gzip"));

	size_t bomb_bytes = 200u << 20;
	char *zeros = calloc(1, bomb_bytes);
	bytes = gzip_into(packed, sizeof(packed), zeros, bomb_bytes);
	free(zeros);
	all = put_request(request, sizeof(request), "Content-Encoding: x-gzip\r\n", packed, bytes);
	assert_non_null(strstr(talk_bytes(request, all, false), " 413 "));

	bytes = gzip_into(packed, sizeof(packed), "hello gzip", 10);
	all = put_request(request, sizeof(request), "Content-Encoding: gzip\r\n", packed,
			  bytes - 3);
	assert_non_null(strstr(talk_bytes(request, all, false), " 400 "));
	packed[bytes] = 'x';
	all = put_request(request, sizeof(request), "Content-Encoding: gzip\r\n", packed,
			  bytes + 1);
	assert_non_null(strstr(talk_bytes(request, all, false), " 400 "));
	all = put_request(request, sizeof(request), "Content-Encoding: gzip\r\n", "not gzip", 8);
	assert_non_null(strstr(talk_bytes(request, all, false), " 400 "));
	all = put_request(request, sizeof(request), "Content-Encoding: br\r\n", "x", 1);
	assert_non_null(strstr(talk_bytes(request, all, false), " 415 "));
}

static void http_11_slow_heads_and_bodies_end_in_408(void **state)
{
	int before = ended;
	assert_non_null(strstr(talk("GET /who HTTP/1.1\r\nHo"), " 408 "));
	assert_non_null(strstr(talk("PUT /sink/a HTTP/1.1\r\n" HOST "Content-Length: 9\r\n\r\nabc"),
			       " 408 "));
	wait_ended(before + 1); /* what was staged is freed */

	loam_auto_fd int fd = dial(); /* a byte now and then does not help a head */
	uint64_t from_ms = loam_clock_ms();
	for (int i = 0; i < 20 && loam_clock_ms() - from_ms < 1500; i++) {
		say(fd, "G", 1);
		loam_clock_sleep_ms(100);
	}
	assert_true(hear(fd, NULL));
	loam_auto_fd int kept = dial(); /* but it helps a body */
	static const char head[] =
		"PUT /sink/a HTTP/1.1\r\n" HOST CLOSE "Content-Length: 4\r\n\r\n";
	say(kept, head, strlen(head));
	for (int i = 0; i < 4; i++) {
		loam_clock_sleep_ms(400);
		say(kept, "x", 1);
	}
	assert_true(hear(kept, NULL));
	assert_non_null(strstr(reply, "200 OK"));
}

static void a_kept_connection_has_a_fresh_time_for_its_next_head(void **state)
{
	static const char request[] = "GET /who HTTP/1.1\r\n" HOST "\r\n";
	loam_auto_fd int fd = dial();
	say(fd, request, strlen(request));
	assert_true(hear(fd, "local -"));
	loam_clock_sleep_ms(750); /* over head_ms, under idle_ms */
	say(fd, request, strlen(request));
	assert_true(hear(fd, "local -"));
	say(fd, request, 10);
	assert_true(hear(fd, NULL));
	assert_non_null(strstr(reply, " 408 "));
}

static void http_13_secrets_leave_no_trace_in_the_log(void **state)
{
	char out[256];
	loam_http_log_redact("/a?token=SECRET&x=1&access_token=SECRET&%73ig=SECRET", out,
			     sizeof(out));
	assert_string_equal(out, "/a?token=REDACTED&x=1&access_token=REDACTED&%73ig=REDACTED");
	loam_http_log_redact("http://user:SECRET@h/a?service=git-upload-pack", out, sizeof(out));
	assert_string_equal(out, "http://REDACTED@h/a?service=git-upload-pack");
	loam_http_log_redact("/user:SECRET@h/b", out, sizeof(out));
	assert_null(strstr(out, "SECRET"));
	loam_http_log_redact("/a?SIG=SECRET", out, 12);
	assert_int_equal(strlen(out), 11);
}

static void http_15_a_surplus_is_a_request_of_its_own(void **state)
{
	talk("POST /echo HTTP/1.1\r\n" HOST "Content-Length: 5\r\nAuthorization: Basic eDp5\r\n\r\n"
	     "helloGET /admin HTTP/1.1\r\n" HOST CLOSE "\r\n");
	assert_non_null(strstr(reply, "200 OK"));
	assert_non_null(strstr(reply, "404 Not Found"));
}

static void http_16_lfs_json_has_its_media_types(void **state)
{
	expect("POST /json HTTP/1.1\r\n" HOST CLOSE "Content-Type: text/html\r\n"
	       "Content-Length: 2\r\n\r\n{}",
	       "415");
	assert_non_null(strstr(reply, "application/vnd.git-lfs+json"));
	assert_non_null(strstr(reply, "\"request_id\""));
	expect("POST /json HTTP/1.1\r\n" HOST CLOSE "Content-Type: application/vnd.git-lfs+json\r\n"
	       "Accept: text/plain\r\nContent-Length: 2\r\n\r\n{}",
	       "406");
	expect("POST /json HTTP/1.1\r\n" HOST CLOSE
	       "Content-Type: application/vnd.git-lfs+json; charset=utf-8\r\n"
	       "Accept: application/vnd.git-lfs+json\r\nContent-Length: 2\r\n\r\n{}",
	       "200");
	expect("POST /json HTTP/1.1\r\n" HOST CLOSE "Accept: */*\r\nContent-Length: 2\r\n\r\n{}",
	       "200");
}

static void limits_hold_at_the_cap_and_one_over(void **state)
{
	static char request[200u << 10];
	size_t at = (size_t)snprintf(request, sizeof(request), "GET /who?");
	memset(request + at, 'a', 8100 - at);
	snprintf(request + 8100, 200, " HTTP/1.1\r\n" HOST CLOSE "\r\n");
	assert_non_null(strstr(talk(request), " 200 "));
	memset(request + at, 'a', 8400 - at);
	snprintf(request + 8400, 200, " HTTP/1.1\r\n" HOST CLOSE "\r\n");
	assert_non_null(strstr(talk(request), " 414 "));
	memset(request + at, 'a', 150000 - at);
	snprintf(request + 150000, 200, " HTTP/1.1\r\n" HOST CLOSE "\r\n");
	assert_non_null(strstr(talk(request), " 414 "));
	for (int lines = 98; lines <= 99; lines++) { /* and Host and Connection */
		at = (size_t)snprintf(request, sizeof(request), "GET /who HTTP/1.1\r\n" HOST CLOSE);
		for (int i = 0; i < lines; i++)
			at += (size_t)snprintf(request + at, 64, "X-%d: y\r\n", i);
		snprintf(request + at, 8, "\r\n");
		assert_non_null(strstr(talk(request), lines == 98 ? " 200 " : " 431 "));
	}
	at = (size_t)snprintf(request, sizeof(request), "GET /who HTTP/1.1\r\n" HOST "X: ");
	memset(request + at, 'a', 33000);
	snprintf(request + at + 33000, 8, "\r\n\r\n");
	assert_non_null(strstr(talk(request), " 431 "));
	memset(request + at, 'a', 190000);
	snprintf(request + at + 190000, 8, "\r\n\r\n");
	assert_non_null(strstr(talk(request), " 431 "));
}

static void bodies_arrive_whole_in_either_framing(void **state)
{
	assert_non_null(strstr(talk("POST /echo HTTP/1.1\r\n" HOST CLOSE
				    "Transfer-Encoding: chunked\r\n\r\n"
				    "5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nTrailer: x\r\n\r\n"),
			       "hello world"));
	expect("POST /echo HTTP/1.1\r\n" HOST CLOSE "Content-Length: 0\r\n\r\n", "200");
	expect("GET /who HTTP/1.1\r\n" HOST CLOSE "Content-Length: 3\r\n\r\nabc", "413");
	expect("POST /nothing HTTP/1.1\r\n" HOST CLOSE "Content-Length: 3\r\n\r\nabc", "404");
	expect("DELETE /echo HTTP/1.1\r\n" HOST CLOSE "\r\n", "405");
	assert_non_null(strstr(reply, "Allow: POST, OPTIONS"));
}

static void a_small_refused_body_keeps_the_connection(void **state)
{
	talk("PUT /sink/a HTTP/1.1\r\n" HOST "X-Refuse: 1\r\nContent-Length: 4\r\n\r\n0000"
	     "PUT /sink/a HTTP/1.1\r\n" HOST CLOSE "Content-Length: 4\r\n\r\n0000");
	assert_non_null(strstr(reply, "403 Forbidden"));
	assert_non_null(strstr(reply, "200 OK"));
}

/* A client that sends all before it reads still gets the text, not a reset. */
static void an_error_in_the_middle_of_a_body_is_read_by_the_client(void **state)
{
	static char zeros[256u << 10];
	loam_auto_fd int fd = dial();
	static const char head[] =
		"PUT /failing/a HTTP/1.1\r\n" HOST "Content-Length: 1000000000\r\n\r\n";
	int before = ended;
	say(fd, head, strlen(head));
	for (int i = 0; i < 40; i++)
		say(fd, zeros, sizeof(zeros));
	assert_true(hear(fd, NULL));
	assert_non_null(strstr(reply, "507 "));
	assert_non_null(strstr(reply, "over the quota of this test"));
	wait_ended(before + 1);
	loam_auto_fd int second = dial();
	static const char chunked[] = "PUT /sink/a HTTP/1.1\r\n" HOST "X-Refuse: 1\r\n"
				      "Transfer-Encoding: chunked\r\n\r\n40000\r\n";
	say(second, chunked, strlen(chunked));
	say(second, zeros, sizeof(zeros));
	assert_true(hear(second, NULL));
	assert_non_null(strstr(reply, "403 Forbidden"));
	assert_non_null(strstr(reply, "refused before the body"));
}

static void streams_files_and_cuts_reach_the_client(void **state)
{
	talk("GET /lines HTTP/1.1\r\n" HOST CLOSE "\r\n");
	assert_non_null(strstr(reply, "Transfer-Encoding: chunked"));
	assert_non_null(strstr(reply, "line\n"));
	assert_non_null(strstr(reply, "\r\n0\r\n\r\n"));
	talk("GET /known HTTP/1.1\r\n" HOST CLOSE "\r\n");
	assert_non_null(strstr(reply, "Content-Length: 15\r\n"));
	assert_non_null(strstr(reply, "line\nline\nline\n"));
	talk("HEAD /known HTTP/1.1\r\n" HOST CLOSE "\r\n");
	assert_non_null(strstr(reply, "Content-Length: 15\r\n"));
	assert_null(strstr(reply, "line\n"));
	talk("GET /cut HTTP/1.1\r\n" HOST "\r\n");
	assert_non_null(strstr(reply, "line\n"));
	assert_null(strstr(reply, "\r\n0\r\n\r\n")); /* no clean end */
	talk("GET /file HTTP/1.1\r\n" HOST CLOSE "\r\n");
	assert_non_null(strstr(reply, "206 "));
	assert_non_null(strstr(reply, "\r\n\r\n3456"));
	assert_non_null(strstr(reply, "Content-Length: 4\r\n"));
}

static void errors_have_a_request_id_and_no_inside_knowledge(void **state)
{
	talk("GET /fail/500 HTTP/1.1\r\n" HOST CLOSE "\r\n");
	assert_non_null(strstr(reply, "500 "));
	assert_non_null(strstr(reply, "X-Request-Id: "));
	assert_null(strstr(reply, "/secret/path"));
	talk("GET /fail/401 HTTP/1.1\r\n" HOST CLOSE "\r\n");
	assert_non_null(strstr(reply, "WWW-Authenticate: Basic realm=\"Loam\""));
	talk("GET /lfsfail/401 HTTP/1.1\r\n" HOST CLOSE "\r\n");
	assert_non_null(strstr(reply, "LFS-Authenticate: Basic realm=\"Loam\""));
	assert_non_null(strstr(reply, "{\"message\":"));
}

static void a_vanished_client_is_noticed_while_the_handler_waits(void **state)
{
	static const char request[] = "GET /gone/a HTTP/1.1\r\n" HOST "\r\n";
	atomic_store(&sunk, 0);
	int fd = dial();
	say(fd, request, strlen(request));
	loam_clock_sleep_ms(100);
	close(fd);
	for (int i = 0; i < 100 && atomic_load(&sunk) == 0; i++)
		loam_clock_sleep_ms(20);
	assert_int_equal(atomic_load(&sunk), 77);
	int before = ended;
	fd = dial(); /* and in the middle of a body */
	static const char head[] = "PUT /sink/a HTTP/1.1\r\n" HOST "Content-Length: 9\r\n\r\nabc";
	say(fd, head, strlen(head));
	loam_clock_sleep_ms(100);
	close(fd);
	wait_ended(before + 1);
}

static void a_proxy_that_is_trusted_names_scheme_host_and_peer(void **state)
{
	static const char request[] =
		"GET /who HTTP/1.1\r\n" HOST CLOSE "X-Forwarded-For: 9.9.9.9, 10.1.2.3\r\n"
		"X-Forwarded-Proto: https\r\nX-Forwarded-Host: hub.lab\r\n\r\n";
	start((struct loam_http_options){ .listen = "127.0.0.1:0" });
	assert_non_null(strstr(talk(request), "127.0.0.1 plain http://h local -"));
	stop(NULL);
	start((struct loam_http_options){ .trusted_proxy = "10.0.0.1 127.0.0.1" });
	assert_non_null(strstr(talk(request), "10.1.2.3 tls https://hub.lab local -"));
	stop(NULL);
	start((struct loam_http_options){ .url = "https://loam.example/" });
	assert_non_null(strstr(talk(request), "127.0.0.1 plain https://loam.example local -"));
	stop(NULL);
}

static void one_address_has_its_share_of_unfinished_requests(void **state)
{
	int fds[9];
	start((struct loam_http_options){ .per_address_max = 8, .head_ms = 5000 });
	for (int i = 0; i < 8; i++) {
		fds[i] = dial();
		say(fds[i], "GET", 3);
	}
	loam_clock_sleep_ms(200);
	fds[8] = dial();
	assert_true(hear(fds[8], NULL));
	assert_non_null(strstr(reply, "429 "));
	for (int i = 0; i < 9; i++)
		close(fds[i]);
	loam_clock_sleep_ms(300);
	assert_non_null(strstr(talk("GET /who HTTP/1.1\r\n" HOST CLOSE "\r\n"), "200 OK"));
	stop(NULL);
}

static void requests_over_the_workers_wait_for_a_place(void **state)
{
	static const char request[] = "GET /slow/a HTTP/1.1\r\n" HOST CLOSE "\r\n";
	int fds[3];
	start((struct loam_http_options){ .workers = 1 });
	uint64_t from_ms = loam_clock_ms();
	for (int i = 0; i < 3; i++) {
		fds[i] = dial();
		say(fds[i], request, strlen(request));
	}
	for (int i = 0; i < 3; i++) {
		assert_true(hear(fds[i], NULL));
		assert_non_null(strstr(reply, "slow"));
		close(fds[i]);
	}
	assert_true(loam_clock_ms() - from_ms >= 2000);
	stop(NULL);
}

/* F07 */
static void stopping_lets_running_requests_finish(void **state)
{
	static const char request[] = "GET /slow/a HTTP/1.1\r\n" HOST "\r\n";
	start((struct loam_http_options){ .workers = 4 });
	loam_auto_fd int idle = dial();
	static const char quick[] = "GET /who HTTP/1.1\r\n" HOST "\r\n";
	say(idle, quick, strlen(quick));
	assert_true(hear(idle, "local -"));
	loam_auto_fd int fd = dial();
	say(fd, request, strlen(request));
	loam_clock_sleep_ms(150);
	uint64_t from_ms = loam_clock_ms();
	assert_true(loam_http_stop(http, 5000, NULL));
	assert_true(loam_clock_ms() - from_ms < 3000);
	assert_true(hear(fd, NULL));
	assert_non_null(strstr(reply, "slow"));
	assert_non_null(strstr(reply, "Connection: close"));
	assert_true(hear(idle, NULL));
	assert_int_equal(reply_bytes, 0);
}

static void a_stop_cuts_what_does_not_finish_in_time(void **state)
{
	static const char head[] = "PUT /sink/a HTTP/1.1\r\n" HOST "Content-Length: 9\r\n\r\nabc";
	start((struct loam_http_options){ .workers = 4 });
	loam_auto_fd int fd = dial();
	say(fd, head, strlen(head));
	loam_clock_sleep_ms(100);
	int before = ended;
	uint64_t from_ms = loam_clock_ms();
	assert_true(loam_http_stop(http, 300, NULL));
	assert_true(loam_clock_ms() - from_ms < 2500);
	wait_ended(before + 1);
}

static void a_taken_port_is_said(void **state)
{
	struct loam_err err = { 0 };
	struct loam_http *second;
	char address[64];
	snprintf(address, sizeof(address), "127.0.0.1:%u", (unsigned)port);
	struct loam_http_options options = { .listen = address };
	assert_int_equal(loam_http_start(&options, &second, &err), -LOAM_E_EXISTS);
	assert_non_null(strstr(err.text, "in use"));
	loam_err_clear(&err);
	options.listen = "nonsense";
	assert_int_equal(loam_http_start(&options, &second, &err), -LOAM_E_INVALID);
}

/* ---- TLS --------------------------------------------------------------------------------- */

static void make_pair(const char *dir, char *cert, char *key)
{
	struct loam_err err = { 0 };
	snprintf(cert, 128, "%s/cert.pem", dir);
	snprintf(key, 128, "%s/key.pem", dir);
	const char *const argv[] = { "openssl",
				     "req",
				     "-x509",
				     "-newkey",
				     "ec",
				     "-pkeyopt",
				     "ec_paramgen_curve:P-256",
				     "-nodes",
				     "-keyout",
				     key,
				     "-out",
				     cert,
				     "-subj",
				     "/CN=localhost",
				     "-days",
				     "2",
				     NULL };
	const char *const env[] = { "PATH=/usr/bin:/bin", NULL };
	struct loam_process_spec spec = { .argv = argv,
					  .env = env,
					  .stdin_fd = -1,
					  .stdout_fd = LOAM_PIPE,
					  .stderr_fd = LOAM_PIPE };
	if (loam_process_run(&spec, NULL, 0, NULL, 30000, &err) < 0)
		fail_msg("%s", err.text);
}

static gnutls_session_t tls_dial(int fd, gnutls_certificate_credentials_t trust,
				 const char *priorities)
{
	gnutls_session_t session;
	assert_int_equal(gnutls_init(&session, GNUTLS_CLIENT), 0);
	assert_int_equal(gnutls_priority_set_direct(session, priorities, NULL), 0);
	gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, trust);
	gnutls_transport_set_int(session, fd);
	gnutls_handshake_set_timeout(session, 5000);
	int rc;
	do {
		rc = gnutls_handshake(session);
	} while (rc < 0 && !gnutls_error_is_fatal(rc));
	if (rc < 0) {
		gnutls_deinit(session);
		return NULL;
	}
	return session;
}

static const char *tls_talk(gnutls_session_t session, const char *text, size_t bytes)
{
	reply_bytes = 0;
	while (bytes > 0) {
		ssize_t put = gnutls_record_send(session, text, bytes < 16384 ? bytes : 16384);
		if (put <= 0)
			break;
		text += put;
		bytes -= (size_t)put;
	}
	for (;;) {
		ssize_t got = gnutls_record_recv(session, reply + reply_bytes,
						 sizeof(reply) - 1 - reply_bytes);
		if (got <= 0 && gnutls_error_is_fatal((int)got))
			break;
		if (got == 0)
			break;
		reply_bytes += got > 0 ? (size_t)got : 0;
	}
	reply[reply_bytes] = '\0';
	return reply;
}

static void tls_serves_1_2_and_1_3_only(void **state)
{
	char dir[] = "/tmp/loam-tls-XXXXXX", cert[128], key[128];
	assert_non_null(mkdtemp(dir));
	make_pair(dir, cert, key);
	start((struct loam_http_options){ .tls_cert = cert, .tls_key = key });
	gnutls_certificate_credentials_t trust;
	gnutls_certificate_allocate_credentials(&trust);
	static const char *const spoken[] = { "NORMAL:-VERS-ALL:+VERS-TLS1.3",
					      "NORMAL:-VERS-ALL:+VERS-TLS1.2" };
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(spoken); i++) {
		loam_auto_fd int fd = dial();
		gnutls_session_t session = tls_dial(fd, trust, spoken[i]);
		assert_non_null(session);
		static const char request[] = "GET /who HTTP/1.1\r\n" HOST CLOSE "\r\n";
		assert_non_null(strstr(tls_talk(session, request, strlen(request)),
				       "127.0.0.1 tls https://h local"));
		gnutls_deinit(session);
	}
	loam_auto_fd int old = dial();
	assert_null(tls_dial(old, trust, "LEGACY:-VERS-ALL:+VERS-TLS1.1"));
	/* a failing sink is answered by hand through the session */
	loam_auto_fd int fd = dial();
	gnutls_session_t session = tls_dial(fd, trust, spoken[0]);
	size_t bytes = 3u << 20;
	char *body = calloc(1, bytes);
	snprintf(body, 128, "PUT /failing/a HTTP/1.1\r\n" HOST "Content-Length: 100000000\r\n\r\n");
	assert_non_null(strstr(tls_talk(session, body, bytes), "over the quota of this test"));
	free(body);
	gnutls_deinit(session);
	gnutls_certificate_free_credentials(trust);
	stop(NULL);

	struct loam_err err = { 0 };
	struct loam_http_options broken = {
		.listen = "127.0.0.1:0", .tls_cert = key, .tls_key = cert, .workers = 1
	};
	assert_int_equal(loam_http_start(&broken, &http, &err), -LOAM_E_INVALID);
	loam_err_clear(&err);
	broken.tls_key = "";
	assert_int_equal(loam_http_start(&broken, &http, &err), -LOAM_E_INVALID);
	unlink(cert);
	unlink(key);
	rmdir(dir);
}

/* ---- credentials over plain HTTP --------------------------------------------------------- */

static void credentials_stay_off_plain_http_from_other_hosts(void **state)
{
	struct loam_http server = { .options = { .plain_http = false } };
	struct http_connection far = { .http = &server };
	struct http_exchange exchange = { .connection = &far };
	loam_web_response_init(&exchange.web.response);
	loam_http_answer_status(&exchange, 401, "who are you?\n");
	assert_int_equal(exchange.web.response.status, 403);
	assert_non_null(strstr(loam_buf_text(&exchange.web.response.body), "server.plainHttp"));
	assert_non_null(strstr(loam_buf_text(&exchange.web.response.body), "--tls-cert"));
	exchange.web.peer_is_local = true;
	loam_http_answer_status(&exchange, 401, "who are you?\n");
	assert_int_equal(exchange.web.response.status, 401);
	loam_web_response_release(&exchange.web.response);
}

#define PLAIN(test) cmocka_unit_test_setup_teardown(test, start_plain, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		PLAIN(http_1_host_is_one_and_valid),
		PLAIN(http_2_length_and_coding_do_not_meet),
		PLAIN(http_3_a_length_is_digits),
		PLAIN(http_4_a_chunk_size_is_hex),
		PLAIN(http_5_header_names_are_tokens),
		PLAIN(http_6_paths_are_decoded_once),
		PLAIN(http_7_targets_name_this_server),
		PLAIN(http_8_only_http_1_is_spoken),
		PLAIN(http_9_a_refusal_comes_before_continue),
		PLAIN(http_10_gzip_is_inflated_up_to_the_limit),
		PLAIN(http_11_slow_heads_and_bodies_end_in_408),
		PLAIN(a_kept_connection_has_a_fresh_time_for_its_next_head),
		cmocka_unit_test(http_13_secrets_leave_no_trace_in_the_log),
		PLAIN(http_15_a_surplus_is_a_request_of_its_own),
		PLAIN(http_16_lfs_json_has_its_media_types),
		PLAIN(limits_hold_at_the_cap_and_one_over),
		PLAIN(bodies_arrive_whole_in_either_framing),
		PLAIN(a_small_refused_body_keeps_the_connection),
		PLAIN(an_error_in_the_middle_of_a_body_is_read_by_the_client),
		PLAIN(streams_files_and_cuts_reach_the_client),
		PLAIN(errors_have_a_request_id_and_no_inside_knowledge),
		PLAIN(a_vanished_client_is_noticed_while_the_handler_waits),
		cmocka_unit_test(a_proxy_that_is_trusted_names_scheme_host_and_peer),
		cmocka_unit_test(one_address_has_its_share_of_unfinished_requests),
		cmocka_unit_test(requests_over_the_workers_wait_for_a_place),
		cmocka_unit_test(stopping_lets_running_requests_finish),
		cmocka_unit_test(a_stop_cuts_what_does_not_finish_in_time),
		PLAIN(a_taken_port_is_said),
		cmocka_unit_test(tls_serves_1_2_and_1_3_only),
		cmocka_unit_test(credentials_stay_off_plain_http_from_other_hosts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
