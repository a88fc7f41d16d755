/*
 * Groups of users: lines in /.loam/etc/group, managers in gshadow, a shared directory /groups/NAME.
 *
 * The directory is the service's, of the group, 2770 with a default ACL: what a member makes there
 * belongs to the group and can be changed by every member, whatever his umask. Numbers come from
 * the counter of accounts. A group's name is no user's and the other way round.
 *
 * Threads: any. Durable: a changing call returns behind the metadata barrier.
 * Source: group(5), gshadow(5), design.md §2.
 */
#ifndef LOAM_AUTH_GROUPS_H
#define LOAM_AUTH_GROUPS_H

#include "auth/account_store.h"
#include "auth/auth.h"

struct loam_new_group {
	const char *name;
	uint32_t gid; /* 0: the host's group of that name when at or above 1000, else the next */
	uint32_t host_gid; /* 0: the host has no such group; used when gid is 0 */
};
/* EXISTS for a name or number in use, or a number that once was; UNPROCESSABLE for a name or number
 * that groups may not have. */
int loam_group_add(struct loam_account_store *store, const struct loam_new_group *group,
		   uint32_t *out_gid, struct loam_err *err);
/* Its directory becomes .removed-NAME-GID, 0700 root; the number is never given again. Grants to it
 * stay on the gates and mean nobody. NOT_FOUND; NOT_PERMITTED for a user's own group; NOT_EMPTY
 * while it owns repositories (auth/owned.h). */
int loam_group_remove(struct loam_account_store *store, const char *name, struct loam_err *err);
/* Who changes the members: the last manager is taken away by the administrator only, since without
 * one nobody else could bring one back. */
enum loam_group_hand { LOAM_BY_MANAGER, LOAM_BY_ADMIN };
/* Makes user a member; manager: one who may change the members, too; false makes a manager an
 * ordinary member. NOT_FOUND; NOT_PERMITTED for a user's own group, and for the last manager;
 * TOO_LARGE at LOAM_GROUP_MEMBERS_MAX members, or LOAM_USER_GROUPS_MAX groups of the user. */
int loam_group_set_member(struct loam_account_store *store, const char *name, const char *user,
			  bool manager, enum loam_group_hand hand, struct loam_err *err);
/* NOT_FOUND also when he is no member. */
int loam_group_remove_member(struct loam_account_store *store, const char *name, const char *user,
			     enum loam_group_hand hand, struct loam_err *err);
struct loam_group_join {
	const char *group;
	const struct loam_names *users; /* become members, if they are none yet */
};
/* Many memberships at once, in one change of the file; a group may be named twice. Users may be as
 * new as their line in passwd. NOT_FOUND, NOT_PERMITTED, TOO_LARGE as set_member: then nothing is
 * changed. Part of other changes: tells no mount, is not durable by itself. Audit: a line each. */
int loam_group_join(struct loam_account_store *store, const struct loam_group_join *joins,
		    size_t join_count, struct loam_err *err);
/* A removed user's memberships and own group; part of loam_account_store_remove_user. */
int loam_group_forget_user(struct loam_account_store *store, const char *user,
			   struct loam_err *err);

/*
 * May who change the members of this group? 0: the administrator, and its managers (by password, or
 * with a token of scope admin that is not bound to a repository). UNAUTHENTICATED, NOT_FOUND,
 * DENIED.
 */
int loam_auth_check_group(struct loam_auth *auth, const struct loam_principal *who,
			  const char *name, struct loam_err *err);

#endif
