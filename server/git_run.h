/*
 * One git child of one request: its input streamed in, its output streamed out, memory bounded.
 *
 * While input is still being fed, what the child says is kept aside (SPOOL in memory, the rest in
 * an unlinked file): a peer that sends all before it reads cannot make both sides wait for each
 * other.
 *
 * Threads: one at a time per run.
 */
#ifndef LOAM_SERVER_GIT_RUN_H
#define LOAM_SERVER_GIT_RUN_H

#include "core/confine.h"
#include "core/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct loam_git_run;

struct loam_git_run_spec {
	const char *const *argv, *const *env;
	const char *dir;       /* the repository */
	const char *spool_dir; /* where a long output may wait */
	bool has_input;
	/* Its stdin (unused with has_input), stdout and stderr, borrowed; NULL: pipes, read and fed
	 * by the functions below. */
	const int *fds;
	int keep_fd;			    /* as in loam_process_spec */
	const struct loam_confine *confine; /* likewise */
	/* Asked whenever git is waited for, and once a second meanwhile: 0, or the code with which
	 * the run ends. NULL: never. */
	int (*still)(void *arg, struct loam_err *err);
	/* Has the client gone? Asked when git was waited for a second: INTERRUPTED then. A client
	 * that has only closed its sending half looks the same, and may yet be answered at once.
	 * NULL: never. */
	bool (*is_gone)(void *arg);
	void *still_arg; /* of both */
};

int loam_git_run_start(const struct loam_git_run_spec *spec, struct loam_git_run **out_run,
		       struct loam_err *err);
/* Puts bytes in front of the child's output. */
int loam_git_run_preface(struct loam_git_run *run, const void *data, size_t bytes,
			 struct loam_err *err);
/* All of data; what comes after the child has closed its input is dropped. */
int loam_git_run_feed(struct loam_git_run *run, const void *data, size_t bytes,
		      struct loam_err *err);
void loam_git_run_end_input(struct loam_git_run *run);
/* Waits for the first byte of output. 1: there is one; 0: the child ended well and said nothing;
 * INVALID: it refused its input; IO: it failed; both without a word on stdout. */
int loam_git_run_begin_output(struct loam_git_run *run, struct loam_err *err);
/* >0 bytes, 0 at the end of the output; a child ended by a signal is IO (cut the answer). */
int64_t loam_git_run_read(struct loam_git_run *run, void *out, size_t out_bytes,
			  struct loam_err *err);
/* Readable once the child has ended, for poll(2); -1 when the kernel has none: ask by the next. */
int loam_git_run_fd(const struct loam_git_run *run);
/* For a child on descriptors of its own. 1 ended (*out_status as from waitpid), 0 not yet. */
int loam_git_run_wait(struct loam_git_run *run, uint64_t timeout_ms, int *out_status,
		      struct loam_err *err);
/* The child has ended by itself with status 0. */
bool loam_git_run_went_well(const struct loam_git_run *run);
/* Ends the child and its whole process group if they still run; logs what it said on stderr when it
 * failed. Accepts NULL. */
void loam_git_run_free(struct loam_git_run *run);

#endif
