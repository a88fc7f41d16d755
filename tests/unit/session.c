/*
 * Sessions: what others see of ours, its end, stale sessions of others with locks and open files,
 * and volumes that change under us.
 */
#include "core/auto.h"
#include "core/clock.h"
#include "core/json.h"
#include "fs/meta/meta_internal.h"
#include "tests/support/volume.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define ROOT (&loam_who_root)

static void put(struct loam_test_store *store, struct loam_record record, const char *text)
{
	struct loam_engine *engine = loam_test_store_engine(store);
	struct loam_err err = { 0 };
	struct loam_write write = { .op = text ? LOAM_WRITE_PUT : LOAM_WRITE_DELETE,
				    .record = record,
				    .data = text,
				    .data_bytes = text ? (uint32_t)strlen(text) : 0 };
	assert_int_equal(engine->ops->commit(engine, NULL, 0, &write, 1, 0, NULL, NULL, &err), 1);
}

static bool is_there(struct loam_test_store *store, struct loam_record record)
{
	loam_auto_free char *text = loam_test_text(store, record);
	return text != NULL;
}

static struct loam_record life(uint64_t sid)
{
	return loam_rec(LOAM_REC_SESSION_LIFE, sid, 0);
}

static struct loam_record info(uint64_t sid)
{
	return loam_rec(LOAM_REC_SESSION_INFO, sid, 0);
}

static struct loam_record named(enum loam_record_kind kind, uint64_t id, const char *name)
{
	return loam_rec_named(kind, id, loam_name_of(name));
}

static void a_session_is_announced_and_ended(void **state)
{
	struct loam_test_world *world = *state;
	struct loam_meta *meta = loam_test_open(world->store);
	uint64_t sid = loam_meta_session(meta);
	assert_int_equal(sid, loam_meta_session(world->meta) + 1);
	assert_int_equal(loam_test_counter(world->store, "nextsession"), (int64_t)sid);

	loam_auto_free char *text = loam_test_text(world->store, info(sid));
	loam_auto_free char *expiry = loam_test_text(world->store, life(sid));
	assert_non_null(text);
	assert_non_null(expiry);
	int64_t left = strtoll(expiry, NULL, 10) - (int64_t)loam_clock_now().tv_sec;
	assert_in_range(left, 55, 61);
	loam_auto_json json_t *document = NULL;
	assert_ok(loam_json_parse(text, strlen(text), &document, &err));
	const char *version = NULL, *mount = NULL, *when = NULL;
	uint64_t pid = 0;
	int order = 0;
	assert_int_equal(loam_json_text(document, "Version", &version, &(struct loam_err){ 0 }), 1);
	assert_ok(loam_version_compare(version, "1.2.0", &order, &err));
	assert_true(order > 0);
	assert_int_equal(loam_json_text(document, "MountPoint", &mount, &(struct loam_err){ 0 }),
			 1);
	assert_string_equal(mount, "/mnt/test");
	assert_int_equal(loam_json_text(document, "MountTime", &when, &(struct loam_err){ 0 }), 1);
	assert_int_equal(strlen(when), strlen("2026-11-22T10:00:00.123456789Z"));
	assert_int_equal(loam_json_u64(document, "ProcessID", &pid, &(struct loam_err){ 0 }), 1);
	assert_int_equal(pid, getpid());

	loam_meta_close(meta);
	assert_false(is_there(world->store, info(sid)));
	assert_false(is_there(world->store, life(sid)));
}

static void a_beat_resurrects_a_session(void **state)
{
	struct loam_test_world *world = *state;
	uint64_t sid = loam_meta_session(world->meta);
	put(world->store, info(sid), NULL);
	put(world->store, life(sid), NULL);
	assert_ok(loam_session_beat(world->meta, &err));
	assert_true(is_there(world->store, info(sid)));
	assert_true(is_there(world->store, life(sid)));
}

static void the_heartbeat_beats(void **state)
{
	struct loam_test_world *world = *state;
	struct loam_meta_options options = { .session = true, .heartbeat_seconds = 1 };
	struct loam_meta *meta = NULL;
	assert_ok(loam_meta_open(loam_test_store_client(world->store), &options, &meta, &err));
	uint64_t sid = loam_meta_session(meta);
	put(world->store, life(sid), NULL);
	for (int i = 0; i < 300 && !is_there(world->store, life(sid)); i++)
		loam_clock_sleep_ms(10);
	assert_true(is_there(world->store, life(sid)));
	loam_meta_close(meta);
}

