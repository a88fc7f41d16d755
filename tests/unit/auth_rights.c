/*
 * auth/rights, auth/namespaces, auth/explain: grants to users and groups, on repositories and on
 * namespaces, and where each came from.
 */
#include "auth/explain.h"

#include "auth/gate.h"
#include "auth/groups.h"
#include "core/auto.h"
#include "tests/support/tree_world.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/volume.h"

#define ALICE 20001u
#define BOB   20002u
#define CAROL 20003u
#define TEAM  20004u

static const struct loam_ns qwen = { .kind = LOAM_KIND_MODELS, .ns = "qwen" };

static int setup(void **state)
{
	int rc = loam_tree_world_setup(state);
	struct loam_tree_world *world = *state;
	struct loam_new_group team = { .name = "team" };
	uint32_t gid;
	loam_tree_world_user(world, "alice");
	loam_tree_world_user(world, "bob");
	loam_tree_world_user(world, "carol");
	assert_ok(loam_group_add(loam_auth_accounts(world->auth), &team, &gid, &err));
	assert_int_equal(gid, TEAM);
	return rc;
}

static void join(struct loam_tree_world *world, const char *user)
{
	assert_ok(loam_group_set_member(loam_auth_accounts(world->auth), "team", user, false,
					LOAM_BY_ADMIN, &err));
}

/* The most that the user may do: 0 nothing. */
static int most(struct loam_tree_world *world, const char *user, const struct loam_repo *repo)
{
	struct loam_principal who;
	int found = 0;
	assert_ok(loam_auth_user(world->auth, user, "", &who, &err));
	for (int want = LOAM_WANT_READ; want <= LOAM_WANT_ADMIN; want++) {
		struct loam_err refused = { 0 };
		if (loam_auth_check(world->auth, &who, repo, (enum loam_want)want, NULL,
				    &refused) == 0)
			found = want;
	}
	return found;
}

/* The entry on the gate: rwx as a number, -1 for none. */
static int entry(struct loam_tree_world *world, const struct loam_repo *repo,
		 const struct loam_grantee *who)
{
	struct loam_gate gate;
	struct loam_err err = { 0 };
	int found = -1;
	assert_int_equal(loam_gate_read(&world->tree, repo, &gate, &err), 1);
	uint32_t count = who->is_group ? gate.acl.group_count : gate.acl.user_count;
	for (uint32_t i = 0; i < count; i++) {
		const struct loam_acl_entry *at =
			who->is_group ? &gate.acl.groups[i] : &gate.acl.users[i];
		if (at->id == who->id)
			found = at->perm;
	}
	loam_gate_release(&gate);
	return found;
}

/* What setfacl does on a mount: one named user's entry set, or removed (perm -1). */
static void setfacl(struct loam_tree_world *world, const struct loam_repo *repo, uint32_t uid,
		    int perm)
{
	struct loam_gate gate;
	struct loam_attr attr;
	struct loam_err none = { 0 };
	struct loam_acl_entry users[16];
	assert_int_equal(loam_gate_read(&world->tree, repo, &gate, &none), 1);
	struct loam_acl acl = gate.acl;
	acl.users = users;
	acl.user_count = 0;
	bool set = perm < 0;
	for (uint32_t i = 0; i < gate.acl.user_count; i++) {
		if (!set && gate.acl.users[i].id >= uid) {
			users[acl.user_count++] = (struct loam_acl_entry){ uid, (uint16_t)perm };
			set = true;
		}
		if (gate.acl.users[i].id != uid)
			users[acl.user_count++] = gate.acl.users[i];
	}
	if (!set)
		users[acl.user_count++] = (struct loam_acl_entry){ uid, (uint16_t)perm };
	assert_ok(loam_meta_set_acl(world->volume.meta, &loam_who_root, gate.ino, LOAM_ACL_ACCESS,
				    &acl, &attr, &err));
	loam_gate_release(&gate);
}

static int mend(struct loam_tree_world *world, const struct loam_repo *repo)
{
	struct loam_err err = { 0 };
	int rc = loam_repos_mend_gate(&world->tree, repo, &err);
	assert_true(rc >= 0);
	return rc;
}

