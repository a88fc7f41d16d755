/*
 * lfs/batch and lfs/ref: the matrix of callers, the seven checks of
 * git-lfs-test-server-api, and hostile bodies (reliability.md lfs-1 to lfs-7, lfs-11, lfs-14).
 */
#include "core/auto.h"
#include "core/clock.h"
#include "tests/support/lfs_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define BATCH	    "/qwen/tiny.git/info/lfs/objects/batch"
#define OID_A	    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define OID_B	    "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define OID_UPPER   "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
#define OID_63	    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define THERE_COUNT 8

static const json_t *entry_at(const struct loam_web_reply *reply, size_t index)
{
	return json_array_get(json_object_get(reply->json, "objects"), index);
}

static int entry_code(const struct loam_web_reply *reply, size_t index)
{
	const json_t *error = json_object_get(entry_at(reply, index), "error");
	return (int)json_integer_value(json_object_get(error, "code"));
}

static bool has_action(const struct loam_web_reply *reply, size_t index, const char *name)
{
	const json_t *actions = json_object_get(entry_at(reply, index), "actions");
	return json_object_get(actions, name) != NULL;
}

static int status_of(struct loam_lfs_world *world, enum loam_lfs_user user, unsigned method,
		     const char *target, const char *body)
{
	struct loam_web_reply reply = loam_lfs_world_call(world, user, method, target, body);
	int status = reply.status;
	loam_web_reply_release(&reply);
	return status;
}

static const char download_body[] =
	"{\"operation\":\"download\",\"objects\":[{\"oid\":\"" OID_A "\",\"size\":1}]}";
static const char upload_body[] =
	"{\"operation\":\"upload\",\"objects\":[{\"oid\":\"" OID_A "\",\"size\":1}]}";

static void callers_get_what_their_rights_say(void **state)
{
	static const struct {
		const char *repo;
		enum loam_lfs_user user;
		int download, upload;
	} cases[] = {
		{ "qwen/tiny", ALICE, 200, 200 },  { "qwen/tiny", BOB, 200, 403 },
		{ "qwen/tiny", CAROL, 404, 404 },  { "qwen/tiny", DAVE, 200, 200 },
		{ "qwen/tiny", NOBODY, 401, 401 }, { "qwen/none", ALICE, 404, 404 },
		{ "qwen/none", NOBODY, 401, 401 }, { "pub/open", NOBODY, 200, 401 },
		{ "pub/open", CAROL, 200, 403 },   { "api/x", NOBODY, 401, 401 },
		{ "api/x", BOB, 404, 404 },
	};
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(cases); i++) {
		for (int spelling = 0; spelling < 3; spelling++) {
			loam_auto_free char *target =
				loam_xasprintf("/%s%s%s/info/lfs/objects/batch",
					       spelling == 2 ? "models/" : "", cases[i].repo,
					       spelling == 1 ? "" : ".git");
			assert_int_equal(status_of(*state, cases[i].user, LOAM_POST, target,
						   download_body),
					 cases[i].download);
			assert_int_equal(status_of(*state, cases[i].user, LOAM_POST, target,
						   upload_body),
					 cases[i].upload);
		}
	}
}

static void wrong_credentials_are_401_with_a_challenge(void **state)
{
	struct loam_lfs_world *world = *state;
	struct loam_web_reply reply;
	struct loam_web_call call = { .routes = loam_lfs_routes,
				      .context = &world->context,
				      .method = LOAM_POST,
				      .target = BATCH,
				      .headers = { { "Authorization", "Basic !!!" } },
				      .body = download_body,
				      .body_bytes = strlen(download_body) };
	loam_web_drive(&call, &reply);
	assert_int_equal(reply.status, 401);
	assert_non_null(loam_web_reply_header(&reply, "LFS-Authenticate"));
	assert_non_null(json_object_get(reply.json, "message"));
	assert_non_null(json_object_get(reply.json, "request_id"));
	loam_web_reply_release(&reply);
}

