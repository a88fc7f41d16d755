/*
 * SSH sessions (server/ssh_session.h). Steps 1 and 2 of a push over SSH.
 */
#include "server/ssh_session.h"

#include "auth/audit.h"
#include "core/auto.h"
#include "core/clock.h"
#include "core/limits.h"
#include "core/log.h"
#include "server/git_service.h"
#include "server/ssh_command.h"
#include "server/ssh_git.h"
#include "server/ssh_lfs.h"

#include "core/banned.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>

#define SAY_BYTES  1024
#define SAY_MS	   5000
#define STEP_MS	   1000
#define STEP_BYTES 4096 /* a pipe that polls as writable takes as much without waiting */

/* ---- while it runs --------------------------------------------------------------------------- */

static bool shell_is_gone(const struct loam_ssh_session *session)
{
	struct pollfd control = { .fd = session->control_fd, .events = POLLIN };
	return poll(&control, 1, 0) > 0; /* it sends nothing more: this is its end */
}

int loam_ssh_session_still(void *arg, struct loam_err *err)
{
	struct loam_ssh_session *session = arg;
	if (*session->cut || shell_is_gone(session))
		return loam_fail(err, LOAM_E_INTERRUPTED, "the session is over");
	return loam_watch_ask(&session->watch, err);
}

