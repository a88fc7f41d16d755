/*
 * auth/account_store: the account files on a volume, changed by many at once.
 */
#include "auth/account_store.h"

#include "core/auto.h"
#include "core/clock.h"
#include "fs/files.h"
#include "tests/support/tree_world.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/volume.h"

#define PASSWD "/.loam/etc/passwd"
#define SHADOW "/.loam/etc/shadow"
#define TOKENS "/.loam/etc/tokens"

static struct loam_account_store *store_of(struct loam_tree_world *world)
{
	return loam_auth_accounts(world->auth);
}

static void write_file(struct loam_tree_world *world, const char *path, const char *text)
{
	assert_ok(loam_files_write(&world->volume, path, LOAM_SERVICE_ID, LOAM_SERVICE_ID, 0600,
				   text, strlen(text), &err));
}

/* A copy of the account as read now; uid 0: there is none. groups is not to be used. */
static struct loam_account find(struct loam_account_store *store, const char *name)
{
	const struct loam_accounts *accounts = NULL;
	struct loam_account found = { 0 };
	assert_ok(loam_account_store_get(store, true, &accounts, &err));
	const struct loam_account *account = loam_accounts_by_name(accounts, name);
	if (account)
		found = *account;
	loam_account_store_put(store, accounts);
	return found;
}

static void a_new_account_has_number_home_and_no_password(void **state)
{
	struct loam_tree_world *world = *state;
	uint32_t uid = loam_tree_world_user(world, "alice");
	struct loam_account alice = find(store_of(world), "alice");
	struct loam_attr home;
	uint64_t ino;
	assert_int_equal(uid, LOAM_FIRST_UID);
	assert_int_equal(alice.uid, uid);
	assert_int_equal(alice.gid, uid);
	assert_string_equal(alice.home, "/users/alice");
	assert_string_equal(alice.hash, "!");
	assert_false(alice.disabled);
	assert_ok(loam_files_lookup(&world->volume, "/users/alice", &ino, &home, &err));
	assert_int_equal(home.uid, uid);
	assert_int_equal(home.mode, 0700);
	struct loam_new_user again = { .name = "alice" };
	assert_code(loam_account_store_add_user(store_of(world), &again, &uid, &err),
		    LOAM_E_EXISTS);
}

static void numbers_that_accounts_may_not_have_are_refused_before_anything_is_written(void **state)
{
	struct loam_tree_world *world = *state;
	static const uint32_t bad[] = { 1, 999, LOAM_SERVICE_ID, 65534, 0x7FFFFFFF, UINT32_MAX };
	uint32_t uid;
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(bad); i++) {
		struct loam_new_user user = { .name = "alice", .uid = bad[i] };
		assert_code(loam_account_store_add_user(store_of(world), &user, &uid, &err),
			    LOAM_E_UNPROCESSABLE);
	}
	struct loam_new_user shared = { .name = "alice", .host_uid = 1000, .host_gid = 100 };
	assert_code(loam_account_store_add_user(store_of(world), &shared, &uid, &err),
		    LOAM_E_UNPROCESSABLE);
	assert_null(loam_tree_world_text(world, PASSWD));
	assert_int_equal(loam_tree_world_entries(world, "/users"), 0);
}

static void a_number_in_use_is_refused_and_the_next_one_skips_it(void **state)
{
	struct loam_tree_world *world = *state;
	struct loam_new_user second = { .name = "bob", .uid = LOAM_FIRST_UID + 1 };
	struct loam_new_user same = { .name = "carol", .uid = LOAM_FIRST_UID + 1 };
	uint32_t uid;
	assert_ok(loam_account_store_add_user(store_of(world), &second, &uid, &err));
	assert_code(loam_account_store_add_user(store_of(world), &same, &uid, &err), LOAM_E_EXISTS);
	assert_int_equal(loam_tree_world_user(world, "alice"), LOAM_FIRST_UID);
	assert_int_equal(loam_tree_world_user(world, "dave"), LOAM_FIRST_UID + 2);
}

