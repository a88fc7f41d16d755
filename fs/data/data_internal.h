/*
 * What the files of this folder share and others do not see.
 *
 * Lock order: registry_lock, then loam_file.lock, then loam_slice_writer.lock, then the locks of
 * buffers and pools. A reader's lock and the fetch table's lock are leaves. No lock is held over a
 * call to the store or to the metadata.
 * Pools: finish jobs wait for hash and upload jobs; hash jobs hand on to upload jobs, whose queue
 * is never full; upload, download and compact jobs wait for no other pool.
 */
#ifndef LOAM_FS_DATA_DATA_INTERNAL_H
#define LOAM_FS_DATA_DATA_INTERNAL_H

#include "core/auto.h"
#include "core/pool.h"
#include "fs/data/buffers.h"
#include "fs/data/cache.h"
#include "fs/data/content.h"
#include "fs/data/data.h"
#include "fs/meta/compact.h"

#include <stdatomic.h>

#define LOAM_UNIT_BYTES LOAM_CACHE_BLOCK_BYTES /* in which bytes are fetched and cached */

struct loam_fetch;
struct loam_compactor;
struct loam_hasher;
struct loam_later;

struct loam_data {
	struct loam_meta *meta;
	struct loam_store *store;
	struct loam_cache *cache; /* NULL: none */
	struct loam_contents *contents;
	struct loam_block_naming naming;
	struct loam_buffers *buffers;
	uint64_t readahead_bytes;
	struct loam_pool *hash, *upload, *download, *finish;
	struct loam_fetch *fetch;
	struct loam_later *later; /* only with a cache */
	atomic_int disks;	  /* of blocks and cache: enum in fetch.c */
	struct loam_compactor *compactor;

	pthread_mutex_t registry_lock; /* files, their counts, and the flusher's state */
	struct loam_file *files;       /* hash by inode */
	pthread_cond_t flusher_wakes;
	pthread_t flusher;
	bool flusher_runs, ending, pressed;
};

/* ---- slices ---- */

/* Removes all blocks of a slice; a block that stays is left to gc. */
void loam_data_remove_blocks(struct loam_store *store, const struct loam_block_naming *naming,
			     uint64_t id, uint32_t size);
/*
 * Commits a finished slice. When the metadata refuses it for good (no such file, no space, quota)
 * its blocks are removed; after any other failure they stay: the commit may have happened.
 */
int loam_data_commit(struct loam_data *data, uint64_t ino, uint32_t chunk_index,
		     const struct loam_slice *slice, struct timespec mtime,
		     struct loam_attr *out_attr, struct loam_err *err);
/* Bytes of a stored slice, straight from the store. */
int loam_data_read_slice(struct loam_data *data, uint64_t id, uint32_t size, uint32_t off,
			 void *out, size_t bytes, struct loam_err *err);

/* Blocks go through the hasher from now on, in their order. Before the first byte. */
void loam_slice_writer_hash(struct loam_slice_writer *writer, struct loam_hasher *hasher);
/* The job of the upload pool for a block of a slice writer; arg is its buffer. */
void loam_slice_writer_upload(void *arg);

/* A write at offset fits in when it begins within the unfinished block or at the end. */
bool loam_slice_writer_takes(const struct loam_slice_writer *writer, uint32_t offset);
/*
 * Makes sure of a buffer for a write at offset without waiting; *spare, when not NULL, is used up
 * if it serves. false: no buffer can be had now.
 */
bool loam_slice_writer_prepare(struct loam_slice_writer *writer, uint32_t offset, size_t count,
			       struct loam_buffer **spare);
/* After prepare: writes up to the end of the block, returns how many bytes. Never waits. */
size_t loam_slice_writer_write(struct loam_slice_writer *writer, uint32_t offset, const void *bytes,
			       size_t count);
/* No more bytes will come: the upload of the rest begins. Never waits. */
void loam_slice_writer_end(struct loam_slice_writer *writer);
/* Finishes many slices with one sync of the store. */
int loam_slice_writers_finish(struct loam_slice_writer *const *writers, size_t count,
			      struct loam_err *err);
uint64_t loam_slice_writer_id(const struct loam_slice_writer *writer);

/* ---- hashing (hasher.c) ---- */

/* SHA-256 over buffers in the order in which they are added, each then a job `then` of the upload
 * pool. Added by one thread. */
