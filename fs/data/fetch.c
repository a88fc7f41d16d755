/*
 * Units on their way from the store to readers (step 9 of a push).
 *
 * A unit is up to 4 MiB of a slice or of a read-only file's content. The table holds the units that
 * are being fetched or were fetched lately, so that two readers of one block fetch it once,
 * read-ahead has a place, and the node cache is filled beside the reader, not before it.
 *
 *   FETCHING --ok--> READY --least recently used, nobody reads it--> evicted
 *       '-----error--> out of the table; who waited gets the error, who comes later tries again
 *
 * Invariants: at most `max` units; a unit with refs is never evicted. Contents never change under a
 * key, so nothing here is ever stale. When there is no room a reader reads straight from the store.
 */
#include "core/clock.h"
#include "core/log.h"
#include "fs/data/data_internal.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <uthash.h>

#define UNITS_MIN      4
#define UNITS_MAX      1024
#define UNREAD_KEEP_MS 2000 /* what was read ahead and nobody wanted */
#define ID_BYTES       (LOAM_CACHE_KEY_BYTES + 24)

enum state { FETCHING, READY, FAILED };
enum disks { NOT_LOOKED_AT, APART, SHARED };

struct loam_fetched {
	UT_hash_handle hh;
	char id[ID_BYTES];
	struct loam_data *data; /* for the job */
	struct loam_unit unit;	/* pieces: own copy */
	enum state state;
	unsigned refs;
	bool consumed; /* read to its end */
	uint64_t used_ms;
	uint8_t *bytes; /* LOAM_UNIT_BYTES, mapped */
	struct loam_err failure;
};

struct loam_fetch {
	pthread_mutex_t lock; /* all below */
	pthread_cond_t arrived;
	struct loam_fetched *entries;
	size_t max;
	_Atomic uint64_t busy_ms; /* not under the lock */
};

struct loam_fetch *loam_fetch_new(uint64_t readahead_bytes)
{
	struct loam_fetch *fetch = loam_xnew(struct loam_fetch);
	uint64_t max = 2 * (readahead_bytes / LOAM_UNIT_BYTES) + UNITS_MIN;
	fetch->max = max < UNITS_MAX ? (size_t)max : UNITS_MAX;
	pthread_mutex_init(&fetch->lock, NULL);
	pthread_cond_init(&fetch->arrived, NULL);
	return fetch;
}

