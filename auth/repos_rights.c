/*
 * Changing who may do what on a gate (auth/repos.h). The drawing of a gate is in auth/gate.c, the
 * rows and where they come from in auth/rights.h.
 *
 * Every change reads the gate's marks and those of its namespace together, computes the new rule,
 * and commits only if all of them are still as they were read; two grants at once both hold, and a
 * gate never keeps what its namespace has just taken back. A publish may put a new gate under the
 * name meanwhile: then the change is made on that one too.
 *
 * Between two changes root may have used setfacl. What it raised is a direct grant, an entry that
 * grants nothing is a denial, and what it took of an inherited right comes back.
 */
#include "auth/repos.h"

#include "auth/audit.h"
#include "auth/gate.h"
#include "auth/rights.h"
#include "core/auto.h"
#include "core/clock.h"
#include "fs/files.h"
#include "fs/meta/txn.h"

#include <stdio.h>
#include <string.h>

#define CHANGE_TRIES 50
#define GATE_TRIES   10 /* times that a publish may come between */

/* Everything that a decision, or a change, stands on. Texts are NULL where the mark is absent. */
struct marks {
	struct loam_attr attr;
	char *admins, *inherited; /* of the gate */
	char *owner, *grants;	  /* of its namespace */
};

static void release_marks(struct marks *marks)
{
	free(marks->admins);
	free(marks->inherited);
	free(marks->owner);
	free(marks->grants);
	*marks = (struct marks){ 0 };
}

struct place {
	uint64_t ns_ino, gate_ino;
};

struct change {
	struct place at;
	enum { GRANT, REVOKE, SET_OTHER, MEND } what;
	struct loam_grantee who;
	enum loam_right right;
	enum loam_visibility visibility;
	struct marks seen;
	/* computed from it */
	struct loam_attr next;
	char *next_admins, *next_inherited;
	/* answers */
	bool did_something;
	bool had, inherits; /* REVOKE: he had a grant of his own; one from the namespace */
	bool owns;
};

static void release_change(struct change *change)
{
	release_marks(&change->seen);
	free(change->next_admins);
	free(change->next_inherited);
	change->next_admins = change->next_inherited = NULL;
}

/* ---- reading --------------------------------------------------------------------------------- */

static struct loam_record mark_of(uint64_t ino, const char *name)
{
	return loam_rec_named(LOAM_REC_XATTR, ino, loam_name_of(name));
}

struct mark_read {
	struct place at;
	struct marks *out;
};

static int read_texts(struct loam_txn *txn, const struct place *at, struct marks *out,
		      struct loam_err *err)
{
	const struct {
		struct loam_record record;
		char **text;
	} texts[] = {
		{ mark_of(at->gate_ino, LOAM_XATTR_ADMINS), &out->admins },
		{ mark_of(at->gate_ino, LOAM_XATTR_INHERITED), &out->inherited },
		{ mark_of(at->ns_ino, LOAM_XATTR_OWNER), &out->owner },
		{ mark_of(at->ns_ino, LOAM_XATTR_GRANTS), &out->grants },
	};
	release_marks(out);
	loam_txn_want_attr(txn, at->gate_ino);
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(texts); i++)
		loam_txn_want(txn, &texts[i].record);
	int rc = loam_txn_attr(txn, at->gate_ino, &out->attr, err);
	if (rc == 0)
		return loam_fail(err, LOAM_E_NOT_FOUND, "the repository is gone");
	for (size_t i = 0; rc >= 0 && i < LOAM_ARRAY_COUNT(texts); i++) {
		const struct loam_value *value;
		rc = loam_txn_read(txn, &texts[i].record, &value, err);
		if (rc == 1)
			*texts[i].text = loam_xstrndup((const char *)value->data, value->bytes);
	}
	return rc < 0 ? rc : 0;
}

static int run_read_marks(struct loam_txn *txn, void *arg, struct loam_err *err)
{
	struct mark_read *read = arg;
	return read_texts(txn, &read->at, read->out, err);
}

static int read_marks(const struct loam_tree *tree, const struct place *at, struct marks *out,
		      struct loam_err *err)
{
	struct mark_read read = { *at, out };
	return loam_meta_run(tree->volume->meta, 0, run_read_marks, &read, err);
}

