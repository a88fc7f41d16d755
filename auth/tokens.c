/*
 * Making, listing and revoking tokens (auth/tokens.h).
 */
#include "auth/tokens.h"

#include "auth/account_store.h"
#include "auth/fields.h"
#include "auth/token_use.h"
#include "core/auto.h"
#include "core/clock.h"

#include <stdio.h>
#include <string.h>

#define SECONDS_PER_DAY 86400

static const struct {
	const char *name;
	unsigned scope;
} scopes[] = {
	{ "read", LOAM_SCOPE_READ },
	{ "write", LOAM_SCOPE_READ | LOAM_SCOPE_WRITE },
	{ "admin", LOAM_SCOPE_READ | LOAM_SCOPE_WRITE | LOAM_SCOPE_ADMIN },
};

int loam_scope_parse(const char *text, unsigned *out_scope, struct loam_err *err)
{
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(scopes); i++) {
		if (strcmp(text, scopes[i].name) == 0) {
			*out_scope = scopes[i].scope;
			return 0;
		}
	}
	return loam_fail(err, LOAM_E_UNPROCESSABLE, "'%.40s' is no scope: read, write or admin",
			 text);
}

const char *loam_scope_name(unsigned scope)
{
	return scope & LOAM_SCOPE_ADMIN ? "admin" : scope & LOAM_SCOPE_WRITE ? "write" : "read";
}

/* All that a scope includes. */
static unsigned whole(unsigned scope)
{
	if (scope & LOAM_SCOPE_ADMIN)
		return LOAM_SCOPE_READ | LOAM_SCOPE_WRITE | LOAM_SCOPE_ADMIN;
	if (scope & LOAM_SCOPE_WRITE)
		return LOAM_SCOPE_READ | LOAM_SCOPE_WRITE;
	return scope & LOAM_SCOPE_READ;
}

/* May who see user's tokens (read), or make and end them? */
static int check(const struct loam_principal *who, const char *user, bool read,
		 struct loam_err *err)
{
	switch (who->kind) {
	case LOAM_ADMIN:
		return 0;
	case LOAM_ANONYMOUS:
		return loam_fail(err, LOAM_E_UNAUTHENTICATED, "log in to use this server");
	case LOAM_USER:
	case LOAM_TOKEN:
		if (strcmp(who->user, user) != 0)
			return loam_fail(err, LOAM_E_NOT_FOUND, "no user '%.40s' for you", user);
		if (read)
			return 0;
		if (who->kind == LOAM_TOKEN && !(who->scope & LOAM_SCOPE_ADMIN))
			return loam_fail(err, LOAM_E_DENIED,
					 "this takes the password, or a token of scope admin");
		return loam_auth_check_first_hand(who, err);
	default:
		return loam_fail(err, LOAM_E_DENIED,
				 "this credential has nothing to do with tokens");
	}
}

static size_t count_of(const struct loam_accounts *accounts, const char *user)
{
	size_t count = 0;
	struct loam_token_row *row, *next;
	HASH_ITER (by_hash, accounts->tokens, row, next)
		count += strcmp(row->token.user, user) == 0;
	return count;
}

static const struct loam_token *find_by_id(const struct loam_accounts *accounts, const char *id)
{
	struct loam_token_row *row, *next;
	HASH_ITER (by_hash, accounts->tokens, row, next)
		if (strcmp(row->token.id, id) == 0)
			return &row->token;
	return NULL;
}

/* What a token makes is cut by itself. */
static int cut_by_maker(const struct loam_accounts *accounts, const struct loam_principal *who,
			bool shorten, struct loam_token *token, struct loam_err *err)
{
	if (who->kind != LOAM_TOKEN)
		return 0;
	const struct loam_token *maker = find_by_id(accounts, who->token_id);
	if (!maker)
		return loam_fail(err, LOAM_E_UNAUTHENTICATED, "the account or token is gone");
	snprintf(token->maker, sizeof(token->maker), "%s", maker->id);
	if (token->scope & ~whole(who->scope))
		return loam_fail(err, LOAM_E_DENIED, "a token makes no token of a wider scope");
	if (maker->expires == 0 || (token->expires != 0 && token->expires <= maker->expires))
		return 0;
	if (!shorten)
		return loam_fail(err, LOAM_E_DENIED,
				 "a token makes none that lives longer than itself: fewer days, or "
				 "log in by password");
	token->expires = maker->expires;
	return 0;
}

