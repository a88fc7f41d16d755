/*
 * Operations on repositories (auth/op.h): listed, made, shown, deleted, their branch and
 * visibility.
 */
#include "sync/op_repo.h"

#include "auth/account_store.h"
#include "auth/audit.h"
#include "auth/explain.h"
#include "auth/ssh_door.h"
#include "core/auto.h"
#include "core/clock.h"
#include "core/cmd.h"
#include "core/privileges.h"
#include "fs/files.h"
#include "lfs/lfs.h"
#include "lfs/staging.h"
#include "sync/git_dir.h"
#include "sync/publish.h"
#include "sync/swap.h"

#include <string.h>

#define LIST_ROWS_MAX	  1000
#define LIST_ROWS_DEFAULT 100

const struct loam_op *const loam_sync_ops[] = {
	&loam_op_repo_list,    &loam_op_repo_create,	 &loam_op_repo_show,
	&loam_op_repo_delete,  &loam_op_repo_visibility, &loam_op_repo_default_branch,
	&loam_op_repo_publish, &loam_op_repo_fork,	 NULL,
};

/* ---- as JSON --------------------------------------------------------------------------------- */

static json_t *row_json(const struct loam_accounts *accounts, const char *text,
			const struct loam_gate *gate, const struct loam_gate_state *state)
{
	bool is_group = gate->owner_gid != UINT32_MAX;
	struct loam_grantee owner = { .is_group = is_group,
				      .id = is_group ? gate->owner_gid : gate->owner_uid };
	char owner_text[LOAM_GRANTEE_TEXT_BYTES] = "";
	if (owner.id != UINT32_MAX)
		loam_accounts_who_text(accounts, &owner, owner_text);
	return json_pack("{s:s, s:s, s:s, s:s, s:I, s:I}", "repo", text, "visibility",
			 loam_visibility_name(loam_gate_visibility(gate)), "owner", owner_text,
			 "commit", state->commit, "files", (json_int_t)state->files, "bytes",
			 (json_int_t)state->bytes);
}

/* ---- list ------------------------------------------------------------------------------------ */

struct listing {
	struct loam_op_call *call;
	const struct loam_accounts *accounts;
	bool has_after;
	struct loam_repo after;
	size_t limit;
};

/* The order of loam_repos_each. */
static int compare_repos(const struct loam_repo *a, const struct loam_repo *b)
{
	if (a->kind != b->kind)
		return a->kind < b->kind ? -1 : 1;
	int rc = strcmp(a->ns, b->ns);
	return rc ? rc : strcmp(a->name, b->name);
}

/* Whether a repository may be seen is asked for each of them. */
static int list_one(void *arg, const struct loam_repo *repo, uint64_t gate_ino,
		    struct loam_err *err)
{
	struct listing *listing = arg;
	const struct loam_tree *tree = loam_auth_tree(listing->call->context->auth);
	char text[LOAM_REPO_TEXT_BYTES];
	struct loam_gate gate;
	struct loam_gate_state state;
	if (listing->has_after && compare_repos(repo, &listing->after) <= 0)
		return 0;
	loam_repo_text(repo, text);
	int rc = loam_gate_read(tree, repo, &gate, err);
	if (rc <= 0) /* deleted in this moment */
		return rc;
	bool visible = loam_auth_decide(listing->call->who, &gate, text, LOAM_WANT_READ);
	rc = visible ? loam_gate_state_read(tree, repo, &state, err) : 0;
	if (rc == -LOAM_E_NOT_FOUND) {
		loam_err_clear(err);
		visible = false;
		rc = 0;
	}
	if (rc == 0 && visible)
		json_array_append_new(listing->call->answer,
				      row_json(listing->accounts, text, &gate, &state));
	loam_gate_release(&gate);
	if (rc < 0)
		return rc;
	return json_array_size(listing->call->answer) >= listing->limit;
}

