/*
 * Bytes of one connection to the real HTTP server: framing guard, routes, bodies. A client that
 * sends N lines hears at most N answers, each of them one of ours, and the connection always ends.
 */
#include "server/http.h"
#include "tests/fuzz/fuzz.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#define ANSWER_BYTES_MAX (1u << 20)
#define INPUT_BYTES_MAX	 32768

static struct loam_http *http;
static uint16_t port;

static int finish(struct loam_web_request *web, struct loam_err *err)
{
	for (size_t i = 0; i < web->param_count; i++)
		loam_assert(web->params[i].value && !strstr(web->params[i].value, "/../"));
	loam_web_answer_text(web, 200, "");
	return loam_buf_add(&web->response.body, web->body.data, web->body.bytes, err);
}

static const struct loam_web_handler echo = { .finish = finish };
static const struct loam_web_route rows[] = {
	{ LOAM_GET, "/{repo}/info/refs", 0, LOAM_ERRORS_TEXT, &echo },
	{ LOAM_POST, "/{repo}/info/lfs/objects/batch", 65536, LOAM_ERRORS_LFS, &echo },
	{ LOAM_PUT, "/_lfs/{oid}", 65536, LOAM_ERRORS_LFS, &echo },
};
static const struct loam_route_table table = { rows, LOAM_ARRAY_COUNT(rows) };

static void start(void)
{
	struct loam_err err = { 0 };
	const struct loam_http_options options = { .listen = "127.0.0.1:0",
						   .workers = 4,
						   .head_ms = 2000,
						   .idle_ms = 2000,
						   .tables = &table,
						   .table_count = 1 };
	loam_log_set_level(LOAM_LOG_ERROR);
	loam_assert(loam_http_start(&options, &http, &err) == 0);
	port = (uint16_t)strtoul(strrchr(loam_http_address(http), ':') + 1, NULL, 10);
}

/* Another local address each time, so that ports in TIME_WAIT do not run out. */
static int dial(void)
{
	static uint32_t last;
	struct sockaddr_in from = { .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(0x7F000002u + last++ % 20000) };
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = htons(port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	loam_assert(fd >= 0 && bind(fd, (struct sockaddr *)&from, sizeof(from)) == 0);
	loam_assert(connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0);
	return fd;
}

static size_t count(const char *text, size_t bytes, const char *what)
{
	size_t found = 0, what_bytes = strlen(what);
	const char *at = text, *end = text + bytes;
	while (at < end && (at = memmem(at, (size_t)(end - at), what, what_bytes))) {
		found++;
		at += what_bytes;
	}
	return found;
}

/* The status line is ours, and no answer tells of a header that a value smuggled in. */
static void check(const uint8_t *data, size_t bytes, const char *answer, size_t answer_bytes)
{
	if (answer_bytes == 0)
		return;
	loam_assert(answer_bytes >= 9 && memcmp(answer, "HTTP/1.1 ", 9) == 0);
	/* An echoed body may hold an answer's text; then nothing can be counted. */
	if (memmem(data, bytes, "X-Request-Id", 12) || memmem(data, bytes, "x-request-id", 12))
		return;
	size_t answers = count(answer, answer_bytes, "\r\nX-Request-Id: ");
	size_t ends = count((const char *)data, bytes, "\n");
	loam_assert(answers <= ends + 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_bytes)
{
	static char answer[ANSWER_BYTES_MAX];
	size_t heard = 0;
	if (data_bytes == 0 || data_bytes > INPUT_BYTES_MAX)
		return 0;
	if (!http)
		start();
	int fd = dial();
	ssize_t sent = send(fd, data, data_bytes, MSG_NOSIGNAL);
	loam_assert(sent == (ssize_t)data_bytes || sent < 0);
	shutdown(fd, SHUT_WR);
	for (;;) {
		struct pollfd ready = { .fd = fd, .events = POLLIN };
		int count = poll(&ready, 1, 20000);
		if (count < 0 && errno == EINTR) /* libFuzzer's clock */
			continue;
		loam_assert(count == 1); /* it always comes to an end */
		ssize_t got = recv(fd, answer + heard, sizeof(answer) - heard, 0);
		if (got <= 0)
			break;
		heard += (size_t)got;
	}
	const struct linger now = { .l_onoff = 1 };
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(fd);
	check(data, data_bytes, answer, heard);
	return 0;
}
