/*
 * What hangs together in fs/data: options, pools, the write buffer, and the few operations on whole
 * slices that several files of this folder need (step 4 of a push, and its opposite in step 9).
 */
#include "core/limits.h"
#include "core/log.h"
#include "fs/data/data_internal.h"

#include <string.h>

#define HASH_THREADS	   4
#define UPLOAD_THREADS	   4
#define DOWNLOAD_THREADS   8
#define THREADS_MAX	   256
#define FINISH_THREADS	   4
#define FINISH_QUEUE	   4096
#define DOWNLOAD_QUEUE	   1024
#define WRITE_BUFFER_BYTES (32ull << 20)
#define READAHEAD_BYTES	   (16ull << 20)
#define NEXT_CHUNK_COUNTER "nextchunk"

struct loam_meta *loam_data_meta(struct loam_data *data)
{
	return data->meta;
}

struct loam_store *loam_data_store(struct loam_data *data)
{
	return data->store;
}

struct loam_cache *loam_data_cache(struct loam_data *data)
{
	return data->cache;
}

const struct loam_block_naming *loam_data_naming(const struct loam_data *data)
{
	return &data->naming;
}

/* ---- whole slices ---- */

void loam_data_remove_blocks(struct loam_store *store, const struct loam_block_naming *naming,
			     uint64_t id, uint32_t size)
{
	uint32_t count = loam_block_count(naming, size);
	for (uint32_t index = 0; index < count; index++) {
		struct loam_err err = { 0 };
		char key[LOAM_BLOCK_KEY_BYTES];
		loam_block_key(naming, id, size, index, key);
		if (store->ops->remove(store, key, &err) < 0)
			loam_debug("data.remove", "key=%s why=%s", key, err.text);
	}
}

void loam_data_delete_slice(void *arg, uint64_t id, uint32_t size)
{
	struct loam_data *data = arg;
	loam_data_remove_blocks(data->store, &data->naming, id, size);
	if (!data->cache)
		return;
	char key[LOAM_CACHE_KEY_BYTES];
	snprintf(key, sizeof(key), "slice/%llu_%u", (unsigned long long)id, size);
	loam_cache_drop(data->cache, key);
}

int loam_data_commit(struct loam_data *data, uint64_t ino, uint32_t chunk_index,
		     const struct loam_slice *slice, struct timespec mtime,
		     struct loam_attr *out_attr, struct loam_err *err)
{
	uint64_t record_count = 0;
	int rc = loam_meta_write(data->meta, ino, chunk_index, slice, mtime, out_attr,
				 &record_count, err);
	if (rc == -LOAM_E_NOT_FOUND || rc == -LOAM_E_NO_SPACE || rc == -LOAM_E_QUOTA)
		loam_data_remove_blocks(data->store, &data->naming, slice->id, slice->size);
	if (rc == 0 && loam_compact_due(record_count))
		loam_compact_ask(data, ino, chunk_index);
	return rc;
}

int loam_data_read_slice(struct loam_data *data, uint64_t id, uint32_t size, uint32_t off,
			 void *out, size_t bytes, struct loam_err *err)
{
	const struct loam_block_naming *naming = &data->naming;
	uint8_t *to = out;
	while (bytes > 0) {
		uint32_t index = off / naming->block_bytes;
		uint32_t at = off % naming->block_bytes;
		size_t step = loam_block_bytes(naming, size, index);
		if (at >= step)
			return loam_fail(err, LOAM_E_CORRUPT,
					 "slice %llu has %u bytes, not the one at %u",
					 (unsigned long long)id, size, off);
		step -= at;
		if (step > bytes)
			step = bytes;
		char key[LOAM_BLOCK_KEY_BYTES];
		loam_block_key(naming, id, size, index, key);
		int rc = data->store->ops->get(data->store, key, at, to, step, err);
		if (rc < 0)
			return rc;
		to += step;
		off += (uint32_t)step;
		bytes -= step;
	}
	return 0;
}

/* ---- opening ---- */

static void press_flusher(void *arg)
{
	struct loam_data *data = arg;
	loam_guard(&data->registry_lock);
	data->pressed = true;
	pthread_cond_signal(&data->flusher_wakes);
}

/* The counter of slice ids: the cache must not know later ones. */
static int read_next_chunk(struct loam_meta *meta, uint64_t *out, struct loam_err *err)
{
	struct loam_engine *engine = loam_meta_engine(meta);
	const struct loam_record record = { .kind = LOAM_REC_COUNTER,
					    .name = loam_name_of(NEXT_CHUNK_COUNTER) };
	struct loam_value value;
	int rc = engine->ops->read(engine, &record, 1, &value, err);
	if (rc < 0)
		return rc;
	char text[32] = "0";
	snprintf(text, sizeof(text), "%.*s", (int)value.bytes,
		 value.present ? (char *)value.data : "");
	loam_value_release(&value);
	*out = strtoull(text, NULL, 10);
	return 0;
}

