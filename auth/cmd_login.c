/*
 * loam login, logout, whoami, and the credential helper of git that goes with them.
 *
 * A login is a token of its own, made with the password that is typed, or one that was given. The
 * secret travels in the request alone: never in argv, never in the environment.
 */
#include "auth/ask.h"
#include "auth/commands.h"
#include "auth/logins.h"
#include "core/terminal.h"

#include <pwd.h>
#include <string.h>

#define LABEL_BYTES	 63
#define DAYS_NOT_GIVEN	 UINT64_MAX
#define CREDENTIAL_BYTES 4096

struct login_opts {
	struct loam_ask_options ask;
	const char *user, *scope;
	uint64_t days;
	bool plain, json;
};

/* ---- login ----------------------------------------------------------------------------------- */

/* Runs a request and takes its JSON; the server's own message when it refuses. */
static int fetch_json(const struct loam_fetch *fetch, json_t **out_answer, struct loam_err *err)
{
	struct loam_fetched fetched;
	int rc = loam_fetch_run(fetch, &fetched, err);
	if (rc < 0)
		return rc;
	loam_auto_json json_t *answer = NULL;
	rc = loam_json_parse(fetched.body.data, fetched.body.bytes, &answer, err);
	if (rc == 0 && (fetched.status == 200 || fetched.status == 201)) {
		*out_answer = loam_steal(&answer);
	} else {
		const char *message = json_string_value(json_object_get(answer, "message"));
		loam_err_clear(err);
		rc = message ? loam_fail(err, LOAM_E_DENIED, "%s", message)
			     : loam_fail(err, LOAM_E_INVALID,
					 "no Loam server answers there (status %d)",
					 fetched.status);
	}
	if (fetched.body.data)
		explicit_bzero(fetched.body.data, fetched.body.bytes);
	loam_fetched_release(&fetched);
	return rc;
}

static int copy_answer(const json_t *answer, const char *name, char *out, size_t out_bytes,
		       struct loam_err *err)
{
	const char *value = json_string_value(json_object_get(answer, name));
	if (!value || strlen(value) >= out_bytes)
		return loam_fail(err, LOAM_E_INVALID, "the server's answer has no '%s'", name);
	memcpy(out, value, strlen(value) + 1);
	return 0;
}

/* With a password: a new token for this machine. */
static int make_token(struct loam_login *login, const struct login_opts *opts, const char *password,
		      struct loam_err *err)
{
	if (login->user[0] == '\0')
		return loam_fail(err, LOAM_E_INVALID, "whose password is it? say --user NAME");
	char host[LABEL_BYTES - 16] = "";
	gethostname(host, sizeof(host) - 1);
	for (char *at = host; *at; at++)
		if (*at < '-' || *at > 'z' || *at == ':')
			*at = '-';
	loam_auto_free char *user = loam_fetch_segment(login->user);
	loam_auto_free char *label = loam_xasprintf("loam login, %s", host);
	loam_auto_free char *url =
		loam_xasprintf("%s" LOAM_API_PREFIX "/users/%s/tokens", login->server, user);
	loam_auto_json json_t *body = json_pack("{s:s, s:s}", "scope", opts->scope, "label", label);
	if (opts->days != DAYS_NOT_GIVEN)
		json_object_set_new(body, "days", json_integer((json_int_t)opts->days));
	loam_auto_buf struct loam_buf text = LOAM_BUF(CREDENTIAL_BYTES);
	loam_auto_json json_t *answer = NULL;
	int rc = body ? loam_json_print(body, &text, err)
		      : loam_fail(err, LOAM_E_INVALID, "'%s' is no scope", opts->scope);
	if (rc < 0)
		return rc;
	const struct loam_fetch fetch = { .method = "POST",
					  .url = url,
					  .user = login->user,
					  .password = password,
					  .body = text.data,
					  .body_bytes = text.bytes };
	rc = fetch_json(&fetch, &answer, err);
	if (rc == 0)
		rc = copy_answer(answer, "token", login->token, sizeof(login->token), err);
	if (rc == 0)
		rc = copy_answer(answer, "id", login->token_id, sizeof(login->token_id), err);
	return rc;
}

