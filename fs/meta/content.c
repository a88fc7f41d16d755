/*
 * What changes of file content share (content.h; step 4 of the push).
 *
 * Zeros are records with id 0. They are laid only over lists that exist: a missing list already
 * reads as zeros. Ranges of many chunks are not tried one by one: the lists that exist are looked
 * up in the store first. A list cannot appear in between unseen, since its writer also writes the
 * attr, which the transaction has read.
 */
#include "fs/meta/content.h"

#include "core/auto.h"
#include "core/clock.h"
#include "core/limits.h"
#include "fs/meta/rules.h"

#include <stdlib.h>
#include <sys/stat.h>

int loam_content_attr(struct loam_txn *txn, uint64_t ino, struct loam_attr *out,
		      struct loam_err *err)
{
	int found = loam_txn_attr(txn, ino, out, err);
	if (found < 0)
		return found;
	if (found == 0)
		return loam_fail(err, LOAM_E_NOT_FOUND, "inode %llu", (unsigned long long)ino);
	if (out->type != LOAM_TYPE_FILE)
		return loam_fail(err, LOAM_E_NOT_PERMITTED, "inode %llu is no regular file",
				 (unsigned long long)ino);
	return 0;
}

int loam_content_commit(struct loam_txn *txn, uint64_t ino, struct loam_attr *attr, uint64_t length,
			struct timespec mtime, struct loam_err *err)
{
	if (length > LOAM_FILE_BYTES_MAX)
		return loam_fail(err, LOAM_E_TOO_LARGE, "a file of %llu bytes",
				 (unsigned long long)length);
	int64_t space = loam_space(length) - loam_space(attr->length);
	int rc = loam_rules_space(loam_txn_meta(txn), space, 0, err);
	if (rc < 0)
		return rc;

	attr->length = length;
	attr->mtime = mtime;
	attr->ctime = loam_clock_now();
	loam_txn_put_attr(txn, ino, attr);
	if (space != 0)
		loam_txn_add_usage(txn, space, 0);
	return 0;
}

void loam_content_drop_privileges(struct loam_txn *txn, uint64_t ino, struct loam_attr *attr)
{
	attr->mode &= (uint16_t)~S_ISUID;
	if (attr->mode & S_IXGRP)
		attr->mode &= (uint16_t)~S_ISGID;
	/* Only a program can carry capabilities to any effect. */
	if (attr->mode & (S_IXUSR | S_IXGRP | S_IXOTH)) {
		struct loam_record record =
			loam_rec_named(LOAM_REC_XATTR, ino, loam_name_of("security.capability"));
		loam_txn_delete(txn, &record);
	}
}

static void zero_chunk(struct loam_txn *txn, uint64_t ino, uint32_t index, uint64_t from,
		       uint64_t to)
{
	uint64_t start = (uint64_t)index * LOAM_CHUNK_BYTES;
	uint64_t first = from > start ? from - start : 0;
	uint64_t last = to - start < LOAM_CHUNK_BYTES ? to - start : LOAM_CHUNK_BYTES;
	struct loam_slice zeros = { .pos = (uint32_t)first, .len = (uint32_t)(last - first) };
	loam_txn_extend_slices(txn, ino, index, &zeros, 1);
}

struct listing {
	struct loam_txn *txn;
	uint64_t ino, from, to;
};

static int zero_if_ours(void *arg, const struct loam_record *record, const void *data,
			size_t data_bytes)
{
	struct listing *listing = arg;
	uint64_t start = record->sub * LOAM_CHUNK_BYTES;
	if (record->id == listing->ino && start < listing->to &&
	    start + LOAM_CHUNK_BYTES > listing->from)
		zero_chunk(listing->txn, listing->ino, (uint32_t)record->sub, listing->from,
			   listing->to);
	return 0;
}

/* Zeros in whichever lists of the range the store has. A list that comes twice is zeroed twice. */
static int zero_listed(struct loam_txn *txn, uint64_t ino, uint64_t from, uint64_t to,
		       struct loam_err *err)
{
	struct loam_engine *engine = loam_meta_engine(loam_txn_meta(txn));
	struct listing listing = { .txn = txn, .ino = ino, .from = from, .to = to };
	uint64_t cursor = 0;
	do {
		int rc = engine->ops->scan(engine, LOAM_REC_CHUNK, 0, &cursor, NULL, zero_if_ours,
					   &listing, err);
		if (rc < 0)
			return rc;
	} while (cursor != 0);
	return 0;
}

int loam_content_zero(struct loam_txn *txn, uint64_t ino, uint64_t from, uint64_t to,
		      struct loam_bulk *bulk, struct loam_err *err)
{
	if (from >= to)
		return 0;
	uint32_t first = loam_chunk_of(from), end = loam_chunk_count(to);
	if (end - first > LOAM_CONTENT_BULK_MIN && !bulk->is) {
		bulk->needed = true;
		return 0;
	}
	if (end - first > LOAM_ZERO_CHUNKS_MAX)
		return zero_listed(txn, ino, from, to, err);
	for (uint32_t index = first; index < end; index++)
		zero_chunk(txn, ino, index, from, to);
	return 0;
}

int loam_content_run(struct loam_meta *meta, unsigned flags, loam_txn_fn *fn, void *arg,
		     struct loam_bulk *bulk, struct loam_err *err)
{
	*bulk = (struct loam_bulk){ 0 };
	int rc = loam_meta_run(meta, flags, fn, arg, err);
	if (rc < 0 || !bulk->needed)
		return rc;

	*bulk = (struct loam_bulk){ .is = true };
	return loam_meta_run(meta, LOAM_TXN_BULK, fn, arg, err);
}
