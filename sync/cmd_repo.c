/*
 * loam repo …: repositories from the command line. Whoever holds META is the administrator.
 */
#include "auth/explain.h"
#include "auth/instance.h"
#include "auth/repos.h"
#include "auth/ssh_door.h"
#include "core/json.h"
#include "core/privileges.h"
#include "fs/files.h"
#include "lfs/lfs.h"
#include "lfs/staging.h"
#include "sync/commands.h"
#include "sync/git_dir.h"
#include "sync/publish.h"
#include "sync/swap.h"

#include <stdio.h>
#include <string.h>

struct repo_opts {
	const char *meta, *owner;
	bool make_private, make_internal, make_public, json;
};

#define META_OPT                                                          \
	LOAM_OPT(struct repo_opts, meta, "meta", 0, LOAM_OPT_TEXT, "URL", \
		 "the volume (default: LOAM_META, then meta.url of the configuration)")
#define JSON_OPT LOAM_OPT(struct repo_opts, json, "json", 0, LOAM_OPT_FLAG, NULL, "print JSON")

static int open_instance(const struct repo_opts *opts, struct loam_instance **out,
			 struct loam_err *err)
{
	return loam_instance_open(&(struct loam_instance_options){ .meta_url = opts->meta }, out,
				  err);
}

/* The URL that users clone: models without their kind, as on the Hub. */
static void print_url(const struct loam_config *config, const struct loam_repo *repo)
{
	bool tls = config->server_tls_cert[0] != '\0';
	loam_auto_free char *base =
		config->server_url[0]
			? loam_xstrdup(config->server_url)
			: loam_xasprintf("%s://%s", tls ? "https" : "http", config->server_listen);
	size_t bytes = strlen(base);
	if (bytes > 0 && base[bytes - 1] == '/')
		base[bytes - 1] = '\0';
	loam_auto_free char *path =
		loam_xasprintf("%s%s%s/%s.git",
			       repo->kind == LOAM_KIND_MODELS ? "" : loam_kind_name(repo->kind),
			       repo->kind == LOAM_KIND_MODELS ? "" : "/", repo->ns, repo->name);
	loam_auto_free char *ssh = loam_ssh_url(config);
	if (ssh)
		fprintf(stderr, "loam: over SSH: %s/%s\n", ssh, path);
	printf("%s/%s\n", base, path);
}

/* ---- create ---------------------------------------------------------------------------------- */

static int chosen_visibility(const struct repo_opts *opts, enum loam_visibility *out)
{
	if (opts->make_private + opts->make_internal + opts->make_public > 1)
		return -1;
	*out = opts->make_public ? LOAM_PUBLIC : opts->make_internal ? LOAM_INTERNAL : LOAM_PRIVATE;
	return 0;
}

/* --owner, else who owns the namespace already, else the user or group of its name. */
static int find_owner(struct loam_instance *instance, const struct repo_opts *opts,
		      const struct loam_repo *repo, struct loam_grantee *out, struct loam_err *err)
{
	static const struct loam_principal administrator = { .kind = LOAM_ADMIN };
	if (opts->owner)
		return loam_account_store_who(loam_auth_accounts(instance->auth), opts->owner, out,
					      err);
	return loam_auth_check_create(instance->auth, &administrator, repo, out, err);
}

static int run_create(const void *options, int argc, char **argv)
{
	const struct repo_opts *opts = options;
	enum loam_visibility visibility;
	if (chosen_visibility(opts, &visibility) < 0)
		return loam_cmd_misused("--private, --internal and --public exclude one another");
	struct loam_err err = { 0 };
	struct loam_repo repo;
	loam_auto_instance struct loam_instance *instance = NULL;
	struct loam_grantee owner;
	uint64_t ino;
	if (loam_repo_parse(argv[0], &repo, &err) < 0 || open_instance(opts, &instance, &err) < 0 ||
	    find_owner(instance, opts, &repo, &owner, &err) < 0 ||
	    loam_repos_create(&instance->tree, &repo, &owner, visibility, &ino, &err) < 0)
		return loam_cmd_failed(&err);
	fprintf(stderr, "loam: %s repository %s/%s/%s made\n", loam_visibility_name(visibility),
		loam_kind_name(repo.kind), repo.ns, repo.name);
	print_url(instance->config, &repo);
	return 0;
}

