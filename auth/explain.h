/*
 * Who may do what in a repository, and why: the answer that `repo show` prints.
 *
 * The rights are those of loam_auth_decide, asked for each account that an entry, a grant of the
 * namespace or a group names; the reasons say where they come from.
 *
 * Threads: any.
 */
#ifndef LOAM_AUTH_EXPLAIN_H
#define LOAM_AUTH_EXPLAIN_H

#include "auth/namespaces.h"
#include "core/json.h"

#define LOAM_EXPLAIN_REASON_BYTES 160

struct loam_explained {
	enum {
		LOAM_EXPLAIN_USER,
		LOAM_EXPLAIN_GROUP,
		LOAM_EXPLAIN_ACCOUNTS,
		LOAM_EXPLAIN_EVERYBODY
	} kind;
	char who[LOAM_GRANTEE_TEXT_BYTES]; /* "alice", "u:20004" when the account is gone */
	enum loam_right right;		   /* LOAM_RIGHT_DENIED: shut out; OWNER is ADMIN here */
	bool disabled;			   /* an account that no door lets in */
	/* "owns the namespace models/qwen/", "granted here (write)", "granted on … (read)",
	 * "member of team", "denied here", "the repository is internal"; joined by "; " */
	char why[LOAM_EXPLAIN_REASON_BYTES];
};
struct loam_explanation {
	struct loam_explained *rows; /* groups, then users, each by name, then everybody */
	size_t count;
};
void loam_explanation_release(struct loam_explanation *explanation);

/* NOT_FOUND when there is no such repository. */
int loam_explain(const struct loam_tree *tree, const struct loam_accounts *accounts,
		 const struct loam_repo *repo, struct loam_explanation *out, struct loam_err *err);
const char *loam_explained_kind(const struct loam_explained *row); /* "user", "group" … */
/* [{"who","kind","right","why"[,"disabled"]}] */
json_t *loam_explanation_json(const struct loam_explanation *explanation);

#endif