static void readers_have_no_session_and_change_nothing(void **state)
{
	struct loam_test_world *world = *state;
	struct loam_meta_options options = { .session = true, .read_only = true };
	struct loam_meta *meta = NULL;
	struct loam_create what = { .type = LOAM_TYPE_FILE };
	struct loam_attr attr = { 0 };
	uint64_t ino = 0;
	loam_test_make(world->meta, ROOT, 1, "f", LOAM_TYPE_FILE, 0644);
	assert_ok(loam_meta_open(loam_test_store_client(world->store), &options, &meta, &err));
	assert_int_equal(loam_meta_session(meta), 0);
	assert_int_not_equal(loam_test_find(meta, 1, "f"), 0);
	assert_code(loam_meta_create(meta, ROOT, 1, loam_name_of("x"), &what, &ino, &attr, &err),
		    LOAM_E_READ_ONLY);
	assert_code(loam_meta_unlink(meta, ROOT, 1, loam_name_of("f"), NULL, &err),
		    LOAM_E_READ_ONLY);
	assert_code(loam_meta_rename(meta, ROOT, 1, loam_name_of("f"), 1, loam_name_of("g"), 0,
				     NULL, &err),
		    LOAM_E_READ_ONLY);
	assert_code(loam_meta_setattr(meta, ROOT, 1, LOAM_SET_MODE, &attr, &attr, &err),
		    LOAM_E_READ_ONLY);
	assert_code(loam_meta_setxattr(meta, ROOT, 1, "user.a", "", 0, 0, &err), LOAM_E_READ_ONLY);
	loam_meta_close(meta);
}

/* A dead client's records: its session, an unlinked file that it had open, and its locks. */
static void leave_stale(struct loam_test_world *world, uint64_t sid, uint64_t file)
{
	char field[32];
	struct loam_test_store *store = world->store;
	snprintf(field, sizeof(field), "%" PRIu64 "_000000DEADBEEF12", sid);
	put(store, life(sid), "1700000000");
	put(store, info(sid), "{}");
	put(store, loam_rec(LOAM_REC_SUSTAINED, sid, file), "1");
	put(store, named(LOAM_REC_LOCKED, sid, "lockf77"), "1");
	put(store, named(LOAM_REC_LOCKED, sid, "lockp77"), "1");
	put(store, named(LOAM_REC_LOCKED, sid, "nonsense"), "1");
	put(store, named(LOAM_REC_FLOCK, 77, field), "W");
	put(store, named(LOAM_REC_PLOCK, 77, field), "123456789012345678901234");
	put(store, named(LOAM_REC_FLOCK, 77, "4242_000000DEADBEEF12"), "R");
}

static void stale_sessions_are_cleaned_whole(void **state)
{
	struct loam_test_world *world = *state;
	struct loam_meta *dead = loam_test_open(world->store);
	struct loam_attr attr;
	uint64_t file = loam_test_make(dead, ROOT, 1, "f", LOAM_TYPE_FILE, 0644);
	uint64_t sid = 424;
	loam_meta_opened(dead, file);
	assert_ok(loam_meta_unlink(dead, ROOT, 1, loam_name_of("f"), NULL, &err));
	/* The session that sustains it is the dead one's. */
	put(world->store, loam_rec(LOAM_REC_SUSTAINED, loam_meta_session(dead), file), NULL);
	leave_stale(world, sid, file);
	put(world->store, named(LOAM_REC_COUNTER, 0, "lastCleanupSessions"), "1700000000");

	assert_ok(loam_session_beat(world->meta, &err));
	assert_false(is_there(world->store, life(sid)));
	assert_false(is_there(world->store, info(sid)));
	assert_code(loam_meta_getattr(world->meta, file, &attr, &err), LOAM_E_NOT_FOUND);
	assert_false(is_there(world->store, loam_rec(LOAM_REC_SUSTAINED, sid, file)));
	loam_meta_delete_data_drain(world->meta);
	assert_false(is_there(world->store, loam_rec(LOAM_REC_DELFILE, file, 0)));
	assert_false(is_there(world->store, named(LOAM_REC_LOCKED, sid, "lockf77")));
	assert_false(is_there(world->store, named(LOAM_REC_LOCKED, sid, "nonsense")));
	assert_false(is_there(world->store, named(LOAM_REC_FLOCK, 77, "424_000000DEADBEEF12")));
	assert_false(is_there(world->store, named(LOAM_REC_PLOCK, 77, "424_000000DEADBEEF12")));
	assert_true(is_there(world->store, named(LOAM_REC_FLOCK, 77, "4242_000000DEADBEEF12")));
	assert_true(is_there(world->store, life(loam_meta_session(world->meta))));
	assert_int_equal(loam_test_counter(world->store, "totalInodes"), 0);

	/* its last close, too late, counts nothing twice */
	loam_meta_released(dead, file);
	assert_int_equal(loam_test_counter(world->store, "totalInodes"), 0);
	loam_meta_close(dead);
}

