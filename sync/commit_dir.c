/*
 * A directory becomes a commit (sync/commit_dir.h).
 *
 *   1 directory      may the account reach and read it? is it the one the client sees?
 *   2 tree           the walk (sync/workspace.c); large files into the pool, barrier
 *   3 base           what the branch changed since the directory was cloned is merged
 *   4 locks          of others, as at a push (sync/lock_guard.c)
 *   5 commit         objects are on disk, then the ref moves by compare-and-swap
 *   6 publish        as behind a push (sync/publish.c); the directory is marked with the commit
 *
 * Killed before 5: blobs that nothing names (git gc), objects that no commit names yet. After it:
 * the next reconcile publishes.
 */
#include "sync/commit_dir.h"

#include "auth/gate.h"
#include "core/auto.h"
#include "core/clock.h"
#include "core/failpoint.h"
#include "core/hash.h"
#include "core/log.h"
#include "sync/git_dir.h"
#include "sync/git_push.h"
#include "sync/lock_guard.h"
#include "sync/publisher.h"
#include "sync/swap.h"

#include <string.h>

#define SEARCH		1u
#define WRITE		2u
#define READ		4u
#define DEPTH_MAX	2048 /* of the directory below the root */
#define SNAPSHOTS_MAX	3
#define RACES_MAX	50
#define RACE_PAUSE_MS	40
#define NOTES_BYTES_MAX (64u << 10)
#define PATHS_SHOWN	5

struct work {
	struct loam_publisher *publisher;
	const struct loam_commit_dir *call;
	struct loam_committed_dir *out;
	struct loam_buf notes;
	struct loam_who who;
	uint64_t gate_ino;
	struct loam_objects *objects;
	char bare[LOAM_PATH_BYTES_MAX];
	int push_fd;
	git_repository *git;
	git_tree *tree; /* of the directory */
	bool has_base, has_head;
	git_oid base, head;
	char copy[65]; /* the commit that the directory is a copy of from now on */
};

void loam_committed_dir_release(struct loam_committed_dir *committed)
{
	loam_published_release(&committed->published);
}

static void release(struct work *work)
{
	git_tree_free(work->tree);
	git_repository_free(work->git);
	if (work->push_fd >= 0)
		close(work->push_fd);
	loam_objects_free(work->objects);
	loam_buf_release(&work->notes);
}

static struct loam_meta *meta_of(const struct work *work)
{
	return work->publisher->tree->volume->meta;
}

/* ---- 1: the directory ------------------------------------------------------------------------ */

/* The right to write, as of now. */
static int allow(void *arg, uint64_t *out_gate_ino, struct loam_err *err)
{
	const struct loam_commit_dir *call = arg;
	struct loam_principal who = *call->who;
	struct loam_gate gate;
	int rc = loam_auth_renew(call->auth, &who, err);
	if (rc == 0)
		rc = loam_auth_check(call->auth, &who, call->repo, LOAM_WANT_WRITE, &gate, err);
	if (rc < 0)
		return rc;
	*out_gate_ino = gate.ino;
	loam_gate_release(&gate);
	return 0;
}

static int check_caller(struct work *work, struct loam_err *err)
{
	const struct loam_principal *who = work->call->who;
	if (who->user[0] == '\0' || (who->kind != LOAM_USER && who->kind != LOAM_TOKEN))
		return loam_fail(err, LOAM_E_DENIED,
				 "a directory is published in the name of its reader: log in");
	if (who->only_repo[0])
		return loam_fail(err, LOAM_E_DENIED,
				 "a token for one repository does not read directories");
	work->who = (struct loam_who){ .uid = who->uid,
				       .gid = who->gid,
				       .groups = who->groups,
				       .group_count = who->group_count,
				       .check = true };
	return allow((void *)work->call, &work->gate_ino, err);
}

static int check_one(struct work *work, uint64_t ino, const struct loam_attr *attr, unsigned want,
		     struct loam_err *err)
{
	int rc = loam_meta_access(meta_of(work), &work->who, ino, attr, want, err);
	if (rc != -LOAM_E_DENIED)
		return rc;
	loam_err_clear(err);
	return loam_fail(err, LOAM_E_DENIED, "you may not read this directory");
}

