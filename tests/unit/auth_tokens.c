/*
 * auth/tokens, auth/token_use: tokens made by the administrator, by users and by tokens, which
 * never make stronger ones (reliability.md S05, acl-6); their last use.
 */
#include "auth/tokens.h"

#include "auth/account_store.h"
#include "auth/token_use.h"
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

#include "tests/support/volume.h"

#define USES "/.loam/etc/token_use"

static const struct loam_principal admin = { .kind = LOAM_ADMIN };

static int setup(void **state)
{
	int rc = loam_tree_world_setup(state);
	loam_tree_world_user(*state, "alice");
	loam_tree_world_user(*state, "bob");
	return rc;
}

static int make(struct loam_tree_world *world, const struct loam_principal *who,
		const struct loam_token_request *request, struct loam_token *out,
		char text[LOAM_TOKEN_TEXT_BYTES])
{
	struct loam_err err = { 0 };
	return -loam_tokens_make(world->auth, who, request, text, out, &err);
}

static struct loam_principal by_token(struct loam_tree_world *world, const char *text)
{
	struct loam_principal who;
	loam_auto_free char *header = loam_xasprintf("Bearer %s", text);
	assert_ok(loam_auth_header(world->auth, header, "127.0.0.1", &who, &err));
	return who;
}

static unsigned scope_of(const char *name)
{
	unsigned scope = 0;
	assert_ok(loam_scope_parse(name, &scope, &err));
	return scope;
}

static void scopes_have_names(void **state)
{
	static const char *const names[] = { "read", "write", "admin" };
	struct loam_err err = { 0 };
	unsigned scope;
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(names); i++)
		assert_string_equal(loam_scope_name(scope_of(names[i])), names[i]);
	assert_int_equal(loam_scope_parse("root", &scope, &err), -LOAM_E_UNPROCESSABLE);
}

static void a_user_makes_his_own_tokens_and_nobody_elses(void **state)
{
	struct loam_tree_world *world = *state;
	struct loam_principal alice, anonymous = { .kind = LOAM_ANONYMOUS };
	struct loam_token token;
	char text[LOAM_TOKEN_TEXT_BYTES];
	assert_ok(loam_auth_user(world->auth, "alice", "", &alice, &err));
	struct loam_token_request mine = { .user = "alice", .scope = scope_of("admin") };
	struct loam_token_request his = { .user = "bob", .scope = scope_of("read") };
	struct loam_token_request nobodys = { .user = "carol", .scope = scope_of("read") };
	assert_int_equal(make(world, &alice, &mine, &token, text), 0);
	assert_int_equal(token.expires, 0);
	assert_int_equal(make(world, &alice, &his, &token, text), LOAM_E_NOT_FOUND);
	assert_int_equal(make(world, &alice, &nobodys, &token, text), LOAM_E_NOT_FOUND);
	assert_int_equal(make(world, &anonymous, &mine, &token, text), LOAM_E_UNAUTHENTICATED);
	assert_int_equal(make(world, &admin, &his, &token, text), 0);
	assert_int_equal(make(world, &admin, &nobodys, &token, text), LOAM_E_NOT_FOUND);
	alice.kind = LOAM_LINK;
	assert_int_equal(make(world, &alice, &mine, &token, text), LOAM_E_DENIED);
	mine.days = 1000000000000ull;
	assert_int_equal(make(world, &admin, &mine, &token, text), LOAM_E_UNPROCESSABLE);
	mine.days = 1;
	mine.label = "a:b";
	assert_int_equal(make(world, &admin, &mine, &token, text), LOAM_E_UNPROCESSABLE);
}

static struct loam_token_request draw(const struct loam_repo *repo, unsigned *seed)
{
	static const char *const names[] = { "read", "write", "admin", "admin", "admin" };
	return (struct loam_token_request){ .user = "alice",
					    .scope = scope_of(names[rand_r(seed) % 5]),
					    .repo = rand_r(seed) % 2 ? repo : NULL,
					    .days = (uint64_t)rand_r(seed) % 4,
					    .shorten = rand_r(seed) % 4 != 0 };
}

static int most(const struct loam_principal *who, const struct loam_gate *gate, const char *repo)
{
	int found = 0;
	for (int want = LOAM_WANT_READ; want <= LOAM_WANT_ADMIN; want++)
		if (loam_auth_decide(who, gate, repo, (enum loam_want)want))
			found = want;
	return found;
}

