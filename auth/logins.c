/*
 * The file of logins (auth/logins.h), changed under an flock of its folder.
 */
#include "auth/logins.h"

#include "core/atomic_file.h"
#include "core/auto.h"
#include "core/json.h"
#include "core/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#define FILE_NAME      "logins.json"
#define FILE_BYTES_MAX (256u << 10)

static char *folder(void)
{
	const char *base = getenv("XDG_CONFIG_HOME");
	if (base && base[0] == '/')
		return loam_path_join(base, "loam");
	const char *home = getenv("HOME");
	if (home && home[0] == '/')
		return loam_path_join(home, ".config/loam");
	struct passwd entry, *found = NULL;
	char buffer[16384];
	if (getpwuid_r(geteuid(), &entry, buffer, sizeof(buffer), &found) == 0 && found)
		return loam_path_join(entry.pw_dir, ".config/loam");
	return NULL;
}

static int need_folder(char **out_folder, struct loam_err *err)
{
	*out_folder = folder();
	if (!*out_folder)
		return loam_fail(err, LOAM_E_INVALID, "there is no HOME to keep logins in");
	return 0;
}

static int read_file(const char *path, struct loam_buf *out, struct loam_err *err)
{
	loam_auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return errno == ENOENT ? 0 : loam_fail_errno(err, "open %s", path);
	struct stat st;
	if (fstat(fd, &st) < 0)
		return loam_fail_errno(err, "stat %s", path);
	if (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 077))
		return loam_fail(err, LOAM_E_DENIED,
				 "%s holds tokens and is not used, since others may read it or it "
				 "is not yours: chmod 600 it",
				 path);
	return loam_fd_read_all(fd, out, err);
}

/* The array of logins, empty without a file. */
static int read_logins(const char *path, json_t **out_array, struct loam_err *err)
{
	loam_auto_buf struct loam_buf text = LOAM_BUF(FILE_BYTES_MAX);
	int rc = read_file(path, &text, err);
	if (rc < 0)
		return rc;
	if (text.bytes == 0) {
		*out_array = json_array();
		return 0;
	}
	rc = loam_json_parse(text.data, text.bytes, out_array, err);
	explicit_bzero(text.data, text.bytes);
	if (rc == 0 && !json_is_array(*out_array)) {
		json_decref(*out_array);
		rc = loam_fail(err, LOAM_E_INVALID, "no array of logins");
	}
	return rc < 0 ? loam_context(err, "%s", path) : 0;
}

static int write_logins(const char *path, const json_t *array, struct loam_err *err)
{
	loam_auto_buf struct loam_buf text = LOAM_BUF(FILE_BYTES_MAX);
	int rc = loam_json_print(array, &text, err);
	if (rc == 0)
		rc = loam_buf_add_text(&text, "\n", err);
	if (rc == 0)
		rc = loam_atomic_file_put(path, 0600, text.data, text.bytes, err);
	if (text.data)
		explicit_bzero(text.data, text.bytes);
	return rc;
}

static bool copy_member(const json_t *object, const char *name, char *out, size_t out_bytes)
{
	const char *text = json_string_value(json_object_get(object, name));
	if (!text || strlen(text) >= out_bytes)
		return false;
	memcpy(out, text, strlen(text) + 1);
	return true;
}

static bool parse_login(const json_t *object, struct loam_login *out)
{
	*out = (struct loam_login){ .plain = json_is_true(json_object_get(object, "plain")) };
	return copy_member(object, "server", out->server, sizeof(out->server)) &&
	       copy_member(object, "user", out->user, sizeof(out->user)) &&
	       copy_member(object, "token", out->token, sizeof(out->token)) &&
	       copy_member(object, "id", out->token_id, sizeof(out->token_id));
}

int loam_logins_find(const char *server, struct loam_login *out_login, struct loam_err *err)
{
	loam_auto_free char *dir = NULL;
	loam_auto_json json_t *array = NULL;
	int rc = need_folder(&dir, err);
	if (rc < 0)
		return rc;
	loam_auto_free char *path = loam_path_join(dir, FILE_NAME);
	rc = read_logins(path, &array, err);
	if (rc < 0)
		return rc;
	size_t index;
	json_t *entry;
	json_array_foreach (array, index, entry) {
		struct loam_login login;
		if (!parse_login(entry, &login))
			return loam_fail(err, LOAM_E_INVALID,
					 "%s: entry %zu is no login: remove the file and log in "
					 "again",
					 path, index + 1);
		if (server && strcmp(login.server, server) != 0)
			continue;
		*out_login = login;
		return 1;
	}
	return 0;
}

/* Removes the entry of server; token NULL: whatever its token is. */
static bool remove_entry(json_t *array, const char *server, const char *token)
{
	size_t index;
	json_t *entry;
	json_array_foreach (array, index, entry) {
		const char *have = json_string_value(json_object_get(entry, "server"));
		const char *secret = json_string_value(json_object_get(entry, "token"));
		if (!have || strcmp(have, server) != 0)
			continue;
		if (token && (!secret || strcmp(secret, token) != 0))
			continue;
		json_array_remove(array, index);
		return true;
	}
	return false;
}

/* Reads, changes and writes under the folder's lock. login NULL: only removes. 1 changed, 0 not. */
static int change(const char *server, const char *token, const struct loam_login *login,
		  struct loam_err *err)
{
	loam_auto_free char *dir = NULL;
	loam_auto_json json_t *array = NULL;
	int rc = need_folder(&dir, err);
	if (rc == 0 && login)
		rc = loam_mkdir_all(dir, 0700, err);
	if (rc < 0)
		return rc;
	loam_auto_fd int lock = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (lock < 0)
		return errno == ENOENT && !login ? 0 : loam_fail_errno(err, "open %s", dir);
	if (flock(lock, LOCK_EX) < 0)
		return loam_fail_errno(err, "lock %s", dir);
	loam_auto_free char *path = loam_path_join(dir, FILE_NAME);
	rc = read_logins(path, &array, err);
	if (rc < 0)
		return rc;
	bool removed = remove_entry(array, server, token);
	if (!login && !removed)
		return 0;
	if (login)
		json_array_insert_new(array, 0,
				      json_pack("{s:s, s:s, s:s, s:s, s:b}", "server",
						login->server, "user", login->user, "token",
						login->token, "id", login->token_id, "plain",
						login->plain));
	if (json_array_size(array) > LOAM_LOGINS_MAX)
		return loam_fail(err, LOAM_E_TOO_LARGE, "%d logins are enough: loam logout",
				 LOAM_LOGINS_MAX);
	rc = write_logins(path, array, err);
	return rc < 0 ? rc : 1;
}

int loam_logins_put(const struct loam_login *login, struct loam_err *err)
{
	int rc = change(login->server, NULL, login, err);
	return rc < 0 ? rc : 0;
}

int loam_logins_drop(const char *server, const char *token, struct loam_err *err)
{
	return change(server, token, NULL, err);
}
