/*
 * Who is asking, what may they do: the one decision of every door.
 *
 * auth_check reads the gate (the repository's top directory and its ACL) and nothing else. Its
 * inner part, loam_auth_decide, is pure.
 *
 * Threads: any. Source: design.md §2.2, reliability.md §3 rules 1–5 and 10.
 */
#ifndef LOAM_AUTH_AUTH_H
#define LOAM_AUTH_AUTH_H

#include "auth/account.h"
#include "auth/tree.h"

#define LOAM_PRINCIPAL_GROUPS_MAX LOAM_USER_GROUPS_MAX

enum loam_principal_kind {
	LOAM_ANONYMOUS,
	LOAM_USER,   /* proven by password or by his SSH key */
	LOAM_TOKEN,  /* a user's token: rights cut by scope and repository */
	LOAM_LINK,   /* a presigned link, carrying its user */
	LOAM_DEPLOY, /* an SSH key of one repository: nobody's, no uid, no other right */
	LOAM_ADMIN   /* holds the volume's credentials: the command line */
};
enum loam_scope { LOAM_SCOPE_READ = 1, LOAM_SCOPE_WRITE = 2, LOAM_SCOPE_ADMIN = 4 };

struct loam_principal {
	enum loam_principal_kind kind;
	char user[LOAM_USER_NAME_BYTES_MAX + 1];
	uint32_t uid, gid;
	uint32_t groups[LOAM_PRINCIPAL_GROUPS_MAX];
	size_t group_count;
	unsigned scope;			      /* enum loam_scope bits */
	char only_repo[LOAM_REPO_TEXT_BYTES]; /* "" any */
	char token_id[24];		      /* "", or the id of the token or SSH key */
	bool second_hand;  /* that token or key was made with a token: it makes no others */
	uint64_t password; /* a mark of the one that proved him, 0: none did */
};

enum loam_want { LOAM_WANT_READ = 1, LOAM_WANT_WRITE = 2, LOAM_WANT_ADMIN = 3 };

/* What the decision is made from. */
struct loam_gate {
	uint64_t ino;
	struct loam_attr attr;
	struct loam_acl acl;	       /* empty when the gate has none */
	bool anonymous_read;	       /* trusted.loam.anonymous = read */
	uint32_t owner_uid, owner_gid; /* of the namespace; one of them, the other UINT32_MAX */
	struct loam_grantee *admins;   /* trusted.loam.admins */
	size_t admin_count;
};
void loam_gate_release(struct loam_gate *gate);
/* 1 found, 0 no such repository. */
int loam_gate_read(const struct loam_tree *tree, const struct loam_repo *repo,
		   struct loam_gate *out_gate, struct loam_err *err);
/*
 * Pure. In this order: an administrator may everything; who has no account may read what is
 * public; a token's scope and repository must allow it; an entry of the gate's ACL for this very
 * user that lacks r-x shuts him out; the ACL in the kernel's order without its mask (his own entry,
 * else any of his groups', else the others'); the namespace's owner and the gate's admins, as users
 * or through a group.
 */
bool loam_auth_decide(const struct loam_principal *who, const struct loam_gate *gate,
		      const char *repo_text, enum loam_want want);

struct loam_auth;
struct loam_account_store;
int loam_auth_open(const struct loam_tree *tree, struct loam_auth **out_auth, struct loam_err *err);
void loam_auth_close(struct loam_auth *auth);
const struct loam_tree *loam_auth_tree(const struct loam_auth *auth);
struct loam_account_store *loam_auth_accounts(struct loam_auth *auth);

/*
 * May who do want on repo? 0 yes. Else the code that the door answers with: UNAUTHENTICATED for
 * anonymous callers (absent and hidden alike), NOT_FOUND for accounts that may not read (absent
 * alike), DENIED for those who may read but not do this. out_gate may be NULL.
 */
