/*
 * Walks a published tree and its Git tree side by side (sync/fsck_published.h): what step 8 of a
 * push must leave. The rules are those of sync/build.c: 100644 is 0444, 100755 is 0555, directories
 * are 0555, all of the service; a pointer is its object; a symbolic link that leads out of the tree
 * is a file holding its target.
 */
#include "sync/fsck_published.h"

#include "auth/tree.h"
#include "core/auto.h"
#include "core/hash.h"
#include "lfs/pointer.h"
#include "sync/build.h"
#include "sync/changes.h"

#include <string.h>
#include <uthash.h>

typedef unsigned long long ull;

#define READ_BYTES    (1u << 20)
#define FILE_MODE     0444
#define EXEC_MODE     0555
#define DIR_MODE      0555
#define PROGRESS_EACH 256

/* What an entry must be on the mount. */
struct expected {
	enum loam_type type;
	uint16_t mode;
	uint64_t bytes;
	git_blob *blob; /* of files and links, when its bytes are needed */
	struct loam_pointer pointer;
	bool is_pointer;
};

struct present {
	UT_hash_handle hh;
	size_t bytes;
	char name[];
};

#define FOUND(published, ...) loam_fsck_found((published)->sink, __VA_ARGS__)

static int walk(struct loam_fsck_published *published, uint64_t ino, const git_tree *git_tree,
		const char *path, unsigned depth, struct loam_err *err);

/* ---- what must stand there ------------------------------------------------------------------- */

static int expect_link(const char *path, struct expected *out)
{
	const char *target = git_blob_rawcontent(out->blob);
	size_t bytes = (size_t)git_blob_rawsize(out->blob);
	bool stays = bytes <= LOAM_SYMLINK_BYTES_MAX && loam_symlink_stays(path, target, bytes);
	out->type = stays ? LOAM_TYPE_SYMLINK : LOAM_TYPE_FILE;
	out->mode = stays ? 0777 : FILE_MODE;
	out->bytes = bytes;
	return 0;
}

static int expect_entry(struct loam_fsck_published *published, const git_tree_entry *entry,
			const char *path, struct expected *out, struct loam_err *err)
{
	git_filemode_t mode = git_tree_entry_filemode(entry);
	*out = (struct expected){ .type = LOAM_TYPE_DIR, .mode = DIR_MODE };
	if (git_tree_entry_type(entry) == GIT_OBJECT_TREE)
		return 0;
	const git_oid *oid = git_tree_entry_id(entry);
	out->type = LOAM_TYPE_FILE;
	out->mode = mode == GIT_FILEMODE_BLOB_EXECUTABLE ? EXEC_MODE : FILE_MODE;
	int rc = 0;
	if (mode != GIT_FILEMODE_LINK)
		rc = loam_blob_bytes(published->git, oid, mode, &out->bytes, err);
	if (rc < 0 || (mode != GIT_FILEMODE_LINK && !published->deep))
		return rc;
	rc = git_blob_lookup(&out->blob, published->git, oid);
	if (rc < 0)
		return loam_git_fail(err, rc, "read a blob");
	if (mode == GIT_FILEMODE_LINK)
		return expect_link(path, out);
	struct loam_err not_one = { 0 };
	size_t bytes = (size_t)git_blob_rawsize(out->blob);
	out->is_pointer = bytes < LOAM_POINTER_BYTES_MAX &&
			  loam_pointer_parse(git_blob_rawcontent(out->blob), bytes, &out->pointer,
					     &not_one) == 0;
	return 0;
}

/* ---- comparing one entry --------------------------------------------------------------------- */

