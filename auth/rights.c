/*
 * Rows of rights and their texts (auth/rights.h).
 */
#include "auth/rights.h"

#include "core/auto.h"
#include "core/cmd.h"

#include <stdio.h>
#include <string.h>

#define WORD_BYTES 32

static const char letters[] = {
	[LOAM_RIGHT_NONE] = '-',  [LOAM_RIGHT_DENIED] = 'd', [LOAM_RIGHT_READ] = 'r',
	[LOAM_RIGHT_WRITE] = 'w', [LOAM_RIGHT_ADMIN] = 'a',  [LOAM_RIGHT_OWNER] = 'o'
};

const char *loam_right_name(enum loam_right right)
{
	static const char *const names[] = {
		[LOAM_RIGHT_NONE] = "none",   [LOAM_RIGHT_DENIED] = "denied",
		[LOAM_RIGHT_READ] = "read",   [LOAM_RIGHT_WRITE] = "write",
		[LOAM_RIGHT_ADMIN] = "admin", [LOAM_RIGHT_OWNER] = "owner",
	};
	return names[right];
}

void loam_rights_release(struct loam_rights *rights)
{
	free(rights->rows);
	*rights = (struct loam_rights){ 0 };
}

static int compare(const struct loam_grantee *a, const struct loam_grantee *b)
{
	if (a->is_group != b->is_group)
		return a->is_group ? 1 : -1;
	return a->id < b->id ? -1 : a->id > b->id;
}

/* The place of who: *out_found says whether he is there. */
static size_t place_of(const struct loam_rights *rights, const struct loam_grantee *who,
		       bool *out_found)
{
	size_t low = 0, high = rights->count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = compare(&rights->rows[middle].who, who);
		if (order == 0) {
			*out_found = true;
			return middle;
		}
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	*out_found = false;
	return low;
}

struct loam_right_row *loam_rights_find(const struct loam_rights *rights,
					const struct loam_grantee *who)
{
	bool found;
	size_t at = place_of(rights, who, &found);
	return found ? &rights->rows[at] : NULL;
}

int loam_rights_row(struct loam_rights *rights, const struct loam_grantee *who,
		    struct loam_right_row **out_row, struct loam_err *err)
{
	bool found;
	size_t at = place_of(rights, who, &found);
	if (!found) {
		if (rights->count == LOAM_RIGHTS_ROWS_MAX)
			return loam_fail(err, LOAM_E_TOO_LARGE,
					 "more than %d users and groups have rights here: use a "
					 "group",
					 LOAM_RIGHTS_ROWS_MAX);
		struct loam_right_row *grown =
			reallocarray(rights->rows, rights->count + 1, sizeof(*grown));
		loam_assert(grown != NULL);
		rights->rows = grown;
		memmove(grown + at + 1, grown + at, (rights->count - at) * sizeof(*grown));
		grown[at] = (struct loam_right_row){ .who = *who };
		rights->count++;
	}
	*out_row = &rights->rows[at];
	return 0;
}

enum loam_right loam_right_of(const struct loam_right_row *row)
{
	if (row->inherited == LOAM_RIGHT_OWNER)
		return LOAM_RIGHT_OWNER;
	if (row->direct == LOAM_RIGHT_DENIED)
		return LOAM_RIGHT_DENIED;
	return row->direct > row->inherited ? row->direct : row->inherited;
}

/* ---- texts ----------------------------------------------------------------------------------- */

static bool parse_letter(const char *text, enum loam_right *out)
{
	const char *found = text[0] != '\0' ? memchr(letters, text[0], sizeof(letters)) : NULL;
	if (!found || text[1] != '\0')
		return false;
	*out = (enum loam_right)(found - letters);
	return true;
}

/* "u:20002:w" or "u:20002:w:r"; cut to pieces. */
static bool parse_word(char *word, bool with_direct, struct loam_right_row *out)
{
	char *fields[4] = { NULL };
	size_t count = 0;
	for (char *field; count < LOAM_ARRAY_COUNT(fields) && (field = strsep(&word, ":"));)
		fields[count++] = field;
	struct loam_err ignored = { 0 };
	uint64_t id;
	*out = (struct loam_right_row){ 0 };
	if (word || count != (with_direct ? 4u : 3u) ||
	    (strcmp(fields[0], "u") != 0 && strcmp(fields[0], "g") != 0) ||
	    loam_parse_u64(fields[1], 1, UINT32_MAX - 1, &id, &ignored) < 0)
		return false;
	out->who = (struct loam_grantee){ .is_group = fields[0][0] == 'g', .id = (uint32_t)id };
	return parse_letter(fields[2], &out->inherited) &&
	       (!with_direct || parse_letter(fields[3], &out->direct));
}

int loam_rights_parse(const char *text, bool with_direct, struct loam_rights *out,
		      struct loam_err *err)
{
	loam_auto_free char *copy = loam_xstrdup(text);
	struct loam_rights rights = { 0 };
	char *save = NULL;
	int rc = 0;
	for (char *word = strtok_r(copy, " \n", &save); rc == 0 && word;
	     word = strtok_r(NULL, " \n", &save)) {
		struct loam_right_row read, *row;
		char shown[WORD_BYTES];
		snprintf(shown, sizeof(shown), "%s", word);
		if (!parse_word(word, with_direct, &read))
			rc = loam_fail(err, LOAM_E_CORRUPT, "'%s' is no right", shown);
		else if ((rc = loam_rights_row(&rights, &read.who, &row, err)) == 0)
			*row = read;
	}
	if (rc < 0)
		loam_rights_release(&rights);
	else
		*out = rights;
	return rc;
}

char *loam_rights_print(const struct loam_rights *rights, bool with_direct)
{
	char *out = loam_xcalloc(rights->count * WORD_BYTES + 1, 1);
	size_t at = 0;
	for (size_t i = 0; i < rights->count; i++) {
		const struct loam_right_row *row = &rights->rows[i];
		if (row->inherited == LOAM_RIGHT_NONE)
			continue;
		at += (size_t)snprintf(out + at, WORD_BYTES, "%s%c:%u:%c", at ? " " : "",
				       row->who.is_group ? 'g' : 'u', row->who.id,
				       letters[row->inherited]);
		if (with_direct)
			at += (size_t)snprintf(out + at, 3, ":%c", letters[row->direct]);
	}
	return out;
}