static void one_client_cleans_in_each_heartbeat(void **state)
{
	struct loam_test_world *world = *state;
	struct loam_meta *other = loam_test_open(world->store);
	struct loam_err err = { 0 };
	assert_int_equal(loam_session_elect(world->meta, "lastCleanupFiles", 100, &err), 1);
	assert_int_equal(loam_session_elect(other, "lastCleanupFiles", 100, &err), 0);
	assert_int_equal(loam_session_elect(world->meta, "lastCleanupFiles", 100, &err), 0);
	put(world->store, named(LOAM_REC_COUNTER, 0, "lastCleanupFiles"), "1700000000");
	assert_int_equal(loam_session_elect(other, "lastCleanupFiles", 100, &err), 1);
	loam_meta_close(other);
}

static void the_own_end_gives_back_what_is_open(void **state)
{
	struct loam_test_world *world = *state;
	struct loam_meta *meta = loam_test_open(world->store);
	struct loam_attr attr;
	uint64_t file = loam_test_make(meta, ROOT, 1, "f", LOAM_TYPE_FILE, 0644);
	loam_meta_opened(meta, file);
	assert_ok(loam_meta_unlink(meta, ROOT, 1, loam_name_of("f"), NULL, &err));
	loam_meta_close(meta);
	assert_code(loam_meta_getattr(world->meta, file, &attr, &err), LOAM_E_NOT_FOUND);
	assert_int_equal(loam_test_counter(world->store, "totalInodes"), 0);
}

#define SETTING(uuid, version, more)                                                        \
	"{\"Name\":\"test\",\"UUID\":\"" uuid "\",\"Storage\":\"file\",\"Bucket\":\"/n/\"," \
	"\"BlockSize\":4096,\"TrashDays\":0,\"EnableACL\":true,\"MetaVersion\":" version more "}"

static void expect_dead(struct loam_test_world *world, const char *setting)
{
	struct loam_meta *meta = loam_test_open(world->store);
	struct loam_record record = loam_rec(LOAM_REC_SETTING, 0, 0);
	loam_auto_free char *good = loam_test_text(world->store, record);
	struct loam_attr attr;
	put(world->store, record, setting);
	assert_ok(loam_session_beat(meta, &err));
	assert_code(loam_meta_getattr(meta, 1, &attr, &err), LOAM_E_IO);
	assert_code(loam_meta_unlink(meta, ROOT, 1, loam_name_of("f"), NULL, &err), LOAM_E_IO);
	assert_code(loam_meta_barrier(meta, &err), LOAM_E_IO);
	put(world->store, record, good);
	loam_meta_close(meta);
}

static void a_replaced_volume_is_not_used_any_more(void **state)
{
	struct loam_test_world *world = *state;
	expect_dead(world, NULL);
	expect_dead(world, SETTING("11111111-2222-3333-4444-555555555555", "1", ""));
	expect_dead(world, SETTING(LOAM_TEST_UUID, "2", ""));
}

