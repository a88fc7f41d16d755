/*
 * `loam fsck`, the LFS part (lfs/fsck_lfs.h): what steps 3 and 4 of a push must leave behind.
 *
 *   1 the pool      each file by itself: name, owner, mode, xattr, bytes; remembered by inode
 *   2 the links     each is a pool file of its name; counted. Beside them the repository's locks
 *   3 link counts   1 + holders; one that differs is counted again between two readings of it
 *   4 staging       no sign of life for long
 */
#include "lfs/fsck_lfs.h"

#include "auth/gate.h"
#include "core/auto.h"
#include "core/cmd.h"
#include "core/hash.h"
#include "fs/files.h"
#include "lfs/lock_store.h"
#include "lfs/staging.h"

#include <stdio.h>
#include <string.h>
#include <uthash.h>

typedef unsigned long long ull;

#define READ_BYTES	 (1u << 20)
#define PROGRESS_EACH	 256
#define SWEEP_SECONDS	 300 /* a sweep may be late */
#define POOL_MODE	 0400
#define CHUNKS_AT_ONCE	 16
#define SHARD_BYTES	 2
#define NAME_SHOWN_BYTES 160

struct object {
	uint64_t ino, bytes;
	uint32_t nlink, holders;
	char oid[LOAM_SHA256_HEX + 1];
	UT_hash_handle hh;
};

struct check {
	const struct loam_tree *tree;
	struct loam_meta *meta;
	const struct loam_fsck_lfs_options *options;
	const struct loam_fsck_sink *sink;
	struct loam_fsck_lfs_stats stats;
	struct object *objects; /* by inode */
	uint64_t *link_dirs;	/* of all repositories */
	size_t link_dir_count;
	uint8_t *buffer; /* READ_BYTES, with deep */
};

#define FOUND(check, ...) loam_fsck_found((check)->sink, __VA_ARGS__)

static const char *shown(struct loam_name name, char out[NAME_SHOWN_BYTES])
{
	size_t count = 0;
	for (; count < name.bytes && count + 1 < NAME_SHOWN_BYTES; count++) {
		unsigned char c = (unsigned char)name.data[count];
		out[count] = c >= 0x20 && c != 0x7f ? (char)c : '?';
	}
	out[count] = '\0';
	return out;
}

/* NOT_FOUND becomes 0. */
static int maybe(int rc, struct loam_err *err)
{
	if (rc == -LOAM_E_NOT_FOUND) {
		loam_err_clear(err);
		return 0;
	}
	return rc < 0 ? rc : 1;
}

typedef int entry_fn(struct check *check, const char *path, const struct loam_dir_entry *entry,
		     struct loam_err *err);

/* Each entry of a directory; one that has gone meanwhile is empty. */
static int each_entry(struct check *check, const char *path, uint64_t ino, entry_fn *fn,
		      struct loam_err *err)
{
	struct loam_dir *dir = NULL;
	int rc = maybe(loam_meta_opendir(check->meta, ino, true, &dir, err), err);
	if (rc <= 0)
		return rc;
	rc = 0;
	for (size_t i = 0; rc == 0 && i < loam_dir_count(dir); i++) {
		const struct loam_dir_entry *entry = loam_dir_at(dir, i);
		if (entry->has_attr)
			rc = fn(check, path, entry, err);
	}
	loam_dir_close(dir);
	return rc;
}

/* ---- 1: the pool ----------------------------------------------------------------------------- */

/* Every byte of the object is a byte of a slice: writers leave no holes. */
static int check_covered(struct check *check, const struct object *object, struct loam_err *err)
{
	uint32_t chunks = (uint32_t)((object->bytes + LOAM_CHUNK_BYTES - 1) / LOAM_CHUNK_BYTES);
	uint64_t covered = 0;
	for (uint32_t first = 0; first < chunks; first += CHUNKS_AT_ONCE) {
		struct loam_chunk lists[CHUNKS_AT_ONCE] = { 0 };
		uint32_t count = chunks - first < CHUNKS_AT_ONCE ? chunks - first : CHUNKS_AT_ONCE;
		int rc = loam_meta_chunks(check->meta, object->ino, first, count, lists, err);
		if (rc < 0)
			return rc;
		for (uint32_t i = 0; i < count; i++) {
			struct loam_slice *pieces = NULL;
			size_t piece_count = 0;
			if (rc == 0)
				rc = loam_slices_resolve(lists[i].slices, lists[i].slice_count,
							 &pieces, &piece_count, err);
			for (size_t p = 0; rc == 0 && p < piece_count; p++)
				covered += pieces[p].id > 0 ? pieces[p].len : 0;
			free(pieces);
			free(lists[i].slices);
		}
		if (rc < 0)
			return rc;
	}
	if (covered < object->bytes)
		FOUND(check, "L01", "object %s: %llu of its %llu bytes are stored", object->oid,
		      (ull)covered, (ull)object->bytes);
	return 0;
}

