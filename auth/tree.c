/*
 * Loam's places on a volume (auth/tree.h, design.md §2). Step 2 of a push stands on the gate paths
 * formed here.
 *
 * A directory that Loam made carries the xattr trusted.loam.tree with its own name; without that
 * mark it is somebody else's and is refused, never taken over. A directory of the service that is
 * still empty may lack the mark: its maker died between the two calls.
 */
#include "auth/tree.h"

#include "core/auto.h"
#include "fs/files.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define MARK_XATTR "trusted.loam.tree"

static const struct place {
	const char *path; /* below the root */
	uint16_t mode;
	uint8_t flags;
	bool marked; /* stands at the root, beside what users have there */
} places[] = {
	{ "/models", 0755, LOAM_FLAG_SKIP_TRASH, true },
	{ "/datasets", 0755, LOAM_FLAG_SKIP_TRASH, true },
	{ "/code", 0755, LOAM_FLAG_SKIP_TRASH, true },
	{ "/users", 0755, 0, true },
	{ "/groups", 0755, 0, true },
	{ "/.loam", 0711, LOAM_FLAG_SKIP_TRASH, true },
	{ "/.loam/lfs", 0700, LOAM_FLAG_SKIP_TRASH, false },
	{ "/.loam/lfs/objects", 0700, LOAM_FLAG_SKIP_TRASH, false },
	{ "/.loam/repos", 0700, LOAM_FLAG_SKIP_TRASH, false },
	{ "/.loam/etc", 0700, LOAM_FLAG_SKIP_TRASH, false },
	{ "/.loam/etc/keys", 0700, LOAM_FLAG_SKIP_TRASH, false },
	{ "/.loam/staging", 0700, LOAM_FLAG_SKIP_TRASH, false },
};

static const char *const kind_names[] = {
	[LOAM_KIND_MODELS] = "models", [LOAM_KIND_DATASETS] = "datasets", [LOAM_KIND_CODE] = "code"
};

/* Words that are routes, so never namespaces (design.md §2). */
static const char *const reserved_namespaces[] = { "api",     "datasets", "models",   "code",
						   "spaces",  "kernels",  "users",    "groups",
						   "oauth",   "login",	  "settings", "static",
						   "metrics", "healthz",  "_lfs" };

/* Accounts that every host has, and those whose name alone gives root on some: a volume's user or
 * group of that name would shadow them, or be taken for them on a node that lacks them. */
static const char *const reserved_users[] = { "root",	 "daemon", "bin",    "sys",	"nobody",
					      "loam",	 "admin",  "api",    "login",	"git",
					      "nogroup", "sshd",   "sudo",   "wheel",	"docker",
					      "lxd",	 "disk",   "shadow", "settings" };

const char *loam_kind_name(enum loam_kind kind)
{
	return kind_names[kind];
}

bool loam_repo_segment_is_valid(const char *text)
{
	size_t bytes = strlen(text);
	if (bytes == 0 || bytes > LOAM_REPO_SEGMENT_BYTES_MAX || !isalnum((unsigned char)text[0]))
		return false;
	for (size_t i = 0; i < bytes; i++) {
		unsigned char c = (unsigned char)text[i];
		if (c >= 0x80 || !(isalnum(c) || c == '.' || c == '_' || c == '-'))
			return false;
	}
	if (text[bytes - 1] == '.' || text[bytes - 1] == '-')
		return false;
	if (bytes >= 4 && strcasecmp(text + bytes - 4, ".git") == 0)
		return false;
	return !strstr(text, "..") && !strstr(text, "--");
}

static bool namespace_is_reserved(const char *ns)
{
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(reserved_namespaces); i++)
		if (strcasecmp(ns, reserved_namespaces[i]) == 0)
			return true;
	return false;
}

