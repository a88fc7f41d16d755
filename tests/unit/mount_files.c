/*
 * Files and names of the mounted file system through real system calls. Names are sentences.
 */
#include "core/clock.h"
#include "tests/support/mount_world.h"

#include <sys/mman.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>

/* ---- files ----------------------------------------------------------------------------------- */

static void what_is_written_is_read_back(void **state)
{
	size_t bytes = (9u << 20) + 12345;
	loam_auto_free uint8_t *data = malloc(bytes);
	loam_auto_free uint8_t *got = calloc(1, bytes);
	fill(data, bytes, 7);
	int fd = open(at("big"), O_RDWR | O_CREAT | O_EXCL, 0644);
	assert_works(fd);
	for (size_t done = 0; done < bytes;) {
		size_t step = bytes - done < 123457 ? bytes - done : 123457;
		assert_int_equal(write(fd, data + done, step), (ssize_t)step);
		done += step;
	}
	struct stat st;
	assert_works(fstat(fd, &st));
	assert_int_equal(st.st_size, bytes);
	/* in the middle, while the rest is not committed */
	fill(data + 5000000, 70000, 8);
	assert_int_equal(pwrite(fd, data + 5000000, 70000, 5000000), 70000);
	assert_int_equal(pread(fd, got, bytes, 0), (ssize_t)bytes);
	assert_memory_equal(got, data, bytes);
	assert_works(fsync(fd));
	assert_works(close(fd));

	memset(got, 0, bytes);
	fd = open(at("big"), O_RDONLY | O_DIRECT);
	if (fd < 0)
		fd = open(at("big"), O_RDONLY);
	assert_works(fd);
	size_t done = 0;
	for (ssize_t n; (n = read(fd, got + done, bytes - done)) > 0;)
		done += (size_t)n;
	assert_int_equal(done, bytes);
	assert_memory_equal(got, data, bytes);
	close(fd);
	assert_works(unlink(at("big")));
}

static void the_second_open_sees_what_the_first_wrote(void **state)
{
	put(at("second"), "one", 0644);
	holds(at("second"), "one");
	put(at("second"), "other", 0644);
	holds(at("second"), "other");
	assert_works(unlink(at("second")));
}

static void appends_go_to_the_end(void **state)
{
	put(at("log"), "", 0644);
	int a = open(at("log"), O_WRONLY | O_APPEND);
	int b = open(at("log"), O_WRONLY | O_APPEND);
	assert_int_equal(write(a, "one ", 4), 4);
	assert_int_equal(write(b, "two ", 4), 4);
	assert_int_equal(write(a, "three", 5), 5);
	close(a);
	close(b);
	holds(at("log"), "one two three");
	assert_works(unlink(at("log")));
}

static void truncation_leaves_zeros(void **state)
{
	put(at("cut"), "0123456789", 0644);
	assert_works(truncate(at("cut"), 4));
	assert_works(truncate(at("cut"), 8));
	int fd = open(at("cut"), O_RDWR);
	char got[16] = "";
	assert_int_equal(read(fd, got, sizeof(got)), 8);
	assert_memory_equal(got, "0123\0\0\0\0", 8);
	assert_works(ftruncate(fd, 2));
	assert_int_equal(pread(fd, got, sizeof(got), 0), 2);
	/* what was written but not committed goes, too */
	assert_int_equal(pwrite(fd, "abcdef", 6, 0), 6);
	assert_works(ftruncate(fd, 3));
	assert_int_equal(pread(fd, got, sizeof(got), 0), 3);
	assert_memory_equal(got, "abc", 3);
	close(fd);
	assert_errno(truncate(at("cut"), INT64_MAX), EFBIG);
	fd = open(at("cut"), O_WRONLY | O_TRUNC);
	assert_works(fd);
	close(fd);
	struct stat st;
	assert_works(stat(at("cut"), &st));
	assert_int_equal(st.st_size, 0);
	assert_works(unlink(at("cut")));
}

static void maps_are_shared(void **state)
{
	put(at("map"), "hello world", 0644);
	int fd = open(at("map"), O_RDWR);
	char *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(map != MAP_FAILED);
	assert_memory_equal(map, "hello world", 11);
	memcpy(map, "HELLO", 5);
	assert_works(msync(map, 4096, MS_SYNC));
	munmap(map, 4096);
	close(fd);
	holds(at("map"), "HELLO world");
	assert_works(unlink(at("map")));
}

