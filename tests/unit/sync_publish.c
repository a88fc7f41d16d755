/*
 * sync/publish: commits become live trees, in one transaction, whatever came before (design.md
 * §2.3, §2.4). Every test ends with a recount of the volume and an empty staging directory.
 */
#include "sync/publish.h"

#include "auth/gate.h"
#include "core/auto.h"
#include "core/clock.h"
#include "core/hash.h"
#include "fs/files.h"
#include "lfs/staging.h"
#include "sync/git_dir.h"
#include "sync/swap.h"
#include "tests/support/git_objects.h"
#include "tests/support/publish_world.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/volume.h"

#define FILE_ GIT_FILEMODE_BLOB
#define EXEC  GIT_FILEMODE_BLOB_EXECUTABLE
#define LINK  GIT_FILEMODE_LINK
#define SUB   GIT_FILEMODE_COMMIT
#define MAIN  "refs/heads/main"
#define GATE  "/models/qwen/tiny"

typedef struct loam_git_file files[];

struct world {
	struct loam_tree_world *tree;
	struct loam_publisher *publisher;
	struct loam_repo repo;
	git_repository *git;
};

static int setup(void **state)
{
	struct world *world = loam_xnew(struct world);
	struct loam_err err = { 0 };
	loam_tree_world_setup((void **)&world->tree);
	uint32_t uid = loam_tree_world_user(world->tree, "alice");
	world->repo = loam_tree_world_repo(world->tree, "qwen/tiny", uid, LOAM_PRIVATE);
	int rc = loam_publish_world_open(world->tree, &world->repo, &world->publisher, &world->git,
					 &err);
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
	free(world);
	return 0;
}

/* ---- looking at what is shown ------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void show_entry(struct world *world, const char *path, const struct loam_dir_entry *entry,
		       char **out, uint64_t *file_count, uint64_t *bytes);

static void show_dir(struct world *world, const char *path, uint64_t ino, struct loam_buf *out,
		     uint64_t *file_count, uint64_t *bytes)
{
	struct loam_dir *dir = NULL;
	assert_ok(loam_meta_opendir(world->tree->volume.meta, ino, true, &dir, &err));
	size_t count = loam_dir_count(dir);
	char **lines = loam_xcalloc(count, sizeof(*lines));
	for (size_t i = 0; i < count; i++)
		show_entry(world, path, loam_dir_at(dir, i), &lines[i], file_count, bytes);
	loam_dir_close(dir);
	qsort(lines, count, sizeof(*lines), compare);
	for (size_t i = 0; i < count; i++) {
		assert_ok(loam_buf_add_text(out, lines[i], &err));
		free(lines[i]);
	}
	free(lines);
}

/* "path mode=text\n"; a directory brings its own lines behind it. */
static void show_entry(struct world *world, const char *path, const struct loam_dir_entry *entry,
		       char **out, uint64_t *file_count, uint64_t *bytes)
{
	const struct loam_attr *attr = &entry->attr;
	loam_auto_free char *name =
		loam_xasprintf("%s%.*s", path, (int)entry->name.bytes, entry->name.data);
	loam_auto_buf struct loam_buf text = LOAM_BUF(128u << 20);
	assert_true(entry->has_attr);
	assert_int_equal(attr->uid, LOAM_SERVICE_ID);
	assert_int_equal(attr->type, entry->dentry.type);
	if (attr->type == LOAM_TYPE_DIR) {
		loam_auto_free char *below = loam_xasprintf("%s/", name);
		show_dir(world, below, entry->dentry.ino, &text, file_count, bytes);
		*out = loam_xasprintf("%s/ %o\n%s", name, attr->mode, loam_buf_text(&text));
		return;
	}
	if (attr->type == LOAM_TYPE_SYMLINK)
		assert_ok(loam_meta_readlink(world->tree->volume.meta, entry->dentry.ino, &text,
					     &err));
	else
		assert_ok(
			loam_files_read_ino(&world->tree->volume, entry->dentry.ino, &text, &err));
	assert_int_equal(text.bytes, attr->length);
	(*file_count)++;
	*bytes += attr->length;
	*out = loam_xasprintf("%s %s%o=%.40s\n", name,
			      attr->type == LOAM_TYPE_SYMLINK ? "link " : "", attr->mode,
			      loam_buf_text(&text));
}

