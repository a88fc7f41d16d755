/*
 * Operations on namespaces (auth/op.h): what they are, and whose. Grants on them are op_grant's.
 */
#include "auth/op.h"

#include "auth/account_store.h"

/* ---- show, list ------------------------------------------------------------------------------ */

static json_t *grants_json(const struct loam_accounts *accounts, const struct loam_rights *grants)
{
	json_t *array = json_array();
	for (size_t i = 0; i < grants->count; i++) {
		const struct loam_right_row *row = &grants->rows[i];
		char who[LOAM_GRANTEE_TEXT_BYTES];
		loam_accounts_who_text(accounts, &row->who, who);
		json_array_append_new(array, json_pack("{s:s, s:s, s:s}", "who", who, "kind",
						       row->who.is_group ? "group" : "user",
						       "right", loam_right_name(row->inherited)));
	}
	return array;
}

/* 1 with its JSON, 0 no such namespace. */
static int ns_json(const struct loam_tree *tree, const struct loam_accounts *accounts,
		   const struct loam_ns *ns, json_t **out, struct loam_err *err)
{
	struct loam_ns_info info = { 0 };
	char text[LOAM_REPO_TEXT_BYTES], owner[LOAM_GRANTEE_TEXT_BYTES] = "";
	int rc = loam_ns_read(tree, ns, &info, err);
	if (rc <= 0)
		return rc;
	loam_ns_text(ns, text);
	if (info.owner.id != UINT32_MAX)
		loam_accounts_who_text(accounts, &info.owner, owner);
	*out = json_pack("{s:s, s:s, s:s, s:o}", "namespace", text, "owner", owner, "ownerKind",
			 info.owner.is_group ? "group" : "user", "grants",
			 grants_json(accounts, &info.grants));
	loam_ns_info_release(&info);
	return 1;
}

struct listing {
	struct loam_op_call *call;
	const struct loam_accounts *accounts;
};

/* Those on which who asks has a right: asked for each. */
static int list_one(void *arg, const struct loam_ns *ns, struct loam_err *err)
{
	struct listing *listing = arg;
	struct loam_auth *auth = listing->call->context->auth;
	json_t *row = NULL;
	int rc = loam_auth_ask_namespace(auth, listing->call->who, ns, LOAM_WANT_READ, err);
	if (rc == -LOAM_E_NOT_FOUND || rc == -LOAM_E_DENIED) {
		loam_err_clear(err);
		return 0;
	}
	if (rc == 0)
		rc = ns_json(loam_auth_tree(auth), listing->accounts, ns, &row, err);
	if (rc == 1)
		json_array_append_new(listing->call->answer, row);
	return rc < 0 ? rc : 0;
}

static int run_list(struct loam_op_call *call, struct loam_err *err)
{
	struct loam_account_store *store = loam_auth_accounts(call->context->auth);
	struct listing listing = { .call = call };
	int rc = loam_account_store_get(store, true, &listing.accounts, err);
	if (rc < 0)
		return rc;
	call->answer = json_array();
	rc = loam_ns_each(loam_auth_tree(call->context->auth), list_one, &listing, err);
	loam_account_store_put(store, listing.accounts);
	return rc;
}

const struct loam_op loam_op_namespace_list = {
	.name = "namespace.list",
	.method = LOAM_GET,
	.path = "/namespaces",
	.want = LOAM_WANT_READ,
	.status = 200,
	.run = run_list,
};

static int run_show(struct loam_op_call *call, struct loam_err *err)
{
	struct loam_account_store *store = loam_auth_accounts(call->context->auth);
	const struct loam_accounts *accounts = NULL;
	int rc = loam_account_store_get(store, true, &accounts, err);
	if (rc < 0)
		return rc;
	rc = ns_json(loam_auth_tree(call->context->auth), accounts, &call->ns, &call->answer, err);
	loam_account_store_put(store, accounts);
	if (rc == 0)
		return loam_fail(err, LOAM_E_NOT_FOUND, "no namespace '%s'", call->ns_text);
	return rc < 0 ? rc : 0;
}

const struct loam_op loam_op_namespace_show = {
	.name = "namespace.show",
	.method = LOAM_GET,
	.path = "/namespaces/{kind}/{ns}",
	.want = LOAM_WANT_READ,
	.status = 200,
	.run = run_show,
};

/* ---- owner ----------------------------------------------------------------------------------- */

static int run_owner(struct loam_op_call *call, struct loam_err *err)
{
	const char *text;
	struct loam_grantee owner;
	int rc = loam_op_need_text(call, "owner", &text, err);
	if (rc == 0)
		rc = loam_account_store_who(loam_auth_accounts(call->context->auth), text, &owner,
					    err);
	if (rc == 0)
		rc = loam_ns_set_owner(loam_auth_tree(call->context->auth), &call->ns, &owner, err);
	if (rc == 0)
		call->answer = json_pack("{s:s, s:s}", "namespace", call->ns_text, "owner", text);
	return rc;
}

const struct loam_op loam_op_namespace_owner = {
	.name = "namespace.owner",
	.method = LOAM_PUT,
	.path = "/namespaces/{kind}/{ns}/owner",
	.want = LOAM_WANT_ADMIN,
	.members = "owner",
	.status = 200,
	.run = run_owner,
};
