/*
 * Counts round trips: relay LISTEN_SOCKET UPSTREAM_SOCKET COUNT_FILE
 *
 * Forwards Redis clients between two Unix sockets. A round trip is counted each time the traffic of
 * a connection turns from reply to request: a pipeline is one (a very large one that is answered in
 * part while it is still being sent may count more). Requests that belong to no operation
 * are forwarded without being counted: heartbeats (allSessions, sessionInfos), numbers taken in
 * advance (nextinode, nextchunk), PING, INFO, and the greeting of a new connection. SIGUSR1 writes
 * the count to COUNT_FILE and sets it to 0; SIGTERM and SIGINT end the program.
 *
 * One thread, poll(2). A side that does not read is waited for: Redis takes requests at any time,
 * so this cannot stand still.
 */
#include "core/auto.h"
#include "core/err.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>

#define CONNECTIONS_MAX 500
#define PIECE_BYTES	(64u << 10)

struct connection {
	int client, server;
	bool asking; /* the last bytes went to the server */
};

static struct connection connections[CONNECTIONS_MAX];
static size_t connection_count;
static unsigned long long trips;

static int open_socket(const char *path, bool listening)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof(address.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(address.sun_path, path, strlen(path));
	loam_auto_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	int rc = listening ? bind(fd, (struct sockaddr *)&address, sizeof(address))
			   : connect(fd, (struct sockaddr *)&address, sizeof(address));
	if (rc == 0 && listening)
		rc = listen(fd, 64);
	return rc == 0 ? loam_steal_fd(&fd) : -1;
}

static bool contains(const char *data, size_t bytes, const char *word)
{
	return memmem(data, bytes, word, strlen(word)) != NULL;
}

static bool counts(const char *data, size_t bytes)
{
	static const char *const ignored[] = { "allSessions",	 "sessionInfos",  "nextinode",
					       "nextchunk",	 "\r\nPING\r\n",  "\r\nping\r\n",
					       "\r\nINFO\r\n",	 "\r\ninfo\r\n",  "\r\nCLIENT\r\n",
					       "\r\nclient\r\n", "\r\nhello\r\n", "\r\nHELLO\r\n" };
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(ignored); i++)
		if (contains(data, bytes, ignored[i]))
			return false;
	return true;
}

/* Moves what one side has sent. False when either side is gone. */
static bool forward(struct connection *connection, bool from_client)
{
	static char data[PIECE_BYTES];
	int from = from_client ? connection->client : connection->server;
	int to = from_client ? connection->server : connection->client;
	ssize_t got = recv(from, data, sizeof(data), 0);
	if (got <= 0)
		return got < 0 && errno == EINTR;
	if (from_client && !connection->asking && counts(data, (size_t)got))
		trips++;
	connection->asking = from_client;
	for (ssize_t at = 0; at < got;) {
		ssize_t sent = send(to, data + at, (size_t)(got - at), MSG_NOSIGNAL);
		if (sent < 0 && errno == EINTR)
			continue;
		if (sent <= 0)
			return false;
		at += sent;
	}
	return true;
}

static void add_connection(int listen_fd, const char *upstream)
{
	loam_auto_fd int client = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
	if (client < 0 || connection_count == CONNECTIONS_MAX)
		return;
	loam_auto_fd int server = open_socket(upstream, false);
	if (server < 0)
		return;
	connections[connection_count++] = (struct connection){ .client = loam_steal_fd(&client),
							       .server = loam_steal_fd(&server) };
}

static void remove_connection(size_t index)
{
	close(connections[index].client);
	close(connections[index].server);
	connections[index] = connections[--connection_count];
}

/* The whole file appears at once: readers poll for it. */
static int write_count(const char *path)
{
	loam_auto_free char *temporary = loam_xasprintf("%s.tmp", path);
	FILE *file = fopen(temporary, "we");
	if (!file)
		return -1;
	fprintf(file, "%llu\n", trips);
	trips = 0;
	if (fclose(file) != 0)
		return -1;
	return rename(temporary, path);
}

static int watch_signals(void)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC);
}

/* False when the program is to end. */
static bool take_signal(int signal_fd, const char *count_file)
{
	struct signalfd_siginfo info;
	if (read(signal_fd, &info, sizeof(info)) != sizeof(info))
		return true;
	if (info.ssi_signo != SIGUSR1)
		return false;
	if (write_count(count_file) < 0)
		perror(count_file);
	return true;
}

static void relay(int signal_fd, int listen_fd, const char *upstream, const char *count_file)
{
	static struct pollfd fds[2 + 2 * CONNECTIONS_MAX];
	for (;;) {
		size_t known = connection_count;
		fds[0] = (struct pollfd){ .fd = signal_fd, .events = POLLIN };
		fds[1] = (struct pollfd){ .fd = listen_fd, .events = POLLIN };
		for (size_t i = 0; i < known; i++) {
			fds[2 + 2 * i] =
				(struct pollfd){ .fd = connections[i].server, .events = POLLIN };
			fds[3 + 2 * i] =
				(struct pollfd){ .fd = connections[i].client, .events = POLLIN };
		}
		if (poll(fds, 2 + 2 * known, -1) < 0)
			continue;
		for (size_t i = known; i-- > 0;) { /* from the end: removing moves the last one */
			bool alive = true;
			if (fds[2 + 2 * i].revents) /* replies first: they precede what follows */
				alive = forward(&connections[i], false);
			if (alive && fds[3 + 2 * i].revents)
				alive = forward(&connections[i], true);
			if (!alive)
				remove_connection(i);
		}
		if (fds[1].revents)
			add_connection(listen_fd, upstream);
		if (fds[0].revents && !take_signal(signal_fd, count_file))
			return;
	}
}

int main(int argc, char **argv)
{
	if (argc != 4) {
		fprintf(stderr, "usage: relay LISTEN_SOCKET UPSTREAM_SOCKET COUNT_FILE\n");
		return 2;
	}
	loam_auto_fd int signal_fd = watch_signals();
	loam_auto_fd int listen_fd = open_socket(argv[1], true);
	if (signal_fd < 0 || listen_fd < 0) {
		perror(argv[1]);
		return 1;
	}
	relay(signal_fd, listen_fd, argv[2], argv[3]);
	unlink(argv[1]);
	return 0;
}
