/*
 * JSON through jansson, with Loam's limits: depth 64, duplicate members refused, nothing behind the
 * value, valid UTF-8 only.
 */
#ifndef LOAM_CORE_JSON_H
#define LOAM_CORE_JSON_H

#include "core/buf.h"
#include "core/err.h"

#include <jansson.h>

static inline void loam_auto_json_(json_t **value)
{
	json_decref(*value);
}
#define loam_auto_json __attribute__((cleanup(loam_auto_json_)))

/* Errors: INVALID with line and column; UNPROCESSABLE for an object or array with a string that is
 * no UTF-8, or holds NUL or a bare control byte. The result is the caller's (json_decref). */
int loam_json_parse(const void *text, size_t text_bytes, json_t **out_value, struct loam_err *err);
/* The same, but texts may hold \u0000 (loam_json_text refuses those): for doors that must name the
 * bad value in their answer. */
int loam_json_parse_with_nul(const void *text, size_t text_bytes, json_t **out_value,
			     struct loam_err *err);
/* Appends compact JSON, members in insertion order. */
int loam_json_print(const json_t *value, struct loam_buf *out, struct loam_err *err);
/* The same as one line on the command's output: what --json prints. */
int loam_json_show(const json_t *value, struct loam_err *err);
/* Members of an object. 1 found, 0 absent or null, -UNPROCESSABLE of another type. */
int loam_json_text(const json_t *object, const char *name, const char **out_text,
		   struct loam_err *err);
int loam_json_u64(const json_t *object, const char *name, uint64_t *out_number,
		  struct loam_err *err);
int loam_json_bool(const json_t *object, const char *name, bool *out_flag, struct loam_err *err);

#endif
