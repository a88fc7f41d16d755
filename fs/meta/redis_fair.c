/*
 * Turns for others (redis_fair.h). The table is direct-mapped: two busy directories in one slot
 * merely lose their pauses.
 */
#include "fs/meta/redis_fair.h"

#include "core/clock.h"

#include <errno.h>

void loam_redis_fair_init(struct loam_redis_fair *fair)
{
	pthread_mutex_init(&fair->lock, NULL);
}

void loam_redis_fair_release(struct loam_redis_fair *fair)
{
	pthread_mutex_destroy(&fair->lock);
}

uint64_t loam_redis_fair_note(struct loam_redis_fair *fair, uint64_t dir, uint64_t now_us)
{
	uint64_t window = now_us / LOAM_REDIS_FAIR_WINDOW_US;
	uint64_t into_us = now_us % LOAM_REDIS_FAIR_WINDOW_US;
	uint64_t mixed = (dir * 0x9E3779B97F4A7C15ull) >> 32;

	loam_guard(&fair->lock);
	struct loam_redis_fair_slot *slot = &fair->slots[mixed % LOAM_REDIS_FAIR_SLOTS];
	if (slot->dir != dir)
		*slot = (struct loam_redis_fair_slot){ .dir = dir, .window = window };
	else if (window == slot->window + 1)
		slot->streak++;
	else if (window != slot->window)
		slot->streak = 0;
	slot->window = window;
	if (slot->streak < LOAM_REDIS_FAIR_STREAK || into_us >= LOAM_REDIS_FAIR_PAUSE_US)
		return 0;
	return LOAM_REDIS_FAIR_PAUSE_US - into_us;
}

void loam_redis_fair_wait(struct loam_redis_fair *fair, uint64_t dir)
{
	struct timespec now = loam_clock_now();
	uint64_t wait_us =
		loam_redis_fair_note(fair, dir,
				     (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000);
	if (wait_us == 0)
		return;
	struct timespec left = { .tv_nsec = (long)wait_us * 1000 };
	while (nanosleep(&left, &left) < 0 && errno == EINTR)
		continue;
}
