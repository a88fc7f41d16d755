/*
 * The background thread that deletes data of removed files (delete_data.h), and the two steps it
 * repeats: a file's chunk lists, a slice's blocks.
 *
 * A reference below 0 means that no record names the slice: no transaction can take a new one,
 * since each copies a reference from a list that it checks at its commit. So blocks may go once the
 * decrement is durable, never before: a store that came back without its last second would name
 * them again, and what a compaction or a new account file has replaced is all there is then.
 *
 * Source: volume format document §5.5, §5.7.
 */
#include "fs/meta/delete_data.h"

#include "core/auto.h"
#include "core/clock.h"
#include "core/limits.h"
#include "core/log.h"
#include "fs/meta/content.h"
#include "fs/meta/meta_internal.h"

#include <signal.h>
#include <stdlib.h>

#define STOP_MS	     5000
#define HOUR_MS	     3600000u
#define FIRST_MS     60000u /* the first round comes soon: a node may have been away */
#define WAKE_STEP_MS 10000u /* between looks at the clock */
#define IDLE_STEP_MS 1000u

/* ---- the steps ---------------------------------------------------------------------------- */

struct chunk_removal {
	struct loam_meta *meta;
	uint64_t ino;
	uint32_t first, count;
};

static int remove_chunk(struct loam_txn *txn, const struct chunk_removal *removal, uint32_t index,
			struct loam_err *err)
{
	loam_auto_free struct loam_slice *slices = NULL;
	size_t count;
	int rc = loam_txn_chunk(txn, removal->ino, index, &slices, &count, err);
	if (rc < 0 || count == 0)
		return rc;
	struct loam_record record = loam_rec(LOAM_REC_CHUNK, removal->ino, index);
	loam_txn_delete(txn, &record);
	for (size_t i = 0; i < count; i++) {
		if (slices[i].id > 0)
			loam_txn_ref_slice(txn, slices[i].id, slices[i].size, -1);
	}
	return 0;
}

static int remove_chunks(struct loam_txn *txn, void *arg, struct loam_err *err)
{
	struct chunk_removal *removal = arg;
	loam_txn_want_attr(txn, removal->ino);
	for (uint32_t i = 0; i < removal->count; i++) {
		struct loam_record record =
			loam_rec(LOAM_REC_CHUNK, removal->ino, removal->first + i);
		loam_txn_want(txn, &record);
	}
	struct loam_attr attr;
	int lives = loam_txn_attr(txn, removal->ino, &attr, err);
	if (lives < 0)
		return lives;
	if (lives)
		return loam_fail(err, LOAM_E_CORRUPT, "inode %llu lives and is in delfiles",
				 (unsigned long long)removal->ino);
	for (uint32_t i = 0; i < removal->count; i++) {
		int rc = remove_chunk(txn, removal, removal->first + i, err);
		if (rc < 0)
			return rc;
	}
	loam_txn_after_commit(txn, loam_meta_slices_freed, removal->meta);
	return 0;
}

static int forget_file(struct loam_txn *txn, void *arg, struct loam_err *err)
{
	const struct loam_removed_file *file = arg;
	struct loam_record record = loam_rec(LOAM_REC_DELFILE, file->ino, file->length);
	loam_txn_delete(txn, &record);
	return 0;
}

int loam_delete_file_data(struct loam_meta *meta, uint64_t ino, uint64_t length,
			  struct loam_err *err)
{
	uint32_t end =
		loam_chunk_count(length < LOAM_FILE_BYTES_MAX ? length : LOAM_FILE_BYTES_MAX);
	for (uint32_t first = 0; first < end; first += LOAM_CONTENT_CHUNKS_MAX) {
		struct chunk_removal removal = { .meta = meta, .ino = ino, .first = first };
		removal.count = end - first < LOAM_CONTENT_CHUNKS_MAX ? end - first
								      : LOAM_CONTENT_CHUNKS_MAX;
		int rc = loam_meta_run(meta, LOAM_TXN_BULK, remove_chunks, &removal, err);
		if (rc < 0)
			return loam_context(err, "delete the data of inode %llu",
					    (unsigned long long)ino);
	}
	struct loam_removed_file file = { .ino = ino, .length = length };
	return loam_meta_run(meta, 0, forget_file, &file, err);
}

