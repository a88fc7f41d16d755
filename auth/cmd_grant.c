/*
 * loam grant, loam revoke: one inode is changed, whatever the size of the tree, and every door asks
 * it.
 */
#include "auth/ask.h"
#include "auth/commands.h"

struct grant_opts {
	struct loam_ask_options ask;
};

static const struct loam_opt grant_options[] = { LOAM_ASK_OPTS(struct grant_opts), LOAM_OPT_END };

/* What is named: a repository, or with a '/' at its end a namespace. */
struct target {
	bool is_ns;
	struct loam_ns ns;
	char text[LOAM_REPO_TEXT_BYTES];
};

static int parse_target(const char *text, struct target *out, struct loam_err *err)
{
	struct loam_repo repo;
	out->is_ns = loam_ns_is_meant(text);
	int rc =
		out->is_ns ? loam_ns_parse(text, &out->ns, err) : loam_repo_parse(text, &repo, err);
	if (rc < 0)
		return rc;
	if (out->is_ns)
		loam_ns_text(&out->ns, out->text);
	else
		loam_repo_text(&repo, out->text);
	return 0;
}

/* right NULL: takes the grant back. */
static int change(const struct grant_opts *opts, const char *who, const char *right,
		  const char *target_text, struct target *out_target, struct loam_err *err)
{
	loam_auto_ask struct loam_ask *ask = NULL;
	loam_auto_json json_t *answer = NULL;
	loam_auto_json json_t *body = right ? json_pack("{s:s}", "right", right) : NULL;
	int rc = parse_target(target_text, out_target, err);
	if (rc == 0)
		rc = loam_ask_open(&opts->ask, &ask, err);
	if (rc < 0)
		return rc;
	const struct loam_op_word repo_words[] = { { "repo", out_target->text },
						   { "who", who },
						   { NULL, NULL } };
	const struct loam_op_word ns_words[] = { { "kind", loam_kind_name(out_target->ns.kind) },
						 { "ns", out_target->ns.ns },
						 { "who", who },
						 { NULL, NULL } };
	const struct loam_op *op;
	if (out_target->is_ns)
		op = right ? &loam_op_namespace_grant : &loam_op_namespace_revoke;
	else
		op = right ? &loam_op_grant_set : &loam_op_grant_revoke;
	return loam_ask_op(ask, op, out_target->is_ns ? ns_words : repo_words, body, &answer, err);
}

static int run_grant(const void *options, int argc, char **argv)
{
	struct loam_err err = { 0 };
	struct target target = { 0 };
	enum loam_want want;
	if (loam_want_parse(argv[1], &want, &err) < 0)
		return loam_cmd_misused("%s", err.text);
	if (change(options, argv[0], argv[1], argv[2], &target, &err) < 0)
		return loam_cmd_failed(&err);
	fprintf(loam_cmd_err(), "loam: %s has %s on %s%s\n", argv[0], argv[1], target.text,
		target.is_ns ? ", and so on every repository in it" : "");
	return 0;
}

static int run_revoke(const void *options, int argc, char **argv)
{
	struct loam_err err = { 0 };
	struct target target = { 0 };
	if (change(options, argv[0], NULL, argv[1], &target, &err) < 0)
		return loam_cmd_failed(&err);
	fprintf(loam_cmd_err(), "loam: %s has no grant on %s any more\n", argv[0], target.text);
	return 0;
}

const struct loam_cmd loam_cmd_grant = {
	.name = "grant",
	.usage = "[options] WHO read|write|admin REPO|NS/",
	.summary = "let a user or group read, push to or administer, at every door at once",
	.details =
		"WHO is a user or a group. With a '/' at its end the last word is a namespace: "
		"its repositories\ninherit the grant, also those made later, as entries on their "
		"gates (getfacl shows them).\n\n" LOAM_ASK_HELP,
	.options = grant_options,
	.options_bytes = sizeof(struct grant_opts),
	.args_min = 3,
	.args_max = 3,
	.run = run_grant,
};

const struct loam_cmd loam_cmd_revoke = {
	.name = "revoke",
	.usage = "[options] WHO REPO|NS/",
	.summary = "take a grant on a repository or namespace back",
	.details = "What was granted on the namespace is taken back there, what was granted on the "
		   "repository stays,\nand the other way round.\n\n" LOAM_ASK_HELP,
	.options = grant_options,
	.options_bytes = sizeof(struct grant_opts),
	.args_min = 2,
	.args_max = 2,
	.run = run_revoke,
};
