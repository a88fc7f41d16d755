/*
 * Repositories as directories with rights: making and listing them (auth/repos.h). The drawing of a
 * gate is in auth/gate.c.
 */
#include "auth/repos.h"

#include "auth/audit.h"
#include "auth/gate.h"
#include "core/auto.h"
#include "fs/files.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define OWNER_BYTES 32

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
				 const struct loam_grantee *owner, struct loam_err *err)
{
	loam_auto_buf struct loam_buf text = LOAM_BUF(OWNER_BYTES);
	int rc = loam_meta_getxattr(tree->volume->meta, ns_ino, LOAM_XATTR_OWNER, &text, err);
	char wanted[OWNER_BYTES];
	snprintf(wanted, sizeof(wanted), "%c:%u", owner->is_group ? 'g' : 'u', owner->id);
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

int loam_repos_ensure_namespace(const struct loam_tree *tree, const struct loam_repo *repo,
				const struct loam_grantee *owner, uint64_t *out_ns_ino,
				struct loam_err *err)
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
	return check_namespace_owner(tree, *out_ns_ino, repo->ns, owner, err);
}

static int create(const struct loam_tree *tree, const struct loam_repo *repo,
		  const struct loam_grantee *owner, enum loam_visibility visibility,
		  uint64_t *out_gate_ino, struct loam_err *err)
{
	uint64_t ns_ino, ignored;
	int rc = loam_repos_ensure_namespace(tree, repo, owner, &ns_ino, err);
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
		rc = loam_repos_mend_gate(tree, repo, err); /* the namespace's entries */
	return rc < 0 ? rc : loam_meta_barrier(tree->volume->meta, err);
}

int loam_repos_create(const struct loam_tree *tree, const struct loam_repo *repo,
		      const struct loam_grantee *owner, enum loam_visibility visibility,
		      uint64_t *out_gate_ino, struct loam_err *err)
{
	int rc = create(tree, repo, owner, visibility, out_gate_ino, err);
	return loam_audit(&(struct loam_audit_entry){ .action = "repo.create",
						      .repo = repo,
						      .grantee = owner,
						      .detail = loam_visibility_name(visibility) },
			  rc, err);
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

int loam_repos_each_in(const struct loam_tree *tree, const struct loam_repo *repo,
		       loam_repos_seen_fn *seen, void *arg, struct loam_err *err)
{
	struct loam_repo each = *repo;
	char path[LOAM_PATH_BYTES_MAX];
	struct loam_attr attr;
	uint64_t ino;
	snprintf(path, sizeof(path), "%s/%s/%s", tree->root, loam_kind_name(repo->kind), repo->ns);
	int rc = loam_files_lookup(tree->volume, path, &ino, &attr, err);
	if (rc < 0)
		return rc;
	return each_in_namespace(tree, &each, ino, seen, arg, err);
}
