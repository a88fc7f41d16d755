/*
 * Child processes by posix_spawn with argument vectors and an environment built from nothing.
 * Never a shell.
 */
#ifndef LOAM_CORE_PROCESS_H
#define LOAM_CORE_PROCESS_H

#include "core/buf.h"
#include "core/confine.h"
#include "core/err.h"

#include <stdbool.h>
#include <sys/types.h>

struct loam_process_spec {
	const char *const *argv; /* NULL-terminated; argv[0] is looked up in PATH */
	const char *const *env;	 /* NULL-terminated "NAME=value"; nothing else is inherited */
	const char *dir;	 /* working directory, NULL: ours */
	int stdin_fd;		 /* given to the child, or -1: /dev/null, or LOAM_PIPE */
	int stdout_fd;
	int stderr_fd;	/* -1: /dev/null; 2: ours */
	bool new_group; /* its own process group, so that it can be killed with its children */
	int keep_fd;	/* one more descriptor for the child, as its number 3; 0: none */
	const struct loam_confine *confine; /* what it may reach and use; NULL: what we may */
};
#define LOAM_PIPE (-2)

struct loam_process {
	pid_t pid;    /* 0 when none is running */
	int stdin_fd; /* our ends of LOAM_PIPE, else -1; close-on-exec */
	int stdout_fd;
	int stderr_fd;
	bool new_group;
};

/* Errors: NOT_FOUND when the program is missing, BUSY, IO. Results only on success. */
int loam_process_start(const struct loam_process_spec *spec, struct loam_process *out,
		       struct loam_err *err);
/* Waits up to timeout_ms (UINT64_MAX: for ever). 1 ended (*out_status as from waitpid), 0 not yet.
 */
int loam_process_wait(struct loam_process *process, uint64_t timeout_ms, int *out_status,
		      struct loam_err *err);
/* Closes our pipe ends; sends SIGTERM, after grace_ms SIGKILL, to the group if it has one; reaps.
 */
void loam_process_stop(struct loam_process *process, uint64_t grace_ms);
/* Runs to the end with input fed and output gathered (either may be NULL). Exit status != 0 is
 * IO with the first line of stderr in the text. */
int loam_process_run(const struct loam_process_spec *spec, const void *input, size_t input_bytes,
		     struct loam_buf *out_stdout, uint64_t timeout_ms, struct loam_err *err);

#endif
