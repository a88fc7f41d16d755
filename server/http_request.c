/*
 * One request from its line to its log line: the order of http_internal.h's drawing. Step 1 of a
 * push.
 *
 * libmicrohttpd calls on the connection's own thread: http_request_line with the raw target,
 * http_request_call with the headers, with each piece of the body and once more at its end, and
 * http_request_completed always, also when the client vanished. Until its completion an exchange
 * belongs to that thread alone.
 *
 * A refused request whose body is small and announced is read to its end, so that the connection
 * can be used again (git repeats the probe with a password on it); any other is answered at once
 * and closed behind a drain.
 */
#include "core/auto.h"
#include "core/log.h"
#include "server/http_internal.h"

#include "core/banned.h"

#include <arpa/inet.h>
#include <poll.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

#define REFUSED_BY_LIBRARY "Error processing request (HTTP response code is %u"
#define JSON_TYPE	   "application/json"
#define LFS_JSON_TYPE	   "application/vnd.git-lfs+json"

/* The exchange this connection's thread works on; for messages of the library itself. */
static _Thread_local struct http_exchange *current;

static const char *header(const struct loam_web_request *web, const char *name)
{
	return loam_http_header(web->transport, name);
}

static void make_id(char out[17])
{
	uint64_t number = 0;
	if (getrandom(&number, sizeof(number), 0) != (ssize_t)sizeof(number))
		number = loam_clock_ns();
	snprintf(out, 17, "%016llx", (unsigned long long)number);
}

void *loam_http_request_line(void *http, const char *uri, struct MHD_Connection *mhd)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	struct http_exchange *exchange = loam_xnew(struct http_exchange);
	exchange->connection = info->socket_context;
	exchange->started_ms = loam_clock_ms();
	exchange->uri_at = uri;
	exchange->uri_bytes = strlen(uri);
	snprintf(exchange->raw_target, sizeof(exchange->raw_target), "%s", uri);
	struct loam_web_request *web = &exchange->web;
	web->context = exchange->connection->http->options.context;
	web->peer = exchange->connection->peer;
	web->target = "";
	web->query = "";
	web->base_url = "";
	web->header = header;
	web->transport = exchange;
	loam_web_response_init(&web->response);
	make_id(web->id);
	loam_log_scope(web->id);
	loam_http_audit_begin(exchange);
	current = exchange;
	return exchange;
}

/* Where clients see us and who asks: from the connection, or from a proxy we trust. */
static void set_origin(struct http_exchange *exchange)
{
	struct http_connection *connection = exchange->connection;
	const struct loam_http_options *options = &connection->http->options;
	struct loam_web_request *web = &exchange->web;
	const char *host = loam_http_header(exchange, "Host");
	web->secure = connection->http->tls;
	web->peer_is_local = connection->is_loopback || connection->is_proxy;
	if (connection->is_proxy) {
		const char *proto = loam_http_header(exchange, "X-Forwarded-Proto");
		const char *chain = loam_http_header(exchange, "X-Forwarded-For");
		const char *seen_as = loam_http_header(exchange, "X-Forwarded-Host");
		const char *last = chain ? strrchr(chain, ',') : NULL;
		last = last ? last + 1 : chain;
		uint8_t address[sizeof(struct in6_addr)];
		if (last)
			snprintf(exchange->forwarded_peer, sizeof(exchange->forwarded_peer), "%s",
				 last + strspn(last, " \t"));
		if (inet_pton(AF_INET, exchange->forwarded_peer, address) == 1 ||
		    inet_pton(AF_INET6, exchange->forwarded_peer, address) == 1)
			web->peer = exchange->forwarded_peer;
		web->secure = web->secure || (proto && strcasecmp(proto, "https") == 0);
		host = seen_as && !strpbrk(seen_as, "/,\"<> \t@\\") ? seen_as : host;
	}
	if (options->url && options->url[0])
		exchange->base_url = loam_xstrdup(options->url);
	else
		exchange->base_url = loam_xasprintf("http%s://%s", web->secure ? "s" : "",
						    host ? host : connection->http->address);
	web->base_url = exchange->base_url;
}

