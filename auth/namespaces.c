/*
 * Namespaces, their owners and their grants (auth/namespaces.h).
 */
#include "auth/namespaces.h"

#include "auth/account_store.h"
#include "auth/audit.h"
#include "auth/gate.h"
#include "core/auto.h"
#include "core/clock.h"
#include "fs/files.h"
#include "fs/meta/txn.h"

#include <stdio.h>
#include <string.h>

/* ---- names ----------------------------------------------------------------------------------- */

bool loam_ns_is_meant(const char *text)
{
	size_t bytes = strlen(text);
	return bytes > 0 && text[bytes - 1] == '/';
}

int loam_ns_parse(const char *text, struct loam_ns *out, struct loam_err *err)
{
	size_t bytes = strlen(text);
	if (bytes > 0 && text[bytes - 1] == '/')
		bytes--;
	if (bytes == 0 || bytes >= LOAM_REPO_TEXT_BYTES)
		return loam_fail(err, LOAM_E_UNPROCESSABLE,
				 "a namespace is named [models|datasets|code/]NAMESPACE/");
	/* Its rules are those of the first name of a repository. */
	loam_auto_free char *with_name = loam_xasprintf("%.*s/x", (int)bytes, text);
	struct loam_repo repo;
	int rc = loam_repo_parse(with_name, &repo, err);
	if (rc < 0)
		return rc;
	out->kind = repo.kind;
	memcpy(out->ns, repo.ns, sizeof(out->ns));
	return 0;
}

void loam_ns_text(const struct loam_ns *ns, char out[LOAM_REPO_TEXT_BYTES])
{
	snprintf(out, LOAM_REPO_TEXT_BYTES, "%s/%s/", loam_kind_name(ns->kind), ns->ns);
}

static struct loam_repo any_repo(const struct loam_ns *ns)
{
	struct loam_repo repo = { .kind = ns->kind };
	memcpy(repo.ns, ns->ns, sizeof(repo.ns));
	return repo;
}

/* ---- reading --------------------------------------------------------------------------------- */

void loam_ns_info_release(struct loam_ns_info *info)
{
	loam_rights_release(&info->grants);
}

/* 1 found, 0 not there. */
static int find_ns(const struct loam_tree *tree, const struct loam_ns *ns, uint64_t *out_ino,
		   struct loam_err *err)
{
	char path[LOAM_PATH_BYTES_MAX];
	struct loam_attr attr;
	snprintf(path, sizeof(path), "%s/%s/%s", tree->root, loam_kind_name(ns->kind), ns->ns);
	int rc = loam_files_lookup(tree->volume, path, out_ino, &attr, err);
	if (rc == -LOAM_E_NOT_FOUND) {
		loam_err_clear(err);
		return 0;
	}
	return rc < 0 ? rc : attr.type == LOAM_TYPE_DIR;
}

struct ns_texts {
	uint64_t ino;
	char *owner, *grants; /* NULL: absent */
};

static void release_texts(struct ns_texts *texts)
{
	free(texts->owner);
	free(texts->grants);
	texts->owner = texts->grants = NULL;
}

static struct loam_record mark_of(uint64_t ino, const char *name)
{
	return loam_rec_named(LOAM_REC_XATTR, ino, loam_name_of(name));
}

static int read_text(struct loam_txn *txn, const struct loam_record *record, char **out,
		     struct loam_err *err)
{
	const struct loam_value *value;
	int rc = loam_txn_read(txn, record, &value, err);
	if (rc == 1)
		*out = loam_xstrndup((const char *)value->data, value->bytes);
	return rc < 0 ? rc : 0;
}

