/*
 * The checks of LFS objects and account files: clean after uploads; each kind of damage is found as
 * what it is (reliability.md L01, L10, R02, meta-6).
 */
#include "lfs/fsck_lfs.h"
#include "auth/fsck_accounts.h"
#include "auth/gate.h"
#include "core/auto.h"
#include "fs/files.h"
#include "lfs/staging.h"
#include "tests/support/lfs_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define FINDINGS_MAX 16
#define STAGING_LIFE 3600

struct findings {
	size_t count;
	char ids[FINDINGS_MAX][16];
	char texts[FINDINGS_MAX][256];
};

static void must(int rc, const struct loam_err *err)
{
	if (rc < 0)
		fail_msg("%s", err->text);
}

static void remember(void *arg, const char *id, const char *text)
{
	struct findings *findings = arg;
	assert_true(findings->count < FINDINGS_MAX);
	snprintf(findings->ids[findings->count], sizeof(findings->ids[0]), "%s", id);
	snprintf(findings->texts[findings->count++], sizeof(findings->texts[0]), "%s", text);
}

static void look(struct loam_lfs_world *world, bool deep, struct findings *out)
{
	struct loam_fsck_sink sink = { .found = remember, .arg = out };
	struct loam_fsck_lfs_options options = { .deep = deep, .staging_seconds = STAGING_LIFE };
	struct loam_fsck_lfs_stats stats;
	struct loam_err err = { 0 };
	out->count = 0;
	must(loam_fsck_lfs(&world->tree, &options, &sink, &stats, &err), &err);
	must(loam_fsck_accounts(&world->tree, &sink, &err), &err);
}

static void expect_clean(struct loam_lfs_world *world)
{
	struct findings findings;
	look(world, true, &findings);
	if (findings.count > 0)
		fail_msg("%s %s", findings.ids[0], findings.texts[0]);
}

static void expect_one(struct loam_lfs_world *world, bool deep, const char *id, const char *part)
{
	struct findings findings;
	look(world, deep, &findings);
	for (size_t i = 0; i < findings.count && findings.count > 1; i++)
		fprintf(stderr, "found: %s %s\n", findings.ids[i], findings.texts[i]);
	assert_int_equal(findings.count, 1);
	assert_string_equal(findings.ids[0], id);
	if (!strstr(findings.texts[0], part))
		fail_msg("'%s' does not say '%s'", findings.texts[0], part);
}

static void put(struct loam_lfs_world *world, const char *repo, const char *text,
		char out_oid[LOAM_SHA256_HEX + 1])
{
	loam_lfs_world_oid(text, strlen(text), out_oid);
	assert_int_equal(loam_lfs_world_upload(world, ALICE, repo, text, strlen(text)), 200);
}

static uint64_t pool_ino(struct loam_lfs_world *world, const char *oid, uint64_t *out_dir)
{
	char path[LOAM_PATH_BYTES_MAX];
	struct loam_err err = { 0 };
	struct loam_attr attr;
	struct loam_name name;
	uint64_t ino;
	loam_tree_pool_path(&world->tree, oid, path);
	must(loam_files_lookup(&world->volume, path, &ino, &attr, &err), &err);
	must(loam_files_parent(&world->volume, path, out_dir, &name, &err), &err);
	return ino;
}

static uint64_t links_dir(struct loam_lfs_world *world, const struct loam_repo *repo)
{
	char path[LOAM_PATH_BYTES_MAX];
	struct loam_err err = { 0 };
	struct loam_attr attr;
	uint64_t ino;
	loam_tree_links_path(&world->tree, repo, path);
	must(loam_files_lookup(&world->volume, path, &ino, &attr, &err), &err);
	return ino;
}

static void set_attr(struct loam_lfs_world *world, uint64_t ino, unsigned set,
		     struct loam_attr values)
{
	struct loam_err err = { 0 };
	struct loam_attr attr;
	must(loam_meta_setattr(world->volume.meta, &loam_who_root, ino, set, &values, &attr, &err),
	     &err);
}

/* ---- objects --------------------------------------------------------------------------------- */

static void uploads_leave_nothing_to_find(void **state)
{
	struct loam_lfs_world *world = *state;
	char oid[LOAM_SHA256_HEX + 1];
	expect_clean(world);
	put(world, "qwen/tiny", "shared", oid);
	put(world, "qwen/other", "shared", oid);
	put(world, "qwen/tiny", "own", oid);
	expect_clean(world);
}

static void owner_mode_and_oid_of_a_pool_file_are_checked(void **state)
{
	struct loam_lfs_world *world = *state;
	struct loam_err err = { 0 };
	char oid[LOAM_SHA256_HEX + 1];
	uint64_t dir;
	put(world, "qwen/tiny", "bytes", oid);
	uint64_t ino = pool_ino(world, oid, &dir);
	set_attr(world, ino, LOAM_SET_MODE, (struct loam_attr){ .mode = 0444 });
	expect_one(world, false, "L10", "mode 0444");
	set_attr(world, ino, LOAM_SET_MODE, (struct loam_attr){ .mode = 0400 });
	set_attr(world, ino, LOAM_SET_UID, (struct loam_attr){ .uid = 5 });
	expect_one(world, false, "L10", "belongs to 5");
	set_attr(world, ino, LOAM_SET_UID, (struct loam_attr){ .uid = LOAM_SERVICE_ID });
	expect_clean(world);
	must(loam_meta_setxattr(world->volume.meta, &loam_who_root, ino, LOAM_XATTR_OID, "other", 5,
				0, &err),
	     &err);
	expect_one(world, false, "L10", "is 'other'");
	must(loam_meta_setxattr(world->volume.meta, &loam_who_root, ino, LOAM_XATTR_OID, oid,
				LOAM_SHA256_HEX, 0, &err),
	     &err);
}

