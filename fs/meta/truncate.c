/*
 * The length of a file is set. Shorter or longer, the bytes between the old and the new end become
 * zeros now, so that "whatever is stored beyond the end reads as zero after any later extension":
 * writes past the end and fallocate rely on it.
 *
 *      L = min(old, new)        R = max(old, new)
 *   ---|--- a = chunk of L -----|···· chunks between ····|--- b = chunk of R ---|---
 *         zeros RPUSHed             only lists that exist     zeros RPUSHed
 *
 * Source: volume format document §4.5 (truncate), §11.3 item 24.
 */
#include "fs/meta/content.h"

#include "core/clock.h"
#include "core/limits.h"
#include "fs/meta/rules.h"

struct truncate {
	struct loam_meta *meta;
	const struct loam_who *who;
	uint64_t ino, length;
	bool by_handle;
	struct loam_attr attr;
	struct loam_bulk bulk;
};

static int may_truncate(struct truncate *truncate, struct loam_err *err)
{
	const struct loam_attr *attr = &truncate->attr;
	if (loam_rules_is_locked(attr))
		return loam_fail(err, LOAM_E_NOT_PERMITTED, "the file is immutable or append-only");
	if (truncate->by_handle)
		return 0;
	if (loam_rules_in_trash(attr))
		return loam_fail(err, LOAM_E_NOT_PERMITTED, "the file is in the trash");
	return loam_rules_access(truncate->meta, truncate->who, truncate->ino, attr, 2, err);
}

static void push_zeros(struct loam_txn *txn, uint64_t ino, uint32_t index, uint64_t pos,
		       uint64_t bytes)
{
	struct loam_slice zeros = { .pos = (uint32_t)pos, .len = (uint32_t)bytes };
	loam_txn_append_slices(txn, ino, index, &zeros, 1);
}

static int zero_between(struct loam_txn *txn, struct truncate *truncate, uint64_t left,
			uint64_t right, struct loam_err *err)
{
	uint32_t first = loam_chunk_of(left), last = loam_chunk_of(right);
	uint64_t first_end = ((uint64_t)first + 1) * LOAM_CHUNK_BYTES;
	int rc = loam_content_zero(txn, truncate->ino, first_end, (uint64_t)last * LOAM_CHUNK_BYTES,
				   &truncate->bulk, err);
	if (rc < 0 || truncate->bulk.needed)
		return rc;

	uint64_t end = right < first_end ? right : first_end;
	push_zeros(txn, truncate->ino, first, left % LOAM_CHUNK_BYTES, end - left);
	if (right > first_end && right % LOAM_CHUNK_BYTES > 0)
		push_zeros(txn, truncate->ino, last, 0, right % LOAM_CHUNK_BYTES);
	return 0;
}

static int set_length(struct loam_txn *txn, void *arg, struct loam_err *err)
{
	struct truncate *truncate = arg;
	truncate->bulk.needed = false;
	loam_txn_want_attr(txn, truncate->ino);
	int rc = loam_content_attr(txn, truncate->ino, &truncate->attr, err);
	if (rc < 0)
		return rc;
	rc = may_truncate(truncate, err);
	if (rc < 0 || truncate->attr.length == truncate->length)
		return rc;

	uint64_t old = truncate->attr.length;
	rc = zero_between(txn, truncate, old < truncate->length ? old : truncate->length,
			  old < truncate->length ? truncate->length : old, err);
	if (rc < 0 || truncate->bulk.needed)
		return rc;
	if (truncate->who->uid != 0)
		loam_content_drop_privileges(txn, truncate->ino, &truncate->attr);
	return loam_content_commit(txn, truncate->ino, &truncate->attr, truncate->length,
				   loam_clock_now(), err);
}

int loam_meta_truncate(struct loam_meta *meta, const struct loam_who *who, uint64_t ino,
		       uint64_t length, bool by_handle, struct loam_attr *out_attr,
		       struct loam_err *err)
{
	if (length > LOAM_FILE_BYTES_MAX)
		return loam_fail(err, LOAM_E_TOO_LARGE, "a file of %llu bytes",
				 (unsigned long long)length);

	struct truncate truncate = {
		.meta = meta, .who = who, .ino = ino, .length = length, .by_handle = by_handle
	};
	int rc = loam_content_run(meta, LOAM_TXN_GUESS, set_length, &truncate, &truncate.bulk, err);
	if (rc < 0)
		return rc;
	*out_attr = truncate.attr;
	return 0;
}
