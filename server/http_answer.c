/*
 * Answers: errors in the format of the route's area, responses handed to libmicrohttpd, and the few
 * that have to be written by hand.
 *
 * libmicrohttpd 0.9.75 takes an answer before the first byte of the body or after its last one,
 * never between. A sink that fails in the middle of a large upload is therefore answered here, on
 * the connection's own socket or TLS session: the library writes nothing while it reads a body.
 * Then our half is closed and what still comes is read for a while, else the client, which sends
 * all before it reads, sees a reset instead of the text (protocols.md, E.7 and F).
 */
#include "core/auto.h"
#include "core/log.h"
#include "server/http_internal.h"

#include "core/banned.h"

#include <errno.h>
#include <gnutls/gnutls.h>
#include <jansson.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#define SOURCE_BLOCK_BYTES (128u << 10)
#define HEAD_BYTES_MAX	   (16u << 10)
#define WRITE_MS	   5000
#define RETRY_AFTER	   "2"
#define LFS_TYPE	   "application/vnd.git-lfs+json"
#define API_TYPE	   "application/json"
#define API_AREA	   "/api/"
#define CHALLENGE	   "Basic realm=\"Loam\", charset=\"UTF-8\""
#define PLAIN_HTTP_TEXT                                                                        \
	"passwords and tokens are not taken over plain HTTP from other hosts: serve with TLS " \
	"(--tls-cert and --tls-key), or set server.plainHttp = true\n"

static void answer_json(struct http_exchange *exchange, const char *type, int status,
			const char *text)
{
	struct loam_web_request *web = &exchange->web;
	size_t bytes = strcspn(text, "\n");
	json_t *json = json_pack("{s:s%,s:s}", "message", text, bytes, "request_id", web->id);
	if (!json)
		json = json_pack("{s:s,s:s}", "message", "refused", "request_id", web->id);
	loam_web_answer_json(web, status, type, json);
	json_decref(json);
}

/* A challenge would make the client send its password over the wire it must not use. */
static bool may_challenge(const struct http_exchange *exchange)
{
	const struct loam_web_request *web = &exchange->web;
	return web->secure || web->peer_is_local || exchange->connection->http->options.plain_http;
}

void loam_http_answer_status(struct http_exchange *exchange, int status, const char *text)
{
	struct loam_web_request *web = &exchange->web;
	bool lfs = web->route && web->route->errors == LOAM_ERRORS_LFS;
	bool api = web->route ? web->route->errors == LOAM_ERRORS_API
			      : strncmp(exchange->raw_target, API_AREA, strlen(API_AREA)) == 0;
	if (status == MHD_HTTP_UNAUTHORIZED && !may_challenge(exchange)) {
		status = MHD_HTTP_FORBIDDEN;
		text = PLAIN_HTTP_TEXT;
	}
	loam_web_response_release(&web->response);
	snprintf(exchange->reason, sizeof(exchange->reason), "%.*s", (int)strcspn(text, "\n"),
		 text);
	if (lfs || api)
		answer_json(exchange, lfs ? LFS_TYPE : API_TYPE, status, text);
	else
		loam_web_answer_text(web, status, text);
	loam_web_set_header(web, "Cache-Control", "no-store");
	if (status == MHD_HTTP_UNAUTHORIZED)
		loam_web_set_header(web, "WWW-Authenticate", CHALLENGE);
	if (status == MHD_HTTP_UNAUTHORIZED && lfs)
		loam_web_set_header(web, "LFS-Authenticate", CHALLENGE);
	if (status == MHD_HTTP_TOO_MANY_REQUESTS || status == MHD_HTTP_SERVICE_UNAVAILABLE)
		loam_web_set_header(web, "Retry-After", RETRY_AFTER);
}

