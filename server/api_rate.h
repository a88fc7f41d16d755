/*
 * How many calls of the API a principal makes in a minute (reliability.md §3 rule 12).
 *
 * A bucket of LOAM_API_CALLS_PER_MINUTE calls that fills up again evenly. The table has a fixed
 * size: callers who share a row share its bucket.
 *
 * Threads: any.
 */
#ifndef LOAM_SERVER_API_RATE_H
#define LOAM_SERVER_API_RATE_H

#include "core/err.h"

#include <stdint.h>

struct loam_api_rate;

struct loam_api_rate *loam_api_rate_new(void);
/* Accepts NULL. */
void loam_api_rate_free(struct loam_api_rate *rate);
/* Counts one call of who ("alice", "@127.0.0.1") at now_ms, a monotonic time. LIMITED when his
 * bucket is empty. */
int loam_api_rate_count(struct loam_api_rate *rate, const char *who, uint64_t now_ms,
			struct loam_err *err);

#endif
