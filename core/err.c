/*
 * The error table and the few functions that fill a struct loam_err (core/err.h).
 */
#include "core/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	const char *name;
	int posix;
	int http;
	bool retry;
	const char *meaning;
} codes[LOAM_E_COUNT] = { [LOAM_E_OK] = { "OK", 0, 200, false, "done" },
#define X(name, posix, http, retry, text) [LOAM_E_##name] = { #name, posix, http, retry, text },
			  LOAM_CODES(X)
#undef X
};

static enum loam_code code_of(int code)
{
	int positive = code < 0 ? -code : code;
	loam_assert(positive < LOAM_E_COUNT);
	return (enum loam_code)positive;
}

/* Texts quote names that come from anywhere; they are shown on terminals and in logs. */
static void make_one_line(struct loam_err *err)
{
	for (char *at = err->text; *at; at++)
		if ((unsigned char)*at < ' ' || *at == 0x7f)
			*at = '?';
}

static int set(struct loam_err *err, enum loam_code code, const char *fmt, va_list args)
{
	loam_assert(code > LOAM_E_OK && code < LOAM_E_COUNT);
	loam_assert(err->code == LOAM_E_OK);
	err->code = code;
	vsnprintf(err->text, sizeof(err->text), fmt, args);
	make_one_line(err);
	return -(int)code;
}

int loam_fail(struct loam_err *err, enum loam_code code, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	int rc = set(err, code, fmt, args);
	va_end(args);
	return rc;
}

int loam_fail_errno(struct loam_err *err, const char *fmt, ...)
{
	int saved = errno;
	va_list args;
	va_start(args, fmt);
	int rc = set(err, loam_code_from_errno(saved), fmt, args);
	va_end(args);
	size_t used = strlen(err->text);
	snprintf(err->text + used, sizeof(err->text) - used, ": %s", strerror(saved));
	return rc;
}

int loam_context(struct loam_err *err, const char *fmt, ...)
{
	loam_assert(err->code != LOAM_E_OK);
	char lower[LOAM_ERR_TEXT_MAX];
	memcpy(lower, err->text, sizeof(lower));
	va_list args;
	va_start(args, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, args);
	va_end(args);
	size_t used = strlen(err->text);
	snprintf(err->text + used, sizeof(err->text) - used, ": %s", lower);
	make_one_line(err);
	return -(int)err->code;
}

void loam_err_clear(struct loam_err *err)
{
	err->code = LOAM_E_OK;
	err->text[0] = '\0';
}

int loam_code_errno(int code)
{
	return codes[code_of(code)].posix;
}

int loam_code_http(int code)
{
	return codes[code_of(code)].http;
}

bool loam_code_may_retry(int code)
{
	return codes[code_of(code)].retry;
}

const char *loam_code_name(int code)
{
	return codes[code_of(code)].name;
}

const char *loam_code_meaning(int code)
{
	return codes[code_of(code)].meaning;
}

enum loam_code loam_code_from_errno(int posix_errno)
{
	switch (posix_errno) {
	case ENOMEM:
	case EMFILE:
	case ENFILE:
		return LOAM_E_BUSY;
	case ETIMEDOUT:
	case ECONNREFUSED:
	case ECONNRESET:
	case EPIPE:
	case EHOSTUNREACH:
	case ENETUNREACH:
		return LOAM_E_UNAVAILABLE;
	default:
		break;
	}
	for (int code = 1; code < LOAM_E_COUNT; code++)
		if (codes[code].posix == posix_errno && codes[code].posix != EIO)
			return (enum loam_code)code;
	return LOAM_E_IO;
}

void loam_assert_failed(const char *cond, const char *file, int line)
{
	fprintf(stderr, "loam: assertion failed: %s (%s:%d)\n", cond, file, line);
	abort();
}