/* With a token: whose is it? */
static int take_token(struct loam_login *login, const char *token, struct loam_err *err)
{
	loam_auto_free char *url = loam_xasprintf("%s" LOAM_API_PREFIX "/user", login->server);
	loam_auto_json json_t *answer = NULL;
	const struct loam_fetch fetch = { .method = "GET", .url = url, .token = token };
	int rc = fetch_json(&fetch, &answer, err);
	if (rc == 0)
		rc = copy_answer(answer, "name", login->user, sizeof(login->user), err);
	if (rc == 0) /* plausible: its length is known */
		memcpy(login->token, token, strlen(token) + 1);
	return rc;
}

/* --user, else the name that this user has on this machine: on a node they are the same. */
static int choose_user(const char *option, struct loam_login *login, struct loam_err *err)
{
	struct passwd entry, *found = NULL;
	char buffer[16384];
	const char *name = option;
	login->user[0] = '\0';
	if (!name && getpwuid_r(geteuid(), &entry, buffer, sizeof(buffer), &found) == 0 && found)
		name = found->pw_name;
	if (!name) /* a token says it */
		return 0;
	if (strlen(name) >= sizeof(login->user))
		return loam_fail(err, LOAM_E_INVALID, "'%.40s' is no user's name", name);
	snprintf(login->user, sizeof(login->user), "%s", name);
	return 0;
}

static int log_in(const struct login_opts *opts, const char *url, struct loam_login *login,
		  struct loam_err *err)
{
	char secret[LOAM_PASSWORD_BYTES_MAX + 2];
	char prompt[LOAM_FETCH_URL_BYTES + 128];
	int rc = loam_fetch_server(url, login->server, err);
	if (rc == 0)
		rc = choose_user(opts->user, login, err);
	if (rc < 0)
		return rc;
	login->plain = opts->plain;
	if (!opts->plain && !loam_fetch_is_private(login->server))
		return loam_fail(err, LOAM_E_DENIED,
				 "%s is plain HTTP to another host, where others may read your "
				 "password: use https, or accept it with --plain-http",
				 login->server);
	snprintf(prompt, sizeof(prompt),
		 "Password or token%s%s at %s: ", login->user[0] ? " of " : "", login->user,
		 login->server);
	rc = loam_terminal_secret(prompt, "password or token", secret, sizeof(secret), err);
	if (rc == 0)
		rc = loam_token_is_plausible(secret) ? take_token(login, secret, err)
						     : make_token(login, opts, secret, err);
	explicit_bzero(secret, sizeof(secret));
	return rc;
}

static void init_login(void *options)
{
	struct login_opts *opts = options;
	opts->scope = "admin";
	opts->days = DAYS_NOT_GIVEN;
}

static int run_login(const void *options, int argc, char **argv)
{
	struct loam_err err = { 0 };
	struct loam_login login = { 0 };
	int rc = log_in(options, argv[0], &login, &err);
	if (rc == 0)
		rc = loam_logins_put(&login, &err);
	explicit_bzero(login.token, sizeof(login.token));
	if (rc < 0)
		return loam_cmd_failed(&err);
	fprintf(stderr,
		"loam: %s is logged in at %s\n"
		"loam: so that git asks for no password there:\n"
		"    git config --global credential.%s.helper '!loam credential'\n",
		login.user, login.server, login.server);
	return 0;
}

