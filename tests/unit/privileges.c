/*
 * core/privileges: becoming an ordinary account, giving trees away, files made as their owner.
 */
#include "core/privileges.h"

#include "core/auto.h"
#include "core/process.h"
#include "core/sys.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define SERVICE 20000u

static char dir[64];

static int setup(void **state)
{
	snprintf(dir, sizeof(dir), "/tmp/loam-privileges-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
	const char *const argv[] = { "rm", "-rf", dir, NULL };
	struct loam_process_spec spec = { .argv = argv, .stdin_fd = -1 };
	struct loam_err err = { 0 };
	return loam_process_run(&spec, NULL, 0, NULL, 20000, &err);
}

static char *make_file(const char *path)
{
	char *whole = loam_path_join(dir, path);
	int fd = open(whole, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
	return whole;
}

static uid_t owner_of(const char *path)
{
	struct stat st;
	assert_int_equal(lstat(path, &st), 0);
	return st.st_uid;
}

static void need_root(void)
{
	if (geteuid() != 0)
		skip();
}

static void an_account_is_found_by_name_and_number(void **state)
{
	struct loam_identity who;
	struct loam_err err = { 0 };
	assert_int_equal(loam_identity_find("root", &who, &err), 0);
	assert_int_equal(who.uid, 0);
	assert_int_equal(loam_identity_find("0", &who, &err), 0);
	assert_string_equal(who.name, "root");
	/* a number needs no entry */
	assert_int_equal(loam_identity_find("1999999999", &who, &err), 0);
	assert_int_equal(who.uid, 1999999999);
	assert_int_equal(who.gid, 1999999999);
	assert_string_equal(who.name, "");
	const char *const no_accounts[] = { "", "-1", "4294967295", "no such user", "root\n" };
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(no_accounts); i++) {
		assert_int_equal(loam_identity_find(no_accounts[i], &who, &err), -LOAM_E_INVALID);
		loam_err_clear(&err);
	}
}

/* In a process of its own: the number of what is wrong, 0: nothing. */
static int drop_and_look(const struct loam_identity *who)
{
	struct loam_err err = { 0 };
	uid_t real, effective, saved;
	if (loam_privileges_drop(who, &err) < 0)
		return 1;
	if (getresuid(&real, &effective, &saved) < 0 || real != who->uid || effective != who->uid ||
	    saved != who->uid)
		return 2;
	if (getgid() != who->gid || getgroups(0, NULL) != 0)
		return 3;
	if (setuid(0) == 0 || setresuid(0, 0, 0) == 0 || setgid(0) == 0)
		return 4;
	cap_t now = cap_get_proc();
	cap_t none = cap_init();
	if (!now || !none || cap_compare(now, none) != 0)
		return 5;
	for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
		if (prctl(PR_CAPBSET_READ, cap, 0, 0, 0) != 0)
			return 6;
	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1 || prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0)
		return 7;
	if (open("/etc/shadow", O_RDONLY | O_CLOEXEC) >= 0)
		return 8;
	/* and once more is no error, another account is */
	if (loam_privileges_drop(who, &err) < 0)
		return 9;
	const struct loam_identity another = { .uid = who->uid + 1, .gid = who->gid };
	return loam_privileges_drop(&another, &err) == -LOAM_E_DENIED ? 0 : 10;
}

static int status_of(const struct loam_identity *who, int (*check)(const struct loam_identity *))
{
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0)
		_exit(check(who));
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void what_root_gives_up_it_does_not_get_back(void **state)
{
	need_root();
	const struct loam_identity who = { .uid = SERVICE, .gid = SERVICE };
	assert_int_equal(status_of(&who, drop_and_look), 0);
}

/* A supervisor's wish to be followed into death outlives the change of uid. */
static int keeps_its_parents_signal(const struct loam_identity *who)
{
	struct loam_err err = { 0 };
	int signal_number = 0;
	if (prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0) < 0 || loam_privileges_drop(who, &err) < 0 ||
	    prctl(PR_GET_PDEATHSIG, &signal_number, 0, 0, 0) < 0)
		return 1;
	return signal_number == SIGTERM ? 0 : 2;
}

static void it_still_ends_with_its_parent(void **state)
{
	need_root();
	const struct loam_identity who = { .uid = SERVICE, .gid = SERVICE };
	assert_int_equal(status_of(&who, keeps_its_parents_signal), 0);
}

static void a_tree_of_root_is_given_once(void **state)
{
	need_root();
	const struct loam_identity who = { .uid = SERVICE, .gid = SERVICE };
	struct loam_err err = { 0 };
	loam_auto_free char *tree = loam_path_join(dir, "tree");
	loam_auto_free char *below = loam_path_join(dir, "tree/a/b");
	loam_auto_free char *link = loam_path_join(dir, "tree/a/link");
	loam_auto_free char *outside = make_file("outside");
	assert_int_equal(loam_mkdir_all(below, 0700, &err), 0);
	loam_auto_free char *file = make_file("tree/a/b/file");
	assert_int_equal(symlink(outside, link), 0);
	assert_int_equal(loam_privileges_give(tree, &who, &err), 1);
	assert_int_equal(owner_of(tree), SERVICE);
	assert_int_equal(owner_of(file), SERVICE);
	assert_int_equal(owner_of(link), SERVICE);
	assert_int_equal(owner_of(outside), 0);
	/* what root makes there later is not looked at: the top is given */
	loam_auto_free char *later = make_file("tree/later");
	assert_int_equal(loam_privileges_give(tree, &who, &err), 0);
	assert_int_equal(owner_of(later), 0);
	assert_int_equal(loam_privileges_give("/nowhere/at/all", &who, &err), -LOAM_E_NOT_FOUND);
}

static void files_are_made_as_the_owner_would(void **state)
{
	need_root();
	loam_auto_free char *theirs = loam_path_join(dir, "theirs");
	loam_auto_free char *secret = make_file("secret");
	assert_int_equal(mkdir(theirs, 0700), 0);
	assert_int_equal(chown(theirs, SERVICE, SERVICE), 0);
	assert_int_equal(chmod(dir, 0711), 0);
	{
		loam_auto_file_owner struct loam_file_owner owner = loam_file_owner_enter(theirs);
		loam_auto_free char *made = make_file("theirs/made");
		assert_int_equal(owner_of(made), SERVICE);
		/* a link that they left there leads nowhere that they could not go */
		assert_true(open(secret, O_RDONLY | O_CLOEXEC) < 0);
	}
	loam_auto_free char *mine = make_file("theirs/mine");
	assert_int_equal(owner_of(mine), 0);
	struct loam_file_owner none = loam_file_owner_enter("/nowhere/at/all");
	assert_false(none.changed);
	none = loam_file_owner_enter("/");
	assert_false(none.changed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_account_is_found_by_name_and_number),
		cmocka_unit_test(what_root_gives_up_it_does_not_get_back),
		cmocka_unit_test(it_still_ends_with_its_parent),
		cmocka_unit_test_setup_teardown(a_tree_of_root_is_given_once, setup, teardown),
		cmocka_unit_test_setup_teardown(files_are_made_as_the_owner_would, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
