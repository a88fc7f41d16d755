/*
 * core/acceptor: a bounded number of connections, each on its thread; refused, too many, ended.
 */
#include "core/acceptor.h"

#include "core/auto.h"
#include "core/clock.h"
#include "core/stream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#define MOST 3

static char path[64];
static int listener;
static struct loam_acceptor *acceptor;
static atomic_int begun, run, ended, too_many;
static atomic_bool refusing;

static void *begin(void *arg, int fd)
{
	assert_ptr_equal(arg, path);
	if (refusing)
		return NULL;
	int *talk = loam_xnew(int);
	*talk = fd;
	begun++;
	return talk;
}

/* Echoes one byte, then waits for the other end. */
static void echo(void *talk)
{
	char byte;
	int fd = *(int *)talk;
	run++;
	while (recv(fd, &byte, 1, 0) == 1)
		if (send(fd, &byte, 1, MSG_NOSIGNAL) != 1)
			break;
}

static void end(void *talk, bool many)
{
	ended++;
	too_many += many;
	free(talk);
}

static const struct loam_acceptor_ops ops = { begin, echo, end };

static int setup(void **state)
{
	struct loam_err err = { 0 };
	snprintf(path, sizeof(path), "/tmp/loam-unit-acceptor-%d.sock", (int)getpid());
	begun = run = ended = too_many = 0;
	refusing = false;
	int rc = loam_stream_listen_unix(path, 0600, 16, &listener, &err);
	return rc < 0 ? rc : loam_acceptor_open(listener, MOST, 10, &ops, path, &acceptor, &err);
}

static int teardown(void **state)
{
	loam_acceptor_stop(acceptor);
	loam_acceptor_stop(acceptor);
	assert_true(loam_acceptor_wait(acceptor, 10000, NULL));
	loam_acceptor_free(acceptor);
	close(listener);
	return unlink(path);
}

static int dial(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct timeval patience = { .tv_sec = 20 };
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	return fd;
}

/* true: the byte came back; false: the other end hung up. */
static bool answers(int fd)
{
	char byte = 'x';
	return send(fd, &byte, 1, MSG_NOSIGNAL) == 1 && recv(fd, &byte, 1, 0) == 1;
}

static void so_many_at_once_and_no_more(void **state)
{
	int fds[MOST];
	for (int i = 0; i < MOST; i++) {
		fds[i] = dial();
		assert_true(answers(fds[i]));
	}
	int over = dial();
	assert_false(answers(over));
	close(over);
	assert_int_equal(too_many, 1);
	assert_int_equal(run, MOST);
	close(fds[0]);
	for (int i = 0; i < 1000 && ended < 2; i++)
		loam_clock_sleep_ms(10);
	for (int tries = 0; tries < 1000; tries++) { /* its place is free a moment later */
		fds[0] = dial();
		if (answers(fds[0]))
			break;
		close(fds[0]);
	}
	assert_true(answers(fds[0]));
	for (int i = 0; i < MOST; i++)
		close(fds[i]);
	assert_true(loam_acceptor_wait(acceptor, 10000, NULL));
	assert_int_equal(begun, ended);
}

static void who_is_refused_is_hung_up(void **state)
{
	refusing = true;
	int fd = dial();
	assert_false(answers(fd));
	close(fd);
	assert_int_equal(begun + run + ended, 0);
}

static void waiting_ends_with_time_or_with_a_sign(void **state)
{
	static const volatile int now = 1;
	int fd = dial();
	assert_true(answers(fd));
	loam_acceptor_stop(acceptor);
	assert_false(loam_acceptor_wait(acceptor, 1, NULL));
	assert_false(loam_acceptor_wait(acceptor, 600000, &now));
	assert_true(answers(fd)); /* who is in stays in */
	close(fd);
	assert_true(loam_acceptor_wait(acceptor, 10000, NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(so_many_at_once_and_no_more, setup, teardown),
		cmocka_unit_test_setup_teardown(who_is_refused_is_hung_up, setup, teardown),
		cmocka_unit_test_setup_teardown(waiting_ends_with_time_or_with_a_sign, setup,
						teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
