/*
 * Groups made, changed and removed (auth/groups.h).
 *
 * `group add` writes next, group, the directory; `group del` the gshadow line, the directory, the
 * retired number, and the group line last, with the name. A command that was killed leaves a group
 * that `group del` removes whole.
 */
#include "auth/groups.h"

#include "auth/account_store_internal.h"
#include "auth/audit.h"
#include "auth/fields.h"
#include "auth/owned.h"
#include "core/auto.h"
#include "fs/files.h"

#include <stdio.h>
#include <string.h>

#define DIR_MODE 02770

/* ---- lines ----------------------------------------------------------------------------------- */

struct line_edit {
	const char *name;
	size_t field;	  /* of the list of names */
	const char *user; /* put into the list, or taken out of it */
	bool add;
	bool keep_one;	 /* the last of the list stays */
	bool make;	 /* gshadow: a missing line is made */
	uint32_t gid;	 /* group: the line must still have it; 0: any */
	bool had, found; /* answers: was he there; is there such a line */
};

static int print_line(char *const *fields, size_t field, const char *list, struct loam_buf *out,
		      struct loam_err *err)
{
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < LOAM_GROUP_FIELDS; i++)
		rc = loam_buf_printf(out, err, "%s%s", i ? ":" : "", i == field ? list : fields[i]);
	return rc == 0 ? loam_buf_add(out, "\n", 1, err) : rc;
}

/* The line with the name in its list, or without it. */
static int edit_fields(struct line_edit *edit, char *const *fields, struct loam_buf *out,
		       struct loam_err *err)
{
	const char *list = fields[edit->field];
	loam_auto_free char *without = loam_list_without(list, edit->user);
	loam_auto_free char *with = loam_list_with(list, edit->user);
	edit->found = true;
	edit->had = loam_list_holds(list, edit->user);
	if (edit->keep_one && !edit->add && edit->had && without[0] == '\0')
		return loam_fail(err, LOAM_E_NOT_PERMITTED,
				 "'%s' is the last manager of '%s': make somebody else one first "
				 "(loam group member add %s USER --manager)",
				 edit->user, edit->name, edit->name);
	if (edit->add && strlen(with) >= LOAM_GROUP_LINE_BYTES_MAX - LOAM_ACCOUNT_LINE_BYTES_MAX)
		return loam_fail(err, LOAM_E_TOO_LARGE, "the group '%s' has %d members, the most",
				 edit->name, LOAM_GROUP_MEMBERS_MAX);
	return print_line(fields, edit->field, edit->add ? with : without, out, err);
}

/* Lines that are not understood are kept as they are. */
static int change_list(void *arg, const struct loam_buf *old, struct loam_buf *out,
		       struct loam_err *err)
{
	struct line_edit *edit = arg;
	const char *rest = loam_buf_text(old), *end = rest + old->bytes, *line;
	size_t bytes;
	int rc = 0;
	edit->had = edit->found = false;
	while (rc == 0 && loam_lines_next(&rest, end, &line, &bytes)) {
		loam_auto_free char *copy = NULL;
		char *fields[LOAM_GROUP_FIELDS];
		struct loam_err damaged = { 0 };
		if (!edit->found &&
		    loam_fields_split_long(line, bytes, LOAM_GROUP_LINE_BYTES_MAX, &copy, fields,
					   LOAM_GROUP_FIELDS, &damaged) == 0 &&
		    strcmp(fields[0], edit->name) == 0)
			rc = edit_fields(edit, fields, out, err);
		else
			rc = loam_lines_add(out, line, bytes, err);
	}
	if (rc < 0 || edit->found)
		return rc;
	if (edit->make && edit->add)
		return loam_buf_printf(out, err, "%s:!:%s:\n", edit->name, edit->user);
	return edit->make ? 0 : loam_fail(err, LOAM_E_NOT_FOUND, "no group '%s'", edit->name);
}

struct forget {
	const char *user;
	bool own_line; /* the line of his name goes, too */
};

static int forget_in_line(const struct forget *forget, const char *line, size_t bytes,
			  struct loam_buf *out, struct loam_err *err)
{
	loam_auto_free char *copy = NULL;
	char *fields[LOAM_GROUP_FIELDS];
	struct loam_err damaged = { 0 };
	if (loam_fields_split_long(line, bytes, LOAM_GROUP_LINE_BYTES_MAX, &copy, fields,
				   LOAM_GROUP_FIELDS, &damaged) < 0)
		return loam_lines_add(out, line, bytes, err);
	if (forget->own_line && strcmp(fields[0], forget->user) == 0)
		return 0;
	loam_auto_free char *two =
		loam_list_without(fields[LOAM_GSHADOW_ADMINS_FIELD], forget->user);
	loam_auto_free char *three =
		loam_list_without(fields[LOAM_GROUP_MEMBERS_FIELD], forget->user);
	return loam_buf_printf(out, err, "%s:%s:%s:%s\n", fields[0], fields[1], two, three);
}

