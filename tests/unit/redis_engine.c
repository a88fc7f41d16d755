/*
 * The Redis engine when things go wrong: lost replies (R03, F35), a killed server (F32), a full one
 * (F38), read-only, stopped and protected ones (F37, F41), and what it leaves behind.
 */
#include "fs/meta/redis_engine.h"
#include "tests/support/redis_server.h"
#include "tests/support/resp_proxy.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

#define THREADS 6
#define COMMITS 60 /* of each thread */

static struct loam_redis_server server;

static int start(void **state)
{
	const char *reason;
	if (loam_redis_server_start(&server, true, &reason))
		return 0;
	print_error("%s\n", reason);
	return -1;
}

static int stop(void **state)
{
	loam_redis_server_stop(&server);
	return 0;
}

static int empty(void **state)
{
	loam_redis_server_tell(&server, "OK", "FLUSHALL", NULL);
	return 0;
}

static struct loam_engine *open_at(const char *socket)
{
	struct loam_engine *engine = NULL;
	struct loam_err err = { 0 };
	loam_auto_free char *url = loam_xasprintf("unix://%s", socket);
	int rc = loam_record_redis_open(url, &engine, &err);
	if (rc < 0)
		print_error("open: %s\n", err.text);
	assert_int_equal(rc, 0);
	return engine;
}

static struct loam_record rec(enum loam_record_kind kind, uint64_t id)
{
	return (struct loam_record){ .kind = kind, .id = id };
}

static struct loam_record counter(const char *name)
{
	return (struct loam_record){ .kind = LOAM_REC_COUNTER, .name = loam_name_of(name) };
}

static int commit(struct loam_engine *engine, struct loam_write *writes, size_t count,
		  unsigned flags, struct loam_err *err)
{
	return engine->ops->commit(engine, NULL, 0, writes, count, flags, NULL, NULL, err);
}

static void put(struct loam_engine *engine, struct loam_record record, const char *text)
{
	struct loam_err err = { 0 };
	struct loam_write write = { .op = LOAM_WRITE_PUT,
				    .record = record,
				    .data = text,
				    .data_bytes = (uint32_t)strlen(text) };
	assert_int_equal(commit(engine, &write, 1, 0, &err), 1);
}

static void assert_reads(struct loam_engine *engine, struct loam_record record, const char *text)
{
	struct loam_err err = { 0 };
	struct loam_value value;
	int rc = engine->ops->read(engine, &record, 1, &value, &err);
	if (rc < 0)
		print_error("read: %s\n", err.text);
	assert_int_equal(rc, 0);
	assert_int_equal(value.present, text != NULL);
	if (text) {
		assert_int_equal(value.bytes, strlen(text));
		assert_memory_equal(value.data, text, value.bytes);
	}
	loam_value_release(&value);
}

/* --- exactly once */

struct worker {
	struct loam_engine *engine;
	unsigned number;
	unsigned char *seen; /* one per expected sum, NULL: results are not exact */
	_Atomic unsigned *twice;
};

/* Each commit adds one and makes one file; its result is a number that nobody else gets. One that
 * comes late finds the file in half of the cases; the other half has no such guard. */
static void *work(void *arg)
{
	const struct worker *worker = arg;
	for (unsigned i = 0; i < COMMITS; i++) {
		struct loam_err err = { 0 };
		struct loam_record file = rec(LOAM_REC_ATTR, worker->number * 1000 + i + 2);
		struct loam_write writes[] = {
			{ .op = LOAM_WRITE_PUT, .record = file, .data = "x", .data_bytes = 1 },
			{ .op = LOAM_WRITE_ADD, .record = counter("totalInodes"), .delta = 1 },
		};
		struct loam_check check = { .record = file };
		struct loam_value present;
		bool differs;
		int rc = worker->engine->ops->commit(worker->engine, &check, i % 2, writes, 2, 0,
						     &present, &differs, &err);
		if (rc != 1)
			print_error("commit: %d %s\n", rc, err.text);
		loam_assert(rc == 1); /* 0: it was applied before, and the answer was a lie */
		if (!worker->seen)
			continue;
		int64_t sum = writes[1].result;
		loam_assert(sum >= 1 && sum <= THREADS * COMMITS);
		if (__atomic_fetch_add(&worker->seen[sum], 1, __ATOMIC_SEQ_CST))
			atomic_fetch_add(worker->twice, 1);
	}
	return NULL;
}

