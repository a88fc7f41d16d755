/*
 * server/ssh_socket and server/ssh_session: what `loam shell` and `loam ssh-keys` get from serve,
 * and what anything else that comes to the socket gets. stories/60 to 63 have the real sshd.
 */
#include "server/ssh_socket.h"

#include "auth/account_store.h"
#include "core/auto.h"
#include "core/clock.h"
#include "core/json.h"
#include "core/limits.h"
#include "core/stream.h"
#include "server/ssh_session.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cmocka.h>

#include "tests/support/tree_world.h"
#include "tests/support/volume.h"

#define TYPE  "ssh-ed25519"
#define ONE   "AAAAC3NzaC1lZDI1NTE5AAAAIE8Zz7yv3J9Vg6JyP0p2oZ8X1o8v0W7xq6d7m7K4rJQh"
#define TWO   "AAAAC3NzaC1lZDI1NTE5AAAAIHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4"
#define THREE "AAAAC3NzaC1lZDI1NTE5AAAAIHl5eXl5eXl5eXl5eXl5eXl5eXl5eXl5eXl5eXl5eXl5"

struct world {
	struct loam_tree_world *tree;
	struct loam_server server;
	struct loam_ssh_socket *socket;
	struct loam_ssh_key key;
	char *path;
};

static int setup(void **state)
{
	struct world *world = loam_xnew(struct world);
	int fd = -1;
	loam_tree_world_setup((void **)&world->tree);
	loam_tree_world_user(world->tree, "alice");
	assert_ok(loam_ssh_key_read(TYPE " " ONE, strlen(TYPE " " ONE), &world->key, &err));
	snprintf(world->key.user, sizeof(world->key.user), "alice");
	assert_ok(loam_account_store_add_key(loam_auth_accounts(world->tree->auth), &world->key,
					     &err));
	world->server.auth = world->tree->auth;
	world->server.config = world->tree->config;
	world->path = loam_xasprintf("%s/ssh.sock", world->tree->dir);
	assert_ok(loam_ssh_socket_listen(world->path, &fd, &err));
	assert_ok(loam_ssh_socket_open(world->path, fd, &world->server, &world->socket, &err));
	*state = world;
	return 0;
}

static int teardown(void **state)
{
	struct world *world = *state;
	assert_true(loam_ssh_socket_close(world->socket, 20000, NULL));
	loam_tree_world_teardown((void **)&world->tree);
	free(world->path);
	free(world);
	return 0;
}

static int connect_to(const struct world *world)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", world->path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