const struct loam_cmd loam_cmd_repo_create = {
	.name = "repo create",
	.usage = "[options] REPO",
	.summary = "make a repository, empty; prints its Git URL",
	.options =
		(const struct loam_opt[]){
			META_OPT,
			LOAM_OPT(struct repo_opts, owner, "owner", 0, LOAM_OPT_TEXT, "WHO",
				 "the user or group that owns the namespace, if it is new"),
			LOAM_OPT(struct repo_opts, make_private, "private", 0, LOAM_OPT_FLAG, NULL,
				 "for those with a grant (default)"),
			LOAM_OPT(struct repo_opts, make_internal, "internal", 0, LOAM_OPT_FLAG,
				 NULL, "every account may read"),
			LOAM_OPT(struct repo_opts, make_public, "public", 0, LOAM_OPT_FLAG, NULL,
				 "everybody may read, without an account too"),
			LOAM_OPT_END },
	.options_bytes = sizeof(struct repo_opts),
	.args_min = 1,
	.args_max = 1,
	.run = run_create,
};

/* ---- show, list ------------------------------------------------------------------------------ */

struct printer {
	struct loam_instance *instance;
	const struct loam_accounts *accounts;
	bool grants;
	json_t *array; /* NULL: text */
};

/* "" without an owner */
static void owner_text(const struct printer *printer, const struct loam_gate *gate,
		       char out[LOAM_GRANTEE_TEXT_BYTES])
{
	struct loam_grantee owner = { .is_group = gate->owner_gid != UINT32_MAX,
				      .id = gate->owner_gid != UINT32_MAX ? gate->owner_gid
									  : gate->owner_uid };
	out[0] = '\0';
	if (owner.id != UINT32_MAX)
		loam_accounts_who_text(printer->accounts, &owner, out);
}

static json_t *gate_json(const struct printer *printer, const char *text,
			 const struct loam_gate *gate, const struct loam_gate_state *state)
{
	char owner[LOAM_GRANTEE_TEXT_BYTES];
	owner_text(printer, gate, owner);
	return json_pack("{s:s, s:s, s:s, s:s, s:I, s:I}", "repo", text, "visibility",
			 loam_visibility_name(loam_gate_visibility(gate)), "owner", owner, "commit",
			 state->commit, "files", (json_int_t)state->files, "bytes",
			 (json_int_t)state->bytes);
}

static void print_gate(const struct printer *printer, const char *text,
		       const struct loam_gate *gate, const struct loam_gate_state *state)
{
	char owner[LOAM_GRANTEE_TEXT_BYTES];
	owner_text(printer, gate, owner);
	printf("%-40s %-8s owner %-12s %.12s%s%llu files, %llu bytes\n", text,
	       loam_visibility_name(loam_gate_visibility(gate)), owner[0] ? owner : "-",
	       state->commit[0] ? state->commit : "empty", state->commit[0] ? "  " : "         ",
	       (unsigned long long)state->files, (unsigned long long)state->bytes);
}

/* "alice  write  granted here (write); member of team" */
static void print_explanation(const struct loam_explanation *explanation)
{
	for (size_t i = 0; i < explanation->count; i++) {
		const struct loam_explained *row = &explanation->rows[i];
		printf("    %-16s %-9s %-7s %s%s\n", row->who, loam_explained_kind(row),
		       loam_right_name(row->right), row->why, row->disabled ? "; disabled" : "");
	}
}

/* Who may do what, and why. */
static int explain(const struct printer *printer, const struct loam_repo *repo, json_t *object,
		   struct loam_err *err)
{
	struct loam_explanation explanation = { 0 };
	int rc = loam_explain(&printer->instance->tree, printer->accounts, repo, &explanation, err);
	if (rc == 0 && object)
		json_object_set_new(object, "grants", loam_explanation_json(&explanation));
	else if (rc == 0)
		print_explanation(&explanation);
	loam_explanation_release(&explanation);
	return rc;
}

