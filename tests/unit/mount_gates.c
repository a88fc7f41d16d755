/*
 * Gates and clones on the mounted file system, as several users. Names are sentences.
 */
#include "core/clock.h"
#include "fs/mount/loam_ioctl_format.h"
#include "tests/support/mount_world.h"

#include <grp.h>
#include <signal.h>
#include <sys/time.h>
#include <sys/wait.h>

/* ---- gates ----------------------------------------------------------------------------------- */

/* Stands inside a gate, then tries again each time it is told to. */
struct insider {
	int ask[2], answer[2];
	pid_t pid;
};

static void insider_start(struct insider *insider, uid_t uid, const gid_t *groups, size_t count,
			  const char *dir)
{
	assert_works(pipe(insider->ask));
	assert_works(pipe(insider->answer));
	insider->pid = fork();
	if (insider->pid != 0)
		return;
	if (setgroups(count, groups) != 0 || setresgid(uid, uid, uid) != 0 ||
	    setresuid(uid, uid, uid) != 0 || chdir(dir) != 0)
		_exit(1);
	for (char byte; read(insider->ask[0], &byte, 1) == 1 && byte != 'q';) {
		int answers[2] = { try_read("file"), try_list(".") };
		if (write(insider->answer[1], answers, sizeof(answers)) < 0)
			break;
	}
	_exit(0);
}

static void insider_finds(struct insider *insider, int expected)
{
	int answers[2] = { -1, -1 };
	assert_int_equal(write(insider->ask[1], "a", 1), 1);
	assert_int_equal(read(insider->answer[0], answers, sizeof(answers)), sizeof(answers));
	assert_int_equal(answers[0], expected);
	assert_int_equal(answers[1], expected);
}

static void insider_stop(struct insider *insider)
{
	assert_int_equal(write(insider->ask[1], "q", 1), 1);
	waitpid(insider->pid, NULL, 0);
	for (int i = 0; i < 2; i++) {
		close(insider->ask[i]);
		close(insider->answer[i]);
	}
}

static void own(const char *path, mode_t mode)
{
	assert_works(chown(path, LOAM_TEST_SERVICE_UID, LOAM_TEST_SERVICE_UID));
	assert_works(chmod(path, mode));
}

static void make_gate(void)
{
	assert_works(mkdir(at("models"), 0755));
	own(at("models"), 0755);
	assert_works(mkdir(at("models/ns"), 0755));
	own(at("models/ns"), 0755);
	assert_works(mkdir(at("models/ns/repo"), 0750));
	assert_works(mkdir(at("models/ns/repo/sub"), 0755));
	put(at("models/ns/repo/sub/file"), "weights", 0444);
	own(at("models/ns/repo/sub/file"), 0444);
	own(at("models/ns/repo/sub"), 0555);
	own(at("models/ns/repo"), 0750);
}

static void remove_gate(void)
{
	assert_works(unlink(at("models/ns/repo/sub/file")));
	assert_works(rmdir(at("models/ns/repo/sub")));
	assert_works(rmdir(at("models/ns/repo")));
	assert_works(rmdir(at("models/ns")));
	assert_works(rmdir(at("models")));
}

static void a_gate_takes_the_write_bit_away(void **state)
{
	make_gate();
	const char *gate = at("models/ns/repo");
	set_acl(gate, ACL_TYPE_ACCESS, "u::rwx,u:20002:rwx,g::-,m::rwx,o::-");
	has_acl(gate, ACL_TYPE_ACCESS, "user::rwx,user:20002:rwx,group::---,mask::r-x,other::---");
	assert_works(chmod(gate, 0777));
	assert_int_equal(mode_of(gate), 0755);
	assert_int_equal(as(BOB, try_create, at("models/ns/repo/new")), EACCES);
	assert_int_equal(as(BOB, try_create, at("models/ns/repo/sub/new")), EACCES);
	const char *file = at("models/ns/repo/sub/file");
	assert_int_equal(as(BOB, try_read, file), 0);
	assert_int_equal(as(BOB, try_write, file), EACCES);
	assert_int_equal(as(BOB, try_truncate, file), EACCES);
	assert_int_equal(as(BOB, try_chmod, file), EPERM);
	assert_int_equal(as(BOB, try_set_user_xattr, file), EACCES);
	assert_int_equal(as(BOB, try_touch, file), EACCES);
	assert_int_equal(as(BOB, try_unlink, file), EACCES);
	/* elsewhere the mask is the user's own */
	set_acl(at("models/ns"), ACL_TYPE_ACCESS, "u::rwx,u:20002:rwx,g::-,m::rwx,o::r-x");
	has_acl(at("models/ns"), ACL_TYPE_ACCESS,
		"user::rwx,user:20002:rwx,group::---,mask::rwx,other::r-x");
	remove_gate();
}

