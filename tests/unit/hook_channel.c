/*
 * githook/channel and server/hook_socket: what hooks and serve say to each other, and what a
 * stranger at the socket gets.
 */
#include "githook/channel.h"

#include "core/auto.h"
#include "core/hash.h"
#include "core/limits.h"
#include "lfs/lock_store.h"
#include "server/hook_socket.h"
#include "tests/support/git_objects.h"
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

#define OID "4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393"

struct world {
	struct loam_tree_world *tree;
	struct loam_publisher *publisher;
	struct loam_hook_socket *hooks;
	struct loam_repo repo;
	struct loam_principal bob;
	char *path;
};

static int setup(void **state)
{
	struct world *world = loam_xnew(struct world);
	struct loam_err err = { 0 };
	loam_tree_world_setup((void **)&world->tree);
	uint32_t alice = loam_tree_world_user(world->tree, "alice");
	uint32_t bob = loam_tree_world_user(world->tree, "bob");
	world->repo = loam_tree_world_repo(world->tree, "qwen/tiny", alice, LOAM_PRIVATE);
	int rc = loam_repos_grant(&world->tree->tree, &world->repo, LOAM_THE_USER(bob),
				  LOAM_WANT_WRITE, &err);
	if (rc == 0)
		rc = loam_auth_user(world->tree->auth, "bob", "", &world->bob, &err);
	if (rc == 0)
		rc = loam_publisher_open(&world->tree->tree, world->tree->config, NULL,
					 world->tree->dir, &world->publisher, &err);
	world->path = loam_xasprintf("%s/hook.sock", world->tree->dir);
	int fd = -1;
	if (rc == 0)
		rc = loam_hook_socket_listen(world->path, &fd, &err);
	if (rc == 0)
		rc = loam_hook_socket_open(world->path, fd, world->tree->auth, world->publisher,
					   &world->hooks, &err);
	*state = world;
	return rc;
}

static int teardown(void **state)
{
	struct world *world = *state;
	assert_true(loam_hook_socket_close(world->hooks, 10000));
	loam_publisher_close(world->publisher);
	loam_tree_world_teardown((void **)&world->tree);
	free(world->path);
	free(world);
	return 0;
}

/* Sends bytes on a connection of its own; the first line of the answer, "" when there is none. */
static char *say(struct world *world, const void *data, size_t bytes)
{
	struct loam_stream *stream = NULL;
	struct loam_deadline deadline = loam_deadline_in(20000);
	loam_auto_buf struct loam_buf answer = LOAM_BUF(2u << 20);
	struct loam_err unsent = { 0 };
	assert_ok(loam_stream_connect_unix(world->path, deadline, &stream, &err));
	/* the other end may hang up before all is written */
	loam_stream_write(stream, data, bytes, deadline, &unsent);
	while (!strchr(loam_buf_text(&answer), '\n')) {
		char piece[65536];
		size_t got = 0;
		struct loam_err end = { 0 };
		if (loam_stream_read(stream, piece, sizeof(piece), &got, deadline, &end) < 0)
			break;
		assert_ok(loam_buf_add(&answer, piece, got, &err));
	}
	loam_stream_close(stream);
	return loam_buf_steal(&answer);
}

static void expect(struct world *world, const char *message, const char *in_answer)
{
	loam_auto_free char *answer = say(world, message, strlen(message));
	if (!strstr(answer, in_answer))
		print_error("'%s' is not in '%s'\n", in_answer, answer);
	assert_non_null(strstr(answer, in_answer));
}

static char *ticket_of(struct world *world)
{
	char ticket[LOAM_TICKET_BYTES];
	assert_ok(loam_hook_ticket_new(world->hooks, &world->repo, &world->bob, ticket, &err));
	return loam_xstrdup(ticket);
}

static char *holds(const char *ticket)
{
	return loam_xasprintf("{\"op\":\"holds\",\"ticket\":\"%s\",\"objects\":[{\"oid\":\"" OID
			      "\",\"size\":5}]}\n",
			      ticket);
}