bool loam_user_name_is_valid(const char *text)
{
	size_t bytes = strlen(text);
	if (bytes == 0 || bytes > LOAM_USER_NAME_BYTES_MAX)
		return false;
	if (!(text[0] >= 'a' && text[0] <= 'z') && text[0] != '_')
		return false;
	for (size_t i = 0; i < bytes; i++) {
		char c = text[i];
		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-'))
			return false;
	}
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(reserved_users); i++)
		if (strcmp(text, reserved_users[i]) == 0)
			return false;
	return !namespace_is_reserved(text); /* a user has the namespace of his name */
}

/* Copies one segment up to the next slash; *text moves behind it. */
static int take_segment(const char **text, char out[LOAM_REPO_SEGMENT_BYTES_MAX + 1])
{
	size_t bytes = strcspn(*text, "/");
	if (bytes == 0 || bytes > LOAM_REPO_SEGMENT_BYTES_MAX)
		return -1;
	memcpy(out, *text, bytes);
	out[bytes] = '\0';
	*text += bytes;
	if (**text == '/')
		(*text)++;
	return 0;
}

/* Splits "a/b/c" into at most three segments; -1 for anything else. */
static int split(const char *text, char out[3][LOAM_REPO_SEGMENT_BYTES_MAX + 1])
{
	int count = 0;
	while (*text != '\0') {
		if (count == 3 || take_segment(&text, out[count]) < 0)
			return -1;
		if (text[-1] == '/' && *text == '\0')
			return -1;
		count++;
	}
	return count;
}

int loam_repo_parse(const char *text, struct loam_repo *out_repo, struct loam_err *err)
{
	const char *start = text[0] == '/' ? text + 1 : text;
	size_t bytes = strlen(start);
	if (bytes > 4 && strcmp(start + bytes - 4, ".git") == 0)
		bytes -= 4;
	if (bytes == 0 || bytes >= LOAM_REPO_TEXT_BYTES)
		return loam_fail(err, LOAM_E_UNPROCESSABLE,
				 "a repository is named [models|datasets|code/]NAMESPACE/NAME");
	loam_auto_free char *bare = loam_xstrndup(start, bytes);

	char parts[3][LOAM_REPO_SEGMENT_BYTES_MAX + 1];
	int count = split(bare, parts);
	int kind = LOAM_KIND_MODELS;
	int first = 0;
	if (count == 3) {
		for (kind = 0; kind <= LOAM_KIND_CODE; kind++)
			if (strcmp(parts[0], kind_names[kind]) == 0)
				break;
		first = 1;
	}
	if ((count != 2 && count != 3) || kind > LOAM_KIND_CODE)
		return loam_fail(
			err, LOAM_E_UNPROCESSABLE,
			"'%s': a repository is named [models|datasets|code/]NAMESPACE/NAME", bare);
	if (!loam_repo_segment_is_valid(parts[first]) || namespace_is_reserved(parts[first]) ||
	    !loam_repo_segment_is_valid(parts[first + 1]))
		return loam_fail(
			err, LOAM_E_UNPROCESSABLE,
			"'%s': names are letters, digits, '.', '_', '-' (1 to 96, beginning "
			"with a letter or digit), no '..', '--', final '.', '-' or '.git'; "
			"some namespaces are reserved",
			bare);
	out_repo->kind = (enum loam_kind)kind;
	memcpy(out_repo->ns, parts[first], sizeof(out_repo->ns));
	memcpy(out_repo->name, parts[first + 1], sizeof(out_repo->name));
	return 0;
}

void loam_repo_text(const struct loam_repo *repo, char out[LOAM_REPO_TEXT_BYTES])
{
	snprintf(out, LOAM_REPO_TEXT_BYTES, "%s/%s/%s", kind_names[repo->kind], repo->ns,
		 repo->name);
}

/* Joins root and what follows. loam_tree_open keeps roots short enough for every path below. */
static void join(char *out, const char *root, const char *middle, const char *last,
		 const char *suffix)
{
	int length = snprintf(out, LOAM_PATH_BYTES_MAX, "%s%s%s%s", root, middle, last, suffix);
	loam_assert(length >= 0 && length < LOAM_PATH_BYTES_MAX);
}

