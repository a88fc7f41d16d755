/*
 * Requests and responses without a socket (core/web.h). Serves step 1 of a push; the socket's side
 * is server/http.c.
 */
#include "core/web.h"

#include "core/auto.h"
#include "core/json.h"

#include <string.h>
#include <strings.h>

void loam_web_response_init(struct loam_web_response *response)
{
	*response = (struct loam_web_response){ .file_fd = -1, .length = LOAM_WEB_UNKNOWN_LENGTH };
	loam_buf_init(&response->body, LOAM_WEB_ANSWER_BYTES_MAX);
}

void loam_web_response_release(struct loam_web_response *response)
{
	for (size_t i = 0; i < response->header_count; i++) {
		free(response->headers[i].name);
		free(response->headers[i].value);
	}
	if (response->source_free)
		response->source_free(response->source_arg);
	if (response->file_fd >= 0)
		close(response->file_fd);
	loam_buf_release(&response->body);
	loam_web_response_init(response);
}

const char *loam_web_param(const struct loam_web_request *request, const char *name)
{
	for (size_t i = 0; i < request->param_count; i++)
		if (strcmp(request->params[i].name, name) == 0)
			return request->params[i].value;
	return NULL;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static bool is_control(int c)
{
	return c < ' ' || c == 0x7f;
}

char *loam_web_decode(const char *text, size_t text_bytes)
{
	loam_auto_free char *decoded = malloc(text_bytes + 1);
	if (!decoded)
		return NULL;
	size_t done = 0;
	for (size_t i = 0; i < text_bytes; i++) {
		int c = (unsigned char)text[i];
		if (c == '%') {
			if (text_bytes - i < 3)
				return NULL;
			int high = hex_digit(text[i + 1]);
			int low = hex_digit(text[i + 2]);
			if (high < 0 || low < 0)
				return NULL;
			c = high << 4 | low;
			i += 2;
		}
		if (is_control(c))
			return NULL;
		decoded[done++] = (char)c;
	}
	decoded[done] = '\0';
	return loam_steal(&decoded);
}

char *loam_web_query(const struct loam_web_request *request, const char *name)
{
	size_t name_bytes = strlen(name);
	const char *at = request->query ? request->query : "";
	while (*at) {
		size_t pair_bytes = strcspn(at, "&");
		const char *equals = memchr(at, '=', pair_bytes);
		size_t key_bytes = equals ? (size_t)(equals - at) : pair_bytes;
		if (key_bytes == name_bytes && memcmp(at, name, name_bytes) == 0) {
			const char *value = equals ? equals + 1 : at + pair_bytes;
			return loam_web_decode(value, (size_t)(at + pair_bytes - value));
		}
		at += pair_bytes;
		at += *at == '&';
	}
	return NULL;
}

void loam_web_set_header(struct loam_web_request *request, const char *name, const char *value)
{
	struct loam_web_response *response = &request->response;
	for (const char *at = value; *at; at++)
		loam_assert(!is_control((unsigned char)*at));
	size_t index = 0;
	while (index < response->header_count &&
	       strcasecmp(response->headers[index].name, name) != 0)
		index++;
	if (index == response->header_count) {
		loam_assert(index < LOAM_WEB_HEADERS_MAX);
		response->headers[index].name = loam_xstrdup(name);
		response->header_count++;
	}
	free(response->headers[index].value);
	response->headers[index].value = loam_xstrdup(value);
}

/* An answer replaces what an earlier one had put into the body. */
static struct loam_buf *begin_body(struct loam_web_request *request, int status,
				   const char *content_type)
{
	struct loam_buf *body = &request->response.body;
	if (body->max_bytes == 0)
		body->max_bytes = LOAM_WEB_ANSWER_BYTES_MAX;
	loam_buf_clear(body);
	request->response.status = status;
	loam_web_set_header(request, "Content-Type", content_type);
	return body;
}

void loam_web_answer_text(struct loam_web_request *request, int status, const char *text)
{
	struct loam_buf *body = begin_body(request, status, "text/plain; charset=utf-8");
	struct loam_err err = { 0 };
	if (loam_buf_add_text(body, text, &err) < 0) {
		loam_buf_clear(body);
		request->response.status = 500;
	}
}

void loam_web_answer_json(struct loam_web_request *request, int status, const char *content_type,
			  const void *json)
{
	struct loam_buf *body =
		begin_body(request, status, content_type ? content_type : "application/json");
	struct loam_err err = { 0 };
	if (loam_json_print(json, body, &err) < 0)
		loam_web_answer_text(request, 500, "the answer is too large\n");
}
