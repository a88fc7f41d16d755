/*
 * lfs/upload, lfs/download, lfs/verify and lfs/range: bytes in and out, what is refused, and that
 * nothing of a refused upload stays (reliability.md L01 to L05, L09, F03, F08, F43, lfs-8 to
 * lfs-10, lfs-14, lfs-16).
 */
#include "auth/account_store.h"
#include "core/auto.h"
#include "lfs/range.h"
#include "tests/support/lfs_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define BIG_BYTES ((300u << 10) + 17) /* five blocks of 64 KiB, the last one short */

struct object {
	uint8_t *data;
	size_t bytes;
	char oid[LOAM_SHA256_HEX + 1];
};

static struct object make_object(size_t bytes, unsigned seed)
{
	struct object object = { .data = loam_xcalloc(bytes + 1, 1), .bytes = bytes };
	for (size_t i = 0; i < bytes; i++) {
		seed = seed * 1664525u + 1013904223u;
		object.data[i] = (uint8_t)(seed >> 16);
	}
	loam_lfs_world_oid(object.data, bytes, object.oid);
	return object;
}

static void release_object(struct object *object)
{
	free(object->data);
}
#define auto_object __attribute__((cleanup(release_object)))

static char *link_for(struct loam_lfs_world *world, enum loam_lfs_user user, const char *repo,
		      const char *operation, const char *action, const struct object *object)
{
	struct loam_web_reply batch =
		loam_lfs_world_batch(world, user, repo, operation, object->oid, object->bytes);
	assert_int_equal(batch.status, 200);
	char *href = loam_lfs_world_href(&batch, action);
	loam_web_reply_release(&batch);
	assert_non_null(href);
	return href;
}

static struct loam_web_call call_of(struct loam_lfs_world *world, unsigned method,
				    const char *target, const void *body, size_t bytes)
{
	return (struct loam_web_call){ .routes = loam_lfs_routes,
				       .context = &world->context,
				       .method = method,
				       .target = target,
				       .body = body,
				       .body_bytes = bytes };
}

static int drive(const struct loam_web_call *call)
{
	struct loam_web_reply reply;
	loam_web_drive(call, &reply);
	int status = reply.status;
	if (status >= 400)
		assert_non_null(json_object_get(reply.json, "message"));
	loam_web_reply_release(&reply);
	return status;
}

/* The status of a download; on 200 the bytes must be the object's. */
static int download(struct loam_lfs_world *world, enum loam_lfs_user user, const char *repo,
		    const struct object *object)
{
	struct loam_web_reply batch =
		loam_lfs_world_batch(world, user, repo, "download", object->oid, object->bytes);
	loam_auto_free char *href = loam_lfs_world_href(&batch, "download");
	loam_web_reply_release(&batch);
	if (!href)
		return 404;
	struct loam_web_call call = call_of(world, LOAM_GET, href, NULL, 0);
	struct loam_web_reply reply;
	loam_web_drive(&call, &reply);
	int status = reply.status;
	if (status == 200) {
		assert_false(reply.cut);
		assert_int_equal(reply.body.bytes, object->bytes);
		assert_memory_equal(reply.body.data, object->data, object->bytes);
	}
	loam_web_reply_release(&reply);
	return status;
}

/* ---- uploads --------------------------------------------------------------------------------- */

static void what_was_uploaded_comes_back(void **state)
{
	static const size_t sizes[] = { 0, 1, 65535, 65536, 65537, BIG_BYTES, 5u << 20 };
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(sizes); i++) {
		auto_object struct object object = make_object(sizes[i], (unsigned)i);
		assert_int_equal(loam_lfs_world_upload(*state, ALICE, "qwen/tiny", object.data,
						       object.bytes),
				 200);
		assert_int_equal(download(*state, BOB, "qwen/tiny", &object), 200);
		assert_int_equal(loam_lfs_world_entries(*state, "staging"), 0);
	}
}

