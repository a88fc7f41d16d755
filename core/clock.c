/*
 * Clocks and deadlines (core/clock.h).
 */
#include "core/clock.h"

#include <errno.h>
#include <limits.h>

static uint64_t read_clock_ns(clockid_t id)
{
	struct timespec now;
	clock_gettime(id, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t loam_clock_ms(void)
{
	return read_clock_ns(CLOCK_MONOTONIC) / 1000000u;
}

uint64_t loam_clock_ns(void)
{
	return read_clock_ns(CLOCK_MONOTONIC);
}

uint64_t loam_clock_thread_ns(void)
{
	return read_clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

struct timespec loam_clock_now(void)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	return now;
}

void loam_clock_sleep_ms(uint64_t ms)
{
	struct timespec left = { .tv_sec = (time_t)(ms / 1000),
				 .tv_nsec = (long)(ms % 1000) * 1000000 };
	while (nanosleep(&left, &left) < 0 && errno == EINTR)
		;
}

void loam_clock_sleep_until_ns(uint64_t ns)
{
	const struct timespec until = { .tv_sec = (time_t)(ns / 1000000000u),
					.tv_nsec = (long)(ns % 1000000000u) };
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
		;
}

void loam_clock_sleep_to_step_ns(uint64_t from_ns, uint64_t step_ns)
{
	uint64_t steps = (loam_clock_ns() - from_ns) / step_ns + 1;
	loam_clock_sleep_until_ns(from_ns + steps * step_ns);
}

bool loam_cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *lock, uint64_t at_ms)
{
	const struct timespec until = { .tv_sec = (time_t)(at_ms / 1000),
					.tv_nsec = (long)(at_ms % 1000) * 1000000 };
	return pthread_cond_clockwait(cond, lock, CLOCK_MONOTONIC, &until) == 0;
}

void loam_clock_format(time_t when, char out[LOAM_CLOCK_TEXT_BYTES])
{
	struct tm utc;
	gmtime_r(&when, &utc);
	strftime(out, LOAM_CLOCK_TEXT_BYTES, "%Y-%m-%dT%H:%M:%SZ", &utc);
}

struct loam_deadline loam_deadline_in(uint64_t ms)
{
	return (struct loam_deadline){ .at_ms = loam_clock_ms() + ms };
}

int loam_deadline_left_ms(struct loam_deadline deadline)
{
	uint64_t now = loam_clock_ms();
	if (deadline.at_ms <= now)
		return 0;
	uint64_t left = deadline.at_ms - now;
	return left > INT_MAX ? INT_MAX : (int)left;
}