static uint64_t gate_ino(struct world *world)
{
	struct loam_attr attr;
	uint64_t ino;
	assert_ok(loam_files_lookup(&world->tree->volume, GATE, &ino, &attr, &err));
	return ino;
}

/* The whole tree as text, and the totals of the gate counted again. */
static void expect_shown(struct world *world, const char *expected)
{
	loam_auto_buf struct loam_buf text = LOAM_BUF(16u << 20);
	uint64_t file_count = 0, bytes = 0;
	struct loam_gate_state state;
	show_dir(world, "", gate_ino(world), &text, &file_count, &bytes);
	if (expected)
		assert_string_equal(loam_buf_text(&text), expected);
	assert_ok(loam_gate_state_read(&world->tree->tree, &world->repo, &state, &err));
	assert_true(state.has_totals);
	assert_int_equal(state.files, file_count);
	assert_int_equal(state.bytes, bytes);
}

static void expect_commit(struct world *world, const git_oid *commit)
{
	struct loam_gate_state state;
	char text[GIT_OID_HEXSZ + 1] = "";
	if (commit)
		git_oid_tostr(text, sizeof(text), commit);
	assert_ok(loam_gate_state_read(&world->tree->tree, &world->repo, &state, &err));
	assert_string_equal(state.commit, text);
}

/* Publishes; changed or not, all that was told fits the gate. */
static void publish(struct world *world, bool changed)
{
	struct loam_published published;
	assert_ok(loam_publish(world->publisher, &world->repo, &published, &err));
	assert_int_equal(published.changed, changed);
	struct loam_gate_state state;
	assert_ok(loam_gate_state_read(&world->tree->tree, &world->repo, &state, &err));
	assert_string_equal(published.commit, state.commit);
	assert_int_equal(published.files, state.files);
	assert_int_equal(published.bytes, state.bytes);
	loam_published_release(&published);
}

static git_oid push_and_publish(struct world *world, const struct loam_git_file *list)
{
	git_oid commit = loam_git_push(world->git, MAIN, list);
	publish(world, true);
	expect_commit(world, &commit);
	return commit;
}

/* The next publish knows no totals, so it builds a whole new gate. */
static void forget_totals(struct world *world)
{
	assert_ok(loam_meta_removexattr(world->tree->volume.meta, &loam_who_root, gate_ino(world),
					LOAM_XATTR_TOTALS, &err));
}

static int count_block(void *arg, const struct loam_store_entry *entry, struct loam_err *err)
{
	*(uint64_t *)arg += entry->bytes;
	return 0;
}

/* What was replaced is removed behind the publish; then everything adds up. */
static void settle(struct world *world)
{
	while (loam_tree_world_entries(world->tree, "/.loam/staging") > 0)
		loam_clock_sleep_ms(5);
	loam_tree_world_recount(world->tree);
}

static uint64_t stored_bytes(struct world *world)
{
	uint64_t bytes = 0;
	struct loam_store *store = world->tree->volume.store;
	settle(world);
	assert_ok(store->ops->list(store, "", count_block, &bytes, &err));
	return bytes;
}

/* ---- trees -------------------------------------------------------------------------------- */

static const struct loam_git_file first[] = {
	{ "README", FILE_, "hello" }, { "bin/run", EXEC, "#!/bin/sh\n" },
	{ "d/e/f", FILE_, "deep" },   { "d/g", FILE_, "" },
	{ "link", LINK, "d/e/f" },    { NULL, 0, NULL },
};
#define FIRST_SHOWN                                                     \
	"README 444=hello\nbin/ 555\nbin/run 555=#!/bin/sh\n\nd/ 555\n" \
	"d/e/ 555\nd/e/f 444=deep\nd/g 444=\nlink link 777=d/e/f\n"

static void a_first_commit_is_shown_whole_and_read_only(void **state)
{
	struct world *world = *state;
	expect_shown(world, "");
	push_and_publish(world, first);
	expect_shown(world, FIRST_SHOWN);
	publish(world, false);
}

