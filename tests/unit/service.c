/*
 * core/service: what the service manager is told, with a socket of the test in its place.
 */
#include "core/service.h"

#include "core/auto.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

static char path[64];

/* A bound socket that NOTIFY_SOCKET names; "@…" is an abstract one. */
static int manager_at(const char *name)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	size_t bytes = strlen(name);
	assert_true(bytes < sizeof(address.sun_path));
	memcpy(address.sun_path, name, bytes);
	if (name[0] == '@')
		address.sun_path[0] = '\0';
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	socklen_t length =
		(socklen_t)(offsetof(struct sockaddr_un, sun_path) + bytes + (name[0] != '@'));
	assert_int_equal(bind(fd, (struct sockaddr *)&address, length), 0);
	setenv("NOTIFY_SOCKET", name, 1);
	return fd;
}

static int setup(void **state)
{
	snprintf(path, sizeof(path), "/tmp/loam-service-%d.sock", (int)getpid());
	return 0;
}

static int teardown(void **state)
{
	unlink(path);
	unsetenv("NOTIFY_SOCKET");
	loam_service_take();
	return 0;
}

static void readiness_is_one_datagram_with_a_status(void **state)
{
	loam_auto_fd int fd = manager_at(path);
	loam_service_take();
	loam_service_ready("http://%s", "127.0.0.1:8418");
	char got[256] = "";
	assert_true(recv(fd, got, sizeof(got) - 1, 0) > 0);
	assert_string_equal(got, "READY=1\nSTATUS=http://127.0.0.1:8418");
	loam_service_stopping();
	memset(got, 0, sizeof(got));
	assert_true(recv(fd, got, sizeof(got) - 1, 0) > 0);
	assert_memory_equal(got, "STOPPING=1\n", 11);
}

static void an_abstract_socket_will_do(void **state)
{
	char name[64];
	snprintf(name, sizeof(name), "@loam-service-%d", (int)getpid());
	loam_auto_fd int fd = manager_at(name);
	loam_service_take();
	loam_service_ready("up");
	char got[64] = "";
	assert_int_equal(recv(fd, got, sizeof(got) - 1, 0), (int)strlen("READY=1\nSTATUS=up"));
}

static void children_do_not_have_the_socket(void **state)
{
	loam_auto_fd int fd = manager_at(path);
	loam_service_take();
	assert_null(getenv("NOTIFY_SOCKET"));
}

static void a_long_status_is_cut(void **state)
{
	loam_auto_fd int fd = manager_at(path);
	loam_service_take();
	char status[2 * LOAM_SERVICE_STATUS_MAX];
	memset(status, 'x', sizeof(status) - 1);
	status[sizeof(status) - 1] = '\0';
	loam_service_ready("%s", status);
	char got[4 * LOAM_SERVICE_STATUS_MAX];
	assert_int_equal(recv(fd, got, sizeof(got), 0), LOAM_SERVICE_STATUS_MAX - 1);
}

static void without_a_manager_nothing_is_said(void **state)
{
	loam_auto_fd int fd = manager_at(path);
	static const char *const none[] = { "", "/", "relative", "@" };
	char byte;
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(none); i++) {
		setenv("NOTIFY_SOCKET", none[i], 1);
		loam_service_take();
		loam_service_ready("up");
		assert_true(recv(fd, &byte, 1, 0) < 0);
	}
	char longest[200];
	memset(longest, '/', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	setenv("NOTIFY_SOCKET", longest, 1);
	loam_service_take();
	loam_service_ready("up");
	assert_true(recv(fd, &byte, 1, 0) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(readiness_is_one_datagram_with_a_status, setup,
						teardown),
		cmocka_unit_test_setup_teardown(an_abstract_socket_will_do, setup, teardown),
		cmocka_unit_test_setup_teardown(children_do_not_have_the_socket, setup, teardown),
		cmocka_unit_test_setup_teardown(a_long_status_is_cut, setup, teardown),
		cmocka_unit_test_setup_teardown(without_a_manager_nothing_is_said, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
