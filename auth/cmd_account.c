/*
 * loam user show, loam user token: what users do with their own accounts, and the administrator
 * with all of them.
 */
#include "auth/ask.h"
#include "auth/commands.h"
#include "core/clock.h"

#include <string.h>

#define DAYS_NOT_GIVEN UINT64_MAX

struct account_opts {
	struct loam_ask_options ask;
	bool json, list;
	const char *scope, *repo, *label, *revoke;
	uint64_t days;
};

#define JSON_OPT LOAM_OPT(struct account_opts, json, "json", 0, LOAM_OPT_FLAG, NULL, "print JSON")
#define TOKEN_HELP                                                                                 \
	"With the token of `loam login` (scope admin) others are made that may no more and live\n" \
	"no longer; those make none. --revoke ID also ends the tokens and keys that were made\n"   \
	"with ID; a token that ends itself (loam logout) leaves them.\n\n"
#define WHOSE_HELP "\n\nUSER may be left out when a server is asked: then it is you."

/* The user that is meant: named, or who asks. NULL: the administrator has to say it. */
static const char *user_of(const struct loam_ask *ask, int argc, char **argv)
{
	return argc > 0 ? argv[0] : loam_ask_user(ask);
}

static int64_t number(const json_t *object, const char *name)
{
	return json_integer_value(json_object_get(object, name));
}

static const char *text(const json_t *object, const char *name)
{
	const char *value = json_string_value(json_object_get(object, name));
	return value ? value : "";
}

/* ---- user show ------------------------------------------------------------------------------- */

void loam_print_account(const json_t *account)
{
	fprintf(loam_cmd_out(), "%-24s uid %-6lld gid %-6lld %s%s\n", text(account, "name"),
		(long long)number(account, "uid"), (long long)number(account, "gid"),
		text(account, "home"),
		json_is_true(json_object_get(account, "disabled")) ? "  disabled" : "");
}

static int run_show(const void *options, int argc, char **argv)
{
	const struct account_opts *opts = options;
	struct loam_err err = { 0 };
	loam_auto_ask struct loam_ask *ask = NULL;
	loam_auto_json json_t *answer = NULL;
	if (loam_ask_open(&opts->ask, &ask, &err) < 0)
		return loam_cmd_failed(&err);
	const struct loam_op_word words[] = { { "user", user_of(ask, argc, argv) },
					      { NULL, NULL } };
	if (!words[0].value)
		return loam_cmd_misused("an argument is missing");
	int rc = loam_ask_op(ask, &loam_op_user_show, words, NULL, &answer, &err);
	if (rc == 0 && opts->json)
		rc = loam_json_show(answer, &err);
	else if (rc == 0)
		loam_print_account(answer);
	return rc < 0 ? loam_cmd_failed(&err) : 0;
}

const struct loam_cmd loam_cmd_user_show = {
	.name = "user show",
	.usage = "[options] [USER]",
	.summary = "print one account",
	.details = LOAM_ASK_HELP WHOSE_HELP,
	.options = (const struct loam_opt[]){ LOAM_ASK_OPTS(struct account_opts), JSON_OPT,
					      LOAM_OPT_END },
	.options_bytes = sizeof(struct account_opts),
	.args_max = 1,
	.run = run_show,
};

/* ---- user token ------------------------------------------------------------------------------ */

static json_t *token_body(const struct account_opts *opts)
{
	json_t *body = json_object();
	json_object_set_new(body, "scope", json_string(opts->scope));
	if (opts->days != DAYS_NOT_GIVEN)
		json_object_set_new(body, "days", json_integer((json_int_t)opts->days));
	if (opts->repo)
		json_object_set_new(body, "repo", json_string(opts->repo));
	if (opts->label)
		json_object_set_new(body, "label", json_string(opts->label));
	return body;
}

static int make_token(struct loam_ask *ask, const struct account_opts *opts,
		      const struct loam_op_word *words, struct loam_err *err)
{
	loam_auto_json json_t *body = token_body(opts);
	loam_auto_json json_t *answer = NULL;
	int rc = loam_ask_op(ask, &loam_op_token_create, words, body, &answer, err);
	if (rc < 0)
		return rc;
	fprintf(loam_cmd_err(), "loam: token %s of %s, shown this once:\n", text(answer, "id"),
		words[0].value);
	fprintf(loam_cmd_out(), "%s\n", text(answer, "token"));
	return 0;
}

