/*
 * Inode and slice numbers (steps 3, 4 and 8 of the push: every new file and every slice).
 *
 * A batch in use and one spare for each counter. When a tenth of the batch is left, one job fetches
 * the spare; when a batch ends before the spare is there, the caller waits for it. A fetch is the
 * only place that talks to the store, never with the lock held.
 *
 * Slice numbers name blocks, which outlive a store that comes back without its last second: given a
 * second time, a number would find other bytes under its keys. So a batch of them is made durable
 * before one is used.
 */
#include "fs/meta/ids.h"

#include "core/auto.h"
#include "core/log.h"
#include "fs/meta/meta_internal.h"

#define INODE_BATCH 1024u
#define SLICE_BATCH 4096u

struct kind {
	const char *counter;
	uint64_t batch;
	uint64_t first; /* smallest number that may be given */
	bool settles;	/* durable before use */
};

static const struct kind inode_kind = { "nextinode", INODE_BATCH, 2, false };
static const struct kind slice_kind = { "nextchunk", SLICE_BATCH, 1, true };

void loam_ids_init(struct loam_ids *ids)
{
	pthread_mutex_init(&ids->lock, NULL);
	pthread_cond_init(&ids->fetched, NULL);
}

void loam_ids_release(struct loam_ids *ids)
{
	loam_pool_free(ids->pool);
	ids->pool = NULL;
	pthread_cond_destroy(&ids->fetched);
	pthread_mutex_destroy(&ids->lock);
}

/* Adds to the counter and puts what was won into the spare. Without the lock. */
static int fetch(struct loam_meta *meta, const struct kind *kind, struct loam_ids_batch *batch,
		 struct loam_err *err)
{
	int64_t last = 0;
	int rc = loam_rules_alive(meta, err);
	if (rc == 0)
		rc = meta->engine->ops->add(meta->engine, kind->counter, (int64_t)kind->batch,
					    &last, err);
	if (rc == 0 && kind->settles)
		rc = loam_meta_settle(meta, err);
	loam_guard(&meta->ids.lock);
	batch->fetching = false;
	pthread_cond_broadcast(&meta->ids.fetched);
	if (rc < 0)
		return loam_context(err, "take numbers from %s", kind->counter);

	uint64_t from = (uint64_t)last - kind->batch + 1;
	if (last < (int64_t)kind->batch || from <= batch->highest) {
		atomic_store(&meta->session.dead, true);
		return loam_fail(err, LOAM_E_IO,
				 "%s went back to %lld although %llu was given already",
				 kind->counter, (long long)last,
				 (unsigned long long)batch->highest);
	}
	batch->highest = (uint64_t)last;
	batch->spare_next = from < kind->first ? kind->first : from;
	batch->spare_end = (uint64_t)last + 1;
	return 0;
}

static void fetch_ahead(struct loam_meta *meta, const struct kind *kind,
			struct loam_ids_batch *batch)
{
	struct loam_err err = { 0 };
	if (fetch(meta, kind, batch, &err) < 0)
		loam_debug("meta.ids", "counter=%s error=%s", kind->counter, err.text);
}

static void fetch_inodes(void *arg)
{
	struct loam_meta *meta = arg;
	fetch_ahead(meta, &inode_kind, &meta->ids.inodes);
}

static void fetch_slices(void *arg)
{
	struct loam_meta *meta = arg;
	fetch_ahead(meta, &slice_kind, &meta->ids.slices);
}

/* With the lock: asks the background thread for a spare when little is left. */
static void want_spare(struct loam_meta *meta, const struct kind *kind,
		       struct loam_ids_batch *batch)
{
	struct loam_ids *ids = &meta->ids;
	bool low = batch->end - batch->next <= kind->batch / 10;
	if (!low || batch->fetching || batch->spare_next < batch->spare_end || !ids->pool)
		return;

	batch->fetching =
		loam_pool_try(ids->pool, kind == &inode_kind ? fetch_inodes : fetch_slices, meta);
}

static int take(struct loam_meta *meta, const struct kind *kind, struct loam_ids_batch *batch,
		uint64_t *out_id, struct loam_err *err)
{
	struct loam_ids *ids = &meta->ids;
	for (;;) {
		pthread_mutex_lock(&ids->lock);
		if (!ids->pool && loam_pool_new("ids", 1, 4, &ids->pool, err) < 0) {
			pthread_mutex_unlock(&ids->lock);
			return -(int)err->code;
		}
		while (batch->next == batch->end && batch->fetching)
			pthread_cond_wait(&ids->fetched, &ids->lock);
		if (batch->next == batch->end && batch->spare_next < batch->spare_end) {
			batch->next = batch->spare_next;
			batch->end = batch->spare_end;
			batch->spare_next = batch->spare_end;
		}
		if (batch->next < batch->end) {
			*out_id = batch->next++;
			want_spare(meta, kind, batch);
			pthread_mutex_unlock(&ids->lock);
			return 0;
		}
		batch->fetching = true;
		pthread_mutex_unlock(&ids->lock);

		int rc = fetch(meta, kind, batch, err);
		if (rc < 0)
			return rc;
	}
}

int loam_meta_new_inode(struct loam_meta *meta, uint64_t *out_ino, struct loam_err *err)
{
	int rc = loam_rules_writable(meta, err);
	if (rc < 0)
		return rc;

	return take(meta, &inode_kind, &meta->ids.inodes, out_ino, err);
}

int loam_meta_new_slice(struct loam_meta *meta, uint64_t *out_id, struct loam_err *err)
{
	int rc = loam_rules_writable(meta, err);
	if (rc < 0)
		return rc;

	return take(meta, &slice_kind, &meta->ids.slices, out_id, err);
}