static void an_object_longer_than_a_chunk_is_one_slice_a_chunk(void **state)
{
	struct loam_lfs_world *world = *state;
	auto_object struct object object = make_object((64u << 20) + 12345, 3);
	assert_int_equal(loam_lfs_world_upload(world, ALICE, "qwen/tiny", object.data,
					       object.bytes),
			 200);
	assert_int_equal(download(world, ALICE, "qwen/tiny", &object), 200);
	struct loam_err err = { 0 };
	struct loam_chunk chunks[2];
	uint64_t ino, bytes;
	assert_int_equal(loam_lfs_holds(&world->tree, &world->tiny, object.oid, &ino, &bytes, &err),
			 1);
	assert_int_equal(loam_meta_chunks(world->volume.meta, ino, 0, 2, chunks, &err), 0);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(chunks[i].slice_count, 1);
		free(chunks[i].slices);
	}
}

static void wrong_bytes_are_400_and_leave_nothing(void **state)
{
	struct loam_lfs_world *world = *state;
	auto_object struct object object = make_object(BIG_BYTES, 1);
	loam_auto_free char *href =
		link_for(world, ALICE, "qwen/tiny", "upload", "upload", &object);
	auto_object struct object longer = make_object(BIG_BYTES + 1, 1);

	struct loam_web_call wrong = call_of(world, LOAM_PUT, href, object.data, object.bytes);
	object.data[77] ^= 1;
	assert_int_equal(drive(&wrong), 400);
	object.data[77] ^= 1;
	struct loam_web_call brief = call_of(world, LOAM_PUT, href, object.data, object.bytes - 1);
	assert_int_equal(drive(&brief), 400);
	brief.announced_bytes = object.bytes; /* the promise is kept by nobody */
	assert_int_equal(drive(&brief), 400);
	brief.chunked = true;
	assert_int_equal(drive(&brief), 400);
	struct loam_web_call more = call_of(world, LOAM_PUT, href, longer.data, longer.bytes);
	assert_int_equal(drive(&more), 400);
	more.chunked = true;
	assert_int_equal(drive(&more), 400);
	struct loam_web_call part = call_of(world, LOAM_PUT, href, object.data, object.bytes);
	part.headers[0].name = "Content-Range";
	part.headers[0].value = "bytes 0-9/10";
	assert_int_equal(drive(&part), 400);
	assert_int_equal(loam_lfs_world_entries(world, "staging"), 0);
	assert_false(loam_lfs_world_holds(world, &world->tiny, object.oid));

	struct loam_web_call good = call_of(world, LOAM_PUT, href, object.data, object.bytes);
	good.chunked = true;
	good.piece_bytes = 1000;
	good.headers[0].name = "Content-Type";
	good.headers[0].value = "text/plain; charset=utf-8";
	assert_int_equal(drive(&good), 200);
	assert_int_equal(drive(&good), 200);
	assert_int_equal(download(world, ALICE, "qwen/tiny", &object), 200);
}

static void other_bytes_under_a_known_oid_are_400_and_link_nothing(void **state)
{
	struct loam_lfs_world *world = *state;
	auto_object struct object object = make_object(1000, 1);
	auto_object struct object forged = make_object(1000, 2);
	assert_int_equal(loam_lfs_world_upload(world, ALICE, "qwen/other", object.data,
					       object.bytes),
			 200);
	loam_auto_free char *href = link_for(world, DAVE, "qwen/tiny", "upload", "upload", &object);
	struct loam_web_call call = call_of(world, LOAM_PUT, href, forged.data, forged.bytes);
	assert_int_equal(drive(&call), 400);
	assert_false(loam_lfs_world_holds(world, &world->tiny, object.oid));
	assert_int_equal(download(world, ALICE, "qwen/other", &object), 200);
	/* Held by the very repository: nothing is stored, the bytes count all the same. */
	loam_auto_free char *again = loam_xstrdup(href);
	call = call_of(world, LOAM_PUT, again, object.data, object.bytes);
	assert_int_equal(drive(&call), 200);
	call.body = forged.data;
	assert_int_equal(drive(&call), 400);
	assert_int_equal(download(world, DAVE, "qwen/tiny", &object), 200);
}