static int hash_object(struct check *check, const struct object *object, struct loam_err *err)
{
	struct loam_reader *reader = NULL;
	int rc = loam_reader_new(check->tree->volume->data, object->ino, object->bytes, &reader,
				 err);
	if (rc < 0)
		return rc;
	struct loam_sha256 *hash = loam_sha256_new();
	uint8_t digest[LOAM_SHA256_BYTES];
	char oid[LOAM_SHA256_HEX + 1];
	for (uint64_t at = 0; rc == 0 && at < object->bytes;) {
		size_t bytes = 0;
		rc = loam_reader_read(reader, at, check->buffer, READ_BYTES, &bytes, err);
		if (rc < 0 || bytes == 0)
			break;
		loam_sha256_add(hash, check->buffer, bytes);
		at += bytes;
	}
	loam_sha256_end(hash, digest);
	loam_sha256_free(hash);
	loam_reader_free(reader);
	loam_hex(digest, sizeof(digest), oid);
	if (rc == 0 && strcmp(oid, object->oid) != 0)
		FOUND(check, "L01", "object %s: its bytes have SHA-256 %s", object->oid, oid);
	return rc;
}

/* Damage met on the way is a finding of this object, unless it has gone meanwhile. */
static int check_bytes(struct check *check, const struct object *object, struct loam_err *err)
{
	struct loam_err own = { 0 };
	struct loam_attr attr;
	int rc = check_covered(check, object, &own);
	if (rc == 0 && check->options->deep)
		rc = hash_object(check, object, &own);
	if (rc == 0)
		return 0;
	if (own.code == LOAM_E_UNAVAILABLE)
		return loam_fail(err, own.code, "%s", own.text);
	rc = maybe(loam_meta_getattr(check->meta, object->ino, &attr, err), err);
	if (rc == 1)
		FOUND(check, "L01", "object %s cannot be read: %s", object->oid, own.text);
	return rc < 0 ? rc : 0;
}

static int check_file(struct check *check, const char *path, const struct loam_dir_entry *entry,
		      const char *oid, struct loam_err *err)
{
	const struct loam_attr *attr = &entry->attr;
	if (attr->uid != LOAM_SERVICE_ID || attr->gid != LOAM_SERVICE_ID)
		FOUND(check, "L10", "%s/%s belongs to %u:%u", path, oid, attr->uid, attr->gid);
	if (attr->mode != POOL_MODE)
		FOUND(check, "L10", "%s/%s has mode %04o", path, oid, attr->mode);
	loam_auto_buf struct loam_buf text = LOAM_BUF(LOAM_XATTR_VALUE_BYTES_MAX);
	int rc = loam_meta_getxattr(check->meta, entry->dentry.ino, LOAM_XATTR_OID, &text, err);
	if (rc == -LOAM_E_NO_DATA || rc == -LOAM_E_NOT_FOUND)
		loam_err_clear(err);
	else if (rc < 0)
		return rc;
	if (strcmp(loam_buf_text(&text), oid) == 0)
		return 0;
	uint64_t ino;
	struct loam_attr still;
	loam_auto_free char *whole = loam_xasprintf("%s/%s", path, oid);
	rc = maybe(loam_files_lookup(check->tree->volume, whole, &ino, &still, err), err);
	if (rc == 1)
		FOUND(check, "L10", "%s: its " LOAM_XATTR_OID " is '%.64s'", whole,
		      loam_buf_text(&text));
	return rc < 0 ? rc : 0;
}

