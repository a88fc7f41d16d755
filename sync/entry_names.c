/*
 * Names that some user's file system takes for another (sync/entry_names.h; step 6 of a push).
 */
#include "sync/entry_names.h"

#include "core/limits.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

/* UTF-8 of the code points that HFS+ leaves out of names (U+200C to 200F, 202A to 202E, 206A to
 * 206F, FEFF): bytes of one at text, or 0. */
static size_t hfs_ignored(const char *text)
{
	const unsigned char *u = (const unsigned char *)text;
	bool ignored = (u[0] == 0xe2 && u[1] == 0x80 && u[2] >= 0x8c && u[2] <= 0x8f) ||
		       (u[0] == 0xe2 && u[1] == 0x80 && u[2] >= 0xaa && u[2] <= 0xae) ||
		       (u[0] == 0xe2 && u[1] == 0x81 && u[2] >= 0xaa && u[2] <= 0xaf) ||
		       (u[0] == 0xef && u[1] == 0xbb && u[2] == 0xbf);
	return ignored ? 3 : 0;
}

/* Would some user's file system take this name for .git? NTFS drops trailing blanks and dots, reads
 * ':' as the start of a stream, and has the short name git~1. */
static bool is_dot_git(const char *name)
{
	char plain[LOAM_NAME_BYTES_MAX + 1];
	size_t bytes = 0;
	for (const char *at = name; *at && *at != ':' && *at != '\\';) {
		size_t skipped = hfs_ignored(at);
		at += skipped;
		if (skipped)
			continue;
		if (bytes == LOAM_NAME_BYTES_MAX)
			return false;
		plain[bytes++] = *at++;
	}
	while (bytes > 0 && (plain[bytes - 1] == ' ' || plain[bytes - 1] == '.'))
		bytes--;
	plain[bytes] = '\0';
	return strcasecmp(plain, ".git") == 0 || strcasecmp(plain, "git~1") == 0;
}

const char *loam_entry_name_refused(const char *name)
{
	if (is_dot_git(name))
		return "hasDotgit: no file or directory may be named .git, or what a file system "
		       "takes for it";
	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return "not a name";
	if (strlen(name) > LOAM_NAME_BYTES_MAX)
		return "a name over 255 bytes, which no file system here can hold";
	return NULL;
}
