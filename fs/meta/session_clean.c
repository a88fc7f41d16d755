/*
 * Cleaning sessions: the own one at the end, stale ones of any client (volume format §8.3).
 *
 * A session that is cleaned gives back its locks and its sustained inodes (unlinked while open),
 * and only when all of that went well are its records removed, so that the next cleaner finds the
 * rest. Every step may be done by several cleaners at once.
 *
 * locked<sid> names the lock keys where the session holds something ("lockf7", "lockp7", with the
 * keyspace's prefix before it); the fields in them are "<sid>_<owner, 16 upper-case hex digits>".
 */
#include "core/auto.h"
#include "core/clock.h"
#include "core/log.h"
#include "fs/meta/meta_internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define STALE_SESSIONS_MAX 1000 /* in one round */
#define FOUND_MAX	   (1u << 20)

/* Identities gathered from a listing; names are copies. */
struct found {
	struct loam_record *records;
	size_t count, capacity;
	uint64_t sid;	/* locks: whose */
	int64_t before; /* sessions: expiry at most this */
};

static void found_release(struct found *found)
{
	for (size_t i = 0; i < found->count; i++)
		free((char *)found->records[i].name.data);
	free(found->records);
}

static void found_add(struct found *found, const struct loam_record *record)
{
	if (found->count >= FOUND_MAX)
		return;

	if (found->count == found->capacity) {
		found->capacity = found->capacity ? found->capacity * 2 : 64;
		void *grown = realloc(found->records, found->capacity * sizeof(*found->records));
		loam_assert(grown);
		found->records = grown;
	}
	struct loam_record copy = *record;
	copy.name.data =
		loam_xstrndup(record->name.data ? record->name.data : "", record->name.bytes);
	found->records[found->count++] = copy;
}

static int seen_any(void *arg, const struct loam_record *record, const void *data,
		    size_t data_bytes)
{
	found_add(arg, record);
	return 0;
}

static int list(struct loam_meta *meta, enum loam_record_kind kind, uint64_t id,
		loam_record_seen_fn *seen, struct found *found, struct loam_err *err)
{
	uint64_t cursor = 0;
	do {
		int rc = meta->engine->ops->scan(meta->engine, kind, id, &cursor, NULL, seen, found,
						 err);
		if (rc < 0)
			return rc;
	} while (cursor != 0);
	return 0;
}

/* Only the fields of the session: "<sid>_…". */
static int seen_lock(void *arg, const struct loam_record *record, const void *data,
		     size_t data_bytes)
{
	struct found *found = arg;
	char prefix[24];
	size_t bytes = (size_t)snprintf(prefix, sizeof(prefix), "%" PRIu64 "_", found->sid);
	if (record->name.bytes > bytes && memcmp(record->name.data, prefix, bytes) == 0)
		found_add(found, record);
	return 0;
}

struct release {
	const struct found *locks;
	struct loam_record member; /* in locked<sid> */
};

static int release_fn(struct loam_txn *txn, void *arg, struct loam_err *err)
{
	const struct release *release = arg;
	for (size_t i = 0; i < release->locks->count; i++)
		loam_txn_delete(txn, &release->locks->records[i]);
	loam_txn_delete(txn, &release->member);
	return 0;
}

/* The lock key that a member of locked<sid> names: "…lockf<ino>" or "…lockp<ino>". */
static bool parse_lock_key(struct loam_name name, enum loam_record_kind *out_kind,
			   uint64_t *out_ino)
{
	char text[256];
	if (name.bytes >= sizeof(text))
		return false;

	memcpy(text, name.data, name.bytes);
	text[name.bytes] = '\0';
	const char *at = strstr(text, "lock");
	if (!at || (at[4] != 'f' && at[4] != 'p') || at[5] < '0' || at[5] > '9')
		return false;

	char *end = NULL;
	*out_ino = strtoull(at + 5, &end, 10);
	*out_kind = at[4] == 'f' ? LOAM_REC_FLOCK : LOAM_REC_PLOCK;
	return *end == '\0';
}

