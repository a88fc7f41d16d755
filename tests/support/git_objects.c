/*
 * Git objects for tests (git_objects.h).
 */
#include "tests/support/git_objects.h"

#include "core/auto.h"
#include "core/buf.h"
#include "core/err.h"

#include <ftw.h>
#include <stdio.h>
#include <string.h>

#define CHECK(call)                                                                       \
	do {                                                                              \
		if ((call) < 0) {                                                         \
			fprintf(stderr, "%s: %s\n", #call,                                \
				git_error_last() ? git_error_last()->message : "failed"); \
			loam_assert(false);                                               \
		}                                                                         \
	} while (0)

git_repository *loam_git_make(const char *path)
{
	git_repository *git = NULL;
	git_libgit2_init();
	CHECK(git_repository_init(&git, path, true));
	return git;
}

git_oid loam_git_blob(git_repository *git, const void *data, size_t bytes)
{
	git_oid oid;
	CHECK(git_blob_create_from_buffer(&oid, git, data, bytes));
	return oid;
}

git_oid loam_git_tree(git_repository *git, const struct loam_git_file *files)
{
	git_index *index = NULL;
	git_oid oid;
	CHECK(git_index_new(&index));
	for (; files->path; files++) {
		git_index_entry entry = { .mode = files->mode, .path = files->path };
		if (files->text)
			entry.id = loam_git_blob(git, files->text, strlen(files->text));
		else
			CHECK(git_oid_fromstr(&entry.id,
					      "1111111111111111111111111111111111111111"));
		CHECK(git_index_add(index, &entry));
	}
	CHECK(git_index_write_tree_to(&oid, index, git));
	git_index_free(index);
	return oid;
}

git_oid loam_git_raw_tree(git_repository *git, const char *name, git_filemode_t mode,
			  const git_oid *oid)
{
	loam_auto_buf struct loam_buf raw = LOAM_BUF(65536);
	struct loam_err err = { 0 };
	git_odb *odb = NULL;
	git_oid tree;
	CHECK(loam_buf_printf(&raw, &err, "%o %s", mode, name));
	CHECK(loam_buf_add(&raw, "", 1, &err));
	CHECK(loam_buf_add(&raw, oid->id, GIT_OID_RAWSZ, &err));
	CHECK(git_repository_odb(&odb, git));
	CHECK(git_odb_write(&tree, odb, raw.data, raw.bytes, GIT_OBJECT_TREE));
	git_odb_free(odb);
	return tree;
}

git_oid loam_git_commit(git_repository *git, const git_oid *tree_oid, const git_oid *parent,
			const git_oid *second, const char *ref)
{
	git_signature *who = NULL;
	git_tree *tree = NULL;
	git_commit *parents[2] = { NULL, NULL };
	git_reference *moved = NULL;
	git_oid oid;
	size_t count = 0;
	CHECK(git_signature_new(&who, "Test", "test@example.org", 1700000000, 0));
	CHECK(git_tree_lookup(&tree, git, tree_oid));
	if (parent)
		CHECK(git_commit_lookup(&parents[count++], git, parent));
	if (second)
		CHECK(git_commit_lookup(&parents[count++], git, second));
	CHECK(git_commit_create(&oid, git, NULL, who, who, NULL, "message", tree, count,
				(const git_commit **)parents));
	if (ref)
		CHECK(git_reference_create(&moved, git, ref, &oid, true, NULL));
	git_reference_free(moved);
	git_commit_free(parents[0]);
	git_commit_free(parents[1]);
	git_tree_free(tree);
	git_signature_free(who);
	return oid;
}

git_oid loam_git_push(git_repository *git, const char *ref, const struct loam_git_file *files)
{
	git_oid tree = loam_git_tree(git, files), parent;
	bool had = git_reference_name_to_id(&parent, git, ref) == 0;
	return loam_git_commit(git, &tree, had ? &parent : NULL, NULL, ref);
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *at)
{
	return remove(path);
}

void loam_git_remove(const char *path)
{
	nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}