static void a_body_that_does_not_parse_is_400_and_one_that_makes_no_sense_422(void **state)
{
	static const struct {
		int status;
		const char *body;
	} cases[] = {
		{ 400, "" },
		{ 400, "{" },
		{ 400, "x" },
		{ 400, "\xef\xbb\xbf{}" },
		{ 400, "{} x" },
		{ 400, "{\"operation\":\"download\",\"objects\":[{\"oid\":\"" OID_A
		       "\",\"oid\":\"" OID_B "\",\"size\":1}]}" },
		{ 400, "{\"operation\":\"download\",\"objects\":[{\"oid\":\"" OID_A
		       "\",\"size\":99999999999999999999}]}" },
		{ 422, "[]" },
		{ 422, "{}" },
		{ 422,
		  "{\"operation\":\"delete\",\"objects\":[{\"oid\":\"" OID_A "\",\"size\":1}]}" },
		{ 422, "{\"operation\":5,\"objects\":[{\"oid\":\"" OID_A "\",\"size\":1}]}" },
		{ 422, "{\"operation\":\"download\"}" },
		{ 422, "{\"operation\":\"download\",\"objects\":[]}" },
		{ 422, "{\"operation\":\"download\",\"objects\":{}}" },
		{ 422, "{\"operation\":\"download\",\"objects\":[5]}" },
		{ 422, "{\"operation\":\"download\",\"objects\":[{\"size\":1}]}" },
		{ 422, "{\"operation\":\"download\",\"objects\":[{\"oid\":5,\"size\":1}]}" },
		{ 422, "{\"operation\":\"download\",\"transfers\":[\"ssh\"],\"objects\":[{\"oid\":"
		       "\"" OID_A "\",\"size\":1}]}" },
		{ 422, "{\"operation\":\"download\",\"ref\":{\"name\":\"refs/heads/../../x\"},"
		       "\"objects\":[{\"oid\":\"" OID_A "\",\"size\":1}]}" },
		{ 422, "{\"operation\":\"download\",\"ref\":5,\"objects\":[{\"oid\":\"" OID_A
		       "\",\"size\":1}]}" },
		{ 200, "{\"operation\":\"download\",\"ref\":{\"name\":null},\"objects\":[{\"oid\":"
		       "\"" OID_A "\",\"size\":1}]}" },
		{ 200, "{\"operation\":\"download\",\"ref\":null,\"hash_algo\":\"sha_256\","
		       "\"transfers\":null,\"x\":[{}],\"objects\":[{\"oid\":\"" OID_A
		       "\",\"size\":1,\"y\":0}]}" },
		{ 200, "{\"operation\":\"download\",\"ref\":{\"name\":\"main\"},\"transfers\":["
		       "\"ssh\",\"basic\"],\"objects\":[{\"oid\":\"" OID_A "\",\"size\":1}]}" },
	};
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(cases); i++) {
		struct loam_web_reply reply =
			loam_lfs_world_call(*state, ALICE, LOAM_POST, BATCH, cases[i].body);
		if (reply.status != cases[i].status)
			fail_msg("case %zu: %d instead of %d: %s", i, reply.status, cases[i].status,
				 cases[i].body);
		assert_non_null(reply.json);
		loam_web_reply_release(&reply);
	}
}

static void a_ref_of_10_kib_is_422(void **state)
{
	loam_auto_free char *name = loam_xcalloc(10241, 1);
	memset(name, 'r', 10240);
	loam_auto_free char *body =
		loam_xasprintf("{\"operation\":\"download\",\"ref\":{\"name\":"
			       "\"%s\"},\"objects\":[{\"oid\":\"" OID_A "\",\"size\":1}]}",
			       name);
	assert_int_equal(status_of(*state, ALICE, LOAM_POST, BATCH, body), 422);
}

/* count objects, oids counted up. */
static char *many(const char *operation, size_t count)
{
	struct loam_err err = { 0 };
	struct loam_buf text = LOAM_BUF(LOAM_JSON_BYTES_MAX);
	loam_buf_printf(&text, &err, "{\"operation\":\"%s\",\"objects\":[", operation);
	for (size_t i = 0; i < count; i++)
		loam_buf_printf(&text, &err, "%s{\"oid\":\"%064zx\",\"size\":%zu}", i ? "," : "", i,
				i);
	loam_buf_printf(&text, &err, "]}");
	assert_int_equal(err.code, 0);
	return loam_buf_steal(&text);
}

