/*
 * Block stores: bytes under keys, written once.
 *
 * Keys are relative ("myvol/chunks/0/0/1_0_4194304"), made by block_format.h, never empty, without
 * "." or ".." segments.
 * Threads: every call from any thread, many at once.
 * Errors:  NOT_FOUND, NO_SPACE, UNAVAILABLE (not within LOAM_BLOCK_DEADLINE_MS), CORRUPT, IO.
 */
#ifndef LOAM_FS_STORE_STORE_H
#define LOAM_FS_STORE_STORE_H

#include "core/buf.h"
#include "core/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

struct loam_store;

struct loam_store_entry {
	const char *key; /* borrowed for the call */
	uint64_t bytes;
	time_t mtime;
};
/* Non-zero stops the listing and is returned by it. */
typedef int loam_store_seen_fn(void *arg, const struct loam_store_entry *entry,
			       struct loam_err *err);

struct loam_store_ops {
	const char *name;
	/*
	 * Stores data_bytes bytes under key, visible whole or not at all. Storing the same bytes
	 * under it again is success; others of the same length are refused with CORRUPT: keys name
	 * immutable bytes, so somebody else's number was given once more. Durable only behind
	 * sync().
	 */
	int (*put)(struct loam_store *store, const char *key, const void *data, size_t data_bytes,
		   struct loam_err *err);
	/*
	 * Makes the named keys durable, with the directories that name them. A failed sync is
	 * final: the key must be put again before it may be relied on. Engines whose put is durable
	 * do nothing.
	 */
	int (*sync)(struct loam_store *store, const char *const *keys, size_t key_count,
		    struct loam_err *err);
	/*
	 * Reads exactly out_bytes from offset; a shorter object is CORRUPT. Into page-aligned
	 * memory a MiB and more may be read past the system's page cache: for who keeps it himself.
	 */
	int (*get)(struct loam_store *store, const char *key, uint64_t offset, void *out,
		   size_t out_bytes, struct loam_err *err);
	/* 1 with *out_bytes, 0 absent. Never reads the body. */
	int (*size)(struct loam_store *store, const char *key, uint64_t *out_bytes,
		    struct loam_err *err);
	/* Missing is success. */
	int (*remove)(struct loam_store *store, const char *key, struct loam_err *err);
	/* Every key below prefix, in no order. */
	int (*list)(struct loam_store *store, const char *prefix, loam_store_seen_fn *seen,
		    void *arg, struct loam_err *err);
	/* A descriptor of the object's own bytes when it is a local file (-1 with 0: it is not).
	 * NULL: never. For sendfile and for filling the cache without a copy. */
	int (*open_local)(struct loam_store *store, const char *key, int *out_fd,
			  struct loam_err *err);
	void (*free)(struct loam_store *store);
};

struct loam_store {
	const struct loam_store_ops *ops;
};

/* storage "file": bucket is an absolute directory ending in "/"; "mem": bucket ignored. UNSUPPORTED
 * for every other name. */
int loam_store_open(const char *storage, const char *bucket, struct loam_store **out_store,
		    struct loam_err *err);
/* For engines: the refusal of a put over other bytes. */
int loam_store_has_others(const char *key, struct loam_err *err);
int loam_store_file_open(const char *bucket, struct loam_store **out_store, struct loam_err *err);
int loam_store_mem_open(struct loam_store **out_store, struct loam_err *err);

/*
 * A wrapper that fails on purpose; owns inner (on failure too). rules:
 * "put:3:NO_SPACE,get:every:UNAVAILABLE, put:5:delay=2000,sync:1:IO": operation, its n-th call or
 * "every", what happens. In servers it is put around the store when LOAM_STORE_FAULT is set
 * (failpoint builds only); a rule file named by
 * "@path" is read again at each call, so that a test can switch faults on and off.
 */
int loam_store_fault_open(struct loam_store *inner, const char *rules,
			  struct loam_store **out_store, struct loam_err *err);

#endif
