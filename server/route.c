/*
 * The route table (server/route.h). Step 1 of a push: which handler is this request for?
 *
 * Paths are decoded once, segment by segment, and what could mean something else to a file system
 * or to a second decoder is refused before any row is looked at (reliability.md http-6), so a
 * handler never meets it. The first fitting row wins; tables are tried in their order.
 */
#include "server/route.h"

#include "core/auto.h"
#include "core/banned.h"

#include <string.h>

#define SEGMENTS_MAX 64

static const struct {
	const char *word;
	unsigned bit;
} methods[] = {
	{ "GET", LOAM_GET },	     { "HEAD", LOAM_HEAD },	{ "POST", LOAM_POST },
	{ "PUT", LOAM_PUT },	     { "DELETE", LOAM_DELETE }, { "PATCH", LOAM_PATCH },
	{ "OPTIONS", LOAM_OPTIONS },
};

/* First segments that name a kind; they are never namespaces (design.md §2, "Names"). */
static const char *const kinds[] = { "models", "datasets", "code" };

struct segments {
	char *decoded[SEGMENTS_MAX];
	size_t count;
};

static void release_segments(struct segments *segments)
{
	for (size_t i = 0; i < segments->count; i++)
		free(segments->decoded[i]);
	segments->count = 0;
}

unsigned loam_route_method(const char *word)
{
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(methods); i++)
		if (strcmp(word, methods[i].word) == 0)
			return methods[i].bit;
	return 0;
}

void loam_route_allow(unsigned bits, char out[LOAM_ROUTE_ALLOW_BYTES])
{
	size_t used = 0;
	out[0] = '\0';
	if (bits & LOAM_GET)
		bits |= LOAM_HEAD;
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(methods); i++)
		if (bits & methods[i].bit)
			used += (size_t)snprintf(out + used, LOAM_ROUTE_ALLOW_BYTES - used, "%s%s",
						 used ? ", " : "", methods[i].word);
}

static bool is_dangerous(const char *segment)
{
	return strcmp(segment, ".") == 0 || strcmp(segment, "..") == 0 || strpbrk(segment, "/\\");
}

/* Would a careless second decoding make it one? "%252e%252e" is "%2e%2e" here. */
static bool is_dangerous_twice(const char *segment)
{
	if (!strchr(segment, '%'))
		return false;
	size_t bytes = strlen(segment);
	loam_auto_free char *again = loam_web_decode(segment, bytes);
	if (again)
		return is_dangerous(again);
	/* A control byte behind the escapes, or a lone '%', which is an ordinary character. */
	for (const char *at = strchr(segment, '%'); at; at = strchr(at + 1, '%')) {
		char *one = strlen(at) < 3 ? NULL : loam_web_decode(at, 3);
		bool is_escape = strspn(at + 1, "0123456789abcdefABCDEF") >= 2;
		bool bad = is_escape && (!one || is_dangerous(one));
		free(one);
		if (bad)
			return true;
	}
	return false;
}

static int split_path(const char *path, struct segments *out, struct loam_err *err)
{
	if (path[0] != '/')
		return loam_fail(err, LOAM_E_INVALID, "the path does not begin with '/'");
	const char *at = path + 1;
	while (*at) {
		size_t bytes = strcspn(at, "/");
		if (bytes == 0)
			return loam_fail(err, LOAM_E_INVALID, "the path has an empty segment");
		if (out->count == SEGMENTS_MAX)
			return loam_fail(err, LOAM_E_INVALID, "the path has too many segments");
		char *segment = loam_web_decode(at, bytes);
		if (!segment)
			return loam_fail(err, LOAM_E_INVALID, "the path has a bad escape");
		out->decoded[out->count++] = segment;
		if (is_dangerous(segment) || is_dangerous_twice(segment))
			return loam_fail(err, LOAM_E_INVALID, "the path has a forbidden segment");
		at += bytes;
		if (*at == '/' && at[1] == '\0') { /* a trailing slash is a segment of its own */
			if (out->count == SEGMENTS_MAX)
				return loam_fail(err, LOAM_E_INVALID, "the path is too deep");
			out->decoded[out->count++] = loam_xstrdup("");
		}
		at += *at == '/';
	}
	return 0;
}