/* Each may at most what its maker may, and lives no longer; the second makes none. */
static void a_token_never_makes_a_stronger_token(void **state)
{
	struct loam_tree_world *world = *state;
	struct loam_repo one = loam_tree_world_repo(world, "alice/one", 20001, LOAM_PRIVATE);
	struct loam_repo two = loam_tree_world_repo(world, "alice/two", 20001, LOAM_PRIVATE);
	struct loam_gate gate;
	struct loam_err none = { 0 };
	unsigned seed = 20261126, made = 0, refused = 0;
	assert_int_equal(loam_gate_read(&world->tree, &one, &gate, &none), 1);
	for (int chain = 0; chain < 150; chain++) {
		struct loam_principal maker;
		struct loam_token maker_token = { 0 }, token;
		char text[LOAM_TOKEN_TEXT_BYTES];
		assert_ok(loam_auth_user(world->auth, "alice", "", &maker, &err));
		for (int depth = 0; depth < 4; depth++) {
			struct loam_token_request request =
				draw(rand_r(&seed) % 2 ? &one : &two, &seed);
			if (make(world, &maker, &request, &token, text) != 0) {
				refused++;
				assert_true(depth > 0);
				break;
			}
			made++;
			struct loam_principal child = by_token(world, text);
			assert_true(most(&child, &gate, "models/alice/one") <=
				    most(&maker, &gate, "models/alice/one"));
			assert_true(most(&child, &gate, "models/alice/two") <=
				    most(&maker, &gate, "models/alice/two"));
			if (maker_token.expires != 0)
				assert_true(token.expires != 0 &&
					    token.expires <= maker_token.expires);
			assert_true(depth < 2);
			assert_true(child.second_hand == (depth == 1));
			if (depth > 0)
				assert_true(maker.scope & LOAM_SCOPE_ADMIN &&
					    maker.only_repo[0] == '\0');
			maker = child;
			maker_token = token;
		}
		struct loam_token_shown *rows = NULL;
		size_t count = 0;
		assert_ok(loam_tokens_list(world->auth, &admin, "alice", &rows, &count, &err));
		for (size_t i = 0; i < count; i++) {
			struct loam_err gone = { 0 }; /* with the token that made it */
			int rc = loam_tokens_revoke(world->auth, &admin, "alice", rows[i].token.id,
						    &gone);
			assert_true(rc == 0 || rc == -LOAM_E_NOT_FOUND);
		}
		free(rows);
	}
	loam_gate_release(&gate);
	assert_true(made > 180 && refused > 100);
}

struct family {
	struct loam_token login, child, other; /* child was made with login */
	struct loam_principal by_login, by_child;
	struct loam_repo repo;
	char user_key[24], deploy_key[24];
};

static void add_key(struct loam_tree_world *world, const struct loam_principal *who,
		    const char *base64, const struct loam_repo *repo, char out_id[24])
{
	struct loam_ssh_key key;
	loam_auto_free char *line = loam_xasprintf("ssh-ed25519 %s", base64);
	assert_ok(loam_ssh_key_read(line, strlen(line), &key, &err));
	if (repo)
		loam_repo_text(repo, key.repo);
	else
		snprintf(key.user, sizeof(key.user), "alice");
	key.scope = repo ? LOAM_SCOPE_READ : 0;
	snprintf(key.maker, sizeof(key.maker), "%s", who->token_id);
	assert_ok(loam_account_store_add_key(loam_auth_accounts(world->auth), &key, &err));
	snprintf(out_id, 24, "%s", key.id);
}

#define KEY_ONE "AAAAC3NzaC1lZDI1NTE5AAAAIKPW5GGGlZm7ItLjFUEZr2yX0d7F8gHu9L1y6jRKzVUu"
#define KEY_TWO "AAAAC3NzaC1lZDI1NTE5AAAAIKPW5GGGlZm7ItLjFUEZr2yX0d7F8gHu9L1y6jRKzVUv"

static struct family make_family(struct loam_tree_world *world)
{
	struct family family;
	struct loam_principal alice;
	char text[LOAM_TOKEN_TEXT_BYTES];
	struct loam_token_request request = {
		.user = "alice", .scope = scope_of("admin"), .days = 10, .shorten = true
	};
	family.repo = loam_tree_world_repo(world, "alice/one", 20001, LOAM_PRIVATE);
	assert_ok(loam_auth_user(world->auth, "alice", "", &alice, &err));
	assert_int_equal(make(world, &alice, &request, &family.other, text), 0);
	assert_int_equal(make(world, &alice, &request, &family.login, text), 0);
	family.by_login = by_token(world, text);
	assert_int_equal(make(world, &family.by_login, &request, &family.child, text), 0);
	family.by_child = by_token(world, text);
	add_key(world, &family.by_login, KEY_ONE, NULL, family.user_key);
	add_key(world, &family.by_login, KEY_TWO, &family.repo, family.deploy_key);
	assert_string_equal(family.login.maker, "");
	assert_string_equal(family.child.maker, family.login.id);
	return family;
}

