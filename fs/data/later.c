/*
 * Units that are put into the node cache when nobody reads (step 9 of a push).
 *
 * Where the blocks and the cache lie on one disk, filling the cache beside a cold reader takes half
 * of what the disk gives from him. There he is served first: what was read is noted here, and a
 * thread of its own fills the cache once the store has been left alone for a moment, or when that
 * moment does not come, one unit after each long wait. Bytes that are still in the table of units
 * are not read again.
 *
 * A unit is named by slices, which never change: a fill that comes late stores the same bytes, or
 * finds the slices gone and is given up. What does not fit into the list is not cached this time.
 * Lock: `lock` guards the list; no call out of the process is made under it.
 */
#include "core/clock.h"
#include "core/log.h"
#include "fs/data/data_internal.h"

#include <string.h>
#include <uthash.h>

#define UNITS_MAX   32768 /* 128 GiB; a few MiB of memory */
#define PIECES_MAX  64	  /* of one unit: more are not worth the memory */
#define ID_BYTES    (LOAM_CACHE_KEY_BYTES + 24)
#define QUIET_MS    300
#define PATIENCE_MS 3000
#define STEP_MS	    100

struct noted {
	UT_hash_handle hh; /* in the order of noting */
	struct loam_unit unit;
	struct loam_slice *pieces;
	char id[ID_BYTES];
};

struct loam_later {
	struct loam_data *data;
	pthread_mutex_t lock; /* all below */
	pthread_cond_t wakes;
	struct noted *units;
	bool ending;
	pthread_t thread;
};

static void noted_free(struct noted *noted)
{
	free(noted->pieces);
	free(noted);
}

void loam_later_add(struct loam_later *later, const struct loam_unit *unit)
{
	if (unit->piece_count > PIECES_MAX)
		return;
	char id[ID_BYTES];
	snprintf(id, sizeof(id), "%s#%llu", unit->key, (unsigned long long)unit->index);
	loam_guard(&later->lock);
	struct noted *noted;
	HASH_FIND_STR(later->units, id, noted);
	if (noted || HASH_COUNT(later->units) >= UNITS_MAX)
		return;
	noted = loam_xnew(struct noted);
	noted->unit = *unit;
	noted->pieces = loam_xcalloc(unit->piece_count + 1, sizeof(*noted->pieces));
	if (unit->piece_count)
		memcpy(noted->pieces, unit->pieces, unit->piece_count * sizeof(*noted->pieces));
	noted->unit.pieces = noted->pieces;
	memcpy(noted->id, id, sizeof(id));
	HASH_ADD_STR(later->units, id, noted);
	pthread_cond_signal(&later->wakes);
}

/* Waits for a unit and for a time to store it; NULL at the end. */
static struct noted *take(struct loam_later *later)
{
	loam_guard(&later->lock);
	while (!later->ending && !later->units)
		pthread_cond_wait(&later->wakes, &later->lock);
	uint64_t begun_ms = loam_clock_ms();
	while (!later->ending && loam_clock_ms() - begun_ms < PATIENCE_MS &&
	       loam_clock_ms() - loam_fetch_busy_ms(later->data->fetch) < QUIET_MS)
		loam_cond_wait_until(&later->wakes, &later->lock, loam_clock_ms() + STEP_MS);
	if (later->ending)
		return NULL;
	struct noted *first = later->units;
	HASH_DEL(later->units, first);
	return first;
}

/* bytes: memory for one unit. */
static int fill(struct loam_data *data, struct loam_cache_file *file, const struct loam_unit *unit,
		void *bytes, struct loam_err *err)
{
	const void *present = bytes;
	struct loam_fetched *lent = loam_fetch_lend(data, unit, 0, 0, &present);
	int rc = lent ? 0 : loam_fetch_straight(data, unit, bytes, err);
	if (rc == 0)
		rc = loam_cache_fill(file, unit->index, present, loam_unit_bytes(unit), err);
	if (lent)
		loam_fetch_return(lent);
	return rc;
}

static void store(struct loam_data *data, const struct loam_unit *unit, void *bytes)
{
	struct loam_err err = { 0 };
	struct loam_cache_file *file;
	int rc = loam_cache_get(data->cache, unit->key, unit->length, &file, &err);
	if (rc < 0)
		return; /* it has warned */
	if (!loam_cache_has(file, unit->index))
		rc = fill(data, file, unit, bytes, &err);
	loam_cache_put(file);
	if (rc < 0)
		loam_debug("cache.later", "key=%s why=%s", unit->key, err.text);
}

static bool is_done(struct loam_later *later)
{
	loam_guard(&later->lock);
	return !later->units;
}

static void *work(void *arg)
{
	struct loam_later *later = arg;
	pthread_setname_np(pthread_self(), "later");
	uint8_t *bytes = NULL;
	for (struct noted *noted; (noted = take(later));) {
		if (!bytes)
			bytes = loam_unit_memory_new();
		if (bytes)
			store(later->data, &noted->unit, bytes);
		noted_free(noted);
		if (is_done(later))
			loam_unit_memory_free(loam_steal(&bytes));
	}
	loam_unit_memory_free(bytes);
	return NULL;
}

int loam_later_new(struct loam_data *data, struct loam_later **out_later, struct loam_err *err)
{
	struct loam_later *later = loam_xnew(struct loam_later);
	later->data = data;
	pthread_mutex_init(&later->lock, NULL);
	pthread_cond_init(&later->wakes, NULL);
	int rc = pthread_create(&later->thread, NULL, work, later);
	if (rc != 0) {
		pthread_cond_destroy(&later->wakes);
		pthread_mutex_destroy(&later->lock);
		free(later);
		return loam_fail(err, LOAM_E_BUSY, "start a thread: %s", strerror(rc));
	}
	*out_later = later;
	return 0;
}

void loam_later_free(struct loam_later *later)
{
	if (!later)
		return;
	{
		loam_guard(&later->lock);
		later->ending = true;
		pthread_cond_signal(&later->wakes);
	}
	pthread_join(later->thread, NULL);
	struct noted *noted, *next;
	HASH_ITER (hh, later->units, noted, next) {
		HASH_DEL(later->units, noted);
		noted_free(noted);
	}
	pthread_cond_destroy(&later->wakes);
	pthread_mutex_destroy(&later->lock);
	free(later);
}
