/*
 * loam user …: accounts from the command line. Whoever holds META is the administrator.
 */
#include "auth/commands.h"
#include "auth/instance.h"
#include "auth/key_file.h"
#include "core/clock.h"
#include "core/json.h"

#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>

struct user_opts {
	const char *meta;
	const char *key;
	uint64_t uid;
	struct loam_opt_list groups;
	bool json;
	const char *scope;
	uint64_t days;
	const char *repo;
	const char *label;
	const char *revoke;
	bool list;
};

#define META_OPT                                                          \
	LOAM_OPT(struct user_opts, meta, "meta", 0, LOAM_OPT_TEXT, "URL", \
		 "the volume (default: LOAM_META, then meta.url of the configuration)")
#define JSON_OPT LOAM_OPT(struct user_opts, json, "json", 0, LOAM_OPT_FLAG, NULL, "print JSON")

static int open_instance(const struct user_opts *opts, struct loam_instance **out,
			 struct loam_err *err)
{
	return loam_instance_open(&(struct loam_instance_options){ .meta_url = opts->meta }, out,
				  err);
}

/* ---- user add -------------------------------------------------------------------------------- */

static void find_host_user(struct loam_new_user *user)
{
	struct passwd entry, *found = NULL;
	char buffer[16384];
	if (getpwnam_r(user->name, &entry, buffer, sizeof(buffer), &found) != 0 || !found ||
	    entry.pw_uid < LOAM_HOST_UID_MIN || entry.pw_gid < LOAM_HOST_UID_MIN)
		return;
	user->host_uid = entry.pw_uid;
	user->host_gid = entry.pw_gid;
}

/* The account is made: what is wrong with its key does not undo that. */
static int add_key(struct loam_instance *instance, const char *user, struct loam_ssh_key *key)
{
	struct loam_err err = { 0 };
	snprintf(key->user, sizeof(key->user), "%s", user);
	int rc = loam_account_store_add_key(loam_auth_accounts(instance->auth), key, &err);
	if (rc < 0)
		loam_context(&err, "the account is made, its key is not taken");
	return rc < 0 ? loam_cmd_failed(&err) : 0;
}

static int run_add(const void *options, int argc, char **argv)
{
	const struct user_opts *opts = options;
	struct loam_err err = { 0 };
	struct loam_new_user user = { .name = argv[0],
				      .uid = (uint32_t)opts->uid,
				      .groups = opts->groups.at,
				      .group_count = opts->groups.count };
	if (user.uid == 0)
		find_host_user(&user);
	loam_auto_instance struct loam_instance *instance = NULL;
	struct loam_ssh_key key;
	uint32_t uid = 0;
	if ((opts->key && loam_key_file_read(opts->key, &key, &err) < 0) ||
	    open_instance(opts, &instance, &err) < 0 ||
	    loam_account_store_add_user(loam_auth_accounts(instance->auth), &user, &uid, &err) < 0)
		return loam_cmd_failed(&err);
	if (user.uid == 0 && user.host_uid == uid)
		fprintf(stderr, "loam: this host's user %s has uid %u, so has the account\n",
			user.name, uid);
	fprintf(stderr,
		"loam: account %s made, without a password: loam user token %s, or loam "
		"user password %s\n",
		user.name, user.name, user.name);
	printf("%u\n", uid);
	return opts->key ? add_key(instance, user.name, &key) : 0;
}

const struct loam_cmd loam_cmd_user_add = {
	.name = "user add",
	.usage = "[options] NAME",
	.summary = "make an account: Git, LFS, a uid and a home on the mount; prints the uid",
	.options =
		(const struct loam_opt[]){
			META_OPT,
			LOAM_OPT(struct user_opts, uid, "uid", 0, LOAM_OPT_NUMBER, "N",
				 "the number (default: that of this host's user of the same name, "
				 "else the next from 20001)",
				 .min = LOAM_HOST_UID_MIN, .max = 0x7FFFFFFE),
			LOAM_OPT(struct user_opts, groups, "group", 0, LOAM_OPT_LIST, "GROUP",
				 "a group he becomes a member of; may be given again"),
			LOAM_OPT(struct user_opts, key, "key", 0, LOAM_OPT_TEXT, "FILE",
				 "a public SSH key of the account ('-': stdin)"),
			LOAM_OPT_END },
	.options_bytes = sizeof(struct user_opts),
	.args_min = 1,
	.args_max = 1,
	.run = run_add,
};

