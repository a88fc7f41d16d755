/*
 * Making, listing and revoking tokens, as the administrator or as a user.
 *
 * A token never makes a stronger token. To act here it needs scope admin, must be good for all
 * repositories, and must not itself have been made with a token; what it makes has at most its
 * scope and its remaining life, and carries its id.
 *
 * Threads: any. Durable: changes return behind the metadata barrier.
 * Source: reliability.md S05, acl-6.
 */
#ifndef LOAM_AUTH_TOKENS_H
#define LOAM_AUTH_TOKENS_H

#include "auth/auth.h"
#include "core/json.h"

#define LOAM_TOKEN_DAYS	     90 /* unless said otherwise */
#define LOAM_TOKEN_DAYS_MAX  36500
#define LOAM_USER_TOKENS_MAX 200

/* "read", "write", "admin": each includes those before it. UNPROCESSABLE. */
int loam_scope_parse(const char *text, unsigned *out_scope, struct loam_err *err);
const char *loam_scope_name(unsigned scope);

struct loam_token_request {
	const char *user; /* whose it will be */
	unsigned scope;
	const struct loam_repo *repo; /* the only one it is for; NULL: all */
	uint64_t days;		      /* 0: no end */
	bool shorten;		      /* nobody asked for so many days: end with the maker */
	const char *label;	      /* NULL: none */
};
/* out_text is the secret, which nobody can show again. UNAUTHENTICATED, NOT_FOUND (no such user, or
 * not one for who), DENIED, UNPROCESSABLE, TOO_LARGE. */
int loam_tokens_make(struct loam_auth *auth, const struct loam_principal *who,
		     const struct loam_token_request *request, char out_text[LOAM_TOKEN_TEXT_BYTES],
		     struct loam_token *out_token, struct loam_err *err);
/* What was made with it (tokens, keys, deploy keys) ends, too, unless a token ends itself, as any
 * may. NOT_FOUND for an unknown id, or one of another user. */
int loam_tokens_revoke(struct loam_auth *auth, const struct loam_principal *who, const char *user,
		       const char *id, struct loam_err *err);

struct loam_token_shown {
	struct loam_token token; /* its hash is left empty */
	int64_t used;		 /* unix seconds of the last use, to the hour; 0: not known */
};
/* By the time they were made; *out_rows is to be freed. */
int loam_tokens_list(struct loam_auth *auth, const struct loam_principal *who, const char *user,
		     struct loam_token_shown **out_rows, size_t *out_count, struct loam_err *err);
/* {"id","scope","created","expires","used","repo","label","maker"}; times 0: never, not known. */
json_t *loam_token_json(const struct loam_token_shown *row);

#endif
