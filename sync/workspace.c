/*
 * Walking a workspace (sync/workspace.h).
 *
 *   directory ─ rules of its .gitignore, .gitattributes first, then its entries by name
 *     file ─┬─ the published file's slices ──────────► the entry that is published
 *           ├─ large, or filter=lfs ─► lfs/take_file ► pointer
 *           └─ else ─────────────────► read ─────────► blob
 *
 * Large files that no rule gives to LFS get a line in the top .gitattributes of the commit, so that
 * a clone has their bytes. The workspace itself is not changed.
 */
#include "sync/workspace.h"

#include "core/auto.h"
#include "core/failpoint.h"
#include "core/limits.h"
#include "fs/files.h"
#include "fs/meta/same_content.h"
#include "lfs/lfs.h"
#include "lfs/pointer.h"
#include "sync/add_rules.h"
#include "sync/changes.h"
#include "sync/entry_names.h"
#include "sync/git_files.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define ATTRIBUTES	     ".gitattributes"
#define LFS_ATTRIBUTES	     " filter=lfs diff=lfs merge=lfs -text\n"
#define ATTRIBUTES_BYTES_MAX (16u << 20)
#define PATTERN_BYTES_MAX    2000 /* git refuses lines of .gitattributes over 2048 */
#define READ		     4u
#define SEARCH		     1u

struct walk {
	const struct loam_workspace *ws;
	struct loam_meta *meta;
	git_repository *git; /* the batch's */
	git_odb *odb;
	struct loam_add_rules *rules;
	struct loam_workspace_stats stats;
	struct loam_buf lines; /* for the top .gitattributes */
	uint64_t entries;
};

/* Where the walk stands. */
struct place {
	const char *path; /* "a/b/", "" the top */
	unsigned depth;
	git_tree *shown;
	uint64_t shown_ino;
};

/* A directory, sorted by name. */
struct listing {
	struct loam_dir *dir;
	const struct loam_dir_entry **sorted;
	size_t count;
};

struct made {
	git_oid oid;
	git_filemode_t mode;
};

/* ---- listings -------------------------------------------------------------------------------- */

static int compare_names(struct loam_name a, struct loam_name b)
{
	int order = memcmp(a.data, b.data, a.bytes < b.bytes ? a.bytes : b.bytes);
	return order ? order : (int)a.bytes - (int)b.bytes;
}

static int by_name(const void *a, const void *b)
{
	const struct loam_dir_entry *const *x = a, *const *y = b;
	return compare_names((*x)->name, (*y)->name);
}

static void close_listing(struct listing *listing)
{
	loam_dir_close(listing->dir);
	free(listing->sorted);
}
#define auto_listing __attribute__((cleanup(close_listing)))

static int open_listing(struct loam_meta *meta, uint64_t ino, struct listing *out,
			struct loam_err *err)
{
	int rc = loam_meta_opendir(meta, ino, true, &out->dir, err);
	if (rc < 0)
		return rc;
	size_t count = loam_dir_count(out->dir);
	out->sorted = loam_xcalloc(count + 1, sizeof(out->sorted[0]));
	for (size_t i = 0; i < count; i++)
		if (loam_dir_at(out->dir, i)->has_attr)
			out->sorted[out->count++] = loam_dir_at(out->dir, i);
	qsort(out->sorted, out->count, sizeof(out->sorted[0]), by_name);
	return 0;
}

static const struct loam_dir_entry *find_entry(const struct listing *listing, struct loam_name name)
{
	size_t from = 0, to = listing->count;
	while (from < to) {
		size_t middle = from + (to - from) / 2;
		int order = compare_names(listing->sorted[middle]->name, name);
		if (order == 0)
			return listing->sorted[middle];
		if (order < 0)
			from = middle + 1;
		else
			to = middle;
	}
	return NULL;
}

/* ---- reading as the account ------------------------------------------------------------------ */

