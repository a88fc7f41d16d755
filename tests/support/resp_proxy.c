/*
 * The harmful proxy (resp_proxy.h): one thread accepts, one thread per connection moves bytes in
 * both directions.
 */
#include "tests/support/resp_proxy.h"

#include "core/auto.h"
#include "core/clock.h"
#include "core/err.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#define POLL_MS 20

struct pair {
	struct loam_resp_proxy *proxy;
	int client, server;
	enum loam_resp_harm pending; /* for the next reply */
};

static int open_socket(const char *path, bool listening)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	loam_assert(fd >= 0);
	int rc = listening ? bind(fd, (struct sockaddr *)&address, sizeof(address))
			   : connect(fd, (struct sockaddr *)&address, sizeof(address));
	if (rc == 0 && listening)
		rc = listen(fd, 64);
	if (rc == 0)
		return fd;
	close(fd);
	return -1;
}

static bool send_all(int fd, const char *data, size_t bytes)
{
	while (bytes > 0) {
		ssize_t sent = send(fd, data, bytes, MSG_NOSIGNAL);
		if (sent <= 0)
			return false;
		data += sent;
		bytes -= (size_t)sent;
	}
	return true;
}

static bool is_commit(const char *data, size_t bytes)
{
	return memmem(data, bytes, "\r\nEVAL", 6) || memmem(data, bytes, "\r\nEXEC\r\n", 8);
}

/* The harm that this commit meets, 0 mostly. */
static enum loam_resp_harm next_harm(struct loam_resp_proxy *proxy)
{
	unsigned harms = atomic_load(&proxy->harms), period = atomic_load(&proxy->period);
	unsigned number = atomic_fetch_add(&proxy->counted, 1) + 1;
	if (harms == 0 || period == 0 || number % period != 0)
		return 0;
	unsigned turn = atomic_fetch_add(&proxy->done, 1);
	for (unsigned bit = turn % 4;; bit = (bit + 1) % 4)
		if (harms & 1u << bit)
			return 1u << bit;
}

static bool forward_request(struct pair *pair)
{
	static _Thread_local char data[1 << 16];
	ssize_t got = recv(pair->client, data, sizeof(data), 0);
	if (got <= 0)
		return false;
	if (is_commit(data, (size_t)got))
		pair->pending = next_harm(pair->proxy);
	if (pair->pending == LOAM_HARM_CUT_REQUEST)
		return false;
	if (pair->pending == LOAM_HARM_STALL)
		loam_clock_sleep_ms(atomic_load(&pair->proxy->stall_ms));
	return send_all(pair->server, data, (size_t)got);
}

static bool forward_reply(struct pair *pair)
{
	static _Thread_local char data[1 << 16];
	ssize_t got = recv(pair->server, data, sizeof(data), 0);
	if (got <= 0 || pair->pending == LOAM_HARM_CUT_REPLY)
		return false;
	size_t piece = pair->pending == LOAM_HARM_SPLIT ? 1 : (size_t)got;
	pair->pending = 0;
	for (size_t at = 0; at < (size_t)got; at += piece) {
		if (!send_all(pair->client, data + at, piece))
			return false;
		if (piece == 1 && at < 64)
			loam_clock_sleep_ms(1);
	}
	return true;
}

static void *pump(void *arg)
{
	struct pair *pair = arg;
	struct loam_resp_proxy *proxy = pair->proxy;
	bool alive = true;
	while (alive && !atomic_load(&proxy->ending)) {
		struct pollfd fds[] = { { .fd = pair->client, .events = POLLIN },
					{ .fd = pair->server, .events = POLLIN } };
		if (poll(fds, 2, POLL_MS) <= 0)
			continue;
		if (fds[1].revents)
			alive = forward_reply(pair);
		if (alive && fds[0].revents)
			alive = forward_request(pair);
	}
	close(pair->client);
	close(pair->server);
	free(pair);
	atomic_fetch_sub(&proxy->pumps, 1);
	return NULL;
}

static void *serve(void *arg)
{
	struct loam_resp_proxy *proxy = arg;
	while (!atomic_load(&proxy->ending)) {
		struct pollfd incoming = { .fd = proxy->listen_fd, .events = POLLIN };
		if (poll(&incoming, 1, POLL_MS) <= 0)
			continue;
		struct pair *pair = loam_xnew(struct pair);
		pair->proxy = proxy;
		pair->client = accept(proxy->listen_fd, NULL, NULL);
		pair->server = open_socket(proxy->upstream, false);
		if (pair->server < 0) {
			close(pair->client);
			free(pair);
			continue;
		}
		pthread_t thread;
		atomic_fetch_add(&proxy->pumps, 1);
		loam_assert(pthread_create(&thread, NULL, pump, pair) == 0);
		pthread_detach(thread);
	}
	return NULL;
}

void loam_resp_proxy_start(struct loam_resp_proxy *proxy, const char *dir, const char *upstream)
{
	*proxy = (struct loam_resp_proxy){ .upstream = upstream };
	snprintf(proxy->socket, sizeof(proxy->socket), "%s/proxy.sock", dir);
	unlink(proxy->socket);
	proxy->listen_fd = open_socket(proxy->socket, true);
	loam_assert(proxy->listen_fd >= 0);
	loam_assert(pthread_create(&proxy->thread, NULL, serve, proxy) == 0);
}

void loam_resp_proxy_stop(struct loam_resp_proxy *proxy)
{
	atomic_store(&proxy->ending, true);
	pthread_join(proxy->thread, NULL);
	while (atomic_load(&proxy->pumps) > 0)
		loam_clock_sleep_ms(1);
	close(proxy->listen_fd);
	unlink(proxy->socket);
}
