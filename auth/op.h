/*
 * Operations on accounts, repositories and rights: one row and one function each, whoever asks.
 *
 *   loam repo show R ──ask──┬─ no volume named: GET /api/v1/repos/R ──> server/api ──┐
 *                           └─ the administrator, in this process ──────────────────┤
 *   ssh HOST loam repo show R ──> serve runs the same command as the key's user ────┴─> row->run
 *
 * A row says under which method and path the server offers it, what the caller must be allowed, and
 * which members and query values it takes; loam_op_check decides all that (by the
 * loam_auth_check family alone) before run is called. run asks no rights again, with three
 * exceptions that say so: making a repository, listing them, and revoking a token.
 *
 * Shape:  a call's words are the {…} of the path and the query; its body is a JSON object or NULL,
 *         its answer a JSON value, or NULL (status 204).
 * Errors: as the doors answer them (core/err.h).
 */
#ifndef LOAM_AUTH_OP_H
#define LOAM_AUTH_OP_H

#include "auth/namespaces.h"
#include "core/config.h"
#include "core/json.h"
#include "core/web.h"

#define LOAM_API_PREFIX "/api/v1"

struct loam_publisher;

/* What operations work on. Borrowed; one per server or command. */
struct loam_op_context {
	struct loam_auth *auth;
	const struct loam_config *config;
	const char *repos;		  /* directory of bare repositories */
	struct loam_publisher *publisher; /* serve's; NULL: an operation that needs one opens it */
};

struct loam_op_word {
	const char *name, *value;
};
#define LOAM_OP_WORDS_MAX 8

struct loam_op_call {
	const struct loam_op_context *context;
	const struct loam_principal *who;
	const char *base_url; /* what clients call this server */
	struct loam_op_word words[LOAM_OP_WORDS_MAX];
	size_t word_count;
	const json_t *body; /* NULL: none was sent */
	json_t *answer;	    /* set by run; the caller's to json_decref */
	/* Set by loam_op_check from the words "repo", or "kind" and "ns". */
	struct loam_repo repo;
	char repo_text[LOAM_REPO_TEXT_BYTES];
	struct loam_ns ns;
	char ns_text[LOAM_REPO_TEXT_BYTES];
};

struct loam_op {
	const char *name; /* "repo.show": operationId of docs/openapi.yaml */
	unsigned method;  /* one of enum loam_web_method */
	const char *path; /* behind LOAM_API_PREFIX: "/repos/{repo}/grants/{who}" */
	/* Asked of loam_auth_check where the path has {repo}, of loam_auth_check_namespace where it
	 * has {ns}, of loam_auth_check_group for ADMIN where it has {group}, else of
	 * loam_auth_check_account (of {user}). 0: open to all, run looks at call->who. */
	enum loam_want want;
	const char *members;	  /* that the body may have, joined by blanks; NULL: no body */
	const char *const *query; /* values that the query may have, ended by NULL; NULL: none */
	int status;		  /* of success: 200, 201, 204 */
	int (*run)(struct loam_op_call *call, struct loam_err *err);
};

/* The operations of auth/, ended by NULL; those of sync/ are loam_sync_ops. */
extern const struct loam_op *const loam_auth_ops[];
extern const struct loam_op loam_op_user_self, loam_op_user_show, loam_op_token_list,
	loam_op_token_create, loam_op_token_revoke, loam_op_key_list, loam_op_key_add,
	loam_op_key_remove, loam_op_deploy_key_list, loam_op_deploy_key_add,
	loam_op_deploy_key_remove, loam_op_group_list, loam_op_group_show, loam_op_member_set,
	loam_op_member_remove, loam_op_grant_set, loam_op_grant_revoke, loam_op_namespace_list,
	loam_op_namespace_show, loam_op_namespace_owner, loam_op_namespace_grant,
	loam_op_namespace_revoke;

/* What clients call the server of this configuration: server.url, else where it listens; free() */
char *loam_op_base_url(const struct loam_config *config);
/* NULL when the call has no such word. */
const char *loam_op_word(const struct loam_op_call *call, const char *name);
/* May call->who do this? Parses the repository. Does not look at the body. */
int loam_op_check(const struct loam_op *op, struct loam_op_call *call, struct loam_err *err);
/* The body's members against the row: UNPROCESSABLE for one it does not know, INVALID without a
 * body where one is needed. */
int loam_op_check_body(const struct loam_op *op, const struct loam_op_call *call,
		       struct loam_err *err);
/* All of it: check, check_body, run. */
int loam_op_run(const struct loam_op *op, struct loam_op_call *call, struct loam_err *err);

/* A member that must be there: UNPROCESSABLE when it is absent. */
int loam_op_need_text(const struct loam_op_call *call, const char *name, const char **out_text,
		      struct loam_err *err);

#endif