const struct loam_cmd loam_cmd_login = {
	.name = "login",
	.usage = "[options] URL",
	.summary = "log in at a server, so that loam's verbs go there in your name",
	.details = "Asks for a password or a token on the terminal, or takes the first line of\n"
		   "stdin. With a password a new token is made for this machine. It is kept in\n"
		   "~/.config/loam (XDG_CONFIG_HOME), for you alone; `loam logout` revokes it.\n"
		   "`loam login` does not make a token that was given any stronger.",
	.options =
		(const struct loam_opt[]){
			LOAM_OPT(struct login_opts, user, "user", 'u', LOAM_OPT_TEXT, "NAME",
				 "the account (default: your name on this machine)"),
			LOAM_OPT(struct login_opts, scope, "scope", 0, LOAM_OPT_TEXT,
				 "read|write|admin", "what the new token may do (admin)"),
			LOAM_OPT(struct login_opts, days, "days", 0, LOAM_OPT_NUMBER, "N",
				 "life of the new token; 0: no end (90)", .min = 0, .max = 36500),
			LOAM_OPT(struct login_opts, plain, "plain-http", 0, LOAM_OPT_FLAG, NULL,
				 "send secrets to another host without TLS"),
			LOAM_OPT_END },
	.options_bytes = sizeof(struct login_opts),
	.args_min = 1,
	.args_max = 1,
	.init = init_login,
	.run = run_login,
};

/* ---- logout ---------------------------------------------------------------------------------- */

/* A token that `loam login` made ends with the login. One that is gone already is no matter. */
static int revoke_token(const struct loam_login *login, struct loam_err *err)
{
	loam_auto_ask struct loam_ask *ask = NULL;
	loam_auto_json json_t *answer = NULL;
	const struct loam_ask_options options = { .server = login->server };
	const struct loam_op_word words[] = { { "user", login->user },
					      { "id", login->token_id },
					      { NULL, NULL } };
	if (login->token_id[0] == '\0')
		return 0;
	int rc = loam_ask_open(&options, &ask, err);
	if (rc == 0)
		rc = loam_ask_op(ask, &loam_op_token_revoke, words, NULL, &answer, err);
	if (rc == -LOAM_E_UNAUTHENTICATED || rc == -LOAM_E_NOT_FOUND) {
		loam_err_clear(err);
		return 0;
	}
	return rc;
}

static int run_logout(const void *options, int argc, char **argv)
{
	struct loam_err err = { 0 };
	struct loam_login login = { 0 };
	char server[LOAM_FETCH_URL_BYTES];
	if (argc == 1 && loam_fetch_server(argv[0], server, &err) < 0)
		return loam_cmd_failed(&err);
	int found = loam_logins_find(argc == 1 ? server : NULL, &login, &err);
	if (found == 0)
		loam_fail(&err, LOAM_E_NOT_FOUND, "nobody is logged in%s%s", argc ? " at " : "",
			  argc ? server : "");
	if (found <= 0)
		return loam_cmd_failed(&err);
	int revoked = revoke_token(&login, &err);
	if (revoked < 0)
		loam_context(&err, "the login is forgotten here, but its token %s still lives",
			     login.token_id);
	struct loam_err drop = { 0 };
	int dropped = loam_logins_drop(login.server, login.token, &drop);
	explicit_bzero(login.token, sizeof(login.token));
	if (dropped < 0)
		return loam_cmd_failed(&drop);
	if (revoked < 0)
		return loam_cmd_failed(&err);
	fprintf(stderr, "loam: %s is logged out at %s%s\n", login.user, login.server,
		login.token_id[0] ? "" : "; the token was not made here and stays valid");
	return 0;
}

const struct loam_cmd loam_cmd_logout = {
	.name = "logout",
	.usage = "[options] [URL]",
	.summary = "forget a login and revoke its token (default: the last one)",
	.options = (const struct loam_opt[]){ LOAM_OPT_END },
	.options_bytes = sizeof(struct login_opts),
	.args_max = 1,
	.run = run_logout,
};

/* ---- whoami ---------------------------------------------------------------------------------- */