static void start_work(struct loam_engine *engine, pthread_t threads[THREADS],
		       struct worker workers[THREADS], unsigned char *seen, _Atomic unsigned *twice)
{
	for (unsigned i = 0; i < THREADS; i++) {
		workers[i] = (struct worker){ engine, i, seen, twice };
		assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
	}
}

static void assert_total(struct loam_engine *engine)
{
	char total[16];
	snprintf(total, sizeof(total), "%d", THREADS * COMMITS);
	assert_reads(engine, counter("totalInodes"), total);
}

static void harm_commits(bool scripts)
{
	struct loam_resp_proxy proxy;
	pthread_t threads[THREADS];
	struct worker workers[THREADS];
	unsigned char seen[THREADS * COMMITS + 1] = { 0 };
	_Atomic unsigned twice = 0;
	loam_resp_proxy_start(&proxy, server.dir, server.socket);
	struct loam_engine *engine = open_at(proxy.socket);
	struct loam_redis *redis = loam_redis_of(engine);
	engine->ops->set_session(engine, 7);
	redis->reply_ms = 60;
	redis->has_scripts = scripts;
	proxy.stall_ms = 150;
	proxy.harms =
		LOAM_HARM_CUT_REQUEST | LOAM_HARM_CUT_REPLY | LOAM_HARM_STALL | LOAM_HARM_SPLIT;
	proxy.period = 5;
	start_work(engine, threads, workers, scripts ? seen : NULL, &twice);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	loam_clock_sleep_ms(2 * proxy.stall_ms); /* what was held back has arrived */
	assert_total(engine);
	assert_true(proxy.done > 40);
	assert_int_equal(twice, 0);
	proxy.harms = 0;
	engine->ops->free(engine);
	loam_resp_proxy_stop(&proxy);
	loam_redis_server_tell(&server, "0", "EXISTS", "loam:txn", NULL);
}

static void a_commit_whose_reply_is_lost_is_applied_once(void **state)
{
	harm_commits(true);
}

static void so_is_one_by_watch(void **state)
{
	harm_commits(false);
}

static void a_killed_server_comes_back_and_nothing_is_lost(void **state)
{
	pthread_t threads[THREADS];
	struct worker workers[THREADS];
	struct loam_engine *engine = open_at(server.socket);
	start_work(engine, threads, workers, NULL, NULL);
	for (unsigned i = 0; i < 3; i++) {
		loam_clock_sleep_ms(3);
		loam_redis_server_restart(&server, true);
		loam_clock_sleep_ms(100);
	}
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_total(engine);
	engine->ops->free(engine);
}

/* --- full, read-only, stopped, protected */

static void a_full_server_takes_no_files_but_lets_them_go(void **state)
{
	enum { FILES = 700 };
	struct loam_engine *engine = open_at(server.socket);
	struct loam_err err = { 0 };
	loam_auto_free struct loam_write *writes = loam_xcalloc(FILES + 1, sizeof(*writes));
	for (unsigned i = 0; i < FILES; i++)
		put(engine, rec(LOAM_REC_ATTR, 10 + i), "attr");
	put(engine, counter("usedSpace"), "100");
	loam_redis_server_tell(&server, "OK", "CONFIG", "SET", "maxmemory", "1kb", NULL);

	struct loam_write create[] = {
		{ .op = LOAM_WRITE_PUT,
		  .record = rec(LOAM_REC_ATTR, 5),
		  .data = "x",
		  .data_bytes = 1 },
		{ .op = LOAM_WRITE_ADD, .record = counter("usedSpace"), .delta = 1 },
	};
	assert_int_equal(commit(engine, create, 2, 0, &err), -LOAM_E_NO_SPACE);
	loam_err_clear(&err);
	assert_int_equal(commit(engine, create, 2, LOAM_COMMIT_BULK, &err), -LOAM_E_NO_SPACE);
	loam_err_clear(&err);
	assert_reads(engine, counter("usedSpace"), "100");
	struct loam_write remove[] = {
		{ .op = LOAM_WRITE_ADD, .record = counter("usedSpace"), .delta = -1 },
		{ .op = LOAM_WRITE_DELETE, .record = rec(LOAM_REC_ATTR, 10) },
	};
	assert_int_equal(commit(engine, remove, 2, 0, &err), 1);
	assert_int_equal(remove[0].result, 99);

	for (unsigned i = 0; i < FILES; i++)
		writes[i] = (struct loam_write){ .op = LOAM_WRITE_DELETE,
						 .record = rec(LOAM_REC_ATTR, 10 + i) };
	writes[FILES] = create[1];
	assert_int_equal(commit(engine, writes, FILES + 1, LOAM_COMMIT_BULK, &err), 1);
	loam_redis_server_tell(&server, "OK", "CONFIG", "SET", "maxmemory", "0", NULL);
	assert_reads(engine, rec(LOAM_REC_ATTR, 11), NULL);
	assert_reads(engine, counter("usedSpace"), "100");
	engine->ops->free(engine);
}

