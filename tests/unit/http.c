/*
 * The HTTP server against hostile input over real sockets: the http-N lines of reliability.md §4
 * that are not a handler's, whole and byte by byte, and the limits at the cap and one over.
 */
#include "core/auto.h"
#include "core/clock.h"
#include "server/http_internal.h"
#include "tests/support/web_server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>
#include <zlib.h>

static void http_1_host_is_one_and_valid(void **state)
{
	loam_test_expect("GET /who HTTP/1.1\r\n\r\n", "400");
	loam_test_expect("GET /who HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", "400");
	loam_test_expect("GET /who HTTP/1.1\r\nHost: a b\r\n\r\n", "400");
	loam_test_expect("GET /who HTTP/1.1\r\nHost:\r\n\r\n", "400");
	loam_test_expect("GET /who HTTP/1.1\r\nHost: a\r\n" CLOSE "\r\n", "200");
}

static void http_2_length_and_coding_do_not_meet(void **state)
{
	int before = loam_test_web.begun;
	loam_test_expect("POST /echo HTTP/1.1\r\n" HOST
			 "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n"
			 "\r\n0\r\n\r\nGET /who HTTP/1.1\r\n" HOST "\r\n",
			 "400");
	loam_test_expect("POST /echo HTTP/1.1\r\n" HOST
			 "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n"
			 "\r\n0\r\n\r\n",
			 "400");
	loam_test_expect("POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: xchunked\r\n\r\n",
			 "400");
	loam_test_expect("POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip, chunked\r\n\r\n",
			 "400");
	loam_test_expect("POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n"
			 "Transfer-Encoding: identity\r\n\r\n",
			 "400");
	loam_test_expect("POST /echo HTTP/1.1\r\n" HOST
			 "Content-Length: 4\r\nContent-Length: 4\r\n\r\nabcd",
			 "400");
	assert_int_equal(loam_test_web.begun, before);
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
		loam_test_expect(request, "400");
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
		loam_test_expect(request, "400");
	}
	loam_test_expect("POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"
			 "5\r\nhelloXX0\r\n\r\n",
			 "400");
}

static void http_5_header_names_are_tokens(void **state)
{
	loam_test_expect("GET /who HTTP/1.1\r\n" HOST "X : y\r\n\r\n", "400");
	loam_test_expect("GET /who HTTP/1.1\r\n" HOST "X\ty: y\r\n\r\n", "400");
	loam_test_expect("GET /who HTTP/1.1\r\n" HOST "X\xc3\xa9: y\r\n\r\n", "400");
	loam_test_expect("GET /who HTTP/1.1\r\n" HOST "X: y\r\n more\r\n\r\n", "400");
	loam_test_expect("GET /who HTTP/1.1\r\n" HOST "X: y\r\n\tmore\r\nZ: z\r\n\r\n", "400");
	loam_test_expect("GET /who HTTP/1.1\r\n folded: x\r\n" HOST "\r\n", "400");
	loam_test_expect("GET /who HTTP/1.1\r\n" HOST ": y\r\n\r\n", "400");
	loam_test_expect("GET /who HTTP/1.1\r\n" HOST "noColon\r\n\r\n", "400");
	loam_test_expect("GET /who HTTP/1.1\n" HOST "\r\n", "400");
	loam_test_expect("GET /who HTTP/1.1\r\nHost: h\n\r\n", "400");
	static const char nul_name[] = "GET /who HTTP/1.1\r\n" HOST "X\0y: z\r\n\r\n";
	static const char nul_value[] = "GET /who HTTP/1.1\r\n" HOST "X: a\0b\r\n\r\n";
	static const char nul_line[] = "GET /who HTTP/1.1\r\n" HOST "\0X: a\r\n\r\n";
	static const char nul_target[] = "GET /who\0/x HTTP/1.1\r\n" HOST "\r\n";
	assert_non_null(
		strstr(loam_test_talk_bytes(nul_name, sizeof(nul_name) - 1, false), " 400 "));
	assert_non_null(
		strstr(loam_test_talk_bytes(nul_value, sizeof(nul_value) - 1, false), " 400 "));
	assert_non_null(
		strstr(loam_test_talk_bytes(nul_line, sizeof(nul_line) - 1, false), " 400 "));
	assert_non_null(
		strstr(loam_test_talk_bytes(nul_target, sizeof(nul_target) - 1, false), " 400 "));
	loam_test_expect("GET  /who HTTP/1.1\r\n" HOST "\r\n", "400");
	loam_test_expect("GET /who  HTTP/1.1\r\n" HOST "\r\n", "400");
	loam_test_expect("GET /wh o HTTP/1.1\r\n" HOST "\r\n", "400");
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
					   "/who%2fx",
					   "/who?a=%00",
					   "/who?a=1&b=%0a",
					   "/who?a=%zz",
					   "/who?a=%2" };
	char request[256];
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(bad); i++) {
		snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\n" HOST CLOSE "\r\n", bad[i]);
		loam_test_expect(request, "400");
	}
	loam_test_expect("GET /%77ho HTTP/1.1\r\n" HOST CLOSE "\r\n", "200");
	loam_test_expect("GET /who?a=%2f..%2f&%C3%A9 HTTP/1.1\r\n" HOST CLOSE "\r\n", "200");
	loam_test_expect("GET /qwen/t%69ny.git/info/refs?service=x HTTP/1.1\r\n" HOST CLOSE "\r\n",
			 "200");
	assert_non_null(strstr(loam_test_reply, "qwen/tiny.git"));
}

