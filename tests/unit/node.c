/*
 * auth/node, auth/node_names: what a node's files hold, who is left out, enrolling and removing
 * below a folder of its own.
 */
#include "auth/node.h"

#include "auth/node_names.h"
#include "core/auto.h"
#include "core/process.h"
#include "core/sys.h"

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

static const char passwd_text[] = "alice:x:20001:20001::/users/alice:/bin/bash\n"
				  "bob:x:20002:20002::/users/bob:/bin/bash\n"
				  "carol:x:20003:20003::/users/carol:/bin/bash\n"
				  "dave:x:20004:20004::/users/dave:/bin/bash\n"
				  "erin:x:20005:1700::/users/erin:/bin/bash\n"
				  "low:x:999:999::/users/low:/bin/bash\n"
				  "nul:x:0:0::/users/nul:/bin/bash\n";
static const char group_text[] = "alice:x:20001:\nbob:x:20002:\ncarol:x:20003:\ndave:x:20004:\n"
				 "team:x:20010:alice,bob,carol,ghost\nstaff2:x:1600:alice\n";
static const char shadow_text[] = "alice:$y$j9T$aaaa$bbbb:1:0:99999:7:::\n"
				  "bob:!:1:0:99999:7::1:\n"
				  "carol:!:1:0:99999:7:::\ndave:!:1:0:99999:7:::\n"
				  "erin:!:1:0:99999:7:::\n";

static struct loam_accounts *accounts(void)
{
	struct loam_buf texts[LOAM_ACCOUNT_FILES];
	struct loam_err err = { 0 };
	for (int i = 0; i < LOAM_ACCOUNT_FILES; i++)
		loam_buf_init(&texts[i], 1u << 20);
	assert_int_equal(loam_buf_add_text(&texts[LOAM_FILE_PASSWD], passwd_text, &err), 0);
	assert_int_equal(loam_buf_add_text(&texts[LOAM_FILE_GROUP], group_text, &err), 0);
	assert_int_equal(loam_buf_add_text(&texts[LOAM_FILE_SHADOW], shadow_text, &err), 0);
	struct loam_accounts *parsed = loam_accounts_parse(texts, 20000);
	for (int i = 0; i < LOAM_ACCOUNT_FILES; i++)
		loam_buf_release(&texts[i]);
	return parsed;
}

static void make(const char *local_passwd, const char *local_group, struct loam_node_names *out)
{
	struct loam_err err = { 0 };
	loam_auto_buf struct loam_buf passwd = LOAM_BUF(1u << 20), group = LOAM_BUF(1u << 20);
	const struct loam_node_look look = { .mount = "/mnt/loam", .shell = "/bin/zsh" };
	assert_int_equal(loam_buf_add_text(&passwd, local_passwd, &err), 0);
	assert_int_equal(loam_buf_add_text(&group, local_group, &err), 0);
	struct loam_accounts *all = accounts();
	struct loam_node_local *local = loam_node_local_parse(&passwd, &group);
	assert_int_equal(loam_node_names_make(all, local, &look, out, &err), 0);
	loam_node_local_free(local);
	loam_accounts_free(all);
}

static void a_node_without_people_knows_all(void **state)
{
	struct loam_node_names names;
	make("root:x:0:0::/root:/bin/sh\n", "root:x:0:\n", &names);
	assert_string_equal(loam_buf_text(&names.passwd),
			    "loam:x:20000:20000:Loam:/:/usr/sbin/nologin\n"
			    "alice:x:20001:20001::/mnt/loam/users/alice:/bin/zsh\n"
			    "bob:x:20002:20002::/mnt/loam/users/bob:/usr/sbin/nologin\n"
			    "carol:x:20003:20003::/mnt/loam/users/carol:/bin/zsh\n"
			    "dave:x:20004:20004::/mnt/loam/users/dave:/bin/zsh\n"
			    "erin:x:20005:1700::/mnt/loam/users/erin:/bin/zsh\n");
	assert_string_equal(loam_buf_text(&names.shadow),
			    "alice:*:::::::\nbob:*::::::1:\ncarol:*:::::::\ndave:*:::::::\n"
			    "erin:*:::::::\n");
	assert_string_equal(loam_buf_text(&names.group),
			    "loam:x:20000:\nalice:x:20001:\nbob:x:20002:\ncarol:x:20003:\n"
			    "dave:x:20004:\nstaff2:x:1600:alice\nteam:x:20010:alice,bob,carol\n");
	assert_int_equal(names.left_out_count, 0);
	loam_node_names_release(&names);
}

