/*
 * What the files of fs/meta share and nobody else sees.
 */
#ifndef LOAM_FS_META_META_INTERNAL_H
#define LOAM_FS_META_META_INTERNAL_H

#include "fs/meta/meta.h"
#include "fs/meta/record_cache.h"
#include "fs/meta/txn.h"

struct loam_meta {
	struct loam_engine *engine;
	struct loam_record_cache *cache; /* guesses of transactions; NULL: every read is a trip */
	bool read_only;			 /* transactions that write fail with READ_ONLY */
};

#endif
