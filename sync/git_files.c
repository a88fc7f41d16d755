/*
 * Files that Git obeys (sync/git_files.h).
 *
 * .gitmodules is read by a subset of its grammar: whole lines of
 *
 *   [submodule "NAME"]
 *   key = value
 *
 * comments and empty ones. What else Git would take (quoted values, two things on a line) can be
 * pushed; here it is refused rather than understood in another way than clients do.
 */
#include "sync/git_files.h"

#include "core/auto.h"

#include <ctype.h>
#include <git2.h>
#include <git2/sys/path.h>
#include <string.h>
#include <strings.h>

#define ATTRIBUTES_LINE_MAX 2047 /* git refuses longer ones */
#define STARS_MAX	    16	 /* of a line */
#define DOUBLE_STARS_MAX    4

enum loam_git_file loam_git_file_of(const char *name)
{
	static const struct {
		git_path_gitfile gitfile;
		enum loam_git_file file;
	} known[] = {
		{ GIT_PATH_GITFILE_GITMODULES, LOAM_GIT_FILE_MODULES },
		{ GIT_PATH_GITFILE_GITATTRIBUTES, LOAM_GIT_FILE_ATTRIBUTES },
		{ GIT_PATH_GITFILE_GITIGNORE, LOAM_GIT_FILE_IGNORE },
	};
	size_t bytes = strlen(name);
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(known); i++)
		if (git_path_is_gitfile(name, bytes, known[i].gitfile, GIT_PATH_FS_GENERIC) > 0)
			return known[i].file;
	return strcasecmp(name, ".mailmap") == 0 ? LOAM_GIT_FILE_MAILMAP : LOAM_GIT_FILE_NONE;
}

int loam_git_file_check_link(enum loam_git_file file, const char *path, struct loam_err *err)
{
	if (file == LOAM_GIT_FILE_NONE)
		return 0;
	return loam_fail(err, LOAM_E_INVALID,
			 "%.400s: a file that Git obeys may not be a symbolic link", path);
}

/* ---- .gitmodules ----------------------------------------------------------------------------- */

/* Is one of the parts of name ".."? Clients make a directory of that name. */
static bool climbs(const char *name)
{
	for (const char *at = name; *at;) {
		size_t bytes = strcspn(at, "/\\");
		if (bytes == 2 && at[0] == '.' && at[1] == '.')
			return true;
		at += bytes;
		at += *at != '\0';
	}
	return false;
}

/* [submodule "NAME"] */
static const char *bad_section(char *line)
{
	static const char begin[] = "[submodule \"";
	size_t bytes = strlen(line);
	if (strncasecmp(line, begin, strlen(begin)) != 0 || bytes < strlen(begin) + 2 ||
	    strcmp(line + bytes - 2, "\"]") != 0)
		return "only [submodule \"NAME\"] on a line of its own is taken";
	char *name = line + strlen(begin);
	line[bytes - 2] = '\0';
	if (name[0] == '\0' || strpbrk(name, "\"\\") || climbs(name))
		return "no name of a submodule";
	return NULL;
}

/* Relative ones, those with a scheme and a host, HOST:PATH, and paths. */
static const char *bad_url(const char *url)
{
	const char *rest = url;
	while (strncmp(rest, "./", 2) == 0 || strncmp(rest, "../", 3) == 0)
		rest = strchr(rest, '/') + 1;
	if (rest != url && (rest[0] == ':' || rest[0] == '/'))
		return "no address of a submodule";
	const char *scheme = strstr(url, "://");
	if (scheme && strchr("/:@?#", scheme[3]) && strncmp(url, "file://", 7) != 0)
		return "an address without a host";
	return url[0] == '-' || strcasestr(url, "%0a") || strcasestr(url, "%0d")
		       ? "no address of a submodule"
		       : NULL;
}

static const char *bad_value(const char *key, const char *value)
{
	static const char *const updates[] = { "none", "checkout", "rebase", "merge" };
	if (strpbrk(value, "\"\\"))
		return "quotes and backslashes are not taken here: push it with Git";
	if (strcasecmp(key, "url") == 0)
		return bad_url(value);
	if (strcasecmp(key, "path") == 0)
		return value[0] == '-' || climbs(value) ? "no path of a submodule" : NULL;
	if (strcasecmp(key, "update") != 0)
		return NULL;
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(updates); i++)
		if (strcmp(value, updates[i]) == 0)
			return NULL;
	return "update is none, checkout, rebase or merge";
}

static char *trim(char *text)
{
	text += strspn(text, " \t\r");
	for (size_t bytes = strlen(text); bytes > 0 && strchr(" \t\r", text[bytes - 1]);)
		text[--bytes] = '\0';
	return text;
}

static const char *bad_modules_line(char *line)
{
	line = trim(line);
	if (line[0] == '\0' || line[0] == '#' || line[0] == ';')
		return NULL;
	if (line[0] == '[')
		return bad_section(line);
	char *equals = strchr(line, '=');
	if (!equals || !isalpha((unsigned char)line[0]))
		return "neither a section nor KEY = VALUE";
	*equals = '\0';
	char *value = trim(equals + 1);
	value[strcspn(value, "#;")] = '\0';
	return bad_value(trim(line), trim(value));
}

/* ---- patterns -------------------------------------------------------------------------------- */

/* Matching costs a power of the stars of a pattern: a few of them would keep a server for hours. */
static const char *bad_pattern(const char *line)
{
	unsigned stars = 0, doubles = 0;
	if (line[strspn(line, " \t")] == '#')
		return NULL;
	for (const char *at = line; (at = strchr(at, '*')); at++) {
		stars++;
		doubles += at[1] == '*' && (at == line || at[-1] != '*');
	}
	return stars > STARS_MAX || doubles > DOUBLE_STARS_MAX ? "a pattern with too many stars"
							       : NULL;
}

static const char *bad_attributes_line(char *line)
{
	return strlen(line) > ATTRIBUTES_LINE_MAX ? "a line over 2047 bytes" : bad_pattern(line);
}

static const char *bad_ignore_line(char *line)
{
	return bad_pattern(line);
}

/* ---- all ------------------------------------------------------------------------------------- */

static const char *(*const line_checks[])(char *line) = {
	[LOAM_GIT_FILE_MODULES] = bad_modules_line,
	[LOAM_GIT_FILE_ATTRIBUTES] = bad_attributes_line,
	[LOAM_GIT_FILE_IGNORE] = bad_ignore_line,
	[LOAM_GIT_FILE_MAILMAP] = NULL,
};

int loam_git_file_check(enum loam_git_file file, const struct loam_buf *text, const char *path,
			struct loam_err *err)
{
	if (!line_checks[file])
		return 0;
	if (text->bytes > LOAM_GIT_FILE_BYTES_MAX || memchr(loam_buf_text(text), '\0', text->bytes))
		return loam_fail(err, LOAM_E_INVALID,
				 "%.400s: over %u bytes, or not a text: Git obeys this file", path,
				 LOAM_GIT_FILE_BYTES_MAX);
	loam_auto_free char *copy = loam_xstrndup(loam_buf_text(text), text->bytes);
	char *rest = copy;
	for (unsigned number = 1; rest; number++) {
		const char *why = line_checks[file](strsep(&rest, "\n"));
		if (why)
			return loam_fail(err, LOAM_E_INVALID, "%.400s, line %u: %s", path, number,
					 why);
	}
	return 0;
}
