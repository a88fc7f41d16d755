/*
 * Clocks. Deadlines and durations use the monotonic clock; what is stored uses wall-clock time.
 */
#ifndef LOAM_CORE_CLOCK_H
#define LOAM_CORE_CLOCK_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

uint64_t loam_clock_ms(void);	       /* monotonic milliseconds */
uint64_t loam_clock_ns(void);	       /* monotonic nanoseconds */
uint64_t loam_clock_thread_ns(void);   /* what this thread has used of a processor */
struct timespec loam_clock_now(void);  /* wall clock, as the volume stores it */
void loam_clock_sleep_ms(uint64_t ms); /* resumes after signals */
/* To a point of loam_clock_ns(). */
void loam_clock_sleep_until_ns(uint64_t ns);
/* To the next whole step since from_ns: how long the work before took is then not told. */
void loam_clock_sleep_to_step_ns(uint64_t from_ns, uint64_t step_ns);
/*
 * Waits for cond, at most to a point of loam_clock_ms(), so that a change of the wall clock neither
 * shortens nor lengthens it. false: that point has come. As with all waits on conditions, true may
 * mean nothing. cond needs no attributes; lock is held before and behind.
 */
bool loam_cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *lock, uint64_t at_ms);
/* RFC 3339 in UTC with seconds, "2026-11-22T10:00:00Z". */
#define LOAM_CLOCK_TEXT_BYTES 32
void loam_clock_format(time_t when, char out[LOAM_CLOCK_TEXT_BYTES]);

/* A point in monotonic time. */
struct loam_deadline {
	uint64_t at_ms;
};
struct loam_deadline loam_deadline_in(uint64_t ms);
/* Milliseconds left, 0 when it has passed; fits poll(2). */
int loam_deadline_left_ms(struct loam_deadline deadline);

#endif