static void errors_that_pass_are_waited_for_and_then_named(void **state)
{
	struct loam_engine *engine = open_at(server.socket);
	struct loam_err err = { 0 };
	struct loam_write write = {
		.op = LOAM_WRITE_PUT, .record = rec(LOAM_REC_ATTR, 5), .data = "x", .data_bytes = 1
	};
	loam_redis_of(engine)->deadline_ms = 1500;
	loam_redis_server_tell(&server, "OK", "REPLICAOF", "127.0.0.1", "1", NULL);
	for (unsigned flags = 0; flags <= LOAM_COMMIT_BULK; flags += LOAM_COMMIT_BULK) {
		uint64_t begin_ms = loam_clock_ms();
		loam_redis_of(engine)->has_scripts = flags == 0;
		assert_int_equal(commit(engine, &write, 1, flags, &err), -LOAM_E_READ_ONLY);
		assert_in_range(loam_clock_ms() - begin_ms, 100, 6000);
		loam_err_clear(&err);
	}
	loam_redis_server_tell(&server, "OK", "REPLICAOF", "NO", "ONE", NULL);
	loam_redis_server_tell(&server, "OK", "CONFIG", "SET", "min-replicas-to-write", "1", NULL);
	assert_int_equal(commit(engine, &write, 1, 0, &err), -LOAM_E_UNAVAILABLE);
	assert_non_null(strstr(err.text, "NOREPLICAS"));
	loam_err_clear(&err);
	loam_redis_server_tell(&server, "OK", "CONFIG", "SET", "min-replicas-to-write", "0", NULL);
	assert_int_equal(commit(engine, &write, 1, 0, &err), 1);
	engine->ops->free(engine);
}

static void a_stopped_server_is_waited_for_to_the_deadline(void **state)
{
	struct loam_engine *engine = open_at(server.socket);
	struct loam_redis *redis = loam_redis_of(engine);
	struct loam_err err = { 0 };
	struct loam_record record = rec(LOAM_REC_ATTR, 5);
	struct loam_write write = {
		.op = LOAM_WRITE_PUT, .record = record, .data = "x", .data_bytes = 1
	};
	struct loam_value value;
	redis->deadline_ms = 300;
	kill(server.pid, SIGSTOP);
	uint64_t begin_ms = loam_clock_ms();
	assert_int_equal(commit(engine, &write, 1, 0, &err), -LOAM_E_UNAVAILABLE);
	assert_non_null(strstr(err.text, "not known"));
	loam_err_clear(&err);
	assert_int_equal(engine->ops->read(engine, &record, 1, &value, &err), -LOAM_E_UNAVAILABLE);
	loam_err_clear(&err);
	assert_in_range(loam_clock_ms() - begin_ms, 300, 8000);
	kill(server.pid, SIGCONT);
	redis->deadline_ms = 10000;
	assert_int_equal(commit(engine, &write, 1, 0, &err), 1);
	engine->ops->free(engine);
}

