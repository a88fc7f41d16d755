/*
 * The hourly jobs over what removals left behind (delete_data.h): files in delfiles, slices whose
 * reference is below 0, directories that a clone detached and nobody attached.
 *
 * One client of the volume does each job (§8.3): the election counter names the last run. The age
 * is counted on the store's clock. Each page of a listing is gathered first and worked on
 * afterwards: no commit happens inside a listing.
 *
 * Source: volume format document §5.7, §8.3; detached nodes: §4.13.
 */
#include "fs/meta/delete_data.h"

#include "core/auto.h"
#include "core/clock.h"
#include "core/log.h"
#include "fs/meta/clone.h"
#include "fs/meta/meta_internal.h"
#include "fs/meta/session.h"

#include <stdlib.h>
#include <string.h>

#define ELECTION_SECONDS 3240
#define JOB_MS		 (50u * 60 * 1000)
#define FILES_MAX	 600000

struct found {
	uint64_t id, sub;
	int64_t value;
};

/* One page of a listing of numbers. */
struct page {
	int64_t below; /* only values under this */
	struct found *found;
	size_t count, capacity;
};

/* Decimal text, or false: a damaged value is left for fsck. */
static bool number_of(const void *data, size_t data_bytes, int64_t *out)
{
	char text[24] = "";
	if (data_bytes == 0 || data_bytes >= sizeof(text))
		return false;
	memcpy(text, data, data_bytes);
	char *end;
	*out = strtoll(text, &end, 10);
	return *end == '\0' || *end == '.'; /* scores may be printed with a fraction */
}

static int gather(void *arg, const struct loam_record *record, const void *data, size_t data_bytes)
{
	struct page *page = arg;
	int64_t value;
	if (!number_of(data, data_bytes, &value) || value >= page->below)
		return 0;
	if (page->count == page->capacity) {
		size_t capacity = page->capacity ? 2 * page->capacity : 256;
		struct found *found = realloc(page->found, capacity * sizeof(*found));
		if (!found)
			return -LOAM_E_BUSY;
		page->found = found;
		page->capacity = capacity;
	}
	page->found[page->count++] =
		(struct found){ .id = record->id, .sub = record->sub, .value = value };
	return 0;
}

typedef int found_fn(struct loam_meta *meta, const struct found *found, struct loam_err *err);

/* Calls run for every record of the kind whose value is under `below`. One that fails is left for
 * the next hour; the listing itself must not fail. */
static int each_below(struct loam_meta *meta, enum loam_record_kind kind, int64_t below,
		      found_fn *run, struct loam_err *err)
{
	struct loam_engine *engine = loam_meta_engine(meta);
	struct loam_deadline deadline = loam_deadline_in(JOB_MS);
	uint64_t cursor = 0;
	size_t done = 0;
	do {
		struct page page = { .below = below };
		int rc = engine->ops->scan(engine, kind, 0, &cursor, NULL, gather, &page, err);
		if (rc == 0 && page.count > 0 && kind == LOAM_REC_SLICE_REF)
			rc = loam_meta_settle(meta, err);
		for (size_t i = 0; rc == 0 && i < page.count; i++) {
			struct loam_err failed = { 0 };
			if (run(meta, &page.found[i], &failed) < 0)
				loam_debug("meta.cleanup", "error=%s", failed.text);
		}
		done += page.count;
		free(page.found);
		if (rc < 0)
			return err->code ? rc : loam_fail(err, LOAM_E_BUSY, "no memory for a page");
	} while (cursor != 0 && done < FILES_MAX && loam_deadline_left_ms(deadline) > 0);
	return 0;
}

static int clean_file(struct loam_meta *meta, const struct found *found, struct loam_err *err)
{
	return loam_delete_file_data(meta, found->id, found->sub, err);
}

static int drop_zero(struct loam_txn *txn, void *arg, struct loam_err *err)
{
	const struct found *found = arg;
	struct loam_record record = loam_rec(LOAM_REC_SLICE_REF, found->id, found->sub);
	const struct loam_value *value;
	int present = loam_txn_read(txn, &record, &value, err);
	if (present <= 0)
		return present;
	if (value->bytes == 1 && value->data[0] == '0')
		loam_txn_delete(txn, &record);
	return 0;
}

/* 0 means one reference, as absence does; -1 means none; anything lower is damage, left for fsck.
 */
static int clean_slice(struct loam_meta *meta, const struct found *found, struct loam_err *err)
{
	struct found copy = *found;
	if (found->value == -1)
		return loam_delete_slice(meta, found->id, (uint32_t)found->sub, err);
	if (found->value == 0)
		return loam_meta_run(meta, 0, drop_zero, &copy, err);
	return 0;
}

static int clean_detached(struct loam_meta *meta, const struct found *found, struct loam_err *err)
{
	return loam_clone_discard_stale(meta, found->id, found->value, err);
}

int loam_delete_data_hourly(struct loam_meta *meta, int64_t file_age_seconds,
			    int64_t detached_age_seconds, struct loam_err *err)
{
	int64_t now;
	struct loam_engine *engine = loam_meta_engine(meta);
	int rc = engine->ops->now(engine, &now, err);
	if (rc < 0)
		return rc;

	int elected = loam_session_elect(meta, "lastCleanupFiles", ELECTION_SECONDS, err);
	if (elected < 0)
		return elected;
	if (elected) {
		rc = each_below(meta, LOAM_REC_DELFILE, now - file_age_seconds, clean_file, err);
		if (rc == 0)
			rc = each_below(meta, LOAM_REC_DETACHED, now - detached_age_seconds,
					clean_detached, err);
		if (rc < 0)
			return rc;
	}

	elected = loam_session_elect(meta, "nextCleanupSlices", ELECTION_SECONDS, err);
	if (elected <= 0)
		return elected;
	return each_below(meta, LOAM_REC_SLICE_REF, 1, clean_slice, err);
}
