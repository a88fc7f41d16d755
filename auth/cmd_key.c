/*
 * loam user key …, loam repo key …: SSH keys, those of an account and those of one repository.
 */
#include "auth/ask.h"
#include "auth/commands.h"
#include "auth/key_file.h"
#include "core/clock.h"

struct key_opts {
	struct loam_ask_options ask;
	const char *label;
	bool write, json;
};

#define ASK_OPTS LOAM_ASK_OPTS(struct key_opts)
#define JSON_OPT LOAM_OPT(struct key_opts, json, "json", 0, LOAM_OPT_FLAG, NULL, "print JSON")
#define LABEL_OPT                                                           \
	LOAM_OPT(struct key_opts, label, "label", 0, LOAM_OPT_TEXT, "TEXT", \
		 "shown in the list (a key's own comment is not kept)")

static const char *text(const json_t *object, const char *name)
{
	const char *value = json_string_value(json_object_get(object, name));
	return value ? value : "";
}

/* One operation on the keys of a holder: word is "user" or "repo". id may be NULL. */
static int ask_keys(const struct key_opts *opts, const struct loam_op *op, const char *word,
		    const char *holder, const char *id, const json_t *body, json_t **out_answer,
		    struct loam_err *err)
{
	loam_auto_ask struct loam_ask *ask = NULL;
	const struct loam_op_word words[] = { { word, holder }, { "id", id }, { NULL, NULL } };
	int rc = loam_ask_open(&opts->ask, &ask, err);
	return rc < 0 ? rc : loam_ask_op(ask, op, words, body, out_answer, err);
}

/* ---- add ------------------------------------------------------------------------------------- */

static int add(const struct key_opts *opts, const struct loam_op *op, const char *word, char **argv)
{
	struct loam_err err = { 0 };
	struct loam_ssh_key key;
	loam_auto_json json_t *answer = NULL;
	if (loam_key_file_read(argv[1], &key, &err) < 0)
		return loam_cmd_failed(&err);
	loam_auto_free char *line = loam_xasprintf("%s %s", key.type, key.base64);
	loam_auto_json json_t *body = json_pack("{s:s}", "key", line);
	if (opts->label)
		json_object_set_new(body, "label", json_string(opts->label));
	if (opts->write)
		json_object_set_new(body, "write", json_true());
	if (ask_keys(opts, op, word, argv[0], NULL, body, &answer, &err) < 0)
		return loam_cmd_failed(&err);
	fprintf(loam_cmd_out(), "%s\n", text(answer, "id"));
	return 0;
}

static int run_user_add(const void *options, int argc, char **argv)
{
	return add(options, &loam_op_key_add, "user", argv);
}

const struct loam_cmd loam_cmd_user_key_add = {
	.name = "user key add",
	.usage = "[options] NAME FILE|-",
	.summary = "let an account in by an SSH key; prints the key's id",
	.details =
		"FILE is a public key as ssh-keygen makes it: ~/.ssh/id_ed25519.pub; '-' reads it\n"
		"from stdin. A key belongs to one account, or to one repository.\n\n" LOAM_ASK_HELP,
	.options = (const struct loam_opt[]){ ASK_OPTS, LABEL_OPT, LOAM_OPT_END },
	.options_bytes = sizeof(struct key_opts),
	.args_min = 2,
	.args_max = 2,
	.run = run_user_add,
};

static int run_repo_add(const void *options, int argc, char **argv)
{
	return add(options, &loam_op_deploy_key_add, "repo", argv);
}

const struct loam_cmd loam_cmd_repo_key_add = {
	.name = "repo key add",
	.usage = "[options] REPO FILE|-",
	.summary = "give a repository a deploy key, to read it over SSH; prints the key's id",
	.details = "A deploy key is nobody's: it opens this one repository and nothing "
		   "else.\n\n" LOAM_ASK_HELP,
	.options = (const struct loam_opt[]){ ASK_OPTS,
					      LOAM_OPT(struct key_opts, write, "write", 0,
						       LOAM_OPT_FLAG, NULL, "and to push to it"),
					      LABEL_OPT, LOAM_OPT_END },
	.options_bytes = sizeof(struct key_opts),
	.args_min = 2,
	.args_max = 2,
	.run = run_repo_add,
};

