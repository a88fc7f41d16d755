/*
 * Open files of a mount: reads and writes of one inode, coherent within the process.
 *
 * Writes go into open slices, in the way of official clients (format §5.4): into the newest slice
 * of the chunk that the write continues, else into a new one.
 *
 *   slices (oldest first)   [seq 7, frozen] [seq 8, frozen] [seq 9] [seq 10]
 *                            committing --^  never grows      ^-- take writes
 *
 * Slices are committed in the order of their creation, many of them behind one sync of the store. A
 * slice is frozen by a flush, when it is full, when its writer has gone on elsewhere, or after 5 s
 * by the flusher. A read that meets bytes not yet committed flushes first.
 *
 * Invariants: a slice stays in the list until its record is committed and the reader has dropped
 * the chunk's list, so there is no moment at which written bytes are in neither. After a failed
 * commit nothing more is committed: `failure` is the answer to every later write and flush (V14).
 * Locks: `lock` guards all of struct loam_file but refs, which the registry's lock guards.
 */
#include "core/clock.h"
#include "core/limits.h"
#include "core/log.h"
#include "fs/data/data_internal.h"

#include <string.h>
#include <uthash.h>
#include <utlist.h>

#define PENDING_MAX	800 /* slices of a file; then its writer waits */
#define LOOK_BACK	3   /* newer slices looked at before older ones are frozen */
#define TOGETHER_MAX	64  /* slices finished with one sync */
#define OLD_MS		5000
#define IDLE_MS		1000
#define FLUSHER_STEP_MS 500
#define FLUSHER_FILES	256
#define UNITS_IDLE_MS	10000
#define REFETCH_TRIES	3
#define ALL		UINT64_MAX

struct open_slice {
	struct open_slice *prev, *next;
	uint64_t seq;
	uint32_t chunk_index, pos;
	struct loam_slice_writer *writer;
	uint64_t created_ms, written_ms;
	struct timespec mtime;
	bool frozen;
};

struct loam_file {
	UT_hash_handle hh;
	struct loam_data *data;
	uint64_t ino;
	unsigned refs;
	bool flush_queued; /* these two as refs: under the registry's lock */
	uint64_t flush_until;

	pthread_mutex_t lock;
	pthread_cond_t committed;
	struct loam_attr attr; /* what the metadata last said */
	uint64_t length;
	struct open_slice *slices;
	size_t slice_count;
	uint64_t last_seq, commits;
	bool committing, named;	 /* named: its content was asked for since attr changed */
	struct loam_err failure; /* sticky */
	struct loam_reader *reader;
};

/* ---- the registry ---- */

static struct loam_file *registered(struct loam_data *data, uint64_t ino)
{
	struct loam_file *file;
	HASH_FIND(hh, data->files, &ino, sizeof(ino), file);
	return file;
}

struct loam_file *loam_file_find(struct loam_data *data, uint64_t ino)
{
	loam_guard(&data->registry_lock);
	struct loam_file *file = registered(data, ino);
	if (file)
		file->refs++;
	return file;
}

static void file_free(struct loam_file *file)
{
	loam_assert(!file->slices);
	loam_reader_free(file->reader);
	pthread_cond_destroy(&file->committed);
	pthread_mutex_destroy(&file->lock);
	free(file);
}

static int file_new(struct loam_data *data, uint64_t ino, const struct loam_attr *attr,
		    struct loam_file **out, struct loam_err *err)
{
	struct loam_file *file = loam_xnew(struct loam_file);
	file->data = data;
	file->ino = ino;
	file->refs = 1;
	file->attr = *attr;
	file->length = attr->length;
	pthread_mutex_init(&file->lock, NULL);
	pthread_cond_init(&file->committed, NULL);
	int rc = loam_reader_new(data, ino, attr->length, &file->reader, err);
	if (rc < 0) {
		file_free(file);
		return rc;
	}
	*out = file;
	return 0;
}

int loam_file_get(struct loam_data *data, uint64_t ino, const struct loam_attr *attr,
		  struct loam_file **out_file, struct loam_err *err)
{
	struct loam_file *file = loam_file_find(data, ino);
	if (file) {
		loam_file_changed(file, attr);
		*out_file = file;
		return 0;
	}
	struct loam_file *made;
	int rc = file_new(data, ino, attr, &made, err);
	if (rc < 0)
		return rc;
	{
		loam_guard(&data->registry_lock);
		file = registered(data, ino);
		if (file) {
			file->refs++;
		} else {
			HASH_ADD(hh, data->files, ino, sizeof(made->ino), made);
			*out_file = made;
		}
	}
	if (!file)
		return 0;
	file_free(made); /* somebody else was quicker */
	loam_file_changed(file, attr);
	*out_file = file;
	return 0;
}