static int see_object(struct check *check, const char *path, const struct loam_dir_entry *entry,
		      struct loam_err *err)
{
	char oid[LOAM_SHA256_HEX + 1] = "", text[NAME_SHOWN_BYTES];
	size_t path_bytes = strlen(path);
	if (entry->name.bytes == LOAM_SHA256_HEX)
		memcpy(oid, entry->name.data, LOAM_SHA256_HEX);
	/* path ends with "/aa/bb" */
	bool fits = loam_oid_is_valid(oid) && !memcmp(path + path_bytes - 5, oid, SHARD_BYTES) &&
		    !memcmp(path + path_bytes - 2, oid + SHARD_BYTES, SHARD_BYTES);
	if (!fits || entry->attr.type != LOAM_TYPE_FILE) {
		FOUND(check, "L10", "%s/%s is no object", path, shown(entry->name, text));
		return 0;
	}
	struct object *object;
	HASH_FIND(hh, check->objects, &entry->dentry.ino, sizeof(object->ino), object);
	if (object) {
		FOUND(check, "L10", "objects %s and %s are one file", object->oid, oid);
		return 0;
	}
	object = loam_xnew(struct object);
	object->ino = entry->dentry.ino;
	object->bytes = entry->attr.length;
	object->nlink = entry->attr.nlink;
	memcpy(object->oid, oid, sizeof(oid));
	HASH_ADD(hh, check->objects, ino, sizeof(object->ino), object);
	check->stats.objects++;
	check->stats.bytes += object->bytes;
	if (check->sink->progress &&
	    (check->options->deep || check->stats.objects % PROGRESS_EACH == 0))
		check->sink->progress(check->sink->arg, "objects", check->stats.objects);
	int rc = check_file(check, path, entry, oid, err);
	return rc < 0 ? rc : check_bytes(check, object, err);
}

/* Directories aa and aa/bb: two lower-case hex digits. */
static int see_shard(struct check *check, const char *path, const struct loam_dir_entry *entry,
		     struct loam_err *err, entry_fn *fn)
{
	uint8_t byte;
	char text[NAME_SHOWN_BYTES];
	if (entry->attr.type != LOAM_TYPE_DIR ||
	    !loam_unhex(entry->name.data, entry->name.bytes, &byte, 1)) {
		FOUND(check, "L10", "%s/%s does not belong into the pool", path,
		      shown(entry->name, text));
		return 0;
	}
	loam_auto_free char *below =
		loam_xasprintf("%s/%.*s", path, entry->name.bytes, entry->name.data);
	return each_entry(check, below, entry->dentry.ino, fn, err);
}

static int see_inner_shard(struct check *check, const char *path,
			   const struct loam_dir_entry *entry, struct loam_err *err)
{
	return see_shard(check, path, entry, err, see_object);
}

static int see_outer_shard(struct check *check, const char *path,
			   const struct loam_dir_entry *entry, struct loam_err *err)
{
	return see_shard(check, path, entry, err, see_inner_shard);
}

/* ---- 2: the links ---------------------------------------------------------------------------- */

/* A link that fits no pool file met before: its object may have come meanwhile. */
static int check_odd_link(struct check *check, const char *path, const char *oid,
			  struct loam_err *err)
{
	char pool[LOAM_PATH_BYTES_MAX];
	loam_auto_free char *link = loam_xasprintf("%s/%s", path, oid);
	uint64_t link_ino, pool_ino = 0;
	struct loam_attr attr;
	int rc = maybe(loam_files_lookup(check->tree->volume, link, &link_ino, &attr, err), err);
	if (rc <= 0)
		return rc;
	loam_tree_pool_path(check->tree, oid, pool);
	rc = maybe(loam_files_lookup(check->tree->volume, pool, &pool_ino, &attr, err), err);
	if (rc < 0)
		return rc;
	if (rc == 0)
		FOUND(check, "L10", "%s: the pool has no such object", link);
	else if (pool_ino != link_ino)
		FOUND(check, "L10", "%s is not the pool's file", link);
	return 0;
}

