/*
 * Colon-separated lines and files of them (auth/fields.h).
 */
#include "auth/fields.h"

#include "core/auto.h"
#include "core/terminal.h"

#include <string.h>

static int check_bytes(const char *line, size_t line_bytes, size_t bytes_max, struct loam_err *err)
{
	if (line_bytes >= bytes_max)
		return loam_fail(err, LOAM_E_INVALID, "a line of %zu bytes", line_bytes);
	for (size_t i = 0; i < line_bytes; i++)
		if ((unsigned char)line[i] < 0x20 || line[i] == 0x7F)
			return loam_fail(err, LOAM_E_INVALID, "a control byte in the line");
	return 0;
}

static int cut(char *text, char **fields, size_t count, struct loam_err *err)
{
	size_t found = 0;
	for (char *at = text;;) {
		if (found == count)
			return loam_fail(err, LOAM_E_INVALID, "more than %zu fields", count);
		fields[found++] = at;
		char *colon = strchr(at, ':');
		if (!colon)
			break;
		*colon = '\0';
		at = colon + 1;
	}
	if (found != count)
		return loam_fail(err, LOAM_E_INVALID, "%zu fields instead of %zu", found, count);
	return 0;
}

int loam_fields_split(const char *line, size_t line_bytes, char copy[LOAM_ACCOUNT_LINE_BYTES_MAX],
		      char **fields, size_t count, struct loam_err *err)
{
	int rc = check_bytes(line, line_bytes, LOAM_ACCOUNT_LINE_BYTES_MAX, err);
	if (rc < 0)
		return rc;
	memcpy(copy, line, line_bytes);
	copy[line_bytes] = '\0';
	return cut(copy, fields, count, err);
}

int loam_fields_split_grown(const char *line, size_t line_bytes,
			    char copy[LOAM_ACCOUNT_LINE_BYTES_MAX], char **fields, size_t count,
			    size_t count_once, struct loam_err *err)
{
	struct loam_err fewer = { 0 };
	int rc = loam_fields_split(line, line_bytes, copy, fields, count, err);
	if (rc == 0 || loam_fields_split(line, line_bytes, copy, fields, count_once, &fewer) < 0)
		return rc;
	loam_err_clear(err);
	for (size_t i = count_once; i < count; i++)
		fields[i] = copy + line_bytes; /* its end */
	return 0;
}

int loam_fields_split_long(const char *line, size_t line_bytes, size_t bytes_max, char **out_copy,
			   char **fields, size_t count, struct loam_err *err)
{
	int rc = check_bytes(line, line_bytes, bytes_max, err);
	if (rc < 0)
		return rc;
	loam_auto_free char *copy = loam_xstrndup(line, line_bytes);
	rc = cut(copy, fields, count, err);
	if (rc == 0)
		*out_copy = loam_steal(&copy);
	return rc;
}

char *loam_list_without(const char *list, const char *name)
{
	size_t bytes = strlen(name), at = 0;
	char *out = loam_xcalloc(strlen(list) + 1, 1);
	while (*list) {
		size_t word = strcspn(list, ",");
		if (word > 0 && (word != bytes || memcmp(list, name, bytes) != 0)) {
			if (at > 0)
				out[at++] = ',';
			memcpy(out + at, list, word);
			at += word;
		}
		list += word + (list[word] == ',');
	}
	return out;
}

bool loam_list_holds(const char *list, const char *name)
{
	size_t bytes = strlen(name);
	while (*list) {
		size_t word = strcspn(list, ",");
		if (word == bytes && memcmp(list, name, bytes) == 0)
			return true;
		list += word + (list[word] == ',');
	}
	return false;
}

char *loam_list_with(const char *list, const char *name)
{
	if (loam_list_holds(list, name))
		return loam_xstrdup(list);
	return loam_xasprintf("%s%s%s", list, list[0] ? "," : "", name);
}

bool loam_fields_copy(const char *field, char *out, size_t out_bytes)
{
	size_t bytes = strlen(field);
	if (bytes >= out_bytes)
		return false;
	memcpy(out, field, bytes + 1);
	return true;
}

bool loam_fields_may_hold(const char *text)
{
	for (; *text; text++)
		if (loam_terminal_odd(text) || *text == '\n' || *text == '\t' || *text == ':')
			return false;
	return true;
}

bool loam_lines_next(const char **rest, const char *end, const char **out_line,
		     size_t *out_line_bytes)
{
	if (*rest >= end)
		return false;
	const char *newline = memchr(*rest, '\n', (size_t)(end - *rest));
	*out_line = *rest;
	*out_line_bytes = (size_t)((newline ? newline : end) - *rest);
	*rest = newline ? newline + 1 : end;
	return true;
}

int loam_lines_add(struct loam_buf *out, const char *line, size_t line_bytes, struct loam_err *err)
{
	int rc = loam_buf_add(out, line, line_bytes, err);
	return rc < 0 ? rc : loam_buf_add(out, "\n", 1, err);
}

int loam_lines_drop(const struct loam_buf *text, loam_lines_meant_fn *is_meant, const void *arg,
		    struct loam_buf *out, size_t *out_dropped, struct loam_err *err)
{
	const char *rest = loam_buf_text(text), *end = rest + text->bytes, *line;
	size_t bytes, dropped = 0;
	int rc = 0;
	while (rc == 0 && loam_lines_next(&rest, end, &line, &bytes)) {
		if (is_meant(arg, line, bytes))
			dropped++;
		else
			rc = loam_lines_add(out, line, bytes, err);
	}
	if (out_dropped)
		*out_dropped = dropped;
	return rc;
}

static bool is_named(const char *line, size_t line_bytes, const char *name)
{
	size_t bytes = strlen(name);
	return line_bytes > bytes && memcmp(line, name, bytes) == 0 && line[bytes] == ':';
}

int loam_lines_set(const struct loam_buf *text, const char *name, const char *line,
		   struct loam_buf *out, bool *out_had, struct loam_err *err)
{
	const char *rest = loam_buf_text(text);
	const char *end = rest + text->bytes;
	const char *present;
	size_t present_bytes;
	bool had = false;
	int rc = 0;
	while (rc == 0 && loam_lines_next(&rest, end, &present, &present_bytes)) {
		if (!is_named(present, present_bytes, name)) {
			rc = loam_lines_add(out, present, present_bytes, err);
		} else if (!had) {
			had = true;
			if (line)
				rc = loam_buf_add_text(out, line, err);
		}
	}
	if (rc == 0 && !had && line)
		rc = loam_buf_add_text(out, line, err);
	if (rc < 0)
		return rc;
	*out_had = had;
	return 0;
}
