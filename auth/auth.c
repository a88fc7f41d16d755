/*
 * Principals and the one question every door asks (auth/auth.h; step 2 of a push).
 *
 * A password that was right is remembered for a minute as a MAC under a key of this process,
 * together with the hash it was right for, so that the many requests of one push cost one yescrypt.
 */
#include "auth/auth.h"

#include "auth/account_store.h"
#include "auth/audit.h"
#include "auth/guess.h"
#include "auth/password.h"
#include "auth/token_use.h"
#include "core/auto.h"
#include "core/clock.h"
#include "core/hash.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define CREDENTIAL_BYTES_MAX 2048
#define FORGED		     "\tlink" /* counted under a name that no account has */
#define REMEMBERED_COUNT     256
#define REMEMBERED_MS	     60000

struct remembered {
	uint8_t mac[LOAM_SHA256_BYTES];
	uint64_t until_ms;
};

struct loam_auth {
	const struct loam_tree *tree;
	struct loam_account_store *accounts;
	struct loam_guess *guess;
	struct loam_token_use *use;
	uint8_t key[32];
	pthread_mutex_t lock; /* remembered */
	struct remembered remembered[REMEMBERED_COUNT];
};

int loam_auth_open(const struct loam_tree *tree, struct loam_auth **out_auth, struct loam_err *err)
{
	struct loam_auth *auth = loam_xnew(struct loam_auth);
	auth->tree = tree;
	auth->guess = loam_guess_new();
	pthread_mutex_init(&auth->lock, NULL);
	loam_random(auth->key, sizeof(auth->key));
	int rc = loam_account_store_open(tree, &auth->accounts, err);
	if (rc < 0) {
		loam_auth_close(auth);
		return rc;
	}
	auth->use = loam_token_use_new(auth->accounts);
	*out_auth = auth;
	return 0;
}

void loam_auth_close(struct loam_auth *auth)
{
	if (!auth)
		return;
	loam_token_use_free(auth->use);
	loam_account_store_close(auth->accounts);
	loam_guess_free(auth->guess);
	pthread_mutex_destroy(&auth->lock);
	explicit_bzero(auth, sizeof(*auth));
	free(auth);
}

const struct loam_tree *loam_auth_tree(const struct loam_auth *auth)
{
	return auth->tree;
}

struct loam_account_store *loam_auth_accounts(struct loam_auth *auth)
{
	return auth->accounts;
}

/* ---- the question ---------------------------------------------------------------------------- */

const char *loam_principal_name(const struct loam_principal *who)
{
	if (who->user[0])
		return who->user;
	return who->token_id[0] ? who->token_id : "anonymous";
}

static int refuse(const struct loam_principal *who, bool may_read, const char *repo_text,
		  enum loam_want want, struct loam_err *err)
{
	if (who->kind == LOAM_ANONYMOUS)
		return loam_fail(err, LOAM_E_UNAUTHENTICATED, "log in to use this server");
	if (!may_read)
		return loam_fail(err, LOAM_E_NOT_FOUND, "no repository '%s'", repo_text);
	if (who->kind == LOAM_TOKEN && !loam_auth_scope_allows(who->scope, want))
		return loam_fail(err, LOAM_E_DENIED,
				 "this token has not the scope '%s': use the password, or a token "
				 "that has it",
				 loam_want_name(want));
	return loam_fail(err, LOAM_E_DENIED, "%s may read '%s' but not change it",
			 loam_principal_name(who), repo_text);
}

void loam_auth_hide_time(uint64_t asked_ns, unsigned step_ms)
{
	loam_clock_sleep_to_step_ns(asked_ns, step_ms * 1000000ull);
}

