/*
 * What is left when somebody goes: namespaces that are his, groups that only he manages.
 *
 * An account or group is removed only when it owns no namespace with repositories: nobody but the
 * administrator could change them any more. Empty namespaces go with their owner.
 *
 * Threads: any. Source: docs/decisions/0012-owners-that-go.md.
 */
#ifndef LOAM_AUTH_OWNED_H
#define LOAM_AUTH_OWNED_H

#include "auth/namespaces.h"

#define LOAM_OWNED_TEXT_BYTES 320

struct loam_owned {
	size_t namespaces, repos;
	char text[LOAM_OWNED_TEXT_BYTES]; /* "models/alice/ (2 repositories), code/alice/ (1 …)";
					     those that hold repositories, cut with "and N more" */
};
/* Reads every namespace of the volume. */
int loam_owned_read(const struct loam_tree *tree, const struct loam_grantee *who,
		    struct loam_owned *out, struct loam_err *err);
/* NOT_EMPTY while who owns namespaces with repositories: names them and says what to do. */
int loam_owned_refuse(const struct loam_tree *tree, const struct loam_grantee *who,
		      const char *name, struct loam_err *err);
/* Removes the namespaces of who that hold nothing, then as loam_owned_refuse. */
int loam_owned_clear(const struct loam_tree *tree, const struct loam_grantee *who, const char *name,
		     struct loam_err *err);
/* The groups of which user is the only manager, joined by ", "; "" none. Cut at the end of out. */
void loam_owned_managed(const struct loam_accounts *accounts, const char *user,
			char out[LOAM_OWNED_TEXT_BYTES]);

#endif