static void the_hosts_users_keep_their_numbers_and_may_share_a_group(void **state)
{
	struct loam_tree_world *world = *state;
	struct loam_new_user first = { .name = "bob", .host_uid = 1000, .host_gid = 5000 };
	struct loam_new_user second = { .name = "carol", .host_uid = 1001, .host_gid = 5000 };
	uint32_t uid;
	assert_ok(loam_account_store_add_user(store_of(world), &first, &uid, &err));
	assert_ok(loam_account_store_add_user(store_of(world), &second, &uid, &err));
	assert_int_equal(uid, 1001);
	assert_int_equal(find(store_of(world), "carol").gid, 5000);
	const struct loam_accounts *accounts = NULL;
	assert_ok(loam_account_store_get(store_of(world), true, &accounts, &err));
	assert_int_equal(accounts->finding_count, 0);
	loam_account_store_put(store_of(world), accounts);
}

#define THREADS	 4
#define PER_EACH 6

struct adder {
	struct loam_tree_world *world;
	int number;
	uint32_t uids[PER_EACH];
};

static void *add_users(void *arg)
{
	struct adder *adder = arg;
	struct loam_account_store *store = NULL;
	struct loam_err err = { 0 };
	loam_assert(loam_account_store_open(&adder->world->tree, &store, &err) == 0);
	for (int i = 0; i < PER_EACH; i++) {
		char name[32];
		snprintf(name, sizeof(name), "user%d-%d", adder->number, i);
		struct loam_new_user user = { .name = name };
		if (loam_account_store_add_user(store, &user, &adder->uids[i], &err) < 0) {
			print_error("%s: %s\n", name, err.text);
			loam_assert(false);
		}
	}
	loam_account_store_close(store);
	return NULL;
}

static void users_added_at_once_have_numbers_of_their_own(void **state)
{
	struct adder adders[THREADS];
	pthread_t threads[THREADS];
	bool seen[THREADS * PER_EACH * 4] = { false };
	for (int i = 0; i < THREADS; i++) {
		adders[i] = (struct adder){ .world = *state, .number = i };
		assert_int_equal(pthread_create(&threads[i], NULL, add_users, &adders[i]), 0);
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < THREADS; i++) {
		for (int k = 0; k < PER_EACH; k++) {
			uint32_t index = adders[i].uids[k] - LOAM_FIRST_UID;
			assert_in_range(index, 0, LOAM_ARRAY_COUNT(seen) - 1);
			assert_false(seen[index]);
			seen[index] = true;
		}
	}
	struct loam_tree_world *world = *state;
	const struct loam_accounts *accounts = NULL;
	assert_ok(loam_account_store_get(store_of(world), true, &accounts, &err));
	assert_int_equal(HASH_CNT(by_name, accounts->by_name), THREADS * PER_EACH);
	assert_int_equal(accounts->finding_count, 0);
	for (struct loam_account *a = accounts->by_name; a; a = a->by_name.next)
		assert_false(a->disabled);
	loam_account_store_put(store_of(world), accounts);
}

static atomic_bool stop;

static void *set_passwords(void *arg)
{
	struct loam_tree_world *world = arg;
	while (!stop) {
		struct loam_err err = { 0 };
		loam_account_store_set_password(store_of(world), "bob", NULL, &err);
	}
	return NULL;
}

static void who_reads_while_others_write_never_misses_an_account(void **state)
{
	struct loam_tree_world *world = *state;
	struct loam_account_store *other = NULL;
	loam_tree_world_user(world, "alice");
	loam_tree_world_user(world, "bob");
	assert_ok(loam_account_store_open(&world->tree, &other, &err));
	pthread_t thread;
	stop = false;
	assert_int_equal(pthread_create(&thread, NULL, set_passwords, world), 0);
	for (int i = 0; i < 2000; i++) {
		struct loam_account alice = find(other, "alice");
		assert_int_equal(alice.uid, LOAM_FIRST_UID);
		assert_false(alice.disabled);
	}
	stop = true;
	pthread_join(thread, NULL);
	loam_account_store_close(other);
}

