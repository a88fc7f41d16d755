/*
 * The gate of a repository: its top directory, whose ACL holds every grant (step 2 of a push).
 *
 *   user::rwx  group::r-x  mask::r-x  other::---|r-x   user:UID:r-x read   user:UID:rwx read and
 * push
 *
 * The mask takes `w` away on the mount only; loam_auth_decide does not look at it. xattrs:
 *   gate       trusted.loam.admins     "UID g:GID": may everything but are not the owner
 *              trusted.loam.anonymous  "read"
 *              trusted.loam.inherited  what of the entries came from the namespace (auth/rights.h)
 *   namespace  trusted.loam.owner      "u:UID" or "g:GID"
 *              trusted.loam.grants     what every gate in it inherits (auth/rights.h)
 */
#include "auth/auth.h"

#include "auth/gate.h"
#include "core/auto.h"
#include "core/cmd.h"
#include "fs/files.h"

#include <stdio.h>
#include <string.h>

#define XATTR_BYTES_MAX 32768

void loam_gate_release(struct loam_gate *gate)
{
	loam_acl_release(&gate->acl);
	free(gate->admins);
	gate->admins = NULL;
	gate->admin_count = 0;
}

/* 1 with the text, 0 without the attribute. */
static int read_xattr(const struct loam_tree *tree, uint64_t ino, const char *name,
		      struct loam_buf *out, struct loam_err *err)
{
	int rc = loam_meta_getxattr(tree->volume->meta, ino, name, out, err);
	if (rc == -LOAM_E_NO_DATA) {
		loam_err_clear(err);
		return 0;
	}
	return rc < 0 ? rc : 1;
}

int loam_gate_owner_parse(const char *text, uint32_t *out_uid, uint32_t *out_gid,
			  struct loam_err *err)
{
	uint64_t number = 0;
	*out_uid = *out_gid = UINT32_MAX;
	if ((text[0] != 'u' && text[0] != 'g') || text[1] != ':' ||
	    loam_parse_u64(text + 2, 1, UINT32_MAX - 1, &number, err) < 0) {
		loam_err_clear(err);
		return loam_fail(err, LOAM_E_CORRUPT, "%s is not u:UID or g:GID", LOAM_XATTR_OWNER);
	}
	*(text[0] == 'u' ? out_uid : out_gid) = (uint32_t)number;
	return 0;
}

static int read_owner(const struct loam_tree *tree, uint64_t ns_ino, struct loam_gate *gate,
		      struct loam_err *err)
{
	loam_auto_buf struct loam_buf text = LOAM_BUF(XATTR_BYTES_MAX);
	gate->owner_uid = gate->owner_gid = UINT32_MAX;
	int rc = read_xattr(tree, ns_ino, LOAM_XATTR_OWNER, &text, err);
	if (rc <= 0)
		return rc;
	return loam_gate_owner_parse(loam_buf_text(&text), &gate->owner_uid, &gate->owner_gid, err);
}

static int parse_admin(const char *word, struct loam_grantee *out, struct loam_err *err)
{
	uint64_t id;
	out->is_group = strncmp(word, "g:", 2) == 0;
	int rc = loam_parse_u64(out->is_group ? word + 2 : word, 1, UINT32_MAX - 1, &id, err);
	if (rc < 0) {
		loam_err_clear(err);
		return loam_fail(err, LOAM_E_CORRUPT, "%s: '%.20s' is no uid and no g:GID",
				 LOAM_XATTR_ADMINS, word);
	}
	out->id = (uint32_t)id;
	return 0;
}

int loam_gate_admins_parse(const char *text, struct loam_grantee **out_admins, size_t *out_count,
			   struct loam_err *err)
{
	loam_auto_free char *words = loam_xstrdup(text);
	loam_auto_free struct loam_grantee *admins =
		loam_xcalloc(strlen(text) + 1, sizeof(*admins));
	char *save = NULL;
	size_t count = 0;
	for (char *word = strtok_r(words, " \n", &save); word;
	     word = strtok_r(NULL, " \n", &save)) {
		int rc = parse_admin(word, &admins[count], err);
		if (rc < 0)
			return rc;
		count++;
	}
	*out_admins = loam_steal(&admins);
	*out_count = count;
	return 0;
}

