/*
 * One slice being written (step 4 of a push): bytes become blocks, blocks go to the store while
 * more bytes arrive.
 *
 *   slice   |== block 0 ==|== block 1 ==|== block 2 =:......|
 *            uploaded or under way        ^current  ^bytes
 *
 * Invariants: the blocks before current_start are whole and given to the upload pool; current holds
 * the bytes from there on. The first 64 KiB of a slice lie in a small buffer, so that many small
 * slices may be open at once; they are moved once if more comes. Input is copied exactly once else.
 * Locks: `lock` guards pending, has_others and failure; the rest belongs to the one thread that
 * writes.
 */
#include "core/clock.h"
#include "core/hash.h"
#include "core/limits.h"
#include "fs/data/data_internal.h"

#include <string.h>

#define UPLOAD_ATTEMPTS 4

struct loam_slice_writer {
	struct loam_data *data;
	uint64_t id;
	uint32_t bytes, current_start;
	struct loam_buffer *current; /* NULL: nothing behind current_start */
	struct loam_hasher *hasher;  /* NULL: nobody asks for a digest */
	bool ended, finished;

	pthread_mutex_t lock;
	pthread_cond_t uploaded;
	size_t pending;
	bool has_others; /* the store holds other bytes under this number: not ours to remove */
	struct loam_err failure; /* sticky */
};

int loam_slice_writer_new(struct loam_data *data, struct loam_slice_writer **out_writer,
			  struct loam_err *err)
{
	uint64_t id;
	int rc = loam_meta_new_slice(data->meta, &id, err);
	if (rc < 0)
		return rc;
	struct loam_slice_writer *writer = loam_xnew(struct loam_slice_writer);
	writer->data = data;
	writer->id = id;
	pthread_mutex_init(&writer->lock, NULL);
	pthread_cond_init(&writer->uploaded, NULL);
	*out_writer = writer;
	return 0;
}

uint32_t loam_slice_writer_bytes(const struct loam_slice_writer *writer)
{
	return writer->bytes;
}

void loam_slice_writer_hash(struct loam_slice_writer *writer, struct loam_hasher *hasher)
{
	writer->hasher = hasher;
}

uint64_t loam_slice_writer_id(const struct loam_slice_writer *writer)
{
	return writer->id;
}

static int failure(struct loam_slice_writer *writer, struct loam_err *err)
{
	loam_guard(&writer->lock);
	if (writer->failure.code == LOAM_E_OK)
		return 0;
	return loam_fail(err, writer->failure.code, "%s", writer->failure.text);
}

static void set_failure(struct loam_slice_writer *writer, const struct loam_err *why)
{
	loam_guard(&writer->lock);
	writer->has_others = writer->has_others || why->code == LOAM_E_CORRUPT;
	if (writer->failure.code == LOAM_E_OK)
		writer->failure = *why;
}

/* ---- uploading ---- */

static void put_block(struct loam_slice_writer *writer, const struct loam_buffer *buffer)
{
	struct loam_store *store = writer->data->store;
	const struct loam_block_naming *naming = &writer->data->naming;
	char key[LOAM_BLOCK_KEY_BYTES];
	loam_block_key(naming, writer->id, buffer->index * naming->block_bytes + buffer->bytes,
		       buffer->index, key);

	for (int attempt = 1;; attempt++) {
		struct loam_err err = { 0 };
		if (failure(writer, &err) < 0)
			return; /* the slice is lost anyway */
		int rc = store->ops->put(store, key, buffer->data, buffer->bytes, &err);
		if (rc == 0)
			return;
		if (!loam_code_may_retry(rc) || attempt == UPLOAD_ATTEMPTS) {
			set_failure(writer, &err);
			return;
		}
		uint64_t pause_ms = 50ull * (uint64_t)(attempt * attempt);
		loam_clock_sleep_ms(pause_ms + loam_random_below(pause_ms));
	}
}

void loam_slice_writer_upload(void *arg)
{
	struct loam_buffer *buffer = arg;
	struct loam_slice_writer *writer = buffer->owner;
	put_block(writer, buffer);
	loam_buffer_give(writer->data->buffers, buffer);

	loam_guard(&writer->lock);
	writer->pending--;
	pthread_cond_broadcast(&writer->uploaded);
}

/* Hands the current block on. */
static void upload_current(struct loam_slice_writer *writer)
{
	struct loam_buffer *buffer = loam_steal(&writer->current);
	buffer->owner = writer;
	buffer->index = writer->current_start / writer->data->naming.block_bytes;
	buffer->bytes = writer->bytes - writer->current_start;
	writer->current_start = writer->bytes;
	pthread_mutex_lock(&writer->lock);
	writer->pending++;
	pthread_mutex_unlock(&writer->lock);
	loam_buffer_uploads(writer->data->buffers, buffer);
	if (writer->hasher)
		loam_hasher_add(writer->hasher, buffer);
	else
		loam_pool_submit(writer->data->upload, loam_slice_writer_upload, buffer);
}

static void wait_uploads(struct loam_slice_writer *writer)
{
	loam_guard(&writer->lock);
	while (writer->pending > 0)
		pthread_cond_wait(&writer->uploaded, &writer->lock);
}

/* ---- filling ---- */

bool loam_slice_writer_takes(const struct loam_slice_writer *writer, uint32_t offset)
{
	return !writer->ended && offset >= writer->current_start && offset <= writer->bytes &&
	       offset < LOAM_CHUNK_BYTES;
}

