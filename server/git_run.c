/*
 * Git children (server/git_run.h). Steps 5 to 7 of a push: receive-pack unpacks into quarantine and
 * runs the hooks, upload-pack reads.
 *
 *   body → feed() → stdin │ git │ stdout → spool (while feeding) → read() → answer
 *                                 stderr → first STDERR_BYTES_MAX, for the log only
 *
 * The child leads a process group of its own; ending a run ends hooks and index-pack with it
 * (reliability.md F08: within 5 s). A git that is ended by a signal leaves its quarantine behind
 * (since 2.39), one whose input ends or whose helper dies cleans up: so its helpers are ended
 * first, and it is given time to notice.
 */
#include "server/git_run.h"

#include "core/auto.h"
#include "core/buf.h"
#include "core/clock.h"
#include "core/cmd.h"
#include "core/log.h"
#include "core/process.h"
#include "core/sys.h"

#include "core/banned.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>

#define PREFACE_BYTES_MAX  256
#define SPOOL_MEMORY_BYTES (1u << 20)
#define SPOOL_BYTES_MAX	   (256ull << 20)
#define STDERR_BYTES_MAX   4096
#define STEP_BYTES	   (64u << 10)
#define ASK_EVERY_MS	   1000
#define END_WAIT_MS	   10000
#define CLEAN_UP_MS	   2500 /* for a git whose helpers were ended */
#define CLEAN_UP_STEP_MS   100
#define GIT_DIED	   128 /* exit status of die(), and above: of wrong usage */
#define TERM_GRACE_MS	   1000

struct loam_git_run {
	struct loam_process process;
	int pid_fd; /* when it runs on descriptors of its own */
	int (*still)(void *arg, struct loam_err *err);
	bool (*is_gone)(void *arg);
	void *still_arg;
	char *spool_dir;
	struct loam_buf preface;
	struct loam_buf memory; /* the first bytes of the spool */
	size_t memory_read;
	int spool_fd; /* the bytes behind them, -1: none yet */
	uint64_t spool_bytes, spool_read;
	struct loam_buf errors;
	int status; /* as from waitpid, once ended */
	bool ended;
	bool has_input;
};

static void close_end(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

int loam_git_run_start(const struct loam_git_run_spec *spec, struct loam_git_run **out_run,
		       struct loam_err *err)
{
	const int *given = spec->fds;
	struct loam_process_spec child = { .argv = spec->argv,
					   .env = spec->env,
					   .dir = spec->dir,
					   .stdin_fd = spec->has_input ? LOAM_PIPE
						       : given	       ? given[0]
								       : -1,
					   .stdout_fd = given ? given[1] : LOAM_PIPE,
					   .stderr_fd = given ? given[2] : LOAM_PIPE,
					   .new_group = true,
					   .keep_fd = spec->keep_fd,
					   .confine = spec->confine };
	struct loam_process process;
	int rc = loam_process_start(&child, &process, err);
	if (rc < 0)
		return rc;
	struct loam_git_run *run = loam_xnew(struct loam_git_run);
	run->process = process;
	run->pid_fd = given ? pidfd_open(process.pid, 0) : -1;
	run->has_input = spec->has_input;
	run->still = spec->still;
	run->is_gone = spec->is_gone;
	run->still_arg = spec->still_arg;
	run->spool_dir = loam_xstrdup(spec->spool_dir);
	run->spool_fd = -1;
	loam_buf_init(&run->preface, PREFACE_BYTES_MAX);
	loam_buf_init(&run->memory, SPOOL_MEMORY_BYTES);
	loam_buf_init(&run->errors, STDERR_BYTES_MAX);
	const int fds[] = { process.stdin_fd, process.stdout_fd, process.stderr_fd };
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(fds); i++)
		if (fds[i] >= 0)
			fcntl(fds[i], F_SETFL, fcntl(fds[i], F_GETFL) | O_NONBLOCK);
	*out_run = run;
	return 0;
}

/* ---- the spool ----------------------------------------------------------------------------- */

