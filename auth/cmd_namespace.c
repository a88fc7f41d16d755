/*
 * loam namespace …: who owns a namespace, and what its repositories inherit. Whoever holds META is
 * the administrator.
 */
#include "auth/commands.h"
#include "auth/instance.h"
#include "auth/namespaces.h"
#include "core/json.h"

#include <stdio.h>
#include <string.h>

struct namespace_opts {
	const char *meta, *owner;
	bool json;
};

#define META_OPT                                                               \
	LOAM_OPT(struct namespace_opts, meta, "meta", 0, LOAM_OPT_TEXT, "URL", \
		 "the volume (default: LOAM_META, then meta.url of the configuration)")
#define JSON_OPT LOAM_OPT(struct namespace_opts, json, "json", 0, LOAM_OPT_FLAG, NULL, "print JSON")

static int open_instance(const struct namespace_opts *opts, struct loam_instance **out,
			 struct loam_err *err)
{
	return loam_instance_open(&(struct loam_instance_options){ .meta_url = opts->meta }, out,
				  err);
}

/* ---- create, owner --------------------------------------------------------------------------- */

typedef int set_owner_fn(const struct loam_tree *tree, const struct loam_ns *ns,
			 const struct loam_grantee *owner, struct loam_err *err);

static int set_owner(const struct namespace_opts *opts, const char *ns_text, const char *who_text,
		     set_owner_fn *set)
{
	struct loam_err err = { 0 };
	struct loam_ns ns;
	struct loam_grantee who;
	char text[LOAM_REPO_TEXT_BYTES];
	loam_auto_instance struct loam_instance *instance = NULL;
	if (loam_ns_parse(ns_text, &ns, &err) < 0 || open_instance(opts, &instance, &err) < 0 ||
	    loam_account_store_who(loam_auth_accounts(instance->auth), who_text, &who, &err) < 0 ||
	    set(&instance->tree, &ns, &who, &err) < 0)
		return loam_cmd_failed(&err);
	loam_ns_text(&ns, text);
	fprintf(stderr, "loam: %s owns the namespace %s\n", who_text, text);
	return 0;
}

static int run_create(const void *options, int argc, char **argv)
{
	const struct namespace_opts *opts = options;
	if (!opts->owner)
		return loam_cmd_misused("--owner WHO is missing");
	return set_owner(opts, argv[0], opts->owner, loam_ns_create);
}

static int run_owner(const void *options, int argc, char **argv)
{
	return set_owner(options, argv[0], argv[1], loam_ns_set_owner);
}