static void space_is_allocated_and_punched(void **state)
{
	put(at("holes"), "0123456789", 0644);
	int fd = open(at("holes"), O_RDWR);
	struct stat st;
	char got[32] = "";
	assert_works(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 2, 3));
	assert_int_equal(pread(fd, got, 10, 0), 10);
	assert_memory_equal(got,
			    "01\0\0\0"
			    "56789",
			    10);
	assert_works(fallocate(fd, FALLOC_FL_ZERO_RANGE, 8, 8));
	assert_works(fstat(fd, &st));
	assert_int_equal(st.st_size, 16);
	assert_int_equal(pread(fd, got, 16, 0), 16);
	assert_memory_equal(got,
			    "01\0\0\0"
			    "567\0\0\0\0\0\0\0\0",
			    16);
	assert_works(fallocate(fd, 0, 0, 100));
	assert_works(fstat(fd, &st));
	assert_int_equal(st.st_size, 100);
	assert_works(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 5000));
	assert_works(fstat(fd, &st));
	assert_int_equal(st.st_size, 100);
	close(fd);
	assert_works(unlink(at("holes")));
}

static void ranges_are_copied(void **state)
{
	put(at("from"), "0123456789", 0644);
	put(at("to"), "abcdefghij", 0644);
	int from = open(at("from"), O_RDONLY), to = open(at("to"), O_RDWR);
	off_t from_at = 2, to_at = 8;
	assert_int_equal(copy_file_range(from, &from_at, to, &to_at, 5, 0), 5);
	close(from);
	close(to);
	holds(at("to"), "abcdefgh23456");
	assert_works(unlink(at("from")));
	assert_works(unlink(at("to")));
}

static void an_unlinked_file_lives_while_open(void **state)
{
	put(at("gone"), "still here", 0644);
	int fd = open(at("gone"), O_RDWR);
	assert_works(unlink(at("gone")));
	assert_errno(open(at("gone"), O_RDONLY), ENOENT);
	char got[32] = "";
	assert_int_equal(pread(fd, got, sizeof(got), 0), 10);
	assert_memory_equal(got, "still here", 10);
	assert_int_equal(pwrite(fd, "STILL", 5, 0), 5);
	assert_works(fsync(fd));
	assert_int_equal(pread(fd, got, sizeof(got), 0), 10);
	assert_memory_equal(got, "STILL here", 10);
	struct stat st;
	assert_works(fstat(fd, &st));
	assert_int_equal(st.st_nlink, 0);
	close(fd);
}

static void times_are_what_was_set(void **state)
{
	int fd = open(at("times"), O_WRONLY | O_CREAT, 0644);
	assert_int_equal(write(fd, "x", 1), 1);
	struct timespec times[2] = { { 1000000000, 123456789 }, { 1100000000, 987654321 } };
	/* the write must not be committed with its own time afterwards */
	assert_works(futimens(fd, times));
	close(fd);
	struct stat st;
	assert_works(stat(at("times"), &st));
	assert_int_equal(st.st_atim.tv_sec, 1000000000);
	assert_int_equal(st.st_mtim.tv_sec, 1100000000);
	assert_int_equal(st.st_mtim.tv_nsec, 987654321);
	times[0].tv_nsec = UTIME_OMIT;
	times[1].tv_nsec = UTIME_NOW;
	assert_works(utimensat(AT_FDCWD, at("times"), times, 0));
	assert_works(stat(at("times"), &st));
	assert_int_equal(st.st_atim.tv_sec, 1000000000);
	assert_true(st.st_mtim.tv_sec > 1600000000);
	assert_int_equal(as(BOB, try_touch, at("times")), EACCES);
	assert_works(unlink(at("times")));
}

static void the_time_of_a_write_stays_after_its_commit(void **state)
{
	struct stat before, after;
	int fd = open(at("steady"), O_WRONLY | O_CREAT, 0644);
	assert_int_equal(write(fd, "0123", 4), 4);
	assert_works(fstat(fd, &before));
	close(fd);
	assert_works(stat(at("steady"), &after));
	assert_int_equal(before.st_size, 4);
	assert_int_equal(before.st_mtim.tv_sec, after.st_mtim.tv_sec);
	assert_int_equal(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);
	assert_works(unlink(at("steady")));
}

/* ---- names ----------------------------------------------------------------------------------- */

static void directories_come_and_go(void **state)
{
	struct stat st;
	assert_works(mkdir(at("d"), 0755));
	assert_works(mkdir(at("d/e"), 0755));
	assert_works(stat(at("d"), &st));
	assert_int_equal(st.st_nlink, 3);
	assert_errno(rmdir(at("d")), ENOTEMPTY);
	assert_errno(mkdir(at("d/e"), 0755), EEXIST);
	assert_errno(unlink(at("d/e")), EISDIR);
	put(at("d/f"), "x", 0644);
	assert_errno(rmdir(at("d/f")), ENOTDIR);
	assert_works(unlink(at("d/f")));
	assert_works(rmdir(at("d/e")));
	assert_works(rmdir(at("d")));
	assert_errno(stat(at("d"), &st), ENOENT);
}