static int spool_to_file(struct loam_git_run *run, const void *data, size_t bytes,
			 struct loam_err *err)
{
	if (run->spool_fd < 0)
		run->spool_fd = open(run->spool_dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (run->spool_fd < 0)
		return loam_fail_errno(err, "make a temporary file in %s", run->spool_dir);
	if (run->spool_bytes + bytes > SPOOL_BYTES_MAX)
		return loam_fail(err, LOAM_E_TOO_LARGE,
				 "git answers too much before its input "
				 "has ended");
	int rc = loam_sys_pwrite_all(run->spool_fd, data, bytes, run->spool_bytes, err);
	if (rc == 0)
		run->spool_bytes += bytes;
	return rc;
}

static int spool_add(struct loam_git_run *run, const void *data, size_t bytes, struct loam_err *err)
{
	if (run->spool_fd < 0 && run->memory.bytes + bytes <= SPOOL_MEMORY_BYTES)
		return loam_buf_add(&run->memory, data, bytes, err);
	return spool_to_file(run, data, bytes, err);
}

static bool spool_has(const struct loam_git_run *run)
{
	return run->memory_read < run->memory.bytes || run->spool_read < run->spool_bytes;
}

static int64_t spool_take(struct loam_git_run *run, void *out, size_t out_bytes,
			  struct loam_err *err)
{
	size_t left = run->memory.bytes - run->memory_read;
	if (left > 0) {
		size_t take = left < out_bytes ? left : out_bytes;
		memcpy(out, run->memory.data + run->memory_read, take);
		run->memory_read += take;
		return (int64_t)take;
	}
	size_t got = 0;
	int rc = loam_sys_pread(run->spool_fd, out, out_bytes, run->spool_read, &got, err);
	if (rc < 0)
		return rc;
	run->spool_read += got;
	return (int64_t)got;
}

int loam_git_run_preface(struct loam_git_run *run, const void *data, size_t bytes,
			 struct loam_err *err)
{
	return loam_buf_add(&run->preface, data, bytes, err);
}

static int64_t take_preface(struct loam_git_run *run, void *out, size_t out_bytes)
{
	size_t take = run->preface.bytes < out_bytes ? run->preface.bytes : out_bytes;
	memcpy(out, run->preface.data, take);
	loam_buf_drop(&run->preface, take);
	return (int64_t)take;
}

/* ---- the pipes ----------------------------------------------------------------------------- */

/* stderr: the beginning is kept, the rest dropped. */
static void take_errors(struct loam_git_run *run)
{
	char step[4096];
	struct loam_err ignored = { 0 };
	ssize_t got = read(run->process.stderr_fd, step, sizeof(step));
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got <= 0) {
		close_end(&run->process.stderr_fd);
		return;
	}
	size_t room = STDERR_BYTES_MAX - run->errors.bytes;
	size_t take = (size_t)got < room ? (size_t)got : room;
	if (take > 0 && loam_buf_add(&run->errors, step, take, &ignored) < 0)
		loam_err_clear(&ignored);
}

/* >0 bytes, 0 at the end, -1 nothing there now, -code. */
#define NOTHING_NOW (-(int64_t)LOAM_E_COUNT)
static int64_t take_output(struct loam_git_run *run, void *out, size_t out_bytes,
			   struct loam_err *err)
{
	if (run->process.stdout_fd < 0)
		return 0;
	ssize_t got = read(run->process.stdout_fd, out, out_bytes);
	if (got > 0)
		return got;
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return NOTHING_NOW;
	if (got < 0)
		return loam_fail_errno(err, "read from git");
	close_end(&run->process.stdout_fd);
	return 0;
}

/* Waits until stdin takes bytes (if wanted) or stdout has some; stderr is emptied on the way. */
static int wait_pipes(struct loam_git_run *run, bool want_stdin, struct loam_err *err)
{
	struct pollfd fds[] = {
		{ .fd = want_stdin ? run->process.stdin_fd : -1, .events = POLLOUT },
		{ .fd = run->process.stdout_fd, .events = POLLIN },
		{ .fd = run->process.stderr_fd, .events = POLLIN },
	};
	int ready = poll(fds, LOAM_ARRAY_COUNT(fds), ASK_EVERY_MS);
	if (ready < 0 && errno != EINTR)
		return loam_fail_errno(err, "wait for git");
	if (ready > 0 && fds[2].revents)
		take_errors(run);
	if (ready <= 0 && run->is_gone && run->is_gone(run->still_arg))
		return loam_fail(err, LOAM_E_INTERRUPTED, "the client has gone");
	return run->still ? run->still(run->still_arg, err) : 0;
}

static int spool_output(struct loam_git_run *run, struct loam_err *err)
{
	uint8_t step[STEP_BYTES];
	int64_t got = take_output(run, step, sizeof(step), err);
	if (got == NOTHING_NOW || got == 0)
		return 0;
	return got < 0 ? (int)got : spool_add(run, step, (size_t)got, err);
}

