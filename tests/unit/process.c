/*
 * core/process: what a child gets, how it ends, what is gathered.
 */
#include "core/process.h"

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

#define LONG_MS 20000

static struct loam_process_spec shell(const char *const argv[])
{
	static const char *const env[] = { "PATH=/usr/bin:/bin", NULL };
	return (struct loam_process_spec){
		.argv = argv, .env = env, .stdin_fd = -1, .stdout_fd = -1, .stderr_fd = -1
	};
}
#define SH(script) ((const char *const[]){ "sh", "-c", (script), NULL })

static void input_is_fed_and_output_gathered(void **state)
{
	struct loam_err err = { 0 };
	loam_auto_buf struct loam_buf out = LOAM_BUF(4u << 20);
	loam_auto_free char *input = loam_xcalloc(1, 1u << 20);
	memset(input, 'x', 1u << 20);
	struct loam_process_spec spec = shell((const char *const[]){ "cat", NULL });
	assert_int_equal(loam_process_run(&spec, input, 1u << 20, &out, LONG_MS, &err), 0);
	assert_int_equal(out.bytes, 1u << 20);
	assert_memory_equal(out.data, input, out.bytes);
}

static void a_child_that_fails_tells_its_first_line(void **state)
{
	struct loam_err err = { 0 };
	struct loam_process_spec spec = shell(SH("echo first >&2; echo second >&2; exit 3"));
	assert_int_equal(loam_process_run(&spec, NULL, 0, NULL, LONG_MS, &err), -LOAM_E_IO);
	assert_non_null(strstr(err.text, "ended with 3: first"));
	assert_null(strstr(err.text, "second"));
}

static void a_missing_program_is_not_found(void **state)
{
	struct loam_err err = { 0 };
	struct loam_process_spec spec = shell((const char *const[]){ "no-such-program", NULL });
	struct loam_process process = { .pid = 77 };
	assert_int_equal(loam_process_start(&spec, &process, &err), -LOAM_E_NOT_FOUND);
	assert_int_equal(process.pid, 77);
}

static void a_child_gets_three_descriptors_and_the_given_environment(void **state)
{
	struct loam_err err = { 0 };
	loam_auto_buf struct loam_buf out = LOAM_BUF(4096);
	loam_auto_fd int leaky = open("/dev/null", O_RDONLY); /* no O_CLOEXEC on purpose */
	static const char *const env[] = { "ONLY=this", NULL };
	struct loam_process_spec spec =
		shell(SH("set -- /proc/self/fd/*; echo $# $ONLY \"${HOME-no home}\"; pwd"));
	setenv("HOME", "/leaked", 1);
	spec.env = env;
	spec.dir = "/usr";
	assert_int_equal(loam_process_run(&spec, NULL, 0, &out, LONG_MS, &err), 0);
	/* 0, 1, 2 and the descriptor with which the shell reads the directory */
	assert_string_equal(loam_buf_text(&out), "4 this no home\n/usr\n");
}

static void descriptors_may_be_given_crosswise(void **state)
{
	struct loam_err err = { 0 };
	int ends[2];
	assert_int_equal(pipe(ends), 0);
	struct loam_process_spec spec = shell(SH("echo out; echo err >&2"));
	struct loam_process process;
	spec.stdout_fd = ends[1];
	spec.stderr_fd = ends[1];
	assert_int_equal(loam_process_start(&spec, &process, &err), 0);
	close(ends[1]);
	loam_auto_buf struct loam_buf out = LOAM_BUF(100);
	assert_int_equal(loam_fd_read_all(ends[0], &out, &err), 0);
	close(ends[0]);
	assert_string_equal(loam_buf_text(&out), "out\nerr\n");
	int status = -1;
	assert_int_equal(loam_process_wait(&process, UINT64_MAX, &status, &err), 1);
	assert_int_equal(status, 0);
	assert_int_equal(process.pid, 0);
}

static void waiting_ends_with_its_time(void **state)
{
	struct loam_err err = { 0 };
	struct loam_process_spec spec = shell((const char *const[]){ "sleep", "60", NULL });
	struct loam_process process;
	int status = 0;
	assert_int_equal(loam_process_start(&spec, &process, &err), 0);
	assert_int_equal(loam_process_wait(&process, 30, &status, &err), 0);
	assert_true(process.pid > 0);
	loam_process_stop(&process, 5000);
	assert_int_equal(process.pid, 0);
}

