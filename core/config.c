/*
 * The configuration file (core/config.h): Git's syntax by libgit2, every key checked against the
 * table. libgit2 lower-cases keys, so they are compared without case; includes show up as the
 * unknown key include.path and are refused with it.
 */
#include "core/config.h"

#include "core/auto.h"
#include "core/cmd.h"
#include "core/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <git2.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#define DEFAULT_PATH	"/etc/loam/loam.conf"
#define FILE_BYTES_MAX	(1u << 20)
#define PASSWORD_IN_URL "password="

enum kind { KIND_TEXT, KIND_NUMBER, KIND_FLAG };

struct row {
	const char *key;
	enum kind kind;
	size_t offset;
	const char *default_text;
	uint64_t default_number, min, max;
};

static const struct row rows[] = {
#define X_TEXT(field, key, def, help) \
	{ key, KIND_TEXT, offsetof(struct loam_config, field), def, 0, 0, 0 },
#define X_NUMBER(field, key, def, min, max, unit, help) \
	{ key, KIND_NUMBER, offsetof(struct loam_config, field), NULL, def, min, max },
#define X_FLAG(field, key, def, help) \
	{ key, KIND_FLAG, offsetof(struct loam_config, field), NULL, def, 0, 1 },
	LOAM_CONFIG(X_TEXT, X_NUMBER, X_FLAG)
#undef X_TEXT
#undef X_NUMBER
#undef X_FLAG
};
#define ROW_COUNT LOAM_ARRAY_COUNT(rows)

LOAM_DEFINE_AUTO(auto_config, struct loam_config, loam_config_free)
LOAM_DEFINE_AUTO(auto_git_config, git_config, git_config_free)
LOAM_DEFINE_AUTO(auto_git_iterator, git_config_iterator, git_config_iterator_free)

static void *field_of(struct loam_config *config, const struct row *row)
{
	return (char *)config + row->offset;
}

static void set_text(struct loam_config *config, const struct row *row, const char *text)
{
	char **field = field_of(config, row);
	free(*field);
	*field = loam_xstrdup(text);
}

static struct loam_config *new_with_defaults(void)
{
	struct loam_config *config = loam_xnew(struct loam_config);
	for (size_t i = 0; i < ROW_COUNT; i++) {
		if (rows[i].kind == KIND_TEXT)
			set_text(config, &rows[i], rows[i].default_text);
		else if (rows[i].kind == KIND_NUMBER)
			*(uint64_t *)field_of(config, &rows[i]) = rows[i].default_number;
		else
			*(bool *)field_of(config, &rows[i]) = rows[i].default_number != 0;
	}
	return config;
}

void loam_config_free(struct loam_config *config)
{
	if (!config)
		return;
	for (size_t i = 0; i < ROW_COUNT; i++)
		if (rows[i].kind == KIND_TEXT)
			free(*(char **)field_of(config, &rows[i]));
	free(config->path);
	free(config);
}

static int fail_git(struct loam_err *err, const char *doing)
{
	const git_error *why = git_error_last();
	return loam_fail(err, LOAM_E_INVALID, "%s: %s", doing, why ? why->message : "refused");
}

static bool has_control_byte(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			return true;
	return false;
}

/* value is NULL for a key that stands alone on its line. */
static int apply(struct loam_config *config, const struct row *row, const char *value,
		 struct loam_err *err)
{
	if (row->kind == KIND_FLAG) {
		int on = 0;
		if (git_config_parse_bool(&on, value) < 0)
			return loam_fail(err, LOAM_E_INVALID, "%s: '%s' is not true or false",
					 row->key, value);
		*(bool *)field_of(config, row) = on != 0;
		return 0;
	}
	if (!value)
		return loam_fail(err, LOAM_E_INVALID, "%s has no value", row->key);
	if (row->kind == KIND_NUMBER) {
		uint64_t *field = field_of(config, row);
		if (loam_parse_u64(value, row->min, row->max, field, err) < 0)
			return loam_context(err, "%s", row->key);
		return 0;
	}
	if (has_control_byte(value))
		return loam_fail(err, LOAM_E_INVALID, "%s holds a control byte", row->key);
	set_text(config, row, value);
	return 0;
}

static int apply_entry(struct loam_config *config, const git_config_entry *entry,
		       bool seen[ROW_COUNT], struct loam_err *err)
{
	size_t found = 0;
	while (found < ROW_COUNT && strcasecmp(rows[found].key, entry->name) != 0)
		found++;
	if (found == ROW_COUNT)
		return loam_fail(err, LOAM_E_INVALID, "unknown key %s", entry->name);
	if (seen[found])
		return loam_fail(err, LOAM_E_INVALID, "%s is set twice", rows[found].key);
	seen[found] = true;
	return apply(config, &rows[found], entry->value, err);
}

