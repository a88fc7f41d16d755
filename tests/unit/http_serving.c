/*
 * The HTTP server at work: bodies, answers, clients that vanish, proxies, shares of an address,
 * stopping, and TLS with a pair that openssl makes here.
 */
#include "core/auto.h"
#include "core/clock.h"
#include "core/process.h"
#include "server/http_internal.h"
#include "tests/support/web_server.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <gnutls/gnutls.h>
#include <string.h>
#include <unistd.h>

static void bodies_arrive_whole_in_either_framing(void **state)
{
	assert_non_null(
		strstr(loam_test_talk("POST /echo HTTP/1.1\r\n" HOST CLOSE
				      "Transfer-Encoding: chunked\r\n\r\n"
				      "5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nTrailer: x\r\n\r\n"),
		       "hello world"));
	loam_test_expect("POST /echo HTTP/1.1\r\n" HOST CLOSE "Content-Length: 0\r\n\r\n", "200");
	loam_test_expect("GET /who HTTP/1.1\r\n" HOST CLOSE "Content-Length: 3\r\n\r\nabc", "413");
	loam_test_expect("POST /nothing HTTP/1.1\r\n" HOST CLOSE "Content-Length: 3\r\n\r\nabc",
			 "404");
	loam_test_expect("DELETE /echo HTTP/1.1\r\n" HOST CLOSE "\r\n", "405");
	assert_non_null(strstr(loam_test_reply, "Allow: POST, OPTIONS"));
}

static void a_small_refused_body_keeps_the_connection(void **state)
{
	loam_test_talk("PUT /sink/a HTTP/1.1\r\n" HOST
		       "X-Refuse: 1\r\nContent-Length: 4\r\n\r\n0000"
		       "PUT /sink/a HTTP/1.1\r\n" HOST CLOSE "Content-Length: 4\r\n\r\n0000");
	assert_non_null(strstr(loam_test_reply, "403 Forbidden"));
	assert_non_null(strstr(loam_test_reply, "200 OK"));
}

/* A client that sends all before it reads still gets the text, not a reset. */
static void an_error_in_the_middle_of_a_body_is_read_by_the_client(void **state)
{
	static char zeros[256u << 10];
	loam_auto_fd int fd = loam_test_dial();
	static const char head[] =
		"PUT /failing/a HTTP/1.1\r\n" HOST "Content-Length: 1000000000\r\n\r\n";
	int before = loam_test_web.ended;
	loam_test_say(fd, head, strlen(head));
	for (int i = 0; i < 40; i++)
		loam_test_say(fd, zeros, sizeof(zeros));
	assert_true(loam_test_hear(fd, NULL));
	assert_non_null(strstr(loam_test_reply, "507 "));
	assert_non_null(strstr(loam_test_reply, "over the quota of this test"));
	loam_test_wait_ended(before + 1);
	loam_auto_fd int second = loam_test_dial();
	static const char chunked[] = "PUT /sink/a HTTP/1.1\r\n" HOST "X-Refuse: 1\r\n"
				      "Transfer-Encoding: chunked\r\n\r\n40000\r\n";
	loam_test_say(second, chunked, strlen(chunked));
	loam_test_say(second, zeros, sizeof(zeros));
	assert_true(loam_test_hear(second, NULL));
	assert_non_null(strstr(loam_test_reply, "403 Forbidden"));
	assert_non_null(strstr(loam_test_reply, "refused before the body"));
}

static void streams_files_and_cuts_reach_the_client(void **state)
{
	loam_test_talk("GET /lines HTTP/1.1\r\n" HOST CLOSE "\r\n");
	assert_non_null(strstr(loam_test_reply, "Transfer-Encoding: chunked"));
	assert_non_null(strstr(loam_test_reply, "line\n"));
	assert_non_null(strstr(loam_test_reply, "\r\n0\r\n\r\n"));
	loam_test_talk("GET /known HTTP/1.1\r\n" HOST CLOSE "\r\n");
	assert_non_null(strstr(loam_test_reply, "Content-Length: 15\r\n"));
	assert_non_null(strstr(loam_test_reply, "line\nline\nline\n"));
	loam_test_talk("HEAD /known HTTP/1.1\r\n" HOST CLOSE "\r\n");
	assert_non_null(strstr(loam_test_reply, "Content-Length: 15\r\n"));
	assert_null(strstr(loam_test_reply, "line\n"));
	loam_test_talk("GET /cut HTTP/1.1\r\n" HOST "\r\n");
	assert_non_null(strstr(loam_test_reply, "line\n"));
	assert_null(strstr(loam_test_reply, "\r\n0\r\n\r\n")); /* no clean end */
	loam_test_talk("GET /file HTTP/1.1\r\n" HOST CLOSE "\r\n");
	assert_non_null(strstr(loam_test_reply, "206 "));
	assert_non_null(strstr(loam_test_reply, "\r\n\r\n3456"));
	assert_non_null(strstr(loam_test_reply, "Content-Length: 4\r\n"));
}

