/*
 * Chunks, slices and their references (fs/fsck.h): V04, V06, and which slices there are, for V05.
 *
 * A reference count is compared with the records that name the slice, in chunks and in delayed
 * deletions. Suspects are counted once more between two readings of their count: equal readings
 * mean that no record came or went.
 */
#include "core/endian.h"
#include "fs/fsck_internal.h"

#include <string.h>

typedef unsigned long long ull;

/* ---- records of chunks ----------------------------------------------------------------------- */

static struct loam_slice raw_record(const uint8_t *at)
{
	return (struct loam_slice){ .pos = loam_be32_get(at),
				    .id = loam_be64_get(at + 4),
				    .size = loam_be32_get(at + 12),
				    .off = loam_be32_get(at + 16),
				    .len = loam_be32_get(at + 20) };
}

/* What is wrong with a record, NULL when nothing is. */
static const char *record_fault(const struct loam_slice *slice)
{
	if ((uint64_t)slice->pos + slice->len > LOAM_CHUNK_BYTES)
		return "reaches past its chunk";
	if (slice->id == 0)
		return NULL;
	if (slice->size == 0 || slice->size > LOAM_CHUNK_BYTES)
		return "names a slice of impossible size";
	if ((uint64_t)slice->off + slice->len > slice->size)
		return "reaches past its slice";
	return NULL;
}

static void judge_chunk(struct loam_fsck *fsck, const struct loam_record *record,
			const struct loam_value *value)
{
	if (record->kind == LOAM_REC_DELSLICES) {
		if (value->bytes % LOAM_DELSLICE_BYTES != 0)
			loam_fsck_report(fsck, "V04", "delayed slices %llu_%llu: %u bytes",
					 (ull)record->id, (ull)record->sub, value->bytes);
		return;
	}
	if (value->bytes == 0 || value->bytes % LOAM_SLICE_BYTES != 0) {
		loam_fsck_report(fsck, "V04", "chunk %llu of inode %llu: a list of %u bytes",
				 (ull)record->sub, (ull)record->id, value->bytes);
		return;
	}
	for (uint32_t i = 0; i < value->bytes / LOAM_SLICE_BYTES; i++) {
		struct loam_slice slice = raw_record(value->data + i * LOAM_SLICE_BYTES);
		const char *fault = record_fault(&slice);
		if (fault)
			loam_fsck_report(fsck, "V04",
					 "chunk %llu of inode %llu: record %u %s (at %u, slice "
					 "%llu of %u bytes, %u + %u)",
					 (ull)record->sub, (ull)record->id, i, fault, slice.pos,
					 (ull)slice.id, slice.size, slice.off, slice.len);
	}
}

static void name_slice(struct loam_fsck *fsck, const struct loam_record *record, uint64_t id,
		       uint32_t size)
{
	struct loam_fsck_slice *slice = loam_fsck_slice_of(fsck, id, size);
	slice->records++;
	slice->holder = *record;
	if (id > fsck->max_slice)
		fsck->max_slice = id;
}

static int seen_chunk(void *arg, const struct loam_record *record, const void *data, size_t bytes)
{
	struct loam_fsck *fsck = arg;
	loam_fsck_inode_of(fsck, record->id)->has_chunks = true;
	bool odd = bytes == 0 || bytes % LOAM_SLICE_BYTES != 0;
	for (size_t at = 0; at + LOAM_SLICE_BYTES <= bytes; at += LOAM_SLICE_BYTES) {
		struct loam_slice slice = raw_record((const uint8_t *)data + at);
		odd = odd || record_fault(&slice);
		if (slice.id != 0)
			name_slice(fsck, record, slice.id, slice.size);
	}
	if (odd)
		loam_fsck_odd_add(fsck, record);
	return 0;
}

static int seen_delayed(void *arg, const struct loam_record *record, const void *data, size_t bytes)
{
	struct loam_fsck *fsck = arg;
	struct loam_err broken = { 0 };
	uint64_t id;
	uint32_t size;
	if (bytes % LOAM_DELSLICE_BYTES != 0)
		loam_fsck_odd_add(fsck, record);
	for (size_t i = 0; loam_delslice_decode(data, bytes, i, &id, &size, &broken) == 1; i++)
		name_slice(fsck, record, id, size);
	return 0;
}