static void only_what_changed_is_replaced(void **state)
{
	struct world *world = *state;
	push_and_publish(world, first);
	uint64_t gate = gate_ino(world);
	struct loam_attr attr;
	uint64_t kept, dir, now;
	assert_ok(loam_files_lookup(&world->tree->volume, GATE "/d/g", &kept, &attr, &err));
	assert_ok(loam_files_lookup(&world->tree->volume, GATE "/d", &dir, &attr, &err));
	const files second = { { "bin/run", FILE_, "#!/bin/sh\n" },
			       { "d/e", FILE_, "was a directory" },
			       { "d/g", FILE_, "" },
			       { "d/new/x/y", FILE_, "added" },
			       { "link/now", FILE_, "a directory" },
			       { "READ", FILE_, "hello" },
			       { NULL, 0, NULL } };
	push_and_publish(world, second);
	expect_shown(world, "READ 444=hello\nbin/ 555\nbin/run 444=#!/bin/sh\n\nd/ 555\n"
			    "d/e 444=was a directory\nd/g 444=\nd/new/ 555\nd/new/x/ 555\n"
			    "d/new/x/y 444=added\nlink/ 555\nlink/now 444=a directory\n");
	assert_int_equal(gate_ino(world), gate);
	assert_ok(loam_files_lookup(&world->tree->volume, GATE "/d/g", &now, &attr, &err));
	assert_int_equal(now, kept);
	assert_ok(loam_files_lookup(&world->tree->volume, GATE "/d", &now, &attr, &err));
	assert_int_equal(now, dir);
	settle(world);
	push_and_publish(world, first);
	expect_shown(world, FIRST_SHOWN);
}

static void a_whole_new_gate_keeps_grants_and_marks(void **state)
{
	struct world *world = *state;
	push_and_publish(world, first);
	assert_ok(loam_repos_grant(&world->tree->tree, &world->repo, LOAM_THE_USER(40001),
				   LOAM_WANT_ADMIN, &err));
	assert_ok(loam_repos_set_visibility(&world->tree->tree, &world->repo, LOAM_PUBLIC, &err));
	struct loam_gate before, after;
	struct loam_err none = { 0 };
	assert_int_equal(loam_gate_read(&world->tree->tree, &world->repo, &before, &none), 1);
	forget_totals(world);
	const files second = { { "only", FILE_, "this" }, { NULL, 0, NULL } };
	push_and_publish(world, second);
	expect_shown(world, "only 444=this\n");
	assert_int_equal(loam_gate_read(&world->tree->tree, &world->repo, &after, &none), 1);
	assert_int_not_equal(before.ino, after.ino);
	assert_int_equal(before.attr.mode, after.attr.mode);
	assert_int_equal(before.attr.access_acl, after.attr.access_acl);
	assert_true(after.anonymous_read);
	assert_int_equal(after.admin_count, 1);
	loam_gate_release(&before);
	loam_gate_release(&after);
	publish(world, false);
}

static void five_thousand_and_one_changes_take_a_new_gate(void **state)
{
	struct world *world = *state;
	static struct loam_git_file many[5002];
	static char names[5001][16];
	for (int i = 0; i < 5001; i++) {
		snprintf(names[i], sizeof(names[i]), "f%04d", i);
		many[i] = (struct loam_git_file){ names[i], FILE_, i % 2 ? "odd" : "even" };
	}
	many[5000].path = NULL;
	uint64_t gate = gate_ino(world);
	push_and_publish(world, many);
	assert_int_equal(gate_ino(world), gate);
	expect_shown(world, NULL);
	const files few = { { "x", FILE_, "x" }, { NULL, 0, NULL } };
	push_and_publish(world, few);
	assert_int_not_equal(gate_ino(world), gate);
	expect_shown(world, "x 444=x\n");
}