const struct loam_cmd loam_cmd_namespace_create = {
	.name = "namespace create",
	.usage = "[options] NS --owner WHO",
	.summary = "make a namespace for a user or a group",
	.details = "repo create makes it, too, with its first repository.",
	.options =
		(const struct loam_opt[]){
			META_OPT,
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
	.options = (const struct loam_opt[]){ META_OPT, LOAM_OPT_END },
	.options_bytes = sizeof(struct namespace_opts),
	.args_min = 2,
	.args_max = 2,
	.run = run_owner,
};

/* ---- show, list ------------------------------------------------------------------------------ */

struct printer {
	struct loam_instance *instance;
	const struct loam_accounts *accounts;
	json_t *array; /* NULL: text */
};

static json_t *ns_json(const struct printer *printer, const char *text, const char *owner,
		       const struct loam_ns_info *info)
{
	json_t *grants = json_array();
	for (size_t i = 0; i < info->grants.count; i++) {
		const struct loam_right_row *row = &info->grants.rows[i];
		char who[LOAM_GRANTEE_TEXT_BYTES];
		loam_accounts_who_text(printer->accounts, &row->who, who);
		json_array_append_new(grants, json_pack("{s:s, s:s, s:s}", "who", who, "kind",
							row->who.is_group ? "group" : "user",
							"right", loam_right_name(row->inherited)));
	}
	return json_pack("{s:s, s:s, s:s, s:o}", "namespace", text, "owner", owner, "ownerKind",
			 info->owner.is_group ? "group" : "user", "grants", grants);
}

static void print_ns(const struct printer *printer, const char *text, const char *owner,
		     const struct loam_ns_info *info)
{
	printf("%-40s owner %s%s\n", text, owner, info->owner.is_group ? " (group)" : "");
	for (size_t i = 0; i < info->grants.count; i++) {
		const struct loam_right_row *row = &info->grants.rows[i];
		char who[LOAM_GRANTEE_TEXT_BYTES];
		loam_accounts_who_text(printer->accounts, &row->who, who);
		printf("    %-16s %-9s %s\n", who, row->who.is_group ? "group" : "user",
		       loam_right_name(row->inherited));
	}
}

static int print_one(void *arg, const struct loam_ns *ns, struct loam_err *err)
{
	struct printer *printer = arg;
	struct loam_ns_info info = { 0 };
	char text[LOAM_REPO_TEXT_BYTES], owner[LOAM_GRANTEE_TEXT_BYTES] = "";
	loam_ns_text(ns, text);
	int rc = loam_ns_read(&printer->instance->tree, ns, &info, err);
	if (rc <= 0)
		return rc < 0 ? rc : loam_fail(err, LOAM_E_NOT_FOUND, "no namespace '%s'", text);
	if (info.owner.id != UINT32_MAX)
		loam_accounts_who_text(printer->accounts, &info.owner, owner);
	if (printer->array)
		json_array_append_new(printer->array, ns_json(printer, text, owner, &info));
	else
		print_ns(printer, text, owner, &info);
	loam_ns_info_release(&info);
	return 0;
}

static int print_all(struct printer *printer, const char *one, bool json, struct loam_err *err)
{
	loam_auto_json json_t *array = json_array();
	printer->array = json ? array : NULL;
	struct loam_ns ns;
	int rc = one ? loam_ns_parse(one, &ns, err) : 0;
	if (rc == 0)
		rc = one ? print_one(printer, &ns, err)
			 : loam_ns_each(&printer->instance->tree, print_one, printer, err);
	if (rc < 0 || !json)
		return rc;
	return loam_json_show(one ? json_array_get(array, 0) : array, err);
}

static int run_show(const void *options, int argc, char **argv)
{
	const struct namespace_opts *opts = options;
	struct loam_err err = { 0 };
	loam_auto_instance struct loam_instance *instance = NULL;
	struct printer printer = { 0 };
	int rc = open_instance(opts, &instance, &err);
	if (rc < 0)
		return loam_cmd_failed(&err);
	printer.instance = instance;
	rc = loam_account_store_get(loam_auth_accounts(instance->auth), true, &printer.accounts,
				    &err);
	if (rc == 0)
		rc = print_all(&printer, argc == 1 ? argv[0] : NULL, opts->json, &err);
	loam_account_store_put(loam_auth_accounts(instance->auth), printer.accounts);
	return rc < 0 ? loam_cmd_failed(&err) : 0;
}

const struct loam_cmd loam_cmd_namespace_show = {
	.name = "namespace show",
	.usage = "[options] NS",
	.summary = "print a namespace: its owner, and the grants its repositories inherit",
	.options = (const struct loam_opt[]){ META_OPT, JSON_OPT, LOAM_OPT_END },
	.options_bytes = sizeof(struct namespace_opts),
	.args_min = 1,
	.args_max = 1,
	.run = run_show,
};

const struct loam_cmd loam_cmd_namespace_list = {
	.name = "namespace list",
	.usage = "[options]",
	.summary = "print all namespaces",
	.options = (const struct loam_opt[]){ META_OPT, JSON_OPT, LOAM_OPT_END },
	.options_bytes = sizeof(struct namespace_opts),
	.run = run_show,
};
