/*
 * FUSE passthrough: a complete cache file is handed to the kernel, which reads it without us.
 *
 * libfuse 3.14 lacks the calls; they are had through its custom I/O: the INIT reply gets the
 * feature bits that the kernel offered, the OPEN reply its flag and backing id. One backing id per
 * content, counted. Where the kernel or the cache's file system refuses, the ordinary path is used
 * and that is logged once.
 *
 * Threads: any. Source: design.md §4, prototype passthrough_versions.c, linux/fuse.h.
 */
#ifndef LOAM_FS_MOUNT_PASSTHROUGH_H
#define LOAM_FS_MOUNT_PASSTHROUGH_H

#include "fs/data/cache.h"
#include "fs/data/data.h"

struct fuse_session;
struct loam_passthrough;
struct loam_backing;

/* The cache key of a read-only file's content: 1, 0 when it cannot be told cheaply, -code. */
typedef int loam_content_key_fn(struct loam_data *data, uint64_t ino, const struct loam_attr *attr,
				char out_key[LOAM_CACHE_KEY_BYTES], struct loam_err *err);

/* content_key NULL: only the other half of the INIT patch (set-id bits are cleared by us). data is
 * borrowed. */
struct loam_passthrough *loam_passthrough_new(struct loam_data *data,
					      loam_content_key_fn *content_key);
/* No backing may be held. Accepts NULL. */
void loam_passthrough_free(struct loam_passthrough *passthrough);
/* Between fuse_session_mount and the loop. At most one session of a process at a time. */
int loam_passthrough_attach(struct loam_passthrough *passthrough, struct fuse_session *session,
			    struct loam_err *err);

/* The backing file of a regular file without write bits, if its content is complete in the cache:
 * 1 counted, 0 use the ordinary path. Never an error of the reader. */
int loam_passthrough_get(struct loam_passthrough *passthrough, uint64_t ino,
			 const struct loam_attr *attr, struct loam_backing **out_backing,
			 struct loam_err *err);
void loam_passthrough_put(struct loam_backing *backing); /* accepts NULL */
int32_t loam_backing_id(const struct loam_backing *backing);

/* The next OPEN reply of this thread carries the id; 0 takes it back. */
void loam_passthrough_reply_with(int32_t backing_id);

/* One word for status: "on", "off", "not offered by the kernel", … */
const char *loam_passthrough_state(const struct loam_passthrough *passthrough);

#endif
