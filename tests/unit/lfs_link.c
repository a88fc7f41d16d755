/*
 * lfs/link: what a signature covers, how long a link lives, and its keys (reliability.md lfs-9).
 */
#include "lfs/link.h"

#include "core/auto.h"
#include "core/clock.h"
#include "fs/files.h"
#include "tests/support/lfs_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define OID_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define OID_B "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab"

static struct loam_link a_link(const struct loam_lfs_world *world)
{
	struct loam_link link = { .method = LOAM_PUT,
				  .repo = world->tiny,
				  .oid = OID_A,
				  .bytes = 12,
				  .user = "alice",
				  .token_id = "T0ken",
				  .expires = loam_clock_now().tv_sec + 100 };
	return link;
}

/* Checks a link's path and query by the parameters that the router would give. */
static int check(struct loam_link_keys *keys, unsigned method, const char *url,
		 struct loam_link *out)
{
	static const char *const names[] = { "kind", "ns", "name", "oid" };
	const char *base = strstr(url, "/_lfs/");
	assert_non_null(base);
	loam_auto_free char *text = loam_xstrdup(base + strlen("/_lfs/"));
	struct loam_web_request request = { .method = method, .query = "" };
	char *query = strchr(text, '?');
	if (query) {
		*query = '\0';
		request.query = query + 1;
	}
	char *rest = text;
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(names); i++) {
		request.params[i].name = names[i];
		request.params[i].value = strsep(&rest, "/");
		request.param_count += request.params[i].value != NULL;
	}
	struct loam_err err = { 0 };
	bool forged;
	return loam_link_check(keys, &request, out, &forged, &err);
}

/* The url with the first `from` replaced; free(). */
static char *with(const char *url, const char *from, const char *to)
{
	const char *at = strstr(url, from);
	assert_non_null(at);
	return loam_xasprintf("%.*s%s%s", (int)(at - url), url, to, at + strlen(from));
}

static void a_link_comes_back_as_it_was_signed(void **state)
{
	struct loam_lfs_world *world = *state;
	struct loam_link link = a_link(world), got;
	loam_auto_free char *url = loam_link_print(world->lfs->keys, "https://h/base/", &link);
	assert_int_equal(strncmp(url, "https://h/base/_lfs/models/qwen/tiny/" OID_A "?exp=", 106),
			 0);
	assert_int_equal(check(world->lfs->keys, LOAM_PUT, url, &got), 0);
	assert_string_equal(got.user, "alice");
	assert_string_equal(got.token_id, "T0ken");
	assert_string_equal(got.oid, OID_A);
	assert_int_equal(got.bytes, 12);
	assert_int_equal(got.expires, link.expires);
	assert_string_equal(got.repo.name, "tiny");
}

static void head_goes_by_the_link_of_get(void **state)
{
	struct loam_lfs_world *world = *state;
	struct loam_link link = a_link(world), got;
	link.method = LOAM_GET;
	link.user[0] = link.token_id[0] = '\0';
	loam_auto_free char *url = loam_link_print(world->lfs->keys, "http://h", &link);
	assert_int_equal(check(world->lfs->keys, LOAM_HEAD, url, &got), 0);
	assert_int_equal(check(world->lfs->keys, LOAM_GET, url, &got), 0);
	assert_string_equal(got.user, "");
}

static void nothing_of_a_link_can_be_changed(void **state)
{
	struct loam_lfs_world *world = *state;
	struct loam_link link = a_link(world), got;
	loam_auto_free char *url = loam_link_print(world->lfs->keys, "http://h", &link);
	static const unsigned methods[] = { LOAM_GET, LOAM_HEAD, LOAM_POST };
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(methods); i++)
		assert_int_equal(check(world->lfs->keys, methods[i], url, &got), -LOAM_E_DENIED);
	static const char *const changes[][2] = {
		{ OID_A, OID_B },
		{ "/models/", "/datasets/" },
		{ "/qwen/", "/qwem/" },
		{ "/tiny/", "/other/" },
		{ "size=12", "size=13" },
		{ "size=12", "size=012" },
		{ "size=12", "size=" },
		{ "size=12", "x=12" },
		{ "who=alice", "who=alicf" },
		{ "who=alice.T0ken", "who=alice" },
		{ "who=alice.T0ken", "who=" },
		{ ".T0ken", ".T0kem" },
		{ "exp=1", "exp=2" },
		{ "exp=", "exp=%00" },
		{ "sig=", "sig=0" },
		{ "sig=", "sog=" },
		{ OID_A, "../../../etc/passwd" },
	};
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(changes); i++) {
		loam_auto_free char *changed = with(url, changes[i][0], changes[i][1]);
		/* "012" is 12: what is signed is the number. */
		int expected = strcmp(changes[i][1], "size=012") == 0 ? 0 : -LOAM_E_DENIED;
		assert_int_equal(check(world->lfs->keys, LOAM_PUT, changed, &got), expected);
	}
}

