/*
 * auth/groups: groups, their members, managers and directories, changed by many at once.
 */
#include "auth/groups.h"

#include "core/auto.h"
#include "fs/files.h"
#include "tests/support/tree_world.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/volume.h"

#define GROUP	"/.loam/etc/group"
#define GSHADOW "/.loam/etc/gshadow"
#define ROSTER	"/.loam/etc/roster"

static struct loam_account_store *store_of(struct loam_tree_world *world)
{
	return loam_auth_accounts(world->auth);
}

static uint32_t add(struct loam_tree_world *world, const char *name)
{
	struct loam_new_group group = { .name = name };
	uint32_t gid = 0;
	assert_ok(loam_group_add(store_of(world), &group, &gid, &err));
	return gid;
}

static int add_code(struct loam_tree_world *world, const struct loam_new_group *group)
{
	struct loam_err err = { 0 };
	uint32_t gid;
	return -loam_group_add(store_of(world), group, &gid, &err);
}

/* Is user in the group by every door's view of him? */
static bool principal_has(struct loam_tree_world *world, const char *user, uint32_t gid)
{
	struct loam_principal who;
	assert_ok(loam_auth_user(world->auth, user, "", &who, &err));
	for (size_t i = 0; i < who.group_count; i++)
		if (who.groups[i] == gid)
			return true;
	return false;
}

static void expect_text(struct loam_tree_world *world, const char *path, const char *wanted)
{
	loam_auto_free char *text = loam_tree_world_text(world, path);
	assert_string_equal(text ? text : "", wanted);
}

static void a_group_has_a_number_and_a_directory_that_members_share(void **state)
{
	struct loam_tree_world *world = *state;
	uint32_t alice = loam_tree_world_user(world, "alice");
	uint32_t gid = add(world, "team");
	uint64_t ino, file_ino;
	struct loam_attr attr;
	assert_int_equal(gid, alice + 1);
	assert_int_equal(loam_tree_world_user(world, "bob"), gid + 1);
	assert_ok(loam_files_lookup(&world->volume, "/groups/team", &ino, &attr, &err));
	assert_int_equal(attr.uid, LOAM_SERVICE_ID);
	assert_int_equal(attr.gid, gid);
	assert_int_equal(attr.mode, 02770);

	uint32_t groups[] = { alice, gid };
	struct loam_who who = { .uid = alice,
				.gid = alice,
				.groups = groups,
				.group_count = 2,
				.umask = 077,
				.check = true };
	struct loam_create create = { .type = LOAM_TYPE_FILE, .mode = 0666 };
	struct loam_create dir = { .type = LOAM_TYPE_DIR, .mode = 0777 };
	assert_ok(loam_meta_create(world->volume.meta, &who, ino, loam_name_of("file"), &create,
				   &file_ino, &attr, &err));
	assert_int_equal(attr.gid, gid);
	assert_int_equal(attr.mode, 0660);
	assert_ok(loam_meta_create(world->volume.meta, &who, ino, loam_name_of("dir"), &dir,
				   &file_ino, &attr, &err));
	assert_int_equal(attr.gid, gid);
	assert_int_equal(attr.mode, 02770);
	assert_int_not_equal(attr.default_acl, 0);
	struct loam_who foreign = { .uid = 29999, .gid = 29999, .check = true };
	assert_code(loam_meta_create(world->volume.meta, &foreign, ino, loam_name_of("x"), &create,
				     &file_ino, &attr, &err),
		    LOAM_E_DENIED);
}

