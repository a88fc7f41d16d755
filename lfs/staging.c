/*
 * Jobs below /.loam/staging (lfs/staging.h): steps 3 and 8 of a push.
 *
 * A young job costs one transaction: its name carries its first sign of life. Later ones are an
 * xattr, set by the thread below, never a time stamp of the file: those come from the clock of
 * whatever node wrote last.
 *
 * Locks: `lock` guards the list, `beating`, `stopping` and the clock; no call to the store under
 * it. A job leaves the list only while no round of signs is under way, so that nothing is written
 * to it behind loam_job_seal().
 */
#include "lfs/staging.h"

#include "core/auto.h"
#include "core/clock.h"
#include "core/failpoint.h"
#include "core/hash.h"
#include "core/log.h"
#include "fs/files.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <uthash.h>
#include <utlist.h>

#define JOB_NAME_BYTES	   48
#define BEAT_MS_MIN	   250
#define BEAT_MS_MAX	   60000
#define RANDOM_BYTES	   20
#define SECONDS_TEXT_BYTES 24
#define JOBS_MAX	   4096 /* at once in this process */

struct loam_job {
	struct loam_staging *staging;
	char name[JOB_NAME_BYTES];
	uint64_t ino;
	struct loam_job *prev, *next; /* prev NULL: not in the list */
};

struct loam_staging {
	const struct loam_tree *tree;
	uint64_t dir;
	uint64_t life_seconds, beat_ms;
	pthread_t thread;
	bool has_thread;

	pthread_mutex_t lock;
	pthread_cond_t wake, beaten;
	struct loam_job *jobs;
	size_t job_count;
	bool beating, stopping;
	int64_t clock_ms; /* the store's clock minus our monotonic one */
};

/* ---- the clock ------------------------------------------------------------------------------- */

static int ask_clock(struct loam_staging *staging, struct loam_err *err)
{
	struct loam_engine *engine = loam_meta_engine(staging->tree->volume->meta);
	int64_t seconds;
	int rc = engine->ops->now(engine, &seconds, err);
	if (rc < 0)
		return rc;
	loam_guard(&staging->lock);
	staging->clock_ms = seconds * 1000 - (int64_t)loam_clock_ms();
	return 0;
}

int64_t loam_staging_now(struct loam_staging *staging)
{
	loam_guard(&staging->lock);
	return (staging->clock_ms + (int64_t)loam_clock_ms()) / 1000;
}

/* ---- signs of life --------------------------------------------------------------------------- */

/* The inodes of all jobs; free(). The round is under way until end_round(). */
static uint64_t *begin_round(struct loam_staging *staging, size_t *out_count)
{
	loam_guard(&staging->lock);
	uint64_t *inos = loam_xcalloc(staging->job_count + 1, sizeof(*inos));
	size_t count = 0;
	for (const struct loam_job *job = staging->jobs; job; job = job->next)
		inos[count++] = job->ino;
	staging->beating = count > 0;
	*out_count = count;
	return inos;
}

static void end_round(struct loam_staging *staging)
{
	loam_guard(&staging->lock);
	staging->beating = false;
	pthread_cond_broadcast(&staging->beaten);
}

static void give_signs(struct loam_staging *staging)
{
	size_t count;
	loam_auto_free uint64_t *inos = begin_round(staging, &count);
	if (count == 0)
		return;
	struct loam_err err = { 0 };
	int rc = ask_clock(staging, &err);
	char text[SECONDS_TEXT_BYTES];
	snprintf(text, sizeof(text), "%" PRId64, loam_staging_now(staging));
	for (size_t i = 0; rc == 0 && i < count; i++) {
		rc = loam_meta_setxattr(staging->tree->volume->meta, &loam_who_root, inos[i],
					LOAM_XATTR_ALIVE, text, strlen(text), 0, &err);
		if (rc == -LOAM_E_NOT_FOUND) { /* swept under us: its commit will find out */
			loam_err_clear(&err);
			rc = 0;
		}
	}
	end_round(staging);
	if (rc < 0)
		loam_warn("lfs.staging", "jobs=%zu text=%s", count, err.text);
}