static int read_texts(struct loam_txn *txn, void *arg, struct loam_err *err)
{
	struct ns_texts *texts = arg;
	struct loam_record owner = mark_of(texts->ino, LOAM_XATTR_OWNER);
	struct loam_record grants = mark_of(texts->ino, LOAM_XATTR_GRANTS);
	struct loam_attr attr;
	release_texts(texts);
	loam_txn_want_attr(txn, texts->ino);
	loam_txn_want(txn, &owner);
	loam_txn_want(txn, &grants);
	int rc = loam_txn_attr(txn, texts->ino, &attr, err);
	if (rc == 0)
		return loam_fail(err, LOAM_E_NOT_FOUND, "the namespace is gone");
	if (rc > 0)
		rc = read_text(txn, &owner, &texts->owner, err);
	return rc < 0 ? rc : read_text(txn, &grants, &texts->grants, err);
}

static int parse_texts(const struct ns_texts *texts, struct loam_ns_info *out, struct loam_err *err)
{
	uint32_t uid = UINT32_MAX, gid = UINT32_MAX;
	int rc = texts->owner ? loam_gate_owner_parse(texts->owner, &uid, &gid, err) : 0;
	if (rc == 0)
		rc = loam_rights_parse(texts->grants ? texts->grants : "", false, &out->grants,
				       err);
	out->owner = (struct loam_grantee){ .is_group = gid != UINT32_MAX,
					    .id = gid != UINT32_MAX ? gid : uid };
	return rc;
}

int loam_ns_read(const struct loam_tree *tree, const struct loam_ns *ns, struct loam_ns_info *out,
		 struct loam_err *err)
{
	struct ns_texts texts = { 0 };
	struct loam_ns_info info = { 0 };
	int rc = find_ns(tree, ns, &texts.ino, err);
	if (rc <= 0)
		return rc;
	rc = loam_meta_run(tree->volume->meta, 0, read_texts, &texts, err);
	if (rc == 0)
		rc = parse_texts(&texts, &info, err);
	release_texts(&texts);
	if (rc < 0)
		return loam_context(err, "read the rights of %s/%s/", loam_kind_name(ns->kind),
				    ns->ns);
	*out = info;
	return 1;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp((const char *)a, (const char *)b);
}

typedef char ns_name[LOAM_REPO_SEGMENT_BYTES_MAX + 1];

static int each_of_kind(const struct loam_tree *tree, enum loam_kind kind, loam_ns_seen_fn *seen,
			void *arg, struct loam_err *err)
{
	char path[LOAM_PATH_BYTES_MAX];
	struct loam_attr attr;
	struct loam_dir *dir = NULL;
	uint64_t ino;
	snprintf(path, sizeof(path), "%s/%s", tree->root, loam_kind_name(kind));
	int rc = loam_files_lookup(tree->volume, path, &ino, &attr, err);
	if (rc == 0)
		rc = loam_meta_opendir(tree->volume->meta, ino, false, &dir, err);
	if (rc < 0)
		return rc;
	size_t count = 0;
	loam_auto_free ns_name *names = loam_xcalloc(loam_dir_count(dir) + 1, sizeof(*names));
	for (size_t i = 0; i < loam_dir_count(dir); i++) {
		const struct loam_dir_entry *entry = loam_dir_at(dir, i);
		if (entry->dentry.type != LOAM_TYPE_DIR || entry->name.bytes >= sizeof(*names))
			continue;
		memcpy(names[count], entry->name.data, entry->name.bytes);
		names[count][entry->name.bytes] = '\0';
		count += loam_repo_segment_is_valid(names[count]);
	}
	loam_dir_close(dir);
	qsort(names, count, sizeof(*names), compare_names);
	for (size_t i = 0; rc == 0 && i < count; i++) {
		struct loam_ns ns = { .kind = kind };
		memcpy(ns.ns, names[i], sizeof(ns.ns));
		rc = seen(arg, &ns, err);
	}
	return rc;
}

int loam_ns_each(const struct loam_tree *tree, loam_ns_seen_fn *seen, void *arg,
		 struct loam_err *err)
{
	int rc = 0;
	for (int kind = 0; rc == 0 && kind <= LOAM_KIND_CODE; kind++)
		rc = each_of_kind(tree, (enum loam_kind)kind, seen, arg, err);
	return rc;
}