int loam_git_run_feed(struct loam_git_run *run, const void *data, size_t bytes,
		      struct loam_err *err)
{
	const uint8_t *at = data;
	while (bytes > 0 && run->process.stdin_fd >= 0) {
		ssize_t put = write(run->process.stdin_fd, at, bytes);
		if (put > 0) {
			at += put;
			bytes -= (size_t)put;
			continue;
		}
		if (put < 0 && errno != EAGAIN && errno != EINTR) {
			close_end(&run->process.stdin_fd); /* its status and output tell why */
			return 0;
		}
		int rc = wait_pipes(run, true, err);
		if (rc == 0)
			rc = spool_output(run, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

void loam_git_run_end_input(struct loam_git_run *run)
{
	close_end(&run->process.stdin_fd);
}

/* After the end of its output the child has END_WAIT_MS to end. */
static int wait_end(struct loam_git_run *run, struct loam_err *err)
{
	if (run->ended)
		return 0;
	int rc = loam_process_wait(&run->process, END_WAIT_MS, &run->status, err);
	if (rc < 0)
		return rc;
	if (rc == 0)
		return loam_fail(err, LOAM_E_IO, "git closed its output and does not end");
	run->ended = true;
	while (run->process.stderr_fd >= 0) {
		struct pollfd ready = { .fd = run->process.stderr_fd, .events = POLLIN };
		if (poll(&ready, 1, 0) <= 0)
			break;
		take_errors(run);
	}
	return 0;
}

int loam_git_run_begin_output(struct loam_git_run *run, struct loam_err *err)
{
	int rc = 0;
	while (rc == 0 && !spool_has(run) && run->process.stdout_fd >= 0) {
		rc = wait_pipes(run, false, err);
		if (rc == 0)
			rc = spool_output(run, err);
	}
	if (rc < 0)
		return rc;
	if (spool_has(run))
		return 1;
	rc = wait_end(run, err);
	if (rc < 0)
		return rc;
	if (run->status == 0)
		return 0;
	if (run->has_input && WIFEXITED(run->status) && WEXITSTATUS(run->status) >= GIT_DIED)
		return loam_fail(err, LOAM_E_INVALID, "git refused this request");
	return loam_fail(err, LOAM_E_IO, "git failed: %.200s", loam_buf_text(&run->errors));
}

int64_t loam_git_run_read(struct loam_git_run *run, void *out, size_t out_bytes,
			  struct loam_err *err)
{
	if (run->preface.bytes > 0)
		return take_preface(run, out, out_bytes);
	if (spool_has(run))
		return spool_take(run, out, out_bytes, err);
	for (;;) {
		int64_t got = take_output(run, out, out_bytes, err);
		if (got > 0 || (got < 0 && got != NOTHING_NOW))
			return got;
		int rc = got == 0 ? wait_end(run, err) : wait_pipes(run, false, err);
		if (rc < 0)
			return rc;
		if (got == 0 && WIFSIGNALED(run->status))
			return loam_fail(err, LOAM_E_IO, "git was ended by signal %d",
					 WTERMSIG(run->status));
		if (got == 0)
			return 0;
	}
}

/* ---- ending ---------------------------------------------------------------------------------- */

/* SIGTERM for everything in the child's group but the child. */
static void end_helpers(pid_t leader)
{
	DIR *dir = opendir("/proc");
	if (!dir)
		return;
	for (struct dirent *at = readdir(dir); at; at = readdir(dir)) {
		uint64_t number;
		struct loam_err ignored = { 0 };
		if (at->d_name[0] < '1' || at->d_name[0] > '9' ||
		    loam_parse_u64(at->d_name, 2, INT32_MAX, &number, &ignored) < 0)
			continue;
		pid_t pid = (pid_t)number;
		if (pid != leader && getpgid(pid) == leader)
			kill(pid, SIGTERM);
	}
	closedir(dir);
}

/* Lets the child end by itself; what it still says is dropped, else it would wait or die of it. */
static void let_clean_up(struct loam_git_run *run)
{
	struct loam_deadline deadline = loam_deadline_in(CLEAN_UP_MS);
	struct loam_err ignored = { 0 };
	uint8_t step[STEP_BYTES];
	close_end(&run->process.stdin_fd);
	while (loam_deadline_left_ms(deadline) > 0) {
		end_helpers(run->process.pid);
		struct pollfd fds[] = {
			{ .fd = run->process.stdout_fd, .events = POLLIN },
			{ .fd = run->process.stderr_fd, .events = POLLIN },
		};
		poll(fds, LOAM_ARRAY_COUNT(fds), CLEAN_UP_STEP_MS);
		if (fds[0].revents && take_output(run, step, sizeof(step), &ignored) < 0)
			loam_err_clear(&ignored);
		if (fds[1].revents)
			take_errors(run);
		if (loam_process_wait(&run->process, 0, &run->status, &ignored) != 0)
			return;
	}
}

int loam_git_run_fd(const struct loam_git_run *run)
{
	return run->pid_fd;
}

int loam_git_run_wait(struct loam_git_run *run, uint64_t timeout_ms, int *out_status,
		      struct loam_err *err)
{
	if (!run->ended) {
		int rc = loam_process_wait(&run->process, timeout_ms, &run->status, err);
		if (rc <= 0)
			return rc;
		run->ended = true;
	}
	*out_status = run->status;
	return 1;
}

bool loam_git_run_went_well(const struct loam_git_run *run)
{
	return run->ended && run->status == 0;
}

void loam_git_run_free(struct loam_git_run *run)
{
	if (!run)
		return;
	int pid = (int)run->process.pid;
	bool failed = run->ended && run->status != 0;
	if (!run->ended)
		let_clean_up(run);
	if (failed)
		loam_warn("git.failed", "pid=%d status=%d stderr=%s", pid, run->status,
			  loam_buf_text(&run->errors));
	else if (!run->ended)
		loam_info("git.cut", "pid=%d", pid);
	loam_process_stop(&run->process, TERM_GRACE_MS);
	close_end(&run->spool_fd);
	close_end(&run->pid_fd);
	loam_buf_release(&run->preface);
	loam_buf_release(&run->memory);
	loam_buf_release(&run->errors);
	free(run->spool_dir);
	free(run);
}
