/*
 * Tables of accounts as CSV (auth/import.h). RFC 4180: fields separated by commas, quotes around
 * fields that hold commas, quotes or newlines, a quote in quotes doubled; lines end with LF or
 * CR LF.
 */
#include "auth/import.h"

#include "core/auto.h"

#include <string.h>
#include <strings.h>

#define COLUMNS_MAX	64
#define FIELD_BYTES_MAX 4096
#define BOM		"\xef\xbb\xbf"

enum column { COLUMN_NAME, COLUMN_UID, COLUMN_GROUPS, COLUMN_DISABLED, COLUMN_COUNT };
static const char *const column_names[COLUMN_COUNT] = { "name", "uid", "groups", "disabled" };

struct table {
	const char *at, *end;
	size_t line;		 /* number of the line `at` is in */
	size_t first_line;	 /* of the row that was read last */
	int place[COLUMN_COUNT]; /* of each column, -1: none */
	char fields[COLUMNS_MAX][FIELD_BYTES_MAX + 1];
	size_t field_count;
};

static int take_quoted(struct table *table, char *out, size_t *bytes, struct loam_err *err)
{
	table->at++;
	while (table->at < table->end) {
		char c = *table->at++;
		if (c == '"' && table->at < table->end && *table->at == '"')
			table->at++;
		else if (c == '"')
			return 0;
		table->line += c == '\n';
		if (*bytes == FIELD_BYTES_MAX)
			return loam_fail(err, LOAM_E_TOO_LARGE, "line %zu: a field too long",
					 table->first_line);
		out[(*bytes)++] = c;
	}
	return loam_fail(err, LOAM_E_INVALID, "line %zu: a quote is not closed", table->first_line);
}

static int take_field(struct table *table, struct loam_err *err)
{
	if (table->field_count == COLUMNS_MAX)
		return loam_fail(err, LOAM_E_TOO_LARGE, "line %zu: more than %d columns",
				 table->first_line, COLUMNS_MAX);
	char *out = table->fields[table->field_count++];
	size_t bytes = 0;
	int rc = 0;
	if (table->at < table->end && *table->at == '"')
		rc = take_quoted(table, out, &bytes, err);
	while (rc == 0 && table->at < table->end && *table->at != ',' && *table->at != '\n') {
		if (bytes == FIELD_BYTES_MAX)
			return loam_fail(err, LOAM_E_TOO_LARGE, "line %zu: a field too long",
					 table->first_line);
		out[bytes++] = *table->at++;
	}
	if (rc == 0 && bytes > 0 && out[bytes - 1] == '\r')
		bytes--;
	if (rc == 0 && memchr(out, '\0', bytes))
		return loam_fail(err, LOAM_E_INVALID, "line %zu: a NUL byte", table->first_line);
	out[bytes] = '\0';
	return rc;
}

/* 1 a row, 0 the end. */
static int take_row(struct table *table, struct loam_err *err)
{
	if (table->at >= table->end)
		return 0;
	table->first_line = table->line;
	table->field_count = 0;
	for (;;) {
		int rc = take_field(table, err);
		if (rc < 0)
			return rc;
		if (table->at >= table->end)
			return 1;
		if (*table->at++ == '\n') {
			table->line++;
			return 1;
		}
	}
}

static const char *cell(const struct table *table, enum column column)
{
	int place = table->place[column];
	return place >= 0 && (size_t)place < table->field_count ? table->fields[place] : "";
}

static int take_header(struct table *table, struct loam_err *err)
{
	int rc = take_row(table, err);
	if (rc < 0)
		return rc;
	for (int column = 0; column < COLUMN_COUNT; column++) {
		table->place[column] = -1;
		for (size_t i = 0; rc == 1 && i < table->field_count; i++)
			if (strcasecmp(table->fields[i], column_names[column]) == 0)
				table->place[column] = (int)i;
	}
	if (table->place[COLUMN_NAME] >= 0)
		return 0;
	return loam_fail(err, LOAM_E_INVALID,
			 "the first line names the columns: name, and uid, groups, disabled where "
			 "they are known");
}

static bool is_yes(const char *text)
{
	static const char *const words[] = { "1", "true", "yes", "y" };
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(words); i++)
		if (strcasecmp(text, words[i]) == 0)
			return true;
	return false;
}

static int add_row(struct table *table, struct loam_import *import, struct loam_err *err)
{
	struct loam_import_entry *user =
		loam_import_add_user(import, cell(table, COLUMN_NAME), table->first_line);
	if (!user)
		return loam_fail(err, LOAM_E_TOO_LARGE, "more than %d accounts",
				 LOAM_IMPORT_ENTRIES_MAX);
	if (cell(table, COLUMN_UID)[0])
		loam_import_set_number(user, cell(table, COLUMN_UID), &user->number);
	user->disabled = is_yes(cell(table, COLUMN_DISABLED));
	char groups[FIELD_BYTES_MAX + 1], *save = NULL;
	memcpy(groups, cell(table, COLUMN_GROUPS), strlen(cell(table, COLUMN_GROUPS)) + 1);
	for (char *name = strtok_r(groups, " ,;\t", &save); name;
	     name = strtok_r(NULL, " ,;\t", &save)) {
		struct loam_import_entry *group = loam_import_group(import, name);
		if (!group)
			group = loam_import_add_group(import, name, table->first_line);
		if (!group)
			return loam_fail(err, LOAM_E_TOO_LARGE, "more than %d groups",
					 LOAM_IMPORT_ENTRIES_MAX);
		loam_import_add_member(group, user->name);
	}
	return 0;
}

int loam_import_csv(const struct loam_buf *text, struct loam_import *import, struct loam_err *err)
{
	loam_auto_free struct table *table = loam_xnew(struct table);
	table->at = loam_buf_text(text);
	table->end = table->at + text->bytes;
	table->line = 1;
	if (text->bytes >= strlen(BOM) && memcmp(table->at, BOM, strlen(BOM)) == 0)
		table->at += strlen(BOM);
	int rc = take_header(table, err);
	while (rc == 0 && (rc = take_row(table, err)) == 1) {
		bool is_empty = table->field_count == 1 && table->fields[0][0] == '\0';
		rc = is_empty ? 0 : add_row(table, import, err);
	}
	return rc;
}
