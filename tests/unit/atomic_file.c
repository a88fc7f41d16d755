/*
 * core/atomic_file: the old file or the whole new one, whatever fails.
 */
#include "core/atomic_file.h"

#include "core/auto.h"
#include "core/sys.h"

#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/support/failpoint.h"

static char dir[] = "/tmp/loam-unit-atomic-XXXXXX";
static char *path;

static int make_dir(void **state)
{
	if (!mkdtemp(dir))
		return -1;
	path = loam_path_join(dir, "target");
	return 0;
}

/* How many names the directory holds; those that are no target are removed if asked. */
static int count_names(bool remove_temps)
{
	DIR *stream = opendir(dir);
	int count = 0;
	for (struct dirent *entry = readdir(stream); entry; entry = readdir(stream)) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		count++;
		if (remove_temps && strcmp(entry->d_name, "target") != 0)
			unlinkat(dirfd(stream), entry->d_name, 0);
	}
	closedir(stream);
	return count;
}

static int remove_dir(void **state)
{
	unlink(path);
	free(path);
	return rmdir(dir);
}

static void put_old(void)
{
	struct loam_err err = { 0 };
	assert_int_equal(loam_atomic_file_put(path, 0600, "old", 3, &err), 0);
}

static void assert_content(const char *text)
{
	struct loam_err err = { 0 };
	loam_auto_buf struct loam_buf found = LOAM_BUF(100);
	assert_int_equal(loam_path_read_all(path, &found, &err), 0);
	assert_string_equal(loam_buf_text(&found), text);
}

static void a_put_replaces_the_whole_file_and_sets_its_mode(void **state)
{
	struct loam_err err = { 0 };
	struct stat st;
	put_old();
	mode_t before = umask(077);
	assert_int_equal(loam_atomic_file_put(path, 0644, "n", 1, &err), 0);
	umask(before);
	assert_content("n");
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0644);
	assert_int_equal(count_names(false), 1);
}

static void without_a_commit_nothing_has_happened(void **state)
{
	struct loam_err err = { 0 };
	struct loam_atomic_file *file = NULL;
	put_old();
	assert_int_equal(loam_atomic_file_open(path, 0600, &file, &err), 0);
	loam_atomic_file_write(file, "new", 3);
	assert_content("old");
	loam_atomic_file_free(file);
	assert_content("old");
	assert_int_equal(count_names(false), 1);
}

static void each_failing_step_leaves_the_old_file(void **state)
{
#ifndef LOAM_FAILPOINTS
	skip();
#endif
	static const char *const steps[] = { "sys.write:error:ENOSPC:1",
					     "core.atomic_file.written:error:EIO",
					     "sys.fsync:error:EIO:1",
					     "core.atomic_file.synced:error:EIO",
					     "sys.renameat:error:EACCES" };
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(steps); i++) {
		struct loam_err err = { 0 };
		put_old();
		loam_failpoint_set(steps[i]);
		assert_true(loam_atomic_file_put(path, 0600, "new", 3, &err) < 0);
		loam_failpoint_set(NULL);
		assert_content("old");
		assert_int_equal(count_names(false), 1);
	}
}

static void a_failed_write_is_remembered_until_commit(void **state)
{
#ifndef LOAM_FAILPOINTS
	skip();
#endif
	struct loam_err err = { 0 };
	struct loam_atomic_file *file = NULL;
	put_old();
	assert_int_equal(loam_atomic_file_open(path, 0600, &file, &err), 0);
	loam_failpoint_set("sys.write:error:ENOSPC:1");
	loam_atomic_file_write(file, "one", 3);
	loam_atomic_file_write(file, "two", 3);
	loam_failpoint_set(NULL);
	assert_int_equal(loam_atomic_file_commit(file, &err), -LOAM_E_NO_SPACE);
	loam_atomic_file_free(file);
	assert_content("old");
}

static void a_failed_sync_of_the_directory_is_told(void **state)
{
#ifndef LOAM_FAILPOINTS
	skip();
#endif
	struct loam_err err = { 0 };
	loam_failpoint_set("sys.fsync:error:EIO:2");
	assert_int_equal(loam_atomic_file_put(path, 0600, "new", 3, &err), -LOAM_E_IO);
	loam_failpoint_set(NULL);
}

static void a_kill_at_each_step_leaves_old_or_new_whole(void **state)
{
#ifndef LOAM_FAILPOINTS
	skip();
#endif
	static const char *const steps[][2] = {
		{ "core.atomic_file.written:kill", "old" },
		{ "core.atomic_file.synced:kill", "old" },
		{ "core.atomic_file.renamed:kill", "new" },
	};
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(steps); i++) {
		put_old();
		pid_t pid = fork();
		if (pid == 0) {
			struct loam_err err = { 0 };
			loam_failpoint_set(steps[i][0]);
			loam_atomic_file_put(path, 0600, "new", 3, &err);
			_exit(0);
		}
		int status = 0;
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		assert_content(steps[i][1]);
		count_names(true);
		assert_int_equal(count_names(false), 1);
	}
}

static void a_missing_directory_or_name_is_told(void **state)
{
	struct loam_err err = { 0 };
	assert_int_equal(loam_atomic_file_put("/nonexistent/x", 0600, "", 0, &err),
			 -LOAM_E_NOT_FOUND);
	loam_err_clear(&err);
	assert_int_equal(loam_atomic_file_put("/tmp/", 0600, "", 0, &err), -LOAM_E_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_put_replaces_the_whole_file_and_sets_its_mode),
		cmocka_unit_test(without_a_commit_nothing_has_happened),
		cmocka_unit_test(each_failing_step_leaves_the_old_file),
		cmocka_unit_test(a_failed_write_is_remembered_until_commit),
		cmocka_unit_test(a_failed_sync_of_the_directory_is_told),
		cmocka_unit_test(a_kill_at_each_step_leaves_old_or_new_whole),
		cmocka_unit_test(a_missing_directory_or_name_is_told),
	};
	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