struct loam_hasher *loam_hasher_new(struct loam_data *data, loam_job_fn *then);
void loam_hasher_add(struct loam_hasher *hasher, struct loam_buffer *buffer);
/* Waits for all of them. Once, after the last. */
void loam_hasher_end(struct loam_hasher *hasher, uint8_t out_digest[LOAM_SHA256_BYTES]);
/* Waits. Accepts NULL. */
void loam_hasher_free(struct loam_hasher *hasher);

/* ---- fetching (fetch.c) ---- */

/* Up to 4 MiB of something immutable: a stored slice, or the content of a read-only file. */
struct loam_unit {
	char key[LOAM_CACHE_KEY_BYTES]; /* as in the cache */
	uint64_t length;		/* of the whole that key names */
	uint64_t index;
	/* Where the unit's bytes are, pos counted within the unit, gap-free; NULL: not looked up.
	 */
	const struct loam_slice *pieces;
	size_t piece_count;
};
uint32_t loam_unit_bytes(const struct loam_unit *unit);

struct loam_fetch *loam_fetch_new(uint64_t readahead_bytes);
void loam_fetch_free(struct loam_fetch *fetch);
/*
 * Reads within one unit: 1 done, 0 it is not here and unit->pieces is NULL. whole: fetch the unit
 * and keep it, for more of it will be wanted.
 */
int loam_fetch_read(struct loam_data *data, const struct loam_unit *unit, uint32_t offset,
		    void *out, size_t bytes, bool whole, struct loam_err *err);
/*
 * The same bytes where they stand, when the unit is in the table; waits for it. NULL: it is not, or
 * could not be had. To be given back with return(). 0 bytes: who looks is no reader of the unit.
 */
struct loam_fetched *loam_fetch_lend(struct loam_data *data, const struct loam_unit *unit,
				     uint32_t offset, size_t bytes, const void **out_bytes);
void loam_fetch_return(struct loam_fetched *unit);
/* Begins to fetch a unit in the background unless it is here. false: no room now. */
bool loam_fetch_ahead(struct loam_data *data, const struct loam_unit *unit);
/* Is it here or under way? */
bool loam_fetch_knows(struct loam_data *data, const struct loam_unit *unit);
/* Reads a unit whose pieces are known from the store, past the table and the cache. */
int loam_fetch_straight(struct loam_data *data, const struct loam_unit *unit, void *out,
			struct loam_err *err);
/* When a reader last had something from the store; 0: never. */
uint64_t loam_fetch_busy_ms(const struct loam_fetch *fetch);
/* Memory of LOAM_UNIT_BYTES, in huge pages where there are; NULL: none to be had. */
uint8_t *loam_unit_memory_new(void);
void loam_unit_memory_free(uint8_t *bytes); /* accepts NULL */
/* Gives back the memory of units unused for that long. */
void loam_fetch_trim(struct loam_data *data, uint64_t idle_ms);

/* ---- filling the cache when nobody reads (later.c) ---- */

int loam_later_new(struct loam_data *data, struct loam_later **out_later, struct loam_err *err);
/* What is still noted is not cached. Accepts NULL. */
void loam_later_free(struct loam_later *later);
/* Notes a unit whose pieces are known (copied); never waits. */
void loam_later_add(struct loam_later *later, const struct loam_unit *unit);

/* ---- readers ---- */

/* A record was added to the chunk. */
void loam_reader_drop_chunk(struct loam_reader *reader, uint32_t chunk_index);
void loam_reader_set_length(struct loam_reader *reader, uint64_t length);
/* Reads by the content from now on; takes over the reference. */
void loam_reader_set_content(struct loam_reader *reader, struct loam_content *content);

/* ---- files ---- */

void *loam_file_flusher(void *data); /* the thread */

/* ---- compaction ---- */

struct loam_compactor *loam_compactor_new(struct loam_data *data, struct loam_err *err);
void loam_compactor_free(struct loam_compactor *compactor);
/* Asks for a compaction in the background; dropped when there is too much to do. */
void loam_compact_ask(struct loam_data *data, uint64_t ino, uint32_t chunk_index);
/* 1 compacted, 0 nothing to do. */
int loam_compact_chunk(struct loam_data *data, uint64_t ino, uint32_t chunk_index,
		       struct loam_err *err);

#endif
