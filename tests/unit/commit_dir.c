/*
 * sync/commit_dir and sync/workspace: a directory becomes a commit, as `git add -A` would have made
 * it; what is known by its slices is not read; rights, locks and races.
 */
#include "sync/commit_dir.h"

#include "auth/gate.h"
#include "core/auto.h"
#include "fs/files.h"
#include "fs/meta/same_content.h"
#include "lfs/lfs.h"
#include "lfs/lock_store.h"
#include "sync/git_dir.h"
#include "tests/support/git_objects.h"
#include "tests/support/publish_world.h"

#include <dirent.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/volume.h"

#define MAIN  "refs/heads/main"
#define GATE  "/models/qwen/tiny"
#define WORK  "/users/alice/w"
#define LARGE (LOAM_PUBLISH_LFS_BYTES + 12345u)

struct world {
	struct loam_tree_world *tree;
	struct loam_publisher *publisher;
	struct loam_repo repo;
	struct loam_principal alice, bob;
	git_repository *git;
	uint8_t *large;
};

static int setup(void **state)
{
	struct world *world = loam_xnew(struct world);
	struct loam_err err = { 0 };
	uint64_t ino;
	loam_tree_world_setup((void **)&world->tree);
	uint32_t alice = loam_tree_world_user(world->tree, "alice");
	uint32_t bob = loam_tree_world_user(world->tree, "bob");
	world->repo = loam_tree_world_repo(world->tree, "qwen/tiny", alice, LOAM_PRIVATE);
	int rc = loam_repos_grant(&world->tree->tree, &world->repo, LOAM_THE_USER(bob),
				  LOAM_WANT_WRITE, &err);
	if (rc == 0)
		rc = loam_auth_user(world->tree->auth, "alice", "", &world->alice, &err);
	if (rc == 0)
		rc = loam_auth_user(world->tree->auth, "bob", "", &world->bob, &err);
	if (rc == 0)
		rc = loam_publish_world_open(world->tree, &world->repo, &world->publisher,
					     &world->git, &err);
	if (rc == 0)
		rc = loam_files_mkdirs(&world->tree->volume, WORK, alice, alice, 0755, 0, &ino,
				       &err);
	world->large = loam_xcalloc(1, LARGE);
	for (size_t i = 0; i < LARGE; i++)
		world->large[i] = (uint8_t)(i * 7 + i / 4099);
	*state = world;
	return rc;
}

static int teardown(void **state)
{
	struct world *world = *state;
	loam_publisher_close(world->publisher);
	assert_int_equal(loam_tree_world_entries(world->tree, "/.loam/staging"), 0);
	git_repository_free(world->git);
	loam_tree_world_teardown((void **)&world->tree);
	free(world->large);
	free(world);
	return 0;
}

/* The answer of a call that names its error `&err`. */
#define assert_says(call, expected) assert_code(call, -(expected))

/* ---- tools ----------------------------------------------------------------------------------- */

static void put_bytes(struct world *world, const char *path, const void *data, size_t bytes,
		      uint16_t mode)
{
	loam_auto_free char *dir = loam_xstrndup(path, (size_t)(strrchr(path, '/') - path));
	uint64_t ino;
	assert_ok(loam_files_mkdirs(&world->tree->volume, dir, world->alice.uid, world->alice.gid,
				    0755, 0, &ino, &err));
	assert_ok(loam_files_write(&world->tree->volume, path, world->alice.uid, world->alice.gid,
				   mode, data, bytes, &err));
}

static void put(struct world *world, const char *path, const char *text)
{
	put_bytes(world, path, text, strlen(text), 0644);
}

static uint64_t ino_of(struct world *world, const char *path, struct loam_attr *attr)
{
	uint64_t ino;
	assert_ok(loam_files_lookup(&world->tree->volume, path, &ino, attr, &err));
	return ino;
}

static int publish(struct world *world, const struct loam_principal *who, const char *path,
		   struct loam_committed_dir *out, struct loam_err *err)
{
	struct loam_attr attr;
	struct loam_commit_dir call = { .auth = world->tree->auth,
					.who = who,
					.repo = &world->repo,
					.ino = ino_of(world, path, &attr),
					.message = "a message\n",
					.host = "loam.example" };
	call.changed = attr.ctime;
	return loam_commit_dir(world->publisher, &call, out, err);
}