static void two_repositories_share_one_pool_file_and_see_their_own_only(void **state)
{
	struct loam_lfs_world *world = *state;
	auto_object struct object object = make_object(5000, 1);
	struct loam_attr attr;
	assert_int_equal(loam_lfs_world_upload(world, ALICE, "qwen/other", object.data,
					       object.bytes),
			 200);
	assert_int_equal(download(world, BOB, "qwen/tiny", &object), 404);
	assert_int_equal(loam_lfs_world_upload(world, DAVE, "qwen/tiny", object.data, object.bytes),
			 200);
	assert_int_equal(download(world, BOB, "qwen/tiny", &object), 200);
	assert_true(loam_lfs_world_pool(world, object.oid, &attr));
	assert_int_equal(attr.nlink, 3);
}

static void the_pool_file_says_its_oid(void **state)
{
	struct loam_lfs_world *world = *state;
	auto_object struct object object = make_object(10, 1);
	struct loam_err err = { 0 };
	loam_auto_buf struct loam_buf text = LOAM_BUF(100);
	uint64_t ino, bytes;
	assert_int_equal(loam_lfs_world_upload(world, ALICE, "qwen/tiny", object.data,
					       object.bytes),
			 200);
	assert_int_equal(loam_lfs_holds(&world->tree, &world->tiny, object.oid, &ino, &bytes, &err),
			 1);
	assert_int_equal(loam_meta_getxattr(world->volume.meta, ino, "user.loam.oid", &text, &err),
			 0);
	assert_string_equal(loam_buf_text(&text), object.oid);
}

struct racer {
	struct loam_web_call call;
	pthread_t thread;
	int status;
};

static void *race(void *arg)
{
	struct racer *racer = arg;
	struct loam_web_reply reply;
	loam_web_drive(&racer->call, &reply);
	racer->status = reply.status;
	loam_web_reply_release(&reply);
	return NULL;
}

static void twenty_uploads_of_one_object_at_once_all_succeed(void **state)
{
	struct loam_lfs_world *world = *state;
	auto_object struct object object = make_object(BIG_BYTES, 1);
	loam_auto_free char *tiny =
		link_for(world, ALICE, "qwen/tiny", "upload", "upload", &object);
	loam_auto_free char *other =
		link_for(world, ALICE, "qwen/other", "upload", "upload", &object);
	struct racer racers[20];
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(racers); i++) {
		racers[i].call =
			call_of(world, LOAM_PUT, i % 3 ? tiny : other, object.data, object.bytes);
		racers[i].call.vanish = i == 7;
		pthread_create(&racers[i].thread, NULL, race, &racers[i]);
	}
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(racers); i++) {
		pthread_join(racers[i].thread, NULL);
		assert_int_equal(racers[i].status, i == 7 ? 0 : 200);
	}
	struct loam_attr attr;
	assert_true(loam_lfs_world_pool(world, object.oid, &attr));
	assert_int_equal(attr.nlink, 3);
	assert_int_equal(download(world, ALICE, "qwen/other", &object), 200);
}

static void a_client_that_vanishes_leaves_nothing(void **state)
{
	struct loam_lfs_world *world = *state;
	auto_object struct object object = make_object(BIG_BYTES, 1);
	loam_auto_free char *href =
		link_for(world, ALICE, "qwen/tiny", "upload", "upload", &object);
	struct loam_web_call call = call_of(world, LOAM_PUT, href, object.data, object.bytes);
	call.vanish = true;
	assert_int_equal(drive(&call), 0);
	assert_int_equal(loam_lfs_world_entries(world, "staging"), 0);
	assert_false(loam_lfs_world_holds(world, &world->tiny, object.oid));
}