static void a_group_can_be_granted_and_its_members_may(void **state)
{
	struct loam_tree_world *world = *state;
	struct loam_repo repo = loam_tree_world_repo(world, "qwen/tiny", ALICE, LOAM_PRIVATE);
	join(world, "bob");
	assert_ok(
		loam_repos_grant(&world->tree, &repo, LOAM_THE_GROUP(TEAM), LOAM_WANT_WRITE, &err));
	assert_int_equal(entry(world, &repo, LOAM_THE_GROUP(TEAM)), 07);
	assert_int_equal(most(world, "bob", &repo), LOAM_WANT_WRITE);
	assert_int_equal(most(world, "carol", &repo), 0);
	assert_ok(
		loam_repos_grant(&world->tree, &repo, LOAM_THE_GROUP(TEAM), LOAM_WANT_ADMIN, &err));
	assert_int_equal(most(world, "bob", &repo), LOAM_WANT_ADMIN);
	/* his own entry is looked at first, as the kernel does; what he administers stays */
	assert_ok(
		loam_repos_grant(&world->tree, &repo, LOAM_THE_GROUP(TEAM), LOAM_WANT_WRITE, &err));
	assert_ok(loam_repos_grant(&world->tree, &repo, LOAM_THE_USER(BOB), LOAM_WANT_READ, &err));
	assert_int_equal(most(world, "bob", &repo), LOAM_WANT_READ);
	assert_ok(loam_repos_revoke(&world->tree, &repo, LOAM_THE_USER(BOB), &err));
	assert_ok(loam_repos_revoke(&world->tree, &repo, LOAM_THE_GROUP(TEAM), &err));
	assert_int_equal(most(world, "bob", &repo), 0);
	assert_code(loam_repos_revoke(&world->tree, &repo, LOAM_THE_GROUP(TEAM), &err),
		    LOAM_E_NOT_FOUND);
}

static void a_group_may_own_a_namespace(void **state)
{
	struct loam_tree_world *world = *state;
	struct loam_repo repo;
	uint64_t gate;
	assert_ok(loam_repo_parse("qwen/tiny", &repo, &err));
	assert_ok(loam_repos_create(&world->tree, &repo, LOAM_THE_GROUP(TEAM), LOAM_PRIVATE, &gate,
				    &err));
	assert_int_equal(entry(world, &repo, LOAM_THE_GROUP(TEAM)), 07);
	assert_int_equal(most(world, "bob", &repo), 0);
	join(world, "bob");
	assert_int_equal(most(world, "bob", &repo), LOAM_WANT_ADMIN);
	assert_code(loam_repos_revoke(&world->tree, &repo, LOAM_THE_GROUP(TEAM), &err),
		    LOAM_E_NOT_PERMITTED);
	struct loam_repo second = repo;
	snprintf(second.name, sizeof(second.name), "second");
	assert_code(loam_repos_create(&world->tree, &second, LOAM_THE_USER(TEAM), LOAM_PRIVATE,
				      &gate, &err),
		    LOAM_E_DENIED);
	assert_ok(loam_ns_set_owner(&world->tree, &qwen, LOAM_THE_USER(CAROL), &err));
	assert_int_equal(entry(world, &repo, LOAM_THE_GROUP(TEAM)), -1);
	assert_int_equal(entry(world, &repo, LOAM_THE_USER(CAROL)), 07);
	assert_int_equal(most(world, "bob", &repo), 0);
	assert_int_equal(most(world, "carol", &repo), LOAM_WANT_ADMIN);
}

