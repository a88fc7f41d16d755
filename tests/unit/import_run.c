/*
 * auth/import_plan, auth/account_many, auth/group_join: accounts made at once, each file changed
 * once; what a killed run left is completed.
 */
#include "auth/import.h"

#include "auth/account_store_internal.h"
#include "auth/groups.h"
#include "core/auto.h"
#include "fs/files.h"
#include "tests/support/tree_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/failpoint.h"
#include "tests/support/volume.h"

#define PASSWD "/.loam/etc/passwd"
#define GROUP  "/.loam/etc/group"
#define SHADOW "/.loam/etc/shadow"

static struct loam_account_store *store_of(struct loam_tree_world *world)
{
	return loam_auth_accounts(world->auth);
}

/* What an import of this CSV does, as its code; meanwhile(world) runs between plan and deed. */
static int import_code(struct loam_tree_world *world, const char *csv,
		       void (*meanwhile)(struct loam_tree_world *), size_t *out_conflicts)
{
	struct loam_err err = { 0 };
	loam_auto_buf struct loam_buf text = LOAM_BUF(LOAM_IMPORT_BYTES_MAX);
	struct loam_import *import = loam_import_new();
	struct loam_import_plan plan;
	assert_int_equal(loam_buf_add_text(&text, csv, &err), 0);
	assert_int_equal(loam_import_csv(&text, import, &err), 0);
	assert_int_equal(loam_import_plan_make(import, store_of(world), &plan, &err), 0);
	if (meanwhile)
		meanwhile(world);
	int rc = loam_import_run(&plan, store_of(world), &err);
	*out_conflicts = plan.conflicts;
	loam_import_plan_release(&plan);
	loam_import_free(import);
	return -rc;
}

static void import_csv(struct loam_tree_world *world, const char *csv)
{
	size_t conflicts;
	assert_int_equal(import_code(world, csv, NULL, &conflicts), 0);
	assert_int_equal(conflicts, 0);
}

static void expect_account(struct loam_tree_world *world, const char *name, uint32_t uid,
			   size_t groups, bool disabled)
{
	const struct loam_accounts *accounts = NULL;
	char home[64];
	uint64_t ino;
	struct loam_attr attr;
	assert_ok(loam_account_store_get(store_of(world), true, &accounts, &err));
	const struct loam_account *account = loam_accounts_by_name(accounts, name);
	assert_non_null(account);
	assert_int_equal(account->uid, uid);
	assert_int_equal(account->gid, uid);
	assert_int_equal(account->group_count, groups);
	assert_int_equal(account->disabled, disabled);
	assert_string_equal(account->hash, "!");
	const struct loam_group *own = loam_accounts_group(accounts, name);
	assert_true(own && loam_accounts_is_own_group(accounts, own));
	assert_int_equal(accounts->finding_count, 0);
	loam_account_store_put(store_of(world), accounts);
	snprintf(home, sizeof(home), "/users/%s", name);
	assert_ok(loam_files_lookup(&world->volume, home, &ino, &attr, &err));
	assert_int_equal(attr.uid, uid);
	assert_int_equal(attr.mode, 0700);
}

static void many_get_numbers_groups_and_homes(void **state)
{
	struct loam_tree_world *world = *state;
	import_csv(world, "name,uid,groups,disabled\nann,,lab team,\nbob,20003,lab,\ncleo,,,yes\n"
			  "dan,30000,team,\neve,20004,,\n");
	/* groups first: lab 20001, team 20002; 20003 and 20004 are chosen by others */
	expect_account(world, "ann", 20005, 2, false);
	expect_account(world, "bob", 20003, 1, false);
	expect_account(world, "cleo", 20006, 0, true);
	expect_account(world, "dan", 30000, 1, false);
	expect_account(world, "eve", 20004, 0, false);
	assert_int_equal(loam_tree_world_user(world, "fay"), 20007);
	loam_auto_free char *group = loam_tree_world_text(world, GROUP);
	assert_non_null(strstr(group, "lab:x:20001:ann,bob\n"));
	assert_non_null(strstr(group, "team:x:20002:ann,dan\n"));
}

