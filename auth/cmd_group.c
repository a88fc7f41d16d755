/*
 * loam group …: groups of users from the command line. The administrator makes and removes them;
 * their members are the matter of their managers, too, through a server.
 */
#include "auth/ask.h"
#include "auth/commands.h"
#include "auth/groups.h"
#include "auth/instance.h"
#include "core/json.h"

#include <grp.h>
#include <stdio.h>
#include <string.h>

struct group_opts {
	struct loam_ask_options ask; /* of `add` and `del` the volume only */
	uint64_t gid;
	bool json, manager;
};

#define META_OPT                                                               \
	LOAM_OPT(struct group_opts, ask.meta, "meta", 0, LOAM_OPT_TEXT, "URL", \
		 "the volume (default: LOAM_META, then meta.url of the configuration)")
#define JSON_OPT LOAM_OPT(struct group_opts, json, "json", 0, LOAM_OPT_FLAG, NULL, "print JSON")

static int open_instance(const struct group_opts *opts, struct loam_instance **out,
			 struct loam_err *err)
{
	return loam_instance_open(&(struct loam_instance_options){ .meta_url = opts->ask.meta },
				  out, err);
}

/* ---- add, del -------------------------------------------------------------------------------- */

static uint32_t host_gid(const char *name)
{
	struct group entry, *found = NULL;
	char buffer[65536];
	if (getgrnam_r(name, &entry, buffer, sizeof(buffer), &found) != 0 || !found ||
	    entry.gr_gid < LOAM_HOST_UID_MIN)
		return 0;
	return entry.gr_gid;
}

static int run_add(const void *options, int argc, char **argv)
{
	const struct group_opts *opts = options;
	struct loam_err err = { 0 };
	struct loam_new_group group = { .name = argv[0], .gid = (uint32_t)opts->gid };
	if (group.gid == 0)
		group.host_gid = host_gid(group.name);
	loam_auto_instance struct loam_instance *instance = NULL;
	uint32_t gid = 0;
	if (open_instance(opts, &instance, &err) < 0 ||
	    loam_group_add(loam_auth_accounts(instance->auth), &group, &gid, &err) < 0)
		return loam_cmd_failed(&err);
	if (group.gid == 0 && group.host_gid == gid)
		fprintf(stderr, "loam: this host's group %s has gid %u, so has the new one\n",
			group.name, gid);
	fprintf(stderr,
		"loam: group %s made, its directory is %s/groups/%s: loam group member add "
		"%s USER\n",
		group.name, instance->tree.root, group.name, group.name);
	printf("%u\n", gid);
	return 0;
}

const struct loam_cmd loam_cmd_group_add = {
	.name = "group add",
	.usage = "[options] GROUP",
	.summary = "make a group with a shared directory on the mount; prints the gid",
	.options =
		(const struct loam_opt[]){
			META_OPT,
			LOAM_OPT(struct group_opts, gid, "gid", 0, LOAM_OPT_NUMBER, "N",
				 "the number (default: that of this host's group of the same name, "
				 "else the next from 20001)",
				 .min = LOAM_HOST_UID_MIN, .max = 0x7FFFFFFE),
			LOAM_OPT_END },
	.options_bytes = sizeof(struct group_opts),
	.args_min = 1,
	.args_max = 1,
	.run = run_add,
};

static int run_del(const void *options, int argc, char **argv)
{
	struct loam_err err = { 0 };
	loam_auto_instance struct loam_instance *instance = NULL;
	if (open_instance(options, &instance, &err) < 0 ||
	    loam_group_remove(loam_auth_accounts(instance->auth), argv[0], &err) < 0)
		return loam_cmd_failed(&err);
	return 0;
}

const struct loam_cmd loam_cmd_group_del = {
	.name = "group del",
	.usage = "[options] GROUP",
	.summary = "remove a group; its directory is set aside, its number is never given again",
	.details = "Refused while the group owns repositories: give its namespaces to somebody "
		   "first (loam namespace\nowner NS WHO). Namespaces without repositories go with "
		   "it.",
	.options = (const struct loam_opt[]){ META_OPT, LOAM_OPT_END },
	.options_bytes = sizeof(struct group_opts),
	.args_min = 1,
	.args_max = 1,
	.run = run_del,
};

/* ---- show, list ------------------------------------------------------------------------------ */

static const char *text(const json_t *object, const char *name)
{
	const char *value = json_string_value(json_object_get(object, name));
	return value ? value : "";
}

static bool holds(const json_t *names, const char *name)
{
	size_t index;
	json_t *value;
	json_array_foreach (names, index, value) {
		if (strcmp(json_string_value(value), name) == 0)
			return true;
	}
	return false;
}

/* "alice (manager) bob carol" */
static void print_group(const json_t *group)
{
	const json_t *managers = json_object_get(group, "managers");
	fprintf(loam_cmd_out(), "%-24s gid %-6lld", text(group, "name"),
		(long long)json_integer_value(json_object_get(group, "gid")));
	size_t index;
	json_t *member;
	json_array_foreach (json_object_get(group, "members"), index, member) {
		const char *name = json_string_value(member);
		fprintf(loam_cmd_out(), " %s%s", name ? name : "",
			name && holds(managers, name) ? " (manager)" : "");
	}
	fprintf(loam_cmd_out(), "\n");
}