/* An answer stands in web.response before the body was read: now, or behind a small body? */
static enum MHD_Result answer_early(struct http_exchange *exchange)
{
	struct loam_web_request *web = &exchange->web;
	bool is_small =
		web->body_length <= HTTP_SMALL_BODY_BYTES && !loam_http_header(exchange, "Expect");
	if (!web->response.close && (web->body_length == 0 || is_small)) {
		exchange->discard = true;
		return MHD_YES;
	}
	exchange->drain = true;
	web->response.close = true;
	return loam_http_answer_queue(exchange);
}

static enum MHD_Result refuse(struct http_exchange *exchange, int status, const char *text,
			      bool close)
{
	loam_http_answer_status(exchange, status, text);
	exchange->web.response.close = close;
	return answer_early(exchange);
}

static enum MHD_Result refuse_err(struct http_exchange *exchange, const struct loam_err *err)
{
	loam_http_answer_error(exchange, err);
	return answer_early(exchange);
}

/* Does a list of media types name one of these? Parameters do not matter. */
static bool names_json(const char *list)
{
	return strcasestr(list, LFS_JSON_TYPE) || strcasestr(list, JSON_TYPE) ||
	       strstr(list, "*/*") || strcasestr(list, "application/*");
}

/* 0, or what the headers alone refuse on this route; *out_text says why. */
static int check_route_headers(struct http_exchange *exchange, const char **out_text)
{
	const struct loam_web_route *route = exchange->web.route;
	const char *coding = loam_http_header(exchange, "Content-Encoding");
	const char *type = loam_http_header(exchange, "Content-Type");
	const char *accept = loam_http_header(exchange, "Accept");
	*out_text = "passwords and tokens are not taken over plain HTTP\n";
	if (loam_http_header(exchange, "Authorization") && !exchange->web.secure &&
	    !exchange->web.peer_is_local && !exchange->connection->http->options.plain_http)
		return MHD_HTTP_UNAUTHORIZED; /* becomes the 403 that names the setting */
	*out_text = "this Content-Encoding is not served\n";
	if (coding && strcasecmp(coding, "identity") != 0 && strcasecmp(coding, "gzip") != 0 &&
	    strcasecmp(coding, "x-gzip") != 0)
		return MHD_HTTP_UNSUPPORTED_MEDIA_TYPE;
	if (route->errors == LOAM_ERRORS_TEXT || route->handler->sink || route->body_max == 0)
		return 0;
	bool is_lfs = route->errors == LOAM_ERRORS_LFS;
	*out_text = is_lfs ? "send JSON (application/vnd.git-lfs+json)\n"
			   : "send JSON (application/json)\n";
	if (type && strncasecmp(type, LFS_JSON_TYPE, strlen(LFS_JSON_TYPE)) != 0 &&
	    strncasecmp(type, JSON_TYPE, strlen(JSON_TYPE)) != 0)
		return MHD_HTTP_UNSUPPORTED_MEDIA_TYPE;
	*out_text = is_lfs ? "answers are JSON (application/vnd.git-lfs+json)\n"
			   : "answers are JSON (application/json)\n";
	return accept && !names_json(accept) ? MHD_HTTP_NOT_ACCEPTABLE : 0;
}

static int find_route(struct http_exchange *exchange, struct loam_err *err)
{
	struct loam_web_request *web = &exchange->web;
	const struct loam_http_options *options = &exchange->connection->http->options;
	int found = loam_route_find(options->tables, options->table_count, web->method, web->target,
				    &exchange->match, err);
	if (found < 0)
		return found;
	web->route = exchange->match.route;
	for (size_t i = 0; found && i < exchange->match.param_count; i++)
		web->params[i] = exchange->match.params[i];
	web->param_count = found ? exchange->match.param_count : 0;
	return found;
}

static enum MHD_Result refuse_route(struct http_exchange *exchange)
{
	unsigned allowed = exchange->match.allowed;
	char allow[LOAM_ROUTE_ALLOW_BYTES];
	if (allowed == 0)
		return refuse(exchange, MHD_HTTP_NOT_FOUND, "not found\n", false);
	if (exchange->web.method == LOAM_OPTIONS)
		exchange->web.response.status = MHD_HTTP_NO_CONTENT;
	else
		loam_http_answer_status(exchange, MHD_HTTP_METHOD_NOT_ALLOWED,
					"this method is not served here\n");
	loam_route_allow(allowed | LOAM_OPTIONS, allow);
	loam_web_set_header(&exchange->web, "Allow", allow);
	return answer_early(exchange);
}