static int read_admins(const struct loam_tree *tree, struct loam_gate *gate, struct loam_err *err)
{
	loam_auto_buf struct loam_buf text = LOAM_BUF(XATTR_BYTES_MAX);
	int rc = read_xattr(tree, gate->ino, LOAM_XATTR_ADMINS, &text, err);
	if (rc <= 0)
		return rc;
	return loam_gate_admins_parse(loam_buf_text(&text), &gate->admins, &gate->admin_count, err);
}

static int read_gate(const struct loam_tree *tree, uint64_t ns_ino, struct loam_gate *gate,
		     struct loam_err *err)
{
	loam_auto_buf struct loam_buf anonymous = LOAM_BUF(XATTR_BYTES_MAX);
	int rc = read_xattr(tree, gate->ino, LOAM_XATTR_ANONYMOUS, &anonymous, err);
	if (rc < 0)
		return rc;
	gate->anonymous_read = rc == 1 && strcmp(loam_buf_text(&anonymous), "read") == 0;
	if ((rc = read_admins(tree, gate, err)) < 0 ||
	    (rc = read_owner(tree, ns_ino, gate, err)) < 0)
		return rc;
	if (gate->attr.access_acl == 0)
		return 0;
	loam_acl_release(&gate->acl);
	return loam_meta_acl_rule(tree->volume->meta, gate->attr.access_acl, &gate->acl, err);
}

/* NOT_FOUND becomes 0: the answer to a question. */
static int find_dir(const struct loam_tree *tree, uint64_t parent, const char *name,
		    uint64_t *out_ino, struct loam_attr *out_attr, struct loam_err *err)
{
	int rc = loam_meta_lookup(tree->volume->meta, &loam_who_root, parent, loam_name_of(name),
				  out_ino, out_attr, err);
	if (rc == -LOAM_E_NOT_FOUND) {
		loam_err_clear(err);
		return 0;
	}
	return rc < 0 ? rc : 1;
}

int loam_gate_is(const struct loam_tree *tree, uint64_t ino, const struct loam_attr *attr,
		 struct loam_err *err)
{
	if (attr->type != LOAM_TYPE_DIR)
		return 0;
	if (attr->uid == LOAM_SERVICE_ID)
		return 1;
	loam_auto_buf struct loam_buf id = LOAM_BUF(XATTR_BYTES_MAX);
	return read_xattr(tree, ino, LOAM_XATTR_ID, &id, err);
}

/* What a gate would have cost, read from what stands above the place without one: time shall
 * not tell the two apart (L05). */
static int read_nothing(const struct loam_tree *tree, uint64_t above_ino, struct loam_err *err)
{
	struct loam_gate nothing = { .ino = above_ino };
	loam_acl_init(&nothing.acl);
	int rc = read_gate(tree, above_ino, &nothing, err);
	loam_gate_release(&nothing);
	return rc;
}

int loam_gate_read(const struct loam_tree *tree, const struct loam_repo *repo,
		   struct loam_gate *out_gate, struct loam_err *err)
{
	char kind_path[LOAM_PATH_BYTES_MAX];
	snprintf(kind_path, sizeof(kind_path), "%s/%s", tree->root, loam_kind_name(repo->kind));
	uint64_t kind_ino, ns_ino;
	struct loam_attr attr;
	int rc = loam_files_lookup(tree->volume, kind_path, &kind_ino, &attr, err);
	if (rc < 0)
		return rc;
	rc = find_dir(tree, kind_ino, repo->ns, &ns_ino, &attr, err);
	bool has_ns = rc == 1 && attr.type == LOAM_TYPE_DIR;
	if (rc < 0)
		return rc;
	struct loam_gate gate = { 0 };
	loam_acl_init(&gate.acl);
	uint64_t above_ino = has_ns ? ns_ino : kind_ino;
	rc = find_dir(tree, above_ino, repo->name, &gate.ino, &gate.attr, err);
	if (rc < 0)
		return rc;
	if (rc == 0 || !has_ns)
		return read_nothing(tree, above_ino, err);
	rc = loam_gate_is(tree, gate.ino, &gate.attr, err);
	if (rc <= 0)
		return rc;
	rc = read_gate(tree, ns_ino, &gate, err);
	if (rc < 0) {
		loam_gate_release(&gate);
		return loam_context(err, "read the rights of %s/%s/%s", loam_kind_name(repo->kind),
				    repo->ns, repo->name);
	}
	*out_gate = gate;
	return 1;
}

