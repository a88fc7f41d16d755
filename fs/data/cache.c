/*
 * The node cache as a whole: the table of open files, the guard against metadata that went back in
 * time, and the keeper, a thread that makes room, completes files and closes idle ones (step 9 of a
 * push).
 *
 * `seen` holds a decimal number: ids of slices up to it may be in the cache. It grows in steps of
 * 4096, which is how ids are handed out (format §2.6), and is durable before the first block with
 * such an id is stored. When the counter of ids is below it, the metadata is older than the cache
 * and the same id may come to name other bytes: all is removed.
 *
 * A cache that cannot work (disk full, read-only, wiped, broken) answers "not here": opening it
 * never fails for that.
 */
#include "core/atomic_file.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/sys.h"
#include "fs/data/cache_internal.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/vfs.h>
#include <utlist.h>

#define MAX_BYTES_STANDARD (10ull << 30)
#define SEEN_STEP	   4096u /* ids are handed out in batches of as many */
#define SEEN_NAME	   "seen"
#define SEEN_BYTES_MAX	   32u
#define IDLE_MAX	   256u
#define IDLE_MS		   30000u
#define KEEPER_STEP_MS	   2000
#define KEEPER_CHECKS_MAX  64u
#define TOUCH_EVERY_MS	   10000u
#define WARN_EVERY_MS	   60000u
#define BOOT_ID_PATH	   "/proc/sys/kernel/random/boot_id"

char *loam_cache_path(const struct loam_cache *cache, const char *key, const char *suffix)
{
	return loam_xasprintf("%s/%s%s", cache->root, key, suffix);
}

void loam_cache_warn(struct loam_cache *cache, const struct loam_err *why)
{
	uint64_t now_ms = loam_clock_ms(), last_ms = cache->warned_ms;
	if ((last_ms && now_ms - last_ms < WARN_EVERY_MS) ||
	    !atomic_compare_exchange_strong(&cache->warned_ms, &last_ms, now_ms))
		loam_debug("cache.disk", "dir=%s problem=%s", cache->root, why->text);
	else
		loam_warn("cache.disk", "dir=%s problem=%s", cache->root, why->text);
}

