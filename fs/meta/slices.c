/*
 * What a reader sees of a chunk (step 4 and 9 of the push): its records, oldest first, laid one
 * over the other; a newer record hides an older one, id 0 hides with zeros.
 *
 * A sweep from left to right over the borders of all records: the records that begin at or before
 * the present border wait in a heap with the newest on top; those that have ended are dropped when
 * they come to the top. Each record enters and leaves once: O(n log n), for lists of thousands.
 *
 * Pieces of one record that touch are one piece; holes of different origin stay apart, as upstream
 * keeps them (what compaction selects depends on it).
 *
 * Source: volume format document §5.2, golden vectors of its Appendix A.
 */
#include "fs/meta/meta.h"

#include "core/auto.h"

#include <stdlib.h>
#include <string.h>

/* A chunk of this many records is damage, not use: writers compact long before (§5.6). */
#define RECORDS_MAX (1u << 20)

struct sweep {
	const struct loam_slice *records;
	size_t *by_pos; /* indices, ordered by pos */
	size_t by_pos_count, next;
	uint32_t *borders; /* ascending, each once */
	size_t border_count;
	size_t *heap; /* indices of records, the greatest (newest) first */
	size_t heap_count;
};

struct starting {
	uint32_t pos;
	size_t index;
};

static int by_position(const void *a, const void *b)
{
	const struct starting *x = a, *y = b;
	if (x->pos != y->pos)
		return x->pos < y->pos ? -1 : 1;
	return x->index < y->index ? -1 : x->index > y->index;
}

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return x < y ? -1 : x > y;
}

static uint32_t end_of(const struct loam_slice *record)
{
	return record->pos + record->len;
}

static void heap_push(struct sweep *sweep, size_t record)
{
	size_t at = sweep->heap_count++;
	while (at > 0 && sweep->heap[(at - 1) / 2] < record) {
		sweep->heap[at] = sweep->heap[(at - 1) / 2];
		at = (at - 1) / 2;
	}
	sweep->heap[at] = record;
}

static void heap_pop(struct sweep *sweep)
{
	size_t moved = sweep->heap[--sweep->heap_count];
	size_t at = 0;
	for (;;) {
		size_t child = 2 * at + 1;
		if (child >= sweep->heap_count)
			break;
		if (child + 1 < sweep->heap_count && sweep->heap[child + 1] > sweep->heap[child])
			child++;
		if (sweep->heap[child] < moved)
			break;
		sweep->heap[at] = sweep->heap[child];
		at = child;
	}
	sweep->heap[at] = moved;
}

/* The newest record that covers [from, next border), SIZE_MAX for none. */
static size_t newest_at(struct sweep *sweep, uint32_t from)
{
	while (sweep->next < sweep->by_pos_count &&
	       sweep->records[sweep->by_pos[sweep->next]].pos <= from)
		heap_push(sweep, sweep->by_pos[sweep->next++]);
	while (sweep->heap_count > 0 && end_of(&sweep->records[sweep->heap[0]]) <= from)
		heap_pop(sweep);
	return sweep->heap_count > 0 ? sweep->heap[0] : SIZE_MAX;
}

static struct loam_slice part_of(const struct loam_slice *record, uint32_t from, uint32_t to)
{
	struct loam_slice piece = { .pos = from, .len = to - from };
	if (record && record->id > 0) {
		piece.id = record->id;
		piece.size = record->size;
		piece.off = record->off + (from - record->pos);
	}
	return piece;
}

/* Writes the pieces into out (room for one per border); returns how many. */
static size_t run_sweep(struct sweep *sweep, struct loam_slice *out)
{
	size_t count = 0;
	size_t last_record = SIZE_MAX;
	for (size_t i = 0; i + 1 < sweep->border_count; i++) {
		uint32_t from = sweep->borders[i], to = sweep->borders[i + 1];
		size_t record = newest_at(sweep, from);
		if (count > 0 && record == last_record) {
			out[count - 1].len += to - from;
			continue;
		}
		out[count++] =
			part_of(record == SIZE_MAX ? NULL : &sweep->records[record], from, to);
		last_record = record;
	}
	return count;
}

static void order_records(struct sweep *sweep, struct starting *starts, size_t record_count)
{
	size_t count = 0, borders = 0;
	sweep->borders[borders++] = 0;
	for (size_t i = 0; i < record_count; i++) {
		if (sweep->records[i].len == 0)
			continue;
		starts[count++] = (struct starting){ sweep->records[i].pos, i };
		sweep->borders[borders++] = sweep->records[i].pos;
		sweep->borders[borders++] = end_of(&sweep->records[i]);
	}
	qsort(starts, count, sizeof(*starts), by_position);
	for (size_t i = 0; i < count; i++)
		sweep->by_pos[i] = starts[i].index;
	sweep->by_pos_count = count;
	qsort(sweep->borders, borders, sizeof(*sweep->borders), by_value);
	for (size_t i = 0; i < borders; i++) {
		if (i == 0 || sweep->borders[i] != sweep->borders[i - 1])
			sweep->borders[sweep->border_count++] = sweep->borders[i];
	}
}

int loam_slices_resolve(const struct loam_slice *records, size_t record_count,
			struct loam_slice **out_pieces, size_t *out_count, struct loam_err *err)
{
	if (record_count > RECORDS_MAX)
		return loam_fail(err, LOAM_E_CORRUPT, "a chunk of %zu records", record_count);
	for (size_t i = 0; i < record_count; i++) {
		if (records[i].pos > LOAM_CHUNK_BYTES ||
		    records[i].len > LOAM_CHUNK_BYTES - records[i].pos)
			return loam_fail(err, LOAM_E_CORRUPT, "record %zu leaves its chunk", i);
	}

	loam_auto_free struct starting *starts = calloc(record_count + 1, sizeof(*starts));
	loam_auto_free size_t *by_pos = calloc(record_count + 1, sizeof(*by_pos));
	loam_auto_free size_t *heap = calloc(record_count + 1, sizeof(*heap));
	loam_auto_free uint32_t *borders = calloc(2 * record_count + 1, sizeof(*borders));
	struct loam_slice *pieces = calloc(2 * record_count + 1, sizeof(*pieces));
	if (!starts || !by_pos || !heap || !borders || !pieces) {
		free(pieces);
		return loam_fail(err, LOAM_E_BUSY, "no memory for %zu records", record_count);
	}

	struct sweep sweep = {
		.records = records, .by_pos = by_pos, .borders = borders, .heap = heap
	};
	order_records(&sweep, starts, record_count);
	*out_count = run_sweep(&sweep, pieces);
	*out_pieces = pieces;
	return 0;
}