static int parse(struct loam_config *config, struct loam_err *err)
{
	__attribute__((cleanup(auto_git_config_))) git_config *git = NULL;
	if (git_config_open_ondisk(&git, config->path) < 0)
		return fail_git(err, "syntax");

	__attribute__((cleanup(auto_git_iterator_))) git_config_iterator *iterator = NULL;
	if (git_config_iterator_new(&iterator, git) < 0)
		return fail_git(err, "read");
	bool seen[ROW_COUNT] = { false };
	for (;;) {
		git_config_entry *entry = NULL;
		int rc = git_config_next(&entry, iterator);
		if (rc == GIT_ITEROVER)
			return 0;
		if (rc < 0)
			return fail_git(err, "read");
		rc = apply_entry(config, entry, seen, err);
		if (rc < 0)
			return rc;
	}
}

/* redis://:pw@host, redis://user:pw@host, or ?password=pw */
static bool url_holds_password(const char *url)
{
	const char *authority = strstr(url, "://");
	if (!authority)
		return false;
	authority += 3;
	size_t authority_bytes = strcspn(authority, "/?#");
	const char *at = memrchr(authority, '@', authority_bytes);
	return (at && memchr(authority, ':', (size_t)(at - authority))) ||
	       strstr(url, PASSWORD_IN_URL);
}

/* What one value must be by itself; the rest is checked where it is used. */
static int check(const struct loam_config *config, const struct stat *st, struct loam_err *err)
{
	if (strcmp(config->meta_durability, "strict") != 0 &&
	    strcmp(config->meta_durability, "weak") != 0)
		return loam_fail(err, LOAM_E_INVALID, "meta.durability is strict or weak, not '%s'",
				 config->meta_durability);
	if (config->tree_root[0] != '/')
		return loam_fail(err, LOAM_E_INVALID, "tree.root does not begin with '/'");
	if (config->server_url[0] && strncmp(config->server_url, "http://", 7) != 0 &&
	    strncmp(config->server_url, "https://", 8) != 0)
		return loam_fail(err, LOAM_E_INVALID, "server.url is no http or https URL");
	if (url_holds_password(config->meta_url) && (st->st_mode & S_IROTH))
		return loam_fail(err, LOAM_E_INVALID,
				 "meta.url holds a password and others may read the file: "
				 "chmod o-r %s",
				 config->path);
	return 0;
}

static int load_file(struct loam_config *config, struct loam_err *err)
{
	loam_auto_fd int fd = open(config->path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return loam_fail_errno(err, "open");
	struct stat st;
	if (fstat(fd, &st) < 0)
		return loam_fail_errno(err, "stat");
	if (!S_ISREG(st.st_mode))
		return loam_fail(err, LOAM_E_INVALID, "not a file");

	loam_auto_buf struct loam_buf text = LOAM_BUF(FILE_BYTES_MAX);
	int rc = loam_fd_read_all(fd, &text, err);
	if (rc < 0)
		return rc;
	if (text.bytes && memchr(text.data, '\0', text.bytes))
		return loam_fail(err, LOAM_E_INVALID, "it holds a NUL byte");

	git_libgit2_init();
	rc = parse(config, err);
	git_libgit2_shutdown();
	return rc < 0 ? rc : check(config, &st, err);
}

int loam_config_load(const char *path, struct loam_config **out_config, struct loam_err *err)
{
	__attribute__((cleanup(auto_config_))) struct loam_config *config = new_with_defaults();
	if (!path)
		path = getenv("LOAM_CONFIG");
	if (path && !*path)
		path = NULL;
	if (!path && access(DEFAULT_PATH, F_OK) == 0)
		path = DEFAULT_PATH;
	if (path) {
		config->path = loam_xstrdup(path);
		if (load_file(config, err) < 0)
			return loam_context(err, "%s", path);
	}
	*out_config = loam_steal(&config);
	return 0;
}

int loam_config_meta(const struct loam_config *config, const char *argument, const char **out_url,
		     struct loam_err *err)
{
	const char *url = argument;
	if (url && !*url) /* "$META" of a script that forgot to set it: not some other volume */
		return loam_fail(err, LOAM_E_INVALID, "META is empty");
	if (!url)
		url = getenv("LOAM_META");
	if ((!url || !*url) && config)
		url = config->meta_url;
	if (!url || !*url)
		return loam_fail(
			err, LOAM_E_INVALID,
			"which volume? Give META (redis://host:port/db), or set LOAM_META, "
			"or meta.url in the configuration");
	*out_url = url;
	return 0;
}