/* false: the end. */
static bool wait_beat(struct loam_staging *staging)
{
	loam_guard(&staging->lock);
	uint64_t until_ms = loam_clock_ms() + staging->beat_ms;
	while (!staging->stopping && loam_cond_wait_until(&staging->wake, &staging->lock, until_ms))
		;
	return !staging->stopping;
}

static void *run_beats(void *arg)
{
	struct loam_staging *staging = arg;
	while (wait_beat(staging))
		give_signs(staging);
	return NULL;
}

/* ---- opening --------------------------------------------------------------------------------- */

static void init_locks(struct loam_staging *staging)
{
	pthread_mutex_init(&staging->lock, NULL);
	pthread_cond_init(&staging->wake, NULL);
	pthread_cond_init(&staging->beaten, NULL);
}

int loam_staging_open(const struct loam_tree *tree, uint64_t life_seconds,
		      struct loam_staging **out_staging, struct loam_err *err)
{
	struct loam_staging *staging = loam_xnew(struct loam_staging);
	staging->tree = tree;
	staging->life_seconds = life_seconds;
	staging->beat_ms = life_seconds * 250;
	if (staging->beat_ms > BEAT_MS_MAX)
		staging->beat_ms = BEAT_MS_MAX;
	if (staging->beat_ms < BEAT_MS_MIN)
		staging->beat_ms = BEAT_MS_MIN;
	init_locks(staging);
	char path[LOAM_PATH_BYTES_MAX];
	struct loam_attr attr;
	loam_tree_state_path(tree, "staging", path);
	int rc = loam_files_lookup(tree->volume, path, &staging->dir, &attr, err);
	if (rc == 0)
		rc = ask_clock(staging, err);
	if (rc == 0 && pthread_create(&staging->thread, NULL, run_beats, staging) != 0)
		rc = loam_fail(err, LOAM_E_BUSY, "no thread for signs of life");
	staging->has_thread = rc == 0;
	if (rc < 0) {
		loam_staging_close(staging);
		return rc;
	}
	*out_staging = staging;
	return 0;
}

void loam_staging_close(struct loam_staging *staging)
{
	if (!staging)
		return;
	loam_assert(staging->jobs == NULL);
	if (staging->has_thread) {
		pthread_mutex_lock(&staging->lock);
		staging->stopping = true;
		pthread_cond_broadcast(&staging->wake);
		pthread_mutex_unlock(&staging->lock);
		pthread_join(staging->thread, NULL);
	}
	pthread_cond_destroy(&staging->wake);
	pthread_cond_destroy(&staging->beaten);
	pthread_mutex_destroy(&staging->lock);
	free(staging);
}

/* ---- jobs ------------------------------------------------------------------------------------ */

static int enlist(struct loam_staging *staging, struct loam_job *job, struct loam_err *err)
{
	loam_guard(&staging->lock);
	if (staging->job_count == JOBS_MAX)
		return loam_fail(err, LOAM_E_BUSY, "%d jobs are under way", JOBS_MAX);
	DL_APPEND(staging->jobs, job);
	staging->job_count++;
	return 0;
}

static int make(struct loam_staging *staging, enum loam_type type, struct loam_job **out_job,
		struct loam_err *err)
{
	static const struct loam_who service = { .uid = LOAM_SERVICE_ID, .gid = LOAM_SERVICE_ID };
	struct loam_create create = { .type = type,
				      .mode = type == LOAM_TYPE_DIR ? 0700 : 0400,
				      .set_flags = LOAM_FLAG_SKIP_TRASH };
	loam_auto_free struct loam_job *job = loam_xnew(struct loam_job);
	char random[RANDOM_BYTES + 1];
	loam_random_base62(random, RANDOM_BYTES);
	snprintf(job->name, sizeof(job->name), "%" PRId64 "-%s", loam_staging_now(staging), random);
	job->staging = staging;
	struct loam_attr attr;
	int rc = loam_meta_create(staging->tree->volume->meta, &service, staging->dir,
				  loam_name_of(job->name), &create, &job->ino, &attr, err);
	if (rc < 0)
		return loam_context(err, "make a staging job");
	rc = enlist(staging, job, err);
	if (rc < 0) {
		struct loam_err ignored = { 0 };
		loam_meta_remove_tree(staging->tree->volume->meta, &loam_who_root, staging->dir,
				      loam_name_of(job->name), &ignored);
		return rc;
	}
	*out_job = loam_steal(&job);
	return 0;
}