/* Our own mistakes and our backends' names stay in the log (reliability.md §3 rule 17). */
void loam_http_answer_error(struct http_exchange *exchange, const struct loam_err *err)
{
	int status = loam_code_http(err->code);
	exchange->refused = (int)err->code;
	bool hidden = status >= 500 && err->code != LOAM_E_QUOTA && err->code != LOAM_E_BUSY &&
		      err->code != LOAM_E_UNSUPPORTED;
	char text[LOAM_ERR_TEXT_MAX + 64];
	if (hidden && !loam_code_may_retry(err->code) && err->code != LOAM_E_NO_SPACE)
		loam_error("http.error", "code=%s text=%s", loam_code_name(err->code), err->text);
	else if (status >= 500)
		loam_warn("http.failed", "code=%s text=%s", loam_code_name(err->code), err->text);
	if (hidden)
		snprintf(text, sizeof(text), "%s (request %s)\n", loam_code_meaning(err->code),
			 exchange->web.id);
	else
		snprintf(text, sizeof(text), "%s\n", err->text);
	for (char *at = text; at[0] && at[1]; at++)
		if ((unsigned char)*at < ' ' || *at == 0x7f)
			*at = '?';
	loam_http_answer_status(exchange, status, text);
}

static ssize_t produce(void *arg, uint64_t position, char *out, size_t out_bytes)
{
	struct http_exchange *exchange = arg;
	struct loam_web_response *response = &exchange->web.response;
	struct loam_err err = { 0 };
	atomic_store(&exchange->connection->busy, true);
	int64_t given = response->source(response->source_arg, out, out_bytes, &err);
	atomic_store(&exchange->connection->busy, false);
	if (given < 0) {
		exchange->refused = -(int)given;
		snprintf(exchange->reason, sizeof(exchange->reason), "%s", err.text);
		loam_warn("http.cut_answer", "code=%s text=%s", loam_code_name((int)given),
			  err.text);
		return MHD_CONTENT_READER_END_WITH_ERROR;
	}
	exchange->bytes_out += (uint64_t)given;
	return given == 0 ? MHD_CONTENT_READER_END_OF_STREAM : (ssize_t)given;
}

static struct MHD_Response *make_response(struct http_exchange *exchange)
{
	struct loam_web_response *response = &exchange->web.response;
	if (response->source)
		return MHD_create_response_from_callback(response->length, SOURCE_BLOCK_BYTES,
							 produce, exchange, NULL);
	if (response->file_fd >= 0) {
		off_t offset = lseek(response->file_fd, 0, SEEK_CUR);
		exchange->bytes_out = response->length;
		return MHD_create_response_from_fd_at_offset64(response->length,
							       loam_steal_fd(&response->file_fd),
							       offset > 0 ? (uint64_t)offset : 0);
	}
	size_t bytes = response->body.bytes;
	exchange->bytes_out = bytes;
	char *body = loam_buf_steal(&response->body);
	struct MHD_Response *made =
		MHD_create_response_from_buffer(bytes, body, MHD_RESPMEM_MUST_FREE);
	if (!made)
		free(body);
	return made;
}

enum MHD_Result loam_http_answer_queue(struct http_exchange *exchange)
{
	struct loam_web_response *response = &exchange->web.response;
	struct MHD_Response *made = make_response(exchange);
	if (!made)
		return MHD_NO;
	bool ok = true;
	for (size_t i = 0; i < response->header_count; i++)
		ok &= MHD_add_response_header(made, response->headers[i].name,
					      response->headers[i].value) == MHD_YES;
	ok &= MHD_add_response_header(made, "X-Request-Id", exchange->web.id) == MHD_YES;
	ok &= MHD_add_response_header(made, "X-Content-Type-Options", "nosniff") == MHD_YES;
	if (response->close || atomic_load(&exchange->connection->http->stopping))
		ok &= MHD_add_response_header(made, "Connection", "close") == MHD_YES;
	exchange->sent_status = response->status;
	if (exchange->web.method == LOAM_HEAD)
		exchange->bytes_out = 0;
	if (!loam_http_watch_enter(exchange->connection, HTTP_REPLY))
		ok = false;
	if (ok)
		ok = MHD_queue_response(exchange->connection->mhd, (unsigned)response->status,
					made) == MHD_YES;
	MHD_destroy_response(made);
	return ok ? MHD_YES : MHD_NO;
}

