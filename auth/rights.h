/*
 * Rights of users and groups, with where they come from: pure data, no volume.
 *
 * A gate's ACL shows what somebody may do in all. What of it came from the namespace stands in the
 * gate's xattr trusted.loam.inherited, so that it can be taken back exactly:
 *
 *   trusted.loam.inherited (gate)      u:20002:w:r g:20050:o:-     inherited, then direct
 *   trusted.loam.grants    (namespace) u:20002:w g:20060:r
 *
 * Letters: - none, d denied, r read, w write, a admin, o owner of the namespace. Entries of the ACL
 * that the xattr does not name are direct.
 *
 * Owner: rows belong to their struct loam_rights; loam_rights_release.
 */
#ifndef LOAM_AUTH_RIGHTS_H
#define LOAM_AUTH_RIGHTS_H

#include "auth/account.h"

#define LOAM_RIGHTS_ROWS_MAX 2000 /* of a gate, its namespace's grants among them */

/* In the order of strength. */
enum loam_right {
	LOAM_RIGHT_NONE,
	LOAM_RIGHT_DENIED, /* an entry that grants nothing, set by hand: above what is inherited */
	LOAM_RIGHT_READ,
	LOAM_RIGHT_WRITE,
	LOAM_RIGHT_ADMIN,
	LOAM_RIGHT_OWNER /* of the namespace; inherited only */
};
const char *loam_right_name(enum loam_right right); /* "read" */

struct loam_right_row {
	struct loam_grantee who;
	enum loam_right direct, inherited;
};
/* Sorted: users by uid, then groups by gid. */
struct loam_rights {
	struct loam_right_row *rows;
	size_t count;
};

void loam_rights_release(struct loam_rights *rights);
/* The row, or NULL. */
struct loam_right_row *loam_rights_find(const struct loam_rights *rights,
					const struct loam_grantee *who);
/* The row, made when it is missing; pointers to other rows are void then. TOO_LARGE. */
int loam_rights_row(struct loam_rights *rights, const struct loam_grantee *who,
		    struct loam_right_row **out_row, struct loam_err *err);
/* The union of both, but that the owner is never shut out and a denial stands above the rest. */
enum loam_right loam_right_of(const struct loam_right_row *row);

/* The two texts above; with_direct: that of a gate. CORRUPT. Rows without an inherited right are
 * not printed. free() */
int loam_rights_parse(const char *text, bool with_direct, struct loam_rights *out,
		      struct loam_err *err);
char *loam_rights_print(const struct loam_rights *rights, bool with_direct);

#endif