/* A place among the running ones, unless the row is the service's own (healthz). */
static int take_place(struct http_exchange *exchange, const char **out_text)
{
	struct http_connection *connection = exchange->connection;
	struct loam_http *http = connection->http;
	bool is_lfs = exchange->web.route->errors == LOAM_ERRORS_LFS;
	*out_text = "too many unfinished requests from this address\n";
	if (!connection->is_proxy &&
	    loam_http_watch_count(http, connection->peer) > http->options.per_address_max)
		return MHD_HTTP_TOO_MANY_REQUESTS;
	bool is_own = exchange->web.route->errors == LOAM_ERRORS_TEXT &&
		      !strchr(exchange->web.route->path, '{');
	if (is_own && !atomic_load(&http->stopping))
		return 0;
	exchange->has_place = loam_http_watch_take_place(connection);
	if (exchange->has_place)
		return 0;
	*out_text = atomic_load(&http->stopping) ? "the server is stopping; try again\n"
						 : "the server is busy; try again\n";
	/* git-lfs gives up at once on a 503 of the batch call, and waits on a 429. */
	bool is_call = is_lfs && exchange->web.method == LOAM_POST;
	return is_call ? MHD_HTTP_TOO_MANY_REQUESTS : MHD_HTTP_SERVICE_UNAVAILABLE;
}

static enum MHD_Result begin_handler(struct http_exchange *exchange)
{
	const struct loam_web_handler *handler = exchange->web.route->handler;
	struct loam_err err = { 0 };
	if (loam_http_body_begin(exchange, &err) < 0)
		return refuse_err(exchange, &err);
	exchange->begun = true;
	if (handler->begin && handler->begin(&exchange->web, &err) < 0)
		return refuse_err(exchange, &err);
	return exchange->web.response.status ? answer_early(exchange) : MHD_YES;
}

static enum MHD_Result route_request(struct http_exchange *exchange)
{
	struct loam_err err = { 0 };
	const char *text;
	set_origin(exchange);
	loam_http_audit_begin(exchange); /* a proxy has named the address */
	int found = find_route(exchange, &err);
	if (found < 0)
		return refuse_err(exchange, &err);
	if (found == 0)
		return refuse_route(exchange);
	loam_http_audit_route(exchange);
	int status = check_route_headers(exchange, &text);
	if (status == 0)
		status = take_place(exchange, &text);
	if (status != 0)
		return refuse(exchange, status, text,
			      atomic_load(&exchange->connection->http->stopping));
	return begin_handler(exchange);
}

/* The first call: all headers are there, nothing of the body has been given. */
static enum MHD_Result call_head(struct http_exchange *exchange, const char *method,
				 const char *version)
{
	const char *text;
	exchange->head_seen = true;
	exchange->web.method = loam_route_method(method);
	if (!loam_http_watch_enter(exchange->connection, HTTP_BODY))
		return MHD_NO;
	int status = loam_http_guard_head(exchange, method, version, &text);
	if (status == 0)
		status = loam_http_guard_body(exchange, &text);
	if (status != 0)
		return refuse(exchange, status, text, true);
	if (exchange->web.method == 0)
		return refuse(exchange, MHD_HTTP_NOT_IMPLEMENTED, "no such method\n", true);
	if (exchange->web.method == LOAM_OPTIONS && strcmp(exchange->raw_target, "*") == 0) {
		exchange->web.response.status = MHD_HTTP_NO_CONTENT;
		return answer_early(exchange);
	}
	status = loam_http_guard_target(exchange, &text);
	if (status != 0)
		return refuse(exchange, status, text, true);
	return route_request(exchange);
}

static enum MHD_Result call_body(struct http_exchange *exchange, const char *data, size_t bytes)
{
	struct loam_err err = { 0 };
	int rc = loam_http_body_add(exchange, data, bytes, &err);
	if (rc == 0 && (exchange->discard || exchange->web.response.status == 0))
		return MHD_YES;
	if (rc < 0)
		loam_http_answer_error(exchange, &err);
	if (exchange->web.body_length <= HTTP_SMALL_BODY_BYTES) {
		exchange->discard = true;
		return MHD_YES;
	}
	loam_http_answer_by_hand(exchange);
	return MHD_NO;
}

