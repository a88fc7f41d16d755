/*
 * Operations on grants (auth/op.h), of a repository or of a namespace, whose repositories inherit
 * them: which one it is the path says. One inode is changed for a repository, whatever the size of
 * its tree, and every door asks it.
 */
#include "auth/op.h"

#include "auth/account_store.h"

static bool is_repo(const struct loam_op_call *call)
{
	return loam_op_word(call, "repo") != NULL;
}

static int find_who(struct loam_op_call *call, struct loam_grantee *out, struct loam_err *err)
{
	return loam_account_store_who(loam_auth_accounts(call->context->auth),
				      loam_op_word(call, "who"), out, err);
}

static int run_set(struct loam_op_call *call, struct loam_err *err)
{
	const struct loam_tree *tree = loam_auth_tree(call->context->auth);
	const char *right;
	enum loam_want want;
	struct loam_grantee who;
	int rc = loam_op_need_text(call, "right", &right, err);
	if (rc == 0)
		rc = loam_want_parse(right, &want, err);
	if (rc == 0)
		rc = find_who(call, &who, err);
	if (rc == 0)
		rc = is_repo(call) ? loam_repos_grant(tree, &call->repo, &who, want, err)
				   : loam_ns_grant(tree, &call->ns, &who, want, err);
	if (rc == 0)
		call->answer = json_pack("{s:s, s:s, s:s}", is_repo(call) ? "repo" : "namespace",
					 is_repo(call) ? call->repo_text : call->ns_text, "who",
					 loam_op_word(call, "who"), "right", right);
	return rc;
}

static int run_revoke(struct loam_op_call *call, struct loam_err *err)
{
	const struct loam_tree *tree = loam_auth_tree(call->context->auth);
	struct loam_grantee who;
	int rc = find_who(call, &who, err);
	if (rc < 0)
		return rc;
	return is_repo(call) ? loam_repos_revoke(tree, &call->repo, &who, err)
			     : loam_ns_revoke(tree, &call->ns, &who, err);
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

const struct loam_op loam_op_grant_revoke = {
	.name = "grant.revoke",
	.method = LOAM_DELETE,
	.path = "/repos/{repo}/grants/{who}",
	.want = LOAM_WANT_ADMIN,
	.status = 204,
	.run = run_revoke,
};

const struct loam_op loam_op_namespace_grant = {
	.name = "namespace.grant",
	.method = LOAM_PUT,
	.path = "/namespaces/{kind}/{ns}/grants/{who}",
	.want = LOAM_WANT_ADMIN,
	.members = "right",
	.status = 200,
	.run = run_set,
};

const struct loam_op loam_op_namespace_revoke = {
	.name = "namespace.revoke",
	.method = LOAM_DELETE,
	.path = "/namespaces/{kind}/{ns}/grants/{who}",
	.want = LOAM_WANT_ADMIN,
	.status = 204,
	.run = run_revoke,
};
