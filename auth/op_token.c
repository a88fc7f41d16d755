/*
 * Operations on a user's tokens (auth/op.h).
 *
 * A token makes no stronger one: its scope is checked before (admin, not bound to a repository),
 * its end here. Source: reliability.md S05, acl-6.
 */
#include "auth/op.h"

#include "auth/account_store.h"
#include "core/auto.h"
#include "core/clock.h"

#include <string.h>

#define DAYS_DEFAULT 90
#define DAYS_MAX     36500
#define DAY_SECONDS  86400

static const char *scope_name(const struct loam_token *token)
{
	if (token->scope & LOAM_SCOPE_ADMIN)
		return "admin";
	return token->scope & LOAM_SCOPE_WRITE ? "write" : "read";
}

static json_t *token_json(const struct loam_token *token)
{
	return json_pack("{s:s, s:s, s:I, s:I, s:s, s:s}", "id", token->id, "scope",
			 scope_name(token), "created", (json_int_t)token->created, "expires",
			 (json_int_t)token->expires, "repo", token->repo, "label", token->label);
}

/* ---- list ------------------------------------------------------------------------------------ */

static int compare_tokens(const void *a, const void *b)
{
	const struct loam_token *one = *(const struct loam_token *const *)a;
	const struct loam_token *two = *(const struct loam_token *const *)b;
	if (one->created != two->created)
		return one->created < two->created ? -1 : 1;
	return strcmp(one->id, two->id);
}

/* Of user, sorted by their making. */
static json_t *list_json(const struct loam_accounts *accounts, const char *user)
{
	size_t count = 0;
	loam_auto_free const struct loam_token **rows =
		loam_xcalloc(HASH_CNT(by_hash, accounts->tokens) + 1, sizeof(*rows));
	struct loam_token_row *row, *next;
	HASH_ITER (by_hash, accounts->tokens, row, next)
		if (strcmp(row->token.user, user) == 0)
			rows[count++] = &row->token;
	qsort(rows, count, sizeof(*rows), compare_tokens);
	json_t *array = json_array();
	for (size_t i = 0; i < count; i++)
		json_array_append_new(array, token_json(rows[i]));
	return array;
}

static int no_user(const char *user, struct loam_err *err)
{
	return loam_fail(err, LOAM_E_NOT_FOUND, "no user '%s'", user);
}

static int run_list(struct loam_op_call *call, struct loam_err *err)
{
	const char *user = loam_op_word(call, "user");
	struct loam_account_store *store = loam_auth_accounts(call->context->auth);
	const struct loam_accounts *accounts = NULL;
	int rc = loam_account_store_get(store, true, &accounts, err);
	if (rc < 0)
		return rc;
	if (loam_accounts_by_name(accounts, user))
		call->answer = list_json(accounts, user);
	else
		rc = no_user(user, err);
	loam_account_store_put(store, accounts);
	return rc;
}

const struct loam_op loam_op_token_list = {
	.name = "token.list",
	.method = LOAM_GET,
	.path = "/users/{user}/tokens",
	.want = LOAM_WANT_READ,
	.status = 200,
	.run = run_list,
};

/* ---- create ---------------------------------------------------------------------------------- */

static int read_label(const json_t *body, char *out, size_t out_bytes, struct loam_err *err)
{
	const char *label = "";
	int rc = loam_json_text(body, "label", &label, err);
	if (rc < 0)
		return rc;
	for (const char *at = label; *at; at++)
		if ((unsigned char)*at < ' ' || *at == 0x7f || *at == ':')
			return loam_fail(err, LOAM_E_UNPROCESSABLE,
					 "a label holds no ':' and no control bytes");
	if (strlen(label) >= out_bytes)
		return loam_fail(err, LOAM_E_UNPROCESSABLE, "a label has at most %zu bytes",
				 out_bytes - 1);
	memcpy(out, label, strlen(label) + 1);
	return 0;
}

static int read_scope(const json_t *body, unsigned *out, struct loam_err *err)
{
	const char *scope = "write";
	enum loam_want want;
	int rc = loam_json_text(body, "scope", &scope, err);
	if (rc >= 0)
		rc = loam_want_parse(scope, &want, err);
	if (rc < 0)
		return rc;
	*out = LOAM_SCOPE_READ;
	if (want >= LOAM_WANT_WRITE)
		*out |= LOAM_SCOPE_WRITE;
	if (want == LOAM_WANT_ADMIN)
		*out |= LOAM_SCOPE_ADMIN;
	return 0;
}

