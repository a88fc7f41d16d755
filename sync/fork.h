/*
 * A repository becomes another one of the same history: `loam repo fork`. Git's objects are linked
 * on the server's disk, LFS objects get one more holder, the tree is cloned: no byte is copied.
 *
 * Only what a branch or tag reaches is taken over, not all that the source holds. Grants, locks and
 * visibility are not.
 *
 * Threads: any. Durable when it returns.
 */
#ifndef LOAM_SYNC_FORK_H
#define LOAM_SYNC_FORK_H

#include "auth/repos.h"
#include "sync/publish.h"

struct loam_fork {
	const struct loam_repo *from, *to;
	struct loam_grantee owner; /* of the namespace of `to` */
	enum loam_visibility visibility;
	/* May the caller still? Asked before history is shown and again before files are, since a
	 * large one takes minutes; NULL: nobody can take it from him. */
	int (*allow)(void *arg, struct loam_err *err);
	void *allow_arg;
};
struct loam_forked {
	uint64_t refs, objects; /* LFS objects */
	struct loam_published published;
};
void loam_forked_release(struct loam_forked *forked);

/*
 * The caller may read `from` with the very credential that asks, and make `to`: both are checked
 * before. Errors: those of allow; EXISTS, those of loam_repos_create; CROSS_DEVICE when the commits
 * of `from` lie on another file system (another Git server's), CONFLICT when they are being
 * repacked without pause. After an error `to` is not there.
 */
int loam_repo_fork(struct loam_publisher *publisher, const struct loam_fork *fork,
		   struct loam_forked *out, struct loam_err *err);

#endif