int loam_auth_check(struct loam_auth *auth, const struct loam_principal *who,
		    const struct loam_repo *repo, enum loam_want want, struct loam_gate *out_gate,
		    struct loam_err *err)
{
	uint64_t asked_ns = loam_clock_ns();
	char text[LOAM_REPO_TEXT_BYTES];
	loam_repo_text(repo, text);
	struct loam_gate gate;
	int rc = loam_gate_read(auth->tree, repo, &gate, err);
	if (rc < 0)
		return rc;
	bool is_there = rc == 1;
	if (!is_there || !loam_auth_decide(who, &gate, text, want)) {
		bool may_read = is_there && loam_auth_decide(who, &gate, text, LOAM_WANT_READ);
		if (is_there)
			loam_gate_release(&gate);
		if (!may_read)
			loam_auth_hide_time(asked_ns, LOAM_HIDE_READS_MS);
		return refuse(who, may_read, text, want, err);
	}
	if (out_gate)
		*out_gate = gate;
	else
		loam_gate_release(&gate);
	return 0;
}

static const char *const want_names[] = {
	[LOAM_WANT_READ] = "read", [LOAM_WANT_WRITE] = "write", [LOAM_WANT_ADMIN] = "admin"
};

const char *loam_want_name(enum loam_want want)
{
	return want_names[want];
}

int loam_want_parse(const char *text, enum loam_want *out, struct loam_err *err)
{
	for (int want = LOAM_WANT_READ; want <= LOAM_WANT_ADMIN; want++) {
		if (strcmp(text, want_names[want]) == 0) {
			*out = (enum loam_want)want;
			return 0;
		}
	}
	return loam_fail(err, LOAM_E_UNPROCESSABLE, "'%.40s' is not read, write or admin", text);
}

int loam_auth_check_account(const struct loam_principal *who, const char *user, enum loam_want want,
			    struct loam_err *err)
{
	if (who->kind == LOAM_ADMIN)
		return 0;
	if (who->kind == LOAM_ANONYMOUS)
		return loam_fail(err, LOAM_E_UNAUTHENTICATED, "log in to use this server");
	if (user && strcmp(user, who->user) != 0)
		return loam_fail(err, LOAM_E_NOT_FOUND, "no user '%s'", user);
	if (who->kind == LOAM_USER)
		return 0;
	if (who->kind != LOAM_TOKEN)
		return loam_fail(err, LOAM_E_DENIED, "this credential is good for one thing only");
	if (who->only_repo[0])
		return loam_fail(err, LOAM_E_DENIED, "this token is for '%s' only", who->only_repo);
	if (!loam_auth_scope_allows(who->scope, want))
		return loam_fail(err, LOAM_E_DENIED, "this token has not the scope '%s'",
				 loam_want_name(want));
	return 0;
}

int loam_auth_check_first_hand(const struct loam_principal *who, struct loam_err *err)
{
	if (who->only_repo[0])
		return loam_fail(err, LOAM_E_DENIED,
				 "a token for one repository makes and ends no tokens and keys");
	if (!who->second_hand)
		return 0;
	return loam_fail(err, LOAM_E_DENIED,
			 "what was made with a token makes and ends no tokens and keys: use the "
			 "password, loam login, or a key that was added with them");
}

/* ---- credentials ----------------------------------------------------------------------------- */

static int wrong(struct loam_err *err)
{
	return loam_fail(err, LOAM_E_UNAUTHENTICATED, "wrong user name, password or token");
}

static void fill_principal(struct loam_principal *who, const struct loam_account *account)
{
	*who = (struct loam_principal){ .kind = LOAM_USER,
					.uid = account->uid,
					.gid = account->gid,
					.scope = LOAM_SCOPE_READ | LOAM_SCOPE_WRITE |
						 LOAM_SCOPE_ADMIN };
	snprintf(who->user, sizeof(who->user), "%s", account->name);
	who->group_count = account->group_count < LOAM_PRINCIPAL_GROUPS_MAX
				   ? account->group_count
				   : LOAM_PRINCIPAL_GROUPS_MAX;
	if (who->group_count > 0)
		memcpy(who->groups, account->groups, who->group_count * sizeof(who->groups[0]));
}

/* Tells a hash from the one that stands there later. */
static uint64_t password_mark(const struct loam_account *account)
{
	uint8_t digest[LOAM_SHA256_BYTES];
	uint64_t mark;
	loam_sha256_of(account->hash, strlen(account->hash), digest);
	memcpy(&mark, digest, sizeof(mark));
	return mark ? mark : 1;
}

