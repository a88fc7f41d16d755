/*
 * auth/repos and loam_auth_check: gates made, granted, opened and mended, by many at once.
 */
#include "auth/repos.h"

#include "auth/gate.h"
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

#define ALICE 20001u
#define BOB   20002u
#define CAROL 20003u

static int setup(void **state)
{
	int rc = loam_tree_world_setup(state);
	loam_tree_world_user(*state, "alice");
	loam_tree_world_user(*state, "bob");
	loam_tree_world_user(*state, "carol");
	return rc;
}

static struct loam_gate gate_of(struct loam_tree_world *world, const struct loam_repo *repo)
{
	struct loam_gate gate;
	struct loam_err err = { 0 };
	assert_int_equal(loam_gate_read(&world->tree, repo, &gate, &err), 1);
	return gate;
}

/* The code that the door would answer with, 0 when the caller may. user NULL: anonymous. */
static int asked(struct loam_tree_world *world, const char *user, const struct loam_repo *repo,
		 enum loam_want want)
{
	struct loam_principal who = { .kind = LOAM_ANONYMOUS };
	struct loam_err err = { 0 };
	if (user)
		assert_int_equal(loam_auth_user(world->auth, user, "", &who, &err), 0);
	return -loam_auth_check(world->auth, &who, repo, want, NULL, &err);
}

static void a_new_gate_is_its_owners_and_nobody_elses(void **state)
{
	struct loam_tree_world *world = *state;
	struct loam_repo repo = loam_tree_world_repo(world, "qwen/tiny", ALICE, LOAM_PRIVATE);
	struct loam_gate gate = gate_of(world, &repo);
	assert_int_equal(gate.attr.uid, LOAM_SERVICE_ID);
	assert_int_equal(gate.owner_uid, ALICE);
	assert_int_equal(gate.acl.mask, 05);
	assert_int_equal(gate.acl.other, 0);
	assert_int_equal(gate.acl.user_count, 1);
	assert_int_equal(gate.acl.users[0].id, ALICE);
	assert_int_equal(gate.acl.users[0].perm, 07);
	assert_int_equal(loam_gate_visibility(&gate), LOAM_PRIVATE);
	loam_gate_release(&gate);
	assert_int_equal(asked(world, "alice", &repo, LOAM_WANT_ADMIN), 0);
	assert_int_equal(asked(world, "bob", &repo, LOAM_WANT_READ), LOAM_E_NOT_FOUND);
	assert_int_equal(asked(world, NULL, &repo, LOAM_WANT_READ), LOAM_E_UNAUTHENTICATED);
	struct loam_repo none = repo;
	snprintf(none.name, sizeof(none.name), "none");
	assert_int_equal(asked(world, "bob", &none, LOAM_WANT_READ), LOAM_E_NOT_FOUND);
	assert_int_equal(asked(world, NULL, &none, LOAM_WANT_READ), LOAM_E_UNAUTHENTICATED);
	snprintf(none.ns, sizeof(none.ns), "nowhere");
	assert_int_equal(asked(world, "bob", &none, LOAM_WANT_READ), LOAM_E_NOT_FOUND);
}

static int create(struct loam_tree_world *world, const char *text, uint32_t owner)
{
	struct loam_repo repo;
	struct loam_err err = { 0 };
	uint64_t gate;
	assert_int_equal(loam_repo_parse(text, &repo, &err), 0);
	return -loam_repos_create(&world->tree, &repo, LOAM_THE_USER(owner), LOAM_PRIVATE, &gate,
				  &err);
}

static void names_are_unique_whatever_their_case(void **state)
{
	struct loam_tree_world *world = *state;
	assert_int_equal(create(world, "Qwen/Tiny", ALICE), 0);
	assert_int_equal(create(world, "Qwen/Tiny", ALICE), LOAM_E_EXISTS);
	assert_int_equal(create(world, "Qwen/tiny", ALICE), LOAM_E_EXISTS);
	assert_int_equal(create(world, "qwen/other", ALICE), LOAM_E_EXISTS);
	assert_int_equal(create(world, "Qwen/other", ALICE), 0);
	assert_int_equal(create(world, "datasets/Qwen/Tiny", ALICE), 0);
}

