/*
 * The record cache: what guesses of transactions are made from (fs/meta/record_cache.h). It serves
 * every step of a push that changes metadata: with the parent's records here, a change is one trip.
 *
 * A hash by identity, and the same entries in one array round which the clock's hand goes: an entry
 * used since the hand last passed gets another round, others make room.
 */
#include "fs/meta/record_cache.h"

#include "core/auto.h"

#include <string.h>
#include <uthash.h>

struct entry {
	UT_hash_handle hh;
	size_t slot;
	bool used;
	bool present;
	uint32_t value_bytes;
	uint32_t key_bytes;
	uint8_t data[]; /* key, then value */
};

struct loam_record_cache {
	pthread_mutex_t lock; /* all below */
	struct entry *entries;
	struct entry **slots;
	size_t count, count_max, hand;
};

static bool is_kept(enum loam_record_kind kind)
{
	switch (kind) {
	case LOAM_REC_ATTR:
	case LOAM_REC_DENTRY:
	case LOAM_REC_DIR:
	case LOAM_REC_SYMLINK:
	case LOAM_REC_CHUNK:
	case LOAM_REC_XATTR:
	case LOAM_REC_XATTRS:
	case LOAM_REC_PARENT:
	case LOAM_REC_PARENTS:
	case LOAM_REC_ACL:
		return true;
	default:
		return false;
	}
}

struct loam_record_cache *loam_record_cache_new(size_t entries_max)
{
	loam_assert(entries_max > 0);
	struct loam_record_cache *cache = loam_xnew(struct loam_record_cache);
	pthread_mutex_init(&cache->lock, NULL);
	cache->slots = loam_xcalloc(entries_max, sizeof(struct entry *));
	cache->count_max = entries_max;
	return cache;
}

static void remove_entry(struct loam_record_cache *cache, struct entry *entry)
{
	struct entry *last = cache->slots[--cache->count];
	cache->slots[entry->slot] = last;
	last->slot = entry->slot;
	HASH_DEL(cache->entries, entry);
	free(entry);
}

void loam_record_cache_free(struct loam_record_cache *cache)
{
	if (!cache)
		return;
	while (cache->count > 0)
		remove_entry(cache, cache->slots[cache->count - 1]);
	pthread_mutex_destroy(&cache->lock);
	free(cache->slots);
	free(cache);
}

static struct entry *find_entry(struct loam_record_cache *cache, const uint8_t *key,
				size_t key_bytes)
{
	struct entry *entry = NULL;
	HASH_FIND(hh, cache->entries, key, key_bytes, entry);
	return entry;
}

bool loam_record_cache_get(struct loam_record_cache *cache, const struct loam_record *record,
			   struct loam_value *out)
{
	uint8_t key[LOAM_RECORD_KEY_BYTES_MAX];
	size_t key_bytes = loam_record_key(record, key);
	loam_guard(&cache->lock);
	struct entry *entry = find_entry(cache, key, key_bytes);
	if (!entry)
		return false;

	entry->used = true;
	*out = (struct loam_value){ 0 };
	if (entry->present)
		*out = loam_value_of(entry->data + entry->key_bytes, entry->value_bytes);
	return true;
}

static void make_room(struct loam_record_cache *cache)
{
	while (cache->count == cache->count_max) {
		if (cache->hand >= cache->count)
			cache->hand = 0;
		struct entry *entry = cache->slots[cache->hand];
		if (entry->used) {
			entry->used = false;
			cache->hand++;
		} else {
			remove_entry(cache, entry);
		}
	}
}

static void add_entry(struct loam_record_cache *cache, const uint8_t *key, size_t key_bytes,
		      const struct loam_value *value)
{
	make_room(cache);
	struct entry *entry = loam_xcalloc(1, sizeof(*entry) + key_bytes + value->bytes);
	entry->key_bytes = (uint32_t)key_bytes;
	entry->value_bytes = value->bytes;
	entry->present = value->present;
	memcpy(entry->data, key, key_bytes);
	if (value->bytes > 0)
		memcpy(entry->data + key_bytes, value->data, value->bytes);
	entry->slot = cache->count;
	cache->slots[cache->count++] = entry;
	HASH_ADD_KEYPTR(hh, cache->entries, entry->data, entry->key_bytes, entry);
}

void loam_record_cache_put(struct loam_record_cache *cache, const struct loam_record *record,
			   const struct loam_value *value)
{
	if (!is_kept(record->kind))
		return;
	uint8_t key[LOAM_RECORD_KEY_BYTES_MAX];
	size_t key_bytes = loam_record_key(record, key);
	/* An inode that is gone never comes back, so its absence is worth no entry. */
	bool is_worth = value->present ? value->bytes <= LOAM_RECORD_CACHE_VALUE_MAX
				       : record->kind != LOAM_REC_ATTR;
	loam_guard(&cache->lock);
	struct entry *entry = find_entry(cache, key, key_bytes);
	if (entry && is_worth && entry->present == value->present &&
	    entry->value_bytes == value->bytes) {
		if (value->bytes > 0)
			memcpy(entry->data + key_bytes, value->data, value->bytes);
		entry->used = true;
		return;
	}
	if (entry)
		remove_entry(cache, entry);
	if (is_worth)
		add_entry(cache, key, key_bytes, value);
}

void loam_record_cache_forget(struct loam_record_cache *cache, const struct loam_record *record)
{
	uint8_t key[LOAM_RECORD_KEY_BYTES_MAX];
	size_t key_bytes = loam_record_key(record, key);
	loam_guard(&cache->lock);
	struct entry *entry = find_entry(cache, key, key_bytes);
	if (entry)
		remove_entry(cache, entry);
}
