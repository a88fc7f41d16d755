/*
 * A directory of the volume becomes a commit on the default branch of a repository, and is
 * published: `loam publish`, without Git on the user's side.
 *
 * The directory is named by its inode and the time of its last change, both as stat(2) on a mount
 * says: so it is found below bind mounts and in containers, and an inode number of another file
 * system fits by no accident. What the account may not read is not published.
 *
 * The parent is the branch's commit. A directory that was cloned from a published tree knows the
 * commit it was made from (user.loam.commit): what the branch has changed since is kept, by a
 * merge, or the call is refused with the paths that both sides changed. A directory without that
 * mark replaces what stands on the branch. Either way the branch moves by compare-and-swap.
 *
 * Threads: any. Durable: all of it, when the call returns.
 */
#ifndef LOAM_SYNC_COMMIT_DIR_H
#define LOAM_SYNC_COMMIT_DIR_H

#include "sync/publish.h"
#include "sync/workspace.h"

#define LOAM_COMMIT_MESSAGE_BYTES_MAX 65536
#define LOAM_COMMIT_EMAIL_BYTES_MAX   254

struct loam_commit_dir {
	struct loam_auth *auth;
	const struct loam_principal *who; /* has write on repo: checked, and again at the end */
	const struct loam_repo *repo;
	uint64_t ino;
	struct timespec changed; /* ctime */
	const char *message;
	const char *email; /* of the author; NULL: name@host */
	const char *host;
};

struct loam_committed_dir {
	bool changed;	 /* false: nothing to publish */
	bool merged;	 /* the branch had moved on */
	char commit[65]; /* what the branch shows now */
	char branch[256];
	struct loam_workspace_stats stats;
	struct loam_published published; /* notes of both halves */
};
void loam_committed_dir_release(struct loam_committed_dir *committed);

/*
 * Errors: DENIED for rights, a token bound to one repository, locks of others; AGAIN when the
 * directory is not as `changed` says (look again); CONFLICT for a lost race or a branch that moved
 * on in the same files: nothing has changed then, neither here nor in the directory.
 */
int loam_commit_dir(struct loam_publisher *publisher, const struct loam_commit_dir *call,
		    struct loam_committed_dir *out, struct loam_err *err);

#endif
