/*
 * Volumes for tests of the metadata: a store shared by counted clients, and a recount.
 */
#include "tests/support/volume.h"

#include "core/auto.h"
#include "fs/meta/txn.h"
#include "tests/support/recount.h"

#include <inttypes.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct loam_test_store {
	struct loam_engine *engine;
	pthread_t
		owner; /* only its calls are counted: what runs behind an operation costs nobody */
	_Atomic unsigned calls;
	_Atomic unsigned clients;
};

/* ---- clients ------------------------------------------------------------------------------ */

struct client {
	struct loam_engine base;
	struct loam_test_store *store;
	struct loam_engine_ops ops; /* lookup only where the store has it */
};

static struct loam_engine *counted(struct loam_engine *engine)
{
	struct client *client = (struct client *)engine;
	if (pthread_equal(pthread_self(), client->store->owner))
		atomic_fetch_add(&client->store->calls, 1);
	return client->store->engine;
}

static struct loam_engine *inner(struct loam_engine *engine)
{
	return ((struct client *)engine)->store->engine;
}

static int client_read(struct loam_engine *engine, const struct loam_record *records, size_t count,
		       struct loam_value *out, struct loam_err *err)
{
	struct loam_engine *to = counted(engine);
	return to->ops->read(to, records, count, out, err);
}

static int client_lookup(struct loam_engine *engine, uint64_t parent, struct loam_name name,
			 struct loam_value *out_dentry, struct loam_value *out_attr,
			 struct loam_err *err)
{
	struct loam_engine *to = counted(engine);
	return to->ops->lookup(to, parent, name, out_dentry, out_attr, err);
}

static int client_commit(struct loam_engine *engine, const struct loam_check *checks,
			 size_t check_count, struct loam_write *writes, size_t write_count,
			 unsigned flags, struct loam_value *present, bool *present_differs,
			 struct loam_err *err)
{
	struct loam_engine *to = counted(engine);
	return to->ops->commit(to, checks, check_count, writes, write_count, flags, present,
			       present_differs, err);
}

static int client_add(struct loam_engine *engine, const char *counter, int64_t delta,
		      int64_t *out_value, struct loam_err *err)
{
	struct loam_engine *to = counted(engine);
	return to->ops->add(to, counter, delta, out_value, err);
}

static int client_scan(struct loam_engine *engine, enum loam_record_kind kind, uint64_t id,
		       uint64_t *cursor, uint64_t *skipped, loam_record_seen_fn *seen, void *arg,
		       struct loam_err *err)
{
	struct loam_engine *to = counted(engine);
	return to->ops->scan(to, kind, id, cursor, skipped, seen, arg, err);
}

static int client_now(struct loam_engine *engine, int64_t *out_seconds, struct loam_err *err)
{
	return inner(engine)->ops->now(inner(engine), out_seconds, err);
}

static int client_barrier(struct loam_engine *engine, struct loam_err *err)
{
	return inner(engine)->ops->barrier(inner(engine), err);
}

static int client_describe(struct loam_engine *engine, char *text, size_t text_bytes,
			   struct loam_err *err)
{
	return inner(engine)->ops->describe(inner(engine), text, text_bytes, err);
}

static void client_set_session(struct loam_engine *engine, uint64_t sid)
{
	inner(engine)->ops->set_session(inner(engine), sid);
}

static int client_is_empty(struct loam_engine *engine, struct loam_err *err)
{
	return inner(engine)->ops->is_empty(inner(engine), err);
}

static void client_free(struct loam_engine *engine)
{
	struct client *client = (struct client *)engine;
	atomic_fetch_sub(&client->store->clients, 1);
	free(client);
}

struct loam_engine *loam_test_store_client(struct loam_test_store *store)
{
	struct client *client = loam_xnew(struct client);
	client->ops = (struct loam_engine_ops){
		.name = "test",
		.read = client_read,
		.lookup = store->engine->ops->lookup ? client_lookup : NULL,
		.commit = client_commit,
		.add = client_add,
		.scan = client_scan,
		.now = client_now,
		.barrier = client_barrier,
		.describe = client_describe,
		.set_session = client_set_session,
		.is_empty = client_is_empty,
		.free = client_free,
	};
	client->base.ops = &client->ops;
	client->store = store;
	atomic_fetch_add(&store->clients, 1);
	return &client->base;
}

struct loam_test_store *loam_test_store_new(const struct loam_engine_fixture *fixture)
{
	struct loam_test_store *store = loam_xnew(struct loam_test_store);
	store->engine = fixture->open();
	store->owner = pthread_self();
	return store;
}

void loam_test_store_free(struct loam_test_store *store)
{
	loam_assert(atomic_load(&store->clients) == 0);
	store->engine->ops->free(store->engine);
	free(store);
}

struct loam_engine *loam_test_store_engine(struct loam_test_store *store)
{
	return store->engine;
}

unsigned loam_test_store_calls(struct loam_test_store *store)
{
	return atomic_exchange(&store->calls, 0);
}