static void see_reference(struct loam_fsck_slice *slice, const void *data, size_t bytes)
{
	slice->has_reference = true;
	slice->bad_reference = !loam_fsck_number(data, bytes, &slice->reference);
}

static int seen_reference(void *arg, const struct loam_record *record, const void *data,
			  size_t bytes)
{
	struct loam_fsck *fsck = arg;
	if (record->sub > UINT32_MAX) {
		loam_fsck_odd_add(fsck, record);
		return 0;
	}
	struct loam_fsck_slice *slice = loam_fsck_slice_of(fsck, record->id, (uint32_t)record->sub);
	see_reference(slice, data, bytes);
	return 0;
}

static void judge_reference_name(struct loam_fsck *fsck, const struct loam_record *record,
				 const struct loam_value *value)
{
	loam_fsck_report(fsck, "meta-5", "a reference count of slice %llu of %llu bytes",
			 (ull)record->id, (ull)record->sub);
}

int loam_fsck_list_slices(struct loam_fsck *fsck, struct loam_err *err)
{
	int rc = loam_fsck_scan(fsck, LOAM_REC_CHUNK, "chunks", seen_chunk, err);
	if (rc == 0)
		rc = loam_fsck_scan(fsck, LOAM_REC_DELSLICES, "delayed slices", seen_delayed, err);
	if (rc == 0)
		rc = loam_fsck_odd_judge(fsck, judge_chunk, err);
	if (rc == 0)
		rc = loam_fsck_scan(fsck, LOAM_REC_SLICE_REF, "reference counts", seen_reference,
				    err);
	return rc < 0 ? rc : loam_fsck_odd_judge(fsck, judge_reference_name, err);
}

int loam_fsck_list_held(struct loam_fsck *fsck, struct loam_err *err)
{
	fsck->again = true;
	int rc = loam_fsck_scan(fsck, LOAM_REC_CHUNK, "chunks", seen_chunk, err);
	return rc < 0 ? rc
		      : loam_fsck_scan(fsck, LOAM_REC_DELSLICES, "delayed slices", seen_delayed,
				       err);
}

/* ---- references (V06) ------------------------------------------------------------------------ */

/* What does not fit, NULL when all does. A count of -1 without records waits for its deletion. */
static const char *reference_fault(const struct loam_fsck_slice *slice)
{
	if (slice->bad_reference)
		return "meta-5";
	if (!slice->has_reference)
		return slice->records > 1 ? "V06" : NULL;
	if (slice->reference < -1)
		return "meta-5";
	return slice->reference != slice->records - 1 ? "V06" : NULL;
}

/* Walks all slices, variants too; at the start both are NULL. */
static struct loam_fsck_slice *next_slice(struct loam_fsck *fsck, struct loam_fsck_slice **first,
					  struct loam_fsck_slice *slice)
{
	if (slice && slice->variant)
		return slice->variant;
	*first = *first ? (*first)->hh.next : fsck->slices;
	return *first;
}

static int read_reference(struct loam_fsck *fsck, struct loam_fsck_slice *slice,
			  struct loam_err *err)
{
	struct loam_record record = loam_rec(LOAM_REC_SLICE_REF, slice->id, slice->size);
	struct loam_value value = { 0 };
	int rc = loam_fsck_read(fsck, &record, &value, err);
	slice->has_reference = slice->bad_reference = false;
	slice->reference = 0;
	if (rc == 0 && value.present)
		see_reference(slice, value.data, value.bytes);
	loam_value_release(&value);
	return rc;
}

/* The list is counted once; the name tells chunks from delayed deletions. */
static bool first_time(struct loam_fsck *fsck, const struct loam_record *record)
{
	char text[32];
	const struct loam_fsck_name *unused;
	snprintf(text, sizeof(text), "%d %llu", (int)record->kind, (ull)record->sub);
	return loam_fsck_name_add(fsck, record->id, loam_name_of(text), 0, &unused);
}