static void http_7_targets_name_this_server(void **state)
{
	loam_test_expect("GET http://other.example/who HTTP/1.1\r\n" HOST CLOSE "\r\n", "400");
	loam_test_expect("GET http://u:p@h/who HTTP/1.1\r\n" HOST CLOSE "\r\n", "400");
	loam_test_expect("GET h:80 HTTP/1.1\r\n" HOST CLOSE "\r\n", "400");
	loam_test_expect("CONNECT h:80 HTTP/1.1\r\n" HOST CLOSE "\r\n", "501");
	loam_test_expect("GET * HTTP/1.1\r\n" HOST CLOSE "\r\n", "400");
	loam_test_expect("OPTIONS * HTTP/1.1\r\n" HOST CLOSE "\r\n", "204");
	loam_test_expect("GET http://h/who HTTP/1.1\r\n" HOST CLOSE "\r\n", "200");
}

static void http_8_only_http_1_is_spoken(void **state)
{
	loam_test_expect("GET /who HTTP/0.9\r\n" HOST "\r\n", "505");
	loam_test_expect("GET /who HTTP/1.10\r\n" HOST "\r\n", "400");
	loam_test_expect("GET /who HTTP/1.2\r\n" HOST "\r\n", "505");
	loam_test_expect("GET /who HTTP/2.0\r\n" HOST "\r\n", "505");
	loam_test_expect("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505");
	loam_test_expect("GET /who\r\n\r\n", "400");
	loam_test_expect("GET /who HTTP/1.0\r\n\r\n", "200");
}