/* Reads the file; its bytes are those of `data`, or with data NULL have the SHA-256 oid. */
static int compare_bytes(struct loam_fsck_published *published, uint64_t ino, uint64_t length,
			 const uint8_t *data, const char *oid, bool *out_equal,
			 struct loam_err *err)
{
	loam_auto_free uint8_t *buffer = loam_xcalloc(1, READ_BYTES);
	struct loam_reader *reader = NULL;
	int rc = loam_reader_new(published->volume->data, ino, length, &reader, err);
	if (rc < 0)
		return rc;
	struct loam_sha256 *hash = loam_sha256_new();
	uint8_t digest[LOAM_SHA256_BYTES];
	char hex[LOAM_SHA256_HEX + 1];
	bool equal = true;
	uint64_t at = 0;
	while (rc == 0 && equal && at < length) {
		size_t bytes = 0;
		rc = loam_reader_read(reader, at, buffer, READ_BYTES, &bytes, err);
		if (rc < 0 || bytes == 0)
			break;
		if (data)
			equal = memcmp(buffer, data + at, bytes) == 0;
		else
			loam_sha256_add(hash, buffer, bytes);
		at += bytes;
	}
	loam_sha256_end(hash, digest);
	loam_sha256_free(hash);
	loam_reader_free(reader);
	loam_hex(digest, sizeof(digest), hex);
	*out_equal = equal && at == length && (data || strcmp(hex, oid) == 0);
	return rc;
}

static int check_content(struct loam_fsck_published *published, const char *where,
			 const struct loam_dir_entry *entry, const struct expected *expected,
			 struct loam_err *err)
{
	bool equal = true;
	struct loam_err own = { 0 };
	if (entry->attr.length == 0)
		return 0;
	int rc = compare_bytes(published, entry->dentry.ino, entry->attr.length,
			       expected->is_pointer ? NULL : git_blob_rawcontent(expected->blob),
			       expected->pointer.oid, &equal, &own);
	if (own.code == LOAM_E_UNAVAILABLE)
		return loam_fail(err, own.code, "%s", own.text);
	if (rc < 0)
		FOUND(published, "M02", "%s/%s cannot be read: %s", published->repo, where,
		      own.text);
	else if (!equal)
		FOUND(published, "M02", "%s/%s holds other bytes than its %s", published->repo,
		      where, expected->is_pointer ? "object" : "blob");
	return 0;
}

static int check_target(struct loam_fsck_published *published, const char *where, uint64_t ino,
			const git_blob *blob, struct loam_err *err)
{
	loam_auto_buf struct loam_buf target = LOAM_BUF(LOAM_SYMLINK_BYTES_MAX);
	int rc = loam_meta_readlink(published->volume->meta, ino, &target, err);
	if (rc == -LOAM_E_UNAVAILABLE)
		return rc;
	loam_err_clear(err);
	size_t bytes = (size_t)git_blob_rawsize(blob);
	if (rc < 0 || target.bytes != bytes ||
	    memcmp(target.data, git_blob_rawcontent(blob), bytes) != 0)
		FOUND(published, "M02", "%s/%s is a link to another place than in the commit",
		      published->repo, where);
	return 0;
}

static int compare(struct loam_fsck_published *published, const char *where,
		   const struct loam_dir_entry *entry, const struct expected *expected,
		   struct loam_err *err)
{
	const struct loam_attr *attr = &entry->attr;
	if (attr->type != expected->type) {
		FOUND(published, "M02", "%s/%s has type %u, the commit wants %d", published->repo,
		      where, attr->type, (int)expected->type);
		return 0;
	}
	if ((attr->mode & 0777) != expected->mode)
		FOUND(published, "M02", "%s/%s has mode %04o, the commit wants %04o",
		      published->repo, where, attr->mode, expected->mode);
	if (attr->uid != LOAM_SERVICE_ID || attr->gid != LOAM_SERVICE_ID)
		FOUND(published, "M02", "%s/%s belongs to %u:%u", published->repo, where, attr->uid,
		      attr->gid);
	if (attr->type == LOAM_TYPE_SYMLINK)
		return check_target(published, where, entry->dentry.ino, expected->blob, err);
	if (attr->type != LOAM_TYPE_FILE)
		return 0;
	if (attr->length != expected->bytes) {
		FOUND(published, "M02", "%s/%s has %llu bytes, the commit wants %llu",
		      published->repo, where, (ull)attr->length, (ull)expected->bytes);
		return 0;
	}
	return published->deep ? check_content(published, where, entry, expected, err) : 0;
}

/* What may stand in no published tree, whatever the commit says. */
static void check_harmless(struct loam_fsck_published *published, const char *where,
			   const struct loam_attr *attr)
{
	if (attr->type != LOAM_TYPE_FILE && attr->type != LOAM_TYPE_DIR &&
	    attr->type != LOAM_TYPE_SYMLINK)
		FOUND(published, "M05", "%s/%s is a device, pipe or socket", published->repo,
		      where);
	else if (attr->mode & 07000)
		FOUND(published, "M05", "%s/%s has mode %04o", published->repo, where, attr->mode);
}

