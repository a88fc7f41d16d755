/*
 * lfs/lock_store and lfs/locks: one lock a path, who may give it back, pages, what is refused
 * (reliability.md L07, lfs-11 to lfs-13, lfs-15), damaged files, removed repositories.
 */
#include "auth/account_store.h"
#include "auth/token.h"
#include "core/auto.h"
#include "core/limits.h"
#include "fs/files.h"
#include "lfs/fsck_lfs.h"
#include "lfs/lock_store.h"
#include "tests/support/lfs_world.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define LOCKS  "/qwen/tiny.git/info/lfs/locks"
#define RACERS 8
#define CROWD  250 /* more than two pages */

static struct loam_principal principal(enum loam_lfs_user user)
{
	static const char *const names[] = { "alice", "bob", "carol", "dave" };
	struct loam_principal who = { .kind = LOAM_USER, .uid = LOAM_FIRST_UID + user };
	snprintf(who.user, sizeof(who.user), "%s", names[user]);
	return who;
}

static int take(struct loam_lfs_world *world, const struct loam_repo *repo, const char *path,
		enum loam_lfs_user user, struct loam_lock *out)
{
	struct loam_err err = { 0 };
	struct loam_principal who = principal(user);
	return loam_lock_store_take(&world->tree, repo, path, strlen(path), &who, out, &err);
}

static int give_back(struct loam_lfs_world *world, const struct loam_repo *repo, const char *id,
		     enum loam_lfs_user user, bool force)
{
	struct loam_err err = { 0 };
	struct loam_principal who = principal(user);
	struct loam_lock lock;
	int rc = loam_lock_store_give_back(&world->tree, repo, id, &who, force, &lock, &err);
	if (rc == 0)
		loam_lock_release(&lock);
	return rc;
}

static size_t count_locks(struct loam_lfs_world *world, const struct loam_repo *repo)
{
	struct loam_err err = { 0 };
	struct loam_lock_query query = { 0 };
	struct loam_lock_page page;
	size_t count;
	assert_int_equal(loam_lock_store_list(&world->tree, repo, &query, &page, &err), 0);
	count = page.count;
	loam_lock_page_release(&page);
	return count;
}

static int status_of(struct loam_lfs_world *world, enum loam_lfs_user user, unsigned method,
		     const char *place, const char *body)
{
	loam_auto_free char *target = loam_xasprintf(LOCKS "%s", place);
	struct loam_web_reply reply = loam_lfs_world_call(world, user, method, target, body);
	int status = reply.status;
	assert_int_equal(status >= 400 && status != 409,
			 json_object_get(reply.json, "message") && status != 409);
	loam_web_reply_release(&reply);
	return status;
}

/* ---- the store ------------------------------------------------------------------------------- */

static void a_path_has_one_lock_and_its_owner_gives_it_back(void **state)
{
	struct loam_lfs_world *world = *state;
	struct loam_lock lock, other;
	assert_int_equal(take(world, &world->tiny, "dir/a b.bin", ALICE, &lock), 1);
	assert_string_equal(lock.path, "dir/a b.bin");
	assert_string_equal(lock.owner, "alice");
	assert_int_equal(lock.uid, LOAM_FIRST_UID + ALICE);
	for (int user = ALICE; user <= DAVE; user += DAVE) {
		assert_int_equal(take(world, &world->tiny, "dir/a b.bin", user, &other), 0);
		assert_string_equal(other.id, lock.id);
		assert_string_equal(other.owner, "alice");
		loam_lock_release(&other);
	}
	assert_int_equal(give_back(world, &world->tiny, lock.id, DAVE, false), -LOAM_E_DENIED);
	assert_int_equal(count_locks(world, &world->tiny), 1);
	assert_int_equal(give_back(world, &world->tiny, lock.id, ALICE, false), 0);
	assert_int_equal(count_locks(world, &world->tiny), 0);
	assert_int_equal(give_back(world, &world->tiny, lock.id, ALICE, false), -LOAM_E_NOT_FOUND);
	loam_lock_release(&lock);
}

