/*
 * JSON with limits, on jansson (core/json.h). Jansson allows a depth of 2048, so the depth is
 * counted over the text before it is parsed: brackets outside of strings.
 */
#include "core/json.h"

#include "core/auto.h"
#include "core/cmd.h"
#include "core/limits.h"

#include <stdio.h>
#include <string.h>

#define SHOWN_BYTES_MAX (256u << 20)

static bool depth_is_allowed(const char *text, size_t text_bytes)
{
	size_t depth = 0;
	bool in_string = false;
	for (size_t i = 0; i < text_bytes; i++) {
		char c = text[i];
		if (in_string) {
			if (c == '\\')
				i++;
			else if (c == '"')
				in_string = false;
			continue;
		}
		if (c == '"')
			in_string = true;
		else if ((c == '[' || c == '{') && ++depth > LOAM_JSON_DEPTH_MAX)
			return false;
		else if ((c == ']' || c == '}') && depth > 0)
			depth--;
	}
	return true;
}

/* A value whose strings are no text: it can be read, but not meant. What does not begin as JSON is
 * none at all. */
static bool is_no_text(const char *text, size_t text_bytes, const json_error_t *why)
{
	enum json_error_code code = json_error_code(why);
	size_t blanks = 0;
	while (blanks < text_bytes && strchr(" \t\r\n", text[blanks]))
		blanks++;
	if (blanks == text_bytes || (text[blanks] != '{' && text[blanks] != '['))
		return false;
	return code == json_error_null_character || code == json_error_invalid_utf8 ||
	       strncmp(why->text, "invalid Unicode", 15) == 0 ||
	       strncmp(why->text, "control character", 17) == 0;
}

static int parse(const void *text, size_t text_bytes, size_t flags, json_t **out_value,
		 struct loam_err *err)
{
	if (!depth_is_allowed(text, text_bytes))
		return loam_fail(err, LOAM_E_INVALID, "JSON is nested deeper than %d",
				 LOAM_JSON_DEPTH_MAX);

	json_error_t why;
	json_t *value = json_loadb(text_bytes ? text : "", text_bytes,
				   flags | JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &why);
	if (!value) {
		if (is_no_text(text, text_bytes, &why))
			return loam_fail(
				err, LOAM_E_UNPROCESSABLE,
				"JSON line %d column %d: a string that is no UTF-8, or has "
				"a control byte",
				why.line, why.column);
		/* jansson quotes the place: it may be a password, or no UTF-8. */
		char *quoted = strstr(why.text, " near '");
		if (quoted)
			*quoted = '\0';
		return loam_fail(err, LOAM_E_INVALID, "JSON line %d column %d: %s", why.line,
				 why.column, why.text);
	}

	*out_value = value;
	return 0;
}

int loam_json_parse(const void *text, size_t text_bytes, json_t **out_value, struct loam_err *err)
{
	return parse(text, text_bytes, 0, out_value, err);
}

int loam_json_parse_with_nul(const void *text, size_t text_bytes, json_t **out_value,
			     struct loam_err *err)
{
	return parse(text, text_bytes, JSON_ALLOW_NUL, out_value, err);
}

struct print {
	struct loam_buf *out;
	struct loam_err *err;
};

static int print_part(const char *text, size_t text_bytes, void *arg)
{
	struct print *print = arg;
	return loam_buf_add(print->out, text, text_bytes, print->err) < 0 ? -1 : 0;
}

int loam_json_print(const json_t *value, struct loam_buf *out, struct loam_err *err)
{
	struct print print = { .out = out, .err = err };
	if (json_dump_callback(value, print_part, &print, JSON_COMPACT | JSON_ENCODE_ANY) == 0)
		return 0;
	if (err->code != LOAM_E_OK)
		return -(int)err->code;
	return loam_fail(err, LOAM_E_INTERNAL, "a value that is no JSON");
}

int loam_json_show(const json_t *value, struct loam_err *err)
{
	loam_auto_buf struct loam_buf text = LOAM_BUF(SHOWN_BYTES_MAX);
	int rc = loam_json_print(value, &text, err);
	if (rc == 0)
		fprintf(loam_cmd_out(), "%s\n", loam_buf_text(&text));
	return rc;
}

/* 1 present and of a wanted type, 0 absent or null, -UNPROCESSABLE. */
static int member(const json_t *object, const char *name, bool (*is_wanted)(const json_t *value),
		  const char *wanted, const json_t **out, struct loam_err *err)
{
	if (!json_is_object(object))
		return loam_fail(err, LOAM_E_UNPROCESSABLE, "'%s' is looked for in no object",
				 name);
	const json_t *value = json_object_get(object, name);
	if (!value || json_is_null(value))
		return 0;
	if (!is_wanted(value))
		return loam_fail(err, LOAM_E_UNPROCESSABLE, "'%s' is not %s", name, wanted);
	*out = value;
	return 1;
}

static bool is_text(const json_t *value)
{
	return json_is_string(value) &&
	       strlen(json_string_value(value)) == json_string_length(value);
}

static bool is_u64(const json_t *value)
{
	return json_is_integer(value) && json_integer_value(value) >= 0;
}

static bool is_bool(const json_t *value)
{
	return json_is_boolean(value);
}

int loam_json_text(const json_t *object, const char *name, const char **out_text,
		   struct loam_err *err)
{
	const json_t *value = NULL;
	int found = member(object, name, is_text, "text", &value, err);
	if (found == 1)
		*out_text = json_string_value(value);
	return found;
}

int loam_json_u64(const json_t *object, const char *name, uint64_t *out_number,
		  struct loam_err *err)
{
	const json_t *value = NULL;
	int found = member(object, name, is_u64, "a whole number from 0", &value, err);
	if (found == 1)
		*out_number = (uint64_t)json_integer_value(value);
	return found;
}

int loam_json_bool(const json_t *object, const char *name, bool *out_flag, struct loam_err *err)
{
	const json_t *value = NULL;
	int found = member(object, name, is_bool, "true or false", &value, err);
	if (found == 1)
		*out_flag = json_is_true(value);
	return found;
}
