/*
 * auth/gate: the one decision of every door, over all kinds of callers and grants (design.md §2.2).
 */
#include "auth/auth.h"
#include "auth/gate.h"

#include "core/auto.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define REPO "models/qwen/tiny"
#define UID  20001u
#define GID  20001u
#define LAB  20050u

static const struct loam_principal alice = { .kind = LOAM_USER,
					     .user = "alice",
					     .uid = UID,
					     .gid = GID,
					     .groups = { LAB, 20060 },
					     .group_count = 2 };

/* A private gate of somebody else's namespace: the service's, without any grant. */
static struct loam_gate private_gate(void)
{
	struct loam_gate gate = { .attr = { .uid = LOAM_SERVICE_ID,
					    .gid = LOAM_SERVICE_ID,
					    .mode = 0750,
					    .type = LOAM_TYPE_DIR },
				  .owner_uid = 30000,
				  .owner_gid = UINT32_MAX };
	loam_acl_init(&gate.acl);
	return gate;
}

/* The same with a rule as Loam writes it; the entries are borrowed. */
static struct loam_gate gate_with(struct loam_acl_entry *users, uint32_t user_count,
				  struct loam_acl_entry *groups, uint32_t group_count,
				  uint16_t other)
{
	struct loam_gate gate = private_gate();
	gate.acl = (struct loam_acl){ .owner = 07,
				      .group = 05,
				      .mask = 05,
				      .other = other,
				      .users = users,
				      .groups = groups,
				      .user_count = user_count,
				      .group_count = group_count };
	gate.attr.access_acl = 1;
	gate.attr.mode = (uint16_t)(0750 | other);
	return gate;
}

/* The most that who may do: 0 nothing, else enum loam_want; less must be included. */
static int most(const struct loam_principal *who, const struct loam_gate *gate)
{
	int found = 0;
	bool before = true;
	for (int want = LOAM_WANT_READ; want <= LOAM_WANT_ADMIN; want++) {
		bool may = loam_auth_decide(who, gate, REPO, (enum loam_want)want);
		assert_true(before || !may);
		before = may;
		found = may ? want : found;
	}
	return found;
}

static void without_a_grant_nobody_enters_a_private_gate(void **state)
{
	struct loam_gate gate = private_gate();
	static const struct loam_principal anonymous = { .kind = LOAM_ANONYMOUS };
	static const struct loam_principal admin = { .kind = LOAM_ADMIN };
	assert_int_equal(most(&alice, &gate), 0);
	assert_int_equal(most(&anonymous, &gate), 0);
	assert_int_equal(most(&admin, &gate), LOAM_WANT_ADMIN);
}

static void internal_is_for_accounts_public_for_all(void **state)
{
	static const struct loam_principal anonymous = { .kind = LOAM_ANONYMOUS };
	struct loam_gate gate = private_gate();
	gate.attr.mode = 0755;
	assert_int_equal(most(&alice, &gate), LOAM_WANT_READ);
	assert_int_equal(most(&anonymous, &gate), 0);
	gate.anonymous_read = true;
	assert_int_equal(most(&anonymous, &gate), LOAM_WANT_READ);
	gate.attr.mode = 0750; /* somebody took the others' right: the mount refuses, so do all */
	assert_int_equal(most(&alice, &gate), 0);
	assert_int_equal(most(&anonymous, &gate), 0);
	gate = gate_with(NULL, 0, NULL, 0, 05);
	assert_int_equal(most(&alice, &gate), LOAM_WANT_READ);
	assert_int_equal(most(&anonymous, &gate), 0);
}

static void an_anonymous_caller_is_nobody_even_with_the_number_of_an_owner(void **state)
{
	const struct loam_principal anonymous = { .kind = LOAM_ANONYMOUS, .uid = 30000 };
	struct loam_acl_entry entry = { 30000, 07 };
	struct loam_gate gate = gate_with(&entry, 1, NULL, 0, 05);
	assert_int_equal(most(&anonymous, &gate), 0);
}

