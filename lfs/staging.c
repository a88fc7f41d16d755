/*
 * Jobs under /.loam/staging (lfs/staging.h).
 */
#include "lfs/staging.h"

#include "core/auto.h"
#include "core/clock.h"
#include "core/hash.h"
#include "core/log.h"
#include "fs/files.h"

#include <string.h>

#define NAME_CHARS	 20
#define TOUCHES_PER_LIFE 4
#define TOUCH_MS_MAX	 60000

struct loam_job {
	struct loam_staging *staging;
	char name[NAME_CHARS + 1];
	uint64_t ino;
	struct loam_job *next;
};

struct loam_staging {
	const struct loam_tree *tree;
	uint64_t life_seconds;
	uint64_t dir_ino;
	pthread_mutex_t lock; /* jobs, stopping */
	pthread_cond_t wake;
	struct loam_job *jobs;
	bool stopping;
	pthread_t thread;
};

static int touch(struct loam_staging *staging, uint64_t ino, struct loam_err *err)
{
	struct loam_meta *meta = staging->tree->volume->meta;
	struct loam_engine *engine = loam_meta_engine(meta);
	int64_t now;
	int rc = engine->ops->now(engine, &now, err);
	if (rc < 0)
		return rc;
	struct loam_attr values = { .mtime = { .tv_sec = now } }, attr;
	return loam_meta_setattr(meta, &loam_who_root, ino, LOAM_SET_MTIME, &values, &attr, err);
}

/* With the lock held: the inodes of all jobs, so that no trip is made under the lock. */
static uint64_t *copy_inos(struct loam_staging *staging, size_t *out_count)
{
	size_t count = 0;
	for (struct loam_job *job = staging->jobs; job; job = job->next)
		count++;
	uint64_t *inos = loam_xcalloc(count, sizeof(*inos));
	*out_count = 0;
	for (struct loam_job *job = staging->jobs; job; job = job->next)
		inos[(*out_count)++] = job->ino;
	return inos;
}

static void touch_all(struct loam_staging *staging)
{
	size_t count;
	pthread_mutex_lock(&staging->lock);
	loam_auto_free uint64_t *inos = copy_inos(staging, &count);
	pthread_mutex_unlock(&staging->lock);
	for (size_t i = 0; i < count; i++) {
		struct loam_err err = { 0 };
		if (touch(staging, inos[i], &err) < 0 && err.code != LOAM_E_NOT_FOUND)
			loam_debug("staging.touch", "error=%s", err.text);
	}
}

static void *keep_alive(void *arg)
{
	struct loam_staging *staging = arg;
	uint64_t pause_ms = staging->life_seconds * 1000 / TOUCHES_PER_LIFE;
	if (pause_ms > TOUCH_MS_MAX)
		pause_ms = TOUCH_MS_MAX;
	pthread_mutex_lock(&staging->lock);
	while (!staging->stopping) {
		struct timespec until;
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_sec += (time_t)(pause_ms / 1000);
		until.tv_nsec += (long)(pause_ms % 1000) * 1000000;
		if (until.tv_nsec >= 1000000000) {
			until.tv_sec++;
			until.tv_nsec -= 1000000000;
		}
		pthread_cond_timedwait(&staging->wake, &staging->lock, &until);
		if (staging->stopping)
			break;
		pthread_mutex_unlock(&staging->lock);
		touch_all(staging);
		pthread_mutex_lock(&staging->lock);
	}
	pthread_mutex_unlock(&staging->lock);
	return NULL;
}

static void init_sync(struct loam_staging *staging)
{
	pthread_condattr_t monotonic;
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&staging->wake, &monotonic);
	pthread_condattr_destroy(&monotonic);
	pthread_mutex_init(&staging->lock, NULL);
}