static bool has_slices(struct loam_file *file)
{
	loam_guard(&file->lock);
	return file->slices != NULL;
}

/* true: the reference is given back and *out_last tells whether it was the last; false: it is the
 * last and the file has bytes to flush. */
static bool try_put(struct loam_file *file, bool *out_last)
{
	struct loam_data *data = file->data;
	loam_guard(&data->registry_lock);
	*out_last = file->refs == 1;
	if (*out_last && has_slices(file))
		return false;
	file->refs--;
	if (*out_last)
		HASH_DEL(data->files, file);
	return true;
}

void loam_file_put(struct loam_file *file)
{
	bool last;
	/* Again where somebody wrote during the flush; a failed one leaves no slices. */
	while (!try_put(file, &last)) {
		struct loam_err err = { 0 };
		if (loam_file_flush(file, &err) < 0)
			loam_debug("file.put", "ino=%llu why=%s", (unsigned long long)file->ino,
				   err.text);
	}
	if (last)
		file_free(file);
}

/* ---- slices; all under the lock ---- */

static int failure(struct loam_file *file, struct loam_err *err)
{
	if (file->failure.code == LOAM_E_OK)
		return 0;
	return loam_fail(err, file->failure.code, "%s", file->failure.text);
}

static uint64_t slice_end(const struct open_slice *slice)
{
	return (uint64_t)slice->pos + loam_slice_writer_bytes(slice->writer);
}

static void freeze(struct open_slice *slice)
{
	slice->frozen = true;
	loam_slice_writer_end(slice->writer);
}

static void freeze_until(struct loam_file *file, uint64_t seq)
{
	struct open_slice *slice;
	DL_FOREACH (file->slices, slice)
		if (slice->seq <= seq && !slice->frozen)
			freeze(slice);
}

/* The newest slice that may take a write at pos; those too far back are frozen. */
static struct open_slice *find_fitting(struct loam_file *file, uint32_t chunk_index, uint32_t pos,
				       size_t count)
{
	unsigned looked = 0;
	for (struct open_slice *slice = file->slices ? file->slices->prev : NULL; slice;
	     slice = slice == file->slices ? NULL : slice->prev) {
		if (slice->chunk_index != chunk_index)
			continue;
		if (!slice->frozen && pos >= slice->pos && looked <= LOOK_BACK &&
		    loam_slice_writer_takes(slice->writer, pos - slice->pos))
			return slice;
		/* Newer bytes must stay newer. */
		if (pos < slice_end(slice) && pos + count > slice->pos)
			return NULL;
		if (++looked > LOOK_BACK) {
			if (!slice->frozen)
				freeze(slice);
		}
	}
	return NULL;
}

static struct open_slice *add_slice(struct loam_file *file, uint32_t chunk_index, uint32_t pos,
				    struct loam_slice_writer *writer)
{
	struct open_slice *slice = loam_xnew(struct open_slice);
	slice->seq = ++file->last_seq;
	slice->chunk_index = chunk_index;
	slice->pos = pos;
	slice->writer = writer;
	slice->created_ms = loam_clock_ms();
	DL_APPEND(file->slices, slice);
	file->slice_count++;
	return slice;
}

static void remove_slice(struct loam_file *file, struct open_slice *slice)
{
	DL_DELETE(file->slices, slice);
	file->slice_count--;
}

static uint64_t dirty_end(const struct loam_file *file)
{
	uint64_t end = 0;
	const struct open_slice *slice;
	DL_FOREACH (file->slices, slice) {
		uint64_t at = (uint64_t)slice->chunk_index * LOAM_CHUNK_BYTES + slice_end(slice);
		if (at > end)
			end = at;
	}
	return end;
}

static bool is_dirty(const struct loam_file *file, uint64_t offset, uint64_t bytes)
{
	const struct open_slice *slice;
	DL_FOREACH (file->slices, slice) {
		uint64_t base = (uint64_t)slice->chunk_index * LOAM_CHUNK_BYTES;
		if (offset < base + slice_end(slice) && offset + bytes > base + slice->pos)
			return true;
	}
	return false;
}

