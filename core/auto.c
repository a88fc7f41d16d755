/*
 * Allocation that cannot fail, for small sizes of our own choosing (core/auto.h).
 */
#include "core/auto.h"

#include "core/err.h"

#include <string.h>

void *loam_xcalloc(size_t count, size_t size)
{
	void *memory = calloc(count ? count : 1, size ? size : 1);
	loam_assert(memory != NULL);
	return memory;
}

char *loam_xstrdup(const char *text)
{
	return loam_xstrndup(text, strlen(text));
}

char *loam_xstrndup(const char *text, size_t text_bytes)
{
	char *copy = loam_xcalloc(1, text_bytes + 1);
	memcpy(copy, text, text_bytes);
	return copy;
}

char *loam_xasprintf(const char *fmt, ...)
{
	char *text = NULL;
	va_list args;
	va_start(args, fmt);
	int length = vasprintf(&text, fmt, args);
	va_end(args);
	loam_assert(length >= 0);
	return text;
}
