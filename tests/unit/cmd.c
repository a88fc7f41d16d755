/*
 * core/cmd: finding verbs, parsing options strictly, help.
 */
#include "core/cmd.h"

#include "core/auto.h"
#include "core/sys.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

struct options {
	bool debug;
	bool mount;
	const char *listen;
	uint64_t days;
	struct loam_opt_list with;
};

static const struct loam_opt options[] = {
	LOAM_OPT(struct options, debug, "debug", 'd', LOAM_OPT_FLAG, NULL, "say more"),
	LOAM_OPT(struct options, mount, "mount", 0, LOAM_OPT_FLAG, NULL, "mount it"),
	LOAM_OPT(struct options, listen, "listen", 'l', LOAM_OPT_TEXT, "ADDR:PORT", "where"),
	LOAM_OPT(struct options, days, "days", 0, LOAM_OPT_NUMBER, "N", "how long", .min = 1,
		 .max = 365),
	LOAM_OPT(struct options, with, "with", 0, LOAM_OPT_LIST, "WHAT", "again and again"),
	LOAM_OPT_END,
};

static struct options seen;
static int seen_argc;
static char seen_args[4][32];
static const char *seen_verb;

static void record(const char *verb, const void *opts, int argc, char **argv)
{
	seen_verb = verb;
	if (opts)
		memcpy(&seen, opts, sizeof(seen));
	seen_argc = argc;
	for (int i = 0; i < argc && i < 4; i++)
		snprintf(seen_args[i], sizeof(seen_args[i]), "%s", argv[i]);
	assert_null(argv[argc]);
}

static void init_up(void *opts)
{
	((struct options *)opts)->mount = true;
	((struct options *)opts)->days = 7;
}

static int run_up(const void *opts, int argc, char **argv)
{
	record("up", opts, argc, argv);
	return 0;
}

static int run_user(const void *opts, int argc, char **argv)
{
	record("user", NULL, argc, argv);
	return 0;
}

static int run_user_add(const void *opts, int argc, char **argv)
{
	record("user add", NULL, argc, argv);
	struct loam_err err = { 0 };
	loam_fail(&err, LOAM_E_EXISTS, "alice is there");
	return loam_cmd_failed(&err);
}

static const struct loam_cmd cmd_up = {
	.name = "up",
	.usage = "[options] [DIR]",
	.summary = "start everything",
	.details = "It ends with Ctrl-C.",
	.options = options,
	.options_bytes = sizeof(struct options),
	.args_max = 2,
	.init = init_up,
	.run = run_up,
};
static const struct loam_cmd cmd_user = {
	.name = "user", .usage = "NAME", .summary = "about one", .args_max = 1, .run = run_user
};
static const struct loam_cmd cmd_user_add = { .name = "user add",
					      .usage = "NAME",
					      .summary = "make one",
					      .args_min = 1,
					      .args_max = 1,
					      .run = run_user_add };
static const struct loam_cmd cmd_repo_list = {
	.name = "repo list", .usage = "", .summary = "list them", .run = run_user
};
static const struct loam_cmd *const table[] = { &cmd_up, &cmd_user, &cmd_user_add, &cmd_repo_list,
						NULL };

/* Runs with stdout and stderr caught in a file of memory. */
static int call(struct loam_buf *out, const char *const words[])
{
	struct loam_err err = { 0 };
	char *argv[16] = { (char *)(uintptr_t) "loam" };
	int argc = 1;
	for (; words[argc - 1]; argc++)
		argv[argc] = (char *)(uintptr_t)words[argc - 1];
	loam_auto_fd int caught = memfd_create("output", MFD_CLOEXEC);
	loam_auto_fd int old_out = dup(STDOUT_FILENO);
	loam_auto_fd int old_err = dup(STDERR_FILENO);
	fflush(stdout);
	dup2(caught, STDOUT_FILENO);
	dup2(caught, STDERR_FILENO);
	seen_verb = NULL;
	int status = loam_cmd_main(table, argc, argv);
	fflush(stdout);
	dup2(old_out, STDOUT_FILENO);
	dup2(old_err, STDERR_FILENO);
	lseek(caught, 0, SEEK_SET);
	loam_buf_clear(out);
	assert_int_equal(loam_fd_read_all(caught, out, &err), 0);
	return status;
}
#define CALL(out, ...) call((out), (const char *const[]){ __VA_ARGS__ __VA_OPT__(, ) NULL })

static void options_stand_anywhere_and_take_both_forms(void **state)
{
	loam_auto_buf struct loam_buf out = LOAM_BUF(10000);
	assert_int_equal(CALL(&out, "up", "a", "--listen=x:1", "-d", "--days", "30", "b"), 0);
	assert_string_equal(seen_verb, "up");
	assert_true(seen.debug);
	assert_true(seen.mount);
	assert_string_equal(seen.listen, "x:1");
	assert_int_equal(seen.days, 30);
	assert_int_equal(seen_argc, 2);
	assert_string_equal(seen_args[1], "b");
}

