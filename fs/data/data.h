/*
 * The bytes of files: what stands between inodes (fs/meta) and blocks (fs/store), with the node
 * cache.
 *
 * One struct loam_data per process and volume. Everything else of this folder hangs on it: slice
 * writers (upload), file writers and readers, the cache.
 * Threads: any.
 */
#ifndef LOAM_FS_DATA_DATA_H
#define LOAM_FS_DATA_DATA_H

#include "core/hash.h"
#include "fs/meta/meta.h"
#include "fs/store/block_format.h"
#include "fs/store/store.h"

struct loam_cache;
struct loam_data;

struct loam_data_options {
	const char *cache_dir; /* NULL: no cache (commands that read little) */
	uint64_t cache_bytes;
	size_t upload_threads;	     /* 0: 4 */
	size_t download_threads;     /* 0: 8 */
	uint64_t write_buffer_bytes; /* blocks being filled or uploaded, in all; 0: 32 MiB. Writers
				      * wait when it is spent, so memory is bounded whatever they
				      * write */
	uint64_t readahead_bytes;    /* 0: 16 MiB */
};

/* meta and store are borrowed and must outlive it. */
int loam_data_open(struct loam_meta *meta, struct loam_store *store,
		   const struct loam_data_options *options, struct loam_data **out_data,
		   struct loam_err *err);
/* All writers and readers must have been freed. Accepts NULL. */
void loam_data_close(struct loam_data *data);
struct loam_meta *loam_data_meta(struct loam_data *data);
struct loam_store *loam_data_store(struct loam_data *data);
struct loam_cache *loam_data_cache(struct loam_data *data); /* NULL without one */
const struct loam_block_naming *loam_data_naming(const struct loam_data *data);

/* Removes the blocks of a slice nobody names; given to loam_meta_options.delete_slice. arg:
 * loam_data */
void loam_data_delete_slice(void *arg, uint64_t id, uint32_t size);

/* ---- one slice being written ------------------------------------------------------------------
 * Bytes go in at the end; full blocks are uploaded while more arrive; finish uploads the rest and
 * makes all blocks durable (design.md §2.5). Nothing names the slice until its record is committed:
 * without that its blocks are garbage for gc (abandon removes them at once). Errors: TOO_LARGE past
 * 64 MiB; a failed upload is sticky and comes back from every later call. */
struct loam_slice_writer;
int loam_slice_writer_new(struct loam_data *data, struct loam_slice_writer **out_writer,
			  struct loam_err *err);
int loam_slice_writer_add(struct loam_slice_writer *writer, const void *bytes, size_t count,
			  struct loam_err *err);
uint32_t loam_slice_writer_bytes(const struct loam_slice_writer *writer);
/* Waits for the uploads. Durable when it returns 0. */
int loam_slice_writer_finish(struct loam_slice_writer *writer, uint64_t *out_id, uint32_t *out_size,
			     struct loam_err *err);
/* Removes what was uploaded, unless finished. Accepts NULL. */
void loam_slice_writer_free(struct loam_slice_writer *writer);

/* ---- sequential file writer (LFS uploads, service files): one slice per 64 MiB chunk --------- */
struct loam_writer;
/* ino: an empty regular file. */
int loam_writer_new(struct loam_data *data, uint64_t ino, struct loam_writer **out_writer,
		    struct loam_err *err);
/*
 * The SHA-256 of all bytes, taken beside the uploads: hash() before the first byte, digest() once
 * after the last one, before finish(); it waits for what is left to hash. A writer that has failed
 * answers with the digest of what it took.
 */
void loam_writer_hash(struct loam_writer *writer);
void loam_writer_digest(struct loam_writer *writer, uint8_t out_digest[LOAM_SHA256_BYTES]);
/* Hands bytes on; blocks while the write buffer is spent. Uploads of chunk n overlap with the
 * filling of chunk n+1. */
int loam_writer_add(struct loam_writer *writer, const void *bytes, size_t count,
		    struct loam_err *err);
/* All slices committed in order, all blocks durable (the metadata needs loam_meta_barrier). */
int loam_writer_finish(struct loam_writer *writer, struct loam_err *err);
void loam_writer_free(struct loam_writer *writer);

/* ---- reading ----------------------------------------------------------------------------------
 * A reader sees the file as its chunk lists were when first needed; loam_reader_refresh drops them.
 * Sequential reads start read-ahead. Missing blocks: the list is read again (compaction), a few
 * tries, then CORRUPT. */
struct loam_reader;
int loam_reader_new(struct loam_data *data, uint64_t ino, uint64_t length,
		    struct loam_reader **out_reader, struct loam_err *err);
/* *out_read is short only at the end of the file; holes are zeros. */
int loam_reader_read(struct loam_reader *reader, uint64_t offset, void *out, size_t bytes,
		     size_t *out_read, struct loam_err *err);
/*
 * The same without a copy where the bytes are in memory already (a unit that was fetched ahead),
 * else in memory of its own. They never change. bytes is bounded by the caller.
 * Owner: loam_lent_return() gives it back, soon: lent units are not reused meanwhile.
 */
struct loam_lent {
	const void *data;
	size_t bytes;
	struct loam_fetched *unit; /* the lender's */
	void *own;
};
int loam_reader_lend(struct loam_reader *reader, uint64_t offset, size_t bytes,
		     struct loam_lent *out, struct loam_err *err);
/* Accepts a zeroed one, and one that was returned. */
void loam_lent_return(struct loam_lent *lent);
void loam_reader_refresh(struct loam_reader *reader, uint64_t length);
void loam_reader_free(struct loam_reader *reader);

/* ---- open files of a mount: reads and writes of one inode, coherent within the process ------- */
struct loam_file;
/* Shared per inode: get counts, put releases (and flushes what was written before it frees). */
int loam_file_get(struct loam_data *data, uint64_t ino, const struct loam_attr *attr,
		  struct loam_file **out_file, struct loam_err *err);
void loam_file_put(struct loam_file *file);
int loam_file_read(struct loam_file *file, uint64_t offset, void *out, size_t bytes,
		   size_t *out_read, struct loam_err *err);
/* As loam_reader_lend. */
int loam_file_lend(struct loam_file *file, uint64_t offset, size_t bytes, struct loam_lent *out,
		   struct loam_err *err);
int loam_file_write(struct loam_file *file, uint64_t offset, const void *bytes, size_t count,
		    struct loam_err *err);
/* Uploads and commits all that was written before the call. A failed background write is reported
 * to the next write, flush or close of every handle (V14): the error is sticky. */
int loam_file_flush(struct loam_file *file, struct loam_err *err);
/* Length with what is not yet committed. */
uint64_t loam_file_length(struct loam_file *file);
/* Tells it what the metadata says now (after open, truncate, fallocate, copy_range, setattr). */
void loam_file_changed(struct loam_file *file, const struct loam_attr *attr);
/* What stat(2) shows: attr, just read from the metadata, becomes what it will be once the bytes
 * that are not yet committed are (length, mtime). False when the inode is not open here. */
bool loam_file_stat(struct loam_data *data, uint64_t ino, struct loam_attr *attr);
/* The open file of this inode, if any, counted; NULL else. For truncate and the like. */
struct loam_file *loam_file_find(struct loam_data *data, uint64_t ino);
/* Flushes every open file (unmount, heartbeat). */
int loam_file_flush_all(struct loam_data *data, struct loam_err *err);

#endif
