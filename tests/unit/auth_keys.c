/*
 * auth/: SSH keys of accounts and of repositories: whose they are, what they open, until when.
 */
#include "auth/account_store.h"
#include "auth/auth.h"
#include "core/auto.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/tree_world.h"
#include "tests/support/volume.h"

#define TYPE "ssh-ed25519"
#define ONE  "AAAAC3NzaC1lZDI1NTE5AAAAIE8Zz7yv3J9Vg6JyP0p2oZ8X1o8v0W7xq6d7m7K4rJQh"
#define TWO  "AAAAC3NzaC1lZDI1NTE5AAAAIHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4"

static struct loam_account_store *store_of(struct loam_tree_world *world)
{
	return loam_auth_accounts(world->auth);
}

static struct loam_ssh_key key_of(const char *base64, const char *user, const char *repo,
				  unsigned scope)
{
	loam_auto_free char *text = loam_xasprintf(TYPE " %s", base64);
	struct loam_ssh_key key;
	assert_ok(loam_ssh_key_read(text, strlen(text), &key, &err));
	snprintf(key.user, sizeof(key.user), "%s", user);
	snprintf(key.repo, sizeof(key.repo), "%s", repo);
	key.scope = scope;
	return key;
}

static void a_users_key_is_the_user(void **state)
{
	struct loam_tree_world *world = *state;
	uint32_t alice = loam_tree_world_user(world, "alice");
	struct loam_ssh_key key = key_of(ONE, "alice", "", 0);
	struct loam_principal who;
	char id[24];
	assert_ok(loam_account_store_add_key(store_of(world), &key, &err));
	assert_code(loam_auth_key_find(world->auth, TYPE, ONE, id, &err) - 1, 0);
	assert_string_equal(id, key.id);
	assert_code(loam_auth_key_find(world->auth, TYPE, TWO, id, &err), 0);
	assert_code(loam_auth_key_find(world->auth, "ssh-rsa", ONE, id, &err), 0);
	assert_ok(loam_auth_key(world->auth, key.id, &who, &err));
	assert_int_equal(who.kind, LOAM_USER);
	assert_int_equal(who.uid, alice);
	assert_string_equal(who.token_id, key.id);
	assert_ok(loam_auth_user(world->auth, "alice", key.id, &who, &err));
	loam_tree_world_user(world, "bob");
	assert_code(loam_auth_user(world->auth, "bob", key.id, &who, &err), LOAM_E_UNAUTHENTICATED);
	assert_code(loam_auth_user(world->auth, "", key.id, &who, &err), LOAM_E_UNAUTHENTICATED);
}

static void a_key_has_one_holder_on_the_whole_server(void **state)
{
	struct loam_tree_world *world = *state;
	uint32_t alice = loam_tree_world_user(world, "alice");
	loam_tree_world_user(world, "bob");
	loam_tree_world_repo(world, "alice/a", alice, LOAM_PRIVATE);
	struct loam_ssh_key key = key_of(ONE, "alice", "", 0), again = key_of(ONE, "alice", "", 0);
	struct loam_ssh_key other = key_of(ONE, "bob", "", 0);
	struct loam_ssh_key deploy = key_of(ONE, "", "models/alice/a", LOAM_SCOPE_READ);
	assert_ok(loam_account_store_add_key(store_of(world), &key, &err));
	assert_code(loam_account_store_add_key(store_of(world), &again, &err), LOAM_E_EXISTS);
	assert_code(loam_account_store_add_key(store_of(world), &other, &err), LOAM_E_EXISTS);
	assert_code(loam_account_store_add_key(store_of(world), &deploy, &err), LOAM_E_EXISTS);
	assert_code(loam_account_store_remove_key(store_of(world), "bob", key.id, &err),
		    LOAM_E_NOT_FOUND);
	assert_ok(loam_account_store_remove_key(store_of(world), "alice", key.id, &err));
	assert_ok(loam_account_store_add_key(store_of(world), &deploy, &err));
}

static void holders_must_be_there(void **state)
{
	struct loam_tree_world *world = *state;
	struct loam_ssh_key key = key_of(ONE, "nobody-here", "", 0);
	struct loam_ssh_key deploy = key_of(ONE, "", "models/a/b", LOAM_SCOPE_READ);
	assert_code(loam_account_store_add_key(store_of(world), &key, &err), LOAM_E_NOT_FOUND);
	assert_code(loam_account_store_add_key(store_of(world), &deploy, &err), LOAM_E_NOT_FOUND);
	loam_tree_world_user(world, "alice");
	key = key_of(ONE, "alice", "", 0);
	snprintf(key.label, sizeof(key.label), "a:b");
	assert_code(loam_account_store_add_key(store_of(world), &key, &err), LOAM_E_UNPROCESSABLE);
}

static int check(struct loam_tree_world *world, const struct loam_principal *who, const char *repo,
		 enum loam_want want)
{
	struct loam_repo parsed;
	struct loam_err refused = { 0 };
	assert_ok(loam_repo_parse(repo, &parsed, &err));
	return loam_auth_check(world->auth, who, &parsed, want, NULL, &refused);
}

