/*
 * Repositories as directories with rights (auth/repos.h). The drawing of a gate is in auth/gate.c.
 *
 * Every change of rights reads the gate's attributes, computes the new rule, and commits only if
 * the gate is still as it was read; two grants at once both hold. A publish may put a new gate
 * under the name meanwhile: then the change is made on that one too.
 */
#include "auth/repos.h"

#include "auth/gate.h"
#include "core/auto.h"
#include "core/clock.h"
#include "fs/files.h"
#include "fs/meta/txn.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define CHANGE_TRIES 50
#define GATE_TRIES   10 /* times that a publish may come between */
#define OWNER_BYTES  32

static const char *const visibility_names[] = {
	[LOAM_PRIVATE] = "private", [LOAM_INTERNAL] = "internal", [LOAM_PUBLIC] = "public"
};

const char *loam_visibility_name(enum loam_visibility visibility)
{
	return visibility_names[visibility];
}

int loam_visibility_parse(const char *text, enum loam_visibility *out, struct loam_err *err)
{
	for (size_t i = 0; i < LOAM_ARRAY_COUNT(visibility_names); i++) {
		if (strcmp(text, visibility_names[i]) == 0) {
			*out = (enum loam_visibility)i;
			return 0;
		}
	}
	return loam_fail(err, LOAM_E_UNPROCESSABLE, "'%.40s' is not private, internal or public",
			 text);
}

enum loam_visibility loam_gate_visibility(const struct loam_gate *gate)
{
	if (gate->anonymous_read)
		return LOAM_PUBLIC;
	unsigned other = loam_acl_is_empty(&gate->acl) ? gate->attr.mode & 07u : gate->acl.other;
	return (other & 05) == 05 ? LOAM_INTERNAL : LOAM_PRIVATE;
}

/* ---- making ---------------------------------------------------------------------------------- */

/* The entry of dir that equals name without regard to case: 1 with its own spelling, 0. */
static int find_any_case(struct loam_volume *volume, uint64_t dir_ino, const char *name,
			 char out[LOAM_NAME_BYTES_MAX + 1], struct loam_err *err)
{
	struct loam_dir *dir = NULL;
	int rc = loam_meta_opendir(volume->meta, dir_ino, false, &dir, err);
	if (rc < 0)
		return rc;
	int found = 0;
	size_t bytes = strlen(name);
	for (size_t i = 0; !found && i < loam_dir_count(dir); i++) {
		const struct loam_name *entry = &loam_dir_at(dir, i)->name;
		if (entry->bytes != bytes || strncasecmp(entry->data, name, bytes) != 0)
			continue;
		memcpy(out, entry->data, bytes);
		out[bytes] = '\0';
		found = 1;
	}
	loam_dir_close(dir);
	return found;
}

/* 1 when dir holds the name in another case of letters too: two that were made in the same moment.
 * Both makers look behind their making, so at least one of them sees it. */
static int has_twin(struct loam_volume *volume, uint64_t dir_ino, const char *name,
		    struct loam_err *err)
{
	struct loam_dir *dir = NULL;
	int rc = loam_meta_opendir(volume->meta, dir_ino, false, &dir, err);
	if (rc < 0)
		return rc;
	size_t bytes = strlen(name), same = 0;
	for (size_t i = 0; i < loam_dir_count(dir); i++) {
		const struct loam_name *entry = &loam_dir_at(dir, i)->name;
		same += entry->bytes == bytes && strncasecmp(entry->data, name, bytes) == 0;
	}
	loam_dir_close(dir);
	return same > 1;
}

