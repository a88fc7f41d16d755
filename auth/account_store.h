/*
 * The account files on the volume: read with a short cache, changed by compare-and-replace.
 *
 * Files: /.loam/etc/passwd group shadow gshadow tokens; `next`, the next number to give (one
 * counter for uid and gid, never going back); `retired`, numbers of what was removed, which it
 * skips. Groups are changed through auth/groups.h. A change made anywhere is seen within
 * LOAM_ACCOUNTS_LIFE_MS, and at once by who looks again before he says no. Threads: any. Durable:
 * a changing call returns behind the metadata barrier.
 */
#ifndef LOAM_AUTH_ACCOUNT_STORE_H
#define LOAM_AUTH_ACCOUNT_STORE_H

#include "auth/account.h"
#include "auth/tree.h"

#define LOAM_ACCOUNTS_LIFE_MS 1000

struct loam_account_store;

int loam_account_store_open(const struct loam_tree *tree, struct loam_account_store **out_store,
			    struct loam_err *err);
void loam_account_store_close(struct loam_account_store *store);
/* A counted snapshot, at most LOAM_ACCOUNTS_LIFE_MS old; put() releases it. fresh: read now. */
int loam_account_store_get(struct loam_account_store *store, bool fresh,
			   const struct loam_accounts **out_accounts, struct loam_err *err);
/*
 * A snapshot for which the files were looked at no earlier than asked_ns (loam_clock_ns): what was
 * made before the question stands in it. One trip when no file has changed.
 *
 * All callers together look LOAM_ACCOUNT_LOOKS_PER_SECOND times a second at most: who is not yet
 * served waits for the next look and shares it. What was read last, as get() gives it, is the
 * answer when may_wait is false and no look is due, and for those beyond
 * LOAM_ACCOUNT_LOOKS_WAITING_MAX: guessers can neither load Redis nor take up the server's threads.
 * Only behind a get().
 */
int loam_account_store_get_since(struct loam_account_store *store, uint64_t asked_ns, bool may_wait,
				 const struct loam_accounts **out_accounts, struct loam_err *err);
/* What was read last, however old, without a trip; NULL before the first reading. For words of the
 * log, never for a decision. put() releases it. */
const struct loam_accounts *loam_account_store_peek(struct loam_account_store *store);
void loam_account_store_put(struct loam_account_store *store, const struct loam_accounts *accounts);
/* loam_accounts_who() on a snapshot read now. */
int loam_account_store_who(struct loam_account_store *store, const char *text,
			   struct loam_grantee *out, struct loam_err *err);

/* Writes /.loam/etc/roster anew if it is not as the accounts are: whom mounts shut out, and whose
 * groups count at gates. Every change of users and groups does it; reconciling repeats it. */
int loam_account_store_publish(struct loam_account_store *store, struct loam_err *err);

struct loam_new_user {
	const char *name;
	uint32_t uid; /* 0: the host's user of that name when at or above 1000, else the next */
	uint32_t host_uid; /* 0: the host has no such user; used when uid is 0 */
	uint32_t host_gid;
	const char *const *groups; /* he becomes a member of these */
	size_t group_count;
};
/* EXISTS for a name or number in use, or a number that once was, UNPROCESSABLE for one that
 * accounts may not have, NOT_FOUND for a missing group. Makes the home, 0700. */
int loam_account_store_add_user(struct loam_account_store *store, const struct loam_new_user *user,
				uint32_t *out_uid, struct loam_err *err);
/* NULL password: locked. Changes nothing else. */
int loam_account_store_set_password(struct loam_account_store *store, const char *name,
				    const char *password, struct loam_err *err);
/* A hash made elsewhere. UNPROCESSABLE for one that loam_password_hash_keep refuses. */
int loam_account_store_set_hash(struct loam_account_store *store, const char *name,
				const char *hash, struct loam_err *err);
int loam_account_store_set_disabled(struct loam_account_store *store, const char *name,
				    bool disabled, struct loam_err *err);
/* Removes the lines, tokens and memberships, and renames the home to .removed-NAME-UID, 0700 root.
 * The number is never given again. NOT_EMPTY while he owns repositories (auth/owned.h): then
 * nothing is changed. */
int loam_account_store_remove_user(struct loam_account_store *store, const char *name,
				   struct loam_err *err);
int loam_account_store_add_token(struct loam_account_store *store, const struct loam_token *token,
				 struct loam_err *err);
/* with_made: also the tokens, keys and deploy keys that were made with it; then a token that is
 * gone already is found by what it made. NOT_FOUND for an unknown id, or one of another user. */
int loam_account_store_remove_token(struct loam_account_store *store, const char *user,
				    const char *id, bool with_made, struct loam_err *err);

/* Gives key (auth/ssh_key.h: read, then user, or repo and scope, filled) to its holder. EXISTS when
 * anybody holds it already; NOT_FOUND without such a user or repository; LIMITED at
 * LOAM_SSH_KEYS_MAX; UNPROCESSABLE for a label that cannot be kept. */
int loam_account_store_add_key(struct loam_account_store *store, const struct loam_ssh_key *key,
			       struct loam_err *err);
/* holder: a user's name, or a repository as loam_repo_text writes it. NOT_FOUND for an unknown id,
 * or a key of another holder. */
int loam_account_store_remove_key(struct loam_account_store *store, const char *holder,
				  const char *id, struct loam_err *err);
/* All keys that were added with this token, of whomever. */
int loam_account_store_drop_keys_made(struct loam_account_store *store, const char *token_id,
				      struct loam_err *err);
/* All keys of a user or repository that goes. */
int loam_account_store_drop_keys(struct loam_account_store *store, const char *holder,
				 struct loam_err *err);

#endif
