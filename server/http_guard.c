/*
 * The framing guard: what libmicrohttpd 0.9.75 lets through and must not (reliability.md §3 rule
 * 16). Step 1 of a push.
 *
 * libmicrohttpd parses in place: method, version, header names and values are pointers into one
 * read buffer, in which it has written NULs over separators. A head without tricks therefore tiles
 * that buffer without a gap:
 *
 *   POST\0/target\0HTTP/1.1\0\0 Name\0 value\0\0 Name\0 value\0\0 \0\0
 *   ^method ^uri    ^version     ^key    ^value                    ^method + header size
 *
 * Continuation lines, NULs in values or names, bare line feeds and doubled blanks each leave a gap
 * or an overlap, and are refused by that alone. What tiles is then checked as text. Only pointers
 * are compared here: nothing is read outside what the library handed over.
 */
#include "core/auto.h"
#include "server/http_internal.h"

#include "core/banned.h"

#include <string.h>
#include <strings.h>

#define TEXT_FRAMING "the request is malformed\n"
#define TEXT_HOST    "the request needs exactly one valid Host header\n"
#define TEXT_TARGET  "the request target is malformed\n"

struct head {
	const char *next; /* where the next header's name must begin */
	size_t lines;
	bool bad;
	unsigned seen; /* bits of `once` */
};

/* Headers that mean something to framing or identity: one of each at most. */
static const char *const once[] = { "Host",
				    "Content-Length",
				    "Transfer-Encoding",
				    "Authorization",
				    "Content-Encoding",
				    "Content-Type",
				    "Expect",
				    "Range",
				    "Content-Range" };

static bool is_token(const char *text, size_t bytes)
{
	static const char others[] = "!#$%&'*+-.^_`|~";
	for (size_t i = 0; i < bytes; i++) {
		char c = text[i];
		bool word =
			(c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
		if (!word && (c == '\0' || !strchr(others, c)))
			return false;
	}
	return bytes > 0;
}

static bool is_field_text(const char *text, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++) {
		unsigned char c = (unsigned char)text[i];
		if ((c < ' ' && c != '\t') || c == 0x7f)
			return false;
	}
	return true;
}

/* Between name and value: the colon (a NUL now) and blanks. */
static bool follows_colon(const char *key, size_t key_bytes, const char *value)
{
	const char *at = key + key_bytes;
	if (value <= at || *at != '\0')
		return false;
	for (at++; at < value; at++)
		if (*at != ' ' && *at != '\t')
			return false;
	return true;
}

static enum MHD_Result check_header(void *arg, enum MHD_ValueKind kind, const char *key,
				    size_t key_bytes, const char *value, size_t value_bytes)
{
	struct head *head = arg;
	head->lines++;
	if (key != head->next || !value || !is_token(key, key_bytes) ||
	    !follows_colon(key, key_bytes, value) || !is_field_text(value, value_bytes)) {
		head->bad = true;
		return MHD_NO;
	}
	head->next = value + value_bytes + 2;
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(once); i++) {
		if (strcasecmp(key, once[i]) != 0)
			continue;
		if (head->seen & 1u << i)
			head->bad = true;
		head->seen |= 1u << i;
	}
	return head->bad ? MHD_NO : MHD_YES;
}

const char *loam_http_header(const struct http_exchange *exchange, const char *name)
{
	return MHD_lookup_connection_value(exchange->connection->mhd, MHD_HEADER_KIND, name);
}

static bool is_host(const char *host)
{
	size_t bytes = strlen(host);
	if (bytes == 0 || bytes > 255)
		return false;
	return strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~:"
			    "[]%") == bytes;
}