/* ---- rights ---------------------------------------------------------------------------------- */

static void revoke_dave(void *arg)
{
	struct loam_lfs_world *world = arg;
	struct loam_err err = { 0 };
	assert_int_equal(loam_repos_revoke(&world->tree, &world->tiny,
					   LOAM_THE_USER(LOAM_FIRST_UID + DAVE), &err),
			 0);
}

static void a_right_revoked_during_an_upload_refuses_its_end(void **state)
{
	struct loam_lfs_world *world = *state;
	auto_object struct object object = make_object(BIG_BYTES, 1);
	loam_auto_free char *href = link_for(world, DAVE, "qwen/tiny", "upload", "upload", &object);
	struct loam_web_call call = call_of(world, LOAM_PUT, href, object.data, object.bytes);
	call.halfway = revoke_dave;
	call.halfway_arg = world;
	assert_int_equal(drive(&call), 403);
	assert_false(loam_lfs_world_holds(world, &world->tiny, object.oid));
	call.halfway = NULL;
	assert_int_equal(drive(&call), 403);
}

static void a_link_dies_with_its_account(void **state)
{
	struct loam_lfs_world *world = *state;
	struct loam_err err = { 0 };
	auto_object struct object object = make_object(10, 1);
	loam_auto_free char *href = link_for(world, DAVE, "qwen/tiny", "upload", "upload", &object);
	struct loam_web_call call = call_of(world, LOAM_PUT, href, object.data, object.bytes);
	assert_int_equal(loam_account_store_set_disabled(loam_auth_accounts(world->auth), "dave",
							 true, &err),
			 0);
	assert_int_equal(drive(&call), 403);
}

static void an_anonymous_link_of_a_public_repository_reads_and_no_more(void **state)
{
	struct loam_lfs_world *world = *state;
	auto_object struct object object = make_object(10, 1);
	assert_int_equal(loam_lfs_world_upload(world, ALICE, "pub/open", object.data, object.bytes),
			 200);
	assert_int_equal(download(world, NOBODY, "pub/open", &object), 200);
	struct loam_err err = { 0 };
	loam_auto_free char *href =
		link_for(world, NOBODY, "pub/open", "download", "download", &object);
	assert_int_equal(loam_repos_set_visibility(&world->tree, &world->open, LOAM_PRIVATE, &err),
			 0);
	struct loam_web_call call = call_of(world, LOAM_GET, href, NULL, 0);
	assert_int_equal(drive(&call), 403);
}

static void the_33rd_transfer_at_once_is_429(void **state)
{
	struct loam_lfs_world *world = *state;
	struct loam_err err = { 0 };
	auto_object struct object object = make_object(10, 1);
	loam_auto_free char *href =
		link_for(world, ALICE, "qwen/tiny", "upload", "upload", &object);
	struct loam_web_call call = call_of(world, LOAM_PUT, href, object.data, object.bytes);
	for (int i = 0; i < LOAM_LFS_TRANSFERS_MAX; i++)
		assert_int_equal(loam_transfers_enter(world->lfs->transfers, "alice", &err), 0);
	assert_int_equal(drive(&call), 429);
	for (int i = 0; i < LOAM_LFS_TRANSFERS_MAX; i++)
		loam_transfers_leave(world->lfs->transfers, "alice");
	assert_int_equal(drive(&call), 200);
}

/* ---- a store in trouble ---------------------------------------------------------------------- */