static int need(struct walk *walk, uint64_t ino, const struct loam_attr *attr, unsigned want,
		const char *path, struct loam_err *err)
{
	int rc = loam_meta_access(walk->meta, &walk->ws->who, ino, attr, want, err);
	if (rc != -LOAM_E_DENIED)
		return rc;
	loam_err_clear(err);
	return loam_fail(err, LOAM_E_DENIED, "you may not read %.400s", path[0] ? path : ".");
}

static int read_whole(struct walk *walk, const struct loam_dir_entry *entry, const char *path,
		      struct loam_buf *out, struct loam_err *err)
{
	int rc = loam_files_read_ino(walk->ws->into->tree->volume, entry->dentry.ino, out, err);
	return rc < 0 ? loam_context(err, "read %.400s", path) : 0;
}

static int write_blob(struct walk *walk, const struct loam_buf *text, git_oid *out,
		      struct loam_err *err)
{
	return loam_object_batch_blob(walk->ws->batch, text->bytes ? (void *)text->data : "",
				      text->bytes, out, err);
}

/* ---- files ----------------------------------------------------------------------------------- */

static git_filemode_t mode_of(const struct loam_attr *attr)
{
	return attr->mode & 0100 ? GIT_FILEMODE_BLOB_EXECUTABLE : GIT_FILEMODE_BLOB;
}

/* 1 when the published file at this path has the same slices: its entry, with the mode of now. A
 * link that stands on the mount as a file stays one. */
static int is_published(struct walk *walk, const struct loam_dir_entry *entry,
			const struct loam_dir_entry *live, const git_tree_entry *shown,
			struct made *out, struct loam_err *err)
{
	if (!live || !shown || live->attr.type != LOAM_TYPE_FILE ||
	    live->attr.length != entry->attr.length ||
	    git_tree_entry_type(shown) != GIT_OBJECT_BLOB)
		return 0;
	int same = loam_meta_same_content(walk->meta, entry->dentry.ino, live->dentry.ino,
					  entry->attr.length, err);
	if (same == -LOAM_E_STALE) { /* replaced meanwhile: read what is ours */
		loam_err_clear(err);
		return 0;
	}
	if (same <= 0)
		return same;
	bool was_link = git_tree_entry_filemode(shown) == GIT_FILEMODE_LINK;
	out->oid = *git_tree_entry_id(shown);
	out->mode = was_link ? GIT_FILEMODE_LINK : mode_of(&entry->attr);
	walk->stats.known_files++;
	return 1;
}

/* The path as a pattern of .gitattributes that matches it alone. */
static int add_line(struct walk *walk, const char *path, struct loam_err *err)
{
	loam_auto_buf struct loam_buf pattern = LOAM_BUF(PATTERN_BYTES_MAX);
	struct loam_err full = { 0 };
	int rc = loam_buf_add(&pattern, "/", 1, &full);
	for (const char *c = path; rc == 0 && *c; c++) {
		if (*c == ' ')
			rc = loam_buf_add_text(&pattern, "[[:space:]]", &full);
		else if (strchr("*?[]\\", *c))
			rc = loam_buf_printf(&pattern, &full, "\\%c", *c);
		else
			rc = loam_buf_add(&pattern, c, 1, &full);
	}
	if (rc < 0 || strpbrk(path, "\n\r\t\v\f\""))
		return loam_fail(err, LOAM_E_INVALID,
				 "%.400s is large: give it to LFS by a line of .gitattributes "
				 "(its name does not go into one by itself)",
				 path);
	rc = loam_buf_add(&walk->lines, pattern.data, pattern.bytes, err);
	return rc < 0 ? rc : loam_buf_add_text(&walk->lines, LFS_ATTRIBUTES, err);
}

/* An object that is published already, and no rule of this directory gives it to LFS: its line
 * stands in the published .gitattributes only, and is still needed. */
