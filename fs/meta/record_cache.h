/*
 * What this process last saw of the store's records: the source of a transaction's guesses, never
 * of an answer. It needs no coherence, because a commit checks every guess.
 *
 * Shape:   at most a fixed number of records; the clock rule evicts. Absent names, xattrs and lists
 *          are remembered too. Counters, references, sessions and values over
 *          LOAM_RECORD_CACHE_VALUE_MAX are not kept.
 * Threads: any; one lock inside, never held over a call out.
 */
#ifndef LOAM_FS_META_RECORD_CACHE_H
#define LOAM_FS_META_RECORD_CACHE_H

#include "fs/meta/record.h"

#define LOAM_RECORD_CACHE_ENTRIES   65536
#define LOAM_RECORD_CACHE_VALUE_MAX 512

struct loam_record_cache;

struct loam_record_cache *loam_record_cache_new(size_t entries_max);
void loam_record_cache_free(struct loam_record_cache *cache); /* accepts NULL */
/* A copy of what was last seen: true with *out (loam_value_release), false when nothing is known.
 */
bool loam_record_cache_get(struct loam_record_cache *cache, const struct loam_record *record,
			   struct loam_value *out);
/* Remembers a value that was read or written; copies it. */
void loam_record_cache_put(struct loam_record_cache *cache, const struct loam_record *record,
			   const struct loam_value *value);
void loam_record_cache_forget(struct loam_record_cache *cache, const struct loam_record *record);

#endif