static struct loam_committed_dir published(struct world *world, const struct loam_principal *who,
					   const char *path)
{
	struct loam_committed_dir out;
	assert_ok(publish(world, who, path, &out, &err));
	loam_committed_dir_release(&out);
	return out;
}

static void refused(struct world *world, const struct loam_principal *who, const char *path,
		    enum loam_code code, const char *why)
{
	struct loam_committed_dir out;
	struct loam_err err = { 0 };
	git_oid before = { 0 }, after = { 0 };
	git_reference_name_to_id(&before, world->git, MAIN);
	int rc = publish(world, who, path, &out, &err);
	if (rc != -(int)code || !strstr(err.text, why))
		print_error("%d: %s\n", rc, err.text);
	assert_int_equal(rc, -(int)code);
	assert_non_null(strstr(err.text, why));
	git_reference_name_to_id(&after, world->git, MAIN);
	assert_true(git_oid_equal(&before, &after));
}

/* What the branch has at path: "MODE text", NULL nothing; free() */
static char *committed(struct world *world, const char *path)
{
	git_oid oid;
	git_commit *commit = NULL;
	git_tree *tree = NULL;
	git_tree_entry *entry = NULL;
	git_blob *blob = NULL;
	char *text = NULL;
	assert_int_equal(git_reference_name_to_id(&oid, world->git, MAIN), 0);
	assert_int_equal(git_commit_lookup(&commit, world->git, &oid), 0);
	assert_int_equal(git_commit_tree(&tree, commit), 0);
	if (git_tree_entry_bypath(&entry, tree, path) == 0 &&
	    git_blob_lookup(&blob, world->git, git_tree_entry_id(entry)) == 0)
		text = loam_xasprintf("%o %.*s", git_tree_entry_filemode(entry),
				      (int)git_blob_rawsize(blob),
				      (const char *)git_blob_rawcontent(blob));
	git_blob_free(blob);
	git_tree_entry_free(entry);
	git_tree_free(tree);
	git_commit_free(commit);
	return text;
}

static void expect(struct world *world, const char *path, const char *wanted)
{
	loam_auto_free char *text = committed(world, path);
	if (!wanted) {
		assert_null(text);
		return;
	}
	assert_non_null(text);
	assert_string_equal(text, wanted);
}

static void expect_shown(struct world *world, const char *path, const char *wanted)
{
	loam_auto_free char *whole = loam_xasprintf("%s/%s", GATE, path);
	loam_auto_free char *text = loam_tree_world_text(world->tree, whole);
	assert_non_null(text);
	assert_string_equal(text, wanted);
}

/* As `loam clone GATE /users/NAME/…` by that user. */
static void clone_gate(struct world *world, const struct loam_principal *who, const char *name)
{
	struct loam_attr attr;
	struct loam_clone_stats stats;
	struct loam_who as = { .uid = who->uid, .gid = who->gid, .check = true };
	loam_auto_free char *home = loam_xasprintf("/users/%s", who->user);
	assert_ok(loam_meta_clone(world->tree->volume.meta, &as, ino_of(world, GATE, &attr),
				  ino_of(world, home, &attr), loam_name_of(name), 0, NULL, NULL,
				  &stats, &err));
}

/* ---- trees ----------------------------------------------------------------------------------- */

