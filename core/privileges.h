/*
 * Giving up what root may do, and finding the account to become.
 *
 * Threads: before the process has a second one.
 */
#ifndef LOAM_CORE_PRIVILEGES_H
#define LOAM_CORE_PRIVILEGES_H

#include "core/err.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct loam_identity {
	uid_t uid;
	gid_t gid;
	char name[256]; /* of its entry in passwd, "" without one */
};

/* text: a name, a number, or "root"; a number needs no entry in passwd and then is its gid too.
 * Errors: INVALID for a name that this host does not know. */
int loam_identity_find(const char *text, struct loam_identity *out, struct loam_err *err);
/*
 * Becomes `who` for good when the process is root: groups of its entry, uid, gid, no capability and
 * none to be had, no core dumps, and no way back (checked). A process that is `who` already, root
 * too, keeps what it has but what programs with set-id bits would give it. Errors: DENIED for an
 * ordinary user who is not `who`.
 */
int loam_privileges_drop(const struct loam_identity *who, struct loam_err *err);
/*
 * Gives the tree at path to `who` if its top belongs to root and we are root: all below first, the
 * top last, so that a run that was cut is done again. Symbolic links are given, never followed;
 * other file systems are left alone. 1 given, 0 nothing to do.
 */
int loam_privileges_give(const char *path, const struct loam_identity *who, struct loam_err *err);
/* Lets this thread touch files as the owner of `path` does while we are root; the end undoes it.
 * A missing path, or one of root: nothing changes. */
struct loam_file_owner {
	bool changed;
};
struct loam_file_owner loam_file_owner_enter(const char *path);
struct loam_file_owner loam_file_owner_as(const struct loam_identity *who);
void loam_file_owner_leave(struct loam_file_owner *owner);
#define loam_auto_file_owner __attribute__((cleanup(loam_file_owner_leave)))

#endif
