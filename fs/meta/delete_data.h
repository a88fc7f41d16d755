/*
 * Data of removed files: deleted in the background, from what `delfiles` names.
 *
 * Source: volume format document §5.7, §8.3.
 */
#ifndef LOAM_FS_META_DELETE_DATA_H
#define LOAM_FS_META_DELETE_DATA_H

#include "fs/meta/meta.h"

struct loam_delete_data {
	bool started;
};

void loam_delete_data_init(struct loam_delete_data *data);
/* After the last operation of loam_meta_close; the thread has ended. */
void loam_delete_data_release(struct loam_delete_data *data);
/* Takes part in the hourly jobs from now on. */
void loam_meta_delete_data_start(struct loam_meta *meta);
/* Finishes what is queued, for a few seconds at most, and ends the thread. */
void loam_meta_delete_data_stop(struct loam_meta *meta);
/* The commit that removed this file has put it into delfiles. Never blocks on the store. */
void loam_meta_data_removed(struct loam_meta *meta, uint64_t ino, uint64_t length);

#endif