static void grants_of_a_namespace_are_entries_on_every_gate_old_and_new(void **state)
{
	struct loam_tree_world *world = *state;
	struct loam_repo old = loam_tree_world_repo(world, "qwen/old", ALICE, LOAM_PRIVATE);
	struct loam_repo data = loam_tree_world_repo(world, "datasets/qwen/d", ALICE, LOAM_PRIVATE);
	join(world, "carol");
	assert_ok(loam_ns_grant(&world->tree, &qwen, LOAM_THE_USER(BOB), LOAM_WANT_READ, &err));
	assert_ok(loam_ns_grant(&world->tree, &qwen, LOAM_THE_GROUP(TEAM), LOAM_WANT_ADMIN, &err));
	struct loam_repo later = loam_tree_world_repo(world, "qwen/later", ALICE, LOAM_PRIVATE);
	const struct loam_repo *both[] = { &old, &later };
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(entry(world, both[i], LOAM_THE_USER(BOB)), 05);
		assert_int_equal(entry(world, both[i], LOAM_THE_GROUP(TEAM)), 07);
		assert_int_equal(most(world, "bob", both[i]), LOAM_WANT_READ);
		assert_int_equal(most(world, "carol", both[i]), LOAM_WANT_ADMIN);
		assert_int_equal(mend(world, both[i]), 0);
	}
	assert_int_equal(most(world, "bob", &data), 0);
	assert_code(loam_repos_revoke(&world->tree, &old, LOAM_THE_USER(BOB), &err),
		    LOAM_E_NOT_PERMITTED);
	assert_ok(loam_ns_grant(&world->tree, &qwen, LOAM_THE_USER(BOB), LOAM_WANT_WRITE, &err));
	assert_int_equal(most(world, "bob", &old), LOAM_WANT_WRITE);
	assert_ok(loam_ns_revoke(&world->tree, &qwen, LOAM_THE_USER(BOB), &err));
	assert_ok(loam_ns_revoke(&world->tree, &qwen, LOAM_THE_GROUP(TEAM), &err));
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(entry(world, both[i], LOAM_THE_USER(BOB)), -1);
		assert_int_equal(entry(world, both[i], LOAM_THE_GROUP(TEAM)), -1);
		assert_int_equal(entry(world, both[i], LOAM_THE_USER(ALICE)), 07);
		assert_int_equal(most(world, "carol", both[i]), 0);
	}
	assert_code(loam_ns_revoke(&world->tree, &qwen, LOAM_THE_USER(BOB), &err),
		    LOAM_E_NOT_FOUND);
	assert_code(loam_ns_revoke(&world->tree, &qwen, LOAM_THE_USER(ALICE), &err),
		    LOAM_E_NOT_PERMITTED);
	struct loam_ns none = { .kind = LOAM_KIND_CODE, .ns = "qwen" };
	assert_code(loam_ns_grant(&world->tree, &none, LOAM_THE_USER(BOB), LOAM_WANT_READ, &err),
		    LOAM_E_NOT_FOUND);
}

/* Every pair of a direct and an inherited grant: the union holds, and each goes alone. */
static void a_direct_and_an_inherited_grant_leave_each_other_alone(void **state)
{
	struct loam_tree_world *world = *state;
	struct loam_repo repo = loam_tree_world_repo(world, "qwen/tiny", ALICE, LOAM_PRIVATE);
	const struct loam_grantee *bob = LOAM_THE_USER(BOB);
	for (int direct = LOAM_WANT_READ; direct <= LOAM_WANT_ADMIN; direct++) {
		for (int from_ns = LOAM_WANT_READ; from_ns <= LOAM_WANT_ADMIN; from_ns++) {
			int both = direct > from_ns ? direct : from_ns;
			for (int order = 0; order < 2; order++) {
				if (order == 0)
					assert_ok(loam_repos_grant(&world->tree, &repo, bob,
								   (enum loam_want)direct, &err));
				assert_ok(loam_ns_grant(&world->tree, &qwen, bob,
							(enum loam_want)from_ns, &err));
				if (order == 1)
					assert_ok(loam_repos_grant(&world->tree, &repo, bob,
								   (enum loam_want)direct, &err));
				assert_int_equal(most(world, "bob", &repo), both);
				assert_int_equal(mend(world, &repo), 0);
				if (order == 0) {
					assert_ok(loam_ns_revoke(&world->tree, &qwen, bob, &err));
					assert_int_equal(most(world, "bob", &repo), direct);
					assert_ok(
						loam_repos_revoke(&world->tree, &repo, bob, &err));
				} else {
					assert_ok(
						loam_repos_revoke(&world->tree, &repo, bob, &err));
					assert_int_equal(most(world, "bob", &repo), from_ns);
					assert_ok(loam_ns_revoke(&world->tree, &qwen, bob, &err));
				}
				assert_int_equal(most(world, "bob", &repo), 0);
				assert_int_equal(entry(world, &repo, bob), -1);
			}
		}
	}
}