int loam_job_new(struct loam_staging *staging, struct loam_job **out_job, struct loam_err *err)
{
	return make(staging, LOAM_TYPE_DIR, out_job, err);
}

int loam_job_new_file(struct loam_staging *staging, struct loam_job **out_job, struct loam_err *err)
{
	return make(staging, LOAM_TYPE_FILE, out_job, err);
}

uint64_t loam_job_ino(const struct loam_job *job)
{
	return job->ino;
}

uint64_t loam_job_place(const struct loam_job *job, struct loam_name *out_name)
{
	*out_name = loam_name_of(job->name);
	return job->staging->dir;
}

void loam_job_seal(struct loam_job *job)
{
	struct loam_staging *staging = job->staging;
	loam_guard(&staging->lock);
	if (!job->prev)
		return;
	while (staging->beating)
		pthread_cond_wait(&staging->beaten, &staging->lock);
	DL_DELETE(staging->jobs, job);
	job->prev = NULL;
	staging->job_count--;
}

void loam_job_free(struct loam_job *job)
{
	if (!job)
		return;
	loam_job_seal(job);
	struct loam_err err = { 0 };
	int rc = loam_meta_remove_tree(job->staging->tree->volume->meta, &loam_who_root,
				       job->staging->dir, loam_name_of(job->name), &err);
	if (rc < 0 && rc != -LOAM_E_NOT_FOUND)
		loam_warn("lfs.staging", "left=%s text=%s", job->name, err.text);
	free(job);
}

void loam_job_taken(struct loam_job *job)
{
	loam_assert(!job->prev);
	free(job);
}

/* ---- discarding ------------------------------------------------------------------------------ */

int loam_staging_discard(const struct loam_tree *tree, const char *path, struct loam_err *err)
{
	struct loam_meta *meta = tree->volume->meta;
	struct loam_engine *engine = loam_meta_engine(meta);
	char staging[LOAM_PATH_BYTES_MAX], random[RANDOM_BYTES + 1], job[JOB_NAME_BYTES];
	uint64_t parent, dir;
	struct loam_name name;
	struct loam_attr attr;
	int64_t seconds;
	loam_tree_state_path(tree, "staging", staging);
	int rc = loam_files_parent(tree->volume, path, &parent, &name, err);
	if (rc == 0)
		rc = loam_files_lookup(tree->volume, staging, &dir, &attr, err);
	if (rc == 0)
		rc = engine->ops->now(engine, &seconds, err);
	if (rc < 0)
		return rc;
	loam_random_base62(random, RANDOM_BYTES);
	snprintf(job, sizeof(job), "%" PRId64 "-%s", seconds, random);
	rc = loam_meta_rename(meta, &loam_who_root, parent, name, dir, loam_name_of(job),
			      LOAM_RENAME_NOREPLACE, NULL, err);
	if (rc == -LOAM_E_NOT_FOUND) {
		loam_err_clear(err);
		return 0;
	}
	if (rc == 0)
		rc = loam_failpoint("staging.discarded", err);
	if (rc == 0)
		rc = loam_meta_remove_tree(meta, &loam_who_root, dir, loam_name_of(job), err);
	return rc < 0 ? loam_context(err, "remove %s", path) : 0;
}

/* ---- sweeping -------------------------------------------------------------------------------- */

static bool is_ours(struct loam_staging *staging, struct loam_name name)
{
	loam_guard(&staging->lock);
	for (const struct loam_job *job = staging->jobs; job; job = job->next)
		if (strlen(job->name) == name.bytes &&
		    memcmp(job->name, name.data, name.bytes) == 0)
			return true;
	return false;
}