/* The rule that the gate has now, full even when it stands in the mode only. */
static int read_rule(const struct loam_tree *tree, const struct loam_attr *attr,
		     struct loam_acl *out, struct loam_err *err)
{
	loam_acl_init(out);
	if (attr->access_acl != 0)
		return loam_meta_acl_rule(tree->volume->meta, attr->access_acl, out, err);
	out->owner = (attr->mode >> 6) & 07;
	out->group = (attr->mode >> 3) & 07;
	out->other = attr->mode & 07;
	return 0;
}

/* ---- rows ------------------------------------------------------------------------------------ */

static enum loam_right right_of_perm(uint16_t perm)
{
	if ((perm & 05) != 05)
		return LOAM_RIGHT_DENIED;
	return (perm & 07) == 07 ? LOAM_RIGHT_WRITE : LOAM_RIGHT_READ;
}

/* As what a row shows on the gate: the owner is not among its admins, his namespace says so. */
static enum loam_right shown_right(const struct loam_right_row *row)
{
	enum loam_right right = loam_right_of(row);
	if (right != LOAM_RIGHT_OWNER)
		return right;
	return row->direct == LOAM_RIGHT_ADMIN ? LOAM_RIGHT_ADMIN : LOAM_RIGHT_WRITE;
}

static int add_entries(const struct loam_acl_entry *entries, uint32_t count, bool is_group,
		       struct loam_rights *rights, struct loam_err *err)
{
	int rc = 0;
	for (uint32_t i = 0; rc == 0 && i < count; i++) {
		struct loam_grantee who = { is_group, entries[i].id };
		struct loam_right_row *row;
		rc = loam_rights_row(rights, &who, &row, err);
		if (rc == 0)
			row->direct = right_of_perm(entries[i].perm);
	}
	return rc;
}

static int add_admins(const char *text, struct loam_rights *rights, struct loam_err *err)
{
	loam_auto_free struct loam_grantee *admins = NULL;
	size_t count = 0;
	int rc = loam_gate_admins_parse(text, &admins, &count, err);
	for (size_t i = 0; rc == 0 && i < count; i++) {
		struct loam_right_row *row;
		rc = loam_rights_row(rights, &admins[i], &row, err);
		if (rc == 0 && row->direct != LOAM_RIGHT_DENIED)
			row->direct = LOAM_RIGHT_ADMIN;
	}
	return rc;
}

/* row->direct is what the gate shows; what was remembered says how much of it is inherited. */
static void split_row(struct loam_right_row *row, const struct loam_right_row *remembered)
{
	enum loam_right actual = row->direct, expected = shown_right(remembered);
	bool owner = remembered->inherited == LOAM_RIGHT_OWNER;
	row->inherited = remembered->inherited;
	if (actual == expected || (owner && actual == LOAM_RIGHT_DENIED))
		row->direct = remembered->direct;
	else if (actual < expected && actual != LOAM_RIGHT_DENIED && remembered->direct < actual)
		row->direct = remembered->direct;
}

static int split_rows(const struct marks *marks, const struct loam_grantee *owner,
		      struct loam_rights *rights, struct loam_err *err)
{
	struct loam_rights remembered = { 0 };
	int rc = 0;
	if (!marks->inherited) { /* a gate from before inheritance: only the owner's entry was */
		struct loam_right_row *row = loam_rights_find(rights, owner);
		if (row && row->direct == LOAM_RIGHT_WRITE)
			*row = (struct loam_right_row){ *owner, LOAM_RIGHT_NONE, LOAM_RIGHT_OWNER };
		return 0;
	}
	rc = loam_rights_parse(marks->inherited, true, &remembered, err);
	for (size_t i = 0; rc == 0 && i < remembered.count; i++) {
		struct loam_right_row *row;
		rc = loam_rights_row(rights, &remembered.rows[i].who, &row, err);
		if (rc == 0)
			split_row(row, &remembered.rows[i]);
	}
	loam_rights_release(&remembered);
	return rc < 0 ? loam_context(err, LOAM_XATTR_INHERITED) : 0;
}

/* What the namespace gives now, instead of what it gave. */
static int inherit(const struct marks *marks, const struct loam_grantee *owner,
		   struct loam_rights *rights, struct loam_err *err)
{
	struct loam_rights grants = { 0 };
	struct loam_right_row *row;
	int rc = loam_rights_parse(marks->grants ? marks->grants : "", false, &grants, err);
	if (rc < 0)
		return loam_context(err, LOAM_XATTR_GRANTS);
	for (size_t i = 0; i < rights->count; i++)
		rights->rows[i].inherited = LOAM_RIGHT_NONE;
	for (size_t i = 0; rc == 0 && i < grants.count; i++) {
		rc = loam_rights_row(rights, &grants.rows[i].who, &row, err);
		if (rc == 0)
			row->inherited = grants.rows[i].inherited;
	}
	loam_rights_release(&grants);
	if (rc == 0 && owner->id != UINT32_MAX) {
		rc = loam_rights_row(rights, owner, &row, err);
		if (rc == 0)
			row->inherited = LOAM_RIGHT_OWNER;
	}
	return rc;
}

