/*
 * auth/owned: an account or group that owns repositories is not removed; what it owns is named.
 */
#include "auth/owned.h"

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

static struct loam_account_store *store_of(struct loam_tree_world *world)
{
	return loam_auth_accounts(world->auth);
}

static struct loam_ns ns_of(const char *text)
{
	struct loam_ns ns;
	assert_ok(loam_ns_parse(text, &ns, &err));
	return ns;
}

static bool is_there(struct loam_tree_world *world, const char *path)
{
	uint64_t ino;
	struct loam_attr attr;
	struct loam_err err = { 0 };
	return loam_files_lookup(&world->volume, path, &ino, &attr, &err) == 0;
}

/* All account files as they are; free() */
static char *state_of(struct loam_tree_world *world)
{
	char *all = loam_xstrdup("");
	for (int file = 0; file < LOAM_ACCOUNT_FILES; file++) {
		char path[64];
		snprintf(path, sizeof(path), "/.loam/etc/%s",
			 loam_account_file_name((enum loam_account_file)file));
		loam_auto_free char *text = loam_tree_world_text(world, path);
		char *more = loam_xasprintf("%s%s\n%s", all, path, text ? text : "");
		free(all);
		all = more;
	}
	return all;
}

static void an_owner_is_not_removed_and_nothing_is_changed(void **state)
{
	struct loam_tree_world *world = *state;
	struct loam_err said = { 0 };
	uint32_t alice = loam_tree_world_user(world, "alice");
	uint32_t bob = loam_tree_world_user(world, "bob");
	loam_tree_world_repo(world, "alice/one", alice, LOAM_PRIVATE);
	loam_tree_world_repo(world, "alice/two", alice, LOAM_PRIVATE);
	loam_tree_world_repo(world, "code/tools/x", alice, LOAM_PRIVATE);
	loam_tree_world_repo(world, "bob/his", bob, LOAM_PRIVATE);
	loam_auto_free char *before = state_of(world);
	assert_int_equal(loam_account_store_remove_user(store_of(world), "alice", &said),
			 -LOAM_E_NOT_EMPTY);
	assert_string_equal(said.text,
			    "'alice' owns models/alice/ (2 repositories), code/tools/ (1 "
			    "repository): give them to somebody first (loam namespace owner NS "
			    "WHO), or delete the repositories");
	loam_auto_free char *after = state_of(world);
	assert_string_equal(before, after);
	assert_true(is_there(world, "/users/alice"));

	struct loam_ns models = ns_of("alice/"), code = ns_of("code/tools/");
	assert_ok(loam_ns_set_owner(&world->tree, &models, LOAM_THE_USER(bob), &err));
	assert_code(loam_account_store_remove_user(store_of(world), "alice", &err),
		    LOAM_E_NOT_EMPTY);
	assert_ok(loam_ns_set_owner(&world->tree, &code, LOAM_THE_USER(bob), &err));
	assert_ok(loam_account_store_remove_user(store_of(world), "alice", &err));
	assert_true(is_there(world, "/models/alice/one"));
	assert_false(is_there(world, "/users/alice"));
}

static void a_group_that_owns_is_not_removed(void **state)
{
	struct loam_tree_world *world = *state;
	struct loam_new_group fresh = { .name = "team" };
	struct loam_repo repo;
	uint32_t gid = 0;
	uint64_t ino;
	assert_ok(loam_group_add(store_of(world), &fresh, &gid, &err));
	assert_ok(loam_repo_parse("team/one", &repo, &err));
	assert_ok(loam_repos_create(&world->tree, &repo, LOAM_THE_GROUP(gid), LOAM_PRIVATE, &ino,
				    &err));
	/* a user of the same number owns nothing of it */
	assert_ok(loam_owned_refuse(&world->tree, LOAM_THE_USER(gid), "somebody", &err));
	loam_auto_free char *before = state_of(world);
	assert_code(loam_group_remove(store_of(world), "team", &err), LOAM_E_NOT_EMPTY);
	loam_auto_free char *after = state_of(world);
	assert_string_equal(before, after);
	assert_true(is_there(world, "/groups/team"));
	struct loam_ns ns = ns_of("team/");
	uint32_t alice = loam_tree_world_user(world, "alice");
	assert_ok(loam_ns_set_owner(&world->tree, &ns, LOAM_THE_USER(alice), &err));
	assert_ok(loam_group_remove(store_of(world), "team", &err));
}

