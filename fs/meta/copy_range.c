/*
 * copy_file_range(2) without bytes: the pieces that a reader of the source range sees become
 * records of the target, each one more reference to its slice.
 *
 *   source chunk, resolved over a zero slice:   |--A--|··0··|-----B-----|   (holes are pieces too)
 *   target chunks:                        ...---|--A--|··0··|--B'--|--B"--|---
 *                                                                  ^ border: one piece, two records
 *
 * The source's chunk lists are read in the transaction, so its commit fails when a compaction, a
 * write or a removal has changed one of them: no reference is ever taken to a slice that was freed
 * meanwhile.
 *
 * Source: volume format document §4.5 (copy_file_range), §5.5, §11.2 item 17.
 */
#include "fs/meta/content.h"

#include "core/auto.h"
#include "core/clock.h"
#include "core/limits.h"
#include "fs/meta/rules.h"

#include <stdlib.h>

/* One transaction: 64 chunks and a border. The caller asks again for the rest. */
#define COPY_BYTES_MAX	 (64ull * LOAM_CHUNK_BYTES)
#define COPY_RECORDS_MAX 20000 /* after so many a copy ends with its chunk */

struct copy {
	struct loam_meta *meta;
	const struct loam_who *who;
	uint64_t from, from_offset, to, to_offset, bytes;
	uint64_t copied;
	size_t records; /* made by this run */
	struct loam_attr to_attr;
};

static int file_attr(struct loam_txn *txn, uint64_t ino, struct loam_attr *out,
		     struct loam_err *err)
{
	int found = loam_txn_attr(txn, ino, out, err);
	if (found < 0)
		return found;
	if (found == 0)
		return loam_fail(err, LOAM_E_NOT_FOUND, "inode %llu", (unsigned long long)ino);
	if (out->type != LOAM_TYPE_FILE)
		return loam_fail(err, LOAM_E_INVALID, "inode %llu is no regular file",
				 (unsigned long long)ino);
	return 0;
}

/* One piece of the source, as one or two records of the target. at: its offset in the target file.
 */
static void put_piece(struct loam_txn *txn, struct copy *copy, struct loam_slice piece, uint64_t at)
{
	while (piece.len > 0) {
		uint32_t pos = (uint32_t)(at % LOAM_CHUNK_BYTES);
		uint32_t room = LOAM_CHUNK_BYTES - pos;
		struct loam_slice record = piece;
		record.pos = pos;
		record.len = piece.len < room ? piece.len : room;
		loam_txn_append_slices(txn, copy->to, loam_chunk_of(at), &record, 1);
		if (record.id > 0)
			loam_txn_ref_slice(txn, record.id, record.size, 1);
		copy->records++;
		at += record.len;
		piece.len -= record.len;
		piece.off += piece.id > 0 ? record.len : 0;
	}
}

/* The part of a piece that lies in [from, to) of its chunk. false: none. */
static bool clip(struct loam_slice *piece, uint32_t from, uint32_t to)
{
	uint32_t end = piece->pos + piece->len;
	if (end <= from || piece->pos >= to)
		return false;
	if (piece->pos < from) {
		piece->off += piece->id > 0 ? from - piece->pos : 0;
		piece->pos = from;
	}
	piece->len = (end < to ? end : to) - piece->pos;
	return true;
}

/* The pieces of one source chunk that lie in the range. */
static int copy_chunk(struct loam_txn *txn, struct copy *copy, uint32_t index, uint64_t bytes,
		      struct loam_err *err)
{
	loam_auto_free struct loam_slice *slices = NULL, *over_zeros = NULL, *pieces = NULL;
	size_t slice_count, piece_count;
	int rc = loam_txn_chunk(txn, copy->from, index, &slices, &slice_count, err);
	if (rc < 0)
		return rc;
	over_zeros = calloc(slice_count + 1, sizeof(*over_zeros));
	if (!over_zeros)
		return loam_fail(err, LOAM_E_BUSY, "no memory for %zu records", slice_count);
	over_zeros[0].len = LOAM_CHUNK_BYTES;
	for (size_t i = 0; i < slice_count; i++)
		over_zeros[i + 1] = slices[i];
	rc = loam_slices_resolve(over_zeros, slice_count + 1, &pieces, &piece_count, err);
	if (rc < 0)
		return rc;