static void a_thousand_objects_are_answered_one_by_one_and_one_more_is_413(void **state)
{
	loam_auto_free char *most = many("upload", 1000);
	loam_auto_free char *more = many("upload", 1001);
	struct loam_web_reply reply = loam_lfs_world_call(*state, ALICE, LOAM_POST, BATCH, most);
	assert_int_equal(reply.status, 200);
	assert_int_equal(json_array_size(json_object_get(reply.json, "objects")), 1000);
	for (size_t i = 0; i < 1000; i++)
		assert_true(has_action(&reply, i, "upload"));
	loam_web_reply_release(&reply);
	assert_int_equal(status_of(*state, ALICE, LOAM_POST, BATCH, more), 413);
}

static void a_bad_oid_or_size_is_422_for_that_object_only(void **state)
{
	static const char *const bad[] = {
		"\"oid\":\"" OID_UPPER "\",\"size\":1",
		"\"oid\":\"" OID_63 "\",\"size\":1",
		"\"oid\":\"" OID_A "a\",\"size\":1",
		"\"oid\":\"g" OID_A "\",\"size\":1",
		"\"oid\":\"../../x\",\"size\":1",
		"\"oid\":\"sha256:" OID_A "\",\"size\":1",
		"\"oid\":\"\",\"size\":1",
		"\"oid\":\"" OID_A "\\u0000\",\"size\":1",
		"\"oid\":\"" OID_A "\",\"size\":-1",
		"\"oid\":\"" OID_A "\"",
		"\"oid\":\"" OID_A "\",\"size\":\"5\"",
		"\"oid\":\"" OID_A "\",\"size\":17592186044417",
	};
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(bad); i++) {
		loam_auto_free char *body = loam_xasprintf(
			"{\"operation\":\"upload\",\"objects\":[{%s},{\"oid\":\"" OID_B
			"\",\"size\":7}]}",
			bad[i]);
		struct loam_web_reply reply =
			loam_lfs_world_call(*state, ALICE, LOAM_POST, BATCH, body);
		assert_int_equal(reply.status, 200);
		assert_int_equal(entry_code(&reply, 0), 422);
		assert_false(has_action(&reply, 0, "upload"));
		assert_int_equal(entry_code(&reply, 1), 0);
		assert_true(has_action(&reply, 1, "upload"));
		loam_web_reply_release(&reply);
	}
}

static void the_oid_comes_back_as_it_was_sent(void **state)
{
	struct loam_web_reply reply = loam_lfs_world_call(
		*state, ALICE, LOAM_POST, BATCH,
		"{\"operation\":\"upload\",\"objects\":[{\"oid\":\"a\\u0000b\",\"size\":1}]}");
	const json_t *oid = json_object_get(entry_at(&reply, 0), "oid");
	assert_int_equal(json_string_length(oid), 3);
	assert_memory_equal(json_string_value(oid), "a\0b", 3);
	loam_web_reply_release(&reply);
}

static void one_oid_with_two_sizes_is_422_for_both(void **state)
{
	struct loam_web_reply reply =
		loam_lfs_world_call(*state, ALICE, LOAM_POST, BATCH,
				    "{\"operation\":\"upload\",\"objects\":[{\"oid\":\"" OID_A
				    "\",\"size\":1},{\"oid\":\"" OID_B
				    "\",\"size\":1},{\"oid\":\"" OID_A
				    "\",\"size\":2},{\"oid\":\"" OID_B "\",\"size\":1}]}");
	assert_int_equal(entry_code(&reply, 0), 422);
	assert_int_equal(entry_code(&reply, 1), 0);
	assert_int_equal(entry_code(&reply, 2), 422);
	assert_int_equal(entry_code(&reply, 3), 0);
	loam_web_reply_release(&reply);
}

