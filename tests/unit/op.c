/*
 * auth/op: every operation against every kind of caller. What a token may do is its owner's rights,
 * cut by its scope, cut by its repository (reliability.md S05); what is another's is not there.
 */
#include "auth/op.h"

#include "auth/groups.h"
#include "core/auto.h"
#include "server/api.h"
#include "tests/support/tree_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/volume.h"

#define ALL (LOAM_SCOPE_READ | LOAM_SCOPE_WRITE | LOAM_SCOPE_ADMIN)

/* Everything that a path can name is alice's: she owns the namespace and manages the group. */
static const struct loam_op_word words[] = {
	{ "repo", "models/alice/one" },
	{ "user", "alice" },
	{ "group", "team" },
	{ "kind", "models" },
	{ "ns", "alice" },
	{ "who", "bob" },
	{ "member", "bob" },
	{ "id", "unknown" },
};

static int setup(void **state)
{
	if (loam_tree_world_setup(state) != 0)
		return -1;
	struct loam_tree_world *world = *state;
	struct loam_account_store *store = loam_auth_accounts(world->auth);
	struct loam_new_group team = { .name = "team" };
	uint32_t gid, alice = loam_tree_world_user(world, "alice");
	loam_tree_world_user(world, "bob");
	loam_tree_world_repo(world, "models/alice/one", alice, LOAM_PRIVATE);
	loam_tree_world_repo(world, "models/alice/two", alice, LOAM_PRIVATE);
	assert_ok(loam_group_add(store, &team, &gid, &err));
	assert_ok(loam_group_set_member(store, "team", "alice", true, LOAM_BY_ADMIN, &err));
	return 0;
}

static bool names(const struct loam_op *op, const char *word)
{
	loam_auto_free char *braced = loam_xasprintf("{%s}", word);
	return strstr(op->path, braced) != NULL;
}

/* The code of loam_op_check with the words that its path has. */
static int check(struct loam_tree_world *world, const struct loam_op *op,
		 const struct loam_principal *who)
{
	const struct loam_op_context context = { .auth = world->auth, .config = world->config };
	struct loam_op_call call = { .context = &context, .who = who };
	struct loam_err err = { 0 };
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(words); i++)
		if (names(op, words[i].name))
			call.words[call.word_count++] = words[i];
	return loam_op_check(op, &call, &err);
}

static struct loam_principal user(struct loam_tree_world *world, const char *name)
{
	struct loam_principal who;
	assert_ok(loam_auth_user(world->auth, name, "", &who, &err));
	return who;
}

static struct loam_principal token(struct loam_tree_world *world, const char *name, unsigned scope,
				   const char *repo)
{
	struct loam_principal who = user(world, name);
	who.kind = LOAM_TOKEN;
	who.scope = scope;
	snprintf(who.only_repo, sizeof(who.only_repo), "%s", repo);
	snprintf(who.token_id, sizeof(who.token_id), "tokenid");
	return who;
}

static void refuses(struct loam_tree_world *world, const struct loam_op *op,
		    const struct loam_principal *who)
{
	int rc = check(world, op, who);
	if (rc != -LOAM_E_DENIED && rc != -LOAM_E_NOT_FOUND)
		fail_msg("%s: %d", op->name, rc);
}

static void who_has_no_account_is_asked_to_log_in(void **state)
{
	const struct loam_principal nobody = { .kind = LOAM_ANONYMOUS };
	const struct loam_op *op;
	for (size_t i = 0; (op = loam_api_op(i)); i++)
		assert_int_equal(check(*state, op, &nobody),
				 op->want == 0 ? 0 : -LOAM_E_UNAUTHENTICATED);
}

static void the_owner_and_the_administrator_may_all_of_it(void **state)
{
	const struct loam_principal alice = user(*state, "alice"), admin = { .kind = LOAM_ADMIN };
	const struct loam_principal strong = token(*state, "alice", ALL, "");
	const struct loam_op *op;
	for (size_t i = 0; (op = loam_api_op(i)); i++) {
		assert_int_equal(check(*state, op, &alice), 0);
		assert_int_equal(check(*state, op, &strong), 0);
		assert_int_equal(check(*state, op, &admin), 0);
	}
}

