/*
 * Enrolling, refreshing and removing a node (auth/node.h).
 *
 * Order: enrolling writes the backup, node.json, the names and nsswitch.conf last; removing goes
 * the other way round and ends with node.json. A command that was killed is run again.
 */
#include "auth/node.h"

#include "auth/node_names.h"
#include "auth/nsswitch.h"
#include "core/atomic_file.h"
#include "core/auto.h"
#include "core/json.h"
#include "core/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#define STATE	     "/var/lib/loam-node"
#define NODE	     STATE "/node.json"
#define BEFORE	     STATE "/nsswitch.before"
#define AFTER	     STATE "/nsswitch.after"
#define LEFT_OUT     STATE "/left-out"
#define LOCK	     STATE "/lock"
#define SWITCH	     "/etc/nsswitch.conf"
#define NAMES	     "/var/lib/extrausers"
#define SHADOW_GROUP "shadow"

#define NODE_JSON_BYTES_MAX 16384

static char *place(const char *root, const char *path)
{
	return loam_xasprintf("%s%s", root, path);
}

/* 1 read, 0 missing. Only a regular file is read. */
static int read_place(const char *root, const char *path, struct loam_buf *out,
		      struct loam_err *err)
{
	loam_auto_free char *whole = place(root, path);
	loam_auto_fd int fd = open(whole, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0 || fstat(fd, &st) < 0)
		return loam_fail_errno(err, "open %s", whole);
	if (!S_ISREG(st.st_mode))
		return loam_fail(err, LOAM_E_INVALID, "%s is not a file", whole);
	int rc = loam_fd_read_all(fd, out, err);
	return rc < 0 ? loam_context(err, "read %s", whole) : 1;
}

static int put_place(const char *root, const char *path, mode_t mode, const struct loam_buf *text,
		     struct loam_err *err)
{
	loam_auto_free char *whole = place(root, path);
	int rc = loam_atomic_file_put(whole, mode, loam_buf_text(text), text->bytes, err);
	return rc < 0 ? loam_context(err, "write %s", whole) : 0;
}

static int remove_place(const char *root, const char *path, struct loam_err *err)
{
	loam_auto_free char *whole = place(root, path);
	if (unlink(whole) < 0 && errno != ENOENT)
		return loam_fail_errno(err, "remove %s", whole);
	return 0;
}

static bool is_equal(const struct loam_buf *a, const struct loam_buf *b)
{
	return a->bytes == b->bytes && memcmp(loam_buf_text(a), loam_buf_text(b), a->bytes) == 0;
}

/* The state folder must be there. */
static int lock(const char *root, int *out_fd, struct loam_err *err)
{
	loam_auto_free char *path = place(root, LOCK);
	loam_auto_fd int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return loam_fail_errno(err, "open %s", path);
	while (flock(fd, LOCK_EX) < 0)
		if (errno != EINTR)
			return loam_fail_errno(err, "lock %s", path);
	*out_fd = loam_steal_fd(&fd);
	return 0;
}

/* ---- node.json ------------------------------------------------------------------------------- */

static int take_member(const json_t *object, const char *name, char *out, size_t out_bytes,
		       struct loam_err *err)
{
	const char *text = NULL;
	int rc = loam_json_text(object, name, &text, err);
	if (rc < 0)
		return rc;
	if (rc == 0 || strlen(text) >= out_bytes)
		return loam_fail(err, LOAM_E_CORRUPT, "%s has no '%s'", NODE, name);
	snprintf(out, out_bytes, "%s", text);
	return 0;
}

int loam_node_load(const char *root, struct loam_node *out_node, struct loam_err *err)
{
	loam_auto_buf struct loam_buf text = LOAM_BUF(NODE_JSON_BYTES_MAX);
	loam_auto_json json_t *object = NULL;
	struct loam_node node = { 0 };
	int rc = read_place(root, NODE, &text, err);
	if (rc <= 0)
		return rc;
	rc = loam_json_parse(text.data, text.bytes, &object, err);
	if (rc < 0)
		return loam_context(err, "%s", NODE);
	if ((rc = take_member(object, "uuid", node.uuid, sizeof(node.uuid), err)) < 0 ||
	    (rc = take_member(object, "volume", node.volume, sizeof(node.volume), err)) < 0 ||
	    (rc = take_member(object, "mount", node.mount, sizeof(node.mount), err)) < 0 ||
	    (rc = take_member(object, "shell", node.shell, sizeof(node.shell), err)) < 0)
		return rc;
	snprintf(node.root, sizeof(node.root), "%s", root);
	*out_node = node;
	return 1;
}