/* What fits now, without waiting. 0: nothing fits. */
static ssize_t write_now(int fd, const void *data, size_t bytes)
{
	size_t step = bytes < STEP_BYTES ? bytes : STEP_BYTES;
	ssize_t put = send(fd, data, bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (put < 0 && errno == ENOTSOCK)
		put = write(fd, data, step);
	if (put < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	return put;
}

int loam_ssh_session_write_to(struct loam_ssh_session *session, int number, const void *data,
			      size_t bytes, struct loam_err *err)
{
	const uint8_t *at = data;
	uint64_t moved_ms = loam_clock_ms();
	while (bytes > 0) {
		struct pollfd ready = { .fd = session->fds[number], .events = POLLOUT };
		int count = poll(&ready, 1, STEP_MS);
		ssize_t put = count > 0 ? write_now(session->fds[number], at, bytes) : 0;
		if (put < 0)
			return loam_fail(err, LOAM_E_INTERRUPTED, "the client has gone");
		at += put;
		bytes -= (size_t)put;
		uint64_t now = loam_clock_ms();
		if (put > 0)
			moved_ms = now;
		else if (now - moved_ms > LOAM_HTTP_IDLE_SECONDS * 1000ull)
			return loam_fail(err, LOAM_E_UNAVAILABLE, "the client takes nothing");
		int rc = loam_ssh_session_still(session, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int loam_ssh_session_write(struct loam_ssh_session *session, const void *data, size_t bytes,
			   struct loam_err *err)
{
	return loam_ssh_session_write_to(session, STDOUT_FILENO, data, bytes, err);
}

void loam_ssh_session_say(struct loam_ssh_session *session, const char *fmt, ...)
{
	char line[SAY_BYTES], shown[SAY_BYTES];
	va_list args;
	va_start(args, fmt);
	vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	loam_ssh_shown(line, shown, sizeof(shown));
	loam_auto_free char *text = loam_xasprintf("loam: %s\n", shown);
	size_t left = strlen(text);
	struct loam_deadline deadline = loam_deadline_in(SAY_MS);
	for (const char *at = text; left > 0 && loam_deadline_left_ms(deadline) > 0;) {
		struct pollfd ready = { .fd = session->fds[2], .events = POLLOUT };
		ssize_t put = poll(&ready, 1, loam_deadline_left_ms(deadline)) > 0
				      ? write_now(session->fds[2], at, left)
				      : -1;
		if (put < 0)
			return;
		at += put;
		left -= (size_t)put;
	}
}

/* ---- verbs ----------------------------------------------------------------------------------- */

static int run_upload_pack(struct loam_ssh_session *session, const struct loam_ssh_command *command,
			   int *out_status, struct loam_err *err)
{
	return loam_ssh_git_run(session, LOAM_UPLOAD_PACK, out_status, err);
}

static int run_receive_pack(struct loam_ssh_session *session,
			    const struct loam_ssh_command *command, int *out_status,
			    struct loam_err *err)
{
	return loam_ssh_git_run(session, LOAM_RECEIVE_PACK, out_status, err);
}

static int run_upload_archive(struct loam_ssh_session *session,
			      const struct loam_ssh_command *command, int *out_status,
			      struct loam_err *err)
{
	return loam_ssh_git_run(session, LOAM_UPLOAD_ARCHIVE, out_status, err);
}

static int run_authenticate(struct loam_ssh_session *session,
			    const struct loam_ssh_command *command, int *out_status,
			    struct loam_err *err)
{
	int rc = loam_ssh_lfs_authenticate(session, command->upload, err);
	*out_status = rc == 0 ? 0 : LOAM_SSH_EXIT_REFUSED;
	return rc;
}

static int run_transfer(struct loam_ssh_session *session, const struct loam_ssh_command *command,
			int *out_status, struct loam_err *err)
{
	int rc = loam_ssh_lfs_transfer(session, command->upload, err);
	*out_status = rc == 0 ? 0 : LOAM_SSH_EXIT_REFUSED;
	return rc;
}

/* What a verb needs, and who runs it. Unknown verbs never come here: there is no default. */
static const struct {
	const char *action; /* of the audit log */
	enum loam_want want, want_upload;
	int (*run)(struct loam_ssh_session *session, const struct loam_ssh_command *command,
		   int *out_status, struct loam_err *err);
} verbs[] = {
	[LOAM_SSH_UPLOAD_PACK] = { "git.fetch", LOAM_WANT_READ, LOAM_WANT_READ, run_upload_pack },
	[LOAM_SSH_RECEIVE_PACK] = { "git.push", LOAM_WANT_WRITE, LOAM_WANT_WRITE,
				    run_receive_pack },
	[LOAM_SSH_UPLOAD_ARCHIVE] = { "git.archive", LOAM_WANT_READ, LOAM_WANT_READ,
				      run_upload_archive },
	[LOAM_SSH_LFS_AUTHENTICATE] = { "lfs.authenticate", LOAM_WANT_READ, LOAM_WANT_WRITE,
					run_authenticate },
	[LOAM_SSH_LFS_TRANSFER] = { "lfs.transfer", LOAM_WANT_READ, LOAM_WANT_WRITE, run_transfer },
};

/* The right was missing, or has gone meanwhile: that is why, whatever it broke. */
static int say_refusal(const struct loam_ssh_session *session, const char *action,
		       struct loam_err *err)
{
	*err = session->watch.refusal;
	return loam_audit(&(struct loam_audit_entry){ .action = action, .repo = &session->repo },
			  -(int)err->code, err);
}

static int run_on_repo(struct loam_ssh_session *session, const struct loam_ssh_command *command,
		       int *out_status, struct loam_err *err)
{
	if (!command->repo_is_valid)
		return loam_fail(err, LOAM_E_NOT_FOUND, "no such repository");
	session->repo = command->repo;
	int rc = loam_watch_begin(&session->watch, session->server->auth, &session->who,
				  &session->repo,
				  command->upload ? verbs[command->verb].want_upload
						  : verbs[command->verb].want,
				  err);
	if (rc == 0)
		rc = verbs[command->verb].run(session, command, out_status, err);
	if (rc < 0 && session->watch.refusal.code != LOAM_E_OK)
		rc = say_refusal(session, verbs[command->verb].action, err);
	return rc;
}

static int run_loam(struct loam_ssh_session *session, struct loam_ssh_command *command,
		    int *out_status, struct loam_err *err)
{
	if (!session->server->ssh_loam) {
		*out_status = LOAM_SSH_EXIT_NOT_FOUND;
		return loam_fail(err, LOAM_E_NOT_FOUND, "command not found: loam");
	}
	*out_status =
		session->server->ssh_loam(session, command->words + 1, command->word_count - 1);
	return 0;
}

static int run_line(struct loam_ssh_session *session, const char *line, int *out_status,
		    struct loam_err *err)
{
	loam_auto_free struct loam_ssh_command *command = loam_xnew(struct loam_ssh_command);
	if (!line || !line[0])
		return loam_fail(err, LOAM_E_INVALID,
				 "hello %s; there is no shell here, this server speaks git and "
				 "git-lfs",
				 loam_principal_name(&session->who));
	int rc = loam_ssh_command_parse(line, command, err);
	if (rc == -LOAM_E_NOT_FOUND)
		*out_status = LOAM_SSH_EXIT_NOT_FOUND;
	if (rc < 0)
		return rc;
	return command->verb == LOAM_SSH_LOAM ? run_loam(session, command, out_status, err)
					      : run_on_repo(session, command, out_status, err);
}

/* Whose session it counts as: an account's, or that of all deploy keys in one namespace, since its
 * owner makes as many keys as he likes. */
static void find_slot(const struct loam_ssh_session *session, char out[LOAM_GIT_SLOT_BYTES])
{
	const struct loam_principal *who = &session->who;
	struct loam_repo repo;
	struct loam_err odd = { 0 };
	loam_git_slot_of(who, session->peer, out);
	if (who->kind == LOAM_DEPLOY && loam_repo_parse(who->only_repo, &repo, &odd) == 0)
		snprintf(out, LOAM_GIT_SLOT_BYTES, "d:%.60s", repo.ns);
}

/* One principal's sessions are not all that the door has. */
static int run_in_place(struct loam_ssh_session *session, const char *command, int *out_status,
			struct loam_err *err)
{
	char slot[LOAM_GIT_SLOT_BYTES];
	find_slot(session, slot);
	if (!loam_git_slots_take(session->slots, slot, 0))
		return loam_fail(err, LOAM_E_LIMITED, "%d sessions of yours run already; try again",
				 LOAM_SSH_SESSIONS_EACH);
	int rc = run_line(session, command, out_status, err);
	loam_git_slots_give(session->slots, slot);
	return rc;
}

int loam_ssh_session_run(struct loam_ssh_session *session, const char *command)
{
	struct loam_err err = { 0 };
	int status = LOAM_SSH_EXIT_REFUSED;
	uint64_t began_ms = loam_clock_ms();
	char shown[128];
	loam_ssh_shown(command ? command : "", shown, sizeof(shown));
	loam_audit_begin(LOAM_DOOR_SSH, session->peer, NULL);
	int rc = loam_auth_key(session->server->auth, session->key_id, &session->who, &err);
	if (rc == 0) {
		loam_audit_who(&session->who, session->key_id);
		rc = loam_watch_begin(&session->watch, session->server->auth, &session->who, NULL,
				      0, &err);
	}
	if (rc == 0)
		rc = run_in_place(session, command, &status, &err);
	if (rc < 0)
		loam_ssh_session_say(session, "%s", err.text);
	if (rc < 0 && loam_audit_count() == 0)
		loam_audit(&(struct loam_audit_entry){ .action = "ssh", .detail = shown }, rc,
			   &err);
	loam_info("ssh.session", "user=%s key=%s peer=%s command=%s status=%d error=%s ms=%llu",
		  loam_principal_name(&session->who), session->key_id, session->peer, shown, status,
		  err.text, (unsigned long long)(loam_clock_ms() - began_ms));
	loam_audit_end();
	return status;
}
