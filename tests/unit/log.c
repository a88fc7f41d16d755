/*
 * core/log: the shape of a line, quoting, levels, the request id.
 */
#include "core/log.h"

#include "core/auto.h"
#include "core/sys.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static int caught = -1, old_err = -1, journal = -1;

static int catch_stderr(void **state)
{
	unsetenv("LOAM_DEBUG");
	journal = memfd_create("journal", MFD_CLOEXEC);
	struct stat st;
	char name[64];
	if (fstat(journal, &st) < 0)
		return -1;
	snprintf(name, sizeof(name), "%llu:%llu", (unsigned long long)st.st_dev,
		 (unsigned long long)st.st_ino);
	setenv("JOURNAL_STREAM", name, 1); /* looked at by the first line */
	caught = memfd_create("log", MFD_CLOEXEC);
	old_err = dup(STDERR_FILENO);
	return dup2(caught, STDERR_FILENO) < 0 ? -1 : 0;
}

static int give_back_stderr(void **state)
{
	dup2(old_err, STDERR_FILENO);
	close(old_err);
	close(journal);
	return close(caught);
}

/* What was logged since the last call. */
static char *take(void)
{
	struct loam_err err = { 0 };
	loam_auto_buf struct loam_buf text = LOAM_BUF(100000);
	lseek(caught, 0, SEEK_SET);
	assert_int_equal(loam_fd_read_all(caught, &text, &err), 0);
	assert_int_equal(ftruncate(caught, 0), 0);
	lseek(caught, 0, SEEK_SET);
	return loam_buf_steal(&text);
}

#define assert_logged(wanted)                        \
	do {                                         \
		loam_auto_free char *found = take(); \
		assert_string_equal(found, wanted);  \
	} while (0)

static void a_line_is_level_event_and_fields(void **state)
{
	loam_info("lfs.upload", "oid=%s bytes=%llu ms=%d", "3f2a", 5368709120ull, -3);
	assert_logged("info lfs.upload oid=3f2a bytes=5368709120 ms=-3\n");
	loam_warn("core.test");
	assert_logged("warn core.test\n");
}

static void every_kind_of_number_keeps_its_place(void **state)
{
	loam_error("t.t", "a=%zu b=%hhd c=%5.2f d=%#x e=%-4dz f=%jd g=%c h=%% i=%.*s j=%s",
		   (size_t)7, (signed char)-1, 2.5, 255u, 3, (intmax_t)-9, 'q', 2, "xyz", "end");
	assert_logged("error t.t a=7 b=-1 c= 2.50 d=0xff e=3   z f=-9 g=q h=% i=xy j=end\n");
}

static void a_value_cannot_forge_a_field_or_a_line(void **state)
{
	loam_info("t.t", "path=%s", "a b");
	assert_logged("info t.t path=\"a b\"\n");
	loam_info("t.t", "path=%s", "x\nerror forged.event");
	assert_logged("info t.t path=\"x\\nerror forged.event\"\n");
	loam_info("t.t", "path=%s x=%s", "q\"\\\x1b", "k=v");
	assert_logged("info t.t path=\"q\\\"\\\\\\x1b\" x=\"k=v\"\n");
	const char *volatile none = NULL;
	loam_info("t.t", "path=%s none=%s", "", none);
	assert_logged("info t.t path=\"\" none=(null)\n");
}

static void a_long_line_is_cut_and_still_one_line(void **state)
{
	char text[2 * LOAM_LOG_LINE_MAX];
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	loam_info("t.t", "a=%s b=%d", text, 5);
	loam_auto_free char *found = take();
	size_t bytes = strlen(found);
	assert_true(bytes <= LOAM_LOG_LINE_MAX);
	assert_string_equal(found + bytes - 4, "...\n");
	assert_int_equal(strchr(found, '\n') - found, bytes - 1);
}

static void debug_is_silent_until_it_is_asked_for(void **state)
{
	loam_debug("t.t", "a=%d", 1);
	assert_logged("");
	loam_log_set_level(LOAM_LOG_DEBUG);
	assert_true(loam_log_enabled(LOAM_LOG_DEBUG));
	loam_debug("t.t", "a=%d", 1);
	loam_log_set_level(LOAM_LOG_INFO);
	assert_logged("debug t.t a=1\n");
}

static void *log_elsewhere(void *arg)
{
	loam_info("t.other");
	return NULL;
}

static void the_request_id_belongs_to_its_thread(void **state)
{
	pthread_t thread;
	loam_log_scope("7f3");
	loam_info("t.t", "a=%d", 1);
	assert_logged("info t.t req=7f3 a=1\n");
	assert_int_equal(pthread_create(&thread, NULL, log_elsewhere, NULL), 0);
	pthread_join(thread, NULL);
	assert_logged("info t.other\n");
	loam_log_scope("0123456789012345678901234567890123456789");
	assert_int_equal(strlen(loam_log_scope_id()), 32);
	loam_log_scope(NULL);
	assert_string_equal(loam_log_scope_id(), "");
	loam_info("t.t");
	assert_logged("info t.t\n");
}

static void the_journal_is_told_the_priority_and_nobody_else(void **state)
{
	assert_string_equal(loam_log_priority(LOAM_LOG_ERROR), "");
	assert_true(dup2(journal, STDERR_FILENO) >= 0);
	loam_info("t.t", "a=%d", 1);
	loam_warn("t.t");
	assert_string_equal(loam_log_priority(LOAM_LOG_ERROR), "<3>");
	assert_true(dup2(caught, STDERR_FILENO) >= 0);
	loam_info("t.t");
	assert_logged("info t.t\n");
	char told[64] = "";
	assert_true(pread(journal, told, sizeof(told) - 1, 0) > 0);
	assert_string_equal(told, "<6>info t.t a=1\n<4>warn t.t\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_is_level_event_and_fields),
		cmocka_unit_test(every_kind_of_number_keeps_its_place),
		cmocka_unit_test(a_value_cannot_forge_a_field_or_a_line),
		cmocka_unit_test(a_long_line_is_cut_and_still_one_line),
		cmocka_unit_test(debug_is_silent_until_it_is_asked_for),
		cmocka_unit_test(the_request_id_belongs_to_its_thread),
		cmocka_unit_test(the_journal_is_told_the_priority_and_nobody_else),
	};
	return cmocka_run_group_tests(tests, catch_stderr, give_back_stderr);
}