static void http_9_a_refusal_comes_before_continue(void **state)
{
	loam_test_expect("PUT /sink/a HTTP/1.1\r\n" HOST "Content-Length: 5\r\nExpect: foo\r\n\r\n",
			 "417");
	loam_test_expect("PUT /sink/a HTTP/1.1\r\n" HOST
			 "Content-Length: 5000000\r\nX-Refuse: 1\r\n"
			 "Expect: 100-continue\r\n\r\n",
			 "403");
	loam_test_expect("PUT /sink/a HTTP/1.1\r\n" HOST "Content-Length: 5\r\nX-Refuse: 1\r\n"
			 "Expect: 100-continue\r\n\r\n",
			 "403");
	loam_test_expect("POST /echo HTTP/1.1\r\n" HOST "Content-Length: 1048577\r\n"
			 "Expect: 100-continue\r\n\r\n",
			 "413");
	loam_auto_fd int fd = loam_test_dial();
	static const char head[] = "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 5\r\n" CLOSE
				   "Expect: 100-continue\r\n\r\n";
	loam_test_say(fd, head, strlen(head));
	assert_true(loam_test_hear(fd, "\r\n\r\n"));
	assert_string_equal(loam_test_reply, "HTTP/1.1 100 Continue\r\n\r\n");
	loam_test_say(fd, "hello", 5);
	assert_true(loam_test_hear(fd, NULL));
	assert_non_null(strstr(loam_test_reply, "200 OK"));
	assert_non_null(strstr(loam_test_reply, "hello"));
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
	assert_non_null(strstr(loam_test_talk_bytes(request, all, true), "hello gzip"));

	size_t bomb_bytes = 200u << 20;
	char *zeros = calloc(1, bomb_bytes);
	bytes = gzip_into(packed, sizeof(packed), zeros, bomb_bytes);
	free(zeros);
	all = put_request(request, sizeof(request), "Content-Encoding: x-gzip\r\n", packed, bytes);
	assert_non_null(strstr(loam_test_talk_bytes(request, all, false), " 413 "));

	bytes = gzip_into(packed, sizeof(packed), "hello gzip", 10);
	all = put_request(request, sizeof(request), "Content-Encoding: gzip\r\n", packed,
			  bytes - 3);
	assert_non_null(strstr(loam_test_talk_bytes(request, all, false), " 400 "));
	packed[bytes] = 'x';
	all = put_request(request, sizeof(request), "Content-Encoding: gzip\r\n", packed,
			  bytes + 1);
	assert_non_null(strstr(loam_test_talk_bytes(request, all, false), " 400 "));
	all = put_request(request, sizeof(request), "Content-Encoding: gzip\r\n", "not gzip", 8);
	assert_non_null(strstr(loam_test_talk_bytes(request, all, false), " 400 "));
	all = put_request(request, sizeof(request), "Content-Encoding: br\r\n", "x", 1);
	assert_non_null(strstr(loam_test_talk_bytes(request, all, false), " 415 "));
}

static void http_11_slow_heads_and_bodies_end_in_408(void **state)
{
	int before = loam_test_web.ended;
	assert_non_null(strstr(loam_test_talk("GET /who HTTP/1.1\r\nHo"), " 408 "));
	assert_non_null(strstr(loam_test_talk("PUT /sink/a HTTP/1.1\r\n" HOST
					      "Content-Length: 9\r\n\r\nabc"),
			       " 408 "));
	loam_test_wait_ended(before + 1); /* what was staged is freed */

	loam_auto_fd int fd = loam_test_dial(); /* a byte now and then does not help a head */
	uint64_t from_ms = loam_clock_ms();
	for (int i = 0; i < 20 && loam_clock_ms() - from_ms < 1500; i++) {
		loam_test_say(fd, "G", 1);
		loam_clock_sleep_ms(100);
	}
	assert_true(loam_test_hear(fd, NULL));
	loam_auto_fd int kept = loam_test_dial(); /* but it helps a body */
	static const char head[] =
		"PUT /sink/a HTTP/1.1\r\n" HOST CLOSE "Content-Length: 4\r\n\r\n";
	loam_test_say(kept, head, strlen(head));
	for (int i = 0; i < 4; i++) {
		loam_clock_sleep_ms(600);
		loam_test_say(kept, "x", 1);
	}
	assert_true(loam_test_hear(kept, NULL));
	assert_non_null(strstr(loam_test_reply, "200 OK"));
}