static void a_namespace_of_somebody_else_is_denied(void **state)
{
	struct loam_tree_world *world = *state;
	assert_int_equal(create(world, "qwen/tiny", ALICE), 0);
	assert_int_equal(create(world, "qwen/mine", BOB), LOAM_E_DENIED);
	assert_int_equal(loam_tree_world_entries(world, "/models/qwen"), 1);
}

struct creator {
	struct loam_tree_world *world;
	const char *text;
	int code;
};

static void *create_one(void *arg)
{
	struct creator *creator = arg;
	struct loam_repo repo;
	struct loam_err err = { 0 };
	uint64_t gate;
	loam_assert(loam_repo_parse(creator->text, &repo, &err) == 0);
	creator->code = -loam_repos_create(&creator->world->tree, &repo, LOAM_THE_USER(ALICE),
					   LOAM_PRIVATE, &gate, &err);
	return NULL;
}

static void two_spellings_made_at_once_never_both_stand(void **state)
{
	struct loam_tree_world *world = *state;
	assert_int_equal(create(world, "qwen/first", ALICE), 0);
	for (int round = 0; round < 20; round++) {
		loam_auto_free char *lower = loam_xasprintf("qwen/name%d", round);
		loam_auto_free char *upper = loam_xasprintf("qwen/NAME%d", round);
		struct creator creators[] = { { world, lower, 0 }, { world, upper, 0 } };
		pthread_t threads[2];
		size_t before = loam_tree_world_entries(world, "/models/qwen");
		for (int i = 0; i < 2; i++)
			assert_int_equal(pthread_create(&threads[i], NULL, create_one,
							&creators[i]),
					 0);
		size_t made = 0;
		for (int i = 0; i < 2; i++) {
			pthread_join(threads[i], NULL);
			made += creators[i].code == 0;
			assert_true(creators[i].code == 0 || creators[i].code == LOAM_E_EXISTS);
		}
		assert_true(made <= 1);
		assert_int_equal(loam_tree_world_entries(world, "/models/qwen"), before + made);
	}
}

static void a_grant_says_what_it_grants_and_replaces_an_earlier_one(void **state)
{
	struct loam_tree_world *world = *state;
	struct loam_repo repo = loam_tree_world_repo(world, "qwen/tiny", ALICE, LOAM_PRIVATE);
	assert_ok(loam_repos_grant(&world->tree, &repo, LOAM_THE_USER(BOB), LOAM_WANT_READ, &err));
	assert_int_equal(asked(world, "bob", &repo, LOAM_WANT_READ), 0);
	assert_int_equal(asked(world, "bob", &repo, LOAM_WANT_WRITE), LOAM_E_DENIED);
	assert_ok(loam_repos_grant(&world->tree, &repo, LOAM_THE_USER(BOB), LOAM_WANT_ADMIN, &err));
	assert_int_equal(asked(world, "bob", &repo, LOAM_WANT_ADMIN), 0);
	assert_ok(loam_repos_grant(&world->tree, &repo, LOAM_THE_USER(BOB), LOAM_WANT_WRITE, &err));
	assert_int_equal(asked(world, "bob", &repo, LOAM_WANT_WRITE), 0);
	assert_int_equal(asked(world, "bob", &repo, LOAM_WANT_ADMIN), LOAM_E_DENIED);
	struct loam_gate gate = gate_of(world, &repo);
	assert_int_equal(gate.acl.user_count, 2);
	assert_int_equal(gate.admin_count, 0);
	assert_int_equal(gate.acl.mask, 05);
	assert_int_equal(gate.attr.mode & 0777, 0750);
	loam_gate_release(&gate);
	assert_ok(loam_repos_revoke(&world->tree, &repo, LOAM_THE_USER(BOB), &err));
	assert_int_equal(asked(world, "bob", &repo, LOAM_WANT_READ), LOAM_E_NOT_FOUND);
	assert_code(loam_repos_revoke(&world->tree, &repo, LOAM_THE_USER(BOB), &err),
		    LOAM_E_NOT_FOUND);
	assert_code(loam_repos_revoke(&world->tree, &repo, LOAM_THE_USER(ALICE), &err),
		    LOAM_E_NOT_PERMITTED);
	struct loam_repo none = repo;
	snprintf(none.name, sizeof(none.name), "none");
	assert_code(loam_repos_grant(&world->tree, &none, LOAM_THE_USER(BOB), LOAM_WANT_READ, &err),
		    LOAM_E_NOT_FOUND);
}

