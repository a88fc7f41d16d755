/*
 * loam user key …, loam repo key …: SSH keys from the command line. Whoever holds META is the
 * administrator.
 */
#include "auth/commands.h"
#include "auth/instance.h"
#include "auth/key_file.h"
#include "core/clock.h"
#include "core/json.h"

#include <stdio.h>
#include <string.h>

struct key_opts {
	const char *meta, *label;
	bool write, json;
};

#define META_OPT                                                         \
	LOAM_OPT(struct key_opts, meta, "meta", 0, LOAM_OPT_TEXT, "URL", \
		 "the volume (default: LOAM_META, then meta.url of the configuration)")
#define JSON_OPT LOAM_OPT(struct key_opts, json, "json", 0, LOAM_OPT_FLAG, NULL, "print JSON")
#define LABEL_OPT                                                           \
	LOAM_OPT(struct key_opts, label, "label", 0, LOAM_OPT_TEXT, "TEXT", \
		 "shown in the list (a key's own comment is not kept)")

static int open_instance(const struct key_opts *opts, struct loam_instance **out,
			 struct loam_err *err)
{
	return loam_instance_open(&(struct loam_instance_options){ .meta_url = opts->meta }, out,
				  err);
}

/* As keys of repositories are kept: models/ns/name. */
static int holder_of_repo(const char *text, char out[LOAM_REPO_TEXT_BYTES], struct loam_err *err)
{
	struct loam_repo repo;
	int rc = loam_repo_parse(text, &repo, err);
	if (rc == 0)
		loam_repo_text(&repo, out);
	return rc;
}

/* ---- add ------------------------------------------------------------------------------------- */

static int add(const struct key_opts *opts, struct loam_ssh_key *key, struct loam_err *err)
{
	loam_auto_instance struct loam_instance *instance = NULL;
	if (opts->label && strlen(opts->label) >= sizeof(key->label))
		return loam_fail(err, LOAM_E_UNPROCESSABLE, "a label has at most %zu bytes",
				 sizeof(key->label) - 1);
	snprintf(key->label, sizeof(key->label), "%s", opts->label ? opts->label : "");
	int rc = open_instance(opts, &instance, err);
	if (rc == 0)
		rc = loam_account_store_add_key(loam_auth_accounts(instance->auth), key, err);
	if (rc == 0)
		printf("%s\n", key->id);
	return rc;
}

static int run_user_add(const void *options, int argc, char **argv)
{
	struct loam_err err = { 0 };
	struct loam_ssh_key key;
	int rc = loam_key_file_read(argv[1], &key, &err);
	if (rc == 0 && strlen(argv[0]) >= sizeof(key.user))
		rc = loam_fail(&err, LOAM_E_NOT_FOUND, "no user '%.40s'", argv[0]);
	if (rc == 0) {
		snprintf(key.user, sizeof(key.user), "%s", argv[0]);
		rc = add(options, &key, &err);
	}
	return rc < 0 ? loam_cmd_failed(&err) : 0;
}

const struct loam_cmd loam_cmd_user_key_add = {
	.name = "user key add",
	.usage = "[options] NAME FILE|-",
	.summary = "let an account in by an SSH key; prints the key's id",
	.details =
		"FILE is a public key as ssh-keygen makes it: ~/.ssh/id_ed25519.pub; '-' reads it\n"
		"from stdin. A key belongs to one account, or to one repository.",
	.options = (const struct loam_opt[]){ META_OPT, LABEL_OPT, LOAM_OPT_END },
	.options_bytes = sizeof(struct key_opts),
	.args_min = 2,
	.args_max = 2,
	.run = run_user_add,
};

static int run_repo_add(const void *options, int argc, char **argv)
{
	const struct key_opts *opts = options;
	struct loam_err err = { 0 };
	struct loam_ssh_key key;
	int rc = loam_key_file_read(argv[1], &key, &err);
	if (rc == 0)
		rc = holder_of_repo(argv[0], key.repo, &err);
	if (rc == 0) {
		key.scope = LOAM_SCOPE_READ | (opts->write ? (unsigned)LOAM_SCOPE_WRITE : 0);
		rc = add(opts, &key, &err);
	}
	return rc < 0 ? loam_cmd_failed(&err) : 0;
}

const struct loam_cmd loam_cmd_repo_key_add = {
	.name = "repo key add",
	.usage = "[options] REPO FILE|-",
	.summary = "give a repository a deploy key, to read it over SSH; prints the key's id",
	.details = "A deploy key is nobody's: it opens this one repository and nothing else.",
	.options = (const struct loam_opt[]){ META_OPT,
					      LOAM_OPT(struct key_opts, write, "write", 0,
						       LOAM_OPT_FLAG, NULL, "and to push to it"),
					      LABEL_OPT, LOAM_OPT_END },
	.options_bytes = sizeof(struct key_opts),
	.args_min = 2,
	.args_max = 2,
	.run = run_repo_add,
};

/* ---- list ------------------------------------------------------------------------------------ */

static int compare_keys(const void *a, const void *b)
{
	const struct loam_ssh_key *const *left = a, *const *right = b;
	if ((*left)->created != (*right)->created)
		return (*left)->created < (*right)->created ? -1 : 1;
	return strcmp((*left)->id, (*right)->id);
}

