/*
 * Every metadata engine a contract test runs against. A new engine adds one row in engines.c.
 */
#ifndef LOAM_TESTS_SUPPORT_ENGINES_H
#define LOAM_TESTS_SUPPORT_ENGINES_H

#include "fs/meta/record.h"

struct loam_engine_fixture {
	const char *name;
	/* Starts what the engine needs (a private server). False: it cannot run here; text says
	 * why. NULL: nothing is needed. */
	bool (*start)(const char **out_reason);
	/* A new engine on an empty store; asserts on failure. The caller frees it. */
	struct loam_engine *(*open)(void);
	void (*stop)(void); /* NULL: nothing to stop */
};

extern const struct loam_engine_fixture loam_engines[];
extern const size_t loam_engines_count;

#endif