static int read_page(const struct loam_op_call *call, struct listing *listing, struct loam_err *err)
{
	const char *limit = loam_op_word(call, "limit"), *after = loam_op_word(call, "after");
	uint64_t rows = LIST_ROWS_DEFAULT;
	if (limit && loam_parse_u64(limit, 1, UINT64_MAX, &rows, err) < 0) {
		loam_err_clear(err);
		return loam_fail(err, LOAM_E_UNPROCESSABLE, "'limit' is a whole number from 1");
	}
	listing->limit = rows < LIST_ROWS_MAX ? rows : LIST_ROWS_MAX;
	listing->has_after = after != NULL;
	return after ? loam_repo_parse(after, &listing->after, err) : 0;
}

/* What is passed over before a page is full is read too: how long that takes must not tell whether
 * a repository that is not shown stands between two names. */
static int run_list(struct loam_op_call *call, struct loam_err *err)
{
	uint64_t asked_ns = loam_clock_ns();
	struct loam_account_store *store = loam_auth_accounts(call->context->auth);
	struct listing listing = { .call = call };
	int rc = read_page(call, &listing, err);
	if (rc == 0)
		rc = loam_account_store_get(store, true, &listing.accounts, err);
	if (rc < 0)
		return rc;
	call->answer = json_array();
	rc = loam_repos_each(loam_auth_tree(call->context->auth), list_one, &listing, err);
	loam_account_store_put(store, listing.accounts);
	if (call->who->kind != LOAM_ADMIN)
		loam_auth_hide_time(asked_ns, LOAM_HIDE_WALK_MS);
	return rc < 0 ? rc : 0;
}

const struct loam_op loam_op_repo_list = {
	.name = "repo.list",
	.method = LOAM_GET,
	.path = "/repos",
	.query = (const char *const[]){ "after", "limit", NULL },
	.status = 200,
	.run = run_list,
};

/* ---- show ------------------------------------------------------------------------------------ */

/* Who may do what, and why; not told to those without an account. */
static int add_grants(struct loam_op_call *call, const struct loam_accounts *accounts,
		      struct loam_err *err)
{
	struct loam_explanation explanation = { 0 };
	if (call->who->kind == LOAM_ANONYMOUS)
		return 0;
	int rc = loam_explain(loam_auth_tree(call->context->auth), accounts, &call->repo,
			      &explanation, err);
	if (rc == 0)
		json_object_set_new(call->answer, "grants", loam_explanation_json(&explanation));
	loam_explanation_release(&explanation);
	return rc;
}

static int run_show(struct loam_op_call *call, struct loam_err *err)
{
	const struct loam_tree *tree = loam_auth_tree(call->context->auth);
	struct loam_account_store *store = loam_auth_accounts(call->context->auth);
	const struct loam_accounts *accounts = NULL;
	struct loam_gate_state state;
	struct loam_gate gate;
	int rc = loam_gate_state_read(tree, &call->repo, &state, err);
	if (rc == 0)
		rc = loam_account_store_get(store, true, &accounts, err);
	if (rc < 0)
		return rc;
	rc = loam_gate_read(tree, &call->repo, &gate, err);
	if (rc == 1) {
		call->answer = row_json(accounts, call->repo_text, &gate, &state);
		loam_gate_release(&gate);
		rc = add_grants(call, accounts, err);
	} else if (rc == 0) {
		rc = loam_fail(err, LOAM_E_NOT_FOUND, "no repository '%s'", call->repo_text);
	}
	loam_account_store_put(store, accounts);
	return rc;
}

const struct loam_op loam_op_repo_show = {
	.name = "repo.show",
	.method = LOAM_GET,
	.path = "/repos/{repo}",
	.want = LOAM_WANT_READ,
	.status = 200,
	.run = run_show,
};

/* ---- create ---------------------------------------------------------------------------------- */

int loam_repo_choose_owner(struct loam_op_call *call, const struct loam_repo *repo,
			   struct loam_grantee *out, struct loam_err *err)
{
	const char *owner = NULL;
	struct loam_auth *auth = call->context->auth;
	int rc = loam_json_text(call->body, "owner", &owner, err);
	if (rc < 0)
		return rc;
	if (owner && call->who->kind == LOAM_ADMIN)
		return loam_account_store_who(loam_auth_accounts(auth), owner, out, err);
	if (owner)
		return loam_fail(err, LOAM_E_DENIED, "only an administrator names an owner");
	return loam_auth_check_create(auth, call->who, repo, out, err);
}

