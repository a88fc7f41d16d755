/*
 * The last use of tokens (auth/token_use.h).
 */
#include "auth/token_use.h"

#include "auth/account_store_internal.h"
#include "auth/fields.h"
#include "core/auto.h"
#include "core/clock.h"
#include "core/cmd.h"
#include "core/log.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define USES	       "etc/token_use"
#define COARSE_SECONDS 3600
#define GATHER_MS      2000  /* so that many uses are one write */
#define NOTED_MAX      65536 /* then all is forgotten, and may be written once more */

struct noted {
	char id[LOAM_TOKEN_ID_BYTES];
	int64_t at;
	bool pending;
	UT_hash_handle hh;
};

struct loam_token_use {
	struct loam_account_store *store;
	pthread_mutex_t lock; /* everything below */
	pthread_cond_t changed;
	struct noted *noted;
	size_t pending;
	bool stopping, has_thread;
	pthread_t thread;
};

struct loam_token_use *loam_token_use_new(struct loam_account_store *store)
{
	struct loam_token_use *use = loam_xnew(struct loam_token_use);
	use->store = store;
	pthread_mutex_init(&use->lock, NULL);
	pthread_cond_init(&use->changed, NULL);
	return use;
}

/* With the lock held. */
static void forget_all(struct loam_token_use *use)
{
	struct noted *row, *next;
	HASH_ITER (hh, use->noted, row, next) {
		HASH_DEL(use->noted, row);
		free(row);
	}
	use->pending = 0;
}

void loam_token_use_free(struct loam_token_use *use)
{
	if (!use)
		return;
	pthread_mutex_lock(&use->lock);
	use->stopping = true;
	pthread_cond_signal(&use->changed);
	pthread_mutex_unlock(&use->lock);
	if (use->has_thread)
		pthread_join(use->thread, NULL);
	forget_all(use);
	pthread_mutex_destroy(&use->lock);
	pthread_cond_destroy(&use->changed);
	free(use);
}

/* ---- the file -------------------------------------------------------------------------------- */

int loam_token_use_text(struct loam_account_store *store, struct loam_buf *out,
			struct loam_err *err)
{
	return loam_account_store_read(store, USES, out, err);
}

/* "ID:SECONDS": the time, when the line is this id's. */
static bool line_is(const char *line, size_t bytes, const char *id, int64_t *out_at)
{
	size_t id_bytes = strlen(id);
	struct loam_err ignored = { 0 };
	uint64_t at;
	if (bytes <= id_bytes || memcmp(line, id, id_bytes) != 0 || line[id_bytes] != ':')
		return false;
	loam_auto_free char *number = loam_xstrndup(line + id_bytes + 1, bytes - id_bytes - 1);
	if (loam_parse_u64(number, 0, INT64_MAX, &at, &ignored) < 0)
		return false;
	*out_at = (int64_t)at;
	return true;
}

int64_t loam_token_use_of(const struct loam_buf *text, const char *id)
{
	const char *rest = loam_buf_text(text), *end = rest + text->bytes, *line;
	size_t bytes;
	int64_t at;
	while (loam_lines_next(&rest, end, &line, &bytes))
		if (line_is(line, bytes, id, &at))
			return at;
	return 0;
}

struct writing {
	const struct loam_accounts *accounts;
	struct noted *fresh; /* what was noted, a copy */
};

static void free_rows(struct noted *rows)
{
	struct noted *row, *next;
	HASH_ITER (hh, rows, row, next) {
		HASH_DEL(rows, row);
		free(row);
	}
}

/* The file's lines by id. */
static struct noted *parse_uses(const struct loam_buf *text)
{
	const char *rest = loam_buf_text(text), *end = rest + text->bytes, *line;
	struct noted *rows = NULL, *present;
	size_t bytes;
	while (loam_lines_next(&rest, end, &line, &bytes)) {
		const char *colon = memchr(line, ':', bytes);
		struct noted row = { 0 };
		if (!colon || colon == line || (size_t)(colon - line) >= sizeof(row.id))
			continue;
		memcpy(row.id, line, (size_t)(colon - line));
		HASH_FIND_STR(rows, row.id, present);
		if (present || !line_is(line, bytes, row.id, &row.at))
			continue;
		struct noted *added = loam_xnew(struct noted);
		*added = row;
		HASH_ADD_STR(rows, id, added);
	}
	return rows;
}

