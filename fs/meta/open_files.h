/*
 * Files open in this process, and inodes that live only because they are open ("sustained").
 *
 * Shape:   SUSTAINED <sid> <ino> stands for each inode whose last name went while it was open here.
 * Threads: any; no call to the store under the lock.
 * Source:  volume format document §4.7 (last close), §8.3.
 */
#ifndef LOAM_FS_META_OPEN_FILES_H
#define LOAM_FS_META_OPEN_FILES_H

#include "fs/meta/meta.h"

#include <pthread.h>

struct loam_open_file;
struct loam_open_files {
	pthread_mutex_t lock;
	struct loam_open_file *table; /* uthash, by inode */
};

void loam_open_files_init(struct loam_open_files *files);
void loam_open_files_release(struct loam_open_files *files);
/* True when an unlink must sustain the inode: it is open here and there is a session. */
bool loam_open_files_has(struct loam_meta *meta, uint64_t ino);
/* The commit has sustained this inode: the last close deletes it, or now if that was meanwhile. */
void loam_open_files_sustained(struct loam_meta *meta, uint64_t ino);
/* Deletes a sustained inode of a session; one that is gone is success. */
int loam_open_files_delete(struct loam_meta *meta, uint64_t sid, uint64_t ino,
			   struct loam_err *err);

#endif
