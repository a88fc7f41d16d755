/*
 * A file written from its first byte to its last (step 4 of a push: LFS uploads).
 *
 * One slice per 64 MiB chunk. A chunk that is full goes to the finish pool (rest of the uploads,
 * sync, commit) while the next one fills; at most one chunk of a writer is being finished, so
 * chunks are committed in their order and the file's length never covers bytes that are not there.
 * A chunk being finished holds buffers under upload only, so it never waits for the write buffer.
 */
#include "core/clock.h"
#include "core/limits.h"
#include "fs/data/data_internal.h"

struct loam_writer {
	struct loam_data *data;
	uint64_t ino;
	uint32_t chunk_index;		   /* of current */
	struct loam_slice_writer *current; /* NULL: no byte of this chunk came yet */
	struct timespec mtime;		   /* of the last write */
	struct loam_hasher *hasher;	   /* NULL: nobody asks for a digest */

	/* The chunk before, while it is being finished. */
	struct loam_slice_writer *finishing;
	uint32_t finishing_index;
	struct timespec finishing_mtime;

	pthread_mutex_t lock; /* busy, failure */
	pthread_cond_t idle;
	bool busy;
	struct loam_err failure; /* sticky */
};

int loam_writer_new(struct loam_data *data, uint64_t ino, struct loam_writer **out_writer,
		    struct loam_err *err)
{
	struct loam_writer *writer = loam_xnew(struct loam_writer);
	writer->data = data;
	writer->ino = ino;
	pthread_mutex_init(&writer->lock, NULL);
	pthread_cond_init(&writer->idle, NULL);
	*out_writer = writer;
	return 0;
}

void loam_writer_hash(struct loam_writer *writer)
{
	loam_assert(!writer->current && !writer->hasher && writer->chunk_index == 0);
	writer->hasher = loam_hasher_new(writer->data, loam_slice_writer_upload);
}

static int failure(struct loam_writer *writer, struct loam_err *err)
{
	loam_guard(&writer->lock);
	if (writer->failure.code == LOAM_E_OK)
		return 0;
	return loam_fail(err, writer->failure.code, "%s", writer->failure.text);
}

/* rc and err of something that failed become the writer's. */
static int keep_failure(struct loam_writer *writer, int rc, const struct loam_err *err)
{
	loam_guard(&writer->lock);
	if (rc < 0 && writer->failure.code == LOAM_E_OK)
		writer->failure = *err;
	return rc;
}

static int finish_slice(struct loam_writer *writer, struct loam_slice_writer *slice,
			uint32_t chunk_index, struct timespec mtime, struct loam_err *err)
{
	struct loam_slice record = { .pos = 0 };
	int rc = loam_slice_writer_finish(slice, &record.id, &record.size, err);
	if (rc < 0)
		return rc;
	record.len = record.size;
	struct loam_attr attr;
	return loam_data_commit(writer->data, writer->ino, chunk_index, &record, mtime, &attr, err);
}

static void finish_job(void *arg)
{
	struct loam_writer *writer = arg;
	struct loam_err err = { 0 };
	int rc = finish_slice(writer, writer->finishing, writer->finishing_index,
			      writer->finishing_mtime, &err);
	keep_failure(writer, rc, &err);
	loam_slice_writer_free(loam_steal(&writer->finishing));

	loam_guard(&writer->lock);
	writer->busy = false;
	pthread_cond_broadcast(&writer->idle);
}

static void wait_idle(struct loam_writer *writer)
{
	loam_guard(&writer->lock);
	while (writer->busy)
		pthread_cond_wait(&writer->idle, &writer->lock);
}

/* The current chunk is full. */
static void hand_on(struct loam_writer *writer)
{
	loam_slice_writer_end(writer->current);
	wait_idle(writer);
	writer->finishing = loam_steal(&writer->current);
	writer->finishing_index = writer->chunk_index++;
	writer->finishing_mtime = writer->mtime;
	writer->busy = true; /* nobody else looks: the job begins below */
	loam_pool_submit(writer->data->finish, finish_job, writer);
}

static int add_some(struct loam_writer *writer, const uint8_t *bytes, size_t count,
		    size_t *out_done, struct loam_err *err)
{
	int rc = failure(writer, err);
	if (rc == 0 && !writer->current)
		rc = loam_slice_writer_new(writer->data, &writer->current, err);
	if (rc < 0)
		return rc;
	loam_slice_writer_hash(writer->current, writer->hasher);
	size_t room = LOAM_CHUNK_BYTES - loam_slice_writer_bytes(writer->current);
	size_t step = count < room ? count : room;
	rc = loam_slice_writer_add(writer->current, bytes, step, err);
	if (rc < 0)
		return rc;
	writer->mtime = loam_clock_now();
	if (step == room)
		hand_on(writer);
	*out_done = step;
	return 0;
}

int loam_writer_add(struct loam_writer *writer, const void *bytes, size_t count,
		    struct loam_err *err)
{
	const uint8_t *from = bytes;
	while (count > 0) {
		size_t done = 0;
		int rc = add_some(writer, from, count, &done, err);
		if (rc < 0)
			return keep_failure(writer, rc, err);
		from += done;
		count -= done;
	}
	return 0;
}

void loam_writer_digest(struct loam_writer *writer, uint8_t out_digest[LOAM_SHA256_BYTES])
{
	if (writer->current)
		loam_slice_writer_end(writer->current);
	loam_hasher_end(writer->hasher, out_digest);
}

int loam_writer_finish(struct loam_writer *writer, struct loam_err *err)
{
	if (writer->current)
		loam_slice_writer_end(writer->current);
	wait_idle(writer);
	int rc = failure(writer, err);
	if (rc < 0 || !writer->current)
		return rc;
	rc = finish_slice(writer, writer->current, writer->chunk_index, writer->mtime, err);
	if (rc < 0)
		return keep_failure(writer, rc, err);
	loam_slice_writer_free(loam_steal(&writer->current));
	writer->chunk_index++;
	return 0;
}

void loam_writer_free(struct loam_writer *writer)
{
	if (!writer)
		return;
	wait_idle(writer);
	loam_slice_writer_free(writer->current);
	loam_hasher_free(writer->hasher);
	pthread_cond_destroy(&writer->idle);
	pthread_mutex_destroy(&writer->lock);
	free(writer);
}