static int release_locks(struct loam_meta *meta, uint64_t sid, struct loam_err *err)
{
	struct found keys = { .sid = sid };
	int rc = list(meta, LOAM_REC_LOCKED, sid, seen_any, &keys, err);
	for (size_t i = 0; rc == 0 && i < keys.count; i++) {
		struct found locks = { .sid = sid };
		struct release release = { &locks, keys.records[i] };
		enum loam_record_kind kind = LOAM_REC_FLOCK;
		uint64_t ino = 0;
		release.member.id = sid;
		if (parse_lock_key(keys.records[i].name, &kind, &ino))
			rc = list(meta, kind, ino, seen_lock, &locks, err);
		if (rc == 0)
			rc = loam_meta_run(meta, LOAM_TXN_BULK | LOAM_TXN_UPKEEP, release_fn,
					   &release, err);
		found_release(&locks);
	}
	found_release(&keys);
	return rc;
}

static int remove_fn(struct loam_txn *txn, void *arg, struct loam_err *err)
{
	const uint64_t *sid = arg;
	struct loam_record info = loam_rec(LOAM_REC_SESSION_INFO, *sid, 0);
	struct loam_record life = loam_rec(LOAM_REC_SESSION_LIFE, *sid, 0);
	loam_txn_delete(txn, &info);
	loam_txn_delete(txn, &life);
	return 0;
}

int loam_session_clean(struct loam_meta *meta, uint64_t sid, struct loam_err *err)
{
	int rc = release_locks(meta, sid, err);
	if (rc < 0)
		return loam_context(err, "locks of session %" PRIu64, sid);

	struct found sustained = { 0 };
	rc = list(meta, LOAM_REC_SUSTAINED, sid, seen_any, &sustained, err);
	for (size_t i = 0; rc == 0 && i < sustained.count; i++)
		rc = loam_open_files_delete(meta, sid, sustained.records[i].sub, err);
	found_release(&sustained);
	if (rc < 0)
		return loam_context(err, "open files of session %" PRIu64, sid);

	return loam_meta_run(meta, LOAM_TXN_UPKEEP, remove_fn, &sid, err);
}

struct elect {
	const char *counter;
	int64_t now;
	uint32_t interval_seconds;
	bool won;
};

static int elect_fn(struct loam_txn *txn, void *arg, struct loam_err *err)
{
	struct elect *elect = arg;
	struct loam_record record =
		loam_rec_named(LOAM_REC_COUNTER, 0, loam_name_of(elect->counter));
	const struct loam_value *value = NULL;
	elect->won = false;
	int found = loam_txn_read(txn, &record, &value, err);
	if (found < 0)
		return found;
	if (found && loam_meta_value_number(value) > elect->now - elect->interval_seconds)
		return 0;

	char text[24];
	int bytes = snprintf(text, sizeof(text), "%" PRId64, elect->now);
	loam_txn_put(txn, &record, text, (size_t)bytes);
	elect->won = true;
	return 0;
}

int loam_session_elect(struct loam_meta *meta, const char *counter, uint32_t interval_seconds,
		       struct loam_err *err)
{
	struct elect elect = { .counter = counter, .interval_seconds = interval_seconds };
	elect.now = loam_clock_now().tv_sec;
	int rc = loam_meta_run(meta, LOAM_TXN_UPKEEP, elect_fn, &elect, err);
	return rc < 0 ? rc : elect.won;
}

static int seen_expired(void *arg, const struct loam_record *record, const void *data,
			size_t data_bytes)
{
	struct found *found = arg;
	struct loam_value value = { true, (uint8_t *)data, (uint32_t)data_bytes };
	if (found->count < STALE_SESSIONS_MAX && loam_meta_value_number(&value) <= found->before)
		found_add(found, record);
	return 0;
}

int loam_session_clean_stale(struct loam_meta *meta, struct loam_err *err)
{
	uint32_t beat = meta->session.heartbeat_seconds;
	int won = loam_session_elect(meta, "lastCleanupSessions", beat * 9 / 10, err);
	if (won <= 0)
		return won;

	struct found stale = { .before = loam_clock_now().tv_sec };
	int64_t store_now = 0;
	int rc = meta->engine->ops->now(meta->engine, &store_now, err);
	if (rc == 0) {
		stale.before = store_now;
		rc = list(meta, LOAM_REC_SESSION_LIFE, 0, seen_expired, &stale, err);
	}
	for (size_t i = 0; rc == 0 && i < stale.count; i++) {
		uint64_t sid = stale.records[i].id;
		if (sid == meta->session.sid)
			continue;
		rc = loam_session_clean(meta, sid, err);
		loam_info("meta.session.stale", "session=%" PRIu64 " cleaned=%s", sid,
			  rc == 0 ? "yes" : "no");
	}
	found_release(&stale);
	return rc;
}
