/*
 * The pool and the links: which object is there, who holds it (lfs/lfs.h has the layout).
 *
 * Invariants (L10): link count = 1 + holders; a pool file is 0400, the service's, named by its
 * digest and carries user.loam.oid. Every change here is one transaction, so none of it is ever
 * half true: an object comes into the pool together with its first link, and leaves it together
 * with its last one.
 *
 * Threads: any.
 */
#ifndef LOAM_LFS_OBJECTS_H
#define LOAM_LFS_OBJECTS_H

#include "core/hash.h"
#include "lfs/staging.h"

struct loam_object {
	const char *oid; /* given: a valid one */
	bool held;	 /* answered: by this repository */
	uint64_t ino, bytes;
};
/* Looks count objects up, in three trips however many they are. */
int loam_objects_find(const struct loam_tree *tree, const struct loam_repo *repo,
		      struct loam_object *objects, size_t count, struct loam_err *err);

/* Knows the directories of the pool; tree is borrowed. */
struct loam_objects;
struct loam_objects *loam_objects_new(const struct loam_tree *tree);
void loam_objects_free(struct loam_objects *objects);

/* Asked inside the transaction, again in each run: 0 with the inode of the gate that allows it. */
typedef int loam_objects_allow_fn(void *arg, uint64_t *out_gate_ino, struct loam_err *err);
enum loam_adopted {
	LOAM_ADOPTED_NEW,    /* the job's inode is the pool file now */
	LOAM_ADOPTED_SHARED, /* the pool had it: linked */
	LOAM_ADOPTED_HELD    /* the repository held it already */
};
struct loam_adoption {
	const struct loam_repo *repo;
	const char *oid;
	uint64_t bytes;
	uint64_t gate_ino; /* as allow said before; watched */
	loam_objects_allow_fn *allow;
	void *allow_arg;
};
/*
 * Makes the repository hold the object whose checked bytes the job's file has. Frees the job when
 * it succeeds. Errors: those of allow; CONFLICT when the job was swept or the repository is being
 * removed; CORRUPT when the pool's file has another length.
 */
int loam_objects_adopt(struct loam_objects *objects, struct loam_job *job,
		       const struct loam_adoption *adoption, enum loam_adopted *out_adopted,
		       struct loam_err *err);

/*
 * `to` holds what `from` holds. 1 it does (also when it did before), 0 `from` does not hold it. The
 * caller may read `from`. to_gate_ino: NOT_FOUND when it has gone by then.
 */
int loam_objects_link(const struct loam_tree *tree, const struct loam_repo *from,
		      const struct loam_repo *to, uint64_t to_gate_ino, const char *oid,
		      struct loam_err *err);
/* Drops one link, and the pool file with the last one. Missing is success. */
int loam_objects_drop(const struct loam_tree *tree, const struct loam_repo *repo, const char *oid,
		      struct loam_err *err);
/* Removes pool files without a holder whose last change is before `before` (store's seconds). */
int loam_objects_sweep(const struct loam_tree *tree, int64_t before, uint64_t *out_removed,
		       struct loam_err *err);

#endif
