/*
 * Data of removed files. The entry of `delfiles` that the removal wrote is enough for any client of
 * the volume to delete the data: nothing is queued in this process.
 */
#include "fs/meta/delete_data.h"

#include "core/log.h"
#include "fs/meta/meta_internal.h"

void loam_delete_data_init(struct loam_delete_data *data)
{
	data->started = false;
}

void loam_delete_data_release(struct loam_delete_data *data)
{
	loam_assert(!data->started);
}

void loam_meta_delete_data_start(struct loam_meta *meta)
{
	meta->delete_data.started = true;
}

void loam_meta_delete_data_stop(struct loam_meta *meta)
{
	meta->delete_data.started = false;
}

void loam_meta_data_removed(struct loam_meta *meta, uint64_t ino, uint64_t length)
{
	loam_debug("meta.removed", "inode=%llu bytes=%llu", (unsigned long long)ino,
		   (unsigned long long)length);
}