static void a_child_that_ignores_the_polite_signal_is_killed(void **state)
{
	struct loam_err err = { 0 };
	struct loam_process_spec spec =
		shell(SH("trap '' TERM; echo ready; while :; do sleep 1; done"));
	spec.stdout_fd = LOAM_PIPE;
	spec.new_group = true;
	struct loam_process process;
	char ready;
	assert_int_equal(loam_process_start(&spec, &process, &err), 0);
	assert_int_equal(read(process.stdout_fd, &ready, 1), 1);
	pid_t pid = process.pid;
	loam_process_stop(&process, 50);
	assert_int_equal(process.pid, 0);
	assert_int_equal(process.stdout_fd, -1);
	assert_int_equal(kill(pid, 0), -1);
}

static void stopping_a_group_reaches_the_grandchildren(void **state)
{
	struct loam_err err = { 0 };
	int ends[2];
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	struct loam_process_spec spec = shell(SH("(trap '' TERM; echo x; sleep 60) & wait"));
	spec.stdout_fd = ends[1];
	spec.new_group = true;
	struct loam_process process;
	char byte;
	assert_int_equal(loam_process_start(&spec, &process, &err), 0);
	close(ends[1]);
	assert_int_equal(read(ends[0], &byte, 1), 1);
	loam_process_stop(&process, 100);
	/* The end of the pipe comes when its last holder, the grandchild, is gone. */
	while (read(ends[0], &byte, 1) > 0)
		;
	close(ends[0]);
}

static void a_run_that_takes_too_long_is_stopped(void **state)
{
	struct loam_err err = { 0 };
	struct loam_process_spec spec = shell((const char *const[]){ "sleep", "60", NULL });
	uint64_t begin = loam_clock_ms();
	assert_int_equal(loam_process_run(&spec, NULL, 0, NULL, 50, &err), -LOAM_E_UNAVAILABLE);
	assert_true(loam_clock_ms() - begin < LONG_MS);
}

static void too_much_output_is_refused(void **state)
{
	struct loam_err err = { 0 };
	loam_auto_buf struct loam_buf out = LOAM_BUF(1000);
	struct loam_process_spec spec = shell((const char *const[]){ "yes", NULL });
	assert_int_equal(loam_process_run(&spec, NULL, 0, &out, LONG_MS, &err), -LOAM_E_TOO_LARGE);
}

static void a_child_that_does_not_read_does_not_kill_us(void **state)
{
	struct loam_err err = { 0 };
	loam_auto_free char *input = loam_xcalloc(1, 1u << 20);
	struct loam_process_spec spec = shell((const char *const[]){ "true", NULL });
	signal(SIGPIPE, SIG_DFL);
	assert_int_equal(loam_process_run(&spec, input, 1u << 20, NULL, LONG_MS, &err), 0);
}

static void a_grandchild_with_our_pipes_does_not_hold_us_up(void **state)
{
	struct loam_err err = { 0 };
	loam_auto_buf struct loam_buf out = LOAM_BUF(1000);
	struct loam_process_spec spec = shell(SH("sleep 60 & echo done"));
	uint64_t begin = loam_clock_ms();
	spec.new_group = true;
	assert_int_equal(loam_process_run(&spec, NULL, 0, &out, LONG_MS, &err), 0);
	assert_string_equal(loam_buf_text(&out), "done\n");
	assert_true(loam_clock_ms() - begin < LONG_MS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(input_is_fed_and_output_gathered),
		cmocka_unit_test(a_child_that_fails_tells_its_first_line),
		cmocka_unit_test(a_missing_program_is_not_found),
		cmocka_unit_test(a_child_gets_three_descriptors_and_the_given_environment),
		cmocka_unit_test(descriptors_may_be_given_crosswise),
		cmocka_unit_test(waiting_ends_with_its_time),
		cmocka_unit_test(a_child_that_ignores_the_polite_signal_is_killed),
		cmocka_unit_test(stopping_a_group_reaches_the_grandchildren),
		cmocka_unit_test(a_run_that_takes_too_long_is_stopped),
		cmocka_unit_test(too_much_output_is_refused),
		cmocka_unit_test(a_child_that_does_not_read_does_not_kill_us),
		cmocka_unit_test(a_grandchild_with_our_pipes_does_not_hold_us_up),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
