/*
 * Data of removed files and slices that nobody names any more, deleted in the background.
 *
 *   unlink ──► delfiles ──► chunk lists deleted, one reference less per record ──► entry gone
 *                               └─ reference below 0 ──► barrier ──► blocks deleted ──► field gone
 *
 * Each arrow is repeatable: whatever stops between two of them, the hourly job of any client of the
 * volume goes on from what stands in the store.
 *
 * Threads: one background thread, started when there is first something to do; queues are bounded,
 *          what does not fit is left to the hourly job.
 * Source:  volume format document §5.5, §5.7, §8.3.
 */
#ifndef LOAM_FS_META_DELETE_DATA_H
#define LOAM_FS_META_DELETE_DATA_H

#include "fs/meta/meta.h"
#include "fs/meta/txn.h"

#include <pthread.h>

#define LOAM_DELETE_FILES_MAX  4096  /* queued */
#define LOAM_DELETE_SLICES_MAX 16384 /* queued */

struct loam_removed_file {
	uint64_t ino, length;
};

struct loam_delete_data {
	pthread_mutex_t lock; /* all below */
	pthread_cond_t wake, idle;
	struct loam_removed_file *files; /* ring; NULL until the first file */
	size_t file_first, file_count;
	struct loam_freed_slice *slices; /* ring */
	size_t slice_first, slice_count;
	bool running, stopping, busy;
	bool hourly;	       /* takes part in the cooperative jobs (a session, not read-only) */
	uint64_t next_hour_ms; /* monotonic */
	pthread_t thread;
};

void loam_delete_data_init(struct loam_delete_data *data);
/* After the last operation of loam_meta_close; the thread has ended. */
void loam_delete_data_release(struct loam_delete_data *data);
/* Takes part in the hourly jobs from now on, when this process has a session and may write. */
void loam_meta_delete_data_start(struct loam_meta *meta);
/* Finishes what is queued, for a few seconds at most, and ends the thread. */
void loam_meta_delete_data_stop(struct loam_meta *meta);
/* Waits until nothing is queued or being deleted, LOAM_META_DEADLINE_MS at most. */
void loam_meta_delete_data_drain(struct loam_meta *meta);

/* The commit that removed this file has put it into delfiles. Never blocks on the store. */
void loam_meta_data_removed(struct loam_meta *meta, uint64_t ino, uint64_t length);
/* For loam_txn_after_commit, arg: loam_meta. Queues slices whose references the commit spent. */
void loam_meta_slices_freed(void *meta, const struct loam_freed_slice *freed, size_t freed_count);

/* The steps, at once and in this thread (gc, tests). */
int loam_delete_file_data(struct loam_meta *meta, uint64_t ino, uint64_t length,
			  struct loam_err *err);
/* Behind loam_meta_settle(): that nobody names the slice must be durable first. */
int loam_delete_slice(struct loam_meta *meta, uint64_t id, uint32_t size, struct loam_err *err);
/* The hourly jobs with their elections (§8.3). Files removed, or nodes detached, less than the
 * given seconds ago are left alone (LOAM_DELETE_FILE_AGE, LOAM_DETACHED_AGE). */
#define LOAM_DELETE_FILE_AGE 3600
#define LOAM_DETACHED_AGE    86400
int loam_delete_data_hourly(struct loam_meta *meta, int64_t file_age_seconds,
			    int64_t detached_age_seconds, struct loam_err *err);

#endif