/* Every directory above can be searched by the account, up to the root. */
static int check_way(struct work *work, uint64_t ino, struct loam_err *err)
{
	struct loam_attr attr;
	for (unsigned depth = 0; ino != LOAM_INO_ROOT; depth++) {
		if (depth == DEPTH_MAX || ino == 0 || ino >= LOAM_INO_TRASH_ROOT)
			return loam_fail(err, LOAM_E_DENIED, "no way leads to this directory");
		int rc = loam_meta_getattr(meta_of(work), ino, &attr, err);
		if (rc == 0)
			rc = check_one(work, ino, &attr, SEARCH, err);
		if (rc < 0)
			return rc;
		ino = attr.parent;
	}
	int rc = loam_meta_getattr(meta_of(work), ino, &attr, err);
	return rc < 0 ? rc : check_one(work, ino, &attr, SEARCH, err);
}

/* Rights first: who may not read it learns nothing of it. */
static int check_dir(struct work *work, struct loam_err *err)
{
	const struct loam_commit_dir *call = work->call;
	struct loam_attr attr;
	int rc = loam_meta_getattr(meta_of(work), call->ino, &attr, err);
	if (rc == -LOAM_E_NOT_FOUND) {
		loam_err_clear(err);
		return loam_fail(err, LOAM_E_DENIED, "you may not read this directory");
	}
	if (rc == 0)
		rc = check_one(work, call->ino, &attr, READ | SEARCH, err);
	if (rc == 0)
		rc = check_way(work, attr.parent ? attr.parent : LOAM_INO_ROOT, err);
	if (rc < 0)
		return rc;
	if (attr.type != LOAM_TYPE_DIR)
		return loam_fail(err, LOAM_E_NOT_DIR, "this is no directory");
	if (attr.ctime.tv_sec != call->changed.tv_sec ||
	    attr.ctime.tv_nsec != call->changed.tv_nsec)
		return loam_fail(err, LOAM_E_AGAIN,
				 "the directory is not on this server's volume, or has just been "
				 "changed");
	return 0;
}

/* ---- 2: its tree ----------------------------------------------------------------------------- */

static int tree_in(git_repository *git, const git_oid *commit_oid, git_tree **out,
		   struct loam_err *err)
{
	git_commit *commit = NULL;
	int rc = git_commit_lookup(&commit, git, commit_oid);
	if (rc == 0)
		rc = git_commit_tree(out, commit);
	git_commit_free(commit);
	return rc < 0 ? loam_git_fail(err, rc, "read a commit") : 0;
}

static int tree_of(struct work *work, const git_oid *commit_oid, git_tree **out,
		   struct loam_err *err)
{
	return tree_in(work->git, commit_oid, out, err);
}

static int walk(struct work *work, struct loam_object_batch *batch,
		const struct loam_gate_state *gate, git_oid *out_tree, struct loam_err *err)
{
	struct loam_publisher *publisher = work->publisher;
	const struct loam_take_file into = { .tree = publisher->tree,
					     .staging = publisher->staging,
					     .objects = work->objects,
					     .repo = work->call->repo,
					     .gate_ino = work->gate_ino,
					     .allow = allow,
					     .allow_arg = (void *)work->call };
	struct loam_workspace workspace = { .into = &into,
					    .batch = batch,
					    .who = work->who,
					    .ino = work->call->ino,
					    .notes = &work->notes };
	struct loam_err unknown = { 0 };
	git_oid shown;
	if (gate->commit[0] && git_oid_fromstr(&shown, gate->commit) == 0 &&
	    tree_in(loam_object_batch_git(batch), &shown, &workspace.shown, &unknown) == 0)
		workspace.shown_ino = gate->ino;
	int rc = loam_workspace_tree(&workspace, out_tree, &work->out->stats, err);
	git_tree_free(workspace.shown);
	return rc;
}

/* Once. 1 a tree, 0 the published tree changed meanwhile: what was compared with it is void. */
static int snapshot_once(struct work *work, git_oid *out_tree, struct loam_err *err)
{
	const struct loam_tree *tree = work->publisher->tree;
	struct loam_object_batch *batch = NULL;
	struct loam_gate_state before, after;
	loam_buf_clear(&work->notes);
	int rc = loam_gate_state_read(tree, work->call->repo, &before, err);
	if (rc == 0)
		rc = loam_object_batch_open(work->bare, &batch, err);
	if (rc == 0)
		rc = walk(work, batch, &before, out_tree, err);
	loam_object_batch_free(batch);
	if (rc == 0)
		rc = loam_gate_state_read(tree, work->call->repo, &after, err);
	if (rc < 0)
		return rc;
	return before.ino == after.ino && strcmp(before.commit, after.commit) == 0;
}

