/* A volume in memory whose store remembers (tests/support/data_volume.h). */
#include "tests/support/data_volume.h"

#include "core/auto.h"
#include "core/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <uthash.h>

#include <cmocka.h>

struct seen_key {
	UT_hash_handle hh;
	char *key;
	bool synced;
};

struct store_log {
	struct loam_store base;
	struct loam_store *inner;
	pthread_mutex_t lock;
	struct seen_key *keys;
	size_t gets;
};

static struct store_log *log_of(struct loam_store *store)
{
	return (struct store_log *)store;
}

static void note(struct store_log *log, const char *key, bool synced)
{
	loam_guard(&log->lock);
	struct seen_key *seen;
	HASH_FIND_STR(log->keys, key, seen);
	if (!seen) {
		seen = loam_xnew(struct seen_key);
		seen->key = loam_xstrdup(key);
		HASH_ADD_KEYPTR(hh, log->keys, seen->key, strlen(seen->key), seen);
	}
	seen->synced = synced;
}

static bool was_synced(struct store_log *log, const char *key)
{
	loam_guard(&log->lock);
	struct seen_key *seen;
	HASH_FIND_STR(log->keys, key, seen);
	return seen && seen->synced;
}

static int log_put(struct loam_store *store, const char *key, const void *data, size_t data_bytes,
		   struct loam_err *err)
{
	struct store_log *log = log_of(store);
	note(log, key, false);
	return log->inner->ops->put(log->inner, key, data, data_bytes, err);
}

static int log_sync(struct loam_store *store, const char *const *keys, size_t key_count,
		    struct loam_err *err)
{
	struct store_log *log = log_of(store);
	int rc = log->inner->ops->sync(log->inner, keys, key_count, err);
	for (size_t i = 0; i < key_count && rc == 0; i++)
		note(log, keys[i], true);
	return rc;
}

static int log_get(struct loam_store *store, const char *key, uint64_t offset, void *out,
		   size_t out_bytes, struct loam_err *err)
{
	struct store_log *log = log_of(store);
	{
		loam_guard(&log->lock);
		log->gets++;
	}
	return log->inner->ops->get(log->inner, key, offset, out, out_bytes, err);
}

static int log_size(struct loam_store *store, const char *key, uint64_t *out_bytes,
		    struct loam_err *err)
{
	return log_of(store)->inner->ops->size(log_of(store)->inner, key, out_bytes, err);
}

static int log_remove(struct loam_store *store, const char *key, struct loam_err *err)
{
	return log_of(store)->inner->ops->remove(log_of(store)->inner, key, err);
}

static int log_list(struct loam_store *store, const char *prefix, loam_store_seen_fn *seen,
		    void *arg, struct loam_err *err)
{
	return log_of(store)->inner->ops->list(log_of(store)->inner, prefix, seen, arg, err);
}

static int log_open_local(struct loam_store *store, const char *key, int *out_fd,
			  struct loam_err *err)
{
	return log_of(store)->inner->ops->open_local(log_of(store)->inner, key, out_fd, err);
}

static void log_free(struct loam_store *store)
{
	struct store_log *log = log_of(store);
	struct seen_key *seen, *next;
	HASH_ITER (hh, log->keys, seen, next) {
		HASH_DEL(log->keys, seen);
		free(seen->key);
		free(seen);
	}
	log->inner->ops->free(log->inner);
	pthread_mutex_destroy(&log->lock);
	free(log);
}

static const struct loam_store_ops log_ops = {
	.name = "log",
	.put = log_put,
	.sync = log_sync,
	.get = log_get,
	.size = log_size,
	.remove = log_remove,
	.list = log_list,
	.free = log_free,
};

static const struct loam_store_ops log_file_ops = {
	.name = "log",
	.put = log_put,
	.sync = log_sync,
	.get = log_get,
	.size = log_size,
	.remove = log_remove,
	.list = log_list,
	.open_local = log_open_local,
	.free = log_free,
};

static struct loam_store *open_inner(const char *rules)
{
	struct loam_err err = { 0 };
	struct loam_store *inner, *fault;
	if (*rules == '/') {
		assert_int_equal(loam_store_file_open(rules, &inner, &err), 0);
		return inner;
	}
	assert_int_equal(loam_store_mem_open(&inner, &err), 0);
	assert_int_equal(loam_store_fault_open(inner, rules, &fault, &err), 0);
	return fault;
}

static struct loam_store *open_store(const char *rules)
{
	struct store_log *log = loam_xnew(struct store_log);
	log->base.ops = *rules == '/' ? &log_file_ops : &log_ops;
	log->inner = open_inner(rules);
	pthread_mutex_init(&log->lock, NULL);
	return &log->base;
}