static void a_change_is_seen_elsewhere_within_a_second_and_here_at_once(void **state)
{
	struct loam_tree_world *world = *state;
	struct loam_account_store *other = NULL;
	const struct loam_accounts *accounts = NULL;
	loam_tree_world_user(world, "alice");
	assert_ok(loam_account_store_open(&world->tree, &other, &err));
	assert_ok(loam_account_store_get(other, false, &accounts, &err));
	assert_ok(loam_account_store_set_disabled(store_of(world), "alice", true, &err));
	assert_false(loam_accounts_by_name(accounts, "alice")->disabled);
	loam_account_store_put(other, accounts);
	assert_ok(loam_account_store_get(store_of(world), false, &accounts, &err));
	assert_true(loam_accounts_by_name(accounts, "alice")->disabled);
	loam_account_store_put(store_of(world), accounts);
	loam_clock_sleep_ms(LOAM_ACCOUNTS_LIFE_MS + 20);
	assert_ok(loam_account_store_get(other, false, &accounts, &err));
	assert_true(loam_accounts_by_name(accounts, "alice")->disabled);
	loam_account_store_put(other, accounts);
	loam_account_store_close(other);
}

struct changer {
	struct loam_tree_world *world;
	bool password;
};

static void *change_shadow(void *arg)
{
	struct changer *changer = arg;
	struct loam_err err = { 0 };
	int rc = changer->password
			 ? loam_account_store_set_password(store_of(changer->world), "alice",
							   "correct horse battery", &err)
			 : loam_account_store_set_disabled(store_of(changer->world), "alice", true,
							   &err);
	loam_assert(rc == 0);
	return NULL;
}

static void a_password_and_a_disabling_at_once_both_hold(void **state)
{
	struct loam_tree_world *world = *state;
	loam_tree_world_user(world, "alice");
	for (int round = 0; round < 5; round++) {
		assert_ok(loam_account_store_set_password(store_of(world), "alice", NULL, &err));
		assert_ok(loam_account_store_set_disabled(store_of(world), "alice", false, &err));
		struct changer changers[] = { { world, true }, { world, false } };
		pthread_t threads[2];
		for (int i = 0; i < 2; i++)
			assert_int_equal(pthread_create(&threads[i], NULL, change_shadow,
							&changers[i]),
					 0);
		for (int i = 0; i < 2; i++)
			pthread_join(threads[i], NULL);
		struct loam_account alice = find(store_of(world), "alice");
		assert_true(alice.disabled);
		assert_memory_equal(alice.hash, "$y$", 3);
	}
}

static void a_password_keeps_the_day_on_which_the_account_ends(void **state)
{
	struct loam_tree_world *world = *state;
	loam_tree_world_user(world, "alice");
	write_file(world, SHADOW, "alice:!:1:0:99999:7::39999:\nbob:kept:1:0:99999:7:::\n");
	assert_ok(loam_account_store_set_password(store_of(world), "alice", NULL, &err));
	loam_auto_free char *text = loam_tree_world_text(world, SHADOW);
	assert_non_null(strstr(text, ":39999:\n"));
	assert_non_null(strstr(text, "bob:kept:"));
	assert_code(loam_account_store_set_disabled(store_of(world), "bob", true, &err),
		    LOAM_E_NOT_FOUND);
}

static void an_account_whose_shadow_line_is_damaged_stays_out_until_it_is_enabled(void **state)
{
	struct loam_tree_world *world = *state;
	loam_tree_world_user(world, "alice");
	write_file(world, SHADOW, "alice:!:1:0:99999:7::1:\r\n");
	assert_true(find(store_of(world), "alice").disabled);
	assert_ok(loam_account_store_set_password(store_of(world), "alice", "correct horse battery",
						  &err));
	assert_true(find(store_of(world), "alice").disabled);
	assert_ok(loam_account_store_set_disabled(store_of(world), "alice", false, &err));
	struct loam_account alice = find(store_of(world), "alice");
	assert_false(alice.disabled);
	assert_memory_equal(alice.hash, "$y$", 3);
}

static void token_lines(struct loam_tree_world *world, const char *user, char *out_id)
{
	char text[LOAM_TOKEN_TEXT_BYTES];
	struct loam_token token = { .scope = LOAM_SCOPE_READ };
	loam_token_make(text, &token);
	snprintf(token.user, sizeof(token.user), "%s", user);
	assert_ok(loam_account_store_add_token(store_of(world), &token, &err));
	memcpy(out_id, token.id, sizeof(token.id));
}