void loam_tree_gate_path(const struct loam_tree *tree, const struct loam_repo *repo, char *out)
{
	char text[LOAM_REPO_TEXT_BYTES];
	loam_repo_text(repo, text);
	join(out, tree->root, "/", text, "");
}

void loam_tree_links_path(const struct loam_tree *tree, const struct loam_repo *repo, char *out)
{
	char text[LOAM_REPO_TEXT_BYTES];
	loam_repo_text(repo, text);
	join(out, tree->root, "/.loam/repos/", text, "/lfs");
}

void loam_tree_locks_path(const struct loam_tree *tree, const struct loam_repo *repo, char *out)
{
	char text[LOAM_REPO_TEXT_BYTES];
	loam_repo_text(repo, text);
	join(out, tree->root, "/.loam/repos/", text, "/locks");
}

void loam_tree_pool_path(const struct loam_tree *tree, const char *oid, char *out)
{
	char place[LOAM_REPO_TEXT_BYTES];
	snprintf(place, sizeof(place), "%.2s/%.2s/%.64s", oid, oid + 2, oid);
	join(out, tree->root, "/.loam/lfs/objects/", place, "");
}

void loam_tree_state_path(const struct loam_tree *tree, const char *rest, char *out)
{
	join(out, tree->root, "/.loam/", rest, "");
}

void loam_tree_user_path(const struct loam_tree *tree, const char *user, char *out)
{
	join(out, tree->root, "/users/", user, "");
}

void loam_tree_group_path(const struct loam_tree *tree, const char *group, char *out)
{
	join(out, tree->root, "/groups/", group, "");
}

/* ---- opening --------------------------------------------------------------------------------- */

static int set_mark(struct loam_volume *volume, uint64_t ino, const char *name,
		    struct loam_err *err)
{
	return loam_meta_setxattr(volume->meta, &loam_who_root, ino, MARK_XATTR, name, strlen(name),
				  0, err);
}

/* 0 ours, EXISTS somebody else's. */
static int check_mark(struct loam_volume *volume, const char *path, const char *name, uint64_t ino,
		      const struct loam_attr *attr, struct loam_err *err)
{
	if (attr->type != LOAM_TYPE_DIR)
		return loam_fail(
			err, LOAM_E_EXISTS,
			"%s is in the way: Loam needs a directory of its own there; rename "
			"it, or set tree.root to another directory",
			path);
	loam_auto_buf struct loam_buf mark = LOAM_BUF(LOAM_PATH_BYTES_MAX);
	int rc = loam_meta_getxattr(volume->meta, ino, MARK_XATTR, &mark, err);
	if (rc == 0)
		return 0;
	if (rc != -LOAM_E_NO_DATA)
		return rc;
	loam_err_clear(err);

	struct loam_dir *dir = NULL;
	rc = loam_meta_opendir(volume->meta, ino, false, &dir, err);
	if (rc < 0)
		return rc;
	bool empty = loam_dir_count(dir) == 0;
	loam_dir_close(dir);
	if (empty && attr->uid == LOAM_SERVICE_ID)
		return set_mark(volume, ino, name, err);
	return loam_fail(err, LOAM_E_EXISTS,
			 "%s is in the way: Loam did not make it and does not take it over; rename "
			 "it, or set tree.root to another directory",
			 path);
}

static int ensure_place(const struct loam_tree *tree, const struct place *place, bool make,
			struct loam_err *err)
{
	char path[LOAM_PATH_BYTES_MAX];
	join(path, tree->root, place->path, "", "");
	uint64_t ino;
	struct loam_attr attr;
	int rc = loam_files_lookup(tree->volume, path, &ino, &attr, err);
	if (rc == 0)
		return place->marked
			       ? check_mark(tree->volume, path, place->path + 1, ino, &attr, err)
			       : 0;
	if (rc != -LOAM_E_NOT_FOUND || !make)
		return rc;
	loam_err_clear(err);
	rc = loam_files_mkdirs(tree->volume, path, LOAM_SERVICE_ID, LOAM_SERVICE_ID, place->mode,
			       place->flags, &ino, err);
	if (rc < 0 || !place->marked)
		return rc;
	return set_mark(tree->volume, ino, place->path + 1, err);
}