static int change_forget(void *arg, const struct loam_buf *old, struct loam_buf *out,
			 struct loam_err *err)
{
	const char *rest = loam_buf_text(old), *end = rest + old->bytes, *line;
	size_t bytes;
	int rc = 0;
	while (rc == 0 && loam_lines_next(&rest, end, &line, &bytes))
		rc = forget_in_line(arg, line, bytes, out, err);
	return rc;
}

int loam_group_forget_user(struct loam_account_store *store, const char *user, struct loam_err *err)
{
	struct forget forget = { .user = user, .own_line = true };
	int rc = loam_account_store_change_file(store, LOAM_FILE_GSHADOW, change_forget, &forget,
						err);
	return rc < 0 ? rc
		      : loam_account_store_change_file(store, LOAM_FILE_GROUP, change_forget,
						       &forget, err);
}

/* ---- making ---------------------------------------------------------------------------------- */

static int check_name(struct loam_account_store *store, const char *name, struct loam_err *err)
{
	if (!loam_user_name_is_valid(name))
		return loam_fail(err, LOAM_E_UNPROCESSABLE,
				 "'%.40s': a group's name is 1 to 32 of a-z, 0-9, '_', '-', "
				 "beginning with a letter, and not a name of the system",
				 name);
	const struct loam_accounts *accounts = NULL;
	int rc = loam_account_store_get(store, true, &accounts, err);
	if (rc < 0)
		return rc;
	if (loam_accounts_by_name(accounts, name) || loam_accounts_group(accounts, name))
		rc = loam_fail(err, LOAM_E_EXISTS, "there is a user or group '%s' already", name);
	loam_account_store_put(store, accounts);
	return rc;
}

static int choose_gid(struct loam_account_store *store, const struct loam_new_group *group,
		      uint32_t *out_gid, struct loam_err *err)
{
	if (group->gid == 0 && group->host_gid < LOAM_HOST_UID_MIN)
		return loam_account_number_take(store, out_gid, err);
	*out_gid = group->gid != 0 ? group->gid : group->host_gid;
	return loam_account_number_check(store, *out_gid, err);
}

struct add_group {
	const char *name;
	uint32_t gid;
};

static int change_add(void *arg, const struct loam_buf *old, struct loam_buf *out,
		      struct loam_err *err)
{
	const struct add_group *add = arg;
	const struct loam_buf texts[LOAM_ACCOUNT_FILES] = { [LOAM_FILE_GROUP] = *old };
	struct loam_accounts *present = loam_accounts_parse(texts, 0);
	const struct loam_group *same = loam_accounts_group_by_gid(present, add->gid);
	int rc = 0;
	if (loam_accounts_group(present, add->name))
		rc = loam_fail(err, LOAM_E_EXISTS, "there is a group '%s' already", add->name);
	else if (same)
		rc = loam_fail(err, LOAM_E_EXISTS, "gid %u belongs to '%s' already", add->gid,
			       same->name);
	loam_accounts_free(present);
	if (rc < 0)
		return rc;
	char line[LOAM_ACCOUNT_LINE_BYTES_MAX];
	bool had;
	loam_account_group_line(add->name, add->gid, line);
	return loam_lines_set(old, add->name, line, out, &had, err);
}

/* A user of this name who was made in the same moment: the group gives way. */
static int check_twin(struct loam_account_store *store, const char *name, struct loam_err *err)
{
	const struct loam_accounts *accounts = NULL;
	int rc = loam_account_store_get(store, true, &accounts, err);
	if (rc < 0)
		return rc;
	bool twin = loam_accounts_by_name(accounts, name) != NULL;
	loam_account_store_put(store, accounts);
	if (!twin)
		return 0;
	rc = loam_account_store_put_line(store, LOAM_FILE_GROUP, name, NULL, NULL, err);
	return rc < 0 ? rc
		      : loam_fail(err, LOAM_E_EXISTS, "somebody makes a user '%s' right now", name);
}

/* What a killed command or another group of that name left there is used, never inherited: its
 * owner, mode and default ACL are set as on a new one. */