static void set_length(struct loam_file *file)
{
	uint64_t end = dirty_end(file);
	file->length = file->attr.length > end ? file->attr.length : end;
	loam_reader_set_length(file->reader, file->length);
}

/* ---- committing ---- */

struct batch {
	struct open_slice *slices[TOGETHER_MAX];
	struct loam_slice records[TOGETHER_MAX];
	struct loam_attr attr; /* after the last commit */
	size_t count, done;    /* done: committed */
	struct loam_err failure;
};

static void take_batch(struct loam_file *file, uint64_t until, struct batch *batch)
{
	struct open_slice *slice;
	batch->count = batch->done = 0;
	batch->failure.code = LOAM_E_OK;
	DL_FOREACH (file->slices, slice) {
		if (slice->seq > until || batch->count == TOGETHER_MAX)
			return;
		batch->slices[batch->count++] = slice;
	}
}

/* Without the lock: the slices of a batch are frozen, nobody else touches them. */
static int commit_batch(struct loam_file *file, struct batch *batch)
{
	struct loam_slice_writer *writers[TOGETHER_MAX];
	for (size_t i = 0; i < batch->count; i++)
		writers[i] = batch->slices[i]->writer;
	int rc = loam_slice_writers_finish(writers, batch->count, &batch->failure);
	for (size_t i = 0; i < batch->count && rc == 0; i++) {
		const struct open_slice *slice = batch->slices[i];
		struct loam_slice record = { .pos = slice->pos,
					     .id = loam_slice_writer_id(slice->writer),
					     .size = loam_slice_writer_bytes(slice->writer) };
		record.len = record.size;
		batch->records[i] = record;
		rc = loam_data_commit(file->data, file->ino, slice->chunk_index, &record,
				      slice->mtime, &batch->attr, &batch->failure);
		batch->done += rc == 0;
	}
	return rc;
}

static void free_slices(struct open_slice *list)
{
	struct open_slice *slice, *next;
	DL_FOREACH_SAFE(list, slice, next)
	{
		loam_slice_writer_free(slice->writer);
		free(slice);
	}
}

/* Takes over what a batch has done; returns the slices that are no longer needed. */
static struct open_slice *end_batch(struct loam_file *file, struct batch *batch, int rc)
{
	struct open_slice *over = NULL;
	for (size_t i = 0; i < batch->done; i++) {
		struct open_slice *slice = batch->slices[i];
		loam_reader_drop_chunk(file->reader, slice->chunk_index);
		remove_slice(file, slice);
		DL_APPEND(over, slice);
	}
	if (batch->done > 0) {
		file->attr = batch->attr;
		file->commits++;
	}
	if (rc < 0) {
		/* Later bytes must not appear without these: all that was not committed is lost. */
		file->failure = batch->failure;
		while (file->slices) {
			struct open_slice *slice = file->slices;
			if (!slice->frozen)
				freeze(slice);
			remove_slice(file, slice);
			DL_APPEND(over, slice);
		}
	}
	set_length(file);
	file->committing = false;
	pthread_cond_broadcast(&file->committed);
	return over;
}

/* Blocks of slices that were finished but came behind the commit that failed. */
static void remove_unnamed(struct loam_file *file, const struct batch *batch)
{
	for (size_t i = batch->done + 1; i < batch->count; i++)
		loam_data_remove_blocks(file->data->store, &file->data->naming,
					loam_slice_writer_id(batch->slices[i]->writer),
					loam_slice_writer_bytes(batch->slices[i]->writer));
}

/* 1: there may be more to do, 0: nothing up to `until` is left, -code: the file's failure. */
static int flush_step(struct loam_file *file, uint64_t until, struct batch *batch,
		      struct loam_err *err)
{
	{
		loam_guard(&file->lock);
		while (file->committing)
			pthread_cond_wait(&file->committed, &file->lock);
		int rc = failure(file, err);
		if (rc < 0)
			return rc;
		take_batch(file, until, batch);
		if (batch->count == 0)
			return 0;
		file->committing = true;
	}
	int rc = commit_batch(file, batch);
	if (rc < 0)
		remove_unnamed(file, batch);
	struct open_slice *over;
	{
		loam_guard(&file->lock);
		over = end_batch(file, batch, rc);
	}
	free_slices(over);
	return 1;
}

