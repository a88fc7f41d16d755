/*
 * The account files, any text in each, in the order of enum loam_account_file, separated by 0xFF.
 * Nobody becomes root or a member of the host's range, and no number or name stands twice.
 */
#include "auth/account.h"
#include "auth/fields.h"
#include "auth/tree.h"
#include "tests/fuzz/fuzz.h"

#define FILE_BYTES_MAX (4u << 20)

static void fill(struct loam_buf *out, const uint8_t **data, size_t *data_bytes)
{
	struct loam_err err = { 0 };
	size_t bytes;
	const uint8_t *part = fuzz_part(data, data_bytes, &bytes);
	loam_buf_init(out, FILE_BYTES_MAX);
	loam_assert(loam_buf_add(out, part, bytes, &err) == 0);
}

static void check(const struct loam_accounts *accounts)
{
	const struct loam_account *row, *next;
	for (row = accounts->by_name; row; row = next) {
		next = row->by_name.next;
		loam_assert(row->uid != 0 && row->gid != 0);
		loam_assert(loam_user_name_is_valid(row->name));
		loam_assert(loam_accounts_by_uid(accounts, row->uid) == row);
		loam_assert(loam_accounts_by_name(accounts, row->name) == row);
	}
	struct loam_token_row *token, *after;
	HASH_ITER (by_hash, accounts->tokens, token, after) {
		loam_assert(loam_accounts_token(accounts, token->token.hash) == &token->token);
	}
}

/* Removing a line leaves every other line as it was, and no line of that name. */
static void edit(const struct loam_buf *text)
{
	struct loam_err err = { 0 };
	bool had = false, again = false;
	loam_auto_buf struct loam_buf without = LOAM_BUF(FILE_BYTES_MAX);
	loam_auto_buf struct loam_buf twice = LOAM_BUF(FILE_BYTES_MAX);
	if (loam_lines_set(text, "alice", NULL, &without, &had, &err) < 0)
		return;
	loam_assert(without.bytes <= text->bytes + 1);
	loam_assert(loam_lines_set(&without, "alice", NULL, &twice, &again, &err) == 0);
	loam_assert(!again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_bytes)
{
	struct loam_buf texts[LOAM_ACCOUNT_FILES];
	if (data_bytes > FILE_BYTES_MAX)
		return 0;
	for (size_t i = 0; i < LOAM_ACCOUNT_FILES; i++)
		fill(&texts[i], &data, &data_bytes);
	struct loam_accounts *accounts = loam_accounts_parse(texts, 20000);
	check(accounts);
	loam_accounts_free(accounts);
	edit(&texts[LOAM_FILE_PASSWD]);
	for (size_t i = 0; i < LOAM_ACCOUNT_FILES; i++)
		loam_buf_release(&texts[i]);
	return 0;
}
