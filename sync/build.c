/*
 * Building staged entries (sync/build.h; step 8 of a push).
 *
 * The order for packed blobs: bytes go into the slice writer; when the slice is full, or enough
 * inodes wait, it is finished (blocks durable), the waiting records learn its id and size, and the
 * inodes are committed in batches. So no record ever names a block that is not durable.
 */
#include "sync/build.h"

#include "core/auto.h"
#include "core/clock.h"
#include "core/failpoint.h"
#include "core/limits.h"
#include "lfs/pointer.h"
#include "sync/staged.h"

#include <stdio.h>
#include <string.h>
#include <uthash.h>

#define WAITING_MAX  8192
#define BATCH_MAX    200
#define CHECKS_MAX   150
#define KNOWN_MAX    200000 /* blobs remembered so that a second path is a clone */
#define PUBLISH_FILE 0444
#define PUBLISH_EXEC 0555
#define PUBLISH_DIR  0555

#define NOT_WAITING SIZE_MAX

/* A blob that is packed already. Its parts are those of the waiting inode, whose slice may still be
 * open, or, once that is committed, the copy here. */
struct known_blob {
	git_oid oid;
	size_t waiting; /* index, or NOT_WAITING */
	struct loam_staged_part *parts;
	size_t part_count;
	UT_hash_handle hh;
};

struct loam_builder {
	struct loam_build_target target;
	struct loam_meta *meta;
	struct loam_slice_writer *slice; /* being filled, or NULL */
	struct loam_staged waiting[WAITING_MAX];
	struct known_blob *waiting_blobs[WAITING_MAX]; /* that the inode was packed for, or NULL */
	size_t waiting_count;
	struct known_blob *known;
	uint64_t files, bytes, entries;
};

struct loam_builder *loam_builder_new(const struct loam_build_target *target)
{
	struct loam_builder *builder = loam_xnew(struct loam_builder);
	builder->target = *target;
	builder->meta = target->tree->volume->meta;
	return builder;
}

void loam_builder_free(struct loam_builder *builder)
{
	if (!builder)
		return;
	loam_slice_writer_free(builder->slice);
	for (size_t i = 0; i < builder->waiting_count; i++)
		loam_staged_release(&builder->waiting[i]);
	struct known_blob *known, *next;
	HASH_ITER (hh, builder->known, known, next) {
		HASH_DEL(builder->known, known);
		free(known->parts);
		free(known);
	}
	free(builder);
}

uint64_t loam_builder_files(const struct loam_builder *builder)
{
	return builder->files;
}

uint64_t loam_builder_bytes(const struct loam_builder *builder)
{
	return builder->bytes;
}

/* ---- committing what waits ------------------------------------------------------------------- */

/* From now on a second path with this blob names the same bytes. */
static void remember_blob(struct loam_builder *builder, const git_oid *oid, size_t waiting)
{
	if (HASH_COUNT(builder->known) >= KNOWN_MAX)
		return;
	struct known_blob *known = loam_xnew(struct known_blob);
	known->oid = *oid;
	known->waiting = waiting;
	HASH_ADD(hh, builder->known, oid, sizeof(known->oid), known);
	builder->waiting_blobs[waiting] = known;
}

static struct loam_staged_part *copy_parts(const struct loam_staged_part *parts, size_t count)
{
	struct loam_staged_part *copy = loam_xcalloc(count, sizeof(*copy));
	memcpy(copy, parts, count * sizeof(*copy));
	for (size_t p = 0; p < count; p++)
		copy[p].first = false;
	return copy;
}

/* The inode is committed and about to be forgotten. */
static void keep_parts(struct known_blob *known, const struct loam_staged *staged)
{
	known->waiting = NOT_WAITING;
	known->part_count = staged->part_count;
	known->parts = copy_parts(staged->parts, staged->part_count);
}

