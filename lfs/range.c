/*
 * One byte range (lfs/range.h): "bytes=FIRST-LAST", "bytes=FIRST-" or "bytes=-COUNT". Serves
 * clients that resume a download. Source: RFC 9110 §14.
 */
#include "lfs/range.h"

#include <stdbool.h>
#include <strings.h>

/* Digits up to the next other character; a number too large becomes the largest. */
static bool take_number(const char **text, uint64_t *out)
{
	uint64_t number = 0;
	bool any = false;
	for (; **text >= '0' && **text <= '9'; (*text)++) {
		unsigned digit = (unsigned)(**text - '0');
		number = number > (UINT64_MAX - digit) / 10 ? UINT64_MAX : number * 10 + digit;
		any = true;
	}
	*out = number;
	return any;
}

static enum loam_range_answer part(uint64_t first, uint64_t count, uint64_t *out_first,
				   uint64_t *out_count)
{
	*out_first = first;
	*out_count = count;
	return LOAM_RANGE_PART;
}

enum loam_range_answer loam_range_parse(const char *header, uint64_t size, uint64_t *out_first,
					uint64_t *out_count)
{
	uint64_t first, last;
	*out_first = 0;
	*out_count = size;
	if (!header || size == 0 || strncasecmp(header, "bytes=", 6) != 0)
		return LOAM_RANGE_WHOLE;
	const char *at = header + 6;
	bool has_first = take_number(&at, &first);
	if (*at++ != '-')
		return LOAM_RANGE_WHOLE;
	bool has_last = take_number(&at, &last);
	if (*at != '\0' || (!has_first && !has_last))
		return LOAM_RANGE_WHOLE;
	if (!has_first) {
		if (last == 0)
			return LOAM_RANGE_NONE;
		uint64_t count = last < size ? last : size;
		return part(size - count, count, out_first, out_count);
	}
	if (has_last && last < first)
		return LOAM_RANGE_WHOLE;
	if (first >= size)
		return LOAM_RANGE_NONE;
	if (!has_last || last >= size)
		last = size - 1;
	return part(first, last - first + 1, out_first, out_count);
}