static void what_setfacl_does_to_inherited_entries_is_understood(void **state)
{
	struct loam_tree_world *world = *state;
	struct loam_repo repo = loam_tree_world_repo(world, "qwen/tiny", ALICE, LOAM_PRIVATE);
	const struct loam_grantee *bob = LOAM_THE_USER(BOB);
	assert_ok(loam_ns_grant(&world->tree, &qwen, bob, LOAM_WANT_READ, &err));

	setfacl(world, &repo, BOB, 07); /* raised: a grant of its own */
	assert_int_equal(most(world, "bob", &repo), LOAM_WANT_WRITE);
	assert_int_equal(mend(world, &repo), 1); /* it is remembered */
	assert_int_equal(most(world, "bob", &repo), LOAM_WANT_WRITE);
	assert_ok(loam_repos_revoke(&world->tree, &repo, bob, &err));
	assert_int_equal(most(world, "bob", &repo), LOAM_WANT_READ);

	setfacl(world, &repo, BOB, -1); /* removed: it comes back */
	assert_int_equal(most(world, "bob", &repo), 0);
	assert_int_equal(mend(world, &repo), 1);
	assert_int_equal(most(world, "bob", &repo), LOAM_WANT_READ);

	setfacl(world, &repo, BOB, 01); /* no r-x: a denial, which stands */
	assert_int_equal(most(world, "bob", &repo), 0);
	assert_int_equal(mend(world, &repo), 1);
	assert_int_equal(entry(world, &repo, bob), 0);
	assert_ok(loam_ns_grant(&world->tree, &qwen, bob, LOAM_WANT_ADMIN, &err));
	assert_int_equal(most(world, "bob", &repo), 0);
	assert_ok(loam_ns_revoke(&world->tree, &qwen, bob, &err));
	assert_int_equal(entry(world, &repo, bob), 0);
	assert_ok(loam_repos_revoke(&world->tree, &repo, bob, &err));
	assert_int_equal(entry(world, &repo, bob), -1);

	setfacl(world, &repo, ALICE, 0); /* the owner is never shut out for long */
	assert_int_equal(most(world, "alice", &repo), 0);
	assert_int_equal(mend(world, &repo), 1);
	assert_int_equal(most(world, "alice", &repo), LOAM_WANT_ADMIN);
}

/* Gates made before inheritance have no mark: the owner's entry is his as owner, others direct. */
static void a_gate_without_the_mark_is_taken_over(void **state)
{
	struct loam_tree_world *world = *state;
	struct loam_repo repo = loam_tree_world_repo(world, "qwen/tiny", ALICE, LOAM_PRIVATE);
	struct loam_gate gate;
	struct loam_err none = { 0 };
	assert_ok(loam_repos_grant(&world->tree, &repo, LOAM_THE_USER(BOB), LOAM_WANT_WRITE, &err));
	assert_int_equal(loam_gate_read(&world->tree, &repo, &gate, &none), 1);
	assert_ok(loam_meta_removexattr(world->volume.meta, &loam_who_root, gate.ino,
					LOAM_XATTR_INHERITED, &err));
	loam_gate_release(&gate);
	assert_int_equal(mend(world, &repo), 1);
	assert_ok(loam_ns_set_owner(&world->tree, &qwen, LOAM_THE_USER(CAROL), &err));
	assert_int_equal(most(world, "alice", &repo), 0);
	assert_int_equal(most(world, "bob", &repo), LOAM_WANT_WRITE);
	assert_int_equal(most(world, "carol", &repo), LOAM_WANT_ADMIN);
}