static int read_owner(const struct marks *marks, struct loam_grantee *out, struct loam_err *err)
{
	uint32_t uid = UINT32_MAX, gid = UINT32_MAX;
	int rc = marks->owner ? loam_gate_owner_parse(marks->owner, &uid, &gid, err) : 0;
	*out = (struct loam_grantee){ .is_group = gid != UINT32_MAX,
				      .id = gid != UINT32_MAX ? gid : uid };
	return rc;
}

/* All who have a row, after what the gate shows and what its namespace gives now. */
static int rows_of(const struct marks *marks, const struct loam_acl *acl, struct loam_rights *out,
		   struct loam_err *err)
{
	struct loam_grantee owner;
	int rc = read_owner(marks, &owner, err);
	if (rc == 0)
		rc = add_entries(acl->users, acl->user_count, false, out, err);
	if (rc == 0)
		rc = add_entries(acl->groups, acl->group_count, true, out, err);
	if (rc == 0)
		rc = add_admins(marks->admins ? marks->admins : "", out, err);
	if (rc == 0)
		rc = split_rows(marks, &owner, out, err);
	return rc < 0 ? rc : inherit(marks, &owner, out, err);
}

/* ---- computing ------------------------------------------------------------------------------- */

static int apply(struct change *change, struct loam_acl *acl, struct loam_rights *rights,
		 struct loam_err *err)
{
	struct loam_right_row *row;
	int rc;
	switch (change->what) {
	case GRANT:
		rc = loam_rights_row(rights, &change->who, &row, err);
		if (rc == 0)
			row->direct = change->right;
		return rc;
	case REVOKE:
		row = loam_rights_find(rights, &change->who);
		if (row) {
			change->had |= row->direct != LOAM_RIGHT_NONE;
			change->inherits = row->inherited != LOAM_RIGHT_NONE;
			change->owns = row->inherited == LOAM_RIGHT_OWNER;
			row->direct = LOAM_RIGHT_NONE;
		}
		return 0;
	case SET_OTHER:
		acl->other = change->visibility == LOAM_PRIVATE ? 0 : 05;
		return 0;
	case MEND:
		return 0;
	}
	return 0;
}

/* The named entries of the rule, as the rows say. */
static int set_entries(struct loam_acl *acl, const struct loam_rights *rights, struct loam_err *err)
{
	uint32_t before = acl->user_count + acl->group_count, count = 0;
	for (size_t i = 0; i < rights->count; i++)
		count += loam_right_of(&rights->rows[i]) != LOAM_RIGHT_NONE;
	if (count > LOAM_ACL_ENTRIES_MAX && count > before)
		return loam_fail(
			err, LOAM_E_TOO_LARGE,
			"a repository takes %d grants (the kernel's limit for one ACL): use "
			"a group",
			LOAM_ACL_ENTRIES_MAX);
	free(acl->users);
	free(acl->groups);
	acl->users = loam_xcalloc(count + 1, sizeof(*acl->users));
	acl->groups = loam_xcalloc(count + 1, sizeof(*acl->groups));
	acl->user_count = acl->group_count = 0;
	for (size_t i = 0; i < rights->count; i++) {
		const struct loam_right_row *row = &rights->rows[i];
		enum loam_right right = loam_right_of(row);
		struct loam_acl_entry entry = { .id = row->who.id,
						.perm = right == LOAM_RIGHT_DENIED ? 0
							: right == LOAM_RIGHT_READ ? 05
										   : 07 };
		if (right == LOAM_RIGHT_NONE)
			continue;
		if (row->who.is_group)
			acl->groups[acl->group_count++] = entry;
		else
			acl->users[acl->user_count++] = entry;
	}
	return 0;
}