void loam_repo_add_urls(const struct loam_op_call *call, const struct loam_repo *repo,
			json_t *answer)
{
	bool model = repo->kind == LOAM_KIND_MODELS;
	loam_auto_free char *path =
		loam_xasprintf("%s%s%s/%s.git", model ? "" : loam_kind_name(repo->kind),
			       model ? "" : "/", repo->ns, repo->name);
	loam_auto_free char *url = loam_xasprintf("%s/%s", call->base_url, path);
	json_object_set_new(answer, "url", json_string(url));
	loam_auto_free char *base = loam_ssh_url(call->context->config);
	loam_auto_free char *ssh = base ? loam_xasprintf("%s/%s", base, path) : NULL;
	if (ssh)
		json_object_set_new(answer, "ssh", json_string(ssh));
}

static int run_create(struct loam_op_call *call, struct loam_err *err)
{
	const char *name, *visibility_text = "private";
	enum loam_visibility visibility = LOAM_PRIVATE;
	struct loam_grantee owner;
	uint64_t ino;
	int rc = loam_op_need_text(call, "repo", &name, err);
	if (rc == 0)
		rc = loam_repo_parse(name, &call->repo, err);
	if (rc == 0)
		rc = loam_json_text(call->body, "visibility", &visibility_text, err);
	if (rc >= 0)
		rc = loam_visibility_parse(visibility_text, &visibility, err);
	if (rc == 0)
		rc = loam_repo_choose_owner(call, &call->repo, &owner, err);
	if (rc == 0)
		rc = loam_repos_create(loam_auth_tree(call->context->auth), &call->repo, &owner,
				       visibility, &ino, err);
	if (rc < 0)
		return rc;
	loam_repo_text(&call->repo, call->repo_text);
	call->answer = json_pack("{s:s, s:s}", "repo", call->repo_text, "visibility",
				 loam_visibility_name(visibility));
	loam_repo_add_urls(call, &call->repo, call->answer);
	return 0;
}

const struct loam_op loam_op_repo_create = {
	.name = "repo.create",
	.method = LOAM_POST,
	.path = "/repos",
	.want = LOAM_WANT_WRITE,
	.members = "repo visibility owner",
	.status = 201,
	.run = run_create,
};

/* ---- visibility, delete ---------------------------------------------------------------------- */

static int run_visibility(struct loam_op_call *call, struct loam_err *err)
{
	const char *text;
	enum loam_visibility visibility;
	int rc = loam_op_need_text(call, "visibility", &text, err);
	if (rc == 0)
		rc = loam_visibility_parse(text, &visibility, err);
	if (rc == 0)
		rc = loam_repos_set_visibility(loam_auth_tree(call->context->auth), &call->repo,
					       visibility, err);
	if (rc == 0)
		call->answer = json_pack("{s:s, s:s}", "repo", call->repo_text, "visibility",
					 loam_visibility_name(visibility));
	return rc;
}

const struct loam_op loam_op_repo_visibility = {
	.name = "repo.visibility",
	.method = LOAM_PUT,
	.path = "/repos/{repo}/visibility",
	.want = LOAM_WANT_ADMIN,
	.members = "visibility",
	.status = 200,
	.run = run_visibility,
};

/* Deploy keys, which a later repository of this name must not have; then the gate, with all below
 * it at one instant: from then on nobody finds it, and no half of a tree is ever seen. A key that
 * was added in between goes behind it. The commits are set aside, not lost. */
