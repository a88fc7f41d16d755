/*
 * The commit of a compaction: the records that were read become one (fs/meta/compact.h says which).
 *
 *   before:  skipped… | compacted…          | appended meanwhile…
 *   after:   skipped… | one new record      | appended meanwhile…
 *
 * The prefix is compared record by record with what the compaction read; any difference is CONFLICT
 * and the new slice is the caller's to remove. Records that writers appended meanwhile stay behind
 * the new one: they are newer. The attr is written as it is: official clients watch it, not the
 * chunk list, when they clone or copy, and would else take references to slices that are freed
 * here.
 *
 * Freed slices: with a trash they wait in delSlices as long as removed files do; without one each
 * record gives up its reference at once.
 *
 * Source: volume format document §5.6 (commit), §11.2 items 16 to 18.
 */
#include "fs/meta/compact.h"

#include "core/auto.h"
#include "core/limits.h"
#include "fs/meta/content.h"
#include "fs/meta/delete_data.h"

#include <stdlib.h>

struct compact {
	struct loam_meta *meta;
	uint64_t ino;
	uint32_t chunk_index;
	const struct loam_slice *old;
	size_t old_count, skipped;
	struct loam_slice replacement;
	int64_t now; /* seconds, for delSlices */
};

static bool same_bytes(const struct loam_slice *a, const struct loam_slice *b)
{
	return a->pos == b->pos && a->id == b->id && a->size == b->size && a->off == b->off &&
	       a->len == b->len;
}

static int check_prefix(const struct compact *compact, const struct loam_slice *now, size_t count,
			struct loam_err *err)
{
	bool same = count >= compact->old_count;
	for (size_t i = 0; same && i < compact->old_count; i++)
		same = same_bytes(&now[i], &compact->old[i]);
	if (!same)
		return loam_fail(err, LOAM_E_CONFLICT,
				 "chunk %u of inode %llu changed during its compaction",
				 compact->chunk_index, (unsigned long long)compact->ino);
	return 0;
}

/* With a trash: the slices go into one delayed-deletion value. */
static int delay_slices(struct loam_txn *txn, const struct compact *compact, struct loam_err *err)
{
	size_t count = compact->old_count - compact->skipped, used = 0;
	loam_auto_free uint8_t *bytes = malloc(count * LOAM_DELSLICE_BYTES);
	if (!bytes)
		return loam_fail(err, LOAM_E_BUSY, "no memory for %zu slices", count);
	for (size_t i = compact->skipped; i < compact->old_count; i++) {
		if (compact->old[i].id == 0)
			continue;
		loam_delslice_encode(compact->old[i].id, compact->old[i].size, bytes + used);
		used += LOAM_DELSLICE_BYTES;
	}
	struct loam_record record =
		loam_rec(LOAM_REC_DELSLICES, compact->replacement.id, (uint64_t)compact->now);
	if (used > 0)
		loam_txn_put(txn, &record, bytes, used);
	return 0;
}

static int free_slices(struct loam_txn *txn, const struct compact *compact, struct loam_err *err)
{
	if (loam_meta_format(compact->meta)->trash_days > 0)
		return delay_slices(txn, compact, err);
	for (size_t i = compact->skipped; i < compact->old_count; i++) {
		if (compact->old[i].id > 0)
			loam_txn_ref_slice(txn, compact->old[i].id, compact->old[i].size, -1);
	}
	return 0;
}

static int replace_records(struct loam_txn *txn, void *arg, struct loam_err *err)
{
	struct compact *compact = arg;
	struct loam_record chunk = loam_rec(LOAM_REC_CHUNK, compact->ino, compact->chunk_index);
	loam_txn_want_attr(txn, compact->ino);
	loam_txn_want(txn, &chunk);
	struct loam_attr attr;
	int rc = loam_content_attr(txn, compact->ino, &attr, err);
	if (rc < 0)
		return rc;
	loam_auto_free struct loam_slice *now = NULL;
	size_t count;
	rc = loam_txn_chunk(txn, compact->ino, compact->chunk_index, &now, &count, err);
	if (rc < 0)
		return rc;
	rc = check_prefix(compact, now, count, err);
	if (rc < 0)
		return rc;

	size_t kept = count - compact->old_count;
	size_t left = compact->skipped + 1 + kept;
	loam_auto_free struct loam_slice *list = calloc(left, sizeof(*list));
	if (!list)
		return loam_fail(err, LOAM_E_BUSY, "no memory for %zu records", left);
	for (size_t i = 0; i < compact->skipped; i++)
		list[i] = now[i];
	list[compact->skipped] = compact->replacement;
	for (size_t i = 0; i < kept; i++)
		list[compact->skipped + 1 + i] = now[compact->old_count + i];

	loam_txn_delete(txn, &chunk);
	loam_txn_append_slices(txn, compact->ino, compact->chunk_index, list, left);
	loam_txn_put_attr(txn, compact->ino, &attr);
	loam_txn_after_commit(txn, loam_meta_slices_freed, compact->meta);
	return free_slices(txn, compact, err);
}

int loam_meta_compact(struct loam_meta *meta, uint64_t ino, uint32_t chunk_index,
		      const struct loam_slice *old, size_t old_count, size_t skipped,
		      const struct loam_slice *replacement, struct loam_err *err)
{
	loam_assert(skipped < old_count && replacement->id > 0 && replacement->len > 0);
	struct compact compact = { .meta = meta,
				   .ino = ino,
				   .chunk_index = chunk_index,
				   .old = old,
				   .old_count = old_count,
				   .skipped = skipped,
				   .replacement = *replacement };
	struct loam_engine *engine = loam_meta_engine(meta);
	if (loam_meta_format(meta)->trash_days > 0) {
		int rc = engine->ops->now(engine, &compact.now, err);
		if (rc < 0)
			return rc;
	}
	return loam_meta_run(meta, LOAM_TXN_BULK, replace_records, &compact, err);
}
