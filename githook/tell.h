/*
 * What hooks tell serve for the audit log, beside what they ask.
 */
#ifndef LOAM_GITHOOK_TELL_H
#define LOAM_GITHOOK_TELL_H

#include "githook/channel.h"
#include "githook/updates.h"

/* The refs that have moved, at most LOAM_HOOK_UPDATES_MAX a message. */
int loam_tell_updated(struct loam_channel *channel, const struct loam_updates *updates,
		      struct loam_err *err);
/* This push is refused by the hook, and why. When serve does not answer nobody is told. */
void loam_tell_refused(const struct loam_err *why);

#endif
