/*
 * Tokens on the volume (auth/account_store.h): one line each, in /.loam/etc/tokens.
 */
#include "auth/account_store_internal.h"

#include "auth/audit.h"
#include "auth/fields.h"
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

struct token_removal {
	const char *user;
	const char *id; /* NULL: all of the user */
	bool with_made;
	size_t removed;
};

static bool is_meant(const void *arg, const char *line, size_t bytes)
{
	const struct token_removal *removal = arg;
	struct loam_token token;
	struct loam_err damaged = { 0 };
	if (loam_token_parse(line, bytes, &token, &damaged) < 0 ||
	    strcmp(token.user, removal->user) != 0)
		return false;
	return !removal->id || strcmp(token.id, removal->id) == 0 ||
	       (removal->with_made && strcmp(token.maker, removal->id) == 0);
}

/* All of them in one step. */
static int change_remove(void *arg, const struct loam_buf *old, struct loam_buf *out,
			 struct loam_err *err)
{
	struct token_removal *removal = arg;
	return loam_lines_drop(old, is_meant, removal, out, &removal->removed, err);
}

int loam_account_drop_tokens(struct loam_account_store *store, const char *user,
			     struct loam_err *err)
{
	struct token_removal removal = { .user = user };
	return loam_account_store_change_file(store, LOAM_FILE_TOKENS, change_remove, &removal,
					      err);
}

/* Has a token of this id added keys of his? Then it was his. */
static int added_keys(struct loam_account_store *store, const char *user, const char *id,
		      struct loam_err *err)
{
	const struct loam_accounts *accounts = NULL;
	int rc = loam_account_store_get(store, true, &accounts, err);
	if (rc < 0)
		return rc;
	struct loam_ssh_key_row *row, *next;
	HASH_ITER (by_id, accounts->keys_by_id, row, next) {
		if (strcmp(row->key.user, user) == 0 && strcmp(row->key.maker, id) == 0)
			rc = 1;
	}
	loam_account_store_put(store, accounts);
	return rc;
}

/* Killed between tokens and keys: said again, it is found by its keys. */
static int drop_token(struct loam_account_store *store, const char *user, const char *id,
		      bool with_made, struct loam_err *err)
{
	struct token_removal removal = { .user = user, .id = id, .with_made = with_made };
	if (id[0] == '\0')
		return loam_fail(err, LOAM_E_NOT_FOUND, "a token's id is not empty");
	int his = with_made ? added_keys(store, user, id, err) : 0;
	if (his < 0)
		return his;
	int rc = loam_account_store_change_file(store, LOAM_FILE_TOKENS, change_remove, &removal,
						err);
	if (rc == 0 && removal.removed == 0 && his == 0)
		rc = loam_fail(err, LOAM_E_NOT_FOUND, "user '%s' has no token '%s'", user, id);
	if (rc == 0 && with_made)
		rc = loam_account_store_drop_keys_made(store, id, err);
	return loam_account_store_settle(store, rc, err);
}

int loam_account_store_remove_token(struct loam_account_store *store, const char *user,
				    const char *id, bool with_made, struct loam_err *err)
{
	int rc = drop_token(store, user, id, with_made, err);
	return loam_audit(&(struct loam_audit_entry){ .action = "token.revoke",
						      .account = user,
						      .token = id,
						      .detail = with_made ? "and what it made"
									  : NULL },
			  rc, err);
}
