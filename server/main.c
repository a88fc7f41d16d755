/*
 * loam: the table of commands. Each stands with its domain; this file only lists them.
 */
#include "auth/commands.h"
#include "core/cmd.h"
#include "fs/commands.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

static const struct loam_cmd *const commands[] = {
	&loam_cmd_format,	&loam_cmd_user_add,    &loam_cmd_user_show, &loam_cmd_user_list,
	&loam_cmd_user_disable, &loam_cmd_user_enable, &loam_cmd_user_del,  &loam_cmd_user_password,
	&loam_cmd_user_token,	&loam_cmd_grant,       &loam_cmd_revoke,    NULL,
};

int main(int argc, char **argv)
{
	const struct rlimit no_core = { 0, 0 }; /* secrets do not reach core files */
	setrlimit(RLIMIT_CORE, &no_core);
	signal(SIGPIPE, SIG_IGN);
	umask(077);
	return loam_cmd_main(commands, argc, argv);
}
