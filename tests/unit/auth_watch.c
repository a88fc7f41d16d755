/*
 * auth/watch: what ends a transfer in progress, whoever began it and by whatever he came; and
 * loam_auth_renew, by which hooks and commits ask once more.
 */
#include "auth/watch.h"

#include "auth/account_store.h"
#include "auth/groups.h"
#include "auth/tokens.h"
#include "core/auto.h"
#include "core/clock.h"
#include "fs/files.h"
#include "tests/support/tree_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/failpoint.h"
#include "tests/support/volume.h"

#define KEY	 "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE8Zz7yv3J9Vg6JyP0p2oZ8X1o8v0W7xq6d7m7K4rJQh"
#define PASSWORD "correct horse battery"
#define BASIC	 "Basic Ym9iOmNvcnJlY3QgaG9yc2UgYmF0dGVyeQ==" /* bob:PASSWORD */

static const struct loam_principal admin = { .kind = LOAM_ADMIN };
static const struct loam_repo model = { .kind = LOAM_KIND_MODELS, .ns = "alice", .name = "model" };
static const struct loam_repo open_model = { .kind = LOAM_KIND_MODELS,
					     .ns = "alice",
					     .name = "open" };
static struct loam_tree_world *world;
static struct loam_grantee bob, team;
static char secret[LOAM_TOKEN_TEXT_BYTES], token_id[24], key_id[24];

static struct loam_account_store *store(void)
{
	return loam_auth_accounts(world->auth);
}

static const char *add_key(const char *user, const char *repo, unsigned scope)
{
	struct loam_ssh_key key;
	assert_ok(loam_ssh_key_read(KEY, strlen(KEY), &key, &err));
	snprintf(key.user, sizeof(key.user), "%s", user);
	snprintf(key.repo, sizeof(key.repo), "%s", repo);
	key.scope = scope;
	assert_ok(loam_account_store_add_key(store(), &key, &err));
	snprintf(key_id, sizeof(key_id), "%s", key.id);
	return key_id;
}

/* bob may write alice/model, himself or (by_group) as a member of team. */
static void open_world(bool by_group)
{
	const struct loam_new_group group = { .name = "team" };
	const struct loam_token_request request = { .user = "bob", .scope = LOAM_SCOPE_WRITE };
	struct loam_token token;
	void *state = NULL;
	assert_int_equal(loam_tree_world_setup(&state), 0);
	world = state;
	uint32_t alice = loam_tree_world_user(world, "alice");
	bob = (struct loam_grantee){ .id = loam_tree_world_user(world, "bob") };
	team = (struct loam_grantee){ .is_group = true };
	assert_ok(loam_group_add(store(), &group, &team.id, &err));
	assert_ok(loam_group_set_member(store(), "team", "bob", false, LOAM_BY_ADMIN, &err));
	assert_ok(loam_account_store_set_password(store(), "bob", PASSWORD, &err));
	loam_tree_world_repo(world, "alice/model", alice, LOAM_PRIVATE);
	loam_tree_world_repo(world, "alice/open", alice, LOAM_PUBLIC);
	assert_ok(loam_repos_grant(&world->tree, &model, by_group ? &team : &bob, LOAM_WANT_WRITE,
				   &err));
	assert_ok(loam_tokens_make(world->auth, &admin, &request, secret, &token, &err));
	snprintf(token_id, sizeof(token_id), "%s", token.id);
}

static void close_world(void)
{
	void *state = world;
	assert_int_equal(loam_tree_world_teardown(&state), 0);
}

/* As if it had been asked long enough ago. */
static int ask_when_due(struct loam_watch *watch)
{
	struct loam_err err = { 0 };
	watch->asked_ms -= LOAM_WATCH_MS;
	return -loam_watch_ask(watch, &err);
}

/* ---- who comes, and what ends it ------------------------------------------------------------- */

static struct loam_principal by_header(const char *header)
{
	struct loam_principal who;
	assert_ok(loam_auth_header(world->auth, header, "127.0.0.1", &who, &err));
	return who;
}

static struct loam_principal by_token(void)
{
	loam_auto_free char *header = loam_xasprintf("Bearer %s", secret);
	return by_header(header);
}

static struct loam_principal by_password(void)
{
	return by_header(BASIC);
}

static struct loam_principal by_key(void)
{
	struct loam_principal who;
	assert_ok(loam_auth_key(world->auth, add_key("bob", "", 0), &who, &err));
	return who;
}

static struct loam_principal by_deploy_key(void)
{
	struct loam_principal who;
	add_key("", "models/alice/model", LOAM_SCOPE_WRITE);
	assert_ok(loam_auth_key(world->auth, key_id, &who, &err));
	return who;
}

static void revoke_grant(void)
{
	assert_ok(loam_repos_revoke(&world->tree, &model, &bob, &err));
}