static int see_link(struct check *check, const char *path, const struct loam_dir_entry *entry,
		    struct loam_err *err)
{
	char oid[LOAM_SHA256_HEX + 1] = "", text[NAME_SHOWN_BYTES];
	if (entry->name.bytes == LOAM_SHA256_HEX)
		memcpy(oid, entry->name.data, LOAM_SHA256_HEX);
	if (!loam_oid_is_valid(oid)) {
		FOUND(check, "L10", "%s/%s is no object", path, shown(entry->name, text));
		return 0;
	}
	check->stats.links++;
	struct object *object;
	HASH_FIND(hh, check->objects, &entry->dentry.ino, sizeof(object->ino), object);
	if (!object || strcmp(object->oid, oid) != 0)
		return check_odd_link(check, path, oid, err);
	object->holders++;
	return 0;
}

static int see_lock(struct check *check, const char *path, const struct loam_dir_entry *entry,
		    struct loam_err *err)
{
	char text[NAME_SHOWN_BYTES];
	int rc =
		entry->attr.type == LOAM_TYPE_FILE
			? loam_lock_store_is_sound(check->tree, entry->dentry.ino, entry->name, err)
			: 0;
	if (rc == -LOAM_E_NOT_FOUND)
		return maybe(rc, err);
	if (rc == 0)
		FOUND(check, "L07", "%s/%s is no lock: it keeps nobody from a push", path,
		      shown(entry->name, text));
	return rc < 0 ? rc : 0;
}

static int see_locks(struct check *check, const char *path, const struct loam_dir_entry *repo,
		     struct loam_err *err)
{
	loam_auto_free char *locks =
		loam_xasprintf("%s/%.*s/locks", path, repo->name.bytes, repo->name.data);
	uint64_t ino;
	struct loam_attr attr;
	int rc = maybe(loam_files_lookup(check->tree->volume, locks, &ino, &attr, err), err);
	if (rc <= 0)
		return rc;
	if (attr.type == LOAM_TYPE_DIR)
		return each_entry(check, locks, ino, see_lock, err);
	FOUND(check, "L07", "%s is no directory", locks);
	return 0;
}

static int see_links(struct check *check, const char *path, const struct loam_dir_entry *entry,
		     struct loam_err *err)
{
	loam_auto_free char *links =
		loam_xasprintf("%s/%.*s/lfs", path, entry->name.bytes, entry->name.data);
	uint64_t ino;
	struct loam_attr attr;
	int rc = maybe(loam_files_lookup(check->tree->volume, links, &ino, &attr, err), err);
	if (rc <= 0)
		return rc;
	if (attr.type != LOAM_TYPE_DIR) {
		FOUND(check, "L10", "%s is no directory", links);
		return 0;
	}
	check->link_dirs = reallocarray(check->link_dirs, check->link_dir_count + 1,
					sizeof(check->link_dirs[0]));
	loam_assert(check->link_dirs != NULL);
	check->link_dirs[check->link_dir_count++] = ino;
	return each_entry(check, links, ino, see_link, err);
}

static int see_repo(struct check *check, const char *path, const struct loam_dir_entry *entry,
		    struct loam_err *err)
{
	if (entry->attr.type != LOAM_TYPE_DIR)
		return 0;
	int rc = see_links(check, path, entry, err);
	return rc < 0 ? rc : see_locks(check, path, entry, err);
}

static int see_namespace(struct check *check, const char *path, const struct loam_dir_entry *entry,
			 struct loam_err *err)
{
	if (entry->attr.type != LOAM_TYPE_DIR)
		return 0;
	loam_auto_free char *below =
		loam_xasprintf("%s/%.*s", path, entry->name.bytes, entry->name.data);
	return each_entry(check, below, entry->dentry.ino, see_repo, err);
}

static int see_kind(struct check *check, const char *path, const struct loam_dir_entry *entry,
		    struct loam_err *err)
{
	if (entry->attr.type != LOAM_TYPE_DIR)
		return 0;
	loam_auto_free char *below =
		loam_xasprintf("%s/%.*s", path, entry->name.bytes, entry->name.data);
	return each_entry(check, below, entry->dentry.ino, see_namespace, err);
}

/* ---- 3: link counts -------------------------------------------------------------------------- */