static void a_wrong_password_is_denied_and_never_shown(void **state)
{
	struct loam_engine *engine = NULL;
	struct loam_err err = { 0 };
	loam_redis_server_tell(&server, "OK", "ACL", "SETUSER", "guarded", "on", ">right", "~*",
			       "&*", "+@all", "-info", NULL);
	loam_auto_free char *wrong = loam_xasprintf("unix://guarded:geheim@%s", server.socket);
	assert_int_equal(loam_record_redis_open(wrong, &engine, &err), -LOAM_E_DENIED);
	assert_null(strstr(err.text, "geheim"));
	loam_err_clear(&err);
	loam_auto_free char *forbidden = loam_xasprintf("unix://guarded:right@%s", server.socket);
	assert_int_equal(loam_record_redis_open(forbidden, &engine, &err), -LOAM_E_DENIED);
	assert_non_null(strstr(err.text, "NOPERM"));
}

static void servers_that_would_lose_keys_are_set_right_or_refused(void **state)
{
	struct loam_engine *engine;
	struct loam_err err = { 0 };
	loam_redis_server_tell(&server, "OK", "CONFIG", "SET", "maxmemory-policy", "allkeys-lru",
			       NULL);
	loam_redis_server_tell(&server, "OK", "ACL", "SETUSER", "bound", "on", ">pw", "~*", "&*",
			       "+@all", "-config", NULL);
	loam_auto_free char *url = loam_xasprintf("unix://bound:pw@%s", server.socket);
	assert_int_equal(loam_record_redis_open(url, &engine, &err), -LOAM_E_UNSUPPORTED);
	assert_non_null(strstr(err.text, "allkeys-lru"));
	loam_err_clear(&err);
	engine = open_at(server.socket);
	engine->ops->free(engine);
	assert_int_equal(loam_record_redis_open(url, &engine, &err), 0);
	engine->ops->free(engine);
	assert_int_equal(loam_record_redis_open("unix:///nonexistent/redis.sock", &engine, &err),
			 -LOAM_E_UNAVAILABLE);
}

/* --- what is there */

static void scripts_that_were_flushed_are_loaded_again(void **state)
{
	struct loam_engine *engine = open_at(server.socket);
	struct loam_err err = { 0 };
	struct loam_value dentry, attr;
	struct loam_record name = { .kind = LOAM_REC_DENTRY, .id = 1, .name = loam_name_of("a") };
	loam_redis_server_tell(&server, "OK", "SCRIPT", "FLUSH", NULL);
	put(engine, name, "\x01\x01\x01\x01\x01\x01\x01\x01\x09");
	loam_redis_server_tell(&server, "OK", "SCRIPT", "FLUSH", NULL);
	assert_int_equal(engine->ops->lookup(engine, 1, name.name, &dentry, &attr, &err), 1);
	assert_false(attr.present);
	loam_value_release(&dentry);
	engine->ops->free(engine);
}

static void twenty_thousand_writes_are_one_commit(void **state)
{
	enum { FILES = 10000 };
	struct loam_engine *engine = open_at(server.socket);
	struct loam_err err = { 0 };
	loam_auto_free struct loam_write *writes = loam_xcalloc(2 * FILES + 1, sizeof(*writes));
	loam_auto_free char *names = loam_xcalloc(FILES, 16);
	struct loam_check checks[] = { { .record = rec(LOAM_REC_ATTR, 9) },
				       { .record = rec(LOAM_REC_DIR, 3) } };
	for (size_t i = 0; i < FILES; i++) {
		int bytes = snprintf(names + 16 * i, 16, "f%zu", i);
		writes[2 * i] = (struct loam_write){ .op = LOAM_WRITE_PUT,
						     .record = rec(LOAM_REC_ATTR, 1000 + i),
						     .data = "attr",
						     .data_bytes = 4 };
		writes[2 * i + 1] = (struct loam_write){ .op = LOAM_WRITE_PUT,
							 .record = { .kind = LOAM_REC_DENTRY,
								     .id = 3 + i % 3,
								     .name = { names + 16 * i,
									       (uint16_t)bytes } },
							 .data = "123456789",
							 .data_bytes = 9 };
	}
	writes[2 * FILES] = (struct loam_write){ .op = LOAM_WRITE_ADD,
						 .record = counter("totalInodes"),
						 .delta = FILES };
	struct loam_value present[2];
	bool differs[2];
	for (int applied = 1; applied >= 0; applied--)
		assert_int_equal(engine->ops->commit(engine, checks, 2, writes, 2 * FILES + 1,
						     LOAM_COMMIT_BULK, present, differs, &err),
				 applied);
	assert_false(differs[0]);
	assert_true(differs[1]);
	loam_value_release(&present[1]);
	assert_int_equal(writes[2 * FILES].result, FILES);
	loam_redis_server_tell(&server, "3334", "HLEN", "d3", NULL);
	loam_redis_server_tell(&server, "10005", "DBSIZE", NULL); /* attrs, d3-5, counter, txn */

	for (size_t i = 0; i <= 2 * FILES; i++)
		writes[i].op = i < 2 * FILES ? LOAM_WRITE_DELETE : LOAM_WRITE_ADD;
	assert_int_equal(commit(engine, writes, 2 * FILES + 1, 0, &err), 1);
	loam_redis_server_tell(&server, "2", "DBSIZE", NULL);
	engine->ops->free(engine);
}

