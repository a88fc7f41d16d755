/*
 * loam grant, loam revoke: one inode is changed, whatever the size of the tree, and every door asks
 * it.
 */
#include "auth/commands.h"
#include "auth/instance.h"
#include "auth/repos.h"

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

/* Opens all, and finds who and what is meant. */
static int prepare(const struct grant_opts *opts, const char *user, const char *repo_text,
		   struct loam_instance **out_instance, uint32_t *out_uid,
		   struct loam_repo *out_repo, struct loam_err *err)
{
	int rc = loam_repo_parse(repo_text, out_repo, err);
	if (rc == 0)
		rc = loam_instance_open(&(struct loam_instance_options){ .meta_url = opts->meta },
					out_instance, err);
	return rc < 0 ? rc : loam_instance_uid(*out_instance, user, out_uid, err);
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
	struct loam_repo repo;
	uint32_t uid;
	if (prepare(options, argv[0], argv[2], &instance, &uid, &repo, &err) < 0 ||
	    loam_repos_grant(&instance->tree, &repo, uid, want, &err) < 0)
		return loam_cmd_failed(&err);
	fprintf(stderr, "loam: %s has %s on %s/%s/%s\n", argv[0], argv[1],
		loam_kind_name(repo.kind), repo.ns, repo.name);
	return 0;
}

static int run_revoke(const void *options, int argc, char **argv)
{
	struct loam_err err = { 0 };
	loam_auto_instance struct loam_instance *instance = NULL;
	struct loam_repo repo;
	uint32_t uid;
	if (prepare(options, argv[0], argv[1], &instance, &uid, &repo, &err) < 0 ||
	    loam_repos_revoke(&instance->tree, &repo, uid, &err) < 0)
		return loam_cmd_failed(&err);
	fprintf(stderr, "loam: %s has no grant on %s/%s/%s any more\n", argv[0],
		loam_kind_name(repo.kind), repo.ns, repo.name);
	return 0;
}

const struct loam_cmd loam_cmd_grant = {
	.name = "grant",
	.usage = "[options] USER read|write|admin REPO",
	.summary = "let a user read, push to or administer a repository, at every door at once",
	.options = grant_options,
	.options_bytes = sizeof(struct grant_opts),
	.args_min = 3,
	.args_max = 3,
	.run = run_grant,
};

const struct loam_cmd loam_cmd_revoke = {
	.name = "revoke",
	.usage = "[options] USER REPO",
	.summary = "take a user's grant on a repository back",
	.options = grant_options,
	.options_bytes = sizeof(struct grant_opts),
	.args_min = 2,
	.args_max = 2,
	.run = run_revoke,
};
