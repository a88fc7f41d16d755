/*
 * An engine from the URL of a volume: the one place that knows every engine by its scheme.
 */
#include "fs/meta/record.h"

#include "core/auto.h"

#include <string.h>

static const struct {
	const char *scheme;
	bool is_redis;
} schemes[] = {
	{ "redis://", true },
	{ "rediss://", true },
	{ "unix://", true },
	{ "mem://", false },
};

int loam_engine_open(const char *url, struct loam_engine **out_engine, struct loam_err *err)
{
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(schemes); i++) {
		if (strncmp(url, schemes[i].scheme, strlen(schemes[i].scheme)) != 0)
			continue;
		if (schemes[i].is_redis)
			return loam_record_redis_open(url, out_engine, err);
		return loam_record_mem_open(out_engine, err);
	}
	loam_auto_free char *shown = loam_engine_url_redacted(url);
	return loam_fail(err, LOAM_E_INVALID,
			 "'%s' names no metadata engine (redis://, rediss://, unix://, mem://)",
			 shown);
}
