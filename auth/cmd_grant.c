/*
 * loam grant, loam revoke: one inode is changed, whatever the size of the tree, and every door asks
 * it.
 */
#include "auth/commands.h"
#include "auth/instance.h"
#include "auth/namespaces.h"

#include <stdio.h>
#include <string.h>

struct grant_opts {
	const char *meta;
};

static const struct loam_opt grant_options[] = {
	LOAM_OPT(struct grant_opts, meta, "meta", 0, LOAM_OPT_TEXT, "URL",
		 "the volume (default: LOAM_META, then meta.url of the configuration)"),
	LOAM_OPT_END
};

/* What is named: a repository, or with a '/' at its end a namespace. */
struct target {
	bool is_ns;
	struct loam_repo repo;
	struct loam_ns ns;
	char text[LOAM_REPO_TEXT_BYTES];
};

static int parse_target(const char *text, struct target *out, struct loam_err *err)
{
	out->is_ns = loam_ns_is_meant(text);
	int rc = out->is_ns ? loam_ns_parse(text, &out->ns, err)
			    : loam_repo_parse(text, &out->repo, err);
	if (rc < 0)
		return rc;
	if (out->is_ns)
		loam_ns_text(&out->ns, out->text);
	else
		loam_repo_text(&out->repo, out->text);
	return 0;
}

/* Opens all, and finds who and what is meant. */
static int prepare(const struct grant_opts *opts, const char *who_text, const char *target_text,
		   struct loam_instance **out_instance, struct loam_grantee *out_who,
		   struct target *out_target, struct loam_err *err)
{
	int rc = parse_target(target_text, out_target, err);
	if (rc == 0)
		rc = loam_instance_open(&(struct loam_instance_options){ .meta_url = opts->meta },
					out_instance, err);
	return rc < 0 ? rc
		      : loam_account_store_who(loam_auth_accounts((*out_instance)->auth), who_text,
					       out_who, err);
}

static int parse_want(const char *text, enum loam_want *out)
{
	static const char *const names[] = {
		[LOAM_WANT_READ] = "read", [LOAM_WANT_WRITE] = "write", [LOAM_WANT_ADMIN] = "admin"
	};
	for (int want = LOAM_WANT_READ; want <= LOAM_WANT_ADMIN; want++) {
		if (strcmp(text, names[want]) == 0) {
			*out = (enum loam_want)want;
			return 0;
		}
	}
	return -1;
}

static int run_grant(const void *options, int argc, char **argv)
{
	enum loam_want want;
	if (parse_want(argv[1], &want) < 0)
		return loam_cmd_misused("'%.40s' is not read, write or admin", argv[1]);
	struct loam_err err = { 0 };
	loam_auto_instance struct loam_instance *instance = NULL;
	struct target target;
	struct loam_grantee who;
	int rc = prepare(options, argv[0], argv[2], &instance, &who, &target, &err);
	if (rc == 0 && target.is_ns)
		rc = loam_ns_grant(&instance->tree, &target.ns, &who, want, &err);
	else if (rc == 0)
		rc = loam_repos_grant(&instance->tree, &target.repo, &who, want, &err);
	if (rc < 0)
		return loam_cmd_failed(&err);
	fprintf(stderr, "loam: %s has %s on %s%s\n", argv[0], argv[1], target.text,
		target.is_ns ? ", and so on every repository in it" : "");
	return 0;
}

static int run_revoke(const void *options, int argc, char **argv)
{
	struct loam_err err = { 0 };
	loam_auto_instance struct loam_instance *instance = NULL;
	struct target target;
	struct loam_grantee who;
	int rc = prepare(options, argv[0], argv[1], &instance, &who, &target, &err);
	if (rc == 0 && target.is_ns)
		rc = loam_ns_revoke(&instance->tree, &target.ns, &who, &err);
	else if (rc == 0)
		rc = loam_repos_revoke(&instance->tree, &target.repo, &who, &err);
	if (rc < 0)
		return loam_cmd_failed(&err);
	fprintf(stderr, "loam: %s has no grant on %s any more\n", argv[0], target.text);
	return 0;
}

const struct loam_cmd loam_cmd_grant = {
	.name = "grant",
	.usage = "[options] WHO read|write|admin REPO|NS/",
	.summary = "let a user or group read, push to or administer, at every door at once",
	.details =
		"WHO is a user or a group. With a '/' at its end the last word is a namespace: its "
		"repositories\ninherit the grant, also those made later, as entries on their gates "
		"(getfacl shows them).",
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
		   "repository stays,\nand the other way round.",
	.options = grant_options,
	.options_bytes = sizeof(struct grant_opts),
	.args_min = 2,
	.args_max = 2,
	.run = run_revoke,
};
