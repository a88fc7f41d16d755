/*
 * Which records of a chunk a compaction replaces. The bytes are moved by fs/data; the commit is
 * loam_meta_compact().
 *
 * Source: volume format document §5.6.
 */
#ifndef LOAM_FS_META_COMPACT_H
#define LOAM_FS_META_COMPACT_H

#include "fs/meta/meta.h"

#define LOAM_COMPACT_RECORDS_MAX 1000 /* a longer list is compacted in several goes */

/* Records [0, skipped) stay, [skipped, skipped + compacted) become one slice of `size` bytes at
 * `pos` in the chunk, made of `pieces` one behind the other (id 0: zeros). */
struct loam_compact_plan {
	size_t skipped, compacted;
	uint32_t pos, size;
	struct loam_slice *pieces; /* free() */
	size_t piece_count;
};

/*
 * The first LOAM_COMPACT_RECORDS_MAX records are considered. 1: *out is the plan, 0: nothing to do,
 * -CORRUPT.
 * Owner: out->pieces is the caller's when 1 was returned.
 */
int loam_compact_select(const struct loam_slice *records, size_t record_count,
			struct loam_compact_plan *out, struct loam_err *err);

/* Is a chunk worth a compaction after a write left it with this many records? */
bool loam_compact_due(uint64_t record_count);

#endif