static void a_removed_user_leaves_his_home_aside_and_nothing_else(void **state)
{
	struct loam_tree_world *world = *state;
	char of_alice[LOAM_TOKEN_ID_BYTES], of_bob[LOAM_TOKEN_ID_BYTES];
	loam_tree_world_user(world, "alice");
	loam_tree_world_user(world, "bob");
	token_lines(world, "alice", of_alice);
	token_lines(world, "bob", of_bob);
	write_file(world, "/users/alice/work", "bytes");
	assert_ok(loam_account_store_remove_user(store_of(world), "alice", &err));
	assert_int_equal(find(store_of(world), "alice").uid, 0);
	struct loam_attr aside;
	uint64_t ino;
	assert_ok(loam_files_lookup(&world->volume, "/users/.removed-alice-20001", &ino, &aside,
				    &err));
	assert_int_equal(aside.uid, 0);
	assert_int_equal(aside.mode, 0700);
	loam_auto_free char *work = loam_tree_world_text(world, "/users/.removed-alice-20001/work");
	assert_string_equal(work, "bytes");
	loam_auto_free char *tokens = loam_tree_world_text(world, TOKENS);
	assert_null(strstr(tokens, of_alice));
	assert_non_null(strstr(tokens, of_bob));
	loam_auto_free char *shadow = loam_tree_world_text(world, SHADOW);
	assert_null(strstr(shadow, "alice"));
	assert_code(loam_account_store_remove_user(store_of(world), "alice", &err),
		    LOAM_E_NOT_FOUND);
}

static void a_number_is_never_given_twice(void **state)
{
	struct loam_tree_world *world = *state;
	struct loam_new_user bob = { .name = "bob", .uid = LOAM_FIRST_UID + 1 };
	uint32_t uid;
	assert_int_equal(loam_tree_world_user(world, "alice"), LOAM_FIRST_UID);
	assert_ok(loam_account_store_add_user(store_of(world), &bob, &uid, &err));
	assert_ok(loam_account_store_remove_user(store_of(world), "alice", &err));
	assert_ok(loam_account_store_remove_user(store_of(world), "bob", &err));
	assert_int_equal(loam_tree_world_user(world, "alice"), LOAM_FIRST_UID + 2);
}

static void a_removal_that_was_cut_short_can_be_finished(void **state)
{
	struct loam_tree_world *world = *state;
	loam_tree_world_user(world, "alice");
	write_file(world, SHADOW, "");
	assert_true(find(store_of(world), "alice").disabled);
	assert_ok(loam_account_store_remove_user(store_of(world), "alice", &err));
	assert_int_equal(loam_tree_world_user(world, "alice"), LOAM_FIRST_UID + 1);
	assert_false(find(store_of(world), "alice").disabled);
}

static void a_home_that_a_killed_command_left_becomes_the_users(void **state)
{
	struct loam_tree_world *world = *state;
	struct loam_attr home;
	uint64_t ino;
	assert_ok(loam_files_mkdirs(&world->volume, "/users/alice", 29999, 29999, 0755, 0, &ino,
				    &err));
	uint32_t uid = loam_tree_world_user(world, "alice");
	assert_ok(loam_files_lookup(&world->volume, "/users/alice", &ino, &home, &err));
	assert_int_equal(home.uid, uid);
	assert_int_equal(home.mode, 0700);
}