static void a_forced_push_of_another_history_is_shown(void **state)
{
	struct world *world = *state;
	push_and_publish(world, first);
	const files other = { { "README", FILE_, "other" },
			      { "z", FILE_, "z" },
			      { NULL, 0, NULL } };
	git_oid tree = loam_git_tree(world->git, other);
	git_oid commit = loam_git_commit(world->git, &tree, NULL, NULL, MAIN);
	publish(world, true);
	expect_commit(world, &commit);
	expect_shown(world, "README 444=other\nz 444=z\n");
}

static void an_old_tree_that_git_has_pruned_does_not_stop_a_publish(void **state)
{
	struct world *world = *state;
	push_and_publish(world, first);
	const files other = { { "d/new", FILE_, "x" }, { NULL, 0, NULL } };
	const files inner = { { "e/f", FILE_, "deep" }, { "g", FILE_, "" }, { NULL, 0, NULL } };
	git_oid pruned = loam_git_tree(world->git, inner); /* "d" of the first commit */
	char hex[GIT_OID_HEXSZ + 1];
	git_oid_tostr(hex, sizeof(hex), &pruned);
	loam_auto_free char *path = loam_xasprintf("%s/models/qwen/tiny.git/objects/%.2s/%s",
						   world->tree->dir, hex, hex + 2);
	assert_int_equal(unlink(path), 0);
	git_repository_free(world->git);
	char bare[LOAM_PATH_BYTES_MAX];
	assert_ok(loam_git_dir(world->publisher, &world->repo, bare, &err));
	assert_ok(loam_git_open(bare, &world->git, &err));
	push_and_publish(world, other);
	expect_shown(world, "d/ 555\nd/new 444=x\n");
}

static void a_deleted_branch_empties_the_tree(void **state)
{
	struct world *world = *state;
	push_and_publish(world, first);
	git_reference *branch = NULL;
	assert_int_equal(git_reference_lookup(&branch, world->git, MAIN), 0);
	assert_int_equal(git_reference_delete(branch), 0);
	git_reference_free(branch);
	const files other = { { "x", FILE_, "x" }, { NULL, 0, NULL } };
	loam_git_push(world->git, "refs/heads/other", other);
	publish(world, true);
	expect_commit(world, NULL);
	expect_shown(world, "");
	publish(world, false);
	push_and_publish(world, first);
	expect_shown(world, FIRST_SHOWN);
}

static void expect_first(struct world *world, const char *const *branches, const char *named,
			 const char *head)
{
	for (; *branches; branches++) {
		const files list = { { "branch", FILE_, *branches }, { NULL, 0, NULL } };
		loam_git_push(world->git, *branches, list);
	}
	struct loam_published published;
	assert_ok(loam_publish_first(world->publisher, &world->repo, named, &published, &err));
	assert_true(published.changed);
	loam_published_release(&published);
	loam_auto_free char *text = loam_tree_world_text(world->tree, GATE "/branch");
	assert_string_equal(text, head);
	git_reference *moved = NULL;
	assert_int_equal(git_reference_lookup(&moved, world->git, "HEAD"), 0);
	assert_string_equal(git_reference_symbolic_target(moved), head);
	git_reference_free(moved);
}

static void the_first_push_of_main_keeps_head(void **state)
{
	const char *const branches[] = { "refs/heads/a", MAIN, "refs/heads/master", NULL };
	expect_first(*state, branches, "refs/heads/a", MAIN);
}

static void without_main_head_moves_to_master(void **state)
{
	const char *const branches[] = { "refs/heads/a", "refs/heads/master", NULL };
	expect_first(*state, branches, "refs/heads/a", "refs/heads/master");
}

static void else_to_the_branch_named_first_in_the_push(void **state)
{
	const char *const branches[] = { "refs/heads/a", "refs/heads/b", "refs/tags/c", NULL };
	expect_first(*state, branches, "refs/heads/b", "refs/heads/b");
}

static void else_to_the_first_by_name(void **state)
{
	const char *const branches[] = { "refs/heads/b", "refs/heads/a", NULL };
	expect_first(*state, branches, NULL, "refs/heads/a");
}

static void a_push_without_branches_shows_nothing(void **state)
{
	struct world *world = *state;
	loam_git_push(world->git, "refs/tags/v1", first);
	publish(world, false);
	expect_shown(world, "");
}