/* Makes dir/name; takes it back when its twin is there. */
static int make_unique_dir(const struct loam_tree *tree, uint64_t dir_ino, const char *name,
			   uint16_t mode, uint64_t *out_ino, struct loam_err *err)
{
	const struct loam_who service = { .uid = LOAM_SERVICE_ID, .gid = LOAM_SERVICE_ID };
	struct loam_create create = { .type = LOAM_TYPE_DIR,
				      .mode = mode,
				      .set_flags = LOAM_FLAG_SKIP_TRASH };
	struct loam_meta *meta = tree->volume->meta;
	struct loam_attr attr;
	int rc = loam_meta_create(meta, &service, dir_ino, loam_name_of(name), &create, out_ino,
				  &attr, err);
	if (rc == 0)
		rc = has_twin(tree->volume, dir_ino, name, err);
	if (rc != 1)
		return rc;
	rc = loam_meta_rmdir(meta, &loam_who_root, dir_ino, loam_name_of(name), err);
	return rc < 0 ? rc
		      : loam_fail(err, LOAM_E_EXISTS,
				  "somebody makes '%s' in another case of letters right now", name);
}

static int check_namespace_owner(const struct loam_tree *tree, uint64_t ns_ino, const char *ns,
				 uint32_t owner_uid, struct loam_err *err)
{
	loam_auto_buf struct loam_buf text = LOAM_BUF(OWNER_BYTES);
	int rc = loam_meta_getxattr(tree->volume->meta, ns_ino, LOAM_XATTR_OWNER, &text, err);
	char wanted[OWNER_BYTES];
	snprintf(wanted, sizeof(wanted), "u:%u", owner_uid);
	if (rc == -LOAM_E_NO_DATA) { /* its maker died before this mark */
		loam_err_clear(err);
		return loam_meta_setxattr(tree->volume->meta, &loam_who_root, ns_ino,
					  LOAM_XATTR_OWNER, wanted, strlen(wanted),
					  LOAM_XATTR_CREATE, err);
	}
	if (rc < 0)
		return rc;
	if (strcmp(loam_buf_text(&text), wanted) != 0)
		return loam_fail(err, LOAM_E_DENIED, "the namespace '%s' belongs to %s", ns,
				 loam_buf_text(&text));
	return 0;
}

static int ensure_namespace(const struct loam_tree *tree, const struct loam_repo *repo,
			    uint32_t owner_uid, uint64_t *out_ns_ino, struct loam_err *err)
{
	char path[LOAM_PATH_BYTES_MAX], present[LOAM_NAME_BYTES_MAX + 1];
	snprintf(path, sizeof(path), "%s/%s", tree->root, loam_kind_name(repo->kind));
	uint64_t kind_ino;
	struct loam_attr attr;
	int rc = loam_files_lookup(tree->volume, path, &kind_ino, &attr, err);
	if (rc < 0)
		return rc;
	rc = find_any_case(tree->volume, kind_ino, repo->ns, present, err);
	if (rc < 0)
		return rc;
	if (rc == 1 && strcmp(present, repo->ns) != 0)
		return loam_fail(err, LOAM_E_EXISTS,
				 "there is a namespace '%s': names differ by more than case",
				 present);
	struct loam_meta *meta = tree->volume->meta;
	struct loam_name name = loam_name_of(repo->ns);
	if (rc == 0)
		rc = make_unique_dir(tree, kind_ino, repo->ns, 0755, out_ns_ino, err);
	if (rc == 1 || rc == -LOAM_E_EXISTS) { /* made before, or by somebody else right now */
		loam_err_clear(err);
		rc = loam_meta_lookup(meta, &loam_who_root, kind_ino, name, out_ns_ino, &attr, err);
		if (rc == 0 && attr.type != LOAM_TYPE_DIR)
			rc = loam_fail(err, LOAM_E_NOT_DIR, "it is there and no directory");
	}
	if (rc < 0)
		return loam_context(err, "namespace '%s'", repo->ns);
	return check_namespace_owner(tree, *out_ns_ino, repo->ns, owner_uid, err);
}