	uint64_t start = (uint64_t)index * LOAM_CHUNK_BYTES;
	uint64_t end = copy->from_offset + bytes;
	uint32_t from = copy->from_offset > start ? (uint32_t)(copy->from_offset - start) : 0;
	uint32_t to = end - start < LOAM_CHUNK_BYTES ? (uint32_t)(end - start) : LOAM_CHUNK_BYTES;
	for (size_t i = 0; i < piece_count; i++) {
		if (clip(&pieces[i], from, to))
			put_piece(txn, copy, pieces[i],
				  copy->to_offset + (start + pieces[i].pos - copy->from_offset));
	}
	return 0;
}

static void want_all(struct loam_txn *txn, const struct copy *copy)
{
	loam_txn_want_attr(txn, copy->from);
	loam_txn_want_attr(txn, copy->to);
	uint32_t last = loam_chunk_of(copy->from_offset + copy->bytes - 1);
	for (uint32_t index = loam_chunk_of(copy->from_offset); index <= last; index++) {
		struct loam_record chunk = loam_rec(LOAM_REC_CHUNK, copy->from, index);
		loam_txn_want(txn, &chunk);
	}
}

static int copy_pieces(struct loam_txn *txn, void *arg, struct loam_err *err)
{
	struct copy *copy = arg;
	copy->copied = 0;
	copy->records = 0;
	want_all(txn, copy);
	struct loam_attr from;
	int rc = file_attr(txn, copy->from, &from, err);
	if (rc < 0)
		return rc;
	rc = file_attr(txn, copy->to, &copy->to_attr, err);
	if (rc < 0 || copy->from_offset >= from.length)
		return rc;
	if (loam_rules_is_locked(&copy->to_attr))
		return loam_fail(err, LOAM_E_NOT_PERMITTED, "the file is immutable or append-only");

	uint64_t left = from.length - copy->from_offset;
	uint64_t bytes = copy->bytes < left ? copy->bytes : left;
	uint32_t last = loam_chunk_of(copy->from_offset + bytes - 1);
	for (uint32_t index = loam_chunk_of(copy->from_offset); index <= last; index++) {
		rc = copy_chunk(txn, copy, index, bytes, err);
		if (rc < 0)
			return rc;
		if (copy->records > COPY_RECORDS_MAX && index < last) {
			bytes = (uint64_t)(index + 1) * LOAM_CHUNK_BYTES - copy->from_offset;
			break;
		}
	}

	uint64_t end = copy->to_offset + bytes;
	if (copy->who->uid != 0)
		loam_content_drop_privileges(txn, copy->to, &copy->to_attr);
	copy->copied = bytes;
	return loam_content_commit(txn, copy->to, &copy->to_attr,
				   end > copy->to_attr.length ? end : copy->to_attr.length,
				   loam_clock_now(), err);
}

static bool overlap(uint64_t a, uint64_t b, uint64_t bytes)
{
	return a < b ? b - a < bytes : a - b < bytes;
}

int loam_meta_copy_range(struct loam_meta *meta, const struct loam_who *who, uint64_t from,
			 uint64_t from_offset, uint64_t to, uint64_t to_offset, uint64_t bytes,
			 uint64_t *out_copied, struct loam_attr *out_to_attr, struct loam_err *err)
{
	if (from == to && overlap(from_offset, to_offset, bytes))
		return loam_fail(err, LOAM_E_INVALID, "the ranges overlap");
	if (from_offset > LOAM_FILE_BYTES_MAX || to_offset > LOAM_FILE_BYTES_MAX)
		return loam_fail(err, LOAM_E_TOO_LARGE, "past the longest file");
	if (bytes > COPY_BYTES_MAX)
		bytes = COPY_BYTES_MAX;
	if (bytes == 0) {
		*out_copied = 0;
		return loam_meta_getattr(meta, to, out_to_attr, err);
	}

	struct copy copy = { .meta = meta,
			     .who = who,
			     .from = from,
			     .from_offset = from_offset,
			     .to = to,
			     .to_offset = to_offset,
			     .bytes = bytes };
	int rc = loam_meta_run(meta, LOAM_TXN_BULK, copy_pieces, &copy, err);
	if (rc < 0)
		return rc;
	*out_copied = copy.copied;
	*out_to_attr = copy.to_attr;
	return 0;
}
