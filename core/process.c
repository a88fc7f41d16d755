/*
 * Children by posix_spawn (core/process.h). Serves steps 5 to 7 of a push: git and the hooks.
 *
 * A child gets descriptors 0, 1 and 2 and nothing else, default signal handlers and an empty mask.
 * Descriptors are first copied above 2, so that any of ours may be given as any of the child's.
 * The end of a child is waited for on its pidfd; where the kernel has none, by asking every 5 ms.
 *
 * A confined child is started by a thread made for it: Landlock binds one thread and what it
 * starts, so that thread binds itself, starts the child and ends.
 */
#include "core/process.h"

#include "core/auto.h"
#include "core/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define ASK_AGAIN_MS	 5
#define STDERR_BYTES_MAX (64u << 10) /* what comes behind is read and dropped */
#define READ_STEP_BYTES	 (64u << 10)
#define KILL_GRACE_MS	 1000

/* The child's three descriptors (copies, all > 2) and our ends of its pipes. */
struct wires {
	int child[3];
	int ours[3];
};

static void close_all(const int fds[3])
{
	for (int i = 0; i < 3; i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

static void release_wires(struct wires *wires)
{
	close_all(wires->child);
	close_all(wires->ours);
}

static int make_wire(struct wires *wires, int index, int wanted, struct loam_err *err)
{
	loam_auto_fd int opened = -1;
	int source = wanted;
	if (wanted == LOAM_PIPE) {
		int ends[2];
		if (pipe2(ends, O_CLOEXEC) < 0)
			return loam_fail_errno(err, "pipe");
		opened = ends[index == 0 ? 0 : 1];
		wires->ours[index] = ends[index == 0 ? 1 : 0];
		source = opened;
	} else if (wanted < 0) {
		opened = open("/dev/null", O_RDWR | O_CLOEXEC);
		if (opened < 0)
			return loam_fail_errno(err, "open /dev/null");
		source = opened;
	}
	wires->child[index] = fcntl(source, F_DUPFD_CLOEXEC, 3);
	if (wires->child[index] < 0)
		return loam_fail_errno(err, "copy descriptor %d", source);
	return 0;
}

static int make_wires(const struct loam_process_spec *spec, struct wires *out, struct loam_err *err)
{
	*out = (struct wires){ .child = { -1, -1, -1 }, .ours = { -1, -1, -1 } };
	const int wanted[3] = { spec->stdin_fd, spec->stdout_fd, spec->stderr_fd };
	for (int i = 0; i < 3; i++) {
		int rc = make_wire(out, i, wanted[i], err);
		if (rc < 0) {
			release_wires(out);
			return rc;
		}
	}
	return 0;
}

/* Returns an errno. */
static int add_actions(posix_spawn_file_actions_t *actions, const struct wires *wires,
		       const struct loam_process_spec *spec)
{
	int failed = 0;
	for (int i = 0; i < 3 && !failed; i++)
		failed = posix_spawn_file_actions_adddup2(actions, wires->child[i], i);
	if (!failed && spec->keep_fd)
		failed = posix_spawn_file_actions_adddup2(actions, spec->keep_fd, 3);
	if (!failed)
		failed = posix_spawn_file_actions_addclosefrom_np(actions, spec->keep_fd ? 4 : 3);
	if (!failed && spec->dir)
		failed = posix_spawn_file_actions_addchdir_np(actions, spec->dir);
	return failed;
}

static int set_attributes(posix_spawnattr_t *attributes, bool new_group)
{
	sigset_t none, all;
	sigemptyset(&none);
	sigfillset(&all);
	short flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
	if (new_group)
		flags |= POSIX_SPAWN_SETPGROUP;
	int failed = posix_spawnattr_setsigmask(attributes, &none);
	if (!failed)
		failed = posix_spawnattr_setsigdefault(attributes, &all);
	if (!failed && new_group)
		failed = posix_spawnattr_setpgroup(attributes, 0);
	if (!failed)
		failed = posix_spawnattr_setflags(attributes, flags);
	return failed;
}

static int spawn(const struct loam_process_spec *spec, const struct wires *wires, pid_t *out_pid)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	int failed = posix_spawn_file_actions_init(&actions);
	if (failed)
		return failed;
	failed = posix_spawnattr_init(&attributes);
	if (failed) {
		posix_spawn_file_actions_destroy(&actions);
		return failed;
	}
	failed = add_actions(&actions, wires, spec);
	if (!failed)
		failed = set_attributes(&attributes, spec->new_group);
	if (!failed) {
		static const char *const no_env[] = { NULL };
		const char *const *env = spec->env ? spec->env : no_env;
		failed = posix_spawnp(out_pid, spec->argv[0], &actions, &attributes,
				      (char *const *)spec->argv, (char *const *)env);
	}
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	return failed;
}

static int spawn_free(const struct loam_process_spec *spec, const struct wires *wires,
		      pid_t *out_pid, struct loam_err *err)
{
	int failed = spawn(spec, wires, out_pid);
	if (failed == EAGAIN)
		return loam_fail(err, LOAM_E_BUSY, "start %s: too many processes", spec->argv[0]);
	errno = failed;
	return failed ? loam_fail_errno(err, "start %s", spec->argv[0]) : 0;
}

struct confined {
	const struct loam_process_spec *spec;
	const struct wires *wires;
	pid_t pid;
	int rc;
	struct loam_err *err;
};

static void *spawn_confined_thread(void *arg)
{
	struct confined *confined = arg;
	confined->rc = loam_confine_enter(confined->spec->confine, confined->err);
	if (confined->rc == 0)
		confined->rc =
			spawn_free(confined->spec, confined->wires, &confined->pid, confined->err);
	return NULL;
}

static int spawn_confined(const struct loam_process_spec *spec, const struct wires *wires,
			  pid_t *out_pid, struct loam_err *err)
{
	struct loam_confine_words words;
	struct loam_process_spec limited = *spec;
	struct confined confined = { .spec = &limited, .wires = wires, .err = err };
	pthread_t thread;
	int rc = loam_confine_argv(spec->confine, spec->argv, &words, err);
	if (rc < 0)
		return rc;
	limited.argv = words.argv;
	if (pthread_create(&thread, NULL, spawn_confined_thread, &confined) != 0)
		return loam_fail(err, LOAM_E_BUSY, "start %s: too many threads", spec->argv[0]);
	pthread_join(thread, NULL);
	*out_pid = confined.pid;
	return confined.rc;
}

int loam_process_start(const struct loam_process_spec *spec, struct loam_process *out,
		       struct loam_err *err)
{
	loam_assert(spec->argv && spec->argv[0]);
	struct wires wires;
	int rc = make_wires(spec, &wires, err);
	if (rc < 0)
		return rc;

	pid_t pid = 0;
	rc = spec->confine ? spawn_confined(spec, &wires, &pid, err)
			   : spawn_free(spec, &wires, &pid, err);
	if (rc < 0) {
		release_wires(&wires);
		return rc;
	}
	close_all(wires.child);
	*out = (struct loam_process){ .pid = pid,
				      .stdin_fd = wires.ours[0],
				      .stdout_fd = wires.ours[1],
				      .stderr_fd = wires.ours[2],
				      .new_group = spec->new_group };
	return 0;
}

/* Waits until the child has ended, without reaping it. 1 ended, 0 not yet. */
static int wait_end(pid_t pid, uint64_t timeout_ms)
{
	struct loam_deadline deadline =
		loam_deadline_in(timeout_ms < INT_MAX ? timeout_ms : INT_MAX);
	loam_auto_fd int pid_fd = pidfd_open(pid, 0);
	for (;;) {
		siginfo_t info = { .si_pid = 0 };
		int rc = waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT);
		if (rc == 0 && info.si_pid == pid)
			return 1;
		if (rc < 0 && errno == ECHILD)
			return 1;
		int left = timeout_ms == UINT64_MAX ? INT_MAX : loam_deadline_left_ms(deadline);
		if (left == 0)
			return 0;
		if (pid_fd < 0 && left > ASK_AGAIN_MS)
			left = ASK_AGAIN_MS;
		struct pollfd wait = { .fd = pid_fd, .events = POLLIN };
		poll(&wait, 1, left);
	}
}

