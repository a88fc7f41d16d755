/*
 * What a push brings: every name and blob of its new commits, checked against what the file system
 * can hold, and the LFS pointers among them.
 *
 * Cost: the changed paths of each new commit; a tree met twice is read once, but for one that now
 * stands deeper.
 */
#ifndef LOAM_GITHOOK_SCAN_H
#define LOAM_GITHOOK_SCAN_H

#include "core/buf.h"
#include "core/err.h"
#include "core/hash.h"

#include <git2.h>
#include <stdint.h>

struct loam_scan;

/* One pointer; path names a place where it stands. Borrowed from the scan. */
struct loam_found_pointer {
	char oid[LOAM_SHA256_HEX + 1];
	uint64_t size;
	char *path;
};

struct loam_scan *loam_scan_new(git_repository *git);
void loam_scan_free(struct loam_scan *scan);
/* Reads the objects that new_oid brings beyond all present refs. */
int loam_scan_ref(struct loam_scan *scan, const git_oid *new_oid, struct loam_err *err);
/* Lines "PATH: why" for what may not be pushed; empty when all is well. At most 20 lines. */
const struct loam_buf *loam_scan_refusals(const struct loam_scan *scan);
size_t loam_scan_pointer_count(const struct loam_scan *scan);
const struct loam_found_pointer *loam_scan_pointer(const struct loam_scan *scan, size_t index);

#endif