int loam_cache_make_dirs(struct loam_cache *cache, struct loam_err *err)
{
	static const char *const names[] = { "slice", "content" };
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(names); i++) {
		loam_auto_free char *path = loam_cache_path(cache, names[i], "");
		int rc = loam_mkdir_all(path, 0700, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* ---- seen ---- */

/* 1 with the number, 0 when there is none that can be believed. */
static int read_seen(const struct loam_cache *cache, uint64_t *out)
{
	loam_auto_free char *path = loam_cache_path(cache, SEEN_NAME, "");
	loam_auto_buf struct loam_buf text = LOAM_BUF(SEEN_BYTES_MAX);
	struct loam_err err = { 0 };
	if (loam_path_read_all(path, &text, &err) < 0 || text.bytes < 2 ||
	    text.data[text.bytes - 1] != '\n' || !isdigit(text.data[0]))
		return 0;
	char *end;
	errno = 0;
	*out = strtoull((char *)text.data, &end, 10);
	return errno == 0 && *end == '\n';
}

/* Under seen_lock. Another process of the node may have written more. */
static int write_seen(struct loam_cache *cache, uint64_t seen, struct loam_err *err)
{
	loam_auto_free char *path = loam_cache_path(cache, SEEN_NAME, "");
	uint64_t present;
	if (read_seen(cache, &present) && present >= seen) {
		cache->seen = present;
		return 0;
	}
	char text[SEEN_BYTES_MAX];
	int bytes = snprintf(text, sizeof(text), "%llu\n", (unsigned long long)seen);
	int rc = loam_atomic_file_put(path, 0600, text, (size_t)bytes, err);
	if (rc == 0)
		cache->seen = seen;
	return rc;
}

int loam_cache_keep_seen(struct loam_cache *cache, struct loam_err *err)
{
	if (cache->seen_wanted <= cache->seen)
		return 0;
	loam_guard(&cache->seen_lock);
	if (cache->seen_wanted <= cache->seen)
		return 0;
	int rc = write_seen(cache, cache->seen_wanted, err);
	if (rc == -LOAM_E_NOT_FOUND) {
		loam_err_clear(err);
		rc = loam_cache_make_dirs(cache, err);
		if (rc == 0)
			rc = write_seen(cache, cache->seen_wanted, err);
	}
	if (rc < 0)
		loam_cache_warn(cache, err);
	return rc;
}

void loam_cache_saw_slice(struct loam_cache *cache, uint64_t slice_id)
{
	if (slice_id <= cache->seen || slice_id > UINT64_MAX - SEEN_STEP)
		return;
	uint64_t wanted = (slice_id + SEEN_STEP - 1) / SEEN_STEP * SEEN_STEP;
	uint64_t present = cache->seen_wanted;
	while (present < wanted &&
	       !atomic_compare_exchange_weak(&cache->seen_wanted, &present, wanted))
		continue;
	struct loam_err err = { 0 };
	loam_cache_keep_seen(cache, &err); /* else the next fill tries again, and is refused */
}

static void check_seen(struct loam_cache *cache, uint64_t next_chunk)
{
	uint64_t seen;
	bool known = read_seen(cache, &seen);
	if (known && seen <= next_chunk) {
		cache->seen = cache->seen_wanted = seen;
		return;
	}
	if (known)
		loam_info("cache.emptied", "dir=%s seen=%llu next=%llu", cache->root,
			  (unsigned long long)seen, (unsigned long long)next_chunk);
	loam_cache_empty(cache);
	loam_auto_free char *path = loam_cache_path(cache, SEEN_NAME, "");
	struct loam_err err = { 0 };
	unlink(path);
	if (write_seen(cache, 0, &err) < 0)
		loam_cache_warn(cache, &err);
}

/* ---- the table; under the lock ---- */

static struct loam_cache_file *find_open(struct loam_cache *cache, const char *key)
{
	struct loam_cache_file *file;
	HASH_FIND_STR(cache->files, key, file);
	return file;
}

static void take_ref(struct loam_cache_file *file)
{
	if (file->refs++ == 0) {
		DL_DELETE(file->cache->idle, file);
		file->cache->idle_count--;
	}
}

static void unlist(struct loam_cache_file *file)
{
	if (file->listed)
		HASH_DEL(file->cache->files, file);
	file->listed = false;
}

/* Takes an idle file out of all lists; the caller frees it without the lock. */
static struct loam_cache_file *take_idle(struct loam_cache_file *file)
{
	loam_assert(file->refs == 0);
	DL_DELETE(file->cache->idle, file);
	file->cache->idle_count--;
	unlist(file);
	return file;
}

/* ---- getting and putting ---- */

/* The open file of the key, referenced; one of another length is put out of the table. */
static struct loam_cache_file *find_held(struct loam_cache *cache, const char *key, uint64_t length)
{
	struct loam_cache_file *over = NULL, *found;
	{
		loam_guard(&cache->lock);
		found = find_open(cache, key);
		if (found && found->length != length) {
			if (found->refs == 0)
				over = take_idle(found);
			else
				unlist(found);
			found = NULL;
		}
		if (found)
			take_ref(found);
	}
	loam_cache_file_free(over);
	return found;
}

/* Puts a new file into the table, unless somebody was quicker. */
static struct loam_cache_file *list_file(struct loam_cache *cache, struct loam_cache_file *made)
{
	struct loam_cache_file *file;
	{
		loam_guard(&cache->lock);
		file = find_open(cache, made->key);
		if (!file || file->length != made->length) {
			if (file && file->refs > 0)
				unlist(file);
			made->refs = 1;
			made->listed = !find_open(cache, made->key);
			if (made->listed)
				HASH_ADD_STR(cache->files, key, made);
			return made;
		}
		take_ref(file);
	}
	loam_cache_file_free(made);
	return file;
}

static int get(struct loam_cache *cache, const char *key, uint64_t length, bool create,
	       struct loam_cache_file **out_file, struct loam_err *err)
{
	*out_file = find_held(cache, key, length);
	if (*out_file)
		return 1;
	struct loam_cache_file *made;
	int rc = loam_cache_file_open(cache, key, length, create, &made, err);
	if (rc < 0 && rc != -LOAM_E_INVALID && rc != -LOAM_E_TOO_LARGE)
		loam_cache_warn(cache, err);
	if (rc > 0)
		*out_file = list_file(cache, made);
	return rc;
}

int loam_cache_get(struct loam_cache *cache, const char *key, uint64_t length,
		   struct loam_cache_file **out_file, struct loam_err *err)
{
	int rc = get(cache, key, length, true, out_file, err);
	return rc < 0 ? rc : 0;
}

int loam_cache_find(struct loam_cache *cache, const char *key, uint64_t length,
		    struct loam_cache_file **out_file, struct loam_err *err)
{
	int rc = get(cache, key, length, false, out_file, err);
	if (rc == 0)
		atomic_fetch_add(&cache->misses, 1);
	return rc;
}

/* The time of last use, for eviction: of all processes, and over restarts. */
static void touch(struct loam_cache_file *file)
{
	uint64_t now_ms = loam_clock_ms();
	{
		loam_guard(&file->cache->lock);
		if (file->touched_ms && now_ms - file->touched_ms < TOUCH_EVERY_MS)
			return;
		file->touched_ms = now_ms;
	}
	const struct timespec times[2] = { { .tv_nsec = UTIME_NOW }, { .tv_nsec = UTIME_OMIT } };
	if (futimens(file->fd, times) < 0)
		loam_debug("cache.touch", "key=%s why=%s", file->key, strerror(errno));
}

void loam_cache_put(struct loam_cache_file *file)
{
	if (!file)
		return;
	touch(file);
	struct loam_cache *cache = file->cache;
	struct loam_cache_file *over = NULL;
	{
		loam_guard(&cache->lock);
		loam_assert(file->refs > 0);
		if (--file->refs > 0)
			return;
		file->used_ms = loam_clock_ms();
		DL_APPEND(cache->idle, file);
		cache->idle_count++;
		if (!file->listed)
			over = take_idle(file);
		else if (cache->idle_count > IDLE_MAX)
			over = take_idle(cache->idle);
	}
	loam_cache_file_free(over);
}

void loam_cache_forget(struct loam_cache *cache, const char *key)
{
	struct loam_cache_file *over = NULL;
	{
		loam_guard(&cache->lock);
		struct loam_cache_file *file = find_open(cache, key);
		if (file && file->refs == 0)
			over = take_idle(file);
		else if (file)
			unlist(file);
	}
	loam_cache_file_free(over);
}

void loam_cache_drop(struct loam_cache *cache, const char *key)
{
	loam_auto_free char *path = loam_cache_path(cache, key, "");
	loam_auto_free char *map_path = loam_cache_path(cache, key, LOAM_CACHE_MAP_SUFFIX);
	loam_cache_forget(cache, key);
	unlink(path);
	unlink(map_path);
}

bool loam_cache_is_on(const struct loam_cache *cache, dev_t device)
{
	struct stat st;
	return stat(cache->root, &st) == 0 && st.st_dev == device;
}

void loam_cache_read_stats(struct loam_cache *cache, struct loam_cache_stats *out)
{
	loam_guard(&cache->lock);
	*out = (struct loam_cache_stats){ .used_bytes = cache->used_bytes,
					  .max_bytes = cache->max_bytes,
					  .files = HASH_COUNT(cache->files),
					  .hits = cache->hits,
					  .misses = cache->misses,
					  .evicted_bytes = cache->evicted_bytes };
}

/* ---- the keeper ---- */

void loam_cache_ask_evict(struct loam_cache *cache)
{
	loam_guard(&cache->lock);
	cache->evict_asked = true;
	pthread_cond_signal(&cache->keeper_wakes);
}

void loam_cache_ask_check(struct loam_cache_file *file)
{
	loam_guard(&file->cache->lock);
	file->wants_check = true;
	pthread_cond_signal(&file->cache->keeper_wakes);
}

/* Takes a reference of each. */
static size_t collect_checks(struct loam_cache *cache, struct loam_cache_file **out, size_t max)
{
	struct loam_cache_file *file, *next;
	size_t count = 0;
	HASH_ITER (hh, cache->files, file, next) {
		if (!file->wants_check || count == max)
			continue;
		file->wants_check = false;
		take_ref(file);
		out[count++] = file;
	}
	return count;
}

static struct loam_cache_file *collect_idle(struct loam_cache *cache)
{
	struct loam_cache_file *over = NULL;
	uint64_t now_ms = loam_clock_ms();
	while (cache->idle && now_ms - cache->idle->used_ms >= IDLE_MS) {
		struct loam_cache_file *file = take_idle(cache->idle);
		DL_APPEND(over, file);
	}
	return over;
}

/* Files whose names were removed behind our back are not found again. */
static void forget_removed(struct loam_cache *cache)
{
	struct loam_cache_file *file, *next, *over = NULL;
	{
		loam_guard(&cache->lock);
		HASH_ITER (hh, cache->files, file, next) {
			struct stat st;
			if (fstat(file->fd, &st) < 0 || st.st_nlink > 0)
				continue;
			if (file->refs > 0) {
				unlist(file);
				continue;
			}
			take_idle(file);
			DL_APPEND(over, file);
		}
	}
	DL_FOREACH_SAFE(over, file, next)
	{
		loam_cache_file_free(file);
	}
}

static void wait_for_work(struct loam_cache *cache)
{
	loam_cond_wait_until(&cache->keeper_wakes, &cache->lock, loam_clock_ms() + KEEPER_STEP_MS);
}

static void complete_all(struct loam_cache_file **files, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct loam_err err = { 0 };
		loam_cache_complete(files[i], &err); /* it has warned */
		loam_cache_put(files[i]);
	}
}

static void *keep(void *arg)
{
	struct loam_cache *cache = arg;
	struct loam_cache_file *checks[KEEPER_CHECKS_MAX], *idle, *next, *file;
	pthread_setname_np(pthread_self(), "cache");
	while (!cache->ending) {
		size_t count;
		{
			loam_guard(&cache->lock);
			count = collect_checks(cache, checks, KEEPER_CHECKS_MAX);
			if (count == 0 && !cache->evict_asked && !cache->ending) {
				wait_for_work(cache);
				count = collect_checks(cache, checks, KEEPER_CHECKS_MAX);
			}
			cache->evict_asked = false;
			idle = collect_idle(cache);
		}
		DL_FOREACH_SAFE(idle, file, next)
		{
			loam_cache_file_free(file);
		}
		forget_removed(cache);
		loam_cache_evict(cache);
		complete_all(checks, count);
	}
	return NULL;
}

/* ---- opening and closing ---- */

/* A directory that other nodes see too: the boot id of one says nothing about the others' kernels.
 */
static bool is_shared_disk(const char *path)
{
	static const long long kinds[] = {
		0x6969 /* NFS */,      0xff534d42 /* CIFS */,	0xfe534d42 /* SMB2 */,
		0x65735546 /* FUSE */, 0x0bd00bd0 /* Lustre */, 0x00c36400 /* Ceph */,
		0x47504653 /* GPFS */, 0x19830326 /* BeeGFS */, 0x01021997 /* 9P */,
	};
	struct statfs st;
	if (statfs(path, &st) < 0)
		return false;
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(kinds); i++) {
		if (((long long)st.f_type & 0xffffffff) == kinds[i])
			return true;
	}
	return false;
}

