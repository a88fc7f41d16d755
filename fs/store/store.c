/*
 * Opens a block store by the name that the volume's Format gives it. What is not built is refused
 * by name, never replaced by something else.
 */
#include "fs/store/store.h"

#include <string.h>

int loam_store_open(const char *storage, const char *bucket, struct loam_store **out_store,
		    struct loam_err *err)
{
	if (strcmp(storage, "file") == 0)
		return loam_store_file_open(bucket, out_store, err);
	if (strcmp(storage, "mem") == 0)
		return loam_store_mem_open(out_store, err);
	return loam_fail(err, LOAM_E_UNSUPPORTED, "block storage '%s' is not built into this loam",
			 storage);
}

int loam_store_has_others(const char *key, struct loam_err *err)
{
	return loam_fail(err, LOAM_E_CORRUPT,
			 "block %s is there already with other bytes: its number was given twice, "
			 "is the metadata older than the blocks?",
			 key);
}
