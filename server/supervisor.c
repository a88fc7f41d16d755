/*
 * Keeping children alive (server/supervisor.h). A child that dies again and again waits up to 2 s.
 *
 * Each child is started through setpriv --pdeathsig, so that it also ends when the supervisor is
 * killed: a second `loam up` must not find the first one's Redis still writing.
 */
#include "server/supervisor.h"

#include "core/auto.h"
#include "core/clock.h"
#include "core/log.h"

#include <string.h>
#include <sys/wait.h>

#define ARGS_MAX	 32
#define PAUSE_FIRST_MS	 100
#define PAUSE_LONGEST_MS 1900
#define SETTLED_MS	 10000
#define STEP_MS		 100

static int start(struct loam_child *child, struct loam_err *err)
{
	const char *argv[ARGS_MAX] = { "setpriv", "--pdeathsig", "TERM", "--" };
	size_t count = 4;
	for (size_t i = 0; child->argv[i]; i++) {
		loam_assert(count < ARGS_MAX - 1);
		argv[count++] = child->argv[i];
	}
	struct loam_process_spec spec = { .argv = argv,
					  .env = child->env,
					  .stdin_fd = -1,
					  .stdout_fd = 2,
					  .stderr_fd = 2,
					  .new_group = true };
	int rc = loam_process_start(&spec, &child->process, err);
	if (rc < 0)
		return loam_context(err, "start %s", child->name);
	child->started_ms = loam_clock_ms();
	return 0;
}

int loam_supervisor_add(struct loam_supervisor *supervisor, const char *name,
			const char *const *argv, const char *const *env, struct loam_err *err)
{
	loam_assert(supervisor->count < LOAM_CHILDREN_MAX);
	struct loam_child *child = &supervisor->children[supervisor->count];
	*child = (struct loam_child){ .name = name, .argv = argv, .env = env };
	int rc = start(child, err);
	if (rc == 0)
		supervisor->count++;
	return rc;
}

static void plan_restart(struct loam_child *child, int status)
{
	uint64_t now = loam_clock_ms();
	if (now - child->started_ms > SETTLED_MS)
		child->quick_deaths = 0;
	uint64_t pause = (uint64_t)PAUSE_FIRST_MS
			 << (child->quick_deaths < 5 ? child->quick_deaths : 5);
	child->quick_deaths++;
	child->not_before_ms = now + (pause < PAUSE_LONGEST_MS ? pause : PAUSE_LONGEST_MS);
	loam_warn("up.died", "child=%s %s=%d restart_ms=%llu", child->name,
		  WIFSIGNALED(status) ? "signal" : "exit",
		  WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status),
		  (unsigned long long)(child->not_before_ms - now));
}

static void look_after(struct loam_child *child, uint64_t wait_ms)
{
	struct loam_err err = { 0 };
	if (child->process.pid == 0) {
		if (loam_clock_ms() < child->not_before_ms)
			return;
		if (start(child, &err) < 0) {
			loam_warn("up.start", "child=%s error=%s", child->name, err.text);
			child->not_before_ms = loam_clock_ms() + PAUSE_LONGEST_MS;
		}
		return;
	}
	int status = 0;
	int rc = loam_process_wait(&child->process, wait_ms, &status, &err);
	if (rc == 1) {
		loam_process_stop(&child->process, 0);
		child->process.pid = 0;
		plan_restart(child, status);
	}
}

void loam_supervisor_step(struct loam_supervisor *supervisor)
{
	uint64_t until = loam_clock_ms() + STEP_MS;
	for (size_t i = 0; i < supervisor->count; i++)
		look_after(&supervisor->children[i], STEP_MS / LOAM_CHILDREN_MAX);
	uint64_t now = loam_clock_ms();
	if (now < until)
		loam_clock_sleep_ms(until - now);
}

const char *loam_supervisor_dying(const struct loam_supervisor *supervisor, unsigned deaths)
{
	for (size_t i = 0; i < supervisor->count; i++)
		if (supervisor->children[i].quick_deaths >= deaths)
			return supervisor->children[i].name;
	return NULL;
}

void loam_supervisor_stop(struct loam_supervisor *supervisor, uint64_t grace_ms)
{
	while (supervisor->count > 0) {
		struct loam_child *child = &supervisor->children[--supervisor->count];
		if (child->process.pid != 0)
			loam_process_stop(&child->process, grace_ms);
	}
}
