/*
 * The audit log: what a line holds, whose it is, and that no line is lost when files turn.
 */
#include "auth/audit.h"
#include "auth/audit_file.h"
#include "core/auto.h"
#include "core/json.h"
#include "core/sys.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#define TEXT_MAX (64u << 20)

static char dir[64], log_path[96];

static int setup(void **state)
{
	snprintf(dir, sizeof(dir), "/tmp/loam-audit-XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(log_path, sizeof(log_path), "%s/audit.log", dir);
	return 0;
}

static int teardown(void **state)
{
	loam_audit_close();
	loam_audit_end();
	for (int n = 0; n < 10; n++) {
		loam_auto_free char *path =
			n ? loam_xasprintf("%s.%d", log_path, n) : loam_xstrdup(log_path);
		unlink(path);
	}
	assert_int_equal(rmdir(dir), 0);
	return 0;
}

static void open_log(enum loam_audit_door door)
{
	struct loam_config config = { .audit_path = log_path, .audit_max_mib = 1, .audit_keep = 3 };
	struct loam_err err = { 0 };
	assert_int_equal(loam_audit_open(&config, door, &err), 0);
}

/* The n-th line of a file, as JSON. */
static json_t *line_at(const char *path, int n)
{
	loam_auto_buf struct loam_buf text = LOAM_BUF(TEXT_MAX);
	struct loam_err err = { 0 };
	assert_int_equal(loam_path_read_all(path, &text, &err), 0);
	const char *at = loam_buf_text(&text);
	for (; n > 0; n--) {
		at = strchr(at, '\n');
		assert_non_null(at);
		at++;
	}
	json_t *line = NULL;
	assert_int_equal(loam_json_parse(at, strcspn(at, "\n"), &line, &err), 0);
	return line;
}

static void assert_text(const json_t *line, const char *name, const char *wanted)
{
	const char *text = json_string_value(json_object_get(line, name));
	if (!wanted)
		assert_null(text);
	else
		assert_string_equal(text ? text : "(none)", wanted);
}

static struct loam_principal alice(void)
{
	struct loam_principal who = { .kind = LOAM_TOKEN, .uid = 20001 };
	snprintf(who.user, sizeof(who.user), "alice");
	snprintf(who.token_id, sizeof(who.token_id), "tok1");
	return who;
}

static void a_change_names_who_did_what_where(void **state)
{
	struct loam_repo repo = { .kind = LOAM_KIND_MODELS, .ns = "qwen", .name = "tiny" };
	struct loam_principal who = alice();
	struct stat st;
	open_log(LOAM_DOOR_SERVER);
	loam_audit_begin(LOAM_DOOR_API, "192.0.2.7", "00ff");
	loam_audit_who(&who, NULL);
	assert_int_equal(loam_audit(&(struct loam_audit_entry){ .action = "grant",
								.repo = &repo,
								.account = "bob",
								.detail = "read" },
				    0, NULL),
			 0);
	assert_int_equal(loam_audit_count(), 1);
	loam_auto_json json_t *line = line_at(log_path, 0);
	assert_text(line, "door", "api");
	assert_text(line, "action", "grant");
	assert_text(line, "result", "ok");
	assert_text(line, "user", "alice");
	assert_text(line, "token", "tok1");
	assert_text(line, "from", "192.0.2.7");
	assert_text(line, "repo", "models/qwen/tiny");
	assert_text(line, "account", "bob");
	assert_text(line, "detail", "read");
	assert_text(line, "request", "00ff");
	assert_text(line, "reason", NULL);
	assert_int_equal(json_integer_value(json_object_get(line, "uid")), 20001);
	const char *time = json_string_value(json_object_get(line, "time"));
	assert_int_equal(strlen(time), strlen("2026-11-26T10:00:00.123Z"));
	assert_int_equal(time[19], '.');
	assert_int_equal(stat(log_path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
}

static void a_refusal_names_its_reason_and_keeps_the_error(void **state)
{
	struct loam_err err = { 0 };
	open_log(LOAM_DOOR_CLI);
	int rc = loam_fail(&err, LOAM_E_DENIED, "no \"way\"\xff");
	assert_int_equal(loam_audit(&(struct loam_audit_entry){ .action = "x", .status = 403 }, rc,
				    &err),
			 -LOAM_E_DENIED);
	assert_int_equal(err.code, LOAM_E_DENIED);
	loam_auto_json json_t *line = line_at(log_path, 0);
	assert_text(line, "door", "cli");
	assert_text(line, "result", "DENIED");
	assert_text(line, "reason", "no \"way\"?");
	assert_text(line, "user", NULL);
	assert_true(json_is_integer(json_object_get(line, "host_uid")));
	assert_int_equal(json_integer_value(json_object_get(line, "status")), 403);
}

static void a_new_attempt_takes_the_principal_back(void **state)
{
	struct loam_principal who = alice();
	open_log(LOAM_DOOR_SERVER);
	loam_audit_begin(LOAM_DOOR_GIT_HTTP, "::1", "1");
	loam_audit_who(&who, NULL);
	loam_audit_who(NULL, NULL);
	loam_audit(&(struct loam_audit_entry){ .action = "x" }, 0, NULL);
	loam_auto_json json_t *line = line_at(log_path, 0);
	assert_text(line, "user", NULL);
	assert_text(line, "token", NULL);
	assert_null(json_object_get(line, "uid"));
}

static void text_from_outside_makes_no_second_line_or_member(void **state)
{
	char long_text[2000];
	memset(long_text, '\\', sizeof(long_text) - 1);
	long_text[sizeof(long_text) - 1] = '\0';
	open_log(LOAM_DOOR_SERVER);
	const struct loam_audit_entry entry = {
		.action = "x",
		.ref = "refs/heads/a\n{\"result\":\"ok\"}",
		.detail = "\x1b[2J\",\"user\":\"root",
		.old_id = long_text,
		.new_id = long_text,
		.account = long_text,
		.group = long_text,
		.oid = long_text,
	};
	loam_audit(&entry, 0, NULL);
	loam_audit(&(struct loam_audit_entry){ .action = "second" }, 0, NULL);
	loam_auto_json json_t *line = line_at(log_path, 0), *second = line_at(log_path, 1);
	assert_text(line, "ref", "refs/heads/a?{\"result\":\"ok\"}");
	assert_text(line, "user", NULL);
	assert_text(second, "action", "second");
}

static void without_a_log_nothing_happens(void **state)
{
	struct loam_config off = { .audit_path = (char *)"off" };
	struct loam_err err = { 0 };
	assert_int_equal(loam_audit_open(&off, LOAM_DOOR_CLI, &err), 0);
	assert_int_equal(loam_audit(&(struct loam_audit_entry){ .action = "x" }, 0, NULL), 0);
	assert_int_equal(access(log_path, F_OK), -1);
	struct loam_config nowhere = { .audit_path = (char *)"/nowhere/at/all/audit.log" };
	assert_int_equal(loam_audit_open(&nowhere, LOAM_DOOR_CLI, &err), -LOAM_E_NOT_FOUND);
}

static void a_moved_file_is_opened_anew(void **state)
{
	loam_auto_free char *moved = loam_xasprintf("%s.9", log_path);
	open_log(LOAM_DOOR_SERVER);
	loam_audit(&(struct loam_audit_entry){ .action = "first" }, 0, NULL);
	assert_int_equal(rename(log_path, moved), 0);
	loam_audit(&(struct loam_audit_entry){ .action = "second" }, 0, NULL);
	loam_audit_reopen();
	loam_audit(&(struct loam_audit_entry){ .action = "third" }, 0, NULL);
	loam_auto_json json_t *line = line_at(moved, 0), *second = line_at(log_path, 0);
	assert_text(line, "action", "first");
	assert_text(second, "action", "second");
	loam_auto_json json_t *third = line_at(log_path, 1);
	assert_text(third, "action", "third");
}

/* ---- turning --------------------------------------------------------------------------------- */

static size_t count_numbers(const char *path, bool *seen, size_t max)
{
	loam_auto_buf struct loam_buf text = LOAM_BUF(TEXT_MAX);
	struct loam_err err = { 0 };
	if (loam_path_read_all(path, &text, &err) < 0)
		return 0;
	size_t count = 0;
	char *end = NULL;
	for (const char *at = loam_buf_text(&text); *at; at++) {
		unsigned long n = strtoul(at, &end, 10);
		assert_true(*end == ' ' && n < max);
		assert_false(seen[n]);
		seen[n] = true;
		count++;
		at = strchr(end, '\n');
		assert_non_null(at);
	}
	return count;
}

static void append_numbers(unsigned from, unsigned count)
{
	struct loam_audit_file *file = loam_audit_file_new(log_path, 20000, 8);
	char line[64];
	for (unsigned i = from; i < from + count; i++) {
		struct loam_err err = { 0 };
		int bytes = snprintf(line, sizeof(line), "%u ................\n", i);
		assert_int_equal(loam_audit_file_add(file, line, (size_t)bytes, &err), 0);
	}
	loam_audit_file_free(file);
}

static void four_processes_turn_the_file_and_lose_no_line(void **state)
{
	enum { PROCESSES = 4, LINES = 1000 };
	pid_t pids[PROCESSES];
	for (unsigned p = 0; p < PROCESSES; p++) {
		pids[p] = fork();
		if (pids[p] == 0) {
			append_numbers(p * LINES, LINES);
			_exit(0);
		}
	}
	for (unsigned p = 0; p < PROCESSES; p++) {
		int status;
		assert_int_equal(waitpid(pids[p], &status, 0), pids[p]);
		assert_int_equal(status, 0);
	}
	bool seen[PROCESSES * LINES] = { false };
	size_t total = 0, files = 0;
	for (int n = 0; n < 9; n++) {
		loam_auto_free char *path =
			n ? loam_xasprintf("%s.%d", log_path, n) : loam_xstrdup(log_path);
		size_t count = count_numbers(path, seen, PROCESSES * LINES);
		total += count;
		files += count > 0;
	}
	assert_int_equal(total, PROCESSES * LINES);
	assert_true(files >= 4);
}

static void only_so_many_old_files_are_kept(void **state)
{
	struct loam_audit_file *file = loam_audit_file_new(log_path, 10, 2);
	for (int i = 0; i < 6; i++) {
		struct loam_err err = { 0 };
		char line[] = "0 12345678\n";
		line[0] = (char)('0' + i);
		assert_int_equal(loam_audit_file_add(file, line, strlen(line), &err), 0);
	}
	loam_audit_file_free(file);
	static const char wanted[] = "543";
	for (int n = 0; n < 4; n++) {
		loam_auto_free char *path =
			n ? loam_xasprintf("%s.%d", log_path, n) : loam_xstrdup(log_path);
		loam_auto_buf struct loam_buf text = LOAM_BUF(TEXT_MAX);
		struct loam_err err = { 0 };
		int rc = loam_path_read_all(path, &text, &err);
		assert_int_equal(rc, n < 3 ? 0 : -LOAM_E_NOT_FOUND);
		if (n < 3)
			assert_int_equal(loam_buf_text(&text)[0], wanted[n]);
	}
}

/* A file size limit is the nearest thing to a full disk that a test can have. */
static void a_full_disk_is_counted_and_told_when_it_is_over(void **state)
{
	struct rlimit old, small;
	getrlimit(RLIMIT_FSIZE, &old);
	signal(SIGXFSZ, SIG_IGN);
	open_log(LOAM_DOOR_SERVER);
	loam_audit(&(struct loam_audit_entry){ .action = "before" }, 0, NULL);
	struct stat st;
	assert_int_equal(stat(log_path, &st), 0);
	small = (struct rlimit){ .rlim_cur = (rlim_t)st.st_size + 10, .rlim_max = old.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	int rc = loam_audit(&(struct loam_audit_entry){ .action = "torn" }, 0, NULL);
	loam_audit(&(struct loam_audit_entry){ .action = "lost" }, 0, NULL);
	setrlimit(RLIMIT_FSIZE, &old);
	assert_int_equal(rc, 0);
	assert_int_equal(loam_audit_dropped(), 2);
	loam_audit(&(struct loam_audit_entry){ .action = "after" }, 0, NULL);
	loam_auto_json json_t *told = line_at(log_path, 2), *after = line_at(log_path, 3);
	assert_text(told, "action", "audit.dropped");
	assert_int_equal(json_integer_value(json_object_get(told, "count")), 2);
	assert_text(after, "action", "after");
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(a_change_names_who_did_what_where),
		CASE(a_refusal_names_its_reason_and_keeps_the_error),
		CASE(a_new_attempt_takes_the_principal_back),
		CASE(text_from_outside_makes_no_second_line_or_member),
		CASE(without_a_log_nothing_happens),
		CASE(a_moved_file_is_opened_anew),
		CASE(four_processes_turn_the_file_and_lose_no_line),
		CASE(only_so_many_old_files_are_kept),
		CASE(a_full_disk_is_counted_and_told_when_it_is_over),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