static int save(const struct loam_node *node, struct loam_err *err)
{
	loam_auto_buf struct loam_buf text = LOAM_BUF(NODE_JSON_BYTES_MAX);
	loam_auto_json json_t *object =
		json_pack("{s:s, s:s, s:s, s:s}", "uuid", node->uuid, "volume", node->volume,
			  "mount", node->mount, "shell", node->shell);
	if (!object)
		return loam_fail(err, LOAM_E_INVALID, "mount and shell must be UTF-8");
	int rc = loam_json_print(object, &text, err);
	if (rc == 0)
		rc = loam_buf_add(&text, "\n", 1, err);
	return rc < 0 ? rc : put_place(node->root, NODE, 0644, &text, err);
}

/* ---- the names ------------------------------------------------------------------------------- */

static const struct names_file {
	const char *path;
	mode_t mode;
	size_t offset; /* of its text in struct loam_node_names */
} names_files[] = {
	{ NAMES "/group", 0644, offsetof(struct loam_node_names, group) },
	{ NAMES "/passwd", 0644, offsetof(struct loam_node_names, passwd) },
	{ NAMES "/shadow", 0640, offsetof(struct loam_node_names, shadow) },
	{ LEFT_OUT, 0644, offsetof(struct loam_node_names, left_out) },
};
#define LOCAL_FILES LOAM_ARRAY_COUNT(names_files)

/* 1 written, 0 it was so. */
static int put_names(const char *root, const struct names_file *file,
		     const struct loam_node_names *names, struct loam_err *err)
{
	const struct loam_buf *text = (const struct loam_buf *)((const char *)names + file->offset);
	loam_auto_buf struct loam_buf present = LOAM_BUF(LOAM_ACCOUNT_FILE_BYTES_MAX + 1u);
	int rc = read_place(root, file->path, &present, err);
	if (rc < 0)
		return rc;
	if (rc == 1 && is_equal(&present, text))
		return 0;
	rc = put_place(root, file->path, file->mode, text, err);
	return rc < 0 ? rc : 1;
}

/* For programs of group shadow (chage, unix_chkpwd), as the host's own; else root's alone. */
static void give_shadow(const char *root)
{
	loam_auto_free char *path = place(root, NAMES "/shadow");
	const struct group *group = getgrnam(SHADOW_GROUP);
	int failed = group ? lchown(path, 0, group->gr_gid) : -1;
	if (failed < 0)
		chmod(path, 0600);
}

static int write_names(const struct loam_node *node, const struct loam_accounts *accounts,
		       struct loam_node_look_result *out, struct loam_err *err)
{
	loam_auto_buf struct loam_buf passwd = LOAM_BUF(LOAM_ACCOUNT_FILE_BYTES_MAX);
	loam_auto_buf struct loam_buf group = LOAM_BUF(LOAM_ACCOUNT_FILE_BYTES_MAX);
	struct loam_node_names names;
	int rc = read_place(node->root, "/etc/passwd", &passwd, err);
	if (rc >= 0)
		rc = read_place(node->root, "/etc/group", &group, err);
	if (rc < 0)
		return rc;
	const struct loam_node_look look = { .mount = node->mount, .shell = node->shell };
	struct loam_node_local *local = loam_node_local_parse(&passwd, &group);
	rc = loam_node_names_make(accounts, local, &look, &names, err);
	loam_node_local_free(local);
	if (rc < 0)
		return rc;
	for (size_t i = 0; rc >= 0 && i < LOCAL_FILES; i++) {
		rc = put_names(node->root, &names_files[i], &names, err);
		out->changed = out->changed || rc == 1;
		if (rc == 1 && names_files[i].offset == offsetof(struct loam_node_names, shadow))
			give_shadow(node->root);
	}
	out->users = names.users;
	out->groups = names.groups;
	out->left_out = names.left_out_count;
	loam_node_names_release(&names);
	return rc < 0 ? rc : 0;
}

int loam_node_refresh(const char *root, const char *uuid, const struct loam_accounts *accounts,
		      struct loam_node_look_result *out, struct loam_err *err)
{
	struct loam_node node;
	loam_auto_fd int lock_fd = -1;
	*out = (struct loam_node_look_result){ 0 };
	int rc = loam_node_load(root, &node, err);
	if (rc <= 0 || strcmp(node.uuid, uuid) != 0)
		return rc < 0 ? rc : 0;
	rc = lock(root, &lock_fd, err);
	if (rc == 0)
		rc = loam_node_load(root, &node, err); /* it may have been removed meanwhile */
	if (rc <= 0 || strcmp(node.uuid, uuid) != 0)
		return rc < 0 ? rc : 0;
	out->enrolled = true;
	rc = write_names(&node, accounts, out, err);
	if (rc == 0)
		futimens(lock_fd, NULL);
	return rc;
}

/* ---- enrolling ------------------------------------------------------------------------------- */

