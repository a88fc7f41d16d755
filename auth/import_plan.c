/*
 * What an import would do, and doing it (auth/import.h).
 */
#include "auth/account_many.h"
#include "auth/account_store_internal.h"
#include "auth/audit.h"
#include "auth/import.h"
#include "auth/password.h"
#include "core/auto.h"

#include <stdio.h>
#include <string.h>

struct planning {
	const struct loam_import *import;
	const struct loam_accounts *accounts;
	const struct loam_buf *retired;	     /* numbers */
	struct loam_import_entry *by_number; /* users and groups that are planned, by number */
	struct loam_import_plan *out;
};

const char *loam_import_verdict_name(enum loam_import_verdict verdict)
{
	static const char *const names[] = { [LOAM_IMPORT_ADD] = "add",
					     [LOAM_IMPORT_KEEP] = "keep",
					     [LOAM_IMPORT_CHANGE] = "change",
					     [LOAM_IMPORT_CONFLICT] = "conflict" };
	return names[verdict];
}

static struct loam_import_step *conflict(struct loam_import_step *step, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
static struct loam_import_step *conflict(struct loam_import_step *step, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	vsnprintf(step->note, sizeof(step->note), fmt, args);
	va_end(args);
	step->verdict = LOAM_IMPORT_CONFLICT;
	return step;
}

/* Of a new user or group: may it have this number? false: a conflict was noted. */
static bool number_is_free(struct planning *planning, struct loam_import_step *step)
{
	struct loam_import_entry *entry = (struct loam_import_entry *)step->entry, *twin;
	uint64_t number = entry->number;
	if (number == 0)
		return true; /* the next one */
	if (!loam_account_number_is_valid(number)) {
		conflict(step, "%llu is no number for accounts and groups",
			 (unsigned long long)number);
		return false;
	}
	const struct loam_account *account =
		loam_accounts_by_uid(planning->accounts, (uint32_t)number);
	const struct loam_group *group =
		loam_accounts_group_by_gid(planning->accounts, (uint32_t)number);
	if (account || group) {
		conflict(step, "the number %llu is %s %s's", (unsigned long long)number,
			 account ? "user" : "group", account ? account->name : group->name);
		return false;
	}
	if (loam_account_number_is_retired(planning->retired, number)) {
		conflict(step, "the number %llu belonged to somebody who was removed",
			 (unsigned long long)number);
		return false;
	}
	HASH_FIND(by_number, planning->by_number, &number, sizeof(number), twin);
	if (twin) {
		conflict(step, "the number %llu is line %zu's (%s), too",
			 (unsigned long long)number, twin->line, twin->name);
		return false;
	}
	HASH_ADD(by_number, planning->by_number, number, sizeof(entry->number), entry);
	return true;
}

/* "!", "*", "x", "": no password at all. */
static bool is_no_password(const char *hash)
{
	return hash[0] == '\0' || hash[0] == '!' || hash[0] == '*' || strcmp(hash, "x") == 0;
}

static void plan_password(struct loam_import_step *step, const struct loam_account *present)
{
	const char *hash = step->entry->hash;
	if (is_no_password(hash))
		return;
	if (loam_password_hash_kind(hash) == LOAM_HASH_NONE) {
		snprintf(step->note, sizeof(step->note),
			 "without a password: its hash is not taken over; keys and tokens work");
		return;
	}
	if (present && strcmp(present->hash, "!") != 0)
		return; /* what he has set since then stays */
	step->takes_hash = true;
	if (present)
		step->verdict = LOAM_IMPORT_CHANGE;
}

/* A killed command left him in passwd alone: refused everywhere, without a line in shadow. */
static void plan_half_made(struct planning *planning, struct loam_import_step *step,
			   const struct loam_account *present)
{
	if (loam_account_number_is_retired(planning->retired, present->uid)) {
		conflict(step, "half removed: loam user del %s first", present->name);
		return;
	}
	step->verdict = LOAM_IMPORT_ADD;
	plan_password(step, NULL);
	if (!step->note[0])
		snprintf(step->note, sizeof(step->note), "was half made, uid %u", present->uid);
}

static void plan_user(struct planning *planning, struct loam_import_step *step)
{
	const struct loam_import_entry *user = step->entry;
	const struct loam_import_entry *first = loam_import_user(planning->import, user->name);
	const struct loam_account *present = loam_accounts_by_name(planning->accounts, user->name);
	if (user->trouble[0]) {
		conflict(step, "%s", user->trouble);
	} else if (!loam_user_name_is_valid(user->name)) {
		conflict(step, "not a name for users");
	} else if (first != user) {
		conflict(step, "line %zu has this name, too", first->line);
	} else if (present && user->number != 0 && present->uid != user->number) {
		conflict(step, "has uid %u here", present->uid);
	} else if (present && present->hash[0] == '\0') {
		plan_half_made(planning, step, present);
	} else if (present) {
		step->verdict = LOAM_IMPORT_KEEP;
		plan_password(step, present);
	} else if (loam_accounts_group(planning->accounts, user->name)) {
		conflict(step, "there is a group of this name");
	} else if (number_is_free(planning, step)) {
		step->verdict = LOAM_IMPORT_ADD;
		plan_password(step, NULL);
	}
}

/* A user's own group comes with him; as something else it cannot be had. */
static void plan_own_group(struct loam_import_step *step, uint64_t uid)
{
	const struct loam_import_entry *group = step->entry;
	bool is_his = group->number == 0 || uid == 0 || group->number == uid;
	for (size_t i = 0; i < group->members.count; i++)
		is_his = is_his && strcmp(group->members.at[i], group->name) == 0;
	if (is_his) {
		step->verdict = LOAM_IMPORT_KEEP;
		snprintf(step->note, sizeof(step->note), "the user's own");
	} else {
		conflict(step, "a user has this name, and his own group no other number or "
			       "members");
	}
}

static void plan_group(struct planning *planning, struct loam_import_step *step)
{
	const struct loam_import_entry *group = step->entry;
	const struct loam_import_entry *first = loam_import_group(planning->import, group->name);
	const struct loam_import_entry *namesake = loam_import_user(planning->import, group->name);
	const struct loam_account *account = loam_accounts_by_name(planning->accounts, group->name);
	const struct loam_group *present = loam_accounts_group(planning->accounts, group->name);
	if (group->trouble[0])
		conflict(step, "%s", group->trouble);
	else if (!loam_user_name_is_valid(group->name))
		conflict(step, "not a name for groups");
	else if (first != group)
		conflict(step, "line %zu has this name, too", first->line);
	else if (namesake || account)
		plan_own_group(step, account ? account->uid : namesake->number);
	else if (present && group->number != 0 && present->gid != group->number)
		conflict(step, "has gid %u here", present->gid);
	else if (present)
		step->verdict = LOAM_IMPORT_KEEP;
	else if (number_is_free(planning, step))
		step->verdict = LOAM_IMPORT_ADD;
}

/* Users that will be there: theirs are the memberships that can be had. */
static void plan_members(struct planning *planning, struct loam_import_step *step,
			 const struct loam_import_step *users)
{
	const struct loam_import_entry *group = step->entry;
	const struct loam_group *present = loam_accounts_group(planning->accounts, group->name);
	size_t unknown = 0;
	if (step->verdict == LOAM_IMPORT_CONFLICT || strcmp(step->note, "the user's own") == 0)
		return;
	step->joins.at = loam_xcalloc(group->members.count + 1, sizeof(char *));
	for (size_t i = 0; i < group->members.count; i++) {
		char *name = group->members.at[i];
		const struct loam_import_entry *user = loam_import_user(planning->import, name);
		bool is_there = loam_accounts_by_name(planning->accounts, name) != NULL;
		for (size_t u = 0; user && !is_there && u < planning->import->user_count; u++)
			if (users[u].entry == user)
				is_there = users[u].verdict != LOAM_IMPORT_CONFLICT;
		if (!is_there)
			unknown++;
		else if (!present || !loam_names_hold(&present->members, name))
			step->joins.at[step->joins.count++] = name;
	}
	if (unknown > 0)
		snprintf(step->note, sizeof(step->note), "%zu members are no accounts", unknown);
	if (step->joins.count > 0 && step->verdict == LOAM_IMPORT_KEEP)
		step->verdict = LOAM_IMPORT_CHANGE;
}

static void count(struct loam_import_plan *plan)
{
	for (size_t i = 0; i < plan->count; i++) {
		plan->conflicts += plan->steps[i].verdict == LOAM_IMPORT_CONFLICT;
		plan->adds += plan->steps[i].verdict == LOAM_IMPORT_ADD;
		plan->changes += plan->steps[i].verdict == LOAM_IMPORT_CHANGE;
	}
}

/* Steps: users, then groups. Groups choose their numbers first: a user may not have one. */
static void plan_all(struct planning *planning)
{
	const struct loam_import *import = planning->import;
	struct loam_import_plan *plan = planning->out;
	plan->count = import->user_count + import->group_count;
	plan->steps = loam_xcalloc(plan->count + 1, sizeof(*plan->steps));
	struct loam_import_step *groups = plan->steps + import->user_count;
	for (size_t i = 0; i < import->user_count; i++)
		plan->steps[i].entry = import->users[i];
	for (size_t i = 0; i < import->group_count; i++) {
		groups[i] =
			(struct loam_import_step){ .is_group = true, .entry = import->groups[i] };
		plan_group(planning, &groups[i]);
	}
	for (size_t i = 0; i < import->user_count; i++)
		plan_user(planning, &plan->steps[i]);
	for (size_t i = 0; i < import->group_count; i++)
		plan_members(planning, &groups[i], plan->steps);
	HASH_CLEAR(by_number, planning->by_number);
	count(plan);
}

int loam_import_plan_make(const struct loam_import *import, struct loam_account_store *store,
			  struct loam_import_plan *out, struct loam_err *err)
{
	loam_auto_buf struct loam_buf retired = LOAM_BUF(LOAM_ACCOUNT_FILE_BYTES_MAX);
	struct planning planning = { .import = import, .retired = &retired, .out = out };
	*out = (struct loam_import_plan){ .count = 0 };
	int rc = loam_account_numbers_retired(store, &retired, err);
	if (rc == 0)
		rc = loam_account_store_get(store, true, &planning.accounts, err);
	if (rc < 0)
		return rc;
	plan_all(&planning);
	loam_account_store_put(store, planning.accounts);
	return 0;
}

void loam_import_plan_release(struct loam_import_plan *plan)
{
	for (size_t i = 0; i < plan->count; i++)
		free(plan->steps[i].joins.at);
	free(plan->steps);
	*plan = (struct loam_import_plan){ .count = 0 };
}

/* ---- doing it -------------------------------------------------------------------------------- */

static int run_group(const struct loam_import_step *step, struct loam_account_store *store,
		     struct loam_err *err)
{
	const struct loam_new_group fresh = { .name = step->entry->name,
					      .gid = (uint32_t)step->entry->number };
	uint32_t gid;
	int rc = step->verdict == LOAM_IMPORT_ADD ? loam_group_add(store, &fresh, &gid, err) : 0;
	return rc < 0 ? loam_context(err, "group %s", fresh.name) : 0;
}

struct kept_hash {
	char text[LOAM_PASSWORD_HASH_BYTES];
};

/* All new accounts and all memberships, each file once. */
static int run_many(const struct loam_import_plan *plan, struct loam_account_store *store,
		    struct loam_err *err)
{
	loam_auto_free struct loam_many_user *users = loam_xcalloc(plan->count + 1, sizeof(*users));
	loam_auto_free struct loam_group_join *joins =
		loam_xcalloc(plan->count + 1, sizeof(*joins));
	loam_auto_free struct kept_hash *kept = loam_xcalloc(plan->count + 1, sizeof(*kept));
	struct loam_many many = { .users = users, .joins = joins };
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < plan->count; i++)
		if (plan->steps[i].takes_hash && plan->steps[i].verdict == LOAM_IMPORT_ADD)
			rc = loam_password_hash_keep(plan->steps[i].entry->hash, kept[i].text, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < plan->count; i++) {
		const struct loam_import_step *step = &plan->steps[i];
		if (step->is_group && step->joins.count > 0)
			joins[many.join_count++] =
				(struct loam_group_join){ step->entry->name, &step->joins };
		if (!step->is_group && step->verdict == LOAM_IMPORT_ADD)
			users[many.user_count++] =
				(struct loam_many_user){ .name = step->entry->name,
							 .uid = (uint32_t)step->entry->number,
							 .hash = step->takes_hash ? kept[i].text
										  : NULL,
							 .disabled = step->entry->disabled,
							 .resume = true };
	}
	if (many.user_count + many.join_count == 0)
		return 0;
	rc = loam_account_many_make(store, &many, err);
	explicit_bzero(kept, plan->count * sizeof(*kept));
	for (size_t i = 0; rc == 0 && i < many.user_count; i++)
		loam_audit(&(struct loam_audit_entry){ .action = "user.add",
						       .account = users[i].name,
						       .detail = "import" },
			   0, err);
	return rc < 0 ? loam_audit(&(struct loam_audit_entry){ .action = "user.import" }, rc, err)
		      : 0;
}

static int run_password(const struct loam_import_step *step, struct loam_account_store *store,
			struct loam_err *err)
{
	if (step->is_group || step->verdict != LOAM_IMPORT_CHANGE || !step->takes_hash)
		return 0;
	int rc = loam_account_store_set_hash(store, step->entry->name, step->entry->hash, err);
	return rc < 0 ? loam_context(err, "user %s", step->entry->name) : 0;
}

int loam_import_run(const struct loam_import_plan *plan, struct loam_account_store *store,
		    struct loam_err *err)
{
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < plan->count; i++)
		if (plan->steps[i].is_group)
			rc = run_group(&plan->steps[i], store, err);
	if (rc == 0)
		rc = run_many(plan, store, err);
	for (size_t i = 0; rc == 0 && i < plan->count; i++)
		rc = run_password(&plan->steps[i], store, err);
	return rc;
}
