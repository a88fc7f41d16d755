/*
 * `loam fsck`, gates and what they show (sync/fsck_tree.h): what step 8 of a push must leave.
 */
#include "sync/fsck_tree.h"

#include "auth/gate.h"
#include "auth/repos.h"
#include "core/auto.h"
#include "core/clock.h"
#include "core/process.h"
#include "fs/files.h"
#include "sync/fsck_published.h"
#include "sync/git_dir.h"
#include "sync/swap.h"

#include <stdlib.h>
#include <string.h>

#define LOOKS		 10
#define AGAIN_MS	 1000u
#define PATIENCE_MS	 30000u /* of one run, for publishes on their way */
#define LINES_MAX	 1000	/* of one repository; more are counted */
#define GIT_FSCK_MS	 3600000u
#define ID_BYTES	 64
#define ACL_WRITE	 2
#define MODE_GROUP_WRITE 020

/* Findings of one look at one repository, kept until it is known that they hold. */
struct lines {
	char *ids[LINES_MAX], *texts[LINES_MAX];
	size_t count, more;
};

struct check {
	const struct loam_tree *tree;
	const struct loam_fsck_tree_options *options;
	const struct loam_fsck_sink *sink; /* where findings end up */
	struct loam_fsck_sink keeper;	   /* where they are kept meanwhile */
	struct lines lines;
	uint64_t patience_ms;
	struct loam_fsck_tree_stats stats;
};

static void keep(void *arg, const char *id, const char *text)
{
	struct check *check = arg;
	struct lines *lines = &check->lines;
	if (lines->count == LINES_MAX) {
		lines->more++;
		return;
	}
	lines->ids[lines->count] = loam_xstrdup(id);
	lines->texts[lines->count++] = loam_xstrdup(text);
}

static void pass_progress(void *arg, const char *what, uint64_t done)
{
	const struct check *check = arg;
	if (check->sink->progress)
		check->sink->progress(check->sink->arg, what, done);
}

static void drop_lines(struct check *check, bool say, const char *repo)
{
	struct lines *lines = &check->lines;
	for (size_t i = 0; i < lines->count; i++) {
		if (say)
			loam_fsck_found(check->sink, lines->ids[i], "%s", lines->texts[i]);
		free(lines->ids[i]);
		free(lines->texts[i]);
	}
	if (say && lines->more > 0)
		loam_fsck_found(check->sink, "M02", "%s: %zu more findings", repo, lines->more);
	lines->count = lines->more = 0;
}

#define FOUND(check, ...) loam_fsck_found(&(check)->keeper, __VA_ARGS__)

/* ---- the gate -------------------------------------------------------------------------------- */

static int check_gate(struct check *check, const struct loam_repo *repo, const char *text,
		      struct loam_err *err)
{
	struct loam_gate gate;
	int rc = loam_gate_read(check->tree, repo, &gate, err);
	if (rc <= 0)
		return rc;
	if (gate.attr.access_acl == 0 && (gate.attr.mode & MODE_GROUP_WRITE))
		FOUND(check, "M07", "the gate %s has mode %04o: its group may write", text,
		      gate.attr.mode);
	if (gate.attr.access_acl != 0 &&
	    (gate.acl.mask == LOAM_ACL_ABSENT || (gate.acl.mask & ACL_WRITE)))
		FOUND(check, "M07", "the ACL of the gate %s lets others write on the mount", text);
	loam_gate_release(&gate);
	return 0;
}

/* ---- the bare repository --------------------------------------------------------------------- */

static int read_id(struct check *check, uint64_t ino, const char *name, char *out, size_t out_bytes,
		   struct loam_err *err)
{
	loam_auto_buf struct loam_buf value = LOAM_BUF(out_bytes - 1);
	int rc = loam_meta_getxattr(check->tree->volume->meta, ino, name, &value, err);
	if (rc == -LOAM_E_NO_DATA || rc == -LOAM_E_NOT_FOUND) {
		loam_err_clear(err);
		return 0;
	}
	snprintf(out, out_bytes, "%s", loam_buf_text(&value));
	return rc < 0 ? rc : 1;
}

/* The bare repository as it stands, nothing made: 1, 0 there is none. */
static int open_git(struct check *check, const struct loam_repo *repo, uint64_t gate_ino,
		    char *out_path, git_repository **out_git, struct loam_err *err)
{
	char id[ID_BYTES] = "", text[LOAM_REPO_TEXT_BYTES];
	int rc = read_id(check, gate_ino, LOAM_XATTR_GIT, out_path, LOAM_PATH_BYTES_MAX, err);
	if (rc == 0) {
		rc = read_id(check, gate_ino, LOAM_XATTR_ID, id, sizeof(id), err);
		loam_repo_text(repo, text);
		snprintf(out_path, LOAM_PATH_BYTES_MAX, "%s/%s.git", check->options->git_root,
			 text);
	}
	if (rc < 0)
		return rc;
	struct loam_err own = { 0 };
	if (loam_git_open(out_path, out_git, &own) < 0)
		return 0;
	git_config *config = NULL;
	git_buf value = { 0 };
	bool foreign = false; /* of a repository of this name that was deleted */
	if (id[0] && git_repository_config_snapshot(&config, *out_git) == 0 &&
	    git_config_get_string_buf(&value, config, "loam.id") == 0)
		foreign = strcmp(value.ptr, id) != 0;
	git_buf_dispose(&value);
	git_config_free(config);
	if (!foreign)
		return 1;
	git_repository_free(*out_git);
	*out_git = NULL;
	return 0;
}