static void a_named_entry_grants_what_it_says_whatever_the_mask(void **state)
{
	static const struct {
		uint16_t perm;
		int most;
	} cases[] = { { 0, 0 },
		      { 01, 0 },
		      { 04, 0 },
		      { 05, LOAM_WANT_READ },
		      { 06, 0 },
		      { 02, 0 },
		      { 07, LOAM_WANT_WRITE } };
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(cases); i++) {
		struct loam_acl_entry entry = { UID, cases[i].perm };
		for (uint16_t mask = 0; mask <= 07; mask++) {
			struct loam_gate gate = gate_with(&entry, 1, NULL, 0, 0);
			gate.acl.mask = mask;
			assert_int_equal(most(&alice, &gate), cases[i].most);
		}
	}
}

static void a_users_entry_decides_before_his_groups_and_before_others(void **state)
{
	struct loam_acl_entry none = { UID, 0 }, read = { UID, 05 }, lab = { LAB, 07 };
	struct loam_gate gate = gate_with(&none, 1, &lab, 1, 05);
	assert_int_equal(most(&alice, &gate), 0);
	gate = gate_with(&read, 1, &lab, 1, 05);
	assert_int_equal(most(&alice, &gate), LOAM_WANT_READ);
}

static void any_of_his_groups_is_enough_and_shuts_out_others(void **state)
{
	struct loam_acl_entry two[] = { { LAB, 0 }, { 20060, 07 } };
	struct loam_gate gate = gate_with(NULL, 0, two, 2, 0);
	assert_int_equal(most(&alice, &gate), LOAM_WANT_WRITE);
	two[1].perm = 05;
	assert_int_equal(most(&alice, &gate), LOAM_WANT_READ);
	two[1].perm = 0;
	gate = gate_with(NULL, 0, two, 2, 05);
	assert_int_equal(most(&alice, &gate), 0);
	struct loam_acl_entry primary = { GID, 05 };
	gate = gate_with(NULL, 0, &primary, 1, 0);
	assert_int_equal(most(&alice, &gate), LOAM_WANT_READ);
	struct loam_acl_entry foreign = { 20999, 07 };
	gate = gate_with(NULL, 0, &foreign, 1, 0);
	assert_int_equal(most(&alice, &gate), 0);
}

static void write_for_everybody_is_never_a_right_to_push(void **state)
{
	struct loam_gate gate = private_gate();
	gate.attr.mode = 0777;
	assert_int_equal(most(&alice, &gate), LOAM_WANT_READ);
	gate = gate_with(NULL, 0, NULL, 0, 07);
	gate.acl.group = 07;
	assert_int_equal(most(&alice, &gate), LOAM_WANT_READ);
	gate.acl.other = LOAM_ACL_ABSENT;
	gate.acl.group = LOAM_ACL_ABSENT;
	assert_int_equal(most(&alice, &gate), 0);
}

static void the_namespaces_owner_and_admins_may_do_everything(void **state)
{
	struct loam_gate gate = private_gate();
	gate.owner_uid = UID;
	assert_int_equal(most(&alice, &gate), LOAM_WANT_ADMIN);
	gate.owner_uid = UINT32_MAX;
	gate.owner_gid = LAB;
	assert_int_equal(most(&alice, &gate), LOAM_WANT_ADMIN);
	gate.owner_gid = GID;
	assert_int_equal(most(&alice, &gate), LOAM_WANT_ADMIN);
	gate.owner_gid = 20999;
	assert_int_equal(most(&alice, &gate), 0);
	struct loam_grantee admins[] = { { false, 20002 }, { false, UID } };
	gate.admins = admins;
	gate.admin_count = 2;
	assert_int_equal(most(&alice, &gate), LOAM_WANT_ADMIN);
	gate.admin_count = 1;
	assert_int_equal(most(&alice, &gate), 0);
	struct loam_principal nowhere = { .kind = LOAM_USER, .uid = UINT32_MAX, .gid = UINT32_MAX };
	gate.owner_gid = UINT32_MAX;
	assert_int_equal(most(&nowhere, &gate), 0);
}