/* ---- user show, user list -------------------------------------------------------------------- */

static json_t *account_json(const struct loam_account *account)
{
	return json_pack("{s:s, s:I, s:I, s:s, s:b}", "name", account->name, "uid",
			 (json_int_t)account->uid, "gid", (json_int_t)account->gid, "home",
			 account->home, "disabled", account->disabled);
}

static void print_account(const struct loam_account *account)
{
	printf("%-24s uid %-6u gid %-6u %s%s\n", account->name, account->uid, account->gid,
	       account->home, account->disabled ? "  disabled" : "");
}

static int compare_accounts(const void *a, const void *b)
{
	return strcmp((*(const struct loam_account *const *)a)->name,
		      (*(const struct loam_account *const *)b)->name);
}

static int print_all(const struct loam_accounts *accounts, bool json, struct loam_err *err)
{
	size_t count = HASH_CNT(by_name, accounts->by_name), at = 0;
	loam_auto_free const struct loam_account **rows = loam_xcalloc(count, sizeof(*rows));
	for (const struct loam_account *row = accounts->by_name; row; row = row->by_name.next)
		rows[at++] = row;
	qsort(rows, count, sizeof(*rows), compare_accounts);
	loam_auto_json json_t *array = json_array();
	for (size_t i = 0; i < count; i++) {
		if (json)
			json_array_append_new(array, account_json(rows[i]));
		else
			print_account(rows[i]);
	}
	return json ? loam_json_show(array, err) : 0;
}

static int print_one(const struct loam_accounts *accounts, const char *name, bool json,
		     struct loam_err *err)
{
	const struct loam_account *account = loam_accounts_by_name(accounts, name);
	if (!account)
		return loam_fail(err, LOAM_E_NOT_FOUND, "no user '%s'", name);
	if (!json) {
		print_account(account);
		return 0;
	}
	loam_auto_json json_t *object = account_json(account);
	return loam_json_show(object, err);
}

static int run_show(const void *options, int argc, char **argv)
{
	const struct user_opts *opts = options;
	struct loam_err err = { 0 };
	loam_auto_instance struct loam_instance *instance = NULL;
	const struct loam_accounts *accounts = NULL;
	if (open_instance(opts, &instance, &err) < 0 ||
	    loam_account_store_get(loam_auth_accounts(instance->auth), true, &accounts, &err) < 0)
		return loam_cmd_failed(&err);
	int rc = argc == 1 ? print_one(accounts, argv[0], opts->json, &err)
			   : print_all(accounts, opts->json, &err);
	loam_account_store_put(loam_auth_accounts(instance->auth), accounts);
	return rc < 0 ? loam_cmd_failed(&err) : 0;
}

const struct loam_cmd loam_cmd_user_show = {
	.name = "user show",
	.usage = "[options] NAME",
	.summary = "print one account",
	.options = (const struct loam_opt[]){ META_OPT, JSON_OPT, LOAM_OPT_END },
	.options_bytes = sizeof(struct user_opts),
	.args_min = 1,
	.args_max = 1,
	.run = run_show,
};

const struct loam_cmd loam_cmd_user_list = {
	.name = "user list",
	.usage = "[options]",
	.summary = "print all accounts",
	.options = (const struct loam_opt[]){ META_OPT, JSON_OPT, LOAM_OPT_END },
	.options_bytes = sizeof(struct user_opts),
	.run = run_show,
};

/* ---- user disable, enable, del --------------------------------------------------------------- */

static int set_disabled(const struct user_opts *opts, const char *name, bool disabled)
{
	struct loam_err err = { 0 };
	loam_auto_instance struct loam_instance *instance = NULL;
	if (open_instance(opts, &instance, &err) < 0 ||
	    loam_account_store_set_disabled(loam_auth_accounts(instance->auth), name, disabled,
					    &err) < 0)
		return loam_cmd_failed(&err);
	return 0;
}

static int run_disable(const void *options, int argc, char **argv)
{
	return set_disabled(options, argv[0], true);
}

static int run_enable(const void *options, int argc, char **argv)
{
	return set_disabled(options, argv[0], false);
}

static int run_del(const void *options, int argc, char **argv)
{
	struct loam_err err = { 0 };
	loam_auto_instance struct loam_instance *instance = NULL;
	if (open_instance(options, &instance, &err) < 0 ||
	    loam_account_store_remove_user(loam_auth_accounts(instance->auth), argv[0], &err) < 0)
		return loam_cmd_failed(&err);
	return 0;
}

