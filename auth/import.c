/*
 * The list that all formats are read into (auth/import.h).
 */
#include "auth/import.h"

#include "core/auto.h"
#include "core/cmd.h"

#include <stdio.h>
#include <string.h>

#define NUMBER_MAX 0xFFFFFFFEu

struct loam_import *loam_import_new(void)
{
	return loam_xnew(struct loam_import);
}

static void free_entries(struct loam_import_entry **entries, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		for (size_t m = 0; m < entries[i]->members.count; m++)
			free(entries[i]->members.at[m]);
		free(entries[i]->members.at);
		explicit_bzero(entries[i]->hash, sizeof(entries[i]->hash));
		free(entries[i]);
	}
	free(entries);
}

void loam_import_free(struct loam_import *import)
{
	if (!import)
		return;
	HASH_CLEAR(by_name, import->users_by_name);
	HASH_CLEAR(by_name, import->groups_by_name);
	free_entries(import->users, import->user_count);
	free_entries(import->groups, import->group_count);
	free(import);
}

static void set_trouble(struct loam_import_entry *entry, const char *text)
{
	if (!entry->trouble[0])
		snprintf(entry->trouble, sizeof(entry->trouble), "%s", text);
}

static void set_name(struct loam_import_entry *entry, const char *text)
{
	if (strlen(text) >= sizeof(entry->name))
		set_trouble(entry, "its name is too long");
	snprintf(entry->name, sizeof(entry->name), "%s", text);
	/* It is printed in a table. */
	for (char *c = entry->name; *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7F)
			*c = '?';
}

static struct loam_import_entry *find(struct loam_import_entry *head, const char *name)
{
	struct loam_import_entry *found;
	HASH_FIND(by_name, head, name, strlen(name), found);
	return found;
}

static struct loam_import_entry *add(struct loam_import_entry ***entries, size_t *count,
				     struct loam_import_entry **head, const char *name, size_t line)
{
	if (*count == LOAM_IMPORT_ENTRIES_MAX)
		return NULL;
	if ((*count & (*count - 1)) == 0) { /* full at each power of two */
		void *grown = reallocarray(*entries, *count ? *count * 2 : 1, sizeof(**entries));
		loam_assert(grown != NULL);
		*entries = grown;
	}
	struct loam_import_entry *entry = loam_xnew(struct loam_import_entry);
	(*entries)[(*count)++] = entry;
	entry->line = line;
	set_name(entry, name);
	if (!find(*head, entry->name))
		HASH_ADD(by_name, *head, name, strlen(entry->name), entry);
	return entry;
}

struct loam_import_entry *loam_import_add_user(struct loam_import *import, const char *name,
					       size_t line)
{
	return add(&import->users, &import->user_count, &import->users_by_name, name, line);
}

struct loam_import_entry *loam_import_add_group(struct loam_import *import, const char *name,
						size_t line)
{
	return add(&import->groups, &import->group_count, &import->groups_by_name, name, line);
}

struct loam_import_entry *loam_import_user(const struct loam_import *import, const char *name)
{
	return find(import->users_by_name, name);
}

struct loam_import_entry *loam_import_group(const struct loam_import *import, const char *name)
{
	return find(import->groups_by_name, name);
}

void loam_import_add_member(struct loam_import_entry *group, const char *user)
{
	if (loam_names_hold(&group->members, user))
		return;
	char **grown = reallocarray(group->members.at, group->members.count + 1, sizeof(*grown));
	loam_assert(grown != NULL);
	group->members.at = grown;
	grown[group->members.count++] = loam_xstrdup(user);
}

void loam_import_set_number(struct loam_import_entry *entry, const char *text, uint64_t *out)
{
	struct loam_err bad = { 0 };
	if (loam_parse_u64(text, 0, NUMBER_MAX, out, &bad) < 0)
		set_trouble(entry, "its number is none");
}
