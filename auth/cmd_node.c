/*
 * loam node …: a node that knows the names of a volume, so that `ls -l`, `id`, `su`, sshd and Slurm
 * agree on every node.
 */
#include "auth/commands.h"
#include "auth/instance.h"
#include "auth/node.h"
#include "core/clock.h"
#include "core/json.h"
#include "core/log.h"

#include <mntent.h>
#include <stdio.h>
#include <string.h>

#define DEFAULT_MOUNT "/mnt/loam"
#define DEFAULT_SHELL "/bin/bash"
#define LOOK_LATE_S   30

struct node_opts {
	const char *meta, *mount, *shell, *root;
	bool json;
};

static void init_node(void *options)
{
	struct node_opts *opts = options;
	opts->shell = DEFAULT_SHELL;
	opts->root = "";
}

static int take_root(const struct node_opts *opts, char out[LOAM_NODE_TEXT_BYTES],
		     struct loam_err *err)
{
	size_t bytes = strlen(opts->root);
	while (bytes > 0 && opts->root[bytes - 1] == '/')
		bytes--;
	if (bytes >= LOAM_NODE_TEXT_BYTES || (bytes > 0 && opts->root[0] != '/'))
		return loam_fail(err, LOAM_E_INVALID, "--root is an absolute path");
	snprintf(out, LOAM_NODE_TEXT_BYTES, "%.*s", (int)bytes, opts->root);
	return 0;
}

#define ROOT_OPT                                                          \
	LOAM_OPT(struct node_opts, root, "root", 0, LOAM_OPT_TEXT, "DIR", \
		 "a system below DIR instead of this one")

/* ---- node enroll ----------------------------------------------------------------------------- */

/* Where a volume of this name is mounted now: the number of places, the first in out. */
static size_t find_mounts(const char *volume, char *out, size_t out_bytes)
{
	struct mntent entry;
	char text[4096], source[128];
	size_t found = 0;
	FILE *mounts = setmntent("/proc/self/mounts", "re");
	snprintf(source, sizeof(source), "Loam:%s", volume);
	while (mounts && getmntent_r(mounts, &entry, text, sizeof(text))) {
		if (strcmp(entry.mnt_fsname, source) != 0 ||
		    strcmp(entry.mnt_type, "fuse.loam") != 0 || strlen(entry.mnt_dir) >= out_bytes)
			continue;
		if (found++ == 0)
			snprintf(out, out_bytes, "%s", entry.mnt_dir);
	}
	if (mounts)
		endmntent(mounts);
	return found;
}

static int choose_mount(const struct node_opts *opts, const char *volume, struct loam_node *node,
			struct loam_err *err)
{
	if (opts->mount) {
		if (strlen(opts->mount) >= sizeof(node->mount))
			return loam_fail(err, LOAM_E_NAME_TOO_LONG, "--mount is too long");
		snprintf(node->mount, sizeof(node->mount), "%s", opts->mount);
	} else {
		size_t found = find_mounts(volume, node->mount, sizeof(node->mount));
		if (found > 1)
			return loam_fail(
				err, LOAM_E_INVALID,
				"volumes named %s are mounted at %zu places: say which one "
				"the homes are on with --mount DIR",
				volume, found);
		if (found == 0)
			snprintf(node->mount, sizeof(node->mount), "%s", DEFAULT_MOUNT);
	}
	size_t bytes = strlen(node->mount);
	while (bytes > 1 && node->mount[bytes - 1] == '/')
		node->mount[--bytes] = '\0';
	return 0;
}

static int fill_node(const struct node_opts *opts, const struct loam_volume *volume,
		     struct loam_node *node, struct loam_err *err)
{
	const struct loam_format *format = loam_meta_format(volume->meta);
	int rc = take_root(opts, node->root, err);
	if (rc < 0)
		return rc;
	if (strlen(opts->shell) >= sizeof(node->shell))
		return loam_fail(err, LOAM_E_NAME_TOO_LONG, "--shell is too long");
	snprintf(node->uuid, sizeof(node->uuid), "%s", format->uuid);
	snprintf(node->volume, sizeof(node->volume), "%.63s", format->name);
	snprintf(node->shell, sizeof(node->shell), "%s", opts->shell);
	return choose_mount(opts, format->name, node, err);
}

static void print_left_out(const struct loam_node_status *status)
{
	const char *rest = loam_buf_text(&status->left_out);
	while (*rest) {
		size_t bytes = strcspn(rest, "\n");
		fprintf(stderr, "loam: left out: %.*s\n", (int)bytes, rest);
		rest += bytes + (rest[bytes] == '\n');
	}
}

static int enroll(const struct node_opts *opts, const char *meta, struct loam_err *err)
{
	struct loam_node node = { 0 };
	struct loam_node_status status;
	const struct loam_accounts *accounts = NULL;
	loam_auto_instance struct loam_instance *instance = NULL;
	int rc =
		loam_instance_open(&(struct loam_instance_options){ .meta_url = meta ? meta
										     : opts->meta },
				   &instance, err);
	if (rc == 0)
		rc = fill_node(opts, instance->volume, &node, err);
	if (rc < 0)
		return rc;
	struct loam_account_store *store = loam_auth_accounts(instance->auth);
	rc = loam_account_store_get(store, true, &accounts, err);
	if (rc < 0)
		return rc;
	rc = loam_node_enroll(&node, accounts, err);
	loam_account_store_put(store, accounts);
	if (rc == 0)
		rc = loam_node_status(&node, &status, err);
	if (rc < 0)
		return rc;
	print_left_out(&status);
	fprintf(stderr,
		"loam: this node knows %zu users and %zu groups of volume %s; homes below "
		"%s%s/users\n"
		"loam: a mount of the volume that runs as root keeps them current (loam mount)\n",
		status.users, status.groups, node.volume, node.mount, instance->tree.root);
	loam_buf_release(&status.left_out);
	return 0;
}

