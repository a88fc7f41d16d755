/*
 * Time limits by progress, and the places of running requests (reliability.md http-11, F07).
 *
 * libmicrohttpd's own timeout is an idle timeout that closes without a word: a client that sends a
 * header byte every nine seconds would live for ever. One thread looks at every connection instead
 * and asks the kernel how many bytes have come in and how many were acknowledged; what makes no
 * progress is answered 408 (plain connections; nothing has been answered yet then) and shut down.
 * The connection's own thread sees the end of its socket and cleans up.
 */
#include "core/auto.h"
#include "core/log.h"
#include "server/http_internal.h"

#include "core/banned.h"

#include <errno.h>
#include <linux/tcp.h>
#include <string.h>
#include <sys/socket.h>

#define LOOK_EVERY_MS 100
#define PLACE_WAIT_MS 20000

static const char late_answer[] = "HTTP/1.1 408 Request Timeout\r\n"
				  "Content-Type: text/plain; charset=utf-8\r\n"
				  "Content-Length: 29\r\nConnection: close\r\n\r\n"
				  "the request did not complete\n";

/* False while nothing has moved since the last look. */
static bool read_counters(struct http_connection *connection)
{
	struct tcp_info info = { 0 };
	socklen_t bytes = sizeof(info);
	if (getsockopt(connection->fd, IPPROTO_TCP, TCP_INFO, &info, &bytes) < 0)
		return false;
	bool moved = info.tcpi_bytes_received != connection->received ||
		     info.tcpi_bytes_acked != connection->acked;
	connection->received = info.tcpi_bytes_received;
	connection->acked = info.tcpi_bytes_acked;
	return moved;
}

/* With the lock held. The socket is not blocking: send() takes what fits, which a 408 does. */
static void cut(struct http_connection *connection, bool say_late)
{
	if (say_late && !connection->http->tls &&
	    send(connection->fd, late_answer, sizeof(late_answer) - 1,
		 MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		loam_debug("http.cut", "peer=%s errno=%d", connection->peer, errno);
	connection->state = HTTP_CUT;
	atomic_store(&connection->late, say_late);
	shutdown(connection->fd, SHUT_RDWR);
	if (say_late)
		loam_info("http.late", "peer=%s", connection->peer);
}

static void look_at(struct http_connection *connection, uint64_t now)
{
	const struct loam_http_options *options = &connection->http->options;
	if (read_counters(connection) || atomic_load(&connection->busy))
		connection->moved_ms = now;
	if (connection->state == HTTP_IDLE && connection->received != connection->request_end) {
		connection->state = HTTP_HEAD; /* its first byte has come */
		connection->since_ms = now;
	}
	uint64_t silent_ms = now - connection->moved_ms;
	switch (connection->state) {
	case HTTP_HEAD:
		if (now - connection->since_ms > options->head_ms)
			cut(connection, true);
		break;
	case HTTP_BODY:
		if (silent_ms > options->idle_ms)
			cut(connection, true);
		break;
	case HTTP_IDLE:
	case HTTP_REPLY:
		if (silent_ms > options->idle_ms)
			cut(connection, false);
		break;
	case HTTP_CUT:
		break;
	}
}

static void *watch(void *arg)
{
	struct loam_http *http = arg;
	while (!atomic_load(&http->watcher_ends)) {
		loam_clock_sleep_ms(LOOK_EVERY_MS);
		uint64_t now = loam_clock_ms();
		loam_guard(&http->lock);
		for (struct http_connection *at = http->connections; at; at = at->next)
			look_at(at, now);
	}
	return NULL;
}

int loam_http_watch_start(struct loam_http *http, struct loam_err *err)
{
	int rc = pthread_create(&http->watcher, NULL, watch, http);
	if (rc != 0)
		return loam_fail(err, LOAM_E_BUSY, "start the watcher thread: %s", strerror(rc));
	return 0;
}

void loam_http_watch_stop(struct loam_http *http)
{
	atomic_store(&http->watcher_ends, true);
	pthread_join(http->watcher, NULL);
}

bool loam_http_watch_enter(struct http_connection *connection, enum http_state state)
{
	loam_guard(&connection->http->lock);
	if (connection->state == HTTP_CUT)
		return false;
	connection->state = state;
	connection->since_ms = loam_clock_ms();
	connection->moved_ms = connection->since_ms;
	read_counters(connection);
	if (state == HTTP_REPLY)
		connection->request_end = connection->received;
	return true;
}

/* With the lock held. One address never has all places: a fourth is left to the others. */
static bool is_full(const struct loam_http *http, const struct http_connection *asks)
{
	unsigned workers = http->options.workers, placed = 0;
	if (http->running >= workers)
		return true;
	for (struct http_connection *at = http->connections; at; at = at->next)
		placed += at->placed && strcmp(at->peer, asks->peer) == 0;
	return !asks->is_proxy && workers > 1 && placed >= workers - (workers + 3) / 4;
}

bool loam_http_watch_take_place(struct http_connection *connection)
{
	struct loam_http *http = connection->http;
	uint64_t until_ms = loam_clock_ms() + PLACE_WAIT_MS;
	loam_guard(&http->lock);
	while (!atomic_load(&http->stopping) && is_full(http, connection)) {
		if (loam_clock_ms() >= until_ms)
			return false;
		loam_cond_wait_until(&http->changed, &http->lock, until_ms);
	}
	if (atomic_load(&http->stopping))
		return false;
	http->running++;
	connection->placed = true;
	return true;
}

void loam_http_watch_leave_place(struct http_connection *connection)
{
	struct loam_http *http = connection->http;
	loam_guard(&http->lock);
	http->running--;
	connection->placed = false;
	pthread_cond_broadcast(&http->changed);
}

size_t loam_http_watch_count(struct loam_http *http, const char *peer)
{
	size_t count = 0;
	loam_guard(&http->lock);
	for (struct http_connection *at = http->connections; at; at = at->next)
		if (at->state != HTTP_IDLE && at->state != HTTP_CUT && strcmp(at->peer, peer) == 0)
			count++;
	return count;
}

void loam_http_watch_cut_all(struct loam_http *http, bool idle_only)
{
	loam_guard(&http->lock);
	for (struct http_connection *at = http->connections; at; at = at->next)
		if (at->state == HTTP_IDLE || (!idle_only && at->state != HTTP_CUT))
			cut(at, false);
}