uint8_t *loam_unit_memory_new(void)
{
	uint8_t *bytes = mmap(NULL, LOAM_UNIT_BYTES, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (bytes == MAP_FAILED)
		return NULL;
	/* A hint: in pages of 4 KiB the disk would get many small pieces of a block. */
	madvise(bytes, LOAM_UNIT_BYTES, MADV_HUGEPAGE);
	return bytes;
}

void loam_unit_memory_free(uint8_t *bytes)
{
	if (bytes)
		munmap(bytes, LOAM_UNIT_BYTES);
}

uint64_t loam_fetch_busy_ms(const struct loam_fetch *fetch)
{
	return fetch->busy_ms;
}

static void entry_free(struct loam_fetched *entry)
{
	loam_unit_memory_free(entry->bytes);
	free((void *)entry->unit.pieces);
	free(entry);
}

void loam_fetch_free(struct loam_fetch *fetch)
{
	if (!fetch)
		return;
	struct loam_fetched *entry, *next;
	HASH_ITER (hh, fetch->entries, entry, next) {
		loam_assert(entry->refs == 0);
		HASH_DEL(fetch->entries, entry);
		entry_free(entry);
	}
	pthread_cond_destroy(&fetch->arrived);
	pthread_mutex_destroy(&fetch->lock);
	free(fetch);
}

uint32_t loam_unit_bytes(const struct loam_unit *unit)
{
	uint64_t left = unit->length - unit->index * LOAM_UNIT_BYTES;
	return left < LOAM_UNIT_BYTES ? (uint32_t)left : LOAM_UNIT_BYTES;
}

static void unit_id(const struct loam_unit *unit, char out[ID_BYTES])
{
	snprintf(out, ID_BYTES, "%s#%llu", unit->key, (unsigned long long)unit->index);
}

/* ---- the store ---- */

static int read_pieces(struct loam_data *data, const struct loam_unit *unit, uint32_t offset,
		       uint8_t *out, size_t bytes, struct loam_err *err)
{
	uint64_t end = (uint64_t)offset + bytes;
	memset(out, 0, unit->piece_count ? 0 : bytes);
	for (size_t i = 0; i < unit->piece_count; i++) {
		const struct loam_slice *piece = &unit->pieces[i];
		uint64_t piece_end = (uint64_t)piece->pos + piece->len;
		uint64_t from = piece->pos > offset ? piece->pos : offset;
		uint64_t to = piece_end < end ? piece_end : end;
		if (from >= to)
			continue;
		int rc = 0;
		if (piece->id == 0)
			memset(out + (from - offset), 0, to - from);
		else
			rc = loam_data_read_slice(data, piece->id, piece->size,
						  piece->off + (uint32_t)(from - piece->pos),
						  out + (from - offset), to - from, err);
		if (rc < 0)
			return rc;
		if (piece->id != 0 && data->cache)
			loam_cache_saw_slice(data->cache, piece->id);
	}
	return 0;
}

/* Tells the system that blocks of a local store will be read soon. */
static void expect_slice(struct loam_data *data, const struct loam_slice *piece)
{
	const struct loam_block_naming *naming = &data->naming;
	uint32_t last = (piece->off + piece->len - 1) / naming->block_bytes;
	for (uint32_t index = piece->off / naming->block_bytes; index <= last; index++) {
		struct loam_err err = { 0 };
		char key[LOAM_BLOCK_KEY_BYTES];
		loam_auto_fd int fd = -1;
		loam_block_key(naming, piece->id, piece->size, index, key);
		if (data->store->ops->open_local(data->store, key, &fd, &err) == 0 && fd >= 0)
			posix_fadvise(fd, 0, 0, POSIX_FADV_WILLNEED);
	}
}

/*
 * Without a cache to fill, blocks that are local files are read where they are: the system's page
 * cache already keeps them, and a copy through a unit would only cost.
 */
static bool reads_in_place(const struct loam_data *data)
{
	return !data->cache && data->store->ops->open_local;
}

/* ---- the cache: whatever fails there costs a fetch, never the read ---- */

static bool read_cached(struct loam_data *data, const struct loam_unit *unit, uint32_t offset,
			void *out, size_t bytes)
{
	if (!data->cache)
		return false;
	struct loam_err err = { 0 };
	struct loam_cache_file *file;
	int rc = loam_cache_find(data->cache, unit->key, unit->length, &file, &err);
	if (rc > 0) {
		rc = loam_cache_read(file, unit->index * LOAM_UNIT_BYTES + offset, out, bytes,
				     &err);
		loam_cache_put(file);
	}
	if (rc < 0)
		loam_debug("cache.read", "key=%s why=%s", unit->key, err.text);
	return rc > 0;
}

static bool is_cached(struct loam_data *data, const struct loam_unit *unit)
{
	struct loam_err err = { 0 };
	struct loam_cache_file *file;
	if (!data->cache || loam_cache_find(data->cache, unit->key, unit->length, &file, &err) <= 0)
		return false;
	bool has = loam_cache_has(file, unit->index);
	loam_cache_put(file);
	return has;
}

/* The device that a block lies on, when it is a local file. */
static bool find_device(struct loam_data *data, const struct loam_unit *unit, dev_t *out)
{
	for (size_t i = 0; i < unit->piece_count; i++) {
		const struct loam_slice *piece = &unit->pieces[i];
		struct loam_err err = { 0 };
		char key[LOAM_BLOCK_KEY_BYTES];
		loam_auto_fd int fd = -1;
		struct stat st;
		if (piece->id == 0)
			continue;
		loam_block_key(&data->naming, piece->id, piece->size,
			       piece->off / data->naming.block_bytes, key);
		if (data->store->ops->open_local(data->store, key, &fd, &err) < 0 || fd < 0 ||
		    fstat(fd, &st) < 0)
			return false;
		*out = st.st_dev;
		return true;
	}
	return false;
}

/* Do the blocks and the cache take from one disk's speed? Looked at once. */
static bool shares_disk(struct loam_data *data, const struct loam_unit *unit)
{
	dev_t device;
	if (data->disks == NOT_LOOKED_AT && !data->store->ops->open_local)
		data->disks = APART;
	if (data->disks == NOT_LOOKED_AT && find_device(data, unit, &device))
		data->disks = loam_cache_is_on(data->cache, device) ? SHARED : APART;
	return data->disks == SHARED;
}

static void fill_cache(struct loam_data *data, const struct loam_fetched *entry)
{
	struct loam_err err = { 0 };
	if (shares_disk(data, &entry->unit)) {
		loam_later_add(data->later, &entry->unit);
		return;
	}
	struct loam_cache_file *file;
	int rc = loam_cache_get(data->cache, entry->unit.key, entry->unit.length, &file, &err);
	if (rc >= 0) {
		rc = loam_cache_fill(file, entry->unit.index, entry->bytes,
				     loam_unit_bytes(&entry->unit), &err);
		loam_cache_put(file);
	}
	if (rc < 0)
		loam_debug("cache.fill", "key=%s why=%s", entry->unit.key, err.text);
}

/* ---- the table; all under the lock ---- */

static struct loam_fetched *find(struct loam_fetch *fetch, const struct loam_unit *unit)
{
	char id[ID_BYTES];
	unit_id(unit, id);
	struct loam_fetched *entry;
	HASH_FIND_STR(fetch->entries, id, entry);
	return entry;
}

static bool may_go(const struct loam_fetched *entry, bool demand, uint64_t now_ms)
{
	if (entry->state != READY || entry->refs > 0)
		return false;
	return demand || entry->consumed || now_ms - entry->used_ms > UNREAD_KEEP_MS;
}

/* An entry to give up: one read to its end before others, the longest unused first. */
static struct loam_fetched *victim(struct loam_fetch *fetch, bool demand)
{
	uint64_t now_ms = loam_clock_ms();
	struct loam_fetched *entry, *next, *best = NULL;
	HASH_ITER (hh, fetch->entries, entry, next) {
		if (!may_go(entry, demand, now_ms))
			continue;
		if (!best || entry->consumed > best->consumed ||
		    (entry->consumed == best->consumed && entry->used_ms < best->used_ms))
			best = entry;
	}
	return best;
}

static uint8_t *take_memory(struct loam_fetch *fetch, bool demand)
{
	if (HASH_COUNT(fetch->entries) < fetch->max) {
		return loam_unit_memory_new();
	}
	struct loam_fetched *old = victim(fetch, demand);
	if (!old)
		return NULL;
	uint8_t *bytes = loam_steal(&old->bytes);
	HASH_DEL(fetch->entries, old);
	entry_free(old);
	return bytes;
}

/* A new entry with one reference, FETCHING; NULL when there is no room. */
static struct loam_fetched *add(struct loam_data *data, const struct loam_unit *unit, bool demand)
{
	uint8_t *bytes = take_memory(data->fetch, demand);
	if (!bytes)
		return NULL;
	struct loam_fetched *entry = loam_xnew(struct loam_fetched);
	entry->bytes = bytes;
	entry->data = data;
	entry->unit = *unit;
	entry->refs = 1;
	struct loam_slice *copy = loam_xcalloc(unit->piece_count + 1, sizeof(*copy));
	if (unit->piece_count)
		memcpy(copy, unit->pieces, unit->piece_count * sizeof(*copy));
	entry->unit.pieces = copy;
	unit_id(unit, entry->id);
	HASH_ADD_STR(data->fetch->entries, id, entry);
	return entry;
}

static void unref(struct loam_fetched *entry)
{
	entry->refs--;
	if (entry->refs == 0 && entry->state == FAILED)
		entry_free(entry);
}

/* ---- fetching ---- */

static void fetch_entry(struct loam_fetched *entry)
{
	struct loam_data *data = entry->data;
	struct loam_fetch *fetch = data->fetch;
	struct loam_err err = { 0 };
	int rc = read_pieces(data, &entry->unit, 0, entry->bytes, loam_unit_bytes(&entry->unit),
			     &err);

	loam_guard(&fetch->lock);
	entry->state = rc < 0 ? FAILED : READY;
	entry->failure = err;
	entry->used_ms = loam_clock_ms();
	fetch->busy_ms = entry->used_ms;
	if (rc < 0)
		HASH_DEL(fetch->entries, entry);
	pthread_cond_broadcast(&fetch->arrived);
}

static void drop_ref(struct loam_fetched *entry)
{
	struct loam_fetch *fetch = entry->data->fetch;
	loam_guard(&fetch->lock);
	unref(entry);
}

/* Both jobs own one reference. */
static void fill_job(void *arg)
{
	struct loam_fetched *entry = arg;
	fill_cache(entry->data, entry);
	drop_ref(entry);
}

static void ahead_job(void *arg)
{
	struct loam_fetched *entry = arg;
	fetch_entry(entry);
	if (entry->state == READY && entry->data->cache)
		fill_cache(entry->data, entry);
	drop_ref(entry);
}

/* Waits for an entry that the caller holds: 1 with its bytes there. */
static int wait_ready(struct loam_fetched *entry, struct loam_err *err)
{
	struct loam_fetch *fetch = entry->data->fetch;
	loam_guard(&fetch->lock);
	while (entry->state == FETCHING)
		pthread_cond_wait(&fetch->arrived, &fetch->lock);
	if (entry->state == FAILED)
		return loam_fail(err, entry->failure.code, "%s", entry->failure.text);
	return 1;
}

static void consume(struct loam_fetched *entry, bool to_end)
{
	loam_guard(&entry->data->fetch->lock);
	entry->used_ms = loam_clock_ms();
	if (to_end)
		entry->consumed = true;
	unref(entry);
}

static void set_consumed(struct loam_fetched *entry)
{
	loam_guard(&entry->data->fetch->lock);
	entry->consumed = true;
}

/* Waits for an entry that the caller holds, and copies from it. */
static int copy_out(struct loam_fetched *entry, uint32_t offset, void *out, size_t bytes,
		    bool whole, struct loam_err *err)
{
	int rc = wait_ready(entry, err);
	if (rc > 0)
		memcpy(out, entry->bytes + offset, bytes);
	consume(entry, !whole || offset + bytes == loam_unit_bytes(&entry->unit));
	return rc;
}

static struct loam_fetched *find_held(struct loam_fetch *fetch, const struct loam_unit *unit)
{
	loam_guard(&fetch->lock);
	struct loam_fetched *entry = find(fetch, unit);
	if (entry)
		entry->refs++;
	return entry;
}

/* 1: *out is new, to be fetched by the caller; 0: it was there; both held. NULL: no room. */
static int find_or_add(struct loam_data *data, const struct loam_unit *unit,
		       struct loam_fetched **out)
{
	loam_guard(&data->fetch->lock);
	*out = find(data->fetch, unit);
	if (*out) {
		(*out)->refs++;
		return 0;
	}
	*out = add(data, unit, true);
	if (*out && data->cache)
		(*out)->refs++; /* for the job that fills the cache */
	return 1;
}

static void fetch_now(struct loam_fetched *entry)
{
	struct loam_data *data = entry->data;
	fetch_entry(entry);
	if (!data->cache)
		return;
	if (entry->state != READY)
		drop_ref(entry);
	else if (!loam_pool_try(data->download, fill_job, entry))
		fill_job(entry);
}

int loam_fetch_read(struct loam_data *data, const struct loam_unit *unit, uint32_t offset,
		    void *out, size_t bytes, bool whole, struct loam_err *err)
{
	struct loam_fetched *entry = find_held(data->fetch, unit);
	if (entry)
		return copy_out(entry, offset, out, bytes, whole, err);
	if (read_cached(data, unit, offset, out, bytes))
		return 1;
	if (!unit->pieces)
		return 0;

	bool is_new = false;
	if ((whole && !reads_in_place(data)) || data->cache)
		is_new = find_or_add(data, unit, &entry) > 0;
	if (!entry) {
		int rc = read_pieces(data, unit, offset, out, bytes, err);
		data->fetch->busy_ms = loam_clock_ms();
		return rc < 0 ? rc : 1;
	}
	if (is_new)
		fetch_now(entry);
	return copy_out(entry, offset, out, bytes, whole, err);
}

struct loam_fetched *loam_fetch_lend(struct loam_data *data, const struct loam_unit *unit,
				     uint32_t offset, size_t bytes, const void **out_bytes)
{
	struct loam_err err = { 0 };
	struct loam_fetched *entry = find_held(data->fetch, unit);
	if (!entry)
		return NULL;
	if (wait_ready(entry, &err) < 0) {
		consume(entry, false);
		return NULL;
	}
	*out_bytes = entry->bytes + offset;
	if (bytes > 0 && offset + bytes == loam_unit_bytes(unit))
		set_consumed(entry);
	return entry;
}

void loam_fetch_return(struct loam_fetched *unit)
{
	consume(unit, false);
}

int loam_fetch_straight(struct loam_data *data, const struct loam_unit *unit, void *out,
			struct loam_err *err)
{
	return read_pieces(data, unit, 0, out, loam_unit_bytes(unit), err);
}

bool loam_fetch_knows(struct loam_data *data, const struct loam_unit *unit)
{
	{
		loam_guard(&data->fetch->lock);
		if (find(data->fetch, unit))
			return true;
	}
	return is_cached(data, unit);
}

bool loam_fetch_ahead(struct loam_data *data, const struct loam_unit *unit)
{
	if (reads_in_place(data)) {
		for (size_t i = 0; i < unit->piece_count; i++)
			if (unit->pieces[i].id != 0)
				expect_slice(data, &unit->pieces[i]);
		return true;
	}
	if (loam_fetch_knows(data, unit))
		return true;
	loam_guard(&data->fetch->lock);
	if (find(data->fetch, unit))
		return true;
	struct loam_fetched *entry = add(data, unit, false);
	if (!entry)
		return false;
	if (loam_pool_try(data->download, ahead_job, entry))
		return true;
	HASH_DEL(data->fetch->entries, entry);
	entry_free(entry);
	return false;
}

void loam_fetch_trim(struct loam_data *data, uint64_t idle_ms)
{
	struct loam_fetch *fetch = data->fetch;
	uint64_t now_ms = loam_clock_ms();
	loam_guard(&fetch->lock);
	struct loam_fetched *entry, *next;
	HASH_ITER (hh, fetch->entries, entry, next) {
		if (entry->state != READY || entry->refs > 0 || now_ms - entry->used_ms < idle_ms)
			continue;
		HASH_DEL(fetch->entries, entry);
		entry_free(entry);
	}
}
