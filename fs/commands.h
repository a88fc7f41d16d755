/*
 * The commands of fs/, for the table in server/main.c.
 */
#ifndef LOAM_FS_COMMANDS_H
#define LOAM_FS_COMMANDS_H

#include "core/cmd.h"
#include "core/config.h"
#include "fs/volume.h"

extern const struct loam_cmd loam_cmd_format, loam_cmd_mount, loam_cmd_umount;

/* What `loam mount` does beside the mount for layers above fs/ (main sets it before commands run):
 * started once the volume is open, stopped with what start returned before it is closed. */
struct loam_mount_beside {
	void *(*start)(struct loam_volume *volume, const struct loam_config *config);
	void (*stop)(void *started);
};
void loam_cmd_mount_beside(const struct loam_mount_beside *what);

#endif
