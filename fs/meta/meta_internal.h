/*
 * What the files of fs/meta share and nobody else sees.
 */
#ifndef LOAM_FS_META_META_INTERNAL_H
#define LOAM_FS_META_META_INTERNAL_H

#include "fs/meta/acl_table.h"
#include "fs/meta/delete_data.h"
#include "fs/meta/ids.h"
#include "fs/meta/meta.h"
#include "fs/meta/namespace.h"
#include "fs/meta/open_files.h"
#include "fs/meta/record_cache.h"
#include "fs/meta/rules.h"
#include "fs/meta/session.h"
#include "fs/meta/txn.h"
#include "fs/meta/unlink.h"

struct loam_meta {
	struct loam_engine *engine;
	struct loam_record_cache *cache; /* guesses of transactions; NULL: every read is a trip */
	bool read_only;			 /* transactions that write fail with READ_ONLY */
	struct loam_meta_options options;
	char *mount_point;
	uint32_t skip_dir_mtime_ms;
	struct loam_format *format; /* as it was when the volume was opened */
	struct loam_usage usage;
	struct loam_ids ids;
	struct loam_session session;
	struct loam_open_files open_files;
	struct loam_acl_table acl_table;
	struct loam_delete_data delete_data;
};

#endif