static int delete_all(struct loam_op_call *call, struct loam_err *err)
{
	const struct loam_tree *tree = loam_auth_tree(call->context->auth);
	char gate[LOAM_PATH_BYTES_MAX], links[LOAM_PATH_BYTES_MAX];
	loam_tree_gate_path(tree, &call->repo, gate);
	loam_tree_links_path(tree, &call->repo, links);
	struct loam_account_store *accounts = loam_auth_accounts(call->context->auth);
	int rc = loam_account_store_drop_keys(accounts, call->repo_text, err);
	if (rc == 0)
		rc = loam_staging_discard(tree, gate, err);
	if (rc == 0)
		rc = loam_account_store_drop_keys(accounts, call->repo_text, err);
	if (rc == 0)
		rc = loam_lfs_drop_repo(tree, &call->repo, err);
	if (rc == 0)
		rc = loam_files_remove(tree->volume, links, err);
	if (rc == 0)
		rc = loam_git_dir_set_aside(call->context->repos, &call->repo, err);
	return rc < 0 ? rc : loam_meta_barrier(tree->volume->meta, err);
}

static int run_delete(struct loam_op_call *call, struct loam_err *err)
{
	int rc = delete_all(call, err);
	return loam_audit(&(struct loam_audit_entry){ .action = "repo.delete",
						      .repo = &call->repo },
			  rc, err);
}

const struct loam_op loam_op_repo_delete = {
	.name = "repo.delete",
	.method = LOAM_DELETE,
	.path = "/repos/{repo}",
	.want = LOAM_WANT_ADMIN,
	.status = 204,
	.run = run_delete,
};

/* ---- default branch -------------------------------------------------------------------------- */

static int set_head(const char *path, const char *branch, struct loam_err *err)
{
	git_repository *git = NULL;
	loam_auto_file_owner struct loam_file_owner owner = loam_file_owner_enter(path);
	int rc = loam_git_open(path, &git, err);
	if (rc < 0)
		return rc;
	loam_auto_free char *ref = loam_xasprintf("refs/heads/%s", branch);
	int valid = 0;
	git_reference_name_is_valid(&valid, ref);
	git_reference *found = NULL;
	if (!valid)
		rc = loam_fail(err, LOAM_E_INVALID, "'%s' is no name of a branch", branch);
	else if (git_reference_lookup(&found, git, ref) < 0)
		rc = loam_fail(err, LOAM_E_NOT_FOUND, "the repository has no branch '%s'", branch);
	else if (git_repository_set_head(git, ref) < 0)
		rc = loam_fail(err, LOAM_E_IO, "HEAD of %s could not be written", path);
	git_reference_free(found);
	git_repository_free(git);
	return rc;
}

static int set_branch(struct loam_op_call *call, struct loam_publisher *publisher,
		      const char *branch, struct loam_err *err)
{
	char path[LOAM_PATH_BYTES_MAX];
	struct loam_published published = { 0 };
	int rc = loam_git_dir(publisher, &call->repo, path, err);
	if (rc == 0)
		rc = set_head(path, branch, err);
	if (rc == 0)
		rc = loam_publish(publisher, &call->repo, &published, err);
	if (rc == 0)
		call->answer = json_pack("{s:s, s:s, s:s}", "repo", call->repo_text, "branch",
					 branch, "commit", published.commit);
	loam_published_release(&published);
	return rc;
}

static int run_default_branch(struct loam_op_call *call, struct loam_err *err)
{
	const struct loam_op_context *context = call->context;
	struct loam_publisher *own = NULL;
	const char *branch;
	int rc = loam_op_need_text(call, "branch", &branch, err);
	if (rc == 0 && !context->publisher)
		rc = loam_publisher_open(loam_auth_tree(context->auth), context->config, NULL,
					 context->repos, &own, err);
	if (rc == 0)
		rc = set_branch(call, own ? own : context->publisher, branch, err);
	loam_publisher_close(own);
	return loam_audit(&(struct loam_audit_entry){ .action = "repo.defaultBranch",
						      .repo = &call->repo,
						      .ref = rc == 0 ? branch : NULL },
			  rc, err);
}

const struct loam_op loam_op_repo_default_branch = {
	.name = "repo.defaultBranch",
	.method = LOAM_PUT,
	.path = "/repos/{repo}/default-branch",
	.want = LOAM_WANT_ADMIN,
	.members = "branch",
	.status = 200,
	.run = run_default_branch,
};