static void a_ticket_is_answered_while_its_push_lasts(void **state)
{
	struct world *world = *state;
	loam_auto_free char *ticket = ticket_of(world);
	loam_auto_free char *message = holds(ticket);
	expect(world, message, "{\"missing\":[\"" OID "\"],\"wrong_size\":[]}");
	loam_hook_ticket_end(world->hooks, ticket, 0);
	expect(world, message, "{\"error\":\"this push is over");
	loam_hook_ticket_end(world->hooks, ticket, 0);
	loam_auto_free char *unknown = holds("x");
	expect(world, unknown, "\"error\"");
}

static void the_right_to_push_is_asked_again(void **state)
{
	struct world *world = *state;
	loam_auto_free char *ticket = ticket_of(world);
	loam_auto_free char *message = holds(ticket);
	assert_ok(loam_repos_grant(&world->tree->tree, &world->repo, LOAM_THE_USER(world->bob.uid),
				   LOAM_WANT_READ, &err));
	expect(world, message, "{\"error\":\"bob may read");
	assert_ok(loam_repos_revoke(&world->tree->tree, &world->repo, LOAM_THE_USER(world->bob.uid),
				    &err));
	expect(world, message, "{\"error\":\"no repository");
}

static void an_account_that_was_disabled_meanwhile_pushes_nothing(void **state)
{
	struct world *world = *state;
	loam_auto_free char *ticket = ticket_of(world);
	loam_auto_free char *message = holds(ticket);
	assert_ok(loam_account_store_set_disabled(loam_auth_accounts(world->tree->auth), "bob",
						  true, &err));
	expect(world, message, "{\"error\":\"the account or token is gone\"}");
}

static void garbage_gets_one_error_line(void **state)
{
	static const char *const messages[] = {
		"\n",
		"x\n",
		"{\n",
		"[]\n",
		"{}\n",
		"{\"ticket\":5}\n",
		"{\"repo\":\"qwen/tiny\"}\n",
		"{\"repo\":\"qwen/tiny\",\"key\":5}\n",
		"{\"repo\":\"../../x\",\"key\":\"k\"}\n",
		"{\"repo\":\"qwen/none\",\"key\":\"k\"}\n",
		"{\"op\":\"holds\"}\n",
	};
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(messages); i++)
		expect(*state, messages[i], "{\"error\":");
	struct world *world = *state;
	loam_auto_free char *ticket = ticket_of(world);
	static const char *const rests[] = {
		"\"op\":\"delete\"",
		"\"op\":5",
		"\"op\":\"holds\"",
		"\"op\":\"holds\",\"objects\":{}",
		"\"op\":\"holds\",\"objects\":[5]",
		"\"op\":\"holds\",\"objects\":[{\"oid\":\"x\",\"size\":1}]",
		"\"op\":\"holds\",\"objects\":[{\"oid\":\"" OID "\"}]",
		"\"op\":\"holds\",\"objects\":[{\"oid\":\"" OID "\",\"size\":-1}]",
	};
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(rests); i++) {
		loam_auto_free char *message =
			loam_xasprintf("{\"ticket\":\"%s\",%s}\n", ticket, rests[i]);
		expect(world, message, "{\"error\":");
	}
}

static char *many(const char *ticket, size_t count)
{
	loam_auto_buf struct loam_buf text = LOAM_BUF(2u << 20);
	struct loam_err err = { 0 };
	assert_int_equal(loam_buf_printf(&text, &err,
					 "{\"op\":\"holds\",\"ticket\":\"%s\",\"objects\":[",
					 ticket),
			 0);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(loam_buf_printf(&text, &err, "%s{\"oid\":\"%064zx\",\"size\":1}",
						 i ? "," : "", i),
				 0);
	assert_int_equal(loam_buf_add_text(&text, "]}\n", &err), 0);
	return loam_buf_steal(&text);
}

static void a_thousand_objects_are_answered_and_one_more_is_not(void **state)
{
	struct world *world = *state;
	loam_auto_free char *ticket = ticket_of(world);
	loam_auto_free char *thousand = many(ticket, 1000);
	loam_auto_free char *more = many(ticket, 1001);
	expect(world, thousand, "00000000000003e7\"],\"wrong_size\":[]}");
	expect(world, more, "{\"error\":\"at most 1000 objects");
}