/* lfs-12, and an id that outlived its lock. */
static void an_id_of_another_repository_or_an_earlier_lock_names_nothing(void **state)
{
	struct loam_lfs_world *world = *state;
	struct loam_lock tiny, other, again;
	assert_int_equal(take(world, &world->tiny, "f", ALICE, &tiny), 1);
	assert_int_equal(take(world, &world->other, "f", ALICE, &other), 1);
	assert_string_not_equal(tiny.id, other.id);
	assert_int_equal(give_back(world, &world->tiny, other.id, ALICE, true), -LOAM_E_NOT_FOUND);
	assert_int_equal(count_locks(world, &world->tiny), 1);
	assert_int_equal(give_back(world, &world->tiny, tiny.id, DAVE, true), 0);
	assert_int_equal(take(world, &world->tiny, "f", DAVE, &again), 1);
	assert_int_equal(give_back(world, &world->tiny, tiny.id, ALICE, true), -LOAM_E_NOT_FOUND);
	assert_int_equal(count_locks(world, &world->tiny), 1);
	assert_int_equal(count_locks(world, &world->other), 1);
	loam_lock_release(&tiny);
	loam_lock_release(&other);
	loam_lock_release(&again);
}

static void paths_that_name_nothing_in_a_repository_are_refused(void **state)
{
	static const char *const refused[] = { "",     "/a",	"../a",	 "a/../b",	"a//b",
					       "a/",   ".",	"./a",	 "a/.",		"a/..",
					       "a\nb", "a\x7f", "a\xff", "\xed\xa0\x80" };
	static const char *const taken[] = { "a", "...", "..a/b..", ".git-x",
					     "\xc3\xa4/\xe2\x82\xac" };
	struct loam_lfs_world *world = *state;
	struct loam_lock lock;
	struct loam_err err = { 0 };
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(refused); i++)
		assert_int_equal(take(world, &world->tiny, refused[i], ALICE, &lock),
				 -LOAM_E_UNPROCESSABLE);
	assert_int_equal(loam_lock_path_check("a\0b", 3, &err), -LOAM_E_UNPROCESSABLE);
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(taken); i++) {
		assert_int_equal(take(world, &world->tiny, taken[i], ALICE, &lock), 1);
		assert_string_equal(lock.path, taken[i]);
		loam_lock_release(&lock);
	}
	loam_auto_free char *path = loam_xcalloc(1, LOAM_PATH_BYTES_MAX + 2);
	memset(path, 'x', LOAM_PATH_BYTES_MAX + 1);
	assert_int_equal(take(world, &world->tiny, path, ALICE, &lock), -LOAM_E_UNPROCESSABLE);
	path[LOAM_PATH_BYTES_MAX] = '\0';
	assert_int_equal(take(world, &world->tiny, path, ALICE, &lock), 1);
	loam_lock_release(&lock);
	assert_int_equal(count_locks(world, &world->tiny), LOAM_ARRAY_COUNT(taken) + 1);
}

struct racer {
	struct loam_lfs_world *world;
	enum loam_lfs_user user;
	unsigned taken;
	pthread_t thread;
};

static void *race(void *arg)
{
	struct racer *racer = arg;
	for (int i = 0; i < 20; i++) {
		struct loam_lock lock;
		int rc = take(racer->world, &racer->world->tiny, "f", racer->user, &lock);
		assert_true(rc == 0 || rc == 1);
		if (rc == 1) {
			racer->taken++;
			assert_int_equal(give_back(racer->world, &racer->world->tiny, lock.id,
						   racer->user, false),
					 0);
		}
		loam_lock_release(&lock);
	}
	return NULL;
}

/* What one has taken nobody else has: giving it back succeeds each time. */
static void racers_never_hold_a_path_together(void **state)
{
	struct racer racers[RACERS];
	unsigned taken = 0;
	for (int i = 0; i < RACERS; i++) {
		racers[i] = (struct racer){ .world = *state, .user = i % 2 ? ALICE : DAVE };
		assert_int_equal(pthread_create(&racers[i].thread, NULL, race, &racers[i]), 0);
	}
	for (int i = 0; i < RACERS; i++) {
		pthread_join(racers[i].thread, NULL);
		taken += racers[i].taken;
	}
	assert_true(taken > 0);
	assert_int_equal(count_locks(*state, &((struct loam_lfs_world *)*state)->tiny), 0);
}