static int run_show(const void *options, int argc, char **argv)
{
	const struct group_opts *opts = options;
	struct loam_err err = { 0 };
	loam_auto_ask struct loam_ask *ask = NULL;
	loam_auto_json json_t *group = NULL;
	const struct loam_op_word words[] = { { "group", argv[0] }, { NULL, NULL } };
	int rc = loam_ask_open(&opts->ask, &ask, &err);
	if (rc == 0)
		rc = loam_ask_op(ask, &loam_op_group_show, words, NULL, &group, &err);
	if (rc == 0 && opts->json)
		rc = loam_json_show(group, &err);
	else if (rc == 0)
		print_group(group);
	return rc < 0 ? loam_cmd_failed(&err) : 0;
}

static int run_list(const void *options, int argc, char **argv)
{
	const struct group_opts *opts = options;
	struct loam_err err = { 0 };
	loam_auto_ask struct loam_ask *ask = NULL;
	loam_auto_json json_t *rows = NULL;
	int rc = loam_ask_open(&opts->ask, &ask, &err);
	if (rc == 0)
		rc = loam_ask_op(ask, &loam_op_group_list, NULL, NULL, &rows, &err);
	if (rc == 0 && opts->json)
		rc = loam_json_show(rows, &err);
	if (rc < 0)
		return loam_cmd_failed(&err);
	size_t index;
	json_t *group;
	if (!opts->json)
		json_array_foreach (rows, index, group) {
			print_group(group);
		}
	return 0;
}

const struct loam_cmd loam_cmd_group_show = {
	.name = "group show",
	.usage = "[options] GROUP",
	.summary = "print a group: its number, members and managers",
	.details = LOAM_ASK_HELP,
	.options = (const struct loam_opt[]){ LOAM_ASK_OPTS(struct group_opts), JSON_OPT,
					      LOAM_OPT_END },
	.options_bytes = sizeof(struct group_opts),
	.args_min = 1,
	.args_max = 1,
	.run = run_show,
};

const struct loam_cmd loam_cmd_group_list = {
	.name = "group list",
	.usage = "[options]",
	.summary = "print all groups, but the users' own",
	.details = LOAM_ASK_HELP,
	.options = (const struct loam_opt[]){ LOAM_ASK_OPTS(struct group_opts), JSON_OPT,
					      LOAM_OPT_END },
	.options_bytes = sizeof(struct group_opts),
	.run = run_list,
};

/* ---- member add, member del ------------------------------------------------------------------ */

/* body NULL: takes the member out. */
static int change_member(const struct group_opts *opts, const struct loam_op *op, char **argv,
			 const json_t *body)
{
	struct loam_err err = { 0 };
	loam_auto_ask struct loam_ask *ask = NULL;
	loam_auto_json json_t *answer = NULL;
	const struct loam_op_word words[] = { { "group", argv[0] },
					      { "member", argv[1] },
					      { NULL, NULL } };
	if (loam_ask_open(&opts->ask, &ask, &err) < 0 ||
	    loam_ask_op(ask, op, words, body, &answer, &err) < 0)
		return loam_cmd_failed(&err);
	return 0;
}

static int run_member_add(const void *options, int argc, char **argv)
{
	const struct group_opts *opts = options;
	loam_auto_json json_t *body = json_pack("{s:b}", "manager", opts->manager);
	int status = change_member(opts, &loam_op_member_set, argv, body);
	if (status == 0)
		fprintf(loam_cmd_err(), "loam: %s is a %s of %s\n", argv[1],
			opts->manager ? "manager" : "member", argv[0]);
	return status;
}

static int run_member_del(const void *options, int argc, char **argv)
{
	int status = change_member(options, &loam_op_member_remove, argv, NULL);
	if (status == 0)
		fprintf(loam_cmd_err(), "loam: %s is no member of %s any more\n", argv[1], argv[0]);
	return status;
}

const struct loam_cmd loam_cmd_group_member_add = {
	.name = "group member add",
	.usage = "[options] GROUP USER",
	.summary = "make a user a member of a group",
	.details = LOAM_ASK_HELP,
	.options =
		(const struct loam_opt[]){
			LOAM_ASK_OPTS(struct group_opts),
			LOAM_OPT(struct group_opts, manager, "manager", 0, LOAM_OPT_FLAG, NULL,
				 "one who may change the members, too; without it, a manager "
				 "becomes an ordinary member"),
			LOAM_OPT_END },
	.options_bytes = sizeof(struct group_opts),
	.args_min = 2,
	.args_max = 2,
	.run = run_member_add,
};

const struct loam_cmd loam_cmd_group_member_del = {
	.name = "group member del",
	.usage = "[options] GROUP USER",
	.summary = "take a user out of a group",
	.details = "The last manager is taken away by the administrator only.\n\n" LOAM_ASK_HELP,
	.options = (const struct loam_opt[]){ LOAM_ASK_OPTS(struct group_opts), LOAM_OPT_END },
	.options_bytes = sizeof(struct group_opts),
	.args_min = 2,
	.args_max = 2,
	.run = run_member_del,
};