static void a_directory_becomes_a_commit_as_git_add_would_make_it(void **state)
{
	struct world *world = *state;
	struct loam_create link = { .type = LOAM_TYPE_SYMLINK, .target = "a" };
	struct loam_create fifo = { .type = LOAM_TYPE_FIFO, .mode = 0600 };
	struct loam_attr attr;
	uint64_t ino, dir = ino_of(world, WORK, &attr);
	put(world, WORK "/a", "A");
	put_bytes(world, WORK "/run", "#!", 2, 0755);
	put(world, WORK "/d/e/f", "F");
	put(world, WORK "/zero", "");
	put(world, WORK "/.gitignore", "*.o\nbuild/\n!keep.o\n");
	put(world, WORK "/x.o", "no");
	put(world, WORK "/keep.o", "yes");
	put(world, WORK "/build/out", "no");
	put(world, WORK "/d/.gitignore", "/e/g\n");
	put(world, WORK "/d/e/g", "no");
	assert_ok(loam_files_mkdirs(&world->tree->volume, WORK "/empty", world->alice.uid,
				    world->alice.gid, 0755, 0, &ino, &err));
	assert_ok(loam_meta_create(world->tree->volume.meta, &loam_who_root, dir,
				   loam_name_of("link"), &link, &ino, &attr, &err));
	assert_ok(loam_meta_create(world->tree->volume.meta, &loam_who_root, dir,
				   loam_name_of("fifo"), &fifo, &ino, &attr, &err));
	struct loam_committed_dir out;
	assert_ok(publish(world, &world->alice, WORK, &out, &err));
	assert_true(out.changed);
	assert_non_null(strstr(loam_buf_text(&out.published.notes), "left out: fifo"));
	assert_string_equal(out.published.commit, out.commit);
	loam_committed_dir_release(&out);
	expect(world, "a", "100644 A");
	expect(world, "run", "100755 #!");
	expect(world, "d/e/f", "100644 F");
	expect(world, "zero", "100644 ");
	expect(world, "keep.o", "100644 yes");
	expect(world, "link", "120000 a");
	static const char *const absent[] = { "x.o", "build", "d/e/g", "empty", "fifo" };
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(absent); i++)
		expect(world, absent[i], NULL);
	expect_shown(world, "d/e/f", "F");
	assert_false(published(world, &world->alice, WORK).changed);
}

static void the_commit_is_the_users(void **state)
{
	struct world *world = *state;
	git_commit *commit = NULL;
	git_oid oid;
	put(world, WORK "/a", "A");
	published(world, &world->alice, WORK);
	assert_int_equal(git_reference_name_to_id(&oid, world->git, MAIN), 0);
	assert_int_equal(git_commit_lookup(&commit, world->git, &oid), 0);
	assert_string_equal(git_commit_author(commit)->name, "alice");
	assert_string_equal(git_commit_author(commit)->email, "alice@loam.example");
	assert_string_equal(git_commit_committer(commit)->name, "alice");
	assert_string_equal(git_commit_message(commit), "a message\n");
	assert_int_equal(git_commit_parentcount(commit), 0);
	git_commit_free(commit);
	put(world, WORK "/a", "B");
	published(world, &world->alice, WORK);
	assert_int_equal(git_reference_name_to_id(&oid, world->git, MAIN), 0);
	assert_int_equal(git_commit_lookup(&commit, world->git, &oid), 0);
	assert_int_equal(git_commit_parentcount(commit), 1);
	git_commit_free(commit);
}

static size_t count_packs(struct world *world)
{
	char path[LOAM_PATH_BYTES_MAX];
	assert_ok(loam_git_dir(world->publisher, &world->repo, path, &err));
	loam_auto_free char *packs = loam_xasprintf("%s/objects/pack", path);
	DIR *dir = opendir(packs);
	size_t count = 0;
	assert_non_null(dir);
	for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir))
		count += strstr(entry->d_name, ".pack") != NULL;
	closedir(dir);
	return count;
}

/* Each as a file of its own would be a sync of its own. */
static void many_new_files_are_one_pack_and_few_are_none(void **state)
{
	struct world *world = *state;
	put(world, WORK "/a", "a");
	published(world, &world->alice, WORK);
	assert_int_equal(count_packs(world), 0);
	for (int i = 0; i < 2 * LOAM_BATCH_LOOSE; i++) {
		char path[64];
		snprintf(path, sizeof(path), WORK "/d%d/f%d", i % 7, i);
		put(world, path, path);
	}
	published(world, &world->alice, WORK);
	assert_int_equal(count_packs(world), 1);
	expect(world, "a", "100644 a");
	expect(world, "d3/f3", "100644 " WORK "/d3/f3");
	expect_shown(world, "d3/f3", WORK "/d3/f3");
	assert_false(published(world, &world->alice, WORK).changed);
	assert_int_equal(count_packs(world), 1);
}

/* An ignored file that is published stays so, as git goes on to track it. */
static void an_ignored_file_that_is_published_stays(void **state)
{
	struct world *world = *state;
	put(world, WORK "/x.o", "1");
	published(world, &world->alice, WORK);
	put(world, WORK "/.gitignore", "*.o\n");
	put(world, WORK "/x.o", "2");
	put(world, WORK "/y.o", "2");
	published(world, &world->alice, WORK);
	expect(world, "x.o", "100644 2");
	expect(world, "y.o", NULL);
}

