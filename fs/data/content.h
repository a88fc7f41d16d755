/*
 * The name of a read-only file's bytes, under which the node cache keeps them and the kernel gets
 * them (design.md §4): clones of one file have one name, and one copy on the node.
 *
 * Name: "content/" and the SHA-256 over the volume's UUID, the length, and the resolved pieces of
 * the whole file (format §5.2) clipped to it, holes and adjoining pieces of one slice merged, each
 * as (position, slice id, offset, length); numbers of 8 bytes, big-endian.
 * It is computed once per (inode, ctime, length) and process: every change of content sets ctime,
 * but compaction, which changes no byte.
 *
 * Threads: any.
 */
#ifndef LOAM_FS_DATA_CONTENT_H
#define LOAM_FS_DATA_CONTENT_H

#include "fs/data/cache.h"
#include "fs/data/data.h"

struct loam_content;
struct loam_contents; /* the table of a struct loam_data */

struct loam_contents *loam_contents_new(void);
/* All contents have been put back. Accepts NULL. */
void loam_contents_free(struct loam_contents *contents);

/*
 * The content of a regular file without write bits: 1, counted; 0 when it has no such name: it can
 * be written, is empty, there is no cache, its list is too long, or it is a small part of a slice
 * that it shares with other small files (those are better read by their slice). -code of the
 * metadata.
 */
int loam_content_open(struct loam_data *data, uint64_t ino, const struct loam_attr *attr,
		      struct loam_content **out_content, struct loam_err *err);
struct loam_content *loam_content_ref(struct loam_content *content);
void loam_content_put(struct loam_content *content); /* accepts NULL */
const char *loam_content_name(const struct loam_content *content);
/*
 * The pieces of one 4 MiB unit, pos counted within it, gap-free; free(). They are those that the
 * name was made of: CONFLICT when the metadata has others by now (the unit must not be stored under
 * this name from them).
 */
int loam_content_plan(struct loam_content *content, uint64_t unit_index,
		      struct loam_slice **out_pieces, size_t *out_count, struct loam_err *err);
/* Its blocks have gone from the store: the next open computes the name again. */
void loam_content_forget(struct loam_content *content);

/* The name alone, for passthrough: 1, or 0 also when the metadata does not answer. */
int loam_content_key(struct loam_data *data, uint64_t ino, const struct loam_attr *attr,
		     char out_key[LOAM_CACHE_KEY_BYTES], struct loam_err *err);
/*
 * Fetches all blocks that the cache lacks, several at once, and marks the file as complete. 0 when
 * all are there; UNSUPPORTED for a file that has no such name. Long.
 */
int loam_content_warm(struct loam_data *data, uint64_t ino, const struct loam_attr *attr,
		      struct loam_err *err);

#endif
