/*
 * Files that accounts are imported from: CSV, passwd with shadow and group, LDIF. What comes out is
 * bounded, printable in a table, and points to lines that are there.
 */
#include "auth/import.h"

#include "tests/fuzz/fuzz.h"

#define TEXTS 3

static size_t lines_of(const struct loam_buf *text)
{
	size_t lines = 1;
	for (size_t i = 0; i < text->bytes; i++)
		lines += text->data[i] == '\n';
	return lines;
}

static void check(struct loam_import_entry *const *entries, size_t count, size_t lines)
{
	loam_assert(count <= LOAM_IMPORT_ENTRIES_MAX);
	for (size_t i = 0; i < count; i++) {
		const struct loam_import_entry *entry = entries[i];
		loam_assert(entry->line >= 1 && entry->line <= lines);
		for (const char *c = entry->name; *c; c++)
			loam_assert((unsigned char)*c >= 0x20 && *c != 0x7F);
		loam_assert(strlen(entry->hash) < sizeof(entry->hash));
		loam_assert(strlen(entry->trouble) < sizeof(entry->trouble));
	}
}

static void run(int format, struct loam_buf texts[TEXTS])
{
	struct loam_err err = { 0 };
	struct loam_import *import = loam_import_new();
	if (format == 0)
		loam_import_csv(&texts[0], import, &err);
	else if (format == 1)
		loam_import_ldif(&texts[0], import, &err);
	else
		loam_import_passwd(&texts[0], &texts[1], &texts[2], 20000, import, &err);
	check(import->users, import->user_count, lines_of(&texts[0]));
	check(import->groups, import->group_count, lines_of(&texts[format == 2 ? 2 : 0]));
	loam_import_free(import);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_bytes)
{
	struct loam_buf texts[TEXTS];
	struct loam_err err = { 0 };
	if (data_bytes == 0)
		return 0;
	int format = data[0] % 3;
	data++;
	data_bytes--;
	for (int i = 0; i < TEXTS; i++) {
		size_t bytes;
		const uint8_t *part = fuzz_part(&data, &data_bytes, &bytes);
		loam_buf_init(&texts[i], LOAM_IMPORT_BYTES_MAX);
		loam_buf_add(&texts[i], part, bytes, &err);
	}
	run(format, texts);
	for (int i = 0; i < TEXTS; i++)
		loam_buf_release(&texts[i]);
	return 0;
}
