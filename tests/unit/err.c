/*
 * core/err: the table, the values and what is asserted.
 */
#include "core/err.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static void a_failure_sets_code_and_text(void **state)
{
	struct loam_err err = { 0 };
	assert_int_equal(loam_fail(&err, LOAM_E_INVALID, "bad %s", "name"), -LOAM_E_INVALID);
	assert_int_equal(err.code, LOAM_E_INVALID);
	assert_string_equal(err.text, "bad name");
}

static void an_errno_keeps_its_meaning(void **state)
{
	static const struct {
		int posix;
		enum loam_code code;
	} cases[] = { { ENOENT, LOAM_E_NOT_FOUND },	  { EACCES, LOAM_E_DENIED },
		      { ENOSPC, LOAM_E_NO_SPACE },	  { EIO, LOAM_E_IO },
		      { ECONNRESET, LOAM_E_UNAVAILABLE }, { EMFILE, LOAM_E_BUSY },
		      { EXDEV, LOAM_E_CROSS_DEVICE },	  { EDOM, LOAM_E_IO } };
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(loam_code_from_errno(cases[i].posix), cases[i].code);

	struct loam_err err = { 0 };
	errno = ENOENT;
	assert_int_equal(loam_fail_errno(&err, "open %s", "x"), -LOAM_E_NOT_FOUND);
	assert_string_equal(err.text, "open x: No such file or directory");
}

static void context_prefixes_and_keeps_the_code(void **state)
{
	struct loam_err err = { 0 };
	loam_fail(&err, LOAM_E_CORRUPT, "block 3");
	assert_int_equal(loam_context(&err, "object %d", 7), -LOAM_E_CORRUPT);
	assert_string_equal(err.text, "object 7: block 3");
}

static void a_long_text_is_cut_not_overrun(void **state)
{
	struct {
		struct loam_err err;
		char guard[8];
	} box = { .guard = "guarded" };
	char text[2 * LOAM_ERR_TEXT_MAX];
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	loam_fail(&box.err, LOAM_E_IO, "%s", text);
	loam_context(&box.err, "%s", text);
	assert_int_equal(strlen(box.err.text), LOAM_ERR_TEXT_MAX - 1);
	assert_string_equal(box.guard, "guarded");
}

static void every_code_has_errno_status_and_words(void **state)
{
	for (int code = 1; code < LOAM_E_COUNT; code++) {
		assert_true(loam_code_errno(code) > 0);
		assert_int_equal(loam_code_errno(code), loam_code_errno(-code));
		assert_in_range(loam_code_http(code), 400, 599);
		assert_true(strlen(loam_code_name(code)) > 0);
		assert_true(strlen(loam_code_meaning(code)) > 0);
	}
	assert_true(loam_code_may_retry(LOAM_E_CONFLICT));
	assert_false(loam_code_may_retry(LOAM_E_CORRUPT));
}

/* In a child: what is asserted ends the program. */
static void setting_an_error_twice_aborts(void **state)
{
	pid_t pid = fork();
	if (pid == 0) {
		close(STDERR_FILENO);
		signal(SIGABRT, SIG_DFL);
		struct loam_err err = { 0 };
		loam_fail(&err, LOAM_E_IO, "first");
		loam_fail(&err, LOAM_E_IO, "second");
		_exit(0);
	}
	int status = 0;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGABRT);
}

static void a_cleared_error_can_be_used_again(void **state)
{
	struct loam_err err = { 0 };
	loam_fail(&err, LOAM_E_IO, "first");
	loam_err_clear(&err);
	assert_int_equal(loam_fail(&err, LOAM_E_BUSY, "second"), -LOAM_E_BUSY);
	assert_string_equal(err.text, "second");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_failure_sets_code_and_text),
		cmocka_unit_test(an_errno_keeps_its_meaning),
		cmocka_unit_test(context_prefixes_and_keeps_the_code),
		cmocka_unit_test(a_long_text_is_cut_not_overrun),
		cmocka_unit_test(every_code_has_errno_status_and_words),
		cmocka_unit_test(setting_an_error_twice_aborts),
		cmocka_unit_test(a_cleared_error_can_be_used_again),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