static void visibility_opens_and_closes_for_all(void **state)
{
	struct loam_tree_world *world = *state;
	struct loam_repo repo = loam_tree_world_repo(world, "qwen/tiny", ALICE, LOAM_PUBLIC);
	assert_ok(
		loam_repos_grant(&world->tree, &repo, LOAM_THE_USER(CAROL), LOAM_WANT_WRITE, &err));
	static const struct {
		enum loam_visibility visibility;
		int bob, anonymous;
	} cases[] = {
		{ LOAM_PUBLIC, 0, 0 },
		{ LOAM_INTERNAL, 0, LOAM_E_UNAUTHENTICATED },
		{ LOAM_PRIVATE, LOAM_E_NOT_FOUND, LOAM_E_UNAUTHENTICATED },
		{ LOAM_PUBLIC, 0, 0 },
		{ LOAM_PRIVATE, LOAM_E_NOT_FOUND, LOAM_E_UNAUTHENTICATED },
		{ LOAM_INTERNAL, 0, LOAM_E_UNAUTHENTICATED },
	};
	assert_int_equal(asked(world, NULL, &repo, LOAM_WANT_READ), 0);
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(cases); i++) {
		assert_ok(
			loam_repos_set_visibility(&world->tree, &repo, cases[i].visibility, &err));
		assert_int_equal(asked(world, "bob", &repo, LOAM_WANT_READ), cases[i].bob);
		assert_int_equal(asked(world, NULL, &repo, LOAM_WANT_READ), cases[i].anonymous);
		assert_int_equal(asked(world, "carol", &repo, LOAM_WANT_WRITE), 0);
		struct loam_gate gate = gate_of(world, &repo);
		assert_int_equal(loam_gate_visibility(&gate), cases[i].visibility);
		loam_gate_release(&gate);
	}
}

static void a_gate_takes_500_entries_and_says_what_to_do_then(void **state)
{
	struct loam_tree_world *world = *state;
	struct loam_repo repo = loam_tree_world_repo(world, "qwen/tiny", ALICE, LOAM_PRIVATE);
	for (uint32_t i = 1; i < LOAM_ACL_ENTRIES_MAX; i++)
		assert_ok(loam_repos_grant(&world->tree, &repo, LOAM_THE_USER(40000 + i),
					   LOAM_WANT_ADMIN, &err));
	struct loam_err full = { 0 };
	assert_int_equal(loam_repos_grant(&world->tree, &repo, LOAM_THE_USER(BOB), LOAM_WANT_READ,
					  &full),
			 -LOAM_E_TOO_LARGE);
	assert_non_null(strstr(full.text, "group"));
	assert_ok(
		loam_repos_grant(&world->tree, &repo, LOAM_THE_USER(40001), LOAM_WANT_READ, &err));
	struct loam_gate gate = gate_of(world, &repo);
	assert_int_equal(gate.acl.user_count, LOAM_ACL_ENTRIES_MAX);
	assert_int_equal(gate.admin_count, LOAM_ACL_ENTRIES_MAX - 2);
	loam_gate_release(&gate);
	assert_ok(loam_repos_revoke(&world->tree, &repo, LOAM_THE_USER(40002), &err));
	assert_ok(loam_repos_grant(&world->tree, &repo, LOAM_THE_USER(BOB), LOAM_WANT_READ, &err));
	assert_int_equal(asked(world, "bob", &repo, LOAM_WANT_READ), 0);
}