static void a_killed_change_of_a_namespace_is_finished_by_the_next_mend(void **state)
{
	struct loam_tree_world *world = *state;
	struct loam_repo repo = loam_tree_world_repo(world, "qwen/tiny", ALICE, LOAM_PRIVATE);
	uint64_t ino;
	struct loam_attr attr;
	assert_ok(loam_meta_lookup(world->volume.meta, &loam_who_root, LOAM_INO_ROOT,
				   loam_name_of("models"), &ino, &attr, &err));
	assert_ok(loam_meta_lookup(world->volume.meta, &loam_who_root, ino, loam_name_of("qwen"),
				   &ino, &attr, &err));
	assert_ok(loam_meta_setxattr(world->volume.meta, &loam_who_root, ino, LOAM_XATTR_GRANTS,
				     "u:20002:w", 9, 0, &err));
	assert_int_equal(most(world, "bob", &repo), 0);
	assert_int_equal(mend(world, &repo), 1);
	assert_int_equal(most(world, "bob", &repo), LOAM_WANT_WRITE);
	assert_ok(loam_meta_setxattr(world->volume.meta, &loam_who_root, ino, LOAM_XATTR_GRANTS,
				     "u:20002:w x", 11, 0, &err));
	assert_code(loam_repos_mend_gate(&world->tree, &repo, &err), LOAM_E_CORRUPT);
	assert_code(loam_ns_grant(&world->tree, &qwen, LOAM_THE_USER(CAROL), LOAM_WANT_READ, &err),
		    LOAM_E_CORRUPT);
}

struct worker {
	struct loam_tree_world *world;
	int number;
	unsigned seed;
};

/* Namespace grants come and go while repositories are made and granted. */
static void *work(void *arg)
{
	struct worker *worker = arg;
	struct loam_tree *tree = &worker->world->tree;
	struct loam_err err = { 0 };
	for (int i = 0; i < 12; i++) {
		struct loam_grantee who = { .is_group = worker->number % 2,
					    .id = 30000u + (unsigned)worker->number };
		if (i % 3 == 2) {
			loam_auto_free char *name =
				loam_xasprintf("qwen/r%d-%d", worker->number, i);
			struct loam_repo repo;
			uint64_t gate;
			loam_assert(loam_repo_parse(name, &repo, &err) == 0);
			loam_assert(loam_repos_create(tree, &repo, LOAM_THE_USER(ALICE),
						      LOAM_PRIVATE, &gate, &err) == 0);
		} else if (i % 3 == 0) {
			loam_assert(loam_ns_grant(tree, &qwen, &who, LOAM_WANT_WRITE, &err) == 0);
		} else {
			loam_assert(loam_ns_revoke(tree, &qwen, &who, &err) == 0);
		}
	}
	struct loam_grantee last = { .id = 40000u + (unsigned)worker->number };
	loam_assert(loam_ns_grant(tree, &qwen, &last, LOAM_WANT_READ, &err) == 0);
	return NULL;
}

static int expect_four(void *arg, const struct loam_repo *repo, uint64_t gate_ino,
		       struct loam_err *err)
{
	struct loam_tree_world *world = arg;
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(entry(world, repo, LOAM_THE_USER(40000 + i)), 05);
		assert_int_equal(entry(world, repo, LOAM_THE_USER(30000 + i)), -1);
		assert_int_equal(entry(world, repo, LOAM_THE_GROUP(30000 + i)), -1);
	}
	return 0;
}

static void changes_made_at_once_end_as_the_namespace_says(void **state)
{
	struct loam_tree_world *world = *state;
	loam_tree_world_repo(world, "qwen/first", ALICE, LOAM_PRIVATE);
	struct worker workers[4];
	pthread_t threads[4];
	for (int i = 0; i < 4; i++) {
		workers[i] = (struct worker){ world, i, 0 };
		assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
	}
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	assert_ok(loam_repos_each(&world->tree, expect_four, world, &err));
}

