/*
 * The hook's end of hook.sock (githook/channel.h; steps 6 and 7 of a push).
 */
#include "githook/channel.h"

#include "core/auto.h"
#include "core/limits.h"
#include "core/sys.h"

#include <git2.h>
#include <stdlib.h>
#include <string.h>

#define CONNECT_MS 5000
#define SEND_MS	   30000
#define READ_BYTES 65536
#define KEY_BYTES  128

/* What `loam hook install` wrote into the configuration of the repository at ".". */
static int read_installed(struct loam_channel *out, char **out_socket, struct loam_err *err)
{
	git_libgit2_init();
	git_config *config = NULL;
	git_buf socket = { 0 }, repo = { 0 };
	int rc = 0;
	if (git_config_open_ondisk(&config, "config") < 0 ||
	    git_config_get_string_buf(&socket, config, "loam.hooksocket") < 0 ||
	    git_config_get_string_buf(&repo, config, "loam.repo") < 0) {
		rc = loam_fail(err, LOAM_E_INVALID,
			       "this hook was not started by loam serve, and loam hook install was "
			       "not run for this repository");
	} else {
		*out_socket = loam_xstrdup(socket.ptr);
		out->repo = loam_xstrdup(repo.ptr);
	}
	git_buf_dispose(&socket);
	git_buf_dispose(&repo);
	git_config_free(config);
	if (rc < 0)
		return rc;
	loam_auto_buf struct loam_buf key = LOAM_BUF(KEY_BYTES);
	rc = loam_path_read_all(LOAM_HOOK_KEY_FILE, &key, err);
	if (rc < 0)
		return loam_context(err, "read the key of the hook");
	out->key = loam_xstrndup(loam_buf_text(&key), strcspn(loam_buf_text(&key), "\n"));
	return 0;
}

int loam_channel_open(struct loam_channel *out, struct loam_err *err)
{
	*out = (struct loam_channel){ .received = LOAM_BUF(LOAM_HOOK_LINE_BYTES_MAX) };
	const char *given = getenv(LOAM_HOOK_SOCKET_ENV);
	const char *ticket = getenv(LOAM_HOOK_TICKET_ENV);
	loam_auto_free char *socket = given && ticket ? loam_xstrdup(given) : NULL;
	int rc = 0;
	if (socket)
		out->ticket = loam_xstrdup(ticket);
	else
		rc = read_installed(out, &socket, err);
	if (rc == 0)
		rc = loam_stream_connect_unix(socket, loam_deadline_in(CONNECT_MS), &out->stream,
					      err);
	if (rc < 0)
		loam_channel_close(out);
	return rc;
}

void loam_channel_close(struct loam_channel *channel)
{
	loam_stream_close(loam_steal(&channel->stream));
	loam_buf_release(&channel->received);
	free(loam_steal(&channel->ticket));
	free(loam_steal(&channel->repo));
	free(loam_steal(&channel->key));
}

int loam_channel_send(struct loam_channel *channel, json_t *message, struct loam_err *err)
{
	loam_auto_json json_t *owned = message;
	loam_auto_buf struct loam_buf line = LOAM_BUF(LOAM_HOOK_LINE_BYTES_MAX);
	if (channel->ticket) {
		json_object_set_new(owned, "ticket", json_string(channel->ticket));
	} else {
		json_object_set_new(owned, "repo", json_string(channel->repo));
		json_object_set_new(owned, "key", json_string(channel->key));
	}
	int rc = loam_json_print(owned, &line, err);
	if (rc == 0)
		rc = loam_buf_add(&line, "\n", 1, err);
	if (rc < 0)
		return rc;
	return loam_stream_write(channel->stream, line.data, line.bytes, loam_deadline_in(SEND_MS),
				 err);
}

int loam_channel_take(struct loam_buf *buf, json_t **out_message, struct loam_err *err)
{
	const uint8_t *newline = buf->bytes ? memchr(buf->data, '\n', buf->bytes) : NULL;
	if (!newline)
		return 0;
	size_t bytes = (size_t)(newline - buf->data);
	int rc = loam_json_parse(buf->data, bytes, out_message, err);
	loam_buf_drop(buf, bytes + 1);
	return rc < 0 ? rc : 1;
}

int loam_channel_receive(struct loam_channel *channel, struct loam_deadline deadline,
			 json_t **out_message, struct loam_err *err)
{
	loam_auto_json json_t *message = NULL;
	int rc;
	while ((rc = loam_channel_take(&channel->received, &message, err)) == 0) {
		char piece[READ_BYTES];
		size_t got = 0;
		rc = loam_stream_read(channel->stream, piece, sizeof(piece), &got, deadline, err);
		if (rc == 0)
			rc = loam_buf_add(&channel->received, piece, got, err);
		if (rc < 0)
			return rc;
	}
	if (rc < 0)
		return rc;
	const char *text = NULL;
	rc = loam_json_text(message, "error", &text, err);
	if (rc != 0)
		return rc < 0 ? rc : loam_fail(err, LOAM_E_DENIED, "%s", text);
	*out_message = loam_steal(&message);
	return 0;
}
