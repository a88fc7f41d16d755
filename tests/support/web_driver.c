/*
 * Requests without a socket (web_driver.h).
 */
#include "tests/support/web_driver.h"

#include "core/auto.h"
#include "server/route.h"

#include <string.h>
#include <strings.h>

#define PIECE_BYTES  (16u << 10)
#define SOURCE_BYTES (128u << 10)

static const char *header(const struct loam_web_request *request, const char *name)
{
	const struct loam_web_call *call = request->transport;
	for (size_t i = 0; i < LOAM_WEB_CALL_HEADERS_MAX && call->headers[i].name; i++)
		if (strcasecmp(call->headers[i].name, name) == 0)
			return call->headers[i].value;
	return NULL;
}

static void answer_error(struct loam_web_request *request, const struct loam_err *err)
{
	loam_auto_json json_t *json =
		json_pack("{s:s,s:s}", "message", err->text, "request_id", request->id);
	loam_web_response_release(&request->response);
	loam_web_answer_json(request, loam_code_http(err->code), "application/vnd.git-lfs+json",
			     json);
	if (request->response.status == 401)
		loam_web_set_header(request, "LFS-Authenticate", "Basic realm=\"Loam\"");
}

/* true: go on to finish. */
static bool give_body(const struct loam_web_call *call, struct loam_web_request *request,
		      struct loam_err *err)
{
	const struct loam_web_handler *handler = request->route->handler;
	size_t piece = call->piece_bytes ? call->piece_bytes : PIECE_BYTES;
	size_t until = call->vanish ? call->body_bytes / 2 : call->body_bytes;
	bool told = false;
	for (size_t at = 0; at < until;) {
		size_t step = until - at < piece ? until - at : piece;
		const uint8_t *data = (const uint8_t *)call->body + at;
		int rc = handler->sink ? handler->sink(request, data, step, err)
				       : loam_buf_add(&request->body, data, step, err);
		if (rc < 0) {
			answer_error(request, err);
			return false;
		}
		at += step;
		if (request->response.status)
			return false;
		if (!told && call->halfway && at >= call->body_bytes / 2) {
			told = true;
			call->halfway(call->halfway_arg);
		}
	}
	return !call->vanish;
}

static void run(const struct loam_web_call *call, struct loam_web_request *request)
{
	const struct loam_web_handler *handler = request->route->handler;
	struct loam_err err = { 0 };
	if (handler->begin && handler->begin(request, &err) < 0) {
		answer_error(request, &err);
		return;
	}
	if (request->response.status || !give_body(call, request, &err))
		return;
	if (handler->finish && handler->finish(request, &err) < 0)
		answer_error(request, &err);
	loam_assert(request->response.status != 0);
}

static void read_source(struct loam_web_request *request, struct loam_web_reply *reply)
{
	struct loam_web_response *response = &request->response;
	loam_auto_free uint8_t *block = loam_xcalloc(1, SOURCE_BYTES);
	struct loam_err err = { 0 };
	if (request->method == LOAM_HEAD)
		return;
	while (reply->body.bytes < response->length) {
		int64_t got = response->source(response->source_arg, block, SOURCE_BYTES, &err);
		if (got <= 0) {
			reply->cut = true;
			return;
		}
		loam_assert(loam_buf_add(&reply->body, block, (size_t)got, &err) == 0);
	}
}

static void take_reply(struct loam_web_request *request, struct loam_web_reply *reply)
{
	struct loam_web_response *response = &request->response;
	struct loam_err err = { 0 };
	reply->status = response->status;
	if (response->source) {
		reply->length = response->length;
		read_source(request, reply);
	} else {
		reply->length = response->body.bytes;
		loam_assert(loam_buf_add(&reply->body, response->body.data, response->body.bytes,
					 &err) == 0);
	}
	for (size_t i = 0; i < response->header_count; i++) {
		reply->headers[i].name = loam_xstrdup(response->headers[i].name);
		reply->headers[i].value = loam_xstrdup(response->headers[i].value);
	}
	reply->header_count = response->header_count;
	const char *type = loam_web_reply_header(reply, "Content-Type");
	if (type && strstr(type, "json") &&
	    loam_json_parse_with_nul(reply->body.data, reply->body.bytes, &reply->json, &err) < 0)
		reply->json = NULL;
}

/* Finds the row; false: 404, 405 or 400 stands in the reply. */
static bool route(const struct loam_web_call *call, const char *path,
		  struct loam_route_match *match, struct loam_web_reply *reply)
{
	struct loam_route_table table = { .routes = call->routes };
	struct loam_err err = { 0 };
	while (table.routes[table.count].path)
		table.count++;
	int found = loam_route_find(&table, 1, call->method, path, match, &err);
	if (found <= 0)
		reply->status = found < 0 ? 400 : match->allowed ? 405 : 404;
	return found > 0;
}

void loam_web_drive(const struct loam_web_call *call, struct loam_web_reply *out_reply)
{
	struct loam_route_match match = { .route = NULL };
	*out_reply = (struct loam_web_reply){ .body = LOAM_BUF(LOAM_WEB_REPLY_BYTES_MAX) };
	size_t path_bytes = strcspn(call->target, "?");
	loam_auto_free char *path = loam_xstrndup(call->target, path_bytes);
	if (!route(call, path, &match, out_reply))
		return;
	struct loam_web_request request = {
		.route = match.route,
		.context = call->context,
		.method = call->method,
		.target = path,
		.query = call->target[path_bytes] ? call->target + path_bytes + 1 : "",
		.param_count = match.param_count,
		.peer = "192.0.2.1",
		.base_url = "http://loam.example:8418",
		.body_length = call->chunked	       ? LOAM_WEB_UNKNOWN_LENGTH
			       : call->announced_bytes ? call->announced_bytes
						       : call->body_bytes,
		.id = "0123456789abcdef",
		.header = header,
		.transport = (void *)call,
	};
	memcpy(request.params, match.params, sizeof(request.params));
	loam_buf_init(&request.body, match.route->body_max);
	loam_web_response_init(&request.response);
	run(call, &request);
	if (request.response.status)
		take_reply(&request, out_reply);
	if (request.response.source_free)
		request.response.source_free(request.response.source_arg);
	request.response.source_free = NULL;
	if (match.route->handler->end)
		match.route->handler->end(&request);
	loam_web_response_release(&request.response);
	loam_buf_release(&request.body);
	loam_route_release(&match);
}

const char *loam_web_reply_header(const struct loam_web_reply *reply, const char *name)
{
	for (size_t i = 0; i < reply->header_count; i++)
		if (strcasecmp(reply->headers[i].name, name) == 0)
			return reply->headers[i].value;
	return NULL;
}

void loam_web_reply_release(struct loam_web_reply *reply)
{
	loam_buf_release(&reply->body);
	json_decref(reply->json);
	for (size_t i = 0; i < reply->header_count; i++) {
		free(reply->headers[i].name);
		free(reply->headers[i].value);
	}
	*reply = (struct loam_web_reply){ .status = 0 };
}