static void pages_give_every_lock_once(void **state)
{
	struct loam_lfs_world *world = *state;
	struct loam_err err = { 0 };
	bool seen[CROWD] = { false };
	size_t count = 0, pages = 0;
	char cursor[LOAM_LOCK_NAME_BYTES + 1] = "";
	for (int i = 0; i < CROWD; i++) {
		struct loam_lock lock;
		char path[32];
		snprintf(path, sizeof(path), "dir/%d", i);
		assert_int_equal(take(world, &world->tiny, path, i % 2 ? ALICE : DAVE, &lock), 1);
		loam_lock_release(&lock);
	}
	do {
		struct loam_lock_query query = { .cursor = cursor, .limit = 1000000 };
		struct loam_lock_page page;
		assert_int_equal(loam_lock_store_list(&world->tree, &world->tiny, &query, &page,
						      &err),
				 0);
		assert_true(page.count <= LOAM_LFS_LOCKS_PAGE);
		for (size_t i = 0; i < page.count; i++) {
			int number = -1;
			assert_int_equal(sscanf(page.locks[i].path, "dir/%d", &number), 1);
			assert_in_range(number, 0, CROWD - 1);
			assert_false(seen[number]);
			seen[number] = true;
			count++;
		}
		memcpy(cursor, page.next_cursor, sizeof(cursor));
		loam_lock_page_release(&page);
		pages++;
	} while (cursor[0]);
	assert_int_equal(count, CROWD);
	assert_int_equal(pages, 3);
}

static void a_removed_repository_takes_its_locks_along(void **state)
{
	struct loam_lfs_world *world = *state;
	struct loam_err err = { 0 };
	struct loam_lock lock;
	char path[LOAM_PATH_BYTES_MAX];
	assert_int_equal(take(world, &world->tiny, "f", ALICE, &lock), 1);
	loam_lock_release(&lock);
	loam_tree_gate_path(&world->tree, &world->tiny, path);
	assert_int_equal(loam_files_remove(&world->volume, path, &err), 0);
	assert_int_equal(loam_lfs_drop_repo(&world->tree, &world->tiny, &err), 0);
	assert_int_equal(count_locks(world, &world->tiny), 0);
	assert_int_equal(take(world, &world->tiny, "f", ALICE, &lock), -LOAM_E_NOT_FOUND);
}

/* ---- damage ---------------------------------------------------------------------------------- */

struct findings {
	unsigned locks, others;
};

static void on_finding(void *arg, const char *rule, const char *text)
{
	struct findings *findings = arg;
	if (strcmp(rule, "L07") == 0)
		findings->locks++;
	else
		findings->others++;
}

static struct findings fsck(struct loam_lfs_world *world)
{
	struct findings findings = { 0 };
	struct loam_err err = { 0 };
	struct loam_fsck_sink sink = { .found = on_finding, .arg = &findings };
	struct loam_fsck_lfs_options options = { .staging_seconds = 3600 };
	struct loam_fsck_lfs_stats stats;
	assert_int_equal(loam_fsck_lfs(&world->tree, &options, &sink, &stats, &err), 0);
	return findings;
}

/* The only file of the directory of locks. */
static uint64_t lock_file(struct loam_lfs_world *world, uint64_t *out_dir)
{
	char path[LOAM_PATH_BYTES_MAX];
	struct loam_attr attr;
	struct loam_dir *dir = NULL;
	struct loam_err err = { 0 };
	loam_tree_locks_path(&world->tree, &world->tiny, path);
	assert_int_equal(loam_files_lookup(&world->volume, path, out_dir, &attr, &err), 0);
	assert_int_equal(loam_meta_opendir(world->volume.meta, *out_dir, false, &dir, &err), 0);
	assert_int_equal(loam_dir_count(dir), 1);
	uint64_t ino = loam_dir_at(dir, 0)->dentry.ino;
	loam_dir_close(dir);
	return ino;
}

static void a_damaged_lock_is_found_and_keeps_nobody_off(void **state)
{
	static const char *const records[] = { NULL,
					       "",
					       "x",
					       "{}",
					       "[]",
					       "{\"id\":\"0\",\"path\":\"f\",\"owner\":\"alice\","
					       "\"uid\":20001,\"locked_at\":1}" };
	struct loam_lfs_world *world = *state;
	struct loam_err err = { 0 };
	struct loam_lock lock;
	assert_int_equal(take(world, &world->tiny, "f", ALICE, &lock), 1);
	loam_lock_release(&lock);
	assert_int_equal(fsck(world).locks, 0);
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(records); i++) {
		uint64_t dir, ino = lock_file(world, &dir);
		struct loam_meta *meta = world->volume.meta;
		int rc = records[i] ? loam_meta_setxattr(meta, &loam_who_root, ino, LOAM_XATTR_LOCK,
							 records[i], strlen(records[i]), 0, &err)
				    : loam_meta_removexattr(meta, &loam_who_root, ino,
							    LOAM_XATTR_LOCK, &err);
		assert_int_equal(rc, 0);
		assert_int_equal(count_locks(world, &world->tiny), 0);
		assert_int_equal(fsck(world).locks, 1);
		assert_int_equal(fsck(world).others, 0);
		assert_int_equal(take(world, &world->tiny, "f", DAVE, &lock), 1);
		loam_lock_release(&lock);
		assert_int_equal(count_locks(world, &world->tiny), 1);
		assert_int_equal(fsck(world).locks, 0);
	}
}

/* ---- the door -------------------------------------------------------------------------------- */

static void callers_get_what_their_rights_say(void **state)
{
	static const struct {
		enum loam_lfs_user user;
		unsigned method;
		const char *place, *body;
		int status;
	} cases[] = {
		{ ALICE, LOAM_GET, "", NULL, 200 },
		{ BOB, LOAM_GET, "?limit=5&path=x&refspec=refs/heads/main", NULL, 200 },
		{ CAROL, LOAM_GET, "", NULL, 404 },
		{ NOBODY, LOAM_GET, "", NULL, 401 },
		{ ALICE, LOAM_POST, "/verify", "{\"ref\":{\"name\":\"refs/heads/main\"}}", 200 },
		{ ALICE, LOAM_POST, "/verify", "", 200 },
		{ BOB, LOAM_POST, "/verify", "{}", 403 },
		{ CAROL, LOAM_POST, "/verify", "{}", 404 },
		{ NOBODY, LOAM_POST, "/verify", "{}", 401 },
		{ BOB, LOAM_POST, "", "{\"path\":\"a\"}", 403 },
		{ CAROL, LOAM_POST, "", "{\"path\":\"a\"}", 404 },
		{ NOBODY, LOAM_POST, "", "{\"path\":\"a\"}", 401 },
		{ DAVE, LOAM_POST, "", "{\"path\":\"a\"}", 201 },
		{ ALICE, LOAM_POST, "", "{\"path\":\"a\"}", 409 },
		{ ALICE, LOAM_POST, "/17/unlock", "{}", 404 },
		{ BOB, LOAM_POST, "/17/unlock", "{}", 403 },
		{ CAROL, LOAM_POST, "/17/unlock", "{}", 404 },
		{ NOBODY, LOAM_POST, "/17/unlock", "{}", 401 },
	};
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(cases); i++)
		assert_int_equal(status_of(*state, cases[i].user, cases[i].method, cases[i].place,
					   cases[i].body),
				 cases[i].status);
}

static void what_makes_no_sense_is_422_and_what_does_not_parse_400(void **state)
{
	static const struct {
		unsigned method;
		const char *place, *body;
		int status;
	} cases[] = {
		{ LOAM_GET, "?limit=-1", NULL, 422 },
		{ LOAM_GET, "?limit=x", NULL, 422 },
		{ LOAM_GET, "?limit=", NULL, 422 },
		{ LOAM_GET, "?limit=1000000000", NULL, 200 },
		{ LOAM_GET, "?cursor=x", NULL, 422 },
		{ LOAM_GET, "?cursor=", NULL, 200 },
		{ LOAM_GET, "?id=x", NULL, 200 },
		{ LOAM_POST, "/verify", "{", 400 },
		{ LOAM_POST, "/verify", "[]", 422 },
		{ LOAM_POST, "/verify", "{\"limit\":-1}", 422 },
		{ LOAM_POST, "/verify", "{\"limit\":\"5\"}", 422 },
		{ LOAM_POST, "/verify", "{\"cursor\":\"zz\"}", 422 },
		{ LOAM_POST, "/verify", "{\"cursor\":null,\"limit\":0}", 200 },
		{ LOAM_POST, "", "", 422 },
		{ LOAM_POST, "", "{\"path\":5}", 422 },
		{ LOAM_POST, "", "{\"path\":\"\"}", 422 },
		{ LOAM_POST, "", "{\"path\":\"../x\"}", 422 },
		{ LOAM_POST, "", "{\"path\":\"/x\"}", 422 },
		{ LOAM_POST, "", "{\"path\":\"a\xff\"}", 422 },
		{ LOAM_POST, "", "{\"path\":\"\\ud800\"}", 422 },
		{ LOAM_POST, "", "{\"path\":\"a\\u0000\"}", 422 },
		{ LOAM_POST, "", "{\"path\":\"a\",\"ref\":{\"name\":\"refs/heads/../x\"}}", 422 },
		{ LOAM_POST, "/17/unlock", "{\"force\":1}", 422 },
		{ LOAM_POST, "/17/unlock", "x", 400 },
	};
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(cases); i++)
		assert_int_equal(status_of(*state, ALICE, cases[i].method, cases[i].place,
					   cases[i].body),
				 cases[i].status);
}

static json_t *call(struct loam_lfs_world *world, enum loam_lfs_user user, unsigned method,
		    const char *place, const char *body, int status)
{
	loam_auto_free char *target = loam_xasprintf(LOCKS "%s", place);
	struct loam_web_reply reply = loam_lfs_world_call(world, user, method, target, body);
	assert_int_equal(reply.status, status);
	json_t *json = json_incref(reply.json);
	loam_web_reply_release(&reply);
	return json;
}

static const char *text_of(const json_t *lock, const char *name)
{
	return json_string_value(json_object_get(lock, name));
}

static void a_lock_is_shown_as_the_client_wants_it(void **state)
{
	loam_auto_json json_t *made =
		call(*state, DAVE, LOAM_POST, "", "{\"path\":\"d/f.bin\"}", 201);
	const json_t *lock = json_object_get(made, "lock");
	assert_string_equal(text_of(lock, "path"), "d/f.bin");
	assert_string_equal(text_of(json_object_get(lock, "owner"), "name"), "dave");
	assert_int_equal(strlen(text_of(lock, "locked_at")), strlen("2026-11-22T10:00:00Z"));
	assert_int_equal(strlen(text_of(lock, "id")), LOAM_LOCK_ID_BYTES);

	loam_auto_json json_t *held =
		call(*state, ALICE, LOAM_POST, "", "{\"path\":\"d/f.bin\"}", 409);
	assert_true(json_equal(json_object_get(held, "lock"), lock));
	assert_non_null(json_object_get(held, "message"));

	loam_auto_json json_t *list = call(*state, BOB, LOAM_GET, "?path=d%2Ff.bin", NULL, 200);
	assert_true(json_equal(json_array_get(json_object_get(list, "locks"), 0), lock));
	assert_null(json_object_get(list, "next_cursor"));
	loam_auto_json json_t *none = call(*state, BOB, LOAM_GET, "?path=d", NULL, 200);
	assert_int_equal(json_array_size(json_object_get(none, "locks")), 0);
	loam_auto_free char *by_id = loam_xasprintf("?id=%s", text_of(lock, "id"));
	loam_auto_json json_t *one = call(*state, BOB, LOAM_GET, by_id, NULL, 200);
	assert_int_equal(json_array_size(json_object_get(one, "locks")), 1);
}

static void verify_tells_ours_from_theirs_page_by_page(void **state)
{
	loam_auto_json json_t *a = call(*state, ALICE, LOAM_POST, "", "{\"path\":\"a\"}", 201);
	loam_auto_json json_t *b = call(*state, DAVE, LOAM_POST, "", "{\"path\":\"b\"}", 201);
	loam_auto_json json_t *all = call(*state, DAVE, LOAM_POST, "/verify", "{}", 200);
	const json_t *ours = json_object_get(all, "ours"), *theirs = json_object_get(all, "theirs");
	assert_int_equal(json_array_size(ours), 1);
	assert_int_equal(json_array_size(theirs), 1);
	assert_string_equal(text_of(json_array_get(ours, 0), "path"), "b");
	assert_string_equal(text_of(json_array_get(theirs, 0), "path"), "a");

	loam_auto_json json_t *first =
		call(*state, DAVE, LOAM_POST, "/verify", "{\"limit\":1}", 200);
	const char *cursor = text_of(first, "next_cursor");
	assert_non_null(cursor);
	loam_auto_free char *next = loam_xasprintf("{\"limit\":1,\"cursor\":\"%s\"}", cursor);
	loam_auto_json json_t *second = call(*state, DAVE, LOAM_POST, "/verify", next, 200);
	assert_null(json_object_get(second, "next_cursor"));
	assert_int_equal(json_array_size(json_object_get(first, "ours")) +
				 json_array_size(json_object_get(second, "ours")),
			 1);
}

/* Alice owns the namespace; a token that may only write does not force. */
static void give_alice_an_admins_token(struct loam_lfs_world *world)
{
	struct loam_err err = { 0 };
	struct loam_token token = { .scope =
					    LOAM_SCOPE_READ | LOAM_SCOPE_WRITE | LOAM_SCOPE_ADMIN };
	char text[LOAM_TOKEN_TEXT_BYTES];
	loam_token_make(text, &token);
	snprintf(token.user, sizeof(token.user), "alice");
	assert_int_equal(loam_account_store_add_token(loam_auth_accounts(world->auth), &token,
						      &err),
			 0);
	snprintf(world->bearer[ALICE], sizeof(world->bearer[ALICE]), "Bearer %s", text);
}

static void force_is_for_admins_and_no_harm_to_owners(void **state)
{
	loam_auto_json json_t *a = call(*state, ALICE, LOAM_POST, "", "{\"path\":\"a\"}", 201);
	loam_auto_json json_t *d = call(*state, DAVE, LOAM_POST, "", "{\"path\":\"d\"}", 201);
	loam_auto_free char *alices =
		loam_xasprintf("/%s/unlock", text_of(json_object_get(a, "lock"), "id"));
	loam_auto_free char *daves =
		loam_xasprintf("/%s/unlock", text_of(json_object_get(d, "lock"), "id"));
	assert_int_equal(status_of(*state, DAVE, LOAM_POST, alices, "{}"), 403);
	assert_int_equal(status_of(*state, DAVE, LOAM_POST, alices, "{\"force\":true}"), 403);
	assert_int_equal(status_of(*state, ALICE, LOAM_POST, daves, "{\"force\":false}"), 403);
	assert_int_equal(status_of(*state, ALICE, LOAM_POST, daves, "{\"force\":true}"), 403);
	give_alice_an_admins_token(*state);
	assert_int_equal(status_of(*state, ALICE, LOAM_POST, daves, "{\"force\":true}"), 200);
	assert_int_equal(status_of(*state, ALICE, LOAM_POST, daves, "{\"force\":true}"), 404);
	loam_auto_json json_t *again = call(*state, DAVE, LOAM_POST, "", "{\"path\":\"d\"}", 201);
	loam_auto_free char *own =
		loam_xasprintf("/%s/unlock", text_of(json_object_get(again, "lock"), "id"));
	assert_int_equal(status_of(*state, DAVE, LOAM_POST, own, "{\"force\":true}"), 200);
}

#define IN_WORLD(test) \
	cmocka_unit_test_setup_teardown(test, loam_lfs_world_setup, loam_lfs_world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_WORLD(a_path_has_one_lock_and_its_owner_gives_it_back),
		IN_WORLD(an_id_of_another_repository_or_an_earlier_lock_names_nothing),
		IN_WORLD(paths_that_name_nothing_in_a_repository_are_refused),
		IN_WORLD(racers_never_hold_a_path_together),
		IN_WORLD(pages_give_every_lock_once),
		IN_WORLD(a_removed_repository_takes_its_locks_along),
		IN_WORLD(a_damaged_lock_is_found_and_keeps_nobody_off),
		IN_WORLD(callers_get_what_their_rights_say),
		IN_WORLD(what_makes_no_sense_is_422_and_what_does_not_parse_400),
		IN_WORLD(a_lock_is_shown_as_the_client_wants_it),
		IN_WORLD(verify_tells_ours_from_theirs_page_by_page),
		IN_WORLD(force_is_for_admins_and_no_harm_to_owners),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