static void a_line_over_a_mebibyte_is_refused(void **state)
{
	size_t bytes = LOAM_HOOK_LINE_BYTES_MAX + 1;
	loam_auto_free char *data = loam_xcalloc(bytes + 1, 1);
	memset(data, ' ', bytes);
	loam_auto_free char *answer = say(*state, data, bytes);
	assert_true(answer[0] == '\0' || strstr(answer, "{\"error\":") == answer);
	/* and others are answered as before */
	a_ticket_is_answered_while_its_push_lasts(state);
}

static void an_installed_hook_shows_its_key(void **state)
{
	struct world *world = *state;
	struct loam_gate gate;
	struct loam_err none = { 0 };
	uint8_t digest[LOAM_SHA256_BYTES];
	char hash[LOAM_SHA256_HEX + 1];
	loam_sha256_of("the key", 7, digest);
	loam_hex(digest, sizeof(digest), hash);
	static const char right[] = "{\"op\":\"holds\",\"repo\":\"qwen/tiny\",\"key\":\"the key\","
				    "\"objects\":[]}\n";
	expect(world, right, "{\"error\":\"the key of this hook is not valid");
	assert_int_equal(loam_gate_read(&world->tree->tree, &world->repo, &gate, &none), 1);
	assert_ok(loam_meta_setxattr(world->tree->volume.meta, &loam_who_root, gate.ino,
				     LOAM_XATTR_HOOK, hash, LOAM_SHA256_HEX, 0, &err));
	loam_gate_release(&gate);
	expect(world, right, "{\"missing\":[],\"wrong_size\":[]}");
	expect(world,
	       "{\"op\":\"holds\",\"repo\":\"qwen/tiny\",\"key\":\"The key\",\"objects\":[]}\n",
	       "{\"error\":\"the key of this hook is not valid");
	expect(world, "{\"op\":\"holds\",\"repo\":\"qwen/tiny\",\"key\":\"\",\"objects\":[]}\n",
	       "{\"error\":");
}

static void lock(struct world *world, const char *path, const struct loam_principal *who)
{
	struct loam_lock made;
	struct loam_err err = { 0 };
	assert_int_equal(loam_lock_store_take(&world->tree->tree, &world->repo, path, strlen(path),
					      who, &made, &err),
			 1);
	loam_lock_release(&made);
}

static void a_pusher_hears_of_the_locks_of_others(void **state)
{
	struct world *world = *state;
	struct loam_principal alice;
	loam_auto_free char *ticket = ticket_of(world);
	loam_auto_free char *ask = loam_xasprintf("{\"op\":\"locks\",\"ticket\":\"%s\"}\n", ticket);
	expect(world, ask, "{\"locks\":[]}");
	assert_ok(loam_auth_user(world->tree->auth, "alice", "", &alice, &err));
	lock(world, "of bob", &world->bob);
	expect(world, ask, "{\"locks\":[]}");
	lock(world, "of alice", &alice);
	expect(world, ask, "\"path\":\"of alice\",\"owner\":\"alice\"");
	char name[16];
	for (int i = 0; i < LOAM_LFS_LOCKS_PAGE; i++) {
		snprintf(name, sizeof(name), "%d", i);
		lock(world, name, &alice);
	}
	expect(world, ask, "\"next_cursor\":\"");
	loam_auto_free char *odd =
		loam_xasprintf("{\"op\":\"locks\",\"ticket\":\"%s\",\"cursor\":\"x\"}\n", ticket);
	expect(world, odd, "{\"error\":\"'cursor' is not of this list\"}");
}

static git_repository *bare_of(struct world *world)
{
	char path[LOAM_PATH_BYTES_MAX];
	git_repository *git = NULL;
	assert_ok(loam_git_dir(world->publisher, &world->repo, path, &err));
	assert_int_equal(git_repository_open_bare(&git, path), 0);
	return git;
}