static int make_dir(struct loam_account_store *store, const char *name, uint32_t gid,
		    struct loam_err *err)
{
	struct loam_volume *volume = loam_account_store_tree(store)->volume;
	struct loam_attr attr, wanted = { .uid = LOAM_SERVICE_ID, .gid = gid, .mode = DIR_MODE };
	const struct loam_acl shared = {
		.owner = 07, .group = 07, .mask = LOAM_ACL_ABSENT, .other = 0
	};
	char path[LOAM_PATH_BYTES_MAX];
	uint64_t ino;
	loam_tree_group_path(loam_account_store_tree(store), name, path);
	int rc = loam_files_mkdirs(volume, path, LOAM_SERVICE_ID, gid, 0700, 0, &ino, err);
	if (rc == 0)
		rc = loam_meta_set_acl(volume->meta, &loam_who_root, ino, LOAM_ACL_DEFAULT, &shared,
				       &attr, err);
	if (rc == 0)
		rc = loam_meta_setattr(volume->meta, &loam_who_root, ino,
				       LOAM_SET_UID | LOAM_SET_GID, &wanted, &attr, err);
	return rc < 0 ? rc
		      : loam_meta_setattr(volume->meta, &loam_who_root, ino, LOAM_SET_MODE, &wanted,
					  &attr, err);
}

static int make_group(struct loam_account_store *store, const struct loam_new_group *group,
		      uint32_t *out_gid, struct loam_err *err)
{
	uint32_t gid = 0;
	int rc = check_name(store, group->name, err);
	if (rc == 0)
		rc = choose_gid(store, group, &gid, err);
	struct add_group add = { group->name, gid };
	if (rc == 0)
		rc = loam_account_store_change_file(store, LOAM_FILE_GROUP, change_add, &add, err);
	if (rc < 0)
		return rc;
	rc = check_twin(store, group->name, err);
	if (rc == 0)
		rc = make_dir(store, group->name, gid, err);
	rc = loam_account_store_finish(store, rc, err);
	if (rc == 0)
		*out_gid = gid;
	return rc;
}

int loam_group_add(struct loam_account_store *store, const struct loam_new_group *group,
		   uint32_t *out_gid, struct loam_err *err)
{
	int rc = make_group(store, group, out_gid, err);
	return loam_audit(&(struct loam_audit_entry){ .action = "group.add", .group = group->name },
			  rc, err);
}

/* ---- changing and removing ------------------------------------------------------------------- */

/* The gid of a group that is not a user's own. */
static int find_group(const struct loam_accounts *accounts, const char *name, uint32_t *out_gid,
		      struct loam_err *err)
{
	const struct loam_group *group = loam_accounts_group(accounts, name);
	if (!group)
		return loam_fail(err, LOAM_E_NOT_FOUND, "no group '%.40s'", name);
	if (loam_accounts_is_own_group(accounts, group))
		return loam_fail(err, LOAM_E_NOT_PERMITTED,
				 "'%s' is the own group of the user of that name: it stays as it "
				 "is, and goes with him",
				 name);
	*out_gid = group->gid;
	return 0;
}

static bool is_in(const struct loam_account *account, uint32_t gid)
{
	for (size_t i = 0; i < account->group_count; i++)
		if (account->groups[i] == gid)
			return true;
	return false;
}

static int check_room(const struct loam_accounts *accounts, const char *name, const char *user,
		      uint32_t gid, struct loam_err *err)
{
	const struct loam_account *account = loam_accounts_by_name(accounts, user);
	if (!account)
		return loam_fail(err, LOAM_E_NOT_FOUND, "no user '%.40s'", user);
	if (is_in(account, gid))
		return 0;
	if (account->group_count >= LOAM_USER_GROUPS_MAX)
		return loam_fail(err, LOAM_E_TOO_LARGE, "'%s' is in %d groups, the most", user,
				 LOAM_USER_GROUPS_MAX);
	if (loam_accounts_group(accounts, name)->members.count >= LOAM_GROUP_MEMBERS_MAX)
		return loam_fail(err, LOAM_E_TOO_LARGE, "the group '%s' has %d members, the most",
				 name, LOAM_GROUP_MEMBERS_MAX);
	return 0;
}

static int edit_list(struct loam_account_store *store, enum loam_account_file file,
		     struct line_edit *edit, struct loam_err *err)
{
	edit->field =
		file == LOAM_FILE_GROUP ? LOAM_GROUP_MEMBERS_FIELD : LOAM_GSHADOW_ADMINS_FIELD;
	edit->make = file == LOAM_FILE_GSHADOW;
	return loam_account_store_change_file(store, file, change_list, edit, err);
}

static int set_member(struct loam_account_store *store, const char *name, const char *user,
		      bool manager, enum loam_group_hand hand, struct loam_err *err)
{
	const struct loam_accounts *accounts = NULL;
	uint32_t gid;
	int rc = loam_account_store_get(store, true, &accounts, err);
	if (rc < 0)
		return rc;
	rc = find_group(accounts, name, &gid, err);
	if (rc == 0)
		rc = check_room(accounts, name, user, gid, err);
	loam_account_store_put(store, accounts);
	struct line_edit member = { .name = name, .user = user, .add = true };
	struct line_edit managers = {
		.name = name, .user = user, .add = manager, .keep_one = hand == LOAM_BY_MANAGER
	};
	/* What is taken away goes first. */
	if (rc == 0)
		rc = edit_list(store, LOAM_FILE_GSHADOW, &managers, err);
	if (rc == 0)
		rc = edit_list(store, LOAM_FILE_GROUP, &member, err);
	return loam_account_store_finish(store, rc, err);
}

