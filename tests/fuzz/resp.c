/*
 * A Redis that answers anything: three replies are asked for, and then the connection is either
 * whole or broken for good.
 */
#include "fs/meta/resp.h"

#include "tests/fuzz/fuzz.h"

#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>

#define INPUT_BYTES_MAX 65536 /* what a socket takes without a reader */
#define REPLIES		3

static int listener = -1;
static char dir[] = "/tmp/loam-fuzz-resp-XXXXXX", path[64];

static void remove_socket(void)
{
	unlink(path);
	rmdir(dir);
}

static void listen_once(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	signal(SIGPIPE, SIG_IGN);
	loam_assert(mkdtemp(dir) != NULL);
	snprintf(path, sizeof(path), "%s/s", dir);
	memcpy(address.sun_path, path, sizeof(path));
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	loam_assert(bind(listener, (struct sockaddr *)&address, sizeof(address)) == 0);
	loam_assert(listen(listener, 8) == 0);
	atexit(remove_socket);
}

static size_t weigh(const struct loam_resp_reply *reply, unsigned depth)
{
	loam_assert(depth < 16);
	size_t bytes = 1;
	if (reply->type == LOAM_RESP_STRING || reply->type == LOAM_RESP_STATUS)
		loam_assert(reply->data[reply->bytes] == '\0');
	for (size_t i = 0; reply->type == LOAM_RESP_ARRAY && i < reply->count; i++)
		bytes += weigh(reply->items[i], depth + 1);
	return bytes;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_bytes)
{
	struct loam_err err = { 0 };
	struct loam_stream *stream = NULL;
	if (data_bytes > INPUT_BYTES_MAX)
		return 0;
	if (listener < 0)
		listen_once();
	loam_assert(loam_stream_connect_unix(path, loam_deadline_in(5000), &stream, &err) == 0);
	int peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	loam_assert(peer >= 0 && send(peer, data, data_bytes, MSG_NOSIGNAL) == (ssize_t)data_bytes);
	shutdown(peer, SHUT_WR);
	struct loam_resp *resp = loam_resp_new(stream);
	loam_auto_batch struct loam_resp_batch batch = LOAM_RESP_BATCH;
	for (int i = 0; i < REPLIES; i++)
		loam_assert(loam_resp_batch_words(&batch, &err, "PING", NULL) == 0);
	loam_auto_replies struct loam_resp_replies replies = { 0 };
	int rc = loam_resp_ask(resp, &batch, loam_deadline_in(5000), &replies, &err);
	loam_assert(rc == 0 ? replies.count == REPLIES : loam_resp_is_broken(resp));
	for (size_t i = 0; rc == 0 && i < replies.count; i++)
		loam_assert(weigh(replies.items[i], 0) <= data_bytes + 1);
	loam_resp_free(resp);
	close(peer);
	return 0;
}
