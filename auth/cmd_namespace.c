/*
 * loam namespace …: who owns a namespace, and what its repositories inherit.
 */
#include "auth/ask.h"
#include "auth/commands.h"

#include <string.h>

struct namespace_opts {
	struct loam_ask_options ask; /* of `create` the volume only */
	const char *owner;
	bool json;
};

#define JSON_OPT LOAM_OPT(struct namespace_opts, json, "json", 0, LOAM_OPT_FLAG, NULL, "print JSON")

static const char *text(const json_t *object, const char *name)
{
	const char *value = json_string_value(json_object_get(object, name));
	return value ? value : "";
}

/* One operation on one namespace. */
static int ask_ns(const struct namespace_opts *opts, const struct loam_op *op, const char *ns_text,
		  const json_t *body, json_t **out_answer, struct loam_err *err)
{
	loam_auto_ask struct loam_ask *ask = NULL;
	struct loam_ns ns;
	int rc = loam_ns_parse(ns_text, &ns, err);
	if (rc == 0)
		rc = loam_ask_open(&opts->ask, &ask, err);
	if (rc < 0)
		return rc;
	const struct loam_op_word words[] = { { "kind", loam_kind_name(ns.kind) },
					      { "ns", ns.ns },
					      { NULL, NULL } };
	return loam_ask_op(ask, op, words, body, out_answer, err);
}

/* ---- create, owner --------------------------------------------------------------------------- */

static int run_create(const void *options, int argc, char **argv)
{
	const struct namespace_opts *opts = options;
	struct loam_err err = { 0 };
	struct loam_ns ns;
	struct loam_grantee who;
	char name[LOAM_REPO_TEXT_BYTES];
	loam_auto_instance struct loam_instance *instance = NULL;
	const struct loam_instance_options volume = { .meta_url = opts->ask.meta };
	if (!opts->owner)
		return loam_cmd_misused("--owner WHO is missing");
	if (loam_ns_parse(argv[0], &ns, &err) < 0 ||
	    loam_instance_open(&volume, &instance, &err) < 0 ||
	    loam_account_store_who(loam_auth_accounts(instance->auth), opts->owner, &who, &err) <
		    0 ||
	    loam_ns_create(&instance->tree, &ns, &who, &err) < 0)
		return loam_cmd_failed(&err);
	loam_ns_text(&ns, name);
	fprintf(stderr, "loam: %s owns the namespace %s\n", opts->owner, name);
	return 0;
}

static int run_owner(const void *options, int argc, char **argv)
{
	struct loam_err err = { 0 };
	loam_auto_json json_t *answer = NULL;
	loam_auto_json json_t *body = json_pack("{s:s}", "owner", argv[1]);
	if (ask_ns(options, &loam_op_namespace_owner, argv[0], body, &answer, &err) < 0)
		return loam_cmd_failed(&err);
	fprintf(loam_cmd_err(), "loam: %s owns the namespace %s\n", argv[1],
		text(answer, "namespace"));
	return 0;
}

const struct loam_cmd loam_cmd_namespace_create = {
	.name = "namespace create",
	.usage = "[options] NS --owner WHO",
	.summary = "make a namespace for a user or a group",
	.details = "repo create makes it, too, with its first repository.",
	.options =
		(const struct loam_opt[]){
			LOAM_OPT(struct namespace_opts, ask.meta, "meta", 0, LOAM_OPT_TEXT, "URL",
				 "the volume (default: LOAM_META, then meta.url of the "
				 "configuration)"),
			LOAM_OPT(struct namespace_opts, owner, "owner", 0, LOAM_OPT_TEXT, "WHO",
				 "the user or group who may do everything in it"),
			LOAM_OPT_END },
	.options_bytes = sizeof(struct namespace_opts),
	.args_min = 1,
	.args_max = 1,
	.run = run_create,
};

const struct loam_cmd loam_cmd_namespace_owner = {
	.name = "namespace owner",
	.usage = "[options] NS WHO",
	.summary = "give a namespace, and with it every right in it, to a user or a group",
	.details = LOAM_ASK_HELP,
	.options = (const struct loam_opt[]){ LOAM_ASK_OPTS(struct namespace_opts), LOAM_OPT_END },
	.options_bytes = sizeof(struct namespace_opts),
	.args_min = 2,
	.args_max = 2,
	.run = run_owner,
};

/* ---- show, list ------------------------------------------------------------------------------ */

static void print_ns(const json_t *ns)
{
	bool group = strcmp(text(ns, "ownerKind"), "group") == 0;
	fprintf(loam_cmd_out(), "%-40s owner %s%s\n", text(ns, "namespace"), text(ns, "owner"),
		group ? " (group)" : "");
	size_t index;
	json_t *grant;
	json_array_foreach (json_object_get(ns, "grants"), index, grant) {
		fprintf(loam_cmd_out(), "    %-16s %-9s %s\n", text(grant, "who"),
			text(grant, "kind"), text(grant, "right"));
	}
}

static int run_show(const void *options, int argc, char **argv)
{
	const struct namespace_opts *opts = options;
	struct loam_err err = { 0 };
	loam_auto_json json_t *ns = NULL;
	int rc = ask_ns(opts, &loam_op_namespace_show, argv[0], NULL, &ns, &err);
	if (rc == 0 && opts->json)
		rc = loam_json_show(ns, &err);
	else if (rc == 0)
		print_ns(ns);
	return rc < 0 ? loam_cmd_failed(&err) : 0;
}

static int run_list(const void *options, int argc, char **argv)
{
	const struct namespace_opts *opts = options;
	struct loam_err err = { 0 };
	loam_auto_ask struct loam_ask *ask = NULL;
	loam_auto_json json_t *rows = NULL;
	int rc = loam_ask_open(&opts->ask, &ask, &err);
	if (rc == 0)
		rc = loam_ask_op(ask, &loam_op_namespace_list, NULL, NULL, &rows, &err);
	if (rc == 0 && opts->json)
		rc = loam_json_show(rows, &err);
	if (rc < 0)
		return loam_cmd_failed(&err);
	size_t index;
	json_t *ns;
	if (!opts->json)
		json_array_foreach (rows, index, ns) {
			print_ns(ns);
		}
	return 0;
}

const struct loam_cmd loam_cmd_namespace_show = {
	.name = "namespace show",
	.usage = "[options] NS",
	.summary = "print a namespace: its owner, and the grants its repositories inherit",
	.details = LOAM_ASK_HELP,
	.options = (const struct loam_opt[]){ LOAM_ASK_OPTS(struct namespace_opts), JSON_OPT,
					      LOAM_OPT_END },
	.options_bytes = sizeof(struct namespace_opts),
	.args_min = 1,
	.args_max = 1,
	.run = run_show,
};

const struct loam_cmd loam_cmd_namespace_list = {
	.name = "namespace list",
	.usage = "[options]",
	.summary = "print the namespaces in which you have a right",
	.details = LOAM_ASK_HELP,
	.options = (const struct loam_opt[]){ LOAM_ASK_OPTS(struct namespace_opts), JSON_OPT,
					      LOAM_OPT_END },
	.options_bytes = sizeof(struct namespace_opts),
	.run = run_list,
};