static void names_and_numbers_are_given_once(void **state)
{
	struct loam_tree_world *world = *state;
	loam_tree_world_user(world, "alice");
	uint32_t gid = add(world, "team");
	static const char *const bad[] = { "",	   ".",	  "..",	 "-x",	"Team", "root",
					   "loam", "api", "a b", "a:b", "a,b",	"a\nb" };
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(bad); i++)
		assert_int_equal(add_code(world, &(struct loam_new_group){ .name = bad[i] }),
				 LOAM_E_UNPROCESSABLE);
	assert_int_equal(add_code(world, &(struct loam_new_group){ .name = "team" }),
			 LOAM_E_EXISTS);
	assert_int_equal(add_code(world, &(struct loam_new_group){ .name = "alice" }),
			 LOAM_E_EXISTS);
	assert_int_equal(add_code(world, &(struct loam_new_group){ .name = "lab", .gid = gid }),
			 LOAM_E_EXISTS);
	struct loam_new_user user = { .name = "team" };
	uint32_t uid;
	assert_code(loam_account_store_add_user(store_of(world), &user, &uid, &err), LOAM_E_EXISTS);

	assert_ok(loam_group_remove(store_of(world), "team", &err));
	assert_code(loam_group_remove(store_of(world), "team", &err), LOAM_E_NOT_FOUND);
	assert_int_equal(add_code(world, &(struct loam_new_group){ .name = "lab", .gid = gid }),
			 LOAM_E_EXISTS);
	struct loam_new_user reuse = { .name = "bob", .uid = gid };
	assert_code(loam_account_store_add_user(store_of(world), &reuse, &uid, &err),
		    LOAM_E_EXISTS);
	assert_true(add(world, "team") > gid);
	assert_int_equal(add_code(world,
				  &(struct loam_new_group){ .name = "host", .host_gid = 5000 }),
			 0);
}

static void members_come_and_go_and_managers_are_marked(void **state)
{
	struct loam_tree_world *world = *state;
	loam_tree_world_user(world, "alice");
	loam_tree_world_user(world, "bob");
	uint32_t gid = add(world, "team");
	assert_ok(
		loam_group_set_member(store_of(world), "team", "alice", true, LOAM_BY_ADMIN, &err));
	assert_ok(
		loam_group_set_member(store_of(world), "team", "bob", false, LOAM_BY_ADMIN, &err));
	assert_ok(
		loam_group_set_member(store_of(world), "team", "bob", false, LOAM_BY_ADMIN, &err));
	assert_true(principal_has(world, "alice", gid));
	assert_true(principal_has(world, "bob", gid));
	expect_text(world, GROUP, "alice:x:20001:\nbob:x:20002:\nteam:x:20003:alice,bob\n");
	expect_text(world, GSHADOW, "team:!:alice:\n");

	struct loam_principal alice, bob, anonymous = { .kind = LOAM_ANONYMOUS };
	assert_ok(loam_auth_user(world->auth, "alice", "", &alice, &err));
	assert_ok(loam_auth_user(world->auth, "bob", "", &bob, &err));
	assert_ok(loam_auth_check_group(world->auth, &alice, "team", &err));
	assert_code(loam_auth_check_group(world->auth, &bob, "team", &err), LOAM_E_DENIED);
	assert_code(loam_auth_check_group(world->auth, &bob, "none", &err), LOAM_E_NOT_FOUND);
	assert_code(loam_auth_check_group(world->auth, &alice, "alice", &err),
		    LOAM_E_NOT_PERMITTED);
	assert_code(loam_auth_check_group(world->auth, &anonymous, "team", &err),
		    LOAM_E_UNAUTHENTICATED);
	alice.kind = LOAM_TOKEN;
	assert_ok(loam_auth_check_group(world->auth, &alice, "team", &err));
	alice.scope = LOAM_SCOPE_WRITE;
	assert_code(loam_auth_check_group(world->auth, &alice, "team", &err), LOAM_E_DENIED);
	alice.scope = LOAM_SCOPE_ADMIN;
	snprintf(alice.only_repo, sizeof(alice.only_repo), "models/a/b");
	assert_code(loam_auth_check_group(world->auth, &alice, "team", &err), LOAM_E_DENIED);
	alice.kind = LOAM_LINK;
	assert_code(loam_auth_check_group(world->auth, &alice, "team", &err), LOAM_E_DENIED);

	assert_ok(loam_group_set_member(store_of(world), "team", "alice", false, LOAM_BY_ADMIN,
					&err));
	expect_text(world, GSHADOW, "team:!::\n");
	assert_ok(loam_group_remove_member(store_of(world), "team", "alice", LOAM_BY_ADMIN, &err));
	assert_false(principal_has(world, "alice", gid));
	assert_code(loam_group_remove_member(store_of(world), "team", "alice", LOAM_BY_ADMIN, &err),
		    LOAM_E_NOT_FOUND);
	assert_code(loam_group_set_member(store_of(world), "team", "carol", false, LOAM_BY_ADMIN,
					  &err),
		    LOAM_E_NOT_FOUND);
	assert_code(loam_group_set_member(store_of(world), "none", "bob", false, LOAM_BY_ADMIN,
					  &err),
		    LOAM_E_NOT_FOUND);
	assert_code(loam_group_set_member(store_of(world), "alice", "bob", false, LOAM_BY_ADMIN,
					  &err),
		    LOAM_E_NOT_PERMITTED);
	assert_code(loam_group_remove(store_of(world), "alice", &err), LOAM_E_NOT_PERMITTED);
}