int loam_auth_check(struct loam_auth *auth, const struct loam_principal *who,
		    const struct loam_repo *repo, enum loam_want want, struct loam_gate *out_gate,
		    struct loam_err *err);
/*
 * The end of an answer that hides whether something is there: waits for a whole step since asked_ns
 * (loam_clock_ns). What is there takes more reads to refuse than what is not: 20 us, which ten
 * thousand questions tell apart (L05; tests/bench/timing.sh). A step is long against the work, and
 * against what differs.
 */
#define LOAM_HIDE_READS_MS 3  /* some reads */
#define LOAM_HIDE_WALK_MS  50 /* reads of many entries, or of the account files */
void loam_auth_hide_time(uint64_t asked_ns, unsigned step_ms);
/*
 * May who do want to the account named user (NULL: to his own)? A token needs the scope, and must
 * not be bound to one repository. Errors: UNAUTHENTICATED for anonymous callers, NOT_FOUND for
 * another's account (absent alike), DENIED for a token that is too weak.
 */
int loam_auth_check_account(const struct loam_principal *who, const char *user, enum loam_want want,
			    struct loam_err *err);
/* May who make and take away credentials: tokens, keys, deploy keys? Asked beside the right to the
 * account or repository. DENIED for what is good for one repository, or was itself made with a
 * token (docs/decisions/0010-what-a-token-may-make.md). */
int loam_auth_check_first_hand(const struct loam_principal *who, struct loam_err *err);
/* The scope bit that want needs of a token, and its name: "read", "write", "admin". */
bool loam_auth_scope_allows(unsigned scope, enum loam_want want);
const char *loam_want_name(enum loam_want want);
int loam_want_parse(const char *text, enum loam_want *out, struct loam_err *err);

/*
 * Who is it? loam_auth_header, _user, _key_find and _key answer from accounts that were looked at
 * within LOAM_ACCOUNTS_LIFE_MS, and look again before they say no: a token, password, key or
 * account works as soon as the command that made it has returned, on whatever node.
 */
/* The principal of an Authorization header (Basic with password or token, Bearer); NULL: anonymous.
 * UNAUTHENTICATED with one fixed text for everything wrong; BUSY when too many guesses run.
 * peer: address for the slow-down against guessing. */
int loam_auth_header(struct loam_auth *auth, const char *header, const char *peer,
		     struct loam_principal *out_who, struct loam_err *err);
/* A credential that nobody gave out came from this address (a link with a wrong signature); err
 * says so. Counts it; err becomes LIMITED while the address is held back. Returns err's code. */
int loam_auth_forged(struct loam_auth *auth, const char *peer, struct loam_err *err);
/* The principal of a user as of now, for links, hooks; token_id "", or the token whose scope cuts
 * the rights, or the SSH key he came by; user "" with the id of a deploy key. UNAUTHENTICATED when
 * the user is gone or disabled, or the token or key is gone or expired. */
int loam_auth_user(struct loam_auth *auth, const char *user, const char *token_id,
		   struct loam_principal *out_who, struct loam_err *err);
/* The same credential as of now, for what was begun with it a while ago: its account, groups and
 * rights, cut by what cut it before. UNAUTHENTICATED as loam_auth_user, and when the password that
 * proved him was changed; who is then as it was. */
int loam_auth_renew(struct loam_auth *auth, struct loam_principal *who, struct loam_err *err);
/* Whose SSH key is this? 1 with its id, 0 nobody's whose holder may come in. */
int loam_auth_key_find(struct loam_auth *auth, const char *type, const char *base64,
		       char out_id[24], struct loam_err *err);
/* The principal of an SSH key that sshd has proven; UNAUTHENTICATED as loam_auth_user. */
int loam_auth_key(struct loam_auth *auth, const char *id, struct loam_principal *out_who,
		  struct loam_err *err);
/* Who it is, for messages and logs: the user, the id of a deploy key, or "anonymous". */
const char *loam_principal_name(const struct loam_principal *who);

#endif
