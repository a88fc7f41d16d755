/*
 * What mounts are told of accounts: /.loam/etc/roster (fs/mount/roster.h says its shape).
 *
 * It is computed from the account files as they stand, so it can be written again at any time, and
 * is: behind every change of users and groups, and by each reconcile (an account may expire).
 * Whoever writes it has read the accounts after the file it replaces, so the last writer has seen
 * every change.
 */
#include "auth/account_store_internal.h"

#include "auth/fields.h"
#include "core/auto.h"

#include <stdlib.h>
#include <string.h>

#define ROSTER	"etc/roster"
#define RETIRED "etc/retired"

static int compare_uids(const void *a, const void *b)
{
	uint32_t left = (*(const struct loam_account *const *)a)->uid;
	uint32_t right = (*(const struct loam_account *const *)b)->uid;
	return left < right ? -1 : left > right;
}

static int add_account(const struct loam_account *account, struct loam_buf *out,
		       struct loam_err *err)
{
	if (account->disabled)
		return loam_buf_printf(out, err, "%u blocked\n", account->uid);
	int rc = loam_buf_printf(out, err, "%u %u", account->uid, account->gid);
	for (size_t i = 0; rc == 0 && i < account->group_count; i++)
		rc = loam_buf_printf(out, err, ",%u", account->groups[i]);
	return rc < 0 ? rc : loam_buf_add(out, "\n", 1, err);
}

static int add_accounts(const struct loam_accounts *accounts, struct loam_buf *out,
			struct loam_err *err)
{
	size_t count = 0;
	loam_auto_free const struct loam_account **rows =
		loam_xcalloc(HASH_CNT(by_name, accounts->by_name) + 1, sizeof(*rows));
	for (const struct loam_account *row = accounts->by_name; row; row = row->by_name.next)
		rows[count++] = row;
	qsort(rows, count, sizeof(*rows), compare_uids);
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < count; i++)
		rc = add_account(rows[i], out, err);
	return rc;
}

/* Users that were removed are shut out for good: their processes may still run somewhere. */
static int add_retired(const struct loam_accounts *accounts, const struct loam_buf *retired,
		       struct loam_buf *out, struct loam_err *err)
{
	const char *rest = loam_buf_text(retired), *end = rest + retired->bytes, *line;
	size_t bytes;
	int rc = 0;
	while (rc == 0 && loam_lines_next(&rest, end, &line, &bytes)) {
		if (bytes < 2 || line[bytes - 1] != ':') /* a group's ends in ":g" */
			continue;
		uint32_t uid = (uint32_t)strtoul(line, NULL, 10);
		if (loam_account_number_is_valid(uid) && !loam_accounts_by_uid(accounts, uid))
			rc = loam_buf_printf(out, err, "%u blocked\n", uid);
	}
	return rc;
}

static int change_roster(void *arg, const struct loam_buf *old, struct loam_buf *out,
			 struct loam_err *err)
{
	struct loam_account_store *store = arg;
	loam_auto_buf struct loam_buf retired = LOAM_BUF(LOAM_ACCOUNT_FILE_BYTES_MAX);
	const struct loam_accounts *accounts = NULL;
	int rc = loam_account_store_get(store, true, &accounts, err);
	if (rc < 0)
		return rc;
	rc = loam_account_store_read(store, RETIRED, &retired, err);
	if (rc == 0)
		rc = add_accounts(accounts, out, err);
	if (rc == 0)
		rc = add_retired(accounts, &retired, out, err);
	loam_account_store_put(store, accounts);
	return rc;
}

int loam_account_store_publish(struct loam_account_store *store, struct loam_err *err)
{
	int rc = loam_account_store_change(store, ROSTER, change_roster, store, err);
	return rc < 0 ? loam_context(err, "tell the mounts of the accounts") : 0;
}

int loam_account_store_finish(struct loam_account_store *store, int rc, struct loam_err *err)
{
	if (rc == 0)
		rc = loam_account_store_publish(store, err);
	return loam_account_store_settle(store, rc, err);
}