struct leaver {
	struct loam_tree_world *world;
	const char *user;
	int rc;
};

static void *leave(void *arg)
{
	struct leaver *leaver = arg;
	struct loam_account_store *store = NULL;
	struct loam_err err = { 0 };
	loam_assert(loam_account_store_open(&leaver->world->tree, &store, &err) == 0);
	leaver->rc = loam_group_remove_member(store, "team", leaver->user, LOAM_BY_MANAGER, &err);
	loam_account_store_close(store);
	return NULL;
}

static void the_last_manager_stays_unless_the_administrator_says_so(void **state)
{
	struct loam_tree_world *world = *state;
	struct leaver leavers[2] = { { world, "alice", 1 }, { world, "bob", 1 } };
	pthread_t threads[2];
	loam_tree_world_user(world, "alice");
	loam_tree_world_user(world, "bob");
	add(world, "team");
	for (int i = 0; i < 2; i++)
		assert_ok(loam_group_set_member(store_of(world), "team", leavers[i].user, true,
						LOAM_BY_MANAGER, &err));
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, leave, &leavers[i]), 0);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(leavers[0].rc + leavers[1].rc, -LOAM_E_NOT_PERMITTED);
	const char *last = leavers[0].rc == 0 ? "bob" : "alice";
	assert_code(loam_group_set_member(store_of(world), "team", last, false, LOAM_BY_MANAGER,
					  &err),
		    LOAM_E_NOT_PERMITTED);
	loam_auto_free char *kept = loam_xasprintf("team:!:%s:\n", last);
	expect_text(world, GSHADOW, kept);
	assert_ok(loam_group_set_member(store_of(world), "team", last, false, LOAM_BY_ADMIN, &err));
	expect_text(world, GSHADOW, "team:!::\n");
	/* none there: an ordinary member may go */
	assert_ok(loam_group_remove_member(store_of(world), "team", last, LOAM_BY_MANAGER, &err));
}

static void a_removed_users_namesake_is_in_none_of_his_groups(void **state)
{
	struct loam_tree_world *world = *state;
	uint32_t uid = loam_tree_world_user(world, "bob");
	uint32_t gid = add(world, "team");
	assert_ok(loam_group_set_member(store_of(world), "team", "bob", true, LOAM_BY_ADMIN, &err));
	assert_ok(loam_account_store_remove_user(store_of(world), "bob", &err));
	expect_text(world, GROUP, "team:x:20002:\n");
	expect_text(world, GSHADOW, "team:!::\n");
	uint32_t again;
	struct loam_new_user same = { .name = "bob", .uid = uid };
	assert_code(loam_account_store_add_user(store_of(world), &same, &again, &err),
		    LOAM_E_EXISTS);
	assert_int_not_equal(loam_tree_world_user(world, "bob"), uid);
	assert_false(principal_has(world, "bob", gid));
}

