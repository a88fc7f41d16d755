/*
 * Lines of fields joined by ':', as passwd, group, shadow and tokens have them, and files of such
 * lines edited by the name in their first field. Lines that are not understood are kept as they
 * are.
 */
#ifndef LOAM_AUTH_FIELDS_H
#define LOAM_AUTH_FIELDS_H

#include "core/buf.h"
#include "core/err.h"
#include "core/limits.h"

#include <stdbool.h>

/* Copies the line (without its newline) and points fields into the copy. Exactly count fields, no
 * NUL, CR or other control byte, at most LOAM_ACCOUNT_LINE_BYTES_MAX - 1 bytes; else INVALID. */
int loam_fields_split(const char *line, size_t line_bytes, char copy[LOAM_ACCOUNT_LINE_BYTES_MAX],
		      char **fields, size_t count, struct loam_err *err);
/* The same for lines that once had fewer fields: those that are missing read as "". */
int loam_fields_split_grown(const char *line, size_t line_bytes,
			    char copy[LOAM_ACCOUNT_LINE_BYTES_MAX], char **fields, size_t count,
			    size_t count_once, struct loam_err *err);
/* The same for lines that may be long (groups with many members): a copy of its own, free(). */
int loam_fields_split_long(const char *line, size_t line_bytes, size_t bytes_max, char **out_copy,
			   char **fields, size_t count, struct loam_err *err);
/* Lists of names, "a,b,c": without name, or with it (at the end, if it was not there); free(). */
bool loam_list_holds(const char *list, const char *name);
char *loam_list_without(const char *list, const char *name);
char *loam_list_with(const char *list, const char *name);
/* false when it does not fit. */
bool loam_fields_copy(const char *field, char *out, size_t out_bytes);
/* May text stand in a field? No ':', no control byte, nothing that a terminal obeys. */
bool loam_fields_may_hold(const char *text);

/* Walks lines: *rest starts as the text; false at its end. A missing last newline is fine. */
bool loam_lines_next(const char **rest, const char *end, const char **out_line,
		     size_t *out_line_bytes);
/* One line, and its newline. */
int loam_lines_add(struct loam_buf *out, const char *line, size_t line_bytes, struct loam_err *err);
/* All lines but those that are meant; *out_dropped (may be NULL): how many these were. */
typedef bool loam_lines_meant_fn(const void *arg, const char *line, size_t line_bytes);
int loam_lines_drop(const struct loam_buf *text, loam_lines_meant_fn *is_meant, const void *arg,
		    struct loam_buf *out, size_t *out_dropped, struct loam_err *err);
/* Replaces the lines whose first field is name by line (with newline; NULL: removes them), appends
 * it when there was none. *out_had says whether there was one. */
int loam_lines_set(const struct loam_buf *text, const char *name, const char *line,
		   struct loam_buf *out, bool *out_had, struct loam_err *err);

#endif