static void a_full_store_is_507_and_a_silent_one_503(void **state)
{
	static const struct {
		const char *rules;
		int status;
	} cases[] = { { "put:2:NO_SPACE", 507 },
		      { "put:every:UNAVAILABLE", 503 },
		      { "sync:1:NO_SPACE", 507 },
		      { "put:3:IO", 500 } };
	struct loam_lfs_world *world = *state;
	auto_object struct object object = make_object(BIG_BYTES, 1);
	loam_auto_free char *href =
		link_for(world, ALICE, "qwen/tiny", "upload", "upload", &object);
	struct loam_web_call call = call_of(world, LOAM_PUT, href, object.data, object.bytes);
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(cases); i++) {
		loam_lfs_world_fault(world, cases[i].rules);
		assert_int_equal(drive(&call), cases[i].status);
		assert_int_equal(loam_lfs_world_entries(world, "staging"), 0);
		assert_false(loam_lfs_world_holds(world, &world->tiny, object.oid));
	}
	loam_lfs_world_fault(world, "");
	assert_int_equal(drive(&call), 200);
	assert_int_equal(download(world, ALICE, "qwen/tiny", &object), 200);
}

static void damage_ends_in_a_cut_connection(void **state)
{
	struct loam_lfs_world *world = *state;
	auto_object struct object object = make_object(BIG_BYTES, 1);
	assert_int_equal(loam_lfs_world_upload(world, ALICE, "qwen/tiny", object.data,
					       object.bytes),
			 200);
	loam_auto_free char *href =
		link_for(world, ALICE, "qwen/tiny", "download", "download", &object);
	struct loam_web_call call = call_of(world, LOAM_GET, href, NULL, 0);
	struct loam_web_reply reply;
	loam_lfs_world_fault(world, "get:every:CORRUPT");
	loam_web_drive(&call, &reply);
	assert_int_equal(reply.status, 200);
	assert_true(reply.cut);
	loam_web_reply_release(&reply);
}

/* The block of an object of 40,000 bytes. */
static int find_block(void *arg, const struct loam_store_entry *entry, struct loam_err *err)
{
	char **key = arg;
	if (entry->bytes != 40000)
		return 0;
	*key = loam_xstrdup(entry->key);
	return 1;
}

static void a_flipped_bit_is_found_before_the_last_byte(void **state)
{
	struct loam_lfs_world *world = *state;
	struct loam_store *store = world->volume.store;
	struct loam_err err = { 0 };
	auto_object struct object object = make_object(40000, 1);
	assert_int_equal(loam_lfs_world_upload(world, ALICE, "qwen/tiny", object.data,
					       object.bytes),
			 200);
	loam_auto_free char *href =
		link_for(world, ALICE, "qwen/tiny", "download", "download", &object);
	loam_auto_free char *key = NULL;
	loam_auto_free uint8_t *block = loam_xcalloc(40000, 1);
	assert_int_equal(store->ops->list(store, "test/chunks/", find_block, &key, &err), 1);
	assert_int_equal(store->ops->get(store, key, 0, block, 40000, &err), 0);
	block[39000] ^= 4;
	assert_int_equal(store->ops->remove(store, key, &err), 0);
	assert_int_equal(store->ops->put(store, key, block, 40000, &err), 0);
	struct loam_web_call call = call_of(world, LOAM_GET, href, NULL, 0);
	struct loam_web_reply reply;
	loam_web_drive(&call, &reply);
	assert_true(reply.cut);
	assert_true(reply.body.bytes < object.bytes);
	loam_web_reply_release(&reply);
}

/* ---- downloads ------------------------------------------------------------------------------- */

