/*
 * Publishing a branch on the mount (sync/publish.h; step 8 of a push).
 *
 *   1 branch and gate are read     commit to show, commit shown
 *   2 their trees are compared     at most SWAP_OVER entries, else a whole new gate is built
 *   3 entries are built            in a staging job (sync/build.c)
 *   4 one transaction              live dentries <- staged inodes, job dentries <- replaced ones,
 *                                  user.loam.commit (sync/swap.c)
 *   5 barrier, and the job with what was replaced is removed in the background
 *
 * Killed before 4: the old commit stands whole, the job is swept. After 4: the new one does.
 */
#include "sync/publish.h"

#include "auth/audit.h"
#include "auth/gate.h"
#include "auth/repos.h"
#include "core/auto.h"
#include "core/clock.h"
#include "core/failpoint.h"
#include "core/log.h"
#include "core/pool.h"
#include "fs/files.h"
#include "lfs/staging.h"
#include "sync/build.h"
#include "sync/git_dir.h"
#include "sync/publisher.h"
#include "sync/swap.h"

#include <stdio.h>
#include <string.h>

/* Changed entries from which a whole new gate is cheaper for all others. */
#define SWAP_OVER	5000
#define RACES_MAX	20
#define NOTES_BYTES_MAX (64u << 10)

void loam_published_release(struct loam_published *published)
{
	loam_buf_release(&published->notes);
}

/* ---- one at a time per repository in this process -------------------------------------------- */

/* The place of the repository, or a free one where nobody publishes it; NULL: neither. */
static char **find_place(struct loam_publisher *publisher, const char *text, bool *out_busy)
{
	char **place = NULL;
	*out_busy = false;
	for (size_t i = 0; i < LOAM_PUBLISHES_MAX && !*out_busy; i++) {
		char **at = &publisher->busy[i];
		*out_busy = *at && strcmp(*at, text) == 0;
		if (*out_busy || (!*at && !place))
			place = at;
	}
	return place;
}

static void lock_repo(struct loam_publisher *publisher, const char *text)
{
	bool busy;
	loam_guard(&publisher->lock);
	char **place = find_place(publisher, text, &busy);
	while (busy || !place) {
		pthread_cond_wait(&publisher->freed, &publisher->lock);
		place = find_place(publisher, text, &busy);
	}
	*place = loam_xstrdup(text);
}

static void unlock_repo(struct loam_publisher *publisher, const char *text)
{
	bool busy;
	loam_guard(&publisher->lock);
	char **place = find_place(publisher, text, &busy);
	loam_assert(busy);
	free(loam_steal(place));
	pthread_cond_broadcast(&publisher->freed);
}

/* ---- 1: what is shown, what is to be shown --------------------------------------------------- */

struct job {
	struct loam_publisher *publisher;
	const struct loam_repo *repo;
	git_repository *git;
	git_tree *old_tree, *new_tree; /* NULL: empty */
	bool has_commit;
	git_oid commit;
	struct loam_gate_state gate;
	struct loam_changes changes;
	struct loam_job *staging;
	struct loam_builder *builder;
	struct loam_published *out;
};

static void release_job(struct job *job)
{
	loam_builder_free(job->builder);
	loam_publisher_discard(job->publisher, loam_steal(&job->staging));
	loam_changes_release(&job->changes);
	git_tree_free(job->old_tree);
	git_tree_free(job->new_tree);
	git_repository_free(job->git);
}

static int tree_of(git_repository *git, const git_oid *commit_oid, git_tree **out,
		   struct loam_err *err)
{
	git_commit *commit = NULL;
	int rc = git_commit_lookup(&commit, git, commit_oid);
	if (rc == 0)
		rc = git_commit_tree(out, commit);
	git_commit_free(commit);
	return rc < 0 ? loam_git_fail(err, rc, "read a commit") : 0;
}

static int read_branch(struct job *job, const char *first, struct loam_err *err)
{
	char path[LOAM_PATH_BYTES_MAX];
	int rc = loam_git_dir(job->publisher, job->repo, path, err);
	if (rc == 0)
		rc = loam_git_open(path, &job->git, err);
	if (rc == 0)
		rc = loam_gate_state_read(job->publisher->tree, job->repo, &job->gate, err);
	if (rc < 0)
		return rc;
	rc = loam_git_head(job->git, job->gate.was_published, first, &job->commit, err);
	if (rc < 0)
		return rc;
	job->has_commit = rc == 1;
	return 0;
}

static bool is_shown(const struct job *job)
{
	char text[GIT_OID_HEXSZ + 1] = "";
	if (job->has_commit)
		git_oid_tostr(text, sizeof(text), &job->commit);
	return strcmp(text, job->gate.commit) == 0;
}

/* ---- 2: the difference ----------------------------------------------------------------------- */

