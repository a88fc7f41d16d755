/*
 * Paths and whole files of a volume for the service itself (fs/files.h).
 *
 * A file is replaced by writing a new inode beside it under a random name, then letting one
 * transaction swap the two names; readers see the old bytes or the new ones. What a killed process
 * leaves behind is a file whose name begins with ".new-"; the next replacement of that path does
 * not touch it, fsck lists it.
 */
#include "fs/files.h"

#include "core/auto.h"
#include "core/clock.h"
#include "core/hash.h"
#include "fs/meta/rules.h"
#include "fs/meta/txn.h"

#include <string.h>

#define NEW_NAME_BYTES 32

/* Splits the next segment off *path. 1 segment, 0 end, -INVALID. */
static int next_segment(const char **path, struct loam_name *out, struct loam_err *err)
{
	while (**path == '/')
		(*path)++;
	if (**path == '\0')
		return 0;
	size_t bytes = strcspn(*path, "/");
	if (bytes > LOAM_NAME_BYTES_MAX)
		return loam_fail(err, LOAM_E_NAME_TOO_LONG, "'%.40s…' is over 255 bytes", *path);
	*out = (struct loam_name){ .data = *path, .bytes = (uint16_t)bytes };
	if ((bytes == 1 && (*path)[0] == '.') || (bytes == 2 && !strncmp(*path, "..", 2)))
		return loam_fail(err, LOAM_E_INVALID, "'.' and '..' do not stand in volume paths");
	*path += bytes;
	return 1;
}

static int step_into(struct loam_volume *volume, uint64_t *ino, struct loam_attr *attr,
		     struct loam_name name, struct loam_err *err)
{
	if (attr->type == LOAM_TYPE_SYMLINK)
		return loam_fail(err, LOAM_E_LOOP, "a symbolic link stands in the path");
	if (attr->type != LOAM_TYPE_DIR)
		return loam_fail(err, LOAM_E_NOT_DIR, "before '%.*s' stands no directory",
				 name.bytes, name.data);
	return loam_meta_lookup(volume->meta, &loam_who_root, *ino, name, ino, attr, err);
}

int loam_files_lookup(struct loam_volume *volume, const char *path, uint64_t *out_ino,
		      struct loam_attr *out_attr, struct loam_err *err)
{
	uint64_t ino = LOAM_INO_ROOT;
	struct loam_attr attr = { .type = LOAM_TYPE_DIR };
	bool moved = false;
	const char *rest = path;
	for (;;) {
		struct loam_name name;
		int more = next_segment(&rest, &name, err);
		if (more < 0)
			return more;
		if (more == 0)
			break;
		int rc = step_into(volume, &ino, &attr, name, err);
		if (rc < 0)
			return loam_context(err, "%s", path);
		moved = true;
	}
	if (!moved) {
		int rc = loam_meta_getattr(volume->meta, ino, &attr, err);
		if (rc < 0)
			return rc;
	}
	*out_ino = ino;
	*out_attr = attr;
	return 0;
}

int loam_files_parent(struct loam_volume *volume, const char *path, uint64_t *out_parent,
		      struct loam_name *out_name, struct loam_err *err)
{
	const char *slash = strrchr(path, '/');
	if (!slash || slash[1] == '\0')
		return loam_fail(err, LOAM_E_INVALID, "'%s' names no entry of a directory", path);
	loam_auto_free char *dir = loam_xstrndup(path, (size_t)(slash - path));
	struct loam_attr attr;
	int rc = loam_files_lookup(volume, dir, out_parent, &attr, err);
	if (rc < 0)
		return rc;
	if (attr.type != LOAM_TYPE_DIR)
		return loam_fail(err, LOAM_E_NOT_DIR, "'%s' is not a directory", dir);
	const char *last = slash + 1;
	rc = next_segment(&last, out_name, err);
	return rc < 0 ? rc : 0;
}

/* ---- names of one directory ------------------------------------------------------------------ */

struct look {
	const char *dir;
	const char *const *names;
	size_t name_count;
	struct loam_files_trail *trail;
	uint64_t *inos;
};