/* ---- volumes ------------------------------------------------------------------------------ */

void loam_test_format(struct loam_test_store *store, const char *more)
{
	struct loam_err err = { 0 };
	struct loam_format *format = NULL;
	loam_auto_free char *text = loam_xasprintf(
		"{\"Name\":\"test\",\"UUID\":\"" LOAM_TEST_UUID "\",\"Storage\":\"file\","
		"\"Bucket\":\"/none/\",\"BlockSize\":4096,\"TrashDays\":0,\"MetaVersion\":1%s%s}",
		strstr(more, "EnableACL") ? "" : ",\"EnableACL\":true", more);
	int rc = loam_format_parse(text, strlen(text), &format, &err);
	if (rc == 0)
		rc = loam_meta_format_volume(store->engine, format, 0, 0, 0777, true, &err);
	if (rc < 0)
		fprintf(stderr, "format: %s\n", err.text);
	loam_assert(rc == 0);
	loam_format_free(format);
}

struct loam_meta *loam_test_open(struct loam_test_store *store)
{
	struct loam_err err = { 0 };
	struct loam_meta *meta = NULL;
	struct loam_meta_options options = { .session = true,
					     .mount_point = "/mnt/test",
					     .skip_dir_mtime_ms = LOAM_DIR_MTIME_ALWAYS };
	int rc = loam_meta_open(loam_test_store_client(store), &options, &meta, &err);
	if (rc < 0)
		fprintf(stderr, "open: %s\n", err.text);
	loam_assert(rc == 0);
	return meta;
}

char *loam_test_text(struct loam_test_store *store, struct loam_record record)
{
	struct loam_err err = { 0 };
	struct loam_value value;
	loam_assert(store->engine->ops->read(store->engine, &record, 1, &value, &err) == 0);
	char *text = NULL;
	if (value.present)
		text = loam_xstrndup(value.data ? (const char *)value.data : "", value.bytes);
	loam_value_release(&value);
	return text;
}

int64_t loam_test_counter(struct loam_test_store *store, const char *name)
{
	loam_auto_free char *text =
		loam_test_text(store, loam_rec_named(LOAM_REC_COUNTER, 0, loam_name_of(name)));
	return text ? strtoll(text, NULL, 10) : 0;
}

void loam_test_check(struct loam_test_store *store)
{
	struct loam_recount count = loam_recount(store->engine);
	loam_assert(count.findings == 0);
}

/* ---- tests -------------------------------------------------------------------------------- */

static const struct loam_engine_fixture *fixture;

int loam_test_world_open(void **state)
{
	struct loam_test_world *world = loam_xnew(struct loam_test_world);
	world->store = loam_test_store_new(fixture);
	loam_test_format(world->store, "");
	world->meta = loam_test_open(world->store);
	*state = world;
	return 0;
}

int loam_test_world_close(void **state)
{
	struct loam_test_world *world = *state;
	loam_meta_close(world->meta);
	loam_test_check(world->store);
	loam_test_store_free(world->store);
	free(world);
	return 0;
}

int loam_test_world_run(const struct CMUnitTest *tests, size_t count)
{
	int failed = 0;
	for (size_t i = 0; i < loam_engines_count; i++) {
		const char *reason = NULL;
		fixture = &loam_engines[i];
		if (fixture->start && !fixture->start(&reason)) {
			print_error("engine %s cannot run here: %s\n", fixture->name, reason);
			failed++;
			continue;
		}
		failed += _cmocka_run_group_tests(fixture->name, tests, count, NULL, NULL);
		if (fixture->stop)
			fixture->stop();
	}
	return failed;
}

uint64_t loam_test_make(struct loam_meta *meta, const struct loam_who *who, uint64_t parent,
			const char *name, enum loam_type type, uint16_t mode)
{
	struct loam_create create = { .type = type, .mode = mode, .target = "target" };
	struct loam_attr attr;
	struct loam_err err = { 0 };
	uint64_t ino = 0;
	int rc =
		loam_meta_create(meta, who, parent, loam_name_of(name), &create, &ino, &attr, &err);
	if (rc < 0)
		print_error("create %s: %s\n", name, err.text);
	assert_int_equal(rc, 0);
	return ino;
}

struct loam_attr loam_test_attr(struct loam_meta *meta, uint64_t ino)
{
	struct loam_attr attr;
	struct loam_err err = { 0 };
	int rc = loam_meta_getattr(meta, ino, &attr, &err);
	if (rc < 0)
		print_error("getattr %" PRIu64 ": %s\n", ino, err.text);
	assert_int_equal(rc, 0);
	return attr;
}

uint64_t loam_test_find(struct loam_meta *meta, uint64_t parent, const char *name)
{
	struct loam_attr attr;
	struct loam_err err = { 0 };
	uint64_t ino = 0;
	int rc = loam_meta_lookup(meta, &loam_who_root, parent, loam_name_of(name), &ino, &attr,
				  &err);
	assert_true(rc == 0 || rc == -LOAM_E_NOT_FOUND);
	return rc == 0 ? ino : 0;
}