static enum MHD_Result call_end(struct http_exchange *exchange)
{
	const struct loam_web_request *web = &exchange->web;
	struct loam_err err = { 0 };
	if (!exchange->discard) {
		int rc = loam_http_body_end(exchange, &err);
		if (rc == 0 && web->route->handler->finish)
			rc = web->route->handler->finish(&exchange->web, &err);
		if (rc == 0 && web->response.status == 0)
			rc = loam_fail(&err, LOAM_E_INTERNAL, "the handler of %s gave no answer",
				       web->route->path);
		if (rc < 0)
			loam_http_answer_error(exchange, &err);
	}
	return loam_http_answer_queue(exchange);
}

enum MHD_Result loam_http_request_call(void *http, struct MHD_Connection *mhd, const char *url,
				       const char *method, const char *version, const char *upload,
				       size_t *upload_bytes, void **exchange_slot)
{
	struct http_exchange *exchange = *exchange_slot;
	enum MHD_Result result;
	atomic_store(&exchange->connection->busy, true);
	if (!exchange->head_seen) {
		result = call_head(exchange, method, version);
	} else if (*upload_bytes > 0) {
		result = call_body(exchange, upload, *upload_bytes);
		*upload_bytes = 0;
	} else {
		result = call_end(exchange);
	}
	atomic_store(&exchange->connection->busy, false);
	return result;
}

void loam_http_request_completed(void *http, struct MHD_Connection *mhd, void **exchange_slot,
				 enum MHD_RequestTerminationCode why)
{
	struct http_exchange *exchange = *exchange_slot;
	if (!exchange)
		return;
	struct http_connection *connection = exchange->connection;
	struct loam_web_request *web = &exchange->web;
	bool drain = exchange->drain;
	atomic_store(&connection->busy, true);
	if (web->response.source_free)
		web->response.source_free(web->response.source_arg);
	web->response.source_free = NULL;
	if (exchange->begun && web->route->handler->end)
		web->route->handler->end(web);
	if (atomic_load(&connection->late) && exchange->sent_status == 0)
		exchange->sent_status = MHD_HTTP_REQUEST_TIMEOUT;
	loam_http_log_request(exchange);
	loam_http_audit_end(exchange);
	loam_log_scope(NULL);
	if (exchange->has_place)
		loam_http_watch_leave_place(connection);
	loam_http_body_release(exchange);
	loam_web_response_release(&web->response);
	loam_route_release(&exchange->match);
	free(exchange->path);
	free(exchange->query);
	free(exchange->base_url);
	free(exchange);
	*exchange_slot = NULL;
	current = NULL;
	if (drain)
		loam_http_answer_drain(connection);
	atomic_store(&connection->busy, false);
	loam_http_watch_enter(connection, HTTP_IDLE);
}

/*
 * libmicrohttpd refuses some input by itself, before the handler or within the body, with statuses
 * of its own (413 for a length of 2^64, where http-3 and http-4 want 400) and HTML. It says so here
 * first: we answer in its stead and close our half, so that what it sends goes nowhere.
 */
void loam_http_request_mhd_log(void *http, const char *fmt, va_list args)
{
	char text[512];
	va_list copy;
	va_copy(copy, args);
	vsnprintf(text, sizeof(text), fmt, copy);
	va_end(copy);
	text[strcspn(text, "\n")] = '\0';
	loam_debug("http.library", "text=%s", text);
	if (!current || current->over || current->sent_status ||
	    strncmp(fmt, REFUSED_BY_LIBRARY, strlen(REFUSED_BY_LIBRARY)) != 0)
		return;
	unsigned status = va_arg(args, unsigned);
	if (status == MHD_HTTP_CONTENT_TOO_LARGE)
		status = MHD_HTTP_BAD_REQUEST;
	loam_http_answer_status(current, (int)status, "the request is malformed\n");
	loam_http_answer_by_hand(current);
}

bool loam_http_client_gone(const struct loam_web_request *request)
{
	const struct http_exchange *exchange = request->transport;
	struct pollfd ready = { .fd = exchange->connection->fd, .events = POLLRDHUP };
	return poll(&ready, 1, 0) > 0 &&
	       (ready.revents & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL)) != 0;
}