static void credential_mac(struct loam_auth *auth, const char *user, const char *password,
			   const char *hash, uint8_t out[LOAM_SHA256_BYTES])
{
	loam_auto_free char *text = loam_xasprintf("%s\n%s\n%s", user, hash, password);
	loam_hmac_sha256(auth->key, sizeof(auth->key), text, strlen(text), out);
	explicit_bzero(text, strlen(text));
}

static bool is_remembered(struct loam_auth *auth, const uint8_t mac[LOAM_SHA256_BYTES])
{
	loam_guard(&auth->lock);
	const struct remembered *slot = &auth->remembered[mac[0]];
	return slot->until_ms > loam_clock_ms() &&
	       loam_equal_secret(slot->mac, mac, LOAM_SHA256_BYTES);
}

static void remember(struct loam_auth *auth, const uint8_t mac[LOAM_SHA256_BYTES])
{
	loam_guard(&auth->lock);
	struct remembered *slot = &auth->remembered[mac[0]];
	memcpy(slot->mac, mac, LOAM_SHA256_BYTES);
	slot->until_ms = loam_clock_ms() + REMEMBERED_MS;
}

/*
 * What is asked of the accounts. May run twice: with is_last false on what is known already, where
 * "no" only means that they are looked at again, then on what they are now. What is not found may
 * be a second younger than the snapshot, and its maker tries it at once.
 */
typedef int question_fn(struct loam_auth *auth, const struct loam_accounts *accounts,
			const void *what, bool is_last, struct loam_principal *out_who,
			struct loam_err *err);

static int ask_accounts(struct loam_auth *auth, question_fn *question, const void *what,
			bool may_wait, struct loam_principal *out_who, struct loam_err *err)
{
	uint64_t asked_ns = loam_clock_ns();
	const struct loam_accounts *accounts = NULL;
	int rc = loam_account_store_get(auth->accounts, false, &accounts, err);
	if (rc < 0)
		return rc;
	rc = question(auth, accounts, what, false, out_who, err);
	loam_account_store_put(auth->accounts, accounts);
	if (rc != -LOAM_E_UNAUTHENTICATED)
		return rc;
	loam_err_clear(err);
	rc = loam_account_store_get_since(auth->accounts, asked_ns, may_wait, &accounts, err);
	if (rc < 0)
		return rc;
	rc = question(auth, accounts, what, true, out_who, err);
	loam_account_store_put(auth->accounts, accounts);
	return rc;
}

/* The one yescrypt is done on the newest accounts, for a name that nobody has too: unknown names
 * and wrong passwords cost the same look and the same work. */
static int check_password(struct loam_auth *auth, const struct loam_accounts *accounts,
			  const char *user, const char *password, bool is_last,
			  struct loam_principal *out_who, struct loam_err *err)
{
	const struct loam_account *account = loam_accounts_by_name(accounts, user);
	bool usable = account && !account->disabled;
	uint8_t mac[LOAM_SHA256_BYTES];
	credential_mac(auth, user, password, usable ? account->hash : "", mac);
	if (!usable || !is_remembered(auth, mac)) {
		if (!is_last)
			return wrong(err);
		int rc = loam_password_check(password, usable ? account->hash : NULL,
					     accounts->any_older_hash, err);
		if (rc < 0)
			return rc;
		if (rc == 0)
			return wrong(err);
		remember(auth, mac);
	}
	fill_principal(out_who, account);
	out_who->password = password_mark(account);
	return 0;
}

static void fill_from_token(struct loam_principal *who, const struct loam_account *account,
			    const struct loam_token *token)
{
	fill_principal(who, account);
	who->kind = LOAM_TOKEN;
	who->scope = token->scope;
	snprintf(who->only_repo, sizeof(who->only_repo), "%s", token->repo);
	snprintf(who->token_id, sizeof(who->token_id), "%s", token->id);
	who->second_hand = token->maker[0] != '\0';
}

