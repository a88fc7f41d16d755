/*
 * Buckets of API calls (server/api_rate.h). Units: calls times 60,000, so that what a millisecond
 * brings back is a whole number.
 */
#include "server/api_rate.h"

#include "core/auto.h"
#include "core/hash.h"
#include "core/limits.h"

#include <string.h>

#define ROWS	    4096
#define CALL	    60000ull
#define FULL	    (LOAM_API_CALLS_PER_MINUTE * CALL)
#define KEY_BYTES   32
#define PER_MS	    ((uint64_t)LOAM_API_CALLS_PER_MINUTE)
#define WAIT_MS_MAX 60000u

struct bucket {
	uint64_t used; /* 0: full */
	uint64_t at_ms;
};

struct loam_api_rate {
	pthread_mutex_t lock;
	uint8_t key[KEY_BYTES]; /* rows are not to be aimed at */
	struct bucket rows[ROWS];
};

struct loam_api_rate *loam_api_rate_new(void)
{
	struct loam_api_rate *rate = loam_xnew(struct loam_api_rate);
	pthread_mutex_init(&rate->lock, NULL);
	loam_random(rate->key, sizeof(rate->key));
	return rate;
}

void loam_api_rate_free(struct loam_api_rate *rate)
{
	if (!rate)
		return;
	pthread_mutex_destroy(&rate->lock);
	free(rate);
}

int loam_api_rate_count(struct loam_api_rate *rate, const char *who, uint64_t now_ms,
			struct loam_err *err)
{
	uint8_t mac[LOAM_SHA256_BYTES];
	uint32_t number;
	loam_hmac_sha256(rate->key, sizeof(rate->key), who, strlen(who), mac);
	memcpy(&number, mac, sizeof(number));
	loam_guard(&rate->lock);
	struct bucket *bucket = &rate->rows[number % ROWS];
	uint64_t passed = now_ms > bucket->at_ms ? now_ms - bucket->at_ms : 0;
	uint64_t back = passed < WAIT_MS_MAX ? passed * PER_MS : FULL;
	bucket->used = bucket->used > back ? bucket->used - back : 0;
	bucket->at_ms = now_ms;
	if (bucket->used + CALL > FULL)
		return loam_fail(err, LOAM_E_LIMITED, "more than %d calls a minute: wait a little",
				 LOAM_API_CALLS_PER_MINUTE);
	bucket->used += CALL;
	return 0;
}
