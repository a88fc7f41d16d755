/*
 * The file under the audit log: appended by several processes at once, rotated by size.
 *
 * Threads: any; the lock is the object's.
 */
#ifndef LOAM_AUTH_AUDIT_FILE_H
#define LOAM_AUTH_AUDIT_FILE_H

#include "core/err.h"

#include <stddef.h>
#include <stdint.h>

struct loam_audit_file;

/* keep: how many rotated files stay. Nothing is opened before the first line. */
struct loam_audit_file *loam_audit_file_new(const char *path, uint64_t max_bytes, unsigned keep);
void loam_audit_file_free(struct loam_audit_file *file);
/* Appends line (with its newline) in one write. NO_SPACE, IO, NOT_FOUND … when it is not there. */
int loam_audit_file_add(struct loam_audit_file *file, const char *line, size_t line_bytes,
			struct loam_err *err);
/* The next line opens the path anew. Async-signal-safe. */
void loam_audit_file_reopen(struct loam_audit_file *file);

#endif
