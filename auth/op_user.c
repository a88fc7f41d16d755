/*
 * Operations on a user's own account (auth/op.h).
 */
#include "auth/op.h"

#include "auth/account_store.h"
#include "core/auto.h"

#include <string.h>

static json_t *groups_json(const struct loam_accounts *accounts, const struct loam_account *account)
{
	json_t *names = json_array();
	for (size_t i = 0; i < account->group_count; i++) {
		const struct loam_group *group = NULL;
		HASH_FIND(by_gid, accounts->groups_by_gid, &account->groups[i],
			  sizeof(account->groups[i]), group);
		if (group)
			json_array_append_new(names, json_string(group->name));
	}
	return names;
}

static int show(struct loam_op_call *call, const char *name, struct loam_err *err)
{
	struct loam_account_store *store = loam_auth_accounts(call->context->auth);
	const struct loam_accounts *accounts = NULL;
	int rc = loam_account_store_get(store, true, &accounts, err);
	if (rc < 0)
		return rc;
	const struct loam_account *account = loam_accounts_by_name(accounts, name);
	if (account)
		call->answer =
			json_pack("{s:s, s:I, s:I, s:s, s:b, s:o}", "name", account->name, "uid",
				  (json_int_t)account->uid, "gid", (json_int_t)account->gid, "home",
				  account->home, "disabled", account->disabled, "groups",
				  groups_json(accounts, account));
	else
		rc = loam_fail(err, LOAM_E_NOT_FOUND, "no user '%s'", name);
	loam_account_store_put(store, accounts);
	return rc;
}

static const char *scope_name(const struct loam_principal *who)
{
	if (who->scope & LOAM_SCOPE_ADMIN)
		return "admin";
	return who->scope & LOAM_SCOPE_WRITE ? "write" : "read";
}

/* Whom this credential stands for, and what it may do: open to every account. */
static int run_self(struct loam_op_call *call, struct loam_err *err)
{
	const struct loam_principal *who = call->who;
	if (who->kind == LOAM_ANONYMOUS)
		return loam_fail(err, LOAM_E_UNAUTHENTICATED, "log in to use this server");
	if (who->kind == LOAM_ADMIN)
		return loam_fail(err, LOAM_E_INVALID,
				 "the volume's administrator is no account: he holds its "
				 "credentials");
	int rc = show(call, who->user, err);
	if (rc == 0)
		json_object_set_new(call->answer, "credential",
				    json_pack("{s:s, s:s, s:s}", "scope", scope_name(who), "repo",
					      who->only_repo, "token", who->token_id));
	return rc;
}

static int run_show(struct loam_op_call *call, struct loam_err *err)
{
	return show(call, loam_op_word(call, "user"), err);
}

const struct loam_op loam_op_user_self = {
	.name = "user.self",
	.method = LOAM_GET,
	.path = "/user",
	.status = 200,
	.run = run_self,
};

const struct loam_op loam_op_user_show = {
	.name = "user.show",
	.method = LOAM_GET,
	.path = "/users/{user}",
	.want = LOAM_WANT_READ,
	.status = 200,
	.run = run_show,
};