static void a_list_takes_its_option_again_and_again_up_to_its_limit(void **state)
{
	loam_auto_buf struct loam_buf out = LOAM_BUF(10000);
	assert_int_equal(CALL(&out, "up", "--with", "a", "x", "--with=b", "--with", "a"), 0);
	assert_int_equal(seen.with.count, 3);
	assert_string_equal(seen.with.at[0], "a");
	assert_string_equal(seen.with.at[1], "b");
	assert_string_equal(seen.with.at[2], "a");
	assert_int_equal(seen_argc, 1);

	char *words[LOAM_OPT_LIST_MAX + 4] = { (char *)(uintptr_t) "loam",
					       (char *)(uintptr_t) "up" };
	for (int i = 0; i <= LOAM_OPT_LIST_MAX; i++)
		words[2 + i] = (char *)(uintptr_t) "--with=a";
	seen_verb = NULL;
	assert_int_equal(loam_cmd_main(table, LOAM_OPT_LIST_MAX + 3, words), 2);
	assert_null(seen_verb);
	assert_int_equal(loam_cmd_main(table, LOAM_OPT_LIST_MAX + 2, words), 0);
	assert_int_equal(seen.with.count, LOAM_OPT_LIST_MAX);
}

static void defaults_hold_and_flags_can_be_negated(void **state)
{
	loam_auto_buf struct loam_buf out = LOAM_BUF(10000);
	assert_int_equal(CALL(&out, "up", "--no-mount"), 0);
	assert_false(seen.mount);
	assert_int_equal(seen.days, 7);
	assert_null(seen.listen);
}

static void behind_two_dashes_everything_is_an_argument(void **state)
{
	loam_auto_buf struct loam_buf out = LOAM_BUF(10000);
	assert_int_equal(CALL(&out, "up", "-d", "--", "--listen", "-"), 0);
	assert_int_equal(seen_argc, 2);
	assert_string_equal(seen_args[0], "--listen");
	assert_int_equal(CALL(&out, "up", "-"), 0);
	assert_string_equal(seen_args[0], "-");
}

static void the_longest_matching_words_win(void **state)
{
	loam_auto_buf struct loam_buf out = LOAM_BUF(10000);
	assert_int_equal(CALL(&out, "user", "alice"), 0);
	assert_string_equal(seen_verb, "user");
	assert_int_equal(CALL(&out, "user", "add", "alice"), 1);
	assert_string_equal(seen_verb, "user add");
	assert_string_equal(seen_args[0], "alice");
	assert_string_equal(loam_buf_text(&out), "loam user add: alice is there\n");
}

static void wrong_usage_ends_with_2_and_runs_nothing(void **state)
{
	static const char *const cases[][4] = {
		{ "up", "--unknown" },
		{ "up", "-x" },
		{ "up", "--listen" },
		{ "up", "--days", "0" },
		{ "up", "--days", "366" },
		{ "up", "--days", "1e2" },
		{ "up", "--days", "-1" },
		{ "up", "--days", "+1" },
		{ "up", "--days", " 1" },
		{ "up", "--days=" },
		{ "up", "--debug=yes" },
		{ "up", "--no-listen" },
		{ "up", "--no-days" },
		{ "up", "a", "b", "c" },
		{ "user", "add" },
		{ "up", "--days", "99999999999999999999" },
		{ "nonsense" },
		{ "repo" },
		{ "" },
		{ "up", "---" },
		{ "use" },
		{ "up",
		  "--"
		  "day",
		  "5" },
	};
	loam_auto_buf struct loam_buf out = LOAM_BUF(10000);
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(cases); i++) {
		const char *words[5] = { cases[i][0], cases[i][1], cases[i][2], cases[i][3], NULL };
		assert_int_equal(call(&out, words), 2);
		assert_null(seen_verb);
		assert_non_null(strstr(loam_buf_text(&out), "usage: loam"));
	}
	assert_int_equal(call(&out, (const char *const[]){ NULL }), 2);
}

static void help_shows_every_option_and_succeeds(void **state)
{
	loam_auto_buf struct loam_buf out = LOAM_BUF(10000);
	assert_int_equal(CALL(&out, "up", "--days", "3", "--help"), 0);
	assert_null(seen_verb);
	static const char *const parts[] = { "usage: loam up [options] [DIR]\n",
					     "start everything",
					     "-d, --debug",
					     "--listen ADDR:PORT",
					     "(1 to 365)",
					     "It ends with Ctrl-C." };
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(parts); i++)
		assert_non_null(strstr(loam_buf_text(&out), parts[i]));
	assert_int_equal(CALL(&out, "--help"), 0);
	assert_non_null(strstr(loam_buf_text(&out), "user add"));
	assert_int_equal(CALL(&out, "repo", "--help"), 0);
	assert_non_null(strstr(loam_buf_text(&out), "list them"));
	assert_null(strstr(loam_buf_text(&out), "start everything"));
}

static void numbers_reach_their_ends_exactly(void **state)
{
	struct loam_err err = { 0 };
	uint64_t value = 0;
	assert_int_equal(loam_parse_u64("18446744073709551615", 0, UINT64_MAX, &value, &err), 0);
	assert_true(value == UINT64_MAX);
	assert_int_equal(loam_parse_u64("18446744073709551616", 0, UINT64_MAX, &value, &err),
			 -LOAM_E_INVALID);
	loam_err_clear(&err);
	/* Would wrap around to 4. */
	assert_int_equal(loam_parse_u64("18446744073709551620", 0, UINT64_MAX, &value, &err),
			 -LOAM_E_INVALID);
	assert_true(value == UINT64_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(options_stand_anywhere_and_take_both_forms),
		cmocka_unit_test(a_list_takes_its_option_again_and_again_up_to_its_limit),
		cmocka_unit_test(defaults_hold_and_flags_can_be_negated),
		cmocka_unit_test(behind_two_dashes_everything_is_an_argument),
		cmocka_unit_test(the_longest_matching_words_win),
		cmocka_unit_test(wrong_usage_ends_with_2_and_runs_nothing),
		cmocka_unit_test(help_shows_every_option_and_succeeds),
		cmocka_unit_test(numbers_reach_their_ends_exactly),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
