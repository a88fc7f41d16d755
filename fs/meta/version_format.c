/*
 * Versions of clients, as the volume's gate compares them (MinClientVersion, MaxClientVersion).
 *
 *   major[.minor[.patch]][-prerelease][+build]
 *
 * Build is dropped. Numbers decide first; then the pre-release by plain bytes, where none is
 * greater than any: 1.1.0-A < 1.1.0-beta1 < 1.1.0.
 */
#include "fs/meta/meta_format.h"

#include <string.h>

#define VERSION_PARTS	  3
#define VERSION_DIGITS	  9
#define VERSION_CHARS_MAX 128

struct version {
	uint32_t parts[VERSION_PARTS];
	const char *pre; /* in the text given */
	size_t pre_bytes;
};

static int parse_numbers(const char *text, size_t bytes, struct version *version)
{
	size_t at = 0;
	for (size_t part = 0; part < VERSION_PARTS; part++) {
		size_t start = at;
		uint32_t number = 0;
		while (at < bytes && text[at] >= '0' && text[at] <= '9')
			number = number * 10 + (uint32_t)(text[at++] - '0');
		if (at == start || at - start > VERSION_DIGITS)
			return -1;
		version->parts[part] = number;
		if (at == bytes)
			return 0;
		if (text[at++] != '.')
			return -1;
	}
	return -1;
}

static int parse(const char *text, struct version *out, struct loam_err *err)
{
	struct version version = { .pre = text };
	size_t bytes = strcspn(text, "+");
	size_t numbers_bytes = strcspn(text, "-+");
	if (numbers_bytes < bytes) {
		version.pre = text + numbers_bytes + 1;
		version.pre_bytes = bytes - numbers_bytes - 1;
	}
	if (bytes > VERSION_CHARS_MAX || parse_numbers(text, numbers_bytes, &version) < 0)
		return loam_fail(err, LOAM_E_INVALID, "'%s' is no version", text);
	*out = version;
	return 0;
}

static int compare_pre(const struct version *a, const struct version *b)
{
	if (a->pre_bytes == 0 || b->pre_bytes == 0)
		return (a->pre_bytes == 0) - (b->pre_bytes == 0);
	size_t common = a->pre_bytes < b->pre_bytes ? a->pre_bytes : b->pre_bytes;
	int order = memcmp(a->pre, b->pre, common);
	if (order != 0)
		return order;
	return (a->pre_bytes > b->pre_bytes) - (a->pre_bytes < b->pre_bytes);
}

int loam_version_compare(const char *a, const char *b, int *out_order, struct loam_err *err)
{
	struct version left, right;
	int ret = parse(a, &left, err);
	if (ret < 0)
		return ret;
	ret = parse(b, &right, err);
	if (ret < 0)
		return ret;

	for (size_t i = 0; i < VERSION_PARTS; i++) {
		if (left.parts[i] != right.parts[i]) {
			*out_order = left.parts[i] < right.parts[i] ? -1 : 1;
			return 0;
		}
	}
	*out_order = compare_pre(&left, &right);
	return 0;
}