static int forget_slice(struct loam_txn *txn, void *arg, struct loam_err *err)
{
	const struct loam_freed_slice *slice = arg;
	struct loam_record record = loam_rec(LOAM_REC_SLICE_REF, slice->id, slice->size);
	const struct loam_value *value;
	int found = loam_txn_read(txn, &record, &value, err);
	if (found <= 0)
		return found;
	if (value->bytes > 0 && value->data[0] == '-')
		loam_txn_delete(txn, &record);
	return 0;
}

int loam_delete_slice(struct loam_meta *meta, uint64_t id, uint32_t size, struct loam_err *err)
{
	if (!meta->options.delete_slice)
		return 0; /* the negative reference stays, for a client that has the store */
	meta->options.delete_slice(meta->options.delete_slice_arg, id, size);
	struct loam_freed_slice slice = { .id = id, .size = size };
	return loam_meta_run(meta, 0, forget_slice, &slice, err);
}

/* ---- the thread --------------------------------------------------------------------------- */

#define SLICES_AT_ONCE 256 /* behind one barrier */

struct work {
	bool has_file, hourly;
	struct loam_removed_file file;
	struct loam_freed_slice slices[SLICES_AT_ONCE];
	size_t slice_count;
};

static void take_slices(struct loam_delete_data *data, struct work *out)
{
	while (data->slice_count > 0 && out->slice_count < SLICES_AT_ONCE) {
		out->slices[out->slice_count++] = data->slices[data->slice_first];
		data->slice_first = (data->slice_first + 1) % LOAM_DELETE_SLICES_MAX;
		data->slice_count--;
	}
}

/* Waits for something to do; false: the thread is to end. Slices first: they free the space. */
static bool take(struct loam_delete_data *data, struct work *out)
{
	loam_guard(&data->lock);
	data->busy = false;
	out->has_file = out->hourly = false;
	out->slice_count = 0;
	for (;;) {
		if (data->slice_count > 0) {
			take_slices(data, out);
		} else if (data->file_count > 0) {
			out->has_file = true;
			out->file = data->files[data->file_first];
			data->file_first = (data->file_first + 1) % LOAM_DELETE_FILES_MAX;
			data->file_count--;
		} else if (data->stopping) {
			return false;
		} else if (data->hourly && loam_clock_ms() >= data->next_hour_ms) {
			out->hourly = true;
			data->next_hour_ms = loam_clock_ms() + HOUR_MS;
		} else {
			pthread_cond_broadcast(&data->idle);
			loam_cond_wait_until(&data->wake, &data->lock,
					     loam_clock_ms() + WAKE_STEP_MS);
			continue;
		}
		data->busy = true;
		return true;
	}
}

/* What fails here keeps its negative reference: the hourly job comes to it. */
static int delete_slices(struct loam_meta *meta, const struct work *work, struct loam_err *err)
{
	if (!meta->options.delete_slice)
		return 0;
	int rc = loam_meta_settle(meta, err);
	for (size_t i = 0; rc == 0 && i < work->slice_count; i++)
		rc = loam_delete_slice(meta, work->slices[i].id, work->slices[i].size, err);
	return rc;
}

static void *delete_in_background(void *arg)
{
	struct loam_meta *meta = arg;
	struct work work = { 0 };
	while (take(&meta->delete_data, &work)) {
		struct loam_err err = { 0 };
		int rc = 0;
		if (work.slice_count > 0)
			rc = delete_slices(meta, &work, &err);
		else if (work.has_file)
			rc = loam_delete_file_data(meta, work.file.ino, work.file.length, &err);
		else
			rc = loam_delete_data_hourly(meta, LOAM_DELETE_FILE_AGE, LOAM_DETACHED_AGE,
						     &err);
		if (rc < 0)
			loam_debug("meta.delete", "error=%s", err.text);
	}
	return NULL;
}