static int snapshot(struct work *work, struct loam_err *err)
{
	git_oid oid;
	int steady = 0;
	for (int tries = 0; steady == 0 && tries < SNAPSHOTS_MAX; tries++)
		steady = snapshot_once(work, &oid, err);
	if (steady == 0)
		return loam_fail(err, LOAM_E_CONFLICT,
				 "the repository changes without pause; nothing was published");
	if (steady < 0)
		return steady;
	git_odb *odb = NULL;
	int rc = git_repository_odb(&odb, work->git);
	if (rc == 0)
		rc = git_odb_refresh(odb); /* a pack came in by another handle */
	git_odb_free(odb);
	if (rc == 0)
		rc = git_tree_lookup(&work->tree, work->git, &oid);
	if (rc < 0)
		return loam_git_fail(err, rc, "read the tree");
	return loam_meta_barrier(meta_of(work), err);
}

/* ---- 3: what it was made from ---------------------------------------------------------------- */

/* The commit that the directory is a copy of, if it says so and the repository has it. */
static int read_base(struct work *work, struct loam_err *err)
{
	loam_auto_buf struct loam_buf text = LOAM_BUF(LOAM_XATTR_VALUE_BYTES_MAX);
	git_commit *commit = NULL;
	int rc = loam_meta_getxattr(meta_of(work), work->call->ino, LOAM_XATTR_COMMIT, &text, err);
	if (rc == -LOAM_E_NO_DATA) {
		loam_err_clear(err);
		return 0;
	}
	if (rc < 0)
		return rc;
	work->has_base = git_oid_fromstr(&work->base, loam_buf_text(&text)) == 0 &&
			 git_commit_lookup(&commit, work->git, &work->base) == 0;
	git_commit_free(commit);
	return 0;
}

static int read_head(struct work *work, struct loam_err *err)
{
	git_reference *head = NULL;
	int rc = git_reference_lookup(&head, work->git, "HEAD");
	if (rc < 0)
		return loam_git_fail(err, rc, "read HEAD");
	const char *branch = git_reference_symbolic_target(head);
	snprintf(work->out->branch, sizeof(work->out->branch), "%s", branch ? branch : "");
	bool fits = branch && strlen(branch) < sizeof(work->out->branch);
	git_reference_free(head);
	if (!fits)
		return loam_fail(err, LOAM_E_UNSUPPORTED, "HEAD of this repository is no branch");
	rc = loam_git_head(work->git, true, NULL, &work->head, err);
	work->has_head = rc == 1;
	return rc < 0 ? rc : 0;
}

/* The first paths that both sides changed. */
static int conflicting(git_index *index, struct loam_err *err)
{
	loam_auto_buf struct loam_buf paths = LOAM_BUF(PATHS_SHOWN * (LOAM_PATH_BYTES_MAX + 2));
	git_index_conflict_iterator *iterator = NULL;
	const git_index_entry *base, *ours, *theirs;
	struct loam_err full = { 0 };
	int shown = 0;
	if (git_index_conflict_iterator_new(&iterator, index) < 0)
		return loam_git_fail(err, GIT_ERROR, "merge");
	while (shown < PATHS_SHOWN &&
	       git_index_conflict_next(&base, &ours, &theirs, iterator) == 0) {
		const char *path = ours ? ours->path : theirs ? theirs->path : base->path;
		loam_buf_printf(&paths, &full, "%s%s", shown++ ? ", " : "", path);
	}
	git_index_conflict_iterator_free(iterator);
	return loam_fail(err, LOAM_E_CONFLICT,
			 "the branch has changed the same files since this copy was made: %.600s. "
			 "Nothing was published; clone it again beside this one and bring your "
			 "changes over",
			 loam_buf_text(&paths));
}