static int print_repo(void *arg, const struct loam_repo *repo, uint64_t gate_ino,
		      struct loam_err *err)
{
	struct printer *printer = arg;
	char text[LOAM_REPO_TEXT_BYTES];
	struct loam_gate gate;
	struct loam_gate_state state;
	loam_repo_text(repo, text);
	int rc = loam_gate_read(&printer->instance->tree, repo, &gate, err);
	if (rc <= 0)
		return rc < 0 ? rc : loam_fail(err, LOAM_E_NOT_FOUND, "no repository '%s'", text);
	rc = loam_gate_state_read(&printer->instance->tree, repo, &state, err);
	json_t *object = NULL;
	if (rc == 0 && printer->array) {
		object = gate_json(printer, text, &gate, &state);
		json_array_append_new(printer->array, object);
	} else if (rc == 0) {
		print_gate(printer, text, &gate, &state);
	}
	loam_gate_release(&gate);
	return rc < 0 || !printer->grants ? rc : explain(printer, repo, object, err);
}

static int print_all(struct printer *printer, const char *one, bool json, struct loam_err *err)
{
	loam_auto_json json_t *array = json_array();
	printer->array = json ? array : NULL;
	struct loam_repo repo;
	int rc = 0;
	if (one) {
		rc = loam_repo_parse(one, &repo, err);
		if (rc == 0)
			rc = print_repo(printer, &repo, 0, err);
	} else {
		rc = loam_repos_each(&printer->instance->tree, print_repo, printer, err);
	}
	if (rc < 0 || !json)
		return rc;
	loam_auto_buf struct loam_buf text = LOAM_BUF(256u << 20);
	rc = loam_json_print(one ? json_array_get(array, 0) : array, &text, err);
	if (rc == 0)
		printf("%s\n", loam_buf_text(&text));
	return rc;
}

static int run_show(const void *options, int argc, char **argv)
{
	const struct repo_opts *opts = options;
	struct loam_err err = { 0 };
	loam_auto_instance struct loam_instance *instance = NULL;
	struct printer printer = { .grants = argc == 1 };
	int rc = open_instance(opts, &instance, &err);
	printer.instance = instance;
	if (rc == 0)
		rc = loam_account_store_get(loam_auth_accounts(instance->auth), true,
					    &printer.accounts, &err);
	if (rc == 0) {
		rc = print_all(&printer, argc == 1 ? argv[0] : NULL, opts->json, &err);
		loam_account_store_put(loam_auth_accounts(instance->auth), printer.accounts);
	}
	return rc < 0 ? loam_cmd_failed(&err) : 0;
}

const struct loam_cmd loam_cmd_repo_show = {
	.name = "repo show",
	.usage = "[options] REPO",
	.summary = "print a repository: what it shows, and who may do what",
	.options = (const struct loam_opt[]){ META_OPT, JSON_OPT, LOAM_OPT_END },
	.options_bytes = sizeof(struct repo_opts),
	.args_min = 1,
	.args_max = 1,
	.run = run_show,
};

const struct loam_cmd loam_cmd_repo_list = {
	.name = "repo list",
	.usage = "[options]",
	.summary = "print all repositories",
	.options = (const struct loam_opt[]){ META_OPT, JSON_OPT, LOAM_OPT_END },
	.options_bytes = sizeof(struct repo_opts),
	.run = run_show,
};

/* ---- visibility, delete, default-branch ------------------------------------------------------ */

static int run_visibility(const void *options, int argc, char **argv)
{
	struct loam_err err = { 0 };
	struct loam_repo repo;
	enum loam_visibility visibility;
	loam_auto_instance struct loam_instance *instance = NULL;
	if (loam_visibility_parse(argv[1], &visibility, &err) < 0)
		return loam_cmd_misused("%s", err.text);
	if (loam_repo_parse(argv[0], &repo, &err) < 0 ||
	    open_instance(options, &instance, &err) < 0 ||
	    loam_repos_set_visibility(&instance->tree, &repo, visibility, &err) < 0)
		return loam_cmd_failed(&err);
	return 0;
}

