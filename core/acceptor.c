/*
 * A thread that accepts, and a bounded number of threads that talk (core/acceptor.h).
 */
#include "core/acceptor.h"

#include "core/auto.h"
#include "core/clock.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define ACCEPT_POLL_MS 200
#define WAIT_STEP_MS   20

struct loam_acceptor {
	int fd;
	unsigned most, send_seconds;
	const struct loam_acceptor_ops *ops;
	void *arg;
	pthread_t thread;
	bool stopped;	      /* the thread was joined */
	pthread_mutex_t lock; /* everything below */
	unsigned connected;
	bool stopping;
};

struct connection {
	struct loam_acceptor *acceptor;
	int fd;
	void *talk;
};

static bool enter(struct loam_acceptor *acceptor)
{
	loam_guard(&acceptor->lock);
	if (acceptor->connected >= acceptor->most)
		return false;
	acceptor->connected++;
	return true;
}

/* The last thing that a connection's thread does: behind it the acceptor may be gone. */
static void leave(struct loam_acceptor *acceptor)
{
	loam_guard(&acceptor->lock);
	acceptor->connected--;
}

static void *serve(void *arg)
{
	struct connection *connection = arg;
	struct loam_acceptor *acceptor = connection->acceptor;
	acceptor->ops->run(connection->talk);
	acceptor->ops->end(connection->talk, false);
	close(connection->fd);
	free(connection);
	leave(acceptor);
	return NULL;
}

static void start(struct loam_acceptor *acceptor, int fd)
{
	struct timeval patience = { .tv_sec = acceptor->send_seconds };
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	void *talk = acceptor->ops->begin(acceptor->arg, fd);
	if (!talk) {
		close(fd);
		return;
	}
	struct connection *connection = loam_xnew(struct connection);
	*connection = (struct connection){ acceptor, fd, talk };
	bool entered = enter(acceptor);
	pthread_t thread;
	if (entered && pthread_create(&thread, NULL, serve, connection) == 0) {
		pthread_detach(thread);
		return;
	}
	acceptor->ops->end(talk, true);
	close(fd);
	free(connection);
	if (entered)
		leave(acceptor);
}

static bool is_stopping(struct loam_acceptor *acceptor)
{
	loam_guard(&acceptor->lock);
	return acceptor->stopping;
}

static void *accept_all(void *arg)
{
	struct loam_acceptor *acceptor = arg;
	for (;;) {
		struct pollfd ready = { .fd = acceptor->fd, .events = POLLIN };
		int count = poll(&ready, 1, ACCEPT_POLL_MS);
		if (is_stopping(acceptor))
			return NULL;
		int fd = count > 0 ? accept4(acceptor->fd, NULL, NULL, SOCK_CLOEXEC) : -1;
		if (fd >= 0)
			start(acceptor, fd);
	}
}

int loam_acceptor_open(int fd, unsigned most, unsigned send_seconds,
		       const struct loam_acceptor_ops *ops, void *arg,
		       struct loam_acceptor **out_acceptor, struct loam_err *err)
{
	struct loam_acceptor *acceptor = loam_xnew(struct loam_acceptor);
	acceptor->fd = fd;
	acceptor->most = most;
	acceptor->send_seconds = send_seconds;
	acceptor->ops = ops;
	acceptor->arg = arg;
	pthread_mutex_init(&acceptor->lock, NULL);
	if (pthread_create(&acceptor->thread, NULL, accept_all, acceptor) != 0) {
		pthread_mutex_destroy(&acceptor->lock);
		free(acceptor);
		return loam_fail(err, LOAM_E_BUSY, "no thread for connections");
	}
	*out_acceptor = acceptor;
	return 0;
}

void loam_acceptor_stop(struct loam_acceptor *acceptor)
{
	if (!acceptor || acceptor->stopped)
		return;
	pthread_mutex_lock(&acceptor->lock);
	acceptor->stopping = true;
	pthread_mutex_unlock(&acceptor->lock);
	pthread_join(acceptor->thread, NULL);
	acceptor->stopped = true;
}

static bool is_quiet(struct loam_acceptor *acceptor)
{
	loam_guard(&acceptor->lock);
	return acceptor->connected == 0;
}

bool loam_acceptor_wait(struct loam_acceptor *acceptor, uint64_t wait_ms, const volatile int *now)
{
	struct loam_deadline deadline = loam_deadline_in(wait_ms);
	while (!is_quiet(acceptor)) {
		if (loam_deadline_left_ms(deadline) == 0 || (now && *now))
			return false;
		loam_clock_sleep_ms(WAIT_STEP_MS);
	}
	return true;
}

void loam_acceptor_free(struct loam_acceptor *acceptor)
{
	if (!acceptor)
		return;
	loam_assert(acceptor->stopped);
	pthread_mutex_destroy(&acceptor->lock);
	free(acceptor);
}