static void a_holder_without_its_object_is_found(void **state)
{
	struct loam_lfs_world *world = *state;
	struct loam_err err = { 0 };
	char oid[LOAM_SHA256_HEX + 1];
	uint64_t dir;
	struct loam_attr attr;
	put(world, "qwen/tiny", "bytes", oid);
	uint64_t ino = pool_ino(world, oid, &dir);
	must(loam_meta_unlink(world->volume.meta, &loam_who_root, dir, loam_name_of(oid), NULL,
			      &err),
	     &err);
	expect_one(world, false, "L10", "no such object");
	must(loam_meta_link(world->volume.meta, &loam_who_root, ino, dir, loam_name_of(oid), &attr,
			    &err),
	     &err);
	expect_clean(world);
}

static void a_name_that_is_no_holder_is_found(void **state)
{
	struct loam_lfs_world *world = *state;
	struct loam_err err = { 0 };
	char oid[LOAM_SHA256_HEX + 1];
	uint64_t dir;
	struct loam_attr attr;
	put(world, "qwen/tiny", "bytes", oid);
	uint64_t ino = pool_ino(world, oid, &dir);
	must(loam_meta_link(world->volume.meta, &loam_who_root, ino, LOAM_INO_ROOT,
			    loam_name_of("extra"), &attr, &err),
	     &err);
	expect_one(world, false, "L10", "link count 3, 1 repositories");
	must(loam_files_remove(&world->volume, "/extra", &err), &err);
	expect_clean(world);
}

static void a_link_to_another_file_is_found(void **state)
{
	struct loam_lfs_world *world = *state;
	struct loam_err err = { 0 };
	char oid[LOAM_SHA256_HEX + 1], path[LOAM_PATH_BYTES_MAX];
	put(world, "qwen/tiny", "bytes", oid);
	put(world, "qwen/other", "more", oid);
	snprintf(path, sizeof(path), "%s/%s", "/.loam/repos/models/qwen/tiny/lfs", oid);
	must(loam_files_write(&world->volume, path, LOAM_SERVICE_ID, LOAM_SERVICE_ID, 0400, "more",
			      4, &err),
	     &err);
	expect_one(world, false, "L10", "is not the pool's file");
	must(loam_files_remove(&world->volume, path, &err), &err);
	must(loam_meta_create(world->volume.meta, &loam_who_root, links_dir(world, &world->tiny),
			      loam_name_of("junk"),
			      &(struct loam_create){ .type = LOAM_TYPE_FILE, .mode = 0400 },
			      &(uint64_t){ 0 }, &(struct loam_attr){ 0 }, &err),
	     &err);
	expect_one(world, false, "L10", "junk is no object");
	must(loam_files_remove(&world->volume, "/.loam/repos/models/qwen/tiny/lfs/junk", &err),
	     &err);
	expect_clean(world);
}

static void what_does_not_belong_into_the_pool_is_found(void **state)
{
	struct loam_lfs_world *world = *state;
	struct loam_err err = { 0 };
	char oid[LOAM_SHA256_HEX + 1], path[LOAM_PATH_BYTES_MAX];
	put(world, "qwen/tiny", "bytes", oid);
	must(loam_files_write(&world->volume, "/.loam/lfs/objects/readme", 0, 0, 0400, "x", 1,
			      &err),
	     &err);
	expect_one(world, false, "L10", "readme does not belong");
	must(loam_files_remove(&world->volume, "/.loam/lfs/objects/readme", &err), &err);
	loam_tree_pool_path(&world->tree, oid, path);
	path[strlen(path) - 1] ^= 1; /* a good name, but of a directory */
	must(loam_files_mkdirs(&world->volume, path, 0, 0, 0700, 0, &(uint64_t){ 0 }, &err), &err);
	expect_one(world, false, "L10", "is no object");
	must(loam_files_remove(&world->volume, path, &err), &err);
}

