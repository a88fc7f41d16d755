/*
 * A bounded pool of threads with a bounded queue (core/pool.h).
 *
 * Invariant: jobs[first .. first + count) of the ring wait; everything is under `lock`, jobs run
 * without it. Workers block all signals: those are for the main thread.
 */
#include "core/pool.h"

#include "core/auto.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define THREAD_NAME_BYTES 16 /* the kernel's limit */

struct job {
	loam_job_fn *run;
	void *arg;
};

struct loam_pool {
	pthread_mutex_t lock;
	pthread_cond_t has_job;
	pthread_cond_t has_room;
	struct job *jobs; /* ring of queue_max */
	size_t queue_max, first, count;
	bool ending;
	pthread_t *threads;
	size_t thread_count; /* that were started */
	char name[THREAD_NAME_BYTES];
};

/* false: nothing waits and the pool is ending. */
static bool take(struct loam_pool *pool, struct job *out)
{
	loam_guard(&pool->lock);
	while (pool->count == 0 && !pool->ending)
		pthread_cond_wait(&pool->has_job, &pool->lock);
	if (pool->count == 0)
		return false;
	*out = pool->jobs[pool->first];
	pool->first = (pool->first + 1) % pool->queue_max;
	pool->count--;
	pthread_cond_signal(&pool->has_room);
	return true;
}

static void put(struct loam_pool *pool, struct job job)
{
	pool->jobs[(pool->first + pool->count) % pool->queue_max] = job;
	pool->count++;
	pthread_cond_signal(&pool->has_job);
}

static void *work(void *arg)
{
	struct loam_pool *pool = arg;
	pthread_setname_np(pthread_self(), pool->name);
	struct job job;
	while (take(pool, &job))
		job.run(job.arg);
	return NULL;
}

static int start_threads(struct loam_pool *pool, size_t thread_count, struct loam_err *err)
{
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int failed = 0;
	while (failed == 0 && pool->thread_count < thread_count) {
		failed = pthread_create(&pool->threads[pool->thread_count], NULL, work, pool);
		if (failed == 0)
			pool->thread_count++;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (failed)
		return loam_fail(err, LOAM_E_BUSY, "thread %zu of pool %s: %s",
				 pool->thread_count + 1, pool->name, strerror(failed));
	return 0;
}

int loam_pool_new(const char *name, size_t thread_count, size_t queue_max,
		  struct loam_pool **out_pool, struct loam_err *err)
{
	loam_assert(thread_count > 0 && queue_max > 0);
	struct loam_pool *pool = loam_xnew(struct loam_pool);
	pthread_mutex_init(&pool->lock, NULL);
	pthread_cond_init(&pool->has_job, NULL);
	pthread_cond_init(&pool->has_room, NULL);
	pool->queue_max = queue_max;
	pool->jobs = loam_xcalloc(queue_max, sizeof(*pool->jobs));
	pool->threads = loam_xcalloc(thread_count, sizeof(*pool->threads));
	snprintf(pool->name, sizeof(pool->name), "%s", name);

	int rc = start_threads(pool, thread_count, err);
	if (rc < 0) {
		loam_pool_free(pool);
		return rc;
	}
	*out_pool = pool;
	return 0;
}

void loam_pool_submit(struct loam_pool *pool, loam_job_fn *run, void *arg)
{
	loam_guard(&pool->lock);
	loam_assert(!pool->ending);
	while (pool->count == pool->queue_max)
		pthread_cond_wait(&pool->has_room, &pool->lock);
	put(pool, (struct job){ run, arg });
}

bool loam_pool_try(struct loam_pool *pool, loam_job_fn *run, void *arg)
{
	loam_guard(&pool->lock);
	loam_assert(!pool->ending);
	if (pool->count == pool->queue_max)
		return false;
	put(pool, (struct job){ run, arg });
	return true;
}

static void announce_end(struct loam_pool *pool)
{
	loam_guard(&pool->lock);
	pool->ending = true;
	pthread_cond_broadcast(&pool->has_job);
}

void loam_pool_free(struct loam_pool *pool)
{
	if (!pool)
		return;
	announce_end(pool);
	for (size_t i = 0; i < pool->thread_count; i++)
		pthread_join(pool->threads[i], NULL);
	pthread_cond_destroy(&pool->has_room);
	pthread_cond_destroy(&pool->has_job);
	pthread_mutex_destroy(&pool->lock);
	free(pool->jobs);
	free(pool->threads);
	free(pool);
}