/* The open slice becomes durable; records that wait for it learn its name. */
static int finish_slice(struct loam_builder *builder, struct loam_err *err)
{
	if (!builder->slice)
		return 0;
	uint64_t id;
	uint32_t size;
	int rc = loam_slice_writer_finish(builder->slice, &id, &size, err);
	if (rc < 0)
		return loam_context(err, "store small files");
	loam_slice_writer_free(loam_steal(&builder->slice));
	for (size_t i = 0; i < builder->waiting_count; i++) {
		struct loam_staged *staged = &builder->waiting[i];
		for (size_t p = 0; p < staged->part_count; p++) {
			if (staged->parts[p].slice.id != 0)
				continue;
			staged->parts[p].slice.id = id;
			staged->parts[p].slice.size = size;
		}
	}
	return 0;
}

static int flush(struct loam_builder *builder, struct loam_err *err)
{
	int rc = finish_slice(builder, err);
	if (rc == 0)
		rc = loam_failpoint("publish.stored", err);
	size_t done = 0;
	while (rc == 0 && done < builder->waiting_count) {
		size_t count = 0, checks = 0;
		while (done + count < builder->waiting_count && count < BATCH_MAX) {
			checks += loam_staged_checks(&builder->waiting[done + count]);
			if (count > 0 && checks > CHECKS_MAX)
				break;
			count++;
		}
		rc = loam_staged_commit(builder->meta, &builder->waiting[done], count,
					builder->target.job_ino, err);
		if (rc == 0)
			rc = loam_failpoint("publish.batch", err);
		done += count;
	}
	for (size_t i = 0; i < builder->waiting_count; i++) {
		if (builder->waiting_blobs[i])
			keep_parts(builder->waiting_blobs[i], &builder->waiting[i]);
		loam_staged_release(&builder->waiting[i]);
	}
	builder->waiting_count = 0;
	return rc;
}

int loam_builder_finish(struct loam_builder *builder, struct loam_err *err)
{
	return flush(builder, err);
}

/* A fresh inode in the queue, with the attributes that all published entries share. */
static int stage(struct loam_builder *builder, enum loam_type type, uint16_t mode,
		 uint64_t dentry_dir, const char *dentry_name, uint64_t parent,
		 struct loam_staged **out, struct loam_err *err)
{
	/* A few small trees that name one another can spell out more entries than any volume has.
	 */
	if (builder->entries++ == LOAM_GIT_TREE_ENTRIES_MAX)
		return loam_fail(err, LOAM_E_TOO_LARGE, "over %d new files and directories",
				 LOAM_GIT_TREE_ENTRIES_MAX);
	int rc = builder->waiting_count == WAITING_MAX ? flush(builder, err) : 0;
	uint64_t ino = 0;
	if (rc == 0)
		rc = loam_meta_new_inode(builder->meta, &ino, err);
	if (rc < 0)
		return rc;
	struct loam_staged *staged = &builder->waiting[builder->waiting_count];
	builder->waiting_blobs[builder->waiting_count] = NULL;
	struct timespec now = loam_clock_now();
	*staged = (struct loam_staged){
		.ino = ino,
		.attr = { .flags = LOAM_FLAG_SKIP_TRASH,
			  .type = type,
			  .mode = mode,
			  .uid = LOAM_SERVICE_ID,
			  .gid = LOAM_SERVICE_ID,
			  .atime = now,
			  .mtime = now,
			  .ctime = now,
			  .nlink = type == LOAM_TYPE_DIR ? 2 : 1,
			  .length = type == LOAM_TYPE_DIR ? LOAM_DIR_LENGTH : 0,
			  .parent = parent },
		.dentry_dir = dentry_dir,
		.dentry_name = loam_xstrdup(dentry_name),
	};
	builder->waiting_count++;
	*out = staged;
	return 0;
}

/* ---- blobs ----------------------------------------------------------------------------------- */