int loam_repos_create(const struct loam_tree *tree, const struct loam_repo *repo,
		      uint32_t owner_uid, enum loam_visibility visibility, uint64_t *out_gate_ino,
		      struct loam_err *err)
{
	uint64_t ns_ino, ignored;
	int rc = ensure_namespace(tree, repo, owner_uid, &ns_ino, err);
	if (rc < 0)
		return rc;
	char present[LOAM_NAME_BYTES_MAX + 1];
	rc = find_any_case(tree->volume, ns_ino, repo->name, present, err);
	if (rc < 0)
		return rc;
	if (rc == 1)
		return loam_fail(err, LOAM_E_EXISTS, "there is a repository '%s/%s/%s' already",
				 loam_kind_name(repo->kind), repo->ns, present);
	char links[LOAM_PATH_BYTES_MAX];
	loam_tree_links_path(tree, repo, links);
	rc = loam_files_mkdirs(tree->volume, links, LOAM_SERVICE_ID, LOAM_SERVICE_ID, 0700,
			       LOAM_FLAG_SKIP_TRASH, &ignored, err);
	if (rc < 0)
		return rc;
	rc = make_unique_dir(tree, ns_ino, repo->name, visibility == LOAM_PRIVATE ? 0750 : 0755,
			     out_gate_ino, err);
	if (rc == 0 && visibility == LOAM_PUBLIC)
		rc = loam_meta_setxattr(tree->volume->meta, &loam_who_root, *out_gate_ino,
					LOAM_XATTR_ANONYMOUS, "read", 4, 0, err);
	if (rc == 0)
		rc = loam_repos_mend_gate(tree, repo, err); /* the owner's entry */
	return rc < 0 ? rc : loam_meta_barrier(tree->volume->meta, err);
}

/* ---- listing --------------------------------------------------------------------------------- */

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names of directories in dir_ino, sorted; *out_names is an array of strings, all free(). */
static int sorted_dirs(const struct loam_tree *tree, uint64_t dir_ino, char ***out_names,
		       size_t *out_count, struct loam_err *err)
{
	struct loam_dir *dir = NULL;
	int rc = loam_meta_opendir(tree->volume->meta, dir_ino, false, &dir, err);
	if (rc < 0)
		return rc;
	size_t count = 0;
	char **names = loam_xcalloc(loam_dir_count(dir), sizeof(*names));
	for (size_t i = 0; i < loam_dir_count(dir); i++) {
		const struct loam_dir_entry *entry = loam_dir_at(dir, i);
		if (entry->dentry.type == LOAM_TYPE_DIR)
			names[count++] = loam_xstrndup(entry->name.data, entry->name.bytes);
	}
	loam_dir_close(dir);
	qsort(names, count, sizeof(*names), compare_names);
	*out_names = names;
	*out_count = count;
	return 0;
}

static void free_names(char **names, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(names[i]);
	free(names);
}

static int each_in_namespace(const struct loam_tree *tree, struct loam_repo *repo, uint64_t ns_ino,
			     loam_repos_seen_fn *seen, void *arg, struct loam_err *err)
{
	char **names = NULL;
	size_t count = 0;
	int rc = sorted_dirs(tree, ns_ino, &names, &count, err);
	for (size_t i = 0; rc == 0 && i < count; i++) {
		uint64_t ino;
		struct loam_attr attr;
		if (!loam_repo_segment_is_valid(names[i]))
			continue;
		snprintf(repo->name, sizeof(repo->name), "%.96s", names[i]);
		rc = loam_meta_lookup(tree->volume->meta, &loam_who_root, ns_ino,
				      loam_name_of(names[i]), &ino, &attr, err);
		if (rc == -LOAM_E_NOT_FOUND) { /* deleted in this moment */
			loam_err_clear(err);
			rc = 0;
		} else if (rc == 0) {
			rc = loam_gate_is(tree, ino, &attr, err);
			rc = rc == 1 ? seen(arg, repo, ino, err) : rc;
		}
	}
	free_names(names, count);
	return rc;
}

