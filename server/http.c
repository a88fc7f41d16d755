/*
 * The listening socket, libmicrohttpd's daemon and its connections (server/http.h). Step 1 of a
 * push. The files http_*.c and this one are the only ones that know libmicrohttpd 0.9.75; their
 * common header http_internal.h has the drawing of who calls what.
 *
 * Stopping: the listening socket closes, idle connections are cut, requests that run have
 * grace_ms, what is left is cut. A handler that does not come back keeps the daemon, whose stop
 * would wait for its thread: the caller then ends the process.
 */
#include "server/http.h"

#include "core/auto.h"
#include "core/log.h"
#include "server/http_internal.h"

#include "core/banned.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>

#define SPARE_CONNECTIONS  512 /* idle ones, beside those that are served */
#define THREAD_STACK_BYTES (1u << 20)
#define UNWIND_MS	   5000
#define LOOK_MS		   50
#define TLS_PRIORITIES	   "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"

static const char crowd_answer[] = "HTTP/1.1 429 Too Many Requests\r\n"
				   "Content-Type: text/plain; charset=utf-8\r\nRetry-After: 2\r\n"
				   "Content-Length: 47\r\nConnection: close\r\n\r\n"
				   "too many unfinished requests from this address\n";

static void print_address(const struct sockaddr *address, char out[HTTP_PEER_BYTES])
{
	out[0] = '\0';
	if (address->sa_family == AF_INET) {
		const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;
		inet_ntop(AF_INET, &v4->sin_addr, out, HTTP_PEER_BYTES);
	} else if (address->sa_family == AF_INET6) {
		const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;
		if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr))
			inet_ntop(AF_INET, &v6->sin6_addr.s6_addr[12], out, HTTP_PEER_BYTES);
		else
			inet_ntop(AF_INET6, &v6->sin6_addr, out, HTTP_PEER_BYTES);
	}
}

static bool is_listed(const char *list, const char *word)
{
	size_t word_bytes = strlen(word);
	for (const char *at = list ? list : ""; *at;) {
		at += strspn(at, " \t,");
		size_t bytes = strcspn(at, " \t,");
		if (bytes == word_bytes && bytes > 0 && memcmp(at, word, bytes) == 0)
			return true;
		at += bytes;
	}
	return false;
}

static struct http_connection *add_connection(struct loam_http *http, struct MHD_Connection *mhd)
{
	struct http_connection *connection = loam_xnew(struct http_connection);
	connection->http = http;
	connection->mhd = mhd;
	connection->fd =
		MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
	print_address(MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS)->client_addr,
		      connection->peer);
	connection->is_loopback =
		strncmp(connection->peer, "127.", 4) == 0 || strcmp(connection->peer, "::1") == 0;
	connection->is_proxy = is_listed(http->options.trusted_proxy, connection->peer);
	connection->state = HTTP_HEAD;
	connection->since_ms = connection->moved_ms = loam_clock_ms();
	loam_guard(&http->lock);
	connection->next = http->connections;
	if (connection->next)
		connection->next->prev = connection;
	http->connections = connection;
	return connection;
}

static void remove_connection(struct loam_http *http, struct http_connection *connection)
{
	loam_guard(&http->lock);
	if (connection->next)
		connection->next->prev = connection->prev;
	if (connection->prev)
		connection->prev->next = connection->next;
	else
		http->connections = connection->next;
}