static void a_key_of_the_wrong_type_changes_nothing(void **state)
{
	struct loam_engine *engine = open_at(server.socket);
	struct loam_err err = { 0 };
	loam_redis_server_tell(&server, "OK", "SET", "d3", "text", NULL);
	loam_redis_server_tell(&server, "OK", "SET", "usedSpace", "many", NULL);
	struct loam_write entry[] = {
		{ .op = LOAM_WRITE_DELETE, .record = rec(LOAM_REC_ATTR, 9) },
		{ .op = LOAM_WRITE_PUT,
		  .record = { .kind = LOAM_REC_DENTRY, .id = 3, .name = loam_name_of("a") },
		  .data = "123456789",
		  .data_bytes = 9 },
	};
	struct loam_write sum[] = {
		{ .op = LOAM_WRITE_DELETE, .record = rec(LOAM_REC_ATTR, 9) },
		{ .op = LOAM_WRITE_ADD, .record = counter("usedSpace"), .delta = 1 },
	};
	put(engine, rec(LOAM_REC_ATTR, 9), "attr");
	assert_int_equal(commit(engine, entry, 2, 0, &err), -LOAM_E_CORRUPT);
	loam_err_clear(&err);
	assert_int_equal(commit(engine, sum, 2, 0, &err), -LOAM_E_CORRUPT);
	loam_err_clear(&err);
	assert_reads(engine, rec(LOAM_REC_ATTR, 9), "attr");
	struct loam_value value;
	assert_int_equal(engine->ops->read(engine, &entry[1].record, 1, &value, &err),
			 -LOAM_E_CORRUPT);
	assert_non_null(strstr(err.text, "d3"));
	loam_err_clear(&err);
	loam_redis_server_tell(&server, "1", "RPUSH", "c9_0", "short", NULL);
	struct loam_record chunk = rec(LOAM_REC_CHUNK, 9);
	assert_int_equal(engine->ops->read(engine, &chunk, 1, &value, &err), -LOAM_E_CORRUPT);
	engine->ops->free(engine);
}

static int count_record(void *arg, const struct loam_record *record, const void *data,
			size_t data_bytes)
{
	(*(unsigned *)arg)++;
	return 0;
}

