/*
 * One Redis connection against a peer that sends what it likes (reliability.md meta-1, F36).
 */
#include "fs/meta/resp.h"
#include "core/auto.h"
#include "fs/meta/redis_url.h"

#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cmocka.h>

struct peer {
	char dir[64], socket[96];
	int listen_fd;
	int fd; /* the accepted end */
	struct loam_resp *resp;
};

static int start(void **state)
{
	struct peer *peer = loam_xnew(struct peer);
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	snprintf(peer->dir, sizeof(peer->dir), "/tmp/loam-resp-XXXXXX");
	assert_non_null(mkdtemp(peer->dir));
	snprintf(peer->socket, sizeof(peer->socket), "%s/s", peer->dir);
	memcpy(address.sun_path, peer->socket, sizeof(peer->socket));
	peer->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(peer->listen_fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(peer->listen_fd, 4), 0);
	*state = peer;
	return 0;
}

static int stop(void **state)
{
	struct peer *peer = *state;
	close(peer->listen_fd);
	unlink(peer->socket);
	rmdir(peer->dir);
	free(peer);
	return 0;
}

static void connect_peer(struct peer *peer)
{
	struct loam_err err = { 0 };
	struct loam_stream *stream;
	assert_int_equal(loam_stream_connect_unix(peer->socket, loam_deadline_in(1000), &stream,
						  &err),
			 0);
	peer->resp = loam_resp_new(stream);
	peer->fd = accept(peer->listen_fd, NULL, NULL);
	assert_true(peer->fd >= 0);
}

static void hang_up(struct peer *peer)
{
	loam_resp_free(peer->resp);
	close(peer->fd);
}

static void say(struct peer *peer, const void *data, size_t bytes)
{
	assert_int_equal(send(peer->fd, data, bytes, MSG_NOSIGNAL), bytes);
}

#define NESTED_MAX 8192

static void broken_replies_break_the_connection_at_once(void **state)
{
	struct peer *peer = *state;
	static char nested[NESTED_MAX], line[70000];
	for (size_t i = 0; i < 1000; i++)
		memcpy(nested + 4 * i, "*1\r\n", 4);
	memset(line, 'a', sizeof(line) - 1);
	line[0] = '+';
	const char *const broken[] = {
		"$-2\r\n",
		"$99999999999\r\n",
		"$67108865\r\n",
		"$99999999999999999999\r\n",
		"*-5\r\n",
		"*99999999\r\n",
		"*1048577\r\n",
		":abc\r\n",
		":\r\n",
		":99999999999999999999\r\n",
		"$3\r\nabcXY",
		"$3\r\nabc\n\n",
		"+OK\n",
		"-ERR\n",
		"?what\r\n",
		"%1\r\n+a\r\n+b\r\n",
		"HTTP/1.1 400\r\n",
		"$abc\r\n",
		"$12345678901234567890"
		"123456789012345",
		"*2\r\n+OK\r\n$-7\r\n",
		nested,
		line,
	};
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(broken); i++) {
		struct loam_err err = { 0 };
		struct loam_resp_reply *reply = NULL;
		connect_peer(peer);
		struct mallinfo2 before = mallinfo2();
		uint64_t begin_ms = loam_clock_ms();
		say(peer, broken[i], strlen(broken[i]));
		int rc = loam_resp_receive(peer->resp, loam_deadline_in(5000), &reply, &err);
		if (rc != -LOAM_E_UNAVAILABLE || loam_clock_ms() - begin_ms > 2000)
			print_error("'%.30s' is taken\n", broken[i]);
		assert_int_equal(rc, -LOAM_E_UNAVAILABLE);
		assert_true(loam_clock_ms() - begin_ms < 2000);
		assert_null(reply);
		struct mallinfo2 after = mallinfo2();
		assert_true(after.uordblks + after.hblkhd <
			    before.uordblks + before.hblkhd + (1u << 20));

		loam_err_clear(&err);
		assert_true(loam_resp_is_broken(peer->resp));
		assert_int_equal(loam_resp_receive(peer->resp, loam_deadline_in(100), &reply, &err),
				 -LOAM_E_UNAVAILABLE);
		hang_up(peer);
	}
}