static void errors_have_a_request_id_and_no_inside_knowledge(void **state)
{
	loam_test_talk("GET /fail/500 HTTP/1.1\r\n" HOST CLOSE "\r\n");
	assert_non_null(strstr(loam_test_reply, "500 "));
	assert_non_null(strstr(loam_test_reply, "X-Request-Id: "));
	assert_null(strstr(loam_test_reply, "/secret/path"));
	loam_test_talk("GET /fail/401 HTTP/1.1\r\n" HOST CLOSE "\r\n");
	assert_non_null(strstr(loam_test_reply, "WWW-Authenticate: Basic realm=\"Loam\""));
	loam_test_talk("GET /lfsfail/401 HTTP/1.1\r\n" HOST CLOSE "\r\n");
	assert_non_null(strstr(loam_test_reply, "LFS-Authenticate: Basic realm=\"Loam\""));
	assert_non_null(strstr(loam_test_reply, "{\"message\":"));
}

static void a_vanished_client_is_noticed_while_the_handler_waits(void **state)
{
	static const char request[] = "GET /gone/a HTTP/1.1\r\n" HOST "\r\n";
	atomic_store(&loam_test_web.sunk, 0);
	int fd = loam_test_dial();
	loam_test_say(fd, request, strlen(request));
	loam_clock_sleep_ms(100);
	close(fd);
	for (int i = 0; i < 100 && atomic_load(&loam_test_web.sunk) == 0; i++)
		loam_clock_sleep_ms(20);
	assert_int_equal(atomic_load(&loam_test_web.sunk), 77);
	int before = loam_test_web.ended;
	fd = loam_test_dial(); /* and in the middle of a body */
	static const char head[] = "PUT /sink/a HTTP/1.1\r\n" HOST "Content-Length: 9\r\n\r\nabc";
	loam_test_say(fd, head, strlen(head));
	loam_clock_sleep_ms(100);
	close(fd);
	loam_test_wait_ended(before + 1);
}

static void a_proxy_that_is_trusted_names_scheme_host_and_peer(void **state)
{
	static const char request[] =
		"GET /who HTTP/1.1\r\n" HOST CLOSE "X-Forwarded-For: 9.9.9.9, 10.1.2.3\r\n"
		"X-Forwarded-Proto: https\r\nX-Forwarded-Host: hub.lab\r\n\r\n";
	loam_test_web_start((struct loam_http_options){ .listen = "127.0.0.1:0" });
	assert_non_null(strstr(loam_test_talk(request), "127.0.0.1 plain http://h local -"));
	loam_test_web_teardown(NULL);
	loam_test_web_start((struct loam_http_options){ .trusted_proxy = "10.0.0.1 127.0.0.1" });
	assert_non_null(strstr(loam_test_talk(request), "10.1.2.3 tls https://hub.lab local -"));
	loam_test_web_teardown(NULL);
	loam_test_web_start((struct loam_http_options){ .url = "https://loam.example/" });
	assert_non_null(
		strstr(loam_test_talk(request), "127.0.0.1 plain https://loam.example local -"));
	loam_test_web_teardown(NULL);
}

static void one_address_has_its_share_of_unfinished_requests(void **state)
{
	int fds[9];
	loam_test_web_start((struct loam_http_options){ .per_address_max = 8, .head_ms = 5000 });
	for (int i = 0; i < 8; i++) {
		fds[i] = loam_test_dial();
		loam_test_say(fds[i], "GET", 3);
	}
	loam_clock_sleep_ms(200);
	fds[8] = loam_test_dial();
	assert_true(loam_test_hear(fds[8], NULL));
	assert_non_null(strstr(loam_test_reply, "429 "));
	for (int i = 0; i < 9; i++)
		close(fds[i]);
	loam_clock_sleep_ms(300);
	assert_non_null(
		strstr(loam_test_talk("GET /who HTTP/1.1\r\n" HOST CLOSE "\r\n"), "200 OK"));
	loam_test_web_teardown(NULL);
}

