/*
 * Redis addresses (redis_url.h). No message names the text itself: it may hold a password.
 */
#include "fs/meta/redis_url.h"

#include "core/auto.h"
#include "core/sys.h"

#include <string.h>

#define DB_MAX		   65535
#define PASSWORD_BYTES_MAX 4096

void loam_redis_url_release(struct loam_redis_url *url)
{
	free(url->socket_path);
	free(url->host);
	free(url->port);
	free(url->user);
	free(url->password);
	free(url->shown);
	*url = (struct loam_redis_url){ 0 };
}

static int hex_digit(char c)
{
	const char *digits = "0123456789abcdefABCDEF";
	const char *at = c ? strchr(digits, c) : NULL;
	if (!at)
		return -1;
	return (int)(at - digits) > 15 ? (int)(at - digits) - 6 : (int)(at - digits);
}

/* Percent-decoded copy, NULL when the encoding is broken. */
static char *decode(const char *text, size_t text_bytes)
{
	loam_auto_free char *out = loam_xcalloc(text_bytes + 1, 1);
	size_t used = 0;
	for (size_t i = 0; i < text_bytes; i++) {
		if (text[i] != '%') {
			out[used++] = text[i];
			continue;
		}
		int high = i + 2 < text_bytes ? hex_digit(text[i + 1]) : -1;
		int low = i + 2 < text_bytes ? hex_digit(text[i + 2]) : -1;
		if (high < 0 || low < 0 || high + low == 0) /* %00 would cut the text */
			return NULL;
		out[used++] = (char)(high * 16 + low);
		i += 2;
	}
	return loam_steal(&out);
}

static int parse_userinfo(const char *text, size_t text_bytes, struct loam_redis_url *out,
			  struct loam_err *err)
{
	const char *end = text + text_bytes, *colon = memchr(text, ':', text_bytes);
	const char *user_end = colon ? colon : end;
	out->password = colon ? decode(colon + 1, (size_t)(end - colon - 1)) : NULL;
	out->user = user_end > text ? decode(text, (size_t)(user_end - text)) : NULL;
	if ((colon && !out->password) || (user_end > text && !out->user))
		return loam_fail(err, LOAM_E_INVALID, "redis URL: broken %%-encoding before '@'");
	return 0;
}

static int parse_db(const char *text, size_t text_bytes, struct loam_redis_url *out,
		    struct loam_err *err)
{
	unsigned value = 0;
	for (size_t i = 0; i < text_bytes; i++) {
		if (text[i] < '0' || text[i] > '9' || value > DB_MAX)
			return loam_fail(err, LOAM_E_INVALID,
					 "redis URL: the database is not a number");
		value = value * 10 + (unsigned)(text[i] - '0');
	}
	if (value > DB_MAX)
		return loam_fail(err, LOAM_E_INVALID, "redis URL: database %u is over %u", value,
				 DB_MAX);
	out->db = value;
	return 0;
}

/* host, host:port or [v6]:port, all of it within text. */
static int parse_host(const char *text, size_t text_bytes, struct loam_redis_url *out,
		      struct loam_err *err)
{
	const char *end = text + text_bytes, *host = text, *host_end, *port = NULL;
	if (memchr(text, ',', text_bytes))
		return loam_fail(err, LOAM_E_UNSUPPORTED,
				 "redis URL: Sentinel and Cluster (a list of hosts) are not built");
	if (text_bytes && *text == '[') {
		host = text + 1;
		host_end = memchr(text, ']', text_bytes);
		if (!host_end)
			return loam_fail(err, LOAM_E_INVALID, "redis URL: '[' without ']'");
		port = host_end + 1;
	} else {
		host_end = memchr(text, ':', text_bytes);
		host_end = host_end ? host_end : end;
		port = host_end;
	}
	if (port < end && *port != ':')
		return loam_fail(err, LOAM_E_INVALID, "redis URL: unexpected text after the host");
	if (host == host_end)
		return loam_fail(err, LOAM_E_INVALID, "redis URL: no host");
	out->host = loam_xstrndup(host, (size_t)(host_end - host));
	out->port = port + 1 < end ? loam_xstrndup(port + 1, (size_t)(end - port - 1))
				   : loam_xstrdup("6379");
	if (strspn(out->port, "0123456789") != strlen(out->port) || strlen(out->port) > 5)
		return loam_fail(err, LOAM_E_INVALID, "redis URL: the port is not a number");
	return 0;
}