static int recount(struct check *check, const struct object *object, struct loam_err *err)
{
	struct loam_attr before, after, link;
	uint64_t ino;
	uint32_t holders = 0;
	int rc = maybe(loam_meta_getattr(check->meta, object->ino, &before, err), err);
	if (rc <= 0)
		return rc;
	for (size_t i = 0; i < check->link_dir_count; i++) {
		rc = maybe(loam_meta_lookup(check->meta, &loam_who_root, check->link_dirs[i],
					    loam_name_of(object->oid), &ino, &link, err),
			   err);
		if (rc < 0)
			return rc;
		holders += rc == 1 && ino == object->ino;
	}
	rc = maybe(loam_meta_getattr(check->meta, object->ino, &after, err), err);
	if (rc <= 0)
		return rc;
	bool still = before.nlink == after.nlink && before.ctime.tv_sec == after.ctime.tv_sec &&
		     before.ctime.tv_nsec == after.ctime.tv_nsec;
	if (still && after.nlink != 1 + holders)
		FOUND(check, "L10", "object %s: link count %u, %u repositories hold it",
		      object->oid, after.nlink, holders);
	return 0;
}

static int check_counts(struct check *check, struct loam_err *err)
{
	struct object *object, *next;
	int rc = 0;
	HASH_ITER (hh, check->objects, object, next) {
		if (rc == 0 && object->nlink != 1 + object->holders)
			rc = recount(check, object, err);
	}
	return rc;
}

/* ---- 4: staging ------------------------------------------------------------------------------ */

static int see_job(struct check *check, const char *path, const struct loam_dir_entry *entry,
		   struct loam_err *err)
{
	struct loam_engine *engine = loam_meta_engine(check->meta);
	struct loam_err own = { 0 };
	char name[LOAM_NAME_BYTES_MAX + 1] = "", text[NAME_SHOWN_BYTES];
	uint64_t alive = 0, sign = 0;
	int64_t now;
	memcpy(name, entry->name.data, entry->name.bytes);
	name[strcspn(name, "-")] = '\0';
	if (loam_parse_u64(name, 0, INT64_MAX, &alive, &own) < 0)
		alive = (uint64_t)entry->attr.ctime.tv_sec;
	loam_auto_buf struct loam_buf value = LOAM_BUF(64);
	own = (struct loam_err){ 0 };
	int rc = loam_meta_getxattr(check->meta, entry->dentry.ino, LOAM_XATTR_ALIVE, &value, &own);
	if (rc == -LOAM_E_NOT_FOUND)
		return 0;
	if (rc == 0 && loam_parse_u64(loam_buf_text(&value), 0, INT64_MAX, &sign, &own) == 0 &&
	    sign > alive)
		alive = sign;
	rc = engine->ops->now(engine, &now, err);
	if (rc < 0)
		return rc;
	if ((uint64_t)now > alive + check->options->staging_seconds + SWEEP_SECONDS)
		FOUND(check, "R02", "%s/%s: the last sign of life is %llu s old", path,
		      shown(entry->name, text), (ull)((uint64_t)now - alive));
	return 0;
}

/* ---- all of it ------------------------------------------------------------------------------- */

static int each_of(struct check *check, const char *rest, entry_fn *fn, struct loam_err *err)
{
	char path[LOAM_PATH_BYTES_MAX];
	uint64_t ino;
	struct loam_attr attr;
	loam_tree_state_path(check->tree, rest, path);
	int rc = maybe(loam_files_lookup(check->tree->volume, path, &ino, &attr, err), err);
	return rc <= 0 ? rc : each_entry(check, path, ino, fn, err);
}

int loam_fsck_lfs(const struct loam_tree *tree, const struct loam_fsck_lfs_options *options,
		  const struct loam_fsck_sink *sink, struct loam_fsck_lfs_stats *out_stats,
		  struct loam_err *err)
{
	struct check check = {
		.tree = tree, .meta = tree->volume->meta, .options = options, .sink = sink
	};
	loam_auto_free uint8_t *buffer = options->deep ? loam_xcalloc(1, READ_BYTES) : NULL;
	check.buffer = buffer;
	int rc = each_of(&check, "lfs/objects", see_outer_shard, err);
	if (rc == 0)
		rc = each_of(&check, "repos", see_kind, err);
	if (rc == 0)
		rc = check_counts(&check, err);
	if (rc == 0)
		rc = each_of(&check, "staging", see_job, err);
	struct object *object, *next;
	HASH_ITER (hh, check.objects, object, next) {
		HASH_DEL(check.objects, object);
		free(object);
	}
	free(check.link_dirs);
	if (rc == 0)
		*out_stats = check.stats;
	return rc;
}
