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

/* Chains of tokens: each may at most what its maker may, and lives no longer. */
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
			if (depth > 0)
				assert_true(maker.scope & LOAM_SCOPE_ADMIN);
			maker = child;
			maker_token = token;
		}
		struct loam_token_shown *rows = NULL;
		size_t count = 0;
		assert_ok(loam_tokens_list(world->auth, &admin, "alice", &rows, &count, &err));
		for (size_t i = 0; i < count; i++)
			assert_ok(loam_tokens_revoke(world->auth, &admin, "alice", rows[i].token.id,
						     &err));
		free(rows);
	}
	loam_gate_release(&gate);
	assert_true(made > 200 && refused > 50);
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
		TEST(a_user_has_so_many_tokens),
		TEST(the_last_use_is_kept_to_the_hour),
		TEST(a_use_at_a_door_is_written_behind),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