/* One stretch of a file inside one chunk goes behind what the slice holds. */
static int pack_stretch(struct loam_builder *builder, struct loam_staged *staged, size_t part,
			const void *data, uint32_t bytes, struct loam_err *err)
{
	int rc = 0;
	if (builder->slice && loam_slice_writer_bytes(builder->slice) + bytes > LOAM_CHUNK_BYTES)
		rc = finish_slice(builder, err);
	if (rc == 0 && !builder->slice)
		rc = loam_slice_writer_new(builder->target.tree->volume->data, &builder->slice,
					   err);
	if (rc < 0)
		return rc;
	staged->parts[part].chunk_index = (uint32_t)part;
	staged->parts[part].slice = (struct loam_slice){
		.pos = 0, .off = loam_slice_writer_bytes(builder->slice), .len = bytes
	};
	staged->parts[part].first = staged->parts[part].slice.off == 0;
	return loam_slice_writer_add(builder->slice, data, bytes, err);
}

static int pack(struct loam_builder *builder, struct loam_staged *staged, const void *data,
		size_t bytes, struct loam_err *err)
{
	size_t count = (bytes + LOAM_CHUNK_BYTES - 1) / LOAM_CHUNK_BYTES;
	staged->attr.length = bytes;
	staged->parts = loam_xcalloc(count, sizeof(staged->parts[0]));
	staged->part_count = count;
	int rc = 0;
	for (size_t part = 0; rc == 0 && part < count; part++) {
		size_t from = part * (size_t)LOAM_CHUNK_BYTES;
		size_t left = bytes - from;
		rc = pack_stretch(builder, staged, part, (const char *)data + from,
				  left < LOAM_CHUNK_BYTES ? (uint32_t)left : LOAM_CHUNK_BYTES, err);
	}
	return rc;
}

/* The bytes of a blob met before are named again, not stored again. */
static bool reuse(struct loam_builder *builder, struct loam_staged *staged, const git_oid *oid,
		  size_t bytes)
{
	struct known_blob *known;
	HASH_FIND(hh, builder->known, oid, sizeof(*oid), known);
	if (!known)
		return false;
	const struct loam_staged *first =
		known->waiting != NOT_WAITING ? &builder->waiting[known->waiting] : NULL;
	staged->attr.length = bytes;
	staged->part_count = first ? first->part_count : known->part_count;
	staged->parts = copy_parts(first ? first->parts : known->parts, staged->part_count);
	return true;
}

static int add_pointer(struct loam_builder *builder, struct loam_staged *staged, const char *where,
		       const struct loam_pointer *pointer, struct loam_err *err)
{
	staged->attr.length = pointer->size;
	builder->bytes += pointer->size;
	if (pointer->size == 0)
		return 0; /* the empty object is never uploaded */
	uint64_t bytes = 0;
	int rc = loam_lfs_holds(builder->target.tree, builder->target.repo, pointer->oid,
				&staged->pool_ino, &bytes, err);
	if (rc < 0)
		return rc;
	if (rc == 0 || bytes != pointer->size)
		return loam_fail(err, LOAM_E_NOT_FOUND,
				 "object %s of %s is missing here; run git lfs push --all",
				 pointer->oid, where);
	memcpy(staged->oid, pointer->oid, sizeof(staged->oid));
	return 0;
}

static int add_file(struct loam_builder *builder, struct loam_staged *staged, const char *where,
		    const git_oid *oid, const void *data, size_t bytes, struct loam_err *err)
{
	struct loam_pointer pointer;
	struct loam_err not_one = { 0 };
	if (bytes < LOAM_POINTER_BYTES_MAX &&
	    loam_pointer_parse(data, bytes, &pointer, &not_one) == 0)
		return add_pointer(builder, staged, where, &pointer, err);
	builder->bytes += bytes;
	if (bytes == 0 || reuse(builder, staged, oid, bytes))
		return 0;
	int rc = pack(builder, staged, data, bytes, err);
	if (rc == 0)
		remember_blob(builder, oid, (size_t)(staged - builder->waiting));
	return rc;
}

/* Leading ".." count against the real directories of the link's own path; behind a name a ".."
 * could follow another link, so it is taken for an escape. Then every link stays inside, by
 * induction. */
