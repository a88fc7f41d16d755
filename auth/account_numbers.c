/*
 * The numbers of accounts and groups (design.md §2): one counter in /.loam/etc/next that never goes
 * back, and the numbers of what was removed in /.loam/etc/retired, a line "UID:" or "GID:g" each.
 */
#include "auth/account_store_internal.h"

#include "auth/fields.h"
#include "core/auto.h"
#include "core/cmd.h"

#include <stdio.h>
#include <string.h>

#define NEXT	"etc/next"
#define RETIRED "etc/retired"

struct take_numbers {
	struct loam_account_store *store;
	const struct loam_buf *retired;
	const uint32_t *reserved;
	size_t reserved_count, count;
	uint32_t *taken;
};

/* A number that was given by --uid or --gid stands above the counter when its owner is gone. */
bool loam_account_number_is_retired(const struct loam_buf *retired, uint64_t number)
{
	const char *rest = loam_buf_text(retired);
	const char *end = rest + retired->bytes;
	const char *line;
	size_t bytes;
	while (loam_lines_next(&rest, end, &line, &bytes))
		if (strtoull(line, NULL, 10) == number)
			return true;
	return false;
}

static bool number_is_used(const struct loam_accounts *accounts, uint32_t number)
{
	return loam_accounts_group_by_gid(accounts, number) ||
	       loam_accounts_by_uid(accounts, number);
}

static bool number_is_reserved(const struct take_numbers *take, uint32_t number)
{
	size_t low = 0, high = take->reserved_count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (take->reserved[middle] == number)
			return true;
		if (take->reserved[middle] < number)
			low = middle + 1;
		else
			high = middle;
	}
	return false;
}

static int parse_next(const struct loam_buf *text, uint64_t *out, struct loam_err *err)
{
	*out = LOAM_FIRST_UID;
	if (text->bytes == 0)
		return 0;
	size_t bytes = text->bytes - (text->data[text->bytes - 1] == '\n');
	loam_auto_free char *number = loam_xstrndup(loam_buf_text(text), bytes);
	int rc = loam_parse_u64(number, LOAM_FIRST_UID, INT32_MAX, out, err);
	return rc < 0 ? loam_context(err, "/.loam/etc/next") : 0;
}

static int change_next(void *arg, const struct loam_buf *old, struct loam_buf *out,
		       struct loam_err *err)
{
	struct take_numbers *take = arg;
	const struct loam_accounts *accounts = NULL;
	uint64_t number;
	int rc = parse_next(old, &number, err);
	if (rc == 0)
		rc = loam_account_store_get(take->store, true, &accounts, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < take->count; i++, number++) {
		while (number_is_used(accounts, (uint32_t)number) ||
		       !loam_account_number_is_valid(number) ||
		       number_is_reserved(take, (uint32_t)number) ||
		       loam_account_number_is_retired(take->retired, number))
			number++;
		take->taken[i] = (uint32_t)number;
	}
	loam_account_store_put(take->store, accounts);
	return loam_buf_printf(out, err, "%llu\n", (unsigned long long)number);
}

int loam_account_numbers_take(struct loam_account_store *store, const uint32_t *reserved,
			      size_t reserved_count, uint32_t *out_numbers, size_t count,
			      struct loam_err *err)
{
	loam_auto_buf struct loam_buf retired = LOAM_BUF(LOAM_ACCOUNT_FILE_BYTES_MAX);
	int rc = loam_account_store_read(store, RETIRED, &retired, err);
	if (rc < 0)
		return rc;
	struct take_numbers take = { .store = store,
				     .retired = &retired,
				     .reserved = reserved,
				     .reserved_count = reserved_count,
				     .count = count,
				     .taken = out_numbers };
	return loam_account_store_change(store, NEXT, change_next, &take, err);
}

int loam_account_number_take(struct loam_account_store *store, uint32_t *out_number,
			     struct loam_err *err)
{
	return loam_account_numbers_take(store, NULL, 0, out_number, 1, err);
}

int loam_account_numbers_retired(struct loam_account_store *store, struct loam_buf *out,
				 struct loam_err *err)
{
	return loam_account_store_read(store, RETIRED, out, err);
}

int loam_account_number_check(struct loam_account_store *store, uint32_t number,
			      struct loam_err *err)
{
	if (!loam_account_number_is_valid(number))
		return loam_fail(err, LOAM_E_UNPROCESSABLE,
				 "%u: accounts and groups have numbers from %u on, but not %u, "
				 "which is Loam's own, nor that of nobody",
				 number, LOAM_HOST_UID_MIN, LOAM_SERVICE_ID);
	loam_auto_buf struct loam_buf retired = LOAM_BUF(LOAM_ACCOUNT_FILE_BYTES_MAX);
	int rc = loam_account_store_read(store, RETIRED, &retired, err);
	if (rc < 0)
		return rc;
	if (loam_account_number_is_retired(&retired, number))
		return loam_fail(err, LOAM_E_EXISTS,
				 "the number %u belonged to an account or group that was removed, "
				 "and is not given again: files may still be its",
				 number);
	return 0;
}

struct retire {
	uint32_t number;
	bool is_group;
};

/* A number that was a user's stays marked as one: mounts refuse it. */
static int change_retired(void *arg, const struct loam_buf *old, struct loam_buf *out,
			  struct loam_err *err)
{
	const struct retire *retire = arg;
	if (retire->is_group && loam_account_number_is_retired(old, retire->number))
		return loam_buf_add(out, old->data, old->bytes, err);
	char number[16], line[24];
	bool had;
	snprintf(number, sizeof(number), "%u", retire->number);
	snprintf(line, sizeof(line), "%u:%s\n", retire->number, retire->is_group ? "g" : "");
	return loam_lines_set(old, number, line, out, &had, err);
}

int loam_account_number_retire(struct loam_account_store *store, uint32_t number, bool is_group,
			       struct loam_err *err)
{
	struct retire retire = { number, is_group };
	return loam_account_store_change(store, RETIRED, change_retired, &retire, err);
}