/* What stands in a directory that everybody may write can be renamed by everybody, unless it is
 * sticky. */
static int check_sticky(const struct loam_attr *attr, const char *path, struct loam_err *err)
{
	if (!(attr->mode & 0002) || (attr->mode & 01000))
		return 0;
	return loam_fail(
		err, LOAM_E_UNSUPPORTED,
		"everybody may rename what stands in %s of this volume (mode %04o), Loam's "
		"directories too; on a mount of it, as root: chmod +t MOUNTPOINT%s",
		path, attr->mode, path[1] ? path : "");
}

/* All directories above the root: whoever may rename one of them may put another in its place. */
static int check_above(const struct loam_tree *tree, struct loam_err *err)
{
	char path[sizeof(tree->root)];
	for (const char *at = tree->root; (at = strchr(at, '/')) != NULL; at++) {
		snprintf(path, sizeof(path), "%.*s", at == tree->root ? 1 : (int)(at - tree->root),
			 tree->root);
		uint64_t ino;
		struct loam_attr attr;
		int rc = loam_files_lookup(tree->volume, path, &ino, &attr, err);
		if (rc == -LOAM_E_NOT_FOUND) {
			loam_err_clear(err); /* to be made, or named by who looks for the root */
			return 0;
		}
		if (rc == 0)
			rc = check_sticky(&attr, path, err);
		if (rc < 0)
			return loam_context(err, "tree.root");
	}
	return 0;
}

static int check_root(const struct loam_tree *tree, bool make, struct loam_err *err)
{
	const char *shown = tree->root[0] ? tree->root : "/";
	uint64_t ino;
	struct loam_attr attr;
	int rc = check_above(tree, err);
	if (rc < 0)
		return rc;
	rc = loam_files_lookup(tree->volume, shown, &ino, &attr, err);
	if (rc == -LOAM_E_NOT_FOUND && make) {
		loam_err_clear(err);
		rc = loam_files_mkdirs(tree->volume, shown, LOAM_SERVICE_ID, LOAM_SERVICE_ID, 0755,
				       0, &ino, err);
		return rc;
	}
	if (rc < 0)
		return loam_context(err, "tree.root");
	if (attr.type != LOAM_TYPE_DIR)
		return loam_fail(err, LOAM_E_NOT_DIR, "tree.root %s is not a directory", shown);
	return check_sticky(&attr, shown, err);
}

int loam_tree_open(struct loam_volume *volume, const char *root, bool make,
		   struct loam_tree *out_tree, struct loam_err *err)
{
	if (!loam_meta_format(volume->meta)->enable_acl)
		return loam_fail(
			err, LOAM_E_UNSUPPORTED,
			"this volume has no ACLs, which carry all of Loam's rights; enable "
			"them: juicefs config META --enable-acl");
	size_t bytes = strlen(root);
	while (bytes > 0 && root[bytes - 1] == '/')
		bytes--;
	if (bytes > 0 && (root[0] != '/' || bytes >= sizeof(out_tree->root)))
		return loam_fail(err, LOAM_E_INVALID, "tree.root '%s' is not an absolute path",
				 root);
	struct loam_tree tree = { .volume = volume };
	memcpy(tree.root, root, bytes);

	int rc = check_root(&tree, make, err);
	for (size_t i = 0; rc == 0 && i < LOAM_ARRAY_COUNT(places); i++)
		rc = ensure_place(&tree, &places[i], make, err);
	if (rc == -LOAM_E_NOT_FOUND && !make)
		return loam_context(err,
				    "this volume holds no Loam tree yet (loam serve makes it)");
	if (rc < 0)
		return rc;
	*out_tree = tree;
	return 0;
}