/* ---- large files ----------------------------------------------------------------------------- */

static void a_large_file_is_read_once_and_shares_its_slices_with_the_pool(void **state)
{
	struct world *world = *state;
	char oid[LOAM_SHA256_HEX + 1];
	uint8_t digest[LOAM_SHA256_BYTES];
	struct loam_attr attr;
	uint64_t pool, bytes;
	put_bytes(world, WORK "/my [big] model.bin", world->large, LARGE, 0644);
	put(world, WORK "/small", "s");
	struct loam_committed_dir out = published(world, &world->alice, WORK);
	assert_int_equal(out.stats.hashed_files, 1);
	assert_int_equal(out.stats.hashed_bytes, LARGE);
	assert_int_equal(out.stats.small_files, 1);
	loam_sha256_of(world->large, LARGE, digest);
	loam_hex(digest, sizeof(digest), oid);
	assert_int_equal(loam_lfs_holds(&world->tree->tree, &world->repo, oid, &pool, &bytes,
					&(struct loam_err){ 0 }),
			 1);
	assert_int_equal(bytes, LARGE);
	uint64_t ino = ino_of(world, WORK "/my [big] model.bin", &attr);
	assert_says(loam_meta_same_content(world->tree->volume.meta, ino, pool, LARGE, &err), 1);
	expect(world, ".gitattributes",
	       "100644 /my[[:space:]]\\[big\\][[:space:]]model.bin filter=lfs diff=lfs merge=lfs "
	       "-text\n");
	loam_auto_free char *pointer = committed(world, "my [big] model.bin");
	assert_non_null(strstr(pointer, oid));

	assert_false(published(world, &world->alice, WORK).changed);
	put(world, WORK "/small", "other");
	out = published(world, &world->alice, WORK);
	assert_true(out.changed);
	assert_int_equal(out.stats.hashed_files, 0);
	assert_int_equal(out.stats.known_files, 1);
	assert_int_equal(out.stats.small_files, 1);
}

static void what_is_written_behind_the_freezing_does_not_reach_the_pool(void **state)
{
	struct world *world = *state;
	struct loam_attr attr;
	uint64_t pool, bytes;
	char oid[LOAM_SHA256_HEX + 1];
	uint8_t digest[LOAM_SHA256_BYTES];
	put_bytes(world, WORK "/big", world->large, LARGE, 0644);
	published(world, &world->alice, WORK);
	loam_sha256_of(world->large, LARGE, digest);
	loam_hex(digest, sizeof(digest), oid);
	/* the same inode, other bytes */
	uint64_t ino = ino_of(world, WORK "/big", &attr);
	assert_ok(loam_meta_truncate(world->tree->volume.meta, &loam_who_root, ino, 100, true,
				     &attr, &err));
	struct loam_err none = { 0 };
	assert_int_equal(loam_lfs_holds(&world->tree->tree, &world->repo, oid, &pool, &bytes,
					&none),
			 1);
	assert_int_equal(bytes, LARGE);
	loam_auto_buf struct loam_buf text = LOAM_BUF(LARGE);
	assert_ok(loam_files_read_ino(&world->tree->volume, pool, &text, &err));
	assert_memory_equal(text.data, world->large, LARGE);
}

static void a_sparse_file_is_written_out(void **state)
{
	struct world *world = *state;
	struct loam_attr attr;
	uint64_t pool, bytes;
	struct loam_err none = { 0 };
	char oid[LOAM_SHA256_HEX + 1];
	uint8_t digest[LOAM_SHA256_BYTES];
	put_bytes(world, WORK "/sparse", "begin", 5, 0644);
	uint64_t ino = ino_of(world, WORK "/sparse", &attr);
	assert_ok(loam_meta_truncate(world->tree->volume.meta, &loam_who_root, ino, LARGE, true,
				     &attr, &err));
	published(world, &world->alice, WORK);
	memset(world->large, 0, LARGE);
	memcpy(world->large, "begin", 5);
	loam_sha256_of(world->large, LARGE, digest);
	loam_hex(digest, sizeof(digest), oid);
	assert_int_equal(loam_lfs_holds(&world->tree->tree, &world->repo, oid, &pool, &bytes,
					&none),
			 1);
	assert_says(loam_meta_has_holes(world->tree->volume.meta, pool, LARGE, &err), 0);
}