static void leave_group(void)
{
	assert_ok(loam_group_remove_member(store(), "team", "bob", LOAM_BY_ADMIN, &err));
}

static void revoke_group(void)
{
	assert_ok(loam_repos_revoke(&world->tree, &model, &team, &err));
}

static void reduce(void)
{
	assert_ok(loam_repos_grant(&world->tree, &model, &bob, LOAM_WANT_READ, &err));
}

static void disable(void)
{
	assert_ok(loam_account_store_set_disabled(store(), "bob", true, &err));
}

static void remove_user(void)
{
	assert_ok(loam_account_store_remove_user(store(), "bob", &err));
}

static void revoke_token(void)
{
	assert_ok(loam_account_store_remove_token(store(), "bob", token_id, false, &err));
}

static void change_password(void)
{
	assert_ok(loam_account_store_set_password(store(), "bob", "another one, as long", &err));
}

static void lock_password(void)
{
	assert_ok(loam_account_store_set_password(store(), "bob", NULL, &err));
}

static void remove_key(void)
{
	assert_ok(loam_account_store_remove_key(store(), "bob", key_id, &err));
}

static void remove_deploy_key(void)
{
	assert_ok(loam_account_store_remove_key(store(), "models/alice/model", key_id, &err));
}

static void remove_repo(void)
{
	assert_ok(loam_files_remove(&world->volume, "/models/alice/model", &err));
}

/* Another one of the same name, and bob may write that too. */
static void replace_repo(void)
{
	struct loam_accounts const *accounts = NULL;
	remove_repo();
	assert_ok(loam_account_store_get(store(), true, &accounts, &err));
	uint32_t alice = loam_accounts_by_name(accounts, "alice")->uid;
	loam_account_store_put(store(), accounts);
	loam_tree_world_repo(world, "alice/model", alice, LOAM_PRIVATE);
	assert_ok(loam_repos_grant(&world->tree, &model, &bob, LOAM_WANT_WRITE, &err));
}

static const struct {
	const char *what;
	struct loam_principal (*come)(void);
	bool by_group;
	void (*change)(void);
	enum loam_code code;
} ends[] = {
	{ "revoke", by_token, false, revoke_grant, LOAM_E_NOT_FOUND },
	{ "write becomes read", by_key, false, reduce, LOAM_E_DENIED },
	{ "a group is left", by_token, true, leave_group, LOAM_E_NOT_FOUND },
	{ "a group's grant goes", by_password, true, revoke_group, LOAM_E_NOT_FOUND },
	{ "disable, by token", by_token, false, disable, LOAM_E_UNAUTHENTICATED },
	{ "disable, by password", by_password, false, disable, LOAM_E_UNAUTHENTICATED },
	{ "disable, by key", by_key, false, disable, LOAM_E_UNAUTHENTICATED },
	{ "the user goes", by_password, false, remove_user, LOAM_E_UNAUTHENTICATED },
	{ "the token goes", by_token, false, revoke_token, LOAM_E_UNAUTHENTICATED },
	{ "the password changes", by_password, false, change_password, LOAM_E_UNAUTHENTICATED },
	{ "the password goes", by_password, false, lock_password, LOAM_E_UNAUTHENTICATED },
	{ "the key goes", by_key, false, remove_key, LOAM_E_UNAUTHENTICATED },
	{ "a deploy key goes", by_deploy_key, false, remove_deploy_key, LOAM_E_UNAUTHENTICATED },
	{ "the repository goes", by_token, false, remove_repo, LOAM_E_NOT_FOUND },
	{ "another takes its name", by_token, false, replace_repo, LOAM_E_NOT_FOUND },
	/* what does not concern him */
	{ "his other token goes", by_password, false, revoke_token, LOAM_E_OK },
	{ "his password changes", by_token, false, change_password, LOAM_E_OK },
	{ "a group that gave nothing", by_key, false, leave_group, LOAM_E_OK },
};

static void what_takes_the_right_ends_it_for_good(void **state)
{
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(ends); i++) {
		struct loam_watch watch;
		open_world(ends[i].by_group);
		const struct loam_principal who = ends[i].come();
		assert_ok(
			loam_watch_begin(&watch, world->auth, &who, &model, LOAM_WANT_WRITE, &err));
		assert_int_equal(ask_when_due(&watch), LOAM_E_OK);
		ends[i].change();
		const int got = ask_when_due(&watch);
		if (got != (int)ends[i].code)
			print_error("%s\n", ends[i].what);
		assert_int_equal(got, ends[i].code);
		/* also before it is due again, and whatever is granted later */
		assert_code(loam_watch_ask(&watch, &err), (int)ends[i].code);
		close_world();
	}
}