static char *print_admins(const struct loam_rights *rights)
{
	const size_t word_bytes = 16;
	char *out = loam_xcalloc(rights->count * word_bytes + 1, 1);
	size_t at = 0;
	for (size_t i = 0; i < rights->count; i++) {
		const struct loam_right_row *row = &rights->rows[i];
		if (shown_right(row) == LOAM_RIGHT_ADMIN)
			at += (size_t)snprintf(out + at, word_bytes, "%s%s%u", at ? " " : "",
					       row->who.is_group ? "g:" : "", row->who.id);
	}
	return out;
}

static void take_write(uint16_t *rights)
{
	if (*rights != LOAM_ACL_ABSENT)
		*rights &= 05;
}

/* The rule as a number and a mode; `w` only in named entries. */
static int set_rule(const struct loam_tree *tree, struct change *change, struct loam_acl *acl,
		    struct loam_err *err)
{
	int rc = 0;
	change->next = change->seen.attr;
	take_write(&acl->group);
	take_write(&acl->other);
	if (acl->user_count + acl->group_count > 0) {
		acl->mask = 05;
		rc = loam_meta_acl_intern(tree->volume->meta, acl, &change->next.access_acl, err);
	} else {
		acl->mask = LOAM_ACL_ABSENT;
		change->next.access_acl = 0;
	}
	change->next.mode = (uint16_t)((change->seen.attr.mode & 07000) | loam_acl_mode(acl));
	change->next.uid = change->next.gid = LOAM_SERVICE_ID;
	return rc;
}

/* From change->seen to what shall stand there. */
static int compute(const struct loam_tree *tree, struct change *change, struct loam_err *err)
{
	struct loam_acl acl;
	struct loam_rights rights = { 0 };
	int rc = read_rule(tree, &change->seen.attr, &acl, err);
	if (rc == 0)
		rc = rows_of(&change->seen, &acl, &rights, err);
	if (rc == 0)
		rc = apply(change, &acl, &rights, err);
	if (rc == 0)
		rc = set_entries(&acl, &rights, err);
	if (rc == 0)
		rc = set_rule(tree, change, &acl, err);
	if (rc == 0) {
		free(change->next_admins);
		free(change->next_inherited);
		change->next_admins = print_admins(&rights);
		change->next_inherited = loam_rights_print(&rights, true);
	}
	loam_rights_release(&rights);
	loam_acl_release(&acl);
	return rc;
}

/* ---- committing ------------------------------------------------------------------------------ */

static bool attr_is_same(const struct loam_attr *a, const struct loam_attr *b)
{
	return a->access_acl == b->access_acl && a->mode == b->mode && a->uid == b->uid &&
	       a->gid == b->gid;
}