static void malformed_keys_are_skipped_and_counted(void **state)
{
	static const char *const wrong[] = { "i01",  "i-1",	 "i18446744073709551616",
					     "i",    "i1 ",	 "i+1",
					     "ix",   "\xff\xfe", "d01",
					     "c1",   "c1_",	 "c_1",
					     "c1_01" };
	struct loam_engine *engine = open_at(server.socket);
	struct loam_err err = { 0 };
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(wrong); i++)
		loam_redis_server_tell(&server, "OK", "SET", wrong[i], "x", NULL);
	loam_redis_server_tell(&server, "OK", "SET", "i18446744073709551615", "x", NULL);
	loam_redis_server_tell(&server, "OK", "SET", "i0", "x", NULL);
	loam_redis_server_tell(&server, "1", "HSET", "d5", "a", "123456789", NULL);
	loam_redis_server_tell(&server, "1", "HSET", "dirQuota", "1", "x", NULL);
	loam_redis_server_tell(&server, "2", "HSET", "sliceRef", "k1_2", "0", "k1_x", "0", NULL);
	static const struct {
		enum loam_record_kind kind;
		unsigned good, skipped;
	} cases[] = { { LOAM_REC_ATTR, 2, 7 },
		      { LOAM_REC_DENTRY, 1, 1 },
		      { LOAM_REC_CHUNK, 0, 4 },
		      { LOAM_REC_SLICE_REF, 1, 1 },
		      { LOAM_REC_SYMLINK, 0, 0 } };
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(cases); i++) {
		uint64_t cursor = 0, skipped = 0;
		unsigned good = 0;
		do {
			assert_int_equal(engine->ops->scan(engine, cases[i].kind, 0, &cursor,
							   &skipped, count_record, &good, &err),
					 0);
		} while (cursor != 0);
		assert_int_equal(good, cases[i].good);
		assert_int_equal(skipped, cases[i].skipped);
	}
	engine->ops->free(engine);
}

static void markers_go_with_the_engine_or_the_session(void **state)
{
	struct loam_engine *engine = open_at(server.socket);
	struct loam_err err = { 0 };
	put(engine, rec(LOAM_REC_ATTR, 9), "attr");
	loam_redis_server_tell(&server, "1", "HLEN", "loam:txn", NULL);
	engine->ops->set_session(engine, 5);
	put(engine, rec(LOAM_REC_ATTR, 9), "attr");
	loam_redis_server_tell(&server, "2", "HLEN", "loam:txn", NULL);
	loam_redis_server_tell(&server, "1", "HSET", "loam:txn", "4:15", "77 1", NULL);
	struct loam_write write = { .op = LOAM_WRITE_DELETE,
				    .record = rec(LOAM_REC_SESSION_INFO, 4) };
	assert_int_equal(commit(engine, &write, 1, 0, &err), 1);
	loam_redis_server_tell(&server, "0", "HEXISTS", "loam:txn", "4:15", NULL);
	engine->ops->free(engine);
	loam_redis_server_tell(&server, "0", "EXISTS", "loam:txn", NULL);
}

/* --- durability */

static void *wait_barrier(void *arg)
{
	struct loam_engine *engine = arg;
	struct loam_err err = { 0 };
	for (unsigned i = 0; i < 20; i++)
		loam_assert(engine->ops->barrier(engine, &err) == 0);
	return NULL;
}

static void a_barrier_is_shared_by_all_who_wait(void **state)
{
	struct loam_engine *engine = open_at(server.socket);
	pthread_t threads[THREADS];
	put(engine, rec(LOAM_REC_ATTR, 9), "attr");
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, wait_barrier, engine), 0);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_true(loam_redis_of(engine)->barrier.begun < THREADS * 20);

	char text[128];
	struct loam_err err = { 0 };
	assert_int_equal(engine->ops->describe(engine, text, sizeof(text), &err), 0);
	assert_non_null(strstr(text, "everysec with barrier"));
	engine->ops->free(engine);
}

/* The barrier once Redis answers again. */
static int barrier_after_restart(struct loam_engine *engine, struct loam_err *err)
{
	loam_redis_server_restart(&server, true);
	loam_clock_sleep_ms(100);
	return engine->ops->barrier(engine, err);
}