static int run_enroll(const void *options, int argc, char **argv)
{
	struct loam_err err = { 0 };
	if (argc == 1 && !strstr(argv[0], "://"))
		return loam_cmd_misused("'%s' is no volume URL", argv[0]);
	return enroll(options, argc == 1 ? argv[0] : NULL, &err) < 0 ? loam_cmd_failed(&err) : 0;
}

const struct loam_cmd loam_cmd_node_enroll = {
	.name = "node enroll",
	.usage = "[options] [META]",
	.summary = "let this node know the users and groups of a volume",
	.details = "Sets up libnss-extrausers: /etc/nsswitch.conf (a backup is kept) and\n"
		   "/var/lib/extrausers. Names and numbers that this node has for others are left "
		   "out;\nno password hash is written. Run it again to change --mount or --shell.",
	.options =
		(const struct loam_opt[]){
			LOAM_OPT(struct node_opts, meta, "meta", 0, LOAM_OPT_TEXT, "URL",
				 "the volume (META, LOAM_META, meta.url)"),
			LOAM_OPT(struct node_opts, mount, "mount", 0, LOAM_OPT_TEXT, "DIR",
				 "where the volume is mounted (where it is now, else " DEFAULT_MOUNT
				 ")"),
			LOAM_OPT(struct node_opts, shell, "shell", 0, LOAM_OPT_TEXT, "FILE",
				 "login shell of the accounts (" DEFAULT_SHELL ")"),
			ROOT_OPT, LOAM_OPT_END },
	.options_bytes = sizeof(struct node_opts),
	.args_max = 1,
	.init = init_node,
	.run = run_enroll,
};

/* ---- node remove ----------------------------------------------------------------------------- */

static int run_remove(const void *options, int argc, char **argv)
{
	struct loam_err err = { 0 };
	char root[LOAM_NODE_TEXT_BYTES];
	bool edited = false;
	if (take_root(options, root, &err) < 0 || loam_node_remove(root, &edited, &err) < 0)
		return loam_cmd_failed(&err);
	fprintf(stderr, "loam: this node has its own names only; %s\n",
		edited ? "/etc/nsswitch.conf was changed by others meanwhile, so only "
			 "`extrausers` was taken out of it"
		       : "/etc/nsswitch.conf is as it was");
	return 0;
}

const struct loam_cmd loam_cmd_node_remove = {
	.name = "node remove",
	.usage = "[options]",
	.summary = "undo node enroll",
	.options = (const struct loam_opt[]){ ROOT_OPT, LOAM_OPT_END },
	.options_bytes = sizeof(struct node_opts),
	.init = init_node,
	.run = run_remove,
};

/* ---- node status ----------------------------------------------------------------------------- */

static int print_status_json(const struct loam_node *node, const struct loam_node_status *status,
			     struct loam_err *err)
{
	loam_auto_json json_t *object =
		json_pack("{s:b, s:s, s:s, s:s, s:s, s:I, s:I, s:b, s:b, s:I}", "enrolled", 1,
			  "volume", node->volume, "uuid", node->uuid, "mount", node->mount, "shell",
			  node->shell, "users", (json_int_t)status->users, "groups",
			  (json_int_t)status->groups, "nsswitch", status->in_switch, "library",
			  status->has_library, "looked", (json_int_t)status->looked);
	return loam_json_show(object, err);
}

static void print_status(const struct loam_node *node, const struct loam_node_status *status)
{
	char when[LOAM_CLOCK_TEXT_BYTES] = "by no mount yet";
	if (status->looked != 0)
		loam_clock_format(status->looked, when);
	printf("volume    %s (%s)\nmount     %s, shell %s\nnames     %zu users, %zu groups\n"
	       "looked    %s\n",
	       node->volume, node->uuid, node->mount, node->shell, status->users, status->groups,
	       when);
	if (status->looked != 0 && loam_clock_now().tv_sec - status->looked > LOOK_LATE_S)
		printf("trouble   no mount of the volume keeps the names current\n");
	if (!status->in_switch)
		printf("trouble   /etc/nsswitch.conf does not name extrausers: loam node enroll\n");
	if (!status->has_library)
		printf("trouble   apt-get install libnss-extrausers\n");
	print_left_out(status);
}

static int run_status(const void *options, int argc, char **argv)
{
	const struct node_opts *opts = options;
	struct loam_err err = { 0 };
	struct loam_node node;
	struct loam_node_status status;
	char root[LOAM_NODE_TEXT_BYTES];
	int rc = take_root(opts, root, &err);
	if (rc == 0)
		rc = loam_node_load(root, &node, &err);
	if (rc < 0)
		return loam_cmd_failed(&err);
	if (rc == 0) {
		printf(opts->json ? "{\"enrolled\":false}\n" : "not enrolled\n");
		return 0;
	}
	if (loam_node_status(&node, &status, &err) < 0)
		return loam_cmd_failed(&err);
	if (opts->json)
		rc = print_status_json(&node, &status, &err);
	else
		print_status(&node, &status);
	loam_buf_release(&status.left_out);
	return rc < 0 ? loam_cmd_failed(&err) : 0;
}

const struct loam_cmd loam_cmd_node_status = {
	.name = "node status",
	.usage = "[options]",
	.summary = "what this node knows of the names, and since when",
	.options = (const struct loam_opt[]){ LOAM_OPT(struct node_opts, json, "json", 0,
						       LOAM_OPT_FLAG, NULL, "print JSON"),
					      ROOT_OPT, LOAM_OPT_END },
	.options_bytes = sizeof(struct node_opts),
	.init = init_node,
	.run = run_status,
};