static gnutls_session_t tls_session(const struct http_connection *connection)
{
	const union MHD_ConnectionInfo *info =
		connection->http->tls ? MHD_get_connection_info(connection->mhd,
								MHD_CONNECTION_INFO_GNUTLS_SESSION)
				      : NULL;
	return info ? (gnutls_session_t)info->tls_session : NULL;
}

static void write_all(struct http_connection *connection, const uint8_t *data, size_t bytes)
{
	gnutls_session_t tls = tls_session(connection);
	struct loam_deadline deadline = loam_deadline_in(WRITE_MS);
	while (bytes > 0) {
		ssize_t put = tls ? gnutls_record_send(tls, data, bytes)
				  : send(connection->fd, data, bytes, MSG_NOSIGNAL);
		if (put > 0) {
			data += put;
			bytes -= (size_t)put;
			continue;
		}
		bool again = tls ? !gnutls_error_is_fatal((int)put)
				 : (errno == EAGAIN || errno == EINTR);
		struct pollfd ready = { .fd = connection->fd, .events = POLLOUT };
		if (!again || poll(&ready, 1, loam_deadline_left_ms(deadline)) <= 0)
			return;
	}
}

static int print_head(const struct http_exchange *exchange, struct loam_buf *out,
		      struct loam_err *err)
{
	const struct loam_web_response *response = &exchange->web.response;
	int rc = loam_buf_printf(out, err, "HTTP/1.1 %d %s\r\n", response->status,
				 MHD_get_reason_phrase_for((unsigned)response->status));
	for (size_t i = 0; rc == 0 && i < response->header_count; i++)
		rc = loam_buf_printf(out, err, "%s: %s\r\n", response->headers[i].name,
				     response->headers[i].value);
	if (rc == 0)
		rc = loam_buf_printf(out, err,
				     "X-Request-Id: %s\r\nContent-Length: %zu\r\n"
				     "Connection: close\r\n\r\n",
				     exchange->web.id, response->body.bytes);
	if (rc == 0 && exchange->web.method != LOAM_HEAD)
		rc = loam_buf_add(out, response->body.data, response->body.bytes, err);
	return rc;
}

void loam_http_answer_by_hand(struct http_exchange *exchange)
{
	struct http_connection *connection = exchange->connection;
	loam_auto_buf struct loam_buf text = LOAM_BUF(HEAD_BYTES_MAX + LOAM_WEB_ANSWER_BYTES_MAX);
	struct loam_err err = { 0 };
	if (exchange->over || !loam_http_watch_enter(connection, HTTP_REPLY))
		return;
	exchange->over = true;
	exchange->drain = true;
	exchange->sent_status = exchange->web.response.status;
	exchange->bytes_out = exchange->web.response.body.bytes;
	if (print_head(exchange, &text, &err) == 0)
		write_all(connection, text.data, text.bytes);
	gnutls_session_t tls = tls_session(connection);
	if (tls)
		gnutls_bye(tls, GNUTLS_SHUT_WR);
	shutdown(connection->fd, SHUT_WR);
}

void loam_http_answer_drain(struct http_connection *connection)
{
	char dropped[16u << 10];
	struct loam_deadline deadline = loam_deadline_in(LOAM_HTTP_DRAIN_MS);
	shutdown(connection->fd, SHUT_WR);
	for (;;) {
		struct pollfd ready = { .fd = connection->fd, .events = POLLIN };
		int left_ms = loam_deadline_left_ms(deadline);
		if (left_ms == 0 || poll(&ready, 1, left_ms) <= 0)
			return;
		ssize_t got = recv(connection->fd, dropped, sizeof(dropped), MSG_DONTWAIT);
		if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
			return;
	}
}
