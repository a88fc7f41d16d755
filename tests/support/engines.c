/*
 * The table of metadata engines for contract tests.
 */
#include "tests/support/engines.h"

#include "core/auto.h"

static struct loam_engine *open_mem(void)
{
	struct loam_engine *engine = NULL;
	struct loam_err err = { 0 };
	loam_assert(loam_record_mem_open(&engine, &err) == 0);
	return engine;
}

const struct loam_engine_fixture loam_engines[] = {
	{ .name = "mem", .open = open_mem },
};
const size_t loam_engines_count = LOAM_ARRAY_COUNT(loam_engines);
