/*
 * The difference of two Git trees (sync/changes.h; step 8 of a push). Cost: the changed paths,
 * since equal sub-trees have equal names and are not opened.
 */
#include "sync/changes.h"

#include "core/auto.h"
#include "core/limits.h"
#include "lfs/pointer.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define NOTE_BYTES_MAX 1024

struct finder {
	git_repository *git;
	struct loam_changes *out;
	struct loam_buf *notes;
	size_t limit;
};

int loam_git_fail(struct loam_err *err, int git_code, const char *what)
{
	const git_error *last = git_error_last();
	enum loam_code code = git_code == GIT_ENOTFOUND ? LOAM_E_NOT_FOUND : LOAM_E_CORRUPT;
	return loam_fail(err, code, "%s: %s", what, last ? last->message : "libgit2 failed");
}

int loam_blob_bytes(git_repository *git, const git_oid *oid, git_filemode_t mode,
		    uint64_t *out_bytes, struct loam_err *err)
{
	git_odb *odb = NULL;
	size_t bytes = 0;
	git_object_t type;
	int rc = git_repository_odb(&odb, git);
	if (rc == 0)
		rc = git_odb_read_header(&bytes, &type, odb, oid);
	git_odb_free(odb);
	if (rc < 0)
		return loam_git_fail(err, rc, "read a blob's header");
	*out_bytes = bytes;
	if (mode == GIT_FILEMODE_LINK || bytes >= LOAM_POINTER_BYTES_MAX)
		return 0;
	git_blob *blob = NULL;
	if ((rc = git_blob_lookup(&blob, git, oid)) < 0)
		return loam_git_fail(err, rc, "read a blob");
	struct loam_pointer pointer;
	struct loam_err not_one = { 0 };
	if (loam_pointer_parse(git_blob_rawcontent(blob), bytes, &pointer, &not_one) == 0)
		*out_bytes = pointer.size;
	git_blob_free(blob);
	return 0;
}