/* Commits all slices up to `until` (ALL: that there are now). */
static int flush_until(struct loam_file *file, uint64_t until, struct loam_err *err)
{
	{
		loam_guard(&file->lock);
		if (until == ALL)
			until = file->last_seq;
		freeze_until(file, until);
		if (!file->slices && !file->committing)
			return failure(file, err);
	}
	loam_auto_free struct batch *batch = loam_xnew(struct batch);
	int rc = 1;
	while (rc > 0)
		rc = flush_step(file, until, batch, err);
	return rc;
}

int loam_file_flush(struct loam_file *file, struct loam_err *err)
{
	return flush_until(file, ALL, err);
}

/* ---- in the background ---- */

static void flush_job(void *arg)
{
	struct loam_file *file = arg;
	uint64_t until;
	{
		loam_guard(&file->data->registry_lock);
		file->flush_queued = false;
		until = file->flush_until;
	}
	struct loam_err err = { 0 };
	if (flush_until(file, until, &err) < 0) /* kept in the file for its users */
		loam_debug("file.flush", "ino=%llu why=%s", (unsigned long long)file->ino,
			   err.text);
	loam_file_put(file);
}

/* true: a job is to be submitted, which owns the caller's reference. */
static bool mark_queued(struct loam_file *file, uint64_t until)
{
	loam_guard(&file->data->registry_lock);
	bool queued = file->flush_queued;
	file->flush_queued = true;
	if (until > file->flush_until)
		file->flush_until = until;
	return !queued;
}

/* Owns one reference. The queue holds more jobs than a mount has busy files; should it be full, the
 * flusher comes again. */
static void queue_flush(struct loam_file *file, uint64_t until)
{
	if (mark_queued(file, until)) {
		if (loam_pool_try(file->data->finish, flush_job, file))
			return;
		loam_guard(&file->data->registry_lock);
		file->flush_queued = false;
	}
	loam_file_put(file);
}

/* The newest slice when there is something to flush, else 0. */
static uint64_t wants_flush(struct loam_file *file, bool pressed)
{
	loam_guard(&file->lock);
	uint64_t now_ms = loam_clock_ms();
	const struct open_slice *slice;
	DL_FOREACH (file->slices, slice) {
		uint64_t age_ms = now_ms - slice->created_ms;
		if (pressed || age_ms >= OLD_MS ||
		    (age_ms >= IDLE_MS && now_ms - slice->written_ms >= IDLE_MS))
			return file->last_seq;
	}
	return 0;
}

struct due {
	struct loam_file *file; /* counted */
	uint64_t until;
};

static size_t collect(struct loam_data *data, bool pressed, struct due *out, size_t max)
{
	struct loam_file *file, *next;
	size_t count = 0;
	HASH_ITER (hh, data->files, file, next) {
		uint64_t until = file->flush_queued ? 0 : wants_flush(file, pressed);
		if (until == 0 || count == max)
			continue;
		file->refs++;
		out[count++] = (struct due){ file, until };
	}
	return count;
}

/* false: the end. */
static bool wait_for_work(struct loam_data *data, bool *out_pressed)
{
	if (!data->pressed && !data->ending)
		loam_cond_wait_until(&data->flusher_wakes, &data->registry_lock,
				     loam_clock_ms() + FLUSHER_STEP_MS);
	*out_pressed = data->pressed;
	data->pressed = false;
	return !data->ending;
}

void *loam_file_flusher(void *arg)
{
	struct loam_data *data = arg;
	struct due due[FLUSHER_FILES];
	pthread_setname_np(pthread_self(), "flusher");
	for (;;) {
		size_t count;
		{
			loam_guard(&data->registry_lock);
			bool pressed;
			if (!wait_for_work(data, &pressed))
				return NULL;
			count = collect(data, pressed, due, FLUSHER_FILES);
		}
		for (size_t i = 0; i < count; i++)
			queue_flush(due[i].file, due[i].until);
		loam_fetch_trim(data, UNITS_IDLE_MS);
	}
}