/* Attributes live a second: the question behind it is the mount's, not the kernel's memory. */
static void a_removed_directory_can_be_asked_while_open(void **state)
{
	struct stat st;
	assert_works(mkdir(at("gone"), 0750));
	int fd = open(at("gone"), O_RDONLY | O_DIRECTORY);
	assert_works(fd);
	assert_works(rmdir(at("gone")));
	loam_clock_sleep_ms(1200);
	assert_works(fstat(fd, &st));
	assert_true(S_ISDIR(st.st_mode));
	assert_int_equal(st.st_mode & 07777, 0750);
	assert_int_equal(st.st_nlink, 0);
	assert_int_equal(st.st_size, 0);
	assert_works(close(fd));
	assert_errno(stat(at("gone"), &st), ENOENT);
}

static void names_have_255_bytes(void **state)
{
	char name[300];
	memset(name, 'n', sizeof(name));
	name[256] = '\0';
	assert_errno(open(at("%s", name), O_CREAT | O_WRONLY, 0644), ENAMETOOLONG);
	name[255] = '\0';
	put(at("%s", name), "long", 0644);
	holds(at("%s", name), "long");
	assert_works(unlink(at("%s", name)));
	for (size_t i = 0; i < 255; i += 3)
		memcpy(name + i, "\xe2\x82\xac", 3);
	put(at("%s", name), "euro", 0644);
	assert_works(unlink(at("%s", name)));
	put(at("\xff\xfe not utf-8"), "x", 0644);
	assert_works(unlink(at("\xff\xfe not utf-8")));
}

static void reserved_names_are_refused(void **state)
{
	static const char *const names[] = { ".trash", ".accesslog", ".stats", ".config",
					     ".control" };
	struct stat st;
	put(at("plain"), "x", 0644);
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(names); i++) {
		assert_errno(stat(at("%s", names[i]), &st), ENOENT);
		assert_errno(open(at("%s", names[i]), O_CREAT | O_WRONLY, 0644), EEXIST);
		assert_errno(mkdir(at("%s", names[i]), 0755), EEXIST);
		assert_errno(symlink("x", at("%s", names[i])), EEXIST);
		assert_errno(rename(at("plain"), at("%s", names[i])), EPERM);
		assert_errno(link(at("plain"), at("%s", names[i])), EPERM);
	}
	assert_works(unlink(at("plain")));
	assert_works(mkdir(at("below"), 0755));
	put(at("below/.config"), "x", 0644);
	assert_works(unlink(at("below/.config")));
	assert_works(rmdir(at("below")));
}

static void renames_keep_their_flags(void **state)
{
	put(at("a"), "a", 0644);
	put(at("b"), "b", 0644);
	assert_errno(renameat2(AT_FDCWD, at("a"), AT_FDCWD, at("b"), RENAME_NOREPLACE), EEXIST);
	assert_works(renameat2(AT_FDCWD, at("a"), AT_FDCWD, at("b"), RENAME_EXCHANGE));
	holds(at("a"), "b");
	holds(at("b"), "a");
	assert_errno(renameat2(AT_FDCWD, at("a"), AT_FDCWD, at("b"), RENAME_WHITEOUT), EINVAL);
	assert_works(rename(at("a"), at("b")));
	holds(at("b"), "b");
	assert_errno(rename(at("a"), at("c")), ENOENT);
	assert_works(mkdir(at("dir"), 0755));
	assert_works(mkdir(at("dir/sub"), 0755));
	assert_errno(rename(at("dir"), at("dir/sub/dir")), EINVAL);
	assert_works(mkdir(at("other"), 0755));
	assert_errno(rename(at("other"), at("dir")), ENOTEMPTY);
	assert_works(rename(at("b"), at("dir/sub/b")));
	assert_works(rename(at("dir/sub"), at("other/sub")));
	holds(at("other/sub/b"), "b");
	assert_works(unlink(at("other/sub/b")));
	assert_works(rmdir(at("other/sub")));
	assert_works(rmdir(at("other")));
	assert_works(rmdir(at("dir")));
}

