/*
 * From a snapshot of the accounts to the files of libnss-extrausers (auth/node_names.h).
 */
#include "auth/node_names.h"

#include "auth/fields.h"
#include "auth/tree.h"
#include "core/auto.h"
#include "core/cmd.h"

#include <stdio.h>
#include <string.h>

#define NO_LOGIN	    "/usr/sbin/nologin"
#define LOCAL_NAME_MAX	    256
#define LOCAL_ID_MAX	    0xFFFFFFFEu
#define NODE_PATH_BYTES_MAX 1024

/* A user or a group of the node. */
struct local_row {
	char name[LOCAL_NAME_MAX];
	uint32_t id;
	struct local_row *next;
	UT_hash_handle by_name, by_id;
};

struct local_table {
	struct local_row *rows;		   /* all, for the end */
	struct local_row *by_name, *by_id; /* the first with that name, that number */
};

struct loam_node_local {
	struct local_table users, groups;
};

/* ---- the node's own files -------------------------------------------------------------------- */

static struct local_row *find_name(const struct local_table *table, const char *name)
{
	struct local_row *found;
	HASH_FIND(by_name, table->by_name, name, strlen(name), found);
	return found;
}

static struct local_row *find_id(const struct local_table *table, uint32_t id)
{
	struct local_row *found;
	HASH_FIND(by_id, table->by_id, &id, sizeof(id), found);
	return found;
}

/* "name:x:id:…"; the first line of a name and the first of a number count, as in nss_files. */
static void add_local(struct local_table *table, const char *line, size_t bytes)
{
	char copy[LOAM_ACCOUNT_LINE_BYTES_MAX];
	struct loam_err ignored = { 0 };
	uint64_t id;
	if (bytes == 0 || bytes >= sizeof(copy))
		return;
	memcpy(copy, line, bytes);
	copy[bytes] = '\0';
	char *rest = copy;
	const char *name = strsep(&rest, ":");
	const char *password = strsep(&rest, ":");
	const char *number = strsep(&rest, ":");
	if (!password || !number || name[0] == '\0' || strlen(name) >= LOCAL_NAME_MAX ||
	    loam_parse_u64(number, 0, LOCAL_ID_MAX, &id, &ignored) < 0)
		return;
	struct local_row *row = loam_xnew(struct local_row);
	snprintf(row->name, sizeof(row->name), "%s", name);
	row->id = (uint32_t)id;
	row->next = table->rows;
	table->rows = row;
	if (!find_name(table, row->name))
		HASH_ADD(by_name, table->by_name, name, strlen(row->name), row);
	if (!find_id(table, row->id))
		HASH_ADD(by_id, table->by_id, id, sizeof(row->id), row);
}

static void parse_local(struct local_table *table, const struct loam_buf *text)
{
	const char *rest = loam_buf_text(text);
	const char *end = rest + text->bytes;
	const char *line;
	size_t bytes;
	while (loam_lines_next(&rest, end, &line, &bytes))
		add_local(table, line, bytes);
}

struct loam_node_local *loam_node_local_parse(const struct loam_buf *passwd,
					      const struct loam_buf *group)
{
	struct loam_node_local *local = loam_xnew(struct loam_node_local);
	parse_local(&local->users, passwd);
	parse_local(&local->groups, group);
	return local;
}

static void free_table(struct local_table *table)
{
	HASH_CLEAR(by_id, table->by_id);
	HASH_CLEAR(by_name, table->by_name);
	while (table->rows) {
		struct local_row *next = table->rows->next;
		free(table->rows);
		table->rows = next;
	}
}

void loam_node_local_free(struct loam_node_local *local)
{
	if (!local)
		return;
	free_table(&local->users);
	free_table(&local->groups);
	free(local);
}

/* ---- who is shown ---------------------------------------------------------------------------- */

enum verdict {
	SHOWN,
	KNOWN, /* the node's own files have just this name with this number */
	BARRED
};