static bool parse_seconds(const char *text, size_t bytes, int64_t *out)
{
	int64_t seconds = 0;
	if (bytes == 0 || bytes > 15)
		return false;
	for (size_t i = 0; i < bytes; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		seconds = seconds * 10 + (text[i] - '0');
	}
	*out = seconds;
	return true;
}

/* When the job was last known to live. A name that is not ours counts from its own times. */
static int last_sign(struct loam_staging *staging, const struct loam_dir_entry *entry,
		     int64_t *out_seconds, struct loam_err *err)
{
	const char *dash = memchr(entry->name.data, '-', entry->name.bytes);
	size_t bytes = dash ? (size_t)(dash - entry->name.data) : 0;
	int64_t last = 0;
	if (!parse_seconds(entry->name.data, bytes, &last) && entry->has_attr)
		last = entry->attr.ctime.tv_sec;

	loam_auto_buf struct loam_buf text = LOAM_BUF(SECONDS_TEXT_BYTES);
	int64_t alive;
	int rc = loam_meta_getxattr(staging->tree->volume->meta, entry->dentry.ino,
				    LOAM_XATTR_ALIVE, &text, err);
	if (rc == -LOAM_E_NO_DATA || rc == -LOAM_E_NOT_FOUND)
		loam_err_clear(err);
	else if (rc < 0)
		return rc;
	else if (parse_seconds(loam_buf_text(&text), text.bytes, &alive) && alive > last)
		last = alive;
	*out_seconds = last;
	return 0;
}

bool loam_job_is_alive(const struct loam_attr *job)
{
	return (job->mode & 0700) != 0;
}

/* A process that was only held up must not move entries out of a directory being emptied. */
static int give_up(struct loam_staging *staging, const struct loam_dir_entry *entry,
		   struct loam_err *err)
{
	struct loam_attr none = { .mode = 0 }, attr;
	if (entry->dentry.type != LOAM_TYPE_DIR) /* its one name goes in one transaction */
		return 0;
	return loam_meta_setattr(staging->tree->volume->meta, &loam_who_root, entry->dentry.ino,
				 LOAM_SET_MODE, &none, &attr, err);
}

/* 1 removed, 0 left alone. */
static int sweep_entry(struct loam_staging *staging, const struct loam_dir_entry *entry,
		       struct loam_err *err)
{
	struct loam_meta *meta = staging->tree->volume->meta;
	if (is_ours(staging, entry->name))
		return 0;
	int64_t last;
	int rc = last_sign(staging, entry, &last, err);
	if (rc < 0)
		return rc;
	int64_t silent = loam_staging_now(staging) - last;
	if (silent <= (int64_t)staging->life_seconds)
		return 0;
	rc = give_up(staging, entry, err);
	if (rc == 0)
		rc = loam_meta_remove_tree(meta, &loam_who_root, staging->dir, entry->name, err);
	if (rc == -LOAM_E_NOT_FOUND) { /* another server was faster */
		loam_err_clear(err);
		return 0;
	}
	if (rc < 0)
		return rc;
	loam_info("lfs.staging", "swept=%.*s silent_s=%" PRId64, (int)entry->name.bytes,
		  entry->name.data, silent);
	return 1;
}

int loam_staging_sweep(struct loam_staging *staging, uint64_t *out_removed, struct loam_err *err)
{
	*out_removed = 0;
	int rc = ask_clock(staging, err);
	if (rc < 0)
		return rc;
	struct loam_dir *dir = NULL;
	rc = loam_meta_opendir(staging->tree->volume->meta, staging->dir, true, &dir, err);
	if (rc < 0)
		return loam_context(err, "sweep staging");
	for (size_t i = 0; rc >= 0 && i < loam_dir_count(dir); i++) {
		rc = sweep_entry(staging, loam_dir_at(dir, i), err);
		*out_removed += rc == 1;
	}
	loam_dir_close(dir);
	return rc < 0 ? loam_context(err, "sweep staging") : 0;
}