static void a_group_may_own_the_namespace_or_be_an_admin(void **state)
{
	struct loam_gate gate = private_gate();
	gate.owner_uid = UINT32_MAX;
	gate.owner_gid = 20060;
	assert_int_equal(most(&alice, &gate), LOAM_WANT_ADMIN);
	gate.owner_gid = 20061;
	assert_int_equal(most(&alice, &gate), 0);
	struct loam_grantee admins[] = { { true, 20999 }, { true, LAB } };
	gate.admins = admins;
	gate.admin_count = 2;
	assert_int_equal(most(&alice, &gate), LOAM_WANT_ADMIN);
	gate.admin_count = 1;
	assert_int_equal(most(&alice, &gate), 0);
	admins[0] = (struct loam_grantee){ true, UID + 1 }; /* a gid is no uid */
	struct loam_principal other = alice;
	other.uid = UID + 1;
	other.gid = 1;
	assert_int_equal(most(&other, &gate), 0);
}

static void an_entry_that_denies_stands_above_group_ownership_and_publicity(void **state)
{
	struct loam_acl_entry none = { UID, 0 };
	struct loam_gate gate = gate_with(&none, 1, NULL, 0, 05);
	gate.owner_gid = LAB;
	gate.anonymous_read = true;
	struct loam_grantee admin = { true, LAB };
	gate.admins = &admin;
	gate.admin_count = 1;
	assert_int_equal(most(&alice, &gate), 0);
	none.perm = 05;
	assert_int_equal(most(&alice, &gate), LOAM_WANT_ADMIN);
}

/* ---- an oracle that knows the documented rules only ------------------------------------------ */

static const uint32_t ids[] = { 1, 2, 3, 4, 5, 6 }; /* uids and gids, mixed on purpose */
#define PICK() ids[(size_t)rand_r(seed) % LOAM_ARRAY_COUNT(ids)]

struct drawn {
	struct loam_principal who;
	struct loam_gate gate;
	struct loam_acl_entry users[4], groups[4];
	struct loam_grantee admins[3];
};

static bool has_id(const struct loam_acl_entry *entries, uint32_t count, uint32_t id)
{
	for (uint32_t i = 0; i < count; i++)
		if (entries[i].id == id)
			return true;
	return false;
}

static uint32_t draw_entries(unsigned *seed, struct loam_acl_entry out[4])
{
	uint32_t count = 0, wanted = (uint32_t)rand_r(seed) % 5;
	for (uint32_t i = 0; i < wanted; i++) {
		uint32_t id = PICK();
		if (!has_id(out, count, id))
			out[count++] = (struct loam_acl_entry){ id, (uint16_t)(rand_r(seed) & 07) };
	}
	return count;
}

static void draw(unsigned *seed, struct drawn *out)
{
	memset(out, 0, sizeof(*out));
	out->who = (struct loam_principal){ .kind = LOAM_USER, .uid = PICK(), .gid = PICK() };
	out->who.group_count = (size_t)rand_r(seed) % 4;
	for (size_t i = 0; i < out->who.group_count; i++)
		out->who.groups[i] = PICK();
	if (rand_r(seed) % 8 == 0)
		out->who.kind = LOAM_ANONYMOUS;
	if (rand_r(seed) % 3 == 0) {
		out->who.kind = LOAM_TOKEN;
		out->who.scope = (unsigned)rand_r(seed) & 07;
		if (rand_r(seed) % 4 == 0)
			snprintf(out->who.only_repo, sizeof(out->who.only_repo), "%s",
				 rand_r(seed) % 2 ? REPO : "models/qwen/other");
	}
	uint16_t other = (uint16_t)(rand_r(seed) & 07);
	uint32_t users = draw_entries(seed, out->users), groups = draw_entries(seed, out->groups);
	out->gate = gate_with(out->users, users, out->groups, groups, other);
	if (users + groups == 0) {
		loam_acl_init(&out->gate.acl);
		out->gate.attr.access_acl = 0;
	}
	out->gate.anonymous_read = rand_r(seed) % 2;
	out->gate.owner_uid = out->gate.owner_gid = UINT32_MAX;
	if (rand_r(seed) % 2)
		*(rand_r(seed) % 2 ? &out->gate.owner_uid : &out->gate.owner_gid) = PICK();
	out->gate.admins = out->admins;
	out->gate.admin_count = (size_t)rand_r(seed) % 4;
	for (size_t i = 0; i < out->gate.admin_count; i++)
		out->admins[i] = (struct loam_grantee){ rand_r(seed) % 2, PICK() };
}

