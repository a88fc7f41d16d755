/*
 * The ref updates that git writes to a hook's stdin: "old SP new SP ref LF" each.
 */
#ifndef LOAM_GITHOOK_UPDATES_H
#define LOAM_GITHOOK_UPDATES_H

#include "core/err.h"

#include <git2.h>
#include <stdio.h>

struct loam_update {
	git_oid old_oid, new_oid; /* zero: created, deleted */
	char *ref;
};

struct loam_updates {
	struct loam_update *updates;
	size_t count;
};

/* At most LOAM_GIT_PUSH_REFS_MAX; INVALID for anything else than such lines. */
int loam_updates_read(FILE *from, struct loam_updates *out, struct loam_err *err);
void loam_updates_release(struct loam_updates *updates);

#endif