static void a_gate_is_asked_again_inside(void **state)
{
	make_gate();
	const char *gate = at("models/ns/repo");
	set_acl(gate, ACL_TYPE_ACCESS, "u::rwx,u:20002:r-x,g::-,m::r-x,o::-");
	assert_int_equal(as(CAROL, try_read, at("models/ns/repo/sub/file")), EACCES);
	struct insider bob;
	insider_start(&bob, BOB, NULL, 0, at("models/ns/repo/sub"));
	insider_finds(&bob, 0);
	set_acl(gate, ACL_TYPE_ACCESS, "u::rwx,u:20002:---,g::-,m::r-x,o::-");
	insider_finds(&bob, EACCES);
	set_acl(gate, ACL_TYPE_ACCESS, "u::rwx,g::-,g:21000:r-x,m::r-x,o::-");
	insider_finds(&bob, EACCES);
	set_acl(gate, ACL_TYPE_ACCESS, "u::rwx,g::-,o::r-x");
	insider_finds(&bob, 0);
	insider_stop(&bob);
	remove_gate();
}

static void a_gate_asks_for_groups_where_they_decide(void **state)
{
	make_gate();
	const char *gate = at("models/ns/repo");
	set_acl(gate, ACL_TYPE_ACCESS, "u::rwx,g::-,g:21000:r-x,m::r-x,o::-");
	gid_t group = GROUP;
	struct insider carol;
	insider_start(&carol, CAROL, &group, 1, at("models/ns/repo/sub"));
	insider_finds(&carol, 0);
	set_acl(gate, ACL_TYPE_ACCESS, "u::rwx,g::-,g:21000:---,m::r-x,o::r-x");
	insider_finds(&carol, EACCES);
	insider_stop(&carol);
	remove_gate();
}

/* ---- the roster ------------------------------------------------------------------------------ */

static void write_roster(const char *text)
{
	mkdir(at(".loam"), 0711);
	mkdir(at(".loam/etc"), 0700);
	put(at(".loam/etc/new"), text, 0600);
	assert_works(rename(at(".loam/etc/new"), at(".loam/etc/roster")));
}

/* Both answers, once the mount has looked at its roster again. */
static void insider_will_find(struct insider *insider, int expected)
{
	int answers[2] = { -1, -1 };
	for (int i = 0; i < 1000 && (answers[0] != expected || answers[1] != expected); i++) {
		loam_clock_sleep_ms(10);
		assert_int_equal(write(insider->ask[1], "a", 1), 1);
		assert_int_equal(read(insider->answer[0], answers, sizeof(answers)),
				 sizeof(answers));
	}
	assert_int_equal(answers[0], expected);
	assert_int_equal(answers[1], expected);
}

/* What it said last holds: so it says nothing before it goes. */
static void remove_roster(struct insider *insider)
{
	write_roster("");
	insider_will_find(insider, 0);
	assert_works(unlink(at(".loam/etc/roster")));
	assert_works(rmdir(at(".loam/etc")));
	assert_works(rmdir(at(".loam")));
}

