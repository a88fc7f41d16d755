/*
 * loam repo …: repositories from the command line, as administrator on the volume or as a user
 * through a server (auth/ask.h).
 */
#include "auth/ask.h"
#include "auth/repos.h"
#include "sync/commands.h"
#include "sync/op_repo.h"

#include <string.h>

struct repo_opts {
	struct loam_ask_options ask;
	const char *owner;
	bool make_private, make_internal, make_public, json;
};

#define ASK_OPTS LOAM_ASK_OPTS(struct repo_opts)
#define JSON_OPT LOAM_OPT(struct repo_opts, json, "json", 0, LOAM_OPT_FLAG, NULL, "print JSON")

static const char *text(const json_t *object, const char *name)
{
	const char *value = json_string_value(json_object_get(object, name));
	return value ? value : "";
}

static unsigned long long number(const json_t *object, const char *name)
{
	return (unsigned long long)json_integer_value(json_object_get(object, name));
}

/* One operation on one repository. */
static int ask_repo(const struct repo_opts *opts, const struct loam_op *op, const char *repo_text,
		    const json_t *body, json_t **out_answer, struct loam_err *err)
{
	loam_auto_ask struct loam_ask *ask = NULL;
	struct loam_repo repo;
	const struct loam_op_word words[] = { { "repo", repo_text }, { NULL, NULL } };
	int rc = loam_repo_parse(repo_text, &repo, err);
	if (rc == 0)
		rc = loam_ask_open(&opts->ask, &ask, err);
	return rc < 0 ? rc : loam_ask_op(ask, op, words, body, out_answer, err);
}

#define CREATE_HELP                                                                      \
	"A user makes repositories in the namespace of his name or of a group of his,\n" \
	"which comes with the first one, and in those where he may write.\n\n"

/* ---- create ---------------------------------------------------------------------------------- */

static const char *chosen_visibility(const struct repo_opts *opts)
{
	if (opts->make_private + opts->make_internal + opts->make_public > 1)
		return NULL;
	return opts->make_public ? "public" : opts->make_internal ? "internal" : "private";
}

static int ask_create(const struct repo_opts *opts, const char *repo_text, const json_t *body,
		      json_t **out_answer, struct loam_err *err)
{
	loam_auto_ask struct loam_ask *ask = NULL;
	struct loam_repo repo;
	int rc = loam_repo_parse(repo_text, &repo, err);
	if (rc == 0)
		rc = loam_ask_open(&opts->ask, &ask, err);
	return rc < 0 ? rc : loam_ask_op(ask, &loam_op_repo_create, NULL, body, out_answer, err);
}

static int run_create(const void *options, int argc, char **argv)
{
	const struct repo_opts *opts = options;
	const char *visibility = chosen_visibility(opts);
	if (!visibility)
		return loam_cmd_misused("--private, --internal and --public exclude one another");
	struct loam_err err = { 0 };
	loam_auto_json json_t *answer = NULL;
	loam_auto_json json_t *body =
		json_pack("{s:s, s:s}", "repo", argv[0], "visibility", visibility);
	if (opts->owner)
		json_object_set_new(body, "owner", json_string(opts->owner));
	if (ask_create(opts, argv[0], body, &answer, &err) < 0)
		return loam_cmd_failed(&err);
	fprintf(loam_cmd_err(), "loam: %s repository %s made\n", text(answer, "visibility"),
		text(answer, "repo"));
	if (text(answer, "ssh")[0])
		fprintf(loam_cmd_err(), "loam: over SSH: %s\n", text(answer, "ssh"));
	fprintf(loam_cmd_out(), "%s\n", text(answer, "url"));
	return 0;
}

