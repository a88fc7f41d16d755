/*
 * Accounts made, one or many at once: each file of accounts is changed once, whatever their number.
 * Nothing outside auth/ includes this.
 *
 * Order: passwd (the names are taken), group, memberships, homes, shadow (they are let in), roster.
 * Killed anywhere, it leaves accounts that are refused everywhere: `user del` removes them, an
 * import that is said again completes them.
 */
#ifndef LOAM_AUTH_ACCOUNT_MANY_H
#define LOAM_AUTH_ACCOUNT_MANY_H

#include "auth/groups.h"

struct loam_many_user {
	const char *name;
	uint32_t uid;	  /* 0: the next number; what he has got, afterwards */
	uint32_t gid;	  /* 0: as uid */
	const char *hash; /* as it shall stand in shadow; NULL: no password */
	bool disabled;
	bool resume; /* may be there half made: then he is completed, with the number he has */
};
struct loam_many {
	struct loam_many_user *users; /* valid names, none twice */
	size_t user_count;
	const struct loam_group_join *joins;
	size_t join_count;
};
/* EXISTS for a name or number that is taken: then none is made. Writes no line of audit. */
int loam_account_many_make(struct loam_account_store *store, const struct loam_many *many,
			   struct loam_err *err);

#endif