/* ---- the decision ---------------------------------------------------------------------------- */

bool loam_auth_scope_allows(unsigned scope, enum loam_want want)
{
	switch (want) {
	case LOAM_WANT_READ:
		return scope & (LOAM_SCOPE_READ | LOAM_SCOPE_WRITE | LOAM_SCOPE_ADMIN);
	case LOAM_WANT_WRITE:
		return scope & (LOAM_SCOPE_WRITE | LOAM_SCOPE_ADMIN);
	case LOAM_WANT_ADMIN:
		return scope & LOAM_SCOPE_ADMIN;
	}
	return false;
}

static bool has_scope(const struct loam_principal *who, const char *repo_text, enum loam_want want)
{
	if (who->kind != LOAM_TOKEN && who->kind != LOAM_DEPLOY)
		return true;
	if (who->only_repo[0] != '\0' && strcmp(who->only_repo, repo_text) != 0)
		return false;
	return loam_auth_scope_allows(who->scope, want);
}

static bool is_in_group(const struct loam_principal *who, uint32_t gid)
{
	if (who->gid == gid)
		return true;
	for (size_t i = 0; i < who->group_count; i++)
		if (who->groups[i] == gid)
			return true;
	return false;
}

static bool is_admin(const struct loam_principal *who, const struct loam_gate *gate)
{
	if (gate->owner_uid != UINT32_MAX && who->uid == gate->owner_uid)
		return true;
	if (gate->owner_gid != UINT32_MAX && is_in_group(who, gate->owner_gid))
		return true;
	for (size_t i = 0; i < gate->admin_count; i++) {
		const struct loam_grantee *admin = &gate->admins[i];
		if (admin->is_group ? is_in_group(who, admin->id) : who->uid == admin->id)
			return true;
	}
	return false;
}

/* The kernel takes a user's own entry and looks no further: what it does not grant is denied, on
 * the mount and so at every door. */
static bool is_denied(const struct loam_principal *who, const struct loam_gate *gate)
{
	for (uint32_t i = 0; i < gate->acl.user_count; i++)
		if (gate->acl.users[i].id == who->uid)
			return (gate->acl.users[i].perm & 05) != 05;
	return false;
}

static bool others_may_read(const struct loam_gate *gate)
{
	unsigned other = loam_acl_is_empty(&gate->acl) ? gate->attr.mode & 07u : gate->acl.other;
	return other != LOAM_ACL_ABSENT && (other & 05) == 05;
}

/* The grant that the ACL holds for who, in the kernel's order, without its mask. Only named entries
 * grant a push: `w` for everybody is what a chmod from a node left, and never meant. */
static bool acl_grants(const struct loam_principal *who, const struct loam_gate *gate,
		       enum loam_want want)
{
	unsigned bits = want == LOAM_WANT_READ ? 05 : 07;
	if (want == LOAM_WANT_ADMIN)
		return false;
	if (loam_acl_is_empty(&gate->acl))
		return want == LOAM_WANT_READ && ((unsigned)gate->attr.mode & bits) == bits;
	struct loam_acl acl = gate->acl; /* shares the entries */
	if (acl.group != LOAM_ACL_ABSENT)
		acl.group &= 05;
	if (acl.other != LOAM_ACL_ABSENT)
		acl.other &= 05;
	uint32_t groups[LOAM_PRINCIPAL_GROUPS_MAX + 1];
	groups[0] = who->gid;
	memcpy(groups + 1, who->groups, who->group_count * sizeof(groups[0]));
	return loam_acl_allows(&acl, gate->attr.uid, gate->attr.gid, who->uid, groups,
			       who->group_count + 1, bits, false);
}

bool loam_auth_decide(const struct loam_principal *who, const struct loam_gate *gate,
		      const char *repo_text, enum loam_want want)
{
	if (who->kind == LOAM_ADMIN)
		return true;
	if (who->kind == LOAM_ANONYMOUS)
		return want == LOAM_WANT_READ && gate->anonymous_read && others_may_read(gate);
	if (!has_scope(who, repo_text, want))
		return false;
	if (who->kind == LOAM_DEPLOY) /* its scope is all it has, and never that of an admin */
		return want != LOAM_WANT_ADMIN && who->only_repo[0] != '\0';
	if (is_denied(who, gate))
		return false;
	return acl_grants(who, gate, want) || is_admin(who, gate);
}
