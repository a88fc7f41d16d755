/*
 * Operations on grants (auth/op.h): one inode is changed, whatever the size of the tree, and every
 * door asks it. Grants of a namespace stand in op_namespace.c.
 */
#include "auth/op.h"

#include "auth/account_store.h"

static int find_who(struct loam_op_call *call, struct loam_grantee *out, struct loam_err *err)
{
	return loam_account_store_who(loam_auth_accounts(call->context->auth),
				      loam_op_word(call, "who"), out, err);
}

static int run_set(struct loam_op_call *call, struct loam_err *err)
{
	const char *right;
	enum loam_want want;
	struct loam_grantee who;
	int rc = loam_op_need_text(call, "right", &right, err);
	if (rc == 0)
		rc = loam_want_parse(right, &want, err);
	if (rc == 0)
		rc = find_who(call, &who, err);
	if (rc == 0)
		rc = loam_repos_grant(loam_auth_tree(call->context->auth), &call->repo, &who, want,
				      err);
	if (rc == 0)
		call->answer = json_pack("{s:s, s:s, s:s}", "repo", call->repo_text, "who",
					 loam_op_word(call, "who"), "right", right);
	return rc;
}

const struct loam_op loam_op_grant_set = {
	.name = "grant.set",
	.method = LOAM_PUT,
	.path = "/repos/{repo}/grants/{who}",
	.want = LOAM_WANT_ADMIN,
	.members = "right",
	.status = 200,
	.run = run_set,
};

static int run_revoke(struct loam_op_call *call, struct loam_err *err)
{
	struct loam_grantee who;
	int rc = find_who(call, &who, err);
	return rc < 0 ? rc
		      : loam_repos_revoke(loam_auth_tree(call->context->auth), &call->repo, &who,
					  err);
}

const struct loam_op loam_op_grant_revoke = {
	.name = "grant.revoke",
	.method = LOAM_DELETE,
	.path = "/repos/{repo}/grants/{who}",
	.want = LOAM_WANT_ADMIN,
	.status = 204,
	.run = run_revoke,
};