static size_t count_tokens(struct loam_tree_world *world)
{
	struct loam_token_shown *rows = NULL;
	size_t count = 0;
	assert_ok(loam_tokens_list(world->auth, &admin, "alice", &rows, &count, &err));
	free(rows);
	return count;
}

/* acl-6: by a token, a token for one repository, a deploy key, a key that a token added. */
static void what_was_made_with_a_token_makes_and_ends_nothing(void **state)
{
	struct loam_tree_world *world = *state;
	struct family family = make_family(world);
	struct loam_principal key, deploy, bound, alice;
	struct loam_token token;
	char text[LOAM_TOKEN_TEXT_BYTES];
	struct loam_token_request request = { .user = "alice", .scope = scope_of("read") };
	struct loam_token_request for_one = { .user = "alice",
					      .scope = scope_of("admin"),
					      .repo = &family.repo };
	assert_ok(loam_auth_user(world->auth, "alice", "", &alice, &err));
	assert_int_equal(make(world, &alice, &for_one, &token, text), 0);
	bound = by_token(world, text);
	assert_ok(loam_auth_key(world->auth, family.user_key, &key, &err));
	assert_ok(loam_auth_key(world->auth, family.deploy_key, &deploy, &err));
	const struct loam_principal *const refused[] = { &family.by_child, &key, &deploy, &bound };
	size_t before = count_tokens(world);
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(refused); i++) {
		assert_int_equal(make(world, refused[i], &request, &token, text), LOAM_E_DENIED);
		assert_code(loam_tokens_revoke(world->auth, refused[i], "alice", family.other.id,
					       &err),
			    LOAM_E_DENIED);
	}
	assert_code(loam_auth_check_first_hand(&family.by_child, &err), LOAM_E_DENIED);
	assert_code(loam_auth_check_first_hand(&key, &err), LOAM_E_DENIED);
	assert_ok(loam_auth_check_first_hand(&family.by_login, &err));
	assert_int_equal(count_tokens(world), before);
	/* but itself it may end, alone */
	assert_ok(
		loam_tokens_revoke(world->auth, &family.by_child, "alice", family.child.id, &err));
	assert_int_equal(count_tokens(world), before - 1);
}

static void what_a_stolen_token_made_ends_with_it(void **state)
{
	struct loam_tree_world *world = *state;
	struct family family = make_family(world);
	struct loam_principal who;
	assert_ok(loam_tokens_revoke(world->auth, &admin, "alice", family.login.id, &err));
	assert_int_equal(count_tokens(world), 1);
	assert_code(loam_auth_user(world->auth, "alice", family.child.id, &who, &err),
		    LOAM_E_UNAUTHENTICATED);
	assert_code(loam_auth_key(world->auth, family.user_key, &who, &err),
		    LOAM_E_UNAUTHENTICATED);
	assert_code(loam_auth_key(world->auth, family.deploy_key, &who, &err),
		    LOAM_E_UNAUTHENTICATED);
	assert_ok(loam_auth_user(world->auth, "alice", family.other.id, &who, &err));
	assert_code(loam_tokens_revoke(world->auth, &admin, "alice", family.login.id, &err),
		    LOAM_E_NOT_FOUND);
}

/* loam logout, or a thief who hides: what is left is found by the id of what is gone. */
static void a_token_that_ends_itself_leaves_what_it_made(void **state)
{
	struct loam_tree_world *world = *state;
	struct family family = make_family(world);
	struct loam_principal who, other, bob;
	assert_ok(
		loam_tokens_revoke(world->auth, &family.by_login, "alice", family.login.id, &err));
	assert_ok(loam_auth_user(world->auth, "alice", family.child.id, &who, &err));
	assert_ok(loam_auth_key(world->auth, family.user_key, &who, &err));
	assert_ok(loam_auth_user(world->auth, "alice", family.other.id, &other, &err));
	assert_ok(loam_auth_user(world->auth, "bob", "", &bob, &err));
	assert_code(loam_tokens_revoke(world->auth, &bob, "bob", family.login.id, &err),
		    LOAM_E_NOT_FOUND);
	assert_ok(loam_auth_key(world->auth, family.deploy_key, &who, &err));
	assert_ok(loam_tokens_revoke(world->auth, &other, "alice", family.login.id, &err));
	assert_code(loam_auth_user(world->auth, "alice", family.child.id, &who, &err),
		    LOAM_E_UNAUTHENTICATED);
	assert_code(loam_auth_key(world->auth, family.user_key, &who, &err),
		    LOAM_E_UNAUTHENTICATED);
	assert_code(loam_auth_key(world->auth, family.deploy_key, &who, &err),
		    LOAM_E_UNAUTHENTICATED);
}

