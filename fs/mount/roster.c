/*
 * The roster of a mount (roster.h). Serves step 9.
 *
 * A change of the file is a new inode under its name, so one look at the name, half a second apart,
 * is enough to be right within one second.
 */
#include "fs/mount/roster.h"

#include "core/auto.h"
#include "core/clock.h"
#include "core/log.h"
#include "fs/meta/meta.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <uthash.h>

#define LOOK_MS		500
#define BYTES_MAX	(64u << 20)
#define LINE_GROUPS_MAX 1024

struct entry {
	uint32_t uid;
	bool blocked;
	uint32_t *groups;
	size_t group_count;
	UT_hash_handle hh;
};

struct loam_roster {
	struct loam_data *data;
	char *path;
	pthread_rwlock_t lock; /* entries */
	struct entry *entries;
	atomic_size_t blocked_count, listed_count;
	pthread_mutex_t look_lock; /* of what follows; one look at a time */
	uint64_t dir_ino;	   /* where the file was found; 0: look for it from the root */
	uint64_t seen_ino;
	struct timespec seen_ctime;
	pthread_mutex_t stop_lock;
	pthread_cond_t stop_cond;
	bool stopping;
	pthread_t thread;
	bool has_thread;
};

static void free_entries(struct entry *entries)
{
	struct entry *entry, *next;
	HASH_ITER (hh, entries, entry, next) {
		HASH_DEL(entries, entry);
		free(entry->groups);
		free(entry);
	}
}

/* ---- parsing --------------------------------------------------------------------------------- */

/* A decimal number that ends at one of the bytes of ends, or at the end; *at moves behind it. */
static bool take_number(const char **at, const char *end, uint32_t *out)
{
	uint64_t number = 0;
	const char *c = *at;
	for (; c < end && *c >= '0' && *c <= '9' && number <= UINT32_MAX; c++)
		number = number * 10 + (uint64_t)(*c - '0');
	if (c == *at || number > UINT32_MAX)
		return false;
	*at = c;
	*out = (uint32_t)number;
	return true;
}

static bool parse_groups(const char *at, const char *end, struct entry *out)
{
	out->groups = loam_xcalloc(LINE_GROUPS_MAX, sizeof(*out->groups));
	while (out->group_count < LINE_GROUPS_MAX) {
		if (!take_number(&at, end, &out->groups[out->group_count]))
			return false;
		out->group_count++;
		if (at == end)
			break;
		if (*at++ != ',')
			return false;
	}
	return at == end;
}

static bool parse_line(const char *line, const char *end, struct entry *out)
{
	static const char blocked[] = "blocked";
	if (!take_number(&line, end, &out->uid) || line == end || *line++ != ' ')
		return false;
	size_t bytes = (size_t)(end - line);
	out->blocked = bytes == strlen(blocked) && memcmp(line, blocked, bytes) == 0;
	return out->blocked || parse_groups(line, end, out);
}

/* The first line of a uid counts. */
static struct entry *parse(const char *text, size_t bytes, size_t *out_blocked)
{
	struct entry *entries = NULL;
	const char *end = text + bytes;
	while (text < end) {
		const char *newline = memchr(text, '\n', (size_t)(end - text));
		const char *line_end = newline ? newline : end;
		struct entry *entry = loam_xnew(struct entry), *present = NULL;
		bool sound = parse_line(text, line_end, entry);
		if (sound)
			HASH_FIND(hh, entries, &entry->uid, sizeof(entry->uid), present);
		if (sound && !present) {
			HASH_ADD(hh, entries, uid, sizeof(entry->uid), entry);
			*out_blocked += entry->blocked;
		} else {
			free(entry->groups);
			free(entry);
		}
		text = newline ? newline + 1 : end;
	}
	return entries;
}

/* ---- looking --------------------------------------------------------------------------------- */