static bool name_is_git(const char *name)
{
	return strcasecmp(name, ".git") == 0 || strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

void loam_note(struct loam_buf *notes, const char *fmt, ...)
{
	char line[NOTE_BYTES_MAX];
	va_list args;
	va_start(args, fmt);
	int bytes = vsnprintf(line, sizeof(line) - 1, fmt, args);
	va_end(args);
	if (bytes < 0)
		return;
	size_t used = (size_t)bytes < sizeof(line) - 1 ? (size_t)bytes : sizeof(line) - 2;
	for (size_t i = 0; i < used; i++) /* a name may hold a newline, a note is one line */
		if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
			line[i] = '?';
	line[used++] = '\n';
	struct loam_err ignored = { 0 };
	if (notes->bytes + used <= notes->max_bytes)
		loam_buf_add(notes, line, used, &ignored);
}

bool loam_entry_is_shown(const git_tree_entry *entry, const char *path, struct loam_buf *notes)
{
	const char *name = git_tree_entry_name(entry);
	const char *why = NULL;
	if (git_tree_entry_filemode(entry) == GIT_FILEMODE_COMMIT)
		why = "a submodule; its files are in its own repository";
	else if (name_is_git(name))
		why = "a name that no work tree may have";
	else if (strlen(name) > LOAM_NAME_BYTES_MAX)
		why = "a name over 255 bytes";
	if (why && notes)
		loam_note(notes, "left out: %s%.255s (%s)", path, name, why);
	return !why;
}

/* ---- recording ------------------------------------------------------------------------------- */

static struct loam_change *add_change(struct loam_changes *changes)
{
	if ((changes->change_count & (changes->change_count - 1)) == 0) {
		size_t room = changes->change_count ? changes->change_count * 2 : 1;
		changes->changes =
			reallocarray(changes->changes, room, sizeof(changes->changes[0]));
		loam_assert(changes->changes != NULL);
	}
	struct loam_change *change = &changes->changes[changes->change_count++];
	*change = (struct loam_change){ 0 };
	return change;
}

static size_t add_dir(struct loam_changes *changes, size_t parent, const char *name)
{
	changes->dirs =
		reallocarray(changes->dirs, changes->dir_count + 1, sizeof(changes->dirs[0]));
	loam_assert(changes->dirs != NULL);
	changes->dirs[changes->dir_count] =
		(struct loam_change_dir){ .parent = parent, .name = loam_xstrdup(name) };
	return changes->dir_count++;
}

char *loam_changes_path(const struct loam_changes *changes, size_t index)
{
	if (index == 0)
		return loam_xstrdup("");
	loam_auto_free char *above = loam_changes_path(changes, changes->dirs[index].parent);
	return loam_xasprintf("%s%s/", above, changes->dirs[index].name);
}

void loam_changes_release(struct loam_changes *changes)
{
	for (size_t i = 0; i < changes->dir_count; i++)
		free(changes->dirs[i].name);
	for (size_t i = 0; i < changes->change_count; i++)
		free(changes->changes[i].name);
	free(changes->dirs);
	free(changes->changes);
	*changes = (struct loam_changes){ 0 };
}

/* What an old entry held, so that totals stay right without walking the whole tree. */
static int count_removed(struct finder *finder, const git_tree_entry *entry, unsigned depth,
			 struct loam_err *err);

static int count_removed_tree(struct finder *finder, const git_oid *oid, unsigned depth,
			      struct loam_err *err)
{
	if (depth > LOAM_GIT_PATH_DEPTH_MAX)
		return 0;
	git_tree *tree = NULL;
	int rc = git_tree_lookup(&tree, finder->git, oid);
	if (rc < 0)
		return loam_git_fail(err, rc, "read a tree");
	for (size_t i = 0; rc == 0 && i < git_tree_entrycount(tree); i++)
		rc = count_removed(finder, git_tree_entry_byindex(tree, i), depth, err);
	git_tree_free(tree);
	return rc;
}

static int count_removed(struct finder *finder, const git_tree_entry *entry, unsigned depth,
			 struct loam_err *err)
{
	if (!loam_entry_is_shown(entry, "", NULL))
		return 0;
	if (git_tree_entry_type(entry) == GIT_OBJECT_TREE)
		return count_removed_tree(finder, git_tree_entry_id(entry), depth + 1, err);
	uint64_t bytes;
	int rc = loam_blob_bytes(finder->git, git_tree_entry_id(entry),
				 git_tree_entry_filemode(entry), &bytes, err);
	finder->out->removed_files++;
	finder->out->removed_bytes += rc == 0 ? (int64_t)bytes : 0;
	return rc;
}

/* ---- finding --------------------------------------------------------------------------------- */

static int diff_trees(struct finder *finder, size_t dir, const git_tree *old_tree,
		      const git_tree *new_tree, unsigned depth, struct loam_err *err);

static bool is_tree(const git_tree_entry *entry)
{
	return entry && git_tree_entry_type(entry) == GIT_OBJECT_TREE;
}

static int open_tree(struct finder *finder, const git_tree_entry *entry, git_tree **out,
		     struct loam_err *err)
{
	int rc = git_tree_lookup(out, finder->git, git_tree_entry_id(entry));
	return rc < 0 ? loam_git_fail(err, rc, "read a tree") : 0;
}

static int diff_subtrees(struct finder *finder, size_t dir, const git_tree_entry *old_entry,
			 const git_tree_entry *new_entry, unsigned depth, struct loam_err *err)
{
	git_tree *old_tree = NULL, *new_tree = NULL;
	int rc = open_tree(finder, old_entry, &old_tree, err);
	if (rc == 0)
		rc = open_tree(finder, new_entry, &new_tree, err);
	if (rc == 0) {
		size_t below = add_dir(finder->out, dir, git_tree_entry_name(new_entry));
		rc = diff_trees(finder, below, old_tree, new_tree, depth + 1, err);
	}
	git_tree_free(old_tree);
	git_tree_free(new_tree);
	return rc;
}

/* One name: either entry may be NULL, not both. Entries that are not shown count as absent. */
static int diff_entry(struct finder *finder, size_t dir, const git_tree_entry *old_entry,
		      const git_tree_entry *new_entry, unsigned depth, struct loam_err *err)
{
	if (old_entry && new_entry &&
	    git_tree_entry_filemode(old_entry) == git_tree_entry_filemode(new_entry) &&
	    git_oid_equal(git_tree_entry_id(old_entry), git_tree_entry_id(new_entry)))
		return 0;
	if (old_entry && !loam_entry_is_shown(old_entry, "", NULL))
		old_entry = NULL;
	if (new_entry && !loam_entry_is_shown(new_entry, "", NULL)) {
		loam_auto_free char *path = loam_changes_path(finder->out, dir);
		loam_entry_is_shown(new_entry, path, finder->notes);
		new_entry = NULL;
	}
	if (!old_entry && !new_entry)
		return 0;
	if (is_tree(old_entry) && is_tree(new_entry))
		return diff_subtrees(finder, dir, old_entry, new_entry, depth, err);

	struct loam_change *change = add_change(finder->out);
	change->dir = dir;
	change->name = loam_xstrdup(git_tree_entry_name(new_entry ? new_entry : old_entry));
	change->was_there = old_entry != NULL;
	change->was_dir = is_tree(old_entry);
	change->kind = !new_entry	    ? LOAM_CHANGE_REMOVE
		       : is_tree(new_entry) ? LOAM_CHANGE_TREE
					    : LOAM_CHANGE_BLOB;
	if (new_entry) {
		change->oid = *git_tree_entry_id(new_entry);
		change->mode = git_tree_entry_filemode(new_entry);
	}
	return old_entry ? count_removed(finder, old_entry, depth, err) : 0;
}

/* Both trees hold their entries by name; Git's order treats directories as "name/", so a name that
 * changes between file and directory is found by asking the other tree for it. */
static int diff_trees(struct finder *finder, size_t dir, const git_tree *old_tree,
		      const git_tree *new_tree, unsigned depth, struct loam_err *err)
{
	if (depth > LOAM_GIT_PATH_DEPTH_MAX)
		return loam_fail(err, LOAM_E_TOO_LARGE, "directories nest more than %d deep",
				 LOAM_GIT_PATH_DEPTH_MAX);
	size_t new_count = new_tree ? git_tree_entrycount(new_tree) : 0;
	size_t old_count = old_tree ? git_tree_entrycount(old_tree) : 0;
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < new_count; i++) {
		const git_tree_entry *entry = git_tree_entry_byindex(new_tree, i);
		const git_tree_entry *old =
			old_tree ? git_tree_entry_byname(old_tree, git_tree_entry_name(entry))
				 : NULL;
		rc = diff_entry(finder, dir, old, entry, depth, err);
		if (finder->out->change_count > finder->limit)
			return rc;
	}
	for (size_t i = 0; rc == 0 && i < old_count; i++) {
		const git_tree_entry *entry = git_tree_entry_byindex(old_tree, i);
		if (new_tree && git_tree_entry_byname(new_tree, git_tree_entry_name(entry)))
			continue;
		rc = diff_entry(finder, dir, entry, NULL, depth, err);
		if (finder->out->change_count > finder->limit)
			return rc;
	}
	return rc;
}

int loam_changes_find(git_repository *git, const git_tree *old_tree, const git_tree *new_tree,
		      size_t limit, struct loam_buf *notes, struct loam_changes *out,
		      struct loam_err *err)
{
	*out = (struct loam_changes){ 0 };
	struct finder finder = { .git = git, .out = out, .notes = notes, .limit = limit };
	add_dir(out, 0, "");
	int rc = diff_trees(&finder, 0, old_tree, new_tree, 0, err);
	if (rc < 0)
		loam_changes_release(out);
	return rc;
}