static bool is_expired(const struct loam_token *token)
{
	return token->expires != 0 && token->expires <= time(NULL);
}

/* user "" or any word: the name beside a token does not matter, unless it is another account's. */
static int check_token(const struct loam_accounts *accounts, const char *user, const char *text,
		       struct loam_principal *out_who, struct loam_err *err)
{
	if (!loam_token_is_plausible(text))
		return wrong(err);
	char hash[LOAM_SHA256_HEX + 1];
	loam_token_hash(text, hash);
	const struct loam_token *token = loam_accounts_token(accounts, hash);
	if (!token || is_expired(token))
		return wrong(err);
	const struct loam_account *account = loam_accounts_by_name(accounts, token->user);
	if (!account || account->disabled)
		return wrong(err);
	if (strcmp(user, token->user) != 0 && loam_accounts_by_name(accounts, user))
		return wrong(err);
	fill_from_token(out_who, account, token);
	return 0;
}

/* A token may come as password, or as user name with an empty or "x-oauth-basic" password. */
static int check_basic(struct loam_auth *auth, const struct loam_accounts *accounts,
		       const char *user, const char *password, bool is_last,
		       struct loam_principal *out_who, struct loam_err *err)
{
	if (strncmp(user, "hf_", 3) == 0 &&
	    (password[0] == '\0' || strcmp(password, "x-oauth-basic") == 0))
		return check_token(accounts, "", user, out_who, err);
	if (loam_token_is_plausible(password))
		return check_token(accounts, user, password, out_who, err);
	return check_password(auth, accounts, user, password, is_last, out_who, err);
}

struct credentials {
	bool bearer;
	char text[CREDENTIAL_BYTES_MAX]; /* user NUL, or the token */
	const char *password;
};

static bool parse_basic(const char *value, struct credentials *out)
{
	size_t bytes = sizeof(out->text) - 1;
	if (strlen(value) > 2 * sizeof(out->text) ||
	    !loam_base64_decode(value, strlen(value), (uint8_t *)out->text, &bytes))
		return false;
	out->text[bytes] = '\0';
	char *colon = strchr(out->text, ':');
	if (!colon || strlen(out->text) != bytes)
		return false;
	*colon = '\0';
	out->password = colon + 1;
	return true;
}

static bool parse_header(const char *header, struct credentials *out)
{
	if (strncasecmp(header, "Basic ", 6) == 0)
		return parse_basic(header + 6, out);
	if (strncasecmp(header, "Bearer ", 7) != 0 || strlen(header + 7) >= sizeof(out->text))
		return false;
	out->bearer = true;
	snprintf(out->text, sizeof(out->text), "%s", header + 7);
	return true;
}

static int check_credentials(struct loam_auth *auth, const struct loam_accounts *accounts,
			     const void *what, bool is_last, struct loam_principal *out_who,
			     struct loam_err *err)
{
	const struct credentials *given = what;
	return given->bearer ? check_token(accounts, "", given->text, out_who, err)
			     : check_basic(auth, accounts, given->text, given->password, is_last,
					   out_who, err);
}

static bool carries_token(const struct credentials *given)
{
	if (given->bearer)
		return loam_token_is_plausible(given->text);
	return loam_token_is_plausible(given->password) || loam_token_is_plausible(given->text);
}

/* For the audit log: whose name was tried. Only a name that is one: people type passwords there.
 * A volume that does not answer is not asked a second time for it. */
static void note_claim(struct loam_auth *auth, const char *name)
{
	const struct loam_accounts *accounts = loam_account_store_peek(auth->accounts);
	if (accounts && name[0] && loam_accounts_by_name(accounts, name))
		loam_audit_claim(name);
	loam_account_store_put(auth->accounts, accounts);
}

/* A right token is never held back by wrong logins from its address: 256 bits are not guessed, and
 * a forgotten script with an old one shall not lock out a whole office. A wrong one is held, and
 * does not wait for the accounts to be looked at again. */