static bool in_group(const struct drawn *d, uint32_t gid)
{
	bool in = d->who.gid == gid;
	for (size_t i = 0; i < d->who.group_count; i++)
		in |= d->who.groups[i] == gid;
	return in;
}

/* What reliability.md §3 rule 2 says, in its order; -1 denied, 0 nothing, else the most. */
static int oracle(const struct drawn *d)
{
	const struct loam_gate *gate = &d->gate;
	uint16_t other = loam_acl_is_empty(&gate->acl) ? gate->attr.mode & 07 : gate->acl.other;
	bool others_read = (other & 05) == 05;
	if (d->who.kind == LOAM_ANONYMOUS)
		return gate->anonymous_read && others_read ? LOAM_WANT_READ : 0;
	int cut = LOAM_WANT_ADMIN;
	if (d->who.kind == LOAM_TOKEN)
		cut = d->who.only_repo[0] && strcmp(d->who.only_repo, REPO) != 0 ? 0
		      : d->who.scope & LOAM_SCOPE_ADMIN				 ? LOAM_WANT_ADMIN
		      : d->who.scope & LOAM_SCOPE_WRITE				 ? LOAM_WANT_WRITE
		      : d->who.scope & LOAM_SCOPE_READ				 ? LOAM_WANT_READ
										 : 0;
	int most_of = 0;
	bool user_entry = false, group_entry = false;
	for (uint32_t i = 0; i < gate->acl.user_count; i++) {
		uint16_t perm = d->users[i].perm;
		if (d->users[i].id != d->who.uid)
			continue;
		user_entry = true;
		if ((perm & 05) != 05)
			return 0;
		most_of = perm == 07 ? LOAM_WANT_WRITE : LOAM_WANT_READ;
	}
	for (uint32_t i = 0; !user_entry && i < gate->acl.group_count; i++) {
		uint16_t perm = d->groups[i].perm;
		if (!in_group(d, d->groups[i].id))
			continue;
		group_entry = true;
		int this = perm == 07 ? LOAM_WANT_WRITE : (perm & 05) == 05 ? LOAM_WANT_READ : 0;
		most_of = this > most_of ? this : most_of;
	}
	if (!user_entry && !group_entry && others_read)
		most_of = LOAM_WANT_READ;
	bool admin = d->who.uid == gate->owner_uid || in_group(d, gate->owner_gid);
	for (size_t i = 0; i < gate->admin_count; i++)
		admin |= d->admins[i].is_group ? in_group(d, d->admins[i].id)
					       : d->who.uid == d->admins[i].id;
	if (admin)
		most_of = LOAM_WANT_ADMIN;
	return most_of < cut ? most_of : cut;
}

static void random_gates_and_callers_are_answered_as_the_rules_say(void **state)
{
	unsigned seed = 20261126, counts[4] = { 0 };
	for (int round = 0; round < 200000; round++) {
		struct drawn drawn;
		draw(&seed, &drawn);
		int wanted = oracle(&drawn), got = most(&drawn.who, &drawn.gate);
		if (wanted != got)
			fail_msg("round %d: wanted %d, got %d", round, wanted, got);
		counts[got]++;
	}
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(counts); i++)
		assert_true(counts[i] > 5000); /* the draw reaches every answer */
}

static void a_token_has_its_users_rights_cut_by_scope(void **state)
{
	static const struct {
		unsigned scope;
		int most;
	} cases[] = {
		{ 0, 0 },
		{ LOAM_SCOPE_READ, LOAM_WANT_READ },
		{ LOAM_SCOPE_WRITE, LOAM_WANT_WRITE },
		{ LOAM_SCOPE_READ | LOAM_SCOPE_WRITE, LOAM_WANT_WRITE },
		{ LOAM_SCOPE_ADMIN, LOAM_WANT_ADMIN },
	};
	struct loam_gate mine = private_gate();
	mine.owner_uid = UID;
	struct loam_acl_entry read = { UID, 05 };
	struct loam_gate readable = gate_with(&read, 1, NULL, 0, 0);
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(cases); i++) {
		struct loam_principal token = alice;
		token.kind = LOAM_TOKEN;
		token.scope = cases[i].scope;
		assert_int_equal(most(&token, &mine), cases[i].most);
		assert_int_equal(most(&token, &readable), cases[i].scope ? LOAM_WANT_READ : 0);
	}
	struct loam_principal link = alice;
	link.kind = LOAM_LINK;
	assert_int_equal(most(&link, &mine), LOAM_WANT_ADMIN);
	assert_int_equal(most(&link, &readable), LOAM_WANT_READ);
}