/* The live directories that change; 0 when one is not as the old commit says (somebody with root on
 * a node was there): then everything is built anew. */
static int find_live_dirs(struct job *job, struct loam_err *err)
{
	struct loam_changes *changes = &job->changes;
	changes->dirs[0].ino = job->gate.ino;
	for (size_t i = 1; i < changes->dir_count; i++) {
		struct loam_change_dir *dir = &changes->dirs[i];
		struct loam_attr attr;
		int rc = loam_meta_lookup(job->publisher->tree->volume->meta, &loam_who_root,
					  changes->dirs[dir->parent].ino, loam_name_of(dir->name),
					  &dir->ino, &attr, err);
		if (rc == -LOAM_E_NOT_FOUND || rc == -LOAM_E_NOT_DIR ||
		    (rc == 0 && attr.type != LOAM_TYPE_DIR)) {
			loam_err_clear(err);
			return 0;
		}
		if (rc < 0)
			return rc;
	}
	return 1;
}

/* 1: change entries; 0: swap the whole gate. */
static int compare(struct job *job, struct loam_err *err)
{
	git_oid old_commit;
	int rc = job->has_commit ? tree_of(job->git, &job->commit, &job->new_tree, err) : 0;
	if (rc < 0)
		return rc;
	if (job->gate.commit[0] != '\0') {
		struct loam_err gone = { 0 };
		if (git_oid_fromstr(&old_commit, job->gate.commit) < 0 ||
		    tree_of(job->git, &old_commit, &job->old_tree, &gone) < 0)
			return 0;
	}
	rc = loam_changes_find(job->git, job->old_tree, job->new_tree, SWAP_OVER, &job->out->notes,
			       &job->changes, err);
	/* Objects of the old tree may be gone, after a forced push and git gc; those of the new one
	 * are asked for again when the whole is built. */
	if (job->old_tree && (rc == -LOAM_E_NOT_FOUND || rc == -LOAM_E_CORRUPT)) {
		loam_err_clear(err);
		return 0;
	}
	if (rc < 0)
		return rc;
	if (job->changes.change_count > SWAP_OVER || !job->gate.has_totals)
		return 0;
	return find_live_dirs(job, err);
}

/* ---- 3: building ----------------------------------------------------------------------------- */

static int build_entries(struct job *job, struct loam_err *err)
{
	const struct loam_changes *changes = &job->changes;
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < changes->change_count; i++) {
		const struct loam_change *change = &changes->changes[i];
		uint64_t dir = changes->dirs[change->dir].ino;
		if (change->kind == LOAM_CHANGE_REMOVE)
			continue;
		loam_auto_free char *path = loam_changes_path(changes, change->dir);
		if (change->kind == LOAM_CHANGE_TREE)
			rc = loam_builder_add_tree(job->builder, i, dir, path, change->name,
						   &change->oid, err);
		else
			rc = loam_builder_add_blob(job->builder, i, dir, path, change->name,
						   &change->oid, change->mode, err);
	}
	return rc < 0 ? rc : loam_builder_finish(job->builder, err);
}

static int start_building(struct job *job, struct loam_err *err)
{
	int rc = loam_job_new(job->publisher->staging, &job->staging, err);
	if (rc < 0)
		return rc;
	struct loam_build_target target = { .tree = job->publisher->tree,
					    .repo = job->repo,
					    .git = job->git,
					    .job_ino = loam_job_ino(job->staging),
					    .notes = &job->out->notes };
	job->builder = loam_builder_new(&target);
	return loam_failpoint("publish.job", err);
}

/* ---- 4: the transaction ---------------------------------------------------------------------- */

static void fill_next(struct job *job, struct loam_gate_next *next, bool whole)
{
	next->job_ino = loam_job_ino(job->staging);
	if (job->has_commit)
		git_oid_tostr(next->commit, sizeof(next->commit), &job->commit);
	next->files = loam_builder_files(job->builder);
	next->bytes = loam_builder_bytes(job->builder);
	if (!whole) {
		next->files += job->gate.files - (uint64_t)job->changes.removed_files;
		next->bytes += job->gate.bytes - (uint64_t)job->changes.removed_bytes;
	}
}

static int change_entries(struct job *job, struct loam_gate_next *next, struct loam_err *err)
{
	int rc = build_entries(job, err);
	if (rc == 0)
		rc = loam_failpoint("publish.built", err);
	if (rc < 0)
		return rc;
	fill_next(job, next, false);
	return loam_swap_entries(job->publisher->tree->volume->meta, &job->gate, &job->changes,
				 next, err);
}