static bool has_library(const char *root)
{
	static const char *const places[] = { "/usr/lib/*/libnss_extrausers.so.2",
					      "/usr/lib/libnss_extrausers.so.2",
					      "/usr/lib64/libnss_extrausers.so.2",
					      "/lib/*/libnss_extrausers.so.2" };
	bool found = false;
	for (size_t i = 0; !found && i < LOAM_ARRAY_COUNT(places); i++) {
		loam_auto_free char *pattern = place(root, places[i]);
		glob_t matches = { 0 };
		found = glob(pattern, GLOB_NOSORT, NULL, &matches) == 0 && matches.gl_pathc > 0;
		globfree(&matches);
	}
	return found;
}

/* Files there that we did not make are somebody's accounts. */
static int check_free(const char *root, struct loam_err *err)
{
	for (size_t i = 0; i < LOCAL_FILES; i++) {
		struct stat st;
		loam_auto_free char *path = place(root, names_files[i].path);
		if (lstat(path, &st) < 0)
			continue;
		if (!S_ISREG(st.st_mode) || st.st_size > 0)
			return loam_fail(err, LOAM_E_EXISTS,
					 "%s holds accounts of somebody else: move it away first",
					 path);
	}
	return 0;
}

static int check_enroll(const struct loam_node *node, bool *out_again, struct loam_err *err)
{
	struct loam_node present;
	if (!loam_node_path_is_valid(node->mount) || !loam_node_path_is_valid(node->shell))
		return loam_fail(err, LOAM_E_INVALID,
				 "mount and shell are absolute paths without ':'");
	int rc = loam_node_load(node->root, &present, err);
	if (rc < 0)
		return rc;
	*out_again = rc == 1;
	if (rc == 1 && strcmp(present.uuid, node->uuid) != 0)
		return loam_fail(err, LOAM_E_EXISTS,
				 "this node knows the names of volume %s (%s): loam node remove "
				 "ends that",
				 present.volume, present.uuid);
	if (!has_library(node->root))
		return loam_fail(err, LOAM_E_NOT_FOUND,
				 "libnss-extrausers is not installed: apt-get install "
				 "libnss-extrausers");
	return rc == 1 ? 0 : check_free(node->root, err);
}

static mode_t switch_mode(const char *root)
{
	struct stat st;
	loam_auto_free char *path = place(root, SWITCH);
	return stat(path, &st) == 0 ? st.st_mode & 07777 : 0644;
}

/* The backup stays the first one however often a node is enrolled again. */
static int plan_switch(const char *root, bool again, struct loam_buf *out_after,
		       struct loam_err *err)
{
	struct stat st;
	loam_auto_free char *path = place(root, SWITCH);
	loam_auto_buf struct loam_buf now = LOAM_BUF(LOAM_NSSWITCH_BYTES_MAX);
	if (lstat(path, &st) == 0 && !S_ISREG(st.st_mode))
		return loam_fail(err, LOAM_E_INVALID,
				 "%s is not a file: put extrausers behind files in it by hand",
				 path);
	int rc = read_place(root, SWITCH, &now, err);
	if (rc == 1 && !again)
		rc = put_place(root, BEFORE, 0644, &now, err);
	if (rc >= 0)
		rc = loam_nsswitch_add(&now, out_after, err);
	return rc < 0 ? rc : put_place(root, AFTER, 0644, out_after, err);
}

static int put_switch(const char *root, const struct loam_buf *after, struct loam_err *err)
{
	loam_auto_buf struct loam_buf now = LOAM_BUF(LOAM_NSSWITCH_BYTES_MAX);
	int rc = read_place(root, SWITCH, &now, err);
	if (rc < 0 || (rc == 1 && is_equal(&now, after)))
		return rc < 0 ? rc : 0;
	return put_place(root, SWITCH, switch_mode(root), after, err);
}

static int make_folder(const char *root, const char *path, struct loam_err *err)
{
	loam_auto_free char *whole = place(root, path);
	int rc = loam_mkdir_all(whole, 0755, err);
	/* Whatever the umask: everybody's programs look up names there. */
	return rc == 0 && chmod(whole, 0755) < 0 ? loam_fail_errno(err, "chmod %s", whole) : rc;
}

int loam_node_enroll(const struct loam_node *node, const struct loam_accounts *accounts,
		     struct loam_err *err)
{
	bool again = false;
	loam_auto_fd int lock_fd = -1;
	struct loam_node_look_result look = { 0 };
	loam_auto_buf struct loam_buf after = LOAM_BUF(LOAM_NSSWITCH_BYTES_MAX);
	int rc = check_enroll(node, &again, err);
	if (rc == 0)
		rc = make_folder(node->root, STATE, err);
	if (rc == 0)
		rc = make_folder(node->root, NAMES, err);
	if (rc == 0)
		rc = lock(node->root, &lock_fd, err);
	const struct timespec never[2] = { { 0 } };
	if (rc == 0)
		futimens(lock_fd, never); /* no mount has looked yet */
	if (rc == 0)
		rc = plan_switch(node->root, again, &after, err);
	if (rc == 0)
		rc = save(node, err);
	if (rc == 0)
		rc = write_names(node, accounts, &look, err);
	return rc < 0 ? rc : put_switch(node->root, &after, err);
}