static void who_is_on_the_roster_as_blocked_is_shut_out_everywhere(void **state)
{
	assert_works(mkdir(at("open"), 0777));
	assert_works(chmod(at("open"), 0777));
	put(at("open/file"), "text", 0666);
	assert_works(chmod(at("open/file"), 0666));
	struct insider bob, carol;
	insider_start(&bob, BOB, NULL, 0, at("open"));
	insider_start(&carol, CAROL, NULL, 0, at("open"));
	insider_finds(&bob, 0);
	write_roster("x blocked\n20002 blocked\n20002 20002\n20003 blocked no\n\n0 blocked\n");
	insider_will_find(&bob, EACCES);
	insider_finds(&carol, 0);
	const char *file = at("open/file");
	assert_int_equal(as(BOB, try_read, file), EACCES);
	assert_int_equal(as(BOB, try_write, file), EACCES);
	assert_int_equal(as(BOB, try_create, at("open/new")), EACCES);
	assert_int_equal(as(BOB, try_unlink, file), EACCES);
	assert_int_equal(as(BOB, try_list, at("open")), EACCES);
	assert_int_equal(as(0, try_read, file), 0);
	write_roster("20002 20002\n");
	insider_will_find(&bob, 0);
	write_roster("20002 blocked");
	insider_will_find(&bob, EACCES);
	assert_works(rename(at(".loam/etc/roster"), at(".loam/etc/old")));
	for (int i = 0; i < 15; i++) { /* longer than two looks */
		loam_clock_sleep_ms(100);
		insider_finds(&bob, EACCES);
	}
	assert_works(unlink(at(".loam/etc/old")));
	remove_roster(&bob);
	insider_stop(&bob);
	insider_stop(&carol);
	assert_works(unlink(at("open/file")));
	assert_works(rmdir(at("open")));
}

/* A process keeps its groups for life; at a gate only those count that its user is still in. */
static void a_group_that_is_not_on_the_roster_counts_no_more_at_a_gate(void **state)
{
	make_gate();
	set_acl(at("models/ns/repo"), ACL_TYPE_ACCESS, "u::rwx,g::-,g:21000:r-x,m::r-x,o::-");
	gid_t group = GROUP;
	struct insider carol;
	insider_start(&carol, CAROL, &group, 1, at("models/ns/repo/sub"));
	insider_finds(&carol, 0);
	write_roster("20003 20003,21001\n");
	insider_will_find(&carol, EACCES);
	write_roster("20003 20003,21000\n20002 20002\n");
	insider_will_find(&carol, 0);
	write_roster("20003 20003,21000,\n"); /* a bad line is none */
	insider_finds(&carol, 0);
	remove_roster(&carol);
	insider_stop(&carol);
	remove_gate();
}

/* ---- clones ---------------------------------------------------------------------------------- */

static int clone_at(const char *from, const char *to_dir, const char *name, unsigned flags,
		    struct loam_ioc_clone *out)
{
	loam_auto_fd int source = open(from, O_RDONLY);
	loam_auto_fd int target = open(to_dir, O_RDONLY | O_DIRECTORY);
	if (source < 0 || target < 0)
		return errno;
	struct loam_ioc_ticket ticket;
	if (ioctl(source, LOAM_IOC_TICKET, &ticket) != 0)
		return errno;
	struct loam_ioc_clone request = { .flags = flags };
	memcpy(request.ticket, ticket.bytes, sizeof(request.ticket));
	snprintf(request.name, sizeof(request.name), "%s", name);
	if (ioctl(target, LOAM_IOC_CLONE, &request) != 0)
		return errno;
	if (out)
		*out = request;
	/* a ticket is good once */
	return ioctl(target, LOAM_IOC_CLONE, &request) != 0 && errno == ESTALE ? 0 : 255;
}

static int clone_tree(const char *base)
{
	char from[256], to[256];
	snprintf(from, sizeof(from), "%s/src", base);
	snprintf(to, sizeof(to), "%s/home", base);
	struct loam_ioc_clone result = { 0 };
	int rc = clone_at(from, to, "copy", 0, &result);
	return rc ? rc : result.files == 2 && result.dirs == 2 ? 0 : 254;
}

static int clone_badly(const char *base)
{
	char from[256], to[256];
	snprintf(from, sizeof(from), "%s/src", base);
	snprintf(to, sizeof(to), "%s/home", base);
	if (clone_at(from, to, "copy", 0, NULL) != EEXIST ||
	    clone_at(from, to, "..", 0, NULL) != EINVAL ||
	    clone_at(from, to, "a/b", 0, NULL) != EINVAL ||
	    clone_at(from, to, "", 0, NULL) != EINVAL ||
	    clone_at(from, to, "c", 1u << 9, NULL) != EINVAL ||
	    clone_at(from, to, "c", LOAM_IOC_CLONE_PRESERVE, NULL) != EPERM ||
	    clone_at(from, from, "c", 0, NULL) != EACCES)
		return 1;
	loam_auto_fd int target = open(to, O_RDONLY | O_DIRECTORY);
	struct loam_ioc_clone request = { .name = "forged" };
	return ioctl(target, LOAM_IOC_CLONE, &request) != 0 && errno == ESTALE ? 0 : 2;
}