static struct loam_fsck_slice *suspect_of(struct loam_fsck *fsck, uint64_t id, uint32_t size)
{
	struct loam_fsck_slice *slice = id ? loam_fsck_slice_find(fsck, id, size) : NULL;
	return slice && slice->suspect ? slice : NULL;
}

static int count_chunk(void *arg, const struct loam_record *record, const void *data, size_t bytes)
{
	struct loam_fsck *fsck = arg;
	bool counts = false, known = false;
	for (size_t at = 0; at + LOAM_SLICE_BYTES <= bytes; at += LOAM_SLICE_BYTES) {
		struct loam_slice raw = raw_record((const uint8_t *)data + at);
		struct loam_fsck_slice *slice = suspect_of(fsck, raw.id, raw.size);
		if (!slice)
			continue;
		if (!known)
			counts = first_time(fsck, record);
		known = true;
		slice->records += counts;
		slice->holder = *record;
	}
	return 0;
}

static int count_delayed(void *arg, const struct loam_record *record, const void *data,
			 size_t bytes)
{
	struct loam_fsck *fsck = arg;
	struct loam_err broken = { 0 };
	bool counts = false, known = false;
	uint64_t id;
	uint32_t size;
	for (size_t i = 0; loam_delslice_decode(data, bytes, i, &id, &size, &broken) == 1; i++) {
		struct loam_fsck_slice *slice = suspect_of(fsck, id, size);
		if (!slice)
			continue;
		if (!known)
			counts = first_time(fsck, record);
		known = true;
		slice->records += counts;
		slice->holder = *record;
	}
	return 0;
}

static void report_reference(struct loam_fsck *fsck, const struct loam_fsck_slice *slice)
{
	const char *fault = reference_fault(slice);
	bool same = slice->has_reference == slice->had_reference &&
		    slice->reference == slice->reference_before;
	if (!fault || !same)
		return;
	if (slice->bad_reference)
		loam_fsck_report(fsck, fault, "the reference count of slice %llu of %u bytes is %s",
				 (ull)slice->id, slice->size, "no number");
	else
		loam_fsck_report(
			fsck, fault,
			"slice %llu of %u bytes: %lld records name it, its count says %lld",
			(ull)slice->id, slice->size, (long long)slice->records,
			slice->has_reference ? (long long)slice->reference + 1 : 1);
}

static int read_suspects(struct loam_fsck *fsck, bool before, struct loam_err *err)
{
	struct loam_fsck_slice *first = NULL, *slice = NULL;
	int rc = 0;
	while (rc == 0 && (slice = next_slice(fsck, &first, slice))) {
		if (!slice->suspect)
			continue;
		rc = read_reference(fsck, slice, err);
		if (!before)
			continue;
		slice->had_reference = slice->has_reference;
		slice->reference_before = slice->reference;
		slice->records = 0;
	}
	return rc;
}

int loam_fsck_check_references(struct loam_fsck *fsck, struct loam_err *err)
{
	struct loam_fsck_slice *first = NULL, *slice = NULL;
	while ((slice = next_slice(fsck, &first, slice))) {
		slice->suspect = reference_fault(slice) != NULL;
		fsck->suspect_slices += slice->suspect;
	}
	if (fsck->suspect_slices == 0)
		return 0;
	fsck->again = true;
	int rc = read_suspects(fsck, true, err);
	if (rc == 0)
		rc = loam_fsck_scan(fsck, LOAM_REC_CHUNK, "chunks of suspects", count_chunk, err);
	if (rc == 0)
		rc = loam_fsck_scan(fsck, LOAM_REC_DELSLICES, "delayed slices", count_delayed, err);
	if (rc == 0)
		rc = read_suspects(fsck, false, err);
	fsck->again = false;
	loam_fsck_names_clear(fsck);
	first = slice = NULL;
	while (rc == 0 && (slice = next_slice(fsck, &first, slice))) {
		if (slice->suspect)
			report_reference(fsck, slice);
	}
	return rc;
}
