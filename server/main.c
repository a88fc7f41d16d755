/*
 * loam: the table of commands. Each stands with its domain; this file only lists them.
 */
#include "auth/commands.h"
#include "auth/node_watch.h"
#include "core/cmd.h"
#include "core/service.h"
#include "fs/commands.h"
#include "githook/commands.h"
#include "server/commands.h"
#include "sync/commands.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

/* clang-format off */
static const struct loam_cmd *const commands[] = {
	&loam_cmd_format,
	&loam_cmd_mount,
	&loam_cmd_umount,
	&loam_cmd_serve,
	&loam_cmd_up,
	&loam_cmd_login,
	&loam_cmd_logout,
	&loam_cmd_whoami,
	&loam_cmd_credential,
	&loam_cmd_user_add,
	&loam_cmd_user_show,
	&loam_cmd_user_list,
	&loam_cmd_user_disable,
	&loam_cmd_user_enable,
	&loam_cmd_user_del,
	&loam_cmd_user_password,
	&loam_cmd_user_token,
	&loam_cmd_user_key_add,
	&loam_cmd_user_key_list,
	&loam_cmd_user_key_del,
	&loam_cmd_group_add,
	&loam_cmd_group_del,
	&loam_cmd_group_show,
	&loam_cmd_group_list,
	&loam_cmd_group_member_add,
	&loam_cmd_group_member_del,
	&loam_cmd_namespace_create,
	&loam_cmd_namespace_list,
	&loam_cmd_namespace_show,
	&loam_cmd_namespace_owner,
	&loam_cmd_repo_create,
	&loam_cmd_repo_list,
	&loam_cmd_repo_show,
	&loam_cmd_repo_delete,
	&loam_cmd_repo_visibility,
	&loam_cmd_repo_default_branch,
	&loam_cmd_repo_key_add,
	&loam_cmd_repo_key_list,
	&loam_cmd_repo_key_del,
	&loam_cmd_repo_fork,
	&loam_cmd_grant,
	&loam_cmd_revoke,
	&loam_cmd_ssh_enable,
	&loam_cmd_ssh_disable,
	&loam_cmd_ssh_status,
	&loam_cmd_shell,
	&loam_cmd_ssh_keys,
	&loam_cmd_audit,
	&loam_cmd_user_import,
	&loam_cmd_node_enroll,
	&loam_cmd_node_remove,
	&loam_cmd_node_status,
	&loam_cmd_clone,
	&loam_cmd_publish,
	&loam_cmd_status,
	&loam_cmd_fsck,
	&loam_cmd_hook_pre_receive,
	&loam_cmd_hook_update,
	&loam_cmd_hook_post_receive,
	&loam_cmd_hook_install,
	NULL,
};
/* clang-format on */

/* A mount keeps the names of its node current. */
static const struct loam_mount_beside node_names = { .start = loam_node_watch_start,
						     .stop = loam_node_watch_stop };

int main(int argc, char **argv)
{
	const struct rlimit no_core = { 0, 0 }; /* secrets do not reach core files */
	setrlimit(RLIMIT_CORE, &no_core);
	signal(SIGPIPE, SIG_IGN);
	umask(077);
	loam_service_take();
	loam_cmd_mount_beside(&node_names);
	/* Git runs its hooks by file name: links to this program. */
	const char *hook = loam_hook_of_program(argv[0]);
	if (hook) {
		char *words[] = { argv[0], (char *)"hook", (char *)hook, NULL };
		return loam_cmd_main(commands, 3, words);
	}
	return loam_cmd_main(commands, argc, argv);
}