static void a_token_for_one_repository_opens_no_other(void **state)
{
	struct loam_gate gate = private_gate();
	gate.owner_uid = UID;
	struct loam_principal token = alice;
	token.kind = LOAM_TOKEN;
	token.scope = LOAM_SCOPE_WRITE;
	snprintf(token.only_repo, sizeof(token.only_repo), REPO);
	assert_int_equal(most(&token, &gate), LOAM_WANT_WRITE);
	static const char *const others[] = { "models/qwen/tin", "models/qwen/tiny2",
					      "datasets/qwen/tiny" };
	gate.anonymous_read = true;
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(others); i++)
		assert_false(loam_auth_decide(&token, &gate, others[i], LOAM_WANT_READ));
}

static void the_most_groups_that_fit_are_looked_at(void **state)
{
	struct loam_principal who = {
		.kind = LOAM_USER, .uid = UID, .gid = GID, .group_count = LOAM_PRINCIPAL_GROUPS_MAX
	};
	for (uint32_t i = 0; i < LOAM_PRINCIPAL_GROUPS_MAX; i++)
		who.groups[i] = 40000 + i;
	struct loam_acl_entry last = { 40000 + LOAM_PRINCIPAL_GROUPS_MAX - 1, 07 };
	struct loam_gate gate = gate_with(NULL, 0, &last, 1, 0);
	assert_int_equal(most(&who, &gate), LOAM_WANT_WRITE);
}

static void an_owner_is_a_user_or_a_group(void **state)
{
	static const char *const bad[] = {
		"", "u:", "u:0", "u", "x:5", "u:-1", "u:5 ", "u:4294967295", "g:99999999999", "U:5"
	};
	uint32_t uid, gid;
	struct loam_err err = { 0 };
	assert_int_equal(loam_gate_owner_parse("u:20001", &uid, &gid, &err), 0);
	assert_int_equal(uid, 20001);
	assert_int_equal(gid, UINT32_MAX);
	assert_int_equal(loam_gate_owner_parse("g:7", &uid, &gid, &err), 0);
	assert_int_equal(uid, UINT32_MAX);
	assert_int_equal(gid, 7);
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(bad); i++) {
		assert_int_equal(loam_gate_owner_parse(bad[i], &uid, &gid, &err), -LOAM_E_CORRUPT);
		loam_err_clear(&err);
		assert_int_equal(uid, UINT32_MAX);
		assert_int_equal(gid, UINT32_MAX);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_a_grant_nobody_enters_a_private_gate),
		cmocka_unit_test(internal_is_for_accounts_public_for_all),
		cmocka_unit_test(an_anonymous_caller_is_nobody_even_with_the_number_of_an_owner),
		cmocka_unit_test(a_named_entry_grants_what_it_says_whatever_the_mask),
		cmocka_unit_test(a_users_entry_decides_before_his_groups_and_before_others),
		cmocka_unit_test(any_of_his_groups_is_enough_and_shuts_out_others),
		cmocka_unit_test(write_for_everybody_is_never_a_right_to_push),
		cmocka_unit_test(the_namespaces_owner_and_admins_may_do_everything),
		cmocka_unit_test(a_group_may_own_the_namespace_or_be_an_admin),
		cmocka_unit_test(an_entry_that_denies_stands_above_group_ownership_and_publicity),
		cmocka_unit_test(random_gates_and_callers_are_answered_as_the_rules_say),
		cmocka_unit_test(a_token_has_its_users_rights_cut_by_scope),
		cmocka_unit_test(a_token_for_one_repository_opens_no_other),
		cmocka_unit_test(the_most_groups_that_fit_are_looked_at),
		cmocka_unit_test(an_owner_is_a_user_or_a_group),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