static int check_dir(const struct loam_dentry *entry, const char *dir, struct loam_err *err)
{
	if (entry->type == LOAM_TYPE_DIR)
		return 0;
	return entry->type == LOAM_TYPE_SYMLINK
		       ? loam_fail(err, LOAM_E_LOOP, "a symbolic link stands in %s", dir)
		       : loam_fail(err, LOAM_E_NOT_DIR, "%s is not a directory", dir);
}

/* Everything that will be read if the directories are where they were. */
static int want_look(struct loam_txn *txn, const struct look *look, struct loam_err *err)
{
	uint64_t ino = LOAM_INO_ROOT;
	struct loam_name name;
	const char *rest = look->dir;
	int more = 0;
	for (size_t depth = 0; ino != 0; depth++) {
		more = next_segment(&rest, &name, err);
		if (more <= 0)
			break;
		loam_txn_want_dentry(txn, ino, name);
		ino = depth < LOAM_FILES_TRAIL_MAX ? look->trail->inos[depth] : 0;
	}
	for (size_t i = 0; ino != 0 && more == 0 && i < look->name_count; i++)
		loam_txn_want_dentry(txn, ino, loam_name_of(look->names[i]));
	return more < 0 ? more : 0;
}

/* 1 with the directory's inode, 0 it is missing. */
static int walk_look(struct loam_txn *txn, const struct look *look, uint64_t *out_ino,
		     struct loam_err *err)
{
	struct loam_name name;
	const char *rest = look->dir;
	*out_ino = LOAM_INO_ROOT;
	for (size_t depth = 0;; depth++) {
		int more = next_segment(&rest, &name, err);
		if (more <= 0)
			return more < 0 ? more : 1;
		struct loam_dentry entry;
		int rc = loam_txn_dentry(txn, *out_ino, name, &entry, err);
		if (rc == 1 && check_dir(&entry, look->dir, err) < 0)
			return -(int)err->code;
		if (rc != 1)
			return rc;
		*out_ino = entry.ino;
		if (depth < LOAM_FILES_TRAIL_MAX)
			look->trail->inos[depth] = entry.ino;
	}
}

static int look_txn(struct loam_txn *txn, void *arg, struct loam_err *err)
{
	const struct look *look = arg;
	memset(look->inos, 0, look->name_count * sizeof(look->inos[0]));
	uint64_t dir;
	int rc = want_look(txn, look, err);
	if (rc == 0)
		rc = walk_look(txn, look, &dir, err);
	if (rc <= 0)
		return rc;
	for (size_t i = 0; i < look->name_count; i++)
		loam_txn_want_dentry(txn, dir, loam_name_of(look->names[i]));
	for (size_t i = 0; i < look->name_count; i++) {
		struct loam_dentry entry;
		rc = loam_txn_dentry(txn, dir, loam_name_of(look->names[i]), &entry, err);
		if (rc < 0)
			return rc;
		look->inos[i] = rc == 1 ? entry.ino : 0;
	}
	return 0;
}

int loam_files_inos(struct loam_volume *volume, const char *dir, const char *const *names,
		    size_t name_count, struct loam_files_trail *trail, uint64_t *out_inos,
		    struct loam_err *err)
{
	struct look look = { dir, names, name_count, trail, out_inos };
	int rc = loam_rules_alive(volume->meta, err);
	if (rc == 0)
		rc = loam_meta_run(volume->meta, 0, look_txn, &look, err);
	return rc < 0 ? loam_context(err, "look into %s", dir) : 0;
}

/* ---- making ---------------------------------------------------------------------------------- */

static int make_dir(struct loam_volume *volume, uint64_t parent, struct loam_name name,
		    const struct loam_who *owner, uint16_t mode, uint8_t attr_flags, uint64_t *ino,
		    struct loam_attr *attr, struct loam_err *err)
{
	struct loam_create create = { .type = LOAM_TYPE_DIR,
				      .mode = mode,
				      .set_flags = attr_flags };
	int rc = loam_meta_create(volume->meta, owner, parent, name, &create, ino, attr, err);
	if (rc == -LOAM_E_EXISTS) { /* somebody else made it in this moment */
		loam_err_clear(err);
		rc = loam_meta_lookup(volume->meta, &loam_who_root, parent, name, ino, attr, err);
	}
	return rc;
}

