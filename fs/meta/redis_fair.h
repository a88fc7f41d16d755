/*
 * Leaves room for official clients: they WATCH a whole directory and lose against writers that
 * change it all the time.
 *
 * A directory that this process changed in each of the last five 20 ms windows of wall-clock time
 * is left alone in the first 3 ms of the next: all nodes with good clocks pause together.
 *
 * Threads: any. Cost without a pause: one lock of the table.
 */
#ifndef LOAM_FS_META_REDIS_FAIR_H
#define LOAM_FS_META_REDIS_FAIR_H

#include "core/auto.h"

#include <stdint.h>

#define LOAM_REDIS_FAIR_SLOTS	  1024
#define LOAM_REDIS_FAIR_WINDOW_US 20000
#define LOAM_REDIS_FAIR_PAUSE_US  3000
#define LOAM_REDIS_FAIR_STREAK	  5

struct loam_redis_fair_slot {
	uint64_t dir;
	uint64_t window; /* the last one in which dir was changed */
	uint32_t streak; /* windows in a row before that one */
};

struct loam_redis_fair {
	pthread_mutex_t lock;
	struct loam_redis_fair_slot slots[LOAM_REDIS_FAIR_SLOTS];
};

void loam_redis_fair_init(struct loam_redis_fair *fair);
void loam_redis_fair_release(struct loam_redis_fair *fair);
/* Notes a change of dir at now_us; how long to wait before it, in microseconds. */
uint64_t loam_redis_fair_note(struct loam_redis_fair *fair, uint64_t dir, uint64_t now_us);
/* Waits as long as the directory's turn demands. */
void loam_redis_fair_wait(struct loam_redis_fair *fair, uint64_t dir);

#endif
