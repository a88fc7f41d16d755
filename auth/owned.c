/*
 * Namespaces and groups that need somebody else when an account goes (auth/owned.h).
 */
#include "auth/owned.h"

#include "fs/files.h"

#include <stdio.h>
#include <string.h>

#define NAMED_MAX 4 /* in one line of a message */

struct search {
	const struct loam_tree *tree;
	const struct loam_grantee *who;
	bool drop_empty;
	struct loam_owned *out;
	size_t with_repos;
};

static int count_repo(void *arg, const struct loam_repo *repo, uint64_t gate_ino,
		      struct loam_err *err)
{
	size_t *count = arg;
	(*count)++;
	return 0;
}

static void note(struct search *search, const struct loam_ns *ns, size_t repos)
{
	struct loam_owned *out = search->out;
	size_t at = strlen(out->text);
	char text[LOAM_REPO_TEXT_BYTES];
	out->repos += repos;
	if (repos == 0 || search->with_repos++ >= NAMED_MAX)
		return;
	loam_ns_text(ns, text);
	snprintf(out->text + at, sizeof(out->text) - at, "%s%.48s%s (%zu %s)", at ? ", " : "", text,
		 strlen(text) > 48 ? "…" : "", repos, repos == 1 ? "repository" : "repositories");
}

/* The directory goes only while it is empty, whatever was made in it meanwhile. */
static int drop_ns(const struct loam_tree *tree, const struct loam_ns *ns, struct loam_err *err)
{
	char path[LOAM_PATH_BYTES_MAX];
	uint64_t parent;
	struct loam_name last;
	snprintf(path, sizeof(path), "%s/%s/%s", tree->root, loam_kind_name(ns->kind), ns->ns);
	int rc = loam_files_parent(tree->volume, path, &parent, &last, err);
	if (rc == 0)
		rc = loam_meta_rmdir(tree->volume->meta, &loam_who_root, parent, last, err);
	if (rc == -LOAM_E_NOT_FOUND || rc == -LOAM_E_NOT_EMPTY) {
		loam_err_clear(err);
		rc = 0;
	}
	return rc;
}

static int look(void *arg, const struct loam_ns *ns, struct loam_err *err)
{
	struct search *search = arg;
	struct loam_ns_info info = { 0 };
	struct loam_repo any = { .kind = ns->kind };
	size_t repos = 0;
	int rc = loam_ns_read(search->tree, ns, &info, err);
	if (rc <= 0)
		return rc;
	bool his = info.owner.is_group == search->who->is_group && info.owner.id == search->who->id;
	loam_ns_info_release(&info);
	if (!his)
		return 0;
	memcpy(any.ns, ns->ns, sizeof(any.ns));
	rc = loam_repos_each_in(search->tree, &any, count_repo, &repos, err);
	if (rc == -LOAM_E_NOT_FOUND) {
		loam_err_clear(err);
		return 0;
	}
	if (rc < 0)
		return rc;
	search->out->namespaces++;
	note(search, ns, repos);
	return repos == 0 && search->drop_empty ? drop_ns(search->tree, ns, err) : 0;
}

static int run(struct search *search, struct loam_err *err)
{
	struct loam_owned *out = search->out;
	*out = (struct loam_owned){ .namespaces = 0 };
	int rc = loam_ns_each(search->tree, look, search, err);
	if (rc < 0)
		return loam_context(err, "look for what is owned");
	size_t at = strlen(out->text);
	if (search->with_repos > NAMED_MAX)
		snprintf(out->text + at, sizeof(out->text) - at, " and %zu more",
			 search->with_repos - NAMED_MAX);
	return 0;
}

static int refuse(const struct loam_owned *owned, const char *name, struct loam_err *err)
{
	if (owned->repos == 0)
		return 0;
	return loam_fail(err, LOAM_E_NOT_EMPTY,
			 "'%s' owns %s: give them to somebody first (loam namespace owner NS WHO), "
			 "or delete the repositories",
			 name, owned->text);
}

int loam_owned_read(const struct loam_tree *tree, const struct loam_grantee *who,
		    struct loam_owned *out, struct loam_err *err)
{
	struct search search = { .tree = tree, .who = who, .out = out };
	return run(&search, err);
}

int loam_owned_refuse(const struct loam_tree *tree, const struct loam_grantee *who,
		      const char *name, struct loam_err *err)
{
	struct loam_owned owned;
	int rc = loam_owned_read(tree, who, &owned, err);
	return rc < 0 ? rc : refuse(&owned, name, err);
}

int loam_owned_clear(const struct loam_tree *tree, const struct loam_grantee *who, const char *name,
		     struct loam_err *err)
{
	struct loam_owned owned;
	struct search search = { .tree = tree, .who = who, .drop_empty = true, .out = &owned };
	int rc = run(&search, err);
	return rc < 0 ? rc : refuse(&owned, name, err);
}

void loam_owned_managed(const struct loam_accounts *accounts, const char *user,
			char out[LOAM_OWNED_TEXT_BYTES])
{
	size_t at = 0;
	out[0] = '\0';
	for (const struct loam_group *group = accounts->groups_by_name; group;
	     group = group->by_name.next) {
		if (group->managers.count != 1 || !loam_names_hold(&group->managers, user) ||
		    at >= LOAM_OWNED_TEXT_BYTES - 1)
			continue;
		int bytes = snprintf(out + at, LOAM_OWNED_TEXT_BYTES - at, "%s%s", at ? ", " : "",
				     group->name);
		at += bytes > 0 ? (size_t)bytes : 0;
	}
}
