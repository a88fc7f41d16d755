/*
 * The commands of fs/, for the table in server/main.c.
 */
#ifndef LOAM_FS_COMMANDS_H
#define LOAM_FS_COMMANDS_H

#include "core/cmd.h"

extern const struct loam_cmd loam_cmd_format, loam_cmd_mount, loam_cmd_umount;

#endif