static void asking_costs_nothing_before_it_is_due(void **state)
{
	struct loam_watch watch;
	open_world(false);
	const struct loam_principal who = by_token();
	assert_ok(loam_watch_begin(&watch, world->auth, &who, &model, LOAM_WANT_WRITE, &err));
	revoke_grant();
	watch.asked_ms = loam_clock_ms();
	assert_ok(loam_watch_ask(&watch, &err));
	assert_int_equal(ask_when_due(&watch), LOAM_E_NOT_FOUND);
	/* a grant does not bring it back: what was cut stays cut */
	assert_ok(loam_repos_grant(&world->tree, &model, &bob, LOAM_WANT_WRITE, &err));
	assert_int_equal(ask_when_due(&watch), LOAM_E_NOT_FOUND);
	close_world();
}

static void who_may_not_begins_with_a_refusal(void **state)
{
	struct loam_watch watch;
	const struct loam_principal nobody = { .kind = LOAM_ANONYMOUS };
	open_world(false);
	assert_code(loam_watch_begin(&watch, world->auth, &nobody, &model, LOAM_WANT_READ, &err),
		    LOAM_E_UNAUTHENTICATED);
	assert_code(loam_watch_ask(&watch, &err), LOAM_E_UNAUTHENTICATED);
	close_world();
}

static void readers_without_an_account_go_with_the_publicity(void **state)
{
	struct loam_watch watch;
	const struct loam_principal nobody = { .kind = LOAM_ANONYMOUS };
	open_world(false);
	assert_ok(
		loam_watch_begin(&watch, world->auth, &nobody, &open_model, LOAM_WANT_READ, &err));
	assert_int_equal(ask_when_due(&watch), LOAM_E_OK);
	assert_ok(loam_repos_set_visibility(&world->tree, &open_model, LOAM_INTERNAL, &err));
	assert_int_equal(ask_when_due(&watch), LOAM_E_UNAUTHENTICATED);
	close_world();
}

#ifdef LOAM_FAILPOINTS
static void a_volume_that_does_not_answer_is_waited_for_a_while(void **state)
{
	struct loam_watch watch;
	open_world(false);
	const struct loam_principal who = by_token();
	assert_ok(loam_watch_begin(&watch, world->auth, &who, &model, LOAM_WANT_WRITE, &err));
	loam_failpoint_set("watch.ask:error:ETIMEDOUT");
	assert_int_equal(ask_when_due(&watch), LOAM_E_OK);
	watch.good_ms -= LOAM_WATCH_BLIND_MS;
	assert_int_equal(ask_when_due(&watch), LOAM_E_UNAVAILABLE);
	loam_failpoint_set(NULL);
	assert_int_equal(ask_when_due(&watch), LOAM_E_UNAVAILABLE);
	/* what is broken is no pause */
	assert_ok(loam_watch_begin(&watch, world->auth, &who, &model, LOAM_WANT_WRITE, &err));
	loam_failpoint_set("watch.ask:error:EIO");
	assert_int_equal(ask_when_due(&watch), LOAM_E_IO);
	loam_failpoint_set(NULL);
	close_world();
}
#endif

static void an_old_password_opens_nothing_at_once(void **state)
{
	struct loam_principal who;
	open_world(false);
	by_password(); /* remembered from now on */
	change_password();
	assert_code(loam_auth_header(world->auth, BASIC, "127.0.0.1", &who, &err),
		    LOAM_E_UNAUTHENTICATED);
	close_world();
}

static void nobody_becomes_more_by_asking_again(void **state)
{
	open_world(false);
	struct loam_principal who = by_token();
	snprintf(who.only_repo, sizeof(who.only_repo), "models/alice/open");
	who.scope = LOAM_SCOPE_READ; /* as a token of git-lfs-authenticate is cut */
	assert_ok(loam_auth_renew(world->auth, &who, &err));
	assert_int_equal(who.kind, LOAM_TOKEN);
	assert_int_equal(who.scope, LOAM_SCOPE_READ);
	assert_string_equal(who.only_repo, "models/alice/open");
	assert_code(loam_auth_check(world->auth, &who, &model, LOAM_WANT_READ, NULL, &err),
		    LOAM_E_NOT_FOUND);
	struct loam_principal all = admin;
	assert_ok(loam_auth_renew(world->auth, &all, &err));
	assert_int_equal(all.kind, LOAM_ADMIN);
	close_world();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_takes_the_right_ends_it_for_good),
		cmocka_unit_test(asking_costs_nothing_before_it_is_due),
		cmocka_unit_test(who_may_not_begins_with_a_refusal),
		cmocka_unit_test(readers_without_an_account_go_with_the_publicity),
#ifdef LOAM_FAILPOINTS
		cmocka_unit_test(a_volume_that_does_not_answer_is_waited_for_a_while),
#endif
		cmocka_unit_test(an_old_password_opens_nothing_at_once),
		cmocka_unit_test(nobody_becomes_more_by_asking_again),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