/* The entry of dir: 1 found, 0 there is none, -code. */
static int step(struct loam_roster *roster, uint64_t dir, struct loam_name name, uint64_t *out_ino,
		struct loam_attr *out_attr, struct loam_err *err)
{
	int rc = loam_meta_lookup(loam_data_meta(roster->data), &loam_who_root, dir, name, out_ino,
				  out_attr, err);
	if (rc != -LOAM_E_NOT_FOUND && rc != -LOAM_E_NOT_DIR)
		return rc < 0 ? rc : 1;
	loam_err_clear(err);
	return 0;
}

/* One question while its directory stays where it is. */
static int find_file(struct loam_roster *roster, uint64_t *out_ino, struct loam_attr *out_attr,
		     struct loam_err *err)
{
	const char *at = roster->path;
	uint64_t dir = roster->dir_ino, ino = LOAM_INO_ROOT;
	struct loam_name last = loam_name_of(strrchr(roster->path, '/') + 1);
	int found = dir ? step(roster, dir, last, out_ino, out_attr, err) : 0;
	if (found != 0)
		return found < 0 ? found : out_attr->type == LOAM_TYPE_FILE;
	roster->dir_ino = 0;
	while (*(at += strspn(at, "/")) != '\0') {
		struct loam_name name = { at, (uint16_t)strcspn(at, "/") };
		dir = ino;
		found = step(roster, dir, name, &ino, out_attr, err);
		if (found <= 0)
			return found;
		at += name.bytes;
	}
	roster->dir_ino = dir;
	*out_ino = ino;
	return out_attr->type == LOAM_TYPE_FILE;
}

static int read_file(struct loam_roster *roster, uint64_t ino, uint64_t length,
		     struct loam_buf *out, struct loam_err *err)
{
	struct loam_reader *reader = NULL;
	size_t got = 0;
	if (length > BYTES_MAX)
		return loam_fail(err, LOAM_E_TOO_LARGE, "a roster of %llu bytes",
				 (unsigned long long)length);
	int rc = loam_buf_reserve(out, length, err);
	if (rc < 0 || length == 0)
		return rc;
	rc = loam_reader_new(roster->data, ino, length, &reader, err);
	if (rc < 0)
		return rc;
	rc = loam_reader_read(reader, 0, out->data, length, &got, err);
	loam_reader_free(reader);
	out->bytes = got;
	return rc;
}

static void replace_entries(struct loam_roster *roster, struct entry *entries, size_t blocked)
{
	pthread_rwlock_wrlock(&roster->lock);
	struct entry *old = roster->entries;
	roster->entries = entries;
	atomic_store(&roster->blocked_count, blocked);
	atomic_store(&roster->listed_count, HASH_COUNT(entries));
	pthread_rwlock_unlock(&roster->lock);
	free_entries(old);
}

static int look(struct loam_roster *roster, struct loam_err *err)
{
	uint64_t ino = 0;
	struct loam_attr attr = { 0 };
	int found = find_file(roster, &ino, &attr, err);
	if (found < 0)
		return found;
	if (found == 0) { /* a file that has gone opens no door */
		if (roster->seen_ino != 0)
			loam_warn("mount.roster", "path=%s problem=%s", roster->path,
				  "it is gone, or no file: what it said last holds");
		roster->seen_ino = 0;
		return 0;
	}
	if (ino == roster->seen_ino && attr.ctime.tv_sec == roster->seen_ctime.tv_sec &&
	    attr.ctime.tv_nsec == roster->seen_ctime.tv_nsec)
		return 0;
	loam_auto_buf struct loam_buf text = LOAM_BUF(BYTES_MAX + 1);
	int rc = read_file(roster, ino, attr.length, &text, err);
	if (rc < 0)
		return rc;
	size_t blocked = 0;
	struct entry *entries = parse(loam_buf_text(&text), text.bytes, &blocked);
	replace_entries(roster, entries, blocked);
	roster->seen_ino = ino;
	roster->seen_ctime = attr.ctime;
	loam_debug("mount.roster", "uids=%u blocked=%zu", HASH_COUNT(entries), blocked);
	return 0;
}

