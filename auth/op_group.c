/*
 * Operations on groups (auth/op.h). Every account may see them, as `getent group` shows them on a
 * node; their managers change the members.
 */
#include "auth/op.h"

#include "auth/groups.h"
#include "core/auto.h"

#include <string.h>

/* ---- list, show ------------------------------------------------------------------------------ */

static json_t *names_json(const struct loam_names *names)
{
	json_t *array = json_array();
	for (size_t i = 0; i < names->count; i++)
		json_array_append_new(array, json_string(names->at[i]));
	return array;
}

static json_t *group_json(const struct loam_group *group)
{
	return json_pack("{s:s, s:I, s:o, s:o}", "name", group->name, "gid", (json_int_t)group->gid,
			 "members", names_json(&group->members), "managers",
			 names_json(&group->managers));
}

static int compare_groups(const void *a, const void *b)
{
	return strcmp((*(const struct loam_group *const *)a)->name,
		      (*(const struct loam_group *const *)b)->name);
}

/* Sorted by name; the users' own groups are not among them. */
static json_t *all_json(const struct loam_accounts *accounts)
{
	size_t count = 0, all = HASH_CNT(by_name, accounts->groups_by_name);
	loam_auto_free const struct loam_group **rows = loam_xcalloc(all + 1, sizeof(*rows));
	for (const struct loam_group *row = accounts->groups_by_name; row; row = row->by_name.next)
		if (!loam_accounts_is_own_group(accounts, row))
			rows[count++] = row;
	qsort(rows, count, sizeof(*rows), compare_groups);
	json_t *array = json_array();
	for (size_t i = 0; i < count; i++)
		json_array_append_new(array, group_json(rows[i]));
	return array;
}

static int run_list(struct loam_op_call *call, struct loam_err *err)
{
	struct loam_account_store *store = loam_auth_accounts(call->context->auth);
	const struct loam_accounts *accounts = NULL;
	int rc = loam_account_store_get(store, true, &accounts, err);
	if (rc < 0)
		return rc;
	call->answer = all_json(accounts);
	loam_account_store_put(store, accounts);
	return 0;
}

const struct loam_op loam_op_group_list = {
	.name = "group.list",
	.method = LOAM_GET,
	.path = "/groups",
	.want = LOAM_WANT_READ,
	.status = 200,
	.run = run_list,
};

static int run_show(struct loam_op_call *call, struct loam_err *err)
{
	const char *name = loam_op_word(call, "group");
	struct loam_account_store *store = loam_auth_accounts(call->context->auth);
	const struct loam_accounts *accounts = NULL;
	int rc = loam_account_store_get(store, true, &accounts, err);
	if (rc < 0)
		return rc;
	const struct loam_group *group = loam_accounts_group(accounts, name);
	if (group && !loam_accounts_is_own_group(accounts, group))
		call->answer = group_json(group);
	else
		rc = loam_fail(err, LOAM_E_NOT_FOUND, "no group '%.40s'", name);
	loam_account_store_put(store, accounts);
	return rc;
}

const struct loam_op loam_op_group_show = {
	.name = "group.show",
	.method = LOAM_GET,
	.path = "/groups/{group}",
	.want = LOAM_WANT_READ,
	.status = 200,
	.run = run_show,
};

/* ---- members --------------------------------------------------------------------------------- */

static enum loam_group_hand hand_of(const struct loam_op_call *call)
{
	return call->who->kind == LOAM_ADMIN ? LOAM_BY_ADMIN : LOAM_BY_MANAGER;
}

static int run_set(struct loam_op_call *call, struct loam_err *err)
{
	const char *group = loam_op_word(call, "group"), *member = loam_op_word(call, "member");
	bool manager = false;
	int rc = loam_json_bool(call->body, "manager", &manager, err);
	if (rc >= 0)
		rc = loam_group_set_member(loam_auth_accounts(call->context->auth), group, member,
					   manager, hand_of(call), err);
	if (rc == 0)
		call->answer = json_pack("{s:s, s:s, s:b}", "group", group, "member", member,
					 "manager", manager);
	return rc;
}

const struct loam_op loam_op_member_set = {
	.name = "member.set",
	.method = LOAM_PUT,
	.path = "/groups/{group}/members/{member}",
	.want = LOAM_WANT_ADMIN,
	.members = "manager",
	.status = 200,
	.run = run_set,
};

static int run_remove(struct loam_op_call *call, struct loam_err *err)
{
	return loam_group_remove_member(loam_auth_accounts(call->context->auth),
					loam_op_word(call, "group"), loam_op_word(call, "member"),
					hand_of(call), err);
}

const struct loam_op loam_op_member_remove = {
	.name = "member.remove",
	.method = LOAM_DELETE,
	.path = "/groups/{group}/members/{member}",
	.want = LOAM_WANT_ADMIN,
	.status = 204,
	.run = run_remove,
};