static void links_lead_to_one_file(void **state)
{
	struct stat one, two;
	put(at("one"), "x", 0644);
	assert_works(link(at("one"), at("two")));
	assert_works(stat(at("one"), &one));
	assert_works(stat(at("two"), &two));
	assert_int_equal(one.st_ino, two.st_ino);
	assert_int_equal(two.st_nlink, 2);
	assert_works(unlink(at("one")));
	holds(at("two"), "x");
	assert_works(symlink("two", at("soft")));
	holds(at("soft"), "x");
	char target[8] = "";
	assert_int_equal(readlink(at("soft"), target, sizeof(target)), 3);
	assert_string_equal(target, "two");
	assert_errno(readlink(at("two"), target, sizeof(target)), EINVAL);
	assert_errno(symlink("", at("empty")), ENOENT);
	assert_works(unlink(at("soft")));
	assert_works(unlink(at("two")));
}

static void special_files_can_be_made(void **state)
{
	struct stat st;
	assert_works(mkfifo(at("fifo"), 0640));
	assert_works(stat(at("fifo"), &st));
	assert_true(S_ISFIFO(st.st_mode));
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_works(mknod(at("zero"), S_IFCHR | 0666, makedev(1, 5)));
	assert_works(stat(at("zero"), &st));
	assert_true(S_ISCHR(st.st_mode));
	assert_int_equal(st.st_rdev, makedev(1, 5));
	assert_errno(open(at("zero"), O_RDONLY), EACCES); /* nodev */
	assert_works(unlink(at("fifo")));
	assert_works(unlink(at("zero")));
}

#define MANY 10000

static void ten_thousand_entries_are_listed_once(void **state)
{
	assert_works(mkdir(at("many"), 0755));
	for (unsigned i = 0; i < MANY; i++) {
		int fd = open(at("many/entry-%05u", i), O_CREAT | O_WRONLY, 0644);
		assert_works(fd);
		close(fd);
	}
	loam_auto_free uint8_t *seen = calloc(1, MANY);
	DIR *dir = opendir(at("many"));
	unsigned dots = 0, count = 0;
	for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
		unsigned number;
		if (entry->d_name[0] == '.') {
			dots++;
			continue;
		}
		assert_int_equal(sscanf(entry->d_name, "entry-%u", &number), 1);
		assert_int_equal(entry->d_type, DT_REG);
		assert_int_equal(seen[number]++, 0);
		count++;
	}
	assert_int_equal(dots, 2);
	assert_int_equal(count, MANY);
	/* rewinding takes a new look */
	assert_works(unlink(at("many/entry-00000")));
	rewinddir(dir);
	count = 0;
	while (readdir(dir))
		count++;
	assert_int_equal(count, MANY + 1);
	closedir(dir);
	for (unsigned i = 1; i < MANY; i++)
		assert_works(unlink(at("many/entry-%05u", i)));
	assert_works(rmdir(at("many")));
}

static void the_file_system_describes_itself(void **state)
{
	struct statvfs st;
	assert_works(statvfs(mounted.dir, &st));
	assert_int_equal(st.f_namemax, 255);
	assert_int_equal(st.f_bsize, 4096);
	assert_true(st.f_blocks > 0 && st.f_bavail > 0 && st.f_ffree > 0);
	assert_true(st.f_flag & ST_NOSUID);
	assert_true(st.f_flag & ST_NODEV);
	struct stat root;
	assert_works(stat(mounted.dir, &root));
	assert_int_equal(root.st_ino, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_written_is_read_back),
		cmocka_unit_test(the_second_open_sees_what_the_first_wrote),
		cmocka_unit_test(appends_go_to_the_end),
		cmocka_unit_test(truncation_leaves_zeros),
		cmocka_unit_test(maps_are_shared),
		cmocka_unit_test(space_is_allocated_and_punched),
		cmocka_unit_test(ranges_are_copied),
		cmocka_unit_test(an_unlinked_file_lives_while_open),
		cmocka_unit_test(times_are_what_was_set),
		cmocka_unit_test(the_time_of_a_write_stays_after_its_commit),
		cmocka_unit_test(directories_come_and_go),
		cmocka_unit_test(a_removed_directory_can_be_asked_while_open),
		cmocka_unit_test(names_have_255_bytes),
		cmocka_unit_test(reserved_names_are_refused),
		cmocka_unit_test(renames_keep_their_flags),
		cmocka_unit_test(links_lead_to_one_file),
		cmocka_unit_test(special_files_can_be_made),
		cmocka_unit_test(ten_thousand_entries_are_listed_once),
		cmocka_unit_test(the_file_system_describes_itself),
	};
	return run_mounted("mount_files", tests, LOAM_ARRAY_COUNT(tests));
}