static int run_git_fsck(struct check *check, const char *path, const char *text,
			struct loam_err *err)
{
	const char *search = getenv("PATH");
	loam_auto_free char *path_env =
		loam_xasprintf("PATH=%s", search ? search : "/usr/local/bin:/usr/bin:/bin");
	loam_auto_free char *git_dir = loam_xasprintf("--git-dir=%s", path);
	const char *argv[] = {
		"git",		 git_dir,	  "fsck", "--strict", "--connectivity-only",
		"--no-dangling", "--no-progress", NULL
	};
	const char *env[] = { path_env, "LC_ALL=C", "GIT_CONFIG_NOSYSTEM=1", "HOME=/nonexistent",
			      NULL };
	struct loam_process_spec spec = { .argv = argv, .env = env };
	struct loam_err own = { 0 };
	int rc = loam_process_run(&spec, NULL, 0, NULL, GIT_FSCK_MS, &own);
	if (rc == -LOAM_E_NOT_FOUND || rc == -LOAM_E_BUSY)
		return loam_fail(err, own.code, "%s", own.text);
	if (rc < 0)
		FOUND(check, "G01", "%s: %s", text, own.text);
	return 0;
}

/* The tree of the commit that the gate names: 1, 0 the repository does not have it. */
static int shown_tree(git_repository *git, const char *hex, git_tree **out)
{
	git_oid oid;
	git_commit *commit = NULL;
	bool found = git_oid_fromstr(&oid, hex) == 0 &&
		     git_commit_lookup(&commit, git, &oid) == 0 &&
		     git_commit_tree(out, commit) == 0;
	git_commit_free(commit);
	return found;
}

static int check_against_git(struct check *check, git_repository *git,
			     const struct loam_gate_state *state, const char *text,
			     struct loam_err *err)
{
	git_oid head;
	char hex[GIT_OID_HEXSZ + 1] = "";
	int rc = loam_git_head(git, true, NULL, &head, err);
	if (rc < 0)
		return rc;
	if (rc == 1)
		git_oid_tostr(hex, sizeof(hex), &head);
	if (strcmp(hex, state->commit) != 0)
		FOUND(check, "M01", "%s shows %s, its branch is at %s", text,
		      state->commit[0] ? state->commit : "nothing", hex[0] ? hex : "nothing");
	git_tree *tree = NULL;
	if (state->commit[0] && !shown_tree(git, state->commit, &tree)) {
		FOUND(check, "M01", "%s shows %s, which its repository does not have", text,
		      state->commit);
		return 0;
	}
	struct loam_fsck_published published = { .volume = check->tree->volume,
						 .git = git,
						 .sink = &check->keeper,
						 .repo = text,
						 .deep = check->options->deep };
	rc = loam_fsck_published(&published, state->ino, tree, err);
	check->stats.files += published.files;
	git_tree_free(tree);
	return rc;
}

static int check_shown(struct check *check, const struct loam_repo *repo,
		       const struct loam_gate_state *state, const char *text, struct loam_err *err)
{
	char path[LOAM_PATH_BYTES_MAX] = "";
	git_repository *git = NULL;
	if (!check->options->git_root)
		return 0;
	int rc = open_git(check, repo, state->ino, path, &git, err);
	if (rc < 0)
		return rc;
	if (rc == 0) {
		if (state->commit[0])
			FOUND(check, "G01", "%s shows a commit, but %s is no repository of it",
			      text, path);
		return 0;
	}
	struct loam_err own = { 0 };
	rc = check_against_git(check, git, state, text, &own);
	git_repository_free(git);
	if (own.code == LOAM_E_UNAVAILABLE)
		return loam_fail(err, own.code, "%s", own.text);
	if (rc < 0)
		FOUND(check, "M02", "%s: %s", text, own.text);
	return check->options->deep ? run_git_fsck(check, path, text, err) : 0;
}

/* ---- one repository -------------------------------------------------------------------------- */

struct looked {
	bool gone, still; /* still: the gate showed the same before and after */
	uint64_t ino;
	char commit[65];
};

static int look(struct check *check, const struct loam_repo *repo, const char *text,
		struct looked *out, struct loam_err *err)
{
	struct loam_gate_state before, after;
	*out = (struct looked){ 0 };
	int rc = loam_gate_state_read(check->tree, repo, &before, err);
	if (rc == 0)
		rc = check_gate(check, repo, text, err);
	if (rc == 0)
		rc = check_shown(check, repo, &before, text, err);
	if (rc == 0)
		rc = loam_gate_state_read(check->tree, repo, &after, err);
	if (rc == -LOAM_E_NOT_FOUND) {
		loam_err_clear(err);
		out->gone = true;
		return 0;
	}
	if (rc < 0)
		return rc;
	out->still = before.ino == after.ino && strcmp(before.commit, after.commit) == 0;
	out->ino = after.ino;
	memcpy(out->commit, after.commit, sizeof(out->commit));
	return 0;
}