static void a_token_is_revoked_by_its_own_user_only(void **state)
{
	struct loam_tree_world *world = *state;
	char id[LOAM_TOKEN_ID_BYTES], kept[LOAM_TOKEN_ID_BYTES];
	loam_tree_world_user(world, "alice");
	loam_tree_world_user(world, "bob");
	token_lines(world, "alice", id);
	token_lines(world, "alice", kept);
	assert_code(loam_account_store_remove_token(store_of(world), "bob", id, true, &err),
		    LOAM_E_NOT_FOUND);
	assert_code(loam_account_store_remove_token(store_of(world), "alice", "none", true, &err),
		    LOAM_E_NOT_FOUND);
	struct loam_principal who;
	assert_ok(loam_auth_user(world->auth, "alice", id, &who, &err));
	assert_ok(loam_account_store_remove_token(store_of(world), "alice", id, true, &err));
	assert_code(loam_auth_user(world->auth, "alice", id, &who, &err), LOAM_E_UNAUTHENTICATED);
	assert_ok(loam_auth_user(world->auth, "alice", kept, &who, &err));
	assert_int_equal(who.kind, LOAM_TOKEN);
	assert_int_equal(who.scope, LOAM_SCOPE_READ);
}

static void lines_that_are_not_understood_survive_a_removal(void **state)
{
	struct loam_tree_world *world = *state;
	loam_tree_world_user(world, "alice");
	static const char odd[] = "# by hand\nx\0y\n";
	assert_ok(loam_files_write(&world->volume, TOKENS, LOAM_SERVICE_ID, LOAM_SERVICE_ID, 0600,
				   odd, sizeof(odd) - 1, &err));
	assert_ok(loam_account_store_remove_user(store_of(world), "alice", &err));
	loam_auto_buf struct loam_buf text = LOAM_BUF(1000);
	assert_ok(loam_files_read(&world->volume, TOKENS, &text, &err));
	assert_int_equal(text.bytes, sizeof(odd) - 1);
	assert_memory_equal(text.data, odd, sizeof(odd) - 1);
}

/* Something else stands where a file should: an error, and nobody is let in or thrown out. */
static void a_directory_or_symlink_in_place_of_passwd_is_an_error(void **state)
{
	struct loam_tree_world *world = *state;
	struct loam_account_store *other = NULL;
	const struct loam_accounts *accounts = NULL;
	uint64_t etc, ino;
	struct loam_attr attr;
	uint32_t uid;
	loam_tree_world_user(world, "alice");
	assert_ok(loam_files_lookup(&world->volume, "/.loam/etc", &etc, &attr, &err));
	static const enum loam_type types[] = { LOAM_TYPE_DIR, LOAM_TYPE_SYMLINK };
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(types); i++) {
		assert_ok(loam_files_remove(&world->volume, PASSWD, &err));
		ino = loam_test_make(world->volume.meta, &loam_who_root, etc, "passwd", types[i],
				     0755);
		assert_int_not_equal(ino, 0);
		assert_ok(loam_account_store_open(&world->tree, &other, &err));
		assert_code(loam_account_store_get(other, false, &accounts, &err), LOAM_E_CORRUPT);
		struct loam_new_user bob = { .name = "bob" };
		assert_code(loam_account_store_add_user(other, &bob, &uid, &err), LOAM_E_CORRUPT);
		loam_account_store_close(other);
	}
}

#define TEST(name) \
	cmocka_unit_test_setup_teardown(name, loam_tree_world_setup, loam_tree_world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_new_account_has_number_home_and_no_password),
		TEST(numbers_that_accounts_may_not_have_are_refused_before_anything_is_written),
		TEST(a_number_in_use_is_refused_and_the_next_one_skips_it),
		TEST(the_hosts_users_keep_their_numbers_and_may_share_a_group),
		TEST(users_added_at_once_have_numbers_of_their_own),
		TEST(who_reads_while_others_write_never_misses_an_account),
		TEST(a_change_is_seen_elsewhere_within_a_second_and_here_at_once),
		TEST(a_password_and_a_disabling_at_once_both_hold),
		TEST(a_password_keeps_the_day_on_which_the_account_ends),
		TEST(an_account_whose_shadow_line_is_damaged_stays_out_until_it_is_enabled),
		TEST(a_removed_user_leaves_his_home_aside_and_nothing_else),
		TEST(a_number_is_never_given_twice),
		TEST(a_removal_that_was_cut_short_can_be_finished),
		TEST(a_home_that_a_killed_command_left_becomes_the_users),
		TEST(a_token_is_revoked_by_its_own_user_only),
		TEST(lines_that_are_not_understood_survive_a_removal),
		TEST(a_directory_or_symlink_in_place_of_passwd_is_an_error),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