/* ---- changing -------------------------------------------------------------------------------- */

struct ns_change {
	uint64_t ino;
	enum { SET_OWNER, GRANT, REVOKE } what;
	struct loam_grantee who;
	enum loam_right right;
	bool had, owns; /* answers to REVOKE */
};

static int change_rows(struct ns_change *change, struct loam_ns_info *info, struct loam_err *err)
{
	struct loam_right_row *row = loam_rights_find(&info->grants, &change->who);
	change->owns =
		info->owner.is_group == change->who.is_group && info->owner.id == change->who.id;
	change->had = row != NULL;
	if (change->what == REVOKE && row)
		row->inherited = LOAM_RIGHT_NONE;
	if (change->what != GRANT)
		return 0;
	if (!row && info->grants.count >= LOAM_NS_GRANTS_MAX)
		return loam_fail(err, LOAM_E_TOO_LARGE,
				 "a namespace takes %d grants, since each of its repositories "
				 "carries them: use a group",
				 LOAM_NS_GRANTS_MAX);
	int rc = row ? 0 : loam_rights_row(&info->grants, &change->who, &row, err);
	if (rc == 0)
		row->inherited = change->right;
	return rc;
}

static void put_change(struct loam_txn *txn, const struct ns_change *change,
		       const struct loam_ns_info *info)
{
	struct loam_record owner = mark_of(change->ino, LOAM_XATTR_OWNER);
	struct loam_record grants = mark_of(change->ino, LOAM_XATTR_GRANTS);
	if (change->what == SET_OWNER) {
		char text[32];
		snprintf(text, sizeof(text), "%c:%u", change->who.is_group ? 'g' : 'u',
			 change->who.id);
		loam_txn_put(txn, &owner, text, strlen(text));
		return;
	}
	loam_auto_free char *text = loam_rights_print(&info->grants, false);
	if (text[0] != '\0')
		loam_txn_put(txn, &grants, text, strlen(text));
	else
		loam_txn_delete(txn, &grants);
}

static int commit_ns(struct loam_txn *txn, void *arg, struct loam_err *err)
{
	struct ns_change *change = arg;
	struct ns_texts texts = { .ino = change->ino };
	struct loam_ns_info info = { 0 };
	int rc = read_texts(txn, &texts, err);
	if (rc == 0)
		rc = parse_texts(&texts, &info, err);
	if (rc == 0)
		rc = change_rows(change, &info, err);
	if (rc == 0)
		put_change(txn, change, &info);
	release_texts(&texts);
	loam_ns_info_release(&info);
	return rc;
}

struct spread {
	const struct loam_tree *tree;
	struct loam_err first; /* trouble with one repository keeps no other from its change */
	unsigned failed;
};

static int spread_to(void *arg, const struct loam_repo *repo, uint64_t gate_ino,
		     struct loam_err *err)
{
	struct spread *spread = arg;
	struct loam_err own = { 0 };
	int rc = loam_repos_mend_gate(spread->tree, repo, &own);
	if (rc >= 0 || rc == -LOAM_E_NOT_FOUND)
		return 0;
	if (rc == -LOAM_E_UNAVAILABLE)
		return loam_fail(err, own.code, "%s", own.text);
	if (spread->failed++ == 0) {
		char text[LOAM_REPO_TEXT_BYTES];
		loam_repo_text(repo, text);
		spread->first = (struct loam_err){ 0 };
		loam_fail(&spread->first, own.code, "%s: %s", text, own.text);
	}
	return 0;
}

static int spread_to_all(const struct loam_tree *tree, const struct loam_ns *ns,
			 struct loam_err *err)
{
	struct spread spread = { .tree = tree };
	struct loam_repo any = any_repo(ns);
	int rc = loam_repos_each_in(tree, &any, spread_to, &spread, err);
	if (rc == 0 && spread.failed > 0)
		return loam_fail(err, spread.first.code,
				 "changed on the namespace, but not on %u of its repositories: %s",
				 spread.failed, spread.first.text);
	return rc < 0 ? rc : loam_meta_barrier(tree->volume->meta, err);
}

