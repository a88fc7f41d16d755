/*
 * What the files of a clone share: the request, what is taken over from a source, batches, the
 * tree.
 *
 *   clone.c        request and its checks; a single file
 *   clone_entry.c  what one inode takes over: owner, mode, times, xattrs, chunks
 *   clone_batch.c  many files of one directory in one transaction; one file of many chunks
 *   clone_tree.c   the walk, two workers, attach, removal of what failed
 *
 * Rule: a reference to a slice is taken in a transaction that has checked the chunk list which
 * names it. So a compaction or removal of the source in between makes the transaction run again.
 *
 * Source: volume format document §4.13; design.md §4, §7; reliability.md F26 to F28.
 */
#ifndef LOAM_FS_META_CLONE_H
#define LOAM_FS_META_CLONE_H

#include "fs/meta/content.h"

#include <pthread.h>

/* Of one transaction: with one chunk list each, attrs and lists are its checks. */
#define LOAM_CLONE_FILES_MAX 99

struct loam_clone {
	struct loam_meta *meta;
	const struct loam_who *who; /* check is true */
	unsigned flags;
	struct timespec now;	 /* all times of the clone, unless they are kept */
	uint32_t gid;		 /* of what is made: who's, or that of a setgid target directory */
	bool setgid;		 /* its directories are setgid too */
	uint8_t inherited_flags; /* skip-trash, from the target directory */
	bool (*cancelled)(void *arg);
	void *cancelled_arg;

	pthread_mutex_t lock; /* all below */
	pthread_cond_t changed;
	struct loam_clone_stats stats;
	size_t pending;	     /* batches handed to the workers */
	struct loam_err err; /* the first failure */
	bool stop;	     /* there is one */
};

/* clone_entry.c ---------------------------------------------------------------------------- */

/* Wants what loam_clone_read_entry reads; type as the dentry says. */
void loam_clone_want_entry(struct loam_txn *txn, uint64_t from, uint8_t type);
/* Attr of a source: 1, 0 vanished, -code. checked: the commit fails if it changes. DENIED when who
 * may not read it, NOT_PERMITTED for a special file and others than root. */
int loam_clone_read_attr(struct loam_txn *txn, const struct loam_clone *clone, uint64_t from,
			 bool checked, struct loam_attr *out, struct loam_err *err);
/* Writes the new inode without its chunks: attr, xattrs, symlink target, usage. */
int loam_clone_put_inode(struct loam_txn *txn, const struct loam_clone *clone, uint64_t from,
			 const struct loam_attr *attr, uint64_t to, uint64_t to_parent,
			 struct loam_attr *out_attr, struct loam_err *err);
/* Chunks [first, first + count): the same records, one more reference each. */
int loam_clone_put_chunks(struct loam_txn *txn, uint64_t from, uint64_t to, uint32_t first,
			  uint32_t count, struct loam_err *err);
uint32_t loam_clone_chunk_count(const struct loam_attr *attr); /* 0 for other types */

/* clone_batch.c ---------------------------------------------------------------------------- */

struct loam_clone_source {
	char *name; /* free() */
	uint16_t name_bytes;
	uint8_t type;
	uint64_t from, to;
};
/* Entries of one source directory and the (detached) directory that they come to. */
struct loam_clone_batch {
	struct loam_clone *clone;
	uint64_t to_parent;
	struct loam_clone_source entries[LOAM_CLONE_FILES_MAX];
	size_t count;
};
struct loam_clone_batch *loam_clone_batch_new(struct loam_clone *clone, uint64_t to_parent);
void loam_clone_batch_free(struct loam_clone_batch *batch);
/* Non-directories. Sources that vanished are left out. */
int loam_clone_batch_run(struct loam_clone_batch *batch, struct loam_err *err);
/* Directories, empty so far. out_cloned[i]: whether the i-th is there; out_nlink[i]: as written. */
int loam_clone_batch_dirs(struct loam_clone_batch *batch, bool *out_cloned, uint32_t *out_nlink,
			  struct loam_err *err);

/* clone_tree.c ----------------------------------------------------------------------------- */

/* to_parent/name becomes the whole tree below the directory `from`, or nothing. */
int loam_clone_tree(struct loam_clone *clone, uint64_t from, uint64_t to_parent,
		    struct loam_name name, struct loam_err *err);
/* The same for one file of more chunks than a transaction takes. */
int loam_clone_large_file(struct loam_clone *clone, uint64_t from, uint64_t to_parent,
			  struct loam_name name, struct loam_err *err);
/* Removes a detached node whose record still has this value: one that nobody finishes. */
int loam_clone_discard_stale(struct loam_meta *meta, uint64_t ino, int64_t value,
			     struct loam_err *err);

/* clone.c ---------------------------------------------------------------------------------- */

/* The checks of the target, inside a transaction: NOT_FOUND, NOT_DIR, DENIED, NOT_PERMITTED,
 * EXISTS. *out_parent may be changed and written. */
int loam_clone_check_target(struct loam_txn *txn, const struct loam_clone *clone,
			    uint64_t to_parent, struct loam_name name, struct loam_attr *out_parent,
			    struct loam_err *err);
/* INTERRUPTED when the caller gave up, or the first failure of a worker. Asks only in the thread
 * that called loam_meta_clone. */
int loam_clone_go_on(struct loam_clone *clone, struct loam_err *err);
/* A worker's view: has anything failed? */
bool loam_clone_stopped(struct loam_clone *clone);
void loam_clone_count(struct loam_clone *clone, uint64_t files, uint64_t dirs, uint64_t bytes);

#endif