/* Bytes the buffer must hold for this write, and whether that takes a whole one. */
static bool wants_whole(const struct loam_slice_writer *writer, uint32_t offset, size_t count,
			size_t *out_bytes)
{
	size_t block_bytes = writer->data->naming.block_bytes;
	size_t needed = offset - writer->current_start + count;
	*out_bytes = needed < block_bytes ? needed : block_bytes;
	return writer->current_start > 0 || *out_bytes > LOAM_BUFFER_SMALL_BYTES;
}

static void use_buffer(struct loam_slice_writer *writer, struct loam_buffer *buffer)
{
	if (writer->current) {
		memcpy(buffer->data, writer->current->data, writer->bytes - writer->current_start);
		loam_buffer_give(writer->data->buffers, writer->current);
	}
	writer->current = buffer;
}

bool loam_slice_writer_prepare(struct loam_slice_writer *writer, uint32_t offset, size_t count,
			       struct loam_buffer **spare)
{
	size_t needed;
	bool whole = wants_whole(writer, offset, count, &needed);
	if (writer->current && writer->current->capacity >= needed)
		return true;
	struct loam_buffer *buffer = NULL;
	if (spare && *spare && (*spare)->capacity >= needed)
		buffer = loam_steal(spare);
	else
		buffer = loam_buffer_try(writer->data->buffers, whole);
	if (!buffer)
		return false;
	use_buffer(writer, buffer);
	return true;
}

size_t loam_slice_writer_write(struct loam_slice_writer *writer, uint32_t offset, const void *bytes,
			       size_t count)
{
	size_t block_bytes = writer->data->naming.block_bytes;
	size_t at = offset - writer->current_start;
	size_t room = writer->current->capacity - at;
	if (count > room)
		count = room;
	memcpy(writer->current->data + at, bytes, count);
	if (offset + count > writer->bytes)
		writer->bytes = offset + (uint32_t)count;
	if (writer->bytes - writer->current_start == block_bytes)
		upload_current(writer);
	return count;
}

int loam_slice_writer_add(struct loam_slice_writer *writer, const void *bytes, size_t count,
			  struct loam_err *err)
{
	loam_assert(!writer->ended);
	if (count > LOAM_CHUNK_BYTES - writer->bytes)
		return loam_fail(err, LOAM_E_TOO_LARGE, "a slice over %u bytes", LOAM_CHUNK_BYTES);
	const uint8_t *from = bytes;
	while (count > 0) {
		int rc = failure(writer, err);
		if (rc < 0)
			return rc;
		if (!loam_slice_writer_prepare(writer, writer->bytes, count, NULL)) {
			size_t needed;
			bool whole = wants_whole(writer, writer->bytes, count, &needed);
			use_buffer(writer, loam_buffer_take(writer->data->buffers, whole));
		}
		size_t done = loam_slice_writer_write(writer, writer->bytes, from, count);
		from += done;
		count -= done;
	}
	return failure(writer, err);
}

void loam_slice_writer_end(struct loam_slice_writer *writer)
{
	writer->ended = true;
	if (writer->current && writer->bytes > writer->current_start)
		upload_current(writer);
}

/* ---- finishing ---- */

static size_t block_count(const struct loam_slice_writer *writer)
{
	return loam_block_count(&writer->data->naming, writer->bytes);
}

/* Makes the blocks of all of them durable together. */
static int sync_blocks(struct loam_slice_writer *const *writers, size_t count, struct loam_err *err)
{
	size_t total = 0, at = 0;
	for (size_t i = 0; i < count; i++)
		total += block_count(writers[i]);
	char(*names)[LOAM_BLOCK_KEY_BYTES] = loam_xcalloc(total + 1, sizeof(*names));
	loam_auto_free void *owned = names;
	loam_auto_free const char **keys = loam_xcalloc(total + 1, sizeof(*keys));
	for (size_t i = 0; i < count; i++) {
		for (uint32_t block = 0; block < block_count(writers[i]); block++, at++) {
			loam_block_key(&writers[i]->data->naming, writers[i]->id, writers[i]->bytes,
				       block, names[at]);
			keys[at] = names[at];
		}
	}
	struct loam_store *store = writers[0]->data->store;
	return store->ops->sync(store, keys, total, err);
}

int loam_slice_writers_finish(struct loam_slice_writer *const *writers, size_t count,
			      struct loam_err *err)
{
	for (size_t i = 0; i < count; i++)
		loam_slice_writer_end(writers[i]);
	int rc = 0;
	for (size_t i = 0; i < count; i++) {
		wait_uploads(writers[i]);
		if (rc == 0)
			rc = failure(writers[i], err);
	}
	if (rc == 0 && count > 0)
		rc = sync_blocks(writers, count, err);
	for (size_t i = 0; i < count; i++) {
		if (rc < 0)
			set_failure(writers[i], err);
		else
			writers[i]->finished = true;
	}
	return rc;
}

int loam_slice_writer_finish(struct loam_slice_writer *writer, uint64_t *out_id, uint32_t *out_size,
			     struct loam_err *err)
{
	if (writer->bytes == 0)
		return loam_fail(err, LOAM_E_INVALID, "a slice without bytes");
	int rc = writer->finished ? 0 : loam_slice_writers_finish(&writer, 1, err);
	if (rc < 0)
		return rc;
	*out_id = writer->id;
	*out_size = writer->bytes;
	return 0;
}

void loam_slice_writer_free(struct loam_slice_writer *writer)
{
	if (!writer)
		return;
	wait_uploads(writer);
	if (writer->current)
		loam_buffer_give(writer->data->buffers, writer->current);
	if (!writer->finished && !writer->has_others && writer->bytes > 0)
		loam_data_remove_blocks(writer->data->store, &writer->data->naming, writer->id,
					writer->bytes);
	pthread_cond_destroy(&writer->uploaded);
	pthread_mutex_destroy(&writer->lock);
	free(writer);
}