static int run_change(const struct loam_tree *tree, const struct loam_ns *ns,
		      struct ns_change *change, struct loam_err *err)
{
	int rc = find_ns(tree, ns, &change->ino, err);
	if (rc == 0)
		return loam_fail(err, LOAM_E_NOT_FOUND, "no namespace '%s/%s/'",
				 loam_kind_name(ns->kind), ns->ns);
	if (rc > 0)
		rc = loam_meta_run(tree->volume->meta, 0, commit_ns, change, err);
	return rc < 0 ? rc : spread_to_all(tree, ns, err);
}

static int create_ns(const struct loam_tree *tree, const struct loam_ns *ns,
		     const struct loam_grantee *owner, struct loam_err *err)
{
	uint64_t ino;
	struct loam_repo any = any_repo(ns);
	int rc = find_ns(tree, ns, &ino, err);
	if (rc == 1)
		return loam_fail(err, LOAM_E_EXISTS, "there is a namespace '%s/%s/' already",
				 loam_kind_name(ns->kind), ns->ns);
	if (rc == 0)
		rc = loam_repos_ensure_namespace(tree, &any, owner, &ino, err);
	return rc < 0 ? rc : loam_meta_barrier(tree->volume->meta, err);
}

int loam_ns_create(const struct loam_tree *tree, const struct loam_ns *ns,
		   const struct loam_grantee *owner, struct loam_err *err)
{
	int rc = create_ns(tree, ns, owner, err);
	return loam_audit(&(struct loam_audit_entry){ .action = "namespace.create",
						      .ns = ns->ns,
						      .grantee = owner,
						      .detail = loam_kind_name(ns->kind) },
			  rc, err);
}

static int set_owner(const struct loam_tree *tree, const struct loam_ns *ns,
		     const struct loam_grantee *owner, struct loam_err *err)
{
	struct ns_change change = { .what = SET_OWNER, .who = *owner };
	return run_change(tree, ns, &change, err);
}

int loam_ns_set_owner(const struct loam_tree *tree, const struct loam_ns *ns,
		      const struct loam_grantee *owner, struct loam_err *err)
{
	int rc = set_owner(tree, ns, owner, err);
	return loam_audit(&(struct loam_audit_entry){ .action = "namespace.owner",
						      .ns = ns->ns,
						      .grantee = owner,
						      .detail = loam_kind_name(ns->kind) },
			  rc, err);
}

static int grant_in_ns(const struct loam_tree *tree, const struct loam_ns *ns,
		       const struct loam_grantee *who, enum loam_want want, struct loam_err *err)
{
	struct ns_change change = { .what = GRANT, .who = *who, .right = loam_right_of_want(want) };
	return run_change(tree, ns, &change, err);
}

int loam_ns_grant(const struct loam_tree *tree, const struct loam_ns *ns,
		  const struct loam_grantee *who, enum loam_want want, struct loam_err *err)
{
	int rc = grant_in_ns(tree, ns, who, want, err);
	return loam_audit(&(struct loam_audit_entry){ .action = "namespace.grant",
						      .ns = ns->ns,
						      .grantee = who,
						      .detail = loam_right_name(
							      loam_right_of_want(want)) },
			  rc, err);
}

static int revoke_in_ns(const struct loam_tree *tree, const struct loam_ns *ns,
			const struct loam_grantee *who, struct loam_err *err)
{
	struct ns_change change = { .what = REVOKE, .who = *who };
	int rc = run_change(tree, ns, &change, err);
	if (rc < 0 || change.had)
		return rc;
	if (change.owns)
		return loam_fail(
			err, LOAM_E_NOT_PERMITTED,
			"the namespace is theirs: loam namespace owner %s/%s/ WHO gives it "
			"to somebody else",
			loam_kind_name(ns->kind), ns->ns);
	return loam_fail(err, LOAM_E_NOT_FOUND, "there was no grant to take back");
}