struct granter {
	struct loam_tree_world *world;
	const struct loam_repo *repo;
	uint32_t from;
};

static void *grant_ten(void *arg)
{
	struct granter *granter = arg;
	for (uint32_t i = 0; i < 10; i++) {
		struct loam_err err = { 0 };
		int rc = loam_repos_grant(&granter->world->tree, granter->repo,
					  LOAM_THE_USER(granter->from + i),
					  i % 2 ? LOAM_WANT_ADMIN : LOAM_WANT_READ, &err);
		if (rc < 0)
			print_error("%s\n", err.text);
		loam_assert(rc == 0);
	}
	return NULL;
}

static void grants_made_at_once_all_hold(void **state)
{
	struct loam_tree_world *world = *state;
	struct loam_repo repo = loam_tree_world_repo(world, "qwen/tiny", ALICE, LOAM_PRIVATE);
	struct granter granters[4];
	pthread_t threads[4];
	for (uint32_t i = 0; i < 4; i++) {
		granters[i] = (struct granter){ world, &repo, 30000 + 100 * i };
		assert_int_equal(pthread_create(&threads[i], NULL, grant_ten, &granters[i]), 0);
	}
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	struct loam_gate gate = gate_of(world, &repo);
	assert_int_equal(gate.acl.user_count, 41);
	assert_int_equal(gate.admin_count, 20);
	loam_gate_release(&gate);
}

static void what_a_foreign_client_did_to_a_gate_is_mended(void **state)
{
	struct loam_tree_world *world = *state;
	struct loam_repo repo = loam_tree_world_repo(world, "qwen/tiny", ALICE, LOAM_PRIVATE);
	struct loam_err none = { 0 };
	assert_ok(loam_repos_grant(&world->tree, &repo, LOAM_THE_USER(BOB), LOAM_WANT_WRITE, &err));
	assert_int_equal(loam_repos_mend_gate(&world->tree, &repo, &none), 0);

	struct loam_gate gate = gate_of(world, &repo);
	struct loam_attr attr, open = { .mode = 0777 };
	struct loam_acl rule;
	assert_ok(loam_acl_copy(&gate.acl, &rule, &err));
	assert_ok(loam_meta_setattr(world->volume.meta, &loam_who_root, gate.ino, LOAM_SET_MODE,
				    &open, &attr, &err));
	loam_gate_release(&gate);
	assert_int_equal(asked(world, "carol", &repo, LOAM_WANT_WRITE), LOAM_E_DENIED);
	assert_int_equal(loam_repos_mend_gate(&world->tree, &repo, &none), 1);
	gate = gate_of(world, &repo);
	assert_int_equal(gate.acl.mask, 05);
	assert_int_equal(gate.acl.other, 05);
	assert_int_equal(gate.attr.mode & 0022, 0);
	assert_int_equal(gate.acl.user_count, rule.user_count);
	loam_gate_release(&gate);
	loam_acl_release(&rule);
	assert_int_equal(asked(world, "bob", &repo, LOAM_WANT_WRITE), 0);
	assert_int_equal(loam_repos_mend_gate(&world->tree, &repo, &none), 0);
}

