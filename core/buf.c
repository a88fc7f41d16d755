/*
 * Bounded byte buffer (core/buf.h). Growth doubles, so n additions cost O(n) copies.
 */
#include "core/buf.h"

#include "core/auto.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_CAPACITY 64

void loam_buf_init(struct loam_buf *buf, size_t max_bytes)
{
	*buf = (struct loam_buf){ .max_bytes = max_bytes };
}

void loam_buf_release(struct loam_buf *buf)
{
	free(buf->data);
	*buf = (struct loam_buf){ .max_bytes = buf->max_bytes };
}

void loam_buf_clear(struct loam_buf *buf)
{
	buf->bytes = 0;
	if (buf->data)
		buf->data[0] = '\0';
}

int loam_buf_reserve(struct loam_buf *buf, size_t more_bytes, struct loam_err *err)
{
	if (more_bytes > buf->max_bytes - buf->bytes)
		return loam_fail(err, LOAM_E_TOO_LARGE, "more than %zu bytes", buf->max_bytes);
	size_t needed = buf->bytes + more_bytes;
	if (buf->data && needed <= buf->capacity)
		return 0;

	size_t capacity = buf->capacity ? buf->capacity : FIRST_CAPACITY;
	while (capacity < needed)
		capacity *= 2;
	if (capacity > buf->max_bytes)
		capacity = buf->max_bytes;
	uint8_t *data = realloc(buf->data, capacity + 1);
	if (!data)
		return loam_fail(err, LOAM_E_BUSY, "no memory for %zu bytes", capacity);

	buf->data = data;
	buf->capacity = capacity;
	buf->data[buf->bytes] = '\0';
	return 0;
}

int loam_buf_add(struct loam_buf *buf, const void *data, size_t data_bytes, struct loam_err *err)
{
	int rc = loam_buf_reserve(buf, data_bytes, err);
	if (rc < 0)
		return rc;
	if (data_bytes > 0)
		memcpy(buf->data + buf->bytes, data, data_bytes);
	buf->bytes += data_bytes;
	buf->data[buf->bytes] = '\0';
	return 0;
}

int loam_buf_add_text(struct loam_buf *buf, const char *text, struct loam_err *err)
{
	return loam_buf_add(buf, text, strlen(text), err);
}

int loam_buf_printf(struct loam_buf *buf, struct loam_err *err, const char *fmt, ...)
{
	loam_auto_free char *text = NULL;
	va_list args;
	va_start(args, fmt);
	int length = vasprintf(&text, fmt, args);
	va_end(args);
	if (length < 0) {
		text = NULL;
		return loam_fail(err, LOAM_E_BUSY, "no memory to format text");
	}
	return loam_buf_add(buf, text, (size_t)length, err);
}

void loam_buf_drop(struct loam_buf *buf, size_t front_bytes)
{
	loam_assert(front_bytes <= buf->bytes);
	if (front_bytes == 0)
		return;
	buf->bytes -= front_bytes;
	memmove(buf->data, buf->data + front_bytes, buf->bytes + 1);
}

const char *loam_buf_text(const struct loam_buf *buf)
{
	return buf->data ? (const char *)buf->data : "";
}

char *loam_buf_steal(struct loam_buf *buf)
{
	char *text = buf->data ? (char *)buf->data : loam_xstrdup("");
	*buf = (struct loam_buf){ .max_bytes = buf->max_bytes };
	return text;
}