/* As a server killed while it held back its file would: answered, and gone after the restart. */
static void a_barrier_fails_when_redis_comes_back_without_what_it_answered(void **state)
{
	struct loam_engine *engine = open_at(server.socket);
	struct loam_redis *redis = loam_redis_of(engine);
	struct loam_err err = { 0 };
	redis->deadline_ms = 5000;
	put(engine, rec(LOAM_REC_ATTR, 9), "attr");
	assert_int_equal(engine->ops->barrier(engine, &err), 0);
	assert_int_equal(barrier_after_restart(engine, &err), 0);

	put(engine, rec(LOAM_REC_ATTR, 9), "newer");
	for (size_t i = 0; i < LOAM_REDIS_CONNECTIONS; i++)
		if (redis->answered[i].number != 0)
			loam_redis_server_tell(&server, "1", "HDEL", "loam:txn",
					       redis->answered[i].field, NULL);
	/* The removal itself must be in the file: Redis may hold it back too. */
	assert_int_equal(engine->ops->barrier(engine, &err), 0);
	assert_int_equal(barrier_after_restart(engine, &err), -LOAM_E_UNAVAILABLE);
	loam_err_clear(&err);
	put(engine, rec(LOAM_REC_ATTR, 9), "newest"); /* who waits for the old run still hears it */
	assert_int_equal(engine->ops->barrier(engine, &err), -LOAM_E_UNAVAILABLE);
	loam_err_clear(&err);
	loam_clock_sleep_ms(5200);
	assert_int_equal(engine->ops->barrier(engine, &err), 0);
	engine->ops->free(engine);
}

static void a_server_without_append_only_file_promises_nothing(void **state)
{
	struct loam_engine *engine = open_at(server.socket);
	struct loam_err err = { 0 };
	loam_redis_server_tell(&server, "OK", "CONFIG", "SET", "appendonly", "no", NULL);
	assert_int_equal(engine->ops->barrier(engine, &err), -LOAM_E_UNSUPPORTED);
	loam_err_clear(&err);
	loam_redis_server_tell(&server, "OK", "CONFIG", "SET", "appendonly", "yes", NULL);
	assert_int_equal(engine->ops->barrier(engine, &err), 0);
	engine->ops->free(engine);
}

/* --- turns */

static void a_busy_directory_is_left_alone_for_three_of_twenty_ms(void **state)
{
	struct loam_redis_fair *fair = loam_xnew(struct loam_redis_fair);
	uint64_t window = LOAM_REDIS_FAIR_WINDOW_US, from = 1000 * window;
	loam_redis_fair_init(fair);
	for (unsigned i = 0; i < 5; i++) {
		assert_int_equal(loam_redis_fair_note(fair, 7, from + i * window + 10), 0);
		assert_int_equal(loam_redis_fair_note(fair, 7, from + i * window + 20), 0);
	}
	assert_int_equal(loam_redis_fair_note(fair, 7, from + 5 * window + 1000), 2000);
	assert_int_equal(loam_redis_fair_note(fair, 7, from + 5 * window + 3000), 0);
	assert_int_equal(loam_redis_fair_note(fair, 8, from + 5 * window), 0);
	assert_int_equal(loam_redis_fair_note(fair, 7, from + 6 * window), 3000);
	assert_int_equal(loam_redis_fair_note(fair, 7, from + 8 * window),
			 0); /* one was left out */
	loam_redis_fair_release(fair);
	free(fair);
}

#define engine_test(test) cmocka_unit_test_setup(test, empty)

int main(void)
{
	const struct CMUnitTest tests[] = {
		engine_test(a_commit_whose_reply_is_lost_is_applied_once),
		engine_test(so_is_one_by_watch),
		engine_test(a_killed_server_comes_back_and_nothing_is_lost),
		engine_test(a_full_server_takes_no_files_but_lets_them_go),
		engine_test(errors_that_pass_are_waited_for_and_then_named),
		engine_test(a_stopped_server_is_waited_for_to_the_deadline),
		engine_test(a_wrong_password_is_denied_and_never_shown),
		engine_test(servers_that_would_lose_keys_are_set_right_or_refused),
		engine_test(scripts_that_were_flushed_are_loaded_again),
		engine_test(twenty_thousand_writes_are_one_commit),
		engine_test(a_key_of_the_wrong_type_changes_nothing),
		engine_test(malformed_keys_are_skipped_and_counted),
		engine_test(markers_go_with_the_engine_or_the_session),
		engine_test(a_barrier_is_shared_by_all_who_wait),
		engine_test(a_barrier_fails_when_redis_comes_back_without_what_it_answered),
		engine_test(a_server_without_append_only_file_promises_nothing),
		cmocka_unit_test(a_busy_directory_is_left_alone_for_three_of_twenty_ms),
	};
	return cmocka_run_group_tests(tests, start, stop);
}