static void read_boot_id(struct loam_cache *cache)
{
	loam_auto_buf struct loam_buf text = LOAM_BUF(256);
	struct loam_err err = { 0 };
	if (loam_path_read_all(BOOT_ID_PATH, &text, &err) < 0)
		return; /* then nothing is handed out */
	snprintf(cache->boot_id, sizeof(cache->boot_id), "%.*s",
		 (int)strcspn(loam_buf_text(&text), "\n"), loam_buf_text(&text));
}

static void init_locks(struct loam_cache *cache)
{
	pthread_mutex_init(&cache->lock, NULL);
	pthread_mutex_init(&cache->seen_lock, NULL);
	pthread_cond_init(&cache->keeper_wakes, NULL);
}

static void cache_free(struct loam_cache *cache)
{
	pthread_cond_destroy(&cache->keeper_wakes);
	pthread_mutex_destroy(&cache->lock);
	pthread_mutex_destroy(&cache->seen_lock);
	free(cache->root);
	free(cache);
}

int loam_cache_open(const char *dir, const char *uuid, uint64_t max_bytes, uint64_t next_chunk,
		    struct loam_cache **out_cache, struct loam_err *err)
{
	if (!*dir || !*uuid || strchr(uuid, '/') || uuid[0] == '.')
		return loam_fail(err, LOAM_E_INVALID, "'%s' in '%s' is no place for a cache", uuid,
				 dir);
	struct loam_cache *cache = loam_xnew(struct loam_cache);
	cache->root = loam_path_join(dir, uuid);
	cache->max_bytes = max_bytes ? max_bytes : MAX_BYTES_STANDARD;
	init_locks(cache);
	read_boot_id(cache);
	struct loam_err problem = { 0 };
	if (loam_cache_make_dirs(cache, &problem) < 0)
		loam_cache_warn(cache, &problem);
	cache->no_marks = is_shared_disk(cache->root);
	check_seen(cache, next_chunk);

	cache->evict_asked = true; /* counts what is there */
	int rc = pthread_create(&cache->keeper, NULL, keep, cache);
	if (rc != 0) {
		cache_free(cache);
		return loam_fail(err, LOAM_E_BUSY, "start a thread: %s", strerror(rc));
	}
	*out_cache = cache;
	return 0;
}

void loam_cache_close(struct loam_cache *cache)
{
	if (!cache)
		return;
	{
		loam_guard(&cache->lock);
		cache->ending = true;
		pthread_cond_signal(&cache->keeper_wakes);
	}
	pthread_join(cache->keeper, NULL);
	while (cache->idle)
		loam_cache_file_free(take_idle(cache->idle));
	loam_assert(!cache->files);
	cache_free(cache);
}