static void print_token(const json_t *token)
{
	char until[LOAM_CLOCK_TEXT_BYTES] = "never";
	if (number(token, "expires") != 0)
		loam_clock_format((time_t)number(token, "expires"), until);
	char used[LOAM_CLOCK_TEXT_BYTES] = "-";
	if (number(token, "used") != 0)
		loam_clock_format((time_t)number(token, "used"), used);
	const char *maker = text(token, "maker");
	fprintf(loam_cmd_out(), "%s  %-5s  expires %-20s  used %-20s  %s %s%s%s\n",
		text(token, "id"), text(token, "scope"), until, used, text(token, "repo"),
		text(token, "label"), maker[0] ? "  made with " : "", maker);
}

static int list_tokens(struct loam_ask *ask, bool json, const struct loam_op_word *words,
		       struct loam_err *err)
{
	loam_auto_json json_t *answer = NULL;
	int rc = loam_ask_op(ask, &loam_op_token_list, words, NULL, &answer, err);
	if (rc < 0 || json)
		return rc < 0 ? rc : loam_json_show(answer, err);
	size_t index;
	json_t *token;
	json_array_foreach (answer, index, token) {
		print_token(token);
	}
	return 0;
}

static void init_token(void *options)
{
	struct account_opts *opts = options;
	opts->scope = "write";
	opts->days = DAYS_NOT_GIVEN;
}

static int run_token(const void *options, int argc, char **argv)
{
	const struct account_opts *opts = options;
	struct loam_err err = { 0 };
	loam_auto_ask struct loam_ask *ask = NULL;
	loam_auto_json json_t *answer = NULL;
	if (loam_ask_open(&opts->ask, &ask, &err) < 0)
		return loam_cmd_failed(&err);
	const struct loam_op_word words[] = { { "user", user_of(ask, argc, argv) },
					      { "id", opts->revoke },
					      { NULL, NULL } };
	if (!words[0].value)
		return loam_cmd_misused("an argument is missing");
	int rc;
	if (opts->list)
		rc = list_tokens(ask, opts->json, words, &err);
	else if (opts->revoke)
		rc = loam_ask_op(ask, &loam_op_token_revoke, words, NULL, &answer, &err);
	else
		rc = make_token(ask, opts, words, &err);
	return rc < 0 ? loam_cmd_failed(&err) : 0;
}

const struct loam_cmd loam_cmd_user_token = {
	.name = "user token",
	.usage = "[options] [USER]",
	.summary = "print a new token, list tokens, or revoke one",
	.details = TOKEN_HELP LOAM_ASK_HELP WHOSE_HELP,
	.options =
		(const struct loam_opt[]){
			LOAM_ASK_OPTS(struct account_opts),
			LOAM_OPT(struct account_opts, scope, "scope", 0, LOAM_OPT_TEXT,
				 "read|write|admin", "what the new token may do (write)"),
			LOAM_OPT(struct account_opts, days, "days", 0, LOAM_OPT_NUMBER, "N",
				 "life of the new token; 0: no end (90)", .min = 0, .max = 36500),
			LOAM_OPT(struct account_opts, repo, "repo", 0, LOAM_OPT_TEXT, "REPO",
				 "only this repository"),
			LOAM_OPT(struct account_opts, label, "label", 0, LOAM_OPT_TEXT, "TEXT",
				 "shown in the list"),
			LOAM_OPT(struct account_opts, list, "list", 0, LOAM_OPT_FLAG, NULL,
				 "list the tokens of USER"),
			LOAM_OPT(struct account_opts, revoke, "revoke", 0, LOAM_OPT_TEXT, "ID",
				 "revoke this token"),
			JSON_OPT, LOAM_OPT_END },
	.options_bytes = sizeof(struct account_opts),
	.args_max = 1,
	.init = init_token,
	.run = run_token,
};
