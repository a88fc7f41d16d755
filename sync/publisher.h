/*
 * What a publisher holds (private to sync/): one per process and volume.
 */
#ifndef LOAM_SYNC_PUBLISHER_H
#define LOAM_SYNC_PUBLISHER_H

#include "core/pool.h"
#include "lfs/staging.h"
#include "sync/publish.h"

#include <pthread.h>
#include <stdatomic.h>

#define LOAM_PUBLISHES_MAX 8 /* at once in one process */

struct loam_publisher {
	const struct loam_tree *tree;
	char *git_root;
	atomic_bool met_foreign; /* a repository that does not stand below git_root */
	struct loam_lfs *lfs;	 /* NULL: the pool is not swept */
	uint64_t pool_swept_ms;
	struct loam_staging *staging;
	struct loam_pool *discards; /* removes jobs with what was replaced */
	pthread_mutex_t lock;	    /* busy, reconciler */
	pthread_cond_t freed;
	char *busy[LOAM_PUBLISHES_MAX]; /* names of repositories being published */
	bool reconciling, stopping;
	struct loam_repo soon[LOAM_PUBLISHES_MAX]; /* to be looked at before the next round */
	size_t soon_count;
	uint64_t round_ms; /* from one round to the next */
	pthread_t reconciler;
};

/* Hands a job over to be removed in the background. Accepts NULL. */
void loam_publisher_discard(struct loam_publisher *publisher, struct loam_job *job);

#endif