static int open_cache(struct loam_data *data, const struct loam_data_options *options,
		      struct loam_err *err)
{
	if (!options->cache_dir)
		return 0;
	uint64_t next_chunk;
	int rc = read_next_chunk(data->meta, &next_chunk, err);
	if (rc < 0)
		return rc;
	rc = loam_cache_open(options->cache_dir, loam_meta_format(data->meta)->uuid,
			     options->cache_bytes, next_chunk, &data->cache, err);
	return rc < 0 ? rc : loam_later_new(data, &data->later, err);
}

static size_t threads_of(size_t asked, size_t standard)
{
	if (asked == 0)
		return standard;
	return asked < THREADS_MAX ? asked : THREADS_MAX;
}

static int start_pools(struct loam_data *data, const struct loam_data_options *options,
		       struct loam_err *err)
{
	size_t buffers_max = loam_buffers_count_max(data->buffers);
	int rc = loam_pool_new("hash", HASH_THREADS, buffers_max + 1, &data->hash, err);
	if (rc == 0)
		rc = loam_pool_new("upload", threads_of(options->upload_threads, UPLOAD_THREADS),
				   buffers_max + 1, &data->upload, err);
	if (rc == 0)
		rc = loam_pool_new("download",
				   threads_of(options->download_threads, DOWNLOAD_THREADS),
				   DOWNLOAD_QUEUE, &data->download, err);
	if (rc == 0)
		rc = loam_pool_new("finish", FINISH_THREADS, FINISH_QUEUE, &data->finish, err);
	if (rc < 0)
		return rc;
	data->compactor = loam_compactor_new(data, err);
	return data->compactor ? 0 : -(int)err->code;
}

static int start_flusher(struct loam_data *data, struct loam_err *err)
{
	int rc = pthread_create(&data->flusher, NULL, loam_file_flusher, data);
	if (rc != 0)
		return loam_fail(err, LOAM_E_BUSY, "start a thread: %s", strerror(rc));
	data->flusher_runs = true;
	return 0;
}

static void init_registry(struct loam_data *data)
{
	pthread_mutex_init(&data->registry_lock, NULL);
	pthread_cond_init(&data->flusher_wakes, NULL);
}

int loam_data_open(struct loam_meta *meta, struct loam_store *store,
		   const struct loam_data_options *options, struct loam_data **out_data,
		   struct loam_err *err)
{
	const struct loam_format *format = loam_meta_format(meta);
	struct loam_data *data = loam_xnew(struct loam_data);
	data->meta = meta;
	data->store = store;
	data->naming.block_bytes = format->block_kib << 10;
	data->naming.hash_prefix = format->hash_prefix;
	snprintf(data->naming.volume, sizeof(data->naming.volume), "%s", format->name);
	data->readahead_bytes =
		options->readahead_bytes ? options->readahead_bytes : READAHEAD_BYTES;
	init_registry(data);
	data->buffers = loam_buffers_new(options->write_buffer_bytes ? options->write_buffer_bytes
								     : WRITE_BUFFER_BYTES,
					 data->naming.block_bytes, press_flusher, data);
	data->fetch = loam_fetch_new(data->readahead_bytes);
	data->contents = loam_contents_new();

	int rc = open_cache(data, options, err);
	if (rc == 0)
		rc = start_pools(data, options, err);
	if (rc == 0)
		rc = start_flusher(data, err);
	if (rc < 0) {
		loam_data_close(data);
		return rc;
	}
	*out_data = data;
	return 0;
}

static void stop_flusher(struct loam_data *data)
{
	if (!data->flusher_runs)
		return;
	pthread_mutex_lock(&data->registry_lock);
	data->ending = true;
	pthread_cond_signal(&data->flusher_wakes);
	pthread_mutex_unlock(&data->registry_lock);
	pthread_join(data->flusher, NULL);
}

void loam_data_close(struct loam_data *data)
{
	if (!data)
		return;
	stop_flusher(data);
	loam_pool_free(data->finish);
	loam_assert(data->files == NULL);
	loam_compactor_free(data->compactor);
	loam_pool_free(data->hash);
	loam_pool_free(data->upload);
	loam_pool_free(data->download);
	loam_later_free(data->later);
	loam_fetch_free(data->fetch);
	loam_contents_free(data->contents);
	loam_buffers_free(data->buffers);
	loam_cache_close(data->cache);
	pthread_cond_destroy(&data->flusher_wakes);
	pthread_mutex_destroy(&data->registry_lock);
	free(data);
}
