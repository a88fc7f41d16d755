/*
 * loam user …: accounts from the command line. Whoever holds META is the administrator.
 */
#include "auth/ask.h"
#include "auth/commands.h"
#include "auth/instance.h"
#include "auth/key_file.h"
#include "auth/node.h"
#include "auth/owned.h"
#include "core/json.h"
#include "core/terminal.h"

#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>

struct user_opts {
	const char *meta;
	const char *key;
	uint64_t uid;
	struct loam_opt_list groups;
	bool json;
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

/* The name in /etc/passwd itself: an enrolled host still knows who was removed a moment ago. */
static int find_local_user(const char *name, struct passwd *entry, char *buffer, size_t bytes,
			   struct passwd **found)
{
	FILE *file = fopen("/etc/passwd", "re");
	*found = NULL;
	while (file && fgetpwent_r(file, entry, buffer, bytes, found) == 0)
		if (strcmp((*found)->pw_name, name) == 0)
			break;
	if (*found && strcmp((*found)->pw_name, name) != 0)
		*found = NULL;
	if (file)
		fclose(file);
	return 0;
}

static void find_host_user(struct loam_new_user *user)
{
	struct passwd entry, *found = NULL;
	char buffer[16384];
	struct loam_node node;
	struct loam_err ignored = { 0 };
	int failed = loam_node_load("", &node, &ignored) == 1
			     ? find_local_user(user->name, &entry, buffer, sizeof(buffer), &found)
			     : getpwnam_r(user->name, &entry, buffer, sizeof(buffer), &found);
	if (failed != 0 || !found || entry.pw_uid < LOAM_HOST_UID_MIN ||
	    entry.pw_gid < LOAM_HOST_UID_MIN)
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

/* ---- user list ------------------------------------------------------------------------------- */

static json_t *account_json(const struct loam_account *account)
{
	return json_pack("{s:s, s:I, s:I, s:s, s:b}", "name", account->name, "uid",
			 (json_int_t)account->uid, "gid", (json_int_t)account->gid, "home",
			 account->home, "disabled", account->disabled);
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
		json_array_append_new(array, account_json(rows[i]));
		if (!json)
			loam_print_account(json_array_get(array, i));
	}
	return json ? loam_json_show(array, err) : 0;
}

static int run_list(const void *options, int argc, char **argv)
{
	const struct user_opts *opts = options;
	struct loam_err err = { 0 };
	loam_auto_instance struct loam_instance *instance = NULL;
	const struct loam_accounts *accounts = NULL;
	if (open_instance(opts, &instance, &err) < 0 ||
	    loam_account_store_get(loam_auth_accounts(instance->auth), true, &accounts, &err) < 0)
		return loam_cmd_failed(&err);
	int rc = print_all(accounts, opts->json, &err);
	loam_account_store_put(loam_auth_accounts(instance->auth), accounts);
	return rc < 0 ? loam_cmd_failed(&err) : 0;
}

const struct loam_cmd loam_cmd_user_list = {
	.name = "user list",
	.usage = "[options]",
	.summary = "print all accounts",
	.options = (const struct loam_opt[]){ META_OPT, JSON_OPT, LOAM_OPT_END },
	.options_bytes = sizeof(struct user_opts),
	.run = run_list,
};

/* ---- user disable, enable, del --------------------------------------------------------------- */

/* What others may now wait for in vain: his groups without another manager, and his namespaces. */
struct left {
	uint32_t uid; /* 0: no such account */
	char managed[LOAM_OWNED_TEXT_BYTES];
};

static int look_what_is_left(struct loam_instance *instance, const char *name, struct left *out,
			     struct loam_err *err)
{
	struct loam_account_store *store = loam_auth_accounts(instance->auth);
	const struct loam_accounts *accounts = NULL;
	int rc = loam_account_store_get(store, true, &accounts, err);
	if (rc < 0)
		return rc;
	const struct loam_account *account = loam_accounts_by_name(accounts, name);
	out->uid = account ? account->uid : 0;
	loam_owned_managed(accounts, name, out->managed);
	loam_account_store_put(store, accounts);
	return 0;
}

static void say_unmanaged(const char *name, const struct left *left)
{
	if (left->managed[0])
		fprintf(stderr,
			"loam: nobody but %s managed %s: loam group member add GROUP USER "
			"--manager\n",
			name, left->managed);
}

/* He is shut out by now: what cannot be told does not undo that. */
static int say_what_is_left(struct loam_instance *instance, const char *name,
			    const struct left *left, struct loam_err *err)
{
	struct loam_owned owned;
	int rc = loam_owned_read(&instance->tree, LOAM_THE_USER(left->uid), &owned, err);
	if (rc < 0)
		return loam_context(err, "'%s' is disabled", name);
	if (owned.repos > 0)
		fprintf(stderr,
			"loam: %s owns %s: others keep the rights they have there; loam namespace "
			"owner NS WHO gives them to somebody else\n",
			name, owned.text);
	say_unmanaged(name, left);
	return 0;
}

static int run_disable(const void *options, int argc, char **argv)
{
	struct loam_err err = { 0 };
	struct left left;
	loam_auto_instance struct loam_instance *instance = NULL;
	if (open_instance(options, &instance, &err) < 0 ||
	    loam_account_store_set_disabled(loam_auth_accounts(instance->auth), argv[0], true,
					    &err) < 0 ||
	    look_what_is_left(instance, argv[0], &left, &err) < 0 ||
	    say_what_is_left(instance, argv[0], &left, &err) < 0)
		return loam_cmd_failed(&err);
	return 0;
}

static int run_enable(const void *options, int argc, char **argv)
{
	struct loam_err err = { 0 };
	loam_auto_instance struct loam_instance *instance = NULL;
	if (open_instance(options, &instance, &err) < 0 ||
	    loam_account_store_set_disabled(loam_auth_accounts(instance->auth), argv[0], false,
					    &err) < 0)
		return loam_cmd_failed(&err);
	return 0;
}

static int run_del(const void *options, int argc, char **argv)
{
	struct loam_err err = { 0 };
	struct left left;
	loam_auto_instance struct loam_instance *instance = NULL;
	if (open_instance(options, &instance, &err) < 0 ||
	    look_what_is_left(instance, argv[0], &left, &err) < 0 ||
	    loam_account_store_remove_user(loam_auth_accounts(instance->auth), argv[0], &err) < 0)
		return loam_cmd_failed(&err);
	say_unmanaged(argv[0], &left);
	return 0;
}

#define NAME_COMMAND(symbol, words, text, more, function)                       \
	const struct loam_cmd symbol = {                                        \
		.name = words,                                                  \
		.usage = "[options] NAME",                                      \
		.summary = text,                                                \
		.details = more,                                                \
		.options = (const struct loam_opt[]){ META_OPT, LOAM_OPT_END }, \
		.options_bytes = sizeof(struct user_opts),                      \
		.args_min = 1,                                                  \
		.args_max = 1,                                                  \
		.run = function,                                                \
	}

NAME_COMMAND(
	loam_cmd_user_disable, "user disable",
	"shut an account out at every door, the mounts included",
	"Its repositories stay as they are. What it owns, and the groups that only it manages, "
	"are named.",
	run_disable);
NAME_COMMAND(loam_cmd_user_enable, "user enable", "let a disabled account in again", NULL,
	     run_enable);
NAME_COMMAND(loam_cmd_user_del, "user del",
	     "remove an account; its home is set aside, its number is never given again",
	     "Refused while the account owns repositories: give its namespaces to somebody first "
	     "(loam namespace\nowner NS WHO). Namespaces without repositories go with it.",
	     run_del);

/* ---- user password --------------------------------------------------------------------------- */

/* From a terminal, asked twice, or one line of stdin. */
static int read_password(char *out, size_t out_bytes, struct loam_err *err)
{
	int rc = loam_terminal_secret("New password: ", "password", out, out_bytes, err);
	if (rc < 0 || !isatty(STDIN_FILENO))
		return rc;
	char again[LOAM_PASSWORD_BYTES_MAX + 2];
	rc = loam_terminal_secret("Again: ", "password", again, sizeof(again), err);
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
	     "set a password, from the terminal or the first line of stdin", NULL, run_password);
