/*
 * Git over SSH (server/ssh_git.h). Step 5 of a push.
 *
 * git speaks with the client on the session's own descriptors. Only what a push sends passes
 * through here, so that the commands of a push are counted before git unpacks anything.
 */
#include "server/ssh_git.h"

#include "core/auto.h"
#include "core/banned.h"

#include <errno.h>
#include <poll.h>
#include <sys/wait.h>

#define STEP_BYTES    (64u << 10)
#define STEP_MS	      1000
#define STEP_BLIND_MS 100 /* on a kernel without pidfds */

struct push {
	struct loam_git_commands commands;
	bool is_open; /* the client may still send */
};

static int pass_on(struct loam_ssh_session *session, struct loam_git_service *service,
		   struct push *push, struct loam_err *err)
{
	uint8_t step[STEP_BYTES];
	ssize_t got = read(session->fds[0], step, sizeof(step));
	if (got < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	if (got <= 0) {
		push->is_open = false;
		loam_git_run_end_input(service->run);
		return 0;
	}
	int rc = loam_git_commands_count(&push->commands, step, (size_t)got, err);
	return rc < 0 ? rc : loam_git_run_feed(service->run, step, (size_t)got, err);
}

/* Until git has ended, or the session is over. push NULL: git reads the client itself. */
static int attend(struct loam_ssh_session *session, struct loam_git_service *service,
		  struct push *push, int *out_status, struct loam_err *err)
{
	int git_fd = loam_git_run_fd(service->run);
	for (;;) {
		struct pollfd fds[] = {
			{ .fd = git_fd, .events = POLLIN },
			{ .fd = session->control_fd, .events = POLLIN },
			{ .fd = push && push->is_open ? session->fds[0] : -1, .events = POLLIN },
		};
		int ready = poll(fds, LOAM_ARRAY_COUNT(fds), git_fd < 0 ? STEP_BLIND_MS : STEP_MS);
		if (ready < 0 && errno != EINTR)
			return loam_fail_errno(err, "wait for git");
		int rc = 0;
		if (ready > 0 && fds[2].revents)
			rc = pass_on(session, service, push, err);
		if (rc == 0)
			rc = loam_git_run_wait(service->run, 0, out_status, err);
		if (rc != 0)
			return rc < 0 ? rc : 0;
		rc = loam_ssh_session_still(session, err);
		if (rc < 0)
			return rc;
	}
}

int loam_ssh_git_run(struct loam_ssh_session *session, enum loam_git_kind kind, int *out_status,
		     struct loam_err *err)
{
	static const char *const no_words[] = { NULL };
	static const char *const fetch_words[] = { "--strict", "--timeout=300", NULL };
	struct loam_git_service service = {
		.kind = kind, .server = session->server, .repo = session->repo, .who = session->who
	};
	bool is_push = kind == LOAM_RECEIVE_PACK;
	struct push push = { .is_open = true };
	const struct loam_git_start start = {
		.door = "ssh",
		.peer = session->peer,
		.protocol = session->protocol,
		.words = kind == LOAM_UPLOAD_PACK ? fetch_words : no_words,
		.changes = is_push,
		.has_input = is_push,
		.fds = session->fds,
		.still = loam_ssh_session_still,
		.still_arg = session,
	};
	if (!loam_git_service_enter(&service, session->peer))
		return loam_fail(err, LOAM_E_LIMITED,
				 "too many Git operations of yours run already; try again");
	int status = 0;
	int rc = loam_git_service_start(&service, &start, err);
	if (rc == 0)
		rc = attend(session, &service, is_push ? &push : NULL, &status, err);
	loam_git_service_end(&service);
	if (rc < 0)
		return rc;
	*out_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	return 0;
}