int loam_ns_revoke(const struct loam_tree *tree, const struct loam_ns *ns,
		   const struct loam_grantee *who, struct loam_err *err)
{
	int rc = revoke_in_ns(tree, ns, who, err);
	return loam_audit(&(struct loam_audit_entry){ .action = "namespace.revoke",
						      .ns = ns->ns,
						      .grantee = who },
			  rc, err);
}

/* ---- the question ---------------------------------------------------------------------------- */

static bool is_meant(const struct loam_principal *who, const struct loam_grantee *grantee)
{
	if (!grantee->is_group)
		return who->uid == grantee->id;
	if (who->gid == grantee->id)
		return true;
	for (size_t i = 0; i < who->group_count; i++)
		if (who->groups[i] == grantee->id)
			return true;
	return false;
}

static enum loam_right right_on(const struct loam_principal *who, const struct loam_ns_info *info)
{
	if (info->owner.id != UINT32_MAX && is_meant(who, &info->owner))
		return LOAM_RIGHT_OWNER;
	enum loam_right most = LOAM_RIGHT_NONE;
	for (size_t i = 0; i < info->grants.count; i++) {
		const struct loam_right_row *row = &info->grants.rows[i];
		if (row->inherited > most && is_meant(who, &row->who))
			most = row->inherited;
	}
	return most;
}

static bool has_scope(const struct loam_principal *who, enum loam_want want)
{
	if (who->kind == LOAM_USER)
		return true;
	if (who->kind != LOAM_TOKEN || who->only_repo[0] != '\0')
		return false;
	return want == LOAM_WANT_READ	 ? who->scope != 0
	       : want == LOAM_WANT_WRITE ? who->scope & (LOAM_SCOPE_WRITE | LOAM_SCOPE_ADMIN)
					 : who->scope & LOAM_SCOPE_ADMIN;
}

static int refuse(const struct loam_principal *who, enum loam_right right, const char *text,
		  struct loam_err *err)
{
	if (who->kind == LOAM_ANONYMOUS)
		return loam_fail(err, LOAM_E_UNAUTHENTICATED, "log in to use this server");
	if (right < LOAM_RIGHT_READ)
		return loam_fail(err, LOAM_E_NOT_FOUND, "no namespace '%s'", text);
	return loam_fail(err, LOAM_E_DENIED, "%s may not do this in the namespace '%s'", who->user,
			 text);
}

int loam_auth_ask_namespace(struct loam_auth *auth, const struct loam_principal *who,
			    const struct loam_ns *ns, enum loam_want want, struct loam_err *err)
{
	char text[LOAM_REPO_TEXT_BYTES];
	struct loam_ns_info info = { 0 };
	loam_ns_text(ns, text);
	int found = loam_ns_read(loam_auth_tree(auth), ns, &info, err);
	if (found < 0)
		return found;
	enum loam_right right = LOAM_RIGHT_NONE;
	if (found == 1 && who->kind == LOAM_ADMIN)
		right = LOAM_RIGHT_OWNER;
	else if (found == 1 && (who->kind == LOAM_USER || who->kind == LOAM_TOKEN))
		right = right_on(who, &info);
	loam_ns_info_release(&info);
	bool allowed = who->kind == LOAM_ADMIN || has_scope(who, want);
	if (right >= loam_right_of_want(want) && allowed)
		return 0;
	return refuse(who, right, text, err);
}

int loam_auth_check_namespace(struct loam_auth *auth, const struct loam_principal *who,
			      const struct loam_ns *ns, enum loam_want want, struct loam_err *err)
{
	uint64_t asked_ns = loam_clock_ns();
	int rc = loam_auth_ask_namespace(auth, who, ns, want, err);
	if (rc == -LOAM_E_NOT_FOUND || rc == -LOAM_E_UNAUTHENTICATED)
		loam_auth_hide_time(asked_ns, LOAM_HIDE_READS_MS);
	return rc;
}

