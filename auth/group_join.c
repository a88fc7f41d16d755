/*
 * Many memberships in one change of the file (auth/groups.h: loam_group_join).
 */
#include "auth/groups.h"

#include "auth/account_store_internal.h"
#include "auth/audit.h"
#include "auth/fields.h"
#include "core/auto.h"

#include <stdio.h>
#include <string.h>

struct plan {
	const struct loam_group_join *joins;
	size_t join_count;
};

/* ---- room ------------------------------------------------------------------------------------ */

struct joiner {
	char name[LOAM_USER_NAME_BYTES_MAX + 1];
	size_t groups; /* he is in, and shall be in */
	UT_hash_handle hh;
};

static int count_join(const struct loam_accounts *accounts, const char *name,
		      struct joiner **joiners, struct loam_err *err)
{
	const struct loam_account *account = loam_accounts_by_name(accounts, name);
	struct joiner *joiner;
	if (!account)
		return loam_fail(err, LOAM_E_NOT_FOUND, "no user '%.40s'", name);
	HASH_FIND_STR(*joiners, name, joiner);
	if (!joiner) {
		joiner = loam_xnew(struct joiner);
		snprintf(joiner->name, sizeof(joiner->name), "%s", name);
		joiner->groups = account->group_count;
		HASH_ADD_STR(*joiners, name, joiner);
	}
	if (++joiner->groups > LOAM_USER_GROUPS_MAX)
		return loam_fail(err, LOAM_E_TOO_LARGE, "'%s' is in %d groups, the most", name,
				 LOAM_USER_GROUPS_MAX);
	return 0;
}

static int check_join(const struct loam_accounts *accounts, const struct loam_group_join *join,
		      struct joiner **joiners, struct loam_err *err)
{
	const struct loam_group *group = loam_accounts_group(accounts, join->group);
	int rc = 0;
	if (!group)
		return loam_fail(err, LOAM_E_NOT_FOUND, "no group '%.40s' (loam group add)",
				 join->group);
	if (loam_accounts_is_own_group(accounts, group))
		return loam_fail(err, LOAM_E_NOT_PERMITTED,
				 "'%s' is the own group of the user of that name", join->group);
	size_t members = group->members.count;
	for (size_t i = 0; rc == 0 && i < join->users->count; i++) {
		if (loam_names_hold(&group->members, join->users->at[i]))
			continue;
		members++;
		rc = count_join(accounts, join->users->at[i], joiners, err);
	}
	if (rc == 0 && members > LOAM_GROUP_MEMBERS_MAX)
		return loam_fail(err, LOAM_E_TOO_LARGE, "the group '%s' takes %d members",
				 join->group, LOAM_GROUP_MEMBERS_MAX);
	return rc;
}

static int check_all(struct loam_account_store *store, const struct plan *plan,
		     struct loam_err *err)
{
	const struct loam_accounts *accounts = NULL;
	struct joiner *joiners = NULL, *joiner, *next;
	int rc = loam_account_store_get(store, true, &accounts, err);
	for (size_t i = 0; rc == 0 && i < plan->join_count; i++)
		rc = check_join(accounts, &plan->joins[i], &joiners, err);
	HASH_ITER (hh, joiners, joiner, next) {
		HASH_DEL(joiners, joiner);
		free(joiner);
	}
	loam_account_store_put(store, accounts);
	return rc;
}

/* ---- lines ----------------------------------------------------------------------------------- */

/* The line's list with all that join the group. */
static int print_joined(const struct plan *plan, char *const *fields, struct loam_buf *out,
			struct loam_err *err)
{
	loam_auto_free char *list = loam_xstrdup(fields[LOAM_GROUP_MEMBERS_FIELD]);
	for (size_t i = 0; i < plan->join_count; i++) {
		const struct loam_names *users = plan->joins[i].users;
		for (size_t u = 0; strcmp(plan->joins[i].group, fields[0]) == 0 && u < users->count;
		     u++) {
			char *longer = loam_list_with(list, users->at[u]);
			free(list);
			list = longer;
		}
	}
	if (strlen(list) >= LOAM_GROUP_LINE_BYTES_MAX - LOAM_ACCOUNT_LINE_BYTES_MAX)
		return loam_fail(err, LOAM_E_TOO_LARGE, "the group '%s' takes %d members",
				 fields[0], LOAM_GROUP_MEMBERS_MAX);
	return loam_buf_printf(out, err, "%s:%s:%s:%s\n", fields[0], fields[1], fields[2], list);
}

/* Lines that are not understood are kept as they are. */
static int change_join(void *arg, const struct loam_buf *old, struct loam_buf *out,
		       struct loam_err *err)
{
	const char *rest = loam_buf_text(old), *end = rest + old->bytes, *line;
	size_t bytes;
	int rc = 0;
	while (rc == 0 && loam_lines_next(&rest, end, &line, &bytes)) {
		loam_auto_free char *copy = NULL;
		char *fields[LOAM_GROUP_FIELDS];
		struct loam_err damaged = { 0 };
		if (loam_fields_split_long(line, bytes, LOAM_GROUP_LINE_BYTES_MAX, &copy, fields,
					   LOAM_GROUP_FIELDS, &damaged) == 0)
			rc = print_joined(arg, fields, out, err);
		else
			rc = loam_lines_add(out, line, bytes, err);
	}
	return rc;
}

int loam_group_join(struct loam_account_store *store, const struct loam_group_join *joins,
		    size_t join_count, struct loam_err *err)
{
	struct plan plan = { joins, join_count };
	if (join_count == 0)
		return 0;
	int rc = check_all(store, &plan, err);
	if (rc == 0)
		rc = loam_account_store_change_file(store, LOAM_FILE_GROUP, change_join, &plan,
						    err);
	for (size_t i = 0; rc == 0 && i < join_count; i++)
		for (size_t u = 0; u < joins[i].users->count; u++)
			loam_audit(&(struct loam_audit_entry){ .action = "member.set",
							       .group = joins[i].group,
							       .account = joins[i].users->at[u] },
				   0, err);
	return rc;
}