static void ranges_give_their_bytes(void **state)
{
	static const struct {
		const char *range, *condition; /* "=" the right tag */
		int status;
		size_t first, count;
	} cases[] = {
		{ NULL, NULL, 200, 0, BIG_BYTES },
		{ "bytes=0-0", NULL, 206, 0, 1 },
		{ "bytes=100000-200000", NULL, 206, 100000, 100001 },
		{ "bytes=65536-", NULL, 206, 65536, BIG_BYTES - 65536 },
		{ "bytes=-10", NULL, 206, BIG_BYTES - 10, 10 },
		{ "bytes=-99999999", NULL, 206, 0, BIG_BYTES },
		{ "bytes=5-99999999999999999999999", NULL, 206, 5, BIG_BYTES - 5 },
		{ "bytes=5-2", NULL, 200, 0, BIG_BYTES },
		{ "bytes=0-1,5-6", NULL, 200, 0, BIG_BYTES },
		{ "lines=0-1", NULL, 200, 0, BIG_BYTES },
		{ "bytes=9e18-", NULL, 200, 0, BIG_BYTES },
		{ "bytes=100-", "=", 206, 100, BIG_BYTES - 100 },
		{ "bytes=100-", "\"other\"", 200, 0, BIG_BYTES },
		{ "bytes=100-", "Sun, 22 Nov 2026 00:00:00 GMT", 200, 0, BIG_BYTES },
		{ "bytes=-0", NULL, 416, 0, 0 },
		{ "bytes=9000000000000000000-", NULL, 416, 0, 0 },
	};
	struct loam_lfs_world *world = *state;
	auto_object struct object object = make_object(BIG_BYTES, 1);
	assert_int_equal(loam_lfs_world_upload(world, ALICE, "qwen/tiny", object.data,
					       object.bytes),
			 200);
	loam_auto_free char *href =
		link_for(world, ALICE, "qwen/tiny", "download", "download", &object);
	loam_auto_free char *tag = loam_xasprintf("\"%s\"", object.oid);
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(cases); i++) {
		struct loam_web_call call = call_of(world, LOAM_GET, href, NULL, 0);
		struct loam_web_reply reply;
		size_t headers = 0;
		if (cases[i].range) {
			call.headers[headers].name = "Range";
			call.headers[headers++].value = cases[i].range;
		}
		if (cases[i].condition) {
			call.headers[headers].name = "If-Range";
			call.headers[headers].value =
				cases[i].condition[0] == '=' ? tag : cases[i].condition;
		}
		loam_web_drive(&call, &reply);
		assert_int_equal(reply.status, cases[i].status);
		assert_string_equal(loam_web_reply_header(&reply, "ETag"), tag);
		assert_string_equal(loam_web_reply_header(&reply, "Accept-Ranges"), "bytes");
		if (cases[i].status != 416) {
			assert_int_equal(reply.length, cases[i].count);
			assert_int_equal(reply.body.bytes, cases[i].count);
			assert_memory_equal(reply.body.data, object.data + cases[i].first,
					    cases[i].count);
		}
		char expected[100];
		if (cases[i].status == 206)
			snprintf(expected, sizeof(expected), "bytes %zu-%zu/%u", cases[i].first,
				 cases[i].first + cases[i].count - 1, BIG_BYTES);
		else
			snprintf(expected, sizeof(expected), "bytes */%u", BIG_BYTES);
		const char *range = loam_web_reply_header(&reply, "Content-Range");
		if (cases[i].status == 200)
			assert_null(range);
		else
			assert_string_equal(range, expected);
		loam_web_reply_release(&reply);
	}
}

static void ranges_are_64_bits_wide(void **state)
{
	uint64_t first, count, size = 6ull << 40;
	assert_int_equal(loam_range_parse("bytes=5497558138880-", size, &first, &count),
			 LOAM_RANGE_PART);
	assert_true(first == 5ull << 40 && count == 1ull << 40);
	assert_int_equal(loam_range_parse("bytes=-1099511627776", size, &first, &count),
			 LOAM_RANGE_PART);
	assert_true(first == 5ull << 40 && count == 1ull << 40);
	assert_int_equal(loam_range_parse("bytes=0-", 0, &first, &count), LOAM_RANGE_WHOLE);
	assert_int_equal(count, 0);
	static const char *const ignored[] = { "",	     "bytes",	   "bytes=",
					       "bytes=-",    "bytes=a-b",  "bytes=1",
					       "bytes=1-2 ", "bytes= 1-2", "bytes=+1-2" };
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(ignored); i++)
		assert_int_equal(loam_range_parse(ignored[i], size, &first, &count),
				 LOAM_RANGE_WHOLE);
}