static void a_link_ends_at_its_time(void **state)
{
	struct loam_lfs_world *world = *state;
	struct loam_link link = a_link(world), got;
	link.expires = loam_clock_now().tv_sec;
	loam_auto_free char *url = loam_link_print(world->lfs->keys, "http://h", &link);
	assert_int_equal(check(world->lfs->keys, LOAM_PUT, url, &got), -LOAM_E_DENIED);
}

static void two_servers_share_their_keys(void **state)
{
	struct loam_lfs_world *world = *state;
	struct loam_err err = { 0 };
	struct loam_link link = a_link(world), got;
	struct loam_link_keys *second = NULL;
	assert_int_equal(loam_link_keys_open(&world->tree, &second, &err), 0);
	loam_auto_free char *url = loam_link_print(world->lfs->keys, "http://h", &link);
	assert_int_equal(check(second, LOAM_PUT, url, &got), 0);
	loam_link_keys_close(second);
}

static void set_key(struct loam_lfs_world *world, const char *name, const char *text)
{
	struct loam_err err = { 0 };
	char path[LOAM_PATH_BYTES_MAX];
	loam_tree_state_path(&world->tree, name, path);
	assert_int_equal(loam_files_write(&world->volume, path, LOAM_SERVICE_ID, LOAM_SERVICE_ID,
					  0400, text, strlen(text), &err),
			 0);
}

static void a_changed_key_is_read_again_and_old_links_live_on(void **state)
{
	struct loam_lfs_world *world = *state;
	struct loam_err err = { 0 };
	struct loam_link link = a_link(world), got;
	struct loam_link_keys *fresh = NULL;
	char path[LOAM_PATH_BYTES_MAX];
	loam_auto_buf struct loam_buf key = LOAM_BUF(100);
	loam_auto_free char *old = loam_link_print(world->lfs->keys, "http://h", &link);
	loam_tree_state_path(&world->tree, "etc/keys/link.1", path);
	assert_int_equal(loam_files_read(&world->volume, path, &key, &err), 0);
	set_key(world, "etc/keys/link.2", loam_buf_text(&key));
	set_key(world, "etc/keys/link.1",
		"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\n");
	assert_int_equal(loam_link_keys_open(&world->tree, &fresh, &err), 0);
	loam_auto_free char *new = loam_link_print(fresh, "http://h", &link);
	assert_string_not_equal(old, new);
	assert_int_equal(check(world->lfs->keys, LOAM_PUT, new, &got), 0);
	assert_int_equal(check(world->lfs->keys, LOAM_PUT, old, &got), 0);
	assert_int_equal(check(fresh, LOAM_PUT, old, &got), 0);
	loam_link_keys_close(fresh);
}

static void a_file_that_holds_no_key_is_said_so(void **state)
{
	struct loam_lfs_world *world = *state;
	struct loam_err err = { 0 };
	struct loam_link_keys *keys = NULL;
	set_key(world, "etc/keys/link.2", "abc\n");
	assert_int_equal(loam_link_keys_open(&world->tree, &keys, &err), -LOAM_E_CORRUPT);
}

static void keys_are_the_services_alone(void **state)
{
	struct loam_lfs_world *world = *state;
	struct loam_err err = { 0 };
	char path[LOAM_PATH_BYTES_MAX];
	struct loam_attr attr;
	uint64_t ino;
	loam_tree_state_path(&world->tree, "etc/keys/link.1", path);
	assert_int_equal(loam_files_lookup(&world->volume, path, &ino, &attr, &err), 0);
	assert_int_equal(attr.mode, 0400);
	assert_int_equal(attr.uid, LOAM_SERVICE_ID);
}

#define IN_WORLD(test) \
	cmocka_unit_test_setup_teardown(test, loam_lfs_world_setup, loam_lfs_world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_WORLD(a_link_comes_back_as_it_was_signed),
		IN_WORLD(head_goes_by_the_link_of_get),
		IN_WORLD(nothing_of_a_link_can_be_changed),
		IN_WORLD(a_link_ends_at_its_time),
		IN_WORLD(two_servers_share_their_keys),
		IN_WORLD(a_changed_key_is_read_again_and_old_links_live_on),
		IN_WORLD(a_file_that_holds_no_key_is_said_so),
		IN_WORLD(keys_are_the_services_alone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
