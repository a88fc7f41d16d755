/*
 * What a mount is told of uids: who is shut out, and which groups somebody is in.
 *
 * The mount knows no accounts. Whoever keeps them writes a file on the volume, and the mount looks
 * twice a second whether it is another one. While there was no file everybody is as the kernel
 * says; when one has gone, what it said last holds until the mount ends.
 *
 * Shape: lines "UID blocked", or "UID GID,GID…": the groups besides which none counts at a gate.
 *        Other lines are passed over. A uid that has no line is as the kernel says.
 *
 * Threads: any; a thread of its own reads. Errors: a store that does not answer leaves what was
 * read last.
 */
#ifndef LOAM_FS_MOUNT_ROSTER_H
#define LOAM_FS_MOUNT_ROSTER_H

#include "fs/data/data.h"

#define LOAM_ROSTER_PATH "/.loam/etc/roster" /* below the tree's root */

struct loam_roster;

/* The first reading is done when it returns. data is borrowed; tree_root as for gates. */
struct loam_roster *loam_roster_new(struct loam_data *data, const char *tree_root);
void loam_roster_free(struct loam_roster *roster);
/* Looks now; also what the thread does. */
void loam_roster_refresh(struct loam_roster *roster);

/* DENIED for one who is shut out; uid 0 never is. Costs nothing while nobody is. */
int loam_roster_admit(struct loam_roster *roster, uint32_t uid, struct loam_err *err);
/* Keeps those of a caller's groups that count, in their order; returns how many. */
size_t loam_roster_keep_groups(struct loam_roster *roster, uint32_t uid, uint32_t *groups,
			       size_t group_count);

#endif