const struct loam_cmd loam_cmd_repo_create = {
	.name = "repo create",
	.usage = "[options] REPO",
	.summary = "make a repository, empty; prints its Git URL",
	.details = CREATE_HELP LOAM_ASK_HELP,
	.options =
		(const struct loam_opt[]){
			ASK_OPTS,
			LOAM_OPT(struct repo_opts, owner, "owner", 0, LOAM_OPT_TEXT, "WHO",
				 "the user or group that owns the namespace, if it is new "
				 "(administrator)"),
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

static void print_row(const json_t *row)
{
	const char *commit = text(row, "commit"), *owner = text(row, "owner");
	fprintf(loam_cmd_out(), "%-40s %-8s owner %-12s %.12s%s%llu files, %llu bytes\n",
		text(row, "repo"), text(row, "visibility"), owner[0] ? owner : "-",
		commit[0] ? commit : "empty", commit[0] ? "  " : "         ", number(row, "files"),
		number(row, "bytes"));
}

static int run_show(const void *options, int argc, char **argv)
{
	const struct repo_opts *opts = options;
	struct loam_err err = { 0 };
	loam_auto_json json_t *row = NULL;
	int rc = ask_repo(opts, &loam_op_repo_show, argv[0], NULL, &row, &err);
	if (rc == 0 && opts->json)
		rc = loam_json_show(row, &err);
	if (rc < 0)
		return loam_cmd_failed(&err);
	if (opts->json)
		return 0;
	print_row(row);
	size_t index;
	json_t *grant;
	json_array_foreach (json_object_get(row, "grants"), index, grant) {
		bool disabled = json_is_true(json_object_get(grant, "disabled"));
		fprintf(loam_cmd_out(), "    %-16s %-9s %-7s %s%s\n", text(grant, "who"),
			text(grant, "kind"), text(grant, "right"), text(grant, "why"),
			disabled ? "; disabled" : "");
	}
	return 0;
}

const struct loam_cmd loam_cmd_repo_show = {
	.name = "repo show",
	.usage = "[options] REPO",
	.summary = "print a repository: what it shows, and who may do what",
	.details = LOAM_ASK_HELP,
	.options = (const struct loam_opt[]){ ASK_OPTS, JSON_OPT, LOAM_OPT_END },
	.options_bytes = sizeof(struct repo_opts),
	.args_min = 1,
	.args_max = 1,
	.run = run_show,
};

static int run_list(const void *options, int argc, char **argv)
{
	const struct repo_opts *opts = options;
	struct loam_err err = { 0 };
	loam_auto_ask struct loam_ask *ask = NULL;
	loam_auto_json json_t *rows = NULL;
	int rc = loam_ask_open(&opts->ask, &ask, &err);
	if (rc == 0)
		rc = loam_ask_pages(ask, &loam_op_repo_list, "repo", &rows, &err);
	if (rc == 0 && opts->json)
		rc = loam_json_show(rows, &err);
	if (rc < 0)
		return loam_cmd_failed(&err);
	size_t index;
	json_t *row;
	if (!opts->json)
		json_array_foreach (rows, index, row) {
			print_row(row);
		}
	return 0;
}

const struct loam_cmd loam_cmd_repo_list = {
	.name = "repo list",
	.usage = "[options]",
	.summary = "print the repositories that you may read",
	.details = LOAM_ASK_HELP,
	.options = (const struct loam_opt[]){ ASK_OPTS, JSON_OPT, LOAM_OPT_END },
	.options_bytes = sizeof(struct repo_opts),
	.run = run_list,
};

/* ---- visibility, delete, default-branch ------------------------------------------------------ */

static int run_visibility(const void *options, int argc, char **argv)
{
	struct loam_err err = { 0 };
	enum loam_visibility visibility;
	if (loam_visibility_parse(argv[1], &visibility, &err) < 0)
		return loam_cmd_misused("%s", err.text);
	loam_auto_json json_t *answer = NULL;
	loam_auto_json json_t *body = json_pack("{s:s}", "visibility", argv[1]);
	int rc = ask_repo(options, &loam_op_repo_visibility, argv[0], body, &answer, &err);
	return rc < 0 ? loam_cmd_failed(&err) : 0;
}

const struct loam_cmd loam_cmd_repo_visibility = {
	.name = "repo visibility",
	.usage = "[options] REPO private|internal|public",
	.summary = "set who may read a repository without a grant",
	.details = LOAM_ASK_HELP,
	.options = (const struct loam_opt[]){ ASK_OPTS, LOAM_OPT_END },
	.options_bytes = sizeof(struct repo_opts),
	.args_min = 2,
	.args_max = 2,
	.run = run_visibility,
};

static int run_delete(const void *options, int argc, char **argv)
{
	struct loam_err err = { 0 };
	loam_auto_json json_t *answer = NULL;
	if (ask_repo(options, &loam_op_repo_delete, argv[0], NULL, &answer, &err) < 0)
		return loam_cmd_failed(&err);
	fprintf(loam_cmd_err(),
		"loam: deleted; its commits are set aside beside where they stood\n");
	return 0;
}

const struct loam_cmd loam_cmd_repo_delete = {
	.name = "repo delete",
	.usage = "[options] REPO",
	.summary = "remove a repository, its tree and its LFS objects",
	.details = LOAM_ASK_HELP,
	.options = (const struct loam_opt[]){ ASK_OPTS, LOAM_OPT_END },
	.options_bytes = sizeof(struct repo_opts),
	.args_min = 1,
	.args_max = 1,
	.run = run_delete,
};

static int run_default_branch(const void *options, int argc, char **argv)
{
	struct loam_err err = { 0 };
	loam_auto_json json_t *answer = NULL;
	loam_auto_json json_t *body = json_pack("{s:s}", "branch", argv[1]);
	int rc = ask_repo(options, &loam_op_repo_default_branch, argv[0], body, &answer, &err);
	return rc < 0 ? loam_cmd_failed(&err) : 0;
}

const struct loam_cmd loam_cmd_repo_default_branch = {
	.name = "repo default-branch",
	.usage = "[options] REPO BRANCH",
	.summary = "choose the branch that stands on the mount, and publish it",
	.details = LOAM_ASK_HELP,
	.options = (const struct loam_opt[]){ ASK_OPTS, LOAM_OPT_END },
	.options_bytes = sizeof(struct repo_opts),
	.args_min = 2,
	.args_max = 2,
	.run = run_default_branch,
};