static void connection_changed(void *arg, struct MHD_Connection *mhd, void **slot,
			       enum MHD_ConnectionNotificationCode what)
{
	struct loam_http *http = arg;
	if (what == MHD_CONNECTION_NOTIFY_CLOSED) {
		remove_connection(http, *slot);
		free(*slot);
		*slot = NULL;
		return;
	}
	struct http_connection *connection = add_connection(http, mhd);
	*slot = connection;
	if (connection->is_proxy ||
	    loam_http_watch_count(http, connection->peer) <= http->options.per_address_max)
		return;
	loam_warn("http.crowd", "peer=%s", connection->peer);
	loam_guard(&http->lock);
	connection->state = HTTP_CUT;
	if (!http->tls && send(connection->fd, crowd_answer, sizeof(crowd_answer) - 1,
			       MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		loam_debug("http.crowd", "errno=%d", errno);
	shutdown(connection->fd, SHUT_RDWR);
}

/* Targets stay as they came; the route decodes them once. */
static size_t keep_escapes(void *arg, struct MHD_Connection *mhd, char *text)
{
	return strlen(text);
}

static void print_bound(int fd, char *out, size_t out_bytes)
{
	struct sockaddr_storage bound = { 0 };
	socklen_t bytes = sizeof(bound);
	char host[HTTP_PEER_BYTES];
	getsockname(fd, (struct sockaddr *)&bound, &bytes);
	print_address((struct sockaddr *)&bound, host);
	uint16_t port = bound.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&bound)->sin6_port
						    : ((struct sockaddr_in *)&bound)->sin_port;
	if (strchr(host, ':'))
		snprintf(out, out_bytes, "[%s]:%u", host, (unsigned)ntohs(port));
	else
		snprintf(out, out_bytes, "%s:%u", host, (unsigned)ntohs(port));
}

static char *copy_text(const char *text)
{
	return loam_xstrdup(text ? text : "");
}

static void copy_options(struct loam_http *http, const struct loam_http_options *options)
{
	struct loam_http_options *to = &http->options;
	*to = *options;
	to->listen = copy_text(options->listen);
	to->tls_cert = copy_text(options->tls_cert);
	to->tls_key = copy_text(options->tls_key);
	to->trusted_proxy = copy_text(options->trusted_proxy);
	char *url = copy_text(options->url);
	for (size_t bytes = strlen(url); bytes > 0 && url[bytes - 1] == '/'; bytes--)
		url[bytes - 1] = '\0';
	to->url = url;
	to->workers = options->workers ? options->workers : 1;
	to->head_ms = options->head_ms ? options->head_ms : LOAM_HTTP_HEAD_SECONDS * 1000;
	to->idle_ms = options->idle_ms ? options->idle_ms : LOAM_HTTP_IDLE_SECONDS * 1000;
	to->per_address_max =
		options->per_address_max ? options->per_address_max : LOAM_HTTP_PER_ADDRESS_MAX;
}

static void free_http(struct loam_http *http)
{
	free((char *)http->options.listen);
	free((char *)http->options.tls_cert);
	free((char *)http->options.tls_key);
	free((char *)http->options.trusted_proxy);
	free((char *)http->options.url);
	loam_http_listener_free(http->listener);
	pthread_cond_destroy(&http->changed);
	pthread_mutex_destroy(&http->lock);
	free(http);
}

static int start_daemon(struct loam_http *http, int listen_fd, struct loam_err *err)
{
	unsigned limit = (unsigned)http->options.workers + SPARE_CONNECTIONS;
	bool proxied = http->options.trusted_proxy[0] != '\0';
	struct MHD_OptionItem tls[] = {
		{ MHD_OPTION_HTTPS_MEM_CERT, 0, http->listener->cert_pem },
		{ MHD_OPTION_HTTPS_MEM_KEY, 0, http->listener->key_pem },
		{ MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)TLS_PRIORITIES },
		{ MHD_OPTION_END, 0, NULL },
	};
	struct MHD_OptionItem none[] = { { MHD_OPTION_END, 0, NULL } };
	unsigned flags = MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_THREAD_PER_CONNECTION |
			 MHD_USE_POLL | MHD_USE_ITC | MHD_USE_ERROR_LOG |
			 (http->tls ? MHD_USE_TLS : 0);
	http->daemon =
		MHD_start_daemon(flags, 0, NULL, NULL, loam_http_request_call, http,
				 MHD_OPTION_EXTERNAL_LOGGER, loam_http_request_mhd_log, http,
				 MHD_OPTION_LISTEN_SOCKET, listen_fd, MHD_OPTION_URI_LOG_CALLBACK,
				 loam_http_request_line, http, MHD_OPTION_UNESCAPE_CALLBACK,
				 keep_escapes, http, MHD_OPTION_NOTIFY_COMPLETED,
				 loam_http_request_completed, http, MHD_OPTION_NOTIFY_CONNECTION,
				 connection_changed, http, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
				 (size_t)HTTP_BUFFER_BYTES, MHD_OPTION_CONNECTION_LIMIT, limit,
				 MHD_OPTION_PER_IP_CONNECTION_LIMIT,
				 proxied ? 0u : 4u * http->options.per_address_max,
				 MHD_OPTION_THREAD_STACK_SIZE, (size_t)THREAD_STACK_BYTES,
				 MHD_OPTION_ARRAY, http->tls ? tls : none, MHD_OPTION_END);
	if (!http->daemon)
		return loam_fail(err, LOAM_E_INVALID, "start HTTP on %s%s", http->address,
				 http->tls ? ": certificate and key are not a valid pair" : "");
	return 0;
}