/* What the branch and the directory did since the base, in one tree. */
static int merge(struct work *work, git_tree *head_tree, git_oid *out_tree, struct loam_err *err)
{
	git_merge_options options;
	git_index *index = NULL;
	git_tree *base_tree = NULL;
	int rc = tree_of(work, &work->base, &base_tree, err);
	if (rc < 0)
		return rc;
	git_merge_options_init(&options, GIT_MERGE_OPTIONS_VERSION);
	options.flags = 0;
	int merged = git_merge_trees(&index, work->git, base_tree, work->tree, head_tree, &options);
	git_tree_free(base_tree);
	if (merged < 0)
		return loam_git_fail(err, merged, "merge");
	if (git_index_has_conflicts(index))
		rc = conflicting(index, err);
	else if ((merged = git_index_write_tree_to(out_tree, index, work->git)) < 0)
		rc = loam_git_fail(err, merged, "store the merged tree");
	git_index_free(index);
	return rc;
}

/* The tree to commit on top of head_tree (NULL: the branch is not there yet). */
static int choose_tree(struct work *work, git_tree *head_tree, git_oid *out_tree,
		       struct loam_err *err)
{
	work->out->merged = false;
	*out_tree = *git_tree_id(work->tree);
	if (!head_tree || !work->has_base || git_oid_equal(&work->base, &work->head) ||
	    git_oid_equal(out_tree, git_tree_id(head_tree)))
		return 0;
	int above = git_graph_descendant_of(work->git, &work->head, &work->base);
	if (above < 0)
		return loam_git_fail(err, above, "compare commits");
	if (!above)
		return loam_fail(err, LOAM_E_CONFLICT,
				 "the branch was rewritten since this copy was made from %.7s. "
				 "Nothing was published; clone it again beside this one and bring "
				 "your changes over",
				 git_oid_tostr_s(&work->base));
	work->out->merged = true;
	return merge(work, head_tree, out_tree, err);
}

/* ---- 4: locks -------------------------------------------------------------------------------- */

static int check_page(struct work *work, const struct loam_lock_guard *guard,
		      const struct loam_lock_page *page, struct loam_err *err)
{
	char line[LOAM_LOCK_LINE_BYTES];
	int touched = 0;
	for (size_t i = 0; touched == 0 && i < page->count; i++) {
		if (page->locks[i].uid == work->call->who->uid)
			continue;
		touched = loam_lock_guard_touches(guard, page->locks[i].path, err);
		if (touched > 0)
			loam_lock_line(&page->locks[i], line);
	}
	return touched <= 0 ? touched : loam_fail(err, LOAM_E_DENIED, "%s", line);
}

static int check_locks(struct work *work, git_tree *head_tree, git_tree *new_tree,
		       struct loam_err *err)
{
	struct loam_lock_guard *guard = loam_lock_guard_of_trees(head_tree, new_tree);
	char cursor[LOAM_LOCK_NAME_BYTES + 1] = "";
	int rc;
	do {
		struct loam_lock_query query = { .cursor = cursor };
		struct loam_lock_page page = { 0 };
		rc = loam_lock_store_list(work->publisher->tree, work->call->repo, &query, &page,
					  err);
		if (rc == 0)
			rc = check_page(work, guard, &page, err);
		memcpy(cursor, page.next_cursor, sizeof(cursor));
		loam_lock_page_release(&page);
	} while (rc == 0 && cursor[0]);
	loam_lock_guard_free(guard);
	return rc;
}

/* ---- 5: the commit --------------------------------------------------------------------------- */

static int sign(struct work *work, git_signature **out, struct loam_err *err)
{
	const struct loam_commit_dir *call = work->call;
	loam_auto_free char *email = call->email
					     ? loam_xstrdup(call->email)
					     : loam_xasprintf("%s@%s", call->who->user, call->host);
	int rc = git_signature_now(out, call->who->user, email);
	if (rc == 0)
		rc = git_repository_set_ident(work->git, call->who->user, email);
	return rc < 0 ? loam_git_fail(err, rc, "name the author") : 0;
}