bool loam_symlink_stays(const char *path, const char *target, size_t target_bytes)
{
	if (target_bytes == 0 || target[0] == '/' || memchr(target, '\0', target_bytes))
		return false;
	int depth = 0;
	for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/'))
		depth++;
	bool named = false;
	for (size_t at = 0; at < target_bytes;) {
		const char *slash = memchr(target + at, '/', target_bytes - at);
		size_t bytes = slash ? (size_t)(slash - (target + at)) : target_bytes - at;
		const char *part = target + at;
		at += bytes + 1;
		if (bytes == 0 || (bytes == 1 && part[0] == '.'))
			continue;
		if (bytes != 2 || part[0] != '.' || part[1] != '.') {
			named = true;
			continue;
		}
		if (named || --depth < 0)
			return false;
	}
	return true;
}

static int add_link(struct loam_builder *builder, uint64_t dentry_dir, const char *dentry_name,
		    uint64_t parent, const char *path, const char *name, const git_oid *oid,
		    const char *target, size_t bytes, struct loam_err *err)
{
	struct loam_staged *staged;
	builder->bytes += bytes;
	if (bytes <= LOAM_SYMLINK_BYTES_MAX && loam_symlink_stays(path, target, bytes)) {
		int rc = stage(builder, LOAM_TYPE_SYMLINK, 0777, dentry_dir, dentry_name, parent,
			       &staged, err);
		if (rc < 0)
			return rc;
		staged->target = loam_xstrndup(target, bytes);
		staged->attr.length = bytes;
		return 0;
	}
	loam_note(builder->target.notes,
		  "%s%s is a link that leads out of the tree: it stands on the mount as a file "
		  "holding its target",
		  path, name);
	int rc = stage(builder, LOAM_TYPE_FILE, PUBLISH_FILE, dentry_dir, dentry_name, parent,
		       &staged, err);
	if (rc < 0 || bytes == 0 || reuse(builder, staged, oid, bytes))
		return rc;
	return pack(builder, staged, target, bytes, err);
}

static int add_blob(struct loam_builder *builder, uint64_t dentry_dir, const char *dentry_name,
		    uint64_t parent, const char *path, const char *name, const git_oid *oid,
		    git_filemode_t mode, struct loam_err *err)
{
	git_blob *blob = NULL;
	int rc = git_blob_lookup(&blob, builder->target.git, oid);
	if (rc < 0)
		return loam_git_fail(err, rc, "read a blob");
	const void *data = git_blob_rawcontent(blob);
	size_t bytes = (size_t)git_blob_rawsize(blob);
	builder->files++;
	if (mode == GIT_FILEMODE_LINK) {
		rc = add_link(builder, dentry_dir, dentry_name, parent, path, name, oid, data,
			      bytes, err);
	} else {
		struct loam_staged *staged;
		loam_auto_free char *where = loam_xasprintf("%s%s", path, name);
		rc = stage(builder, LOAM_TYPE_FILE,
			   mode == GIT_FILEMODE_BLOB_EXECUTABLE ? PUBLISH_EXEC : PUBLISH_FILE,
			   dentry_dir, dentry_name, parent, &staged, err);
		if (rc == 0)
			rc = add_file(builder, staged, where, oid, data, bytes, err);
	}
	git_blob_free(blob);
	return rc;
}

int loam_builder_add_blob(struct loam_builder *builder, size_t number, uint64_t live_dir,
			  const char *path, const char *name, const git_oid *oid,
			  git_filemode_t mode, struct loam_err *err)
{
	char entry[24];
	snprintf(entry, sizeof(entry), "%zu", number);
	return add_blob(builder, builder->target.job_ino, entry, live_dir, path, name, oid, mode,
			err);
}

/* ---- directories ----------------------------------------------------------------------------- */

static uint32_t count_subtrees(const git_tree *tree)
{
	uint32_t count = 0;
	for (size_t i = 0; i < git_tree_entrycount(tree); i++) {
		const git_tree_entry *entry = git_tree_entry_byindex(tree, i);
		count += git_tree_entry_type(entry) == GIT_OBJECT_TREE &&
			 loam_entry_is_shown(entry, "", NULL);
	}
	return count;
}

