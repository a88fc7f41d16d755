/*
 * Which records a compaction replaces (fs/meta/compact.h): a pure function, the same choice as the
 * official client makes, so that two clients do not undo each other's work.
 *
 * Large records at the front that stand whole in what a reader sees are left alone: rewriting them
 * again and again would cost more than it gains.
 *
 * Source: volume format document §5.6, golden vectors of its Appendix A.
 */
#include "fs/meta/compact.h"

#include "core/auto.h"

#include <stdlib.h>
#include <string.h>

#define SKIP_BYTES_MIN (1u << 20) /* a smaller record is never left alone */
#define SKIP_SHARE     5	  /* nor one under a fifth of the whole */

/* What all the records show, without holes at its ends. */
static int trimmed(const struct loam_slice *records, size_t record_count,
		   struct loam_compact_plan *out, struct loam_err *err)
{
	loam_auto_free struct loam_slice *pieces = NULL;
	size_t count;
	int rc = loam_slices_resolve(records, record_count, &pieces, &count, err);
	if (rc < 0)
		return rc;

	size_t first = 0;
	uint32_t pos = 0;
	while (count > 1 && pieces[first].id == 0) {
		pos += pieces[first].len;
		first++;
		count--;
	}
	while (count > 1 && pieces[first + count - 1].id == 0)
		count--;
	if (count == 1 && pieces[first].id == 0)
		pieces[first].len = 1;

	uint32_t size = 0;
	for (size_t i = 0; i < count; i++)
		size += pieces[first + i].len;
	memmove(pieces, pieces + first, count * sizeof(*pieces));
	*out = (struct loam_compact_plan){
		.pos = pos, .size = size, .piece_count = count, .pieces = loam_steal(&pieces)
	};
	return 0;
}

static bool same_record(const struct loam_slice *a, const struct loam_slice *b)
{
	return a->pos == b->pos && a->id == b->id && a->size == b->size && a->off == b->off &&
	       a->len == b->len;
}

/* May the first of these records stay as it is? plan: what all of them show. */
static bool first_stays(const struct loam_slice *records, size_t record_count,
			const struct loam_compact_plan *plan)
{
	const struct loam_slice *first = &records[0];
	if (first->len < SKIP_BYTES_MIN || plan->size == 0 ||
	    (uint64_t)first->len * SKIP_SHARE < plan->size)
		return false;

	const struct loam_slice *seen = &plan->pieces[0];
	if (plan->pos != first->pos || seen->id != first->id || seen->off != first->off ||
	    seen->len != first->len)
		return false;
	for (size_t i = 1; i < record_count; i++) {
		if (same_record(first, &records[i]))
			return false;
	}
	return true;
}

int loam_compact_select(const struct loam_slice *records, size_t record_count,
			struct loam_compact_plan *out, struct loam_err *err)
{
	if (record_count > LOAM_COMPACT_RECORDS_MAX)
		record_count = LOAM_COMPACT_RECORDS_MAX;

	for (size_t skipped = 0; record_count - skipped >= 2; skipped++) {
		struct loam_compact_plan plan;
		int rc = trimmed(records + skipped, record_count - skipped, &plan, err);
		if (rc < 0)
			return rc;
		if (first_stays(records + skipped, record_count - skipped, &plan)) {
			free(plan.pieces);
			continue;
		}
		if (plan.size == 0) {
			free(plan.pieces);
			return 0;
		}
		plan.skipped = skipped;
		plan.compacted = record_count - skipped;
		*out = plan;
		return 1;
	}
	return 0;
}

bool loam_compact_due(uint64_t record_count)
{
	return record_count > 350 || record_count % 100 == 99;
}