static void a_rule_of_gitattributes_gives_small_files_to_lfs(void **state)
{
	struct world *world = *state;
	put(world, WORK "/.gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n");
	put(world, WORK "/a.bin", "small, but LFS");
	put(world, WORK "/empty.bin", "");
	struct loam_committed_dir out = published(world, &world->alice, WORK);
	assert_int_equal(out.stats.hashed_files, 1);
	loam_auto_free char *pointer = committed(world, "a.bin");
	assert_non_null(strstr(pointer, "oid sha256:"));
	expect(world, "empty.bin", "100644 ");
	expect(world, ".gitattributes", "100644 *.bin filter=lfs diff=lfs merge=lfs -text\n");
	expect_shown(world, "a.bin", "small, but LFS");
}

/* ---- clones, merges, races ------------------------------------------------------------------- */

static void first_version(struct world *world)
{
	put_bytes(world, WORK "/big", world->large, LARGE, 0644);
	put(world, WORK "/a", "a1");
	put(world, WORK "/b", "b1");
	published(world, &world->alice, WORK);
}

static void a_clone_is_known_by_its_slices(void **state)
{
	struct world *world = *state;
	first_version(world);
	clone_gate(world, &world->alice, "c");
	assert_false(published(world, &world->alice, "/users/alice/c").changed);
	put(world, "/users/alice/c/a", "a2");
	struct loam_committed_dir out = published(world, &world->alice, "/users/alice/c");
	assert_true(out.changed);
	assert_int_equal(out.stats.hashed_files, 0);
	assert_int_equal(out.stats.small_files, 1);
	assert_int_equal(out.stats.known_files, 3); /* big, b, .gitattributes */
	expect(world, "a", "100644 a2");
	expect(world, "b", "100644 b1");
}

static void what_the_branch_did_meanwhile_is_kept(void **state)
{
	struct world *world = *state;
	first_version(world);
	clone_gate(world, &world->alice, "c");
	clone_gate(world, &world->bob, "d");
	put(world, "/users/alice/c/a", "a2");
	put(world, "/users/bob/d/b", "b2");
	assert_false(published(world, &world->alice, "/users/alice/c").merged);
	struct loam_committed_dir out = published(world, &world->bob, "/users/bob/d");
	assert_true(out.merged);
	expect(world, "a", "100644 a2");
	expect(world, "b", "100644 b2");
	expect_shown(world, "a", "a2");
	/* once more, from the same directories */
	assert_false(published(world, &world->bob, "/users/bob/d").changed);
	put(world, "/users/bob/d/b", "b3");
	published(world, &world->bob, "/users/bob/d");
	expect(world, "a", "100644 a2");
	expect(world, "b", "100644 b3");
}

/* As behind a server that died before it could mark the directory. */
static void a_copy_that_is_the_branch_knows_it_again(void **state)
{
	struct world *world = *state;
	struct loam_attr attr;
	first_version(world);
	clone_gate(world, &world->alice, "c");
	uint64_t ino = ino_of(world, "/users/alice/c", &attr);
	loam_auto_buf struct loam_buf base = LOAM_BUF(64);
	assert_ok(
		loam_meta_getxattr(world->tree->volume.meta, ino, LOAM_XATTR_COMMIT, &base, &err));
	put(world, "/users/alice/c/a", "a2");
	published(world, &world->alice, "/users/alice/c");
	assert_ok(loam_meta_setxattr(world->tree->volume.meta, &loam_who_root, ino,
				     LOAM_XATTR_COMMIT, base.data, base.bytes, 0, &err));
	assert_false(published(world, &world->alice, "/users/alice/c").changed);
	put(world, "/users/alice/c/a", "a3");
	assert_false(published(world, &world->alice, "/users/alice/c").merged);
	expect(world, "a", "100644 a3");
}

static void two_changes_of_one_file_lose_nothing_and_say_so(void **state)
{
	struct world *world = *state;
	first_version(world);
	clone_gate(world, &world->alice, "c");
	clone_gate(world, &world->bob, "d");
	put(world, "/users/alice/c/a", "alice's");
	put(world, "/users/bob/d/a", "bob's");
	published(world, &world->alice, "/users/alice/c");
	refused(world, &world->bob, "/users/bob/d", LOAM_E_CONFLICT,
		"since this copy was made: a.");
	loam_auto_free char *text = loam_tree_world_text(world->tree, "/users/bob/d/a");
	assert_string_equal(text, "bob's");
	expect_shown(world, "a", "alice's");
}