int loam_files_mkdirs(struct loam_volume *volume, const char *path, uint32_t uid, uint32_t gid,
		      uint16_t mode, uint8_t attr_flags, uint64_t *out_ino, struct loam_err *err)
{
	const struct loam_who owner = { .uid = uid, .gid = gid };
	uint64_t ino = LOAM_INO_ROOT;
	struct loam_attr attr = { .type = LOAM_TYPE_DIR };
	const char *rest = path;
	for (;;) {
		struct loam_name name;
		int more = next_segment(&rest, &name, err);
		if (more < 0)
			return more;
		if (more == 0)
			break;
		uint64_t parent = ino;
		int rc = step_into(volume, &ino, &attr, name, err);
		if (rc == -LOAM_E_NOT_FOUND) {
			loam_err_clear(err);
			rc = make_dir(volume, parent, name, &owner, mode, attr_flags, &ino, &attr,
				      err);
		}
		if (rc < 0)
			return loam_context(err, "make directory %s", path);
	}
	if (attr.type != LOAM_TYPE_DIR)
		return loam_fail(err, LOAM_E_NOT_DIR, "'%s' is there and no directory", path);
	*out_ino = ino;
	return 0;
}

int loam_files_read_ino(struct loam_volume *volume, uint64_t ino, struct loam_buf *out,
			struct loam_err *err)
{
	struct loam_attr attr;
	int rc = loam_meta_getattr(volume->meta, ino, &attr, err);
	if (rc < 0)
		return rc;
	if (attr.type != LOAM_TYPE_FILE)
		return loam_fail(err, LOAM_E_INVALID, "inode %llu is not a regular file",
				 (unsigned long long)ino);
	if (attr.length > out->max_bytes - out->bytes)
		return loam_fail(err, LOAM_E_TOO_LARGE, "a file of %llu bytes, over %zu",
				 (unsigned long long)attr.length, out->max_bytes);
	rc = loam_buf_reserve(out, attr.length, err);
	if (rc < 0 || attr.length == 0)
		return rc;

	struct loam_reader *reader = NULL;
	rc = loam_reader_new(volume->data, ino, attr.length, &reader, err);
	if (rc < 0)
		return rc;
	size_t got = 0;
	rc = loam_reader_read(reader, 0, out->data + out->bytes, attr.length, &got, err);
	loam_reader_free(reader);
	if (rc == -LOAM_E_STALE) {
		loam_err_clear(err);
		return loam_fail(err, LOAM_E_NOT_FOUND, "it was removed while it was read");
	}
	if (rc < 0)
		return rc;
	out->bytes += got;
	out->data[out->bytes] = '\0';
	return 0;
}

int loam_files_read(struct loam_volume *volume, const char *path, struct loam_buf *out,
		    struct loam_err *err)
{
	uint64_t ino;
	struct loam_attr attr;
	int rc = loam_files_lookup(volume, path, &ino, &attr, err);
	if (rc < 0)
		return rc;
	rc = loam_files_read_ino(volume, ino, out, err);
	return rc < 0 ? loam_context(err, "%s", path) : 0;
}

/* ---- replacement ----------------------------------------------------------------------------- */

struct replace {
	uint64_t parent;
	struct loam_name name, new_name;
	uint64_t expected;  /* inode, 0 nothing, or ANY */
	uint64_t displaced; /* what stood there, 0 nothing */
};
#define ANY UINT64_MAX