static void a_clone_is_the_callers_own(void **state)
{
	assert_works(mkdir(at("src"), 0755));
	assert_works(mkdir(at("src/sub"), 0755));
	put(at("src/a"), "aaa", 0644);
	put(at("src/sub/b"), "bbb", 04755);
	assert_works(mkdir(at("home"), 0700));
	assert_works(chown(at("home"), BOB, BOB));
	assert_int_equal(as(BOB, clone_tree, mounted.dir), 0);
	holds(at("home/copy/a"), "aaa");
	holds(at("home/copy/sub/b"), "bbb");
	struct stat st;
	assert_works(stat(at("home/copy/sub/b"), &st));
	assert_int_equal(st.st_uid, BOB);
	assert_int_equal(st.st_mode & 06000, 0);
	/* the copy is private */
	put(at("home/copy/a"), "changed", 0644);
	holds(at("src/a"), "aaa");
	assert_int_equal(as(BOB, clone_badly, mounted.dir), 0);

	/* a child that may not be read refuses the whole, and leaves nothing */
	assert_works(chmod(at("src/sub/b"), 0600));
	assert_works(rename(at("home/copy"), at("home/first")));
	assert_int_equal(as(BOB, clone_tree, mounted.dir), EACCES);
	assert_errno(stat(at("home/copy"), &st), ENOENT);
	assert_int_equal(as(CAROL, clone_tree, mounted.dir), EACCES);

	static const char *const files[] = { "home/first/a", "home/first/sub/b", "src/a",
					     "src/sub/b" };
	static const char *const dirs[] = { "home/first/sub", "home/first", "home", "src/sub",
					    "src" };
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(files); i++)
		assert_works(unlink(at("%s", files[i])));
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(dirs); i++)
		assert_works(rmdir(at("%s", dirs[i])));
}

#define CROWD 5000

static void on_alarm(int signal_number)
{
	(void)signal_number;
}

/* EINTR, or 0 when the clone was quicker than the clock. */
static int clone_interrupted(const char *base)
{
	char from[256];
	snprintf(from, sizeof(from), "%s/crowd", base);
	struct sigaction action = { .sa_handler = on_alarm };
	sigaction(SIGALRM, &action, NULL);
	struct itimerval soon = { .it_value.tv_usec = 3000 };
	setitimer(ITIMER_REAL, &soon, NULL);
	return clone_at(from, base, "crowd-copy", 0, NULL);
}

static void a_signal_ends_a_clone_and_leaves_nothing(void **state)
{
	assert_works(mkdir(at("crowd"), 0755));
	for (unsigned i = 0; i < CROWD; i++)
		put(at("crowd/%u", i), "x", 0644);
	bool interrupted = false;
	for (unsigned round = 0; round < 10 && !interrupted; round++) {
		struct stat st;
		int rc = loam_test_as(0, 0, NULL, 0, clone_interrupted, mounted.dir);
		interrupted = rc == EINTR;
		if (interrupted) {
			assert_errno(stat(at("crowd-copy"), &st), ENOENT);
			break;
		}
		assert_int_equal(rc, 0);
		for (unsigned i = 0; i < CROWD; i++)
			assert_works(unlink(at("crowd-copy/%u", i)));
		assert_works(rmdir(at("crowd-copy")));
	}
	assert_true(interrupted);
	for (unsigned i = 0; i < CROWD; i++)
		assert_works(unlink(at("crowd/%u", i)));
	assert_works(rmdir(at("crowd")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_gate_takes_the_write_bit_away),
		cmocka_unit_test(a_gate_is_asked_again_inside),
		cmocka_unit_test(a_gate_asks_for_groups_where_they_decide),
		cmocka_unit_test(who_is_on_the_roster_as_blocked_is_shut_out_everywhere),
		cmocka_unit_test(a_group_that_is_not_on_the_roster_counts_no_more_at_a_gate),
		cmocka_unit_test(a_clone_is_the_callers_own),
		cmocka_unit_test(a_signal_ends_a_clone_and_leaves_nothing),
	};
	return run_mounted("mount_gates", tests, LOAM_ARRAY_COUNT(tests));
}