static int swap_gate(struct job *job, struct loam_gate_next *next, struct loam_err *err)
{
	const git_oid *tree = job->new_tree ? git_tree_id(job->new_tree) : NULL;
	loam_changes_release(&job->changes);
	loam_buf_clear(&job->out->notes); /* the builder says all of it again */
	int rc = loam_builder_add_gate(job->builder, 0, &job->gate.attr, tree, &next->new_gate,
				       &next->new_gate_nlink, err);
	if (rc == 0)
		rc = loam_builder_finish(job->builder, err);
	if (rc == 0)
		rc = loam_failpoint("publish.built", err);
	if (rc < 0)
		return rc;
	fill_next(job, next, true);
	return loam_swap_gate(job->publisher->tree->volume->meta, &job->gate, next, err);
}

/* On a store that the operator accepts as forgetful (meta.durability = weak) the pusher is told. */
static int settle(struct job *job, struct loam_err *err)
{
	struct loam_meta *meta = job->publisher->tree->volume->meta;
	int rc = loam_meta_forgets(meta, err);
	if (rc <= 0)
		return rc;
	rc = loam_meta_barrier(meta, err); /* an error unless the operator accepts it */
	if (rc < 0)
		return rc;
	return loam_buf_add_text(&job->out->notes,
				 "a crash of this server's Redis may undo its last second "
				 "(meta.durability = weak)\n",
				 err);
}

static void fill_result(struct job *job, const struct loam_gate_next *next)
{
	struct loam_published *out = job->out;
	out->changed = true;
	snprintf(out->commit, sizeof(out->commit), "%s", next->commit);
	out->files = next->files;
	out->bytes = next->bytes;
	out->changed_paths = next->new_gate ? next->files : job->changes.change_count;
}

/* The tree has changed. By whom: the scope of the push, or the server's own round. */
static void audit_publish(const struct job *job, const struct loam_gate_next *next)
{
	loam_audit(&(struct loam_audit_entry){ .action = "publish",
					       .repo = job->repo,
					       .old_id = job->gate.commit,
					       .new_id = next->commit,
					       .count = next->files },
		   0, NULL);
}

static int publish_once(struct job *job, const char *first, struct loam_err *err)
{
	int rc = read_branch(job, first, err);
	if (rc < 0)
		return rc;
	if (is_shown(job)) {
		job->out->changed = false;
		snprintf(job->out->commit, sizeof(job->out->commit), "%s", job->gate.commit);
		job->out->files = job->gate.files;
		job->out->bytes = job->gate.bytes;
		return 0;
	}
	rc = loam_failpoint("publish.begun", err);
	int entries = rc == 0 ? compare(job, err) : rc;
	if (entries < 0)
		return entries;
	struct loam_gate_next next = { 0 };
	rc = start_building(job, err);
	if (rc == 0)
		rc = entries ? change_entries(job, &next, err) : swap_gate(job, &next, err);
	if (rc == 0)
		audit_publish(job, &next);
	if (rc == 0)
		rc = loam_failpoint("publish.committed", err);
	if (rc == 0)
		rc = settle(job, err);
	if (rc == 0)
		rc = loam_failpoint("publish.done", err);
	if (rc == 0)
		fill_result(job, &next);
	return rc;
}

static int publish_locked(struct loam_publisher *publisher, const struct loam_repo *repo,
			  const char *first, struct loam_published *out, struct loam_err *err)
{
	uint64_t from = loam_clock_ms();
	for (int race = 0;; race++) {
		loam_buf_clear(&out->notes);
		struct job job = { .publisher = publisher, .repo = repo, .out = out };
		int rc = publish_once(&job, first, err);
		release_job(&job);
		out->ms = loam_clock_ms() - from;
		if (rc != -LOAM_E_CONFLICT || race == RACES_MAX)
			return rc;
		loam_err_clear(err); /* another publisher was faster: again, from what it shows */
	}
}

int loam_publish_first(struct loam_publisher *publisher, const struct loam_repo *repo,
		       const char *first_branch, struct loam_published *out_published,
		       struct loam_err *err)
{
	char text[LOAM_REPO_TEXT_BYTES];
	loam_repo_text(repo, text);
	*out_published = (struct loam_published){ .notes = LOAM_BUF(NOTES_BYTES_MAX) };
	lock_repo(publisher, text);
	int rc = publish_locked(publisher, repo, first_branch, out_published, err);
	unlock_repo(publisher, text);
	if (rc < 0) {
		loam_published_release(out_published);
		return loam_context(err, "publish %s", text);
	}
	if (out_published->changed)
		loam_info("publish", "repo=%s commit=%.12s files=%llu changed=%llu ms=%llu", text,
			  out_published->commit, (unsigned long long)out_published->files,
			  (unsigned long long)out_published->changed_paths,
			  (unsigned long long)out_published->ms);
	return 0;
}

int loam_publish(struct loam_publisher *publisher, const struct loam_repo *repo,
		 struct loam_published *out_published, struct loam_err *err)
{
	return loam_publish_first(publisher, repo, NULL, out_published, err);
}