#define NAME_COMMAND(symbol, words, text, function)                             \
	const struct loam_cmd symbol = {                                        \
		.name = words,                                                  \
		.usage = "[options] NAME",                                      \
		.summary = text,                                                \
		.options = (const struct loam_opt[]){ META_OPT, LOAM_OPT_END }, \
		.options_bytes = sizeof(struct user_opts),                      \
		.args_min = 1,                                                  \
		.args_max = 1,                                                  \
		.run = function,                                                \
	}

NAME_COMMAND(loam_cmd_user_disable, "user disable", "refuse an account at every network door",
	     run_disable);
NAME_COMMAND(loam_cmd_user_enable, "user enable", "let a disabled account in again", run_enable);
NAME_COMMAND(loam_cmd_user_del, "user del",
	     "remove an account; its home is set aside, its number is never given again", run_del);

/* ---- user password --------------------------------------------------------------------------- */

/* From a terminal without echo, asked twice, or one line of stdin. */
static int read_line(FILE *from, char *out, size_t out_bytes, struct loam_err *err)
{
	if (!fgets(out, (int)out_bytes, from))
		return loam_fail(err, LOAM_E_INVALID, "no password was given");
	size_t bytes = strlen(out);
	if (bytes > 0 && out[bytes - 1] == '\n')
		out[bytes - 1] = '\0';
	return 0;
}

static int ask(const char *prompt, char *out, size_t out_bytes, struct loam_err *err)
{
	struct termios shown, hidden;
	bool terminal = tcgetattr(STDIN_FILENO, &shown) == 0;
	if (terminal) {
		fprintf(stderr, "%s", prompt);
		hidden = shown;
		hidden.c_lflag &= ~(tcflag_t)ECHO;
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden);
	}
	int rc = read_line(stdin, out, out_bytes, err);
	if (terminal) {
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &shown);
		fprintf(stderr, "\n");
	}
	return rc;
}

static int read_password(char *out, size_t out_bytes, struct loam_err *err)
{
	int rc = ask("New password: ", out, out_bytes, err);
	if (rc < 0 || !isatty(STDIN_FILENO))
		return rc;
	char again[LOAM_PASSWORD_BYTES_MAX + 2];
	rc = ask("Again: ", again, sizeof(again), err);
	if (rc == 0 && strcmp(again, out) != 0)
		rc = loam_fail(err, LOAM_E_INVALID, "the two differ");
	explicit_bzero(again, sizeof(again));
	return rc;
}

static int run_password(const void *options, int argc, char **argv)
{
	struct loam_err err = { 0 };
	char password[LOAM_PASSWORD_BYTES_MAX + 2];
	loam_auto_instance struct loam_instance *instance = NULL;
	int rc = read_password(password, sizeof(password), &err);
	if (rc == 0)
		rc = open_instance(options, &instance, &err);
	if (rc == 0)
		rc = loam_account_store_set_password(loam_auth_accounts(instance->auth), argv[0],
						     password, &err);
	explicit_bzero(password, sizeof(password));
	return rc < 0 ? loam_cmd_failed(&err) : 0;
}

NAME_COMMAND(loam_cmd_user_password, "user password",
	     "set a password, from the terminal or the first line of stdin", run_password);

/* ---- user token ------------------------------------------------------------------------------ */

static int fill_token(const struct user_opts *opts, const char *user, struct loam_token *token,
		      struct loam_err *err)
{
	snprintf(token->user, sizeof(token->user), "%s", user);
	snprintf(token->label, sizeof(token->label), "%s", opts->label ? opts->label : "");
	token->created = loam_clock_now().tv_sec;
	token->expires = opts->days ? token->created + (int64_t)opts->days * 86400 : 0;
	token->scope = LOAM_SCOPE_READ;
	if (strcmp(opts->scope, "write") == 0)
		token->scope |= LOAM_SCOPE_WRITE;
	else if (strcmp(opts->scope, "read") != 0)
		return loam_fail(err, LOAM_E_INVALID, "--scope is read or write");
	if (!opts->repo)
		return 0;
	struct loam_repo repo;
	int rc = loam_repo_parse(opts->repo, &repo, err);
	if (rc == 0)
		loam_repo_text(&repo, token->repo);
	return rc;
}