static void empty_namespaces_go_with_their_owner(void **state)
{
	struct loam_tree_world *world = *state;
	uint32_t alice = loam_tree_world_user(world, "alice");
	uint32_t bob = loam_tree_world_user(world, "bob");
	struct loam_ns hers = ns_of("alice/"), other = ns_of("datasets/corpus/"),
		       bobs = ns_of("bob/");
	assert_ok(loam_ns_create(&world->tree, &hers, LOAM_THE_USER(alice), &err));
	assert_ok(loam_ns_create(&world->tree, &other, LOAM_THE_USER(alice), &err));
	assert_ok(loam_ns_create(&world->tree, &bobs, LOAM_THE_USER(bob), &err));
	assert_ok(loam_account_store_remove_user(store_of(world), "alice", &err));
	assert_false(is_there(world, "/models/alice"));
	assert_false(is_there(world, "/datasets/corpus"));
	assert_true(is_there(world, "/models/bob"));
	/* the next of her name begins anew */
	uint32_t again = loam_tree_world_user(world, "alice");
	assert_int_not_equal(again, alice);
	loam_tree_world_repo(world, "alice/one", again, LOAM_PRIVATE);
}

/* He made one in the moment between the question and his being shut out: the second question finds
 * it, and the removal goes on when it is given away. */
static void what_appears_meanwhile_is_found(void **state)
{
	struct loam_tree_world *world = *state;
	struct loam_principal who;
	uint32_t alice = loam_tree_world_user(world, "alice");
	uint32_t bob = loam_tree_world_user(world, "bob");
	assert_ok(loam_account_store_put_line(store_of(world), LOAM_FILE_SHADOW, "alice", NULL,
					      NULL, &err));
	loam_tree_world_repo(world, "alice/late", alice, LOAM_PRIVATE);
	assert_code(loam_owned_clear(&world->tree, LOAM_THE_USER(alice), "alice", &err),
		    LOAM_E_NOT_EMPTY);
	assert_true(is_there(world, "/models/alice/late"));
	assert_code(loam_account_store_remove_user(store_of(world), "alice", &err),
		    LOAM_E_NOT_EMPTY);
	struct loam_ns ns = ns_of("alice/");
	assert_ok(loam_ns_set_owner(&world->tree, &ns, LOAM_THE_USER(bob), &err));
	assert_ok(loam_account_store_remove_user(store_of(world), "alice", &err));
	assert_code(loam_auth_user(world->auth, "alice", "", &who, &err), LOAM_E_UNAUTHENTICATED);
}