/* Takes both; they are freed by loam_route_release(). */
static void add_param(struct loam_route_match *match, char *name, char *value)
{
	loam_assert(match->param_count < LOAM_WEB_PARAMS_MAX);
	match->params[match->param_count++] =
		(struct loam_web_param){ .name = name, .value = value };
}

static size_t repo_segments(const struct segments *segments, size_t from)
{
	size_t wanted = 2;
	if (from < segments->count)
		for (size_t i = 0; i < LOAM_ARRAY_COUNT(kinds); i++)
			if (strcmp(segments->decoded[from], kinds[i]) == 0)
				wanted = 3;
	return segments->count - from >= wanted ? wanted : 0;
}

static char *join_repo(const struct segments *segments, size_t from, size_t count)
{
	if (count == 2)
		return loam_xasprintf("%s/%s", segments->decoded[from],
				      segments->decoded[from + 1]);
	return loam_xasprintf("%s/%s/%s", segments->decoded[from], segments->decoded[from + 1],
			      segments->decoded[from + 2]);
}

/* One piece of the pattern against the segments from *at on; false: the row does not fit. */
static bool match_piece(const char *piece, size_t bytes, const struct segments *segments,
			size_t *at, struct loam_route_match *match)
{
	if (*at >= segments->count)
		return false;
	if (piece[0] != '{') {
		const char *have = segments->decoded[*at];
		*at += 1;
		return strlen(have) == bytes && memcmp(have, piece, bytes) == 0;
	}
	bool is_repo = bytes == strlen("{repo}") && memcmp(piece, "{repo}", bytes) == 0;
	size_t taken = is_repo ? repo_segments(segments, *at) : 1;
	if (taken == 0 || segments->decoded[*at][0] == '\0')
		return false;
	add_param(match, loam_xstrndup(piece + 1, bytes - 2),
		  taken > 1 ? join_repo(segments, *at, taken)
			    : loam_xstrdup(segments->decoded[*at]));
	*at += taken;
	return true;
}

static bool match_row(const char *pattern, const struct segments *segments,
		      struct loam_route_match *match)
{
	size_t at = 0;
	for (const char *piece = pattern + 1; *piece;) {
		size_t bytes = strcspn(piece, "/");
		if (!match_piece(piece, bytes, segments, &at, match))
			return false;
		piece += bytes;
		piece += *piece == '/';
	}
	return at == segments->count;
}

void loam_route_release(struct loam_route_match *match)
{
	for (size_t i = 0; i < match->param_count; i++) {
		free((char *)match->params[i].name);
		free(match->params[i].value);
	}
	match->param_count = 0;
}

/* Tries one table; true when a row takes path and method. */
static bool find_in(const struct loam_route_table *table, unsigned method,
		    const struct segments *segments, struct loam_route_match *match)
{
	for (size_t i = 0; i < table->count; i++) {
		const struct loam_web_route *route = &table->routes[i];
		if (match_row(route->path, segments, match)) {
			unsigned taken = route->methods;
			if (taken & LOAM_GET)
				taken |= LOAM_HEAD;
			match->allowed |= taken;
			if (taken & method) {
				match->route = route;
				return true;
			}
		}
		loam_route_release(match);
	}
	return false;
}

int loam_route_find(const struct loam_route_table *tables, size_t table_count, unsigned method,
		    const char *path, struct loam_route_match *out_match, struct loam_err *err)
{
	struct segments segments = { .count = 0 };
	struct loam_route_match match = { .route = NULL };
	int rc = split_path(path, &segments, err);
	for (size_t i = 0; rc == 0 && i < table_count; i++)
		if (find_in(&tables[i], method, &segments, &match))
			rc = 1;
	release_segments(&segments);
	if (rc >= 0)
		*out_match = match;
	return rc;
}