static void a_user_has_so_many_tokens(void **state)
{
	struct loam_tree_world *world = *state;
	struct loam_token_request request = { .user = "bob", .scope = scope_of("read") };
	struct loam_token token;
	char text[LOAM_TOKEN_TEXT_BYTES];
	for (int i = 0; i < LOAM_USER_TOKENS_MAX; i++)
		assert_int_equal(make(world, &admin, &request, &token, text), 0);
	assert_int_equal(make(world, &admin, &request, &token, text), LOAM_E_TOO_LARGE);
	assert_ok(loam_tokens_revoke(world->auth, &admin, "bob", token.id, &err));
	assert_int_equal(make(world, &admin, &request, &token, text), 0);
}

static void the_last_use_is_kept_to_the_hour(void **state)
{
	struct loam_tree_world *world = *state;
	struct loam_account_store *store = loam_auth_accounts(world->auth);
	struct loam_token_request request = { .user = "bob", .scope = scope_of("read") };
	struct loam_token used, idle, gone;
	char text[LOAM_TOKEN_TEXT_BYTES];
	assert_int_equal(make(world, &admin, &request, &used, text), 0);
	assert_int_equal(make(world, &admin, &request, &idle, text), 0);
	assert_int_equal(make(world, &admin, &request, &gone, text), 0);

	struct loam_token_use *use = loam_token_use_new(store);
	int64_t before = loam_clock_now().tv_sec;
	loam_token_use_note(use, used.id);
	loam_token_use_note(use, gone.id);
	loam_token_use_note(use, "unknown");
	assert_ok(loam_tokens_revoke(world->auth, &admin, "bob", gone.id, &err));
	assert_ok(loam_token_use_write(use, &err));
	struct loam_token_shown *rows = NULL;
	size_t count = 0;
	assert_ok(loam_tokens_list(world->auth, &admin, "bob", &rows, &count, &err));
	assert_int_equal(count, 2);
	for (size_t i = 0; i < count; i++) {
		bool is_used = strcmp(rows[i].token.id, used.id) == 0;
		assert_true(is_used ? rows[i].used >= before : rows[i].used == 0);
		assert_string_equal(rows[i].token.hash, "");
	}
	free(rows);
	loam_token_use_free(use);
	loam_auto_free char *first = loam_tree_world_text(world, USES);
	assert_null(strstr(first, gone.id));
	assert_null(strstr(first, "unknown"));

	/* another process, within the hour: the file stays as it is */
	uint64_t ino, again;
	struct loam_attr attr;
	assert_ok(loam_files_lookup(&world->volume, USES, &ino, &attr, &err));
	use = loam_token_use_new(store);
	loam_token_use_note(use, used.id);
	assert_ok(loam_token_use_write(use, &err));
	assert_ok(loam_files_lookup(&world->volume, USES, &again, &attr, &err));
	assert_int_equal(again, ino);
	loam_token_use_free(use);

	/* an old time, and lines that are none */
	loam_auto_free char *old = loam_xasprintf("x\n:5\n%s:1000\n%s:x\n", used.id, idle.id);
	assert_ok(loam_files_write(&world->volume, USES, LOAM_SERVICE_ID, LOAM_SERVICE_ID, 0600,
				   old, strlen(old), &err));
	use = loam_token_use_new(store);
	loam_token_use_note(use, used.id);
	assert_ok(loam_token_use_write(use, &err));
	loam_token_use_free(use);
	loam_auto_free char *last = loam_tree_world_text(world, USES);
	assert_true(strtoll(strchr(last, ':') + 1, NULL, 10) >= before);
	assert_null(strstr(last, idle.id));
}

/* By the door, and by the thread. */
static void a_use_at_a_door_is_written_behind(void **state)
{
	struct loam_tree_world *world = *state;
	struct loam_token_request request = { .user = "bob", .scope = scope_of("read") };
	struct loam_token token;
	char text[LOAM_TOKEN_TEXT_BYTES];
	assert_int_equal(make(world, &admin, &request, &token, text), 0);
	by_token(world, text);
	loam_auto_free char *uses = NULL;
	for (int i = 0; i < 3000 && !uses; i++) {
		loam_clock_sleep_ms(10);
		uses = loam_tree_world_text(world, USES);
	}
	assert_non_null(uses);
	assert_non_null(strstr(uses, token.id));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, loam_tree_world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(scopes_have_names),
		TEST(a_user_makes_his_own_tokens_and_nobody_elses),
		TEST(a_token_never_makes_a_stronger_token),
		TEST(what_was_made_with_a_token_makes_and_ends_nothing),
		TEST(what_a_stolen_token_made_ends_with_it),
		TEST(a_token_that_ends_itself_leaves_what_it_made),
		TEST(a_user_has_so_many_tokens),
		TEST(the_last_use_is_kept_to_the_hour),
		TEST(a_use_at_a_door_is_written_behind),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
