/*
 * How many transfers each principal has under way: at most LOAM_LFS_TRANSFERS_MAX.
 *
 * Threads: any.
 */
#ifndef LOAM_LFS_TRANSFERS_H
#define LOAM_LFS_TRANSFERS_H

#include "core/err.h"

struct loam_transfers;
struct loam_transfers *loam_transfers_new(void);
/* All transfers must have left. Accepts NULL. */
void loam_transfers_free(struct loam_transfers *transfers);

/* who: user name, or the address of an anonymous caller; cut at 63 bytes. LIMITED at the limit,
 * nothing is taken then. */
int loam_transfers_enter(struct loam_transfers *transfers, const char *who, struct loam_err *err);
void loam_transfers_leave(struct loam_transfers *transfers, const char *who);

#endif
