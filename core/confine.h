/*
 * What a child process may reach: a few paths by Landlock, no TCP, and limits on what it may use.
 *
 * Shape:   a path and all below it get the named access, everything else none. What the kernel
 *          does not know is left out; without Landlock the limits and the system calls that are
 *          taken away still hold (loam_confine_level).
 * Threads: loam_confine_enter binds the calling thread and the children it starts, for ever.
 * Source:  kernel Documentation/userspace-api/landlock.rst; reliability.md §3 rule 15, F16.
 */
#ifndef LOAM_CORE_CONFINE_H
#define LOAM_CORE_CONFINE_H

#include "core/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum loam_may {
	LOAM_MAY_READ,
	LOAM_MAY_RUN,	/* read and execute */
	LOAM_MAY_USE,	/* read and write what is there: devices */
	LOAM_MAY_CHANGE /* everything but execute */
};

struct loam_confine_path {
	const char *path; /* one that is missing is left out */
	enum loam_may may;
};

struct loam_confine {
	const struct loam_confine_path *paths;
	size_t path_count;
	bool no_sockets; /* of no kind; else those that Landlock leaves */
	/* Of each process; 0: as ours. */
	uint64_t cpu_seconds, data_bytes, file_bytes, files;
	uint64_t processes; /* of its user */
};

/* Version of the kernel's Landlock, 0: none that can be used. */
int loam_confine_level(void);
/* Errors: IO when the kernel knows Landlock or seccomp and refuses. */
int loam_confine_enter(const struct loam_confine *confine, struct loam_err *err);
/* argv, NULL-terminated, LOAM_CONFINE_WORDS_MAX words at most, behind the program that sets the
 * limits and becomes it; argv itself when none is set. Borrows argv's words. Errors: TOO_LARGE. */
#define LOAM_CONFINE_WORDS_MAX 64
struct loam_confine_words {
	char limits[5][48];
	const char *argv[LOAM_CONFINE_WORDS_MAX + 8];
};
int loam_confine_argv(const struct loam_confine *confine, const char *const *argv,
		      struct loam_confine_words *out, struct loam_err *err);

#endif