static int run_whoami(const void *options, int argc, char **argv)
{
	const struct login_opts *opts = options;
	struct loam_err err = { 0 };
	loam_auto_ask struct loam_ask *ask = NULL;
	loam_auto_json json_t *answer = NULL;
	int rc = loam_ask_open(&opts->ask, &ask, &err);
	if (rc == 0)
		rc = loam_ask_op(ask, &loam_op_user_self, NULL, NULL, &answer, &err);
	if (rc == 0 && opts->json)
		rc = loam_json_show(answer, &err);
	else if (rc == 0)
		fprintf(loam_cmd_out(), "%s\n", json_string_value(json_object_get(answer, "name")));
	return rc < 0 ? loam_cmd_failed(&err) : 0;
}

const struct loam_cmd loam_cmd_whoami = {
	.name = "whoami",
	.usage = "[options]",
	.summary = "print the account in whose name loam's verbs go to a server",
	.details = LOAM_ASK_HELP,
	.options = (const struct loam_opt[]){ LOAM_ASK_OPTS(struct login_opts),
					      LOAM_OPT(struct login_opts, json, "json", 0,
						       LOAM_OPT_FLAG, NULL, "print JSON"),
					      LOAM_OPT_END },
	.options_bytes = sizeof(struct login_opts),
	.run = run_whoami,
};

/* ---- credential ------------------------------------------------------------------------------ */

struct credential {
	char protocol[16], host[512], password[LOAM_PASSWORD_BYTES_MAX];
};

static void take_line(struct credential *credential, const char *line)
{
	const struct {
		const char *name;
		char *out;
		size_t bytes;
	} fields[] = {
		{ "protocol=", credential->protocol, sizeof(credential->protocol) },
		{ "host=", credential->host, sizeof(credential->host) },
		{ "password=", credential->password, sizeof(credential->password) },
	};
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(fields); i++) {
		size_t name_bytes = strlen(fields[i].name);
		if (strncmp(line, fields[i].name, name_bytes) == 0 &&
		    strlen(line + name_bytes) < fields[i].bytes)
			snprintf(fields[i].out, fields[i].bytes, "%s", line + name_bytes);
	}
}

/* What git says on stdin: lines NAME=VALUE up to an empty one. */
static void read_credential(struct credential *out)
{
	char line[CREDENTIAL_BYTES];
	while (fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = '\0';
		if (line[0] == '\0')
			break;
		take_line(out, line);
	}
	explicit_bzero(line, sizeof(line));
}

static int answer_credential(const char *verb, const struct credential *credential,
			     const char *server, struct loam_err *err)
{
	struct loam_login login = { 0 };
	if (strcmp(verb, "erase") == 0)
		return credential->password[0] ? loam_logins_drop(server, credential->password, err)
					       : 0;
	if (strcmp(verb, "get") != 0) /* store: `loam login` has done that */
		return 0;
	int found = loam_logins_find(server, &login, err);
	if (found == 1)
		printf("username=%s\npassword=%s\n", login.user, login.token);
	explicit_bzero(&login, sizeof(login));
	return found;
}

/* A server that is not ours, or a word that git adds later, is answered with nothing. */
static int run_credential(const void *options, int argc, char **argv)
{
	struct loam_err err = { 0 };
	struct credential credential = { "", "", "" };
	char server[LOAM_FETCH_URL_BYTES];
	read_credential(&credential);
	loam_auto_free char *url = loam_xasprintf("%s://%s", credential.protocol, credential.host);
	int rc = 0;
	if (loam_fetch_server(url, server, &err) < 0)
		loam_err_clear(&err);
	else
		rc = answer_credential(argv[0], &credential, server, &err);
	explicit_bzero(&credential, sizeof(credential));
	return rc < 0 ? loam_cmd_failed(&err) : 0;
}

const struct loam_cmd loam_cmd_credential = {
	.name = "credential",
	.usage = "get|store|erase",
	.summary = "git's credential helper: answers with the token of loam login",
	.details = "Set it for one server, as `loam login` prints it:\n"
		   "git config --global credential.URL.helper '!loam credential'",
	.options = (const struct loam_opt[]){ LOAM_OPT_END },
	.options_bytes = sizeof(struct login_opts),
	.args_min = 1,
	.args_max = 1,
	.run = run_credential,
};