static void a_namespace_takes_so_many_grants_and_a_full_gate_is_named(void **state)
{
	struct loam_tree_world *world = *state;
	struct loam_repo repo = loam_tree_world_repo(world, "qwen/tiny", ALICE, LOAM_PRIVATE);
	for (uint32_t i = 0; i < LOAM_NS_GRANTS_MAX; i++)
		assert_ok(loam_ns_grant(&world->tree, &qwen, LOAM_THE_USER(40000 + i),
					LOAM_WANT_READ, &err));
	assert_code(loam_ns_grant(&world->tree, &qwen, LOAM_THE_USER(BOB), LOAM_WANT_READ, &err),
		    LOAM_E_TOO_LARGE);
	assert_ok(loam_ns_grant(&world->tree, &qwen, LOAM_THE_USER(40000), LOAM_WANT_WRITE, &err));
	assert_ok(loam_ns_revoke(&world->tree, &qwen, LOAM_THE_USER(40001), &err));
	for (uint32_t i = 0; i < LOAM_ACL_ENTRIES_MAX - LOAM_NS_GRANTS_MAX; i++)
		assert_ok(loam_repos_grant(&world->tree, &repo, LOAM_THE_USER(50000 + i),
					   LOAM_WANT_READ, &err));
	struct loam_err full = { 0 };
	assert_int_equal(loam_ns_grant(&world->tree, &qwen, LOAM_THE_USER(BOB), LOAM_WANT_READ,
				       &full),
			 -LOAM_E_TOO_LARGE);
	assert_non_null(strstr(full.text, "models/qwen/tiny"));
	assert_int_equal(most(world, "bob", &repo), 0);
	assert_ok(loam_ns_revoke(&world->tree, &qwen, LOAM_THE_USER(BOB), &err));
}

static const struct loam_explained *row_of(const struct loam_explanation *all, const char *who)
{
	for (size_t i = 0; i < all->count; i++)
		if (strcmp(all->rows[i].who, who) == 0)
			return &all->rows[i];
	return NULL;
}

static void who_may_what_is_explained(void **state)
{
	struct loam_tree_world *world = *state;
	struct loam_repo repo = loam_tree_world_repo(world, "qwen/tiny", ALICE, LOAM_INTERNAL);
	struct loam_explanation all = { 0 };
	const struct loam_accounts *accounts = NULL;
	join(world, "carol");
	assert_ok(loam_ns_grant(&world->tree, &qwen, LOAM_THE_USER(BOB), LOAM_WANT_READ, &err));
	assert_ok(loam_repos_grant(&world->tree, &repo, LOAM_THE_USER(BOB), LOAM_WANT_WRITE, &err));
	assert_ok(
		loam_repos_grant(&world->tree, &repo, LOAM_THE_GROUP(TEAM), LOAM_WANT_ADMIN, &err));
	assert_ok(
		loam_repos_grant(&world->tree, &repo, LOAM_THE_USER(29999), LOAM_WANT_READ, &err));
	assert_ok(loam_account_store_get(loam_auth_accounts(world->auth), true, &accounts, &err));
	assert_ok(loam_explain(&world->tree, accounts, &repo, &all, &err));
	static const struct {
		const char *who, *kind, *why;
		enum loam_right right;
	} wanted[] = {
		{ "team", "group", "granted here (admin)", LOAM_RIGHT_ADMIN },
		{ "alice", "user", "owns the namespace models/qwen/", LOAM_RIGHT_ADMIN },
		{ "bob", "user", "granted here (write); granted on models/qwen/ (read)",
		  LOAM_RIGHT_WRITE },
		{ "carol", "user", "member of team", LOAM_RIGHT_ADMIN },
		{ "u:29999", "user", "granted here (read)", LOAM_RIGHT_READ },
		{ "all accounts", "accounts", "the repository is internal", LOAM_RIGHT_READ },
	};
	assert_int_equal(all.count, LOAM_ARRAY_COUNT(wanted));
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(wanted); i++) {
		const struct loam_explained *row = row_of(&all, wanted[i].who);
		assert_non_null(row);
		assert_string_equal(loam_explained_kind(row), wanted[i].kind);
		assert_string_equal(row->why, wanted[i].why);
		assert_int_equal(row->right, wanted[i].right);
	}
	loam_auto_json json_t *json = loam_explanation_json(&all);
	assert_int_equal(json_array_size(json), all.count);
	loam_explanation_release(&all);
	loam_account_store_put(loam_auth_accounts(world->auth), accounts);
}