static void a_kept_connection_has_a_fresh_time_for_its_next_head(void **state)
{
	static const char request[] = "GET /who HTTP/1.1\r\n" HOST "\r\n";
	loam_auto_fd int fd = loam_test_dial();
	loam_test_say(fd, request, strlen(request));
	assert_true(loam_test_hear(fd, "local -"));
	loam_clock_sleep_ms(750); /* over head_ms, under idle_ms */
	loam_test_say(fd, request, strlen(request));
	assert_true(loam_test_hear(fd, "local -"));
	loam_test_say(fd, request, 10);
	assert_true(loam_test_hear(fd, NULL));
	assert_non_null(strstr(loam_test_reply, " 408 "));
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
	loam_test_talk("POST /echo HTTP/1.1\r\n" HOST
		       "Content-Length: 5\r\nAuthorization: Basic eDp5\r\n\r\n"
		       "helloGET /admin HTTP/1.1\r\n" HOST CLOSE "\r\n");
	assert_non_null(strstr(loam_test_reply, "200 OK"));
	assert_non_null(strstr(loam_test_reply, "404 Not Found"));
}

static void http_16_lfs_json_has_its_media_types(void **state)
{
	loam_test_expect("POST /json HTTP/1.1\r\n" HOST CLOSE "Content-Type: text/html\r\n"
			 "Content-Length: 2\r\n\r\n{}",
			 "415");
	assert_non_null(strstr(loam_test_reply, "application/vnd.git-lfs+json"));
	assert_non_null(strstr(loam_test_reply, "\"request_id\""));
	loam_test_expect("POST /json HTTP/1.1\r\n" HOST CLOSE
			 "Content-Type: application/vnd.git-lfs+json\r\n"
			 "Accept: text/plain\r\nContent-Length: 2\r\n\r\n{}",
			 "406");
	loam_test_expect("POST /json HTTP/1.1\r\n" HOST CLOSE
			 "Content-Type: application/vnd.git-lfs+json; charset=utf-8\r\n"
			 "Accept: application/vnd.git-lfs+json\r\nContent-Length: 2\r\n\r\n{}",
			 "200");
	loam_test_expect("POST /json HTTP/1.1\r\n" HOST CLOSE
			 "Accept: */*\r\nContent-Length: 2\r\n\r\n{}",
			 "200");
}

static void limits_hold_at_the_cap_and_one_over(void **state)
{
	static char request[200u << 10];
	size_t at = (size_t)snprintf(request, sizeof(request), "GET /who?");
	memset(request + at, 'a', 8100 - at);
	snprintf(request + 8100, 200, " HTTP/1.1\r\n" HOST CLOSE "\r\n");
	assert_non_null(strstr(loam_test_talk(request), " 200 "));
	memset(request + at, 'a', 8400 - at);
	snprintf(request + 8400, 200, " HTTP/1.1\r\n" HOST CLOSE "\r\n");
	assert_non_null(strstr(loam_test_talk(request), " 414 "));
	memset(request + at, 'a', 150000 - at);
	snprintf(request + 150000, 200, " HTTP/1.1\r\n" HOST CLOSE "\r\n");
	assert_non_null(strstr(loam_test_talk(request), " 414 "));
	for (int lines = 98; lines <= 99; lines++) { /* and Host and Connection */
		at = (size_t)snprintf(request, sizeof(request), "GET /who HTTP/1.1\r\n" HOST CLOSE);
		for (int i = 0; i < lines; i++)
			at += (size_t)snprintf(request + at, 64, "X-%d: y\r\n", i);
		snprintf(request + at, 8, "\r\n");
		assert_non_null(strstr(loam_test_talk(request), lines == 98 ? " 200 " : " 431 "));
	}
	at = (size_t)snprintf(request, sizeof(request), "GET /who HTTP/1.1\r\n" HOST "X: ");
	memset(request + at, 'a', 33000);
	snprintf(request + at + 33000, 8, "\r\n\r\n");
	assert_non_null(strstr(loam_test_talk(request), " 431 "));
	memset(request + at, 'a', 190000);
	snprintf(request + at + 190000, 8, "\r\n\r\n");
	assert_non_null(strstr(loam_test_talk(request), " 431 "));
}

#define PLAIN(test) \
	cmocka_unit_test_setup_teardown(test, loam_test_web_setup, loam_test_web_teardown)

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
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