int loam_file_flush_all(struct loam_data *data, struct loam_err *err)
{
	loam_auto_free struct loam_file **files = NULL;
	size_t count = 0;
	{
		loam_guard(&data->registry_lock);
		files = loam_xcalloc(HASH_COUNT(data->files) + 1, sizeof(struct loam_file *));
		struct loam_file *file, *next;
		HASH_ITER (hh, data->files, file, next) {
			file->refs++;
			files[count++] = file;
		}
	}
	int rc = 0;
	for (size_t i = 0; i < count; i++) {
		struct loam_err one = { 0 };
		int one_rc = loam_file_flush(files[i], &one);
		if (rc == 0 && one_rc < 0)
			rc = loam_fail(err, one.code, "%s", one.text);
		loam_file_put(files[i]);
	}
	return rc;
}

/* ---- writing ---- */

/* What a step of a write lacked and got while the lock was open. */
struct supplies {
	struct loam_slice_writer *writer;
	struct loam_buffer *buffer;
	bool need_writer, need_flush;
	uint64_t filled_seq; /* of a slice that reached the end of its chunk, else 0 */
};

/* Writes a part of what is asked for; 0 in *out_done: supplies say what is lacking. */
static int write_step(struct loam_file *file, uint64_t offset, const void *bytes, size_t count,
		      struct supplies *supplies, size_t *out_done, struct loam_err *err)
{
	uint32_t chunk_index = (uint32_t)(offset / LOAM_CHUNK_BYTES);
	uint32_t pos = (uint32_t)(offset % LOAM_CHUNK_BYTES);
	if (count > LOAM_CHUNK_BYTES - pos)
		count = LOAM_CHUNK_BYTES - pos;

	loam_guard(&file->lock);
	int rc = failure(file, err);
	if (rc < 0)
		return rc;
	supplies->need_flush = file->slice_count >= PENDING_MAX;
	if (supplies->need_flush)
		return 0;
	struct open_slice *slice = find_fitting(file, chunk_index, pos, count);
	supplies->need_writer = !slice && !supplies->writer;
	if (supplies->need_writer)
		return 0;
	struct loam_slice_writer *writer = slice ? slice->writer : supplies->writer;
	uint32_t at = slice ? pos - slice->pos : 0;
	if (!loam_slice_writer_prepare(writer, at, count, &supplies->buffer))
		return 0;
	if (!slice)
		slice = add_slice(file, chunk_index, pos, loam_steal(&supplies->writer));
	*out_done = loam_slice_writer_write(writer, at, bytes, count);
	slice->mtime = loam_clock_now();
	slice->written_ms = loam_clock_ms();
	if (slice_end(slice) == LOAM_CHUNK_BYTES) {
		freeze(slice);
		supplies->filled_seq = slice->seq;
	}
	if (offset + *out_done > file->length) {
		file->length = offset + *out_done;
		loam_reader_set_length(file->reader, file->length);
	}
	return 0;
}

static int get_supplies(struct loam_file *file, struct supplies *supplies, struct loam_err *err)
{
	if (supplies->need_flush)
		return flush_until(file, ALL, err);
	if (supplies->need_writer)
		return loam_slice_writer_new(file->data, &supplies->writer, err);
	if (supplies->buffer) /* too small a one */
		loam_buffer_give(file->data->buffers, loam_steal(&supplies->buffer));
	supplies->buffer = loam_buffer_take(file->data->buffers, true);
	return 0;
}

static int write_all(struct loam_file *file, uint64_t offset, const uint8_t *bytes, size_t count,
		     struct supplies *supplies, struct loam_err *err)
{
	while (count > 0) {
		size_t done = 0;
		int rc = write_step(file, offset, bytes, count, supplies, &done, err);
		if (rc == 0 && done == 0)
			rc = get_supplies(file, supplies, err);
		if (rc < 0)
			return rc;
		offset += done;
		bytes += done;
		count -= done;
	}
	return 0;
}

int loam_file_write(struct loam_file *file, uint64_t offset, const void *bytes, size_t count,
		    struct loam_err *err)
{
	const uint64_t length_max = (uint64_t)UINT32_MAX * LOAM_CHUNK_BYTES;
	if (offset > length_max || count > length_max - offset)
		return loam_fail(err, LOAM_E_TOO_LARGE, "a file over %llu bytes",
				 (unsigned long long)length_max);
	struct supplies supplies = { 0 };
	int rc = write_all(file, offset, bytes, count, &supplies, err);
	loam_slice_writer_free(supplies.writer);
	if (supplies.buffer)
		loam_buffer_give(file->data->buffers, supplies.buffer);
	if (supplies.filled_seq)
		queue_flush(loam_file_find(file->data, file->ino), supplies.filled_seq);
	return rc;
}