static void a_token_is_cut_by_its_scope(void **state)
{
	const struct loam_principal reads = token(*state, "alice", LOAM_SCOPE_READ, "");
	const struct loam_principal writes =
		token(*state, "alice", LOAM_SCOPE_READ | LOAM_SCOPE_WRITE, "");
	const struct loam_op *op;
	for (size_t i = 0; (op = loam_api_op(i)); i++) {
		if (op->want <= LOAM_WANT_READ)
			assert_int_equal(check(*state, op, &reads), 0);
		else
			refuses(*state, op, &reads);
		if (op->want <= LOAM_WANT_WRITE)
			assert_int_equal(check(*state, op, &writes), 0);
		else
			refuses(*state, op, &writes);
	}
}

static void a_token_of_one_repository_does_that_one_only(void **state)
{
	const struct loam_principal bound = token(*state, "alice", ALL, "models/alice/one");
	const struct loam_principal other = token(*state, "alice", ALL, "models/alice/two");
	const struct loam_op *op;
	for (size_t i = 0; (op = loam_api_op(i)); i++) {
		if (op->want == 0 || names(op, "repo"))
			assert_int_equal(check(*state, op, &bound), 0);
		else
			refuses(*state, op, &bound);
		if (op->want != 0)
			refuses(*state, op, &other);
	}
}

static void what_is_anothers_is_not_there(void **state)
{
	const struct loam_principal bob = user(*state, "bob");
	const struct loam_principal strong = token(*state, "bob", ALL, "");
	const struct loam_op *op;
	for (size_t i = 0; (op = loam_api_op(i)); i++) {
		bool hers = names(op, "repo") || names(op, "user") || names(op, "ns");
		if (hers) {
			assert_int_equal(check(*state, op, &bob), -LOAM_E_NOT_FOUND);
			assert_int_equal(check(*state, op, &strong), -LOAM_E_NOT_FOUND);
		} else if (names(op, "group") && op->want == LOAM_WANT_ADMIN) {
			refuses(*state, op, &bob);
		}
	}
}

static void credentials_of_one_use_do_nothing_here(void **state)
{
	struct loam_principal link = user(*state, "alice");
	const struct loam_op *op;
	link.kind = LOAM_LINK;
	for (size_t i = 0; (op = loam_api_op(i)); i++)
		if (op->want != 0 && !names(op, "repo") && !names(op, "ns") && !names(op, "group"))
			refuses(*state, op, &link);
}

static void bodies_have_known_members_or_none(void **state)
{
	struct loam_op_call call = { 0 };
	loam_auto_json json_t *odd = json_pack("{s:s}", "nonsense", "x");
	loam_auto_json json_t *array = json_array();
	const struct loam_op *op;
	for (size_t i = 0; (op = loam_api_op(i)); i++) {
		call.body = odd;
		assert_code(loam_op_check_body(op, &call, &err),
			    op->members ? LOAM_E_UNPROCESSABLE : LOAM_E_INVALID);
		call.body = array;
		assert_code(loam_op_check_body(op, &call, &err), LOAM_E_INVALID);
		call.body = NULL;
		if (op->members)
			assert_code(loam_op_check_body(op, &call, &err), LOAM_E_INVALID);
		else
			assert_ok(loam_op_check_body(op, &call, &err));
	}
}

static void a_row_is_complete_and_has_a_name_of_its_own(void **state)
{
	const struct loam_op *op, *other;
	for (size_t i = 0; (op = loam_api_op(i)); i++) {
		assert_non_null(op->run);
		assert_true(op->path[0] == '/' && op->method != 0);
		assert_true(op->status == 200 || op->status == 201 || op->status == 204);
		assert_true(op->want != 0 || op->method == LOAM_GET);
		for (size_t j = 0; j < i && (other = loam_api_op(j)); j++) {
			assert_string_not_equal(op->name, other->name);
			assert_false(op->method == other->method &&
				     strcmp(op->path, other->path) == 0);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_has_no_account_is_asked_to_log_in),
		cmocka_unit_test(the_owner_and_the_administrator_may_all_of_it),
		cmocka_unit_test(a_token_is_cut_by_its_scope),
		cmocka_unit_test(a_token_of_one_repository_does_that_one_only),
		cmocka_unit_test(what_is_anothers_is_not_there),
		cmocka_unit_test(credentials_of_one_use_do_nothing_here),
		cmocka_unit_test(bodies_have_known_members_or_none),
		cmocka_unit_test(a_row_is_complete_and_has_a_name_of_its_own),
	};
	return cmocka_run_group_tests(tests, setup, loam_tree_world_teardown);
}