/* Killed behind passwd, behind group, before shadow, or with a line of shadow cut: the same import
 * makes all of them whole, with their numbers; others stay as they are. */
static void what_a_killed_import_left_is_completed(void **state)
{
	static const char csv[] = "name,uid,groups\nann,,lab\nbob,,lab\ncleo,,lab\ndan,,lab\n";
	struct loam_tree_world *world = *state;
	import_csv(world, csv);
	loam_auto_free char *whole = loam_tree_world_text(world, PASSWD);
	static const struct {
		const char *name;
		bool group, home;
		const char *shadow;
	} left[] = { { "ann", true, true, NULL },
		     { "bob", false, true, NULL },
		     { "cleo", true, false, "cleo:!\n" } };
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(left); i++) {
		char home[64];
		snprintf(home, sizeof(home), "/users/%s", left[i].name);
		assert_ok(loam_account_store_put_line(store_of(world), LOAM_FILE_SHADOW,
						      left[i].name, left[i].shadow, NULL, &err));
		if (left[i].group)
			assert_ok(loam_group_forget_user(store_of(world), left[i].name, &err));
		if (left[i].home)
			assert_ok(loam_files_remove(&world->volume, home, &err));
	}
	import_csv(world, csv);
	static const char *const names[] = { "ann", "bob", "cleo", "dan" };
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(names); i++)
		expect_account(world, names[i], 20002 + (uint32_t)i, 1, false);
	loam_auto_free char *again = loam_tree_world_text(world, PASSWD);
	assert_string_equal(again, whole);
}

#ifdef LOAM_FAILPOINTS
/* Stopped at each change of a file in turn: nobody who is not whole comes in, and the same import
 * makes all of them whole. */
static void an_import_stopped_anywhere_is_completed(void **state)
{
	static const char csv[] = "name,uid,groups\nann,,lab\nbob,30001,lab team\n";
	static const char *const names[] = { "ann", "bob" };
	size_t conflicts;
	int step = 1;
	for (;; step++) {
		struct loam_tree_world *world;
		if (step > 1)
			loam_tree_world_setup(state);
		world = *state;
		loam_auto_free char *stop = loam_xasprintf("account.change:error:EIO:%d", step);
		loam_failpoint_set(stop);
		int code = import_code(world, csv, NULL, &conflicts);
		loam_failpoint_set(NULL);
		for (size_t i = 0; code != 0 && i < LOAM_ARRAY_COUNT(names); i++) {
			struct loam_principal who;
			struct loam_err closed = { 0 };
			if (loam_auth_user(world->auth, names[i], "", &who, &closed) == 0)
				assert_int_equal(who.group_count, i + 1);
		}
		assert_true(code == 0 || code == LOAM_E_IO);
		import_csv(world, csv);
		const struct loam_accounts *accounts = NULL;
		assert_ok(loam_account_store_get(store_of(world), true, &accounts, &err));
		uint32_t ann = loam_accounts_by_name(accounts, "ann")->uid;
		loam_account_store_put(store_of(world), accounts);
		expect_account(world, "ann", ann, 1, false);
		expect_account(world, "bob", 30001, 2, false);
		if (code == 0)
			break;
		loam_tree_world_teardown(state);
	}
	assert_true(step > 8); /* group, next twice; passwd, group, joins, shadow, roster */
}
#endif

static void who_is_half_removed_is_a_conflict(void **state)
{
	struct loam_tree_world *world = *state;
	size_t conflicts;
	uint32_t uid = loam_tree_world_user(world, "ann");
	assert_ok(loam_account_store_put_line(store_of(world), LOAM_FILE_SHADOW, "ann", NULL, NULL,
					      &err));
	assert_ok(loam_account_number_retire(store_of(world), uid, false, &err));
	assert_int_equal(import_code(world, "name\nann\nbob\n", NULL, &conflicts), 0);
	assert_int_equal(conflicts, 1);
	expect_account(world, "bob", uid + 1, 0, false);
	assert_ok(loam_account_store_remove_user(store_of(world), "ann", &err));
}