static void other_bytes_are_found_by_their_digest(void **state)
{
	struct loam_lfs_world *world = *state;
	struct loam_err err = { 0 };
	char right[LOAM_SHA256_HEX + 1], wrong[LOAM_SHA256_HEX + 1];
	struct loam_chunk chunks[2];
	struct loam_slice slices[2];
	uint64_t dir, inos[2];
	put(world, "qwen/tiny", "bytes", right);
	put(world, "qwen/tiny", "other", wrong);
	inos[0] = pool_ino(world, right, &dir);
	inos[1] = pool_ino(world, wrong, &dir);
	for (int i = 0; i < 2; i++) {
		must(loam_meta_chunks(world->volume.meta, inos[i], 0, 1, &chunks[i], &err), &err);
		slices[i] = chunks[i].slices[0];
		free(chunks[i].slices);
	}
	/* The block of one holds the bytes of the other. */
	struct loam_block_naming naming = { .volume = "test", .block_bytes = 65536 };
	char key[LOAM_BLOCK_KEY_BYTES];
	struct loam_store *store = world->volume.store;
	loam_block_key(&naming, slices[0].id, slices[0].size, 0, key);
	must(store->ops->remove(store, key, &err), &err);
	must(store->ops->put(store, key, "other", 5, &err), &err);
	struct findings findings;
	look(world, false, &findings);
	assert_int_equal(findings.count, 0);
	expect_one(world, true, "L01", "SHA-256");
	must(store->ops->remove(store, key, &err), &err);
	must(store->ops->put(store, key, "bytes", 5, &err), &err);
	expect_clean(world);
}

static void bytes_that_no_slice_has_are_found(void **state)
{
	struct loam_lfs_world *world = *state;
	struct loam_err err = { 0 };
	char oid[LOAM_SHA256_HEX + 1];
	struct loam_attr attr;
	uint64_t dir;
	put(world, "qwen/tiny", "bytes", oid);
	uint64_t ino = pool_ino(world, oid, &dir);
	must(loam_meta_truncate(world->volume.meta, &loam_who_root, ino, 8, false, &attr, &err),
	     &err);
	expect_one(world, false, "L01", "5 of its 8 bytes");
	must(loam_meta_truncate(world->volume.meta, &loam_who_root, ino, 5, false, &attr, &err),
	     &err);
}

static void dead_staging_is_found(void **state)
{
	struct loam_lfs_world *world = *state;
	struct loam_err err = { 0 };
	char path[] = "/.loam/staging/1700000000-abc", now[32];
	uint64_t ino;
	struct loam_engine *engine = loam_meta_engine(world->volume.meta);
	int64_t seconds;
	must(loam_files_mkdirs(&world->volume, path, 0, 0, 0700, 0, &ino, &err), &err);
	expect_one(world, false, "R02", "1700000000-abc");
	must(engine->ops->now(engine, &seconds, &err), &err);
	snprintf(now, sizeof(now), "%lld", (long long)seconds);
	must(loam_meta_setxattr(world->volume.meta, &loam_who_root, ino, LOAM_XATTR_ALIVE, now,
				strlen(now), 0, &err),
	     &err);
	expect_clean(world);
	must(loam_files_remove(&world->volume, path, &err), &err);
}

/* ---- accounts -------------------------------------------------------------------------------- */

static void a_damaged_account_line_is_found(void **state)
{
	struct loam_lfs_world *world = *state;
	struct loam_err err = { 0 };
	loam_auto_buf struct loam_buf passwd = LOAM_BUF(65536);
	must(loam_files_read(&world->volume, "/.loam/etc/passwd", &passwd, &err), &err);
	must(loam_buf_add_text(&passwd, "mallory:x:0:0::/:/bin/sh\n", &err), &err);
	must(loam_files_write(&world->volume, "/.loam/etc/passwd", 0, 0, 0644, passwd.data,
			      passwd.bytes, &err),
	     &err);
	expect_one(world, false, "meta-6", "passwd line");
}

static void an_account_file_that_is_none_is_found(void **state)
{
	struct loam_lfs_world *world = *state;
	struct loam_err err = { 0 };
	uint64_t ino, dir;
	struct loam_name name;
	must(loam_files_remove(&world->volume, "/.loam/etc/tokens", &err), &err);
	must(loam_files_parent(&world->volume, "/.loam/etc/tokens", &dir, &name, &err), &err);
	must(loam_meta_create(world->volume.meta, &loam_who_root, dir, name,
			      &(struct loam_create){ .type = LOAM_TYPE_SYMLINK,
						     .target = "/etc/passwd" },
			      &ino, &(struct loam_attr){ 0 }, &err),
	     &err);
	expect_one(world, false, "meta-6", "no regular file");
	must(loam_files_remove(&world->volume, "/.loam/etc/tokens", &err), &err);
	expect_clean(world);
}

#define IN_WORLD(test) \
	cmocka_unit_test_setup_teardown(test, loam_lfs_world_setup, loam_lfs_world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_WORLD(uploads_leave_nothing_to_find),
		IN_WORLD(owner_mode_and_oid_of_a_pool_file_are_checked),
		IN_WORLD(a_holder_without_its_object_is_found),
		IN_WORLD(a_name_that_is_no_holder_is_found),
		IN_WORLD(a_link_to_another_file_is_found),
		IN_WORLD(what_does_not_belong_into_the_pool_is_found),
		IN_WORLD(other_bytes_are_found_by_their_digest),
		IN_WORLD(bytes_that_no_slice_has_are_found),
		IN_WORLD(dead_staging_is_found),
		IN_WORLD(a_damaged_account_line_is_found),
		IN_WORLD(an_account_file_that_is_none_is_found),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