static void a_rewritten_branch_is_not_merged(void **state)
{
	struct world *world = *state;
	const struct loam_git_file other[] = { { "o", GIT_FILEMODE_BLOB, "o" }, { NULL, 0, NULL } };
	first_version(world);
	clone_gate(world, &world->alice, "c");
	git_oid tree = loam_git_tree(world->git, other);
	loam_git_commit(world->git, &tree, NULL, NULL, MAIN);
	put(world, "/users/alice/c/a", "a2");
	refused(world, &world->alice, "/users/alice/c", LOAM_E_CONFLICT, "was rewritten");
}

struct racer {
	struct world *world;
	const struct loam_principal *who;
	const char *path;
	int rc;
	pthread_t thread;
};

static void *race(void *arg)
{
	struct racer *racer = arg;
	struct loam_committed_dir out;
	struct loam_err err = { 0 };
	racer->rc = publish(racer->world, racer->who, racer->path, &out, &err);
	if (racer->rc == 0)
		loam_committed_dir_release(&out);
	else
		print_error("%s\n", err.text);
	return NULL;
}

static void two_at_once_both_stand(void **state)
{
	struct world *world = *state;
	struct racer racers[] = {
		{ .world = world, .who = &world->alice, .path = "/users/alice/c" },
		{ .world = world, .who = &world->bob, .path = "/users/bob/d" }
	};
	first_version(world);
	clone_gate(world, &world->alice, "c");
	clone_gate(world, &world->bob, "d");
	put(world, "/users/alice/c/a", "a2");
	put(world, "/users/bob/d/b", "b2");
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&racers[i].thread, NULL, race, &racers[i]), 0);
	for (int i = 0; i < 2; i++)
		pthread_join(racers[i].thread, NULL);
	assert_int_equal(racers[0].rc, 0);
	assert_int_equal(racers[1].rc, 0);
	expect(world, "a", "100644 a2");
	expect(world, "b", "100644 b2");
	expect_shown(world, "a", "a2");
	expect_shown(world, "b", "b2");
}

/* ---- what is refused ------------------------------------------------------------------------- */

static void what_the_account_may_not_read_is_not_published(void **state)
{
	struct world *world = *state;
	struct loam_attr attr = { .mode = 0600, .uid = 0, .gid = 0 };
	struct loam_attr changed;
	put(world, WORK "/d/mine", "x");
	refused(world, &world->bob, WORK, LOAM_E_DENIED, "you may not read this directory");
	uint64_t ino = ino_of(world, WORK "/d/mine", &changed);
	assert_ok(loam_meta_setattr(world->tree->volume.meta, &loam_who_root, ino,
				    LOAM_SET_MODE | LOAM_SET_UID | LOAM_SET_GID, &attr, &changed,
				    &err));
	refused(world, &world->alice, WORK, LOAM_E_DENIED, "you may not read d/mine");
	refused(world, &world->alice, "/.loam/etc", LOAM_E_DENIED, "you may not read");
	struct loam_principal token = world->alice;
	token.kind = LOAM_TOKEN;
	snprintf(token.only_repo, sizeof(token.only_repo), "models/qwen/tiny");
	refused(world, &token, WORK, LOAM_E_DENIED, "a token for one repository");
	struct loam_principal admin = { .kind = LOAM_ADMIN };
	refused(world, &admin, WORK, LOAM_E_DENIED, "log in");
	assert_ok(loam_repos_revoke(&world->tree->tree, &world->repo, LOAM_THE_USER(world->bob.uid),
				    &err));
	refused(world, &world->bob, "/users/bob", LOAM_E_NOT_FOUND, "");
}

static void names_and_pointers_are_held_to_the_rules_of_a_push(void **state)
{
	static const char *const names[] = { ".git", ".GIT", "git~1" };
	struct world *world = *state;
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(names); i++) {
		loam_auto_free char *dir = loam_xasprintf(WORK "/d/%s", names[i]);
		loam_auto_free char *path = loam_xasprintf("%s/config", dir);
		put(world, path, "x");
		refused(world, &world->alice, WORK, LOAM_E_INVALID, "hasDotgit");
		assert_ok(loam_files_remove(&world->tree->volume, dir, &err));
	}
	put(world, WORK "/p",
	    "version https://git-lfs.github.com/spec/v1\noid sha256:"
	    "4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 5\n");
	refused(world, &world->alice, WORK, LOAM_E_INVALID, "p is an LFS pointer");
}

