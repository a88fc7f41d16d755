/*
 * The request line of the log, without secrets (reliability.md S04, http-13).
 */
#include "core/auto.h"
#include "core/log.h"
#include "server/http_internal.h"

#include "core/banned.h"

#include <string.h>
#include <strings.h>

#define REDACTED "REDACTED"

/* Query keys whose values give rights to whoever reads them. */
static const char *const secret_keys[] = { "sig",      "token",	  "access_token", "private_token",
					   "password", "api_key", "key",	  "auth" };

struct text {
	char *out;
	size_t used, max;
};

static void put(struct text *text, const char *from, size_t bytes)
{
	size_t room = text->max - 1 - text->used;
	size_t take = bytes < room ? bytes : room;
	memcpy(text->out + text->used, from, take);
	text->used += take;
	text->out[text->used] = '\0';
}

static bool is_secret(const char *key, size_t bytes)
{
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(secret_keys); i++)
		if (strlen(secret_keys[i]) == bytes && strncasecmp(secret_keys[i], key, bytes) == 0)
			return true;
	return false;
}

/* A key may itself be written in escapes: "%74oken=" is token. */
static bool names_secret(const char *key, size_t bytes)
{
	loam_auto_free char *plain = loam_web_decode(key, bytes);
	return !plain || is_secret(plain, strlen(plain));
}

/* "user:pass@" in front of a host, or as a path segment somebody typed by mistake. */
static void put_path(struct text *text, const char *path, size_t path_bytes)
{
	const char *at = path, *end = path + path_bytes;
	while (at < end) {
		const char *slash = memchr(at, '/', (size_t)(end - at));
		const char *stop = slash ? slash : end;
		const char *userinfo = memrchr(at, '@', (size_t)(stop - at));
		if (userinfo && memchr(at, ':', (size_t)(userinfo - at))) {
			put(text, REDACTED, strlen(REDACTED));
			at = userinfo;
		}
		stop = slash ? slash + 1 : end;
		put(text, at, (size_t)(stop - at));
		at = stop;
	}
}

void loam_http_log_redact(const char *target, char *out, size_t out_bytes)
{
	struct text text = { .out = out, .max = out_bytes };
	out[0] = '\0';
	size_t path_bytes = strcspn(target, "?");
	put_path(&text, target, path_bytes);
	const char *at = target + path_bytes;
	while (*at) { /* at '?' or '&' */
		put(&text, at, 1);
		at++;
		size_t pair_bytes = strcspn(at, "&");
		const char *equals = memchr(at, '=', pair_bytes);
		if (equals && names_secret(at, (size_t)(equals - at))) {
			put(&text, at, (size_t)(equals + 1 - at));
			put(&text, REDACTED, strlen(REDACTED));
		} else {
			put(&text, at, pair_bytes);
		}
		at += pair_bytes;
	}
}

static const char *method_word(unsigned method)
{
	static const char *const words[] = { "GET",    "HEAD",	"POST",	  "PUT",
					     "DELETE", "PATCH", "OPTIONS" };
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(words); i++)
		if (method == 1u << i)
			return words[i];
	return "-";
}

void loam_http_log_request(const struct http_exchange *exchange)
{
	char target[1024];
	loam_http_log_redact(exchange->raw_target, target, sizeof(target));
	loam_info("http.request",
		  "peer=%s method=%s target=%s status=%d bytes_in=%llu bytes_out=%llu ms=%llu "
		  "user=%s",
		  exchange->web.peer, method_word(exchange->web.method), target,
		  exchange->sent_status, (unsigned long long)exchange->bytes_in,
		  (unsigned long long)exchange->bytes_out,
		  (unsigned long long)(loam_clock_ms() - exchange->started_ms),
		  exchange->web.user[0] ? exchange->web.user : "-");
}
