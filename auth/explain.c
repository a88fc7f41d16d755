/*
 * Who may do what in a repository, and why (auth/explain.h).
 */
#include "auth/explain.h"

#include "core/auto.h"

#include <stdio.h>
#include <string.h>

struct explaining {
	const struct loam_accounts *accounts;
	const struct loam_gate *gate;
	const struct loam_rights *rights;
	const char *repo_text;
	char ns_text[LOAM_REPO_TEXT_BYTES];
	struct loam_explanation *out;
};

void loam_explanation_release(struct loam_explanation *explanation)
{
	free(explanation->rows);
	*explanation = (struct loam_explanation){ 0 };
}

static struct loam_explained *add_row(struct loam_explanation *out)
{
	struct loam_explained *grown = reallocarray(out->rows, out->count + 1, sizeof(*grown));
	loam_assert(grown != NULL);
	out->rows = grown;
	grown[out->count] = (struct loam_explained){ 0 };
	return &grown[out->count++];
}

/* Reasons that do not fit are cut. */
__attribute__((format(printf, 2, 3))) static void add_reason(struct loam_explained *row,
							     const char *fmt, ...)
{
	size_t at = strlen(row->why);
	if (at > 0 && at + 3 < sizeof(row->why)) {
		memcpy(row->why + at, "; ", 3);
		at += 2;
	}
	va_list args;
	va_start(args, fmt);
	vsnprintf(row->why + at, sizeof(row->why) - at, fmt, args);
	va_end(args);
}

static void add_own_reasons(const struct explaining *it, const struct loam_right_row *right,
			    struct loam_explained *row)
{
	if (right->inherited == LOAM_RIGHT_OWNER)
		add_reason(row, "owns the namespace %s", it->ns_text);
	if (right->direct == LOAM_RIGHT_DENIED)
		add_reason(row, "denied here");
	else if (right->direct != LOAM_RIGHT_NONE)
		add_reason(row, "granted here (%s)", loam_right_name(right->direct));
	if (right->inherited != LOAM_RIGHT_OWNER && right->inherited != LOAM_RIGHT_NONE)
		add_reason(row, "granted on %s (%s)", it->ns_text,
			   loam_right_name(right->inherited));
}

/* ---- users ----------------------------------------------------------------------------------- */

static void fill_principal(const struct loam_account *account, struct loam_principal *who)
{
	*who = (struct loam_principal){ .kind = LOAM_USER,
					.uid = account->uid,
					.gid = account->gid };
	who->group_count = account->group_count < LOAM_PRINCIPAL_GROUPS_MAX
				   ? account->group_count
				   : LOAM_PRINCIPAL_GROUPS_MAX;
	if (who->group_count > 0)
		memcpy(who->groups, account->groups, who->group_count * sizeof(who->groups[0]));
}

static enum loam_right decided(const struct explaining *it, const struct loam_principal *who)
{
	static const enum loam_want wants[] = { LOAM_WANT_ADMIN, LOAM_WANT_WRITE, LOAM_WANT_READ };
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(wants); i++)
		if (loam_auth_decide(who, it->gate, it->repo_text, wants[i]))
			return loam_right_of_want(wants[i]);
	return LOAM_RIGHT_DENIED;
}

/* The groups that give him something which his own entry does not already decide. */
static void add_group_reasons(const struct explaining *it, const struct loam_principal *who,
			      const struct loam_right_row *own, struct loam_explained *row)
{
	for (size_t i = 0; i < it->rights->count; i++) {
		const struct loam_right_row *right = &it->rights->rows[i];
		bool member = right->who.is_group && right->who.id == who->gid;
		for (size_t g = 0; right->who.is_group && !member && g < who->group_count; g++)
			member = who->groups[g] == right->who.id;
		if (!member || (own && loam_right_of(right) < LOAM_RIGHT_ADMIN))
			continue;
		char name[LOAM_GRANTEE_TEXT_BYTES];
		loam_accounts_who_text(it->accounts, &right->who, name);
		add_reason(row, "member of %s", name);
	}
}

static void add_account(const struct explaining *it, const struct loam_account *account)
{
	struct loam_principal who;
	struct loam_grantee self = { .id = account->uid };
	const struct loam_right_row *own = loam_rights_find(it->rights, &self);
	if (own && loam_right_of(own) == LOAM_RIGHT_NONE)
		own = NULL;
	struct loam_explained *row = add_row(it->out);
	row->kind = LOAM_EXPLAIN_USER;
	row->disabled = account->disabled;
	snprintf(row->who, sizeof(row->who), "%s", account->name);
	fill_principal(account, &who);
	row->right = decided(it, &who);
	if (own)
		add_own_reasons(it, own, row);
	add_group_reasons(it, &who, own, row);
}