static int ns_code(struct loam_tree_world *world, const struct loam_principal *who,
		   enum loam_want want)
{
	struct loam_err err = { 0 };
	return -loam_auth_check_namespace(world->auth, who, &qwen, want, &err);
}

static int create_code(struct loam_tree_world *world, const struct loam_principal *who,
		       const char *text, struct loam_grantee *owner)
{
	struct loam_err err = { 0 };
	struct loam_repo repo;
	assert_int_equal(loam_repo_parse(text, &repo, &err), 0);
	return -loam_auth_check_create(world->auth, who, &repo, owner, &err);
}

static void users_act_on_namespaces_as_their_rights_on_them_say(void **state)
{
	struct loam_tree_world *world = *state;
	loam_tree_world_repo(world, "qwen/tiny", ALICE, LOAM_PRIVATE);
	struct loam_principal alice, bob, carol, anonymous = { .kind = LOAM_ANONYMOUS };
	static const struct loam_principal admin = { .kind = LOAM_ADMIN };
	struct loam_grantee owner;
	join(world, "carol");
	assert_ok(loam_auth_user(world->auth, "alice", "", &alice, &err));
	assert_ok(loam_auth_user(world->auth, "bob", "", &bob, &err));
	assert_ok(loam_auth_user(world->auth, "carol", "", &carol, &err));
	assert_int_equal(ns_code(world, &alice, LOAM_WANT_ADMIN), 0);
	assert_int_equal(ns_code(world, &admin, LOAM_WANT_ADMIN), 0);
	assert_int_equal(ns_code(world, &bob, LOAM_WANT_READ), LOAM_E_NOT_FOUND);
	assert_int_equal(ns_code(world, &anonymous, LOAM_WANT_READ), LOAM_E_UNAUTHENTICATED);
	assert_int_equal(create_code(world, &bob, "qwen/new", &owner), LOAM_E_DENIED);
	assert_ok(loam_ns_grant(&world->tree, &qwen, LOAM_THE_USER(BOB), LOAM_WANT_WRITE, &err));
	assert_int_equal(ns_code(world, &bob, LOAM_WANT_WRITE), 0);
	assert_int_equal(ns_code(world, &bob, LOAM_WANT_ADMIN), LOAM_E_DENIED);
	assert_int_equal(create_code(world, &bob, "qwen/new", &owner), 0);
	assert_true(!owner.is_group && owner.id == ALICE);

	assert_int_equal(create_code(world, &bob, "bob/mine", &owner), 0);
	assert_true(!owner.is_group && owner.id == BOB);
	assert_int_equal(create_code(world, &carol, "team/ours", &owner), 0);
	assert_true(owner.is_group && owner.id == TEAM);
	assert_int_equal(create_code(world, &bob, "team/ours", &owner), LOAM_E_DENIED);
	assert_int_equal(create_code(world, &bob, "carol/x", &owner), LOAM_E_DENIED);
	assert_int_equal(create_code(world, &bob, "newone/x", &owner), LOAM_E_DENIED);
	assert_int_equal(create_code(world, &anonymous, "bob/x", &owner), LOAM_E_UNAUTHENTICATED);
	assert_int_equal(create_code(world, &admin, "carol/x", &owner), 0);
	assert_int_equal(create_code(world, &admin, "newone/x", &owner), LOAM_E_INVALID);

	struct loam_principal token = alice;
	token.kind = LOAM_TOKEN;
	token.scope = LOAM_SCOPE_READ | LOAM_SCOPE_WRITE;
	assert_int_equal(ns_code(world, &token, LOAM_WANT_WRITE), 0);
	assert_int_equal(ns_code(world, &token, LOAM_WANT_ADMIN), LOAM_E_DENIED);
	token.scope = LOAM_SCOPE_READ;
	assert_int_equal(create_code(world, &token, "alice/x", &owner), LOAM_E_DENIED);
	token.scope = LOAM_SCOPE_ADMIN;
	snprintf(token.only_repo, sizeof(token.only_repo), "models/qwen/tiny");
	assert_int_equal(ns_code(world, &token, LOAM_WANT_READ), LOAM_E_DENIED);
	assert_int_equal(create_code(world, &token, "alice/x", &owner), LOAM_E_DENIED);
	struct loam_principal link = alice;
	link.kind = LOAM_LINK;
	assert_int_equal(ns_code(world, &link, LOAM_WANT_READ), LOAM_E_NOT_FOUND);
}

