/*
 * git-lfs over SSH (server/ssh_lfs.h). Steps 2 and 3 of a push.
 *
 * git-lfs-authenticate sends the client to the HTTP doors with a token of its own; git-lfs-transfer
 * moves everything through the session.
 */
#include "server/ssh_lfs.h"

#include "core/auto.h"
#include "core/json.h"
#include "lfs/lfs_token.h"
#include "lfs/ssh_transfer.h"

#include <string.h>

#define ANSWER_BYTES_MAX 8192

/* Where the HTTP doors are for this client; free(). */
static char *base_url(const struct loam_ssh_session *session)
{
	const struct loam_server *server = session->server;
	const char *url = server->config->server_url;
	size_t bytes = strlen(url);
	while (bytes > 0 && url[bytes - 1] == '/')
		bytes--;
	if (bytes > 0)
		return loam_xstrndup(url, bytes);
	const char *scheme = server->http_is_tls ? "https" : "http";
	const char *address = server->http_address, *port = strrchr(address, ':');
	bool any = strncmp(address, "0.0.0.0:", 8) == 0 || strncmp(address, "[::]:", 5) == 0;
	if (!any || !session->host[0])
		return loam_xasprintf("%s://%s", scheme, address);
	bool is_v6 = strchr(session->host, ':') != NULL;
	return loam_xasprintf("%s://%s%s%s%s", scheme, is_v6 ? "[" : "", session->host,
			      is_v6 ? "]" : "", port);
}

int loam_ssh_lfs_authenticate(struct loam_ssh_session *session, bool upload, struct loam_err *err)
{
	char repo[LOAM_REPO_TEXT_BYTES];
	loam_auto_buf struct loam_buf text = LOAM_BUF(ANSWER_BYTES_MAX);
	loam_repo_text(&session->repo, repo);
	loam_auto_free char *base = base_url(session);
	loam_auto_free char *href = loam_xasprintf("%s/%s.git/info/lfs", base, repo);
	loam_auto_free char *token = loam_lfs_session_token(session->server->lfs_context.lfs,
							    &session->who, &session->repo, upload);
	loam_auto_free char *bearer = loam_xasprintf("Bearer %s", token);
	loam_auto_json json_t *answer =
		json_pack("{s:s, s:{s:s}, s:i}", "href", href, "header", "Authorization", bearer,
			  "expires_in", LOAM_LFS_TOKEN_SECONDS);
	int rc = loam_json_print(answer, &text, err);
	if (rc == 0)
		rc = loam_buf_add(&text, "\n", 1, err);
	return rc < 0 ? rc : loam_ssh_session_write(session, text.data, text.bytes, err);
}

static int write_out(void *arg, const void *data, size_t bytes, struct loam_err *err)
{
	return loam_ssh_session_write(arg, data, bytes, err);
}

int loam_ssh_lfs_transfer(struct loam_ssh_session *session, bool upload, struct loam_err *err)
{
	const struct loam_ssh_transfer transfer = {
		.lfs = session->server->lfs_context.lfs,
		.who = &session->who,
		.repo = &session->repo,
		.upload = upload,
		.io = { .in_fd = session->fds[0],
			.write = write_out,
			.still = loam_ssh_session_still,
			.arg = session },
	};
	return loam_ssh_transfer_run(&transfer, err);
}