static int reap(struct loam_process *process, int *out_status, struct loam_err *err)
{
	pid_t reaped;
	do {
		reaped = waitpid(process->pid, out_status, 0);
	} while (reaped < 0 && errno == EINTR);
	int failed = errno;
	process->pid = 0;
	if (reaped < 0) {
		errno = failed;
		return loam_fail_errno(err, "wait for a child");
	}
	return 1;
}

int loam_process_wait(struct loam_process *process, uint64_t timeout_ms, int *out_status,
		      struct loam_err *err)
{
	loam_assert(process->pid > 0);
	if (wait_end(process->pid, timeout_ms) == 0)
		return 0;
	return reap(process, out_status, err);
}

static void close_pipe(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void loam_process_stop(struct loam_process *process, uint64_t grace_ms)
{
	close_pipe(&process->stdin_fd);
	close_pipe(&process->stdout_fd);
	close_pipe(&process->stderr_fd);
	if (process->pid <= 0)
		return;
	pid_t target = process->new_group ? -process->pid : process->pid;
	kill(target, SIGTERM);
	bool ended = wait_end(process->pid, grace_ms) == 1;
	/* Not reaped yet, so the number is still ours; the group may outlive its leader. */
	if (!ended || process->new_group)
		kill(target, SIGKILL);

	int status;
	struct loam_err ignored = { 0 };
	reap(process, &status, &ignored);
}

/* loam_process_run: what goes in and comes out. */
struct feed {
	struct loam_process process;
	const uint8_t *input;
	size_t input_bytes, input_done;
	struct loam_buf *out;	/* or NULL */
	struct loam_buf errors; /* beginning of stderr */
};

static void set_nonblocking(int fd)
{
	if (fd >= 0)
		fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

/* A child that stops reading its input is its own affair: its status tells. */
static void feed_input(struct feed *feed)
{
	size_t left = feed->input_bytes - feed->input_done;
	ssize_t put =
		left ? write(feed->process.stdin_fd, feed->input + feed->input_done, left) : 0;
	if (put > 0)
		feed->input_done += (size_t)put;
	bool failed = put < 0 && errno != EINTR && errno != EAGAIN;
	if (failed || feed->input_done == feed->input_bytes)
		close_pipe(&feed->process.stdin_fd);
}

/* Takes what is there now; closes *fd at its end. */
static int drain(int *fd, struct loam_buf *out, bool drop_rest, struct loam_err *err)
{
	while (*fd >= 0) {
		char step[READ_STEP_BYTES];
		ssize_t got = read(*fd, step, sizeof(step));
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0 && errno == EAGAIN)
			return 0;
		if (got <= 0) {
			close_pipe(fd);
			return 0;
		}
		size_t take = (size_t)got;
		if (drop_rest && take > out->max_bytes - out->bytes)
			take = out->max_bytes - out->bytes;
		int rc = loam_buf_add(out, step, take, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* Moves bytes until the child has ended or closed its outputs. 0, or -code. */
static int exchange(struct feed *feed, struct loam_deadline deadline, struct loam_err *err)
{
	struct loam_process *process = &feed->process;
	loam_auto_fd int pid_fd = pidfd_open(process->pid, 0);
	while (process->stdin_fd >= 0 || process->stdout_fd >= 0 || process->stderr_fd >= 0) {
		int left = loam_deadline_left_ms(deadline);
		if (left == 0)
			return loam_fail(err, LOAM_E_UNAVAILABLE, "it did not end in time");
		struct pollfd wait[4] = { { .fd = process->stdin_fd, .events = POLLOUT },
					  { .fd = process->stdout_fd, .events = POLLIN },
					  { .fd = process->stderr_fd, .events = POLLIN },
					  { .fd = pid_fd, .events = POLLIN } };
		if (poll(wait, 4, left) < 0 && errno != EINTR)
			return loam_fail_errno(err, "poll");
		if (wait[0].revents)
			feed_input(feed);
		int rc = drain(&process->stdout_fd, feed->out, false, err);
		if (rc == 0)
			rc = drain(&process->stderr_fd, &feed->errors, true, err);
		if (rc < 0)
			return rc;
		/* A grandchild may hold the pipes for ever; what the child wrote is here. */
		if (wait[3].revents)
			return 0;
	}
	return 0;
}

static int judge(const struct feed *feed, int status, const char *name, struct loam_err *err)
{
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	const char *text = loam_buf_text(&feed->errors);
	int line_bytes = (int)strcspn(text, "\r\n");
	if (WIFSIGNALED(status))
		return loam_fail(err, LOAM_E_IO, "%s was ended by signal %d: %.*s", name,
				 WTERMSIG(status), line_bytes, text);
	return loam_fail(err, LOAM_E_IO, "%s ended with %d: %.*s", name, WEXITSTATUS(status),
			 line_bytes, text);
}

static int run_started(struct feed *feed, const char *name, uint64_t timeout_ms,
		       struct loam_err *err)
{
	set_nonblocking(feed->process.stdin_fd);
	set_nonblocking(feed->process.stdout_fd);
	set_nonblocking(feed->process.stderr_fd);
	struct loam_deadline deadline =
		loam_deadline_in(timeout_ms < INT_MAX ? timeout_ms : INT_MAX);
	int status = 0;
	int rc = exchange(feed, deadline, err);
	if (rc == 0) {
		uint64_t left = (uint64_t)loam_deadline_left_ms(deadline);
		if (wait_end(feed->process.pid, left) == 0)
			rc = loam_fail(err, LOAM_E_UNAVAILABLE, "it did not end in time");
	}
	if (rc == 0) {
		/* What the child left running in its group ends with it. */
		if (feed->process.new_group)
			kill(-feed->process.pid, SIGKILL);
		rc = reap(&feed->process, &status, err);
	}
	loam_process_stop(&feed->process, rc < 0 ? KILL_GRACE_MS : 0);
	if (rc < 0)
		return loam_context(err, "%s", name);
	return judge(feed, status, name, err);
}

/* Keeps a SIGPIPE of ours from ending the program; one that was pending before stays. */
static bool block_sigpipe(sigset_t *out_before)
{
	sigset_t pipe_only, pending;
	sigemptyset(&pipe_only);
	sigaddset(&pipe_only, SIGPIPE);
	sigpending(&pending);
	pthread_sigmask(SIG_BLOCK, &pipe_only, out_before);
	return sigismember(&pending, SIGPIPE);
}

static void restore_sigpipe(const sigset_t *before, bool was_pending)
{
	sigset_t pipe_only;
	const struct timespec at_once = { 0 };
	sigemptyset(&pipe_only);
	sigaddset(&pipe_only, SIGPIPE);
	while (!was_pending && sigtimedwait(&pipe_only, NULL, &at_once) == SIGPIPE)
		;
	pthread_sigmask(SIG_SETMASK, before, NULL);
}

int loam_process_run(const struct loam_process_spec *spec, const void *input, size_t input_bytes,
		     struct loam_buf *out_stdout, uint64_t timeout_ms, struct loam_err *err)
{
	struct loam_process_spec piped = *spec;
	piped.stdin_fd = input ? LOAM_PIPE : spec->stdin_fd == LOAM_PIPE ? -1 : spec->stdin_fd;
	piped.stdout_fd = out_stdout			 ? LOAM_PIPE
			  : spec->stdout_fd == LOAM_PIPE ? -1
							 : spec->stdout_fd;
	piped.stderr_fd = LOAM_PIPE;
	struct feed feed = { .input = input, .input_bytes = input_bytes, .out = out_stdout };
	int rc = loam_process_start(&piped, &feed.process, err);
	if (rc < 0)
		return rc;

	sigset_t before;
	bool was_pending = block_sigpipe(&before);
	loam_buf_init(&feed.errors, STDERR_BYTES_MAX);
	rc = run_started(&feed, spec->argv[0], timeout_ms, err);
	loam_buf_release(&feed.errors);
	restore_sigpipe(&before, was_pending);
	return rc;
}