static void names_of_namespaces_end_in_a_slash(void **state)
{
	static const struct {
		const char *text;
		bool meant;
		int code;
		const char *full;
	} cases[] = {
		{ "qwen/", true, 0, "models/qwen/" },
		{ "qwen", false, 0, "models/qwen/" },
		{ "/datasets/qwen/", true, 0, "datasets/qwen/" },
		{ "datasets/qwen", false, 0, "datasets/qwen/" },
		{ "", false, LOAM_E_UNPROCESSABLE, NULL },
		{ "/", true, LOAM_E_UNPROCESSABLE, NULL },
		{ "qwen//", true, LOAM_E_UNPROCESSABLE, NULL },
		{ "a/b/c/", true, LOAM_E_UNPROCESSABLE, NULL },
		{ "other/qwen/", true, LOAM_E_UNPROCESSABLE, NULL },
		{ "api/", true, LOAM_E_UNPROCESSABLE, NULL },
		{ "../", true, LOAM_E_UNPROCESSABLE, NULL },
	};
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(cases); i++) {
		struct loam_ns ns;
		struct loam_err err = { 0 };
		char text[LOAM_REPO_TEXT_BYTES];
		assert_int_equal(loam_ns_is_meant(cases[i].text), cases[i].meant);
		assert_int_equal(-loam_ns_parse(cases[i].text, &ns, &err), cases[i].code);
		if (cases[i].code == 0) {
			loam_ns_text(&ns, text);
			assert_string_equal(text, cases[i].full);
		}
	}
}

static void rows_are_printed_and_read_back_and_damage_is_refused(void **state)
{
	static const char text[] = "u:20002:w:r u:20003:a:- g:20050:o:d";
	struct loam_rights rights = { 0 };
	struct loam_err err = { 0 };
	assert_int_equal(loam_rights_parse(text, true, &rights, &err), 0);
	assert_int_equal(rights.count, 3);
	assert_int_equal(loam_right_of(&rights.rows[0]), LOAM_RIGHT_WRITE);
	assert_int_equal(loam_right_of(&rights.rows[2]), LOAM_RIGHT_OWNER);
	loam_auto_free char *again = loam_rights_print(&rights, true);
	assert_string_equal(again, text);
	loam_rights_release(&rights);
	static const char *const bad[] = { "u",		"u:1",	   "u:1:r",    "u:1:r:r:r",
					   "x:1:r:r",	"u:0:r:r", "u::r:r",   "u:1:x:r",
					   "u:1:rw:r",	"u:1::r",  "u:-1:r:r", "u:4294967295:r:r",
					   "u:1:r:r u", ":::",	   "uu:1:r:r", "u:1:r:" };
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(bad); i++) {
		assert_int_equal(loam_rights_parse(bad[i], true, &rights, &err), -LOAM_E_CORRUPT);
		loam_err_clear(&err);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, loam_tree_world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_group_can_be_granted_and_its_members_may),
		TEST(a_group_may_own_a_namespace),
		TEST(grants_of_a_namespace_are_entries_on_every_gate_old_and_new),
		TEST(a_direct_and_an_inherited_grant_leave_each_other_alone),
		TEST(what_setfacl_does_to_inherited_entries_is_understood),
		TEST(a_gate_without_the_mark_is_taken_over),
		TEST(a_killed_change_of_a_namespace_is_finished_by_the_next_mend),
		TEST(changes_made_at_once_end_as_the_namespace_says),
		TEST(a_namespace_takes_so_many_grants_and_a_full_gate_is_named),
		TEST(who_may_what_is_explained),
		TEST(users_act_on_namespaces_as_their_rights_on_them_say),
		cmocka_unit_test(names_of_namespaces_end_in_a_slash),
		cmocka_unit_test(rows_are_printed_and_read_back_and_damage_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