static void print_key(const struct loam_ssh_key *key, json_t *array)
{
	char fingerprint[LOAM_SSH_KEY_FINGERPRINT_BYTES], since[LOAM_CLOCK_TEXT_BYTES];
	const char *scope = key->user[0] ? "" : key->scope & LOAM_SCOPE_WRITE ? "write" : "read";
	loam_ssh_key_fingerprint(key, fingerprint);
	loam_clock_format((time_t)key->created, since);
	if (!array) {
		printf("%s  %-19s %s  %s  %s%s%s\n", key->id, key->type, fingerprint, since, scope,
		       scope[0] ? "  " : "", key->label);
		return;
	}
	json_t *row = json_pack("{s:s, s:s, s:s, s:I, s:s}", "id", key->id, "type", key->type,
				"fingerprint", fingerprint, "created", (json_int_t)key->created,
				"label", key->label);
	if (scope[0])
		json_object_set_new(row, "scope", json_string(scope));
	json_array_append_new(array, row);
}

static int print_keys(const struct loam_accounts *accounts, const char *holder, bool json,
		      struct loam_err *err)
{
	const struct loam_ssh_key *keys[LOAM_SSH_KEYS_MAX];
	size_t count = 0;
	struct loam_ssh_key_row *row, *next;
	HASH_ITER (by_id, accounts->keys_by_id, row, next) {
		const struct loam_ssh_key *key = &row->key;
		if (count < LOAM_SSH_KEYS_MAX &&
		    strcmp(key->user[0] ? key->user : key->repo, holder) == 0)
			keys[count++] = key;
	}
	qsort(keys, count, sizeof(keys[0]), compare_keys);
	loam_auto_json json_t *array = json_array();
	for (size_t i = 0; i < count; i++)
		print_key(keys[i], json ? array : NULL);
	if (!json)
		return 0;
	loam_auto_buf struct loam_buf text = LOAM_BUF(1u << 20);
	int rc = loam_json_print(array, &text, err);
	if (rc == 0)
		printf("%s\n", loam_buf_text(&text));
	return rc;
}

static int list(const struct key_opts *opts, const char *holder, bool is_user, struct loam_err *err)
{
	loam_auto_instance struct loam_instance *instance = NULL;
	const struct loam_accounts *accounts = NULL;
	int rc = open_instance(opts, &instance, err);
	if (rc == 0)
		rc = loam_account_store_get(loam_auth_accounts(instance->auth), true, &accounts,
					    err);
	if (rc < 0)
		return rc;
	if (is_user && !loam_accounts_by_name(accounts, holder))
		rc = loam_fail(err, LOAM_E_NOT_FOUND, "no user '%.40s'", holder);
	if (rc == 0)
		rc = print_keys(accounts, holder, opts->json, err);
	loam_account_store_put(loam_auth_accounts(instance->auth), accounts);
	return rc;
}

static int run_user_list(const void *options, int argc, char **argv)
{
	struct loam_err err = { 0 };
	return list(options, argv[0], true, &err) < 0 ? loam_cmd_failed(&err) : 0;
}

static int run_repo_list(const void *options, int argc, char **argv)
{
	struct loam_err err = { 0 };
	char holder[LOAM_REPO_TEXT_BYTES];
	int rc = holder_of_repo(argv[0], holder, &err);
	if (rc == 0)
		rc = list(options, holder, false, &err);
	return rc < 0 ? loam_cmd_failed(&err) : 0;
}

const struct loam_cmd loam_cmd_user_key_list = {
	.name = "user key list",
	.usage = "[options] NAME",
	.summary = "print the SSH keys of an account",
	.options = (const struct loam_opt[]){ META_OPT, JSON_OPT, LOAM_OPT_END },
	.options_bytes = sizeof(struct key_opts),
	.args_min = 1,
	.args_max = 1,
	.run = run_user_list,
};

const struct loam_cmd loam_cmd_repo_key_list = {
	.name = "repo key list",
	.usage = "[options] REPO",
	.summary = "print the deploy keys of a repository",
	.options = (const struct loam_opt[]){ META_OPT, JSON_OPT, LOAM_OPT_END },
	.options_bytes = sizeof(struct key_opts),
	.args_min = 1,
	.args_max = 1,
	.run = run_repo_list,
};

/* ---- del ------------------------------------------------------------------------------------- */

static int del(const struct key_opts *opts, const char *holder, const char *id,
	       struct loam_err *err)
{
	loam_auto_instance struct loam_instance *instance = NULL;
	int rc = open_instance(opts, &instance, err);
	return rc < 0 ? rc
		      : loam_account_store_remove_key(loam_auth_accounts(instance->auth), holder,
						      id, err);
}

static int run_user_del(const void *options, int argc, char **argv)
{
	struct loam_err err = { 0 };
	return del(options, argv[0], argv[1], &err) < 0 ? loam_cmd_failed(&err) : 0;
}

static int run_repo_del(const void *options, int argc, char **argv)
{
	struct loam_err err = { 0 };
	char holder[LOAM_REPO_TEXT_BYTES];
	int rc = holder_of_repo(argv[0], holder, &err);
	if (rc == 0)
		rc = del(options, holder, argv[1], &err);
	return rc < 0 ? loam_cmd_failed(&err) : 0;
}

const struct loam_cmd loam_cmd_user_key_del = {
	.name = "user key del",
	.usage = "[options] NAME ID",
	.summary = "take an SSH key from an account; its sessions end",
	.options = (const struct loam_opt[]){ META_OPT, LOAM_OPT_END },
	.options_bytes = sizeof(struct key_opts),
	.args_min = 2,
	.args_max = 2,
	.run = run_user_del,
};

const struct loam_cmd loam_cmd_repo_key_del = {
	.name = "repo key del",
	.usage = "[options] REPO ID",
	.summary = "take a deploy key from a repository; its sessions end",
	.options = (const struct loam_opt[]){ META_OPT, LOAM_OPT_END },
	.options_bytes = sizeof(struct key_opts),
	.args_min = 2,
	.args_max = 2,
	.run = run_repo_del,
};