static int each_in_kind(const struct loam_tree *tree, struct loam_repo *repo,
			loam_repos_seen_fn *seen, void *arg, struct loam_err *err)
{
	char path[LOAM_PATH_BYTES_MAX];
	snprintf(path, sizeof(path), "%s/%s", tree->root, loam_kind_name(repo->kind));
	uint64_t kind_ino, ns_ino;
	struct loam_attr attr;
	int rc = loam_files_lookup(tree->volume, path, &kind_ino, &attr, err);
	char **names = NULL;
	size_t count = 0;
	if (rc == 0)
		rc = sorted_dirs(tree, kind_ino, &names, &count, err);
	for (size_t i = 0; rc == 0 && i < count; i++) {
		if (!loam_repo_segment_is_valid(names[i]))
			continue;
		snprintf(repo->ns, sizeof(repo->ns), "%.96s", names[i]);
		rc = loam_meta_lookup(tree->volume->meta, &loam_who_root, kind_ino,
				      loam_name_of(names[i]), &ns_ino, &attr, err);
		if (rc == -LOAM_E_NOT_FOUND) {
			loam_err_clear(err);
			rc = 0;
		} else if (rc == 0) {
			rc = each_in_namespace(tree, repo, ns_ino, seen, arg, err);
		}
	}
	free_names(names, count);
	return rc;
}

int loam_repos_each(const struct loam_tree *tree, loam_repos_seen_fn *seen, void *arg,
		    struct loam_err *err)
{
	int rc = 0;
	for (int kind = 0; rc == 0 && kind <= LOAM_KIND_CODE; kind++) {
		struct loam_repo repo = { .kind = (enum loam_kind)kind };
		rc = each_in_kind(tree, &repo, seen, arg, err);
	}
	return rc;
}

/* ---- changing rights ------------------------------------------------------------------------- */

struct change {
	uint64_t gate_ino;
	/* what is changed; see apply_change() */
	enum { GRANT, REVOKE, SET_OTHER, MEND } what;
	uint32_t owner_uid; /* of the namespace: always has an entry, so that the mount agrees */
	uint32_t uid;
	enum loam_want want;
	enum loam_visibility visibility;
	/* as read, and as computed from it */
	struct loam_attr seen, next;
	char *admins; /* new text, NULL: unchanged */
	bool did_something;
};

static void remove_user(struct loam_acl *acl, uint32_t uid, bool *out_had)
{
	*out_had = false;
	for (uint32_t i = 0; i < acl->user_count; i++) {
		if (acl->users[i].id != uid)
			continue;
		*out_had = true;
		acl->user_count--;
		memmove(&acl->users[i], &acl->users[i + 1],
			(acl->user_count - i) * sizeof(acl->users[0]));
		i--;
	}
}

