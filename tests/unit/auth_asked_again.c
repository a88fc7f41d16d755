/*
 * auth/: what another process has made a moment ago is known at the first question, however fresh
 * the accounts are that this one has read; and how often they are looked at for it.
 */
#include "auth/account_store.h"
#include "auth/auth.h"
#include "core/auto.h"
#include "core/clock.h"
#include "core/hash.h"

#include <pthread.h>
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

#define TYPE	 "ssh-ed25519"
#define KEY	 "AAAAC3NzaC1lZDI1NTE5AAAAIE8Zz7yv3J9Vg6JyP0p2oZ8X1o8v0W7xq6d7m7K4rJQh"
#define PASSWORD "correct horse battery"
#define PEER	 "192.0.2.7"

struct fixture {
	struct loam_tree_world *world;	  /* its auth is the server that is asked */
	struct loam_account_store *maker; /* another process */
};

static int setup(void **state)
{
	struct fixture *fixture = loam_xnew(struct fixture);
	loam_tree_world_setup((void **)&fixture->world);
	assert_ok(loam_account_store_open(&fixture->world->tree, &fixture->maker, &err));
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;
	void *world = fixture->world;
	loam_account_store_close(fixture->maker);
	free(fixture);
	return loam_tree_world_teardown(&world);
}

/* The server reads the accounts now: without a second look it would answer from them for a second.
 */
static void read_accounts(struct fixture *fixture)
{
	const struct loam_accounts *accounts = NULL;
	struct loam_account_store *store = loam_auth_accounts(fixture->world->auth);
	assert_ok(loam_account_store_get(store, true, &accounts, &err));
	loam_account_store_put(store, accounts);
}

static void make_user(struct fixture *fixture, const char *name)
{
	struct loam_new_user user = { .name = name };
	uint32_t uid;
	assert_ok(loam_account_store_add_user(fixture->maker, &user, &uid, &err));
}

static int log_in(struct fixture *fixture, const char *user, const char *password,
		  struct loam_principal *out_who)
{
	struct loam_err err = { 0 };
	loam_auto_free char *text = loam_xasprintf("%s:%s", user, password);
	char encoded[512];
	loam_base64_encode(text, strlen(text), encoded);
	loam_auto_free char *header = loam_xasprintf("Basic %s", encoded);
	return -loam_auth_header(fixture->world->auth, header, PEER, out_who, &err);
}

static void a_new_token_of_a_new_account_works_at_once(void **state)
{
	struct fixture *fixture = *state;
	struct loam_principal who;
	for (int i = 0; i < 6; i++) {
		char name[16], text[LOAM_TOKEN_TEXT_BYTES];
		struct loam_token token = { .scope = LOAM_SCOPE_READ };
		snprintf(name, sizeof(name), "user%d", i);
		read_accounts(fixture);
		make_user(fixture, name);
		loam_token_make(text, &token);
		snprintf(token.user, sizeof(token.user), "%s", name);
		assert_ok(loam_account_store_add_token(fixture->maker, &token, &err));
		assert_int_equal(log_in(fixture, name, text, &who), 0);
		assert_string_equal(who.user, name);
		assert_int_equal(who.kind, LOAM_TOKEN);
	}
}

static void a_new_password_works_at_once_and_the_old_one_not_after_the_next_look(void **state)
{
	struct fixture *fixture = *state;
	struct loam_principal who;
	make_user(fixture, "alice");
	read_accounts(fixture);
	assert_int_equal(log_in(fixture, "alice", PASSWORD, &who), LOAM_E_UNAUTHENTICATED);
	assert_ok(loam_account_store_set_password(fixture->maker, "alice", PASSWORD, &err));
	assert_int_equal(log_in(fixture, "alice", PASSWORD, &who), 0);
	assert_ok(loam_account_store_set_password(fixture->maker, "alice", PASSWORD " 2", &err));
	assert_int_equal(log_in(fixture, "alice", PASSWORD " 2", &who), 0);
	assert_int_equal(log_in(fixture, "alice", PASSWORD, &who), LOAM_E_UNAUTHENTICATED);
}

static void an_account_that_is_enabled_again_may_come_in_at_once(void **state)
{
	struct fixture *fixture = *state;
	struct loam_principal who;
	make_user(fixture, "alice");
	assert_ok(loam_account_store_set_disabled(fixture->maker, "alice", true, &err));
	read_accounts(fixture);
	assert_code(loam_auth_user(fixture->world->auth, "alice", "", &who, &err),
		    LOAM_E_UNAUTHENTICATED);
	assert_ok(loam_account_store_set_disabled(fixture->maker, "alice", false, &err));
	assert_ok(loam_auth_user(fixture->world->auth, "alice", "", &who, &err));
}