/* Does a row name this account, or a group that he is in? */
static bool is_named(const struct explaining *it, const struct loam_account *account)
{
	struct loam_grantee who = { .id = account->uid };
	const struct loam_right_row *row = loam_rights_find(it->rights, &who);
	if (row && loam_right_of(row) != LOAM_RIGHT_NONE)
		return true;
	for (size_t i = 0; i <= account->group_count; i++) {
		who = (struct loam_grantee){ true, i == 0 ? account->gid : account->groups[i - 1] };
		row = loam_rights_find(it->rights, &who);
		if (row && loam_right_of(row) != LOAM_RIGHT_NONE)
			return true;
	}
	return false;
}

/* ---- all ------------------------------------------------------------------------------------- */

/* Groups, and users whose account is gone: what their entry says. */
static void add_entries(const struct explaining *it, bool groups)
{
	for (size_t i = 0; i < it->rights->count; i++) {
		const struct loam_right_row *right = &it->rights->rows[i];
		enum loam_right all = loam_right_of(right);
		if (right->who.is_group != groups || all == LOAM_RIGHT_NONE ||
		    (!groups && loam_accounts_by_uid(it->accounts, right->who.id)))
			continue;
		struct loam_explained *row = add_row(it->out);
		row->kind = groups ? LOAM_EXPLAIN_GROUP : LOAM_EXPLAIN_USER;
		row->right = all == LOAM_RIGHT_OWNER ? LOAM_RIGHT_ADMIN : all;
		row->disabled = !groups;
		loam_accounts_who_text(it->accounts, &right->who, row->who);
		add_own_reasons(it, right, row);
	}
}

static void add_visibility(const struct explaining *it)
{
	enum loam_visibility visibility = loam_gate_visibility(it->gate);
	if (visibility == LOAM_PRIVATE)
		return;
	struct loam_explained *row = add_row(it->out);
	row->kind = visibility == LOAM_PUBLIC ? LOAM_EXPLAIN_EVERYBODY : LOAM_EXPLAIN_ACCOUNTS;
	row->right = LOAM_RIGHT_READ;
	snprintf(row->who, sizeof(row->who), "%s",
		 visibility == LOAM_PUBLIC ? "everybody" : "all accounts");
	add_reason(row, "the repository is %s", loam_visibility_name(visibility));
}

static int compare_rows(const void *a, const void *b)
{
	const struct loam_explained *left = a, *right = b;
	if ((left->kind == LOAM_EXPLAIN_GROUP) != (right->kind == LOAM_EXPLAIN_GROUP))
		return left->kind == LOAM_EXPLAIN_GROUP ? -1 : 1;
	return strcmp(left->who, right->who);
}

static void explain(const struct explaining *it)
{
	add_entries(it, true);
	add_entries(it, false);
	for (const struct loam_account *account = it->accounts->by_name; account;
	     account = account->by_name.next)
		if (is_named(it, account))
			add_account(it, account);
	if (it->out->count > 0)
		qsort(it->out->rows, it->out->count, sizeof(*it->out->rows), compare_rows);
	add_visibility(it);
}

int loam_explain(const struct loam_tree *tree, const struct loam_accounts *accounts,
		 const struct loam_repo *repo, struct loam_explanation *out, struct loam_err *err)
{
	char text[LOAM_REPO_TEXT_BYTES];
	struct loam_gate gate;
	struct loam_rights rights = { 0 };
	struct loam_ns ns = { .kind = repo->kind };
	memcpy(ns.ns, repo->ns, sizeof(ns.ns));
	loam_repo_text(repo, text);
	int rc = loam_gate_read(tree, repo, &gate, err);
	if (rc <= 0)
		return rc < 0 ? rc : loam_fail(err, LOAM_E_NOT_FOUND, "no repository '%s'", text);
	rc = loam_repos_rights(tree, repo, &rights, err);
	if (rc == 0) {
		struct loam_explanation explanation = { 0 };
		struct explaining it = { .accounts = accounts,
					 .gate = &gate,
					 .rights = &rights,
					 .repo_text = text,
					 .out = &explanation };
		loam_ns_text(&ns, it.ns_text);
		explain(&it);
		*out = explanation;
	}
	loam_rights_release(&rights);
	loam_gate_release(&gate);
	return rc;
}

const char *loam_explained_kind(const struct loam_explained *row)
{
	static const char *const kinds[] = { [LOAM_EXPLAIN_USER] = "user",
					     [LOAM_EXPLAIN_GROUP] = "group",
					     [LOAM_EXPLAIN_ACCOUNTS] = "accounts",
					     [LOAM_EXPLAIN_EVERYBODY] = "everybody" };
	return kinds[row->kind];
}

json_t *loam_explanation_json(const struct loam_explanation *explanation)
{
	json_t *array = json_array();
	for (size_t i = 0; i < explanation->count; i++) {
		const struct loam_explained *row = &explanation->rows[i];
		json_t *object = json_pack("{s:s, s:s, s:s, s:s}", "who", row->who, "kind",
					   loam_explained_kind(row), "right",
					   loam_right_name(row->right), "why", row->why);
		if (row->disabled)
			json_object_set_new(object, "disabled", json_true());
		json_array_append_new(array, object);
	}
	return array;
}
