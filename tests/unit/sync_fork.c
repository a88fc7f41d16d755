/*
 * sync/fork, sync/reachable and linking between repositories: a fork has the history, the tree and
 * the objects that its history names, and not a byte more is stored.
 */
#include "sync/fork.h"

#include "auth/gate.h"
#include "core/auto.h"
#include "fs/files.h"
#include "lfs/lfs.h"
#include "lfs/objects.h"
#include "lfs/staging.h"
#include "sync/git_dir.h"
#include "sync/publisher.h"
#include "tests/support/git_objects.h"
#include "tests/support/publish_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/volume.h"

#define MAIN "refs/heads/main"

struct world {
	struct loam_tree_world *tree;
	struct loam_publisher *publisher;
	struct loam_repo from, to;
	uint32_t alice, bob;
	git_repository *git;
};

static int setup(void **state)
{
	struct world *world = loam_xnew(struct world);
	struct loam_err err = { 0 };
	loam_tree_world_setup((void **)&world->tree);
	world->alice = loam_tree_world_user(world->tree, "alice");
	world->bob = loam_tree_world_user(world->tree, "bob");
	world->from = loam_tree_world_repo(world->tree, "qwen/tiny", world->alice, LOAM_PRIVATE);
	int rc = loam_repo_parse("bob/copy", &world->to, &err);
	if (rc == 0)
		rc = loam_publish_world_open(world->tree, &world->from, &world->publisher,
					     &world->git, &err);
	*state = world;
	return rc;
}

static int teardown(void **state)
{
	struct world *world = *state;
	loam_publisher_close(world->publisher);
	git_repository_free(world->git);
	loam_tree_world_teardown((void **)&world->tree);
	free(world);
	return 0;
}

static int allow(void *arg, uint64_t *out_gate_ino, struct loam_err *err)
{
	*out_gate_ino = *(uint64_t *)arg;
	return 0;
}

static uint64_t gate_of(struct world *world, const struct loam_repo *repo)
{
	char path[LOAM_PATH_BYTES_MAX];
	struct loam_attr attr;
	uint64_t ino;
	loam_tree_gate_path(&world->tree->tree, repo, path);
	assert_ok(loam_files_lookup(&world->tree->volume, path, &ino, &attr, &err));
	return ino;
}

/* Makes the first repository hold an object of this text; the pointer's text is free()'d. */
static char *upload(struct world *world, const char *text, char out_oid[LOAM_SHA256_HEX + 1])
{
	uint8_t digest[LOAM_SHA256_BYTES];
	struct loam_job *job = NULL;
	struct loam_writer *writer = NULL;
	uint64_t gate = gate_of(world, &world->from);
	enum loam_adopted adopted;
	loam_sha256_of(text, strlen(text), digest);
	loam_hex(digest, sizeof(digest), out_oid);
	struct loam_objects *objects = loam_objects_new(&world->tree->tree);
	struct loam_adoption adoption = { .repo = &world->from,
					  .oid = out_oid,
					  .bytes = strlen(text),
					  .gate_ino = gate,
					  .allow = allow,
					  .allow_arg = &gate };
	assert_ok(loam_job_new_file(world->publisher->staging, &job, &err));
	assert_ok(loam_writer_new(world->tree->volume.data, loam_job_ino(job), &writer, &err));
	assert_ok(loam_writer_add(writer, text, strlen(text), &err));
	assert_ok(loam_writer_finish(writer, &err));
	loam_writer_free(writer);
	assert_ok(loam_objects_adopt(objects, job, &adoption, &adopted, &err));
	loam_objects_free(objects);
	return loam_xasprintf(
		"version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize %zu\n", out_oid,
		strlen(text));
}

static bool holds(struct world *world, const struct loam_repo *repo, const char *oid)
{
	uint64_t ino, bytes;
	struct loam_err err = { 0 };
	int found = loam_lfs_holds(&world->tree->tree, repo, oid, &ino, &bytes, &err);
	assert_true(found >= 0);
	return found == 1;
}

static int count_block(void *arg, const struct loam_store_entry *entry, struct loam_err *err)
{
	uint64_t *bytes = arg;
	*bytes += entry->bytes;
	return 0;
}

static uint64_t stored(struct world *world)
{
	uint64_t bytes = 0;
	struct loam_store *store = world->tree->volume.store;
	assert_ok(store->ops->list(store, "", count_block, &bytes, &err));
	return bytes;
}