#ifdef LOAM_FAILPOINTS
/* Stopped at each change of a file in turn: he is as he was, or shut out; said again, he goes. */
static void a_removal_stopped_anywhere_is_said_again(void **state)
{
	int step = 1;
	for (;; step++) {
		struct loam_tree_world *world;
		struct loam_principal who;
		struct loam_err stopped = { 0 }, closed = { 0 };
		if (step > 1)
			loam_tree_world_setup(state);
		world = *state;
		uint32_t uid = loam_tree_world_user(world, "alice");
		struct loam_ns ns = ns_of("alice/");
		struct loam_new_group fresh = { .name = "team" };
		uint32_t gid;
		assert_ok(loam_ns_create(&world->tree, &ns, LOAM_THE_USER(uid), &err));
		assert_ok(loam_group_add(store_of(world), &fresh, &gid, &err));
		assert_ok(loam_group_set_member(store_of(world), "team", "alice", true,
						LOAM_BY_ADMIN, &err));
		loam_auto_free char *stop = loam_xasprintf("account.change:error:EIO:%d", step);
		loam_failpoint_set(stop);
		int rc = loam_account_store_remove_user(store_of(world), "alice", &stopped);
		loam_failpoint_set(NULL);
		int asked = loam_auth_user(world->auth, "alice", "", &who, &closed);
		assert_int_equal(asked, step == 1 ? 0 : -LOAM_E_UNAUTHENTICATED);
		if (rc == 0)
			break;
		assert_int_equal(rc, -LOAM_E_IO);
		loam_auto_free char *roster = loam_tree_world_text(world, "/.loam/etc/roster");
		/* only what tells the mounts may be left to do; reconciling does that too */
		struct loam_err again = { 0 };
		rc = loam_account_store_remove_user(store_of(world), "alice", &again);
		assert_true(rc == 0 || rc == -LOAM_E_NOT_FOUND);
		assert_true(step == 1 || rc != 0 || strstr(roster, "blocked") != NULL);
		loam_auto_free char *aside = loam_xasprintf("/users/.removed-alice-%u", uid);
		assert_true(is_there(world, aside));
		assert_false(is_there(world, "/models/alice"));
		assert_int_not_equal(loam_tree_world_user(world, "alice"), uid);
		loam_tree_world_teardown(state);
	}
	assert_true(step > 5);
}
#endif

static void many_are_named_in_one_line(void **state)
{
	struct loam_tree_world *world = *state;
	struct loam_owned owned;
	uint32_t alice = loam_tree_world_user(world, "alice");
	for (int i = 0; i < 7; i++) {
		loam_auto_free char *text = loam_xasprintf(
			"n%d-a-namespace-with-a-name-that-is-rather-long-for-its-kind/r", i);
		loam_tree_world_repo(world, text, alice, LOAM_PRIVATE);
	}
	assert_ok(loam_owned_read(&world->tree, LOAM_THE_USER(alice), &owned, &err));
	assert_int_equal(owned.namespaces, 7);
	assert_int_equal(owned.repos, 7);
	size_t bytes = strlen(owned.text);
	assert_true(bytes < sizeof(owned.text) - 1);
	assert_string_equal(owned.text + bytes - 11, " and 3 more");
}

static void the_only_manager_is_known(void **state)
{
	struct loam_tree_world *world = *state;
	const struct loam_accounts *accounts = NULL;
	char text[LOAM_OWNED_TEXT_BYTES];
	uint32_t gid;
	loam_tree_world_user(world, "alice");
	loam_tree_world_user(world, "bob");
	static const char *const names[] = { "one", "two", "three" };
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(names); i++) {
		struct loam_new_group fresh = { .name = names[i] };
		assert_ok(loam_group_add(store_of(world), &fresh, &gid, &err));
		assert_ok(loam_group_set_member(store_of(world), names[i], "alice", i > 0,
						LOAM_BY_ADMIN, &err));
	}
	assert_ok(loam_group_set_member(store_of(world), "two", "bob", true, LOAM_BY_ADMIN, &err));
	assert_ok(loam_account_store_get(store_of(world), true, &accounts, &err));
	loam_owned_managed(accounts, "alice", text);
	assert_string_equal(text, "three");
	loam_owned_managed(accounts, "bob", text);
	assert_string_equal(text, "");
	loam_account_store_put(store_of(world), accounts);
}

#define TEST(name) \
	cmocka_unit_test_setup_teardown(name, loam_tree_world_setup, loam_tree_world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_owner_is_not_removed_and_nothing_is_changed),
		TEST(a_group_that_owns_is_not_removed),
		TEST(empty_namespaces_go_with_their_owner),
		TEST(what_appears_meanwhile_is_found),
#ifdef LOAM_FAILPOINTS
		TEST(a_removal_stopped_anywhere_is_said_again),
#endif
		TEST(many_are_named_in_one_line),
		TEST(the_only_manager_is_known),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