/* Sends text with count copies of a descriptor. */
static void send_with(int fd, const char *text, int given, size_t count)
{
	int fds[8] = { given, given, given, given, given, given, given, given };
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(fds))];
	} control = { 0 };
	struct iovec part = { (void *)text, strlen(text) };
	struct msghdr packet = { .msg_iov = &part, .msg_iovlen = 1 };
	if (count > 0) {
		packet.msg_control = &control;
		packet.msg_controllen = CMSG_SPACE(count * sizeof(int));
		struct cmsghdr *head = CMSG_FIRSTHDR(&packet);
		head->cmsg_level = SOL_SOCKET;
		head->cmsg_type = SCM_RIGHTS;
		head->cmsg_len = CMSG_LEN(count * sizeof(int));
		memcpy(CMSG_DATA(head), fds, count * sizeof(int));
	}
	assert_int_equal(sendmsg(fd, &packet, MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* The same on a connection of its own; the answer, free(). */
static char *ask(const struct world *world, const char *text, int given, size_t count)
{
	loam_auto_fd int fd = connect_to(world);
	send_with(fd, text, given, count);
	struct loam_buf answer = LOAM_BUF(1u << 20);
	char piece[4096];
	for (ssize_t got; (got = recv(fd, piece, sizeof(piece), 0)) > 0;)
		assert_ok(loam_buf_add(&answer, piece, (size_t)got, &err));
	return loam_buf_steal(&answer);
}

static void expect(const struct world *world, const char *text, const char *wanted)
{
	loam_auto_free char *answer = ask(world, text, -1, 0);
	if (!strstr(answer, wanted))
		print_error("'%s' is not in '%s'\n", wanted, answer);
	assert_non_null(strstr(answer, wanted));
}

static void a_key_has_an_id_or_is_nobodys(void **state)
{
	struct world *world = *state;
	loam_auto_free char *wanted = loam_xasprintf("{\"id\":\"%s\"}\n", world->key.id);
	expect(world, "{\"op\":\"key\",\"type\":\"" TYPE "\",\"key\":\"" ONE "\"}\n", wanted);
	expect(world, "{\"op\":\"key\",\"type\":\"" TYPE "\",\"key\":\"" TWO "\"}\n", "{}\n");
	expect(world, "{\"op\":\"key\",\"type\":\"ssh-rsa\",\"key\":\"" ONE "\"}\n", "{}\n");
	expect(world, "{\"op\":\"key\",\"type\":\"" TYPE "\",\"key\":\"\"}\n", "{}\n");
	assert_ok(loam_account_store_set_disabled(loam_auth_accounts(world->tree->auth), "alice",
						  true, &err));
	expect(world, "{\"op\":\"key\",\"type\":\"" TYPE "\",\"key\":\"" ONE "\"}\n", "{}\n");
}

static void garbage_gets_one_error_line(void **state)
{
	static const char *const messages[] = {
		"\n",
		"x\n",
		"{}\n",
		"[]\n",
		"{\"op\":5}\n",
		"{\"op\":\"key\"}\n",
		"{\"op\":\"key\",\"type\":\"x\"}\n",
		"{\"op\":\"key\",\"type\":5,\"key\":\"x\"}\n",
		"{\"op\":\"shell\"}\n",
		"{\"op\":\"shell\",\"key\":\"key-abcdefghijkl\",\"command\":\"x\"}\n",
		"{\"op\":\"shell\",\"key\":\"a key that is far longer than any\"}\n",
		"{\"op\":\"delete\"}\n",
	};
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(messages); i++)
		expect(*state, messages[i], "{\"error\":\"");
}

static void a_session_has_three_descriptors(void **state)
{
	struct world *world = *state;
	int pipes[2];
	assert_int_equal(pipe(pipes), 0);
	loam_auto_free char *text =
		loam_xasprintf("{\"op\":\"shell\",\"key\":\"%s\",\"command\":\"x\"}\n",
			       world->key.id);
	for (size_t count = 1; count <= 8; count++) {
		if (count == 3)
			continue;
		loam_auto_free char *answer = ask(world, text, pipes[1], count);
		assert_non_null(strstr(answer, "{\"error\":\""));
	}
	close(pipes[1]);
	char piece[64];
	assert_int_equal(read(pipes[0], piece, sizeof(piece)), 0); /* none of the copies is left */
	close(pipes[0]);
}

/* Runs a command line; what it said, free(). */
static char *run_line(struct world *world, const char *key, const char *command, const char *status)
{
	int ends[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	loam_auto_json json_t *message = json_pack("{s:s, s:s, s:s, s:s}", "op", "shell", "key",
						   key, "command", command, "peer", "192.0.2.7");
	loam_auto_buf struct loam_buf line = LOAM_BUF(1u << 20);
	assert_ok(loam_json_print(message, &line, &err));
	assert_ok(loam_buf_add(&line, "\n", 1, &err));
	loam_auto_free char *answer = ask(world, loam_buf_text(&line), ends[1], 3);
	close(ends[1]);
	loam_auto_free char *wanted = loam_xasprintf("{\"exit\":%s}\n", status);
	assert_string_equal(answer, wanted);
	struct loam_buf said = LOAM_BUF(1u << 20);
	char piece[4096];
	for (ssize_t got; (got = read(ends[0], piece, sizeof(piece))) > 0;)
		assert_ok(loam_buf_add(&said, piece, (size_t)got, &err));
	close(ends[0]);
	return loam_buf_steal(&said);
}

static void expect_line(struct world *world, const char *command, const char *status,
			const char *wanted)
{
	loam_auto_free char *said = run_line(world, world->key.id, command, status);
	if (!strstr(said, wanted))
		print_error("'%s' is not in '%s'\n", wanted, said);
	assert_non_null(strstr(said, wanted));
}

static void what_is_refused_says_why_and_ends(void **state)
{
	struct world *world = *state;
	expect_line(world, "", "1", "loam: hello alice; there is no shell here");
	expect_line(world, "bash", "127", "loam: command not found: bash\n");
	expect_line(world, "loam repo list", "127", "loam: command not found: loam\n");
	expect_line(world, "git-upload-pack '--help'", "1", "an option stands");
	expect_line(world, "git-upload-pack 'no/such'", "1", "no repository 'models/no/such'");
	expect_line(world, "git-upload-pack 'no such'", "1", "no such repository");
	expect_line(world, "'\x1b[2Jx'", "127", "loam: command not found: x\n");
	loam_auto_free char *said =
		run_line(world, "key-abcdefghijkl", "git-upload-pack 'no/such'", "1");
	assert_string_equal(said, "loam: the key is gone\n");
}

/* Unknown and forbidden look alike. */
static void a_hidden_repository_is_not_there(void **state)
{
	struct world *world = *state;
	uint32_t bob = loam_tree_world_user(world->tree, "bob");
	loam_tree_world_repo(world->tree, "bob/secret", bob, LOAM_PRIVATE);
	loam_tree_world_repo(world->tree, "bob/shown", bob, LOAM_INTERNAL);
	static const char *const verbs[] = { "git-upload-pack 'bob/%s'",
					     "git-receive-pack 'bob/%s'",
					     "git-upload-archive 'bob/%s'",
					     "git-lfs-authenticate bob/%s upload",
					     "git-lfs-authenticate bob/%s download",
					     "git-lfs-transfer bob/%s download" };
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(verbs); i++) {
		const char *hole = strstr(verbs[i], "%s");
		int before = (int)(hole - verbs[i]);
		loam_auto_free char *secret =
			loam_xasprintf("%.*ssecret%s", before, verbs[i], hole + 2);
		loam_auto_free char *absent =
			loam_xasprintf("%.*sabsent%s", before, verbs[i], hole + 2);
		expect_line(world, secret, "1", "loam: no repository 'models/bob/secret'\n");
		expect_line(world, absent, "1", "loam: no repository 'models/bob/absent'\n");
	}
	expect_line(world, "git-receive-pack 'bob/shown'", "1",
		    "alice may read 'models/bob/shown'");
	expect_line(world, "git-lfs-transfer bob/shown upload", "1", "but not change it");
}

/* Starts a session that waits for its stdin; its end of the socket. */
static int hold_session(struct world *world, const char *key, int client[2])
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, client), 0);
	loam_auto_free char *text =
		loam_xasprintf("{\"op\":\"shell\",\"key\":\"%s\",\"command\":\"loam wait\"}\n",
			       key);
	int fd = connect_to(world);
	send_with(fd, text, client[1], 3);
	return fd;
}