struct making {
	const struct loam_accounts *accounts;
	const struct loam_node_local *local;
	const struct loam_node_look *look;
	struct loam_node_names *out;
};

/* *out_by: who bars it. */
static enum verdict judge(const struct local_table *table, const char *name, uint32_t id,
			  const struct local_row **out_by)
{
	struct local_row *same_name = find_name(table, name), *same_id = find_id(table, id);
	*out_by = same_name ? same_name : same_id;
	if (!same_name && !same_id)
		return SHOWN;
	return same_name && same_id && same_name->id == id && strcmp(same_id->name, name) == 0
		       ? KNOWN
		       : BARRED;
}

/* His primary group counts as he does: with a local group's number he would be in that group. */
static enum verdict judge_user(const struct making *making, const struct loam_account *account,
			       const char **out_kind, const struct local_row **out_by)
{
	*out_kind = "user";
	enum verdict verdict = judge(&making->local->users, account->name, account->uid, out_by);
	if (verdict != SHOWN)
		return verdict;
	const struct loam_group *group = loam_accounts_group_by_gid(making->accounts, account->gid);
	const struct local_row *local_group = find_id(&making->local->groups, account->gid);
	if (!local_group || (group && strcmp(local_group->name, group->name) == 0))
		return SHOWN;
	*out_kind = "group";
	*out_by = local_group;
	return BARRED;
}

static int leave_out(struct making *making, const char *what, const char *name, uint32_t id,
		     const char *kind, const struct local_row *by, struct loam_err *err)
{
	making->out->left_out_count++;
	return loam_buf_printf(&making->out->left_out, err,
			       "%s %s (%u): this node has a %s %s (%u) of its own\n", what, name,
			       id, kind, by->name, by->id);
}

static int add_user(struct making *making, const struct loam_account *account, struct loam_err *err)
{
	const struct loam_node_look *look = making->look;
	const struct local_row *by = NULL;
	const char *kind = NULL;
	enum verdict verdict = judge_user(making, account, &kind, &by);
	if (verdict == BARRED)
		return leave_out(making, "user", account->name, account->uid, kind, by, err);
	if (verdict == KNOWN)
		return 0;
	int rc = loam_buf_printf(&making->out->passwd, err, "%s:x:%u:%u::%s%s:%s\n", account->name,
				 account->uid, account->gid, look->mount, account->home,
				 account->disabled ? NO_LOGIN : look->shell);
	/* No hash ever leaves the volume; expired on day 1: not even `su` of root logs him in. */
	if (rc == 0)
		rc = loam_buf_printf(&making->out->shadow, err, "%s:*::::::%s:\n", account->name,
				     account->disabled ? "1" : "");
	making->out->users++;
	return rc;
}

/* On this node the name means that account. */
static bool is_member_here(const struct making *making, const char *name)
{
	const struct loam_account *account = loam_accounts_by_name(making->accounts, name);
	const struct local_row *by;
	const char *kind;
	return account && judge_user(making, account, &kind, &by) != BARRED;
}

static int add_group(struct making *making, const struct loam_group *group, struct loam_err *err)
{
	const struct local_row *by = NULL;
	enum verdict verdict = judge(&making->local->groups, group->name, group->gid, &by);
	if (verdict == BARRED)
		return leave_out(making, "group", group->name, group->gid, "group", by, err);
	if (verdict == KNOWN)
		return 0;
	struct loam_buf *out = &making->out->group;
	int rc = loam_buf_printf(out, err, "%s:x:%u:", group->name, group->gid);
	const char *comma = "";
	for (size_t i = 0; rc == 0 && i < group->members.count; i++) {
		if (!is_member_here(making, group->members.at[i]))
			continue;
		rc = loam_buf_printf(out, err, "%s%s", comma, group->members.at[i]);
		comma = ",";
	}
	making->out->groups++;
	return rc < 0 ? rc : loam_buf_add(out, "\n", 1, err);
}