int loam_http_start(const struct loam_http_options *options, struct loam_http **out_http,
		    struct loam_err *err)
{
	struct loam_http *http = loam_xnew(struct loam_http);
	pthread_mutex_init(&http->lock, NULL);
	pthread_cond_init(&http->changed, NULL);
	copy_options(http, options);
	signal(SIGPIPE, SIG_IGN);
	int rc = 0;
	http->listener = options->listener;
	if (!http->listener)
		rc = loam_http_listen(options, &http->listener, err);
	if (rc == 0)
		rc = loam_http_listener_open(http->listener, http->options.listen, err);
	if (rc == 0) {
		http->tls = http->listener->cert_pem != NULL;
		print_bound(http->listener->fd, http->address, sizeof(http->address));
		rc = start_daemon(http, http->listener->fd, err);
	}
	if (rc == 0) {
		http->listener->fd = -1; /* the daemon's */
		rc = loam_http_watch_start(http, err);
		if (rc < 0)
			MHD_stop_daemon(http->daemon);
	}
	if (rc < 0) {
		free_http(http);
		return rc;
	}
	*out_http = http;
	return 0;
}

const char *loam_http_address(const struct loam_http *http)
{
	return http->address;
}

static bool wait_for_running(struct loam_http *http, uint64_t wait_ms, const volatile int *stop_now)
{
	struct loam_deadline deadline = loam_deadline_in(wait_ms);
	for (;;) {
		pthread_mutex_lock(&http->lock);
		size_t running = http->running;
		pthread_mutex_unlock(&http->lock);
		if (running == 0)
			return true;
		if (loam_deadline_left_ms(deadline) == 0 || (stop_now && *stop_now))
			return false;
		loam_http_watch_cut_all(http, true);
		loam_clock_sleep_ms(LOOK_MS);
	}
}

bool loam_http_stop(struct loam_http *http, uint64_t grace_ms, const volatile int *stop_now)
{
	if (!http)
		return true;
	atomic_store(&http->stopping, true);
	pthread_mutex_lock(&http->lock);
	pthread_cond_broadcast(&http->changed);
	pthread_mutex_unlock(&http->lock);
	int listen_fd = MHD_quiesce_daemon(http->daemon);
	if (listen_fd >= 0)
		close(listen_fd);
	loam_http_watch_cut_all(http, true);
	bool ended = wait_for_running(http, grace_ms, stop_now);
	if (!ended) {
		loam_http_watch_cut_all(http, false);
		ended = wait_for_running(http, UNWIND_MS, stop_now);
	}
	if (!ended)
		return false;
	loam_http_watch_stop(http);
	MHD_stop_daemon(http->daemon);
	free_http(http);
	return true;
}