static void a_new_key_of_a_user_or_a_repository_opens_at_once(void **state)
{
	struct fixture *fixture = *state;
	struct loam_auth *auth = fixture->world->auth;
	struct loam_ssh_key key;
	struct loam_principal who;
	char id[24];
	make_user(fixture, "alice");
	loam_tree_world_repo(fixture->world, "alice/a", LOAM_FIRST_UID, LOAM_PRIVATE);
	assert_ok(loam_ssh_key_read(TYPE " " KEY, strlen(TYPE " " KEY), &key, &err));
	struct loam_ssh_key deploy = key;
	snprintf(key.user, sizeof(key.user), "alice");
	snprintf(deploy.repo, sizeof(deploy.repo), "models/alice/a");
	deploy.scope = LOAM_SCOPE_READ;

	read_accounts(fixture);
	assert_code(loam_auth_key_find(auth, TYPE, KEY, id, &err), 0);
	assert_ok(loam_account_store_add_key(fixture->maker, &key, &err));
	assert_code(loam_auth_key_find(auth, TYPE, KEY, id, &err) - 1, 0);
	assert_string_equal(id, key.id);
	assert_ok(loam_account_store_remove_key(fixture->maker, "alice", key.id, &err));
	read_accounts(fixture);
	assert_ok(loam_account_store_add_key(fixture->maker, &deploy, &err));
	assert_ok(loam_auth_key(auth, deploy.id, &who, &err));
	assert_int_equal(who.kind, LOAM_DEPLOY);
}

/* ---- how often ------------------------------------------------------------------------------- */

static bool sees(struct fixture *fixture, const char *user, uint64_t asked_ns, bool may_wait)
{
	const struct loam_accounts *accounts = NULL;
	struct loam_account_store *store = loam_auth_accounts(fixture->world->auth);
	assert_ok(loam_account_store_get_since(store, asked_ns, may_wait, &accounts, &err));
	bool found = loam_accounts_by_name(accounts, user) != NULL;
	loam_account_store_put(store, accounts);
	return found;
}

/* A machine that stands still for long enough has a look due again: hence several rounds. */
static void who_may_not_wait_gets_what_was_read_last_when_all_looks_are_spent(void **state)
{
	struct fixture *fixture = *state;
	bool held = false;
	for (int round = 0; round < 20 && !held; round++) {
		char name[16];
		snprintf(name, sizeof(name), "user%d", round);
		for (unsigned i = 0; i < 2 * LOAM_ACCOUNT_LOOKS_AT_ONCE; i++)
			sees(fixture, name, loam_clock_ns(), false);
		make_user(fixture, name);
		held = !sees(fixture, name, loam_clock_ns(), false);
		assert_true(sees(fixture, name, loam_clock_ns(), true));
	}
	assert_true(held);
}

static void a_look_that_is_new_enough_is_not_made_again(void **state)
{
	struct fixture *fixture = *state;
	uint64_t asked_ns = loam_clock_ns();
	read_accounts(fixture);
	make_user(fixture, "alice");
	assert_false(sees(fixture, "alice", asked_ns, true));
	assert_true(sees(fixture, "alice", loam_clock_ns(), true));
}

static void looks_of_one_after_the_other_are_paced(void **state)
{
	struct fixture *fixture = *state;
	unsigned paced = 4;
	uint64_t began_ms = loam_clock_ms();
	for (unsigned i = 0; i < LOAM_ACCOUNT_LOOKS_AT_ONCE + paced; i++)
		sees(fixture, "nobody-here", loam_clock_ns(), true);
	assert_true(loam_clock_ms() - began_ms >=
		    (paced - 1) * 1000 / LOAM_ACCOUNT_LOOKS_PER_SECOND);
}

struct asker {
	struct fixture *fixture;
	bool found;
};

static void *ask(void *arg)
{
	struct asker *asker = arg;
	asker->found = sees(asker->fixture, "alice", loam_clock_ns(), true);
	return NULL;
}

static void many_who_ask_at_once_share_a_look_and_all_see(void **state)
{
	struct fixture *fixture = *state;
	pthread_t threads[LOAM_ACCOUNT_LOOKS_WAITING_MAX];
	struct asker askers[LOAM_ACCOUNT_LOOKS_WAITING_MAX];
	for (unsigned i = 0; i < LOAM_ACCOUNT_LOOKS_AT_ONCE; i++)
		sees(fixture, "nobody-here", loam_clock_ns(), false);
	read_accounts(fixture);
	make_user(fixture, "alice");
	for (unsigned i = 0; i < LOAM_ACCOUNT_LOOKS_WAITING_MAX; i++) {
		askers[i] = (struct asker){ .fixture = fixture };
		assert_int_equal(pthread_create(&threads[i], NULL, ask, &askers[i]), 0);
	}
	for (unsigned i = 0; i < LOAM_ACCOUNT_LOOKS_WAITING_MAX; i++) {
		pthread_join(threads[i], NULL);
		assert_true(askers[i].found);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_new_token_of_a_new_account_works_at_once),
		TEST(a_new_password_works_at_once_and_the_old_one_not_after_the_next_look),
		TEST(an_account_that_is_enabled_again_may_come_in_at_once),
		TEST(a_new_key_of_a_user_or_a_repository_opens_at_once),
		TEST(who_may_not_wait_gets_what_was_read_last_when_all_looks_are_spent),
		TEST(a_look_that_is_new_enough_is_not_made_again),
		TEST(looks_of_one_after_the_other_are_paced),
		TEST(many_who_ask_at_once_share_a_look_and_all_see),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