static struct loam_engine *open_engine(uint32_t block_kib)
{
	struct loam_err err = { 0 };
	struct loam_engine *engine;
	assert_int_equal(loam_engine_open("mem://", &engine, &err), 0);
	char text[512];
	snprintf(text, sizeof(text),
		 "{\"Name\":\"vol\",\"UUID\":\"e94d66a8-2339-4abd-b8d8-6812df737892\","
		 "\"Storage\":\"mem\",\"Bucket\":\"\",\"BlockSize\":%u,\"Compression\":\"none\","
		 "\"TrashDays\":0,\"MetaVersion\":1}",
		 block_kib);
	struct loam_format *format;
	assert_int_equal(loam_format_parse(text, strlen(text), &format, &err), 0);
	assert_int_equal(loam_meta_format_volume(engine, format, 0, 0, 0755, false, &err), 0);
	loam_format_free(format);
	return engine;
}

void data_volume_open(struct data_volume *volume, const char *rules, uint32_t block_kib,
		      const struct loam_data_options *options)
{
	struct loam_err err = { 0 };
	const struct loam_data_options standard = { 0 };
	const struct loam_meta_options meta_options = { 0 };
	*volume = (struct data_volume){ .store = open_store(rules) };
	struct loam_engine *engine = open_engine(block_kib);
	assert_int_equal(loam_meta_open(engine, &meta_options, &volume->meta, &err), 0);
	assert_int_equal(loam_data_open(volume->meta, volume->store, options ? options : &standard,
					&volume->data, &err),
			 0);
}

void data_volume_close(struct data_volume *volume)
{
	loam_data_close(volume->data);
	loam_meta_close(volume->meta);
	volume->store->ops->free(volume->store);
}

uint64_t data_volume_file(struct data_volume *volume, struct loam_attr *out_attr)
{
	struct loam_err err = { 0 };
	const struct loam_create create = { .type = LOAM_TYPE_FILE, .mode = 0644 };
	struct loam_attr attr;
	uint64_t ino;
	char name[32];
	snprintf(name, sizeof(name), "file%u", volume->made++);
	assert_int_equal(loam_meta_create(volume->meta, &loam_who_root, LOAM_INO_ROOT,
					  loam_name_of(name), &create, &ino, &attr, &err),
			 0);
	if (out_attr)
		*out_attr = attr;
	return ino;
}

static void check_slice(struct data_volume *volume, const struct loam_slice *slice)
{
	struct loam_err err = { 0 };
	const struct loam_block_naming *naming = loam_data_naming(volume->data);
	uint32_t count = slice->id ? loam_block_count(naming, slice->size) : 0;
	for (uint32_t i = 0; i < count; i++) {
		char key[LOAM_BLOCK_KEY_BYTES];
		uint64_t bytes;
		loam_block_key(naming, slice->id, slice->size, i, key);
		assert_true(was_synced(log_of(volume->store), key));
		assert_int_equal(volume->store->ops->size(volume->store, key, &bytes, &err), 1);
		assert_int_equal(bytes, loam_block_bytes(naming, slice->size, i));
	}
}

void data_volume_check_durable(struct data_volume *volume, uint64_t ino)
{
	struct loam_err err = { 0 };
	struct loam_attr attr;
	assert_int_equal(loam_meta_getattr(volume->meta, ino, &attr, &err), 0);
	uint32_t count = (uint32_t)(attr.length / LOAM_CHUNK_BYTES) + 1;
	for (uint32_t index = 0; index < count; index++) {
		struct loam_chunk chunk = { 0 };
		assert_int_equal(loam_meta_chunks(volume->meta, ino, index, 1, &chunk, &err), 0);
		for (size_t i = 0; i < chunk.slice_count; i++)
			check_slice(volume, &chunk.slices[i]);
		free(chunk.slices);
	}
}

static int count_one(void *arg, const struct loam_store_entry *entry, struct loam_err *err)
{
	++*(size_t *)arg;
	return 0;
}

size_t data_volume_blocks(struct data_volume *volume)
{
	struct loam_err err = { 0 };
	size_t count = 0;
	assert_int_equal(volume->store->ops->list(volume->store, "", count_one, &count, &err), 0);
	return count;
}

size_t data_volume_gets(struct data_volume *volume)
{
	struct store_log *log = log_of(volume->store);
	loam_guard(&log->lock);
	return log->gets;
}

void data_volume_expect(struct data_volume *volume, uint64_t ino, const uint8_t *model,
			size_t bytes)
{
	struct loam_err err = { 0 };
	struct loam_reader *reader;
	uint8_t *out = malloc(bytes + 1);
	size_t got = 0;
	assert_int_equal(loam_reader_new(volume->data, ino, bytes, &reader, &err), 0);
	int rc = loam_reader_read(reader, 0, out, bytes + 1, &got, &err);
	if (rc < 0)
		print_error("%s\n", err.text);
	assert_int_equal(rc, 0);
	assert_int_equal(got, bytes);
	for (size_t i = 0; i < bytes; i++)
		if (out[i] != model[i])
			fail_msg("byte %zu is %u, not %u", i, out[i], model[i]);
	loam_reader_free(reader);
	free(out);
}

void data_volume_pattern(uint8_t *out, size_t bytes, uint32_t seed)
{
	uint32_t value = seed * 2654435761u + 1;
	for (size_t i = 0; i < bytes; i++) {
		value = value * 1664525u + 1013904223u;
		out[i] = (uint8_t)(value >> 24);
	}
}