static void a_blob_met_twice_is_stored_once(void **state)
{
	struct world *world = *state;
	const size_t bytes = 300000;
	loam_auto_free char *text = loam_xcalloc(bytes + 1, 1);
	memset(text, 'x', bytes);
	const files list = { { "a", FILE_, text },   { "b", FILE_, text },
			     { "d/c", EXEC, text },  { "d/e", FILE_, "small" },
			     { "d/f", FILE_, text }, { NULL, 0, NULL } };
	push_and_publish(world, list);
	expect_shown(world, NULL);
	assert_in_range(stored_bytes(world), bytes, bytes + 1000);
	const files less = { { "d/f", FILE_, text }, { NULL, 0, NULL } };
	push_and_publish(world, less);
	assert_in_range(stored_bytes(world), bytes, bytes + 1000);
	push_and_publish(world, first);
	assert_true(stored_bytes(world) < 1000);
}

static void a_blob_over_a_chunk_spans_two(void **state)
{
	struct world *world = *state;
	const size_t bytes = (65u << 20) + 7;
	loam_auto_free char *data = loam_xcalloc(bytes + 1, 1);
	for (size_t i = 0; i < bytes; i++)
		data[i] = (char)('a' + (i >> 16) % 26);
	const files list = { { "a", FILE_, "in front" },
			     { "big", FILE_, data },
			     { "copy", EXEC, data },
			     { "z", FILE_, "behind" },
			     { NULL, 0, NULL } };
	push_and_publish(world, list);
	expect_shown(world, NULL);
	static const char *const paths[] = { GATE "/big", GATE "/copy" };
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(paths); i++) {
		loam_auto_free char *read = loam_tree_world_text(world->tree, paths[i]);
		assert_non_null(read);
		assert_int_equal(strlen(read), bytes);
		assert_memory_equal(read, data, bytes);
	}
	loam_auto_free char *behind = loam_tree_world_text(world->tree, GATE "/z");
	assert_string_equal(behind, "behind");
	assert_in_range(stored_bytes(world), bytes, bytes + 1000);
}

/* An object in the pool, held by the repository, as an upload leaves it. */
static void hold(struct world *world, const char *data, char oid[LOAM_SHA256_HEX + 1])
{
	struct loam_volume *volume = &world->tree->volume;
	uint8_t digest[LOAM_SHA256_BYTES];
	char path[LOAM_PATH_BYTES_MAX];
	struct loam_attr attr;
	uint64_t ino, dir;
	loam_sha256_of(data, strlen(data), digest);
	loam_hex(digest, sizeof(digest), oid);
	loam_tree_pool_path(&world->tree->tree, oid, path);
	*strrchr(path, '/') = '\0';
	assert_ok(loam_files_mkdirs(volume, path, LOAM_SERVICE_ID, LOAM_SERVICE_ID, 0700,
				    LOAM_FLAG_SKIP_TRASH, &dir, &err));
	loam_tree_pool_path(&world->tree->tree, oid, path);
	assert_ok(loam_files_write(volume, path, LOAM_SERVICE_ID, LOAM_SERVICE_ID, 0400, data,
				   strlen(data), &err));
	assert_ok(loam_files_lookup(volume, path, &ino, &attr, &err));
	assert_ok(loam_meta_setxattr(volume->meta, &loam_who_root, ino, LOAM_XATTR_OID, oid,
				     LOAM_SHA256_HEX, 0, &err));
	loam_tree_links_path(&world->tree->tree, &world->repo, path);
	assert_ok(loam_files_mkdirs(volume, path, LOAM_SERVICE_ID, LOAM_SERVICE_ID, 0700,
				    LOAM_FLAG_SKIP_TRASH, &dir, &err));
	assert_ok(loam_meta_link(volume->meta, &loam_who_root, ino, dir, loam_name_of(oid), &attr,
				 &err));
}

static char *pointer_text(const char *oid, size_t bytes)
{
	return loam_xasprintf("version https://git-lfs.github.com/spec/v1\noid sha256:%s\n"
			      "size %zu\n",
			      oid, bytes);
}

