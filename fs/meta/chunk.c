/*
 * Chunk lists of a file: read in one pipeline, and the commit of one written slice (step 4 of the
 * push: blocks are durable, now metadata names them).
 *
 * The write commit is one transaction and, with the attr in the cache, one trip: record, length,
 * times and usage change together, so length never covers bytes that no record holds.
 *
 * The lists of a removed file are deleted after its inode: read before it, in the same pipeline,
 * they are whole as long as the inode is there behind them. Without that look a file removed by
 * another process would read as zeros.
 *
 * Source: volume format document §4.5 (write commit), §5.1, §5.3.
 */
#include "fs/meta/content.h"

#include "core/auto.h"
#include "core/limits.h"
#include "fs/meta/rules.h"

#include <stdlib.h>
#include <string.h>

static void release_chunks(struct loam_chunk *chunks, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		free(chunks[i].slices);
	memset(chunks, 0, count * sizeof(*chunks));
}

static int decode_chunks(const struct loam_value *values, uint64_t ino, uint32_t first,
			 uint32_t count, struct loam_chunk *out_chunks, struct loam_err *err)
{
	memset(out_chunks, 0, count * sizeof(*out_chunks));
	for (uint32_t i = 0; i < count; i++) {
		if (!values[i].present)
			continue;
		int rc = loam_slices_decode(values[i].data, values[i].bytes, &out_chunks[i].slices,
					    &out_chunks[i].slice_count, err);
		if (rc < 0) {
			release_chunks(out_chunks, count);
			return loam_context(err, "chunk %u of inode %llu", first + i,
					    (unsigned long long)ino);
		}
	}
	return 0;
}

int loam_meta_chunks(struct loam_meta *meta, uint64_t ino, uint32_t first, uint32_t count,
		     struct loam_chunk *out_chunks, struct loam_err *err)
{
	if (count == 0)
		return 0;
	loam_auto_free struct loam_record *records = calloc(count + 1, sizeof(*records));
	loam_auto_free struct loam_value *values = calloc(count + 1, sizeof(*values));
	if (!records || !values)
		return loam_fail(err, LOAM_E_BUSY, "no memory for %u chunk lists", count);
	for (uint32_t i = 0; i < count; i++)
		records[i] = loam_rec(LOAM_REC_CHUNK, ino, first + i);
	records[count] = loam_rec(LOAM_REC_ATTR, ino, 0);

	struct loam_engine *engine = loam_meta_engine(meta);
	int rc = engine->ops->read(engine, records, count + 1, values, err);
	if (rc < 0)
		return loam_context(err, "read the chunks of inode %llu", (unsigned long long)ino);

	if (values[count].present)
		rc = decode_chunks(values, ino, first, count, out_chunks, err);
	else
		rc = loam_fail(err, LOAM_E_STALE, "inode %llu was removed",
			       (unsigned long long)ino);
	for (uint32_t i = 0; i <= count; i++)
		loam_value_release(&values[i]);
	return rc;
}

struct write {
	uint64_t ino;
	uint32_t chunk_index;
	struct loam_slice slice;
	struct timespec mtime;
	struct loam_attr attr;
	int64_t record_count;
};

static int write_slice(struct loam_txn *txn, void *arg, struct loam_err *err)
{
	struct write *write = arg;
	loam_txn_want_attr(txn, write->ino);
	int rc = loam_content_attr(txn, write->ino, &write->attr, err);
	if (rc < 0)
		return rc;

	uint64_t end = (uint64_t)write->chunk_index * LOAM_CHUNK_BYTES + write->slice.pos +
		       write->slice.len;
	uint64_t length = end > write->attr.length ? end : write->attr.length;
	loam_content_drop_privileges(txn, write->ino, &write->attr);
	rc = loam_content_commit(txn, write->ino, &write->attr, length, write->mtime, err);
	if (rc < 0)
		return rc;
	struct loam_record chunk = loam_rec(LOAM_REC_CHUNK, write->ino, write->chunk_index);
	loam_txn_append_slices(txn, write->ino, write->chunk_index, &write->slice, 1);
	loam_txn_result(txn, &chunk, &write->record_count);
	return 0;
}

int loam_meta_write(struct loam_meta *meta, uint64_t ino, uint32_t chunk_index,
		    const struct loam_slice *slice, struct timespec mtime,
		    struct loam_attr *out_attr, uint64_t *out_record_count, struct loam_err *err)
{
	loam_assert(slice->len > 0 && slice->pos < LOAM_CHUNK_BYTES &&
		    slice->len <= LOAM_CHUNK_BYTES - slice->pos);
	loam_assert(slice->id == 0 || (uint64_t)slice->off + slice->len <= slice->size);

	struct write write = {
		.ino = ino, .chunk_index = chunk_index, .slice = *slice, .mtime = mtime
	};
	int rc = loam_meta_run(meta, LOAM_TXN_GUESS, write_slice, &write, err);
	if (rc < 0)
		return rc;
	*out_attr = write.attr;
	if (out_record_count)
		*out_record_count = (uint64_t)write.record_count;
	return 0;
}
