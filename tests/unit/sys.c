/*
 * core/sys: loops over short and refused calls, whole files, directories, paths.
 */
#include "core/sys.h"

#include "core/auto.h"
#include "tests/support/failpoint.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[] = "/tmp/loam-unit-sys-XXXXXX";

static int make_dir(void **state)
{
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
	loam_auto_free char *a = loam_path_join(dir, "a");
	loam_auto_free char *ab = loam_path_join(a, "b");
	loam_auto_free char *file = loam_path_join(dir, "file");
	rmdir(ab);
	rmdir(a);
	unlink(file);
	return rmdir(dir);
}

static int open_file(void)
{
	loam_auto_free char *path = loam_path_join(dir, "file");
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	return fd;
}

static void bytes_come_back_from_where_they_were_put(void **state)
{
	struct loam_err err = { 0 };
	loam_auto_fd int fd = open_file();
	char text[4] = "";
	assert_int_equal(loam_sys_pwrite_all(fd, "abc", 3, 5000000000u, &err), 0);
	assert_int_equal(loam_sys_pread_all(fd, text, 3, 5000000000u, &err), 0);
	assert_string_equal(text, "abc");
	assert_int_equal(loam_sys_fdatasync(fd, &err), 0);
	assert_int_equal(loam_sys_fsync(fd, &err), 0);
}

static void short_transfers_are_finished(void **state)
{
#ifndef LOAM_FAILPOINTS
	skip();
#endif
	struct loam_err err = { 0 };
	loam_auto_fd int fd = open_file();
	char text[27] = "";
	loam_failpoint_set(
		"sys.pwrite:short:3,sys.pread:short:4,sys.write:short:1,sys.read:short:2");
	assert_int_equal(loam_sys_pwrite_all(fd, "abcdefghijklm", 13, 0, &err), 0);
	assert_int_equal(lseek(fd, 13, SEEK_SET), 13);
	assert_int_equal(loam_sys_write_all(fd, "nopqrstuvwxyz", 13, &err), 0);
	assert_int_equal(loam_sys_pread_all(fd, text, 26, 0, &err), 0);
	assert_string_equal(text, "abcdefghijklmnopqrstuvwxyz");
	loam_auto_buf struct loam_buf all = LOAM_BUF(26);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(loam_fd_read_all(fd, &all, &err), 0);
	assert_string_equal(loam_buf_text(&all), text);
	loam_failpoint_set(NULL);
}

static void the_second_write_can_be_refused(void **state)
{
#ifndef LOAM_FAILPOINTS
	skip();
#endif
	struct loam_err err = { 0 };
	loam_auto_fd int fd = open_file();
	loam_failpoint_set("sys.pwrite:error:ENOSPC:2,sys.fsync:error:EIO");
	assert_int_equal(loam_sys_pwrite_all(fd, "a", 1, 0, &err), 0);
	assert_int_equal(loam_sys_pwrite_all(fd, "b", 1, 1, &err), -LOAM_E_NO_SPACE);
	loam_err_clear(&err);
	assert_int_equal(loam_sys_pwrite_all(fd, "b", 1, 1, &err), 0);
	assert_int_equal(loam_sys_fsync(fd, &err), -LOAM_E_IO);
	loam_failpoint_set(NULL);
}

static void a_read_past_the_end_is_short_or_corrupt(void **state)
{
	struct loam_err err = { 0 };
	loam_auto_fd int fd = open_file();
	char text[8];
	size_t got = 99;
	assert_int_equal(loam_sys_write_all(fd, "abc", 3, &err), 0);
	assert_int_equal(loam_sys_pread(fd, text, 8, 1, &got, &err), 0);
	assert_int_equal(got, 2);
	assert_int_equal(loam_sys_pread_all(fd, text, 8, 1, &err), -LOAM_E_CORRUPT);
}

static void a_file_as_large_as_the_limit_is_read_and_one_byte_more_is_not(void **state)
{
	struct loam_err err = { 0 };
	loam_auto_fd int fd = open_file();
	loam_auto_free char *path = loam_path_join(dir, "file");
	assert_int_equal(loam_sys_write_all(fd, "12345", 5, &err), 0);
	loam_auto_buf struct loam_buf enough = LOAM_BUF(5);
	assert_int_equal(loam_path_read_all(path, &enough, &err), 0);
	assert_string_equal(loam_buf_text(&enough), "12345");
	loam_auto_buf struct loam_buf small = LOAM_BUF(4);
	assert_int_equal(loam_path_read_all(path, &small, &err), -LOAM_E_TOO_LARGE);
	loam_err_clear(&err);
	assert_int_equal(loam_path_read_all("/nonexistent/x", &enough, &err), -LOAM_E_NOT_FOUND);
}

