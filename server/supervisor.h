/*
 * A few children that must always run: one that dies is started again within 2 s.
 *
 * Threads: one; the caller's loop calls loam_supervisor_step() again and again.
 */
#ifndef LOAM_SERVER_SUPERVISOR_H
#define LOAM_SERVER_SUPERVISOR_H

#include "core/process.h"

#include <stdbool.h>
#include <stdint.h>

#define LOAM_CHILDREN_MAX 4

struct loam_child {
	const char *name;
	const char *const *argv; /* borrowed */
	const char *const *env;
	struct loam_process process;
	uint64_t started_ms;
	uint64_t not_before_ms; /* next start */
	unsigned quick_deaths;
};

struct loam_supervisor {
	struct loam_child children[LOAM_CHILDREN_MAX];
	size_t count;
};

/* Starts it at once. Failing to start is an error; dying later is not. */
int loam_supervisor_add(struct loam_supervisor *supervisor, const char *name,
			const char *const *argv, const char *const *env, struct loam_err *err);
/* Reaps what died and starts it again when its pause is over. Returns within about 100 ms. */
void loam_supervisor_step(struct loam_supervisor *supervisor);
/* The name of a child that died so often, each time within 10 s of its start; NULL: none. */
const char *loam_supervisor_dying(const struct loam_supervisor *supervisor, unsigned deaths);
/* Ends them, last added first; each has grace_ms before it is killed. */
void loam_supervisor_stop(struct loam_supervisor *supervisor, uint64_t grace_ms);

#endif
