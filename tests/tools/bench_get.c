/*
 * What other clients of a Redis feel: bench_get SOCKET SECONDS KEY
 *
 * Sends GET KEY, one at a time, 1 ms apart, until the time is over or SIGTERM comes, and prints the
 * number of requests and their latencies: `count p50 p99 max` in milliseconds.
 */
#include "core/auto.h"
#include "core/clock.h"

#include <hiredis/hiredis.h>
#include <signal.h>
#include <stdio.h>

#define SAMPLES_MAX 1000000u

static volatile sig_atomic_t ended;

static void end(int signal_number)
{
	ended = 1;
}

static int by_value(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;
	return x < y ? -1 : x > y;
}

int main(int argc, char **argv)
{
	if (argc != 4) {
		fprintf(stderr, "usage: bench_get SOCKET SECONDS KEY\n");
		return 2;
	}
	redisContext *redis = redisConnectUnix(argv[1]);
	if (!redis || redis->err) {
		fprintf(stderr, "%s: %s\n", argv[1], redis ? redis->errstr : "no memory");
		return 1;
	}
	signal(SIGTERM, end);
	uint64_t until = loam_clock_ms() + strtoull(argv[2], NULL, 10) * 1000;
	loam_auto_free float *samples = loam_xcalloc(SAMPLES_MAX, sizeof(*samples));
	size_t count = 0;
	while (!ended && count < SAMPLES_MAX && loam_clock_ms() < until) {
		uint64_t from = loam_clock_ns();
		redisReply *reply = redisCommand(redis, "GET %s", argv[3]);
		if (!reply)
			break;
		samples[count++] = (float)(loam_clock_ns() - from) / 1e6f;
		freeReplyObject(reply);
		loam_clock_sleep_ms(1);
	}
	redisFree(redis);
	if (count == 0)
		return 1;
	qsort(samples, count, sizeof(*samples), by_value);
	printf("%zu %.2f %.2f %.2f\n", count, samples[count / 2], samples[count * 99 / 100],
	       samples[count - 1]);
	return 0;
}