static void a_pointer_is_shown_as_its_object(void **state)
{
	struct world *world = *state;
	char oid[LOAM_SHA256_HEX + 1];
	hold(world, "the weights", oid);
	uint64_t before = stored_bytes(world);
	loam_auto_free char *pointer = pointer_text(oid, strlen("the weights"));
	const files list = { { "a", FILE_, pointer },
			     { "d/b", EXEC, pointer },
			     { "plain", FILE_, "x" },
			     { NULL, 0, NULL } };
	push_and_publish(world, list);
	expect_shown(world, "a 444=the weights\nd/ 555\nd/b 555=the weights\nplain 444=x\n");
	assert_int_equal(stored_bytes(world), before + 1);
	struct loam_attr attr;
	uint64_t ino;
	loam_auto_buf struct loam_buf held = LOAM_BUF(100);
	assert_ok(loam_files_lookup(&world->tree->volume, GATE "/d/b", &ino, &attr, &err));
	assert_ok(loam_meta_getxattr(world->tree->volume.meta, ino, LOAM_XATTR_OID, &held, &err));
	assert_string_equal(loam_buf_text(&held), oid);
	push_and_publish(world, first);
	expect_shown(world, FIRST_SHOWN);
}

static void a_missing_object_or_another_size_leaves_the_old_tree(void **state)
{
	struct world *world = *state;
	char oid[LOAM_SHA256_HEX + 1];
	hold(world, "the weights", oid);
	git_oid shown = push_and_publish(world, first);
	loam_auto_free char *wrong = pointer_text(oid, 5);
	oid[0] = oid[0] == 'a' ? 'b' : 'a';
	loam_auto_free char *missing = pointer_text(oid, 11);
	const char *const pointers[] = { wrong, missing };
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(pointers); i++) {
		const files list = { { "model.bin", FILE_, pointers[i] },
				     { "new", FILE_, "x" },
				     { NULL, 0, NULL } };
		loam_git_push(world->git, MAIN, list);
		struct loam_published published;
		struct loam_err lost = { 0 };
		assert_int_equal(loam_publish(world->publisher, &world->repo, &published, &lost),
				 -LOAM_E_NOT_FOUND);
		assert_non_null(strstr(lost.text, "model.bin"));
		expect_commit(world, &shown);
		expect_shown(world, FIRST_SHOWN);
	}
}

static void an_empty_object_needs_no_upload(void **state)
{
	struct world *world = *state;
	loam_auto_free char *pointer =
		pointer_text("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", 0);
	const files list = { { "empty", FILE_, pointer }, { NULL, 0, NULL } };
	push_and_publish(world, list);
	expect_shown(world, "empty 444=\n");
}

static void what_may_not_stand_on_the_mount_is_said(void **state)
{
	struct world *world = *state;
	const files list = { { "away", LINK, "../../etc/passwd" },
			     { "d/up", LINK, "../README" },
			     { "module", SUB, NULL },
			     { "root", LINK, "/etc/passwd" },
			     { NULL, 0, NULL } };
	loam_git_push(world->git, MAIN, list);
	struct loam_published published;
	assert_ok(loam_publish(world->publisher, &world->repo, &published, &err));
	const char *notes = loam_buf_text(&published.notes);
	assert_non_null(strstr(notes, "away is a link that leads out"));
	assert_non_null(strstr(notes, "left out: module"));
	assert_non_null(strstr(notes, "root is a link"));
	assert_null(strstr(notes, "d/up"));
	loam_published_release(&published);
	expect_shown(world, "away 444=../../etc/passwd\nd/ 555\nd/up link 777=../README\n"
			    "root 444=/etc/passwd\n");
	push_and_publish(world, first);
	expect_shown(world, FIRST_SHOWN);
}

static void two_thousand_notes_do_not_stop_a_publish(void **state)
{
	struct world *world = *state;
	static struct loam_git_file many[2001];
	static char names[2000][16];
	for (int i = 0; i < 2000; i++) {
		snprintf(names[i], sizeof(names[i]), "link%04d", i);
		many[i] = (struct loam_git_file){ names[i], LINK, "/etc" };
	}
	many[2000].path = NULL;
	push_and_publish(world, many);
	expect_shown(world, NULL);
}