int loam_group_set_member(struct loam_account_store *store, const char *name, const char *user,
			  bool manager, enum loam_group_hand hand, struct loam_err *err)
{
	int rc = set_member(store, name, user, manager, hand, err);
	return loam_audit(&(struct loam_audit_entry){ .action = "member.set",
						      .group = name,
						      .account = user,
						      .detail = manager ? "manager" : NULL },
			  rc, err);
}

static int drop_member(struct loam_account_store *store, const char *name, const char *user,
		       enum loam_group_hand hand, struct loam_err *err)
{
	const struct loam_accounts *accounts = NULL;
	uint32_t gid;
	int rc = loam_account_store_get(store, true, &accounts, err);
	if (rc < 0)
		return rc;
	rc = find_group(accounts, name, &gid, err);
	loam_account_store_put(store, accounts);
	struct line_edit member = { .name = name, .user = user };
	struct line_edit manager = { .name = name,
				     .user = user,
				     .keep_one = hand == LOAM_BY_MANAGER };
	if (rc == 0)
		rc = edit_list(store, LOAM_FILE_GSHADOW, &manager, err);
	if (rc == 0)
		rc = edit_list(store, LOAM_FILE_GROUP, &member, err);
	rc = loam_account_store_finish(store, rc, err);
	if (rc == 0 && !member.had && !manager.had)
		return loam_fail(err, LOAM_E_NOT_FOUND, "'%.40s' is no member of '%s'", user, name);
	return rc;
}

int loam_group_remove_member(struct loam_account_store *store, const char *name, const char *user,
			     enum loam_group_hand hand, struct loam_err *err)
{
	int rc = drop_member(store, name, user, hand, err);
	return loam_audit(&(struct loam_audit_entry){ .action = "member.remove",
						      .group = name,
						      .account = user },
			  rc, err);
}

static int drop_group(struct loam_account_store *store, const char *name, struct loam_err *err)
{
	const struct loam_accounts *accounts = NULL;
	uint32_t gid;
	int rc = loam_account_store_get(store, true, &accounts, err);
	if (rc < 0)
		return rc;
	rc = find_group(accounts, name, &gid, err);
	loam_account_store_put(store, accounts);
	const struct loam_tree *tree = loam_account_store_tree(store);
	if (rc == 0)
		rc = loam_owned_refuse(tree, LOAM_THE_GROUP(gid), name, err);
	if (rc == 0)
		rc = loam_owned_clear(tree, LOAM_THE_GROUP(gid), name, err);
	if (rc < 0)
		return rc;
	char path[LOAM_PATH_BYTES_MAX];
	loam_tree_group_path(tree, name, path);
	if ((rc = loam_account_store_put_line(store, LOAM_FILE_GSHADOW, name, NULL, NULL, err)) ==
		    0 &&
	    (rc = loam_account_dir_set_aside(store, path, name, gid, err)) == 0 &&
	    (rc = loam_account_number_retire(store, gid, true, err)) == 0)
		rc = loam_account_store_put_line(store, LOAM_FILE_GROUP, name, NULL, NULL, err);
	return loam_account_store_finish(store, rc, err);
}

int loam_group_remove(struct loam_account_store *store, const char *name, struct loam_err *err)
{
	int rc = drop_group(store, name, err);
	return loam_audit(&(struct loam_audit_entry){ .action = "group.del", .group = name }, rc,
			  err);
}

/* ---- the question ---------------------------------------------------------------------------- */

int loam_auth_check_group(struct loam_auth *auth, const struct loam_principal *who,
			  const char *name, struct loam_err *err)
{
	if (who->kind == LOAM_ANONYMOUS)
		return loam_fail(err, LOAM_E_UNAUTHENTICATED, "log in to use this server");
	struct loam_account_store *store = loam_auth_accounts(auth);
	const struct loam_accounts *accounts = NULL;
	uint32_t gid;
	int rc = loam_account_store_get(store, false, &accounts, err);
	if (rc < 0)
		return rc;
	rc = find_group(accounts, name, &gid, err);
	bool may = rc == 0 && who->kind == LOAM_ADMIN;
	if (rc == 0 && (who->kind == LOAM_USER || who->kind == LOAM_TOKEN))
		may = (who->scope & LOAM_SCOPE_ADMIN) && who->only_repo[0] == '\0' &&
		      loam_names_hold(&loam_accounts_group(accounts, name)->managers, who->user);
	loam_account_store_put(store, accounts);
	if (rc == 0 && !may)
		return loam_fail(err, LOAM_E_DENIED,
				 "only its managers and the administrator change the group '%s'",
				 name);
	return rc;
}