static bool head_tiles(const struct http_exchange *exchange, const char *method,
		       const char *version, struct head *head)
{
	const union MHD_ConnectionInfo *size =
		MHD_get_connection_info(exchange->connection->mhd,
					MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
	if (!size || exchange->uri_at != method + strlen(method) + 1 ||
	    exchange->uri_at + exchange->uri_bytes + 1 != version)
		return false;
	head->next = version + strlen(version) + 2;
	MHD_get_connection_values_n(exchange->connection->mhd, MHD_HEADER_KIND, check_header, head);
	return !head->bad && head->next + 2 == method + size->header_size;
}

int loam_http_guard_head(struct http_exchange *exchange, const char *method, const char *version,
			 const char **out_text)
{
	const union MHD_ConnectionInfo *size =
		MHD_get_connection_info(exchange->connection->mhd,
					MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
	*out_text = "the request line is too long\n";
	if (strlen(method) + exchange->uri_bytes + strlen(version) > LOAM_HTTP_LINE_BYTES_MAX)
		return MHD_HTTP_URI_TOO_LONG;
	*out_text = "the request headers are too large\n";
	if (size && size->header_size > LOAM_HTTP_HEADER_BYTES_MAX)
		return MHD_HTTP_REQUEST_HEADER_FIELDS_TOO_LARGE;
	struct head head = { .next = NULL };
	bool tiles = head_tiles(exchange, method, version, &head);
	if (head.lines > LOAM_HTTP_HEADER_LINES_MAX)
		return MHD_HTTP_REQUEST_HEADER_FIELDS_TOO_LARGE;
	*out_text = TEXT_FRAMING;
	if (!tiles || !is_token(method, strlen(method)))
		return MHD_HTTP_BAD_REQUEST;
	*out_text = "HTTP is spoken here in its versions 1.0 and 1.1\n";
	bool is_1_0 = strcmp(version, "HTTP/1.0") == 0;
	if (!is_1_0 && strcmp(version, "HTTP/1.1") != 0)
		return MHD_HTTP_HTTP_VERSION_NOT_SUPPORTED;
	*out_text = TEXT_HOST;
	const char *host = loam_http_header(exchange, "Host");
	if (host ? !is_host(host) : !is_1_0)
		return MHD_HTTP_BAD_REQUEST;
	return 0;
}

/* "http://HOST/path" is /path when HOST is the Host header's; anything else is another server. */
static const char *origin_form(const struct http_exchange *exchange)
{
	const char *target = exchange->raw_target;
	if (target[0] == '/')
		return target;
	size_t scheme_bytes = strncasecmp(target, "http://", 7) == 0	? 7
			      : strncasecmp(target, "https://", 8) == 0 ? 8
									: 0;
	const char *host = loam_http_header(exchange, "Host");
	if (scheme_bytes == 0 || !host)
		return NULL;
	const char *authority = target + scheme_bytes;
	size_t bytes = strcspn(authority, "/?");
	if (bytes != strlen(host) || strncasecmp(authority, host, bytes) != 0)
		return NULL;
	return authority[bytes] == '/' ? authority + bytes : NULL;
}

/* A value that does not decode would read as one that was not sent. */
static bool query_decodes(const char *query)
{
	loam_auto_free char *decoded = loam_web_decode(query, strlen(query));
	return decoded != NULL;
}

int loam_http_guard_target(struct http_exchange *exchange, const char **out_text)
{
	*out_text = TEXT_TARGET;
	for (const char *at = exchange->raw_target; *at; at++) {
		unsigned char c = (unsigned char)*at;
		if (c <= ' ' || c == 0x7f || c == '\\' || c == '#')
			return MHD_HTTP_BAD_REQUEST;
	}
	const char *origin = origin_form(exchange);
	if (!origin)
		return MHD_HTTP_BAD_REQUEST;
	size_t path_bytes = strcspn(origin, "?");
	exchange->path = loam_xstrndup(origin, path_bytes);
	exchange->query = loam_xstrdup(origin[path_bytes] == '?' ? origin + path_bytes + 1 : "");
	exchange->web.target = exchange->path;
	exchange->web.query = exchange->query;
	return query_decodes(exchange->query) ? 0 : MHD_HTTP_BAD_REQUEST;
}

/* Digits only, and small enough that sums of lengths stay in range. */
static bool parse_length(const char *text, uint64_t *out)
{
	uint64_t value = 0;
	if (*text == '\0')
		return false;
	for (; *text; text++) {
		if (*text < '0' || *text > '9' || value > UINT64_MAX / 32)
			return false;
		value = value * 10 + (uint64_t)(*text - '0');
	}
	*out = value;
	return true;
}

int loam_http_guard_body(struct http_exchange *exchange, const char **out_text)
{
	const char *length = loam_http_header(exchange, "Content-Length");
	const char *coding = loam_http_header(exchange, "Transfer-Encoding");
	const char *expect = loam_http_header(exchange, "Expect");
	*out_text = TEXT_FRAMING;
	if (coding && (length || strcasecmp(coding, "chunked") != 0))
		return MHD_HTTP_BAD_REQUEST;
	exchange->web.body_length = coding ? LOAM_WEB_UNKNOWN_LENGTH : 0;
	if (length && !parse_length(length, &exchange->web.body_length))
		return MHD_HTTP_BAD_REQUEST;
	*out_text = "the only expectation served is 100-continue\n";
	if (expect && strcasecmp(expect, "100-continue") != 0)
		return MHD_HTTP_EXPECTATION_FAILED;
	return 0;
}
