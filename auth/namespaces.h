/*
 * Namespaces: <kind>/<ns>, owned by a user or a group, with grants that every repository in it
 * inherits, also those made later.
 *
 * The owner and the grants stand in xattrs of the namespace's directory; on each gate they are
 * entries of its ACL, marked as inherited (auth/rights.h). A change is made on the namespace first,
 * then on each gate; what a killed command did not reach, the next reconcile does.
 *
 * Callers have asked loam_auth_check_namespace where a user acts. Threads: any. Durable: changes
 * return behind the metadata barrier.
 */
#ifndef LOAM_AUTH_NAMESPACES_H
#define LOAM_AUTH_NAMESPACES_H

#include "auth/repos.h"

struct loam_ns {
	enum loam_kind kind;
	char ns[LOAM_REPO_SEGMENT_BYTES_MAX + 1];
};
/* Does this word name a namespace, not a repository? It ends in '/'. */
bool loam_ns_is_meant(const char *text);
/* "qwen", "qwen/", "models/qwen/". UNPROCESSABLE. */
int loam_ns_parse(const char *text, struct loam_ns *out, struct loam_err *err);
void loam_ns_text(const struct loam_ns *ns, char out[LOAM_REPO_TEXT_BYTES]); /* "models/qwen/" */

struct loam_ns_info {
	struct loam_grantee owner; /* id UINT32_MAX: none yet, its maker died */
	struct loam_rights grants; /* in the rows' `inherited` */
};
void loam_ns_info_release(struct loam_ns_info *info);
/* 1 found, 0 no such namespace. */
int loam_ns_read(const struct loam_tree *tree, const struct loam_ns *ns, struct loam_ns_info *out,
		 struct loam_err *err);
typedef int loam_ns_seen_fn(void *arg, const struct loam_ns *ns, struct loam_err *err);
/* Sorted by kind and name; seen returns non-zero to stop. */
int loam_ns_each(const struct loam_tree *tree, loam_ns_seen_fn *seen, void *arg,
		 struct loam_err *err);

/* EXISTS when it is there. */
int loam_ns_create(const struct loam_tree *tree, const struct loam_ns *ns,
		   const struct loam_grantee *owner, struct loam_err *err);
/* The former owner keeps nothing but what was granted to him. NOT_FOUND. */
int loam_ns_set_owner(const struct loam_tree *tree, const struct loam_ns *ns,
		      const struct loam_grantee *owner, struct loam_err *err);
/* TOO_LARGE at LOAM_NS_GRANTS_MAX, or where a repository has no room for one more entry: there the
 * right does not hold, the message names it. */
int loam_ns_grant(const struct loam_tree *tree, const struct loam_ns *ns,
		  const struct loam_grantee *who, enum loam_want want, struct loam_err *err);
/* NOT_FOUND when there was none; NOT_PERMITTED for the owner. */
int loam_ns_revoke(const struct loam_tree *tree, const struct loam_ns *ns,
		   const struct loam_grantee *who, struct loam_err *err);

/*
 * May who do want with the namespace itself? READ: show it; WRITE: make repositories in it; ADMIN:
 * change its grants and owner. Its owner may all of it, also through a group; others what they were
 * granted on it. A token needs the scope and must not be bound to a repository. UNAUTHENTICATED;
 * NOT_FOUND where he has no right on it; DENIED where he has one, but not this.
 */
int loam_auth_check_namespace(struct loam_auth *auth, const struct loam_principal *who,
			      const struct loam_ns *ns, enum loam_want want, struct loam_err *err);
/* The same without hiding by its time whether the namespace is there: for lists. */
int loam_auth_ask_namespace(struct loam_auth *auth, const struct loam_principal *who,
			    const struct loam_ns *ns, enum loam_want want, struct loam_err *err);
/*
 * May who make this repository, and who owns its namespace? In a namespace that is there: as above.
 * A new one: that of his own name, or that of the name of a group he is in, which then owns it; the
 * administrator also makes those of others' names. UNAUTHENTICATED, DENIED, INVALID.
 */
int loam_auth_check_create(struct loam_auth *auth, const struct loam_principal *who,
			   const struct loam_repo *repo, struct loam_grantee *out_owner,
			   struct loam_err *err);

#endif
