/*
 * Operations on a user's tokens (auth/op.h); their rules are those of auth/tokens.
 */
#include "auth/op.h"

#include "auth/tokens.h"
#include "core/auto.h"

static json_t *token_json(const struct loam_token *token)
{
	struct loam_token_shown shown = { .token = *token };
	return loam_token_json(&shown);
}

/* ---- list ------------------------------------------------------------------------------------ */

static int run_list(struct loam_op_call *call, struct loam_err *err)
{
	loam_auto_free struct loam_token_shown *rows = NULL;
	size_t count = 0;
	int rc = loam_tokens_list(call->context->auth, call->who, loam_op_word(call, "user"), &rows,
				  &count, err);
	if (rc < 0)
		return rc;
	call->answer = json_array();
	for (size_t i = 0; i < count; i++)
		json_array_append_new(call->answer, loam_token_json(&rows[i]));
	return 0;
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

static int read_repo(const json_t *body, struct loam_repo *repo, struct loam_token_request *request,
		     struct loam_err *err)
{
	const char *text = "";
	int rc = loam_json_text(body, "repo", &text, err);
	if (rc <= 0 || text[0] == '\0')
		return rc < 0 ? rc : 0;
	request->repo = repo;
	return loam_repo_parse(text, repo, err);
}

static int read_request(const struct loam_op_call *call, struct loam_repo *repo,
			struct loam_token_request *out, struct loam_err *err)
{
	const char *scope = "write";
	*out = (struct loam_token_request){ .user = loam_op_word(call, "user"),
					    .days = LOAM_TOKEN_DAYS };
	int rc = loam_json_text(call->body, "scope", &scope, err);
	if (rc >= 0)
		rc = loam_scope_parse(scope, &out->scope, err);
	if (rc >= 0)
		rc = read_repo(call->body, repo, out, err);
	if (rc >= 0)
		rc = loam_json_text(call->body, "label", &out->label, err);
	if (rc >= 0)
		rc = loam_json_u64(call->body, "days", &out->days, err);
	out->shorten = rc == 0;
	return rc < 0 ? rc : 0;
}

static int run_create(struct loam_op_call *call, struct loam_err *err)
{
	struct loam_token_request request;
	struct loam_repo repo;
	struct loam_token token;
	char text[LOAM_TOKEN_TEXT_BYTES];
	int rc = read_request(call, &repo, &request, err);
	if (rc == 0)
		rc = loam_tokens_make(call->context->auth, call->who, &request, text, &token, err);
	if (rc < 0)
		return rc;
	call->answer = token_json(&token);
	json_object_set_new(call->answer, "token", json_string(text));
	explicit_bzero(text, sizeof(text));
	return 0;
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
	return loam_tokens_revoke(call->context->auth, call->who, loam_op_word(call, "user"),
				  loam_op_word(call, "id"), err);
}

const struct loam_op loam_op_token_revoke = {
	.name = "token.revoke",
	.method = LOAM_DELETE,
	.path = "/users/{user}/tokens/{id}",
	.want = LOAM_WANT_READ,
	.status = 204,
	.run = run_revoke,
};