static int check_entry(struct loam_fsck_published *published, const struct loam_dir_entry *entry,
		       const git_tree *git_tree, const char *path, unsigned depth,
		       struct loam_err *err)
{
	char name[LOAM_NAME_BYTES_MAX + 1] = "";
	memcpy(name, entry->name.data, entry->name.bytes);
	loam_auto_free char *where = loam_xasprintf("%s%s", path, name);
	published->files++;
	if (published->sink->progress && published->files % PROGRESS_EACH == 0)
		published->sink->progress(published->sink->arg, "published files",
					  published->files);
	if (!entry->has_attr) {
		FOUND(published, "M02", "%s/%s has no inode", published->repo, where);
		return 0;
	}
	check_harmless(published, where, &entry->attr);
	const git_tree_entry *wanted = git_tree ? git_tree_entry_byname(git_tree, name) : NULL;
	if (!wanted || !loam_entry_is_shown(wanted, path, NULL)) {
		FOUND(published, "M02", "%s/%s is not in the commit", published->repo, where);
		return 0;
	}
	struct expected expected;
	int rc = expect_entry(published, wanted, path, &expected, err);
	if (rc == 0)
		rc = compare(published, where, entry, &expected, err);
	git_blob_free(expected.blob);
	if (rc < 0 || expected.type != LOAM_TYPE_DIR || entry->attr.type != LOAM_TYPE_DIR)
		return rc;
	struct git_tree *below = NULL;
	rc = git_tree_lookup(&below, published->git, git_tree_entry_id(wanted));
	if (rc < 0)
		return loam_git_fail(err, rc, "read a tree");
	loam_auto_free char *dir_path = loam_xasprintf("%s/", where);
	rc = walk(published, entry->dentry.ino, below, dir_path, depth + 1, err);
	git_tree_free(below);
	return rc;
}

/* ---- a directory ----------------------------------------------------------------------------- */

static void remember(struct present **names, struct loam_name name)
{
	struct present *present = loam_xcalloc(1, sizeof(*present) + name.bytes + 1);
	memcpy(present->name, name.data, name.bytes);
	present->bytes = name.bytes;
	HASH_ADD(hh, *names, name[0], name.bytes, present);
}

static void check_absent(struct loam_fsck_published *published, const git_tree *git_tree,
			 struct present *names, const char *path)
{
	size_t count = git_tree ? git_tree_entrycount(git_tree) : 0;
	for (size_t i = 0; i < count; i++) {
		const git_tree_entry *entry = git_tree_entry_byindex(git_tree, i);
		const char *name = git_tree_entry_name(entry);
		struct present *present;
		HASH_FIND(hh, names, name, strlen(name), present);
		if (!present && loam_entry_is_shown(entry, path, NULL))
			FOUND(published, "M02", "%s/%s%s is missing", published->repo, path, name);
	}
}

static int walk(struct loam_fsck_published *published, uint64_t ino, const git_tree *git_tree,
		const char *path, unsigned depth, struct loam_err *err)
{
	if (depth > LOAM_GIT_PATH_DEPTH_MAX) {
		FOUND(published, "M02", "%s/%s nests too deep", published->repo, path);
		return 0;
	}
	struct loam_dir *dir = NULL;
	struct present *names = NULL, *name, *next;
	int rc = loam_meta_opendir(published->volume->meta, ino, true, &dir, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; rc == 0 && i < loam_dir_count(dir); i++) {
		const struct loam_dir_entry *entry = loam_dir_at(dir, i);
		remember(&names, entry->name);
		rc = check_entry(published, entry, git_tree, path, depth, err);
	}
	if (rc == 0)
		check_absent(published, git_tree, names, path);
	HASH_ITER (hh, names, name, next) {
		HASH_DEL(names, name);
		free(name);
	}
	loam_dir_close(dir);
	return rc;
}

int loam_fsck_published(struct loam_fsck_published *published, uint64_t gate_ino,
			const git_tree *git_tree, struct loam_err *err)
{
	return walk(published, gate_ino, git_tree, "", 0, err);
}