static void a_setting_we_lack_stops_changes_only(void **state)
{
	struct loam_test_world *world = *state;
	struct loam_meta *meta = world->meta;
	struct loam_record record = loam_rec(LOAM_REC_SETTING, 0, 0);
	struct loam_attr attr;
	loam_auto_free char *good = loam_test_text(world->store, record);
	loam_test_make(meta, ROOT, 1, "f", LOAM_TYPE_FILE, 0644);
	put(world->store, record, SETTING(LOAM_TEST_UUID, "1", ",\"ChangeLog\":true"));
	assert_ok(loam_session_beat(meta, &err));
	assert_ok(loam_meta_getattr(meta, 1, &attr, &err));
	assert_code(loam_meta_unlink(meta, ROOT, 1, loam_name_of("f"), NULL, &err),
		    LOAM_E_READ_ONLY);
	uint64_t file = loam_test_find(meta, 1, "f");
	struct loam_slice slice = { .id = 1, .size = 10, .len = 10 };
	assert_code(loam_meta_write(meta, file, 0, &slice, attr.mtime, &attr, NULL, &err),
		    LOAM_E_READ_ONLY);
	put(world->store, record, SETTING(LOAM_TEST_UUID, "1", ",\"Inodes\":1"));
	assert_ok(loam_session_beat(meta, &err));
	struct loam_create what = { .type = LOAM_TYPE_FILE };
	uint64_t ino = 0;
	assert_code(loam_meta_create(meta, ROOT, 1, loam_name_of("x"), &what, &ino, &attr, &err),
		    LOAM_E_NO_SPACE);
	assert_ok(loam_meta_unlink(meta, ROOT, 1, loam_name_of("f"), NULL, &err));
	put(world->store, record, good);
}

static void counters_that_go_back_stop_all(void **state)
{
	struct loam_test_world *world = *state;
	struct loam_meta *meta = world->meta;
	struct loam_err first = { 0 };
	uint64_t ino = 0;
	int rc = loam_meta_new_inode(meta, &ino, &first);
	put(world->store, named(LOAM_REC_COUNTER, 0, "nextinode"), "5");
	for (int i = 0; i < 5000 && rc == 0; i++)
		rc = loam_meta_new_inode(meta, &ino, &first);
	assert_int_equal(rc, -LOAM_E_IO);
	assert_true(ino <= 1024);
	assert_code(loam_meta_unlink(meta, ROOT, 1, loam_name_of("f"), NULL, &err), LOAM_E_IO);
}

static void formatting_keeps_what_is_there(void **state)
{
	struct loam_test_world *world = *state;
	struct loam_err err = { 0 };
	struct loam_engine *engine = loam_test_store_engine(world->store);
	const char *text = SETTING(LOAM_TEST_UUID, "1", "");
	struct loam_format *format = NULL;
	assert_int_equal(loam_format_parse(text, strlen(text), &format, &err), 0);
	loam_test_make(world->meta, ROOT, 1, "f", LOAM_TYPE_FILE, 0644);
	int rc = loam_meta_format_volume(engine, format, 0, 0, 0755, false, &err);
	assert_int_equal(rc, -LOAM_E_EXISTS);
	loam_err_clear(&err);
	rc = loam_meta_format_volume(engine, format, 0, 0, 0755, true, &err);
	assert_int_equal(rc, 0);
	assert_int_equal(loam_test_attr(world->meta, 1).mode, 0777);

	struct loam_record record = loam_rec(LOAM_REC_SETTING, 0, 0);
	loam_auto_free char *good = loam_test_text(world->store, record);
	put(world->store, record, NULL);
	rc = loam_meta_format_volume(engine, format, 0, 0, 0755, false, &err);
	assert_int_equal(rc, -LOAM_E_EXISTS);
	loam_err_clear(&err);
	struct loam_meta_options options = { 0 };
	struct loam_meta *meta = NULL;
	rc = loam_meta_open(loam_test_store_client(world->store), &options, &meta, &err);
	assert_int_equal(rc, -LOAM_E_NOT_FOUND);
	put(world->store, record, good);
	loam_format_free(format);
}

#define test(function) \
	cmocka_unit_test_setup_teardown(function, loam_test_world_open, loam_test_world_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(a_session_is_announced_and_ended),
		test(a_beat_resurrects_a_session),
		test(the_heartbeat_beats),
		test(readers_have_no_session_and_change_nothing),
		test(stale_sessions_are_cleaned_whole),
		test(one_client_cleans_in_each_heartbeat),
		test(the_own_end_gives_back_what_is_open),
		test(a_replaced_volume_is_not_used_any_more),
		test(a_setting_we_lack_stops_changes_only),
		test(counters_that_go_back_stop_all),
		test(formatting_keeps_what_is_there),
	};
	return loam_test_world_run(tests, LOAM_ARRAY_COUNT(tests));
}