static void the_nodes_own_people_win(void **state)
{
	struct loam_node_names names;
	/* alice as in the volume; carol another person; somebody with dave's number; a group with
	 * the number of erin's; a group named team; loam as another number */
	make("root:x:0:0::/root:/bin/sh\nalice:x:20001:20001::/home/alice:/bin/sh\n"
	     "carol:x:1500:1500::/home/carol:/bin/sh\nother:x:20004:100::/:/bin/sh\n"
	     "loam:x:998:998::/:/bin/false\ndamaged\n:x:5:\nx:y\n",
	     "root:x:0:\nwheel2:x:1700:carol\nteam:x:50:\nalice:x:20001:\n", &names);
	assert_string_equal(loam_buf_text(&names.passwd),
			    "bob:x:20002:20002::/mnt/loam/users/bob:/usr/sbin/nologin\n");
	assert_string_equal(loam_buf_text(&names.group),
			    "loam:x:20000:\nbob:x:20002:\ncarol:x:20003:\ndave:x:20004:\n"
			    "staff2:x:1600:alice\n");
	assert_string_equal(loam_buf_text(&names.left_out),
			    "user carol (20003): this node has a user carol (1500) of its own\n"
			    "user dave (20004): this node has a user other (20004) of its own\n"
			    "user erin (20005): this node has a group wheel2 (1700) of its own\n"
			    "group team (20010): this node has a group team (50) of its own\n");
	loam_node_names_release(&names);
}

static void a_member_who_is_another_here_is_none(void **state)
{
	struct loam_node_names names;
	make("carol:x:1500:1500::/home/carol:/bin/sh\nbob:x:20002:20002::/:/bin/sh\n", "", &names);
	assert_non_null(strstr(loam_buf_text(&names.group), "team:x:20010:alice,bob\n"));
	loam_node_names_release(&names);
}

/* ---- files ----------------------------------------------------------------------------------- */

static char root[64];

static char *at(const char *path)
{
	return loam_xasprintf("%s%s", root, path);
}

static void put(const char *path, const char *text)
{
	loam_auto_free char *whole = at(path);
	loam_auto_free char *dir = loam_xstrndup(whole, (size_t)(strrchr(whole, '/') - whole));
	struct loam_err err = { 0 };
	assert_int_equal(loam_mkdir_all(dir, 0755, &err), 0);
	FILE *out = fopen(whole, "w");
	assert_non_null(out);
	fputs(text, out);
	assert_int_equal(fclose(out), 0);
}

static void assert_holds(const char *path, const char *text)
{
	loam_auto_free char *whole = at(path);
	loam_auto_buf struct loam_buf held = LOAM_BUF(1u << 20);
	struct loam_err err = { 0 };
	assert_int_equal(loam_path_read_all(whole, &held, &err), 0);
	assert_string_equal(loam_buf_text(&held), text);
}

static void assert_missing(const char *path)
{
	loam_auto_free char *whole = at(path);
	struct stat st;
	assert_int_equal(lstat(whole, &st), -1);
}

#define OWN_SWITCH "passwd: files\ngroup: files\nshadow: files\n"

static int setup(void **state)
{
	snprintf(root, sizeof(root), "/tmp/loam-node-XXXXXX");
	assert_non_null(mkdtemp(root));
	put("/usr/lib/x/libnss_extrausers.so.2", "a library");
	put("/etc/passwd", "root:x:0:0::/root:/bin/sh\n");
	put("/etc/group", "root:x:0:\n");
	put("/etc/nsswitch.conf", OWN_SWITCH);
	return 0;
}

static int teardown(void **state)
{
	const char *const argv[] = { "rm", "-rf", root, NULL };
	struct loam_process_spec spec = { .argv = argv, .stdin_fd = -1 };
	struct loam_err err = { 0 };
	return loam_process_run(&spec, NULL, 0, NULL, 20000, &err);
}

static struct loam_node node_of(const char *uuid)
{
	struct loam_node node = { .volume = "vol", .mount = "/mnt/loam", .shell = "/bin/sh" };
	snprintf(node.root, sizeof(node.root), "%s", root);
	snprintf(node.uuid, sizeof(node.uuid), "%s", uuid);
	return node;
}