/* Gives the new inode the name; what had the name gets the temporary one. */
static int swap_names(struct loam_txn *txn, void *arg, struct loam_err *err)
{
	struct replace *r = arg;
	loam_txn_want_attr(txn, r->parent);
	loam_txn_want_dentry(txn, r->parent, r->name);
	loam_txn_want_dentry(txn, r->parent, r->new_name);

	struct loam_attr parent;
	int rc = loam_txn_attr(txn, r->parent, &parent, err);
	if (rc <= 0)
		return rc < 0 ? rc : loam_fail(err, LOAM_E_NOT_FOUND, "the directory vanished");
	struct loam_dentry fresh, old = { 0 };
	rc = loam_txn_dentry(txn, r->parent, r->new_name, &fresh, err);
	if (rc <= 0)
		return rc < 0 ? rc : loam_fail(err, LOAM_E_NOT_FOUND, "the new file vanished");
	int had = loam_txn_dentry(txn, r->parent, r->name, &old, err);
	if (had < 0)
		return had;
	if (had && old.type == LOAM_TYPE_DIR)
		return loam_fail(err, LOAM_E_IS_DIR, "a directory stands there");
	if (r->expected != ANY && r->expected != (had ? old.ino : 0))
		return loam_fail(err, LOAM_E_CONFLICT, "it was changed by somebody else meanwhile");

	r->displaced = had ? old.ino : 0;
	loam_txn_put_dentry(txn, r->parent, r->name, &fresh);
	if (had)
		loam_txn_put_dentry(txn, r->parent, r->new_name, &old);
	else
		loam_txn_delete_dentry(txn, r->parent, r->new_name);
	parent.mtime = parent.ctime = loam_clock_now();
	loam_txn_put_attr(txn, r->parent, &parent);
	return 0;
}

static int write_content(struct loam_volume *volume, uint64_t ino, const void *data,
			 size_t data_bytes, struct loam_err *err)
{
	if (data_bytes == 0)
		return 0;
	struct loam_writer *writer = NULL;
	int rc = loam_writer_new(volume->data, ino, &writer, err);
	if (rc < 0)
		return rc;
	rc = loam_writer_add(writer, data, data_bytes, err);
	if (rc == 0)
		rc = loam_writer_finish(writer, err);
	loam_writer_free(writer);
	return rc;
}

static int put_file(struct loam_volume *volume, const char *path, uint64_t expected,
		    const struct loam_who *owner, uint16_t mode, const void *data,
		    size_t data_bytes, struct loam_err *err)
{
	struct replace r = { .expected = expected };
	int rc = loam_files_parent(volume, path, &r.parent, &r.name, err);
	if (rc < 0)
		return rc;
	char new_name[NEW_NAME_BYTES] = ".new-";
	loam_random_base62(new_name + 5, 20);
	r.new_name = loam_name_of(new_name);
	struct loam_create create = { .type = LOAM_TYPE_FILE, .mode = mode };
	uint64_t ino;
	struct loam_attr attr;
	rc = loam_meta_create(volume->meta, owner, r.parent, r.new_name, &create, &ino, &attr, err);
	if (rc < 0)
		return rc;

	rc = write_content(volume, ino, data, data_bytes, err);
	if (rc == 0)
		rc = loam_meta_run(volume->meta, 0, swap_names, &r, err);
	if (rc < 0 || r.displaced != 0) { /* ours without the name, or what it has displaced */
		struct loam_err ignored = { 0 };
		loam_meta_unlink(volume->meta, &loam_who_root, r.parent, r.new_name, NULL,
				 &ignored);
	}
	return rc;
}

int loam_files_write(struct loam_volume *volume, const char *path, uint32_t uid, uint32_t gid,
		     uint16_t mode, const void *data, size_t data_bytes, struct loam_err *err)
{
	const struct loam_who owner = { .uid = uid, .gid = gid };
	int rc = put_file(volume, path, ANY, &owner, mode, data, data_bytes, err);
	return rc < 0 ? loam_context(err, "write %s", path) : 0;
}

int loam_files_replace(struct loam_volume *volume, const char *path, uint64_t expected_ino,
		       uint32_t uid, uint32_t gid, uint16_t mode, const void *data,
		       size_t data_bytes, struct loam_err *err)
{
	const struct loam_who owner = { .uid = uid, .gid = gid };
	int rc = put_file(volume, path, expected_ino, &owner, mode, data, data_bytes, err);
	return rc < 0 ? loam_context(err, "replace %s", path) : 0;
}

int loam_files_remove(struct loam_volume *volume, const char *path, struct loam_err *err)
{
	uint64_t parent;
	struct loam_name name;
	int rc = loam_files_parent(volume, path, &parent, &name, err);
	if (rc == 0)
		rc = loam_meta_remove_tree(volume->meta, &loam_who_root, parent, name, err);
	if (rc == -LOAM_E_NOT_FOUND) {
		loam_err_clear(err);
		return 0;
	}
	return rc < 0 ? loam_context(err, "remove %s", path) : 0;
}