static bool text_is_same(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool marks_are_same(const struct marks *a, const struct marks *b)
{
	return attr_is_same(&a->attr, &b->attr) && text_is_same(a->admins, b->admins) &&
	       text_is_same(a->inherited, b->inherited) && text_is_same(a->owner, b->owner) &&
	       text_is_same(a->grants, b->grants);
}

/* An empty list of admins is an absent one. */
static void put_texts(struct loam_txn *txn, const struct change *change)
{
	struct loam_record admins = mark_of(change->at.gate_ino, LOAM_XATTR_ADMINS);
	struct loam_record inherited = mark_of(change->at.gate_ino, LOAM_XATTR_INHERITED);
	if (change->next_admins[0] != '\0')
		loam_txn_put(txn, &admins, change->next_admins, strlen(change->next_admins));
	else if (change->seen.admins)
		loam_txn_delete(txn, &admins);
	loam_txn_put(txn, &inherited, change->next_inherited, strlen(change->next_inherited));
}

static int commit_change(struct loam_txn *txn, void *arg, struct loam_err *err)
{
	struct change *change = arg;
	struct marks now = { 0 };
	int rc = read_texts(txn, &change->at, &now, err);
	struct loam_attr attr = now.attr;
	if (rc == 0 && !marks_are_same(&now, &change->seen))
		rc = loam_fail(err, LOAM_E_CONFLICT, "its rights were changed meanwhile");
	release_marks(&now);
	if (rc < 0)
		return rc;
	put_texts(txn, change);
	attr.access_acl = change->next.access_acl;
	attr.mode = change->next.mode;
	attr.uid = change->next.uid;
	attr.gid = change->next.gid;
	attr.ctime = loam_clock_now();
	loam_txn_put_attr(txn, change->at.gate_ino, &attr);
	return 0;
}

static bool nothing_to_do(const struct change *change)
{
	const char *admins = change->seen.admins ? change->seen.admins : "";
	return attr_is_same(&change->seen.attr, &change->next) &&
	       strcmp(admins, change->next_admins) == 0 &&
	       text_is_same(change->seen.inherited, change->next_inherited);
}

/* Reads, computes, commits, until nobody came between. */
static int run_change(const struct loam_tree *tree, struct change *change, struct loam_err *err)
{
	int rc = 0;
	for (int tries = 0; tries < CHANGE_TRIES; tries++) {
		rc = read_marks(tree, &change->at, &change->seen, err);
		if (rc == 0)
			rc = compute(tree, change, err);
		if (rc < 0 || nothing_to_do(change))
			break;
		rc = loam_meta_run(tree->volume->meta, LOAM_TXN_GUESS, commit_change, change, err);
		change->did_something |= rc == 0;
		if (rc != -LOAM_E_CONFLICT)
			break;
		loam_err_clear(err);
	}
	if (rc == -LOAM_E_CONFLICT)
		return loam_fail(err, LOAM_E_CONFLICT, "its rights are changed without pause");
	return rc;
}

static int set_anonymous(const struct loam_tree *tree, uint64_t gate_ino, bool read,
			 struct loam_err *err)
{
	if (read)
		return loam_meta_setxattr(tree->volume->meta, &loam_who_root, gate_ino,
					  LOAM_XATTR_ANONYMOUS, "read", 4, 0, err);
	int rc = loam_meta_removexattr(tree->volume->meta, &loam_who_root, gate_ino,
				       LOAM_XATTR_ANONYMOUS, err);
	if (rc == -LOAM_E_NO_DATA) {
		loam_err_clear(err);
		return 0;
	}
	return rc;
}

/* The change on the gate that has just been found. Doors are closed before they are opened,
 * whichever way it goes. */
static int change_once(const struct loam_tree *tree, struct change *change, struct loam_err *err)
{
	bool visibility = change->what == SET_OTHER;
	int rc = 0;
	if (visibility && change->visibility != LOAM_PUBLIC)
		rc = set_anonymous(tree, change->at.gate_ino, false, err);
	if (rc == 0)
		rc = run_change(tree, change, err);
	if (rc == 0 && visibility && change->visibility == LOAM_PUBLIC)
		rc = set_anonymous(tree, change->at.gate_ino, true, err);
	return rc;
}

/* 1 found, 0 no such repository. */
static int find_place(const struct loam_tree *tree, const struct loam_repo *repo, struct place *out,
		      struct loam_err *err)
{
	char path[LOAM_PATH_BYTES_MAX];
	struct loam_attr attr;
	snprintf(path, sizeof(path), "%s/%s/%s", tree->root, loam_kind_name(repo->kind), repo->ns);
	int rc = loam_files_lookup(tree->volume, path, &out->ns_ino, &attr, err);
	if (rc == 0 && attr.type == LOAM_TYPE_DIR)
		rc = loam_meta_lookup(tree->volume->meta, &loam_who_root, out->ns_ino,
				      loam_name_of(repo->name), &out->gate_ino, &attr, err);
	if (rc == -LOAM_E_NOT_FOUND) {
		loam_err_clear(err);
		return 0;
	}
	return rc < 0 ? rc : loam_gate_is(tree, out->gate_ino, &attr, err);
}

static int find_gate(const struct loam_tree *tree, const struct loam_repo *repo, struct place *out,
		     struct loam_err *err)
{
	int rc = find_place(tree, repo, out, err);
	if (rc == 0)
		return loam_fail(err, LOAM_E_NOT_FOUND, "no repository '%s/%s/%s'",
				 loam_kind_name(repo->kind), repo->ns, repo->name);
	return rc < 0 ? rc : 0;
}

/* Until the gate that was changed is still the one that bears the name. */
static int change_gate(const struct loam_tree *tree, const struct loam_repo *repo,
		       struct change *change, struct loam_err *err)
{
	int rc = find_gate(tree, repo, &change->at, err);
	for (int tries = 0; rc == 0 && tries < GATE_TRIES; tries++) {
		uint64_t changed = change->at.gate_ino;
		rc = change_once(tree, change, err);
		if (rc == -LOAM_E_NOT_FOUND) { /* removed: by a publish, or with the repository */
			loam_err_clear(err);
			rc = 0;
		}
		if (rc == 0)
			rc = find_gate(tree, repo, &change->at, err);
		if (rc == 0 && change->at.gate_ino == changed)
			break;
	}
	release_change(change);
	return rc < 0 ? rc : loam_meta_barrier(tree->volume->meta, err);
}

/* ---- what others call ------------------------------------------------------------------------ */

enum loam_right loam_right_of_want(enum loam_want want)
{
	return want == LOAM_WANT_ADMIN	 ? LOAM_RIGHT_ADMIN
	       : want == LOAM_WANT_WRITE ? LOAM_RIGHT_WRITE
					 : LOAM_RIGHT_READ;
}

int loam_repos_rights(const struct loam_tree *tree, const struct loam_repo *repo,
		      struct loam_rights *out, struct loam_err *err)
{
	struct place at;
	struct marks marks = { 0 };
	struct loam_acl acl;
	struct loam_rights rights = { 0 };
	loam_acl_init(&acl);
	int rc = find_gate(tree, repo, &at, err);
	if (rc == 0)
		rc = read_marks(tree, &at, &marks, err);
	if (rc == 0)
		rc = read_rule(tree, &marks.attr, &acl, err);
	if (rc == 0)
		rc = rows_of(&marks, &acl, &rights, err);
	if (rc == 0)
		*out = rights;
	else
		loam_rights_release(&rights);
	loam_acl_release(&acl);
	release_marks(&marks);
	return rc;
}

static int grant_on_gate(const struct loam_tree *tree, const struct loam_repo *repo,
			 const struct loam_grantee *who, enum loam_want want, struct loam_err *err)
{
	struct change change = { .what = GRANT, .who = *who, .right = loam_right_of_want(want) };
	return change_gate(tree, repo, &change, err);
}

int loam_repos_grant(const struct loam_tree *tree, const struct loam_repo *repo,
		     const struct loam_grantee *who, enum loam_want want, struct loam_err *err)
{
	int rc = grant_on_gate(tree, repo, who, want, err);
	return loam_audit(&(struct loam_audit_entry){ .action = "grant.set",
						      .repo = repo,
						      .grantee = who,
						      .detail = loam_right_name(
							      loam_right_of_want(want)) },
			  rc, err);
}

static int revoke_on_gate(const struct loam_tree *tree, const struct loam_repo *repo,
			  const struct loam_grantee *who, struct loam_err *err)
{
	struct change change = { .what = REVOKE, .who = *who };
	int rc = change_gate(tree, repo, &change, err);
	if (rc < 0 || change.had)
		return rc;
	if (change.owns)
		return loam_fail(err, LOAM_E_NOT_PERMITTED,
				 "the namespace is theirs, and with it every right in it: loam "
				 "namespace owner %s/%s/ WHO gives it to somebody else",
				 loam_kind_name(repo->kind), repo->ns);
	if (change.inherits)
		return loam_fail(err, LOAM_E_NOT_PERMITTED,
				 "the right comes from the namespace: loam revoke WHO %s/%s/",
				 loam_kind_name(repo->kind), repo->ns);
	return loam_fail(err, LOAM_E_NOT_FOUND, "there was no grant to take back");
}

int loam_repos_revoke(const struct loam_tree *tree, const struct loam_repo *repo,
		      const struct loam_grantee *who, struct loam_err *err)
{
	int rc = revoke_on_gate(tree, repo, who, err);
	return loam_audit(&(struct loam_audit_entry){ .action = "grant.revoke",
						      .repo = repo,
						      .grantee = who },
			  rc, err);
}

int loam_repos_mend_gate(const struct loam_tree *tree, const struct loam_repo *repo,
			 struct loam_err *err)
{
	struct change change = { .what = MEND };
	int rc = find_gate(tree, repo, &change.at, err);
	if (rc == 0)
		rc = run_change(tree, &change, err);
	release_change(&change);
	if (rc == 0 && change.did_something)
		rc = loam_meta_barrier(tree->volume->meta, err);
	return rc < 0 ? rc : change.did_something;
}

static int set_visibility(const struct loam_tree *tree, const struct loam_repo *repo,
			  enum loam_visibility visibility, struct loam_err *err)
{
	struct change change = { .what = SET_OTHER, .visibility = visibility };
	return change_gate(tree, repo, &change, err);
}

int loam_repos_set_visibility(const struct loam_tree *tree, const struct loam_repo *repo,
			      enum loam_visibility visibility, struct loam_err *err)
{
	int rc = set_visibility(tree, repo, visibility, err);
	return loam_audit(&(struct loam_audit_entry){ .action = "repo.visibility",
						      .repo = repo,
						      .detail = loam_visibility_name(visibility) },
			  rc, err);
}