static void another_hash_is_409_for_each_object(void **state)
{
	struct loam_web_reply reply = loam_lfs_world_call(
		*state, ALICE, LOAM_POST, BATCH,
		"{\"operation\":\"upload\",\"hash_algo\":\"sha512\",\"objects\":[{\"oid\":\"" OID_A
		"\",\"size\":1}]}");
	assert_int_equal(reply.status, 200);
	assert_int_equal(entry_code(&reply, 0), 409);
	loam_web_reply_release(&reply);
}

/* ---- the seven checks of git-lfs-test-server-api --------------------------------------------- */

struct known {
	char oid[LOAM_SHA256_HEX + 1];
	size_t bytes;
};

static void put_some(struct loam_lfs_world *world, struct known there[THERE_COUNT])
{
	for (size_t i = 0; i < THERE_COUNT; i++) {
		char data[64];
		there[i].bytes = (size_t)snprintf(data, sizeof(data), "object number %zu", i);
		loam_lfs_world_oid(data, there[i].bytes, there[i].oid);
		assert_int_equal(loam_lfs_world_upload(world, ALICE, "qwen/tiny", data,
						       there[i].bytes),
				 200);
	}
}

/* kinds: 't' an object that is there, 'm' a missing one, in this order. */
static struct loam_web_reply ask(struct loam_lfs_world *world, const char *operation,
				 const struct known *there, const char *kinds)
{
	loam_auto_json json_t *body =
		json_pack("{s:s,s:[],s:{}}", "operation", operation, "objects", "ref");
	json_t *objects = json_object_get(body, "objects");
	for (size_t i = 0; kinds[i]; i++) {
		loam_auto_free char *missing = loam_xasprintf("%064zx", i + 1);
		json_array_append_new(objects,
				      json_pack("{s:s,s:i}", "oid",
						kinds[i] == 't' ? there[i].oid : missing, "size",
						kinds[i] == 't' ? (int)there[i].bytes
								: (int)i + 1));
	}
	loam_auto_free char *text = json_dumps(body, 0);
	return loam_lfs_world_call(world, ALICE, LOAM_POST, BATCH, text);
}

static void check_kinds(struct loam_lfs_world *world, const char *operation,
			const struct known *there, const char *kinds)
{
	bool upload = strcmp(operation, "upload") == 0;
	struct loam_web_reply reply = ask(world, operation, there, kinds);
	assert_int_equal(reply.status, 200);
	assert_string_equal(json_string_value(json_object_get(reply.json, "transfer")), "basic");
	assert_int_equal(json_array_size(json_object_get(reply.json, "objects")), strlen(kinds));
	for (size_t i = 0; kinds[i]; i++) {
		bool is_there = kinds[i] == 't';
		assert_int_equal(entry_code(&reply, i), !upload && !is_there ? 404 : 0);
		assert_int_equal(has_action(&reply, i, "upload"), upload && !is_there);
		assert_int_equal(has_action(&reply, i, "verify"), upload && !is_there);
		assert_int_equal(has_action(&reply, i, "download"), !upload && is_there);
	}
	loam_web_reply_release(&reply);
}

static void downloads_and_uploads_are_told_apart_by_what_is_there(void **state)
{
	struct known there[THERE_COUNT];
	put_some(*state, there);
	check_kinds(*state, "download", there, "tttttttt");
	check_kinds(*state, "download", there, "mmmmmmmm");
	check_kinds(*state, "download", there, "tmtmmttm");
	check_kinds(*state, "upload", there, "mmmmmmmm");
	check_kinds(*state, "upload", there, "tttttttt");
	check_kinds(*state, "upload", there, "mtmttmmt");
}

static void an_empty_object_gets_its_upload_link(void **state)
{
	struct loam_web_reply reply =
		loam_lfs_world_batch(*state, ALICE, "qwen/tiny", "upload", OID_A, 0);
	assert_true(has_action(&reply, 0, "upload"));
	loam_web_reply_release(&reply);
}

/* ---- what only others hold ------------------------------------------------------------------- */

