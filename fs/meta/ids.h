/*
 * Numbers for new inodes and slices, taken from the store in batches.
 *
 * Shape:   the counter holds the last number handed out: adding n and getting R gives this process
 *          R-n+1 … R. Inodes 0 and 1 are never given.
 * Threads: any. The next batch is fetched in the background when about a tenth is left, so that an
 *          operation waits for a number only when the first batch of a process is due.
 * Errors:  IO when a counter went back (the store was restored to an older state): numbers would be
 *          given twice, so the volume is not used any more.
 * Source:  volume format document §2.6, §11.1 item 4.
 */
#ifndef LOAM_FS_META_IDS_H
#define LOAM_FS_META_IDS_H

#include "core/pool.h"
#include "fs/meta/meta.h"

#include <pthread.h>

struct loam_ids_batch {
	uint64_t next, end;		/* of the batch in use: [next, end) */
	uint64_t spare_next, spare_end; /* fetched ahead */
	uint64_t highest;		/* largest number ever seen */
	bool fetching;
};

struct loam_ids {
	pthread_mutex_t lock; /* both batches */
	pthread_cond_t fetched;
	struct loam_ids_batch inodes, slices;
	struct loam_pool *pool; /* one thread: fetches ahead; NULL until the first batch */
};

void loam_ids_init(struct loam_ids *ids);
/* Ends the background thread. Accepts a half-built object. */
void loam_ids_release(struct loam_ids *ids);

#endif
