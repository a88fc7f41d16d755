/*
 * server/supervisor: a child that dies is started again; all end in the reverse order.
 */
#include "server/supervisor.h"

#include "core/auto.h"
#include "core/clock.h"
#include "core/sys.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/support/volume.h"

#define WAIT_MS 20000

static char dir[64];
static struct loam_supervisor supervisor;
static char *path_env;
static const char *env[2];

static int setup(void **state)
{
	snprintf(dir, sizeof(dir), "/tmp/loam-supervisor-XXXXXX");
	supervisor = (struct loam_supervisor){ 0 };
	path_env = loam_xasprintf("PATH=%s", getenv("PATH"));
	env[0] = path_env;
	return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
	loam_supervisor_stop(&supervisor, 0);
	loam_auto_free char *log = loam_path_join(dir, "log");
	unlink(log);
	rmdir(dir);
	free(path_env);
	return 0;
}

static char *log_text(void)
{
	loam_auto_free char *path = loam_path_join(dir, "log");
	loam_auto_buf struct loam_buf text = LOAM_BUF(65536);
	struct loam_err none = { 0 };
	loam_path_read_all(path, &text, &none);
	return loam_buf_steal(&text);
}

static bool log_has(const char *word)
{
	loam_auto_free char *text = log_text();
	return strstr(text, word) != NULL;
}

/* Steps until the log holds the word. */
static void step_until(const char *word)
{
	struct loam_deadline deadline = loam_deadline_in(WAIT_MS);
	while (!log_has(word)) {
		assert_int_not_equal(loam_deadline_left_ms(deadline), 0);
		loam_supervisor_step(&supervisor);
	}
}

/* A child that writes "+NAME" when it starts and "-NAME" when it is asked to end. */
static void add_child(const char *name, const char *script, char **out_script, const char *argv[4])
{
	*out_script =
		loam_xasprintf("cd %s; trap 'echo -%s >> log; exit 0' TERM; echo +%s >> log; %s",
			       dir, name, name, script);
	argv[0] = "sh";
	argv[1] = "-c";
	argv[2] = *out_script;
	argv[3] = NULL;
	assert_ok(loam_supervisor_add(&supervisor, name, argv, env, &err));
}

#define FOR_EVER "while :; do sleep 0.05; done"

static void a_child_that_dies_is_started_again_within_two_seconds(void **state)
{
	loam_auto_free char *script = NULL;
	const char *argv[4];
	add_child("one", FOR_EVER, &script, argv);
	step_until("+one");
	for (int death = 0; death < 3; death++) {
		pid_t before = supervisor.children[0].process.pid;
		assert_int_equal(kill(before, SIGKILL), 0);
		uint64_t from = loam_clock_ms();
		while (supervisor.children[0].process.pid == before ||
		       supervisor.children[0].process.pid == 0) {
			loam_supervisor_step(&supervisor);
			assert_true(loam_clock_ms() - from < WAIT_MS);
		}
		assert_true(supervisor.children[0].not_before_ms - from <= 2500);
	}
}

static void one_that_always_dies_is_given_pauses(void **state)
{
	loam_auto_free char *script = NULL;
	const char *argv[4];
	add_child("one", "exit 3", &script, argv);
	uint64_t from = loam_clock_ms();
	while (loam_clock_ms() - from < 1500)
		loam_supervisor_step(&supervisor);
	loam_auto_free char *text = log_text();
	size_t starts = 0;
	for (const char *at = text; (at = strstr(at, "+one")); at++)
		starts++;
	assert_in_range(starts, 2, 6); /* 100, 200, 400, 800 ms between */
	assert_string_equal(loam_supervisor_dying(&supervisor, 2), "one");
	assert_null(loam_supervisor_dying(&supervisor, 100));
}

static void a_dead_child_does_not_disturb_the_others(void **state)
{
	loam_auto_free char *first = NULL, *second = NULL;
	const char *argv[4], *argv_second[4];
	add_child("one", FOR_EVER, &first, argv);
	add_child("two", "exit 1", &second, argv_second);
	step_until("+two\n+two");
	assert_false(log_has("-one"));
	assert_int_equal(kill(supervisor.children[0].process.pid, 0), 0);
}

static void all_end_the_last_first(void **state)
{
	char *scripts[3] = { NULL };
	const char *argv[3][4];
	static const char *const names[] = { "one", "two", "three" };
	for (size_t i = 0; i < 3; i++) {
		add_child(names[i], FOR_EVER, &scripts[i], argv[i]);
		loam_auto_free char *word = loam_xasprintf("+%s", names[i]);
		step_until(word);
	}
	loam_supervisor_stop(&supervisor, WAIT_MS);
	loam_auto_free char *text = log_text();
	assert_string_equal(text, "+one\n+two\n+three\n-three\n-two\n-one\n");
	assert_int_equal(supervisor.count, 0);
	for (size_t i = 0; i < 3; i++)
		free(scripts[i]);
}

static void one_that_does_not_listen_is_killed(void **state)
{
	static const char *const argv[] = { "sh", "-c",
					    "trap '' TERM; while :; do sleep 0.05; done", NULL };
	assert_ok(loam_supervisor_add(&supervisor, "deaf", argv, env, &err));
	loam_supervisor_step(&supervisor);
	pid_t pid = supervisor.children[0].process.pid;
	loam_supervisor_stop(&supervisor, 200);
	assert_int_equal(kill(pid, 0), -1);
	assert_int_equal(errno, ESRCH);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_child_that_dies_is_started_again_within_two_seconds),
		TEST(one_that_always_dies_is_given_pauses),
		TEST(a_dead_child_does_not_disturb_the_others),
		TEST(all_end_the_last_first),
		TEST(one_that_does_not_listen_is_killed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