static void a_gate_whose_marks_are_damaged_lets_nobody_in(void **state)
{
	struct loam_tree_world *world = *state;
	struct loam_repo repo = loam_tree_world_repo(world, "qwen/tiny", ALICE, LOAM_INTERNAL);
	struct loam_gate gate = gate_of(world, &repo);
	uint64_t ino = gate.ino;
	loam_gate_release(&gate);
	assert_ok(loam_meta_setxattr(world->volume.meta, &loam_who_root, ino, LOAM_XATTR_ADMINS,
				     "20002 x", 7, 0, &err));
	assert_int_not_equal(asked(world, "bob", &repo, LOAM_WANT_READ), 0);
	assert_ok(loam_meta_setxattr(world->volume.meta, &loam_who_root, ino, LOAM_XATTR_ADMINS, "",
				     0, 0, &err));
	assert_int_equal(asked(world, "bob", &repo, LOAM_WANT_READ), 0);
	assert_int_equal(asked(world, "bob", &repo, LOAM_WANT_ADMIN), LOAM_E_DENIED);
	struct loam_attr attr, foreign = { .uid = BOB };
	assert_ok(loam_meta_setattr(world->volume.meta, &loam_who_root, ino, LOAM_SET_UID, &foreign,
				    &attr, &err));
	assert_int_equal(asked(world, "bob", &repo, LOAM_WANT_READ), LOAM_E_NOT_FOUND);
}

static void what_is_no_directory_is_no_repository(void **state)
{
	struct loam_tree_world *world = *state;
	struct loam_repo repo = loam_tree_world_repo(world, "qwen/tiny", ALICE, LOAM_INTERNAL);
	assert_ok(loam_files_write(&world->volume, "/models/file", LOAM_SERVICE_ID, LOAM_SERVICE_ID,
				   0644, "x", 1, &err));
	assert_ok(loam_files_write(&world->volume, "/models/qwen/file", LOAM_SERVICE_ID,
				   LOAM_SERVICE_ID, 0644, "x", 1, &err));
	snprintf(repo.name, sizeof(repo.name), "file");
	assert_int_equal(asked(world, "bob", &repo, LOAM_WANT_READ), LOAM_E_NOT_FOUND);
	snprintf(repo.ns, sizeof(repo.ns), "file");
	assert_int_equal(asked(world, "bob", &repo, LOAM_WANT_READ), LOAM_E_NOT_FOUND);
}

static int note(void *arg, const struct loam_repo *repo, uint64_t gate_ino, struct loam_err *err)
{
	char text[LOAM_REPO_TEXT_BYTES];
	loam_repo_text(repo, text);
	assert_int_not_equal(gate_ino, 0);
	return loam_buf_printf(arg, err, "%s ", text);
}

static void all_repositories_are_listed_in_order(void **state)
{
	struct loam_tree_world *world = *state;
	static const char *const names[] = { "code/a/z", "qwen/tiny", "datasets/a/b", "qwen/a",
					     "alice/x" };
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(names); i++)
		assert_int_equal(create(world, names[i], ALICE), 0);
	assert_ok(loam_files_write(&world->volume, "/models/qwen/file", 0, 0, 0644, "x", 1, &err));
	loam_auto_buf struct loam_buf seen = LOAM_BUF(1000);
	assert_ok(loam_repos_each(&world->tree, note, &seen, &err));
	assert_string_equal(loam_buf_text(&seen), "models/alice/x models/qwen/a models/qwen/tiny "
						  "datasets/a/b code/a/z ");
}

static char *basic(const char *user, const char *password)
{
	loam_auto_free char *plain = loam_xasprintf("%s:%s", user, password);
	char coded[400];
	loam_base64_encode(plain, strlen(plain), coded);
	return loam_xasprintf("Basic %s", coded);
}

static int header_code(struct loam_tree_world *world, const char *header, const char *peer,
		       struct loam_principal *who)
{
	struct loam_err err = { 0 };
	return -loam_auth_header(world->auth, header, peer, who, &err);
}