static int make_token(struct loam_instance *instance, const struct user_opts *opts,
		      const char *user, struct loam_err *err)
{
	struct loam_token token = { 0 };
	char text[LOAM_TOKEN_TEXT_BYTES];
	uint32_t uid;
	loam_token_make(text, &token);
	int rc = loam_instance_uid(instance, user, &uid, err);
	if (rc == 0)
		rc = fill_token(opts, user, &token, err);
	if (rc == 0)
		rc = loam_account_store_add_token(loam_auth_accounts(instance->auth), &token, err);
	if (rc == 0) {
		fprintf(stderr, "loam: token %s of %s, shown this once:\n", token.id, user);
		printf("%s\n", text);
	}
	explicit_bzero(text, sizeof(text));
	return rc;
}

static int list_tokens(struct loam_instance *instance, const struct user_opts *opts,
		       const char *user, struct loam_err *err)
{
	struct loam_account_store *store = loam_auth_accounts(instance->auth);
	const struct loam_accounts *accounts = NULL;
	int rc = loam_account_store_get(store, true, &accounts, err);
	if (rc < 0)
		return rc;
	loam_auto_json json_t *array = json_array();
	struct loam_token_row *row, *next;
	HASH_ITER (by_hash, accounts->tokens, row, next) {
		const struct loam_token *token = &row->token;
		if (strcmp(token->user, user) != 0)
			continue;
		const char *scope = token->scope & LOAM_SCOPE_WRITE ? "write" : "read";
		char until[LOAM_CLOCK_TEXT_BYTES] = "never";
		if (token->expires != 0)
			loam_clock_format(token->expires, until);
		if (!opts->json)
			printf("%s  %-5s  expires %-20s  %s %s\n", token->id, scope, until,
			       token->repo, token->label);
		json_array_append_new(array, json_pack("{s:s, s:s, s:I, s:I, s:s, s:s}", "id",
						       token->id, "scope", scope, "created",
						       (json_int_t)token->created, "expires",
						       (json_int_t)token->expires, "repo",
						       token->repo, "label", token->label));
	}
	loam_account_store_put(store, accounts);
	return opts->json ? loam_json_show(array, err) : 0;
}

static void init_token(void *options)
{
	struct user_opts *opts = options;
	opts->scope = "write";
	opts->days = 90;
}

static int run_token(const void *options, int argc, char **argv)
{
	const struct user_opts *opts = options;
	struct loam_err err = { 0 };
	loam_auto_instance struct loam_instance *instance = NULL;
	int rc = open_instance(opts, &instance, &err);
	if (rc == 0 && opts->list)
		rc = list_tokens(instance, opts, argv[0], &err);
	else if (rc == 0 && opts->revoke)
		rc = loam_account_store_remove_token(loam_auth_accounts(instance->auth), argv[0],
						     opts->revoke, &err);
	else if (rc == 0)
		rc = make_token(instance, opts, argv[0], &err);
	return rc < 0 ? loam_cmd_failed(&err) : 0;
}

const struct loam_cmd loam_cmd_user_token = {
	.name = "user token",
	.usage = "[options] NAME",
	.summary = "print a new token, list tokens, or revoke one",
	.options =
		(const struct loam_opt[]){
			META_OPT,
			LOAM_OPT(struct user_opts, scope, "scope", 0, LOAM_OPT_TEXT, "read|write",
				 "what the new token may do (write)"),
			LOAM_OPT(struct user_opts, days, "days", 0, LOAM_OPT_NUMBER, "N",
				 "life of the new token; 0: no end (90)", .min = 0, .max = 36500),
			LOAM_OPT(struct user_opts, repo, "repo", 0, LOAM_OPT_TEXT, "REPO",
				 "only this repository"),
			LOAM_OPT(struct user_opts, label, "label", 0, LOAM_OPT_TEXT, "TEXT",
				 "shown in the list"),
			LOAM_OPT(struct user_opts, list, "list", 0, LOAM_OPT_FLAG, NULL,
				 "list the tokens of NAME"),
			LOAM_OPT(struct user_opts, revoke, "revoke", 0, LOAM_OPT_TEXT, "ID",
				 "revoke this token"),
			JSON_OPT, LOAM_OPT_END },
	.options_bytes = sizeof(struct user_opts),
	.args_min = 1,
	.args_max = 1,
	.init = init_token,
	.run = run_token,
};
