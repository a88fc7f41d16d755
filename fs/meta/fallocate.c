/*
 * fallocate(2): a longer file, a punched hole, a zeroed range. Nothing is reserved: blocks exist
 * when they are written. What lies beyond the old end reads as zeros already (truncate.c), so plain
 * allocation writes the length alone.
 *
 * Source: volume format document §4.5 (fallocate).
 */
#include "fs/meta/content.h"

#include "core/clock.h"
#include "core/limits.h"
#include "fs/meta/rules.h"

#include <linux/falloc.h>

struct allocate {
	struct loam_meta *meta;
	const struct loam_who *who;
	uint64_t ino;
	unsigned mode;
	uint64_t offset, bytes;
	struct loam_attr attr;
	struct loam_bulk bulk;
};

static int check_request(unsigned mode, uint64_t offset, uint64_t bytes, struct loam_err *err)
{
	const unsigned moves = FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_INSERT_RANGE;
	const unsigned known =
		FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE | moves;
	if ((mode & moves) && (mode & (mode - 1)))
		return loam_fail(err, LOAM_E_INVALID, "fallocate mode %#x", mode);
	if ((mode & moves) || (mode & ~known))
		return loam_fail(err, LOAM_E_UNSUPPORTED, "fallocate mode %#x", mode);
	if ((mode & FALLOC_FL_PUNCH_HOLE) && !(mode & FALLOC_FL_KEEP_SIZE))
		return loam_fail(err, LOAM_E_INVALID, "fallocate mode %#x", mode);
	if (bytes == 0)
		return loam_fail(err, LOAM_E_INVALID, "fallocate of no bytes");
	if (offset > LOAM_FILE_BYTES_MAX || bytes > LOAM_FILE_BYTES_MAX - offset)
		return loam_fail(err, LOAM_E_TOO_LARGE, "a file of %llu + %llu bytes",
				 (unsigned long long)offset, (unsigned long long)bytes);
	return 0;
}

static int may_allocate(struct allocate *allocate, struct loam_err *err)
{
	const struct loam_attr *attr = &allocate->attr;
	if (attr->flags & LOAM_FLAG_IMMUTABLE)
		return loam_fail(err, LOAM_E_NOT_PERMITTED, "the file is immutable");
	if ((attr->flags & LOAM_FLAG_APPEND) && (allocate->mode & ~FALLOC_FL_KEEP_SIZE))
		return loam_fail(err, LOAM_E_NOT_PERMITTED, "the file is append-only");
	return loam_rules_access(allocate->meta, allocate->who, allocate->ino, attr, 2, err);
}

static int allocate_range(struct loam_txn *txn, void *arg, struct loam_err *err)
{
	struct allocate *allocate = arg;
	allocate->bulk.needed = false;
	loam_txn_want_attr(txn, allocate->ino);
	int rc = loam_content_attr(txn, allocate->ino, &allocate->attr, err);
	if (rc < 0)
		return rc;
	rc = may_allocate(allocate, err);
	if (rc < 0)
		return rc;

	uint64_t old = allocate->attr.length;
	uint64_t end = allocate->offset + allocate->bytes;
	if (allocate->mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) {
		rc = loam_content_zero(txn, allocate->ino, allocate->offset, end < old ? end : old,
				       &allocate->bulk, err);
		if (rc < 0 || allocate->bulk.needed)
			return rc;
	}
	uint64_t length = end > old && !(allocate->mode & FALLOC_FL_KEEP_SIZE) ? end : old;
	if (allocate->who->uid != 0)
		loam_content_drop_privileges(txn, allocate->ino, &allocate->attr);
	return loam_content_commit(txn, allocate->ino, &allocate->attr, length, loam_clock_now(),
				   err);
}

int loam_meta_fallocate(struct loam_meta *meta, const struct loam_who *who, uint64_t ino,
			unsigned mode, uint64_t offset, uint64_t bytes, struct loam_attr *out_attr,
			struct loam_err *err)
{
	int rc = check_request(mode, offset, bytes, err);
	if (rc < 0)
		return rc;

	struct allocate allocate = {
		.meta = meta, .who = who, .ino = ino, .mode = mode, .offset = offset, .bytes = bytes
	};
	rc = loam_content_run(meta, LOAM_TXN_GUESS, allocate_range, &allocate, &allocate.bulk, err);
	if (rc < 0)
		return rc;
	*out_attr = allocate.attr;
	return 0;
}
