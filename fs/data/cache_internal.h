/*
 * What the files of the node cache share (cache.h is its contract).
 *
 * On disk, below dir/<uuid>/:
 *
 *   slice/<id>_<size>  content/<sha256>     data: sparse, of its final size from the beginning
 *   <data file>.map                         which blocks are there (cache_map.c)
 *   seen                                    slice ids up to here may be in the cache
 *
 * Locks between processes: flock of the data file. Shared while blocks are written or the file is
 * handed out, exclusive while it is made or blocks are taken away. Readers take none: a record of
 * the map that is the same before and after the read proves that the bytes belong to it.
 * Locks within: loam_cache.lock (table, idle list, keeper's work), then loam_cache_file.lock; no
 * call that waits for a disk is made under the first.
 */
#ifndef LOAM_FS_DATA_CACHE_INTERNAL_H
#define LOAM_FS_DATA_CACHE_INTERNAL_H

#include "core/auto.h"
#include "fs/data/cache.h"

#include <limits.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <uthash.h>

#define LOAM_CACHE_BLOCKS_MAX	 (1u << 22) /* of one file: 16 TiB */
#define LOAM_CACHE_MAP_SUFFIX	 ".map"
#define LOAM_CACHE_COMPLETE_ATTR "user.loam.complete"
#define LOAM_CACHE_HANDED_ATTR	 "user.loam.passthrough"
#define LOAM_CACHE_BOOT_BYTES	 48

/* ---- the map (cache_map.c) ---- */

struct loam_cache_map {
	int fd;
	uint32_t salt; /* of the header: a record of another file fails its check */
	uint64_t block_count;
};
/* A block that is there: its CRC-32C, and a number that no other filling of it has. */
struct loam_cache_record {
	uint32_t crc, seq;
};
/* With the data file locked exclusively. A map that is torn or of another file begins anew. */
int loam_cache_map_open(const char *path, const char *key, uint64_t length, bool create,
			struct loam_cache_map *out_map, struct loam_err *err);
/* 1, or 0 when the block is not there (or the map cannot be read, which is the same). */
int loam_cache_map_get(const struct loam_cache_map *map, uint64_t index,
		       struct loam_cache_record *out);
int loam_cache_map_set(const struct loam_cache_map *map, uint64_t index,
		       struct loam_cache_record record, struct loam_err *err);
int loam_cache_map_clear(const struct loam_cache_map *map, uint64_t first, uint64_t count,
			 struct loam_err *err);
/* The first block of [from, to) that is not there; `to` when all are. */
uint64_t loam_cache_map_missing(const struct loam_cache_map *map, uint64_t from, uint64_t to);

/* ---- the cache ---- */

struct loam_cache {
	char *root;
	uint64_t max_bytes;
	char boot_id[LOAM_CACHE_BOOT_BYTES];

	pthread_mutex_t lock;
	pthread_cond_t keeper_wakes;
	struct loam_cache_file *files; /* hash by key: the open ones */
	struct loam_cache_file *idle;  /* list, the longest unused first */
	size_t idle_count;
	bool evict_asked;
	/* Of the keeper: when used_bytes was counted, and whether nothing could be evicted then. */
	uint64_t counted_ms;
	bool stuck;

	pthread_t keeper;
	atomic_bool ending;
	atomic_bool no_marks; /* the file system keeps no user xattrs, or belongs to many nodes */

	pthread_mutex_t seen_lock;
	_Atomic uint64_t seen;	      /* as in the file */
	_Atomic uint64_t seen_wanted; /* could not be written yet when above */

	_Atomic uint64_t used_bytes, added_bytes, hits, misses, evicted_bytes, warned_ms;
};

struct loam_cache_file {
	UT_hash_handle hh;
	struct loam_cache_file *prev, *next; /* in the idle list */
	struct loam_cache *cache;
	char key[LOAM_CACHE_KEY_BYTES];
	uint64_t length, block_count;
	unsigned refs;
	bool listed, wants_check; /* in the table; the keeper is to complete it */
	uint64_t used_ms, touched_ms;

	int fd;
	struct loam_cache_map map;
	_Atomic uint32_t *checked; /* by block: seq of the record whose bytes we have checked */

	pthread_mutex_t lock;
	unsigned holders;	       /* of the shared flock of fd */
	int backing_fd;		       /* -1: none yet */
	int direct_fd;		       /* -1: none yet; past the page cache, for writing */
	bool direct_refused;	       /* no such descriptor can be had, or it is of no use */
	_Atomic uint64_t missing_hint; /* this block was missing when last looked */
	struct timespec mtime;	       /* of the complete file */
	atomic_bool complete;
	pthread_mutex_t complete_lock; /* one completes at a time */
};

char *loam_cache_path(const struct loam_cache *cache, const char *key, const char *suffix);
/* One line a minute about a disk that fails. */
void loam_cache_warn(struct loam_cache *cache, const struct loam_err *why);
void loam_cache_ask_evict(struct loam_cache *cache);
void loam_cache_ask_check(struct loam_cache_file *file);
/* Takes the file out of the table: the next user opens it anew. */
void loam_cache_forget(struct loam_cache *cache, const char *key);
/* What could not be noted in `seen`: no block may be stored meanwhile. */
int loam_cache_keep_seen(struct loam_cache *cache, struct loam_err *err);
int loam_cache_make_dirs(struct loam_cache *cache, struct loam_err *err);

/* ---- one file (cache_file.c) ---- */

/* 1 open, 0 it is not there (only without create). */
int loam_cache_file_open(struct loam_cache *cache, const char *key, uint64_t length, bool create,
			 struct loam_cache_file **out_file, struct loam_err *err);
void loam_cache_file_free(struct loam_cache_file *file);

/* ---- eviction (cache_evict.c) ---- */

/* Makes room if there is need of it; counts what is used. Long. */
void loam_cache_evict(struct loam_cache *cache);
void loam_cache_empty(struct loam_cache *cache);
/* May bytes more be stored now? NO_SPACE else. */
int loam_cache_room(struct loam_cache *cache, int fd, uint64_t bytes, struct loam_err *err);
/* bytes are no longer used. */
void loam_cache_uncount(struct loam_cache *cache, uint64_t bytes);
bool loam_cache_is_tight(struct loam_cache *cache);

#endif