struct split {
	struct peer *peer;
	const char *text;
	size_t at;
	int reader_fd;
};

/* The second part follows when the first one has been read. */
static void *say_in_two(void *arg)
{
	struct split *split = arg;
	int waiting = 1;
	say(split->peer, split->text, split->at);
	while (waiting > 0) {
		loam_assert(ioctl(split->reader_fd, FIONREAD, &waiting) == 0);
		sched_yield();
	}
	say(split->peer, split->text + split->at, strlen(split->text) - split->at);
	return NULL;
}

static void replies_split_at_any_byte_are_whole(void **state)
{
	struct peer *peer = *state;
	const char *text = "*6\r\n$5\r\na\r\nbc\r\n:-42\r\n*2\r\n$-1\r\n+OK\r\n*0\r\n-ERR no\r\n"
			   "$0\r\n\r\n";
	for (size_t at = 1; at < strlen(text); at++) {
		struct loam_err err = { 0 };
		struct loam_resp_reply *reply = NULL;
		pthread_t thread;
		connect_peer(peer);
		struct split split = { peer, text, at, loam_resp_fd(peer->resp) };
		assert_int_equal(pthread_create(&thread, NULL, say_in_two, &split), 0);
		assert_int_equal(loam_resp_receive(peer->resp, loam_deadline_in(5000), &reply,
						   &err),
				 0);
		pthread_join(thread, NULL);
		assert_int_equal(reply->count, 6);
		assert_int_equal(reply->items[0]->bytes, 5);
		assert_memory_equal(reply->items[0]->data, "a\r\nbc", 5);
		assert_int_equal(reply->items[1]->integer, -42);
		assert_int_equal(reply->items[2]->items[0]->type, LOAM_RESP_NIL);
		assert_string_equal(loam_resp_text(reply->items[2]->items[1]), "OK");
		assert_int_equal(reply->items[3]->count, 0);
		assert_true(loam_resp_is_error(reply->items[4], "ERR no"));
		assert_int_equal(reply->items[5]->bytes, 0);
		assert_true(loam_resp_is_usable(peer->resp));
		loam_resp_reply_free(reply);
		hang_up(peer);
	}
}

static void a_late_reply_never_answers_the_next_request(void **state)
{
	struct peer *peer = *state;
	struct loam_err err = { 0 };
	struct loam_resp_reply *reply = NULL;
	loam_auto_batch struct loam_resp_batch batch = LOAM_RESP_BATCH;
	assert_int_equal(loam_resp_batch_words(&batch, &err, "GET", "i1", NULL), 0);
	assert_string_equal(loam_buf_text(&batch.bytes), "*2\r\n$3\r\nGET\r\n$2\r\ni1\r\n");
	connect_peer(peer);
	assert_int_equal(loam_resp_send(peer->resp, &batch, loam_deadline_in(1000), &err), 0);
	assert_int_equal(loam_resp_receive(peer->resp, loam_deadline_in(20), &reply, &err),
			 -LOAM_E_UNAVAILABLE);
	loam_err_clear(&err);
	say(peer, "+late\r\n", 7);
	assert_int_equal(loam_resp_send(peer->resp, &batch, loam_deadline_in(1000), &err),
			 -LOAM_E_UNAVAILABLE);
	assert_false(loam_resp_is_usable(peer->resp));
	hang_up(peer);
}

static void an_idle_connection_that_speaks_or_ends_is_not_used(void **state)
{
	struct peer *peer = *state;
	connect_peer(peer);
	assert_true(loam_resp_is_usable(peer->resp));
	say(peer, "+what\r\n", 7);
	assert_false(loam_resp_is_usable(peer->resp));
	hang_up(peer);

	connect_peer(peer);
	shutdown(peer->fd, SHUT_RDWR);
	assert_false(loam_resp_is_usable(peer->resp));
	hang_up(peer);

	struct loam_err err = { 0 };
	struct loam_resp_reply *reply = NULL;
	connect_peer(peer);
	say(peer, "+one\r\n+two\r\n", 12); /* two replies where one was asked for */
	assert_int_equal(loam_resp_receive(peer->resp, loam_deadline_in(1000), &reply, &err), 0);
	loam_resp_reply_free(reply);
	assert_false(loam_resp_is_usable(peer->resp));
	hang_up(peer);
}