/* The owner of everything published, so that `ls -l` has a name for it. */
static int add_service(struct making *making, struct loam_err *err)
{
	const struct local_row *by;
	int rc = 0;
	if (judge(&making->local->users, LOAM_SERVICE_NAME, LOAM_SERVICE_ID, &by) == SHOWN)
		rc = loam_buf_printf(&making->out->passwd, err,
				     LOAM_SERVICE_NAME ":x:%u:%u:Loam:/:" NO_LOGIN "\n",
				     LOAM_SERVICE_ID, LOAM_SERVICE_ID);
	if (rc == 0 &&
	    judge(&making->local->groups, LOAM_SERVICE_NAME, LOAM_SERVICE_ID, &by) == SHOWN)
		rc = loam_buf_printf(&making->out->group, err, LOAM_SERVICE_NAME ":x:%u:\n",
				     LOAM_SERVICE_ID);
	return rc;
}

static int compare_users(const void *a, const void *b)
{
	return strcmp((*(const struct loam_account *const *)a)->name,
		      (*(const struct loam_account *const *)b)->name);
}

static int compare_groups(const void *a, const void *b)
{
	return strcmp((*(const struct loam_group *const *)a)->name,
		      (*(const struct loam_group *const *)b)->name);
}

/* Sorted: equal accounts give equal bytes, and files are written only when they differ. */
static int make_users(struct making *making, struct loam_err *err)
{
	size_t count = HASH_CNT(by_name, making->accounts->by_name), at = 0;
	loam_auto_free const struct loam_account **rows = loam_xcalloc(count + 1, sizeof(*rows));
	for (const struct loam_account *row = making->accounts->by_name; row;
	     row = row->by_name.next)
		rows[at++] = row;
	qsort(rows, count, sizeof(*rows), compare_users);
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < count; i++)
		rc = add_user(making, rows[i], err);
	return rc;
}

static int make_groups(struct making *making, struct loam_err *err)
{
	size_t count = HASH_CNT(by_name, making->accounts->groups_by_name), at = 0;
	loam_auto_free const struct loam_group **rows = loam_xcalloc(count + 1, sizeof(*rows));
	for (const struct loam_group *row = making->accounts->groups_by_name; row;
	     row = row->by_name.next)
		rows[at++] = row;
	qsort(rows, count, sizeof(*rows), compare_groups);
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < count; i++)
		rc = add_group(making, rows[i], err);
	return rc;
}

int loam_node_names_make(const struct loam_accounts *accounts, const struct loam_node_local *local,
			 const struct loam_node_look *look, struct loam_node_names *out,
			 struct loam_err *err)
{
	struct loam_node_names names = { .passwd = LOAM_BUF(LOAM_ACCOUNT_FILE_BYTES_MAX),
					 .group = LOAM_BUF(LOAM_ACCOUNT_FILE_BYTES_MAX),
					 .shadow = LOAM_BUF(LOAM_ACCOUNT_FILE_BYTES_MAX),
					 .left_out = LOAM_BUF(LOAM_ACCOUNT_FILE_BYTES_MAX) };
	struct making making = {
		.accounts = accounts, .local = local, .look = look, .out = &names
	};
	int rc = add_service(&making, err);
	if (rc == 0)
		rc = make_users(&making, err);
	if (rc == 0)
		rc = make_groups(&making, err);
	if (rc < 0)
		loam_node_names_release(&names);
	else
		*out = names;
	return rc;
}

void loam_node_names_release(struct loam_node_names *names)
{
	loam_buf_release(&names->passwd);
	loam_buf_release(&names->group);
	loam_buf_release(&names->shadow);
	loam_buf_release(&names->left_out);
}

bool loam_node_path_is_valid(const char *path)
{
	return path[0] == '/' && loam_fields_may_hold(path) && strlen(path) < NODE_PATH_BYTES_MAX;
}
