/*
 * Verbs over SSH (server/ssh_loam.h).
 *
 * What a verb says is gathered and sent when it has ended: its work never waits for a slow client.
 * What it reads comes straight from the session.
 */
#include "server/ssh_loam.h"

#include "auth/ask.h"
#include "auth/commands.h"
#include "core/auto.h"
#include "core/clock.h"
#include "core/cmd.h"
#include "core/limits.h"
#include "server/api.h"
#include "server/ssh_command.h"
#include "sync/commands.h"

#include "core/banned.h"

#include <poll.h>
#include <string.h>

#define POLL_MS 1000

/* clang-format off */
static const struct loam_cmd *const verbs[] = {
	&loam_cmd_whoami,
	&loam_cmd_user_show,
	&loam_cmd_user_token,
	&loam_cmd_user_key_add,
	&loam_cmd_user_key_list,
	&loam_cmd_user_key_del,
	&loam_cmd_group_list,
	&loam_cmd_group_show,
	&loam_cmd_group_member_add,
	&loam_cmd_group_member_del,
	&loam_cmd_namespace_list,
	&loam_cmd_namespace_show,
	&loam_cmd_namespace_owner,
	&loam_cmd_repo_create,
	&loam_cmd_repo_list,
	&loam_cmd_repo_show,
	&loam_cmd_repo_delete,
	&loam_cmd_repo_visibility,
	&loam_cmd_repo_default_branch,
	&loam_cmd_repo_fork,
	&loam_cmd_repo_key_add,
	&loam_cmd_repo_key_list,
	&loam_cmd_repo_key_del,
	&loam_cmd_grant,
	&loam_cmd_revoke,
	NULL,
};
/* clang-format on */

static ssize_t read_session(void *arg, char *out, size_t out_bytes)
{
	struct loam_ssh_session *session = arg;
	struct pollfd ready = { .fd = session->fds[0], .events = POLLIN };
	struct loam_deadline deadline = loam_deadline_in(LOAM_HTTP_IDLE_SECONDS * 1000ull);
	struct loam_err ended = { 0 };
	while (poll(&ready, 1, POLL_MS) <= 0)
		if (loam_ssh_session_still(session, &ended) < 0 ||
		    loam_deadline_left_ms(deadline) == 0)
			return -1;
	return read(session->fds[0], out, out_bytes);
}

struct gathered {
	char *text;
	size_t bytes;
	FILE *file;
};

static void gather(struct gathered *gathered)
{
	gathered->file = open_memstream(&gathered->text, &gathered->bytes);
	loam_assert(gathered->file != NULL);
}

/* What somebody else named is shown on his terminal, not obeyed by it. */
static void make_plain(char *text, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		if (text[i] != '\n' && (text[i] < ' ' || text[i] > '~'))
			text[i] = '?';
}

static void send_gathered(struct loam_ssh_session *session, int number, struct gathered *gathered)
{
	struct loam_err err = { 0 };
	fclose(gathered->file);
	if (number == STDERR_FILENO)
		make_plain(gathered->text, gathered->bytes);
	loam_ssh_session_write_to(session, number, gathered->text, gathered->bytes, &err);
	explicit_bzero(gathered->text, gathered->bytes); /* a token may be in it */
	free(gathered->text);
}

static int run(struct loam_ssh_session *session, const struct loam_ask_caller *caller, char **words,
	       size_t count)
{
	char *argv[LOAM_SSH_WORDS_MAX + 2] = { (char *)"loam" };
	struct gathered out, said;
	loam_assert(count <= LOAM_SSH_WORDS_MAX);
	memcpy(argv + 1, words, count * sizeof(words[0]));
	FILE *in = fopencookie(session, "r", (cookie_io_functions_t){ .read = read_session });
	loam_assert(in != NULL);
	gather(&out);
	gather(&said);
	const struct loam_cmd_session cmd = {
		.in = in, .out = out.file, .err = said.file, .caller = caller
	};
	int status = loam_cmd_run(verbs, (int)count + 1, argv, &cmd);
	fclose(in);
	send_gathered(session, STDERR_FILENO, &said);
	send_gathered(session, STDOUT_FILENO, &out);
	return status;
}

int loam_ssh_loam_run(struct loam_ssh_session *session, char **words, size_t count)
{
	struct loam_api *api = session->server->api;
	struct loam_err err = { 0 };
	int rc = session->who.kind == LOAM_USER
			 ? loam_api_count(api, &session->who, session->peer, &err)
			 : loam_fail(&err, LOAM_E_DENIED, "a deploy key is for git only");
	if (rc < 0) {
		loam_ssh_session_say(session, "%s", err.text);
		return LOAM_SSH_EXIT_REFUSED;
	}
	const struct loam_op_context *context = loam_api_context(api);
	loam_auto_free char *base_url = loam_op_base_url(context->config);
	const struct loam_ask_caller caller = { .context = context,
						.who = &session->who,
						.base_url = base_url };
	return run(session, &caller, words, count);
}
