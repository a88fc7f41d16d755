/*
 * loam group …: groups of users from the command line. Whoever holds META is the administrator.
 */
#include "auth/commands.h"
#include "auth/groups.h"
#include "auth/instance.h"
#include "core/json.h"

#include <grp.h>
#include <stdio.h>
#include <string.h>

struct group_opts {
	const char *meta;
	uint64_t gid;
	bool json, manager;
};

#define META_OPT                                                           \
	LOAM_OPT(struct group_opts, meta, "meta", 0, LOAM_OPT_TEXT, "URL", \
		 "the volume (default: LOAM_META, then meta.url of the configuration)")
#define JSON_OPT LOAM_OPT(struct group_opts, json, "json", 0, LOAM_OPT_FLAG, NULL, "print JSON")

static int open_instance(const struct group_opts *opts, struct loam_instance **out,
			 struct loam_err *err)
{
	return loam_instance_open(&(struct loam_instance_options){ .meta_url = opts->meta }, out,
				  err);
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
	.options = (const struct loam_opt[]){ META_OPT, LOAM_OPT_END },
	.options_bytes = sizeof(struct group_opts),
	.args_min = 1,
	.args_max = 1,
	.run = run_del,
};

/* ---- show, list ------------------------------------------------------------------------------ */

static json_t *names_json(const struct loam_names *names)
{
	json_t *array = json_array();
	for (size_t i = 0; i < names->count; i++)
		json_array_append_new(array, json_string(names->at[i]));
	return array;
}

static json_t *group_json(const struct loam_group *group)
{
	return json_pack("{s:s, s:I, s:o, s:o}", "name", group->name, "gid", (json_int_t)group->gid,
			 "members", names_json(&group->members), "managers",
			 names_json(&group->managers));
}

/* "alice (manager) bob carol" */
static void print_group(const struct loam_group *group)
{
	printf("%-24s gid %-6u", group->name, group->gid);
	for (size_t i = 0; i < group->members.count; i++) {
		const char *name = group->members.at[i];
		printf(" %s%s", name, loam_names_hold(&group->managers, name) ? " (manager)" : "");
	}
	printf("\n");
}

static int compare_groups(const void *a, const void *b)
{
	return strcmp((*(const struct loam_group *const *)a)->name,
		      (*(const struct loam_group *const *)b)->name);
}

static int print_all(const struct loam_accounts *accounts, bool json, struct loam_err *err)
{
	size_t count = 0, all = HASH_CNT(by_name, accounts->groups_by_name);
	loam_auto_free const struct loam_group **rows = loam_xcalloc(all + 1, sizeof(*rows));
	for (const struct loam_group *row = accounts->groups_by_name; row; row = row->by_name.next)
		if (!loam_accounts_is_own_group(accounts, row))
			rows[count++] = row;
	qsort(rows, count, sizeof(*rows), compare_groups);
	loam_auto_json json_t *array = json_array();
	for (size_t i = 0; i < count; i++) {
		if (json)
			json_array_append_new(array, group_json(rows[i]));
		else
			print_group(rows[i]);
	}
	return json ? loam_json_show(array, err) : 0;
}

static int print_one(const struct loam_accounts *accounts, const char *name, bool json,
		     struct loam_err *err)
{
	const struct loam_group *group = loam_accounts_group(accounts, name);
	if (!group || loam_accounts_is_own_group(accounts, group))
		return loam_fail(err, LOAM_E_NOT_FOUND, "no group '%.40s'", name);
	if (!json) {
		print_group(group);
		return 0;
	}
	loam_auto_json json_t *object = group_json(group);
	return loam_json_show(object, err);
}

static int run_show(const void *options, int argc, char **argv)
{
	const struct group_opts *opts = options;
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

const struct loam_cmd loam_cmd_group_show = {
	.name = "group show",
	.usage = "[options] GROUP",
	.summary = "print a group: its number, members and managers",
	.options = (const struct loam_opt[]){ META_OPT, JSON_OPT, LOAM_OPT_END },
	.options_bytes = sizeof(struct group_opts),
	.args_min = 1,
	.args_max = 1,
	.run = run_show,
};

const struct loam_cmd loam_cmd_group_list = {
	.name = "group list",
	.usage = "[options]",
	.summary = "print all groups, but the users' own",
	.options = (const struct loam_opt[]){ META_OPT, JSON_OPT, LOAM_OPT_END },
	.options_bytes = sizeof(struct group_opts),
	.run = run_show,
};

/* ---- member add, member del ------------------------------------------------------------------ */

static int run_member_add(const void *options, int argc, char **argv)
{
	const struct group_opts *opts = options;
	struct loam_err err = { 0 };
	loam_auto_instance struct loam_instance *instance = NULL;
	if (open_instance(opts, &instance, &err) < 0 ||
	    loam_group_set_member(loam_auth_accounts(instance->auth), argv[0], argv[1],
				  opts->manager, &err) < 0)
		return loam_cmd_failed(&err);
	fprintf(stderr, "loam: %s is a %s of %s\n", argv[1], opts->manager ? "manager" : "member",
		argv[0]);
	return 0;
}

static int run_member_del(const void *options, int argc, char **argv)
{
	struct loam_err err = { 0 };
	loam_auto_instance struct loam_instance *instance = NULL;
	if (open_instance(options, &instance, &err) < 0 ||
	    loam_group_remove_member(loam_auth_accounts(instance->auth), argv[0], argv[1], &err) <
		    0)
		return loam_cmd_failed(&err);
	fprintf(stderr, "loam: %s is no member of %s any more\n", argv[1], argv[0]);
	return 0;
}

const struct loam_cmd loam_cmd_group_member_add = {
	.name = "group member add",
	.usage = "[options] GROUP USER",
	.summary = "make a user a member of a group",
	.options =
		(const struct loam_opt[]){
			META_OPT,
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
	.options = (const struct loam_opt[]){ META_OPT, LOAM_OPT_END },
	.options_bytes = sizeof(struct group_opts),
	.args_min = 2,
	.args_max = 2,
	.run = run_member_del,
};