static int keep_line(struct walk *walk, const char *path, const git_oid *oid, struct loam_err *err)
{
	size_t bytes;
	git_object_t type;
	git_odb_object *object = NULL;
	struct loam_pointer pointer;
	struct loam_err not_one = { 0 };
	int rc = git_odb_read_header(&bytes, &type, walk->odb, oid);
	if (rc == 0 && bytes >= LOAM_POINTER_BYTES_MAX)
		return 0;
	if (rc == 0)
		rc = git_odb_read(&object, walk->odb, oid);
	if (rc < 0)
		return loam_git_fail(err, rc, "read a blob");
	bool is_pointer =
		loam_pointer_parse(git_odb_object_data(object), bytes, &pointer, &not_one) == 0;
	git_odb_object_free(object);
	int has_rule = is_pointer ? loam_add_rules_is_lfs(walk->rules, path, err) : 1;
	return has_rule != 0 ? (has_rule < 0 ? has_rule : 0) : add_line(walk, path, err);
}

static int add_object(struct walk *walk, const struct loam_dir_entry *entry, const char *path,
		      bool has_rule, struct made *out, struct loam_err *err)
{
	struct loam_taken_file taken;
	loam_auto_buf struct loam_buf pointer = LOAM_BUF(LOAM_POINTER_BYTES_MAX);
	int rc = loam_take_file(walk->ws->into, entry->dentry.ino, &taken, err);
	if (rc < 0)
		return loam_context(err, "%.400s", path);
	if (taken.was_read) {
		walk->stats.hashed_files++;
		walk->stats.hashed_bytes += taken.bytes;
	} else {
		walk->stats.known_files++;
	}
	rc = loam_buf_printf(&pointer, err,
			     "version https://git-lfs.github.com/spec/v1\noid sha256:%s\n"
			     "size %" PRIu64 "\n",
			     taken.oid, taken.bytes);
	if (rc == 0)
		rc = write_blob(walk, &pointer, &out->oid, err);
	return rc == 0 && !has_rule ? add_line(walk, path, err) : rc;
}

/* Text of a pointer is one: what it names must be here, as for a push. 1 a pointer, 0 not. */
static int check_pointer(struct walk *walk, const struct loam_buf *text, const char *path,
			 struct loam_err *err)
{
	struct loam_pointer pointer;
	struct loam_err not_one = { 0 };
	uint64_t ino, bytes = 0;
	if (text->bytes >= LOAM_POINTER_BYTES_MAX ||
	    loam_pointer_parse(text->data, text->bytes, &pointer, &not_one) < 0)
		return 0;
	int held = pointer.size == 0 ? 1
				     : loam_lfs_holds(walk->ws->into->tree, walk->ws->into->repo,
						      pointer.oid, &ino, &bytes, err);
	if (held < 0)
		return held;
	if (held == 0 || bytes != pointer.size)
		return loam_fail(err, LOAM_E_INVALID,
				 "%.400s is an LFS pointer, and the repository does not hold its "
				 "object %s: put the file itself there",
				 path, pointer.oid);
	return 1;
}

/* A file that Git obeys: never an LFS object, and checked as for a push. */
static int add_obeyed(struct walk *walk, const struct loam_dir_entry *entry, const char *path,
		      enum loam_git_file file, struct made *out, struct loam_err *err)
{
	loam_auto_buf struct loam_buf text = LOAM_BUF(LOAM_GIT_FILE_BYTES_MAX);
	int rc = read_whole(walk, entry, path, &text, err);
	if (rc == 0)
		rc = loam_git_file_check(file, &text, path, err);
	if (rc < 0)
		return rc;
	walk->stats.small_files++;
	walk->stats.small_bytes += text.bytes;
	return write_blob(walk, &text, &out->oid, err);
}

