/*
 * Editing nsswitch.conf (auth/nsswitch.h). A line is "database: service [action] service # text".
 *
 * An action in brackets belongs to the service in front of it: with `files [NOTFOUND=return] sss`
 * the new service goes between `files` and the action, which says when not to go on to `sss`.
 */
#include "auth/nsswitch.h"

#include "core/auto.h"

#include <string.h>

#define SERVICE "extrausers"

static const struct {
	const char *name;
	bool must_have; /* a line is added where there is none */
} databases[] = {
	{ "passwd", true }, { "group", true }, { "shadow", true }, { "initgroups", false }
};
#define DATABASES LOAM_ARRAY_COUNT(databases)

/* One line without its newline, and where its services are. */
struct line {
	const char *text;
	size_t bytes;
	size_t database; /* index, DATABASES: none of ours */
	size_t services, services_end;
};

static size_t word_end(const char *text, size_t at, size_t end)
{
	while (at < end && text[at] != ' ' && text[at] != '\t' && text[at] != '[')
		at++;
	return at;
}

static struct line look_at(const char *text, size_t bytes)
{
	struct line line = { .text = text, .bytes = bytes, .database = DATABASES };
	size_t at = 0;
	while (at < bytes && (text[at] == ' ' || text[at] == '\t'))
		at++;
	const char *colon = memchr(text + at, ':', bytes - at);
	if (!colon)
		return line;
	size_t name_bytes = (size_t)(colon - text) - at;
	while (name_bytes > 0 &&
	       (text[at + name_bytes - 1] == ' ' || text[at + name_bytes - 1] == '\t'))
		name_bytes--;
	for (size_t i = 0; i < DATABASES; i++)
		if (strlen(databases[i].name) == name_bytes &&
		    memcmp(databases[i].name, text + at, name_bytes) == 0)
			line.database = i;
	const char *comment = memchr(text, '#', bytes);
	if (comment && comment < colon)
		line.database = DATABASES;
	line.services = (size_t)(colon - text) + 1;
	line.services_end = comment ? (size_t)(comment - text) : bytes;
	return line;
}

/* The word among the services: its start and end; false: not there. */
static bool find_service(const struct line *line, const char *word, size_t *out_start,
			 size_t *out_end)
{
	size_t at = line->services, end = line->services_end;
	while (at < end) {
		char c = line->text[at];
		if (c == '[') { /* an action, to its end */
			const char *close = memchr(line->text + at, ']', end - at);
			at = close ? (size_t)(close - line->text) + 1 : at + 1;
			continue;
		}
		if (c == ' ' || c == '\t') {
			at++;
			continue;
		}
		size_t stop = word_end(line->text, at, end);
		if (stop - at == strlen(word) && memcmp(line->text + at, word, stop - at) == 0) {
			*out_start = at;
			*out_end = stop;
			return true;
		}
		at = stop;
	}
	return false;
}

/* Lines one after the other; false at the end. *out_newline: does a newline follow? */
static bool next_line(const struct loam_buf *text, size_t *at, struct line *out, bool *out_newline)
{
	if (*at >= text->bytes)
		return false;
	const char *start = (const char *)text->data + *at;
	const char *newline = memchr(start, '\n', text->bytes - *at);
	size_t bytes = newline ? (size_t)(newline - start) : text->bytes - *at;
	*out = look_at(start, bytes);
	*out_newline = newline != NULL;
	*at += bytes + (newline != NULL);
	return true;
}

static int add_to_line(const struct line *line, struct loam_buf *out, struct loam_err *err)
{
	size_t start, at;
	if (find_service(line, SERVICE, &start, &at))
		return loam_buf_add(out, line->text, line->bytes, err);
	if (!find_service(line, "files", &start, &at) &&
	    !find_service(line, "compat", &start, &at)) {
		at = line->services_end;
		while (at > line->services &&
		       (line->text[at - 1] == ' ' || line->text[at - 1] == '\t'))
			at--;
	}
	int rc = loam_buf_add(out, line->text, at, err);
	if (rc == 0)
		rc = loam_buf_add(out, " " SERVICE, strlen(" " SERVICE), err);
	return rc < 0 ? rc : loam_buf_add(out, line->text + at, line->bytes - at, err);
}

int loam_nsswitch_add(const struct loam_buf *old, struct loam_buf *out, struct loam_err *err)
{
	bool seen[DATABASES + 1] = { false };
	struct line line;
	bool newline = true;
	int rc = 0;
	for (size_t at = 0; rc == 0 && next_line(old, &at, &line, &newline);) {
		rc = line.database < DATABASES ? add_to_line(&line, out, err)
					       : loam_buf_add(out, line.text, line.bytes, err);
		if (rc == 0 && newline)
			rc = loam_buf_add(out, "\n", 1, err);
		seen[line.database] = true;
	}
	for (size_t i = 0; rc == 0 && i < DATABASES; i++) {
		if (seen[i] || !databases[i].must_have)
			continue;
		rc = loam_buf_printf(out, err, "%s%s: files " SERVICE "\n", newline ? "" : "\n",
				     databases[i].name);
		newline = true;
	}
	return rc;
}

static bool has_service(const struct loam_buf *text, size_t database)
{
	struct line line;
	bool newline;
	size_t start, end;
	for (size_t at = 0; next_line(text, &at, &line, &newline);)
		if (line.database == database && find_service(&line, SERVICE, &start, &end))
			return true;
	return false;
}

int loam_nsswitch_remove(const struct loam_buf *now, const struct loam_buf *before,
			 struct loam_buf *out, struct loam_err *err)
{
	struct line line;
	bool newline;
	int rc = 0;
	for (size_t at = 0; rc == 0 && next_line(now, &at, &line, &newline);) {
		size_t start = line.bytes, end = line.bytes;
		if (line.database < DATABASES && !has_service(before, line.database) &&
		    find_service(&line, SERVICE, &start, &end)) {
			while (start > line.services &&
			       (line.text[start - 1] == ' ' || line.text[start - 1] == '\t'))
				start--;
		} else {
			start = end = line.bytes;
		}
		rc = loam_buf_add(out, line.text, start, err);
		if (rc == 0)
			rc = loam_buf_add(out, line.text + end, line.bytes - end, err);
		if (rc == 0 && newline)
			rc = loam_buf_add(out, "\n", 1, err);
	}
	return rc;
}
