/*
 * A bounded pool of worker threads with a bounded queue.
 *
 * Threads: submit from any thread; a full queue makes submit wait. Jobs may not submit to their own
 *          pool and wait for it (deadlock).
 */
#ifndef LOAM_CORE_POOL_H
#define LOAM_CORE_POOL_H

#include "core/err.h"

struct loam_pool;
typedef void loam_job_fn(void *arg);

int loam_pool_new(const char *name, size_t thread_count, size_t queue_max,
		  struct loam_pool **out_pool, struct loam_err *err);
/* Waits while the queue is full. */
void loam_pool_submit(struct loam_pool *pool, loam_job_fn *run, void *arg);
/* false when the queue is full: the job was not taken. */
bool loam_pool_try(struct loam_pool *pool, loam_job_fn *run, void *arg);
/* Runs what is queued, then ends the threads. Accepts NULL. */
void loam_pool_free(struct loam_pool *pool);

#endif