static int add_small(struct walk *walk, const struct loam_dir_entry *entry, const char *path,
		     bool has_rule, struct made *out, struct loam_err *err)
{
	loam_auto_buf struct loam_buf text = LOAM_BUF(LOAM_PUBLISH_LFS_BYTES);
	int rc = read_whole(walk, entry, path, &text, err);
	int pointer = rc == 0 && text.bytes > 0 ? check_pointer(walk, &text, path, err) : rc;
	if (pointer < 0)
		return pointer;
	if (has_rule && !pointer && text.bytes > 0)
		return add_object(walk, entry, path, true, out, err);
	walk->stats.small_files++;
	walk->stats.small_bytes += text.bytes;
	return write_blob(walk, &text, &out->oid, err);
}

static int add_file(struct walk *walk, const struct loam_dir_entry *entry, const char *path,
		    const struct loam_dir_entry *live, const git_tree_entry *shown,
		    struct made *out, struct loam_err *err)
{
	uint64_t length = entry->attr.length;
	int rc = need(walk, entry->dentry.ino, &entry->attr, READ, path, err);
	if (rc < 0)
		return rc;
	walk->stats.files++;
	walk->stats.bytes += length;
	rc = is_published(walk, entry, live, shown, out, err);
	if (rc > 0 && out->mode != GIT_FILEMODE_LINK)
		return keep_line(walk, path, &out->oid, err);
	if (rc != 0)
		return rc < 0 ? rc : 0;
	out->mode = mode_of(&entry->attr);
	enum loam_git_file file =
		loam_git_file_of(strrchr(path, '/') ? strrchr(path, '/') + 1 : path);
	if (file != LOAM_GIT_FILE_NONE)
		return add_obeyed(walk, entry, path, file, out, err);
	int has_rule = loam_add_rules_is_lfs(walk->rules, path, err);
	if (has_rule < 0)
		return has_rule;
	if (length >= LOAM_PUBLISH_LFS_BYTES || (has_rule && length >= LOAM_POINTER_BYTES_MAX))
		return add_object(walk, entry, path, has_rule, out, err);
	return add_small(walk, entry, path, has_rule, out, err);
}

static int add_link(struct walk *walk, const struct loam_dir_entry *entry, const char *name,
		    const char *path, struct made *out, struct loam_err *err)
{
	loam_auto_buf struct loam_buf target = LOAM_BUF(LOAM_SYMLINK_BYTES_MAX);
	int rc = loam_git_file_check_link(loam_git_file_of(name), path, err);
	if (rc == 0)
		rc = loam_meta_readlink(walk->meta, entry->dentry.ino, &target, err);
	if (rc < 0)
		return rc;
	walk->stats.files++;
	walk->stats.bytes += target.bytes;
	out->mode = GIT_FILEMODE_LINK;
	return write_blob(walk, &target, &out->oid, err);
}

/* ---- directories ----------------------------------------------------------------------------- */

/* 1 with a tree, 0 nothing in it. */
static int walk_dir(struct walk *walk, uint64_t ino, const struct place *place, git_oid *out,
		    struct loam_err *err);

static int add_dir(struct walk *walk, const struct place *place, const struct loam_dir_entry *entry,
		   const char *path, const struct loam_dir_entry *live, const git_tree_entry *shown,
		   struct made *out, struct loam_err *err)
{
	git_tree *tree = NULL;
	loam_auto_free char *below = loam_xasprintf("%s/", path);
	struct place inner = { .path = below, .depth = place->depth + 1 };
	int rc = need(walk, entry->dentry.ino, &entry->attr, READ | SEARCH, path, err);
	if (rc < 0)
		return rc;
	if (inner.depth > LOAM_GIT_PATH_DEPTH_MAX)
		return loam_fail(err, LOAM_E_INVALID, "directories nest more than %d deep",
				 LOAM_GIT_PATH_DEPTH_MAX);
	if (shown && git_tree_entry_type(shown) == GIT_OBJECT_TREE &&
	    git_tree_lookup(&tree, walk->git, git_tree_entry_id(shown)) == 0) {
		inner.shown = tree;
		inner.shown_ino = live && live->attr.type == LOAM_TYPE_DIR ? live->dentry.ino : 0;
	}
	rc = walk_dir(walk, entry->dentry.ino, &inner, &out->oid, err);
	git_tree_free(tree);
	out->mode = GIT_FILEMODE_TREE;
	return rc;
}

