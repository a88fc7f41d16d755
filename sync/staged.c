/*
 * Staged inodes into the metadata, a batch in one transaction (sync/staged.h; step 8 of a push).
 *
 * References: the first record of a slice is implicit, every further one counts one. The builder
 * marks the record that opens each slice, so the counts hold after every batch.
 */
#include "sync/staged.h"

#include "auth/gate.h"
#include "core/auto.h"
#include "fs/meta/txn.h"
#include "lfs/staging.h"

#include <string.h>

struct batch {
	struct loam_staged *staged;
	size_t count;
	uint64_t job_ino;
	uint32_t from, to; /* chunks of pool files: a huge one takes several transactions */
};

#define CHUNKS_AT_ONCE 150 /* an engine checks at most 200 records in one transaction */

void loam_staged_release(struct loam_staged *staged)
{
	free(staged->dentry_name);
	free(staged->target);
	free(staged->parts);
	*staged = (struct loam_staged){ 0 };
}

static uint32_t chunk_count(uint64_t length)
{
	return (uint32_t)((length + LOAM_CHUNK_BYTES - 1) / LOAM_CHUNK_BYTES);
}

size_t loam_staged_checks(const struct loam_staged *staged)
{
	return staged->pool_ino ? 1 + chunk_count(staged->attr.length) : 0;
}

static uint32_t end_chunk(const struct batch *batch, const struct loam_staged *staged)
{
	uint32_t count = chunk_count(staged->attr.length);
	return count < batch->to ? count : batch->to;
}

static void want_pool_files(struct loam_txn *txn, const struct batch *batch)
{
	loam_txn_want_attr(txn, batch->job_ino);
	for (size_t i = 0; i < batch->count; i++) {
		const struct loam_staged *staged = &batch->staged[i];
		if (!staged->pool_ino)
			continue;
		loam_txn_want_attr(txn, staged->pool_ino);
		uint32_t end = end_chunk(batch, staged);
		for (uint32_t c = batch->from; c < end; c++) {
			struct loam_record chunk = loam_rec(LOAM_REC_CHUNK, staged->pool_ino, c);
			loam_txn_want(txn, &chunk);
		}
	}
}

/* The records of the pool file, named once more each. */
static int clone_chunks(struct loam_txn *txn, const struct batch *batch,
			const struct loam_staged *staged, struct loam_err *err)
{
	struct loam_attr pool;
	int rc = loam_txn_attr(txn, staged->pool_ino, &pool, err);
	if (rc < 0)
		return rc;
	if (rc == 0 || pool.length != staged->attr.length)
		return loam_fail(err, LOAM_E_NOT_FOUND,
				 "object %s was removed while it was published", staged->oid);
	for (uint32_t c = batch->from; c < end_chunk(batch, staged); c++) {
		loam_auto_free struct loam_slice *slices = NULL;
		size_t count = 0;
		rc = loam_txn_chunk(txn, staged->pool_ino, c, &slices, &count, err);
		if (rc < 0)
			return rc;
		for (size_t i = 0; i < count; i++)
			if (slices[i].id != 0)
				loam_txn_ref_slice(txn, slices[i].id, slices[i].size, 1);
		if (count > 0)
			loam_txn_append_slices(txn, staged->ino, c, slices, count);
	}
	return 0;
}

static void put_parts(struct loam_txn *txn, const struct loam_staged *staged)
{
	for (size_t p = 0; p < staged->part_count; p++) {
		const struct loam_staged_part *part = &staged->parts[p];
		loam_txn_append_slices(txn, staged->ino, part->chunk_index, &part->slice, 1);
		if (!part->first)
			loam_txn_ref_slice(txn, part->slice.id, part->slice.size, 1);
	}
}

static void put_one(struct loam_txn *txn, const struct loam_staged *staged)
{
	struct loam_dentry dentry = { .type = staged->attr.type, .ino = staged->ino };
	loam_txn_put_attr(txn, staged->ino, &staged->attr);
	loam_txn_put_dentry(txn, staged->dentry_dir, loam_name_of(staged->dentry_name), &dentry);
	loam_txn_add_usage(txn,
			   staged->attr.type == LOAM_TYPE_FILE ? loam_space(staged->attr.length)
							       : loam_space(0),
			   1);
	if (staged->target) {
		struct loam_record link = loam_rec(LOAM_REC_SYMLINK, staged->ino, 0);
		loam_txn_put(txn, &link, staged->target, strlen(staged->target));
	}
	if (staged->pool_ino) {
		struct loam_record oid =
			loam_rec_named(LOAM_REC_XATTR, staged->ino, loam_name_of(LOAM_XATTR_OID));
		loam_txn_put(txn, &oid, staged->oid, strlen(staged->oid));
	}
	put_parts(txn, staged);
}

static int commit_batch(struct loam_txn *txn, void *arg, struct loam_err *err)
{
	struct batch *batch = arg;
	want_pool_files(txn, batch);
	struct loam_attr job;
	int rc = loam_txn_attr(txn, batch->job_ino, &job, err);
	if (rc < 0)
		return rc;
	if (rc == 0 || !loam_job_is_alive(&job))
		return loam_fail(err, LOAM_E_CONFLICT,
				 "the staging directory was swept: this process was held up for "
				 "too long");
	uint32_t dirs = 0;
	rc = 0;
	for (size_t i = 0; rc == 0 && i < batch->count; i++) {
		const struct loam_staged *staged = &batch->staged[i];
		if (batch->from == 0) {
			put_one(txn, staged);
			dirs += staged->attr.type == LOAM_TYPE_DIR &&
				staged->dentry_dir == batch->job_ino;
		}
		if (staged->pool_ino)
			rc = clone_chunks(txn, batch, staged, err);
	}
	if (rc == 0 && dirs > 0) {
		job.nlink += dirs;
		loam_txn_put_attr(txn, batch->job_ino, &job);
	}
	return rc;
}

int loam_staged_commit(struct loam_meta *meta, struct loam_staged *batch, size_t count,
		       uint64_t job_ino, struct loam_err *err)
{
	struct batch arg = { .staged = batch, .count = count, .job_ino = job_ino };
	uint32_t chunks = 0;
	for (size_t i = 0; i < count; i++)
		if (batch[i].pool_ino && chunk_count(batch[i].attr.length) > chunks)
			chunks = chunk_count(batch[i].attr.length);
	loam_assert(count == 1 || chunks <= CHUNKS_AT_ONCE);
	int rc = 0;
	do {
		arg.to = arg.from + CHUNKS_AT_ONCE;
		rc = loam_meta_run(meta, LOAM_TXN_BULK, commit_batch, &arg, err);
		arg.from = arg.to;
	} while (rc == 0 && arg.from < chunks);
	return rc;
}