/* ---- others -------------------------------------------------------------------------------- */

static void a_live_tree_that_somebody_changed_is_built_anew(void **state)
{
	struct world *world = *state;
	push_and_publish(world, first);
	assert_ok(loam_files_remove(&world->tree->volume, GATE "/d", &err));
	assert_ok(loam_files_write(&world->tree->volume, GATE "/d", LOAM_SERVICE_ID,
				   LOAM_SERVICE_ID, 0444, "not a directory", 15, &err));
	const files second = { { "d/e/f", FILE_, "changed" },
			       { "d/g", FILE_, "" },
			       { NULL, 0, NULL } };
	uint64_t gate = gate_ino(world);
	push_and_publish(world, second);
	assert_int_not_equal(gate_ino(world), gate);
	expect_shown(world, "d/ 555\nd/e/ 555\nd/e/f 444=changed\nd/g 444=\n");
}

static void a_changed_entry_is_replaced_whatever_stands_there(void **state)
{
	struct world *world = *state;
	push_and_publish(world, first);
	uint64_t ino;
	assert_ok(loam_files_remove(&world->tree->volume, GATE "/README", &err));
	assert_ok(loam_files_mkdirs(&world->tree->volume, GATE "/README/below", 0, 0, 0755, 0, &ino,
				    &err));
	assert_ok(loam_files_remove(&world->tree->volume, GATE "/link", &err));
	const files second = { { "README", FILE_, "second" }, { NULL, 0, NULL } };
	push_and_publish(world, second);
	expect_shown(world, "README 444=second\n");
}

/* A publisher that was held up comes to its transaction while a sweep empties its job. */
static void a_job_that_is_being_swept_is_not_published(void **state)
{
	struct world *world = *state;
	struct loam_meta *meta = world->tree->tree.volume->meta;
	struct loam_staging *staging;
	struct loam_job *job;
	struct loam_gate_state gate;
	struct loam_attr none = { .mode = 0 }, attr;
	push_and_publish(world, first);
	assert_ok(loam_gate_state_read(&world->tree->tree, &world->repo, &gate, &err));
	assert_ok(loam_staging_open(&world->tree->tree, 3600, &staging, &err));
	assert_ok(loam_job_new(staging, &job, &err));
	assert_ok(loam_meta_setattr(meta, &loam_who_root, loam_job_ino(job), LOAM_SET_MODE, &none,
				    &attr, &err)); /* as a sweep begins */
	char name[] = "README", none_above[] = "";
	struct loam_change remove = { .kind = LOAM_CHANGE_REMOVE, .name = name };
	struct loam_change_dir top = { .name = none_above, .ino = gate.ino };
	struct loam_changes changes = {
		.dirs = &top, .dir_count = 1, .changes = &remove, .change_count = 1
	};
	struct loam_gate_next next = { .commit = "", .job_ino = loam_job_ino(job) };
	struct loam_err refused = { 0 };
	assert_int_equal(loam_swap_entries(meta, &gate, &changes, &next, &refused),
			 -LOAM_E_CONFLICT);
	loam_err_clear(&refused);
	assert_int_equal(loam_swap_gate(meta, &gate, &next, &refused), -LOAM_E_CONFLICT);
	expect_shown(world, FIRST_SHOWN);
	loam_job_free(job);
	loam_staging_close(staging);
}

struct rival {
	struct world *world;
	struct loam_publisher *publisher;
};

static atomic_bool stop;

static void *publish_again(void *arg)
{
	struct rival *rival = arg;
	while (!stop) {
		struct loam_published published;
		struct loam_err err = { 0 };
		int rc = loam_publish(rival->publisher, &rival->world->repo, &published, &err);
		if (rc < 0)
			print_error("%s\n", err.text);
		loam_assert(rc == 0);
		loam_published_release(&published);
	}
	return NULL;
}