static void make_group_bob(struct loam_tree_world *world)
{
	struct loam_new_group fresh = { .name = "bob" };
	uint32_t gid;
	assert_ok(loam_group_add(store_of(world), &fresh, &gid, &err));
}

static void make_user_bob(struct loam_tree_world *world)
{
	loam_tree_world_user(world, "bob");
}

/* Somebody else takes a name between plan and deed: none of them is made. */
static void a_name_that_is_taken_meanwhile_stops_all(void **state)
{
	struct loam_tree_world *world = *state;
	size_t conflicts;
	void (*const meanwhile[])(struct loam_tree_world *) = { make_group_bob, make_user_bob };
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(meanwhile); i++) {
		if (i == 1)
			assert_ok(loam_group_remove(store_of(world), "bob", &err));
		assert_int_equal(import_code(world, "name\nann\nbob\ncleo\n", meanwhile[i],
					     &conflicts),
				 LOAM_E_EXISTS);
		loam_auto_free char *passwd = loam_tree_world_text(world, PASSWD);
		assert_null(passwd ? strstr(passwd, "ann:") : NULL);
		assert_null(passwd ? strstr(passwd, "cleo:") : NULL);
	}
	import_csv(world, "name\nann\nbob\ncleo\n");
}

static void memberships_have_their_limits(void **state)
{
	struct loam_tree_world *world = *state;
	static char names[LOAM_GROUP_MEMBERS_MAX + 1][16];
	static char *at[LOAM_GROUP_MEMBERS_MAX + 1];
	loam_auto_buf struct loam_buf csv = LOAM_BUF(LOAM_IMPORT_BYTES_MAX);
	struct loam_err none = { 0 };
	loam_buf_add_text(&csv, "name,groups\nlast,big\n", &none);
	for (int i = 0; i <= LOAM_GROUP_MEMBERS_MAX; i++) {
		snprintf(names[i], sizeof(names[i]), "u%d", i);
		at[i] = names[i];
		loam_buf_printf(&csv, &none, "%s,\n", names[i]);
	}
	import_csv(world, loam_buf_text(&csv));
	const struct loam_names most = { at, LOAM_GROUP_MEMBERS_MAX - 1 };
	const struct loam_names over = { at + LOAM_GROUP_MEMBERS_MAX - 1, 1 };
	struct loam_group_join join = { "big", &most };
	assert_ok(loam_group_join(store_of(world), &join, 1, &err));
	assert_ok(loam_group_join(store_of(world), &join, 1, &err)); /* they are there already */
	loam_auto_free char *before = loam_tree_world_text(world, GROUP);
	join.users = &over;
	assert_code(loam_group_join(store_of(world), &join, 1, &err), LOAM_E_TOO_LARGE);
	join.group = "none";
	assert_code(loam_group_join(store_of(world), &join, 1, &err), LOAM_E_NOT_FOUND);
	join.group = "last";
	assert_code(loam_group_join(store_of(world), &join, 1, &err), LOAM_E_NOT_PERMITTED);
	loam_auto_free char *after = loam_tree_world_text(world, GROUP);
	assert_string_equal(before, after);
}

#define TEST(name) \
	cmocka_unit_test_setup_teardown(name, loam_tree_world_setup, loam_tree_world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(many_get_numbers_groups_and_homes),
		TEST(what_a_killed_import_left_is_completed),
#ifdef LOAM_FAILPOINTS
		TEST(an_import_stopped_anywhere_is_completed),
#endif
		TEST(who_is_half_removed_is_a_conflict),
		TEST(a_name_that_is_taken_meanwhile_stops_all),
		TEST(memberships_have_their_limits),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