static void a_deploy_key_opens_its_repository_and_nothing_else(void **state)
{
	struct loam_tree_world *world = *state;
	uint32_t alice = loam_tree_world_user(world, "alice");
	loam_tree_world_repo(world, "alice/a", alice, LOAM_PRIVATE);
	loam_tree_world_repo(world, "alice/b", alice, LOAM_PRIVATE);
	loam_tree_world_repo(world, "alice/open", alice, LOAM_PUBLIC);
	loam_tree_world_repo(world, "alice/internal", alice, LOAM_INTERNAL);
	struct loam_ssh_key reads = key_of(ONE, "", "models/alice/a", LOAM_SCOPE_READ);
	struct loam_ssh_key writes =
		key_of(TWO, "", "models/alice/b", LOAM_SCOPE_READ | LOAM_SCOPE_WRITE);
	struct loam_principal who;
	assert_ok(loam_account_store_add_key(store_of(world), &reads, &err));
	assert_ok(loam_account_store_add_key(store_of(world), &writes, &err));

	assert_ok(loam_auth_key(world->auth, reads.id, &who, &err));
	assert_int_equal(who.kind, LOAM_DEPLOY);
	assert_string_equal(who.user, "");
	assert_int_equal(check(world, &who, "alice/a", LOAM_WANT_READ), 0);
	assert_int_equal(check(world, &who, "alice/a", LOAM_WANT_WRITE), -LOAM_E_DENIED);
	assert_int_equal(check(world, &who, "alice/a", LOAM_WANT_ADMIN), -LOAM_E_DENIED);
	static const char *const others[] = { "alice/b", "alice/open", "alice/internal", "no/ne" };
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(others); i++)
		assert_int_equal(check(world, &who, others[i], LOAM_WANT_READ), -LOAM_E_NOT_FOUND);

	assert_ok(loam_auth_user(world->auth, "", writes.id, &who, &err));
	assert_int_equal(check(world, &who, "alice/b", LOAM_WANT_READ), 0);
	assert_int_equal(check(world, &who, "alice/b", LOAM_WANT_WRITE), 0);
	assert_int_equal(check(world, &who, "alice/b", LOAM_WANT_ADMIN), -LOAM_E_DENIED);
	assert_int_equal(check(world, &who, "alice/a", LOAM_WANT_READ), -LOAM_E_NOT_FOUND);
}

static void a_key_ends_with_its_account(void **state)
{
	struct loam_tree_world *world = *state;
	loam_tree_world_user(world, "alice");
	struct loam_ssh_key key = key_of(ONE, "alice", "", 0);
	struct loam_principal who;
	char id[24];
	assert_ok(loam_account_store_add_key(store_of(world), &key, &err));
	assert_ok(loam_account_store_set_disabled(store_of(world), "alice", true, &err));
	assert_code(loam_auth_key(world->auth, key.id, &who, &err), LOAM_E_UNAUTHENTICATED);
	assert_code(loam_auth_key_find(world->auth, TYPE, ONE, id, &err), 0);
	assert_ok(loam_account_store_set_disabled(store_of(world), "alice", false, &err));
	assert_ok(loam_auth_key(world->auth, key.id, &who, &err));
	assert_ok(loam_account_store_remove_user(store_of(world), "alice", &err));
	assert_code(loam_auth_key(world->auth, key.id, &who, &err), LOAM_E_UNAUTHENTICATED);
	loam_tree_world_user(world, "alice2");
	key = key_of(ONE, "alice2", "", 0);
	assert_ok(loam_account_store_add_key(store_of(world), &key, &err));
}

static void a_key_that_is_removed_is_gone_at_once(void **state)
{
	struct loam_tree_world *world = *state;
	loam_tree_world_user(world, "alice");
	struct loam_ssh_key key = key_of(ONE, "alice", "", 0);
	struct loam_principal who;
	assert_ok(loam_account_store_add_key(store_of(world), &key, &err));
	assert_ok(loam_auth_key(world->auth, key.id, &who, &err));
	assert_ok(loam_account_store_remove_key(store_of(world), "alice", key.id, &err));
	assert_code(loam_auth_key(world->auth, key.id, &who, &err), LOAM_E_UNAUTHENTICATED);
	assert_code(loam_account_store_remove_key(store_of(world), "alice", key.id, &err),
		    LOAM_E_NOT_FOUND);
}

int main(void)
{
#define WORLD_TEST(name) \
	cmocka_unit_test_setup_teardown(name, loam_tree_world_setup, loam_tree_world_teardown)
	const struct CMUnitTest tests[] = {
		WORLD_TEST(a_users_key_is_the_user),
		WORLD_TEST(a_key_has_one_holder_on_the_whole_server),
		WORLD_TEST(holders_must_be_there),
		WORLD_TEST(a_deploy_key_opens_its_repository_and_nothing_else),
		WORLD_TEST(a_key_ends_with_its_account),
		WORLD_TEST(a_key_that_is_removed_is_gone_at_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