void loam_roster_refresh(struct loam_roster *roster)
{
	loam_guard(&roster->look_lock);
	struct loam_err err = { 0 };
	if (look(roster, &err) < 0)
		loam_debug("mount.roster", "problem=%s", err.text);
}

static void *watch(void *arg)
{
	struct loam_roster *roster = arg;
	pthread_mutex_lock(&roster->stop_lock);
	while (!roster->stopping) {
		loam_cond_wait_until(&roster->stop_cond, &roster->stop_lock,
				     loam_clock_ms() + LOOK_MS);
		if (roster->stopping)
			break;
		pthread_mutex_unlock(&roster->stop_lock);
		loam_roster_refresh(roster);
		pthread_mutex_lock(&roster->stop_lock);
	}
	pthread_mutex_unlock(&roster->stop_lock);
	return NULL;
}

struct loam_roster *loam_roster_new(struct loam_data *data, const char *tree_root)
{
	struct loam_roster *roster = loam_xnew(struct loam_roster);
	bool at_root = strspn(tree_root, "/") == strlen(tree_root);
	roster->data = data;
	roster->path = loam_xasprintf("%s" LOAM_ROSTER_PATH, at_root ? "" : tree_root);
	pthread_rwlock_init(&roster->lock, NULL);
	pthread_mutex_init(&roster->look_lock, NULL);
	pthread_mutex_init(&roster->stop_lock, NULL);
	pthread_cond_init(&roster->stop_cond, NULL);
	loam_roster_refresh(roster);
	int rc = pthread_create(&roster->thread, NULL, watch, roster);
	loam_assert(rc == 0);
	roster->has_thread = true;
	return roster;
}

void loam_roster_free(struct loam_roster *roster)
{
	if (!roster)
		return;
	pthread_mutex_lock(&roster->stop_lock);
	roster->stopping = true;
	pthread_cond_signal(&roster->stop_cond);
	pthread_mutex_unlock(&roster->stop_lock);
	if (roster->has_thread)
		pthread_join(roster->thread, NULL);
	free_entries(roster->entries);
	pthread_rwlock_destroy(&roster->lock);
	pthread_mutex_destroy(&roster->look_lock);
	pthread_mutex_destroy(&roster->stop_lock);
	pthread_cond_destroy(&roster->stop_cond);
	free(roster->path);
	free(roster);
}

/* ---- answers --------------------------------------------------------------------------------- */

int loam_roster_admit(struct loam_roster *roster, uint32_t uid, struct loam_err *err)
{
	if (uid == 0 || atomic_load(&roster->blocked_count) == 0)
		return 0;
	pthread_rwlock_rdlock(&roster->lock);
	struct entry *entry;
	HASH_FIND(hh, roster->entries, &uid, sizeof(uid), entry);
	bool blocked = entry && entry->blocked;
	pthread_rwlock_unlock(&roster->lock);
	return blocked ? loam_fail(err, LOAM_E_DENIED, "the account of uid %u is disabled", uid)
		       : 0;
}

static bool holds(const struct entry *entry, uint32_t gid)
{
	for (size_t i = 0; i < entry->group_count; i++)
		if (entry->groups[i] == gid)
			return true;
	return false;
}

size_t loam_roster_keep_groups(struct loam_roster *roster, uint32_t uid, uint32_t *groups,
			       size_t group_count)
{
	if (atomic_load(&roster->listed_count) == 0)
		return group_count;
	pthread_rwlock_rdlock(&roster->lock);
	struct entry *entry;
	size_t kept = 0;
	HASH_FIND(hh, roster->entries, &uid, sizeof(uid), entry);
	for (size_t i = 0; entry && i < group_count; i++)
		if (holds(entry, groups[i]))
			groups[kept++] = groups[i];
	pthread_rwlock_unlock(&roster->lock);
	return entry ? kept : group_count;
}
