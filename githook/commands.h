/*
 * The commands of githook/, for the table in server/main.c.
 */
#ifndef LOAM_GITHOOK_COMMANDS_H
#define LOAM_GITHOOK_COMMANDS_H

#include "core/cmd.h"

extern const struct loam_cmd loam_cmd_hook_pre_receive, loam_cmd_hook_update,
	loam_cmd_hook_post_receive, loam_cmd_hook_install;

/* Git runs hooks by file name: links of these names to the loam program. NULL for any other name.
 */
const char *loam_hook_of_program(const char *argv0);

#endif
