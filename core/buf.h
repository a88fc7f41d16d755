/*
 * A byte buffer with a maximum: it grows on demand and fails, rather than grow past its limit.
 *
 * Shape:  `data` is always NUL-terminated behind `bytes`, so text can be used as a C string.
 * Owner:  loam_buf_init/_release, or `loam_auto_buf struct loam_buf b = LOAM_BUF(max)`.
 * Errors: TOO_LARGE past the limit; BUSY when memory is out.
 */
#ifndef LOAM_CORE_BUF_H
#define LOAM_CORE_BUF_H

#include "core/err.h"

#include <stddef.h>
#include <stdint.h>

struct loam_buf {
	uint8_t *data;	  /* NULL while empty and never reserved */
	size_t bytes;	  /* used */
	size_t capacity;  /* allocated, without the terminator */
	size_t max_bytes; /* never exceeded */
};

#define LOAM_BUF(max)              \
	{                          \
		.max_bytes = (max) \
	}
#define loam_auto_buf __attribute__((cleanup(loam_buf_release)))

void loam_buf_init(struct loam_buf *buf, size_t max_bytes);
void loam_buf_release(struct loam_buf *buf);
void loam_buf_clear(struct loam_buf *buf); /* keeps the memory */
int loam_buf_reserve(struct loam_buf *buf, size_t more_bytes, struct loam_err *err);
int loam_buf_add(struct loam_buf *buf, const void *data, size_t data_bytes, struct loam_err *err);
int loam_buf_add_text(struct loam_buf *buf, const char *text, struct loam_err *err);
int loam_buf_printf(struct loam_buf *buf, struct loam_err *err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Drops bytes at the front. */
void loam_buf_drop(struct loam_buf *buf, size_t front_bytes);
/* The content as text; "" while empty. */
const char *loam_buf_text(const struct loam_buf *buf);
/* Gives the memory away (free()); the buffer is empty again. Never NULL. */
char *loam_buf_steal(struct loam_buf *buf);

#endif
