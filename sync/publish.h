/*
 * Publishing: a branch's commit becomes the live tree of its gate, by metadata clones and in one
 * transaction (step 8 of a push). Source: design.md §2.3, §2.4.
 */
#ifndef LOAM_SYNC_PUBLISH_H
#define LOAM_SYNC_PUBLISH_H

#include "lfs/lfs.h"

struct loam_publisher;

/* lfs: whose pool is swept hourly, or NULL. git_root: the directory of bare repositories
 * (KIND/NS/NAME.git). */
int loam_publisher_open(const struct loam_tree *tree, const struct loam_config *config,
			struct loam_lfs *lfs, const char *git_root,
			struct loam_publisher **out_publisher, struct loam_err *err);
void loam_publisher_close(struct loam_publisher *publisher);

struct loam_published {
	bool changed;	       /* false: the tree showed this commit already */
	char commit[65];       /* "" when the tree was emptied */
	uint64_t files, bytes; /* of the tree now */
	uint64_t changed_paths;
	uint64_t ms;
	struct loam_buf
		notes; /* lines for the pusher: symlinks made files, submodules left out … */
};
void loam_published_release(struct loam_published *published);
/*
 * Brings the gate to its branch's commit. Two at once are harmless. Errors: CONFLICT after many
 * lost races; NOT_FOUND when a pointer's object is not held (the old tree stays).
 */
int loam_publish(struct loam_publisher *publisher, const struct loam_repo *repo,
		 struct loam_published *out_published, struct loam_err *err);

/* The same for a push whose first named branch is first_branch ("refs/heads/x", may be NULL): HEAD
 * of a repository that has shown nothing yet moves there, or to master, when its own branch is not
 * there. */
int loam_publish_first(struct loam_publisher *publisher, const struct loam_repo *repo,
		       const char *first_branch, struct loam_published *out_published,
		       struct loam_err *err);

/* The bare repository of repo below git_root, or the one that trusted.loam.git names; made when it
 * is missing (HEAD refs/heads/main). out_path holds LOAM_PATH_BYTES_MAX. */
int loam_git_dir(struct loam_publisher *publisher, const struct loam_repo *repo, char *out_path,
		 struct loam_err *err);

/* One round over all repositories: publishes what differs, mends gates, removes dead staging. */
int loam_reconcile(struct loam_publisher *publisher, struct loam_err *err);
/* The reconciler looks at repo at once: a push into it ended in a way that says nothing about its
 * branch. Does not wait; many at once are left to the next round. */
void loam_publish_soon(struct loam_publisher *publisher, const struct loam_repo *repo);
/* A thread that reconciles at start and every minute (oftener when staging lives shorter). */
int loam_reconciler_start(struct loam_publisher *publisher, struct loam_err *err);
void loam_reconciler_stop(struct loam_publisher *publisher);

/* Has a repository been met whose Git data another server keeps (loam hook install)? */
bool loam_publisher_met_foreign(const struct loam_publisher *publisher);

#endif
