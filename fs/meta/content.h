/*
 * What the operations on file content share (chunk.c, truncate.c, fallocate.c, copy_range.c,
 * clone_*.c): chunk arithmetic, the change of an attr that every change of content brings.
 *
 * Rule: whoever changes the chunks, the length or the links of a file also writes its attr in the
 * same commit, for that is the key which other clients watch (volume format document §4.1).
 */
#ifndef LOAM_FS_META_CONTENT_H
#define LOAM_FS_META_CONTENT_H

#include "fs/meta/meta.h"
#include "fs/meta/txn.h"

#define LOAM_FILE_BYTES_MAX	(1ull << 57) /* the format's own limit: 2^31 chunks */
#define LOAM_ZERO_CHUNKS_MAX	10000 /* more are looked for in the store, not tried one by one */
#define LOAM_CONTENT_CHUNKS_MAX 100   /* chunk lists that one transaction reads and checks */
#define LOAM_CONTENT_BULK_MIN	150   /* writes from which a transaction is a bulk one */

static inline uint32_t loam_chunk_of(uint64_t offset)
{
	return (uint32_t)(offset / LOAM_CHUNK_BYTES);
}
/* Chunks that hold bytes of a file of this length. */
static inline uint32_t loam_chunk_count(uint64_t length)
{
	return (uint32_t)((length + LOAM_CHUNK_BYTES - 1) / LOAM_CHUNK_BYTES);
}

/* The attr of a regular file that may be changed. NOT_FOUND; NOT_PERMITTED for another type. */
int loam_content_attr(struct loam_txn *txn, uint64_t ino, struct loam_attr *out,
		      struct loam_err *err);

/* Writes the attr with its new length, the given mtime and ctime now; counts the space. NO_SPACE
 * when the volume's limits forbid the growth, TOO_LARGE past the longest file. */
int loam_content_commit(struct loam_txn *txn, uint64_t ino, struct loam_attr *attr, uint64_t length,
			struct timespec mtime, struct loam_err *err);

/* New content is no longer what root or the owner vouched for: set-id bits and security.capability
 * go, as the kernel leaves it to us (FUSE_HANDLE_KILLPRIV_V2). */
void loam_content_drop_privileges(struct loam_txn *txn, uint64_t ino, struct loam_attr *attr);

/*
 * Some transactions turn out to be bulk ones only while they run. Such a function sets
 * bulk->needed, writes nothing and returns 0 (and clears it at its start); loam_content_run() then
 * runs it again as LOAM_TXN_BULK, with bulk->is.
 */
struct loam_bulk {
	bool is, needed;
};
int loam_content_run(struct loam_meta *meta, unsigned flags, loam_txn_fn *fn, void *arg,
		     struct loam_bulk *bulk, struct loam_err *err);

/* Zeros over [from, to), in the chunk lists that exist. */
int loam_content_zero(struct loam_txn *txn, uint64_t ino, uint64_t from, uint64_t to,
		      struct loam_bulk *bulk, struct loam_err *err);

#endif