int loam_auth_header(struct loam_auth *auth, const char *header, const char *peer,
		     struct loam_principal *out_who, struct loam_err *err)
{
	loam_audit_who(NULL, NULL); /* nobody, until it is proven again (S06) */
	if (!header) {
		*out_who = (struct loam_principal){ .kind = LOAM_ANONYMOUS };
		return 0;
	}
	struct credentials given = { 0 };
	bool parsed = parse_header(header, &given);
	const char *account = !parsed || given.bearer ? "" : given.text;
	bool by_token = parsed && carries_token(&given);
	struct loam_err held = { 0 };
	int rc = loam_guess_check(auth->guess, peer, account, &held);
	bool is_held = rc < 0;
	if (by_token || !is_held)
		rc = parsed ? ask_accounts(auth, check_credentials, &given, !is_held, out_who, err)
			    : wrong(err);
	bool is_wrong = rc == -LOAM_E_UNAUTHENTICATED;
	if (is_held && (is_wrong || !by_token)) {
		*err = held;
		rc = -(int)held.code;
	}
	if (is_wrong && !is_held)
		loam_guess_failed(auth->guess, peer, account);
	else if (rc == 0 && !by_token)
		loam_guess_succeeded(auth->guess, peer, account);
	if (rc == 0)
		loam_audit_who(out_who, NULL);
	else
		note_claim(auth, account);
	if (rc == 0 && out_who->kind == LOAM_TOKEN)
		loam_token_use_note(auth->use, out_who->token_id);
	explicit_bzero(&given, sizeof(given));
	return rc;
}

int loam_auth_forged(struct loam_auth *auth, const char *peer, struct loam_err *err)
{
	struct loam_err held = { 0 };
	loam_assert(err->code != LOAM_E_OK);
	if (loam_guess_check(auth->guess, peer, FORGED, &held) < 0)
		*err = held;
	loam_guess_failed(auth->guess, peer, FORGED);
	return -(int)err->code;
}

/* By its id; NULL when it is gone, expired or another user's. */
static const struct loam_token *find_token(const struct loam_accounts *accounts, const char *user,
					   const char *token_id)
{
	struct loam_token_row *row, *next;
	HASH_ITER (by_hash, accounts->tokens, row, next) {
		if (strcmp(row->token.id, token_id) == 0 && strcmp(row->token.user, user) == 0)
			return is_expired(&row->token) ? NULL : &row->token;
	}
	return NULL;
}

/* The account or repository that holds the key lets it in as of now. */
static int fill_from_key(const struct loam_accounts *accounts, const struct loam_ssh_key *key,
			 struct loam_principal *out_who, struct loam_err *err)
{
	if (key->user[0]) {
		const struct loam_account *account = loam_accounts_by_name(accounts, key->user);
		if (!account || account->disabled)
			return loam_fail(err, LOAM_E_UNAUTHENTICATED,
					 "the account is gone or disabled");
		fill_principal(out_who, account);
	} else {
		*out_who = (struct loam_principal){ .kind = LOAM_DEPLOY,
						    .uid = UINT32_MAX,
						    .gid = UINT32_MAX,
						    .scope = key->scope };
		snprintf(out_who->only_repo, sizeof(out_who->only_repo), "%s", key->repo);
	}
	snprintf(out_who->token_id, sizeof(out_who->token_id), "%s", key->id);
	out_who->second_hand = key->maker[0] != '\0';
	return 0;
}

struct user_question {
	const char *user, *token_id;
};

static int find_user(struct loam_auth *auth, const struct loam_accounts *accounts, const void *what,
		     bool is_last, struct loam_principal *out_who, struct loam_err *err)
{
	const char *user = ((const struct user_question *)what)->user;
	const char *token_id = ((const struct user_question *)what)->token_id;
	if (loam_ssh_key_is_id(token_id)) {
		const struct loam_ssh_key *key = loam_accounts_key(accounts, token_id);
		if (key && strcmp(key->user, user) == 0)
			return fill_from_key(accounts, key, out_who, err);
		return loam_fail(err, LOAM_E_UNAUTHENTICATED, "the key is gone");
	}
	const struct loam_account *account = loam_accounts_by_name(accounts, user);
	const struct loam_token *token = token_id[0] ? find_token(accounts, user, token_id) : NULL;
	if (!account || account->disabled || (token_id[0] && !token))
		return loam_fail(err, LOAM_E_UNAUTHENTICATED, "the account or token is gone");
	if (token)
		fill_from_token(out_who, account, token);
	else
		fill_principal(out_who, account);
	return 0;
}