int loam_staging_open(const struct loam_tree *tree, uint64_t life_seconds,
		      struct loam_staging **out_staging, struct loam_err *err)
{
	char path[LOAM_PATH_BYTES_MAX];
	loam_tree_state_path(tree, "staging", path);
	uint64_t ino;
	struct loam_attr attr;
	int rc = loam_files_lookup(tree->volume, path, &ino, &attr, err);
	if (rc < 0)
		return rc;
	struct loam_staging *staging = loam_xnew(struct loam_staging);
	*staging =
		(struct loam_staging){ .tree = tree, .life_seconds = life_seconds, .dir_ino = ino };
	init_sync(staging);
	if (pthread_create(&staging->thread, NULL, keep_alive, staging) != 0) {
		free(staging);
		return loam_fail(err, LOAM_E_BUSY, "no thread for staging");
	}
	*out_staging = staging;
	return 0;
}

void loam_staging_close(struct loam_staging *staging)
{
	if (!staging)
		return;
	pthread_mutex_lock(&staging->lock);
	loam_assert(staging->jobs == NULL);
	staging->stopping = true;
	pthread_cond_signal(&staging->wake);
	pthread_mutex_unlock(&staging->lock);
	pthread_join(staging->thread, NULL);
	pthread_cond_destroy(&staging->wake);
	pthread_mutex_destroy(&staging->lock);
	free(staging);
}

int loam_job_new(struct loam_staging *staging, struct loam_job **out_job, struct loam_err *err)
{
	struct loam_job *job = loam_xnew(struct loam_job);
	job->staging = staging;
	loam_random_base62(job->name, NAME_CHARS);
	const struct loam_who service = { .uid = LOAM_SERVICE_ID, .gid = LOAM_SERVICE_ID };
	struct loam_create create = { .type = LOAM_TYPE_DIR,
				      .mode = 0700,
				      .set_flags = LOAM_FLAG_SKIP_TRASH };
	struct loam_attr attr;
	int rc = loam_meta_create(staging->tree->volume->meta, &service, staging->dir_ino,
				  loam_name_of(job->name), &create, &job->ino, &attr, err);
	if (rc == 0)
		rc = touch(staging, job->ino, err);
	if (rc < 0) {
		free(job);
		return loam_context(err, "make a staging directory");
	}
	loam_guard(&staging->lock);
	job->next = staging->jobs;
	staging->jobs = job;
	*out_job = job;
	return 0;
}

uint64_t loam_job_ino(const struct loam_job *job)
{
	return job->ino;
}

static void forget(struct loam_job *job)
{
	loam_guard(&job->staging->lock);
	struct loam_job **at = &job->staging->jobs;
	while (*at != job)
		at = &(*at)->next;
	*at = job->next;
}

void loam_job_free(struct loam_job *job)
{
	if (!job)
		return;
	forget(job);
	struct loam_err err = { 0 };
	if (loam_meta_remove_tree(job->staging->tree->volume->meta, &loam_who_root,
				  job->staging->dir_ino, loam_name_of(job->name), &err) < 0 &&
	    err.code != LOAM_E_NOT_FOUND)
		loam_debug("staging.remove", "job=%s error=%s", job->name, err.text);
	free(job);
}

int loam_staging_sweep(struct loam_staging *staging, uint64_t *out_removed, struct loam_err *err)
{
	struct loam_meta *meta = staging->tree->volume->meta;
	struct loam_engine *engine = loam_meta_engine(meta);
	struct loam_dir *dir = NULL;
	int64_t now;
	*out_removed = 0;
	int rc = engine->ops->now(engine, &now, err);
	if (rc == 0)
		rc = loam_meta_opendir(meta, staging->dir_ino, true, &dir, err);
	for (size_t i = 0; rc == 0 && i < loam_dir_count(dir); i++) {
		const struct loam_dir_entry *entry = loam_dir_at(dir, i);
		if (!entry->has_attr ||
		    now - entry->attr.mtime.tv_sec <= (int64_t)staging->life_seconds)
			continue;
		rc = loam_meta_remove_tree(meta, &loam_who_root, staging->dir_ino, entry->name,
					   err);
		if (rc == -LOAM_E_NOT_FOUND) { /* another server swept it */
			loam_err_clear(err);
			rc = 0;
		}
		*out_removed += rc == 0;
	}
	loam_dir_close(dir);
	return rc < 0 ? loam_context(err, "sweep staging") : 0;
}
