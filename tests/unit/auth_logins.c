/*
 * auth/logins: the file of tokens in a user's own configuration.
 */
#include "auth/logins.h"

#include "core/auto.h"
#include "core/sys.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#define THREADS 4
#define EACH	8

static char folder[] = "/tmp/loam-unit-logins-XXXXXX";
static char file[sizeof(folder) + 32];

static int setup(void **state)
{
	if (!folder[sizeof(folder) - 2] || folder[sizeof(folder) - 2] == 'X')
		if (!mkdtemp(folder))
			return -1;
	snprintf(file, sizeof(file), "%s/loam/logins.json", folder);
	setenv("XDG_CONFIG_HOME", folder, 1);
	unlink(file);
	return 0;
}

static int teardown(void **state)
{
	char dir[sizeof(folder) + 8];
	unlink(file);
	snprintf(dir, sizeof(dir), "%s/loam", folder);
	rmdir(dir);
	rmdir(folder);
	return 0;
}

static struct loam_login login_at(const char *server)
{
	struct loam_login login = { .user = "alice", .token = "hf_secret", .token_id = "id1" };
	snprintf(login.server, sizeof(login.server), "%s", server);
	return login;
}

static void the_last_login_is_the_default(void **state)
{
	struct loam_err err = { 0 };
	struct loam_login found;
	struct loam_login one = login_at("http://one"), two = login_at("http://two");
	assert_int_equal(loam_logins_find(NULL, &found, &err), 0);
	assert_int_equal(loam_logins_put(&one, &err), 0);
	assert_int_equal(loam_logins_put(&two, &err), 0);
	assert_int_equal(loam_logins_find(NULL, &found, &err), 1);
	assert_string_equal(found.server, "http://two");
	assert_int_equal(loam_logins_find("http://one", &found, &err), 1);
	assert_string_equal(found.token, "hf_secret");
	assert_int_equal(loam_logins_find("http://three", &found, &err), 0);
	snprintf(one.user, sizeof(one.user), "bob");
	assert_int_equal(loam_logins_put(&one, &err), 0); /* in its place, and now the last */
	assert_int_equal(loam_logins_find(NULL, &found, &err), 1);
	assert_string_equal(found.user, "bob");
	assert_int_equal(loam_logins_drop("http://one", "hf_other", &err), 0);
	assert_int_equal(loam_logins_drop("http://one", "hf_secret", &err), 1);
	assert_int_equal(loam_logins_drop("http://one", NULL, &err), 0);
	assert_int_equal(loam_logins_find("http://one", &found, &err), 0);
}

static void the_file_is_its_owners_alone_or_is_not_used(void **state)
{
	struct loam_err err = { 0 };
	struct loam_login found, one = login_at("http://one");
	struct stat st;
	assert_int_equal(loam_logins_put(&one, &err), 0);
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	chmod(file, 0640);
	assert_int_equal(loam_logins_find(NULL, &found, &err), -LOAM_E_DENIED);
	loam_err_clear(&err);
	assert_int_equal(loam_logins_put(&one, &err), -LOAM_E_DENIED);
	loam_err_clear(&err);
	chmod(file, 0600);
	loam_auto_fd int fd = open(file, O_WRONLY | O_TRUNC | O_CLOEXEC);
	assert_int_equal(write(fd, "[{\"server\":1}]", 14), 14);
	assert_int_equal(loam_logins_find(NULL, &found, &err), -LOAM_E_INVALID);
}

static void *put_some(void *arg)
{
	for (int i = 0; i < EACH; i++) {
		char server[64];
		struct loam_err err = { 0 };
		snprintf(server, sizeof(server), "http://host-%d-%d", *(int *)arg, i);
		struct loam_login login = login_at(server);
		if (loam_logins_put(&login, &err) < 0)
			return arg;
	}
	return NULL;
}

static void two_at_once_both_hold(void **state)
{
	pthread_t threads[THREADS];
	int numbers[THREADS];
	for (int i = 0; i < THREADS; i++) {
		numbers[i] = i;
		pthread_create(&threads[i], NULL, put_some, &numbers[i]);
	}
	for (int i = 0; i < THREADS; i++) {
		void *failed = NULL;
		pthread_join(threads[i], &failed);
		assert_null(failed);
	}
	for (int i = 0; i < THREADS * EACH; i++) {
		char server[64];
		struct loam_login found;
		struct loam_err err = { 0 };
		snprintf(server, sizeof(server), "http://host-%d-%d", i / EACH, i % EACH);
		assert_int_equal(loam_logins_find(server, &found, &err), 1);
	}
}

static void there_is_a_limit(void **state)
{
	struct loam_err err = { 0 };
	for (int i = 0; i <= LOAM_LOGINS_MAX; i++) {
		char server[64];
		snprintf(server, sizeof(server), "http://host-%d", i);
		struct loam_login login = login_at(server);
		assert_int_equal(loam_logins_put(&login, &err),
				 i < LOAM_LOGINS_MAX ? 0 : -LOAM_E_TOO_LARGE);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(the_last_login_is_the_default, setup),
		cmocka_unit_test_setup(the_file_is_its_owners_alone_or_is_not_used, setup),
		cmocka_unit_test_setup(two_at_once_both_hold, setup),
		cmocka_unit_test_setup(there_is_a_limit, setup),
	};
	return cmocka_run_group_tests(tests, NULL, teardown);
}