/* parents: commits, or zero for none. */
static int make_commit(struct work *work, git_tree *tree, const git_oid parents[2],
		       const char *text, git_oid *out, struct loam_err *err)
{
	git_signature *author = NULL;
	git_commit *found[2] = { NULL, NULL };
	git_buf message = { 0 };
	size_t count = 0;
	int rc = sign(work, &author, err);
	if (rc < 0)
		return rc;
	int done = git_message_prettify(&message, text, 0, 0);
	for (size_t i = 0; done == 0 && i < 2; i++) {
		if (git_oid_is_zero(&parents[i]))
			continue;
		done = git_commit_lookup(&found[count], work->git, &parents[i]);
		count += done == 0;
	}
	if (done == 0)
		done = git_commit_create(out, work->git, NULL, author, author, NULL, message.ptr,
					 tree, count, (const git_commit **)found);
	git_buf_dispose(&message);
	git_commit_free(found[0]);
	git_commit_free(found[1]);
	git_signature_free(author);
	return done < 0 ? loam_git_fail(err, done, "make the commit") : 0;
}

/* The commit for the branch. When it had moved on: one on the base, as the directory is, and a
 * merge with the branch; the directory is a copy of the former. */
static int make_commits(struct work *work, git_tree *tree, git_oid *out, struct loam_err *err)
{
	git_oid parents[2] = { { .id = { 0 } }, { .id = { 0 } } }, own;
	int rc = 0;
	if (work->out->merged) {
		parents[0] = work->base;
		rc = make_commit(work, work->tree, parents, work->call->message, &own, err);
		parents[1] = own;
	}
	parents[0] = work->has_head ? work->head : parents[0];
	if (rc == 0)
		rc = make_commit(work, tree, parents,
				 work->out->merged ? "Merge what was published meanwhile"
						   : work->call->message,
				 out, err);
	if (rc == 0)
		git_oid_tostr(work->copy, sizeof(work->copy), work->out->merged ? &own : out);
	return rc;
}

/* 1 moved, 0 somebody else was faster. */
static int move_branch(struct work *work, const git_oid *commit, struct loam_err *err)
{
	git_reference *moved = NULL;
	const char *branch = work->out->branch;
	int rc = loam_failpoint("commit_dir.before_ref", err);
	if (rc < 0)
		return rc;
	int done = work->has_head ? git_reference_create_matching(&moved, work->git, branch, commit,
								  true, &work->head, "loam publish")
				  : git_reference_create(&moved, work->git, branch, commit, false,
							 "loam publish");
	git_reference_free(moved);
	if (done == GIT_EMODIFIED || done == GIT_ELOCKED || done == GIT_EEXISTS ||
	    done == GIT_ENOTFOUND)
		return 0;
	return done < 0 ? loam_git_fail(err, done, "move the branch") : 1;
}

static int commit_tree(struct work *work, git_tree *head_tree, const git_oid *tree_oid,
		       struct loam_err *err)
{
	git_tree *tree = NULL;
	git_oid commit;
	int found = git_tree_lookup(&tree, work->git, tree_oid);
	if (found < 0)
		return loam_git_fail(err, found, "read the tree");
	int rc = check_locks(work, head_tree, tree, err);
	if (rc == 0)
		rc = make_commits(work, tree, &commit, err);
	if (rc == 0)
		rc = allow((void *)work->call, &work->gate_ino, err);
	if (rc == 0)
		rc = move_branch(work, &commit, err);
	git_tree_free(tree);
	if (rc == 1)
		git_oid_tostr(work->out->commit, sizeof(work->out->commit), &commit);
	return rc;
}

/* 1 the branch shows what it should, 0 it moved meanwhile. */
static int commit_once(struct work *work, struct loam_err *err)
{
	git_tree *head_tree = NULL;
	git_oid tree;
	int rc = work->has_head ? tree_of(work, &work->head, &head_tree, err) : 0;
	if (rc == 0)
		rc = choose_tree(work, head_tree, &tree, err);
	if (rc == 0 && head_tree && git_oid_equal(&tree, git_tree_id(head_tree))) {
		git_oid_tostr(work->out->commit, sizeof(work->out->commit), &work->head);
		if (!work->out->merged)
			memcpy(work->copy, work->out->commit, sizeof(work->copy));
		rc = 1;
	} else if (rc == 0) {
		rc = commit_tree(work, head_tree, &tree, err);
		work->out->changed = rc == 1;
	}
	git_tree_free(head_tree);
	return rc;
}

static bool same_head(const struct work *work, bool had_head, const git_oid *head)
{
	return work->has_head == had_head && (!had_head || git_oid_equal(&work->head, head));
}

/* With a base the work is done again on what the branch shows now. Without one the directory would
 * silently undo what somebody else has just pushed. */
