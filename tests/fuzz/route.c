/*
 * The target of a request: path, query, ranges, the log's line. What reaches a handler holds no way
 * out of its segment; what reaches the log holds no secret.
 */
#include "server/route.h"

#include "auth/tree.h"
#include "lfs/range.h"
#include "server/http_internal.h"
#include "tests/fuzz/fuzz.h"

#define SECRET "topsecret42"

static const struct loam_web_handler nothing = { 0 };
static const struct loam_web_route rows[] = {
	{ LOAM_GET, "/healthz", 0, LOAM_ERRORS_TEXT, &nothing },
	{ LOAM_GET, "/{repo}/info/refs", 0, LOAM_ERRORS_TEXT, &nothing },
	{ LOAM_POST, "/{repo}/info/lfs/objects/batch", 1, LOAM_ERRORS_LFS, &nothing },
	{ LOAM_POST, "/{repo}/info/lfs/locks/{id}/unlock", 1, LOAM_ERRORS_LFS, &nothing },
	{ LOAM_GET | LOAM_PUT, "/_lfs/{kind}/{ns}/{name}/{oid}", 1, LOAM_ERRORS_LFS, &nothing },
};
static const struct loam_route_table table = { rows, LOAM_ARRAY_COUNT(rows) };

static void check_param(const struct loam_web_param *param)
{
	const char *value = param->value;
	loam_assert(value && value[0] && strcmp(value, ".") != 0 && strcmp(value, "..") != 0);
	loam_assert(!strstr(value, "/../") && !strchr(value, '\\') &&
		    strncmp(value, "../", 3) != 0);
	if (strcmp(param->name, "repo") != 0)
		loam_assert(!strchr(value, '/'));
	for (const char *c = value; *c; c++)
		loam_assert((unsigned char)*c >= ' ' && *c != 0x7f);
}

static void find(const char *path)
{
	static const unsigned methods[] = { LOAM_GET, LOAM_POST, LOAM_PUT };
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(methods); i++) {
		struct loam_route_match match = { .route = NULL };
		struct loam_err err = { 0 };
		int found = loam_route_find(&table, 1, methods[i], path, &match, &err);
		loam_assert(found <= 1 && (found >= 0 || err.code == LOAM_E_INVALID));
		for (size_t n = 0; found == 1 && n < match.param_count; n++)
			check_param(&match.params[n]);
		loam_route_release(&match);
	}
}

static void query(const char *text)
{
	struct loam_web_request request = { .query = text };
	static const char *const names[] = { "service", "sig", "exp", "" };
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(names); i++) {
		loam_auto_free char *value = loam_web_query(&request, names[i]);
		for (const char *c = value ? value : ""; *c; c++)
			loam_assert((unsigned char)*c >= ' ' && *c != 0x7f);
	}
}

static void redact(const char *target)
{
	char line[1024];
	loam_auto_free char *signed_one =
		loam_xasprintf("%.400s&sig=" SECRET "&x=%.100s", target, target);
	loam_http_log_redact(target, line, sizeof(line));
	loam_assert(strlen(line) < sizeof(line));
	if (!strchr(target, '?') || strlen(target) > 400 || strstr(target, SECRET))
		return;
	loam_http_log_redact(signed_one, line, sizeof(line));
	loam_assert(!strstr(line, SECRET));
}

static void range(const char *header)
{
	static const uint64_t sizes[] = { 0, 1, 100, UINT64_MAX / 2 };
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(sizes); i++) {
		uint64_t first = 0, count = 0;
		enum loam_range_answer answer = loam_range_parse(header, sizes[i], &first, &count);
		if (answer == LOAM_RANGE_NONE)
			continue;
		loam_assert(first <= sizes[i] && count <= sizes[i] - first);
		loam_assert(answer != LOAM_RANGE_WHOLE || (first == 0 && count == sizes[i]));
		loam_assert(answer != LOAM_RANGE_PART || count > 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_bytes)
{
	loam_auto_free char *target = fuzz_text(data, data_bytes);
	loam_auto_free char *path = loam_xstrndup(target, strcspn(target, "?"));
	find(path);
	query(strchr(target, '?') ? strchr(target, '?') + 1 : "");
	redact(target);
	range(target);
	return 0;
}