static void a_new_user_can_be_put_into_groups_that_are_there(void **state)
{
	struct loam_tree_world *world = *state;
	uint32_t team = add(world, "team"), lab = add(world, "lab"), uid;
	static const char *const groups[] = { "team", "lab" };
	static const char *const missing[] = { "team", "none" };
	struct loam_new_user bad = { .name = "alice", .groups = missing, .group_count = 2 };
	assert_code(loam_account_store_add_user(store_of(world), &bad, &uid, &err),
		    LOAM_E_NOT_FOUND);
	assert_int_equal(loam_tree_world_entries(world, "/users"), 0);
	struct loam_new_user user = { .name = "alice", .groups = groups, .group_count = 2 };
	assert_ok(loam_account_store_add_user(store_of(world), &user, &uid, &err));
	assert_true(principal_has(world, "alice", team));
	assert_true(principal_has(world, "alice", lab));
}

static void a_removed_groups_directory_is_set_aside_for_the_administrator(void **state)
{
	struct loam_tree_world *world = *state;
	uint32_t gid = add(world, "team");
	uint64_t ino;
	struct loam_attr attr;
	assert_ok(loam_files_write(&world->volume, "/groups/team/kept", 20001, gid, 0664, "x", 1,
				   &err));
	assert_ok(loam_group_remove(store_of(world), "team", &err));
	loam_auto_free char *aside = loam_xasprintf("/groups/.removed-team-%u", gid);
	assert_ok(loam_files_lookup(&world->volume, aside, &ino, &attr, &err));
	assert_int_equal(attr.uid, 0);
	assert_int_equal(attr.mode & 0777, 0700);
	assert_int_equal(loam_tree_world_entries(world, aside), 1);
	uint32_t again = add(world, "team");
	assert_int_equal(loam_tree_world_entries(world, "/groups/team"), 0);
	assert_int_not_equal(again, gid);
}

static void mounts_are_told_of_all_accounts(void **state)
{
	struct loam_tree_world *world = *state;
	loam_tree_world_user(world, "alice");
	loam_tree_world_user(world, "bob");
	add(world, "team");
	loam_tree_world_user(world, "carol");
	assert_ok(loam_group_set_member(store_of(world), "team", "carol", false, LOAM_BY_ADMIN,
					&err));
	expect_text(world, ROSTER, "20001 20001\n20002 20002\n20004 20004,20003\n");
	assert_ok(loam_account_store_set_disabled(store_of(world), "alice", true, &err));
	assert_ok(loam_account_store_remove_user(store_of(world), "bob", &err));
	assert_ok(loam_group_remove(store_of(world), "team", &err));
	expect_text(world, ROSTER, "20001 blocked\n20004 20004\n20002 blocked\n");
	assert_ok(loam_account_store_set_disabled(store_of(world), "alice", false, &err));
	expect_text(world, ROSTER, "20001 20001\n20004 20004\n20002 blocked\n");
	/* what a killed command left undone, and an account that has expired */
	assert_ok(loam_files_write(&world->volume, ROSTER, LOAM_SERVICE_ID, LOAM_SERVICE_ID, 0600,
				   "old\n", 4, &err));
	assert_ok(loam_account_store_publish(store_of(world), &err));
	expect_text(world, ROSTER, "20001 20001\n20004 20004\n20002 blocked\n");
}

struct joiner {
	struct loam_tree_world *world;
	int number;
};

static void *join_five(void *arg)
{
	struct joiner *joiner = arg;
	struct loam_account_store *store = NULL;
	struct loam_err err = { 0 };
	loam_assert(loam_account_store_open(&joiner->world->tree, &store, &err) == 0);
	for (int i = 0; i < 5; i++) {
		loam_auto_free char *user = loam_xasprintf("user%d", joiner->number * 5 + i);
		int rc =
			loam_group_set_member(store, "team", user, i % 2 == 0, LOAM_BY_ADMIN, &err);
		if (rc < 0)
			print_error("%s\n", err.text);
		loam_assert(rc == 0);
	}
	loam_account_store_close(store);
	return NULL;
}