static void a_channel_asks_and_follows_a_publish_to_its_end(void **state)
{
	struct world *world = *state;
	loam_auto_free char *ticket = ticket_of(world);
	git_repository *git = bare_of(world);
	/* a name that is no UTF-8 still reaches the pusher */
	const struct loam_git_file files[] = { { "caf\xe9", GIT_FILEMODE_LINK, "/etc" },
					       { NULL, 0, NULL } };
	loam_git_push(git, "refs/heads/main", files);
	git_repository_free(git);
	setenv(LOAM_HOOK_SOCKET_ENV, world->path, 1);
	setenv(LOAM_HOOK_TICKET_ENV, ticket, 1);
	struct loam_channel channel;
	assert_ok(loam_channel_open(&channel, &err));
	assert_ok(loam_channel_send(&channel, json_pack("{s:s}", "op", "publish"), &err));
	bool done = false, noted = false, shown = false;
	while (!done) {
		loam_auto_json json_t *message = NULL;
		assert_ok(loam_channel_receive(&channel, loam_deadline_in(20000), &message, &err));
		const char *line = json_string_value(json_object_get(message, "line"));
		noted |= line && strstr(line, "caf? is a link") != NULL;
		shown |= line && strstr(line, "is on the mount: 1 file, 4 B") != NULL;
		done = json_is_true(json_object_get(message, "done"));
	}
	assert_true(noted && shown);
	assert_ok(loam_channel_send(&channel, json_pack("{s:s}", "op", "nothing"), &err));
	json_t *message = NULL;
	assert_code(loam_channel_receive(&channel, loam_deadline_in(20000), &message, &err),
		    LOAM_E_DENIED);
	loam_channel_close(&channel);
	unsetenv(LOAM_HOOK_SOCKET_ENV);
	unsetenv(LOAM_HOOK_TICKET_ENV);
}

static void a_hook_that_nobody_started_says_so(void **state)
{
	struct loam_channel channel;
	unsetenv(LOAM_HOOK_SOCKET_ENV);
	unsetenv(LOAM_HOOK_TICKET_ENV);
	assert_code(loam_channel_open(&channel, &err), LOAM_E_INVALID);
	setenv(LOAM_HOOK_SOCKET_ENV, "/tmp/loam-no-such-socket", 1);
	setenv(LOAM_HOOK_TICKET_ENV, "x", 1);
	struct loam_err refused = { 0 };
	assert_true(loam_channel_open(&channel, &refused) < 0);
	unsetenv(LOAM_HOOK_SOCKET_ENV);
	unsetenv(LOAM_HOOK_TICKET_ENV);
}

static void lines_are_taken_one_by_one(void **state)
{
	loam_auto_buf struct loam_buf buf = LOAM_BUF(100);
	json_t *message = NULL;
	struct loam_err none = { 0 };
	assert_int_equal(loam_channel_take(&buf, &message, &none), 0);
	assert_ok(loam_buf_add_text(&buf, "{\"a\":1}\n{\"b\":2}\nx\n{\"c\"", &err));
	for (int i = 0; i < 2; i++) {
		assert_int_equal(loam_channel_take(&buf, &message, &none), 1);
		assert_non_null(json_object_get(message, i ? "b" : "a"));
		json_decref(message);
	}
	assert_true(loam_channel_take(&buf, &message, &none) < 0);
	assert_int_equal(loam_channel_take(&buf, &message, &none), 0);
	assert_string_equal(loam_buf_text(&buf), "{\"c\"");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_ticket_is_answered_while_its_push_lasts),
		TEST(the_right_to_push_is_asked_again),
		TEST(an_account_that_was_disabled_meanwhile_pushes_nothing),
		TEST(garbage_gets_one_error_line),
		TEST(a_thousand_objects_are_answered_and_one_more_is_not),
		TEST(a_line_over_a_mebibyte_is_refused),
		TEST(an_installed_hook_shows_its_key),
		TEST(a_pusher_hears_of_the_locks_of_others),
		TEST(a_channel_asks_and_follows_a_publish_to_its_end),
		cmocka_unit_test(a_hook_that_nobody_started_says_so),
		cmocka_unit_test(lines_are_taken_one_by_one),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
