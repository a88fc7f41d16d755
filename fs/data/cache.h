/*
 * The node cache: sparse files of slices and contents, filled in 4 MiB blocks (design.md §4).
 *
 * Keys: slice/<id>_<size> for files that can change; content/<sha256> for files without write bits:
 * SHA-256 over volume UUID, length and the resolved piece list. Clones share one content.
 *
 * Beside each data file stands NAME.map: header, and per 4 MiB block a record with its CRC-32C. A
 * block counts only when its record is whole and its checksum agrees. Complete = all blocks
 * checked, fdatasync, then the xattr user.loam.complete and its sync; a file without that mark, or
 * touched since, is checked block by block before it counts as complete again. A file handed to the
 * kernel carries user.loam.passthrough = boot id: during that boot it is evicted whole by unlink
 * only, when nobody has it open any more; others are evicted by punching holes under an exclusive
 * flock. A damaged or missing cache costs a fetch, never a wrong byte: a disk that fails is said
 * once a minute in the log and means "not cached".
 *
 * Threads: any. The directory belongs to one node; two processes of the node may share it.
 */
#ifndef LOAM_FS_DATA_CACHE_H
#define LOAM_FS_DATA_CACHE_H

#include "core/err.h"
#include "core/hash.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define LOAM_CACHE_BLOCK_BYTES (4u << 20)
#define LOAM_CACHE_KEY_BYTES   80 /* "content/" + 64 hex, or "slice/<id>_<size>" */

struct loam_cache;
struct loam_cache_file;

/* Below dir/<uuid>/, which need not be usable now. max_bytes 0: 10 GiB. The file `seen` in it
 * guards against metadata that went back in time: `next_chunk` (counter nextchunk now: the last id
 * handed out) below it empties the cache. */
int loam_cache_open(const char *dir, const char *uuid, uint64_t max_bytes, uint64_t next_chunk,
		    struct loam_cache **out_cache, struct loam_err *err);
/* All files must have been put back. Accepts NULL. */
void loam_cache_close(struct loam_cache *cache);
/* To be called before the first block with bytes of that slice is stored. */
void loam_cache_saw_slice(struct loam_cache *cache, uint64_t slice_id);

/* Finds or makes the file for a key; counted. length: final bytes. */
int loam_cache_get(struct loam_cache *cache, const char *key, uint64_t length,
		   struct loam_cache_file **out_file, struct loam_err *err);
/* The same file only if it is there already: 1, 0. */
int loam_cache_find(struct loam_cache *cache, const char *key, uint64_t length,
		    struct loam_cache_file **out_file, struct loam_err *err);
void loam_cache_put(struct loam_cache_file *file);
/* 1 with the bytes (within one block), 0 not here. Checks the block's sum when it is first read
 * after it was opened. */
int loam_cache_read(struct loam_cache_file *file, uint64_t offset, void *out, size_t bytes,
		    struct loam_err *err);
/* Stores one whole block (the last is short). Failure to cache is not the reader's error: the
 * caller logs and goes on. */
int loam_cache_fill(struct loam_cache_file *file, uint64_t block_index, const void *data,
		    size_t bytes, struct loam_err *err);
bool loam_cache_has(struct loam_cache_file *file, uint64_t block_index);
/* Complete and marked so. When all blocks have come but the mark has not, the check is begun in the
 * background. Always false where the disk keeps no user xattrs. */
bool loam_cache_is_complete(struct loam_cache_file *file);
/* Checks what was not checked, syncs and marks now: 1 complete, 0 blocks are missing, -code. Long.
 */
int loam_cache_complete(struct loam_cache_file *file, struct loam_err *err);
/* For passthrough: a read-only descriptor of a complete file, marked first. Owned by the file,
 * which must be held as long as the kernel has it. AGAIN: not complete. UNSUPPORTED: no mark can be
 * kept.
 */
int loam_cache_backing_fd(struct loam_cache_file *file, int *out_fd, struct loam_err *err);
void loam_cache_drop(struct loam_cache *cache, const char *key);
/* Does it lie on the file system with that number? */
bool loam_cache_is_on(const struct loam_cache *cache, dev_t device);

struct loam_cache_stats {
	uint64_t used_bytes, max_bytes, files, hits, misses, evicted_bytes;
};
void loam_cache_read_stats(struct loam_cache *cache, struct loam_cache_stats *out);

#endif