static int commit(struct work *work, struct loam_err *err)
{
	int rc = read_head(work, err);
	bool had_head = work->has_head;
	git_oid first = work->head;
	for (int race = 0; rc == 0 && race < RACES_MAX; race++) {
		if (race > 0) {
			loam_clock_sleep_ms(1 + loam_random_below(RACE_PAUSE_MS));
			rc = read_head(work, err);
		}
		if (rc == 0 && !work->has_base && !same_head(work, had_head, &first))
			break;
		if (rc == 0)
			rc = commit_once(work, err);
	}
	if (rc == 0)
		return loam_fail(err, LOAM_E_CONFLICT,
				 "somebody else has changed the branch in this moment. Nothing was "
				 "published, nothing is lost: look at it and publish again");
	return rc < 0 ? rc : 0;
}

/* ---- 6: all of it ---------------------------------------------------------------------------- */

/* If the account may write to it. What the service owns says itself what it shows. */
static void mark(struct work *work)
{
	struct loam_err err = { 0 };
	struct loam_attr attr;
	struct loam_meta *meta = meta_of(work);
	uint64_t ino = work->call->ino;
	int rc = work->copy[0] ? loam_meta_getattr(meta, ino, &attr, &err) : -1;
	if (rc == 0 && attr.uid == LOAM_SERVICE_ID)
		return;
	if (rc == 0)
		rc = loam_meta_access(meta, &work->who, ino, &attr, WRITE, &err);
	if (rc == 0)
		rc = loam_meta_setxattr(meta, &loam_who_root, ino, LOAM_XATTR_COMMIT, work->copy,
					strlen(work->copy), 0, &err);
	if (rc == 0)
		loam_meta_barrier(meta, &err);
}

static int open_repository(struct work *work, struct loam_err *err)
{
	struct loam_publisher *publisher = work->publisher;
	loam_auto_buf struct loam_buf foreign = LOAM_BUF(LOAM_PATH_BYTES_MAX);
	int rc = loam_meta_getxattr(meta_of(work), work->gate_ino, LOAM_XATTR_GIT, &foreign, err);
	if (rc == 0)
		return loam_fail(err, LOAM_E_UNSUPPORTED,
				 "the commits of this repository are kept by another Git server");
	if (rc != -LOAM_E_NO_DATA)
		return rc;
	loam_err_clear(err);
	rc = loam_git_dir_ensure(publisher->tree, publisher->git_root, work->call->repo, work->bare,
				 err);
	if (rc == 0)
		rc = loam_git_push_enter(work->bare, &work->push_fd, err);
	return rc < 0 ? rc : loam_git_open(work->bare, &work->git, err);
}

static int add_notes(struct work *work, struct loam_err *err)
{
	struct loam_buf *notes = &work->out->published.notes;
	if (work->notes.bytes == 0 || notes->bytes + work->notes.bytes > notes->max_bytes)
		return 0;
	return loam_buf_add(notes, work->notes.data, work->notes.bytes, err);
}

static int run(struct work *work, struct loam_err *err)
{
	int rc = check_caller(work, err);
	if (rc == 0)
		rc = check_dir(work, err);
	if (rc == 0)
		rc = open_repository(work, err);
	if (rc == 0)
		rc = read_base(work, err);
	if (rc == 0)
		rc = snapshot(work, err);
	if (rc == 0)
		rc = commit(work, err);
	if (rc == 0)
		rc = loam_failpoint("commit_dir.committed", err);
	if (rc < 0)
		return rc;
	close(work->push_fd); /* the push is over: what publishing does needs no lock */
	work->push_fd = -1;
	mark(work);
	rc = loam_publish_first(work->publisher, work->call->repo, work->out->branch,
				&work->out->published, err);
	return rc < 0 ? rc : add_notes(work, err);
}

int loam_commit_dir(struct loam_publisher *publisher, const struct loam_commit_dir *call,
		    struct loam_committed_dir *out, struct loam_err *err)
{
	struct work work = { .publisher = publisher,
			     .call = call,
			     .out = out,
			     .notes = LOAM_BUF(NOTES_BYTES_MAX),
			     .push_fd = -1 };
	*out = (struct loam_committed_dir){ 0 };
	work.objects = loam_objects_new(publisher->tree);
	int rc = run(&work, err);
	release(&work);
	if (rc < 0)
		loam_committed_dir_release(out);
	return rc;
}