static void directories_are_made_with_their_parents_and_may_exist(void **state)
{
	struct loam_err err = { 0 };
	loam_auto_free char *path = loam_path_join(dir, "a//b/");
	struct stat st;
	assert_int_equal(loam_mkdir_all(path, 0750, &err), 0);
	assert_int_equal(loam_mkdir_all(path, 0700, &err), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_true(S_ISDIR(st.st_mode));
	assert_int_equal(loam_mkdir_all("/proc/version/x", 0700, &err), -LOAM_E_NOT_DIR);
	loam_err_clear(&err);
	assert_int_equal(loam_mkdir_all("", 0700, &err), -LOAM_E_INVALID);
}

static void what_is_above_lets_others_pass_whatever_the_umask(void **state)
{
	struct loam_err err = { 0 };
	loam_auto_free char *path = loam_path_join(dir, "above/it/path//");
	loam_auto_free char *above = loam_path_join(dir, "above/it");
	struct stat st;
	mode_t mask = umask(077);
	assert_int_equal(loam_mkdir_above(path, &err), 0);
	assert_int_equal(umask(mask), 077);
	assert_int_equal(stat(above, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0711);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(chmod(above, 0750), 0);
	assert_int_equal(loam_mkdir_above(path, &err), 0);
	assert_int_equal(stat(above, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0750); /* what was there stays as it was */
	assert_int_equal(loam_mkdir_above("/x", &err), 0);
	assert_int_equal(loam_mkdir_above("x", &err), 0);
	assert_int_equal(loam_mkdir_above("/proc/version/x/y", &err), -LOAM_E_NOT_DIR);
	loam_auto_free char *top = loam_path_join(dir, "above");
	assert_int_equal(rmdir(above), 0);
	assert_int_equal(rmdir(top), 0);
}

static void a_rename_replaces_and_a_missing_source_is_told(void **state)
{
	struct loam_err err = { 0 };
	loam_auto_fd int fd = open_file();
	loam_auto_fd int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(loam_sys_renameat(dir_fd, "file", dir_fd, "moved", &err), 0);
	assert_int_equal(loam_sys_renameat(dir_fd, "moved", dir_fd, "file", &err), 0);
	assert_int_equal(loam_sys_renameat(dir_fd, "moved", dir_fd, "file", &err),
			 -LOAM_E_NOT_FOUND);
}

static void joined_paths_have_one_slash(void **state)
{
	static const char *const cases[][3] = { { "a", "b", "a/b" },
						{ "a/", "/b", "a/b" },
						{ "/", "b", "/b" },
						{ "/a//", "b/c", "/a/b/c" } };
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(cases); i++) {
		loam_auto_free char *path = loam_path_join(cases[i][0], cases[i][1]);
		assert_string_equal(path, cases[i][2]);
	}
}

static void only_whole_pages_go_past_the_page_cache(void **state)
{
	enum { MIB = 1 << 20 };
	loam_auto_free uint8_t *pages = aligned_alloc(4096, MIB);
	assert_true(loam_sys_may_go_direct(pages, MIB, 0));
	assert_true(loam_sys_may_go_direct(pages, 4 * MIB, 4096));
	assert_false(loam_sys_may_go_direct(pages + 512, MIB, 0));
	assert_false(loam_sys_may_go_direct(pages, MIB, 512));
	assert_false(loam_sys_may_go_direct(pages, MIB + 512, 0));
	assert_false(loam_sys_may_go_direct(pages, MIB - 4096, 0));
}

static void a_file_opened_anew_is_the_same_whatever_its_name(void **state)
{
	struct loam_err err = { 0 };
	loam_auto_fd int fd = open_file(), again = -1;
	loam_auto_free char *path = loam_path_join(dir, "file");
	assert_int_equal(loam_sys_pwrite_all(fd, "abc", 3, 0, &err), 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(loam_sys_reopen(fd, O_RDONLY, &again, &err), 0);
	char out[3];
	assert_int_equal(loam_sys_pread_all(again, out, 3, 0, &err), 0);
	assert_memory_equal(out, "abc", 3);
	assert_int_equal(fcntl(again, F_GETFL) & O_ACCMODE, O_RDONLY);
	assert_true(fcntl(again, F_GETFD) & FD_CLOEXEC);
	int none = -1;
	assert_true(loam_sys_reopen(-1, O_RDONLY, &none, &err) < 0);
	assert_int_equal(none, -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_come_back_from_where_they_were_put),
		cmocka_unit_test(short_transfers_are_finished),
		cmocka_unit_test(the_second_write_can_be_refused),
		cmocka_unit_test(a_read_past_the_end_is_short_or_corrupt),
		cmocka_unit_test(a_file_as_large_as_the_limit_is_read_and_one_byte_more_is_not),
		cmocka_unit_test(directories_are_made_with_their_parents_and_may_exist),
		cmocka_unit_test(what_is_above_lets_others_pass_whatever_the_umask),
		cmocka_unit_test(a_rename_replaces_and_a_missing_source_is_told),
		cmocka_unit_test(joined_paths_have_one_slash),
		cmocka_unit_test(only_whole_pages_go_past_the_page_cache),
		cmocka_unit_test(a_file_opened_anew_is_the_same_whatever_its_name),
	};
	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
