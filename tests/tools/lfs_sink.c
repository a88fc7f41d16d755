/*
 * The peer of tests/bench/push.sh: a Git LFS server that answers a batch with upload links and
 * throws the bodies away. lfs_sink PORT: loopback only, ends on SIGTERM or SIGINT.
 *
 * It is what the client could reach at most: bodies are not hashed, copied or stored. Whatever is
 * asked beside batch and PUT gets 404 (git-lfs goes on without locks). One thread per connection.
 */
#include "core/auto.h"
#include "core/err.h"
#include "core/limits.h"

#include <arpa/inet.h>
#include <jansson.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define BUFFER_BYTES (1u << 20)
#define LFS_JSON     "application/vnd.git-lfs+json"

struct call {
	char *body; /* of a batch; NULL for what is thrown away */
	size_t bytes;
};

static unsigned port;

static enum MHD_Result answer(struct MHD_Connection *connection, unsigned status, char *text)
{
	struct MHD_Response *response =
		MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_FREE);
	MHD_add_response_header(response, "Content-Type", LFS_JSON);
	enum MHD_Result result = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	return result;
}

/* Each object of the request with a link to upload it; NULL when it is no batch. */
static char *batch_answer(const struct call *call)
{
	json_t *request = json_loadb(call->body, call->bytes, 0, NULL);
	json_t *objects = json_array(), *object;
	size_t index;
	json_array_foreach (json_object_get(request, "objects"), index, object) {
		const char *oid = json_string_value(json_object_get(object, "oid"));
		loam_auto_free char *href =
			loam_xasprintf("http://127.0.0.1:%u/put/%s", port, oid ? oid : "");
		json_array_append_new(objects, json_pack("{s:O, s:O, s:{s:{s:s}}}", "oid",
							 json_object_get(object, "oid"), "size",
							 json_object_get(object, "size"), "actions",
							 "upload", "href", href));
	}
	json_t *reply = json_pack("{s:s, s:o}", "transfer", "basic", "objects", objects);
	char *text = json_dumps(reply, JSON_COMPACT);
	json_decref(reply);
	json_decref(request);
	return text;
}

static int gather(struct call *call, const char *data, size_t bytes)
{
	if (bytes > LOAM_JSON_BYTES_MAX - call->bytes)
		return -1;
	char *grown = realloc(call->body, call->bytes + bytes);
	if (!grown)
		return -1;
	memcpy(grown + call->bytes, data, bytes);
	call->body = grown;
	call->bytes += bytes;
	return 0;
}

static enum MHD_Result handle(void *arg, struct MHD_Connection *connection, const char *path,
			      const char *method, const char *version, const char *data,
			      size_t *data_bytes, void **state)
{
	bool is_batch = strcmp(method, "POST") == 0 && strstr(path, "/objects/batch");
	bool is_put = strcmp(method, "PUT") == 0;
	if (!*state) {
		*state = loam_xnew(struct call);
		return MHD_YES;
	}
	struct call *call = *state;
	if (*data_bytes > 0) {
		if (is_batch && gather(call, data, *data_bytes) != 0)
			return MHD_NO;
		*data_bytes = 0;
		return MHD_YES;
	}
	char *text = is_batch ? batch_answer(call) : strdup("{\"message\":\"a sink\"}");
	if (!text)
		return MHD_NO;
	return answer(connection, is_batch || is_put ? 200 : 404, text);
}

static void completed(void *arg, struct MHD_Connection *connection, void **state,
		      enum MHD_RequestTerminationCode how)
{
	struct call *call = *state;
	if (call)
		free(call->body);
	free(call);
	*state = NULL;
}

int main(int argc, char **argv)
{
	port = argc == 2 ? (unsigned)strtoul(argv[1], NULL, 10) : 0;
	if (port == 0 || port > UINT16_MAX) {
		fprintf(stderr, "usage: lfs_sink PORT\n");
		return 2;
	}
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_port = htons((uint16_t)port),
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct MHD_Daemon *daemon =
		MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_THREAD_PER_CONNECTION |
					 MHD_USE_POLL,
				 0, NULL, NULL, handle, NULL, MHD_OPTION_SOCK_ADDR, &address,
				 MHD_OPTION_NOTIFY_COMPLETED, completed, NULL,
				 MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)BUFFER_BYTES,
				 MHD_OPTION_END);
	if (!daemon) {
		perror("listen");
		return 1;
	}
	int signal_number;
	sigwait(&set, &signal_number);
	MHD_stop_daemon(daemon);
	return 0;
}