static void addresses_are_taken_apart(void **state)
{
	static const struct {
		const char *url, *shown, *user, *password;
		bool tls;
	} good[] = {
		{ "redis://localhost", "localhost:6379/0", NULL, NULL, false },
		{ "redis://:s%40:cret@h:7000/5", "h:7000/5", NULL, "s@:cret", false },
		{ "rediss://me:pw@[::1]:7/1?x=y", "::1:7/1", "me", "pw", true },
		{ "unix:///run/a@b.sock", "unix:/run/a@b.sock", NULL, NULL, false },
		{ "unix://:pw@/run/r.sock?x=1&db=3", "unix:/run/r.sock db 3", NULL, "pw", false },
		{ "redis://me@h", "h:6379/0", "me", NULL, false },
	};
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(good); i++) {
		struct loam_redis_url url;
		struct loam_err err = { 0 };
		assert_int_equal(loam_redis_url_parse(good[i].url, &url, &err), 0);
		assert_string_equal(url.shown, good[i].shown);
		assert_int_equal(url.tls, good[i].tls);
		assert_string_equal(url.user ? url.user : "-", good[i].user ? good[i].user : "-");
		assert_string_equal(url.password ? url.password : "-",
				    good[i].password ? good[i].password : "-");
		loam_redis_url_release(&url);
	}
	static const char *const bad[] = { "redis://",	     "redis://h:x",
					   "redis://h/db",   "redis://h/99999",
					   "redis://:%zz@h", "unix://run/s",
					   "http://h",	     "redis://[::1",
					   "redis://:%00@h", "redis://:secret@h:70000000" };
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(bad); i++) {
		struct loam_redis_url url;
		struct loam_err err = { 0 };
		assert_int_equal(loam_redis_url_parse(bad[i], &url, &err), -LOAM_E_INVALID);
		assert_null(strstr(err.text, "secret"));
	}
	struct loam_redis_url url;
	struct loam_err err = { 0 };
	assert_int_equal(loam_redis_url_parse("redis://name,s1:26379,s2/0", &url, &err),
			 -LOAM_E_UNSUPPORTED);
}

static void passwords_come_from_the_environment_last(void **state)
{
	struct loam_redis_url url;
	struct loam_err err = { 0 };
	setenv("META_PASSWORD", "second", 1);
	assert_int_equal(loam_redis_url_parse("redis://h", &url, &err), 0);
	assert_string_equal(url.password, "second");
	loam_redis_url_release(&url);
	setenv("REDIS_PASSWORD", "first", 1);
	assert_int_equal(loam_redis_url_parse("redis://h", &url, &err), 0);
	assert_string_equal(url.password, "first");
	loam_redis_url_release(&url);
	assert_int_equal(loam_redis_url_parse("redis://:own@h", &url, &err), 0);
	assert_string_equal(url.password, "own");
	loam_redis_url_release(&url);
	unsetenv("META_PASSWORD");
	unsetenv("REDIS_PASSWORD");
}

int main(void)
{
	unsetenv("META_PASSWORD");
	unsetenv("REDIS_PASSWORD");
	unsetenv("META_PASSWORD_FILE");
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(broken_replies_break_the_connection_at_once),
		cmocka_unit_test(replies_split_at_any_byte_are_whole),
		cmocka_unit_test(a_late_reply_never_answers_the_next_request),
		cmocka_unit_test(an_idle_connection_that_speaks_or_ends_is_not_used),
		cmocka_unit_test(addresses_are_taken_apart),
		cmocka_unit_test(passwords_come_from_the_environment_last),
	};
	return cmocka_run_group_tests(tests, start, stop);
}