static void a_node_is_enrolled_refreshed_and_removed(void **state)
{
	struct loam_err err = { 0 };
	struct loam_accounts *all = accounts();
	struct loam_node node = node_of("u1"), loaded;
	struct loam_node_look_result look;
	bool edited = true;
	assert_int_equal(loam_node_load(root, &loaded, &err), 0);
	assert_int_equal(loam_node_refresh(root, "u1", all, &look, &err), 0);
	assert_false(look.enrolled);
	assert_missing("/var/lib/extrausers");

	assert_int_equal(loam_node_enroll(&node, all, &err), 0);
	assert_holds("/etc/nsswitch.conf", "passwd: files extrausers\ngroup: files extrausers\n"
					   "shadow: files extrausers\n");
	assert_int_equal(loam_node_load(root, &loaded, &err), 1);
	assert_string_equal(loaded.mount, "/mnt/loam");
	assert_int_equal(loam_node_refresh(root, "u1", all, &look, &err), 0);
	assert_true(look.enrolled);
	assert_false(look.changed);
	assert_int_equal(look.users, 5);
	/* another volume's mount has no say */
	assert_int_equal(loam_node_refresh(root, "u2", all, &look, &err), 0);
	assert_false(look.enrolled);
	/* a file that was damaged is written again */
	put("/var/lib/extrausers/passwd", "evil:x:0:0::/:/bin/sh\n");
	assert_int_equal(loam_node_refresh(root, "u1", all, &look, &err), 0);
	assert_true(look.changed);
	/* again, with another shell: the backup stays the first one */
	snprintf(node.shell, sizeof(node.shell), "/bin/zsh");
	assert_int_equal(loam_node_enroll(&node, all, &err), 0);
	struct loam_node other = node_of("u2");
	assert_int_equal(loam_node_enroll(&other, all, &err), -LOAM_E_EXISTS);
	loam_err_clear(&err);

	assert_int_equal(loam_node_remove(root, &edited, &err), 0);
	assert_false(edited);
	assert_holds("/etc/nsswitch.conf", OWN_SWITCH);
	assert_missing("/var/lib/extrausers/passwd");
	assert_missing("/var/lib/extrausers/shadow");
	assert_missing("/var/lib/loam-node");
	assert_int_equal(loam_node_remove(root, &edited, &err), -LOAM_E_NOT_FOUND);
	loam_accounts_free(all);
}

static void what_cannot_be_enrolled_is_left_alone(void **state)
{
	struct loam_err err = { 0 };
	struct loam_accounts *all = accounts();
	struct loam_node node = node_of("u1");
	loam_auto_free char *library = at("/usr/lib/x/libnss_extrausers.so.2");
	snprintf(node.mount, sizeof(node.mount), "/mnt:x");
	assert_int_equal(loam_node_enroll(&node, all, &err), -LOAM_E_INVALID);
	loam_err_clear(&err);
	snprintf(node.mount, sizeof(node.mount), "/mnt\nroot2:x:0:0::/:/bin/sh");
	assert_int_equal(loam_node_enroll(&node, all, &err), -LOAM_E_INVALID);
	loam_err_clear(&err);
	node = node_of("u1");
	put("/var/lib/extrausers/group", "somebody:x:5000:\n");
	assert_int_equal(loam_node_enroll(&node, all, &err), -LOAM_E_EXISTS);
	loam_err_clear(&err);
	assert_holds("/var/lib/extrausers/group", "somebody:x:5000:\n");
	assert_int_equal(unlink(library), 0);
	assert_int_equal(loam_node_enroll(&node, all, &err), -LOAM_E_NOT_FOUND);
	assert_non_null(strstr(err.text, "apt-get install libnss-extrausers"));
	assert_holds("/etc/nsswitch.conf", OWN_SWITCH);
	assert_missing("/var/lib/loam-node/node.json");
	loam_accounts_free(all);
}

static void others_words_in_nsswitch_stay(void **state)
{
	struct loam_err err = { 0 };
	struct loam_accounts *all = accounts();
	struct loam_node node = node_of("u1");
	bool edited = false;
	assert_int_equal(loam_node_enroll(&node, all, &err), 0);
	put("/etc/nsswitch.conf",
	    "passwd: files extrausers sss\ngroup: files extrausers\nshadow: files extrausers\n");
	assert_int_equal(loam_node_remove(root, &edited, &err), 0);
	assert_true(edited);
	assert_holds("/etc/nsswitch.conf", "passwd: files sss\ngroup: files\nshadow: files\n");
	loam_accounts_free(all);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_node_without_people_knows_all),
		cmocka_unit_test(the_nodes_own_people_win),
		cmocka_unit_test(a_member_who_is_another_here_is_none),
		cmocka_unit_test_setup_teardown(a_node_is_enrolled_refreshed_and_removed, setup,
						teardown),
		cmocka_unit_test_setup_teardown(what_cannot_be_enrolled_is_left_alone, setup,
						teardown),
		cmocka_unit_test_setup_teardown(others_words_in_nsswitch_stay, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
