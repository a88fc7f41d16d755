/*
 * Does a push change what others have locked? (step 6 of a push). Clients only warn.
 */
#ifndef LOAM_GITHOOK_LOCKS_CHECK_H
#define LOAM_GITHOOK_LOCKS_CHECK_H

#include "githook/channel.h"
#include "githook/updates.h"

/*
 * Asks serve for the locks of others: one question when there are none. Prints a line for each path
 * that an update changes, 20 at most. Errors: DENIED when there is one.
 */
int loam_locks_check(struct loam_channel *channel, git_repository *git,
		     const struct loam_updates *updates, struct loam_err *err);

#endif