static int add_dir(struct loam_builder *builder, uint64_t dentry_dir, const char *dentry_name,
		   uint64_t parent, const char *path, const git_oid *oid, unsigned depth,
		   struct loam_err *err);

/* Everything in a tree, into the staged directory ino. */
static int fill_dir(struct loam_builder *builder, uint64_t ino, const char *path,
		    const git_tree *tree, unsigned depth, struct loam_err *err)
{
	if (depth > LOAM_GIT_PATH_DEPTH_MAX)
		return loam_fail(err, LOAM_E_TOO_LARGE, "directories nest more than %d deep",
				 LOAM_GIT_PATH_DEPTH_MAX);
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < git_tree_entrycount(tree); i++) {
		const git_tree_entry *entry = git_tree_entry_byindex(tree, i);
		const char *name = git_tree_entry_name(entry);
		if (!loam_entry_is_shown(entry, path, builder->target.notes))
			continue;
		if (git_tree_entry_type(entry) == GIT_OBJECT_TREE) {
			loam_auto_free char *below = loam_xasprintf("%s%s/", path, name);
			rc = add_dir(builder, ino, name, ino, below, git_tree_entry_id(entry),
				     depth + 1, err);
		} else {
			rc = add_blob(builder, ino, name, ino, path, name, git_tree_entry_id(entry),
				      git_tree_entry_filemode(entry), err);
		}
	}
	return rc;
}

static int add_dir(struct loam_builder *builder, uint64_t dentry_dir, const char *dentry_name,
		   uint64_t parent, const char *path, const git_oid *oid, unsigned depth,
		   struct loam_err *err)
{
	git_tree *tree = NULL;
	int rc = git_tree_lookup(&tree, builder->target.git, oid);
	if (rc < 0)
		return loam_git_fail(err, rc, "read a tree");
	struct loam_staged *staged;
	rc = stage(builder, LOAM_TYPE_DIR, PUBLISH_DIR, dentry_dir, dentry_name, parent, &staged,
		   err);
	if (rc == 0) {
		uint64_t ino = staged->ino;
		staged->attr.nlink = 2 + count_subtrees(tree);
		rc = fill_dir(builder, ino, path, tree, depth, err);
	}
	git_tree_free(tree);
	return rc;
}

int loam_builder_add_tree(struct loam_builder *builder, size_t number, uint64_t live_dir,
			  const char *path, const char *name, const git_oid *oid,
			  struct loam_err *err)
{
	char entry[24];
	snprintf(entry, sizeof(entry), "%zu", number);
	loam_auto_free char *below = loam_xasprintf("%s%s/", path, name);
	return add_dir(builder, builder->target.job_ino, entry, live_dir, below, oid, 1, err);
}

int loam_builder_add_gate(struct loam_builder *builder, size_t number, const struct loam_attr *gate,
			  const git_oid *tree_oid, uint64_t *out_ino, uint32_t *out_nlink,
			  struct loam_err *err)
{
	char entry[24];
	snprintf(entry, sizeof(entry), "%zu", number);
	git_tree *tree = NULL;
	int rc = tree_oid ? git_tree_lookup(&tree, builder->target.git, tree_oid) : 0;
	if (rc < 0)
		return loam_git_fail(err, rc, "read the commit's tree");
	struct loam_staged *staged;
	rc = stage(builder, LOAM_TYPE_DIR, gate->mode, builder->target.job_ino, entry, gate->parent,
		   &staged, err);
	if (rc == 0) {
		*out_ino = staged->ino;
		*out_nlink = 2 + (tree ? count_subtrees(tree) : 0);
		staged->attr.mode = 0700; /* nobody's until the publish gives it its rights */
		staged->attr.nlink = *out_nlink;
		rc = tree ? fill_dir(builder, *out_ino, "", tree, 0, err) : 0;
	}
	git_tree_free(tree);
	return rc;
}
