/*
 * What chunk lists say about bytes without reading them: files that name the same slices at the
 * same places hold the same bytes, since slices never change and their numbers are never given
 * twice.
 *
 * Threads: any. Errors: STALE when an inode has gone.
 */
#ifndef LOAM_FS_META_SAME_CONTENT_H
#define LOAM_FS_META_SAME_CONTENT_H

#include "fs/meta/meta.h"

/* Do the first length bytes of both come from the same slices? 1; 0 also when they are equal bytes
 * stored twice, or packed otherwise by a compaction. */
int loam_meta_same_content(struct loam_meta *meta, uint64_t a, uint64_t b, uint64_t length,
			   struct loam_err *err);
/* 1 when some of the first length bytes are in no slice: they read as zeros. */
int loam_meta_has_holes(struct loam_meta *meta, uint64_t ino, uint64_t length,
			struct loam_err *err);

#endif
