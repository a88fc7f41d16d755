/*
 * Tokens on the volume (auth/account_store.h): one line each, in /.loam/etc/tokens.
 */
#include "auth/account_store_internal.h"

#include "core/auto.h"

#include <string.h>

int loam_account_store_add_token(struct loam_account_store *store, const struct loam_token *token,
				 struct loam_err *err)
{
	char line[LOAM_ACCOUNT_LINE_BYTES_MAX];
	loam_token_print(token, line);
	int rc = loam_account_store_put_line(store, LOAM_FILE_TOKENS, token->id, line, NULL, err);
	return loam_account_store_settle(store, rc, err);
}

int loam_account_store_remove_token(struct loam_account_store *store, const char *user,
				    const char *id, struct loam_err *err)
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