/* One line for each token that is still there: the later time, if both are an hour apart. */
static int change_uses(void *arg, const struct loam_buf *old, struct loam_buf *out,
		       struct loam_err *err)
{
	const struct writing *writing = arg;
	struct noted *before = parse_uses(old);
	int rc = 0;
	struct loam_token_row *row, *next;
	HASH_ITER (by_hash, writing->accounts->tokens, row, next) {
		struct noted *written, *noted;
		HASH_FIND_STR(before, row->token.id, written);
		HASH_FIND_STR(writing->fresh, row->token.id, noted);
		int64_t at = written ? written->at : 0;
		if (noted && noted->at - at >= COARSE_SECONDS)
			at = noted->at;
		if (rc == 0 && at != 0)
			rc = loam_buf_printf(out, err, "%s:%lld\n", row->token.id, (long long)at);
	}
	free_rows(before);
	return rc;
}

/* The pending ones; they count as written, whatever comes of it. */
static struct noted *take_pending(struct loam_token_use *use)
{
	struct noted *copies = NULL, *row, *next;
	loam_guard(&use->lock);
	HASH_ITER (hh, use->noted, row, next) {
		if (!row->pending)
			continue;
		row->pending = false;
		struct noted *copy = loam_xnew(struct noted);
		memcpy(copy->id, row->id, sizeof(copy->id));
		copy->at = row->at;
		HASH_ADD_STR(copies, id, copy);
	}
	use->pending = 0;
	return copies;
}

int loam_token_use_write(struct loam_token_use *use, struct loam_err *err)
{
	struct writing writing = { .fresh = take_pending(use) };
	int rc = 0;
	if (writing.fresh)
		rc = loam_account_store_get(use->store, false, &writing.accounts, err);
	if (rc == 0 && writing.fresh)
		rc = loam_account_store_change(use->store, USES, change_uses, &writing, err);
	loam_account_store_put(use->store, writing.accounts);
	free_rows(writing.fresh);
	return rc;
}

/* ---- the thread ------------------------------------------------------------------------------ */

static void wait_ms(struct loam_token_use *use, uint64_t ms)
{
	uint64_t until_ms = loam_clock_ms() + ms;
	while (!use->stopping && loam_cond_wait_until(&use->changed, &use->lock, until_ms))
		;
}

static void *write_behind(void *arg)
{
	struct loam_token_use *use = arg;
	pthread_mutex_lock(&use->lock);
	while (!use->stopping) {
		if (use->pending == 0) {
			pthread_cond_wait(&use->changed, &use->lock);
			continue;
		}
		wait_ms(use, GATHER_MS);
		if (use->stopping)
			break;
		pthread_mutex_unlock(&use->lock);
		struct loam_err err = { 0 };
		if (loam_token_use_write(use, &err) < 0)
			loam_debug("auth.token_use", "problem=%s", err.text);
		pthread_mutex_lock(&use->lock);
	}
	pthread_mutex_unlock(&use->lock);
	return NULL;
}

void loam_token_use_note(struct loam_token_use *use, const char *id)
{
	int64_t now = loam_clock_now().tv_sec;
	struct noted *row;
	loam_guard(&use->lock);
	HASH_FIND_STR(use->noted, id, row);
	if (row && now - row->at < COARSE_SECONDS)
		return;
	if (!row) {
		if (HASH_COUNT(use->noted) >= NOTED_MAX)
			forget_all(use);
		row = loam_xnew(struct noted);
		snprintf(row->id, sizeof(row->id), "%s", id);
		HASH_ADD_STR(use->noted, id, row);
	}
	row->at = now;
	use->pending += !row->pending;
	row->pending = true;
	if (!use->has_thread)
		use->has_thread = pthread_create(&use->thread, NULL, write_behind, use) == 0;
	pthread_cond_signal(&use->changed);
}
