/*
 * Who sent a request to the mount (caller.h). Serves step 9.
 */
#include "fs/mount/caller.h"

#include "core/auto.h"

#define GROUPS_USUAL 64

struct loam_who loam_caller_who(const struct loam_caller *caller)
{
	return (struct loam_who){ .uid = caller->uid, .gid = caller->gid, .umask = caller->umask };
}

static int fetch(struct loam_caller *caller, struct loam_err *err)
{
	if (caller->groups)
		return 0;
	size_t room = GROUPS_USUAL;
	loam_auto_free uint32_t *groups = loam_xcalloc(room + 1, sizeof(*groups));
	int count = caller->fetch_groups(caller->arg, groups + 1, room);
	if (count > LOAM_CALLER_GROUPS_MAX)
		return loam_fail(err, LOAM_E_DENIED, "the caller is in %d groups", count);
	if (count > (int)room) {
		room = LOAM_CALLER_GROUPS_MAX;
		free(groups);
		groups = loam_xcalloc(room + 1, sizeof(*groups));
		count = caller->fetch_groups(caller->arg, groups + 1, room);
	}
	if (count < 0) /* process of a foreign pid namespace: what the request says, no more */
		count = 0;
	if (count > (int)room)
		return loam_fail(err, LOAM_E_DENIED, "the caller is in %d groups", count);
	groups[0] = caller->gid;
	caller->group_count = (size_t)count + 1;
	caller->groups = loam_steal(&groups);
	return 0;
}

int loam_caller_who_with_groups(struct loam_caller *caller, struct loam_who *out,
				struct loam_err *err)
{
	int rc = fetch(caller, err);
	if (rc)
		return rc;

	*out = loam_caller_who(caller);
	out->groups = caller->groups;
	out->group_count = caller->group_count;
	return 0;
}

void loam_caller_release(struct loam_caller *caller)
{
	free(caller->groups);
	caller->groups = NULL;
	caller->group_count = 0;
}