static bool only_waits(const struct lines *lines)
{
	for (size_t i = 0; i < lines->count; i++) {
		if (strcmp(lines->ids[i], "M01") != 0)
			return false;
	}
	return true;
}

/*
 * Findings hold when the gate shows the same in two looks, a moment apart. A branch that is ahead
 * of its gate may be on its way there: for that there is patience, as long as it lasts.
 */
static bool is_decided(struct check *check, const struct looked *last, const struct looked *now,
		       int turn)
{
	if (now->gone || (now->still && check->lines.count == 0) || turn == LOOKS - 1)
		return true;
	bool same = turn > 0 && now->still && last->still && last->ino == now->ino &&
		    strcmp(last->commit, now->commit) == 0;
	if (same && only_waits(&check->lines) && check->patience_ms >= AGAIN_MS) {
		check->patience_ms -= AGAIN_MS;
		return false;
	}
	return same;
}

static int check_repo(void *arg, const struct loam_repo *repo, uint64_t gate_ino,
		      struct loam_err *err)
{
	struct check *check = arg;
	struct looked last = { 0 }, now = { 0 };
	char text[LOAM_REPO_TEXT_BYTES];
	loam_repo_text(repo, text);
	check->stats.repositories++;
	uint64_t files = check->stats.files;
	for (int turn = 0; turn < LOOKS; turn++) {
		check->stats.files = files;
		int rc = look(check, repo, text, &now, err);
		if (rc < 0) {
			drop_lines(check, false, text);
			return loam_context(err, "%s", text);
		}
		if (is_decided(check, &last, &now, turn)) {
			bool same = last.still && strcmp(last.commit, now.commit) == 0;
			drop_lines(check, !now.gone && now.still && same, text);
			return 0;
		}
		drop_lines(check, false, text);
		last = now;
		loam_clock_sleep_ms(AGAIN_MS);
	}
	return 0;
}

/* ---- what is no gate ------------------------------------------------------------------------- */

/* Only the service makes entries in kinds and namespaces; another's are no repository to any door.
 */
static int check_owned(struct check *check, uint64_t ino, const char *path, unsigned depth,
		       struct loam_err *err)
{
	struct loam_dir *dir = NULL;
	int rc = loam_meta_opendir(check->tree->volume->meta, ino, true, &dir, err);
	if (rc == -LOAM_E_NOT_FOUND) { /* gone in this moment */
		loam_err_clear(err);
		return 0;
	}
	if (rc < 0)
		return rc;
	for (size_t i = 0; rc == 0 && i < loam_dir_count(dir); i++) {
		const struct loam_dir_entry *entry = loam_dir_at(dir, i);
		if (!entry->has_attr)
			continue;
		loam_auto_free char *below =
			loam_xasprintf("%s/%.*s", path, entry->name.bytes, entry->name.data);
		if (entry->attr.type != LOAM_TYPE_DIR)
			loam_fsck_found(check->sink, "M07", "%s is no directory", below);
		else if (entry->attr.uid != LOAM_SERVICE_ID)
			loam_fsck_found(check->sink, "M07", "%s belongs to %u, not to the service",
					below, entry->attr.uid);
		else if (depth == 0)
			rc = check_owned(check, entry->dentry.ino, below, depth + 1, err);
	}
	loam_dir_close(dir);
	return rc;
}

static int check_places(struct check *check, struct loam_err *err)
{
	int rc = 0;
	for (int kind = 0; rc == 0 && kind <= LOAM_KIND_CODE; kind++) {
		char path[LOAM_PATH_BYTES_MAX];
		uint64_t ino;
		struct loam_attr attr;
		snprintf(path, sizeof(path), "%s/%s", check->tree->root,
			 loam_kind_name((enum loam_kind)kind));
		rc = loam_files_lookup(check->tree->volume, path, &ino, &attr, err);
		if (rc == 0 && attr.uid != LOAM_SERVICE_ID)
			loam_fsck_found(check->sink, "M07", "%s belongs to %u, not to the service",
					path, attr.uid);
		if (rc == 0)
			rc = check_owned(check, ino, path, 0, err);
	}
	return rc;
}

int loam_fsck_tree(const struct loam_tree *tree, const struct loam_fsck_tree_options *options,
		   const struct loam_fsck_sink *sink, struct loam_fsck_tree_stats *out_stats,
		   struct loam_err *err)
{
	loam_auto_free struct check *check = loam_xnew(struct check);
	*check = (struct check){
		.tree = tree, .options = options, .sink = sink, .patience_ms = PATIENCE_MS
	};
	check->keeper =
		(struct loam_fsck_sink){ .found = keep, .progress = pass_progress, .arg = check };
	git_libgit2_init();
	int rc = check_places(check, err);
	if (rc == 0)
		rc = loam_repos_each(tree, check_repo, check, err);
	git_libgit2_shutdown();
	if (rc == 0)
		*out_stats = check->stats;
	return rc;
}