const struct loam_cmd loam_cmd_repo_visibility = {
	.name = "repo visibility",
	.usage = "[options] REPO private|internal|public",
	.summary = "set who may read a repository without a grant",
	.options = (const struct loam_opt[]){ META_OPT, LOAM_OPT_END },
	.options_bytes = sizeof(struct repo_opts),
	.args_min = 2,
	.args_max = 2,
	.run = run_visibility,
};

/* Deploy keys, which a later repository of this name must not have; then the gate, with all below
 * it at one instant: from then on nobody finds it, and no half of a tree is ever seen. The commits
 * are set aside, not lost. */
static int delete_repo(struct loam_instance *instance, const struct loam_repo *repo,
		       struct loam_err *err)
{
	char gate[LOAM_PATH_BYTES_MAX], links[LOAM_PATH_BYTES_MAX];
	struct loam_gate_state state;
	int rc = loam_gate_state_read(&instance->tree, repo, &state, err);
	if (rc < 0)
		return rc;
	char text[LOAM_REPO_TEXT_BYTES];
	loam_repo_text(repo, text);
	loam_tree_gate_path(&instance->tree, repo, gate);
	loam_tree_links_path(&instance->tree, repo, links);
	if ((rc = loam_account_store_drop_keys(loam_auth_accounts(instance->auth), text, err)) <
		    0 ||
	    (rc = loam_staging_discard(&instance->tree, gate, err)) < 0 ||
	    (rc = loam_lfs_drop_repo(&instance->tree, repo, err)) < 0 ||
	    (rc = loam_files_remove(instance->volume, links, err)) < 0 ||
	    (rc = loam_git_dir_set_aside(instance->config->server_repos, repo, err)) < 0)
		return rc;
	return loam_meta_barrier(instance->volume->meta, err);
}

static int run_delete(const void *options, int argc, char **argv)
{
	struct loam_err err = { 0 };
	struct loam_repo repo;
	loam_auto_instance struct loam_instance *instance = NULL;
	if (loam_repo_parse(argv[0], &repo, &err) < 0 ||
	    open_instance(options, &instance, &err) < 0 || delete_repo(instance, &repo, &err) < 0)
		return loam_cmd_failed(&err);
	fprintf(stderr, "loam: deleted; its commits are set aside beside where they stood\n");
	return 0;
}

const struct loam_cmd loam_cmd_repo_delete = {
	.name = "repo delete",
	.usage = "[options] REPO",
	.summary = "remove a repository, its tree and its LFS objects",
	.options = (const struct loam_opt[]){ META_OPT, LOAM_OPT_END },
	.options_bytes = sizeof(struct repo_opts),
	.args_min = 1,
	.args_max = 1,
	.run = run_delete,
};

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

static int run_default_branch(const void *options, int argc, char **argv)
{
	struct loam_err err = { 0 };
	struct loam_repo repo;
	loam_auto_instance struct loam_instance *instance = NULL;
	struct loam_publisher *publisher = NULL;
	struct loam_published published = { 0 };
	char path[LOAM_PATH_BYTES_MAX];
	int rc = loam_repo_parse(argv[0], &repo, &err);
	if (rc == 0)
		rc = open_instance(options, &instance, &err);
	if (rc == 0)
		rc = loam_publisher_open(&instance->tree, instance->config, NULL,
					 instance->config->server_repos, &publisher, &err);
	if (rc == 0)
		rc = loam_git_dir(publisher, &repo, path, &err);
	if (rc == 0)
		rc = set_head(path, argv[1], &err);
	if (rc == 0)
		rc = loam_publish(publisher, &repo, &published, &err);
	loam_published_release(&published);
	loam_publisher_close(publisher);
	return rc < 0 ? loam_cmd_failed(&err) : 0;
}

const struct loam_cmd loam_cmd_repo_default_branch = {
	.name = "repo default-branch",
	.usage = "[options] REPO BRANCH",
	.summary = "choose the branch that stands on the mount, and publish it",
	.options = (const struct loam_opt[]){ META_OPT, LOAM_OPT_END },
	.options_bytes = sizeof(struct repo_opts),
	.args_min = 2,
	.args_max = 2,
	.run = run_default_branch,
};
