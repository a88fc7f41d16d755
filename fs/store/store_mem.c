/*
 * The block store in memory: a real engine, for tests and for trying things out. One mutex, one
 * hash table; nothing outlives the process, so sync has nothing to do.
 */
#include "core/auto.h"
#include "core/clock.h"
#include "fs/store/store.h"

#include <string.h>
#include <uthash.h>

struct object {
	UT_hash_handle hh;
	char *key;
	uint8_t *data;
	size_t bytes;
	time_t mtime;
};

struct store_mem {
	struct loam_store base;
	pthread_mutex_t lock; /* all below */
	struct object *objects;
};

static const struct loam_store_ops mem_ops;

static struct store_mem *store_mem(struct loam_store *store)
{
	loam_assert(store->ops == &mem_ops);
	return (struct store_mem *)store;
}

static struct object *find(struct store_mem *mem, const char *key)
{
	struct object *object;
	HASH_FIND_STR(mem->objects, key, object);
	return object;
}

static void drop(struct store_mem *mem, struct object *object)
{
	HASH_DEL(mem->objects, object);
	free(object->key);
	free(object->data);
	free(object);
}

static int mem_put(struct loam_store *store, const char *key, const void *data, size_t data_bytes,
		   struct loam_err *err)
{
	struct store_mem *mem = store_mem(store);
	loam_auto_free uint8_t *copy = malloc(data_bytes ? data_bytes : 1);
	if (!copy)
		return loam_fail(err, LOAM_E_NO_SPACE, "memory for %zu bytes of %s", data_bytes,
				 key);
	if (data_bytes)
		memcpy(copy, data, data_bytes);

	loam_guard(&mem->lock);
	struct object *object = find(mem, key);
	if (object && object->bytes == data_bytes)
		return memcmp(object->data, copy, data_bytes) == 0
			       ? 0
			       : loam_store_has_others(key, err);
	if (object)
		drop(mem, object);
	object = loam_xnew(struct object);
	object->key = loam_xstrdup(key);
	object->data = loam_steal(&copy);
	object->bytes = data_bytes;
	object->mtime = loam_clock_now().tv_sec;
	HASH_ADD_KEYPTR(hh, mem->objects, object->key, strlen(object->key), object);
	return 0;
}

static int mem_sync(struct loam_store *store, const char *const *keys, size_t key_count,
		    struct loam_err *err)
{
	struct store_mem *mem = store_mem(store);
	loam_guard(&mem->lock);
	for (size_t i = 0; i < key_count; i++)
		if (!find(mem, keys[i]))
			return loam_fail(err, LOAM_E_NOT_FOUND, "no object %s", keys[i]);
	return 0;
}

static int mem_get(struct loam_store *store, const char *key, uint64_t offset, void *out,
		   size_t out_bytes, struct loam_err *err)
{
	struct store_mem *mem = store_mem(store);
	loam_guard(&mem->lock);
	struct object *object = find(mem, key);
	if (!object)
		return loam_fail(err, LOAM_E_NOT_FOUND, "no object %s", key);
	if (offset > object->bytes || out_bytes > object->bytes - offset)
		return loam_fail(err, LOAM_E_CORRUPT, "object %s has %zu bytes, %zu wanted at %llu",
				 key, object->bytes, out_bytes, (unsigned long long)offset);
	memcpy(out, object->data + offset, out_bytes);
	return 0;
}

static int mem_size(struct loam_store *store, const char *key, uint64_t *out_bytes,
		    struct loam_err *err)
{
	struct store_mem *mem = store_mem(store);
	loam_guard(&mem->lock);
	struct object *object = find(mem, key);
	if (!object)
		return 0;
	*out_bytes = object->bytes;
	return 1;
}

static int mem_remove(struct loam_store *store, const char *key, struct loam_err *err)
{
	struct store_mem *mem = store_mem(store);
	loam_guard(&mem->lock);
	struct object *object = find(mem, key);
	if (object)
		drop(mem, object);
	return 0;
}

/* What a listing shows, copied so that seen runs without the lock. */
struct shown {
	char *key;
	uint64_t bytes;
	time_t mtime;
};

static struct shown *snapshot(struct store_mem *mem, const char *prefix, size_t *out_count)
{
	loam_guard(&mem->lock);
	struct shown *shown = loam_xcalloc(HASH_COUNT(mem->objects) + 1, sizeof(*shown));
	struct object *object, *next;
	size_t count = 0;
	HASH_ITER (hh, mem->objects, object, next) {
		if (strncmp(object->key, prefix, strlen(prefix)) != 0)
			continue;
		shown[count++] =
			(struct shown){ loam_xstrdup(object->key), object->bytes, object->mtime };
	}
	*out_count = count;
	return shown;
}

static int mem_list(struct loam_store *store, const char *prefix, loam_store_seen_fn *seen,
		    void *arg, struct loam_err *err)
{
	size_t count;
	loam_auto_free struct shown *shown = snapshot(store_mem(store), prefix, &count);
	int rc = 0;
	for (size_t i = 0; i < count; i++) {
		struct loam_store_entry entry = { shown[i].key, shown[i].bytes, shown[i].mtime };
		if (rc == 0)
			rc = seen(arg, &entry, err);
		free(shown[i].key);
	}
	return rc;
}

static void mem_free(struct loam_store *store)
{
	struct store_mem *mem = store_mem(store);
	struct object *object, *next;
	HASH_ITER (hh, mem->objects, object, next)
		drop(mem, object);
	pthread_mutex_destroy(&mem->lock);
	free(mem);
}

static const struct loam_store_ops mem_ops = {
	.name = "mem",
	.put = mem_put,
	.sync = mem_sync,
	.get = mem_get,
	.size = mem_size,
	.remove = mem_remove,
	.list = mem_list,
	.open_local = NULL,
	.free = mem_free,
};

int loam_store_mem_open(struct loam_store **out_store, struct loam_err *err)
{
	struct store_mem *mem = loam_xnew(struct store_mem);
	mem->base.ops = &mem_ops;
	pthread_mutex_init(&mem->lock, NULL);
	*out_store = &mem->base;
	return 0;
}