/* Under the lock. Without a thread (none could be made) the hourly job of others does it. */
static bool ensure_thread(struct loam_meta *meta)
{
	struct loam_delete_data *data = &meta->delete_data;
	if (data->running || data->stopping)
		return data->running && !data->stopping;
	if (!data->files)
		data->files = calloc(LOAM_DELETE_FILES_MAX, sizeof(*data->files));
	if (!data->slices)
		data->slices = calloc(LOAM_DELETE_SLICES_MAX, sizeof(*data->slices));
	if (!data->files || !data->slices)
		return false;
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	data->running = pthread_create(&data->thread, NULL, delete_in_background, meta) == 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return data->running;
}

void loam_delete_data_init(struct loam_delete_data *data)
{
	*data = (struct loam_delete_data){ 0 };
	pthread_mutex_init(&data->lock, NULL);
	pthread_cond_init(&data->wake, NULL);
	pthread_cond_init(&data->idle, NULL);
}

void loam_delete_data_release(struct loam_delete_data *data)
{
	loam_assert(!data->running);
	free(data->files);
	free(data->slices);
	pthread_cond_destroy(&data->idle);
	pthread_cond_destroy(&data->wake);
	pthread_mutex_destroy(&data->lock);
}

void loam_meta_delete_data_start(struct loam_meta *meta)
{
	struct loam_delete_data *data = &meta->delete_data;
	loam_guard(&data->lock);
	if (meta->read_only || loam_meta_session(meta) == 0)
		return;
	data->hourly = true;
	data->next_hour_ms = loam_clock_ms() + FIRST_MS;
	ensure_thread(meta);
}

static void wait_idle(struct loam_delete_data *data, uint64_t ms)
{
	struct loam_deadline deadline = loam_deadline_in(ms);
	loam_guard(&data->lock);
	while (data->running && (data->busy || data->file_count > 0 || data->slice_count > 0) &&
	       loam_deadline_left_ms(deadline) > 0)
		loam_cond_wait_until(&data->idle, &data->lock, loam_clock_ms() + IDLE_STEP_MS);
}

void loam_meta_delete_data_drain(struct loam_meta *meta)
{
	wait_idle(&meta->delete_data, LOAM_META_DEADLINE_MS);
}

void loam_meta_delete_data_stop(struct loam_meta *meta)
{
	struct loam_delete_data *data = &meta->delete_data;
	wait_idle(data, STOP_MS);
	pthread_mutex_lock(&data->lock);
	bool running = data->running;
	data->stopping = true;
	data->file_count = 0;
	data->slice_count = 0;
	pthread_cond_broadcast(&data->wake);
	pthread_mutex_unlock(&data->lock);
	if (running)
		pthread_join(data->thread, NULL);
	data->running = false;
}

void loam_meta_data_removed(struct loam_meta *meta, uint64_t ino, uint64_t length)
{
	struct loam_delete_data *data = &meta->delete_data;
	loam_guard(&data->lock);
	if (!ensure_thread(meta) || data->file_count == LOAM_DELETE_FILES_MAX)
		return;
	data->files[(data->file_first + data->file_count++) % LOAM_DELETE_FILES_MAX] =
		(struct loam_removed_file){ .ino = ino, .length = length };
	pthread_cond_signal(&data->wake);
}

void loam_meta_slices_freed(void *arg, const struct loam_freed_slice *freed, size_t freed_count)
{
	struct loam_meta *meta = arg;
	struct loam_delete_data *data = &meta->delete_data;
	loam_guard(&data->lock);
	if (!meta->options.delete_slice || freed_count == 0 || !ensure_thread(meta))
		return;
	for (size_t i = 0; i < freed_count && data->slice_count < LOAM_DELETE_SLICES_MAX; i++)
		data->slices[(data->slice_first + data->slice_count++) % LOAM_DELETE_SLICES_MAX] =
			freed[i];
	pthread_cond_signal(&data->wake);
}
