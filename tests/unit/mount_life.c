/*
 * The life of a mount: many at once, busy, dead and hung. Names are sentences.
 */
#include "tests/support/mount_world.h"

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

/* ---- many at once ---------------------------------------------------------------------------- */

struct worker {
	pthread_t thread;
	unsigned number;
	const char *problem;
};

static void *hammer(void *arg)
{
	struct worker *worker = arg;
	unsigned self = worker->number;
	char path[128], text[64], got[64];
	for (unsigned i = 0; i < 100; i++) {
		snprintf(path, sizeof(path), "%s/crowd/%u-%u", mounted.dir, self, i % 10);
		snprintf(text, sizeof(text), "thread %u round %u", self, i);
		int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0644);
		if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
			worker->problem = "write";
		if (pread(fd, got, sizeof(got), 0) != (ssize_t)strlen(text) ||
		    memcmp(got, text, strlen(text)) != 0)
			worker->problem = "read";
		if (close(fd) != 0 || (i % 3 == 0 && unlink(path) != 0))
			worker->problem = "close";
	}
	return NULL;
}

static void many_threads_work_at_once(void **state)
{
	assert_works(mkdir(at("crowd"), 0755));
	struct worker workers[16] = { 0 };
	for (unsigned i = 0; i < LOAM_ARRAY_COUNT(workers); i++) {
		workers[i].number = i;
		assert_int_equal(pthread_create(&workers[i].thread, NULL, hammer, &workers[i]), 0);
	}
	for (unsigned i = 0; i < LOAM_ARRAY_COUNT(workers); i++) {
		pthread_join(workers[i].thread, NULL);
		if (workers[i].problem)
			fail_msg("thread %u: %s", i, workers[i].problem);
	}
	DIR *dir = opendir(at("crowd"));
	for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
		if (entry->d_name[0] != '.')
			assert_works(unlinkat(dirfd(dir), entry->d_name, 0));
	}
	closedir(dir);
	assert_works(rmdir(at("crowd")));
}

/* ---- the life of a mount --------------------------------------------------------------------- */

static void keep_names(struct loam_mount_options *options)
{
	options->entry_ms = 1000;
}

static void listings_carry_attributes_where_names_are_kept(void **state)
{
	struct loam_test_mount before = mounted;
	loam_test_mount_start(&mounted, keep_names);
	for (unsigned i = 0; i < 300; i++)
		put(at("file-%u", i), "0123456789", 0644);
	DIR *dir = opendir(mounted.dir);
	unsigned count = 0;
	for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
		struct stat st;
		assert_works(fstatat(dirfd(dir), entry->d_name, &st, 0));
		if (entry->d_name[0] == '.')
			continue;
		assert_int_equal(st.st_ino, entry->d_ino);
		assert_int_equal(st.st_size, 10);
		count++;
	}
	closedir(dir);
	assert_int_equal(count, 300);
	assert_int_equal(loam_test_mount_stop(&mounted), 0);
	mounted = before;
}

static void set_rules(const char *path, const char *rules)
{
	FILE *file = fopen(path, "w");
	assert_non_null(file);
	fputs(rules, file);
	assert_int_equal(fclose(file), 0);
}

static void a_failed_write_is_told_to_every_descriptor_that_wrote(void **state)
{
	struct loam_test_mount before = mounted;
	char rules[] = "/tmp/loam-rules-XXXXXX", at_rules[64];
	close(mkstemp(rules));
	snprintf(at_rules, sizeof(at_rules), "@%s", rules);
	mounted.store_rules = at_rules;
	loam_test_mount_start(&mounted, NULL);

	int one = open(at("failing"), O_WRONLY | O_CREAT, 0644);
	int two = open(at("failing"), O_WRONLY);
	int reader = open(at("failing"), O_RDONLY);
	set_rules(rules, "put:every:IO");
	assert_int_equal(pwrite(one, "one", 3, 0), 3);
	assert_int_equal(pwrite(two, "two", 3, 3), 3);
	assert_errno(fsync(one), EIO);
	set_rules(rules, "");
	assert_errno(pwrite(two, "two", 3, 3), EIO);
	assert_errno(close(two), EIO);
	assert_errno(close(one), EIO);
	close(reader);
	/* once all have closed it, the file is as it was committed, and can be written again */
	holds(at("failing"), "");
	put(at("failing"), "again", 0644);
	holds(at("failing"), "again");

	assert_int_equal(loam_test_mount_stop(&mounted), 0);
	unlink(rules);
	mounted = before;
}

static void a_busy_mount_ends_on_a_signal(void **state)
{
	struct loam_test_mount before = mounted;
	loam_test_mount_start(&mounted, NULL);
	int fd = open(at("open"), O_RDWR | O_CREAT, 0644);
	assert_works(fd);
	assert_int_equal(write(fd, "held", 4), 4);
	assert_int_equal(loam_test_mount_stop(&mounted), 0);
	char byte;
	assert_errno(pread(fd, &byte, 1, 0), ENOTCONN);
	close(fd);
	mounted = before;
}

static void a_dead_mount_is_detached(void **state)
{
	struct loam_test_mount before = mounted;
	struct stat st;
	loam_test_mount_start(&mounted, NULL);
	kill(mounted.pid, SIGKILL);
	waitpid(mounted.pid, NULL, 0);
	assert_errno(stat(mounted.dir, &st), ENOTCONN);
	struct loam_err err = { 0 };
	assert_int_equal(loam_mount_detach_stale(mounted.dir, &err), 1);
	assert_int_equal(loam_mount_detach_stale(mounted.dir, &err), 0);
	assert_works(rmdir(mounted.dir));
	mounted = before;
}

static void a_hung_mount_is_aborted(void **state)
{
	struct loam_test_mount before = mounted;
	loam_test_mount_start(&mounted, NULL);
	kill(mounted.pid, SIGSTOP);
	struct loam_err err = { 0 };
	assert_int_equal(loam_mount_unmount(mounted.dir, true, &err), 0);
	kill(mounted.pid, SIGCONT);
	int status;
	waitpid(mounted.pid, &status, 0);
	assert_true(WIFEXITED(status));
	assert_works(rmdir(mounted.dir));
	assert_int_equal(loam_mount_unmount(mounted.dir, true, &err), -LOAM_E_NOT_FOUND);
	mounted = before;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(many_threads_work_at_once),
		cmocka_unit_test(listings_carry_attributes_where_names_are_kept),
		cmocka_unit_test(a_failed_write_is_told_to_every_descriptor_that_wrote),
		cmocka_unit_test(a_busy_mount_ends_on_a_signal),
		cmocka_unit_test(a_dead_mount_is_detached),
		cmocka_unit_test(a_hung_mount_is_aborted),
	};
	return run_mounted("mount_life", tests, LOAM_ARRAY_COUNT(tests));
}
