/*
 * Optimistic transactions over an engine: reads are remembered, writes are buffered, the commit is
 * one compare-and-write. The function is run again when something it read has changed.
 *
 * An operation first names what it will read (want); the first read sends all wanted records as one
 * pipeline. With LOAM_TXN_GUESS a record is taken from the caller's cache (what this process saw
 * last) without a trip; the commit checks it, so a wrong guess costs a trip, never a wrong result:
 * a function that fails, or commits nothing, after a guess is run again with true reads.
 *
 * Records written inside the transaction are read back as written (DIR, XATTRS and PARENTS are read
 * as they were before it, unless it deleted them as a whole). The values that a conflict returned
 * feed the next run. At most LOAM_TXN_ATTEMPTS_MAX runs, with random growing pauses; then CONFLICT.
 *
 * Threads: one transaction on one thread; struct loam_meta is shared by all.
 */
#ifndef LOAM_FS_META_TXN_H
#define LOAM_FS_META_TXN_H

#include "fs/meta/meta_format.h"
#include "fs/meta/record.h"

struct loam_meta;
struct loam_txn;

/* Returns 0 to commit what was written, -code to give up with err set. May be run several times: it
 * must reset what it gathers in arg at its start, and must not act on what it read before
 * loam_meta_run has returned: a run's values may be wrong guesses. */
typedef int loam_txn_fn(struct loam_txn *txn, void *arg, struct loam_err *err);

#define LOAM_TXN_CALLBACKS_MAX	 4
#define LOAM_TXN_WRITES_MAX	 200000u /* more are TOO_BIG */
#define LOAM_TXN_BULK_CHECKS_MAX 200u	 /* of one LOAM_TXN_BULK; more are TOO_BIG */

enum loam_txn_flags {
	LOAM_TXN_GUESS = 1 << 0, /* take reads from the record cache where it has them */
	LOAM_TXN_BULK = 1 << 1,	 /* LOAM_COMMIT_BULK: many writes, two trips allowed */
	LOAM_TXN_UPKEEP = 1 << 2 /* a session's own records: also while changes are refused */
};

int loam_meta_run(struct loam_meta *meta, unsigned flags, loam_txn_fn *fn, void *arg,
		  struct loam_err *err);

/* Names a record that will be read soon. Names are copied. */
void loam_txn_want(struct loam_txn *txn, const struct loam_record *record);
void loam_txn_want_attr(struct loam_txn *txn, uint64_t ino);
void loam_txn_want_dentry(struct loam_txn *txn, uint64_t parent, struct loam_name name);

/* Reads: 1 with *out, 0 absent, -code. *out is borrowed until the transaction's next call. */
int loam_txn_read(struct loam_txn *txn, const struct loam_record *record,
		  const struct loam_value **out, struct loam_err *err);
/* A read whose later change must not fail the commit (hints, statistics). */
int loam_txn_peek(struct loam_txn *txn, const struct loam_record *record,
		  const struct loam_value **out, struct loam_err *err);
int loam_txn_attr(struct loam_txn *txn, uint64_t ino, struct loam_attr *out, struct loam_err *err);
int loam_txn_dentry(struct loam_txn *txn, uint64_t parent, struct loam_name name,
		    struct loam_dentry *out, struct loam_err *err);
/* *out_slices malloc'ed; 0 with *out_count 0 for a missing list. */
int loam_txn_chunk(struct loam_txn *txn, uint64_t ino, uint32_t index,
		   struct loam_slice **out_slices, size_t *out_count, struct loam_err *err);

/* Writes, buffered; data is copied. */
void loam_txn_put(struct loam_txn *txn, const struct loam_record *record, const void *data,
		  size_t data_bytes);
void loam_txn_delete(struct loam_txn *txn, const struct loam_record *record);
void loam_txn_put_attr(struct loam_txn *txn, uint64_t ino, const struct loam_attr *attr);
void loam_txn_put_dentry(struct loam_txn *txn, uint64_t parent, struct loam_name name,
			 const struct loam_dentry *dentry);
void loam_txn_delete_dentry(struct loam_txn *txn, uint64_t parent, struct loam_name name);
void loam_txn_append_slices(struct loam_txn *txn, uint64_t ino, uint32_t index,
			    const struct loam_slice *slices, size_t count);
/* Appends only to a list that exists. */
void loam_txn_extend_slices(struct loam_txn *txn, uint64_t ino, uint32_t index,
			    const struct loam_slice *slices, size_t count);
void loam_txn_add(struct loam_txn *txn, const struct loam_record *record, int64_t delta);
void loam_txn_add_usage(struct loam_txn *txn, int64_t space_bytes, int64_t inodes);
/* One more, or one less, record that names this slice. A result below 0 after the commit is found
 * with loam_txn_freed_slices(). */
void loam_txn_ref_slice(struct loam_txn *txn, uint64_t id, uint32_t size, int64_t delta);

/* A check without a read: the record must have this value (NULL: be absent) at the commit. When it
 * has another, the function is run once more and finds that value by reading, without a trip; if it
 * expects the same again, the transaction ends with CONFLICT. */
void loam_txn_expect(struct loam_txn *txn, const struct loam_record *record, const void *data,
		     size_t data_bytes);
/* *out_result is written once the commit was applied: the last result of ADD (new value), APPEND or
 * EXTEND (records in the list) on this record. It must live as long as the call of loam_meta_run.
 */
void loam_txn_result(struct loam_txn *txn, const struct loam_record *record, int64_t *out_result);
/* Slice references that the commit took below 0: asked from `after`, below. */
struct loam_freed_slice {
	uint64_t id;
	uint32_t size;
};
/* Called once, after the commit was applied, with the final results. At most
 * LOAM_TXN_CALLBACKS_MAX of them in one transaction. */
void loam_txn_after_commit(struct loam_txn *txn,
			   void (*after)(void *arg, const struct loam_freed_slice *freed,
					 size_t freed_count),
			   void *arg);

struct loam_meta *loam_txn_meta(struct loam_txn *txn);

/* Handy identities */
static inline struct loam_record loam_rec(enum loam_record_kind kind, uint64_t id, uint64_t sub)
{
	return (struct loam_record){ .kind = kind, .id = id, .sub = sub };
}
static inline struct loam_record loam_rec_named(enum loam_record_kind kind, uint64_t id,
						struct loam_name name)
{
	return (struct loam_record){ .kind = kind, .id = id, .name = name };
}

#endif
