/*
 * core/failpoint: counting, errors, delays, the log of what was reached, kill.
 */
#include "core/failpoint.h"

#include "core/auto.h"
#include "core/clock.h"
#include "core/sys.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#ifdef LOAM_FAILPOINTS

static void set(const char *text)
{
	setenv("LOAM_FAILPOINT", text, 1);
	loam_failpoint_reset();
}

static void without_a_list_every_point_passes(void **state)
{
	struct loam_err err = { 0 };
	set("");
	assert_int_equal(loam_failpoint("a.b", &err), 0);
	assert_int_equal(loam_failpoint_short("a.b", 10), 10);
}

static void an_error_comes_at_the_counted_arrival_only(void **state)
{
	struct loam_err err = { 0 };
	set("x:error:EIO,a.b:error:ENOSPC:2");
	assert_int_equal(loam_failpoint("a.b", &err), 0);
	assert_int_equal(loam_failpoint("a.b", &err), -LOAM_E_NO_SPACE);
	loam_err_clear(&err);
	assert_int_equal(loam_failpoint("a.b", &err), 0);
	assert_int_equal(loam_failpoint("a.bc", &err), 0);
}

static void without_a_count_each_arrival_fails(void **state)
{
	set("a.b:error:13");
	for (int i = 0; i < 3; i++) {
		struct loam_err err = { 0 };
		assert_int_equal(loam_failpoint("a.b", &err), -LOAM_E_DENIED);
		assert_non_null(strstr(err.text, "a.b"));
	}
}

static void a_delay_delays_and_passes(void **state)
{
	struct loam_err err = { 0 };
	set("a.b:delay:30");
	uint64_t begin = loam_clock_ms();
	assert_int_equal(loam_failpoint("a.b", &err), 0);
	assert_true(loam_clock_ms() - begin >= 29);
}

static void short_cuts_a_count_but_never_to_nothing(void **state)
{
	set("a.b:short:3,c:short:0");
	assert_int_equal(loam_failpoint_short("a.b", 10), 3);
	assert_int_equal(loam_failpoint_short("a.b", 2), 2);
	assert_int_equal(loam_failpoint_short("c", 10), 1);
	assert_int_equal(loam_failpoint_short("c", 0), 0);
}

static void what_was_reached_is_noted_once(void **state)
{
	struct loam_err err = { 0 };
	char path[] = "/tmp/loam-unit-failpoint-XXXXXX";
	loam_auto_fd int fd = mkostemp(path, O_CLOEXEC);
	setenv("LOAM_FAILPOINT_LOG", path, 1);
	set("");
	loam_failpoint("one", &err);
	loam_failpoint("two", &err);
	loam_failpoint("one", &err);
	loam_auto_buf struct loam_buf text = LOAM_BUF(100);
	assert_int_equal(loam_path_read_all(path, &text, &err), 0);
	assert_int_equal(strncmp(loam_buf_text(&text), "one\ntwo\n", 8), 0);
	assert_null(strstr(loam_buf_text(&text) + 4, "one"));
	unlink(path);
	unsetenv("LOAM_FAILPOINT_LOG");
	set("");
}

/* Reaches point "a" in a child; returns its status. */
static int reach_in_child(const char *list)
{
	pid_t pid = fork();
	if (pid == 0) {
		struct loam_err err = { 0 };
		close(STDERR_FILENO);
		signal(SIGABRT, SIG_DFL);
		set(list);
		loam_failpoint("a", &err);
		_exit(0);
	}
	int status = 0;
	assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
	if (WIFSTOPPED(status)) {
		assert_int_equal(kill(pid, SIGCONT), 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		return -WEXITSTATUS(status) - 1; /* was paused, then ended */
	}
	return status;
}

static void kill_and_pause_do_what_they_say(void **state)
{
	int status = reach_in_child("a:kill:1");
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	assert_int_equal(reach_in_child("a:pause"), -1);
}

static void a_list_that_is_none_stops_the_program(void **state)
{
	static const char *const lists[] = {
		"a",	    "a:explode", "a:error", "a:error:EWHAT", "a:kill:0",     "a:kill:x",
		"a:delay:", ":kill",	 "a:kill,", "a:error:0",     "a:delay:1:2:3"
	};
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(lists); i++) {
		int status = reach_in_child(lists[i]);
		assert_true(WIFSIGNALED(status));
		assert_int_equal(WTERMSIG(status), SIGABRT);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_a_list_every_point_passes),
		cmocka_unit_test(an_error_comes_at_the_counted_arrival_only),
		cmocka_unit_test(without_a_count_each_arrival_fails),
		cmocka_unit_test(a_delay_delays_and_passes),
		cmocka_unit_test(short_cuts_a_count_but_never_to_nothing),
		cmocka_unit_test(what_was_reached_is_noted_once),
		cmocka_unit_test(kill_and_pause_do_what_they_say),
		cmocka_unit_test(a_list_that_is_none_stops_the_program),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

static void compiled_out_points_always_pass(void **state)
{
	struct loam_err err = { 0 };
	setenv("LOAM_FAILPOINT", "a:error:EIO", 1);
	assert_int_equal(loam_failpoint("a", &err), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(compiled_out_points_always_pass) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif
