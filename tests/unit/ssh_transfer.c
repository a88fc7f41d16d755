/*
 * lfs/ssh_transfer: git-lfs-transfer, message by message, over the memory volume; lfs/lfs_token:
 * what git-lfs-authenticate hands out.
 */
#include "lfs/ssh_transfer.h"

#include "auth/account_store.h"
#include "core/auto.h"
#include "core/sys.h"
#include "lfs/lfs_token.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "tests/support/lfs_world.h"
#include "tests/support/volume.h"

#define HELLO		"hello"
#define HELLO_OID	"2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
#define OTHER_OID	"4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393"
#define HELLO_ANNOUNCED "000eversion=1\n000clocking\n0000"

/* ---- a session whose client has said all it will say ----------------------------------------- */

struct talk {
	struct loam_buf in, out;
	bool over; /* the session ends */
};

static void add(struct talk *talk, const void *data, size_t bytes)
{
	char head[24];
	snprintf(head, sizeof(head), "%04zx", bytes + 4);
	assert_ok(loam_buf_add(&talk->in, head, 4, &err));
	assert_ok(loam_buf_add(&talk->in, data, bytes, &err));
}

/* Lines, ended by NULL; "0000" and "0001" are what they are. */
static void say(struct talk *talk, const char *first, ...)
{
	va_list args;
	va_start(args, first);
	for (const char *at = first; at; at = va_arg(args, const char *)) {
		loam_auto_free char *line = loam_xasprintf("%s\n", at);
		if (strcmp(at, "0000") == 0 || strcmp(at, "0001") == 0)
			assert_ok(loam_buf_add(&talk->in, at, 4, &err));
		else
			add(talk, line, strlen(line));
	}
	va_end(args);
}

static int take_out(void *arg, const void *data, size_t bytes, struct loam_err *err)
{
	struct talk *talk = arg;
	return loam_buf_add(&talk->out, data, bytes, err);
}

static int still(void *arg, struct loam_err *err)
{
	const struct talk *talk = arg;
	return talk->over ? loam_fail(err, LOAM_E_INTERRUPTED, "the session is over") : 0;
}

static const char *const users[] = { "alice", "bob", "carol", "dave" };

static int run(struct loam_lfs_world *world, enum loam_lfs_user user, bool upload,
	       struct talk *talk)
{
	struct loam_principal who;
	assert_ok(loam_auth_user(world->auth, users[user], "", &who, &err));
	loam_auto_fd int in = memfd_create("in", MFD_CLOEXEC);
	assert_true(in >= 0);
	assert_ok(loam_sys_write_all(in, talk->in.data, talk->in.bytes, &err));
	lseek(in, 0, SEEK_SET);
	const struct loam_ssh_transfer transfer = {
		.lfs = world->lfs,
		.who = &who,
		.repo = &world->tiny,
		.upload = upload,
		.io = { .in_fd = in, .write = take_out, .still = still, .arg = talk },
	};
	struct loam_err ended = { 0 };
	int rc = loam_ssh_transfer_run(&transfer, &ended);
	loam_buf_clear(&talk->in);
	return rc;
}

#define TALK                                                                       \
	{                                                                          \
		.in = LOAM_BUF(4u << 20), .out = LOAM_BUF(4u << 20), .over = false \
	}

static void release(struct talk *talk)
{
	loam_buf_release(&talk->in);
	loam_buf_release(&talk->out);
}

/* The answer holds these bytes behind the announcement. */
static void expect(struct talk *talk, const char *wanted)
{
	const char *text = loam_buf_text(&talk->out);
	assert_int_equal(strncmp(text, HELLO_ANNOUNCED, strlen(HELLO_ANNOUNCED)), 0);
	if (!strstr(text, wanted))
		print_error("'%s' is not in '%s'\n", wanted, text);
	assert_non_null(strstr(text, wanted));
	loam_buf_clear(&talk->out);
}

static void put(struct talk *talk, const char *oid, const char *size, const char *bytes)
{
	loam_auto_free char *command = loam_xasprintf("put-object %s", oid);
	loam_auto_free char *argument = loam_xasprintf("size=%s", size);
	say(talk, command, argument, "0001", NULL);
	if (bytes[0])
		add(talk, bytes, strlen(bytes));
	say(talk, "0000", NULL);
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void an_object_goes_in_and_out(void **state)
{
	struct loam_lfs_world *world = *state;
	struct talk talk = TALK;
	say(&talk, "version 1", "0000", NULL);
	say(&talk, "batch", "transfer=ssh", "hash-algo=sha256", "refname=refs/heads/main", "0001",
	    HELLO_OID " 5", OTHER_OID " 7", "0000", NULL);
	put(&talk, HELLO_OID, "5", HELLO);
	say(&talk, "verify-object " HELLO_OID, "size=5", "0000", NULL);
	say(&talk, "verify-object " HELLO_OID, "size=6", "0000", NULL);
	say(&talk, "verify-object " OTHER_OID, "size=7", "0000", NULL);
	say(&talk, "batch", "0001", HELLO_OID " 5", "0000", NULL);
	say(&talk, "quit", "0000", NULL);
	assert_int_equal(run(world, DAVE, true, &talk), 0);
	assert_non_null(strstr(loam_buf_text(&talk.out), HELLO_OID " 5 upload\n"));
	assert_non_null(strstr(loam_buf_text(&talk.out), OTHER_OID " 7 upload\n"));
	assert_non_null(strstr(loam_buf_text(&talk.out), "status 409\n0001"));
	assert_non_null(strstr(loam_buf_text(&talk.out), "status 404\n0001"));
	expect(&talk, HELLO_OID " 5 noop\n0000000fstatus 200\n0000");
	assert_true(loam_lfs_world_holds(world, &world->tiny, HELLO_OID));

	say(&talk, "version 1", "0000", NULL);
	say(&talk, "batch", "0001", HELLO_OID " 5", OTHER_OID " 7", "0000", NULL);
	say(&talk, "get-object " HELLO_OID, "size=5", "0000", NULL);
	say(&talk, "get-object " OTHER_OID, "size=7", "0000", NULL);
	assert_int_equal(run(world, BOB, false, &talk), 0);
	assert_non_null(strstr(loam_buf_text(&talk.out), HELLO_OID " 5 download\n"));
	assert_non_null(strstr(loam_buf_text(&talk.out), OTHER_OID " 7 noop\n"));
	assert_non_null(strstr(loam_buf_text(&talk.out), "status 404\n0001"));
	expect(&talk, "000fstatus 200\n000bsize=5\n00010009hello0000");
	release(&talk);
}

static void bytes_that_are_not_the_object_are_refused_and_the_session_goes_on(void **state)
{
	struct loam_lfs_world *world = *state;
	struct talk talk = TALK;
	put(&talk, HELLO_OID, "5", "hellO");
	put(&talk, HELLO_OID, "5", "hell");
	put(&talk, HELLO_OID, "5", "hello!");
	put(&talk, "x", "5", HELLO);
	put(&talk, "../../../etc/passwd", "5", HELLO);
	put(&talk, HELLO_OID, "-1", HELLO);
	put(&talk, HELLO_OID, "99999999999999999999", HELLO);
	say(&talk, "put-object " HELLO_OID, "0001", NULL);
	add(&talk, HELLO, 5);
	say(&talk, "0000", "put-object", "size=5", "0000", "quit", "0000", NULL);
	assert_int_equal(run(world, DAVE, true, &talk), 0);
	size_t refused = 0;
	for (const char *at = loam_buf_text(&talk.out); (at = strstr(at, "status 400\n0001")); at++)
		refused++;
	assert_int_equal(refused, 9);
	expect(&talk, "0000000fstatus 200\n0000");
	assert_false(loam_lfs_world_holds(world, &world->tiny, HELLO_OID));
	assert_int_equal(loam_lfs_world_entries(world, "staging"), 0);
	release(&talk);
}

static void a_session_does_what_its_operation_says(void **state)
{
	struct loam_lfs_world *world = *state;
	struct talk talk = TALK;
	put(&talk, HELLO_OID, "5", HELLO);
	say(&talk, "verify-object " HELLO_OID, "size=5", "0000", NULL);
	assert_int_equal(run(world, DAVE, false, &talk), 0);
	expect(&talk, "status 403\n0001");
	/* the right is asked for again with each object */
	put(&talk, HELLO_OID, "5", HELLO);
	assert_int_equal(run(world, BOB, true, &talk), 0);
	expect(&talk, "status 403\n0001");
	say(&talk, "get-object " HELLO_OID, "0000", NULL);
	assert_int_equal(run(world, CAROL, false, &talk), 0);
	expect(&talk, "status 403\n0001");
	assert_false(loam_lfs_world_holds(world, &world->tiny, HELLO_OID));
	release(&talk);
}

static void an_object_of_another_repository_is_not_there(void **state)
{
	struct loam_lfs_world *world = *state;
	struct talk talk = TALK;
	assert_int_equal(loam_lfs_world_upload(world, ALICE, "qwen/other", HELLO, 5), 200);
	say(&talk, "batch", "0001", HELLO_OID " 5", "0000", NULL);
	say(&talk, "get-object " HELLO_OID, "0000", NULL);
	assert_int_equal(run(world, BOB, false, &talk), 0);
	assert_non_null(strstr(loam_buf_text(&talk.out), HELLO_OID " 5 noop\n"));
	expect(&talk, "status 404\n0001");
	say(&talk, "batch", "0001", HELLO_OID " 5", "0000", NULL);
	say(&talk, "verify-object " HELLO_OID, "size=5", "0000", NULL);
	assert_int_equal(run(world, DAVE, true, &talk), 0);
	assert_non_null(strstr(loam_buf_text(&talk.out), HELLO_OID " 5 upload\n"));
	expect(&talk, "status 404\n0001");
	assert_false(loam_lfs_world_holds(world, &world->tiny, HELLO_OID));
	release(&talk);
}

static void what_is_no_request_gets_a_status(void **state)
{
	static const char *const lines[] = { "version 2", "frobnicate", "batch x y", "unlock",
					     "lock",	  "unlock x",	"version" };
	struct loam_lfs_world *world = *state;
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(lines); i++) {
		struct talk talk = TALK;
		say(&talk, lines[i], "0001", "no line", "0000", "quit", "0000", NULL);
		assert_int_equal(run(world, DAVE, true, &talk), 0);
		assert_non_null(strstr(loam_buf_text(&talk.out), "status 4"));
		expect(&talk, "0000000fstatus 200\n0000");
		release(&talk);
	}
	struct talk talk = TALK;
	say(&talk, "batch", "hash-algo=sha512", "0001", "0000", "0000", NULL);
	assert_int_equal(run(world, DAVE, true, &talk), 0);
	expect(&talk, "status 405\n0001");
	say(&talk, "batch", "0001", NULL);
	for (int i = 0; i <= LOAM_LFS_BATCH_OBJECTS_MAX; i++)
		say(&talk, HELLO_OID " 5", NULL);
	say(&talk, "0000", NULL);
	assert_int_equal(run(world, DAVE, true, &talk), 0);
	expect(&talk, "status 413\n0001");
	release(&talk);
}

static void what_is_no_packet_ends_the_session(void **state)
{
	static const char *const bytes[] = { "x",	   "zzzz",	  "0002",      "0003",
					     "ffff",	   "00",	  "0009ab",    "-001",
					     "0009ab\ncd", "000cbatch\n", "0005\n0001" };
	struct loam_lfs_world *world = *state;
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(bytes); i++) {
		struct talk talk = TALK;
		assert_ok(loam_buf_add_text(&talk.in, bytes[i], &err));
		assert_true(run(world, DAVE, true, &talk) < 0);
		release(&talk);
	}
	struct talk talk = TALK;
	say(&talk, "batch", NULL);
	for (int i = 0; i < 40; i++)
		say(&talk, "a=b", NULL);
	say(&talk, "0000", NULL);
	assert_true(run(world, DAVE, true, &talk) < 0);
	release(&talk);
}

static void an_upload_that_is_cut_leaves_nothing(void **state)
{
	struct loam_lfs_world *world = *state;
	struct talk talk = TALK;
	say(&talk, "put-object " HELLO_OID, "size=5", "0001", NULL);
	add(&talk, "hel", 3);
	assert_true(run(world, DAVE, true, &talk) < 0);
	assert_int_equal(loam_lfs_world_entries(world, "staging"), 0);
	talk.over = true;
	put(&talk, HELLO_OID, "5", HELLO);
	assert_int_equal(run(world, DAVE, true, &talk), -LOAM_E_INTERRUPTED);
	assert_false(loam_lfs_world_holds(world, &world->tiny, HELLO_OID));
	release(&talk);
}

static void locks_are_taken_listed_and_given_back(void **state)
{
	struct loam_lfs_world *world = *state;
	struct talk talk = TALK;
	say(&talk, "lock", "path=dir/f.bin", "refname=refs/heads/main", "0000", NULL);
	say(&talk, "list-lock", "limit=10", "0000", NULL);
	assert_int_equal(run(world, DAVE, true, &talk), 0);
	const char *id = strstr(loam_buf_text(&talk.out), "id=");
	assert_non_null(id);
	loam_auto_free char *lock_id = loam_xstrndup(id + 3, 48);
	assert_non_null(strstr(loam_buf_text(&talk.out), "status 201\n"));
	assert_non_null(strstr(loam_buf_text(&talk.out), "ownername=dave\n"));
	loam_auto_free char *ours = loam_xasprintf("owner %s ours\n", lock_id);
	expect(&talk, ours);

	loam_auto_free char *unlock = loam_xasprintf("unlock %s", lock_id);
	say(&talk, "lock", "path=dir/f.bin", "refname=refs/heads/main", "0000", NULL);
	say(&talk, "list-lock", "path=dir/f.bin", "0000", NULL);
	say(&talk, unlock, "0000", unlock, "force=true", "0000", unlock, "0000", NULL);
	assert_int_equal(run(world, ALICE, true, &talk), 0);
	assert_non_null(strstr(loam_buf_text(&talk.out), "status 409\n"));
	assert_non_null(strstr(loam_buf_text(&talk.out), "theirs\n"));
	assert_non_null(strstr(loam_buf_text(&talk.out), "status 403\n0001"));
	assert_non_null(strstr(loam_buf_text(&talk.out), "path=dir/f.bin\n"));
	expect(&talk, "status 404\n0001");

	say(&talk, "lock", "path=x", "0000", "list-lock", "limit=0", "0000", NULL);
	assert_int_equal(run(world, BOB, false, &talk), 0);
	assert_non_null(strstr(loam_buf_text(&talk.out), "status 403\n0001"));
	expect(&talk, "status 400\n0001");
	release(&talk);
}

/* ---- tokens ---------------------------------------------------------------------------------- */

static int check(struct loam_lfs_world *world, const char *token, struct loam_principal *out)
{
	loam_auto_free char *header = loam_xasprintf("Bearer %s", token);
	struct loam_err refused = { 0 };
	assert_true(loam_lfs_token_is(header));
	return loam_lfs_token_check(world->lfs->keys, world->auth, header, out, &refused);
}

static int may(struct loam_lfs_world *world, const struct loam_principal *who,
	       const struct loam_repo *repo, enum loam_want want)
{
	struct loam_err refused = { 0 };
	return loam_auth_check(world->auth, who, repo, want, NULL, &refused);
}

static void a_token_is_cut_to_its_repository_and_operation(void **state)
{
	struct loam_lfs_world *world = *state;
	struct loam_principal alice, who;
	assert_ok(loam_auth_user(world->auth, "alice", "", &alice, &err));
	loam_auto_free char *down =
		loam_lfs_token_print(world->lfs->keys, &alice, &world->tiny, false);
	loam_auto_free char *up =
		loam_lfs_token_print(world->lfs->keys, &alice, &world->tiny, true);
	assert_int_equal(check(world, down, &who), 0);
	assert_int_equal(may(world, &who, &world->tiny, LOAM_WANT_READ), 0);
	assert_int_equal(may(world, &who, &world->tiny, LOAM_WANT_WRITE), -LOAM_E_DENIED);
	assert_int_equal(may(world, &who, &world->other, LOAM_WANT_READ), -LOAM_E_NOT_FOUND);
	assert_int_equal(check(world, up, &who), 0);
	assert_int_equal(may(world, &who, &world->tiny, LOAM_WANT_WRITE), 0);
	assert_int_equal(may(world, &who, &world->tiny, LOAM_WANT_ADMIN), -LOAM_E_DENIED);
	assert_int_equal(may(world, &who, &world->other, LOAM_WANT_READ), -LOAM_E_NOT_FOUND);
	assert_ok(loam_account_store_set_disabled(loam_auth_accounts(world->auth), "alice", true,
						  &err));
	assert_int_equal(check(world, up, &who), -LOAM_E_UNAUTHENTICATED);
}

static void a_token_that_was_changed_is_none(void **state)
{
	struct loam_lfs_world *world = *state;
	struct loam_principal alice, who;
	assert_ok(loam_auth_user(world->auth, "alice", "", &alice, &err));
	loam_auto_free char *token =
		loam_lfs_token_print(world->lfs->keys, &alice, &world->tiny, true);
	size_t prefix = strlen(LOAM_LFS_TOKEN_PREFIX), bytes = strlen(token);
	for (size_t i = prefix; i < bytes; i++) {
		char before = token[i];
		token[i] = before == 'A' ? 'B' : 'A';
		assert_int_equal(check(world, token, &who), -LOAM_E_UNAUTHENTICATED);
		token[i] = before;
	}
	assert_int_equal(check(world, LOAM_LFS_TOKEN_PREFIX, &who), -LOAM_E_UNAUTHENTICATED);
	token[bytes - 4] = '\0';
	assert_int_equal(check(world, token, &who), -LOAM_E_UNAUTHENTICATED);
	assert_false(loam_lfs_token_is(NULL));
	assert_false(loam_lfs_token_is("Bearer hf_x"));
}

int main(void)
{
#define WORLD_TEST(name) \
	cmocka_unit_test_setup_teardown(name, loam_lfs_world_setup, loam_lfs_world_teardown)
	const struct CMUnitTest tests[] = {
		WORLD_TEST(an_object_goes_in_and_out),
		WORLD_TEST(bytes_that_are_not_the_object_are_refused_and_the_session_goes_on),
		WORLD_TEST(a_session_does_what_its_operation_says),
		WORLD_TEST(an_object_of_another_repository_is_not_there),
		WORLD_TEST(what_is_no_request_gets_a_status),
		WORLD_TEST(what_is_no_packet_ends_the_session),
		WORLD_TEST(an_upload_that_is_cut_leaves_nothing),
		WORLD_TEST(locks_are_taken_listed_and_given_back),
		WORLD_TEST(a_token_is_cut_to_its_repository_and_operation),
		WORLD_TEST(a_token_that_was_changed_is_none),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
