/*
 * Tokens on the volume (auth/account_store.h): one line each, in /.loam/etc/tokens.
 */
#include "auth/account_store_internal.h"

#include "auth/audit.h"
#include "core/auto.h"

#include <string.h>

static const char *scope_word(unsigned scope)
{
	if (scope & LOAM_SCOPE_ADMIN)
		return "admin";
	return scope & LOAM_SCOPE_WRITE ? "write" : "read";
}

static int make_token(struct loam_account_store *store, const struct loam_token *token,
		      struct loam_err *err)
{
	char line[LOAM_ACCOUNT_LINE_BYTES_MAX];
	loam_token_print(token, line);
	int rc = loam_account_store_put_line(store, LOAM_FILE_TOKENS, token->id, line, NULL, err);
	return loam_account_store_settle(store, rc, err);
}

int loam_account_store_add_token(struct loam_account_store *store, const struct loam_token *token,
				 struct loam_err *err)
{
	int rc = make_token(store, token, err);
	return loam_audit(&(struct loam_audit_entry){ .action = "token.create",
						      .account = token->user,
						      .token = token->id,
						      .detail = scope_word(token->scope) },
			  rc, err);
}

static int drop_token(struct loam_account_store *store, const char *user, const char *id,
		      struct loam_err *err)
{
	const struct loam_accounts *accounts = NULL;
	int rc = loam_account_store_get(store, true, &accounts, err);
	if (rc < 0)
		return rc;
	bool found = false;
	struct loam_token_row *row, *next;
	HASH_ITER (by_hash, accounts->tokens, row, next) {
		if (strcmp(row->token.id, id) == 0 && strcmp(row->token.user, user) == 0)
			found = true;
	}
	loam_account_store_put(store, accounts);
	if (!found)
		return loam_fail(err, LOAM_E_NOT_FOUND, "user '%s' has no token '%s'", user, id);
	rc = loam_account_store_put_line(store, LOAM_FILE_TOKENS, id, NULL, NULL, err);
	return loam_account_store_settle(store, rc, err);
}

int loam_account_store_remove_token(struct loam_account_store *store, const char *user,
				    const char *id, struct loam_err *err)
{
	int rc = drop_token(store, user, id, err);
	return loam_audit(&(struct loam_audit_entry){ .action = "token.revoke",
						      .account = user,
						      .token = id },
			  rc, err);
}