static void another_repositorys_object_is_as_an_unknown_one(void **state)
{
	struct loam_lfs_world *world = *state;
	char oid[LOAM_SHA256_HEX + 1];
	const char *data = "a secret of qwen/other";
	loam_lfs_world_oid(data, strlen(data), oid);
	assert_int_equal(loam_lfs_world_upload(world, ALICE, "qwen/other", data, strlen(data)),
			 200);
	struct loam_web_reply foreign =
		loam_lfs_world_batch(world, BOB, "qwen/tiny", "download", oid, strlen(data));
	struct loam_web_reply unknown =
		loam_lfs_world_batch(world, BOB, "qwen/tiny", "download", OID_A, strlen(data));
	char *at = strstr((char *)foreign.body.data, oid);
	assert_non_null(at);
	memcpy(at, OID_A, LOAM_SHA256_HEX);
	assert_int_equal(entry_code(&foreign, 0), 404);
	assert_string_equal(loam_buf_text(&foreign.body), loam_buf_text(&unknown.body));
	loam_web_reply_release(&foreign);
	loam_web_reply_release(&unknown);
	struct loam_web_reply upload =
		loam_lfs_world_batch(world, DAVE, "qwen/tiny", "upload", oid, 99999);
	assert_true(has_action(&upload, 0, "upload"));
	loam_web_reply_release(&upload);
}

static void links_say_who_where_and_until_when(void **state)
{
	struct loam_web_reply reply =
		loam_lfs_world_batch(*state, ALICE, "qwen/tiny", "upload", OID_A, 5);
	const json_t *entry = entry_at(&reply, 0);
	assert_true(json_is_true(json_object_get(entry, "authenticated")));
	const json_t *upload = json_object_get(json_object_get(entry, "actions"), "upload");
	assert_int_equal(json_integer_value(json_object_get(upload, "expires_in")), 43200);
	const char *href = json_string_value(json_object_get(upload, "href"));
	assert_non_null(
		strstr(href, "http://loam.example:8418/_lfs/models/qwen/tiny/" OID_A "?exp="));
	assert_non_null(strstr(href, "&who=alice."));
	assert_string_equal(loam_web_reply_header(&reply, "Content-Type"),
			    "application/vnd.git-lfs+json");
	loam_web_reply_release(&reply);
}

static void a_held_object_of_another_size_is_422_on_upload(void **state)
{
	char oid[LOAM_SHA256_HEX + 1];
	loam_lfs_world_oid("abc", 3, oid);
	assert_int_equal(loam_lfs_world_upload(*state, ALICE, "qwen/tiny", "abc", 3), 200);
	struct loam_web_reply reply =
		loam_lfs_world_batch(*state, ALICE, "qwen/tiny", "upload", oid, 4);
	assert_int_equal(entry_code(&reply, 0), 422);
	loam_web_reply_release(&reply);
	reply = loam_lfs_world_batch(*state, ALICE, "qwen/tiny", "download", oid, 4);
	assert_int_equal(json_integer_value(json_object_get(entry_at(&reply, 0), "size")), 3);
	loam_web_reply_release(&reply);
}

#define IN_WORLD(test) \
	cmocka_unit_test_setup_teardown(test, loam_lfs_world_setup, loam_lfs_world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_WORLD(callers_get_what_their_rights_say),
		IN_WORLD(wrong_credentials_are_401_with_a_challenge),
		IN_WORLD(a_body_that_does_not_parse_is_400_and_one_that_makes_no_sense_422),
		IN_WORLD(a_ref_of_10_kib_is_422),
		IN_WORLD(a_thousand_objects_are_answered_one_by_one_and_one_more_is_413),
		IN_WORLD(a_bad_oid_or_size_is_422_for_that_object_only),
		IN_WORLD(the_oid_comes_back_as_it_was_sent),
		IN_WORLD(one_oid_with_two_sizes_is_422_for_both),
		IN_WORLD(another_hash_is_409_for_each_object),
		IN_WORLD(downloads_and_uploads_are_told_apart_by_what_is_there),
		IN_WORLD(an_empty_object_gets_its_upload_link),
		IN_WORLD(another_repositorys_object_is_as_an_unknown_one),
		IN_WORLD(links_say_who_where_and_until_when),
		IN_WORLD(a_held_object_of_another_size_is_422_on_upload),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