int loam_auth_user(struct loam_auth *auth, const char *user, const char *token_id,
		   struct loam_principal *out_who, struct loam_err *err)
{
	const struct user_question what = { user, token_id };
	int rc = ask_accounts(auth, find_user, &what, true, out_who, err);
	if (rc == 0)
		loam_audit_who(out_who, NULL);
	return rc;
}

static int find_again(struct loam_auth *auth, const struct loam_accounts *accounts,
		      const void *what, bool is_last, struct loam_principal *out_who,
		      struct loam_err *err)
{
	const struct loam_principal *before = what;
	const struct user_question user = { before->user, before->token_id };
	struct loam_principal now;
	int rc = find_user(auth, accounts, &user, is_last, &now, err);
	if (rc < 0)
		return rc;
	if (before->password &&
	    before->password != password_mark(loam_accounts_by_name(accounts, before->user)))
		return loam_fail(err, LOAM_E_UNAUTHENTICATED, "the password was changed");
	now.kind = before->kind;
	now.scope &= before->scope;
	now.password = before->password;
	if (before->only_repo[0])
		memcpy(now.only_repo, before->only_repo, sizeof(now.only_repo));
	*out_who = now;
	return 0;
}

int loam_auth_renew(struct loam_auth *auth, struct loam_principal *who, struct loam_err *err)
{
	struct loam_principal now;
	if (who->kind == LOAM_ANONYMOUS || who->kind == LOAM_ADMIN)
		return 0;
	int rc = ask_accounts(auth, find_again, who, true, &now, err);
	if (rc < 0)
		return rc;
	*who = now;
	loam_audit_who(who, NULL);
	return 0;
}

struct key_question {
	const char *type, *base64;
};

static int find_key_text(struct loam_auth *auth, const struct loam_accounts *accounts,
			 const void *what, bool is_last, struct loam_principal *out_who,
			 struct loam_err *err)
{
	const struct key_question *asked = what;
	const struct loam_ssh_key *key = loam_accounts_key_by_base64(accounts, asked->base64);
	if (!key || strcmp(key->type, asked->type) != 0)
		return loam_fail(err, LOAM_E_UNAUTHENTICATED, "nobody's key");
	return fill_from_key(accounts, key, out_who, err);
}

int loam_auth_key_find(struct loam_auth *auth, const char *type, const char *base64,
		       char out_id[24], struct loam_err *err)
{
	const struct key_question what = { type, base64 };
	struct loam_principal who;
	int rc = ask_accounts(auth, find_key_text, &what, true, &who, err);
	if (rc == -LOAM_E_UNAUTHENTICATED) {
		loam_err_clear(err);
		return 0;
	}
	if (rc < 0)
		return rc;
	snprintf(out_id, 24, "%s", who.token_id);
	return 1;
}

static int find_key(struct loam_auth *auth, const struct loam_accounts *accounts, const void *what,
		    bool is_last, struct loam_principal *out_who, struct loam_err *err)
{
	const struct loam_ssh_key *key = loam_accounts_key(accounts, what);
	return key ? fill_from_key(accounts, key, out_who, err)
		   : loam_fail(err, LOAM_E_UNAUTHENTICATED, "the key is gone");
}

int loam_auth_key(struct loam_auth *auth, const char *id, struct loam_principal *out_who,
		  struct loam_err *err)
{
	int rc = ask_accounts(auth, find_key, id, true, out_who, err);
	if (rc == 0)
		loam_audit_who(out_who, NULL);
	return rc;
}