/* ---- list ------------------------------------------------------------------------------------ */

static void print_key(const json_t *key)
{
	char since[LOAM_CLOCK_TEXT_BYTES];
	const char *scope = text(key, "scope");
	loam_clock_format((time_t)json_integer_value(json_object_get(key, "created")), since);
	const char *maker = text(key, "maker");
	fprintf(loam_cmd_out(), "%s  %-19s %s  %s  %s%s%s%s%s\n", text(key, "id"),
		text(key, "type"), text(key, "fingerprint"), since, scope, scope[0] ? "  " : "",
		text(key, "label"), maker[0] ? "  made with " : "", maker);
}

static int list(const struct key_opts *opts, const struct loam_op *op, const char *word,
		const char *holder)
{
	struct loam_err err = { 0 };
	loam_auto_json json_t *rows = NULL;
	int rc = ask_keys(opts, op, word, holder, NULL, NULL, &rows, &err);
	if (rc == 0 && opts->json)
		rc = loam_json_show(rows, &err);
	if (rc < 0)
		return loam_cmd_failed(&err);
	size_t index;
	json_t *key;
	if (!opts->json)
		json_array_foreach (rows, index, key) {
			print_key(key);
		}
	return 0;
}

static int run_user_list(const void *options, int argc, char **argv)
{
	return list(options, &loam_op_key_list, "user", argv[0]);
}

static int run_repo_list(const void *options, int argc, char **argv)
{
	return list(options, &loam_op_deploy_key_list, "repo", argv[0]);
}

const struct loam_cmd loam_cmd_user_key_list = {
	.name = "user key list",
	.usage = "[options] NAME",
	.summary = "print the SSH keys of an account",
	.details = LOAM_ASK_HELP,
	.options = (const struct loam_opt[]){ ASK_OPTS, JSON_OPT, LOAM_OPT_END },
	.options_bytes = sizeof(struct key_opts),
	.args_min = 1,
	.args_max = 1,
	.run = run_user_list,
};

const struct loam_cmd loam_cmd_repo_key_list = {
	.name = "repo key list",
	.usage = "[options] REPO",
	.summary = "print the deploy keys of a repository",
	.details = LOAM_ASK_HELP,
	.options = (const struct loam_opt[]){ ASK_OPTS, JSON_OPT, LOAM_OPT_END },
	.options_bytes = sizeof(struct key_opts),
	.args_min = 1,
	.args_max = 1,
	.run = run_repo_list,
};

/* ---- del ------------------------------------------------------------------------------------- */

static int del(const struct key_opts *opts, const struct loam_op *op, const char *word, char **argv)
{
	struct loam_err err = { 0 };
	loam_auto_json json_t *answer = NULL;
	int rc = ask_keys(opts, op, word, argv[0], argv[1], NULL, &answer, &err);
	return rc < 0 ? loam_cmd_failed(&err) : 0;
}

static int run_user_del(const void *options, int argc, char **argv)
{
	return del(options, &loam_op_key_remove, "user", argv);
}

static int run_repo_del(const void *options, int argc, char **argv)
{
	return del(options, &loam_op_deploy_key_remove, "repo", argv);
}

const struct loam_cmd loam_cmd_user_key_del = {
	.name = "user key del",
	.usage = "[options] NAME ID",
	.summary = "take an SSH key from an account; its sessions end",
	.details = LOAM_ASK_HELP,
	.options = (const struct loam_opt[]){ ASK_OPTS, LOAM_OPT_END },
	.options_bytes = sizeof(struct key_opts),
	.args_min = 2,
	.args_max = 2,
	.run = run_user_del,
};

const struct loam_cmd loam_cmd_repo_key_del = {
	.name = "repo key del",
	.usage = "[options] REPO ID",
	.summary = "take a deploy key from a repository; its sessions end",
	.details = LOAM_ASK_HELP,
	.options = (const struct loam_opt[]){ ASK_OPTS, LOAM_OPT_END },
	.options_bytes = sizeof(struct key_opts),
	.args_min = 2,
	.args_max = 2,
	.run = run_repo_del,
};