static int read_repo(const json_t *body, struct loam_token *token, struct loam_err *err)
{
	const char *text = "";
	struct loam_repo repo;
	int rc = loam_json_text(body, "repo", &text, err);
	if (rc <= 0 || text[0] == '\0')
		return rc < 0 ? rc : 0;
	rc = loam_repo_parse(text, &repo, err);
	if (rc == 0)
		loam_repo_text(&repo, token->repo);
	return rc;
}

/* When the token that asks ends; 0: never, or no token asks. */
static int64_t end_of_maker(const struct loam_accounts *accounts, const struct loam_principal *who)
{
	struct loam_token_row *row, *next;
	if (who->token_id[0] == '\0')
		return 0;
	HASH_ITER (by_hash, accounts->tokens, row, next)
		if (strcmp(row->token.id, who->token_id) == 0)
			return row->token.expires;
	return 0;
}

static int read_end(const struct loam_op_call *call, const struct loam_accounts *accounts,
		    struct loam_token *token, struct loam_err *err)
{
	uint64_t days = DAYS_DEFAULT;
	int given = loam_json_u64(call->body, "days", &days, err);
	if (given < 0)
		return given;
	if (days > DAYS_MAX)
		return loam_fail(err, LOAM_E_UNPROCESSABLE, "'days' is at most %d", DAYS_MAX);
	token->created = loam_clock_now().tv_sec;
	token->expires = days ? token->created + (int64_t)days * DAY_SECONDS : 0;
	int64_t end = end_of_maker(accounts, call->who);
	if (end == 0 || (token->expires != 0 && token->expires <= end))
		return 0;
	if (given == 1)
		return loam_fail(err, LOAM_E_DENIED,
				 "a token makes none that lives longer than itself: fewer days, or "
				 "log in by password");
	token->expires = end;
	return 0;
}

static int read_token(const struct loam_op_call *call, struct loam_token *token,
		      struct loam_err *err)
{
	const char *user = loam_op_word(call, "user");
	struct loam_account_store *store = loam_auth_accounts(call->context->auth);
	const struct loam_accounts *accounts = NULL;
	int rc = loam_account_store_get(store, true, &accounts, err);
	if (rc < 0)
		return rc;
	snprintf(token->user, sizeof(token->user), "%s", user);
	if (!loam_accounts_by_name(accounts, user))
		rc = no_user(user, err);
	if (rc == 0)
		rc = read_scope(call->body, &token->scope, err);
	if (rc == 0)
		rc = read_repo(call->body, token, err);
	if (rc == 0)
		rc = read_label(call->body, token->label, sizeof(token->label), err);
	if (rc == 0)
		rc = read_end(call, accounts, token, err);
	loam_account_store_put(store, accounts);
	return rc;
}

static int run_create(struct loam_op_call *call, struct loam_err *err)
{
	struct loam_token token = { 0 };
	char text[LOAM_TOKEN_TEXT_BYTES];
	loam_token_make(text, &token);
	int rc = read_token(call, &token, err);
	if (rc == 0)
		rc = loam_account_store_add_token(loam_auth_accounts(call->context->auth), &token,
						  err);
	if (rc == 0) {
		call->answer = token_json(&token);
		json_object_set_new(call->answer, "token", json_string(text));
	}
	explicit_bzero(text, sizeof(text));
	return rc;
}

const struct loam_op loam_op_token_create = {
	.name = "token.create",
	.method = LOAM_POST,
	.path = "/users/{user}/tokens",
	.want = LOAM_WANT_ADMIN,
	.members = "scope days repo label",
	.status = 201,
	.run = run_create,
};

/* ---- revoke ---------------------------------------------------------------------------------- */

/* Any token may end itself (loam logout); to end another one takes the scope admin. */
static int run_revoke(struct loam_op_call *call, struct loam_err *err)
{
	const char *user = loam_op_word(call, "user"), *id = loam_op_word(call, "id");
	if (strcmp(id, call->who->token_id) != 0) {
		int rc = loam_auth_check_account(call->who, user, LOAM_WANT_ADMIN, err);
		if (rc < 0)
			return rc;
	}
	return loam_account_store_remove_token(loam_auth_accounts(call->context->auth), user, id,
					       err);
}

const struct loam_op loam_op_token_revoke = {
	.name = "token.revoke",
	.method = LOAM_DELETE,
	.path = "/users/{user}/tokens/{id}",
	.want = LOAM_WANT_READ,
	.status = 204,
	.run = run_revoke,
};
