/*
 * The commands of sync/, for the table in server/main.c.
 */
#ifndef LOAM_SYNC_COMMANDS_H
#define LOAM_SYNC_COMMANDS_H

#include "core/cmd.h"

extern const struct loam_cmd loam_cmd_repo_create, loam_cmd_repo_list, loam_cmd_repo_show,
	loam_cmd_repo_delete, loam_cmd_repo_visibility, loam_cmd_repo_default_branch,
	loam_cmd_repo_fork, loam_cmd_publish, loam_cmd_clone, loam_cmd_fsck, loam_cmd_status;

#endif