static void members_added_at_once_are_all_there(void **state)
{
	struct loam_tree_world *world = *state;
	struct joiner joiners[4];
	pthread_t threads[4];
	uint32_t gid = add(world, "team");
	for (int i = 0; i < 20; i++) {
		loam_auto_free char *user = loam_xasprintf("user%d", i);
		loam_tree_world_user(world, user);
	}
	for (int i = 0; i < 4; i++) {
		joiners[i] = (struct joiner){ world, i };
		assert_int_equal(pthread_create(&threads[i], NULL, join_five, &joiners[i]), 0);
	}
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	const struct loam_accounts *accounts = NULL;
	assert_ok(loam_account_store_get(store_of(world), true, &accounts, &err));
	assert_int_equal(loam_accounts_group_by_gid(accounts, gid)->members.count, 20);
	assert_int_equal(loam_accounts_group_by_gid(accounts, gid)->managers.count, 12);
	loam_account_store_put(store_of(world), accounts);
}

struct maker {
	struct loam_tree_world *world;
	bool group;
	const char *name;
	int code;
};

static void *make_one(void *arg)
{
	struct maker *maker = arg;
	struct loam_account_store *store = NULL;
	struct loam_err err = { 0 };
	struct loam_new_group group = { .name = maker->name };
	struct loam_new_user user = { .name = maker->name };
	uint32_t number;
	loam_assert(loam_account_store_open(&maker->world->tree, &store, &err) == 0);
	maker->code = maker->group ? -loam_group_add(store, &group, &number, &err)
				   : -loam_account_store_add_user(store, &user, &number, &err);
	loam_account_store_close(store);
	return NULL;
}

static void a_user_and_a_group_of_one_name_made_at_once_never_both_stand(void **state)
{
	struct loam_tree_world *world = *state;
	for (int round = 0; round < 20; round++) {
		loam_auto_free char *name = loam_xasprintf("both%d", round);
		struct maker makers[] = { { world, true, name, 0 }, { world, false, name, 0 } };
		pthread_t threads[2];
		for (int i = 0; i < 2; i++)
			assert_int_equal(pthread_create(&threads[i], NULL, make_one, &makers[i]),
					 0);
		for (int i = 0; i < 2; i++)
			pthread_join(threads[i], NULL);
		const struct loam_accounts *accounts = NULL;
		assert_ok(loam_account_store_get(store_of(world), true, &accounts, &err));
		const struct loam_account *user = loam_accounts_by_name(accounts, name);
		const struct loam_group *group = loam_accounts_group(accounts, name);
		assert_true(makers[0].code != 0 || makers[1].code != 0);
		if (user && group)
			assert_int_equal(user->gid, group->gid);
		if (makers[0].code == 0)
			assert_true(group && !user);
		if (makers[1].code == 0)
			assert_true(user && group);
		assert_int_equal(accounts->finding_count, 0);
		loam_account_store_put(store_of(world), accounts);
	}
}

#define TEST(name) \
	cmocka_unit_test_setup_teardown(name, loam_tree_world_setup, loam_tree_world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_group_has_a_number_and_a_directory_that_members_share),
		TEST(names_and_numbers_are_given_once),
		TEST(members_come_and_go_and_managers_are_marked),
		TEST(the_last_manager_stays_unless_the_administrator_says_so),
		TEST(a_removed_users_namesake_is_in_none_of_his_groups),
		TEST(a_new_user_can_be_put_into_groups_that_are_there),
		TEST(a_removed_groups_directory_is_set_aside_for_the_administrator),
		TEST(mounts_are_told_of_all_accounts),
		TEST(members_added_at_once_are_all_there),
		TEST(a_user_and_a_group_of_one_name_made_at_once_never_both_stand),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