/* ---- reading ---- */

static int compare_times(struct timespec a, struct timespec b)
{
	if (a.tv_sec != b.tv_sec)
		return a.tv_sec < b.tv_sec ? -1 : 1;
	return (a.tv_nsec > b.tv_nsec) - (a.tv_nsec < b.tv_nsec);
}

/* Files without write bits are read by their content, which clones share. */
static void name_content(struct loam_file *file)
{
	struct loam_attr attr;
	{
		loam_guard(&file->lock);
		if (file->named || file->slices)
			return;
		file->named = true;
		attr = file->attr;
	}
	struct loam_err err = { 0 };
	struct loam_content *content;
	if (loam_content_open(file->data, file->ino, &attr, &content, &err) <= 0)
		return; /* who reads will be told what is wrong */
	loam_guard(&file->lock);
	if (!file->slices && file->length == attr.length &&
	    compare_times(file->attr.ctime, attr.ctime) == 0)
		loam_reader_set_content(file->reader, content);
	else
		loam_content_put(content);
}

static int prepare_read(struct loam_file *file, uint64_t offset, size_t bytes, struct loam_err *err)
{
	bool dirty;
	{
		loam_guard(&file->lock);
		dirty = is_dirty(file, offset, bytes);
	}
	int rc = dirty ? flush_until(file, ALL, err) : 0;
	if (rc == 0)
		name_content(file);
	return rc;
}

int loam_file_read(struct loam_file *file, uint64_t offset, void *out, size_t bytes,
		   size_t *out_read, struct loam_err *err)
{
	int rc = prepare_read(file, offset, bytes, err);
	return rc < 0 ? rc : loam_reader_read(file->reader, offset, out, bytes, out_read, err);
}

int loam_file_lend(struct loam_file *file, uint64_t offset, size_t bytes, struct loam_lent *out,
		   struct loam_err *err)
{
	int rc = prepare_read(file, offset, bytes, err);
	return rc < 0 ? rc : loam_reader_lend(file->reader, offset, bytes, out, err);
}

uint64_t loam_file_length(struct loam_file *file)
{
	loam_guard(&file->lock);
	return file->length;
}

/* ---- what the metadata says ---- */

/* Under the lock. */
static void accept_attr(struct loam_file *file, const struct loam_attr *attr)
{
	bool same = attr->length == file->attr.length &&
		    compare_times(attr->mtime, file->attr.mtime) == 0 &&
		    compare_times(attr->ctime, file->attr.ctime) == 0;
	file->attr = *attr;
	if (same)
		return;
	file->named = false;
	loam_reader_refresh(file->reader, attr->length);
	set_length(file);
}

/* Asks again: what we were told is older than what we know (a clock of another node, or an answer
 * that our own commit overtook). */
static void refetch_attr(struct loam_file *file)
{
	for (int tries = 0; tries < REFETCH_TRIES; tries++) {
		uint64_t commits;
		{
			loam_guard(&file->lock);
			commits = file->commits;
		}
		struct loam_err err = { 0 };
		struct loam_attr attr;
		int rc = loam_meta_getattr(file->data->meta, file->ino, &attr, &err);
		loam_guard(&file->lock);
		if (rc < 0) {
			loam_reader_refresh(file->reader, file->length);
			return;
		}
		if (commits == file->commits && !file->committing) {
			accept_attr(file, &attr);
			return;
		}
	}
}

void loam_file_changed(struct loam_file *file, const struct loam_attr *attr)
{
	{
		loam_guard(&file->lock);
		if (compare_times(attr->ctime, file->attr.ctime) >= 0) {
			accept_attr(file, attr);
			return;
		}
	}
	refetch_attr(file);
}

bool loam_file_stat(struct loam_data *data, uint64_t ino, struct loam_attr *attr)
{
	struct loam_file *file = loam_file_find(data, ino);
	if (!file)
		return false;
	loam_file_changed(file, attr);
	{
		loam_guard(&file->lock);
		*attr = file->attr;
		attr->length = file->length;
		if (file->slices) /* its commit will be the last, with this time */
			attr->mtime = file->slices->prev->mtime;
	}
	loam_file_put(file);
	return true;
}
