/*
 * The table of metadata engines for contract tests.
 */
#include "tests/support/engines.h"

#include "core/auto.h"
#include "tests/support/redis_server.h"

static struct loam_engine *open_mem(void)
{
	struct loam_engine *engine = NULL;
	struct loam_err err = { 0 };
	loam_assert(loam_record_mem_open(&engine, &err) == 0);
	return engine;
}

static struct loam_redis_server server;
static int next_database;

static bool start_redis(const char **out_reason)
{
	next_database = 0;
	return loam_redis_server_start(&server, true, out_reason);
}

/* A server whose account may not use scripts: every commit goes by WATCH. */
static bool start_scriptless(const char **out_reason)
{
	if (!start_redis(out_reason))
		return false;
	loam_redis_server_tell(&server, "OK", "ACL", "SETUSER", "plain", "on", ">pw", "~*", "&*",
			       "+@all", "-@scripting", NULL);
	return true;
}

static struct loam_engine *open_scriptless(void)
{
	struct loam_engine *engine = NULL;
	struct loam_err err = { 0 };
	loam_auto_free char *url =
		loam_xasprintf("unix://plain:pw@%s?db=%d", server.socket, next_database++);
	loam_assert(loam_record_redis_open(url, &engine, &err) == 0);
	return engine;
}

/* Each engine has a database of its own: no test sees what another left. */
static struct loam_engine *open_redis(void)
{
	struct loam_engine *engine = NULL;
	struct loam_err err = { 0 };
	loam_assert(next_database < LOAM_REDIS_SERVER_DATABASES);
	loam_auto_free char *url = loam_redis_server_url(&server, next_database++);
	loam_assert(loam_record_redis_open(url, &engine, &err) == 0);
	return engine;
}

static void stop_redis(void)
{
	loam_redis_server_stop(&server);
}

const struct loam_engine_fixture loam_engines[] = {
	{ .name = "mem", .open = open_mem },
	{ .name = "redis", .start = start_redis, .open = open_redis, .stop = stop_redis },
	{ .name = "redis without scripts",
	  .start = start_scriptless,
	  .open = open_scriptless,
	  .stop = stop_redis },
};
const size_t loam_engines_count = LOAM_ARRAY_COUNT(loam_engines);