/* ---- removing -------------------------------------------------------------------------------- */

static int restore_switch(const char *root, bool *out_edited, struct loam_err *err)
{
	loam_auto_buf struct loam_buf now = LOAM_BUF(LOAM_NSSWITCH_BYTES_MAX);
	loam_auto_buf struct loam_buf before = LOAM_BUF(LOAM_NSSWITCH_BYTES_MAX);
	loam_auto_buf struct loam_buf after = LOAM_BUF(LOAM_NSSWITCH_BYTES_MAX);
	loam_auto_buf struct loam_buf fresh = LOAM_BUF(LOAM_NSSWITCH_BYTES_MAX);
	int has_now = read_place(root, SWITCH, &now, err);
	int had = has_now < 0 ? has_now : read_place(root, BEFORE, &before, err);
	int rc = had < 0 ? had : read_place(root, AFTER, &after, err);
	if (rc < 0)
		return rc;
	*out_edited = has_now == 1 && !is_equal(&now, &after) && !is_equal(&now, &before);
	if (has_now == 0 || (had == 1 && is_equal(&now, &before)))
		return 0;
	if (*out_edited) {
		rc = loam_nsswitch_remove(&now, &before, &fresh, err);
		return rc < 0 ? rc : put_place(root, SWITCH, switch_mode(root), &fresh, err);
	}
	return had == 1 ? put_place(root, SWITCH, switch_mode(root), &before, err)
			: remove_place(root, SWITCH, err);
}

int loam_node_remove(const char *root, bool *out_edited, struct loam_err *err)
{
	struct loam_node node;
	loam_auto_fd int lock_fd = -1;
	int rc = loam_node_load(root, &node, err);
	if (rc < 0)
		return rc;
	if (rc == 0)
		return loam_fail(err, LOAM_E_NOT_FOUND, "this node is not enrolled");
	rc = lock(root, &lock_fd, err);
	if (rc == 0)
		rc = restore_switch(root, out_edited, err);
	for (size_t i = 0; rc == 0 && i < LOCAL_FILES; i++)
		rc = remove_place(root, names_files[i].path, err);
	static const char *const state[] = { BEFORE, AFTER, NODE, LOCK };
	for (size_t i = 0; rc == 0 && i < LOAM_ARRAY_COUNT(state); i++)
		rc = remove_place(root, state[i], err);
	loam_auto_free char *folder = place(root, STATE);
	if (rc == 0 && rmdir(folder) < 0 && errno != ENOTEMPTY && errno != ENOENT)
		rc = loam_fail_errno(err, "remove %s", folder);
	return rc;
}

/* ---- status ---------------------------------------------------------------------------------- */

static size_t count_lines(const struct loam_buf *text)
{
	size_t count = 0;
	for (size_t i = 0; i < text->bytes; i++)
		count += text->data[i] == '\n';
	return count;
}

static int count_file(const char *root, const char *path, size_t *out, struct loam_err *err)
{
	loam_auto_buf struct loam_buf text = LOAM_BUF(LOAM_ACCOUNT_FILE_BYTES_MAX + 1u);
	int rc = read_place(root, path, &text, err);
	*out = count_lines(&text);
	return rc < 0 ? rc : 0;
}

int loam_node_status(const struct loam_node *node, struct loam_node_status *out,
		     struct loam_err *err)
{
	struct loam_node_status status = { .left_out = LOAM_BUF(LOAM_ACCOUNT_FILE_BYTES_MAX) };
	struct stat st;
	loam_auto_free char *lock_path = place(node->root, LOCK);
	loam_auto_buf struct loam_buf now = LOAM_BUF(LOAM_NSSWITCH_BYTES_MAX);
	loam_auto_buf struct loam_buf after = LOAM_BUF(LOAM_NSSWITCH_BYTES_MAX);
	int rc = count_file(node->root, NAMES "/passwd", &status.users, err);
	if (rc == 0)
		rc = count_file(node->root, NAMES "/group", &status.groups, err);
	if (rc == 0)
		rc = read_place(node->root, LEFT_OUT, &status.left_out, err);
	if (rc >= 0)
		rc = read_place(node->root, SWITCH, &now, err);
	if (rc >= 0)
		rc = loam_nsswitch_add(&now, &after, err);
	if (rc < 0) {
		loam_buf_release(&status.left_out);
		return rc;
	}
	status.in_switch = is_equal(&now, &after);
	status.has_library = has_library(node->root);
	if (stat(lock_path, &st) == 0)
		status.looked = st.st_mtime;
	*out = status;
	return 0;
}