/* A gate whose mask an official client has opened stays what it is. */
static void a_published_tree_is_a_source_and_never_marked(void **state)
{
	struct world *world = *state;
	struct loam_repo other =
		loam_tree_world_repo(world->tree, "qwen/other", world->alice.uid, LOAM_PRIVATE);
	struct loam_attr attr, open = { .mode = 0777 };
	first_version(world);
	loam_auto_buf struct loam_buf before = LOAM_BUF(64), after = LOAM_BUF(64);
	uint64_t ino = ino_of(world, GATE, &attr);
	assert_ok(loam_meta_getxattr(world->tree->volume.meta, ino, LOAM_XATTR_COMMIT, &before,
				     &err));
	assert_ok(loam_meta_setattr(world->tree->volume.meta, &loam_who_root, ino, LOAM_SET_MODE,
				    &open, &attr, &err));
	world->repo = other;
	assert_true(published(world, &world->alice, GATE).changed);
	assert_ok(
		loam_meta_getxattr(world->tree->volume.meta, ino, LOAM_XATTR_COMMIT, &after, &err));
	assert_string_equal(loam_buf_text(&before), loam_buf_text(&after));
	loam_auto_free char *text = loam_tree_world_text(world->tree, "/models/qwen/other/a");
	assert_string_equal(text, "a1");
}

static void the_locks_of_others_hold(void **state)
{
	struct world *world = *state;
	struct loam_lock lock;
	first_version(world);
	clone_gate(world, &world->alice, "c");
	assert_says(loam_lock_store_take(&world->tree->tree, &world->repo, "a", 1, &world->bob,
					 &lock, &err),
		    1);
	put(world, "/users/alice/c/b", "b2");
	published(world, &world->alice, "/users/alice/c");
	put(world, "/users/alice/c/a", "a2");
	refused(world, &world->alice, "/users/alice/c", LOAM_E_DENIED, "a is locked by bob");
	loam_lock_release(&lock);
}

static void another_directory_by_the_same_number_is_not_taken(void **state)
{
	struct world *world = *state;
	struct loam_committed_dir out;
	struct loam_attr attr;
	put(world, WORK "/a", "A");
	struct loam_commit_dir call = { .auth = world->tree->auth,
					.who = &world->alice,
					.repo = &world->repo,
					.ino = ino_of(world, WORK, &attr),
					.message = "m",
					.host = "h" };
	call.changed = attr.ctime;
	call.changed.tv_nsec ^= 1;
	assert_code(loam_commit_dir(world->publisher, &call, &out, &err), LOAM_E_AGAIN);
	call.changed = attr.ctime;
	call.ino = 123456789;
	assert_code(loam_commit_dir(world->publisher, &call, &out, &err), LOAM_E_DENIED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_directory_becomes_a_commit_as_git_add_would_make_it),
		TEST(the_commit_is_the_users),
		TEST(many_new_files_are_one_pack_and_few_are_none),
		TEST(an_ignored_file_that_is_published_stays),
		TEST(a_large_file_is_read_once_and_shares_its_slices_with_the_pool),
		TEST(what_is_written_behind_the_freezing_does_not_reach_the_pool),
		TEST(a_sparse_file_is_written_out),
		TEST(a_rule_of_gitattributes_gives_small_files_to_lfs),
		TEST(a_clone_is_known_by_its_slices),
		TEST(what_the_branch_did_meanwhile_is_kept),
		TEST(a_copy_that_is_the_branch_knows_it_again),
		TEST(two_changes_of_one_file_lose_nothing_and_say_so),
		TEST(a_rewritten_branch_is_not_merged),
		TEST(two_at_once_both_stand),
		TEST(what_the_account_may_not_read_is_not_published),
		TEST(names_and_pointers_are_held_to_the_rules_of_a_push),
		TEST(a_published_tree_is_a_source_and_never_marked),
		TEST(the_locks_of_others_hold),
		TEST(another_directory_by_the_same_number_is_not_taken),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