static void a_fork_has_history_tree_and_objects_and_stores_nothing(void **state)
{
	struct world *world = *state;
	char shown[LOAM_SHA256_HEX + 1], old[LOAM_SHA256_HEX + 1], loose[LOAM_SHA256_HEX + 1];
	struct loam_published published;
	struct loam_forked forked;
	struct loam_fork fork = { .from = &world->from,
				  .to = &world->to,
				  .owner = { .id = world->bob } };
	loam_auto_free char *shown_pointer = upload(world, "what is shown", shown);
	loam_auto_free char *old_pointer = upload(world, "what was shown", old);
	loam_auto_free char *loose_pointer = upload(world, "what no commit names", loose);
	const struct loam_git_file first[] = { { "d/x.bin", GIT_FILEMODE_BLOB, old_pointer },
					       { NULL, 0, NULL } };
	const struct loam_git_file second[] = { { "d/x.bin", GIT_FILEMODE_BLOB, shown_pointer },
						{ "link", GIT_FILEMODE_LINK, loose_pointer },
						{ NULL, 0, NULL } };
	git_oid commit = loam_git_push(world->git, MAIN, first);
	git_oid tip = loam_git_push(world->git, MAIN, second);
	git_reference *tag = NULL;
	assert_int_equal(git_reference_create(&tag, world->git, "refs/tags/v1", &commit, false,
					      NULL),
			 0);
	git_reference_free(tag);
	assert_ok(loam_publish(world->publisher, &world->from, &published, &err));
	loam_published_release(&published);
	uint64_t before = stored(world);

	assert_ok(loam_repo_fork(world->publisher, &fork, &forked, &err));
	assert_int_equal(forked.refs, 2);
	assert_int_equal(forked.objects, 2);
	assert_string_equal(forked.published.commit, git_oid_tostr_s(&tip));
	loam_forked_release(&forked);
	/* the small file of the tree (a link's text) is packed anew, nothing else */
	assert_true(stored(world) <= before + strlen(loose_pointer));
	assert_true(holds(world, &world->to, shown));
	assert_true(holds(world, &world->to, old));
	assert_false(holds(world, &world->to, loose));
	loam_auto_free char *text = loam_tree_world_text(world->tree, "/models/bob/copy/d/x.bin");
	assert_string_equal(text, "what is shown");

	char path[LOAM_PATH_BYTES_MAX];
	git_repository *git = NULL;
	git_oid got;
	assert_ok(loam_git_dir(world->publisher, &world->to, path, &err));
	assert_ok(loam_git_open(path, &git, &err));
	assert_int_equal(git_reference_name_to_id(&got, git, "refs/tags/v1"), 0);
	assert_true(git_oid_equal(&got, &commit));
	git_repository_free(git);

	/* both live on their own: the source goes, the fork stays */
	loam_tree_gate_path(&world->tree->tree, &world->from, path);
	assert_ok(loam_files_remove(&world->tree->volume, path, &err));
	assert_ok(loam_lfs_drop_repo(&world->tree->tree, &world->from, &err));
	loam_auto_free char *still = loam_tree_world_text(world->tree, "/models/bob/copy/d/x.bin");
	assert_string_equal(still, "what is shown");
	assert_true(holds(world, &world->to, shown));
}

static void an_empty_repository_can_be_forked(void **state)
{
	struct world *world = *state;
	struct loam_forked forked;
	struct loam_fork fork = { .from = &world->from,
				  .to = &world->to,
				  .owner = { .id = world->bob },
				  .visibility = LOAM_PUBLIC };
	assert_ok(loam_repo_fork(world->publisher, &fork, &forked, &err));
	assert_int_equal(forked.refs, 0);
	loam_forked_release(&forked);
	assert_int_equal(loam_tree_world_entries(world->tree, "/models/bob/copy"), 0);
}

/* Counts down; at 0 the right is gone. */
static int allow_some(void *arg, struct loam_err *err)
{
	unsigned *left = arg;
	return (*left)-- ? 0 : loam_fail(err, LOAM_E_NOT_FOUND, "no repository for you");
}

static void a_right_that_goes_meanwhile_ends_the_fork(void **state)
{
	struct world *world = *state;
	struct loam_forked forked;
	const struct loam_git_file files[] = { { "x", GIT_FILEMODE_BLOB, "text" },
					       { NULL, 0, NULL } };
	loam_git_push(world->git, MAIN, files);
	for (unsigned asked = 0; asked <= 2; asked++) {
		unsigned left = asked;
		struct loam_gate gate;
		struct loam_fork fork = { .from = &world->from,
					  .to = &world->to,
					  .owner = { .id = world->bob },
					  .allow = allow_some,
					  .allow_arg = &left };
		if (asked < 2) {
			assert_code(loam_repo_fork(world->publisher, &fork, &forked, &err),
				    LOAM_E_NOT_FOUND);
			assert_int_equal(loam_gate_read(&world->tree->tree, &world->to, &gate,
							&(struct loam_err){ 0 }),
					 0);
			continue;
		}
		assert_ok(loam_repo_fork(world->publisher, &fork, &forked, &err));
		loam_forked_release(&forked);
	}
}

static void a_failed_fork_leaves_nothing(void **state)
{
	struct world *world = *state;
	struct loam_forked forked;
	struct loam_fork fork = { .from = &world->from,
				  .to = &world->to,
				  .owner = { .id = world->bob } };
	const struct loam_git_file broken[] = {
		{ "x", GIT_FILEMODE_BLOB,
		  "version https://git-lfs.github.com/spec/v1\noid sha256:"
		  "4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 5\n" },
		{ NULL, 0, NULL }
	};
	loam_git_push(world->git, MAIN, broken);
	assert_code(loam_repo_fork(world->publisher, &fork, &forked, &err), LOAM_E_NOT_FOUND);
	struct loam_gate gate;
	struct loam_err none = { 0 };
	assert_int_equal(loam_gate_read(&world->tree->tree, &world->to, &gate, &none), 0);
	/* and what is there is not touched */
	struct loam_fork onto = { .from = &world->from,
				  .to = &world->from,
				  .owner = { .id = world->alice } };
	assert_code(loam_repo_fork(world->publisher, &onto, &forked, &err), LOAM_E_EXISTS);
	assert_int_equal(loam_gate_read(&world->tree->tree, &world->from, &gate, &none), 1);
	loam_gate_release(&gate);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_fork_has_history_tree_and_objects_and_stores_nothing),
		TEST(an_empty_repository_can_be_forked),
		TEST(a_right_that_goes_meanwhile_ends_the_fork),
		TEST(a_failed_fork_leaves_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