static void two_publishers_never_show_a_mixture(void **state)
{
	struct world *world = *state;
	struct rival rivals[2] = { { world, world->publisher }, { world, NULL } };
	pthread_t threads[2];
	assert_ok(loam_publisher_open(&world->tree->tree, world->tree->config, NULL,
				      world->tree->dir, &rivals[1].publisher, &err));
	stop = false;
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, publish_again, &rivals[i]), 0);
	for (int round = 0; round < 40; round++) {
		char text[16];
		snprintf(text, sizeof(text), "%d", round);
		const files list = { { "a", FILE_, text },
				     { round % 2 ? "d/x" : "d", FILE_, text },
				     { "e/f/g", FILE_, text },
				     { NULL, 0, NULL } };
		loam_git_push(world->git, MAIN, list);
	}
	stop = true;
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	struct loam_published published;
	assert_ok(loam_publish(world->publisher, &world->repo, &published, &err));
	loam_published_release(&published);
	loam_publisher_close(rivals[1].publisher);
	expect_shown(world, "a 444=39\nd/ 555\nd/x 444=39\ne/ 555\ne/f/ 555\ne/f/g 444=39\n");
}

static void *grant_and_revoke(void *arg)
{
	struct world *world = arg;
	for (uint32_t i = 0; !stop && i < 400; i++) {
		struct loam_err err = { 0 };
		int rc = loam_repos_grant(&world->tree->tree, &world->repo,
					  LOAM_THE_USER(40000 + i), LOAM_WANT_READ, &err);
		if (rc == 0 && i % 2)
			rc = loam_repos_revoke(&world->tree->tree, &world->repo,
					       LOAM_THE_USER(40000 + i), &err);
		if (rc < 0)
			print_error("change %u: %s\n", i, err.text);
		loam_assert(rc == 0);
	}
	return NULL;
}

/* Each publish puts a new gate under the name; no change of rights is lost with the old one. */
static void grants_made_while_gates_are_swapped_hold_on_the_last_one(void **state)
{
	struct world *world = *state;
	pthread_t thread;
	stop = false;
	assert_int_equal(pthread_create(&thread, NULL, grant_and_revoke, world), 0);
	for (int round = 0; round < 60; round++) {
		char text[16];
		snprintf(text, sizeof(text), "%d", round);
		const files list = { { "a", FILE_, text }, { NULL, 0, NULL } };
		if (round > 0)
			forget_totals(world);
		push_and_publish(world, list);
	}
	pthread_join(thread, NULL);
	struct loam_gate gate;
	struct loam_err none = { 0 };
	assert_int_equal(loam_gate_read(&world->tree->tree, &world->repo, &gate, &none), 1);
	assert_int_equal(gate.acl.user_count, 201);
	for (uint32_t i = 0; i < 200; i++)
		assert_int_equal(gate.acl.users[i + 1].id, 40000 + 2 * i);
	loam_gate_release(&gate);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_first_commit_is_shown_whole_and_read_only),
		TEST(only_what_changed_is_replaced),
		TEST(a_whole_new_gate_keeps_grants_and_marks),
		TEST(five_thousand_and_one_changes_take_a_new_gate),
		TEST(a_forced_push_of_another_history_is_shown),
		TEST(an_old_tree_that_git_has_pruned_does_not_stop_a_publish),
		TEST(a_deleted_branch_empties_the_tree),
		TEST(the_first_push_of_main_keeps_head),
		TEST(without_main_head_moves_to_master),
		TEST(else_to_the_branch_named_first_in_the_push),
		TEST(else_to_the_first_by_name),
		TEST(a_push_without_branches_shows_nothing),
		TEST(a_blob_met_twice_is_stored_once),
		TEST(a_blob_over_a_chunk_spans_two),
		TEST(a_pointer_is_shown_as_its_object),
		TEST(a_missing_object_or_another_size_leaves_the_old_tree),
		TEST(an_empty_object_needs_no_upload),
		TEST(what_may_not_stand_on_the_mount_is_said),
		TEST(two_thousand_notes_do_not_stop_a_publish),
		TEST(a_live_tree_that_somebody_changed_is_built_anew),
		TEST(a_changed_entry_is_replaced_whatever_stands_there),
		TEST(a_job_that_is_being_swept_is_not_published),
		TEST(two_publishers_never_show_a_mixture),
		TEST(grants_made_while_gates_are_swapped_hold_on_the_last_one),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