/* 1 made, 0 left out. */
static int make_entry(struct walk *walk, const struct place *place,
		      const struct loam_dir_entry *entry, const char *name,
		      const struct loam_dir_entry *live, struct made *out, struct loam_err *err)
{
	loam_auto_free char *path = loam_xasprintf("%s%s", place->path, name);
	const git_tree_entry *shown =
		place->shown ? git_tree_entry_byname(place->shown, name) : NULL;
	bool is_dir = entry->attr.type == LOAM_TYPE_DIR;
	const char *why = loam_entry_name_refused(name);
	if (why)
		return loam_fail(err, LOAM_E_INVALID, "%.400s: %s", path, why);
	if (++walk->entries > LOAM_GIT_TREE_ENTRIES_MAX)
		return loam_fail(err, LOAM_E_TOO_LARGE, "over %d files and directories",
				 LOAM_GIT_TREE_ENTRIES_MAX);
	int ignored = shown ? 0 : loam_add_rules_ignored(walk->rules, path, is_dir, err);
	if (ignored != 0) {
		walk->stats.ignored += ignored > 0;
		return ignored < 0 ? ignored : 0;
	}
	if (is_dir)
		return add_dir(walk, place, entry, path, live, shown, out, err);
	int rc;
	if (entry->attr.type == LOAM_TYPE_FILE) {
		rc = add_file(walk, entry, path, live, shown, out, err);
	} else if (entry->attr.type == LOAM_TYPE_SYMLINK) {
		rc = add_link(walk, entry, name, path, out, err);
	} else {
		loam_note(walk->ws->notes, "left out: %.400s (no file, directory or link)", path);
		return 0;
	}
	return rc < 0 ? rc : 1;
}

/* .gitignore and .gitattributes of a directory come before all that they speak of. */
static int read_rules(struct walk *walk, const struct place *place, const struct listing *listing,
		      struct loam_err *err)
{
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < listing->count; i++) {
		const struct loam_dir_entry *entry = listing->sorted[i];
		loam_auto_free char *name = loam_xstrndup(entry->name.data, entry->name.bytes);
		if (entry->attr.type != LOAM_TYPE_FILE || !loam_add_rules_is_one(name))
			continue;
		loam_auto_free char *path = loam_xasprintf("%s%s", place->path, name);
		loam_auto_buf struct loam_buf text = LOAM_BUF(LOAM_ADD_RULES_BYTES_MAX);
		rc = need(walk, entry->dentry.ino, &entry->attr, READ, path, err);
		if (rc == 0)
			rc = read_whole(walk, entry, path, &text, err);
		if (rc == 0)
			rc = loam_git_file_check(loam_git_file_of(name), &text, path, err);
		if (rc == 0)
			rc = loam_add_rules_put(walk->rules, path, &text, err);
	}
	return rc;
}

static int insert(git_treebuilder *builder, const char *name, const struct made *made,
		  struct loam_err *err)
{
	int rc = git_treebuilder_insert(NULL, builder, name, &made->oid, made->mode);
	return rc < 0 ? loam_git_fail(err, rc, "build a tree") : 0;
}

