/*
 * The names under which rights stand on a gate and its namespace (auth/gate.c has the drawing).
 */
#ifndef LOAM_AUTH_GATE_H
#define LOAM_AUTH_GATE_H

#include "auth/account.h"
#include "auth/tree.h"
#include "core/err.h"

#include <stdint.h>

#define LOAM_XATTR_OWNER     "trusted.loam.owner"
#define LOAM_XATTR_ADMINS    "trusted.loam.admins"
#define LOAM_XATTR_ANONYMOUS "trusted.loam.anonymous"
#define LOAM_XATTR_INHERITED "trusted.loam.inherited" /* on a gate: auth/rights.h */
#define LOAM_XATTR_GRANTS    "trusted.loam.grants"    /* on a namespace: auth/rights.h */
#define LOAM_XATTR_GIT	     "trusted.loam.git"	   /* path of a bare repository served by others */
#define LOAM_XATTR_COMMIT    "user.loam.commit"	   /* what the tree shows: 40 or 64 hex digits */
#define LOAM_XATTR_BRANCH    "trusted.loam.branch" /* HEAD's branch as last published */
#define LOAM_XATTR_ID	     "trusted.loam.id"	   /* random; its bare repository names the same */
#define LOAM_XATTR_OID	     "user.loam.oid"	   /* on pool files and their clones */

/* Is this entry of a namespace a gate? The service owns it, or it carries trusted.loam.id: then
 * root has given it to somebody, and the next reconcile takes it back. 1, 0 or -code. */
int loam_gate_is(const struct loam_tree *tree, uint64_t ino, const struct loam_attr *attr,
		 struct loam_err *err);

/* "u:UID" or "g:GID"; the other number becomes UINT32_MAX. CORRUPT for anything else. */
int loam_gate_owner_parse(const char *text, uint32_t *out_uid, uint32_t *out_gid,
			  struct loam_err *err);

/* "UID g:GID …", as trusted.loam.admins has it; *out_admins is to be freed. CORRUPT. */
int loam_gate_admins_parse(const char *text, struct loam_grantee **out_admins, size_t *out_count,
			   struct loam_err *err);

#endif