static void head_gives_the_length_and_no_byte(void **state)
{
	struct loam_lfs_world *world = *state;
	auto_object struct object object = make_object(BIG_BYTES, 1);
	assert_int_equal(loam_lfs_world_upload(world, ALICE, "qwen/tiny", object.data,
					       object.bytes),
			 200);
	loam_auto_free char *href =
		link_for(world, ALICE, "qwen/tiny", "download", "download", &object);
	struct loam_web_call call = call_of(world, LOAM_HEAD, href, NULL, 0);
	struct loam_web_reply reply;
	loam_web_drive(&call, &reply);
	assert_int_equal(reply.status, 200);
	assert_int_equal(reply.length, BIG_BYTES);
	assert_int_equal(reply.body.bytes, 0);
	loam_web_reply_release(&reply);
}

/* ---- verify ---------------------------------------------------------------------------------- */

static void verify_says_what_is_there(void **state)
{
	struct loam_lfs_world *world = *state;
	auto_object struct object object = make_object(10, 1);
	loam_auto_free char *upload =
		link_for(world, ALICE, "qwen/tiny", "upload", "upload", &object);
	loam_auto_free char *href =
		link_for(world, ALICE, "qwen/tiny", "upload", "verify", &object);
	loam_auto_free char *body =
		loam_xasprintf("{\"oid\":\"%s\",\"size\":10,\"x\":1}", object.oid);
	loam_auto_free char *larger = loam_xasprintf("{\"oid\":\"%s\",\"size\":11}", object.oid);
	struct loam_web_call call = call_of(world, LOAM_POST, href, body, strlen(body));
	assert_int_equal(drive(&call), 404);
	struct loam_web_call put = call_of(world, LOAM_PUT, upload, object.data, object.bytes);
	assert_int_equal(drive(&put), 200);
	assert_int_equal(drive(&call), 200);
	call.body = larger;
	call.body_bytes = strlen(larger);
	assert_int_equal(drive(&call), 422);
	call.body = "{\"oid\":";
	call.body_bytes = 7;
	assert_int_equal(drive(&call), 400);
	call.body = "{}";
	call.body_bytes = 2;
	assert_int_equal(drive(&call), 422);
}

#define IN_WORLD(test) \
	cmocka_unit_test_setup_teardown(test, loam_lfs_world_setup, loam_lfs_world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_WORLD(what_was_uploaded_comes_back),
		IN_WORLD(an_object_longer_than_a_chunk_is_one_slice_a_chunk),
		IN_WORLD(wrong_bytes_are_400_and_leave_nothing),
		IN_WORLD(other_bytes_under_a_known_oid_are_400_and_link_nothing),
		IN_WORLD(two_repositories_share_one_pool_file_and_see_their_own_only),
		IN_WORLD(the_pool_file_says_its_oid),
		IN_WORLD(twenty_uploads_of_one_object_at_once_all_succeed),
		IN_WORLD(a_client_that_vanishes_leaves_nothing),
		IN_WORLD(a_right_revoked_during_an_upload_refuses_its_end),
		IN_WORLD(a_link_dies_with_its_account),
		IN_WORLD(an_anonymous_link_of_a_public_repository_reads_and_no_more),
		IN_WORLD(the_33rd_transfer_at_once_is_429),
		IN_WORLD(a_full_store_is_507_and_a_silent_one_503),
		IN_WORLD(damage_ends_in_a_cut_connection),
		IN_WORLD(a_flipped_bit_is_found_before_the_last_byte),
		IN_WORLD(ranges_give_their_bytes),
		cmocka_unit_test(ranges_are_64_bits_wide),
		IN_WORLD(head_gives_the_length_and_no_byte),
		IN_WORLD(verify_says_what_is_there),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