/* The top .gitattributes with the lines that this walk found to be needed. */
static int add_attributes(struct walk *walk, const struct listing *listing,
			  git_treebuilder *builder, struct loam_err *err)
{
	const struct loam_dir_entry *entry = find_entry(listing, loam_name_of(ATTRIBUTES));
	loam_auto_buf struct loam_buf text = LOAM_BUF(ATTRIBUTES_BYTES_MAX);
	struct made made = { .mode = GIT_FILEMODE_BLOB };
	int rc = 0;
	if (walk->lines.bytes == 0)
		return 0;
	if (entry && entry->attr.type != LOAM_TYPE_FILE)
		return loam_fail(err, LOAM_E_INVALID, ATTRIBUTES " is no file");
	if (entry)
		rc = read_whole(walk, entry, ATTRIBUTES, &text, err);
	if (rc == 0)
		rc = loam_git_file_check(LOAM_GIT_FILE_ATTRIBUTES, &text, ATTRIBUTES, err);
	if (rc == 0 && text.bytes > 0 && text.data[text.bytes - 1] != '\n')
		rc = loam_buf_add(&text, "\n", 1, err);
	if (rc == 0)
		rc = loam_buf_add(&text, walk->lines.data, walk->lines.bytes, err);
	if (rc == 0)
		rc = write_blob(walk, &text, &made.oid, err);
	if (rc == 0)
		loam_note(walk->ws->notes,
			  "large files without a rule got one in " ATTRIBUTES " of the commit");
	return rc < 0 ? rc : insert(builder, ATTRIBUTES, &made, err);
}

static int add_entries(struct walk *walk, const struct place *place, const struct listing *listing,
		       const struct listing *live, git_treebuilder *builder, struct loam_err *err)
{
	int rc = read_rules(walk, place, listing, err);
	for (size_t i = 0; rc == 0 && i < listing->count; i++) {
		const struct loam_dir_entry *entry = listing->sorted[i];
		loam_auto_free char *name = loam_xstrndup(entry->name.data, entry->name.bytes);
		struct made made;
		int done = make_entry(walk, place, entry, name, find_entry(live, entry->name),
				      &made, err);
		rc = done < 0 ? done : 0;
		if (done > 0)
			rc = insert(builder, name, &made, err);
	}
	return rc == 0 && place->depth == 0 ? add_attributes(walk, listing, builder, err) : rc;
}

static int walk_dir(struct walk *walk, uint64_t ino, const struct place *place, git_oid *out,
		    struct loam_err *err)
{
	auto_listing struct listing listing = { 0 }, live = { 0 };
	git_treebuilder *builder = NULL;
	int rc = open_listing(walk->meta, ino, &listing, err);
	if (rc == 0 && place->shown_ino)
		rc = open_listing(walk->meta, place->shown_ino, &live, err);
	if (rc < 0)
		return rc;
	rc = git_treebuilder_new(&builder, walk->git, NULL);
	if (rc < 0)
		return loam_git_fail(err, rc, "build a tree");
	rc = add_entries(walk, place, &listing, &live, builder, err);
	int some = git_treebuilder_entrycount(builder) > 0;
	if (rc == 0 && (some || place->depth == 0))
		rc = loam_object_batch_tree(walk->ws->batch, builder, out, err);
	git_treebuilder_free(builder);
	return rc < 0 ? rc : some;
}

int loam_workspace_tree(const struct loam_workspace *workspace, git_oid *out_tree,
			struct loam_workspace_stats *out_stats, struct loam_err *err)
{
	struct walk walk = { .ws = workspace,
			     .meta = workspace->into->tree->volume->meta,
			     .git = loam_object_batch_git(workspace->batch),
			     .lines = LOAM_BUF(ATTRIBUTES_BYTES_MAX) };
	const struct place top = { .path = "",
				   .shown = workspace->shown,
				   .shown_ino = workspace->shown ? workspace->shown_ino : 0 };
	int rc = loam_add_rules_new(git_repository_path(walk.git), &walk.rules, err);
	if (rc == 0 && git_repository_odb(&walk.odb, walk.git) < 0)
		rc = loam_git_fail(err, GIT_ERROR, "open the objects");
	if (rc == 0)
		rc = walk_dir(&walk, workspace->ino, &top, out_tree, err);
	if (rc >= 0)
		rc = loam_failpoint("workspace.walked", err);
	if (rc >= 0)
		rc = loam_object_batch_finish(workspace->batch, err);
	git_odb_free(walk.odb);
	loam_add_rules_free(walk.rules);
	loam_buf_release(&walk.lines);
	if (rc >= 0)
		*out_stats = walk.stats;
	return rc < 0 ? rc : 0;
}