static void requests_over_the_workers_wait_for_a_place(void **state)
{
	static const char request[] = "GET /slow/a HTTP/1.1\r\n" HOST CLOSE "\r\n";
	int fds[3];
	loam_test_web_start((struct loam_http_options){ .workers = 1 });
	uint64_t from_ms = loam_clock_ms();
	for (int i = 0; i < 3; i++) {
		fds[i] = loam_test_dial();
		loam_test_say(fds[i], request, strlen(request));
	}
	for (int i = 0; i < 3; i++) {
		assert_true(loam_test_hear(fds[i], NULL));
		assert_non_null(strstr(loam_test_reply, "slow"));
		close(fds[i]);
	}
	assert_true(loam_clock_ms() - from_ms >= 2000);
	loam_test_web_teardown(NULL);
}

static int dial_from(const char *address)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in from = { .sin_family = AF_INET, .sin_addr.s_addr = inet_addr(address) };
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = htons(loam_test_web.port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	assert_int_equal(bind(fd, (struct sockaddr *)&from, sizeof(from)), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	return fd;
}

/* The bodies never end, so none of the places that are taken comes free. */
static void one_address_never_has_all_places(void **state)
{
	static const char waits[] = "PUT /sink/a HTTP/1.1\r\n" HOST "Content-Length: 9\r\n\r\nabc";
	static const char request[] = "GET /slow/a HTTP/1.1\r\n" HOST CLOSE "\r\n";
	int fds[6];
	loam_test_web_start((struct loam_http_options){ .workers = 4 });
	int before = atomic_load(&loam_test_web.begun);
	for (int i = 0; i < 6; i++) {
		fds[i] = dial_from("127.0.0.3");
		loam_test_say(fds[i], waits, strlen(waits));
	}
	for (int i = 0; i < 200 && atomic_load(&loam_test_web.begun) < before + 3; i++)
		loam_clock_sleep_ms(20);
	loam_clock_sleep_ms(200); /* for a fourth, that must not come */
	assert_int_equal(atomic_load(&loam_test_web.begun), before + 3);
	loam_auto_fd int other = dial_from("127.0.0.2");
	loam_test_say(other, request, strlen(request));
	assert_true(loam_test_hear(other, NULL));
	assert_non_null(strstr(loam_test_reply, "slow"));
	for (int i = 0; i < 6; i++)
		close(fds[i]);
	loam_test_web_teardown(NULL);
}

/* F07 */
static void stopping_lets_running_requests_finish(void **state)
{
	static const char request[] = "GET /slow/a HTTP/1.1\r\n" HOST "\r\n";
	loam_test_web_start((struct loam_http_options){ .workers = 4 });
	loam_auto_fd int idle = loam_test_dial();
	static const char quick[] = "GET /who HTTP/1.1\r\n" HOST "\r\n";
	loam_test_say(idle, quick, strlen(quick));
	assert_true(loam_test_hear(idle, "local -"));
	loam_auto_fd int fd = loam_test_dial();
	loam_test_say(fd, request, strlen(request));
	loam_clock_sleep_ms(150);
	assert_true(loam_http_stop(loam_test_web.http, 30000, NULL));
	assert_true(loam_test_hear(fd, NULL));
	assert_non_null(strstr(loam_test_reply, "slow"));
	assert_non_null(strstr(loam_test_reply, "Connection: close"));
	assert_true(loam_test_hear(idle, NULL));
	assert_int_equal(loam_test_reply_bytes, 0);
}

static void a_stop_cuts_what_does_not_finish_in_time(void **state)
{
	static const char head[] = "PUT /sink/a HTTP/1.1\r\n" HOST "Content-Length: 9\r\n\r\nabc";
	loam_test_web_start((struct loam_http_options){ .workers = 4 });
	loam_auto_fd int fd = loam_test_dial();
	loam_test_say(fd, head, strlen(head));
	loam_clock_sleep_ms(100);
	int before = loam_test_web.ended;
	assert_true(loam_http_stop(loam_test_web.http, 300, NULL));
	loam_test_wait_ended(before + 1);
}

static void a_taken_port_is_said(void **state)
{
	struct loam_err err = { 0 };
	struct loam_http *second;
	char address[64];
	snprintf(address, sizeof(address), "127.0.0.1:%u", (unsigned)loam_test_web.port);
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
	loam_test_reply_bytes = 0;
	while (bytes > 0) {
		ssize_t put = gnutls_record_send(session, text, bytes < 16384 ? bytes : 16384);
		if (put <= 0)
			break;
		text += put;
		bytes -= (size_t)put;
	}
	for (;;) {
		ssize_t got =
			gnutls_record_recv(session, loam_test_reply + loam_test_reply_bytes,
					   sizeof(loam_test_reply) - 1 - loam_test_reply_bytes);
		if (got <= 0 && gnutls_error_is_fatal((int)got))
			break;
		if (got == 0)
			break;
		loam_test_reply_bytes += got > 0 ? (size_t)got : 0;
	}
	loam_test_reply[loam_test_reply_bytes] = '\0';
	return loam_test_reply;
}

static void tls_serves_1_2_and_1_3_only(void **state)
{
	char dir[] = "/tmp/loam-tls-XXXXXX", cert[128], key[128];
	assert_non_null(mkdtemp(dir));
	make_pair(dir, cert, key);
	loam_test_web_start((struct loam_http_options){ .tls_cert = cert, .tls_key = key });
	gnutls_certificate_credentials_t trust;
	gnutls_certificate_allocate_credentials(&trust);
	static const char *const spoken[] = { "NORMAL:-VERS-ALL:+VERS-TLS1.3",
					      "NORMAL:-VERS-ALL:+VERS-TLS1.2" };
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(spoken); i++) {
		loam_auto_fd int fd = loam_test_dial();
		gnutls_session_t session = tls_dial(fd, trust, spoken[i]);
		assert_non_null(session);
		static const char request[] = "GET /who HTTP/1.1\r\n" HOST CLOSE "\r\n";
		assert_non_null(strstr(tls_talk(session, request, strlen(request)),
				       "127.0.0.1 tls https://h local"));
		gnutls_deinit(session);
	}
	loam_auto_fd int old = loam_test_dial();
	assert_null(tls_dial(old, trust, "LEGACY:-VERS-ALL:+VERS-TLS1.1"));
	/* a failing sink is answered by hand through the session */
	loam_auto_fd int fd = loam_test_dial();
	gnutls_session_t session = tls_dial(fd, trust, spoken[0]);
	size_t bytes = 3u << 20;
	char *body = calloc(1, bytes);
	snprintf(body, 128, "PUT /failing/a HTTP/1.1\r\n" HOST "Content-Length: 100000000\r\n\r\n");
	assert_non_null(strstr(tls_talk(session, body, bytes), "over the quota of this test"));
	free(body);
	gnutls_deinit(session);
	gnutls_certificate_free_credentials(trust);
	loam_test_web_teardown(NULL);

	struct loam_err err = { 0 };
	struct loam_http_options broken = {
		.listen = "127.0.0.1:0", .tls_cert = key, .tls_key = cert, .workers = 1
	};
	assert_int_equal(loam_http_start(&broken, &loam_test_web.http, &err), -LOAM_E_INVALID);
	loam_err_clear(&err);
	broken.tls_key = "";
	assert_int_equal(loam_http_start(&broken, &loam_test_web.http, &err), -LOAM_E_INVALID);
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

#define PLAIN(test) \
	cmocka_unit_test_setup_teardown(test, loam_test_web_setup, loam_test_web_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		PLAIN(bodies_arrive_whole_in_either_framing),
		PLAIN(a_small_refused_body_keeps_the_connection),
		PLAIN(an_error_in_the_middle_of_a_body_is_read_by_the_client),
		PLAIN(streams_files_and_cuts_reach_the_client),
		PLAIN(errors_have_a_request_id_and_no_inside_knowledge),
		PLAIN(a_vanished_client_is_noticed_while_the_handler_waits),
		cmocka_unit_test(a_proxy_that_is_trusted_names_scheme_host_and_peer),
		cmocka_unit_test(one_address_has_its_share_of_unfinished_requests),
		cmocka_unit_test(requests_over_the_workers_wait_for_a_place),
		cmocka_unit_test(one_address_never_has_all_places),
		cmocka_unit_test(stopping_lets_running_requests_finish),
		cmocka_unit_test(a_stop_cuts_what_does_not_finish_in_time),
		PLAIN(a_taken_port_is_said),
		cmocka_unit_test(tls_serves_1_2_and_1_3_only),
		cmocka_unit_test(credentials_stay_off_plain_http_from_other_hosts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
