/*
 * New objects, gathered (sync/object_batch.h): a store in memory stands before the repository's own
 * and takes what is written; libgit2 makes the pack from it.
 */
#include "sync/object_batch.h"

#include "core/auto.h"
#include "sync/changes.h"
#include "sync/git_dir.h"

#include <git2/sys/mempack.h>
#include <git2/sys/odb_backend.h>

#define FIRST_BACKEND 999 /* asked before all others */

struct loam_object_batch {
	git_repository *git;   /* with the store in memory */
	git_repository *plain; /* the same, without */
	git_odb *odb;
	git_odb_backend *memory; /* the odb's */
	git_oid *oids;		 /* in memory now */
	size_t count, room;
	uint64_t bytes;
	bool packed; /* some went into a pack already */
};

void loam_object_batch_free(struct loam_object_batch *batch)
{
	if (!batch)
		return;
	git_odb_free(batch->odb);
	git_repository_free(batch->git);
	git_repository_free(batch->plain);
	free(batch->oids);
	free(batch);
}

static int add_memory(struct loam_object_batch *batch, struct loam_err *err)
{
	int rc = git_repository_odb(&batch->odb, batch->git);
	if (rc == 0)
		rc = git_mempack_new(&batch->memory);
	if (rc == 0)
		rc = git_odb_add_backend(batch->odb, batch->memory, FIRST_BACKEND);
	return rc < 0 ? loam_git_fail(err, rc, "open the objects") : 0;
}

int loam_object_batch_open(const char *bare, struct loam_object_batch **out_batch,
			   struct loam_err *err)
{
	struct loam_object_batch *batch = loam_xnew(struct loam_object_batch);
	int rc = loam_git_open(bare, &batch->git, err);
	if (rc == 0)
		rc = loam_git_open(bare, &batch->plain, err);
	if (rc == 0)
		rc = add_memory(batch, err);
	if (rc < 0) {
		loam_object_batch_free(batch);
		return rc;
	}
	*out_batch = batch;
	return 0;
}

git_repository *loam_object_batch_git(struct loam_object_batch *batch)
{
	return batch->git;
}

/* ---- out of memory --------------------------------------------------------------------------- */

static int write_pack(struct loam_object_batch *batch, struct loam_err *err)
{
	git_packbuilder *builder = NULL;
	int rc = git_packbuilder_new(&builder, batch->git);
	if (rc == 0)
		git_packbuilder_set_threads(builder, 1);
	for (size_t i = 0; rc == 0 && i < batch->count; i++)
		rc = git_packbuilder_insert(builder, &batch->oids[i], NULL);
	if (rc == 0)
		rc = git_packbuilder_write(builder, NULL, 0444, NULL, NULL);
	git_packbuilder_free(builder);
	if (rc == 0)
		rc = git_odb_refresh(batch->odb);
	return rc < 0 ? loam_git_fail(err, rc, "write a pack") : 0;
}

static int write_loose(struct loam_object_batch *batch, struct loam_err *err)
{
	git_odb *plain = NULL;
	int rc = git_repository_odb(&plain, batch->plain);
	for (size_t i = 0; rc == 0 && i < batch->count; i++) {
		git_odb_object *object = NULL;
		git_oid oid;
		rc = git_odb_read(&object, batch->odb, &batch->oids[i]);
		if (rc == 0)
			rc = git_odb_write(&oid, plain, git_odb_object_data(object),
					   git_odb_object_size(object),
					   git_odb_object_type(object));
		git_odb_object_free(object);
	}
	git_odb_free(plain);
	return rc < 0 ? loam_git_fail(err, rc, "write an object") : 0;
}

static int flush(struct loam_object_batch *batch, bool may_be_loose, struct loam_err *err)
{
	bool few = may_be_loose && !batch->packed && batch->count < LOAM_BATCH_LOOSE;
	if (batch->count == 0)
		return 0;
	int rc = few ? write_loose(batch, err) : write_pack(batch, err);
	if (rc < 0)
		return rc;
	git_mempack_reset(batch->memory);
	batch->packed = !few;
	batch->count = 0;
	batch->bytes = 0;
	return 0;
}

int loam_object_batch_finish(struct loam_object_batch *batch, struct loam_err *err)
{
	return flush(batch, true, err);
}

/* ---- into memory ----------------------------------------------------------------------------- */

static int note(struct loam_object_batch *batch, const git_oid *oid, size_t bytes,
		struct loam_err *err)
{
	if (batch->count == batch->room) {
		batch->room = batch->room ? batch->room * 2 : 64;
		batch->oids = reallocarray(batch->oids, batch->room, sizeof(batch->oids[0]));
		loam_assert(batch->oids != NULL);
	}
	batch->oids[batch->count++] = *oid;
	batch->bytes += bytes;
	if (batch->bytes < LOAM_BATCH_BYTES_MAX && batch->count < LOAM_BATCH_OBJECTS_MAX)
		return 0;
	return flush(batch, false, err);
}

int loam_object_batch_blob(struct loam_object_batch *batch, const void *data, size_t data_bytes,
			   git_oid *out_oid, struct loam_err *err)
{
	git_oid oid;
	int rc = git_odb_hash(&oid, data, data_bytes, GIT_OBJECT_BLOB);
	if (rc == 0 && git_odb_exists(batch->odb, &oid)) {
		*out_oid = oid;
		return 0;
	}
	if (rc == 0)
		rc = git_odb_write(out_oid, batch->odb, data, data_bytes, GIT_OBJECT_BLOB);
	if (rc < 0)
		return loam_git_fail(err, rc, "store a blob");
	return note(batch, out_oid, data_bytes, err);
}

/* One that is there already is packed once more: a tree builder does not say. */
int loam_object_batch_tree(struct loam_object_batch *batch, git_treebuilder *builder,
			   git_oid *out_oid, struct loam_err *err)
{
	size_t bytes = git_treebuilder_entrycount(builder) * (GIT_OID_RAWSZ + 16);
	int rc = git_treebuilder_write(out_oid, builder);
	return rc < 0 ? loam_git_fail(err, rc, "store a tree") : note(batch, out_oid, bytes, err);
}
