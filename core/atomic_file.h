/*
 * Durable replacement of a file: temporary file beside the target, sticky write errors, fsync,
 * rename (or link), fsync of the directory. The target is the old file or the whole new one.
 *
 * Shape:   a crash may leave a temporary file ".loam-tmp-*" in the directory, never a part of the
 *          target.
 * Errors:  the file is not replaced, except when only the directory's fsync failed.
 * Threads: one at a time per object.
 */
#ifndef LOAM_CORE_ATOMIC_FILE_H
#define LOAM_CORE_ATOMIC_FILE_H

#include "core/err.h"

#include <stddef.h>
#include <sys/types.h>

struct loam_atomic_file;

int loam_atomic_file_open(const char *path, mode_t mode, struct loam_atomic_file **out_file,
			  struct loam_err *err);
/* A failed write is remembered: commit then fails with it. */
void loam_atomic_file_write(struct loam_atomic_file *file, const void *data, size_t bytes);
/* Durable when it returns 0. The object may then only be freed. */
int loam_atomic_file_commit(struct loam_atomic_file *file, struct loam_err *err);
/* Without a commit the target is untouched. Accepts NULL. */
void loam_atomic_file_free(struct loam_atomic_file *file);
/* All of it in one call. */
int loam_atomic_file_put(const char *path, mode_t mode, const void *data, size_t bytes,
			 struct loam_err *err);

#endif
