/*
 * The commands of server/, for the table in server/main.c.
 */
#ifndef LOAM_SERVER_COMMANDS_H
#define LOAM_SERVER_COMMANDS_H

#include "core/cmd.h"

extern const struct loam_cmd loam_cmd_up, loam_cmd_serve, loam_cmd_shell, loam_cmd_ssh_keys,
	loam_cmd_ssh_enable, loam_cmd_ssh_disable, loam_cmd_ssh_status;

#endif