static int fill(const struct loam_token_request *request, struct loam_token *token,
		struct loam_err *err)
{
	if (request->days > LOAM_TOKEN_DAYS_MAX)
		return loam_fail(err, LOAM_E_UNPROCESSABLE,
				 "a token lives %d days at most, or 0: "
				 "without end",
				 LOAM_TOKEN_DAYS_MAX);
	const char *label = request->label ? request->label : "";
	if (!loam_fields_may_hold(label) || strlen(label) >= sizeof(token->label))
		return loam_fail(err, LOAM_E_UNPROCESSABLE,
				 "a label has at most %zu bytes, no ':' and no control byte",
				 sizeof(token->label) - 1);
	snprintf(token->user, sizeof(token->user), "%s", request->user);
	snprintf(token->label, sizeof(token->label), "%s", label);
	if (request->repo)
		loam_repo_text(request->repo, token->repo);
	token->scope = whole(request->scope);
	token->created = loam_clock_now().tv_sec;
	token->expires =
		request->days ? token->created + (int64_t)request->days * SECONDS_PER_DAY : 0;
	return 0;
}

int loam_tokens_make(struct loam_auth *auth, const struct loam_principal *who,
		     const struct loam_token_request *request, char out_text[LOAM_TOKEN_TEXT_BYTES],
		     struct loam_token *out_token, struct loam_err *err)
{
	struct loam_account_store *store = loam_auth_accounts(auth);
	const struct loam_accounts *accounts = NULL;
	struct loam_token token = { 0 };
	int rc = check(who, request->user, false, err);
	if (rc == 0)
		rc = fill(request, &token, err);
	if (rc == 0)
		rc = loam_account_store_get(store, true, &accounts, err);
	if (rc < 0)
		return rc;
	if (!loam_accounts_by_name(accounts, request->user))
		rc = loam_fail(err, LOAM_E_NOT_FOUND, "no user '%.40s' (loam user add)",
			       request->user);
	else if (count_of(accounts, request->user) >= LOAM_USER_TOKENS_MAX)
		rc = loam_fail(err, LOAM_E_TOO_LARGE, "'%s' has %d tokens, the most: revoke some",
			       request->user, LOAM_USER_TOKENS_MAX);
	else
		rc = cut_by_maker(accounts, who, request->shorten, &token, err);
	loam_account_store_put(store, accounts);
	if (rc < 0)
		return rc;
	loam_token_make(out_text, &token);
	rc = loam_account_store_add_token(store, &token, err);
	if (rc < 0)
		explicit_bzero(out_text, LOAM_TOKEN_TEXT_BYTES);
	else
		*out_token = token;
	return rc;
}

int loam_tokens_revoke(struct loam_auth *auth, const struct loam_principal *who, const char *user,
		       const char *id, struct loam_err *err)
{
	bool itself = id[0] != '\0' && strcmp(id, who->token_id) == 0;
	int rc = check(who, user, itself, err);
	return rc < 0 ? rc
		      : loam_account_store_remove_token(loam_auth_accounts(auth), user, id, !itself,
							err);
}

static int compare_rows(const void *a, const void *b)
{
	const struct loam_token *left = &((const struct loam_token_shown *)a)->token;
	const struct loam_token *right = &((const struct loam_token_shown *)b)->token;
	if (left->created != right->created)
		return left->created < right->created ? -1 : 1;
	return strcmp(left->id, right->id);
}

int loam_tokens_list(struct loam_auth *auth, const struct loam_principal *who, const char *user,
		     struct loam_token_shown **out_rows, size_t *out_count, struct loam_err *err)
{
	struct loam_account_store *store = loam_auth_accounts(auth);
	const struct loam_accounts *accounts = NULL;
	loam_auto_buf struct loam_buf uses = LOAM_BUF(LOAM_ACCOUNT_FILE_BYTES_MAX);
	int rc = check(who, user, true, err);
	if (rc == 0)
		rc = loam_account_store_get(store, true, &accounts, err);
	if (rc < 0)
		return rc;
	if (!loam_accounts_by_name(accounts, user))
		rc = loam_fail(err, LOAM_E_NOT_FOUND, "no user '%.40s'", user);
	if (rc == 0)
		rc = loam_token_use_text(store, &uses, err);
	size_t count = 0;
	struct loam_token_shown *rows =
		rc < 0 ? NULL : loam_xcalloc(count_of(accounts, user) + 1, sizeof(*rows));
	struct loam_token_row *row, *next;
	HASH_ITER (by_hash, accounts->tokens, row, next) {
		if (rc < 0 || strcmp(row->token.user, user) != 0)
			continue;
		rows[count].token = row->token;
		rows[count].token.hash[0] = '\0';
		rows[count++].used = loam_token_use_of(&uses, row->token.id);
	}
	loam_account_store_put(store, accounts);
	if (rc < 0)
		return rc;
	qsort(rows, count, sizeof(*rows), compare_rows);
	*out_rows = rows;
	*out_count = count;
	return 0;
}

json_t *loam_token_json(const struct loam_token_shown *row)
{
	const struct loam_token *token = &row->token;
	return json_pack("{s:s, s:s, s:I, s:I, s:I, s:s, s:s, s:s}", "id", token->id, "scope",
			 loam_scope_name(token->scope), "created", (json_int_t)token->created,
			 "expires", (json_int_t)token->expires, "used", (json_int_t)row->used,
			 "repo", token->repo, "label", token->label, "maker", token->maker);
}
