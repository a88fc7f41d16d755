/*
 * Building what a publish will show: inodes in a staging job, complete but for their place in the
 * tree.
 *
 * A staged entry's dentry stands in the job (or in a staged directory), while its attr already
 * names the live directory as Parent, so that the publish transaction changes dentries only. LFS
 * pointers become metadata clones of pool files; small blobs are packed one behind the other into
 * shared slices, each file's record naming its own part; a blob met twice is stored once.
 *
 * Threads: one. Memory: one slice being filled, and the inodes that wait for it (bounded).
 */
#ifndef LOAM_SYNC_BUILD_H
#define LOAM_SYNC_BUILD_H

#include "lfs/lfs.h"
#include "sync/changes.h"

struct loam_builder;

struct loam_build_target {
	const struct loam_tree *tree;
	const struct loam_repo *repo; /* whose LFS objects may be shown */
	git_repository *git;
	uint64_t job_ino;
	struct loam_buf *notes; /* lines for the pusher */
};

struct loam_builder *loam_builder_new(const struct loam_build_target *target);
/* Adds the blob as entry `number` of the job; live_dir: the inode it will stand in; path: where,
 * for notes and symbolic links, without the name. Errors: NOT_FOUND for a pointer whose object this
 * repository does not hold. */
int loam_builder_add_blob(struct loam_builder *builder, size_t number, uint64_t live_dir,
			  const char *path, const char *name, const git_oid *oid,
			  git_filemode_t mode, struct loam_err *err);
/* Adds a whole directory, recursively. */
int loam_builder_add_tree(struct loam_builder *builder, size_t number, uint64_t live_dir,
			  const char *path, const char *name, const git_oid *oid,
			  struct loam_err *err);
/* The same for a whole new gate with the rights of the present one. tree_oid NULL: empty. */
int loam_builder_add_gate(struct loam_builder *builder, size_t number, const struct loam_attr *gate,
			  const git_oid *tree_oid, uint64_t *out_ino, uint32_t *out_nlink,
			  struct loam_err *err);
/* All blocks durable, all inodes committed. */
int loam_builder_finish(struct loam_builder *builder, struct loam_err *err);
void loam_builder_free(struct loam_builder *builder);

/* What was added so far. */
uint64_t loam_builder_files(const struct loam_builder *builder);
uint64_t loam_builder_bytes(const struct loam_builder *builder);

/* Does a symbolic link at directory `path` ("a/b/", "" the gate) with this target stay in the tree?
 */
bool loam_symlink_stays(const char *path, const char *target, size_t target_bytes);

#endif