/* Says that it runs, then waits for its client's word. */
static int wait_for_client(struct loam_ssh_session *session, char **words, size_t count)
{
	struct loam_err ignored = { 0 };
	char byte;
	assert_int_equal(loam_ssh_session_write(session, "+", 1, &ignored), 0);
	return (int)read(session->fds[0], &byte, 1);
}

/* As many sessions as key may have, all waiting. */
static void fill_up(struct world *world, const char *key, int fds[LOAM_SSH_SESSIONS_EACH],
		    int clients[LOAM_SSH_SESSIONS_EACH][2])
{
	char byte;
	for (size_t i = 0; i < LOAM_SSH_SESSIONS_EACH; i++) {
		fds[i] = hold_session(world, key, clients[i]);
		assert_int_equal(read(clients[i][0], &byte, 1), 1);
	}
}

static void let_go(int fds[LOAM_SSH_SESSIONS_EACH], int clients[LOAM_SSH_SESSIONS_EACH][2])
{
	char byte;
	for (size_t i = 0; i < LOAM_SSH_SESSIONS_EACH; i++) {
		close(clients[i][0]);
		close(clients[i][1]);
		assert_true(read(fds[i], &byte, 1) >= 0);
		close(fds[i]);
	}
}

/* holder: a user, or a repository for a deploy key. */
static void add_key(struct world *world, const char *text, const char *user, const char *repo,
		    struct loam_ssh_key *out)
{
	assert_ok(loam_ssh_key_read(text, strlen(text), out, &err));
	snprintf(out->user, sizeof(out->user), "%s", user);
	snprintf(out->repo, sizeof(out->repo), "%s", repo);
	out->scope = repo[0] ? LOAM_SCOPE_READ : 0;
	assert_ok(loam_account_store_add_key(loam_auth_accounts(world->tree->auth), out, &err));
}

static void one_account_has_not_all_of_the_sessions(void **state)
{
	struct world *world = *state;
	int fds[LOAM_SSH_SESSIONS_EACH], clients[LOAM_SSH_SESSIONS_EACH][2];
	struct loam_ssh_key bobs;
	world->server.ssh_loam = wait_for_client;
	fill_up(world, world->key.id, fds, clients);
	expect_line(world, "loam wait", "1", "32 sessions of yours run already");
	loam_tree_world_user(world->tree, "bob");
	add_key(world, TYPE " " TWO, "bob", "", &bobs);
	loam_auto_free char *said = run_line(world, bobs.id, "", "1");
	assert_non_null(strstr(said, "hello bob"));
	let_go(fds, clients);
	expect_line(world, "", "1", "hello alice");
}

static void deploy_keys_of_a_namespace_count_together(void **state)
{
	struct world *world = *state;
	int fds[LOAM_SSH_SESSIONS_EACH], clients[LOAM_SSH_SESSIONS_EACH][2];
	struct loam_ssh_key one, two;
	uint32_t bob = loam_tree_world_user(world->tree, "bob");
	loam_tree_world_repo(world->tree, "bob/one", bob, LOAM_PRIVATE);
	loam_tree_world_repo(world->tree, "bob/two", bob, LOAM_PRIVATE);
	world->server.ssh_loam = wait_for_client;
	add_key(world, TYPE " " TWO, "", "models/bob/one", &one);
	add_key(world, TYPE " " THREE, "", "models/bob/two", &two);
	fill_up(world, one.id, fds, clients);
	loam_auto_free char *said = run_line(world, two.id, "loam wait", "1");
	assert_non_null(strstr(said, "32 sessions of yours run already"));
	expect_line(world, "", "1", "hello alice");
	let_go(fds, clients);
}

int main(void)
{
#define WORLD_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		WORLD_TEST(a_key_has_an_id_or_is_nobodys),
		WORLD_TEST(garbage_gets_one_error_line),
		WORLD_TEST(a_session_has_three_descriptors),
		WORLD_TEST(what_is_refused_says_why_and_ends),
		WORLD_TEST(a_hidden_repository_is_not_there),
		WORLD_TEST(one_account_has_not_all_of_the_sessions),
		WORLD_TEST(deploy_keys_of_a_namespace_count_together),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