static int parse_tcp(const char *rest, struct loam_redis_url *out, struct loam_err *err)
{
	size_t host_bytes = strcspn(rest, "/?");
	int rc = parse_host(rest, host_bytes, out, err);
	if (rc < 0)
		return rc;
	const char *path = rest + host_bytes;
	if (*path == '/') {
		rc = parse_db(path + 1, strcspn(path + 1, "?"), out, err);
		if (rc < 0)
			return rc;
	}
	out->shown = loam_xasprintf("%s:%s/%u", out->host, out->port, out->db);
	return 0;
}

static int parse_unix(const char *rest, struct loam_redis_url *out, struct loam_err *err)
{
	size_t path_bytes = strcspn(rest, "?");
	if (*rest != '/')
		return loam_fail(err, LOAM_E_INVALID,
				 "redis URL: unix:// wants the socket's absolute path");
	out->socket_path = decode(rest, path_bytes);
	if (!out->socket_path)
		return loam_fail(err, LOAM_E_INVALID, "redis URL: broken %%-encoding in the path");
	const char *option = rest + path_bytes;
	while (*option) {
		option++;
		size_t option_bytes = strcspn(option, "&");
		if (option_bytes > 3 && memcmp(option, "db=", 3) == 0) {
			int rc = parse_db(option + 3, option_bytes - 3, out, err);
			if (rc < 0)
				return rc;
		}
		option += option_bytes;
	}
	out->shown = out->db ? loam_xasprintf("unix:%s db %u", out->socket_path, out->db)
			     : loam_xasprintf("unix:%s", out->socket_path);
	return 0;
}

static int password_of_environment(struct loam_redis_url *out, struct loam_err *err)
{
	static const char *const names[] = { "REDIS_PASSWORD", "META_PASSWORD" };
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(names); i++) {
		const char *value = getenv(names[i]);
		if (value && *value) {
			out->password = loam_xstrdup(value);
			return 0;
		}
	}
	const char *path = getenv("META_PASSWORD_FILE");
	if (!path || !*path)
		return 0;
	loam_auto_buf struct loam_buf text = LOAM_BUF(PASSWORD_BYTES_MAX);
	int rc = loam_path_read_all(path, &text, err);
	if (rc < 0)
		return loam_context(err, "META_PASSWORD_FILE");
	const char *from = loam_buf_text(&text);
	out->password = loam_xstrndup(from, strcspn(from, "\r\n"));
	return 0;
}

static int parse(const char *text, struct loam_redis_url *url, struct loam_err *err)
{
	static const struct {
		const char *scheme;
		bool tls, local;
	} schemes[] = { { "redis://", false, false },
			{ "rediss://", true, false },
			{ "unix://", false, true } };
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(schemes); i++) {
		size_t scheme_bytes = strlen(schemes[i].scheme);
		if (strncmp(text, schemes[i].scheme, scheme_bytes) != 0)
			continue;
		const char *rest = text + scheme_bytes;
		const char *at = *rest == '/' ? NULL : memrchr(rest, '@', strcspn(rest, "?"));
		if (at && parse_userinfo(rest, (size_t)(at - rest), url, err) < 0)
			return -(int)err->code;
		rest = at ? at + 1 : rest;
		url->tls = schemes[i].tls;
		int rc = schemes[i].local ? parse_unix(rest, url, err) : parse_tcp(rest, url, err);
		if (rc < 0 || (url->password && *url->password))
			return rc;
		free(loam_steal(&url->password));
		return password_of_environment(url, err);
	}
	return loam_fail(err, LOAM_E_INVALID, "redis URL: not redis://, rediss:// or unix://");
}

int loam_redis_url_parse(const char *text, struct loam_redis_url *out, struct loam_err *err)
{
	struct loam_redis_url url = { 0 };
	int rc = parse(text, &url, err);
	if (rc < 0) {
		loam_redis_url_release(&url);
		return rc;
	}
	*out = url;
	return 0;
}