static int add_user(struct loam_acl *acl, uint32_t uid, uint16_t perm, struct loam_err *err)
{
	if (acl->user_count + acl->group_count >= LOAM_ACL_ENTRIES_MAX)
		return loam_fail(
			err, LOAM_E_TOO_LARGE,
			"a repository takes %d grants (the kernel's limit for one ACL): use "
			"a group",
			LOAM_ACL_ENTRIES_MAX);
	struct loam_acl_entry *grown =
		reallocarray(acl->users, acl->user_count + 1, sizeof(*grown));
	if (!grown)
		return loam_fail(err, LOAM_E_BUSY, "no memory for an ACL");
	acl->users = grown;
	uint32_t at = acl->user_count++;
	for (; at > 0 && grown[at - 1].id > uid; at--)
		grown[at] = grown[at - 1];
	grown[at] = (struct loam_acl_entry){ .id = uid, .perm = perm };
	return 0;
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

/* Adds or removes uid in "uid uid uid"; free(). */
static char *edit_admins(const char *present, uint32_t uid, bool add)
{
	loam_auto_free char *copy = loam_xstrdup(present);
	char number[16];
	snprintf(number, sizeof(number), "%u", uid);
	char *out = loam_xstrdup("");
	char *save = NULL;
	for (char *word = strtok_r(copy, " \n", &save); word; word = strtok_r(NULL, " \n", &save)) {
		if (strcmp(word, number) == 0)
			continue;
		char *longer = loam_xasprintf("%s%s%s", out, out[0] ? " " : "", word);
		free(out);
		out = longer;
	}
	if (add) {
		char *longer = loam_xasprintf("%s%s%s", out, out[0] ? " " : "", number);
		free(out);
		out = longer;
	}
	return out;
}

static int apply_to_rule(struct change *change, struct loam_acl *acl, struct loam_err *err)
{
	bool had;
	switch (change->what) {
	case GRANT:
		remove_user(acl, change->uid, &had);
		return add_user(acl, change->uid, change->want == LOAM_WANT_READ ? 05 : 07, err);
	case REVOKE:
		remove_user(acl, change->uid, &change->did_something);
		return 0;
	case SET_OTHER:
		acl->other = change->visibility == LOAM_PRIVATE ? 0 : 05;
		return 0;
	case MEND:
		return 0;
	}
	return 0;
}

/* The owner may do everything at every door; on the mount his entry says so. */
static int ensure_owner(struct change *change, struct loam_acl *acl, struct loam_err *err)
{
	if (change->owner_uid == UINT32_MAX)
		return 0;
	for (uint32_t i = 0; i < acl->user_count; i++)
		if (acl->users[i].id == change->owner_uid && acl->users[i].perm == 07)
			return 0;
	bool had;
	remove_user(acl, change->owner_uid, &had);
	return add_user(acl, change->owner_uid, 07, err);
}

static void take_write(uint16_t *rights)
{
	if (*rights != LOAM_ACL_ABSENT)
		*rights &= 05;
}

/* From change->seen to change->next: the rule with the change in it; `w` only in named entries. */
static int compute(const struct loam_tree *tree, struct change *change, struct loam_err *err)
{
	struct loam_acl acl;
	int rc = read_rule(tree, &change->seen, &acl, err);
	if (rc == 0)
		rc = apply_to_rule(change, &acl, err);
	if (rc == 0)
		rc = ensure_owner(change, &acl, err);
	change->next = change->seen;
	take_write(&acl.group);
	take_write(&acl.other);
	if (rc == 0 && acl.user_count + acl.group_count > 0) {
		acl.mask = 05;
		rc = loam_meta_acl_intern(tree->volume->meta, &acl, &change->next.access_acl, err);
	} else {
		acl.mask = LOAM_ACL_ABSENT;
		change->next.access_acl = 0;
	}
	change->next.mode = (uint16_t)((change->seen.mode & 07000) | loam_acl_mode(&acl));
	change->next.uid = change->next.gid = LOAM_SERVICE_ID;
	loam_acl_release(&acl);
	return rc;
}

static bool attr_is_same(const struct loam_attr *a, const struct loam_attr *b)
{
	return a->access_acl == b->access_acl && a->mode == b->mode && a->uid == b->uid &&
	       a->gid == b->gid;
}

static int commit_change(struct loam_txn *txn, void *arg, struct loam_err *err)
{
	struct change *change = arg;
	struct loam_record admins =
		loam_rec_named(LOAM_REC_XATTR, change->gate_ino, loam_name_of(LOAM_XATTR_ADMINS));
	loam_txn_want_attr(txn, change->gate_ino);
	loam_txn_want(txn, &admins);
	struct loam_attr attr;
	int rc = loam_txn_attr(txn, change->gate_ino, &attr, err);
	if (rc <= 0)
		return rc < 0 ? rc : loam_fail(err, LOAM_E_NOT_FOUND, "the repository is gone");
	if (!attr_is_same(&attr, &change->seen))
		return loam_fail(err, LOAM_E_CONFLICT, "its rights were changed meanwhile");

	const struct loam_value *value;
	rc = loam_txn_read(txn, &admins, &value, err);
	if (rc < 0)
		return rc;
	loam_auto_free char *present =
		rc ? loam_xstrndup((const char *)value->data, value->bytes) : loam_xstrdup("");
	if (change->what == GRANT || change->what == REVOKE) {
		bool add = change->what == GRANT && change->want == LOAM_WANT_ADMIN;
		loam_auto_free char *text = edit_admins(present, change->uid, add);
		if (strcmp(text, present) != 0)
			change->did_something = true;
		if (text[0] != '\0')
			loam_txn_put(txn, &admins, text, strlen(text));
		else
			loam_txn_delete(txn, &admins);
	}
	if (attr_is_same(&attr, &change->next))
		return 0;
	change->did_something = true;
	attr.access_acl = change->next.access_acl;
	attr.mode = change->next.mode;
	attr.uid = change->next.uid;
	attr.gid = change->next.gid;
	attr.ctime = loam_clock_now();
	loam_txn_put_attr(txn, change->gate_ino, &attr);
	return 0;
}

/* Reads, computes, commits, until nobody came between. */
static int run_change(const struct loam_tree *tree, struct change *change, struct loam_err *err)
{
	int rc = 0;
	for (int tries = 0; tries < CHANGE_TRIES; tries++) {
		rc = loam_meta_getattr(tree->volume->meta, change->gate_ino, &change->seen, err);
		if (rc == 0)
			rc = compute(tree, change, err);
		if (rc == 0)
			rc = loam_meta_run(tree->volume->meta, 0, commit_change, change, err);
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
		rc = set_anonymous(tree, change->gate_ino, false, err);
	if (rc == 0)
		rc = run_change(tree, change, err);
	if (rc == 0 && visibility && change->visibility == LOAM_PUBLIC)
		rc = set_anonymous(tree, change->gate_ino, true, err);
	return rc;
}

static int find_gate(const struct loam_tree *tree, const struct loam_repo *repo,
		     struct change *out_change, struct loam_err *err)
{
	struct loam_gate gate;
	int rc = loam_gate_read(tree, repo, &gate, err);
	if (rc < 0)
		return rc;
	if (rc == 0)
		return loam_fail(err, LOAM_E_NOT_FOUND, "no repository '%s/%s/%s'",
				 loam_kind_name(repo->kind), repo->ns, repo->name);
	out_change->gate_ino = gate.ino;
	out_change->owner_uid = gate.owner_uid;
	loam_gate_release(&gate);
	return 0;
}

/* Until the gate that was changed is still the one that bears the name. */
static int change_gate(const struct loam_tree *tree, const struct loam_repo *repo,
		       struct change *change, struct loam_err *err)
{
	bool did_something = false;
	int rc = find_gate(tree, repo, change, err);
	for (int tries = 0; rc == 0 && tries < GATE_TRIES; tries++) {
		uint64_t changed = change->gate_ino;
		if (change->what == REVOKE && change->uid == change->owner_uid)
			return loam_fail(err, LOAM_E_NOT_PERMITTED,
					 "the namespace belongs to this user, who may do "
					 "everything in it");
		rc = change_once(tree, change, err);
		did_something |= change->did_something;
		if (rc == -LOAM_E_NOT_FOUND) { /* removed: by a publish, or with the repository */
			loam_err_clear(err);
			rc = 0;
		}
		if (rc == 0)
			rc = find_gate(tree, repo, change, err);
		if (rc == 0 && change->gate_ino == changed)
			break;
	}
	change->did_something = did_something;
	return rc < 0 ? rc : loam_meta_barrier(tree->volume->meta, err);
}

int loam_repos_grant(const struct loam_tree *tree, const struct loam_repo *repo, uint32_t uid,
		     enum loam_want want, struct loam_err *err)
{
	struct change change = { .what = GRANT, .uid = uid, .want = want };
	return change_gate(tree, repo, &change, err);
}

int loam_repos_revoke(const struct loam_tree *tree, const struct loam_repo *repo, uint32_t uid,
		      struct loam_err *err)
{
	struct change change = { .what = REVOKE, .uid = uid };
	int rc = change_gate(tree, repo, &change, err);
	if (rc == 0 && !change.did_something)
		return loam_fail(err, LOAM_E_NOT_FOUND, "there was no grant to take back");
	return rc;
}

int loam_repos_mend_gate(const struct loam_tree *tree, const struct loam_repo *repo,
			 struct loam_err *err)
{
	struct change change = { .what = MEND };
	int rc = find_gate(tree, repo, &change, err);
	if (rc == 0)
		rc = run_change(tree, &change, err);
	if (rc == 0 && change.did_something)
		rc = loam_meta_barrier(tree->volume->meta, err);
	return rc < 0 ? rc : change.did_something;
}

int loam_repos_set_visibility(const struct loam_tree *tree, const struct loam_repo *repo,
			      enum loam_visibility visibility, struct loam_err *err)
{
	struct change change = { .what = SET_OTHER, .visibility = visibility };
	return change_gate(tree, repo, &change, err);
}