/* Whose a namespace of this name would be: *out_in says whether who is that user, or in the
 * group. */
static int owner_by_name(struct loam_auth *auth, const struct loam_principal *who, const char *name,
			 struct loam_grantee *out, bool *out_in, struct loam_err *err)
{
	struct loam_account_store *store = loam_auth_accounts(auth);
	const struct loam_accounts *accounts = NULL;
	int rc = loam_account_store_get(store, true, &accounts, err);
	if (rc < 0)
		return rc;
	const struct loam_account *account = loam_accounts_by_name(accounts, name);
	const struct loam_group *group = loam_accounts_group(accounts, name);
	if (account)
		*out = (struct loam_grantee){ .id = account->uid };
	else if (group)
		*out = (struct loam_grantee){ .is_group = true, .id = group->gid };
	*out_in = (account || group) && is_meant(who, out);
	loam_account_store_put(store, accounts);
	return account || group;
}

/* The same words whether the namespace is there or not. */
static int refuse_create(const struct loam_principal *who, const struct loam_ns *ns,
			 struct loam_err *err)
{
	return loam_fail(err, LOAM_E_DENIED,
			 "%s may make repositories in the namespace %s/, in those of groups that "
			 "%s is in, and where it was granted, but not in '%s/'",
			 who->user, who->user, who->user, ns->ns);
}

static int check_new_namespace(struct loam_auth *auth, const struct loam_principal *who,
			       const struct loam_ns *ns, struct loam_grantee *out_owner,
			       struct loam_err *err)
{
	bool in = false;
	int found = owner_by_name(auth, who, ns->ns, out_owner, &in, err);
	if (found < 0)
		return found;
	if (who->kind == LOAM_ADMIN)
		return found == 1 ? 0
				  : loam_fail(err, LOAM_E_INVALID,
					      "the namespace '%s' is new and no name of a user or "
					      "group: say --owner WHO",
					      ns->ns);
	return in && has_scope(who, LOAM_WANT_WRITE) ? 0 : refuse_create(who, ns, err);
}

static int check_create(struct loam_auth *auth, const struct loam_principal *who,
			const struct loam_repo *repo, struct loam_grantee *out_owner,
			struct loam_err *err)
{
	struct loam_ns ns = { .kind = repo->kind };
	struct loam_ns_info info = { 0 };
	memcpy(ns.ns, repo->ns, sizeof(ns.ns));
	if (who->kind == LOAM_ANONYMOUS)
		return loam_fail(err, LOAM_E_UNAUTHENTICATED, "log in to use this server");
	int found = loam_ns_read(loam_auth_tree(auth), &ns, &info, err);
	if (found < 0)
		return found;
	struct loam_grantee owner = info.owner;
	loam_ns_info_release(&info);
	if (found == 0 || owner.id == UINT32_MAX)
		return check_new_namespace(auth, who, &ns, out_owner, err);
	int rc = loam_auth_ask_namespace(auth, who, &ns, LOAM_WANT_WRITE, err);
	if (rc == -LOAM_E_NOT_FOUND || rc == -LOAM_E_DENIED) {
		loam_err_clear(err);
		return refuse_create(who, &ns, err);
	}
	if (rc == 0)
		*out_owner = owner;
	return rc;
}

/* A refusal reads the accounts when the namespace is not there, and nothing more when it is. */
int loam_auth_check_create(struct loam_auth *auth, const struct loam_principal *who,
			   const struct loam_repo *repo, struct loam_grantee *out_owner,
			   struct loam_err *err)
{
	uint64_t asked_ns = loam_clock_ns();
	int rc = check_create(auth, who, repo, out_owner, err);
	if (rc == -LOAM_E_DENIED)
		loam_auth_hide_time(asked_ns, LOAM_HIDE_WALK_MS);
	return rc;
}
