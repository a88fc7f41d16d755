/*
 * What differs between two Git trees, as work on the live tree: one entry per changed name of a
 * live directory; a directory that is new is one entry, whatever it holds.
 */
#ifndef LOAM_SYNC_CHANGES_H
#define LOAM_SYNC_CHANGES_H

#include "core/buf.h"
#include "core/err.h"

#include <git2.h>
#include <stdint.h>

enum loam_change_kind { LOAM_CHANGE_BLOB, LOAM_CHANGE_TREE, LOAM_CHANGE_REMOVE };

struct loam_change {
	enum loam_change_kind kind;
	size_t dir; /* index into dirs: where the name stands */
	char *name;
	git_oid oid; /* of the new blob or tree */
	git_filemode_t mode;
	bool was_dir; /* the old entry of this name was a directory */
	bool was_there;
};

/* A live directory with changes in it; dirs[0] is the gate. */
struct loam_change_dir {
	size_t parent;
	char *name;   /* "" for the gate */
	uint64_t ino; /* filled by the publisher */
};

struct loam_changes {
	struct loam_change_dir *dirs;
	size_t dir_count;
	struct loam_change *changes;
	size_t change_count;
	int64_t removed_files, removed_bytes; /* what the old entries held */
};

/* Either tree may be NULL: empty. Stops at limit changes (out->change_count > limit then). notes:
 * gets a line for each changed name that is left out; may be NULL. */
int loam_changes_find(git_repository *git, const git_tree *old_tree, const git_tree *new_tree,
		      size_t limit, struct loam_buf *notes, struct loam_changes *out,
		      struct loam_err *err);
/* "a/b/" of dirs[index], "" for the gate; free(). */
char *loam_changes_path(const struct loam_changes *changes, size_t index);
void loam_changes_release(struct loam_changes *changes);

/* May this entry stand on the mount? If not, a line for the pusher goes to notes (may be NULL).
 * path: where. */
bool loam_entry_is_shown(const git_tree_entry *entry, const char *path, struct loam_buf *notes);
/* A line for the pusher. What does not fit any more is left out: notes never fail a publish. */
void loam_note(struct loam_buf *notes, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* libgit2's last error as an err. */
int loam_git_fail(struct loam_err *err, int git_code, const char *what);
/* Bytes that a blob has on the mount: those of its LFS object when it is a pointer. */
int loam_blob_bytes(git_repository *git, const git_oid *oid, git_filemode_t mode,
		    uint64_t *out_bytes, struct loam_err *err);

#endif