static void credentials_become_principals_and_wrong_ones_one_answer(void **state)
{
	struct loam_tree_world *world = *state;
	struct loam_account_store *store = loam_auth_accounts(world->auth);
	struct loam_principal who;
	char text[LOAM_TOKEN_TEXT_BYTES];
	struct loam_token token = { .user = "bob", .scope = LOAM_SCOPE_READ };
	loam_token_make(text, &token);
	assert_ok(loam_account_store_add_token(store, &token, &err));
	assert_ok(loam_account_store_set_password(store, "bob", "correct horse battery", &err));
	loam_auto_free char *bearer = loam_xasprintf("Bearer %s", text);
	loam_auto_free char *right = basic("bob", "correct horse battery");
	loam_auto_free char *as_password = basic("anything", text);
	loam_auto_free char *as_name = basic(text, "x-oauth-basic");
	loam_auto_free char *others = basic("alice", text);
	loam_auto_free char *wrong = basic("bob", "wrong horse battery");
	loam_auto_free char *nobody = basic("nobodyknows", "correct horse battery");
	loam_auto_free char *locked = basic("alice", "!");

	assert_int_equal(header_code(world, NULL, "p", &who), 0);
	assert_int_equal(who.kind, LOAM_ANONYMOUS);
	assert_int_equal(header_code(world, right, "p", &who), 0);
	assert_int_equal(who.kind, LOAM_USER);
	assert_int_equal(who.uid, BOB);
	const char *const tokens[] = { bearer, as_password, as_name };
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(tokens); i++) {
		assert_int_equal(header_code(world, tokens[i], "p", &who), 0);
		assert_int_equal(who.kind, LOAM_TOKEN);
		assert_int_equal(who.scope, LOAM_SCOPE_READ);
		assert_string_equal(who.user, "bob");
	}
	const char *const refused[] = { others,	      wrong,	 nobody,     locked,
					"",	      "Basic",	 "Basic ",   "Basic !!!",
					"Basic Ym9i", "Bearer ", "Bearer x", "Digest x" };
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(refused); i++) {
		char peer[16];
		snprintf(peer, sizeof(peer), "peer%zu", i);
		assert_int_equal(header_code(world, refused[i], peer, &who),
				 LOAM_E_UNAUTHENTICATED);
	}
	assert_ok(loam_account_store_set_disabled(store, "bob", true, &err));
	assert_int_equal(header_code(world, right, "q", &who), LOAM_E_UNAUTHENTICATED);
	assert_int_equal(header_code(world, bearer, "q", &who), LOAM_E_UNAUTHENTICATED);
}

static void guessing_is_slowed_down_and_a_new_password_counts_at_once(void **state)
{
	struct loam_tree_world *world = *state;
	struct loam_account_store *store = loam_auth_accounts(world->auth);
	struct loam_principal who;
	loam_auto_free char *old = basic("bob", "correct horse battery");
	assert_ok(loam_account_store_set_password(store, "bob", "correct horse battery", &err));
	assert_int_equal(header_code(world, old, "p", &who), 0);
	assert_ok(loam_account_store_set_password(store, "bob", "another horse battery", &err));
	for (int i = 0; i < 6; i++)
		assert_int_equal(header_code(world, old, "p", &who), LOAM_E_UNAUTHENTICATED);
	assert_int_equal(header_code(world, old, "p", &who), LOAM_E_LIMITED);
	loam_auto_free char *fresh = basic("bob", "another horse battery");
	assert_int_equal(header_code(world, fresh, "elsewhere", &who), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, loam_tree_world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_new_gate_is_its_owners_and_nobody_elses),
		TEST(names_are_unique_whatever_their_case),
		TEST(a_namespace_of_somebody_else_is_denied),
		TEST(two_spellings_made_at_once_never_both_stand),
		TEST(a_grant_says_what_it_grants_and_replaces_an_earlier_one),
		TEST(visibility_opens_and_closes_for_all),
		TEST(a_gate_takes_500_entries_and_says_what_to_do_then),
		TEST(grants_made_at_once_all_hold),
		TEST(what_a_foreign_client_did_to_a_gate_is_mended),
		TEST(a_gate_whose_marks_are_damaged_lets_nobody_in),
		TEST(what_is_no_directory_is_no_repository),
		TEST(all_repositories_are_listed_in_order),
		TEST(credentials_become_principals_and_wrong_ones_one_answer),
		TEST(guessing_is_slowed_down_and_a_new_password_counts_at_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
