/*
 * The body on its way to the handler: inflated if it came compressed, counted against the route's
 * limit, given to the sink or gathered. Steps 1, 3 and 5 of a push.
 *
 * Invariant: body_max holds for the bytes on the wire and for the bytes inflated; a compressed body
 * of 1,000:1 costs one INFLATE_BYTES buffer and ends in 413 (reliability.md http-10).
 */
#include "core/auto.h"
#include "server/http_internal.h"

#include "core/banned.h"

#include <string.h>
#include <strings.h>

#define INFLATE_BYTES	 (64u << 10)
#define GZIP_WINDOW_BITS (15 + 16) /* zlib: gzip wrapper only */
#define GATHER_BYTES_MAX (64u << 20)

static int too_large(const struct http_exchange *exchange, struct loam_err *err)
{
	return loam_fail(err, LOAM_E_TOO_LARGE, "the body is over the limit of %llu bytes",
			 (unsigned long long)exchange->web.route->body_max);
}

int loam_http_body_begin(struct http_exchange *exchange, struct loam_err *err)
{
	const char *coding = loam_http_header(exchange, "Content-Encoding");
	const struct loam_web_route *route = exchange->web.route;
	uint64_t length = exchange->web.body_length;
	if (length != 0 && (route->body_max == 0 ||
			    (length != LOAM_WEB_UNKNOWN_LENGTH && length > route->body_max)))
		return too_large(exchange, err);
	loam_buf_init(&exchange->web.body, route->body_max < GATHER_BYTES_MAX
						   ? (size_t)route->body_max
						   : GATHER_BYTES_MAX);
	if (!coding || strcasecmp(coding, "identity") == 0 || length == 0)
		return 0;
	loam_assert(strcasecmp(coding, "gzip") == 0 || strcasecmp(coding, "x-gzip") == 0);
	if (inflateInit2(&exchange->inflate.stream, GZIP_WINDOW_BITS) != Z_OK)
		return loam_fail(err, LOAM_E_BUSY, "no memory to inflate a body");
	exchange->inflate.active = true;
	return 0;
}

static int deliver(struct http_exchange *exchange, const void *data, size_t data_bytes,
		   struct loam_err *err)
{
	struct loam_web_request *web = &exchange->web;
	if (data_bytes == 0)
		return 0;
	exchange->decoded_in += data_bytes;
	if (exchange->decoded_in > web->route->body_max)
		return too_large(exchange, err);
	if (web->route->handler->sink)
		return web->route->handler->sink(web, data, data_bytes, err);
	return loam_buf_add(&web->body, data, data_bytes, err);
}

static int inflate_some(struct http_exchange *exchange, const void *data, size_t data_bytes,
			struct loam_err *err)
{
	z_stream *stream = &exchange->inflate.stream;
	uint8_t out[INFLATE_BYTES];
	stream->next_in = (uint8_t *)data;
	stream->avail_in = (unsigned)data_bytes;
	do {
		if (exchange->inflate.ended)
			return loam_fail(err, LOAM_E_INVALID, "bytes behind the gzip body");
		stream->next_out = out;
		stream->avail_out = sizeof(out);
		int rc = inflate(stream, Z_NO_FLUSH);
		if (rc != Z_OK && rc != Z_STREAM_END && rc != Z_BUF_ERROR)
			return loam_fail(err, LOAM_E_INVALID, "the gzip body is damaged");
		exchange->inflate.ended = rc == Z_STREAM_END;
		int put = deliver(exchange, out, sizeof(out) - stream->avail_out, err);
		if (put < 0 || exchange->web.response.status)
			return put;
	} while (stream->avail_in > 0 || stream->avail_out == 0);
	return 0;
}

int loam_http_body_add(struct http_exchange *exchange, const void *data, size_t data_bytes,
		       struct loam_err *err)
{
	exchange->bytes_in += data_bytes;
	if (exchange->discard)
		return 0;
	if (exchange->bytes_in > exchange->web.route->body_max)
		return too_large(exchange, err);
	if (exchange->inflate.active)
		return inflate_some(exchange, data, data_bytes, err);
	return deliver(exchange, data, data_bytes, err);
}

int loam_http_body_end(struct http_exchange *exchange, struct loam_err *err)
{
	if (exchange->inflate.active && !exchange->inflate.ended)
		return loam_fail(err, LOAM_E_INVALID, "the gzip body ends too early");
	return 0;
}

void loam_http_body_release(struct http_exchange *exchange)
{
	if (exchange->inflate.active)
		inflateEnd(&exchange->inflate.stream);
	exchange->inflate.active = false;
	loam_buf_release(&exchange->web.body);
}
